//! The nearest rows so far, and searching all rows for them.
//!
//! Two methods: panels of rows in doubles, which the leaves of a k-d tree are as well, and for Euclidean
//! distances [`Products`], which measure in doubles only what a matrix product in single precision does not
//! rule out. All ways find the same rows.

use std::collections::BinaryHeap;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

/// The distance between two rows.
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
    pub fn term(self, difference: f64) -> f64 {
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
pub(crate) struct Nearest {
    k: usize,
    /// The sums are not negative, so their bits are in the order of their values.
    heap: BinaryHeap<(u64, u32)>,
    worst: f64,
}

impl Nearest {
    /// Room for `k` rows.
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k), worst: f64::INFINITY }
    }

    /// The largest sum that may still enter.
    #[inline(always)]
    pub(crate) fn worst(&self) -> f64 {
        self.worst
    }

    /// Takes a row in if it is among the nearest.
    fn offer(&mut self, sum: f64, row: u32) {
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
    pub(crate) fn drain(&mut self, see: impl FnOnce(&[(u64, u32)])) {
        let mut sorted = std::mem::take(&mut self.heap).into_sorted_vec();
        see(&sorted);
        sorted.clear();
        self.heap = BinaryHeap::from(sorted);
        self.worst = f64::INFINITY;
    }
}

/// Most rows of a panel: its distances stay in registers and the first-level cache.
pub(crate) const PANEL_ROWS: usize = 32;

/// Adds a panel of rows column by column, so that one instruction serves several rows.
pub(crate) fn push_panel<'a>(
    panels: &mut Vec<f64>,
    rows: impl Iterator<Item = &'a [f64]> + Clone,
    n_cols: usize,
) {
    for j in 0..n_cols {
        panels.extend(rows.clone().map(|row| row[j]));
    }
}

/// Offers the rows of a panel; `name` tells their indices.
#[inline(always)]
pub(crate) fn scan_panel(
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

/// Rows that are searched for together.
pub(crate) const TILE_QUERIES: usize = 64;

/// Training rows whose products are made together: [`TILE_QUERIES`] times as many stay in the second-level
/// cache.
const TILE_ROWS: usize = 512;

/// Products that are compared in one go before any is looked at.
const GLANCE: usize = 16;

/// Squared lengths up to this keep all products far inside the range of single precision.
const MAX_SQUARED_LENGTH: f64 = 1e30;

/// Absolute slack for products that are too small for single precision.
const UNDERFLOW: f64 = 1e-30;

/// Training rows for products in single precision.
///
/// The product of (q, 1) with (−2t, |t|²) is |q − t|² − |q|². Its inputs and its p + 1 additions are rounded,
/// each by at most a share u = 2⁻²⁴, so it is wrong by at most (p + 4) u (2|q||t| + |t|²), which is at most
/// half of g (|q|² + 2|t|²) with g = 2 (p + 8) u (Higham 2002, "Accuracy and stability of numerical
/// algorithms", section 3.1). The part of |t| is subtracted from each row beforehand, the part of |q| added
/// to the limit.
#[derive(Debug, Clone)]
pub(crate) struct Products {
    n_cols: usize,
    /// Tiles of at most [`TILE_ROWS`] rows, each `(n_cols + 1) × rows`; empty if the rows are too long.
    tiles: Vec<f32>,
    error: f64,
}

impl Products {
    /// `x`: finite, `n_rows × n_cols`, at least one of each.
    pub(crate) fn new(x: &[f64], n_cols: usize) -> Self {
        let error = 2.0 * (n_cols + 8) as f64 * f64::from(f32::EPSILON) / 2.0;
        let mut tiles = Vec::with_capacity(x.len() / n_cols * (n_cols + 1));
        let is_long = |row: &[f64]| squared_length(row) > MAX_SQUARED_LENGTH;
        if x.chunks_exact(n_cols).any(is_long) {
            return Self { n_cols, tiles, error };
        }
        for tile in x.chunks(TILE_ROWS * n_cols) {
            let rows = tile.chunks_exact(n_cols);
            for j in 0..n_cols {
                tiles.extend(rows.clone().map(|row| -2.0 * row[j] as f32));
            }
            tiles.extend(rows.map(|row| ((1.0 - 2.0 * error) * squared_length(row)) as f32));
        }
        Self { n_cols, tiles, error }
    }

    /// Searches the rows `x`, those of [`Products::new`], for the nearest of each query.
    pub(crate) fn search(&self, x: &[f64], queries: &[f64], nearest: &mut [Nearest]) {
        let n_factors = self.n_cols + 1;
        let n_queries = queries.len() / self.n_cols;
        let mut factors = Vec::with_capacity(n_queries * n_factors);
        let mut lengths = Vec::with_capacity(n_queries);
        for (query, nearest) in queries.chunks_exact(self.n_cols).zip(nearest.iter_mut()) {
            let length = squared_length(query);
            if self.tiles.is_empty() || length.is_nan() || length > MAX_SQUARED_LENGTH {
                search_all(x, query, nearest);
                // Nothing is below this limit any more.
                lengths.push(f64::INFINITY);
                factors.resize(factors.len() + n_factors, 0.0);
                continue;
            }
            lengths.push(length);
            factors.extend(query.iter().map(|&v| v as f32));
            factors.push(1.0);
        }
        let mut products = vec![0.0; n_queries * TILE_ROWS.min(x.len() / self.n_cols)];
        for (i, tile) in self.tiles.chunks(TILE_ROWS * n_factors).enumerate() {
            let n_rows = tile.len() / n_factors;
            let products = &mut products[..n_queries * n_rows];
            multiply(&factors, tile, n_queries, n_factors, n_rows, products);
            let first = i * TILE_ROWS;
            let each = products.chunks_exact(n_rows).zip(queries.chunks_exact(self.n_cols));
            for (((products, query), length), nearest) in each.zip(&lengths).zip(nearest.iter_mut()) {
                self.look(x, first, products, query, *length, nearest);
            }
        }
    }

    /// Measures the rows whose product does not rule them out.
    fn look(
        &self,
        x: &[f64],
        first: usize,
        products: &[f32],
        query: &[f64],
        length: f64,
        nearest: &mut Nearest,
    ) {
        if length.is_infinite() {
            return;
        }
        let limit = |nearest: &Nearest| {
            let worst = nearest.worst();
            (worst - length + self.error * (length + worst) + UNDERFLOW) as f32
        };
        let mut most = limit(nearest);
        for (i, glance) in products.chunks(GLANCE).enumerate() {
            if !glance.iter().fold(false, |any, &product| any | (product <= most)) {
                continue;
            }
            for (j, &product) in glance.iter().enumerate() {
                if product <= most {
                    let row = first + i * GLANCE + j;
                    let sum = Metric::Euclidean.sum(query, &x[row * self.n_cols..(row + 1) * self.n_cols]);
                    if sum <= nearest.worst() {
                        nearest.offer(sum, row as u32);
                        most = limit(nearest);
                    }
                }
            }
        }
    }
}

/// Measures all rows.
fn search_all(x: &[f64], query: &[f64], nearest: &mut Nearest) {
    for (row, v) in x.chunks_exact(query.len()).enumerate() {
        let sum = Metric::Euclidean.sum(query, v);
        if sum <= nearest.worst() {
            nearest.offer(sum, row as u32);
        }
    }
}

fn squared_length(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum()
}

/// c = a b of an `m × k` and a `k × n` matrix.
fn multiply(a: &[f32], b: &[f32], m: usize, k: usize, n: usize, c: &mut [f32]) {
    if m == 1 {
        // Packing the tile for the kernel would take longer than this.
        c.fill(0.0);
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
        return;
    }
    let views = (
        ArrayView2::from_shape((m, k), a),
        ArrayView2::from_shape((k, n), b),
        ArrayViewMut2::from_shape((m, n), c),
    );
    // The callers cut the slices to these shapes.
    if let (Ok(a), Ok(b), Ok(mut c)) = views {
        general_mat_mul(1.0, &a, &b, 0.0, &mut c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(nearest: &mut Nearest) -> Vec<(f64, u32)> {
        let mut all = Vec::new();
        nearest.drain(|found| all.extend(found.iter().map(|&(sum, row)| (f64::from_bits(sum), row))));
        all
    }

    #[test]
    fn the_nearest_are_kept_the_earlier_of_equals_in_whatever_order_rows_come() {
        let sums = [3.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0];
        for order in [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 6, 0, 4, 1, 5, 2]] {
            let mut nearest = Nearest::new(4);
            assert_eq!(nearest.worst(), f64::INFINITY);
            order.iter().for_each(|&row| nearest.offer(sums[row], row as u32));
            assert_eq!(nearest.worst(), 1.0);
            assert_eq!(found(&mut nearest), [(0.0, 4), (1.0, 1), (1.0, 3), (1.0, 6)]);
            assert!(found(&mut nearest).is_empty() && nearest.worst() == f64::INFINITY);
        }
    }

    #[test]
    fn products_rule_out_no_row_that_is_among_the_nearest_however_close_rows_are() {
        // Rows that single precision cannot distinguish, far from the origin, and more of them than a tile
        // holds.
        let x: Vec<f64> = (0..TILE_ROWS as u32 * 2 + 5)
            .flat_map(|i| [1e4 + f64::from(i * 37 % 1000) * 1e-6, -1e4 + f64::from(i * 11 % 997) * 1e-6])
            .collect();
        let queries = &x[..20];
        let mut by_products = vec![Nearest::new(3); 10];
        Products::new(&x, 2).search(&x, queries, &mut by_products);
        for (query, by_products) in queries.chunks_exact(2).zip(&mut by_products) {
            let mut by_measuring = Nearest::new(3);
            search_all(&x, query, &mut by_measuring);
            assert_eq!(found(by_products), found(&mut by_measuring));
        }
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        let sum = |metric: Metric| metric.distance(metric.sum(&[1.0, -2.0], &[4.0, 2.0]));
        assert_eq!([Metric::Euclidean, Metric::Manhattan].map(sum), [5.0, 7.0]);
    }
}
