//! An evaluation with everything that can be asked of it beyond its metrics, and the wishes that say what.

use anyhow::Result;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::bootstrap::Told;
use super::columns::ValueColumn;
use super::comparison::Comparison;
use super::curves::{Curves, TopK, curves, top_k};
use super::dependence::{Dependence, dependence};
use super::importance::{Importances, importances};
use super::intervals::{ClassIntervals, Intervals, LEVEL, Resampling, class_intervals, intervals};
use super::learning_curve::LearningPoint;
use super::rank_groups::{RankQuality, RankWish, rank_quality};
use super::residuals::{Residuals, residuals};
use super::segments::{Segment, segments};
use super::steps::{BeforeCalibration, CoverageDetail};
use super::thresholds::{BestThreshold, CostMatrix, CostSummary, ThresholdRow, thresholds};
use super::weak::{WeakSegment, weak_segments};
use super::why::{Why, why};
use super::worst::{WorstRows, worst};
use super::{Evaluation, Positive, Scored, score};
use crate::data::cells::target::{Target, Truth};
use crate::model::Model;
use crate::model::hold_out::TestRows;

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
    /// What predictions cost.
    pub costs: Option<CostMatrix>,
    /// The order of rows within groups.
    pub ranking: Option<RankWish>,
    /// Contributions of the columns.
    pub explain: bool,
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
            costs: None,
            ranking: None,
            explain: true,
        }
    }
}

/// Evaluates a model on rows of files, with the parts that are wished for; `told` hears how far the intervals are.
///
/// # Errors
/// Columns that are missing or unknown, cells of the wrong type.
pub(crate) fn evaluate_in_detail(
    model: &Model,
    rows: &TestRows,
    positive: Positive,
    wishes: &Wishes,
    told: Told,
) -> Result<DetailedEvaluation> {
    let scored = score(model, rows, positive)?;
    detailed(scored, rows, &model.pipeline.schema.target, Some(model), wishes, told)
}

/// The parts that are wished for; those that ask a model for further predictions only if there is one.
///
/// # Errors
/// A column to cut the rows by that they do not have.
pub(super) fn detailed(
    scored: Scored,
    rows: &TestRows,
    target: &Target,
    model: Option<&Model>,
    wishes: &Wishes,
    told: Told,
) -> Result<DetailedEvaluation> {
    let Scored { codes, predictions, positive, evaluation } = scored;
    let truth = &rows.truth;
    let groups = rows.groups.as_deref();
    let mut found = DetailedEvaluation::from(evaluation);
    if wishes.intervals {
        let (of_metrics, resampling) =
            intervals(&predictions, truth, positive, groups, &found.evaluation.metrics, told);
        (found.intervals, found.resampling) = (Some(of_metrics), Some(resampling));
        let classes = found.evaluation.classes.as_ref().filter(|_| groups.is_none());
        found.class_intervals = classes.map(|classes| class_intervals(classes, &predictions.classes));
    }
    // Probabilities that are not known are no numbers.
    let has_probabilities = predictions.scores.values().first().is_some_and(|score| score.is_finite());
    if let Truth::Classes { codes, .. } = truth {
        let costs = wishes.costs.as_ref();
        found.costs = costs.map(|costs| costs.summary(&predictions.scores, &predictions.classes, codes));
        if wishes.curves && has_probabilities {
            found.curves = Some(curves(target, positive, &predictions.scores, codes));
            found.top_k = top_k(&predictions.scores, codes);
            if predictions.scores.n_cols() == 2 {
                let scores = predictions.scores.rows().zip(codes);
                let ranked = scores.map(|(row, &code)| (row[positive], code as usize == positive)).collect();
                if let Some((table, best)) = thresholds(ranked, costs.map(|costs| (costs, positive))) {
                    (found.thresholds, found.best_threshold) = (Some(table), Some(best));
                }
            }
        }
    }
    if let Truth::Values(values) = truth
        && wishes.curves
    {
        found.residuals = residuals(values, predictions.scores.values());
    }
    if let Some((model, codes)) = model.zip(codes.as_ref())
        && wishes.curves
        && has_probabilities
    {
        found.before_calibration = BeforeCalibration::of(model, positive, codes, truth);
        found.coverage_detail = CoverageDetail::of(model, &predictions.scores, truth);
    }
    let known = model.map(|model| &model.pipeline.schema).zip(codes.as_ref());
    if !wishes.by.is_empty() {
        found.segments = Some(segments(
            &wishes.by,
            rows,
            known,
            &predictions,
            positive,
            wishes.intervals.then_some(told),
        )?);
    }
    if wishes.weak {
        let columns: Vec<ValueColumn> = match known {
            Some((schema, codes)) => {
                (0..schema.n_features()).filter_map(|i| ValueColumn::of_feature(schema, i, codes)).collect()
            }
            None => rows.others.iter().map(|&index| ValueColumn::of_file(rows, index, None)).collect(),
        };
        found.weak_segments = Some(weak_segments(&columns, &predictions, truth, positive));
    }
    if let Some((model, codes)) = model.zip(codes.as_ref()) {
        found.importances = wishes.importances.then(|| importances(model, codes, truth));
        if wishes.dependence {
            let by_shuffles = found.importances.as_ref().map(|importances| {
                importances.features.iter().map(|importance| importance.feature.as_str()).collect()
            });
            let by_model = || model.importances().into_iter().map(|(name, _)| name).collect::<Vec<&str>>();
            let in_order =
                || model.pipeline.schema.features.iter().map(|feature| feature.name.as_str()).collect();
            let names: Vec<&str> = by_shuffles.unwrap_or_else(|| {
                Some(by_model()).filter(|names| !names.is_empty()).unwrap_or_else(in_order)
            });
            found.dependence = Some(dependence(model, codes, positive, &names));
        }
    }
    if let Some((model, codes)) = model.zip(codes.as_ref()).filter(|_| wishes.explain) {
        found.explanation = why(model, codes, rows, &predictions, positive);
    }
    if let Some(wish) = &wishes.ranking {
        let schema = known.map(|known| known.0);
        let mut ranking = rank_quality(wish, rows, target, schema, &predictions)?;
        if !wishes.intervals {
            ranking.figures.iter_mut().for_each(|(_, _, interval)| *interval = None);
        }
        found.ranking = Some(ranking);
    }
    if wishes.worst {
        found.worst = Some(worst(rows, target, known.map(|known| known.0), &predictions));
    }
    Ok(found)
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
    /// As the predictors alone say; only of a model that is calibrated.
    pub before_calibration: Option<BeforeCalibration>,
    /// Only of a model with prediction intervals or sets.
    pub coverage_detail: Option<CoverageDetail>,
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
    /// The training rows, in the same way; only metrics, their intervals, curves and segments, and only if they can be
    /// read again.
    pub training: Option<Box<DetailedEvaluation>>,
    /// Models fitted on growing shares of the training rows.
    pub learning_curve: Option<Vec<LearningPoint>>,
    /// Compared with another model.
    pub comparison: Option<Comparison>,
    /// The order of rows within groups.
    pub ranking: Option<RankQuality>,
    /// Contributions of the columns, if the model can be explained.
    pub explanation: Option<Why>,
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
            before_calibration: None,
            coverage_detail: None,
            residuals: None,
            segments: None,
            weak_segments: None,
            importances: None,
            dependence: None,
            worst: None,
            training: None,
            learning_curve: None,
            comparison: None,
            ranking: None,
            explanation: None,
        }
    }
}

/// The metrics of the training rows beside their other parts.
#[derive(serde::Serialize)]
struct TrainingRows<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    detailed: &'a DetailedEvaluation,
}

impl<'a> TrainingRows<'a> {
    fn of(detailed: &'a DetailedEvaluation) -> Self {
        Self { evaluation: &detailed.evaluation, detailed }
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
        part(&mut map, "before_calibration", self.before_calibration.as_ref())?;
        part(&mut map, "coverage_detail", self.coverage_detail.as_ref())?;
        part(&mut map, "residuals", self.residuals.as_ref())?;
        part(&mut map, "segments", self.segments.as_ref())?;
        part(&mut map, "weak_segments", self.weak_segments.as_ref())?;
        if let Some(found) = &self.importances {
            map.serialize_entry("importance_metric", found.metric)?;
            map.serialize_entry("importances", &found.features)?;
        }
        part(&mut map, "dependence", self.dependence.as_ref())?;
        part(&mut map, "worst", self.worst.as_ref())?;
        let training = self.training.as_deref().map(TrainingRows::of);
        part(&mut map, "training", training.as_ref())?;
        part(&mut map, "learning_curve", self.learning_curve.as_ref())?;
        part(&mut map, "comparison", self.comparison.as_ref())?;
        part(&mut map, "ranking", self.ranking.as_ref())?;
        part(&mut map, "explanation", self.explanation.as_ref())?;
        map.end()
    }
}
