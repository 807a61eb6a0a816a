//! Models, keys and shadow models that change while the server answers, and the logs of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::process::Server;
use crate::support::workdir::Workdir;

const KEY: &str = "0123456789abcdef";
const ROW: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

/// A folder with two models of iris that answer differently, `model.mlapi` being the first.
fn two_models() -> Workdir {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    dir.run(&["train", "iris.csv", "-q", "--algorithm", "bayes", "--output", "other.mlapi"]).ok();
    dir.write("first.mlapi", dir.bytes("model.mlapi"));
    dir
}

/// Replaces the model file of the server, as `mlapi train` does.
fn put(dir: &Workdir, from: &str) {
    dir.write("new", dir.bytes(from));
    std::fs::rename(dir.path("new"), dir.path("model.mlapi")).unwrap();
}

fn probability(answer: &str) -> String {
    answer.split("\"probability\":").nth(1).expect(answer).split(',').next().unwrap().to_string()
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request_and_mix_no_answer() {
    let dir = two_models();
    let server = Server::start(&dir, &[], &[]);
    let rows = vec!["[6.1,2.9,4.7,1.4]"; 50].join(",");
    let body = format!("{{\"data\":[{rows}]}}");
    let of = |name: &str| {
        put(&dir, name);
        server.signal("HUP");
    };
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = std::collections::BTreeSet::new();
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = server.send("POST", "/predict", "", &body);
                        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                        let all: std::collections::BTreeSet<&str> = answer
                            .split("\"probability\":")
                            .skip(1)
                            .map(|p| p.split(',').next().unwrap())
                            .collect();
                        assert_eq!(all.len(), 1, "an answer of two models: {all:?}");
                        seen.extend(all.into_iter().map(String::from));
                        n += 1;
                    }
                    assert!(n > 0);
                    seen
                })
            })
            .collect();
        for i in 0..100_u32 {
            of(if i % 2 == 0 { "other.mlapi" } else { "first.mlapi" });
            let wanted = format!("mlapi_reloads_total{{model=\"model\",result=\"ok\"}} {}\n", i + 1);
            server.wait_for("", &wanted);
        }
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(seen.len(), 2, "both models answered: {seen:?}");
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_is_found_by_watching() {
    let dir = two_models();
    let server = Server::start(&dir, &["--watch=1"], &[]);
    let before = probability(&server.send("POST", "/predict", "", ROW));
    let mut damaged = dir.bytes("other.mlapi");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    dir.write("bad.mlapi", damaged);
    put(&dir, "bad.mlapi");
    server.wait_for("", "mlapi_reloads_total{model=\"model\",result=\"failed\"} 1\n");
    server.wait_for("", "mlapi_reload_failure_info{model=\"model\",reason=\"");
    assert_eq!(probability(&server.send("POST", "/predict", "", ROW)), before);
    assert!(server.send("GET", "/readyz", "", "").starts_with("HTTP/1.1 200"));
    put(&dir, "other.mlapi");
    server.wait_for("", "mlapi_reloads_total{model=\"model\",result=\"ok\"} 1\n");
    assert_ne!(probability(&server.send("POST", "/predict", "", ROW)), before);
    let metrics = server.send("GET", "/metrics", "", "");
    assert!(!metrics.contains("mlapi_reload_failure_info{"), "{metrics}");
    // Only with keys.
    assert!(server.send("POST", "/admin/reload", "", "").starts_with("HTTP/1.1 404"));
    let said = server.stop();
    assert!(said.contains("model model: not loaded, everything stays as it was: model.mlapi"), "{said}");
}

#[test]
fn the_openapi_document_says_what_the_server_asks_of_clients() {
    let dir = two_models();
    let document = |server: &Server, headers: &str| -> serde_json::Value {
        let answer = server.send("GET", "/openapi.json", headers, "");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let server = Server::start(&dir, &["--rate-limit", "100/s"], &[("MLAPI_API_KEYS", KEY)]);
    let guarded = document(&server, &format!("Authorization: Bearer {KEY}\r\n"));
    assert_eq!(guarded["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    for path in ["/predict", "/invocations", "/v2/models/model/infer", "/feedback", "/admin/reload"] {
        let operation = &guarded["paths"][path]["post"];
        assert!(operation["security"][0]["key"].is_array(), "{path}: {operation}");
        for status in ["401", "429"] {
            let pointer = operation["responses"][status]["$ref"].as_str().unwrap();
            assert!(guarded.pointer(&pointer[1..]).is_some(), "{path}: nothing at {pointer}");
        }
    }
    for path in ["/livez", "/readyz", "/models/model/readyz", "/ping", "/v2", "/v2/health/ready"] {
        let operation = &guarded["paths"][path]["get"];
        assert!(operation.is_object() && operation["security"].is_null(), "{path}: {operation}");
        assert!(operation["responses"]["401"].is_null(), "{path}: {operation}");
    }
    server.stop();
    let server = Server::start(&dir, &[], &[]);
    let open = document(&server, "");
    assert!(open["paths"]["/admin/reload"].is_null() && !open.to_string().contains("\"security\""));
    assert!(open["paths"]["/predict"]["post"]["responses"]["429"].is_null());
    let answer = server.send("POST", "/predict", "", ROW);
    assert!(!answer.contains("x-request-id"), "nothing is kept under an id: {answer}");
    server.stop();
}

#[test]
fn keys_are_asked_for_and_changed_without_a_gap() {
    let dir = two_models();
    dir.write("keys", format!("# one\nweb:{KEY} admin\n"));
    let server = Server::start(&dir, &["--api-keys-file", "keys", "--access-log", "json"], &[]);
    let with = |key: &str| format!("Authorization: Bearer {key}\r\n");
    for path in ["/predict", "/model", "/models", "/metrics", "/admin/reload", "/nothing"] {
        let answer = server.send("GET", path, "", "");
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
    }
    assert!(server.send("GET", "/livez", "", "").starts_with("HTTP/1.1 200"));
    assert!(server.send("GET", "/readyz", "", "").starts_with("HTTP/1.1 200"));
    assert!(server.send("POST", "/predict", &with("0123456789abcdeF"), ROW).starts_with("HTTP/1.1 401"));
    let id = "X-Request-Id: order-7\r\n";
    let answer = server.send("POST", "/predict", &(with(KEY) + id), ROW);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-request-id: order-7\r\n"), "{answer}");
    dir.write("keys", format!("web:{KEY} admin\nnext:fedcba9876543210\n"));
    let answer = server.send("POST", "/admin/reload", &with(KEY), "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("{\"reloaded\":[\"model\"]}"), "{answer}");
    assert!(server.send("POST", "/predict", &with("fedcba9876543210"), ROW).starts_with("HTTP/1.1 200"));
    assert!(
        server.send("POST", "/predict", &with(KEY), ROW).starts_with("HTTP/1.1 200"),
        "the old one as well"
    );
    let refused = server.send("POST", "/admin/reload", &with("fedcba9876543210"), "");
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("NAME:KEY admin"), "{refused}");
    put(&dir, "keys");
    let answer = server.send("POST", "/admin/reload", &with(KEY), "");
    assert!(
        answer.starts_with("HTTP/1.1 409") && answer.contains("\"pointer\":\"/models/model\""),
        "{answer}"
    );
    assert!(!answer.contains(".mlapi"), "no path: {answer}");
    assert!(server.send("POST", "/predict", &with(KEY), ROW).starts_with("HTTP/1.1 200"));
    let said = server.stop();
    assert!(said.contains("\"key\":\"web\"") && said.contains("\"request_id\":\"order-7\""), "{said}");
    assert!(!said.contains(KEY) && !said.contains("5.1"), "neither keys nor features: {said}");
    let server =
        Server::start(&dir, &["--model", "first.mlapi"], &[("MLAPI_API_KEYS", "a:aaaaaaaaaaaaaaaa")]);
    assert!(server.send("POST", "/predict", "", ROW).starts_with("HTTP/1.1 401"));
    assert!(server.send("POST", "/predict", &with("aaaaaaaaaaaaaaaa"), ROW).starts_with("HTTP/1.1 200"));
    let reloaded = server.send("POST", "/admin/reload", &with("aaaaaaaaaaaaaaaa"), "");
    assert!(reloaded.starts_with("HTTP/1.1 200"), "the only key is its owner's: {reloaded}");
    dir.write("short", "abc\n");
    dir.run(&["serve", "--port", "0", "--model", "first.mlapi", "--api-keys-file", "short"])
        .fails(1)
        .complains(&["at least 16"]);
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let dir = two_models();
    let server = Server::start(&dir, &["--rate-limit", "2/m", "--rate-burst", "2"], &[]);
    for _ in 0..2 {
        assert!(server.send("POST", "/predict", "", ROW).starts_with("HTTP/1.1 200"));
    }
    let answer = server.send("POST", "/predict", "", ROW);
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let wait = answer.split("retry-after: ").nth(1).unwrap().split('\r').next().unwrap();
    assert!((1..=30).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    assert!(server.send("GET", "/livez", "", "").starts_with("HTTP/1.1 200"), "a probe is not limited");
}

#[test]
fn web_pages_of_the_origins_given_may_ask_and_no_others() {
    let dir = two_models();
    let server = Server::start(&dir, &["--cors-origin", "https://shop.example"], &[]);
    let preflight = "Access-Control-Request-Method: POST\r\nOrigin: ";
    let allowed = server.send("OPTIONS", "/predict", &format!("{preflight}https://shop.example\r\n"), "");
    assert!(allowed.starts_with("HTTP/1.1 204"), "{allowed}");
    assert!(allowed.contains("access-control-allow-origin: https://shop.example\r\n"), "{allowed}");
    let other = server.send("OPTIONS", "/predict", &format!("{preflight}https://evil.example\r\n"), "");
    assert!(other.starts_with("HTTP/1.1 405") && !other.contains("access-control"), "{other}");
    let answer = server.send("POST", "/predict", "Origin: https://shop.example\r\n", ROW);
    assert!(answer.contains("access-control-allow-origin: https://shop.example\r\n"), "{answer}");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = server.send("POST", "/predict", &format!("traceparent: {trace}\r\n"), ROW);
    assert!(
        answer.contains(&format!("traceparent: {trace}\r\n")) && !answer.contains("allow-origin"),
        "{answer}"
    );
}

#[test]
fn a_shadow_is_compared_and_answers_nothing() {
    let dir = two_models();
    let server = Server::start(&dir, &["--shadow", "other.mlapi"], &[]);
    let alone = Server::start(&dir, &[], &[]);
    let rows: Vec<String> =
        dir.read("iris.csv").lines().skip(1).map(|l| l.rsplit_once(',').unwrap().0.into()).collect();
    let body = format!("{{\"data\":[[{}]]}}", rows.join("],["));
    let answer = server.send("POST", "/predict", "", &body);
    let text = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_string();
    assert_eq!(text(&answer), text(&alone.send("POST", "/predict", "", &body)));
    server.wait_for("", "mlapi_shadow_rows_total{model=\"model\"} 150\n");
    let other = Server::start(&dir, &["--model", "other.mlapi"], &[]);
    let labels = |answer: String| -> Vec<String> {
        answer.split("\"prediction\":").skip(1).map(|p| p.split(',').next().unwrap().to_string()).collect()
    };
    let (ours, theirs) = (labels(answer), labels(other.send("POST", "/predict", "", &body)));
    let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
    assert!(differ > 0);
    server.wait_for("", &format!("mlapi_shadow_disagreements_total{{model=\"model\"}} {differ}\n"));
    dir.write("penguins.csv", std::fs::read("fixtures/penguins.csv").unwrap());
    dir.run(&["train", "penguins.csv", "-q", "--algorithm", "bayes", "--output", "birds.mlapi"]).ok();
    dir.run(&["serve", "--port", "0", "--shadow", "birds.mlapi"])
        .fails(1)
        .complains(&["birds.mlapi cannot be a shadow of model"]);
}

#[test]
fn predictions_are_written_down_and_compared_with_what_turns_out_true() {
    let dir = two_models();
    let server = Server::start(&dir, &["--log-predictions", "log", "--feedback", "10"], &[]);
    for (id, label) in [("a", "setosa"), ("b", "virginica")] {
        server.send("POST", "/predict", &format!("X-Request-Id: {id}\r\n"), ROW);
        let body = format!("{{\"request_id\":\"{id}\",\"label\":\"{label}\"}}");
        let answer = server.send("POST", "/feedback", "", &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(server.send("POST", "/feedback", "", &body).starts_with("HTTP/1.1 404"), "counted once");
    }
    server.wait_for("", "mlapi_live_accuracy{model=\"model\"} 0.5\n");
    server.wait_for("", "mlapi_predictions_total{model=\"model\",class=\"setosa\"} 2\n");
    server.send(
        "POST",
        "/predict",
        "X-Request-Id: c\r\n",
        r#"{"data":[[5.1,3.5,1.4,0.2],[5.1,3.5,1.4,0.2]]}"#,
    );
    let wrong = r#"{"request_id":"c","labels":["setosa"]}"#;
    assert!(server.send("POST", "/feedback", "", wrong).starts_with("HTTP/1.1 422"));
    let right = r#"{"request_id":"c","labels":["setosa","setosa"]}"#;
    assert!(server.send("POST", "/feedback", "", right).contains("{\"correct\":2,\"rows\":2}"));
    server.wait_for("", "mlapi_live_accuracy{model=\"model\"} 0.75\n");
    let started = Instant::now();
    while dir.read("log").lines().count() < 4 {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", dir.read("log"));
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = dir.read("log");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["request_id"], &first["model"]), (&"a".into(), &"model".into()));
    assert_eq!(first["features"]["sepal_length"], 5.1);
    assert_eq!(first["answer"]["prediction"], "setosa");
}

#[test]
fn answers_in_the_other_protocols_are_compared_with_the_truth_as_well() {
    let dir = two_models();
    let server = Server::start(&dir, &["--feedback", "10"], &[]);
    let v2 = r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}"#;
    let mlflow = r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#;
    for (path, body) in [("/v2/models/model/infer", v2), ("/invocations", mlflow), ("/predict", ROW)] {
        let answer = server.send("POST", path, "", body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        // A log refers to it: so the server makes an id if the client sends none.
        let (_, id) = answer.split_once("x-request-id: ").unwrap();
        let body = format!("{{\"request_id\":\"{}\",\"label\":\"setosa\"}}", id.lines().next().unwrap());
        let answer = server.send("POST", "/feedback", "", &body);
        assert!(answer.contains("{\"correct\":1,\"rows\":1}"), "{path}: {answer}");
    }
    server.wait_for("", "mlapi_live_accuracy{model=\"model\"} 1\n");
    server.stop();
}

#[test]
fn a_table_of_any_length_is_answered_while_it_arrives() {
    let dir = two_models();
    let server = Server::start(&dir, &["--max-body-bytes", "1000", "--max-rows", "10"], &[]);
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv; header=absent\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let rows = "5.1,3.5,1.4,0.2\n".repeat(1000);
    let chunk = format!("{:x}\r\n{rows}\r\n", rows.len());
    let mut reader = socket.try_clone().unwrap();
    let answer = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            // The first rows are back before the last are sent.
            let mut answer = vec![0; 1000];
            reader.read_exact(&mut answer).unwrap();
            let began = Instant::now();
            reader.read_to_end(&mut answer).unwrap();
            (began, String::from_utf8(answer).unwrap())
        });
        for _ in 0..200 {
            socket.write_all(chunk.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        let ended = Instant::now();
        socket.write_all(b"0\r\n\r\n").unwrap();
        let (began, answer) = reading.join().unwrap();
        assert!(began < ended, "the answer waited for the end of the body");
        answer
    });
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: text/csv"),
        "{}",
        &answer[..300]
    );
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "whole");
    let (mut rest, mut table) = (answer.split_once("\r\n\r\n").unwrap().1, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        table.push_str(&after[..size]);
        rest = &after[size + 2..];
        if size == 0 {
            break;
        }
    }
    assert_eq!(table.lines().count(), 200_000);
    assert!(table.lines().all(|line| line.starts_with("5.1,3.5,1.4,0.2,setosa,0.9")), "every row");
    // A fault in the first rows is still a problem document; a later one breaks the answer off.
    let stream = "Content-Type: text/csv; header=absent\r\nTransfer-Encoding: chunked\r\n";
    let send = |rows: String| {
        let mut socket = TcpStream::connect(&server.address).unwrap();
        let head = format!("POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{stream}\r\n");
        socket.write_all(format!("{head}{:x}\r\n{rows}\r\n0\r\n\r\n", rows.len()).as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let early = send("5.1,wide,1.4,0.2\n".into());
    assert!(early.starts_with("HTTP/1.1 422") && early.contains("\"pointer\":\"/0/column_2\""), "{early}");
    let late = send(format!("{}5.1,wide,1.4,0.2\n", "5.1,3.5,1.4,0.2\n".repeat(5000)));
    assert!(
        late.starts_with("HTTP/1.1 200") && !late.ends_with("0\r\n\r\n"),
        "{}",
        &late[late.len() - 100..]
    );
    assert!(server.send("POST", "/predict", "", ROW).starts_with("HTTP/1.1 200"));
    server.wait_for("", "mlapi_requests_in_flight 0\n");
}

#[test]
fn who_opens_many_connections_and_sends_nothing_keeps_nobody_out() {
    let dir = two_models();
    let server = Server::start(&dir, &["--max-connections", "20"], &[]);
    let idle: Vec<_> = (0..20).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(1200));
    for _ in 0..5 {
        let started = Instant::now();
        assert!(server.send("POST", "/predict", "", ROW).starts_with("HTTP/1.1 200"));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
    drop(idle);
}

#[test]
fn a_unix_socket_serves_as_an_address_does_and_a_dead_one_is_taken_over() {
    let dir = two_models();
    let start = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mlapi"))
            .args(["serve", "--unix", "s"])
            .current_dir(dir.path("."))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mlapi is listening on s\n");
        child
    };
    for _ in 0..2 {
        let mut child = start();
        let mut socket = std::os::unix::net::UnixStream::connect(dir.path("s")).unwrap();
        let request = format!(
            "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 26\r\n\r\n{ROW}"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("setosa"), "{answer}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    dir.write("file", "x");
    dir.run(&["serve", "--unix", "file"]).fails(1).complains(&["cannot listen on file", "--unix"]);
    assert_eq!(dir.read("file"), "x");
}
