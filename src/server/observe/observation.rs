//! What one request showed: counted, compared with the shadow, written down and remembered, whatever the protocol
//! and the form it came in. A table comes in parts, as it is predicted; a JSON body is one part.

use hyper::header::HeaderValue;

use super::feedback;
use super::journal::Journal;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::WarningKind;
use crate::model::pipeline::{Decision, Predictions};
use crate::predict::{Part, Summary};
use crate::server::models::served::Served;
use crate::server::state::State;

/// The rows of a request that have been answered so far. Nothing in here waits.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    state: &'a State,
    served: &'a Served,
    id: &'a str,
    decision: Decision,
    n_rows: usize,
    /// Whether this request is one of those that are written down.
    is_noted: bool,
    /// What was predicted; nothing where it is not to be remembered.
    remembered: Option<Vec<f64>>,
}

impl<'a> Observation<'a> {
    /// Nothing seen yet of a request with this id.
    pub(crate) fn new(
        state: &'a State,
        served: &'a Served,
        id: Option<&'a HeaderValue>,
        decision: Decision,
    ) -> Self {
        Self {
            state,
            served,
            id: id.and_then(|id| id.to_str().ok()).unwrap_or_default(),
            decision,
            n_rows: 0,
            is_noted: state.journal.as_ref().is_some_and(Journal::takes_one),
            remembered: state.recent.is_on().then(Vec::new),
        }
    }

    /// Takes the next rows.
    pub(crate) fn rows(&mut self, codes: &Matrix, predictions: &Predictions) {
        self.served.profile.observe(codes, predictions);
        if let Some(shadow) = &self.served.shadow {
            shadow.compare(codes, predictions, self.decision);
        }
        if let (true, Some(journal)) = (self.is_noted, &self.state.journal) {
            journal.note(self.served, self.id, self.n_rows, codes, predictions);
        }
        self.n_rows += codes.n_rows();
        if let Some(values) = &mut self.remembered {
            match predictions.classes.as_slice() {
                [] => values.extend(predictions.scores.rows().map(|scores| scores[0])),
                classes => values.extend(classes.iter().map(|&class| f64::from(class))),
            }
            if self.n_rows > feedback::MAX_ROWS {
                self.remembered = None;
            }
        }
    }

    /// Takes the next rows of a table, whose unusual values have been counted.
    pub(crate) fn part(&mut self, part: &Part) {
        self.rows(part.codes, part.predictions);
        self.warnings(&part.summary);
    }

    /// Counts unusual values.
    fn warnings(&self, summary: &Summary) {
        let counts = &self.served.counts;
        counts.warnings(WarningKind::MissingValue, summary.n_missing);
        counts.warnings(WarningKind::UnseenCategory, summary.n_unseen);
        counts.warnings(WarningKind::OutOfRange, summary.n_out_of_range);
    }
}

impl Drop for Observation<'_> {
    /// The request is at its end, or broken off after what was answered.
    fn drop(&mut self) {
        if self.n_rows > 0 {
            self.served.counts.rows(self.n_rows);
        }
        if let Some(values) = self.remembered.take() {
            self.state.recent.remember(self.id, &self.served.name, values);
        }
    }
}
