//! Arbitrary bytes as the body of a request, in every dialect that the server speaks: it answers, never with 500, and
//! what it calls JSON is JSON. The server runs in this process, so that a panic in it ends the target.
//!
//! The first byte of an input chooses among the variants of a dialect, the three lowest bits the dialect, unless
//! `MLAPI_DIALECT` names one; in `v2_binary` two more bytes say where the JSON ends.

#![no_main]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use libfuzzer_sys::fuzz_target;
use mlapi::Model;
use mlapi::server::{self, Limits, Setup, State};
use support::{MANY, trained};

const DIALECTS: [&str; 8] = ["json", "csv", "ndjson", "v2", "v2_binary", "mlflow", "mlflow_csv", "feedback"];

static ONLY: LazyLock<Option<usize>> = LazyLock::new(|| {
    let name = std::env::var("MLAPI_DIALECT").ok()?;
    Some(DIALECTS.iter().position(|dialect| *dialect == name).expect("MLAPI_DIALECT names a dialect"))
});

/// Two classes, and a number.
static CLIENTS: LazyLock<[Mutex<Client>; 2]> = LazyLock::new(|| {
    [true, false].map(|classes| {
        Mutex::new(Client::of(trained(if classes { "logreg" } else { "ridge" }, classes, MANY)))
    })
});

struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
}

struct Answer {
    status: u16,
    head: String,
    /// `None` if it was cut off.
    body: Option<Vec<u8>>,
}

impl Client {
    fn of(model: Model) -> Self {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let setup = Setup::new(model, Limits::DEFAULT).expect("a card").remembering(16);
            let state = Arc::new(State::new(setup).expect("threads"));
            server::runtime(1).expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                send.send(listener.local_addr().expect("an address")).expect("a receiver");
                server::run(listener, state, std::future::pending()).await
            })
        });
        Self { address: receive.recv().expect("a server"), connection: None }
    }

    fn ask(&mut self, request: &[u8]) -> Answer {
        let reused = self.connection.is_some();
        let mut connection = self.connection.take().unwrap_or_else(|| self.connect());
        // A refused body closes the connection before all of it is sent.
        let _ = connection.write_all(request);
        let Some(answer) = receive(&mut connection) else {
            // The server may have closed an idle connection.
            assert!(reused, "no answer");
            return self.ask(request);
        };
        if answer.body.is_some() && !answer.head.contains("connection: close") {
            self.connection = Some(connection);
        }
        answer
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).expect("the server listens");
        connection.set_nodelay(true).expect("a socket");
        connection
    }
}

/// Reads one answer, with a length or in chunks; `None` if the connection ends before its head.
fn receive(connection: &mut TcpStream) -> Option<Answer> {
    let mut got = Vec::new();
    let mut more = |got: &mut Vec<u8>| {
        let mut piece = [0; 16 * 1024];
        // libFuzzer's clock interrupts.
        let n = loop {
            match connection.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.unwrap_or(0),
            }
        };
        got.extend(&piece[..n]);
        n > 0
    };
    let end = loop {
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if !more(&mut got) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
    let status = head[9..12].parse().expect("a status");
    let mut rest = got.split_off(end);
    let length = head.split("content-length: ").nth(1).and_then(|text| text.split('\r').next()?.parse().ok());
    let mut body = Vec::new();
    loop {
        match length {
            Some(length) if rest.len() >= length => return Some(Answer { status, head, body: Some(rest) }),
            Some(_) => {}
            None => {
                while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
                    let size = std::str::from_utf8(&rest[..at]).ok();
                    let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).expect("a chunk");
                    if rest.len() < at + 2 + size + 2 {
                        break;
                    }
                    body.extend(&rest[at + 2..at + 2 + size]);
                    rest.drain(..at + 2 + size + 2);
                    if size == 0 {
                        return Some(Answer { status, head, body: Some(body) });
                    }
                }
            }
        }
        if !more(&mut rest) {
            return Some(Answer { status, head, body: None });
        }
    }
}

fuzz_target!(
    // Not counted as the time of an input.
    init: LazyLock::force(&CLIENTS),
    |input: &[u8]| one(input)
);

fn one(input: &[u8]) {
    let [flags, body @ ..] = input else {
        return;
    };
    let dialect = DIALECTS[ONLY.unwrap_or(usize::from(flags & 7))];
    let (model, variant, chunked) = (usize::from(flags >> 3 & 1), flags >> 4 & 3, flags >> 6 & 1 == 1);
    let json =
        ["application/json", "", "text/plain", "application/x-www-form-urlencoded"][usize::from(variant)];
    let csv =
        ["text/csv", "text/csv; header=absent", "text/csv; header=present", "TEXT/CSV"][usize::from(variant)];
    let (path, kind) = match dialect {
        "json" => ("/predict", json),
        "csv" => ("/predict", csv),
        "ndjson" => ("/predict", "application/x-ndjson"),
        "v2" | "v2_binary" => ("/v2/models/model/infer", json),
        "mlflow" => ("/invocations", json),
        "mlflow_csv" => ("/invocations", csv),
        _ => ("/feedback", json),
    };
    let (mut more, mut body) = (String::new(), body);
    if let ("v2_binary", [low, high, rest @ ..]) = (dialect, body) {
        more = format!("Inference-Header-Content-Length: {}\r\n", u16::from_le_bytes([*low, *high]));
        body = rest;
    }
    let mut client = CLIENTS[model].lock().unwrap_or_else(PoisonError::into_inner);
    if dialect == "feedback" {
        let row = r#"{"lenient":true,"data":[{},{}]}"#;
        let head = "POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: r\r\nContent-Length: ";
        let answer = client.ask(format!("{head}{}\r\n\r\n{row}", row.len()).as_bytes());
        assert_eq!(answer.status, 200);
    }
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{more}");
    let request = if chunked {
        // Two chunks, cut where the variant says.
        let (one, two) = body.split_at(body.len() * usize::from(variant) / 4);
        let chunks = [one, two].into_iter().filter(|chunk| !chunk.is_empty());
        let chunks =
            chunks.map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        [head.as_bytes(), &chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n"].concat()
    } else {
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    };
    let Answer { status, head, body } = client.ask(&request);
    assert!(matches!(status, 200 | 400 | 404 | 408 | 413 | 415 | 422 | 431), "status {status}");
    let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    match body {
        // Cut off, or followed by tensors.
        None => {}
        Some(_) if head.contains("inference-header-content-length") => {}
        Some(body) if head.contains("/x-ndjson\r\n") => {
            assert!(body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(is_json));
        }
        Some(body) => assert!(is_json(&body) || !head.contains("json\r\n")),
    }
}
