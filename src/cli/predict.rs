//! `mlapi predict`: one row from the command line, or a file of rows.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::args::{InputFormat, Predict, RowFormat, Top};
use super::term::{Term, write_text};
use crate::data::read::source::Options as FileOptions;
use crate::error::usage;
use crate::model::explain::Wish;
use crate::model::pipeline::Decision;
use crate::model::{Model, file};
use crate::predict::explained::label_named;
use crate::predict::ranked::{Rank, score_of};
use crate::predict::what_if::{WhatIf, WhatIfWish, columns_of};
use crate::predict::{self, BadRows, Explain, Keep, Options, predict_file, predict_row};
use crate::report::{prediction, text};

/// Runs the verb.
pub(super) fn run(args: &Predict, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let decision =
        (model.pipeline.decision_at(args.threshold)).map_err(|e| usage(format!("--threshold: {e}")))?;
    if args.probabilities && model.labels().is_empty() {
        return Err(usage("--probabilities needs a model that predicts classes"));
    }
    let explain = args.explain.map(|top| explain(top, args, &model)).transpose()?;
    let what_if = args.what_if(&model, decision)?;
    let why = Why { explain, what_if };
    match (&args.features, &args.input) {
        (Some(_), _) if args.format == RowFormat::Arrow => {
            Err(usage("--format arrow is for --input; --features takes text, json or ndjson"))
        }
        (Some(row), _) => one_row(row, args, &model, decision, why, term, out),
        (None, Some(input)) => file_of_rows(input, args, &model, decision, why, term, out),
        (None, None) => Err(usage("give --features or --input")),
    }
}

/// What is said of a prediction beside it.
struct Why {
    explain: Option<Explain>,
    what_if: Option<WhatIf>,
}

/// Explanations as the flags say.
fn explain(top: Top, args: &Predict, model: &Model) -> Result<Explain> {
    let label = args.explain_label.as_ref().map(|label| label_named(label, model.labels()));
    let label = label.transpose().map_err(|error| usage(format!("--explain-label: {error}")))?;
    let wish =
        Wish { top: top.0, label, scale: args.explain_scale.into(), against: args.explain_reference.into() };
    Explain::of_model(model, wish).map_err(|error| usage(format!("--explain: {error}")))
}

impl Predict {
    /// The order of the rows of a file, unless it is their own.
    ///
    /// # Errors
    /// A usage error for a label that the model does not have.
    fn rank(&self, model: &Model) -> Result<Option<Rank>> {
        let Some(by) = &self.rank_by else { return Ok(None) };
        let by = Some(by.as_str()).filter(|by| !by.is_empty());
        let score = score_of(model.labels(), &model.pipeline.schema.target.name, by);
        let score = score.map_err(|error| usage(format!("--rank-by: {error}")))?;
        Ok(Some(Rank { score, top: self.top.unwrap_or(usize::MAX) }))
    }

    /// The search for the smallest changes, if it is asked for.
    ///
    /// # Errors
    /// A usage error for what the model does not have, and for a table, which has no place for changes.
    fn what_if(&self, model: &Model, decision: Decision) -> Result<Option<WhatIf>> {
        let Some(most) = self.what_if else { return Ok(None) };
        if self.input.is_some() && matches!(self.format, RowFormat::Text | RowFormat::Arrow) {
            return Err(usage("--what-if with --input needs --format ndjson or json"));
        }
        let schema = &model.pipeline.schema;
        let wish = WhatIfWish {
            most,
            label: self.what_if_label.clone(),
            range: self.what_if_range.clone(),
            mutable: self.mutable.iter().flat_map(|text| columns_of(text, schema)).collect(),
            tells_private: true,
        };
        WhatIf::new(model, &wish, decision).map(Some).map_err(|error| usage(format!("--what-if: {error}")))
    }
}

fn one_row(
    row: &str,
    args: &Predict,
    model: &Model,
    decision: Decision,
    why: Why,
    term: &Term,
    out: &mut dyn Write,
) -> Result<()> {
    let schema = &model.pipeline.schema;
    let row = predict_row(model, row, args.lenient, decision, (why.explain.as_ref(), why.what_if.as_ref()))?;
    let top = why.explain.and_then(|explain| explain.wish().top);
    let answer = if args.format == RowFormat::Text {
        for warning in &row.warnings {
            term.warn(prediction::warning(schema, warning, row.codes.row(0)[warning.feature]));
        }
        let steps = &model.pipeline.postprocessing;
        let mut text = prediction::one(&row.predictions, model.labels(), steps, args.probabilities);
        if let Some(explanation) = &row.explanation {
            text += &prediction::explanation(schema, &schema.values_of(&row.codes, 0), explanation, top);
        }
        if let Some(found) = &row.what_if {
            text += &prediction::what_if(schema, &schema.values_of(&row.codes, 0), found);
        }
        text.into_bytes()
    } else {
        let mut answer = row.json(&model.pipeline, top);
        answer.push(b'\n');
        answer
    };
    match args.output.as_str() {
        "-" if args.format == RowFormat::Text => Ok(write_text(out, &String::from_utf8_lossy(&answer))?),
        "-" => Ok(out.write_all(&answer)?),
        path => file::write_atomically(Path::new(path), &answer),
    }
}

fn file_of_rows(
    input: &str,
    args: &Predict,
    model: &Model,
    decision: Decision,
    Why { explain, what_if }: Why,
    term: &Term,
    out: &mut dyn Write,
) -> Result<()> {
    let is_arrow = (args.input_format == InputFormat::Arrow, args.format == RowFormat::Arrow);
    if cfg!(not(feature = "parquet")) && (is_arrow.0 || is_arrow.1) {
        return Err(usage(
            "this mlapi was built without Arrow; cargo install mlapi --features parquet builds one with it",
        ));
    }
    if is_arrow.1 && args.rank_by.is_some() {
        return Err(usage("--rank-by has no --format arrow; text, json and ndjson it has"));
    }
    let written = args.dialect.options_like(model);
    let written = FileOptions { arrow: is_arrow.0, header: written.header || is_arrow.0, ..written };
    let options = Options {
        keep: Keep::from(args.keep.as_str()),
        format: match args.format {
            RowFormat::Text | RowFormat::Arrow => predict::Format::LikeInput,
            RowFormat::Json => predict::Format::Json,
            RowFormat::Ndjson => predict::Format::Ndjson,
        },
        decision,
        probabilities: args.probabilities,
        lenient: args.lenient,
        strict: args.strict,
        on_error: args.on_error,
        header: written.header,
        max_rows: usize::MAX,
        n_threads: rayon::current_num_threads(),
        explain,
        what_if,
        rank: args.rank(model)?,
    };
    let progress = term.progress("predicting");
    let mut watch = |part: predict::Part| progress.rows(part.n_rows);
    let mut note = |text: &str| term.note(text);
    let mut work = |out: &mut dyn Write| {
        #[cfg(feature = "parquet")]
        if is_arrow.1 {
            return predict::predict_arrow(model, input, &options, out, &mut watch, &mut note);
        }
        predict_file(model, input, &written, &options, out, &mut watch, &mut note)
    };
    let result = match args.output.as_str() {
        "-" => work(out),
        path => file::replace_atomically(Path::new(path), |file| work(file)),
    };
    progress.finish();
    let summary = result.map_err(|error| match error.downcast_ref::<BadRows>() {
        Some(bad) if bad.lenient_helps() && !args.lenient => {
            let strict = if args.strict { "; without --strict, unknown columns are passed over" } else { "" };
            anyhow!("{bad}\n--lenient takes what does not fit as missing{strict}")
        }
        _ => error,
    })?;
    prediction::warnings(&summary, args.on_error).iter().for_each(|warning| term.warn(warning));
    let n_written = summary.n_rows.min(args.top.unwrap_or(usize::MAX));
    term.detail(format_args!("{} written", text::count(n_written, "row", "rows")));
    Ok(())
}
