//! Training again: the plan that made a model, read off its card, for new data ([`Plan::like`]), and whether the new model
//! is worse than the old one on the rows that the new one has held out ([`compare`]).

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::choice::metric::{Metric, standard_error};
use super::plan::Plan;
use super::postprocessing::{Calibrate, Measure, Wanted};
use super::{Spec, algorithm};
use crate::data::cells::cell::Task;
use crate::data::cells::target::Truth;
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::evaluation::{Metrics, Positive, evaluate};
use crate::model::hold_out::{HoldOut, TestRows};
use crate::model::postprocessing::Postprocessing;
use crate::model::selection::{CrossValidation, Selection};
use crate::model::{Asked, Card, Model};

impl Plan {
    /// The settings of another model, as far as its card records them, for new data: target, task, columns and their
    /// types, algorithm and hyperparameters or the comparison of candidates, split, seed, weights, and what happens to the
    /// scores. Columns that the model does not know are not used, so the new one takes the same requests.
    ///
    /// # Errors
    /// A usage error for a model that was not trained here, so that its settings are not known.
    pub fn like(model: &Model, data: Vec<String>) -> Result<Self> {
        let (card, schema) = (&model.card, &model.pipeline.schema);
        let (target, task) = (&schema.target, schema.target.task);
        let (asked, selection) = (&card.asked, &card.selection);
        let is_auto = was_compared(selection) || !card.members.is_empty();
        let tuning = selection.tuning.as_ref();
        let name = match (&asked.algorithm, is_auto) {
            (Some(name), _) => name.clone(),
            (None, true) => AUTO.to_string(),
            (None, false) => card.algorithm.clone(),
        };
        let settings = match name == AUTO || tuning.is_some() || !asked.settings.is_empty() {
            true => asked.settings.iter().filter_map(|pair| pair.split_once('=')).map(owned).collect(),
            false => changed_settings(card, task)?,
        };
        let mut options = Options { header: schema.header, ..Options::default() };
        card.written.complete(&mut options);
        let features = schema.features.iter();
        let mut only: Vec<String> = features.clone().map(|feature| feature.name.clone()).collect();
        only.push(target.name.clone());
        only.extend(card.weight.clone());
        only.extend(card.split_by.as_ref().map(|by| by.column().to_string()));
        Ok(Self {
            options,
            nulls: schema.null_tokens.clone(),
            target: Some(target.name.clone()),
            task: Some(task),
            algorithm: name,
            settings,
            metric: asked
                .metric
                .clone()
                .or_else(|| known_scores(selection).map(|scores| scores.metric.clone())),
            ensemble: !asked.no_ensemble,
            max_latency: duration(asked.max_latency),
            search_time: duration(asked.search_time),
            cv: asked.cv.or(shown_folds(selection)),
            tune: asked.tune.or(shown_trials(selection)),
            background: asked.background,
            hold_out: HoldOut::of(card).unwrap_or(HoldOut::Share(Self::TEST_SIZE)),
            seed: card.seed,
            private: features.clone().filter(|f| f.private).map(|f| f.name.clone()).collect(),
            types: features.map(|feature| (feature.name.clone(), feature.column_type)).collect(),
            weight: card.weight.clone(),
            balance: card.balance,
            refit: card.refit,
            wanted: wanted(asked, &model.pipeline.postprocessing),
            only: Some(only),
            data,
            // Columns that were dropped are not among those that may be used.
            drop: Vec::new(),
        })
    }

    /// The settings that the outcome of a training does not show, for its card.
    pub(super) fn asked(&self, selection: &Selection) -> Asked {
        let is_auto = self.algorithm == AUTO;
        let is_searched = is_auto || self.tune.is_some();
        let seconds = |time: Duration| time.as_secs_f64();
        Asked {
            // Too few rows to compare leave `auto` with the algorithm that it would try first.
            algorithm: (is_auto && !was_compared(selection)).then(|| AUTO.into()),
            settings: match is_searched {
                true => self.settings.iter().map(|(key, value)| format!("{key}={value}")).collect(),
                false => Vec::new(),
            },
            metric: self.metric.clone().filter(|_| known_scores(selection).is_none()),
            no_ensemble: !self.ensemble,
            max_latency: self.max_latency.map(seconds),
            search_time: self.search_time.map(seconds),
            cv: self.cv.filter(|folds| shown_folds(selection) != Some(*folds)),
            tune: self.tune.filter(|trials| shown_trials(selection) != Some(*trials)),
            calibrate: self.wanted.calibrate.name().map(String::from),
            background: self.background,
        }
    }
}

/// The name of the algorithm that compares others.
const AUTO: &str = "auto";

fn was_compared(selection: &Selection) -> bool {
    !selection.leaderboard.is_empty()
}

/// The folds of a cross-validation that was asked for, as its scores show them.
fn shown_folds(selection: &Selection) -> Option<usize> {
    selection.cv.as_ref().map(|cv| cv.scores.len()).filter(|folds| *folds > 1)
}

/// The trials of a search, as its first round shows them.
fn shown_trials(selection: &Selection) -> Option<usize> {
    selection.tuning.as_ref()?.rounds.first().map(|round| round.n_trials)
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.into(), value.into())
}

/// Seconds of a card; none if a hostile one has what is no time.
fn duration(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// Scores of the comparison, if there was one; they name the metric.
fn known_scores(selection: &Selection) -> Option<&CrossValidation> {
    let of_board = selection.leaderboard.iter().find_map(|standing| standing.scores.as_ref());
    of_board.or(selection.tuning.as_ref().map(|tuning| &tuning.after)).or(selection.cv.as_ref())
}

/// The hyperparameters that are not the defaults, as `--set` takes them.
fn changed_settings(card: &Card, task: Task) -> Result<Vec<(String, String)>> {
    let known = algorithm(&card.algorithm)
        .map_err(|_| usage(format!("the settings of {:?} are not known here", card.algorithm)))?;
    let defaults = Spec::new(known, task, &[])?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        other => other.to_string(),
    };
    let changed = card.hyperparameters.iter().filter(|(key, value)| {
        let is_default = defaults.hyperparameters().get(*key) == Some(value);
        // The rounds that boosting found on the old rows are found anew.
        let is_found = *key == "n_estimators"
            && defaults.hyperparameters().get(*key).and_then(Value::as_str) == Some("auto");
        !is_default && !is_found
    });
    Ok(changed.map(|(key, value)| (key.clone(), text(value))).collect())
}

fn wanted(asked: &Asked, steps: &Postprocessing) -> Wanted {
    let measure = |by: &str| match by {
        "f1" => Some(Measure::F1),
        "balanced_accuracy" => Some(Measure::BalancedAccuracy),
        "mcc" => Some(Measure::Mcc),
        _ => None,
    };
    Wanted {
        // Without the flag, one may be found as it was before.
        calibrate: asked.calibrate.as_deref().and_then(Calibrate::named).unwrap_or_default(),
        optimize: steps
            .threshold
            .as_ref()
            .and_then(|found| found.costs.map(Measure::Cost).or_else(|| measure(&found.by))),
        interval: steps.interval.map(|found| found.level),
        conformal: steps.prediction_sets.map(|found| found.level),
    }
}

/// A new model compared with an old one on the rows that the new one has held out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// The metric that decides.
    pub(crate) metric: &'static str,
    pub(crate) old: Option<f64>,
    pub(crate) new: Option<f64>,
    pub(crate) n_rows: usize,
    /// Whether the new model is worse by more than chance.
    pub(crate) is_worse: bool,
}

/// Compares by the metric that the new model was chosen by. It is worse if the mean loss of a row is higher by more than
/// the standard error of the difference; one that was fitted again on all rows, and so has seen these, is compared by
/// the metric recorded before that.
///
/// # Errors
/// Models for different targets, rows that the old model cannot predict, files that cannot be read again.
pub(crate) fn compare(old: &Model, new: &Model, metric: Option<&str>, said: &Options) -> Result<Comparison> {
    let (of_old, of_new) = (&old.pipeline.schema.target, &new.pipeline.schema.target);
    ensure!(
        of_old.name == of_new.name && of_old.task == of_new.task,
        "the model that is there predicts {:?} ({}), the new one {:?} ({})",
        of_old.name,
        of_old.task.name(),
        of_new.name,
        of_new.task.name()
    );
    let metric = Metric::of(
        metric.or_else(|| known_scores(&new.card.selection).map(|scores| scores.metric.as_str())),
        of_new.task,
        new.card.balance,
    )?;
    let rows = TestRows::replay(new, Path::new(""), said)?;
    let own = rows.for_target(of_old, &new.pipeline.schema.null_tokens)?;
    let evaluation = evaluate(old, &own, Positive::default())?;
    let value = |metrics: &Metrics| {
        let figures = metrics.figures();
        figures.into_iter().find(|(name, _)| *name == metric.name()).and_then(|(_, value)| value)
    };
    let (old_value, new_value) = (value(&evaluation.metrics), value(&new.card.evaluation.metrics));
    let scores = |model: &Model, rows: &TestRows| -> Result<Vec<f64>> {
        let scores = model.pipeline.scores(&rows.codes(&model.pipeline.schema)?).values().to_vec();
        Ok(metric.losses(&padded(scores, model.labels().len(), &rows.truth), &rows.truth))
    };
    let is_worse = if new.card.refit {
        let utility = |value: Option<f64>| value.map_or(f64::NEG_INFINITY, |value| metric.utility(value));
        utility(new_value) < utility(old_value)
    } else {
        let (old_losses, new_losses) = (scores(old, &own)?, scores(new, &rows)?);
        let gaps: Vec<f64> = new_losses.iter().zip(&old_losses).map(|(new, old)| new - old).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
        mean > standard_error(&gaps)
    };
    Ok(Comparison {
        metric: metric.name(),
        old: old_value,
        new: new_value,
        n_rows: rows.truth.len(),
        is_worse,
    })
}

/// Probabilities with zeros for the labels of the truth that a model does not know, which come last.
fn padded(scores: Vec<f64>, n_classes: usize, truth: &Truth) -> Vec<f64> {
    match truth {
        Truth::Classes { labels, .. } if labels.len() > n_classes => {
            let none = vec![0.0; labels.len() - n_classes];
            scores.chunks_exact(n_classes).flat_map(|row| [row, &none].concat()).collect()
        }
        _ => scores,
    }
}
