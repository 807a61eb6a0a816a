//! A block of rows on its way from text to predictions to text. Both forms of rows fill it; [`Batch::admit`] is the
//! only place that decides whether a row is predicted, written or skipped.

use std::ops::Range;

use crate::background::give_way_at;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Warning, WarningKind};
use crate::data::read::json::Problem;
use crate::model::pipeline::{Decision, Pipeline, Predictions};

use super::answer::MAX_LISTED_WARNINGS;
use super::{BadRows, OnError, Summary};

/// A row to write.
pub(super) struct Row {
    /// Its place in the block: of bytes, or of lines.
    pub place: Range<usize>,
    /// Its row among the predictions, unless it does not fit.
    pub prediction: Option<usize>,
}

/// Problems of the rows of a block.
#[derive(Default)]
pub(super) struct Problems {
    /// The row, counted from the start of the block, and the problem with its pointer within the row.
    found: Vec<(usize, Problem)>,
    /// The same for people.
    messages: Vec<String>,
}

impl Problems {
    /// The error they make in a block that `n_before` rows stand before; `None` without a problem.
    pub(super) fn take(&mut self, source: &str, n_before: usize) -> Option<BadRows> {
        let Self { found, messages } = std::mem::take(self);
        let pointed = found.into_iter().map(|(row, problem)| Problem {
            pointer: format!("/{}{}", n_before + row, problem.pointer),
            ..problem
        });
        let problems: Vec<Problem> = pointed.collect();
        (!problems.is_empty()).then(|| BadRows { source: source.into(), problems, messages })
    }
}

/// A block of rows; its memory is used again for later blocks.
#[derive(Default)]
pub(super) struct Batch {
    /// `n × n_features` codes of the rows that fit.
    pub codes: Matrix,
    /// The rows to write.
    pub rows: Vec<Row>,
    /// The codes of the row being read; for a form that meets its cells one by one.
    pub row: Vec<f64>,
    /// The places of the kept fields, row after row; for a form that repeats single fields.
    pub fields: Vec<Range<usize>>,
    /// The places of all fields of the row being read.
    pub places: Vec<Range<usize>>,
    /// Whether the row being read does not fit.
    pub bad: bool,
    /// An error that ends the work once the rows before it are written.
    pub failure: Option<anyhow::Error>,
    /// The rows that do not fit.
    pub problems: Problems,
    /// One for each row of `codes`.
    pub predictions: Predictions,
    pub summary: Summary,
    /// The first warnings; their rows are those of `rows`.
    pub warnings: Vec<Warning>,
    /// The text to write.
    pub out: Vec<u8>,
    n_read: usize,
    /// Whether a row did not fit and no more rows are to be written.
    stopped: bool,
}

impl Batch {
    /// Empties the batch for the next block.
    pub(super) fn start(&mut self, n_features: usize) {
        if self.codes.n_cols() != n_features {
            self.codes = Matrix::with_capacity(0, n_features);
        }
        self.codes.clear();
        self.row.clear();
        self.row.resize(n_features, f64::NAN);
        self.rows.clear();
        self.fields.clear();
        self.places.clear();
        (self.bad, self.stopped) = (false, false);
        self.n_read = 0;
        self.problems = Problems::default();
        self.failure = None;
        self.summary = Summary::default();
        self.warnings.clear();
        self.out.clear();
    }

    /// Notes a problem of the row being read. `pointer`: within the row.
    pub(super) fn add_problem(&mut self, pointer: String, detail: String, message: String) {
        self.problems.found.push((self.n_read, Problem { pointer, detail }));
        self.problems.messages.push(message);
    }

    /// Ends the row being read, which stands at `place`; if it `fits`, its codes are the last row of `codes`. Whether
    /// it is to be written.
    pub(super) fn admit(&mut self, place: Range<usize>, fits: bool, on_error: OnError) -> bool {
        self.n_read += 1;
        give_way_at(self.n_read);
        if !fits {
            self.summary.n_bad += 1;
            self.stopped |= on_error == OnError::Stop;
        }
        let last = self.codes.n_rows().saturating_sub(1);
        if self.stopped && fits {
            self.codes.truncate(last);
        }
        let is_written = !self.stopped && (fits || on_error == OnError::Null);
        if is_written {
            self.rows.push(Row { place, prediction: fits.then_some(last) });
        }
        is_written
    }

    /// Predicts the rows that fit, and counts the unusual values in them.
    pub(super) fn predict(&mut self, pipeline: &Pipeline, decision: Decision) {
        self.predictions = pipeline.predict_serially(&self.codes, decision);
        for warning in pipeline.schema.warnings(&self.codes) {
            match warning.kind {
                WarningKind::MissingValue => self.summary.n_missing += 1,
                WarningKind::UnseenCategory => self.summary.n_unseen += 1,
                WarningKind::OutOfRange => self.summary.n_out_of_range += 1,
            }
            if self.warnings.len() < MAX_LISTED_WARNINGS {
                self.warnings.push(warning);
            }
        }
        if !self.warnings.is_empty() {
            let row_of: Vec<usize> =
                (0..self.rows.len()).filter(|&i| self.rows[i].prediction.is_some()).collect();
            self.warnings.iter_mut().for_each(|warning| warning.row = row_of[warning.row]);
        }
        self.summary.n_rows = self.rows.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows by whether they fit, admitted; the code of each is its index.
    fn admitted(fits: &[bool], on_error: OnError) -> Batch {
        let mut batch = Batch::default();
        batch.start(1);
        for (i, &fits) in fits.iter().enumerate() {
            if fits {
                batch.codes.push_row(i as f64);
            }
            batch.admit(i..i, fits, on_error);
        }
        batch
    }

    #[test]
    fn a_row_that_does_not_fit_ends_the_rows_is_skipped_or_has_no_prediction() {
        for (on_error, rows, codes) in [
            (OnError::Stop, vec![(0, Some(0))], vec![0.0]),
            (OnError::Skip, vec![(0, Some(0)), (2, Some(1)), (3, Some(2))], vec![0.0, 2.0, 3.0]),
            (
                OnError::Null,
                vec![(0, Some(0)), (1, None), (2, Some(1)), (3, Some(2)), (4, None)],
                vec![0.0, 2.0, 3.0],
            ),
        ] {
            let batch = admitted(&[true, false, true, true, false], on_error);
            let found: Vec<_> = batch.rows.iter().map(|row| (row.place.start, row.prediction)).collect();
            assert_eq!(found, rows, "{on_error:?}");
            assert_eq!((batch.codes.values(), batch.summary.n_bad), (codes.as_slice(), 2), "{on_error:?}");
        }
    }

    #[test]
    fn problems_point_to_rows_of_the_whole_input_and_are_taken_once() {
        let mut batch = Batch::default();
        batch.start(1);
        batch.codes.push_row(0.0);
        batch.admit(0..0, true, OnError::Stop);
        batch.add_problem("/a".into(), "why".into(), "line 3: why".into());
        let bad = batch.problems.take("t.csv", 10).unwrap();
        assert_eq!(bad.problems, [Problem { pointer: "/11/a".into(), detail: "why".into() }]);
        assert_eq!((bad.source.as_str(), bad.to_string().as_str()), ("t.csv", "line 3: why"));
        assert!(batch.problems.take("t.csv", 10).is_none());
    }

    #[test]
    fn a_batch_that_is_started_again_remembers_nothing() {
        let mut batch = Batch::default();
        batch.start(2);
        batch.add_problem(String::new(), "why".into(), "why".into());
        batch.admit(0..1, false, OnError::Stop);
        batch.row[1] = 7.0;
        batch.out.push(b'x');
        batch.start(2);
        assert!(batch.problems.take("t.csv", 0).is_none() && batch.out.is_empty() && batch.row[1].is_nan());
        batch.codes.push_row(1.0);
        assert!(batch.admit(0..1, true, OnError::Stop), "the stop is forgotten as well");
        assert_eq!((batch.summary.n_bad, batch.rows.len()), (0, 1));
    }
}
