//! The ground words of data: one cell, the types of columns, the tasks, and the tokens that mean "no value".
//!
//! Every cell, whether it comes from CSV, NDJSON, the command line or an HTTP body, is a [`Cell`] before it is
//! checked against a column. Imports no sibling; every other file of this room may import it.

use std::collections::BTreeMap;

use crate::order;
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

/// The tokens that mean "no value": the built-in ones and those the user adds, without those that are values here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct NullTokens {
    added: Vec<String>,
    /// Tokens that are values, in every column.
    values: Vec<String>,
    /// The tokens of columns in which others are values.
    columns: BTreeMap<String, NullTokens>,
}

/// The form in a model file. Only that of a model with exceptions is an object: a program that does not know them
/// refuses it, where it would read values as missing.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Added(Vec<String>),
    Exceptions { added: Vec<String>, values: Vec<String>, columns: BTreeMap<String, Vec<String>> },
}

impl From<NullTokens> for Stored {
    fn from(tokens: NullTokens) -> Self {
        let NullTokens { added, values, columns } = tokens;
        if values.is_empty() && columns.is_empty() {
            return Self::Added(added);
        }
        let columns = order::map(columns.into_iter().map(|(name, tokens)| (name, tokens.values)));
        Self::Exceptions { added, values, columns }
    }
}

impl From<Stored> for NullTokens {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Added(added) => Self::with(added),
            Stored::Exceptions { added, values, columns } => {
                let of_column = |values| Self { added: added.clone(), values, columns: BTreeMap::new() };
                let columns = order::map(columns.into_iter().map(|(name, values)| (name, of_column(values))));
                Self { added, values, columns }
            }
        }
    }
}

impl NullTokens {
    /// The built-in tokens and `added`.
    pub fn with(added: Vec<String>) -> Self {
        Self { added, ..Self::default() }
    }

    /// Makes `token` a value in `column`, or in every column.
    ///
    /// # Errors
    /// A text that does not mean "no value" anyway, and the empty one, which always does.
    pub fn keep(&mut self, column: Option<&str>, token: &str) -> Result<(), String> {
        if token.is_empty() {
            return Err("an empty cell is always a missing value".into());
        }
        if !NULL_TOKENS.contains(&token) && !self.added.iter().any(|added| added == token) {
            let words = NULL_TOKENS[1..].join(" ");
            return Err(format!(
                "{token:?} is a value already; the words that mean a missing value are {words}"
            ));
        }
        match column {
            Some(column) => {
                let (added, values) = (&self.added, &self.values);
                let fresh =
                    || Self { added: added.clone(), values: values.clone(), columns: BTreeMap::new() };
                self.columns.entry(column.into()).or_insert_with(fresh).values.push(token.into());
            }
            None if self.added.iter().any(|added| added == token) => {
                return Err(format!(
                    "--null {token} says that it is a missing value; name the column in which it is not"
                ));
            }
            None => {
                let all = self.columns.values_mut().map(|tokens| &mut tokens.values);
                all.chain([&mut self.values]).for_each(|values| values.push(token.into()));
            }
        }
        Ok(())
    }

    /// The tokens of a column.
    #[inline]
    pub fn of(&self, column: &str) -> &Self {
        if self.columns.is_empty() { self } else { self.columns.get(column).unwrap_or(self) }
    }

    /// The columns with tokens of their own, and the tokens that are values there.
    pub fn exceptions(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.columns.iter().map(|(name, tokens)| (name.as_str(), tokens.values.as_slice()))
    }

    /// Whether a number may mean "no value", so that every number has to be looked at as text.
    pub fn may_be_numbers(&self) -> bool {
        self.added
            .iter()
            .any(|token| token.parse::<f64>().is_ok() || token.replace(',', ".").parse::<f64>().is_ok())
    }

    /// All of them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let all = NULL_TOKENS.into_iter().chain(self.added.iter().map(String::as_str));
        all.filter(|token| !self.is_value(token))
    }

    fn is_value(&self, token: &str) -> bool {
        self.values.iter().any(|value| value == token)
    }

    /// The cell that `text` stands for; white space around it does not count.
    pub fn cell<'a>(&self, text: &'a str) -> Cell<'a> {
        let text = crate::plain::trim(text);
        // No built-in token is longer than eight bytes; most cells need no further look.
        let built_in = text.len() <= 8 && NULL_TOKENS.contains(&text);
        if (built_in || self.added.iter().any(|token| token == text)) && !self.is_value(text) {
            Cell::Missing
        } else {
            Cell::Text(text)
        }
    }
}

/// Whether a built-in token may also be a value: the country NA, the answer None, the surname Null, the sign of a blood
/// group. The others say themselves that there is none.
pub(crate) fn may_be_value(token: &str) -> bool {
    matches!(token, "NA" | "None" | "NULL" | "Null" | "null" | "?" | "-" | "--")
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

/// What a row may have that the model does not know or take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// Nothing.
    Strict,
    /// Columns that the model does not know, as long as no feature is missing.
    Extra,
    /// Missing and unknown columns; cells of another type are missing values.
    Lenient,
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

    #[test]
    fn a_word_that_is_kept_is_a_value_in_its_column_or_in_all() {
        let mut nulls = NullTokens::with(vec!["-9".into()]);
        nulls.keep(Some("country"), "NA").unwrap();
        nulls.keep(Some("x"), "-9").unwrap();
        nulls.keep(None, "None").unwrap();
        nulls.keep(Some("late"), "null").unwrap();
        let is_missing = |column: &str, text| nulls.of(column).cell(text) == Cell::Missing;
        for (column, text, expected) in [
            ("country", "NA", false),
            ("country", " NA ", false),
            ("country", "N/A", true),
            ("other", "NA", true),
            ("country", "None", false),
            ("late", "None", false),
            ("other", "None", false),
            ("x", "-9", false),
            ("country", "-9", true),
            ("country", "", true),
        ] {
            assert_eq!(is_missing(column, text), expected, "{column} {text:?}");
        }
        assert!(nulls.texts().all(|token| token != "None") && nulls.texts().any(|token| token == "NA"));
        let json = serde_json::to_string(&nulls).unwrap();
        assert_eq!(serde_json::from_str::<NullTokens>(&json).unwrap(), nulls);
    }

    #[test]
    fn tokens_without_exceptions_are_stored_as_they_always_were() {
        let nulls = NullTokens::with(vec!["-9".into()]);
        assert_eq!(serde_json::to_string(&nulls).unwrap(), "[\"-9\"]");
        assert_eq!(serde_json::from_str::<NullTokens>("[\"-9\"]").unwrap(), nulls);
    }

    #[test]
    fn a_word_that_cannot_be_kept_is_refused_with_the_reason() {
        let mut nulls = NullTokens::with(vec!["none given".into()]);
        for (token, wanted) in
            [("", "always"), ("many", "a value already"), ("none given", "--null none given says")]
        {
            let error = nulls.keep(None, token).unwrap_err();
            assert!(error.contains(wanted), "{token}: {error}");
        }
    }
}
