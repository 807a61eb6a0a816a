//! The search of a node that has few rows or looks at few columns: one column after another.

use super::best_split::{Best, scan};
use super::bin_set::{bins_of, first_bins, insert};
use super::bins::Kind;
use super::criterion::{Cell, Cells, Criterion, no_rows};
use super::engine::Engine;
use super::monotonic::Whole;
use super::random_cuts::{Block, draw_cut};
use crate::random::{below, generator};

/// Nodes of fewer rows mark the bins they touch.
const MAX_MARKED_ROWS: usize = 192;

/// Nodes of at most so many rows try all random cuts at once.
const MAX_BLOCK_ROWS: usize = 128;

/// The buffers of a thread.
pub(crate) struct Scratch<C: Criterion> {
    /// Columns of the tree; the first ones are those drawn, while a node draws.
    pub(crate) columns: Vec<u32>,
    swaps: Vec<usize>,
    /// Those of a column; all zero between uses.
    cells: Vec<C::Cell>,
    bytes: Vec<u8>,
    block: Block,
    /// Histograms to be used again.
    pub(crate) pool: Vec<Vec<C::Cell>>,
}

impl<C: Criterion> Scratch<C> {
    /// Buffers for trees on these columns.
    pub(crate) fn new(columns: &[u32]) -> Self {
        Self {
            columns: columns.to_vec(),
            swaps: Vec::new(),
            cells: no_rows::<C>(1),
            bytes: Vec::new(),
            block: Block::default(),
            pool: Vec::new(),
        }
    }
}

impl<C: Criterion> Engine<'_, C> {
    /// Searches `max_features` columns of a node, drawn without replacement; more if those are constant (as in
    /// scikit-learn).
    pub(crate) fn search(
        &self,
        rows: &[u32],
        items: &[C::Item],
        whole: Whole<C::Cell>,
        seed: u64,
        scratch: &mut Scratch<C>,
    ) -> Best {
        let mut best = Best::none(self.growth.limits.min_gain);
        let n_columns = scratch.columns.len();
        let draws = self.growth.max_features < n_columns;
        let mut random = (draws || self.growth.random_cuts).then(|| generator(seed));
        let mut varied = false;
        let is_block =
            rows.len() <= MAX_BLOCK_ROWS && self.growth.random_cuts && !self.bins.groups.is_empty();
        if is_block {
            scratch.block.fill(&self.bins.groups, rows);
        }
        for i in 0..n_columns {
            if i >= self.growth.max_features && varied {
                break;
            }
            if let (true, Some(random)) = (draws, &mut random) {
                let j = i + below(n_columns - i, random);
                scratch.columns.swap(i, j);
                scratch.swaps.push(j);
            }
            let column = scratch.columns[i];
            varied |= match &mut random {
                Some(random)
                    if is_block
                        && let binned = &self.bins.columns[column as usize]
                        && let Kind::Number { thresholds } = &binned.kind
                        && let Some((least, most)) = scratch.block.range(column) =>
                {
                    if least < most {
                        let cut = draw_cut(binned, thresholds, (least, most), random);
                        scratch.block.cuts.push((column, cut));
                    }
                    least < most
                }
                Some(random) if self.growth.random_cuts => self.search_random(
                    column,
                    rows,
                    items,
                    whole.total,
                    random,
                    &mut scratch.bytes,
                    &mut best,
                ),
                _ => scratch
                    .cells
                    .first_chunk_mut()
                    .is_some_and(|cells| self.search_column(column, rows, items, whole, cells, &mut best)),
            };
        }
        if is_block {
            self.consider_cuts(&scratch.block, items, whole.total, &mut best);
            scratch.block.cuts.clear();
        }
        // The next node finds the columns in the order of the tree.
        while let Some(j) = scratch.swaps.pop() {
            scratch.columns.swap(scratch.swaps.len(), j);
        }
        best
    }

    /// Scans one column; returns whether it varies.
    fn search_column(
        &self,
        column: u32,
        rows: &[u32],
        items: &[C::Item],
        whole: Whole<C::Cell>,
        cells: &mut Cells<C>,
        best: &mut Best,
    ) -> bool {
        let binned = &self.bins.columns[column as usize];
        let bytes = self.bins.bytes(column);
        let mut touched = [u64::MAX; 4];
        if rows.len() < MAX_MARKED_ROWS {
            touched = [0; 4];
            for (&row, &item) in rows.iter().zip(items) {
                let byte = bytes.of(row);
                insert(&mut touched, byte);
                self.criterion.add(&mut cells[usize::from(byte)], item);
            }
        } else {
            for (&row, &item) in rows.iter().zip(items) {
                self.criterion.add(&mut cells[usize::from(bytes.of(row))], item);
            }
        }
        let first = &cells[usize::from(bytes.of(rows[0]))];
        let varies = self.criterion.count(first) < rows.len() as i64;
        if varies {
            let n_bins = first_bins(binned.n_bins);
            let within = std::array::from_fn(|word| touched[word] & n_bins[word]);
            let limits = &self.growth.limits;
            scan(self.criterion, limits, (column, binned), cells, within, whole, best);
        }
        if rows.len() < MAX_MARKED_ROWS {
            bins_of(touched).for_each(|bin| cells[usize::from(bin)] = C::Cell::ZERO);
        } else {
            cells.fill(C::Cell::ZERO);
        }
        varies
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

    #[test]
    fn a_node_is_searched_alike_whichever_nodes_came_before() {
        let mut random = generator(3);
        let mut x = Matrix::zeros(600, 8);
        x.values_mut().iter_mut().for_each(|value| *value = below(50, &mut random) as f64);
        // The first four columns are constant: a node that draws them alone draws on.
        (0..600).for_each(|i| x.row_mut(i)[..4].fill(1.0));
        let y = vec![0.0; 600];
        let mut bins = Bins::new(&Dataset::new(&x, Labels::Values(&y)));
        bins.group();
        let criterion = Moments { mass_bits: 40 };
        let items: Vec<[i64; 2]> =
            (0..600).map(|_| criterion.item(below(100, &mut random) as i64, 1)).collect();
        let limits = Limits::new(1, -1.0);
        for random_cuts in [false, true] {
            let growth = Growth {
                max_depth: 9,
                max_leaf_nodes: usize::MAX,
                min_samples_split: 2,
                max_features: 2,
                random_cuts,
                parallel: false,
                limits,
            };
            let engine = Engine { bins: &bins, criterion: &criterion, growth, watch: None };
            let columns: Vec<u32> = (0..8).collect();
            let mut used = Scratch::new(&columns);
            for (seed, n_rows) in [(1, 600), (2, 100), (3, 30), (4, 2)] {
                let rows: Vec<u32> = (0..n_rows).collect();
                let items = &items[..n_rows as usize];
                let search = |scratch: &mut Scratch<Moments>| {
                    let total = engine.total(items);
                    let best = engine.search(&rows, items, Whole::free(&total), seed, scratch);
                    (best.gain, best.column, best.cut)
                };
                let found = search(&mut used);
                assert_eq!(found, search(&mut Scratch::new(&columns)));
                assert!((4..8).contains(&found.1), "a column that varies: {found:?}");
                assert_eq!(used.columns, columns);
                assert!(used.cells.iter().all(|cell| *cell == [0; 2]));
            }
        }
    }
}
