//! Whole files into a [`RawTable`], block by block on all cores, numbers straight into columns of doubles.
//!
//! The type of a column follows from all of its cells, and the text of numbers is not kept. So a sample says which
//! columns are likely numbers; those are read as numbers, the others as text. If a later cell of a column of numbers
//! turns out to be text, that column alone is read again. The result does not depend on the sample,
//! the size of the blocks, or the number of threads.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};

use super::blocks::{BLOCK_BYTES, Block, Blocks, Cut, in_order};
use super::chunk::{Chunk, ChunkColumn, Form, Kind, append, is_doubtful};
use super::csv::Records;
use super::digest::PassingDigest;
use super::fields::{Dialect, Record, Visitor, Walk};
use super::interner::Interner;
use super::ndjson::{LateColumns, Members, is_ndjson, lines};
use super::source::{Input, Options, open};
use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::number;
use crate::data::cells::raw_table::{RawColumn, RawTable, ReadFile, source_name};
use crate::error::Interrupted;
use crate::plain;

/// How a table is to be read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The tokens that mean "no value".
    pub nulls: NullTokens,
    /// Columns whose text is needed, whatever their cells.
    pub texts: BTreeSet<String>,
    /// Whether the last column is one of them.
    pub last_is_text: bool,
}

/// A column of which more than this share of the sample is different is kept cell by cell, not as levels.
const MAX_LEVEL_SHARE: f64 = 0.5;

/// Rows of the sample below which the number of distinct texts says nothing.
const MIN_ROWS_FOR_SHARE: usize = 200;

/// Reads a file into columns and takes its digest.
///
/// # Errors
/// Those of [`read_tables`].
pub fn read_table(path: &str, options: &Options) -> Result<RawTable> {
    read_tables(&[path.to_string()], options, &Reading::default())
}

/// Reads files of one header into one table, row after row.
///
/// # Errors
/// Those of [`Records::open`]; a record with another number of fields; a cell that is not UTF-8; no rows; files
/// whose columns differ.
pub fn read_tables(paths: &[String], options: &Options, reading: &Reading) -> Result<RawTable> {
    read_tables_unless(&|| false, paths, options, reading)
}

/// As [`read_tables`], but stops soon after `stopped` says so.
///
/// # Errors
/// Those of [`read_tables`]; [`Interrupted`].
pub(crate) fn read_tables_unless(
    stopped: &dyn Fn() -> bool,
    paths: &[String],
    options: &Options,
    reading: &Reading,
) -> Result<RawTable> {
    let n_threads = rayon::current_num_threads();
    Load { options, reading, block_bytes: BLOCK_BYTES, n_threads, stopped }.files(paths)
}

/// The source of a table's bytes, opened as often as they are needed. Standard input can be read only once and is kept
/// as it passes.
struct Origin<'a> {
    path: &'a str,
    kept: Arc<Mutex<Vec<u8>>>,
}

/// A reader that keeps a copy of the bytes that pass.
struct Keeping<R> {
    inner: R,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<R: Read> Read for Keeping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

impl Origin<'_> {
    fn open(&self, options: &Options, first: bool) -> Result<Input> {
        let reader: Box<dyn Read + Send> = match (self.path, first) {
            ("-", true) => Box::new(Keeping { inner: open("-")?, kept: self.kept.clone() }),
            ("-", false) => {
                let bytes = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::new(Cursor::new(bytes))
            }
            (path, _) => open(path)?,
        };
        // The second time the digest says whether the bytes are still the same.
        let mut input = Input::new(reader, self.path, options, true, true)?;
        input.prompt = false;
        Ok(input)
    }
}

/// An opened file of either form.
enum Opened {
    Delimited(Box<Records>),
    Ndjson { blocks: Box<Blocks<Box<dyn Read + Send>>>, start: Vec<u8>, digest: Option<PassingDigest> },
}

struct Load<'a> {
    options: &'a Options,
    reading: &'a Reading,
    block_bytes: usize,
    n_threads: usize,
    /// Whether to stop.
    stopped: &'a dyn Fn() -> bool,
}

impl Load<'_> {
    fn files(&self, paths: &[String]) -> Result<RawTable> {
        let mut raw = RawTable::default();
        let mut origins = Vec::new();
        let mut wants = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let origin = Origin { path, kept: Arc::default() };
            let first = number == 0;
            let opened = self.open(&origin, &mut raw, true)?;
            if first {
                raw.source = source_name(path);
                if paths.len() > 1 {
                    raw.source += &format!(" and {} more", paths.len() - 1);
                }
                let sample = self.sample(&opened, &raw)?;
                wants = self.wants(&raw, &sample);
                raw.padded = self.padded(&raw, &sample);
                raw.columns = wants.iter().map(|want| want.column()).collect();
            }
            let digest = self.read(opened, path, number, &wants, &mut raw)?;
            // Members that were met late are levels from then on.
            let (n_late, last) = (raw.columns.len() - wants.len(), wants.len().saturating_sub(1));
            wants.splice(last..last, vec![Kind::Levels; n_late]);
            raw.files.push(ReadFile { path: path.clone(), sha256: digest });
            origins.push(origin);
        }
        ensure!(
            !raw.lines.is_empty(),
            "{} has a header and no rows; there is nothing to read",
            source_name(&paths[0])
        );
        self.read_again(&origins, wants, &mut raw)?;
        plain_names(&mut raw)?;
        Ok(raw)
    }

    fn open(&self, origin: &Origin<'_>, raw: &mut RawTable, first_time: bool) -> Result<Opened> {
        let mut input = origin.open(self.options, first_time)?;
        let source = input.source.clone();
        let first = raw.names.is_empty();
        let ndjson = is_ndjson(&input.path, &input.start);
        ensure!(
            first || ndjson == raw.ndjson,
            "{source} is {}, and {} is not; files of one table are written alike",
            if ndjson { "NDJSON" } else { "delimited text" },
            raw.source
        );
        let add_notes = |raw: &mut RawTable, notes: &[String]| {
            if first_time {
                raw.notes.extend_from_slice(notes);
            }
        };
        if ndjson {
            add_notes(raw, &std::mem::take(&mut input.notes));
            raw.ndjson = true;
            raw.delimiter = b',';
            let (start, digest) = (input.start.clone(), input.digest.clone());
            if first {
                raw.names = member_names(&start, &source)?;
            }
            let blocks = Box::new(input.blocks(Cut::Lines, self.block_bytes));
            return Ok(Opened::Ndjson { blocks, start, digest });
        }
        // As the first file has it, and as it was the first time.
        let options = match first {
            true => self.options.clone(),
            false => Options { header: !raw.no_header, header_in_doubt: false, ..self.options.clone() },
        };
        let mut records = Records::new(input, &options)?;
        add_notes(raw, records.notes());
        if first {
            raw.names = records.names().to_vec();
            raw.delimiter = records.delimiter();
            raw.no_header = !records.has_header();
            raw.decimal_comma = records.dialect().decimal_mark == b',';
            raw.decimal_given = self.options.decimal_comma.is_some();
        } else if raw.decimal_comma && self.options.decimal_comma.is_none() {
            // A file without decimals looks like any other.
            records.set_decimal_comma();
        }
        for (i, (name, wanted)) in records.names().iter().zip(&raw.names).enumerate() {
            ensure!(
                name == wanted,
                "{source}: column {} is {name:?}, and in {} it is {wanted:?}; files of one table have the \
                 same columns in the same order",
                i + 1,
                source_name(raw.files.first().map_or("the first file", |file| &file.path))
            );
        }
        ensure!(
            records.names().len() == raw.names.len(),
            "{source} has {} columns, and {} has {}; files of one table have the same columns",
            records.names().len(),
            source_name(raw.files.first().map_or("the first file", |file| &file.path)),
            raw.names.len()
        );
        Ok(Opened::Delimited(Box::new(records)))
    }

    /// The beginning of a file, every column as levels.
    fn sample(&self, opened: &Opened, raw: &RawTable) -> Result<Chunk> {
        const BYTES: usize = 64 * 1024;
        let (kinds, nulls) = (vec![Kind::Levels; raw.names.len()], &self.reading.nulls);
        let mut chunk = Chunk::default();
        match opened {
            Opened::Delimited(records) => {
                let (dialect, start) = (records.dialect(), records.sample());
                let cut = Cut::Records { delimiter: dialect.delimiter, quote: dialect.quote };
                let start = start[..start.len().min(BYTES)].to_vec();
                let mut blocks = Blocks::new("", start, std::io::empty(), cut, BYTES, true);
                let mut block = blocks.next(Vec::new())?.unwrap_or_default();
                if records.has_header() {
                    skip_record(&mut block, dialect);
                }
                let form = Form::delimited(dialect, &kinds, nulls, Arc::new(records.remarks().again()));
                form.read(&block, &kinds, raw, nulls, &mut chunk);
            }
            Opened::Ndjson { start, .. } => {
                let end = memchr::memrchr(b'\n', start).unwrap_or(start.len());
                let bytes = start[..end].to_vec();
                Form::Ndjson.read(&Block::new(bytes, 1), &kinds, raw, nulls, &mut chunk);
            }
        }
        // An error is found and reported again when the file is read.
        chunk.failure = None;
        Ok(chunk)
    }

    fn wants(&self, raw: &RawTable, sample: &Chunk) -> Vec<Kind> {
        let mark = raw.decimal_mark();
        // Delimiters at the ends of lines make no column.
        let has_values = |column: &ChunkColumn| match column {
            ChunkColumn::Levels { levels, .. } => {
                levels.strings().iter().any(|text| self.reading.nulls.cell(text) != Cell::Missing)
            }
            _ => true,
        };
        let last = raw.names.iter().zip(&sample.columns).rfind(|(_, column)| has_values(column));
        let last = last.map(|(name, _)| name).filter(|_| self.reading.last_is_text);
        let kind = |(name, column): (&String, &ChunkColumn)| {
            let ChunkColumn::Levels { codes, levels } = column else {
                return Kind::Levels;
            };
            let nulls = self.reading.nulls.of(name);
            let is_number = |text| match nulls.cell(text) {
                Cell::Text(text) => number::parse(text, mark).is_some(),
                _ => true,
            };
            let as_text = last == Some(name) || self.reading.texts.iter().any(|text| plain::same(text, name));
            if !as_text && levels.strings().iter().all(is_number) {
                return Kind::Numbers;
            }
            let (n_levels, n_rows) = (levels.strings().len() as f64, codes.len());
            if n_rows >= MIN_ROWS_FOR_SHARE && n_levels > MAX_LEVEL_SHARE * n_rows as f64 {
                Kind::Texts
            } else {
                Kind::Levels
            }
        };
        raw.names.iter().zip(&sample.columns).map(kind).collect()
    }

    /// Columns of whole numbers some of which begin with zeros, or of which some are written as `1E10` and become the same
    /// as others, each with the first such cell. Only the sample is looked at: the text of numbers is not kept.
    fn padded(&self, raw: &RawTable, sample: &Chunk) -> Vec<(String, String)> {
        let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_padded = |text: &str| text.len() > 1 && text.starts_with('0');
        let is_power =
            |text: &str| text.split_once(['e', 'E']).is_some_and(|(a, b)| is_whole(a) && is_whole(b));
        let first = |(name, column): (&String, &ChunkColumn)| {
            let ChunkColumn::Levels { levels, .. } = column else {
                return None;
            };
            let nulls = self.reading.nulls.of(name);
            let cells = || {
                levels.strings().iter().filter_map(|text| match nulls.cell(text) {
                    Cell::Text(text) => Some(text),
                    _ => None,
                })
            };
            if !cells().all(|text| is_whole(text) || is_power(text)) {
                return None;
            }
            let values: BTreeSet<u64> =
                cells().filter_map(|text| text.parse::<f64>().ok()).map(f64::to_bits).collect();
            let are_same = values.len() < cells().count();
            let found = cells().find(|text| is_padded(text) || are_same && is_power(text))?;
            Some((name.clone(), found.to_string()))
        };
        raw.names.iter().zip(&sample.columns).filter_map(first).collect()
    }

    /// Reads the columns of numbers again that hold text as well.
    fn read_again(&self, origins: &[Origin<'_>], mut wants: Vec<Kind>, raw: &mut RawTable) -> Result<()> {
        let doubtful: Vec<bool> = wants
            .iter()
            .zip(&raw.columns)
            .map(|(kind, column)| *kind == Kind::Numbers && is_doubtful(column))
            .collect();
        if !doubtful.contains(&true) {
            return Ok(());
        }
        for (kind, doubtful) in wants.iter_mut().zip(&doubtful) {
            *kind = if *doubtful { Kind::Levels } else { Kind::Nothing };
        }
        let mut again = RawTable {
            source: raw.source.clone(),
            names: raw.names.clone(),
            delimiter: raw.delimiter,
            decimal_comma: raw.decimal_comma,
            ndjson: raw.ndjson,
            no_header: raw.no_header,
            columns: wants.iter().map(|kind| kind.column()).collect(),
            ..RawTable::default()
        };
        for (number, (origin, file)) in origins.iter().zip(&raw.files).enumerate() {
            // Whatever is odd about other bytes, that they are others comes first.
            let changed = || {
                anyhow!(
                    "{} has changed while it was read; train on a copy that nothing writes to",
                    source_name(origin.path)
                )
            };
            let opened = self.open(origin, &mut again, false).map_err(|error| error.context(changed()))?;
            let digest = match self.read(opened, origin.path, number, &wants, &mut again) {
                Err(error) if !error.is::<Interrupted>() => return Err(error.context(changed())),
                read => read?,
            };
            if digest != file.sha256 {
                return Err(changed());
            }
        }
        for (i, column) in again.columns.into_iter().enumerate() {
            if doubtful[i] {
                raw.columns[i] = column;
            }
        }
        Ok(())
    }

    /// Appends the rows of one file; the digest of its bytes.
    fn read(
        &self,
        opened: Opened,
        path: &str,
        file: usize,
        kinds: &[Kind],
        raw: &mut RawTable,
    ) -> Result<String> {
        let nulls = &self.reading.nulls;
        let mut remarks = Arc::default();
        let (mut blocks, form, digest) = match opened {
            Opened::Delimited(records) => {
                remarks = records.remarks();
                let form = Form::delimited(records.dialect(), kinds, nulls, remarks.clone());
                let digest = records.passing_digest();
                (records.blocks, form, digest)
            }
            Opened::Ndjson { blocks, digest, .. } => (*blocks, Form::Ndjson, digest),
        };
        let source = source_name(path);
        let shape = RawTable {
            source: source.clone(),
            names: raw.names.clone(),
            decimal_comma: raw.decimal_comma,
            ..RawTable::default()
        };
        let interner = |column: &RawColumn| match column {
            RawColumn::Levels { levels, .. } => Some(Interner::of(levels)),
            _ => None,
        };
        let mut global: Vec<Option<Interner>> = raw.columns.iter().map(interner).collect();
        let mut late = LateColumns::default();
        let work = |block: &Block, chunk: &mut Chunk| form.read(block, kinds, &shape, nulls, chunk);
        in_order(&mut blocks, self.n_threads, work, |chunk| {
            if let Some(failure) = chunk.failure.take() {
                return Err(failure);
            }
            if (self.stopped)() {
                return Err(Interrupted.into());
            }
            let before = raw.lines.len();
            chunk.lines.set_file(file as u32);
            raw.lines.append(&chunk.lines);
            raw.null_words.append(&mut chunk.null_words);
            for ((column, chunk), levels) in raw.columns.iter_mut().zip(&mut chunk.columns).zip(&mut global) {
                append(column, chunk, levels, before);
            }
            late.take(&mut chunk.late, before).map_err(|detail| anyhow!("{source} {detail}"))
        })?;
        blocks.drain()?;
        raw.notes.extend(remarks.notes(&source));
        for (column, levels) in raw.columns.iter_mut().zip(global) {
            if let (RawColumn::Levels { levels: strings, .. }, Some(interner)) = (column, levels) {
                *strings = interner.into_strings();
            }
        }
        // The last column, which is the target if none is named, must not depend on late members.
        let last = raw.names.len().saturating_sub(1);
        let (names, columns): (Vec<_>, Vec<_>) = late.finish(raw.n_rows()).unzip();
        raw.names.splice(last..last, names);
        raw.columns.splice(last..last, columns);
        Ok(digest.map(|digest| digest.hex()).unwrap_or_default())
    }
}

/// Takes the first record off a block.
fn skip_record(block: &mut Block, dialect: Dialect) {
    struct Skip(usize);
    impl Visitor for Skip {
        fn number(&mut self, _column: usize, _value: f64) {}
        fn text(&mut self, _column: usize, _text: &[u8], _line: u64) {}
        fn end(&mut self, record: Record) -> bool {
            self.0 = record.place.end;
            false
        }
    }
    let mut skip = Skip(0);
    Walk { dialect, ..Walk::default() }.through(block, &mut skip);
    block.bytes.drain(..skip.0);
}

/// Gives the columns the names by which rows to come are compared.
fn plain_names(raw: &mut RawTable) -> Result<()> {
    for i in 0..raw.names.len() {
        let name = &raw.names[i];
        let plain = plain::plain(name);
        if plain == name.as_str() || plain.is_empty() {
            continue;
        }
        let plain = plain.into_owned();
        ensure!(
            !raw.names.contains(&plain),
            "{}: two columns are called {plain:?}, one of them written {name:?}; rename one of them",
            raw.source
        );
        raw.notes.push(format!(
            "the column {name:?} is called {plain:?}: accents in two characters, odd blanks and invisible characters do \
             not count"
        ));
        for (padded, _) in raw.padded.iter_mut().filter(|(padded, _)| padded == name) {
            padded.clone_from(&plain);
        }
        raw.names[i] = plain;
    }
    Ok(())
}

/// The names of the members of the objects that a file begins with, in the order in which they are met.
fn member_names(start: &[u8], source: &str) -> Result<Vec<String>> {
    let end = memchr::memrchr(b'\n', start).unwrap_or(start.len());
    let block = Block::new(start[..end].to_vec(), 1);
    let mut names: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for (line, bytes) in lines(&block) {
        let Members(members) = serde_json::from_slice(bytes).with_context(|| {
            format!("{source} line {line}: not a JSON object; NDJSON to learn from has one object a line")
        })?;
        for (name, _) in members {
            if known.insert(name.to_string()) {
                names.push(name.into_owned());
            }
        }
    }
    ensure!(!names.is_empty(), "{source} has no members to learn from");
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file
    }

    fn load(texts: &[&str], reading: &Reading, block_bytes: usize, n_threads: usize) -> Result<RawTable> {
        let files: Vec<_> = texts.iter().map(|text| file(text)).collect();
        let paths: Vec<String> = files.iter().map(|file| file.path().to_str().unwrap().to_string()).collect();
        load_paths(&paths, reading, block_bytes, n_threads, &|| false)
    }

    fn load_paths(
        paths: &[String],
        reading: &Reading,
        block_bytes: usize,
        n_threads: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<RawTable> {
        Load { options: &Options::default(), reading, block_bytes, n_threads, stopped }.files(paths)
    }

    /// Every cell of a table, by row, as text.
    fn cells(raw: &RawTable) -> Vec<String> {
        let nulls = NullTokens::default();
        let row = |row: usize| {
            let cell = |column: &RawColumn| match column.cell(row, &nulls) {
                Cell::Missing => "-".to_string(),
                Cell::Text(text) => format!("{text:?}"),
                Cell::Number(value) => value.to_string(),
                Cell::Boolean(value) => value.to_string(),
            };
            raw.columns.iter().map(cell).collect::<Vec<_>>().join(" ")
        };
        (0..raw.n_rows()).map(row).collect()
    }

    #[test]
    fn a_table_is_the_same_whatever_the_blocks_and_the_threads() {
        let mut text = String::from("n,level,odd,text\n");
        for i in 0..4000 {
            let odd = if i == 3990 { "many".into() } else { format!("0{i}") };
            text += &format!("{}.5,l{},{odd},\"text {i},\n{i}\"\n", i * 3, i % 4);
        }
        let whole = load(&[&text], &Reading::default(), BLOCK_BYTES, 1).unwrap();
        assert!(matches!(whole.columns[0], RawColumn::Numbers { .. }));
        assert!(
            matches!(whole.columns[2], RawColumn::Levels { .. }),
            "a text behind the sample makes a column of texts"
        );
        assert_eq!(cells(&whole)[3990], "11970.5 \"l2\" \"many\" \"text 3990,\\n3990\"");
        for (block_bytes, n_threads) in [(1000, 1), (5000, 2), (3333, 5)] {
            let blocks = load(&[&text], &Reading::default(), block_bytes, n_threads).unwrap();
            assert_eq!(cells(&blocks), cells(&whole));
            assert_eq!((&blocks.lines, &blocks.files[0].sha256), (&whole.lines, &whole.files[0].sha256));
        }
    }

    #[test]
    fn files_of_one_header_are_one_table_and_rows_keep_their_files() {
        let raw = load(&["a,b\n1,x\n", "a,b\n\n2,y\n"], &Reading::default(), BLOCK_BYTES, 2).unwrap();
        assert_eq!(cells(&raw), ["1 \"x\"", "2 \"y\""]);
        assert_eq!((raw.lines.get(0), raw.lines.get(1)), ((2, 0), (3, 1)));
        let refused =
            |texts: &[&str]| load(texts, &Reading::default(), BLOCK_BYTES, 1).unwrap_err().to_string();
        assert!(refused(&["a,b\n1,2\n", "a,c\n1,2\n"]).contains("column 2 is \"c\""));
        assert!(refused(&["a,b\n1,2\n", "a\n1\n"]).contains("has 1 columns"));
        assert!(refused(&["a,b\n1,2\n", "{\"a\":1}\n"]).contains("written alike"));
        assert!(refused(&["a,b\n"]).contains("no rows"));
        assert!(refused(&["a,b\n1,2\n3\n"]).contains("line 3: 1 field where"));
    }

    #[test]
    fn a_column_whose_text_is_needed_keeps_it_and_padded_numbers_are_named() {
        let text = "zip,n\n01234,1\n20095,2\n";
        let raw = load(&[text], &Reading::default(), BLOCK_BYTES, 1).unwrap();
        assert_eq!((cells(&raw)[0].as_str(), raw.padded), ("1234 1", vec![("zip".into(), "01234".into())]));
        let texts = BTreeSet::from(["zip".to_string()]);
        let reading = Reading { texts, last_is_text: true, ..Reading::default() };
        let raw = load(&[text], &reading, BLOCK_BYTES, 1).unwrap();
        assert_eq!(cells(&raw)[0], "\"01234\" \"1\"");
    }

    #[test]
    fn objects_are_rows_and_a_late_member_is_a_column_before_the_last() {
        let mut text = "{\"a\":1,\"y\":\"u\"}\n".repeat(30_000);
        text += "{\"y\":\"v\",\"late\":2}\n";
        let raw = load(&[&text], &Reading::default(), 4096, 2).unwrap();
        assert_eq!(raw.names, ["a", "late", "y"]);
        let rows = cells(&raw);
        assert_eq!((rows[0].as_str(), rows[30_000].as_str()), ("1 - \"u\"", "- \"2\" \"v\""));
        let twice = load(&["{\"a\":1,\"a\":2}\n"], &Reading::default(), 100, 1).unwrap_err().to_string();
        assert!(twice.contains("line 1: the member \"a\" is given twice"), "{twice}");
    }

    /// Rows of four bytes in more blocks than two.
    const ROWS: usize = BLOCK_BYTES;

    /// Loads a file of which another takes the place during the first reading, which has it open.
    fn load_replaced(first: &str, second: &str) -> Result<RawTable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        std::fs::write(&path, first).unwrap();
        let n_asked = std::cell::Cell::new(0);
        let replace = || {
            n_asked.set(n_asked.get() + 1);
            if n_asked.get() == 1 {
                // A new file, as editors and jobs write it; the open one stays as it was.
                std::fs::write(folder.path().join("new"), second).unwrap();
                std::fs::rename(folder.path().join("new"), &path).unwrap();
            }
            false
        };
        let loaded = load_paths(&[path.to_str().unwrap().into()], &Reading::default(), 4096, 1, &replace);
        assert!(n_asked.get() > 0);
        loaded
    }

    #[test]
    fn a_file_that_another_takes_the_place_of_between_the_two_readings_is_an_error() {
        let csv = |cell: &str| "a,b\n".to_string() + &"1,2\n".repeat(ROWS) + cell + ",3\n";
        let json = |member: &str| "{\"a\":1,\"b\":2}\n".repeat(30_000) + "{\"a\":" + member + ",\"b\":3}\n";
        assert!(load_replaced(&csv("five"), &csv("five")).is_ok(), "the same bytes");
        for (first, second) in [
            (csv("five"), csv("four")),
            (csv("five"), csv("five") + "6,7\n"),
            (csv("five"), "a,c\n1,2\n".into()),
            (csv("five"), "a,b\n1,2,3\n".into()),
            (csv("five"), json("\"five\"")),
            (json("\"five\""), json("\"five\",\"new\":1")),
            (json("\"five\""), json("\"four\"")),
            (json("\"five\""), "no rows\n".into()),
        ] {
            let loaded = load_replaced(&first, &second);
            let message = loaded.err().map_or("no error".into(), |error| format!("{error:#}"));
            let end = &second[second.len().saturating_sub(50)..];
            assert!(message.contains("has changed while it was read"), "{end}: {message}");
        }
    }

    #[test]
    fn reading_stops_soon_after_it_is_asked_to() {
        let file = file(&("a,b\n".to_string() + &"1,2\n".repeat(ROWS)));
        let path = [file.path().to_str().unwrap().to_string()];
        for n_threads in [1, 3] {
            let n_asked = std::cell::Cell::new(0);
            let stopped = || {
                n_asked.set(n_asked.get() + 1);
                n_asked.get() > 2
            };
            let error = load_paths(&path, &Reading::default(), 4096, n_threads, &stopped).err().unwrap();
            assert!(error.is::<Interrupted>() && n_asked.get() == 3, "{error}");
        }
    }

    #[test]
    fn infinite_cells_of_a_column_of_numbers_are_listed() {
        let raw = load(&["a,b\n1,2\ninf,3\n"], &Reading::default(), BLOCK_BYTES, 1).unwrap();
        let RawColumn::Numbers { infinite, .. } = &raw.columns[0] else { panic!("not a column of numbers") };
        assert_eq!(infinite, &[(1, "inf".to_string())]);
    }
}
