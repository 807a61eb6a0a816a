//! The objective of logistic regression: mean weighted log loss of linear scores, and a penalty.
//!
//! `logistic` minimises it by L-BFGS, `proximal_newton` by Newton steps.

use std::ops::Range;

use super::coordinate_descent::Penalty;
use super::gram::{SquareMatrix, products};
use crate::model::learn::Unwatched;
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
        let fill = |row: usize, out: &mut [f64]| {
            let root = (self.data.weight(row) / self.weight_sum).sqrt();
            out.iter_mut().zip(self.data.x.row(row)).for_each(|(out, v)| *out = root * v);
            out[n_inputs] = if self.fit_intercept { root } else { 0.0 };
        };
        let mut moments = products(self.data.x.n_rows(), n_inputs + 1, &fill, &Unwatched);
        if !self.fit_intercept {
            moments.values[n_inputs * (n_inputs + 2)] = 1.0;
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::dataset::Labels;
    use crate::model::learn::laws::{noise, select};

    const N_INPUTS: usize = 3;

    /// Rows of more than one block, with weights of which some are 0.
    fn rows() -> (Matrix, Vec<f64>) {
        let n = 2 * BLOCK_ROWS + 40;
        (noise(n, N_INPUTS, 5), (0..n).map(|row| [1.0, 2.5, 0.0, 0.5][row % 4]).collect())
    }

    /// Acts on the loss of `n_classes` with and without weights, penalty and intercepts, at some point.
    fn each(n_classes: usize, act: impl Fn(&LogisticLoss, &[f64])) {
        let (x, weights) = rows();
        let codes: Vec<u32> = (0..x.n_rows() as u32).map(|row| row * 7 % 11 % n_classes as u32).collect();
        let y = Labels::Classes { codes: &codes, n_classes };
        let n_scores = if n_classes == 2 { 1 } else { n_classes };
        let point = noise(1, n_scores * (N_INPUTS + 1), 9);
        for weights in [None, Some(&weights[..])] {
            for l1_share in [None, Some(0.0), Some(0.5)] {
                for fit_intercept in [true, false] {
                    let data = Dataset { weights, ..Dataset::new(&x, y) };
                    // A small C, so that the penalty is not lost beside the loss.
                    let loss = LogisticLoss::new(data, (&codes, n_classes), 1e-3, l1_share, fit_intercept);
                    assert_eq!(loss.n_coefficients(), n_scores * N_INPUTS);
                    act(&loss, point.row(0));
                }
            }
        }
    }

    #[test]
    fn the_gradient_equals_central_differences() {
        for n_classes in [2, 3, 4] {
            each(n_classes, |loss, point| {
                type Part<'a> = &'a dyn Fn(&[f64]) -> (f64, Vec<f64>);
                let parts: [Part; 2] = [&|at| loss.mean(at), &|at| loss.smooth(at)];
                for part in parts {
                    let gradient = part(point).1;
                    assert_eq!(gradient.len(), point.len());
                    for (j, slope) in gradient.iter().enumerate() {
                        let at = |step: f64| {
                            let mut nudged = point.to_vec();
                            nudged[j] += step;
                            part(&nudged).0
                        };
                        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                        if j >= loss.n_coefficients() && !loss.fit_intercept {
                            assert_eq!(*slope, 0.0, "an intercept stays where it is");
                        } else {
                            assert!(
                                (slope - difference).abs() < 1e-8,
                                "{n_classes} {j}: {slope} {difference}"
                            );
                        }
                    }
                }
            });
        }
    }

    #[test]
    fn at_0_every_class_is_as_probable_and_the_loss_is_the_logarithm_of_their_number() {
        for n_classes in [2, 3, 4] {
            each(n_classes, |loss, point| {
                let (value, _) = loss.smooth(&vec![0.0; point.len()]);
                assert!((value - (n_classes as f64).ln()).abs() < 1e-12, "{n_classes}: {value}");
            });
        }
    }

    #[test]
    fn a_penalty_is_split_by_its_share_and_falls_as_c_and_the_weights_grow() {
        let (x, weights) = rows();
        let codes = vec![0; x.n_rows()];
        let data = Dataset {
            weights: Some(&weights),
            ..Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 })
        };
        let of = |share| LogisticLoss::new(data, (&codes, 2), 4.0, share, true);
        let strength = 1.0 / (4.0 * weights.iter().sum::<f64>());
        for (share, l1, l2) in
            [(None, 0.0, 0.0), (Some(0.0), 0.0, 1.0), (Some(1.0), 1.0, 0.0), (Some(0.25), 0.25, 0.75)]
        {
            let loss = of(share);
            assert!(
                (loss.l1 - l1 * strength).abs() < 1e-18 && (loss.l2 - l2 * strength).abs() < 1e-18,
                "{share:?}"
            );
        }
    }

    #[test]
    fn a_weight_is_that_many_rows_and_rows_are_summed_to_the_same_in_any_blocks() {
        let (x, _) = rows();
        let codes: Vec<u32> = (0..x.n_rows() as u32).map(|row| row % 3).collect();
        let weights: Vec<f64> = (0..x.n_rows()).map(|row| (row % 3) as f64).collect();
        let repeat: Vec<usize> = (0..x.n_rows()).flat_map(|row| vec![row; row % 3]).collect();
        let repeated = select(&x, &repeat);
        let repeated_codes: Vec<u32> = repeat.iter().map(|&row| codes[row]).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 3 };
        let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, y) };
        let plain = Dataset::new(&repeated, Labels::Classes { codes: &repeated_codes, n_classes: 3 });
        let point = noise(1, 3 * (N_INPUTS + 1), 2);
        let a = LogisticLoss::new(weighted, (&codes, 3), 1.0, Some(0.5), true);
        let b = LogisticLoss::new(plain, (&repeated_codes, 3), 1.0, Some(0.5), true);
        let ((loss, gradient), (other, of_other)) = (a.smooth(point.row(0)), b.smooth(point.row(0)));
        assert!((loss - other).abs() < 1e-12);
        assert!(gradient.iter().zip(&of_other).all(|(a, b)| (a - b).abs() < 1e-12));
        let (moments, of_other) = (a.second_moments(), b.second_moments());
        assert!(moments.values.iter().zip(&of_other.values).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn second_moments_are_those_of_the_rows_with_a_1_behind() {
        let x = noise(30, 2, 4);
        let codes = vec![0; 30];
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let mean = |of: &dyn Fn(&[f64]) -> f64| x.rows().map(of).sum::<f64>() / 30.0;
        let with = LogisticLoss::new(data, (&codes, 2), 1.0, None, true).second_moments().values;
        let without = LogisticLoss::new(data, (&codes, 2), 1.0, None, false).second_moments().values;
        for i in 0..2 {
            for j in 0..=i {
                let wanted = mean(&|row| row[i] * row[j]);
                assert!(
                    (with[i * 3 + j] - wanted).abs() < 1e-12 && (without[i * 3 + j] - wanted).abs() < 1e-12
                );
            }
            assert!((with[6 + i] - mean(&|row| row[i])).abs() < 1e-12);
            assert_eq!(without[6 + i], 0.0);
        }
        assert!((with[8] - 1.0).abs() < 1e-12);
        assert_eq!(without[8], 1.0, "so that it can be inverted");
    }
}
