//! Linear models: logistic regression, least squares, ridge.
//!
//! smartcore's own estimators are not used: its `LogisticRegression` evaluates function and gradient
//! separately with checked element access (0.7: 60 times the time of the form below on `digits`) and has no
//! weights; its `LinearRegression` refuses n ≤ p and its `RidgeRegression` constant columns. What is used are
//! its L-BFGS, its Cholesky and its singular value decomposition, on objectives and matrices made here.

use std::cell::{Cell, RefCell};

use anyhow::{Result, anyhow};
use rayon::prelude::*;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::cholesky::CholeskyDecomposable;
use smartcore::linalg::traits::svd::SVDDecomposable;
use smartcore::optimization::FunctionOrder;
use smartcore::optimization::first_order::FirstOrderOptimizer;
use smartcore::optimization::first_order::lbfgs::LBFGS;
use smartcore::optimization::line_search::Backtracking;

use super::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Watch};
use crate::data::matrix::Matrix;
use crate::data::recipe::Encoding;
use crate::data::schema::Task;
use crate::model::predictor::{Linear, Link, Predictor, dot, sigmoid, softmax};

/// Rows that are summed up together. Sums are made block by block and added in order, so the result does not
/// depend on how many threads share the blocks.
const BLOCK_ROWS: usize = 1024;

const FIT_INTERCEPT: Parameter = Parameter {
    name: "fit_intercept",
    default: "true",
    range: Range::Flag,
    effect: "whether the model has an intercept",
};

/// L2-penalised logistic regression, binary and multinomial.
pub static LOGISTIC_REGRESSION: Algorithm = Algorithm {
    name: "logistic-regression",
    alias: Some("logreg"),
    tasks: &[Task::Classification],
    encoding: Encoding::Standardised,
    summary: "Linear scores, made probabilities by the logistic function (two classes) or softmax",
    parameters: &[
        Parameter {
            name: "C",
            default: "1.0",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "inverse strength of the L2 penalty; smaller is simpler",
        },
        FIT_INTERCEPT,
        Parameter {
            name: "max_iter",
            default: "1000",
            range: Range::Whole(1, u64::MAX),
            effect: "most iterations of the solver (scikit-learn: 100)",
        },
        Parameter {
            name: "tol",
            default: "1e-6",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "largest component of the mean loss's gradient at which the solver stops \
                     (scikit-learn: 1e-4, which can leave probabilities wrong by 0.03)",
        },
    ],
    learner: |settings| {
        Box::new(LogisticRegression {
            c: settings.number("C"),
            fit_intercept: settings.flag("fit_intercept"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
        })
    },
};

/// Ordinary least squares.
pub static LINEAR_REGRESSION: Algorithm = Algorithm {
    name: "linear-regression",
    alias: Some("linreg"),
    tasks: &[Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Least squares; where columns depend on each other, the solution of least norm",
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

/// Parameters of logistic regression.
struct LogisticRegression {
    c: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
}

/// Mean weighted log loss + |coefficients|² / (2 C Σ weights): scikit-learn's objective divided by C Σ weights.
///
/// A point is all coefficients (`n_scores × n_inputs`), then the intercepts.
struct LogisticLoss<'a> {
    x: &'a Matrix,
    codes: &'a [u32],
    weights: Option<&'a [f64]>,
    weight_sum: f64,
    n_scores: usize,
    penalty: f64,
    fit_intercept: bool,
}

impl LogisticLoss<'_> {
    /// Adds the loss of one block of rows; `gradient` has the layout of `point`.
    fn add_block(&self, point: &[f64], block: usize, gradient: &mut [f64]) -> f64 {
        let n_inputs = self.x.n_cols();
        let (coefficients, intercepts) = point.split_at(self.n_scores * n_inputs);
        let (by_coefficient, by_intercept) = gradient.split_at_mut(self.n_scores * n_inputs);
        let mut scores = vec![0.0; self.n_scores];
        let mut loss = 0.0;
        let first = block * BLOCK_ROWS;
        for row in first..(first + BLOCK_ROWS).min(self.x.n_rows()) {
            let x = self.x.row(row);
            let class = self.codes[row] as usize;
            let weight = self.weights.map_or(1.0, |weights| weights[row]);
            for (k, score) in scores.iter_mut().enumerate() {
                *score = dot(&coefficients[k * n_inputs..(k + 1) * n_inputs], x) + intercepts[k];
            }
            if self.n_scores == 1 {
                let score = scores[0];
                // ln(1 + e^-m) for the margin m, without overflow.
                let margin = if class == 1 { score } else { -score };
                loss += weight * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
                scores[0] = sigmoid(score) - class as f64;
            } else {
                let true_score = scores[class];
                loss += weight * (softmax(&mut scores) - true_score);
                scores[class] -= 1.0;
            }
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

    fn evaluate(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let n_blocks = self.x.n_rows().div_ceil(BLOCK_ROWS);
        let block_sum = |block| {
            let mut gradient = vec![0.0; point.len()];
            (self.add_block(point, block, &mut gradient), gradient)
        };
        let sums: Vec<(f64, Vec<f64>)> = if n_blocks == 1 {
            vec![block_sum(0)]
        } else {
            (0..n_blocks).into_par_iter().map(block_sum).collect()
        };
        let (mut loss, mut gradient) = (0.0, vec![0.0; point.len()]);
        for (block_loss, block_gradient) in sums {
            loss += block_loss;
            gradient.iter_mut().zip(block_gradient).for_each(|(g, b)| *g += b);
        }
        loss /= self.weight_sum;
        gradient.iter_mut().for_each(|g| *g /= self.weight_sum);
        let n_coefficients = self.n_scores * self.x.n_cols();
        for (g, w) in gradient.iter_mut().zip(&point[..n_coefficients]) {
            *g += self.penalty * w;
            loss += self.penalty * w * w / 2.0;
        }
        if !self.fit_intercept {
            gradient[n_coefficients..].fill(0.0);
        }
        (loss, gradient)
    }
}

impl Learner for LogisticRegression {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let Labels::Classes { codes, n_classes } = data.y else {
            return Err(anyhow!("logistic regression predicts classes"));
        };
        let n_inputs = data.x.n_cols();
        let n_scores = if n_classes == 2 { 1 } else { n_classes };
        let weight_sum = data.weights.map_or(data.x.n_rows() as f64, |w| w.iter().sum());
        let start = vec![0.0; n_scores * (n_inputs + 1)];
        let loss = LogisticLoss {
            x: data.x,
            codes,
            weights: data.weights,
            weight_sum,
            n_scores,
            penalty: 1.0 / (self.c * weight_sum),
            fit_intercept: self.fit_intercept,
        };
        // The solver asks for the value and the gradient of one point in turn: the last one is remembered.
        let last: RefCell<(Vec<f64>, f64, Vec<f64>)> = RefCell::default();
        let visits = Cell::new(0);
        let visit = |point: &Vec<f64>| {
            // An interrupted search sees a flat floor where it stands, which ends it there.
            if watch.stopped() || last.borrow().0 == *point {
                return;
            }
            let (value, gradient) = loss.evaluate(point);
            visits.set(visits.get() + 1);
            watch.progress(visits.get(), self.max_iter as u64, format_args!("loss {value:.6}"));
            *last.borrow_mut() = (point.clone(), value, gradient);
        };
        let value = |point: &Vec<f64>| {
            visit(point);
            last.borrow().1
        };
        let gradient = |out: &mut Vec<f64>, point: &Vec<f64>| {
            visit(point);
            if watch.stopped() {
                out.fill(0.0);
            } else {
                out.copy_from_slice(&last.borrow().2);
            }
        };
        let solver = LBFGS { max_iter: self.max_iter, g_atol: self.tol, ..LBFGS::default() };
        let search = Backtracking { order: FunctionOrder::THIRD, ..Backtracking::default() };
        let found = solver.optimize(&value, &gradient, &start, &search);
        let mut notes = Vec::new();
        if found.iterations >= self.max_iter && !watch.stopped() {
            notes.push(format!(
                "logistic-regression did not converge in {} iterations; --set max_iter=… or a larger tol",
                self.max_iter
            ));
        }
        let mut coefficients = found.x;
        let intercepts = coefficients.split_off(n_scores * n_inputs);
        let link = if n_scores == 1 { Link::Sigmoid } else { Link::Softmax };
        let linear = Linear::new(link, n_inputs, coefficients, intercepts);
        Ok(Fit { predictor: Predictor::Linear(linear), notes })
    }
}

/// Parameters of least squares and, with `alpha` above 0, ridge.
struct LeastSquares {
    alpha: f64,
    fit_intercept: bool,
}

/// Pivots of the Cholesky factor below this share of their column mean that columns depend on each other,
/// and the singular values decide instead.
const MIN_PIVOT_SHARE: f64 = 1e-8;

/// Directions whose singular value is below this share of the largest count as dependent, as in
/// scikit-learn 1.9 (`LinearRegression(tol=1e-6)`).
const RANK_TOLERANCE: f64 = 1e-6;

/// Steps of iterative refinement with residuals of the rows themselves; they win back the digits that are
/// lost in forming XᵀX (Björck 1987, "Stability analysis of the method of seminormal equations").
const REFINEMENTS: usize = 2;

impl Learner for LeastSquares {
    fn fit(&self, data: &Dataset, _: &dyn Watch) -> Result<Fit> {
        let Labels::Values(y) = data.y else {
            return Err(anyhow!("least squares predicts numbers"));
        };
        let n_inputs = data.x.n_cols();
        let weight = |row: usize| data.weights.map_or(1.0, |weights| weights[row]);
        let weight_sum: f64 = (0..y.len()).map(weight).sum();
        // Centring instead of an intercept column keeps the intercept free of the penalty.
        let (mut x_mean, mut y_mean) = (vec![0.0; n_inputs], 0.0);
        if self.fit_intercept {
            for (row, x) in data.x.rows().enumerate() {
                let share = weight(row) / weight_sum;
                x_mean.iter_mut().zip(x).for_each(|(mean, v)| *mean += share * v);
                y_mean += share * y[row];
            }
        }
        let mut centred = Matrix::with_capacity(y.len(), n_inputs);
        let mut target = Vec::with_capacity(y.len());
        for (row, x) in data.x.rows().enumerate() {
            let root = weight(row).sqrt();
            let out = centred.push_row(0.0);
            for ((out, v), mean) in out.iter_mut().zip(x).zip(&x_mean) {
                *out = root * (v - mean);
            }
            target.push(root * (y[row] - y_mean));
        }
        let coefficients = solve(&centred, &target, self.alpha)?;
        let intercept = y_mean - dot(&coefficients, &x_mean);
        let linear = Linear::new(Link::Identity, n_inputs, coefficients, vec![intercept]);
        Ok(Fit { predictor: Predictor::Linear(linear), notes: Vec::new() })
    }
}

/// The w of least norm that minimises |y − X w|² + α |w|².
///
/// With more rows than columns from XᵀX w = Xᵀy, else from X Xᵀ a = y and w = Xᵀa, whichever is smaller.
fn solve(x: &Matrix, y: &[f64], alpha: f64) -> Result<Vec<f64>> {
    let (n_rows, n_cols) = (x.n_rows(), x.n_cols());
    let wide = n_cols > n_rows;
    let inverse = SymmetricInverse::new(if wide { row_products(x) } else { column_products(x) }, alpha)?;
    let mut w = vec![0.0; n_cols];
    let mut a = vec![0.0; n_rows];
    for _ in 0..=REFINEMENTS {
        let residual = x.rows().zip(y).map(|(row, y)| y - dot(row, &w));
        if wide {
            let residual: Vec<f64> = residual.zip(&a).map(|(r, a)| r - alpha * a).collect();
            let step = inverse.apply(&residual)?;
            a.iter_mut().zip(&step).for_each(|(a, step)| *a += step);
            w = transposed_product(x, &a);
        } else {
            let residual: Vec<f64> = residual.collect();
            let mut gradient = transposed_product(x, &residual);
            gradient.iter_mut().zip(&w).for_each(|(g, w)| *g -= alpha * w);
            let step = inverse.apply(&gradient)?;
            w.iter_mut().zip(&step).for_each(|(w, step)| *w += step);
        }
    }
    Ok(w)
}

/// Xᵀv.
fn transposed_product(x: &Matrix, v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.n_cols()];
    for (row, v) in x.rows().zip(v) {
        out.iter_mut().zip(row).for_each(|(out, x)| *out += v * x);
    }
    out
}

/// XᵀX, block by block.
fn column_products(x: &Matrix) -> SquareMatrix {
    let p = x.n_cols();
    let n_blocks = x.n_rows().div_ceil(BLOCK_ROWS);
    let block_products = |block: usize| {
        let mut products = vec![0.0; p * p];
        for row in (block * BLOCK_ROWS..x.n_rows()).take(BLOCK_ROWS) {
            let row = x.row(row);
            for (i, &v) in row.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                let out = &mut products[i * p + i..(i + 1) * p];
                out.iter_mut().zip(&row[i..]).for_each(|(out, u)| *out += v * u);
            }
        }
        products
    };
    // A few blocks at a time, so that memory does not grow with the rows.
    let mut values = vec![0.0; p * p];
    for first in (0..n_blocks).step_by(16) {
        let blocks: Vec<Vec<f64>> = if n_blocks == 1 {
            vec![block_products(0)]
        } else {
            (first..(first + 16).min(n_blocks)).into_par_iter().map(block_products).collect()
        };
        for block in blocks {
            values.iter_mut().zip(block).for_each(|(sum, v)| *sum += v);
        }
    }
    for i in 0..p {
        for j in 0..i {
            values[i * p + j] = values[j * p + i];
        }
    }
    SquareMatrix { size: p, values }
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

struct SquareMatrix {
    size: usize,
    values: Vec<f64>,
}

impl SquareMatrix {
    fn dense(&self) -> Result<DenseMatrix<f64>> {
        DenseMatrix::new(self.size, self.size, self.values.clone(), false)
            .map_err(|e| anyhow!("the linear system cannot be set up: {e}"))
    }
}

/// (K + αI)⁻¹ of a symmetric positive semidefinite K, or its pseudo-inverse where that is singular.
enum SymmetricInverse {
    /// K + αI itself, to be factored by Cholesky.
    Definite(Factor),
    /// Orthonormal directions (columns of `v`, row-major) and the inverse of K + αI along each.
    Directions { v: Vec<f64>, inverse: Vec<f64> },
}

/// The lower triangle of a Cholesky factor, row-major.
struct Factor {
    size: usize,
    l: Vec<f64>,
}

impl SymmetricInverse {
    fn new(mut k: SquareMatrix, alpha: f64) -> Result<Self> {
        let n = k.size;
        let largest = (0..n).map(|i| k.values[i * n + i]).fold(0.0, f64::max);
        if largest == 0.0 && alpha == 0.0 {
            return Ok(Self::Directions { v: vec![0.0; n * n], inverse: vec![0.0; n] });
        }
        let plain = k.values.clone();
        for i in 0..n {
            k.values[i * n + i] += alpha;
        }
        if let Ok(cholesky) = k.dense()?.cholesky() {
            let l = cholesky.L();
            let l: Vec<f64> = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|at| *l.get(at)).collect();
            let independent = (0..n).all(|i| {
                let pivot = l[i * n + i];
                pivot * pivot > MIN_PIVOT_SHARE * k.values[i * n + i]
            });
            if independent && l.iter().all(|v| v.is_finite()) {
                return Ok(Self::Definite(Factor { size: n, l }));
            }
        }
        let svd = SquareMatrix { size: n, values: plain }
            .dense()?
            .svd()
            .map_err(|e| anyhow!("the columns cannot be separated: {e}"))?;
        let largest = svd.s.iter().copied().fold(0.0, f64::max);
        let inverse = svd.s.iter().map(|&s| {
            let kept = s > RANK_TOLERANCE * RANK_TOLERANCE * largest;
            if kept || alpha > 0.0 { 1.0 / (s + alpha) } else { 0.0 }
        });
        let inverse = inverse.collect();
        let at = |i, j| *svd.V.get((i, j));
        let v = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect();
        Ok(Self::Directions { v, inverse })
    }

    fn apply(&self, b: &[f64]) -> Result<Vec<f64>> {
        match self {
            Self::Definite(factor) => Ok(factor.solve(b)),
            Self::Directions { v, inverse } => {
                let n = inverse.len();
                let mut along = vec![0.0; n];
                for (row, b) in v.chunks_exact(n).zip(b) {
                    along.iter_mut().zip(row).for_each(|(along, v)| *along += v * b);
                }
                along.iter_mut().zip(inverse).for_each(|(along, inverse)| *along *= inverse);
                Ok(v.chunks_exact(n).map(|row| dot(row, &along)).collect())
            }
        }
    }
}

impl Factor {
    /// Forward, then backward substitution.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let n = self.size;
        let mut z = b.to_vec();
        for i in 0..n {
            let row = &self.l[i * n..i * n + i];
            z[i] = (z[i] - dot(row, &z[..i])) / self.l[i * n + i];
        }
        for i in (0..n).rev() {
            z[i] /= self.l[i * n + i];
            let (above, rest) = z.split_at_mut(i);
            let row = &self.l[i * n..i * n + i];
            above.iter_mut().zip(row).for_each(|(above, l)| *above -= l * rest[0]);
        }
        z
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};

    fn matrix(rows: &[&[f64]]) -> Matrix {
        let mut x = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| x.push_row(0.0).copy_from_slice(row));
        x
    }

    /// Pseudo-random numbers between -1 and 1.
    fn noise(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
        let mut state = seed;
        let mut x = Matrix::zeros(n_rows, n_cols);
        for v in x.values_mut() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *v = (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        }
        x
    }

    fn fit(algorithm: &'static Algorithm, settings: &[(&str, &str)], data: &Dataset) -> Predictor {
        let task = algorithm.tasks[0];
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let spec = Spec::new(algorithm, task, &settings).unwrap();
        let fit = spec.fit(data, &Unwatched).unwrap();
        assert_eq!(fit.notes, Vec::<String>::new());
        fit.predictor.validate().unwrap();
        fit.predictor
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
    fn a_weight_of_two_is_a_row_twice_and_a_weight_of_zero_is_no_row() {
        let x = noise(9, 3, 1);
        let y: Vec<f64> = x.rows().map(|row| row[0] - row[1] + row[2] * row[2]).collect();
        let weights = [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        let mut repeated = Matrix::with_capacity(9, 3);
        [0, 0, 1, 2, 3, 4, 5, 6, 7].iter().for_each(|&i| repeated.push_row(0.0).copy_from_slice(x.row(i)));
        let y_repeated: Vec<f64> = [0, 0, 1, 2, 3, 4, 5, 6, 7].iter().map(|&i: &usize| y[i]).collect();
        for algorithm in [&LINEAR_REGRESSION, &RIDGE] {
            let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&y)) };
            let plain = Dataset::new(&repeated, Labels::Values(&y_repeated));
            let (weighted, plain) = (fit(algorithm, &[], &weighted), fit(algorithm, &[], &plain));
            let at = [0.3, -0.2, 0.9];
            assert!((predict(&weighted, &at) - predict(&plain, &at)).abs() < 1e-10);
        }
        let codes: Vec<u32> = y.iter().map(|&v| u32::from(v > 0.0)).collect();
        let codes_repeated: Vec<u32> = y_repeated.iter().map(|&v| u32::from(v > 0.0)).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 2 };
        let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, y) };
        let y = Labels::Classes { codes: &codes_repeated, n_classes: 2 };
        let plain = Dataset::new(&repeated, y);
        let [weighted, plain] = [weighted, plain].map(|data| fit(&LOGISTIC_REGRESSION, &[], &data));
        let at = [0.3, -0.2, 0.9];
        assert!((predict(&weighted, &at) - predict(&plain, &at)).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_of_the_solution_vanishes() {
        let x = noise(300, 5, 7);
        let codes: Vec<u32> =
            x.rows().map(|row| if row[0] > 0.3 { 2 } else { u32::from(row[1] > 0.0) }).collect();
        let loss = LogisticLoss {
            x: &x,
            codes: &codes,
            weights: None,
            weight_sum: 300.0,
            n_scores: 3,
            penalty: 1.0 / 300.0,
            fit_intercept: true,
        };
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        let mut arrays = crate::model::predictor::Arrays::new();
        fit(&LOGISTIC_REGRESSION, &[], &data).write_arrays(&mut arrays);
        let mut point = Vec::new();
        for name in ["linear.coefficients", "linear.intercepts"] {
            point.extend(crate::model::predictor::take_f64(&mut arrays, name).unwrap());
        }
        let (at_solution, gradient) = loss.evaluate(&point);
        assert!(gradient.iter().all(|g| g.abs() <= 1e-6), "{gradient:?}");
        // And the gradient is that of the loss.
        let mut nudged = point.clone();
        nudged[4] += 1e-3;
        let (higher, slope) = loss.evaluate(&nudged);
        nudged[4] += 1e-6;
        assert!(((loss.evaluate(&nudged).0 - higher) / 1e-6 - slope[4]).abs() < 1e-6);
        assert!(higher > at_solution);
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
