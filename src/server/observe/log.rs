//! The server log: one line per response if the access log is on, and the results of reloads. Never a value of a
//! feature, never a key.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde::Serialize;

use super::spool::Spool;

/// The format of the access log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// No access log.
    #[default]
    Off,
    /// One JSON object per line.
    Json,
    /// One line for people.
    Text,
}

/// The server log.
#[derive(Debug, Default)]
pub struct Log {
    access: Access,
    out: Option<Spool>,
}

/// One response in the access log.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The path as the client wrote it, without the query.
    pub path: &'a str,
    /// The status of the response.
    pub status: StatusCode,
    /// The time from the head of the request to the response.
    pub took: Duration,
    /// The request's id.
    pub request_id: &'a str,
    /// The `traceparent` of the request.
    pub traceparent: Option<&'a str>,
    /// The name of the API key.
    pub key: Option<&'a str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The model that answered.
    pub model: Option<&'a str>,
}

/// A line of the access log as JSON, its members sorted by name. That each is written straight into the line is why
/// this costs less than `tracing`, which formats the fields twice: see benches/log.rs.
#[derive(Serialize)]
struct Line<'a> {
    client: Option<IpAddr>,
    key: Option<&'a str>,
    method: &'a str,
    milliseconds: f64,
    model: Option<&'a str>,
    path: &'a str,
    request_id: &'a str,
    status: u16,
    /// Seconds since 1970 UTC.
    time: f64,
    traceparent: Option<&'a str>,
}

/// A longer path is cut to this.
const MAX_PATH_BYTES: usize = 256;

impl Log {
    /// A log whose lines go to `out`.
    pub fn new(access: Access, out: Spool) -> Self {
        Self { access, out: Some(out) }
    }

    /// Whether the access log is on.
    pub fn is_on(&self) -> bool {
        self.access != Access::Off && self.out.is_some()
    }

    /// Logs a response, if the access log is on.
    pub fn answered(&self, entry: &Entry) {
        let Some(out) = &self.out else { return };
        let milliseconds = entry.took.as_secs_f64() * 1e3;
        // hyper accepts only ASCII paths.
        let path = entry.path.get(..MAX_PATH_BYTES).unwrap_or(entry.path);
        let mut line: Vec<u8> = match self.access {
            Access::Off => return,
            Access::Text => {
                let client = entry.client.map_or("-".into(), |client| client.to_string());
                let (method, status, id) = (entry.method, entry.status.as_u16(), entry.request_id);
                format!("{client} {method} {path} {status} {milliseconds:.3}ms {id}").into_bytes()
            }
            Access::Json => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
                let status = entry.status.as_u16();
                let &Entry { method, request_id, traceparent, key, client, model, .. } = entry;
                let line = Line {
                    client,
                    key,
                    method,
                    milliseconds,
                    model,
                    path,
                    request_id,
                    status,
                    time,
                    traceparent,
                };
                serde_json::to_vec(&line).unwrap_or_default()
            }
        };
        line.push(b'\n');
        out.put(line);
    }

    /// Logs an event of the server as a whole.
    pub fn event(&self, text: &str) {
        let Some(out) = &self.out else { return };
        let line = match self.access {
            Access::Json => format!("{}\n", serde_json::json!({ "event": text })),
            _ => format!("mlapi: {text}\n"),
        };
        out.put(line.into_bytes());
    }

    /// Waits until the queued lines are written, for two seconds at most.
    pub fn finish(&self) {
        self.out.iter().for_each(Spool::finish);
    }

    /// Lines dropped because their output did not take them.
    pub fn dropped(&self) -> u64 {
        self.out.as_ref().map_or(0, Spool::dropped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn logged(access: Access, path: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let log = Log::new(access, Spool::to_file(&file, u64::MAX, 1).unwrap());
        log.answered(&Entry {
            method: "POST",
            path,
            status: StatusCode::OK,
            took: Duration::from_micros(1500),
            request_id: "r1",
            traceparent: None,
            key: Some("shop"),
            client: Some([127, 0, 0, 1].into()),
            model: Some("iris"),
        });
        log.finish();
        std::fs::read_to_string(&file).unwrap()
    }

    #[test]
    fn one_line_is_written_per_response_in_the_format_that_is_asked_for() {
        assert_eq!(logged(Access::Off, "/predict"), "");
        assert_eq!(logged(Access::Text, "/predict"), "127.0.0.1 POST /predict 200 1.500ms r1\n");
        let line: serde_json::Value = serde_json::from_str(&logged(Access::Json, "/predict")).unwrap();
        assert_eq!((&line["status"], &line["milliseconds"]), (&json!(200), &json!(1.5)));
        assert_eq!(
            (&line["key"], &line["model"], &line["client"]),
            (&json!("shop"), &json!("iris"), &json!("127.0.0.1"))
        );
    }

    #[test]
    fn a_long_path_is_cut() {
        let line: serde_json::Value =
            serde_json::from_str(&logged(Access::Json, &"/x".repeat(MAX_PATH_BYTES))).unwrap();
        assert_eq!(line["path"].as_str().unwrap().len(), MAX_PATH_BYTES);
    }
}
