//! Support vector machines for classification and regression.
//!
//! smartcore's `SVC` and `SVR` are not used (0.7): the kernel of a pair of rows is worked out before the cache
//! is asked for it and two vectors are allocated each time, 24 s on 4,000 rows where libsvm needs 0.15 s; with
//! fewer rows than columns the columns behind are silently left out and predicting panics; a regression takes a
//! wrong diagonal for all kernels but rbf; votes of equal number are broken by the order of a hash map; and
//! there are neither probabilities nor weights.
//!
//! The solver is in `smo`, the calibration of probabilities in `platt`. This file makes problems of a dataset
//! (one per pair of classes, and their folds) and a predictor of the solutions.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::smo::{self, Limits, Problem, Solution};
use super::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Settings, Watch, platt};
use crate::data::matrix::Matrix;
use crate::data::recipe::Encoding;
use crate::data::schema::Task;
use crate::data::split::{generator, shuffle};
use crate::model::kernel::{Kernel, MAX_VALUE, squared_norm};
use crate::model::predictor::{Linear, Link, Predictor};
use crate::model::vectors::{MAX_DEGREE, Outcome, Parts, SupportVectors};

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
                     takes a quarter of the time, the predicted class is that of the votes, and a probability \
                     is a score of the right order only",
        },
        Parameter {
            name: "class_weight",
            default: "none",
            range: Range::Choice(&["none", "balanced"]),
            effect: "balanced: C of a row times rows / (classes x rows of its class)",
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
        let weight = |row: usize| data.weights.map_or(1.0, |weights| weights[row]);
        // A row without weight is no row.
        let rows: Vec<usize> = (0..data.x.n_rows()).filter(|&row| weight(row) > 0.0).collect();
        let kernel = self.kernel(data.x, &rows)?;
        let mut run = Run {
            svm: self,
            data,
            kernel,
            cost: (0..data.x.n_rows()).map(|row| self.c * weight(row)).collect(),
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
            Predictor::Kernel(Box::new(self.machine(rows, &solution)?))
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
                let [a, b] = if self.svm.probability { pairs[0].calibration } else { platt::UNCALIBRATED };
                let coefficients = parts.vectors.iter().map(|w| -a * w).collect();
                let intercepts = vec![-a * parts.intercepts[0] - b];
                return Ok(Predictor::Linear(Linear::new(Link::Sigmoid, n_inputs, coefficients, intercepts)));
            }
            return Ok(Predictor::Kernel(Box::new(SupportVectors::new(parts)?)));
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
        Ok(Predictor::Kernel(Box::new(SupportVectors::new(parts)?)))
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
        Ok(Pair { solution, calibration: calibration.unwrap_or(platt::UNCALIBRATED), is_calibrated })
    }

    /// A and B of a pair, from the scores that each fold's rows get from the others; None where there are too
    /// few rows for folds, or the scores speak against the labels and would turn every prediction round.
    fn calibration(&self, first: &[usize], second: &[usize], index: u64) -> Result<Option<[f64; 2]>> {
        let n_folds = N_FOLDS.min(first.len()).min(second.len());
        if n_folds < 2 {
            return Ok(None);
        }
        // Dealt out class by class, so that every fold has rows of both.
        let mut random = generator(self.data.seed.wrapping_add(index));
        let mut fold_of = Vec::with_capacity(first.len() + second.len());
        for rows in [first, second] {
            let start = fold_of.len();
            let mut order: Vec<usize> = (0..rows.len()).collect();
            shuffle(&mut order, &mut random);
            fold_of.resize(start + rows.len(), 0);
            order.iter().enumerate().for_each(|(i, &at)| fold_of[start + at] = (start + i) % n_folds);
        }
        let rows = [first, second].concat();
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
        let of_folds: Result<Vec<_>> =
            (0..n_folds).into_par_iter().with_max_len(1).map(held_out_scores).collect();
        let mut scores = vec![0.0; rows.len()];
        for (test, of_fold) in of_folds? {
            test.into_iter().zip(of_fold).for_each(|(i, score)| scores[i] = score);
        }
        if self.watch.stopped() {
            return Ok(None);
        }
        let positive: Vec<bool> = (0..rows.len()).map(|i| i >= first.len()).collect();
        let weights: Vec<f64> = rows.iter().map(|&row| self.cost[row] / self.svm.c).collect();
        let found = platt::calibrate(&scores, &positive, &weights);
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
        let solution = smo::solve(&problem, &limits, &|violation| {
            let done = self.n_solved.load(Ordering::Relaxed);
            self.watch.progress(done, self.n_problems, format_args!("violation {violation:.4}"));
            self.watch.stopped()
        });
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
