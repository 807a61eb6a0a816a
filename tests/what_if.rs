//! The smallest changes that move a prediction: `predict --what-if` and `"what_if"` over HTTP.

use serde_json::{Value, json};

use crate::support::http::Server;
use crate::support::workdir::{Workdir, fixture, records};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Loans by four columns of levels alone, so that all rows there are can be tried.
fn loans() -> Workdir {
    let dir = Workdir::new();
    let mut text = String::from("job,home,history,pet,paid\n");
    for i in 0..600 {
        let job = ["clerk", "baker", "none"][i % 3];
        let home = ["own", "rent"][i / 3 % 2];
        let history = ["good", "mixed", "bad"][i / 6 % 3];
        let pet = ["cat", "dog"][i / 18 % 2];
        let points = [2, 1, -2][i % 3] + [1, -1][i / 3 % 2] + [2, 0, -2][i / 6 % 3];
        let is_odd = i % 37 == 0;
        text +=
            &format!("{job},{home},{history},{pet},{}\n", if (points > 0) != is_odd { "yes" } else { "no" });
    }
    dir.write("loans.csv", text);
    let flags = ["train", "loans.csv", "--algorithm", "boost", "--drop", "pet", "--type", "home=category"];
    dir.run(&flags).ok();
    dir
}

#[test]
fn the_smallest_changes_are_those_of_brute_force() {
    let dir = loans();
    let columns = ["job", "home", "history"];
    let levels = [&["clerk", "baker", "none"][..], &["own", "rent"], &["good", "mixed", "bad"]];
    let mut all: Vec<[&str; 3]> = Vec::new();
    for job in levels[0] {
        for home in levels[1] {
            all.extend(levels[2].iter().map(|history| [*job, *home, *history]));
        }
    }
    let lines: Vec<String> = all.iter().map(|row| row.join(",")).collect();
    dir.write("all.csv", format!("job,home,history\n{}\n", lines.join("\n")));
    let read = |flags: &[&str]| -> Vec<Value> {
        let done = dir.run(&[&["predict", "--input", "all.csv", "--format", "ndjson"], flags].concat()).ok();
        done.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found = read(&["--what-if", "3"]);
    let labels: Vec<String> = found.iter().map(|row| row["prediction"].to_string()).collect();
    assert!(labels.iter().any(|label| label == "\"no\"") && labels.iter().any(|label| label == "\"yes\""));
    let mut n_wider = 0;
    for (i, row) in all.iter().enumerate() {
        let n_changes = |other: &[&str; 3]| row.iter().zip(other).filter(|(a, b)| a != b).count();
        let others = all.iter().zip(&labels).filter(|(_, label)| **label != labels[i]);
        let fewest = others.clone().map(|(other, _)| n_changes(other)).min().unwrap();
        // Of each set of columns one answer, at most three.
        let sets: std::collections::BTreeSet<Vec<usize>> = others
            .filter(|(other, _)| n_changes(other) == fewest)
            .map(|(other, _)| (0..3).filter(|&column| row[column] != other[column]).collect())
            .collect();
        let answers = found[i]["what_if"].as_array().unwrap();
        assert_eq!(answers.len(), sets.len().min(3), "{row:?}");
        for answer in answers {
            let changes = answer["changes"].as_object().unwrap();
            assert_eq!((changes.len(), number(&answer["distance"])), (fewest, fewest as f64), "{row:?}");
            let mut other = *row;
            for (name, value) in changes {
                let column = columns.iter().position(|known| known == name).unwrap();
                other[column] = value.as_str().unwrap();
            }
            let at = all.iter().position(|known| *known == other).unwrap();
            assert_eq!(answer["prediction"].to_string(), labels[at]);
            assert_eq!(answer["probability"], found[at]["probability"]);
            assert_ne!(labels[at], labels[i]);
        }
        n_wider += usize::from(fewest > 1);
    }
    assert!(n_wider > 0, "some rows need more than one change");
    assert_eq!(found, read(&["--what-if", "3", "--threads", "1"]));
    // A bound on the number is a bound.
    let one = read(&["--what-if", "1"]);
    assert_eq!(one.iter().filter(|row| row["what_if"] == json!([])).count(), n_wider);
}

/// Rows of a fixture that are predicted otherwise than `label`, as JSON.
fn rows_unlike(dir: &Workdir, file: &str, label: &str, n: usize) -> Vec<Value> {
    let table = records(&fixture(file), b',');
    let predicted = dir.run(&["predict", "--input", file, "--format", "ndjson"]).ok();
    let rows = predicted.out().lines().zip(&table[1..]).filter(|(line, cells)| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["prediction"] != json!(label) && cells.iter().all(|cell| cell != "NA")
    });
    let object = |cells: &Vec<String>| {
        let members = table[0].iter().zip(cells).take(cells.len() - 1);
        let value = |cell: &String| cell.parse::<f64>().map_or_else(|_| json!(cell), |number| json!(number));
        Value::from(
            members.map(|(name, cell)| (name.clone(), value(cell))).collect::<serde_json::Map<_, _>>(),
        )
    };
    rows.step_by(17).take(n).map(|(_, cells)| object(cells)).collect()
}

fn ask(dir: &Workdir, row: &Value, flags: &[&str]) -> Value {
    let row = row.to_string();
    dir.run(&[&["predict", "--format", "json", "--features", &row], flags].concat()).ok().json()
}

#[test]
fn every_answer_is_predicted_lies_in_the_training_range_and_just_suffices() {
    for algorithm in ["logreg", "forest"] {
        let dir = Workdir::trained("iris.csv", &["--algorithm", algorithm]);
        let table = records(&fixture("iris.csv"), b',');
        for row in rows_unlike(&dir, "iris.csv", "versicolor", 4) {
            let answer = ask(&dir, &row, &["--what-if", "2", "--what-if-label", "versicolor"]);
            let found = answer["what_if"].as_array().unwrap();
            assert!(!found.is_empty(), "{row}");
            let mut last = 0.0;
            for one in found {
                assert!(number(&one["distance"]) >= last, "the nearest comes first");
                last = number(&one["distance"]);
                let mut distance = 0.0;
                let (mut changed, mut short) = (row.clone(), Vec::new());
                for (name, value) in one["changes"].as_object().unwrap() {
                    let column = table[0].iter().position(|known| known == name).unwrap();
                    let values = table[1..].iter().map(|cells| cells[column].parse::<f64>().unwrap());
                    let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
                    assert!((low..=high).contains(&number(value)), "{name} {value}");
                    distance += (number(value) - number(&row[name])).abs() / (high - low);
                    changed[name] = value.clone();
                    let mut nearer = row.clone();
                    // A tenth less does not suffice, if it is the only change.
                    nearer[name] = json!(number(&row[name]) + 0.9 * (number(value) - number(&row[name])));
                    short.push(nearer);
                }
                // Ranges are those of the training rows, which are some of the file.
                assert!((distance / number(&one["distance"]) - 1.0).abs() < 0.1, "{one}");
                let again = ask(&dir, &changed, &[]);
                assert_eq!(
                    (&again["prediction"], &again["probability"]),
                    (&json!("versicolor"), &one["probability"])
                );
                if let [nearer] = &short[..] {
                    assert_ne!(ask(&dir, nearer, &[])["prediction"], json!("versicolor"), "{one}");
                }
            }
            let same =
                ask(&dir, &row, &["--what-if", "2", "--what-if-label", "versicolor", "--threads", "1"]);
            assert_eq!(answer, same);
        }
    }
}

#[test]
fn columns_change_only_as_they_may() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "boost"]);
    for row in rows_unlike(&dir, "penguins.csv", "Gentoo", 3) {
        let with = |mutable: &str| {
            let flags = ["--what-if", "3", "--what-if-label", "Gentoo", "--mutable", mutable];
            ask(&dir, &row, &flags)["what_if"].as_array().unwrap().clone()
        };
        for one in with("flipper_length_mm,body_mass_g:+,island") {
            for (name, value) in one["changes"].as_object().unwrap() {
                match name.as_str() {
                    "body_mass_g" => assert!(number(value) > number(&row[name])),
                    "flipper_length_mm" => {
                        assert_eq!(number(value).fract(), 0.0, "a column of whole numbers")
                    }
                    other => assert_eq!(other, "island"),
                }
            }
        }
        for one in with("flipper_length_mm=200..210,bill_depth_mm:-,bill_length_mm") {
            let changes = one["changes"].as_object().unwrap();
            assert!(
                changes.get("flipper_length_mm").is_none_or(|value| (200.0..=210.0).contains(&number(value)))
            );
            assert!(
                changes
                    .get("bill_depth_mm")
                    .is_none_or(|value| number(value) < number(&row["bill_depth_mm"]))
            );
        }
    }
    let row = "{}";
    let refused = |flags: &[&str], says: &str| {
        let head = ["predict", "--features", row, "--lenient", "--what-if", "2"];
        dir.run(&[&head, flags].concat()).fails(2).complains(&[says]);
    };
    refused(&["--mutable", "flipper_length"], "did you mean \"flipper_length_mm\"?");
    refused(&["--mutable", "island:+"], "neither rises nor falls");
    refused(&["--mutable", "body_mass_g=9..1"], "ends before it begins");
    refused(&["--what-if-label", "Gento"], "did you mean \"Gentoo\"?");
    refused(&["--what-if-range", "1..2"], "a range is for a model of numbers");
    let rows = dir.run(&["predict", "--input", "penguins.csv", "--what-if", "1"]).fails(2);
    rows.complains(&["--format ndjson"]);
}

#[test]
fn a_number_moves_into_a_range_and_the_text_says_how() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    let row = "59,2,32.1,101,157,93.2,38,4,4.86,87";
    let head = ["predict", "--features", row];
    let before: f64 = dir.run(&head).ok().out().trim().parse().unwrap();
    let flags =
        [&head[..], &["--what-if", "2", "--what-if-range", "..150", "--mutable", "bmi,bp:-"]].concat();
    let text = dir.run(&flags).ok().out().to_string();
    assert!(before > 150.0 && text.contains("\nwhat if\n  ") && text.contains(" instead of "), "{text}");
    let json = dir.run(&[&flags[..], &["--format", "json"]].concat()).ok().json();
    for one in json["what_if"].as_array().unwrap() {
        assert!(number(&one["prediction"]) <= 150.0);
    }
    let there = [&head[..], &["--what-if", "1", "--what-if-range", "0..1000", "--format", "json"]].concat();
    assert_eq!(dir.run(&there).ok().json()["what_if"], json!([]));
    dir.run(&[&head[..], &["--what-if", "1"]].concat()).fails(2).complains(&["from where to where"]);
}

#[test]
fn a_server_says_what_would_change_an_answer() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "forest", "--private", "petal_width"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let row = json!({"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2});
    let option = json!({ "most": 2, "label": "virginica", "mutable": ["petal_length", "sepal_length:+"] });
    let flags =
        ["--what-if", "2", "--what-if-label", "virginica", "--mutable", "petal_length,sepal_length:+"];
    let answer = server.predict(json!({ "features": row, "what_if": option }).to_string()).json();
    assert_eq!(answer["what_if"], ask(&dir, &row, &flags)["what_if"]);
    let answer = server.predict(json!({ "features": [row, row], "what_if": 3 }).to_string()).json();
    for one in answer["predictions"][1]["what_if"].as_array().unwrap() {
        assert!(one["changes"].get("petal_width").is_none(), "its values are private");
    }
    for (option, says) in [
        (json!({ "mutable": ["petal_width"] }), "private"),
        (json!({ "label": "dodo" }), "no label"),
        (json!({ "columns": 3 }), "what_if is a number of columns"),
        (json!(9), "from 1 to 8"),
        (json!("x"), "what_if is a number of columns"),
    ] {
        let reply = server.predict(json!({ "features": row, "what_if": option }).to_string());
        let problem = reply.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/what_if", "{problem}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    let many = vec![row; 101];
    server.predict(json!({ "features": many, "what_if": 1 }).to_string()).problem(413);
}
