//! What happens to scores after the predictors: how they were calibrated, the stored threshold, and what prediction
//! intervals and sets hold.

use super::super::charts::matrix::percent;
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::Table;
use super::super::markup::{Ids, escaped, push, shortened};
use super::super::postprocessing::facts;
use super::label;
use super::labels;
use super::subject::Subject;
use crate::model::evaluation::steps::CoverageDetail;

/// Classes whose coverage is drawn.
const MAX_PARTS: usize = 30;
/// Characters of a class beside an axis.
const NAME: usize = 18;

/// The line of the card on one of the steps.
fn fact(subject: &Subject, name: &str) -> Option<String> {
    let (model, _) = subject.model?;
    let facts = facts(&model.pipeline.postprocessing);
    facts.into_iter().find(|fact| fact.0 == name).map(|fact| fact.1)
}

/// How the probabilities were calibrated at training.
pub(super) fn calibrated(subject: &Subject) -> String {
    fact(subject, "calibration").map_or(String::new(), |fact| {
        let loss = subject.detailed.before_calibration.as_ref().and_then(|before| before.log_loss);
        let here = loss.map_or(String::new(), |loss| {
            format!(" On these rows the log loss would be {} without it.", short(loss))
        });
        format!("<p>Calibrated at training: {}.{}</p>", escaped(&fact), escaped(&here))
    })
}

/// The calibration of each class before and after.
pub(super) fn before_and_after(subject: &Subject, ids: &mut Ids) -> String {
    let detailed = subject.detailed;
    let (Some(before), Some(curves)) = (&detailed.before_calibration, &detailed.curves) else {
        return String::new();
    };
    let names = labels(before.calibration.iter().map(|curve| Some(&curve.label)));
    let mut table =
        Table::new("Bins before the calibration", &["class", "mean probability", "observed share", "rows"]);
    let mut marks =
        vec![Mark::new("exactly right", Look::Reference, Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)]))];
    let many = names.len() > Look::N_SERIES / 2;
    for (series, (when, all)) in
        [("before", &before.calibration), ("after", &curves.calibration)].into_iter().enumerate()
    {
        for (i, curve) in all.iter().enumerate() {
            let bins = &curve.equal_width;
            let points = bins.predicted.iter().copied().zip(bins.observed.iter().copied()).collect();
            let ece = bins.ece.map_or("undefined".into(), short);
            let of = names.get(i).cloned().unwrap_or_default();
            let title = format!("{of} {when}, calibration error {ece}");
            let (name, look) = match names.len() {
                1 => (format!("{when}, calibration error {ece}"), Look::Series(1 - series)),
                _ if many => (when.to_string(), if series == 0 { Look::Faint } else { Look::Series(0) }),
                _ => (title.clone(), if series == 0 { Look::Beside(i) } else { Look::Series(i) }),
            };
            marks.push(Mark::new(name, look, Shape::Line(points)).titled(title));
        }
    }
    for (curve, name) in before.calibration.iter().zip(&names) {
        let bins = &curve.equal_width;
        for (at, rows) in bins.rows.iter().enumerate() {
            table.rows.push(vec![
                name.clone(),
                short(bins.predicted[at]),
                short(bins.observed[at]),
                rows.to_string(),
            ]);
        }
    }
    let plot = Plot {
        title: "Before and after the calibration".into(),
        description: "The nearer to the dashed line, the more a probability means what it says.".into(),
        x: ("mean predicted probability of the bin".into(), Scale::unit()),
        y: ("observed share of the class".into(), Scale::unit()),
        marks,
        table,
    };
    plot.html(ids)
}

/// The threshold that was chosen at training.
pub(super) fn threshold(subject: &Subject) -> String {
    fact(subject, "threshold").map_or(String::new(), |fact| {
        format!("<p>Stored at training and used by predict and serve: {}.</p>", escaped(&fact))
    })
}

/// Prediction intervals or sets: how often they hold the truth, and where.
pub(super) fn coverage(subject: &Subject, ids: &mut Ids) -> String {
    let name = if subject.has_classes() { "prediction set" } else { "interval" };
    let Some(fact) = fact(subject, name) else { return String::new() };
    let mut out = format!("<p>As stored at training: {}.</p>", escaped(&fact));
    if let Some(coverage) = &subject.detailed.evaluation.coverage
        && let Some(share) = coverage.share
    {
        let size = match (coverage.width, coverage.mean_size, coverage.n_empty) {
            (Some(width), ..) => format!("each is {} wide", short(width)),
            (_, Some(size), Some(empty)) => {
                format!("a set has {} classes on average, {empty} are empty", short(size))
            }
            _ => String::new(),
        };
        push(
            &mut out,
            format_args!(
                "<p>They hold the truth of <strong>{}</strong> of these rows, {} were asked for; {size}.</p>",
                percent(share),
                percent(coverage.level)
            ),
        );
    }
    if let Some(detail) = &subject.detailed.coverage_detail {
        push(&mut out, format_args!("<div class=\"charts\">{}</div>", parts(subject, detail).html(ids)));
        out += &levels(detail).html();
    }
    out
}

fn parts(subject: &Subject, detail: &CoverageDetail) -> Plot {
    let classes = subject.has_classes();
    let head = [if classes { "true class" } else { "predicted value" }, "rows", "coverage", "95 % interval"];
    let mut table = Table::new("Coverage by part of the rows", &head);
    let name = |part: &serde_json::Value| match part.as_array().map(Vec::as_slice) {
        Some([low, high]) => {
            let [low, high] = [low, high].map(|end| short(end.as_f64().unwrap_or(f64::NAN)));
            format!("{low} to {high}")
        }
        _ => label(part),
    };
    // The first part is at the top, and of many classes only some are drawn.
    let drawn: Vec<_> = detail.parts.iter().take(MAX_PARTS).rev().collect();
    for part in &detail.parts {
        let [low, high] = part.interval.map(percent);
        table.rows.push(vec![
            name(&part.part),
            part.rows.to_string(),
            percent(part.share),
            format!("{low} to {high}"),
        ]);
    }
    let level = subject.detailed.evaluation.coverage.as_ref().map(|coverage| coverage.level);
    let top = drawn.len() as f64 - 0.5;
    let bars = |i: usize, from: f64, to: f64, half: f64| [from, to, i as f64 - half, i as f64 + half];
    let hover = |part: &crate::model::evaluation::steps::CoveredPart| {
        let [low, high] = part.interval.map(percent);
        format!("{}: {} of {} rows, {low} to {high}", name(&part.part), percent(part.share), part.rows)
    };
    let held = drawn.iter().enumerate().map(|(i, part)| (bars(i, 0.0, part.share, 0.3), hover(part)));
    let mut marks = vec![Mark::new("held", Look::Series(0), Shape::Boxes(held.collect()))];
    for (i, part) in drawn.iter().enumerate() {
        let ends = part.interval.map(|end| (end, i as f64)).to_vec();
        marks.push(Mark::new("95 % interval", Look::Strong, Shape::Line(ends)));
    }
    if let Some(level) = level {
        marks.push(Mark::new("asked for", Look::Reference, Shape::Line(vec![(level, -0.5), (level, top)])));
    }
    let names = drawn.iter().map(|part| shortened(&name(&part.part), NAME)).collect();
    Plot {
        title: if classes { "Coverage by true class" } else { "Coverage by predicted value" }.into(),
        description: "The share is right on average over all rows; a part may have more or less of it."
            .into(),
        x: ("share of the rows whose truth is held".into(), Scale::unit()),
        y: (String::new(), Scale::named(names)),
        marks,
        table,
    }
}

/// What other levels would take.
fn levels(detail: &CoverageDetail) -> Table {
    let classes = detail.levels.iter().any(|level| level.least.is_some());
    let head: &[&str] = if classes {
        &["share", "least probability", "mean classes of a set"]
    } else {
        &["share", "width of the interval"]
    };
    let mut table = Table::new("What it takes to hold a share of these very rows", head);
    for level in &detail.levels {
        let cells = [level.width, level.least, level.mean_size];
        let cells = cells.into_iter().flatten().map(short);
        table.rows.push(std::iter::once(percent(level.level)).chain(cells).collect());
    }
    table
}
