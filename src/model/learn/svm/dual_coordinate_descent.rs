//! Dual coordinate descent: a start for `smo` if the kernel is linear and there are many rows.
//!
//! With a linear kernel the residual of a row needs only the weights of the columns, w = Σ βᵢxᵢ, so that one
//! row after the other can be given its best weight in the time it takes to read it (Hsieh et al. 2008, "A
//! dual coordinate descent method for large-scale linear SVM", algorithm 3; for regression Ho and Lin 2012).
//! That approaches the minimum fast and converges slowly, while SMO begins slowly and, with all but a few
//! rows set aside, converges fast.
//!
//! liblinear, which does only the former, penalises the intercept, which is another model. Here it is free as
//! in `SVC(kernel="linear")`: Σβᵢ = 0 is approached by the method of multipliers (Bertsekas 1982), with the
//! intercept for a multiplier, and SMO keeps it exactly.

use super::problem::{Problem, Start};
use crate::model::predictor::linear::dot;
use crate::random::{generator, shuffle};

/// Most passes over the rows in play; further passes gain less than steps of SMO.
const N_EPOCHS: usize = 100;

/// The stiffness of the pull of Σβ to 0, as a share of the mean curvature of a row.
const STIFFNESS: f64 = 0.1;

/// A subproblem is solved this much better than Σβ is near 0 before the intercept moves.
const INNER_ACCURACY: f64 = 0.5;

/// Weights near the minimum, of sum 0. `tol`: a violation that is good enough; `seed` orders the rows;
/// `watch` as in `smo`.
pub(super) fn approach(problem: &Problem, tol: f64, seed: u64, watch: &dyn Fn(f64) -> bool) -> Start {
    let n = problem.rows.len();
    let norms: Vec<f64> = problem.rows.iter().map(|row| dot(row, row)).collect();
    let stiffness = STIFFNESS * norms.iter().sum::<f64>() / n.max(1) as f64 + f64::MIN_POSITIVE;
    let mut weights = vec![0.0; problem.rows.first().map_or(0, |row| row.len())];
    let mut beta = vec![0.0; n];
    let (mut beta_sum, mut multiplier) = (0.0, 0.0);
    let mut random = generator(seed);
    let mut active: Vec<usize> = (0..n).collect();
    let mut settled_beyond = f64::INFINITY;
    for _ in 0..N_EPOCHS {
        shuffle(&mut active, &mut random);
        let mut violation = 0.0_f64;
        active.retain(|&i| {
            let row = problem.rows[i];
            let residual = problem.target[i] - dot(row, &weights) - (multiplier + stiffness * beta_sum);
            let (up, down) = problem.sides(i, beta[i]);
            let (up, down) = (residual + up, residual + down);
            if up < -settled_beyond && down > settled_beyond {
                return false;
            }
            violation = violation.max(up).max(-down);
            if up > 0.0 || down < 0.0 {
                let curvature = norms[i] + stiffness;
                let best = beta[i] + residual / curvature;
                let best = best.signum() * (best.abs() - problem.epsilon / curvature).max(0.0);
                let best = best.clamp(problem.lower[i], problem.upper[i]);
                let delta = best - beta[i];
                beta[i] = best;
                beta_sum += delta;
                weights.iter_mut().zip(row).for_each(|(w, v)| *w += delta * v);
            }
            true
        });
        if watch(violation) {
            break;
        }
        let shift = stiffness * beta_sum;
        settled_beyond = violation;
        if violation <= tol.max(INNER_ACCURACY * shift.abs()) {
            if active.len() == n {
                if shift.abs() <= tol {
                    break;
                }
                multiplier += shift;
            }
            // All rows are checked again before the end.
            active = (0..n).collect();
            settled_beyond = f64::INFINITY;
        }
    }
    // What is left of the sum goes to the first rows that can take it.
    let mut left: f64 = beta.iter().sum();
    for (i, beta) in beta.iter_mut().enumerate() {
        if left == 0.0 {
            break;
        }
        let moved = (*beta - left).clamp(problem.lower[i], problem.upper[i]);
        left -= *beta - moved;
        *beta = moved;
    }
    let order: Vec<usize> = (0..n).collect();
    let weights = problem.weights(&order, &beta);
    let residual = problem.rows.iter().zip(&problem.target).map(|(row, z)| z - dot(row, &weights)).collect();
    Start { beta, residual }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::laws::noise;
    use crate::model::predictor::kernel::Kernel;

    fn problem(x: &Matrix) -> Problem<'_> {
        let target: Vec<f64> = x.rows().map(|row| (row[0] - 0.5 * row[1] + 0.1).signum()).collect();
        Problem {
            kernel: Kernel::Linear,
            rows: x.rows().collect(),
            lower: target.iter().map(|z| z.min(0.0)).collect(),
            upper: target.iter().map(|z| z.max(0.0)).collect(),
            target,
            epsilon: 0.0,
        }
    }

    #[test]
    fn weights_stay_in_their_bounds_with_sum_0_and_the_residuals_are_theirs() {
        let x = noise(400, 3, 2);
        let problem = problem(&x);
        for n_epochs in [1, 5, 100] {
            let done = std::cell::Cell::new(0);
            let start = approach(&problem, 1e-3, 7, &|_| {
                done.set(done.get() + 1);
                done.get() >= n_epochs
            });
            assert!(start.beta.iter().sum::<f64>().abs() < 1e-9);
            let order: Vec<usize> = (0..400).collect();
            let w = problem.weights(&order, &start.beta);
            for (i, (beta, residual)) in start.beta.iter().zip(&start.residual).enumerate() {
                assert!((problem.lower[i]..=problem.upper[i]).contains(beta));
                assert!((residual - (problem.target[i] - dot(problem.rows[i], &w))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_duality_gap_is_almost_closed() {
        let x = noise(1000, 4, 5);
        let problem = problem(&x);
        let start = approach(&problem, 1e-3, 7, &|_| false);
        let b = problem.intercept(&start.beta, &start.residual).unwrap();
        let w = problem.weights(&(0..1000).collect::<Vec<_>>(), &start.beta);
        let of_row = |(z, row): (&f64, &&[f64])| (1.0 - z * (dot(&w, row) + b)).max(0.0);
        let losses: f64 = problem.target.iter().zip(&problem.rows).map(of_row).sum();
        let primal = 0.5 * dot(&w, &w) + losses;
        let dual = start.beta.iter().map(|beta| beta.abs()).sum::<f64>() - 0.5 * dot(&w, &w);
        assert!(dual <= primal + 1e-9 && primal - dual < 0.01 * primal, "{primal} {dual}");
        // Another order of the rows comes near the same minimum.
        let other = approach(&problem, 1e-3, 8, &|_| false);
        assert!(start.beta != other.beta);
        let v = problem.weights(&(0..1000).collect::<Vec<_>>(), &other.beta);
        assert!(w.iter().zip(&v).all(|(a, b)| (a - b).abs() < 0.05), "{w:?} {v:?}");
    }
}
