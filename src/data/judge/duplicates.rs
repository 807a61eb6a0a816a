//! Columns and rows of a typed table that are copies of others.
//!
//! Cells are compared by value: `1.0` is `1`, and a missing cell is like another. Rows are compared by a hash of 64
//! bits, of which two of a million rows share one by a chance of 3 in 100 million.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::data::cells::cell::{ColumnType, MISSING_LEVEL};
use crate::data::cells::table::{Column, Table};
use crate::data::cells::target::Truth;
use crate::data::cells::text::Texts;

/// Rows that a thread hashes at a time.
const BLOCK_ROWS: usize = 4096;

/// Adds a value to a hash, by a product of 128 bits folded to 64.
fn mix(hash: u64, value: u64) -> u64 {
    // Odd constants from the digits of pi.
    let product = u128::from(hash ^ value ^ 0x243f_6a88_85a3_08d3) * 0x1319_8a2e_0370_7345;
    (product as u64) ^ (product >> 64) as u64
}

fn hash_text(text: &str) -> u64 {
    text.as_bytes().chunks(8).fold(text.len() as u64, |hash, bytes| {
        mix(hash, bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    })
}

/// The value that a missing cell adds.
const MISSING: u64 = 0x4d_69_73_73_69_6e_67;

fn hash_number(value: f64) -> u64 {
    // Both zeros are one value, and so is every NaN.
    if value.is_nan() { MISSING } else { (value + 0.0).to_bits() }
}

/// A column whose cells have hashes.
enum Hashed<'a> {
    Numbers(&'a [f64]),
    Levels(&'a [u32], Vec<u64>),
    Texts(&'a [f64], &'a Texts),
}

impl<'a> Hashed<'a> {
    fn of(column: &'a Column) -> Self {
        match column {
            Column::Number(values) | Column::Written { values, .. } => Self::Numbers(values),
            Column::Category { codes, levels } => {
                Self::Levels(codes, levels.iter().map(|level| hash_text(level)).collect())
            }
            Column::Text { codes, texts } => Self::Texts(codes, texts),
        }
    }

    fn add(&self, rows: impl Iterator<Item = usize>, hashes: &mut [u64]) {
        let pairs = hashes.iter_mut().zip(rows);
        match self {
            Self::Numbers(values) => pairs.for_each(|(h, row)| *h = mix(*h, hash_number(values[row]))),
            Self::Levels(codes, levels) => pairs.for_each(|(h, row)| {
                *h = mix(*h, levels.get(codes[row] as usize).copied().unwrap_or(MISSING));
            }),
            Self::Texts(codes, texts) => pairs.for_each(|(h, row)| {
                let code = codes[row];
                *h = mix(*h, if code.is_nan() { MISSING } else { hash_text(texts.get(code)) });
            }),
        }
    }
}

/// A hash of each of `rows`: its cells in `columns`, in their order, and its target. `truth`: of those rows.
pub(crate) fn row_hashes(columns: &[&Column], rows: &[usize], truth: &Truth) -> Vec<u64> {
    let columns: Vec<Hashed> = columns.par_iter().map(|column| Hashed::of(column)).collect();
    let mut hashes: Vec<u64> = match truth {
        Truth::Classes { codes, labels } => {
            let labels: Vec<u64> = labels.iter().map(|label| hash_text(label)).collect();
            codes.iter().map(|&code| labels[code as usize]).collect()
        }
        Truth::Values(values) => values.iter().map(|&value| hash_number(value)).collect(),
    };
    hashes.par_chunks_mut(BLOCK_ROWS).zip(rows.par_chunks(BLOCK_ROWS)).for_each(|(hashes, rows)| {
        columns.iter().for_each(|column| column.add(rows.iter().copied(), hashes));
    });
    hashes
}

/// Rows that are copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Copies {
    /// How many there are.
    pub n: usize,
    /// The first of them, and the first row that it is a copy of.
    pub first: Option<(usize, usize)>,
}

fn sorted(hashes: &[u64]) -> Vec<(u64, usize)> {
    let mut sorted: Vec<(u64, usize)> = hashes.iter().copied().zip(0..).collect();
    sorted.par_sort_unstable();
    sorted
}

/// Rows that are copies of a row before them.
pub(crate) fn repeated(hashes: &[u64]) -> Copies {
    let sorted = sorted(hashes);
    let mut copies = Copies::default();
    for equal in sorted.chunk_by(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
        copies.n += equal.len() - 1;
        let pair = (equal[1].1, equal[0].1);
        copies.first = Some(copies.first.map_or(pair, |first| first.min(pair)));
    }
    copies
}

/// Rows of `others` that are copies of one in `hashes`.
pub(crate) fn seen(hashes: &[u64], others: &[u64]) -> Copies {
    let sorted = sorted(hashes);
    let mut copies = Copies::default();
    for (row, hash) in others.iter().enumerate() {
        let at = sorted.partition_point(|(known, _)| known < hash);
        if let Some(&(_, first)) = sorted.get(at).filter(|(known, _)| known == hash) {
            copies.n += 1;
            copies.first.get_or_insert((row, first));
        }
    }
    copies
}

/// Columns that have the type and all cells of a column before them, and the first such column, as indices into
/// the table.
pub(crate) fn duplicate_columns(table: &Table, columns: &[(usize, ColumnType)]) -> Vec<(usize, usize)> {
    let n = table.n_rows();
    let hash = |&(index, column_type): &(usize, ColumnType)| {
        let column = Hashed::of(&table.columns[index]);
        let mut whole = 0;
        // Each cell alone, and then in the order of the rows.
        let mut cells = vec![0; BLOCK_ROWS.min(n)];
        for start in (0..n).step_by(BLOCK_ROWS) {
            let rows = start..n.min(start + BLOCK_ROWS);
            let cells = &mut cells[..rows.len()];
            cells.fill(0);
            column.add(rows, cells);
            whole = cells.iter().fold(whole, |hash, &cell| mix(hash, cell));
        }
        mix(whole, column_type as u64)
    };
    let hashes: Vec<u64> = columns.par_iter().map(hash).collect();
    let mut firsts: BTreeMap<u64, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (&(index, _), hash) in columns.iter().zip(hashes) {
        match firsts.get(&hash) {
            Some(&first) if same(&table.columns[first], &table.columns[index]) => found.push((index, first)),
            Some(_) => {}
            None => {
                firsts.insert(hash, index);
            }
        }
    }
    found
}

/// Whether two columns have the same cells.
fn same(a: &Column, b: &Column) -> bool {
    match (a, b) {
        (Column::Number(a), Column::Number(b))
        | (Column::Written { values: a, .. }, Column::Written { values: b, .. }) => {
            a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        (Column::Category { codes: a, levels: of_a }, Column::Category { codes: b, levels: of_b }) => {
            let level =
                |code: u32, levels: &[String]| code != MISSING_LEVEL && (code as usize) < levels.len();
            a.iter().zip(b).all(|(&a, &b)| match (level(a, of_a), level(b, of_b)) {
                (true, true) => of_a[a as usize] == of_b[b as usize],
                (a, b) => a == b,
            })
        }
        (Column::Text { codes: a, texts: of_a }, Column::Text { codes: b, texts: of_b }) => {
            a.iter().zip(b).all(|(&a, &b)| a.is_nan() == b.is_nan() && of_a.get(a) == of_b.get(b))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<Column>) -> Table {
        let n = columns[0].len();
        Table {
            source: "t.csv".into(),
            names: (0..columns.len()).map(|i| format!("c{i}")).collect(),
            columns,
            lines: (2..2 + n as u64).collect::<Vec<_>>().into(),
        }
    }

    #[test]
    fn columns_with_the_same_cells_are_found_whatever_is_missing() {
        let numbers = |last: f64| Column::Number(vec![1.0, f64::NAN, -0.0, last]);
        let levels = |names: [&str; 2]| Column::Category {
            codes: vec![0, MISSING_LEVEL, 1, 1],
            levels: names.map(String::from).to_vec(),
        };
        let table = table(vec![
            numbers(3.0),
            levels(["a", "b"]),
            numbers(4.0),
            Column::Number(vec![1.0, f64::NAN, 0.0, 3.0]),
            levels(["a", "c"]),
            levels(["a", "b"]),
        ]);
        let types = |index| match table.columns[index] {
            Column::Number(_) => (index, ColumnType::Number),
            _ => (index, ColumnType::Category),
        };
        let columns: Vec<(usize, ColumnType)> = (0..6).map(types).collect();
        assert_eq!(duplicate_columns(&table, &columns), [(3, 0), (5, 1)]);
    }

    #[test]
    fn rows_are_copies_only_where_every_cell_and_the_target_are_the_same() {
        let a = Column::Number(vec![1.0, 1.0, 1.0, 2.0, 1.0]);
        let b = Column::Category { codes: vec![0, 0, 1, 0, 0], levels: vec!["x".into(), "y".into()] };
        let truth = Truth::Classes { codes: vec![0, 0, 0, 0, 1], labels: vec!["no".into(), "yes".into()] };
        let hashes = row_hashes(&[&a, &b], &[0, 1, 2, 3, 4], &truth);
        assert_eq!(repeated(&hashes), Copies { n: 1, first: Some((1, 0)) });
        assert_eq!(seen(&hashes[..1], &hashes[1..]), Copies { n: 1, first: Some((0, 0)) });
        let swapped = row_hashes(&[&b, &a], &[0], &truth.select(&[0]));
        assert_ne!(swapped[0], hashes[0], "the order of the columns counts");
    }

    #[test]
    fn rows_of_two_tables_are_the_same_whatever_else_their_columns_hold() {
        let category = |codes: Vec<u32>, levels: &[&str]| Column::Category {
            codes,
            levels: levels.iter().map(|level| level.to_string()).collect(),
        };
        let train = category(vec![0, 1], &["a", "c"]);
        let test = category(vec![0, 1, 2], &["a", "b", "c"]);
        let truth = Truth::Values(vec![1.5, 2.5, 2.5]);
        let train = row_hashes(&[&train], &[0, 1], &truth.select(&[0, 1]));
        let test = row_hashes(&[&test], &[0, 1, 2], &truth);
        assert_eq!(seen(&train, &test), Copies { n: 2, first: Some((0, 0)) });
    }
}
