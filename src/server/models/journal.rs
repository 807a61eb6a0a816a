//! The prediction log: rows, predictions and request ids as NDJSON, of all requests or a sample, to train and check
//! the next model on. Off by default, since its lines hold the values of features.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::data::cells::matrix::Matrix;
use crate::model::pipeline::Predictions;
use crate::order;
use crate::printable::printable_json;
use crate::server::models::served::Served;
use crate::server::observe::spool::Spool;

/// Rows of one request that are logged; a client that sends more has them itself.
const MAX_ROWS: usize = 100;

/// The prediction log.
#[derive(Debug)]
pub(crate) struct Journal {
    out: Spool,
    /// The share of requests that are logged, from 0 to 1.
    sample: f64,
    requests: AtomicU64,
}

impl Journal {
    /// Logs a share of the requests, spread evenly.
    pub(crate) fn new(out: Spool, sample: f64) -> Self {
        Self { out, sample, requests: AtomicU64::new(0) }
    }

    /// Counts a request, and says whether it is in the sample.
    pub(crate) fn takes_one(&self) -> bool {
        let n = self.requests.fetch_add(1, Relaxed) as f64;
        ((n + 1.0) * self.sample).floor() != (n * self.sample).floor()
    }

    /// Logs rows of codes with their predictions; `n_before` rows of the same request came before them.
    pub(crate) fn note(
        &self,
        served: &Served,
        id: &str,
        n_before: usize,
        codes: &Matrix,
        predictions: &Predictions,
    ) {
        let schema = &served.model.pipeline.schema;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        for row in 0..codes.n_rows().min(MAX_ROWS.saturating_sub(n_before)) {
            let names = schema.features.iter().map(|feature| feature.name.clone());
            let features: serde_json::Map<_, _> = order::map(names.zip(schema.values_of(codes, row)));
            let mut answer = Vec::new();
            served.answers.element(predictions, row, &mut answer);
            let mut line = json!({
                "time": time,
                "request_id": id,
                "row": n_before + row,
                "model": served.name,
                "features": features,
            })
            .to_string();
            // The prediction follows as the last member of the object.
            line.pop();
            line.push_str(",\"answer\":");
            line.push_str(&String::from_utf8_lossy(&answer));
            line.push('}');
            let mut line = printable_json(line);
            line.push('\n');
            self.out.put(line.into_bytes());
        }
    }

    /// Waits until the queued lines are written, for two seconds at most.
    pub(crate) fn finish(&self) {
        self.out.finish();
    }

    /// Lines dropped because the disk was too slow or full.
    pub(crate) fn dropped(&self) -> u64 {
        self.out.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::json;
    use crate::model::pipeline::Decision;
    use crate::server::models::served::tests::{ROW, penguins};

    fn journal(sample: f64) -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::to_file(&dir.path().join("log"), u64::MAX, 1).unwrap();
        (dir, Journal::new(spool, sample))
    }

    #[test]
    fn a_sample_is_spread_evenly() {
        let taken = |sample| {
            let (_dir, journal) = journal(sample);
            (0..12).map(|_| journal.takes_one()).collect::<Vec<_>>()
        };
        assert_eq!(taken(1.0), [true; 12]);
        let quarter = taken(0.25);
        assert!(
            quarter.chunks(4).all(|four| four.iter().filter(|taken| **taken).count() == 1),
            "{quarter:?}"
        );
    }

    #[test]
    fn a_line_holds_the_values_of_a_row_and_its_answer_and_batches_are_cut() {
        let (dir, journal) = journal(1.0);
        let served = Served::new("m", penguins(), Default::default()).unwrap();
        let pipeline = &served.model.pipeline;
        let body = format!("{{\"data\":[{ROW},{ROW}]}}");
        let codes = json::read_request(body.as_bytes(), &pipeline.schema, 10).unwrap().codes;
        let predictions = pipeline.predict(&codes, Decision::MostProbable);
        journal.note(&served, "id", MAX_ROWS - 1, &codes, &predictions);
        journal.finish();
        let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!((&lines[0]["row"], &lines[0]["model"]), (&json!(MAX_ROWS - 1), &json!("m")));
        assert_eq!(lines[0]["features"]["bill_length_mm"], 43.9);
        let mut answer = Vec::new();
        served.answers.element(&predictions, 0, &mut answer);
        assert_eq!(lines[0]["answer"], serde_json::from_slice::<serde_json::Value>(&answer).unwrap());
    }
}
