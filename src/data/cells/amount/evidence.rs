//! The notation of a column, found from its cells.

use std::collections::BTreeMap;

use super::notation::Notation;
use super::numeral::{Mark, Parts, Reading, SEPARATORS, Separator};
use crate::data::cells::unit::Unit;

/// What the cells of a column say about its notation; joined in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Evidence {
    /// Cells that are numbers in some notation.
    pub(crate) amounts: usize,
    /// Those that are `<5`, `>5` or `5+`.
    pub(crate) bounds: usize,
    /// With a decimal dot, and with a decimal comma.
    marks: [Joined; 2],
    /// How many cells have each unit.
    units: BTreeMap<String, usize>,
    /// How many cells have each letter that may multiply.
    letters: BTreeMap<&'static str, usize>,
    /// Cells that have a unit besides.
    n_letters_with_unit: usize,
    /// Cells with neither unit nor letter that are not 0, and those that are.
    n_bare: usize,
    n_zero: usize,
}

/// The cells of a column, read with one decimal mark.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Joined {
    /// Cells that are numbers with it.
    n: usize,
    /// Cells with each separator.
    separated: [usize; SEPARATORS.len()],
    /// Cells with a decimal mark.
    n_decimals: usize,
    /// Whether a cell of four or more digits has nothing between its thousands.
    ungrouped: bool,
    /// Whether a cell of at most three digits has nothing behind them.
    small_whole: bool,
}

/// The decimal mark of a column, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The cells can be read in no other way.
    Certain(Mark),
    /// The cells have no decimals and no thousands.
    Plain,
    /// Both marks fit; numbers without a separator, or the file, speak for this one.
    Guess(Mark),
}

impl Evidence {
    /// Adds a cell that occurs `n` times; returns whether it is a number in some notation.
    pub(crate) fn look(&mut self, text: &str, n: usize) -> bool {
        let Some(parts) = Parts::of(text) else { return false };
        let readings = parts.readings();
        if readings.iter().all(Option::is_none) {
            return false;
        }
        self.amounts += n;
        self.bounds += if parts.bound { n } else { 0 };
        for (joined, reading) in self.marks.iter_mut().zip(readings) {
            joined.add(reading, n);
        }
        if let Some((name, _)) = parts.letter {
            *self.letters.entry(name).or_default() += n;
            self.n_letters_with_unit += if parts.unit.is_empty() { 0 } else { n };
        }
        if !parts.unit.is_empty() {
            *self.units.entry(parts.unit.to_string()).or_default() += n;
        } else if parts.letter.is_none() {
            let is_zero = readings.into_iter().flatten().all(|reading| reading.value == 0.0);
            *(if is_zero { &mut self.n_zero } else { &mut self.n_bare }) += n;
        }
        true
    }

    /// The notation that fits nearly all cells; `usual` is the decimal mark of the file, which decides if both fit, and
    /// whatever the numbers without a separator say if it is `given`. `None` if there is none.
    pub(crate) fn notation(&self, usual: Mark, given: bool) -> Option<Notation> {
        let most = |n: usize| n * 10 >= self.amounts * 9;
        let decimal = match self.decimal(usual, given) {
            Choice::Certain(mark) | Choice::Guess(mark) => mark,
            Choice::Plain => usual,
        };
        let joined = &self.marks[decimal as usize];
        if self.amounts == 0 || !most(joined.fits()) || self.bounds * 2 > self.amounts {
            return None;
        }
        // A letter that stands behind all numbers is their unit: metres, kelvin, millions.
        let only_letter = match self.letters.first_key_value() {
            Some((letter, n)) if self.letters.len() == 1 && self.n_letters_with_unit + self.n_bare == 0 => {
                Some((*letter, *n))
            }
            _ => None,
        };
        let multiplied = only_letter.is_none() && !self.letters.is_empty();
        let units = self.units.iter().map(|(unit, n)| (unit.as_str(), *n)).chain(only_letter);
        let n_with_unit: usize = units.clone().map(|(_, n)| n).sum();
        // A unit that nobody knows, in few cells among bare numbers, is no unit: `12a` may be a mistyped 12, or a code.
        let is_stray = |&(unit, n): &(&str, usize)| {
            let is_rare = self.n_bare > 9 * n || (n == 1 && self.n_bare > 1);
            is_rare && only_letter.is_none() && !Unit::new(unit).is_some_and(|unit| unit.is_known())
        };
        let largest = units.max_by_key(|(_, n)| *n).filter(|largest| !is_stray(largest));
        let unit = largest.and_then(|(unit, _)| Unit::new(unit));
        let mut n_other = n_with_unit - largest.map_or(0, |(_, n)| n);
        if unit.is_some_and(|unit| unit.is_a_factor()) {
            // `12 %` and `0.12` are one share written in two ways, or two.
            n_other += self.amounts - n_with_unit - self.n_zero;
        }
        if unit.is_none() != largest.is_none() || !most(self.amounts.saturating_sub(n_other)) {
            return None;
        }
        let thousands = joined.thousands();
        Some(Notation { decimal, thousands, unit, multiplied, bounds: self.bounds > 0 })
    }

    /// Cells with a unit in a column whose notation has none.
    pub(crate) fn n_strays(&self, notation: &Notation) -> usize {
        if notation.unit.is_none() { self.units.values().sum() } else { 0 }
    }

    /// The decimal mark of the column.
    pub(crate) fn decimal(&self, usual: Mark, given: bool) -> Choice {
        let [dot, comma] = &self.marks;
        if dot.fits() != comma.fits() {
            return Choice::Certain(if dot.fits() > comma.fits() { Mark::Dot } else { Mark::Comma });
        }
        // Every separator has three digits behind it: thousands with one mark, decimals with the other.
        let (grouped, other) = match (dot.n_decimals, comma.n_decimals) {
            (0, 0) => return Choice::Plain,
            (0, _) => (Mark::Dot, Mark::Comma),
            (_, 0) => (Mark::Comma, Mark::Dot),
            _ => return Choice::Guess(usual),
        };
        let joined = &self.marks[grouped as usize];
        Choice::Guess(match (joined.ungrouped, joined.small_whole) {
            _ if given => usual,
            // Of 1234 and 1,250 only decimals make sense, and of 980 and 1,250 only thousands.
            (true, _) => other,
            (false, true) => grouped,
            (false, false) => usual,
        })
    }

    /// Whether a cell has decimals with this mark.
    pub(crate) fn has_decimals(&self, mark: Mark) -> bool {
        self.marks[mark as usize].n_decimals > 0
    }
}

impl Joined {
    fn add(&mut self, reading: Option<Reading>, n: usize) {
        let Some(reading) = reading else { return };
        self.n += n;
        self.n_decimals += if reading.has_decimals { n } else { 0 };
        match reading.thousands {
            Some(between) => self.separated[between as usize] += n,
            None => {
                self.ungrouped |= reading.n_whole > 3;
                self.small_whole |= reading.n_whole <= 3 && !reading.has_decimals;
            }
        }
    }

    /// What stands between thousands in most cells that have any.
    fn thousands(&self) -> Option<Separator> {
        let (n, between) = self.separated.iter().zip(SEPARATORS).rev().max_by_key(|(n, _)| **n)?;
        (*n > 0).then_some(between)
    }

    /// Cells that are numbers with this mark and those thousands.
    fn fits(&self) -> usize {
        let all: usize = self.separated.iter().sum();
        self.n - all + self.separated.iter().max().copied().unwrap_or(0)
    }
}

/// What a text may be in a column of plain numbers, and how it is written there; empty if it is no number in any
/// notation. `mark` is the decimal mark of the column.
pub(crate) fn hint(text: &str, mark: Mark) -> String {
    let mut evidence = Evidence::default();
    evidence.look(text, 1);
    let other_mark = if mark == Mark::Dot { Mark::Comma } else { Mark::Dot };
    let read = |usual| {
        let notation = evidence.notation(usual, true)?;
        Some((notation, notation.parse(text)?))
    };
    let plain = Notation { decimal: mark, ..Notation::default() };
    match (read(mark), read(other_mark)) {
        (Some((notation, value)), Some((other, other_value))) if value != other_value => format!(
            "; as one of {notation} it is {}, as one of {other} {}: write the one that is meant, or train on numbers that \
             are written so",
            plain.write(value),
            plain.write(other_value)
        ),
        (Some((notation, value)), _) | (None, Some((notation, value))) => {
            let written = plain.write(value);
            format!(
                "; it looks like one of {notation}: write {written}, or train on numbers that are written so"
            )
        }
        (None, None) => String::new(),
    }
}
