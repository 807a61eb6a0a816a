//! Columns as bytes: every number becomes the index of one of at most 255 bins, once, before any tree grows.
//!
//! A column with at most 255 distinct numbers has a bin for each, with thresholds half-way between them, so
//! that its trees are those of the exact numbers and equal numbers are never separated. Any other column is cut
//! at quantiles, always between two distinct numbers (Ke et al. 2017, "LightGBM: A highly efficient gradient
//! boosting decision tree"). The 254 most frequent levels of a category have a bin each, the rest one bin
//! together. The last byte is for missing values and unseen levels.
//!
//! Costs one byte per value, and one more for histograms of all columns.
//!
//! Forests and boosting bin their table once, before all trees. Of a table that is larger than memory a sample says where
//! the bins end; the rows come in blocks, and only the bytes for histograms are kept.

use std::ops::Range;

use crate::data::cells::matrix::Matrix;
use crate::model::learn::Dataset;
use crate::model::learn::dataset::{Direction, GROUP, Groups};
use crate::order;
use crate::parallel;

/// The byte of a missing value.
pub(crate) const MISSING: u8 = 255;

/// Bins for values.
const MAX_BINS: usize = 255;

/// Quantiles are taken of at most this many rows, evenly spaced: some two hundred per bin.
const MAX_SAMPLE: usize = 1 << 16;

/// The meaning of the bytes of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Bin b holds the numbers above `thresholds[b - 1]` and at most `thresholds[b]`.
    Number {
        /// One less than there are bins, rising.
        thresholds: Vec<f64>,
    },
    /// The bin of each level.
    Category {
        /// One per level.
        groups: Vec<u8>,
    },
}

/// A column of bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// The meaning of its bytes.
    pub(crate) kind: Kind,
    /// The number of bins that values fall into.
    pub(crate) n_bins: usize,
    /// One byte per row; empty if all bytes are in [`Bins::groups`].
    pub(crate) bytes: Vec<u8>,
    /// How predictions may change along it.
    pub(crate) direction: Direction,
    grid: Grid,
}

/// The bytes of a column, wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    /// Rows are 2^shift bytes apart.
    shift: u32,
}

impl<'a> Bytes<'a> {
    /// All of them, if they lie side by side.
    #[inline]
    pub(crate) fn contiguous(self) -> Option<&'a [u8]> {
        (self.shift == 0).then_some(self.bytes)
    }

    /// That of a row.
    #[inline(always)]
    pub(crate) fn of(self, row: u32) -> u8 {
        self.bytes[(row as usize) << self.shift]
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, shift: 0 }
    }
}

impl Column {
    /// The byte of a value.
    fn byte(&self, value: f64) -> u8 {
        match &self.kind {
            Kind::Number { .. } if value.is_nan() => MISSING,
            Kind::Number { thresholds } => self.n_below(thresholds, value) as u8,
            Kind::Category { groups } => level(value, groups.len()).map_or(MISSING, |level| groups[level]),
        }
    }

    /// The number of thresholds below a value; `thresholds`: those of this column.
    #[inline(always)]
    pub(crate) fn n_below(&self, thresholds: &[f64], value: f64) -> usize {
        let cell = ((value - self.grid.begin) * self.grid.per_unit) as usize;
        let cell = cell.min(Grid::CELLS - 1);
        let (from, to) = (usize::from(self.grid.first[cell]), usize::from(self.grid.first[cell + 1]));
        from + thresholds[from..to].partition_point(|&threshold| threshold < value)
    }
}

/// An index of thresholds by value: the range that they span, in equal cells.
#[derive(Debug, Clone, PartialEq)]
struct Grid {
    begin: f64,
    /// Cells per unit of the values.
    per_unit: f64,
    /// The number of thresholds below each cell.
    first: Vec<u8>,
}

impl Grid {
    const CELLS: usize = 256;

    fn new(thresholds: &[f64]) -> Self {
        let (begin, end) = (thresholds.first().unwrap_or(&0.0), thresholds.last().unwrap_or(&0.0));
        let per_unit = Self::CELLS as f64 / (end - begin);
        // A range too narrow or too wide for cells is one cell.
        let per_unit = if per_unit.is_finite() && per_unit > 0.0 { per_unit } else { 0.0 };
        let mut first = vec![0; Self::CELLS + 1];
        for threshold in thresholds {
            let cell = ((threshold - begin) * per_unit) as usize;
            first[cell.min(Self::CELLS - 1) + 1] += 1;
        }
        for cell in 0..Self::CELLS {
            first[cell + 1] += first[cell];
        }
        Self { begin: *begin, per_unit, first }
    }
}

/// All columns as bytes.
#[derive(Debug)]
pub(crate) struct Bins {
    /// Each column.
    pub(crate) columns: Vec<Column>,
    /// Columns that can be split at all.
    pub(crate) usable: Vec<u32>,
    /// The bytes of each [`GROUP`] columns in turn, row by row; empty before [`Bins::group`].
    pub(crate) groups: Groups,
    /// Number of rows.
    n_rows: usize,
}

impl Bins {
    /// Bins the columns of a dataset.
    pub(crate) fn new(data: &Dataset) -> Self {
        let n_columns = data.x.n_cols();
        // Few columns at a time: the rows of the matrix are read once for all of them, and nothing is copied.
        let columns = parallel::map_indices(n_columns.div_ceil(GROUP), &|group| {
            bin_columns(data, group * GROUP..n_columns.min((group + 1) * GROUP))
        });
        let columns: Vec<Column> = columns.into_iter().flatten().collect();
        let mut bins = Self { columns, usable: Vec::new(), groups: Vec::new(), n_rows: data.x.n_rows() };
        bins.find_usable();
        bins
    }

    fn find_usable(&mut self) {
        let rows = 0..self.n_rows as u32;
        let is_usable = |&j: &u32| {
            let bytes = self.bytes(j);
            rows.clone().any(|row| bytes.of(row) != bytes.of(0))
        };
        self.usable = (0..self.columns.len() as u32).filter(is_usable).collect();
    }

    /// The same bins with other rows.
    pub(crate) fn with_rows(mut self, rows: Groups) -> Self {
        self.columns.iter_mut().for_each(|column| column.bytes = Vec::new());
        self.n_rows = rows.first().map_or(0, Vec::len);
        self.groups = rows;
        self.find_usable();
        self
    }

    /// The bytes of rows.
    pub(crate) fn bytes_of(&self, x: &Matrix) -> Groups {
        let group = |(i, columns): (usize, &[Column])| {
            let bytes = |row: &[f64]| {
                let mut bytes = [0; GROUP];
                let values = row[i * GROUP..].iter().zip(columns);
                bytes.iter_mut().zip(values).for_each(|(byte, (&value, column))| *byte = column.byte(value));
                bytes
            };
            x.rows().map(bytes).collect()
        };
        self.columns.chunks(GROUP).enumerate().map(group).collect()
    }

    /// The bytes of a column.
    #[inline]
    pub(crate) fn bytes(&self, column: u32) -> Bytes<'_> {
        let column = column as usize;
        let own = &self.columns[column].bytes;
        match self.groups.get(column / GROUP) {
            Some(group) if own.is_empty() => {
                let bytes = group.as_flattened();
                Bytes {
                    bytes: bytes.get(column % GROUP..).unwrap_or_default(),
                    shift: GROUP.trailing_zeros(),
                }
            }
            _ => own.as_slice().into(),
        }
    }

    /// Keeps a second copy of the bytes, for the histograms of all columns.
    pub(crate) fn group(&mut self) {
        if !self.groups.is_empty() {
            return;
        }
        let group = |columns: &[Column]| {
            let byte = |row: usize, k: usize| columns.get(k).map_or(0, |column| column.bytes[row]);
            (0..self.n_rows()).map(|row| std::array::from_fn(|k| byte(row, k))).collect()
        };
        self.groups = parallel::map(self.columns.chunks(GROUP).collect(), &group);
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }
}

fn bin_columns(data: &Dataset, columns: Range<usize>) -> Vec<Column> {
    let counts = |row: usize| data.weights.is_none_or(|weights| weights[row] > 0.0);
    let kind = |j: usize| {
        let values = data.x.rows().map(|row| row[j]);
        match data.levels.get(j) {
            Some(&levels) if levels > 0 => category(values, levels, counts),
            _ => number(values, counts),
        }
    };
    let kinds: Vec<Kind> = columns.clone().map(kind).collect();
    // Padded so that the search takes the same eight steps for every value.
    let padded = |kind: &Kind| match kind {
        Kind::Number { thresholds } => {
            let mut padded = [f64::INFINITY; 256];
            padded[..thresholds.len()].copy_from_slice(thresholds);
            padded
        }
        Kind::Category { .. } => [f64::INFINITY; 256],
    };
    let padded: Vec<_> = kinds.iter().map(padded).collect();
    let mut bytes = vec![vec![0; data.x.n_rows()]; kinds.len()];
    for (i, row) in data.x.rows().enumerate() {
        let of_column = row[columns.clone()].iter().zip(&kinds).zip(&padded).zip(&mut bytes);
        for (((&value, kind), padded), bytes) in of_column {
            bytes[i] = match kind {
                Kind::Number { .. } if value.is_nan() => MISSING,
                Kind::Number { .. } => bin(padded, value),
                Kind::Category { groups } => {
                    level(value, groups.len()).map_or(MISSING, |level| groups[level])
                }
            };
        }
    }
    let column = |((kind, bytes), j): ((Kind, Vec<u8>), usize)| {
        let direction = data.directions.get(j).copied().unwrap_or_default();
        let (n_bins, grid) = match &kind {
            Kind::Number { thresholds } => (thresholds.len() + 1, Grid::new(thresholds)),
            Kind::Category { groups } => (groups.len().min(MAX_BINS), Grid::new(&[])),
        };
        Column { kind, n_bins, bytes, direction, grid }
    };
    kinds.into_iter().zip(bytes).zip(columns).map(column).collect()
}

fn number(values: impl ExactSizeIterator<Item = f64> + Clone, counts: impl Fn(usize) -> bool) -> Kind {
    let thresholds = match few_distinct(values.clone(), &counts) {
        Some(distinct) => distinct.windows(2).map(|pair| between(pair[0], pair[1])).collect(),
        None => quantile_thresholds(values, &counts),
    };
    Kind::Number { thresholds }
}

/// The number of thresholds below `value`.
#[inline(always)]
fn bin(padded: &[f64; 256], value: f64) -> u8 {
    let mut at = 0_u8;
    for step in [128_u8, 64, 32, 16, 8, 4, 2, 1] {
        let probe = at | step;
        if padded[usize::from(probe - 1)] < value {
            at = probe;
        }
    }
    at
}

/// A threshold between two numbers a < b: a ≤ threshold < b.
fn between(a: f64, b: f64) -> f64 {
    let middle = a / 2.0 + b / 2.0;
    if middle >= a && middle < b { middle } else { a }
}

/// The distinct numbers in rising order, unless they are more than there are bins.
fn few_distinct(values: impl Iterator<Item = f64>, counts: impl Fn(usize) -> bool) -> Option<Vec<f64>> {
    let mut distinct: Vec<f64> = Vec::new();
    for (row, value) in values.enumerate() {
        if value.is_nan() {
            continue;
        }
        let at = distinct.partition_point(|&known| known < value);
        if distinct.get(at) != Some(&value) && counts(row) {
            if distinct.len() == MAX_BINS {
                return None;
            }
            distinct.insert(at, value);
        }
    }
    Some(distinct)
}

/// Thresholds that give all bins about as many rows; a number that fills a bin by itself gets its own.
fn quantile_thresholds(
    values: impl ExactSizeIterator<Item = f64>,
    counts: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let stride = values.len().div_ceil(MAX_SAMPLE).max(1);
    let sample = values.enumerate().step_by(stride);
    let sample = sample.filter(|(row, value)| !value.is_nan() && counts(*row)).map(|(_, value)| key(value));
    let mut keys: Vec<u64> = sample.collect();
    keys.sort_unstable();
    let mut thresholds = Vec::with_capacity(MAX_BINS - 1);
    let mut begin = 0;
    while thresholds.len() < MAX_BINS - 1 && begin < keys.len() {
        let share = (keys.len() - begin).div_ceil(MAX_BINS - thresholds.len());
        let last = keys[begin + share - 1];
        // To the end of the run of equal numbers the bin ends in, or to its start if that is nearer.
        let run_end = begin + share - 1 + keys[begin + share - 1..].partition_point(|&k| k == last);
        let run_start = begin + keys[begin..begin + share].partition_point(|&k| k < last);
        let end = if run_start > begin && run_end - begin - share > begin + share - run_start {
            run_start
        } else {
            run_end
        };
        if end == keys.len() {
            break;
        }
        thresholds.push(between(value_of(keys[end - 1]), value_of(keys[end])));
        begin = end;
    }
    thresholds
}

/// A whole number in the order of the doubles (−0 is 0), which sorts faster.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The level that a code stands for, if it is one.
fn level(value: f64, n_levels: usize) -> Option<usize> {
    (value >= 0.0 && value < n_levels as f64).then_some(value as usize)
}

fn category(values: impl Iterator<Item = f64>, n_levels: usize, counts: impl Fn(usize) -> bool) -> Kind {
    let mut frequency = vec![0_usize; n_levels];
    for (row, value) in values.enumerate() {
        if let (Some(level), true) = (level(value, n_levels), counts(row)) {
            frequency[level] += 1;
        }
    }
    let mut by_frequency: Vec<usize> = (0..n_levels).collect();
    order::sort_by_key(&mut by_frequency, |&level| (std::cmp::Reverse(frequency[level]), level));
    let own = if n_levels > MAX_BINS { MAX_BINS - 1 } else { n_levels };
    let mut groups = vec![own.min(MAX_BINS - 1) as u8; n_levels];
    for (bin, &level) in by_frequency[..own].iter().enumerate() {
        groups[level] = bin as u8;
    }
    Kind::Category { groups }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::Labels;
    use proptest::prelude::*;

    /// The column of these values, of numbers or of so many levels.
    fn column(values: &[f64], n_levels: usize) -> Column {
        let mut x = Matrix::zeros(values.len(), 1);
        x.values_mut().copy_from_slice(values);
        let data = Dataset { levels: &[n_levels], ..Dataset::new(&x, Labels::Values(values)) };
        Bins::new(&data).columns.remove(0)
    }

    #[test]
    fn few_distinct_numbers_get_a_bin_each_and_thresholds_half_way() {
        let column = column(&[3.0, 1.0, f64::NAN, 1.0, 7.0, -0.0, 0.0], 0);
        assert_eq!(column.kind, Kind::Number { thresholds: vec![0.5, 2.0, 5.0] });
        assert_eq!(column.bytes, [2, 1, MISSING, 1, 3, 0, 0]);
        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        assert_eq!(between(1.0, next), 1.0, "neighbours");
        assert_eq!(between(-f64::MAX, f64::MAX), 0.0);
    }

    #[test]
    fn rare_levels_share_a_bin_and_unseen_ones_are_missing() {
        let values: Vec<f64> = (0..600).map(|i| f64::from(i % 300)).chain([-1.0, f64::NAN, 7.0]).collect();
        let column = column(&values, 300);
        assert_eq!(column.n_bins, 255);
        assert_eq!(column.bytes[7], 0, "the most frequent level comes first");
        assert_eq!(column.bytes[600..602], [MISSING, MISSING]);
        assert_eq!(column.bytes[299], 254);
        assert_eq!(column.bytes[298], 254);
    }

    #[test]
    fn constant_columns_are_not_usable() {
        let mut x = Matrix::zeros(3, 3);
        x.row_mut(1).copy_from_slice(&[0.0, 1.0, f64::NAN]);
        let y = [0.0, 1.0, 2.0];
        let mut bins = Bins::new(&Dataset::new(&x, Labels::Values(&y)));
        bins.group();
        assert_eq!(bins.usable, [1, 2]);
        assert_eq!(bins.groups, [[[0, 0, 0, 0], [0, 1, MISSING, 0], [0, 0, 0, 0]]]);
    }

    #[test]
    fn rows_that_come_in_blocks_get_the_bytes_of_the_table() {
        let mut x = Matrix::zeros(1000, 6);
        for (i, value) in x.values_mut().iter_mut().enumerate() {
            *value = match (i % 6, i * 7919 % 1009) {
                (_, at) if at % 11 == 0 => f64::NAN,
                (5, at) => (at % 4) as f64,
                (3, _) => 1.0,
                (_, at) => at as f64 / 7.0 - 50.0,
            };
        }
        (0..1000).for_each(|i| x.row_mut(i)[3] = 2.0);
        let y = vec![0.0; 1000];
        let levels = [0, 0, 0, 0, 0, 4];
        let whole = Bins::new(&Dataset { levels: &levels, ..Dataset::new(&x, Labels::Values(&y)) });
        let mut kept = vec![Vec::new(); 2];
        for part in [0..300, 300..301, 301..1000] {
            let mut rows = Matrix::zeros(part.len(), 6);
            part.enumerate().for_each(|(i, row)| rows.row_mut(i).copy_from_slice(x.row(row)));
            kept.iter_mut().zip(whole.bytes_of(&rows)).for_each(|(kept, rows)| kept.extend(rows));
        }
        let of_sample = Bins::new(&Dataset { levels: &levels, ..Dataset::new(&x, Labels::Values(&y)) });
        let blocks = of_sample.with_rows(kept);
        assert_eq!((blocks.n_rows(), &blocks.usable), (1000, &whole.usable));
        assert_eq!(whole.usable, [0, 1, 2, 4, 5]);
        for column in 0..6 {
            assert!((0..1000).all(|row| whole.bytes(column).of(row) == blocks.bytes(column).of(row)));
        }
    }

    proptest! {
        #[test]
        fn quantile_bins_keep_the_order_and_are_about_equal(
            values in prop::collection::vec(-1e3..1e3_f64, 256..2000), ties in 1..4_u32,
        ) {
            let values: Vec<f64> = values.iter().map(|v| (v * f64::from(ties)).round() / 64.0).collect();
            let column = column(&values, 0);
            let Kind::Number { thresholds } = &column.kind else { unreachable!() };
            prop_assert!(thresholds.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(column.n_bins <= MAX_BINS);
            for (value, &byte) in values.iter().zip(&column.bytes) {
                prop_assert_eq!(thresholds.partition_point(|t| t < value), usize::from(byte));
                for value in [*value, value + 0.001, thresholds[usize::from(byte).min(thresholds.len() - 1)]] {
                    prop_assert_eq!(column.n_below(thresholds, value), thresholds.partition_point(|t| *t < value));
                }
            }
            let mut counts = [0; 256];
            column.bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
            prop_assert!(counts.iter().all(|&n| n <= 2 * values.len().div_ceil(100)));
        }
    }
}
