//! Rows in the order of a label's probability or of a value: `predict --rank-by`, and `eval --rank-group`.

use serde_json::{Value, json};

use crate::support::http::Server;
use crate::support::workdir::{Workdir, fixture, records};

/// The lines of an output as JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The indices of rows by falling score, equal ones in their order.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

#[test]
fn the_first_rows_of_a_file_are_those_of_a_whole_sort_in_every_format() {
    let dir = Workdir::trained("visits.csv", &["--algorithm", "tree", "--set", "max_depth=4"]);
    let predict = |flags: &[&str]| {
        let done = dir.run(&[&["predict", "--input", "visits.csv"], flags].concat()).ok();
        done.out().to_string()
    };
    let all = lines(&predict(&["--format", "ndjson"]));
    let scores: Vec<f64> = all.iter().map(|row| number(&row["probabilities"]["yes"])).collect();
    let wanted = order(&scores);
    let equal = wanted.windows(2).take(19).filter(|pair| scores[pair[0]] == scores[pair[1]]).count();
    assert!(equal > 3, "rows of equal scores are among the first");

    let ranked = ["--rank-by", "yes", "--top", "20"];
    let found = lines(&predict(&[&ranked[..], &["--format", "ndjson"]].concat()));
    assert_eq!(found.len(), 20);
    for (row, &index) in found.iter().zip(&wanted) {
        assert_eq!((row["index"].as_u64(), number(&row["score"])), (Some(index as u64), scores[index]));
        assert_eq!(row["prediction"], all[index]["prediction"]);
    }
    let document: Value =
        serde_json::from_str(&predict(&[&ranked[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(document["predictions"], json!(found));
    // The warnings are about the rows that are written, and count those alone.
    let input = records(&fixture("visits.csv"), b',');
    let missing =
        wanted[..20].iter().map(|&index| input[index + 1].iter().filter(|cell| *cell == "NA").count());
    let missing: Vec<usize> = missing.collect();
    let warnings = document["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), missing.iter().sum::<usize>());
    for (row, n) in missing.iter().enumerate() {
        assert_eq!(warnings.iter().filter(|warning| warning["row"] == json!(row)).count(), *n);
    }

    let table = records(&predict(&ranked), b',');
    assert_eq!(table[0].last().unwrap(), "score");
    for (row, &index) in table[1..].iter().zip(&wanted) {
        assert_eq!((row[..6].to_vec(), &row[8]), (input[index + 1].clone(), &scores[index].to_string()));
    }
    // Of two classes the second is meant; without a number all rows are written, on any number of threads the same.
    let whole = predict(&["--rank-by", "--threads", "1"]);
    assert_eq!(whole, predict(&["--rank-by", "yes", "--threads", "2"]));
    assert_eq!(records(&whole, b',').len(), 3001);
}

#[test]
fn json_lines_keep_their_members_and_numbers_are_ranked_by_their_value() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    let table = records(&fixture("diabetes.csv"), b',');
    let rows: Vec<String> = table[1..]
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let cells = table[0].iter().zip(row).take(10);
            let mut object: serde_json::Map<String, Value> =
                cells.map(|(name, cell)| (name.clone(), json!(cell.parse::<f64>().unwrap()))).collect();
            object.insert("id".into(), json!(i));
            Value::from(object).to_string()
        })
        .collect();
    let ranked = dir.run(&["predict", "--input", "-", "--rank-by", "--top", "7"]).stdin(rows.join("\n")).ok();
    let found = lines(ranked.out());
    let plain = dir.run(&["predict", "--input", "-", "--keep", "none"]).stdin(rows.join("\n")).ok();
    let values: Vec<f64> = lines(plain.out()).iter().map(|row| number(&row["prediction"])).collect();
    let ids: Vec<usize> = found.iter().map(|row| row["id"].as_u64().unwrap() as usize).collect();
    assert_eq!(ids, order(&values)[..7]);
    assert!(found.iter().all(|row| row["score"] == row["prediction"]));
}

#[test]
fn rows_that_do_not_fit_have_no_place_and_a_wrong_label_is_a_usage_error() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let rows =
        "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\nbad,1,1,1\n6.3,3.3,6.0,2.5\n";
    for on_error in ["skip", "null"] {
        let flags = [
            "predict",
            "--input",
            "-",
            "--rank-by",
            "virginica",
            "--on-error",
            on_error,
            "--format",
            "ndjson",
        ];
        let done = dir.run(&flags).stdin(rows).ok();
        let found = lines(done.out());
        let indices: Vec<u64> = found.iter().map(|row| row["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, [2, 0], "the row that does not fit is counted");
    }
    let refused = dir.run(&["predict", "--input", "-", "--rank-by", "virginia"]).stdin(rows).fails(2);
    refused.complains(&["--rank-by", "did you mean \"virginica\"?"]);
    dir.run(&["predict", "--input", "-", "--rank-by"]).stdin(rows).fails(2).complains(&["name the label"]);
    dir.run(&["predict", "--input", "-", "--top", "3"]).stdin(rows).fails(2).complains(&["--rank-by"]);
}

#[test]
fn a_server_and_a_file_rank_alike() {
    let dir = Workdir::trained("visits.csv", &["--algorithm", "boost"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let head: Vec<String> = fixture("visits.csv").lines().take(201).map(String::from).collect();
    dir.write("candidates.csv", head.join("\n") + "\n");
    let flags =
        ["predict", "--input", "candidates.csv", "--rank-by", "no", "--top", "50", "--format", "ndjson"];
    let of_file = lines(dir.run(&flags).ok().out());
    let table = records(&(head.join("\n") + "\n"), b',');
    let candidate = |row: &Vec<String>| {
        let cells = table[0].iter().zip(row).take(5).map(|(name, cell)| {
            let value = match cell.as_str() {
                "NA" => Value::Null,
                _ if name == "age" || name == "spend" => json!(cell.parse::<f64>().unwrap()),
                text => json!(text),
            };
            (name.clone(), value)
        });
        Value::from(cells.collect::<serde_json::Map<String, Value>>())
    };
    let candidates: Vec<Value> = table[1..].iter().map(candidate).collect();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let body = json!({ "candidates": candidates, "by": "no", "top": 50 }).to_string();
    let reply = server.send("POST", "/rank", "Content-Type: application/json\r\n", body);
    let of_server = reply.json();
    let places: Vec<Value> =
        of_file.iter().map(|row| json!({ "index": row["index"], "score": row["score"] })).collect();
    assert_eq!(of_server["ranking"], json!(places));
}

#[test]
fn an_evaluation_has_the_figures_of_rankings_and_a_gate_for_them() {
    let dir = Workdir::trained("visits.csv", &["--algorithm", "boost"]);
    let flags = ["eval", "visits.csv", "--rank-group", "region", "--format", "json"];
    let found = dir.run(&flags).ok().json()["ranking"].clone();
    assert_eq!((&found["group"], &found["by"]), (&json!("region"), &json!("yes")));
    let names: Vec<&str> =
        found.as_object().unwrap().keys().map(String::as_str).filter(|n| n.contains('@')).collect();
    assert_eq!(names, ["map@10", "map@5", "ndcg@10", "ndcg@5"]);

    // The figures follow from the predictions of the same rows.
    let rows = lines(dir.run(&["predict", "--input", "visits.csv", "--format", "ndjson"]).ok().out());
    let table = records(&fixture("visits.csv"), b',');
    let mut groups: std::collections::BTreeMap<&str, Vec<(f64, bool)>> = Default::default();
    for (row, cells) in rows.iter().zip(&table[1..]).filter(|(_, cells)| cells[1] != "NA") {
        groups.entry(&cells[1]).or_default().push((number(&row["probabilities"]["yes"]), cells[5] == "yes"));
    }
    let (mut sum, mut n) = (0.0, 0.0);
    for group in groups.values_mut().filter(|group| group.iter().any(|row| row.1)) {
        group.sort_by(|a, b| b.0.total_cmp(&a.0));
        sum += 1.0 / (1 + group.iter().position(|row| row.1).unwrap()) as f64;
        n += 1.0;
    }
    assert!((number(&found["mrr"]) - sum / n).abs() < 1e-12);
    assert_eq!(number(&found["groups"]), n);
    let [low, high] = [0, 1].map(|end| number(&found["intervals"]["ndcg@10"][end]));
    assert!(low < number(&found["ndcg@10"]) && number(&found["ndcg@10"]) < high);

    let with = |more: &[&str]| dir.run(&[&["eval", "visits.csv", "--rank-group", "region"], more].concat());
    let met = with(&["--rank-at", "3", "--require", "ndcg@7>=0.01", "--require", "lower(map@3)>=0.01"]).ok();
    assert!(met.out().contains("ndcg@3") && met.out().contains("ndcg@7"), "{}", met.out());
    with(&["--require", "mrr>1"]).fails(3).complains(&["required is mrr>1"]);
    with(&["--require", "mrr not worse", "--compare", "model.mlapi"]).fails(2);
    with(&["--rank-by", "maybe"]).fails(2).complains(&["no label \"maybe\""]);
    dir.run(&["eval", "visits.csv", "--require", "ndcg@5>0"]).fails(2).complains(&["needs --rank-group COL"]);
    dir.run(&["eval", "visits.csv", "--rank-group", "regions"])
        .fails(1)
        .complains(&["did you mean \"region\"?"]);
}
