//! A k-d tree in flat arrays, and the panels of rows that its leaves and exhaustive searches scan.
//!
//! Bentley 1975, "Multidimensional binary search trees used for associative searching", with a box around
//! the rows of each node as in Omohundro 1989, "Five balltree construction algorithms", section 3. The tree
//! is complete: node i of level l holds the rows i·n/2ˡ to (i + 1)·n/2ˡ of the order it made, so that it
//! needs no links. It depends on the rows alone and is built anew when a model is loaded.

use std::collections::BinaryHeap;

/// How far two rows are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// √Σ(a − b)².
    Euclidean,
    /// Σ|a − b|.
    Manhattan,
}

impl Metric {
    /// One column's part of the distance.
    #[inline(always)]
    fn term(self, difference: f64) -> f64 {
        match self {
            Self::Euclidean => difference * difference,
            Self::Manhattan => difference.abs(),
        }
    }

    /// The sum of the terms, from the first column to the last: grows with the distance, and every search
    /// adds up in this order, so that all see the same number.
    pub fn sum(self, a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + self.term(a - b))
    }

    /// The distance that such a sum stands for.
    pub fn distance(self, sum: f64) -> f64 {
        match self {
            Self::Euclidean => sum.sqrt(),
            Self::Manhattan => sum,
        }
    }
}

/// The k nearest rows so far: smaller sums first, smaller row indices among equals.
#[derive(Debug, Clone)]
pub struct Nearest {
    k: usize,
    /// The sums are not negative, so their bits are in the order of their values.
    heap: BinaryHeap<(u64, u32)>,
    worst: f64,
}

impl Nearest {
    /// Room for `k` rows.
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k), worst: f64::INFINITY }
    }

    /// The largest sum that may still enter.
    #[inline(always)]
    pub fn worst(&self) -> f64 {
        self.worst
    }

    /// Takes a row in if it is among the nearest.
    pub fn offer(&mut self, sum: f64, row: u32) {
        let key = (sum.to_bits(), row);
        if self.heap.len() < self.k {
            self.heap.push(key);
        } else if let Some(mut last) = self.heap.peek_mut()
            && key < *last
        {
            *last = key;
        }
        if self.heap.len() == self.k
            && let Some(last) = self.heap.peek()
        {
            self.worst = f64::from_bits(last.0);
        }
    }

    /// Hands `see` the sums and rows, nearest first, and forgets them.
    pub fn drain(&mut self, see: impl FnOnce(&[(u64, u32)])) {
        let mut sorted = std::mem::take(&mut self.heap).into_sorted_vec();
        see(&sorted);
        sorted.clear();
        self.heap = BinaryHeap::from(sorted);
        self.worst = f64::INFINITY;
    }
}

/// Most rows of a panel: its distances stay in registers and the first-level cache.
pub const PANEL_ROWS: usize = 32;

/// Adds a panel of rows column by column, so that one instruction serves several rows.
pub fn push_panel<'a>(panels: &mut Vec<f64>, rows: impl Iterator<Item = &'a [f64]> + Clone, n_cols: usize) {
    for j in 0..n_cols {
        panels.extend(rows.clone().map(|row| row[j]));
    }
}

/// Offers the rows of a panel; `name` tells their indices.
#[inline(always)]
pub fn scan_panel(
    metric: Metric,
    panel: &[f64],
    n_rows: usize,
    x: &[f64],
    nearest: &mut Nearest,
    name: impl Fn(usize) -> u32,
) {
    let mut sums = [0.0; PANEL_ROWS];
    let sums = &mut sums[..n_rows.min(PANEL_ROWS)];
    match metric {
        Metric::Euclidean => add_columns(panel, x, sums, |d| d * d),
        Metric::Manhattan => add_columns(panel, x, sums, f64::abs),
    }
    for (i, &sum) in sums.iter().enumerate() {
        if sum <= nearest.worst() {
            nearest.offer(sum, name(i));
        }
    }
}

#[inline(always)]
fn add_columns(panel: &[f64], x: &[f64], sums: &mut [f64], term: impl Fn(f64) -> f64) {
    for (column, x) in panel.chunks_exact(sums.len()).zip(x) {
        for (sum, v) in sums.iter_mut().zip(column) {
            *sum += term(x - v);
        }
    }
}

/// A complete binary tree over rows.
#[derive(Debug, Clone)]
pub struct KdTree {
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
    pub fn new(x: &[f64], n_cols: usize, metric: Metric) -> Self {
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
    pub fn search(&self, x: &[f64], nearest: &mut Nearest) -> usize {
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
