//! A file of rows in, the same rows with their predictions out, block by block in constant memory: what
//! `predict --input` does, and the server with a CSV or NDJSON body.
//!
//! Each thread takes a block of records, reads, encodes, predicts and formats it; the results are written in
//! the order of the input.

pub mod answer;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::value::RawValue;

use super::background::give_way_at;
use super::model::Model;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::number::parse as parse_number;
use crate::data::cells::schema::{Cell, ColumnType, Schema, Warning, WarningKind};
use crate::data::read::blocks::{BLOCK_BYTES, Block, Blocks, Cut, in_order};
use crate::data::read::csv::{Records, not_utf8, ragged};
use crate::data::read::fields::{Dialect, Record, Visitor, Walk, Want};
use crate::data::read::json::{Malformed, Problem};
use crate::data::read::ndjson::Members;
use crate::data::read::{json, ndjson};
use crate::model::pipeline::{Decision, Predictions};
use answer::{AnswerWriter, MAX_LISTED_WARNINGS, number};

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

/// What to do with a row that does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// Write the rows before it and end.
    #[default]
    Stop,
    /// Leave the row out.
    Skip,
    /// Keep the row, without a prediction.
    Null,
}

/// What to do with each row.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns to repeat; only where the output is like the input.
    pub keep: Keep,
    /// How the output is written.
    pub format: Format,
    /// How probabilities become a class.
    pub decision: Decision,
    /// Whether to add a column for the probability of each class.
    pub probabilities: bool,
    /// Whether columns and cells that do not fit are taken as missing values.
    pub lenient: bool,
    /// What to do with a row that does not fit.
    pub on_error: OnError,
    /// Whether the input has a header line; only for CSV.
    pub header: bool,
    /// More rows than this are an error.
    pub max_rows: usize,
    /// Threads that share out the blocks; 1 for the calling one alone.
    pub n_threads: usize,
}

/// A block of rows that has been written, for those who show progress or count.
#[derive(Debug)]
pub struct Part<'a> {
    /// Rows written so far.
    pub n_rows: usize,
    /// `n × n_features` codes: the rows of this block that were predicted.
    pub codes: &'a Matrix,
    /// What was predicted of them.
    pub predictions: &'a Predictions,
    /// What happened in this block.
    pub summary: Summary,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows written.
    pub n_rows: usize,
    /// Rows that do not fit and were left out or not predicted.
    pub n_bad: usize,
    /// Cells without a value.
    pub n_missing: usize,
    /// Categories that training did not see.
    pub n_unseen: usize,
    /// Numbers outside the range of the training rows.
    pub n_out_of_range: usize,
}

/// Rows that do not fit the schema. The rows before the first of them have been written.
#[derive(Debug)]
pub struct BadRows {
    /// What messages call the input.
    pub source: String,
    /// All problems of the block: where (`/ROW/COLUMN`, rows counted from 0) and what.
    pub problems: Vec<Problem>,
    /// The same for people, with lines and columns.
    pub messages: Vec<String>,
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        const SHOWN: usize = 20;
        for (i, message) in self.messages.iter().take(SHOWN).enumerate() {
            let separator = if i > 0 { "\n" } else { "" };
            write!(f, "{separator}{message}")?;
        }
        if self.messages.len() > SHOWN {
            write!(f, "\nand {} more", self.messages.len() - SHOWN)?;
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

/// What does not fit in a block, rows counted from its start.
#[derive(Default)]
struct Problems {
    found: Vec<(usize, Problem)>,
    messages: Vec<String>,
}

impl Problems {
    /// `pointer`: within the row.
    fn add(&mut self, row: usize, pointer: String, detail: String, message: String) {
        self.found.push((row, Problem { pointer, detail }));
        self.messages.push(message);
    }

    /// The error they make, in a block before which there are `n_before` rows.
    fn error(&mut self, source: &str, n_before: usize) -> anyhow::Error {
        let pointed = self.found.drain(..).map(|(row, problem)| Problem {
            pointer: format!("/{}{}", n_before + row, problem.pointer),
            ..problem
        });
        let problems = pointed.collect();
        BadRows { source: source.into(), problems, messages: std::mem::take(&mut self.messages) }.into()
    }
}

/// A block of rows on its way from text to predictions to text.
#[derive(Default)]
struct Batch {
    codes: Matrix,
    /// The codes of the row being read.
    row: Vec<f64>,
    /// Where each row to write stands in the block, and which row of `codes` it is if it is predicted.
    rows: Vec<(Range<usize>, Option<usize>)>,
    /// Where the kept fields of each row stand.
    fields: Vec<Range<usize>>,
    /// Where the fields of the row being read stand.
    places: Vec<Range<usize>>,
    /// Whether the row being read does not fit.
    bad: bool,
    /// Whether a row before did not fit, and no more are to be written.
    stopped: bool,
    n_read: usize,
    n_bad: usize,
    problems: Problems,
    failure: Option<anyhow::Error>,
    predictions: Predictions,
    summary: Summary,
    warnings: Vec<Warning>,
    out: Vec<u8>,
}

impl Batch {
    fn start(&mut self, n_features: usize) {
        if self.codes.n_cols() != n_features {
            self.codes = Matrix::with_capacity(0, n_features);
        }
        self.codes.clear();
        self.row.clear();
        self.row.resize(n_features, f64::NAN);
        self.rows.clear();
        self.fields.clear();
        self.places.clear();
        (self.bad, self.stopped) = (false, false);
        (self.n_read, self.n_bad) = (0, 0);
        self.problems = Problems::default();
        self.failure = None;
        self.summary = Summary::default();
        self.warnings.clear();
        self.out.clear();
    }

    /// Takes the row that has been read, which stands at `place`.
    fn end_row(&mut self, place: Range<usize>, on_error: OnError) {
        self.n_read += 1;
        give_way_at(self.n_read);
        let bad = std::mem::take(&mut self.bad);
        if bad {
            self.n_bad += 1;
            self.stopped |= on_error == OnError::Stop;
            self.row.fill(f64::NAN);
        }
        if self.stopped || (bad && on_error == OnError::Skip) {
            return;
        }
        if bad {
            self.rows.push((place, None));
            return;
        }
        self.rows.push((place, Some(self.codes.n_rows())));
        self.codes.push_row(f64::NAN).copy_from_slice(&self.row);
        self.row.fill(f64::NAN);
    }

    /// Predicts the rows that fit, and counts what is unusual in them.
    fn predict(&mut self, model: &Model, options: &Options) -> Predictions {
        let predictions = model.pipeline.predict_serially(&self.codes, options.decision);
        for warning in model.pipeline.schema.warnings(&self.codes) {
            match warning.kind {
                WarningKind::MissingValue => self.summary.n_missing += 1,
                WarningKind::UnseenCategory => self.summary.n_unseen += 1,
                WarningKind::OutOfRange => self.summary.n_out_of_range += 1,
            }
            if self.warnings.len() < MAX_LISTED_WARNINGS {
                self.warnings.push(warning);
            }
        }
        if !self.warnings.is_empty() {
            let row_of: Vec<usize> = (0..self.rows.len()).filter(|&i| self.rows[i].1.is_some()).collect();
            self.warnings.iter_mut().for_each(|warning| warning.row = row_of[warning.row]);
        }
        self.summary.n_rows = self.rows.len();
        self.summary.n_bad = self.n_bad;
        predictions
    }
}

/// What is written, block after block.
struct Output<'a, W> {
    model: &'a Model,
    options: &'a Options,
    source: &'a str,
    out: W,
    summary: Summary,
    warnings: Vec<Warning>,
    n_warnings: usize,
    started: bool,
}

impl<'a, W: Write> Output<'a, W> {
    fn new(model: &'a Model, options: &'a Options, source: &'a str, out: W) -> Self {
        let (summary, warnings) = (Summary::default(), Vec::new());
        Self { model, options, source, out, summary, warnings, n_warnings: 0, started: false }
    }

    /// Whether the answer is one JSON document.
    fn is_document(&self) -> bool {
        matches!(self.options.format, Format::Json | Format::Values)
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).context("cannot write the predictions")
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().context("cannot write the predictions")
    }

    /// Writes a block, then fails if something in it does not fit.
    fn block(&mut self, batch: &mut Batch, watch: &mut dyn FnMut(Part)) -> Result<()> {
        if self.summary.n_rows + batch.rows.len() > self.options.max_rows {
            return Err(TooManyRows.into());
        }
        let bytes = std::mem::take(&mut batch.out);
        if self.is_document() {
            // Each element has a comma before it.
            if !self.started && !bytes.is_empty() {
                self.write_all(b"{\"predictions\":[")?;
                self.write_all(&bytes[1..])?;
                self.started = true;
            } else {
                self.write_all(&bytes)?;
            }
        } else {
            self.write_all(&bytes)?;
        }
        batch.out = bytes;
        self.flush()?;
        let n_before = self.summary.n_rows;
        for warning in batch.warnings.iter().take(MAX_LISTED_WARNINGS - self.warnings.len()) {
            self.warnings.push(Warning { row: n_before + warning.row, ..*warning });
        }
        let Summary { n_rows, n_bad, n_missing, n_unseen, n_out_of_range } = batch.summary;
        self.n_warnings += n_missing + n_unseen + n_out_of_range;
        self.summary.n_rows += n_rows;
        self.summary.n_bad += n_bad;
        self.summary.n_missing += n_missing;
        self.summary.n_unseen += n_unseen;
        self.summary.n_out_of_range += n_out_of_range;
        watch(Part {
            n_rows: self.summary.n_rows,
            codes: &batch.codes,
            predictions: &batch.predictions,
            summary: batch.summary,
        });
        if self.options.on_error == OnError::Stop && !batch.problems.found.is_empty() {
            return Err(batch.problems.error(self.source, n_before));
        }
        if let Some(failure) = batch.failure.take() {
            return Err(failure);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary> {
        if self.is_document() {
            let mut end = if self.started { Vec::new() } else { b"{\"predictions\":[".to_vec() };
            end.push(b']');
            if self.options.format == Format::Json {
                let writer = AnswerWriter::new(&self.model.pipeline.schema);
                writer.warnings(&self.warnings, self.n_warnings, &mut end);
            }
            end.extend_from_slice(b"}\n");
            self.write_all(&end)?;
        }
        self.flush()?;
        Ok(self.summary)
    }
}

/// The names of the columns that a prediction adds.
fn added_names(model: &Model, options: &Options) -> Vec<String> {
    let labels = model.labels();
    let mut names = vec!["prediction".to_string()];
    if !labels.is_empty() {
        names.push("probability".into());
    }
    if options.probabilities {
        names.extend(labels.iter().map(|label| format!("probability_{label}")));
    }
    names
}

/// The numbers of those columns after the prediction itself.
fn added_numbers<'p>(
    predictions: &'p Predictions,
    row: usize,
    options: &Options,
) -> impl Iterator<Item = f64> + 'p {
    let scores = predictions.scores.row(row);
    let class = predictions.classes.get(row);
    let all = if options.probabilities && class.is_some() { scores } else { &[] };
    class.map(|&class| scores[class as usize]).into_iter().chain(all.iter().copied())
}

/// Where the kept columns stand among `names`.
fn kept_columns(keep: &Keep, names: &[String]) -> Result<Vec<usize>> {
    let Keep::Columns(wanted) = keep else {
        return Ok(if *keep == Keep::All { (0..names.len()).collect() } else { Vec::new() });
    };
    let find = |name: &String| {
        names.iter().position(|n| n == name).with_context(|| {
            let hint = crate::data::cells::schema::nearest(name, names.iter().map(String::as_str));
            let hint = hint.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
            format!("the input has no column {name:?} to keep{hint}")
        })
    };
    wanted.iter().map(find).collect()
}

/// Predicts every record of a delimited file and writes the result to `out`; with a header line, columns are
/// matched by name. `watch` is shown each block once it is written.
///
/// # Errors
/// [`BadRows`], [`TooManyRows`], or an input or output that fails.
pub fn predict_csv(
    model: &Model,
    mut records: Records,
    options: &Options,
    out: impl Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let schema = &model.pipeline.schema;
    let source = records.source().to_string();
    let names = records.names().to_vec();
    if schema.decimal_comma && records.delimiter() != b',' {
        records.set_decimal_comma();
    }
    let map = if options.header {
        schema.map_columns(&names, options.lenient)
    } else {
        schema.positions(names.len()).map_err(|problem| vec![problem])
    };
    let map = map.map_err(|found| {
        let messages = found.iter().map(|detail| format!("{source}: {detail}")).collect();
        let problem = |detail| Problem { pointer: String::new(), detail };
        let problems = found.into_iter().map(problem).collect();
        BadRows { source: source.clone(), problems, messages }
    })?;
    let kept = kept_columns(&options.keep, &names)?;
    let table = Table::new(model, options, &source, names, map, kept, records.dialect());
    let mut output = Output::new(model, options, &source, out);
    if options.format == Format::LikeInput && options.header {
        output.write_all(&table.header())?;
        if !records.blocks.is_slow() {
            output.flush()?;
        }
    }
    let work = |block: &Block, batch: &mut Batch| table.predict(block, batch);
    in_order(&mut records.blocks, options.n_threads, work, |batch| output.block(batch, watch))?;
    output.finish()
}

/// How a delimited input is read and answered.
struct Table<'a> {
    model: &'a Model,
    schema: &'a Schema,
    options: &'a Options,
    source: &'a str,
    names: Vec<String>,
    /// For each column, the feature that it holds.
    map: Vec<Option<usize>>,
    kept: Vec<usize>,
    walk: Walk,
    /// Each label as a field.
    labels: Vec<Vec<u8>>,
    n_added: usize,
    answers: AnswerWriter,
}

impl<'a> Table<'a> {
    fn new(
        model: &'a Model,
        options: &'a Options,
        source: &'a str,
        names: Vec<String>,
        map: Vec<Option<usize>>,
        kept: Vec<usize>,
        dialect: Dialect,
    ) -> Self {
        let schema = &model.pipeline.schema;
        let want = |feature: &Option<usize>| match feature.map(|feature| schema.features[feature].column_type)
        {
            None => Want::Nothing,
            Some(ColumnType::Number) if !schema.null_tokens.may_be_numbers() => Want::Number,
            Some(_) => Want::Text,
        };
        let wants = map.iter().map(want).collect();
        let places = matches!(options.keep, Keep::Columns(_)) || options.on_error == OnError::Null;
        let labels = model.labels().iter().map(|label| {
            let mut field = Vec::new();
            write_field(label.as_bytes(), dialect, &mut field);
            field
        });
        Self {
            model,
            schema,
            options,
            source,
            names,
            map,
            kept,
            walk: Walk { dialect, wants, places },
            labels: labels.collect(),
            n_added: added_names(model, options).len(),
            answers: AnswerWriter::new(schema),
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let kept = self.kept.iter().map(|&column| self.names[column].clone());
        for (i, name) in kept.chain(added_names(self.model, self.options)).enumerate() {
            if i > 0 {
                line.push(self.walk.dialect.delimiter);
            }
            write_field(name.as_bytes(), self.walk.dialect, &mut line);
        }
        line.push(b'\n');
        line
    }

    fn predict(&self, block: &Block, batch: &mut Batch) {
        batch.start(self.schema.n_features());
        self.walk.through(block, &mut RowReader { table: self, batch });
        let predictions = batch.predict(self.model, self.options);
        let mut out = std::mem::take(&mut batch.out);
        for (i, (place, row)) in batch.rows.iter().enumerate() {
            give_way_at(i);
            match self.options.format {
                Format::LikeInput => {
                    let fields = &batch.fields[i * self.n_places()..(i + 1) * self.n_places()];
                    self.record(block, place.clone(), fields, &predictions, *row, &mut out);
                }
                format => element(&self.answers, &predictions, *row, format, &mut out),
            }
        }
        (batch.out, batch.predictions) = (out, predictions);
    }

    /// How many places of fields are kept for each row.
    fn n_places(&self) -> usize {
        if self.walk.places { self.kept.len() } else { 0 }
    }

    /// Writes the kept fields of a record as they stand, and its prediction.
    fn record(
        &self,
        block: &Block,
        place: Range<usize>,
        fields: &[Range<usize>],
        predictions: &Predictions,
        row: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let delimiter = self.walk.dialect.delimiter;
        if self.walk.places {
            for field in fields {
                out.extend_from_slice(&block.bytes[field.clone()]);
                out.push(delimiter);
            }
        } else if !self.kept.is_empty() {
            out.extend_from_slice(&block.bytes[place]);
            out.push(delimiter);
        }
        match row {
            None => out.extend(std::iter::repeat_n(delimiter, self.n_added - 1)),
            Some(row) => {
                match predictions.classes.get(row) {
                    Some(&class) => out.extend_from_slice(&self.labels[class as usize]),
                    None => number(predictions.scores.row(row)[0], out),
                }
                for value in added_numbers(predictions, row, self.options) {
                    out.push(delimiter);
                    number(value, out);
                }
            }
        }
        out.push(b'\n');
    }
}

/// A field, in quotes where it needs them.
fn write_field(field: &[u8], dialect: Dialect, out: &mut Vec<u8>) {
    let special = |b: &u8| *b == dialect.delimiter || Some(*b) == dialect.quote || matches!(b, b'\n' | b'\r');
    match dialect.quote {
        Some(quote) if field.iter().any(special) => {
            out.push(quote);
            for &byte in field {
                if byte == quote {
                    out.push(quote);
                }
                out.push(byte);
            }
            out.push(quote);
        }
        _ => out.extend_from_slice(field),
    }
}

/// An element of the answer of the HTTP API: a line, or with a comma before it.
fn element(
    answers: &AnswerWriter,
    predictions: &Predictions,
    row: Option<usize>,
    format: Format,
    out: &mut Vec<u8>,
) {
    if format != Format::Ndjson {
        out.push(b',');
    }
    match row {
        Some(row) if format == Format::Values => answers.value(predictions, row, out),
        Some(row) => answers.element(predictions, row, out),
        None if format == Format::Values => out.extend_from_slice(b"null"),
        None => out.extend_from_slice(b"{\"prediction\":null}"),
    }
    if format == Format::Ndjson {
        out.push(b'\n');
    }
}

/// Puts the cells of a block into a batch.
struct RowReader<'t, 'b> {
    table: &'t Table<'t>,
    batch: &'b mut Batch,
}

impl RowReader<'_, '_> {
    fn bad_cell(&mut self, column: usize, line: u64, detail: String) {
        self.batch.bad = true;
        if self.table.options.on_error == OnError::Stop {
            let (source, name) = (self.table.source, &self.table.names[column]);
            let message = format!("{source} line {line}, column {name:?}: {detail}");
            self.batch.problems.add(self.batch.n_read, format!("/{name}"), detail, message);
        }
    }
}

impl Visitor for RowReader<'_, '_> {
    #[inline]
    fn number(&mut self, column: usize, value: f64) {
        if let Some(feature) = self.table.map[column] {
            self.batch.row[feature] = value;
        }
    }

    fn text(&mut self, column: usize, text: &[u8], line: u64) {
        let Some(feature) = self.table.map[column] else {
            return;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            let place = format!("column {:?}", self.table.names[column]);
            if self.table.options.on_error == OnError::Stop {
                let error = anyhow::anyhow!(not_utf8(self.table.source, line, &place));
                self.batch.failure.get_or_insert(error);
            }
            self.batch.bad = true;
            return;
        };
        let known = &self.table.schema.features[feature];
        let mut cell = self.table.schema.null_tokens.cell(text);
        let mark = self.table.walk.dialect.decimal_mark;
        if let (Cell::Text(text), ColumnType::Number) = (cell, known.column_type)
            && mark != b'.'
        {
            match parse_number(text, mark) {
                Some(value) if value.is_nan() => cell = Cell::Missing,
                Some(value) => cell = Cell::Number(value),
                None if self.table.options.lenient => return,
                None => {
                    let detail = format!("{text:?} is not a number with a decimal comma");
                    return self.bad_cell(column, line, detail);
                }
            }
        }
        match known.code(cell, self.batch.codes.texts_mut()) {
            Ok(code) => self.batch.row[feature] = code,
            Err(_) if self.table.options.lenient => {}
            Err(detail) => self.bad_cell(column, line, detail),
        }
    }

    fn place(&mut self, place: Range<usize>) {
        self.batch.places.push(place);
    }

    fn end(&mut self, record: Record) -> bool {
        let (table, options) = (self.table, self.table.options);
        let ragged_row = record.n_fields != table.names.len();
        if record.open || (ragged_row && options.on_error == OnError::Stop) {
            let error = anyhow::anyhow!(ragged(table.source, &record, table.names.len()));
            self.batch.failure.get_or_insert(error);
        }
        if self.batch.failure.is_some() {
            return false;
        }
        self.batch.bad |= ragged_row;
        let n_rows = self.batch.rows.len();
        self.batch.end_row(record.place.clone(), options.on_error);
        if table.walk.places {
            if self.batch.rows.len() > n_rows {
                // A record that is too short has empty fields where others have something.
                let nothing = record.place.end..record.place.end;
                let places =
                    table.kept.iter().map(|&column| self.batch.places.get(column).unwrap_or(&nothing));
                self.batch.fields.extend(places.cloned());
            }
            self.batch.places.clear();
        }
        true
    }
}

/// Predicts every line of a file of JSON rows and writes the result to `out`; an output like the input
/// repeats the kept members of an object, or the array under `input`. Blank lines are passed over.
///
/// # Errors
/// As [`predict_csv`]; a line that is not JSON counts as a row that does not fit.
pub fn predict_ndjson(
    model: &Model,
    source: &str,
    input: impl Read + Send,
    options: &Options,
    out: impl Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let blocks = Blocks::new(source, Vec::new(), input, Cut::Lines, BLOCK_BYTES, false);
    predict_lines(model, source, blocks, options, out, watch)
}

/// As [`predict_ndjson`], of an input that is cut into blocks.
///
/// # Errors
/// As there.
pub fn predict_lines(
    model: &Model,
    source: &str,
    mut blocks: Blocks<impl Read + Send>,
    options: &Options,
    out: impl Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let schema = &model.pipeline.schema;
    let added = added_names(model, options);
    let answers = AnswerWriter::new(schema);
    let work = |block: &Block, batch: &mut Batch| {
        batch.start(schema.n_features());
        let lines: Vec<(u64, &[u8])> = ndjson::lines(block).collect();
        for (i, (number, line)) in lines.iter().enumerate() {
            read_line(schema, source, *number, line, options, batch);
            batch.end_line(i, options.on_error);
        }
        let predictions = batch.predict(model, options);
        let mut out = std::mem::take(&mut batch.out);
        for (i, (place, row)) in batch.rows.iter().enumerate() {
            give_way_at(i);
            match options.format {
                Format::LikeInput => {
                    extend_line(model, options, lines[place.start].1, &predictions, *row, &added, &mut out);
                }
                format => element(&answers, &predictions, *row, format, &mut out),
            }
        }
        (batch.out, batch.predictions) = (out, predictions);
    };
    let mut output = Output::new(model, options, source, out);
    in_order(&mut blocks, options.n_threads, work, |batch| output.block(batch, watch))?;
    output.finish()
}

/// Reads one line as the last row of the codes.
fn read_line(schema: &Schema, source: &str, number: u64, line: &[u8], options: &Options, batch: &mut Batch) {
    let n_rows = batch.codes.n_rows();
    let listed = match json::read_row(line, schema, options.lenient, &mut batch.codes) {
        Ok(problems) => problems.listed,
        Err(malformed) => {
            let detail = match malformed {
                Malformed::NotJson(detail) => format!("not JSON: {detail}"),
                Malformed::TooManyRows => "too many rows".into(),
            };
            vec![Problem { pointer: String::new(), detail }]
        }
    };
    batch.bad = !listed.is_empty();
    if batch.bad {
        batch.codes.truncate(n_rows);
    }
    if options.on_error == OnError::Stop {
        for Problem { pointer, detail } in listed {
            let place = pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
            let place = if place.is_empty() { place } else { format!(", {place:?}") };
            let message = format!("{source} line {number}{place}: {detail}");
            batch.problems.add(batch.n_read, pointer, detail, message);
        }
    }
}

impl Batch {
    /// Takes a row whose codes are the last ones, if it fits.
    fn end_line(&mut self, line: usize, on_error: OnError) {
        self.n_read += 1;
        let bad = std::mem::take(&mut self.bad);
        self.n_bad += usize::from(bad);
        if self.stopped {
            self.codes.truncate(self.codes.n_rows() - usize::from(!bad));
            return;
        }
        self.stopped = bad && on_error == OnError::Stop;
        if !bad {
            self.rows.push((line..line, Some(self.codes.n_rows() - 1)));
        } else if on_error == OnError::Null {
            self.rows.push((line..line, None));
        }
    }
}

/// Writes the kept members of one line's object, then the prediction, as one object.
fn extend_line(
    model: &Model,
    options: &Options,
    line: &[u8],
    predictions: &Predictions,
    row: Option<usize>,
    added: &[String],
    out: &mut Vec<u8>,
) {
    let mut first = true;
    let mut member = |name: &str, value: &[u8]| {
        out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    };
    let text = std::str::from_utf8(line).unwrap_or_default().trim();
    if let Ok(Members(members)) = serde_json::from_str(text) {
        match &options.keep {
            Keep::All => {
                members.iter().for_each(|(name, value)| member(name, value.get().as_bytes()));
            }
            Keep::None => {}
            Keep::Columns(wanted) => {
                let members: BTreeMap<&str, &RawValue> =
                    members.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
                for name in wanted {
                    let value = members.get(name.as_str()).map_or("null", |value| value.get());
                    member(name, value.as_bytes());
                }
            }
        }
    } else if options.keep == Keep::All && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        member("input", text.as_bytes());
    }
    let target = &model.pipeline.schema.target;
    let mut value = Vec::new();
    let Some(row) = row else {
        added.iter().for_each(|name| member(name, b"null"));
        return out.extend_from_slice(b"}\n");
    };
    match predictions.classes.get(row) {
        Some(&class) => {
            let label = target.json_label(&target.labels[class as usize]);
            value.extend_from_slice(label.to_string().as_bytes());
        }
        None => number(predictions.scores.row(row)[0], &mut value),
    }
    member(&added[0], &value);
    for (name, score) in added[1..].iter().zip(added_numbers(predictions, row, options)) {
        value.clear();
        number(score, &mut value);
        member(name, &value);
    }
    out.extend_from_slice(b"}\n");
}
