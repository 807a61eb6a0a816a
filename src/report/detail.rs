//! An evaluation in detail as text: metrics with their intervals, then what else was asked for.

use std::fmt::Write;

use super::text::{self, count, figure, table};
use crate::model::evaluation::Metrics;
use crate::model::evaluation::comparison::{Comparison, PairedTest, Verdict};
use crate::model::evaluation::detail::DetailedEvaluation;
use crate::model::evaluation::importance::Importances;
use crate::model::evaluation::learning_curve::LearningPoint;
use crate::model::evaluation::rank_groups::RankQuality;
use crate::model::evaluation::segments::{FEW_ROWS, Segment};
use crate::model::evaluation::thresholds::{Objective, ThresholdRow};
use crate::model::evaluation::weak::WeakSegment;
use crate::model::evaluation::why::Why;
use crate::model::evaluation::worst::WorstRow;
use crate::model::requirement::Outcome;
use crate::printable::printable_line;

/// Columns of a row, and rows of a list, that text shows; JSON has more.
const MAX_CELLS: usize = 4;
const MAX_ROWS: usize = 10;

/// The whole evaluation.
pub(crate) fn evaluation(found: &DetailedEvaluation) -> String {
    let mut out = text::evaluation_with(&found.evaluation, found.intervals.as_ref());
    // Writing to a String does not fail.
    if let Some(resampling) = &found.resampling {
        let mut words = format!("[ ]: 95 % interval, {} bootstrap replicates", resampling.replicates);
        match resampling.groups {
            Some(groups) => words += &format!(" of {groups} whole groups"),
            None if resampling.rows < found.evaluation.n_rows => {
                words += &format!(" of a sample of {} rows", resampling.rows);
            }
            None => {}
        }
        let _ = writeln!(out, "\n  {words}");
    }
    if let Some(training) = &found.training {
        let own = training.evaluation.metrics.figures();
        let rows = of_part(&found.evaluation.metrics).into_iter().filter_map(|(name, value)| {
            let of_training = own.iter().find(|(known, _)| *known == name)?.1;
            Some(vec![name.into(), figure(of_training), figure(value)])
        });
        let n = count(training.evaluation.n_rows, "training row", "training rows");
        out += &titled("", &[&n, "held out"], rows);
    }
    if let Some(points) = &found.learning_curve {
        out += &learning_curve(points);
    }
    if let Some(costs) = &found.costs {
        let _ = writeln!(
            out,
            "\n  cost: {} per row; {} with the class of least expected cost, {} with the cheapest class always",
            figure(Some(costs.mean)),
            figure(Some(costs.mean_least_expected)),
            figure(Some(costs.mean_constant))
        );
    }
    if let Some(rows) = &found.thresholds {
        out += &thresholds(found, rows);
    }
    if let Some(top_k) = &found.top_k {
        let parts: Vec<String> =
            top_k.iter().map(|top| format!("{} in {}", figure(Some(top.accuracy)), top.k)).collect();
        let _ = writeln!(out, "\n  true class among the most probable: {}", parts.join(", "));
    }
    if let Some(residuals) = &found.residuals {
        let rows = residuals.quantiles.iter().map(|quantile| {
            let share = format!("{} %", (quantile.share * 100.0).round());
            vec![share, figure(Some(quantile.residual)), figure(Some(quantile.absolute))]
        });
        out += &titled("share of rows up to", &["residual", "absolute"], rows);
    }
    if let Some(found) = &found.segments {
        out += &segments(found);
    }
    if let Some(found) = &found.ranking {
        out += &ranking(found);
    }
    if let Some(found) = &found.weak_segments {
        out += &weak(found);
    }
    if let Some(found) = &found.importances {
        out += &importances(found);
    }
    if let Some(found) = &found.explanation {
        out += &explanation(found);
    }
    if let Some(worst) = &found.worst {
        out += &rows("rows of the largest loss", &worst.rows);
        if !worst.label_hints.is_empty() {
            let n = count(worst.n_label_hints, "row", "rows");
            out += &rows(&format!("labels that may be wrong, {n}"), &worst.label_hints);
        }
    }
    if let Some(found) = &found.comparison {
        out += &comparison(found);
    }
    out
}

/// A table whose first column has a title.
fn titled(title: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header: Vec<String> =
        std::iter::once(title).chain(header.iter().copied()).map(String::from).collect();
    let all: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    format!("\n{}", table(&all, 2, true))
}

fn learning_curve(points: &[LearningPoint]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let names: Vec<&str> = of_part(&first.metrics).iter().map(|(name, _)| *name).collect();
    let header: Vec<&str> = std::iter::once("rows").chain(names).collect();
    let rows = points.iter().map(|point| {
        let both = of_part(&point.metrics).into_iter().zip(of_part(&point.training));
        let figures = both.map(|((_, own), (_, training))| format!("{} ({})", figure(own), figure(training)));
        let share = format!("{:.0} %", point.share * 100.0);
        [share, point.rows.to_string()].into_iter().chain(figures).collect()
    });
    titled("fitted on, held out (training)", &header, rows)
}

fn thresholds(found: &DetailedEvaluation, rows: &[ThresholdRow]) -> String {
    let cells = |name: String, row: &ThresholdRow| {
        let mut cells = vec![name];
        cells.extend([row.precision, row.recall, row.f1, row.specificity].map(|value| figure(Some(value))));
        cells.extend(row.cost.map(|cost| figure(Some(cost))));
        cells
    };
    let mut header = vec!["precision", "recall", "f1", "specificity"];
    if rows.first().is_some_and(|row| row.cost.is_some()) {
        header.push("cost");
    }
    let tenths = rows.iter().step_by(10).map(|row| cells(format!("{:.1}", row.threshold), row));
    let best = found.best_threshold.as_ref().map(|best| {
        let by = if best.by == Objective::Cost { "least cost" } else { "best f1" };
        cells(format!("{:.4} ({by})", best.row.threshold), &best.row)
    });
    titled("threshold", &header, tenths.chain(best))
}

/// The figures of a segment that text shows.
fn of_part(metrics: &Metrics) -> Vec<(&'static str, Option<f64>)> {
    const SHOWN: [&str; 7] = ["accuracy", "balanced_accuracy", "f1.macro", "log_loss", "r2", "rmse", "mae"];
    metrics.figures().into_iter().filter(|(name, _)| SHOWN.contains(name)).collect()
}

fn segments(found: &[Segment]) -> String {
    let mut out = String::new();
    for column in found.chunk_by(|a, b| a.column == b.column) {
        let names: Vec<&str> = of_part(&column[0].metrics).iter().map(|(name, _)| *name).collect();
        let header: Vec<&str> = std::iter::once("rows").chain(names).collect();
        let rows = column.iter().map(|segment| {
            let few = if segment.few_rows { " (few)" } else { "" };
            let mut cells = vec![segment.value.clone(), format!("{}{few}", segment.rows)];
            for (at, (name, value)) in of_part(&segment.metrics).into_iter().enumerate() {
                // The first figure has room for its interval.
                let interval = segment.intervals.as_ref().filter(|_| at == 0).and_then(|all| all.of(name));
                cells.push(text::with_interval(value, interval));
            }
            cells
        });
        out += &titled(&column[0].column, &header, rows);
    }
    if found.iter().any(|segment| segment.few_rows) {
        let _ = writeln!(out, "  (few): fewer than {FEW_ROWS} rows, too few to say much");
    }
    out
}

fn ranking(found: &RankQuality) -> String {
    let rows = found.figures.iter();
    let rows = rows.map(|(name, value, interval)| vec![name.clone(), text::with_interval(*value, *interval)]);
    let by = found.by.as_ref().map_or_else(|| "predicted value".into(), text::label);
    let mut out = titled(&format!("order by {by}"), &[&format!("mean over {}", found.group)], rows);
    let groups = count(found.n_groups, "group", "groups");
    let _ = write!(out, "  {groups} with a relevant row");
    if found.n_without_relevant > 0 {
        let _ = write!(out, "; {} without are left out", found.n_without_relevant);
    }
    if found.n_without_group > 0 {
        let _ = write!(out, "; {} without a group", count(found.n_without_group, "row", "rows"));
    }
    out + "\n"
}

fn weak(found: &[WeakSegment]) -> String {
    if found.is_empty() {
        return "\n  weakest segments: none stands out\n".into();
    }
    let names: Vec<&str> = of_part(&found[0].metrics).iter().map(|(name, _)| *name).take(2).collect();
    let header: Vec<&str> = ["rows", "loss", "loss of others"].into_iter().chain(names).collect();
    let rows = found.iter().map(|segment| {
        let mut cells = vec![segment.conditions.join(" and "), segment.rows.to_string()];
        cells.extend([segment.loss, segment.loss_of_others].map(|loss| figure(Some(loss))));
        cells.extend(of_part(&segment.metrics).into_iter().take(2).map(|(_, value)| figure(value)));
        cells
    });
    titled("weakest segments", &header, rows)
}

fn importances(found: &Importances) -> String {
    let rows = found.features.iter().take(MAX_ROWS).map(|importance| {
        let spread = format!("{} ± {}", figure(Some(importance.mean)), figure(Some(importance.std)));
        vec![importance.feature.clone(), spread]
    });
    let header = format!("{} when shuffled", found.metric);
    let mut out = titled("importance", &[&header], rows);
    if found.n_left_out > 0 {
        let columns = count(found.n_left_out, "column was", "columns were");
        let _ =
            writeln!(out, "  {columns} not shuffled: the model itself holds the others to be more important");
    }
    out
}

fn explanation(found: &Why) -> String {
    let effects = found.effects.iter().take(MAX_ROWS);
    let rows = effects.map(|effect| vec![effect.feature.clone(), figure(Some(effect.mean))]);
    let what = found.label.as_ref().map_or(String::new(), |label| format!(" of {}", text::label(label)));
    let mut out = titled("contributions", &[&format!("mean size ({}{what})", found.scale)], rows);
    let _ = writeln!(out, "  of {}", count(found.n_rows, "row", "rows"));
    if !found.interactions.is_empty() {
        let pairs = found.interactions.iter().take(MAX_ROWS / 2);
        let rows = pairs.map(|([a, b], mean)| vec![format!("{a} with {b}"), figure(Some(*mean))]);
        out += &titled("interactions", &["mean size"], rows);
        if let Some(whose) = found.interactions_of() {
            let _ = writeln!(out, "  {whose}");
        }
    }
    out += "\n  worst rows\n";
    for row in found.worst.iter().take(MAX_ROWS / 2) {
        let line =
            format!("{}, predicted {}: {}", row.place, text::label(&row.predicted), row.reasons.join("; "));
        let _ = writeln!(out, "  {}", printable_line(&line));
    }
    out
}

fn rows(title: &str, found: &[WorstRow]) -> String {
    let cells = found.iter().take(MAX_ROWS).map(|row| {
        let mut cells = vec![row.place.clone()];
        cells.extend([&row.truth, &row.predicted].map(text::label));
        cells.push(figure(Some(row.probability_of_truth.unwrap_or(row.loss))));
        let values = row.values.iter().take(MAX_CELLS).map(|(name, value)| format!("{name}={value}"));
        cells.push(values.collect::<Vec<String>>().join(" "));
        cells
    });
    let of_classes = found.iter().any(|row| row.probability_of_truth.is_some());
    let header = ["true", "predicted", if of_classes { "p(true)" } else { "error" }, "values"];
    titled(title, &header, cells)
}

fn comparison(found: &Comparison) -> String {
    let rows = found.metrics.iter().map(|(name, difference)| {
        let verdict = match difference.verdict {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceShown => "no difference shown",
        };
        vec![
            name.clone(),
            figure(Some(difference.value)),
            figure(Some(difference.other)),
            text::with_interval(Some(difference.difference), Some(difference.interval)),
            format!("{:.3}", difference.p_value),
            verdict.into(),
        ]
    });
    let mut out = titled("", &["this model", "other", "difference", "p", "verdict"], rows);
    let _ = match found.test {
        PairedTest::Mcnemar { only_this, only_other, p_value } => writeln!(
            out,
            "  right on {only_this} rows that the other gets wrong, wrong on {only_other} that it gets right: McNemar \
             p = {p_value:.3}"
        ),
        PairedTest::PairedT { difference, p_value, .. } => writeln!(
            out,
            "  mean difference of the absolute errors {}: paired t test p = {p_value:.3}",
            figure(Some(difference))
        ),
    };
    let _ = writeln!(out, "  {}", found.verdict);
    out
}

/// The requirements, met or not.
pub(crate) fn outcomes(found: &[Outcome]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let rows = found.iter().map(|outcome| {
        let met = if outcome.met { "met" } else { "not met" };
        vec![outcome.require.clone(), figure(outcome.value), met.into()]
    });
    titled("requirement", &["value", ""], rows)
}
