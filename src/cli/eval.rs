//! `mlapi eval`: a model on the held-out rows of its training, or on another file.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::args::{Eval, Format};
use super::term::{Term, write_text};
use crate::model::Model;
use crate::model::evaluation::detail::{DetailedEvaluation, evaluate_in_detail};
use crate::model::evaluation::{Evaluation, Positive};
use crate::model::hold_out::TestRows;
use crate::model::requirement::{Outcome, check};
use crate::report::{detail, text};

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
    if let Some(file) = &args.detail.predictions {
        return of_predictions(file.as_deref(), args, term, out);
    }
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let recorded = &model.card.evaluation;
    args.require.iter().try_for_each(|requirement| requirement.check_name(recorded))?;
    let positive = Positive::new(&model, args.positive.as_deref(), args.threshold)?;
    if args.data.is_none() && model.card.refit {
        term.warn(
            "the model was fitted again on all rows after its evaluation, so its held-out rows are no longer \
             unseen; these are the figures recorded before that",
        );
        let recorded = recorded.clone().into();
        let outcomes = args.outcomes(&recorded);
        show(&recorded, true, &outcomes, args, out)?;
        return Ok(check(&outcomes)?);
    }
    let wishes = args.wishes(model.labels(), positive.class(), Some(recorded))?;
    let rows = match &args.data {
        Some(path) => {
            let rows = TestRows::of_file(&model, path, &args.dialect.options_like(&model))?;
            if let Some(text) = rows.without_target(&model) {
                term.warn(text);
            }
            if let Some(text) = rows.passed_over(&model) {
                term.note(text);
            }
            rows
        }
        None => {
            let folder = Path::new(&args.model).parent().unwrap_or(Path::new(""));
            match TestRows::replay(&model, folder, &args.dialect.options()) {
                Ok(rows) => rows,
                Err(error) => {
                    show(&recorded.clone().into(), true, &[], args, out)?;
                    out.flush()?;
                    return Err(error);
                }
            }
        }
    };
    let mut detailed = evaluate_in_detail(&model, &rows, positive, &wishes)?;
    if let Some(unknown) = &detailed.evaluation.unknown_labels {
        term.warn(unknown.remark(detailed.evaluation.n_rows));
    }
    detailed.training = args.training(&model, positive);
    detailed.learning_curve = args.learning_curve(&model)?;
    detailed.comparison = args.comparison(&model, positive, &rows, term)?;
    let outcomes = args.outcomes(&detailed);
    show(&detailed, false, &outcomes, args, out)?;
    args.write_junit(&args.model, &outcomes)?;
    Ok(check(&outcomes)?)
}

/// Evaluates predictions that were made elsewhere.
fn of_predictions(file: Option<&str>, args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    let (path, found) = args.scored_file(file)?;
    let (labels, positive) = found.labels();
    let evaluation = found.evaluation();
    args.require.iter().try_for_each(|requirement| requirement.check_name(evaluation))?;
    let wishes = args.wishes(labels, positive, Some(evaluation))?;
    let (detailed, rows) = found.detailed(&wishes)?;
    if rows.n_without_target > 0 {
        let rows = text::count(rows.n_without_target, "row", "rows");
        term.warn(format!("{rows} without a true value were skipped"));
    }
    let outcomes = args.outcomes(&detailed);
    show_named(path, &detailed, false, &outcomes, args, out)?;
    args.write_junit(path, &outcomes)?;
    Ok(check(&outcomes)?)
}

fn show(
    detailed: &DetailedEvaluation,
    recorded: bool,
    requirements: &[Outcome],
    args: &Eval,
    out: &mut impl Write,
) -> Result<()> {
    show_named(&args.model, detailed, recorded, requirements, args, out)
}

fn show_named(
    name: &str,
    detailed: &DetailedEvaluation,
    recorded: bool,
    requirements: &[Outcome],
    args: &Eval,
    out: &mut impl Write,
) -> Result<()> {
    let evaluation = &detailed.evaluation;
    if args.format == Format::Json {
        let result =
            EvalResult { model: name, evaluation, detailed, requirements, recorded_at_training: recorded };
        serde_json::to_writer(&mut *out, &result)?;
        return Ok(out.write_all(b"\n")?);
    }
    let rows = text::count(evaluation.n_rows, "row", "rows");
    let which = if recorded { " held out, as recorded at training" } else { "" };
    let head =
        format!("{}: {} predicting {}, on {rows}{which}\n", name, evaluation.algorithm, evaluation.target);
    write_text(out, &head)?;
    write_text(out, &detail::evaluation(detailed))?;
    write_text(out, &detail::outcomes(requirements))?;
    let words = text::baseline_words(evaluation);
    let words = match args.detail.predictions {
        Some(_) => words.replace("the training rows", "these very rows"),
        None => words.into(),
    };
    Ok(writeln!(out, "\n  {words}")?)
}
