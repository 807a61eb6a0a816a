//! One column that a model looks at: its type, what the training rows held, and the code of each of its cells.

use serde::{Deserialize, Serialize};

use super::boolean::Words;
use super::cell::{Cell, ColumnType, MISSING_LEVEL, UNSEEN};
use super::notation::Notation;
use super::table::Column;
use super::text::Texts;

/// A column the model looks at, with what the training rows held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// What its cells are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Training rows without a value.
    pub missing: u64,
    /// How its cells are written, where the type leaves that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notation: Option<Notation>,
    /// Smallest value, of a date in seconds since 1970; 0 for a category, a text, or where every value is missing.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean of the values that are there.
    pub mean: f64,
    /// The distinct values of a category, sorted by their bytes; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// How many training rows hold each of `levels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
    /// How the training rows are spread over a number's or boolean's range, to tell a drift by; absent from
    /// older model files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
}

/// How many training rows hold a value up to each of some bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The upper bounds of all bins but the last, rising: about the deciles.
    pub edges: Vec<f64>,
    /// The rows of each bin, one more than there are edges.
    pub counts: Vec<u64>,
}

/// Rows that the bounds of a [`Histogram`] are taken from; a decile of as many is off by half a percent.
const HISTOGRAM_SAMPLE: usize = 10_000;

impl Histogram {
    /// The spread of the values that are there; `None` where there are none.
    fn fit(column_type: ColumnType, values: &[f64], rows: &[usize]) -> Option<Self> {
        let mut edges = vec![0.5];
        if column_type == ColumnType::Number {
            let step = rows.len().div_ceil(HISTOGRAM_SAMPLE).max(1);
            let sample = rows.iter().step_by(step).map(|&row| values[row]);
            let mut sample: Vec<f64> = sample.filter(|value| !value.is_nan()).collect();
            sample.sort_unstable_by(f64::total_cmp);
            let last = sample.len().checked_sub(1)?;
            edges = (1..10).map(|decile| sample[last * decile / 10]).collect();
            edges.dedup();
        }
        let mut counts = vec![0; edges.len() + 1];
        for value in rows.iter().map(|&row| values[row]).filter(|value| !value.is_nan()) {
            counts[Self::bin(&edges, value)] += 1;
        }
        Some(Self { edges, counts })
    }

    /// The bin of a value among `edges`.
    pub fn bin(edges: &[f64], value: f64) -> usize {
        edges.iter().filter(|edge| value > **edge).count()
    }
}

impl Feature {
    /// The code of a cell; a text is added to `texts`, those of the rows that the code will stand in.
    ///
    /// # Errors
    /// The cell is not of this column's type.
    pub fn code(&self, cell: Cell, texts: &mut Texts) -> Result<f64, String> {
        match (self.column_type, cell) {
            (ColumnType::Category, _) => {}
            (ColumnType::Text, Cell::Missing) => return Ok(f64::NAN),
            (ColumnType::Text, Cell::Text(text)) => return Ok(texts.push(text)),
            (ColumnType::Text, Cell::Number(value)) => return Ok(texts.push(&value.to_string())),
            (ColumnType::Text, Cell::Boolean(value)) => {
                return Ok(texts.push(if value { "true" } else { "false" }));
            }
            (ColumnType::Number | ColumnType::Boolean | ColumnType::Date, _) => {
                return self.column_type.plain_code(cell, self.notation);
            }
        }
        let level = match cell {
            Cell::Missing => return Ok(f64::NAN),
            Cell::Text(text) => self.level(text),
            Cell::Boolean(value) => self.level(if value { "true" } else { "false" }),
            // A level such as a zip code may come as a JSON number, and 7.0 is the level "7" or "7.0".
            Cell::Number(value) => self
                .level(&value.to_string())
                .or_else(|| self.levels.iter().position(|l| l.parse() == Ok(value))),
        };
        Ok(level.map_or(UNSEEN, |index| index as f64))
    }

    /// The words of a boolean.
    pub fn words(&self) -> Words {
        match self.notation {
            Some(Notation::Boolean(words)) => words,
            _ => Words::TrueFalse,
        }
    }

    /// A boolean as this column writes it: one of JSON, or a word.
    pub fn boolean(&self, value: bool) -> serde_json::Value {
        match self.words() {
            Words::TrueFalse => value.into(),
            words => words.text(value).into(),
        }
    }

    fn level(&self, text: &str) -> Option<usize> {
        self.levels.binary_search_by(|level| level.as_str().cmp(text)).ok()
    }

    pub(crate) fn fit(name: &str, column_type: ColumnType, column: &Column, rows: &[usize]) -> Self {
        let mut feature = Self {
            name: name.into(),
            column_type,
            missing: 0,
            notation: None,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            levels: Vec::new(),
            counts: Vec::new(),
            histogram: None,
        };
        if let Column::Written { notation, .. } = column {
            feature.notation = Some(*notation);
        }
        match column {
            Column::Number(values) | Column::Written { values, .. } => {
                feature.histogram = Histogram::fit(column_type, values, rows);
                let present = || rows.iter().map(|&i| values[i]).filter(|v| !v.is_nan());
                for value in present() {
                    feature.min = feature.min.min(value);
                    feature.max = feature.max.max(value);
                }
                let n = present().count();
                feature.missing = (rows.len() - n) as u64;
                feature.mean = present().map(|v| v / n as f64).sum();
            }
            Column::Text { codes, .. } => {
                feature.missing = rows.iter().filter(|&&row| codes[row].is_nan()).count() as u64;
            }
            Column::Category { codes, levels } => {
                let mut counts = vec![0_u64; levels.len()];
                for &row in rows {
                    match codes[row] {
                        MISSING_LEVEL => feature.missing += 1,
                        code => counts[code as usize] += 1,
                    }
                }
                for (level, count) in levels.iter().zip(counts) {
                    if count > 0 {
                        feature.levels.push(level.clone());
                        feature.counts.push(count);
                    }
                }
            }
        }
        if feature.min > feature.max {
            (feature.min, feature.max) = (0.0, 0.0);
        }
        feature
    }
}
