//! A file of rows in, the same rows with their predictions out, block by block in constant memory: what
//! `predict --input` does, and the server with a CSV or NDJSON body.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context, Result};
use serde_json::value::RawValue;

use super::answer::{AnswerWriter, MAX_LISTED_WARNINGS, number};
use crate::data::csv::Records;
use crate::data::json::{self, Malformed, Problem};
use crate::data::matrix::Matrix;
use crate::data::schema::{Warning, WarningKind};
use crate::model::Model;
use crate::model::pipeline::{Decision, Predictions};

/// Rows that are read, predicted and written together.
const BATCH_ROWS: usize = 4096;

/// A line of NDJSON may not be longer: it is one row.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

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
    /// Whether the input has a header line; only for CSV.
    pub header: bool,
    /// More rows than this are an error.
    pub max_rows: usize,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows predicted.
    pub n_rows: usize,
    /// Cells without a value.
    pub n_missing: usize,
    /// Categories that training did not see.
    pub n_unseen: usize,
    /// Numbers outside the range of the training rows.
    pub n_out_of_range: usize,
}

/// Rows that do not fit the schema. The rows before the block they stand in have been written.
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

/// Collects the problems of a block.
#[derive(Default)]
struct Problems {
    problems: Vec<Problem>,
    messages: Vec<String>,
}

impl Problems {
    fn add(&mut self, pointer: String, detail: String, message: String) {
        self.problems.push(Problem { pointer, detail });
        self.messages.push(message);
    }

    fn check(&mut self, source: &str) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(BadRows {
            source: source.into(),
            problems: std::mem::take(&mut self.problems),
            messages: std::mem::take(&mut self.messages),
        }
        .into())
    }
}

/// A block of rows on its way from codes to predictions, and what has been seen so far.
struct Block<'a> {
    model: &'a Model,
    options: &'a Options,
    codes: Matrix,
    problems: Problems,
    summary: Summary,
    warnings: Vec<Warning>,
    n_warnings: usize,
}

impl<'a> Block<'a> {
    fn new(model: &'a Model, options: &'a Options) -> Self {
        Self {
            model,
            options,
            codes: Matrix::with_capacity(0, model.pipeline.schema.n_features()),
            problems: Problems::default(),
            summary: Summary::default(),
            warnings: Vec::new(),
            n_warnings: 0,
        }
    }

    /// The index of the row last pushed, counted from the start of the input.
    fn row(&self) -> usize {
        self.summary.n_rows + self.codes.n_rows() - 1
    }

    fn check_rows(&self) -> Result<()> {
        if self.summary.n_rows + self.codes.n_rows() > self.options.max_rows {
            return Err(TooManyRows.into());
        }
        Ok(())
    }

    /// Predicts the rows, counts them and their warnings, and empties the block.
    fn predict(&mut self) -> Predictions {
        let predictions = self.model.pipeline.predict(&self.codes, self.options.decision);
        for warning in self.model.pipeline.schema.warnings(&self.codes) {
            match warning.kind {
                WarningKind::MissingValue => self.summary.n_missing += 1,
                WarningKind::UnseenCategory => self.summary.n_unseen += 1,
                WarningKind::OutOfRange => self.summary.n_out_of_range += 1,
            }
            self.n_warnings += 1;
            if self.warnings.len() < MAX_LISTED_WARNINGS {
                let row = warning.row + self.summary.n_rows;
                self.warnings.push(Warning { row, ..warning });
            }
        }
        self.summary.n_rows += self.codes.n_rows();
        self.codes.clear();
        predictions
    }

    /// The names of the columns that a prediction adds.
    fn added_names(&self) -> Vec<String> {
        let labels = self.model.labels();
        let mut names = vec!["prediction".to_string()];
        if !labels.is_empty() {
            names.push("probability".into());
        }
        if self.options.probabilities {
            names.extend(labels.iter().map(|label| format!("probability_{label}")));
        }
        names
    }

    /// The numbers of those columns after the prediction itself.
    fn added_numbers(&self, predictions: &Predictions, row: usize) -> Vec<f64> {
        let scores = predictions.scores.row(row);
        let Some(&class) = predictions.classes.get(row) else {
            return Vec::new();
        };
        let mut numbers = vec![scores[class as usize]];
        if self.options.probabilities {
            numbers.extend_from_slice(scores);
        }
        numbers
    }
}

/// Answers in the form of the HTTP API.
struct Answers<W> {
    writer: AnswerWriter,
    document: bool,
    /// Whether an element is the predicted label or number alone.
    values: bool,
    out: W,
    buffer: Vec<u8>,
    started: bool,
}

impl<W: Write> Answers<W> {
    fn new(model: &Model, options: &Options, out: W) -> Self {
        Self {
            writer: AnswerWriter::new(&model.pipeline.schema),
            document: matches!(options.format, Format::Json | Format::Values),
            values: options.format == Format::Values,
            out,
            buffer: Vec::new(),
            started: false,
        }
    }

    fn write(&mut self, predictions: &Predictions) -> Result<()> {
        for row in 0..predictions.scores.n_rows() {
            if self.document {
                self.separate();
                if self.values {
                    self.writer.value(predictions, row, &mut self.buffer);
                } else {
                    self.writer.element(predictions, row, &mut self.buffer);
                }
            } else {
                self.writer.element(predictions, row, &mut self.buffer);
                self.buffer.push(b'\n');
            }
        }
        write_out(&mut self.out, &mut self.buffer)
    }

    fn separate(&mut self) {
        let started = std::mem::replace(&mut self.started, true);
        self.buffer.extend_from_slice(if started { b"," } else { b"{\"predictions\":[" });
    }

    fn finish(mut self, block: &Block) -> Result<()> {
        if self.document {
            if !self.started {
                self.separate();
            }
            self.buffer.push(b']');
            if !self.values {
                self.writer.warnings(&block.warnings, block.n_warnings, &mut self.buffer);
            }
            self.buffer.extend_from_slice(b"}\n");
        }
        write_out(&mut self.out, &mut self.buffer)
    }
}

fn write_out(out: &mut impl Write, buffer: &mut Vec<u8>) -> Result<()> {
    const FAILED: &str = "cannot write the predictions";
    out.write_all(buffer).context(FAILED)?;
    buffer.clear();
    out.flush().context(FAILED)
}

/// Where the kept columns stand among `names`.
fn kept_columns(keep: &Keep, names: &[String]) -> Result<Vec<usize>> {
    let Keep::Columns(wanted) = keep else {
        return Ok(if *keep == Keep::All { (0..names.len()).collect() } else { Vec::new() });
    };
    let find = |name: &String| {
        names.iter().position(|n| n == name).with_context(|| {
            let hint = crate::data::schema::nearest(name, names.iter().map(String::as_str));
            let hint = hint.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
            format!("the input has no column {name:?} to keep{hint}")
        })
    };
    wanted.iter().map(find).collect()
}

/// Predicts every record of a delimited file and writes the result to `out`; with a header line, columns are
/// matched by name. `watch` is told the number of rows so far after each block.
///
/// # Errors
/// [`BadRows`], [`TooManyRows`], or an input or output that fails.
pub fn predict_csv(
    model: &Model,
    mut records: Records,
    options: &Options,
    out: impl Write,
    watch: &dyn Fn(usize),
) -> Result<Summary> {
    let schema = &model.pipeline.schema;
    let source = records.source().to_string();
    let names = records.names().to_vec();
    let mut block = Block::new(model, options);
    let map = if options.header {
        schema.map_columns(&names, options.lenient)
    } else {
        schema.positions(names.len()).map_err(|problem| vec![problem])
    };
    let map = map.unwrap_or_else(|found| {
        for detail in found {
            let message = format!("{source}: {detail}");
            block.problems.add(String::new(), detail, message);
        }
        Vec::new()
    });
    block.problems.check(&source)?;
    let kept = kept_columns(&options.keep, &names)?;
    let mut table = TableOut::new(&block, &records, &kept, out)?;
    let mut kept_rows: Vec<csv::ByteRecord> = Vec::new();
    loop {
        let next = match records.next_record() {
            Ok(next) => next.map(|(line, record)| (line, record.clone())),
            Err(error) => {
                // What stands before the bad record is still answered.
                block.problems.check(&source)?;
                table.write(&mut block, &mut kept_rows)?;
                return Err(error);
            }
        };
        let ended = next.is_none();
        if let Some((line, record)) = next {
            block.codes.push_row(f64::NAN);
            block.check_rows()?;
            for (column, feature) in map.iter().enumerate().filter_map(|(c, f)| Some((c, (*f)?))) {
                let cell = schema.null_tokens.cell(records.text(&record, line, column)?);
                let last = block.codes.n_rows() - 1;
                match schema.features[feature].code(cell) {
                    Ok(code) => block.codes.row_mut(last)[feature] = code,
                    Err(_) if options.lenient => {}
                    Err(detail) => {
                        let (row, name) = (block.row(), &names[column]);
                        let message = format!("{source} line {line}, column {name:?}: {detail}");
                        block.problems.add(format!("/{row}/{name}"), detail, message);
                    }
                }
            }
            kept_rows.push(record);
        }
        if ended || kept_rows.len() == BATCH_ROWS {
            block.problems.check(&source)?;
            table.write(&mut block, &mut kept_rows)?;
            watch(block.summary.n_rows);
        }
        if ended {
            table.finish(&block)?;
            return Ok(block.summary);
        }
    }
}

/// The output for a delimited input.
enum TableOut<'k, W: Write> {
    Like { writer: Box<csv::Writer<W>>, kept: &'k [usize] },
    Answers(Box<Answers<W>>),
}

impl<'k, W: Write> TableOut<'k, W> {
    fn new(block: &Block, records: &Records, kept: &'k [usize], out: W) -> Result<Self> {
        if block.options.format != Format::LikeInput {
            return Ok(Self::Answers(Box::new(Answers::new(block.model, block.options, out))));
        }
        let mut writer = Box::new(csv::WriterBuilder::new().delimiter(records.delimiter()).from_writer(out));
        if block.options.header {
            let kept_names = kept.iter().map(|&column| records.names()[column].clone());
            writer.write_record(kept_names.chain(block.added_names())).map_err(write_error)?;
        }
        Ok(Self::Like { writer, kept })
    }

    fn write(&mut self, block: &mut Block, rows: &mut Vec<csv::ByteRecord>) -> Result<()> {
        let predictions = block.predict();
        let (writer, kept) = match self {
            Self::Answers(answers) => {
                rows.clear();
                return answers.write(&predictions);
            }
            Self::Like { writer, kept } => (writer, kept),
        };
        let labels = block.model.labels();
        let mut field = Vec::new();
        for (i, row) in rows.drain(..).enumerate() {
            let mut write = |field: &[u8]| writer.write_field(field).map_err(write_error);
            for &column in *kept {
                write(&row[column])?;
            }
            match predictions.classes.get(i) {
                Some(&class) => write(labels[class as usize].as_bytes())?,
                None => {
                    field.clear();
                    number(predictions.scores.row(i)[0], &mut field);
                    write(&field)?;
                }
            }
            for value in block.added_numbers(&predictions, i) {
                field.clear();
                number(value, &mut field);
                write(&field)?;
            }
            writer.write_record(None::<&[u8]>).map_err(write_error)?;
        }
        writer.flush().context("cannot write the predictions")
    }

    fn finish(self, block: &Block) -> Result<()> {
        match self {
            Self::Answers(answers) => answers.finish(block),
            Self::Like { mut writer, .. } => writer.flush().context("cannot write the predictions"),
        }
    }
}

/// Keeps the I/O error inside, so that a closed pipe is recognised.
fn write_error(error: csv::Error) -> anyhow::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => anyhow::Error::new(error).context("cannot write the predictions"),
        other => anyhow::anyhow!("cannot write the predictions: {other:?}"),
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
    input: impl Read,
    options: &Options,
    mut out: impl Write,
    watch: &dyn Fn(usize),
) -> Result<Summary> {
    let schema = &model.pipeline.schema;
    let mut input = BufReader::with_capacity(256 * 1024, input);
    let mut block = Block::new(model, options);
    let added = block.added_names();
    let like_input = options.format == Format::LikeInput;
    let mut answers = Answers::new(model, options, &mut out);
    let mut lines: Vec<String> = Vec::new();
    let mut line_number = 0;
    loop {
        let mut line = String::new();
        let n = (&mut input).take(MAX_LINE_BYTES).read_line(&mut line);
        line_number += 1;
        let n = n.with_context(|| format!("cannot read {source} line {line_number}"))?;
        anyhow::ensure!(
            (n as u64) < MAX_LINE_BYTES,
            "{source} line {line_number} is longer than {} MB; NDJSON has one row a line",
            MAX_LINE_BYTES / 1024 / 1024
        );
        if !line.trim().is_empty() {
            let read = json::read_row(line.as_bytes(), schema, options.lenient, &mut block.codes);
            let listed = match read {
                Ok(problems) => problems.listed,
                Err(malformed) => {
                    block.codes.push_row(f64::NAN);
                    let detail = match malformed {
                        Malformed::NotJson(detail) => format!("not JSON: {detail}"),
                        Malformed::TooManyRows => "too many rows".into(),
                    };
                    vec![Problem { pointer: String::new(), detail }]
                }
            };
            block.check_rows()?;
            for Problem { pointer, detail } in listed {
                let place = pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
                let place = if place.is_empty() { place } else { format!(", {place:?}") };
                let message = format!("{source} line {line_number}{place}: {detail}");
                block.problems.add(format!("/{}{pointer}", block.row()), detail, message);
            }
            lines.push(if like_input { line } else { String::new() });
        }
        if n == 0 || lines.len() == BATCH_ROWS {
            block.problems.check(source)?;
            let predictions = block.predict();
            if like_input {
                for (row, line) in lines.drain(..).enumerate() {
                    extend_line(&block, &line, &predictions, row, &added, &mut answers.buffer)?;
                }
                write_out(&mut answers.out, &mut answers.buffer)?;
            } else {
                lines.clear();
                answers.write(&predictions)?;
            }
            watch(block.summary.n_rows);
        }
        if n == 0 {
            answers.finish(&block)?;
            return Ok(block.summary);
        }
    }
}

/// Writes the kept members of one line's object, then the prediction, as one object.
fn extend_line(
    block: &Block,
    line: &str,
    predictions: &Predictions,
    row: usize,
    added: &[String],
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut member = |name: &str, value: &[u8]| {
        out.push(if out.last().is_none_or(|&last| last == b'\n') { b'{' } else { b',' });
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    };
    if let Ok(Members(members)) = serde_json::from_str(line) {
        match &block.options.keep {
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
    } else if block.options.keep == Keep::All {
        member("input", line.trim().as_bytes());
    }
    let target = &block.model.pipeline.schema.target;
    let mut value = Vec::new();
    match predictions.classes.get(row) {
        Some(&class) => {
            let label = target.json_label(&target.labels[class as usize]);
            value.extend_from_slice(label.to_string().as_bytes());
        }
        None => number(predictions.scores.row(row)[0], &mut value),
    }
    member(&added[0], &value);
    for (name, score) in added[1..].iter().zip(block.added_numbers(predictions, row)) {
        value.clear();
        number(score, &mut value);
        member(name, &value);
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// The members of an object in their order, values as they were written.
struct Members<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Visitor)
    }
}
