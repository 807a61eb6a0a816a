//! How sure the metrics are: confidence intervals by the bootstrap, and closed forms where there are some.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Nominal coverage of the intervals.
pub const LEVEL: f64 = 0.95;

/// Rows beyond which a sample of them is resampled.
pub const MAX_ROWS: usize = 100_000;

/// The confidence intervals of metrics, by their dotted names (`accuracy`, `f1.macro`, …).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intervals(pub Vec<(String, [f64; 2])>);

impl Intervals {
    /// The interval of a metric.
    pub fn of(&self, name: &str) -> Option<[f64; 2]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, interval)| *interval)
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, interval) in &self.0 {
            map.serialize_entry(name, interval)?;
        }
        map.end()
    }
}

/// The intervals of one class: Wilson's, of precision and recall.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassIntervals {
    /// The class.
    pub label: serde_json::Value,
    /// Of the precision; none if nothing is predicted as the class.
    pub precision: Option<[f64; 2]>,
    /// Of the recall; none if the class has no row.
    pub recall: Option<[f64; 2]>,
}

/// How the intervals were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Resampling {
    /// Bootstrap replicates.
    pub replicates: usize,
    /// Rows that were resampled; fewer than were evaluated if those are too many.
    pub rows: usize,
    /// Groups that were resampled whole, if rows were held out by group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
}
