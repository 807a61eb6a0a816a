//! How much more data would help: the metrics of models fitted on growing shares of the training rows. The fits are those
//! of `crate::model::learn`; here is what they give.

use serde::Serialize;

use super::Metrics;

/// The metrics of a model that was fitted on a share of the training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearningPoint {
    /// The share.
    pub share: f64,
    /// Its rows.
    pub rows: usize,
    /// On the held-out rows.
    pub metrics: Metrics,
    /// On the rows of the share themselves.
    pub training: Metrics,
}
