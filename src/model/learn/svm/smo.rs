//! Sequential minimal optimisation: the dual of support vector classification and regression.
//!
//! In every step the two rows that promise the largest gain change their weights (second-order working sets:
//! Fan, Chen and Lin 2005, "Working set selection using second order information for training support vector
//! machines"). Rows that seem to be settled at a bound are set aside (shrinking: Joachims 1999); the rule for
//! that and the stopping rule are those of Chang and Lin 2011, "LIBSVM: a library for support vector
//! machines", 4.1 and 5.1. All rows come back once, when the others have converged, and not before as well:
//! that costs a pass over all support vectors.
//!
//! smartcore's `SVC` (0.7) computes each kernel value before it asks its cache for it and allocates two
//! vectors for each: 6.4 s on 2,000 rows, for which this needs 0.035 s (benches/smartcore.rs). Neither what `kernel_cache` holds nor
//! the number of threads changes the result.

use rayon::prelude::*;

use super::kernel_cache::KernelCache;
use super::problem::{Limits, Problem, Solution, Start};
use crate::model::predictor::kernel::{Kernel, LANES, TOGETHER, Tiles};
use crate::model::predictor::linear::dot;

/// The least curvature along a step, for rows that are copies of each other (libsvm's TAU).
const MIN_CURVATURE: f64 = 1e-12;

/// Steps between two looks at what can be set aside, at most (libsvm).
const SHRINK_PERIOD: u64 = 1000;

/// Least share of rows to set aside at a time, because that moves all kept kernel rows.
const MIN_SET_ASIDE: f64 = 0.2;

/// Tiles of a kernel row that a thread takes at a time.
const PART_TILES: usize = 64;

/// Operations on a kernel row from which two threads are faster than one.
const PARALLEL_WORK: usize = 1 << 19;

/// Values among which the place of a maximum is looked for again.
const CHUNK: usize = 512;

/// Steps between two questions whether to stop.
const WATCH_PERIOD: u64 = 256;

/// Solves. `watch` is told the violation now and then and says whether to stop with what there is.
pub(super) fn solve(problem: &Problem, limits: &Limits, watch: &dyn Fn(f64) -> bool) -> Solution {
    let start = Start { beta: vec![0.0; problem.rows.len()], residual: problem.target.clone() };
    let period = SHRINK_PERIOD.min(problem.rows.len() as u64);
    Solver::new(problem, limits, start).run(period, watch)
}

/// Solves from near the minimum: rows are set aside from the beginning.
pub(super) fn solve_from(
    start: Start,
    problem: &Problem,
    limits: &Limits,
    watch: &dyn Fn(f64) -> bool,
) -> Solution {
    Solver::new(problem, limits, start).run(0, watch)
}

/// The most violating values of those that may rise and those that may fall.
#[derive(Clone, Copy)]
struct Extremes {
    /// The position of the highest.
    rising: usize,
    highest: f64,
    lowest: f64,
}

impl Extremes {
    fn violation(&self) -> f64 {
        self.highest - self.lowest
    }
}

/// All arrays are by position; the rows that are still in play come first.
struct Solver<'a> {
    problem: &'a Problem<'a>,
    limits: &'a Limits,
    n_active: usize,
    /// The row at each position.
    row_at: Vec<usize>,
    tiles: Tiles,
    diagonal: Vec<f64>,
    beta: Vec<f64>,
    /// z − Kβ.
    residual: Vec<f64>,
    /// The term that makes the residual the pull upwards: ∓ε, or −∞ if the weight cannot rise.
    up: Vec<f64>,
    /// The term that makes it the pull downwards: ±ε, or +∞ if the weight cannot fall.
    down: Vec<f64>,
    cache: KernelCache,
}

impl<'a> Solver<'a> {
    fn new(problem: &'a Problem<'a>, limits: &'a Limits, start: Start) -> Self {
        let n = problem.rows.len();
        let n_cols = problem.rows.first().map_or(0, |row| row.len());
        let tiles = Tiles::new(n_cols, problem.rows.iter().copied());
        let diagonal = (0..n).map(|i| problem.kernel.diagonal(tiles.norm(i))).collect();
        let capacity = (limits.cache_bytes / size_of::<f32>()).max(2 * n);
        let mut solver = Self {
            problem,
            limits,
            n_active: n,
            row_at: (0..n).collect(),
            tiles,
            diagonal,
            beta: start.beta,
            residual: start.residual,
            up: vec![0.0; n],
            down: vec![0.0; n],
            cache: KernelCache::new(n, capacity),
        };
        (0..n).for_each(|i| solver.set_sides(i));
        solver
    }

    fn set_sides(&mut self, i: usize) {
        (self.up[i], self.down[i]) = self.problem.sides(self.row_at[i], self.beta[i]);
    }

    fn run(mut self, first_shrink: u64, watch: &dyn Fn(f64) -> bool) -> Solution {
        let n = self.problem.rows.len();
        let period = SHRINK_PERIOD.min(n as u64).max(1);
        let (mut iterations, mut next_shrink) = (0, first_shrink);
        let mut converged = false;
        let mut extremes = self.extremes();
        loop {
            if iterations >= next_shrink && self.limits.shrinking {
                next_shrink = iterations + period;
                if self.set_aside(extremes) {
                    extremes = self.extremes();
                }
            }
            if extremes.violation() < self.limits.tol {
                if self.n_active == n {
                    converged = true;
                    break;
                }
                self.restore();
                extremes = self.extremes();
                next_shrink = iterations + 1;
                continue;
            }
            let stop = iterations % WATCH_PERIOD == 0 && watch(extremes.violation());
            if stop || iterations >= self.limits.max_iter {
                break;
            }
            iterations += 1;
            let Some(after) = self.step(extremes) else {
                break;
            };
            extremes = after;
        }
        if !converged && self.n_active < n {
            self.restore();
            extremes = self.extremes();
        }
        self.solution(extremes, iterations, converged)
    }

    /// Moves weight between the row that is pulled up most and the best partner. None if nothing moves.
    fn step(&mut self, extremes: Extremes) -> Option<Extremes> {
        let (n, i) = (self.n_active, extremes.rising);
        self.fetch(i, i);
        let row_i = &self.cache.rows[i][..n];
        let (sides, diagonal) = ((&self.residual[..n], &self.down[..n]), &self.diagonal[..n]);
        let j = partner(sides, diagonal, row_i, extremes.highest, self.diagonal[i])?;
        self.fetch(j, i);
        let value = f64::from(self.cache.rows[i][j]);
        let curvature = (self.diagonal[i] + self.diagonal[j] - 2.0 * value).max(MIN_CURVATURE);
        let pull = extremes.highest - (self.residual[j] + self.down[j]);
        // No further than to a bound, or to 0, where the slope of ε|β| turns.
        let end_i = if self.beta[i] < 0.0 { 0.0 } else { self.problem.upper[self.row_at[i]] };
        let end_j = if self.beta[j] > 0.0 { 0.0 } else { self.problem.lower[self.row_at[j]] };
        let (room_i, room_j) = (end_i - self.beta[i], self.beta[j] - end_j);
        let delta = (pull / curvature).min(room_i).min(room_j);
        let (before_i, before_j) = (self.beta[i], self.beta[j]);
        self.beta[i] = if delta >= room_i { end_i } else { before_i + delta };
        self.beta[j] = if delta >= room_j { end_j } else { before_j - delta };
        if (self.beta[i], self.beta[j]) == (before_i, before_j) {
            return None;
        }
        self.set_sides(i);
        self.set_sides(j);
        let (row_i, row_j) = (&self.cache.rows[i][..n], &self.cache.rows[j][..n]);
        let residual = &mut self.residual[..n];
        Some(advance(residual, &self.up[..n], &self.down[..n], row_i, row_j, delta))
    }

    /// The extremes of the rows in play as they stand.
    fn extremes(&mut self) -> Extremes {
        let n = self.n_active;
        let still = vec![0.0; n];
        advance(&mut self.residual[..n], &self.up[..n], &self.down[..n], &still, &still, 0.0)
    }

    /// Fills the kernel row of position `i` for all rows in play; the row of `keep` stays in the cache.
    fn fetch(&mut self, i: usize, keep: usize) {
        let row = self.problem.rows[self.row_at[i]];
        let (tiles, kernel, norm) = (&self.tiles, self.problem.kernel, self.tiles.norm(i));
        self.cache.fetch(i, keep, self.n_active, |first, out: &mut [f32]| {
            let fill = |(part, out): (usize, &mut [f32])| {
                let mut values = [[0.0; LANES]; TOGETHER];
                let first = first / LANES + part * PART_TILES;
                for (i, out) in out.chunks_mut(TOGETHER * LANES).enumerate() {
                    let values = &mut values[..out.len().div_ceil(LANES)];
                    tiles.kernels(kernel, row, norm, first + i * TOGETHER, values);
                    out.iter_mut().zip(values.as_flattened()).for_each(|(out, value)| *out = *value as f32);
                }
            };
            if out.len() * (row.len() + LANES) < PARALLEL_WORK {
                fill((0, out));
            } else {
                out.par_chunks_mut(PART_TILES * LANES).enumerate().for_each(fill);
            }
        });
    }

    /// Moves the rows that seem settled behind the others, and tells whether there were enough of them.
    fn set_aside(&mut self, extremes: Extremes) -> bool {
        let n = self.n_active;
        let (kept, settled): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| {
            self.residual[i] + self.up[i] >= extremes.lowest
                || self.residual[i] + self.down[i] <= extremes.highest
        });
        if (settled.len() as f64) < MIN_SET_ASIDE * n as f64 {
            return false;
        }
        self.cache.keep(&kept, n);
        let order = [kept.as_slice(), &settled].concat();
        let numbers = [&mut self.diagonal, &mut self.beta, &mut self.residual, &mut self.up, &mut self.down];
        for values in numbers {
            let moved: Vec<f64> = order.iter().map(|&i| values[i]).collect();
            values[..n].copy_from_slice(&moved);
        }
        let moved: Vec<usize> = order.iter().map(|&i| self.row_at[i]).collect();
        self.row_at[..n].copy_from_slice(&moved);
        let rows = self.row_at.iter().map(|&row| self.problem.rows[row]);
        self.tiles = Tiles::new(self.problem.rows[0].len(), rows);
        self.n_active = kept.len();
        true
    }

    /// Brings all rows back into play and computes the residuals of those that were set aside.
    fn restore(&mut self) {
        let (first, n) = (self.n_active, self.problem.rows.len());
        let kernel = self.problem.kernel;
        self.n_active = n;
        if kernel == Kernel::Linear {
            // Of all rows as soon as of one: w = Σ βᵢxᵢ.
            let weights = self.problem.weights(&self.row_at, &self.beta);
            for i in first..n {
                let row = self.row_at[i];
                self.residual[i] = self.problem.target[row] - dot(self.problem.rows[row], &weights);
            }
            return;
        }
        let support: Vec<(&[f64], f64, f64)> = (0..n)
            .filter(|&i| self.beta[i] != 0.0)
            .map(|i| (self.problem.rows[self.row_at[i]], self.tiles.norm(i), self.beta[i]))
            .collect();
        let add_up = |(first, sums): (usize, &mut [[f64; LANES]])| {
            let mut values = [[0.0; LANES]; TOGETHER];
            let values = &mut values[..sums.len()];
            for &(row, norm, beta) in &support {
                self.tiles.kernels(kernel, row, norm, first, values);
                let sums = sums.as_flattened_mut().iter_mut().zip(values.as_flattened());
                sums.for_each(|(sum, value)| *sum += beta * value);
            }
        };
        let first_tile = first / LANES;
        let mut sums = vec![[0.0; LANES]; self.tiles.n_tiles() - first_tile];
        let parts = sums.par_chunks_mut(TOGETHER).enumerate();
        parts.map(|(part, sums)| (first_tile + part * TOGETHER, sums)).for_each(add_up);
        for i in first..n {
            let sum = sums[i / LANES - first_tile][i % LANES];
            self.residual[i] = self.problem.target[self.row_at[i]] - sum;
        }
    }

    fn solution(self, extremes: Extremes, iterations: u64, converged: bool) -> Solution {
        // Back in the order of the rows.
        let n = self.beta.len();
        let (mut beta, mut residual) = (vec![0.0; n], vec![0.0; n]);
        for (i, &row) in self.row_at.iter().enumerate() {
            (beta[row], residual[row]) = (self.beta[i], self.residual[i]);
        }
        let middle = (extremes.highest + extremes.lowest) / 2.0;
        let middle = if middle.is_finite() { middle } else { 0.0 };
        let intercept = self.problem.intercept(&beta, &residual).unwrap_or(middle);
        Solution { beta, intercept, iterations, converged }
    }
}

/// Takes `delta` (row_i − row_j) from the residuals and finds the extremes of what comes of it; the first of
/// equals.
fn advance(
    residual: &mut [f64],
    up: &[f64],
    down: &[f64],
    row_i: &[f32],
    row_j: &[f32],
    delta: f64,
) -> Extremes {
    let (mut highest, mut lowest, mut chunk_of_highest) = (f64::NEG_INFINITY, f64::INFINITY, 0);
    for (chunk, first) in (0..residual.len()).step_by(CHUNK).enumerate() {
        let end = (first + CHUNK).min(residual.len());
        let (residuals, rest) = residual[first..end].as_chunks_mut::<8>();
        let (up, up_rest) = up[first..end].as_chunks::<8>();
        let (down, down_rest) = down[first..end].as_chunks::<8>();
        let (row_i, i_rest) = row_i[first..end].as_chunks::<8>();
        let (row_j, j_rest) = row_j[first..end].as_chunks::<8>();
        let (mut high, mut low) = ([f64::NEG_INFINITY; 8], [f64::INFINITY; 8]);
        let eights = residuals.iter_mut().zip(up).zip(down).zip(row_i).zip(row_j);
        for ((((residual, up), down), k_i), k_j) in eights {
            for l in 0..8 {
                let value = residual[l] - delta * (f64::from(k_i[l]) - f64::from(k_j[l]));
                residual[l] = value;
                high[l] = larger(high[l], value + up[l]);
                low[l] = smaller(low[l], value + down[l]);
            }
        }
        let single = rest.iter_mut().zip(up_rest).zip(down_rest).zip(i_rest).zip(j_rest);
        for ((((residual, up), down), k_i), k_j) in single {
            *residual -= delta * (f64::from(*k_i) - f64::from(*k_j));
            high[0] = larger(high[0], *residual + up);
            low[0] = smaller(low[0], *residual + down);
        }
        let high = high.into_iter().fold(f64::NEG_INFINITY, larger);
        if high > highest {
            (highest, chunk_of_highest) = (high, chunk);
        }
        lowest = low.into_iter().fold(lowest, smaller);
    }
    let first = chunk_of_highest * CHUNK;
    let pulls = residual[first..].iter().zip(&up[first..]).map(|(residual, up)| residual + up);
    let rising = first + pulls.take(CHUNK).position(|pull| pull == highest).unwrap_or(0);
    Extremes { rising, highest, lowest }
}

/// The position whose fall gains most when `i`, which is pulled up by `highest`, rises; the first of equals.
/// `sides`: residuals and what to add for the pull downwards.
fn partner(
    sides: (&[f64], &[f64]),
    diagonal: &[f64],
    row_i: &[f32],
    highest: f64,
    diagonal_i: f64,
) -> Option<usize> {
    let (residual, down) = sides;
    let gain = |residual: f64, down: f64, diagonal: f64, k: f32| {
        let pull = larger(highest - (residual + down), 0.0);
        let curvature = larger((diagonal_i + diagonal) - 2.0 * f64::from(k), MIN_CURVATURE);
        pull * pull / curvature
    };
    let (mut best, mut best_chunk) = (0.0, None);
    for first in (0..residual.len()).step_by(CHUNK) {
        let end = (first + CHUNK).min(residual.len());
        let (residuals, rest) = residual[first..end].as_chunks::<8>();
        let (downs, down_rest) = down[first..end].as_chunks::<8>();
        let (diagonals, diagonal_rest) = diagonal[first..end].as_chunks::<8>();
        let (row, row_rest) = row_i[first..end].as_chunks::<8>();
        let mut gains = [0.0; 8];
        for (((residual, down), diagonal), k) in residuals.iter().zip(downs).zip(diagonals).zip(row) {
            for l in 0..8 {
                gains[l] = larger(gains[l], gain(residual[l], down[l], diagonal[l], k[l]));
            }
        }
        for (((residual, down), diagonal), k) in rest.iter().zip(down_rest).zip(diagonal_rest).zip(row_rest) {
            gains[0] = larger(gains[0], gain(*residual, *down, *diagonal, *k));
        }
        let largest = gains.into_iter().fold(0.0, larger);
        if largest > best {
            (best, best_chunk) = (largest, Some(first));
        }
    }
    let first = best_chunk?;
    let end = (first + CHUNK).min(residual.len());
    (first..end).find(|&j| gain(residual[j], down[j], diagonal[j], row_i[j]) == best)
}

/// One instruction, as `f64::max` is not.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// And as `f64::min` is not.
#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::laws::noise;
    use crate::model::learn::svm::dual_coordinate_descent;
    use crate::model::predictor::kernel::squared_norm;

    const LIMITS: Limits = Limits { tol: 1e-5, max_iter: 1_000_000, shrinking: true, cache_bytes: 1 << 24 };

    fn rows(n: usize, n_cols: usize) -> Matrix {
        noise(n, n_cols, 3)
    }

    /// Labels with errors in them, or noisy values.
    fn problem(x: &Matrix, kernel: Kernel, labels: bool) -> Problem<'_> {
        let n = x.n_rows();
        let score = |(i, row): (usize, &[f64])| {
            row[0] + 0.5 * row[1] + row[0] * row[2] + 0.3 * f64::from(i as u32 * 7 % 11 > 8)
        };
        let score: Vec<f64> = x.rows().enumerate().map(score).collect();
        let target = if labels { score.iter().map(|s| (s + 0.1).signum()).collect() } else { score };
        let bound = |z: &f64, side: f64| if labels && z * side < 0.0 { 0.0 } else { side * 2.0 };
        Problem {
            kernel,
            rows: (0..n).map(|i| x.row(i)).collect(),
            lower: target.iter().map(|z| bound(z, -1.0)).collect(),
            upper: target.iter().map(|z| bound(z, 1.0)).collect(),
            target,
            epsilon: if labels { 0.0 } else { 0.05 },
        }
    }

    /// The objective, and the largest difference of two pulls that β leaves.
    fn examine(problem: &Problem, beta: &[f64]) -> (f64, f64) {
        let tiles = Tiles::new(problem.rows[0].len(), problem.rows.iter().copied());
        let (mut objective, mut highest, mut lowest) = (0.0, f64::NEG_INFINITY, f64::INFINITY);
        for (i, row) in problem.rows.iter().enumerate() {
            let mut values = vec![[0.0; LANES]; tiles.n_tiles()];
            tiles.kernels(problem.kernel, row, squared_norm(row), 0, &mut values);
            let sum: f64 = beta.iter().zip(values.as_flattened()).map(|(b, k)| b * k).sum();
            let residual = problem.target[i] - sum;
            let (up, down) = problem.sides(i, beta[i]);
            highest = highest.max(residual + up);
            lowest = lowest.min(residual + down);
            objective += beta[i] * (0.5 * sum - problem.target[i]) + problem.epsilon * beta[i].abs();
        }
        (objective, highest - lowest)
    }

    /// The primal less the dual objective as a share of the primal: 0 at the minimum, and never below.
    fn duality_gap(problem: &Problem, beta: &[f64], intercept: f64) -> f64 {
        let tiles = Tiles::new(problem.rows[0].len(), problem.rows.iter().copied());
        let (mut square, mut losses, mut linear) = (0.0, 0.0, 0.0);
        for (i, row) in problem.rows.iter().enumerate() {
            let mut values = vec![[0.0; LANES]; tiles.n_tiles()];
            tiles.kernels(problem.kernel, row, squared_norm(row), 0, &mut values);
            let sum: f64 = beta.iter().zip(values.as_flattened()).map(|(b, k)| b * k).sum();
            let error = problem.target[i] - sum - intercept;
            let (up, down) = (error - problem.epsilon, error + problem.epsilon);
            losses += (problem.upper[i] * up).max(problem.lower[i] * down).max(0.0);
            square += beta[i] * sum;
            linear += problem.target[i] * beta[i] - problem.epsilon * beta[i].abs();
        }
        let (primal, dual) = (0.5 * square + losses, linear - 0.5 * square);
        (primal - dual) / primal
    }

    #[test]
    fn the_objective_falls_with_the_steps_and_the_duality_gap_closes() {
        let x = rows(300, 4);
        for kernel in [Kernel::Linear, Kernel::Rbf { gamma: 0.7 }] {
            for labels in [true, false] {
                let problem = problem(&x, kernel, labels);
                let (mut last, mut last_gap) = (0.0, f64::INFINITY);
                for max_iter in [10, 100, 1000, 1_000_000] {
                    let solution = solve(&problem, &Limits { max_iter, ..LIMITS }, &|_| false);
                    let objective = examine(&problem, &solution.beta).0;
                    assert!(objective <= last, "{max_iter}: {objective} after {last}");
                    (last, last_gap) = (objective, duality_gap(&problem, &solution.beta, solution.intercept));
                    assert!(last_gap > -1e-9, "{max_iter}: {last_gap}");
                }
                assert!(last_gap < 1e-4, "{last_gap}");
            }
        }
    }

    #[test]
    fn the_solution_is_feasible_and_violates_no_condition_by_more_than_tol() {
        let x = rows(700, 4);
        for kernel in
            [Kernel::Linear, Kernel::Rbf { gamma: 0.7 }, Kernel::Poly { gamma: 0.5, coef0: 1.0, degree: 3 }]
        {
            for labels in [true, false] {
                let problem = problem(&x, kernel, labels);
                let solution = solve(&problem, &LIMITS, &|_| false);
                assert!(solution.converged);
                assert!(solution.beta.iter().sum::<f64>().abs() < 1e-9);
                for (i, b) in solution.beta.iter().enumerate() {
                    assert!(*b >= problem.lower[i] && *b <= problem.upper[i]);
                }
                // Residuals are kept up with kernel values of 24 bits.
                assert!(examine(&problem, &solution.beta).1 < 5.0 * LIMITS.tol);
            }
        }
    }

    #[test]
    fn neither_shrinking_nor_the_size_of_the_cache_matters() {
        let x = rows(1500, 4);
        for labels in [true, false] {
            let problem = problem(&x, Kernel::Rbf { gamma: 0.7 }, labels);
            let solution = solve(&problem, &LIMITS, &|_| false);
            let poor = solve(&problem, &Limits { cache_bytes: 0, ..LIMITS }, &|_| false);
            assert_eq!(solution.beta, poor.beta);
            let plain = solve(&problem, &Limits { shrinking: false, ..LIMITS }, &|_| false);
            let [objective, plain] = [&solution, &plain].map(|s| examine(&problem, &s.beta).0);
            assert!((objective - plain).abs() < 1e-6 * plain.abs());
        }
    }

    #[test]
    fn a_solver_that_is_stopped_leaves_weights_that_are_feasible() {
        let x = rows(300, 4);
        let problem = problem(&x, Kernel::Rbf { gamma: 0.7 }, true);
        for (solution, steps) in [
            (solve(&problem, &LIMITS, &|_| true), 0),
            (solve(&problem, &Limits { max_iter: 20, ..LIMITS }, &|_| false), 20),
        ] {
            assert!(!solution.converged && solution.iterations == steps);
            assert!(solution.beta.iter().sum::<f64>().abs() < 1e-12 && solution.intercept.is_finite());
        }
    }

    #[test]
    fn from_where_descent_along_coordinates_ends_the_same_minimum_is_near() {
        let x = rows(1200, 6);
        for labels in [true, false] {
            let problem = problem(&x, Kernel::Linear, labels);
            let reference = solve(&problem, &LIMITS, &|_| false);
            let start = dual_coordinate_descent::approach(&problem, 0.01, 1, &|_| false);
            assert!(start.beta.iter().sum::<f64>().abs() < 1e-9);
            let near = examine(&problem, &start.beta).0;
            let solution = solve_from(start, &problem, &LIMITS, &|_| false);
            assert!(solution.converged && examine(&problem, &solution.beta).1 < 5.0 * LIMITS.tol);
            let [objective, expected] = [&solution, &reference].map(|s| examine(&problem, &s.beta).0);
            assert!((objective - expected).abs() < 1e-7 * expected.abs(), "{objective} {expected}");
            assert!((solution.intercept - reference.intercept).abs() < 1e-3);
            assert!((near - expected) < 0.01 * expected.abs(), "{near} {expected}");
        }
    }
}
