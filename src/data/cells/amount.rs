//! Numbers as people write them: `1,234.50`, `1.299,99`, `1 234`, `$12`, `12 %`, `(5)`, `4.2 kg`, `19.4M`, `<0.1`.
//!
//! A cell alone may have two readings: `1,234` is 1234 or 1.234. A column has the one reading that fits all its cells,
//! found by joining them in any order ([`Evidence`]) and kept with its type ([`Notation`]), so that a later row is read
//! as the training rows were, or is an error. If two readings fit, numbers without a separator decide, else the decimal
//! mark of the file; training then says which was taken.
//!
//! Groups and decimal marks: CLDR (Unicode Technical Standard 35, part 3); currency codes: ISO 4217.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::unit::{Unit, is_currency, may_be_a_unit, multiplier, powered};

/// Longer cells are no numbers.
const MAX_BYTES: usize = 64;

/// A decimal mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// `1.5`.
    #[default]
    Dot,
    /// `1,5`.
    Comma,
}

/// The character between groups of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Separator {
    /// `1,234`.
    Comma,
    /// `1.234`.
    Dot,
    /// `1'234`, also with U+2019.
    Apostrophe,
    /// `1 234`, also with a no-break or thin space.
    Space,
    /// `1_234`, as programmers write it.
    Underscore,
}

const SEPARATORS: [Separator; 5] =
    [Separator::Comma, Separator::Dot, Separator::Apostrophe, Separator::Space, Separator::Underscore];

impl Separator {
    fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Dot => '.',
            Self::Apostrophe => '\'',
            Self::Space => ' ',
            Self::Underscore => '_',
        }
    }
}

/// How the numbers of a column are written, unless they are all plain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notation {
    /// The decimal mark.
    pub decimal: Mark,
    /// What stands between thousands, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<Separator>,
    /// The currency or unit of all cells; it is not part of the value, so `12 %` is 12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether letters multiply: `19.4M` is 19,400,000.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multiplied: bool,
    /// Whether bounds are read as numbers: `<0.1` is 0.1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bounds: bool,
}

/// The parts of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Parts<'a> {
    negative: bool,
    /// Whether it is `<5`, `>5` or `5+`.
    bound: bool,
    numeral: &'a str,
    /// Empty if there is none.
    unit: &'a str,
    /// A letter or word that multiplies, unless it is the unit of all cells: `m` is a million or metres.
    letter: Option<(&'static str, f64)>,
}

fn is_minus(c: char) -> bool {
    matches!(c, '-' | '\u{2212}')
}

/// The value of a decimal digit of any script (Unicode general category Nd).
fn digit(c: char) -> Option<u32> {
    // The zeros of scripts whose digits have ten code points in a row.
    const ZEROS: [u32; 38] = [
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
        0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0,
        0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0,
    ];
    let c = c as u32;
    let at = ZEROS.partition_point(|&zero| zero <= c).checked_sub(1)?;
    Some(c - ZEROS[at]).filter(|&value| value < 10)
}

fn separator(c: char) -> Option<Separator> {
    match c {
        ',' | '\u{66C}' => Some(Separator::Comma),
        '.' => Some(Separator::Dot),
        '\'' | '\u{2019}' => Some(Separator::Apostrophe),
        ' ' | '\u{A0}' | '\u{202F}' | '\u{2009}' => Some(Separator::Space),
        '_' => Some(Separator::Underscore),
        _ => None,
    }
}

impl<'a> Parts<'a> {
    /// The parts of a cell; `None` if it is no number.
    fn of(text: &'a str) -> Option<Self> {
        let is_numeral = |c: char| digit(c).is_some();
        if text.len() > MAX_BYTES || !text.contains(is_numeral) {
            return None;
        }
        let (text, bound) = without_bound(text.trim());
        let (text, in_parentheses) = match text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(inner) => (inner.trim(), true),
            None => (text, false),
        };
        let mut start = text.find(is_numeral)?;
        let last = text[..text.len() - powered(text)].rfind(is_numeral)?;
        let end = last + text[last..].chars().next().map_or(0, char::len_utf8);
        // `.5` and `,5`; no `a.5`.
        if text[..start].ends_with(['.', ',']) {
            start -= 1;
        }
        let (before, n_before) = without_sign(text[..start].trim());
        let after = text[end..].trim();
        // `12,-` and `12.--`: no cents.
        let after = [",--", ".--", ",-", ".-", ",–", ",—"]
            .into_iter()
            .find_map(|sign| after.strip_prefix(sign))
            .map_or(after, str::trim);
        let (after, n_after) = match after.strip_suffix(is_minus) {
            // `5-`, as SAP writes it.
            Some("") => ("", 1),
            _ => (after, 0),
        };
        if n_before + n_after + usize::from(in_parentheses) > 1 {
            return None;
        }
        let negative = in_parentheses || n_after == 1 || text[..start].contains(is_minus);
        let (first, rest) = after.split_once(' ').unwrap_or((after, ""));
        let (letter, after) = match multiplier(first) {
            Some(letter) => (Some(letter), rest.trim()),
            None => (None, after),
        };
        let unit = match (before.is_empty(), after.is_empty()) {
            (true, true) => "",
            (false, true) if is_currency(before) => before,
            (true, false) if may_be_a_unit(after) => after,
            _ => return None,
        };
        Some(Self { negative, bound, numeral: &text[start..end], unit, letter })
    }

    /// The numeral read with each decimal mark.
    fn readings(&self) -> [Option<Reading>; 2] {
        [Mark::Dot, Mark::Comma].map(|decimal| Reading::of(self.numeral, decimal))
    }
}

/// A text without a sign that it is a bound, and whether there was one.
fn without_bound(text: &str) -> (&str, bool) {
    for sign in ["<=", ">=", "<", ">", "≤", "≥"] {
        if let Some(rest) = text.strip_prefix(sign) {
            return (rest.trim(), true);
        }
    }
    match text.strip_suffix('+') {
        Some(rest) if rest.ends_with(|c| digit(c).is_some()) => (rest, true),
        _ => (text, false),
    }
}

/// A text before a number without its sign, and how many signs it has: `-$`, `$-` and `+`.
fn without_sign(text: &str) -> (&str, usize) {
    let is_sign = |c: char| is_minus(c) || c == '+';
    let rest = text.strip_prefix(is_sign).or_else(|| text.strip_suffix(is_sign));
    (rest.unwrap_or(text).trim(), text.chars().filter(|&c| is_sign(c)).count())
}

/// What a numeral is with one decimal mark.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    value: f64,
    thousands: Option<Separator>,
    /// Whether it has a decimal mark.
    has_decimals: bool,
    /// Digits before the decimal mark.
    n_whole: usize,
}

impl Reading {
    /// `None` if the numeral is none with this mark.
    fn of(numeral: &str, decimal: Mark) -> Option<Self> {
        let mark = match decimal {
            Mark::Dot => Separator::Dot,
            Mark::Comma => Separator::Comma,
        };
        let (mut plain, mut thousands, mut has_decimals) = (String::new(), None, false);
        // Digits of the groups that have ended, and of the one that is being read.
        let (mut ended, mut group) = (Vec::new(), 0);
        for (at, c) in numeral.char_indices() {
            if let Some(digit) = digit(c) {
                plain.push(char::from_digit(digit, 10)?);
                group += 1;
            } else if c == '\u{66B}' || separator(c) == Some(mark) && c != '\u{66C}' {
                if has_decimals {
                    return None;
                }
                has_decimals = true;
                ended.push(std::mem::take(&mut group));
                plain.push('.');
            } else if matches!(c, 'e' | 'E')
                && thousands.is_none()
                && plain.ends_with(|c: char| c.is_ascii_digit())
            {
                // `1,5E+03`, as Excel writes it.
                let digits = numeral[at + 1..].trim_start_matches(['+', '-']);
                if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit())
                {
                    return None;
                }
                plain += &numeral[at..];
                break;
            } else {
                let between = separator(c)?;
                if has_decimals || thousands.is_some_and(|known| known != between) {
                    return None;
                }
                thousands = Some(between);
                ended.push(std::mem::take(&mut group));
            }
        }
        if !has_decimals {
            ended.push(group);
        }
        if thousands.is_some() && !are_groups(&ended, plain.starts_with('0')) {
            return None;
        }
        let value = plain.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(Self { value, thousands, has_decimals, n_whole: ended.iter().sum() })
    }
}

/// Whether digits between separators are thousands, or India's thousands, lakhs and crores.
fn are_groups(digits: &[usize], begins_with_0: bool) -> bool {
    let [first, inner @ .., last] = digits else { return false };
    let thousands = *first <= 3 && inner.iter().all(|&n| n == 3);
    let lakhs = *first <= 2 && !inner.is_empty() && inner.iter().all(|&n| n == 2);
    *first > 0 && *last == 3 && (thousands || lakhs) && !begins_with_0
}

impl Notation {
    /// The number that a cell is; `None` if it is none, or not in this notation.
    pub fn parse(&self, text: &str) -> Option<f64> {
        let parts = Parts::of(text)?;
        if parts.bound && !self.bounds {
            return None;
        }
        let (unit, factor) = match parts.letter {
            Some((_, factor)) if self.multiplied => (parts.unit, factor),
            // The unit of all cells.
            Some((name, _)) if parts.unit.is_empty() => (name, 1.0),
            Some(_) => return None,
            None => (parts.unit, 1.0),
        };
        let reading = Reading::of(parts.numeral, self.decimal)?;
        match self.unit {
            Some(known) if unit.is_empty() => (!known.is_a_factor() || reading.value == 0.0).then_some(())?,
            known => (unit == known.as_ref().map_or("", Unit::as_str)).then_some(())?,
        }
        if reading.thousands.is_some_and(|between| self.thousands != Some(between)) {
            return None;
        }
        let value = reading.value * factor;
        Some(if parts.negative { -value } else { value })
    }

    /// Whether every plain number, with this byte before its decimals, is one in this notation, and the same.
    pub fn reads_plain(&self, mark: u8) -> bool {
        let same = match self.decimal {
            Mark::Dot => mark == b'.',
            Mark::Comma => mark == b',',
        };
        same && !self.unit.is_some_and(|unit| unit.is_a_factor())
    }

    /// Whether its unit is a word of which nothing is known: `months`, `x`.
    pub(crate) fn has_free_unit(&self) -> bool {
        self.unit.is_some_and(|unit| !unit.is_a_factor() && !is_currency(unit.as_str()))
    }

    /// A number in this notation; [`Notation::parse`] reads the same again.
    pub fn write(&self, value: f64) -> String {
        let plain = value.abs().to_string();
        let (whole, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
        let mut text = String::new();
        if value < 0.0 {
            text.push('-');
        }
        let unit = self.unit.as_ref().map_or("", Unit::as_str);
        if is_currency(unit) {
            text += unit;
            if unit.ends_with(char::is_alphanumeric) {
                text.push(' ');
            }
        }
        for (i, digit) in whole.chars().enumerate() {
            if let Some(between) = self.thousands.filter(|_| i > 0 && (whole.len() - i) % 3 == 0) {
                text.push(between.character());
            }
            text.push(digit);
        }
        if !decimals.is_empty() {
            text.push(if self.decimal == Mark::Comma { ',' } else { '.' });
            text += decimals;
        }
        if !unit.is_empty() && !is_currency(unit) {
            if unit != "%" && multiplier(unit).is_none() {
                text.push(' ');
            }
            text += unit;
        }
        text
    }
}

/// For the table of columns: `numbers with , between thousands, in $`.
impl fmt::Display for Notation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("numbers")?;
        let mut parts = Vec::new();
        if self.decimal == Mark::Comma {
            parts.push("a decimal comma".to_string());
        }
        if let Some(between) = self.thousands {
            let between = match between {
                Separator::Space => "a space".to_string(),
                other => other.character().to_string(),
            };
            parts.push(format!("{between} between thousands"));
        }
        if self.multiplied {
            parts.push("letters such as k and M".into());
        }
        if self.bounds {
            parts.push("bounds such as <1".into());
        }
        if !parts.is_empty() {
            write!(f, " with {}", parts.join(" and "))?;
        }
        match self.unit {
            Some(unit) => write!(f, " in {}", unit.as_str()),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of the cells in the notation of them all, and that notation as it is shown.
    fn read(cells: &[&str], usual: Mark) -> Option<(Vec<f64>, String)> {
        let evidence = |cells: &mut dyn Iterator<Item = &&str>| {
            let mut evidence = Evidence::default();
            let all = cells.map(|cell| evidence.look(cell, 1)).collect::<Vec<_>>();
            all.iter().all(|fits| *fits).then_some(evidence)
        };
        let joined = evidence(&mut cells.iter());
        assert_eq!(joined, evidence(&mut cells.iter().rev()), "the order does not matter");
        let notation = joined?.notation(usual, false)?;
        let values: Vec<f64> = cells
            .iter()
            .map(|cell| notation.parse(cell).unwrap_or_else(|| panic!("{cell:?} {notation:?}")))
            .collect();
        Some((values, notation.to_string()))
    }

    fn values(cells: &[&str]) -> Vec<f64> {
        read(cells, Mark::Dot).unwrap_or_else(|| panic!("{cells:?}")).0
    }

    #[test]
    fn thousands_are_read_whatever_is_between_them() {
        for cells in [
            ["1,234", "12", "1,234,567.5"],
            ["1.234", "12", "1.234.567,5"],
            ["1 234", "12", "1 234 567.5"],
            ["1\u{202f}234", "12", "1\u{a0}234\u{2009}567,5"],
            ["1'234", "12", "1\u{2019}234\u{2019}567.5"],
            ["1_234", "12", "1_234_567.5"],
            ["1,234", "12", "12,34,567.5"],
        ] {
            assert_eq!(values(&cells), [1234.0, 12.0, 1_234_567.5], "{cells:?}");
        }
    }

    #[test]
    fn one_reading_of_a_column_fits_all_its_cells() {
        assert_eq!(values(&["1,234", "13,42"]), [1.234, 13.42]);
        assert_eq!(values(&["1.234", "13,42"]), [1234.0, 13.42]);
        assert_eq!(values(&["1,234", "0,125"]), [1.234, 0.125], "no thousand begins with 0");
        assert_eq!(values(&["1,250", "980", "3"]), [1250.0, 980.0, 3.0], "decimals would be written");
        assert_eq!(values(&["1,250", "1234"]), [1.25, 1234.0], "thousands would be parted");
        assert_eq!(read(&["1,234.5", "1.234,5"], Mark::Dot), None);
        assert_eq!(
            values(&["1,234", "1 234"]),
            [1.234, 1234.0],
            "two separators are not both between thousands"
        );
        assert_eq!(read(&["1'234", "1 234"], Mark::Dot), None);
    }

    #[test]
    fn if_both_readings_fit_the_mark_of_the_file_decides() {
        let cells = ["45,210", "9,148"];
        let (values, shown) = read(&cells, Mark::Dot).unwrap();
        assert_eq!((values, shown.as_str()), (vec![45_210.0, 9_148.0], "numbers with , between thousands"));
        let (values, shown) = read(&cells, Mark::Comma).unwrap();
        assert_eq!((values, shown.as_str()), (vec![45.21, 9.148], "numbers with a decimal comma"));
    }

    #[test]
    fn negative_numbers_have_a_minus_or_parentheses() {
        let cells = ["-5", "\u{2212}5", "(5)", "5-", "-$5", "$-5", "($5.00)", "- 5", "+5"];
        assert_eq!(values(&cells), [-5.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0, 5.0]);
        for cell in ["--5", "-(5)", "(-5)", "(5", "5)", "-5-", "-", "()"] {
            assert_eq!(read(&[cell], Mark::Dot), None, "{cell}");
        }
    }

    #[test]
    fn a_unit_in_few_cells_is_none_unless_it_is_known() {
        let with = |text: &str, n: usize| {
            let mut evidence = Evidence::default();
            evidence.look(text, n);
            (0..90).for_each(|i| assert!(evidence.look(&i.to_string(), 1)));
            let notation = evidence.notation(Mark::Dot, false).unwrap();
            (notation.parse(text), evidence.n_strays(&notation))
        };
        assert_eq!(with("12a", 1), (None, 1));
        assert_eq!(with("12 kg", 9), (None, 9));
        assert_eq!(with("12 kg", 10), (Some(12.0), 0));
        assert_eq!(with("$12", 1), (Some(12.0), 0));
        assert_eq!(with("12k", 1), (Some(12_000.0), 0));
    }

    #[test]
    fn a_unit_is_the_same_throughout() {
        assert_eq!(values(&["$1,020.00", "$ 3", "17"]), [1020.0, 3.0, 17.0]);
        assert_eq!(values(&["12,5 €", "3 €"]), [12.5, 3.0]);
        assert_eq!(values(&["EUR 12.5", "3 EUR"]), [12.5, 3.0]);
        assert_eq!(values(&["4.2 kg", "11kg"]), [4.2, 11.0]);
        assert_eq!(values(&["60 months", "36 months"]), [60.0, 36.0]);
        assert_eq!(values(&["12.50%", "3 %"]), [12.5, 3.0]);
        assert_eq!(values(&["1.80 m", "1.7 m"]), [1.8, 1.7], "metres");
        assert_eq!(values(&["85.5 m2", "1,020 m2", "3m2"]), [85.5, 1020.0, 3.0]);
        assert_eq!(values(&["12.5/km2", "3/km2"]), [12.5, 3.0]);
        assert_eq!(values(&["12,-", "3,50", "1.200,--", "5,- "]), [12.0, 3.5, 1200.0, 5.0]);
        assert_eq!(values(&["12,- €", "3,50 €"]), [12.0, 3.5]);
        for cells in
            [&["4.2 kg", "300 g"][..], &["12 %", "0.12"], &["$5", "€5"], &["1st", "2nd"], &["2 m", "5 kg"]]
        {
            assert_eq!(read(cells, Mark::Dot), None, "{cells:?}");
        }
    }

    #[test]
    fn letters_multiply() {
        assert_eq!(values(&["19.4M", "870k", "12"]), [19_400_000.0, 870_000.0, 12.0]);
        assert_eq!(values(&["$1.2bn", "$3m", "$4k"]), [1.2e9, 3e6, 4e3]);
        assert_eq!(values(&["1,5 Mio. €", "3 Mrd €"]), [1.5e6, 3e9]);
        let notation = Notation { multiplied: false, ..Notation::default() };
        assert_eq!(notation.parse("5k"), None, "not in a column that has none");
    }

    #[test]
    fn digits_of_any_script_are_digits() {
        assert_eq!(
            values(&["٦٢", "१२", "１２", "12", "٣٫٥", "١٬٢٣٤"]),
            [62.0, 12.0, 12.0, 12.0, 3.5, 1234.0]
        );
        assert_eq!(read(&["²"], Mark::Dot), None);
    }

    #[test]
    fn codes_names_and_dates_are_no_numbers() {
        for cell in [
            "",
            "x",
            "B12",
            "m2",
            "5 Room2",
            "5 m4",
            "12,-5",
            "Room 12",
            "SKU-123",
            "v1.2",
            "1.2.3",
            "12-34",
            "1/2",
            "3:45",
            "2024-01-02",
            "10,00,0",
            "1,23,456.7.8",
            "0x4d2",
            "12_34",
            "_1",
            "1e2641",
            "12 kg 3",
            "5 very long words here",
            "192.168.0.1",
            "1,,234",
            ",",
            "1, 234",
            "#5",
            "5#",
        ] {
            assert_eq!(read(&[cell], Mark::Dot), None, "{cell:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            hundredths in -1_000_000_000_000_i64..1_000_000_000_000,
            decimal in prop::sample::select(vec![Mark::Dot, Mark::Comma]),
            thousands in prop::sample::select(vec![None, Some(Separator::Apostrophe), Some(Separator::Space)]),
            unit in prop::sample::select(vec!["", "$", "CHF", "kg", "%", "M", "months"]),
        ) {
            let notation = Notation { decimal, thousands, unit: Unit::new(unit).filter(|_| !unit.is_empty()), ..Notation::default() };
            let value = hundredths as f64 / 100.0;
            prop_assert_eq!(notation.parse(&notation.write(value)), Some(value));
        }

        #[test]
        fn the_order_of_cells_does_not_matter_and_no_text_is_too_odd(
            cells in prop::collection::vec("[(<$€-]{0,2}[0-9.,' ٣]{0,9}[%kM)+e]{0,2}|.{0,9}", 0..12)
        ) {
            let join = |cells: &mut dyn Iterator<Item = &String>| {
                let mut evidence = Evidence::default();
                cells.for_each(|cell| { evidence.look(cell, 1); });
                evidence
            };
            let evidence = join(&mut cells.iter());
            prop_assert_eq!(&evidence, &join(&mut cells.iter().rev()));
            for usual in [Mark::Dot, Mark::Comma] {
                if let Some(notation) = evidence.notation(usual, false) {
                    let n = cells.iter().filter(|cell| notation.parse(cell).is_some()).count();
                    prop_assert!(n * 10 >= evidence.amounts * 5, "{notation:?} reads {n} of {cells:?}");
                }
            }
        }
    }

    #[test]
    fn a_later_cell_is_read_as_the_column_is_written_or_not_at_all() {
        let plain = Notation::default();
        assert_eq!(plain.parse("1,250"), None);
        let german = Notation { decimal: Mark::Comma, thousands: Some(Separator::Dot), ..plain };
        assert_eq!(
            (german.parse("1.250"), german.parse("1.25"), german.parse("1,25")),
            (Some(1250.0), None, Some(1.25))
        );
        let kilos = Notation { unit: Unit::new("kg"), ..plain };
        assert_eq!(
            (kilos.parse("3 kg"), kilos.parse("3"), kilos.parse("3 lb")),
            (Some(3.0), Some(3.0), None)
        );
    }
}
