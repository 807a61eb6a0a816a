//! The model that all verbs share: a card and a pipeline, immutable and `Send + Sync`.
//!
//! [`pipeline`] is schema + recipes + predictors, [`predictor`] holds the inference forms, [`file`](mod@file) is the
//! model file, `container` its bytes and `scalar` the values of its card, [`row`] predicts rows of Rust values,
//! [`postprocessing`] calibrates them, [`explain`] says why from a [`reference`](mod@reference), [`evaluation`] compares
//! predictions with the truth on the rows of [`hold_out`] or another file, [`requirement`] is the gate of
//! `eval --require`, [`drift`](mod@drift) compares new rows with those of training, `statistics` has the distributions
//! of their tests and intervals,
//! [`selection`] the record of how a model was chosen, [`learn`] the fitting, [`trained`]
//! its outcome. Only `learn` uses `learn`: predicting and serving need none of it.

pub(crate) mod bundle;
mod container;
pub(crate) mod decision_tree;
pub mod difference;
pub mod drift;
pub mod evaluation;
pub mod explain;
pub mod file;
pub mod hold_out;
pub mod learn;
pub mod pipeline;
pub mod postprocessing;
pub mod predictor;
pub mod reference;
pub mod requirement;
pub mod row;
mod scalar;
pub mod selection;
pub(crate) mod statistics;
pub(crate) mod target_transform;
pub mod trained;
pub mod unknown_labels;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::cells::cell::Task;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::raw_table::ReadFile;
use crate::data::read::source::Options;
use crate::data::split::arrangement::SplitBy;
use crate::error::Error;
use crate::order;
use evaluation::thresholds::ThresholdCounts;
use evaluation::{Baseline, Evaluation, Positive};
use hold_out::TestRows;
use pipeline::Pipeline;
use reference::Reference;
use row::Prediction;
use selection::Selection;

/// The record of a training: data, settings, seed, results. No time stamps: the same data, flags and seed give the
/// same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card {
    /// Name of the algorithm.
    pub algorithm: String,
    /// Its hyperparameters, defaults included.
    #[serde(deserialize_with = "scalar::settings")]
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
    /// The models that an ensemble is made of, in the order of the members of the pipeline; empty for a single model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<CardMember>,
    /// How the two were chosen, unless they were given.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub selection: Selection,
    /// The file of the training rows; the first one of several.
    pub data: DataSource,
    /// The other files of the training rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_data: Vec<DataSource>,
    /// The notation of the files, as far as the user gave it.
    #[serde(default, skip_serializing_if = "Written::is_empty")]
    pub written: Written,
    /// The file of the held-out rows, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<DataSource>,
    /// The share of the rows that was held out, unless they are another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_size: Option<f64>,
    /// The sample of the file that was used instead of all its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleOf>,
    /// The column by which they were held out; chance alone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_by: Option<SplitBy>,
    /// Seed of all random choices.
    pub seed: u64,
    /// Rows the model was fitted on.
    pub n_train: usize,
    /// Rows that were skipped because their target is missing.
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
    /// The prediction of a model that ignores the features.
    pub baseline: Baseline,
    /// The evaluation on the held-out rows.
    pub evaluation: Evaluation,
    /// Where the model came from, if another program trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What each threshold on the probability of the second of two classes comes to on the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<ThresholdCounts>,
    /// Remarks of the training for the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Settings that none of the above shows.
    #[serde(default, skip_serializing_if = "Asked::is_empty")]
    pub asked: Asked,
}

/// Settings of a training that its outcome does not show; `train --like` repeats them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The algorithm that was asked for, if it is another one than that of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Hyperparameters that stayed fixed in a comparison or a search, as `KEY=VALUE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// The metric, if no comparison names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Whether one algorithm was asked for instead of a blend.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_ensemble: bool,
    /// Most time of an answer in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency: Option<f64>,
    /// Most time of a comparison or a search in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_time: Option<f64>,
    /// Folds of a cross-validation, if its scores do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cv: Option<usize>,
    /// Trials of a search, if its rounds do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<usize>,
    /// The calibration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrate: Option<String>,
    /// Training rows to explain predictions against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<usize>,
}

impl Asked {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The size of a sample of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleOf {
    /// Rows of the file.
    pub n_rows: usize,
    /// Rows of the sample.
    pub n_sampled: usize,
    /// Other rows that were fitted instead of the sample, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_fitted: Option<usize>,
}

/// One of the models that an ensemble is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardMember {
    /// Name of the algorithm.
    pub algorithm: String,
    /// Its part in the predictions; those of all members add up to 1.
    pub weight: f64,
    /// The scale that the target was learned on, unless it is the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The columns that it learned from, unless all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// Its hyperparameters, defaults included.
    #[serde(deserialize_with = "scalar::settings")]
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
}

/// The model file of another program that a model was imported from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Its format, as `mlapi import --format` names it.
    pub format: String,
    /// The program that trained the model.
    pub producer: String,
    /// Its version, if the file tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Name of the file, without its folder.
    pub file: String,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        write!(f, "{} of {}{version}", self.file, self.producer)
    }
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
    /// The source of the rows of a file that was read.
    pub fn of(file: &ReadFile) -> Self {
        Self { path: file.path.clone(), sha256: file.sha256.clone() }
    }
}

/// The notation of files as far as the user gave it; the rest is found in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The character between fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Name of the encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The character around fields, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// Whether numbers have a decimal comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_comma: Option<bool>,
    /// Lines before the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines_to_skip: Option<u64>,
    /// Further lines that are no part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines_left_out: Vec<u64>,
    /// The character that comments begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// The sheet of a workbook, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
}

impl Written {
    /// The notation that options give.
    pub fn of(options: &Options) -> Self {
        let quote = |quote: Option<u8>| quote.map_or("none".into(), |byte| char::from(byte).to_string());
        Self {
            delimiter: options.delimiter.map(char::from),
            encoding: options.encoding.map(|encoding| encoding.name().into()),
            quote: options.quote.map(quote),
            decimal_comma: options.decimal_comma,
            lines_to_skip: options.lines_to_skip,
            lines_left_out: options.lines_left_out.clone(),
            comment: options.comment.map(char::from),
            sheet: options.sheet.clone(),
        }
    }

    /// Completes options that leave something to be found.
    pub fn complete(&self, options: &mut Options) {
        let encoding = || self.encoding.as_deref().and_then(|name| Options::encoding_named(name).ok());
        let quote = |text: &String| text.bytes().next().filter(|_| text != "none");
        let delimiter = self.delimiter.and_then(|character| u8::try_from(character).ok());
        options.delimiter = options.delimiter.or(delimiter);
        options.decimal_comma = options.decimal_comma.or(self.decimal_comma);
        options.encoding = options.encoding.or_else(encoding);
        options.sheet = options.sheet.take().or_else(|| self.sheet.clone());
        options.quote = options.quote.or_else(|| self.quote.as_ref().map(quote));
        options.lines_to_skip = options.lines_to_skip.or(self.lines_to_skip);
        if options.lines_left_out.is_empty() {
            options.lines_left_out.clone_from(&self.lines_left_out);
        }
        let comment = self.comment.and_then(|character| u8::try_from(character).ok());
        options.comment = options.comment.or(comment);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A trained model.
///
/// ```
/// use mlapi::{Model, Plan};
///
/// let model = Plan { algorithm: "ridge".into(), ..Plan::new("fixtures/diabetes.csv") }.train()?;
/// assert!(model.labels().is_empty(), "it predicts a number");
/// # Ok::<(), mlapi::Error>(())
/// ```
#[derive(Debug)]
pub struct Model {
    /// The record of its training.
    pub card: Card,
    /// Schema, recipe and predictor, or several of these.
    pub pipeline: Pipeline,
    /// The codes of a few training rows, which the model file carries to test itself with.
    pub golden: Matrix,
    /// What explanations measure rows from; empty in files of older versions.
    pub reference: Reference,
}

impl Model {
    /// Opens a model file of at most [1 GiB](file::MAX_BYTES) and checks all of it.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that is missing, damaged, too large, or of a newer format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_within(path, file::MAX_BYTES)
    }

    /// As [`Model::open`], of at most `max_bytes`.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_within(path: impl AsRef<Path>, max_bytes: u64) -> Result<Self, Error> {
        file::load_within(path.as_ref(), max_bytes).map_err(Error::model)
    }

    /// Saves the model: at every moment the old file is there or the new one, whole.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be written; then it is untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let bytes = file::to_bytes(self).map_err(Error::model)?;
        file::write_atomically(path.as_ref(), &bytes).map_err(Error::model)
    }

    /// Predicts one row, given by name (a struct, a map, `json!({…})`) or in column order (a tuple, an array).
    ///
    /// Values are numbers, strings or booleans; a string is read like a cell of a CSV file, and `None`, NaN or an
    /// infinite number is a missing value. An unseen category is predicted, with a [warning](Prediction::warnings).
    ///
    /// # Errors
    /// [`Error::Input`] with every unknown or missing name and every value of the wrong type.
    pub fn predict(&self, row: impl Serialize) -> Result<Prediction, Error> {
        let mut predictions = row::predict(self, [row], |_| "the row".into()).map_err(Error::input)?;
        Ok(predictions.swap_remove(0))
    }

    /// Predicts many rows, each as for [`Model::predict`], on all cores.
    ///
    /// # Errors
    /// [`Error::Input`] for the first row that does not fit the model, with its number from 0.
    pub fn predict_rows<R: Serialize>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Prediction>, Error> {
        row::predict(self, rows, |number| format!("row {number}")).map_err(Error::input)
    }

    /// Evaluates the model on all rows of a file that have a target value. The evaluation on the rows that training
    /// held out is in the [card](Card::evaluation).
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be read or does not fit the model.
    pub fn evaluate(&self, data: &str) -> Result<Evaluation, Error> {
        let options = Options { header: self.pipeline.schema.header, ..Options::default() };
        TestRows::of_file(self, data, &options)
            .and_then(|rows| evaluation::evaluate(self, &rows, Positive::default()))
            .map_err(Error::input)
    }

    /// Whether another model held out the same rows of the same files at its training.
    pub(crate) fn holds_out_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.card, &other.card);
        let digest = |source: &DataSource| source.sha256.clone();
        let files = |card: &Card| {
            let mut files = vec![digest(&card.data)];
            files.extend(card.more_data.iter().map(digest));
            files
        };
        match (&a.test, &b.test) {
            (Some(a), Some(b)) => a.sha256 == b.sha256,
            (None, None) => {
                files(a) == files(b)
                    && (a.test_size, &a.split_by, a.seed) == (b.test_size, &b.split_by, b.seed)
            }
            _ => false,
        }
    }

    /// The task: classes or a number.
    pub fn task(&self) -> Task {
        self.pipeline.schema.target.task
    }

    /// The class labels, in the order of the probabilities; empty for regression.
    pub fn labels(&self) -> &[String] {
        &self.pipeline.schema.target.labels
    }

    /// Importance of each feature, largest first: the sum over its prepared columns of the mean absolute coefficient
    /// (per standard deviation if numbers are standardised), or of the importance in trees. Empty for an algorithm
    /// that has none. Of an ensemble it is the weighted mean over the members that have importances, those of each scaled
    /// to add up to 1.
    pub fn importances(&self) -> Vec<(&str, f64)> {
        let features = &self.pipeline.schema.features;
        let Some(importances) = self.pipeline.importances() else {
            return Vec::new();
        };
        let names = features.iter().map(|feature| feature.name.as_str());
        let mut importances: Vec<(&str, f64)> = names.zip(importances).collect();
        order::sort_by(&mut importances, |a, b| b.1.total_cmp(&a.1));
        importances
    }

    /// A row in column order that the model predicts without a warning: a value of each feature that is typical of
    /// the training rows. Private columns have no value in it.
    pub fn example(&self) -> Vec<serde_json::Value> {
        self.pipeline.schema.features.iter().map(Feature::typical).collect()
    }
}
