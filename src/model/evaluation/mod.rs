//! Predictions compared with the truth, and with a baseline that ignores the features.
//!
//! `evaluate` is what `mlapi eval` and [`Model::evaluate`] call; training and cross-validation make an
//! [`Evaluation`] or [`Metrics`] of predictions they have. [`detail`] is an evaluation with everything beyond: each
//! other file holds one part of it.

pub(crate) mod associations;
pub(crate) mod bands;
pub(crate) mod bootstrap;
mod columns;
pub mod comparison;
pub mod curves;
pub mod dependence;
pub mod detail;
pub(crate) mod elsewhere;
pub mod importance;
pub mod intervals;
pub mod learning_curve;
pub mod rank_groups;
mod ranking;
pub mod residuals;
pub mod segments;
pub mod steps;
pub(crate) mod tally;
pub mod thresholds;
pub mod weak;
mod weighted;
pub mod why;
pub mod worst;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Model;
use super::hold_out::TestRows;
use super::pipeline::{Decision, Predictions};
use super::postprocessing::Postprocessing;
use super::postprocessing::coverage::Coverage;
use super::scalar;
use super::unknown_labels::UnknownLabels;
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Target;
use crate::data::cells::target::Truth;
use crate::error::usage;
use crate::metrics;
use crate::metrics::{ClassCounts, ClassMetrics, Classification, Probabilities, Regression};

/// The prediction of a model that ignores the features, the same for every row: the most frequent class, with the
/// class shares of the training rows as probabilities, or their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Share of the training rows in each class.
    ClassShares(Vec<f64>),
    /// Mean of the target.
    Mean(f64),
}

impl Baseline {
    /// The baseline of the training rows, each counted once.
    pub fn fit(truth: &Truth) -> Self {
        let n = truth.len().max(1) as f64;
        match truth {
            Truth::Classes { codes, labels } => {
                let mut counts = vec![0.0; labels.len()];
                codes.iter().for_each(|&code| counts[code as usize] += 1.0);
                Self::ClassShares(counts.iter().map(|count| count / n).collect())
            }
            Truth::Values(values) => Self::Mean(values.iter().map(|v| v / n).sum()),
        }
    }

    /// Its metrics on rows; the prediction, which is the same for all, is not made for each.
    fn metrics(&self, truth: &Truth, positive: usize) -> Metrics {
        let n_rows = truth.len();
        match self {
            Self::ClassShares(shares) => {
                let classes = vec![Decision::MostProbable.class(shares); n_rows];
                let of_rows = Probabilities { values: shares, n_classes: shares.len(), same: true };
                Metrics::of(of_rows, &classes, truth, positive)
            }
            Self::Mean(mean) => {
                let values = vec![*mean; n_rows];
                let of_rows = Probabilities { values: &values, n_classes: 1, same: false };
                Metrics::of(of_rows, &[], truth, positive)
            }
        }
    }
}

/// The metrics of either task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    /// Metrics of labels and probabilities.
    Classification(Classification),
    /// Metrics of numbers.
    Regression(Regression),
}

impl Metrics {
    /// The metrics of predictions; `truth` has the target of each row. Those for two classes are about the class
    /// `positive`.
    pub fn new(predictions: &Predictions, truth: &Truth, positive: usize) -> Self {
        Self::of(Self::probabilities(predictions), &predictions.classes, truth, positive)
    }

    fn probabilities(predictions: &Predictions) -> Probabilities<'_> {
        let scores = &predictions.scores;
        Probabilities { values: scores.values(), n_classes: scores.n_cols(), same: false }
    }

    fn of(scores: Probabilities, classes: &[u32], truth: &Truth, positive: usize) -> Self {
        match truth {
            Truth::Classes { codes, labels } => {
                Self::Classification(metrics::classification(codes, classes, scores, labels.len(), positive))
            }
            Truth::Values(values) => Self::Regression(metrics::regression(values, scores.values)),
        }
    }

    /// Every metric with its dotted name (`accuracy`, `f1.macro`, …), in the order of the JSON, which leaves out
    /// the last one of a regression; none if it is undefined.
    pub fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Classification(m) => vec![
                ("accuracy", m.accuracy),
                ("balanced_accuracy", m.balanced_accuracy),
                ("precision.macro", Some(m.precision.macro_average)),
                ("precision.micro", Some(m.precision.micro)),
                ("precision.weighted", Some(m.precision.weighted)),
                ("recall.macro", Some(m.recall.macro_average)),
                ("recall.micro", Some(m.recall.micro)),
                ("recall.weighted", Some(m.recall.weighted)),
                ("f1.macro", Some(m.f1.macro_average)),
                ("f1.micro", Some(m.f1.micro)),
                ("f1.weighted", Some(m.f1.weighted)),
                ("log_loss", m.log_loss),
                ("roc_auc", m.roc_auc),
                ("average_precision", m.average_precision),
                ("brier", m.brier),
                ("mcc", m.mcc),
            ],
            Self::Regression(m) => vec![
                ("r2", m.r2),
                ("rmse", m.rmse),
                ("mae", m.mae),
                ("median_ae", m.median_ae),
                ("mape", m.mape),
                ("poisson_deviance", m.poisson_deviance),
            ],
        }
    }
}

/// The metrics of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Its label, with the type it has in JSON.
    #[serde(deserialize_with = "scalar::one")]
    pub label: serde_json::Value,
    /// Its metrics.
    #[serde(flatten)]
    pub metrics: ClassMetrics,
}

/// Classes up to which there is a confusion matrix: of a thousand it has a million numbers, two megabytes in a model file
/// and in each answer that shows it.
pub const MAX_MATRIX_CLASSES: usize = 1000;

/// Counts of rows by true class (rows) and predicted class (columns).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// The labels of rows and columns.
    #[serde(deserialize_with = "scalar::list")]
    pub labels: Vec<serde_json::Value>,
    /// Number of rows of each pair, `n_classes × n_classes`.
    pub counts: Vec<Vec<u64>>,
}

/// The result of an evaluation, as `eval --format json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The task of the model.
    pub task: Task,
    /// Name of the algorithm.
    pub algorithm: String,
    /// Name of the target column.
    pub target: String,
    /// Rows evaluated.
    pub n_rows: usize,
    /// The positive class; two classes only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalar::some")]
    pub positive: Option<serde_json::Value>,
    /// The threshold on its probability, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The labels that the model does not know, whose rows count as wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_labels: Option<UnknownLabels>,
    /// Rows whose class got a probability below 2.2e-16, which the log loss takes in its place; classification only.
    #[serde(default, skip_serializing_if = "is_none")]
    pub n_zero_probability: usize,
    /// How often the prediction intervals or sets hold the true value, if the model gives any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// The metrics of the model.
    pub metrics: Metrics,
    /// The metrics of the baseline on the same rows.
    pub baseline: Metrics,
    /// The metrics of each class; classification only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassRow>>,
    /// The confusion matrix; classification only, and only of at most [`MAX_MATRIX_CLASSES`] classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion_matrix: Option<ConfusionMatrix>,
}

/// The facts of an evaluation that predictions and truth do not hold.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Name of the algorithm.
    pub algorithm: &'a str,
    /// The target column.
    pub target: &'a Target,
    /// The prediction of a model that ignores the features.
    pub baseline: &'a Baseline,
    /// Index of the positive class; of no meaning unless there are two.
    pub positive: usize,
    /// The threshold the predictions were made with.
    pub threshold: Option<f64>,
}

/// The class that the metrics for two classes are about, and the threshold on its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Positive {
    class: usize,
    threshold: Option<f64>,
}

impl Default for Positive {
    /// The second class, without a threshold.
    fn default() -> Self {
        Self { class: 1, threshold: None }
    }
}

impl Positive {
    /// The class of this label, the second one if none is given; a threshold from 0 to 1.
    ///
    /// # Errors
    /// A usage error for a label that is not of the model, and for a model that does not have two classes.
    pub(crate) fn new(model: &Model, label: Option<&str>, threshold: Option<f64>) -> Result<Self> {
        let labels = model.labels();
        let class = match label {
            None => 1,
            Some(_) if labels.len() != 2 => return Err(usage("--positive needs a model with two classes")),
            Some(label) => labels.iter().position(|known| known == label).ok_or_else(|| {
                usage(format!("--positive {label:?}: the classes are {:?} and {:?}", labels[0], labels[1]))
            })?,
        };
        model.pipeline.decision_at(threshold).map_err(|error| usage(format!("--threshold: {error}")))?;
        Ok(Self { class, threshold })
    }

    /// The class.
    pub(crate) fn class(self) -> usize {
        self.class
    }

    /// The same class of another model, which has the classes of this one at `places`.
    fn moved(self, places: &[usize]) -> Self {
        Self { class: places.get(self.class).copied().unwrap_or(self.class), ..self }
    }

    fn decision(self, model: &Model) -> Decision {
        match self.threshold {
            Some(threshold) => Decision::Threshold { threshold, positive: self.class },
            None => model.pipeline.decision(),
        }
    }

    /// The threshold on the probability of the class, if one decides.
    fn threshold(self, model: &Model) -> Option<f64> {
        match self.decision(model) {
            Decision::Threshold { threshold, positive } if positive == self.class => Some(threshold),
            _ => None,
        }
    }
}

/// Evaluates a model on rows of files.
///
/// # Errors
/// Columns that are missing or unknown, cells of the wrong type.
pub(crate) fn evaluate(model: &Model, rows: &TestRows, positive: Positive) -> Result<Evaluation> {
    Ok(score(model, rows, positive)?.evaluation)
}

/// Rows with their predictions.
pub(crate) struct Scored {
    /// The rows as the model reads them, if there is one.
    pub(crate) codes: Option<Matrix>,
    /// Their predictions.
    pub(crate) predictions: Predictions,
    /// The class that the metrics for two classes are about.
    pub(crate) positive: usize,
    /// The predictions compared with the truth.
    pub(crate) evaluation: Evaluation,
}

/// Predicts rows of files and compares them with the truth.
///
/// # Errors
/// Those of [`evaluate`].
pub(crate) fn score(model: &Model, rows: &TestRows, positive: Positive) -> Result<Scored> {
    let schema = &model.pipeline.schema;
    let codes = rows.codes(schema)?;
    let predictions = model.pipeline.predict(&codes, positive.decision(model));
    let context = Context {
        algorithm: &model.card.algorithm,
        target: &schema.target,
        baseline: &model.card.baseline,
        positive: positive.class,
        threshold: positive.threshold(model),
    };
    let evaluation = Evaluation::new(context, &predictions, &rows.truth);
    let evaluation = evaluation.covering(&model.pipeline.postprocessing, &predictions, &rows.truth);
    Ok(Scored { codes: Some(codes), predictions, positive: positive.class, evaluation })
}

/// Some of the rows of predictions.
fn select(predictions: &Predictions, rows: &[usize]) -> Predictions {
    let mut scores = Matrix::with_capacity(rows.len(), predictions.scores.n_cols());
    rows.iter().for_each(|&row| scores.push_row(0.0).copy_from_slice(predictions.scores.row(row)));
    let classes = if predictions.classes.is_empty() {
        Vec::new()
    } else {
        rows.iter().map(|&row| predictions.classes[row]).collect()
    };
    Predictions { scores, classes }
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

impl Evaluation {
    /// The headline metrics by which the model is worse than its baseline.
    pub(crate) fn worse_than_baseline(&self) -> Vec<&'static str> {
        const LESS_IS_BETTER: [&str; 3] = ["log_loss", "rmse", "mae"];
        const MORE_IS_BETTER: [&str; 3] = ["accuracy", "balanced_accuracy", "r2"];
        let mut worse = Vec::new();
        for ((name, own), (_, base)) in self.metrics.figures().into_iter().zip(self.baseline.figures()) {
            let (Some(own), Some(base)) = (own, base) else { continue };
            if LESS_IS_BETTER.contains(&name) && own > base || MORE_IS_BETTER.contains(&name) && own < base {
                worse.push(name);
            }
        }
        worse
    }

    /// Adds how often the intervals or sets of the same predictions hold the truth.
    pub(crate) fn covering(self, steps: &Postprocessing, predictions: &Predictions, truth: &Truth) -> Self {
        Self { coverage: Coverage::of(steps, &predictions.scores, truth), ..self }
    }

    /// Compares predictions with the truth of the same rows.
    pub fn new(context: Context, predictions: &Predictions, truth: &Truth) -> Self {
        let n_rows = truth.len();
        let target = context.target;
        let mut evaluation = Self {
            task: target.task,
            algorithm: context.algorithm.into(),
            target: target.name.clone(),
            n_rows,
            positive: (target.labels.len() == 2).then(|| target.json_label(&target.labels[context.positive])),
            threshold: context.threshold,
            unknown_labels: UnknownLabels::of(truth, target),
            n_zero_probability: match truth {
                Truth::Classes { codes, .. } => {
                    metrics::n_zero_probability(codes, Metrics::probabilities(predictions))
                }
                Truth::Values(_) => 0,
            },
            coverage: None,
            metrics: Metrics::new(predictions, truth, context.positive),
            baseline: context.baseline.metrics(truth, context.positive),
            classes: None,
            confusion_matrix: None,
        };
        if let Truth::Classes { codes, labels } = truth {
            let counts = metrics::class_counts(codes, &predictions.classes, labels.len());
            evaluation.set_classes(target, labels, &counts, &|| {
                metrics::confusion_matrix(codes, &predictions.classes, labels.len())
            });
        }
        evaluation
    }

    /// Adds what is known of each class; `matrix` counts rows by true and predicted class.
    fn set_classes(
        &mut self,
        target: &Target,
        labels: &[String],
        counts: &[ClassCounts],
        matrix: &dyn Fn() -> Vec<Vec<u64>>,
    ) {
        let json_labels = || labels.iter().map(|label| target.json_label(label));
        let rows = json_labels().zip(metrics::per_class(counts));
        self.classes = Some(rows.map(|(label, metrics)| ClassRow { label, metrics }).collect());
        self.confusion_matrix = (labels.len() <= MAX_MATRIX_CLASSES)
            .then(|| ConfusionMatrix { labels: json_labels().collect(), counts: matrix() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(labels: &[&str]) -> Target {
        let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
        let task = if labels.is_empty() { Task::Regression } else { Task::Classification };
        Target { name: "y".into(), task, numeric_labels: false, notation: None, labels }
    }

    fn classes(codes: &[u32], labels: &[&str]) -> Truth {
        Truth::Classes {
            codes: codes.to_vec(),
            labels: labels.iter().map(|label| label.to_string()).collect(),
        }
    }

    fn predictions(rows: &[&[f64]]) -> Predictions {
        let mut scores = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| scores.push_row(0.0).copy_from_slice(row));
        let classes = rows.iter().map(|row| Decision::MostProbable.class(row)).collect();
        Predictions { scores, classes }
    }

    fn evaluation(target: &Target, predictions: &Predictions, truth: &Truth) -> Evaluation {
        let baseline = Baseline::fit(truth);
        let context = Context { algorithm: "knn", target, baseline: &baseline, positive: 1, threshold: None };
        Evaluation::new(context, predictions, truth)
    }

    #[test]
    fn the_baseline_predicts_the_most_frequent_class_or_the_mean() {
        let truth = classes(&[1, 0, 1, 1], &["a", "b"]);
        let baseline = Baseline::fit(&truth);
        assert_eq!(baseline, Baseline::ClassShares(vec![0.25, 0.75]));
        let same = predictions(&[&[0.25, 0.75][..]; 4]);
        assert_eq!(same.classes, [1; 4]);
        assert_eq!(baseline.metrics(&truth, 1), Metrics::new(&same, &truth, 1));
        let truth = Truth::Values(vec![1.0, 2.0, 6.0]);
        let baseline = Baseline::fit(&truth);
        assert_eq!(baseline, Baseline::Mean(3.0));
        let r2 = baseline.metrics(&truth, 1).figures()[0];
        assert_eq!(r2, ("r2", Some(0.0)), "of its own rows the mean explains nothing");
    }

    #[test]
    fn classes_and_confusion_matrix_count_each_row_once() {
        let target = target(&["a", "b", "c"]);
        let truth = classes(&[0, 1, 2, 2], &["a", "b", "c"]);
        let rows: [&[f64]; 4] = [&[0.8, 0.1, 0.1], &[0.6, 0.3, 0.1], &[0.1, 0.2, 0.7], &[0.0, 0.9, 0.1]];
        let evaluation = evaluation(&target, &predictions(&rows), &truth);
        let matrix = evaluation.confusion_matrix.unwrap();
        assert_eq!(matrix.counts, [[1, 0, 0], [1, 0, 0], [0, 1, 1]]);
        let supports: Vec<u64> = matrix.counts.iter().map(|row| row.iter().sum()).collect();
        assert_eq!(supports, [1, 1, 2]);
        assert_eq!(evaluation.classes.unwrap().len(), 3);
        assert_eq!(evaluation.positive, None, "there are three classes");
    }

    #[test]
    fn there_is_no_matrix_of_more_than_a_thousand_classes_and_everything_else_there_is() {
        for n in [MAX_MATRIX_CLASSES, MAX_MATRIX_CLASSES + 1] {
            let labels: Vec<String> = (0..n).map(|class| class.to_string()).collect();
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let truth = classes(&[0, 5, n as u32 - 1], &labels);
            let row =
                |class: usize| -> Vec<f64> { (0..n).map(|i| f64::from(u8::from(i == class))).collect() };
            let rows = [row(0), row(6), row(n - 1)];
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let found = evaluation(&target(&labels), &predictions(&rows), &truth);
            assert_eq!(found.confusion_matrix.is_some(), n == MAX_MATRIX_CLASSES);
            assert_eq!(found.metrics.figures()[0], ("accuracy", Some(2.0 / 3.0)));
            let of_classes = found.classes.as_ref().unwrap();
            assert_eq!((of_classes.len(), of_classes[5].metrics.support), (n, 1));
            let json = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), found);
        }
    }

    #[test]
    fn a_label_that_the_model_does_not_know_is_a_class_of_its_own() {
        let target = target(&["a", "b"]);
        let truth = classes(&[0, 2], &["a", "b", "new"]);
        let found = evaluation(&target, &predictions(&[&[0.9, 0.1], &[0.2, 0.8]]), &truth);
        assert_eq!(found.confusion_matrix.unwrap().counts, [[1, 0, 0], [0, 0, 0], [0, 1, 0]]);
        assert_eq!(found.metrics.figures()[0], ("accuracy", Some(0.5)));
        assert_eq!(found.unknown_labels.map(|unknown| (unknown.n_rows, unknown.n_labels)), Some((1, 1)));
    }

    #[test]
    fn the_names_of_figures_are_the_paths_of_their_json() {
        let truth = classes(&[0, 1], &["a", "b"]);
        let both = [
            Metrics::new(&predictions(&[&[0.9, 0.1], &[0.2, 0.8]]), &truth, 1),
            Metrics::new(&predictions(&[&[1.0], &[2.0]]), &Truth::Values(vec![1.5, 2.5]), 1),
        ];
        for metrics in both {
            let json = serde_json::to_value(&metrics).unwrap();
            for (name, value) in metrics.figures() {
                let found = json.pointer(&format!("/{}", name.replace('.', "/")));
                assert_eq!(found.is_none(), name == "poisson_deviance", "{name}");
                assert!(found.is_none_or(|found| found.as_f64() == value), "{name}");
            }
        }
    }

    #[test]
    fn an_evaluation_is_read_back_as_it_was_written() {
        let truth = classes(&[0, 1], &["a", "b"]);
        let written = evaluation(&target(&["a", "b"]), &predictions(&[&[0.9, 0.1], &[0.2, 0.8]]), &truth);
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), written);
    }
}
