//! Results for people: aligned tables without colour.

use std::borrow::Cow;
use std::fmt::Write;

use crate::model::evaluation::intervals::Intervals;
use crate::model::evaluation::{Evaluation, MAX_MATRIX_CLASSES, Metrics};
use crate::model::postprocessing::coverage::Coverage;
pub(crate) use crate::printable::figure;
use crate::printable::printable_line;

/// Rows of cells with aligned columns, two spaces between; all but the first column to the right. Every row
/// is indented by `indent` spaces and ends with a line end. Nothing in a cell steers a terminal or ends its line.
pub(crate) fn table(rows: &[Vec<String>], indent: usize, right: bool) -> String {
    let rows: Vec<Vec<Cow<str>>> =
        rows.iter().map(|row| row.iter().map(|cell| printable_line(cell)).collect()).collect();
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let between = if column > 0 { "  " } else { "" };
            // Writing to a String does not fail.
            let _ = if right && column > 0 {
                write!(line, "{between}{pad}{cell}")
            } else {
                write!(line, "{between}{cell}{pad}")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A number and its noun: `1 row`, `2 rows`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A figure with its interval, if it has one.
pub(crate) fn with_interval(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    match interval {
        Some([low, high]) => format!("{} [{}, {}]", figure(value), figure(Some(low)), figure(Some(high))),
        None => figure(value),
    }
}

/// A JSON label without its quotes.
pub(crate) fn label(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The figures compared with the baseline's. `brief`: those a first look needs.
pub(crate) fn metrics(evaluation: &Evaluation, brief: bool) -> String {
    metrics_with(evaluation, brief, None)
}

fn metrics_with(evaluation: &Evaluation, brief: bool, intervals: Option<&Intervals>) -> String {
    const BRIEF: [&str; 10] = [
        "accuracy",
        "balanced_accuracy",
        "f1.macro",
        "log_loss",
        "roc_auc",
        "r2",
        "rmse",
        "mae",
        "median_ae",
        "mape",
    ];
    let mut rows = vec![vec![String::new(), "model".into(), "baseline".into()]];
    let base = evaluation.baseline.figures();
    for ((name, value), (_, base)) in evaluation.metrics.figures().into_iter().zip(base) {
        let two_classes_only = matches!(name, "average_precision" | "brier");
        let is_asked_for_only = name == "poisson_deviance";
        if (brief && !BRIEF.contains(&name))
            || (two_classes_only && evaluation.positive.is_none())
            || is_asked_for_only
        {
            continue;
        }
        let interval = intervals.and_then(|intervals| intervals.of(name));
        rows.push(vec![name.into(), with_interval(value, interval), figure(base)]);
    }
    let mut out = table(&rows, 2, true);
    let worse = evaluation.worse_than_baseline();
    if !worse.is_empty() {
        let _ = writeln!(out, "  worse than the baseline by {}", worse.join(", "));
    }
    if let Metrics::Regression(metrics) = &evaluation.metrics
        && metrics.mape.is_none()
        && metrics.mae.is_some()
    {
        let _ = writeln!(out, "  mape is left out: it divides by the true value, which is 0 in a row");
    }
    if let Some(coverage) = &evaluation.coverage {
        let _ = writeln!(out, "  {}", covered(coverage));
    }
    if evaluation.n_zero_probability > 0 {
        let rows = count(evaluation.n_zero_probability, "row has", "rows have");
        let _ = writeln!(out, "  {rows} a class of probability 0, taken as 2.2e-16 in log_loss");
    }
    out
}

/// How often the intervals or sets of some rows hold the true value.
fn covered(coverage: &Coverage) -> String {
    let Coverage { level, share, width, mean_size, n_empty } = coverage;
    let share = figure(*share);
    let size = match (width, mean_size) {
        (Some(width), _) => format!("intervals of width {}", figure(Some(*width))),
        (None, Some(size)) => {
            let empty =
                n_empty.filter(|n| *n > 0).map(|n| format!(", {n} of them empty")).unwrap_or_default();
            format!("sets of {} classes on average{empty}", figure(Some(*size)))
        }
        (None, None) => "intervals".into(),
    };
    format!("coverage {share} where {level} was asked for, by {size}")
}

/// The whole evaluation: figures with their intervals, classes, confusion matrix.
pub(crate) fn evaluation_with(evaluation: &Evaluation, intervals: Option<&Intervals>) -> String {
    let mut out = metrics_with(evaluation, false, intervals);
    if let Some(unknown) = &evaluation.unknown_labels {
        let rows = count(unknown.n_rows, "row has a label", "rows have labels");
        let _ = writeln!(out, "  {rows} that the model does not know, counted as wrong");
    }
    if let Some(positive) = &evaluation.positive {
        let threshold = evaluation.threshold.map(|t| format!(", predicted from a probability of {t}"));
        let _ = writeln!(out, "  positive class: {}{}", label(positive), threshold.unwrap_or_default());
    }
    if let Some(classes) = &evaluation.classes {
        let header = ["class", "precision", "recall", "f1", "rows"].map(String::from).to_vec();
        let mut rows = vec![header];
        for class in classes {
            let m = class.metrics;
            let figures = [m.precision, m.recall, m.f1].map(|v| figure(Some(v)));
            let [precision, recall, f1] = figures;
            rows.push(vec![label(&class.label), precision, recall, f1, m.support.to_string()]);
        }
        let _ = write!(out, "\n{}", table(&rows, 2, true));
    }
    if let Some(confusion) = &evaluation.confusion_matrix {
        let mut rows = vec![std::iter::once("true \\ predicted".to_string()).collect::<Vec<_>>()];
        rows[0].extend(confusion.labels.iter().map(label));
        for (name, counts) in confusion.labels.iter().zip(&confusion.counts) {
            rows.push(std::iter::once(label(name)).chain(counts.iter().map(u64::to_string)).collect());
        }
        let _ = write!(out, "\n{}", table(&rows, 2, true));
    } else if let Some(classes) = &evaluation.classes {
        let _ = writeln!(
            out,
            "\n  no confusion matrix: {} classes, more than {MAX_MATRIX_CLASSES}",
            classes.len()
        );
    }
    out
}

/// A line that names the baseline of an evaluation.
pub(crate) fn baseline_words(evaluation: &Evaluation) -> &'static str {
    match evaluation.metrics {
        Metrics::Classification(_) => {
            "baseline: always the most frequent class, with the class shares of the training rows as probabilities"
        }
        Metrics::Regression(_) => "baseline: the mean of the training rows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_by_characters() {
        let rows = [vec!["ä".to_string(), "1".into()], vec!["long".to_string(), "22".into()]];
        assert_eq!(table(&rows, 1, true), " ä      1\n long  22\n");
        assert_eq!(table(&rows, 0, false), "ä     1\nlong  22\n");
        let rows = [vec!["\u{1b}[1m".to_string(), "1".into()], vec!["a\nb".to_string(), "2".into()]];
        assert_eq!(table(&rows, 0, true), "\\u{1b}[1m  1\na\\nb       2\n");
    }

    #[test]
    fn figures_keep_their_digits() {
        assert_eq!(figure(Some(0.96667)), "0.9667");
        assert_eq!(figure(Some(1.2e-7)), "1.200e-7");
        assert_eq!(figure(Some(1234.56)), "1234.6");
        assert_eq!(figure(Some(0.0)), "0.0000");
        assert_eq!(figure(None), "undefined");
    }
}
