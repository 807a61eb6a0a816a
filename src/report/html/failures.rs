//! Where a model fails: segments, weak parts, the worst rows, labels that may be wrong.

use super::super::charts::bars::{Bar, Bars};
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::Table;
use super::super::markup::{Ids, escaped, push};
use super::super::text::{count, figure};
use super::label;
use super::subject::Subject;
use crate::model::evaluation::Metrics;
use crate::model::evaluation::segments::{FEW_ROWS, Segment};
use crate::model::evaluation::worst::WorstRow;

/// Values of a row that are listed.
const MAX_VALUES: usize = 12;
/// Bars of the segments of one column.
const MAX_BARS: usize = 30;

/// The metrics shown for a part of the rows.
fn shown(metrics: &Metrics) -> Vec<&'static str> {
    match metrics {
        Metrics::Classification(_) => ["accuracy", "f1.macro", "roc_auc", "log_loss"].to_vec(),
        Metrics::Regression(_) => ["rmse", "mae", "r2"].to_vec(),
    }
}

fn value(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.figures().into_iter().find(|figure| figure.0 == name).and_then(|figure| figure.1)
}

/// The main metric of models fitted on growing shares of the training rows.
pub(super) fn learning_curve(subject: &Subject, ids: &mut Ids) -> String {
    let points = subject.detailed.learning_curve.as_deref().unwrap_or_default();
    let Some(last) = points.last() else { return String::new() };
    let name = shown(&last.metrics)[0];
    let mut table =
        Table::new("Models fitted on shares of the training rows", &["rows", "held out", "training rows"]);
    let (mut held_out, mut training) = (Vec::new(), Vec::new());
    for point in points {
        let of = [value(&point.metrics, name), value(&point.training, name)];
        table.rows.push(vec![point.rows.to_string(), figure(of[0]), figure(of[1])]);
        held_out.push((point.rows as f64, of[0].unwrap_or(f64::NAN)));
        training.push((point.rows as f64, of[1].unwrap_or(f64::NAN)));
    }
    let values = held_out.iter().chain(&training).map(|point| point.1);
    let plot = Plot {
        title: format!("{name} by number of training rows"),
        description: "If the line of held-out rows still gets better at its end, more rows would help."
            .into(),
        x: ("training rows".into(), Scale::from_zero(held_out.iter().map(|point| point.0), 5)),
        y: (name.into(), Scale::of(values, 5)),
        marks: vec![
            Mark::new("held-out rows", Look::Series(0), Shape::Line(held_out)),
            Mark::new("training rows", Look::Beside(0), Shape::Line(training)),
        ],
        table,
    };
    format!("<div class=\"charts\">{}</div>", plot.html(ids))
}

/// How well rows are ordered within groups.
pub(super) fn ranking(subject: &Subject) -> String {
    let Some(found) = &subject.detailed.ranking else { return String::new() };
    let by = found.by.as_ref().map_or_else(|| "the predicted value".into(), label);
    let groups = count(found.n_groups, "group", "groups");
    let caption = format!("Rows by {by} within {}: means over {groups} with a relevant row", found.group);
    let mut table = Table::new(caption, &["figure", "mean", "95 % interval"]);
    for (name, value, interval) in &found.figures {
        let ends = interval.map(|interval| interval.map(|end| figure(Some(end))).join(" to "));
        table.rows.push(vec![name.clone(), figure(*value), ends.unwrap_or_default()]);
    }
    table.html()
}

/// The metrics of each segment of the columns that were asked for.
pub(super) fn segments(subject: &Subject, ids: &mut Ids) -> String {
    let Some(segments) = subject.detailed.segments.as_ref().filter(|all| !all.is_empty()) else {
        return String::new();
    };
    let mut out = String::new();
    let mut columns: Vec<&str> = segments.iter().map(|segment| segment.column.as_str()).collect();
    columns.dedup();
    let training = subject.detailed.training.as_ref().and_then(|training| training.segments.as_deref());
    for column in columns {
        let own: Vec<&Segment> = segments.iter().filter(|segment| segment.column == column).collect();
        out += &of_column(column, &own, training.unwrap_or_default(), ids);
    }
    out
}

fn of_column(column: &str, segments: &[&Segment], training: &[Segment], ids: &mut Ids) -> String {
    let names = shown(&segments[0].metrics);
    let mut head = vec!["value", "rows"];
    head.extend(&names);
    let of_training = format!("{}, training rows", names[0]);
    if !training.is_empty() {
        head.push(&of_training);
    }
    let mut table = Table::new(format!("Metrics by {column}"), &head);
    for segment in segments {
        let few = if segment.few_rows { " (few)" } else { "" };
        let mut row = vec![segment.value.clone(), format!("{}{few}", segment.rows)];
        for name in &names {
            let interval = segment.intervals.as_ref().and_then(|intervals| intervals.of(name));
            let interval = interval.map_or(String::new(), |[low, high]| {
                format!(" [{}, {}]", figure(Some(low)), figure(Some(high)))
            });
            row.push(figure(value(&segment.metrics, name)) + &interval);
        }
        if !training.is_empty() {
            // Numbers are cut at the quantiles of each side, so only values of the same name are the same part.
            let same = training.iter().find(|other| other.column == column && other.value == segment.value);
            row.push(same.map_or(String::new(), |same| figure(value(&same.metrics, names[0]))));
        }
        table.rows.push(row);
    }
    let first = names[0];
    let bars = segments.iter().take(MAX_BARS).filter_map(|segment| {
        let value = value(&segment.metrics, first)?;
        let few = if segment.few_rows { "*" } else { "" };
        let between =
            segment.intervals.as_ref().and_then(|intervals| intervals.of(first)).map(|[a, b]| (a, b));
        Some(Bar { name: format!("{}{few}", segment.value), value, between })
    });
    let bars = Bars {
        title: format!("{first} by {column}"),
        description: format!("With a star: fewer than {FEW_ROWS} rows, which say little."),
        unit: first.into(),
        bars: bars.collect(),
        table,
    };
    format!("<div class=\"charts\">{}</div>", bars.html(ids))
}

/// The weakest parts of the rows.
pub(super) fn weak(subject: &Subject) -> String {
    let Some(weak) = &subject.detailed.weak_segments else { return String::new() };
    let Some(first) = weak.first() else {
        return "<p>No part of the rows was found in which the model is weaker than in the others.</p>"
            .into();
    };
    let names = shown(&first.metrics);
    let mut head = vec!["rows where", "number", "mean loss", "loss of others"];
    head.extend(&names);
    let mut table =
        Table::new("The parts of the rows in which the loss is largest, found by a shallow tree", &head);
    for segment in weak {
        let mut row = vec![
            segment.conditions.join(" and "),
            segment.rows.to_string(),
            short(segment.loss),
            short(segment.loss_of_others),
        ];
        row.extend(names.iter().map(|name| figure(value(&segment.metrics, name))));
        table.rows.push(row);
    }
    table.html()
}

/// The rows of the largest loss, and those whose label may be wrong.
pub(super) fn worst(subject: &Subject) -> String {
    let Some(worst) = &subject.detailed.worst else { return String::new() };
    let mut out = String::new();
    if !worst.rows.is_empty() {
        out += &rows("The rows that the model gets most wrong, with their values", &worst.rows).html();
    }
    if !worst.label_hints.is_empty() {
        push(
            &mut out,
            format_args!(
                "<h4>Labels that may be wrong</h4><p>{} whose label the model doubts more than it doubts others (confident \
                 learning: Northcutt, Jiang and Chuang 2021). A hint, not a proof: look at them.</p>",
                escaped(&count(worst.n_label_hints, "row", "rows"))
            ),
        );
        out += &rows("Rows whose label may be wrong, the surest first", &worst.label_hints).html();
    }
    out
}

fn rows(caption: &str, rows: &[WorstRow]) -> Table {
    let classes = rows.iter().any(|row| row.probability_of_truth.is_some());
    let mut head = vec!["place", "true", "predicted"];
    head.push(if classes { "probability of the true class" } else { "absolute error" });
    let names: Vec<&str> = rows
        .first()
        .map_or(Vec::new(), |row| row.values.iter().take(MAX_VALUES).map(|value| value.0.as_str()).collect());
    head.extend(&names);
    let left_out = rows.first().map_or(0, |row| row.values.len().saturating_sub(MAX_VALUES));
    let caption = match left_out {
        0 => caption.to_string(),
        n => format!("{caption}; {} not shown", count(n, "column is", "columns are")),
    };
    let mut table = Table::new(caption, &head);
    for row in rows {
        let mut cells = vec![row.place.clone(), label(&row.truth), label(&row.predicted)];
        cells.push(short(row.probability_of_truth.unwrap_or(row.loss)));
        cells.extend(
            row.values.iter().take(MAX_VALUES).map(|value| super::super::markup::shortened(&value.1, 60)),
        );
        table.rows.push(cells);
    }
    table
}
