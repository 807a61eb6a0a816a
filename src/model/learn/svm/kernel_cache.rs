//! Rows of the kernel that `smo` keeps: as `f32`, up to a number of values, the least recently used go first.
//!
//! Keeping a row changes no result: a row that was dropped is computed again to the same bits.

use rayon::prelude::*;

use crate::model::predictor::kernel::LANES;

/// Kernel rows by position, each as far as it was asked for.
pub(super) struct KernelCache {
    /// One per position; empty if it is not kept.
    pub rows: Vec<Vec<f32>>,
    /// When each was last asked for.
    used: Vec<u64>,
    clock: u64,
    /// Numbers there is room for in all rows together.
    held: usize,
    capacity: usize,
}

impl KernelCache {
    pub(super) fn new(n_rows: usize, capacity: usize) -> Self {
        Self { rows: vec![Vec::new(); n_rows], used: vec![0; n_rows], clock: 0, held: 0, capacity }
    }

    /// `fill(first, out)` works out the values from `first`, the begin of a tile, on.
    pub(super) fn fetch(&mut self, i: usize, keep: usize, len: usize, fill: impl FnOnce(usize, &mut [f32])) {
        self.clock += 1;
        self.used[i] = self.clock;
        let there = self.rows[i].len();
        if there >= len {
            return;
        }
        let mut row = std::mem::take(&mut self.rows[i]);
        self.held -= row.capacity();
        if row.capacity() < len {
            while self.held + len > self.capacity && self.drop_oldest(i, keep) {}
            row.reserve_exact(len - there);
        }
        row.resize(len, 0.0);
        let first = there / LANES * LANES;
        fill(first, &mut row[first..]);
        self.held += row.capacity();
        self.rows[i] = row;
    }

    fn drop_oldest(&mut self, i: usize, keep: usize) -> bool {
        let droppable = |&other: &usize| other != i && other != keep && self.rows[other].capacity() > 0;
        let oldest = (0..self.rows.len()).filter(droppable).min_by_key(|&other| self.used[other]);
        if let Some(oldest) = oldest {
            self.held -= std::mem::take(&mut self.rows[oldest]).capacity();
        }
        oldest.is_some()
    }

    /// The first `n` positions become those `kept`, which are in ascending order.
    pub(super) fn keep(&mut self, kept: &[usize], n: usize) {
        let rows: Vec<Vec<f32>> = kept.iter().map(|&i| std::mem::take(&mut self.rows[i])).collect();
        self.rows[..n].fill(Vec::new());
        for (i, (row, &from)) in rows.into_iter().zip(kept).enumerate() {
            self.rows[i] = row;
            self.used[i] = self.used[from];
        }
        self.rows[..kept.len()].par_iter_mut().with_min_len(64).for_each(|row| {
            let n_known = kept.partition_point(|&from| from < row.len());
            kept[..n_known].iter().enumerate().for_each(|(to, &from)| row[to] = row[from]);
            row.truncate(n_known);
        });
        self.held = self.rows.iter().map(Vec::capacity).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row `i` holds i, i + 1, …
    fn fetch(cache: &mut KernelCache, i: usize, keep: usize, len: usize) -> usize {
        let mut n_filled = 0;
        cache.fetch(i, keep, len, |first, out| {
            n_filled = out.len();
            out.iter_mut().enumerate().for_each(|(j, v)| *v = (i + first + j) as f32);
        });
        assert!((0..len).all(|j| cache.rows[i][j] == (i + j) as f32));
        n_filled
    }

    #[test]
    fn the_least_recently_used_row_goes_first_and_never_one_that_is_in_use() {
        let mut cache = KernelCache::new(4, 100);
        assert_eq!([fetch(&mut cache, 0, 0, 50), fetch(&mut cache, 1, 0, 50)], [50, 50]);
        assert_eq!(fetch(&mut cache, 0, 0, 50), 0, "kept");
        fetch(&mut cache, 2, 0, 50);
        assert!(cache.rows[1].is_empty() && cache.rows[0].len() == 50);
        // The older one is in use.
        fetch(&mut cache, 3, 0, 50);
        assert!(cache.rows[2].is_empty() && cache.rows[0].len() == 50);
    }

    #[test]
    fn a_row_that_is_known_in_part_is_filled_from_the_tile_that_was_not_full() {
        let mut cache = KernelCache::new(1, 1000);
        fetch(&mut cache, 0, 0, LANES + 3);
        assert_eq!(fetch(&mut cache, 0, 0, 3 * LANES), 2 * LANES);
    }

    #[test]
    fn rows_that_stay_in_play_keep_the_values_of_those_that_stay() {
        let mut cache = KernelCache::new(4, 1000);
        fetch(&mut cache, 1, 1, 4);
        fetch(&mut cache, 3, 3, 2);
        cache.keep(&[1, 3], 4);
        assert_eq!(cache.rows, [vec![2.0, 4.0], vec![4.0], vec![], vec![]]);
    }
}
