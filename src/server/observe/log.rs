//! The server log: one line per response if the access log is on, and the results of reloads. Never a value of a
//! feature, never a key.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde::Serialize;

use super::spool::Spool;
use crate::printable::{printable_json, printable_line};

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

/// A line of the access log as JSON, its members sorted by name. Each is written straight into the line, while `tracing`
/// collects the fields through a visitor before it writes them: benches/log.rs measures the difference.
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

/// Room for a line as most are, so that it need not grow while it is written.
const LINE_BYTES: usize = 384;

/// A longer method is cut to this; that of no endpoint is longer than 4.
const MAX_METHOD_BYTES: usize = 32;

/// The first bytes of a text, up to a limit, that are whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

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
        let (method, path) = (cut(entry.method, MAX_METHOD_BYTES), cut(entry.path, MAX_PATH_BYTES));
        let status = entry.status.as_u16();
        let &Entry { request_id, traceparent, key, client, model, .. } = entry;
        let mut line = match self.access {
            Access::Off => return,
            Access::Text => {
                let client = client.map_or("-".into(), |client| client.to_string());
                let path = printable_line(path);
                let mut line = String::with_capacity(LINE_BYTES);
                // Writing to memory does not fail.
                let _ = write!(line, "{client} {method} {path} {status} {milliseconds:.3}ms {request_id}");
                line
            }
            Access::Json => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
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
                let mut bytes = Vec::with_capacity(LINE_BYTES);
                // Nor does this.
                let _ = serde_json::to_writer(&mut bytes, &line);
                printable_json(String::from_utf8(bytes).unwrap_or_default())
            }
        };
        line.push('\n');
        out.put(line.into_bytes());
    }

    /// Logs an event of the server as a whole.
    pub fn event(&self, text: &str) {
        let Some(out) = &self.out else { return };
        let line = match self.access {
            Access::Json => printable_json(serde_json::json!({ "event": text }).to_string()),
            _ => format!("mlapi: {}", printable_line(text)),
        };
        out.put(format!("{line}\n").into_bytes());
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
        let line = logged(Access::Text, &"é".repeat(MAX_PATH_BYTES));
        assert!(line.contains(&format!("POST {} 200", "é".repeat(MAX_PATH_BYTES / 2))), "{line}");
        assert_eq!(cut(&"x".repeat(16_000), MAX_METHOD_BYTES).len(), MAX_METHOD_BYTES);
    }

    #[test]
    fn no_character_of_a_path_acts_on_a_terminal() {
        let path = "/\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{2066}\u{61c}\u{2028}é";
        let text = logged(Access::Text, path);
        assert!(
            text.contains(" /\\u{1b}[2J\\u{7f}\\u{9b}2J\\u{202e}\\u{2066}\\u{61c}\\u{2028}é 200 "),
            "{text}"
        );
        let json = logged(Access::Json, path);
        assert!(
            !json.trim_end().contains(['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}']),
            "{json}"
        );
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["path"], path);
    }
}
