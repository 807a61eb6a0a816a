//! Two models on the same rows: the difference of each metric, how sure it is, and a verdict in words.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A model compared with another on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// File of the other model.
    pub other: String,
    /// Rows compared.
    pub rows: usize,
    /// The differences of the metrics, this model minus the other.
    #[serde(serialize_with = "as_map")]
    pub metrics: Vec<(String, Difference)>,
    /// A test of the predictions of each row.
    pub test: PairedTest,
    /// The outcome in one sentence.
    pub verdict: String,
}

fn as_map<S: Serializer>(metrics: &[(String, Difference)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(metrics.len()))?;
    for (name, difference) in metrics {
        map.serialize_entry(name, difference)?;
    }
    map.end()
}

/// The difference of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The metric of this model.
    pub value: f64,
    /// The metric of the other.
    pub other: f64,
    /// The first minus the second.
    pub difference: f64,
    /// Its 95 % interval: paired bootstrap of the rows.
    pub interval: [f64; 2],
    /// Two-sided, by the same replicates.
    pub p_value: f64,
    /// What that says.
    pub verdict: Verdict,
}

/// Whether a difference is more than chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The interval lies on the better side of 0.
    #[serde(rename = "better")]
    Better,
    /// The interval lies on the worse side of 0.
    #[serde(rename = "worse")]
    Worse,
    /// The interval contains 0.
    #[serde(rename = "no difference shown")]
    NoDifferenceShown,
}

/// A test of paired predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum PairedTest {
    /// Of the rows that one model alone gets right (McNemar 1947; exact binomial below 25 such rows, else with Edwards'
    /// continuity correction).
    Mcnemar {
        /// Rows that this model alone gets right.
        only_this: u64,
        /// Rows that the other alone gets right.
        only_other: u64,
        /// Two-sided.
        p_value: f64,
    },
    /// Of the absolute errors of each row.
    PairedT {
        /// Mean difference of the absolute errors, this model minus the other.
        difference: f64,
        /// Its t statistic.
        t: f64,
        /// Two-sided.
        p_value: f64,
    },
}
