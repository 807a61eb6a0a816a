//! How a delimited text is written, found in its beginning: delimiter, quote, decimal mark, and whether the first
//! record is a header.
//!
//! Called by [`super::csv`] for whatever the user has not said.

use std::io;

use super::blocks::{Block, Blocks, Cut};
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::header;
use super::source::Options;

/// Records in which the delimiter is looked for.
const SAMPLE_RECORDS: usize = 100;

/// Collects the fields of some records.
#[derive(Default)]
pub(super) struct First {
    fields: Vec<Vec<u8>>,
    records: Vec<(Record, Vec<Vec<u8>>)>,
    at_most: usize,
    /// Bytes of fields that may still be kept.
    room: usize,
}

impl Visitor for First {
    fn number(&mut self, _column: usize, _value: f64) {}

    fn text(&mut self, _column: usize, text: &[u8], _line: u64) {
        let kept = if text.len() <= self.room { text } else { &[] };
        self.room -= kept.len();
        self.fields.push(kept.to_vec());
    }

    fn end(&mut self, record: Record) -> bool {
        self.records.push((record, std::mem::take(&mut self.fields)));
        self.records.len() < self.at_most
    }
}

impl First {
    /// The first record and its fields, of which at most `n_fields` and `n_bytes` in all are kept; one that is too long is
    /// empty.
    pub(super) fn of(
        block: &Block,
        dialect: Dialect,
        n_fields: usize,
        n_bytes: usize,
    ) -> Option<(Record, Vec<Vec<u8>>)> {
        let mut first = Self { at_most: 1, room: n_bytes, ..Self::default() };
        first.walk(block, dialect, n_fields);
        first.records.pop()
    }

    pub(super) fn some(
        block: &Block,
        dialect: Dialect,
        at_most: usize,
        n_fields: usize,
    ) -> Vec<(Record, Vec<Vec<u8>>)> {
        let mut first = Self { at_most, room: usize::MAX, ..Self::default() };
        first.walk(block, dialect, n_fields);
        first.records
    }

    fn walk(&mut self, block: &Block, dialect: Dialect, n_fields: usize) {
        // As many columns as there can be delimiters.
        let wants = vec![Want::Text; n_fields.min(block.bytes.len() + 1)];
        Walk { dialect, wants, ..Walk::default() }.through(block, self);
    }
}

/// Whether the first record is one of the rows.
pub(super) fn begins_with_a_row(start: &[u8], dialect: Dialect) -> bool {
    let block = whole_records(start, dialect.quote);
    let records = First::some(&block, dialect, SAMPLE_RECORDS + 1, usize::MAX);
    let mut fields = records.into_iter().map(|(_, fields)| fields);
    fields
        .next()
        .is_some_and(|first| header::is_row(&first, &fields.collect::<Vec<_>>(), dialect.decimal_mark))
}

/// The dialect of a text that begins with `start`, and notes on what is unusual.
pub(super) fn sniff(start: &[u8], path: &str, options: &Options) -> (Dialect, Vec<String>) {
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

/// `'` if fields begin and end with it and none begins with `"`.
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

/// The candidate that divides the first records into the same number of fields, the most of them if several
/// do; else the most frequent one of the first record. A comma between two digits does not count if another candidate
/// divides alike: it is a decimal comma.
fn sniff_delimiter(start: &[u8], quote: Option<u8>) -> u8 {
    const CANDIDATES: [u8; 4] = [b',', b'\t', b';', b'|'];
    let block = whole_records(start, quote);
    let mut alike = Vec::new();
    let mut of_first = Vec::new();
    for candidate in CANDIDATES {
        let dialect = Dialect { delimiter: candidate, quote, ..Dialect::default() };
        let records = First::some(&block, dialect, SAMPLE_RECORDS, 0);
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

pub(super) fn commas_are_decimal(text: &[u8]) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    memchr::memchr_iter(b',', text).all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// The sample without the record that its end cuts in two.
pub(super) fn whole_records(start: &[u8], quote: Option<u8>) -> Block {
    let some = &start[..start.len().min(64 * 1024)];
    let cut = Cut::Records { delimiter: b',', quote };
    let mut blocks = Blocks::new("", some.to_vec(), io::empty(), cut, some.len(), true);
    // Prompt, so it hands out whole records first.
    blocks.next(Vec::new()).ok().flatten().unwrap_or_default()
}

/// Whether fields are separated by `;` and cells have commas before decimals, and none a dot.
fn has_decimal_commas(start: &[u8], dialect: Dialect) -> bool {
    if dialect.delimiter != b';' {
        return false;
    }
    let block = whole_records(start, dialect.quote);
    let (mut commas, mut dots) = (0, 0);
    for (_, fields) in First::some(&block, dialect, usize::MAX, usize::MAX) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (char, Option<char>, char) {
        let (dialect, _) = sniff(text.as_bytes(), "t.csv", &Options::default());
        (dialect.delimiter.into(), dialect.quote.map(char::from), dialect.decimal_mark.into())
    }

    #[test]
    fn the_delimiter_is_the_one_that_divides_all_records_alike() {
        for (text, delimiter) in [
            ("a,b\n1,2\n", ','),
            ("a;b\n1;2\n", ';'),
            ("a\tb,c\n1\t2\n", '\t'),
            ("a|b|c\n1|2|3,4\n", '|'),
            ("a;b\n1,5;2,5\n", ';'),
            ("a,b\n\"1;2;3\",4\n", ','),
            ("alone\n1\n", ','),
        ] {
            assert_eq!(found(text).0, delimiter, "{text:?}");
        }
        let (dialect, _) = sniff(b"a b\n", "t.tsv.gz", &Options::default());
        assert_eq!(dialect.delimiter, b'\t', "by its name");
    }

    #[test]
    fn single_quotes_are_quotes_only_if_no_field_begins_with_a_double_one() {
        assert_eq!(found("a,b\n'x,y','z'\n").1, Some('\''));
        assert_eq!(found("a,b\n'x',\"z\"\n").1, Some('"'));
        assert_eq!(found("a,b\nit's,the dog's\n").1, Some('"'));
    }

    #[test]
    fn a_decimal_comma_is_found_between_semicolons_unless_a_number_has_a_dot() {
        assert_eq!(found("a;b\n1,5;x\n2;y\n").2, ',');
        assert_eq!(found("a;b\n1,5;2.5\n").2, '.');
        assert_eq!(found("a\tb\n1,5\tx\n").2, '.');
        let options = Options { decimal_comma: Some(true), ..Options::default() };
        assert_eq!(sniff(b"a,b\n1,2\n", "t.csv", &options).0.decimal_mark, b'.', "a comma cannot be both");
    }

    #[test]
    fn every_guess_that_differs_from_plain_csv_is_noted() {
        let notes = |text: &str| sniff(text.as_bytes(), "t.csv", &Options::default()).1.len();
        assert_eq!(notes("a,b\n1,2\n"), 0);
        assert_eq!(notes("a;b\n'1,5';'2'\n"), 3);
    }
}
