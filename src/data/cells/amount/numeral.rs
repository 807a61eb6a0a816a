//! One cell as a number: sign, bound, numeral, unit and letter, and the numeral with either decimal mark.

use serde::{Deserialize, Serialize};

use crate::data::cells::unit::{is_currency, may_be_a_unit, multiplier, powered};

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

pub(super) const SEPARATORS: [Separator; 5] =
    [Separator::Comma, Separator::Dot, Separator::Apostrophe, Separator::Space, Separator::Underscore];

impl Separator {
    pub(super) fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Dot => '.',
            Self::Apostrophe => '\'',
            Self::Space => ' ',
            Self::Underscore => '_',
        }
    }
}

/// The parts of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Parts<'a> {
    pub(super) negative: bool,
    /// Whether it is `<5`, `>5` or `5+`.
    pub(super) bound: bool,
    pub(super) numeral: &'a str,
    /// Empty if there is none.
    pub(super) unit: &'a str,
    /// A letter or word that multiplies, unless it is the unit of all cells: `m` is a million or metres.
    pub(super) letter: Option<(&'static str, f64)>,
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
    pub(super) fn of(text: &'a str) -> Option<Self> {
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
    pub(super) fn readings(&self) -> [Option<Reading>; 2] {
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
pub(super) struct Reading {
    pub(super) value: f64,
    pub(super) thousands: Option<Separator>,
    /// Whether it has a decimal mark.
    pub(super) has_decimals: bool,
    /// Digits before the decimal mark.
    pub(super) n_whole: usize,
}

impl Reading {
    /// `None` if the numeral is none with this mark.
    pub(super) fn of(numeral: &str, decimal: Mark) -> Option<Self> {
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
