//! Models of other programs: imported, they predict as their trainers do, and work everywhere as trained ones.
//!
//! The models and the predictions beside them are of xgboost 3.2.0, lightgbm 4.7.0 and catboost 1.2.10, written by
//! `fixtures/import/make.py`, the ONNX files of skl2onnx 1.20.0 by `make_onnx.py` with the predictions of onnxruntime
//! 1.32.0; `tests/foreign.sh` compares far more of them with the trainers themselves.

use serde_json::{Value, json};

use crate::support::process::Server;
use crate::support::workdir::Workdir;

const SINGLE: f64 = 1e-6;
const DOUBLE: f64 = 1e-12;

fn folder() -> Workdir {
    let dir = Workdir::new();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import");
    for name in
        ["xgboost.json", "xgboost.ubj", "lightgbm.txt", "lightgbm_zero.txt", "catboost.json", "rows.csv"]
    {
        dir.write(name, std::fs::read(fixtures.join(name)).unwrap());
    }
    for name in ["columns", "boosted", "knn", "text", "closed", "net", "rates"]
        .map(|name| format!("onnx_{name}.onnx"))
    {
        dir.write(&name, std::fs::read(fixtures.join(&name)).unwrap());
    }
    dir.write("onnx_rows.csv", std::fs::read(fixtures.join("onnx_rows.csv")).unwrap());
    dir
}

/// The named columns of a table of numbers.
fn columns(table: &str, names: &[&str]) -> Vec<Vec<f64>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let places: Vec<usize> =
        names.iter().map(|name| header.iter().position(|column| column == *name).expect(name)).collect();
    let row = |record: csv::StringRecord| places.iter().map(|&at| record[at].parse().unwrap()).collect();
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// Imports a model, predicts the rows, and compares `ours` with `theirs` in every one.
fn agrees(flags: &[&str], ours: &[&str], theirs: &[&str], tolerance: f64) -> Workdir {
    let dir = folder();
    dir.run(&[&["import"], flags].concat()).ok();
    let classes: &[&str] = if ours[0] == "prediction" { &[] } else { &["--probabilities"] };
    let flags_of_rows = ["predict", "--input", "rows.csv", "--keep", "none", "--output", "out.csv"];
    dir.run(&[&flags_of_rows[..], classes].concat()).ok();
    let (ours, theirs) = (columns(&dir.read("out.csv"), ours), columns(&dir.read("rows.csv"), theirs));
    assert_eq!((ours.len(), theirs.len()), (70, 70));
    for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{flags:?}, row {row}: {a} and {b}");
        }
    }
    dir
}

#[test]
fn xgboost_predicts_as_its_trainer_at_thresholds_without_values_and_with_unseen_levels() {
    agrees(&["xgboost.json"], &["probability_1"], &["x_two"], SINGLE);
    let names = ["--features", "bill_length_mm,bill_depth_mm,flipper_length_mm"];
    agrees(&[&["xgboost.ubj"], &names[..]].concat(), &["prediction"], &["x_number"], SINGLE);
}

#[test]
fn lightgbm_predicts_as_its_trainer_with_sets_of_levels_and_with_zeros_that_are_missing() {
    let ours = ["probability_0", "probability_1", "probability_2"];
    agrees(&["lightgbm.txt"], &ours, &["l_three_0", "l_three_1", "l_three_2"], DOUBLE);
    let dir = agrees(&["lightgbm_zero.txt"], &["prediction"], &["l_zero"], DOUBLE);
    let inspected = dir.run(&["inspect"]).ok();
    assert!(inspected.out().contains("lightgbm_zero.txt of LightGBM"), "{}", inspected.out());
}

#[test]
fn catboost_predicts_as_its_trainer_and_brings_its_labels() {
    let ours = ["probability_Adelie", "probability_Chinstrap", "probability_Gentoo"];
    agrees(&["catboost.json"], &ours, &["c_three_0", "c_three_1", "c_three_2"], DOUBLE);
}

#[test]
fn graphs_of_onnx_predict_as_onnxruntime_and_become_forms_where_they_fit() {
    let dir = folder();
    for (name, form) in
        [("columns", "linear-sigmoid"), ("boosted", "trees"), ("knn", "onnx"), ("text", "onnx")]
    {
        let features: &[&str] = if name == "boosted" || name == "knn" { &["--features", "a,b"] } else { &[] };
        let file = format!("onnx_{name}.onnx");
        let done = dir.run(&[&["import", &file, "--target", "liked"], features].concat()).ok();
        assert!(done.out().contains(form), "{name}: {}", done.out());
        assert!(done.out().contains("skl2onnx 1.20.0") && done.out().contains("no, yes"), "{}", done.out());
        // Neighbours of a row without a value are undefined.
        let asked = dir.read("onnx_rows.csv");
        let lines = asked.lines().filter(|line| name != "knn" || !line.starts_with(','));
        dir.write("asked.csv", lines.fold(String::new(), |text, line| text + line + "\n"));
        let flags =
            ["predict", "--input", "asked.csv", "--probabilities", "--keep", "none", "--output", "out.csv"];
        dir.run(&flags).ok();
        let ours = columns(&dir.read("out.csv"), &["probability_yes"]);
        let theirs = columns(&dir.read("asked.csv"), &[&format!("o_{name}")]);
        assert!(ours.len() == theirs.len() && ours.len() >= 32, "{name}: {} rows", ours.len());
        for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert!((ours[0] - theirs[0]).abs() <= SINGLE, "{name}, row {row}: {ours:?} and {theirs:?}");
        }
    }
}

#[test]
fn rows_that_onnxruntime_makes_no_number_of_are_refused() {
    let dir = folder();
    let asked = dir.read("onnx_rows.csv");
    for (name, form, output) in [
        ("closed", "linear-sigmoid", "probability_yes"),
        ("net", "net-sigmoid", "probability_yes"),
        ("rates", "linear-exponential", "prediction"),
    ] {
        let done = dir.run(&["import", &format!("onnx_{name}.onnx"), "--target", "liked"]).ok();
        assert!(done.out().contains(form), "{name}: {}", done.out());
        // With its columns, as a refused row alone is an empty line.
        let flags = ["predict", "--input", "onnx_rows.csv", "--keep", "all", "--output", "out.csv"];
        let classes: &[&str] = if output == "prediction" { &[] } else { &["--probabilities"] };
        let stopped = dir.run(&[&flags[..], classes].concat()).fails(1);
        assert!(stopped.err().contains("not a finite number"), "{name}: {}", stopped.err());
        dir.run(&[&flags[..], classes, &["--on-error", "null"]].concat()).ok();
        let cells = |table: &str, column: &str| -> Vec<Option<f64>> {
            let mut reader = csv::Reader::from_reader(table.as_bytes());
            let at = reader.headers().unwrap().iter().position(|name| name == column).expect(column);
            reader.records().map(|record| record.unwrap()[at].parse().ok()).collect()
        };
        let (ours, theirs) = (cells(&dir.read("out.csv"), output), cells(&asked, &format!("o_{name}")));
        assert!(ours.len() == 40 && theirs.iter().filter(|p| p.is_none()).count() >= 8);
        for (row, pair) in ours.iter().zip(&theirs).enumerate() {
            let same = match pair {
                (Some(a), Some(b)) => (a - b).abs() <= SINGLE * b.abs().max(1.0),
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{name}, row {row}: {pair:?}");
        }
    }
}

#[test]
fn a_form_read_from_onnx_is_explained_and_leaves_again() {
    let dir = folder();
    // Rows that all models take, with a target.
    let table = dir.read("onnx_rows.csv");
    let mut lines = table.lines();
    let mut sample = lines.next().unwrap().to_string() + ",liked\n";
    for (i, line) in lines.filter(|line| !line.starts_with(',') && !line.contains("other")).enumerate() {
        sample += &format!("{line},{}\n", ["no", "yes"][i % 2]);
    }
    dir.write("sample.csv", &sample);
    let row = "a=0.5,b=3,sex=m";
    for name in ["closed", "net", "columns", "boosted"] {
        let features: &[&str] = if name == "boosted" { &["--features", "a,b"] } else { &[] };
        let file = format!("onnx_{name}.onnx");
        let flags = ["import", &file, "--data", "sample.csv", "--target", "liked"];
        dir.run(&[&flags[..], features].concat()).ok();
        let row = if name == "boosted" { "a=0.5,b=3" } else { row };
        let explained = dir.run(&["predict", "--features", row, "--explain", "--format", "json"]).ok().json();
        let explanation = &explained["explanation"];
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{name}: {explained}"));
        let parts: f64 = explanation["contributions"].as_object().unwrap().values().map(number).sum();
        let (base, score) = (number(&explanation["base"]), number(&explanation["score"]));
        assert!((base + parts - score).abs() < 1e-6, "{name}: {explained}");
        // And what leaves comes back with the same predictions.
        let flags = [
            "predict",
            "--input",
            "onnx_rows.csv",
            "--probabilities",
            "--keep",
            "none",
            "--on-error",
            "null",
        ];
        let predicted = dir.run(&flags).ok().out().to_string();
        dir.run(&["export", "--to", "onnx", "--output", "again.onnx"]).ok();
        dir.run(&["import", "again.onnx", "--target", "liked"]).ok();
        let again = dir.run(&flags).ok().out().to_string();
        let numbers = |text: &str| -> Vec<Option<f64>> {
            text.lines().skip(1).flat_map(|line| line.split(',').map(|cell| cell.parse().ok())).collect()
        };
        let (before, after) = (numbers(&predicted), numbers(&again));
        assert!(before.len() == after.len() && before.len() >= 80, "{name}");
        for pair in before.iter().zip(&after) {
            let same = match pair {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{name}: {pair:?}");
        }
    }
    dir.run(&["import", "onnx_closed.onnx", "--target", "liked"]).ok();
    let query = dir.run(&["export", "--to", "sql"]).ok();
    assert!(query.out().contains("IS NULL THEN NULL"), "{}", query.out());
    assert!(!query.out().contains("COALESCE"), "{}", query.out());
}

#[test]
fn a_graph_that_cannot_be_read_is_refused_with_its_node_and_the_remedy() {
    let dir = folder();
    let changed = |from: &str, to: &str| {
        let bytes = dir.bytes("onnx_columns.onnx");
        assert_eq!(from.len(), to.len());
        // The operator stands behind the name of its node.
        let at = bytes.windows(from.len()).rposition(|window| window == from.as_bytes()).expect(from);
        let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        dir.write("changed.onnx", changed);
        dir.run(&["import", "changed.onnx"]).fails(1).err().to_string()
    };
    let message = changed("Scaler", "Stator");
    assert!(message.contains("the node Stator") && message.contains("known are Scan, Abs, "), "{message}");
    assert!(changed("LOGISTIC", "PROBISTI").contains("post_transform PROBISTI"));
    dir.write("half.onnx", &dir.bytes("onnx_knn.onnx")[..900]);
    let fails = dir.run(&["import", "half.onnx"]).fails(1);
    assert!(fails.err().contains("cut off or damaged"), "{}", fails.err());
    let fails = dir.run(&["import", "onnx_knn.onnx", "--labels", "a,b,c"]).fails(2);
    assert!(fails.err().contains("--labels has 3 labels and the model 2 classes"), "{}", fails.err());
}

#[test]
fn a_sample_gives_ranges_golden_rows_and_figures_and_predictions_that_differ_are_refused() {
    let dir = folder();
    let flags = ["import", "catboost.json", "--data", "rows.csv", "--target", "species"];
    let done = dir.run(&[&flags[..], &["--expect", "c_label"]].concat()).ok();
    assert!(done.out().contains("70 rows, all labels equal"), "{}", done.out());
    let inspected: Value =
        serde_json::from_str(dir.run(&["inspect", "--format", "json"]).ok().out()).unwrap();
    assert_eq!(inspected["card"]["origin"]["producer"], "CatBoost");
    assert_eq!(inspected["card"]["origin"]["version"], "1.2.10");
    assert!(inspected["schema"]["features"][0]["max"].as_f64().unwrap() < 100.0);
    assert!(inspected["metrics"]["accuracy"].as_f64().unwrap() > 0.5);
    let fails = dir.run(&[&flags[..], &["--expect", "species"]].concat()).fails(1);
    assert!(fails.err().contains("rows.csv line") && fails.err().contains("rows differ"), "{}", fails.err());

    let flags = ["import", "xgboost.json", "--data", "rows.csv", "--target", "species", "--labels", "no,yes"];
    let done = dir.run(&[&flags[..], &["--expect", "x_two", "--format", "json"]].concat()).ok();
    let result: Value = serde_json::from_str(done.out()).unwrap();
    assert_eq!(result["labels"], json!(["no", "yes"]));
    assert_eq!(result["compared"]["n_rows"], 70);
    let fails = dir.run(&[&flags[..], &["--expect", "l_three_0"]].concat()).fails(1);
    assert!(fails.err().contains("the largest of 70 differences"), "{}", fails.err());
}

#[test]
fn an_imported_model_is_evaluated_on_a_file_and_says_that_no_rows_were_held_out() {
    let dir = folder();
    dir.run(&["import", "catboost.json", "--target", "species"]).ok();
    let done = dir.run(&["eval", "rows.csv", "--format", "json"]).ok();
    let evaluation: Value = serde_json::from_str(done.out()).unwrap();
    assert_eq!((&evaluation["algorithm"], &evaluation["n_rows"]), (&json!("catboost"), &json!(70)));
    let fails = dir.run(&["eval"]).fails(1);
    assert!(
        fails.err().contains("catboost.json of CatBoost 1.2.10, so no rows were held out"),
        "{}",
        fails.err()
    );
}

#[cfg(unix)]
#[test]
fn an_imported_model_is_served_in_three_protocols_and_replaced_while_it_is() {
    let dir = folder();
    dir.run(&["import", "catboost.json", "--target", "species"]).ok();
    let server = Server::start(&dir, &[], &[]);
    let answer = server.predict(r#"{"data":[39.1,18.7,181,3750]}"#);
    assert!(answer.contains("\"prediction\":\"Adelie\""), "{answer}");
    let inputs = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"].map(|name| {
        json!({ "name": name, "shape": [1], "datatype": "FP64", "data": [if name == "body_mass_g" { 3750.0 } else if name == "flipper_length_mm" { 181.0 } else if name == "bill_depth_mm" { 18.7 } else { 39.1 }] })
    });
    let answer = server.post("/v2/models/model/infer", &json!({ "inputs": inputs }).to_string());
    assert!(answer.contains("Adelie"), "{answer}");
    let row = r#"{"dataframe_split":{"columns":["bill_length_mm","bill_depth_mm","flipper_length_mm","body_mass_g"],"data":[[39.1,18.7,181,3750]]}}"#;
    let answer = server.post("/invocations", row);
    assert!(answer.contains("Adelie"), "{answer}");
    let answer = server.get("/model");
    assert!(
        answer.contains("\"producer\":\"CatBoost\"") && answer.contains("\"file\":\"catboost.json\""),
        "{answer}"
    );
    dir.run(&["import", "lightgbm_zero.txt", "--target", "length", "--output", "new.mlapi"]).ok();
    std::fs::rename(dir.path("new.mlapi"), dir.path("model.mlapi")).unwrap();
    server.signal("HUP");
    for _ in 0..100 {
        if server.get("/model").contains("lightgbm_zero.txt") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the new model is not served");
}

#[test]
fn what_cannot_be_imported_is_refused_by_its_name() {
    let dir = folder();
    let refused = |name: &str, from: &str, to: &str, words: &str| {
        let text = dir.read(name);
        assert!(text.contains(from), "{name} has no {from}");
        dir.write("changed", text.replacen(from, to, 1));
        let fails = dir.run(&["import", "changed"]).fails(1);
        assert!(fails.err().contains(words), "{}", fails.err());
    };
    refused("xgboost.json", "binary:logistic", "rank:ndcg", "\"rank:ndcg\"");
    refused("xgboost.json", "\"name\":\"gbtree\"", "\"name\":\"gblinear\"", "\"gblinear\"");
    refused("xgboost.json", "\"num_target\":\"1\"", "\"num_target\":\"2\"", "num_target");
    refused("lightgbm.txt", "objective=multiclass num_class:3", "objective=lambdarank", "\"lambdarank\"");
    refused("lightgbm.txt", "is_linear=0", "is_linear=1", "linear_tree");
    refused("lightgbm.txt", "end of trees", "", "cut off");
    refused("catboost.json", "\"type\":\"MultiClass\"", "\"type\":\"YetiRank\"", "\"YetiRank\"");
    dir.write("model.pkl", b"\x80\x04\x95");
    let fails = dir.run(&["import", "model.pkl"]).fails(2);
    assert!(fails.err().contains("never opens") && fails.err().contains("save_model"), "{}", fails.err());
    assert!(!dir.files().contains(&"model.mlapi".to_string()));
    let fails = dir.run(&["import", "catboost.json", "--features", "a,b"]).fails(2);
    assert!(fails.err().contains("--features has 2 names and the model reads 4 columns"), "{}", fails.err());
    let fails = dir.run(&["import", "catboost.json", "--labels", "a,b"]).fails(2);
    assert!(fails.err().contains("--labels has 2 labels and the model 3 classes"), "{}", fails.err());
}

#[test]
fn no_byte_of_a_model_file_makes_the_import_panic() {
    use mlapi::import::{Format, check_bytes};
    let dir = folder();
    for (name, format) in [
        ("xgboost.json", Format::Xgboost),
        ("xgboost.ubj", Format::Xgboost),
        ("lightgbm.txt", Format::Lightgbm),
        ("catboost.json", Format::Catboost),
        ("onnx_columns.onnx", Format::Onnx),
        ("onnx_boosted.onnx", Format::Onnx),
        ("onnx_knn.onnx", Format::Onnx),
        ("onnx_text.onnx", Format::Onnx),
    ] {
        let bytes = dir.bytes(name);
        assert!(check_bytes(format, &bytes).is_ok(), "{name}");
        for at in (0..bytes.len()).step_by(bytes.len() / 400) {
            let _ = check_bytes(format, &bytes[..at]);
            for value in [0, b'9', b'-', 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = check_bytes(format, &changed);
            }
        }
    }
}

#[test]
fn a_model_of_trees_leaves_as_lightgbm_text_and_comes_back_the_same() {
    for (fixture, flags) in [
        ("penguins.csv", &["--algorithm", "gradient-boosting"][..]),
        ("penguins.csv", &["--algorithm", "decision-tree"]),
        ("diabetes.csv", &["--algorithm", "random-forest", "--set", "n_estimators=20"]),
        ("breast_cancer.csv", &["--algorithm", "gradient-boosting"]),
    ] {
        let dir = Workdir::trained(fixture, flags);
        let predict = |model: &str| {
            let flags = ["--model", model, "--input", fixture, "--keep", "none", "--format", "text"];
            dir.run(&[&["predict"], &flags[..]].concat()).ok().out().to_string()
        };
        let before = predict("model.mlapi");
        dir.run(&["export", "--to", "lightgbm", "--output", "model.txt"]).ok();
        if !dir.read("model.txt").contains("objective=") {
            continue;
        }
        dir.run(&["import", "model.txt", "--data", fixture, "--output", "back.mlapi"]).ok();
        let numbers = |text: &str| -> Vec<f64> {
            text.lines()
                .skip(1)
                .flat_map(|line| line.split(','))
                .filter_map(|cell| cell.parse().ok())
                .collect()
        };
        let (before, after) = (numbers(&before), numbers(&predict("back.mlapi")));
        assert!(!before.is_empty() && before.len() == after.len(), "{fixture}");
        for (a, b) in before.iter().zip(&after) {
            assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{fixture} {flags:?}: {a} and {b}");
        }
    }
}

#[test]
fn what_a_form_cannot_say_is_refused_by_its_name() {
    let dir = Workdir::trained("rentals.csv", &["--algorithm", "gradient-boosting"]);
    let fails = dir.run(&["export", "--to", "lightgbm"]).fails(1);
    assert!(fails.err().contains("parts of dates"), "{}", fails.err());
    assert!(dir.run(&["export", "--to", "sql"]).fails(1).err().contains("--drop"));
    let dir = Workdir::trained("iris.csv", &["--algorithm", "knn"]);
    assert!(dir.run(&["export", "--to", "lightgbm"]).fails(1).err().contains("holds trees"));
    assert!(dir.run(&["export", "--to", "sql"]).fails(1).err().contains("linear models and trees"));
}

/// What the files say is compared with onnxruntime by tests/foreign.sh.
#[test]
fn onnx_says_every_algorithm_and_ensembles() {
    let algorithms =
        ["gradient-boosting", "random-forest", "logistic-regression", "naive-bayes", "mlp", "svm", "knn"];
    for flags in algorithms.map(|name| vec!["--algorithm", name]).into_iter().chain([vec![]]) {
        let dir = Workdir::trained("penguins.csv", &flags);
        dir.run(&["export", "--to", "onnx", "--output", "double.onnx"]).ok();
        dir.run(&["export", "--to", "onnx", "--compat", "--output", "single.onnx"]).ok();
        let [double, single] = ["double.onnx", "single.onnx"].map(|name| dir.bytes(name));
        // Version of the format, and the names of an input and an output.
        assert_eq!((&double[..2], &single[..2]), (&[8, 10][..], &[8, 8][..]), "{flags:?}");
        for bytes in [&double, &single] {
            for name in ["bill_depth_mm", "probabilities", "Chinstrap", "ai.onnx.ml"] {
                assert!(
                    bytes.windows(name.len()).any(|window| window == name.as_bytes()),
                    "{flags:?} {name}"
                );
            }
        }
    }
}

#[test]
fn onnx_refuses_texts_by_the_name_of_the_column() {
    let dir = Workdir::trained("intents.csv", &["--algorithm", "logistic-regression"]);
    let fails = dir.run(&["export", "--to", "onnx"]).fails(1);
    assert!(fails.err().contains("hashes") && fails.err().contains("--drop"), "{}", fails.err());
    let fails = dir.run(&["export", "--to", "sql", "--compat"]).fails(2);
    assert!(fails.err().contains("--to onnx"), "{}", fails.err());
}
