//! Training on a sample of a file that is too large for memory, evaluated on all its other rows in a second pass.
//!
//! The model is fitted on the whole sample. Of standard input a second pass is not possible; there, rows are held out of
//! the sample.

use anyhow::{Context as _, Result, ensure};

use super::Watch;
use super::plan::Plan;
use super::train::train;
use crate::data::cells::target::Truth;
use crate::data::read::reservoir::{Reservoir, Size};
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::evaluation::tally::Tally;
use crate::model::evaluation::{Baseline, Context};
use crate::model::hold_out::{HoldOut, TestRows, known};
use crate::model::pipeline::{Decision, Predictions};
use crate::model::trained::Trained;
use crate::model::{Card, Model, SampleOf};

/// Rows that do not fit the model after which the evaluation ends.
const MAX_BAD: usize = 1000;

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

/// Trains as planned on a sample of the one file of the plan.
///
/// # Errors
/// A usage error for several files, and for a split by a column; those of [`train`]; more than [`MAX_BAD`] other rows that
/// do not fit the model.
pub fn train_on_sample(plan: &Plan, sample: Sample, watch: &dyn Watch) -> Result<Trained> {
    let [path] = plan.data.as_slice() else {
        return Err(usage("--sample takes one file; concatenate several, or train on each"));
    };
    if plan.hold_out.split_by().is_some() {
        return Err(usage("--sample draws rows by chance, which --group and --split-by do not allow"));
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
    let drawn = SampleOf { n_rows: reservoir.n_records, n_sampled: reservoir.n_sampled };
    let options = Options { text: Some(reservoir.text.clone()), ..reservoir.options.clone() };
    let is_shared = matches!(plan.hold_out, HoldOut::Share(_));
    let is_evaluated_later = is_shared && path != "-";
    // The rows that are held out at first are of the sample, and are fitted as well where others are evaluated on.
    let of_sample = Plan { options, refit: is_evaluated_later, ..plan.clone() };
    let numbered = || format!("in a sample of {} rows, numbered as the sample is", drawn.n_sampled);
    let mut trained = train(&of_sample, watch).with_context(numbered)?;
    let card = &mut trained.model.card;
    card.data.sha256.clone_from(&reservoir.sha256);
    card.written = crate::model::Written::of(&plan.options);
    let strata = if reservoir.n_strata > 1 { ", each value of the target by its share" } else { "" };
    let mut note = format!("trained on a sample of {} of {} rows{strata}", drawn.n_sampled, drawn.n_rows);
    if is_shared {
        if !is_evaluated_later {
            note += "; evaluated on rows held out of the sample, as standard input cannot be read twice";
        } else {
            watch.stage("evaluating the other rows");
            let tally = evaluate(&trained.model, path, plan, &reservoir, watch)?;
            note += &replace_evaluation(&mut trained.model, &tally, drawn);
            trained.model.card.refit = false;
            trained.split_reason = format!("all that are not in the sample, seed {}", plan.seed);
        }
        trained.model.card.sample = Some(drawn);
    }
    trained.model.card.notes.insert(0, note);
    Ok(trained)
}

/// Puts the evaluation of the other rows into the card. The end of the note about it.
fn replace_evaluation(model: &mut Model, (tally, n_bad): &(Tally, usize), drawn: SampleOf) -> String {
    let context = context(&model.card, model);
    let evaluation = tally.evaluation(context);
    let mut note =
        format!("; evaluated on {} of the {} others", tally.n_rows(), drawn.n_rows - drawn.n_sampled);
    if *n_bad > 0 {
        note += &format!(" ({n_bad} have no target value or do not fit the model)");
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

/// The predictions and targets of some rows, and how many do not fit.
#[derive(Default)]
struct Part {
    found: Vec<(Predictions, Truth)>,
    n_bad: usize,
    last_error: Option<anyhow::Error>,
}

/// Evaluates all rows that are not in the sample, block by block, and counts those that do not fit.
fn evaluate(
    model: &Model,
    path: &str,
    plan: &Plan,
    reservoir: &Reservoir,
    watch: &dyn Watch,
) -> Result<(Tally, usize)> {
    let mut tally = Tally::new(model.labels(), 1);
    let class = match &model.card.baseline {
        Baseline::ClassShares(shares) => Decision::MostProbable.class(shares),
        Baseline::Mean(_) => 0,
    };
    let mut n_bad = 0;
    let work = |records: &[&[u8]], part: &mut Part| {
        *part = Part::default();
        predict(model, path, reservoir, records, part);
    };
    let consume = |part: &mut Part| {
        n_bad += part.n_bad;
        let error = part.last_error.take().filter(|_| n_bad > MAX_BAD);
        if let Some(error) = error {
            return Err(error.context(format!(
                "more than {MAX_BAD} rows do not fit what the sample shows of their columns; a larger sample, or --type \
                 COL=TYPE, may help; the last of them, with a header above it"
            )));
        }
        for (predictions, truth) in part.found.drain(..) {
            tally.add(&predictions, &truth, &model.card.baseline, class);
        }
        super::train::go_on(watch)
    };
    reservoir.rest(path, &plan.options, work, consume)?;
    ensure!(
        tally.n_rows() > 0,
        "none of the rows that are not in the sample has a target value and fits the model"
    );
    Ok((tally, n_bad))
}

/// Predicts records; if one of them does not fit, each half for itself.
fn predict(model: &Model, path: &str, reservoir: &Reservoir, records: &[&[u8]], part: &mut Part) {
    if records.is_empty() || part.n_bad > MAX_BAD {
        return;
    }
    let text = reservoir.text_of(records);
    let mut options = Options { text: Some(text), ..reservoir.options.clone() };
    let schema = &model.pipeline.schema;
    // A block alone may not tell.
    options.decimal_comma = schema.decimal_comma.then_some(true).or(options.decimal_comma);
    let read = || -> Result<(Predictions, Truth)> {
        let rows = TestRows::read(&|_| false, &[path.to_string()], &options, &known(model), &schema.target)?;
        let codes = rows.codes(schema)?;
        Ok((model.pipeline.predict_serially(&codes, model.pipeline.decision()), rows.truth))
    };
    match read() {
        Ok(found) => part.found.push(found),
        Err(error) if records.len() == 1 => {
            part.n_bad += 1;
            part.last_error = Some(error);
        }
        Err(_) => {
            let (a, b) = records.split_at(records.len() / 2);
            predict(model, path, reservoir, a, part);
            predict(model, path, reservoir, b, part);
        }
    }
}
