//! `mlapi eval`: models on the held-out rows of their training, or on another file.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Error, Result};
use serde::Serialize;

use super::args::{Eval, Format};
use super::term::{Term, write_text};
use crate::error::usage;
use crate::model::evaluation::associations::Associations;
use crate::model::evaluation::detail::{DetailedEvaluation, Wishes, evaluate_in_detail};
use crate::model::evaluation::{Evaluation, Positive};
use crate::model::hold_out::TestRows;
use crate::model::requirement::check;
use crate::model::{Model, file};
use crate::report::html;
use crate::report::html::subject::{Rows, Subject};
use crate::report::text;

#[derive(Serialize)]
struct EvalResult<'a> {
    model: &'a str,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    /// Present only if the rows could not be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recorded_at_training: bool,
}

/// A model that was evaluated.
struct Evaluated {
    path: String,
    model: Model,
    detailed: DetailedEvaluation,
    rows: Rows,
    associations: Option<Associations>,
    /// Why the rows that training held out could not be read again.
    not_replayed: Option<Error>,
}

impl Evaluated {
    fn recorded(path: &str, model: Model, not_replayed: Option<Error>) -> Self {
        let detailed = model.card.evaluation.clone().into();
        Self { path: path.into(), model, detailed, rows: Rows::Recorded, associations: None, not_replayed }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            name: self.path.clone(),
            rows: self.rows.clone(),
            detailed: &self.detailed,
            model: Some((&self.model, &self.model.card)),
            served: false,
            associations: self.associations.as_ref(),
        }
    }

    /// Whether two models were evaluated on the same rows.
    fn shares_rows_with(&self, other: &Self) -> bool {
        let (own, of_other) = (&self.model.card, &other.model.card);
        let split = |card: &crate::model::Card| (card.test_size, card.split_by.clone(), card.seed);
        let digests = |card: &crate::model::Card| -> Vec<String> {
            let sources = card.test.iter().chain(std::iter::once(&card.data)).chain(&card.more_data);
            sources.map(|source| source.sha256.clone()).collect()
        };
        let same_target = self.detailed.evaluation.target == other.detailed.evaluation.target;
        let held_out_alike = own.test.is_some()
            && own.test.as_ref().map(|test| &test.sha256) == of_other.test.as_ref().map(|test| &test.sha256)
            || split(own) == split(of_other) && digests(own) == digests(of_other);
        same_target && (matches!(self.rows, Rows::File(_)) || held_out_alike)
    }
}

/// Runs the verb.
pub(super) fn run(args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    if args.model.len() > 1 && args.report.is_none() {
        return Err(usage("several --model are compared in a report: add --report FILE.html"));
    }
    let mut all = Vec::with_capacity(args.model.len());
    for path in &args.model {
        let one = evaluated(path, args, term)?;
        show(&one, args, out)?;
        all.push(one);
    }
    out.flush()?;
    if let Some(path) = &args.report {
        let subjects: Vec<Subject> = all.iter().map(Evaluated::subject).collect();
        let same_rows = all.iter().all(|one| one.shares_rows_with(&all[0]));
        let page = html::report(&subjects, same_rows);
        file::write_atomically(Path::new(path), page.as_bytes()).context("--report")?;
        term.note(format!("the report is in {path}"));
    }
    if let Some(error) = all.iter_mut().find_map(|one| one.not_replayed.take()) {
        return Err(error);
    }
    all.iter().try_for_each(|one| Ok(check(&args.require, &one.detailed.evaluation)?))
}

/// Evaluates one model.
fn evaluated(path: &str, args: &Eval, term: &Term) -> Result<Evaluated> {
    let model = Model::open_within(path, args.limit.max_model_bytes)?;
    let recorded = &model.card.evaluation;
    args.require.iter().try_for_each(|requirement| requirement.check_name(recorded))?;
    let positive = Positive::new(&model, args.positive.as_deref(), args.threshold)?;
    if args.data.is_none() && model.card.refit {
        term.warn(
            "the model was fitted again on all rows after its evaluation, so its held-out rows are no longer \
             unseen; these are the figures recorded before that",
        );
        return Ok(Evaluated::recorded(path, model, None));
    }
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let (rows, which) = match &args.data {
        Some(path) => {
            let rows = TestRows::of_file(&model, path, &args.dialect.options_like(&model))?;
            if let Some(text) = rows.without_target(&model) {
                term.warn(text);
            }
            if let Some(text) = rows.passed_over(&model) {
                term.note(text);
            }
            (rows, Rows::File(path.clone()))
        }
        None => match TestRows::replay(&model, folder, &args.dialect.options()) {
            Ok(rows) => (rows, Rows::HeldOut),
            Err(error) => return Ok(Evaluated::recorded(path, model, Some(error))),
        },
    };
    let wishes = if args.report.is_some() { Wishes::all() } else { Wishes::default() };
    let mut detailed = evaluate_in_detail(&model, &rows, positive, &wishes)?;
    if let Some(unknown) = &detailed.evaluation.unknown_labels {
        term.warn(unknown.remark(detailed.evaluation.n_rows));
    }
    let mut associations = None;
    if args.report.is_some() {
        associations = Some(Associations::of_rows(&model, &rows)?);
        match training(&model, folder, positive, args) {
            Ok(training) => detailed.training = Some(Box::new(training)),
            Err(error) => term.note(format!("the report is without the training rows: {error:#}")),
        }
    }
    Ok(Evaluated { path: path.into(), model, detailed, rows: which, associations, not_replayed: None })
}

/// The same figures of the rows that the model was fitted on.
fn training(model: &Model, folder: &Path, positive: Positive, args: &Eval) -> Result<DetailedEvaluation> {
    let rows = TestRows::replay_training(model, folder, &args.dialect.options())?;
    evaluate_in_detail(model, &rows, positive, &Wishes { curves: true, ..Wishes::default() })
}

fn show(one: &Evaluated, args: &Eval, out: &mut impl Write) -> Result<()> {
    let (evaluation, recorded) = (&one.detailed.evaluation, one.rows == Rows::Recorded);
    if args.format == Format::Json {
        let result = EvalResult { model: &one.path, evaluation, recorded_at_training: recorded };
        serde_json::to_writer(&mut *out, &result)?;
        return Ok(out.write_all(b"\n")?);
    }
    let rows = text::count(evaluation.n_rows, "row", "rows");
    let which = if recorded { " held out, as recorded at training" } else { "" };
    let head = format!(
        "{}: {} predicting {}, on {rows}{which}\n",
        one.path, evaluation.algorithm, evaluation.target
    );
    write_text(out, &head)?;
    write_text(out, &text::evaluation(evaluation))?;
    Ok(writeln!(out, "\n  {}", text::baseline_words(evaluation))?)
}
