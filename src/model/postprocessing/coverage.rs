//! How often prediction intervals and prediction sets hold the true value, and how large they are.

use serde::{Deserialize, Serialize};

use super::Postprocessing;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;

/// The coverage of some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The share that was asked for at training.
    pub level: f64,
    /// The share of the rows whose interval or set holds the true value.
    pub share: Option<f64>,
    /// The width of the intervals; numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// The mean number of classes of a set; classes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_size: Option<f64>,
    /// Rows whose set is empty; classes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_empty: Option<usize>,
}

impl Coverage {
    /// The coverage of rows by the intervals or sets of their predictions; `None` if the model gives none.
    pub(in crate::model) fn of(steps: &Postprocessing, scores: &Matrix, truth: &Truth) -> Option<Self> {
        let n_rows = truth.len();
        let share = |n_hits: usize| (n_rows > 0).then(|| n_hits as f64 / n_rows as f64);
        match (truth, &steps.interval, &steps.prediction_sets) {
            (Truth::Values(values), Some(interval), _) => {
                let holds = |(value, row): (&f64, &[f64])| {
                    let [low, high] = interval.around(row[0]);
                    (low..=high).contains(value)
                };
                let n_hits = values.iter().zip(scores.rows()).filter(|pair| holds(*pair)).count();
                let width = Some(2.0 * interval.half_width);
                Some(Self {
                    level: interval.level,
                    share: share(n_hits),
                    width,
                    mean_size: None,
                    n_empty: None,
                })
            }
            (Truth::Classes { codes, .. }, _, Some(sets)) => {
                let (mut n_hits, mut n_classes, mut n_empty) = (0, 0, 0);
                for (&code, row) in codes.iter().zip(scores.rows()) {
                    let size = sets.classes(row).count();
                    n_classes += size;
                    n_empty += usize::from(size == 0);
                    n_hits += usize::from(sets.classes(row).any(|class| class == code as usize));
                }
                Some(Self {
                    level: sets.level,
                    share: share(n_hits),
                    width: None,
                    mean_size: share(n_classes),
                    n_empty: Some(n_empty),
                })
            }
            _ => None,
        }
    }

    /// The coverage of `n` rows and of others, which are `n_others`, by the same intervals or sets.
    pub(in crate::model) fn with(self, n: usize, others: &Self, n_others: usize) -> Self {
        let mean = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some((a * n as f64 + b * n_others as f64) / (n + n_others) as f64),
            (a, b) => a.or(b),
        };
        Self {
            share: mean(self.share, others.share),
            mean_size: mean(self.mean_size, others.mean_size),
            n_empty: self.n_empty.map(|n| n + others.n_empty.unwrap_or(0)),
            ..self
        }
    }
}
