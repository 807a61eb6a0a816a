//! The growth of one tree on binned columns: which leaf is split next, and on how many cores.
//!
//! Rows lie in one array that is partitioned in place, so that a node is a range of it. A large node sums up
//! a histogram of all columns, its smaller child too, and the larger child is the difference; a node that
//! searches few columns or has few rows sums up one column at a time in cells that stay in the first-level
//! cache and visits only the bins its rows touch.
//!
//! A node depends on its rows and its seed alone, not on the order of growth. So growth without a limit on
//! leaves splits large nodes one by one and shares out the subtrees below them over all cores, and best-first
//! growth (Shi 2007, "Best-first decision tree learning") prepares the splits of the next best leaves together
//! with that of the best.
//!
//! Costs two copies of row index and item (4 and 8 or 16 bytes) per row of a growing tree, and per open node
//! with a histogram 256 cells (of 8 bytes per number) per column.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::best_split::{Best, Limits};
use super::bins::Bins;
use super::criterion::{Cell, Criterion};
use super::engine::{Engine, Growth};
use super::monotonic::{Bounds, Whole};
use super::partition::Span;
use super::search::Scratch;
use super::tree::Tree;
use crate::model::learn::Watch;
use crate::model::learn::dataset::Direction;
use crate::parallel;
use crate::random::seed_of_child;

/// Subtrees of fewer rows, or of this share of all, grow on one core each.
const MIN_SHARED_ROWS: usize = 2048;
const SUBTREES: usize = 32;

/// So many of the best leaves are split at the same time.
const SIDE_BY_SIDE: usize = 2;

/// A leaf that can be split.
struct Open<C: Criterion> {
    node: u32,
    depth: usize,
    seed: u64,
    begin: usize,
    end: usize,
    total: C::Cell,
    bounds: Bounds,
    best: Best,
    histogram: Option<Vec<C::Cell>>,
    /// Its split, once that is prepared.
    split: Option<Split<C>>,
}

impl<C: Criterion> Ord for Open<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.best.gain.total_cmp(&other.best.gain).then(other.node.cmp(&self.node))
    }
}

impl<C: Criterion> PartialOrd for Open<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C: Criterion> PartialEq for Open<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<C: Criterion> Eq for Open<C> {}

/// A leaf parted in two.
struct Split<C: Criterion> {
    /// Where the rows of the right child begin.
    middle: usize,
    missing_left: bool,
    children: [Child<C>; 2],
}

impl<C: Criterion> Split<C> {
    /// Splits the leaf in its tree.
    fn enter(&self, open: &Open<C>, tree: &mut Tree) {
        tree.split(open.node, &open.best, self.missing_left, self.middle);
        tree.bound_children(open.node, self.children.each_ref().map(|child| child.bounds));
    }
}

/// Half of a split.
struct Child<C: Criterion> {
    total: C::Cell,
    bounds: Bounds,
    /// Not found if it stays a leaf.
    best: Best,
    histogram: Option<Vec<C::Cell>>,
}

/// A leaf that is split while another is.
type Task<'a, C> = ((Open<C>, Span<'a, <C as Criterion>::Item>), &'a mut Scratch<C>);

/// Grows trees one after another with the same buffers.
pub(crate) struct Grower<'a, C: Criterion> {
    bins: &'a Bins,
    criterion: C,
    growth: Growth,
    watch: Option<&'a dyn Watch>,
    items: Vec<C::Item>,
    spare_rows: Vec<u32>,
    spare_items: Vec<C::Item>,
    scratch: [Scratch<C>; SIDE_BY_SIDE],
}

impl<'a, C: Criterion> Grower<'a, C> {
    /// An engine for trees on these columns.
    pub(crate) fn new(bins: &'a Bins, criterion: C, growth: Growth) -> Self {
        Self {
            bins,
            criterion,
            growth,
            watch: None,
            items: Vec::new(),
            spare_rows: Vec::new(),
            spare_items: Vec::new(),
            scratch: std::array::from_fn(|_| Scratch::new(&[])),
        }
    }

    /// Lets `watch` interrupt the growth: leaves that are not split by then stay leaves.
    pub(crate) fn interrupted_by(mut self, watch: &'a dyn Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Sets the limits in the units of the next tree's items.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.growth.limits = limits;
    }

    /// The items of the next tree: to be filled with one for each row of [`Grower::grow`]. They hold those of the
    /// last tree, in another order.
    pub(crate) fn items(&mut self) -> &mut Vec<C::Item> {
        &mut self.items
    }

    /// Grows a tree on `rows` (not empty) with their [`Grower::items`], and on some of the columns.
    #[inline(never)]
    pub(crate) fn grow(&mut self, mut rows: Vec<u32>, columns: &[u32], seed: u64) -> Tree {
        let n = rows.len();
        self.spare_rows.resize(n.max(self.spare_rows.len()), 0);
        self.spare_items.resize(n.max(self.spare_items.len()), C::Item::default());
        for scratch in &mut self.scratch {
            scratch.columns.clear();
            scratch.columns.extend(columns);
        }
        let mut span = Span {
            rows: &mut rows,
            items: &mut self.items[..n],
            spare_rows: &mut self.spare_rows[..n],
            spare_items: &mut self.spare_items[..n],
        };
        let Self { bins, growth, watch, .. } = *self;
        let engine = Engine { bins, criterion: &self.criterion, growth, watch };
        let mut tree = Tree::leaf(n);
        if let Some(root) = engine.root(&span, seed, &mut self.scratch[0]) {
            if self.growth.max_leaf_nodes == usize::MAX {
                engine.grow_all(root, &mut span, &mut tree, &mut self.scratch[0]);
            } else {
                engine.grow_best(root, &mut span, &mut tree, &mut self.scratch);
            }
        }
        tree.rows = rows;
        tree
    }
}

impl<C: Criterion> Engine<'_, C> {
    /// The root, if it can be split.
    fn root(&self, span: &Span<C::Item>, seed: u64, scratch: &mut Scratch<C>) -> Option<Open<C>> {
        if !self.may_split(span.items, 0) {
            return None;
        }
        let (rows, items) = (&*span.rows, &*span.items);
        let total = self.total(items);
        let (whole, bounds) = (Whole::free(&total), Bounds::FREE);
        let mut histogram = None;
        let best = if self.uses_histograms(rows.len(), &scratch.columns) {
            let mut cells = self.take_histogram(&mut scratch.pool);
            let best = self.search_all(rows, items, &mut cells, whole, None, &scratch.columns).0;
            histogram = Some(cells);
            best
        } else {
            self.search(rows, items, whole, seed, scratch)
        };
        let end = rows.len();
        let open =
            Open { node: 0, depth: 0, seed, begin: 0, end, total, bounds, best, histogram, split: None };
        best.found().then_some(open)
    }

    /// Splits all leaves that can be split: large ones one by one, then the subtrees below them in parallel.
    fn grow_all(&self, root: Open<C>, span: &mut Span<C::Item>, tree: &mut Tree, scratch: &mut Scratch<C>) {
        let n_rows = span.rows.len();
        let shared = if self.growth.parallel { MIN_SHARED_ROWS.max(n_rows / SUBTREES) } else { 0 };
        let mut stack = vec![root];
        let mut subtrees = Vec::new();
        while let Some(mut open) = stack.pop() {
            if self.is_interrupted() {
                break;
            }
            if open.end - open.begin < shared {
                subtrees.push(open);
                continue;
            }
            let own = span.part(open.begin, open.end);
            let split = self.split(&mut open, own, false, scratch);
            split.enter(&open, tree);
            stack.extend(open_children(&open, split, tree, &mut scratch.pool).into_iter().rev().flatten());
        }
        // They were found from the left to the right, as their rows lie.
        let spans = span.parts(subtrees.iter().map(|open| (open.begin, open.end)));
        let columns = &scratch.columns;
        let alone = Engine { growth: Growth { parallel: false, ..self.growth }, ..*self };
        let tasks = subtrees.into_iter().zip(spans).collect();
        let grown = parallel::map(tasks, &|(open, mut span): (Open<C>, Span<C::Item>)| {
            let (leaf, begin) = (open.node, open.begin);
            let mut subtree = Tree::leaf(open.end - begin);
            let root = Open { node: 0, begin: 0, end: open.end - begin, ..open };
            alone.grow_all(root, &mut span, &mut subtree, &mut Scratch::new(columns));
            (leaf, begin, subtree)
        });
        for (leaf, begin, subtree) in &grown {
            tree.graft(*leaf, *begin, subtree);
        }
    }

    /// Splits the leaf that gains most, until there are enough leaves.
    fn grow_best(
        &self,
        root: Open<C>,
        span: &mut Span<C::Item>,
        tree: &mut Tree,
        scratch: &mut [Scratch<C>],
    ) {
        let mut frontier = BinaryHeap::from([root]);
        let mut n_leaves = 1;
        while n_leaves < self.growth.max_leaf_nodes
            && !self.is_interrupted()
            && let Some(mut open) = frontier.pop()
        {
            let left = self.growth.max_leaf_nodes - n_leaves;
            if open.split.is_none() {
                frontier.push(open);
                self.prepare(&mut frontier, span, left, scratch);
                continue;
            }
            if let Some(split) = open.split.take() {
                n_leaves += 1;
                split.enter(&open, tree);
                frontier
                    .extend(open_children(&open, split, tree, &mut scratch[0].pool).into_iter().flatten());
            }
        }
        let histograms = frontier.into_iter().filter_map(|open| open.histogram);
        scratch[0].pool.extend(histograms);
    }

    /// Prepares the splits of the best leaves at the same time, of which `left` can still be made: nearly always
    /// the others are made later.
    fn prepare(
        &self,
        frontier: &mut BinaryHeap<Open<C>>,
        span: &mut Span<C::Item>,
        left: usize,
        scratch: &mut [Scratch<C>],
    ) {
        // By size alone: the number of threads must not show in the order of rows.
        let n_columns = scratch[0].columns.len();
        let is_large = |open: &Open<C>| self.is_large((open.end - open.begin) * n_columns);
        let (mut others, mut chosen) = (Vec::new(), Vec::new());
        while chosen.len() < scratch.len().min(left)
            && others.len() < scratch.len()
            && let Some(open) = frontier.pop()
        {
            // The best is split in any case, others if that is worth a second thread.
            let is_chosen = open.split.is_none() && (chosen.is_empty() || is_large(&open));
            let small = chosen.is_empty() && !is_large(&open);
            if is_chosen {
                chosen.push(open)
            } else {
                others.push(open)
            }
            if small {
                break;
            }
        }
        frontier.extend(others);
        if !chosen.is_sorted_by_key(|open| open.begin) {
            chosen.reverse();
        }
        let mut histograms = std::mem::take(&mut scratch[0].pool);
        for (scratch, open) in scratch.iter_mut().zip(&chosen) {
            scratch.pool.extend(open.histogram.is_some().then(|| self.take_histogram(&mut histograms)));
        }
        let spans = span.parts(chosen.iter().map(|open| (open.begin, open.end)));
        let tasks = chosen.into_iter().zip(spans).zip(&mut *scratch).collect();
        frontier.extend(parallel::map(tasks, &|((mut open, own), scratch): Task<C>| {
            open.split = Some(self.split(&mut open, own, left == 1, scratch));
            open
        }));
        for scratch in scratch.iter_mut() {
            histograms.append(&mut scratch.pool);
        }
        scratch[0].pool = histograms;
    }

    /// Partitions the rows of a leaf and searches its children, unless these are the `last` leaves.
    fn split(
        &self,
        open: &mut Open<C>,
        mut span: Span<C::Item>,
        last: bool,
        scratch: &mut Scratch<C>,
    ) -> Split<C> {
        let n = span.rows.len();
        let n_left = span.partition(self.bins.bytes(open.best.column), &open.best);
        let (left, right) = span.split_at(n_left);
        let depth = open.depth + 1;
        let may = [&left, &right].map(|side| !last && self.may_split(side.items, depth));
        let large = usize::from(n_left <= n - n_left);
        let sides = [(&*left.rows, &*left.items), (&*right.rows, &*right.items)];
        let total_of_small = self.total(sides[1 - large].1);
        let mut totals = [total_of_small; 2];
        totals[large] = open.total.minus(&total_of_small);
        let bounds = self.bounds_of_children(open, &totals);
        let mut children = [0, 1].map(|i| Child {
            total: totals[i],
            bounds: bounds[i],
            best: Best::none(self.growth.limits.min_gain),
            histogram: None,
        });
        let whole = [0, 1].map(|i| Whole { total: &totals[i], bounds: bounds[i] });
        let sums_up = may != [false, false] && self.uses_histograms(sides[large].0.len(), &scratch.columns);
        let mut histogram = open.histogram.take();
        if let Some(mut of_large) = histogram.take_if(|_| sums_up) {
            let mut of_small = self.take_histogram(&mut scratch.pool);
            let (rows, items) = sides[1 - large];
            let with = Some((&mut of_large[..], whole[large]));
            let columns = &scratch.columns;
            let found = self.search_all(rows, items, &mut of_small, whole[1 - large], with, columns);
            children[1 - large].best = found.0;
            children[large].best = found.1;
            children[1 - large].histogram = Some(of_small);
            children[large].histogram = Some(of_large);
            for (i, child) in children.iter_mut().enumerate() {
                if !may[i] {
                    child.best = Best::none(self.growth.limits.min_gain);
                }
                // The children of a small child sum up none, so that it need not keep what they would be subtracted from.
                let is_needed = self.uses_histograms(sides[i].0.len(), &scratch.columns);
                if !child.best.found() || !is_needed {
                    scratch.pool.extend(child.histogram.take());
                }
            }
        } else {
            scratch.pool.extend(histogram);
            for (i, child) in children.iter_mut().enumerate().filter(|(i, _)| may[*i]) {
                let (rows, items) = sides[i];
                child.best = self.search(rows, items, whole[i], seed_of_child(open.seed, i), scratch);
            }
        }
        // A missing value, if training saw none here, goes with most rows, as in scikit-learn.
        let missing_left = open.best.missing_left.unwrap_or(n_left >= n - n_left);
        Split { middle: open.begin + n_left, missing_left, children }
    }

    /// The bounds of both children of a leaf.
    fn bounds_of_children(&self, open: &Open<C>, totals: &[C::Cell; 2]) -> [Bounds; 2] {
        let direction = self.bins.columns[open.best.column as usize].direction;
        if !C::MAY_BE_BOUND || direction == Direction::Free {
            return [open.bounds; 2];
        }
        let whole = Whole { total: &open.total, bounds: open.bounds };
        let value = |total| whole.value(self.criterion, total, self.growth.limits.l2);
        open.bounds.of_children(direction, totals.each_ref().map(value))
    }
}

/// The children that can be split; the histograms of the others go back to the pool.
fn open_children<C: Criterion>(
    parent: &Open<C>,
    split: Split<C>,
    tree: &Tree,
    pool: &mut Vec<Vec<C::Cell>>,
) -> [Option<Open<C>>; 2] {
    let left = tree.nodes[parent.node as usize].left;
    let [a, b] = split.children;
    let mut open = |i: usize, begin, end, child: Child<C>| {
        let Child { total, bounds, best, histogram } = child;
        if !best.found() {
            pool.extend(histogram);
            return None;
        }
        let (node, depth, seed) = (left + i as u32, parent.depth + 1, seed_of_child(parent.seed, i));
        Some(Open { node, depth, seed, begin, end, total, bounds, best, histogram, split: None })
    };
    [open(0, parent.begin, split.middle, a), open(1, split.middle, parent.end, b)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::trees::moments::Moments;
    use crate::model::learn::{Dataset, Labels};
    use crate::random::{below, generator, unit_interval};

    const CRITERION: Moments = Moments { mass_bits: 40 };

    const N_ROWS: usize = 6000;

    /// Three numbers, one of them with missing values, and a category; a target of the first, the last and noise.
    fn table() -> (Bins, Vec<[i64; 2]>) {
        let mut random = generator(12);
        let (mut x, mut items) = (Matrix::zeros(N_ROWS, 4), Vec::new());
        for i in 0..N_ROWS {
            let [a, b, c] = std::array::from_fn(|_| unit_interval(&mut random));
            let level = below(12, &mut random);
            x.row_mut(i).copy_from_slice(&[a, if i % 5 == 0 { f64::NAN } else { b }, c, level as f64]);
            let y = 1000.0 * (a * 5.0).floor() + 300.0 * (level % 3) as f64 + 100.0 * c;
            items.push(CRITERION.item(y as i64, 1));
        }
        let y = vec![0.0; N_ROWS];
        let mut bins = Bins::new(&Dataset { levels: &[0, 0, 0, 12], ..Dataset::new(&x, Labels::Values(&y)) });
        bins.group();
        (bins, items)
    }

    fn growth() -> Growth {
        let limits = Limits::new(3, -1.0);
        Growth {
            max_depth: 12,
            max_leaf_nodes: usize::MAX,
            min_samples_split: 8,
            max_features: 4,
            random_cuts: false,
            parallel: true,
            limits,
        }
    }

    fn grow(bins: &Bins, items: &[[i64; 2]], growth: Growth) -> Tree {
        let mut grower = Grower::new(bins, CRITERION, growth);
        // The second tree has the buffers of another.
        grower.items().extend(items);
        grower.grow((0..N_ROWS as u32 / 2).collect(), &bins.usable, 1);
        grower.items().clear();
        grower.items().extend(items);
        grower.grow((0..N_ROWS as u32).collect(), &bins.usable, 9)
    }

    /// The rows of each leaf, in the order of the rows.
    fn leaves(tree: &Tree) -> Vec<&[u32]> {
        let mut leaves: Vec<_> = tree.leaves().collect();
        leaves.sort_unstable_by_key(|leaf| leaf.begin);
        leaves.into_iter().map(|leaf| tree.rows_of(leaf)).collect()
    }

    #[test]
    fn a_tree_does_not_depend_on_the_order_in_which_its_leaves_are_split() {
        let (bins, items) = table();
        for (max_features, random_cuts) in [(4, false), (2, false), (4, true), (2, true)] {
            let growth = Growth { max_features, random_cuts, ..growth() };
            let depth_first = grow(&bins, &items, growth);
            assert!(leaves(&depth_first).len() > 100);
            for growth in [
                Growth { max_leaf_nodes: N_ROWS, ..growth },
                Growth { parallel: false, ..growth },
                Growth { max_leaf_nodes: N_ROWS, parallel: false, ..growth },
            ] {
                assert!(leaves(&grow(&bins, &items, growth)) == leaves(&depth_first), "{growth:?}");
            }
        }
    }

    #[test]
    fn best_first_growth_splits_the_leaves_that_gain_most() {
        let (bins, items) = table();
        let whole = grow(&bins, &items, growth());
        let (mut frontier, mut expected) = (vec![0], Vec::new());
        for n_leaves in 1..60 {
            if n_leaves > 1 {
                let tree = grow(&bins, &items, Growth { max_leaf_nodes: n_leaves, ..growth() });
                let mut gains: Vec<f64> =
                    tree.nodes.iter().map(|node| node.gain).filter(|&g| g > 0.0).collect();
                gains.sort_unstable_by(f64::total_cmp);
                expected.sort_unstable_by(f64::total_cmp);
                assert_eq!((leaves(&tree).len(), gains), (n_leaves, expected.clone()));
            }
            let gain = |&i: &usize| whole.nodes[frontier[i]].gain;
            let best = (0..frontier.len()).max_by(|a, b| gain(a).total_cmp(&gain(b))).unwrap();
            let node = &whole.nodes[frontier.swap_remove(best)];
            expected.push(node.gain);
            frontier.extend([node.left as usize, node.left as usize + 1]);
        }
    }

    #[test]
    fn small_leaves_that_wait_keep_no_histogram() {
        let mut x = Matrix::zeros(N_ROWS, 1);
        (0..N_ROWS).for_each(|i| x.row_mut(i)[0] = i as f64);
        let y = vec![0.0; N_ROWS];
        let mut bins = Bins::new(&Dataset::new(&x, Labels::Values(&y)));
        bins.group();
        // The best split is always that of the last few rows, which wait for the others.
        let items = (0..N_ROWS).map(|i| CRITERION.item(1 << (i / 200), 1));
        let growth = Growth { max_depth: 100, max_features: 1, parallel: false, ..growth() };
        let mut grower = Grower::new(&bins, CRITERION, growth);
        grower.items().extend(items);
        let tree = grower.grow((0..N_ROWS as u32).collect(), &bins.usable, 1);
        assert!(tree.leaves().count() >= 20);
        // All that there ever were lie in the pool.
        assert!(grower.scratch[0].pool.len() < 5, "{}", grower.scratch[0].pool.len());
    }

    #[test]
    fn leaves_hold_the_rows_that_fall_into_them_and_keep_to_the_limits() {
        let (bins, items) = table();
        for max_leaf_nodes in [50, usize::MAX] {
            let growth = Growth { max_leaf_nodes, max_depth: 6, ..growth() };
            let tree = grow(&bins, &items, growth);
            let mut depths = vec![0; tree.nodes.len()];
            for (i, node) in tree.nodes.iter().enumerate() {
                if node.left == 0 {
                    let rows = tree.rows_of(node);
                    assert!(rows.len() >= 3 && depths[i] <= 6);
                    assert!(rows.iter().all(|&row| tree.leaf_of(&bins, row as usize) == i));
                } else {
                    assert!(node.end - node.begin >= 8);
                    depths[node.left as usize] = depths[i] + 1;
                    depths[node.left as usize + 1] = depths[i] + 1;
                }
            }
            let mut rows = tree.rows.clone();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..N_ROWS as u32));
        }
    }
}
