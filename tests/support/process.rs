//! `mlapi serve` in a process of its own, and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::workdir::Workdir;

/// A server; it is killed when it is dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    /// Starts the program in `dir` on a free port.
    pub fn start(dir: &Workdir, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_program(dir, env!("CARGO_BIN_EXE_mlapi"), args, environment)
    }

    /// As [`Server::start`], of another program by its path from `dir`.
    pub fn start_program(dir: &Workdir, program: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(dir.path(program))
            .arg("serve")
            .args(args)
            .env("MLAPI_PORT", "0")
            .envs(environment.iter().copied())
            .current_dir(dir.path("."))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("mlapi is listening on http://").expect(&line).to_string();
        Self { child, address }
    }

    /// The whole answer to one request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        socket.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn get(&self, path: &str) -> String {
        self.send("GET", path, "", "")
    }

    pub fn post(&self, path: &str, body: &str) -> String {
        self.send("POST", path, "", body)
    }

    pub fn predict(&self, body: &str) -> String {
        self.post("/predict", body)
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until a line is in `GET /metrics`.
    pub fn wait_for(&self, headers: &str, line: &str) {
        let started = Instant::now();
        loop {
            let metrics = self.send("GET", "/metrics", headers, "");
            if metrics.contains(line) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "no {line} in {metrics}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in order, and gives back what it wrote to standard error.
    pub fn stop(self) -> String {
        self.signal("TERM");
        self.wait().1
    }

    /// The exit status of a server that ends, and what it wrote to standard error.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
