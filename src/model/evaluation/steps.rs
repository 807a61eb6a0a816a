//! What the steps after the predictors do on the evaluated rows: probabilities before the calibration, and where prediction
//! intervals and sets hold the truth.

use serde::Serialize;
use serde_json::{Value, json};

use super::Metrics;
use super::curves::{CalibrationCurve, calibration_curves};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::model::Model;
use crate::model::statistics::wilson;
use crate::order;

/// Parts of the rows by predicted value.
const N_PARTS: usize = 10;

/// Levels that are compared.
const LEVELS: [f64; 5] = [0.5, 0.8, 0.9, 0.95, 0.99];

/// The probabilities before the calibration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeforeCalibration {
    /// Their log loss.
    pub log_loss: Option<f64>,
    /// Their calibration curves, of the classes that have curves.
    pub calibration: Vec<CalibrationCurve>,
}

impl BeforeCalibration {
    /// `None` for a model without a calibration.
    pub(super) fn of(model: &Model, positive: usize, codes: &Matrix, truth: &Truth) -> Option<Self> {
        model.pipeline.postprocessing.calibration.as_ref()?;
        let Truth::Classes { codes: classes, .. } = truth else { return None };
        let before = model.pipeline.predict_uncalibrated(codes);
        let log_loss = match Metrics::new(&before, truth, positive) {
            Metrics::Classification(metrics) => metrics.log_loss,
            Metrics::Regression(_) => None,
        };
        let target = &model.pipeline.schema.target;
        Some(Self { log_loss, calibration: calibration_curves(target, positive, &before.scores, classes) })
    }
}

/// Where prediction intervals or sets hold the truth, and how wide they would have to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageDetail {
    /// The rows in tenths by predicted value, or by true class.
    pub parts: Vec<CoveredPart>,
    /// The width or size that these very rows need, for some levels.
    pub levels: Vec<CoveredLevel>,
}

/// The coverage of a part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoveredPart {
    /// The least and the largest predicted value, or the class.
    pub part: Value,
    /// Its rows.
    pub rows: usize,
    /// The share whose interval or set holds the truth.
    pub share: f64,
    /// The 95 % Wilson interval of the share.
    pub interval: [f64; 2],
}

/// What a level needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoveredLevel {
    /// The share of the rows to hold.
    pub level: f64,
    /// The width of the interval; numbers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// The least probability of a class of the set; classes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The mean number of classes of a set then; classes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_size: Option<f64>,
}

impl CoverageDetail {
    /// `None` without rows, and for a model that has neither intervals nor sets.
    pub(super) fn of(model: &Model, scores: &Matrix, truth: &Truth) -> Option<Self> {
        let (steps, n) = (&model.pipeline.postprocessing, truth.len());
        if n == 0 {
            return None;
        }
        // The number of rows that a level has to hold, as an index.
        let index = |level: f64| ((level * n as f64).ceil() as usize).clamp(1, n) - 1;
        match (truth, steps.interval, steps.prediction_sets) {
            (Truth::Values(values), Some(interval), _) => {
                let predicted = scores.values();
                let mut order: Vec<usize> = (0..n).collect();
                order::sort_by(&mut order, |&a, &b| predicted[a].total_cmp(&predicted[b]));
                let holds = |row: usize| {
                    let [low, high] = interval.around(predicted[row]);
                    (low..=high).contains(&values[row])
                };
                let parts = (0..N_PARTS).filter_map(|i| {
                    let rows = &order[i * n / N_PARTS..(i + 1) * n / N_PARTS];
                    let (first, last) = (*rows.first()?, *rows.last()?);
                    let hits = rows.iter().filter(|row| holds(**row)).count();
                    CoveredPart::new(json!([predicted[first], predicted[last]]), hits, rows.len())
                });
                let mut errors: Vec<f64> = values.iter().zip(predicted).map(|(t, p)| (t - p).abs()).collect();
                errors.sort_unstable_by(f64::total_cmp);
                let of_level = |level| CoveredLevel {
                    level,
                    width: Some(2.0 * errors[index(level)]),
                    least: None,
                    mean_size: None,
                };
                Some(Self { parts: parts.collect(), levels: LEVELS.map(of_level).to_vec() })
            }
            (Truth::Classes { codes, .. }, _, Some(sets)) => {
                let target = &model.pipeline.schema.target;
                // A label that the model does not know has no probability.
                let of_truth: Vec<f64> = (scores.rows().zip(codes))
                    .map(|(row, &code)| row.get(code as usize).copied().unwrap_or(0.0))
                    .collect();
                let mut counts = vec![(0, 0); target.labels.len()];
                for (&code, &p) in codes.iter().zip(&of_truth) {
                    if let Some((hits, rows)) = counts.get_mut(code as usize) {
                        (*hits, *rows) = (*hits + usize::from(p >= sets.least), *rows + 1);
                    }
                }
                let parts = target.labels.iter().zip(counts);
                let parts = parts.filter_map(|(label, (hits, rows))| {
                    CoveredPart::new(target.json_label(label), hits, rows)
                });
                let mut ranked = of_truth.clone();
                ranked.sort_unstable_by(|a, b| b.total_cmp(a));
                let of_level = |level| {
                    let least = ranked[index(level)];
                    let size = scores.values().iter().filter(|p| **p >= least).count();
                    CoveredLevel {
                        level,
                        width: None,
                        least: Some(least),
                        mean_size: Some(size as f64 / n as f64),
                    }
                };
                Some(Self { parts: parts.collect(), levels: LEVELS.map(of_level).to_vec() })
            }
            _ => None,
        }
    }
}

impl CoveredPart {
    /// `None` without rows.
    fn new(part: Value, hits: usize, rows: usize) -> Option<Self> {
        let interval = wilson(hits as f64, rows as f64)?;
        Some(Self { part, rows, share: hits as f64 / rows as f64, interval })
    }
}
