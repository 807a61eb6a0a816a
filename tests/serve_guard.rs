//! Which connections, streams and requests the server lets in, which give way to others, and what it says when it
//! closes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::support::http::{Client, Reply, Server, request};
use crate::support::model;
use mlapi::server::{self, Limits, Setup, State};

const ROW: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;
const LINE: &str = "[5.1,3.5,1.4,0.2]\n";
const STREAM: &str = "POST /predict HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

/// Longer than a client may keep a slot that others need.
const PATIENCE: Duration = Duration::from_millis(1100);

fn with(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits { drain_time: Duration::from_secs(5), ..Limits::default() };
    change(&mut limits);
    Server::start(model::iris(), limits)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The status of one row that is sent as a stream.
fn stream_a_row(server: &Server) -> (u16, Client) {
    let mut client = server.connect();
    client.write(format!("{STREAM}{}0\r\n\r\n", chunk(LINE)));
    (client.read_head().status, client)
}

#[test]
fn a_stream_that_sends_next_to_nothing_gives_way_to_another() {
    let server = with(|limits| limits.streams = 2);
    let mut silent = server.connect();
    silent.write(format!("{STREAM}{}", chunk("[5")));
    let mut dripping = server.connect();
    dripping.write(format!("{STREAM}{}", chunk("[5")));
    server.wait_for("mlapi_requests_in_flight", 2.0);
    assert_eq!(stream_a_row(&server).0, 503, "they have just come");
    // A byte now and then does not make a client a fast one.
    for _ in 0..6 {
        std::thread::sleep(PATIENCE / 6);
        dripping.write(chunk("."));
    }
    let mut kept: Vec<_> = (0..2).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| client.write(format!("{STREAM}{}", chunk(LINE))));
    for client in [&mut silent, &mut dripping] {
        let reply = client.read();
        assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
        reply.problem(503);
        client.expect_close();
    }
    for client in &mut kept {
        client.write("0\r\n\r\n");
        assert_eq!(client.read_head().status, 200);
    }
    assert_eq!(server.metric("mlapi_rejected_total{reason=\"given_up\"}"), 2.0);
    server.wait_for("mlapi_requests_in_flight", 0.0);
    assert_eq!(stream_a_row(&server).0, 200);
}

#[test]
fn a_slow_body_gives_the_memory_for_bodies_back_to_one_that_needs_it() {
    let server = with(|limits| limits.held_bytes = 300_000);
    let body = |n: usize| format!("{{\"data\":[5.1,3.5,1.4,0.2]{}}}", " ".repeat(n));
    let mut slow = server.connect();
    slow.write(&request("POST", "/predict", "", body(200_000).as_bytes())[..190_000]);
    std::thread::sleep(PATIENCE / 8);
    assert_eq!(server.predict(body(200_000)).status, 503, "it has just come");
    // A byte now and then does not make a client a fast one.
    for _ in 0..6 {
        std::thread::sleep(PATIENCE / 6);
        slow.write(" ");
    }
    assert_eq!(server.predict(body(200_000)).status, 200);
    let reply = slow.read();
    assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
    reply.problem(503);
    assert_eq!(server.predict(body(200_000)).status, 200, "all is given back");
}

#[test]
fn a_stream_that_gives_way_after_its_first_rows_is_cut_off_and_not_ended() {
    let server = with(|limits| limits.streams = 1);
    let mut begun = server.connect();
    // Enough for the first rows to be answered.
    begun.write(format!("{STREAM}{}", chunk(&LINE.repeat(60_000))));
    assert_eq!(begun.read_head().status, 200);
    std::thread::sleep(PATIENCE);
    assert_eq!(stream_a_row(&server).0, 200);
    let rest = begun.read_to_end();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a response without all rows has no end");
}

#[test]
fn a_stream_whose_client_takes_no_response_gives_way_too() {
    let server = with(|limits| limits.streams = 1);
    let mut deaf = server.connect();
    deaf.set_write_timeout(Duration::from_millis(300));
    deaf.write(STREAM);
    let rows = chunk(&LINE.repeat(20_000));
    while deaf.try_write(rows.as_bytes()).is_ok() {}
    std::thread::sleep(PATIENCE);
    assert_eq!(stream_a_row(&server).0, 200);
    server.wait_for("mlapi_requests_in_flight", 0.0);
}

#[test]
fn a_record_of_a_stream_is_no_longer_than_a_body_and_held_as_one() {
    let csv = STREAM.replace("application/x-ndjson", "text/csv; header=absent");
    for head in [STREAM, &csv] {
        let long = |server: &Server, bytes: usize| -> Reply {
            let mut client = server.connect();
            client.write(head);
            let piece = chunk(&"1".repeat(100_000));
            for _ in 0..bytes / 100_000 {
                if client.try_write(piece.as_bytes()).is_err() {
                    break;
                }
            }
            let _ = client.try_write(b"0\r\n\r\n");
            client.read()
        };
        let server = with(|limits| limits.body_bytes = 2 << 20);
        let problem = long(&server, 4 << 20).problem(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the body line 1: the record is longer than 2 MB"), "{detail}");
        let server = with(|limits| limits.held_bytes = 4 << 20);
        let reply = long(&server, 8 << 20);
        assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
        reply.problem(503);
        // What it held is given back.
        server.wait_for("mlapi_requests_in_flight", 0.0);
        long(&server, 1_500_000).problem(422);
        assert_eq!(stream_a_row(&server).0, 200);
    }
}

#[cfg(target_os = "linux")]
fn connect_from(address: [u8; 4], server: &Server) -> Client {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &std::net::SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &server.address).unwrap();
    Client::of(TcpStream::from(socket))
}

#[cfg(target_os = "linux")]
#[test]
fn one_address_has_a_share_of_the_connections_and_others_have_the_rest() {
    let server = with(|limits| (limits.connections, limits.connections_per_address) = (4, 2));
    let livez = request("GET", "/livez", "", b"");
    let mut held: Vec<_> = (0..2).map(|_| server.connect()).collect();
    let ask_all = |held: &mut Vec<Client>| {
        for client in held {
            client.write(&livez);
            assert_eq!(client.read().status, 200);
        }
    };
    // They are busy: each asks again before it has waited for a second.
    ask_all(&mut held);
    let mut third = server.connect();
    let reply = third.read();
    assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
    assert!(reply.problem(503)["detail"].as_str().unwrap().starts_with("your address"));
    ask_all(&mut held);
    let mut others: Vec<_> = [2, 3].map(|last| connect_from([127, 0, 0, last], &server)).into();
    ask_all(&mut others);
    std::thread::sleep(PATIENCE);
    others[0].write(&livez);
    assert_eq!(others[0].read().status, 200);
    // The one that has waited longest gives way, but only one of the same address.
    others[1].write(&livez);
    assert_eq!(others[1].read().status, 200);
    let mut fourth = server.connect();
    fourth.write(request("GET", "/metrics", "", b""));
    let metrics = fourth.read().text();
    assert!(metrics.contains("mlapi_rejected_total{reason=\"address\"} 1\n"), "{metrics}");
    held[0].expect_close();
    ask_all(&mut others);
}

#[test]
fn what_is_no_request_is_counted() {
    let server = with(|_| {});
    for head in
        ["nonsense\r\n\r\n".to_string(), format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000))]
    {
        let mut client = server.connect();
        client.write(&head);
        let reply = client.read_head();
        assert!([400, 431].contains(&reply.status) && reply.header("connection") == "close", "{reply:?}");
        client.expect_close();
    }
    server.wait_for("mlapi_requests_total{route=\"other\",status=\"400\"}", 1.0);
    server.wait_for("mlapi_requests_total{route=\"other\",status=\"431\"}", 1.0);
}

#[test]
fn two_lengths_are_refused_behind_another_request_as_well() {
    let server = with(|_| {});
    let post = request("POST", "/predict", "", ROW.as_bytes());
    let both = format!(
        "POST /predict HTTP/1.1\r\nHost: t\r\nContent-Length: 26\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk(ROW)
    );
    for first in [&post[..], &request("GET", "/livez", "", b"")] {
        let mut client = server.connect();
        client.write([first, first, both.as_bytes()].concat());
        assert_eq!([client.read().status, client.read().status], [200, 200]);
        let reply = client.read();
        assert_eq!(reply.header("connection"), "close");
        reply.problem(400);
        client.expect_close();
    }
}

#[test]
fn a_response_says_so_if_the_connection_closes_and_only_then() {
    let server = with(|limits| limits.body_bytes = 1 << 20);
    let requests = [
        ("POST", "/nowhere", "", 404),
        ("POST", "/models/none/predict", "", 404),
        ("POST", "/model", "", 405),
        ("GET", "/predict", "", 405),
        ("POST", "/predict", "Content-Encoding: gzip\r\n", 415),
        ("POST", "/predict", "Origin: https://evil.example\r\n", 403),
        ("GET", "/livez", "", 200),
    ];
    for (method, path, headers, status) in requests {
        let mut client = server.connect();
        let small = request(method, path, headers, ROW.as_bytes());
        client.write(&small);
        let reply = client.read();
        assert_eq!((reply.status, reply.header("connection")), (status, ""), "{method} {path} {headers}");
        // A body that has arrived is passed over.
        client.write(request("POST", "/predict", "", ROW.as_bytes()));
        assert_eq!(client.read().status, 200, "after {method} {path} {headers}");
        let large = request(method, path, headers, &vec![b' '; 500_000]);
        client.write(&large[..large.len() - 1]);
        let reply = client.read();
        assert_eq!(
            (reply.status, reply.header("connection")),
            (status, "close"),
            "{method} {path} {headers}"
        );
        client.expect_close();
    }
    let mut client = server.connect();
    client.write("POST /nowhere HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    let reply = client.read();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (404, "close"),
        "no go-ahead for what nobody reads"
    );
}

#[test]
fn connections_that_wait_to_be_accepted_at_shutdown_are_answered() {
    let runtime = server::runtime(1).unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(State::new(Setup::new(model::iris(), Limits::default()).unwrap()).unwrap());
    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let bytes = request("POST", "/predict", "", ROW.as_bytes());
    // Some have sent their request, one sends it later, one never.
    clients[..18].iter_mut().for_each(|client| client.write_all(&bytes).unwrap());
    let mut late = clients[18].try_clone().unwrap();
    let sends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        late.write_all(&bytes).unwrap();
    });
    runtime.block_on(server::run(listener, state, async {})).unwrap();
    sends.join().unwrap();
    for (i, client) in clients.iter_mut().enumerate() {
        let mut answer = String::new();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let read = client.read_to_string(&mut answer);
        if i < 19 {
            read.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close\r\n"),
                "{i}: {answer}"
            );
        }
    }
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}
