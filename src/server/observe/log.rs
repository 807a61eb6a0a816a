//! What the server says while it runs: one line an answer where that is wanted, and what became of reloads.
//! Never a value of a feature, never a key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde_json::json;

use super::spool::Spool;

/// How answers are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Not at all.
    #[default]
    Off,
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    access: Access,
    out: Option<Spool>,
}

/// An answer.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Its path as the client wrote it, without the query.
    pub path: &'a str,
    /// The status of the answer.
    pub status: StatusCode,
    /// From the head of the request to the answer.
    pub took: Duration,
    /// The request's id.
    pub request_id: &'a str,
    /// The trace it is part of.
    pub traceparent: Option<&'a str>,
    /// Whose key it showed.
    pub key: Option<&'a str>,
    /// Where it came from.
    pub client: Option<std::net::IpAddr>,
    /// The model that answered.
    pub model: Option<&'a str>,
}

/// A longer path is cut: a line has to fit.
const MAX_PATH_BYTES: usize = 256;

impl Log {
    /// A log whose lines go to `out`.
    pub fn new(access: Access, out: Spool) -> Self {
        Self { access, out: Some(out) }
    }

    /// Whether answers are logged.
    pub fn is_on(&self) -> bool {
        self.access != Access::Off && self.out.is_some()
    }

    /// Logs an answer.
    pub fn answered(&self, entry: &Entry) {
        let Some(out) = &self.out else { return };
        let milliseconds = entry.took.as_secs_f64() * 1e3;
        // hyper lets no path through that is not ASCII.
        let path = entry.path.get(..MAX_PATH_BYTES).unwrap_or(entry.path);
        let mut line = match self.access {
            Access::Off => return,
            Access::Text => {
                let client = entry.client.map_or("-".into(), |client| client.to_string());
                let (method, status, id) = (entry.method, entry.status.as_u16(), entry.request_id);
                format!("{client} {method} {path} {status} {milliseconds:.3}ms {id}")
            }
            Access::Json => json!({
                "time": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
                "method": entry.method,
                "path": path,
                "status": entry.status.as_u16(),
                "milliseconds": milliseconds,
                "request_id": entry.request_id,
                "traceparent": entry.traceparent,
                "key": entry.key,
                "client": entry.client,
                "model": entry.model,
            })
            .to_string(),
        };
        line.push('\n');
        out.put(line.into_bytes());
    }

    /// Logs what happened to the server as a whole.
    pub fn event(&self, text: &str) {
        let Some(out) = &self.out else { return };
        let line = match self.access {
            Access::Json => json!({ "event": text }).to_string(),
            _ => format!("mlapi: {text}"),
        };
        out.put(format!("{line}\n").into_bytes());
    }

    /// Waits until what was said is written, but not for long.
    pub fn finish(&self) {
        self.out.iter().for_each(Spool::finish);
    }

    /// Lines that were dropped because standard error did not take them.
    pub fn dropped(&self) -> u64 {
        self.out.as_ref().map_or(0, Spool::dropped)
    }
}
