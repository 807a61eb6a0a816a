//! The column to predict, and its values in some rows.

use std::borrow::Cow;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::cell::{Cell, ColumnType, NullTokens, Task};
use super::notation::Notation;
use super::number;
use super::quantity::Quantities;
use super::raw_table::RawTable;
use crate::order;
use crate::plain::{plain, same};

/// Most classes that are learned. Scores, and much of a model, grow with rows times classes; a column of more labels is an
/// id, a text, or a number to predict.
pub(crate) const MAX_CLASSES: usize = 10_000;

/// The column to predict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Whether labels or numbers are predicted.
    pub task: Task,
    /// The class labels in sorted order (by value if they are whole numbers, else by their bytes);
    /// empty for regression.
    pub labels: Vec<String>,
    /// Whether the labels are whole numbers, and so are numbers in JSON.
    pub numeric_labels: bool,
    /// How the numbers to predict are written, unless they are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notation: Option<Notation>,
}

/// The values of the target column in some rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// Class indices.
    Classes {
        /// One per row: an index into `labels`.
        codes: Vec<u32>,
        /// The labels of the target, then those that only these rows hold.
        labels: Vec<String>,
    },
    /// Numbers.
    Values(Vec<f64>),
}

impl Truth {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { codes, .. } => codes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { codes, labels } => {
                Self::Classes { codes: rows.iter().map(|&row| codes[row]).collect(), labels: labels.clone() }
            }
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// The strata of a split: a class for each row and the number of classes; numbers are one class.
    pub fn strata(&self) -> (Cow<'_, [u32]>, usize) {
        match self {
            Self::Classes { codes, labels } => (Cow::Borrowed(codes), labels.len()),
            Self::Values(values) => (Cow::Owned(vec![0; values.len()]), 1),
        }
    }
}

impl Target {
    /// The target that column `index` of a training file makes.
    ///
    /// # Errors
    /// No value at all, one class only, more than [`MAX_CLASSES`], text if numbers are needed.
    pub fn fit(raw: &RawTable, index: usize, task: Task, nulls: &NullTokens) -> Result<Self> {
        let name = raw.names[index].clone();
        let nulls = nulls.of(&name);
        let (mut present, mut whole) = (false, true);
        raw.columns[index].each_distinct(nulls, |cell, _| {
            let value = match cell {
                Cell::Text(text) => number::parse(text, raw.decimal_mark()),
                Cell::Number(value) => Some(value),
                Cell::Missing | Cell::Boolean(_) => Some(f64::NAN),
            };
            if !value.is_some_and(f64::is_nan) {
                present = true;
                whole &= value.is_some_and(number::is_whole);
            }
        });
        ensure!(present, "the target column {name:?} has no values");
        let mut target = Self { name, task, labels: Vec::new(), numeric_labels: false, notation: None };
        if task == Task::Regression {
            target.notation = Quantities::of(raw, index, nulls).notation();
            return Ok(target);
        }
        target.numeric_labels = whole;
        let (_, truth) = target.read(raw, index, nulls)?;
        let Truth::Classes { labels, .. } = truth else {
            return Ok(target);
        };
        ensure!(
            labels.len() <= MAX_CLASSES,
            "{}: the target column {:?} has {} classes, and at most {MAX_CLASSES} are learned; --task regression if its \
             values are quantities, --target COL if it is an id, else join rare classes",
            raw.source,
            target.name,
            labels.len()
        );
        target.labels = labels;
        if target.numeric_labels {
            order::sort_by_key(&mut target.labels, |label| label.parse::<i64>().unwrap_or(0));
        } else {
            target.labels.sort_unstable();
        }
        if let [only] = target.labels.as_slice() {
            ensure!(
                !same(only, &target.name) || raw.no_header,
                "{}: every row of the target column {:?} is called as the column is, so the first line is perhaps a row: \
                 --no-header",
                raw.source,
                target.name
            );
            let n_missing = raw.n_rows() - target.read(raw, index, nulls)?.0.len();
            let (which, remedy) = match n_missing {
                0 => ("", "--target COL names another column".to_string()),
                n => (
                    " that has a value",
                    format!(
                        "{n} have none and are left out: if that is a class too, write its name into the cells, or keep \
                         a word of theirs with --no-null TOKEN"
                    ),
                ),
            };
            bail!(
                "{}: every row of the target column {:?}{which} is {only:?}, and a classifier needs two classes or more; \
                 {remedy}",
                raw.source,
                target.name
            );
        }
        Ok(target)
    }

    /// The rows of a file in which the target has a value, and the values.
    ///
    /// # Errors
    /// A cell that is not a finite number if numbers are predicted, with its line.
    pub fn read(&self, raw: &RawTable, index: usize, nulls: &NullTokens) -> Result<(Vec<usize>, Truth)> {
        let mut rows = Vec::with_capacity(raw.n_rows());
        let mut labels = self.labels.clone();
        let known: std::collections::HashMap<Cow<str>, u32> =
            self.labels.iter().map(|label| plain(label)).zip(0..).collect();
        let mut added = std::collections::HashMap::new();
        let (mut codes, mut values) = (Vec::new(), Vec::new());
        let numbers = self.task == Task::Regression || self.numeric_labels;
        for (row, cell) in raw.columns[index].cells(nulls.of(&self.name)).enumerate() {
            let cell = if numbers && self.notation.is_none() { raw.number_cell(cell) } else { cell };
            let text = match cell {
                Cell::Missing => continue,
                Cell::Text(text) => Cow::Borrowed(text),
                // A number whose text was not kept is a label only if labels are whole numbers.
                Cell::Number(value) if self.task == Task::Classification => Cow::Owned(value.to_string()),
                Cell::Number(_) | Cell::Boolean(_) => Cow::Borrowed(""),
            };
            // "Nan" and "+nan" are no null tokens, for they may be labels; among numbers they are no value.
            if numbers && text.parse().is_ok_and(f64::is_nan) {
                continue;
            }
            rows.push(row);
            if self.task == Task::Regression {
                let value = ColumnType::Number.plain_code(cell, self.notation).map_err(|detail| {
                    anyhow::anyhow!("{}, target column {:?}: {detail}", raw.place(row), self.name)
                })?;
                values.push(value);
                continue;
            }
            let label = self.label_of(&text);
            let code = known.get(label.as_ref()).copied().unwrap_or_else(|| {
                *added.entry(label.to_string()).or_insert_with(|| {
                    labels.push(label.to_string());
                    labels.len() as u32 - 1
                })
            });
            codes.push(code);
        }
        let truth = match self.task {
            Task::Classification => Truth::Classes { codes, labels },
            Task::Regression => Truth::Values(values),
        };
        Ok((rows, truth))
    }

    /// The label of a cell: a whole number if labels are whole numbers, else its text.
    fn label_of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match text.parse::<f64>() {
            // 2^53: above it a double is not one whole number.
            Ok(value) if self.numeric_labels && value.fract() == 0.0 && value.abs() <= 9.007e15 => {
                (value as i64).to_string().into()
            }
            _ => plain(text),
        }
    }

    /// The JSON value of a label.
    pub fn json_label(&self, label: &str) -> serde_json::Value {
        match label.parse::<i64>() {
            Ok(number) if self.numeric_labels => number.into(),
            _ => label.into(),
        }
    }

    /// Whether a file has to be read as text for its cells.
    pub(crate) fn needs_text(&self) -> bool {
        self.task == Task::Classification || self.notation.is_some()
    }

    /// Checks for errors that a target written by this program cannot have.
    ///
    /// # Errors
    /// The first thing that is inconsistent.
    pub fn validate(&self) -> Result<()> {
        let labels = &self.labels;
        let distinct: std::collections::BTreeSet<&String> = labels.iter().collect();
        match self.task {
            Task::Regression if !labels.is_empty() => bail!("a regression target has labels"),
            Task::Classification if labels.len() < 2 => bail!("fewer than two class labels"),
            _ if distinct.len() != labels.len() => bail!("two classes have one label"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw_table::RawColumn;
    use super::*;

    fn raw(cells: &str) -> RawTable {
        RawTable {
            names: vec!["y".into()],
            columns: vec![RawColumn::of_texts(cells.lines())],
            lines: (2..).take(cells.lines().count()).collect::<Vec<_>>().into(),
            ..RawTable::default()
        }
    }

    fn fit(cells: &str, task: Task) -> Result<Target> {
        Target::fit(&raw(cells), 0, task, &NullTokens::default())
    }

    #[test]
    fn whole_numbers_are_numeric_labels_in_order_of_value_and_text_is_kept() {
        let target = fit("10\n9\n9.0\nNA\n", Task::Classification).unwrap();
        assert_eq!((target.labels.clone(), target.numeric_labels), (vec!["9".into(), "10".into()], true));
        assert_eq!(target.json_label("9"), 9);
        let target = fit("b\nTrue\nb\n", Task::Classification).unwrap();
        assert_eq!((target.labels.clone(), target.numeric_labels), (vec!["True".into(), "b".into()], false));
    }

    #[test]
    fn labels_are_numbers_only_if_every_cell_is_whole_by_the_decimal_mark_of_its_file() {
        let numeric = |cells, decimal_comma| {
            let raw = RawTable { decimal_comma, ..raw(cells) };
            Target::fit(&raw, 0, Task::Classification, &NullTokens::default()).unwrap().numeric_labels
        };
        assert!(numeric("1\n2\nNA\n+nan\n", false));
        assert!(!numeric("1\n2.5\n", false));
        assert!(!numeric("1\nx\n", false));
        assert!(!numeric("1\n2.0\n", true), "a dot is no decimal mark there");
        assert!(numeric("1\n2,0\n", true));
        let column = RawColumn::Numbers { values: vec![3.0, f64::NAN, 2.0], infinite: Vec::new() };
        let raw = RawTable { columns: vec![column], ..raw("\n\n\n") };
        let target = Target::fit(&raw, 0, Task::Classification, &NullTokens::default()).unwrap();
        assert_eq!((target.labels, target.numeric_labels), (vec!["2".into(), "3".into()], true));
    }

    #[test]
    fn labels_that_training_did_not_see_are_appended() {
        let target = fit("a\nb\n", Task::Classification).unwrap();
        let (rows, truth) = target.read(&raw("b\n?\nc\nc\n"), 0, &NullTokens::default()).unwrap();
        assert_eq!(rows, [0, 2, 3]);
        let labels = ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(truth, Truth::Classes { codes: vec![1, 2, 2], labels });
    }

    #[test]
    fn a_target_of_one_class_of_ten_thousands_or_without_values_is_refused() {
        let labels = |n: usize| (0..n).map(|i| format!("l{i}\n")).collect::<String>();
        assert!(fit(&labels(MAX_CLASSES), Task::Classification).is_ok());
        let message = fit(&labels(MAX_CLASSES + 1), Task::Classification).unwrap_err().to_string();
        assert!(message.contains("has 10001 classes, and at most 10000"), "{message}");
        assert!(fit("a\na\n", Task::Classification).unwrap_err().to_string().contains("two classes"));
        assert!(fit("?\n?\n", Task::Classification).unwrap_err().to_string().contains("no values"));
    }
}
