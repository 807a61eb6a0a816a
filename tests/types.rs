//! What each column of a file is taken for, and what is said of it: one golden text per fixture, and one sentence
//! per decision.
//!
//! `MLAPI_BLESS=1 cargo test --test main types::` writes the golden texts anew.

use std::fs;
use std::path::Path;

use crate::support::http::Server;
use crate::support::workdir::{Workdir, assert_golden};
use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::{Value, json};

/// The tables of a folder of fixtures, in order of their names.
fn tables(folder: &str) -> Vec<String> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with("csv") || name.ends_with("ndjson")).collect();
    names.sort();
    names
}

#[test]
fn types_table_and_notes_of_every_fixture_are_the_golden_ones() {
    let mut n = 0;
    for folder in ["fixtures", "fixtures/nasty"] {
        for name in tables(folder) {
            let dir = Workdir::new();
            dir.write(
                &name,
                fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(&name)).unwrap(),
            );
            let mut text = String::new();
            // Both encodings: standardised, as for most learners, and raw, as for trees.
            for algorithm in ["knn", "tree"] {
                let done = dir.run(&["train", &name, "--algorithm", algorithm]).done();
                let (summary, _) = done.out().split_once("\nsplit").unwrap_or((done.out(), ""));
                text += &format!("$ mlapi train {name} --algorithm {algorithm}\n{}{summary}\n", done.err());
            }
            assert_golden(&format!("types/{name}"), &text);
            n += 1;
        }
    }
    let kept = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/types")).unwrap();
    assert_eq!(kept.count(), n, "every golden text is of a fixture");
}

/// Trains on a table of a target `y` and a column `x` of these cells, again and again up to 60 rows; what is said
/// of `x`.
fn x_of(cells: &[&str], flags: &[&str]) -> Value {
    let row = |i: usize| {
        format!("{},{},{}\n", cells[i % cells.len()], (i * 37 % 60) as f64 / 8.0, ["a", "b", "a"][i % 3])
    };
    let dir = Workdir::new();
    dir.write("t.csv", String::from("x,z,y\n") + &(0..60).map(row).collect::<String>());
    let args = [&["train", "t.csv", "--algorithm", "tree", "--format", "json"], flags].concat();
    dir.run(&args).ok().json()["columns"][0].clone()
}

#[track_caller]
fn assert_x(cells: &[&str], kind: &str, why: &str) {
    let found = x_of(cells, &[]);
    assert_eq!((&found["type"], &found["why"]), (&json!(kind), &json!(why)), "{cells:?}");
}

#[test]
fn a_column_of_numbers_is_a_number() {
    assert_x(&["1.5", "-2", "3e2", "NA", ".5"], "number", "numbers");
    assert_x(&["0", "1", "1"], "number", "0 or 1");
    assert_x(&["1", "2", "1"], "number", "2 whole numbers");
}

#[test]
fn words_such_as_yes_and_no_in_any_case_are_a_boolean() {
    assert_x(&["true", "FALSE", "True"], "boolean", "true or false");
    assert_x(&["yes", "No", "YES", ""], "boolean", "yes or no");
    assert_x(&["Y", "n", "y"], "boolean", "y or n");
    assert_x(&["t", "F", "f"], "boolean", "t or f");
    assert_x(&["on", "OFF"], "boolean", "on or off");
}

#[test]
fn words_of_two_pairs_or_one_word_beside_gaps_are_categories() {
    assert_x(&["yes", "no", "y"], "category", "3 distinct texts");
    assert_x(&["yes", "no", "maybe"], "category", "3 distinct texts");
    assert_x(&["yes", "", "yes"], "category", "one text and missing values");
    assert_x(&["true", "false", "1"], "category", "numbers and texts");
}

#[test]
fn a_column_of_a_few_texts_is_a_category() {
    assert_x(&["red", "green", "Red", "NA"], "category", "3 distinct texts");
    assert_x(&["1", "2", "many"], "category", "numbers and texts");
}

#[test]
fn sentences_that_mostly_differ_are_a_text() {
    let sentences: Vec<String> =
        (0..60).map(|i| format!("the {i} th order came late and broken at {}", i * 7 % 11)).collect();
    assert_x(&sentences.iter().map(String::as_str).collect::<Vec<_>>(), "text", "sentences");
}

#[test]
fn dates_in_one_order_are_a_date() {
    assert_x(&["2024-03-05", "2024-03-06T10:00:00Z", "NA"], "date", "dates");
    assert_x(&["25/03/2024", "04/03/2024"], "date", "dates, the day first");
    assert_x(&["03/25/2024", "04/03/2024"], "date", "dates, the month first");
    assert_x(&["99-03-05", "01-03-05"], "date", "dates, the year first");
    assert_x(&["Mar 5 2024", "6. März 2024", "07-Mar-24"], "date", "dates");
    assert_x(&["2024-Q1", "2024-Q2", "2024-Q4"], "date", "dates");
    assert_x(&["2024", "2025", "2023", "2025"], "number", "3 whole numbers");
    assert_x(&["March", "May", "March"], "category", "2 distinct texts");
}

#[test]
fn a_few_cells_that_are_no_number_or_no_date_are_asked_about_and_not_guessed() {
    let refused = |cell: &dyn Fn(usize) -> String, words: &str| {
        let dir = Workdir::new();
        let rows: String = (0..60).map(|i| format!("{},{}\n", cell(i), ["a", "b"][i % 2])).collect();
        dir.write("t.csv", format!("x,y\n{rows}"));
        dir.run(&["train", "t.csv"]).fails(1).complains(&[words, "--null TOKEN", "--type \"x=category\""]);
    };
    let number = |i: usize| if i == 41 { "many".into() } else { (i as f64 * 1.5).to_string() };
    refused(&number, "t.csv line 43, column \"x\": \"many\" is not a number");
    let date = |i: usize| if i == 41 { "25/03/2024".into() } else { format!("03/{:02}/2024", i % 28 + 1) };
    refused(&date, "t.csv line 43, column \"x\": \"25/03/2024\" is not a date");
}

#[test]
fn whole_numbers_with_leading_zeros_are_numbers_with_a_note_and_codes_where_that_is_said() {
    let dir = Workdir::new();
    let zip = |i: usize| format!("{:05}", [1234, 94_110, 501, 60_601][i % 4]);
    let rows: String =
        (0..60).map(|i| format!("{},{},{}\n", zip(i), i * i % 17, ["a", "b"][i % 4 / 2])).collect();
    dir.write("t.csv", format!("zip,size,y\n{rows}"));
    let found = dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok().says(&["zip     number"]);
    found.complains(&["\"zip\" are written with leading zeros, such as 01234", "--type \"zip=category\""]);
    let predict = |row: &str| dir.run(&["predict", "--features", row]).ok();
    assert_eq!(predict("01234,3").out(), predict("1234,3").out(), "a number, however it is written");
    let args = ["train", "t.csv", "--algorithm", "tree", "--type", "zip=category"];
    dir.run(&args).ok().silent().says(&["zip     category"]);
    predict("01234,3").silent();
    predict("{\"zip\":\"01234\",\"size\":3}").silent();
    predict("1234,3").complains(&["did not see"]);
    // Decimals below one, and zero itself, have no leading zeros.
    let rows: String = (0..60).map(|i| format!("0.{i},{},{}\n", i % 7 - i % 7, i * i % 17)).collect();
    dir.write("u.csv", format!("x,z,y\n{rows}"));
    let silent = dir.run(&["train", "u.csv", "--algorithm", "tree", "--task", "regression"]).ok();
    assert!(!silent.err().contains("leading zeros"), "{silent}");
}

#[test]
fn a_first_line_that_is_a_row_is_one_here_and_wherever_the_file_is_read_again() {
    let dir = Workdir::new();
    let iris = crate::support::workdir::fixture("iris.csv");
    let (_, rows) = iris.split_once('\n').unwrap();
    dir.write("rows.csv", rows);
    let found = dir.run(&["train", "rows.csv", "--algorithm", "tree", "-o", "found.mlapi"]).ok();
    found.says(&["150 rows, 5 columns", "column_5  target"]).complains(&["read as a row", "--header"]);
    let told = dir.run(&["train", "rows.csv", "--algorithm", "tree", "--no-header", "-o", "told.mlapi"]).ok();
    told.silent();
    let arrays = |name: &str| {
        let inspected = dir.run(&["inspect", "--model", name, "--format", "json"]).ok().json();
        (inspected["schema"].clone(), inspected["card"]["evaluation"].clone())
    };
    assert_eq!(arrays("found.mlapi"), arrays("told.mlapi"));
    let evaluated = dir.run(&["eval", "--model", "found.mlapi", "--format", "json"]).ok().json();
    assert_eq!(evaluated.get("recorded_at_training"), None);
    dir.run(&["predict", "--model", "found.mlapi", "--input", "rows.csv"]).ok();
    // A column that is named by a flag can only be named by the file.
    dir.write("named.csv", format!("5.1,3.5,1.4,0.2,setosa\n{rows}"));
    let named = dir.run(&["train", "named.csv", "--algorithm", "tree", "--target", "setosa"]).ok();
    named.says(&["150 rows, 5 columns"]);
    // The rows of a second file and of a file of held-out rows are rows as well.
    let several = ["train", "rows.csv", "named.csv", "--test", "rows.csv", "--algorithm", "tree"];
    dir.run(&several).ok().says(&["301 rows, 5 columns"]);
}

#[test]
fn a_first_line_is_the_header_and_one_of_numbers_is_asked_about() {
    let dir = Workdir::new();
    let rows: String = (0..30).map(|i| format!("{},{}\n", i as f64 / 4.0, i * i)).collect();
    dir.write("t.csv", format!("7,8\n{rows}"));
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    done.says(&["30 rows", "8       target"]).complains(&["holds only numbers", "--no-header"]);
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree", "--no-header"]).ok().silent();
    done.says(&["31 rows", "column_2  target"]);
}

#[test]
fn an_id_and_a_constant_are_left_out_with_the_reason() {
    let numbers: Vec<String> = (1..=60).map(|i| i.to_string()).collect();
    assert_x(&numbers.iter().map(String::as_str).collect::<Vec<_>>(), "-", "it numbers the rows");
    let ids: Vec<String> = (0..60).map(|i| format!("u{}", i * 7919 % 1000)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_x(&ids, "-", "nearly every value is different, as in an id");
    assert_x(&["yes"], "-", "every value is the same");
    assert_x(&["NA"], "-", "every cell is missing");
}

#[test]
fn whole_numbers_of_few_values_are_numbers_and_the_flag_for_names_is_told() {
    let zips = ["94103", "10001", "60601", "94103", "73301"];
    assert_x(&zips, "number", "4 whole numbers");
    let given = x_of(&zips, &["--type", "x=category"]);
    assert_eq!(
        (&given["type"], &given["why"], &given["distinct"]),
        (&json!("category"), &json!("--type"), &json!(4))
    );
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        "zip,y\n".to_string()
            + &(0..60).map(|i| format!("{},{}\n", zips[i % 5], ["a", "b"][i % 2])).collect::<String>(),
    );
    let hint = "zip: few whole numbers, taken as amounts; --type zip=category takes them as names";
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok().says(&[hint]);
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree", "--type", "zip=category"]).ok();
    assert!(!done.out().contains("taken as amounts"), "{done}");
}

#[test]
fn decimal_commas_are_numbers_where_another_byte_divides_the_fields() {
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        "x;y\n".to_string()
            + &(0..60).map(|i| format!("{},{};{}\n", i % 7, i % 3, ["a", "b"][i % 2])).collect::<String>(),
    );
    let found = dir.run(&["train", "t.csv", "--algorithm", "tree", "--format", "json"]).ok().json();
    assert_eq!(
        (&found["columns"][0]["type"], &found["columns"][0]["why"]),
        (&json!("number"), &json!("numbers"))
    );
}

#[test]
fn missing_and_distinct_values_are_counted_in_all_rows() {
    let found = x_of(&["a", "", "b", "c", "NA", "a"], &[]);
    assert_eq!((&found["missing"], &found["distinct"]), (&json!(20), &json!(3)));
}

#[test]
fn a_boolean_is_written_at_prediction_as_in_training_or_as_json_has_it() {
    let dir = Workdir::new();
    let row = |i: usize| {
        format!("{},{}\n", ["yes", "No"][i % 2], ["good", "bad"][(i % 2) ^ usize::from(i.is_multiple_of(11))])
    };
    dir.write("t.csv", "paid,y\n".to_string() + &(0..80).map(row).collect::<String>());
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    for (yes, no) in [("yes", "no"), ("YES", "nO"), ("true", "false"), ("1", "0")] {
        dir.write("new.csv", format!("paid\n{yes}\n{no}\n"));
        let rows = dir.run(&["predict", "--input", "new.csv", "--keep", "none"]).ok().csv();
        assert_eq!([&rows[1][0], &rows[2][0]], ["good", "bad"], "{yes}");
    }
    dir.write("new.ndjson", "{\"paid\":\"Yes\"}\n{\"paid\":false}\n{\"paid\":true}\n[\"no\"]\n");
    let rows = dir.run(&["predict", "--input", "new.ndjson", "--format", "ndjson"]).ok().ndjson();
    let labels: Vec<&Value> = rows.iter().map(|row| &row["prediction"]).collect();
    assert_eq!(labels, ["good", "bad", "good", "bad"]);
    dir.run(&["predict", "--features", "y"]).fails(1).complains(&["\"y\" is not yes or no"]);
    let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
    let server = Server::start(model, Limits::default());
    for (value, label) in [("\"yes\"", "good"), ("\"No\"", "bad"), ("true", "good"), ("0", "bad")] {
        let answer = server.predict(format!("{{\"features\":{{\"paid\":{value}}}}}")).json();
        assert_eq!(answer["prediction"], label, "{value}");
    }
    let refused = server.predict(r#"{"features":{"paid":"maybe"}}"#).json();
    assert_eq!(refused["errors"][0]["detail"], "\"maybe\" is not yes or no");
    let card = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(card["schema"]["features"][0]["notation"], json!({ "boolean": "yes-no" }));
    assert!(
        card["example"]["data"][0].is_string(),
        "an example is written as in training: {}",
        card["example"]
    );
}

#[test]
fn a_target_of_yes_and_no_keeps_its_labels_as_written() {
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        "x,y\n".to_string()
            + &(0..60)
                .map(|i| {
                    format!("{},{}\n", (i * 7 % 60) as f64 / 8.0, ["Yes", "No"][usize::from(i * 7 % 60 < 30)])
                })
                .collect::<String>(),
    );
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    done.says(&["its values are yes and no"]);
    assert_eq!(dir.run(&["predict", "--features", "6"]).ok().out().split('\t').next(), Some("Yes"));
}

#[test]
fn columns_that_are_nearly_numbers_are_named_together() {
    let dir = Workdir::new();
    let odd =
        |i: usize, at: usize, text: &str| if i == at { text.into() } else { format!("{}.5", i * 7 % 53) };
    let row =
        |i: usize| format!("{},{},{},{}\n", odd(i, 30, "1x2"), i % 17, odd(i, 40, "7;8"), ["x", "y"][i % 2]);
    dir.write("t.csv", "a,b,c,y\n".to_string() + &(0..90).map(row).collect::<String>());
    let done = dir.run(&["train", "t.csv"]).fails(1);
    done.complains(&["column \"a\"", "\"1x2\"", "so are cells of \"c\" (7;8)"]);
    dir.run(&["train", "t.csv", "--null", "1x2", "--null", "7;8", "--algorithm", "tree"]).ok();
}
