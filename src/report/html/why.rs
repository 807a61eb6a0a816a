//! Why the model predicts as it does: contributions of the columns, interactions, and the worst rows explained.

use super::super::charts::bars::{Bar, Bars};
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::Table;
use super::super::markup::{Ids, escaped, shortened};
use super::label;
use super::subject::Subject;
use crate::data::cells::cell::ColumnType;
use crate::model::evaluation::why::{Effect, Why};

/// Columns of the bars, of the swarm, and of plots of their own.
const MAX_BARS: usize = 20;
const MAX_SWARMED: usize = 8;
const MAX_PLOTTED: usize = 4;
/// Rows of the swarm and of a plot.
const MAX_DOTS: usize = 120;
/// Slots of the swarm's axis; dots of one slot stand beside each other.
const N_SLOTS: f64 = 48.0;
/// Seconds of a year.
const YEAR: f64 = 31_556_952.0;

/// The section.
pub(super) fn why(subject: &Subject, ids: &mut Ids) -> String {
    let Some(found) = &subject.detailed.explanation else { return String::new() };
    let what = match &found.label {
        Some(label) => format!("{} of {}", found.scale, super::label(label)),
        None if subject.has_classes() => format!("{} of the predicted class", found.scale),
        None => format!("{} of {}", found.scale, subject.detailed.evaluation.target),
    };
    let sampled = match found.standard_error {
        Some(error) => format!(" They are sampled, with a standard error of at most {}.", short(error)),
        None => String::new(),
    };
    let mut out = format!(
        "<p>What each column contributes to the {} of {} rows: its Shapley values, which add up to the score of a row.{sampled}</p>\
         <div class=\"charts\">",
        escaped(&what),
        found.n_rows
    );
    out += &sizes(found, &what).html(ids);
    if let Some(plot) = swarm(found, &what) {
        out += &plot.html(ids);
    }
    for effect in found.effects.iter().filter(|effect| !effect.points.is_empty()).take(MAX_PLOTTED) {
        out += &by_value(effect, &what).html(ids);
    }
    if !found.interactions.is_empty() {
        out += &interactions(found, &what).html(ids);
    }
    out += "</div>";
    if !found.worst.is_empty() {
        let mut table = Table::new(
            "The rows that the model gets most wrong, and why",
            &["place", "predicted", "reasons"],
        );
        table.rows = found
            .worst
            .iter()
            .map(|row| vec![row.place.clone(), label(&row.predicted), row.reasons.join("; ")])
            .collect();
        out += &table.html();
    }
    out
}

fn sizes(found: &Why, what: &str) -> Bars {
    let mut table = Table::new("Mean size of the contributions", &["column", "mean size"]);
    table.rows = found.effects.iter().map(|of| vec![of.feature.clone(), short(of.mean)]).collect();
    let bar = |of: &Effect| Bar { name: of.feature.clone(), value: of.mean, between: None };
    Bars {
        title: "Mean size of the contributions".into(),
        description: "How far a column moves the score of a row, in the mean and without its sign.".into(),
        unit: what.into(),
        bars: found.effects.iter().take(MAX_BARS).map(bar).collect(),
        table,
    }
}

fn interactions(found: &Why, what: &str) -> Bars {
    let name = |pair: &[String; 2]| pair.join(" × ");
    let mut table = Table::new("Mean size of the interactions", &["columns", "mean size"]);
    table.rows = found.interactions.iter().map(|(pair, mean)| vec![name(pair), short(*mean)]).collect();
    let bar = |(pair, mean): &([String; 2], f64)| Bar { name: name(pair), value: *mean, between: None };
    Bars {
        title: "Interactions".into(),
        description: format!(
            "How much two columns contribute together beyond what each contributes alone, over {} rows. {}",
            found.n_interaction_rows,
            found.interactions_of().unwrap_or_default()
        ),
        unit: what.into(),
        bars: found.interactions.iter().map(bar).collect(),
        table,
    }
}

/// The share of the rows with a smaller value; `None` for a missing value and for levels.
fn ranks(effect: &Effect) -> Vec<Option<f64>> {
    let mut sorted: Vec<f64> = effect.numbers.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len().max(1) as f64;
    let rank = |at: usize| {
        let value = effect.numbers.get(at).copied().filter(|value| !value.is_nan())?;
        Some(sorted.partition_point(|other| *other < value) as f64 / n)
    };
    (0..effect.points.len()).map(rank).collect()
}

/// One dot a row and column: its contribution to the right or to the left, its value by the look.
fn swarm(found: &Why, what: &str) -> Option<Plot> {
    let columns: Vec<&Effect> =
        found.effects.iter().filter(|effect| !effect.points.is_empty()).take(MAX_SWARMED).collect();
    if columns.is_empty() {
        return None;
    }
    let n = columns.len();
    let scale = Scale::from_zero(
        columns.iter().flat_map(|effect| effect.points.iter().take(MAX_DOTS).map(|point| point.1)),
        5,
    );
    let looks = [
        ("low values", Look::Series(0)),
        ("middle values", Look::Series(2)),
        ("high values", Look::Series(1)),
        ("levels and missing values", Look::Faint),
    ];
    let mut dots: [Vec<(f64, f64, String)>; 4] = Default::default();
    for (i, effect) in columns.iter().enumerate() {
        let mut in_slot = std::collections::BTreeMap::new();
        for ((value, contribution), rank) in effect.points.iter().zip(ranks(effect)).take(MAX_DOTS) {
            let slot = (scale.position(*contribution) * N_SLOTS) as usize;
            let n_before = in_slot.entry(slot).or_insert(0_u32);
            // 0, 1, −1, 2, −2, … steps from the middle, within the row of the column.
            let step = f64::from((*n_before).div_ceil(2)) * if *n_before % 2 == 1 { 1.0 } else { -1.0 };
            *n_before += 1;
            let y = (n - 1 - i) as f64 + (step * 0.06).clamp(-0.42, 0.42);
            let kind = rank.map_or(3, |rank| ((rank * 3.0) as usize).min(2));
            let title = format!("{} {}: {}", effect.feature, label(value), short(*contribution));
            dots[kind].push((*contribution, y, shortened(&title, 80)));
        }
    }
    let mut table = Table::new("Mean size of the contributions", &["column", "mean size"]);
    table.rows = columns.iter().map(|of| vec![of.feature.clone(), short(of.mean)]).collect();
    let names = columns.iter().rev().map(|effect| shortened(&effect.feature, 18)).collect();
    let marks = looks.into_iter().zip(dots).filter(|(_, dots)| !dots.is_empty());
    Some(Plot {
        title: "Contributions of single rows".into(),
        description:
            "A dot is a row: right of 0 its value of the column raises the score, left of 0 it lowers it."
                .into(),
        x: (what.into(), scale),
        y: (String::new(), Scale::named(names)),
        marks: marks.map(|((name, look), dots)| Mark::new(name, look, Shape::Dots(dots))).collect(),
        table,
    })
}

/// The contributions of a column against its values.
fn by_value(effect: &Effect, what: &str) -> Plot {
    let is_number = !effect.numbers.is_empty();
    let is_date = effect.column_type == ColumnType::Date;
    let mut levels: Vec<String> = Vec::new();
    let mut dots: Vec<(f64, f64, String)> = Vec::new();
    let mut table = Table::new(format!("Contribution by {}", effect.feature), &["value", "contribution"]);
    for (row, (value, contribution)) in effect.points.iter().take(MAX_DOTS).enumerate() {
        let shown = if value.is_null() { "missing".to_string() } else { label(value) };
        let x = match effect.numbers.get(row) {
            Some(seconds) if is_date => 1970.0 + seconds / YEAR,
            Some(number) => *number,
            None => {
                let known = levels.iter().position(|level| *level == shown);
                known.unwrap_or_else(|| {
                    levels.push(shown.clone());
                    levels.len() - 1
                }) as f64
            }
        };
        table.rows.push(vec![shown.clone(), short(*contribution)]);
        if x.is_finite() {
            dots.push((x, *contribution, shortened(&format!("{shown}: {}", short(*contribution)), 60)));
        }
    }
    let scale = match is_number {
        true => Scale::of(dots.iter().map(|dot| dot.0), 5),
        false => Scale::named(levels.iter().map(|level| shortened(level, 10)).collect()),
    };
    let y = Scale::from_zero(dots.iter().map(|dot| dot.1), 5);
    let unit = if is_date { format!("{}, year", effect.feature) } else { effect.feature.clone() };
    Plot {
        title: format!("Contribution of {}", effect.feature),
        description: String::new(),
        x: (unit, scale),
        y: (what.to_string(), y),
        marks: vec![Mark::silent(Look::Series(0), Shape::Dots(dots))],
        table,
    }
}
