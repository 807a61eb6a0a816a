//! Dual coordinate descent: a start for `smo` where the kernel is linear and the rows are many.
//!
//! With a linear kernel the residual of a row needs only the weights of the columns, w = Σ βᵢxᵢ, so that one row
//! after the other can be given its best weight in the time it takes to read it (Hsieh et al. 2008, "A dual
//! coordinate descent method for large-scale linear SVM", algorithm 3; for regression Ho and Lin 2012). That
//! comes near the minimum soon and ends there slowly, while SMO begins slowly and, with all but a few rows set
//! aside, ends soon.
//!
//! liblinear, which does only the former, penalises the intercept, which is another model. Here it is free as in
//! `SVC(kernel="linear")`: Σβᵢ = 0 is approached by the method of multipliers (Bertsekas 1982), with the
//! intercept for a multiplier, and SMO keeps it exactly.

use super::smo::{Problem, Start};
use crate::data::split::folds::{generator, shuffle};
use crate::model::predictor::linear::dot;

/// Passes over the rows in play; more gain less than steps of SMO do.
const N_EPOCHS: usize = 100;

/// How hard Σβ is pulled to 0, beside the mean curvature of a row.
const STIFFNESS: f64 = 0.1;

/// A subproblem is solved this much better than Σβ is near 0 before the intercept moves.
const INNER_ACCURACY: f64 = 0.5;

/// Weights near the minimum, of sum 0. `tol`: a violation that is good enough; `seed` orders the rows; `watch` as
/// in `smo`.
pub fn approach(problem: &Problem, tol: f64, seed: u64, watch: &dyn Fn(f64) -> bool) -> Start {
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
            // All rows are looked at again before anything is believed.
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
