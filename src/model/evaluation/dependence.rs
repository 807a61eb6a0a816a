//! Partial dependence and individual conditional expectation: what the model predicts if a column had another value in
//! every row (Friedman 2001; Goldstein, Kapelner, Bleich and Pitkin 2015).

use serde::Serialize;

use crate::data::cells::cell::ColumnType;

/// How the predictions depend on one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependence {
    /// The column.
    pub feature: String,
    /// Its type: numbers and dates are drawn as lines, others as dots.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The values that the column is set to: quantiles of its numbers, or levels, the most frequent first.
    pub values: Vec<serde_json::Value>,
    /// `values` as numbers (dates in seconds since 1970); empty for levels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<f64>,
    /// Share of the rows near each value: those for which it is the nearest one.
    pub shares: Vec<f64>,
    /// The mean predictions: one line of the positive class of two or of the number, else one per class.
    pub lines: Vec<DependenceLine>,
    /// The predictions of single rows, those of the first line: `n_rows × n_values`.
    pub ice: Vec<Vec<f64>>,
}

/// The mean prediction at each value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DependenceLine {
    /// The class; none for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<serde_json::Value>,
    /// Mean probability or predicted number at each value.
    pub mean: Vec<f64>,
}
