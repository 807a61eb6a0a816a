//! The engine: grows one tree on binned columns.
//!
//! Rows lie in one array that is partitioned in place, so that a node is a range of it. A large node sums up
//! a histogram of all columns, its smaller child too, and the larger child is the difference; a node that
//! looks at few columns or has few rows sums up one column at a time in cells that stay in the first-level
//! cache and visits only the bins its rows touch. Growth is depth-first, or best-first where the number of
//! leaves is limited (Shi 2007, "Best-first decision tree learning").
//!
//! Costs per row of a growing tree 24 bytes, per open node with a histogram 4 KiB per column and number.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::bins::{Bins, GROUP, Kind, MISSING};
use super::split::{Best, BinSet, Cells, Criterion, Item, Limits, bins_of, first_bins, holds, insert, scan};

/// Nodes of fewer rows sum up one column at a time.
const MIN_HISTOGRAM_ROWS: usize = 512;

/// Nodes of fewer rows mark the bins they touch.
const MAX_MARKED_ROWS: usize = 192;

/// Sums of fewer cells are not worth a second thread.
const MIN_PARALLEL_UPDATES: usize = 1 << 14;

/// How a tree grows.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Deepest leaf; the root has depth 0.
    pub max_depth: usize,
    /// Most leaves; `usize::MAX` grows depth-first.
    pub max_leaf_nodes: usize,
    /// Fewest rows of a node that is split.
    pub min_samples_split: usize,
    /// Columns looked at per split.
    pub max_features: usize,
    /// One random cut per column instead of the best (Geurts, Ernst and Wehenkel 2006, "Extremely randomized
    /// trees").
    pub random_cuts: bool,
    /// Whether to share out columns over all cores.
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
}

/// A leaf that could be split.
struct Candidate<const W: usize> {
    /// Best-first: what the split gains; depth-first: the later node first.
    priority: f64,
    node: u32,
    depth: usize,
    total: [i64; W],
    best: Best,
    histogram: Option<Vec<Cells<W>>>,
}

impl<const W: usize> Ord for Candidate<W> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.total_cmp(&other.priority).then(other.node.cmp(&self.node))
    }
}

impl<const W: usize> PartialOrd for Candidate<W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const W: usize> PartialEq for Candidate<W> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<const W: usize> Eq for Candidate<W> {}

/// Grows trees one after another with the same buffers.
pub struct Grower<'a, const W: usize, C> {
    bins: &'a Bins,
    criterion: C,
    growth: Growth,
    /// Columns of the tree; the first ones are those drawn for the node.
    columns: Vec<u32>,
    items: Vec<Item>,
    spare_rows: Vec<u32>,
    spare_items: Vec<Item>,
    cells: Vec<[i64; W]>,
    bytes: Vec<u8>,
    pool: Vec<Vec<Cells<W>>>,
}

impl<'a, const W: usize, C: Criterion<W>> Grower<'a, W, C> {
    /// An engine for trees on these columns.
    pub fn new(bins: &'a Bins, criterion: C, growth: Growth) -> Self {
        Self {
            bins,
            criterion,
            growth,
            columns: Vec::new(),
            items: Vec::new(),
            spare_rows: Vec::new(),
            spare_items: Vec::new(),
            cells: vec![[0; W]; 256],
            bytes: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// Sets the limits in the units of the next tree's items.
    pub fn set_limits(&mut self, limits: Limits) {
        self.growth.limits = limits;
    }

    /// Grows a tree on `rows` (not empty), one item each, and some of the columns.
    pub fn grow(&mut self, rows: Vec<u32>, items: Vec<Item>, columns: &[u32], random: &mut Pcg64) -> Tree {
        self.columns.clear();
        self.columns.extend(columns);
        self.items = items;
        self.spare_rows.resize(rows.len().max(self.spare_rows.len()), 0);
        self.spare_items.resize(rows.len().max(self.spare_items.len()), [0; 2]);
        let mut tree = Tree { nodes: Vec::new(), subsets: Vec::new(), rows };
        let n = tree.rows.len();
        tree.nodes.push(leaf(0, n));
        let mut frontier = BinaryHeap::new();
        if self.may_split(0, n, 0) {
            let total = self.total(0, n);
            let mut histogram = None;
            let best = if self.uses_histograms(n) {
                let mut cells = self.take_histogram();
                let best = self.search_all(&tree.rows, &mut cells, &total, None).0;
                histogram = Some(cells);
                best
            } else {
                self.search(&tree.rows, &self.items_copy(0, n), &total, random)
            };
            self.push(&mut frontier, Candidate { priority: 0.0, node: 0, depth: 0, total, best, histogram });
        }
        let mut n_leaves = 1;
        while let Some(candidate) = frontier.pop() {
            if n_leaves >= self.growth.max_leaf_nodes {
                break;
            }
            n_leaves += 1;
            self.split(candidate, n_leaves, &mut tree, &mut frontier, random);
        }
        for candidate in frontier {
            self.pool.extend(candidate.histogram);
        }
        tree
    }

    fn items_copy(&self, begin: usize, end: usize) -> Vec<Item> {
        self.items[begin..end].to_vec()
    }

    fn push(&mut self, frontier: &mut BinaryHeap<Candidate<W>>, mut candidate: Candidate<W>) {
        if !candidate.best.found() {
            self.pool.extend(candidate.histogram);
            return;
        }
        candidate.priority = match self.growth.max_leaf_nodes {
            usize::MAX => f64::from(candidate.node),
            _ => candidate.best.gain,
        };
        frontier.push(candidate);
    }

    /// Whether rows `begin..end` at this depth may be split, as far as can be said before the search.
    fn may_split(&self, begin: usize, end: usize, depth: usize) -> bool {
        let n = end - begin;
        let items = &self.items[begin..end];
        depth < self.growth.max_depth
            && n >= self.growth.min_samples_split.max(2)
            && n as i64 >= 2 * self.growth.limits.min_samples_leaf
            && !items.iter().all(|&item| self.criterion.agree(item, items[0]))
    }

    fn total(&self, begin: usize, end: usize) -> [i64; W] {
        let unit = 1 << self.growth.limits.shift;
        let mut total = [0; W];
        self.items[begin..end].iter().for_each(|&item| self.criterion.add(&mut total, item, unit));
        total
    }

    fn uses_histograms(&self, n: usize) -> bool {
        n >= MIN_HISTOGRAM_ROWS
            && !self.bins.groups.is_empty()
            && !self.growth.random_cuts
            && self.growth.max_features >= self.columns.len()
    }

    fn take_histogram(&mut self) -> Vec<Cells<W>> {
        self.pool.pop().unwrap_or_else(|| vec![[[0; W]; 256]; self.bins.groups.len() * GROUP])
    }

    /// Parts the rows of a candidate and pushes its children.
    fn split(
        &mut self,
        candidate: Candidate<W>,
        n_leaves: usize,
        tree: &mut Tree,
        frontier: &mut BinaryHeap<Candidate<W>>,
        random: &mut Pcg64,
    ) {
        let Candidate { node, depth, total, best, histogram, .. } = candidate;
        let (begin, end) = (tree.nodes[node as usize].begin as usize, tree.nodes[node as usize].end as usize);
        let middle = begin + self.partition(&best, &mut tree.rows[begin..end], begin);
        let left = tree.nodes.len() as u32;
        tree.nodes.push(leaf(begin, middle));
        tree.nodes.push(leaf(middle, end));
        // A gap where the node saw none goes with most rows, as in scikit-learn.
        let missing_left = best.missing_left.unwrap_or(middle - begin >= end - middle);
        let subset = best.subset.map(|mut subset| {
            if missing_left {
                subset.iter_mut().zip(best.present).for_each(|(word, present)| *word |= !present);
            }
            tree.subsets.push(subset);
            tree.subsets.len() as u32 - 1
        });
        tree.nodes[node as usize] = Node {
            left,
            column: best.column,
            cut: best.cut,
            missing_left,
            subset,
            begin: begin as u32,
            end: end as u32,
            gain: best.gain,
        };
        let children = [(left, begin, middle), (left + 1, middle, end)];
        let full = n_leaves >= self.growth.max_leaf_nodes;
        let [l, r] = children.map(|(_, begin, end)| !full && self.may_split(begin, end, depth + 1));
        let larger = if middle - begin > end - middle { 0 } else { 1 };
        let (_, large_begin, large_end) = children[larger];
        let (_, small_begin, small_end) = children[1 - larger];
        let small_total = self.total(small_begin, small_end);
        let large_total = std::array::from_fn(|i| total[i] - small_total[i]);
        let candidate = |child: usize, total, best, histogram| Candidate {
            priority: 0.0,
            node: children[child].0,
            depth: depth + 1,
            total,
            best,
            histogram,
        };
        let Some(mut large) = histogram.filter(|_| self.uses_histograms(large_end - large_begin) && (l || r))
        else {
            for (child, may, total) in
                [(1 - larger, [l, r][1 - larger], small_total), (larger, [l, r][larger], large_total)]
            {
                if may {
                    let (_, begin, end) = children[child];
                    let items = std::mem::take(&mut self.items);
                    let best = self.search(&tree.rows[begin..end], &items[begin..end], &total, random);
                    self.items = items;
                    self.push(frontier, candidate(child, total, best, None));
                }
            }
            return;
        };
        let mut small = self.take_histogram();
        let rows = &tree.rows[small_begin..small_end];
        let (best_small, best_large) =
            self.search_pair(rows, small_begin, &mut small, &small_total, &mut large, &large_total);
        for (child, may, total, best, histogram) in [
            (1 - larger, [l, r][1 - larger], small_total, best_small, small),
            (larger, [l, r][larger], large_total, best_large, large),
        ] {
            if may {
                self.push(frontier, candidate(child, total, best, Some(histogram)));
            } else {
                self.pool.push(histogram);
            }
        }
    }

    /// Puts the rows that go left first, both sides in their order; returns how many those are.
    fn partition(&mut self, best: &Best, rows: &mut [u32], begin: usize) -> usize {
        let mut goes_left = [0_u8; 256];
        for (bin, goes_left) in (0..=MISSING).zip(&mut goes_left) {
            *goes_left = u8::from(match (&best.subset, bin) {
                (_, MISSING) => best.missing_left == Some(true),
                (Some(subset), _) => holds(subset, bin),
                (None, _) => bin <= best.cut,
            });
        }
        let bytes = &self.bins.columns[best.column as usize].bytes;
        let items = &mut self.items[begin..begin + rows.len()];
        let (spare_rows, spare_items) =
            (&mut self.spare_rows[..rows.len()], &mut self.spare_items[..rows.len()]);
        let (mut n_left, mut n_right) = (0, 0);
        for i in 0..rows.len() {
            let (row, item) = (rows[i], items[i]);
            let left = usize::from(goes_left[usize::from(bytes[row as usize])]);
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

    /// Sums up the histogram of a node and scans it.
    fn search_all(
        &self,
        rows: &[u32],
        cells: &mut [Cells<W>],
        total: &[i64; W],
        large: Option<(&mut [Cells<W>], &[i64; W])>,
    ) -> (Best, Best) {
        self.search_groups(rows, 0, cells, total, large)
    }

    fn search_pair(
        &self,
        rows: &[u32],
        begin: usize,
        small: &mut [Cells<W>],
        small_total: &[i64; W],
        large: &mut [Cells<W>],
        large_total: &[i64; W],
    ) -> (Best, Best) {
        self.search_groups(rows, begin, small, small_total, Some((large, large_total)))
    }

    /// Sums up the histogram of the rows in `cells`, takes it off that of `large`, and scans both, group of
    /// columns by group; the best of each in the order of the columns.
    fn search_groups(
        &self,
        rows: &[u32],
        begin: usize,
        cells: &mut [Cells<W>],
        total: &[i64; W],
        large: Option<(&mut [Cells<W>], &[i64; W])>,
    ) -> (Best, Best) {
        let items = &self.items[begin..begin + rows.len()];
        let none = Best::none(self.growth.limits.min_gain);
        let mut chosen = vec![false; self.bins.columns.len()];
        self.columns.iter().for_each(|&column| chosen[column as usize] = true);
        let (large, large_total) = match large {
            Some((cells, total)) => (cells, Some(total)),
            None => (&mut [][..], None),
        };
        let n_groups = self.bins.groups.len();
        let mut large: Vec<&mut [Cells<W>]> = large.chunks_mut(GROUP).collect();
        large.resize_with(n_groups, Default::default);
        let work = |((group, cells), large): ((usize, &mut [Cells<W>]), &mut [Cells<W>])| {
            let first = group * GROUP;
            let mut best = (none, none);
            if !chosen[first..].iter().take(GROUP).any(|&chosen| chosen) {
                return best;
            }
            self.sum_up(&self.bins.groups[group], rows, items, cells);
            for (large, small) in large.as_flattened_mut().iter_mut().zip(cells.as_flattened()) {
                large.iter_mut().zip(small).for_each(|(large, small)| *large -= small);
            }
            for (k, cells) in cells.iter().enumerate() {
                if !chosen.get(first + k).is_some_and(|&chosen| chosen) {
                    continue;
                }
                let column = &self.bins.columns[first + k];
                let id = ((first + k) as u32, &column.kind);
                let bins = first_bins(column.n_bins);
                let (criterion, limits) = (&self.criterion, &self.growth.limits);
                scan(criterion, limits, id, cells, bins, total, &mut best.0);
                if let (Some(large), Some(total)) = (large.get(k), large_total) {
                    scan(criterion, limits, id, large, bins, total, &mut best.1);
                }
            }
            best
        };
        let found: Vec<(Best, Best)> =
            if self.growth.parallel && rows.len() * n_groups * GROUP >= MIN_PARALLEL_UPDATES {
                cells.par_chunks_mut(GROUP).enumerate().zip(large).map(work).collect()
            } else {
                cells.chunks_mut(GROUP).enumerate().zip(large).map(work).collect()
            };
        let better = |a: Best, b: Best| if b.gain > a.gain { b } else { a };
        found.into_iter().fold((none, none), |a, b| (better(a.0, b.0), better(a.1, b.1)))
    }

    fn sum_up(&self, group: &[[u8; GROUP]], rows: &[u32], items: &[Item], cells: &mut [Cells<W>]) {
        let unit = 1 << self.growth.limits.shift;
        let Some(cells) = cells.first_chunk_mut::<GROUP>() else {
            return;
        };
        cells.iter_mut().for_each(|cells| cells.fill([0; W]));
        for (&row, &item) in rows.iter().zip(items) {
            let bytes = group[row as usize];
            for (cells, byte) in cells.iter_mut().zip(bytes) {
                self.criterion.add(&mut cells[usize::from(byte)], item, unit);
            }
        }
    }

    /// Searches the columns of a node one by one, as many as are to be looked at, drawn without replacement;
    /// more where those are constant (as in scikit-learn).
    fn search(&mut self, rows: &[u32], items: &[Item], total: &[i64; W], random: &mut Pcg64) -> Best {
        let mut best = Best::none(self.growth.limits.min_gain);
        let n_columns = self.columns.len();
        let draw = self.growth.max_features < n_columns;
        let mut varied = false;
        for i in 0..n_columns {
            if i >= self.growth.max_features && varied {
                break;
            }
            if draw {
                self.columns.swap(i, i + below(n_columns - i, random));
            }
            let column = self.columns[i];
            varied |= if self.growth.random_cuts {
                self.search_random(column, rows, items, total, random, &mut best)
            } else {
                self.search_column(column, rows, items, total, &mut best)
            };
        }
        best
    }

    /// Scans one column; whether it varies.
    fn search_column(
        &mut self,
        column: u32,
        rows: &[u32],
        items: &[Item],
        total: &[i64; W],
        best: &mut Best,
    ) -> bool {
        let bins = self.bins;
        let binned = &bins.columns[column as usize];
        let limits = &self.growth.limits;
        let unit = 1 << limits.shift;
        let Some(cells) = self.cells.first_chunk_mut::<256>() else {
            return false;
        };
        let n_bins = first_bins(binned.n_bins);
        let mut touched = [u64::MAX; 4];
        let first = usize::from(binned.bytes[rows[0] as usize]);
        if rows.len() < MAX_MARKED_ROWS {
            touched = [0; 4];
            for (&row, &item) in rows.iter().zip(items) {
                let byte = binned.bytes[row as usize];
                insert(&mut touched, byte);
                self.criterion.add(&mut cells[usize::from(byte)], item, unit);
            }
        } else {
            for (&row, &item) in rows.iter().zip(items) {
                self.criterion.add(&mut cells[usize::from(binned.bytes[row as usize])], item, unit);
            }
        }
        let varies = limits.count(&cells[first]) < rows.len() as i64;
        if varies {
            let within = std::array::from_fn(|word| touched[word] & n_bins[word]);
            scan(&self.criterion, limits, (column, &binned.kind), cells, within, total, best);
        }
        if rows.len() < MAX_MARKED_ROWS {
            bins_of(touched).for_each(|bin| cells[usize::from(bin)] = [0; W]);
        } else {
            cells.fill([0; W]);
        }
        varies
    }

    /// Tries one random cut, or random subset, of one column; whether it varies.
    fn search_random(
        &mut self,
        column: u32,
        rows: &[u32],
        items: &[Item],
        total: &[i64; W],
        random: &mut Pcg64,
        best: &mut Best,
    ) -> bool {
        let binned = &self.bins.columns[column as usize];
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend(rows.iter().map(|&row| binned.bytes[row as usize]));
        // Missing values are above all others, and below them when one is added.
        let least = bytes.iter().fold(MISSING, |least, &byte| least.min(byte));
        let most = bytes.iter().fold(0, |most, &byte| most.max(byte.wrapping_add(1)));
        let has_missing = bytes.iter().fold(false, |any, &byte| any | (byte == MISSING));
        if least == MISSING || (most == least + 1 && !has_missing) {
            self.bytes = bytes;
            return false;
        }
        let unit = 1 << self.growth.limits.shift;
        let (mut left, mut missing) = ([0; W], [0; W]);
        let (mut cut, mut subset, mut present) = (least, [0; 4], [0; 4]);
        match &binned.kind {
            Kind::Number { thresholds } => {
                let (low, high) = (usize::from(least), usize::from(most) - 1);
                if high > low + 1 {
                    // Uniform between the outermost thresholds that part the rows, not between bins.
                    let (from, to) = (thresholds[low], thresholds[high - 1]);
                    let value = from + (to - from) * unit_interval(random);
                    cut =
                        thresholds.partition_point(|&threshold| threshold < value).clamp(low, high - 1) as u8;
                } else if high == low {
                    // Values on one side, gaps on the other.
                    cut = thresholds.len() as u8;
                }
                for (&byte, &item) in bytes.iter().zip(items) {
                    self.criterion.add_if(byte <= cut, &mut left, item, unit);
                }
            }
            Kind::Category { .. } => {
                bytes.iter().filter(|&&byte| byte != MISSING).for_each(|&byte| insert(&mut present, byte));
                subset = present.map(|word| word & random.next_u64());
                for (&byte, &item) in bytes.iter().zip(items) {
                    self.criterion.add_if(holds(&subset, byte), &mut left, item, unit);
                }
            }
        }
        if has_missing {
            for (&byte, &item) in bytes.iter().zip(items) {
                self.criterion.add_if(byte == MISSING, &mut missing, item, unit);
            }
        }
        self.bytes = bytes;
        let limits = &self.growth.limits;
        let (n, h) = (limits.count(total), limits.mass(total));
        let mut consider = |left: &[i64; W], missing_left| {
            let n_left = limits.count(left);
            if n_left < limits.min_samples_leaf || n - n_left < limits.min_samples_leaf {
                return;
            }
            let gain = self.criterion.gain(left, total, limits.mass(left), h, limits.l2);
            if gain > best.gain {
                let is_category = matches!(binned.kind, Kind::Category { .. });
                let subset = is_category.then_some(subset);
                *best = Best { gain, column, cut, subset, present, missing_left };
            }
        };
        if has_missing {
            consider(&left, Some(false));
            let with_missing = std::array::from_fn(|i| left[i] + missing[i]);
            consider(&with_missing, Some(true));
        } else {
            consider(&left, None);
        }
        true
    }
}

fn leaf(begin: usize, end: usize) -> Node {
    Node {
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

/// A whole number below `n` (Lemire's multiply-shift).
pub fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// A number from 0 to 1, 1 excluded.
pub fn unit_interval(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
