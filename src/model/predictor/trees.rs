//! Trees as an inference form: one decision tree, a forest, or boosted trees, in flat arrays.
//!
//! The two children of a node lie side by side behind it, so a node needs one index and a walk ends. A row
//! goes left if its number is at most the threshold, or if its level is in the subset of the split; a missing
//! value, and a level that training did not see, goes to the side that the split stored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Result;

use super::quick_scorer::{Ending, QuickScorer, RowEnding};
use super::ranked_trees::RankedTrees;
use super::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};
use super::{Arrays, Link, quick_scorer, ranked_trees};
use crate::simd::widest;

/// Rows that walk through a tree together, or trees that a row walks through together: while one waits for memory,
/// another steps.
const LANES: usize = 8;

/// Rows whose numbers stay in the first-level cache while small trees pass by.
const BLOCK_BYTES: usize = 16 * 1024;

/// 16 bytes, so that a step of the walk reads one cache line. A leaf leads to itself: nothing is above a NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// Or the index of the subset.
    threshold: f64,
    /// The column, and the two flags above it.
    feature: u32,
    left: u32,
}

const NODE_MISSING_LEFT: u32 = 1 << 31;
const NODE_SUBSET: u32 = 1 << 30;

/// What a node asks of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Question {
    /// The column that it looks at.
    pub(crate) column: u32,
    /// The largest number that goes left; none of a subset of levels.
    pub(crate) threshold: Option<f64>,
    /// Whether a missing value goes left.
    pub(crate) missing_left: bool,
    /// The node of the rows that go left; that of the others is the next.
    pub(crate) left: u32,
}

/// A faster copy of large trees, built once enough rows have been scored to repay it.
#[derive(Debug, Default)]
struct Ranked {
    n_rows: AtomicUsize,
    /// `None` if the trees are better walked: see [`RankedTrees::new`] and [`RankedTrees::pays`].
    trees: OnceLock<Option<RankedTrees>>,
}

/// Trees that are added up.
#[derive(Debug, Clone)]
pub struct Trees {
    parts: Parts,
    nodes: Vec<Node>,
    /// Where the groups of each column begin.
    first_group: Vec<usize>,
    /// `None` if a tree is large.
    quick: Option<QuickScorer>,
    /// Shared by copies.
    ranked: Arc<Ranked>,
    /// The columns of the splits of each tree and what those gain; none if the trees were read from a file.
    gains: Vec<Vec<(u32, f64)>>,
}

impl PartialEq for Trees {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Trees {
    /// Packs the nodes; [`Trees::validate`] checks whether the parts fit each other.
    pub fn new(parts: Parts) -> Self {
        let mut nodes = Vec::with_capacity(parts.feature.len());
        let mut n_subsets = 0;
        let arrays = parts.feature.iter().zip(&parts.threshold).zip(&parts.left).zip(&parts.flags);
        for (i, (((&feature, &threshold), &left), &flags)) in arrays.enumerate() {
            if feature == LEAF {
                nodes.push(Node { threshold: f64::NAN, feature: NODE_MISSING_LEFT, left: i as u32 });
                continue;
            }
            let mut node = Node { threshold, feature, left };
            if flags & MISSING_LEFT != 0 {
                node.feature |= NODE_MISSING_LEFT;
            }
            if flags & SUBSET != 0 {
                node.feature |= NODE_SUBSET;
                node.threshold = f64::from(n_subsets);
                n_subsets += 1;
            }
            nodes.push(node);
        }
        let mut first_group = Vec::with_capacity(parts.levels.len());
        let mut n_groups = 0;
        for &levels in &parts.levels {
            first_group.push(n_groups);
            n_groups += levels as usize;
        }
        let quick = QuickScorer::new(&parts);
        Self { parts, nodes, first_group, quick, ranked: Arc::default(), gains: Vec::new() }
    }

    /// Builds what many rows are scored faster with now, instead of after many rows.
    pub(crate) fn prepare(&self) {
        if self.quick.is_none() {
            self.ranked.trees.get_or_init(|| RankedTrees::new(&self.parts).filter(RankedTrees::pays));
        }
    }

    /// The faster copy of large trees, if it is there. The call whose `n_rows` make it worth building builds it, while others
    /// walk: a node costs about what a row saves in a tree.
    fn ranked(&self, n_rows: usize) -> Option<&RankedTrees> {
        if self.quick.is_some() {
            return None;
        }
        if let Some(trees) = self.ranked.trees.get() {
            return trees.as_ref();
        }
        let n_before = self.ranked.n_rows.fetch_add(n_rows, Ordering::Relaxed);
        let is_worth = |n_rows: usize| n_rows.saturating_mul(self.n_trees()) >= self.nodes.len();
        if !is_worth(n_before) && is_worth(n_before.saturating_add(n_rows)) {
            self.prepare();
        }
        self.ranked.trees.get()?.as_ref()
    }

    /// Adds the gains of each tree, so that [`Trees::truncated`] knows the importances of the first ones.
    pub(crate) fn with_gains(self, gains: Vec<Vec<(u32, f64)>>) -> Self {
        Self { gains, ..self }
    }

    /// The flat arrays.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        self.parts.levels.len()
    }

    /// Numbers per row that come out.
    pub fn n_outputs(&self) -> usize {
        match self.parts.link {
            Link::Sigmoid | Link::Share => 2,
            _ => self.parts.base.len(),
        }
    }

    /// Each column's share of the total gain of all splits.
    pub fn importances(&self) -> &[f64] {
        &self.parts.importances
    }

    /// Scores per row before the link: one, or one per class. A round of boosting has as many trees.
    pub(crate) fn n_scores(&self) -> usize {
        self.parts.base.len()
    }

    /// Nanoseconds that a row scored by itself takes, about: of small trees half of the tests are failed, a large one is
    /// read from its root to a leaf, and what a cache does not hold is waited for.
    pub(crate) fn nanoseconds(&self) -> f64 {
        if let Some(quick) = &self.quick {
            return quick.nanoseconds().min(quick.nanoseconds_of_walk());
        }
        let per_tree = (self.nodes.len() as f64 / self.n_trees().max(1) as f64).max(2.0);
        let per_level = match self.nodes.len() * size_of::<Node>() {
            0..0x10_0000 => 4.0,
            0x10_0000..0x100_0000 => 8.0,
            _ => 15.0,
        };
        self.n_trees() as f64 * per_tree.log2() * per_level
    }

    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.parts.roots.len()
    }

    /// The divisor of the first `n_trees`: a forest stays a mean, boosted trees stay a sum.
    fn divisor_of(&self, n_trees: usize) -> f64 {
        let is_mean = self.parts.divisor == self.n_trees() as f64;
        if is_mean { n_trees as f64 } else { self.parts.divisor }
    }

    /// Predicts rows of raw codes by more and more trees: `stage` gets the number of trees so far and what they
    /// predict, `n_rows × n_outputs`, after each `trees_per_stage` trees (a round of boosting has one tree per
    /// score) and at the end. Walks each tree once, so that all stages cost one prediction and a link each.
    pub fn staged(&self, x: &[f64], trees_per_stage: usize, stage: &mut dyn FnMut(usize, &[f64])) {
        let (n_inputs, n_outputs, n_scores) = (self.n_inputs(), self.n_outputs(), self.parts.base.len());
        let n_rows = x.len() / n_inputs;
        let mut sums = vec![0.0; n_rows * n_scores];
        let mut out = vec![0.0; n_rows * n_outputs];
        for (tree, &root) in self.parts.roots.iter().enumerate() {
            let blocks = x.chunks(LANES * n_inputs).zip(sums.chunks_mut(LANES * n_scores));
            for (x, sums) in blocks {
                let mut at = [root; LANES];
                let at = &mut at[..x.len() / n_inputs];
                let mut moved = 1;
                while moved != 0 {
                    moved = 0;
                    for (at, x) in at.iter_mut().zip(x.chunks_exact(n_inputs)) {
                        let next = self.step::<true>(*at, x);
                        moved |= next ^ *at;
                        *at = next;
                    }
                }
                for (&at, sums) in at.iter().zip(sums.chunks_exact_mut(n_scores)) {
                    self.add_leaf(tree, at, sums);
                }
            }
            let n_trees = tree + 1;
            if n_trees % trees_per_stage.max(1) != 0 && n_trees < self.n_trees() {
                continue;
            }
            let divisor = self.divisor_of(n_trees);
            for (sums, out) in sums.chunks_exact(n_scores).zip(out.chunks_exact_mut(n_outputs)) {
                out[..n_scores].copy_from_slice(sums);
                self.finish_sums(divisor, out);
            }
            stage(n_trees, &out);
        }
    }

    /// The first `n_trees`, at least one. Their importances are their own, or those of all trees if these were
    /// read from a file.
    pub fn truncated(&self, n_trees: usize) -> Self {
        let n_trees = n_trees.clamp(1, self.n_trees().max(1));
        if n_trees >= self.n_trees() {
            return self.clone();
        }
        let all = &self.parts;
        let n_nodes = all.roots[n_trees] as usize;
        let leaves = all.feature[..n_nodes].iter().zip(&all.left).filter(|(feature, _)| **feature == LEAF);
        let (n_leaves, n_values) =
            leaves.fold((0, 0), |(n, most), (_, &row)| (n + 1, most.max(row as usize + 1)));
        let n_subsets = all.flags[..n_nodes].iter().filter(|&&flags| flags & SUBSET != 0).count();
        let gains: Vec<_> = self.gains.iter().take(n_trees).cloned().collect();
        let mut importances = vec![0.0; all.importances.len()];
        gains.iter().flatten().for_each(|&(column, gain)| importances[column as usize] += gain);
        let sum: f64 = importances.iter().sum();
        match sum > 0.0 {
            true => importances.iter_mut().for_each(|importance| *importance /= sum),
            false if self.gains.is_empty() => importances.clone_from(&all.importances),
            false => {}
        }
        let parts = Parts {
            link: all.link,
            roots: all.roots[..n_trees].to_vec(),
            feature: all.feature[..n_nodes].to_vec(),
            threshold: all.threshold[..n_nodes].to_vec(),
            left: all.left[..n_nodes].to_vec(),
            flags: all.flags[..n_nodes].to_vec(),
            subsets: all.subsets[..n_subsets * SUBSET_WORDS].to_vec(),
            values: all.values[..n_values * all.width].to_vec(),
            width: all.width,
            levels: all.levels.clone(),
            groups: all.groups.clone(),
            base: all.base.clone(),
            divisor: self.divisor_of(n_trees),
            importances,
            cover: all.cover.iter().copied().take(n_leaves).collect(),
        };
        Self::new(parts).with_gains(gains)
    }

    /// Scores one row of raw codes.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        let quick = self.quick.as_ref().filter(|quick| quick.nanoseconds() < quick.nanoseconds_of_walk());
        if let Some(quick) = quick {
            out.fill(0.0);
            let n_scores = self.parts.base.len();
            let mut score = 0;
            quick.visit_row(
                x,
                |subset, feature, value, missing_right| {
                    self.subset_right(subset, feature, value, missing_right)
                },
                |tree, ending| match ending {
                    RowEnding::Value(value) => {
                        out[score] += value;
                        score = if score + 1 == n_scores { 0 } else { score + 1 };
                    }
                    RowEnding::Row(row) => self.add_values(tree, row as usize, out),
                },
            );
            self.finish(out);
        } else if let Some(ranked) = self.ranked(1) {
            out.fill(0.0);
            ranked.visit_row(x, |tree, row| self.add_values(tree, row, out));
            self.finish(out);
        } else {
            self.walk_into(x, out);
        }
    }

    /// As [`Trees::scores_into`], [`LANES`] trees together.
    pub(super) fn walk_into(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let groups = self.parts.roots.as_chunks::<LANES>();
        for (group, roots) in groups.0.iter().enumerate() {
            let mut at = *roots;
            let mut moved = 1;
            while moved != 0 {
                moved = 0;
                for at in &mut at {
                    let next = self.step::<true>(*at, x);
                    moved |= next ^ *at;
                    *at = next;
                }
            }
            for (lane, &leaf) in at.iter().enumerate() {
                self.add_leaf(group * LANES + lane, leaf, out);
            }
        }
        let n_walked = groups.0.len() * LANES;
        for (i, &root) in groups.1.iter().enumerate() {
            self.add_leaf(n_walked + i, self.walk(root, x), out);
        }
        self.finish(out);
    }

    /// The leaf that a row ends at.
    pub(super) fn walk(&self, root: u32, x: &[f64]) -> u32 {
        let mut at = root;
        loop {
            let next = self.step::<true>(at, x);
            if next == at {
                return at;
            }
            at = next;
        }
    }

    /// What a node asks of a row; none if it is a leaf.
    pub(crate) fn question(&self, at: u32) -> Option<Question> {
        let (node, i) = (self.nodes[at as usize], at as usize);
        let flags = self.parts.flags[i];
        (self.parts.feature[i] != LEAF).then_some(Question {
            column: self.parts.feature[i],
            threshold: (flags & SUBSET == 0).then_some(node.threshold),
            missing_left: flags & MISSING_LEFT != 0,
            left: node.left,
        })
    }

    /// Whether a row with this number in the column of a node goes left; the node is no leaf.
    pub(crate) fn goes_left(&self, at: u32, value: f64) -> bool {
        let mut x = vec![f64::NAN; self.n_inputs()];
        if let Some(question) = self.question(at) {
            x[question.column as usize] = value;
        }
        self.step::<true>(at, &x) == self.nodes[at as usize].left
    }

    /// The leaves below a node.
    pub(crate) fn n_leaves_below(&self, at: u32) -> usize {
        let (mut n, mut open) = (0, vec![at]);
        while let Some(at) = open.pop() {
            match self.question(at) {
                Some(question) => open.extend([question.left, question.left + 1]),
                None => n += 1,
            }
        }
        n
    }

    /// What the first tree predicts at a leaf.
    pub(crate) fn leaf_scores(&self, leaf: u32) -> Vec<f64> {
        let mut out = vec![0.0; self.n_outputs()];
        self.add_leaf(0, leaf, &mut out);
        self.finish(&mut out);
        out
    }

    /// Scores rows of raw codes, tree by tree over as many rows as stay in cache.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        let (n_inputs, n_outputs) = (self.n_inputs(), self.n_outputs());
        let n_quick = match &self.quick {
            Some(quick) => self.score_quickly(quick, x, out),
            None => 0,
        };
        let (x, out) = (&x[n_quick * n_inputs..], &mut out[n_quick * n_outputs..]);
        let ranked = self.ranked(out.len() / n_outputs);
        let lanes = if ranked.is_some() { ranked_trees::LANES } else { LANES };
        let n_together = out.len() / n_outputs / lanes * lanes;
        let (together, single) = x.split_at(n_together * n_inputs);
        let (out, single_out) = out.split_at_mut(n_together * n_outputs);
        for (x, out) in single.chunks_exact(n_inputs).zip(single_out.chunks_exact_mut(n_outputs)) {
            self.scores_into(x, out);
        }
        if let Some(ranked) = ranked {
            out.fill(0.0);
            ranked.visit(together, n_inputs, |tree, row, ending| {
                self.add_values(tree, ending, &mut out[row * n_outputs..(row + 1) * n_outputs]);
            });
            out.chunks_exact_mut(n_outputs).for_each(|out| self.finish(out));
            return;
        }
        let tree_bytes = self.nodes.len() / self.n_trees().max(1) * size_of::<Node>();
        let row_bytes = n_inputs * size_of::<f64>();
        // Large trees do not stay in cache themselves and want many rows at a time.
        let budget = if tree_bytes > BLOCK_BYTES { 16 * BLOCK_BYTES } else { BLOCK_BYTES };
        let n_rows = (budget / row_bytes / LANES * LANES).max(LANES);
        for (x, out) in together.chunks(n_rows * n_inputs).zip(out.chunks_mut(n_rows * n_outputs)) {
            if self.parts.subsets.is_empty() {
                self.sum_block::<false>(x, out);
            } else {
                self.sum_block::<true>(x, out);
            }
        }
    }

    /// Scores as many rows as fill blocks; returns how many those are.
    fn score_quickly(&self, quick: &QuickScorer, x: &[f64], out: &mut [f64]) -> usize {
        const ROWS: usize = quick_scorer::ROWS;
        let n_rows = x.len() / (ROWS * self.n_inputs()) * ROWS;
        if n_rows > 0 {
            widest!(self.score_blocks(quick, x, out));
        }
        n_rows
    }

    #[inline(always)]
    fn score_blocks(&self, quick: &QuickScorer, x: &[f64], out: &mut [f64]) {
        const ROWS: usize = quick_scorer::ROWS;
        let (n_inputs, n_outputs, n_scores) = (self.n_inputs(), self.n_outputs(), self.parts.base.len());
        let mut block = quick.buffer();
        let mut sums = vec![[0.0; ROWS]; n_scores];
        for (x, out) in x.chunks_exact(ROWS * n_inputs).zip(out.chunks_exact_mut(ROWS * n_outputs)) {
            out.fill(0.0);
            sums.fill([0.0; ROWS]);
            quick.fill(x, &mut block);
            let subset_right = |subset, feature, value, missing_right| {
                self.subset_right(subset, feature, value, missing_right)
            };
            quick.visit(&block, subset_right, |tree, ending| match ending {
                Ending::Value(values) => {
                    let sums = &mut sums[tree % n_scores];
                    for i in 0..ROWS {
                        sums[i] += values[i];
                    }
                }
                Ending::Row(rows) => {
                    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(n_outputs)) {
                        self.add_values(tree, row as usize, out);
                    }
                }
            });
            for (i, out) in out.chunks_exact_mut(n_outputs).enumerate() {
                if self.parts.width == 1 {
                    sums.iter().zip(&mut *out).for_each(|(sums, score)| *score = sums[i]);
                }
                self.finish(out);
            }
        }
    }

    /// Scores rows, as many as fill the lanes.
    fn sum_block<const SUBSETS: bool>(&self, x: &[f64], out: &mut [f64]) {
        let (n_inputs, n_outputs) = (self.n_inputs(), self.n_outputs());
        out.fill(0.0);
        for (tree, &root) in self.parts.roots.iter().enumerate() {
            let rows = x.chunks_exact(LANES * n_inputs).zip(out.chunks_exact_mut(LANES * n_outputs));
            for (x, out) in rows {
                let mut at = [root; LANES];
                let mut moved = 1;
                while moved != 0 {
                    moved = 0;
                    for (lane, at) in at.iter_mut().enumerate() {
                        let row = &x[lane * n_inputs..(lane + 1) * n_inputs];
                        let next = self.step::<SUBSETS>(*at, row);
                        moved |= next ^ *at;
                        *at = next;
                    }
                }
                for (&at, out) in at.iter().zip(out.chunks_exact_mut(n_outputs)) {
                    self.add_leaf(tree, at, out);
                }
            }
        }
        out.chunks_exact_mut(n_outputs).for_each(|out| self.finish(out));
    }

    /// The child a row goes to; the node itself if it is a leaf.
    #[inline(always)]
    fn step<const SUBSETS: bool>(&self, at: u32, x: &[f64]) -> u32 {
        let node = &self.nodes[at as usize];
        let missing_right = node.feature & NODE_MISSING_LEFT == 0;
        let feature = node.feature & !(NODE_MISSING_LEFT | NODE_SUBSET);
        let value = x[feature as usize];
        if SUBSETS && node.feature & NODE_SUBSET != 0 {
            return node.left
                + u32::from(self.subset_right(node.threshold as usize, feature, value, missing_right));
        }
        node.left + u32::from((value > node.threshold) | (value.is_nan() & missing_right))
    }

    fn subset_right(&self, subset: usize, feature: u32, value: f64, missing_right: bool) -> bool {
        // NaN and the negative code of an unseen level are missing values; so is a level that cannot be.
        let is_known = value >= 0.0 && value < f64::from(self.parts.levels[feature as usize]);
        if !is_known {
            return missing_right;
        }
        let group = self.parts.groups[self.first_group[feature as usize] + value as usize];
        let word = self.parts.subsets[subset * SUBSET_WORDS + usize::from(group / 32)];
        word >> (group % 32) & 1 == 0
    }

    #[inline(always)]
    fn add_leaf(&self, tree: usize, leaf: u32, out: &mut [f64]) {
        self.add_values(tree, self.parts.left[leaf as usize] as usize, out);
    }

    /// Adds a row of the values.
    #[inline(always)]
    fn add_values(&self, tree: usize, row: usize, out: &mut [f64]) {
        let (width, n_scores) = (self.parts.width, self.parts.base.len());
        if width == 1 {
            let score = if n_scores == 1 { 0 } else { tree % n_scores };
            out[score] += self.parts.values[row];
        } else {
            let values = &self.parts.values[row * width..(row + 1) * width];
            out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
        }
    }

    /// The scores of one row of raw codes before the link, [`Trees::n_scores`] numbers.
    pub(crate) fn margins_into(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (tree, &root) in self.parts.roots.iter().enumerate() {
            self.add_leaf(tree, self.walk(root, x), out);
        }
        for (out, base) in out.iter_mut().zip(&self.parts.base) {
            *out = base + *out / self.parts.divisor;
        }
    }

    /// Whether a row goes to the right child of an inner node.
    #[inline(always)]
    pub(crate) fn goes_right(&self, node: u32, x: &[f64]) -> bool {
        self.step::<true>(node, x) != self.nodes[node as usize].left
    }

    fn finish(&self, out: &mut [f64]) {
        self.finish_sums(self.parts.divisor, out);
    }

    /// Sums of trees become a prediction.
    fn finish_sums(&self, divisor: f64, out: &mut [f64]) {
        for (out, base) in out.iter_mut().zip(&self.parts.base) {
            *out = base + *out / divisor;
        }
        self.parts.link.apply(out);
    }

    /// Checks shapes, numbers, and that every walk stays in its tree and ends.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.parts.validate()
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        self.parts.form()
    }

    /// The link that a name of [`Trees::form`] stands for.
    pub fn link_of_form(form: &str) -> Option<Link> {
        Parts::link_of_form(form)
    }

    /// Adds the arrays of the model file.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        self.parts.write_arrays(arrays);
    }

    /// Takes the arrays out of a model file; still to be validated.
    ///
    /// # Errors
    /// An array that is missing, of another kind or shape.
    pub fn read_arrays(link: Link, arrays: &mut Arrays) -> Result<Self> {
        Parts::read_arrays(link, arrays).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x₀ ≤ 1.5 ? 10 : (x₁ in {0, 2} ? 20 : 30), missing numbers right, missing levels left.
    fn parts() -> Parts {
        Parts {
            link: Link::Identity,
            roots: vec![0],
            feature: vec![0, LEAF, 1, LEAF, LEAF],
            threshold: vec![1.5, 0.0, 0.0, 0.0, 0.0],
            left: vec![1, 0, 3, 1, 2],
            flags: vec![0, 0, MISSING_LEFT | SUBSET, 0, 0],
            subsets: vec![0b101, 0, 0, 0, 0, 0, 0, 0],
            values: vec![10.0, 20.0, 30.0],
            width: 1,
            levels: vec![0, 3],
            groups: vec![0, 1, 2],
            base: vec![0.5],
            divisor: 1.0,
            importances: vec![0.5, 0.5],
            cover: Vec::new(),
        }
    }

    const ROWS: [([f64; 2], f64); 7] = [
        ([1.5, 0.0], 10.5),
        ([1.6, 0.0], 20.5),
        ([1.6, 1.0], 30.5),
        ([f64::NAN, 2.0], 20.5),
        ([9.0, f64::NAN], 20.5),
        ([9.0, -1.0], 20.5),
        ([9.0, 3.0], 20.5),
    ];

    #[test]
    fn rows_go_by_threshold_by_subset_and_by_the_stored_way_of_missing_values() {
        let trees = Trees::new(parts());
        trees.validate().unwrap();
        let (mut block, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..11 {
            for (x, score) in ROWS {
                let mut out = [0.0];
                trees.scores_into(&x, &mut out);
                assert_eq!(out, [score], "{x:?}");
                block.extend(x);
                expected.push(score);
            }
        }
        let mut out = vec![0.0; expected.len()];
        trees.scores_block(&block, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn arrays_make_the_same_trees_again() {
        let trees = Trees::new(parts());
        let mut arrays = Arrays::new();
        trees.write_arrays(&mut arrays);
        let link = Trees::link_of_form(trees.form()).unwrap();
        assert_eq!(Trees::read_arrays(link, &mut arrays).unwrap(), trees);
        assert!(arrays.is_empty());
    }

    #[test]
    fn arrays_that_could_lead_a_walk_astray_are_refused() {
        let broken = |change: fn(&mut Parts)| {
            let mut parts = parts();
            change(&mut parts);
            Trees::new(parts).validate().is_err()
        };
        assert!(broken(|p| p.left[2] = 2), "a cycle");
        assert!(broken(|p| p.left[2] = 4), "a child past the end");
        assert!(broken(|p| p.left[1] = 3), "no such value");
        assert!(broken(|p| p.feature[0] = 2), "no such column");
        assert!(broken(|p| p.threshold[0] = f64::NAN));
        assert!(broken(|p| p.values[0] = f64::INFINITY));
        assert!(broken(|p| p.subsets.clear()));
        assert!(broken(|p| p.groups.clear()));
        assert!(broken(|p| p.roots = vec![0, 0]));
        assert!(broken(|p| p.roots = vec![0, 9]));
        assert!(broken(|p| p.roots.clear()));
        assert!(broken(|p| p.flags.clear()));
        assert!(broken(|p| p.flags[0] = 4));
        assert!(broken(|p| p.divisor = 0.0));
        assert!(broken(|p| p.width = 3));
        assert!(broken(|p| p.link = Link::Softmax));
        assert!(broken(|p| p.importances.clear()));
    }
}
