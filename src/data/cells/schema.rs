//! What each column is, and the one place where a cell becomes a number.
//!
//! Every cell, whether it comes from CSV, NDJSON, the command line or an HTTP body, becomes a [`Cell`], and
//! [`Feature::code`] turns that into one `f64` *code*: the number itself, 0 or 1 for a boolean, the index of
//! the level for a category, seconds since 1970 (UTC) for a date, [`UNSEEN`] for a category that training did not see, the place of a text among the
//! texts beside the codes, NaN for a missing value.
//! A row of codes is what [`crate::data::prepare::recipe::Recipe`] encodes.

use std::collections::HashMap;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::boolean::Words;
use super::date;
pub use super::feature::{Feature, Histogram};
use super::matrix::Matrix;
use super::table::{Column, RawTable, Table};
pub use super::target::{Target, Task};
use super::text::Texts;

/// The code of a category that did not occur in the training rows.
pub const UNSEEN: f64 = -1.0;

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
        let text = text.trim();
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

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Finite numbers.
    Number,
    /// `true` and `false` or another pair of words, in any case.
    Boolean,
    /// Labels with no order.
    Category,
    /// Words and sentences.
    Text,
    /// Days and times.
    Date,
}

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
    /// The name used in messages, flags and the model file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Category => "category",
            Self::Text => "text",
            Self::Date => "date",
        }
    }

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
fn quote(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A column of the training file that is neither target nor feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ignored {
    /// The column's name.
    pub name: String,
    /// Why it is not used.
    pub reason: String,
}

/// The columns of the training file: the target, the features in use, the ones left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Schema {
    /// The column to predict.
    pub target: Target,
    /// The columns the model looks at, in file order.
    pub features: Vec<Feature>,
    /// The columns left out.
    pub ignored: Vec<Ignored>,
    /// Every column's name, in file order.
    pub columns: Vec<String>,
    /// Whether the training file had a header line.
    pub header: bool,
    /// The byte between two fields of the training file.
    pub delimiter: u8,
    /// Whether the numbers of the training file have a decimal comma.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decimal_comma: bool,
    /// What means "no value".
    pub null_tokens: NullTokens,
    #[serde(skip)]
    index: HashMap<String, usize>,
}

/// Something unusual in a row that is predicted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Row of the request or batch, from 0.
    pub row: usize,
    /// Index of the feature.
    pub feature: usize,
    /// What is unusual.
    pub kind: WarningKind,
}

/// The kinds of [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WarningKind {
    /// No value.
    MissingValue,
    /// A category that the training rows did not hold.
    UnseenCategory,
    /// A number below the smallest or above the largest of the training rows.
    OutOfRange,
}

impl WarningKind {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingValue => "missing_value",
            Self::UnseenCategory => "unseen_category",
            Self::OutOfRange => "out_of_range",
        }
    }
}

impl Schema {
    /// Fits what the training rows say about each feature: levels, range, mean, gaps.
    ///
    /// `features` are columns of `table` with their types; only `rows` are looked at.
    pub fn fit(
        table: &Table,
        features: &[(usize, ColumnType)],
        target: Target,
        ignored: Vec<Ignored>,
        rows: &[usize],
    ) -> Self {
        let features = features.iter().map(|&(index, column_type)| {
            Feature::fit(&table.names[index], column_type, &table.columns[index], rows)
        });
        Self {
            target,
            features: features.collect(),
            ignored,
            columns: table.names.clone(),
            header: true,
            delimiter: b',',
            decimal_comma: false,
            null_tokens: NullTokens::default(),
            index: HashMap::new(),
        }
        .indexed()
    }

    /// Makes the name look-up; to be called on a schema that was read from a file.
    pub fn indexed(mut self) -> Self {
        let names = self.features.iter().enumerate();
        self.index = names.map(|(i, f)| (f.name.clone(), i)).collect();
        self
    }

    /// Checks what cannot be wrong in a schema that this program wrote.
    ///
    /// # Errors
    /// The first thing that is inconsistent.
    pub fn validate(&self) -> Result<()> {
        if self.features.is_empty() {
            bail!("the schema has no features");
        }
        if self.index.len() != self.features.len() {
            bail!("two features have one name");
        }
        for feature in &self.features {
            let sorted = feature.levels.windows(2).all(|pair| pair[0] < pair[1]);
            let category = feature.column_type == ColumnType::Category;
            if !sorted
                || feature.counts.len() != feature.levels.len()
                || (!category && !feature.levels.is_empty())
                || ![feature.min, feature.max, feature.mean].iter().all(|v| v.is_finite())
                || feature.histogram.as_ref().is_some_and(|h| h.counts.len() != h.edges.len() + 1)
                || (feature.column_type == ColumnType::Date && !date::in_calendar(feature.min, feature.max))
            {
                bail!("feature {:?} is inconsistent", feature.name);
            }
        }
        self.target.validate()
    }

    /// The indices of the features that are texts.
    pub fn texts(&self) -> impl Iterator<Item = usize> + '_ {
        self.of_type(ColumnType::Text)
    }

    /// The indices of the features that are dates.
    pub fn dates(&self) -> impl Iterator<Item = usize> + '_ {
        self.of_type(ColumnType::Date)
    }

    fn of_type(&self, wanted: ColumnType) -> impl Iterator<Item = usize> + '_ {
        let types = self.features.iter().map(|feature| feature.column_type).enumerate();
        types.filter_map(move |(index, column_type)| (column_type == wanted).then_some(index))
    }

    /// Number of features.
    pub fn n_features(&self) -> usize {
        self.features.len()
    }

    /// The index of the feature called `name`; `expected` is tried first, because rows by name mostly come
    /// in the model's order.
    pub fn feature_index(&self, name: &str, expected: usize) -> Option<usize> {
        match self.features.get(expected) {
            Some(feature) if feature.name == name => Some(expected),
            _ => self.index.get(name).copied(),
        }
    }

    /// Whether `name` is a column of the training file that a row may carry and the model does not look at.
    pub fn is_unused(&self, name: &str) -> bool {
        name == self.target.name || self.ignored.iter().any(|ignored| ignored.name == name)
    }

    /// What is wrong with a name that is not a column, with the nearest one that is.
    pub fn unknown_name(&self, name: &str) -> String {
        let names = self.features.iter().map(|f| f.name.as_str());
        match nearest(name, names) {
            Some(known) => {
                format!("{} is not a feature of this model; did you mean {known:?}?", quote(name))
            }
            None => format!("{} is not a feature of this model", quote(name)),
        }
    }

    /// For each place of a row without names, the feature it holds (`None`: a column that is not used).
    ///
    /// A row may hold the features in use, or every column of the training file with or without the target,
    /// always in file order.
    ///
    /// # Errors
    /// Any other number of values.
    pub fn positions(&self, n_values: usize) -> Result<Vec<Option<usize>>, String> {
        let n = self.features.len();
        if n_values == n {
            return Ok((0..n).map(Some).collect());
        }
        let all = || self.columns.iter().map(|name| self.index.get(name).copied());
        if n_values == self.columns.len() {
            return Ok(all().collect());
        }
        if self.columns.len().checked_sub(1) == Some(n_values) {
            let without = all().zip(&self.columns).filter(|(_, name)| **name != self.target.name);
            return Ok(without.map(|(feature, _)| feature).collect());
        }
        let names: Vec<&str> = self.features.iter().take(8).map(|f| f.name.as_str()).collect();
        let more = if n > names.len() { ", …" } else { "" };
        Err(format!("{n_values} values where the model has {n} features ({}{more})", names.join(",")))
    }

    /// For each column of a file with a header, the feature it holds.
    ///
    /// With `lenient`, columns that are missing or unknown are no errors.
    ///
    /// # Errors
    /// Every missing and every unknown column.
    pub fn map_columns(&self, names: &[String], lenient: bool) -> Result<Vec<Option<usize>>, Vec<String>> {
        let mut problems = Vec::new();
        let mut found = vec![false; self.features.len()];
        let mut map = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let feature = self.feature_index(name, i);
            if let Some(feature) = feature {
                found[feature] = true;
            } else if !lenient && !self.is_unused(name) {
                problems.push(self.unknown_name(name));
            }
            map.push(feature);
        }
        if !lenient {
            let missing = self.features.iter().zip(found).filter(|(_, found)| !found);
            problems.extend(missing.map(|(f, _)| format!("column {:?} is missing", f.name)));
        }
        if problems.is_empty() { Ok(map) } else { Err(problems) }
    }

    /// The rows of codes of some rows of a typed table: `rows.len() × n_features`.
    ///
    /// # Errors
    /// The table has no such column, or it is of another type.
    pub fn codes(&self, table: &Table, rows: &[usize]) -> Result<Matrix> {
        let mut codes = Matrix::zeros(rows.len(), self.features.len());
        for (j, feature) in self.features.iter().enumerate() {
            let Some(index) = table.names.iter().position(|name| *name == feature.name) else {
                bail!("{} has no column {:?}", table.source, feature.name);
            };
            match &table.columns[index] {
                Column::Number(values) | Column::Written { values, .. } => {
                    for (i, &row) in rows.iter().enumerate() {
                        codes.row_mut(i)[j] = values[row];
                    }
                }
                Column::Text { codes: of_row, texts } => {
                    for (i, &row) in rows.iter().enumerate() {
                        let code = match of_row[row] {
                            code if code.is_nan() => code,
                            code => codes.texts_mut().push(texts.get(code)),
                        };
                        codes.row_mut(i)[j] = code;
                    }
                }
                Column::Category { codes: levels_of, levels } => {
                    let mut none = Texts::default();
                    let code = |level: &String| feature.code(Cell::Text(level), &mut none);
                    let code_of: Vec<f64> =
                        levels.iter().map(code).collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
                    for (i, &row) in rows.iter().enumerate() {
                        let level = levels_of[row] as usize;
                        codes.row_mut(i)[j] = code_of.get(level).copied().unwrap_or(f64::NAN);
                    }
                }
            }
        }
        Ok(codes)
    }

    /// The rows of codes of some rows of a file of text columns, matched by name (by position where the
    /// training file had no header): `rows.len() × n_features`.
    ///
    /// # Errors
    /// Every missing or unknown column; every cell of the wrong type, with its line and column (the first
    /// twenty are listed).
    pub fn read(&self, raw: &RawTable, rows: &[usize]) -> Result<Matrix> {
        let map = if self.header {
            self.map_columns(&raw.names, false)
        } else {
            self.positions(raw.names.len()).map_err(|problem| vec![problem])
        };
        let map = map.map_err(|problems| anyhow::anyhow!("{}: {}", raw.source, problems.join("\n")))?;
        let mut codes = Matrix::zeros(rows.len(), self.features.len());
        let mut problems = Vec::new();
        for (column, feature) in map.iter().enumerate().filter_map(|(c, f)| Some((c, (*f)?))) {
            let cells = &raw.columns[column];
            for (i, &row) in rows.iter().enumerate() {
                let cell = cells.cell(row, &self.null_tokens);
                let code = self.features[feature].code(cell, codes.texts_mut());
                codes.row_mut(i)[feature] = *code.as_ref().unwrap_or(&f64::NAN);
                if let Err(detail) = code {
                    problems.push(format!("{}, column {:?}: {detail}", raw.place(row), raw.names[column]));
                }
            }
        }
        if problems.is_empty() {
            return Ok(codes);
        }
        let more = problems.len().saturating_sub(20);
        problems.truncate(20);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        bail!(problems.join("\n"))
    }

    /// The JSON values that row `i` of codes stands for, in the order of the features.
    pub fn values_of(&self, codes: &Matrix, i: usize) -> Vec<serde_json::Value> {
        let value = |(feature, &code): (&Feature, &f64)| match feature.column_type {
            _ if code.is_nan() => serde_json::Value::Null,
            ColumnType::Number => code.into(),
            ColumnType::Boolean => feature.boolean(code != 0.0),
            ColumnType::Category if code == UNSEEN => serde_json::Value::Null,
            ColumnType::Category => feature.levels.get(code as usize).cloned().into(),
            ColumnType::Text => codes.texts().get(code).into(),
            ColumnType::Date => date::format(code).into(),
        };
        self.features.iter().zip(codes.row(i)).map(value).collect()
    }

    /// What is unusual in rows of codes, row by row.
    pub fn warnings<'a>(&'a self, codes: &'a Matrix) -> impl Iterator<Item = Warning> + 'a {
        codes.rows().enumerate().flat_map(move |(row, values)| {
            let cells = self.features.iter().zip(values).enumerate();
            cells.filter_map(move |(index, (feature, &code))| {
                let kind = if code.is_nan() {
                    WarningKind::MissingValue
                } else if feature.column_type == ColumnType::Text {
                    return None;
                } else if feature.column_type == ColumnType::Category {
                    (code == UNSEEN).then_some(WarningKind::UnseenCategory)?
                } else {
                    (code < feature.min || code > feature.max).then_some(WarningKind::OutOfRange)?
                };
                Some(Warning { row, feature: index, kind })
            })
        })
    }
}

/// The candidate that `name` is most likely a misspelling of.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Below 0.6 the suggestions are noise (normalised Damerau–Levenshtein similarity, 1 is equal).
    let folded = name.to_lowercase();
    let scored = candidates.map(|candidate| {
        let score = strsim::normalized_damerau_levenshtein(&folded, &candidate.to_lowercase());
        (candidate, score)
    });
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best.1 >= 0.6).then_some(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "color", "id", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0, f64::NAN]),
                Column::Category {
                    codes: vec![0, 1, 2],
                    levels: ["blue", "green", "red"].map(String::from).to_vec(),
                },
                Column::Number(vec![1.0, 2.0, 3.0]),
                Column::Number(vec![10.0, 20.0, 30.0]),
            ],
            lines: vec![2, 3, 4].into(),
        };
        let target =
            Target { name: "price".into(), task: Task::Regression, labels: vec![], numeric_labels: false };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        let features = [(0, ColumnType::Number), (1, ColumnType::Category)];
        Schema::fit(&table, &features, target, ignored, &[0, 2])
    }

    fn code(feature: &Feature, cell: Cell) -> Result<f64, String> {
        feature.code(cell, &mut Texts::default())
    }

    #[test]
    fn a_cell_gets_the_same_code_from_text_and_from_json() {
        let schema = schema();
        let [size, color] = [&schema.features[0], &schema.features[1]];
        assert_eq!(code(size, Cell::Text("4.5")), code(size, Cell::Number(4.5)));
        assert_eq!(code(color, Cell::Text("red")), Ok(1.0));
        assert_eq!(code(color, Cell::Text("green")), Ok(UNSEEN), "only the held-out row is green");
        assert!(code(color, Cell::Missing).unwrap().is_nan());
        assert!(code(size, Cell::Text("big")).unwrap_err().contains("\"big\" is not a number"));
        assert!(code(size, Cell::Boolean(true)).unwrap_err().contains("true is not a number"));
        assert!(code(size, Cell::Text("1e999")).unwrap_err().contains("finite"));
    }

    #[test]
    fn a_numeric_level_is_found_by_a_json_number() {
        let mut feature = schema().features[1].clone();
        feature.levels = vec!["1.0".into(), "94103".into()];
        assert_eq!(code(&feature, Cell::Number(94103.0)), Ok(1.0));
        assert_eq!(code(&feature, Cell::Number(1.0)), Ok(0.0));
        assert_eq!(code(&feature, Cell::Number(2.0)), Ok(UNSEEN));
    }

    #[test]
    fn the_usual_tokens_and_added_ones_are_missing_values() {
        let nulls = NullTokens::with(vec!["none given".into()]);
        for text in ["", "  ", "NA", "N/A", "NaN", "null", "?", " ? ", "none given"] {
            assert_eq!(nulls.cell(text), Cell::Missing, "{text:?}");
        }
        assert_eq!(nulls.cell(" Na "), Cell::Text("Na"), "sodium is a value");
    }

    #[test]
    fn names_are_checked_all_at_once_with_the_nearest_name() {
        let schema = schema();
        let names = ["siez", "weight", "id", "price"].map(String::from);
        let problems = schema.map_columns(&names, false).unwrap_err();
        assert!(problems[0].contains("\"siez\" is not a feature of this model; did you mean \"size\"?"));
        assert!(!problems[1].contains("did you mean"));
        assert_eq!(problems.len(), 4, "two unknown and two missing: {problems:?}");
        assert_eq!(schema.map_columns(&names, true), Ok(vec![None; 4]));
    }

    #[test]
    fn a_row_without_names_may_hold_features_or_all_columns() {
        let schema = schema();
        assert_eq!(schema.positions(2), Ok(vec![Some(0), Some(1)]));
        assert_eq!(schema.positions(3), Ok(vec![Some(0), Some(1), None]));
        assert_eq!(schema.positions(4), Ok(vec![Some(0), Some(1), None, None]));
        assert!(schema.positions(1).unwrap_err().contains("1 values where the model has 2 features"));
    }

    #[test]
    fn missing_unseen_and_out_of_range_values_are_warnings() {
        let schema = schema();
        let mut codes = Matrix::zeros(2, 2);
        codes.row_mut(0).copy_from_slice(&[0.5, UNSEEN]);
        codes.row_mut(1).copy_from_slice(&[1.0, f64::NAN]);
        let kinds: Vec<_> = schema.warnings(&codes).map(|w| (w.row, w.feature, w.kind.name())).collect();
        assert_eq!(kinds, [(0, 0, "out_of_range"), (0, 1, "unseen_category"), (1, 1, "missing_value")]);
    }
}
