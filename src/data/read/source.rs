//! An input as UTF-8 text: a file or standard input, opened, unpacked and decoded, its beginning at hand.
//!
//! Called by [`super::csv`], [`super::load`] and `predict`, for delimited text and NDJSON alike.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use encoding_rs::{Encoding, UTF_8};

use super::blocks::{BLOCK_BYTES, Blocks, Cut, RecordLimits, count_lines};
use super::compression::Compression;
use super::digest::{Digesting, PassingDigest};
use super::encoding::{self, Transcoder};
use crate::data::cells::raw_table::source_name;

/// How a file is written; a `None` is detected from the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The byte between two fields; a blank stands for any number of blanks and tabs if these divide the first lines
    /// alike. `None`: the one of `,` tab `;` `|` or blanks that divides the first lines alike.
    pub delimiter: Option<u8>,
    /// The byte around a field; `Some(None)`: none. `None`: `"`, or `'` if fields begin and end with it and
    /// none with `"`.
    pub quote: Option<Option<u8>>,
    /// Whether the first record names the columns; without it they are `column_1`, `column_2`, …
    pub header: bool,
    /// Whether the first record is a row after all if it fits the columns below it.
    pub header_in_doubt: bool,
    /// The text of the file, in place of what its path holds.
    pub text: Option<Arc<Vec<u8>>>,
    /// Whether the file has to be an Arrow IPC stream or file.
    pub arrow: bool,
    /// The encoding of the text. `None`: detected.
    pub encoding: Option<&'static Encoding>,
    /// The sheet of a workbook, by its name or its number from 1. `None`: the first that can be seen and has cells.
    pub sheet: Option<String>,
    /// Whether numbers have a decimal comma. `None`: if the numbers of the sample have one for certain and none has a
    /// decimal dot.
    pub decimal_comma: Option<bool>,
    /// Lines before the table that are no part of it. `None`: comments that begin with `#`, and titles above a header.
    pub lines_to_skip: Option<u64>,
    /// Numbers of further lines that are no part of the table; the first line of a file is 1.
    pub lines_left_out: Vec<u64>,
    /// The byte that comments begin with: lines that are no part of the table.
    pub comment: Option<u8>,
    /// Whether blanks are likely to divide the fields, as they did in another file of the same origin.
    pub blanks_likely: bool,
    /// The limits of one record.
    pub record: RecordLimits,
    /// Delimited text of more columns is refused before anything is kept of them. Default: no limit.
    pub max_columns: usize,
    /// The size of a block of delimited text.
    pub block_bytes: usize,
}

impl Options {
    /// The encoding of that name, for [`Options::encoding`]: `utf-8`, `gbk`, `latin-1` and those of the WHATWG standard.
    ///
    /// # Errors
    /// Not a name of an encoding.
    pub fn encoding_named(name: &str) -> Result<&'static Encoding, String> {
        super::encoding::named(name)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: None,
            header: true,
            header_in_doubt: false,
            text: None,
            arrow: false,
            encoding: None,
            sheet: None,
            decimal_comma: None,
            lines_to_skip: None,
            lines_left_out: Vec::new(),
            comment: None,
            blanks_likely: false,
            record: RecordLimits::default(),
            max_columns: usize::MAX,
            block_bytes: BLOCK_BYTES,
        }
    }
}

/// The beginning of a text in which encoding, delimiter, quote and types are looked for.
const SAMPLE_BYTES: usize = 256 * 1024;

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
    /// Its name in messages.
    pub source: String,
    /// Its path; `-` for standard input.
    pub path: String,
    /// The beginning of the text.
    pub start: Vec<u8>,
    /// The rest of the text.
    pub rest: Box<dyn Read + Send>,
    /// Whether the input may come slowly, so that each record is to be answered as it comes.
    pub prompt: bool,
    /// Observations that the user should know.
    pub notes: Vec<String>,
    /// The limits of one record.
    pub(super) record: RecordLimits,
    /// The digest of the bytes of the file as they are.
    pub digest: Option<PassingDigest>,
    /// Whether the text was made here, of a Parquet file or a workbook, so that its dialect is known.
    pub(super) made: bool,
    /// Whether its first line names the columns for certain, as that of a Parquet file does.
    pub(super) has_names: bool,
}

impl Input {
    /// Opens `path` (`-` is standard input), unpacks and decodes it.
    ///
    /// # Errors
    /// An unreadable or empty file, or one that is not text.
    pub fn open(path: &str, options: &Options) -> Result<Self> {
        Self::new(open(path)?, path, options, true, false)
    }

    /// Reads from anywhere; `path` is its name in messages.
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
        let is_parquet = cfg!(feature = "parquet") && expand && start.starts_with(b"PAR1");
        let is_arrow = expand && is_arrow(&start);
        ensure!(is_arrow || !options.arrow, "{source} is not an Arrow IPC stream");
        let has_names = is_parquet || is_arrow;
        let is_workbook = cfg!(feature = "excel") && expand && start.starts_with(ZIP);
        let made = has_names || is_workbook;
        let mut notes = Vec::new();
        if is_arrow {
            reader = text_of_arrow(Box::new(Cursor::new(std::mem::take(&mut start)).chain(reader)), &source)?;
        } else if is_parquet {
            reader = text_of_parquet(reader, path, with_digest)?;
            start.clear();
        } else if is_workbook {
            reader.read_to_end(&mut start).with_context(failed)?;
            reader = text_of_workbook(std::mem::take(&mut start), &source, options, &mut notes)?;
        } else if expand && start.starts_with(COMPOUND_FILE) {
            reader.read_to_end(&mut start).with_context(failed)?;
            refuse_locked(&start, &source)?;
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
        let encoding = match options.encoding {
            _ if made => UTF_8,
            Some(encoding) => encoding,
            None => {
                // A request is answered; who sends a file can be asked.
                let guess = match expand {
                    true => encoding::detect(&start).map_err(|question| anyhow!("{source} {question}"))?,
                    false => encoding::detect_or_western(&start),
                };
                let (name, reason) = (guess.encoding.name(), guess.reason);
                if guess.encoding != UTF_8 {
                    notes.push(format!("{source} was read as {name}: {reason}; --encoding overrides"));
                }
                guess.encoding
            }
        };
        if encoding == UTF_8 {
            if start.starts_with(b"\xEF\xBB\xBF") {
                start.drain(..3);
            }
        } else {
            // With its name UTF-16 alone, the byte order mark says which.
            let encoding = Encoding::for_bom(&start).map_or(encoding, |(encoding, _)| encoding);
            reader = Box::new(Transcoder::of(Cursor::new(start).chain(reader), encoding));
            start = sample(&mut reader, prompt).with_context(failed)?;
        }
        let record = options.record.clone();
        Ok(Self {
            source,
            path: path.into(),
            start,
            rest: reader,
            prompt,
            notes,
            record,
            digest,
            made,
            has_names,
        })
    }

    /// The text as blocks of whole records.
    pub fn blocks(self, cut: Cut, block_bytes: usize) -> Blocks<Box<dyn Read + Send>> {
        Blocks::new(&self.source, self.start, self.rest, cut, block_bytes, self.prompt).within(self.record)
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
    while start.len() < SAMPLE_BYTES && count_lines(&start) < 2 {
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => start.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(start)
}

/// A Parquet file as text. The rest of `reader` is read for the digest alone.
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
    Ok(Box::new(super::parquet::open(path)?))
}

/// What an Arrow IPC stream or file starts with, if this program reads them.
fn is_arrow(start: &[u8]) -> bool {
    cfg!(feature = "parquet") && (start.starts_with(&[0xFF; 4]) || start == b"ARROW1\0\0")
}

/// An Arrow IPC stream or file as text.
#[cfg(feature = "parquet")]
fn text_of_arrow(reader: Box<dyn Read + Send>, source: &str) -> Result<Box<dyn Read + Send>> {
    let batches = super::arrow::IpcBatches::open(reader)
        .with_context(|| format!("{source} is not a readable Arrow IPC stream"))?;
    let schema = batches.schema();
    Ok(Box::new(super::arrow::BatchText::new(&schema, Box::new(batches), source, "Arrow IPC stream")?))
}

#[cfg(not(feature = "parquet"))]
fn text_of_arrow(reader: Box<dyn Read + Send>, _: &str) -> Result<Box<dyn Read + Send>> {
    Ok(reader)
}

#[cfg(not(feature = "parquet"))]
fn text_of_parquet(reader: Box<dyn Read + Send>, _: &str, _: bool) -> Result<Box<dyn Read + Send>> {
    Ok(reader)
}

/// The first bytes of a zip file, which the workbooks of today are, and of what old Excel and encrypted workbooks are.
const ZIP: &[u8] = b"PK\x03\x04";
const COMPOUND_FILE: &[u8] = b"\xD0\xCF\x11\xE0";

/// A sheet of a workbook as text.
#[cfg(feature = "excel")]
fn text_of_workbook(
    bytes: Vec<u8>,
    source: &str,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Box<dyn Read + Send>> {
    let sheet = super::excel::read(bytes, source, options.sheet.as_deref())?;
    notes.extend(sheet.notes);
    Ok(Box::new(Cursor::new(sheet.text)))
}

#[cfg(not(feature = "excel"))]
fn text_of_workbook(
    bytes: Vec<u8>,
    _: &str,
    _: &Options,
    _: &mut Vec<String>,
) -> Result<Box<dyn Read + Send>> {
    Ok(Box::new(Cursor::new(bytes)))
}

/// Refuses a workbook that is encrypted; it has a member of that name, in UTF-16.
fn refuse_locked(bytes: &[u8], source: &str) -> Result<()> {
    let member: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    ensure!(
        memchr::memmem::find(bytes, &member).is_none(),
        "{source} is a workbook with a password; save a copy without it, or the sheet as CSV"
    );
    Ok(())
}

/// Refuses formats that are not text, by their first bytes.
fn refuse_binary(start: &[u8], source: &str, expand: bool) -> Result<()> {
    let wrong = |what: &str, remedy: &str| bail!("{source} is {what}, not text; {remedy}");
    match start {
        [b'P', b'K', 3, 4, ..] if cfg!(feature = "excel") || !expand => {
            wrong("a zip or Excel file", "export the sheet as CSV")
        }
        [b'P', b'K', 3, 4, ..] => wrong(
            "a zip or Excel file",
            "this mlapi was built without the feature that reads workbooks (cargo install --features excel); export \
             the sheet as CSV",
        ),
        [b'P', b'A', b'R', b'1', ..] if cfg!(feature = "parquet") || !expand => {
            wrong("a Parquet file", "export it as CSV")
        }
        [b'P', b'A', b'R', b'1', ..] => wrong(
            "a Parquet file",
            "this mlapi was built without the feature that reads it (cargo install --features parquet); export it \
             as CSV",
        ),
        [0xFF, 0xFF, 0xFF, 0xFF, ..] | [b'A', b'R', b'R', b'O', b'W', b'1', ..] => wrong(
            "an Arrow IPC stream",
            "mlapi predict, train and eval read it if mlapi was built with the feature parquet (cargo install mlapi \
             --features parquet)",
        ),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => wrong("an old Excel file (.xls)", "save it as .xlsx or CSV"),
        _ if expand => Ok(()),
        _ => match Compression::of(start) {
            Some(compression) => wrong(&format!("{} data", compression.name()), "unpack it first"),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest;

    fn input(bytes: &[u8]) -> Result<Input> {
        Input::new(Box::new(Cursor::new(bytes.to_vec())), "t.csv", &Options::default(), true, true)
    }

    fn text(bytes: &[u8]) -> String {
        let mut input = input(bytes).unwrap();
        let mut text = input.start;
        input.rest.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_text_is_the_same_in_every_encoding_and_without_its_byte_order_mark() {
        let plain = "name,n\nZoë,1\n";
        assert_eq!(text(plain.as_bytes()), plain);
        assert_eq!(text(&[b"\xEF\xBB\xBF", plain.as_bytes()].concat()), plain);
        assert_eq!(text(b"name,n\nZo\xEB,1\n"), plain);
        let utf_16: Vec<u8> = "\u{feff}name,n\nZoë,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&utf_16), plain);
        assert_eq!(input(&utf_16).unwrap().notes.len(), 1, "and says so");
    }

    #[test]
    fn the_digest_is_of_the_bytes_of_the_file_and_not_of_its_text() {
        let bytes = b"name,n\nZo\xEB,1\n";
        let mut input = input(bytes).unwrap();
        io::copy(&mut input.rest, &mut io::sink()).unwrap();
        let sha256 = sha2::Sha256::digest(bytes);
        assert_eq!(input.digest.unwrap().hex(), super::super::digest::hex(sha256.as_slice()));
    }

    #[test]
    fn formats_that_are_not_text_are_refused_by_name() {
        for (bytes, words) in [
            (&b""[..], "is empty"),
            (b"PK\x03\x04rest", "a zip or Excel file"),
            (b"\xD0\xCF\x11\xE0rest", "an old Excel file (.xls), not text; save it as .xlsx"),
            (
                b"\xD0\xCF\x11\xE0 E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0",
                "a workbook with a password",
            ),
        ] {
            let message = input(bytes).err().unwrap().to_string();
            assert!(message.contains(words), "{message}");
        }
        let gzip = b"\x1F\x8B\x08\x00rest".to_vec();
        let refused = Input::new(Box::new(Cursor::new(gzip)), "body", &Options::default(), false, false);
        assert!(refused.err().unwrap().to_string().contains("gzip data, not text; unpack it first"));
    }
}
