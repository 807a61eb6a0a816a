//! Values of flags that are one of a few words.

use clap::ValueEnum;

use crate::data::cells::cell::Task;
use crate::model::explain::{Against, Scale};
use crate::model::learn::postprocessing::Calibrate;
use crate::model::postprocessing::calibration::Method;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Format of the result of `train`, `eval` and `inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object.
    Json,
}

/// Format of the result of `predict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Text for one row; for a file, the format of the input.
    Text,
    /// One JSON object, the response of the HTTP API.
    Json,
    /// One JSON object per row and line.
    Ndjson,
    /// An Arrow IPC stream, for a file of rows that is one as well.
    Arrow,
}

/// Format of the rows to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Detected: CSV, TSV or NDJSON, and what else this build reads.
    Auto,
    /// An Arrow IPC stream or file.
    Arrow,
}

/// Task to train for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// Inferred from the values of the target.
    Auto,
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
}

impl TaskChoice {
    /// The task, unless it is to be inferred.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Auto => None,
            Self::Classification => Some(Task::Classification),
            Self::Regression => Some(Task::Regression),
        }
    }
}

/// Calibration of probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CalibrateChoice {
    /// The kind with the least log loss, if it gains more than chance.
    Auto,
    /// A sigmoid of the log-odds.
    Sigmoid,
    /// A rising curve.
    Isotonic,
    /// One factor for all log-probabilities.
    Temperature,
    /// None.
    None,
}

impl CalibrateChoice {
    /// The wish.
    pub fn wish(self) -> Calibrate {
        match self {
            Self::Auto => Calibrate::Auto,
            Self::Sigmoid => Calibrate::As(Method::Sigmoid),
            Self::Isotonic => Calibrate::As(Method::Isotonic),
            Self::Temperature => Calibrate::As(Method::Temperature),
            Self::None => Calibrate::Never,
        }
    }
}

/// What a threshold is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum OptimizeChoice {
    /// The F1 score of the second class.
    F1,
    /// The mean of both recalls.
    BalancedAccuracy,
    /// Matthews' correlation coefficient.
    Mcc,
    /// The mean cost of a row.
    Cost,
}

/// Scale of contributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainScale {
    /// The model's own sum, such as log-odds.
    Score,
    /// The probability of a class, or the value.
    Probability,
}

impl From<ExplainScale> for Scale {
    fn from(scale: ExplainScale) -> Self {
        match scale {
            ExplainScale::Score => Self::Score,
            ExplainScale::Probability => Self::Prediction,
        }
    }
}

/// What contributions compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainReference {
    /// In trees, the training rows that went each way; else the mean of training.
    Path,
    /// The background rows of the model file.
    Background,
}

impl From<ExplainReference> for Against {
    fn from(reference: ExplainReference) -> Self {
        match reference {
            ExplainReference::Path => Self::Path,
            ExplainReference::Background => Self::Background,
        }
    }
}
