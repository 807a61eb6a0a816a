//! The rows that a learner is given, and the fit that it hands back.
//!
//! Every family imports this file. [`Dataset::weight`] and [`Dataset::y`] read a row whatever form weights
//! and labels have; [`Dataset::check`] runs once before a fit, so that no learner checks its input again.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use crate::data::cells::cell::ColumnType;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::number::MAX_SUMMED;
use crate::data::cells::target::Truth;
use crate::data::prepare::recipe::Encoding;
use crate::data::split::Split;
use crate::data::split::groups::{fold_groups, hold_out_groups};
use crate::data::split::stratified::{folds, hold_out_stratified};
use crate::data::split::timeline::{forward_chain, hold_out_latest};
use crate::model::predictor::Predictor;

/// Values that a thread checks at a time.
const CHECKED_VALUES: usize = 1 << 14;

/// A prepared value that a learner cannot calculate with.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// Its row in the dataset.
    pub(crate) row: usize,
    /// Its column in the dataset.
    pub(crate) slot: usize,
    value: f64,
}

impl Unusable {
    /// The largest number of a column, for learners that find out later that it is too large.
    pub(crate) fn largest(x: &Matrix, slot: usize) -> Self {
        let values = x.rows().map(|row| row[slot]).enumerate().filter(|(_, value)| !value.is_nan());
        let largest = values.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let (row, value) = largest.unwrap_or((0, f64::NAN));
        Self { row, slot, value }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { row, slot, value } = self;
        let what = if value.is_finite() { "is so large that squares of it are" } else { "is" };
        write!(f, "a prepared value {what} not finite: {value:e} in row {row}, column {slot}")
    }
}

impl Error for Unusable {}

/// The labels to learn, one per row.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// Class indices.
    Classes {
        /// One per row, below `n_classes`.
        codes: &'a [u32],
        /// Number of classes.
        n_classes: usize,
    },
    /// Numbers.
    Values(&'a [f64]),
}

impl<'a> From<&'a Truth> for Labels<'a> {
    fn from(truth: &'a Truth) -> Self {
        match truth {
            Truth::Classes { codes, labels } => Self::Classes { codes, n_classes: labels.len() },
            Truth::Values(values) => Self::Values(values),
        }
    }
}

/// How the prediction may change along a column, all other columns being equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// In any way.
    #[default]
    Free,
    /// It never falls as the value of the column rises.
    Rising,
    /// It never rises as the value of the column rises.
    Falling,
}

/// Columns whose bytes are stored together for the histograms of all columns.
pub(crate) const GROUP: usize = 4;

/// A byte of each value of some rows: of each four columns in turn, row by row.
pub type Groups = Vec<Vec<[u8; GROUP]>>;

/// Prepared rows and their labels.
#[derive(Debug, Clone, Copy)]
pub struct Dataset<'a> {
    /// `n_rows × n_slots` numbers, finite if they are standardised; if they are raw, NaN is a missing
    /// value.
    pub x: &'a Matrix,
    /// For each column that holds level indices, the number of levels, and 0 for others; empty if no
    /// column does.
    pub levels: &'a [usize],
    /// The type of each column if columns hold raw codes; empty if all are numbers.
    pub types: &'a [ColumnType],
    /// The direction of each column; empty if none has one. Only learners that have the setting `monotonic` keep to it.
    pub directions: &'a [Direction],
    /// One label per row.
    pub y: Labels<'a>,
    /// The weight of each row, 1 if absent; finite, not negative, not all 0.
    pub weights: Option<&'a [f64]>,
    /// The group of each row; rows of a group stay on one side of every split within a fit. If absent, each
    /// row is its own group.
    pub groups: Option<&'a [u32]>,
    /// The rank of the time of each row; every split within a fit holds out later rows than it fits, as the splits of
    /// the table do. If absent, or if there are groups, rows have no order.
    pub times: Option<&'a [u32]>,
    /// The seed of all random choices.
    pub seed: u64,
}

/// The codes of some rows.
fn of_rows(codes: &[u32], rows: &[usize]) -> Vec<u32> {
    rows.iter().map(|&row| codes[row]).collect()
}

impl<'a> Dataset<'a> {
    /// Rows of numbers of equal weight, and seed 0.
    pub fn new(x: &'a Matrix, y: Labels<'a>) -> Self {
        Self {
            x,
            levels: &[],
            types: &[],
            directions: &[],
            y,
            weights: None,
            groups: None,
            times: None,
            seed: 0,
        }
    }

    /// Number of rows, counted by their labels.
    pub fn n_rows(&self) -> usize {
        match self.y {
            Labels::Classes { codes, .. } => codes.len(),
            Labels::Values(values) => values.len(),
        }
    }

    /// The weight of a row.
    #[inline]
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// The rows of a weight above 0.
    pub fn counted_rows(&self) -> Vec<usize> {
        (0..self.n_rows()).filter(|&row| self.weight(row) > 0.0).collect()
    }

    /// The sum of all rows' weights.
    pub fn weight_sum(&self) -> f64 {
        self.weights.map_or(self.n_rows() as f64, |weights| weights.iter().sum())
    }

    /// The label of a row as a number: its value, or the index of its class.
    #[inline]
    pub fn y(&self, row: usize) -> f64 {
        match self.y {
            Labels::Classes { codes, .. } => f64::from(codes[row]),
            Labels::Values(values) => values[row],
        }
    }

    /// Splits `rows` into those to fit on and about a `share` of them to stop by: classes keep their shares,
    /// groups stay whole, and of rows with times the latest are held out. The second part is empty if no group or time can
    /// be spared.
    pub(crate) fn hold_out(&self, rows: &[usize], share: f64, seed: u64) -> Split {
        let (classes, n_classes) = self.classes_of(rows);
        let split = match (self.groups, self.times) {
            (Some(groups), _) => hold_out_groups(&of_rows(groups, rows), &classes, n_classes, share, seed),
            (None, Some(times)) => hold_out_latest(&of_rows(times, rows), share),
            (None, None) => hold_out_stratified(&classes, n_classes, share, seed),
        };
        let rows_of = |part: Vec<usize>| part.into_iter().map(|i| rows[i]).collect();
        Split { train: rows_of(split.train), test: rows_of(split.test) }
    }

    /// `k` splits of `rows`, each held out in one of them: classes keep their shares, groups stay whole, and
    /// with times each part is scored on rows later than those it is fitted on. Parts may be empty
    /// if there are too few rows or groups.
    pub(crate) fn folds(&self, rows: &[usize], k: usize, seed: u64) -> Vec<Split> {
        let (classes, n_classes) = self.classes_of(rows);
        let splits = match (self.groups, self.times) {
            (Some(groups), _) => fold_groups(&of_rows(groups, rows), &classes, n_classes, k, seed),
            (None, Some(times)) => forward_chain(&of_rows(times, rows), k),
            (None, None) => folds(&classes, n_classes, k, seed),
        };
        let rows_of = |part: Vec<usize>| part.into_iter().map(|i| rows[i]).collect();
        splits.into_iter().map(|s| Split { train: rows_of(s.train), test: rows_of(s.test) }).collect()
    }

    /// The class of each of `rows` and the number of classes; values are of one class.
    fn classes_of(&self, rows: &[usize]) -> (Vec<u32>, usize) {
        match self.y {
            Labels::Classes { codes, n_classes } => (of_rows(codes, rows), n_classes),
            Labels::Values(_) => (vec![0; rows.len()], 1),
        }
    }

    pub(crate) fn check(&self, encoding: Encoding) -> Result<()> {
        let (n_rows, n_labels) = (self.x.n_rows(), self.n_rows());
        ensure!(n_rows > 0 && n_labels == n_rows, "{n_rows} rows and {n_labels} labels to learn from");
        // Trees compare raw values and add up none.
        let is_raw = encoding == Encoding::Raw;
        let most = if is_raw { f64::MAX } else { MAX_SUMMED };
        let is_sound = |v: &f64| v.abs() <= most || (is_raw && v.is_nan());
        let all_sound = self.x.values().par_chunks(CHECKED_VALUES).all(|values| values.iter().all(is_sound));
        if !all_sound && let Some(at) = self.x.values().iter().position(|v| !is_sound(v)) {
            let (row, slot) = (at / self.x.n_cols(), at % self.x.n_cols());
            return Err(Unusable { row, slot, value: self.x.values()[at] }.into());
        }
        let sparse = self.x.sparse();
        ensure!(
            sparse.n_cols() == 0 || sparse.n_rows() == n_rows,
            "{n_rows} rows and {} sparse ones",
            sparse.n_rows()
        );
        ensure!(sparse.values().iter().all(|v| v.is_finite()), "a prepared value is not finite");
        if let Some(weights) = self.weights {
            ensure!(weights.len() == n_rows, "{n_rows} rows and {} weights", weights.len());
            ensure!(
                weights.iter().all(|w| (0.0..=MAX_SUMMED).contains(w)) && weights.iter().any(|w| *w > 0.0),
                "row weights are numbers up to {MAX_SUMMED:e}, not negative, and not all 0"
            );
        }
        match self.y {
            Labels::Values(values) => {
                ensure!(
                    values.iter().all(|v| v.abs() <= MAX_SUMMED),
                    "a target value is not a number up to {MAX_SUMMED:e}"
                );
            }
            Labels::Classes { codes, n_classes } => {
                let mut seen = vec![false; n_classes];
                for (row, &code) in codes.iter().enumerate() {
                    seen[code as usize] |= self.weight(row) > 0.0;
                }
                let n_seen = seen.iter().filter(|&&seen| seen).count();
                ensure!(n_seen >= 2, "the training rows hold {n_seen} class; a classifier needs two");
            }
        }
        Ok(())
    }
}

/// A fitted predictor and notes on the fit.
#[derive(Debug)]
pub struct Fit {
    /// The fitted predictor.
    pub predictor: Predictor,
    /// Notes for the user, such as a solver that did not converge.
    pub notes: Vec<String>,
}

/// Most blocks that rows are summed up in.
const MAX_BLOCKS: usize = 64;

/// `n_sums` sums over rows, 0 to begin with, to which `add` adds those of a range of rows. Rows are summed
/// block by block, at least `min_rows` at a time, and the blocks' sums are added in order, so that the result
/// does not depend on how many threads share the blocks.
pub(crate) fn sum_by_blocks(
    n_rows: usize,
    min_rows: usize,
    n_sums: usize,
    add: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
) -> Vec<f64> {
    let block_rows = min_rows.max(n_rows.div_ceil(MAX_BLOCKS));
    let of_block = |block: usize| {
        let mut sums = vec![0.0; n_sums];
        add(block * block_rows..((block + 1) * block_rows).min(n_rows), &mut sums);
        sums
    };
    let blocks: Vec<Vec<f64>> = (0..n_rows.div_ceil(block_rows)).into_par_iter().map(of_block).collect();
    let mut sums = vec![0.0; n_sums];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
    }
    sums
}

/// Row weights times Σ weights / (classes × Σ weights of the class), so that every class that occurs has the
/// same weight: scikit-learn's `class_weight="balanced"` (1.9).
pub(crate) fn balanced_weights(codes: &[u32], n_classes: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut sums = vec![0.0; n_classes];
    codes.iter().enumerate().for_each(|(row, &code)| sums[code as usize] += weight(row));
    let present = sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
    let total: f64 = sums.iter().sum();
    let balanced = |(row, &code): (usize, &u32)| match weight(row) {
        0.0 => 0.0,
        weight => weight * total / (present * sums[code as usize]),
    };
    codes.iter().enumerate().map(balanced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    pub(crate) fn balanced_weights_give_every_class_the_same_sum() {
        let weights = balanced_weights(&[0, 0, 0, 1], 2, None);
        assert_eq!(weights, [4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 2.0]);
        let weights = balanced_weights(&[0, 0, 0, 1], 2, Some(&[0.0, 1.0, 1.0, 0.5]));
        assert_eq!(weights, [0.0, 0.625, 0.625, 1.25]);
    }

    #[test]
    fn a_split_within_a_fit_parts_no_group_and_without_groups_is_as_it_ever_was() {
        let (x, codes): (_, Vec<u32>) = (Matrix::default(), (0..90).map(|i| i % 2).collect());
        let groups: Vec<u32> = (0..90).map(|i| i * 7 % 30).collect();
        let rows: Vec<usize> = (0..90).filter(|row| row % 10 != 3).collect();
        for y in [Labels::Classes { codes: &codes, n_classes: 2 }, Labels::Values(&[0.0; 90])] {
            let free = Dataset::new(&x, y);
            let split = Dataset { groups: Some(&groups), ..free }.hold_out(&rows, 0.2, 3);
            assert!((12..=22).contains(&split.test.len()), "{split:?}");
            let is_held_out = |row: &usize| split.test.iter().any(|other| groups[*other] == groups[*row]);
            assert!(!split.train.iter().any(is_held_out));
            let mut all = [split.train, split.test].concat();
            all.sort_unstable();
            assert_eq!(all, rows);
            let of_class = |class| rows.iter().filter(|&&row| codes[row] == class).count();
            assert_eq!((of_class(0), of_class(1)), (45, 36));
            let free = free.hold_out(&rows, 0.2, 3);
            let wanted = match y {
                Labels::Classes { .. } => {
                    let codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
                    hold_out_stratified(&codes, 2, 0.2, 3)
                }
                Labels::Values(_) => crate::data::split::stratified::hold_out(rows.len(), 0.2, 3),
            };
            assert_eq!(free.test, wanted.test.into_iter().map(|i| rows[i]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_split_within_a_fit_holds_out_later_rows_if_they_have_times() {
        let x = Matrix::default();
        let times: Vec<u32> = (0..60).map(|i| i * 37 % 20).collect();
        let data = Dataset { times: Some(&times), ..Dataset::new(&x, Labels::Values(&[0.0; 60])) };
        let rows: Vec<usize> = (0..60).filter(|row| row % 7 != 3).collect();
        let mut splits = data.folds(&rows, 3, 5);
        splits.push(data.hold_out(&rows, 0.1, 5));
        for Split { train, test } in splits {
            let latest = train.iter().map(|&row| times[row]).max();
            let earliest = test.iter().map(|&row| times[row]).min();
            assert!(latest.is_some() && latest < earliest, "{train:?} {test:?}");
            assert!(train.iter().chain(&test).all(|row| rows.contains(row)));
        }
    }

    #[test]
    fn sums_are_those_of_all_rows_in_the_same_order_on_any_number_of_threads() {
        let value = |row: usize| (row as f64 * 0.37).sin();
        let sums = |n_rows, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                sum_by_blocks(n_rows, 10, 2, &|rows, sums| {
                    rows.for_each(|row| {
                        sums[0] += value(row);
                        sums[1] += 1.0;
                    });
                })
            })
        };
        for n_rows in [0, 1, 10, 11, 5000] {
            let one = sums(n_rows, 1);
            assert!((one[0] - (0..n_rows).map(value).sum::<f64>()).abs() < 1e-9);
            assert_eq!((one[1], &one), (n_rows as f64, &sums(n_rows, 3)));
        }
    }

    #[test]
    fn data_that_cannot_be_learned_from_are_refused() {
        let mut x = Matrix::zeros(3, 1);
        let values = [1.0, 2.0, 3.0];
        let message = |data: &Dataset, encoding| data.check(encoding).unwrap_err().to_string();
        for (weights, is_refused) in [
            ([0.0, 0.0, 0.0], true),
            ([1.0, -1.0, 1.0], true),
            ([1.0, f64::NAN, 1.0], true),
            ([0.0, 0.0, 2.0], false),
        ] {
            let data = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&values)) };
            assert_eq!(data.check(Encoding::Raw).is_err(), is_refused, "{weights:?}");
        }
        let data = Dataset::new(&x, Labels::Values(&values[..2]));
        assert_eq!(message(&data, Encoding::Raw), "3 rows and 2 labels to learn from");
        x.row_mut(1)[0] = f64::NAN;
        let data = Dataset::new(&x, Labels::Values(&values));
        assert!(data.check(Encoding::Raw).is_ok());
        let found = message(&data, Encoding::Standardised);
        assert_eq!(found, "a prepared value is not finite: NaN in row 1, column 0");
        x.row_mut(1)[0] = -1e141;
        let data = Dataset::new(&x, Labels::Values(&values));
        assert!(data.check(Encoding::Raw).is_ok());
        let found = message(&data, Encoding::Standardised);
        assert!(found.contains("squares of it are not finite: -1e141 in row 1, column 0"), "{found}");
        let values = [1.0, 1e200, 3.0];
        assert!(message(&Dataset::new(&x, Labels::Values(&values)), Encoding::Raw).contains("target value"));
    }
}
