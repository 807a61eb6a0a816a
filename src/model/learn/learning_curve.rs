//! The learning curve of a model: its algorithm and settings fitted again on growing shares of its training rows, with the
//! calibration and the threshold that it has.
//!
//! Called by the command line for `eval --learning-curve`. The files are read, typed and split as at training.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use super::algorithm::{Columns, TargetScale};
use super::choice::fitter::Fitter;
use super::plan::Plan;
use super::train_test_split::TrainTestSplit;
use super::{Spec, Watch, algorithm};
use crate::data::cells::cell::Task;
use crate::data::read::source;
use crate::data::training_set::TrainingSet;
use crate::error::Interrupted;
use crate::model::evaluation::Metrics;
use crate::model::evaluation::learning_curve::LearningPoint;
use crate::model::hold_out::HoldOut;
use crate::model::pipeline::Pipeline;
use crate::model::{Card, CardMember, DataSource, Model};

/// Shares of the training rows.
const SHARES: [f64; 6] = [0.1, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Fits a model again on growing shares of its training rows, smaller ones part of the larger, and evaluates each on the
/// held-out rows. Files are looked for as `eval` does. Shares too small to be fitted are left out.
///
/// # Errors
/// Files that are not there any more or have changed; all fits failed.
pub(crate) fn learning_curve(
    model: &Model,
    folder: &Path,
    said: &source::Options,
    watch: &dyn Watch,
) -> Result<Vec<LearningPoint>> {
    let (card, schema) = (&model.card, &model.pipeline.schema);
    let task = schema.target.task;
    let plan = plan(model, folder, said)?;
    let specs = specs(card, task)?;
    let mut raw = plan.read(watch)?;
    let (roles, _) = plan.roles(&raw)?;
    let set = TrainingSet::new(&mut raw, &roles, task, plan.hold_out.split_by().as_ref(), &plan.nulls)?;
    let split = TrainTestSplit::choose(&plan, &raw, &set, watch)?;
    let fitter = Fitter {
        set: &set,
        raw: &raw,
        nulls: &plan.nulls,
        private: &[],
        balance: plan.balance,
        seed: plan.seed,
    };
    watch.stage("learning curve");
    let truth = set.truth.select(&split.train);
    let of_rows = |pipeline: &Pipeline, rows: &[usize]| -> Result<Metrics> {
        let codes = pipeline.schema.codes(&set.table, rows)?;
        let predictions = pipeline.predict(&codes, pipeline.decision());
        Ok(Metrics::new(&predictions, &set.truth.select(rows), 1))
    };
    let mut points = Vec::new();
    let mut last_error = None;
    for (i, share) in SHARES.into_iter().enumerate() {
        if watch.stopped() {
            return Err(Interrupted.into());
        }
        watch.progress(
            i as u64,
            SHARES.len() as u64,
            format_args!("{:.0} % of the training rows", share * 100.0),
        );
        let n = (truth.len() as f64 * share).ceil() as usize;
        let rows: Vec<usize> = truth.sample(n, plan.seed).into_iter().map(|row| split.train[row]).collect();
        let own_truth = set.truth.select(&rows);
        let fit = || -> Result<Pipeline> {
            let (mut parts, mut weights) = (Vec::new(), Vec::new());
            for (spec, weight) in &specs {
                parts.push(fitter.fit(spec, &rows, &own_truth, watch)?.pipeline);
                weights.push(*weight);
            }
            // A curve of a few numbers, fitted on predictions out of fold: fitting it again would take five more fits.
            let postprocessing = model.pipeline.postprocessing.clone();
            Ok(Pipeline { postprocessing, ..Pipeline::blend(parts, &weights)? })
        };
        let pipeline = match fit() {
            Ok(pipeline) => pipeline,
            // Such as too few rows of a class.
            Err(error) => {
                last_error = Some(error);
                continue;
            }
        };
        let metrics = match &split.file {
            None => of_rows(&pipeline, &split.test)?,
            Some(file) => {
                let codes = file.rows.codes(&pipeline.schema)?;
                Metrics::new(&pipeline.predict(&codes, pipeline.decision()), &file.rows.truth, 1)
            }
        };
        points.push(LearningPoint { share, rows: rows.len(), metrics, training: of_rows(&pipeline, &rows)? });
    }
    match last_error {
        Some(error) if points.is_empty() => Err(error),
        _ => Ok(points),
    }
}

/// The plan that the model was trained by, as far as its card and schema tell.
fn plan(model: &Model, folder: &Path, said: &source::Options) -> Result<Plan> {
    let (card, schema) = (&model.card, &model.pipeline.schema);
    ensure!(
        std::iter::once(&card.data).chain(&card.more_data).all(|source| source.path != "-"),
        "the model was trained from standard input, which cannot be read again"
    );
    let find =
        |source: &DataSource| -> Result<String> { Ok(source.find(folder)?.to_string_lossy().into_owned()) };
    let data =
        std::iter::once(&card.data).chain(&card.more_data).map(find).collect::<Result<Vec<String>>>()?;
    let hold_out = match &card.test {
        Some(test) => HoldOut::File(find(test)?),
        None => HoldOut::of(card).context("the card does not say which rows were held out")?,
    };
    let mut options = source::Options { header: schema.header, header_in_doubt: false, ..said.clone() };
    options.delimiter = options.delimiter.or(Some(schema.delimiter));
    options.decimal_comma = options.decimal_comma.or(schema.decimal_comma.then_some(true));
    card.written.complete(&mut options);
    let used = |name: &String| {
        schema.features.iter().any(|feature| feature.name == *name)
            || *name == schema.target.name
            || card.weight.as_ref() == Some(name)
            || card.split_by.as_ref().is_some_and(|by| by.column() == name)
    };
    Ok(Plan {
        data,
        options,
        nulls: schema.null_tokens.clone(),
        target: Some(schema.target.name.clone()),
        task: Some(schema.target.task),
        hold_out,
        seed: card.seed,
        drop: schema.columns.iter().filter(|name| !used(name)).cloned().collect(),
        types: schema.features.iter().map(|feature| (feature.name.clone(), feature.column_type)).collect(),
        weight: card.weight.clone(),
        balance: card.balance,
        ..Plan::new("")
    })
}

/// The algorithms of the model with their settings, and the weight of each.
fn specs(card: &Card, task: Task) -> Result<Vec<(Spec, f64)>> {
    let plain = |name: &str, settings: &Map<String, Value>| -> Result<Spec> {
        let mut spec = Spec::new(algorithm(name)?, task, &[])?;
        for (key, value) in settings {
            spec = spec.with(key, value.clone());
        }
        Ok(spec)
    };
    if card.members.is_empty() {
        return Ok(vec![(plain(&card.algorithm, &card.hyperparameters)?, 1.0)]);
    }
    let of_member = |member: &CardMember| -> Result<(Spec, f64)> {
        let mut spec = plain(&member.algorithm, &member.hyperparameters)?;
        if let Some(scale) = &member.target {
            let all = [
                TargetScale::Standardised,
                TargetScale::Log,
                TargetScale::YeoJohnson,
                TargetScale::Rank,
                TargetScale::Residuals,
            ];
            let found = all.into_iter().find(|known| known.name() == Some(scale));
            spec.scale = found.with_context(|| format!("the scale {scale:?} of the target is not known"))?;
        }
        if let Some(columns) = &member.columns {
            let is_known = Columns::LowCardinality.name() == Some(columns);
            ensure!(is_known, "the columns {columns:?} of a member are not known");
            spec.columns = Columns::LowCardinality;
        }
        Ok((spec, member.weight))
    };
    card.members.iter().map(of_member).collect()
}
