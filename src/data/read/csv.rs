//! Delimited text (CSV, TSV, `;`, `|`): its dialect and its header.
//!
//! After the header comes a stream of [`Blocks`], walked through by [`super::fields::Walk`]: by [`super::load`] for a
//! whole table, by `predict` for predictions. Not here: the meaning of a cell (see
//! [`crate::data::cells::schema`]).

use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::blocks::{Block, Blocks, Cut};
use super::digest::PassingDigest;
use super::fields::Dialect;
use super::layout::Relaid;
use super::ragged::never_closed;
pub use super::ragged::ragged;
use super::remarks::Remarks;
use super::sniff::{First, begins_with_a_row};
use super::sniff_layout::{Found, find, refuse_other_texts};
use super::source::{Input, Options};
use crate::names::quote;

/// Bytes that the names of columns have on average at most, if the number of columns is limited.
const BYTES_PER_NAME: usize = 256;

/// Delimited text after its header.
pub struct Records {
    source: String,
    names: Vec<String>,
    header: bool,
    dialect: Dialect,
    delimiter: u8,
    notes: Vec<String>,
    remarks: Arc<Remarks>,
    digest: Option<PassingDigest>,
    /// The records after the header.
    pub blocks: Blocks<Box<dyn Read + Send>>,
    /// The beginning of the text, header included.
    sample: Vec<u8>,
}

impl Records {
    /// Opens `path` (`-` is standard input) and reads the header.
    ///
    /// # Errors
    /// Those of [`Input::open`] and [`Records::new`].
    pub fn open(path: &str, options: &Options) -> Result<Self> {
        Self::new(Input::open(path, options)?, options)
    }

    /// Reads delimited text from anywhere, compressed text excepted; `source` is its name in messages.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn from_reader(inner: Box<dyn Read + Send>, source: &str, options: &Options) -> Result<Self> {
        let mut records = Self::new(Input::new(inner, source, options, false, false)?, options)?;
        // A client counts on an answer to every row.
        records.remarks = Arc::default();
        Ok(records)
    }

    /// Finds the dialect and reads the header.
    ///
    /// # Errors
    /// A text without records; two columns of one name; [`TooManyColumns`].
    pub fn new(input: Input, options: &Options) -> Result<Self> {
        Self::with_blocks(input, options, options.block_bytes)
    }

    fn with_blocks(mut input: Input, options: &Options, block_bytes: usize) -> Result<Self> {
        let mut notes = std::mem::take(&mut input.notes);
        let (mut dialect, mut delimiter) = (Dialect::default(), b',');
        if !input.made {
            refuse_other_texts(&input.start, &input.source)?;
            let found = find(&input.start, &input.path, options);
            notes.extend(found.notes.iter().map(|what| format!("{}: {what}", input.source)));
            (dialect, delimiter) = (found.dialect, found.delimiter);
            input = made_plain(input, found);
        }
        let mut header = options.header || input.has_names;
        if header && options.header_in_doubt && !input.has_names && begins_with_a_row(&input.start, dialect) {
            header = false;
            notes.push(format!(
                "the first line of {} fits the columns below it and was read as a row, so they are called column_1, \
                 column_2, …; --header takes it for their names",
                input.source
            ));
        }
        let (source, digest, sample) = (input.source.clone(), input.digest.clone(), input.start.clone());
        let cut = Cut::Records { delimiter: dialect.delimiter, quote: dialect.quote };
        let mut blocks = input.blocks(cut, block_bytes);
        let empty = || format!("{source} is empty; it needs a header line and rows");
        // The fields of a row are read again, with the rows.
        let n_kept = if header { options.max_columns } else { 0 };
        let max_bytes = options.max_columns.saturating_mul(BYTES_PER_NAME);
        let (block, record, fields) = loop {
            let block = blocks.next(Vec::new())?.with_context(empty)?;
            if let Some((record, fields)) = First::of(&block, dialect, n_kept, max_bytes) {
                break (block, record, fields);
            }
        };
        ensure!(!record.open, "{source} line {}: {}", record.line, never_closed());
        if record.n_fields > options.max_columns {
            let (line, n_columns, most) = (record.line, record.n_fields, options.max_columns);
            bail!(TooManyColumns { source, line, n_columns, most });
        }
        ensure!(
            !header || record.place.len() <= max_bytes,
            "{source} line {}: a header of {} bytes, where names of columns have at most {max_bytes}; is a quote not \
             closed, or is it a row (--no-header, or header=absent in the content type)?",
            record.line,
            record.place.len()
        );
        if !header {
            let names = (1..=record.n_fields).map(|i| format!("column_{i}")).collect();
            blocks.put_back(block);
            let remarks = Arc::default();
            return Ok(Self {
                source,
                names,
                header: false,
                dialect,
                delimiter,
                notes,
                remarks,
                digest,
                blocks,
                sample,
            });
        }
        let names = header_names(&fields, &source, record.line)?;
        let bytes = block.bytes;
        let after = record.place.end;
        let line_end = match (bytes.get(after), bytes.get(after + 1)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        // In a table of one column, a cell may be as its name; a row that was taken for the header may come again.
        let is_certain = record.n_fields > 1 && !begins_with_a_row(&sample, dialect);
        let header = is_certain.then(|| &bytes[record.place.clone()]);
        let remarks = Arc::new(Remarks::new(header));
        blocks.put_back(Block::new(bytes[after + line_end..].to_vec(), record.last_line + 1));
        Ok(Self { source, names, header: true, dialect, delimiter, notes, remarks, digest, blocks, sample })
    }

    /// The names of the columns, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the file has a header.
    pub fn has_header(&self) -> bool {
        self.header
    }

    /// The name of this input in messages.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The byte between two fields, as given or as found; a blank if these are divided by blanks, in whatever way the
    /// records come now.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// How the text is written, as given or as found.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Reads numbers with a decimal comma from here on.
    pub fn set_decimal_comma(&mut self) {
        self.dialect.decimal_mark = b',';
    }

    /// What walks through the records are to collect.
    pub fn remarks(&self) -> Arc<Remarks> {
        self.remarks.clone()
    }

    /// Observations that the user should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The beginning of the text, header included.
    pub fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// The digest of the file's bytes, if it was asked for.
    pub fn passing_digest(&self) -> Option<PassingDigest> {
        self.digest.clone()
    }
}

/// The input with its table as plain text.
fn made_plain(mut input: Input, found: Found) -> Input {
    if found.layout.is_plain() {
        return input;
    }
    let (start, rest) = Relaid::split(found.layout, &input.start, input.rest, input.record.bytes);
    (input.start, input.rest) = (start, Box::new(rest));
    input
}

/// More columns than [`Options::max_columns`].
#[derive(Debug)]
pub(crate) struct TooManyColumns {
    source: String,
    line: u64,
    n_columns: usize,
    most: usize,
}

impl std::fmt::Display for TooManyColumns {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { source, line, n_columns, most } = self;
        write!(
            f,
            "{source} line {line}: {n_columns} columns, where at most {most} are read; leave out those that the model \
             does not use"
        )
    }
}

impl std::error::Error for TooManyColumns {}

/// The columns' names in the fields of a header.
fn header_names(fields: &[Vec<u8>], source: &str, line: u64) -> Result<Vec<String>> {
    let mut names = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let name = std::str::from_utf8(field)
            .with_context(|| not_utf8(source, line, &format!("column {}", i + 1)))?
            .trim();
        names.push(match name {
            "" => format!("column_{}", i + 1),
            _ => name.to_string(),
        });
    }
    let mut first = std::collections::BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(before) = first.insert(name, i) {
            bail!(
                "{source} line {line}: columns {} and {} are both called {}; rename one of them",
                before + 1,
                i + 1,
                quote(name)
            );
        }
    }
    Ok(names)
}

/// The message for bytes that are not UTF-8.
pub fn not_utf8(source: &str, line: u64, place: &str) -> String {
    format!(
        "{source} line {line}, {place}: not valid UTF-8; save the file as UTF-8, or name its encoding \
         (--encoding latin-1, --encoding gb18030)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, options: &Options) -> Result<Records> {
        Records::from_reader(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), "t.csv", options)
    }

    fn rest(mut records: Records) -> (u64, String) {
        let block = records.blocks.next(Vec::new()).unwrap().unwrap();
        (block.line, String::from_utf8(block.bytes).unwrap())
    }

    #[test]
    fn the_header_is_taken_off_and_the_rows_know_their_line() {
        let found = records("\n a ,\"b\n\",\r\n1,2,3\n", &Options::default()).unwrap();
        assert_eq!(found.names(), ["a", "b", "column_3"]);
        assert_eq!(rest(found), (4, "1,2,3\n".into()));
        let options = Options { header: false, ..Options::default() };
        let found = records("1,2\n3,4\n", &options).unwrap();
        assert_eq!((found.names(), found.has_header()), (&["column_1".into(), "column_2".into()][..], false));
        assert_eq!(rest(found), (1, "1,2\n3,4\n".into()));
    }

    #[test]
    fn two_columns_of_one_name_and_a_quote_without_end_are_refused() {
        let refused = |text| records(text, &Options::default()).err().unwrap().to_string();
        assert!(refused("a,b, a\n1,2,3\n").contains("columns 1 and 3 are both called \"a\""));
        assert!(
            refused("a,\"b\n1,2\n").contains("line 1: a quote is opened in this record and never closed")
        );
    }

    #[test]
    fn more_columns_than_are_wanted_are_refused_before_they_get_names() {
        for header in [true, false] {
            let options = Options { header, max_columns: 3, ..Options::default() };
            assert_eq!(records("a,b,c\n1,2,3\n", &options).unwrap().names().len(), 3);
            // Two columns of one name would be another error.
            let error = records("\na,a,a,a\n1,2,3,4\n", &options).err().unwrap();
            assert!(error.is::<TooManyColumns>(), "{error}");
            assert!(error.to_string().starts_with("t.csv line 2: 4 columns, where at most 3 are read"));
        }
        let block = Block::new(b"a,b,c\n".to_vec(), 1);
        let (record, fields) = First::of(&block, Dialect::default(), 2, 9).unwrap();
        assert_eq!((record.n_fields, fields.len()), (3, 2), "further ones are only counted");
        let long = format!("a,{},b\n", "n".repeat(2000));
        let options = Options { max_columns: 3, ..Options::default() };
        let error = records(&long, &options).err().unwrap().to_string();
        assert!(error.starts_with("t.csv line 1: a header of 2004 bytes"), "{error}");
        assert!(records(&long, &Options { header: false, ..options }).is_ok(), "a cell may be long");
        assert!(records(&long, &Options::default()).is_ok());
        let block = Block::new(long.into_bytes(), 1);
        let fields = First::of(&block, Dialect::default(), 3, 768).unwrap().1;
        assert_eq!(fields.concat().len(), 2, "what is longer is not kept");
    }

    #[test]
    fn a_first_line_in_doubt_is_a_row_if_it_fits_the_rows_below_it() {
        let options = Options { header_in_doubt: true, ..Options::default() };
        let found = records("1,x\n2,y\n3,z\n4,w\n", &options).unwrap();
        assert!(!found.has_header() && found.notes()[0].contains("--header"));
        assert!(records("n,x\n2,y\n3,z\n4,w\n", &options).unwrap().has_header());
        let repeats = |text: &str, header: &[u8]| {
            let remarks = records(text, &Options::default()).unwrap().remarks;
            remarks.repeated_header(header).is_some()
        };
        assert!(!repeats("1,x\n2,y\n3,z\n4,w\n", b"1,x"), "a row may come again");
        assert!(!repeats("n,x\n2,y\n3,z\n4,w\n", b"n,x"), "a client counts on an answer to every row");
    }
}
