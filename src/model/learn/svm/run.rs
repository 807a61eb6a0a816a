//! One fit of a support vector machine: problems made of rows, and predictors made of their solutions.
//!
//! A regression is one problem; `pairs` makes one of each pair of classes.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use super::problem::{Limits, Problem, Solution};
use super::{Svm, dual_coordinate_descent, smo};
use crate::model::learn::Watch;
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::predictor::Predictor;
use crate::model::predictor::kernel::Kernel;
use crate::model::predictor::linear::Linear;
use crate::model::predictor::link::Link;
use crate::model::predictor::support_vectors::{Outcome, Parts, SupportVectors};

/// Most steps if `max_iter` is -1, as in libsvm.
const MAX_STEPS: u64 = 10_000_000;

/// From this many rows on coordinate descent makes a start for a linear kernel.
pub(super) const DESCENT_ROWS: usize = 2000;

/// One fit: the data, and its progress.
pub(super) struct Run<'a> {
    pub svm: &'a Svm,
    pub data: &'a Dataset<'a>,
    pub kernel: Kernel,
    /// C of each row.
    pub cost: Vec<f64>,
    /// Problems that are solved at the same time share the cache.
    pub cache_bytes: usize,
    pub watch: &'a dyn Watch,
    pub n_problems: u64,
    pub n_solved: AtomicU64,
}

impl Run<'_> {
    /// Fits values.
    ///
    /// # Errors
    /// The predictor cannot be made.
    pub(super) fn regression(&self, rows: &[usize], values: &[f64]) -> Result<Fit> {
        let target = rows.iter().map(|&row| values[row]).collect();
        let solution = self.solve(rows, target, self.svm.epsilon);
        let notes = self.not_converged([&solution]);
        let predictor = if self.kernel == Kernel::Linear {
            let weights = self.weights(rows, &solution.beta);
            let linear = Linear::new(Link::Identity, self.data.x.n_cols(), weights, vec![solution.intercept]);
            Predictor::Linear(linear)
        } else {
            Predictor::SupportVectors(Box::new(self.machine(rows, &solution)?))
        };
        Ok(Fit { predictor, notes })
    }

    /// Solves for some rows; `target`: their labels ±1 if `epsilon` is 0 and classes are learned, else their
    /// values.
    pub(super) fn solve(&self, rows: &[usize], target: Vec<f64>, epsilon: f64) -> Solution {
        let is_label = epsilon == 0.0 && matches!(self.data.y, Labels::Classes { .. });
        let bound = |(target, &row): (&f64, &usize), side: f64| {
            if is_label && target * side < 0.0 { 0.0 } else { side * self.cost[row] }
        };
        let bounds = |side| target.iter().zip(rows).map(|row| bound(row, side)).collect();
        let problem = Problem {
            kernel: self.kernel,
            rows: rows.iter().map(|&row| self.data.x.row(row)).collect(),
            lower: bounds(-1.0),
            upper: bounds(1.0),
            target,
            epsilon,
        };
        let limits = Limits {
            tol: self.svm.tol,
            max_iter: self.svm.max_iter.map_or(MAX_STEPS.max(100 * rows.len() as u64), |n| n as u64),
            shrinking: self.svm.shrinking,
            cache_bytes: self.cache_bytes,
        };
        let watch = |violation: f64| {
            let done = self.n_solved.load(Ordering::Relaxed);
            self.watch.progress(done, self.n_problems, format_args!("violation {violation:.4}"));
            self.watch.stopped()
        };
        let solution = if self.kernel == Kernel::Linear && rows.len() >= DESCENT_ROWS {
            let start =
                dual_coordinate_descent::approach(&problem, 10.0 * self.svm.tol, self.data.seed, &watch);
            smo::solve_from(start, &problem, &limits, &watch)
        } else {
            smo::solve(&problem, &limits, &watch)
        };
        self.n_solved.fetch_add(1, Ordering::Relaxed);
        solution
    }

    /// The one-score machine of a solution.
    pub(super) fn machine(&self, rows: &[usize], solution: &Solution) -> Result<SupportVectors> {
        let mut parts = Parts {
            kernel: self.kernel,
            outcome: Outcome::Value,
            n_inputs: self.data.x.n_cols(),
            n_outputs: 1,
            vectors: Vec::new(),
            coefficients: Vec::new(),
            counts: Vec::new(),
            intercepts: vec![solution.intercept],
            calibration: Vec::new(),
            classes: Vec::new(),
        };
        if self.kernel == Kernel::Linear {
            parts.vectors = self.weights(rows, &solution.beta);
            return SupportVectors::new(parts);
        }
        for (&row, &beta) in rows.iter().zip(&solution.beta).filter(|(_, beta)| **beta != 0.0) {
            parts.vectors.extend(self.data.x.row(row));
            parts.coefficients.push(beta);
        }
        parts.counts.push(parts.coefficients.len() as u32);
        SupportVectors::new(parts)
    }

    /// Σ βᵢ xᵢ, the weights of the columns in a linear kernel.
    pub(super) fn weights(&self, rows: &[usize], beta: &[f64]) -> Vec<f64> {
        let mut weights = vec![0.0; self.data.x.n_cols()];
        for (&row, beta) in rows.iter().zip(beta).filter(|(_, beta)| **beta != 0.0) {
            weights.iter_mut().zip(self.data.x.row(row)).for_each(|(w, v)| *w += beta * v);
        }
        weights
    }

    /// A note if a solver ran out of steps.
    pub(super) fn not_converged<'b>(&self, solutions: impl IntoIterator<Item = &'b Solution>) -> Vec<String> {
        let unfinished = solutions.into_iter().filter(|solution| !solution.converged);
        let steps = unfinished.map(|solution| solution.iterations).max();
        let note = |steps| {
            format!("svm did not converge in {steps} steps; --set max_iter=… or tol=… larger, or C=… smaller")
        };
        steps.filter(|_| !self.watch.stopped()).map(note).into_iter().collect()
    }
}
