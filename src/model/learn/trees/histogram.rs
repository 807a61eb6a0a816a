//! The histograms of a node: the cells of all columns, summed up and scanned one group of columns at a time.
//!
//! Only the smaller child of a split is summed up; the histogram of the larger one is its parent's less that.

use super::best_split::{Best, scan};
use super::bin_set::first_bins;
use super::criterion::{Cell, Cells, Criterion, no_rows};
use super::engine::Engine;
use super::monotonic::Whole;
use crate::model::learn::dataset::GROUP;
use crate::parallel;

/// A histogram and the rows that it is of.
type Summed<'a, T> = (&'a mut [T], Whole<'a, T>);

impl<C: Criterion> Engine<'_, C> {
    /// A histogram to be filled, from the pool if that has one.
    pub(crate) fn take_histogram(&self, pool: &mut Vec<Vec<C::Cell>>) -> Vec<C::Cell> {
        pool.pop().unwrap_or_else(|| no_rows::<C>(self.bins.groups.len() * GROUP))
    }

    /// Sums up the histogram of the rows in `cells`, subtracts it from that of `large`, and scans both: the best
    /// split of each, the first of equal ones. `columns`: those of the tree, in rising order.
    pub(crate) fn search_all(
        &self,
        rows: &[u32],
        items: &[C::Item],
        cells: &mut [C::Cell],
        whole: Whole<C::Cell>,
        large: Option<Summed<'_, C::Cell>>,
        columns: &[u32],
    ) -> (Best, Best) {
        let is_large = self.is_large(rows.len() * columns.len());
        let shares = if is_large { rayon::current_num_threads() } else { 1 };
        let mut chosen = vec![columns.len() == self.bins.columns.len(); self.bins.columns.len()];
        columns.iter().for_each(|&column| chosen[column as usize] = true);
        let (large, large_whole) = match large {
            Some((cells, whole)) => (cells.as_chunks_mut().0, Some(whole)),
            None => (&mut [][..], None),
        };
        let node = Sums { engine: self, rows, items, chosen: &chosen, whole, large_whole };
        node.search(0, cells.as_chunks_mut().0, large, shares)
    }
}

/// The rows of a node that are summed up and scanned, and its larger sibling.
struct Sums<'a, C: Criterion> {
    engine: &'a Engine<'a, C>,
    rows: &'a [u32],
    items: &'a [C::Item],
    chosen: &'a [bool],
    whole: Whole<'a, C::Cell>,
    large_whole: Option<Whole<'a, C::Cell>>,
}

impl<C: Criterion> Sums<'_, C> {
    /// Searches the groups of columns from `group` on, in so many shares.
    fn search(
        &self,
        group: usize,
        cells: &mut [Cells<C>],
        large: &mut [Cells<C>],
        shares: usize,
    ) -> (Best, Best) {
        let none = Best::none(self.engine.growth.limits.min_gain);
        let mut best = (none, none);
        let better = |a: Best, b: Best| if b.gain > a.gain { b } else { a };
        let n_groups = cells.len() / GROUP;
        if shares > 1 && n_groups > 1 {
            let half = n_groups / 2;
            let (cells, other_cells) = cells.split_at_mut(half * GROUP);
            let (large, other_large) = large.split_at_mut((half * GROUP).min(large.len()));
            let (mut a, mut b) = (best, best);
            parallel::join(&mut || a = self.search(group, cells, large, shares / 2), &mut || {
                b = self.search(group + half, other_cells, other_large, shares - shares / 2)
            });
            return (better(a.0, b.0), better(a.1, b.1));
        }
        let mut large = large.chunks_mut(GROUP);
        for (i, cells) in cells.chunks_mut(GROUP).enumerate() {
            self.search_group(group + i, cells, large.next().unwrap_or_default(), &mut best);
        }
        best
    }

    fn search_group(
        &self,
        group: usize,
        cells: &mut [Cells<C>],
        large: &mut [Cells<C>],
        best: &mut (Best, Best),
    ) {
        let Engine { bins, criterion, growth, .. } = *self.engine;
        let first = group * GROUP;
        if !self.chosen[first..].iter().take(GROUP).any(|&chosen| chosen) {
            return;
        }
        self.sum_up(&bins.groups[group], cells);
        for (large, small) in large.as_flattened_mut().iter_mut().zip(cells.as_flattened()) {
            *large = large.minus(small);
        }
        for (k, cells) in cells.iter().enumerate() {
            if !self.chosen.get(first + k).is_some_and(|&chosen| chosen) {
                continue;
            }
            let column = &bins.columns[first + k];
            let id = ((first + k) as u32, column);
            let n_bins = first_bins(column.n_bins);
            scan(criterion, &growth.limits, id, cells, n_bins, self.whole, &mut best.0);
            if let (Some(large), Some(whole)) = (large.get(k), self.large_whole) {
                scan(criterion, &growth.limits, id, large, n_bins, whole, &mut best.1);
            }
        }
    }

    fn sum_up(&self, group: &[[u8; GROUP]], cells: &mut [Cells<C>]) {
        let Some(cells) = cells.first_chunk_mut::<GROUP>() else {
            return;
        };
        cells.iter_mut().for_each(|cells| cells.fill(C::Cell::ZERO));
        for (&row, &item) in self.rows.iter().zip(self.items) {
            let bytes = group[row as usize];
            for (cells, byte) in cells.iter_mut().zip(bytes) {
                self.engine.criterion.add(&mut cells[usize::from(byte)], item);
            }
        }
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
    use crate::random::{below, generator, unit_interval};

    const CRITERION: Moments = Moments { mass_bits: 40 };

    const LIMITS: Limits = Limits::new(1, 0.0);

    /// Six columns of numbers, ties and missing values among them, the last one a category; and an item per row.
    fn table(n_rows: usize) -> (Bins, Vec<[i64; 2]>) {
        let mut random = generator(5);
        let mut x = Matrix::zeros(n_rows, 6);
        for i in 0..n_rows {
            for (j, value) in x.row_mut(i).iter_mut().enumerate() {
                *value = match below(10, &mut random) {
                    0 => f64::NAN,
                    level if j == 5 => level as f64,
                    _ => (unit_interval(&mut random) * 40.0 * (j + 1) as f64).floor(),
                };
            }
        }
        let y = vec![0.0; n_rows];
        let mut bins =
            Bins::new(&Dataset { levels: &[0, 0, 0, 0, 0, 10], ..Dataset::new(&x, Labels::Values(&y)) });
        bins.group();
        let item =
            |_| CRITERION.item(below(2000, &mut random) as i64 - 1000, 1 + below(3, &mut random) as i64);
        (bins, (0..n_rows).map(item).collect())
    }

    fn engine(bins: &Bins, parallel: bool) -> Engine<'_, Moments> {
        let growth = Growth {
            max_depth: 9,
            max_leaf_nodes: usize::MAX,
            min_samples_split: 2,
            max_features: usize::MAX,
            random_cuts: false,
            parallel,
            limits: LIMITS,
        };
        Engine { bins, criterion: &CRITERION, growth, watch: None }
    }

    #[test]
    fn a_histogram_less_that_of_one_child_is_that_of_the_other() {
        let (bins, items) = table(1000);
        let engine = engine(&bins, false);
        let columns: Vec<u32> = (0..6).collect();
        let sum_up = |rows: std::ops::Range<usize>| {
            let items = &items[rows.clone()];
            let rows: Vec<u32> = rows.map(|row| row as u32).collect();
            let (total, mut cells) = (engine.total(items), engine.take_histogram(&mut Vec::new()));
            let best = engine.search_all(&rows, items, &mut cells, Whole::free(&total), None, &columns).0;
            (best, cells, total)
        };
        let (_, mut parent, total) = sum_up(0..1000);
        let (best_of_left, left, total_of_left) = sum_up(0..300);
        let (best_of_right, right, total_of_right) = sum_up(300..1000);
        assert_eq!(total.minus(&total_of_left), total_of_right);
        let rows: Vec<u32> = (0..300).collect();
        let mut cells = engine.take_histogram(&mut Vec::new());
        let large = Some((&mut parent[..], Whole::free(&total_of_right)));
        let whole = Whole::free(&total_of_left);
        let found = engine.search_all(&rows, &items[..300], &mut cells, whole, large, &columns);
        assert!(cells == left && parent == right);
        let key = |best: &Best| (best.gain, best.column, best.cut, best.subset, best.missing_left);
        assert_eq!((key(&found.0), key(&found.1)), (key(&best_of_left), key(&best_of_right)));
    }

    #[test]
    fn each_column_is_summed_up_and_shares_find_the_same_split() {
        let n_rows = 40_000;
        let (bins, items) = table(n_rows);
        let rows: Vec<u32> = (0..n_rows as u32).collect();
        let columns: Vec<u32> = (0..6).collect();
        let found = [1, 2, 8].map(|n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let engine = engine(&bins, true);
            let total = engine.total(&items);
            let mut cells = engine.take_histogram(&mut Vec::new());
            let best = pool.install(|| {
                engine.search_all(&rows, &items, &mut cells, Whole::free(&total), None, &columns).0
            });
            for (column, cells) in bins.columns.iter().zip(cells.as_chunks::<256>().0) {
                let mut expected = [[0; 2]; 256];
                for (&byte, item) in column.bytes.iter().zip(&items) {
                    let cell = &mut expected[usize::from(byte)];
                    *cell = cell.plus(item);
                }
                assert!(*cells == expected);
            }
            (best.gain, best.column, best.cut)
        });
        assert!(found[0] == found[1] && found[1] == found[2]);
    }
}
