//! `--expect`: the predictions of an imported model beside those that its trainer made of the same rows.

use anyhow::{Result, bail, ensure};

use super::schema::Sample;
use crate::data::cells::cell::{Cell, Task};
use crate::data::cells::number;
use crate::data::cells::target::Target;
use crate::error::usage;
use crate::model::pipeline::Predictions;
use crate::names::quote;

/// The largest difference that rounding explains, relative to 1 or the value, if the trainer adds up in double precision.
const TOLERANCE: f64 = 1e-6;

/// If it adds up in single precision.
const SINGLE_TOLERANCE: f64 = 1e-5;

/// What the comparison came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Rows that were compared.
    pub n_rows: usize,
    /// The largest difference of a probability or a number, relative to 1 or the value; none if labels were compared.
    pub largest: Option<f64>,
}

/// Compares predictions with a column of the sample: numbers, labels, or the probabilities of the second of two classes.
///
/// # Errors
/// No such column; a value that is no prediction; a row that differs by more than rounding, the worst one.
pub(super) fn check(
    sample: &Sample,
    column: &str,
    target: &Target,
    predictions: &Predictions,
    single_precision: bool,
) -> Result<Agreement> {
    let index = sample.column(column);
    let index = index.ok_or_else(|| usage(format!("--expect {column}: the sample has no such column")))?;
    let (raw, nulls) = (&sample.raw, sample.nulls.of(column));
    let tolerance = if single_precision { SINGLE_TOLERANCE } else { TOLERANCE };
    let number = |cell: &Cell| match cell {
        Cell::Number(value) => Some(*value),
        Cell::Text(text) => number::parse(text, raw.decimal_mark()),
        Cell::Missing | Cell::Boolean(_) => None,
    };
    let cells: Vec<(usize, Cell)> = raw.columns[index]
        .cells(nulls)
        .enumerate()
        .filter(|(_, cell)| !matches!(cell, Cell::Missing))
        .collect();
    ensure!(!cells.is_empty(), usage(format!("--expect {column}: the column has no values")));
    let label = |cell: &Cell| {
        let text = match cell {
            Cell::Text(text) => (*text).to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Missing | Cell::Boolean(_) => return None,
        };
        let found = target.labels.iter().position(|label| *label == text);
        found.or_else(|| {
            let value = number(cell).filter(|_| target.numeric_labels)?;
            target.labels.iter().position(|label| label.parse() == Ok(value))
        })
    };
    if target.task == Task::Classification {
        let classes: Option<Vec<usize>> = cells.iter().map(|(_, cell)| label(cell)).collect();
        if let Some(classes) = classes {
            return labels(sample, &cells, &classes, target, predictions, tolerance);
        }
        let is_share = |(_, cell): &(usize, Cell)| number(cell).is_some_and(|p| (0.0..=1.0).contains(&p));
        ensure!(
            target.labels.len() == 2 && cells.iter().all(is_share),
            usage(format!(
                "--expect {column}: its values are neither labels of the model ({}) nor{} probabilities",
                target.labels.iter().take(8).cloned().collect::<Vec<_>>().join(","),
                if target.labels.len() == 2 { "" } else { ", as it has more than two classes," }
            ))
        );
    }
    // Sums in single precision are as exact as their largest parts, whatever remains of them.
    let values = || cells.iter().filter_map(|(_, cell)| number(cell));
    let scale = match single_precision {
        true => (values().map(f64::abs).sum::<f64>() / cells.len() as f64).max(1.0),
        false => 1.0,
    };
    let mut worst = (0.0, 0, 0.0, 0.0);
    for (row, cell) in &cells {
        let Some(expected) = number(cell) else {
            bail!("{}, column {}: it is no number to compare with", raw.place(*row), quote(column))
        };
        let scores = predictions.scores.row(*row);
        let predicted = scores[scores.len() - 1];
        let difference = (predicted - expected).abs() / expected.abs().max(scale);
        // A difference that is no number is worse than any.
        if difference.is_nan() || difference > worst.0 {
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            worst = (difference, *row, predicted, expected);
        }
    }
    let (largest, row, predicted, expected) = worst;
    ensure!(
        largest <= tolerance,
        "{}: the model predicts {predicted} and the column {} has {expected}, the largest of {} differences (the limit is \
         {tolerance:e} relative to 1 or the value); are the columns in the order and of the types of training?",
        raw.place(row),
        quote(column),
        cells.len()
    );
    Ok(Agreement { n_rows: cells.len(), largest: Some(largest) })
}

/// Compares labels; where two classes are as probable as each other but for rounding, either will do.
fn labels(
    sample: &Sample,
    cells: &[(usize, Cell)],
    expected: &[usize],
    target: &Target,
    predictions: &Predictions,
    tolerance: f64,
) -> Result<Agreement> {
    let mut worst: Option<(f64, usize, usize, usize)> = None;
    let mut n_different = 0;
    for ((row, _), &expected) in cells.iter().zip(expected) {
        let predicted = predictions.classes[*row] as usize;
        let scores = predictions.scores.row(*row);
        let lead = scores[predicted] - scores[expected];
        if lead.is_nan() || lead > tolerance {
            n_different += 1;
            if worst.is_none_or(|(most, ..)| lead > most) {
                worst = Some((lead, *row, predicted, expected));
            }
        }
    }
    if let Some((_, row, predicted, expected)) = worst {
        bail!(
            "{}: the model predicts {:?} and the column has {:?}, as {n_different} of {} rows differ; are the columns and \
             labels in the order of training?",
            sample.raw.place(row),
            target.labels[predicted],
            target.labels[expected],
            cells.len()
        );
    }
    Ok(Agreement { n_rows: cells.len(), largest: None })
}
