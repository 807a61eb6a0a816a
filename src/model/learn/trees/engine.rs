//! The settings of a growing tree, and the questions about a node that growth and search share.

use super::best_split::{Best, Limits};
use super::bins::Bins;
use super::criterion::{Cell, Cells, Criterion};
use crate::model::learn::Watch;
use crate::model::learn::dataset::GROUP;

/// Nodes of fewer rows sum up one column at a time.
const MIN_HISTOGRAM_ROWS: usize = 512;

/// Cells of so many bytes, those of 63 classes and more, are in no histogram of more than so many bytes.
const WIDE_CELL: usize = 64 * size_of::<i64>();
const MAX_WIDE_HISTOGRAM: usize = 2 << 20;

/// Sums of fewer cells are not worth a second thread.
const MIN_PARALLEL_UPDATES: usize = 1 << 17;

/// How a tree grows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// Depth of the deepest leaf; the root has depth 0.
    pub(crate) max_depth: usize,
    /// Most leaves; `usize::MAX` is no limit.
    pub(crate) max_leaf_nodes: usize,
    /// Fewest rows of a node that is split.
    pub(crate) min_samples_split: usize,
    /// Columns searched per split.
    pub(crate) max_features: usize,
    /// One random cut per column instead of the best (Geurts, Ernst and Wehenkel 2006, "Extremely randomized
    /// trees").
    pub(crate) random_cuts: bool,
    /// Whether the tree has all cores, or grows next to others.
    pub(crate) parallel: bool,
    /// The limits of every split.
    pub(crate) limits: Limits,
}

/// All that stays the same while a tree grows.
pub(crate) struct Engine<'a, C> {
    /// The columns.
    pub(crate) bins: &'a Bins,
    /// How rows are summed up.
    pub(crate) criterion: &'a C,
    /// The settings.
    pub(crate) growth: Growth,
    /// May interrupt the growth.
    pub(crate) watch: Option<&'a dyn Watch>,
}

impl<C: Criterion> Engine<'_, C> {
    /// Whether a node of these items at this depth may be split, as far as can be said before the search.
    pub(crate) fn may_split(&self, items: &[C::Item], depth: usize) -> bool {
        depth < self.growth.max_depth
            && items.len() >= self.growth.min_samples_split.max(2)
            && items.len() as i64 >= 2 * self.growth.limits.min_samples_leaf
            && !items.iter().all(|&item| self.criterion.agree(item, items[0]))
    }

    /// Whether the leaves that are left are to stay leaves.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.watch.is_some_and(|watch| watch.stopped())
    }

    /// Whether sums of so many numbers are worth a second thread.
    pub(crate) fn is_large(&self, n_updates: usize) -> bool {
        self.growth.parallel && n_updates >= MIN_PARALLEL_UPDATES
    }

    /// Whether a node of `n` rows sums up all columns at once.
    pub(crate) fn uses_histograms(&self, n: usize, columns: &[u32]) -> bool {
        n >= MIN_HISTOGRAM_ROWS
            && !self.bins.groups.is_empty()
            && !self.growth.random_cuts
            && self.growth.max_features >= columns.len()
            && self.histogram_is_small()
    }

    /// Whether open leaves may keep a histogram each. Of many classes and columns one is as large as the table.
    fn histogram_is_small(&self) -> bool {
        let is_wide = size_of::<C::Cell>() >= WIDE_CELL;
        !is_wide || self.bins.groups.len() * GROUP * size_of::<Cells<C>>() <= MAX_WIDE_HISTOGRAM
    }

    /// The sum of some rows.
    pub(crate) fn total(&self, items: &[C::Item]) -> C::Cell {
        let mut total = C::Cell::ZERO;
        items.iter().for_each(|&item| self.criterion.add(&mut total, item));
        total
    }

    /// Takes a split instead of the best if it gains more.
    #[inline(always)]
    pub(crate) fn consider(&self, left: &C::Cell, total: &C::Cell, split: Best, best: &mut Best) {
        let (limits, criterion) = (&self.growth.limits, self.criterion);
        let (n, n_left) = (criterion.count(total), criterion.count(left));
        if n_left < limits.min_samples_leaf || n - n_left < limits.min_samples_leaf {
            return;
        }
        let (h_left, h) = (criterion.mass(left), criterion.mass(total));
        let (numerator, denominator) = criterion.gain(left, total, h_left, h, limits.l2);
        if numerator > best.gain * denominator {
            *best = Best { gain: numerator / denominator, ..split };
        }
    }
}
