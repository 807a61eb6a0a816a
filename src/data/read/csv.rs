//! Opens delimited text (CSV, TSV, `;`, `|`) as it comes: compressed or not, in any encoding, with delimiter
//! and quote found in a sample; and reads its header.
//!
//! What follows the header is a stream of [`Blocks`], walked through by [`super::fields::Walk`]: by
//! [`super::load`] for a whole table, by `report::rows` for predictions. Not here: what a cell means (see
//! [`crate::data::cells::schema`]).

use std::fs::File;
use std::io::{self, Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use encoding_rs::{Encoding, UTF_8};

use super::blocks::{BLOCK_BYTES, Block, Blocks, Cut};
use super::compression::Compression;
use super::digest::{Digesting, PassingDigest};
use super::encoding::Transcoder;
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::{encoding, header};

pub use super::load::read_table;
pub use crate::data::cells::raw_table::source_name;

/// How a file is written; what is `None` is found in the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The byte between two fields. `None`: the one of `,` tab `;` `|` that divides the first lines alike.
    pub delimiter: Option<u8>,
    /// The byte around a field; `Some(None)`: none. `None`: `"`, or `'` where fields begin and end with it and
    /// none with `"`.
    pub quote: Option<Option<u8>>,
    /// Whether the first record names the columns; without it they are `column_1`, `column_2`, …
    pub header: bool,
    /// Whether the first record is a row after all where it fits the columns below it; see [`super::header`].
    pub header_in_doubt: bool,
    /// The encoding of the text. `None`: see [`super::encoding`].
    pub encoding: Option<&'static Encoding>,
    /// Whether numbers have a decimal comma. `None`: where fields are separated by `;` and the numbers of the
    /// sample have commas and no dots.
    pub decimal_comma: Option<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: None,
            header: true,
            header_in_doubt: false,
            encoding: None,
            decimal_comma: None,
        }
    }
}

/// What is looked at to find encoding, delimiter, quote and types.
const SAMPLE_BYTES: usize = 256 * 1024;

/// Records that are looked at to find the delimiter.
const SAMPLE_RECORDS: usize = 100;

/// Opens a file, or standard input for `-`.
///
/// # Errors
/// When the file does not exist, is a folder, or may not be read.
pub fn open(path: &str) -> Result<Box<dyn Read + Send>> {
    if path == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    ensure!(!file.metadata().is_ok_and(|m| m.is_dir()), "{path} is a folder, not a file");
    Ok(Box::new(file))
}

/// An input as UTF-8 text, of which the beginning has been read.
pub struct Input {
    /// What messages call it.
    pub source: String,
    /// Its path; `-` for standard input.
    pub path: String,
    /// The beginning of the text.
    pub start: Vec<u8>,
    /// What follows.
    pub rest: Box<dyn Read + Send>,
    /// Whether the input may come slowly and what has come is to be answered.
    pub prompt: bool,
    /// What was found and the user should know.
    pub notes: Vec<String>,
    /// Of the bytes of the file as they are.
    pub digest: Option<PassingDigest>,
    /// The text was made here, of a Parquet file: how it is written is known.
    made: bool,
}

impl Input {
    /// Opens `path` (`-` is standard input), unpacks and decodes it.
    ///
    /// # Errors
    /// An unreadable or empty file, or one that is not text.
    pub fn open(path: &str, options: &Options) -> Result<Self> {
        Self::new(open(path)?, path, options, true, false)
    }

    /// Reads from anywhere; `path` tells what messages call it.
    ///
    /// # Errors
    /// As [`Input::open`]; compressed data unless `expand`.
    pub fn new(
        mut reader: Box<dyn Read + Send>,
        path: &str,
        options: &Options,
        expand: bool,
        with_digest: bool,
    ) -> Result<Self> {
        let (source, prompt) = (source_name(path), path == "-");
        let failed = || format!("cannot read {source}");
        let digest = with_digest.then(PassingDigest::default);
        if let Some(digest) = &digest {
            reader = Box::new(Digesting::new(reader, digest.clone()));
        }
        let mut start = Vec::new();
        (&mut reader).take(8).read_to_end(&mut start).with_context(failed)?;
        ensure!(!start.is_empty(), "{source} is empty; it needs a header line and rows");
        let made = cfg!(feature = "parquet") && expand && start.starts_with(b"PAR1");
        if made {
            reader = text_of_parquet(reader, path, with_digest)?;
            start.clear();
        }
        refuse_binary(&start, &source, expand)?;
        let compression = Compression::of(&start);
        reader = Box::new(Cursor::new(start).chain(reader));
        let failed = || match compression {
            Some(compression) => format!("cannot read {source} ({} data)", compression.name()),
            None => format!("cannot read {source}"),
        };
        if let Some(compression) = compression {
            reader = compression.expand(reader);
        }
        let mut start = sample(&mut reader, prompt).with_context(failed)?;
        ensure!(!start.is_empty(), "{source} is empty; it needs a header line and rows");
        refuse_binary(&start, &source, false)?;
        let mut notes = Vec::new();
        let encoding = options.encoding.filter(|_| !made).unwrap_or_else(|| {
            if made {
                return UTF_8;
            }
            let guess = encoding::detect(&start);
            if guess.encoding != UTF_8 {
                notes.push(format!(
                    "{source} was read as {}: {}; --encoding overrides",
                    guess.encoding.name(),
                    guess.reason
                ));
            }
            guess.encoding
        });
        if encoding == UTF_8 {
            if start.starts_with(b"\xEF\xBB\xBF") {
                start.drain(..3);
            }
        } else {
            // With its name UTF-16 alone, the byte order mark says which.
            let encoding = Encoding::for_bom(&start).map_or(encoding, |(encoding, _)| encoding);
            reader = Box::new(Transcoder::new(Cursor::new(start).chain(reader), encoding));
            start = sample(&mut reader, prompt).with_context(failed)?;
        }
        Ok(Self { source, path: path.into(), start, rest: reader, prompt, notes, digest, made })
    }

    /// The text as blocks of whole records.
    pub fn blocks(self, cut: Cut, block_bytes: usize) -> Blocks<Box<dyn Read + Send>> {
        Blocks::new(&self.source, self.start, self.rest, cut, block_bytes, self.prompt)
    }
}

/// The first bytes: as many as are looked at, or all; from an input that may come slowly, two lines will do.
fn sample(reader: &mut impl Read, prompt: bool) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    if !prompt {
        reader.take(SAMPLE_BYTES as u64).read_to_end(&mut start)?;
        return Ok(start);
    }
    let mut piece = vec![0; SAMPLE_BYTES / 4];
    while start.len() < SAMPLE_BYTES && super::blocks::count_lines(&start) < 2 {
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => start.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(start)
}

/// A Parquet file as text. What `reader` has left of the file is read for its digest alone.
#[cfg(feature = "parquet")]
fn text_of_parquet(
    mut reader: Box<dyn Read + Send>,
    path: &str,
    with_digest: bool,
) -> Result<Box<dyn Read + Send>> {
    ensure!(
        path != "-",
        "standard input is a Parquet file, which has to be read from its end; give its path instead"
    );
    if with_digest {
        io::copy(&mut reader, &mut io::sink()).with_context(|| format!("cannot read {path}"))?;
    }
    Ok(Box::new(super::parquet::ParquetText::open(path)?))
}

#[cfg(not(feature = "parquet"))]
fn text_of_parquet(reader: Box<dyn Read + Send>, _: &str, _: bool) -> Result<Box<dyn Read + Send>> {
    Ok(reader)
}

/// What is known not to be text, by its first bytes.
fn refuse_binary(start: &[u8], source: &str, expand: bool) -> Result<()> {
    let wrong = |what: &str, remedy: &str| bail!("{source} is {what}, not text; {remedy}");
    match start {
        [b'P', b'K', 3, 4, ..] => wrong("a zip or Excel file", "export the sheet as CSV"),
        [b'P', b'A', b'R', b'1', ..] if cfg!(feature = "parquet") || !expand => {
            wrong("a Parquet file", "export it as CSV")
        }
        [b'P', b'A', b'R', b'1', ..] => wrong(
            "a Parquet file",
            "this mlapi was built without the feature that reads it (cargo install --features parquet); export it \
             as CSV",
        ),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => wrong("an old Excel file", "export the sheet as CSV"),
        _ if expand => Ok(()),
        _ => match Compression::of(start) {
            Some(compression) => wrong(&format!("{} data", compression.name()), "unpack it first"),
            None => Ok(()),
        },
    }
}

/// Delimited text after its header.
pub struct Records {
    source: String,
    names: Vec<String>,
    header: bool,
    dialect: Dialect,
    notes: Vec<String>,
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

    /// Reads delimited text from anywhere, compressed text excepted; `source` is what messages call it.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn from_reader(inner: Box<dyn Read + Send>, source: &str, options: &Options) -> Result<Self> {
        Self::new(Input::new(inner, source, options, false, false)?, options)
    }

    /// Finds the dialect and reads the header.
    ///
    /// # Errors
    /// A text without records; two columns of one name.
    pub fn new(input: Input, options: &Options) -> Result<Self> {
        Self::with_blocks(input, options, BLOCK_BYTES)
    }

    fn with_blocks(mut input: Input, options: &Options, block_bytes: usize) -> Result<Self> {
        let (dialect, found) = match input.made {
            true => (Dialect::default(), Vec::new()),
            false => sniff(&input.start, &input.path, options),
        };
        let mut notes = std::mem::take(&mut input.notes);
        notes.extend(found.into_iter().map(|what| format!("{}: {what}", input.source)));
        let mut header = options.header || input.made;
        if header && options.header_in_doubt && !input.made && begins_with_a_row(&input.start, dialect) {
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
        let (block, record, fields) = loop {
            let block = blocks.next(Vec::new())?.with_context(empty)?;
            if let Some((record, fields)) = First::of(&block, dialect) {
                break (block, record, fields);
            }
        };
        ensure!(
            !record.open,
            "{source} line {}: a quote is opened in this record and never closed",
            record.line
        );
        if !header {
            let names = (1..=record.n_fields).map(|i| format!("column_{i}")).collect();
            blocks.put_back(block);
            return Ok(Self { source, names, header: false, dialect, notes, digest, blocks, sample });
        }
        let names = header_names(&fields, &source, record.line)?;
        let Block { bytes, line: _ } = block;
        let after = record.place.end;
        let line_end = match (bytes.get(after), bytes.get(after + 1)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        blocks.put_back(Block { bytes: bytes[after + line_end..].to_vec(), line: record.last_line + 1 });
        Ok(Self { source, names, header: true, dialect, notes, digest, blocks, sample })
    }

    /// The names of the columns, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the names stand in the file.
    pub fn has_header(&self) -> bool {
        self.header
    }

    /// What messages call this input.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The byte between two fields, as given or as found.
    pub fn delimiter(&self) -> u8 {
        self.dialect.delimiter
    }

    /// How the text is written, as given or as found.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Reads numbers with a decimal comma from here on.
    pub fn set_decimal_comma(&mut self) {
        self.dialect.decimal_mark = b',';
    }

    /// What was found and the user should know.
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
                "{source} line {line}: columns {} and {} are both called {name:?}; rename one of them",
                before + 1,
                i + 1
            );
        }
    }
    Ok(names)
}

/// What to say of bytes that are not UTF-8.
pub fn not_utf8(source: &str, line: u64, place: &str) -> String {
    format!(
        "{source} line {line}, {place}: not valid UTF-8; save the file as UTF-8, or name its encoding \
         (--encoding latin-1, --encoding gb18030)"
    )
}

/// What to say of a record with a wrong number of fields.
pub fn ragged(source: &str, record: &Record, n_columns: usize) -> String {
    let Record { line, last_line, n_fields, open, .. } = record;
    if *open {
        return format!("{source} line {line}: a quote is opened in this record and never closed");
    }
    let hint = if last_line > line {
        format!("a quote opened on it is closed on line {last_line}")
    } else {
        "a field that contains the delimiter needs quotes".into()
    };
    format!("{source} line {line}: {n_fields} fields where the first line has {n_columns}; {hint}")
}

/// Collects the fields of some records.
#[derive(Default)]
struct First {
    fields: Vec<Vec<u8>>,
    records: Vec<(Record, Vec<Vec<u8>>)>,
    at_most: usize,
}

impl Visitor for First {
    fn number(&mut self, _column: usize, _value: f64) {}

    fn text(&mut self, _column: usize, text: &[u8], _line: u64) {
        self.fields.push(text.to_vec());
    }

    fn end(&mut self, record: Record) -> bool {
        self.records.push((record, std::mem::take(&mut self.fields)));
        self.records.len() < self.at_most
    }
}

impl First {
    fn of(block: &Block, dialect: Dialect) -> Option<(Record, Vec<Vec<u8>>)> {
        Self::some(block, dialect, 1).pop()
    }

    fn some(block: &Block, dialect: Dialect, at_most: usize) -> Vec<(Record, Vec<Vec<u8>>)> {
        // As many columns as there can be delimiters.
        let wants = vec![Want::Text; block.bytes.len() + 1];
        let mut first = Self { at_most, ..Self::default() };
        Walk { dialect, wants, places: false }.through(block, &mut first);
        first.records
    }
}

/// Whether the first record is one of the rows.
fn begins_with_a_row(start: &[u8], dialect: Dialect) -> bool {
    let records = First::some(&whole_records(start, dialect.quote), dialect, SAMPLE_RECORDS + 1);
    let mut fields = records.into_iter().map(|(_, fields)| fields);
    fields
        .next()
        .is_some_and(|first| header::is_row(&first, &fields.collect::<Vec<_>>(), dialect.decimal_mark))
}

/// The dialect of a text that begins with `start`, and what of it is unusual.
fn sniff(start: &[u8], path: &str, options: &Options) -> (Dialect, Vec<String>) {
    let mut notes = Vec::new();
    let quote = options.quote.unwrap_or_else(|| {
        let quote = sniff_quote(start);
        if quote == b'\'' {
            notes.push("its fields are in single quotes; --quote overrides".into());
        }
        Some(quote)
    });
    let name = path.strip_suffix(".gz").or(path.strip_suffix(".zst")).unwrap_or(path);
    let delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None if name.ends_with(".tsv") || name.ends_with(".tab") => b'\t',
        None => {
            let found = sniff_delimiter(start, quote);
            if found != b',' {
                let shown = if found == b'\t' { "tabs".into() } else { format!("{:?}", char::from(found)) };
                notes.push(format!("its fields are divided by {shown}; --delimiter overrides"));
            }
            found
        }
    };
    let mut dialect = Dialect { delimiter, quote, decimal_mark: b'.' };
    let comma = options.decimal_comma.unwrap_or_else(|| {
        let comma = has_decimal_commas(start, dialect);
        if comma {
            notes.push("its numbers have a decimal comma and were read so".into());
        }
        comma
    });
    if comma && delimiter != b',' {
        dialect.decimal_mark = b',';
    }
    (dialect, notes)
}

/// `'` where fields begin and end with it and none begins with `"`.
fn sniff_quote(start: &[u8]) -> u8 {
    let edge = |byte: Option<&u8>| byte.is_none_or(|b| b",\t;|\r\n".contains(b));
    let (mut double, mut opened, mut closed) = (false, 0_usize, 0_usize);
    for (at, &byte) in start.iter().enumerate() {
        let opens = edge(at.checked_sub(1).and_then(|before| start.get(before)));
        double |= byte == b'"' && opens;
        if byte == b'\'' {
            opened += usize::from(opens);
            closed += usize::from(edge(start.get(at + 1)));
        }
    }
    if !double && opened > 0 && closed.abs_diff(opened) <= 1 { b'\'' } else { b'"' }
}

/// The candidate that divides the first records into the same number of fields, the most of them where several
/// do; else the most frequent one of the first record. A comma between two digits does not count where another
/// candidate divides alike: it is a decimal comma.
fn sniff_delimiter(start: &[u8], quote: Option<u8>) -> u8 {
    const CANDIDATES: [u8; 4] = [b',', b'\t', b';', b'|'];
    let block = whole_records(start, quote);
    let mut alike = Vec::new();
    let mut of_first = Vec::new();
    for candidate in CANDIDATES {
        let dialect = Dialect { delimiter: candidate, quote, ..Dialect::default() };
        let records = First::some(&block, dialect, SAMPLE_RECORDS);
        let n_fields = records.first().map_or(0, |(record, _)| record.n_fields);
        of_first.push((n_fields, candidate));
        if n_fields > 1 && records.iter().all(|(record, _)| record.n_fields == n_fields) {
            alike.push((n_fields, candidate));
        }
    }
    let others = alike.iter().any(|(_, candidate)| *candidate != b',');
    if others && commas_are_decimal(&block.bytes) {
        alike.retain(|(_, candidate)| *candidate != b',');
    }
    let best = |candidates: &[(usize, u8)]| {
        let most = candidates.iter().map(|(n, _)| *n).max()?;
        candidates.iter().find(|(n, _)| *n == most).map(|(_, candidate)| *candidate)
    };
    best(&alike).or_else(|| best(&of_first)).unwrap_or(b',')
}

fn commas_are_decimal(text: &[u8]) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    memchr::memchr_iter(b',', text).all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// The sample without the record that its end cuts in two.
fn whole_records(start: &[u8], quote: Option<u8>) -> Block {
    let some = &start[..start.len().min(64 * 1024)];
    let cut = Cut::Records { delimiter: b',', quote };
    let mut blocks = Blocks::new("", some.to_vec(), io::empty(), cut, some.len(), true);
    // Prompt, so it hands out whole records first.
    blocks.next(Vec::new()).ok().flatten().unwrap_or_default()
}

/// Whether fields are separated by `;` and cells have commas where numbers have decimals, and none a dot.
fn has_decimal_commas(start: &[u8], dialect: Dialect) -> bool {
    if dialect.delimiter != b';' {
        return false;
    }
    let block = whole_records(start, dialect.quote);
    let (mut commas, mut dots) = (0, 0);
    for (_, fields) in First::some(&block, dialect, usize::MAX) {
        for field in fields {
            let Ok(text) = std::str::from_utf8(&field) else {
                continue;
            };
            let text = text.trim();
            let is_number =
                |mark: char| text.contains(mark) && text.replacen(mark, ".", 1).parse::<f64>().is_ok();
            commas += usize::from(is_number(','));
            dots += usize::from(is_number('.'));
        }
    }
    commas > 0 && dots == 0
}
