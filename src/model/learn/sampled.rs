//! Training on a sample of a file that is too large for memory, evaluated on all its other rows in a second pass.
//!
//! The model is fitted on the whole sample, or on most of the other rows ([`super::streamed`]), of which a part is evaluated
//! then. Of standard input a second pass is not possible; there, rows are held out of the sample.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};

use super::plan::Plan;
use super::postprocessing::{Calibrate, Wanted};
use super::sampled_file::SampledFile;
use super::train::{Uninterrupted, train, train_with_choice};
use super::{ALGORITHMS, Watch, algorithm, streamed};
use crate::data::cells::target::Truth;
use crate::data::read::reservoir::{Reservoir, Size};
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::evaluation::tally::Tally;
use crate::model::evaluation::{Baseline, Context};
use crate::model::hold_out::{HoldOut, TestRows};
use crate::model::pipeline::{Decision, Predictions};
use crate::model::postprocessing::coverage::Coverage;
use crate::model::trained::Trained;
use crate::model::{Card, Model, SampleOf};

/// `--sample`: so many rows, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(Size);

impl std::str::FromStr for Sample {
    type Err = String;

    /// Reads `100000` or `0.05`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text} is neither a number of rows nor a share of them, such as 1000000 or 0.05");
        match (text.parse::<usize>(), text.parse::<f64>()) {
            (Ok(rows), _) if rows >= 2 => Ok(Self(Size::Rows(rows))),
            (Err(_), Ok(share)) if share > 0.0 && share < 1.0 => Ok(Self(Size::Share(share))),
            _ => Err(wrong()),
        }
    }
}

/// The rows that a model of a sampled file is fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FittedRows {
    /// Those of the sample.
    Sample,
    /// All others but those that are held out.
    AllOthers,
}

/// Trains as planned on a sample of the one file of the plan, or by it on all other rows.
///
/// # Errors
/// A usage error for several files, and for a split by a column; those of [`train`]; more than a thousand other
/// rows that do not fit the model. Of all other rows: a usage error for an algorithm that needs the rows as they are, a file that
/// cannot be read again, another file to evaluate on.
pub fn train_on_sample(
    plan: &Plan,
    sample: Sample,
    fitted: FittedRows,
    watch: &dyn Watch,
) -> Result<Trained> {
    let [path] = plan.data.as_slice() else {
        return Err(usage("--sample takes one file; concatenate several, or train on each"));
    };
    if plan.hold_out.split_by().is_some() {
        return Err(usage("--sample draws rows by chance, which --group and --split-by do not allow"));
    }
    let held_out = match plan.hold_out {
        HoldOut::Share(share) => Some(share),
        _ => None,
    };
    if fitted == FittedRows::AllOthers {
        check_all_others(plan, path, held_out)?;
    }
    watch.stage("sampling");
    let target = plan.target.as_deref();
    let reservoir = Reservoir::sample(path, &plan.options, target, sample.0, plan.seed)?;
    if reservoir.n_sampled == reservoir.n_records && path != "-" {
        let mut trained = train(plan, watch)?;
        let note =
            format!("{path} has no more rows than --sample asks for: all {} are used", reservoir.n_records);
        trained.model.card.notes.insert(0, note);
        return Ok(trained);
    }
    let mut drawn = SampleOf { n_rows: reservoir.n_records, n_sampled: reservoir.n_sampled, n_fitted: None };
    let options = Options { text: Some(reservoir.text.clone()), ..reservoir.options.clone() };
    let evaluated_later = held_out.filter(|_| path != "-");
    // The rows that are held out at first are of the sample, and are fitted as well where others are evaluated on.
    let mut of_sample = Plan { options, refit: evaluated_later.is_some(), ..plan.clone() };
    if fitted == FittedRows::AllOthers {
        of_sample.wanted = Wanted { calibrate: Calibrate::Never, ..Wanted::default() };
    }
    let numbered = || format!("in a sample of {} rows, numbered as the sample is", drawn.n_sampled);
    let (mut trained, members) = train_with_choice(&of_sample, watch).with_context(numbered)?;
    let card = &mut trained.model.card;
    card.data.sha256.clone_from(&reservoir.sha256);
    card.written = crate::model::Written::of(&plan.options);
    let strata = if reservoir.n_strata > 1 { ", each value of the target by its share" } else { "" };
    let of_rows = format!("a sample of {} of {} rows{strata}", drawn.n_sampled, drawn.n_rows);
    let mut note = format!("trained on {of_rows}");
    let file = SampledFile { plan, path, reservoir };
    let (mut others, mut n_strays) = (0.0..1.0, 0);
    let is_of_others = fitted == FittedRows::AllOthers && !watch.stopped();
    if let (true, [(spec, _)], Some(share)) = (is_of_others, members.as_slice(), held_out) {
        let found = streamed::fit(&mut trained, spec, &file, share..1.0, watch)?;
        note = format!(
            "{of_rows}, says what the columns are; trained on {} others, one byte per value",
            found.n_rows
        );
        n_strays = found.n_strays;
        drawn.n_fitted = Some(found.n_rows);
        others = 0.0..share;
    }
    if held_out.is_some() {
        if evaluated_later.is_none() {
            note += "; evaluated on rows held out of the sample, as standard input cannot be read twice";
        } else {
            // What an interruption left of the fit is evaluated all the same.
            let uninterrupted = Uninterrupted(watch);
            let watch: &dyn Watch = if watch.stopped() { &uninterrupted } else { watch };
            watch.stage("evaluating the other rows");
            let (tally, n_more) = evaluate(&trained.model, &file, others, watch)?;
            n_strays += n_more;
            note += &replace_evaluation(&mut trained.model, &tally, n_strays, drawn);
            trained.model.card.refit = false;
            trained.split_reason = match drawn.n_fitted {
                Some(_) => format!("some of those that are not in the sample, seed {}", plan.seed),
                None => format!("all that are not in the sample, seed {}", plan.seed),
            };
        }
        trained.model.card.sample = Some(drawn);
    }
    trained.model.card.notes.insert(0, note);
    Ok(trained)
}

/// # Errors
/// A usage error for a plan whose model cannot be fitted on all other rows.
fn check_all_others(plan: &Plan, path: &str, held_out: Option<f64>) -> Result<()> {
    if plan.algorithm == "auto" || !algorithm(&plan.algorithm)?.takes_blocks() {
        let able: Vec<&str> = ALGORITHMS.iter().filter(|a| a.takes_blocks()).map(|a| a.name).collect();
        return Err(usage(format!(
            "--all-rows is for an algorithm that needs only a byte of each value: --algorithm {}",
            able.join(", ")
        )));
    }
    if path == "-" {
        return Err(usage("--all-rows reads the file again, and standard input cannot be read twice"));
    }
    if held_out.is_none() {
        return Err(usage("--all-rows holds rows of the file out; mlapi eval FILE evaluates on others"));
    }
    Ok(())
}

/// Puts the evaluation of other rows into the card. The end of the note about it.
fn replace_evaluation(model: &mut Model, tally: &Tally, n_strays: usize, drawn: SampleOf) -> String {
    let context = context(&model.card, model);
    let evaluation = tally.evaluation(context);
    let n_others = drawn.n_rows - drawn.n_sampled - drawn.n_fitted.unwrap_or(0);
    let mut note = match drawn.n_fitted {
        Some(_) => format!("; evaluated on {} others", tally.n_rows()),
        None => format!("; evaluated on {} of the {n_others} others", tally.n_rows()),
    };
    if n_strays > 0 {
        note += &format!(" ({n_strays} have no target value or do not fit the model)");
    }
    if tally.n_unknown() > 0 {
        note +=
            &format!("; {} have labels that the sample does not have, and count as wrong", tally.n_unknown());
    }
    model.card.evaluation = evaluation;
    model.card.thresholds = None;
    note
}

fn context<'a>(card: &'a Card, model: &'a Model) -> Context<'a> {
    Context {
        algorithm: &card.algorithm,
        target: &model.pipeline.schema.target,
        baseline: &card.baseline,
        positive: 1,
        threshold: model.pipeline.postprocessing.threshold.as_ref().map(|found| found.threshold),
    }
}

/// Evaluates a share of the rows that are not in the sample, block by block, and counts those that do not fit.
fn evaluate(
    model: &Model,
    file: &SampledFile,
    share: Range<f64>,
    watch: &dyn Watch,
) -> Result<(Tally, usize)> {
    let mut tally = Tally::new(model.labels(), 1);
    let class = match &model.card.baseline {
        Baseline::ClassShares(shares) => Decision::MostProbable.class(shares),
        Baseline::Mean(_) => 0,
    };
    let (schema, decision) = (&model.pipeline.schema, model.pipeline.decision());
    let predict = |rows: TestRows| {
        let codes = rows.codes(schema)?;
        let predictions = model.pipeline.predict_serially(&codes, decision);
        let coverage = Coverage::of(&model.pipeline.postprocessing, &predictions.scores, &rows.truth);
        Ok((predictions, rows.truth, coverage))
    };
    let mut add = |(predictions, truth, coverage): (Predictions, Truth, Option<Coverage>)| {
        tally.cover(coverage, truth.len());
        tally.add(&predictions, &truth, &model.card.baseline, class);
    };
    let n_strays = file.go_through(model, share, &predict, &mut add, watch)?;
    ensure!(
        tally.n_rows() > 0,
        "none of the rows that are not in the sample has a target value and fits the model"
    );
    Ok((tally, n_strays))
}
