//! Columns of words and sentences, from the table to every kind of prediction.

use crate::support::workdir::{Workdir, fixture};
use mlapi::data::read::json;
use mlapi::model::file;
use serde_json::Value;

/// Every fifth row of `intents.csv` is held out, as in fixtures/accuracy/make_text.py; no cell holds a line end.
fn intents() -> Workdir {
    let text = fixture("intents.csv");
    let (header, rows) = text.split_once('\n').unwrap();
    let part = |held_out: bool| {
        let rows = rows.lines().enumerate().filter(|(i, _)| (i % 5 == 4) == held_out);
        rows.fold(format!("{header}\n"), |part, (_, row)| part + row + "\n")
    };
    let dir = Workdir::new();
    dir.write("train.csv", part(false));
    dir.write("test.csv", part(true));
    dir
}

/// Reviews with a star rating and whether they are good; the words decide.
fn reviews() -> Workdir {
    let things = ["kettle", "lamp", "jacket", "phone", "chair", "table", "watch", "shoe", "bag", "pen"];
    let mut text = String::from("review,price,stars,good\n");
    for i in 0..80 {
        let thing = things[i % 10];
        let (words, stars, good) = match i % 4 {
            0 => ("is great and I love it", 5, "yes"),
            1 => ("works fine, I love it", 4, "yes"),
            2 => ("is bad and broke at once", 1, "no"),
            _ => ("broke after days, bad", 2, "no"),
        };
        text += &format!("\"This {thing} number {} {words}\",{},{stars}.5,{good}\n", i * 7 % 61, 10 + i % 13);
    }
    let dir = Workdir::new();
    dir.write("reviews.csv", text);
    dir
}

#[test]
fn a_table_of_one_text_and_one_label_is_learned_as_well_as_by_scikit_learn() {
    let reference: Value = serde_json::from_str(&fixture("accuracy/intents.json")).unwrap();
    let dir = intents();
    for algorithm in ["logistic-regression", "naive-bayes"] {
        let flags =
            ["train", "train.csv", "--test", "test.csv", "--format", "json", "-q", "--algorithm", algorithm];
        let accuracy = dir.run(&flags).ok().json()["metrics"]["accuracy"].as_f64().unwrap();
        let theirs = reference["accuracy"][algorithm].as_f64().unwrap();
        assert!(accuracy >= theirs - 0.01, "{algorithm}: {accuracy} and scikit-learn's {theirs}");
    }
}

#[test]
fn a_text_gives_the_same_prediction_from_csv_ndjson_the_command_line_and_a_request() {
    let dir = intents();
    dir.run(&["train", "train.csv", "-q", "--algorithm", "logistic-regression"]).ok();
    let text = "Hello, 我的iPhone收到就是坏的!";
    dir.write("in.csv", format!("question\n\"{text}\"\n"));
    dir.write("in.ndjson", format!("{{\"question\":\"{text}\"}}\n"));
    let by_row = dir.run(&["predict", "--format", "json", "--features", &format!("\"{text}\"")]).ok().json();
    let by_csv = dir.run(&["predict", "--format", "json", "--input", "in.csv"]).ok().json();
    let by_ndjson = dir.run(&["predict", "--format", "json", "--input", "in.ndjson"]).ok().json();
    assert_eq!(by_row["prediction"], "damaged_item");
    assert_eq!(by_csv["predictions"][0], by_row);
    assert_eq!(by_ndjson["predictions"][0], by_row);
    let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
    let body = format!("{{\"data\":[[\"where is my parcel\"],[\"{text}\"],[null]]}}");
    let request = json::read_request(body.as_bytes(), &model.pipeline.schema, 10).unwrap();
    assert_eq!(request.problems.total, 0);
    let scores = model.pipeline.scores(&request.codes);
    let index = model.labels().iter().position(|label| label == "damaged_item").unwrap();
    assert_eq!(by_row["probability"].as_f64().unwrap(), scores.row(1)[index]);
    assert!(scores.values().iter().all(|score| score.is_finite()), "no text is data, too");
}

#[test]
fn every_algorithm_learns_from_words_beside_a_number() {
    let dir = reviews();
    let classifiers = [
        "logistic-regression",
        "naive-bayes",
        "decision-tree",
        "random-forest",
        "extra-trees",
        "gradient-boosting",
        "knn",
        "mlp",
        "svm",
    ];
    for algorithm in classifiers {
        let flags =
            ["train", "reviews.csv", "--drop", "stars", "--format", "json", "-q", "--algorithm", algorithm];
        let accuracy = dir.run(&flags).ok().json()["metrics"]["accuracy"].as_f64().unwrap();
        assert!(accuracy >= 0.9, "{algorithm}: {accuracy}");
        // The golden rows hold a text and are checked as the file is read.
        dir.run(&["inspect"]).ok().says(&["review", "text"]);
    }
    let l1 = ["--algorithm", "logistic-regression", "--set", "penalty=l1", "--set", "C=10"];
    dir.run(&[&["train", "reviews.csv", "--drop", "stars"], &l1[..]].concat())
        .ok()
        .says(&["TF-IDF of 227 terms"]);
    let regressions =
        ["linear-regression", "ridge", "lasso", "elastic-net", "gradient-boosting", "random-forest"];
    for algorithm in regressions {
        let mut flags =
            vec!["train", "reviews.csv", "--target", "stars", "--drop", "good", "--format", "json", "-q"];
        flags.extend(["--task", "regression", "--algorithm", algorithm]);
        if algorithm == "lasso" || algorithm == "elastic-net" {
            flags.extend(["--set", "alpha=0.01"]);
        }
        let r2 = dir.run(&flags).ok().json()["metrics"]["r2"].as_f64().unwrap();
        assert!(r2 > 0.5, "{algorithm}: {r2}");
    }
}

#[test]
fn sentences_are_text_and_names_are_not_whatever_the_order_of_the_rows() {
    let dir = reviews();
    let train = ["--algorithm", "naive-bayes", "--target", "good"];
    dir.run(&[&["train", "reviews.csv"], &train[..]].concat()).ok().says(&["text", "counts of"]);
    let text = dir.read("reviews.csv");
    let (header, rows) = text.split_once('\n').unwrap();
    let reversed: String = rows.lines().rev().map(|row| format!("{row}\n")).collect();
    dir.write("reversed.csv", format!("{header}\n{reversed}"));
    dir.run(&[&["train", "reversed.csv"], &train[..]].concat()).ok().says(&["text", "counts of"]);
    let names: String = (0..60).map(|i| format!("First{i} Last{i},{},{}\n", i % 7, i % 2)).collect();
    dir.write("names.csv", format!("name,x,y\n{names}"));
    let named = dir.run(&["train", "names.csv", "--algorithm", "naive-bayes"]).ok();
    named.says(&["nearly every value is different, as in an id"]);
    let as_text = ["train", "names.csv", "--algorithm", "naive-bayes", "--type", "name=text"];
    dir.run(&as_text).ok().says(&["counts of"]);
    let as_category = [&["train", "reviews.csv", "--type", "review=category"], &train[..]].concat();
    dir.run(&as_category).ok().says(&["frequencies"]);
}

#[test]
fn the_same_bytes_on_any_number_of_threads_and_the_format_version_says_who_can_read_them() {
    let dir = intents();
    for algorithm in ["logistic-regression", "naive-bayes"] {
        let train = |threads: &str| {
            dir.run(&["train", "train.csv", "-q", "--algorithm", algorithm, "--threads", threads]).ok();
            dir.bytes("model.mlapi")
        };
        let one = train("1");
        assert!(one == train("2") && one == train("5"), "{algorithm}");
        let version = |bytes: &[u8], version: &str| {
            bytes.windows(version.len()).any(|window| window == version.as_bytes())
        };
        assert!(version(&one, "\\\"format_version\\\":10"));
    }
}
