//! Logistic regression with an L1 penalty: Newton steps with exact zeros.
//!
//! One score at a time (Friedman, Hastie and Tibshirani 2010, section 4), the loss is replaced by its
//! quadratic at the point, which with the penalty is minimised by coordinate descent; a search along that
//! step keeps the objective falling (Lee, Sun and Saunders 2014, "Proximal Newton-type methods for minimizing
//! composite functions"). It ends when no coefficient's derivative nearest to 0 is larger than `tol`.

use super::coordinate_descent::{ByColumns, ByProducts, Penalty, Quadratic, descend, prefers_products};
use super::gram::products;
use super::logistic_loss::LogisticLoss;
use crate::model::learn::{Unwatched, Watch};
use crate::model::predictor::linear::dot;

/// Least share of a row's weight in the curvature, so that rows that are certain do not make steps endless.
const MIN_CURVATURE: f64 = 1e-10;

/// The share of the largest violation at which the search for a step ends.
const STEP_SHARE: f64 = 0.05;

/// Passes for one step.
const MAX_PASSES: usize = 1000;

/// The share of the descent that the quadratic promises which a step must reach, and halvings until it does.
const SUFFICIENT: f64 = 1e-3;
const MAX_HALVINGS: usize = 30;

/// The point with the least objective, and whether it is one to `tol`.
pub(crate) fn minimise(
    loss: &LogisticLoss,
    tol: f64,
    max_iter: usize,
    watch: &dyn Watch,
) -> (Vec<f64>, bool) {
    let n_scores = loss.n_scores;
    let mut descent = Descent::new(loss);
    for iteration in 0..max_iter {
        // Far more exact than the point is while the classes still move each other.
        let mut violation = 0.0_f64;
        for k in 0..n_scores {
            if watch.stopped() {
                return (descent.point, false);
            }
            violation = violation.max(descent.improve(k, tol));
        }
        watch.progress(iteration as u64, max_iter as u64, format_args!("gradient {violation:.1e}"));
        if violation <= tol && (n_scores == 1 || descent.violation() <= tol) {
            return (descent.point, true);
        }
    }
    (descent.point, false)
}

struct Descent<'a> {
    loss: &'a LogisticLoss<'a>,
    /// All coefficients, then the intercepts.
    point: Vec<f64>,
    /// `n_rows × n_scores`.
    scores: Vec<f64>,
    /// X column by column with a column of ones; empty if products of columns are made.
    columns: Vec<f64>,
    /// The penalty on the coefficients of one score.
    penalty: Penalty,
}

impl<'a> Descent<'a> {
    fn new(loss: &'a LogisticLoss<'a>) -> Self {
        let (n_rows, n_inputs) = (loss.data.x.n_rows(), loss.data.x.n_cols());
        let mut columns = Vec::new();
        if !prefers_products(n_rows, n_inputs + 1) {
            columns = vec![0.0; n_rows * (n_inputs + 1)];
            for (i, row) in loss.data.x.rows().enumerate() {
                row.iter().enumerate().for_each(|(j, v)| columns[j * n_rows + i] = *v);
            }
            columns[n_rows * n_inputs..].fill(f64::from(u8::from(loss.fit_intercept)));
        }
        Self {
            loss,
            point: vec![0.0; loss.n_scores * (n_inputs + 1)],
            scores: vec![0.0; n_rows * loss.n_scores],
            columns,
            penalty: Penalty { n_penalised: n_inputs, ..loss.penalty() },
        }
    }

    /// The largest violation over all scores.
    fn violation(&self) -> f64 {
        let (_, gradient) = self.loss.mean(&self.point);
        let penalty = self.loss.penalty();
        let along = |j: usize| penalty.violation(j, self.point[j], gradient[j]);
        (0..self.point.len()).map(along).fold(0.0, f64::max)
    }

    /// Takes a step with score `k` unless its violation is at most `tol`; returns that before the step.
    fn improve(&mut self, k: usize, tol: f64) -> f64 {
        let loss = self.loss;
        let (n_rows, n_inputs, n_scores) = (loss.data.x.n_rows(), loss.data.x.n_cols(), loss.n_scores);
        let (mut pulls, mut curvatures) = (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
        let mut scores = vec![0.0; n_scores];
        let mut value = 0.0;
        for (row, of_row) in self.scores.chunks_exact(n_scores).enumerate() {
            scores.copy_from_slice(of_row);
            let share = loss.data.weight(row) / loss.weight_sum;
            value += share * loss.differentiate(row, &mut scores);
            // Of p − 1 or p, p (1 − p) is the same.
            let size = scores[k].abs();
            pulls.push(share * scores[k]);
            curvatures.push(share * (size * (1.0 - size)).max(MIN_CURVATURE));
        }
        let mut slopes = vec![0.0; n_inputs + 1];
        for (row, pull) in loss.data.x.rows().zip(&pulls) {
            slopes.iter_mut().zip(row).for_each(|(slope, v)| *slope += pull * v);
        }
        if loss.fit_intercept {
            slopes[n_inputs] = pulls.iter().sum();
        }
        let intercept = n_scores * n_inputs + k;
        let mut w = self.point[k * n_inputs..(k + 1) * n_inputs].to_vec();
        w.push(self.point[intercept]);
        let violations = (0..w.len()).map(|j| self.penalty.violation(j, w[j], slopes[j]));
        let violation = violations.fold(0.0, f64::max);
        if violation <= tol {
            return violation;
        }
        let old = w.clone();
        let slopes_before = slopes.clone();
        if self.columns.is_empty() {
            let fill = |row: usize, out: &mut [f64]| {
                let root = curvatures[row].sqrt();
                out.iter_mut().zip(loss.data.x.row(row)).for_each(|(out, v)| *out = root * v);
                out[n_inputs] = if loss.fit_intercept { root } else { 0.0 };
            };
            let h = products(n_rows, n_inputs + 1, &fill, &Unwatched);
            step(&mut ByProducts::new(h, slopes), &self.penalty, &mut w, violation);
        } else {
            let mut quadratic = ByColumns::new(&self.columns, n_rows, Some(&curvatures), slopes);
            step(&mut quadratic, &self.penalty, &mut w, violation);
        }
        let direction: Vec<f64> = w.iter().zip(&old).map(|(new, old)| new - old).collect();
        let moves: Vec<f64> =
            loss.data.x.rows().map(|row| dot(&direction[..n_inputs], row) + direction[n_inputs]).collect();
        let penalty_before = self.penalty.value(&old);
        let promised = dot(&direction, &slopes_before) + self.penalty.value(&w) - penalty_before;
        let before = value + penalty_before;
        let mut length = 1.0;
        for _ in 0..MAX_HALVINGS {
            let mut after = 0.0;
            for (row, of_row) in self.scores.chunks_exact(n_scores).enumerate() {
                scores.copy_from_slice(of_row);
                scores[k] += length * moves[row];
                after += loss.data.weight(row) / loss.weight_sum * loss.differentiate(row, &mut scores);
            }
            after += self.penalty.value(&w);
            let rounding = 8.0 * f64::EPSILON * before.abs();
            if after <= before + SUFFICIENT * length * promised + rounding {
                break;
            }
            length *= 0.5;
            for ((w, old), d) in w.iter_mut().zip(&old).zip(&direction) {
                *w = old + length * d;
            }
        }
        for (of_row, moved) in self.scores.chunks_exact_mut(n_scores).zip(&moves) {
            of_row[k] += length * moved;
        }
        self.point[k * n_inputs..(k + 1) * n_inputs].copy_from_slice(&w[..n_inputs]);
        self.point[intercept] = w[n_inputs];
        violation
    }
}

/// Approaches the minimum of quadratic and penalty from a point whose largest violation is `violation`.
fn step(quadratic: &mut impl Quadratic, penalty: &Penalty, w: &mut [f64], violation: f64) {
    let mut passes = 0;
    while passes < MAX_PASSES {
        let (pull, n) = descend(quadratic, penalty, w, MAX_PASSES - passes);
        passes += n;
        if pull <= STEP_SHARE * violation {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::dataset::{Dataset, Labels};
    use crate::model::learn::laws::noise;

    /// Three classes that the first two columns almost decide.
    fn classes(x: &Matrix) -> Vec<u32> {
        x.rows().map(|row| if row[0] > 0.4 { 2 } else { u32::from(row[1] > 0.2 * row[2]) }).collect()
    }

    fn loss<'a>(x: &'a Matrix, codes: &'a [u32], n_classes: usize) -> LogisticLoss<'a> {
        let data = Dataset::new(x, Labels::Classes { codes, n_classes });
        LogisticLoss::new(data, (codes, n_classes), 0.3, Some(0.8), true)
    }

    fn objective(loss: &LogisticLoss, point: &[f64]) -> f64 {
        loss.mean(point).0 + loss.penalty().value(&point[..loss.n_coefficients()])
    }

    #[test]
    fn the_objective_falls_with_every_iteration_until_no_coefficient_can_be_improved() {
        let x = noise(200, 6, 3);
        for n_classes in [2, 3] {
            let codes: Vec<u32> = classes(&x).iter().map(|code| code % n_classes).collect();
            let loss = loss(&x, &codes, n_classes as usize);
            let mut last = f64::INFINITY;
            for max_iter in 0..6 {
                let value = objective(&loss, &minimise(&loss, 1e-12, max_iter, &Unwatched).0);
                assert!(value <= last + 1e-15, "{max_iter}: {value} after {last}");
                last = value;
            }
            let (point, converged) = minimise(&loss, 1e-8, 200, &Unwatched);
            assert!(converged);
            let (_, gradient) = loss.mean(&point);
            for (j, (w, slope)) in point.iter().zip(gradient).enumerate() {
                assert!(loss.penalty().violation(j, *w, slope) < 1.1e-8, "{j}");
            }
        }
    }

    #[test]
    fn products_and_columns_find_the_same_minimum() {
        // 20 rows of 19 columns go by products; with 5 useless columns more, by columns.
        let narrow = noise(20, 19, 4);
        let mut wide = Matrix::with_capacity(20, 24);
        narrow.rows().for_each(|row| wide.push_row(0.0)[..19].copy_from_slice(row));
        let codes: Vec<u32> = classes(&narrow).iter().map(|code| code % 2).collect();
        let [a, b] = [&narrow, &wide].map(|x| minimise(&loss(x, &codes, 2), 1e-9, 500, &Unwatched).0);
        assert!(prefers_products(20, 20) && !prefers_products(20, 25));
        assert!(a[..19].iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} and {b:?}");
        assert!(b[19..24] == [0.0; 5] && (a[19] - b[24]).abs() < 1e-6);
    }
}
