//! Predictions for people: one row, its warnings, and the counts of a file.

use std::fmt::Write;

use super::text::count;
use crate::data::cells::schema::{Schema, Warning, WarningKind};
use crate::model::explain::Explanation;
use crate::model::explain::counterfactual::Counterfactual;
use crate::model::pipeline::Predictions;
use crate::model::postprocessing::Postprocessing;
use crate::names::{self, quote};
use crate::predict::explained::{named, terms_shown};
use crate::predict::what_if::changes;
use crate::predict::{OnError, SET_SEPARATOR, Summary};
use crate::printable::printable_line;

/// The predicted number, or the label and its probability on one line; with `probabilities` a line for each class; then
/// the interval or the set, if the model gives any.
pub(crate) fn one(
    predictions: &Predictions,
    labels: &[String],
    steps: &Postprocessing,
    probabilities: bool,
) -> String {
    let scores = predictions.scores.row(0);
    let Some(class) = predictions.classes.first().map(|&class| class as usize) else {
        let mut out = format!("{}\n", scores[0]);
        if let Some(interval) = &steps.interval {
            let [low, high] = interval.around(scores[0]);
            let _ = writeln!(out, "interval_low\t{low}\ninterval_high\t{high}");
        }
        return out;
    };
    let mut out = format!("{}\t{:.4}\n", labels[class], scores[class]);
    for (label, score) in labels.iter().zip(scores).filter(|_| probabilities) {
        // Writing to a String does not fail.
        let _ = writeln!(out, "probability_{label}\t{score:.4}");
    }
    if let Some(sets) = &steps.prediction_sets {
        let set: Vec<&str> = sets.classes(scores).map(|class| labels[class].as_str()).collect();
        let _ = writeln!(out, "prediction_set\t{}", set.join(SET_SEPARATOR));
    }
    out
}

/// The contributions of a row to its score on lines of their own, largest first, with the values of the row.
pub(crate) fn explanation(
    schema: &Schema,
    values: &[serde_json::Value],
    explanation: &Explanation,
    top: Option<usize>,
) -> String {
    let label = explanation.label.and_then(|label| schema.target.labels.get(label));
    let what = label.map_or_else(String::new, |label| format!(" of {label}"));
    let mut out = format!("\n{}{what}\n", explanation.scale);
    let mut line = |name: &str, value: f64| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {value:>+10.4}  {name}");
    };
    line("base", explanation.base);
    let (largest, others) = named(explanation, top);
    let terms = terms_shown(explanation, top);
    for feature in largest {
        let name = &schema.features[feature].name;
        let value = names::value(&values[feature]);
        line(&printable_line(&format!("{name} = {value}")), explanation.contributions[feature]);
        for (_, term, value) in terms.iter().filter(|term| term.0 == feature) {
            line(&printable_line(&format!("  of it {}", quote(term))), *value);
        }
    }
    if let Some(others) = others {
        line("all other columns", others);
    }
    line("score", explanation.score);
    if let Some(error) = explanation.standard_error {
        let _ = writeln!(out, "sampled; the standard error of a contribution is at most {error:.4}");
    }
    out
}

/// What would change the prediction of a row with these values, an answer a line.
pub(crate) fn what_if(schema: &Schema, values: &[serde_json::Value], found: &[Counterfactual]) -> String {
    if found.is_empty() {
        return "\nno change of so few columns was found that moves the prediction there\n".into();
    }
    let mut out = String::from("\nwhat if\n");
    for one in found {
        let changes = changes(schema, one).into_iter().zip(&one.changed).map(|((name, value), &feature)| {
            printable_line(&format!(
                "{name} = {} instead of {}",
                names::value(&value),
                names::value(&values[feature])
            ))
            .to_string()
        });
        let changes: Vec<String> = changes.collect();
        let then = match one.class {
            Some(class) => format!("{}\t{:.4}", schema.target.labels[class as usize], one.score),
            None => one.score.to_string(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {}: {then}", changes.join(", "));
    }
    out
}

/// A warning about a cell with this code.
pub(crate) fn warning(schema: &Schema, warning: &Warning, code: f64) -> String {
    let feature = &schema.features[warning.feature];
    let name = &feature.name;
    match warning.kind {
        WarningKind::MissingValue => format!("{name} is missing"),
        WarningKind::UnseenCategory => format!("{name} is a category that training did not see"),
        WarningKind::OutOfRange if feature.is_pair() => {
            let range = |[min, max]: &[f64; 2]| format!("{min} to {max}");
            let ranges: Vec<String> = feature.ranges.iter().map(range).collect();
            format!("{name} lies outside of the training rows: {}", ranges.join(" and "))
        }
        WarningKind::OutOfRange => {
            format!("{name} is {code}; the training rows lie between {} and {}", feature.min, feature.max)
        }
    }
}

/// The warnings about the rows of a file: the unusual cells by kind, then the rows that do not fit.
pub(crate) fn warnings(summary: &Summary, on_error: OnError) -> Vec<String> {
    let rows = count(summary.n_rows, "row", "rows");
    let cells = [
        (summary.n_missing, "missing value", "missing values"),
        (summary.n_unseen, "category that training did not see", "categories that training did not see"),
        (
            summary.n_out_of_range,
            "number outside the range of the training rows",
            "numbers outside the range of the training rows",
        ),
        (
            summary.n_extra,
            "value under a name that the model does not know was passed over",
            "values under names that the model does not know were passed over",
        ),
    ];
    let cells = cells.into_iter().filter(|(n, ..)| *n > 0);
    let mut lines: Vec<String> =
        cells.map(|(n, one, many)| format!("{} in {rows}", count(n, one, many))).collect();
    if summary.n_bad > 0 {
        let bad = count(summary.n_bad, "row does", "rows do");
        let fate = match on_error {
            OnError::Null => "got no prediction",
            _ if summary.n_bad == 1 => "was skipped",
            _ => "were skipped",
        };
        lines.push(format!("{bad} not fit and {fate}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;

    #[test]
    fn a_class_has_its_label_and_probabilities_and_a_number_all_its_digits() {
        let mut scores = Matrix::with_capacity(1, 2);
        scores.push_row(0.0).copy_from_slice(&[0.25, 0.75]);
        let labels = ["no".to_string(), "yes".into()];
        let classes = Predictions { scores, classes: vec![1] };
        let steps = Postprocessing::default();
        assert_eq!(one(&classes, &labels, &steps, false), "yes\t0.7500\n");
        let all = "yes\t0.7500\nprobability_no\t0.2500\nprobability_yes\t0.7500\n";
        assert_eq!(one(&classes, &labels, &steps, true), all);
        let mut scores = Matrix::with_capacity(1, 1);
        scores.push_row(1.0 / 3.0);
        assert_eq!(one(&Predictions { scores, classes: vec![] }, &[], &steps, true), "0.3333333333333333\n");
    }

    #[test]
    fn a_file_without_anything_unusual_has_no_warnings_and_counts_agree_with_their_nouns() {
        let mut summary = Summary { n_rows: 1, ..Summary::default() };
        assert!(warnings(&summary, OnError::Skip).is_empty());
        (summary.n_missing, summary.n_unseen, summary.n_bad) = (1, 2, 1);
        let found = warnings(&summary, OnError::Skip);
        let cells = ["1 missing value in 1 row", "2 categories that training did not see in 1 row"];
        assert_eq!(found[..2], cells);
        assert_eq!(found[2], "1 row does not fit and was skipped");
        summary.n_bad = 2;
        assert_eq!(warnings(&summary, OnError::Null)[2], "2 rows do not fit and got no prediction");
    }
}
