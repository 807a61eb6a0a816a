//! The objective of logistic regression: mean weighted log loss of linear scores, and a penalty.
//!
//! `logistic` minimises it by L-BFGS, `proximal_newton` by Newton steps.

use std::ops::Range;

use super::coordinate_descent::Penalty;
use super::gram::{SquareMatrix, products};
use crate::model::learn::dataset::{Dataset, sum_by_blocks};
use crate::model::predictor::linear::dot;
use crate::model::predictor::link::{logistic_loss, softmax};

/// Fewest rows that are summed up together.
const BLOCK_ROWS: usize = 256;

/// Mean weighted log loss + penalty: scikit-learn's objective divided by C Σ weights.
///
/// A point is all coefficients (`n_scores × n_inputs`), then the intercepts.
pub(crate) struct LogisticLoss<'a> {
    /// The rows and their weights.
    pub data: Dataset<'a>,
    /// The class of each row.
    pub codes: &'a [u32],
    /// Σ weights.
    pub weight_sum: f64,
    /// One per class, or 1 for two classes.
    pub n_scores: usize,
    /// Strength of the absolute values in the penalty.
    pub l1: f64,
    /// Strength of the squares in the penalty.
    pub l2: f64,
    /// Whether there are intercepts; without, their derivatives are 0.
    pub fit_intercept: bool,
}

impl<'a> LogisticLoss<'a> {
    /// The loss of the classes `codes`; `c` is scikit-learn's `C`, and `l1_share` the share of the penalty
    /// that falls on absolute values, `None` for no penalty.
    pub(crate) fn new(
        data: Dataset<'a>,
        (codes, n_classes): (&'a [u32], usize),
        c: f64,
        l1_share: Option<f64>,
        fit_intercept: bool,
    ) -> Self {
        let weight_sum = data.weight_sum();
        let strength = 1.0 / (c * weight_sum);
        let (l1, l2) = l1_share.map_or((0.0, 0.0), |share| (share * strength, (1.0 - share) * strength));
        let n_scores = if n_classes == 2 { 1 } else { n_classes };
        Self { data, codes, weight_sum, n_scores, l1, l2, fit_intercept }
    }

    /// Replaces the scores of a row by the derivatives of its loss, and returns that; both not weighted.
    pub(crate) fn differentiate(&self, row: usize, scores: &mut [f64]) -> f64 {
        let class = self.codes[row] as usize;
        if self.n_scores > 1 {
            let true_score = scores[class];
            let loss = softmax(scores) - true_score;
            scores[class] -= 1.0;
            return loss;
        }
        let (loss, probability) = logistic_loss(scores[0], class == 1);
        scores[0] = probability - class as f64;
        loss
    }

    /// Adds the loss of some rows; `gradient` has the layout of `point`.
    fn add_rows(&self, point: &[f64], rows: Range<usize>, gradient: &mut [f64]) -> f64 {
        let n_inputs = self.data.x.n_cols();
        let (coefficients, intercepts) = point.split_at(self.n_scores * n_inputs);
        let (by_coefficient, by_intercept) = gradient.split_at_mut(self.n_scores * n_inputs);
        let mut scores = vec![0.0; self.n_scores];
        let mut loss = 0.0;
        for row in rows {
            let x = self.data.x.row(row);
            let weight = self.data.weight(row);
            for (k, score) in scores.iter_mut().enumerate() {
                *score = dot(&coefficients[k * n_inputs..(k + 1) * n_inputs], x) + intercepts[k];
            }
            loss += weight * self.differentiate(row, &mut scores);
            for (k, residual) in scores.iter().enumerate() {
                let pull = weight * residual;
                by_intercept[k] += pull;
                for (g, v) in by_coefficient[k * n_inputs..(k + 1) * n_inputs].iter_mut().zip(x) {
                    *g += pull * v;
                }
            }
        }
        loss
    }

    /// The mean loss, and its gradient by coefficients and intercepts; no penalty yet.
    pub(crate) fn mean(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let n = point.len();
        // The loss is summed up behind the gradient.
        let mut gradient = sum_by_blocks(self.data.x.n_rows(), BLOCK_ROWS, n + 1, &|rows, sums| {
            sums[n] = self.add_rows(point, rows, &mut sums[..n]);
        });
        let loss = gradient.pop().unwrap_or_default();
        gradient.iter_mut().for_each(|g| *g /= self.weight_sum);
        if !self.fit_intercept {
            gradient[self.n_coefficients()..].fill(0.0);
        }
        (loss / self.weight_sum, gradient)
    }

    /// Number of coefficients of all scores.
    pub(crate) fn n_coefficients(&self) -> usize {
        self.n_scores * self.data.x.n_cols()
    }

    /// The penalty on the coefficients of all scores.
    pub(crate) fn penalty(&self) -> Penalty {
        Penalty { l1: self.l1, l2: self.l2, n_penalised: self.n_coefficients() }
    }

    /// The objective without its L1 part, and its gradient.
    pub(crate) fn smooth(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = self.mean(point);
        let coefficients = &point[..self.n_coefficients()];
        gradient.iter_mut().zip(coefficients).for_each(|(g, w)| *g += self.l2 * w);
        loss += self.l2 / 2.0 * dot(coefficients, coefficients);
        (loss, gradient)
    }

    /// Σ weight · z zᵀ / Σ weights of the rows z with a 1 behind for the intercept.
    pub(crate) fn second_moments(&self) -> SquareMatrix {
        let n_inputs = self.data.x.n_cols();
        let mut moments = products(self.data.x.n_rows(), n_inputs + 1, &|row, out| {
            let root = (self.data.weight(row) / self.weight_sum).sqrt();
            out.iter_mut().zip(self.data.x.row(row)).for_each(|(out, v)| *out = root * v);
            out[n_inputs] = if self.fit_intercept { root } else { 0.0 };
        });
        if !self.fit_intercept {
            moments.values[n_inputs * (n_inputs + 2)] = 1.0;
        }
        moments
    }
}
