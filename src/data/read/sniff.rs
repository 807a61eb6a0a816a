//! How a delimited text is written, found in its beginning: delimiter, quote, decimal mark, and whether the first
//! record is a header.
//!
//! Called by [`super::csv`] for whatever the user has not said.

use std::io;

use memchr::{memchr, memchr_iter};

use super::blocks::{Block, Blocks, Cut};
use super::decimal_mark::{Poll, Vote};
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::header;
use super::source::Options;
use crate::data::cells::amount::{Choice, Mark};

/// Records in which the delimiter is looked for.
const SAMPLE_RECORDS: usize = 100;

/// Bytes in which whole records are looked for.
pub(super) const SOME_BYTES: usize = 64 * 1024;

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
        Walk { dialect, wants, ..Walk::default() }.through_few(block, self);
    }
}

/// Hands every field of a block to `visitor` as text.
fn walk_all(block: &Block, dialect: Dialect, visitor: &mut dyn Visitor) {
    let wants = vec![Want::Text; block.bytes.len() + 1];
    Walk { dialect, wants, ..Walk::default() }.through_few(block, visitor);
}

/// Whether a field has a comma before a digit, or before what may be one in another script.
#[derive(Default)]
struct Commas {
    before_digit: bool,
}

impl Visitor for Commas {
    fn number(&mut self, _column: usize, _value: f64) {}

    fn text(&mut self, _column: usize, text: &[u8], _line: u64) {
        let is_digit = |next: &u8| next.is_ascii_digit() || !next.is_ascii();
        self.before_digit |= memchr_iter(b',', text).any(|at| text.get(at + 1).is_some_and(is_digit));
    }

    fn end(&mut self, _record: Record) -> bool {
        !self.before_digit
    }
}

/// The numbers of each column, asked for their decimal mark.
#[derive(Default)]
struct Polls(Vec<Poll>);

impl Visitor for Polls {
    fn number(&mut self, _column: usize, _value: f64) {}

    fn text(&mut self, column: usize, text: &[u8], _line: u64) {
        self.0.resize_with(self.0.len().max(column + 1), Poll::default);
        if let Ok(text) = std::str::from_utf8(text) {
            self.0[column].look(text, 1);
        }
    }

    fn end(&mut self, _record: Record) -> bool {
        true
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

/// The dialect of a text that begins with `start`, notes on what is unusual, and the records at its beginning.
pub(super) fn sniff(start: &[u8], path: &str, options: &Options) -> (Dialect, Vec<String>, Block) {
    let mut notes = Vec::new();
    let quote = options.quote.unwrap_or_else(|| {
        let quote = sniff_quote(start);
        if quote == b'\'' {
            notes.push("its fields are in single quotes; --quote overrides".into());
        }
        Some(quote)
    });
    let block = whole_records(start, quote);
    let name = path.strip_suffix(".gz").or(path.strip_suffix(".zst")).unwrap_or(path);
    let delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None if name.ends_with(".tsv") || name.ends_with(".tab") => b'\t',
        None => {
            let found = sniff_delimiter(&block, quote);
            if found != b',' {
                let shown = if found == b'\t' { "tabs".into() } else { format!("{:?}", char::from(found)) };
                notes.push(format!("its fields are divided by {shown}; --delimiter overrides"));
            }
            found
        }
    };
    let mut dialect = Dialect { delimiter, quote, decimal_mark: b'.' };
    let comma = options.decimal_comma.unwrap_or_else(|| {
        let (comma, note) = has_decimal_commas(&block, dialect);
        match note {
            Some(note) => notes.push(note),
            None if comma => notes.push("its numbers have a decimal comma and were read so".into()),
            None => {}
        }
        comma
    });
    if comma {
        dialect.decimal_mark = b',';
    }
    (dialect, notes, block)
}

/// `'` if fields begin and end with it and none begins with `"`.
fn sniff_quote(start: &[u8]) -> u8 {
    if memchr(b'\'', start).is_none() {
        return b'"';
    }
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
fn sniff_delimiter(block: &Block, quote: Option<u8>) -> u8 {
    const CANDIDATES: [u8; 4] = [b',', b'\t', b';', b'|'];
    let mut alike = Vec::new();
    let mut of_first = Vec::new();
    for candidate in CANDIDATES {
        let dialect = Dialect { delimiter: candidate, quote, ..Dialect::default() };
        let records = First::some(block, dialect, SAMPLE_RECORDS, 0);
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
    memchr_iter(b',', text).all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// The sample without the record that its end cuts in two.
pub(super) fn whole_records(start: &[u8], quote: Option<u8>) -> Block {
    let some = &start[..start.len().min(SOME_BYTES)];
    let cut = Cut::Records { delimiter: b',', quote };
    let mut blocks = Blocks::new("", some.to_vec(), io::empty(), cut, some.len(), true);
    // Prompt, so it hands out whole records first.
    blocks.next(Vec::new()).ok().flatten().unwrap_or_default()
}

/// Whether numbers have a decimal comma, and a note if they can be read in another way.
///
/// The text of plain numbers is not kept, so the mark is decided before columns are read: a column of `1.234` has
/// thousands if another one has decimal commas for certain. A column of both marks is read by its own notation later.
fn has_decimal_commas(block: &Block, dialect: Dialect) -> (bool, Option<String>) {
    let between_commas = dialect.delimiter == b',';
    // A comma in a field of a file with commas between fields stands in quotes.
    let is_possible = match dialect.quote {
        _ if dialect.delimiter == b';' => true,
        quote if between_commas => quote.is_some_and(|quote| memchr(quote, &block.bytes).is_some()),
        _ => memchr(b',', &block.bytes).is_some(),
    };
    if !is_possible {
        return (false, None);
    }
    // Between commas, few fields have one, and then seldom before a digit: nothing speaks for it.
    if between_commas {
        let mut commas = Commas::default();
        walk_all(block, dialect, &mut commas);
        if !commas.before_digit {
            return (false, None);
        }
    }
    let mut polls = Polls::default();
    walk_all(block, dialect, &mut polls);
    let Polls(columns) = polls;
    let mut vote = Vote::default();
    let mut note = None;
    for (choice, example) in columns.iter().filter_map(|poll| poll.choice(dialect.delimiter)) {
        vote.add(choice);
        if let Choice::Guess(mark) = choice {
            note.get_or_insert((mark, example));
        }
    }
    // A column whose text is kept gets a note of its own.
    let note = note.filter(|(mark, example)| {
        !vote.is_certain()
            && dialect.delimiter != b','
            && example.contains(if *mark == Mark::Comma { ',' } else { '.' })
    });
    let note = note.map(|(mark, example)| {
        let (taken, other) = if mark == Mark::Comma { ("comma", '.') } else { ("dot", ',') };
        format!("numbers such as {example} were read with a decimal {taken}; --decimal {other} overrides")
    });
    (vote.is_comma(), note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (char, Option<char>, char) {
        let (dialect, _, _) = sniff(text.as_bytes(), "t.csv", &Options::default());
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
        let (dialect, _, _) = sniff(b"a b\n", "t.tsv.gz", &Options::default());
        assert_eq!(dialect.delimiter, b'\t', "by its name");
    }

    #[test]
    fn single_quotes_are_quotes_only_if_no_field_begins_with_a_double_one() {
        assert_eq!(found("a,b\n'x,y','z'\n").1, Some('\''));
        assert_eq!(found("a,b\n'x',\"z\"\n").1, Some('"'));
        assert_eq!(found("a,b\nit's,the dog's\n").1, Some('"'));
    }

    #[test]
    fn a_decimal_comma_is_found_unless_a_number_has_a_dot_for_certain() {
        assert_eq!(found("a;b\n1,5;x\n2;y\n").2, ',');
        assert_eq!(found("a;b\n1,5;2.5\n").2, '.');
        assert_eq!(found("a\tb\n1,5\tx\n").2, ',');
        for (text, mark) in [
            ("a;b\n1,250;x\n980;y\n", '.'),
            ("a;b\n12,279;x\n9,148;y\n", ','),
            ("a\tb\n12,279\tx\n0,148\ty\n", ','),
            ("a;b\n1.234;12,50\n950;3,10\n", ','),
            ("a;b\n1.234;x\n950;y\n", ','),
            ("a;b\n1.234;x\n1.950;y\n", '.'),
            ("a,b\n1.234,\"13,42\"\n", ','),
            ("a,b\n1,\"45,210\"\n", '.'),
            ("a,b\n1.5,\"13,42\"\n", '.'),
            ("a;b\n1,250.50;x\n", '.'),
        ] {
            assert_eq!(found(text).2, mark, "{text:?}");
        }
    }

    #[test]
    fn every_guess_that_differs_from_plain_csv_is_noted() {
        let notes = |text: &str| sniff(text.as_bytes(), "t.csv", &Options::default()).1.len();
        assert_eq!(notes("a,b\n1,2\n"), 0);
        assert_eq!(notes("a;b\n'1,5';'2'\n"), 3);
    }
}
