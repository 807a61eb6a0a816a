//! A fit on the rows of a file that is larger than memory: a sample says what its columns are and where their bins end,
//! and of every other row a byte of each value is kept.
//!
//! The rows of the sample are not fitted. What follows the predictor (calibration, threshold, intervals, sets) is fitted
//! to its predictions of them.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::choice::cross_validation::Unseen;
use super::choice::fitter::Inputs;
use super::dataset::{Direction, Groups, balanced_weights};
use super::hyperparameter::MONOTONIC;
use super::plan::Plan;
use super::postprocessing::{OutOfFold, Predicted};
use super::sampled_file::SampledFile;
use super::train::{INTERRUPTED, settings_of};
use super::{Blocks, Dataset, Spec, Watch};
use crate::data::cells::cell::Task;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::number::MAX_SUMMED;
use crate::data::cells::target::Truth;
use crate::data::split::arrangement::Arrangement;
use crate::data::training_set::row_weights;
use crate::model::Model;
use crate::model::evaluation::Baseline;
use crate::model::hold_out::TestRows;
use crate::model::trained::Trained;
use crate::plain;

/// The rows of a fit.
pub(super) struct Counts {
    /// How many there are.
    pub(super) n_rows: usize,
    /// How many more have no target value, or do not fit what the sample shows of the columns.
    pub(super) n_strays: usize,
}

/// Fits a share of the rows that are not in the sample, and puts what comes of it into the model of the sample, whose only
/// algorithm is `spec`.
///
/// # Errors
/// Those of [`SampledFile::go_through`]; rows that cannot be learned from.
pub(super) fn fit(
    trained: &mut Trained,
    spec: &Spec,
    file: &SampledFile,
    share: Range<f64>,
    watch: &dyn Watch,
) -> Result<Counts> {
    let (plan, model) = (file.plan, &mut trained.model);
    let schema = &model.pipeline.schema;
    plan.wanted.check(&schema.target)?;
    let member = model.pipeline.members.first().context("a model has a member")?;
    let inputs = Inputs::of(schema, &member.recipe, &directions(&schema.features, spec));
    let sample = file.read(model, file.reservoir.text.clone())?;
    let codes = sample.codes(schema)?;
    let learner = (spec.algorithm.learner)(&spec.settings);
    let blocks = learner.blocks(&inputs.dataset(&member.recipe.encode(&codes), (&sample.truth).into()));
    let blocks = blocks.context("the algorithm needs all rows as they are")?;

    watch.stage("reading the other rows");
    let (kept, n_strays) = read(model, file, &*blocks, share, watch)?;
    let Kept { bytes, truth, mut weights } = kept;
    ensure!(
        truth.len() > 1,
        "none of the rows that are not in the sample has a target value and fits the model"
    );

    watch.stage(&format!("fitting {}", spec.algorithm.name));
    let started = Instant::now();
    if let (true, Truth::Classes { codes, labels }) = (plan.balance, &truth) {
        weights = balanced_weights(codes, labels.len(), unless_empty(&weights));
    }
    let no_rows = Matrix::default();
    let data = inputs.dataset(&no_rows, (&truth).into());
    let data = Dataset { weights: unless_empty(&weights), seed: plan.seed, ..data };
    let fit = blocks.fit(bytes, &data, watch)?;
    trained.fit_seconds += started.elapsed().as_secs_f64();

    let member = model.pipeline.members.first_mut().context("a model has a member")?;
    member.predictor = fit.predictor;
    model.pipeline.validate().context("the fitted model is not usable")?;
    if plan.wanted.is_asked() {
        let scores = model.pipeline.scores(&codes);
        let unseen = Unseen { rows: (0..sample.truth.len()).collect(), scores };
        let weights = weights_of(&sample, plan)?;
        let weights = unless_empty(&weights);
        let predicted = Predicted { truth: &sample.truth, weights, balance: plan.balance };
        let unseen = OutOfFold::new(&unseen, &predicted, &Arrangement::Free, plan.seed);
        model.pipeline.postprocessing = plan.wanted.fit_to(&unseen)?;
    }
    let card = &mut model.card;
    card.hyperparameters = settings_of(spec, &model.pipeline);
    (card.n_train, card.baseline) = (truth.len(), Baseline::fit(&truth));
    card.notes.extend(fit.notes);
    card.notes.extend(watch.stopped().then(|| INTERRUPTED.to_string()));
    Ok(Counts { n_rows: truth.len(), n_strays })
}

/// Keeps what `blocks` needs of a share of the rows; also how many have no target value or do not fit the model.
fn read(
    model: &Model,
    file: &SampledFile,
    blocks: &dyn Blocks,
    share: Range<f64>,
    watch: &dyn Watch,
) -> Result<(Kept, usize)> {
    let schema = &model.pipeline.schema;
    let member = model.pipeline.members.first().context("a model has a member")?;
    let make = |rows: TestRows| {
        let bytes = blocks.bytes_of(&member.recipe.encode_owned(rows.codes(schema)?));
        if let Truth::Values(values) = &rows.truth {
            let is_usable = values.iter().all(|value| value.abs() <= MAX_SUMMED);
            ensure!(is_usable, "a target beyond {MAX_SUMMED:e} is too large to be squared and summed up");
        }
        Ok(Kept { bytes, weights: weights_of(&rows, file.plan)?, truth: rows.truth })
    };
    let labels = &schema.target.labels;
    let truth = match schema.target.task {
        Task::Classification => Truth::Classes { codes: Vec::new(), labels: labels.clone() },
        Task::Regression => Truth::Values(Vec::new()),
    };
    let mut kept = Kept { bytes: Vec::new(), truth, weights: Vec::new() };
    let mut take = |rows: Kept| kept.extend(&rows, labels.len(), file.reservoir.n_records);
    let n_strays = file.go_through(model, share, &make, &mut take, watch)?;
    Ok((kept, n_strays))
}

/// The direction of each feature, as the setting `monotonic` gives it.
fn directions(features: &[Feature], spec: &Spec) -> Vec<Direction> {
    let given = spec.settings.directions(MONOTONIC);
    let of = |feature: &Feature| {
        let found = given.iter().find(|(name, _)| plain::same(name, &feature.name));
        found.map_or(Direction::Free, |(_, direction)| *direction)
    };
    features.iter().map(of).collect()
}

/// The weights of the rows that have a target value; none if all count the same.
fn weights_of(rows: &TestRows, plan: &Plan) -> Result<Vec<f64>> {
    let Some(name) = &plan.weight else { return Ok(Vec::new()) };
    let index = rows.raw.names.iter().position(|known| plain::same(known, name));
    let index = index.with_context(|| format!("{} has no column {name:?}", rows.raw.source))?;
    let all = row_weights(&rows.raw, index, &plan.nulls)?;
    Ok(rows.rows.iter().map(|&row| all[row]).collect())
}

fn unless_empty(weights: &[f64]) -> Option<&[f64]> {
    Some(weights).filter(|weights| !weights.is_empty())
}

/// What is kept of rows.
struct Kept {
    bytes: Groups,
    truth: Truth,
    /// Empty if all count the same.
    weights: Vec<f64>,
}

impl Kept {
    /// Adds rows, except those whose label is none of so many; `n_rows`: most rows that there will be.
    fn extend(&mut self, rows: &Kept, n_labels: usize, n_rows: usize) {
        let is_known: Vec<bool> = match &rows.truth {
            Truth::Classes { codes, .. } => codes.iter().map(|&code| (code as usize) < n_labels).collect(),
            Truth::Values(values) => vec![true; values.len()],
        };
        self.bytes.resize_with(rows.bytes.len(), || Vec::with_capacity(n_rows));
        for (kept, rows) in self.bytes.iter_mut().zip(&rows.bytes) {
            add(kept, rows, &is_known);
        }
        match (&mut self.truth, &rows.truth) {
            (Truth::Classes { codes, .. }, Truth::Classes { codes: others, .. }) => {
                add(codes, others, &is_known)
            }
            (Truth::Values(values), Truth::Values(others)) => add(values, others, &is_known),
            _ => {}
        }
        add(&mut self.weights, &rows.weights, &is_known);
    }
}

fn add<T: Copy>(kept: &mut Vec<T>, rows: &[T], is_kept: &[bool]) {
    kept.extend(rows.iter().zip(is_kept).filter(|(_, is_kept)| **is_kept).map(|(row, _)| *row));
}
