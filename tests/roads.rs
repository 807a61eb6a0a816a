//! The same value gives the same prediction, whether it comes on the command line, in CSV, in NDJSON, in a JSON
//! request or in a tensor, and however it is written.

use crate::support::http::Server;
use crate::support::model::blended;
use crate::support::workdir::Workdir;
use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::{Value, json};

/// The columns and a row of them.
const COLUMNS: [&str; 5] = ["size", "paid", "shop", "day", "note"];
const ROW: [&str; 5] = ["3.5", "yes", "7", "2024-03-05", "late and broken"];

/// A model of a number, a boolean, a category of numbers, a date and a text; an ensemble of several.
fn trained(algorithms: &[&str]) -> Workdir {
    let words = ["late", "broken", "fine", "fast", "and", "not", "wrong", "good"];
    let mut text = String::from("size,paid,shop,day,note,price\n");
    for i in 0..240_usize {
        let size = if i % 11 == 3 { String::new() } else { format!("{}.{}", i * 7 % 13, i % 10) };
        let paid = ["yes", "no", "no", ""][i * 5 % 19 % 4];
        let shop = ["7", "12", "101", ""][i * 3 % 17 % 4];
        let day =
            if i % 13 == 5 { String::new() } else { format!("2024-{:02}-{:02}", 1 + i % 12, 1 + i * 5 % 28) };
        let note: Vec<&str> = (0..5).map(|k| words[(i * 31 + k * k * 7 + i / 8) % 8]).collect();
        let price = (i * 7 % 13 * 3) as f64
            + [9.0, 1.0, 1.0, 4.0][i * 5 % 19 % 4]
            + [5.0, 0.0, 8.0, 2.0][i * 3 % 17 % 4]
            + (i % 12) as f64 / 2.0
            + if note.contains(&"broken") { 6.5 } else { 0.25 };
        text += &format!("{size},{paid},{shop},{day},{},{price}\n", note.join(" "));
    }
    let dir = Workdir::new();
    dir.write("t.csv", text);
    let types = ["--type", "shop=category", "--type", "note=text"];
    let mut models = Vec::new();
    for algorithm in algorithms {
        dir.run(&[&["train", "t.csv", "--algorithm", algorithm, "-q"], &types[..]].concat()).ok();
        models.push(file::load(dir.path("model.mlapi")).unwrap());
    }
    if models.len() > 1 {
        blended(models, &[0.3, 0.45, 0.25]).save(dir.path("model.mlapi")).unwrap();
    }
    let features = dir.run(&["inspect", "--format", "json"]).ok().json()["schema"]["features"].clone();
    let found: Vec<&str> = features.as_array().unwrap().iter().map(|f| f["type"].as_str().unwrap()).collect();
    assert_eq!(found, ["number", "boolean", "category", "date", "text"]);
    dir
}

struct Roads {
    dir: Workdir,
    server: Server,
}

impl Roads {
    fn new(algorithms: &[&str]) -> Self {
        let dir = trained(algorithms);
        let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
        Self { dir, server: Server::start(model, Limits::default()) }
    }

    /// What a row of fields of CSV gives on the roads that read text.
    fn of_texts(&self, cells: &[&str; 5]) -> Vec<(&'static str, f64)> {
        let fields = cells.map(|cell| format!("\"{cell}\"")).join(",");
        let csv = format!("{}\n{fields}\n", COLUMNS.join(","));
        self.dir.write("in.csv", &csv);
        let command = |args: &[&str]| {
            let done = self.dir.run(&[&["predict", "--format", "json"], args].concat()).ok().json();
            done.get("predictions").map_or(done["prediction"].clone(), |all| all[0]["prediction"].clone())
        };
        let posted = self.server.send("POST", "/predict", "Content-Type: text/csv\r\n", &csv);
        let posted = crate::support::workdir::records(&posted.text(), b',');
        let tensors = COLUMNS
            .iter()
            .zip(cells)
            .map(|(name, cell)| json!({ "name": name, "shape": [1], "datatype": "BYTES", "data": [cell] }));
        let number = |value: Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
        vec![
            ("--features", number(command(&["--features", &fields]))),
            ("CSV", number(command(&["--input", "in.csv"]))),
            ("CSV over HTTP", posted[1].last().unwrap().parse().unwrap()),
            ("tensors", self.infer(tensors.collect())),
        ]
    }

    fn infer(&self, tensors: Vec<Value>) -> f64 {
        let body = json!({ "inputs": tensors }).to_string();
        let reply =
            self.server.send("POST", "/v2/models/model/infer", "Content-Type: application/json\r\n", body);
        reply.json()["outputs"][0]["data"][0].as_f64().unwrap_or_else(|| panic!("{}", reply.text()))
    }

    /// What members of JSON give on the roads that read it; `None`: the member is absent.
    fn of_json(&self, values: &[Option<&str>; 5]) -> Vec<(&'static str, f64)> {
        let members =
            COLUMNS.iter().zip(values).filter_map(|(name, value)| Some(format!("\"{name}\":{}", (*value)?)));
        let object = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        self.dir.write("in.ndjson", format!("{object}\n"));
        let command = |args: &[&str]| {
            let done =
                self.dir.run(&[&["predict", "--format", "json", "--lenient"], args].concat()).ok().json();
            done.get("predictions").map_or(done["prediction"].clone(), |all| all[0]["prediction"].clone())
        };
        let posted = |body: String| {
            let reply = self.server.predict(body);
            reply.json()["prediction"].as_f64().unwrap_or_else(|| panic!("{}", reply.text()))
        };
        let mut found = vec![
            ("--features {…}", command(&["--features", &object]).as_f64().unwrap()),
            ("NDJSON", command(&["--input", "in.ndjson"]).as_f64().unwrap()),
            ("features", posted(format!("{{\"features\":{object},\"lenient\":true}}"))),
        ];
        if let Some(values) = values.iter().copied().collect::<Option<Vec<&str>>>() {
            found.push(("data", posted(format!("{{\"data\":[{}]}}", values.join(",")))));
        }
        found
    }

    fn check(&self, column: usize, wanted: f64, texts: &[&str], values: &[Option<&str>]) {
        for text in texts {
            let mut cells = ROW;
            cells[column] = text;
            for (road, found) in self.of_texts(&cells) {
                assert_eq!(found, wanted, "{:?} as {text:?} by {road}", COLUMNS[column]);
            }
        }
        let quoted = ROW.map(|cell| format!("\"{cell}\""));
        for value in values {
            let mut members: [Option<&str>; 5] = std::array::from_fn(|i| Some(quoted[i].as_str()));
            members[column] = *value;
            for (road, found) in self.of_json(&members) {
                assert_eq!(found, wanted, "{:?} as {value:?} by {road}", COLUMNS[column]);
            }
        }
    }
}

#[test]
fn the_same_value_gives_the_same_prediction_on_every_road_and_however_it_is_written() {
    for algorithms in [&["ridge"][..], &["gradient-boosting"], &["ridge", "gradient-boosting", "forest"]] {
        let roads = Roads::new(algorithms);
        let of = |column: usize, text: &str| {
            let mut cells = ROW;
            cells[column] = text;
            roads.of_texts(&cells)[0].1
        };
        let long = "3.5000000000000000000000000000000000000000000000000000000000000001";
        let numbers = ["3.5", "3.50", "35e-1", " 3.5", "+3.5", long];
        let json_numbers = ["3.5", "3.50", "35e-1", "0.35E1", "\"3.5\"", "\" 3.5 \"", "\"+3.5\"", long];
        roads.check(0, of(0, "3.5"), &numbers, &json_numbers.map(Some));
        let whole = ["1", "1.0", "1e0", " 1", "0001"];
        roads.check(0, of(0, "1"), &whole, &["1", "1.0", "1e0", "\"1\"", "\"1e0\""].map(Some));
        let tenth = "0.1000000000000000055511151231257827021181583404541015625";
        roads.check(0, of(0, "0.1"), &["0.1", ".1", tenth], &["0.1", "1e-1", tenth, "\".1\""].map(Some));
        roads.check(1, of(1, "yes"), &["yes", "Yes", " YES "], &["\"yes\"", "\"YES\"", "true"].map(Some));
        roads.check(1, of(1, "no"), &["no", "NO"], &["\"no\"", "false"].map(Some));
        roads.check(2, of(2, "7"), &["7", " 7 "], &["7", "\"7\"", "\" 7\""].map(Some));
        roads.check(2, of(2, "101"), &["101"], &["101", "\"101\""].map(Some));
        let days =
            ["2024-03-05", "2024/3/5", "5.3.2024", "2024-03-05T00:00:00Z", "2024-03-05 08:00:00+08:00"];
        let json_days = days.map(|day| format!("\"{day}\""));
        roads.check(3, of(3, "2024-03-05"), &days, &json_days.each_ref().map(|day| Some(day.as_str())));
        let notes = ["late and broken", "  Late, and BROKEN!"];
        let json_notes = notes.map(|note| format!("\"{note}\""));
        roads.check(4, of(4, notes[0]), &notes, &json_notes.each_ref().map(|note| Some(note.as_str())));
        for (column, present) in ROW.iter().enumerate() {
            let missing = of(column, "");
            assert!(column == 4 || missing != of(column, present) || algorithms != ["ridge"], "{column}");
            roads.check(
                column,
                missing,
                &["", "  ", "NA", "null"],
                &[Some("null"), Some("\"\""), Some("\"NA\""), None],
            );
        }
        // A tensor of doubles is what the texts of its numbers are.
        let mut tensors: Vec<Value> = COLUMNS
            .iter()
            .zip(ROW)
            .map(|(name, cell)| json!({ "name": name, "shape": [1], "datatype": "BYTES", "data": [cell] }))
            .collect();
        tensors[0] = json!({ "name": "size", "shape": [1], "datatype": "FP64", "data": [3.5] });
        tensors[1] = json!({ "name": "paid", "shape": [1], "datatype": "BOOL", "data": [true] });
        assert_eq!(roads.infer(tensors), of(0, "3.5"));
    }
}
