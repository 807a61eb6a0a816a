//! Support vector machines for classification and regression.
//!
//! smartcore's `SVC` and `SVR` are not used (0.7): the kernel of a pair of rows is worked out before the cache
//! is asked for it and two vectors are allocated each time, 24 s on 4,000 rows where libsvm needs 0.15 s; with
//! fewer rows than columns the columns behind are silently left out and predicting panics; a regression takes a
//! wrong diagonal for all kernels but rbf; votes of equal number are broken by the order of a hash map; and
//! there are neither probabilities nor weights.
//!
//! The solver is in `smo`, its start for a linear kernel and many rows in
//! `dual_coordinate_descent`, the calibration of probabilities
//! in `calibration`. This file makes problems of a dataset
//! (one per pair of classes, and their folds) and a predictor of the solutions.

pub(crate) mod calibration;
pub(crate) mod dual_coordinate_descent;
pub(crate) mod smo;

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Task;
use crate::data::prepare::recipe::Encoding;
use crate::data::split::folds::{fold_groups, generator, shuffle};
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::learn::hyperparameter::{Parameter, Range, Settings};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::kernel::{Kernel, MAX_VALUE, squared_norm};
use crate::model::predictor::linear::Linear;
use crate::model::predictor::link::Link;
use crate::model::predictor::support_vectors::{MAX_DEGREE, Outcome, Parts, SupportVectors};
use smo::{Limits, Problem, Solution};

/// Support vector classification and regression.
pub static SVM: Algorithm = Algorithm {
    name: "svm",
    alias: None,
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Support vector machine: the widest margin, or the flattest tube, in the space of a kernel",
    parameters: &[
        Parameter {
            name: "C",
            default: "1.0",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "cost of an error, times the weight of the row; smaller is simpler",
        },
        Parameter {
            name: "kernel",
            default: "rbf",
            range: Range::Choice(&["rbf", "linear", "poly"]),
            effect: "how alike two rows are: exp(-gamma |x-y|^2), x.y or (gamma x.y + coef0)^degree",
        },
        Parameter {
            name: "gamma",
            default: "scale",
            range: Range::AnyOf(&[Range::Choice(&["scale", "auto"]), Range::From(0.0, f64::INFINITY)]),
            effect: "of rbf and poly; scale: 1 / (columns x variance of all numbers), auto: 1 / columns",
        },
        Parameter {
            name: "degree",
            default: "3",
            range: Range::Whole(0, MAX_DEGREE as u64),
            effect: "power of the poly kernel",
        },
        Parameter {
            name: "coef0",
            default: "0.0",
            range: Range::From(-1e9, 1e9),
            effect: "what the poly kernel adds before it takes the power",
        },
        Parameter {
            name: "epsilon",
            default: "0.1",
            range: Range::From(0.0, f64::INFINITY),
            effect: "of a regression: errors up to this cost nothing",
        },
        Parameter {
            name: "probability",
            default: "true",
            range: Range::Flag,
            effect: "whether probabilities are calibrated by Platt scaling on 5 internal folds, as \
                     CalibratedClassifierCV(ensemble=False) does (scikit-learn's SVC: false); without, fitting \
                     takes a fifth of the time, the predicted class is that of the votes, and a probability \
                     is a score of the right order only",
        },
        Parameter {
            name: "class_weight",
            default: "none",
            range: Range::Choice(&["none", "balanced"]),
            effect: "balanced: C of a row times rows / (classes x rows of its class); the calibration of \
                     probabilities counts rows alike, so that the predicted class is balanced too",
        },
        Parameter {
            name: "tol",
            default: "1e-3",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "violation of the optimality conditions at which the solver stops",
        },
        Parameter {
            name: "max_iter",
            default: "-1",
            range: Range::AnyOf(&[Range::Choice(&["-1"]), Range::Whole(1, u64::MAX)]),
            effect: "most steps of the solver; -1: ten million, or 100 per row",
        },
        Parameter {
            name: "shrinking",
            default: "true",
            range: Range::Flag,
            effect: "whether rows that seem settled are set aside for a while; only the time depends on it",
        },
        Parameter {
            name: "cache_size",
            default: "200",
            range: Range::Above(0.0, 1e9),
            effect: "megabytes of kernel values to keep; only the time depends on it",
        },
    ],
    learner: |settings| Box::new(Svm::of(settings)),
};

/// Folds whose held-out scores are calibrated, as in libsvm and scikit-learn.
const N_FOLDS: usize = 5;

/// Steps to stop at where `max_iter` is -1, as in libsvm.
const MAX_STEPS: u64 = 10_000_000;

/// From this many rows on coordinate descent makes a start for a linear kernel.
const DESCENT_ROWS: usize = 2000;

#[derive(Debug, Clone, Copy)]
enum Gamma {
    Scale,
    Auto,
    Number(f64),
}

/// Parameters.
struct Svm {
    c: f64,
    kernel: String,
    gamma: Gamma,
    degree: u32,
    coef0: f64,
    epsilon: f64,
    probability: bool,
    balanced: bool,
    tol: f64,
    max_iter: Option<usize>,
    shrinking: bool,
    cache_bytes: usize,
}

/// One fit: the data, and where it stands.
struct Run<'a> {
    svm: &'a Svm,
    data: &'a Dataset<'a>,
    kernel: Kernel,
    /// C of each row.
    cost: Vec<f64>,
    /// Problems that are solved at the same time share the cache.
    cache_bytes: usize,
    watch: &'a dyn Watch,
    n_problems: u64,
    n_solved: AtomicU64,
}

/// The solution for a pair of classes.
struct Pair {
    /// Weights of the rows of the first class, then of the second.
    solution: Solution,
    calibration: [f64; 2],
    is_calibrated: bool,
}

impl Svm {
    fn of(settings: &Settings) -> Self {
        Self {
            c: settings.number("C"),
            kernel: settings.word("kernel").into(),
            gamma: match settings.word("gamma") {
                "scale" => Gamma::Scale,
                "auto" => Gamma::Auto,
                _ => Gamma::Number(settings.number("gamma")),
            },
            degree: settings.whole("degree") as u32,
            coef0: settings.number("coef0"),
            epsilon: settings.number("epsilon"),
            probability: settings.flag("probability"),
            balanced: settings.word("class_weight") == "balanced",
            tol: settings.number("tol"),
            max_iter: settings.optional_whole("max_iter"),
            shrinking: settings.flag("shrinking"),
            cache_bytes: (settings.number("cache_size") * 1e6) as usize,
        }
    }

    /// The kernel for these rows; of their numbers `gamma="scale"` takes the variance, without weights.
    fn kernel(&self, x: &Matrix, rows: &[usize]) -> Result<Kernel> {
        let n_cols = x.n_cols() as f64;
        let gamma = match self.gamma {
            Gamma::Number(gamma) => gamma,
            Gamma::Auto => 1.0 / n_cols,
            Gamma::Scale => {
                let n = rows.len() as f64 * n_cols;
                let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
                    rows.iter().map(|&row| x.row(row).iter().map(|&v| of(v)).sum::<f64>()).sum()
                };
                let mean = sum(&|v| v) / n;
                let variance = sum(&|v| (v - mean) * (v - mean)) / n;
                if variance > 0.0 { 1.0 / (n_cols * variance) } else { 1.0 }
            }
        };
        let kernel = match self.kernel.as_str() {
            "linear" => Kernel::Linear,
            "poly" => Kernel::Poly { gamma, coef0: self.coef0, degree: self.degree },
            _ => Kernel::Rbf { gamma },
        };
        let largest =
            rows.iter().map(|&row| kernel.diagonal(squared_norm(x.row(row))).abs()).fold(0.0, f64::max);
        ensure!(
            largest < MAX_VALUE,
            "the kernel {} of a row with itself is too large; a smaller degree or gamma (--set) helps",
            self.kernel
        );
        Ok(kernel)
    }
}

impl Learner for Svm {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        // A row without weight is no row.
        let rows = data.counted_rows();
        let kernel = self.kernel(data.x, &rows)?;
        let mut run = Run {
            svm: self,
            data,
            kernel,
            cost: (0..data.x.n_rows()).map(|row| self.c * data.weight(row)).collect(),
            cache_bytes: self.cache_bytes,
            watch,
            n_problems: 1,
            n_solved: AtomicU64::new(0),
        };
        match data.y {
            Labels::Values(values) => run.regression(&rows, values),
            Labels::Classes { codes, n_classes } => run.classification(&rows, codes, n_classes),
        }
    }
}

impl Run<'_> {
    fn regression(&self, rows: &[usize], values: &[f64]) -> Result<Fit> {
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

    fn classification(&mut self, rows: &[usize], codes: &[u32], n_classes: usize) -> Result<Fit> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_classes];
        rows.iter().for_each(|&row| members[codes[row] as usize].push(row));
        let classes: Vec<u32> = (0..n_classes as u32).filter(|&c| !members[c as usize].is_empty()).collect();
        members.retain(|rows| !rows.is_empty());
        let k = classes.len();
        if self.svm.balanced {
            for rows_of_class in &members {
                let factor = rows.len() as f64 / (k * rows_of_class.len()) as f64;
                rows_of_class.iter().for_each(|&row| self.cost[row] *= factor);
            }
        }
        let pairs: Vec<(usize, usize)> = (0..k).flat_map(|a| (a + 1..k).map(move |b| (a, b))).collect();
        let per_pair = if self.svm.probability { 1 + N_FOLDS } else { 1 };
        self.n_problems = (pairs.len() * per_pair) as u64;
        let at_once = rayon::current_num_threads().min(pairs.len() * per_pair);
        self.cache_bytes = self.svm.cache_bytes / at_once.max(1);
        let solve = |(i, &(a, b)): (usize, &(usize, usize))| self.pair(&members[a], &members[b], i as u64);
        let solved: Result<Vec<Pair>> = pairs.par_iter().enumerate().with_max_len(1).map(solve).collect();
        let solved = solved?;

        let mut notes = self.not_converged(solved.iter().map(|pair| &pair.solution));
        let n_uncalibrated = solved.iter().filter(|pair| !pair.is_calibrated).count();
        if self.svm.probability && n_uncalibrated > 0 {
            notes.push(format!(
                "svm: {n_uncalibrated} of {} pairs of classes have too few rows for calibrated probabilities",
                pairs.len()
            ));
        }
        Ok(Fit { predictor: self.classifier(&members, classes, n_classes, &solved)?, notes })
    }

    /// What the pairs add up to.
    fn classifier(
        &self,
        members: &[Vec<usize>],
        classes: Vec<u32>,
        n_classes: usize,
        pairs: &[Pair],
    ) -> Result<Predictor> {
        let (n_inputs, k) = (self.data.x.n_cols(), members.len());
        let mut parts = Parts {
            kernel: self.kernel,
            outcome: if self.svm.probability { Outcome::Coupled } else { Outcome::Votes },
            n_inputs,
            n_outputs: n_classes,
            vectors: Vec::new(),
            coefficients: Vec::new(),
            counts: Vec::new(),
            intercepts: pairs.iter().map(|pair| pair.solution.intercept).collect(),
            calibration: Vec::new(),
            classes,
        };
        if self.svm.probability {
            parts.calibration = pairs.iter().flat_map(|pair| pair.calibration).collect();
        }
        let places = (0..k).flat_map(|a| (a + 1..k).map(move |b| (a, b)));
        if self.kernel == Kernel::Linear {
            for ((a, b), pair) in places.zip(pairs) {
                let rows = [members[a].as_slice(), &members[b]].concat();
                parts.vectors.extend(self.weights(&rows, &pair.solution.beta));
            }
            if n_classes == 2 {
                let [a, b] =
                    if self.svm.probability { pairs[0].calibration } else { calibration::UNCALIBRATED };
                let coefficients = parts.vectors.iter().map(|w| -a * w).collect();
                let intercepts = vec![-a * parts.intercepts[0] - b];
                return Ok(Predictor::Linear(Linear::new(Link::Sigmoid, n_inputs, coefficients, intercepts)));
            }
            return Ok(Predictor::SupportVectors(Box::new(SupportVectors::new(parts)?)));
        }
        let pair_of: Vec<(usize, usize)> = places.collect();
        for (place, rows) in members.iter().enumerate() {
            let mut count = 0;
            for (i, &row) in rows.iter().enumerate() {
                let first = parts.coefficients.len();
                for (&(a, b), pair) in pair_of.iter().zip(pairs) {
                    if a == place {
                        parts.coefficients.push(pair.solution.beta[i]);
                    } else if b == place {
                        parts.coefficients.push(pair.solution.beta[members[a].len() + i]);
                    }
                }
                if parts.coefficients[first..].iter().all(|&beta| beta == 0.0) {
                    parts.coefficients.truncate(first);
                } else {
                    parts.vectors.extend(self.data.x.row(row));
                    count += 1;
                }
            }
            parts.counts.push(count);
        }
        Ok(Predictor::SupportVectors(Box::new(SupportVectors::new(parts)?)))
    }

    /// Solves for a pair of classes; in the problem the rows of the second are positive.
    fn pair(&self, first: &[usize], second: &[usize], index: u64) -> Result<Pair> {
        let rows = [first, second].concat();
        let (solution, calibration) = rayon::join(
            || self.solve(&rows, signs(first.len(), rows.len()), 0.0),
            || if self.svm.probability { self.calibration(first, second, index) } else { Ok(None) },
        );
        let calibration = calibration?;
        let is_calibrated = calibration.is_some();
        Ok(Pair { solution, calibration: calibration.unwrap_or(calibration::UNCALIBRATED), is_calibrated })
    }

    /// A and B of a pair, from the scores that each fold's rows get from the others; None where there are too
    /// few rows for folds, or the scores speak against the labels and would turn every prediction round.
    fn calibration(&self, first: &[usize], second: &[usize], index: u64) -> Result<Option<[f64; 2]>> {
        let n_folds = N_FOLDS.min(first.len()).min(second.len());
        if n_folds < 2 {
            return Ok(None);
        }
        let seed = self.data.seed.wrapping_add(index);
        let rows = [first, second].concat();
        // A row of a group that cannot be spared is in no fold and has no score.
        let mut fold_of = vec![n_folds; rows.len()];
        if let Some(groups) = self.data.groups {
            let groups: Vec<u32> = rows.iter().map(|&row| groups[row]).collect();
            let classes: Vec<u32> = (0..rows.len()).map(|i| u32::from(i >= first.len())).collect();
            for (fold, split) in fold_groups(&groups, &classes, 2, n_folds, seed).iter().enumerate() {
                split.test.iter().for_each(|&i| fold_of[i] = fold);
            }
        } else {
            // Dealt out class by class, so that every fold has rows of both.
            let mut random = generator(seed);
            for (start, rows) in [(0, first), (first.len(), second)] {
                let mut order: Vec<usize> = (0..rows.len()).collect();
                shuffle(&mut order, &mut random);
                order.iter().enumerate().for_each(|(i, &at)| fold_of[start + at] = (start + i) % n_folds);
            }
        }
        let held_out_scores = |fold: usize| {
            let select = |held_out: bool| -> Vec<usize> {
                (0..rows.len()).filter(|&i| (fold_of[i] == fold) == held_out).collect()
            };
            let [train, test] = [select(false), select(true)];
            let n_first = train.iter().filter(|&&i| i < first.len()).count();
            let train_rows: Vec<usize> = train.iter().map(|&i| rows[i]).collect();
            let solution = self.solve(&train_rows, signs(n_first, train.len()), 0.0);
            let machine = self.machine(&train_rows, &solution)?;
            let mut x = Matrix::with_capacity(test.len(), self.data.x.n_cols());
            test.iter().for_each(|&i| x.push_row(0.0).copy_from_slice(self.data.x.row(rows[i])));
            let mut scores = vec![0.0; test.len()];
            machine.scores_block(x.values(), &mut scores);
            Ok((test, scores))
        };
        let used: Vec<usize> = (0..n_folds).filter(|fold| fold_of.contains(fold)).collect();
        let of_folds: Result<Vec<_>> = used.into_par_iter().with_max_len(1).map(held_out_scores).collect();
        let mut scored: Vec<(usize, f64)> =
            of_folds?.into_iter().flat_map(|(test, of_fold)| test.into_iter().zip(of_fold)).collect();
        // The order of the rows, whatever fold they were in.
        scored.sort_unstable_by_key(|&(i, _)| i);
        let positive: Vec<bool> = scored.iter().map(|&(i, _)| i >= first.len()).collect();
        if self.watch.stopped() || !positive.contains(&true) || !positive.contains(&false) {
            return Ok(None);
        }
        let weights: Vec<f64> = scored.iter().map(|&(i, _)| self.cost[rows[i]] / self.svm.c).collect();
        let scores: Vec<f64> = scored.into_iter().map(|(_, score)| score).collect();
        let found = calibration::calibrate(&scores, &positive, &weights);
        Ok((found[0] < 0.0 && found.iter().all(|v| v.is_finite())).then_some(found))
    }

    fn solve(&self, rows: &[usize], target: Vec<f64>, epsilon: f64) -> Solution {
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
    fn machine(&self, rows: &[usize], solution: &Solution) -> Result<SupportVectors> {
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
    fn weights(&self, rows: &[usize], beta: &[f64]) -> Vec<f64> {
        let mut weights = vec![0.0; self.data.x.n_cols()];
        for (&row, beta) in rows.iter().zip(beta).filter(|(_, beta)| **beta != 0.0) {
            weights.iter_mut().zip(self.data.x.row(row)).for_each(|(w, v)| *w += beta * v);
        }
        weights
    }

    fn not_converged<'b>(&self, solutions: impl IntoIterator<Item = &'b Solution>) -> Vec<String> {
        let unfinished = solutions.into_iter().filter(|solution| !solution.converged);
        let steps = unfinished.map(|solution| solution.iterations).max();
        let note = |steps| {
            format!("svm did not converge in {steps} steps; --set max_iter=… or tol=… larger, or C=… smaller")
        };
        steps.filter(|_| !self.watch.stopped()).map(note).into_iter().collect()
    }
}

/// −1 for the first `n_first` of `n` rows, 1 for the others.
fn signs(n_first: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| if i < n_first { -1.0 } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::laws::{self, noise, scores, select};

    fn fit_notes(settings: &[(&str, &str)], data: &Dataset) -> Result<Fit> {
        laws::fit(&SVM, settings, data)
    }

    fn fit(settings: &[(&str, &str)], data: &Dataset) -> Predictor {
        laws::predictor(&SVM, settings, data)
    }

    /// Three classes by sectors, and a value.
    fn labels(x: &Matrix) -> (Vec<u32>, Vec<f64>) {
        let class = |row: &[f64]| if row[0] > 0.3 { 2 } else { u32::from(row[1] > 0.0) };
        (x.rows().map(class).collect(), x.rows().map(|row| row[0] * row[0] - row[1]).collect())
    }

    const KERNELS: [&str; 3] = ["rbf", "linear", "poly"];

    #[test]
    fn every_kernel_learns_classes_and_values() {
        let x = noise(240, 3, 11);
        let (codes, values) = labels(&x);
        for kernel in KERNELS {
            for probability in ["true", "false"] {
                for n_classes in [2, 3] {
                    let codes: Vec<u32> = codes.iter().map(|&code| code.min(n_classes - 1)).collect();
                    let y = Labels::Classes { codes: &codes, n_classes: n_classes as usize };
                    let settings = [("kernel", kernel), ("probability", probability), ("coef0", "1")];
                    let predictor = fit(&settings, &Dataset::new(&x, y));
                    let found = scores(&predictor, &x);
                    let mut n_right = 0;
                    for (p, &code) in found.chunks_exact(n_classes as usize).zip(&codes) {
                        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p.iter().all(|p| *p >= 0.0));
                        n_right += usize::from(p.iter().all(|other| *other <= p[code as usize]));
                    }
                    assert!(
                        n_right > if kernel == "linear" { 190 } else { 215 },
                        "{kernel} {n_classes}: {n_right}"
                    );
                }
            }
            let predictor = fit(
                &[("kernel", kernel), ("epsilon", "0.02"), ("coef0", "1")],
                &Dataset::new(&x, Labels::Values(&values)),
            );
            let found = scores(&predictor, &x);
            let error: f64 = found.iter().zip(&values).map(|(f, v)| (f - v).abs()).sum::<f64>() / 240.0;
            assert!(error < if kernel == "linear" { 0.35 } else { 0.06 }, "{kernel}: {error}");
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice_and_a_weight_of_zero_is_no_row() {
        let x = noise(60, 3, 11);
        let (codes, values) = labels(&x);
        let mut weights = vec![1.0; 60];
        weights[7] = 2.0;
        weights[20] = 0.0;
        let rows: Vec<usize> = (0..60).filter(|&row| row != 20).chain([7]).collect();
        let repeated = select(&x, &rows);
        let (codes_repeated, values_repeated) = labels(&repeated);
        for kernel in KERNELS {
            let settings = [("kernel", kernel), ("gamma", "0.5"), ("probability", "false"), ("tol", "1e-7")];
            let weighted = |y| fit(&settings, &Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
            let plain = |y| fit(&settings, &Dataset::new(&repeated, y));
            for (weighted, plain) in [
                (weighted(Labels::Values(&values)), plain(Labels::Values(&values_repeated))),
                (
                    weighted(Labels::Classes { codes: &codes, n_classes: 3 }),
                    plain(Labels::Classes { codes: &codes_repeated, n_classes: 3 }),
                ),
            ] {
                for (a, b) in scores(&weighted, &x).iter().zip(scores(&plain, &x)) {
                    assert!((a - b).abs() < 1e-4, "{kernel}: {a} {b}");
                }
            }
        }
        // Rows without weight leave no trace at all, in the folds neither.
        let rows: Vec<usize> = (0..60).filter(|&row| row != 7 && row != 20).collect();
        weights[7] = 0.0;
        let left = select(&x, &rows);
        let (codes_left, _) = labels(&left);
        let y = Labels::Classes { codes: &codes, n_classes: 3 };
        let weighted = fit(&[], &Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
        let y = Labels::Classes { codes: &codes_left, n_classes: 3 };
        assert_eq!(weighted, fit(&[], &Dataset::new(&left, y)));
    }

    #[test]
    fn probabilities_are_calibrated_on_groups_that_were_not_fitted() {
        // Six copies of each row, and a fifth of the labels wrong: what fits the copies knows them by heart.
        let rows: Vec<usize> = (0..600).map(|i| i % 100).collect();
        let seen = noise(200, 2, 11);
        let truth = |row: usize| u32::from(seen.row(row)[0] > 0.0);
        let x = select(&seen, &rows);
        let codes: Vec<u32> = rows.iter().map(|&row| truth(row) ^ u32::from(row % 5 == 0)).collect();
        let groups: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let fresh: Vec<usize> = (100..200).collect();
        let loss = |data: &Dataset| {
            let found = scores(&fit(&[("gamma", "4"), ("C", "10")], data), &select(&seen, &fresh));
            let of_row =
                |(p, &row): (&[f64], &usize)| -p[(truth(row) ^ u32::from(row % 5 == 0)) as usize].ln();
            found.chunks_exact(2).zip(&fresh).map(of_row).sum::<f64>() / 100.0
        };
        let (free, grouped) = (loss(&data), loss(&Dataset { groups: Some(&groups), ..data }));
        assert!(grouped < free - 0.05, "{grouped} {free}");
    }

    #[test]
    fn balanced_classes_are_weights() {
        let x = noise(90, 3, 11);
        let codes: Vec<u32> = x.rows().map(|row| u32::from(row[0] + row[1] > 0.8)).collect();
        let n_rare = codes.iter().filter(|&&code| code == 1).count() as f64;
        let of = [90.0 / (2.0 * (90.0 - n_rare)), 90.0 / (2.0 * n_rare)];
        let weights: Vec<f64> = codes.iter().map(|&code| of[code as usize]).collect();
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let balanced = scores(&fit(&[("class_weight", "balanced")], &data), &x);
        let weighted = scores(&fit(&[], &Dataset { weights: Some(&weights), ..data }), &x);
        for (a, b) in balanced.iter().zip(&weighted) {
            assert!((a - b).abs() < 1e-6);
        }
        let plain = scores(&fit(&[], &data), &x);
        let rare = |scores: &[f64]| scores.chunks_exact(2).filter(|p| p[1] > p[0]).count();
        assert!(rare(&balanced) >= rare(&plain));
    }

    #[test]
    fn one_row_constant_columns_more_columns_than_rows_and_few_rows_are_no_trouble() {
        let one = noise(1, 3, 11);
        for kernel in KERNELS {
            let predictor = fit(&[("kernel", kernel)], &Dataset::new(&one, Labels::Values(&[7.0])));
            assert_eq!(scores(&predictor, &noise(3, 3, 11)), [7.0; 3], "one row");
            let predictor = fit(
                &[("kernel", kernel)],
                &Dataset::new(&Matrix::zeros(4, 2), Labels::Values(&[1.0, 1.0, 3.0, 3.0])),
            );
            assert!(scores(&predictor, &Matrix::zeros(1, 2))[0].is_finite(), "constant columns");
            let wide = noise(12, 40, 11);
            let codes: Vec<u32> = wide.rows().map(|row| u32::from(row[0] > 0.0)).collect();
            let data = Dataset::new(&wide, Labels::Classes { codes: &codes, n_classes: 2 });
            let found =
                scores(&fit(&[("kernel", kernel), ("probability", "false"), ("C", "100")], &data), &wide);
            for (p, &code) in found.chunks_exact(2).zip(&codes) {
                assert!(p[code as usize] > 0.5, "wide");
            }
            // Two rows: no folds, and the sides are kept.
            let two = noise(2, 3, 11);
            let data = Dataset::new(&two, Labels::Classes { codes: &[0, 1], n_classes: 2 });
            let few = fit_notes(&[("kernel", kernel)], &data).unwrap();
            assert!(few.notes[0].contains("too few rows for calibrated probabilities"), "{:?}", few.notes);
            let found = scores(&few.predictor, &two);
            assert!(found[0] > 0.5 && found[3] > 0.5);
        }
    }

    #[test]
    fn a_class_without_rows_has_no_probability() {
        let x = noise(80, 3, 11);
        let (codes, _) = labels(&x);
        for (kernel, keep) in KERNELS.iter().flat_map(|kernel| [(kernel, 2), (kernel, 3)]) {
            // Classes 1 and 4 of five, and class 3.
            let codes: Vec<u32> = codes.iter().map(|&code| [1, 4, 3][code.min(keep - 1) as usize]).collect();
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 5 });
            let found = scores(&fit(&[("kernel", kernel)], &data), &x);
            for p in found.chunks_exact(5) {
                assert!(p[0] == 0.0 && p[2] == 0.0 && (p[3] == 0.0) == (keep == 2));
                assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_or_is_not_finished_says_what_helps() {
        let x = noise(80, 3, 11);
        let (codes, _) = labels(&x);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        let short = fit_notes(&[("max_iter", "2")], &data).unwrap();
        assert!(short.notes[0].contains("did not converge in 2 steps"), "{:?}", short.notes);
        let overflow = fit_notes(&[("kernel", "poly"), ("degree", "400"), ("coef0", "5")], &data);
        assert!(overflow.unwrap_err().to_string().contains("a smaller degree or gamma"));
        let range = fit_notes(&[("gamma", "wide")], &data).unwrap_err().to_string();
        assert!(range.contains("scale or auto, or a number not below 0 (default scale)"), "{range}");
    }

    #[test]
    fn many_rows_of_a_linear_kernel_give_the_same_model_as_few() {
        let x = noise(DESCENT_ROWS + 500, 4, 11);
        let (_, values) = labels(&x);
        let codes: Vec<u32> =
            x.rows().map(|row| u32::from(row[0] + 0.3 * row[1] > row[2] * row[3])).collect();
        for y in [Labels::Values(&values), Labels::Classes { codes: &codes, n_classes: 2 }] {
            let settings = [("kernel", "linear"), ("probability", "false"), ("C", "0.01")];
            let by_descent = scores(&fit(&settings, &Dataset::new(&x, y)), &x);
            // Weights that make no difference but for the count of rows in a problem.
            let half: Vec<usize> = (0..DESCENT_ROWS - 1).collect();
            let fewer = select(&x, &half);
            let y = match y {
                Labels::Values(values) => Labels::Values(&values[..half.len()]),
                Labels::Classes { n_classes, .. } => {
                    Labels::Classes { codes: &codes[..half.len()], n_classes }
                }
            };
            let by_steps = scores(&fit(&settings, &Dataset::new(&fewer, y)), &x);
            let distance = by_descent.iter().zip(&by_steps).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(distance < 0.1, "{distance}");
        }
    }
}
