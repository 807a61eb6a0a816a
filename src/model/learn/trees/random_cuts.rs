//! Random cuts (Geurts, Ernst and Wehenkel 2006, "Extremely randomized trees"): one per column, column by column
//! or for all columns of a small node at once.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::best_split::Best;
use super::bin_set::{holds, insert};
use super::bins::{Column, Kind, MISSING};
use super::criterion::{Cell, Criterion};
use super::engine::Engine;
use crate::model::learn::dataset::GROUP;
use crate::random::unit_interval;

impl<C: Criterion> Engine<'_, C> {
    /// Tries one random cut, or random subset, of one column; returns whether the column varies.
    #[inline]
    #[expect(clippy::too_many_arguments)]
    pub(crate) fn search_random(
        &self,
        column: u32,
        rows: &[u32],
        items: &[C::Item],
        total: &C::Cell,
        random: &mut Pcg64,
        bytes: &mut Vec<u8>,
        best: &mut Best,
    ) -> bool {
        let binned = &self.bins.columns[column as usize];
        bytes.clear();
        // Missing values are above all others, and below them when one is added.
        let (mut least, mut most, mut has_missing) = (MISSING, 0, false);
        bytes.extend(rows.iter().map(|&row| {
            let byte = binned.bytes[row as usize];
            least = least.min(byte);
            most = most.max(byte.wrapping_add(1));
            has_missing |= byte == MISSING;
            byte
        }));
        if least == MISSING || (most == least + 1 && !has_missing) {
            return false;
        }
        let (mut left, mut missing) = (C::Cell::ZERO, C::Cell::ZERO);
        let (mut cut, mut subset, mut present) = (least, [0; 4], [0; 4]);
        match &binned.kind {
            Kind::Number { thresholds } => {
                cut = match most - 1 {
                    // Values on one side, missing values on the other.
                    high if high == least => thresholds.len() as u8,
                    high => draw_cut(binned, thresholds, (least, high), random),
                };
                for (&byte, &item) in bytes.iter().zip(items) {
                    self.criterion.add_if(byte <= cut, &mut left, item);
                }
            }
            Kind::Category { .. } => {
                bytes.iter().filter(|&&byte| byte != MISSING).for_each(|&byte| insert(&mut present, byte));
                subset = present.map(|word| word & random.next_u64());
                for (&byte, &item) in bytes.iter().zip(items) {
                    self.criterion.add_if(holds(&subset, byte), &mut left, item);
                }
            }
        }
        if has_missing {
            for (&byte, &item) in bytes.iter().zip(items) {
                self.criterion.add_if(byte == MISSING, &mut missing, item);
            }
        }
        let is_category = matches!(binned.kind, Kind::Category { .. });
        let subset = is_category.then_some(subset);
        let mut consider = |left: &C::Cell, missing_left| {
            self.consider(left, total, Best { gain: 0.0, column, cut, subset, present, missing_left }, best);
        };
        if has_missing {
            consider(&left, Some(false));
            consider(&left.plus(&missing), Some(true));
        } else {
            consider(&left, None);
        }
        true
    }

    /// Takes the best of the cuts of a block if it is better.
    pub(crate) fn consider_cuts(&self, block: &Block, items: &[C::Item], total: &C::Cell, best: &mut Best) {
        // So many at a time that their sums stay in registers.
        for cuts in block.cuts.chunks(4) {
            let mut sums = [C::Cell::ZERO; 4];
            let (mut columns, mut last) = ([0; 4], [0; 4]);
            for (k, &(column, cut)) in cuts.iter().enumerate() {
                (columns[k], last[k]) = (column as usize, cut);
            }
            for (bytes, &item) in block.bytes.chunks_exact(block.width).zip(items) {
                for (k, sum) in sums.iter_mut().enumerate() {
                    self.criterion.add_if(bytes[columns[k]] <= last[k], sum, item);
                }
            }
            for (&(column, cut), left) in cuts.iter().zip(&sums) {
                let split = Best { column, cut, ..Best::none(0.0) };
                self.consider(left, total, split, best);
            }
        }
    }
}

/// The last bin that goes left of a random cut between two bins of a column: uniform between the outermost
/// thresholds that separate them, not between bins.
#[inline(always)]
pub(crate) fn draw_cut(binned: &Column, thresholds: &[f64], (low, high): (u8, u8), random: &mut Pcg64) -> u8 {
    if high == low + 1 {
        return low;
    }
    let (from, to) = (thresholds[usize::from(low)], thresholds[usize::from(high) - 1]);
    let value = from + (to - from) * unit_interval(random);
    binned.n_below(thresholds, value).clamp(usize::from(low), usize::from(high) - 1) as u8
}

/// All bytes of the few rows of a small node, row by row, and the cuts that are tried.
#[derive(Default)]
pub(crate) struct Block {
    width: usize,
    bytes: Vec<u8>,
    least: Vec<u8>,
    most: Vec<u8>,
    /// Column and last bin that goes left.
    pub(crate) cuts: Vec<(u32, u8)>,
}

impl Block {
    /// Copies the bytes of these rows.
    #[inline]
    pub(crate) fn fill(&mut self, groups: &[Vec<[u8; GROUP]>], rows: &[u32]) {
        // Whole vector registers.
        self.width = (groups.len() * GROUP).next_multiple_of(16);
        self.bytes.resize(rows.len() * self.width, 0);
        for (k, group) in groups.iter().enumerate() {
            for (bytes, &row) in self.bytes.chunks_exact_mut(self.width).zip(rows) {
                bytes[k * GROUP..(k + 1) * GROUP].copy_from_slice(&group[row as usize]);
            }
        }
        self.least.clear();
        self.least.resize(self.width, MISSING);
        self.most.clear();
        self.most.resize(self.width, 0);
        for bytes in self.bytes.chunks_exact(self.width) {
            for ((least, most), &byte) in self.least.iter_mut().zip(&mut self.most).zip(bytes) {
                *least = (*least).min(byte);
                *most = (*most).max(byte);
            }
        }
    }

    /// The least and the largest bin of a column; `None` if it has missing values.
    #[inline]
    pub(crate) fn range(&self, column: u32) -> Option<(u8, u8)> {
        let (least, most) = (self.least[column as usize], self.most[column as usize]);
        (most != MISSING).then_some((least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::trees::best_split::Limits;
    use crate::model::learn::trees::bins::Bins;
    use crate::model::learn::trees::engine::Growth;
    use crate::model::learn::trees::moments::Moments;
    use crate::model::learn::{Dataset, Labels};
    use crate::random::{below, generator};

    const CRITERION: Moments = Moments { mass_bits: 40 };

    /// Two numbers, one of them with missing values, and a category.
    fn table(n_rows: usize) -> Bins {
        let mut random = generator(8);
        let mut x = Matrix::zeros(n_rows, 3);
        for i in 0..n_rows {
            let value = unit_interval(&mut random) * 30.0;
            let missing = if i % 3 == 0 { f64::NAN } else { value.floor() };
            x.row_mut(i).copy_from_slice(&[value.powi(3), missing, below(7, &mut random) as f64]);
        }
        let y = vec![0.0; n_rows];
        let mut bins = Bins::new(&Dataset { levels: &[0, 0, 7], ..Dataset::new(&x, Labels::Values(&y)) });
        bins.group();
        bins
    }

    fn engine(bins: &Bins) -> Engine<'_, Moments> {
        let limits = Limits::new(1, -1.0);
        let growth = Growth {
            max_depth: 9,
            max_leaf_nodes: usize::MAX,
            min_samples_split: 2,
            max_features: usize::MAX,
            random_cuts: true,
            parallel: false,
            limits,
        };
        Engine { bins, criterion: &CRITERION, growth, watch: None }
    }

    #[test]
    fn a_cut_is_within_the_range_of_the_rows_and_uniform_over_their_values() {
        let bins = table(2000);
        let column = &bins.columns[0];
        let Kind::Number { thresholds } = &column.kind else { unreachable!() };
        let mut random = generator(1);
        for (low, high) in [(0, 1), (7, 8), (3, 200), (0, thresholds.len() as u8)] {
            let (from, to) = (thresholds[usize::from(low)], thresholds[usize::from(high) - 1]);
            let mut n_lower_half = 0;
            for _ in 0..2000 {
                let cut = draw_cut(column, thresholds, (low, high), &mut random);
                assert!((low..high).contains(&cut), "{low} {cut} {high}");
                n_lower_half += u32::from(thresholds[usize::from(cut)] <= (from + to) / 2.0);
            }
            assert!(high - low < 100 || (800..1200).contains(&n_lower_half), "{n_lower_half}");
        }
    }

    #[test]
    fn the_gain_of_a_random_split_is_that_of_the_rows_it_sends_left() {
        let bins = table(300);
        let engine = engine(&bins);
        let mut random = generator(2);
        for round in 0..200 {
            let rows: Vec<u32> = (0..40).map(|_| below(300, &mut random) as u32).collect();
            let item = |&row: &u32| CRITERION.item(i64::from(row * 37 % 101), 1);
            let items: Vec<[i64; 2]> = rows.iter().map(item).collect();
            let total = engine.total(&items);
            let mut best = Best::none(-1.0);
            let column = round % 3;
            let mut bytes = Vec::new();
            engine.search_random(column, &rows, &items, &total, &mut random, &mut bytes, &mut best);
            if !best.found() {
                continue;
            }
            let byte_of = |row: u32| bins.columns[column as usize].bytes[row as usize];
            let goes_left = |row: u32| match (byte_of(row), best.subset) {
                (MISSING, _) => best.missing_left == Some(true),
                (byte, Some(subset)) => holds(&subset, byte),
                (byte, None) => byte <= best.cut,
            };
            let mut left = Cell::ZERO;
            rows.iter().zip(&items).for_each(|(&row, &item)| {
                CRITERION.add_if(goes_left(row), &mut left, item);
            });
            let mut expected = Best::none(-1.0);
            engine.consider(&left, &total, Best { column, ..expected }, &mut expected);
            assert_eq!(best.gain, expected.gain);
            let has_missing = rows.iter().any(|&row| byte_of(row) == MISSING);
            assert_eq!(best.missing_left.is_some(), has_missing);
        }
    }

    #[test]
    fn cuts_of_a_block_gain_as_they_do_one_by_one() {
        let bins = table(300);
        let engine = engine(&bins);
        let rows: Vec<u32> = (100..160).collect();
        let items: Vec<[i64; 2]> = rows.iter().map(|&row| CRITERION.item(i64::from(row) % 7, 1)).collect();
        let total = engine.total(&items);
        let mut block = Block::default();
        block.fill(&bins.groups, &rows);
        assert_eq!(block.range(1), None, "missing values are not a range");
        let (least, most) = block.range(0).unwrap();
        let bytes: Vec<u8> = rows.iter().map(|&row| bins.columns[0].bytes[row as usize]).collect();
        assert_eq!((Some(&least), Some(&most)), (bytes.iter().min(), bytes.iter().max()));
        block.cuts.extend((least..most).map(|cut| (0, cut)));
        let (mut together, mut alone) = (Best::none(-1.0), Best::none(-1.0));
        engine.consider_cuts(&block, &items, &total, &mut together);
        for cut in least..most {
            let mut left = Cell::ZERO;
            bytes
                .iter()
                .zip(&items)
                .for_each(|(&byte, &item)| CRITERION.add_if(byte <= cut, &mut left, item));
            engine.consider(&left, &total, Best { column: 0, cut, ..alone }, &mut alone);
        }
        assert_eq!((together.gain, together.cut), (alone.gain, alone.cut));
    }
}
