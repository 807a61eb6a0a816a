//! Partial dependence and individual conditional expectation: what the model predicts if a column had another value in
//! every row (Friedman 2001; Goldstein, Kapelner, Bleich and Pitkin 2015).

use serde::Serialize;

use super::columns::ValueColumn;
use super::importance::select_codes;
use super::residuals::sample;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::matrix::Matrix;
use crate::model::Model;
use crate::order;
use crate::parallel;

/// How the predictions depend on one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependence {
    /// The column.
    pub feature: String,
    /// Its type: numbers and dates are drawn as lines, others as dots.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The values that the column is set to: quantiles of its numbers, or levels, the most frequent first.
    pub values: Vec<serde_json::Value>,
    /// `values` as numbers (dates in seconds since 1970); empty for levels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<f64>,
    /// Share of the rows near each value: those for which it is the nearest one.
    pub shares: Vec<f64>,
    /// The mean predictions: one line of the positive class of two or of the number, else one per class.
    pub lines: Vec<DependenceLine>,
    /// The predictions of single rows, those of the first line: `n_rows × n_values`.
    pub ice: Vec<Vec<f64>>,
}

/// The mean prediction at each value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DependenceLine {
    /// The class; none for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<serde_json::Value>,
    /// Mean probability or predicted number at each value.
    pub mean: Vec<f64>,
}

/// Columns that are looked at, the most important first.
pub const MAX_FEATURES: usize = 8;

/// Values that a column is set to.
const MAX_VALUES: usize = 20;

/// Rows whose predictions are averaged, and rows that have a line of their own.
const MAX_ROWS: usize = 250;
const ICE_ROWS: usize = 50;

/// Classes that have lines.
const MAX_CLASSES: usize = 10;

/// The dependence on the columns of these names; texts and private columns are passed over. Of two classes it is about
/// the class `positive`.
pub(super) fn dependence(model: &Model, codes: &Matrix, positive: usize, names: &[&str]) -> Vec<Dependence> {
    let schema = &model.pipeline.schema;
    let rows = sample(codes.n_rows(), MAX_ROWS);
    let codes = select_codes(codes, &rows);
    let usable = |name: &&str| {
        let index = schema.features.iter().position(|feature| feature.name == *name)?;
        let feature = &schema.features[index];
        (feature.column_type != ColumnType::Text && !feature.private).then_some(index)
    };
    let chosen: Vec<usize> = names.iter().filter_map(usable).take(MAX_FEATURES).collect();
    parallel::map_indices(chosen.len(), &|i| of_feature(model, &codes, positive, chosen[i]))
        .into_iter()
        .flatten()
        .collect()
}

/// `None` if the column has no value in any row.
fn of_feature(model: &Model, codes: &Matrix, positive: usize, index: usize) -> Option<Dependence> {
    let schema = &model.pipeline.schema;
    let feature = &schema.features[index];
    let own: Vec<f64> = codes.rows().map(|row| row[index]).filter(|code| !code.is_nan()).collect();
    let is_number = matches!(feature.column_type, ColumnType::Number | ColumnType::Date);
    let grid = if is_number { quantiles(&own) } else { levels(&own) };
    if grid.is_empty() {
        return None;
    }
    let mut shares = vec![0.0; grid.len()];
    for code in &own {
        let distance = |at: &usize| (grid[*at] - code).abs();
        let nearest = (0..grid.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.into_iter().for_each(|at| shares[at] += 1.0 / codes.n_rows() as f64);
    }
    let target = &schema.target;
    let classes: Vec<usize> = match target.labels.len() {
        0 => vec![0],
        2 => vec![positive],
        n => (0..n.min(MAX_CLASSES)).collect(),
    };
    let mut lines: Vec<DependenceLine> = classes
        .iter()
        .map(|&class| DependenceLine {
            label: target.labels.get(class).map(|label| target.json_label(label)),
            mean: Vec::with_capacity(grid.len()),
        })
        .collect();
    let shown = sample(codes.n_rows(), ICE_ROWS);
    let mut ice = vec![Vec::with_capacity(grid.len()); shown.len()];
    let mut changed = codes.clone();
    let mut values = Vec::with_capacity(grid.len());
    for &code in &grid {
        (0..changed.n_rows()).for_each(|row| changed.row_mut(row)[index] = code);
        values.push(schema.values_of(&changed, 0).swap_remove(index));
        let scores = model.pipeline.scores(&changed);
        for (line, &class) in lines.iter_mut().zip(&classes) {
            line.mean.push(scores.rows().map(|row| row[class]).sum::<f64>() / scores.n_rows() as f64);
        }
        ice.iter_mut().zip(&shown).for_each(|(line, &row)| line.push(scores.row(row)[classes[0]]));
    }
    Some(Dependence {
        feature: feature.name.clone(),
        column_type: feature.column_type,
        numbers: if is_number { grid } else { Vec::new() },
        values,
        shares,
        lines,
        ice,
    })
}

/// Values that occur, from the smallest to the largest, of about equally many rows each.
fn quantiles(own: &[f64]) -> Vec<f64> {
    let mut sorted = own.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let mut grid = vec![first];
    grid.extend(ValueColumn::bounds(own, MAX_VALUES - 1));
    grid.push(last);
    grid.dedup();
    grid
}

/// The levels that occur, the most frequent first.
fn levels(own: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = own.iter().copied().filter(|code| *code >= 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut counted: Vec<(usize, f64)> =
        sorted.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    order::sort_by(&mut counted, |a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    counted.into_iter().take(MAX_VALUES).map(|(_, code)| code).collect()
}
