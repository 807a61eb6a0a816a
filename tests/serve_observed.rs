//! Metrics, logs, shadow models and feedback of a server process; the same for every format of a request body.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::process::Server;
use crate::support::workdir::Workdir;
use serde_json::{Value, json};

const ROW: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

/// Rows of penguins without their species, which is the last column: their header, fields and labels. One has a
/// category that training did not see, one a number that is out of range; some have nothing.
fn penguins(dir: &Workdir) -> (String, Vec<Vec<String>>, Vec<String>) {
    let table = dir.read("penguins.csv");
    let mut lines = table.lines();
    let header = lines.next().unwrap().rsplit_once(',').unwrap().0.to_string();
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for line in lines {
        let (fields, label) = line.rsplit_once(',').unwrap();
        rows.push(fields.split(',').map(String::from).collect::<Vec<_>>());
        labels.push(label.to_string());
    }
    rows[7][0] = "Mars".into();
    rows[9][4] = "99999".into();
    (header, rows, labels)
}

fn cell(text: &str) -> Value {
    match text.parse::<f64>() {
        Ok(number) => json!(number),
        Err(_) if text.is_empty() || text == "NA" => Value::Null,
        Err(_) => json!(text),
    }
}

/// Sends a body in chunks, and gives back the answer.
fn send_in_chunks(server: &Server, headers: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    for chunk in body.as_bytes().chunks(1000) {
        socket.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).unwrap();
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits for so many lines in a log, and gives them back without their times.
fn log_lines(dir: &Workdir, name: &str, n: usize) -> Vec<Value> {
    let started = Instant::now();
    while dir.read(name).lines().count() < n {
        assert!(started.elapsed() < Duration::from_secs(10), "{} lines", dir.read(name).lines().count());
        std::thread::sleep(Duration::from_millis(10));
    }
    let parse = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        assert!(value.as_object_mut().unwrap().remove("time").is_some_and(|time| time.is_f64()));
        value
    };
    dir.read(name).lines().map(parse).collect()
}

#[test]
fn a_table_shows_what_the_same_rows_of_json_show_in_every_form_and_however_it_is_sent() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "logreg"]);
    dir.run(&["train", "penguins.csv", "-q", "--algorithm", "tree", "--output", "other.mlapi"]).ok();
    let (header, rows, labels) = penguins(&dir);
    let values: Vec<Vec<Value>> =
        rows.iter().map(|row| row.iter().map(|field| cell(field)).collect()).collect();
    let csv = format!("{header}\n{}\n", rows.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("\n"));
    let ndjson: String = values.iter().map(|row| format!("{}\n", json!(row))).collect();
    let records = json!({ "data": values }).to_string();
    let forms = [
        ("/predict", "application/json", &records, false),
        ("/predict", "text/csv", &csv, false),
        ("/predict", "application/x-ndjson", &ndjson, false),
        ("/predict", "text/csv", &csv, true),
        ("/predict", "application/x-ndjson", &ndjson, true),
        ("/invocations", "text/csv", &csv, false),
    ];
    let mut shown: Vec<(Vec<String>, Vec<Value>)> = Vec::new();
    for (i, (path, content_type, body, chunked)) in forms.into_iter().enumerate() {
        let log = format!("log{i}");
        let flags = ["--shadow", "other.mlapi", "--log-predictions", &log, "--feedback", "9"];
        let server = Server::start(&dir, &flags, &[]);
        let headers = format!("X-Request-Id: one\r\nContent-Type: {content_type}\r\n");
        let answer = if chunked {
            send_in_chunks(&server, &headers, body)
        } else {
            server.send("POST", path, &headers, body)
        };
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.wait_for("", &format!("mlapi_shadow_rows_total{{model=\"model\"}} {}\n", rows.len()));
        let truth = json!({ "request_id": "one", "labels": labels }).to_string();
        let refused = server.send("POST", "/feedback", "", r#"{"request_id":"one","label":NaN}"#);
        assert!(refused.contains("NaN is not JSON; send null"), "{refused}");
        let compared = server.send("POST", "/feedback", "", &format!("\u{feff}{truth}"));
        assert!(compared.starts_with("HTTP/1.1 200"), "{content_type}: {compared}");
        let metrics = server.send("GET", "/metrics", "", "");
        let of_the_model = |line: &&str| {
            ["batch_rows", "rows_predicted", "warnings", "predictions", "feature", "shadow", "live"]
                .iter()
                .any(|family| line.starts_with(&format!("mlapi_{family}")))
        };
        let lines = metrics.lines().filter(of_the_model).map(String::from).collect();
        // A hundred rows of a request are written down.
        shown.push((lines, log_lines(&dir, &log, 100)));
    }
    let (metrics, log) = &shown[0];
    let text = metrics.join("\n");
    for line in [
        "mlapi_rows_predicted_total{model=\"model\"} 344",
        "mlapi_batch_rows_count{model=\"model\"} 1",
        "mlapi_warnings_total{model=\"model\",kind=\"unseen_category\"} 1",
        "mlapi_warnings_total{model=\"model\",kind=\"out_of_range\"} ",
        "mlapi_feature_warnings_total{model=\"model\",feature=\"island\",kind=\"unseen_category\"} 1",
        "mlapi_feature_warnings_total{model=\"model\",feature=\"sex\",kind=\"missing_value\"} 11",
        "mlapi_feature_psi{model=\"model\",feature=\"island\"} ",
        "mlapi_predictions_total{model=\"model\",class=\"Gentoo\"} 1",
        "mlapi_shadow_disagreements_total{model=\"model\"} ",
        "mlapi_live_accuracy{model=\"model\"} 0.9",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert_eq!((log.len(), &log[99]["row"]), (100, &json!(99)));
    assert_eq!(log[7]["features"]["island"], Value::Null, "a text that the model does not know is gone");
    for ((metrics, log), form) in shown.iter().zip(forms).skip(1) {
        assert_eq!(metrics, &shown[0].0, "{form:?}");
        assert_eq!(log, &shown[0].1, "{form:?}");
    }
}

#[test]
fn a_table_that_is_not_answered_shows_nothing_and_one_that_breaks_off_what_was_answered() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &["--log-predictions", "log"], &[]);
    let wrong = format!("{}5.1,wide,1.4,0.2\n", "5.1,3.5,1.4,0.2\n".repeat(50_000));
    let headers = "Content-Type: text/csv; header=absent\r\n";
    assert!(server.send("POST", "/predict", headers, &wrong).starts_with("HTTP/1.1 422"));
    server.wait_for("", "mlapi_rows_predicted_total{model=\"model\"} 0\n");
    let answer = send_in_chunks(&server, headers, &wrong);
    let answered = answer.matches(",setosa,").count();
    let metrics = server.send("GET", "/metrics", "", "");
    let count = metrics.split("mlapi_rows_predicted_total{model=\"model\"} ").nth(1).unwrap();
    let count: usize = count.lines().next().unwrap().parse().unwrap();
    assert!(answered > 0 && count >= answered && count <= 50_000, "{count} counted, {answered} answered");
    assert_eq!(log_lines(&dir, "log", 100).len(), 100);
}

#[test]
fn of_the_requests_a_sample_is_written_down_spread_evenly() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &["--log-predictions", "log", "--log-sample", "0.25"], &[]);
    for i in 0..40 {
        server.send("POST", "/predict", &format!("X-Request-Id: {i}\r\n"), ROW);
    }
    server.stop();
    let ids: Vec<Value> = log_lines(&dir, "log", 10).iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(ids, [3, 7, 11, 15, 19, 23, 27, 31, 35, 39].map(|i| json!(i.to_string())));
    for share in ["0", "1.5", "some"] {
        dir.run(&["serve", "--port", "0", "--log-sample", share]).fails(2).complains(&["--log-sample"]);
    }
}

#[test]
fn the_text_access_log_says_who_asked_for_what_and_how_it_went_but_no_value() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &["--access-log", "text"], &[]);
    server.send("POST", "/predict?q=secret", "X-Request-Id: first\r\n", ROW);
    server.send("POST", "/predict", "X-Request-Id: second\r\n", r#"{"data":["wide"]}"#);
    server.send("GET", "/nowhere", "", "");
    let said = server.stop();
    let lines: Vec<Vec<&str>> =
        said.lines().filter(|line| line.starts_with("127.0.0.1 ")).map(|l| l.split(' ').collect()).collect();
    let starts: Vec<&[&str]> = lines.iter().map(|line| &line[1..4]).collect();
    assert_eq!(
        starts,
        [["POST", "/predict", "200"], ["POST", "/predict", "422"], ["GET", "/nowhere", "404"]],
        "{said}"
    );
    assert_eq!((lines[0][5], lines[1][5]), ("first", "second"));
    assert!(!lines[2][5].is_empty(), "an id of the server's");
    assert!(lines.iter().all(|line| line[4].strip_suffix("ms").unwrap().parse::<f64>().unwrap() >= 0.0));
    let secrets = ["wide", "secret", "3.5"];
    // The example that is printed at the start has values of training rows.
    let log: String = said.lines().filter(|line| line.starts_with("127.0.0.1 ")).collect();
    assert!(!secrets.iter().any(|secret| log.contains(secret)), "{log}");
}

#[test]
fn requests_are_counted_by_their_rows() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &[], &[]);
    for n in [1, 2, 10, 11, 1000, 10_001] {
        let body = format!("{{\"data\":[{}]}}", vec!["[5.1,3.5,1.4,0.2]"; n].join(","));
        assert!(server.send("POST", "/predict", "", &body).starts_with("HTTP/1.1 200"));
    }
    // A rejected request has no rows.
    server.send("POST", "/predict", "", "{}");
    let metrics = server.send("GET", "/metrics", "", "");
    let found: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("mlapi_batch_rows")).collect();
    assert_eq!(
        found,
        [
            "_bucket{model=\"model\",le=\"1\"} 1",
            "_bucket{model=\"model\",le=\"10\"} 3",
            "_bucket{model=\"model\",le=\"100\"} 4",
            "_bucket{model=\"model\",le=\"1000\"} 5",
            "_bucket{model=\"model\",le=\"10000\"} 5",
            "_bucket{model=\"model\",le=\"100000\"} 6",
            "_bucket{model=\"model\",le=\"+Inf\"} 6",
            "_sum{model=\"model\"} 11025",
            "_count{model=\"model\"} 6",
        ]
    );
}
