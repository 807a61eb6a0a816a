//! Files and requests that hold more than the model knows, or are something else than they are read as.

use crate::support::http::{Reply, Server};
use crate::support::model;
use crate::support::workdir::{Workdir, records};
use mlapi::server::Limits;
use serde_json::{Value, json};

/// A model of size and color; the more of size, the more likely big.
fn trained() -> Workdir {
    let dir = Workdir::new();
    dir.write("t.csv", table("size,color,kind"));
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    dir
}

fn table(header: &str) -> String {
    let row = |i: usize| {
        let kind = if i % 20 < 10 { "small" } else { "big" };
        format!("{},{},{kind}\n", (i % 20) as f64 + 0.5, ["red", "blue"][i % 2])
    };
    format!("{header}\n") + &(0..60).map(row).collect::<String>()
}

const EXTRA: &str = "customer,size,color\nC1,3,red\nC2,15,blue\n";

#[test]
fn columns_that_the_model_does_not_know_are_passed_over_with_a_note_and_refused_by_strict() {
    let dir = trained();
    dir.write("new.csv", EXTRA);
    let run = |flags: &[&str]| dir.run(&[&["predict", "--input", "new.csv"], flags].concat());
    let done = run(&[]).ok();
    let done =
        done.complains(&["note: new.csv: the model does not know the column \"customer\"", "--strict"]);
    assert_eq!(done.csv()[1], ["C1", "3", "red", "small", "1.0"]);
    let done = run(&["--keep", "customer"]).ok().silent();
    assert_eq!(done.csv()[1..], [["C1", "small", "1.0"], ["C2", "big", "1.0"]]);
    run(&["--strict"]).fails(1).complains(&["\"customer\" is not a feature of this model", "--lenient"]);
    run(&["--strict", "--keep", "customer"]).ok().silent();
    run(&["--strict", "--lenient"]).fails(2);
    // A feature that is not there is an error, and what may be its misspelling stands beside it.
    dir.write("new.csv", EXTRA.replace("size", "siez"));
    let done = run(&[]).fails(1);
    done.complains(&[
        "did you mean \"size\"?",
        "column \"size\" is missing",
        "\"customer\"",
        "--lenient takes",
    ]);
    dir.write("new.csv", EXTRA.replace("15", "many"));
    run(&[])
        .fails(1)
        .complains(&["\"many\" is not a number", "\n--lenient takes what does not fit as missing"]);
}

#[test]
fn members_of_json_rows_that_the_model_does_not_know_are_treated_as_columns_are() {
    let dir = trained();
    let rows = "{\"customer\":1,\"size\":3,\"color\":\"red\"}\n{\"size\":15,\"color\":\"blue\"}\n";
    let run = |rows: &str, flags: &[&str]| {
        dir.run(&[&["predict", "--input", "-"], flags].concat()).stdin(rows).done()
    };
    let done =
        run(rows, &[]).complains(&["the model does not know the column \"customer\", which is passed over"]);
    assert_eq!(
        done.ndjson().iter().map(|line| line["prediction"].clone()).collect::<Vec<_>>(),
        ["small", "big"]
    );
    let later: String = rows.lines().rev().map(|line| format!("{line}\n")).collect();
    run(&later, &[])
        .complains(&["1 value under a name that the model does not know was passed over in 2 rows"]);
    let refused = run(rows, &["--strict"]);
    refused.complains(&["line 1, \"customer\": \"customer\" is not a feature of this model"]);
    let missing = run("{\"siez\":3,\"color\":\"red\"}\n", &[]);
    missing.complains(&["did you mean \"size\"?", "\"size\": the feature is missing"]);
}

#[test]
fn a_first_line_that_names_no_column_is_called_a_row() {
    let dir = trained();
    let done = dir.run(&["predict", "--input", "-"]).stdin("3,red\n15,blue\n").fails(1);
    done.complains(&["the first line names none of the model's columns", "--no-header", "header=absent"]);
}

#[test]
fn the_output_never_has_two_columns_of_one_name() {
    let dir = Workdir::new();
    dir.write("t.csv", table("prediction,color,kind"));
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    dir.write("new.csv", "prediction,color,prediction_1\n3,red,7\n");
    let run = |input: &str, flags: &[&str]| dir.run(&[&["predict", "--input", input], flags].concat()).ok();
    let done = run("new.csv", &["--probabilities"]);
    let header = ["prediction", "color", "prediction_1", "prediction_2", "probability"];
    assert_eq!(done.csv()[0][..5], header);
    assert_eq!(done.csv()[1][..5], ["3", "red", "7", "small", "1.0"]);
    done.complains(&["written \"prediction\" as \"prediction_2\"", "--keep none"]);
    let done = run("new.csv", &["--keep", "color"]);
    assert_eq!(done.csv(), [["color", "prediction", "probability"], ["red", "small", "1.0"]]);
    assert!(!done.err().contains("written"), "{done}");
    let rows =
        "{\"prediction\":3,\"color\":\"red\"}\n{\"prediction\":15,\"color\":\"red\",\"prediction_1\":0}\n";
    dir.write("new.ndjson", rows);
    let done = run("new.ndjson", &[]).complains(&["written \"prediction\" as \"prediction_1\""]);
    let lines = done.ndjson();
    assert_eq!((&lines[0]["prediction"], &lines[0]["prediction_1"]), (&json!(3), &json!("small")));
    assert_eq!((&lines[1]["prediction_1"], &lines[1]["prediction_2"]), (&json!(0), &json!("big")), "{done}");
    for line in done.out().lines() {
        assert_eq!(line.matches("\"prediction\":").count(), 1, "{line}");
    }
}

#[test]
fn a_row_on_the_command_line_that_is_no_json_is_told_the_cause() {
    let dir = trained();
    for (row, says) in [
        (r#"{"size":NaN,"color":"red"}"#, "NaN is not JSON; send null for a missing value"),
        (r#"{"size":1,"color":None}"#, "None is not JSON"),
        (r#"{'size':1}"#, "double quotes"),
    ] {
        dir.run(&["predict", "--features", row]).fails(1).complains(&["--features is not JSON", says]);
        let done = dir.run(&["predict", "--input", "-"]).stdin(format!("{row}\n")).fails(1);
        done.complains(&["standard input line 1", says]);
    }
    dir.run(&["predict", "--features", "\u{feff}{\"size\":3,\"color\":\"red\"}"])
        .ok()
        .says(&["small"])
        .silent();
    let lines = "\u{feff}{\"size\":3,\"color\":\"red\"}\n[15,\"red\"]\n";
    let utf16: Vec<u8> = lines.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [lines.as_bytes(), &utf16] {
        let done = dir.run(&["predict", "--input", "-", "--format", "ndjson"]).stdin(bytes).ok();
        assert_eq!(done.ndjson()[1]["prediction"], "big");
    }
    let list = "[{\"size\":3,\"color\":\"red\"},{\"size\":3,\"color\":\"red\"}]\n";
    let done = dir.run(&["predict", "--input", "-"]).stdin(list).fails(1);
    done.complains(&["line 1: the line is a list of rows; write one row a line"]);
    dir.run(&["predict", "--features", "size=3,colour=red"]).fails(1).complains(&["\n--lenient takes"]);
    let never = dir.run(&["predict", "--features", "1,2,3,4,5"]).fails(1);
    assert!(!never.err().contains("--lenient"), "it would not help\n{never}");
}

// Over HTTP.

fn penguins() -> Server {
    Server::start(model::penguins(), Limits::default())
}

const NAMES: [&str; 7] =
    ["island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year"];
const VALUES: [&str; 7] = ["\"Biscoe\"", "43.9", "17.2", "201", "4200", "\"male\"", "2009"];

fn by_name(more: &str) -> String {
    let members: Vec<String> =
        NAMES.iter().zip(VALUES).map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}{more}}}", members.join(","))
}

fn tensors(value: &str) -> String {
    let of = |(i, (name, given)): (usize, (&&str, &str))| {
        let value = if i == 1 { value } else { given };
        let datatype = if i == 0 || i == 5 { "BYTES" } else { "FP64" };
        format!("{{\"name\":\"{name}\",\"shape\":[1],\"datatype\":\"{datatype}\",\"data\":[{value}]}}")
    };
    let inputs: Vec<String> = NAMES.iter().zip(VALUES).enumerate().map(of).collect();
    format!("{{\"inputs\":[{}]}}", inputs.join(","))
}

/// The same row in each dialect of JSON, with `value` as a length.
fn requests(value: &str) -> [(&'static str, &'static str, String); 4] {
    let row = by_name("").replace("43.9", value);
    [
        ("/predict", "application/json", format!("{{\"features\":{row}}}")),
        ("/predict", "application/x-ndjson", format!("{row}\n")),
        ("/invocations", "application/json", format!("{{\"dataframe_records\":[{row}]}}")),
        ("/v2/models/model/infer", "application/json", tensors(value)),
    ]
}

fn send(server: &Server, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Reply {
    server.send("POST", path, &format!("Content-Type: {content_type}\r\n"), body)
}

#[test]
fn a_mark_before_json_is_skipped_in_every_dialect() {
    let server = penguins();
    for (path, content_type, body) in &requests("43.9") {
        let plain = send(&server, path, content_type, body);
        assert_eq!(plain.status, 200, "{path}: {}", plain.text());
        let marked = send(&server, path, content_type, format!("\u{feff}{body}"));
        assert_eq!((marked.status, marked.text()), (200, plain.text()), "{path}");
    }
}

#[test]
fn a_number_that_json_does_not_have_is_named_in_every_dialect() {
    let server = penguins();
    for (value, says) in [
        ("NaN", "NaN is not JSON; send null for a missing value"),
        ("-Infinity", "send a finite number, or null"),
    ] {
        for (path, content_type, body) in requests(value) {
            let reply = send(&server, path, content_type, body);
            assert!(matches!(reply.status, 400 | 422), "{path}: {}", reply.text());
            assert!(reply.text().contains(says), "{path}: {}", reply.text());
        }
    }
}

#[test]
fn a_body_that_is_something_else_than_json_is_told_what_it_is_in_every_dialect() {
    let server = penguins();
    let csv = format!("{}\n{}\n", NAMES.join(","), VALUES.join(",").replace('"', ""));
    let utf16: Vec<u8> = by_name("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"t.csv\"\r\n\r\n{csv}\r\n--x--"
    );
    for path in ["/predict", "/invocations", "/v2/models/model/infer"] {
        for (body, says) in [
            (csv.as_bytes(), "text/csv"),
            (b"island=Biscoe&bill_length_mm=43.9", "application/x-www-form-urlencoded"),
            (multipart.as_bytes(), "multipart form"),
            (&utf16, "UTF-16"),
            (b"[1,2,3]", "the body is an array without a name; send"),
        ] {
            let reply = send(&server, path, "application/x-www-form-urlencoded", body);
            assert!(matches!(reply.status, 400 | 422), "{path}: {}", reply.text());
            assert!(reply.text().contains(says), "{path} {says}: {}", reply.text());
        }
    }
}

fn predictions(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["predictions"].clone()
}

#[test]
fn mlflow_ignores_columns_that_the_model_does_not_know_and_json_requests_do_not() {
    let server = penguins();
    let more = by_name(",\"customer\":7");
    let split = |names: &str, values: &str| {
        format!("{{\"dataframe_split\":{{\"columns\":[{names}],\"data\":[[{values}]]}}}}")
    };
    let names = NAMES.map(|name| format!("\"{name}\"")).join(",");
    let columns: Vec<String> =
        NAMES.iter().zip(VALUES).map(|(name, value)| format!("\"{name}\":[{value}]")).collect();
    let plain =
        predictions(&server.send("POST", "/invocations", "", format!("{{\"instances\":[{}]}}", by_name(""))));
    for body in [
        format!("{{\"dataframe_records\":[{more}]}}"),
        format!("{{\"instances\":[{more}]}}"),
        format!("{{\"inputs\":{{{},\"customer\":[7]}}}}", columns.join(",")),
        split(&format!("\"customer\",{names}"), &format!("7,{}", VALUES.join(","))),
    ] {
        assert_eq!(predictions(&server.send("POST", "/invocations", "", &body)), plain, "{body}");
    }
    let csv = format!("customer,{}\n7,{}\n", NAMES.join(","), VALUES.join(",").replace('"', ""));
    assert_eq!(predictions(&send(&server, "/invocations", "text/csv", csv)), plain);
    // With a feature missing, the unknown name is named: it may be the misspelling.
    let misspelt = format!("{{\"instances\":[{}]}}", by_name("").replace("\"sex\"", "\"sexx\""));
    let reply = server.send("POST", "/invocations", "", misspelt);
    assert!(reply.status == 400 && reply.text().contains("did you mean \\\"sex\\\"?"), "{}", reply.text());
    server.predict(format!("{{\"features\":{more}}}")).problem(422);
    send(&server, "/predict", "application/x-ndjson", more).problem(422);
}

#[test]
fn mlflow_reads_csv_without_a_header_as_rows_in_column_order() {
    let server = penguins();
    let row = VALUES.join(",").replace('"', "");
    let named = format!("{}\n{row}\n", NAMES.join(","));
    let plain = predictions(&send(&server, "/invocations", "text/csv", named));
    for body in
        [row.clone(), format!("{row}\n"), format!("\u{feff}{row}\r\n"), row.replace("Biscoe", "\"Biscoe\"")]
    {
        assert_eq!(predictions(&send(&server, "/invocations", "text/csv", &body)), plain, "{body}");
    }
    let two = format!("{row}\n{row}\n");
    assert_eq!(predictions(&send(&server, "/invocations", "text/csv", two)).as_array().unwrap().len(), 2);
    // What is no row is a header, and the message says what to do.
    for (body, says) in [
        ("a,b,c,d,e,f,g\n1,2,3,4,5,6,7\n".to_string(), "names none of the model's columns"),
        (format!("{row},1,2,3\n"), "names none of the model's columns"),
        (format!("{}\n{row}\n", NAMES.join(",").replace("sex", "sexx")), "is missing"),
    ] {
        let reply = send(&server, "/invocations", "text/csv", &body);
        assert!(reply.status == 400 && reply.text().contains(says), "{body}: {}", reply.text());
    }
    let header = send(&server, "/invocations", "text/csv; header=present", &row);
    assert_eq!(header.status, 400, "what the content type says is believed");
    // The native dialect takes a header unless the content type says that there is none.
    let reply = send(&server, "/predict", "text/csv", &row);
    assert!(reply.status == 422 && reply.text().contains("header=absent"), "{}", reply.text());
}

#[test]
fn a_table_over_http_keeps_columns_apart_as_a_file_does() {
    let server = penguins();
    let csv = format!("prediction,{}\n7,{}\n", NAMES.join(","), VALUES.join(",").replace('"', ""));
    let reply = send(&server, "/predict", "text/csv", csv);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = &records(&reply.text(), b',')[0];
    assert_eq!(
        (header[0].as_str(), header[8].as_str(), header[9].as_str()),
        ("prediction", "prediction_1", "probability")
    );
}
