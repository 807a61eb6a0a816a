//! Support vector machines for classification and regression.
//!
//! smartcore's `SVC` and `SVR` are not used (0.7): the kernel of a pair of rows is worked out before the
//! cache is asked for it and two vectors are allocated each time: 184 times as long on 2,000 rows
//! (benches/smartcore.rs); with fewer rows than columns the last columns are silently dropped and predicting panics; a
//! regression takes a wrong diagonal for all kernels but rbf; votes of equal number are broken by the order
//! of a hash map; and there are neither probabilities nor weights.
//!
//! This file holds the algorithm and its hyperparameters. `run` makes problems of a dataset and predictors of
//! their solutions, `pairs` a classifier of those of each pair of classes, [`platt`](super::platt) probabilities of its
//! scores. `smo` solves a `problem`, with rows of the kernel in `kernel_cache`; for a linear kernel and many
//! rows `dual_coordinate_descent` gives it a start.

mod dual_coordinate_descent;
mod kernel_cache;
mod pairs;
mod problem;
mod run;
mod smo;

use std::sync::atomic::AtomicU64;

use anyhow::{Result, ensure};

use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::learn::hyperparameter::{ClassWeight, Parameter, Range, Settings, Word};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::kernel::{Kernel, MAX_VALUE, squared_norm};
use crate::model::predictor::support_vectors::MAX_DEGREE;
use run::Run;

/// Support vector classification and regression.
pub(crate) static SVM: Algorithm = Algorithm {
    name: "svm",
    alias: None,
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "Support vector machine: the widest margin, or the flattest tube, in the space of a kernel",
    idea: "Two classes are separated by the widest margin in the space of a kernel, more by comparing \
           them two by two; a regression is the flattest function whose errors stay within `epsilon`, \
           except for some that cost. Probabilities are calibrated on scores of rows that were held \
           out.",
    source: "Cortes and Vapnik 1995, \"Support-vector networks\"; Fan, Chen and Lin 2005, \"Working set \
           selection using second order information for training support vector machines\"; Hsieh et \
           al. 2008, \"A dual coordinate descent method for large-scale linear SVM\"; Platt 1999, \
           \"Probabilistic outputs for support vector machines\"",
    smartcore: "None. Its `SVC` (0.7) takes 184 times as long on 2,000 rows and has no probabilities or \
           weights; its `SVR` is wrong for all kernels but rbf.",
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
            range: Range::Choice(KernelName::WORDS),
            effect: "similarity of two rows: exp(-gamma |x-y|^2), x.y or (gamma x.y + coef0)^degree",
        },
        Parameter {
            name: "gamma",
            default: "scale",
            range: Range::AnyOf(&[Range::Choice(&["scale", "auto"]), Range::From(0.0, f64::INFINITY)]),
            effect: "for rbf and poly; scale: 1 / (columns x variance of all numbers), auto: 1 / columns",
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
            effect: "added by the poly kernel before it takes the power",
        },
        Parameter {
            name: "epsilon",
            default: "0.1",
            range: Range::From(0.0, f64::INFINITY),
            effect: "for regression: errors up to this cost nothing",
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
            range: Range::Choice(ClassWeight::WORDS),
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

/// The word for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KernelName {
    Rbf,
    Linear,
    Poly,
}

impl Word for KernelName {
    const WORDS: &'static [&'static str] = &["rbf", "linear", "poly"];
    const ALL: &'static [Self] = &[Self::Rbf, Self::Linear, Self::Poly];
}

#[derive(Debug, Clone, Copy)]
enum Gamma {
    Scale,
    Auto,
    Number(f64),
}

/// Parameters.
struct Svm {
    c: f64,
    kernel: KernelName,
    gamma: Gamma,
    degree: u32,
    coef0: f64,
    epsilon: f64,
    probability: bool,
    class_weight: ClassWeight,
    tol: f64,
    max_iter: Option<usize>,
    shrinking: bool,
    cache_bytes: usize,
}

impl Svm {
    fn of(settings: &Settings) -> Self {
        Self {
            c: settings.number("C"),
            kernel: settings.choice("kernel"),
            gamma: match settings.word("gamma") {
                "scale" => Gamma::Scale,
                "auto" => Gamma::Auto,
                _ => Gamma::Number(settings.number("gamma")),
            },
            degree: settings.whole("degree") as u32,
            coef0: settings.number("coef0"),
            epsilon: settings.number("epsilon"),
            probability: settings.flag("probability"),
            class_weight: settings.choice("class_weight"),
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
        let kernel = match self.kernel {
            KernelName::Linear => Kernel::Linear,
            KernelName::Poly => Kernel::Poly { gamma, coef0: self.coef0, degree: self.degree },
            KernelName::Rbf => Kernel::Rbf { gamma },
        };
        let largest =
            rows.iter().map(|&row| kernel.diagonal(squared_norm(x.row(row))).abs()).fold(0.0, f64::max);
        ensure!(
            largest < MAX_VALUE,
            "the kernel {} of a row with itself is too large; a smaller degree or gamma (--set) helps",
            KernelName::WORDS[self.kernel as usize]
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

#[cfg(test)]
mod tests {
    use super::run::DESCENT_ROWS;
    use super::*;
    use crate::model::learn::laws::{self, noise, scores, select};
    use crate::model::predictor::Predictor;

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
        // Six copies of each row, and a fifth of the labels wrong: a fit on the copies overfits.
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
