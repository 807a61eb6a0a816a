//! Arrow IPC streams in and out: for each record batch one with the predictions, flushed at once. Behind the cargo
//! feature `parquet`.
//!
//! Cells mean what the same table would mean as CSV; columns of plain numbers go straight into codes.

use std::io::{Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::builder::{Float64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema as Columns};
use rayon::prelude::*;

use super::batch::{Batch, Row};
use super::csv::{kept_columns, kept_names, map_columns};
use super::explained;
use super::output::{Job, added};
use super::{BadRows, OnError, Options, Part, SET_SEPARATOR, Summary, passed_over, renamed};
use crate::data::cells::cell::{Cell, ColumnType};
use crate::data::cells::feature::Feature;
use crate::data::cells::number;
use crate::data::cells::problems::Problem;
use crate::data::cells::raw_table::source_name;
use crate::data::cells::schema::Schema;
use crate::data::read::arrow::{Cells, IpcBatches, cells, not_a_value, refused};
use crate::data::read::source;
use crate::model::Model;

/// Rows that one thread predicts together.
const CHUNK_ROWS: usize = 4096;

/// Predicts the rows of the Arrow IPC stream or file at `path` (`-`: standard input) and writes a stream to `out`: the
/// schema at once, then a record batch for each one that comes, with the kept columns and those of the predictions.
/// Labels are utf8, numbers float64; both are null in rows without a prediction. `note` gets remarks on the columns,
/// `watch` each part of a batch once it is predicted.
///
/// # Errors
/// [`BadRows`] after the rows before them have been written; an input or output that fails.
pub(crate) fn predict_arrow(
    model: &Model,
    path: &str,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
    note: &mut dyn FnMut(&str),
) -> Result<Summary> {
    let source = source_name(path);
    let unreadable =
        || format!("{source} is not a readable Arrow IPC stream, which is what --format arrow takes");
    let batches = IpcBatches::open(opened(path)?).with_context(unreadable)?;
    let columns = batches.schema();
    let names: Vec<String> = columns.fields().iter().map(|field| field.name().clone()).collect();
    let kept = kept_names(&options.keep, &names);
    passed_over(&model.pipeline.schema, &source, &names, options).iter().for_each(|text| note(text));
    renamed(&source, &added(&model.pipeline, options, &kept)).iter().for_each(|text| note(text));
    let job = Job::new(&model.pipeline, options, &source, &kept);
    let table = Table::new(&job, &columns, &names)?;
    let cannot = "cannot write the predictions";
    let mut writer = StreamWriter::try_new(out, &table.written).context(cannot)?;
    writer.flush().context(cannot)?;
    let mut total = Summary::default();
    let mut n_read = 0;
    for rows in batches {
        let rows = rows.with_context(|| format!("cannot read {source}: its Arrow IPC stream is damaged"))?;
        let mut parts = table.predict(&rows, n_read)?;
        n_read += rows.num_rows();
        // Nothing is written of the parts behind a row that stops the work.
        let stops = parts.iter().position(|part| part.failure.is_some() || part.problems.is_some());
        parts.truncate(stops.map_or(parts.len(), |last| last + 1));
        let n_written: usize = parts.iter().map(|part| part.batch.summary.n_rows).sum();
        if stops.is_none() || n_written > 0 {
            writer.write(&table.written_batch(&rows, &parts)?).context(cannot)?;
            writer.flush().context(cannot)?;
        }
        for Predicted { batch, problems, failure } in parts {
            total += batch.summary;
            watch(Part {
                n_rows: total.n_rows,
                codes: &batch.codes,
                predictions: &batch.predictions,
                summary: batch.summary,
            });
            if let Some(bad) = problems {
                return Err(bad.into());
            }
            failure.map_or(Ok(()), Err)?;
        }
    }
    writer.finish().context(cannot)?;
    writer.flush().context(cannot)?;
    Ok(total)
}

fn opened(path: &str) -> Result<Box<dyn Read + Send>> {
    #[cfg(unix)]
    if path == "-"
        && let Ok(input) = super::awake::Awake::standard_input()
    {
        return Ok(Box::new(input));
    }
    source::open(path)
}

/// Part of a record batch, predicted.
struct Predicted {
    batch: Batch,
    problems: Option<BadRows>,
    failure: Option<anyhow::Error>,
}

/// How the record batches of a stream are read and answered.
struct Table<'a> {
    job: &'a Job<'a>,
    schema: &'a Schema,
    /// For each feature that the stream has, its column.
    features: Vec<(usize, usize)>,
    /// The columns to repeat.
    kept: Vec<usize>,
    /// The columns of the output.
    written: Arc<Columns>,
    /// Numbers among the added columns before the set, and those of an explanation.
    n_numbers: usize,
    n_explained: usize,
}

impl<'a> Table<'a> {
    /// # Errors
    /// Columns that do not fit the model, or hold no single values; a column to keep that is not there.
    fn new(job: &'a Job, columns: &Columns, names: &[String]) -> Result<Self> {
        let (options, pipeline) = (job.options, job.pipeline);
        let schema = &pipeline.schema;
        let map = map_columns(schema, names, options).map_err(|problems| {
            let message = |problem: &Problem| format!("{}: {}", job.source, problem.detail);
            let messages = problems.listed.iter().map(message).collect();
            BadRows { source: job.source.into(), messages, problems }
        })?;
        let features: Vec<(usize, usize)> =
            map.iter().enumerate().filter_map(|(column, feature)| Some(((*feature)?, column))).collect();
        for &(_, column) in &features {
            if let Some(kind) = refused(columns.field(column).data_type()) {
                bail!("{}, column {:?}: {}", job.source, names[column], not_a_value(kind));
            }
        }
        let kept = kept_columns(&options.keep, names)?;
        let n_explained = if options.explain.is_some() { explained::columns(schema).count() } else { 0 };
        let has_sets = pipeline.postprocessing.prediction_sets.is_some();
        let n_numbers = job.added.len() - 1 - n_explained - usize::from(has_sets);
        let mut fields: Vec<Arc<Field>> =
            kept.iter().map(|&column| columns.fields()[column].clone()).collect();
        fields.extend(job.added.iter().enumerate().map(|(i, name)| {
            let is_text = i == 0 && !pipeline.labels().is_empty() || has_sets && i == n_numbers + 1;
            let data_type = if is_text { DataType::Utf8 } else { DataType::Float64 };
            Arc::new(Field::new(name, data_type, true))
        }));
        let written = Arc::new(Columns::new(fields));
        Ok(Self { job, schema, features, kept, written, n_numbers, n_explained })
    }

    /// Predicts a record batch, before which there were `n_before` rows, in parts.
    ///
    /// # Errors
    /// A column of a type that is not known.
    fn predict(&self, rows: &RecordBatch, n_before: usize) -> Result<Vec<Predicted>> {
        let n_rows = rows.num_rows();
        let starts: Vec<usize> = (0..n_rows).step_by(CHUNK_ROWS).collect();
        let part =
            |&start: &usize| self.part(&rows.slice(start, CHUNK_ROWS.min(n_rows - start)), n_before + start);
        // A single row, of a client that waits for it, wakes no other thread.
        if starts.len() < 2 || self.job.options.n_threads < 2 {
            return starts.iter().map(part).collect();
        }
        starts.par_iter().map(part).collect()
    }

    fn part(&self, rows: &RecordBatch, n_before: usize) -> Result<Predicted> {
        let columns = self.features.iter().map(|&(feature, column)| {
            let (array, known) = (rows.column(column).as_ref(), &self.schema.features[feature]);
            let text = cells(array, |text, out| out.extend_from_slice(text));
            let text = text.with_context(|| {
                format!(
                    "{}, column {:?}: its type {} is not read",
                    self.job.source,
                    known.name,
                    array.data_type()
                )
            })?;
            let from_numbers = from_numbers(known, self.schema);
            let number = number_of(array, from_numbers);
            let doubles = array.as_primitive_opt::<Float64Type>();
            let plain = doubles.filter(|_| from_numbers == FromNumbers::Code);
            Ok(Column { feature, known, array, plain, number, from_numbers, text })
        });
        let columns = columns.collect::<Result<Vec<Column>>>()?;
        let mut batch = Batch::default();
        batch.start(self.schema.n_features());
        let on_error = self.job.options.on_error;
        let mut text = Vec::new();
        for row in 0..rows.num_rows() {
            for column in &columns {
                if let Some(numbers) = column.plain
                    && !numbers.value(row).is_infinite()
                {
                    let number = if numbers.is_null(row) { f64::NAN } else { numbers.value(row) };
                    batch.row[column.feature] = number;
                    continue;
                }
                if column.array.is_null(row) {
                    continue;
                }
                match column.number.as_ref().map(|number| number(row)) {
                    // A missing value, whatever the feature.
                    Some(number) if number.is_nan() => {}
                    Some(number) if column.from_numbers == FromNumbers::Code && number.is_finite() => {
                        batch.row[column.feature] = number;
                    }
                    _ => self.cell(column, row, n_before, &mut batch, &mut text),
                }
            }
            let fits = !std::mem::take(&mut batch.bad);
            if fits {
                batch.codes.push_row(f64::NAN).copy_from_slice(&batch.row);
            }
            batch.row.fill(f64::NAN);
            batch.admit(row..row + 1, fits, on_error);
        }
        self.job
            .score(&mut batch, |row: &Row| format!("{} row {}", self.job.source, n_before + row.number + 1));
        let problems = batch.problems.take(self.job.source, n_before);
        let failure = batch.failure.take();
        Ok(Predicted { batch, problems, failure })
    }

    /// Puts a cell that is no plain number into the row being read.
    fn cell(&self, column: &Column, row: usize, n_before: usize, batch: &mut Batch, text: &mut Vec<u8>) {
        let known = column.known;
        let nulls = self.schema.null_tokens.of(&known.name);
        text.clear();
        (column.text)(row, text);
        let code = match (&column.number, std::str::from_utf8(text)) {
            (_, Err(_)) => Err("it is not UTF-8".to_string()),
            (Some(number), Ok(text)) if column.from_numbers == FromNumbers::Json => match nulls.cell(text) {
                Cell::Missing => Ok(f64::NAN),
                _ => known.code(Cell::Number(number(row)), batch.codes.texts_mut()),
            },
            (_, Ok(text)) => known.code(nulls.cell(text), batch.codes.texts_mut()),
        };
        match code {
            Ok(code) => batch.row[column.feature] = code,
            Err(_) if self.job.options.lenient => {}
            Err(detail) => {
                batch.bad = true;
                if self.job.options.on_error == OnError::Stop {
                    let (source, name, row) = (self.job.source, &known.name, n_before + row + 1);
                    batch.add_problem(|| {
                        let message = format!("{source} row {row}, column {name:?}: {detail}");
                        (format!("/{name}"), detail, message)
                    });
                }
            }
        }
    }

    /// The kept columns of the rows that are written, and their predictions.
    ///
    /// # Errors
    /// None that is known.
    fn written_batch(&self, rows: &RecordBatch, parts: &[Predicted]) -> Result<RecordBatch> {
        let labels = self.job.pipeline.labels();
        let n_texts = usize::from(!labels.is_empty());
        let mut predicted = (StringBuilder::new(), Float64Builder::new());
        let mut sets = StringBuilder::new();
        let mut numbers: Vec<Float64Builder> = Vec::new();
        numbers.resize_with(self.n_numbers + self.n_explained, Float64Builder::new);
        let mut is_written = vec![false; rows.num_rows()];
        for (i, Predicted { batch, .. }) in parts.iter().enumerate() {
            for row in batch.rows.iter().filter(|row| !row.skipped) {
                is_written[i * CHUNK_ROWS + row.number] = true;
                let Some(row) = row.prediction else {
                    predicted.0.append_null();
                    predicted.1.append_null();
                    sets.append_null();
                    numbers.iter_mut().for_each(Float64Builder::append_null);
                    continue;
                };
                let predictions = &batch.predictions;
                match predictions.classes.get(row) {
                    Some(&class) => predicted.0.append_value(&labels[class as usize]),
                    None => predicted.1.append_value(predictions.scores.row(row)[0]),
                }
                if let Some(set) = self.job.set(predictions, row) {
                    let set: Vec<&str> = set.map(|class| labels[class].as_str()).collect();
                    sets.append_value(set.join(SET_SEPARATOR));
                }
                let values = self.job.added_numbers(predictions, row);
                let values = values.chain(self.job.explained_numbers(batch, row));
                numbers.iter_mut().zip(values).for_each(|(column, value)| column.append_value(value));
            }
        }
        let all = is_written.iter().all(|&written| written);
        let mask = BooleanArray::from(is_written);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.written.fields().len());
        for &column in &self.kept {
            let column = rows.column(column);
            columns.push(if all { column.clone() } else { arrow_select::filter::filter(column, &mask)? });
        }
        columns.push(if n_texts > 0 {
            Arc::new(predicted.0.finish())
        } else {
            Arc::new(predicted.1.finish())
        });
        let mut numbers = numbers.into_iter().map(|mut column| -> ArrayRef { Arc::new(column.finish()) });
        columns.extend(numbers.by_ref().take(self.n_numbers));
        if self.job.pipeline.postprocessing.prediction_sets.is_some() {
            columns.push(Arc::new(sets.finish()));
        }
        columns.extend(numbers);
        Ok(RecordBatch::try_new(Arc::clone(&self.written), columns)?)
    }
}

/// A column of one part of a record batch, and the feature that it holds.
struct Column<'a> {
    feature: usize,
    known: &'a Feature,
    array: &'a dyn Array,
    /// `array`, if it holds doubles and its finite numbers are codes.
    plain: Option<&'a Float64Array>,
    number: Option<Number<'a>>,
    from_numbers: FromNumbers,
    text: Cells<'a>,
}

/// The number in a row that is not null.
type Number<'a> = Box<dyn Fn(usize) -> f64 + 'a>;

/// How a feature takes the cells of a column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FromNumbers {
    /// A finite number is its code.
    Code,
    /// As a number of JSON: 7.0 is the level "7", which pandas makes of a column of whole numbers with missing values.
    Json,
    /// As the text of the number.
    Text,
}

fn from_numbers(known: &Feature, schema: &Schema) -> FromNumbers {
    match known.column_type {
        ColumnType::Number if known.reads_plain(b'.') && !schema.null_tokens.may_be_numbers() => {
            FromNumbers::Code
        }
        ColumnType::Category | ColumnType::Boolean => FromNumbers::Json,
        ColumnType::Number | ColumnType::Date | ColumnType::Text => FromNumbers::Text,
    }
}

/// The numbers of a column; `None` of one that is read as text: of other cells, and whole numbers whose digits may count.
fn number_of(array: &dyn Array, wanted: FromNumbers) -> Option<Number<'_>> {
    fn of<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &dyn Array) -> Number<'_> {
        let values = array.as_primitive::<T>().values();
        Box::new(move |row| values[row].into())
    }
    match array.data_type() {
        DataType::Float64 => return Some(of::<Float64Type>(array)),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            // 0.1 of the single 0.1, as in its text.
            return Some(Box::new(move |row| {
                let text = format!("{:?}", values[row]);
                number::parse(&text, b'.').unwrap_or_else(|| values[row].into())
            }));
        }
        _ if wanted == FromNumbers::Json => return None,
        _ => {}
    }
    Some(match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array),
        DataType::Int16 => of::<Int16Type>(array),
        DataType::Int32 => of::<Int32Type>(array),
        DataType::UInt8 => of::<UInt8Type>(array),
        DataType::UInt16 => of::<UInt16Type>(array),
        DataType::UInt32 => of::<UInt32Type>(array),
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values();
            Box::new(move |row| values[row] as f64)
        }
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().values();
            Box::new(move |row| values[row] as f64)
        }
        _ => return None,
    })
}
