//! The server over real sockets: what it answers, and that no bad request, slow client or broken connection
//! harms another.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::http::{Server, request};
use crate::support::model;
use mlapi::server::Limits;

const ROW: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

fn limits() -> Limits {
    Limits {
        drain_time: Duration::from_secs(5),
        body_bytes: 8 * 1024 * 1024,
        // All clients of the tests have the same address.
        connections_per_address: 1024,
        ..Limits::default()
    }
}

fn iris() -> Server {
    Server::start(model::iris(), limits())
}

fn with(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = limits();
    change(&mut limits);
    Server::start(model::iris(), limits)
}

fn pointers(problem: &serde_json::Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect()
}

#[test]
fn every_json_form_is_answered_in_the_form_of_the_contract() {
    let server = iris();
    let by_name =
        r#"{"features":{"petal_width":0.2,"petal_length":1.4,"sepal_width":3.5,"sepal_length":5.1}}"#;
    let one = server.predict(ROW);
    assert_eq!((one.status, one.header("content-type")), (200, "application/json"));
    assert_eq!(one.json()["prediction"], "setosa");
    assert_eq!(one.json()["probability"], one.json()["probabilities"]["setosa"]);
    assert_eq!(server.predict(by_name).text(), one.text());
    let many = server.predict(r#"{"data":[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]}"#).json();
    assert_eq!(many["predictions"][0], one.json());
    assert_eq!(many["predictions"][1]["prediction"], "virginica");
    let warned = server.predict(r#"{"data":[null,3.5,1.4,99]}"#).json()["warnings"].clone();
    assert_eq!(warned[0], serde_json::json!({"row":0,"feature":"sepal_length","kind":"missing_value"}));
    assert_eq!(warned[1]["kind"], "out_of_range");
    let number = Server::start(model::diabetes(), limits());
    let answer = number.predict(r#"{"data":[59,2,32.1,101,157,93.2,38,4,4.8598,87]}"#).json();
    assert!(answer["prediction"].is_f64() && answer.as_object().unwrap().len() == 1, "{answer}");
    for content_type in
        ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"]
    {
        assert_eq!(server.send("POST", "/predict?x=1", content_type, ROW).text(), one.text());
    }
}

#[test]
fn a_csv_body_comes_back_as_csv_and_ndjson_as_ndjson() {
    let server = iris();
    let csv = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n";
    let reply = server.send("POST", "/predict", "Content-Type: text/csv\r\n", csv);
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/csv; charset=utf-8"));
    let text = reply.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "sepal_length,sepal_width,petal_length,petal_width,prediction,probability");
    assert!(
        lines[1].starts_with("5.1,3.5,1.4,0.2,setosa,0.9") && lines[2].contains(",virginica,0.9"),
        "{text}"
    );
    let absent = server.send("POST", "/predict", "Content-Type: text/csv; header=absent\r\n", &csv[50..]);
    assert!(absent.text().starts_with("5.1,3.5,1.4,0.2,setosa"), "{}", absent.text());
    let ndjson = "[5.1,3.5,1.4,0.2]\n{\"sepal_length\":6.7,\"sepal_width\":3,\"petal_length\":5.2,\"petal_width\":2.3}\n";
    let reply = server.send("POST", "/predict", "Content-Type: application/x-ndjson\r\n", ndjson);
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(reply.text().lines().next().unwrap(), server.predict(ROW).text());
    assert_eq!(reply.text().lines().count(), 2);
    let bad = server
        .send("POST", "/predict", "Content-Type: text/csv\r\n", csv.replace("3.0", "wide"))
        .problem(422);
    assert_eq!(pointers(&bad), ["/1/sepal_width"]);
    let bad = server
        .send("POST", "/predict", "Content-Type: application/x-ndjson\r\n", "[1,2,3,4]\n[1]\nx\n")
        .problem(422);
    assert_eq!(pointers(&bad), ["/1", "/2"]);
    let ragged =
        server.send("POST", "/predict", "Content-Type: text/csv\r\n", format!("{csv}1,2\n")).problem(400);
    assert!(ragged["detail"].as_str().unwrap().starts_with("the body line 4: 2 fields"), "{ragged}");
    server.send("POST", "/predict", "Content-Type: text/csv\r\n", "").problem(400);
}

#[test]
fn the_model_describes_itself_and_its_example_is_accepted() {
    for model in [model::iris(), model::penguins(), model::diabetes()] {
        let features = model.pipeline.schema.n_features();
        let server = Server::start(model, limits());
        let reply = server.get("/model");
        assert!(!reply.text().contains('/'), "no path of the training machine: {}", reply.text());
        let description = reply.json();
        assert_eq!(description["schema"]["features"].as_array().unwrap().len(), features);
        assert!(description["metrics"].is_object() && description["card"]["algorithm"].is_string());
        let importances = description["importances"].as_object().unwrap();
        assert!(importances.len() == features && importances.values().all(serde_json::Value::is_f64));
        let answer = server.predict(description["example"].to_string());
        assert_eq!(answer.status, 200, "{} for {}", answer.text(), description["example"]);
        assert!(answer.json()["warnings"].is_null(), "{}", answer.text());
    }
}

#[test]
fn what_does_not_fit_is_listed_whole_with_pointers_and_what_is_not_json_with_its_place() {
    let server = iris();
    for body in ["", "{", "not json", r#"{"data":[1,]}"#, "\u{1}", r#"{"data":[1,2,3,4]} x"#] {
        let problem = server.predict(body).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("line 1 column"), "{problem}");
    }
    server.predict(b"{\"data\":[\"\xFF\",1,1,1]}").problem(400);
    let wrong =
        r#"{"features":{"sepal_length":"long","sepal_width":true,"petal_lenght":1,"petal_width":[1]}}"#;
    let problem = server.predict(wrong).problem(422);
    let mut found = pointers(&problem);
    found.sort_unstable();
    assert_eq!(
        found,
        ["petal_lenght", "petal_length", "petal_width", "sepal_length", "sepal_width"]
            .map(|n| format!("/features/{n}"))
    );
    assert!(problem.to_string().contains("did you mean \\\"petal_length\\\"?"), "{problem}");
    assert_eq!(
        server.predict(r#"{"data":[[1,2,3,4],[1,2]]}"#).problem(422)["errors"][0]["pointer"],
        "/data/1"
    );
    let threshold = server.predict(r#"{"data":[1,2,3,4],"threshold":0.5}"#).problem(422);
    assert_eq!(pointers(&threshold), ["/threshold"]);
    let rows = vec!["[0]"; 150].join(",");
    let problem = server.predict(format!("{{\"data\":[{rows}]}}")).problem(422);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("150 things do not fit; the first are listed, and 50 more")
    );
    assert_eq!(server.predict(ROW).status, 200, "and the server goes on");
}

#[test]
fn deep_nesting_is_refused_and_uses_up_no_stack() {
    let server = iris();
    for open in ["[", "{\"a\":"] {
        let close = if open == "[" { "]" } else { "}" };
        for key in ["data", "threshold", "unknown"] {
            let body = format!("{{\"{key}\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            let status = server.predict(body).status;
            assert!(status == 400 || status == 422, "{key} {open}: {status}");
        }
        server.predict(open.repeat(1_000_000)).problem(400);
    }
    assert_eq!(server.predict(ROW).status, 200);
}

#[test]
fn a_body_over_the_limit_is_refused_declared_or_chunked_and_the_answer_arrives() {
    let server = iris();
    let body = vec![b' '; 10_000_000];
    let problem = server.predict(&body).problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("8388608 bytes"), "{problem}");
    let mut client = server.connect();
    client.write("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n");
    let reply = client.read();
    assert_eq!(reply.header("connection"), "close", "nothing is read of it");
    reply.problem(413);
    let mut client = server.connect();
    client.write("POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(100_000) {
        // The server may have hung up on the rest.
        if client.try_write(&[b"186a0\r\n", chunk, b"\r\n"].concat()).is_err() {
            break;
        }
    }
    client.read().problem(413);
    assert_eq!(server.metric("mlapi_rejected_total{reason=\"body_bytes\"}"), 3.0);
    let few = with(|limits| limits.rows = 2);
    for (content_type, body) in [
        ("application/json", r#"{"data":[[1,2,3,4],[1,2,3,4],[1,2,3,4]]}"#),
        ("application/x-ndjson", "[1,2,3,4]\n[1,2,3,4]\n[1,2,3,4]\n"),
        ("text/csv; header=absent", "1,2,3,4\n1,2,3,4\n1,2,3,4\n"),
    ] {
        let problem =
            few.send("POST", "/predict", &format!("Content-Type: {content_type}\r\n"), body).problem(413);
        assert!(problem["detail"].as_str().unwrap().contains("at most 2 rows"), "{problem}");
    }
}

#[test]
fn paths_methods_and_encodings_that_are_not_there_are_named() {
    let server = iris();
    for path in ["/", "/predict/", "/models/iris/predict", "/../etc/passwd"] {
        server.get(path).problem(404);
    }
    for (method, path, allow) in [
        ("GET", "/predict", "POST"),
        ("POST", "/model", "GET, HEAD"),
        ("DELETE", "/livez", "GET, HEAD"),
        ("BREW", "/readyz", "GET, HEAD"),
    ] {
        let reply = server.send(method, path, "", "");
        assert_eq!(reply.header("allow"), allow);
        reply.problem(405);
    }
    let reply = server.send("POST", "/predict", "Content-Encoding: gzip\r\n", ROW);
    assert_eq!(reply.header("accept-encoding"), "identity");
    reply.problem(415);
    let (get, mut client) = (server.get("/livez"), server.connect());
    client.write("HEAD /livez HTTP/1.1\r\nHost: test\r\n\r\nGET /readyz HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().header("content-length"), get.header("content-length"));
    assert_eq!(client.read().text(), "ok\n", "no body came between");
}

#[test]
fn requests_that_break_the_rules_of_http_are_refused() {
    let server = iris();
    let lengths = "Content-Length: 26\r\nTransfer-Encoding: chunked\r\n";
    let swapped = "Transfer-Encoding: chunked\r\nContent-Length: 26\r\n";
    for head in [
        "GET /livez HTTP/1.1\r\n\r\n".to_string(),
        "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        format!("POST /predict HTTP/1.1\r\nHost: a\r\n{lengths}\r\n1a\r\n{ROW}\r\n0\r\n\r\n"),
        format!("POST /predict HTTP/1.1\r\nHost: a\r\n{swapped}\r\n1a\r\n{ROW}\r\n0\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.write(&head);
        let reply = client.read();
        assert_eq!(reply.header("connection"), "close", "{head}");
        reply.problem(400);
        client.expect_close();
    }
    for (head, status) in [
        ("nonsense\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
    ] {
        let mut client = server.connect();
        client.write(&head);
        assert_eq!(client.read_head().status, status, "{}", &head[..20]);
    }
    let mut old = server.connect();
    old.write("GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(old.read_head().status, 200, "HTTP/1.0 needs no Host");
}

#[test]
fn a_connection_is_kept_and_requests_may_follow_each_other_without_waiting() {
    let server = iris();
    let mut client = server.connect();
    let mut answers = Vec::new();
    for _ in 0..3 {
        client.write(request("POST", "/predict", "", ROW.as_bytes()));
        answers.push(client.read().text());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    let second = request("GET", "/livez", "", b"");
    client.write([request("POST", "/predict", "", ROW.as_bytes()), second].concat());
    assert_eq!(client.read().text(), answers[0]);
    assert_eq!(client.read().text(), "ok\n");
    client.write(request("POST", "/predict", "", b"nonsense"));
    client.read().problem(400);
    client.write(request("POST", "/predict", "", ROW.as_bytes()));
    assert_eq!(client.read().text(), answers[0], "a bad body does not end the connection");
}

#[test]
fn a_body_may_come_in_chunks_in_pieces_and_after_a_go_ahead() {
    let server = iris();
    let expected = server.predict(ROW).text();
    let mut client = server.connect();
    client.write("POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["5\r\n", &ROW[..5], "\r\n15\r\n", &ROW[5..], "\r\n0\r\n\r\n"] {
        client.write(piece);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.read().text(), expected);
    let bytes = request("POST", "/predict", "", ROW.as_bytes());
    for byte in &bytes {
        client.write([*byte]);
    }
    assert_eq!(client.read().text(), expected, "byte by byte");
    let bytes = request("POST", "/predict", "Expect: 100-continue\r\n", b"");
    client.write(String::from_utf8(bytes).unwrap().replace("Length: 0", "Length: 26"));
    assert_eq!(client.read_head().status, 100);
    client.write(ROW);
    assert_eq!(client.read().text(), expected);
    client.write("POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n");
    client.read().problem(400);
}

#[test]
fn a_large_body_is_answered_whole_beside_small_ones() {
    let server = iris();
    let rows = vec!["[5.1,3.5,1.4,0.2]"; 10_000].join(",");
    let reply = server.predict(format!("{{\"data\":[{rows}]}}"));
    let one = server.predict(ROW).text();
    assert_eq!(reply.text(), format!("{{\"predictions\":[{}]}}", vec![one; 10_000].join(",")));
}

#[test]
fn a_head_or_body_that_never_ends_is_given_up_while_others_are_served() {
    let server = with(|limits| {
        limits.header_time = Duration::from_millis(200);
        limits.body_time = Duration::from_millis(200);
    });
    let (mut head, mut body, mut idle) = (server.connect(), server.connect(), server.connect());
    head.write("POST /predict HTTP/1.1\r\nHost: te");
    body.write("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 26\r\n\r\n{\"data\":");
    assert_eq!(server.predict(ROW).status, 200);
    let reply = body.read();
    assert_eq!(reply.header("connection"), "close");
    reply.problem(408);
    body.expect_close();
    head.expect_close();
    idle.expect_close();
    let (mut trickle, started) = (server.connect(), Instant::now());
    while trickle.try_write(b"G").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(3), "a byte now and then does not keep it open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.metric("mlapi_rejected_total{reason=\"body_time\"}"), 1.0);
    assert_eq!(server.metric("mlapi_requests_in_flight"), 0.0);
}

#[test]
fn a_connection_that_drops_half_way_leaves_nothing_behind() {
    let server = iris();
    let bytes = request("POST", "/predict", "", ROW.as_bytes());
    for at in [0, 1, 20, bytes.len() - 10, bytes.len()] {
        let mut client = server.connect();
        client.write(&bytes[..at]);
    }
    server.wait_for("mlapi_requests_in_flight", 0.0);
    server.wait_for("mlapi_connections", 1.0);
    assert_eq!(server.predict(ROW).status, 200);
}

#[test]
fn a_client_that_reads_slowly_gets_everything_and_one_that_never_reads_is_cut_off() {
    let server = with(|limits| limits.write_stall = Duration::from_millis(300));
    let rows = vec!["[5.1,3.5,1.4,0.2]"; 10_000].join(",");
    let bytes = request("POST", "/predict", "", format!("{{\"data\":[{rows}]}}").as_bytes());
    let mut slow = server.connect();
    slow.write(&bytes);
    let length: usize = slow.read_head().header("content-length").parse().unwrap();
    let mut got = 0;
    while got < length {
        got += slow.read_some(64 * 1024);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(got, length);
    let mut never = server.connect();
    never.set_write_timeout(Duration::from_millis(500));
    // More than the buffers of both sides hold; at some point nothing is taken any more.
    for _ in 0..30 {
        if never.try_write(&bytes).is_err() {
            break;
        }
    }
    assert_eq!(server.predict(ROW).status, 200);
    drop(slow);
    server.wait_for("mlapi_connections", 1.0);
}

#[test]
fn connections_over_the_limit_are_told_so_and_let_in_again_later() {
    let server = with(|limits| limits.connections = 2);
    let (mut first, second) = (server.connect(), server.connect());
    first.write(request("GET", "/livez", "", b""));
    assert_eq!(first.read().status, 200);
    let mut third = server.connect();
    third.write(request("POST", "/predict", "", ROW.as_bytes()));
    let reply = third.read();
    assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
    reply.problem(503);
    third.expect_close();
    drop(second);
    first.write(request("GET", "/livez", "", b""));
    assert_eq!(first.read().status, 200, "those inside notice nothing");
    let started = Instant::now();
    while server.get("/livez").status != 200 {
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    drop(first);
}

#[test]
fn predictions_over_the_limit_are_told_so_and_health_is_still_answered() {
    let server = with(|limits| limits.in_flight = 1);
    let mut stream = server.connect();
    stream.write("POST /predict HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n");
    stream.write("Transfer-Encoding: chunked\r\n\r\n");
    server.wait_for("mlapi_requests_in_flight", 1.0);
    let reply = server.predict(ROW);
    assert_eq!(reply.header("retry-after"), "1");
    reply.problem(503);
    assert_eq!(server.get("/readyz").status, 200);
    stream.write("0\r\n\r\n");
    assert_eq!(stream.read().status, 200);
    server.wait_for("mlapi_requests_in_flight", 0.0);
    assert_eq!(server.predict(ROW).status, 200);
}

#[test]
fn bodies_that_never_end_keep_nobody_out_and_take_bounded_memory() {
    let server = with(|limits| {
        limits.in_flight = 1;
        limits.held_bytes = 200_000;
    });
    let head = "POST /predict HTTP/1.1\r\nHost: t\r\nContent-Length: 8000000\r\n\r\n";
    let mut half: Vec<_> = (0..300).map(|_| server.connect()).collect();
    half.iter_mut().for_each(|client| client.write(format!("{head}{{\"data\":")));
    assert_eq!(server.predict(ROW).status, 200);
    let mut greedy = server.connect();
    greedy.write(head);
    let _ = greedy.try_write(&vec![b' '; 300_000]);
    let reply = greedy.read();
    assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
    reply.problem(503);
    assert_eq!(server.predict(ROW).status, 200);
}

#[test]
fn who_sends_a_body_without_an_end_gives_way_to_others_and_so_does_who_sends_no_head() {
    let server = with(|limits| limits.connections = 4);
    let mut bodies: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let (half, _) = ROW.split_at(10);
    for client in &mut bodies {
        client.write(format!("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 26\r\n\r\n{half}"));
    }
    let mut silent = server.connect();
    std::thread::sleep(Duration::from_millis(1200));
    let mut first = server.connect();
    first.write(request("POST", "/predict", "", ROW.as_bytes()));
    assert_eq!(first.read().status, 200);
    silent.expect_close();
    let mut second = server.connect();
    second.write(request("POST", "/predict", "", ROW.as_bytes()));
    assert_eq!(second.read().status, 200, "for this one a body was given up");
    first.write(request("GET", "/metrics", "", b""));
    let metrics = first.read().text();
    assert!(metrics.contains("mlapi_rejected_total{reason=\"given_up\"} 2\n"), "{metrics}");
}

#[test]
fn rows_of_nothing_do_not_become_a_table_of_everything() {
    let server = with(|limits| limits.cells = 400);
    let body = |n| format!("{{\"lenient\":true,\"data\":[{}]}}", vec!["{}"; n].join(","));
    assert_eq!(server.predict(body(100)).status, 200);
    server.predict(body(101)).problem(413);
}

#[test]
fn a_panic_is_a_500_without_detail_for_that_request_only() {
    let server = Server::start(model::iris_that_panics(), limits());
    let mut client = server.connect();
    for (row, status) in [("[7.9,3,1,1]", 500), ("[4.3,3,1,1]", 200), ("[7.9,3,1,1]", 500)] {
        client.write(request("POST", "/predict", "", format!("{{\"data\":{row}}}").as_bytes()));
        assert_eq!(client.read().status, status, "{row}");
    }
    let rows = vec!["[7.9,3,1,1]"; 9000].join(",");
    let problem = server.predict(format!("{{\"data\":[{rows}]}}")).problem(500);
    assert!(problem["detail"].is_null() && problem["errors"].is_null(), "a large body as well: {problem}");
    assert_eq!(server.metric("mlapi_requests_in_flight"), 0.0);
}

#[test]
fn shutdown_answers_what_is_under_way_refuses_what_is_new_and_returns() {
    let mut server = iris();
    let mut idle = server.connect();
    let bytes = request("POST", "/predict", "", ROW.as_bytes());
    let mut under_way: Vec<_> = (0..10).map(|_| server.connect()).collect();
    under_way.iter_mut().for_each(|client| client.write(&bytes[..bytes.len() - 5]));
    let mut probe = server.connect();
    probe.write("GET /readyz HTTP/1.1\r\nHo");
    // An answered request on a later connection shows that the others have been read.
    assert_eq!(server.predict(ROW).status, 200);
    server.tell_to_stop();
    idle.expect_close();
    assert!(TcpStream::connect(server.address).is_err(), "the listener is closed");
    probe.write("st: test\r\n\r\n");
    let reply = probe.read();
    assert_eq!(reply.header("retry-after"), "1");
    reply.problem(503);
    for client in &mut under_way {
        client.write(&bytes[bytes.len() - 5..]);
        let reply = client.read();
        assert_eq!((reply.status, reply.header("connection")), (200, "close"));
        client.expect_close();
    }
    assert!(server.stop() < Duration::from_secs(2));
}

#[test]
fn shutdown_does_not_wait_longer_than_the_drain_time() {
    let mut server = with(|limits| limits.drain_time = Duration::from_millis(200));
    let mut stuck = server.connect();
    stuck.write("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 26\r\n\r\n{");
    assert_eq!(server.predict(ROW).status, 200);
    let took = server.stop();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
    stuck.expect_close();
}

#[test]
fn metrics_are_valid_text_and_move_with_what_happens() {
    let server = Server::start(model::penguins(), limits());
    let missing =
        r#"{"data":[["Nowhere",39.1,18.7,181,3750,"male",2007],[null,39.1,18.7,999,3750,null,2007]]}"#;
    assert_eq!(server.predict(missing).status, 200);
    server.predict("x").problem(400);
    server.get("/nothing").problem(404);
    for (name, value) in [
        ("mlapi_requests_total{model=\"model\",route=\"/predict\",status=\"200\"}", 1.0),
        ("mlapi_requests_total{model=\"model\",route=\"/predict\",status=\"400\"}", 1.0),
        ("mlapi_requests_total{route=\"other\",status=\"404\"}", 1.0),
        ("mlapi_request_duration_seconds_count{model=\"model\",route=\"/predict\"}", 2.0),
        ("mlapi_request_duration_seconds_bucket{model=\"model\",route=\"/predict\",le=\"+Inf\"}", 2.0),
        ("mlapi_rows_predicted_total{model=\"model\"}", 2.0),
        ("mlapi_warnings_total{model=\"model\",kind=\"unseen_category\"}", 1.0),
        ("mlapi_warnings_total{model=\"model\",kind=\"missing_value\"}", 2.0),
        ("mlapi_warnings_total{model=\"model\",kind=\"out_of_range\"}", 1.0),
        ("mlapi_requests_in_flight", 0.0),
    ] {
        assert_eq!(server.metric(name), value, "{name}");
    }
    assert!(server.metric("mlapi_request_duration_seconds_sum{model=\"model\",route=\"/predict\"}") > 0.0);
    let reply = server.get("/metrics");
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let mut families = std::collections::BTreeSet::new();
    for line in reply.text().lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (family, kind) = described.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(family.to_string()), "{family} comes twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.filter(|family| families.contains(*family)).unwrap_or(name);
            assert!(families.contains(family), "{line} has no TYPE before it");
            assert_eq!(sample.contains('{'), sample.ends_with('}'), "{line}");
        }
    }
    let info = "mlapi_model_info{model=\"model\",algorithm=\"logistic-regression\",task=\"classification\",version=\"0.1.0\"}";
    assert_eq!(server.metric(info), 1.0);
}
