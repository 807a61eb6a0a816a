//! The problem that the solvers of a support vector machine share, and its solution.
//!
//! Classification and regression are one problem. With β the signed weight of each row in the solution,
//!
//! ```text
//! minimise ½ βᵀKβ − zᵀβ + ε Σ|βᵢ|   subject to Σβᵢ = 0 and lowerᵢ ≤ βᵢ ≤ upperᵢ
//! ```
//!
//! is classification for labels z = ±1, ε = 0 and βᵢ = zᵢαᵢ between 0 and ±C, and regression for targets z
//! and βᵢ = αᵢ − αᵢ* between −C and C; neither needs two variables for a row.

use crate::model::predictor::kernel::Kernel;

/// The objective and its bounds; one entry of each per row.
pub(super) struct Problem<'a> {
    /// The similarity of two rows.
    pub kernel: Kernel,
    /// The rows, each of the same number of columns.
    pub rows: Vec<&'a [f64]>,
    /// Labels ±1, or target values.
    pub target: Vec<f64>,
    /// The least weight of each row, not above 0.
    pub lower: Vec<f64>,
    /// The largest weight of each row, not below 0.
    pub upper: Vec<f64>,
    /// Half the width of the tube in which a residual costs nothing; 0 for labels.
    pub epsilon: f64,
}

impl Problem<'_> {
    /// The terms that make a row's residual its pull upwards and its pull downwards at weight `beta`: ε with
    /// the sign of its slope, or an infinity that rules out a move beyond a bound.
    pub(super) fn sides(&self, row: usize, beta: f64) -> (f64, f64) {
        let up = match beta {
            _ if beta >= self.upper[row] => f64::NEG_INFINITY,
            _ if beta < 0.0 => self.epsilon,
            _ => -self.epsilon,
        };
        let down = match beta {
            _ if beta <= self.lower[row] => f64::INFINITY,
            _ if beta > 0.0 => -self.epsilon,
            _ => self.epsilon,
        };
        (up, down)
    }

    /// Σ βᵢxᵢ, the weights of the columns in a linear kernel; `beta`: one entry per row of `order`.
    pub(super) fn weights(&self, order: &[usize], beta: &[f64]) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows.first().map_or(0, |row| row.len())];
        for (&row, beta) in order.iter().zip(beta).filter(|(_, beta)| **beta != 0.0) {
            weights.iter_mut().zip(self.rows[row]).for_each(|(w, v)| *w += beta * v);
        }
        weights
    }

    /// The mean residual, less ε, of the rows whose weight is free, if there are any: the intercept.
    pub(super) fn intercept(&self, beta: &[f64], residual: &[f64]) -> Option<f64> {
        let (mut sum, mut n_free) = (0.0, 0);
        for (row, (&b, residual)) in beta.iter().zip(residual).enumerate() {
            if b != 0.0 && b > self.lower[row] && b < self.upper[row] {
                sum += residual - self.epsilon * b.signum();
                n_free += 1;
            }
        }
        (n_free > 0).then(|| sum / f64::from(n_free))
    }
}

/// Limits of a solver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest violation of the optimality conditions that is left.
    pub tol: f64,
    /// Most steps.
    pub max_iter: u64,
    /// Whether settled rows are set aside.
    pub shrinking: bool,
    /// Bytes of kernel rows to keep; never less than two rows.
    pub cache_bytes: usize,
}

/// The weights of the rows, and whether they are the minimum.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    /// One weight per row; 0 for rows that do not matter.
    pub beta: Vec<f64>,
    /// The constant added to Σ βᵢ K(xᵢ, x).
    pub intercept: f64,
    /// Steps taken.
    pub iterations: u64,
    /// Whether the violation is below `tol`.
    pub converged: bool,
}

/// Weights to start from: feasible, their sum 0.
pub(super) struct Start {
    /// One weight per row.
    pub beta: Vec<f64>,
    /// z − Kβ.
    pub residual: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f64; 2]; 3] = [[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]];

    fn problem(epsilon: f64) -> Problem<'static> {
        Problem {
            kernel: Kernel::Linear,
            rows: ROWS.iter().map(|row| row.as_slice()).collect(),
            target: vec![1.0, -1.0, 1.0],
            lower: vec![-2.0, -2.0, 0.0],
            upper: vec![2.0, 0.0, 2.0],
            epsilon,
        }
    }

    #[test]
    fn a_weight_at_a_bound_is_never_moved_beyond_it() {
        let problem = problem(0.1);
        assert_eq!(problem.sides(0, 2.0).0, f64::NEG_INFINITY);
        assert_eq!(problem.sides(0, -2.0).1, f64::INFINITY);
        assert_eq!(problem.sides(1, 0.0).0, f64::NEG_INFINITY);
        assert_eq!(problem.sides(2, 0.0).1, f64::INFINITY);
        // And between the bounds it may move either way.
        assert!([-1.0, 0.0, 1.0].iter().all(|&beta| {
            let (up, down) = problem.sides(0, beta);
            up.is_finite() && down.is_finite()
        }));
    }

    #[test]
    fn the_sides_are_the_slopes_of_the_tube() {
        let problem = problem(0.25);
        // −ε |β| as β moves up or down, by its definition.
        for beta in [-1.0, 0.0, 1.0_f64] {
            let slope = |step: f64| -0.25 * ((beta + step).abs() - beta.abs()) / step;
            let (up, down) = problem.sides(0, beta);
            assert!(
                (up - slope(1e-3)).abs() < 1e-9 && (down - slope(-1e-3)).abs() < 1e-9,
                "{beta}: {up} {down}"
            );
        }
    }

    #[test]
    fn weights_are_the_rows_times_beta_in_the_order_of_beta() {
        let problem = problem(0.0);
        assert_eq!(problem.weights(&[0, 1, 2], &[1.0, 2.0, 0.0]), [2.0, 0.0]);
        assert_eq!(problem.weights(&[2, 0], &[1.0, -1.0]), [2.0, -2.0]);
        assert_eq!(problem.weights(&[], &[]), [0.0, 0.0]);
    }

    #[test]
    fn the_intercept_is_that_of_the_rows_on_the_edge_of_the_tube() {
        let problem = problem(0.25);
        // Row 0 is free and above the tube, row 1 free and below, row 2 at its bound and not asked.
        let intercept = problem.intercept(&[1.0, -1.0, 2.0], &[3.0, 1.0, 100.0]).unwrap();
        assert_eq!(intercept, ((3.0 - 0.25) + (1.0 + 0.25)) / 2.0);
        assert_eq!(problem.intercept(&[2.0, -2.0, 0.0], &[3.0, 1.0, 100.0]), None);
    }
}
