//! Permutation importance: how much worse the model is on held-out rows when the values of a column are shuffled among
//! them (Breiman 2001; Fisher, Rudin and Dominici 2019).

use serde::Serialize;

use super::residuals::sample;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::metrics::log_loss_of;
use crate::model::Model;
use crate::order;
use crate::parallel;
use crate::random::{generator, seed_of_child, shuffle};

/// The importance of a column, in the metric of [`Importances`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The column.
    pub feature: String,
    /// Mean loss of the shuffles beyond that of the rows as they are.
    pub mean: f64,
    /// Its standard deviation over the shuffles.
    pub std: f64,
}

/// The importances of columns, largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Importances {
    /// What grows: `log_loss` or `rmse`.
    pub metric: &'static str,
    /// Shuffles of each column.
    pub repeats: usize,
    /// Rows that were shuffled; a sample if there are many.
    pub rows: usize,
    /// Columns that were not shuffled, as there are too many.
    pub n_left_out: usize,
    /// The columns.
    pub features: Vec<Importance>,
}

/// Shuffles of each column, as in `sklearn.inspection.permutation_importance`.
const REPEATS: usize = 5;

/// The most rows, and the most predictions of all shuffles: about a second of a large model.
const MAX_ROWS: usize = 4000;
const MAX_PREDICTIONS: usize = 80_000;
const MIN_ROWS: usize = 200;

/// The most columns that are shuffled: those that the model itself holds to be important.
const MAX_FEATURES: usize = 100;

/// Seed of the shuffles.
const SEED: u64 = 1;

/// The loss of scored rows: log loss, or root mean squared error.
fn loss(scores: &Matrix, truth: &Truth) -> f64 {
    let n = truth.len().max(1) as f64;
    match truth {
        Truth::Classes { codes, .. } => {
            codes.iter().zip(scores.rows()).map(|(&code, row)| log_loss_of(code, row)).sum::<f64>() / n
        }
        Truth::Values(values) => {
            let squares = values.iter().zip(scores.values()).map(|(t, p)| (t - p) * (t - p));
            (squares.sum::<f64>() / n).sqrt()
        }
    }
}

/// Some rows of codes.
pub(super) fn select_codes(codes: &Matrix, rows: &[usize]) -> Matrix {
    let mut found = Matrix::with_capacity(rows.len(), codes.n_cols());
    rows.iter().for_each(|&row| found.push_row(0.0).copy_from_slice(codes.row(row)));
    // Codes of texts are numbers of these.
    found.texts_mut().append(codes.texts());
    found
}

/// The importances of the columns of a model on rows of codes.
pub(super) fn importances(model: &Model, codes: &Matrix, truth: &Truth) -> Importances {
    let features = &model.pipeline.schema.features;
    let mut shuffled: Vec<usize> = (0..features.len()).collect();
    if features.len() > MAX_FEATURES {
        if let Some(own) = model.pipeline.importances() {
            order::sort_by(&mut shuffled, |&a, &b| own[b].total_cmp(&own[a]).then(a.cmp(&b)));
        }
        shuffled.truncate(MAX_FEATURES);
    }
    let affordable = MAX_PREDICTIONS / (REPEATS * shuffled.len()).max(1);
    let rows = sample(truth.len(), affordable.clamp(MIN_ROWS, MAX_ROWS));
    let (codes, truth) = (select_codes(codes, &rows), truth.select(&rows));
    let unshuffled = loss(&model.pipeline.scores(&codes), &truth);
    let mut found = parallel::map_indices(shuffled.len(), &|i| {
        let feature = shuffled[i];
        let mut changed = codes.clone();
        let losses: Vec<f64> = (0..REPEATS)
            .map(|repeat| {
                let mut random = generator(seed_of_child(SEED, feature * REPEATS + repeat));
                let mut values: Vec<f64> = codes.rows().map(|row| row[feature]).collect();
                shuffle(&mut values, &mut random);
                values.iter().enumerate().for_each(|(row, &value)| changed.row_mut(row)[feature] = value);
                loss(&model.pipeline.scores(&changed), &truth) - unshuffled
            })
            .collect();
        let mean = losses.iter().sum::<f64>() / REPEATS as f64;
        let variance = losses.iter().map(|loss| (loss - mean) * (loss - mean)).sum::<f64>() / REPEATS as f64;
        Importance { feature: features[feature].name.clone(), mean, std: variance.sqrt() }
    });
    order::sort_by(&mut found, |a, b| b.mean.total_cmp(&a.mean));
    Importances {
        metric: if matches!(truth, Truth::Classes { .. }) { "log_loss" } else { "rmse" },
        repeats: REPEATS,
        rows: rows.len(),
        n_left_out: features.len() - shuffled.len(),
        features: found,
    }
}
