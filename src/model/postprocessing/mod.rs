//! What happens to scores after the predictors: calibration of probabilities, a threshold, prediction intervals and
//! prediction sets. Part of a [`Pipeline`](super::pipeline::Pipeline), so every request path applies the same.
//!
//! [`super::learn`] fits it on predictions of rows that the fits had not seen. The numbers of the calibration are arrays
//! of the model file, the rest is in its header.

pub mod calibration;
pub mod coverage;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::predictor::Arrays;
use crate::data::cells::cell::Task;
use calibration::Calibration;

/// The steps after the predictors; empty for most models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Postprocessing {
    /// The calibration of the probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The threshold on the probability of the second of two classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Prediction intervals of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Prediction sets of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction_sets: Option<PredictionSets>,
}

/// The threshold that was best by some measure on rows that the fits had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Above it, or at it, the second class is predicted.
    pub threshold: f64,
    /// The measure: `f1`, `balanced_accuracy`, `mcc` or `cost`.
    pub by: String,
    /// What a row costs that is wrongly predicted to be of the second class and of the first; `cost` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// The measure at the threshold, on those rows.
    pub value: f64,
    /// The measure at a threshold of one half.
    pub value_at_half: f64,
    /// Those rows.
    pub n_rows: usize,
}

/// The costs of both kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Of a row of the first class that is predicted to be of the second.
    #[serde(rename = "fp")]
    pub false_positive: f64,
    /// Of a row of the second class that is predicted to be of the first.
    #[serde(rename = "fn")]
    pub false_negative: f64,
}

/// Prediction intervals of one width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The share of the true values that lie within.
    pub level: f64,
    /// What is subtracted from the prediction and added to it.
    pub half_width: f64,
    /// The rows whose residuals it is a quantile of.
    pub n_rows: usize,
}

impl Interval {
    /// Both ends around a prediction.
    pub fn around(&self, prediction: f64) -> [f64; 2] {
        [prediction - self.half_width, prediction + self.half_width]
    }
}

/// Prediction sets: all classes of a probability that is not too small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionSets {
    /// The share of the rows whose set holds their true class.
    pub level: f64,
    /// The smallest probability of a class of the set.
    pub least: f64,
    /// The rows it is a quantile of.
    pub n_rows: usize,
}

impl PredictionSets {
    /// The classes of the set for the probabilities of a row.
    pub fn classes<'a>(&'a self, probabilities: &'a [f64]) -> impl Iterator<Item = usize> + 'a {
        probabilities.iter().enumerate().filter(|(_, p)| **p >= self.least).map(|(class, _)| class)
    }
}

impl Postprocessing {
    /// Whether predictions are what the predictors say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the scores of rows, `n_outputs` each.
    pub(super) fn apply(&self, scores: &mut [f64], n_outputs: usize) {
        if let Some(calibration) = &self.calibration {
            scores.chunks_exact_mut(n_outputs).for_each(|row| calibration.apply(row));
        }
    }

    /// Writes the numbers of the calibration.
    pub(super) fn write_arrays(&self, arrays: &mut Arrays) {
        if let Some(calibration) = &self.calibration {
            calibration.write_arrays(arrays);
        }
    }

    /// Takes the numbers of the calibration out of the arrays.
    ///
    /// # Errors
    /// Arrays that are missing or of another type.
    pub(super) fn read_arrays(&mut self, arrays: &mut Arrays) -> Result<()> {
        self.calibration.as_mut().map_or(Ok(()), |calibration| calibration.read_arrays(arrays))
    }

    /// Checks what was read from a file.
    ///
    /// # Errors
    /// The first thing that does not fit the target.
    pub(super) fn validate(&self, task: Task, n_outputs: usize) -> Result<()> {
        let is_share = |level: f64| level > 0.0 && level < 1.0;
        let of_classes =
            self.calibration.is_some() || self.threshold.is_some() || self.prediction_sets.is_some();
        ensure!(!of_classes || task == Task::Classification, "numbers have no probabilities to act on");
        ensure!(self.interval.is_none() || task == Task::Regression, "classes have no prediction interval");
        if let Some(calibration) = &self.calibration {
            calibration.validate(n_outputs)?;
        }
        if let Some(found) = &self.threshold {
            ensure!(n_outputs == 2, "a threshold needs two classes");
            ensure!((0.0..=1.0).contains(&found.threshold), "the threshold is not a probability");
        }
        if let Some(Interval { level, half_width, .. }) = self.interval {
            ensure!(is_share(level), "the level of the prediction interval is not between 0 and 1");
            ensure!(half_width >= 0.0 && half_width.is_finite(), "the prediction interval has no width");
        }
        if let Some(PredictionSets { level, least, .. }) = self.prediction_sets {
            ensure!(is_share(level), "the level of the prediction sets is not between 0 and 1");
            ensure!((0.0..=1.0).contains(&least), "the least probability of a prediction set is none");
        }
        Ok(())
    }
}
