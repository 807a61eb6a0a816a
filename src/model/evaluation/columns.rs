//! The columns of evaluated rows as numbers or levels, to cut the rows into parts.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};

use crate::data::cells::cell::{Cell, ColumnType, UNSEEN};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::model::hold_out::TestRows;
use crate::model::statistics::quantile;
use crate::names::{did_you_mean, quote};
use crate::order;
use crate::plain;

/// Distinct numbers up to which each is a value of its own.
const FEW_NUMBERS: usize = 10;

/// Parts that a column of numbers is cut into, of about equally many rows.
const PARTS: usize = 5;

/// Levels that are parts of their own, the most frequent; the others are one part together.
const MAX_LEVELS: usize = 20;

/// The name of the part of the rows without a value, and that of the less frequent levels.
pub(super) const MISSING: &str = "missing";
pub(super) const OTHER: &str = "other";

/// The values of one column in some rows.
pub(super) struct ValueColumn {
    pub(super) name: String,
    pub(super) values: Values,
}

pub(super) enum Values {
    /// Numbers, and dates in seconds since 1970; NaN is a missing value.
    Numbers { values: Vec<f64>, is_date: bool },
    /// An index into `names`.
    Levels { codes: Vec<u32>, names: Vec<String> },
}

impl ValueColumn {
    /// A feature of a model, unless it is text.
    pub(super) fn of_feature(schema: &Schema, index: usize, codes: &Matrix) -> Option<Self> {
        let feature = &schema.features[index];
        let column = codes.rows().map(|row| row[index]);
        let values = match feature.column_type {
            ColumnType::Text => return None,
            ColumnType::Number => Values::Numbers { values: column.collect(), is_date: false },
            ColumnType::Date => Values::Numbers { values: column.collect(), is_date: true },
            ColumnType::Boolean => {
                let word = |value| {
                    let word = feature.boolean(value);
                    word.as_str().map_or_else(|| word.to_string(), str::to_string)
                };
                let names = vec![word(false), word(true), MISSING.into()];
                let code = |code: f64| if code.is_nan() { 2 } else { u32::from(code != 0.0) };
                Values::Levels { codes: column.map(code).collect(), names }
            }
            ColumnType::Category => {
                let n = feature.levels.len();
                let names =
                    feature.levels.iter().cloned().chain([MISSING.into(), "unseen in training".into()]);
                let code = |code: f64| match code {
                    code if code == UNSEEN => n + 1,
                    code if code >= 0.0 && (code as usize) < n => code as usize,
                    _ => n,
                };
                Values::Levels { codes: column.map(|c| code(c) as u32).collect(), names: names.collect() }
            }
        };
        Some(Self { name: feature.name.clone(), values })
    }

    /// Column `index` of a file: numbers if all of its cells are, else levels.
    pub(super) fn of_file(rows: &TestRows, index: usize, schema: Option<&Schema>) -> Self {
        let name = rows.raw.names[index].clone();
        let plain_nulls = Default::default();
        let nulls = schema.map_or(&plain_nulls, |schema| &schema.null_tokens).of(&name);
        let cells: Vec<Cell> = rows
            .rows
            .iter()
            .map(|&row| rows.raw.number_cell(rows.raw.columns[index].cell(row, nulls)))
            .collect();
        let number = |cell: &Cell| match cell {
            Cell::Missing => Some(f64::NAN),
            Cell::Number(value) => Some(*value),
            Cell::Text(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            Cell::Boolean(_) => None,
        };
        let values = match cells.iter().map(number).collect::<Option<Vec<f64>>>() {
            Some(values) if values.iter().any(|value| !value.is_nan()) => {
                Values::Numbers { values, is_date: false }
            }
            _ => {
                let mut known: HashMap<String, u32> = HashMap::new();
                let mut names = Vec::new();
                let mut code = |cell: &Cell| {
                    let text = match cell {
                        Cell::Missing => MISSING.to_string(),
                        Cell::Number(value) => value.to_string(),
                        Cell::Boolean(value) => value.to_string(),
                        Cell::Text(text) => plain::plain(text).into_owned(),
                    };
                    *known.entry(text).or_insert_with_key(|text| {
                        names.push(text.clone());
                        names.len() as u32 - 1
                    })
                };
                let codes = cells.iter().map(&mut code).collect();
                Values::Levels { codes, names }
            }
        };
        Self { name, values }
    }

    /// The column of this name: of the model, if it knows it as more than text, else of the file.
    ///
    /// # Errors
    /// No such column.
    pub(super) fn named(name: &str, rows: &TestRows, known: Option<(&Schema, &Matrix)>) -> Result<Self> {
        if let Some((schema, codes)) = known
            && let Some(index) = schema.features.iter().position(|feature| plain::same(&feature.name, name))
            && let Some(found) = Self::of_feature(schema, index, codes)
        {
            return Ok(found);
        }
        let names = &rows.raw.names;
        match names.iter().position(|known| plain::same(known, name)) {
            Some(index) => Ok(Self::of_file(rows, index, known.map(|known| known.0))),
            None => {
                let hint = did_you_mean(name, names.iter().map(String::as_str));
                bail!("{} has no column {}{hint}", rows.raw.source, quote(name))
            }
        }
    }

    /// A number as it is shown in the name of a part.
    pub(super) fn shown(value: f64, is_date: bool) -> String {
        if is_date { crate::data::cells::date::format(value) } else { value.to_string() }
    }

    /// The parts of the rows: numbers in ranges of about equally many rows unless there are few of them, levels one by one,
    /// the most frequent first; missing values last. Parts without rows are left out.
    pub(super) fn parts(&self) -> Vec<(String, Vec<usize>)> {
        let mut parts: Vec<(String, Vec<usize>)> = match &self.values {
            Values::Numbers { values, is_date } => {
                let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                let distinct: BTreeSet<u64> =
                    sorted.iter().take(100_000).map(|value| (value + 0.0).to_bits()).collect();
                let show = |value| Self::shown(value, *is_date);
                // Upper bounds of the parts but the last one; each is a value that occurs.
                let (bounds, exact): (Vec<f64>, bool) = if distinct.len() <= FEW_NUMBERS {
                    let mut all = sorted.clone();
                    all.dedup();
                    (all, true)
                } else {
                    let at = |part: usize| sorted[(sorted.len() * part / PARTS).saturating_sub(1)];
                    let mut bounds: Vec<f64> = (1..PARTS).map(at).collect();
                    bounds.dedup();
                    (bounds, false)
                };
                let name = |part: usize| match (exact, part) {
                    (true, part) => bounds.get(part).map_or(MISSING.into(), |&value| show(value)),
                    (false, 0) => format!("up to {}", show(bounds[0])),
                    (false, part) if part == bounds.len() => format!("above {}", show(bounds[part - 1])),
                    (false, part) => format!("{} to {}", show(bounds[part - 1]), show(bounds[part])),
                };
                let mut parts: Vec<(String, Vec<usize>)> =
                    (0..=bounds.len()).map(|part| (name(part), Vec::new())).collect();
                parts.push((MISSING.into(), Vec::new()));
                let missing = parts.len() - 1;
                for (row, &value) in values.iter().enumerate() {
                    let part = if value.is_nan() { missing } else { bounds.partition_point(|b| *b < value) };
                    parts[part].1.push(row);
                }
                parts
            }
            Values::Levels { codes, names } => {
                let mut of_level: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
                codes.iter().enumerate().for_each(|(row, &code)| of_level[code as usize].push(row));
                let mut found: Vec<(String, Vec<usize>)> = names.iter().cloned().zip(of_level).collect();
                found.retain(|(_, rows)| !rows.is_empty());
                order::sort_by(&mut found, |a, b| {
                    let is_missing = |part: &(String, Vec<usize>)| part.0 == MISSING;
                    is_missing(a).cmp(&is_missing(b)).then(b.1.len().cmp(&a.1.len())).then(a.0.cmp(&b.0))
                });
                let missing = found.pop_if(|part| part.0 == MISSING);
                if found.len() > MAX_LEVELS {
                    let mut others: Vec<usize> =
                        found.split_off(MAX_LEVELS).into_iter().flat_map(|(_, rows)| rows).collect();
                    others.sort_unstable();
                    found.push((OTHER.into(), others));
                }
                found.extend(missing);
                found
            }
        };
        parts.retain(|(_, rows)| !rows.is_empty());
        parts
    }

    /// Bounds that numbers are split at: quantiles of them that occur.
    pub(super) fn bounds(values: &[f64], n: usize) -> Vec<f64> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(&last) = sorted.last() else { return Vec::new() };
        let mut bounds: Vec<f64> = (1..n)
            .map(|i| {
                let at = quantile(&sorted, i as f64 / n as f64);
                sorted[sorted.partition_point(|value| *value <= at).saturating_sub(1)]
            })
            .collect();
        bounds.dedup();
        bounds.retain(|bound| *bound < last);
        bounds
    }
}
