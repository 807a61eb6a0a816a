//! The decimal mark of a file, on which the numbers of all its columns vote.
//!
//! [`super::sniff`] holds the vote on the beginning of a file, [`super::load`] on all of it.

use crate::data::cells::amount::{Choice, Evidence, Mark};
use crate::data::cells::raw_table::RawTable;

/// What the cells of one column say.
#[derive(Debug, Default)]
pub(super) struct Poll {
    n_cells: usize,
    evidence: Evidence,
    /// The first number with a comma or a dot.
    example: Option<String>,
}

impl Poll {
    /// Adds a cell that occurs `n` times.
    pub(super) fn look(&mut self, text: &str, n: usize) {
        let text = text.trim();
        self.n_cells += if text.is_empty() { 0 } else { n };
        if self.evidence.look(text, n) && self.example.is_none() && text.contains([',', '.']) {
            self.example = Some(text.to_string());
        }
    }

    /// Whether at least half of the cells are numbers.
    pub(super) fn is_of_numbers(&self) -> bool {
        self.evidence.amounts * 2 >= self.n_cells
    }

    /// The mark that the column votes for, and one of its numbers; none if it has neither commas nor dots.
    pub(super) fn choice(&self, delimiter: u8) -> Option<(Choice, &str)> {
        let example = self.example.as_deref().filter(|_| self.is_of_numbers())?;
        // Between other delimiters than commas a lone comma is more likely one before decimals, and a lone dot as well.
        let has_commas = self.evidence.has_decimals(Mark::Comma) && delimiter != b',';
        let usual = if has_commas { Mark::Comma } else { Mark::Dot };
        Some((self.evidence.decimal(usual, false), example))
    }
}

/// The votes of all columns.
#[derive(Debug, Default)]
pub(super) struct Vote {
    certain: [usize; 2],
    guessed: [usize; 2],
}

impl Vote {
    /// Counts the vote of a column.
    pub(super) fn add(&mut self, choice: Choice) {
        match choice {
            Choice::Certain(mark) => self.certain[mark as usize] += 1,
            Choice::Guess(mark) => self.guessed[mark as usize] += 1,
            Choice::Plain => {}
        }
    }

    /// Whether a column can be read with one mark alone.
    pub(super) fn is_certain(&self) -> bool {
        self.certain != [0, 0]
    }

    /// Whether no column votes for either mark.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_certain() && self.guessed == [0, 0]
    }

    /// Whether numbers have a decimal comma.
    pub(super) fn is_comma(&self) -> bool {
        match (self.certain, self.guessed) {
            ([0, 0], [dots, commas]) | ([dots, commas], _) => commas > 0 && dots == 0,
        }
    }
}

/// Whether a lone mark in numbers of a table may stand before decimals or between thousands. With commas between fields
/// a dot stands before decimals, unless other columns say something else.
pub(super) fn may_be_guessed(raw: &RawTable) -> bool {
    (raw.decimal_comma || raw.delimiter == b';') && !raw.decimal_given && !raw.ndjson
}

/// The vote of numbers that were read with a mark and whose text is gone: what stands between thousands has three digits
/// behind it, and one to three before it.
pub(super) fn decimals_of(values: &[f64], mark: Mark) -> Choice {
    let may_be_grouped =
        |value: f64| (1.0..1000.0).contains(&value.abs()) && (value * 1e3).round() / 1e3 == value;
    let mut vote = Choice::Plain;
    for &value in values.iter().filter(|value| value.is_finite() && value.fract() != 0.0) {
        if !may_be_grouped(value) {
            return Choice::Certain(mark);
        }
        vote = Choice::Guess(mark);
    }
    vote
}
