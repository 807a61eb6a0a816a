//! The errors of a regression: predicted by true values, residuals by predictions, quantiles, and a normal QQ plot.
//!
//! A residual is the true value minus the predicted one. Everything is bounded, whatever the number of rows.

use serde::Serialize;

/// The most rows that are listed one by one.
pub const MAX_POINTS: usize = 1000;

/// The errors of a regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Residuals {
    /// Rows one by one: all, or a sample of [`MAX_POINTS`].
    pub points: Vec<ResidualPoint>,
    /// Whether `points` are a sample.
    pub is_sample: bool,
    /// Rows by true and predicted value; only if `points` are a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<DensityGrid>,
    /// Quantiles of the residuals.
    pub quantiles: Vec<ErrorQuantile>,
    /// Rows by residual, in bins of equal width.
    pub histogram: ResidualHistogram,
    /// Residuals in tenths of the rows by predicted value.
    pub by_prediction: Vec<ResidualBin>,
    /// Standard normal quantiles and the residuals at them.
    pub qq: Vec<QqPoint>,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidualPoint {
    /// The true value.
    pub truth: f64,
    /// The predicted value.
    pub predicted: f64,
}

/// Rows in cells of equal width.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DensityGrid {
    /// Bounds of the cells by true value, one more than rows of `counts`.
    pub truth_edges: Vec<f64>,
    /// Bounds of the cells by predicted value.
    pub predicted_edges: Vec<f64>,
    /// Rows of each cell: `counts[truth][predicted]`.
    pub counts: Vec<Vec<u64>>,
}

/// A quantile of the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ErrorQuantile {
    /// Share of the rows with at most this residual.
    pub share: f64,
    /// The residual.
    pub residual: f64,
    /// The same quantile of the absolute residuals.
    pub absolute: f64,
}

/// Rows by residual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResidualHistogram {
    /// Bounds of the bins, one more than `rows`.
    pub edges: Vec<f64>,
    /// Rows of each bin.
    pub rows: Vec<u64>,
}

/// The residuals of rows with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidualBin {
    /// Mean predicted value.
    pub predicted: f64,
    /// Mean true value.
    pub truth: f64,
    /// Mean residual.
    pub mean: f64,
    /// Quartiles of the residuals.
    pub quartiles: [f64; 3],
    /// Its rows.
    pub rows: u64,
}

/// A point of a normal QQ plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QqPoint {
    /// Quantile of the standard normal distribution.
    pub normal: f64,
    /// Residual of the same rank, in standard deviations from the mean.
    pub residual: f64,
}
