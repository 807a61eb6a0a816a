//! Lasso and elastic net: least squares with a penalty that sets coefficients to 0.
//!
//! smartcore's `Lasso` (0.7) is an interior-point method without exact zeros that refuses n < p, its
//! `ElasticNet` centres a padded target (R² −1.19 instead of 0.97 on a target around 100), and they take 25 and 15
//! times as long on 16,000 rows (benches/smartcore.rs); here it is coordinate descent. The solver stops by the duality gap,
//! which bounds how far the objective is from its minimum (Fercoq, Gramfort and Salmon 2015, "Mind the
//! duality gap", with the L2 part as rows √l2·I added to X).

use anyhow::{Result, anyhow};

use super::FIT_INTERCEPT;
use super::coordinate_descent::{ByColumns, ByProducts, Penalty, Quadratic, descend, prefers_products};
use super::gram::products;
use super::least_squares::{Centred, LeastSquares, fit_sparse};
use crate::data::cells::cell::Task;
use crate::data::prepare::recipe::Encoding;
use crate::error::Interrupted;
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::learn::hyperparameter::{Parameter, Range};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::linear::dot;

const ALPHA: Parameter = Parameter {
    name: "alpha",
    default: "1.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "strength of the penalty",
};

const MAX_ITER: Parameter = Parameter {
    name: "max_iter",
    default: "10000",
    range: Range::Whole(1, u64::MAX),
    effect: "most passes over the columns (scikit-learn: 1000)",
};

const TOL: Parameter = Parameter {
    name: "tol",
    default: "1e-10",
    range: Range::From(0.0, f64::INFINITY),
    effect: "duality gap, as a share of the target's sum of squares, at which the solver stops \
             (scikit-learn: 1e-4, which can leave coefficients wrong in the second digit)",
};

/// Least squares with an L1 penalty.
pub(crate) static LASSO: Algorithm = Algorithm {
    name: "lasso",
    alias: None,
    tasks: &[Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Least squares with a penalty that drops useless columns",
    idea: "Least squares with a penalty on the absolute values of the coefficients, which sets those of \
           useless columns to exactly 0. Coordinate descent minimises it, one coefficient at a time, \
           until the duality gap bounds the error.",
    source: "Tibshirani 1996, \"Regression shrinkage and selection via the lasso\"; Friedman, Hastie and \
           Tibshirani 2010, \"Regularization paths for generalized linear models via coordinate \
           descent\"; Fercoq, Gramfort and Salmon 2015, \"Mind the duality gap\"",
    smartcore: "None, except with alpha 0, which is least squares. Its estimator (0.7) leaves no exact zeros \
           and refuses tables with fewer rows than columns.",
    parameters: &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL],
    learner: |settings| {
        Box::new(ElasticNet {
            name: "lasso",
            alpha: settings.number("alpha"),
            l1_ratio: 1.0,
            fit_intercept: settings.flag("fit_intercept"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
        })
    },
};

/// Least squares with an L1 and an L2 penalty.
pub(crate) static ELASTIC_NET: Algorithm = Algorithm {
    name: "elastic-net",
    alias: None,
    tasks: &[Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Between lasso and ridge: drops useless columns, keeps similar ones together",
    idea: "Least squares with both penalties: absolute values, which drop useless columns, and squares, \
           which keep similar columns together. `l1_ratio` weighs one against the other.",
    source: "Zou and Hastie 2005, \"Regularization and variable selection via the elastic net\"; solver \
           as for lasso",
    smartcore: "None, except with `l1_ratio` 0, which is ridge. Its estimator (0.7) centres the target after \
           padding it with zeros: R² -1.19 instead of 0.97 on a target around 100.",
    parameters: &[
        ALPHA,
        Parameter {
            name: "l1_ratio",
            default: "0.5",
            range: Range::From(0.0, 1.0),
            effect: "share of the L1 penalty; 1 is lasso, 0 is ridge",
        },
        FIT_INTERCEPT,
        MAX_ITER,
        TOL,
    ],
    learner: |settings| {
        Box::new(ElasticNet {
            name: "elastic-net",
            alpha: settings.number("alpha"),
            l1_ratio: settings.number("l1_ratio"),
            fit_intercept: settings.flag("fit_intercept"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
        })
    },
};

/// Parameters of lasso and elastic net.
struct ElasticNet {
    name: &'static str,
    alpha: f64,
    l1_ratio: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
}

/// ½ |y − X w|² + penalty of centred and weighted rows: scikit-learn's objective times Σ weights.
struct Problem {
    /// Xᵀy.
    x_by_y: Vec<f64>,
    /// |y|².
    y_square: f64,
    penalty: Penalty,
}

impl Learner for ElasticNet {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let Labels::Values(y) = data.y else {
            return Err(anyhow!("{} predicts numbers", self.name));
        };
        let strength = self.alpha * data.weight_sum();
        let (l1, l2) = (strength * self.l1_ratio, strength * (1.0 - self.l1_ratio));
        if data.x.sparse().n_cols() > 0 {
            let fits = fit_sparse(data, y, l1, &[l2], self.fit_intercept, watch);
            return fits.into_iter().next().ok_or_else(|| Interrupted.into());
        }
        let rows = Centred::new(data, y, self.fit_intercept);
        let (n_rows, n_cols) = (rows.n_rows(), rows.n_cols());
        if l1 == 0.0 {
            // The duality gap needs an L1 part, and without it there is a closed form.
            return LeastSquares { alpha: l2, fit_intercept: self.fit_intercept }.fit(data, watch);
        }
        let penalty = Penalty { l1, l2, n_penalised: n_cols };
        let negative = |values: &[f64]| values.iter().map(|v| -v).collect();
        let (coefficients, gap) = if prefers_products(n_rows, n_cols) {
            // The target goes along as one more column.
            let fill = |i: usize, out: &mut [f64]| {
                let y = rows.row_into(i, &mut out[..n_cols]);
                out[n_cols] = y;
            };
            let mut all = products(n_rows, n_cols + 1, &fill, watch);
            let (x_by_y, y_square) = (all.row(n_cols)[..n_cols].to_vec(), all.row(n_cols)[n_cols]);
            all.shrink(n_cols);
            let slopes = negative(&x_by_y);
            let problem = Problem { x_by_y, y_square, penalty };
            self.solve(&problem, &mut ByProducts::new(all, slopes), watch)
        } else {
            let (columns, y) = rows.columns();
            let x_by_y: Vec<f64> = columns.chunks_exact(n_rows).map(|column| dot(column, &y)).collect();
            let slopes = negative(&x_by_y);
            let problem = Problem { x_by_y, y_square: dot(&y, &y), penalty };
            self.solve(&problem, &mut ByColumns::new(&columns, n_rows, None, slopes), watch)
        };
        let mut notes = Vec::new();
        if gap > self.tol && !watch.stopped() {
            notes.push(format!(
                "{} did not converge in {} passes: the duality gap is {gap:.1e}, tol {:e}; --set max_iter=… or a \
                 larger tol or alpha",
                self.name, self.max_iter, self.tol
            ));
        }
        Ok(Fit { predictor: rows.predictor(coefficients), notes })
    }

    fn reads_sparse(&self) -> bool {
        true
    }
}

impl ElasticNet {
    /// The coefficients, and the duality gap as a share of |y|².
    fn solve(&self, problem: &Problem, quadratic: &mut impl Quadratic, watch: &dyn Watch) -> (Vec<f64>, f64) {
        let mut w = vec![0.0; problem.x_by_y.len()];
        let mut gap = problem.gap(quadratic, &w);
        let mut passes = 0;
        while gap > self.tol && passes < self.max_iter && !watch.stopped() {
            passes += descend(quadratic, &problem.penalty, &mut w, self.max_iter - passes).1;
            gap = problem.gap(quadratic, &w);
            watch.progress(passes as u64, self.max_iter as u64, format_args!("duality gap {gap:.1e}"));
        }
        (w, gap)
    }
}

impl Problem {
    /// The duality gap at `w` as a share of |y|², 0 where y is constant.
    fn gap(&self, quadratic: &impl Quadratic, w: &[f64]) -> f64 {
        if self.y_square == 0.0 {
            return 0.0;
        }
        let Penalty { l1, l2, .. } = self.penalty;
        let slopes: Vec<f64> = (0..w.len()).map(|j| quadratic.slope(j)).collect();
        let explained = dot(&self.x_by_y, w);
        // |y − Xw|², from Xᵀ(y − Xw), the negative slopes.
        let residual_square = (self.y_square - explained + dot(&slopes, w)).max(0.0);
        let steepest = slopes.iter().zip(w).map(|(slope, w)| (slope + l2 * w).abs()).fold(0.0, f64::max);
        // The residual, shrunk until it is feasible in the dual.
        let shrink = if steepest > l1 { l1 / steepest } else { 1.0 };
        let size: f64 = w.iter().map(|w| w.abs()).sum();
        let gap = 0.5 * (1.0 + shrink * shrink) * (residual_square + l2 * dot(w, w)) + l1 * size
            - shrink * (self.y_square - explained);
        (gap / self.y_square).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::laws::{self, arrays, noise, predictor, select};
    use crate::model::learn::linear::least_squares::LINEAR_REGRESSION;
    use crate::model::predictor::arrays::take_f64;

    fn target(x: &Matrix) -> Vec<f64> {
        x.rows().map(|row| 3.0 * row[0] - 2.0 * row[1] + 0.1 * row[2] * row[2] + 5.0).collect()
    }

    /// Coefficients, then the intercept.
    fn fit(algorithm: &'static Algorithm, settings: &[(&str, &str)], data: &Dataset) -> Vec<f64> {
        let mut arrays = arrays(&predictor(algorithm, settings, data));
        ["linear.coefficients", "linear.intercepts"]
            .iter()
            .flat_map(|name| take_f64(&mut arrays, name).unwrap())
            .collect()
    }

    fn near(a: &[f64], b: &[f64], tolerance: f64) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} and {b:?}");
    }

    const ALGORITHMS: [&Algorithm; 2] = [&LASSO, &ELASTIC_NET];

    #[test]
    fn useless_columns_are_left_out_and_a_penalty_of_any_size_can_be_computed() {
        let x = noise(200, 6, 1);
        let y = target(&x);
        let data = Dataset::new(&x, Labels::Values(&y));
        let at = fit(&LASSO, &[("alpha", "0.1")], &data);
        assert!(at[0] > 2.0 && at[1] < -1.0 && at[2..6] == [0.0; 4], "{at:?}");
        // All of it: the mean is left.
        let at = fit(&LASSO, &[("alpha", "100")], &data);
        assert!(at[..6] == [0.0; 6] && (at[6] - y.iter().sum::<f64>() / 200.0).abs() < 1e-12);
        // None of it: least squares.
        let line = predictor(&LINEAR_REGRESSION, &[], &data);
        assert_eq!(predictor(&LASSO, &[("alpha", "0")], &data), line);
        near(&fit(&LASSO, &[("alpha", "1e-9")], &data), &fit(&LASSO, &[("alpha", "0")], &data), 1e-6);
    }

    #[test]
    fn products_and_columns_find_the_same_coefficients() {
        // 30 rows of 30 columns go by products; with 5 useless columns more, by columns.
        let square = noise(30, 30, 3);
        let mut wide = Matrix::with_capacity(30, 35);
        square.rows().for_each(|row| wide.push_row(0.0)[..30].copy_from_slice(row));
        let y = target(&square);
        for algorithm in ALGORITHMS {
            let [square, wide] = [&square, &wide].map(|x| {
                fit(algorithm, &[("alpha", "0.05"), ("tol", "1e-13")], &Dataset::new(x, Labels::Values(&y)))
            });
            near(&square[..30], &wide[..30], 1e-6);
            assert!(wide[30..35] == [0.0; 5] && (square[30] - wide[35]).abs() < 1e-6);
            assert!(square[..30].contains(&0.0), "{square:?}");
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice() {
        let x = noise(12, 4, 1);
        let y = target(&x);
        let weights: Vec<f64> = (0..12).map(|i| [2.0, 1.0, 0.0][i % 3]).collect();
        let rows: Vec<usize> = (0..12).flat_map(|i| vec![i; weights[i] as usize]).collect();
        let repeated = select(&x, &rows);
        let repeated_y: Vec<f64> = rows.iter().map(|&i| y[i]).collect();
        for algorithm in ALGORITHMS {
            let settings = [("alpha", "0.01"), ("tol", "1e-14")];
            let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&y)) };
            let plain = Dataset::new(&repeated, Labels::Values(&repeated_y));
            near(&fit(algorithm, &settings, &weighted), &fit(algorithm, &settings, &plain), 1e-6);
        }
    }

    #[test]
    fn constant_columns_and_a_constant_target_have_coefficients_of_0() {
        let mut x = noise(10, 40, 2);
        (0..10).for_each(|i| x.row_mut(i)[3] = 7.0);
        let y = target(&x);
        for algorithm in ALGORITHMS {
            let at = fit(algorithm, &[("alpha", "0.01")], &Dataset::new(&x, Labels::Values(&y)));
            assert!(at[3] == 0.0 && at[0] > 0.0);
            let at = fit(algorithm, &[], &Dataset::new(&x, Labels::Values(&[4.0; 10])));
            assert!(at[..40] == [0.0; 40] && (at[40] - 4.0).abs() < 1e-12);
            let one = noise(1, 3, 4);
            let at = fit(algorithm, &[], &Dataset::new(&one, Labels::Values(&[4.0])));
            assert_eq!(at, [0.0, 0.0, 0.0, 4.0]);
        }
    }

    #[test]
    fn too_few_passes_are_told() {
        let x = noise(50, 5, 6);
        let y = target(&x);
        let data = Dataset::new(&x, Labels::Values(&y));
        let short = [("alpha", "0.001"), ("max_iter", "1")];
        let notes = laws::fit(&LASSO, &short, &data).unwrap().notes;
        assert!(notes[0].starts_with("lasso did not converge in 1 passes: the duality gap is"), "{notes:?}");
    }
}
