//! Linear models on sparse columns, which texts become: called by `logistic`, `least_squares` and `lasso`.
//!
//! Scores go by rows and the gradient by columns, so neither is ever summed up from parts and the result does
//! not depend on how many threads share the work. The minimum is found by L-BFGS with the diagonal of the
//! curvature, with an L1 penalty too.

use rayon::prelude::*;

use super::lbfgs::{Absolute, minimise};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::sparse::Sparse;
use crate::model::learn::Watch;
use crate::model::learn::dataset::Dataset;
use crate::model::predictor::Predictor;
use crate::model::predictor::linear::Linear;
use crate::model::predictor::link::Link;

/// Rows, and columns, that a thread takes at a time.
const BLOCK: usize = 128;

/// A mean loss of linear scores, with a penalty on the coefficients.
///
/// A point is one row of scores' coefficients per input, then the intercepts.
pub(crate) struct SparseLoss<'a> {
    /// Scores per row.
    pub n_scores: usize,
    /// Strength of the penalty on absolute values, added to the mean loss.
    pub l1: f64,
    /// Whether there are intercepts.
    pub fit_intercept: bool,
    /// Upper bound of the curvature of a row's loss, for each score.
    pub curvature: f64,
    /// The share of a row's loss in the mean.
    pub share: &'a (dyn Fn(usize) -> f64 + Sync),
    /// Replaces the scores of a row by the derivatives of its loss, and returns that.
    pub differentiate: &'a (dyn Fn(usize, &mut [f64]) -> f64 + Sync),
}

/// Limits of the search.
pub(crate) struct Limits {
    /// Largest slope at the end.
    pub tol: f64,
    /// Most steps.
    pub max_steps: usize,
    /// The name of the loss in progress messages.
    pub name: &'static str,
}

impl SparseLoss<'_> {
    /// The minimum as a predictor with `link`, and whether it was reached, for each strength of the penalty on squares.
    /// Each search begins at the minimum before, so a path goes from strong to weak. Fewer if `watch` stops it.
    pub(crate) fn minimise(
        &self,
        data: &Dataset,
        link: Link,
        l2: &[f64],
        limits: &Limits,
        watch: &dyn Watch,
    ) -> Vec<(Predictor, bool)> {
        let rows = all_columns(data.x);
        let columns = rows.transposed();
        let (k, n_inputs) = (self.n_scores, rows.n_cols());
        let mut start = vec![0.0; (n_inputs + 1) * k];
        let absolute = Absolute { l1: self.l1, n_penalised: if self.l1 > 0.0 { n_inputs * k } else { 0 } };
        let mut minima = Vec::with_capacity(l2.len());
        for &l2 in l2 {
            if !minima.is_empty() && watch.stopped() {
                break;
            }
            let inverse = self.inverse_curvature(&columns, l2);
            let mut visits = 0;
            let mut evaluate = |point: &[f64]| {
                if watch.stopped() {
                    return None;
                }
                let found = self.evaluate(&rows, &columns, l2, point);
                visits += 1;
                let state = format_args!("{} {:.6}", limits.name, found.0);
                watch.progress(visits, limits.max_steps as u64, state);
                Some(found)
            };
            let precondition = |v: &[f64]| -> Vec<f64> {
                v.chunks_exact(k)
                    .zip(&inverse)
                    .flat_map(|(v, inverse)| v.iter().map(move |v| v * inverse))
                    .collect()
            };
            let found = minimise(start, absolute, &mut evaluate, &precondition, limits.tol, limits.max_steps);
            let (by_input, intercepts) = found.point.split_at(n_inputs * k);
            let of_score = |score: usize| by_input.iter().skip(score).step_by(k).copied();
            let coefficients = (0..k).flat_map(of_score).collect();
            let linear = Linear::new(link, n_inputs, coefficients, intercepts.to_vec());
            minima.push((Predictor::Linear(linear), found.converged));
            start = found.point;
        }
        minima
    }

    fn evaluate(&self, rows: &Sparse, columns: &Sparse, l2: f64, point: &[f64]) -> (f64, Vec<f64>) {
        let (k, n_inputs) = (self.n_scores, rows.n_cols());
        let (by_input, intercepts) = point.split_at(n_inputs * k);
        let mut pulls = vec![0.0; rows.n_rows() * k];
        let of_rows = |(block, pulls): (usize, &mut [f64])| -> f64 {
            let of_row = |(i, scores): (usize, &mut [f64])| {
                let row = block * BLOCK + i;
                scores.copy_from_slice(intercepts);
                let (inputs, values) = rows.row(row);
                for (&input, value) in inputs.iter().zip(values) {
                    let of_input = &by_input[input as usize * k..][..k];
                    scores.iter_mut().zip(of_input).for_each(|(score, w)| *score += w * value);
                }
                let share = (self.share)(row);
                let loss = (self.differentiate)(row, scores);
                scores.iter_mut().for_each(|pull| *pull *= share);
                share * loss
            };
            pulls.chunks_exact_mut(k).enumerate().map(of_row).sum()
        };
        let losses: Vec<f64> = pulls.par_chunks_mut(BLOCK * k).enumerate().map(of_rows).collect();
        let mut gradient = vec![0.0; point.len()];
        let (of_inputs, of_intercepts) = gradient.split_at_mut(n_inputs * k);
        of_inputs.par_chunks_mut(BLOCK * k).enumerate().for_each(|(block, gradient)| {
            for (i, gradient) in gradient.chunks_exact_mut(k).enumerate() {
                let (of_column, values) = columns.row(block * BLOCK + i);
                for (&row, value) in of_column.iter().zip(values) {
                    let pulls = &pulls[row as usize * k..][..k];
                    gradient.iter_mut().zip(pulls).for_each(|(g, pull)| *g += pull * value);
                }
                let w = &by_input[(block * BLOCK + i) * k..][..k];
                gradient.iter_mut().zip(w).for_each(|(g, w)| *g += l2 * w);
            }
        });
        if self.fit_intercept {
            for pulls in pulls.chunks_exact(k) {
                of_intercepts.iter_mut().zip(pulls).for_each(|(g, pull)| *g += pull);
            }
        }
        let penalty: f64 = by_input.iter().map(|w| w * w).sum();
        (losses.iter().sum::<f64>() + l2 / 2.0 * penalty, gradient)
    }

    /// One over the diagonal of the curvature, for each input and the intercept.
    fn inverse_curvature(&self, columns: &Sparse, l2: f64) -> Vec<f64> {
        let of_column = |column: usize| {
            let (rows, values) = columns.row(column);
            let terms = rows.iter().zip(values).map(|(&row, v)| (self.share)(row as usize) * v * v);
            self.curvature * terms.sum::<f64>() + l2
        };
        let mut diagonal: Vec<f64> = (0..columns.n_rows()).map(of_column).collect();
        diagonal.push(self.curvature);
        let mean = diagonal.iter().sum::<f64>() / diagonal.len() as f64;
        // Not 0 if an input is always 0 and nothing is penalised.
        diagonal.iter().map(|d| 1.0 / (d + 1e-6 * mean)).collect()
    }
}

/// The ordinary columns and behind them the sparse ones, all of them sparse.
fn all_columns(x: &Matrix) -> Sparse {
    let (n_dense, sparse) = (x.n_cols(), x.sparse());
    let mut rows = Sparse::new(n_dense + sparse.n_cols());
    for (i, dense) in x.rows().enumerate() {
        for (column, &value) in dense.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            rows.push(column as u32, value);
        }
        let (columns, values) = sparse.row(i);
        columns.iter().zip(values).for_each(|(&column, &value)| rows.push(n_dense as u32 + column, value));
        rows.end_row();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::{Labels, Spec, Unwatched, algorithm};
    use crate::model::predictor::{Arrays, take_f64};

    /// The same numbers as ordinary columns, and with all but the first as sparse ones.
    fn tables() -> (Matrix, Matrix) {
        // No two columns alike, so that an L1 penalty has one solution.
        let value = |i: usize, j: usize| match (i + 1) * (i + 3 * j + 7) * (2 * j + 3) % 13 {
            n @ 0..5 => n as f64 - 1.5 + j as f64 / 4.0,
            _ => 0.0,
        };
        let (mut dense, mut mixed, mut sparse) =
            (Matrix::with_capacity(60, 5), Matrix::with_capacity(60, 1), Sparse::new(4));
        for i in 0..60 {
            dense.push_row(0.0).iter_mut().enumerate().for_each(|(j, v)| *v = value(i, j));
            mixed.push_row(value(i, 0));
            (1..5).filter(|&j| value(i, j) != 0.0).for_each(|j| sparse.push(j as u32 - 1, value(i, j)));
            sparse.end_row();
        }
        mixed.set_sparse(sparse);
        (dense, mixed)
    }

    fn coefficients(name: &str, task: Task, settings: &[(&str, &str)], data: &Dataset) -> Vec<f64> {
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let spec = Spec::new(algorithm(name).unwrap(), task, &settings).unwrap();
        let fit = spec.fit(data, &Unwatched).unwrap();
        assert_eq!(fit.notes, Vec::<String>::new());
        let mut arrays = Arrays::new();
        fit.predictor.write_arrays(&mut arrays);
        let mut all = take_f64(&mut arrays, "linear.coefficients").unwrap();
        // The intercepts of classes that softmax compares may all move together.
        let intercepts = take_f64(&mut arrays, "linear.intercepts").unwrap();
        let mean = intercepts.iter().sum::<f64>() / intercepts.len() as f64;
        let mean = if intercepts.len() > 1 { mean } else { 0.0 };
        all.extend(intercepts.iter().map(|v| v - mean));
        all
    }

    #[test]
    fn sparse_columns_give_the_coefficients_of_the_same_ordinary_ones() {
        let (dense, mixed) = tables();
        let weights: Vec<f64> = (0..60).map(|i| 0.5 + (i % 3) as f64).collect();
        let values: Vec<f64> = (0..60).map(|i| dense.row(i)[1] * 3.0 + (i % 4) as f64).collect();
        for n_classes in [2, 3] {
            let codes: Vec<u32> = (0..60).map(|i| (i * 11 / 4 % n_classes) as u32).collect();
            for (name, task, y) in [
                ("logistic-regression", Task::Classification, Labels::Classes { codes: &codes, n_classes }),
                ("ridge", Task::Regression, Labels::Values(&values)),
                ("linear-regression", Task::Regression, Labels::Values(&values)),
                ("lasso", Task::Regression, Labels::Values(&values)),
                ("elastic-net", Task::Regression, Labels::Values(&values)),
            ] {
                let l1 = [("penalty", "l1"), ("C", "0.2"), ("tol", "1e-7")];
                let both = [("penalty", "elasticnet"), ("l1_ratio", "0.5"), ("C", "0.2"), ("tol", "1e-7")];
                let more: &[&[(&str, &str)]] = match name {
                    "logistic-regression" => &[&[], &l1, &both],
                    "lasso" | "elastic-net" => &[&[("alpha", "0.05")], &[("alpha", "0.4")]],
                    _ => &[&[]],
                };
                for (fit_intercept, more) in
                    ["true", "false"].into_iter().flat_map(|f| more.iter().map(move |m| (f, *m)))
                {
                    let settings = [&[("fit_intercept", fit_intercept)], more].concat();
                    let of = |x| {
                        let data = Dataset { weights: Some(&weights), ..Dataset::new(x, y) };
                        coefficients(name, task, &settings, &data)
                    };
                    let (wanted, found) = (of(&dense), of(&mixed));
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 2e-4;
                    assert!(
                        wanted.iter().zip(&found).all(near),
                        "{name} {settings:?}: {wanted:?} and {found:?}"
                    );
                    let zeros = |of: &[f64]| of.iter().map(|w| *w == 0.0).collect::<Vec<_>>();
                    assert_eq!(zeros(&wanted), zeros(&found), "{name} {settings:?}");
                }
            }
        }
    }
}
