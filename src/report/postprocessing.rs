//! Calibration, threshold, intervals and sets of a model, for people.

use super::text::figure;
use crate::model::postprocessing::{Costs, Postprocessing};

/// A line for each step after the predictors: its name and what it does.
pub(crate) fn facts(steps: &Postprocessing) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(found) = &steps.calibration {
        let [before, after] = [found.log_loss_before, found.log_loss_after].map(|loss| figure(Some(loss)));
        let (method, n_rows) = (found.method.name(), found.n_rows);
        facts.push((
            "calibration",
            format!("{method} (log loss {after} out of fold on {n_rows} rows, {before} without)"),
        ));
    }
    if let Some(found) = &steps.threshold {
        let [at, value, at_half] =
            [found.threshold, found.value, found.value_at_half].map(|value| figure(Some(value)));
        let costs = found.costs.map_or(String::new(), |Costs { false_positive, false_negative }| {
            format!(" with fp={false_positive}, fn={false_negative}")
        });
        facts.push((
            "threshold",
            format!(
                "{at} ({}{costs} {value} out of fold on {} rows, {at_half} at 0.5)",
                found.by, found.n_rows
            ),
        ));
    }
    if let Some(found) = &steps.interval {
        let width = figure(Some(found.half_width));
        facts.push((
            "interval",
            format!(
                "prediction ± {width} (for {} of the rows, from {} out of fold)",
                found.level, found.n_rows
            ),
        ));
    }
    if let Some(found) = &steps.prediction_sets {
        let least = figure(Some(found.least));
        facts.push((
            "prediction set",
            format!(
                "classes of a probability of at least {least} (for {} of the rows, from {} out of fold)",
                found.level, found.n_rows
            ),
        ));
    }
    facts
}
