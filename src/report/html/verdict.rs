//! The headline of a report: what the figures mean, in words.

use super::super::charts::matrix::percent;
use super::super::charts::plot::short;
use super::super::markup::{escaped, push};
use super::super::text::count;
use super::label;
use super::subject::{Rows, Subject};
use crate::model::evaluation::{Baseline, Evaluation, Metrics};

/// Shares of rows by which held-out and training rows may differ before it is said.
const OVERFITTING: f64 = 0.05;
/// Rows below which an interval is wide whatever the model.
const FEW_ROWS: usize = 100;
/// An expected calibration error from which probabilities should not be taken at their word.
const MISCALIBRATED: f64 = 0.1;

/// The verdict: a sentence, and what should be known beside it.
pub(super) fn verdict(subject: &Subject) -> String {
    let evaluation = &subject.detailed.evaluation;
    let worse = evaluation.worse_than_baseline();
    let class = if worse.is_empty() { "verdict" } else { "verdict warn" };
    let mut out = format!("<div class=\"{class}\"><p>{}</p>", escaped(&headline(subject)));
    let remarks = remarks(subject, &worse);
    if !remarks.is_empty() {
        out.push_str("<ul>");
        remarks.iter().for_each(|remark| push(&mut out, format_args!("<li>{}</li>", escaped(remark))));
        out.push_str("</ul>");
    }
    out.push_str("</div>\n");
    out
}

/// The sentence.
pub(super) fn headline(subject: &Subject) -> String {
    let evaluation = &subject.detailed.evaluation;
    let (n, rows) = (evaluation.n_rows, subject.rows.words());
    let interval = |name: &str, show: fn(f64) -> String| {
        let interval = subject.detailed.intervals.as_ref().and_then(|intervals| intervals.of(name));
        interval.map_or(String::new(), |[low, high]| format!(" ({} to {})", show(low), show(high)))
    };
    match (&evaluation.metrics, &evaluation.baseline) {
        (Metrics::Classification(own), Metrics::Classification(base)) => {
            let Some(accuracy) = own.accuracy else { return format!("There are no {rows} to judge it by.") };
            let mut said = format!(
                "It is right on {}{} of the {n} {rows}",
                percent(accuracy),
                interval("accuracy", percent)
            );
            if let Some(base) = base.accuracy {
                let guess =
                    guess(subject).map_or("the most frequent class".into(), |label| format!("“{label}”"));
                said += &format!("; always guessing {guess} would be right on {}.", percent(base));
            }
            said
        }
        (Metrics::Regression(own), Metrics::Regression(base)) => {
            let Some(mae) = own.mae else { return format!("There are no {rows} to judge it by.") };
            let mut said =
                format!("It is off by {}{} on average on the {n} {rows}", short(mae), interval("mae", short));
            if let Some(base) = base.mae {
                said += &format!(
                    "; always guessing the mean of the training rows would be off by {}.",
                    short(base)
                );
            }
            said
        }
        _ => String::new(),
    }
}

/// The label of the baseline's guess.
fn guess(subject: &Subject) -> Option<String> {
    let (model, _) = subject.model?;
    let Baseline::ClassShares(shares) = &model.card.baseline else { return None };
    let most = (0..shares.len()).rev().max_by(|a, b| shares[*a].total_cmp(&shares[*b]))?;
    model.labels().get(most).cloned()
}

fn remarks(subject: &Subject, worse: &[&str]) -> Vec<String> {
    let detailed = &subject.detailed;
    let evaluation = &detailed.evaluation;
    let mut said = Vec::new();
    if !worse.is_empty() {
        said.push(format!("It is worse than that guess by {}.", worse.join(", ")));
    }
    if subject.rows == Rows::Recorded {
        said.push(
            "These are the figures recorded at training; the rows themselves were not read again.".into(),
        );
    }
    if let Some(training) = &detailed.training {
        said.extend(overfitting(evaluation, &training.evaluation));
    }
    if let Metrics::Regression(metrics) = &evaluation.metrics {
        if let Some(median) = metrics.median_ae {
            said.push(format!("Half of the predictions are off by {} at most.", short(median)));
        }
        if let Some(r2) = metrics.r2.filter(|r2| *r2 > 0.0) {
            said.push(format!("It explains {} of the variance (R²).", percent(r2)));
        }
    }
    if let Some(curves) = &detailed.curves {
        let errors =
            curves.calibration.iter().filter_map(|curve| Some((curve.equal_width.ece?, &curve.label)));
        if let Some((ece, worst)) = errors.max_by(|a, b| a.0.total_cmp(&b.0))
            && ece >= MISCALIBRATED
        {
            said.push(format!(
                "Its probabilities are not to be taken at their word: those of “{}” are off by {} on average.",
                label(worst),
                percent(ece)
            ));
        }
    }
    if let Some(weakest) = detailed.weak_segments.as_ref().and_then(|segments| segments.first()) {
        said.push(format!(
            "It is weakest where {} ({}): the loss is {} there and {} elsewhere.",
            weakest.conditions.join(" and "),
            count(weakest.rows, "row", "rows"),
            short(weakest.loss),
            short(weakest.loss_of_others)
        ));
    }
    if let Some(worst) = detailed.worst.as_ref().filter(|worst| worst.n_label_hints > 0) {
        said.push(format!("The label of {} may be wrong.", count(worst.n_label_hints, "row", "rows")));
    }
    if let Some(unknown) = &evaluation.unknown_labels {
        let rows = count(unknown.n_rows, "row has a label", "rows have labels");
        said.push(format!("{rows} that the model does not know; they count as wrong."));
    }
    if evaluation.n_rows < FEW_ROWS {
        said.push(format!(
            "There are only {}: another sample could give other figures.",
            count(evaluation.n_rows, "row", "rows")
        ));
    }
    said
}

/// Whether the training rows are predicted much better than these.
fn overfitting(evaluation: &Evaluation, training: &Evaluation) -> Option<String> {
    let (own, on_training, name, scale) = match (&evaluation.metrics, &training.metrics) {
        (Metrics::Classification(own), Metrics::Classification(training)) => {
            (own.accuracy?, training.accuracy?, "right on", 1.0)
        }
        (Metrics::Regression(own), Metrics::Regression(training)) => {
            (-own.mae?, -training.mae?, "off by", own.mae?)
        }
        _ => return None,
    };
    let shown = |value: f64| if name == "off by" { short(-value) } else { percent(value) };
    let much = on_training - own > OVERFITTING * scale.max(f64::MIN_POSITIVE);
    let verb =
        if much { "a gap that shows overfitting: trust the figures on other rows" } else { "about the same" };
    Some(format!(
        "On the {} it was trained on it is {name} {}, {verb}.",
        count(training.n_rows, "row", "rows"),
        shown(on_training)
    ))
}
