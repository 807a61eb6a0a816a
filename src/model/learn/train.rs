//! From files to a model: read, choose target, task and types, hold out, choose the algorithm, fit, evaluate, write
//! the card.
//!
//! A [`Plan`] says what is wanted, a [`Trained`] what came of it. Nothing is printed here.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::choice::candidates::Contenders;
use super::choice::cross_validation::Search;
use super::choice::fitter::{Fitted, Fitter};
use super::choice::main_figure::MainFigure;
use super::held_out::HeldOut;
use super::plan::Plan;
use super::{Unwatched, Watch};
use crate::data::cells::cell::Task;
use crate::data::cells::raw_table::RawTable;
use crate::data::judge::findings::{Findings, OtherFile, Rows};
use crate::data::judge::profile::Profile;
use crate::data::training_set::TrainingSet;
use crate::error::{Error, usage};
use crate::model::evaluation::{Baseline, Context, Evaluation};
use crate::model::file::golden_rows;
use crate::model::pipeline::{Decision, Pipeline};
use crate::model::{Card, DataSource, Model, Written};

/// A trained model and what is to be said about it.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// The contents of each column of the file.
    pub profiles: Vec<Profile>,
    /// The name of the training files in messages.
    pub source: String,
    /// Rows of the training files.
    pub n_rows: usize,
    /// The reason for the target.
    pub target_reason: String,
    /// The reason for the task.
    pub task_reason: String,
    /// The manner in which the held-out rows were chosen; empty if they are another file.
    pub split_reason: String,
    /// The reason for the algorithm.
    pub algorithm_reason: String,
    /// Time spent fitting recipe and predictor.
    pub fit_seconds: f64,
}

impl Plan {
    /// Trains a model; its card holds the evaluation on the held-out rows.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting that cannot be used with these files, [`Error::Input`] for files that cannot be
    /// read or learned from.
    pub fn train(&self) -> Result<Model, Error> {
        train(self, &Unwatched).map(|trained| trained.model).map_err(Error::input)
    }
}

/// Trains as planned.
///
/// # Errors
/// An [`Error::Usage`] for a setting that cannot be used with these files; else what is wrong with the files.
pub fn train(plan: &Plan, watch: &dyn Watch) -> Result<Trained> {
    let mut raw = plan.read()?;
    let mut notes = std::mem::take(&mut raw.notes);
    let (roles, target_reason) = plan.roles(&raw)?;
    let (task, task_reason) = plan.choose_task(&raw, roles.target)?;
    let contenders = Contenders::of(&plan.algorithm, task, &plan.settings)?;
    if plan.balance && task == Task::Regression {
        return Err(usage("--balance needs classes, and this is a regression"));
    }

    let split_by = plan.hold_out.split_by();
    let mut set = TrainingSet::new(&mut raw, &roles, task, split_by.as_ref(), &plan.nulls)?;
    notes.append(&mut set.notes);
    let held_out = HeldOut::choose(plan, &raw, &set)?;
    let findings = look(plan, &raw, &set, &held_out);
    notes.extend(findings.notes);

    let fitter = fitter(plan, &raw, &set);
    let truth = set.truth.select(&held_out.train);
    let search = Search {
        fitter: &fitter,
        rows: &held_out.train,
        truth: &truth,
        arrangement: &set.arrangement.select(&held_out.train),
        figure: MainFigure::of(task, plan.balance),
        n_folds: plan.cv,
        seed: plan.seed,
        watch,
    };
    let choice = search.choose(&contenders, plan.tune, &plan.settings)?;
    notes.extend(choice.notes);

    // An interruption that ended the search must not cut short the fit of the choice.
    let uninterrupted = Uninterrupted(watch);
    let watch: &dyn Watch = if watch.stopped() { &uninterrupted } else { watch };
    let mut fit_seconds = 0.0;
    let mut fit = |rows: &[usize], truth| {
        let started = Instant::now();
        let fitted = fitter.fit(&choice.spec, rows, truth, watch);
        fit_seconds += started.elapsed().as_secs_f64();
        fitted
    };
    let Fitted { mut pipeline, notes: fit_notes } = fit(&held_out.train, &truth)?;
    notes.extend(fit_notes);
    let baseline = Baseline::fit(&truth);
    let evaluation = evaluate(choice.spec.algorithm.name, &pipeline, &baseline, &set, &held_out)?;

    let all: Vec<usize>;
    let fitted_rows = if plan.refit {
        all = (0..set.n_rows()).collect();
        pipeline = fit(&all, &set.truth)?.pipeline;
        &all
    } else {
        &held_out.train
    };
    if watch.stopped() {
        notes.push("training was interrupted; the best model so far was kept".into());
    }
    let golden = pipeline.schema.codes(&set.table, &golden_rows(fitted_rows))?;
    let mut sources = raw.files.iter().map(DataSource::of);
    let card = Card {
        algorithm: choice.spec.algorithm.name.into(),
        hyperparameters: choice.spec.hyperparameters().clone(),
        selection: choice.selection,
        data: sources.next().context("no file was read")?,
        more_data: sources.collect(),
        written: Written::of(&plan.options),
        test_size: plan.hold_out.share(),
        split_by,
        test: held_out.file.map(|file| file.source),
        seed: plan.seed,
        n_train: fitted_rows.len(),
        n_without_target: raw.n_rows() - set.n_rows(),
        n_repeated: findings.n_repeated,
        n_held_out_seen: findings.n_held_out_seen,
        refit: plan.refit,
        weight: plan.weight.clone(),
        balance: plan.balance,
        baseline,
        evaluation,
        notes,
    };
    Ok(Trained {
        model: Model { card, pipeline, golden },
        n_rows: raw.n_rows(),
        source: raw.source,
        target_reason,
        task_reason,
        split_reason: held_out.reason,
        algorithm_reason: choice.reason,
        fit_seconds,
        profiles: set.profiles,
    })
}

/// Looks for mistakes in the training set.
fn look(plan: &Plan, raw: &RawTable, set: &TrainingSet, held_out: &HeldOut) -> Findings {
    let rows = Rows {
        raw,
        table: &set.table,
        features: &set.features,
        target: &set.target,
        with_target: &set.rows,
        truth: &set.truth,
        train: &held_out.train,
        test: &held_out.test,
    };
    let other = held_out.file.as_ref().map(|file| &file.rows);
    let other = other.map(|file| OtherFile { raw: &file.raw, rows: &file.rows, truth: &file.truth });
    rows.look(other.as_ref(), plan.balance, &plan.nulls, plan.seed)
}

fn fitter<'a>(plan: &'a Plan, raw: &RawTable, set: &'a TrainingSet) -> Fitter<'a> {
    Fitter {
        table: &set.table,
        features: &set.features,
        ignored: &set.ignored,
        target: &set.target,
        weights: set.weights.as_deref(),
        groups: set.arrangement.groups(),
        balance: plan.balance,
        seed: plan.seed,
        header: !raw.no_header,
        delimiter: raw.delimiter,
        decimal_comma: raw.decimal_comma,
        nulls: &plan.nulls,
    }
}

/// Evaluates a fitted pipeline on the held-out rows.
fn evaluate(
    algorithm: &str,
    pipeline: &Pipeline,
    baseline: &Baseline,
    set: &TrainingSet,
    held_out: &HeldOut,
) -> Result<Evaluation> {
    let (codes, truth) = match &held_out.file {
        Some(file) => (file.rows.codes(&pipeline.schema)?, &file.rows.truth),
        None => (pipeline.schema.codes(&set.table, &held_out.test)?, &set.truth.select(&held_out.test)),
    };
    let context = Context { algorithm, target: &set.target, baseline, positive: 1, threshold: None };
    Ok(Evaluation::new(context, &pipeline.predict(&codes, Decision::MostProbable), truth))
}

/// Shows progress and cannot be interrupted.
struct Uninterrupted<'a>(&'a dyn Watch);

impl Watch for Uninterrupted<'_> {
    fn progress(&self, done: u64, total: u64, state: std::fmt::Arguments) {
        self.0.progress(done, total, state);
    }

    fn stopped(&self) -> bool {
        false
    }
}
