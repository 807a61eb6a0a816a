//! How the numbers of a column are written: a later cell is read, and a number shown, in the same way.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::numeral::{Mark, Parts, Reading, Separator};
use crate::data::cells::unit::{Unit, is_currency, multiplier};

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
