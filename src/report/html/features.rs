//! What the predictions depend on: permutation importance, partial dependence, associations between columns.

use super::super::charts::bars::{Bar, Bars};
use super::super::charts::matrix::percent;
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::Table;
use super::super::markup::{Ids, push, shortened};
use super::label;
use super::subject::Subject;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date;
use crate::model::evaluation::associations::Associations;
use crate::model::evaluation::dependence::Dependence;
use crate::order;

/// Columns whose importance is drawn.
const MAX_BARS: usize = 20;
/// Columns whose associations are drawn.
const MAX_ASSOCIATED: usize = 40;

/// Importances of the columns.
pub(super) fn importances(subject: &Subject, ids: &mut Ids) -> String {
    let mut out = String::from("<div class=\"charts\">");
    let empty = out.len();
    if let Some(found) = &subject.detailed.importances {
        let mut table = Table::new("Permutation importance", &["column", "mean", "standard deviation"]);
        table.rows =
            found.features.iter().map(|of| vec![of.feature.clone(), short(of.mean), short(of.std)]).collect();
        let bars = found.features.iter().take(MAX_BARS).map(|of| Bar {
            name: of.feature.clone(),
            value: of.mean,
            between: Some((of.mean - of.std, of.mean + of.std)),
        });
        let left_out = match found.n_left_out {
            0 => String::new(),
            n => format!(" {n} more columns were not tried."),
        };
        let bars = Bars {
            title: "Permutation importance".into(),
            description: format!(
                "How much {} grows if the values of a column are shuffled among {} held-out rows, {} times; the thin line is ± \
                 a standard deviation.{left_out}",
                found.metric, found.rows, found.repeats
            ),
            unit: format!("growth of {}", found.metric),
            bars: bars.collect(),
            table,
        };
        if !bars.bars.is_empty() {
            out += &bars.html(ids);
        }
    }
    let own = subject.model.map_or(Vec::new(), |(model, _)| model.importances());
    if !own.is_empty() {
        let mut table = Table::new("Importance in the model", &["column", "importance"]);
        table.rows = own.iter().map(|(name, value)| vec![name.to_string(), short(*value)]).collect();
        let bars = own.iter().take(MAX_BARS).map(|(name, value)| Bar {
            name: name.to_string(),
            value: *value,
            between: None,
        });
        let bars = Bars {
            title: "Importance in the model".into(),
            description: "As the model itself weighs its columns on the training rows: coefficients of a linear model, gain of \
                          the splits of trees."
                .into(),
            unit: "importance".into(),
            bars: bars.collect(),
            table,
        };
        out += &bars.html(ids);
    }
    if out.len() == empty {
        return String::new();
    }
    out + "</div>"
}

/// How the predictions depend on single columns.
pub(super) fn dependence(subject: &Subject, ids: &mut Ids) -> String {
    let Some(all) = subject.detailed.dependence.as_ref().filter(|all| !all.is_empty()) else {
        return String::new();
    };
    let of = match subject.positive() {
        Some(positive) => format!("probability of {positive}"),
        None if subject.has_classes() => "probability".into(),
        None => format!("predicted {}", subject.detailed.evaluation.target),
    };
    let mut out = String::from(
        "<p>The mean prediction if a column had one value in every row (partial dependence), and the predictions of single rows \
         (faint lines). Where columns depend on each other, some of these rows cannot occur.</p><div class=\"charts\">",
    );
    for dependence in all {
        out += &of_column(dependence, &of).html(ids);
    }
    out + "</div>"
}

fn of_column(dependence: &Dependence, of: &str) -> Plot {
    let is_line = !dependence.numbers.is_empty();
    let is_date = dependence.column_type == ColumnType::Date;
    let n = dependence.values.len();
    let x: Vec<f64> = match (is_line, is_date) {
        // In years, so that the ticks are round.
        (true, true) => dependence.numbers.iter().map(|seconds| 1970.0 + seconds / 31_556_952.0).collect(),
        (true, false) => dependence.numbers.clone(),
        _ => (0..n).map(|i| i as f64).collect(),
    };
    let name = |i: usize| match (is_date, dependence.numbers.get(i)) {
        (true, Some(&seconds)) => date::format(seconds),
        _ => label(&dependence.values[i]),
    };
    let many = dependence.lines.len() > Look::N_SERIES;
    let mut head = vec!["value".to_string(), "share of rows".into()];
    head.extend(dependence.lines.iter().map(|line| line.label.as_ref().map_or(of.to_string(), label)));
    let mut table = Table::new(format!("Mean prediction by {}", dependence.feature), &[]);
    table.head = head;
    for i in 0..n {
        let mut row = vec![name(i), dependence.shares.get(i).map_or(String::new(), |share| percent(*share))];
        row.extend(
            dependence.lines.iter().map(|line| line.mean.get(i).map_or(String::new(), |mean| short(*mean))),
        );
        table.rows.push(row);
    }
    let points =
        |values: &[f64]| -> Vec<(f64, f64)> { x.iter().copied().zip(values.iter().copied()).collect() };
    let mut marks = Vec::new();
    if is_line {
        // Those of several classes would be the lines of the first one alone.
        let rows = dependence.ice.iter().filter(|_| dependence.lines.len() == 1);
        for row in rows {
            marks.push(Mark::silent(Look::Faint, Shape::Line(points(row))));
        }
        // Where the rows are: a tick for each value, none where there is no row.
        for (i, line) in dependence.lines.iter().enumerate() {
            let name = line.label.as_ref().map_or(String::new(), label);
            let (name, look) =
                if many { ("each class".into(), Look::Faint) } else { (name, Look::Series(i)) };
            marks.push(Mark::new(name, look, Shape::Line(points(&line.mean))));
        }
    } else {
        for (i, line) in dependence.lines.iter().enumerate() {
            let of_line = line.label.as_ref().map_or(String::new(), label);
            let look = if many { Look::Faint } else { Look::Series(i) };
            let titles = points(&line.mean)
                .into_iter()
                .enumerate()
                .map(|(j, (x, y))| (x, y, format!("{}: {of_line} {}", name(j), short(y))));
            let shape = Shape::Dots(titles.collect());
            marks.push(Mark::new(if many { "each class".into() } else { of_line }, look, shape));
        }
    }
    let means = || dependence.lines.iter().flat_map(|line| line.mean.iter().copied());
    let y = match of.starts_with("probability") {
        true => Scale::unit(),
        false => Scale::of(means().chain(dependence.ice.iter().flatten().copied()), 5),
    };
    let scale = match is_line {
        true => Scale::of(x.iter().copied(), 5),
        false => Scale::named((0..n).map(|i| shortened(&name(i), 10)).collect()),
    };
    Plot {
        title: dependence.feature.clone(),
        description: String::new(),
        x: (
            if is_date { format!("{}, year", dependence.feature) } else { dependence.feature.clone() },
            scale,
        ),
        y: (of.to_string(), y),
        marks,
        table,
    }
}

/// How strongly columns go together, the target among them.
pub(super) fn associations(subject: &Subject, ids: &mut Ids) -> String {
    let Some(found) = subject.associations else { return String::new() };
    let n = found.columns.len();
    if n < 2 {
        return String::new();
    }
    let mut table = Table::new("The strongest associations", &["column", "and", "association"]);
    let mut pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    let of = |&(i, j): &(usize, usize)| found.values[i][j];
    pairs.retain(|pair| of(pair).is_finite());
    order::sort_by(&mut pairs, |a, b| of(b).abs().total_cmp(&of(a).abs()));
    table.rows = pairs
        .iter()
        .take(60)
        .map(|&(i, j)| vec![found.columns[j].clone(), found.columns[i].clone(), short(found.values[i][j])])
        .collect();
    let mut out = String::from("<div class=\"charts\">");
    if n <= MAX_ASSOCIATED {
        out += &grid(found, ids, table);
    } else {
        out += &table.html();
    }
    out + "</div>"
}

/// The columns against each other as a square of cells.
fn grid(found: &Associations, ids: &mut Ids, table: Table) -> String {
    let n = found.columns.len();
    let mut cells = Vec::new();
    for (i, row) in found.values.iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            if i != j && value.is_finite() {
                let title = format!("{} and {}: {}", found.columns[i], found.columns[j], short(value));
                let (x, y) = (j as f64, (n - 1 - i) as f64);
                cells.push(([x - 0.5, x + 0.5, y - 0.5, y + 0.5], value.abs(), title));
            }
        }
    }
    let names = |columns: Vec<String>| columns.iter().map(|name| shortened(name, 14)).collect();
    let reversed: Vec<String> = found.columns.iter().rev().cloned().collect();
    let left_out = match found.n_left_out {
        0 => String::new(),
        n => format!(" {n} more columns are left out."),
    };
    let mut out = String::new();
    let plot = Plot {
        title: "Associations between columns".into(),
        description: format!(
            "The stronger the colour, the more one column says about the other: Spearman’s rank correlation of two numbers, Cramér’s V of two \
             categories, the correlation ratio of one of each, on {} rows. Nothing here says which one causes the other.{left_out}",
            found.rows
        ),
        x: (
            String::new(),
            Scale::named(found.columns.iter().enumerate().map(|(i, _)| (i + 1).to_string()).collect()),
        ),
        y: (String::new(), Scale::named(names(numbered(reversed)))),
        marks: vec![Mark::silent(Look::Series(0), Shape::Cells(cells))],
        table,
    };
    push(&mut out, plot.html(ids));
    out
}

/// Names in reverse order, each with its number.
fn numbered(reversed: Vec<String>) -> Vec<String> {
    let n = reversed.len();
    reversed.into_iter().enumerate().map(|(i, name)| format!("{} {name}", n - i)).collect()
}
