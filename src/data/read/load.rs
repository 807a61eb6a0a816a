//! Whole files into a [`RawTable`], block by block on all cores, numbers straight into columns of doubles.
//!
//! The type of a column follows from all of its cells, and the text of numbers is not kept. So a sample says which
//! columns are likely numbers; those are read as numbers, the others as text. If a later cell of a column of numbers
//! turns out to be text, that column alone is read again. The result does not depend on the sample,
//! the size of the blocks, or the number of threads.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};

use super::blocks::{BLOCK_BYTES, Block, Blocks, Cut, in_order};
use super::chunk::{Chunk, Form, Kind, append, is_doubtful};
use super::csv::Records;
use super::decimal_mark::{Poll, Vote, decimals_of, may_be_guessed};
use super::digest::PassingDigest;
use super::interner::Interner;
use super::ndjson::{LateColumns, Members, is_ndjson, lines};
use super::origin::Origin;
pub use super::sample::Reading;
use super::sample::{Sample, SampleCells};
use super::source::Options;
use crate::data::cells::amount::{Choice, Mark};
use crate::data::cells::cell::Cell;
use crate::data::cells::raw_table::{RawColumn, RawTable, ReadFile, source_name};
use crate::error::Interrupted;
use crate::plain;

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
    read_tables_unless(&|_| false, paths, options, reading)
}

/// How far the reading of files is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    /// The number of the file, from 0.
    pub(crate) file: usize,
    /// Bytes of it, compressed as it is; 0 if they are not counted.
    pub(crate) bytes: u64,
    /// Rows of all files so far.
    pub(crate) rows: usize,
}

/// As [`read_tables`], but stops soon after `stopped`, which is told how far it is, says so.
///
/// # Errors
/// Those of [`read_tables`]; [`Interrupted`].
pub(crate) fn read_tables_unless(
    stopped: &dyn Fn(Passed) -> bool,
    paths: &[String],
    options: &Options,
    reading: &Reading,
) -> Result<RawTable> {
    let n_threads = rayon::current_num_threads();
    Load { options, reading, block_bytes: BLOCK_BYTES, n_threads, stopped }.files(paths)
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
    stopped: &'a dyn Fn(Passed) -> bool,
}

impl Load<'_> {
    fn files(&self, paths: &[String]) -> Result<RawTable> {
        let origins: Vec<Origin> = paths.iter().map(|path| Origin::new(path)).collect();
        let (raw, mark) = self.attempt(&origins, true)?;
        let Some(mark) = mark else {
            return Ok(raw);
        };
        // Numbers whose text is gone were read with the mark that the beginning of the file spoke for.
        let files = raw.files;
        drop(raw.columns);
        let options = Options { decimal_comma: Some(mark == Mark::Comma), ..self.options.clone() };
        let (mut raw, _) = Load { options: &options, ..*self }.attempt(&origins, false)?;
        for (before, after) in files.iter().zip(&raw.files) {
            ensure!(before == after, changed(&before.path));
        }
        let name = if mark == Mark::Comma { "comma" } else { "dot" };
        raw.notes.push(format!(
            "numbers have a decimal {name}, as those of all rows together say and those of the first do not, and were read \
             so; --decimal overrides"
        ));
        Ok(raw)
    }

    /// The table, and the decimal mark that it should be read with if that is another. Later attempts keep to theirs.
    fn attempt(&self, origins: &[Origin<'_>], first_time: bool) -> Result<(RawTable, Option<Mark>)> {
        let mut raw = RawTable::default();
        let mut wants = Vec::new();
        let mut cells = SampleCells::default();
        for (number, origin) in origins.iter().enumerate() {
            let opened = self.open(origin, &mut raw, true)?;
            if number == 0 {
                raw.source = source_name(origin.path);
                if origins.len() > 1 {
                    raw.source += &format!(" and {} more", origins.len() - 1);
                }
                raw.decimal_given &= first_time;
                let sample = match &opened {
                    Opened::Delimited(records) => Sample::of_records(records, &raw, self.reading)?,
                    Opened::Ndjson { start, .. } => Sample::of_lines(start, &raw, self.reading),
                };
                wants = sample.kinds();
                let padded = sample.padded();
                cells = sample.into_cells();
                raw.padded = padded;
                raw.columns = wants.iter().map(|want| want.column()).collect();
            }
            let digest = self.read(opened, origin.path, number, &wants, &mut raw)?;
            // Members that were met late are levels from then on.
            let (n_late, last) = (raw.columns.len() - wants.len(), wants.len().saturating_sub(1));
            wants.splice(last..last, vec![Kind::Levels; n_late]);
            raw.files.push(ReadFile { path: origin.path.into(), sha256: digest });
        }
        ensure!(
            !raw.lines.is_empty(),
            "{} has a header and no rows; there is nothing to read",
            source_name(origins.first().map_or("", |origin| origin.path))
        );
        self.read_again(origins, wants, &cells, &mut raw)?;
        let mark = if first_time { self.other_mark(&raw, &cells) } else { None };
        plain_names(&mut raw)?;
        Ok((raw, mark))
    }

    /// The decimal mark that all rows together speak for, if it is not the one of the table; `sample`: the cells
    /// that it begins with.
    fn other_mark(&self, raw: &RawTable, sample: &SampleCells) -> Option<Mark> {
        if raw.ndjson || raw.decimal_given {
            return None;
        }
        let mark = if raw.decimal_comma { Mark::Comma } else { Mark::Dot };
        let is_other = |vote: &Vote| !vote.is_empty() && vote.is_comma() != raw.decimal_comma;
        let columns = || {
            raw.names.iter().zip(&raw.columns).enumerate().map(|(i, (name, column))| {
                let nulls = self.reading.nulls.of(name);
                (column, nulls, move || sample.poll(i, nulls))
            })
        };
        let mut vote = Vote::default();
        for (column, nulls, sampled) in columns() {
            if !matches!(column, RawColumn::Numbers { .. }) && sampled().is_of_numbers() {
                let mut poll = Poll::default();
                column.each_distinct(nulls, |cell, n| {
                    if let Cell::Text(text) = cell {
                        poll.look(text, n);
                    }
                });
                poll.choice(raw.delimiter).into_iter().for_each(|(choice, _)| vote.add(choice));
            }
        }
        if !is_other(&vote) {
            return None;
        }
        // The text of these is gone.
        for (column, _, sampled) in columns() {
            if let RawColumn::Numbers { values, .. } = column {
                let of_values = decimals_of(values, mark);
                let of_sample = sampled().choice(raw.delimiter).map(|(choice, _)| choice);
                vote.add(of_sample.filter(|choice| *choice == Choice::Certain(mark)).unwrap_or(of_values));
            }
        }
        is_other(&vote).then_some(if raw.decimal_comma { Mark::Dot } else { Mark::Comma })
    }

    fn open(&self, origin: &Origin<'_>, raw: &mut RawTable, first_time: bool) -> Result<Opened> {
        let mut input = origin.open(self.options)?;
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

    /// Reads the columns of numbers again that hold text as well, or numbers that can be read in two ways.
    fn read_again(
        &self,
        origins: &[Origin<'_>],
        mut wants: Vec<Kind>,
        sample: &SampleCells,
        raw: &mut RawTable,
    ) -> Result<()> {
        let asks = may_be_guessed(raw);
        let is_guess = |i: usize, column: &RawColumn| {
            asks && sample.poll(i, self.reading.nulls.of(&raw.names[i])).choice(raw.delimiter).is_none()
                && matches!(column, RawColumn::Numbers { values, .. }
                    if matches!(decimals_of(values, Mark::Dot), Choice::Guess(_)))
        };
        let doubtful: Vec<bool> = wants
            .iter()
            .zip(&raw.columns)
            .enumerate()
            .map(|(i, (kind, column))| *kind == Kind::Numbers && (is_doubtful(column) || is_guess(i, column)))
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
            let changed = || changed(origin.path);
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
            let bytes = digest.as_ref().map_or(0, PassingDigest::passed);
            if (self.stopped)(Passed { file, bytes, rows: raw.lines.len() + chunk.lines.len() }) {
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

fn changed(path: &str) -> anyhow::Error {
    anyhow!("{} has changed while it was read; train on a copy that nothing writes to", source_name(path))
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
pub(super) fn member_names(start: &[u8], source: &str) -> Result<Vec<String>> {
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
    use crate::data::cells::cell::{ColumnType, NullTokens};
    use crate::data::cells::table::Column;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file
    }

    fn load(texts: &[&str], reading: &Reading, block_bytes: usize, n_threads: usize) -> Result<RawTable> {
        let files: Vec<_> = texts.iter().map(|text| file(text)).collect();
        let paths: Vec<String> = files.iter().map(|file| file.path().to_str().unwrap().to_string()).collect();
        load_paths(&paths, reading, block_bytes, n_threads, &|_| false)
    }

    fn load_paths(
        paths: &[String],
        reading: &Reading,
        block_bytes: usize,
        n_threads: usize,
        stopped: &dyn Fn(Passed) -> bool,
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
        let replace = |_: Passed| {
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
            let stopped = |_: Passed| {
                n_asked.set(n_asked.get() + 1);
                n_asked.get() > 2
            };
            let error = load_paths(&path, &Reading::default(), 4096, n_threads, &stopped).err().unwrap();
            assert!(error.is::<Interrupted>() && n_asked.get() == 3, "{error}");
        }
    }

    #[test]
    fn the_decimal_mark_is_that_of_all_rows_wherever_they_stand() {
        // Of the columns in 200 kB of rows, the last row alone says how the others are to be read.
        let table = |delimiter: char, row: [&str; 2], last: [&str; 2]| {
            let rows = row.map(|cell| format!("{cell}{delimiter}")).concat() + "some words\n";
            let last = last.map(|cell| format!("{cell}{delimiter}")).concat() + "z\n";
            format!("a{delimiter}b{delimiter}c\n") + &rows.repeat(12_000) + &last
        };
        let values = |raw: &RawTable, index: usize| {
            let column = Column::parse(raw, index, ColumnType::Number, &NullTokens::default());
            let (Column::Number(values) | Column::Written { values, .. }) = column.unwrap() else {
                panic!("no numbers")
            };
            (values[0], values[values.len() - 1])
        };
        for (delimiter, row, last, a, b) in [
            (';', ["1.234", "5"], ["1.234", "2,50"], (1234.0, 1234.0), (5.0, 2.5)),
            (',', ["1.234", "5"], ["1.234", "\"2,50\""], (1234.0, 1234.0), (5.0, 2.5)),
            ('\t', ["1.234", "5"], ["1.234", "2,50"], (1234.0, 1234.0), (5.0, 2.5)),
            (';', ["1,234", "5"], ["1,234", "2.50"], (1234.0, 1234.0), (5.0, 2.5)),
            (';', ["1.234", "5"], ["950", "6"], (1234.0, 950.0), (5.0, 6.0)),
            (';', ["1,250", "5"], ["980", "6"], (1250.0, 980.0), (5.0, 6.0)),
            (';', ["1.25", "5"], ["1.234", "2,50"], (1.25, 1.234), (5.0, 2.5)),
            (',', ["1.234", "5"], ["950", "6"], (1.234, 950.0), (5.0, 6.0)),
        ] {
            let raw = load(&[&table(delimiter, row, last)], &Reading::default(), BLOCK_BYTES, 2).unwrap();
            assert_eq!((values(&raw, 0), values(&raw, 1)), (a, b), "{delimiter} {row:?} {last:?}");
            let first = load(&[&table(delimiter, last, row)], &Reading::default(), BLOCK_BYTES, 2).unwrap();
            let turned = |(first, last): (f64, f64)| (last, first);
            assert_eq!(
                (values(&first, 0), values(&first, 1)),
                (turned(a), turned(b)),
                "{delimiter} {last:?}"
            );
            assert_eq!(first.decimal_comma, raw.decimal_comma);
        }
    }

    #[test]
    fn infinite_cells_of_a_column_of_numbers_are_listed() {
        let raw = load(&["a,b\n1,2\ninf,3\n"], &Reading::default(), BLOCK_BYTES, 1).unwrap();
        let RawColumn::Numbers { infinite, .. } = &raw.columns[0] else { panic!("not a column of numbers") };
        assert_eq!(infinite, &[(1, "inf".to_string())]);
    }
}
