//! Metrics of parts of the rows: those with one value of a column, or a range of its numbers.

use serde::Serialize;

use super::Metrics;
use super::intervals::Intervals;

/// Segments with fewer rows are marked: their metrics say little.
pub const FEW_ROWS: usize = 30;

/// The rows with one value of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Segment {
    /// The column.
    pub column: String,
    /// The value; a range such as `10 to 20` of numbers; `missing`; or `other` for the levels beyond the most frequent.
    pub value: String,
    /// Its rows.
    pub rows: usize,
    /// Whether they are too few to say much.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub few_rows: bool,
    /// The metrics of these rows.
    pub metrics: Metrics,
    /// Their intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
}
