//! One column that a model uses: its type, a summary of its training rows, and the code of each of its cells.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::amount::{self, Mark};
use super::boolean::Words;
use super::cell::{Cell, ColumnType, MISSING_LEVEL, UNSEEN};
use super::notation::Notation;
use super::number;
use super::table::Column;
use super::text::Texts;
use super::{date, list, pair};
use crate::names::quote;
use crate::order;
use crate::plain::plain;

/// A column that the model uses, with a summary of the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// The type of its cells.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Training rows without a value.
    pub missing: u64,
    /// Whether its values are private: a server then tells none of those below.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// How its cells are written, if the type leaves that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notation: Option<Notation>,
    /// Texts that mean "no value" in this column, besides those that do in every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// Smallest value, of a date in seconds since 1970; 0 for a category, a text, or if every value is missing.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean of the values that are not missing.
    pub mean: f64,
    /// The smallest and the largest value of both numbers of a pair; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<[f64; 2]>,
    /// The distinct values of a category, sorted by their bytes; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// How many training rows hold each of `levels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
    /// The distribution of a number or boolean in the training rows, to detect drift; absent from older model
    /// files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// The same in bins of about 0.8 % of the rows, within those of `histogram`; numbers of trained models only, absent
    /// from older model files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentiles: Option<Histogram>,
    /// Whether its numbers are those of a file with a decimal comma, and so are texts.
    #[serde(skip)]
    pub(super) decimal_comma: bool,
    /// The levels that are numbers, sorted: the number, and the index of the first level that means it.
    #[serde(skip)]
    numeric_levels: Vec<(f64, u32)>,
}

/// How many training rows hold a value up to each of some bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The upper bounds of all bins but the last, rising: about the deciles.
    pub edges: Vec<f64>,
    /// The rows of each bin, one more than there are edges.
    pub counts: Vec<u64>,
}

/// Bins of `percentiles`, values aside that are more than one bin's share of the rows.
const FINE_BINS: usize = 128;

/// Rows that the bounds of `percentiles` are taken from, and those that are counted in them: shares of 200,000 rows are off
/// by 0.003 at most, in 95 of 100 tables (Kolmogorov's law).
const FINE_SAMPLE: usize = 20_000;
const FINE_COUNTED: usize = 200_000;

/// Rows that the bounds of a [`Histogram`] are taken from; a decile of as many is off by half a percent.
const HISTOGRAM_SAMPLE: usize = 10_000;

impl Histogram {
    /// The distribution of the values that are not missing; `None` if all are.
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

    /// Bins of at most [`FINE_BINS`]th of the rows within these. A value of more rows has a bin of its own, so that the
    /// distribution is known on both sides of it.
    fn refined(&self, values: &[f64], rows: &[usize]) -> Self {
        let every = |most: usize| {
            let picked = rows.iter().step_by(rows.len().div_ceil(most).max(1)).map(|&row| values[row]);
            picked.filter(|value| !value.is_nan())
        };
        let mut sample: Vec<f64> = every(FINE_SAMPLE).collect();
        sample.sort_unstable_by(f64::total_cmp);
        let full = sample.len() / FINE_BINS;
        let mut edges = self.edges.clone();
        let (mut in_bin, mut last) = (0, None);
        for equal in sample.chunk_by(|a, b| a == b) {
            if let Some(last) = last.filter(|_| in_bin + equal.len() > full && in_bin > 0) {
                edges.push(short_between(last, equal[0]));
                in_bin = 0;
            }
            if equal.len() > full {
                edges.extend([equal[0].next_down(), equal[0]]);
                last = None;
            } else {
                in_bin += equal.len();
                last = Some(equal[0]);
            }
        }
        // Nothing lies below the least number.
        edges.retain(|edge| edge.is_finite());
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        let mut counts = vec![0; edges.len() + 1];
        every(FINE_COUNTED).for_each(|value| counts[Self::bin(&edges, value)] += 1);
        Self { edges, counts }
    }

    /// The bin of a value among `edges`.
    pub fn bin(edges: &[f64], value: f64) -> usize {
        edges.partition_point(|edge| value > *edge)
    }
}

/// A number of few digits from `low` on and below `high`.
fn short_between(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    let rounded = (0..17).filter_map(|digits| format!("{middle:.digits$e}").parse::<f64>().ok());
    rounded.into_iter().find(|short| low <= *short && *short < high).unwrap_or(low)
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
            (ColumnType::Text, Cell::Text(text)) => return self.text_code(text, texts),
            (ColumnType::Text, Cell::Number(value)) => return self.text_code(&value.to_string(), texts),
            (ColumnType::Text, Cell::Boolean(value)) => {
                return self.text_code(if value { "true" } else { "false" }, texts);
            }
            (ColumnType::Number | ColumnType::Boolean | ColumnType::Date, _) => {
                let code = self.column_type.plain_code(cell, self.notation);
                return code
                    .or_else(|detail| self.unusual_code(cell).ok_or_else(|| detail + &self.hint(cell)));
            }
        }
        let level = match cell {
            Cell::Missing => return Ok(f64::NAN),
            Cell::Text(text) => self.level(text),
            Cell::Boolean(value) => self.level(if value { "true" } else { "false" }),
            // Several whole numbers of so many digits are one JSON number.
            Cell::Number(value)
                if value.is_finite()
                    && value.abs() >= number::MAX_EXACT as f64
                    && self.numeric_level(value).is_some() =>
            {
                return Err(format!("{value} has more digits than a number holds; send it as a string"));
            }
            // A level such as a zip code may come as a JSON number, and 7.0 is the level "7" or "7.0".
            Cell::Number(value) => self.level(&value.to_string()).or_else(|| self.numeric_level(value)),
        };
        Ok(level.map_or(UNSEEN, |index| index as f64))
    }

    /// The code of a text as the notation of this column keeps it.
    fn text_code(&self, text: &str, texts: &mut Texts) -> Result<f64, String> {
        match self.notation {
            Some(Notation::List(style)) => Ok(texts.push(&style.kept(text))),
            Some(Notation::Pair(style)) => {
                let wrong = || {
                    format!(
                        "{} is not two numbers as this column has them, such as {}",
                        quote(&list::shown(text)),
                        style.write([48.5, 11.5])
                    )
                };
                Ok(texts.push(&style.kept(style.read(text).ok_or_else(wrong)?)))
            }
            _ => Ok(texts.push(text)),
        }
    }

    /// Whether its cells are pairs of numbers.
    pub(crate) fn is_pair(&self) -> bool {
        matches!(self.notation, Some(Notation::Pair(_)))
    }

    /// Whether its cells may come as arrays: of names, or of two numbers.
    pub(crate) fn takes_arrays(&self) -> bool {
        matches!(self.notation, Some(Notation::List(_) | Notation::Pair(_)))
    }

    /// The code of a cell that is not of this column's type as such.
    fn unusual_code(&self, cell: Cell) -> Option<f64> {
        match cell {
            Cell::Text(text) if self.nulls.iter().any(|null| null == text) => Some(f64::NAN),
            Cell::Text(text) if self.decimal_comma => {
                number::parse(text, b',').filter(|value| value.is_finite())
            }
            Cell::Boolean(value) if self.is_0_or_1() => Some(f64::from(u8::from(value))),
            _ => None,
        }
    }

    /// What a cell may be that is no number of a column of plain ones.
    fn hint(&self, cell: Cell) -> String {
        match cell {
            Cell::Text(text) if self.column_type == ColumnType::Number && self.notation.is_none() => {
                amount::hint(text, if self.decimal_comma { Mark::Comma } else { Mark::Dot })
            }
            _ => String::new(),
        }
    }

    /// Whether its numbers in the training rows are 0 and 1 alone.
    pub(crate) fn is_0_or_1(&self) -> bool {
        let edges = self.histogram.as_ref().map(|histogram| histogram.edges.as_slice());
        (self.column_type, self.min, self.max) == (ColumnType::Number, 0.0, 1.0)
            && edges.is_some_and(|edges| edges.iter().all(|edge| *edge == 0.0 || *edge == 1.0))
    }

    /// Whether plain numbers, with this byte before the decimals, can be read as such.
    pub(crate) fn reads_plain(&self, mark: u8) -> bool {
        match (self.column_type, self.notation) {
            (ColumnType::Number, Some(Notation::Number(notation))) => notation.reads_plain(mark),
            (ColumnType::Number, notation) => notation.is_none(),
            _ => false,
        }
    }

    /// Whether a file has to be read as text for its cells.
    pub(crate) fn needs_text(&self) -> bool {
        self.column_type != ColumnType::Number || self.notation.is_some()
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
        let find = |text: &str| self.levels.binary_search_by(|level| level.as_str().cmp(text)).ok();
        // As written first: the levels of older model files are.
        find(text).or_else(|| if text.is_ascii() { None } else { find(&plain(text)) })
    }

    /// A value typical of the training rows: the mean of a number to three digits, the most frequent level of a
    /// category; null for a private column.
    pub(crate) fn typical(&self) -> serde_json::Value {
        match self.column_type {
            _ if self.private => serde_json::Value::Null,
            ColumnType::Number => {
                let rounded = format!("{:.2e}", self.mean).parse::<f64>().unwrap_or(self.mean);
                let value = rounded.clamp(self.min, self.max);
                // 2^53: a double above it is not one whole number.
                if value.fract() == 0.0 && value.abs() < 9.0e15 {
                    (value as i64).into()
                } else {
                    value.into()
                }
            }
            ColumnType::Boolean => self.boolean(self.mean >= 0.5),
            ColumnType::Date => {
                let midnight = (self.mean / 86_400.0).floor() * 86_400.0;
                date::format(midnight.clamp(self.min, self.max)).into()
            }
            ColumnType::Text if matches!(self.notation, Some(Notation::List(_))) => "[]".into(),
            ColumnType::Text if self.is_pair() => {
                let middle = |[min, max]: &[f64; 2]| {
                    let middle = (min + max) / 2.0;
                    format!("{middle:.2e}").parse::<f64>().unwrap_or(middle).clamp(*min, *max)
                };
                self.ranges.iter().map(middle).collect()
            }
            ColumnType::Text => "a few words of text".into(),
            ColumnType::Category => {
                let most = (0..self.levels.len()).max_by_key(|&i| (self.counts[i], std::cmp::Reverse(i)));
                most.map(|i| self.levels[i].clone()).into()
            }
        }
    }

    fn numeric_level(&self, value: f64) -> Option<usize> {
        let at = self.numeric_levels.partition_point(|(level, _)| *level < value);
        let (level, index) = self.numeric_levels.get(at)?;
        (*level == value).then_some(*index as usize)
    }

    /// Sorts out the levels that are numbers; to be called when the levels are known.
    pub(super) fn index_levels(&mut self) {
        let number = |(i, level): (usize, &String)| Some((level.parse::<f64>().ok()?, i as u32));
        let numbers = self.levels.iter().enumerate().filter_map(number);
        self.numeric_levels = numbers.filter(|(value, _)| !value.is_nan()).collect();
        // Stable, and 0 is as -0: of equal numbers the first level comes first.
        order::sort_by(&mut self.numeric_levels, |a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
    }

    /// Whether each distribution has a count for each of its bins, and those of `percentiles` lie within the others.
    pub(super) fn has_consistent_bins(&self) -> bool {
        let rises = |edges: &[f64]| edges.windows(2).all(|pair| pair[0] < pair[1]);
        let counted = |bins: &Histogram| bins.counts.len() == bins.edges.len() + 1;
        self.histogram.as_ref().is_none_or(counted)
            && self.percentiles.as_ref().is_none_or(|fine| counted(fine) && rises(&fine.edges))
    }

    /// Adds the percentiles of a column of numbers.
    pub(super) fn refine(&mut self, column: &Column, rows: &[usize]) {
        if let (ColumnType::Number, Column::Number(values) | Column::Written { values, .. }) =
            (self.column_type, column)
        {
            self.percentiles = self.histogram.as_ref().map(|histogram| histogram.refined(values, rows));
        }
    }

    pub(crate) fn fit(name: &str, column_type: ColumnType, column: &Column, rows: &[usize]) -> Self {
        let mut feature = Self {
            name: name.into(),
            column_type,
            missing: 0,
            private: false,
            notation: None,
            nulls: Vec::new(),
            decimal_comma: false,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            ranges: Vec::new(),
            levels: Vec::new(),
            counts: Vec::new(),
            histogram: None,
            percentiles: None,
            numeric_levels: Vec::new(),
        };
        if let Column::Written { notation, nulls, .. } = column {
            feature.notation = Some(*notation);
            feature.nulls.clone_from(nulls);
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
            Column::Text { codes, texts } => {
                let pairs = || pair::Style::of(texts).map(Notation::Pair);
                feature.notation = list::Style::of(texts).map(Notation::List).or_else(pairs);
                if feature.is_pair() {
                    feature.ranges = ranges(rows.iter().map(|&row| texts.get(codes[row])));
                }
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

/// The ranges of both numbers of some pairs.
fn ranges<'a>(kept: impl Iterator<Item = &'a str>) -> Vec<[f64; 2]> {
    let mut ranges = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
    for numbers in kept.filter_map(pair::numbers) {
        for ([min, max], number) in ranges.iter_mut().zip(numbers) {
            (*min, *max) = (min.min(number), max.max(number));
        }
    }
    ranges.map(|[min, max]| if min > max { [0.0, 0.0] } else { [min, max] }).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(column_type: ColumnType, column: &Column, rows: &[usize]) -> Feature {
        Feature::fit("x", column_type, column, rows)
    }

    #[test]
    fn a_summary_is_of_the_training_rows_alone_and_counts_missing_values() {
        let column = Column::Number(vec![1.0, f64::NAN, 3.0, 100.0]);
        let feature = fit(ColumnType::Number, &column, &[0, 1, 2]);
        assert_eq!((feature.min, feature.max, feature.mean, feature.missing), (1.0, 3.0, 2.0, 1));
        let nothing = fit(ColumnType::Number, &column, &[1]);
        assert_eq!((nothing.min, nothing.max, nothing.mean, nothing.histogram), (0.0, 0.0, 0.0, None));
    }

    #[test]
    fn levels_are_those_that_a_training_row_holds() {
        let column = Column::Category {
            codes: vec![0, 2, MISSING_LEVEL, 2, 1],
            levels: ["a", "b", "c"].map(String::from).to_vec(),
        };
        let feature = fit(ColumnType::Category, &column, &[0, 1, 2, 3]);
        assert_eq!(
            (feature.levels.join(" "), feature.counts, feature.missing),
            ("a c".into(), vec![1, 2], 1)
        );
    }

    #[test]
    fn a_histogram_has_about_equal_bins_and_counts_every_value() {
        let values: Vec<f64> = (0..1000).map(f64::from).chain([f64::NAN]).collect();
        let rows: Vec<usize> = (0..values.len()).collect();
        let feature = fit(ColumnType::Number, &Column::Number(values), &rows);
        let histogram = feature.histogram.unwrap();
        assert_eq!((histogram.edges.len(), histogram.counts.iter().sum::<u64>()), (9, 1000));
        assert!(histogram.counts.iter().all(|n| (98..=102).contains(n)), "{:?}", histogram.counts);
        let constant = fit(ColumnType::Number, &Column::Number(vec![2.0; 50]), &(0..50).collect::<Vec<_>>());
        assert_eq!(constant.histogram.unwrap().counts, [50, 0], "equal edges are one");
        assert_eq!(Histogram::bin(&[1.0, 2.0], 1.0), 0, "a bound belongs to the bin below it");
    }

    #[test]
    fn a_text_is_kept_and_its_code_leads_back_to_it() {
        let column = Column::Text { codes: vec![f64::NAN], texts: Texts::default() };
        let feature = fit(ColumnType::Text, &column, &[0]);
        let mut texts = Texts::default();
        let mut written = |cell| {
            let code = feature.code(cell, &mut texts).unwrap();
            texts.get(code).to_string()
        };
        let cells = [Cell::Text("a b"), Cell::Number(1.5), Cell::Boolean(true), Cell::Missing];
        assert_eq!(cells.map(&mut written), ["a b", "1.5", "true", ""]);
    }

    #[test]
    fn a_boolean_is_written_as_its_column_writes_it() {
        let words = Notation::Boolean(Words::YesNo);
        let column = Column::Written { values: vec![1.0, 0.0], notation: words, nulls: vec![] };
        let feature = fit(ColumnType::Boolean, &column, &[0, 1]);
        assert_eq!((feature.boolean(true), feature.boolean(false)), ("yes".into(), "no".into()));
        let mut texts = Texts::default();
        assert_eq!(feature.code(Cell::Text("NO"), &mut texts), Ok(0.0));
        assert!(feature.code(Cell::Text("on"), &mut texts).unwrap_err().contains("is not yes or no"));
        let plain = fit(ColumnType::Boolean, &Column::Number(vec![1.0]), &[0]);
        assert_eq!(plain.boolean(true), true);
    }

    #[test]
    fn a_typical_number_is_short_and_within_the_range_of_the_training_rows() {
        let typical = |values: &[f64]| {
            let rows: Vec<usize> = (0..values.len()).collect();
            fit(ColumnType::Number, &Column::Number(values.to_vec()), &rows).typical()
        };
        assert_eq!(typical(&[1.0, 2.0, 4.0]), serde_json::json!(2.33));
        assert_eq!(typical(&[2.0, 4.0]), serde_json::json!(3), "a whole number has no decimals");
        assert_eq!(typical(&[1.2345, 1.2345]), serde_json::json!(1.2345), "1.23 is below all of them");
    }

    #[test]
    fn a_typical_level_is_the_most_frequent_and_the_first_of_equals() {
        let levels: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let column = Column::Category { codes: vec![0, 2, 1, 2, 1], levels };
        assert_eq!(fit(ColumnType::Category, &column, &[0, 1, 2, 3, 4]).typical(), "b");
    }
}
