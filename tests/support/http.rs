//! A server in this process and a client of raw bytes, for tests that send what no HTTP library would.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mlapi::model::Model;
use mlapi::server::{self, Limits, Setup, State};
use tokio::sync::oneshot;

/// Longer than any test should wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server; it is shut down when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Server {
    pub fn start(model: Model, limits: Limits) -> Self {
        Self::of(Arc::new(State::new(Setup::new(model, limits).unwrap()).unwrap()))
    }

    pub fn of(state: Arc<State>) -> Self {
        let runtime = server::runtime(1).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, told) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(server::run(listener, state, async {
                let _ = told.await;
            }))
        });
        Self { address, shutdown: Some(shutdown), thread: Some(thread) }
    }

    pub fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        Client::of(socket)
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect();
        client.write(request(method, path, headers, body.as_ref()));
        client.read()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "")
    }

    /// `POST /predict` with a JSON body.
    pub fn predict(&self, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", "/predict", "Content-Type: application/json\r\n", body)
    }

    /// The value of one line of `GET /metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// Waits until one line of `GET /metrics` has a value.
    pub fn wait_for(&self, name: &str, value: f64) {
        let started = Instant::now();
        while self.metric(name) != value {
            assert!(started.elapsed() < PATIENCE, "{name} is {}, not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tells the server to shut down and does not wait.
    pub fn tell_to_stop(&mut self) {
        let _ = self.shutdown.take().map(|shutdown| shutdown.send(()));
    }

    /// Shuts down and returns how long that took.
    pub fn stop(&mut self) -> Duration {
        let started = Instant::now();
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server thread panicked").unwrap();
        }
        started.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

/// The bytes of a request with a declared length.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn of(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(socket) }
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).unwrap();
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub fn set_write_timeout(&self, timeout: Duration) {
        self.reader.get_ref().set_write_timeout(Some(timeout)).unwrap();
    }

    /// The head of the next answer, an interim one included.
    pub fn read_head(&mut self) -> Reply {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let mut words = line.split(' ');
        let version = words.next().unwrap_or_default();
        assert!(["HTTP/1.1", "HTTP/1.0"].contains(&version), "not an answer: {line:?}");
        let status = words.next().unwrap().parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                return Reply { status, headers, body: Vec::new() };
            };
            headers.insert(name.to_lowercase(), value.to_string());
        }
    }

    /// The next answer with its body.
    pub fn read(&mut self) -> Reply {
        let mut reply = self.read_head();
        let length = reply.header("content-length").parse().expect("a content-length");
        reply.body.resize(length, 0);
        self.reader.read_exact(&mut reply.body).unwrap();
        reply
    }

    /// Everything that comes until the server closes the connection.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.reader.read_to_end(&mut bytes);
        assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
        bytes
    }

    /// Reads at most `n` bytes of a body.
    pub fn read_some(&mut self, n: usize) -> usize {
        self.reader.read(&mut vec![0; n]).unwrap()
    }

    /// Waits for the server to close the connection; nothing more may come before.
    pub fn expect_close(&mut self) {
        match self.reader.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("not closed: {other:?}"),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }

    /// Checks that this is a problem document of `status` and returns it.
    pub fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], "about:blank");
        let text = self.text();
        assert!(!text.contains("src/") && !text.contains("panicked"), "{text}");
        document
    }
}
