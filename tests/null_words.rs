//! Words such as NA and None that are values, and labels that a model does not know.

use crate::support::workdir::Workdir;
use serde_json::json;

/// Rows of hours and a diagnosis: None below 4, Apnea from 7 on, Insomnia between.
fn diagnoses() -> String {
    let row = |i: usize| {
        let hours = (i * 7 % 30) as f64 / 3.0;
        let name = if hours < 4.0 {
            "None"
        } else if hours < 7.0 {
            "Insomnia"
        } else {
            "Apnea"
        };
        format!("{hours:.2},{},{name}\n", i % 3)
    };
    "hours,other,diagnosis\n".to_string() + &(0..90).map(row).collect::<String>()
}

/// Countries, of which Namibia's code is NA, and a target that depends on that one alone.
fn countries() -> String {
    let row = |i: usize| {
        let country = ["NA", "ZA", "BW"][i % 3];
        format!("{country},{},{}\n", i * 5 % 17, if country == "NA" { "high" } else { "low" })
    };
    "country,visits,risk\n".to_string() + &(0..60).map(row).collect::<String>()
}

fn write(text: String) -> Workdir {
    let dir = Workdir::new();
    dir.write("t.csv", text);
    dir
}

const TREE: [&str; 4] = ["train", "t.csv", "--algorithm", "tree"];

#[test]
fn a_label_that_is_a_word_for_missing_is_named_with_its_rows_and_the_flag_keeps_it() {
    let dir = write(diagnoses());
    let done = dir.run(&TREE).ok().complains(&[
        "36 rows without a target value were left out: \"None\" in 36 rows was read as a missing value",
        "--no-null \"diagnosis=None\"",
    ]);
    assert!(done.out().contains("2 classes"), "{done}");
    for flag in ["diagnosis=None", "None"] {
        let done = dir.run(&[&TREE[..], &["--no-null", flag, "--format", "json"]].concat()).ok();
        assert!(!done.err().contains("None"), "{done}");
        let classes: Vec<_> =
            done.json()["classes"].as_array().unwrap().iter().map(|class| class["label"].clone()).collect();
        assert_eq!(classes, ["Apnea", "Insomnia", "None"].map(|label| json!(label)), "{flag}");
        dir.run(&["predict", "--features", "1,1"]).ok().says(&["None\t1.0"]);
        let again = dir.run(&["eval", "t.csv", "--format", "json"]).ok().silent().json();
        assert_eq!((&again["n_rows"], &again["metrics"]["accuracy"]), (&json!(90), &json!(1.0)));
        assert_eq!(dir.run(&["eval", "--format", "json"]).ok().json()["n_rows"], 18);
    }
}

#[test]
fn a_target_of_which_only_a_word_for_missing_is_left_names_it() {
    let dir = write(diagnoses().replace("Insomnia", "None"));
    dir.run(&TREE).fails(1).complains(&[
        "needs two classes or more",
        "\"None\" in",
        "--no-null \"diagnosis=None\"",
    ]);
    dir.run(&[&TREE[..], &["--no-null", "None"]].concat()).ok();
    // The rows of a file to evaluate on.
    let train = write(diagnoses());
    train.run(&TREE).ok();
    train.write("none.csv", "hours,other,diagnosis\n1,1,None\n");
    train.run(&["eval", "none.csv"]).fails(1).complains(&["no row has a target value; \"None\" in 1 row"]);
    train.write("few.csv", "hours,other,diagnosis\n1,1,None\n9,1,Apnea\n");
    train
        .run(&["eval", "few.csv"])
        .ok()
        .complains(&["1 row without a target value was skipped: \"None\" in 1 row"]);
}

#[test]
fn a_word_that_is_the_only_missing_value_of_a_text_column_is_noted_and_a_value_in_its_column_alone() {
    let dir = write(countries());
    dir.run(&TREE).ok().complains(&[
        "\"NA\" was read as a missing value",
        "\"country\" (20 rows)",
        "country=NA",
    ]);
    let kept = [&TREE[..], &["--no-null", "country=NA"]].concat();
    let done = dir.run(&kept).ok();
    assert!(!done.err().contains("missing value"), "{done}");
    for (row, warnings) in [
        (r#"{"country":"NA","visits":3}"#, json!(null)),
        (r#"{"country":null,"visits":3}"#, json!([{"row":0,"feature":"country","kind":"missing_value"}])),
        (r#"{"country":"NA","visits":"NA"}"#, json!([{"row":0,"feature":"visits","kind":"missing_value"}])),
    ] {
        let answer = dir.run(&["predict", "--format", "json", "--features", row]).ok().json();
        assert_eq!(answer["warnings"], warnings, "{row}");
        let line =
            dir.run(&["predict", "--input", "-", "--format", "json"]).stdin(format!("{row}\n")).ok().json();
        assert_eq!(line["predictions"][0]["probabilities"], answer["probabilities"], "{row}");
    }
    // Where it is missing among numbers as well, it means that.
    dir.write("gaps.csv", countries().replace(",5,", ",NA,"));
    let done = dir.run(&["train", "gaps.csv", "--algorithm", "tree", "-o", "gaps.mlapi"]).ok();
    assert!(!done.err().contains("missing value"), "{done}");
    for row in ["NA,3", "country=NA,visits=3"] {
        dir.run(&["predict", "--features", row]).ok().says(&["high\t1.0"]).silent();
    }
    let table = dir.run(&["predict", "--input", "-"]).stdin("visits,country\n3,NA\n3,ZA\n").ok().silent();
    assert_eq!(table.csv()[1..], [["3", "NA", "high", "1.0"], ["3", "ZA", "low", "1.0"]]);
}

#[test]
fn a_word_that_cannot_be_kept_is_a_wrong_usage() {
    let dir = write(countries());
    for (flags, says) in [
        (&["--no-null", "many"][..], "\"many\" is a value already"),
        (&["--no-null", ""], "an empty cell is always a missing value"),
        (&["--no-null", "county=NA"], "did you mean \"country\"?"),
        (&["--null", "ZA", "--no-null", "ZA"], "--null ZA says"),
    ] {
        dir.run(&[&TREE[..], flags].concat()).fails(2).complains(&["--no-null", says]);
    }
    dir.run(&[&TREE[..], &["--null", "ZA", "--no-null", "country=ZA"]].concat()).ok();
}

// Labels that the model does not know.

#[test]
fn unknown_labels_are_named_with_their_rows_and_the_nearest_known_one_and_count_as_wrong() {
    let dir = write(countries());
    dir.run(&TREE).ok();
    dir.write("other.csv", countries().replace("high", "high."));
    let done = dir.run(&["eval", "other.csv"]).ok();
    let done = done.says(&["20 rows have labels that the model does not know, counted as wrong"]);
    done.complains(&[
        "20 of 60 rows evaluated have a label that the model does not know; they count as wrong",
        "\"high.\" (20 rows; did you mean \"high\"?)",
    ]);
    let result = dir.run(&["eval", "other.csv", "--format", "json"]).ok().json();
    let expected = json!({
        "n_rows": 20, "counted_as": "wrong", "n_labels": 1,
        "labels": [{ "label": "high.", "n_rows": 20, "nearest": "high" }],
    });
    assert_eq!(result["unknown_labels"], expected);
    assert_eq!(result["metrics"]["accuracy"], json!(40.0 / 60.0), "the rows are in the metrics");
    assert!(dir.run(&["eval", "t.csv", "--format", "json"]).ok().json().get("unknown_labels").is_none());
    // The same of a file that is held out at training.
    let trained = dir.run(&[&TREE[..], &["--test", "other.csv"]].concat()).ok();
    trained.complains(&["20 of 60 rows evaluated have a label", "did you mean \"high\"?"]);
}

#[test]
fn an_evaluation_without_a_known_label_fails_with_their_names() {
    let dir = write(countries());
    dir.run(&TREE).ok();
    dir.write("other.csv", countries().replace("high", "high.").replace("low", "low."));
    for args in [&["eval", "other.csv"][..], &[&TREE[..], &["--test", "other.csv"]].concat()] {
        dir.run(args).fails(1).complains(&[
            "other.csv: the model knows none of the labels in the target column \"risk\"",
            "\"low.\" (40 rows; did you mean \"low\"?), \"high.\" (20 rows; did you mean \"high\"?)",
        ]);
    }
}

#[test]
fn a_file_with_more_columns_than_the_model_knows_is_evaluated_with_a_note() {
    let dir = write(countries());
    dir.run(&TREE).ok();
    let more: String = countries().lines().map(|line| format!("{line},more\n")).collect();
    dir.write("more.csv", more);
    let done = dir.run(&["eval", "more.csv"]).ok();
    done.complains(&["note: more.csv: the model does not know the column \"more\", which is passed over"]);
}
