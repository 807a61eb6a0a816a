//! `mlapi eval`: a model on the held-out rows of its training, or on another file.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::args::{Eval, Format};
use super::term::{Term, write_text};
use crate::model::Model;
use crate::model::evaluation::{Evaluation, Positive, evaluate};
use crate::model::hold_out::TestRows;
use crate::model::requirement::check;
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

/// Runs the verb.
pub(super) fn run(args: &Eval, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let recorded = &model.card.evaluation;
    args.require.iter().try_for_each(|requirement| requirement.check_name(recorded))?;
    let positive = Positive::new(&model, args.positive.as_deref(), args.threshold)?;
    if args.data.is_none() && model.card.refit {
        term.warn(
            "the model was fitted again on all rows after its evaluation, so its held-out rows are no longer \
             unseen; these are the figures recorded before that",
        );
        show(recorded, true, args, out)?;
        return Ok(check(&args.require, recorded)?);
    }
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
                // Of an imported model no rows were held out, and nothing was recorded of them.
                Err(error) if model.card.origin.is_some() => return Err(error),
                Err(error) => {
                    show(recorded, true, args, out)?;
                    out.flush()?;
                    return Err(error);
                }
            }
        }
    };
    let evaluation = evaluate(&model, &rows, positive)?;
    if let Some(unknown) = &evaluation.unknown_labels {
        term.warn(unknown.remark(evaluation.n_rows));
    }
    show(&evaluation, false, args, out)?;
    Ok(check(&args.require, &evaluation)?)
}

fn show(evaluation: &Evaluation, recorded: bool, args: &Eval, out: &mut impl Write) -> Result<()> {
    if args.format == Format::Json {
        let result = EvalResult { model: &args.model, evaluation, recorded_at_training: recorded };
        serde_json::to_writer(&mut *out, &result)?;
        return Ok(out.write_all(b"\n")?);
    }
    let rows = text::count(evaluation.n_rows, "row", "rows");
    let which = if recorded { " held out, as recorded at training" } else { "" };
    let head = format!(
        "{}: {} predicting {}, on {rows}{which}\n",
        args.model, evaluation.algorithm, evaluation.target
    );
    write_text(out, &head)?;
    write_text(out, &text::evaluation(evaluation))?;
    Ok(writeln!(out, "\n  {}", text::baseline_words(evaluation))?)
}
