//! The errors of a regression: predicted against true, residuals, quantiles, normal QQ plot.

use super::super::charts::matrix::percent;
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::{Table, thinned};
use super::super::markup::Ids;
use super::subject::Subject;
use crate::model::evaluation::residuals::Residuals;

/// Rows that are drawn one by one; more are as dense as a cell.
const MAX_DOTS: usize = 500;

/// All charts of the residuals; nothing for a classification.
pub(super) fn errors(subject: &Subject, ids: &mut Ids) -> String {
    let Some(residuals) = &subject.detailed.residuals else { return String::new() };
    let training = subject.detailed.training.as_ref().and_then(|training| training.residuals.as_ref());
    let target = &subject.detailed.evaluation.target;
    let mut out = String::from("<div class=\"charts\">");
    out += &predicted_against_true(residuals, target).html(ids);
    out += &against_prediction(residuals, target).html(ids);
    out += &quantiles(residuals, training).html(ids);
    out += &histogram(residuals).html(ids);
    out += &qq(residuals).html(ids);
    out += "</div>";
    out
}

fn points(residuals: &Residuals) -> Vec<(f64, f64)> {
    let kept = thinned(residuals.points.len(), MAX_DOTS);
    kept.into_iter().map(|i| (residuals.points[i].truth, residuals.points[i].predicted)).collect()
}

fn sample_words(residuals: &Residuals, drawn: usize) -> String {
    match residuals.is_sample || drawn < residuals.points.len() {
        true => format!(" A sample of {drawn} rows is drawn."),
        false => String::new(),
    }
}

fn predicted_against_true(residuals: &Residuals, target: &str) -> Plot {
    let points = points(residuals);
    let mut table =
        Table::new("Rows in tenths by predicted value", &["mean prediction", "mean true value", "rows"]);
    table.rows = residuals
        .by_prediction
        .iter()
        .map(|bin| vec![short(bin.predicted), short(bin.truth), bin.rows.to_string()])
        .collect();
    let both = || points.iter().flat_map(|point| [point.0, point.1]);
    let scale = Scale::of(both(), 5);
    let (low, high) = scale.ends();
    let mut marks = Vec::new();
    if let Some(grid) = &residuals.grid {
        let most = grid.counts.iter().flatten().copied().max().unwrap_or(1).max(1) as f64;
        let mut cells = Vec::new();
        for (i, row) in grid.counts.iter().enumerate() {
            for (j, &n) in row.iter().enumerate().filter(|(_, n)| **n > 0) {
                let [x, to_x] = [grid.truth_edges[i], grid.truth_edges[i + 1]];
                let [y, to_y] = [grid.predicted_edges[j], grid.predicted_edges[j + 1]];
                let title = format!(
                    "true {} to {}, predicted {} to {}: {n} rows",
                    short(x),
                    short(to_x),
                    short(y),
                    short(to_y)
                );
                cells.push(([x, to_x, y, to_y], 0.1 + 0.9 * (n as f64 / most).sqrt(), title));
            }
        }
        marks.push(Mark::silent(Look::Series(0), Shape::Cells(cells)));
    } else {
        let dots = points.iter().map(|&(truth, predicted)| {
            (truth, predicted, format!("true {}, predicted {}", short(truth), short(predicted)))
        });
        marks.push(Mark::new("a row", Look::Series(0), Shape::Dots(dots.collect())));
    }
    marks.push(Mark::new("exactly right", Look::Reference, Shape::Line(vec![(low, low), (high, high)])));
    let (scale, shown) = match &residuals.grid {
        Some(grid) => {
            let edges = grid.truth_edges.iter().chain(&grid.predicted_edges).copied();
            (Scale::of(edges, 5), " The stronger the colour of a cell, the more rows it holds.".to_string())
        }
        None => (scale, sample_words(residuals, points.len())),
    };
    let ends = scale.ends();
    if let Some(Mark { shape: Shape::Line(line), .. }) = marks.last_mut() {
        *line = vec![(ends.0, ends.0), (ends.1, ends.1)];
    }
    Plot {
        title: "Predicted against true".into(),
        description: format!("The nearer to the dashed line, the better.{shown}"),
        x: (format!("true {target}"), scale.clone()),
        y: (format!("predicted {target}"), scale),
        marks,
        table,
    }
}

fn against_prediction(residuals: &Residuals, target: &str) -> Plot {
    let points = points(residuals);
    let head = ["mean prediction", "first quartile", "median residual", "third quartile", "rows"];
    let mut table = Table::new("Residuals in tenths of the rows by predicted value", &head);
    table.rows = residuals
        .by_prediction
        .iter()
        .map(|bin| {
            let [low, median, high] = bin.quartiles.map(short);
            vec![short(bin.predicted), low, median, high, bin.rows.to_string()]
        })
        .collect();
    let dots: Vec<(f64, f64, String)> =
        points.iter().map(|&(truth, predicted)| (predicted, truth - predicted, String::new())).collect();
    let bins = &residuals.by_prediction;
    let x = Scale::of(dots.iter().map(|dot| dot.0), 5);
    let y = Scale::from_zero(dots.iter().map(|dot| dot.1), 6);
    let (low, high) = x.ends();
    let band = bins.iter().map(|bin| (bin.predicted, bin.quartiles[0], bin.quartiles[2])).collect();
    let median = bins.iter().map(|bin| (bin.predicted, bin.quartiles[1])).collect();
    Plot {
        title: "Residuals by prediction".into(),
        description: format!(
            "Residual: true minus predicted. They should scatter around 0 everywhere; a slope or a funnel is structure that the \
             model misses.{}",
            sample_words(residuals, points.len())
        ),
        x: (format!("predicted {target}"), x),
        y: ("residual".into(), y),
        marks: vec![
            Mark::silent(Look::Faint, Shape::Dots(dots)),
            Mark::new("no error", Look::Reference, Shape::Line(vec![(low, 0.0), (high, 0.0)])),
            Mark::new("middle half", Look::Series(0), Shape::Band(band)),
            Mark::new("median", Look::Series(0), Shape::Line(median)),
        ],
        table,
    }
}

fn quantiles(residuals: &Residuals, training: Option<&Residuals>) -> Plot {
    let mut head = vec!["share of rows", "residual at most", "absolute error at most"];
    if training.is_some() {
        head.push("training rows: absolute error");
    }
    let mut table = Table::new("Quantiles of the errors", &head);
    for (i, quantile) in residuals.quantiles.iter().enumerate() {
        let mut row = vec![percent(quantile.share), short(quantile.residual), short(quantile.absolute)];
        if let Some(training) = training {
            row.push(training.quantiles.get(i).map_or(String::new(), |quantile| short(quantile.absolute)));
        }
        table.rows.push(row);
    }
    let line = |residuals: &Residuals| {
        Shape::Line(residuals.quantiles.iter().map(|quantile| (quantile.absolute, quantile.share)).collect())
    };
    let mut marks = vec![Mark::new("these rows", Look::Series(0), line(residuals))];
    if let Some(training) = training {
        marks.push(Mark::new("training rows", Look::Beside(0), line(training)));
    }
    Plot {
        title: "How large errors are".into(),
        description: "The share of the rows whose error is at most so large.".into(),
        x: ("absolute error".into(), Scale::from_zero(residuals.quantiles.iter().map(|q| q.absolute), 5)),
        y: ("share of rows".into(), Scale::unit()),
        marks,
        table,
    }
}

fn histogram(residuals: &Residuals) -> Plot {
    let histogram = &residuals.histogram;
    let mut table = Table::new("Rows by residual", &["residual", "rows"]);
    let bins = || histogram.edges.windows(2).zip(&histogram.rows);
    table.rows = bins()
        .map(|(edges, n)| vec![format!("{} to {}", short(edges[0]), short(edges[1])), n.to_string()])
        .collect();
    let columns = bins().map(|(edges, &n)| (edges[0], edges[1], n as f64)).collect();
    Plot {
        title: "Distribution of the residuals".into(),
        description:
            "True minus predicted; a long tail to one side means that the model errs in that direction."
                .into(),
        x: ("residual".into(), Scale::of(histogram.edges.iter().copied(), 5)),
        y: ("rows".into(), Scale::from_zero(histogram.rows.iter().map(|&n| n as f64), 5)),
        marks: vec![Mark::new("rows", Look::Series(0), Shape::Columns(columns))],
        table,
    }
}

fn qq(residuals: &Residuals) -> Plot {
    let points: Vec<(f64, f64)> = residuals.qq.iter().map(|point| (point.normal, point.residual)).collect();
    let mut table = Table::new("Quantiles", &["normal", "residual in standard deviations"]);
    table.rows =
        thinned(points.len(), 21).into_iter().map(|i| vec![short(points[i].0), short(points[i].1)]).collect();
    let scale = Scale::of(points.iter().flat_map(|point| [point.0, point.1]), 6);
    let (low, high) = scale.ends();
    let kept = thinned(points.len(), MAX_DOTS);
    let dots = kept.into_iter().map(|i| (points[i].0, points[i].1, String::new())).collect();
    Plot {
        title: "Normal QQ plot of the residuals".into(),
        description: "Off the dashed line at the ends: more extreme errors than a normal distribution has."
            .into(),
        x: ("standard normal quantile".into(), scale.clone()),
        y: ("residual, standardised".into(), scale),
        marks: vec![
            Mark::new("normal distribution", Look::Reference, Shape::Line(vec![(low, low), (high, high)])),
            Mark::new("residuals", Look::Series(0), Shape::Dots(dots)),
        ],
        table,
    }
}
