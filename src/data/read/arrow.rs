//! Arrow: batches of rows, in memory or as an IPC stream, as cells and as the text of the same table, so that types,
//! missing values and predictions are decided as for CSV.
//!
//! Batch by batch, so memory is bounded by the batches and not by the table. Behind the cargo feature `parquet`; called by
//! [`super::parquet`], [`super::source::Input`] and the predictions of Arrow streams.

use std::io::{self, BufReader, Read, Write};

use anyhow::{Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};

use super::made;
use crate::data::cells::date;
use crate::panics::caught;

/// What an IPC stream starts with: the mark of its first message.
const STREAM: &[u8] = &[0xFF; 4];
/// What an IPC file starts with; a stream follows, and an index.
const FILE: &[u8] = b"ARROW1\0\0";

/// Batches of rows.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The batches of an IPC stream or file.
pub(crate) struct IpcBatches(Option<StreamReader<BufReader<Box<dyn Read + Send>>>>);

impl IpcBatches {
    /// Reads the schema.
    ///
    /// # Errors
    /// Not such a stream.
    pub(crate) fn open(mut reader: Box<dyn Read + Send>) -> Result<Self, ArrowError> {
        let mut start = Vec::new();
        (&mut reader).take(STREAM.len() as u64).read_to_end(&mut start)?;
        if FILE.starts_with(&start) && !start.is_empty() {
            let mut rest = [0; FILE.len() - STREAM.len()];
            reader.read_exact(&mut rest)?;
            start.clear();
        }
        let reader: Box<dyn Read + Send> = Box::new(io::Cursor::new(start).chain(reader));
        sound(|| StreamReader::try_new(BufReader::new(reader), None)).map(|reader| Self(Some(reader)))
    }

    /// The columns.
    pub(crate) fn schema(&self) -> Schema {
        self.0.as_ref().map_or_else(Schema::empty, |reader| (*reader.schema()).clone())
    }
}

impl Iterator for IpcBatches {
    type Item = Result<RecordBatch, ArrowError>;

    /// At the end, the index of a file is read as well, so that all of it has been.
    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut()?;
        match sound(|| reader.next().transpose()) {
            Ok(Some(batch)) => Some(Ok(batch)),
            Ok(None) => {
                let rest = io::copy(reader.get_mut(), &mut io::sink());
                self.0 = None;
                rest.err().map(|error| Err(error.into()))
            }
            Err(error) => {
                // What the decoder is left with means nothing.
                self.0 = None;
                Some(Err(error))
            }
        }
    }
}

/// Calls a decoder, which may panic on damaged bytes: its checks are not everywhere that its arithmetic is.
fn sound<T>(decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    caught(decode).unwrap_or_else(|panic| Err(ArrowError::ParseError(panic)))
}

/// Batches as text: fields divided by commas, in double quotes if needed, with a header.
pub(super) struct BatchText {
    /// None after it panicked.
    batches: Option<Batches>,
    what: &'static str,
    text: Vec<u8>,
    at: usize,
}

impl BatchText {
    /// The text of batches with this schema. `source` and `what` name them in errors: `t.parquet`, `Parquet file`.
    ///
    /// # Errors
    /// A column that is no column of single values, by name.
    pub(super) fn new(schema: &Schema, batches: Batches, source: &str, what: &'static str) -> Result<Self> {
        for field in schema.fields() {
            if let Some(kind) = refused(field.data_type()) {
                bail!("{source}, column {:?}: {}", field.name(), not_a_value(kind));
            }
        }
        Ok(Self { batches: Some(batches), what, text: header(schema), at: 0 })
    }
}

/// Why a column of another kind of value cannot be read, and the remedy.
pub(crate) fn not_a_value(kind: &str) -> String {
    format!("{kind} is not a single value; write its parts as columns of their own, or the file without it")
}

/// Writes the rows of the next batch; `None` at the end.
fn write_next(batches: &mut Batches, text: &mut Vec<u8>) -> Option<io::Result<()>> {
    let batch = batches.next()?;
    Some(batch.map_err(io::Error::other).and_then(|batch| write_rows(&batch, text)))
}

impl Read for BatchText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            let what = self.what;
            let Some(batches) = &mut self.batches else {
                return Err(io::Error::other(format!("the {what} is damaged")));
            };
            self.text.clear();
            self.at = 0;
            let text = &mut self.text;
            match caught(|| write_next(batches, text)) {
                Ok(None) => return Ok(0),
                Ok(Some(written)) => written?,
                Err(panic) => {
                    // What the decoder is left with means nothing.
                    self.batches = None;
                    return Err(io::Error::other(format!("the {what} is damaged: {panic}")));
                }
            }
        }
        let n = buffer.len().min(self.text.len() - self.at);
        buffer[..n].copy_from_slice(&self.text[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// The kind of value that does not fit into a cell, such as `a list`.
pub(crate) fn refused(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => Some("a list"),
        DataType::Struct(_) => Some("a struct"),
        DataType::Map(..) => Some("a map"),
        DataType::Union(..) => Some("a union"),
        DataType::Duration(_) | DataType::Interval(_) => Some("a span of time"),
        DataType::FixedSizeBinary(_) => Some("a piece of bytes"),
        DataType::RunEndEncoded(..) => Some("a run"),
        DataType::Dictionary(_, values) => refused(values),
        _ => None,
    }
}

fn header(schema: &Schema) -> Vec<u8> {
    let mut text = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        match field.name().trim() {
            "" => text.extend(format!("column_{}", i + 1).bytes()),
            name => made::write_field(name.as_bytes(), &mut text),
        }
    }
    text.push(b'\n');
    text
}

fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> io::Result<()> {
    let columns = batch.columns().iter().map(|column| cells(column, made::write_field));
    let columns: Vec<Cells> = columns.collect::<Option<_>>().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a column is of a type that is not known")
    })?;
    for row in 0..batch.num_rows() {
        let start = out.len();
        for (i, cell) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            cell(row, out);
        }
        if columns.len() == 1 && out[start..].trim_ascii().is_empty() {
            // A blank line is no row.
            out.truncate(start);
            out.extend(b"NA");
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Writes the cell of a row; nothing if it is null.
pub(crate) type Cells<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// The cells of a column; `None` of a type that has none. `write_text` writes texts, in quotes if they need them.
pub(crate) fn cells(array: &dyn Array, write_text: fn(&[u8], &mut Vec<u8>)) -> Option<Cells<'_>> {
    Some(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let values = array.as_boolean();
            of(array, move |row, out| out.extend(if values.value(row) { &b"true"[..] } else { b"false" }))
        }
        DataType::Int8 => whole::<Int8Type>(array),
        DataType::Int16 => whole::<Int16Type>(array),
        DataType::Int32 => whole::<Int32Type>(array),
        DataType::Int64 => whole::<Int64Type>(array),
        DataType::UInt8 => whole::<UInt8Type>(array),
        DataType::UInt16 => whole::<UInt16Type>(array),
        DataType::UInt32 => whole::<UInt32Type>(array),
        DataType::UInt64 => whole::<UInt64Type>(array),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>();
            of(array, move |row, out| float(out, values.value(row).to_f32()))
        }
        // 0.1 for the single 0.1.
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            of(array, move |row, out| float(out, values.value(row)))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            of(array, move |row, out| float(out, values.value(row)))
        }
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array),
        DataType::Date32 => time::<Date32Type>(array, |days| days as f64 * 86_400.0),
        DataType::Date64 => time::<Date64Type>(array, |n| n as f64 / 1e3),
        DataType::Timestamp(TimeUnit::Second, _) => time::<TimestampSecondType>(array, |n| n as f64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            time::<TimestampMillisecondType>(array, |n| n as f64 / 1e3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            time::<TimestampMicrosecondType>(array, |n| n as f64 / 1e6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            time::<TimestampNanosecondType>(array, |n| n as f64 / 1e9)
        }
        DataType::Time32(TimeUnit::Second) => clock::<Time32SecondType>(array, 1.0),
        DataType::Time32(_) => clock::<Time32MillisecondType>(array, 1e3),
        DataType::Time64(TimeUnit::Microsecond) => clock::<Time64MicrosecondType>(array, 1e6),
        DataType::Time64(_) => clock::<Time64NanosecondType>(array, 1e9),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            of(array, move |row, out| write_text(values.value(row).as_bytes(), out))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            of(array, move |row, out| write_text(values.value(row).as_bytes(), out))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            of(array, move |row, out| write_text(values.value(row).as_bytes(), out))
        }
        // Texts of writers that do not declare them; bytes that are not UTF-8 are refused with their line.
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            of(array, move |row, out| write_text(values.value(row), out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            of(array, move |row, out| write_text(values.value(row), out))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            of(array, move |row, out| write_text(values.value(row), out))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return Some(Box::new(|_, _| {}));
            }
            let (keys, value) =
                (dictionary.normalized_keys(), cells(dictionary.values().as_ref(), write_text)?);
            of(array, move |row, out| value(keys[row], out))
        }
        _ => return None,
    })
}

fn of<'a>(array: &'a dyn Array, write: impl Fn(usize, &mut Vec<u8>) + 'a) -> Cells<'a> {
    Box::new(move |row, out| {
        if array.is_valid(row) {
            write(row, out);
        }
    })
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// The shortest text that reads as the same number; NaN is a missing value, as null is.
fn float(out: &mut Vec<u8>, value: impl std::fmt::Debug + PartialOrd) {
    if value.partial_cmp(&value).is_some() {
        print(out, format_args!("{value:?}"));
    }
}

fn whole<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &dyn Array) -> Cells<'_> {
    let values = array.as_primitive::<T>();
    of(array, move |row, out| print(out, format_args!("{}", values.value(row))))
}

fn decimal<T: DecimalType>(array: &dyn Array) -> Cells<'_> {
    let values = array.as_primitive::<T>();
    of(array, move |row, out| out.extend(values.value_as_string(row).bytes()))
}

/// Days and moments since 1970, in ISO 8601. Those with a zone are kept in UTC, those without are read as UTC.
fn time<T: ArrowPrimitiveType<Native: AsWhole>>(array: &dyn Array, seconds: fn(i64) -> f64) -> Cells<'_> {
    let values = array.as_primitive::<T>();
    of(array, move |row, out| out.extend(date::format(seconds(values.value(row).as_whole())).bytes()))
}

/// Times of a day.
fn clock<T: ArrowPrimitiveType<Native: AsWhole>>(array: &dyn Array, per_second: f64) -> Cells<'_> {
    let values = array.as_primitive::<T>();
    of(array, move |row, out| {
        let seconds = values.value(row).as_whole() as f64 / per_second;
        let (minutes, second) = ((seconds / 60.0).floor() as u64, seconds.floor() as u64 % 60);
        print(out, format_args!("{:02}:{:02}:{second:02}", minutes / 60, minutes % 60));
    })
}

/// The whole numbers that times are kept as.
trait AsWhole: Copy {
    fn as_whole(self) -> i64;
}

impl AsWhole for i32 {
    fn as_whole(self) -> i64 {
        self.into()
    }
}

impl AsWhole for i64 {
    fn as_whole(self) -> i64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
        Int32Array, Int64Array, ListArray, StringArray, Time64MicrosecondArray, TimestampMillisecondArray,
        UInt64Array,
    };

    use super::*;

    fn texts(array: &dyn Array) -> Vec<String> {
        let write = cells(array, made::write_field).unwrap();
        let text = |row| {
            let mut out = Vec::new();
            write(row, &mut out);
            String::from_utf8(out).unwrap()
        };
        (0..array.len()).map(text).collect()
    }

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter(columns.to_vec()).unwrap()
    }

    #[test]
    fn a_number_is_written_as_the_shortest_text_that_reads_as_the_same_number() {
        assert_eq!(
            texts(&Float32Array::from(vec![0.1, 16_777_216.0, 1e-10])),
            ["0.1", "16777216.0", "1e-10"]
        );
        let numbers = [0.1, 1.0 / 3.0, f64::MAX, 5e-324, -0.0];
        for (text, number) in texts(&Float64Array::from(numbers.to_vec())).iter().zip(numbers) {
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
        let ends = (i64::MIN.to_string(), u64::MAX.to_string());
        assert_eq!(texts(&Int64Array::from(vec![i64::MIN])), [ends.0]);
        assert_eq!(texts(&UInt64Array::from(vec![u64::MAX])), [ends.1]);
        let decimals = Decimal128Array::from(vec![-1205, 5]).with_precision_and_scale(6, 2).unwrap();
        assert_eq!(texts(&decimals), ["-12.05", "0.05"]);
    }

    #[test]
    fn moments_are_iso_8601_also_before_1970() {
        assert_eq!(
            texts(&Date32Array::from(vec![0, -1, 19_782])),
            ["1970-01-01", "1969-12-31", "2024-02-29"]
        );
        let moments = TimestampMillisecondArray::from(vec![1_700_000_000_000, -1000]);
        assert_eq!(texts(&moments), ["2023-11-14T22:13:20Z", "1969-12-31T23:59:59Z"]);
        let clock = Time64MicrosecondArray::from(vec![0, 86_399_999_999]);
        assert_eq!(texts(&clock), ["00:00:00", "23:59:59"]);
    }

    #[test]
    fn a_missing_value_is_an_empty_cell_in_every_form_of_a_column() {
        assert_eq!(texts(&Int32Array::from(vec![None, Some(1)])), ["", "1"]);
        assert_eq!(texts(&StringArray::from(vec![None, Some("a")])), ["", "a"]);
        let dictionary: DictionaryArray<arrow_array::types::Int8Type> =
            [Some("b"), None, Some("b")].into_iter().collect();
        assert_eq!(texts(&dictionary), ["b", "", "b"]);
        assert_eq!(texts(&arrow_array::NullArray::new(2)), ["", ""]);
    }

    #[test]
    fn rows_are_read_back_as_csv_whatever_their_texts_hold() {
        let wanted = ["plain", "a,b", "say \"x\"", "two\nlines", "\r", ""];
        let text: ArrayRef = Arc::new(StringArray::from(wanted.to_vec()));
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(wanted));
        let batch = batch(&[("a,\"b\"", text), (" ", bytes)]);
        let mut out = header(&batch.schema());
        write_rows(&batch, &mut out).unwrap();
        let mut reader = csv::Reader::from_reader(&out[..]);
        assert_eq!(reader.headers().unwrap(), vec!["a,\"b\"", "column_2"]);
        let records: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), wanted.len());
        for (record, text) in records.iter().zip(wanted) {
            assert_eq!((&record[0], &record[1]), (text, text));
        }
    }

    #[test]
    fn the_only_cell_of_a_row_is_marked_as_missing_because_a_blank_line_is_no_row() {
        let only: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some(" ")]));
        let mut out = Vec::new();
        write_rows(&batch(&[("a", only)]), &mut out).unwrap();
        assert_eq!(out, b"x\nNA\nNA\n");
    }

    #[test]
    fn a_column_of_lists_is_refused_also_inside_a_dictionary() {
        let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1)])]);
        let data_type = list.data_type().clone();
        assert_eq!(refused(&data_type), Some("a list"));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(data_type));
        assert_eq!(refused(&dictionary), Some("a list"));
        assert_eq!(refused(&DataType::Utf8), None);
    }
}
