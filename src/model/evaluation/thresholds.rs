//! What each threshold on the probability of the positive class means, what mistakes cost, and which threshold is best.

use serde::Serialize;

/// The counts and metrics of one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// A row is predicted positive from this probability.
    pub threshold: f64,
    /// Positives predicted as such.
    pub true_positives: u64,
    /// Negatives predicted positive.
    pub false_positives: u64,
    /// Positives predicted negative.
    pub false_negatives: u64,
    /// Negatives predicted as such.
    pub true_negatives: u64,
    /// Share of the predicted positives that are positive.
    pub precision: f64,
    /// Share of the positives that are predicted.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Share of the negatives that are predicted negative.
    pub specificity: f64,
    /// Mean cost of a row, if costs are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// The best of all thresholds, those between the rows of the table included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestThreshold {
    /// What it is best by.
    pub by: Objective,
    /// Its counts and metrics.
    #[serde(flatten)]
    pub row: ThresholdRow,
}

/// What a threshold is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The largest F1.
    F1,
    /// The smallest cost.
    Cost,
}

/// What the predictions cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostSummary {
    /// Cost of all rows.
    pub total: f64,
    /// Mean cost of a row.
    pub mean: f64,
    /// Mean cost of a row if each were predicted as the class of the smallest expected cost.
    pub mean_least_expected: f64,
    /// Mean cost of a row if all were predicted as the one class for which it is smallest.
    pub mean_constant: f64,
}
