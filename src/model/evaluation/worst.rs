//! The rows that the model gets most wrong, and rows whose label may be wrong.

use serde::Serialize;

/// A row with its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstRow {
    /// Where it stands: file and line.
    pub place: String,
    /// Its true label or value.
    pub truth: serde_json::Value,
    /// The predicted label or value.
    pub predicted: serde_json::Value,
    /// The probability of the true class; classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability_of_truth: Option<f64>,
    /// The probability of the predicted class; classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability_of_predicted: Option<f64>,
    /// Its loss: the negative logarithm of the probability of the true class, or the absolute error.
    pub loss: f64,
    /// The cells of the columns that the model uses, as they are written; those of private columns are left out.
    pub values: Vec<(String, String)>,
}

/// Rows that stand out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WorstRows {
    /// The rows of the largest loss, largest first.
    pub rows: Vec<WorstRow>,
    /// Rows whose label may be wrong, the surest first: the model is surer of another label than it mostly is of rows
    /// that have that one (confident learning: Northcutt, Jiang and Chuang 2021). Classification only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label_hints: Vec<WorstRow>,
    /// All rows whose label may be wrong, those beyond the list included.
    pub n_label_hints: usize,
}
