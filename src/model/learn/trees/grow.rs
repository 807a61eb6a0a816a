//! The engine: grows one tree on binned columns.
//!
//! Rows lie in one array that is partitioned in place, so that a node is a range of it. A large node sums up
//! a histogram of all columns, its smaller child too, and the larger child is the difference; a node that
//! looks at few columns or has few rows sums up one column at a time in cells that stay in the first-level
//! cache and visits only the bins its rows touch.
//!
//! What a node becomes depends on its rows and its seed alone, not on the order of growth. So growth without a
//! limit on leaves splits large nodes one by one and shares out the subtrees below them over all cores, and
//! best-first growth (Shi 2007, "Best-first decision tree learning") prepares the splits of the next best
//! leaves beside that of the best.
//!
//! Costs two copies of row index and item (4 and 8 or 16 bytes) per row of a growing tree, and per open node
//! with a histogram 256 cells (of 8 bytes per number) per column.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::best_split::{Best, BinSet, Limits, bins_of, first_bins, holds, insert, scan};
use super::bins::{Bins, Column, GROUP, Kind, MISSING};
use super::criterion::{Cell, Cells, Criterion};
use crate::data::split::folds::generator;

/// Nodes of fewer rows sum up one column at a time.
const MIN_HISTOGRAM_ROWS: usize = 512;

/// Nodes of fewer rows mark the bins they touch.
const MAX_MARKED_ROWS: usize = 192;

/// Nodes of at most so many rows try all random cuts at once.
const MAX_BLOCK_ROWS: usize = 128;

/// Sums of fewer cells are not worth a second thread.
const MIN_PARALLEL_UPDATES: usize = 1 << 17;

/// Subtrees of fewer rows, or of this share of all, grow on one core each.
const MIN_SHARED_ROWS: usize = 2048;
const SUBTREES: usize = 32;

/// So many of the best leaves are split side by side.
const SIDE_BY_SIDE: usize = 2;

/// How a tree grows.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Deepest leaf; the root has depth 0.
    pub max_depth: usize,
    /// Most leaves; `usize::MAX` is no limit.
    pub max_leaf_nodes: usize,
    /// Fewest rows of a node that is split.
    pub min_samples_split: usize,
    /// Columns looked at per split.
    pub max_features: usize,
    /// One random cut per column instead of the best (Geurts, Ernst and Wehenkel 2006, "Extremely randomized
    /// trees").
    pub random_cuts: bool,
    /// Whether the tree has all cores, or grows beside others.
    pub parallel: bool,
    /// What a split must keep to.
    pub limits: Limits,
}

/// A node of a grown tree.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// The left child, the right one is the next; 0 for a leaf.
    pub left: u32,
    /// The column it splits on.
    pub column: u32,
    /// The last bin that goes left.
    pub cut: u8,
    /// The way of missing values.
    pub missing_left: bool,
    /// Index of its subset, of a category.
    pub subset: Option<u32>,
    /// Its rows in [`Tree::rows`].
    pub begin: u32,
    /// The end of its rows.
    pub end: u32,
    /// What its split gains, in the units of the items.
    pub gain: f64,
}

impl Node {
    fn leaf(begin: usize, end: usize) -> Self {
        Self {
            left: 0,
            column: 0,
            cut: 0,
            missing_left: false,
            subset: None,
            begin: begin as u32,
            end: end as u32,
            gain: 0.0,
        }
    }
}

/// A grown tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The root first, children after their parents.
    pub nodes: Vec<Node>,
    /// The bins that go left at each subset.
    pub subsets: Vec<BinSet>,
    /// The rows it grew on, leaf by leaf.
    pub rows: Vec<u32>,
}

impl Tree {
    /// The leaf a binned row falls into.
    pub fn leaf_of(&self, bins: &Bins, row: usize) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            if node.left == 0 {
                return at;
            }
            let bin = bins.columns[node.column as usize].bytes[row];
            at = node.left as usize + usize::from(!self.goes_left(node, bin));
        }
    }

    #[inline(always)]
    fn goes_left(&self, node: &Node, bin: u8) -> bool {
        match (bin, node.subset) {
            (MISSING, _) => node.missing_left,
            (_, Some(subset)) => holds(&self.subsets[subset as usize], bin),
            _ => bin <= node.cut,
        }
    }

    /// Makes an inner node of a leaf, with two leaves as children.
    fn split<C: Criterion>(&mut self, open: &Open<C>, split: &Split<C>) {
        let left = self.nodes.len() as u32;
        let subset = open.best.subset.map(|mut subset| {
            if split.missing_left {
                subset.iter_mut().zip(open.best.present).for_each(|(word, present)| *word |= !present);
            }
            self.subsets.push(subset);
            self.subsets.len() as u32 - 1
        });
        self.nodes[open.node as usize] = Node {
            left,
            column: open.best.column,
            cut: open.best.cut,
            missing_left: split.missing_left,
            subset,
            begin: open.begin as u32,
            end: open.end as u32,
            gain: open.best.gain,
        };
        self.nodes.push(Node::leaf(open.begin, split.middle));
        self.nodes.push(Node::leaf(split.middle, open.end));
    }

    /// Puts a subtree, grown on rows from `begin` on, in the place of a leaf.
    fn graft(&mut self, leaf: u32, begin: usize, subtree: &Self) {
        // The root takes the place of the leaf, all others follow the nodes that are there.
        let (n_nodes, n_subsets) = (self.nodes.len() as u32, self.subsets.len() as u32);
        for (i, node) in subtree.nodes.iter().enumerate() {
            let node = Node {
                left: if node.left == 0 { 0 } else { n_nodes + node.left - 1 },
                subset: node.subset.map(|subset| n_subsets + subset),
                begin: node.begin + begin as u32,
                end: node.end + begin as u32,
                ..*node
            };
            if i == 0 {
                self.nodes[leaf as usize] = node;
            } else {
                self.nodes.push(node);
            }
        }
        self.subsets.extend(&subtree.subsets);
    }
}

/// A leaf that can be split.
struct Open<C: Criterion> {
    node: u32,
    depth: usize,
    seed: u64,
    begin: usize,
    end: usize,
    total: C::Cell,
    best: Best,
    histogram: Option<Vec<Cells<C>>>,
    /// What comes of it, once that is prepared.
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

/// What comes of a leaf that is split.
struct Split<C: Criterion> {
    /// Where the rows of the right child begin.
    middle: usize,
    missing_left: bool,
    children: [Child<C>; 2],
}

/// Half of a split.
struct Child<C: Criterion> {
    total: C::Cell,
    /// Not found where it stays a leaf.
    best: Best,
    histogram: Option<Vec<Cells<C>>>,
}

/// The rows of a node, and room to partition them.
struct Span<'a, I> {
    rows: &'a mut [u32],
    items: &'a mut [I],
    spare_rows: &'a mut [u32],
    spare_items: &'a mut [I],
}

impl<'a, I> Span<'a, I> {
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (rows, rows_right) = self.rows.split_at_mut(middle);
        let (items, items_right) = self.items.split_at_mut(middle);
        let (spare_rows, spare_rows_right) = self.spare_rows.split_at_mut(middle);
        let (spare_items, spare_items_right) = self.spare_items.split_at_mut(middle);
        let right = Span {
            rows: rows_right,
            items: items_right,
            spare_rows: spare_rows_right,
            spare_items: spare_items_right,
        };
        (Span { rows, items, spare_rows, spare_items }, right)
    }

    fn part(&mut self, begin: usize, end: usize) -> Span<'_, I> {
        Span {
            rows: &mut self.rows[begin..end],
            items: &mut self.items[begin..end],
            spare_rows: &mut self.spare_rows[begin..end],
            spare_items: &mut self.spare_items[begin..end],
        }
    }
}

/// What a thread works with.
struct Scratch<C: Criterion> {
    /// Columns of the tree; the first ones are those drawn, while a node draws.
    columns: Vec<u32>,
    swaps: Vec<usize>,
    /// All zero between uses.
    cells: Box<Cells<C>>,
    bytes: Vec<u8>,
    block: Block,
    /// Histograms to be used again.
    pool: Vec<Vec<Cells<C>>>,
}

impl<C: Criterion> Scratch<C> {
    fn new(columns: &[u32]) -> Self {
        Self {
            columns: columns.to_vec(),
            swaps: Vec::new(),
            cells: Box::new([C::Cell::ZERO; 256]),
            bytes: Vec::new(),
            block: Block::default(),
            pool: Vec::new(),
        }
    }
}

/// Grows trees one after another with the same buffers.
pub struct Grower<'a, C: Criterion> {
    bins: &'a Bins,
    criterion: C,
    growth: Growth,
    items: Vec<C::Item>,
    spare_rows: Vec<u32>,
    spare_items: Vec<C::Item>,
    scratch: [Scratch<C>; SIDE_BY_SIDE],
}

impl<'a, C: Criterion> Grower<'a, C> {
    /// An engine for trees on these columns.
    pub fn new(bins: &'a Bins, criterion: C, growth: Growth) -> Self {
        Self {
            bins,
            criterion,
            growth,
            items: Vec::new(),
            spare_rows: Vec::new(),
            spare_items: Vec::new(),
            scratch: std::array::from_fn(|_| Scratch::new(&[])),
        }
    }

    /// Sets the limits in the units of the next tree's items.
    pub fn set_limits(&mut self, limits: Limits) {
        self.growth.limits = limits;
    }

    /// The items of the next tree: to be filled with one for each row of [`Grower::grow`].
    pub fn items(&mut self) -> &mut Vec<C::Item> {
        &mut self.items
    }

    /// Grows a tree on `rows` (not empty) with their [`Grower::items`], and on some of the columns.
    pub fn grow(&mut self, mut rows: Vec<u32>, columns: &[u32], seed: u64) -> Tree {
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
        let engine = Engine { bins: self.bins, criterion: &self.criterion, growth: self.growth };
        let mut tree = Tree { nodes: vec![Node::leaf(0, n)], ..Tree::default() };
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

/// What does not change while a tree grows.
struct Engine<'a, C> {
    bins: &'a Bins,
    criterion: &'a C,
    growth: Growth,
}

impl<C: Criterion> Engine<'_, C> {
    /// The root, if it can be split.
    fn root(&self, span: &Span<C::Item>, seed: u64, scratch: &mut Scratch<C>) -> Option<Open<C>> {
        if !self.may_split(span.items, 0) {
            return None;
        }
        let (rows, items) = (&*span.rows, &*span.items);
        let total = self.total(items);
        let mut histogram = None;
        let best = if self.uses_histograms(rows.len(), &scratch.columns) {
            let mut cells = self.take_histogram(&mut scratch.pool);
            let best = self.search_all(rows, items, &mut cells, &total, None, &scratch.columns).0;
            histogram = Some(cells);
            best
        } else {
            self.search(rows, items, &total, seed, scratch)
        };
        let end = rows.len();
        let open = Open { node: 0, depth: 0, seed, begin: 0, end, total, best, histogram, split: None };
        best.found().then_some(open)
    }

    /// Splits all that can be split: large nodes one by one, then the subtrees below them beside each other.
    fn grow_all(&self, root: Open<C>, span: &mut Span<C::Item>, tree: &mut Tree, scratch: &mut Scratch<C>) {
        let n_rows = span.rows.len();
        let shared = if self.growth.parallel { MIN_SHARED_ROWS.max(n_rows / SUBTREES) } else { 0 };
        let mut stack = vec![root];
        let mut subtrees = Vec::new();
        while let Some(mut open) = stack.pop() {
            if open.end - open.begin < shared {
                subtrees.push(open);
                continue;
            }
            let own = span.part(open.begin, open.end);
            let split = self.split(&mut open, own, false, scratch);
            tree.split(&open, &split);
            stack.extend(open_children(&open, split, tree, &mut scratch.pool).into_iter().rev().flatten());
        }
        let tasks = with_spans(subtrees, span);
        let columns = &scratch.columns;
        let alone = Engine { growth: Growth { parallel: false, ..self.growth }, ..*self };
        let grow = |(open, mut span): (Open<C>, Span<C::Item>)| {
            let (leaf, begin) = (open.node, open.begin);
            let mut subtree = Tree { nodes: vec![Node::leaf(0, open.end - begin)], ..Tree::default() };
            let root = Open { node: 0, begin: 0, end: open.end - begin, ..open };
            alone.grow_all(root, &mut span, &mut subtree, &mut Scratch::new(columns));
            (leaf, begin, subtree)
        };
        let grown: Vec<_> = tasks.into_par_iter().map(grow).collect();
        for (leaf, begin, subtree) in &grown {
            tree.graft(*leaf, *begin, subtree);
        }
    }

    /// Splits the leaf that gains most, again and again.
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
                tree.split(&open, &split);
                frontier
                    .extend(open_children(&open, split, tree, &mut scratch[0].pool).into_iter().flatten());
            }
        }
        let histograms = frontier.into_iter().filter_map(|open| open.histogram);
        scratch[0].pool.extend(histograms);
    }

    /// Prepares the splits of the best leaves side by side, when `left` more can be made: nearly always those
    /// beside the first are made later.
    fn prepare(
        &self,
        frontier: &mut BinaryHeap<Open<C>>,
        span: &mut Span<C::Item>,
        left: usize,
        scratch: &mut [Scratch<C>],
    ) {
        // By size alone, not by the number of threads, which must not show in the order of rows.
        let n_columns = scratch[0].columns.len();
        let is_large = |open: &Open<C>| self.is_large((open.end - open.begin) * n_columns);
        let (mut others, mut chosen) = (Vec::new(), Vec::new());
        while chosen.len() < scratch.len().min(left)
            && others.len() < scratch.len()
            && let Some(open) = frontier.pop()
        {
            // The best is split in any case, others are where that is worth a second thread.
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
        let mut histograms = std::mem::take(&mut scratch[0].pool);
        for (scratch, open) in scratch.iter_mut().zip(&chosen) {
            scratch.pool.extend(open.histogram.is_some().then(|| self.take_histogram(&mut histograms)));
        }
        let tasks = with_spans(chosen, span).into_par_iter().zip(&mut *scratch).with_max_len(1);
        let prepared = tasks.map(|((mut open, own), scratch)| {
            open.split = Some(self.split(&mut open, own, left == 1, scratch));
            open
        });
        let prepared: Vec<Open<C>> = prepared.collect();
        frontier.extend(prepared);
        for scratch in scratch.iter_mut() {
            histograms.append(&mut scratch.pool);
        }
        scratch[0].pool = histograms;
    }

    /// Whether a node of these items at this depth may be split, as far as can be said before the search.
    fn may_split(&self, items: &[C::Item], depth: usize) -> bool {
        depth < self.growth.max_depth
            && items.len() >= self.growth.min_samples_split.max(2)
            && items.len() as i64 >= 2 * self.growth.limits.min_samples_leaf
            && !items.iter().all(|&item| self.criterion.agree(item, items[0]))
    }

    /// Whether sums of so many numbers are worth a second thread.
    fn is_large(&self, n_updates: usize) -> bool {
        self.growth.parallel && n_updates >= MIN_PARALLEL_UPDATES
    }

    fn total(&self, items: &[C::Item]) -> C::Cell {
        let mut total = C::Cell::ZERO;
        items.iter().for_each(|&item| self.criterion.add(&mut total, item));
        total
    }

    fn uses_histograms(&self, n: usize, columns: &[u32]) -> bool {
        n >= MIN_HISTOGRAM_ROWS
            && !self.bins.groups.is_empty()
            && !self.growth.random_cuts
            && self.growth.max_features >= columns.len()
    }

    fn take_histogram(&self, pool: &mut Vec<Vec<Cells<C>>>) -> Vec<Cells<C>> {
        pool.pop().unwrap_or_else(|| vec![[C::Cell::ZERO; 256]; self.bins.groups.len() * GROUP])
    }

    /// Parts the rows of a leaf and searches its children, unless these are the `last` leaves.
    fn split(
        &self,
        open: &mut Open<C>,
        mut span: Span<C::Item>,
        last: bool,
        scratch: &mut Scratch<C>,
    ) -> Split<C> {
        let n = span.rows.len();
        let n_left = self.partition(&open.best, &mut span);
        let (left, right) = span.split_at(n_left);
        let depth = open.depth + 1;
        let may = [&left, &right].map(|side| !last && self.may_split(side.items, depth));
        let large = usize::from(n_left <= n - n_left);
        let sides = [(&*left.rows, &*left.items), (&*right.rows, &*right.items)];
        let total_of_small = self.total(sides[1 - large].1);
        let mut totals = [total_of_small; 2];
        totals[large] = open.total.minus(&total_of_small);
        let mut children = totals.map(|total| Child {
            total,
            best: Best::none(self.growth.limits.min_gain),
            histogram: None,
        });
        let sums_up = may != [false, false] && self.uses_histograms(sides[large].0.len(), &scratch.columns);
        let mut histogram = open.histogram.take();
        if let Some(mut of_large) = histogram.take_if(|_| sums_up) {
            let mut of_small = self.take_histogram(&mut scratch.pool);
            let (rows, items) = sides[1 - large];
            let with = Some((&mut of_large[..], &totals[large]));
            let columns = &scratch.columns;
            let found = self.search_all(rows, items, &mut of_small, &totals[1 - large], with, columns);
            children[1 - large].best = found.0;
            children[large].best = found.1;
            children[1 - large].histogram = Some(of_small);
            children[large].histogram = Some(of_large);
            for (child, may) in children.iter_mut().zip(may) {
                if !may {
                    child.best = Best::none(self.growth.limits.min_gain);
                }
                if !child.best.found() {
                    scratch.pool.extend(child.histogram.take());
                }
            }
        } else {
            scratch.pool.extend(histogram);
            for (i, child) in children.iter_mut().enumerate().filter(|(i, _)| may[*i]) {
                let (rows, items) = sides[i];
                child.best = self.search(rows, items, &child.total, seed_of_child(open.seed, i), scratch);
            }
        }
        // A gap where the node saw none goes with most rows, as in scikit-learn.
        let missing_left = open.best.missing_left.unwrap_or(n_left >= n - n_left);
        Split { middle: open.begin + n_left, missing_left, children }
    }

    /// Puts the rows that go left first, both sides in their order; returns how many those are.
    fn partition(&self, best: &Best, span: &mut Span<C::Item>) -> usize {
        let missing_left = best.missing_left == Some(true);
        match best.subset {
            None => self.partition_by(best.column, span, |byte| {
                (byte <= best.cut) & (byte != MISSING) | (byte == MISSING) & missing_left
            }),
            Some(mut subset) => {
                if missing_left {
                    insert(&mut subset, MISSING);
                }
                self.partition_by(best.column, span, |byte| holds(&subset, byte))
            }
        }
    }

    #[inline(always)]
    fn partition_by(&self, column: u32, span: &mut Span<C::Item>, goes_left: impl Fn(u8) -> bool) -> usize {
        let bytes = &self.bins.columns[column as usize].bytes;
        let n = span.rows.len();
        let (rows, items) = (&mut span.rows[..n], &mut span.items[..n]);
        let (spare_rows, spare_items) = (&mut span.spare_rows[..n], &mut span.spare_items[..n]);
        let (mut n_left, mut n_right) = (0, 0);
        for i in 0..n {
            let (row, item) = (rows[i], items[i]);
            let left = usize::from(goes_left(bytes[row as usize]));
            // Written to both, kept by one: no branch to mispredict.
            rows[n_left] = row;
            items[n_left] = item;
            spare_rows[n_right] = row;
            spare_items[n_right] = item;
            n_left += left;
            n_right += 1 - left;
        }
        rows[n_left..].copy_from_slice(&spare_rows[..n_right]);
        items[n_left..].copy_from_slice(&spare_items[..n_right]);
        n_left
    }

    /// Sums up the histogram of the rows in `cells`, takes it off that of `large`, and scans both; the best of
    /// each in the order of the columns.
    fn search_all(
        &self,
        rows: &[u32],
        items: &[C::Item],
        cells: &mut [Cells<C>],
        total: &C::Cell,
        large: Option<(&mut [Cells<C>], &C::Cell)>,
        columns: &[u32],
    ) -> (Best, Best) {
        let is_large = self.is_large(rows.len() * columns.len());
        let shares = if is_large { rayon::current_num_threads() } else { 1 };
        let mut chosen = vec![columns.len() == self.bins.columns.len(); self.bins.columns.len()];
        columns.iter().for_each(|&column| chosen[column as usize] = true);
        let (large, large_total) = match large {
            Some((cells, total)) => (cells, Some(total)),
            None => (&mut [][..], None),
        };
        let node = Sums { engine: self, rows, items, chosen: &chosen, total, large_total };
        node.search(0, cells, large, shares)
    }

    /// Searches the columns of a node one by one, as many as are to be looked at, drawn without replacement;
    /// more where those are constant (as in scikit-learn).
    fn search(
        &self,
        rows: &[u32],
        items: &[C::Item],
        total: &C::Cell,
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
                Some(random) if self.growth.random_cuts => {
                    self.search_random(column, rows, items, total, random, &mut scratch.bytes, &mut best)
                }
                _ => self.search_column(column, rows, items, total, &mut scratch.cells, &mut best),
            };
        }
        if is_block {
            self.consider_cuts(&scratch.block, items, total, &mut best);
            scratch.block.cuts.clear();
        }
        // The order of the columns is that of the tree again, whichever node comes next.
        while let Some(j) = scratch.swaps.pop() {
            scratch.columns.swap(scratch.swaps.len(), j);
        }
        best
    }

    /// Scans one column; whether it varies.
    fn search_column(
        &self,
        column: u32,
        rows: &[u32],
        items: &[C::Item],
        total: &C::Cell,
        cells: &mut Cells<C>,
        best: &mut Best,
    ) -> bool {
        let binned = &self.bins.columns[column as usize];
        let bytes = &binned.bytes;
        let mut touched = [u64::MAX; 4];
        if rows.len() < MAX_MARKED_ROWS {
            touched = [0; 4];
            for (&row, &item) in rows.iter().zip(items) {
                let byte = bytes[row as usize];
                insert(&mut touched, byte);
                self.criterion.add(&mut cells[usize::from(byte)], item);
            }
        } else {
            for (&row, &item) in rows.iter().zip(items) {
                self.criterion.add(&mut cells[usize::from(bytes[row as usize])], item);
            }
        }
        let first = &cells[usize::from(bytes[rows[0] as usize])];
        let varies = self.criterion.count(first) < rows.len() as i64;
        if varies {
            let n_bins = first_bins(binned.n_bins);
            let within = std::array::from_fn(|word| touched[word] & n_bins[word]);
            let limits = &self.growth.limits;
            scan(self.criterion, limits, (column, &binned.kind), cells, within, total, best);
        }
        if rows.len() < MAX_MARKED_ROWS {
            bins_of(touched).for_each(|bin| cells[usize::from(bin)] = C::Cell::ZERO);
        } else {
            cells.fill(C::Cell::ZERO);
        }
        varies
    }

    /// Tries one random cut, or random subset, of one column; whether it varies.
    #[expect(clippy::too_many_arguments)]
    fn search_random(
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
                    // Values on one side, gaps on the other.
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

    /// Takes a split instead of the best if it gains more.
    #[inline(always)]
    fn consider(&self, left: &C::Cell, total: &C::Cell, split: Best, best: &mut Best) {
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

    /// Takes the best of the cuts of a block, if it is better.
    fn consider_cuts(&self, block: &Block, items: &[C::Item], total: &C::Cell, best: &mut Best) {
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
/// thresholds that part them, not between bins.
#[inline(always)]
fn draw_cut(binned: &Column, thresholds: &[f64], (low, high): (u8, u8), random: &mut Pcg64) -> u8 {
    if high == low + 1 {
        return low;
    }
    let (from, to) = (thresholds[usize::from(low)], thresholds[usize::from(high) - 1]);
    let value = from + (to - from) * unit_interval(random);
    binned.n_below(thresholds, value).clamp(usize::from(low), usize::from(high) - 1) as u8
}

/// All bytes of the few rows of a small node, row by row, and the cuts that are tried.
#[derive(Default)]
struct Block {
    width: usize,
    bytes: Vec<u8>,
    least: Vec<u8>,
    most: Vec<u8>,
    /// Column and last bin that goes left.
    cuts: Vec<(u32, u8)>,
}

impl Block {
    fn fill(&mut self, groups: &[Vec<[u8; GROUP]>], rows: &[u32]) {
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

    /// The least and the largest bin of a column without missing values.
    fn range(&self, column: u32) -> Option<(u8, u8)> {
        let (least, most) = (self.least[column as usize], self.most[column as usize]);
        (most != MISSING).then_some((least, most))
    }
}

/// Leaves in the order of their rows, each with its part of a span.
fn with_spans<'a, C: Criterion>(
    mut leaves: Vec<Open<C>>,
    span: &'a mut Span<C::Item>,
) -> Vec<(Open<C>, Span<'a, C::Item>)> {
    leaves.sort_unstable_by_key(|open| open.begin);
    let n_rows = span.rows.len();
    let (mut rest, mut rest_begin) = (span.part(0, n_rows), 0);
    let mut out = Vec::with_capacity(leaves.len());
    for open in leaves {
        let (_, tail) = rest.split_at(open.begin - rest_begin);
        let (own, tail) = tail.split_at(open.end - open.begin);
        (rest, rest_begin) = (tail, open.end);
        out.push((open, own));
    }
    out
}

/// The children that can be split, and back to the pool what they leave.
fn open_children<C: Criterion>(
    parent: &Open<C>,
    split: Split<C>,
    tree: &Tree,
    pool: &mut Vec<Vec<Cells<C>>>,
) -> [Option<Open<C>>; 2] {
    let left = tree.nodes[parent.node as usize].left;
    let [a, b] = split.children;
    let mut open = |i: usize, begin, end, child: Child<C>| {
        let Child { total, best, histogram } = child;
        if !best.found() {
            pool.extend(histogram);
            return None;
        }
        let (node, depth, seed) = (left + i as u32, parent.depth + 1, seed_of_child(parent.seed, i));
        Some(Open { node, depth, seed, begin, end, total, best, histogram, split: None })
    };
    [open(0, parent.begin, split.middle, a), open(1, split.middle, parent.end, b)]
}

/// The rows of a node to be summed up and scanned, and the total of its larger sibling.
struct Sums<'a, C: Criterion> {
    engine: &'a Engine<'a, C>,
    rows: &'a [u32],
    items: &'a [C::Item],
    chosen: &'a [bool],
    total: &'a C::Cell,
    large_total: Option<&'a C::Cell>,
}

impl<C: Criterion> Sums<'_, C> {
    /// From a group of columns on, in so many shares.
    fn search(
        &self,
        group: usize,
        cells: &mut [Cells<C>],
        large: &mut [Cells<C>],
        shares: usize,
    ) -> (Best, Best) {
        let better = |a: Best, b: Best| if b.gain > a.gain { b } else { a };
        let n_groups = cells.len() / GROUP;
        if shares > 1 && n_groups > 1 {
            let half = n_groups / 2;
            let (cells, other_cells) = cells.split_at_mut(half * GROUP);
            let (large, other_large) = large.split_at_mut((half * GROUP).min(large.len()));
            let (a, b) = rayon::join(
                || self.search(group, cells, large, shares / 2),
                || self.search(group + half, other_cells, other_large, shares - shares / 2),
            );
            return (better(a.0, b.0), better(a.1, b.1));
        }
        let none = Best::none(self.engine.growth.limits.min_gain);
        let mut best = (none, none);
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
        let Engine { bins, criterion, growth } = *self.engine;
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
            let id = ((first + k) as u32, &column.kind);
            let n_bins = first_bins(column.n_bins);
            scan(criterion, &growth.limits, id, cells, n_bins, self.total, &mut best.0);
            if let (Some(large), Some(total)) = (large.get(k), self.large_total) {
                scan(criterion, &growth.limits, id, large, n_bins, total, &mut best.1);
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

/// What the random choices of a child start from (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
/// number generators": the finalizer of SplitMix64).
fn seed_of_child(seed: u64, child: usize) -> u64 {
    let mut z = seed.wrapping_add((child as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A whole number below `n` (Lemire's multiply-shift).
pub fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// A number from 0 to 1, 1 excluded.
pub fn unit_interval(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
