//! `mlapi eval`: models on the held-out rows of their training, or on another file.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Error, Result};
use serde::Serialize;

use super::args::{Eval, Format};
use super::report::{Evaluated, printed};
use super::term::{Term, write_json, write_text};
use crate::error::usage;
use crate::model::Model;
use crate::model::evaluation::associations::Associations;
use crate::model::evaluation::detail::{DetailedEvaluation, Wishes, evaluate_in_detail};
use crate::model::evaluation::{Evaluation, Positive};
use crate::model::explain::{Explainer, Wish};
use crate::model::hold_out::TestRows;
use crate::model::learn::Watch;
use crate::model::requirement::{Outcome, check};
use crate::report::html::subject::Rows;
use crate::report::{detail, plots, text};

#[derive(Serialize)]
struct EvalResult<'a> {
    model: &'a str,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    detailed: &'a DetailedEvaluation,
    #[serde(skip_serializing_if = "<[Outcome]>::is_empty")]
    requirements: &'a [Outcome],
    /// Present only if the rows could not be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recorded_at_training: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    args.check_wishes()?;
    args.check_models()?;
    if let Some(file) = &args.detail.predictions {
        return of_predictions(file.as_deref(), args, term, out);
    }
    let (mut all, mut outcomes, mut not_replayed) = (Vec::new(), Vec::new(), None);
    for path in &args.model {
        let (one, wishes, failed) = evaluated(path, args, term)?;
        // Rows that cannot be read again meet no requirement.
        let own = if failed.is_some() { Vec::new() } else { args.outcomes(&one.detailed) };
        show(&one, &printed(&one.detailed, &wishes, args), &own, args, out)?;
        outcomes.extend(own);
        not_replayed = not_replayed.or(failed);
        all.push(one);
    }
    out.flush()?;
    args.write_report(&all, term)?;
    if let Some(error) = not_replayed {
        return Err(error);
    }
    args.write_junit(&args.model.join(" "), &outcomes)?;
    Ok(check(&outcomes)?)
}

/// Evaluates one model: the outcome, the parts of it to print, and why the rows that training held out could not be read
/// again.
fn evaluated(path: &str, args: &Eval, term: &Term) -> Result<(Evaluated, Wishes, Option<Error>)> {
    let model = Model::open_within(path, args.limit.max_model_bytes)?;
    let recorded = &model.card.evaluation;
    args.require.iter().try_for_each(|requirement| requirement.check_name(recorded))?;
    let positive = Positive::new(&model, args.positive.as_deref(), args.threshold)?;
    let as_recorded = |model: Model| Evaluated {
        name: path.into(),
        detailed: model.card.evaluation.clone().into(),
        model: Some(model),
        rows: Rows::Recorded,
        associations: None,
    };
    if args.data.is_none() && model.card.refit {
        term.warn(
            "the model was fitted again on all rows after its evaluation, so its held-out rows are no longer \
             unseen; these are the figures recorded before that",
        );
        return Ok((as_recorded(model), Wishes::default(), None));
    }
    if args.detail.explain {
        Explainer::new(&model.pipeline, &model.reference)
            .check(&model.pipeline, Wish::default())
            .map_err(|error| usage(format!("--explain: {error}")))?;
    }
    let wishes =
        args.wishes(model.labels(), positive.class(), Some(recorded), &model.pipeline.schema.target.name)?;
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let reading = term.progress("reading");
    let (rows, which) = match &args.data {
        Some(path) => {
            let rows = TestRows::of_file(&model, path, &args.dialect.options_like(&model))?;
            reading.finish();
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
            // Of an imported model no rows were held out, and nothing was recorded of them.
            Err(error) if model.card.origin.is_some() => return Err(error),
            Err(error) => return Ok((as_recorded(model), wishes, Some(error))),
        },
    };
    reading.finish();
    let progress = term.progress(how(&wishes));
    let told = progress.replicates();
    let mut detailed = evaluate_in_detail(&model, &rows, positive, &args.with_report(&wishes), &told)?;
    progress.stage("evaluating the training rows");
    detailed.training = args.training(&model, folder, positive, &told);
    detailed.learning_curve = args.learning_curve(&model, folder, &progress)?;
    progress.finish();
    if let Some(unknown) = &detailed.evaluation.unknown_labels {
        term.warn(unknown.remark(detailed.evaluation.n_rows));
    }
    detailed.comparison = args.comparison(&model, positive, &rows, term)?;
    let associations = match args.detail.report {
        Some(_) => Some(Associations::of_rows(&model, &rows)?),
        None => None,
    };
    let one = Evaluated { name: path.into(), model: Some(model), detailed, rows: which, associations };
    Ok((one, wishes, None))
}

/// What takes the time.
fn how(wishes: &Wishes) -> &'static str {
    if wishes.intervals { "evaluating, with intervals by bootstrap" } else { "evaluating" }
}

/// Evaluates predictions that were made elsewhere.
fn of_predictions(file: Option<&str>, args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    let (path, found) = args.scored_file(file)?;
    let (labels, positive) = found.labels();
    let evaluation = found.evaluation();
    args.require.iter().try_for_each(|requirement| requirement.check_name(evaluation))?;
    let wishes = args.wishes(labels, positive, Some(evaluation), &evaluation.target)?;
    let progress = term.progress(how(&wishes));
    let (detailed, rows) = found.detailed(&args.with_report(&wishes), &progress.replicates())?;
    progress.finish();
    if rows.n_without_target > 0 {
        let rows = text::count(rows.n_without_target, "row", "rows");
        term.warn(format!("{rows} without a true value were skipped"));
    }
    let outcomes = args.outcomes(&detailed);
    let rows = Rows::File(path.into());
    let one = Evaluated { name: path.into(), model: None, detailed, rows, associations: None };
    show(&one, &printed(&one.detailed, &wishes, args), &outcomes, args, out)?;
    args.write_report(&[one], term)?;
    args.write_junit(path, &outcomes)?;
    Ok(check(&outcomes)?)
}

fn show(
    one: &Evaluated,
    detailed: &DetailedEvaluation,
    requirements: &[Outcome],
    args: &Eval,
    out: &mut impl Write,
) -> Result<()> {
    let (evaluation, recorded) = (&detailed.evaluation, one.rows == Rows::Recorded);
    if args.format == Format::Json {
        let result = EvalResult {
            model: &one.name,
            evaluation,
            detailed,
            requirements,
            recorded_at_training: recorded,
        };
        return write_json(out, &result);
    }
    let rows = text::count(evaluation.n_rows, "row", "rows");
    let which = if recorded { " held out, as recorded at training" } else { "" };
    let head = format!(
        "{}: {} predicting {}, on {rows}{which}\n",
        one.name, evaluation.algorithm, evaluation.target
    );
    write_text(out, &head)?;
    write_text(out, &detail::evaluation(detailed))?;
    if args.detail.plot {
        // Braille letters are wide in few fonts of terminals, and are noise to programs.
        let style = if std::io::stdout().is_terminal() { plots::Style::Braille } else { plots::Style::Ascii };
        write_text(out, &plots::plots(detailed, style))?;
    }
    write_text(out, &detail::outcomes(requirements))?;
    let words = text::baseline_words(evaluation);
    let words = match args.detail.predictions {
        Some(_) => words.replace("the training rows", "these very rows"),
        None => words.into(),
    };
    Ok(writeln!(out, "\n  {words}")?)
}
