//! Predictions against the truth, beside what a model that ignores the features would reach.

use serde::{Deserialize, Serialize};

use super::pipeline::{Decision, Predictions};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Target, Task};
use crate::data::cells::target::Truth;
use crate::metrics;
use crate::metrics::{ClassMetrics, Classification, Regression};

/// What a model that ignores the features says of every row, from the training rows: the shares of the
/// classes (and the largest as its prediction), or the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Share of each class.
    ClassShares(Vec<f64>),
    /// Mean of the target.
    Mean(f64),
}

impl Baseline {
    /// The baseline of the training rows.
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

    fn predictions(&self, n_rows: usize) -> Predictions {
        let row: &[f64] = match self {
            Self::ClassShares(shares) => shares,
            Self::Mean(mean) => std::slice::from_ref(mean),
        };
        let mut scores = Matrix::with_capacity(n_rows, row.len());
        (0..n_rows).for_each(|_| scores.push_row(0.0).copy_from_slice(row));
        let classes = match self {
            Self::ClassShares(shares) => vec![Decision::MostProbable.class(shares); n_rows],
            Self::Mean(_) => Vec::new(),
        };
        Predictions { scores, classes }
    }
}

/// The figures of either task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    /// Of labels and probabilities.
    Classification(Classification),
    /// Of numbers.
    Regression(Regression),
}

impl Metrics {
    /// The figures of predictions for rows of this truth; those for two classes ask about `positive`.
    pub fn new(predictions: &Predictions, truth: &Truth, positive: usize) -> Self {
        let scores = &predictions.scores;
        match truth {
            Truth::Classes { codes, labels } => Self::Classification(metrics::classification(
                codes,
                &predictions.classes,
                scores.values(),
                scores.n_cols(),
                labels.len(),
                positive,
            )),
            Truth::Values(values) => Self::Regression(metrics::regression(values, scores.values())),
        }
    }

    /// Every figure with its dotted name (`accuracy`, `f1.macro`, …), in the order of the JSON.
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
            ],
        }
    }
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Its label, with the type it has in JSON.
    pub label: serde_json::Value,
    /// Its figures.
    #[serde(flatten)]
    pub metrics: ClassMetrics,
}

/// Rows are the true classes, columns the predicted ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// The labels of rows and columns.
    pub labels: Vec<serde_json::Value>,
    /// Number of rows of each pair.
    pub counts: Vec<Vec<u64>>,
}

/// The result of an evaluation, as `eval --format json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What is predicted.
    pub task: Task,
    /// Name of the algorithm.
    pub algorithm: String,
    /// Name of the target column.
    pub target: String,
    /// Rows evaluated.
    pub n_rows: usize,
    /// The class that the figures for two classes ask about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<serde_json::Value>,
    /// The threshold on its probability, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The figures.
    pub metrics: Metrics,
    /// The same of a model that ignores the features.
    pub baseline: Metrics,
    /// The figures of each class; classification only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassRow>>,
    /// What was taken for what; classification only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion_matrix: Option<ConfusionMatrix>,
}

/// What an evaluation is about, beside the predictions.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Name of the algorithm.
    pub algorithm: &'a str,
    /// The target column.
    pub target: &'a Target,
    /// What a model that ignores the features says.
    pub baseline: &'a Baseline,
    /// Index of the class that the figures for two classes ask about.
    pub positive: usize,
    /// The threshold the predictions were made with.
    pub threshold: Option<f64>,
}

impl Evaluation {
    /// Compares predictions with the truth of the same rows.
    pub fn new(context: Context, predictions: &Predictions, truth: &Truth) -> Self {
        let n_rows = truth.len();
        let base = context.baseline.predictions(n_rows);
        let target = context.target;
        let mut evaluation = Self {
            task: target.task,
            algorithm: context.algorithm.into(),
            target: target.name.clone(),
            n_rows,
            positive: (target.labels.len() == 2).then(|| target.json_label(&target.labels[context.positive])),
            threshold: context.threshold,
            metrics: Metrics::new(predictions, truth, context.positive),
            baseline: Metrics::new(&base, truth, context.positive),
            classes: None,
            confusion_matrix: None,
        };
        if let Truth::Classes { codes, labels } = truth {
            let counts = metrics::confusion_matrix(codes, &predictions.classes, labels.len());
            let json_labels = || labels.iter().map(|label| target.json_label(label));
            let rows = json_labels().zip(metrics::per_class(&counts));
            evaluation.classes = Some(rows.map(|(label, metrics)| ClassRow { label, metrics }).collect());
            evaluation.confusion_matrix = Some(ConfusionMatrix { labels: json_labels().collect(), counts });
        }
        evaluation
    }
}
