//! The ground words of data: one cell, the types of columns, the tasks, and the tokens that mean "no value".
//!
//! Every cell, whether it comes from CSV, NDJSON, the command line or an HTTP body, is a [`Cell`] before it is
//! checked against a column. Imports no sibling; every other file of this room may import it.

use serde::{Deserialize, Serialize};

/// The code of a category that did not occur in the training rows.
pub const UNSEEN: f64 = -1.0;

/// The code of a missing category in a typed column.
pub const MISSING_LEVEL: u32 = u32::MAX;

/// Cells that mean "no value", whatever the column: the tokens `pandas.read_csv` takes by default (pandas 3,
/// `na_values`), and those that Weka/UCI files (`?`), MySQL (`\N`) and Excel's error cells add.
const NULL_TOKENS: [&str; 31] = [
    "", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA",
    "#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?", "-", "--", "\\N", "NAN", "Null", "#NULL!",
    "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!",
];

/// The tokens that mean "no value": the built-in ones and those the user adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NullTokens {
    added: Vec<String>,
}

impl NullTokens {
    /// The built-in tokens and `added`.
    pub fn with(added: Vec<String>) -> Self {
        Self { added }
    }

    /// Whether a number may mean "no value", so that every number has to be looked at as text.
    pub fn may_be_numbers(&self) -> bool {
        self.added
            .iter()
            .any(|token| token.parse::<f64>().is_ok() || token.replace(',', ".").parse::<f64>().is_ok())
    }

    /// All of them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        NULL_TOKENS.into_iter().chain(self.added.iter().map(String::as_str))
    }

    /// The cell that `text` stands for; white space around it does not count.
    pub fn cell<'a>(&self, text: &'a str) -> Cell<'a> {
        let text = crate::plain::trim(text);
        // No built-in token is longer than eight bytes; most cells need no further look.
        let built_in = text.len() <= 8 && NULL_TOKENS.contains(&text);
        if built_in || self.added.iter().any(|token| token == text) {
            Cell::Missing
        } else {
            Cell::Text(text)
        }
    }
}

/// One value of a row before it is checked against a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Missing,
    /// A JSON number.
    Number(f64),
    /// A JSON boolean.
    Boolean(bool),
    /// A CSV field or a JSON string, trimmed.
    Text(&'a str),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Finite numbers.
    Number,
    /// `true` and `false` or another pair of words, in any letter case.
    Boolean,
    /// Labels with no order.
    Category,
    /// Words and sentences.
    Text,
    /// Days and times.
    Date,
}

impl ColumnType {
    /// The name in messages, flags and the model file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Category => "category",
            Self::Text => "text",
            Self::Date => "date",
        }
    }
}

/// The kind of target: a label or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two or more labels.
    Classification,
    /// A number.
    Regression,
}

impl Task {
    /// The name in messages, flags and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_tokens_and_added_ones_are_missing_values() {
        let nulls = NullTokens::with(vec!["none given".into()]);
        for text in ["", "  ", "NA", "N/A", "NaN", "null", "?", " ? ", "none given"] {
            assert_eq!(nulls.cell(text), Cell::Missing, "{text:?}");
        }
        assert_eq!(nulls.cell(" Na "), Cell::Text("Na"), "sodium is a value");
        assert!(
            nulls.texts().all(|token| nulls.cell(token) == Cell::Missing),
            "none is longer than looked at"
        );
    }

    #[test]
    fn an_added_token_that_is_a_number_is_known_whatever_its_decimal_mark() {
        for (token, expected) in [("-999", true), ("-1,5", true), ("none", false), ("1.2.3", false)] {
            assert_eq!(NullTokens::with(vec![token.into()]).may_be_numbers(), expected, "{token}");
        }
        assert!(!NullTokens::default().may_be_numbers());
    }
}
