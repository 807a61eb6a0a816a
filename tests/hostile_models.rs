//! Model files that are written to do harm, with a checksum that fits: an error before memory is taken, at every verb
//! and in a running server.

use crate::support::container::{Container, f64s, u8s, u32s};
use crate::support::model::blended;
#[cfg(unix)]
use crate::support::process::Server;
use crate::support::workdir::Workdir;
use mlapi::model::{Model, file};
use serde_json::{Value, json};

#[cfg(unix)]
const ROW: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

fn read(bytes: &[u8]) -> anyhow::Result<Model> {
    file::read(bytes, bytes.len() as u64)
}

fn iris(algorithm: &str) -> (Workdir, Container) {
    let dir = Workdir::trained("iris.csv", &["--algorithm", algorithm]);
    let container = Container::of(&dir.bytes("model.mlapi"));
    (dir, container)
}

/// Linear, trees, and a support vector machine that shares the recipe of the first.
fn ensemble() -> Container {
    let models = ["logreg", "tree", "svm"].map(|algorithm| {
        let dir = Workdir::trained("iris.csv", &["--algorithm", algorithm]);
        file::load(dir.path("model.mlapi")).unwrap()
    });
    Container::of(&file::to_bytes(&blended(models.into(), &[0.5, 0.3, 0.2])).unwrap())
}

/// What a file with these parts is refused for.
fn refused(container: &Container) -> String {
    let error = read(&container.bytes()).expect_err("a hostile file was taken for a model");
    let message = format!("{error:#}");
    assert!(message.starts_with("it is damaged") && !message.contains("checksum"), "{message}");
    message
}

/// Adds a feature, and its value to each golden row.
fn add_feature(entry: &mut Value, feature: Value, value: &str, version: u64) {
    entry["schema"]["features"].as_array_mut().unwrap().push(feature);
    entry["format_version"] = version.into();
    entry["golden"].as_array_mut().unwrap().iter_mut().for_each(|row| {
        row.as_array_mut().unwrap().push(value.into());
    });
}

/// 2⁵⁵ means of the target per level: 512 times that is 0 in 64 bits, so no mean is missed, and a row is 2⁵⁵ numbers
/// long. The support vectors are as wide, and none.
fn too_wide() -> (Workdir, Container) {
    let (dir, mut file) = iris("svm");
    let n = 1_u64 << 55;
    let levels: Vec<String> = (0..511).map(|i| format!("l{i:03}")).collect();
    let feature = json!({ "name": "c", "type": "category", "missing": 0, "min": 0.0, "max": 0.0, "mean": 0.0,
                          "levels": levels, "counts": vec![1; 511] });
    add_feature(&mut file.entry, feature, "l000", 4);
    for (name, more) in [("fill", 0.0_f64), ("mean", 0.0), ("scale", 1.0)] {
        let raw = file.arrays.get_mut(&format!("recipe.{name}")).unwrap();
        raw.shape = vec![5];
        raw.bytes.extend(more.to_le_bytes());
    }
    file.put([
        ("recipe.target_means", f64s(&[0, n], &[])),
        ("recipe.indicator", u8s(&[0; 5])),
        ("recipe.level_slot", u32s(&(0..511).map(|i| i.min(256)).collect::<Vec<_>>())),
        ("kernel.vectors", f64s(&[0, 4 + 257 + n], &[])),
        ("kernel.coefficients", f64s(&[0, 2], &[])),
        ("kernel.counts", u32s(&[0, 0, 0])),
    ]);
    (dir, file)
}

/// Naive Bayes whose columns reach into the sparse ones of a text.
fn beyond_its_row() -> Container {
    let mut file = iris("naive-bayes").1;
    let text = json!({ "name": "t", "type": "text", "missing": 0, "min": 0.0, "max": 0.0, "mean": 0.0 });
    add_feature(&mut file.entry, text, "a b", 2);
    file.put([
        ("recipe.vocabulary_sizes", u32s(&[4])),
        ("recipe.terms", u32s(&[1, 2, 3, 4])),
        ("recipe.idf", f64s(&[0], &[])),
        ("recipe.dense_texts", u8s(&[0])),
        ("bayes.levels", u32s(&[0, 0, 0, 0, 0, 0, 0, 2])),
        ("bayes.means", f64s(&[7, 3], &[0.0; 21])),
        ("bayes.variances", f64s(&[7, 3], &[1.0; 21])),
        ("bayes.frequencies", f64s(&[2, 3], &[0.5; 6])),
        ("explain.means", f64s(&[24], &[0.0; 24])),
    ]);
    file
}

#[test]
fn a_file_that_is_taken_apart_and_put_together_is_the_same_model() {
    let (_, file) = iris("svm");
    let model = read(&file.bytes()).unwrap();
    assert_eq!(Container::of(&file::to_bytes(&model).unwrap()), file);
}

#[test]
fn lengths_that_overflow_are_refused_with_and_without_golden_rows() {
    let (dir, mut file) = too_wide();
    assert!(refused(&file).contains("a mean of the target is missing"));
    dir.write("bad.mlapi", file.bytes());
    for verb in ["inspect", "eval", "serve"] {
        dir.run(&[verb, "--model", "bad.mlapi"]).fails(1).complains(&["bad.mlapi", "it is damaged"]);
    }
    file.entry["golden"] = json!([]);
    file.put([("golden.scores", f64s(&[0, 3], &[]))]);
    refused(&file);
}

#[test]
fn a_classifier_without_support_vectors_cannot_claim_any_width() {
    let mut file = iris("svm").1;
    for width in [4_u64, 1 << 40, 1 << 60] {
        file.put([
            ("kernel.vectors", f64s(&[0, width], &[])),
            ("kernel.coefficients", f64s(&[0, 2], &[])),
            ("kernel.counts", u32s(&[0, 0, 0])),
        ]);
        assert!(refused(&file).contains("no support vectors"), "{width}");
    }
}

#[test]
fn a_regression_without_support_vectors_is_a_model_of_the_right_width_only() {
    // All values lie within epsilon of their mean, so no row becomes a support vector.
    let rows = (0..40).map(|i| format!("{},{},{}\n", i * 5 % 13, i * 7 % 11, 1.0 + f64::from(i % 5) * 0.001));
    let dir = Workdir::new();
    dir.write("t.csv", format!("a,b,y\n{}", rows.collect::<String>()));
    dir.run(&["train", "t.csv", "-q", "--algorithm", "svm", "--task", "regression"]).ok();
    let mut file = Container::of(&dir.bytes("model.mlapi"));
    assert_eq!(file.arrays["kernel.vectors"].shape, [0, 2]);
    read(&file.bytes()).unwrap();
    file.put([("kernel.vectors", f64s(&[0, 1 << 58], &[]))]);
    assert!(refused(&file).contains("the predictor maps"));
}

#[test]
fn columns_of_naive_bayes_that_reach_into_texts_are_refused() {
    assert!(refused(&beyond_its_row()).contains("the predictor does not read rows of 4 numbers and 4 terms"));
}

#[test]
fn a_file_tests_itself_with_a_golden_row_at_least_and_not_with_thousands() {
    let mut file = iris("tree").1;
    let rows = file.entry["golden"].as_array().unwrap().clone();
    for n in [0_usize, 1000] {
        file.entry["golden"] = rows.iter().cycle().take(n).cloned().collect();
        file.put([("golden.scores", f64s(&[n as u64, 3], &vec![0.0; 3 * n]))]);
        assert!(refused(&file).contains(&format!("it has {n} golden rows")));
    }
}

#[test]
fn a_card_that_nests_what_should_be_a_value_is_refused() {
    let (_, file) = iris("logreg");
    for place in ["/card/hyperparameters/C", "/card/evaluation/confusion_matrix/labels/0"] {
        let mut nested = file.clone();
        *nested.entry.pointer_mut(place).expect(place) = json!([{ "": 0 }]);
        refused(&nested);
    }
}

#[test]
fn a_column_whose_range_is_upside_down_is_refused() {
    let mut file = iris("tree").1;
    file.entry["schema"]["features"][0]["min"] = json!(9.5);
    assert!(refused(&file).contains("is inconsistent"));
}

#[test]
fn dimensions_of_every_form_are_compared_with_each_other() {
    // Each array of each form in turn: empty, one element less, and of a huge second dimension.
    for algorithm in ["logreg", "tree", "boost", "svm", "knn", "bayes", "mlp", "ensemble"] {
        let file = if algorithm == "ensemble" { ensemble() } else { iris(algorithm).1 };
        for (name, raw) in &file.arrays {
            let size = raw.bytes.len() / raw.shape.iter().product::<u64>().max(1) as usize;
            let mut changed = file.clone();
            let mut put = |shape: &[u64], bytes: &[u8]| {
                let array = changed.arrays.get_mut(name).unwrap();
                (array.shape, array.bytes) = (shape.to_vec(), bytes.to_vec());
                let is_refused = read(&changed.bytes()).is_err();
                assert!(is_refused || bytes == raw.bytes, "{algorithm} {name} {shape:?}");
            };
            put(&[0], &[]);
            put(&[0, 1 << 61], &[]);
            if let Some(less) = (raw.bytes.len() / size.max(1)).checked_sub(1) {
                put(&[less as u64], &raw.bytes[..less * size]);
            }
        }
    }
}

#[test]
fn members_of_an_ensemble_are_counted_weighed_and_compared_with_their_arrays() {
    let file = ensemble();
    read(&file.bytes()).unwrap();
    assert_eq!(file.entry["members"][2]["recipe"], 0);
    let with = |place: &str, value: Value| {
        let mut changed = file.clone();
        *changed.entry.pointer_mut(place).expect(place) = value;
        refused(&changed)
    };
    let member = &file.entry["members"][0];
    for n in [0, 33, 100_000] {
        assert!(with("/members", json!(vec![member; n])).contains(&format!("it has {n} members")), "{n}");
    }
    for weight in [json!(0.0), json!(-0.5), json!(0.500_000_01), json!(1e308)] {
        assert!(with("/members/0/weight", weight).contains("add up to 1"));
    }
    for weight in [json!(null), json!("0.5"), json!([0.5])] {
        with("/members/0/weight", weight);
    }
    // Not there, behind it, of another encoding, of one that has none of its own.
    for (i, recipe) in [(0, 2), (0, 1), (1, 0), (2, 1), (2, 3), (1, 1_u64 << 40)] {
        with(&format!("/members/{i}/recipe"), json!(recipe));
    }
    with("/members/2/recipe", json!(2));
    with("/members/2/recipe", json!(-1));
    with("/members/1/encoding", json!("standardised"));
    with("/members/1/predictor", json!("linear-softmax"));
    with("/members/1/predictor", json!("ensemble"));
    assert!(with("/predictor", json!("linear-softmax")).contains("no ensemble"));
    assert!(with("/format_version", json!(5)).contains("no ensemble"));
    let mut changed = file.clone();
    changed.put([("member.1.more", u8s(&[0]))]);
    assert!(refused(&changed).contains("member 1 holds arrays that belong to nothing"));
    changed = file.clone();
    changed.put([("member.3.recipe.fill", u8s(&[0]))]);
    assert!(refused(&changed).contains("arrays that belong to nothing"));
    // Models without what explanations need are older ones.
    let is_needed = |name: &&String| !name.ends_with("trees.cover") && !name.ends_with("explain.means");
    for name in file.arrays.keys().filter(is_needed) {
        changed = file.clone();
        changed.arrays.remove(name);
        refused(&changed);
    }
    let mut single = iris("tree").1;
    single.entry["members"] = file.entry["members"].clone();
    assert!(refused(&single).contains("it has members and is no ensemble"));
    let nested = with("/card/members/0/hyperparameters", json!({ "C": [[0]] }));
    assert!(nested.starts_with("it is damaged"));
}

#[test]
fn a_file_above_the_limit_is_refused_before_it_is_read() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    let path = dir.path("sparse.mlapi");
    std::fs::write(&path, dir.bytes("model.mlapi")).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(2 << 30).unwrap();
    for verb in ["inspect", "eval", "serve"] {
        let done = dir.run(&[verb, "--model", "sparse.mlapi"]).fails(1);
        done.complains(&["2147483648 bytes, more than the 1073741824", "--max-model-bytes"]);
    }
    let length = dir.bytes("model.mlapi").len();
    for (limit, code) in [(length, 0), (length - 1, 1)] {
        let row = ["predict", "--features", "5.1,3.5,1.4,0.2", "--max-model-bytes", &limit.to_string()];
        dir.run(&row).fails(code);
        dir.run(&row[..3]).env("MLAPI_MAX_MODEL_BYTES", row[4]).fails(code);
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_in_memory_once_while_it_is_read() {
    // 160 MiB of zeros that no predictor has, in 300 MiB of address space; twice would not fit.
    let (dir, mut file) = iris("tree");
    file.put([("zeros", u8s(&vec![0; 160 << 20]))]);
    dir.write("large.mlapi", file.bytes());
    let limited =
        format!("ulimit -v {}; exec {} inspect --model large.mlapi", 300 << 10, env!("CARGO_BIN_EXE_mlapi"));
    let done =
        std::process::Command::new("sh").args(["-c", &limited]).current_dir(dir.path(".")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("it holds arrays that belong to nothing"), "{:?} {said}", done.status);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_model_is_refused_and_not_waited_for() {
    let dir = Workdir::new();
    assert!(std::process::Command::new("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
    dir.run(&["inspect", "--model", "pipe"]).fails(1).complains(&["pipe", "not an ordinary file"]);
}

#[cfg(unix)]
#[test]
fn a_hostile_file_in_the_place_of_a_served_one_changes_nothing_and_is_tried_once() {
    let (dir, file) = too_wide();
    let server = Server::start(&dir, &["--watch=1"], &[]);
    let before = server.predict(ROW);
    for (n, file) in [file, beyond_its_row()].iter().enumerate() {
        dir.write("new", file.bytes());
        std::fs::rename(dir.path("new"), dir.path("model.mlapi")).unwrap();
        let failed = format!("mlapi_reloads_total{{model=\"model\",result=\"failed\"}} {}\n", n + 1);
        server.wait_for("", &failed);
        // Several looks later.
        std::thread::sleep(std::time::Duration::from_millis(3500));
        let metrics = server.get("/metrics");
        assert!(metrics.contains(&failed), "{metrics}");
    }
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_string();
    assert_eq!(body(&server.predict(ROW)), body(&before));
    assert!(server.stop().contains("not loaded, everything stays as it was"));
}
