//! Predictions written down: rows, answers and request ids as NDJSON, all of them or a sample, to train and
//! to check the next model on. Only where it is asked for: these lines hold the values of features.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::spool::Spool;
use crate::data::cells::matrix::Matrix;
use crate::model::pipeline::Predictions;
use crate::server::models::served::Served;

/// Rows of one request that are written down; more come from batches, which whoever sent them has.
const MAX_ROWS: usize = 100;

/// Where predictions are written down.
#[derive(Debug)]
pub(crate) struct Journal {
    out: Spool,
    /// The share of requests, from 0 to 1.
    sample: f64,
    requests: AtomicU64,
}

impl Journal {
    /// Writes down a share of the requests, spread evenly.
    pub(crate) fn new(out: Spool, sample: f64) -> Self {
        Self { out, sample, requests: AtomicU64::new(0) }
    }

    /// Whether the next request is one of the sample.
    pub(crate) fn takes_one(&self) -> bool {
        let n = self.requests.fetch_add(1, Relaxed) as f64;
        ((n + 1.0) * self.sample).floor() != (n * self.sample).floor()
    }

    /// Writes down rows of codes and what was answered; there are `n_before` rows before them in the request.
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
            let features: serde_json::Map<_, _> = names.zip(schema.values_of(codes, row)).collect();
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
            // One object: the members of the answer follow.
            line.pop();
            line.push_str(",\"answer\":");
            line.push_str(&String::from_utf8_lossy(&answer));
            line.push_str("}\n");
            self.out.put(line.into_bytes());
        }
    }

    /// Waits until what was noted is written, but not for long.
    pub(crate) fn finish(&self) {
        self.out.finish();
    }

    /// Lines that were dropped because the disk was too slow or full.
    pub(crate) fn dropped(&self) -> u64 {
        self.out.dropped()
    }
}
