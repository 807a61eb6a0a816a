//! `mlapi predict`: one row, files of rows, what does not fit.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::workdir::{Workdir, fixture, read_some, records};
use serde_json::{Value, json};

const ROW: &str = "5.1,3.5,1.4,0.2";
const HEADER: &str = "sepal_length,sepal_width,petal_length,petal_width";
const BY_NAME: &str = r#"{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}"#;

fn iris() -> Workdir {
    Workdir::trained("iris.csv", &[])
}

/// The answer to one row.
fn answer(dir: &Workdir, row: &str) -> Value {
    dir.run(&["predict", "--format", "json", "--features", row]).ok().json()
}

/// The output for rows from standard input.
fn stream(dir: &Workdir, rows: &str, flags: &[&str]) -> String {
    let done = dir.run(&[&["predict", "--input", "-"], flags].concat()).stdin(rows).ok();
    done.out().to_string()
}

/// The last `n` columns of a table.
fn last(table: &[Vec<String>], n: usize) -> Vec<Vec<String>> {
    table.iter().map(|row| row[row.len() - n..].to_vec()).collect()
}

// One row.

#[test]
fn the_three_forms_of_a_row_give_the_same() {
    let dir = iris();
    let one = answer(&dir, ROW);
    assert_eq!(one["prediction"], "setosa");
    for form in [
        BY_NAME,
        "sepal_length=5.1,sepal_width=3.5,petal_length=1.4,petal_width=0.2",
        "petal_width=0.2, sepal_length=5.1 ,sepal_width= 3.5,petal_length=1.40",
        "[5.1, 3.5, 1.4, 0.2]",
        " 5.1 ,3.5,1.4,2e-1",
        "\"5.1\",\"3.5\",1.4,0.2",
        "5.1,3.5,1.4,0.2,setosa",
        r#"{"species":"virginica","petal_width":0.2,"petal_length":1.4,"sepal_width":3.5,"sepal_length":"5.1"}"#,
    ] {
        assert_eq!(answer(&dir, form), one, "{form}");
    }
}

#[test]
fn the_text_is_the_label_and_its_probability() {
    let dir = iris();
    let done = dir.run(&["predict", "--features", ROW]).ok().silent();
    assert_eq!(done.out(), "setosa\t0.9820\n");
    let done = dir.run(&["predict", "--features", ROW, "--probabilities"]).ok();
    let expected = "setosa\t0.9820\nprobability_setosa\t0.9820\nprobability_versicolor\t0.0180\nprobability_virginica\t0.0000\n";
    assert_eq!(done.out(), expected);
    let dir = Workdir::trained("diabetes.csv", &[]);
    let row = "59,2,32.1,101,157,93.2,38,4,4.8598,87";
    let value: f64 = dir.run(&["predict", "--features", row]).ok().out().trim().parse().unwrap();
    assert_eq!(answer(&dir, row), json!({ "prediction": value }));
}

#[test]
fn a_cell_of_a_row_may_hold_commas_and_quotes() {
    let dir = Workdir::new();
    let text = (0..60).fold("place,x,y\n".to_string(), |mut text, i| {
        let place = ["\"Bonn, Rhein\"", "\"the \"\"Hague\"\"\"", "Ulm"][i % 3];
        writeln!(text, "{place},{}.5,{}", i % 7, ["a", "b", "b"][i % 3]).unwrap();
        text
    });
    dir.write("t.csv", text);
    dir.run(&["train", "t.csv"]).ok();
    for (typed, json) in [
        ("\"Bonn, Rhein\",1", r#"["Bonn, Rhein",1]"#),
        ("\"the \"\"Hague\"\"\",1", r#"["the \"Hague\"",1]"#),
        ("\"place=Bonn, Rhein\",x=1", r#"{"x":1,"place":"Bonn, Rhein"}"#),
    ] {
        let one = answer(&dir, typed);
        assert_eq!(one, answer(&dir, json));
        assert_eq!(one.get("warnings"), None, "{typed} is a known category");
    }
    assert_eq!(answer(&dir, "\"Bonn, Rhein\",1")["prediction"], "a");
    assert_eq!(answer(&dir, "Ulm,1")["prediction"], "b");
    // The row that train tells to type is quoted for CSV and for the shell.
    let done = dir.run(&["train", "t.csv", "--seed", "1"]).ok();
    let line = done.out().lines().find(|line| line.contains("--features")).unwrap();
    let (_, typed) = line.split_once("--features ").unwrap();
    answer(&dir, typed.trim_matches('\''));
}

#[test]
fn a_row_by_position_may_have_or_lack_the_columns_that_are_not_used() {
    let dir = Workdir::trained("iris.csv", &["--drop", "sepal_width"]);
    let one = answer(&dir, "5.1,1.4,0.2");
    assert_eq!(answer(&dir, "5.1,anything,1.4,0.2"), one);
    assert_eq!(answer(&dir, "5.1,3.5,1.4,0.2,setosa"), one);
    assert_eq!(answer(&dir, "[5.1,3.5,1.4,0.2]"), one);
    dir.run(&["predict", "--features", "5.1,1.4"])
        .fails(1)
        .complains(&["2 values where the model has 3 features (sepal_length,petal_length,petal_width)"]);
}

#[test]
fn negative_numbers_need_no_equals_sign() {
    let done = iris().run(&["predict", "--features", "-5.1,3.5,1.4,0.2"]).ok();
    done.complains(&["sepal_length is -5.1; the training rows lie between 4.3 and 7.9"]);
}

#[test]
fn all_problems_of_a_row_are_listed_with_the_nearest_name() {
    let dir = iris();
    let expected = [
        "\"sepal_widht\" is not a feature of this model; did you mean \"sepal_width\"?",
        "sepal_length: \"x\" is not a number",
        "petal_length",
        "petal_width",
    ];
    for row in ["sepal_widht=3.5,sepal_length=x", r#"{"sepal_widht":3.5,"sepal_length":"x"}"#] {
        dir.run(&["predict", "--features", row]).fails(1).complains(&expected);
    }
    dir.run(&["predict", "--features", "x,3.5,true,0.2"])
        .fails(1)
        .complains(&["sepal_length: \"x\"", "petal_length: \"true\""]);
    for row in ["{", "{\"sepal_length\":}", "[1,2", "{} {}"] {
        dir.run(&["predict", "--features", row]).fails(1).complains(&["--features is not JSON"]);
    }
    for row in ["", "5.1,3.5,1.4,0.2\n5.1,3.5,1.4,0.2"] {
        dir.run(&["predict", "--features", row]).fails(1).complains(&["--features takes one row"]);
    }
    dir.run(&[
        "predict",
        "--features",
        r#"{"sepal_length":[1],"sepal_width":{},"petal_length":1,"petal_width":1}"#,
    ])
    .fails(1)
    .complains(&["sepal_length: an array or an object is not a value"]);
}

#[test]
fn a_name_given_twice_is_an_error_in_every_form() {
    let dir = iris();
    for row in [
        "sepal_length=5.1,sepal_length=7,sepal_width=3.5,petal_length=1.4,petal_width=0.2",
        r#"{"sepal_length":5.1,"sepal_length":7,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}"#,
    ] {
        dir.run(&["predict", "--features", row]).fails(1).complains(&["sepal_length", "twice"]);
    }
}

#[test]
fn lenient_takes_what_does_not_fit_as_missing() {
    let dir = iris();
    let missing = answer(&dir, "5.1,,1.4,");
    let warnings = json!([
        {"row": 0, "feature": "sepal_width", "kind": "missing_value"},
        {"row": 0, "feature": "petal_width", "kind": "missing_value"},
    ]);
    assert_eq!(missing["warnings"], warnings);
    for row in [
        "5.1,wide,1.4,x",
        "sepal_length=5.1,petal_length=1.4,colour=red",
        r#"{"sepal_length":5.1,"petal_length":1.4,"petal_width":true,"colour":"red"}"#,
    ] {
        let done = dir.run(&["predict", "--lenient", "--format", "json", "--features", row]).ok();
        assert_eq!(done.json(), missing, "{row}");
    }
    dir.run(&["predict", "--lenient", "--features", "1,2,3"]).fails(1);
    dir.run(&["predict", "--lenient", "--features", "{"]).fails(1);
}

#[test]
fn unseen_categories_and_missing_values_are_predicted_with_a_warning() {
    let dir = Workdir::trained("penguins.csv", &[]);
    let row = "Mars,,18.7,181,9999,male,2007";
    dir.run(&["predict", "--features", row]).ok().complains(&[
        "warning: island is a category that training did not see",
        "warning: bill_length_mm is missing",
        "warning: body_mass_g is 9999; the training rows lie between 2700 and 6050",
    ]);
    let warnings = json!([
        {"row": 0, "feature": "island", "kind": "unseen_category"},
        {"row": 0, "feature": "bill_length_mm", "kind": "missing_value"},
        {"row": 0, "feature": "body_mass_g", "kind": "out_of_range"},
    ]);
    assert_eq!(answer(&dir, row)["warnings"], warnings);
    dir.run(&["predict", "--quiet", "--features", row]).ok().silent();
}

#[test]
fn a_threshold_decides_for_the_second_class() {
    let dir = Workdir::trained("breast_cancer.csv", &[]);
    let table = dir.run(&["predict", "--input", "breast_cancer.csv", "--keep", "none"]).ok().csv();
    let unsure =
        table[1..].iter().position(|row| row[0] == "malignant" && row[1].parse::<f64>().unwrap() < 0.9);
    let line = fixture("breast_cancer.csv").lines().nth(unsure.unwrap() + 1).unwrap().to_string();
    let at = |threshold: &str| {
        let args = ["predict", "--format", "json", "--threshold", threshold, "--features", &line];
        dir.run(&args).ok().json()
    };
    let (low, high) = (at("0.1"), at("0.9"));
    assert_eq!((&low["prediction"], &high["prediction"]), (&json!("malignant"), &json!("benign")));
    assert_eq!(low["probabilities"], high["probabilities"]);
    assert_eq!(high["probability"], high["probabilities"]["benign"], "that of the predicted class");
    let count = |threshold: &str| {
        let flags = ["predict", "--input", "breast_cancer.csv", "--threshold", threshold];
        dir.run(&flags).ok().csv().iter().filter(|row| row[31] == "malignant").count()
    };
    assert_eq!(count("0"), 569, "the threshold is inclusive");
    assert!(count("0.1") > count("0.9") && count("0.9") > count("1"));
}

#[test]
fn whole_number_labels_are_numbers_in_json() {
    let dir = Workdir::trained("digits.csv", &[]);
    let row = fixture("digits.csv").lines().nth(1).unwrap().to_string();
    let one = answer(&dir, &row);
    assert_eq!(one["prediction"], 0);
    assert!(one["probabilities"]["0"].as_f64().unwrap() > 0.9);
    assert!(one["prediction"].is_u64());
}

#[test]
fn flags_that_cannot_be_meant_are_wrong_usage() {
    let dir = iris();
    let misused = |args: &[&str], words: &[&str]| {
        dir.run(&[&["predict"], args].concat()).fails(2).complains(words);
    };
    misused(&[], &["--features"]);
    misused(&["--features", ROW, "--input", "iris.csv"], &["cannot be used with"]);
    misused(
        &["--features", ROW, "--keep", "none"],
        &["'--features <ROW>' cannot be used with '--keep <COLS>'"],
    );
    misused(&["--features", ROW, "--threshold", "0.5"], &["two classes; this one has 3 classes"]);
    misused(&["--input", "iris.csv", "--threshold", "2"], &["from 0 to 1"]);
    let dir = Workdir::trained("diabetes.csv", &[]);
    dir.run(&["predict", "--input", "diabetes.csv", "--probabilities"])
        .fails(2)
        .complains(&["--probabilities needs a model that predicts classes"]);
}

// Files of rows.

#[test]
fn the_columns_of_the_input_come_back_with_the_prediction_in_order() {
    let dir = iris();
    let done = dir.run(&["predict", "--input", "iris.csv"]).ok();
    let (input, output) = (records(&fixture("iris.csv"), b','), done.csv());
    assert_eq!(output.len(), 151);
    assert_eq!(output[0][4..], ["species", "prediction", "probability"]);
    for (i, (input, output)) in input.iter().zip(&output).enumerate() {
        assert_eq!(input[..], output[..5], "row {i}");
    }
    let right = output[1..].iter().filter(|row| row[4] == row[5]).count();
    assert!(right >= 140, "{right}");
    let first = answer(&dir, ROW);
    assert_eq!(output[1][6].parse::<f64>().ok(), first["probability"].as_f64());
}

#[test]
fn keep_chooses_the_columns_that_come_back() {
    let dir = iris();
    let kept = |keep: &str| dir.run(&["predict", "--input", "iris.csv", "--keep", keep]).ok().csv();
    let all = kept("all");
    assert_eq!(kept("none"), last(&all, 2));
    let some = kept("species, sepal_length");
    assert_eq!(some[0], ["species", "sepal_length", "prediction", "probability"]);
    assert_eq!(some[1][..2], ["setosa", "5.1"]);
    assert_eq!(last(&some, 2), last(&all, 2));
    dir.run(&["predict", "--input", "iris.csv", "--keep", "specie"])
        .fails(1)
        .complains(&["no column \"specie\" to keep; did you mean \"species\"?"]);
}

#[test]
fn probabilities_are_one_column_per_class() {
    let dir = iris();
    let table = dir.run(&["predict", "--input", "iris.csv", "--keep", "none", "--probabilities"]).ok().csv();
    let names = ["probability_setosa", "probability_versicolor", "probability_virginica"];
    assert_eq!(table[0][2..], names);
    for row in &table[1..] {
        let numbers: Vec<f64> = row[1..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!((numbers[1..].iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(numbers[0], numbers[1..].iter().copied().fold(0.0, f64::max));
    }
}

#[test]
fn the_order_of_the_columns_the_target_and_the_delimiter_do_not_matter() {
    let dir = iris();
    let wanted = dir.run(&["predict", "--input", "iris.csv", "--keep", "none"]).ok().csv();
    let rows = records(&fixture("iris.csv"), b',');
    let written = |order: &[usize], delimiter: &str| {
        rows.iter().fold(String::new(), |mut text, row| {
            let cells: Vec<&str> = order.iter().map(|&i| row[i].as_str()).collect();
            writeln!(text, "{}", cells.join(delimiter)).unwrap();
            text
        })
    };
    for (text, delimiter) in [
        (written(&[0, 1, 2, 3], ","), b','),
        (written(&[4, 3, 2, 1, 0], ","), b','),
        (written(&[2, 0, 3, 1], ";"), b';'),
        (written(&[0, 1, 2, 3, 4], "\t"), b'\t'),
    ] {
        let output = records(&stream(&dir, &text, &[]), delimiter);
        assert_eq!(last(&output, 2), wanted, "{}", text.lines().next().unwrap());
    }
    dir.write("rows.tsv", written(&[0, 1, 2, 3], "\t"));
    let tsv = dir.run(&["predict", "--input", "rows.tsv"]).ok();
    assert_eq!(last(&records(tsv.out(), b'\t'), 2), wanted);
}

#[test]
fn a_file_without_a_header_is_matched_by_position_and_gets_none() {
    let dir = iris();
    let rows = format!("{ROW}\n6.3,3.3,6.0,2.5\n");
    let output = stream(&dir, &rows, &["--no-header"]);
    assert_eq!(output.lines().count(), 2);
    assert!(output.starts_with("5.1,3.5,1.4,0.2,setosa,0.98"), "{output}");
    // A model of a table without a header expects none, unless told so.
    let text = fixture("iris.csv");
    dir.write("rows.csv", text.split_once('\n').unwrap().1);
    dir.run(&["train", "rows.csv", "--no-header", "--algorithm", "logreg"]).ok();
    assert_eq!(stream(&dir, &rows, &[]), output);
    let named = format!("column_1,column_2,column_3,column_4\n{rows}");
    let with_header = stream(&dir, &named, &["--header"]);
    assert_eq!(with_header.split_once('\n').unwrap().1, output);
}

#[test]
fn ndjson_comes_back_as_ndjson_with_its_members_as_they_were_written() {
    let dir = iris();
    let rows = format!(
        "{{\"id\":1e2,\"petal_width\":0.2,\"sepal_length\":5.1,\"sepal_width\":3.50,\"petal_length\":1.4}}\n\n\
         {BY_NAME}\n"
    );
    let refused = dir.run(&["predict", "--input", "-", "--strict"]).stdin(&rows).fails(1);
    refused.complains(&["standard input line 1, \"id\": \"id\" is not a feature of this model"]);
    let text = stream(&dir, &rows, &["--lenient"]);
    assert!(text.starts_with("{\"id\":1e2,\"petal_width\":0.2,"), "{text}");
    assert!(text.contains("\"sepal_width\":3.50,"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(
            (&line["prediction"], &line["probability"]),
            (&json!("setosa"), &answer(&dir, ROW)["probability"])
        );
    }
    let some = stream(&dir, &rows, &["--lenient", "--keep", "id,petal_width", "--probabilities"]);
    let line: Value = serde_json::from_str(some.lines().next().unwrap()).unwrap();
    let names: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 7, "{some}");
    assert!(
        some.starts_with("{\"id\":1e2,\"petal_width\":0.2,\"prediction\":\"setosa\",\"probability\":0.98")
    );
    dir.write("rows.ndjson", "[5.1,3.5,1.4,0.2]\n[6.3,3.3,6.0,2.5]\n");
    let arrays = dir.run(&["predict", "--input", "rows.ndjson"]).ok().ndjson();
    assert_eq!(
        (&arrays[0]["input"], &arrays[0]["prediction"]),
        (&json!([5.1, 3.5, 1.4, 0.2]), &json!("setosa"))
    );
    assert_eq!(stream(&dir, &dir.read("rows.ndjson"), &[]).lines().count(), 2, "found from the content too");
}

#[test]
fn json_is_the_answer_of_the_http_api_and_ndjson_its_elements() {
    let dir = iris();
    let rows = format!("{HEADER}\n{ROW}\n5.1,,1.4,99\n");
    let document: Value = serde_json::from_str(&stream(&dir, &rows, &["--format", "json"])).unwrap();
    let predictions = document["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 2);
    assert_eq!(predictions[0], answer(&dir, ROW));
    let members: Vec<&String> = predictions[0].as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 3);
    let warnings = json!([
        {"row": 1, "feature": "sepal_width", "kind": "missing_value"},
        {"row": 1, "feature": "petal_width", "kind": "out_of_range"},
    ]);
    assert_eq!(document["warnings"], warnings);
    let lines = stream(&dir, &rows, &["--format", "ndjson"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, predictions);
    let empty: Value =
        serde_json::from_str(&stream(&dir, &format!("{HEADER}\n"), &["--format", "json"])).unwrap();
    assert_eq!(empty, json!({ "predictions": [] }));

    let dir = Workdir::trained("diabetes.csv", &[]);
    let row = "59,2,32.1,101,157,93.2,38,4,4.8598,87";
    let done = dir.run(&["predict", "--input", "-", "--no-header", "--format", "ndjson"]).stdin(row).ok();
    assert_eq!(done.ndjson(), [answer(&dir, row)]);
}

#[test]
fn all_problems_of_a_file_are_listed_with_their_lines() {
    let dir = iris();
    let names = "sepal_lenth,sepal_width,petal_length,id\n1,2,3,4\n";
    dir.run(&["predict", "--input", "-"]).stdin(names).fails(1).complains(&[
        "standard input: \"sepal_lenth\" is not a feature of this model; did you mean \"sepal_length\"?",
        "standard input: \"id\" is not a feature",
        "standard input: column \"sepal_length\" is missing",
        "standard input: column \"petal_width\" is missing",
    ]);
    dir.write("bad.csv", format!("{HEADER}\n1,2,x,3\n\n1,2,3,4\n1,inf,y,3\n"));
    dir.run(&["predict", "--input", "bad.csv"]).fails(1).complains(&[
        "bad.csv line 2, column \"petal_length\": \"x\" is not a number",
        "bad.csv line 5, column \"sepal_width\": \"inf\" is not a finite number",
        "bad.csv line 5, column \"petal_length\": \"y\" is not a number",
    ]);
    dir.write("bad.ndjson", format!("{BY_NAME}\n{{\"sepal_lenth\":1}}\nnonsense\n[1,2]\n"));
    dir.run(&["predict", "--input", "bad.ndjson"]).fails(1).complains(&[
        "bad.ndjson line 2, \"sepal_lenth\"",
        "did you mean \"sepal_length\"?",
        "bad.ndjson line 3: not JSON",
        "bad.ndjson line 4: 2 values where the model has 4 features",
    ]);
}

#[test]
fn lenient_reads_a_file_that_does_not_fit_and_counts_what_is_missing() {
    let dir = iris();
    let rows = "id,petal_length,sepal_length\n7,1.4,5.1\n8,x,\n";
    let done = dir.run(&["predict", "--input", "-", "--lenient"]).stdin(rows).ok();
    let done = done.complains(&["6 missing values in 2 rows"]);
    assert_eq!(done.csv()[1][..4], ["7", "1.4", "5.1", "setosa"]);
    let wanted = dir.run(&["predict", "--features", "5.1,,1.4,", "--format", "json"]).ok().json();
    assert_eq!(done.csv()[1][4].parse::<f64>().ok(), wanted["probability"].as_f64());
}

#[test]
fn unseen_categories_and_missing_values_of_a_file_are_counted_in_a_warning() {
    let dir = Workdir::trained("penguins.csv", &[]);
    let rows = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n\
                Mars,39.1,18.7,181,3750,male,2007\nVenus,NA,18.7,,3750,?,2007\nDream,39.1,18.7,181,9,male,2007\n";
    let done = dir.run(&["predict", "--input", "-"]).stdin(rows).ok().complains(&[
        "2 categories that training did not see in 3 rows",
        "3 missing values in 3 rows",
        "1 number outside the range of the training rows",
    ]);
    assert_eq!(done.csv().len(), 4);
    dir.run(&["predict", "--input", "-", "--quiet"]).stdin(rows).ok().silent();
}

#[test]
fn a_bad_row_leaves_no_output_file_and_an_existing_one_as_it_was() {
    let dir = iris();
    let mut rows = format!("{HEADER}\n");
    (0..20_000).for_each(|_| writeln!(rows, "{ROW}").unwrap());
    for (name, last) in [("text.csv", "1,2,3,x\n"), ("ragged.csv", "1,2,3\n"), ("open.csv", "1,2,3,\"4\n")] {
        dir.write(name, format!("{rows}{last}"));
        dir.run(&["predict", "--input", name, "--output", "out.csv"])
            .fails(1)
            .complains(&[&format!("{name} line 20002")]);
        assert!(!dir.files().contains(&"out.csv".to_string()));
    }
    dir.write("out.csv", "precious");
    let before = dir.files();
    dir.run(&["predict", "--input", "text.csv", "-o", "out.csv"]).fails(1);
    dir.run(&["predict", "--input", "none.csv", "-o", "out.csv"])
        .fails(1)
        .complains(&["cannot open none.csv"]);
    dir.run(&["predict", "--features", "x", "-o", "out.csv"]).fails(1);
    assert_eq!(dir.read("out.csv"), "precious");
    assert_eq!(dir.files(), before, "no temporary files");

    dir.run(&["predict", "--input", "iris.csv", "-o", "out.csv"]).ok();
    let on_stdout = dir.run(&["predict", "--input", "iris.csv"]).ok();
    assert_eq!(dir.read("out.csv"), on_stdout.out());
    assert_eq!(dir.files(), before);
    dir.run(&["predict", "--input", "iris.csv", "-o", "no/such.csv"]).fails(1).complains(&["no/such.csv"]);
}

#[test]
fn a_file_may_be_replaced_by_its_own_predictions() {
    let dir = iris();
    let wanted = dir.run(&["predict", "--input", "iris.csv"]).ok();
    dir.run(&["predict", "--input", "iris.csv", "-o", "iris.csv"]).ok();
    assert_eq!(dir.read("iris.csv"), wanted.out());
}

#[test]
fn rows_before_a_ragged_one_are_written_to_standard_output() {
    let dir = iris();
    let rows = format!("{HEADER}\n{ROW}\n1,2,3\n");
    let done = dir.run(&["predict", "--input", "-"]).stdin(rows).fails(1);
    let done = done.complains(&["standard input line 3: 3 fields where the first line has 4"]);
    assert_eq!(done.csv().len(), 2);
}

#[test]
fn inputs_without_rows_text_or_utf8_are_explained() {
    let dir = iris();
    let refused = |bytes: &[u8], words: &[&str]| {
        dir.run(&["predict", "--input", "-"]).stdin(bytes).fails(1).complains(words);
    };
    refused(b"", &["standard input is empty"]);
    let western = [HEADER.as_bytes(), b"\n5.1,\xe4,1,2\n"].concat();
    refused(&western, &["windows-1252", "line 2, column \"sepal_width\": \"ä\" is not a number"]);
    dir.run(&["predict", "--input", "-", "--encoding", "utf-8"])
        .stdin(&western)
        .fails(1)
        .complains(&["line 2, column \"sepal_width\": not valid UTF-8"]);
    refused(&[BY_NAME.as_bytes(), b"\n{\"\xe4\":1}\n"].concat(), &["line 2"]);
    refused(b"\x1f\x8b\x08\0", &["gzip"]);
    let done = dir.run(&["predict", "--input", "-"]).stdin(format!("{HEADER}\n")).ok();
    assert_eq!(done.out(), format!("{HEADER},prediction,probability\n"));
}

// Streams.

/// `n` rows of iris again and again, with the target.
fn many_rows(n: usize) -> String {
    let text = fixture("iris.csv");
    let (header, rows) = text.split_once('\n').unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    (0..n).fold(format!("{header}\n"), |mut text, i| {
        text.push_str(lines[i % lines.len()]);
        text.push('\n');
        text
    })
}

#[test]
fn a_closed_pipe_ends_quietly_with_0() {
    let dir = iris();
    dir.write("many.csv", many_rows(100_000));
    for format in ["text", "json", "ndjson"] {
        let mut run = dir.run(&["predict", "--input", "many.csv", "--format", format]);
        let mut child = run.spawn();
        let mut stdout = child.stdout.take().unwrap();
        assert_eq!(read_some(&mut stdout, 10).len(), 10);
        drop(stdout);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn rows_are_answered_while_more_are_to_come() {
    let dir = iris();
    let mut run = dir.run(&["predict", "--input", "-"]);
    let mut child = run.spawn();
    let mut stdin = child.stdin.take().unwrap();
    let (answered, wait) = std::sync::mpsc::channel();
    // From a thread of its own: the program stops reading when nobody reads what it writes. The input ends
    // once something has been answered, and at last in any case, so that this test ends as well.
    let writer = std::thread::spawn(move || {
        stdin.write_all(many_rows(20_000).as_bytes()).unwrap();
        wait.recv_timeout(Duration::from_secs(10)).is_ok()
    });
    let mut stdout = child.stdout.take().unwrap();
    assert!(read_some(&mut stdout, 1000).starts_with(b"sepal_length,"));
    // The receiver is gone if it has waited in vain.
    let _ = answered.send(());
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(writer.join().unwrap(), "nothing was answered before the input ended");
    assert!(rest.len() > 500_000);
}

#[test]
fn two_hundred_thousand_rows_are_predicted_in_constant_memory() {
    const ROWS: usize = 200_000;
    let dir = iris();
    let rows = many_rows(ROWS);
    let (csv_bytes, n_bytes) = (rows.into_bytes(), std::sync::atomic::AtomicUsize::new(0));
    let mut run = dir.run(&["predict", "--input", "-", "--threads", "2", "--probabilities"]);
    let started = Instant::now();
    let mut child = run.spawn();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut peak_kb = None;
    let n_lines = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut lines, mut buffer) = (0, vec![0; 1 << 16]);
            loop {
                let n = stdout.read(&mut buffer).unwrap();
                if n == 0 {
                    return lines;
                }
                lines += buffer[..n].iter().filter(|&&b| b == b'\n').count();
                n_bytes.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
            }
        });
        stdin.write_all(&csv_bytes).unwrap();
        // All but what a pipe and a block hold has been predicted by now.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        peak_kb = line.map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap());
        drop(stdin);
        reader.join().unwrap()
    });
    let took = started.elapsed();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(n_lines, ROWS + 1);
    let output_kb = n_bytes.into_inner() / 1024;
    assert!(output_kb > 20_000, "the output alone is larger than what may be held: {output_kb} kB");
    if let Some(peak_kb) = peak_kb {
        // 8 MB for the program itself; input and output are 4 and 20 MB.
        assert!(peak_kb < 20_000, "peak memory {peak_kb} kB for {output_kb} kB of output");
    }
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn the_order_is_kept_on_any_number_of_threads() {
    let dir = iris();
    dir.write("many.csv", many_rows(10_000));
    let on = |threads: &str| dir.run(&["predict", "--input", "many.csv", "--threads", threads]).ok().stdout;
    let one = on("1");
    let table = records(std::str::from_utf8(&one).unwrap(), b',');
    assert_eq!(table.len(), 10_001);
    assert_eq!(table[1], table[151]);
    assert!(one == on("2") && one == on("8"));
}

// One road.

#[test]
fn a_value_is_predicted_alike_from_csv_ndjson_and_json() {
    let dir = Workdir::trained("penguins.csv", &[]);
    let table = records(&fixture("penguins.csv"), b',');
    let names = &table[0][..7];
    let (mut csv_text, mut ndjson) = (names.join(",") + "\n", String::new());
    let (mut objects, mut arrays, mut typed) = (Vec::new(), Vec::new(), Vec::new());
    // Knuth's multiplier scatters changes over rows and columns.
    let scatter = |i: usize, j: usize| (i * 7 + j).wrapping_mul(2_654_435_761) >> 16;
    for (i, row) in table[1..].iter().enumerate() {
        let cells: Vec<String> = (0..7)
            .map(|j| match scatter(i, j) % 11 {
                0 => ["", "NA", " ? ", "null"][i % 4].to_string(),
                1 if j == 0 => "Atlantis, \"lost\"".into(),
                2 if j > 0 && j < 5 => format!("{}e-3", row[j].replace("NA", "41000")),
                3 => format!("  {}  ", row[j]),
                _ => row[j].clone(),
            })
            .collect();
        let quoted: Vec<String> = cells.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
        writeln!(csv_text, "{}", quoted.join(",")).unwrap();
        typed.push(quoted.join(","));
        let value = |j: usize| {
            let cell = cells[j].trim();
            match cell.parse::<f64>() {
                Ok(number) => json!(number),
                Err(_) if ["", "NA", "?", "null"].contains(&cell) => Value::Null,
                Err(_) => json!(cell),
            }
        };
        let object: serde_json::Map<String, Value> =
            names.iter().enumerate().map(|(j, name)| (name.clone(), value(j))).collect();
        writeln!(ndjson, "{}", Value::Object(object.clone())).unwrap();
        objects.push(Value::Object(object));
        arrays.push(Value::Array((0..7).map(value).collect()));
    }
    let answers = |input: &str| {
        let done = dir.run(&["predict", "--input", "-", "--format", "ndjson"]).stdin(input).ok();
        (done.ndjson(), done.err())
    };
    let from_csv = answers(&csv_text);
    assert_eq!(from_csv.0.len(), 344);
    assert!(from_csv.1.contains("categories that training did not see"), "{}", from_csv.1);
    assert_eq!(from_csv, answers(&ndjson));
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    assert_eq!(from_csv, answers(&lines));
    dir.write("arrays.ndjson", arrays.iter().map(|array| format!("{array}\n")).collect::<String>());
    let from_arrays = dir.run(&["predict", "--input", "arrays.ndjson", "--format", "ndjson"]).ok();
    assert_eq!(from_csv.0, from_arrays.ndjson());
    let plain = dir.run(&["predict", "--input", "-", "--keep", "none"]).stdin(&csv_text).ok().csv();
    for (row, wanted) in plain[1..].iter().zip(&from_csv.0) {
        assert_eq!(row[0], wanted["prediction"].as_str().unwrap());
        assert_eq!(row[1].parse::<f64>().ok(), wanted["probability"].as_f64());
    }
    for i in (0..344).step_by(23) {
        for row in [typed[i].clone(), objects[i].to_string(), arrays[i].to_string()] {
            let mut one = answer(&dir, &row);
            one.as_object_mut().unwrap().remove("warnings");
            assert_eq!(one, from_csv.0[i], "{row}");
        }
    }
}

#[test]
fn a_number_is_predicted_alike_however_it_is_written() {
    let dir = Workdir::new();
    let mut text = String::from("size,code,open,y\n");
    for i in 0..200 {
        let code = ["007", "7", "北京", "ä b"][i % 4];
        writeln!(text, "{},{code},{},{}", i * 20, ["true", "FALSE"][i / 2 % 2], i * i % 37 + 50 * (i % 4))
            .unwrap();
    }
    dir.write("t.csv", text);
    dir.run(&["train", "t.csv", "--algorithm", "tree", "-q", "--type", "code=category"]).ok();
    for (size, code, open) in [
        ("1e3", "007", "true"),
        ("007", "7", "TRUE"),
        ("1.0", " 北京 ", "False"),
        (" 12.50 ", "ä b", "1"),
        ("123456789.123456789", "Köln", "0"),
        ("-0.1e-2", "", ""),
    ] {
        let csv = format!("size,code,open\n{size},{code},{open}\n");
        let strings = json!({"size": size, "code": code, "open": open}).to_string();
        let mut typed = json!({"size": size.trim().parse::<f64>().unwrap(), "code": code, "open": open});
        if let Ok(open) = open.to_lowercase().parse::<bool>() {
            typed["open"] = json!(open);
        }
        let of_csv = dir.run(&["predict", "--input", "-", "--format", "ndjson"]).stdin(&csv).ok().ndjson();
        for row in [strings, typed.to_string()] {
            let lines = dir.run(&["predict", "--input", "-", "--format", "ndjson"]).stdin(&row).ok();
            assert_eq!(lines.ndjson(), of_csv, "{row}");
            assert_eq!(answer(&dir, &row)["prediction"], of_csv[0]["prediction"], "{row}");
        }
    }
}

#[test]
fn at_the_first_bad_row_what_stands_before_it_is_written_or_it_is_left_out_or_kept_without_a_prediction() {
    let dir = iris();
    let rows = format!("{HEADER},note\n{ROW},\"a, b\"\n1,x,3,4,c\n6.3,3.3,6.0,2.5,d\n1,2\n");
    let text = rows.replace(",note", ",species");
    let run = |what: &str| dir.run(&["predict", "--input", "-", "--on-error", what]).stdin(&text);
    let stopped = run("stop").fails(1).complains(&["line 3, column \"sepal_width\": \"x\" is not a number"]);
    assert_eq!(stopped.csv().len(), 2);
    assert!(stopped.out().contains("5.1,3.5,1.4,0.2,\"a, b\",setosa,"), "kept as it stands: {stopped}");
    let skipped = run("skip").ok().complains(&["2 rows do not fit and were skipped"]);
    assert_eq!(last(&skipped.csv(), 2)[2][0], "virginica");
    assert_eq!(skipped.csv().len(), 3);
    let kept = run("null").ok().complains(&["2 rows do not fit and got no prediction"]);
    let table = kept.csv();
    assert_eq!(table[2], ["1", "x", "3", "4", "c", "", ""]);
    assert_eq!(table[4], ["1", "2", "", "", "", "", ""]);
    assert_eq!(last(&table, 2)[3], last(&skipped.csv(), 2)[2]);

    let lines = format!("{BY_NAME}\n{{\"sepal_length\":\"x\"}}\n{BY_NAME}\n");
    let run = |what: &str| dir.run(&["predict", "--input", "-", "--on-error", what]).stdin(&lines);
    assert_eq!(run("stop").fails(1).complains(&["line 2"]).ndjson().len(), 1);
    assert_eq!(run("skip").ok().complains(&["1 row does not fit and was skipped"]).ndjson().len(), 2);
    let kept = run("null").ok().ndjson();
    assert_eq!((kept.len(), &kept[1]["prediction"]), (3, &Value::Null));
    dir.run(&["predict", "--input", "-", "--on-error", "ignore"]).fails(2).complains(&["stop, skip or null"]);
}

#[test]
fn decimal_commas_of_the_training_are_read_in_new_files_and_json_has_dots() {
    let dir = Workdir::new();
    let text = (0..60).fold("size;y\n".to_string(), |mut text, i| {
        writeln!(text, "{},5;{},25", i % 12, 3 * (i % 12)).unwrap();
        text
    });
    dir.write("t.csv", text);
    dir.run(&["train", "t.csv", "-q", "--algorithm", "linreg"]).ok();
    let one = answer(&dir, "{\"size\":4.5}")["prediction"].as_f64().unwrap();
    assert!((one - 12.25).abs() < 1e-6, "{one}");
    let of_csv =
        |rows: &str| dir.run(&["predict", "--input", "-", "--format", "ndjson"]).stdin(rows).ok().ndjson();
    assert_eq!(of_csv("size;y\n4,5;\n")[0]["prediction"].as_f64(), Some(one));
    assert_eq!(of_csv("size;y\n4,50;\n")[0]["prediction"].as_f64(), Some(one));
    assert_eq!(
        of_csv("size\n4.5\n")[0]["prediction"].as_f64(),
        Some(one),
        "a file with commas between fields has dots"
    );
}
