//! A row or a file of rows in, predictions out: `mlapi predict`, and the server with a CSV or NDJSON body.
//!
//! A file is predicted block by block in constant memory. Each thread takes a block of records, reads and encodes it
//! into a [`batch`], predicts and formats it; [`output`] writes the results in the order of the input. `csv`, `ndjson` and
//! `arrow` know one form of rows each, [`row`] the one row of `--features`, [`answer`] the JSON of the contract.

pub(crate) mod answer;
#[cfg(feature = "parquet")]
mod arrow;
#[cfg(all(unix, feature = "parquet"))]
mod awake;
mod batch;
mod csv;
pub(crate) mod explained;
mod ndjson;
mod output;
pub(crate) mod ranked;
mod row;
pub(crate) mod what_if;

use std::io::Write;
use std::ops::AddAssign;

use anyhow::Result;

use crate::data::cells::cell::Tolerance;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::Problems;
use crate::data::cells::schema::Schema;
use crate::data::read::blocks::{BLOCK_BYTES, Cut};
use crate::data::read::csv::Records;
use crate::data::read::ndjson::is_ndjson;
use crate::data::read::source::Input;
use crate::data::read::source::Options as FileOptions;
use crate::model::Model;
use crate::model::pipeline::{Decision, Predictions};
use crate::names::quote;

#[cfg(feature = "parquet")]
pub(crate) use arrow::predict_arrow;
pub use csv::predict_csv;
pub use explained::Explain;
pub use ndjson::predict_ndjson;
pub use ranked::Rank;
pub(crate) use row::predict_row;
pub use what_if::WhatIf;

/// Which columns of the input are repeated in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    All,
    /// None of them.
    None,
    /// These, in this order.
    Columns(Vec<String>),
}

impl From<&str> for Keep {
    /// `all`, `none`, or names with commas between.
    fn from(text: &str) -> Self {
        match text {
            "all" => Self::All,
            "none" => Self::None,
            names => Self::Columns(names.split(',').map(|name| name.trim().to_string()).collect()),
        }
    }
}

/// What stands between the labels of a prediction set in text.
pub(crate) const SET_SEPARATOR: &str = "|";

/// How the output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The kept columns of the input and the prediction, in the form of the input.
    LikeInput,
    /// One JSON document: the answer of the HTTP API to many rows.
    Json,
    /// One element of that answer a line.
    Ndjson,
    /// One JSON document with nothing but the predicted labels or numbers under `predictions`.
    Values,
}

/// Treatment of a row that does not fit the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// Write the rows before it and end.
    #[default]
    Stop,
    /// Skip the row.
    Skip,
    /// Keep the row, without a prediction.
    Null,
}

/// Options of a prediction over a file.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns to repeat; used only if the output is like the input.
    pub keep: Keep,
    /// How the output is written.
    pub format: Format,
    /// How probabilities become a class.
    pub decision: Decision,
    /// Whether to add a column for the probability of each class; used only if the output is like the input.
    pub probabilities: bool,
    /// Whether columns and cells that do not fit are taken as missing values.
    pub lenient: bool,
    /// Whether columns that the model does not know and that are not to be kept by name are errors.
    pub strict: bool,
    /// Treatment of a row that does not fit.
    pub on_error: OnError,
    /// Whether the input has a header line; only for CSV.
    pub header: bool,
    /// More rows than this are an error.
    pub max_rows: usize,
    /// Number of threads that share the blocks; with 1 the calling thread does all of them.
    pub n_threads: usize,
    /// How predictions are explained, if they are.
    pub explain: Option<Explain>,
    /// Which changes would move predictions, if that is asked for; used unless the output is like the input.
    pub what_if: Option<WhatIf>,
    /// Order of the rows, unless it is that of the input; rows without a prediction have no place in it.
    pub rank: Option<Rank>,
}

impl Default for Options {
    /// Predictions alone, in the form of the input, which has a header; the first row that does not fit ends them.
    fn default() -> Self {
        Self {
            keep: Keep::None,
            format: Format::LikeInput,
            decision: Decision::MostProbable,
            probabilities: false,
            lenient: false,
            strict: false,
            on_error: OnError::Stop,
            header: true,
            max_rows: usize::MAX,
            n_threads: 1,
            explain: None,
            what_if: None,
            rank: None,
        }
    }
}

impl Options {
    /// What a row may have that the model does not know or take.
    pub(crate) fn tolerance(&self) -> Tolerance {
        match (self.lenient, self.strict) {
            (true, _) => Tolerance::Lenient,
            (false, true) => Tolerance::Strict,
            (false, false) => Tolerance::Extra,
        }
    }

    /// Whether a column is to be kept by its name.
    fn names(&self, column: &str) -> bool {
        matches!(&self.keep, Keep::Columns(wanted) if wanted.iter().any(|name| name == column))
    }
}

/// A block of rows that has been written, for callers that show progress or count.
#[derive(Debug)]
pub struct Part<'a> {
    /// Rows written so far.
    pub n_rows: usize,
    /// `n × n_features` codes: the rows of this block that were predicted.
    pub codes: &'a Matrix,
    /// Their predictions.
    pub predictions: &'a Predictions,
    /// The counts of this block.
    pub summary: Summary,
}

/// Counts of rows, and of cells that training did not prepare the model for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows written; of ranked rows all that were scored.
    pub n_rows: usize,
    /// Rows that do not fit and were skipped or not predicted.
    pub n_bad: usize,
    /// Cells without a value.
    pub n_missing: usize,
    /// Categories that training did not see.
    pub n_unseen: usize,
    /// Numbers outside the range of the training rows.
    pub n_out_of_range: usize,
    /// Values of JSON rows that were passed over, because the model does not know their names.
    pub n_extra: usize,
}

impl Summary {
    /// Number of warnings.
    fn n_warnings(&self) -> usize {
        self.n_missing + self.n_unseen + self.n_out_of_range
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_bad += other.n_bad;
        self.n_missing += other.n_missing;
        self.n_unseen += other.n_unseen;
        self.n_out_of_range += other.n_out_of_range;
        self.n_extra += other.n_extra;
    }
}

/// Rows that do not fit the schema. The rows before the first of them have been written.
#[derive(Debug)]
pub struct BadRows {
    /// The name of the input in messages.
    pub source: String,
    /// The problems of the block: the place (`/ROW/COLUMN`, rows counted from 0) and the fact.
    pub problems: Problems,
    /// Those that are listed for people, with lines and columns.
    pub messages: Vec<String>,
}

impl BadRows {
    /// Whether any of the problems is none if the reader is lenient: a column, or a cell of a row.
    pub fn lenient_helps(&self) -> bool {
        self.problems.listed.iter().any(|problem| {
            let is_column = problem.pointer.is_empty()
                && (problem.detail.ends_with(" is missing")
                    || problem.detail.contains(" is not a feature of "));
            is_column || problem.pointer.matches('/').count() > 1
        })
    }
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        const SHOWN: usize = 20;
        for (i, message) in self.messages.iter().take(SHOWN).enumerate() {
            let separator = if i > 0 { "\n" } else { "" };
            write!(f, "{separator}{message}")?;
        }
        if self.problems.total > SHOWN {
            write!(f, "\nand {} more", self.problems.total - SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadRows {}

/// More rows than [`Options::max_rows`].
#[derive(Debug)]
pub struct TooManyRows;

impl std::fmt::Display for TooManyRows {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("too many rows")
    }
}

impl std::error::Error for TooManyRows {}

/// The columns of an input that is worth reading.
pub(crate) fn max_columns(model: &Model) -> usize {
    model.pipeline.schema.max_columns()
}

/// The columns of a file that is worth reading. If unknown columns are passed over, a wide table is as good as any other.
fn max_columns_of_file(model: &Model, options: &Options) -> usize {
    const EXTRA: usize = 1_000_000;
    if options.tolerance() == Tolerance::Strict { max_columns(model) } else { max_columns(model).max(EXTRA) }
}

/// The note on columns of an input that are passed over, because the model does not know them.
fn passed_over(schema: &Schema, source: &str, names: &[String], options: &Options) -> Option<String> {
    let note = schema.passed_over(source, names, |name| options.names(name));
    note.filter(|_| options.tolerance() == Tolerance::Extra).map(|note| note + "; --strict refuses them")
}

/// The note on columns that a prediction adds under other names, because the input has columns of these.
fn renamed(source: &str, added: &[(String, String)]) -> Option<String> {
    let renamed: Vec<String> = added
        .iter()
        .filter(|(name, written)| name != written)
        .map(|(name, written)| format!("{} as {}", quote(name), quote(written)))
        .collect();
    (!renamed.is_empty()).then(|| {
        format!(
            "{source} has columns that are called as those of the predictions, which are written {}; --keep none or \
             --keep COL,… leaves columns of the input out",
            renamed.join(", ")
        )
    })
}

/// Numbers that the predictions of a block have at most, whatever its rows: each may be two bytes.
const MAX_BLOCK_NUMBERS: usize = 1 << 19;

/// The size of a block of rows, each of which has so many numbers, or so many in its prediction.
fn block_bytes(width: usize) -> usize {
    (2 * MAX_BLOCK_NUMBERS / width.max(1)).clamp(4096, BLOCK_BYTES)
}

/// As [`block_bytes`] for delimited text, whose rows hold every feature.
pub(crate) fn table_block_bytes(model: &Model) -> usize {
    block_bytes(model.pipeline.n_outputs())
}

/// As [`block_bytes`] for JSON rows, which may be empty.
pub(crate) fn json_block_bytes(model: &Model) -> usize {
    block_bytes(model.pipeline.n_outputs().max(model.pipeline.schema.n_features()))
}

/// Predicts the rows of the file at `path` (`-`: standard input) and writes the result to `out`. The file is NDJSON or
/// delimited text, by its name or its first line; `written` says how delimited text is written, its header aside.
/// `note` gets remarks on how the file was read, `watch` each block once it is written.
///
/// # Errors
/// [`BadRows`], [`TooManyRows`], or an input or output that fails.
pub(crate) fn predict_file(
    model: &Model,
    path: &str,
    written: &FileOptions,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
    note: &mut dyn FnMut(&str),
) -> Result<Summary> {
    let written = FileOptions {
        header: options.header,
        max_columns: max_columns_of_file(model, options),
        block_bytes: table_block_bytes(model),
        ..written.clone()
    };
    let input = Input::open(path, &written)?;
    if is_ndjson(path, &input.start) {
        input.notes.iter().for_each(|text| note(text));
        let source = input.source.clone();
        let first = ndjson::first_names(&input.start);
        let unknown = passed_over(&model.pipeline.schema, &source, &first, options);
        unknown.iter().for_each(|text| note(text));
        if options.format == Format::LikeInput {
            let added = output::added(&model.pipeline, options, &ndjson::kept_names(model, options, &first));
            renamed(&source, &added).iter().for_each(|text| note(text));
        }
        let blocks = input.blocks(Cut::Lines, json_block_bytes(model));
        let mut summary = ndjson::predict_lines(model, &source, blocks, &first, options, out, watch)?;
        if unknown.is_some() {
            // They have been named.
            summary.n_extra = 0;
        }
        return Ok(summary);
    }
    let records = Records::new(input, &written)?;
    records.notes().iter().for_each(|text| note(text));
    let (source, remarks) = (records.source().to_string(), records.remarks());
    let schema = &model.pipeline.schema;
    if options.header {
        let names = records.names();
        let unknown = passed_over(schema, &source, names, options);
        unknown.iter().for_each(|text| note(text));
        if options.format == Format::LikeInput {
            let added = output::added(&model.pipeline, options, &csv::kept_names(&options.keep, names));
            renamed(&source, &added).iter().for_each(|text| note(text));
        }
    }
    let result = predict_csv(model, records, options, out, watch);
    remarks.notes(&source).iter().for_each(|text| note(text));
    result
}
