//! Reads delimited text (CSV, TSV, `;`, `|`) as a stream of checked records, and whole files into a
//! [`RawTable`].
//!
//! The splitting into fields is the `csv` crate's; what is added here is what a person needs when a file is
//! not as it should be: the delimiter found in the header line, byte order marks, and errors that name file,
//! line and column. Not here: what a cell means (see [`crate::data::schema`]).

use std::fs::File;
use std::io::{self, Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::table::{RawColumn, RawTable};

/// How a file is written; what is `None` is found in the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The byte between two fields. `None`: the most frequent of `,` tab `;` `|` in the first line.
    pub delimiter: Option<u8>,
    /// Whether the first record names the columns; without it they are `column_1`, `column_2`, …
    pub header: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { delimiter: None, header: true }
    }
}

/// What the first bytes are enough to see: encoding and delimiter.
const SNIFF_BYTES: usize = 64 * 1024;

/// A larger field is not a cell but an unclosed quote (or an attack), and is refused before memory is spent.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Reads bytes, counts nothing, hashes what passes if asked to.
struct Digesting<R> {
    inner: R,
    digest: Option<Sha256>,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..n]);
        }
        Ok(n)
    }
}

/// What the `csv` crate reads from: the bytes of the file and, where it lacks one, a last line end.
///
/// It refuses to feed one record without end, and keeps what is needed to tell on which line a record
/// starts and whether the last quote was closed.
struct Input {
    bytes: io::Chain<Cursor<Vec<u8>>, Digesting<Box<dyn Read + Send>>>,
    /// Bytes until the current record is too long.
    left: usize,
    quotes: u64,
    last: u8,
    ended: bool,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!(
                "one record is longer than {} MB; is a quote not closed?",
                MAX_RECORD_BYTES / 1024 / 1024
            )));
        }
        let n = self.bytes.read(buffer)?;
        self.left = self.left.saturating_sub(n);
        self.quotes += buffer[..n].iter().filter(|&&b| b == b'"').count() as u64;
        match buffer[..n].last() {
            Some(&last) => self.last = last,
            None if self.ended || self.last == b'\n' || buffer.is_empty() => self.ended = true,
            None => {
                self.ended = true;
                buffer[0] = b'\n';
                return Ok(1);
            }
        }
        Ok(n)
    }
}

/// A stream of records, all with as many fields as there are columns.
pub struct Records {
    source: String,
    delimiter: u8,
    names: Vec<String>,
    reader: csv::Reader<Input>,
    record: csv::ByteRecord,
    line: u64,
    /// A first record that is data, not a header; handed out first.
    pending: bool,
    finished: bool,
}

/// How messages call an input: its path, or `standard input` for `-`.
pub fn source_name(path: &str) -> String {
    if path == "-" { "standard input".into() } else { path.into() }
}

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

impl Records {
    /// Opens `path` (`-` is standard input), finds the delimiter and reads the header.
    ///
    /// # Errors
    /// An unreadable, empty or compressed file, an encoding other than UTF-8, two columns of one name.
    pub fn open(path: &str, options: &Options) -> Result<Self> {
        Self::new(open(path)?, path, options, false)
    }

    /// Reads delimited text from anywhere; `source` is what messages call it.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn from_reader(inner: Box<dyn Read + Send>, source: &str, options: &Options) -> Result<Self> {
        Self::new(inner, source, options, false)
    }

    fn new(inner: Box<dyn Read + Send>, path: &str, options: &Options, with_digest: bool) -> Result<Self> {
        let source = source_name(path);
        let mut inner = Digesting { inner, digest: with_digest.then(Sha256::new) };
        let mut start = Vec::new();
        (&mut inner)
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut start)
            .with_context(|| format!("cannot read {source}"))?;
        ensure!(!start.is_empty(), "{source} is empty; it needs a header line and rows");
        let body_at = check_encoding(&start, &source)?;
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None if path.ends_with(".tsv") || path.ends_with(".tab") => b'\t',
            None => sniff_delimiter(&start[body_at..]),
        };
        start.drain(..body_at);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            // Not the default, which takes \r\n for one and a half line ends and so miscounts lines.
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(256 * 1024)
            .from_reader(Input {
                bytes: Cursor::new(start).chain(inner),
                left: MAX_RECORD_BYTES,
                quotes: 0,
                last: b'\n',
                ended: false,
            });
        let mut records = Self {
            source,
            delimiter,
            names: Vec::new(),
            reader,
            record: csv::ByteRecord::new(),
            line: 0,
            pending: false,
            finished: false,
        };
        records.read_header(options.header)?;
        Ok(records)
    }

    fn read_header(&mut self, header: bool) -> Result<()> {
        ensure!(self.read_record()?, "{} is empty; it needs a header line and rows", self.source);
        let line = self.line;
        if !header {
            self.names = (1..=self.record.len()).map(|i| format!("column_{i}")).collect();
            self.pending = true;
            return Ok(());
        }
        let mut names = Vec::with_capacity(self.record.len());
        for (i, field) in self.record.iter().enumerate() {
            let name = std::str::from_utf8(field)
                .with_context(|| not_utf8(&self.source, line, &format!("column {}", i + 1)))?
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
                    "{} line {line}: columns {} and {} are both called \"{name}\"; rename one of them",
                    self.source,
                    before + 1,
                    i + 1
                );
            }
        }
        self.names = names;
        Ok(())
    }

    /// Reads the next record that is not blank into `self.record` and its first line into `self.line`.
    fn read_record(&mut self) -> Result<bool> {
        loop {
            // The bound is per record, give or take the reader's own buffer.
            self.reader.get_mut().left = MAX_RECORD_BYTES;
            let found = self
                .reader
                .read_byte_record(&mut self.record)
                .with_context(|| format!("cannot read {}", self.source))?;
            if !found {
                return Ok(false);
            }
            let newlines = |field: &[u8]| field.iter().filter(|&&b| b == b'\n').count() as u64;
            let inside: u64 = self.record.iter().map(newlines).sum();
            let after = self.reader.position().line();
            let ends_open = self.record.iter().next_back().is_some_and(|f| f.ends_with(b"\n"));
            let input = self.reader.get_ref();
            if ends_open && input.ended && input.quotes % 2 == 1 {
                bail!(
                    "{} line {}: a quote is opened in this record and never closed",
                    self.source,
                    after - inside
                );
            }
            self.line = after - 1 - inside;
            if self.record.iter().next_back().is_some_and(|f| f.ends_with(b"\r")) {
                let mut fields: Vec<&[u8]> = self.record.iter().collect();
                if let Some(last) = fields.last_mut() {
                    *last = &last[..last.len() - 1];
                }
                self.record = fields.into();
            }
            let blank = self.record.len() == 1 && self.record[0].iter().all(u8::is_ascii_whitespace);
            if !blank {
                return Ok(true);
            }
        }
    }

    /// The names of the columns, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What messages call this input.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The byte between two fields, as given or as found.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The next record and the line it starts on (the first line is 1); blank lines are passed over.
    ///
    /// # Errors
    /// A record with too many or too few fields, or one that cannot be read.
    pub fn next_record(&mut self) -> Result<Option<(u64, &csv::ByteRecord)>> {
        if self.finished {
            return Ok(None);
        }
        if !std::mem::take(&mut self.pending) && !self.read_record()? {
            self.finished = true;
            return Ok(None);
        }
        let line = self.line;
        if self.record.len() != self.names.len() {
            let last = self.reader.position().line() - 1;
            let hint = if last > line {
                format!("a quote opened on it is closed on line {last}")
            } else {
                "a field that contains the delimiter needs quotes".into()
            };
            bail!(
                "{} line {line}: {} fields where the first line has {}; {hint}",
                self.source,
                self.record.len(),
                self.names.len()
            );
        }
        Ok(Some((line, &self.record)))
    }

    /// The text of column `column` in `record`.
    ///
    /// # Errors
    /// Bytes that are not UTF-8; the message names line and column.
    pub fn text<'r>(&self, record: &'r csv::ByteRecord, line: u64, column: usize) -> Result<&'r str> {
        std::str::from_utf8(&record[column])
            .with_context(|| not_utf8(&self.source, line, &format!("column \"{}\"", self.names[column])))
    }

    /// SHA-256 of the whole file in hexadecimal; only after the last record, and only of a table that was
    /// read with [`read_table`].
    fn digest(self) -> String {
        let digest = self.reader.into_inner().bytes.into_inner().1.digest;
        hex(digest.unwrap_or_default().finalize().as_slice())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 of a file in hexadecimal, as `sha256sum` prints it.
///
/// # Errors
/// When the file cannot be read.
pub fn file_digest(path: &str) -> Result<String> {
    let mut reader = Digesting { inner: open(path)?, digest: Some(Sha256::new()) };
    io::copy(&mut reader, &mut io::sink()).with_context(|| format!("cannot read {path}"))?;
    Ok(hex(reader.digest.unwrap_or_default().finalize().as_slice()))
}

/// Reads a whole file into text columns and takes its digest.
///
/// # Errors
/// Those of [`Records::open`] and [`Records::next_record`]; a cell that is not UTF-8; no rows.
pub fn read_table(path: &str, options: &Options) -> Result<RawTable> {
    let mut records = Records::new(open(path)?, path, options, true)?;
    let mut columns = vec![RawColumn::default(); records.names.len()];
    let mut lines = Vec::new();
    loop {
        let Some((line, _)) = records.next_record()? else {
            break;
        };
        lines.push(line);
        for (i, column) in columns.iter_mut().enumerate() {
            column.push(records.text(&records.record, line, i)?);
        }
    }
    ensure!(!lines.is_empty(), "{} has a header and no rows; there is nothing to read", records.source);
    Ok(RawTable {
        source: records.source.clone(),
        delimiter: records.delimiter,
        names: std::mem::take(&mut records.names),
        columns,
        lines,
        sha256: records.digest(),
    })
}

fn not_utf8(source: &str, line: u64, place: &str) -> String {
    format!("{source} line {line}, {place}: not valid UTF-8; save the file as UTF-8")
}

/// Where the text starts (after a byte order mark).
fn check_encoding(start: &[u8], source: &str) -> Result<usize> {
    let wrong = |what: &str, remedy: &str| bail!("{source} is {what}, not text in UTF-8; {remedy}");
    match start {
        [0xEF, 0xBB, 0xBF, ..] => Ok(3),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => wrong("UTF-16", "save it as \"CSV UTF-8\""),
        [0x1F, 0x8B, ..] => wrong("gzip data", "unpack it first: gunzip -c FILE | mlapi … -"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => wrong("zstd data", "unpack it first: zstdcat FILE | mlapi … -"),
        [b'P', b'K', 3, 4, ..] => wrong("a zip or Excel file", "export the sheet as CSV"),
        [b'P', b'A', b'R', b'1', ..] => wrong("a Parquet file", "export it as CSV"),
        _ => Ok(0),
    }
}

/// The most frequent candidate outside quotes in the first line; the comma wins ties.
fn sniff_delimiter(start: &[u8]) -> u8 {
    const CANDIDATES: [u8; 4] = [b',', b'\t', b';', b'|'];
    let mut counts = [0_usize; CANDIDATES.len()];
    let mut quoted = false;
    for &byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted && counts.iter().any(|&n| n > 0) => break,
            _ if !quoted => {
                if let Some(i) = CANDIDATES.iter().position(|&c| c == byte) {
                    counts[i] += 1;
                }
            }
            _ => {}
        }
    }
    let best = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|&n| n == best).map_or(b',', |i| CANDIDATES[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &'static [u8]) -> Result<Records> {
        Records::new(Box::new(text), "t.csv", &Options::default(), true)
    }

    fn rows(text: &'static [u8]) -> Result<Vec<(u64, Vec<String>)>> {
        let mut records = records(text)?;
        let mut rows = Vec::new();
        while let Some((line, record)) = records.next_record()? {
            let cells = record.iter().map(|c| String::from_utf8_lossy(c).into());
            rows.push((line, cells.collect()));
        }
        Ok(rows)
    }

    fn message(text: &'static [u8]) -> String {
        format!("{:#}", rows(text).unwrap_err())
    }

    #[test]
    fn byte_order_mark_crlf_blank_lines_and_quotes_are_understood() {
        let text = b"\xEF\xBB\xBFa,\"b \"\"x\"\"\"\r\n\r\n1,\"two\r\nlines\"\r\n   \r\n2,\"c,d\"\r\n\r\n";
        assert_eq!(records(text).unwrap().names(), ["a", "b \"x\""]);
        let rows = rows(text).unwrap();
        assert_eq!(rows[0], (3, vec!["1".into(), "two\r\nlines".into()]));
        assert_eq!(rows[1], (6, vec!["2".into(), "c,d".into()]));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn the_delimiter_is_the_most_frequent_candidate_of_the_first_line() {
        for (text, delimiter) in [
            (&b"a,b;c,d\n"[..], b','),
            (b"a;b;c,d\n1;2;3", b';'),
            (b"\na\tb\n", b'\t'),
            (b"\"a,b\"|c\n", b'|'),
            (b"alone\n", b','),
        ] {
            assert_eq!(sniff_delimiter(text), delimiter);
        }
    }

    #[test]
    fn a_ragged_row_is_refused_with_its_line() {
        assert!(message(b"a,b\n1,2\n3\n").contains("t.csv line 3: 1 fields where the first line has 2"));
        assert!(message(b"a,b\r\n\r\n1\r\n").contains("t.csv line 3: 1 fields"));
        assert!(message(b"a,b,c\n1,\"2\n3,4\"\n5,6,7").contains("line 2: 2 fields"));
        assert!(message(b"a,b,c\n1,\"2\n3,4\"\n5,6,7").contains("closed on line 3"));
        for open in [&b"a,b\n\n1,\"2\n3,4\n5"[..], b"a,b\n\n1,\"2\n3,4\n5\n"] {
            assert!(message(open).contains("line 3: a quote is opened in this record and never closed"));
        }
        assert_eq!(rows(b"a,b\n1,\"2\n\"").unwrap()[0].1[1], "2\n");
    }

    #[test]
    fn two_columns_of_one_name_are_refused_and_an_empty_name_is_given_one() {
        assert!(message(b"a,b,a\n").contains("columns 1 and 3 are both called \"a\""));
        assert_eq!(records(b",b\n1,2\n").unwrap().names(), ["column_1", "b"]);
    }

    #[test]
    fn what_is_not_utf8_text_is_named() {
        assert!(message(b"").contains("t.csv is empty"));
        assert!(message(b"\n\n").contains("t.csv is empty"));
        assert!(message(b"\xFF\xFEa\0").contains("UTF-16"));
        assert!(message(b"\x1F\x8B\x08").contains("gzip"));
        assert!(message(b"a,\xE4\n").contains("line 1, column 2: not valid UTF-8"));
    }
}
