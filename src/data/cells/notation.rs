//! How the cells of numbers, booleans and dates are written, and the codes of such cells.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::boolean::Words;
use super::cell::{Cell, ColumnType};
use super::{amount, date, duration, list, number, pair};
use crate::names::quote;

/// How the cells of a column are written, if its type leaves that open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notation {
    /// A date's.
    Date(date::Notation),
    /// The words of a boolean; those of older model files are `true` and `false`, which need no notation.
    Boolean(Words),
    /// The separators and units of a number; none if every training row is written plainly.
    Number(amount::Notation),
    /// A whole number such as `0x1F`.
    Hexadecimal,
    /// A number that is a duration in seconds.
    Duration(duration::Notation),
    /// Of lists among texts.
    List(list::Style),
    /// Of pairs of numbers, which are kept as texts.
    Pair(pair::Style),
}

impl Notation {
    /// Whether it is one of numbers.
    pub(crate) fn is_of_numbers(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Duration(_) | Self::Hexadecimal)
    }

    /// The number that a text is in this notation, if it is one of numbers.
    pub fn number(&self, text: &str) -> Option<f64> {
        match self {
            Self::Number(notation) => notation.parse(text),
            Self::Duration(notation) => notation.parse(text).or((text == "0").then_some(0.0)),
            Self::Hexadecimal => number::hexadecimal(text),
            Self::Date(_) | Self::Boolean(_) | Self::List(_) | Self::Pair(_) => None,
        }
    }

    /// A number as this notation writes it, if it is one of numbers.
    pub(crate) fn write(&self, value: f64) -> Option<String> {
        match self {
            Self::Number(notation) => Some(notation.write(value)),
            Self::Duration(_) => Some(duration::write(value)),
            Self::Hexadecimal => Some(number::write_hexadecimal(value)),
            Self::Date(_) | Self::Boolean(_) | Self::List(_) | Self::Pair(_) => None,
        }
    }
}

/// For the table of columns, if it is a notation of numbers.
impl fmt::Display for Notation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Number(notation) => notation.fmt(f),
            Self::Duration(notation) => notation.fmt(f),
            Self::Hexadecimal => f.write_str("hexadecimal numbers"),
            Self::Date(_) => f.write_str("dates"),
            Self::Boolean(words) => write!(f, "{} or {}", words.text(true), words.text(false)),
            Self::List(_) => f.write_str("lists"),
            Self::Pair(_) => f.write_str("pairs of numbers"),
        }
    }
}

impl ColumnType {
    /// The code of a cell in a column without levels; NaN for a missing one.
    ///
    /// # Errors
    /// The cell is not of this type; the text names its value.
    pub fn plain_code(self, cell: Cell, notation: Option<Notation>) -> Result<f64, String> {
        if self == Self::Date {
            let notation = match notation {
                Some(Notation::Date(notation)) => notation,
                _ => date::Notation::default(),
            };
            return match cell {
                Cell::Missing => Ok(f64::NAN),
                Cell::Text(text) => date::parse(text, notation),
                Cell::Number(value) if notation.numbers => date::from_number(value, notation.unit),
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
            (_, Cell::Text(text)) if notation.is_some_and(|notation| notation.is_of_numbers()) => {
                written_number(text, notation)
            }
            (_, Cell::Text(text)) => match text.parse::<f64>() {
                Ok(value) if value.is_infinite() => Err(format!("{} is not a finite number", quote(text))),
                Ok(value) => Ok(value),
                Err(_) => Err(format!("{} is not {}", quote(text), wanted())),
            },
        }
    }
}

/// The number that a text is in a notation of numbers; NaN if it says that there is none.
fn written_number(text: &str, notation: Option<Notation>) -> Result<f64, String> {
    let Some(notation) = notation else { return Ok(f64::NAN) };
    match notation.number(text) {
        Some(value) => Ok(value),
        None if text.parse().is_ok_and(f64::is_nan) => Ok(f64::NAN),
        None => Err(format!(
            "{} is not a number as this column has them: {notation}, such as {}",
            quote(text),
            notation.write(1234.5).unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(column_type: ColumnType, cell: Cell) -> Result<f64, String> {
        column_type.plain_code(cell, None)
    }

    #[test]
    fn a_missing_cell_is_missing_in_a_column_of_any_type() {
        for column_type in [ColumnType::Number, ColumnType::Boolean, ColumnType::Date] {
            assert!(code(column_type, Cell::Missing).unwrap().is_nan());
        }
    }

    #[test]
    fn a_number_is_a_finite_number_or_its_text() {
        for (cell, wanted) in [
            (Cell::Number(2.5), 2.5),
            (Cell::Text("2.5"), 2.5),
            (Cell::Text("-1e3"), -1000.0),
            (Cell::Number(0.0), 0.0),
        ] {
            assert_eq!(code(ColumnType::Number, cell), Ok(wanted));
        }
        for (cell, hint) in [
            (Cell::Text("big"), "\"big\" is not a number"),
            (Cell::Text("1,5"), "\"1,5\" is not a number"),
            (Cell::Boolean(true), "true is not a number"),
            (Cell::Text("inf"), "not a finite number"),
            (Cell::Text("1e999"), "not a finite number"),
            (Cell::Number(f64::INFINITY), "too large"),
        ] {
            let error = code(ColumnType::Number, cell).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_boolean_is_one_of_json_0_or_1_or_a_word_of_its_column() {
        let words = Some(Notation::Boolean(Words::YesNo));
        for (cell, wanted) in [
            (Cell::Boolean(true), 1.0),
            (Cell::Boolean(false), 0.0),
            (Cell::Number(1.0), 1.0),
            (Cell::Number(0.0), 0.0),
            (Cell::Text("TRUE"), 1.0),
            (Cell::Text("0"), 0.0),
        ] {
            assert_eq!(code(ColumnType::Boolean, cell), Ok(wanted));
            assert_eq!(ColumnType::Boolean.plain_code(cell, words), Ok(wanted));
        }
        assert_eq!(ColumnType::Boolean.plain_code(Cell::Text("No"), words), Ok(0.0));
        let error = code(ColumnType::Boolean, Cell::Text("no")).unwrap_err();
        assert_eq!(error, "\"no\" is not true or false");
        assert_eq!(code(ColumnType::Boolean, Cell::Number(2.0)).unwrap_err(), "2 is not true or false");
        let error = ColumnType::Boolean.plain_code(Cell::Text("on"), words).unwrap_err();
        assert_eq!(error, "\"on\" is not yes or no");
    }

    #[test]
    fn a_date_is_read_as_its_column_writes_it() {
        let date_notation = |order, numbers| date::Notation { order, numbers, unit: None };
        let day_first = date_notation(Some(date::Order::DayFirst), false);
        let month_first = date_notation(Some(date::Order::MonthFirst), false);
        let read =
            |text, notation| ColumnType::Date.plain_code(Cell::Text(text), Some(Notation::Date(notation)));
        let iso = |text| code(ColumnType::Date, Cell::Text(text)).unwrap();
        assert_eq!(iso("1970-01-02"), 86_400.0);
        assert_eq!(read("05/03/2024", day_first), Ok(iso("2024-03-05")));
        assert_eq!(read("05/03/2024", month_first), Ok(iso("2024-05-03")));
        assert!(code(ColumnType::Date, Cell::Text("05/03/2024")).is_err(), "either order is possible");
        // Numbers are dates only in a column that was trained on such.
        let numbers = Some(Notation::Date(date_notation(None, true)));
        let number = Cell::Number(20_240_305.0);
        assert_eq!(ColumnType::Date.plain_code(number, numbers), Ok(iso("2024-03-05")));
        assert!(code(ColumnType::Date, number).unwrap_err().contains("not a date"));
        assert!(ColumnType::Date.plain_code(Cell::Boolean(true), numbers).is_err());
    }
}
