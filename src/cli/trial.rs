//! One trial of a search for settings that another program leads: its settings from a file, its result as one number.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::usage;
use crate::model::learn::choice::metric::Metric;
use crate::model::learn::plan::Plan;
use crate::model::trained::Trained;

/// What `--trial-file` holds: `{"algorithm":"boost","set":{"learning_rate":0.1},"seed":7}`, each part optional.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    algorithm: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    seed: Option<u64>,
}

impl Trial {
    /// Reads a file.
    ///
    /// # Errors
    /// No such file, or one that holds something else: a usage error.
    pub(super) fn read(path: &str) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot open the trial {path}"))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            usage(format!(
                "--trial-file {path}: {error}; it holds an object such as \
                 {{\"algorithm\":\"boost\",\"set\":{{\"learning_rate\":0.1}},\"seed\":7}}"
            ))
        })
    }

    /// Puts the trial into a plan. Flags win: settings that are there stay, as do an algorithm or seed that is not the
    /// default.
    ///
    /// # Errors
    /// A usage error for a setting that is no word, number or truth value.
    pub(super) fn complete(self, plan: &mut Plan) -> Result<()> {
        let defaults = Plan::new(String::new());
        if let Some(algorithm) = self.algorithm.filter(|_| plan.algorithm == defaults.algorithm) {
            plan.algorithm = algorithm;
        }
        if let Some(seed) = self.seed.filter(|_| plan.seed == defaults.seed) {
            plan.seed = seed;
        }
        for (key, value) in self.set {
            let text = match value {
                Value::String(word) => word,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null => "none".into(),
                Value::Array(_) | Value::Object(_) => {
                    bail!(usage(format!("--trial-file: {key} is {value}; a setting is a number or a word")))
                }
            };
            if plan.settings.iter().all(|(other, _)| *other != key) {
                plan.settings.push((key, text));
            }
        }
        Ok(())
    }
}

/// The result of a trial.
#[derive(Serialize)]
pub(super) struct Objective {
    /// The metric that `--metric` names, or the default: its mean over the folds with `--cv`, else its value on the
    /// held-out rows; null if it is undefined.
    objective: Option<f64>,
    objective_metric: &'static str,
    /// `minimize` or `maximize`.
    objective_direction: &'static str,
    /// `cv` or `held_out`.
    objective_rows: &'static str,
}

impl Objective {
    /// # Errors
    /// None for a plan that was carried out.
    pub(super) fn of(plan: &Plan, trained: &Trained) -> Result<Self> {
        let card = &trained.model.card;
        let metric = Metric::of(plan.metric.as_deref(), card.evaluation.task, plan.balance)?;
        let cv = card.selection.cv.as_ref();
        let held_out = || {
            let figures = card.evaluation.metrics.figures();
            figures.into_iter().find(|(name, _)| *name == metric.name()).and_then(|(_, value)| value)
        };
        Ok(Self {
            objective: match cv {
                Some(cv) => cv.spread.mean,
                None => held_out(),
            },
            objective_metric: metric.name(),
            objective_direction: if metric.utility(1.0) > 0.0 { "maximize" } else { "minimize" },
            objective_rows: if cv.is_some() { "cv" } else { "held_out" },
        })
    }
}
