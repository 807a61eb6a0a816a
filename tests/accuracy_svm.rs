//! `svm` against scikit-learn's SVC and SVR: the same rows, the same decisions.
//!
//! The reference values in fixtures/accuracy/svm.json name the tool, its version and the script that made them.
//! Predictions come from the real program, objectives from the arrays of the model file.

use std::path::Path;
use std::process::Command;

use safetensors::SafeTensors;
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/accuracy");

fn mlapi(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_mlapi")).args(args).output().unwrap();
    assert!(output.status.success(), "mlapi {args:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What the model predicts for the test rows, and its file.
fn fit(case: &Value, folder: &Path, extra: &[&str]) -> (Vec<Value>, Vec<u8>) {
    let name = case["name"].as_str().unwrap();
    let model = folder.join("m.mlapi");
    let model = model.to_str().unwrap();
    let [train, test] = ["train", "test"].map(|part| format!("{FIXTURES}/{name}.{part}.csv"));
    let settings: Vec<String> = case["options"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().map_or(value.to_string(), String::from)))
        .collect();
    let mut args = vec!["train", &train, "--test", &test, "-o", model, "-q", "--algorithm", "svm"];
    settings.iter().map(String::as_str).chain(extra.iter().copied()).for_each(|s| args.extend(["--set", s]));
    if case["classes"].is_null() {
        args.extend(["--task", "regression"]);
    }
    mlapi(&args);
    let answer = mlapi(&["predict", "-m", model, "--input", &test, "--format", "json", "-q"]);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    (answer["predictions"].as_array().unwrap().clone(), std::fs::read(model).unwrap())
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{FIXTURES}/svm.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

/// The decisions of one row in the form of the reference: a value, log-odds, or votes less their mean.
fn decisions(case: &Value, prediction: &Value) -> Vec<f64> {
    let Some(classes) = case["classes"].as_array() else {
        return vec![prediction["prediction"].as_f64().unwrap()];
    };
    let log = |class: &Value| prediction["probabilities"][class.as_str().unwrap()].as_f64().unwrap().ln();
    let logs: Vec<f64> = classes.iter().map(log).collect();
    if let [first, second] = logs[..] {
        return vec![second - first];
    }
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    logs.iter().map(|log| log - mean).collect()
}

fn reference_decisions(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(row) => row.iter().map(|v| v.as_f64().unwrap()).collect(),
        None => vec![value.as_f64().unwrap()],
    }
}

#[test]
fn svm_decides_what_svc_and_svr_do() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        let what = format!("{} {}", case["name"], case["options"]);
        let uncalibrated: &[&str] = if case["classes"].is_null() { &[] } else { &["probability=false"] };
        let (default, _) = fit(&case, folder.path(), uncalibrated);
        if let Some(labels) = case["predictions"].as_array() {
            let ours: Vec<&Value> = default.iter().map(|row| &row["prediction"]).collect();
            assert_eq!(ours, labels.iter().collect::<Vec<_>>(), "{what}");
        }
        let (tight, _) = fit(&case, folder.path(), &[uncalibrated, &["tol=1e-7"]].concat());
        let (mut largest, mut spread) = (0.0_f64, 1.0_f64);
        for (ours, theirs) in tight.iter().zip(case["decisions"].as_array().unwrap()) {
            for (our, their) in decisions(&case, ours).iter().zip(reference_decisions(theirs)) {
                largest = largest.max((our - their).abs());
                spread = spread.max(their.abs());
            }
        }
        println!("{what}: decisions within {:.1e} of their size", largest / spread);
        assert!(largest < 1e-6 * spread, "{what}: {largest:e}");
    }
}

fn floats(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f64>) {
    let view = file.tensor(name).unwrap();
    let (chunks, _) = view.data().as_chunks::<8>();
    (view.shape().to_vec(), chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

/// Of a classification by a kernel that is not linear: ½ β'Kβ − Σ|β| over all pairs.
fn objective(bytes: &[u8]) -> (f64, usize) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let (shape, vectors) = floats(&file, "kernel.vectors");
    let (_, coefficients) = floats(&file, "kernel.coefficients");
    let (_, function) = floats(&file, "kernel.function");
    let counts = file.tensor("kernel.counts").unwrap();
    let (counts, _) = counts.data().as_chunks::<4>();
    let counts = counts.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let place: Vec<usize> = counts.enumerate().flat_map(|(class, n)| vec![class; n]).collect();
    let (n, d, width) = (shape[0], shape[1], coefficients.len() / shape[0]);
    let kernel = |i: usize, j: usize| {
        let pairs = vectors[i * d..(i + 1) * d].iter().zip(&vectors[j * d..(j + 1) * d]);
        if function[0] == 1.0 {
            (-function[1] * pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp()
        } else {
            (function[1] * pairs.map(|(a, b)| a * b).sum::<f64>() + function[2]).powf(function[3])
        }
    };
    let mut total = 0.0;
    for a in 0..=width {
        for b in a + 1..=width {
            let beta: Vec<f64> = (0..n)
                .map(|i| match place[i] {
                    class if class == a => coefficients[i * width + b - 1],
                    class if class == b => coefficients[i * width + a],
                    _ => 0.0,
                })
                .collect();
            for i in (0..n).filter(|&i| beta[i] != 0.0) {
                let sum: f64 = (0..n).map(|j| beta[j] * kernel(i, j)).sum();
                total += 0.5 * beta[i] * sum - beta[i].abs();
            }
        }
    }
    (total, n)
}

#[test]
fn the_dual_objective_is_libsvms_at_the_default_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    let by_kernel = |case: &Value| case["options"]["kernel"] != "linear" && case["classes"].is_array();
    for case in cases().into_iter().filter(by_kernel) {
        let what = format!("{} {}", case["name"], case["options"]);
        let (found, n) = objective(&fit(&case, folder.path(), &["probability=false"]).1);
        let expected = case["objective"].as_f64().unwrap();
        let relative = (found - expected) / expected.abs();
        println!("{what}: objective {relative:+.1e} relative, {n} vectors, {} of libsvm", case["n_support"]);
        assert!(relative.abs() < 1e-5, "{what}: {found} {expected}");
    }
}

/// The folds are others, so that probabilities cannot be equal; they are to be as good.
#[test]
fn calibrated_probabilities_are_as_good_as_scikit_learns() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases().into_iter().filter(|case| case["classes"].is_array()) {
        let what = format!("{} {}", case["name"], case["options"]);
        let name = case["name"].as_str().unwrap();
        let (found, _) = fit(&case, folder.path(), &[]);
        let test = std::fs::read_to_string(format!("{FIXTURES}/{name}.test.csv")).unwrap();
        let truth = test.lines().skip(1).map(|line| line.rsplit(',').next().unwrap());
        let loss = found.iter().zip(truth).map(|(row, class)| {
            let row = &row["probabilities"];
            -row[class].as_f64().unwrap().max(1e-15).ln()
        });
        let loss = loss.sum::<f64>() / found.len() as f64;
        let expected = case["log_loss"].as_f64().unwrap();
        println!("{what}: log loss {loss:.4}, scikit-learn's {expected:.4}");
        assert!(loss < expected + 0.02, "{what}: {loss} {expected}");
    }
}

#[test]
fn a_table_with_gaps_and_words_is_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let case = serde_json::json!({"name": "penguins", "options": {}, "classes": []});
    let (found, _) = fit(&case, folder.path(), &[]);
    let truth = std::fs::read_to_string(format!("{FIXTURES}/penguins.test.csv")).unwrap();
    let right = found
        .iter()
        .zip(truth.lines().skip(1))
        .filter(|(row, line)| line.ends_with(&format!(",{}", row["prediction"].as_str().unwrap())));
    assert!(right.count() * 100 >= found.len() * 97);
}
