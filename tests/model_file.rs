//! The model file: damaged, foreign, newer and hostile ones, and the same bytes for the same training.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::http::Server;
use crate::support::model::blended;
use crate::support::workdir::{Workdir, fixture};
use mlapi::data::cells::matrix::Matrix;
use mlapi::data::read::json;
use mlapi::model::{Model, file};
use mlapi::server::Limits;
use safetensors::SafeTensors;
use serde_json::Value;

/// A model with every kind of column: numbers, categories, gaps.
fn penguins() -> Workdir {
    Workdir::trained("penguins.csv", &[])
}

/// Reads a model from bytes.
fn read(bytes: &[u8]) -> anyhow::Result<Model> {
    file::read(bytes, bytes.len() as u64)
}

/// What a model says of some rows, and of itself.
fn answers(model: &Model) -> (Vec<f64>, Value) {
    let schema = &model.pipeline.schema;
    let mut codes = Matrix::with_capacity(3, schema.n_features());
    for row in [
        r#"["Dream",39.1,18.7,181,3750,"male",2007]"#,
        r#"["Mars",null,15,220.5,null,null,2009]"#,
        r#"["Biscoe",47,13,217,5000,"female",2008]"#,
    ] {
        assert_eq!(
            json::read_row(row.as_bytes(), schema, mlapi::data::cells::cell::Tolerance::Strict, &mut codes)
                .unwrap()
                .total,
            0
        );
    }
    (model.pipeline.scores(&codes).values().to_vec(), serde_json::to_value(&model.card).unwrap())
}

/// The length of the header of a model file.
fn header_length(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

/// The bytes with one piece of text in the header replaced by another; the header's length is corrected.
fn edited(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let end = 8 + header_length(bytes);
    let header = std::str::from_utf8(&bytes[8..end]).unwrap();
    assert!(header.contains(old), "{old} is not in the header");
    let header = header.replacen(old, new, 1);
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[end..]].concat()
}

/// Asserts that a file of these bytes is refused by the program, and returns what it says.
fn refused(dir: &Workdir, bytes: &[u8], words: &[&str]) -> String {
    dir.write("bad.mlapi", bytes);
    let row = "Dream,39.1,18.7,181,3750,male,2007";
    let done = dir.run(&["predict", "--model", "bad.mlapi", "--features", row]).fails(1);
    let done = done.complains(&["bad.mlapi is not a usable model file"]).complains(words);
    assert!(done.stdout.is_empty(), "{done}");
    done.err()
}

// Damage.

#[test]
fn a_file_cut_off_at_every_fiftieth_is_refused() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    for part in 0..50 {
        let cut = &bytes[..bytes.len() * part / 50];
        let error =
            read(cut).err().unwrap_or_else(|| panic!("{part}/50 of the file was taken for the whole"));
        assert!(format!("{error:#}").contains("it is damaged"), "{part}/50: {error:#}");
        if part % 10 == 0 {
            refused(&dir, cut, &["it is damaged; restore it from a copy or train it again"]);
        }
    }
    assert!(read(&bytes[..bytes.len() - 1]).is_err());
    assert!(read(&bytes).is_ok());
}

#[test]
fn a_byte_flipped_anywhere_is_refused_or_changes_nothing() {
    let dir = penguins();
    let mut bytes = dir.bytes("model.mlapi");
    let whole = answers(&read(&bytes).unwrap());
    let mut harmless = 0;
    let mut check = |bytes: &[u8], place: usize, value: u8| match read(bytes) {
        Err(error) => {
            let message = format!("{error:#}");
            let known = ["it is damaged", "use a newer mlapi", "larger than any model file"];
            assert!(known.iter().any(|text| message.contains(text)), "byte {place} as {value}: {message}");
        }
        Ok(model) => {
            assert_eq!(answers(&model), whole, "byte {place} as {value}");
            harmless += 1;
        }
    };
    let n = bytes.len();
    // Every value of interest in the first kilobyte, one flip each in the rest.
    for place in 0..n {
        let old = bytes[place];
        let mut values: Vec<u8> = vec![old ^ 1];
        if place < 1024 {
            values.extend([old ^ 0x80, old ^ 0x20, 0, 0xFF, b'0', b'9', b'"', b' ', b'}']);
        }
        for value in values.into_iter().filter(|&value| value != old) {
            bytes[place] = value;
            check(&bytes, place, value);
        }
        bytes[place] = old;
    }
    // Blanks between the header and the arrays may become other blanks; nothing else may pass.
    assert!(harmless <= 16, "{harmless} changes went unnoticed");
}

#[test]
fn the_program_refuses_flipped_bytes_without_a_panic() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    for place in [0, 3, 7, 8, 9, 30, 200, 500, 1000, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        refused(&dir, &flipped, &[]);
        dir.run(&["eval", "--model", "bad.mlapi"]).fails(1).complains(&["bad.mlapi"]);
        dir.run(&["inspect", "--model", "bad.mlapi"]).fails(1).complains(&["bad.mlapi"]);
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    for more in [&b"\n"[..], &[0; 8], &bytes] {
        let longer = [&bytes, more].concat();
        let should = format!("it has {} bytes and should have {}", longer.len(), bytes.len());
        refused(&dir, &longer, &[&should]);
    }
}

#[test]
fn arrays_that_have_changed_places_are_refused() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    // Same type and shape, so that only the contents tell.
    let swapped = edited(&bytes, "\"recipe.mean\"", "\"recipe.m\"");
    let swapped = edited(&swapped, "\"recipe.scale\"", "\"recipe.mean\"");
    let swapped = edited(&swapped, "\"recipe.m\"", "\"recipe.scale\"");
    refused(&dir, &swapped, &["its checksum does not match its contents"]);
    let renamed = edited(&bytes, "\"recipe.mean\"", "\"recipe.meen\"");
    refused(&dir, &renamed, &["it is damaged"]);
    let tampered = edited(&bytes, "penguins.csv", "walruses.csv");
    refused(&dir, &tampered, &["its checksum does not match its contents"]);
}

// Files that are no model files.

#[test]
fn files_that_are_no_models_are_refused_by_name() {
    let dir = penguins();
    refused(&dir, b"", &["it is too short"]);
    refused(&dir, b"1234567", &["it is too short"]);
    refused(&dir, fixture("iris.csv").as_bytes(), &["not those of a model file"]);
    refused(&dir, b"PK\x03\x04 and more of a zip file", &["not those of a model file"]);
    refused(&dir, &[0; 4096], &["it is damaged"]);
    dir.run(&["inspect", "--model", "none.mlapi"]).fails(1).complains(&[
        "cannot open the model none.mlapi",
        "mlapi train DATA",
        "--model FILE",
    ]);
    std::fs::create_dir(dir.path("folder")).unwrap();
    dir.run(&["inspect", "--model", "folder"]).fails(1).complains(&["folder"]);
}

#[test]
fn random_bytes_are_refused() {
    let dir = penguins();
    // xorshift64 (Marsaglia 2003).
    let mut state = 88_172_645_463_325_252_u64;
    for round in 0..200 {
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < 16 + round * 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        assert!(read(&bytes).is_err());
        // The same with a header length that could be.
        let n = (bytes.len() - 8) as u64 / 2;
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        assert!(read(&bytes).is_err());
        if round % 50 == 0 {
            refused(&dir, &bytes, &["it is damaged"]);
        }
    }
}

#[test]
fn another_safetensors_file_is_refused() {
    let dir = penguins();
    let data = 1.0_f64.to_le_bytes();
    let view = || safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![1], &data).unwrap();
    let plain = safetensors::serialize([("weight", view())], None).unwrap();
    refused(&dir, &plain, &["it is damaged"]);
    let other = std::collections::HashMap::from([("mlapi".to_string(), "{}".to_string())]);
    let other = safetensors::serialize([("weight", view())], Some(other)).unwrap();
    refused(&dir, &other, &["it is damaged"]);
}

/// Gives what it has and counts what was asked for.
struct Counting<'a> {
    bytes: &'a [u8],
    asked: usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.asked = self.asked.max(buffer.len());
        self.bytes.read(buffer)
    }
}

#[test]
fn a_header_that_claims_to_be_huge_is_refused_before_anything_is_allocated() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    let started = Instant::now();
    for length in [u64::MAX, 1 << 62, 1 << 40, 99_999_999, 100_000_001, bytes.len() as u64] {
        let mut hostile = bytes.clone();
        hostile[..8].copy_from_slice(&length.to_le_bytes());
        let mut reader = Counting { bytes: &hostile, asked: 0 };
        let error = file::read(&mut reader, hostile.len() as u64).unwrap_err();
        assert!(error.to_string().contains("not those of a model file"), "{length}: {error:#}");
        assert_eq!(reader.asked, 8, "{length}");
        refused(&dir, &hostile, &["its first bytes are not those of a model file"]);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn arrays_that_claim_to_be_huge_are_refused_before_they_are_read() {
    let bytes = penguins().bytes("model.mlapi");
    let end = 8 + header_length(&bytes);
    let header = std::str::from_utf8(&bytes[8..end]).unwrap();
    let shape = header.split("\"recipe.mean\":").nth(1).unwrap().split('}').next().unwrap();
    let (before, offsets) = shape.split_once("data_offsets\":[").unwrap();
    let start = offsets.split(',').next().unwrap();
    for huge in [1_u64 << 30, 1 << 50, u64::MAX] {
        let claim =
            format!("{before}data_offsets\":[{start},{huge}]").replace("[7]", &format!("[{}]", huge / 8));
        let hostile = edited(&bytes, shape, &claim);
        let mut reader = Counting { bytes: &hostile, asked: 0 };
        let error = file::read(&mut reader, hostile.len() as u64).unwrap_err();
        assert!(format!("{error:#}").contains("it is damaged"), "{error:#}");
        assert!(reader.asked <= 64 * 1024, "{} bytes were asked for at once", reader.asked);
    }
}

#[test]
fn a_header_nested_deep_is_refused() {
    let dir = penguins();
    for open in ["[", "{\"a\":"] {
        let header = open.repeat(100_000);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        refused(&dir, &bytes, &["it is damaged"]);
        let bytes = dir.bytes("model.mlapi");
        let golden = format!("\\\"golden\\\":{}", open.replace('"', "\\\"").repeat(50_000));
        refused(&dir, &edited(&bytes, "\\\"golden\\\":", &golden), &["it is damaged"]);
    }
}

// Versions.

#[test]
fn a_file_of_a_newer_version_names_both_versions_and_the_remedy() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    let newer = edited(&bytes, "\\\"format_version\\\":10", "\\\"format_version\\\":99");
    assert_eq!(newer.len(), bytes.len());
    let newer = edited(&newer, "\\\"mlapi_version\\\":\\\"0.", "\\\"mlapi_version\\\":\\\"7.");
    refused(
        &dir,
        &newer,
        &[
            "it has format version 99 (mlapi 7.",
            &format!(
                "this is mlapi {}, which reads up to version {}",
                env!("CARGO_PKG_VERSION"),
                file::FORMAT_VERSION
            ),
            "use a newer mlapi",
        ],
    );
    // A newer header may hold what this version does not know.
    let stranger =
        edited(&newer, "\\\"predictor\\\":\\\"", "\\\"unheard_of\\\":[{}],\\\"predictor\\\":\\\"new-");
    refused(&dir, &stranger, &["use a newer mlapi"]);
    for version in ["0", "-1", "1.5", "null", "\\\"1\\\""] {
        let odd = edited(&bytes, "\\\"format_version\\\":10", &format!("\\\"format_version\\\":{version}"));
        refused(&dir, &odd, &["it is damaged"]);
    }
}

#[test]
fn the_file_opens_as_safetensors_with_one_metadata_entry() {
    let dir = penguins();
    let bytes = dir.bytes("model.mlapi");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let entries = metadata.metadata().as_ref().unwrap();
    assert_eq!(entries.keys().collect::<Vec<_>>(), ["mlapi"]);
    let header: Value = serde_json::from_str(&entries["mlapi"]).unwrap();
    assert_eq!(header["format_version"], 10);
    assert_eq!(header["mlapi_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(header["card"]["data"]["path"], "penguins.csv");
    assert_eq!(header["card"]["seed"], 42);
    assert_eq!(header["card"]["data"]["sha256"].as_str().unwrap().len(), 64);
    assert!(header["golden"].as_array().unwrap().len() > 1);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let names: BTreeSet<String> = tensors.names().into_iter().map(String::from).collect();
    for name in ["recipe.fill", "recipe.mean", "recipe.scale", "golden.scores", "checksum"] {
        assert!(names.contains(name), "{names:?}");
    }
}

// The same bytes.

#[test]
fn the_same_training_gives_the_same_bytes_on_any_number_of_threads() {
    let dir = Workdir::with(&["penguins.csv", "breast_cancer.csv", "digits.csv", "diabetes.csv"]);
    for (data, flags) in [
        ("penguins.csv", &["--refit"][..]),
        ("breast_cancer.csv", &["--balance", "--algorithm", "forest", "--set", "n_estimators=20"]),
        ("digits.csv", &["--algorithm", "mlp", "--set", "max_iter=5"]),
        ("diabetes.csv", &[]),
        ("diabetes.csv", &["--algorithm", "ridge"]),
    ] {
        let bytes = |threads: &[&str]| {
            dir.run(&[&["train", data, "-q"], flags, threads].concat()).ok();
            dir.bytes("model.mlapi")
        };
        let plain = bytes(&[]);
        for threads in ["1", "8"] {
            assert!(plain == bytes(&["--threads", threads]), "{data} {flags:?} on {threads} threads");
        }
        assert!(plain == bytes(&[]), "{data} {flags:?} again");
        assert!(plain != bytes(&["--seed", "7"]), "{data} {flags:?} with another seed");
    }
}

#[test]
fn the_output_path_and_the_folder_leave_no_trace_in_the_file() {
    let (here, there) = (Workdir::with(&["iris.csv"]), Workdir::with(&["iris.csv"]));
    here.run(&["train", "iris.csv"]).ok();
    there.run(&["train", "iris.csv", "-o", "other.mlapi", "--format", "json"]).ok();
    assert!(here.bytes("model.mlapi") == there.bytes("other.mlapi"));
}

#[test]
fn another_seed_algorithm_or_setting_gives_another_file() {
    let dir = Workdir::with(&["diabetes.csv"]);
    let mut files = BTreeSet::new();
    for flags in [
        &[][..],
        &["--algorithm", "forest"],
        &["--algorithm", "forest", "--seed", "43"],
        &["--algorithm", "forest", "--set", "min_samples_leaf=2"],
        &["--algorithm", "ridge"],
        &["--algorithm", "ridge", "--test-size", "0.3"],
        &["--algorithm", "ridge", "--drop", "s1"],
        &["--algorithm", "ridge", "--refit"],
    ] {
        dir.run(&[&["train", "diabetes.csv"], flags].concat()).ok();
        assert!(files.insert(dir.bytes("model.mlapi")), "{flags:?}");
    }
}

// Writing.

#[test]
fn a_training_that_fails_leaves_the_old_model_and_no_other_file() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.write("bad.csv", "x,y\n1,a\n2,a\n");
    let (model, files) = (dir.bytes("model.mlapi"), dir.files());
    dir.run(&["train", "bad.csv"]).fails(1);
    dir.run(&["train", "none.csv"]).fails(1);
    dir.run(&["train", "iris.csv", "--set", "C=0"]).fails(2);
    assert_eq!((dir.bytes("model.mlapi"), dir.files()), (model.clone(), files.clone()));
    dir.run(&["train", "iris.csv", "--seed", "1"]).ok();
    assert_ne!(dir.bytes("model.mlapi"), model);
    assert_eq!(dir.files(), files, "no temporary files");
}

#[test]
fn a_write_that_fails_half_way_leaves_the_old_file() {
    let dir = Workdir::new();
    dir.write("model.mlapi", "old");
    let result = file::replace_atomically(&dir.path("model.mlapi"), |out| -> anyhow::Result<()> {
        out.write_all(b"new and half")?;
        anyhow::bail!("the disk is full")
    });
    assert_eq!(result.unwrap_err().to_string(), "the disk is full");
    assert_eq!((dir.read("model.mlapi").as_str(), dir.files()), ("old", vec!["model.mlapi".to_string()]));
    file::write_atomically(&dir.path("model.mlapi"), b"new").unwrap();
    assert_eq!(dir.read("model.mlapi"), "new");
    assert!(file::write_atomically(Path::new("no/such/folder/model.mlapi"), b"new").is_err());
}

#[cfg(unix)]
#[test]
fn a_model_file_has_the_permissions_of_an_ordinary_one() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Workdir::trained("iris.csv", &[]);
    let mode = |name: &str| std::fs::metadata(dir.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("model.mlapi"), mode("iris.csv"), "as the umask says");
}

#[test]
fn files_of_every_format_version_so_far_are_read_and_evaluate_as_they_did() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models");
    let dir =
        Workdir::with(&["penguins.csv", "intents.csv", "rentals.csv", "visits.csv", "breast_cancer.csv"]);
    dir.write("prices.csv", fixture("people/prices.csv"));
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path("model.mlapi")).unwrap();
        n_files += 1;
        // Graphs are run by builds with a feature; others say so.
        if !cfg!(feature = "import") && path.ends_with("format-12-graph.mlapi") {
            let fails = dir.run(&["inspect"]).fails(1);
            assert!(fails.err().contains("--features import"), "{}", fails.err());
            continue;
        }
        let shown = dir.run(&["inspect", "--format", "json"]).ok().json();
        // No rows of an imported model were held out; its golden rows were checked when it was read.
        if shown["card"]["origin"].is_object() {
            continue;
        }
        let now = dir.run(&["eval", "--format", "json"]).ok().json();
        let figure = if now["task"] == "regression" { "r2" } else { "accuracy" };
        let then = &shown["card"]["evaluation"]["metrics"][figure];
        assert_eq!((&now["metrics"][figure], now.get("recorded_at_training")), (then, None), "{path:?}");
        assert!(then.as_f64().unwrap() > 0.65);
    }
    assert!(n_files >= 12);
}

/// An ensemble of three that was evaluated on the held-out rows.
fn ensemble() -> Workdir {
    let mut dir = penguins();
    let models = ["logreg", "tree", "svm"].map(|algorithm| {
        dir = Workdir::trained("penguins.csv", &["--algorithm", algorithm]);
        file::load(dir.path("model.mlapi")).unwrap()
    });
    let mut model = blended(models.into(), &[0.5, 0.3, 0.2]);
    model.save(dir.path("model.mlapi")).unwrap();
    let mut evaluation = dir.run(&["eval", "--format", "json"]).ok().json();
    evaluation.as_object_mut().unwrap().remove("recorded_at_training");
    model.card.evaluation = serde_json::from_value(evaluation).unwrap();
    model.save(dir.path("model.mlapi")).unwrap();
    dir
}

#[test]
fn an_ensemble_names_its_members_wherever_a_model_describes_itself() {
    let dir = ensemble();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/format-6-ensemble.mlapi");
    if !kept.exists() {
        std::fs::copy(dir.path("model.mlapi"), kept).unwrap();
    }
    let text = dir.run(&["inspect"]).ok().out().to_string();
    for line in [
        "algorithm   ensemble",
        "member      0.500 logistic-regression: C=",
        "member      0.300 decision-tree: ",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("settings"), "{text}");
    let described = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(
        (&described["algorithm"], &described["card"]["members"]),
        (&"ensemble".into(), &described["members"])
    );
    assert_eq!(described["members"][2]["algorithm"], "svm");
    assert_eq!(described["members"][2]["weight"], 0.2);
    assert_eq!(described["members"][2]["hyperparameters"]["kernel"], "rbf");
    let importances = described["importances"].as_object().unwrap();
    let sum: f64 = importances.values().map(|value| value.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-12 && importances.len() == 7, "{importances:?}");
    let row = r#"{"data":["Dream",39.1,18.7,181,3750,"male",2007]}"#;
    let model = || file::load(dir.path("model.mlapi")).unwrap();
    let server = Server::start(model(), Limits::default());
    let answer = server.predict(row).json();
    let by_row =
        dir.run(&["predict", "--format", "json", "--features", "Dream,39.1,18.7,181,3750,male,2007"]);
    assert_eq!(answer, by_row.ok().json());
    let shown = server.send("GET", "/model", "", "").json();
    assert_eq!((&shown["algorithm"], &shown["members"]), (&"ensemble".into(), &described["members"]));
    let single = penguins().run(&["inspect", "--format", "json"]).ok().json();
    assert!(single.get("members").is_none() && single["card"].get("members").is_none());
}

#[test]
fn what_killed_writers_left_is_removed_by_the_next_and_nothing_else() {
    let dir = Workdir::with(&["iris.csv"]);
    let put = |name: &str, seconds_ago: u64| {
        dir.write(name, "half a model");
        let file = std::fs::File::options().write(true).open(dir.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
        file
    };
    put(".mlapi-killed.tmp", 3600);
    put(".mlapi-just-made.tmp", 1);
    let alive = put(".mlapi-alive.tmp", 3600);
    alive.lock().unwrap();
    put("mine.tmp", 3600);
    dir.run(&["train", "iris.csv", "--algorithm", "tree"]).ok();
    let mut files = dir.files();
    files.sort_unstable();
    assert_eq!(
        files,
        [".mlapi-alive.tmp", ".mlapi-just-made.tmp", "iris.csv", "mine.tmp", "model.mlapi"].map(String::from)
    );
}
