//! The weakest segments: parts of the rows in which the loss is largest, found by a shallow tree on the loss.

use serde::Serialize;

use super::Metrics;

/// A part of the rows in which the model is weak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeakSegment {
    /// What the rows have in common, such as `age <= 30` or `island in Biscoe, Dream`; all hold.
    pub conditions: Vec<String>,
    /// Its rows.
    pub rows: usize,
    /// Mean loss of its rows (log loss, or squared error).
    pub loss: f64,
    /// Mean loss of all other rows.
    pub loss_of_others: f64,
    /// The metrics of its rows.
    pub metrics: Metrics,
}
