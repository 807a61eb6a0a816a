//! The columns of one block of text, as one thread reads them, and how they are appended to those of the whole table.
//!
//! Called by [`super::load`] alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::blocks::Block;
use super::csv::{not_utf8, ragged};
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::interner::Interner;
use super::ndjson::{LateFault, LateMembers, Members, cell_text, lines, too_many_late};
use super::remarks::Remarks;
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
    pub(super) fn delimited(
        dialect: Dialect,
        kinds: &[Kind],
        nulls: &NullTokens,
        remarks: Arc<Remarks>,
    ) -> Self {
        let want = |kind: &Kind| match kind {
            Kind::Numbers if !nulls.may_be_numbers() => Want::Number,
            Kind::Nothing => Want::Nothing,
            _ => Want::Text,
        };
        let wants = kinds.iter().map(want).collect();
        Self::Delimited { walk: Walk { dialect, wants, places: false, remarks: Some(remarks) } }
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
        let dialect = match self {
            Self::Delimited { walk } => walk.dialect,
            Self::Ndjson => Dialect::default(),
        };
        let (bytes, mark) = (&block.bytes[..], raw.decimal_mark());
        let mut builder = Builder { chunk, nulls, raw, mark, bytes, dialect };
        match self {
            Self::Delimited { walk } => walk.through(block, &mut builder),
            Self::Ndjson => builder.json_lines(block, kinds),
        }
    }
}

/// The form in which a column is read.
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
    /// The words, other than none, that were read as missing values in columns of numbers.
    pub(super) null_words: BTreeSet<String>,
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
        self.null_words.clear();
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

/// Adds the fields that a walk finds to a chunk.
struct Builder<'a> {
    chunk: &'a mut Chunk,
    nulls: &'a NullTokens,
    raw: &'a RawTable,
    mark: u8,
    /// The text of the block, and how it is written.
    bytes: &'a [u8],
    dialect: Dialect,
}

impl Builder<'_> {
    fn cell(&mut self, column: usize, text: &str) {
        let row = self.chunk.lines.len();
        match &mut self.chunk.columns[column] {
            ChunkColumn::Numbers { values, infinite } => {
                let Cell::Text(text) = self.nulls.of(&self.raw.names[column]).cell(text) else {
                    let word = text.trim();
                    if !word.is_empty() && !self.chunk.null_words.contains(word) {
                        self.chunk.null_words.insert(word.into());
                    }
                    return values.push(f64::NAN);
                };
                let found = number::parse(text, self.mark);
                values.push(found.unwrap_or(f64::NAN));
                // Of a whole number that was rounded the text is needed as well.
                match found.filter(|value| !number::is_rounded(text, *value)) {
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
                let added = match column {
                    Some(column) if std::mem::replace(&mut given[column], n + 1) > n => Err(LateFault::Twice),
                    Some(_) => Ok(()),
                    None => self.chunk.late.push(name, n, &text),
                };
                if let Err(fault) = added {
                    return self.fail(match fault {
                        LateFault::Twice => {
                            format!("{source} line {line}: the member {name:?} is given twice")
                        }
                        LateFault::TooMany => format!("{source} {}", too_many_late(name)),
                    });
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
            let n_columns = self.raw.names.len();
            self.fail(ragged(&self.raw.source, &record, n_columns, self.bytes, self.dialect));
        }
        self.chunk.lines.push(record.line, 0);
        self.chunk.failure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 4] = [Kind::Numbers, Kind::Levels, Kind::Texts, Kind::Nothing];

    fn table(n_columns: usize) -> RawTable {
        RawTable {
            source: "t.csv".into(),
            names: ["a", "b", "c", "d"][..n_columns].iter().map(|name| name.to_string()).collect(),
            ..RawTable::default()
        }
    }

    fn read_into(form: &Form, kinds: &[Kind], nulls: &NullTokens, text: &str, chunk: &mut Chunk) {
        let block = Block::new(text.as_bytes().to_vec(), 2);
        form.read(&block, kinds, &table(kinds.len()), nulls, chunk);
    }

    fn delimited(kinds: &[Kind], nulls: &NullTokens, text: &str) -> Chunk {
        let mut chunk = Chunk::default();
        read_into(
            &Form::delimited(Dialect::default(), kinds, nulls, Arc::default()),
            kinds,
            nulls,
            text,
            &mut chunk,
        );
        chunk
    }

    fn ndjson(text: &str) -> Chunk {
        let mut chunk = Chunk::default();
        read_into(&Form::Ndjson, &KINDS[..2], &NullTokens::default(), text, &mut chunk);
        chunk
    }

    fn failure(chunk: &Chunk) -> String {
        chunk.failure.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The cells of a chunk's column after it was appended to an empty one, with the levels it has by then.
    fn cells(kind: Kind, chunks: Vec<Chunk>, column: usize) -> (Vec<String>, RawColumn) {
        let (mut whole, mut global) = (kind.column(), Some(Interner::default()));
        let mut before = 0;
        for mut chunk in chunks {
            append(&mut whole, &mut chunk.columns[column], &mut global, before);
            before += chunk.lines.len();
        }
        if let (RawColumn::Levels { levels, .. }, Some(global)) = (&mut whole, global) {
            *levels = global.into_strings();
        }
        let none = NullTokens::default();
        let text = |cell: Cell| match cell {
            Cell::Text(text) => text.to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Missing => "missing".into(),
            Cell::Boolean(value) => value.to_string(),
        };
        let cells = whole.cells(&none).map(text).collect();
        (cells, whole)
    }

    #[test]
    fn each_kind_of_column_keeps_its_cells_and_their_lines() {
        let text = "1.5,x,one,z\n,y,two,\n\n-2,x,,w\n";
        let read = || vec![delimited(&KINDS, &NullTokens::default(), text)];
        assert_eq!(cells(Kind::Numbers, read(), 0).0, ["1.5", "missing", "-2"]);
        assert_eq!(cells(Kind::Levels, read(), 1).0, ["x", "y", "x"]);
        assert_eq!(cells(Kind::Texts, read(), 2).0, ["one", "two", "missing"]);
        assert!(cells(Kind::Nothing, read(), 3).0.is_empty(), "not kept");
        let chunk = &read()[0];
        assert_eq!([0, 1, 2].map(|row| chunk.lines.get(row).0), [2, 3, 5], "the blank line counts");
        assert!(chunk.failure.is_none());
    }

    #[test]
    fn levels_have_the_same_codes_in_every_chunk() {
        let nulls = NullTokens::default();
        let chunks =
            ["red\nblue\n", "green\nred\n", "blue\n"].map(|text| delimited(&[Kind::Levels], &nulls, text));
        let (found, column) = cells(Kind::Levels, chunks.into(), 0);
        assert_eq!(found, ["red", "blue", "green", "red", "blue"]);
        assert!(matches!(column, RawColumn::Levels { codes, .. } if codes == [0, 1, 2, 0, 1]));
    }

    #[test]
    fn a_text_among_numbers_marks_its_column_and_an_infinite_cell_keeps_its_row() {
        let nulls = NullTokens::default();
        let read = |text: &str| delimited(&[Kind::Numbers], &nulls, text);
        let (_, sound) = cells(Kind::Numbers, vec![read("1\nNA\n"), read("2\ninf\n")], 0);
        assert!(!is_doubtful(&sound));
        assert!(
            matches!(&sound, RawColumn::Numbers { infinite, .. } if *infinite == [(3, "inf".to_string())])
        );
        // Once in a chunk, once in the whole column, and even if the list of infinite cells is full.
        let full = "inf\n".repeat(2 * LISTED);
        let (_, doubtful) = cells(Kind::Numbers, vec![read(&full), read("x\ny\n"), read("1\nz\n")], 0);
        assert!(is_doubtful(&doubtful));
        assert!(matches!(&doubtful, RawColumn::Numbers { infinite, values }
            if infinite.len() == LISTED + 1 && values.len() == 2 * LISTED + 4));
    }

    #[test]
    fn a_token_that_is_a_number_is_missing_and_other_numbers_are_not() {
        let nulls = NullTokens::with(vec!["-999".into()]);
        let read = vec![delimited(&[Kind::Numbers], &nulls, "1\n-999\n-99\n")];
        assert_eq!(cells(Kind::Numbers, read, 0).0, ["1", "missing", "-99"]);
    }

    #[test]
    fn a_record_of_another_length_is_a_failure_with_its_line_and_ends_the_chunk() {
        let chunk = delimited(&KINDS[..2], &NullTokens::default(), "1,x\n2\n3,x,y\n");
        let failure = failure(&chunk);
        assert!(failure.contains("t.csv") && failure.contains("line 3"), "{failure}");
        assert!(chunk.lines.len() < 3);
    }

    #[test]
    fn a_cell_that_is_not_utf8_names_its_column_and_line() {
        let mut chunk = Chunk::default();
        let nulls = NullTokens::default();
        let kinds = &KINDS[..3];
        let block = Block::new(b"1,x,y\n2,x,\xff\n".to_vec(), 2);
        Form::delimited(Dialect::default(), kinds, &nulls, Arc::default()).read(
            &block,
            kinds,
            &table(3),
            &nulls,
            &mut chunk,
        );
        let failure = failure(&chunk);
        assert!(failure.contains("\"c\"") && failure.contains('3'), "{failure}");
    }

    #[test]
    fn a_chunk_that_is_used_again_holds_nothing_of_the_block_before() {
        let nulls = NullTokens::default();
        let form = Form::delimited(Dialect::default(), &KINDS, &nulls, Arc::default());
        let mut chunk = Chunk::default();
        read_into(&form, &KINDS, &nulls, "x,p,q,r\n1,2\n", &mut chunk);
        assert!(chunk.failure.is_some());
        read_into(&form, &KINDS, &nulls, "7,new,text,r\n", &mut chunk);
        assert!(chunk.failure.is_none() && chunk.lines.len() == 1);
        let ChunkColumn::Levels { codes, levels } = &chunk.columns[1] else { panic!("not levels") };
        assert_eq!((codes.as_slice(), levels.strings().len()), (&[0][..], 1));
        let ChunkColumn::Numbers { values, infinite } = &chunk.columns[0] else { panic!("not numbers") };
        assert_eq!((values.as_slice(), infinite.len()), (&[7.0][..], 0));
    }

    #[test]
    fn members_go_to_their_columns_in_any_order_and_those_not_given_are_missing() {
        let text = "{\"a\":1,\"b\":\"x\"}\n\n{\"b\":\"y\",\"a\":2.5}\n{\"b\":null}\n{\"a\":3,\"new\":true}\n";
        assert_eq!(cells(Kind::Numbers, vec![ndjson(text)], 0).0, ["1", "2.5", "missing", "3"]);
        assert_eq!(cells(Kind::Levels, vec![ndjson(text)], 1).0, ["x", "y", "missing", "missing"]);
        let mut chunk = ndjson(text);
        assert_eq!((0..4).map(|row| chunk.lines.get(row).0).collect::<Vec<_>>(), [2, 4, 5, 6]);
        assert_eq!(
            chunk.late.push("new", 3, "again"),
            Err(LateFault::Twice),
            "a member without a column is kept with its row"
        );
    }

    #[test]
    fn a_line_of_many_new_members_ends_its_block_before_it_holds_them_all() {
        let members: Vec<String> = (0..5000).map(|i| format!("\"k{i}\":1")).collect();
        let mut chunk = ndjson(&format!("{{\"a\":1}}\n{{{}}}\n", members.join(",")));
        let failure = failure(&chunk);
        assert!(failure.contains("more than 1000 members") && failure.contains("\"k1000\""), "{failure}");
        assert_eq!(chunk.late.push("another", 9, "1"), Err(LateFault::TooMany));
    }

    #[test]
    fn a_json_line_that_is_no_row_is_a_failure_with_its_line() {
        for (line, wanted) in [
            ("[1]", "not a JSON object"),
            ("{\"a\":1", "not a JSON object"),
            ("{\"a\":1,\"b\":2,\"a\":3}", "\"a\" is given twice"),
            ("{\"new\":1,\"new\":2}", "\"new\" is given twice"),
            ("{\"a\":[[1]]}", "\"a\": an array or an object"),
            ("{\"a\":{}}", "\"a\": an array or an object"),
        ] {
            let failure = failure(&ndjson(&format!("{{\"a\":1}}\n{line}\n")));
            assert!(failure.contains("t.csv line 3") && failure.contains(wanted), "{line}: {failure}");
        }
    }
}
