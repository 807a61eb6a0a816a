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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::Unwatched;
    use crate::model::learn::hyperparameter::ClassWeight;
    use crate::model::learn::laws::{self, noise};
    use crate::model::learn::svm::{Gamma, KernelName, SVM};

    struct Stopped;

    impl Watch for Stopped {
        fn progress(&self, _: u64, _: u64, _: std::fmt::Arguments) {}
        fn stopped(&self) -> bool {
            true
        }
    }

    fn svm() -> Svm {
        Svm {
            c: 1.5,
            kernel: KernelName::Rbf,
            gamma: Gamma::Auto,
            degree: 3,
            coef0: 0.0,
            epsilon: 0.05,
            probability: false,
            class_weight: ClassWeight::None,
            tol: 1e-6,
            max_iter: None,
            shrinking: true,
            cache_bytes: 1 << 20,
        }
    }

    fn run<'a>(svm: &'a Svm, data: &'a Dataset<'a>, kernel: Kernel, watch: &'a dyn Watch) -> Run<'a> {
        Run {
            svm,
            data,
            kernel,
            cost: (0..data.x.n_rows()).map(|row| svm.c * data.weight(row)).collect(),
            cache_bytes: svm.cache_bytes,
            watch,
            n_problems: 1,
            n_solved: AtomicU64::new(0),
        }
    }

    const KERNELS: [Kernel; 2] = [Kernel::Linear, Kernel::Rbf { gamma: 0.7 }];

    fn score(machine: &SupportVectors, row: &[f64]) -> f64 {
        let mut out = [f64::NAN];
        machine.scores_block(row, &mut out);
        out[0]
    }

    #[test]
    fn weights_keep_to_the_costs_of_their_rows_and_add_up_to_0() {
        let x = noise(50, 3, 3);
        let weights: Vec<f64> = (0..50).map(|row| 0.5 + (row % 3) as f64).collect();
        let codes: Vec<u32> = x.rows().map(|row| u32::from(row[0] + 0.5 * row[1] * row[1] > 0.2)).collect();
        let values: Vec<f64> = x.rows().map(|row| row[0] - row[2] * row[1]).collect();
        let rows: Vec<usize> = (0..50).rev().step_by(2).collect();
        let svm = svm();
        for kernel in KERNELS {
            for is_label in [true, false] {
                let y = match is_label {
                    true => Labels::Classes { codes: &codes, n_classes: 2 },
                    false => Labels::Values(&values),
                };
                let data = Dataset { weights: Some(&weights), ..Dataset::new(&x, y) };
                let run = run(&svm, &data, kernel, &Unwatched);
                let sign = |row: usize| if codes[row] == 1 { 1.0 } else { -1.0 };
                let target = |&row: &usize| if is_label { sign(row) } else { values[row] };
                let epsilon = if is_label { 0.0 } else { 0.05 };
                let solution = run.solve(&rows, rows.iter().map(target).collect(), epsilon);
                assert!(solution.converged && solution.beta.len() == rows.len());
                assert!(solution.beta.iter().sum::<f64>().abs() < 1e-9);
                for (&row, beta) in rows.iter().zip(&solution.beta) {
                    assert!(beta.abs() <= 1.5 * weights[row] + 1e-12, "{beta}");
                    assert!(!is_label || beta * sign(row) >= 0.0, "a label pulls to its own side");
                }
                assert_eq!(run.n_solved.load(Ordering::Relaxed), 1);
            }
        }
    }

    #[test]
    fn the_machine_of_a_solution_is_the_sum_of_its_kernels() {
        let x = noise(30, 2, 8);
        let values: Vec<f64> = x.rows().map(|row| row[0] * row[1]).collect();
        let data = Dataset::new(&x, Labels::Values(&values));
        let svm = svm();
        let rows: Vec<usize> = (3..30).collect();
        for kernel in KERNELS {
            let run = run(&svm, &data, kernel, &Unwatched);
            let solution = run.solve(&rows, rows.iter().map(|&row| values[row]).collect(), 0.05);
            let machine = run.machine(&rows, &solution).unwrap();
            let similarity = |a: &[f64], b: &[f64]| match kernel {
                Kernel::Rbf { gamma } => {
                    (-gamma * a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()).exp()
                }
                _ => a.iter().zip(b).map(|(a, b)| a * b).sum(),
            };
            for at in x.rows() {
                let terms =
                    rows.iter().zip(&solution.beta).map(|(&row, beta)| beta * similarity(x.row(row), at));
                let wanted = terms.sum::<f64>() + solution.intercept;
                assert!((score(&machine, at) - wanted).abs() < 1e-9, "{kernel:?}");
            }
        }
    }

    #[test]
    fn a_regression_stays_in_its_tube_unless_it_costs() {
        let x = noise(40, 2, 6);
        let values: Vec<f64> = x.rows().map(|row| 2.0 * row[0] - row[1] + 3.0).collect();
        let data = Dataset::new(&x, Labels::Values(&values));
        let settings = [("kernel", "linear"), ("C", "1000"), ("epsilon", "0.01"), ("tol", "1e-7")];
        let predictor = laws::predictor(&SVM, &settings, &data);
        for (found, value) in laws::scores(&predictor, &x).iter().zip(&values) {
            assert!((found - value).abs() < 0.01 + 1e-5, "{found} {value}");
        }
    }

    #[test]
    fn the_note_names_the_most_steps_of_solvers_that_did_not_finish() {
        let x = Matrix::zeros(1, 1);
        let data = Dataset::new(&x, Labels::Values(&[0.0]));
        let svm = svm();
        let solution =
            |iterations, converged| Solution { beta: vec![0.0], intercept: 0.0, iterations, converged };
        let solutions = [solution(70, true), solution(20, false), solution(30, false), solution(10, false)];
        let of_unwatched = run(&svm, &data, Kernel::Linear, &Unwatched);
        let notes = of_unwatched.not_converged(&solutions);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("did not converge in 30 steps"), "{notes:?}");
        assert!(of_unwatched.not_converged(&solutions[..1]).is_empty());
        assert!(
            run(&svm, &data, Kernel::Linear, &Stopped).not_converged(&solutions).is_empty(),
            "the user stopped it"
        );
    }
}
