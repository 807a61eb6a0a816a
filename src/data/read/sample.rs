//! The beginning of a file, and what it says about the way each column is to be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;

use super::blocks::{Block, Blocks, Cut};
use super::chunk::{Chunk, ChunkColumn, Form, Kind};
use super::csv::Records;
use super::decimal_mark::{Poll, may_be_guessed};
use super::fields::{Dialect, Record, Visitor, Walk};
use super::interner::Interner;
use crate::data::cells::amount::Choice;
use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::number;
use crate::data::cells::raw_table::RawTable;
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

/// The rows of a table that its first file begins with, every column as levels.
pub(super) struct Sample<'a> {
    chunk: Chunk,
    raw: &'a RawTable,
    reading: &'a Reading,
}

impl<'a> Sample<'a> {
    /// Of a table that is not read yet.
    fn empty(raw: &'a RawTable, reading: &'a Reading) -> Self {
        Self { chunk: Chunk::default(), raw, reading }
    }

    /// Of delimited text.
    pub(super) fn of_records(records: &Records, raw: &'a RawTable, reading: &'a Reading) -> Result<Self> {
        const BYTES: usize = 64 * 1024;
        let (dialect, start) = (records.dialect(), records.sample());
        let cut = Cut::Records { delimiter: dialect.delimiter, quote: dialect.quote };
        let start = start[..start.len().min(BYTES)].to_vec();
        let mut blocks = Blocks::new("", start, std::io::empty(), cut, BYTES, true);
        let mut block = blocks.next(Vec::new())?.unwrap_or_default();
        if records.has_header() {
            skip_record(&mut block, dialect);
        }
        let kinds = vec![Kind::Levels; raw.names.len()];
        let remarks = Arc::new(records.remarks().again());
        let form = Form::delimited(dialect, &kinds, &reading.nulls, remarks);
        Ok(Self::empty(raw, reading).read(&form, &block, &kinds))
    }

    /// Of lines of JSON, of which these are the first.
    pub(super) fn of_lines(start: &[u8], raw: &'a RawTable, reading: &'a Reading) -> Self {
        let end = memchr::memrchr(b'\n', start).unwrap_or(start.len());
        let kinds = vec![Kind::Levels; raw.names.len()];
        Self::empty(raw, reading).read(&Form::Ndjson, &Block::new(start[..end].to_vec(), 1), &kinds)
    }

    fn read(mut self, form: &Form, block: &Block, kinds: &[Kind]) -> Self {
        form.read(block, kinds, self.raw, &self.reading.nulls, &mut self.chunk);
        // An error is found and reported again when the file is read.
        self.chunk.failure = None;
        self
    }

    /// Whether the numbers of a column can be read in two ways, so that those behind the sample may say in which.
    fn is_guess(&self, levels: &Interner, nulls: &NullTokens) -> bool {
        may_be_guessed(self.raw)
            && matches!(poll(levels, nulls).choice(self.raw.delimiter), Some((Choice::Guess(_), _)))
    }

    /// Its cells, for questions that the whole table may raise.
    pub(super) fn into_cells(self) -> SampleCells {
        SampleCells(self.chunk)
    }

    /// The form in which each column is to be read.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let raw = self.raw;
        let mark = raw.decimal_mark();
        // Delimiters at the ends of lines make no column.
        let has_values = |column: &ChunkColumn| match column {
            ChunkColumn::Levels { levels, .. } => {
                levels.strings().iter().any(|text| self.reading.nulls.cell(text) != Cell::Missing)
            }
            _ => true,
        };
        let last = raw.names.iter().zip(&self.chunk.columns).rfind(|(_, column)| has_values(column));
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
            if !as_text && levels.strings().iter().all(is_number) && !self.is_guess(levels, nulls) {
                return Kind::Numbers;
            }
            let (n_levels, n_rows) = (levels.strings().len() as f64, codes.len());
            if n_rows >= MIN_ROWS_FOR_SHARE && n_levels > MAX_LEVEL_SHARE * n_rows as f64 {
                Kind::Texts
            } else {
                Kind::Levels
            }
        };
        raw.names.iter().zip(&self.chunk.columns).map(kind).collect()
    }

    /// Columns of whole numbers some of which begin with zeros, or of which some are written as `1E10` and become the same
    /// as others, each with the first such cell. Only the sample is looked at: the text of numbers is not kept.
    pub(super) fn padded(&self) -> Vec<(String, String)> {
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
        self.raw.names.iter().zip(&self.chunk.columns).filter_map(first).collect()
    }
}

/// The cells of a sample.
#[derive(Default)]
pub(super) struct SampleCells(Chunk);

impl SampleCells {
    /// What those of a column say about its decimal mark.
    pub(super) fn poll(&self, column: usize, nulls: &NullTokens) -> Poll {
        match self.0.columns.get(column) {
            Some(ChunkColumn::Levels { levels, .. }) => poll(levels, nulls),
            _ => Poll::default(),
        }
    }
}

/// What the distinct cells of a column say about its decimal mark.
fn poll(levels: &Interner, nulls: &NullTokens) -> Poll {
    let mut poll = Poll::default();
    for text in levels.strings().iter() {
        if let Cell::Text(text) = nulls.cell(text) {
            poll.look(text, 1);
        }
    }
    poll
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
    Walk { dialect, ..Walk::default() }.through_few(block, &mut skip);
    block.bytes.drain(..skip.0);
}
