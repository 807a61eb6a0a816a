//! The notation of the numbers of a whole column, and the few other cells that mean "no value" in it.

use super::amount::{self, Choice, Mark};
use super::cell::{Cell, NullTokens};
use super::notation::Notation;
use super::raw_table::{RawColumn, RawTable};
use super::{duration, number};

/// What the cells of a column say about the notation of its numbers; joined in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quantities {
    amounts: amount::Evidence,
    durations: duration::Evidence,
    /// Cells such as `0x1F`.
    hexadecimals: usize,
    /// Cells that are numbers, but not plain ones.
    n_written: usize,
    usual: Mark,
    given: bool,
    /// The first cell with a mark or separator.
    example: Option<String>,
}

impl Quantities {
    /// Looks at every cell of column `index`.
    pub(crate) fn of(raw: &RawTable, index: usize, nulls: &NullTokens) -> Self {
        let mark = raw.decimal_mark();
        let usual = if raw.decimal_comma { Mark::Comma } else { Mark::Dot };
        let mut found = Self { usual, given: raw.decimal_given, ..Self::default() };
        if matches!(raw.columns[index], RawColumn::Numbers { .. }) {
            return found;
        }
        raw.columns[index].each_distinct(nulls, |cell, n| {
            let Cell::Text(text) = cell else { return };
            let plain = number::parse(text, mark);
            if plain.is_some_and(f64::is_nan) {
                return;
            }
            // The other checks only matter for texts that are not plain.
            let is_duration = plain.is_none() && found.durations.look(text, n);
            let is_hexadecimal = plain.is_none() && number::hexadecimal(text).is_some();
            found.hexadecimals += if is_hexadecimal { n } else { 0 };
            if found.amounts.look(text, n) || is_duration || is_hexadecimal {
                found.n_written += if plain.is_none() { n } else { 0 };
                if found.example.is_none() && text.contains([',', '.']) {
                    found.example = Some(text.to_string());
                }
            }
        });
        found
    }

    /// The notation of the column; none if its numbers are plain, or written in several ways.
    pub(crate) fn notation(&self) -> Option<Notation> {
        if self.n_written == 0 {
            return None;
        }
        if self.hexadecimals > 0 {
            let others = self.amounts.amounts + self.durations.durations;
            return (others == 0).then_some(Notation::Hexadecimal);
        }
        let amounts = self.amounts.notation(self.usual, self.given);
        match amounts {
            Some(notation) if self.amounts.amounts >= self.durations.durations => {
                let is_plain = self.n_written == self.amounts.n_strays(&notation);
                (!is_plain).then_some(Notation::Number(notation))
            }
            _ if self.durations.durations * 2 > self.amounts.amounts => {
                Some(Notation::Duration(self.durations.notation()))
            }
            _ => None,
        }
    }

    /// Whether nearly all of `n` cells are numbers, but in several notations or units.
    pub(crate) fn are_mixed(&self, n: usize) -> bool {
        // Seats such as 12A have no marks.
        (self.amounts.has_decimals(Mark::Dot) || self.amounts.has_decimals(Mark::Comma))
            && self.amounts.amounts * 10 >= n * 9
            && self.n_written > 0
            && self.notation().is_none()
            && self.amounts.notation(self.usual, self.given).is_none()
    }

    /// Cells that are bounds such as `<5`.
    pub(crate) fn n_bounds(&self) -> usize {
        self.amounts.bounds
    }

    /// If the cells can be read in two ways: one of them, the number it was taken for, the other, and the decimal mark
    /// that makes it the other.
    pub(crate) fn guess(&self) -> Option<(&str, f64, f64, char)> {
        let text = self.example.as_ref()?;
        let Choice::Guess(best) = self.amounts.decimal(self.usual, self.given) else { return None };
        let (taken, mark) = match self.notation() {
            Some(Notation::Number(taken)) => (taken, best),
            // Plain for the mark of the file, against what the column alone would be.
            None if self.n_written == 0 && best != self.usual => {
                (amount::Notation { decimal: self.usual, ..amount::Notation::default() }, self.usual)
            }
            _ => return None,
        };
        let (other, character) = match mark {
            Mark::Dot => (Mark::Comma, ','),
            Mark::Comma => (Mark::Dot, '.'),
        };
        let evidence = &self.amounts;
        let other = evidence.notation(other, true)?;
        let (value, other) = (taken.parse(text)?, other.parse(text)?);
        (!self.given && value != other).then_some((text, value, other, character))
    }

    /// If durations of two parts can be read in two ways: whether minutes and seconds were taken.
    pub(crate) fn minutes_first(&self) -> Option<bool> {
        match self.notation() {
            Some(Notation::Duration(notation)) if self.durations.of_two > 0 => Some(notation.minutes_first),
            _ => None,
        }
    }
}

/// Whether a text alone is a number or a duration in some notation.
pub(crate) fn is_quantity(text: &str) -> bool {
    amount::Evidence::default().look(text, 1)
        || duration::Evidence::default().look(text, 1)
        || number::hexadecimal(text).is_some()
}

/// Words that mean "no value" in a column of numbers or dates, in lower case. Elsewhere they may be values.
const NO_VALUE: [&str; 40] = [
    ".",
    "..",
    "...",
    "-",
    "--",
    "---",
    "–",
    "—",
    "*",
    "**",
    "na",
    "n.a.",
    "n.a",
    "n/a",
    "#n/a",
    "#na",
    "n/k",
    "nk",
    "n/d",
    "nd",
    "n.d.",
    "nan",
    "null",
    "nil",
    "none",
    "no data",
    "not available",
    "not applicable",
    "not known",
    "unknown",
    "unk",
    "missing",
    "undefined",
    "empty",
    "blank",
    "tbd",
    "tba",
    "k.a.",
    "s/o",
    "#value!",
];

/// Whether a text means "no value" in a column of numbers or dates: one of some words, or a date of zeros.
pub(crate) fn is_no_value(text: &str) -> bool {
    let zeros = text.len() >= 8
        && text.bytes().all(|byte| b"0-/.: T".contains(&byte))
        && text.matches(['-', '/', '.']).count() >= 2;
    zeros || text.len() <= 16 && NO_VALUE.contains(&text.to_lowercase().as_str())
}

/// Most different tokens that are few.
const MAX_FEW: usize = 5;

/// Texts and how many cells hold each, as long as they are few.
#[derive(Debug, Clone, Default)]
pub(crate) struct Few {
    texts: Vec<(String, usize)>,
    more: bool,
}

impl Few {
    pub(crate) fn add(&mut self, text: &str, n: usize) {
        if self.more {
            return;
        }
        match self.texts.binary_search_by(|(known, _)| known.as_str().cmp(text)) {
            Ok(at) => self.texts[at].1 += n,
            Err(_) if self.texts.len() == MAX_FEW => *self = Self { texts: Vec::new(), more: true },
            Err(at) => self.texts.insert(at, (text.to_string(), n)),
        }
    }

    /// The texts, sorted, with their counts; none if they are not few.
    pub(crate) fn texts(&self) -> Option<&[(String, usize)]> {
        (!self.more).then_some(self.texts.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_dates_of_zeros_mean_no_value() {
        for text in
            ["..", "na", "None", "n/k", "#N/A", "0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "Unknown"]
        {
            assert!(is_no_value(text), "{text}");
        }
        for text in ["0", "00000000", "many", "1.0", "2000-00-00", "pass", ""] {
            assert!(!is_no_value(text), "{text}");
        }
    }

    #[test]
    fn few_texts_are_counted_and_many_are_not() {
        let mut few = Few::default();
        for text in ["b", "a", "b"] {
            few.add(text, 2);
        }
        assert_eq!(few.texts(), Some(&[("a".to_string(), 2), ("b".to_string(), 4)][..]));
        (0..MAX_FEW).for_each(|i| few.add(&i.to_string(), 1));
        assert_eq!(few.texts(), None);
    }
}
