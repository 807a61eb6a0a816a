//! A block of rows on its way from text to predictions to text. Both forms of rows fill it; [`Batch::admit`] is the
//! only place that decides whether a row is predicted, written or skipped.

use std::ops::Range;

use crate::background::give_way_at;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::{MAX_LISTED_PROBLEMS, Problem, Problems};
use crate::data::cells::schema::{Warning, WarningKind};
use crate::model::explain::Explanation;
use crate::model::pipeline::{NOT_FINITE, Pipeline, Predictions};

use super::answer::MAX_LISTED_WARNINGS;
use super::{BadRows, OnError, Options, Summary};

/// A row to write.
pub(super) struct Row {
    /// Its place in the block: of bytes, or of lines.
    pub place: Range<usize>,
    /// Its number among the rows of the block, those that do not fit included.
    pub number: usize,
    /// Its row among the predictions, unless it does not fit.
    pub prediction: Option<usize>,
    /// Whether it is skipped after all, because its prediction is not a number.
    pub skipped: bool,
}

/// Problems of the rows of a block.
#[derive(Default)]
pub(super) struct Found {
    /// The row, counted from the start of the block, and the problem with its pointer within the row.
    listed: Vec<(usize, Problem)>,
    /// The same for people.
    messages: Vec<String>,
    total: usize,
}

impl Found {
    /// How many more may be listed.
    pub(super) fn room(&self) -> usize {
        MAX_LISTED_PROBLEMS - self.listed.len()
    }

    /// Counts problems that are not listed.
    pub(super) fn count(&mut self, n: usize) {
        self.total += n;
    }

    /// The error they make in a block that `n_before` rows stand before; `None` without a problem.
    pub(super) fn take(&mut self, source: &str, n_before: usize) -> Option<BadRows> {
        let Self { listed, messages, total } = std::mem::take(self);
        let mut problems = Problems::default();
        for (row, problem) in listed {
            problems.push(format!("/{}{}", n_before + row, problem.pointer), problem.detail);
        }
        problems.total = total;
        (total > 0).then(|| BadRows { source: source.into(), problems, messages })
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
    pub problems: Found,
    /// One for each row of `codes`.
    pub predictions: Predictions,
    /// Their explanations, if these are wanted.
    pub explanations: Vec<Explanation>,
    pub summary: Summary,
    /// The first warnings; their rows are those of `rows`.
    pub warnings: Vec<Warning>,
    /// The text to write.
    pub out: Vec<u8>,
    /// For rows that are ranked: the index of each row in `rows` that has a text, and the end of the text.
    pub ends: Vec<(usize, usize)>,
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
        self.problems = Found::default();
        self.failure = None;
        self.summary = Summary::default();
        self.warnings.clear();
        self.out.clear();
        self.ends.clear();
    }

    /// Counts a problem of the row being read: its pointer within the row, the fact, and the message for people, which are
    /// made if it is one of the first.
    pub(super) fn add_problem(&mut self, problem: impl FnOnce() -> (String, String, String)) {
        self.problems.count(1);
        if self.problems.room() > 0 {
            let (pointer, detail, message) = problem();
            self.problems.listed.push((self.n_read, Problem { pointer, detail }));
            self.problems.messages.push(message);
        }
    }

    /// Rows read, those that do not fit included.
    pub(super) fn n_read(&self) -> usize {
        self.n_read
    }

    /// Whether the row being read is the first of its block.
    pub(super) fn is_first(&self) -> bool {
        self.n_read == 0
    }

    /// Adds to the last message for people.
    pub(super) fn add_to_last(&mut self, more: impl FnOnce() -> String) {
        if let Some(message) = self.problems.messages.last_mut() {
            message.push_str(&more());
        }
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
            let number = self.n_read - 1;
            self.rows.push(Row { place, number, prediction: fits.then_some(last), skipped: false });
        }
        is_written
    }

    /// Predicts the rows that fit, and counts the unusual values in them. `place` names the place of a row for people.
    pub(super) fn predict(&mut self, pipeline: &Pipeline, options: &Options, place: impl Fn(&Row) -> String) {
        self.predictions = pipeline.predict_serially(&self.codes, options.decision);
        if let Some(first) = self.predictions.first_not_finite() {
            self.reject(first, options.on_error, place);
        }
        // Any row may be among the first of a ranking.
        let most = if options.rank.is_some() { usize::MAX } else { MAX_LISTED_WARNINGS };
        for warning in pipeline.schema.warnings(&self.codes) {
            match warning.kind {
                WarningKind::MissingValue => self.summary.n_missing += 1,
                WarningKind::UnseenCategory => self.summary.n_unseen += 1,
                WarningKind::OutOfRange => self.summary.n_out_of_range += 1,
            }
            if self.warnings.len() < most {
                self.warnings.push(warning);
            }
        }
        if !self.warnings.is_empty() {
            let mut row_of = vec![None; self.codes.n_rows()];
            let written = self.rows.iter().filter(|row| !row.skipped).enumerate();
            written.for_each(|(i, row)| row.prediction.into_iter().for_each(|at| row_of[at] = Some(i)));
            self.warnings.retain_mut(|warning| match row_of[warning.row] {
                Some(row) => {
                    warning.row = row;
                    true
                }
                None => false,
            });
        }
        self.summary.n_rows = self.rows.iter().filter(|row| !row.skipped).count();
    }

    /// Treats rows as not fitting whose predictions are not numbers, the first of which is that of row `first`.
    #[cold]
    fn reject(&mut self, first: usize, on_error: OnError, place: impl Fn(&Row) -> String) {
        if on_error == OnError::Stop {
            // All rows fit until the first that does not, so they are numbered alike.
            let message = format!("{}: {NOT_FINITE}", place(&self.rows[first]));
            let problem = Problem { pointer: String::new(), detail: NOT_FINITE.into() };
            self.problems.count(1);
            self.problems.listed.insert(0, (first, problem));
            self.problems.listed.truncate(MAX_LISTED_PROBLEMS);
            self.problems.messages.insert(0, message);
            self.problems.messages.truncate(MAX_LISTED_PROBLEMS);
            self.summary.n_bad += 1;
            self.rows.truncate(first);
            self.codes.truncate(first);
            self.predictions.truncate(first);
            self.failure = None;
            return;
        }
        for row in &mut self.rows {
            if row.prediction.is_some_and(|row| !self.predictions.is_finite(row)) {
                (row.prediction, row.skipped) = (None, on_error == OnError::Skip);
                self.summary.n_bad += 1;
            }
        }
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
        batch.add_problem(|| ("/a".into(), "why".into(), "line 3: why".into()));
        let bad = batch.problems.take("t.csv", 10).unwrap();
        assert_eq!(bad.problems.listed, [Problem { pointer: "/11/a".into(), detail: "why".into() }]);
        assert_eq!((bad.source.as_str(), bad.to_string().as_str()), ("t.csv", "line 3: why"));
        assert!(batch.problems.take("t.csv", 10).is_none());
    }

    #[test]
    fn the_first_problems_of_a_block_are_listed_and_all_are_counted() {
        let mut batch = Batch::default();
        batch.start(1);
        let mut n_made = 0;
        for _ in 0..5000 {
            batch.add_problem(|| {
                n_made += 1;
                (String::new(), "why".into(), "why".into())
            });
        }
        let bad = batch.problems.take("t.csv", 0).unwrap();
        let listed = (bad.problems.listed.len(), bad.messages.len());
        assert_eq!((bad.problems.total, listed, n_made), (5000, (100, 100), 100));
        assert!(bad.to_string().ends_with("\nand 4980 more"));
    }

    #[test]
    fn a_batch_that_is_started_again_remembers_nothing() {
        let mut batch = Batch::default();
        batch.start(2);
        batch.add_problem(|| (String::new(), "why".into(), "why".into()));
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
