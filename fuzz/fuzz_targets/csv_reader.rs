//! Arbitrary bytes as delimited text: records, fields and lines equal those of the `csv` crate, numbers those of
//! `str::parse`, whatever the size of the blocks.
//!
//! The first byte of an input chooses the dialect, the second the size of the blocks; the rest is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mlapi::data::read::blocks::{Blocks, Cut};
use mlapi::data::read::fields::{Dialect, Record, Visitor, Walk, Want};

/// A record: its line, and its fields without their quotes.
type Found = Vec<(u64, Vec<Vec<u8>>)>;

#[derive(Default)]
struct Collect {
    fields: Vec<Vec<u8>>,
    records: Found,
    /// The numbers read, each with its record and field.
    numbers: Vec<(usize, usize, f64)>,
}

impl Visitor for Collect {
    fn number(&mut self, column: usize, value: f64) {
        assert_eq!(column, self.fields.len());
        self.numbers.push((self.records.len(), column, value));
        self.fields.push(Vec::new());
    }

    fn text(&mut self, column: usize, text: &[u8], _line: u64) {
        assert_eq!(column, self.fields.len());
        self.fields.push(text.to_vec());
    }

    fn end(&mut self, record: Record) -> bool {
        assert_eq!(record.n_fields, self.fields.len());
        assert!(record.line <= record.last_line);
        self.records.push((record.line, std::mem::take(&mut self.fields)));
        true
    }
}

fn walked(text: &[u8], dialect: Dialect, want: Want, size: usize) -> Collect {
    let cut = Cut::Records { delimiter: dialect.delimiter, quote: dialect.quote };
    let mut blocks = Blocks::new("input", Vec::new(), text, cut, size, false);
    let walk = Walk { dialect, wants: vec![want; text.len() + 1], ..Walk::default() };
    let mut found = Collect::default();
    while let Some(block) = blocks.next(Vec::new()).expect("memory can be read") {
        walk.through(&block, &mut found);
    }
    found
}

fn is_blank(fields: &[Vec<u8>]) -> bool {
    fields.len() == 1 && fields[0].iter().all(u8::is_ascii_whitespace)
}

/// The records that the csv crate reads, without blank ones.
fn by_the_csv_crate(text: &[u8], dialect: Dialect) -> Vec<Vec<Vec<u8>>> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(dialect.delimiter);
    match dialect.quote {
        Some(quote) => builder.quote(quote),
        None => builder.quoting(false),
    };
    let mut reader = builder.from_reader(text);
    let records = reader.byte_records().map(|record| record.expect("memory can be read"));
    let fields = records.map(|record| record.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
    fields.filter(|fields| !is_blank(fields)).collect()
}

fuzz_target!(|input: &[u8]| {
    let [dialect, size, text @ ..] = input else {
        return;
    };
    // The csv crate removes a byte order mark; mlapi does so before the text is cut into blocks.
    if text.starts_with(b"\xEF\xBB\xBF") {
        return;
    }
    let dialect = Dialect {
        delimiter: [b',', b';', b'\t', b'|'][usize::from(dialect & 3)],
        quote: [Some(b'"'), Some(b'"'), Some(b'\''), None][usize::from(dialect >> 2 & 3)],
        decimal_mark: b'.',
    };
    let size = usize::from(*size) + 1;
    let texts = walked(text, dialect, Want::Text, size);
    let fields = texts.records.iter().map(|(_, fields)| fields.clone());
    let fields: Vec<_> = fields.filter(|fields| !is_blank(fields)).collect();
    assert_eq!(fields, by_the_csv_crate(text, dialect));
    assert_eq!(texts.records, walked(text, dialect, Want::Text, text.len() + 1).records, "in one block");

    let numbers = walked(text, dialect, Want::Number, size);
    let mut expected = texts.records;
    for &(record, field, value) in &numbers.numbers {
        let written = std::mem::take(&mut expected[record].1[field]);
        let parsed = std::str::from_utf8(&written).ok().and_then(|text| text.parse::<f64>().ok());
        assert_eq!(parsed.map(f64::to_bits), Some(value.to_bits()), "{written:?}");
    }
    assert_eq!(numbers.records, expected, "cells that are no numbers");
});
