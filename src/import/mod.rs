//! Models that other programs trained: a file of theirs becomes a [`Model`] as training makes one.
//!
//! `format` says which reader a file needs; `xgboost` (with `ubjson`), `lightgbm` and `catboost` read one format each
//! into the trees of `forest`, `onnx` reads graphs into trees, other forms, or graphs, `float32` moves thresholds of single precision, `schema` names and types the columns,
//! `expect` compares predictions. Called by `mlapi import` alone: predicting and serving need nothing of this room.
//!
//! A file is data and is never run. What a format cannot say or mlapi cannot hold is refused by its name.

mod catboost;
mod expect;
mod float32;
mod forest;
mod format;
mod lightgbm;
mod onnx;
mod schema;
mod ubjson;
mod xgboost;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use self::forest::{Body, Foreign, Order};
use self::schema::{Known, Names, Said, Sample};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::{Target, Truth};
use crate::data::prepare::recipe::{Encoding, Parts, Recipe};
use crate::data::read::digest;
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::evaluation::{Baseline, Context, Evaluation};
use crate::model::file::{MAX_BYTES, golden_rows};
use crate::model::pipeline::{Decision, Pipeline, Predictions};
use crate::model::predictor::Predictor;
use crate::model::predictor::trees::Trees;
use crate::model::reference::Reference;
use crate::model::{Card, DataSource, Model, Origin, Written};
pub use expect::Agreement;
pub use format::Format;

/// A model file of another program, and what the user says of it.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// Path of the file.
    pub file: String,
    /// Its format; found in the file if absent.
    pub format: Option<Format>,
    /// Names of the columns, in the order of training.
    pub features: Vec<String>,
    /// Names of the classes, in the order of training.
    pub labels: Vec<String>,
    /// Name of the target.
    pub target: Option<String>,
    /// A table of rows as the model reads them.
    pub data: Option<String>,
    /// The dialect of the table.
    pub options: Options,
    /// The column of the table with the trainer's own predictions.
    pub expect: Option<String>,
}

/// An imported model.
#[derive(Debug)]
pub struct Imported {
    /// The model.
    pub model: Model,
    /// Number of its trees; 0 if it is of another form.
    pub n_trees: usize,
    /// Rows of the sample.
    pub n_rows: usize,
    /// The comparison with the trainer's predictions, if there was one.
    pub agreement: Option<Agreement>,
}

impl Import {
    /// Reads the file and makes a model of it.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged, a model that mlapi cannot hold, a sample that does not fit it, predictions
    /// that differ from the trainer's.
    pub fn run(&self) -> Result<Imported> {
        let bytes = self.bytes()?;
        let said = Said {
            features: &self.features,
            labels: &self.labels,
            target: self.target.as_deref(),
            expect: self.expect.as_deref(),
        };
        let (format, mut foreign) = read(&self.file, self.format, &bytes, &said)
            .with_context(|| format!("{} cannot be imported", self.file))?;
        ensure!(
            self.expect.is_none() || self.data.is_some(),
            usage("--expect COL names a column of the sample; give it with --data SAMPLE.csv")
        );
        let (sample, mut names) = match &self.data {
            Some(path) => {
                let (sample, names) = Sample::read(path, &self.options, |header| {
                    let names = Names::find(&foreign, &said, Some(header))?;
                    let texts = schema::texts(&foreign, &names, &said);
                    Ok((names, texts))
                })?;
                (Some(sample), names)
            }
            None => (None, Names::find(&foreign, &said, None)?),
        };
        let sample = sample.as_ref();
        let (target, truth) = schema::target(&foreign, &said, &names.target, sample, &mut names.notes)?;
        let (schema, orders) = schema::schema(&foreign, &names, target.clone(), sample)?;
        let codes = sample.map(|sample| schema::codes(&schema, sample)).transpose()?;
        let pipeline = checked_pipeline(schema, &orders, &mut foreign, codes.as_ref())
            .with_context(|| format!("{} cannot be imported", self.file))?;
        let predictions = codes.as_ref().map(|codes| pipeline.predict(codes, Decision::MostProbable));
        let mut agreement = None;
        if let (Some(column), Some(sample), Some(predictions)) = (said.expect, sample, &predictions) {
            agreement = Some(expect::check(sample, column, &target, predictions, foreign.single_precision)?);
        }
        let golden = golden(&pipeline, &foreign, codes.as_ref())?;
        let reference = reference(&pipeline, codes.as_ref().zip(predictions.as_ref()))?;
        let n_trees = foreign.forest.trees.len();
        let n_rows = sample.map_or(0, |sample| sample.raw.n_rows());
        let evaluated = Evaluated::new(&pipeline, codes.as_ref(), truth);
        let card = self.card(&bytes, format, foreign, sample, &target, evaluated, names.notes);
        Ok(Imported { model: Model { card, pipeline, golden, reference }, n_trees, n_rows, agreement })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let cannot = || format!("cannot read the model {}", self.file);
        let file = File::open(&self.file).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        ensure!(metadata.is_file(), "{}: it is not an ordinary file", cannot());
        ensure!(metadata.len() <= MAX_BYTES, "{}: it has more than {MAX_BYTES} bytes", cannot());
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.take(MAX_BYTES).read_to_end(&mut bytes).with_context(cannot)?;
        Ok(bytes)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a card, put together once")]
    fn card(
        &self,
        bytes: &[u8],
        format: Format,
        foreign: Foreign,
        sample: Option<&Sample>,
        target: &Target,
        evaluated: Evaluated,
        mut notes: Vec<String>,
    ) -> Card {
        let sha256 = digest::of_bytes(bytes);
        let name = Path::new(&self.file)
            .file_name()
            .map_or_else(|| self.file.clone(), |n| n.to_string_lossy().into());
        let data = sample.and_then(|sample| sample.raw.files.first()).map(DataSource::of);
        let Evaluated { truth, predictions } = evaluated;
        let baseline = match (&truth, target.labels.len()) {
            (truth, _) if !truth.is_empty() => Baseline::fit(truth),
            (_, 0) => Baseline::Mean(0.0),
            (_, n) => Baseline::ClassShares(vec![1.0 / n as f64; n]),
        };
        let algorithm = foreign.producer.to_lowercase();
        let context =
            Context { algorithm: &algorithm, target, baseline: &baseline, positive: 1, threshold: None };
        let evaluation = Evaluation::new(context, &predictions, &truth);
        notes.splice(0..0, foreign.notes);
        let mut settings = Map::new();
        settings.insert("objective".into(), Value::from(foreign.objective));
        if foreign.body == Body::Forest {
            settings.insert("trees".into(), Value::from(foreign.forest.trees.len()));
        }
        Card {
            algorithm,
            hyperparameters: settings,
            members: Vec::new(),
            selection: Default::default(),
            data: data.unwrap_or_else(|| DataSource { path: self.file.clone(), sha256: sha256.clone() }),
            more_data: Vec::new(),
            written: Written::of(&self.options),
            test: None,
            test_size: None,
            split_by: None,
            sample: None,
            seed: 0,
            n_train: 0,
            n_without_target: 0,
            n_repeated: 0,
            n_held_out_seen: 0,
            refit: false,
            weight: None,
            balance: false,
            baseline,
            evaluation,
            thresholds: None,
            asked: Default::default(),
            origin: Some(Origin {
                format: format.name().into(),
                producer: foreign.producer,
                version: foreign.version,
                file: name,
                sha256,
            }),
            notes,
        }
    }
}

/// Reads the bytes of a model file in the format that is given or that they show.
fn read(path: &str, format: Option<Format>, bytes: &[u8], said: &Said) -> Result<(Format, Foreign)> {
    let format = match format {
        Some(format) => format,
        None => Format::of(path, bytes)?,
    };
    Ok((format, format.read(bytes, said)?))
}

/// The steps from codes to scores, in the form that a model is read as.
fn pipeline(schema: Schema, orders: &[Order], foreign: &Foreign) -> Result<Pipeline> {
    let (predictor, encoding, parts) = match (&foreign.body, &foreign.graph) {
        (Body::Form(predictor, encoding, parts), _) => {
            (Predictor::clone(predictor), *encoding, Parts::clone(parts))
        }
        (Body::Graph, Some((graph, (encoding, parts)))) => {
            (Predictor::Graph(Box::new(graph.clone())), *encoding, parts.clone())
        }
        _ => {
            // Codes are passed on as they are, but for zeros that are missing values.
            let zero_is_missing =
                foreign.columns.iter().map(|column| u8::from(column.zero_is_missing)).collect();
            let trees = Predictor::Trees(Box::new(Trees::new(foreign.parts(orders)?)));
            (trees, Encoding::Raw, Parts { zero_is_missing, ..Parts::default() })
        }
    };
    let recipe = Recipe::from_parts(&schema, encoding, &parts)?;
    let pipeline = Pipeline::single(schema, recipe, predictor);
    pipeline.validate()?;
    Ok(pipeline)
}

/// As [`pipeline`]; a form of a graph that does not predict what the graph itself does is given up for the graph.
fn checked_pipeline(
    schema: Schema,
    orders: &[Order],
    foreign: &mut Foreign,
    codes: Option<&Matrix>,
) -> Result<Pipeline> {
    if foreign.graph.is_none() || foreign.body == Body::Graph {
        return pipeline(schema, orders, foreign);
    }
    let of_form = pipeline(schema.clone(), orders, foreign);
    let body = std::mem::replace(&mut foreign.body, Body::Graph);
    let of_graph = pipeline(schema, orders, foreign)?;
    let agrees = |rows: &Matrix, form: &Pipeline| {
        let (ours, theirs) = (form.scores(rows), of_graph.scores(rows));
        // A value that is missing without one to fill in is for either no number.
        let near = |(a, b): (&f64, &f64)| {
            !a.is_finite() || !b.is_finite() || (a - b).abs() <= FORM_TOLERANCE * b.abs().max(1.0)
        };
        ours.values().iter().zip(theirs.values()).all(near)
    };
    let refuses_alike = |rows: &Matrix, form: &Pipeline| {
        agrees(rows, form) && finite_rows(&form.scores(rows)) == finite_rows(&of_graph.scores(rows))
    };
    if let Ok(form) = of_form {
        let first: Vec<usize> = (0..codes.map_or(0, Matrix::n_rows).min(COMPARED_ROWS)).collect();
        let of_sample = codes.map(|codes| schema::select(codes, &first));
        let made_up = schema::made_up_rows(foreign);
        let odd = schema::odd_rows(foreign, &made_up);
        if agrees(&made_up, &form)
            && (!refuses_missing(&body) || refuses_alike(&odd, &form))
            && of_sample.is_none_or(|rows| agrees(&rows, &form))
        {
            foreign.body = body;
            return Ok(form);
        }
    }
    foreign.objective = "a graph".into();
    foreign.forest.trees.clear();
    Ok(of_graph)
}

/// Whether a form makes no number of a missing value that is not filled, as its graph has to.
fn refuses_missing(body: &Body) -> bool {
    let Body::Form(predictor, ..) = body else { return false };
    matches!(**predictor, Predictor::Linear(_) | Predictor::Network(_))
}

/// A form and its graph may differ by this, relative to 1 or the value: the graph adds up in single precision.
const FORM_TOLERANCE: f64 = 1e-3;

/// Rows of the sample that a form and its graph are compared on.
const COMPARED_ROWS: usize = 200;

/// Reads the bytes of a model file and lays out its trees; for the fuzz targets, which have no file.
///
/// # Errors
/// Those of the readers.
pub fn check_bytes(format: Format, bytes: &[u8]) -> Result<()> {
    let mut foreign = format.read(bytes, &Said::default())?;
    let names = Names::find(&foreign, &Said::default(), None)?;
    let (target, _) = schema::target(&foreign, &Said::default(), &names.target, None, &mut Vec::new())?;
    let (schema, orders) = schema::schema(&foreign, &names, target, None)?;
    let pipeline = checked_pipeline(schema, &orders, &mut foreign, None)?;
    golden(&pipeline, &foreign, None).map(drop)
}

/// The rows of the sample that have a target value, and the predictions of them.
struct Evaluated {
    truth: Truth,
    predictions: Predictions,
}

impl Evaluated {
    fn new(pipeline: &Pipeline, codes: Option<&Matrix>, known: Option<Known>) -> Self {
        let schema = &pipeline.schema;
        let nothing = match schema.target.task {
            Task::Classification => {
                Truth::Classes { codes: Vec::new(), labels: schema.target.labels.clone() }
            }
            Task::Regression => Truth::Values(Vec::new()),
        };
        let (rows, truth) = known.unwrap_or((Vec::new(), nothing));
        let codes = match codes {
            Some(codes) => schema::select(codes, &rows),
            None => Matrix::zeros(0, schema.n_features()),
        };
        Self { truth, predictions: pipeline.predict(&codes, Decision::MostProbable) }
    }
}

/// What explanations measure from: the rows of the sample that can be scored, without those of unseen categories.
fn reference(pipeline: &Pipeline, predicted: Option<(&Matrix, &Predictions)>) -> Result<Reference> {
    let Some((codes, predictions)) = predicted else { return Ok(Reference::default()) };
    let mut rows = finite_rows(&predictions.scores);
    rows.retain(|&row| schema::is_known(codes.row(row)));
    Reference::of_rows(pipeline, &|rows| Ok(schema::select(codes, rows)), &rows, None)
}

/// The rows whose scores are numbers.
fn finite_rows(scores: &Matrix) -> Vec<usize> {
    (0..scores.n_rows()).filter(|&row| scores.row(row).iter().all(|score| score.is_finite())).collect()
}

/// The rows that the model file tests itself with: some of the sample, else made up between the thresholds.
fn golden(pipeline: &Pipeline, foreign: &Foreign, codes: Option<&Matrix>) -> Result<Matrix> {
    let of_sample = |codes: &Matrix| {
        let known: Vec<usize> = (0..codes.n_rows()).filter(|&row| schema::is_known(codes.row(row))).collect();
        schema::select(codes, &golden_rows(&known))
    };
    let candidates = codes.map(of_sample).filter(|rows| rows.n_rows() > 0);
    let rows = candidates.unwrap_or_else(|| schema::made_up_rows(foreign));
    let finite = finite_rows(&pipeline.scores(&rows));
    ensure!(!finite.is_empty(), "its predictions are not finite numbers");
    Ok(schema::select(&rows, &finite))
}
