//! A k-d tree in flat arrays.
//!
//! Friedman, Bentley and Finkel 1977, "An algorithm for finding best matches in logarithmic expected time":
//! split at the median of the widest column, small leaves, and a box around the rows of each node. The tree
//! is complete: node i of level l holds the rows i·n/2ˡ to (i + 1)·n/2ˡ of the order it made, so that it
//! needs no links. It depends on the rows alone and is built anew when a model is loaded.

use super::nearest::{Metric, Nearest, PANEL_ROWS, push_panel, scan_panel};

/// A complete binary tree over rows.
#[derive(Debug, Clone)]
pub(super) struct KdTree {
    metric: Metric,
    n_cols: usize,
    /// Levels below the root.
    depth: u32,
    /// Lowest, then highest value of each column, per node.
    bounds: Vec<f64>,
    /// Row indices in the order of the leaves.
    rows: Vec<u32>,
    /// One panel per leaf.
    panels: Vec<f64>,
}

/// A node to visit: level, index in the level, and the least sum of a row in its box.
type Visit = (u32, usize, f64);

impl KdTree {
    /// `x`: finite, `n_rows × n_cols`, at least one of each, and at most 2³² rows.
    pub(super) fn new(x: &[f64], n_cols: usize, metric: Metric) -> Self {
        let n_rows = x.len() / n_cols;
        let depth = n_rows.div_ceil(PANEL_ROWS).next_power_of_two().trailing_zeros();
        let n_nodes = (2 << depth) - 1;
        let mut tree = Self {
            metric,
            n_cols,
            depth,
            bounds: vec![0.0; n_nodes * 2 * n_cols],
            rows: (0..n_rows as u32).collect(),
            panels: Vec::with_capacity(x.len()),
        };
        let row = |i: u32| &x[i as usize * n_cols..(i as usize + 1) * n_cols];
        let mut keys: Vec<(f64, u32)> = Vec::with_capacity(n_rows);
        for level in 0..=depth {
            for i in 0..1_usize << level {
                let (start, end) = tree.range(level, i);
                let at = ((1 << level) - 1 + i) * 2 * n_cols;
                let (low, high) = tree.bounds[at..at + 2 * n_cols].split_at_mut(n_cols);
                low.fill(f64::INFINITY);
                high.fill(f64::NEG_INFINITY);
                for &name in &tree.rows[start..end] {
                    for ((low, high), &v) in low.iter_mut().zip(high.iter_mut()).zip(row(name)) {
                        *low = if v < *low { v } else { *low };
                        *high = if v > *high { v } else { *high };
                    }
                }
                if level == depth {
                    push_panel(&mut tree.panels, tree.rows[start..end].iter().map(|&r| row(r)), n_cols);
                    continue;
                }
                // The first of the widest columns.
                let widest = (0..n_cols)
                    .fold(0, |best, j| if high[j] - low[j] > high[best] - low[best] { j } else { best });
                let middle = tree.range(level + 1, 2 * i).1 - start;
                keys.clear();
                keys.extend(tree.rows[start..end].iter().map(|&name| (row(name)[widest], name)));
                if middle < keys.len() {
                    keys.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                }
                tree.rows[start..end].iter_mut().zip(&keys).for_each(|(out, key)| *out = key.1);
            }
        }
        tree
    }

    fn range(&self, level: u32, i: usize) -> (usize, usize) {
        let at = |i: usize| ((i as u128 * self.rows.len() as u128) >> level) as usize;
        (at(i), at(i + 1))
    }

    /// The least sum that a row in the node's box can have. It is added up as the sums of rows are, and
    /// rounding keeps order, so that it is never above one of them.
    #[inline(always)]
    fn least(&self, level: u32, i: usize, x: &[f64]) -> f64 {
        let at = ((1 << level) - 1 + i) * 2 * self.n_cols;
        let (low, high) = self.bounds[at..at + 2 * self.n_cols].split_at(self.n_cols);
        let mut sum = 0.0;
        for ((&low, &high), &x) in low.iter().zip(high).zip(x) {
            let (below, above) = (low - x, x - high);
            let gap = if below > above { below } else { above };
            sum += self.metric.term(if gap > 0.0 { gap } else { 0.0 });
        }
        sum
    }

    /// Offers all rows that can be among the nearest; returns how many it measured.
    pub(super) fn search(&self, x: &[f64], nearest: &mut Nearest) -> usize {
        let mut n_measured = 0;
        let mut stack = [(0, 0, 0.0); 40];
        let mut height = 1;
        while height > 0 {
            height -= 1;
            let (mut level, mut i, least): Visit = stack[height];
            if least > nearest.worst() {
                continue;
            }
            while level < self.depth {
                level += 1;
                i *= 2;
                let (left, right) = (self.least(level, i, x), self.least(level, i + 1, x));
                let (near, far) = if right < left { (1, 0) } else { (0, 1) };
                let sum = if far == 1 { right } else { left };
                if sum <= nearest.worst() {
                    stack[height] = (level, i + far, sum);
                    height += 1;
                }
                i += near;
            }
            let (start, end) = self.range(level, i);
            let panel = &self.panels[start * self.n_cols..end * self.n_cols];
            scan_panel(self.metric, panel, end - start, x, nearest, |i| self.rows[start + i]);
            n_measured += end - start;
        }
        n_measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n_rows × 3` numbers with ties among them.
    fn rows(n_rows: u32) -> Vec<f64> {
        (0..n_rows * 3).map(|i| f64::from(i * 7919 % 211) / 10.0).collect()
    }

    #[test]
    fn every_row_is_in_one_leaf_and_within_the_boxes_above_it() {
        for n_rows in [1, 31, 33, 500] {
            let x = rows(n_rows);
            let tree = KdTree::new(&x, 3, Metric::Euclidean);
            let mut all = tree.rows.clone();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..n_rows));
            for level in 0..=tree.depth {
                for i in 0..1 << level {
                    let (start, end) = tree.range(level, i);
                    for &name in &tree.rows[start..end] {
                        let row = &x[name as usize * 3..][..3];
                        assert_eq!(tree.least(level, i, row), 0.0, "{n_rows} rows, level {level}");
                    }
                    assert!(level < tree.depth || end - start <= PANEL_ROWS);
                }
            }
        }
    }

    #[test]
    fn a_search_finds_the_rows_of_least_distance_and_measures_few_of_them() {
        let x = rows(3000);
        for metric in [Metric::Euclidean, Metric::Manhattan] {
            let tree = KdTree::new(&x, 3, metric);
            for query in [[0.0, 0.0, 0.0], [10.0, 3.3, 20.0], [-50.0, 100.0, 7.0]] {
                let mut nearest = Nearest::new(5);
                let n_measured = tree.search(&query, &mut nearest);
                let mut all: Vec<(u64, u32)> = (0..3000)
                    .map(|row| (metric.sum(&query, &x[row * 3..][..3]).to_bits(), row as u32))
                    .collect();
                all.sort_unstable();
                nearest.drain(|found| assert_eq!(found, &all[..5]));
                assert!(n_measured < 1500, "{n_measured}");
            }
        }
    }
}
