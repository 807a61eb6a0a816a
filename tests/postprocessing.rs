//! Calibration, thresholds, prediction intervals and sets: the same wherever a model answers.

use serde_json::{Value, json};

use crate::support::container::Container;
use crate::support::http::Server;
use crate::support::workdir::{Workdir, fixture};
use mlapi::model::learn::postprocessing::Wanted;
use mlapi::server::Limits;
use mlapi::{Model, Plan};

/// The lines of a table, split at commas.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split(',').collect()).collect()
}

#[test]
fn intervals_stand_in_every_answer_and_their_coverage_in_the_evaluation() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge", "--interval", "0.8"]);
    let table = dir.run(&["predict", "--input", "diabetes.csv", "--keep", "none"]).ok().out().to_string();
    let rows = cells(&table);
    assert_eq!(rows[0], ["prediction", "interval_low", "interval_high"]);
    let number = |text: &str| text.parse::<f64>().unwrap();
    let [prediction, low, high] = [0, 1, 2].map(|i| number(rows[1][i]));
    assert!(low < prediction && prediction < high);
    let row = "59,2,32.1,101,157,93.2,38,4,4.8598,87";
    let one = dir.run(&["predict", "--features", row, "--format", "json"]).ok().json();
    assert_eq!(one, json!({ "prediction": prediction, "interval": [low, high] }));
    let text = dir.run(&["predict", "--features", row]).ok().out().to_string();
    assert_eq!(text, format!("{prediction}\ninterval_low\t{low}\ninterval_high\t{high}\n"));
    let server = Server::start(Model::open(dir.path("model.mlapi")).unwrap(), Limits::DEFAULT);
    assert_eq!(server.predict(format!("{{\"data\":[{row}]}}")).json(), one);
    let document = server.get("/openapi.json").json();
    assert!(document["components"]["schemas"]["Prediction"]["properties"]["interval"].is_object());
    let found = dir.run(&["eval", "--format", "json"]).ok().json();
    let share = found["coverage"]["share"].as_f64().unwrap();
    assert!((share - 0.8).abs() < 0.12, "{share}");
    assert_eq!((&found["coverage"]["level"], found["coverage"].get("mean_size")), (&json!(0.8), None));
    let shown = dir.run(&["inspect"]).ok().out().to_string();
    assert!(shown.contains("interval") && shown.contains("for 0.8 of the rows"), "{shown}");
}

#[test]
fn sets_and_a_threshold_stand_in_every_answer() {
    let flags = ["--algorithm", "naive-bayes", "--calibrate", "sigmoid", "--optimize", "cost"];
    let more = ["--cost", "fp=1,fn=20", "--conformal", "0.95"];
    let dir = Workdir::trained("breast_cancer.csv", &[&flags[..], &more].concat());
    let shown = dir.run(&["inspect", "--format", "json"]).ok().json();
    let steps = &shown["postprocessing"];
    let threshold = steps["threshold"]["threshold"].as_f64().unwrap();
    assert!(threshold < 0.5, "a missed one costs more: {threshold}");
    let half =
        [&steps["threshold"]["value"], &steps["threshold"]["value_at_half"]].map(|v| v.as_f64().unwrap());
    assert!(half[0] <= half[1]);
    assert_eq!(steps["calibration"]["method"], "sigmoid");
    let flags = ["predict", "--input", "breast_cancer.csv", "--keep", "none", "--probabilities"];
    let table = dir.run(&flags).ok().out().to_string();
    let rows = cells(&table);
    let header =
        ["prediction", "probability", "probability_benign", "probability_malignant", "prediction_set"];
    assert_eq!(rows[0], header);
    let least = steps["prediction_sets"]["least"].as_f64().unwrap();
    for row in &rows[1..] {
        let of_class = [2, 3].map(|i| row[i].parse::<f64>().unwrap());
        assert!((of_class[0] + of_class[1] - 1.0).abs() < 1e-12);
        assert_eq!(row[0] == "malignant", of_class[1] >= threshold, "{row:?}");
        let set: Vec<&str> = ["benign", "malignant"]
            .into_iter()
            .zip(of_class)
            .filter(|(_, p)| *p >= least)
            .map(|p| p.0)
            .collect();
        assert_eq!(row[4], set.join("|"));
    }
    // Requests decide as files do, and a threshold of theirs wins.
    let server = Server::start(Model::open(dir.path("model.mlapi")).unwrap(), Limits::DEFAULT);
    let near = rows[1..].iter().position(|row| {
        let p = row[3].parse::<f64>().unwrap();
        p >= threshold && p < 0.5
    });
    let data = fixture("breast_cancer.csv");
    let line = |i: usize| data.lines().nth(i + 1).unwrap().rsplit_once(',').unwrap().0.to_string();
    if let Some(near) = near {
        let answer = server.predict(format!("{{\"data\":[{}]}}", line(near))).json();
        assert_eq!(answer["prediction"], "malignant");
        assert!(answer["prediction_set"].is_array());
        let answer = server.predict(format!("{{\"data\":[{}],\"threshold\":0.5}}", line(near))).json();
        assert_eq!(answer["prediction"], "benign");
    }
    let with = |flags: &[&str]| dir.run(&[&["eval", "--format", "json"], flags].concat()).ok().json();
    assert_eq!(with(&[])["threshold"].as_f64(), Some(threshold));
    assert_eq!(with(&["--threshold", "0.9"])["threshold"], 0.9);
    assert!(with(&[])["coverage"]["mean_size"].as_f64().unwrap() > 0.5);
}

#[test]
fn a_calibration_is_taken_by_default_where_it_helps_and_nowhere_else() {
    // Naive Bayes counts the same evidence twice: its probabilities are too sure.
    let rows = (0..1500).map(|i| {
        let noise = (i * 7919 % 1000) as f64 / 100.0;
        let x = (i * 37 % 101) as f64 / 10.0;
        format!("{x},{},{},{}\n", x + 0.01, x + 0.02, if x + noise > 10.0 { "yes" } else { "no" })
    });
    let dir = Workdir::new();
    dir.write("twice.csv", format!("a,b,c,y\n{}", rows.collect::<String>()));
    let train = |flags: &[&str]| {
        let given = ["train", "twice.csv", "--format", "json", "--algorithm", "naive-bayes"];
        dir.run(&[&given, flags].concat()).ok().json()
    };
    let log_loss = |found: &Value| found["metrics"]["log_loss"].as_f64().unwrap();
    // Nothing is compared, so no folds are made for it.
    let plain = train(&[]);
    assert_eq!(plain.get("postprocessing"), None);
    let compared = train(&["--cv", "5"]);
    let method = &compared["postprocessing"]["calibration"]["method"];
    assert!(method.is_string(), "{compared}");
    assert!(log_loss(&compared) < log_loss(&plain) - 0.01);
    assert_eq!(&train(&["--calibrate", "auto"])["postprocessing"], &compared["postprocessing"]);
    for flags in [["--cv", "5", "--calibrate", "none"], ["--cv", "5", "--metric", "accuracy"]] {
        assert_eq!(train(&flags).get("postprocessing"), None, "{flags:?}");
    }
    for method in ["isotonic", "temperature"] {
        let found = train(&["--calibrate", method]);
        assert_eq!(found["postprocessing"]["calibration"]["method"], method);
        assert!(log_loss(&found) < log_loss(&plain));
    }
}

#[test]
fn wishes_that_do_not_fit_are_usage_errors_before_the_work() {
    let dir = Workdir::with(&["iris.csv", "diabetes.csv"]);
    for (flags, words) in [
        (&["diabetes.csv", "--calibrate", "auto"][..], "--calibrate needs classes"),
        (&["diabetes.csv", "--conformal", "0.9"], "--interval is for numbers"),
        (&["iris.csv", "--interval", "0.9"], "--conformal is for classes"),
        (&["iris.csv", "--optimize", "f1"], "needs two classes"),
        (&["iris.csv", "--optimize", "cost"], "--cost fp=1,fn=5"),
        (&["iris.csv", "--cost", "fp=1"], "--cost is for --optimize cost"),
        (&["iris.csv", "--conformal", "1"], "above 0 and below 1"),
        (&["diabetes.csv", "--algorithm", "tree", "--interval", "0.999"], "needs at least 999 rows"),
    ] {
        let done = dir.run(&[&["train"], flags].concat()).fails(2);
        assert!(done.err().contains(words), "{flags:?}: {}", done.err());
    }
}

#[test]
fn arrays_and_levels_of_a_hostile_file_are_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/format-9-calibrated.mlapi");
    let bytes = std::fs::read(path).unwrap();
    let dir = Workdir::new();
    let opened = |name: &str, values: &[f64]| {
        let mut container = Container::of(&bytes);
        container.put([(name, crate::support::container::f64s(&[values.len() as u64 / 2, 2], values))]);
        dir.write("model.mlapi", container.bytes());
        format!("{:#}", Model::open(dir.path("model.mlapi")).map(|_| ()).unwrap_err())
    };
    for points in [vec![0.5, 0.2, 0.1, 0.3], vec![0.1, f64::NAN], vec![0.1, 2.0], vec![]] {
        let error = opened("calibration.points", &points);
        assert!(error.contains("is not a usable model file"), "{points:?}: {error}");
    }
}

/// A made table: two numbers and a target with noise, which is a class if `classes`; rows as text.
fn made(seed: u64, n: usize, classes: bool) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = move || {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut table = String::from("a,b,y\n");
    for _ in 0..n {
        let (a, b) = (uniform() * 4.0 - 2.0, uniform() * 4.0 - 2.0);
        let noise = uniform() + uniform() + uniform() - 1.5;
        let y = 2.0 * a - b + 2.0 * noise;
        let target = match y {
            _ if !classes => format!("{y:.4}"),
            y if y < -1.0 => "low".into(),
            y if y < 1.0 => "middle".into(),
            _ => "high".into(),
        };
        table += &format!("{a:.4},{b:.4},{target}\n");
    }
    table
}

// benches/interval_coverage.py does the same with 200 larger data sets and several algorithms.
#[test]
fn intervals_sets_and_intervals_of_metrics_hold_what_they_promise_from_training_to_evaluation() {
    const DATA_SETS: u64 = 40;
    let dir = Workdir::new();
    let [train, fresh] = ["train.csv", "fresh.csv"].map(|name| dir.path(name).to_string_lossy().into_owned());
    for classes in [false, true] {
        let level = |asked: bool| asked.then_some(0.9);
        let wanted = Wanted { interval: level(!classes), conformal: level(classes), ..Wanted::default() };
        let algorithm = if classes { "naive-bayes" } else { "ridge" };
        let mut shares = Vec::new();
        for seed in 1..=DATA_SETS {
            dir.write("train.csv", made(seed, 200, classes));
            dir.write("fresh.csv", made(seed + 1000, 400, classes));
            let plan = Plan { algorithm: algorithm.into(), wanted, ..Plan::new(&*train) };
            let found = plan.train().unwrap().evaluate(&fresh).unwrap();
            shares.push(found.coverage.unwrap().share.unwrap());
        }
        let n = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / n;
        let error = (shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / n / n).sqrt();
        // Of folds they are rather too wide.
        assert!(mean + 3.0 * error > 0.9 && mean < 0.94, "{algorithm}: {mean} ± {error}");
    }
}

#[test]
fn a_report_shows_the_calibration_before_and_after_the_stored_threshold_and_what_sets_hold() {
    let flags =
        ["--algorithm", "naive-bayes", "--calibrate", "isotonic", "--optimize", "f1", "--conformal", "0.9"];
    let dir = Workdir::trained("breast_cancer.csv", &flags);
    dir.run(&["eval", "--report", "r.html"]).ok();
    let page = dir.read("r.html");
    for text in [
        "Calibrated at training: isotonic (log loss",
        "On these rows the log loss would be",
        "before, calibration error",
        "Stored at training and used by predict and serve",
        ">Prediction sets</h3>",
        "Coverage by true class",
        "What it takes to hold a share of these very rows",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let found = dir.run(&["eval", "--format", "json"]).ok().json();
    let before = &found["before_calibration"];
    assert!(before["log_loss"].as_f64().unwrap() > found["metrics"]["log_loss"].as_f64().unwrap());
    assert!(before["calibration"][0]["ece"].is_number());
    let detail = &found["coverage_detail"];
    let rows: u64 =
        detail["parts"].as_array().unwrap().iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, found["n_rows"].as_u64().unwrap());
    let least: Vec<f64> =
        detail["levels"].as_array().unwrap().iter().map(|level| level["least"].as_f64().unwrap()).collect();
    assert!(least.is_sorted_by(|a, b| a >= b), "a higher level needs less probable classes: {least:?}");
    // Without them there is nothing to show.
    let dir = Workdir::trained("breast_cancer.csv", &["--algorithm", "tree"]);
    let found = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!((found.get("before_calibration"), found.get("coverage_detail")), (None, None));
}

#[test]
fn widths_by_level_and_coverage_by_prediction_are_those_of_the_rows() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge", "--interval", "0.8"]);
    dir.run(&["eval", "--report", "r.html"]).ok();
    assert!(dir.read("r.html").contains(">Prediction intervals</h3>"));
    let found = dir.run(&["eval", "--format", "json"]).ok().json();
    let detail = &found["coverage_detail"];
    let parts = detail["parts"].as_array().unwrap();
    let held: f64 =
        parts.iter().map(|part| part["share"].as_f64().unwrap() * part["rows"].as_f64().unwrap()).sum();
    let n = found["n_rows"].as_f64().unwrap();
    assert!((held / n - found["coverage"]["share"].as_f64().unwrap()).abs() < 1e-9);
    // The width of a level holds that share of the rows, as the residuals of the evaluation say.
    let width = |level: f64| {
        let all = detail["levels"].as_array().unwrap().iter();
        all.filter(|known| known["level"] == level)
            .map(|known| known["width"].as_f64().unwrap())
            .next()
            .unwrap()
    };
    let points = found["residuals"]["points"].as_array().unwrap();
    let errors =
        points.iter().map(|p| (p["truth"].as_f64().unwrap() - p["predicted"].as_f64().unwrap()).abs());
    let within = errors.filter(|error| *error <= width(0.9) / 2.0 + 1e-9).count() as f64;
    assert!(within / n >= 0.9 && within / n < 0.9 + 1.0 / n, "{within} of {n}");
}

#[test]
fn the_learning_curve_ends_at_the_model_with_its_calibration_and_threshold() {
    let flags = ["--algorithm", "naive-bayes", "--calibrate", "sigmoid", "--optimize", "f1"];
    let dir = Workdir::trained("breast_cancer.csv", &flags);
    let found = dir.run(&["eval", "--learning-curve", "--detail", "--format", "json"]).ok().json();
    let last = found["learning_curve"].as_array().unwrap().last().unwrap();
    for name in ["log_loss", "accuracy", "brier", "roc_auc"] {
        let [own, all] = [&last["metrics"][name], &found["metrics"][name]].map(|v| v.as_f64().unwrap());
        assert!((own - all).abs() < 1e-9, "{name}: {own} {all}");
    }
    // The training rows have everything that the held-out rows have beside their metrics.
    let training = &found["training"];
    assert!(training["curves"]["roc"][0]["auc"].is_number() && training["intervals"]["accuracy"].is_array());
}
