//! The work and the memory that a row takes of one model, so that a request is judged by what it causes and not by its
//! length: a body of sixty kilobytes may hold twenty thousand rows, and a row may have five hundred probabilities.
//!
//! Measured once for each model that is loaded; the router asks for each request.

use std::time::{Duration, Instant};

use crate::data::cells::matrix::Matrix;
use crate::model::Model;
use crate::model::pipeline::Decision;
use crate::predict::answer::AnswerWriter;
use crate::server::limits::Limits;

/// Work that the thread of a connection may do for one request: the others of that thread wait for it.
const SMALL: Duration = Duration::from_millis(1);

/// Nanoseconds that writing a number into an answer takes, about.
const WRITE_NANOSECONDS: usize = 50;

/// Measurements, of which the shortest counts: the others were interrupted, or found cold caches.
const N_MEASUREMENTS: usize = 5;

/// What one row takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Bytes of a row's codes and scores and of its part of the answer.
    row_bytes: usize,
    /// Numbers of a row or of its answer, whichever are more.
    width: usize,
    n_outputs: usize,
    n_features: usize,
    /// The rows that are predicted on the thread of a connection.
    small_rows: usize,
}

impl Cost {
    /// Predicts the golden rows of a model.
    pub(crate) fn of(model: &Model, answers: &AnswerWriter) -> Self {
        let pipeline = &model.pipeline;
        let (n_features, n_outputs) = (pipeline.schema.n_features(), pipeline.n_outputs());
        let mut one = Matrix::with_capacity(1, n_features);
        one.push_row(f64::NAN);
        let rows = if model.golden.n_rows() > 0 { &model.golden } else { &one };
        let measure = |_| {
            let started = Instant::now();
            std::hint::black_box(pipeline.predict_serially(rows, Decision::MostProbable));
            started.elapsed()
        };
        let shortest = (0..N_MEASUREMENTS).map(measure).min().unwrap_or_default();
        let per_row = shortest.as_nanos() as usize / rows.n_rows() + WRITE_NANOSECONDS * n_outputs;
        Self {
            row_bytes: 8 * (n_features + n_outputs) + answers.bytes_per_row(),
            width: n_features.max(n_outputs),
            n_outputs,
            n_features,
            small_rows: SMALL.as_nanos() as usize / per_row.max(1),
        }
    }

    /// Number of features.
    pub(crate) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Whether so many rows are predicted on the thread of a connection.
    pub(crate) fn is_small(&self, n_rows: usize) -> bool {
        n_rows <= self.small_rows
    }

    /// The memory that so many rows take until they are answered.
    pub(crate) fn bytes(&self, n_rows: usize) -> usize {
        n_rows.saturating_mul(self.row_bytes)
    }

    /// The row limit of a request whose rows may be as short as `{}`: neither its rows nor its answers may have more
    /// numbers than the limit on cells, nor take more than half of the memory for all requests.
    pub(crate) fn max_rows(&self, limits: &Limits) -> usize {
        self.limited(limits, self.width)
    }

    /// The row limit of a table, whose rows hold every feature, so that the limit on the body is one on their cells.
    pub(crate) fn max_table_rows(&self, limits: &Limits) -> usize {
        self.limited(limits, self.n_outputs)
    }

    fn limited(&self, limits: &Limits, width: usize) -> usize {
        let by_cells = limits.cells / width.max(1);
        let by_memory = limits.held_bytes / 2 / self.row_bytes.max(1);
        limits.rows.min(by_cells).min(by_memory).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::models::served::tests::penguins;

    #[test]
    fn rows_are_limited_by_the_wider_of_row_and_answer_and_by_memory() {
        let model = penguins();
        let cost = Cost::of(&model, &AnswerWriter::new(&model.pipeline));
        assert_eq!((cost.width, cost.n_outputs), (7, 3));
        let limits = Limits { rows: 100, cells: 70, ..Limits::DEFAULT };
        assert_eq!((cost.max_rows(&limits), cost.max_table_rows(&limits)), (10, 23));
        let many = Cost { width: 500, n_outputs: 500, ..cost };
        let limits = Limits { rows: 100, cells: 1000, ..Limits::DEFAULT };
        assert_eq!((many.max_rows(&limits), many.max_table_rows(&limits)), (2, 2));
        let heavy = Cost { row_bytes: 1000, ..cost };
        assert_eq!(heavy.max_rows(&Limits { held_bytes: 20_000, ..Limits::DEFAULT }), 10);
        assert_eq!(heavy.bytes(10), 10_000);
        assert_eq!(cost.max_rows(&Limits::DEFAULT), 100_000, "the default is that of every usual model");
    }

    #[test]
    fn one_row_of_a_usual_model_is_small_and_a_million_are_not() {
        let model = penguins();
        let cost = Cost::of(&model, &AnswerWriter::new(&model.pipeline));
        assert!(cost.is_small(1) && !cost.is_small(1_000_000));
    }
}
