//! The model that all verbs share: a card and a pipeline, immutable and `Send + Sync`.
//!
//! [`pipeline`] is schema + recipe + predictor, [`predictor`] holds the inference forms ([`trees`],
//! [`neighbours`], [`net`], [`vectors`] and [`bayes`] among them), [`file`](mod@file) the model file,
//! [`evaluation`] the comparison of predictions with the truth, [`selection`] the record of how a model was
//! chosen, [`learn`] the fitting. Nothing in here but `learn` itself uses `learn`: predicting and serving need none of
//! it.

pub mod evaluation;
pub mod file;
pub mod learn;
pub mod pipeline;
pub mod predictor;
pub mod selection;

use serde::{Deserialize, Serialize};

use crate::data::cells::schema::Task;
use crate::data::cells::table::ReadFile;
use crate::data::read::csv::Options;
use crate::data::read::encoding::named;
use crate::data::split::arrangement::SplitBy;
use evaluation::{Baseline, Evaluation};
use pipeline::Pipeline;
use selection::Selection;

/// What was trained, on what, how, and how well. No time stamps: the same data, flags and seed give the
/// same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card {
    /// Name of the algorithm.
    pub algorithm: String,
    /// Its hyperparameters, defaults included.
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
    /// How the two were chosen, unless they were given.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub selection: Selection,
    /// Where the training rows came from.
    pub data: DataSource,
    /// Where the others came from, if from several files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_data: Vec<DataSource>,
    /// What was said of how the files are written.
    #[serde(default, skip_serializing_if = "Written::is_empty")]
    pub written: Written,
    /// Where the held-out rows came from, if not from the same file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<DataSource>,
    /// Share of the rows that was held out, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_size: Option<f64>,
    /// The column by which they were held out, if not by chance alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_by: Option<SplitBy>,
    /// What the random choices started from.
    pub seed: u64,
    /// Rows the model was fitted on.
    pub n_train: usize,
    /// Rows that were left out because their target was missing.
    pub n_without_target: usize,
    /// Rows with the same cells as a row before them, the target included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_repeated: usize,
    /// Held-out rows with the same cells as a row among those that were fitted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_held_out_seen: usize,
    /// Whether the model was fitted again on all rows after the evaluation.
    pub refit: bool,
    /// The column of row weights, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Whether the classes were given equal weight.
    pub balance: bool,
    /// What a model that ignores the features would say.
    pub baseline: Baseline,
    /// How well the model did on the held-out rows.
    pub evaluation: Evaluation,
    /// What was noticed and decided during training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A file that was read for training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// Its path as it was given.
    pub path: String,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

impl DataSource {
    /// That of a file that was read.
    pub fn of(file: &ReadFile) -> Self {
        Self { path: file.path.clone(), sha256: file.sha256.clone() }
    }
}

/// How files are written, as far as the user said it; the rest is found in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Name of the encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The character around fields, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

impl Written {
    /// What these options say.
    pub fn of(options: &Options) -> Self {
        let quote = |quote: Option<u8>| quote.map_or("none".into(), |byte| char::from(byte).to_string());
        Self {
            encoding: options.encoding.map(|encoding| encoding.name().into()),
            quote: options.quote.map(quote),
        }
    }

    /// Puts it where the options say nothing.
    pub fn complete(&self, options: &mut Options) {
        let encoding = || self.encoding.as_deref().and_then(|name| named(name).ok());
        let quote = |text: &String| text.bytes().next().filter(|_| text != "none");
        options.encoding = options.encoding.or_else(encoding);
        options.quote = options.quote.or_else(|| self.quote.as_ref().map(quote));
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A trained model.
#[derive(Debug)]
pub struct Model {
    /// What was trained and how well.
    pub card: Card,
    /// What predicts.
    pub pipeline: Pipeline,
}

impl Model {
    /// What is predicted.
    pub fn task(&self) -> Task {
        self.pipeline.schema.target.task
    }

    /// The class labels; empty for regression.
    pub fn labels(&self) -> &[String] {
        &self.pipeline.schema.target.labels
    }
}
