//! The columns of a training file: first as text ([`RawTable`]), then typed ([`Table`]), with the line each
//! row came from.
//!
//! Only training and evaluation hold a whole file; prediction streams (see [`crate::data::csv::Records`]).

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::schema::{Cell, ColumnType, NullTokens};
use super::text::Texts;

/// The cells of one column as one string and where each ends.
#[derive(Debug, Clone, Default)]
pub struct RawColumn {
    text: String,
    ends: Vec<usize>,
}

impl RawColumn {
    /// Appends a cell.
    pub fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// The cells, first to last, as they stand in the file.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(a, &b)| &self.text[a..b])
    }
}

/// A file as text columns.
#[derive(Debug, Clone)]
pub struct RawTable {
    /// What messages call the file.
    pub source: String,
    /// The byte between two fields.
    pub delimiter: u8,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One text column per name.
    pub columns: Vec<RawColumn>,
    /// The line on which each row starts; the first line of the file is 1.
    pub lines: Vec<u64>,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
}

/// The code of a missing category.
pub const MISSING_LEVEL: u32 = u32::MAX;

/// A typed column, one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Finite numbers; NaN where the cell was missing. Booleans are 0 and 1.
    Number(Vec<f64>),
    /// Indices into `levels`, which are sorted by their bytes; [`MISSING_LEVEL`] where the cell was missing.
    Category {
        /// One index per row.
        codes: Vec<u32>,
        /// Every distinct value of the column.
        levels: Vec<String>,
    },
    /// Words and sentences.
    Text {
        /// For each row the code of its text; NaN where the cell was missing.
        codes: Vec<f64>,
        /// The texts.
        texts: Texts,
    },
}

impl Column {
    /// Types the cells of column `index` of `raw`.
    ///
    /// # Errors
    /// A cell that is not of `column_type`; up to five are listed with file, line and column.
    pub fn parse(raw: &RawTable, index: usize, column_type: ColumnType, nulls: &NullTokens) -> Result<Self> {
        let cells = raw.columns[index].cells();
        match column_type {
            ColumnType::Category => return Ok(Self::categories(cells, nulls)),
            ColumnType::Text => return Ok(Self::texts(cells, nulls)),
            ColumnType::Number | ColumnType::Boolean => {}
        }
        let mut values = Vec::with_capacity(raw.lines.len());
        let mut problems = Vec::new();
        for (text, line) in cells.zip(&raw.lines) {
            let value = column_type.plain_code(nulls.cell(text));
            values.push(*value.as_ref().unwrap_or(&f64::NAN));
            if let Err(detail) = value {
                problems
                    .push(format!("{} line {line}, column \"{}\": {detail}", raw.source, raw.names[index]));
            }
        }
        if problems.is_empty() {
            return Ok(Self::Number(values));
        }
        let more = problems.len().saturating_sub(5);
        problems.truncate(5);
        if more > 0 {
            problems.push(format!("and {more} more cells of that column"));
        }
        bail!(
            "{}\ncorrect the cells, name them as missing (--null TOKEN), or read the column as text \
             (--type \"{}=category\")",
            problems.join("\n"),
            raw.names[index]
        )
    }

    fn texts<'a>(cells: impl Iterator<Item = &'a str>, nulls: &NullTokens) -> Self {
        let mut texts = Texts::default();
        let code = |text| match nulls.cell(text) {
            Cell::Text(text) => texts.push(text),
            _ => f64::NAN,
        };
        let codes = cells.map(code).collect();
        Self::Text { codes, texts }
    }

    fn categories<'a>(cells: impl Iterator<Item = &'a str>, nulls: &NullTokens) -> Self {
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let mut found: Vec<&str> = Vec::new();
        let mut codes: Vec<u32> = cells
            .map(|text| match nulls.cell(text) {
                Cell::Text(text) => *seen.entry(text).or_insert_with(|| {
                    found.push(text);
                    found.len() as u32 - 1
                }),
                _ => MISSING_LEVEL,
            })
            .collect();
        let mut order: Vec<u32> = (0..found.len() as u32).collect();
        order.sort_unstable_by_key(|&code| found[code as usize]);
        let mut rank = vec![0; found.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        for code in codes.iter_mut().filter(|code| **code != MISSING_LEVEL) {
            *code = rank[*code as usize];
        }
        let levels = order.iter().map(|&code| found[code as usize].to_string());
        Self::Category { codes, levels: levels.collect() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Category { codes, .. } => codes.len(),
            Self::Text { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `i` has no value.
    pub fn is_missing(&self, i: usize) -> bool {
        match self {
            Self::Number(values) => values[i].is_nan(),
            Self::Category { codes, .. } => codes[i] == MISSING_LEVEL,
            Self::Text { codes, .. } => codes[i].is_nan(),
        }
    }
}

/// A file as typed columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// What messages call the file.
    pub source: String,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One typed column per name.
    pub columns: Vec<Column>,
    /// The line on which each row starts.
    pub lines: Vec<u64>,
}

impl Table {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cells: &[&str]) -> RawTable {
        let mut column = RawColumn::default();
        cells.iter().for_each(|cell| column.push(cell));
        RawTable {
            source: "t.csv".into(),
            delimiter: b',',
            names: vec!["x".into()],
            columns: vec![column],
            lines: (2..2 + cells.len() as u64).collect(),
            sha256: String::new(),
        }
    }

    #[test]
    fn categories_are_sorted_whatever_the_order_of_the_rows() {
        let nulls = NullTokens::default();
        let forward = Column::parse(&raw(&["b", " a ", "NA", "b"]), 0, ColumnType::Category, &nulls);
        let Column::Category { codes, levels } = forward.unwrap() else { panic!("not a category") };
        assert_eq!(levels, ["a", "b"]);
        assert_eq!(codes, [1, 0, MISSING_LEVEL, 1]);
    }

    #[test]
    fn cells_that_are_not_numbers_are_listed_with_line_and_column() {
        let parsed =
            Column::parse(&raw(&["1", "many", "2", "inf"]), 0, ColumnType::Number, &NullTokens::default());
        let message = parsed.unwrap_err().to_string();
        assert!(message.contains("t.csv line 3, column \"x\": \"many\" is not a number"));
        assert!(message.contains("t.csv line 5, column \"x\": \"inf\" is not a finite number"));
        assert!(message.contains("--type"));
    }
}
