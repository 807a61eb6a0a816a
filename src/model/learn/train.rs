//! From files to a model: read, choose target, task and types, hold out, choose the algorithm, fit, evaluate, write
//! the card.
//!
//! A [`Plan`] says what is wanted, a [`Trained`] what came of it. Nothing is printed here.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use super::choice::Choice;
use super::choice::candidates::Contenders;
use super::choice::cross_validation::Search;
use super::choice::fitter::{Fitted, Fitter};
use super::choice::metric::Metric;
use super::plan::Plan;
use super::train_test_split::TrainTestSplit;
use super::{Spec, Unwatched, Watch};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::table::Column;
use crate::data::cells::target::Truth;
use crate::data::judge::findings::{Findings, OtherFile, Rows};
use crate::data::judge::rows;
use crate::data::training_set::TrainingSet;
use crate::error::{Error, Interrupted, usage};
use crate::model::container::MAX_HEADER_BYTES;
use crate::model::evaluation::thresholds::ThresholdCounts;
use crate::model::evaluation::{Baseline, Context, Evaluation};
use crate::model::file::golden_rows;
use crate::model::pipeline::Pipeline;
use crate::model::postprocessing::Postprocessing;
use crate::model::predictor::Predictor;
use crate::model::reference::Reference;
use crate::model::trained::Trained;
use crate::model::{Card, CardMember, DataSource, Model, Written};

/// The share of the given time that reading and comparing may take; the rest is for the fit.
const SEARCH_SHARE: f64 = 0.8;

/// The note on a model that an interruption cut short.
pub(super) const INTERRUPTED: &str = "training was interrupted; the best model so far was kept";

/// The name of an algorithm that is several.
const ENSEMBLE: &str = "ensemble";

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
    train_with_choice(plan, watch).map(|(trained, _)| trained)
}

/// As [`train`]; also the algorithms with their weights.
pub(super) fn train_with_choice(plan: &Plan, watch: &dyn Watch) -> Result<(Trained, Vec<(Spec, f64)>)> {
    let deadline = plan.search_time.map(|time| Instant::now() + time.mul_f64(SEARCH_SHARE));
    let mut raw = plan.read(watch)?;
    let (roles, target_reason) = plan.roles(&raw)?;
    let is_inferred = |index: usize| !roles.types.contains_key(&index) && !roles.dropped.contains(&index);
    rows::check(&raw, is_inferred, &plan.nulls)?;
    let (task, task_reason) = plan.choose_task(&raw, roles.target)?;
    let contenders = Contenders::of(&plan.algorithm, task, &plan.settings)?;
    let metric = Metric::of(plan.metric.as_deref(), task, plan.balance)?;
    if plan.balance && task == Task::Regression {
        return Err(usage("--balance needs classes, and this is a regression"));
    }

    let set = TrainingSet::new(&mut raw, &roles, task, plan.hold_out.split_by().as_ref(), &plan.nulls)?;
    go_on(watch)?;
    plan.wanted.check(&set.target)?;
    let split = TrainTestSplit::choose(plan, &raw, &set, watch)?;
    check_names(&set, &split)?;
    let findings = look(plan, &raw, &set, &split);
    go_on(watch)?;

    let fitter = Fitter {
        set: &set,
        raw: &raw,
        nulls: &plan.nulls,
        private: &plan.private,
        balance: plan.balance,
        seed: plan.seed,
    };
    contenders.specs().try_for_each(|spec| fitter.directions(spec).map(drop))?;
    let truth = set.truth.select(&split.train);
    let search = Search {
        fitter: &fitter,
        rows: &split.train,
        truth: &truth,
        arrangement: &set.arrangement.select(&split.train),
        metric,
        // A search for settings is for those of one algorithm.
        ensemble: plan.ensemble && plan.tune.is_none(),
        max_nanoseconds: plan.max_latency.map(|latency| latency.as_nanos() as f64),
        deadline,
        n_folds: plan.cv,
        seed: plan.seed,
        watch,
    };
    watch.stage("comparing");
    let mut choice = search.choose(&contenders, plan.tune, &plan.settings)?;
    watch.stage("predicting out of fold");
    let postprocessing = plan.wanted.fit(&search, &mut choice)?;
    let chosen = fit_choice(plan, &fitter, (&choice.members, postprocessing), &truth, (&set, &split), watch)?;
    let card = card(plan, &raw, &set, &split, &findings, &choice, &chosen)?;
    let trained = Trained {
        model: Model { card, pipeline: chosen.pipeline, golden: chosen.golden, reference: chosen.reference },
        n_rows: raw.n_rows(),
        source: raw.source,
        target_reason,
        task_reason,
        split_reason: split.reason,
        algorithm_reason: choice.reason,
        fit_seconds: chosen.fit_seconds,
        profiles: set.profiles,
    };
    Ok((trained, choice.members))
}

/// # Errors
/// [`Interrupted`] once the user asked to stop: nothing is fitted yet that could be kept.
pub(super) fn go_on(watch: &dyn Watch) -> Result<()> {
    if watch.stopped() { Err(Interrupted.into()) } else { Ok(()) }
}

/// # Errors
/// More labels and levels than the header of a model file has room for, whatever is fitted.
fn check_names(set: &TrainingSet, split: &TrainTestSplit) -> Result<()> {
    // Of each at least `\"…\",` and a count.
    let bytes_of = |text: &String| text.len() as u64 + 7;
    let mut bytes: u64 = set.target.labels.iter().map(bytes_of).sum();
    let mut widest = (0, set.target.name.as_str());
    for &(index, _) in &set.features {
        let Column::Category { codes, levels } = &set.table.columns[index] else { continue };
        let mut of_column: u64 = levels.iter().map(bytes_of).sum();
        if of_column > MAX_HEADER_BYTES / 4 {
            // Levels that only held-out rows have are not kept.
            let mut is_kept = vec![false; levels.len()];
            for &row in &split.train {
                if let Some(is_kept) = is_kept.get_mut(codes[row] as usize) {
                    *is_kept = true;
                }
            }
            of_column =
                levels.iter().zip(is_kept).filter(|(_, kept)| *kept).map(|(text, _)| bytes_of(text)).sum();
        }
        bytes += of_column;
        widest = widest.max((of_column, set.table.names[index].as_str()));
    }
    ensure!(
        bytes <= MAX_HEADER_BYTES,
        "the names of classes and levels need {} MB, and a model file has room for {}; column {:?} has most of them: \
         --drop it, or read it as text (--type COL=text)",
        bytes / 1_000_000,
        MAX_HEADER_BYTES / 1_000_000,
        widest.1
    );
    Ok(())
}

/// Looks for mistakes in the training set.
fn look(plan: &Plan, raw: &RawTable, set: &TrainingSet, split: &TrainTestSplit) -> Findings {
    let rows = Rows {
        raw,
        table: &set.table,
        features: &set.features,
        target: &set.target,
        with_target: &set.rows,
        truth: &set.truth,
        train: &split.train,
        test: &split.test,
    };
    let other = split.file.as_ref().map(|file| &file.rows);
    let other = other.map(|file| OtherFile { raw: &file.raw, rows: &file.rows, truth: &file.truth });
    rows.look(other.as_ref(), plan.balance, &plan.nulls, plan.seed)
}

/// The choice, fitted and evaluated.
struct FittedChoice {
    pipeline: Pipeline,
    golden: Matrix,
    reference: Reference,
    /// Whether the pipeline is the one that was fitted on all rows.
    refit: bool,
    baseline: Baseline,
    evaluation: Evaluation,
    thresholds: Option<ThresholdCounts>,
    n_train: usize,
    fit_seconds: f64,
    notes: Vec<String>,
}

/// Fits the choice on the training rows (`truth` is theirs), evaluates it, and fits it again on all rows if the plan
/// says so.
fn fit_choice(
    plan: &Plan,
    fitter: &Fitter,
    (members, postprocessing): (&[(Spec, f64)], Postprocessing),
    truth: &Truth,
    (set, split): (&TrainingSet, &TrainTestSplit),
    watch: &dyn Watch,
) -> Result<FittedChoice> {
    // An interruption that ended the search must not cut short the fit of the choice.
    let uninterrupted = Uninterrupted(watch);
    let watch: &dyn Watch = if watch.stopped() { &uninterrupted } else { watch };
    let mut fit_seconds = 0.0;
    let mut fit = |rows: &[usize], truth| -> Result<Fitted> {
        let started = Instant::now();
        let (mut parts, mut weights, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (spec, weight) in members {
            watch.stage(&format!("fitting {}", spec.algorithm.name));
            let fitted = fitter.fit(spec, rows, truth, watch)?;
            parts.push(fitted.pipeline);
            weights.push(*weight);
            notes.extend(fitted.notes);
        }
        fit_seconds += started.elapsed().as_secs_f64();
        let pipeline =
            Pipeline { postprocessing: postprocessing.clone(), ..Pipeline::blend(parts, &weights)? };
        Ok(Fitted { pipeline, notes })
    };
    let Fitted { mut pipeline, mut notes } = fit(&split.train, truth)?;
    let baseline = Baseline::fit(truth);
    watch.stage("evaluating");
    let (evaluation, thresholds) = evaluate(name_of(members), &pipeline, &baseline, set, split)?;
    notes.extend(evaluation.unknown_labels.as_ref().map(|unknown| unknown.remark(evaluation.n_rows)));

    let all: Vec<usize> = if plan.refit { (0..set.n_rows()).collect() } else { Vec::new() };
    let (mut fitted_rows, mut refit) = (&split.train, false);
    if plan.refit && !watch.stopped() {
        let refitted = fit(&all, &set.truth);
        // One that was cut short is not the model that was evaluated.
        if !watch.stopped() {
            (pipeline, fitted_rows) = (refitted?.pipeline, &all);
            refit = true;
        }
    }
    if watch.stopped() {
        notes.push(INTERRUPTED.into());
    }
    pipeline.schema.refine(&set.table, fitted_rows);
    let golden = pipeline.schema.codes(&set.table, &golden_rows(fitted_rows))?;
    let reference = Reference::fit(&pipeline, &set.table, fitted_rows, plan.background)?;
    Ok(FittedChoice {
        pipeline,
        golden,
        reference,
        refit,
        baseline,
        evaluation,
        thresholds,
        n_train: fitted_rows.len(),
        fit_seconds,
        notes,
    })
}

/// The record of the training, with the notes of all its steps.
fn card(
    plan: &Plan,
    raw: &RawTable,
    set: &TrainingSet,
    split: &TrainTestSplit,
    findings: &Findings,
    choice: &Choice,
    chosen: &FittedChoice,
) -> Result<Card> {
    let mut sources = raw.files.iter().map(DataSource::of);
    let notes: [&[String]; 5] = [&raw.notes, &set.notes, &findings.notes, &choice.notes, &chosen.notes];
    let members = match choice.members.as_slice() {
        [(spec, _)] if spec.scale.name().is_none() && spec.columns.name().is_none() => Vec::new(),
        members => members.iter().map(card_member).collect(),
    };
    Ok(Card {
        asked: plan.asked(&choice.selection),
        algorithm: name_of(&choice.members).into(),
        hyperparameters: match choice.members.as_slice() {
            [(spec, _)] => settings_of(spec, &chosen.pipeline),
            _ => Default::default(),
        },
        members,
        selection: choice.selection.clone(),
        data: sources.next().context("no file was read")?,
        more_data: sources.collect(),
        written: Written::of(&plan.options),
        test_size: plan.hold_out.share(),
        sample: None,
        split_by: plan.hold_out.split_by(),
        test: split.file.as_ref().map(|file| file.source.clone()),
        seed: plan.seed,
        n_train: chosen.n_train,
        n_without_target: raw.n_rows() - set.n_rows(),
        n_repeated: findings.n_repeated,
        n_held_out_seen: findings.n_held_out_seen,
        refit: chosen.refit,
        weight: plan.weight.clone(),
        balance: plan.balance,
        baseline: chosen.baseline.clone(),
        evaluation: chosen.evaluation.clone(),
        origin: None,
        thresholds: chosen.thresholds.clone(),
        notes: notes.concat(),
    })
}

/// The settings of the only member, with the number of rounds that boosting found.
pub(super) fn settings_of(spec: &Spec, pipeline: &Pipeline) -> Map<String, Value> {
    let mut settings = spec.hyperparameters().clone();
    let predictor = pipeline.members.first().map(|member| &member.predictor);
    if let (Some(Predictor::Trees(trees)), "auto") = (predictor, spec.settings.word("n_estimators")) {
        settings.insert("n_estimators".into(), (trees.n_trees() / trees.n_scores().max(1)).into());
    }
    settings
}

/// The algorithm's name for people: that of the only member, or what several together are.
fn name_of(members: &[(Spec, f64)]) -> &'static str {
    match members {
        [(spec, _)] => spec.algorithm.name,
        _ => ENSEMBLE,
    }
}

fn card_member((spec, weight): &(Spec, f64)) -> CardMember {
    CardMember {
        algorithm: spec.algorithm.name.into(),
        weight: *weight,
        target: spec.scale.name().map(String::from),
        columns: spec.columns.name().map(String::from),
        hyperparameters: spec.hyperparameters().clone(),
    }
}

/// Evaluates a fitted pipeline on the held-out rows.
fn evaluate(
    algorithm: &str,
    pipeline: &Pipeline,
    baseline: &Baseline,
    set: &TrainingSet,
    split: &TrainTestSplit,
) -> Result<(Evaluation, Option<ThresholdCounts>)> {
    let (codes, truth) = match &split.file {
        Some(file) => (file.rows.codes(&pipeline.schema)?, &file.rows.truth),
        None => (pipeline.schema.codes(&set.table, &split.test)?, &set.truth.select(&split.test)),
    };
    let threshold = pipeline.postprocessing.threshold.as_ref().map(|found| found.threshold);
    let positive = 1;
    let context = Context { algorithm, target: &set.target, baseline, positive, threshold };
    let predictions = pipeline.predict(&codes, pipeline.decision());
    let evaluation = Evaluation::new(context, &predictions, truth);
    let thresholds = ThresholdCounts::of(&predictions.scores, truth, positive);
    Ok((evaluation.covering(&pipeline.postprocessing, &predictions, truth), thresholds))
}

/// Shows progress and cannot be interrupted.
pub(super) struct Uninterrupted<'a>(pub(super) &'a dyn Watch);

impl Watch for Uninterrupted<'_> {
    fn stage(&self, name: &str) {
        self.0.stage(name);
    }

    fn progress(&self, done: u64, total: u64, state: std::fmt::Arguments) {
        self.0.progress(done, total, state);
    }

    fn stopped(&self) -> bool {
        false
    }
}
