//! `mlapi bundle`: one executable that is server and model.

use std::fs;
use std::process::Command;

use crate::support::process::Server;
use crate::support::workdir::Workdir;

const ROW: [&str; 3] = ["predict", "--features", "5.1,3.5,1.4,0.2"];

#[test]
fn a_bundle_predicts_evaluates_serves_and_shows_its_model_and_takes_another() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.run(&["train", "iris.csv", "-q", "--algorithm", "tree", "--output", "tree.mlapi"]).ok();
    let plain = dir.run(&ROW).ok().out();
    let said = dir.run(&["bundle", "--output", "churn"]).ok().out();
    assert!(said.contains("./churn serve"), "{said}");
    let model = dir.bytes("model.mlapi");
    fs::remove_file(dir.path("model.mlapi")).unwrap();

    assert_eq!(dir.run_program("churn", &ROW).ok().out(), plain);
    assert!(dir.run_program("churn", &["eval"]).ok().out().contains("accuracy"));
    let shown = dir.run_program("churn", &["inspect"]).ok().out();
    assert!(shown.contains("logistic-regression"), "{shown}");
    let help = dir.run_program("churn", &["predict", "-h"]).ok().out();
    assert!(help.contains("/churn]"), "{help}");
    let server = Server::start_program(&dir, "churn", &[], &[]);
    assert!(server.get("/model").contains("\"name\":\"churn\""), "{}", server.get("/model"));
    assert!(server.predict(r#"{"data":[5.1,3.5,1.4,0.2]}"#).contains(r#"{"prediction":"setosa""#));
    drop(server);

    // For another program it is a model file, and a model that is named comes first.
    assert_eq!(dir.run(&[&ROW[..], &["--model", "churn"]].concat()).ok().out(), plain);
    let tree = dir.run_program("churn", &["inspect", "--model", "tree.mlapi"]).ok().out();
    assert!(tree.contains("decision-tree"), "{tree}");

    // It is the program, the model and 88 bytes; with another model, it holds the first no more.
    let program = fs::metadata(env!("CARGO_BIN_EXE_mlapi")).unwrap().len();
    let length = |name: &str| fs::metadata(dir.path(name)).unwrap().len();
    assert_eq!(length("churn"), program + model.len() as u64 + 16 + 8 + 32 + 16);
    dir.run_program("churn", &["bundle", "--model", "tree.mlapi", "--output", "churn"]).ok();
    assert_eq!(length("churn"), program + length("tree.mlapi") + 16 + 8 + 32 + 16);
    let tree = dir.run_program("churn", &["inspect"]).ok().out();
    assert!(tree.contains("decision-tree"), "{tree}");
    assert_eq!(dir.files(), ["churn", "iris.csv", "tree.mlapi"], "nothing is left behind");
}

#[cfg(unix)]
#[test]
fn a_bundle_may_be_run_by_whoever_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Workdir::trained("iris.csv", &[]);
    let mode = |name: &str| fs::metadata(dir.path(name)).unwrap().permissions().mode() & 0o777;
    let bundle = |name: &str, umask: &str| {
        let line = format!("umask {umask} && \"$0\" bundle --output {name}");
        let program = env!("CARGO_BIN_EXE_mlapi");
        let status = Command::new("sh").args(["-c", &line, program]).current_dir(dir.path(".")).output();
        assert!(status.unwrap().status.success());
    };
    bundle("a", "022");
    bundle("b", "077");
    assert_eq!((mode("a"), mode("b")), (0o755, 0o700));
    fs::set_permissions(dir.path("a"), fs::Permissions::from_mode(0o640)).unwrap();
    bundle("a", "022");
    assert_eq!(mode("a"), 0o750, "who might not read the old file may not read the new one");
}

#[cfg(target_os = "linux")]
#[test]
fn a_bundle_that_was_truncated_or_altered_says_so() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.run(&["bundle", "--output", "whole"]).ok();
    let (whole, model) = (dir.bytes("whole"), dir.bytes("model.mlapi"));
    let program = fs::metadata(env!("CARGO_BIN_EXE_mlapi")).unwrap().len() as usize;
    fs::remove_file(dir.path("whole")).unwrap();
    let damaged = |bytes: &[u8]| {
        dir.write("damaged", bytes);
        make_executable(&dir, "damaged");
        let own = dir.run_program("damaged", &ROW).fails(1).err();
        let other = dir.run(&[&ROW[..], &["--model", "damaged"]].concat()).fails(1).err();
        for said in [own, other] {
            assert!(said.contains("truncated") && !said.contains("panicked"), "{said}");
        }
    };
    for cut in [whole.len() - 1, whole.len() - 56, whole.len() - 100, program + 16, program - 10] {
        damaged(&whole[..cut]);
    }
    // A byte of the program's tables at its end, of the model, of its length, of the digest.
    let mut altered = whole.clone();
    for at in [program + 16 + model.len() / 2, whole.len() - 56, whole.len() - 30, program + 3] {
        altered[at] ^= 1;
        damaged(&altered);
        altered[at] ^= 1;
    }
    dir.write("damaged", &altered);
    assert!(dir.run_program("damaged", &ROW).ok().out().starts_with("setosa"), "put right again");
    // Others append to programs as well.
    let plain = fs::read(env!("CARGO_BIN_EXE_mlapi")).unwrap();
    dir.write("damaged", [&plain[..], b"something of 16 bytes or more"].concat());
    assert!(dir.run_program("damaged", &ROW).ok().out().starts_with("setosa"));
}

#[cfg(unix)]
fn make_executable(dir: &Workdir, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn only_a_model_is_bundled_and_nothing_is_written_otherwise() {
    let dir = Workdir::with(&["iris.csv"]);
    let said = dir.run(&["bundle", "--model", "iris.csv", "--output", "x"]).fails(1).err();
    assert!(said.contains("iris.csv is not a usable model file"), "{said}");
    let said = dir.run(&["bundle", "--output", "x"]).fails(1).err();
    assert!(said.contains("train one first"), "{said}");
    assert!(dir.run(&["bundle"]).fails(2).err().contains("--output"));
    dir.run(&["train", "iris.csv", "-q", "--algorithm", "tree"]).ok();
    let said = dir.run(&["bundle", "--max-model-bytes", "10", "--output", "x"]).fails(1).err();
    assert!(said.contains("--max-model-bytes"), "{said}");
    let said = dir.run(&["bundle", "--output", "no/such"]).fails(1).err();
    assert!(said.contains("no such folder"), "{said}");
    assert_eq!(dir.files(), ["iris.csv", "model.mlapi"]);
}
