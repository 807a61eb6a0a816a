//! The metric that decides between fits: its value, the loss of each row, and how sure a difference is.

use anyhow::Result;

use crate::data::cells::cell::Task;
use crate::data::cells::target::Truth;
use crate::metrics::poisson_deviance;
use crate::model::learn::usage;
use crate::model::pipeline::{Decision, Predictions};
use crate::names::did_you_mean;

/// A metric by the name that `eval` prints it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    name: &'static str,
    task: Task,
    less_is_better: bool,
    /// Whether classes count the same.
    balanced: bool,
}

/// The metrics that may decide, with the task of each and whether less of it is better.
static METRICS: [(&str, Task, bool); 14] = [
    ("log_loss", Task::Classification, true),
    ("accuracy", Task::Classification, false),
    ("balanced_accuracy", Task::Classification, false),
    ("f1.macro", Task::Classification, false),
    ("roc_auc", Task::Classification, false),
    ("average_precision", Task::Classification, false),
    ("brier", Task::Classification, true),
    ("mcc", Task::Classification, false),
    ("rmse", Task::Regression, true),
    ("mae", Task::Regression, true),
    ("median_ae", Task::Regression, true),
    ("r2", Task::Regression, false),
    ("mape", Task::Regression, true),
    ("poisson_deviance", Task::Regression, true),
];

/// A probability is taken to be no smaller, so that one row does not decide alone: about one over the rows of a table
/// whose shares can be told from 0.
const LEAST_PROBABILITY: f64 = 1e-6;

impl Metric {
    /// The names of all metrics.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        METRICS.iter().map(|(name, _, _)| *name)
    }

    /// The metric of this name, or the default: log loss for classes, which asks for right probabilities and so for
    /// right classes at any threshold; balanced accuracy if the classes are to count the same; the root of the mean
    /// squared error for numbers.
    ///
    /// # Errors
    /// A usage error for a name that is no metric of the task.
    pub(crate) fn of(name: Option<&str>, task: Task, balance: bool) -> Result<Self> {
        let name = name.unwrap_or(match task {
            Task::Regression => "rmse",
            Task::Classification if balance => "balanced_accuracy",
            Task::Classification => "log_loss",
        });
        let of_task = || METRICS.iter().filter(|(_, of, _)| *of == task);
        let Some(&(name, task, less_is_better)) = of_task().find(|(known, ..)| *known == name) else {
            let names: Vec<&str> = of_task().map(|(name, ..)| *name).collect();
            let hint = did_you_mean(name, names.iter().copied());
            return Err(usage(format!(
                "--metric {name:?}: no metric of a {}{hint}; known are {}",
                task.name(),
                names.join(", ")
            )));
        };
        Ok(Self { name, task, less_is_better, balanced: balance || name == "balanced_accuracy" })
    }

    /// Its name among the figures of an evaluation.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// The value with its sign turned so that more is better.
    pub(crate) fn utility(self, value: f64) -> f64 {
        if self.less_is_better { -value } else { value }
    }

    /// The loss of each row whose mean stands for the metric: what blends are made by. A metric that is no mean over
    /// rows, and one that jumps, as the accuracy does, is stood for by the log loss, a metric of numbers by the
    /// squared error unless it asks for the absolute one.
    pub(crate) fn losses(self, scores: &[f64], truth: &Truth) -> Vec<f64> {
        match truth {
            Truth::Classes { codes, labels } => {
                let n_classes = labels.len();
                let mut weights = vec![1.0; n_classes];
                if self.balanced {
                    let mut counts = vec![0.0; n_classes];
                    codes.iter().for_each(|&code| counts[code as usize] += 1.0);
                    let present = counts.iter().filter(|&&count| count > 0.0).count() as f64;
                    let of = |count: &f64| codes.len() as f64 / (present * count.max(1.0));
                    weights = counts.iter().map(of).collect();
                }
                let of_row = |(row, &code): (&[f64], &u32)| {
                    let p = row[code as usize];
                    let loss = match self.name {
                        "brier" => {
                            let miss = |(class, p): (usize, &f64)| {
                                (p - f64::from(u8::from(class == code as usize))).powi(2)
                            };
                            row.iter().enumerate().map(miss).sum::<f64>() / 2.0
                        }
                        _ => -p.max(LEAST_PROBABILITY).ln(),
                    };
                    loss * weights[code as usize]
                };
                scores.chunks_exact(n_classes).zip(codes).map(of_row).collect()
            }
            Truth::Values(values) => {
                let of_row = |(p, t): (&f64, &f64)| match self.name {
                    "mae" | "median_ae" => (p - t).abs(),
                    "mape" => (p - t).abs() / t.abs().max(f64::EPSILON),
                    "poisson_deviance" => poisson_deviance(*t, p.max(LEAST_PROBABILITY)),
                    _ => (p - t).powi(2),
                };
                scores.iter().zip(values).map(of_row).collect()
            }
        }
    }

    /// The standard error of the metric over rows that were predicted once each; none for a metric that is no mean
    /// over rows.
    ///
    /// Of an accuracy that of a share as in Breiman et al. 1984, 3.4.3, with two hits and two misses added (Agresti and
    /// Coull 1998, "Approximate is better than exact"): a perfect score on a few rows is not certain. Of a root and of
    /// R² that of the mean squared error, carried over (the delta method).
    pub(crate) fn standard_error(self, predictions: &Predictions, truth: &Truth) -> Option<f64> {
        let scores = predictions.scores.values();
        match truth {
            Truth::Classes { codes, labels } => match self.name {
                "accuracy" | "balanced_accuracy" => {
                    let n_groups = if self.name == "accuracy" { 1 } else { labels.len() };
                    let mut counts = vec![[0.0; 2]; n_groups];
                    for (&code, &predicted) in codes.iter().zip(&predictions.classes) {
                        let [rows, hits] = &mut counts[code as usize % n_groups];
                        *rows += 1.0;
                        *hits += f64::from(u8::from(code == predicted));
                    }
                    counts.retain(|[rows, _]| *rows > 0.0);
                    let variance = |&[rows, hits]: &[f64; 2]| {
                        let share = (hits + 2.0) / (rows + 4.0);
                        share * (1.0 - share) / (rows + 4.0)
                    };
                    Some(counts.iter().map(variance).sum::<f64>().sqrt() / counts.len().max(1) as f64)
                }
                "log_loss" | "brier" => Some(standard_error(&self.losses(scores, truth))),
                _ => None,
            },
            Truth::Values(values) => {
                let of_mean = standard_error(&self.losses(scores, truth));
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
                match self.name {
                    "mae" | "mape" | "poisson_deviance" => Some(of_mean),
                    "rmse" => Some(of_mean / (2.0 * mean(&self.losses(scores, truth)).sqrt())),
                    "r2" => {
                        let centre = mean(values);
                        let squares: Vec<f64> = values.iter().map(|v| (v - centre).powi(2)).collect();
                        Some(of_mean / mean(&squares))
                    }
                    _ => None,
                }
            }
        }
    }

    /// Whether a simpler fit may stand for the best one: by its mean loss it is not behind by more than a quarter of
    /// the standard error of the difference on the same rows. A mean of squares is decided by its largest, so numbers
    /// are compared by their absolute errors as well.
    pub(crate) fn is_as_good(self, simpler: &[f64], best: &[f64], truth: &Truth) -> bool {
        let behind = |metric: Self| {
            let losses = [simpler, best].map(|scores| metric.losses(scores, truth));
            let gaps: Vec<f64> = losses[0].iter().zip(&losses[1]).map(|(a, b)| a - b).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
            mean > standard_error(&gaps) * CLOSE
        };
        !behind(self) && !behind(self.robust())
    }

    /// The metric that a few rows do not decide: of numbers the mean absolute error.
    pub(super) fn robust(self) -> Self {
        match self.task {
            Task::Regression => Self { name: "mae", ..self },
            Task::Classification => self,
        }
    }
}

/// The share of the standard error of a paired difference within which the simpler fit is taken.
const CLOSE: f64 = 0.25;

/// The standard error of the mean of independent values.
pub(crate) fn standard_error(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// Scores and the classes that they lead to.
pub(crate) fn decided(scores: crate::data::cells::matrix::Matrix, task: Task) -> Predictions {
    let classes = match task {
        Task::Regression => Vec::new(),
        Task::Classification => scores.rows().map(|row| Decision::MostProbable.class(row)).collect(),
    };
    Predictions { scores, classes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::evaluation::Metrics;

    fn metric(name: &str) -> Metric {
        [Task::Classification, Task::Regression]
            .into_iter()
            .find_map(|task| Metric::of(Some(name), task, false).ok())
            .unwrap()
    }

    fn matrix(width: usize, values: &[f64]) -> Matrix {
        let mut matrix = Matrix::zeros(values.len() / width, width);
        matrix.values_mut().copy_from_slice(values);
        matrix
    }

    fn two_classes(codes: &[u32]) -> Truth {
        Truth::Classes { codes: codes.to_vec(), labels: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn a_metric_is_one_of_its_task_and_the_default_asks_for_right_probabilities() {
        let name = |task, balance| Metric::of(None, task, balance).unwrap().name();
        assert_eq!(name(Task::Classification, false), "log_loss");
        assert_eq!(name(Task::Classification, true), "balanced_accuracy");
        assert_eq!(name(Task::Regression, false), "rmse");
        let error = Metric::of(Some("rmse"), Task::Classification, false).unwrap_err();
        assert!(
            crate::Error::is_usage(&error) && error.to_string().contains("known are log_loss"),
            "{error}"
        );
        assert_eq!((metric("rmse").utility(2.0), metric("r2").utility(2.0)), (-2.0, 2.0));
    }

    #[test]
    fn every_metric_is_one_that_an_evaluation_prints() {
        let truth = two_classes(&[0, 1, 1, 0]);
        let scores = matrix(2, &[0.9, 0.1, 0.2, 0.8, 0.6, 0.4, 0.7, 0.3]);
        let classes = Metrics::new(&decided(scores, Task::Classification), &truth, 1);
        let values = Truth::Values(vec![1.0, 2.0, 4.0]);
        let numbers = Metrics::new(&decided(matrix(1, &[1.5, 2.0, 3.0]), Task::Regression), &values, 1);
        for name in Metric::names() {
            let is_printed =
                |metrics: &Metrics| metrics.figures().iter().any(|(known, v)| *known == name && v.is_some());
            let known = [&classes, &numbers].into_iter().any(is_printed);
            assert!(known, "{name}");
        }
    }

    #[test]
    fn the_mean_loss_of_rows_is_the_metric_where_that_is_a_mean() {
        let truth = two_classes(&[0, 1, 1, 0]);
        let scores = matrix(2, &[0.9, 0.1, 0.2, 0.8, 0.6, 0.4, 0.7, 0.3]);
        let metrics = Metrics::new(&decided(scores.clone(), Task::Classification), &truth, 1);
        for name in ["log_loss", "brier"] {
            let losses = metric(name).losses(scores.values(), &truth);
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            let figure = metrics.figures().into_iter().find(|(known, _)| *known == name).unwrap().1.unwrap();
            assert!((mean - figure).abs() < 1e-12, "{name}");
        }
        let balanced = Metric::of(None, Task::Classification, true).unwrap();
        let losses = balanced.losses(&[0.5; 8], &two_classes(&[0, 0, 0, 1]));
        assert!((losses[0] * 3.0 - losses[3]).abs() < 1e-12, "three rows weigh as much as one");
    }

    #[test]
    fn the_standard_error_is_that_of_a_share_of_a_mean_and_of_squared_errors() {
        let truth = two_classes(&[0, 0, 0, 1]);
        let predicted = Predictions { scores: Matrix::zeros(4, 2), classes: vec![0, 0, 1, 1] };
        let share = |hits: f64, rows: f64| {
            let p = (hits + 2.0) / (rows + 4.0);
            p * (1.0 - p) / (rows + 4.0)
        };
        let error = |name: &str| metric(name).standard_error(&predicted, &truth).unwrap();
        assert_eq!(error("accuracy"), share(3.0, 4.0).sqrt());
        assert_eq!(error("balanced_accuracy"), (share(2.0, 3.0) + share(1.0, 1.0)).sqrt() / 2.0);
        let values = Truth::Values(vec![1.0, 2.0, 3.0, 4.0]);
        let predicted = decided(matrix(1, &[1.0, 2.0, 2.0, 1.0]), Task::Regression);
        let error = |name: &str| metric(name).standard_error(&predicted, &values);
        // Squared errors 0, 0, 1, 9 have the mean 2.5 and the sample variance 19; the truth varies by 1.25.
        let of_mean = (19.0_f64 / 4.0).sqrt();
        assert!((error("rmse").unwrap() - of_mean / (2.0 * 2.5_f64.sqrt())).abs() < 1e-12);
        assert!((error("r2").unwrap() - of_mean / 1.25).abs() < 1e-12);
        assert_eq!(error("median_ae"), None);
    }

    #[test]
    fn a_simpler_fit_is_as_good_within_a_part_of_the_error_of_the_paired_difference() {
        let n = 400;
        let truth = Truth::Values(vec![0.0; n]);
        let scores = |shift: f64, sign: f64| -> Vec<f64> {
            (0..n).map(|i| sign * ((i * 37 % 101) as f64 - 50.0) + shift).collect()
        };
        let rmse = metric("rmse");
        assert!(rmse.is_as_good(&scores(0.0, -1.0), &scores(0.0, 1.0), &truth));
        assert!(!rmse.is_as_good(&scores(20.0, 1.0), &scores(0.0, 1.0), &truth));
        // One enormous error hides a difference of squares, not one of absolute values.
        let mut wild = [scores(3.0, 0.02), scores(0.0, 0.02)];
        wild[0][7] = 1e4;
        wild[1][7] = 1e4 + 10.0;
        assert!(!rmse.is_as_good(&wild[0], &wild[1], &truth));
    }
}
