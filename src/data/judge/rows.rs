//! Rows that are none: a line of units or a second header above the first row, a total below the last one.
//!
//! Called by training before types are inferred, which such a row would spoil: one text makes a column of a few different
//! numbers a category.

use anyhow::{Result, bail};

use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::quantity::{is_no_value, is_quantity};
use crate::data::cells::raw_table::{RawColumn, RawTable};
use crate::data::cells::{date, number};

/// Rows below which nothing is said about the first and the last of them.
const MIN_ROWS: usize = 4;

/// The first words of a row that sums up those above it, in lower case.
const TOTALS: [&str; 24] = [
    "total",
    "totals",
    "totale",
    "totaal",
    "totalt",
    "subtotal",
    "sum",
    "sums",
    "summe",
    "summa",
    "gesamt",
    "gesamtsumme",
    "insgesamt",
    "somme",
    "suma",
    "soma",
    "average",
    "mean",
    "durchschnitt",
    "moyenne",
    "итого",
    "всего",
    "合计",
    "合計",
];

/// Looks at the first and the last row. `is_inferred`: whether a column's type is to be inferred.
///
/// # Errors
/// A row that is none, with its line and the flag that leaves it out.
pub(crate) fn check(raw: &RawTable, is_inferred: impl Fn(usize) -> bool, nulls: &NullTokens) -> Result<()> {
    let n_rows = raw.n_rows();
    if n_rows < MIN_ROWS || raw.ndjson {
        return Ok(());
    }
    let leave_out = |row: usize| match raw.files.len() {
        0 | 1 => format!("--skip-line {} leaves it out", raw.lines.get(row).0),
        _ => "remove it".to_string(),
    };
    let first = Row::of(raw, 0, nulls);
    if !raw.no_header && first.fits_no_number(&is_inferred) {
        let shown: Vec<String> = first.odd.iter().take(5).map(|(_, text)| format!("{text:?}")).collect();
        let (fits, number) = if shown.len() == 1 { ("fits", "the column") } else { ("fit", "the columns") };
        bail!(
            "{}: {} {fits} no number or date of {number} below; if the line holds units, {}; if it holds the names of the \
             columns, --lines-to-skip {} begins with it",
            raw.place(0),
            shown.join(", "),
            leave_out(0),
            raw.lines.get(0).0 - 1
        );
    }
    let last = Row::of(raw, n_rows - 1, nulls);
    let Some((index, text)) = last.total(&is_inferred) else {
        return Ok(());
    };
    bail!(
        "{}, column {:?}: {text:?} is no value of the column; the last row looks like a total or a footer: {}",
        raw.place(n_rows - 1),
        raw.names[index],
        leave_out(n_rows - 1)
    );
}

/// A row among the others.
struct Row<'a> {
    raw: &'a RawTable,
    row: usize,
    nulls: &'a NullTokens,
    /// Columns of numbers in which the row has a number.
    numbers: Vec<usize>,
    /// Columns of numbers in which the row has a text.
    odd: Vec<(usize, &'a str)>,
    /// Columns of texts in which it has one.
    texts: Vec<(usize, &'a str)>,
    /// Whether it lacks a value.
    has_gaps: bool,
}

impl<'a> Row<'a> {
    fn of(raw: &'a RawTable, row: usize, nulls: &'a NullTokens) -> Self {
        let mut found =
            Self { raw, row, nulls, numbers: vec![], odd: vec![], texts: vec![], has_gaps: false };
        for (index, column) in raw.columns.iter().enumerate() {
            match column.cell(row, nulls) {
                Cell::Missing => found.has_gaps = true,
                Cell::Boolean(_) => {}
                Cell::Number(_) => found.numbers.push(index),
                Cell::Text(text) if is_number(text, raw.decimal_mark()) => {
                    found.numbers.push(index);
                }
                Cell::Text(text) if has_numbers(raw, column, nulls) => found.odd.push((index, text)),
                Cell::Text(text) => found.texts.push((index, text)),
            }
        }
        found
    }

    /// Whether it has a text in columns of numbers, a number in none, and no text that another row has as well.
    fn fits_no_number(&self, is_inferred: &impl Fn(usize) -> bool) -> bool {
        let again = |(index, text): &(usize, &str)| !self.is_only_here(*index, text);
        self.numbers.is_empty()
            && self.odd.iter().any(|(index, text)| is_inferred(*index) && !is_no_value(text))
            && !self.texts.iter().chain(&self.odd).any(again)
    }

    /// The column and the text that show that the row sums up the others, or is a line of text below them.
    fn total(&self, is_inferred: &impl Fn(usize) -> bool) -> Option<(usize, &'a str)> {
        let odd = self.odd.iter().find(|(index, _)| is_inferred(*index));
        let has_sum = || self.numbers.iter().any(|&index| self.is_sum(index));
        let is_alone = self.numbers.is_empty() && self.texts.is_empty() && self.odd.len() == 1;
        match odd {
            Some(&(_, text)) if is_total(text) || is_alone && self.raw.columns.len() > 2 || has_sum() => {
                odd.copied()
            }
            _ => {
                let text = self.texts.iter().find(|(index, text)| is_inferred(*index) && is_total(text));
                text.filter(|(index, text)| has_sum() || self.has_gaps && self.is_only_here(*index, text))
                    .copied()
            }
        }
    }

    /// Whether no other row has this text in that column.
    fn is_only_here(&self, index: usize, text: &str) -> bool {
        let mut cells = self.raw.columns[index].cells(self.nulls).enumerate();
        !cells.any(|(row, cell)| row != self.row && cell == Cell::Text(text))
    }

    /// Whether its number is the sum of those above it.
    fn is_sum(&self, index: usize) -> bool {
        let mark = self.raw.decimal_mark();
        let value = |cell: Cell| match cell {
            Cell::Number(value) => Some(value),
            Cell::Text(text) => number::parse(text, mark),
            Cell::Missing | Cell::Boolean(_) => None,
        };
        let (mut sum, mut size, mut last) = (0.0, 0.0, 0.0);
        for (row, cell) in self.raw.columns[index].cells(self.nulls).enumerate() {
            match value(cell) {
                Some(value) if row == self.row => last = value,
                Some(value) => (sum, size) = (sum + value, size + value.abs()),
                None => {}
            }
        }
        size > 0.0 && last != 0.0 && (sum - last).abs() <= 1e-9 * size
    }
}

/// Whether a text begins as the label of a row that sums up others.
pub(crate) fn is_total(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(2);
    words.any(|word| TOTALS.contains(&word))
}

/// Whether a text is a number, however people write it, or a date.
fn is_number(text: &str, mark: u8) -> bool {
    let is_date = || date::Evidence::default().look(text, 1);
    number::parse(text, mark).is_some() || text.contains(char::is_numeric) && (is_quantity(text) || is_date())
}

/// Whether most cells of a column are numbers or dates, as its first ones show.
fn has_numbers(raw: &RawTable, column: &RawColumn, nulls: &NullTokens) -> bool {
    const LOOKED_AT: usize = 1000;
    let (mut numbers, mut texts) = (0, 0);
    for cell in column.cells(nulls).take(LOOKED_AT) {
        match cell {
            Cell::Text(text) if !is_number(text, raw.decimal_mark()) => texts += 1,
            Cell::Missing => {}
            _ => numbers += 1,
        }
    }
    numbers + 1 >= MIN_ROWS && texts <= 1 + numbers / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, inferred: impl Fn(usize) -> bool) -> String {
        let rows: Vec<Vec<&str>> = text.split(';').map(|row| row.split(',').collect()).collect();
        let n_columns = rows[0].len();
        let column = |i: usize| RawColumn::of_texts(rows.iter().map(|row| row[i]));
        let raw = RawTable {
            source: "t.csv".into(),
            names: (0..n_columns).map(|i| format!("c{i}")).collect(),
            columns: (0..n_columns).map(column).collect(),
            lines: (2..2 + rows.len() as u64).collect::<Vec<_>>().into(),
            ..RawTable::default()
        };
        check(&raw, inferred, &NullTokens::default()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_line_of_units_and_a_total_are_told_with_their_line() {
        let all = |_| true;
        for (text, words) in [
            (
                "m,kg,;1,2,a;3,4,b;5,6,a;7,8,b",
                "t.csv line 2: \"m\", \"kg\" fit no number or date of the columns",
            ),
            ("m,unit;1,a;2,b;3,a;4,b", "--skip-line 2 leaves it out"),
            (
                "When,Who;2024-01-05,a;2024-01-06,b;2024-02-01,a;2024-02-03,b",
                "\"When\" fits no number or date",
            ),
            ("size,weight;1,4;2,5;3,6", "--lines-to-skip 1 begins with it"),
            ("1,4,a;2,5,b;3,6,a;Total,15,", "t.csv line 5, column \"c0\": \"Total\""),
            ("a,4;b,5;c,6;Grand total,15", "looks like a total"),
            ("1,4,a;2,5,b;3,6,a;Made by hand,,", "footer: --skip-line 5"),
        ] {
            assert!(message(text, all).contains(words), "{text}: {}", message(text, all));
        }
        let typed = |index: usize| index != 0;
        assert_eq!(message("1,4,a;2,5,b;3,6,a;Total,15,", typed), "", "a category by its flag");
    }

    #[test]
    fn ordinary_rows_are_none_of_these() {
        for text in [
            "1,a;2,b;3,a;4,b",
            "n/k,a;2,b;3,a;4,b",
            "unknown,e;2024-01-05,a;2024-01-06,b;2024-02-01,c;2024-02-03,d",
            "x,1;2,5;3,6;4,7",
            "a,4;b,5;c,6;total,16",
            "1,a;2,b;3,a;n/k,b",
            "a,b;c,d;e,f;g,h",
            ",;,;,;,",
            "1,4;2,5;3,9",
        ] {
            assert_eq!(message(text, |_| true), "", "{text}");
        }
    }
}
