//! An evaluation with everything that can be asked of it beyond its metrics, and the wishes that say what.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Evaluation;
use super::comparison::Comparison;
use super::curves::{Curves, TopK};
use super::dependence::Dependence;
use super::importance::Importances;
use super::intervals::{ClassIntervals, Intervals, LEVEL, Resampling};
use super::residuals::Residuals;
use super::segments::Segment;
use super::thresholds::{BestThreshold, CostSummary, ThresholdRow};
use super::weak::WeakSegment;
use super::worst::WorstRows;

/// What to compute beyond the metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// Confidence intervals of the metrics.
    pub intervals: bool,
    /// Curves, thresholds and residuals.
    pub curves: bool,
    /// Columns whose values cut the rows into segments.
    pub by: Vec<String>,
    /// The weakest segments.
    pub weak: bool,
    /// Permutation importance.
    pub importances: bool,
    /// Partial dependence of the most important columns.
    pub dependence: bool,
    /// The rows that the model gets most wrong.
    pub worst: bool,
    /// The same metrics and curves of the training rows.
    pub training: bool,
}

impl Wishes {
    /// Everything, for a report.
    pub fn all() -> Self {
        Self {
            intervals: true,
            curves: true,
            by: Vec::new(),
            weak: true,
            importances: true,
            dependence: true,
            worst: true,
            training: true,
        }
    }
}

/// An [`Evaluation`] and what was asked of it beyond; parts that were not asked for, or that its task does not have, are
/// absent. In JSON all stand beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct DetailedEvaluation {
    /// The metrics, of the model and its baseline.
    pub evaluation: Evaluation,
    /// The intervals of `evaluation.metrics`.
    pub intervals: Option<Intervals>,
    /// The intervals of `evaluation.classes`, in the same order.
    pub class_intervals: Option<Vec<ClassIntervals>>,
    /// How the intervals were made.
    pub resampling: Option<Resampling>,
    /// Classification only.
    pub curves: Option<Curves>,
    /// Of more than five classes.
    pub top_k: Option<Vec<TopK>>,
    /// Two classes only.
    pub thresholds: Option<Vec<ThresholdRow>>,
    /// Two classes only; by cost if costs are given.
    pub best_threshold: Option<BestThreshold>,
    /// Only if costs are given.
    pub costs: Option<CostSummary>,
    /// Regression only.
    pub residuals: Option<Residuals>,
    /// In the order of the columns asked for.
    pub segments: Option<Vec<Segment>>,
    /// Weakest first; empty if no part is weaker than the others.
    pub weak_segments: Option<Vec<WeakSegment>>,
    /// Most important first.
    pub importances: Option<Importances>,
    /// Of the most important columns.
    pub dependence: Option<Vec<Dependence>>,
    /// The rows that the model gets most wrong.
    pub worst: Option<WorstRows>,
    /// The training rows, in the same way; only metrics and curves, and only if they can be read again.
    pub training: Option<Box<DetailedEvaluation>>,
    /// Compared with another model.
    pub comparison: Option<Comparison>,
}

impl From<Evaluation> for DetailedEvaluation {
    fn from(evaluation: Evaluation) -> Self {
        Self {
            evaluation,
            intervals: None,
            class_intervals: None,
            resampling: None,
            curves: None,
            top_k: None,
            thresholds: None,
            best_threshold: None,
            costs: None,
            residuals: None,
            segments: None,
            weak_segments: None,
            importances: None,
            dependence: None,
            worst: None,
            training: None,
            comparison: None,
        }
    }
}

impl Serialize for DetailedEvaluation {
    /// The parts beside `evaluation`; that one is written by whoever writes both.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn part<M: SerializeMap>(
            map: &mut M,
            name: &str,
            value: Option<&impl Serialize>,
        ) -> Result<(), M::Error> {
            value.map_or(Ok(()), |value| map.serialize_entry(name, value))
        }
        let mut map = serializer.serialize_map(None)?;
        part(&mut map, "intervals", self.intervals.as_ref())?;
        part(&mut map, "interval_level", self.intervals.as_ref().map(|_| &LEVEL))?;
        part(&mut map, "class_intervals", self.class_intervals.as_ref())?;
        part(&mut map, "resampling", self.resampling.as_ref())?;
        part(&mut map, "curves", self.curves.as_ref())?;
        part(&mut map, "top_k", self.top_k.as_ref())?;
        part(&mut map, "thresholds", self.thresholds.as_ref())?;
        part(&mut map, "best_threshold", self.best_threshold.as_ref())?;
        part(&mut map, "costs", self.costs.as_ref())?;
        part(&mut map, "residuals", self.residuals.as_ref())?;
        part(&mut map, "segments", self.segments.as_ref())?;
        part(&mut map, "weak_segments", self.weak_segments.as_ref())?;
        if let Some(found) = &self.importances {
            map.serialize_entry("importance_metric", found.metric)?;
            map.serialize_entry("importances", &found.features)?;
        }
        part(&mut map, "dependence", self.dependence.as_ref())?;
        part(&mut map, "worst", self.worst.as_ref())?;
        part(&mut map, "training", self.training.as_ref().map(|training| &training.evaluation))?;
        part(&mut map, "comparison", self.comparison.as_ref())?;
        map.end()
    }
}
