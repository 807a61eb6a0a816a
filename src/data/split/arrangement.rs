//! Rows that belong together or come before others, as a split has to respect.
//!
//! Read from a column of the table, at training and again by the evaluation, which has to find the same rows.

use std::collections::HashMap;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Split;
use super::groups::{fold_groups, hold_out_groups};
use super::timeline::{forward_chain, hold_out_latest};
use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::date::{Evidence, Notation};
use crate::data::cells::notation::Notation as Written;
use crate::data::cells::quantity::Quantities;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::target::Truth;
use crate::data::cells::{date, number};
use crate::plain;

/// The column that decides how rows are split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// Rows with the same value stay on one side.
    Group(String),
    /// The latest rows are held out.
    Time(String),
}

impl SplitBy {
    /// The name of the column.
    pub fn column(&self) -> &str {
        match self {
            Self::Group(name) | Self::Time(name) => name,
        }
    }
}

/// The arrangement of some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// Any row may be on any side.
    Free,
    /// The group of each row.
    Groups(Vec<u32>),
    /// The rank of the time of each row; rows of one time have the same.
    Times(Vec<u32>),
}

impl Arrangement {
    /// The arrangement of `rows`, as the column says.
    ///
    /// # Errors
    /// No such column; a row without a value; a column all of whose values are the same; times that are neither all
    /// numbers nor all dates, with the line.
    pub(crate) fn read(
        by: Option<&SplitBy>,
        raw: &RawTable,
        rows: &[usize],
        nulls: &NullTokens,
    ) -> Result<Self> {
        let Some(by) = by else {
            return Ok(Self::Free);
        };
        let name = by.column();
        let Some(index) = raw.names.iter().position(|known| plain::same(known, name)) else {
            bail!("{} has no column {name:?}, by which its rows were split", raw.source);
        };
        let column = &raw.columns[index];
        let cells: Vec<Cell> = column.cells(nulls.of(name)).collect();
        if let Some(&row) = rows.iter().find(|&&row| cells[row] == Cell::Missing) {
            let what = if matches!(by, SplitBy::Group(_)) { "group" } else { "time" };
            bail!(
                "{}, column {name:?}: the {what} of the row is missing, so no side of the split can be chosen for \
                 it; fill it in or remove the row",
                raw.place(row)
            );
        }
        let written = Quantities::of(raw, index, nulls.of(name)).notation();
        let codes = match by {
            SplitBy::Group(_) => {
                let mut known: HashMap<(&str, u64), u32> = HashMap::new();
                let mut group = |row: &usize| {
                    let key = match as_number(cells[*row], written) {
                        Cell::Text(text) => (text, 0),
                        Cell::Number(value) => ("", value.to_bits()),
                        Cell::Boolean(_) | Cell::Missing => ("", 0),
                    };
                    let next = known.len() as u32;
                    *known.entry(key).or_insert(next)
                };
                rows.iter().map(&mut group).collect()
            }
            SplitBy::Time(_) => ranks(&times(raw, name, rows, &cells, written)?),
        };
        if codes.iter().all(|code| codes.first() == Some(code)) {
            bail!(
                "{}, column {name:?}: all rows have the same value, so it cannot split them; name another column",
                raw.source
            );
        }
        Ok(if matches!(by, SplitBy::Group(_)) { Self::Groups(codes) } else { Self::Times(codes) })
    }

    /// The arrangement of some of the rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let of = |codes: &[u32]| rows.iter().map(|&row| codes[row]).collect();
        match self {
            Self::Free => Self::Free,
            Self::Groups(codes) => Self::Groups(of(codes)),
            Self::Times(codes) => Self::Times(of(codes)),
        }
    }

    /// The group of each row; none if rows have no groups.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        match self {
            Self::Groups(codes) => Some(codes),
            Self::Free | Self::Times(_) => None,
        }
    }

    /// The rank of the time of each row; none if rows have no times.
    pub(crate) fn times(&self) -> Option<&[u32]> {
        match self {
            Self::Times(codes) => Some(codes),
            Self::Free | Self::Groups(_) => None,
        }
    }

    /// Holds out a share of the rows; no row if that is impossible.
    pub(crate) fn hold_out(&self, truth: &Truth, share: f64, seed: u64) -> Split {
        match self {
            Self::Free => truth.hold_out(share, seed),
            Self::Groups(groups) => {
                let (classes, n_classes) = truth.strata();
                hold_out_groups(groups, &classes, n_classes, share, seed)
            }
            Self::Times(times) => hold_out_latest(times, share),
        }
    }

    /// The splits of a cross-validation: `k` folds, in time by forward chaining. Some are empty if that many are
    /// not possible.
    pub(crate) fn folds(&self, truth: &Truth, k: usize, seed: u64) -> Vec<Split> {
        match self {
            Self::Free => truth.folds(k, seed),
            Self::Groups(groups) => {
                let (classes, n_classes) = truth.strata();
                fold_groups(groups, &classes, n_classes, k, seed)
            }
            Self::Times(times) => forward_chain(times, k),
        }
    }

    /// How many groups or times there are; of free rows each is its own.
    pub(crate) fn n_units(&self, n_rows: usize) -> usize {
        match self {
            Self::Free => n_rows,
            Self::Groups(codes) | Self::Times(codes) => {
                let mut codes = codes.clone();
                codes.sort_unstable();
                codes.dedup();
                codes.len()
            }
        }
    }
}

/// A cell, as a number if it is one in the notation of its column.
fn as_number<'a>(cell: Cell<'a>, written: Option<Written>) -> Cell<'a> {
    match cell {
        Cell::Text(text) => written.and_then(|written| written.number(text)).map_or(cell, Cell::Number),
        _ => cell,
    }
}

/// The times of `rows`: numbers if every cell is one, as the column writes them, else moments if every cell is a date.
fn times(
    raw: &RawTable,
    name: &str,
    rows: &[usize],
    cells: &[Cell],
    written: Option<Written>,
) -> Result<Vec<f64>> {
    let mark = raw.decimal_mark();
    let number = |row: &usize| match as_number(cells[*row], written) {
        Cell::Number(value) => Some(value),
        Cell::Text(text) if written.is_none() => number::parse(text, mark).filter(|value| value.is_finite()),
        Cell::Text(_) => None,
        Cell::Boolean(_) | Cell::Missing => None,
    };
    let mut evidence = Evidence::default();
    for &row in rows {
        if let Cell::Text(text) = cells[row] {
            evidence.look(text, 1);
        }
    }
    // An order of days is not guessed.
    let order = evidence.order().filter(|_| evidence.is_consistent() && !evidence.is_guess());
    let notation = Notation { order, ..Notation::default() };
    let moment = |row: &usize| match cells[*row] {
        Cell::Text(text) => date::parse(text, notation),
        Cell::Number(value) => Err(date::not_a_date(&value.to_string())),
        Cell::Boolean(_) | Cell::Missing => Err(date::not_a_date("")),
    };
    if let Some(numbers) = rows.par_iter().map(number).collect::<Option<Vec<f64>>>() {
        return Ok(numbers);
    }
    if let Some(moments) = rows.par_iter().map(|row| moment(row).ok()).collect::<Option<Vec<f64>>>() {
        return Ok(moments);
    }
    let odd = match evidence.dates {
        0 => rows.iter().find(|row| number(row).is_none()).map(|row| {
            let text = match cells[*row] {
                Cell::Text(text) => text,
                _ => "",
            };
            (*row, format!("{text:?} is not a number or a date"))
        }),
        _ => rows.iter().find_map(|row| moment(row).err().map(|detail| (*row, detail))),
    };
    let (row, detail) = odd.unwrap_or_default();
    bail!(
        "{}, column {name:?}: {detail}, so the rows have no order in time; correct it, or name another column",
        raw.place(row)
    )
}

/// The ranks of numbers, equal ones the same, from 0.
fn ranks(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<(f64, usize)> = values.iter().map(|value| value + 0.0).zip(0..).collect();
    order.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![0; values.len()];
    let mut rank = 0;
    for (i, &(value, row)) in order.iter().enumerate() {
        rank += u32::from(i > 0 && value != order[i - 1].0);
        ranks[row] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::raw_table::RawColumn;

    fn read(by: &SplitBy, cells: &[&str]) -> Result<Arrangement> {
        let raw = RawTable {
            source: "t.csv".into(),
            names: vec!["x".into()],
            columns: vec![RawColumn::of_texts(cells.iter().copied())],
            lines: (2..2 + cells.len() as u64).collect::<Vec<_>>().into(),
            ..RawTable::default()
        };
        let rows: Vec<usize> = (0..cells.len()).collect();
        Arrangement::read(Some(by), &raw, &rows, &NullTokens::default())
    }

    fn group() -> SplitBy {
        SplitBy::Group("x".into())
    }

    fn time() -> SplitBy {
        SplitBy::Time("x".into())
    }

    #[test]
    fn rows_of_the_same_value_are_a_group() {
        assert_eq!(read(&group(), &["b", "a", " b "]).unwrap(), Arrangement::Groups(vec![0, 1, 0]));
    }

    #[test]
    fn times_are_numbers_or_dates_and_equal_ones_have_one_rank() {
        assert_eq!(read(&time(), &["10", "9", "9.0", "-1"]).unwrap(), Arrangement::Times(vec![2, 1, 1, 0]));
        let dates = ["2024-03-01", "2023-12-31T23:59:59Z", "2024-03-01 00:00", "2024-03-01T01:30:00+02:00"];
        assert_eq!(read(&time(), &dates).unwrap(), Arrangement::Times(vec![2, 0, 2, 1]));
    }

    #[test]
    fn times_are_read_as_columns_of_dates_are() {
        let dates = ["25/03/2024", "05/04/2024", "2024年3月26日"];
        assert_eq!(read(&time(), &dates).unwrap(), Arrangement::Times(vec![0, 2, 1]));
        let message = read(&time(), &["05/03/2024", "04/03/2024", "06/03/2024"]).unwrap_err().to_string();
        assert!(
            message.contains("line 2") && message.contains("the day or the month first; write it as"),
            "{message}"
        );
    }

    #[test]
    fn written_numbers_are_arranged_by_their_values() {
        for (cells, ranks) in [
            (["1,234", "950", "-12.5", "1,234.0"], [2, 1, 0, 2]),
            (["$12", "$9", "$-3", "$12.00"], [2, 1, 0, 2]),
            (["12 %", "9 %", "-3 %", "12.0 %"], [2, 1, 0, 2]),
            (["1.234,5", "950", "-12,5", "1234,5"], [2, 1, 0, 2]),
            (["01:30:00", "00:45:00", "-00:10:00", "1:30:00"], [2, 1, 0, 2]),
        ] {
            assert_eq!(read(&time(), &cells).unwrap(), Arrangement::Times(ranks.to_vec()), "{cells:?}");
            assert_eq!(read(&group(), &cells).unwrap(), Arrangement::Groups(vec![0, 1, 2, 0]), "{cells:?}");
        }
    }

    #[test]
    fn what_cannot_be_arranged_is_an_error_with_its_line() {
        for (by, cells, words) in [
            (group(), ["a", "", "b"], "t.csv line 3, column \"x\": the group of the row is missing"),
            (time(), ["1", "NA", "2"], "t.csv line 3, column \"x\": the time of the row is missing"),
            (time(), ["1", "2", "soon"], "t.csv line 4, column \"x\": \"soon\" is not a number or a date"),
            (time(), ["2024-01-01", "2", "2024-01-02"], "t.csv line 3, column \"x\": \"2\" is not a date"),
            (group(), ["a", "a", "a"], "all rows have the same value"),
        ] {
            let message = read(&by, &cells).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
