//! The columns of one block of text, as one thread reads them, and how they are appended to those of the whole table.
//!
//! Called by [`super::load`] alone.

use std::collections::HashMap;

use super::blocks::Block;
use super::csv::{not_utf8, ragged};
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::interner::Interner;
use super::ndjson::{LateMembers, Members, cell_text, lines};
use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::number;
use crate::data::cells::raw_table::{Lines, RawColumn, RawTable};
use crate::data::cells::text::Texts;

/// The form of the text in the blocks.
pub(super) enum Form {
    /// Delimited text.
    Delimited { walk: Walk },
    /// One JSON object a line.
    Ndjson,
}

impl Form {
    /// Delimited text of columns that are read as `kinds`.
    pub(super) fn delimited(dialect: Dialect, kinds: &[Kind], nulls: &NullTokens) -> Self {
        let want = |kind: &Kind| match kind {
            Kind::Numbers if !nulls.may_be_numbers() => Want::Number,
            Kind::Nothing => Want::Nothing,
            _ => Want::Text,
        };
        Self::Delimited { walk: Walk { dialect, wants: kinds.iter().map(want).collect(), places: false } }
    }

    /// Reads one block into `chunk`. `raw`: the source, names and decimal mark of the table.
    pub(super) fn read(
        &self,
        block: &Block,
        kinds: &[Kind],
        raw: &RawTable,
        nulls: &NullTokens,
        chunk: &mut Chunk,
    ) {
        chunk.start(kinds);
        let mut builder = Builder { chunk, nulls, raw, mark: raw.decimal_mark() };
        match self {
            Self::Delimited { walk } => walk.through(block, &mut builder),
            Self::Ndjson => builder.json_lines(block, kinds),
        }
    }
}

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers,
    Levels,
    Texts,
    Nothing,
}

impl Kind {
    pub(super) fn column(self) -> RawColumn {
        match self {
            Self::Numbers => RawColumn::Numbers { values: Vec::new(), infinite: Vec::new() },
            Self::Levels => RawColumn::Levels { codes: Vec::new(), levels: Texts::default() },
            Self::Texts | Self::Nothing => RawColumn::Texts(Texts::default()),
        }
    }
}

/// A column of numbers in which a text was met is marked by this row in its list of infinite cells.
const TEXT_MARK: usize = usize::MAX;

pub(super) fn is_doubtful(column: &RawColumn) -> bool {
    matches!(column, RawColumn::Numbers { infinite, .. } if infinite.iter().any(|(row, _)| *row == TEXT_MARK))
}

/// The columns of one block.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) columns: Vec<ChunkColumn>,
    pub(super) late: LateMembers,
    pub(super) lines: Lines,
    pub(super) failure: Option<anyhow::Error>,
}

pub(super) enum ChunkColumn {
    Numbers { values: Vec<f64>, infinite: Vec<(usize, String)> },
    Levels { codes: Vec<u32>, levels: Interner },
    Texts(Texts),
    Nothing,
}

impl Chunk {
    /// Empties the columns and keeps their memory.
    fn start(&mut self, kinds: &[Kind]) {
        self.late.clear();
        self.lines = Lines::default();
        self.failure = None;
        if self.columns.len() != kinds.len() {
            let column = |kind: &Kind| match kind {
                Kind::Numbers => ChunkColumn::Numbers { values: Vec::new(), infinite: Vec::new() },
                Kind::Levels => ChunkColumn::Levels { codes: Vec::new(), levels: Interner::default() },
                Kind::Texts => ChunkColumn::Texts(Texts::default()),
                Kind::Nothing => ChunkColumn::Nothing,
            };
            self.columns = kinds.iter().map(column).collect();
        }
        for column in &mut self.columns {
            match column {
                ChunkColumn::Numbers { values, infinite } => {
                    values.clear();
                    infinite.clear();
                }
                ChunkColumn::Levels { codes, levels } => {
                    codes.clear();
                    levels.clear();
                }
                ChunkColumn::Texts(texts) => texts.clear(),
                ChunkColumn::Nothing => {}
            }
        }
    }
}

/// At most so many infinite cells of a column are listed.
const LISTED: usize = 6;

pub(super) fn append(
    column: &mut RawColumn,
    chunk: &mut ChunkColumn,
    global: &mut Option<Interner>,
    before: usize,
) {
    match (column, chunk) {
        (RawColumn::Numbers { values, infinite }, ChunkColumn::Numbers { values: more, infinite: odd }) => {
            values.extend_from_slice(more);
            for (row, text) in odd.drain(..) {
                let row = if row == TEXT_MARK { row } else { before + row };
                if infinite.len() < LISTED || row == TEXT_MARK && !infinite.iter().any(|o| o.0 == row) {
                    infinite.push((row, text));
                }
            }
        }
        (RawColumn::Levels { codes, .. }, ChunkColumn::Levels { codes: more, levels }) => {
            if let Some(global) = global {
                let code_of: Vec<u32> = levels.strings().iter().map(|text| global.code(text)).collect();
                codes.extend(more.iter().map(|&code| code_of[code as usize]));
            }
        }
        (RawColumn::Texts(texts), ChunkColumn::Texts(more)) => texts.append(more),
        _ => {}
    }
}

/// Puts what a walk finds into a chunk.
struct Builder<'a> {
    chunk: &'a mut Chunk,
    nulls: &'a NullTokens,
    raw: &'a RawTable,
    mark: u8,
}

impl Builder<'_> {
    fn cell(&mut self, column: usize, text: &str) {
        let row = self.chunk.lines.len();
        match &mut self.chunk.columns[column] {
            ChunkColumn::Numbers { values, infinite } => {
                let Cell::Text(text) = self.nulls.cell(text) else {
                    return values.push(f64::NAN);
                };
                let found = number::parse(text, self.mark);
                values.push(found.unwrap_or(f64::NAN));
                match found {
                    None if infinite.iter().all(|odd| odd.0 != TEXT_MARK) => {
                        infinite.push((TEXT_MARK, String::new()));
                    }
                    Some(value) if value.is_infinite() && infinite.len() < LISTED => {
                        infinite.push((row, text.into()));
                    }
                    _ => {}
                }
            }
            ChunkColumn::Levels { codes, levels } => codes.push(levels.code(text.trim())),
            ChunkColumn::Texts(texts) => {
                texts.push(text);
            }
            ChunkColumn::Nothing => {}
        }
    }

    fn fail(&mut self, message: String) {
        self.chunk.failure.get_or_insert_with(|| anyhow::anyhow!(message));
    }

    fn json_lines(&mut self, block: &Block, kinds: &[Kind]) {
        let names: HashMap<&str, usize> = self.raw.names.iter().map(String::as_str).zip(0..).collect();
        let mut given = vec![0; kinds.len()];
        for (n, (line, bytes)) in lines(block).enumerate() {
            let source = &self.raw.source;
            let members: Members = match serde_json::from_slice(bytes) {
                Ok(members) => members,
                Err(error) => {
                    let message = format!("{source} line {line}: not a JSON object: {error}");
                    return self.fail(message);
                }
            };
            for (place, (name, value)) in members.0.iter().enumerate() {
                let column = match self.raw.names.get(place) {
                    Some(known) if known == name => Some(place),
                    _ => names.get(name.as_ref()).copied(),
                };
                let text = match cell_text(value) {
                    Ok(text) => text,
                    Err(detail) => {
                        return self.fail(format!("{source} line {line}, member {name:?}: {detail}"));
                    }
                };
                let is_first = match column {
                    Some(column) => std::mem::replace(&mut given[column], n + 1) <= n,
                    None => self.chunk.late.push(name, n, &text),
                };
                if !is_first {
                    return self.fail(format!("{source} line {line}: the member {name:?} is given twice"));
                }
                // A JSON number has a dot, whatever the file's decimals.
                if let Some(column) = column {
                    self.cell(column, &text);
                }
            }
            let missing = given.iter().enumerate().filter(|(_, last)| **last <= n);
            missing.for_each(|(column, _)| self.cell(column, ""));
            self.chunk.lines.push(line, 0);
        }
    }
}

/// Whether a text certainly has no white space around it.
#[inline]
fn is_trimmed(text: &[u8]) -> bool {
    let is_ascii_graphic = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    is_ascii_graphic(text.first()) && is_ascii_graphic(text.last())
}

impl Visitor for Builder<'_> {
    #[inline]
    fn number(&mut self, column: usize, value: f64) {
        if let ChunkColumn::Numbers { values, .. } = &mut self.chunk.columns[column] {
            values.push(value);
        }
    }

    #[inline]
    fn text(&mut self, column: usize, text: &[u8], line: u64) {
        if let ChunkColumn::Levels { codes, levels } = &mut self.chunk.columns[column]
            && is_trimmed(text)
            && let Some(code) = levels.code_of_bytes(text)
        {
            return codes.push(code);
        }
        match std::str::from_utf8(text) {
            Ok(text) => self.cell(column, text),
            Err(_) => {
                let place = format!("column {:?}", self.raw.names[column]);
                self.fail(not_utf8(&self.raw.source, line, &place));
            }
        }
    }

    fn end(&mut self, record: Record) -> bool {
        if record.n_fields != self.raw.names.len() || record.open {
            self.fail(ragged(&self.raw.source, &record, self.raw.names.len()));
        }
        self.chunk.lines.push(record.line, 0);
        self.chunk.failure.is_none()
    }
}
