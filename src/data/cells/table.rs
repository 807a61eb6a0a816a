//! The columns of a training file, typed: made from a [`RawTable`] once the type of each column is known.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::amount::{self, Mark};
use super::cell::{Cell, ColumnType, MISSING_LEVEL, NullTokens};
use super::notation::Notation;
use super::quantity::Quantities;
use super::raw_table::{Lines, RawColumn, RawTable};
use super::text::Texts;
use super::{boolean, date, list, pair};
use crate::plain::plain;

/// A typed column, one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Finite numbers; NaN if the cell was missing. Booleans that are written `true` and `false` are 0 and 1.
    Number(Vec<f64>),
    /// Numbers that are written in another way: with separators or units, dates as seconds since 1970, other words for
    /// booleans as 0 and 1.
    Written {
        /// One per row; NaN if the cell was missing.
        values: Vec<f64>,
        /// How they are written.
        notation: Notation,
        /// Texts that mean "no value" in this column, besides those that do everywhere.
        nulls: Vec<String>,
    },
    /// Indices into `levels`, which are sorted by their bytes; [`MISSING_LEVEL`] if the cell was missing.
    Category {
        /// One index per row.
        codes: Vec<u32>,
        /// Every distinct value of the column.
        levels: Vec<String>,
    },
    /// Words and sentences.
    Text {
        /// For each row the code of its text; NaN if the cell was missing.
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
        Self::parse_with(raw, index, column_type, nulls, &[])
    }

    /// As [`Column::parse`]; the texts `odd` mean "no value" in this column.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_with(
        raw: &RawTable,
        index: usize,
        column_type: ColumnType,
        nulls: &NullTokens,
        odd: &[String],
    ) -> Result<Self> {
        let (column, nulls) = (&raw.columns[index], nulls.of(&raw.names[index]));
        match column_type {
            ColumnType::Category => return Ok(Self::categories(column, nulls)),
            ColumnType::Text => return Ok(Self::texts(column, nulls)),
            ColumnType::Number | ColumnType::Boolean | ColumnType::Date => {}
        }
        let is_date = column_type == ColumnType::Date;
        let notation = match column_type {
            ColumnType::Date => Some(date_notation(column, nulls)),
            ColumnType::Boolean => boolean_notation(column, nulls),
            _ => Quantities::of(raw, index, nulls).notation(),
        };
        // A date is no number, whatever the decimal mark, and a notation has its own.
        let as_text = is_date || notation.is_some_and(|notation| notation.is_of_numbers());
        let cell_of = |cell| match cell {
            Cell::Text(text) if odd.iter().any(|odd| odd == text) => Cell::Missing,
            _ if as_text => cell,
            _ => raw.number_cell(cell),
        };
        let mut problems = Vec::new();
        let mut add = |row: usize, detail: String| {
            problems.push(format!("{}, column \"{}\": {detail}", raw.place(row), raw.names[index]));
        };
        let values = match column {
            RawColumn::Numbers { values, infinite } if column_type == ColumnType::Number => {
                for (row, text) in infinite {
                    add(*row, format!("{text:?} is not a finite number"));
                }
                values.clone()
            }
            RawColumn::Levels { codes, levels } => {
                let code = |text| column_type.plain_code(cell_of(nulls.cell(text)), notation);
                let of_level: Vec<Result<f64, String>> = levels.iter().map(code).collect();
                let value = |(row, &code): (usize, &u32)| match &of_level[code as usize] {
                    Ok(value) => *value,
                    Err(detail) => {
                        add(row, detail.clone());
                        f64::NAN
                    }
                };
                codes.iter().enumerate().map(value).collect()
            }
            _ => {
                let value = |(row, cell)| match column_type.plain_code(cell_of(cell), notation) {
                    Ok(value) => value,
                    Err(detail) => {
                        add(row, detail);
                        f64::NAN
                    }
                };
                column.cells(nulls).enumerate().map(value).collect()
            }
        };
        if problems.is_empty() {
            return Ok(match notation {
                Some(notation) => Self::Written { values, notation, nulls: odd.to_vec() },
                None if !odd.is_empty() => {
                    let decimal = if raw.decimal_comma { Mark::Comma } else { Mark::Dot };
                    let notation =
                        Notation::Number(amount::Notation { decimal, ..amount::Notation::default() });
                    Self::Written { values, notation, nulls: odd.to_vec() }
                }
                None => Self::Number(values),
            });
        }
        // Of the cells that are too large, the first few are listed, and all are in the column.
        let n_infinite = match column {
            RawColumn::Numbers { values, .. } => values.iter().filter(|value| value.is_infinite()).count(),
            _ => 0,
        };
        let more = problems.len().max(n_infinite).saturating_sub(5);
        problems.truncate(5);
        if more > 0 {
            problems
                .push(format!("and {more} more {} of that column", if more == 1 { "cell" } else { "cells" }));
        }
        bail!(
            "{}\ncorrect the cells, name them as missing (--null TOKEN), or read the column as text \
             (--type \"{}=category\")",
            problems.join("\n"),
            raw.names[index]
        )
    }

    fn texts(column: &RawColumn, nulls: &NullTokens) -> Self {
        let mut texts = Texts::default();
        let code = |cell| match cell {
            Cell::Text(text) => texts.push(text),
            // As it would be written; a column that is to hold texts is read as text.
            Cell::Number(value) => texts.push(&value.to_string()),
            Cell::Missing | Cell::Boolean(_) => f64::NAN,
        };
        let codes = column.cells(nulls).map(code).collect();
        Self::Text { codes, texts }
    }

    /// The lists that the levels of a category are.
    pub(crate) fn into_lists(self, style: list::Style) -> Self {
        self.into_kept(|level| style.kept(level))
    }

    /// The pairs of numbers that the levels of a category are.
    pub(crate) fn into_pairs(self, style: pair::Style) -> Self {
        self.into_kept(|level| style.read(level).map_or_else(|| level.into(), |numbers| style.kept(numbers)))
    }

    /// The texts that the levels of a category are kept as.
    fn into_kept(self, kept: impl Fn(&str) -> String) -> Self {
        let Self::Category { codes, levels } = self else {
            return self;
        };
        let kept: Vec<String> = levels.iter().map(|level| kept(level)).collect();
        let mut texts = Texts::default();
        let code = |&code: &u32| kept.get(code as usize).map_or(f64::NAN, |text| texts.push(text));
        let codes = codes.iter().map(code).collect();
        Self::Text { codes, texts }
    }

    /// As [`Column::parse`], but takes the memory of a column of numbers instead of copying it.
    ///
    /// # Errors
    /// As there.
    pub fn take(
        raw: &mut RawTable,
        index: usize,
        column_type: ColumnType,
        nulls: &NullTokens,
        odd: &[String],
    ) -> Result<Self> {
        match &mut raw.columns[index] {
            RawColumn::Numbers { values, infinite }
                if column_type == ColumnType::Number && infinite.is_empty() =>
            {
                Ok(Self::Number(std::mem::take(values)))
            }
            _ => Self::parse_with(raw, index, column_type, nulls, odd),
        }
    }

    fn categories(column: &RawColumn, nulls: &NullTokens) -> Self {
        let mut written = Vec::new();
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let mut found: Vec<&str> = Vec::new();
        let mut codes: Vec<u32> = match column {
            RawColumn::Levels { codes, levels } => {
                let of_level: Vec<u32> =
                    levels.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect();
                codes.iter().map(|&code| of_level[code as usize]).collect()
            }
            RawColumn::Texts(texts) => {
                texts.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect()
            }
            RawColumn::Numbers { values, .. } => {
                // As they would be written; a column that is to hold categories is read as text.
                written.extend(values.iter().map(|v| if v.is_nan() { String::new() } else { v.to_string() }));
                written.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect()
            }
        };
        // Texts that look alike are one level.
        let plain: Vec<_> = found.iter().map(|text| plain(text)).collect();
        let mut order: Vec<u32> = (0..found.len() as u32).collect();
        order.sort_unstable_by_key(|&code| &plain[code as usize]);
        let mut rank = vec![0; found.len()];
        let mut levels: Vec<String> = Vec::new();
        for &old in &order {
            let text = &plain[old as usize];
            if levels.last().is_none_or(|last| last != text) {
                levels.push(text.to_string());
            }
            rank[old as usize] = levels.len() as u32 - 1;
        }
        for code in codes.iter_mut().filter(|code| **code != MISSING_LEVEL) {
            *code = rank[*code as usize];
        }
        Self::Category { codes, levels }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) | Self::Written { values, .. } => values.len(),
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
            Self::Number(values) | Self::Written { values, .. } => values[i].is_nan(),
            Self::Category { codes, .. } => codes[i] == MISSING_LEVEL,
            Self::Text { codes, .. } => codes[i].is_nan(),
        }
    }
}

/// How the dates of a column are written, whatever else it holds.
fn date_notation(column: &RawColumn, nulls: &NullTokens) -> Notation {
    let mut evidence = date::Evidence::default();
    column.each_distinct(nulls, |cell, n| match cell {
        Cell::Text(text) => {
            if !evidence.look(text, n)
                && let Ok(value) = text.parse()
            {
                evidence.look_at_number(value, n);
            }
        }
        Cell::Number(value) => evidence.look_at_number(value, n),
        Cell::Missing | Cell::Boolean(_) => {}
    });
    Notation::Date(evidence.notation())
}

/// The words that the booleans of a column are written in, whatever else it holds; none if they are `true` and
/// `false`.
fn boolean_notation(column: &RawColumn, nulls: &NullTokens) -> Option<Notation> {
    let mut evidence = boolean::Evidence::default();
    column.each_distinct(nulls, |cell, n| {
        if let Cell::Text(text) = cell {
            evidence.look(text, n);
        }
    });
    let words = evidence.most();
    (words != boolean::Words::TrueFalse).then_some(Notation::Boolean(words))
}

/// The code of a level; a new one if it is new.
fn level<'a>(cell: Cell<'a>, seen: &mut HashMap<&'a str, u32>, found: &mut Vec<&'a str>) -> u32 {
    let Cell::Text(text) = cell else {
        return MISSING_LEVEL;
    };
    *seen.entry(text).or_insert_with(|| {
        found.push(text);
        found.len() as u32 - 1
    })
}

/// A file as typed columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name of the file in messages.
    pub source: String,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One typed column per name.
    pub columns: Vec<Column>,
    /// The line on which each row starts.
    pub lines: Lines,
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
        RawTable {
            source: "t.csv".into(),
            names: vec!["x".into()],
            columns: vec![RawColumn::of_texts(cells.iter().copied())],
            lines: (2..2 + cells.len() as u64).collect::<Vec<_>>().into(),
            ..RawTable::default()
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
