//! `mlapi predict`: one row from the command line, or a file of rows.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::args::{Predict, RowFormat};
use super::term::Term;
use super::train::csv_options;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Schema, Warning, WarningKind};
use crate::data::read::blocks::{BLOCK_BYTES, Cut};
use crate::data::read::csv::{Input, Records};
use crate::data::read::json::Malformed;
use crate::data::read::ndjson::is_ndjson;
use crate::data::read::{csv, json};
use crate::model::pipeline::Decision;
use crate::model::{Model, file};
use crate::predict;
use crate::predict::answer::AnswerWriter;
use crate::predict::{Keep, OnError, Options, Summary};
use crate::report::text;
use crate::usage::usage;

/// Runs the verb.
pub fn run(args: &Predict, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = file::load(&args.model)?;
    let decision = Decision::with_threshold(args.threshold, &model.pipeline.schema)
        .map_err(|e| usage(format!("--threshold: {e}")))?;
    if args.probabilities && model.labels().is_empty() {
        return Err(usage("--probabilities needs a model that predicts classes"));
    }
    match (&args.features, &args.input) {
        (Some(row), _) => one_row(row, args, &model, decision, term, out),
        (None, Some(input)) => file_of_rows(input, args, &model, decision, term, out),
        (None, None) => Err(usage("give --features or --input")),
    }
}

fn one_row(
    row: &str,
    args: &Predict,
    model: &Model,
    decision: Decision,
    term: &Term,
    out: &mut impl Write,
) -> Result<()> {
    let schema = &model.pipeline.schema;
    let codes = parse_row(row, schema, args.lenient)?;
    let predictions = model.pipeline.predict(&codes, decision);
    let warnings: Vec<Warning> = schema.warnings(&codes).collect();
    let mut answer = Vec::new();
    if args.format == RowFormat::Text {
        let scores = predictions.scores.row(0);
        match predictions.classes.first() {
            None => writeln!(answer, "{}", scores[0])?,
            Some(&class) => {
                let labels = model.labels();
                writeln!(answer, "{}\t{:.4}", labels[class as usize], scores[class as usize])?;
                if args.probabilities {
                    for (label, score) in labels.iter().zip(scores) {
                        writeln!(answer, "probability_{label}\t{score:.4}")?;
                    }
                }
            }
        }
        for warning in &warnings {
            term.warn(describe(schema, warning, codes.row(0)[warning.feature]));
        }
    } else {
        answer = AnswerWriter::new(schema).answer(&predictions, false, &warnings);
        answer.push(b'\n');
    }
    match args.output.as_str() {
        "-" => Ok(out.write_all(&answer)?),
        path => file::write_atomically(Path::new(path), &answer),
    }
}

/// Codes of a row as typed: `5.1,3.5`, `a=5.1,b=3.5` or JSON.
fn parse_row(text: &str, schema: &Schema, lenient: bool) -> Result<Matrix> {
    let mut codes = Matrix::with_capacity(1, schema.n_features());
    let mut problems = Vec::new();
    if text.trim_start().starts_with(['{', '[']) {
        match json::read_row(text.as_bytes(), schema, lenient, &mut codes) {
            Ok(found) => problems.extend(found.listed.into_iter().map(|problem| {
                let place = problem.pointer.trim_start_matches('/');
                if place.is_empty() { problem.detail } else { format!("{place}: {}", problem.detail) }
            })),
            Err(Malformed::NotJson(detail)) => bail!("--features is not JSON: {detail}"),
            Err(Malformed::TooManyRows) => bail!("--features takes one row"),
        }
    } else {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let mut record = ::csv::StringRecord::new();
        let found = reader.read_record(&mut record).context("--features cannot be read as a CSV row")?;
        if !found || reader.read_record(&mut ::csv::StringRecord::new()).is_ok_and(|more| more) {
            bail!("--features takes one row: values in column order, NAME=VALUE pairs, or a JSON object");
        }
        codes.push_row(f64::NAN);
        let cells = if record.iter().all(|field| field.contains('=')) {
            let pairs = record.iter().filter_map(|field| field.split_once('='));
            let (names, values): (Vec<String>, Vec<&str>) =
                pairs.map(|(name, value)| (name.trim().to_string(), value)).unzip();
            if let Err(found) = schema.map_columns(&names, lenient) {
                problems.extend(found);
            }
            for (i, name) in names.iter().enumerate() {
                if names[..i].contains(name) {
                    problems.push(format!("{name}: the feature is given twice"));
                }
            }
            // The values behind the names that are right are checked all the same.
            let map = schema.map_columns(&names, true).unwrap_or_default();
            map.into_iter().zip(values).collect::<Vec<_>>()
        } else {
            let map = schema.positions(record.len()).map_err(|problem| problems.push(problem));
            map.unwrap_or_default().into_iter().zip(record.iter()).collect()
        };
        for (feature, cell) in cells.into_iter().filter_map(|(f, cell)| Some((f?, cell))) {
            let known = &schema.features[feature];
            match known.code(schema.null_tokens.cell(cell), codes.texts_mut()) {
                Ok(code) => codes.row_mut(0)[feature] = code,
                Err(_) if lenient => {}
                Err(detail) => problems.push(format!("{}: {detail}", known.name)),
            }
        }
    }
    if problems.is_empty() {
        return Ok(codes);
    }
    bail!("--features does not fit the model:\n  {}", problems.join("\n  "))
}

fn describe(schema: &Schema, warning: &Warning, code: f64) -> String {
    let feature = &schema.features[warning.feature];
    let name = &feature.name;
    match warning.kind {
        WarningKind::MissingValue => format!("{name} is missing"),
        WarningKind::UnseenCategory => format!("{name} is a category that training did not see"),
        WarningKind::OutOfRange => {
            format!("{name} is {code}; the training rows lie between {} and {}", feature.min, feature.max)
        }
    }
}

fn file_of_rows(
    input: &str,
    args: &Predict,
    model: &Model,
    decision: Decision,
    term: &Term,
    out: &mut impl Write,
) -> Result<()> {
    let options = Options {
        keep: match args.keep.as_str() {
            "all" => Keep::All,
            "none" => Keep::None,
            names => Keep::Columns(names.split(',').map(|name| name.trim().to_string()).collect()),
        },
        format: match args.format {
            RowFormat::Text => predict::Format::LikeInput,
            RowFormat::Json => predict::Format::Json,
            RowFormat::Ndjson => predict::Format::Ndjson,
        },
        decision,
        probabilities: args.probabilities,
        lenient: args.lenient,
        on_error: args.on_error,
        header: (model.pipeline.schema.header || args.dialect.header) && !args.dialect.no_header,
        max_rows: usize::MAX,
        n_threads: rayon::current_num_threads(),
    };
    let progress = term.progress("predicting");
    let mut watch = |part: predict::Part| progress.rows(part.n_rows);
    let mut work = |out: &mut dyn Write| predict(input, args, model, &options, out, &mut watch, term);
    let result = match args.output.as_str() {
        "-" => work(out),
        path => file::replace_atomically(Path::new(path), |file| work(file)),
    };
    progress.finish();
    let summary = result?;
    let rows = text::count(summary.n_rows, "row", "rows");
    for what in counts(&summary) {
        term.warn(format_args!("{what} in {rows}"));
    }
    if summary.n_bad > 0 {
        let bad = text::count(summary.n_bad, "row does", "rows do");
        let fate = match args.on_error {
            OnError::Null => "got no prediction",
            _ if summary.n_bad == 1 => "was left out",
            _ => "were left out",
        };
        term.warn(format_args!("{bad} not fit and {fate}"));
    }
    term.detail(format_args!("{rows} written"));
    Ok(())
}

fn predict(
    path: &str,
    args: &Predict,
    model: &Model,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(predict::Part),
    term: &Term,
) -> Result<Summary> {
    let csv_options = csv::Options { header: options.header, ..csv_options(&args.dialect) };
    let mut input = Input::open(path, &csv_options)?;
    if is_ndjson(path, &input.start) {
        std::mem::take(&mut input.notes).into_iter().for_each(|note| term.note(note));
        let source = input.source.clone();
        let blocks = input.blocks(Cut::Lines, BLOCK_BYTES);
        return predict::predict_lines(model, &source, blocks, options, out, watch);
    }
    let records = Records::new(input, &csv_options)?;
    records.notes().iter().for_each(|note| term.note(note));
    predict::predict_csv(model, records, options, out, watch)
}

fn counts(summary: &Summary) -> Vec<String> {
    let all = [
        (summary.n_missing, "missing value", "missing values"),
        (summary.n_unseen, "category that training did not see", "categories that training did not see"),
        (
            summary.n_out_of_range,
            "number outside the range of the training rows",
            "numbers outside the range of the training rows",
        ),
    ];
    all.into_iter().filter(|(n, ..)| *n > 0).map(|(n, one, many)| text::count(n, one, many)).collect()
}
