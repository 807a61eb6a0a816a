//! Which rows belong together, and which come before others: what a split must respect beside chance.
//!
//! Read from a column of the table, at training and again by the evaluation, which has to find the same rows.

use std::collections::HashMap;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::number;
use super::schema::{Cell, NullTokens};
use super::split::{Split, fold_groups, forward_chain, hold_out_groups, hold_out_latest};
use super::table::RawTable;
use super::target::Truth;

/// The column that splits go by.
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

/// What is known of some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrangement {
    /// Any row may be on any side.
    Free,
    /// The group of each row.
    Groups(Vec<u32>),
    /// The rank of the time of each row; rows of one time have the same.
    Times(Vec<u32>),
}

impl Arrangement {
    /// That of `rows`, as the column says.
    ///
    /// # Errors
    /// No such column; a row without a value; a column all of whose values are the same; times that are neither all
    /// numbers nor all dates, with the line.
    pub fn read(by: Option<&SplitBy>, raw: &RawTable, rows: &[usize], nulls: &NullTokens) -> Result<Self> {
        let Some(by) = by else {
            return Ok(Self::Free);
        };
        let name = by.column();
        let Some(index) = raw.names.iter().position(|known| known == name) else {
            bail!("{} has no column {name:?}, by which its rows were split", raw.source);
        };
        let column = &raw.columns[index];
        let cells: Vec<Cell> = column.cells(nulls).collect();
        if let Some(&row) = rows.iter().find(|&&row| cells[row] == Cell::Missing) {
            let what = if matches!(by, SplitBy::Group(_)) { "group" } else { "time" };
            bail!(
                "{}, column {name:?}: the {what} of the row is missing, so no side of the split can be chosen for \
                 it; fill it in or leave the row out",
                raw.place(row)
            );
        }
        let codes = match by {
            SplitBy::Group(_) => {
                let mut known: HashMap<(&str, u64), u32> = HashMap::new();
                let mut group = |row: &usize| {
                    let key = match cells[*row] {
                        Cell::Text(text) => (text, 0),
                        Cell::Number(value) => ("", value.to_bits()),
                        Cell::Boolean(_) | Cell::Missing => ("", 0),
                    };
                    let next = known.len() as u32;
                    *known.entry(key).or_insert(next)
                };
                rows.iter().map(&mut group).collect()
            }
            SplitBy::Time(_) => ranks(&times(raw, name, rows, &cells)?),
        };
        if codes.iter().all(|code| codes.first() == Some(code)) {
            bail!(
                "{}, column {name:?}: all rows have the same value, so it cannot part them; name another column",
                raw.source
            );
        }
        Ok(if matches!(by, SplitBy::Group(_)) { Self::Groups(codes) } else { Self::Times(codes) })
    }

    /// That of some of the rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        let of = |codes: &[u32]| rows.iter().map(|&row| codes[row]).collect();
        match self {
            Self::Free => Self::Free,
            Self::Groups(codes) => Self::Groups(of(codes)),
            Self::Times(codes) => Self::Times(of(codes)),
        }
    }

    /// The group of each row of a table of `n_rows`, of which these are `rows`; those of other rows are of no
    /// meaning. None where rows have no groups.
    pub fn groups(&self, rows: &[usize], n_rows: usize) -> Option<Vec<u32>> {
        let Self::Groups(codes) = self else {
            return None;
        };
        let mut groups = vec![0; n_rows];
        rows.iter().zip(codes).for_each(|(&row, &code)| groups[row] = code);
        Some(groups)
    }

    /// Holds out a share of the rows; none where that is impossible.
    pub fn hold_out(&self, truth: &Truth, share: f64, seed: u64) -> Split {
        match self {
            Self::Free => truth.hold_out(share, seed),
            Self::Groups(groups) => {
                let (classes, n_classes) = truth.strata();
                hold_out_groups(groups, &classes, n_classes, share, seed)
            }
            Self::Times(times) => hold_out_latest(times, share),
        }
    }

    /// The splits of a cross-validation: `k` folds, in time by forward chaining. Some are empty where that many are
    /// not possible.
    pub fn folds(&self, truth: &Truth, k: usize, seed: u64) -> Vec<Split> {
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
    pub fn n_units(&self, n_rows: usize) -> usize {
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

/// The times of `rows`: numbers if every cell is one, else moments if every cell is a date.
fn times(raw: &RawTable, name: &str, rows: &[usize], cells: &[Cell]) -> Result<Vec<f64>> {
    let mark = if raw.decimal_comma { b',' } else { b'.' };
    let number = |row: &usize| match cells[*row] {
        Cell::Number(value) => Some(value),
        Cell::Text(text) => number::parse(text, mark).filter(|value| value.is_finite()),
        Cell::Boolean(_) | Cell::Missing => None,
    };
    let date = |row: &usize| match cells[*row] {
        Cell::Text(text) => moment(text),
        _ => None,
    };
    if let Some(numbers) = rows.par_iter().map(number).collect::<Option<Vec<f64>>>() {
        return Ok(numbers);
    }
    if let Some(moments) = rows.par_iter().map(date).collect::<Option<Vec<f64>>>() {
        return Ok(moments);
    }
    let n_dates = rows.iter().filter(|row| date(row).is_some()).count();
    let are_dates = n_dates > 0;
    let odd = rows.iter().find(|row| if are_dates { date(row).is_none() } else { number(row).is_none() });
    let place = odd.map(|&row| raw.place(row)).unwrap_or_default();
    let text = odd.map(|&row| match cells[row] {
        Cell::Text(text) => text.to_string(),
        Cell::Number(value) => value.to_string(),
        Cell::Boolean(_) | Cell::Missing => String::new(),
    });
    let kind =
        if are_dates { "a date such as 2024-03-01 or 2024-03-01T12:30:00Z" } else { "a number or a date" };
    bail!(
        "{place}, column {name:?}: {:?} is not {kind}, so the rows have no order in time; correct it, or name another \
         column",
        text.unwrap_or_default()
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

/// Seconds since 1970 of a date or a moment in ISO 8601: `2024-03-01`, `2024-03-01T12:30`, `2024-03-01 12:30:05.5Z`,
/// `2024-03-01T12:30:05+02:00`. Without a zone it is read as UTC.
fn moment(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let digits = |text: &str, n: usize| -> Option<i64> {
        (text.len() == n && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
        - 1
        - 719_468;
    let mut seconds = days as f64 * 86_400.0;
    let Some(time) = time else {
        return Some(seconds);
    };
    let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone);
    let of_clock = |text: &str| -> Option<f64> {
        let mut parts = text.split(':');
        let (hours, minutes) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        let seconds = match parts.next() {
            Some(seconds) if seconds.starts_with(|c: char| c.is_ascii_digit()) => seconds.parse().ok()?,
            Some(_) => return None,
            None => 0.0,
        };
        let valid = parts.next().is_none() && hours < 25 && minutes < 60 && (0.0..61.0).contains(&seconds);
        valid.then_some((hours * 3600 + minutes * 60) as f64 + seconds)
    };
    seconds += of_clock(clock.trim_end())?;
    match zone {
        "" | "Z" | "z" => Some(seconds),
        _ => {
            let (sign, offset) = zone.split_at(1);
            let offset = match offset.len() {
                4 => of_clock(&format!("{}:{}", offset.get(..2)?, offset.get(2..)?))?,
                2 => of_clock(&format!("{offset}:00"))?,
                _ => of_clock(offset)?,
            };
            Some(if sign == "+" { seconds - offset } else { seconds + offset })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::RawColumn;

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
    fn moments_are_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01", Some(0.0)),
            ("2000-03-01", Some(951_868_800.0)),
            ("1969-12-31T23:59:59.5", Some(-0.5)),
            ("2024-02-29T12:00:00-0130", Some(1_709_213_400.0)),
            ("2024-13-01", None),
            ("2024-1-1", None),
            ("2024-01-01T", None),
            ("2024-01-01T12:00:00+é2", None),
            ("tomorrow", None),
        ] {
            assert_eq!(moment(text), seconds, "{text}");
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
