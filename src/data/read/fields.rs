//! Records and their fields: delimited text walked through field by field, numbers read on the way.
//!
//! Fields are those of the `csv` crate: a quote opens at the start of a field and nowhere else, a
//! doubled one within quotes is one quote, text after the closing quote belongs to the field; `\n`, `\r\n` and
//! `\r` end a record, and blank lines are skipped.

use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memchr3};

use super::blocks::{Block, count_lines};
use super::field_ends::Ends;
use super::remarks::Remarks;
use crate::data::cells::number;
use crate::simd::widest;

/// How delimited text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The byte between two fields.
    pub delimiter: u8,
    /// The byte around a field that holds delimiters, line ends or quotes; `None`: no byte is special.
    pub quote: Option<u8>,
    /// The byte before the decimals of a number.
    pub decimal_mark: u8,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), decimal_mark: b'.' }
    }
}

/// The form in which a column is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Numbers; cells that are none, or no plain ones, come as text.
    Number,
    /// Text.
    Text,
    /// Nothing.
    Nothing,
}

/// A record that has been walked through.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its position in the block, without its line end.
    pub place: Range<usize>,
    /// The line it starts on.
    pub line: u64,
    /// The line it ends on.
    pub last_line: u64,
    /// How many fields it has.
    pub n_fields: usize,
    /// Whether its last field has a quote that is never closed.
    pub open: bool,
}

/// Receives the records and fields of a walk.
pub trait Visitor {
    /// A cell of a column of numbers that is a plain finite number.
    fn number(&mut self, column: usize, value: f64);
    /// Any other cell that is wanted, without its quotes.
    fn text(&mut self, column: usize, text: &[u8], line: u64);
    /// The position of a field in the block, with its quotes; only if [`Walk::places`] is set.
    fn place(&mut self, _place: Range<usize>) {}
    /// The end of a record; `false` ends the walk.
    fn end(&mut self, record: Record) -> bool;
}

/// One that is compiled once for all visitors, where few records are walked through.
impl Visitor for &mut dyn Visitor {
    fn number(&mut self, column: usize, value: f64) {
        (**self).number(column, value);
    }

    fn text(&mut self, column: usize, text: &[u8], line: u64) {
        (**self).text(column, text, line);
    }

    fn place(&mut self, place: Range<usize>) {
        (**self).place(place);
    }

    fn end(&mut self, record: Record) -> bool {
        (**self).end(record)
    }
}

/// How to walk.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// How the text is written.
    pub dialect: Dialect,
    /// The form of each column.
    pub wants: Vec<Want>,
    /// Whether the positions of fields are wanted.
    pub places: bool,
    /// Collects what the user should know of the records. Records that it takes for the header are not walked through.
    pub remarks: Option<Arc<Remarks>>,
}

impl Walk {
    /// Goes through few records.
    pub(super) fn through_few(&self, block: &Block, mut visitor: &mut dyn Visitor) {
        self.through(block, &mut visitor);
    }

    /// Goes through the records of a block.
    pub fn through(&self, block: &Block, visitor: &mut impl Visitor) {
        widest!(self.walk(block, visitor));
    }

    #[inline(always)]
    fn walk(&self, block: &Block, visitor: &mut impl Visitor) {
        let bytes = &block.bytes[..];
        let Dialect { delimiter, quote, decimal_mark } = self.dialect;
        let mut scratch = Vec::new();
        let mut ends = Ends::new(bytes, delimiter);
        let first_of_header = self.remarks.as_ref().and_then(|remarks| remarks.first_of_header());
        let (mut at, mut line) = (0, block.line);
        while let Some(start) = self.skip_blank(bytes, &mut at, &mut line) {
            if let Some(header) = first_of_header
                && (bytes[at] == header || !bytes[at].is_ascii_graphic())
                && self.skip_header(bytes, &mut at, &mut line)
            {
                continue;
            }
            let first_line = line;
            let (mut column, mut open) = (0, false);
            loop {
                let want = self.wants.get(column).copied().unwrap_or(Want::Nothing);
                let field = at;
                if quote.is_some() && bytes.get(at) == quote.as_ref() {
                    let plain = plain_quoted(bytes, field, ends.peek(at));
                    if let Some(text) = plain {
                        at = ends.next(at);
                        if want != Want::Nothing {
                            visitor.text(column, text, first_line);
                        }
                    } else {
                        let (closed, has_line_end) = self.quoted(bytes, &mut at, &mut ends, &mut scratch);
                        open = !closed;
                        if has_line_end {
                            let whole = &bytes[field..at];
                            if let Some(remarks) = &self.remarks {
                                remarks.many_lines(whole, (column, self.wants.len()), delimiter, line);
                            }
                            line += count_lines(whole);
                        }
                        if want != Want::Nothing {
                            visitor.text(column, &scratch, first_line);
                        }
                    }
                } else {
                    at = ends.next(at);
                    match want {
                        Want::Number => match number::within(bytes, field, at, decimal_mark) {
                            Some(value) => visitor.number(column, value),
                            None => visitor.text(column, &bytes[field..at], first_line),
                        },
                        Want::Text => visitor.text(column, &bytes[field..at], first_line),
                        Want::Nothing => {}
                    }
                }
                if self.places {
                    visitor.place(field..at);
                }
                column += 1;
                if bytes.get(at) != Some(&delimiter) {
                    break;
                }
                at += 1;
            }
            let place = start..at;
            let record = Record { place, line: first_line, last_line: line, n_fields: column, open };
            if !visitor.end(record) {
                return;
            }
            at = line_end(bytes, at);
            line += 1;
        }
    }

    /// Moves over a record that is the header again; whether there was one.
    #[inline(never)]
    fn skip_header(&self, bytes: &[u8], at: &mut usize, line: &mut u64) -> bool {
        let Some(remarks) = &self.remarks else {
            return false;
        };
        let Some(length) = remarks.repeated_header(&bytes[*at..]) else {
            return false;
        };
        remarks.repeats_header(*line);
        let end = line_end(bytes, *at + length);
        *line += count_lines(&bytes[*at..end]);
        *at = end;
        true
    }

    /// Moves over blank lines, those with white space alone included; the start of the next record.
    fn skip_blank(&self, bytes: &[u8], at: &mut usize, line: &mut u64) -> Option<usize> {
        loop {
            match *bytes.get(*at)? {
                b'\n' | b'\r' => {
                    *at = line_end(bytes, *at);
                    *line += 1;
                }
                first if first.is_ascii_whitespace() || Some(first) == self.dialect.quote => {
                    let Some(end) = self.blank_record(bytes, *at) else {
                        return Some(*at);
                    };
                    *line += count_lines(&bytes[*at..end]);
                    *at = end;
                }
                _ => return Some(*at),
            }
        }
    }

    /// The end of a record that is one field of white space.
    fn blank_record(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let delimiter = self.dialect.delimiter;
        if Some(bytes[at]) != self.dialect.quote {
            let end = memchr3(delimiter, b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |n| at + n);
            let blank = bytes[at..end].iter().all(u8::is_ascii_whitespace);
            return (blank && bytes.get(end) != Some(&delimiter)).then(|| line_end(bytes, end));
        }
        let next = *bytes.get(at + 1)?;
        if !next.is_ascii_whitespace() && next != bytes[at] {
            return None;
        }
        let mut text = Vec::new();
        let mut end = at;
        let (closed, _) = self.quoted(bytes, &mut end, &mut Ends::new(bytes, delimiter), &mut text);
        let blank = closed && text.iter().all(u8::is_ascii_whitespace);
        (blank && bytes.get(end) != Some(&delimiter)).then(|| line_end(bytes, end))
    }

    /// Reads the quoted field at `at` into `text` and goes to its end; whether its quote is closed, and whether a line
    /// ends within it.
    fn quoted(&self, bytes: &[u8], at: &mut usize, ends: &mut Ends<'_>, text: &mut Vec<u8>) -> (bool, bool) {
        let quote = bytes[*at];
        *at += 1;
        text.clear();
        loop {
            let Some(n) = memchr(quote, &bytes[*at..]) else {
                text.extend_from_slice(&bytes[*at..]);
                *at = bytes.len();
                return (false, ends.skip_lines(*at));
            };
            text.extend_from_slice(&bytes[*at..*at + n]);
            *at += n + 1;
            if bytes.get(*at) != Some(&quote) {
                break;
            }
            text.push(quote);
            *at += 1;
        }
        let has_line_end = ends.skip_lines(*at);
        let end = ends.next(*at);
        text.extend_from_slice(&bytes[*at..end]);
        *at = end;
        (true, has_line_end)
    }
}

/// The text of a field that opens with a quote at `field`, if it has no other but one before the first `end`.
#[inline(always)]
fn plain_quoted(bytes: &[u8], field: usize, end: usize) -> Option<&[u8]> {
    let (quote, text) = bytes[field..end].split_first()?;
    let (last, text) = text.split_last()?;
    (last == quote && memchr(*quote, text).is_none()).then_some(text)
}

/// The place after a line end.
fn line_end(bytes: &[u8], at: usize) -> usize {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => at + 2,
        (Some(_), _) => at + 1,
        (None, _) => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::blocks::{Blocks, Cut};
    use proptest::prelude::*;

    #[derive(Default)]
    struct Collect {
        fields: Vec<Vec<u8>>,
        records: Vec<(u64, Vec<Vec<u8>>)>,
        open: bool,
    }

    impl Visitor for Collect {
        fn number(&mut self, _column: usize, value: f64) {
            self.fields.push(value.to_string().into_bytes());
        }

        fn text(&mut self, _column: usize, text: &[u8], _line: u64) {
            self.fields.push(text.to_vec());
        }

        fn end(&mut self, record: Record) -> bool {
            assert_eq!(record.n_fields, self.fields.len());
            self.open = record.open;
            self.records.push((record.line, std::mem::take(&mut self.fields)));
            true
        }
    }

    fn walked(text: &[u8], dialect: Dialect, size: usize) -> Vec<(u64, Vec<Vec<u8>>)> {
        let cut = Cut::Records { delimiter: dialect.delimiter, quote: dialect.quote };
        let mut blocks = Blocks::new("t.csv", Vec::new(), text, cut, size, false);
        let walk = Walk { dialect, wants: vec![Want::Text; text.len() + 1], ..Walk::default() };
        let mut found = Collect::default();
        while let Some(block) = blocks.next(Vec::new()).unwrap() {
            walk.through(&block, &mut found);
        }
        found.records
    }

    /// The records of the csv crate, blank ones skipped.
    fn by_the_csv_crate(text: &[u8], dialect: Dialect) -> Vec<Vec<Vec<u8>>> {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(dialect.delimiter);
        match dialect.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let mut reader = builder.from_reader(text);
        let records = reader.byte_records().map(|record| record.unwrap());
        let fields = records.map(|record| record.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        fields.filter(|fields| !is_blank(fields)).collect()
    }

    fn is_blank(fields: &[Vec<u8>]) -> bool {
        fields.len() == 1 && fields[0].iter().all(u8::is_ascii_whitespace)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn records_are_those_of_the_csv_crate_whatever_the_block(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    &b","[..], b",", b",", b";", b"\"", b"\"", b"\"", b"\"\"", b"'", b"\n", b"\n", b"\r\n", b"\r", b" ",
                    b"a", b"1.5", b"\0", b"\xE4", b"\xE5\x8C\x97", b"a long field that is no number",
                ]),
                0..60,
            ),
            size in 1_usize..40,
            which in 0..4,
        ) {
            let text = pieces.concat();
            let dialect = match which {
                0 => Dialect { quote: Some(b'\''), ..Dialect::default() },
                1 => Dialect { quote: None, ..Dialect::default() },
                2 => Dialect { delimiter: b';', ..Dialect::default() },
                _ => Dialect::default(),
            };
            let found = walked(&text, dialect, size);
            let mut fields: Vec<_> = found.iter().map(|(_, fields)| fields.clone()).collect();
            // A quote that is never closed is an error to the callers.
            fields.retain(|fields| !is_blank(fields));
            prop_assert_eq!(fields, by_the_csv_crate(&text, dialect));
            let whole = walked(&text, dialect, text.len() + 1);
            prop_assert_eq!(found, whole, "lines too");
        }
    }

    #[test]
    fn numbers_are_read_on_the_way_and_what_is_none_comes_as_text() {
        let walk = Walk {
            dialect: Dialect { delimiter: b';', decimal_mark: b',', ..Dialect::default() },
            wants: vec![Want::Number, Want::Nothing, Want::Number],
            ..Walk::default()
        };
        let block = Block::new(b"1,50;x;-2\n\"3\";y;4 \n1.5;;+7".to_vec(), 5);
        let mut found = Collect::default();
        found.fields.clear();
        struct Two(Collect);
        impl Visitor for Two {
            fn number(&mut self, column: usize, value: f64) {
                self.0.number(column, value);
            }
            fn text(&mut self, column: usize, text: &[u8], line: u64) {
                self.0.text(column, &[b"text ", text].concat(), line);
            }
            fn end(&mut self, record: Record) -> bool {
                assert_eq!(record.n_fields, 3);
                self.0.records.push((record.line, std::mem::take(&mut self.0.fields)));
                true
            }
        }
        let mut two = Two(found);
        walk.through(&block, &mut two);
        let texts = |cells: [&str; 2]| cells.map(|cell| cell.as_bytes().to_vec()).to_vec();
        let wanted = vec![
            (5, texts(["1.5", "-2"])),
            (6, texts(["text 3", "text 4 "])),
            (7, texts(["text 1.5", "text +7"])),
        ];
        assert_eq!(two.0.records, wanted);
    }
}
