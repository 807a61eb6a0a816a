//! How the cells of numbers, booleans and dates are written, and the codes of such cells.

use serde::{Deserialize, Serialize};

use super::boolean::Words;
use super::cell::{Cell, ColumnType};
use super::date;

/// How the cells of a column are written, where its type leaves that open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notation {
    /// A date's.
    Date(date::Notation),
    /// The words of a boolean; those of older model files are `true` and `false`, which need no notation.
    Boolean(Words),
}

impl ColumnType {
    /// The code of a cell in a column without levels; NaN for a missing one.
    ///
    /// # Errors
    /// The cell is not of this type; the text says what it is instead.
    pub fn plain_code(self, cell: Cell, notation: Option<Notation>) -> Result<f64, String> {
        if self == Self::Date {
            let notation = match notation {
                Some(Notation::Date(notation)) => notation,
                _ => date::Notation::default(),
            };
            return match cell {
                Cell::Missing => Ok(f64::NAN),
                Cell::Text(text) => date::parse(text, notation),
                Cell::Number(value) if notation.numbers => date::from_number(value),
                Cell::Number(value) => Err(date::not_a_date(&value.to_string())),
                Cell::Boolean(value) => Err(date::not_a_date(&value.to_string())),
            };
        }
        let words = match notation {
            Some(Notation::Boolean(words)) => words,
            _ => Words::TrueFalse,
        };
        let wanted = || match self {
            Self::Boolean => format!("{} or {}", words.text(true), words.text(false)),
            _ => "a number".to_string(),
        };
        match (self, cell) {
            (_, Cell::Missing) => Ok(f64::NAN),
            (Self::Boolean, Cell::Boolean(value)) => Ok(f64::from(u8::from(value))),
            (Self::Boolean, Cell::Number(value)) if value == 0.0 || value == 1.0 => Ok(value),
            (Self::Boolean, Cell::Text(text)) => {
                words.parse(text).ok_or_else(|| format!("{} is not {}", quote(text), wanted()))
            }
            (Self::Boolean, Cell::Number(value)) => Err(format!("{value} is not {}", wanted())),
            (_, Cell::Boolean(value)) => Err(format!("{value} is not {}", wanted())),
            (_, Cell::Number(value)) if value.is_finite() => Ok(value),
            (_, Cell::Number(_)) => Err("the number is too large".into()),
            (_, Cell::Text(text)) => match text.parse::<f64>() {
                Ok(value) if value.is_infinite() => Err(format!("{text:?} is not a finite number")),
                Ok(value) => Ok(value),
                Err(_) => Err(format!("{} is not {}", quote(text), wanted())),
            },
        }
    }
}

/// A cell's text in a message: escaped, and not longer than a line.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
