//! Rows of delimited text: cells into codes, and records repeated as they stand with their predictions behind.

use std::io::Write;
use std::ops::Range;

use anyhow::{Context, Result, anyhow};

use super::answer::number;
use super::batch::{Batch, Row};
use super::output::{Job, Output};
use super::{BadRows, Format, Keep, OnError, Options, Part, SET_SEPARATOR, Summary};
use crate::data::cells::amount;
use crate::data::cells::cell::{Cell, ColumnType, Tolerance, UNSEEN};
use crate::data::cells::number::parse as parse_number;
use crate::data::cells::problems::{Problem, Problems};
use crate::data::cells::schema::Schema;
use crate::data::judge::rows;
use crate::data::read::blocks::{Block, count_lines};
use crate::data::read::csv::{Records, not_utf8, ragged};
use crate::data::read::fields::{Dialect, Record, Visitor, Walk, Want};
use crate::model::Model;
use crate::names::{did_you_mean, quote};

/// Predicts every record of delimited text and writes the result to `out`; with a header line, columns are
/// matched by name. `watch` gets each block once it is written.
///
/// # Errors
/// [`BadRows`], [`super::TooManyRows`], or an input or output that fails.
pub fn predict_csv(
    model: &Model,
    mut records: Records,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let source = records.source().to_string();
    if model.pipeline.schema.decimal_comma && records.delimiter() != b',' {
        records.set_decimal_comma();
    }
    let job = Job::new(&model.pipeline, options, &source, &kept_names(&options.keep, records.names()));
    let table = Table::new(&job, &records)?;
    let mut output = Output::new(&job, out, watch);
    if options.format == Format::LikeInput && options.header {
        output.write_all(&table.header())?;
        if !records.blocks.is_slow() {
            output.flush()?;
        }
    }
    output.write(&mut records.blocks, &|block, batch| table.predict(block, batch))
}

/// How a delimited input is read and answered.
struct Table<'a> {
    job: &'a Job<'a>,
    schema: &'a Schema,
    names: Vec<String>,
    /// For each column, the feature that it holds.
    map: Vec<Option<usize>>,
    /// The columns to repeat.
    kept: Vec<usize>,
    walk: Walk,
    /// Each label as a field.
    labels: Vec<Vec<u8>>,
}

impl<'a> Table<'a> {
    /// # Errors
    /// Columns that do not fit the model; a column to keep that is not there.
    fn new(job: &'a Job, records: &Records) -> Result<Self> {
        let (options, schema) = (job.options, &job.pipeline.schema);
        let (names, dialect) = (records.names().to_vec(), records.dialect());
        let map = if options.header {
            map_columns(schema, &names, options)
        } else {
            schema.positions(names.len()).map_err(|problem| Problems::one(String::new(), problem))
        };
        let map = map.map_err(|problems| {
            let source = job.source.to_string();
            let message = |problem: &Problem| format!("{source}: {}", problem.detail);
            BadRows { messages: problems.listed.iter().map(message).collect(), source, problems }
        })?;
        let kept = kept_columns(&options.keep, &names)?;
        let want = |feature: &Option<usize>| match feature.map(|feature| &schema.features[feature]) {
            None => Want::Nothing,
            Some(known)
                if known.reads_plain(dialect.decimal_mark) && !schema.null_tokens.may_be_numbers() =>
            {
                Want::Number
            }
            Some(_) => Want::Text,
        };
        let wants = map.iter().map(want).collect();
        let places = matches!(options.keep, Keep::Columns(_)) || options.on_error == OnError::Null;
        let label = |label: &String| {
            let mut field = Vec::new();
            write_field(label.as_bytes(), dialect, &mut field);
            field
        };
        let labels = job.pipeline.labels().iter().map(label).collect();
        let remarks = Some(records.remarks());
        Ok(Self { job, schema, names, map, kept, walk: Walk { dialect, wants, places, remarks }, labels })
    }

    fn header(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let kept = self.kept.iter().map(|&column| &self.names[column]);
        for (i, name) in kept.chain(&self.job.added).enumerate() {
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
        self.walk.through(block, &mut RowReader { table: self, batch, block });
        let line = |row: &Row| block.line + count_lines(&block.bytes[..row.place.start]);
        self.job.answer(batch, line, |batch, row, out| self.record(block, batch, row, out));
    }

    /// Writes the kept fields of a record as they stand, and its prediction.
    fn record(&self, block: &Block, batch: &Batch, index: usize, out: &mut Vec<u8>) {
        let (delimiter, row) = (self.walk.dialect.delimiter, &batch.rows[index]);
        if self.walk.places {
            let n_kept = self.kept.len();
            for field in &batch.fields[index * n_kept..(index + 1) * n_kept] {
                out.extend_from_slice(&block.bytes[field.clone()]);
                out.push(delimiter);
            }
        } else if !self.kept.is_empty() {
            out.extend_from_slice(&block.bytes[row.place.clone()]);
            out.push(delimiter);
        }
        let predictions = &batch.predictions;
        match row.prediction {
            None => out.extend(std::iter::repeat_n(delimiter, self.job.added.len() - 1)),
            Some(row) => {
                match predictions.classes.get(row) {
                    Some(&class) => out.extend_from_slice(&self.labels[class as usize]),
                    None => number(predictions.scores.row(row)[0], out),
                }
                for value in self.job.added_numbers(predictions, row) {
                    out.push(delimiter);
                    number(value, out);
                }
                if let Some(set) = self.job.set(predictions, row) {
                    let labels: Vec<&str> =
                        set.map(|class| self.job.pipeline.labels()[class].as_str()).collect();
                    out.push(delimiter);
                    write_field(labels.join(SET_SEPARATOR).as_bytes(), self.walk.dialect, out);
                }
                for value in self.job.explained_numbers(batch, row) {
                    out.push(delimiter);
                    number(value, out);
                }
            }
        }
        out.push(b'\n');
    }
}

/// For each column, the feature that it holds.
///
/// # Errors
/// Columns that do not fit, with the remedy if none of the names is one of a column.
pub(super) fn map_columns(
    schema: &Schema,
    names: &[String],
    options: &Options,
) -> Result<Vec<Option<usize>>, Problems> {
    let mut found = match options.tolerance() {
        // A column that is kept by its name is known to the user, so the others alone are refused.
        Tolerance::Strict => schema.map_columns(names, Tolerance::Extra).and_then(|map| {
            let mut problems = Problems::default();
            for name in names.iter().filter(|name| schema.is_unknown(name) && !options.names(name)) {
                let n_before = problems.total;
                problems.push_with(|| (String::new(), schema.unknown_name(name, n_before)));
            }
            if problems.total > 0 { Err(problems) } else { Ok(map) }
        }),
        tolerance => schema.map_columns(names, tolerance),
    };
    if let Err(problems) = &mut found
        && names.iter().all(|name| schema.is_unknown(name))
    {
        problems.push_with(|| {
            let detail = "the first line names none of the model's columns; if it is a row, say so: --no-header, or \
                          header=absent in the content type of a request";
            (String::new(), detail.into())
        });
    }
    found
}

/// The names of the columns that are repeated, as far as they are there.
pub(super) fn kept_names(keep: &Keep, names: &[String]) -> Vec<String> {
    match keep {
        Keep::All => names.to_vec(),
        Keep::None => Vec::new(),
        Keep::Columns(wanted) => wanted.clone(),
    }
}

/// The indices of the kept columns among `names`.
pub(super) fn kept_columns(keep: &Keep, names: &[String]) -> Result<Vec<usize>> {
    let wanted = match keep {
        Keep::All => return Ok((0..names.len()).collect()),
        Keep::None => return Ok(Vec::new()),
        Keep::Columns(wanted) => wanted,
    };
    let find = |name: &String| {
        names.iter().position(|n| n == name).with_context(|| {
            let hint = did_you_mean(name, names.iter().map(String::as_str));
            format!("the input has no column {} to keep{hint}", quote(name))
        })
    };
    wanted.iter().map(find).collect()
}

/// A field, in quotes if it needs them.
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

/// Puts the cells of a block into a batch.
struct RowReader<'t, 'b> {
    table: &'t Table<'t>,
    batch: &'b mut Batch,
    block: &'b Block,
}

impl RowReader<'_, '_> {
    fn options(&self) -> &Options {
        self.table.job.options
    }

    /// `text` is the cell.
    fn bad_cell(&mut self, column: usize, line: u64, text: &str, detail: String) {
        self.batch.bad = true;
        if self.options().on_error == OnError::Stop {
            let (source, name) = (self.table.job.source, &self.table.names[column]);
            self.batch.add_problem(|| {
                let stray = stray(text, column, line);
                let message = format!("{source} line {line}, column {name:?}: {detail}{stray}");
                (format!("/{name}"), detail, message)
            });
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
            if self.options().on_error == OnError::Stop {
                let error = anyhow!(not_utf8(self.table.job.source, line, &place));
                self.batch.failure.get_or_insert(error);
            }
            self.batch.bad = true;
            return;
        };
        let known = &self.table.schema.features[feature];
        let mut cell = self.table.schema.null_tokens.of(&known.name).cell(text);
        let mark = self.table.walk.dialect.decimal_mark;
        if let (Cell::Text(text), ColumnType::Number) = (cell, known.column_type)
            && mark != b'.'
            && known.notation.is_none()
        {
            match parse_number(text, mark) {
                Some(value) if value.is_nan() => cell = Cell::Missing,
                Some(value) => cell = Cell::Number(value),
                None if self.options().lenient => return,
                None => {
                    let hint = amount::hint(text, amount::Mark::Comma);
                    let detail = format!("{} is not a number with a decimal comma{hint}", quote(text));
                    return self.bad_cell(column, line, text, detail);
                }
            }
        }
        match known.code(cell, self.batch.codes.texts_mut()) {
            Ok(code) => {
                self.batch.row[feature] = code;
                if code == UNSEEN
                    && known.column_type == ColumnType::Category
                    && rows::is_total(text)
                    && let Some(remarks) = &self.table.walk.remarks
                {
                    remarks.may_be_total(text, line);
                }
            }
            Err(_) if self.options().lenient => {}
            Err(detail) => self.bad_cell(column, line, text, detail),
        }
    }

    fn place(&mut self, place: Range<usize>) {
        self.batch.places.push(place);
    }

    fn end(&mut self, record: Record) -> bool {
        let (table, on_error) = (self.table, self.options().on_error);
        let batch = &mut *self.batch;
        let is_ragged = record.n_fields != table.names.len();
        if record.open || (is_ragged && on_error == OnError::Stop) {
            let error = anyhow!(ragged(
                table.job.source,
                &record,
                table.names.len(),
                &self.block.bytes,
                table.walk.dialect
            ));
            batch.failure.get_or_insert(error);
        }
        if batch.failure.is_some() {
            return false;
        }
        let fits = !std::mem::take(&mut batch.bad) && !is_ragged;
        // A line of units, or a second header, has no number in any column of numbers.
        let numbers = table.schema.features.iter().zip(&batch.row);
        let mut numbers = numbers.filter(|(feature, _)| feature.column_type == ColumnType::Number);
        if !fits && batch.is_first() && table.job.options.header && numbers.all(|(_, code)| code.is_nan()) {
            let line = record.line;
            batch.add_to_last(|| {
                format!(
                    "; if line {line} holds units or the names of columns, --skip-line {line} leaves it out"
                )
            });
        }
        if fits {
            batch.codes.push_row(f64::NAN).copy_from_slice(&batch.row);
        }
        batch.row.fill(f64::NAN);
        let nothing = record.place.end..record.place.end;
        if batch.admit(record.place, fits, on_error) && table.walk.places {
            // A record that is too short has empty fields where others have something.
            let places = table.kept.iter().map(|&column| batch.places.get(column).unwrap_or(&nothing));
            batch.fields.extend(places.cloned());
        }
        batch.places.clear();
        true
    }
}

/// What the line of a cell that does not fit may be instead of a row, and the flag that leaves it out.
fn stray(text: &str, column: usize, line: u64) -> String {
    match text.trim_start().as_bytes() {
        [mark @ (b'#' | b'%'), b' ' | b'\t' | b'a'..=b'z' | b'A'..=b'Z', ..] | [mark @ b'/', b'/', ..]
            if column == 0 =>
        {
            let mark = char::from(*mark);
            format!(
                "; if the line is a comment, --comment '{mark}' leaves out all lines that begin with {mark}"
            )
        }
        _ if rows::is_total(text) => {
            format!("; the line looks like a total: --skip-line {line} leaves it out")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEMICOLON: Dialect = Dialect { delimiter: b';', quote: Some(b'\''), decimal_mark: b',' };

    fn field(text: &str, dialect: Dialect) -> String {
        let mut out = Vec::new();
        write_field(text.as_bytes(), dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_field_has_quotes_only_if_it_could_be_misread_and_reads_back() {
        for plain in ["", "a b", "a\"b", "a,b", "é"] {
            assert_eq!(field(plain, SEMICOLON), plain);
        }
        assert_eq!(field("a;b", SEMICOLON), "'a;b'");
        assert_eq!(field("it's", SEMICOLON), "'it''s'");
        assert_eq!(field("a\nb", Dialect::default()), "\"a\nb\"");
        let unquoted = Dialect { quote: None, ..SEMICOLON };
        assert_eq!(field("it's;", unquoted), "it's;", "without a quote character nothing can be done");
        for text in ["a,b", "\"", "a\rb", "\"x\",\"y\"", "plain"] {
            let line = field(text, Dialect::default());
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            assert_eq!(reader.records().next().unwrap().unwrap().get(0), Some(text));
        }
    }

    #[test]
    fn kept_columns_come_in_the_order_they_were_named_in() {
        let names = ["id", "size", "color"].map(String::from);
        let kept = |keep: &str| kept_columns(&Keep::from(keep), &names);
        assert_eq!(kept("all").unwrap(), [0, 1, 2]);
        assert_eq!(kept("none").unwrap(), Vec::<usize>::new());
        assert_eq!(kept("color, id").unwrap(), [2, 0]);
        let error = kept("colour").unwrap_err().to_string();
        assert!(
            error.contains("no column \"colour\"") && error.contains("did you mean \"color\"?"),
            "{error}"
        );
    }
}
