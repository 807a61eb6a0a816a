//! `mlapi eval`: the held-out rows again, other files, requirements.

use crate::support::workdir::{Workdir, assert_golden, fixture};
use serde_json::{Value, json};

/// Evaluates with `--format json`.
fn eval(dir: &Workdir, args: &[&str]) -> Value {
    dir.run(&[&["eval", "--format", "json"], args].concat()).ok().json()
}

/// What training prints as well: without the parts that only rows give.
fn as_at_training(mut result: Value) -> Value {
    let parts = result.as_object_mut().unwrap();
    for part in [
        "intervals",
        "interval_level",
        "class_intervals",
        "resampling",
        "curves",
        "top_k",
        "thresholds",
        "best_threshold",
        "residuals",
    ] {
        parts.remove(part);
    }
    result
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn the_text_is_the_golden_one() {
    let dir = Workdir::trained("penguins.csv", &["-o", "penguins.mlapi"]);
    let done = dir.run(&["eval", "--model", "penguins.mlapi"]).ok().silent();
    assert_golden("eval_penguins", done.out());
    let dir = Workdir::trained("breast_cancer.csv", &[]);
    assert_golden("eval_breast_cancer", dir.run(&["eval", "--threshold", "0.9"]).ok().silent().out());
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    assert_golden("eval_diabetes", dir.run(&["eval"]).ok().silent().out());
}

#[test]
fn without_data_it_prints_what_train_printed() {
    for data in ["iris.csv", "penguins.csv", "breast_cancer.csv", "diabetes.csv"] {
        let dir = Workdir::with(&[data]);
        let mut trained = dir.run(&["train", data, "--format", "json"]).ok().json();
        trained.as_object_mut().unwrap().remove("blend");
        for added in ["n_train", "fit_seconds", "columns", "leaderboard"] {
            trained.as_object_mut().unwrap().remove(added).unwrap();
        }
        trained.as_object_mut().unwrap().retain(|key, _| !key.starts_with("objective"));
        assert_eq!(as_at_training(eval(&dir, &[])), trained, "{data}");
    }
}

#[test]
fn it_reads_the_held_out_rows_and_not_the_card() {
    let dir = Workdir::trained("iris.csv", &[]);
    let n_correct = |result: &Value| number(&result["metrics"]["accuracy"]) * number(&result["n_rows"]);
    let (held_out, all) = (eval(&dir, &[]), eval(&dir, &["iris.csv"]));
    assert_eq!((&held_out["n_rows"], &all["n_rows"]), (&json!(30), &json!(150)));
    assert!(n_correct(&all) > n_correct(&held_out));
}

#[test]
fn another_file_may_have_its_columns_in_another_order() {
    let dir = Workdir::trained("iris.csv", &[]);
    let turned = fixture("iris.csv").lines().fold(String::new(), |text, line| {
        let fields: Vec<&str> = line.split(',').rev().collect();
        text + &fields.join(";") + "\r\n"
    });
    dir.write("turned.csv", turned);
    assert_eq!(eval(&dir, &["turned.csv"])["metrics"], eval(&dir, &["iris.csv"])["metrics"]);
    let piped = dir.run(&["eval", "-", "--format", "json"]).stdin(fixture("iris.csv")).ok().json();
    assert_eq!(piped["metrics"], eval(&dir, &["iris.csv"])["metrics"]);
}

#[test]
fn every_figure_of_a_file_can_be_checked_by_hand() {
    let dir = Workdir::trained("iris.csv", &[]);
    let rows = [
        "5.1,3.5,1.4,0.2,setosa",
        "6.3,3.3,6.0,2.5,virginica",
        "6.3,3.3,6.0,2.5,virginica",
        "6.3,3.3,6.0,2.5,versicolor",
    ];
    dir.write("few.csv", format!("{}\n{}\n", fixture("iris.csv").lines().next().unwrap(), rows.join("\n")));
    let result = eval(&dir, &["few.csv"]);
    assert_eq!(result["confusion_matrix"]["counts"], json!([[1, 0, 0], [0, 0, 1], [0, 0, 2]]));
    assert_eq!(number(&result["metrics"]["accuracy"]), 0.75);
    assert_eq!(result["classes"][1]["precision"], 0.0, "undefined precision counts 0");
    assert_eq!(number(&result["classes"][2]["precision"]), 2.0 / 3.0);
    assert!((number(&result["metrics"]["balanced_accuracy"]) - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn a_file_without_the_target_or_with_other_columns_is_refused() {
    let dir = Workdir::trained("iris.csv", &[]);
    let refused = |text: &str, words: &[&str]| {
        dir.write("t.csv", text);
        dir.run(&["eval", "t.csv"]).fails(1).complains(words);
    };
    refused(
        "sepal_length,sepal_width,petal_length,petal_width\n1,2,3,4\n",
        &["no target column \"species\""],
    );
    refused(
        "sepal_length,sepal_widht,petal_length,species\n1,2,3,setosa\n",
        &["did you mean \"sepal_width\"?", "column \"sepal_width\" is missing", "column \"petal_width\""],
    );
    refused(
        "sepal_length,sepal_width,petal_length,petal_width,species\n1,2,big,4,setosa\n1,x,3,4,setosa\n",
        &["t.csv line 2, column \"petal_length\": \"big\"", "t.csv line 3, column \"sepal_width\": \"x\""],
    );
    refused(
        "sepal_length,sepal_width,petal_length,petal_width,species\n1,2,3,4,NA\n",
        &["no row has a target"],
    );
    dir.run(&["eval", "none.csv"]).fails(1).complains(&["cannot open none.csv"]);
    dir.run(&["eval", "--model", "none.mlapi"]).fails(1).complains(&["none.mlapi", "mlapi train DATA"]);
}

#[test]
fn rows_without_a_target_are_left_out_with_a_warning() {
    let dir = Workdir::trained("iris.csv", &[]);
    let text = fixture("iris.csv").replacen("setosa", "NA", 3);
    dir.write("gaps.csv", text);
    let done = dir.run(&["eval", "gaps.csv", "--format", "json"]).ok();
    let done = done.complains(&["3 rows without a target value were skipped"]);
    assert_eq!(done.json()["n_rows"], 147);
}

#[test]
fn labels_that_training_did_not_see_count_as_wrong() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.write("tulips.csv", fixture("iris.csv").replace("virginica", "tulip"));
    let result = eval(&dir, &["tulips.csv"]);
    let labels = json!(["setosa", "versicolor", "virginica", "tulip"]);
    assert_eq!(result["confusion_matrix"]["labels"], labels);
    assert_eq!(result["classes"][3]["support"], 50);
    assert_eq!(result["classes"][3]["recall"], 0.0);
    assert!(result["metrics"]["roc_auc"].is_null(), "there is no score for a tulip");
    dir.run(&["eval", "tulips.csv"]).ok().says(&["tulip"]);
}

// Where the training file is.

#[test]
fn a_training_file_that_has_moved_is_named_and_the_recorded_figures_are_shown() {
    let dir = Workdir::trained("iris.csv", &[]);
    let before = eval(&dir, &[]);
    std::fs::remove_file(dir.path("iris.csv")).unwrap();
    dir.run(&["eval"])
        .fails(1)
        .says(&["30 rows held out, as recorded at training", "accuracy"])
        .complains(&["iris.csv is no longer where it was", "mlapi eval DATA"]);
    let done = dir.run(&["eval", "--format", "json"]).fails(1);
    let mut recorded = done.json();
    assert_eq!(recorded.as_object_mut().unwrap().remove("recorded_at_training"), Some(json!(true)));
    assert_eq!(recorded, as_at_training(before));
}

#[test]
fn a_training_file_that_has_changed_is_named_and_the_recorded_figures_are_shown() {
    let dir = Workdir::trained("iris.csv", &[]);
    let text = fixture("iris.csv");
    for changed in [text.replacen("5.1", "5.2", 1), format!("{text}1,2,3,4,setosa\n"), String::new()] {
        dir.write("iris.csv", changed);
        dir.run(&["eval"])
            .fails(1)
            .says(&["as recorded at training", "accuracy"])
            .complains(&["iris.csv has changed since training"]);
    }
    dir.write("iris.csv", text);
    dir.run(&["eval"]).ok();
}

#[test]
fn the_training_file_is_read_as_it_was_said_to_be_written() {
    // Neither is found in such a file: the quotes have no partner, the bytes are letters in many encodings.
    let text = fixture("iris.csv").replace("setosa", "\"пять").replace("virginica", "шесть");
    let dir = Workdir::new();
    dir.write("iris.csv", encoding_rs::KOI8_R.encode(&text).0);
    dir.run(&["train", "iris.csv", "--encoding", "koi8-r", "--quote", "none"]).ok();
    let recorded = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(recorded["card"]["written"], json!({"encoding": "KOI8-R", "quote": "none"}));
    let metrics = eval(&dir, &[])["metrics"].clone();
    assert_eq!(metrics, eval(&dir, &["--encoding", "koi8-r", "--quote", "none"])["metrics"]);
    assert_eq!(metrics, recorded["metrics"]);
}

#[test]
fn a_training_file_beside_the_model_is_found_from_another_folder() {
    let dir = Workdir::trained("iris.csv", &[]);
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    let from_there = dir.run_in("elsewhere", &["eval", "--model", "../model.mlapi", "--format", "json"]);
    assert_eq!(from_there.ok().json()["metrics"], eval(&dir, &[])["metrics"]);
}

#[test]
fn a_model_trained_from_standard_input_needs_data() {
    let dir = Workdir::with(&["iris.csv"]);
    dir.run(&["train", "-"]).stdin(fixture("iris.csv")).ok();
    dir.run(&["eval"])
        .fails(1)
        .says(&["as recorded at training"])
        .complains(&["trained from standard input", "mlapi eval DATA"]);
    assert_eq!(eval(&dir, &["iris.csv"])["n_rows"], 150);
}

#[test]
fn a_model_that_was_fitted_again_shows_its_recorded_figures() {
    let dir = Workdir::with(&["iris.csv"]);
    let trained = dir.run(&["train", "iris.csv", "--refit", "--format", "json"]).ok().json();
    let done = dir.run(&["eval", "--format", "json"]).ok();
    let done = done.complains(&["fitted again on all rows"]);
    assert_eq!(done.json()["recorded_at_training"], true);
    assert_eq!(done.json()["metrics"], trained["metrics"]);
    dir.run(&["eval", "--require", "accuracy>=0.99"]).fails(3);
    assert_eq!(eval(&dir, &["iris.csv"]).get("recorded_at_training"), None);
}

// Requirements.

#[test]
fn requirements_that_are_met_end_with_0() {
    let dir = Workdir::trained("iris.csv", &[]);
    let accuracy = number(&eval(&dir, &[])["metrics"]["accuracy"]);
    let exact = format!("accuracy=={accuracy}");
    for requirement in ["accuracy>=0.9", " f1.macro > 0.8 ", "log_loss<0.5", "log_loss<=0.5", &exact] {
        dir.run(&["eval", "--require", requirement]).ok().silent().says(&["accuracy"]);
    }
}

#[test]
fn a_requirement_that_is_not_met_ends_with_3_and_all_are_listed() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.run(&["eval", "--require", "accuracy>=0.99", "--require", "f1.macro>0.1", "--require", "mcc<0.5"])
        .fails(3)
        .says(&["accuracy", "true \\ predicted"])
        .complains(&["accuracy is 0.9333, required is accuracy>=0.99", "mcc is 0.906"]);
    let done = dir.run(&["eval", "--require", "accuracy>0.9333333333333333", "--format", "json"]).fails(3);
    assert_eq!(done.json()["n_rows"], 30, "the result is printed all the same");
    dir.run(&["eval", "--require", "accuracy==0.5"]).fails(3);
    dir.run(&["eval", "--require", "accuracy<0.9333333333333333"]).fails(3);
}

#[test]
fn a_requirement_that_cannot_be_meant_is_a_wrong_usage() {
    let dir = Workdir::trained("iris.csv", &[]);
    let misused = |text: &str, words: &[&str]| {
        dir.run(&["eval", "--require", text]).fails(2).complains(words);
    };
    misused("acuracy>0.9", &["\"acuracy\" is not a figure", "did you mean \"accuracy\"?", "f1.weighted"]);
    misused("r2>0.9", &["\"r2\" is not a figure"]);
    misused("f1>0.9", &["\"f1\" is not a figure"]);
    misused("accuracy", &["a requirement is FIGURE>=NUMBER"]);
    misused("accuracy>high", &["\"high\" is not a number"]);
}

#[test]
fn an_undefined_figure_meets_no_requirement() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.run(&["eval", "--require", "brier<1"]).fails(3).complains(&["brier is undefined"]);
    dir.run(&["eval", "--require", "brier>=0"]).fails(3).complains(&["brier is undefined"]);
}

#[test]
fn a_requirement_is_checked_against_the_file_that_is_named() {
    let dir = Workdir::trained("diabetes.csv", &[]);
    dir.run(&["eval", "--require", "r2>0.45"]).fails(3);
    dir.run(&["eval", "diabetes.csv", "--require", "r2>0.45"]).ok();
}

// Threshold and positive class.

#[test]
fn a_lower_threshold_finds_more_of_the_positive_class() {
    let dir = Workdir::trained("breast_cancer.csv", &[]);
    let at = |t: &str| eval(&dir, &["breast_cancer.csv", "--threshold", t]);
    let [none, low, high, all] = ["1", "0.01", "0.99", "0"].map(at);
    let recall = |result: &Value| number(&result["classes"][1]["recall"]);
    assert!(recall(&low) > recall(&high));
    assert_eq!((recall(&all), number(&all["classes"][0]["recall"])), (1.0, 0.0));
    assert!(recall(&none) < recall(&high));
    assert_eq!(low["threshold"], 0.01);
    assert_eq!(low["metrics"]["roc_auc"], high["metrics"]["roc_auc"], "it does not depend on a threshold");
    assert_eq!(eval(&dir, &["--threshold", "0.5"])["metrics"], eval(&dir, &[])["metrics"]);
}

#[test]
fn the_positive_class_can_be_named() {
    let dir = Workdir::trained("breast_cancer.csv", &[]);
    let plain = eval(&dir, &[]);
    let [first, second] = [0, 1].map(|i| plain["classes"][i]["label"].as_str().unwrap().to_string());
    assert_eq!(plain["positive"], second.as_str());
    let other = eval(&dir, &["--positive", &first]);
    assert_eq!(other["positive"], first.as_str());
    assert_eq!(other["metrics"]["accuracy"], plain["metrics"]["accuracy"]);
    assert_ne!(other["metrics"]["average_precision"], plain["metrics"]["average_precision"]);
    let [auc, other_auc] = [&plain, &other].map(|r| number(&r["metrics"]["roc_auc"]));
    assert!((auc - other_auc).abs() < 1e-12);
    assert_eq!(eval(&dir, &["--positive", &second]), plain);
    let sure = eval(&dir, &["--positive", &first, "--threshold", "0"]);
    assert_eq!(number(&sure["classes"][0]["recall"]), 1.0, "the threshold is for the class that was named");
}

#[test]
fn threshold_and_positive_that_cannot_be_meant_are_wrong_usage() {
    let three = Workdir::trained("iris.csv", &[]);
    three.run(&["eval", "--threshold", "0.3"]).fails(2).complains(&["two classes; this one has 3 classes"]);
    three.run(&["eval", "--positive", "setosa"]).fails(2).complains(&["--positive needs a model with two"]);
    let numbers = Workdir::trained("diabetes.csv", &[]);
    numbers.run(&["eval", "--threshold", "0.3"]).fails(2).complains(&["this one predicts a number"]);
    numbers.run(&["eval", "--positive", "1"]).fails(2);
    let two = Workdir::trained("breast_cancer.csv", &[]);
    two.run(&["eval", "--positive", "evil"])
        .fails(2)
        .complains(&["the classes are \"benign\" and \"malignant\""]);
    for threshold in ["1.1", "-0.1", "nan", "half"] {
        two.run(&["eval", &format!("--threshold={threshold}")]).fails(2).complains(&["from 0 to 1"]);
    }
    two.run(&["eval", "--format", "ndjson"]).fails(2).complains(&["ndjson", "[possible values: text, json]"]);
}

#[test]
fn figures_that_say_little_say_why() {
    let dir = Workdir::new();
    // Counts, some of them 0.
    let row = |i: usize| format!("{},{}\n", i * 37 % 101, i * 37 % 101 / 9);
    dir.write("counts.csv", "a,y\n".to_string() + &(0..300).map(row).collect::<String>());
    let train = ["train", "counts.csv", "--task", "regression", "--algorithm", "ridge"];
    dir.run(&train).ok().says(&["mape is left out: it divides by the true value, which is 0 in a row"]);
    assert_eq!(eval(&dir, &[])["metrics"]["mape"], Value::Null);
    // A coin that no column tells of: a tree is sure of itself, and wrong in half of the rows.
    let coin = |i: usize| ["head", "tail"][(i * i * 31 + i * 17) % 7 % 2];
    let row = |i: usize| format!("{},{},{}\n", i * 37 % 101, i * 53 % 89, coin(i * 7919 % 613));
    dir.write("coin.csv", "a,b,y\n".to_string() + &(0..400).map(row).collect::<String>());
    let done = dir.run(&["train", "coin.csv", "--algorithm", "tree"]).ok();
    done.says(&[
        "worse than the baseline by ",
        "log_loss\n",
        "rows have a class of probability 0, taken as 2.2e-16 in log_loss",
    ]);
    let evaluation = eval(&dir, &[]);
    let n = number(&evaluation["n_zero_probability"]);
    let log_loss = number(&evaluation["metrics"]["log_loss"]);
    assert!(n > 0.0 && (log_loss - n * 36.04 / number(&evaluation["n_rows"])).abs() < 0.5, "{evaluation}");
}
