//! The columns of a model, and the one place where a cell becomes a number.
//!
//! Every cell, whether it comes from CSV, NDJSON, the command line or an HTTP body, becomes a [`Cell`], and
//! [`Feature::code`] turns that into one `f64` *code*: the number itself, 0 or 1 for a boolean, the index of the level
//! for a category, [`UNSEEN`] for a category that training did not see, seconds since 1970 (UTC) for a date, the index
//! of a text among the texts of its [`Matrix`], NaN for a missing value.
//! [`Recipe`](crate::data::prepare::recipe::Recipe) encodes rows of codes.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::cell::{Cell, ColumnType, NullTokens, Tolerance, UNSEEN};
use super::date;
use super::feature::Feature;
use super::list;
use super::matrix::Matrix;
use super::pair;
use super::problems::Problems;
use super::raw_table::RawTable;
use super::table::{Column, Table};
use super::target::Target;
use super::text::Texts;
use crate::names::{did_you_mean, is_worth_seeking, quote};
use crate::parallel;
use crate::plain::plain;

/// A column of the training file that is neither target nor feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ignored {
    /// The column's name.
    pub name: String,
    /// Why it is not used.
    pub reason: String,
}

/// The columns of the training file: the target, the features in use, the ignored ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Schema {
    /// The column to predict.
    pub target: Target,
    /// The columns the model uses, in file order.
    pub features: Vec<Feature>,
    /// The columns that are not used.
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
    /// The tokens that mean "no value".
    pub null_tokens: NullTokens,
    #[serde(skip)]
    index: HashMap<String, usize>,
    /// The names of older model files that look like others, as they are compared.
    #[serde(skip)]
    plain: HashMap<String, usize>,
    /// The names of target and ignored columns.
    #[serde(skip)]
    unused: HashSet<String>,
    /// The columns other than the target.
    #[serde(skip)]
    n_without_target: usize,
}

/// Columns that a table may have beyond those of the training file, so that a few unknown ones are named.
const MORE_COLUMNS: usize = 1000;

/// Something unusual in a row that is predicted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Row of the request or batch, from 0.
    pub row: usize,
    /// Index of the feature.
    pub feature: usize,
    /// The kind.
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
    /// Summarises each feature over the training rows: levels, range, mean, missing values.
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
            plain: HashMap::new(),
            unused: HashSet::new(),
            n_without_target: 0,
        }
        .indexed()
    }

    /// Adds what finer comparisons with new rows need: the percentiles of numbers, unless there are so many columns that the
    /// model file would grow by megabytes.
    pub(crate) fn refine(&mut self, table: &Table, rows: &[usize]) {
        const MAX_FEATURES: usize = 1000;
        if self.features.len() > MAX_FEATURES {
            return;
        }
        self.features = parallel::map(std::mem::take(&mut self.features), &|mut feature| {
            if let Some(index) = table.names.iter().position(|name| *name == feature.name) {
                feature.refine(&table.columns[index], rows);
            }
            feature
        });
    }

    /// Makes the look-up of names and levels; to be called on a schema that was read from a file.
    pub fn indexed(mut self) -> Self {
        let names = self.features.iter().enumerate();
        self.index = names.clone().map(|(i, f)| (f.name.clone(), i)).collect();
        let odd = names.filter(|(_, f)| !f.name.is_ascii() && plain(&f.name) != f.name.as_str());
        self.plain = odd.map(|(i, f)| (plain(&f.name).into_owned(), i)).collect();
        let unused = self.ignored.iter().map(|ignored| &ignored.name).chain([&self.target.name]);
        self.unused = unused.cloned().collect();
        self.n_without_target = self.columns.iter().filter(|name| **name != self.target.name).count();
        for feature in &mut self.features {
            feature.index_levels();
            feature.decimal_comma =
                self.decimal_comma && feature.column_type == ColumnType::Number && feature.notation.is_none();
        }
        self
    }

    /// Checks for errors that a schema written by this program cannot have.
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
                || feature.min > feature.max
                || !feature.has_consistent_bins()
                || feature.ranges.len() != if feature.is_pair() { 2 } else { 0 }
                || feature.ranges.iter().any(|[min, max]| !(min <= max && max.is_finite() && min.is_finite()))
                || (feature.column_type == ColumnType::Date && !date::in_calendar(feature.min, feature.max))
            {
                bail!("feature {:?} is inconsistent", feature.name);
            }
        }
        self.target.validate()
    }

    /// The indices of the features whose codes stand for texts: texts, lists and pairs of numbers.
    pub fn texts(&self) -> impl Iterator<Item = usize> + '_ {
        self.of_type(ColumnType::Text)
    }

    /// The indices of the features that become terms: texts and lists.
    pub(crate) fn vocabularies(&self) -> impl Iterator<Item = usize> + '_ {
        self.texts().filter(|&feature| !self.features[feature].is_pair())
    }

    /// The indices of the features that are pairs of numbers.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = usize> + '_ {
        self.texts().filter(|&feature| self.features[feature].is_pair())
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
            _ => self.index.get(name).or_else(|| self.alike(name)).copied(),
        }
    }

    /// Whether `name` is a column of the training file that a row may carry and the model does not use.
    pub fn is_unused(&self, name: &str) -> bool {
        self.unused.contains(name) || (!name.is_ascii() && self.unused.contains(&*plain(name)))
    }

    /// The feature whose name looks like `name`. That of ASCII looks like no other.
    fn alike(&self, name: &str) -> Option<&usize> {
        if name.is_ascii() {
            return None;
        }
        let plain = plain(name);
        self.index.get(&*plain).or_else(|| self.plain.get(&*plain))
    }

    /// The columns of a table that is worth reading: more of them cannot all be columns of the training file.
    pub fn max_columns(&self) -> usize {
        self.columns.len() + MORE_COLUMNS
    }

    /// The message for a name that is no feature, with the nearest name that is, unless that has been sought for too many
    /// of the `n_before` problems before.
    pub fn unknown_name(&self, name: &str, n_before: usize) -> String {
        let hint = match is_worth_seeking(n_before, self.features.len()) {
            true => did_you_mean(name, self.features.iter().map(|f| f.name.as_str())),
            false => String::new(),
        };
        format!("{} is not a feature of this model{hint}", quote(name))
    }

    /// For each value of a row without names, its feature (`None`: a column that is not used).
    ///
    /// A row may hold the features in use, or every column of the training file with or without the target,
    /// always in file order.
    ///
    /// # Errors
    /// Any other number of values.
    pub fn positions(&self, n_values: usize) -> Result<Vec<Option<usize>>, String> {
        let n = self.features.len();
        if !self.takes(n_values) {
            return Err(self.wrong_number(n_values));
        }
        if n_values == n {
            return Ok((0..n).map(Some).collect());
        }
        let all = self.columns.iter().map(|name| self.index.get(name).copied());
        if n_values == self.columns.len() {
            return Ok(all.collect());
        }
        let without = all.zip(&self.columns).filter(|(_, name)| **name != self.target.name);
        Ok(without.map(|(feature, _)| feature).collect())
    }

    /// Whether a row of so many values without names can fit.
    pub fn takes(&self, n_values: usize) -> bool {
        [self.features.len(), self.columns.len(), self.n_without_target].contains(&n_values)
    }

    /// The message for a row without names that has any other number of values.
    pub fn wrong_number(&self, n_values: usize) -> String {
        let n = self.features.len();
        let names: Vec<&str> = self.features.iter().take(8).map(|f| f.name.as_str()).collect();
        let more = if n > names.len() { ", …" } else { "" };
        format!("{n_values} values where the model has {n} features ({}{more})", names.join(","))
    }

    /// Whether `name` is no column that a row may carry.
    pub fn is_unknown(&self, name: &str) -> bool {
        self.feature_index(name, usize::MAX).is_none() && !self.is_unused(name)
    }

    /// The note on columns of a table that the model does not know, if no feature is missing; else they are an error.
    pub(crate) fn passed_over(
        &self,
        source: &str,
        names: &[String],
        kept: impl Fn(&str) -> bool,
    ) -> Option<String> {
        /// Columns that are named; the others are counted.
        const NAMED: usize = 5;
        let unknown: Vec<&String> =
            names.iter().filter(|name| self.is_unknown(name) && !kept(name)).collect();
        if unknown.is_empty() || self.map_columns(names, Tolerance::Extra).is_err() {
            return None;
        }
        let mut named: Vec<String> = unknown.iter().take(NAMED).map(|name| quote(name)).collect();
        if unknown.len() > NAMED {
            named.push(format!("{} more", unknown.len() - NAMED));
        }
        let (columns, are) = if unknown.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let named = named.join(", ");
        Some(format!("{source}: the model does not know the {columns} {named}, which {are} passed over"))
    }

    /// For each column of a file with a header, the feature it holds.
    ///
    /// # Errors
    /// Missing and unknown columns, as far as they are not tolerated. Where one is missing all are listed: an unknown one
    /// may be its misspelling.
    pub fn map_columns(
        &self,
        names: &[String],
        tolerance: Tolerance,
    ) -> Result<Vec<Option<usize>>, Problems> {
        let lenient = tolerance == Tolerance::Lenient;
        let mut problems = Problems::default();
        let mut found = vec![false; self.features.len()];
        let mut map = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let feature = self.feature_index(name, i);
            if let Some(feature) = feature {
                found[feature] = true;
            } else if !lenient && !self.is_unused(name) {
                let n_before = problems.total;
                problems.push_with(|| (String::new(), self.unknown_name(name, n_before)));
            }
            map.push(feature);
        }
        if tolerance == Tolerance::Extra && found.iter().all(|found| *found) {
            return Ok(map);
        }
        if !lenient {
            for (feature, _) in self.features.iter().zip(found).filter(|(_, found)| !found) {
                problems.push_with(|| (String::new(), format!("column {} is missing", quote(&feature.name))));
            }
        }
        if problems.total == 0 { Ok(map) } else { Err(problems) }
    }

    /// The rows of codes of some rows of a typed table: `rows.len() × n_features`.
    ///
    /// # Errors
    /// The table has no such column, or it is of another type.
    pub fn codes(&self, table: &Table, rows: &[usize]) -> Result<Matrix> {
        let mut codes = Matrix::zeros(rows.len(), self.features.len());
        let places: HashMap<&str, usize> =
            table.names.iter().enumerate().rev().map(|(i, name)| (name.as_str(), i)).collect();
        for (j, feature) in self.features.iter().enumerate() {
            let Some(&index) = places.get(feature.name.as_str()) else {
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

    /// The rows of codes of some rows of a file of text columns, matched by name (by position if the
    /// training file had no header): `rows.len() × n_features`.
    ///
    /// # Errors
    /// Every missing column; every cell of the wrong type, with its line and column (the first
    /// twenty are listed).
    pub fn read(&self, raw: &RawTable, rows: &[usize]) -> Result<Matrix> {
        let map = if self.header {
            self.map_columns(&raw.names, Tolerance::Extra)
        } else {
            self.positions(raw.names.len()).map_err(|problem| Problems::one(String::new(), problem))
        };
        let map =
            map.map_err(|problems| anyhow::anyhow!("{}: {}", raw.source, problems.lines().join("\n")))?;
        let mut codes = Matrix::zeros(rows.len(), self.features.len());
        let mut problems = Problems::with_room(20);
        for (column, feature) in map.iter().enumerate().filter_map(|(c, f)| Some((c, (*f)?))) {
            let (cells, nulls) = (&raw.columns[column], self.null_tokens.of(&self.features[feature].name));
            for (i, &row) in rows.iter().enumerate() {
                let cell = cells.cell(row, nulls);
                let known = &self.features[feature];
                let code = match cell {
                    Cell::Text(text) if raw.ndjson && list::is_array(text) && !known.takes_arrays() => {
                        Err(list::NO_VALUE.into())
                    }
                    cell => known.code(cell, codes.texts_mut()),
                };
                codes.row_mut(i)[feature] = *code.as_ref().unwrap_or(&f64::NAN);
                if let Err(detail) = code {
                    let at = || format!("{}, column {:?}: {detail}", raw.place(row), raw.names[column]);
                    problems.push_with(|| (String::new(), at()));
                }
            }
        }
        if problems.total == 0 { Ok(codes) } else { bail!(problems.lines().join("\n")) }
    }

    /// The JSON values that row `i` of codes stands for, in the order of the features.
    pub fn values_of(&self, codes: &Matrix, i: usize) -> Vec<serde_json::Value> {
        let value = |(feature, &code): (&Feature, &f64)| match feature.column_type {
            _ if code.is_nan() => serde_json::Value::Null,
            ColumnType::Number => code.into(),
            ColumnType::Boolean => feature.boolean(code != 0.0),
            ColumnType::Category if code == UNSEEN => serde_json::Value::Null,
            ColumnType::Category => feature.levels.get(code as usize).cloned().into(),
            ColumnType::Text if feature.is_pair() => pair::numbers(codes.texts().get(code))
                .map_or(serde_json::Value::Null, serde_json::Value::from_iter),
            ColumnType::Text => list::shown(codes.texts().get(code)).into(),
            ColumnType::Date => date::format(code).into(),
        };
        self.features.iter().zip(codes.row(i)).map(value).collect()
    }

    /// The unusual values in rows of codes, row by row.
    pub fn warnings<'a>(&'a self, codes: &'a Matrix) -> impl Iterator<Item = Warning> + 'a {
        codes.rows().enumerate().flat_map(move |(row, values)| {
            let cells = self.features.iter().zip(values).enumerate();
            cells.filter_map(move |(index, (feature, &code))| {
                let kind = if code.is_nan() {
                    WarningKind::MissingValue
                } else if feature.is_pair() {
                    let numbers = pair::numbers(codes.texts().get(code))?;
                    let mut ranges = feature.ranges.iter().zip(numbers);
                    let is_outside = ranges.any(|([min, max], number)| number < *min || number > *max);
                    is_outside.then_some(WarningKind::OutOfRange)?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;

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
        let target = Target {
            name: "price".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
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
        feature.levels = ["-0", "1", "1.0", "94103", "inf", "nan", "x"].map(String::from).to_vec();
        feature.index_levels();
        for (number, wanted) in [
            (94103.0, 3.0),
            (1.0, 1.0),
            (0.0, 0.0),
            (-0.0, 0.0),
            (f64::INFINITY, 4.0),
            (2.0, UNSEEN),
            (f64::NAN, UNSEEN),
        ] {
            // As a search through all levels finds it; a NaN is equal to none.
            let found = feature.levels.iter().position(|level| level.parse() == Ok(number));
            assert_eq!(found.map_or(UNSEEN, |at| at as f64), wanted, "{number}");
            assert_eq!(code(&feature, Cell::Number(number)), Ok(wanted), "{number}");
        }
        feature.levels = vec!["1.0".into()];
        feature.index_levels();
        assert_eq!(code(&feature, Cell::Number(1.0)), Ok(0.0));
    }

    #[test]
    fn names_are_checked_all_at_once_with_the_nearest_name() {
        let schema = schema();
        let names = ["siez", "weight", "id", "price"].map(String::from);
        let problems = schema.map_columns(&names, Tolerance::Strict).unwrap_err();
        let lines = problems.lines();
        assert!(lines[0].contains("\"siez\" is not a feature of this model; did you mean \"size\"?"));
        assert!(!lines[1].contains("did you mean"));
        assert_eq!(problems.total, 4, "two unknown and two missing: {problems:?}");
        assert_eq!(schema.map_columns(&names, Tolerance::Lenient), Ok(vec![None; 4]));
    }

    #[test]
    fn of_many_unknown_names_the_first_are_listed_and_all_are_counted() {
        let names: Vec<String> = (0..5000).map(|i| format!("siez{i}")).collect();
        let problems = schema().map_columns(&names, Tolerance::Strict).unwrap_err();
        assert_eq!((problems.total, problems.listed.len()), (5002, 100));
        assert!(problems.listed[0].detail.contains("did you mean"));
        let wide = Schema { features: vec![schema().features[0].clone(); 200], ..schema() };
        let problems = wide.map_columns(&names, Tolerance::Strict).unwrap_err();
        let hints = problems.listed.iter().filter(|problem| problem.detail.contains("did you mean")).count();
        assert_eq!(hints, 5, "a thousand comparisons");
    }

    #[test]
    fn a_column_is_unused_if_it_is_the_target_or_ignored() {
        let schema = schema();
        assert!(schema.is_unused("price") && schema.is_unused("id"));
        assert!(!schema.is_unused("size") && !schema.is_unused("weight"));
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
    fn positions_are_as_many_as_the_values_also_if_the_columns_of_a_file_lack_the_target_or_repeat_it() {
        for columns in [&["size", "color", "id", "x"][..], &["size", "price", "price", "color", "id"], &[]] {
            let columns = columns.iter().map(|name| name.to_string()).collect();
            let schema = Schema { columns, ..schema() }.indexed();
            for n in 0..7 {
                assert_eq!(
                    schema.positions(n).map_or(0, |positions| positions.len()),
                    n * usize::from(schema.takes(n))
                );
            }
        }
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
