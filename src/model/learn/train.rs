//! The road from a file to a model: read, choose target, task and types, hold out, choose the algorithm, fit,
//! evaluate, write the card.
//!
//! What was typed is a [`Plan`]; what came of it is a [`Trained`]. Nothing is printed here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;

pub use super::held_out::HoldOut;
use super::held_out::{HeldOut, Known};
use super::{Watch, usage};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{ColumnType, Ignored, NullTokens, Target, Task, nearest};
use crate::data::cells::table::{Column, RawTable, Table};
use crate::data::judge::findings;
use crate::data::judge::profile::{Profile, is_text, useless};
use crate::data::read::csv;
use crate::data::read::load::{Reading, read_tables};
use crate::data::split::arrangement::{Arrangement, SplitBy};
use crate::model::evaluation::{Baseline, Context, Evaluation};
use crate::model::file::golden_rows;
use crate::model::learn::choice::fitter::{Fitted, Fitter};
use crate::model::learn::choice::leaderboard::{Contenders, MainFigure, Search};
use crate::model::pipeline::Decision;
use crate::model::{Card, DataSource, Model, Written};

/// What to train.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Paths of the training files, one or more of one header; `-` for standard input.
    pub data: Vec<String>,
    /// How it is written.
    pub options: csv::Options,
    /// What means "no value".
    pub nulls: NullTokens,
    /// The target column; the last one if absent.
    pub target: Option<String>,
    /// The task; inferred from the target if absent.
    pub task: Option<Task>,
    /// Name of the algorithm; `auto` chooses.
    pub algorithm: String,
    /// Hyperparameters as given.
    pub settings: Vec<(String, String)>,
    /// Folds of cross-validation on the training rows, two or more; none if absent.
    pub cv: Option<usize>,
    /// Trials of the search for hyperparameters; none if absent.
    pub tune: Option<usize>,
    /// Where the rows to evaluate on come from.
    pub hold_out: HoldOut,
    /// What random choices start from.
    pub seed: u64,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// Types given instead of inferred.
    pub types: Vec<(String, ColumnType)>,
    /// The column of row weights.
    pub weight: Option<String>,
    /// Whether to give the classes equal weight.
    pub balance: bool,
    /// Whether to fit on all rows after the evaluation.
    pub refit: bool,
}

/// A trained model and what is to be said about it.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// The codes of the golden rows of the file.
    pub golden: Matrix,
    /// What each column of the file was found to hold.
    pub profiles: Vec<Profile>,
    /// Rows of the training file.
    pub n_rows: usize,
    /// Why this target.
    pub target_reason: String,
    /// Why this task.
    pub task_reason: String,
    /// How the held-out rows were chosen; empty where they are another file.
    pub split_reason: String,
    /// Why this algorithm.
    pub algorithm_reason: String,
    /// Time spent fitting recipe and predictor.
    pub fit_seconds: f64,
}

/// Trains as planned.
///
/// # Errors
/// A [`crate::usage::Usage`] where a flag cannot be meant for this file; else what is wrong with the file.
pub fn train(plan: &Plan, watch: &dyn Watch) -> Result<Trained> {
    let mut raw = read_tables(&plan.data, &plan.options, &reading(plan))?;
    let mut notes = std::mem::take(&mut raw.notes);
    if !raw.ndjson && !raw.no_header && raw.names.iter().all(|name| name.parse::<f64>().is_ok()) {
        notes.push(format!(
            "the first line of {} holds only numbers and was taken for the header; if it is data, \
             use --no-header",
            raw.source
        ));
    }
    let (target_index, target_reason) = choose_target(plan, &raw)?;
    let (task, task_reason) = choose_task(plan, &raw, target_index)?;
    let contenders = Contenders::of(&plan.algorithm, task, &plan.settings)?;
    if plan.balance && task == Task::Regression {
        return Err(usage("--balance needs classes, and this is a regression"));
    }
    check_split(plan, &raw, target_index)?;
    let target = Target::fit(&raw, target_index, task, &plan.nulls)?;
    let (with_target, truth) = target.read(&raw, target_index, &plan.nulls)?;
    let n_without_target = raw.n_rows() - with_target.len();
    if n_without_target > 0 {
        notes.push(format!("{n_without_target} rows without a target value were left out"));
    }
    notes.extend(findings::lookalike_labels(&raw, &target, &with_target, &truth));
    let weights = row_weights(plan, &raw)?;
    let arrangement = Arrangement::read(plan.hold_out.split_by(), &raw, &with_target, &plan.nulls)?;
    let mut features = Features::choose(plan, &mut raw, target_index)?;
    notes.append(&mut features.notes);

    // From here on rows are counted among those that have a target.
    let known =
        Known { raw: &raw, target: &target, rows: &with_target, truth: &truth, arrangement: &arrangement };
    let held_out = HeldOut::read(plan, &known, &features.texts(&target))?;
    let rows_of = |rows: &[usize]| -> Vec<usize> { rows.iter().map(|&row| with_target[row]).collect() };
    let fitter = Fitter {
        table: &features.table,
        features: &features.chosen,
        ignored: &features.ignored,
        target: &target,
        weights,
        groups: arrangement.groups(&with_target, raw.n_rows()),
        balance: plan.balance,
        seed: plan.seed,
        header: !raw.no_header,
        delimiter: raw.delimiter,
        decimal_comma: raw.decimal_comma,
        nulls: &plan.nulls,
    };
    let train_rows = rows_of(&held_out.train);
    let train_truth = truth.select(&held_out.train);
    let rows = findings::Rows {
        raw: &raw,
        table: &features.table,
        features: &features.chosen,
        target: &target,
        with_target: &with_target,
        truth: &truth,
        train: &held_out.train,
        test: &held_out.test,
    };
    let other_file =
        held_out.file.as_ref().map(|f| findings::OtherFile { raw: &f.raw, rows: &f.rows, truth: &f.truth });
    let findings = rows.look(other_file.as_ref(), plan.balance, &plan.nulls, plan.seed);
    notes.extend(findings.notes);
    let train_arrangement = arrangement.select(&held_out.train);
    let search = Search {
        fitter: &fitter,
        rows: &train_rows,
        truth: &train_truth,
        arrangement: &train_arrangement,
        figure: MainFigure::of(task, plan.balance),
        n_folds: plan.cv,
        seed: plan.seed,
        watch,
    };
    let choice = search.choose(&contenders, plan.tune, &plan.settings)?;
    notes.extend(choice.notes);
    let spec = choice.spec;
    // An interruption that ended the search must not cut short the fit of what it found.
    let deaf = Deaf(watch);
    let watch: &dyn Watch = if watch.stopped() { &deaf } else { watch };
    let started = Instant::now();
    let Fitted { mut pipeline, notes: fit_notes } = fitter.fit(&spec, &train_rows, &train_truth, watch)?;
    let mut fit_seconds = started.elapsed().as_secs_f64();
    notes.extend(fit_notes);

    let baseline = Baseline::fit(&train_truth);
    let test_codes = match &held_out.file {
        Some(file) => pipeline.schema.read(&file.raw, &file.rows)?,
        None => pipeline.schema.codes(&features.table, &rows_of(&held_out.test))?,
    };
    let test_truth = match &held_out.file {
        Some(file) => file.truth.clone(),
        None => truth.select(&held_out.test),
    };
    let context = Context {
        algorithm: spec.algorithm.name,
        target: &target,
        baseline: &baseline,
        positive: 1,
        threshold: None,
    };
    let predictions = pipeline.predict(&test_codes, Decision::MostProbable);
    let evaluation = Evaluation::new(context, &predictions, &test_truth);

    if plan.refit {
        let started = Instant::now();
        let refitted = fitter.fit(&spec, &with_target, &truth, watch)?;
        pipeline = refitted.pipeline;
        fit_seconds += started.elapsed().as_secs_f64();
    }
    if watch.stopped() {
        notes.push("training was interrupted; the best model so far was kept".into());
    }
    let fitted_rows = if plan.refit { &with_target } else { &train_rows };
    let golden = pipeline.schema.codes(&features.table, &golden_rows(fitted_rows))?;
    let mut sources = raw.files.iter().map(DataSource::of);
    let card = Card {
        algorithm: spec.algorithm.name.into(),
        hyperparameters: spec.hyperparameters().clone(),
        selection: choice.selection,
        data: sources.next().context("no file was read")?,
        more_data: sources.collect(),
        written: Written::of(&plan.options),
        test_size: plan.hold_out.share(),
        split_by: plan.hold_out.split_by().cloned(),
        test: held_out.file.map(|file| file.source),
        seed: plan.seed,
        n_train: fitted_rows.len(),
        n_without_target,
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
        model: Model { card, pipeline },
        golden,
        profiles: features.profiles,
        n_rows: raw.n_rows(),
        target_reason,
        task_reason,
        split_reason: held_out.reason,
        algorithm_reason: choice.reason,
        fit_seconds,
    })
}

/// Shows progress and is not to be interrupted any more.
struct Deaf<'a>(&'a dyn Watch);

impl Watch for Deaf<'_> {
    fn progress(&self, done: u64, total: u64, state: std::fmt::Arguments) {
        self.0.progress(done, total, state);
    }

    fn stopped(&self) -> bool {
        false
    }
}

/// What is to be known before the file is read.
pub(crate) fn reading(plan: &Plan) -> Reading {
    let texts = plan.types.iter().filter(|(_, column_type)| *column_type != ColumnType::Number);
    let mut texts: BTreeSet<String> = texts.map(|(name, _)| name.clone()).collect();
    // Labels are text, unless they turn out to be whole numbers.
    let labels = plan.task == Some(Task::Classification);
    texts.extend(plan.target.iter().filter(|_| labels).cloned());
    // Groups and times are told apart by what is written, here and when they are read again.
    texts.extend(plan.hold_out.split_by().map(|by| by.column().to_string()));
    Reading { nulls: plan.nulls.clone(), texts, last_is_text: labels && plan.target.is_none() }
}

/// The index of a column a flag names.
fn column(raw: &RawTable, flag: &str, name: &str) -> Result<usize> {
    raw.names.iter().position(|n| n == name).ok_or_else(|| {
        let hint = nearest(name, raw.names.iter().map(String::as_str));
        let hint = hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
        let shown: Vec<&str> = raw.names.iter().take(20).map(String::as_str).collect();
        let more = if raw.names.len() > shown.len() { ", …" } else { "" };
        usage(format!(
            "{flag} {name:?}: {} has no such column{hint}\nits columns are: {}{more}",
            raw.source,
            shown.join(", ")
        ))
    })
}

fn choose_target(plan: &Plan, raw: &RawTable) -> Result<(usize, String)> {
    let (index, reason) = match &plan.target {
        Some(name) => (column(raw, "--target", name)?, "given".to_string()),
        None => (raw.names.len() - 1, "the last column; --target COL chooses another".to_string()),
    };
    ensure!(
        raw.names.len() > 1,
        "{} has one column, {:?}; a model needs a target and at least one other column (is the delimiter \
         right? --delimiter C)",
        raw.source,
        raw.names[0]
    );
    if plan.drop.contains(&raw.names[index]) {
        return Err(usage(format!("--drop {:?}: that is the target", raw.names[index])));
    }
    Ok((index, reason))
}

/// Checks the column of `--group` or `--split-by`.
fn check_split(plan: &Plan, raw: &RawTable, target: usize) -> Result<()> {
    let Some(by) = plan.hold_out.split_by() else {
        return Ok(());
    };
    let flag = if matches!(by, SplitBy::Group(_)) { "--group" } else { "--split-by" };
    if column(raw, flag, by.column())? == target {
        return Err(usage(format!("{flag} {:?}: that is the target", by.column())));
    }
    Ok(())
}

fn choose_task(plan: &Plan, raw: &RawTable, target: usize) -> Result<(Task, String)> {
    let profile = Profile::of(raw, target, &plan.nulls);
    if let Some(task) = plan.task {
        return Ok((task, "given".into()));
    }
    if profile.is_mostly_numbers() {
        let (place, text) = &profile.first_texts[0];
        bail!(
            "{place}, target column {:?}: {text:?} is not a number, and nearly all other cells are; \
             correct it, name it as missing (--null {text:?}), or give the --task",
            raw.names[target]
        );
    }
    let (task, reason) = profile.task();
    let other = match task {
        Task::Classification => Task::Regression,
        Task::Regression => Task::Classification,
    };
    Ok((task, format!("{reason}; --task {} overrides", other.name())))
}

/// The columns of the training file that are used, typed, and those that are not.
struct Features {
    table: Table,
    chosen: Vec<(usize, ColumnType)>,
    ignored: Vec<Ignored>,
    /// Of every column of the file.
    profiles: Vec<Profile>,
    notes: Vec<String>,
}

impl Features {
    /// The columns that are to be read as text, the target included where it has labels.
    fn texts(&self, target: &Target) -> Vec<String> {
        let texts = self.chosen.iter().filter(|(_, column_type)| *column_type != ColumnType::Number);
        let mut names: Vec<String> = texts.map(|(index, _)| self.table.names[*index].clone()).collect();
        names.extend((target.task == Task::Classification).then(|| target.name.clone()));
        names
    }

    fn choose(plan: &Plan, raw: &mut RawTable, target: usize) -> Result<Self> {
        let profiles: Vec<Profile> =
            (0..raw.names.len()).into_par_iter().map(|index| Profile::of(raw, index, &plan.nulls)).collect();
        let mut given = BTreeMap::new();
        for (name, column_type) in &plan.types {
            given.insert(column(raw, "--type", name)?, *column_type);
        }
        let dropped = plan.drop.iter().map(|name| column(raw, "--drop", name));
        let dropped: Vec<usize> = dropped.collect::<Result<_>>()?;
        let weight = plan.weight.as_ref().map(|name| column(raw, "--weight", name)).transpose()?;
        let group = match plan.hold_out.split_by() {
            Some(SplitBy::Group(name)) => Some(column(raw, "--group", name)?),
            _ => None,
        };
        let (mut columns, mut chosen, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
        let mut notes = Vec::new();
        for (index, name) in raw.names.clone().iter().enumerate() {
            let mut leave_out = |reason: &str| {
                ignored.push(Ignored { name: name.clone(), reason: reason.into() });
                Column::Number(Vec::new())
            };
            if index == target {
                columns.push(Column::Number(Vec::new()));
                continue;
            }
            if weight == Some(index) {
                columns.push(leave_out("row weights"));
                continue;
            }
            if dropped.contains(&index) {
                columns.push(leave_out("dropped"));
                continue;
            }
            if group == Some(index) && !given.contains_key(&index) {
                columns.push(leave_out("groups of the split"));
                continue;
            }
            let profile = &profiles[index];
            let column_type = given.get(&index).copied();
            if column_type.is_none() && profile.is_mostly_numbers() {
                // The parser's message lists the cells and the ways out.
                Column::parse(raw, index, ColumnType::Number, &plan.nulls)?;
            }
            if column_type.is_none() && profile.is_mostly_dates() {
                Column::parse(raw, index, ColumnType::Date, &plan.nulls)?;
            }
            let mut inferred = column_type.unwrap_or_else(|| profile.column_type());
            let mut column = Column::take(raw, index, inferred, &plan.nulls)?;
            if column_type.is_none() && is_text(&column) {
                inferred = ColumnType::Text;
                column = Column::parse(raw, index, inferred, &plan.nulls)?;
            }
            if inferred == ColumnType::Date && profile.dates.is_guess() {
                notes.push(format!(
                    "the dates of {name:?} can all be read with the day or the month first; the month was taken to \
                     be first, as in 12/31/2024; write them as 2024-12-31 if it is not"
                ));
            }
            let padded = raw.padded.iter().find(|(padded, _)| padded == name);
            if let (ColumnType::Number, None, Some((_, cell))) = (inferred, column_type, padded) {
                notes.push(format!(
                    "whole numbers of {name:?} are written with leading zeros, such as {cell}, and were read as \
                     numbers; if they are codes, as postal codes are, --type {:?} takes them as written",
                    format!("{name}=category")
                ));
            }
            match useless(name, &column) {
                Some(reason) if column_type.is_none() => columns.push(leave_out(&reason)),
                _ => {
                    columns.push(column);
                    chosen.push((index, inferred));
                }
            }
        }
        if chosen.is_empty() {
            let reasons = ignored.iter().map(|i| format!("{:?} ({})", i.name, i.reason));
            bail!(
                "{} has no column to learn from beside the target {:?}: {}; --type COL=category or \
                 --type COL=number uses a column all the same",
                raw.source,
                raw.names[target],
                reasons.collect::<Vec<_>>().join(", ")
            );
        }
        let mut table =
            Table { source: raw.source.clone(), names: raw.names.clone(), columns, lines: raw.lines.clone() };
        for (copy, first) in findings::duplicate_columns(&table, &chosen) {
            let Some(&(_, column_type)) = chosen.iter().find(|(index, _)| *index == copy) else {
                continue;
            };
            if given.contains_key(&copy) {
                continue;
            }
            let (name, original) = (&raw.names[copy], &raw.names[first]);
            notes.push(findings::duplicate_column(name, original, column_type));
            ignored.push(Ignored { name: name.clone(), reason: format!("the same cells as {original:?}") });
            chosen.retain(|(index, _)| *index != copy);
            table.columns[copy] = Column::Number(Vec::new());
        }
        notes.extend(findings::mostly_missing(&table, &chosen));
        notes.extend(findings::lookalike_levels(&table, &chosen));
        Ok(Self { table, chosen, ignored, profiles, notes })
    }
}

/// The row weights that a column holds, one per row of the file.
fn row_weights(plan: &Plan, raw: &RawTable) -> Result<Option<Vec<f64>>> {
    let Some(name) = &plan.weight else {
        return Ok(None);
    };
    let index = column(raw, "--weight", name)?;
    let Column::Number(weights) = Column::parse(raw, index, ColumnType::Number, &plan.nulls)? else {
        return Ok(None);
    };
    let wrong = weights.iter().enumerate().find(|(_, weight)| weight.is_nan() || **weight < 0.0);
    if let Some((row, weight)) = wrong {
        let what = if weight.is_nan() { "is missing".to_string() } else { format!("is {weight}") };
        bail!("{}, column {name:?}: the weight {what}; weights are 0 or more", raw.place(row));
    }
    Ok(Some(weights))
}
