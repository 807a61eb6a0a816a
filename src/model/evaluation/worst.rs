//! The rows that the model gets most wrong, and rows whose label may be wrong.

use serde::Serialize;

use crate::data::cells::cell::Cell;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::{Target, Truth};
use crate::metrics::log_loss_of;
use crate::model::hold_out::TestRows;
use crate::model::pipeline::Predictions;
use crate::order;
use crate::plain;

/// A row with its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstRow {
    /// Where it stands: file and line.
    pub place: String,
    /// Its true label or value.
    pub truth: serde_json::Value,
    /// The predicted label or value.
    pub predicted: serde_json::Value,
    /// The probability of the true class; classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability_of_truth: Option<f64>,
    /// The probability of the predicted class; classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability_of_predicted: Option<f64>,
    /// Its loss: the negative logarithm of the probability of the true class, or the absolute error.
    pub loss: f64,
    /// The cells of the columns that the model uses, as they are written; those of private columns are left out.
    pub values: Vec<(String, String)>,
}

/// Rows that stand out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WorstRows {
    /// The rows of the largest loss, largest first.
    pub rows: Vec<WorstRow>,
    /// Rows whose label may be wrong, the surest first: the model is surer of another label than it mostly is of rows
    /// that have that one (confident learning: Northcutt, Jiang and Chuang 2021). Classification only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label_hints: Vec<WorstRow>,
    /// All rows whose label may be wrong, those beyond the list included.
    pub n_label_hints: usize,
}

/// Rows of each list.
const MAX_ROWS: usize = 20;

/// Cells of a row that are shown.
const MAX_VALUES: usize = 50;

/// The loss of each row: log loss, or absolute error.
pub(super) fn losses(predictions: &Predictions, truth: &Truth) -> Vec<f64> {
    match truth {
        Truth::Classes { codes, .. } => {
            codes.iter().zip(predictions.scores.rows()).map(|(&code, row)| log_loss_of(code, row)).collect()
        }
        Truth::Values(values) => {
            values.iter().zip(predictions.scores.values()).map(|(t, p)| (t - p).abs()).collect()
        }
    }
}

/// The rows by their loss, the largest first.
pub(super) fn by_loss(predictions: &Predictions, truth: &Truth) -> Vec<usize> {
    let losses = losses(predictions, truth);
    let mut order: Vec<usize> = (0..losses.len()).collect();
    // Losses that are no numbers come first: they are the worst.
    order::sort_by(&mut order, |&a, &b| losses[b].total_cmp(&losses[a]));
    order
}

/// The rows of the largest loss, and those whose label may be wrong. Of the cells of a file that no model reads
/// (`schema` is absent) all are shown.
pub(super) fn worst(
    rows: &TestRows,
    target: &Target,
    schema: Option<&Schema>,
    predictions: &Predictions,
) -> WorstRows {
    let losses = losses(predictions, &rows.truth);
    let order = by_loss(predictions, &rows.truth);
    let columns: Vec<usize> = (0..rows.raw.names.len())
        .filter(|&index| {
            let name = &rows.raw.names[index];
            let feature =
                schema.and_then(|schema| Some(&schema.features[schema.feature_index(name, index)?]));
            !plain::same(name, &target.name)
                && (schema.is_none() || feature.is_some_and(|feature| !feature.private))
        })
        .take(MAX_VALUES)
        .collect();
    let plain_nulls = Default::default();
    let nulls = schema.map_or(&plain_nulls, |schema| &schema.null_tokens);
    let cell = |row: usize, index: usize| {
        let name = &rows.raw.names[index];
        let text = match rows.raw.columns[index].cell(rows.rows[row], nulls.of(name)) {
            Cell::Missing => String::new(),
            Cell::Number(value) => value.to_string(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Text(text) => text.to_string(),
        };
        (name.clone(), text)
    };
    let shown = |&row: &usize| {
        let scores = predictions.scores.row(row);
        let (truth, predicted, of_truth, of_predicted) = match &rows.truth {
            Truth::Classes { codes, labels } => {
                let (code, class) = (codes[row] as usize, predictions.classes[row] as usize);
                let label = |class: usize| target.json_label(&labels[class]);
                let of_truth = scores.get(code).copied().unwrap_or(0.0);
                (label(code), label(class), Some(of_truth), scores.get(class).copied())
            }
            Truth::Values(values) => (values[row].into(), scores[0].into(), None, None),
        };
        WorstRow {
            place: rows.raw.place(rows.rows[row]),
            truth,
            predicted,
            probability_of_truth: of_truth,
            probability_of_predicted: of_predicted,
            loss: losses[row],
            values: columns.iter().map(|&index| cell(row, index)).collect(),
        }
    };
    let hints = label_hints(predictions, &rows.truth);
    WorstRows {
        rows: order.iter().take(MAX_ROWS).map(shown).collect(),
        label_hints: hints.iter().take(MAX_ROWS).map(shown).collect(),
        n_label_hints: hints.len(),
    }
}

/// The rows whose label may be wrong, by how much the most probable class exceeds that of the label.
fn label_hints(predictions: &Predictions, truth: &Truth) -> Vec<usize> {
    let Truth::Classes { codes, .. } = truth else { return Vec::new() };
    let scores = &predictions.scores;
    let n_classes = scores.n_cols();
    let (mut sums, mut counts) = (vec![0.0; n_classes], vec![0.0; n_classes]);
    for (row, &code) in scores.rows().zip(codes) {
        if let Some(p) = row.get(code as usize) {
            sums[code as usize] += p;
            counts[code as usize] += 1.0;
        }
    }
    // The probability that rows of a class have of it in the mean.
    let usual: Vec<f64> =
        sums.iter().zip(&counts).map(|(sum, n)| if *n > 0.0 { sum / n } else { f64::INFINITY }).collect();
    let mut found: Vec<(usize, f64)> = Vec::new();
    for (row, (scores, &code)) in scores.rows().zip(codes).enumerate() {
        let sure = (0..n_classes).filter(|&class| scores[class] >= usual[class]);
        let likely = sure.max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        if let Some(class) = likely.filter(|&class| class != code as usize) {
            let own = scores.get(code as usize).copied().unwrap_or(0.0);
            if scores[class] > own {
                found.push((row, scores[class] - own));
            }
        }
    }
    order::sort_by(&mut found, |a, b| b.1.total_cmp(&a.1));
    found.into_iter().map(|(row, _)| row).collect()
}
