//! Classification by support vectors: one problem per pair of classes, and one per fold for calibrated
//! probabilities.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::problem::Solution;
use super::run::Run;
use crate::data::cells::matrix::Matrix;
use crate::data::split::groups::fold_groups;
use crate::model::learn::dataset::Fit;
use crate::model::learn::hyperparameter::ClassWeight;
use crate::model::learn::platt;
use crate::model::predictor::Predictor;
use crate::model::predictor::kernel::Kernel;
use crate::model::predictor::linear::Linear;
use crate::model::predictor::link::Link;
use crate::model::predictor::support_vectors::{Outcome, Parts, SupportVectors};
use crate::random::{generator, shuffle};

/// Most classes: half a million pairs.
const MAX_CLASSES: usize = 1000;

/// Folds whose held-out scores are calibrated, as in libsvm and scikit-learn.
const N_FOLDS: usize = 5;

/// The solution for a pair of classes.
struct Pair {
    /// Weights of the rows of the first class, then of the second.
    solution: Solution,
    calibration: [f64; 2],
    is_calibrated: bool,
}

impl Run<'_> {
    /// Fits classes: a problem for each pair of those that occur.
    ///
    /// # Errors
    /// The predictor cannot be made.
    pub(super) fn classification(&mut self, rows: &[usize], codes: &[u32], n_classes: usize) -> Result<Fit> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_classes];
        rows.iter().for_each(|&row| members[codes[row] as usize].push(row));
        let classes: Vec<u32> = (0..n_classes as u32).filter(|&c| !members[c as usize].is_empty()).collect();
        members.retain(|rows| !rows.is_empty());
        let k = classes.len();
        ensure!(
            k <= MAX_CLASSES,
            "svm learns up to {MAX_CLASSES} classes, because it fits each pair of them, and there are {k}; \
             --algorithm NAME chooses another"
        );
        if self.svm.class_weight == ClassWeight::Balanced {
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

    /// The predictor of all pairs.
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
        Ok(Pair { solution, calibration: calibration.unwrap_or(platt::UNCALIBRATED), is_calibrated })
    }

    /// A and B of a pair, from the scores that each fold's rows get from the others; None if there are too
    /// few rows for folds, or the scores contradict the labels and would invert every prediction.
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
        let found = platt::calibrate(&scores, &positive, &weights);
        Ok((found[0] < 0.0 && found.iter().all(|v| v.is_finite())).then_some(found))
    }
}

/// −1 for the first `n_first` of `n` rows, 1 for the others.
fn signs(n_first: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| if i < n_first { -1.0 } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::model::learn::Unwatched;
    use crate::model::learn::dataset::{Dataset, Labels};
    use crate::model::learn::laws::{self, noise, scores};
    use crate::model::learn::svm::{Gamma, KernelName, SVM, Svm};

    fn fitted(settings: &[(&str, &str)], x: &Matrix, codes: &[u32], n_classes: usize) -> Vec<f64> {
        let data = Dataset::new(x, Labels::Classes { codes, n_classes });
        scores(&laws::predictor(&SVM, settings, &data), x)
    }

    /// Three classes by two columns.
    fn three(x: &Matrix) -> Vec<u32> {
        x.rows().map(|row| if row[0] > 0.3 { 2 } else { u32::from(row[1] > 0.0) }).collect()
    }

    const SETTINGS: [(&str, &str); 3] = [("gamma", "0.8"), ("tol", "1e-8"), ("probability", "false")];

    #[test]
    fn the_first_class_of_a_pair_is_negative() {
        assert_eq!(signs(2, 5), [-1.0, -1.0, 1.0, 1.0, 1.0]);
        assert_eq!(signs(0, 1), [1.0]);
    }

    #[test]
    fn classes_may_have_any_numbers_and_one_that_no_row_has_is_never_predicted() {
        let x = noise(90, 2, 4);
        let codes = three(&x);
        // The classes 0, 1, 2 become 4, 1, 3 of five.
        let renamed: Vec<u32> = codes.iter().map(|&code| [4, 1, 3][code as usize]).collect();
        for kernel in ["rbf", "linear"] {
            let settings = [&SETTINGS[..], &[("kernel", kernel)]].concat();
            let (found, others) = (fitted(&settings, &x, &codes, 3), fitted(&settings, &x, &renamed, 5));
            for (found, other) in found.chunks_exact(3).zip(others.chunks_exact(5)) {
                for (class, new) in [(0, 4), (1, 1), (2, 3)] {
                    assert!((found[class] - other[new]).abs() < 1e-5, "{kernel}: {found:?} {other:?}");
                }
                assert!(other[0] == 0.0 && other[2] == 0.0, "{kernel}: {other:?}");
            }
        }
    }

    #[test]
    fn balanced_classes_are_those_whose_rows_are_repeated_until_they_are_alike() {
        let x = noise(60, 2, 9);
        // A quarter of the rows are of the second class: each counts for three of the first, whatever the noise.
        let codes: Vec<u32> = (0..60).map(|row| u32::from(row % 4 == 0)).collect();
        let rows: Vec<usize> = (0..60).flat_map(|row| vec![row; if row % 4 == 0 { 3 } else { 1 }]).collect();
        let repeated = laws::select(&x, &rows);
        let repeated_codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
        let balanced = [&SETTINGS[..], &[("class_weight", "balanced"), ("C", "1.5")]].concat();
        // Rows of a class count 60 / (2 · 45) and 60 / (2 · 15): thrice as much, and two thirds of 1.
        let plain = [&SETTINGS[..], &[("C", "1.0")]].concat();
        let data = Dataset::new(&repeated, Labels::Classes { codes: &repeated_codes, n_classes: 2 });
        let of_repeated = scores(&laws::predictor(&SVM, &plain, &data), &x);
        for (a, b) in fitted(&balanced, &x, &codes, 2).iter().zip(&of_repeated) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn calibrated_probabilities_need_two_rows_of_each_class_or_a_note_says_so() {
        let x = noise(40, 2, 7);
        let notes = |codes: &[u32]| {
            let data = Dataset::new(&x, Labels::Classes { codes, n_classes: 3 });
            laws::fit(&SVM, &[], &data).unwrap().notes
        };
        let mut codes = three(&x);
        assert_eq!(notes(&codes), Vec::<String>::new());
        // One row alone of the class 2.
        let of_two: Vec<usize> = (0..40).filter(|&row| codes[row] == 2).collect();
        of_two[1..].iter().for_each(|&row| codes[row] = 0);
        let notes = notes(&codes);
        assert!(
            notes.iter().any(|note| note.contains("of 3 pairs of classes have too few rows")),
            "{notes:?}"
        );
    }

    #[test]
    fn the_predictor_that_shares_vectors_scores_as_the_solutions_of_its_pairs() {
        let x = noise(90, 2, 12);
        let codes = three(&x);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        let svm = Svm {
            c: 1.0,
            kernel: KernelName::Rbf,
            gamma: Gamma::Auto,
            degree: 3,
            coef0: 0.0,
            epsilon: 0.1,
            probability: false,
            class_weight: ClassWeight::None,
            tol: 1e-8,
            max_iter: None,
            shrinking: true,
            cache_bytes: 1 << 20,
        };
        let kernel = Kernel::Rbf { gamma: 0.8 };
        let mut run = Run {
            svm: &svm,
            data: &data,
            kernel,
            cost: vec![1.0; 90],
            cache_bytes: 1 << 20,
            watch: &Unwatched,
            n_problems: 3,
            n_solved: AtomicU64::new(0),
        };
        let rows: Vec<usize> = (0..90).collect();
        let members: Vec<Vec<usize>> =
            (0..3).map(|class| rows.iter().copied().filter(|&row| codes[row] == class).collect()).collect();
        let similarity =
            |a: &[f64], b: &[f64]| (-0.8 * a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()).exp();
        let mut pairs = Vec::new();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let solution = run.pair(&members[a], &members[b], 0).unwrap().solution;
            pairs.push((a, b, [members[a].as_slice(), &members[b]].concat(), solution));
        }
        let predictor = run.classification(&rows, &codes, 3).unwrap().predictor;
        for (at, found) in x.rows().zip(scores(&predictor, &x).chunks_exact(3)) {
            // `_ovr_decision_function` of scikit-learn 1.9: votes, and less than half a vote for the sum of the scores.
            let (mut votes, mut sums) = ([0.0; 3], [0.0; 3]);
            for (a, b, rows, solution) in &pairs {
                let terms =
                    rows.iter().zip(&solution.beta).map(|(&row, beta)| beta * similarity(x.row(row), at));
                let score = terms.sum::<f64>() + solution.intercept;
                votes[if score > 0.0 { *b } else { *a }] += 1.0;
                sums[*a] -= score;
                sums[*b] += score;
            }
            let decided = [0, 1, 2].map(|class: usize| {
                let sum: f64 = sums[class];
                votes[class] + sum / (3.0 * (sum.abs() + 1.0))
            });
            let total: f64 = decided.iter().map(|score| score.exp()).sum();
            for (found, score) in found.iter().zip(decided) {
                assert!((found - score.exp() / total).abs() < 1e-9, "{found} {}", score.exp() / total);
            }
        }
    }
}
