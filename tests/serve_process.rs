//! `mlapi serve` as a process: its flags, its environment, its first line, its signals.
//!
//! Its responses are in tests/serve.rs.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::process::Server;
use crate::support::workdir::Workdir;

#[test]
fn the_curl_line_it_prints_works_and_both_signals_end_it_in_order() {
    let dir = Workdir::trained("penguins.csv", &[]);
    for signal in ["TERM", "INT"] {
        let server = Server::start(&dir, &[], &[]);
        let address = server.address.clone();
        let body = r#"{"data":["Biscoe",43.9,17.2,201,4200,"male",2008]}"#;
        assert!(server.predict(body).starts_with("HTTP/1.1 200"));
        server.signal(signal);
        let (status, said) = server.wait();
        assert_eq!(status, Some(0), "{said}");
        let shown = said.lines().find(|line| line.starts_with("try: curl -d '")).expect(&said);
        let shown_body = shown.strip_prefix("try: curl -d '").unwrap().split('\'').next().unwrap();
        assert!(shown.ends_with(&format!("http://{address}/predict")));
        let server = Server::start(&dir, &[], &[]);
        let answer = server.predict(shown_body);
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("warnings"), "{answer}");
    }
}

#[test]
fn a_request_under_way_at_sigterm_is_answered() {
    let dir = Workdir::trained("iris.csv", &[]);
    let server = Server::start(&dir, &[], &[]);
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.write_all(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n").unwrap();
    // The go-ahead that another connection gets says that the first one has been read.
    assert!(server.predict(r#"{"data":[5.1,3.5,1.4,0.2]}"#).contains("setosa"));
    server.signal("TERM");
    std::thread::sleep(std::time::Duration::from_millis(200));
    socket.write_all(br#"{"data":[5.1,3.5,1.4,0.2]}"#).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("setosa"), "{answer}");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn the_environment_is_read_and_a_flag_wins() {
    let dir = Workdir::trained("iris.csv", &[]);
    let environment = [("MLAPI_PORT", "0"), ("MLAPI_MAX_ROWS", "1"), ("MLAPI_MODEL", "iris=model.mlapi")];
    let two_rows = r#"{"data":[[5.1,3.5,1.4,0.2],[5.1,3.5,1.4,0.2]]}"#;
    let server = Server::start(&dir, &[], &environment);
    assert!(server.predict(two_rows).starts_with("HTTP/1.1 413"));
    let server = Server::start(&dir, &["--max-rows", "2", "--threads", "1"], &environment);
    assert!(server.predict(two_rows).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.run(&["serve", "--model", "none.mlapi"]).fails(1).complains(&["none.mlapi", "mlapi train DATA"]);
    dir.write("bad.mlapi", "x");
    dir.run(&["serve", "--model", "bad.mlapi"]).fails(1).complains(&["bad.mlapi is not a usable model file"]);
    let server = Server::start(&dir, &[], &[]);
    let port = server.address.rsplit(':').next().unwrap().to_string();
    dir.run(&["serve", "--port", &port]).fails(1).complains(&["cannot listen on", "--port"]);
    dir.run(&["serve", "--port", "0", "--max-rows", "0"]).fails(2);
    dir.run(&["serve", "--port", "0", "--format", "json"]).fails(2);
}

#[test]
fn several_models_are_served_by_name_and_the_first_is_the_default() {
    let dir = Workdir::trained("iris.csv", &[]);
    dir.write("penguins.csv", std::fs::read("fixtures/penguins.csv").unwrap());
    std::fs::create_dir(dir.path("b")).unwrap();
    dir.run(&["train", "penguins.csv", "--output", "b/birds.mlapi", "--algorithm", "bayes"]).ok();
    let models = ["--model", "flowers=model.mlapi", "--model", "b"];
    let server = Server::start(&dir, &models, &[]);
    let list = server.get("/models");
    assert!(list.contains("\"default\":\"flowers\"") && list.contains("\"name\":\"birds\""), "{list}");
    let row = r#"{"data":[5.1,3.5,1.4,0.2]}"#;
    assert!(server.predict(row).contains("setosa"));
    assert!(server.post("/models/flowers/predict", row).contains("setosa"));
    let bird = r#"{"data":["Biscoe",43.9,17.2,201,4200,"male",2008]}"#;
    assert!(server.post("/models/birds/predict", bird).contains("Adelie"));
    assert!(server.post("/models/birds/predict", row).starts_with("HTTP/1.1 422"));
    assert!(server.get("/models/birds").contains("naive-bayes"));
    assert!(server.get("/models/birds/readyz").starts_with("HTTP/1.1 200"));
    for path in ["/models/fish", "/models/fish/readyz", "/models/birds/metrics", "/models/birds/", "/models/"]
    {
        assert!(server.get(path).starts_with("HTTP/1.1 404"), "{path}");
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("mlapi_rows_predicted_total{model=\"flowers\"} 2\n"), "{metrics}");
    assert!(metrics.contains("{model=\"birds\",route=\"/predict\",status=\"422\"} 1\n"), "{metrics}");
    let twice = ["serve", "--port", "0", "--model", "a=model.mlapi", "--model", "a=b/birds.mlapi"];
    dir.run(&twice).fails(1).complains(&["two models are called \"a\""]);
    dir.run(&["serve", "--port", "0", "--model", "a b=model.mlapi"]).fails(2);
}

#[test]
fn a_local_server_answers_no_foreign_page() {
    let dir = Workdir::trained("iris.csv", &[]);
    let row = r#"{"data":[5.1,3.5,1.4,0.2]}"#;
    let server =
        Server::start(&dir, &["--log-predictions", "log", "--cors-origin", "https://shop.example"], &[]);
    let ask = |server: &Server, host: &str, headers: &str| {
        let mut socket = TcpStream::connect(&server.address).unwrap();
        let head = format!("POST /predict HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}");
        let length = row.len();
        socket.write_all(format!("{head}Content-Length: {length}\r\n\r\n{row}").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split("\r\n\r\n").next().unwrap().to_string() + &answer
    };
    // A page whose name now resolves to this machine, and one that posts rows as text.
    let rebound = ask(&server, "evil.example:8080", "Origin: http://evil.example:8080\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403") && rebound.contains("--allowed-host"), "{rebound}");
    let text = "Content-Type: text/plain\r\n";
    for origin in ["https://evil.example", "null", "http://localhost:3000"] {
        let posted = ask(&server, &server.address, &format!("{text}Origin: {origin}\r\n"));
        assert!(posted.starts_with("HTTP/1.1 403") && posted.contains("--cors-origin"), "{posted}");
    }
    let metrics = server.get("/metrics");
    for line in [
        "mlapi_rows_predicted_total{model=\"model\"} 0\n",
        "mlapi_rejected_total{reason=\"host\"} 1\n",
        "mlapi_rejected_total{reason=\"origin\"} 3\n",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    for headers in
        ["", "Origin: https://shop.example\r\n", "Origin: https://a.b\r\nSec-Fetch-Site: same-origin\r\n"]
    {
        assert!(ask(&server, "localhost", headers).starts_with("HTTP/1.1 200"), "{headers}");
    }
    let own = format!("Origin: http://{}\r\n", server.address);
    assert!(ask(&server, &server.address, &own).starts_with("HTTP/1.1 200"));
    server.stop();
    assert_eq!(dir.read("log").lines().count(), 4);
    let server = Server::start(&dir, &["--allowed-host", "api.example"], &[]);
    assert!(ask(&server, "api.example", "").starts_with("HTTP/1.1 200"));
    assert!(ask(&server, "other.example", "").starts_with("HTTP/1.1 403"));
    let server = Server::start(&dir, &[], &[("MLAPI_API_KEYS", "0123456789abcdef")]);
    assert!(ask(&server, "api.example", "").starts_with("HTTP/1.1 401"), "a page has no key");
}

#[test]
fn what_is_no_request_and_what_acts_on_a_terminal_is_logged_as_such() {
    let dir = Workdir::trained("iris.csv", &[]);
    let server = Server::start(&dir, &["--access-log", "text"], &[]);
    for request in
        ["nonsense\r\n\r\n", "GET /\u{9b}2J\u{202e} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
    {
        let mut socket = TcpStream::connect(&server.address).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let said = server.stop();
    assert!(said.contains("127.0.0.1 - - 400 "), "{said}");
    assert!(said.contains(" GET /\\u{9b}2J\\u{202e} 404 "), "{said}");
}

#[test]
fn a_unix_socket_is_gone_when_the_server_is() {
    let dir = Workdir::trained("iris.csv", &[]);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mlapi"))
        .args(["serve", "--unix", "s"])
        .current_dir(dir.path("."))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = [0; 16];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert!(dir.path("s").exists());
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!dir.path("s").exists());
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_server_has_told_the_allocator_to_give_memory_back_and_is_the_process_that_was_started() {
    let dir = Workdir::trained("iris.csv", &[]);
    let environment = |server: &Server| {
        let bytes = std::fs::read(format!("/proc/{}/environ", server.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let server = Server::start(&dir, &["--access-log", "off"], &[]);
    assert!(environment(&server).contains("MALLOC_MMAP_THRESHOLD_=131072"), "{}", environment(&server));
    let command = std::fs::read(format!("/proc/{}/cmdline", server.child.id())).unwrap();
    assert!(String::from_utf8_lossy(&command).ends_with("--access-log\0off\0"));
    server.stop();
    let told = Server::start(&dir, &[], &[("MALLOC_MMAP_THRESHOLD_", "65536")]);
    assert!(environment(&told).contains("MALLOC_MMAP_THRESHOLD_=65536"), "what the operator says holds");
}
