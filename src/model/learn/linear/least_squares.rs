//! Least squares and ridge.
//!
//! smartcore's own estimators are not used: its `LinearRegression` (0.7) refuses n ≤ p, its `RidgeRegression`
//! constant columns, neither has weights, and they take 19 and 24 times as long on 16,000 rows
//! (benches/smartcore.rs). What is used are its decompositions, of matrices made in
//! `gram`.

use std::mem;

use anyhow::{Result, anyhow};

use super::FIT_INTERCEPT;
use super::gram::{SquareMatrix, SymmetricInverse, products};
use super::sparse::{Limits, SparseLoss};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::error::Interrupted;
use crate::model::learn::dataset::{Dataset, Fit, Labels, sum_by_blocks};
use crate::model::learn::hyperparameter::{Parameter, Range};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::linear::{Linear, dot};
use crate::model::predictor::link::Link;

/// Fewest rows that are summed up together.
const BLOCK_ROWS: usize = 2048;

/// Ordinary least squares.
pub static LINEAR_REGRESSION: Algorithm = Algorithm {
    name: "linear-regression",
    alias: Some("linreg"),
    tasks: &[Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Least squares; if columns depend on each other, the solution of least norm",
    idea: "The predicted value is an intercept plus a coefficient times each column, and the \
           coefficients minimise the sum of squared errors. If columns depend on each other, the \
           solution of least norm is taken, as in scikit-learn.",
    source: "Gauss 1809; Björck 1987, \"Stability analysis of the method of seminormal equations\" \
           (refinement)",
    smartcore: "The Cholesky and singular value decompositions that solve the normal equations. Its \
           estimator (0.7) refuses tables with no more rows than columns and has no weights.",
    parameters: &[FIT_INTERCEPT],
    learner: |settings| Box::new(LeastSquares { alpha: 0.0, fit_intercept: settings.flag("fit_intercept") }),
};

/// Least squares with an L2 penalty.
pub static RIDGE: Algorithm = Algorithm {
    name: "ridge",
    alias: None,
    tasks: &[Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Least squares with a penalty on large coefficients",
    idea: "Least squares with a penalty on the squares of the coefficients. The penalty shrinks all of \
           them and shares a coefficient between columns that say the same, which helps if there are \
           many columns or they depend on each other.",
    source: "Hoerl and Kennard 1970, \"Ridge regression: biased estimation for nonorthogonal problems\"",
    smartcore: "The Cholesky and singular value decompositions that solve the normal equations. Its \
           estimator (0.7) refuses constant columns and has no weights.",
    parameters: &[
        Parameter {
            name: "alpha",
            default: "1.0",
            range: Range::From(0.0, f64::INFINITY),
            effect: "strength of the L2 penalty",
        },
        FIT_INTERCEPT,
    ],
    learner: |settings| {
        Box::new(LeastSquares {
            alpha: settings.number("alpha"),
            fit_intercept: settings.flag("fit_intercept"),
        })
    },
};

/// Parameters of least squares and, with `alpha` above 0, ridge.
pub(crate) struct LeastSquares {
    pub alpha: f64,
    pub fit_intercept: bool,
}

/// Steps of iterative refinement with residuals of the rows themselves; they win back the digits that are
/// lost in forming XᵀX (Björck 1987, "Stability analysis of the method of seminormal equations").
const REFINEMENTS: usize = 2;

impl Learner for LeastSquares {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let fits = self.fit_path(&[self.alpha], data, watch)?;
        fits.into_iter().next().ok_or_else(|| Interrupted.into())
    }

    fn fit_path(&self, alphas: &[f64], data: &Dataset, watch: &dyn Watch) -> Result<Vec<Fit>> {
        let Labels::Values(y) = data.y else {
            return Err(anyhow!("least squares predicts numbers"));
        };
        if data.x.sparse().n_cols() > 0 {
            return Ok(fit_sparse(data, y, 0.0, alphas, self.fit_intercept, watch));
        }
        let rows = Centred::new(data, y, self.fit_intercept);
        let mut equations = NormalEquations::new(&rows, watch)?;
        let mut fits = Vec::with_capacity(alphas.len());
        for (index, &alpha) in alphas.iter().enumerate() {
            if index > 0 && watch.stopped() {
                break;
            }
            let coefficients = equations.solve(alpha, index + 1 == alphas.len())?;
            fits.push(Fit { predictor: rows.predictor(coefficients), notes: Vec::new() });
        }
        Ok(fits)
    }

    fn reads_sparse(&self) -> bool {
        true
    }
}

/// Steps and precision of the search on sparse columns, which have no matrix of products to factor.
const SPARSE_STEPS: usize = 2000;
const SPARSE_TOL: f64 = 1e-7;

/// Least squares on sparse columns, for each of `l2`; `l1` and they are penalties added to half the sum of squares.
pub(crate) fn fit_sparse(
    data: &Dataset,
    y: &[f64],
    l1: f64,
    l2: &[f64],
    fit_intercept: bool,
    watch: &dyn Watch,
) -> Vec<Fit> {
    let weight_sum = data.weight_sum();
    let share = |row: usize| data.weight(row) / weight_sum;
    // Of the target's own scale, so that the precision does not depend on its unit.
    let square: f64 = (0..y.len()).map(|row| share(row) * y[row] * y[row]).sum();
    let loss = SparseLoss {
        n_scores: 1,
        l1: l1 / weight_sum,
        fit_intercept,
        curvature: 1.0,
        share: &share,
        differentiate: &|row, scores: &mut [f64]| {
            scores[0] -= y[row];
            0.5 * scores[0] * scores[0]
        },
    };
    let tol = SPARSE_TOL * square.sqrt().max(f64::MIN_POSITIVE);
    let limits = Limits { tol, max_steps: SPARSE_STEPS, name: "loss" };
    let l2: Vec<f64> = l2.iter().map(|l2| l2 / weight_sum).collect();
    let found = loss.minimise(data, Link::Identity, &l2, &limits, watch);
    let fit = |(predictor, converged): (Predictor, bool)| {
        let mut notes = Vec::new();
        if !converged && !watch.stopped() {
            notes.push(format!(
                "the least squares on words did not converge in {SPARSE_STEPS} steps; a larger alpha does"
            ));
        }
        Fit { predictor, notes }
    };
    found.into_iter().map(fit).collect()
}

/// The rows of a regression less their weighted means, times the square roots of their weights: what is left
/// needs neither an intercept, which stays free of any penalty, nor weights.
pub(crate) struct Centred<'a> {
    x: &'a Matrix,
    y: &'a [f64],
    weights: Option<&'a [f64]>,
    x_mean: Vec<f64>,
    y_mean: f64,
}

impl<'a> Centred<'a> {
    /// Means of 0 without an intercept.
    pub(crate) fn new(data: &Dataset<'a>, y: &'a [f64], fit_intercept: bool) -> Self {
        let (x, n_cols) = (data.x, data.x.n_cols());
        let mut rows = Self { x, y, weights: data.weights, x_mean: vec![0.0; n_cols], y_mean: 0.0 };
        if !fit_intercept {
            return rows;
        }
        let weight_sum = data.weight_sum();
        // The mean of the target is summed up behind those of the columns.
        rows.x_mean = sum_by_blocks(y.len(), BLOCK_ROWS, n_cols + 1, &|block, means| {
            for row in block {
                let share = data.weight(row) / weight_sum;
                means.iter_mut().zip(x.row(row)).for_each(|(mean, v)| *mean += share * v);
                means[n_cols] += share * y[row];
            }
        });
        rows.y_mean = rows.x_mean.pop().unwrap_or_default();
        rows
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.y.len()
    }

    /// Number of columns.
    pub(crate) fn n_cols(&self) -> usize {
        self.x.n_cols()
    }

    /// Writes row `i` into `out` and returns its target.
    pub(crate) fn row_into(&self, i: usize, out: &mut [f64]) -> f64 {
        let root = self.weights.map_or(1.0, |weights| weights[i].sqrt());
        for ((out, v), mean) in out.iter_mut().zip(self.x.row(i)).zip(&self.x_mean) {
            *out = root * (v - mean);
        }
        root * (self.y[i] - self.y_mean)
    }

    fn collect(&self) -> (Matrix, Vec<f64>) {
        let mut rows = Matrix::with_capacity(self.n_rows(), self.n_cols());
        let target = (0..self.n_rows()).map(|i| self.row_into(i, rows.push_row(0.0))).collect();
        (rows, target)
    }

    /// All rows column by column, and the target.
    pub(crate) fn columns(&self) -> (Vec<f64>, Vec<f64>) {
        let (n_rows, n_cols) = (self.n_rows(), self.n_cols());
        let mut columns = vec![0.0; n_rows * n_cols];
        let mut row = vec![0.0; n_cols];
        let mut target = Vec::with_capacity(n_rows);
        for i in 0..n_rows {
            target.push(self.row_into(i, &mut row));
            row.iter().enumerate().for_each(|(j, v)| columns[j * n_rows + i] = *v);
        }
        (columns, target)
    }

    /// The predictor of these coefficients, with the intercept that goes with them.
    pub(crate) fn predictor(&self, coefficients: Vec<f64>) -> Predictor {
        let intercept = self.y_mean - dot(&coefficients, &self.x_mean);
        Predictor::Linear(Linear::new(Link::Identity, self.n_cols(), coefficients, vec![intercept]))
    }
}

/// The equations of the w of least norm that minimises |y − X w|² + α |w|², for any α.
enum NormalEquations<'a> {
    /// XᵀX w = Xᵀy. The rows are centred each time they are looked at, so that large tables are not copied.
    OfColumns { rows: &'a Centred<'a>, products: SquareMatrix },
    /// The same with fewer rows than columns: X Xᵀ a = y and w = Xᵀa.
    OfRows { x: Matrix, y: Vec<f64>, products: SquareMatrix },
}

impl<'a> NormalEquations<'a> {
    /// # Errors
    /// [`Interrupted`], for there is nothing to keep before the end.
    fn new(rows: &'a Centred<'a>, watch: &dyn Watch) -> Result<Self> {
        let (n_rows, n_cols) = (rows.n_rows(), rows.n_cols());
        if n_cols > n_rows {
            let (x, y) = rows.collect();
            let products = row_products(&x);
            return Ok(Self::OfRows { x, y, products });
        }
        let fill = |i: usize, out: &mut [f64]| {
            rows.row_into(i, out);
        };
        let products = products(n_rows, n_cols, &fill, watch);
        if watch.stopped() {
            return Err(Interrupted.into());
        }
        Ok(Self::OfColumns { rows, products })
    }

    /// The products plus α on the diagonal, inverted; after the last α they are not kept.
    fn inverse(products: &mut SquareMatrix, alpha: f64, is_last: bool) -> Result<SymmetricInverse> {
        let products = if is_last { mem::take(products) } else { products.clone() };
        SymmetricInverse::new(products, alpha)
    }

    /// The solution for an α; after the last there is none to ask for.
    ///
    /// # Errors
    /// The singular values cannot be found.
    fn solve(&mut self, alpha: f64, is_last: bool) -> Result<Vec<f64>> {
        match self {
            Self::OfColumns { rows, products } => {
                let inverse = Self::inverse(products, alpha, is_last)?;
                let mut w = vec![0.0; rows.n_cols()];
                let mut row = vec![0.0; rows.n_cols()];
                for _ in 0..=REFINEMENTS {
                    let mut gradient = vec![0.0; rows.n_cols()];
                    for i in 0..rows.n_rows() {
                        let residual = rows.row_into(i, &mut row) - dot(&row, &w);
                        gradient.iter_mut().zip(&row).for_each(|(g, x)| *g += residual * x);
                    }
                    gradient.iter_mut().zip(&w).for_each(|(g, w)| *g -= alpha * w);
                    let step = inverse.apply(&gradient);
                    w.iter_mut().zip(&step).for_each(|(w, step)| *w += step);
                }
                Ok(w)
            }
            Self::OfRows { x, y, products } => {
                let inverse = Self::inverse(products, alpha, is_last)?;
                let mut w = vec![0.0; x.n_cols()];
                let mut a = vec![0.0; x.n_rows()];
                for _ in 0..=REFINEMENTS {
                    let residual = x.rows().zip(&*y).map(|(row, y)| y - dot(row, &w));
                    let residual: Vec<f64> = residual.zip(&a).map(|(r, a)| r - alpha * a).collect();
                    let step = inverse.apply(&residual);
                    a.iter_mut().zip(&step).for_each(|(a, step)| *a += step);
                    w = transposed_product(x, &a);
                }
                Ok(w)
            }
        }
    }
}

/// Xᵀv.
fn transposed_product(x: &Matrix, v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.n_cols()];
    for (row, v) in x.rows().zip(v) {
        out.iter_mut().zip(row).for_each(|(out, x)| *out += v * x);
    }
    out
}

/// X Xᵀ.
fn row_products(x: &Matrix) -> SquareMatrix {
    let n = x.n_rows();
    let mut values = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let product = dot(x.row(i), x.row(j));
            values[i * n + j] = product;
            values[j * n + i] = product;
        }
    }
    SquareMatrix { size: n, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::Unwatched;
    use crate::model::learn::laws::{noise, predictor as fit, select};

    fn matrix(rows: &[&[f64]]) -> Matrix {
        let mut x = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| x.push_row(0.0).copy_from_slice(row));
        x
    }

    fn predict(predictor: &Predictor, x: &[f64]) -> f64 {
        let mut out = vec![0.0; predictor.n_outputs()];
        predictor.scores_into(x, &mut out);
        *out.last().unwrap()
    }

    #[test]
    fn least_squares_finds_an_exact_line_with_constant_and_duplicate_columns() {
        let x = matrix(&[&[1.0, 1.0, 5.0], &[2.0, 2.0, 5.0], &[4.0, 4.0, 5.0], &[7.0, 7.0, 5.0]]);
        let y: Vec<f64> = x.rows().map(|row| 3.0 * row[0] - 2.0).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let line = fit(&LINEAR_REGRESSION, &[], &data);
        assert!((predict(&line, &[10.0, 10.0, 5.0]) - 28.0).abs() < 1e-9);
        // The least norm shares the slope between the copies.
        assert!((predict(&line, &[10.0, 0.0, 5.0]) - predict(&line, &[0.0, 10.0, 5.0])).abs() < 1e-9);
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice() {
        let x = noise(9, 3, 1);
        let y: Vec<f64> = x.rows().map(|row| row[0] - row[1] + row[2] * row[2]).collect();
        let weights = [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        let rows = [0, 0, 1, 2, 3, 4, 5, 6, 7];
        let (repeated, y_repeated) = (select(&x, &rows), rows.map(|i| y[i]));
        for algorithm in [&LINEAR_REGRESSION, &RIDGE] {
            let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&y)) };
            let plain = Dataset::new(&repeated, Labels::Values(&y_repeated));
            let (weighted, plain) = (fit(algorithm, &[], &weighted), fit(algorithm, &[], &plain));
            let at = [0.3, -0.2, 0.9];
            assert!((predict(&weighted, &at) - predict(&plain, &at)).abs() < 1e-10);
        }
    }

    #[test]
    fn a_path_is_its_fits_one_by_one() {
        for (n_rows, n_cols) in [(40, 5), (6, 9)] {
            let x = noise(n_rows, n_cols, 8);
            let y: Vec<f64> = x.rows().map(|row| row[0] - 2.0 * row[3] + row[1] * row[2]).collect();
            let data = Dataset::new(&x, Labels::Values(&y));
            let learner = LeastSquares { alpha: 1.0, fit_intercept: true };
            let path = learner.fit_path(&[100.0, 3.0, 0.1], &data, &Unwatched).unwrap();
            for (found, alpha) in path.iter().zip(["100", "3", "0.1"]) {
                assert!(found.predictor == fit(&RIDGE, &[("alpha", alpha)], &data), "{alpha}");
            }
            assert_eq!(path.len(), 3);
        }
    }

    #[test]
    fn ridge_is_the_same_from_rows_and_from_columns() {
        // 6 × 6 is solved by columns; with a zero column more, by rows.
        let square = noise(6, 6, 3);
        let mut wide = Matrix::with_capacity(6, 7);
        square.rows().for_each(|row| wide.push_row(0.0)[..6].copy_from_slice(row));
        let y = [1.0, 0.0, -1.0, 2.0, 0.5, 0.25];
        let [square, wide] = [&square, &wide].map(|x| {
            let data = Dataset::new(x, Labels::Values(&y));
            fit(&RIDGE, &[("alpha", "0.1")], &data)
        });
        let at = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.0];
        assert!((predict(&square, &at[..6]) - predict(&wide, &at)).abs() < 1e-9);
    }
}
