//! Gradient boosting as a user of `mlapi train` sees it: directions of columns, and settings of its own.

use std::fmt::Write;

use serde_json::Value;

use crate::support::workdir::Workdir;

/// `n` rows of a flat: its area, its age with gaps, a district, a text, a price, and whether it was sold.
fn flats(n: usize) -> String {
    let mut text = String::from("area,\"built:in, year\",district,words,sold,price\n");
    for i in 0..n {
        let (area, year) = (20 + i * 37 % 90, 1900 + i * 53 % 120);
        let noise = (i * 7919 % 101) as f64 - 50.0;
        let price = 1000.0 * area as f64 + 40.0 * (year - 1900) as f64 * noise.signum() + 700.0 * noise;
        let year = if i % 9 == 0 { String::new() } else { year.to_string() };
        let words =
            ["a bright flat with a view", "needs some work but quiet", "near the park, second floor"][i % 3];
        let sold = if price > 60_000.0 { "yes" } else { "no" };
        writeln!(text, "{area},{year},d{},\"{words} {}\",{sold},{price}", i % 4, i % 50).unwrap();
    }
    text
}

fn with_flats() -> Workdir {
    let dir = Workdir::new();
    dir.write("t.csv", flats(400));
    dir
}

const COMMON: [&str; 5] = ["train", "t.csv", "--algorithm", "boost", "-q"];

/// The predictions of flats of rising area, by the model in the folder.
fn along_area(dir: &Workdir, answer: impl Fn(&Value) -> f64) -> Vec<f64> {
    let mut rows = String::from("area,\"built:in, year\",district,words,sold\n");
    (15..115).for_each(|area| writeln!(rows, "{area},1950,d1,quiet,no").unwrap());
    dir.write("rows.csv", rows);
    let found = dir.run(&["predict", "--input", "rows.csv", "--format", "json", "-q"]).ok().json();
    found["predictions"].as_array().unwrap().iter().map(answer).collect()
}

fn n_falls(values: &[f64]) -> usize {
    values.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn predictions_never_fall_along_a_column_that_is_to_rise() {
    let dir = with_flats();
    let number = |answer: &Value| answer["prediction"].as_f64().unwrap();
    let train = |flags: &[&str]| dir.run(&[&COMMON[..], flags].concat()).ok();
    train(&["--task", "regression"]);
    assert!(n_falls(&along_area(&dir, number)) > 0, "the noise is learned");
    let directions = "monotonic=area:+,built:in, year:-";
    train(&["--task", "regression", "--set", directions]);
    assert_eq!(n_falls(&along_area(&dir, number)), 0);
    let card: Value = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(card["card"]["hyperparameters"]["monotonic"], "area:+,built:in, year:-");
    let once = dir.bytes("model.mlapi");
    // One at a time is the same.
    train(&["--task", "regression", "--set", "monotonic=area:+", "--set", "monotonic=built:in, year:-"]);
    assert!(dir.bytes("model.mlapi") == once);
    // The candidates of auto that take it, the logarithm of the target among them.
    dir.run(&["train", "t.csv", "-q", "--task", "regression", "--set", "monotonic=area:+"]).ok();
    assert_eq!(n_falls(&along_area(&dir, number)), 0);
    let yes = |answer: &Value| answer["probabilities"]["yes"].as_f64().unwrap();
    train(&["--target", "sold", "--drop", "price", "--set", "monotonic=area:+"]);
    assert_eq!(n_falls(&along_area(&dir, yes)), 0);
}

#[test]
fn a_direction_of_what_has_none_is_refused_with_the_reason() {
    let dir = with_flats();
    for (directions, words) in [
        ("district:+", "column \"district\" is read as category, and a direction is for numbers"),
        ("words:-", "column \"words\" is read as text"),
        ("aera:+", "\"aera\" is not a feature; did you mean \"area\"?"),
        ("price:+", "\"price\" is not a feature"),
        ("area:+,area:-", "column \"area\" is named twice"),
        ("area", "monotonic is none, or columns with + or -, such as size:+ or size:+,age:- (default none)"),
    ] {
        let setting = format!("monotonic={directions}");
        let flags = ["--task", "regression", "--type", "words=text", "--set", &setting];
        dir.run(&[&COMMON[..], &flags].concat()).fails(2).complains(&[words]);
    }
    let flags = ["--task", "regression", "--set", "monotonic=area:+", "--set", "loss=absolute_error"];
    dir.run(&[&COMMON[..], &flags].concat())
        .fails(2)
        .complains(&["loss=absolute_error sets the leaves to medians"]);
    let flags = ["--task", "regression", "--set", "monotonic=area:+", "--drop", "area"];
    dir.run(&[&COMMON[..], &flags].concat()).fails(2).complains(&["column \"area\" is not used"]);
    let forest = ["train", "t.csv", "--algorithm", "forest", "--set", "monotonic=area:+"];
    dir.run(&forest).fails(2).complains(&["random-forest has no hyperparameter \"monotonic\""]);
    assert_eq!(dir.files(), ["t.csv"]);
}

#[test]
fn rounds_are_found_by_default_and_a_preset_has_those_of_the_other_library() {
    let dir = with_flats();
    let train = |flags: &[&str]| {
        let all = [&COMMON[..], &["--task", "regression", "--format", "json"], flags].concat();
        dir.run(&all).ok().json()
    };
    let rounds = || {
        let card: Value = dir.run(&["inspect", "--format", "json"]).ok().json();
        card["card"]["hyperparameters"]["n_estimators"].as_u64().unwrap()
    };
    let found = train(&[]);
    let (n_rounds, predicted) = (rounds(), dir.run(&["predict", "--input", "t.csv"]).ok().out().to_string());
    assert!((20..1000).contains(&n_rounds), "{n_rounds}");
    // The number alone makes the same trees.
    train(&["--set", &format!("n_estimators={n_rounds}")]);
    assert_eq!(dir.run(&["predict", "--input", "t.csv"]).ok().out(), predicted);
    let preset = train(&["--set", "preset=scikit-learn"]);
    assert_eq!(rounds(), 100);
    let rmse = |result: &Value| result["metrics"]["rmse"].as_f64().unwrap();
    assert!(rmse(&found) < rmse(&preset), "{} {}", rmse(&found), rmse(&preset));
}
