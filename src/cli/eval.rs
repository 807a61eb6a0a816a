//! `mlapi eval`: the held-out rows of training, or another file, against the model.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::RequirementNotMet;
use super::args::{Eval, Format, Requirement};
use super::term::Term;
use crate::data::cells::schema::{ColumnType, Task, nearest};
use crate::data::cells::table::RawTable;
use crate::data::read::load::{Reading, read_tables};
use crate::data::read::{csv, digest};
use crate::data::split::arrangement::Arrangement;
use crate::model::evaluation::{Context, Evaluation};
use crate::model::pipeline::Decision;
use crate::model::{DataSource, Model, file};
use crate::report::text;
use crate::usage::usage;

#[derive(Serialize)]
struct EvalResult<'a> {
    model: &'a str,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    /// Only where the rows could not be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recorded_at_training: bool,
}

/// Runs the verb.
pub fn run(args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = file::load(&args.model)?;
    for requirement in &args.require {
        check_name(requirement, &model.card.evaluation)?;
    }
    let (positive, decision) = decision(args, &model)?;
    let show = |evaluation: &Evaluation, recorded: bool, out: &mut dyn Write| -> Result<()> {
        match args.format {
            Format::Text => {
                let rows = text::count(evaluation.n_rows, "row", "rows");
                let which = if recorded { " held out, as recorded at training" } else { "" };
                writeln!(
                    out,
                    "{}: {} predicting {}, on {rows}{which}",
                    args.model, evaluation.algorithm, evaluation.target
                )?;
                out.write_all(text::evaluation(evaluation).as_bytes())?;
                writeln!(out, "\n  {}", text::baseline_words(evaluation))?;
            }
            Format::Json => {
                let result = EvalResult { model: &args.model, evaluation, recorded_at_training: recorded };
                serde_json::to_writer(&mut *out, &result)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    };
    let recorded = &model.card.evaluation;
    if args.data.is_none() && model.card.refit {
        term.warn(
            "the model was fitted again on all rows after its evaluation, so its held-out rows are no longer \
             unseen; these are the figures recorded before that",
        );
        show(recorded, true, out)?;
        return check(&args.require, recorded);
    }
    let (raw, rows) = match &args.data {
        Some(path) => {
            let options = args.dialect.options_like(&model);
            (read_tables(std::slice::from_ref(path), &options, &reading(&model))?, None)
        }
        None => match held_out(args, &model) {
            Ok(held_out) => held_out,
            Err(error) => {
                show(recorded, true, out)?;
                out.flush()?;
                return Err(error);
            }
        },
    };
    let schema = &model.pipeline.schema;
    let index = raw.names.iter().position(|name| *name == schema.target.name).with_context(|| {
        format!("{} has no target column {:?} to compare with", raw.source, schema.target.name)
    })?;
    let (mut with_target, mut truth) = schema.target.read(&raw, index, &schema.null_tokens)?;
    ensure!(!with_target.is_empty(), "{}: no row has a target value", raw.source);
    let without = raw.n_rows() - with_target.len();
    if without > 0 && args.data.is_some() {
        term.warn(format_args!("{without} rows without a target value were left out"));
    }
    if let Some(share) = rows {
        let by = model.card.split_by.as_ref();
        let arrangement = Arrangement::read(by, &raw, &with_target, &schema.null_tokens)?;
        let held_out = arrangement.hold_out(&truth, share, model.card.seed).test;
        with_target = held_out.iter().map(|&row| with_target[row]).collect();
        truth = truth.select(&held_out);
    }
    let codes = schema.read(&raw, &with_target)?;
    let predictions = model.pipeline.predict(&codes, decision);
    let context = Context {
        algorithm: &model.card.algorithm,
        target: &schema.target,
        baseline: &model.card.baseline,
        positive,
        threshold: args.threshold,
    };
    let evaluation = Evaluation::new(context, &predictions, &truth);
    show(&evaluation, false, out)?;
    check(&args.require, &evaluation)
}

fn decision(args: &Eval, model: &Model) -> Result<(usize, Decision)> {
    let labels = model.labels();
    let positive = match &args.positive {
        None => 1,
        Some(_) if labels.len() != 2 => {
            return Err(usage("--positive needs a model with two classes"));
        }
        Some(label) => labels.iter().position(|known| known == label).ok_or_else(|| {
            usage(format!("--positive {label:?}: the classes are {:?} and {:?}", labels[0], labels[1]))
        })?,
    };
    let mut decision = Decision::with_threshold(args.threshold, &model.pipeline.schema)
        .map_err(|e| usage(format!("--threshold: {e}")))?;
    if let Decision::Threshold { positive: class, .. } = &mut decision {
        *class = positive;
    }
    Ok((positive, decision))
}

/// The file that the held-out rows came from, and the share of its rows that was held out (none: all).
fn held_out(args: &Eval, model: &Model) -> Result<(RawTable, Option<f64>)> {
    let card = &model.card;
    let (source, share) = match &card.test {
        Some(test) => (test, None),
        None => (&card.data, card.test_size),
    };
    let mut sources = vec![source];
    sources.extend(card.more_data.iter().filter(|_| card.test.is_none()));
    if sources.iter().any(|source| source.path == "-") {
        bail!("the model was trained from standard input, which cannot be read again; mlapi eval DATA");
    }
    let schema = &model.pipeline.schema;
    let mut options = csv::Options {
        delimiter: Some(schema.delimiter).filter(|_| card.test.is_none()),
        header: schema.header,
        decimal_comma: schema.decimal_comma.then_some(true),
        ..args.dialect.options()
    };
    card.written.complete(&mut options);
    let path = |source: &&DataSource| Ok(find(source, &args.model)?.to_string_lossy().into_owned());
    let paths = sources.iter().map(path).collect::<Result<Vec<String>>>()?;
    Ok((read_tables(&paths, &options, &reading(model))?, share))
}

/// The columns that are categories are read as text, so that `007` stays what it is.
fn reading(model: &Model) -> Reading {
    let schema = &model.pipeline.schema;
    let categories = schema.features.iter().filter(|f| f.column_type == ColumnType::Category);
    let mut texts: BTreeSet<String> = categories.map(|f| f.name.clone()).collect();
    texts.extend((model.task() == Task::Classification).then(|| schema.target.name.clone()));
    texts.extend(model.card.split_by.as_ref().map(|by| by.column().to_string()));
    Reading { nulls: schema.null_tokens.clone(), texts, last_is_text: false }
}

/// A file that was read at training, by its digest: at its path from here, at its path from the folder of the
/// model, or beside the model.
fn find(source: &DataSource, model: &str) -> Result<PathBuf> {
    let path = Path::new(&source.path);
    let folder = Path::new(model).parent().unwrap_or(Path::new(""));
    let beside = path.file_name().map(|name| folder.join(name));
    let candidates = [Some(path.to_path_buf()), Some(folder.join(path)), beside];
    let mut found = candidates.into_iter().flatten().filter(|path| path.is_file()).peekable();
    if found.peek().is_none() {
        bail!("{} is no longer where it was; mlapi eval DATA names another file", source.path);
    }
    for path in found {
        if digest::file_digest(&path.to_string_lossy())? == source.sha256 {
            return Ok(path);
        }
    }
    bail!("{} has changed since training, so its held-out rows are not known; mlapi eval DATA", source.path)
}

fn check_name(requirement: &Requirement, evaluation: &Evaluation) -> Result<()> {
    let figures = evaluation.metrics.figures();
    if figures.iter().any(|(name, _)| *name == requirement.figure) {
        return Ok(());
    }
    let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
    let hint = nearest(&requirement.figure, names.iter().copied());
    let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    Err(usage(format!(
        "--require {}: {:?} is not a figure of this evaluation{hint}\nknown are: {}",
        requirement.text,
        requirement.figure,
        names.join(", ")
    )))
}

fn check(requirements: &[Requirement], evaluation: &Evaluation) -> Result<()> {
    let figures = evaluation.metrics.figures();
    let mut missed = Vec::new();
    for requirement in requirements {
        let found = figures.iter().find(|(name, _)| *name == requirement.figure);
        let value = found.and_then(|(_, value)| *value);
        let met = value.is_some_and(|value| match requirement.comparison {
            ">=" => value >= requirement.bound,
            ">" => value > requirement.bound,
            "<=" => value <= requirement.bound,
            "<" => value < requirement.bound,
            _ => value == requirement.bound,
        });
        if !met {
            let value = value.map_or("undefined".to_string(), |value| value.to_string());
            missed.push(format!("{} is {value}, required is {}", requirement.figure, requirement.text));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(RequirementNotMet(missed.join("\n")).into()) }
}
