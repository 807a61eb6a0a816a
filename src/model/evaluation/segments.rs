//! Metrics of parts of the rows: those with one value of a column, or a range of its numbers.

use anyhow::Result;
use serde::Serialize;

use super::Metrics;
use super::bootstrap::Told;
use super::columns::ValueColumn;
use super::intervals::{Intervals, intervals_of_part};
use super::select;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::model::hold_out::TestRows;
use crate::model::pipeline::Predictions;

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

/// The segments of columns, one column after the other.
///
/// # Errors
/// A column that the rows do not have.
pub(super) fn segments(
    by: &[String],
    rows: &TestRows,
    known: Option<(&Schema, &Matrix)>,
    predictions: &Predictions,
    positive: usize,
    with_intervals: Option<Told>,
) -> Result<Vec<Segment>> {
    let mut found = Vec::new();
    for name in by {
        let column = ValueColumn::named(name, rows, known)?;
        let parts = column.parts();
        let n_parts = parts.len();
        for (value, part) in parts {
            let (own, truth) = (select(predictions, &part), rows.truth.select(&part));
            let metrics = Metrics::new(&own, &truth, positive);
            let of_part = || rows.groups.as_ref().map(|groups| part.iter().map(|&row| groups[row]).collect());
            let intervals = with_intervals.map(|told| {
                let groups: Option<Vec<u32>> = of_part();
                intervals_of_part(&own, &truth, positive, groups.as_deref(), &metrics, told, n_parts).0
            });
            found.push(Segment {
                column: column.name.clone(),
                value,
                rows: part.len(),
                few_rows: part.len() < FEW_ROWS,
                metrics,
                intervals,
            });
        }
    }
    Ok(found)
}
