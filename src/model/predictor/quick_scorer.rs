//! Small trees scored without walking them: the first leaf that is left in a row's set is where it ends.
//!
//! Each test that a row fails takes the leaves of the left subtree off its set; the first leaf that remains
//! is the row's. Of a block of rows every test is made: no step waits for another and none is a branch, so that rows
//! are compared as many at a time as the processor can (Ye et al. 2018, "RapidScorer"). For a single row only the tests
//! that it fails are made: those of a column are sorted by threshold (Lucchese et al. 2015, "QuickScorer: a fast
//! algorithm to rank documents with additive ensembles of regression trees"). Worth it up to [`MAX_LEAVES`] leaves; larger
//! trees are walked ([`super::ranked_trees`], [`super::trees`]).
//!
//! The loops go by index: iterators and closures over arrays are compiled apart, and not for the processor that
//! [`widest`](crate::simd::widest) has found.

#![allow(clippy::needless_range_loop, clippy::neg_cmp_op_on_partial_ord)]

use super::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET};
use crate::order;

/// Rows of a block.
pub(super) const ROWS: usize = 32;

/// Leaves of a tree: the bits of a set.
const MAX_LEAVES: usize = 64;

/// Trees whose sets are kept at a time while one row is scored.
const GROUP: usize = 256;

/// Of [`Group::trees`]: a missing value fails the test.
const MISSING_RIGHT: u16 = 1 << 8;

/// The test of an inner node.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Test {
    /// The largest number that passes; the index of a subset.
    threshold: f64,
    /// The leaves that a row keeps if it fails: all but those of the left subtree.
    keep: u64,
    /// Index in [`QuickScorer::features`].
    feature: u32,
}

/// Where the tests of a tree end, and its leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tree {
    /// Tests on numbers, then those on subsets; of each first those where missing values go left.
    ends: [u32; 4],
    first_leaf: u32,
}

/// The tests of at most [`GROUP`] trees, those on numbers sorted by column and threshold: a row fails the first ones of
/// each column.
#[derive(Debug, Clone, Default, PartialEq)]
struct Group {
    /// The columns that are tested, and where the tests of each end.
    columns: Vec<(u32, u32)>,
    thresholds: Vec<f64>,
    keep: Vec<u64>,
    /// The place of the tree in the group, and [`MISSING_RIGHT`].
    trees: Vec<u16>,
    /// Tests on subsets, each with what `trees` has of it.
    subsets: Vec<(Test, u16)>,
}

/// Trees of at most [`MAX_LEAVES`] leaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuickScorer {
    /// The columns that are tested.
    features: Vec<u32>,
    trees: Vec<Tree>,
    tests: Vec<Test>,
    groups: Vec<Group>,
    /// The sum of the depths of all trees.
    n_levels: usize,
    /// The columns of all groups.
    n_searches: usize,
    /// The row of [`Parts::values`] of each leaf, from the left, tree by tree; filled up to a whole set.
    leaves: Vec<u32>,
    /// The rows of [`Parts::values`] that `leaves` names, if a row is one number.
    values: Vec<f64>,
}

impl QuickScorer {
    /// `None` if a tree is too large, or its nodes are not a tree.
    pub(super) fn new(parts: &Parts) -> Option<Self> {
        let n_nodes = parts.feature.len();
        if [parts.threshold.len(), parts.left.len(), parts.flags.len()] != [n_nodes; 3] {
            return None;
        }
        let mut slots = vec![u32::MAX; parts.levels.len()];
        let mut out = Self {
            features: Vec::new(),
            trees: Vec::new(),
            tests: Vec::new(),
            groups: Vec::new(),
            n_levels: 0,
            n_searches: 0,
            leaves: Vec::new(),
            values: Vec::new(),
        };
        let mut n_subsets = 0;
        for (tree, &root) in parts.roots.iter().enumerate() {
            let end = parts.roots.get(tree + 1).map_or(n_nodes, |&end| end as usize);
            let root = root as usize;
            if root >= end || end > n_nodes || end - root >= 2 * MAX_LEAVES {
                return None;
            }
            let children = |i: usize| (parts.feature[i] != LEAF).then(|| parts.left[i] as usize);
            let mut n_leaves = [0; 2 * MAX_LEAVES];
            let mut parents = [0_u8; 2 * MAX_LEAVES];
            for i in (root..end).rev() {
                n_leaves[i - root] = 1;
                if let Some(left) = children(i) {
                    if left <= i || left + 1 >= end {
                        return None;
                    }
                    // Nodes that are no tree may share leaves, and double them with every level.
                    n_leaves[i - root] =
                        (n_leaves[left - root] + n_leaves[left + 1 - root]).min(MAX_LEAVES + 1);
                    parents[left - root] += 1;
                    parents[left + 1 - root] += 1;
                }
            }
            let is_tree = parents[1..end - root].iter().all(|&n| n == 1);
            if !is_tree || n_leaves[0] > MAX_LEAVES {
                return None;
            }
            let (mut first, mut level) = ([0; 2 * MAX_LEAVES], [0; 2 * MAX_LEAVES]);
            let first_leaf = out.leaves.len();
            out.leaves.resize(first_leaf + n_leaves[0], 0);
            let mut tests: [Vec<Test>; 4] = Default::default();
            for i in root..end {
                let Some(left) = children(i) else {
                    out.leaves[first_leaf + first[i - root]] = parts.left[i];
                    continue;
                };
                level[left - root] = level[i - root] + 1;
                level[left + 1 - root] = level[i - root] + 1;
                let n_left = n_leaves[left - root];
                first[left - root] = first[i - root];
                first[left + 1 - root] = first[i - root] + n_left;
                let slot = slots.get_mut(parts.feature[i] as usize)?;
                if *slot == u32::MAX {
                    *slot = out.features.len() as u32;
                    out.features.push(parts.feature[i]);
                }
                let keep = !(((1 << n_left) - 1) << first[i - root]);
                let mut test = Test { threshold: parts.threshold[i], keep, feature: *slot };
                let missing_right = usize::from(parts.flags[i] & MISSING_LEFT == 0);
                let is_subset = parts.flags[i] & SUBSET != 0;
                if is_subset {
                    test.threshold = f64::from(n_subsets);
                    n_subsets += 1;
                }
                tests[2 * usize::from(is_subset) + missing_right].push(test);
            }
            out.n_levels += level.iter().max().copied().unwrap_or(0);
            let ends = tests.map(|tests| {
                out.tests.extend(tests);
                out.tests.len() as u32
            });
            out.trees.push(Tree { ends, first_leaf: first_leaf as u32 });
        }
        if parts.width == 1 {
            let value = |&row| parts.values.get(row as usize).copied();
            out.values = out.leaves.iter().map(value).collect::<Option<_>>()?;
            out.values.resize(out.leaves.len() + MAX_LEAVES, 0.0);
        }
        out.leaves.resize(out.leaves.len() + MAX_LEAVES, 0);
        let mut from = 0;
        for trees in out.trees.chunks(GROUP) {
            out.groups.push(Group::new(trees, &out.tests, from, &out.features));
            from = trees.last().map_or(from, |tree| tree.ends[3] as usize);
        }
        out.n_searches = out.groups.iter().map(|group| group.columns.len()).sum();
        Some(out)
    }

    /// Nanoseconds of one row, about: half of the tests are failed, and a column is searched for the first that is not.
    pub(super) fn nanoseconds(&self) -> f64 {
        0.55 * self.tests.len() as f64 + 35.0 * self.n_searches as f64
    }

    /// As [`QuickScorer::nanoseconds`], if the row walks instead: shallow trees of many leaves make more tests than levels.
    pub(super) fn nanoseconds_of_walk(&self) -> f64 {
        4.3 * self.n_levels as f64
    }

    /// Calls `visit` with the ending of one row, tree by tree; `subset_right` as for [`QuickScorer::visit`].
    #[inline]
    pub(super) fn visit_row(
        &self,
        x: &[f64],
        subset_right: impl Fn(usize, u32, f64, bool) -> bool,
        mut visit: impl FnMut(usize, RowEnding),
    ) {
        for (g, (group, trees)) in self.groups.iter().zip(self.trees.chunks(GROUP)).enumerate() {
            let mut sets = [u64::MAX; GROUP];
            let mut from = 0;
            for &(feature, end) in &group.columns {
                let (value, column) = (x[feature as usize], from..end as usize);
                from = column.end;
                let (keep, trees) = (&group.keep[column.clone()], &group.trees[column.clone()]);
                if value.is_nan() {
                    for (keep, tree) in keep.iter().zip(trees).filter(|(_, tree)| **tree & MISSING_RIGHT != 0)
                    {
                        sets[usize::from(*tree) % GROUP] &= keep;
                    }
                } else {
                    let n = group.thresholds[column].partition_point(|threshold| value > *threshold);
                    for (keep, tree) in keep[..n].iter().zip(&trees[..n]) {
                        sets[usize::from(*tree) % GROUP] &= keep;
                    }
                }
            }
            for (test, tree) in &group.subsets {
                let feature = self.features[test.feature as usize];
                let missing_right = tree & MISSING_RIGHT != 0;
                if subset_right(test.threshold as usize, feature, x[feature as usize], missing_right) {
                    sets[usize::from(*tree) % GROUP] &= test.keep;
                }
            }
            for (i, (tree, set)) in trees.iter().zip(sets).enumerate() {
                let leaf = tree.first_leaf as usize + first_leaf_of(set);
                let value = self.values.get(leaf);
                let ending =
                    value.map_or_else(|| RowEnding::Row(self.leaves[leaf]), |v| RowEnding::Value(*v));
                visit(g * GROUP + i, ending);
            }
        }
    }

    /// Room for the block that [`QuickScorer::visit`] reads.
    pub(super) fn buffer(&self) -> Vec<[f64; ROWS]> {
        vec![[0.0; ROWS]; self.features.len()]
    }

    /// Brings [`ROWS`] rows of `x` into columns.
    #[inline(always)]
    pub(super) fn fill(&self, x: &[f64], block: &mut [[f64; ROWS]]) {
        let n_inputs = x.len() / ROWS;
        for j in 0..block.len().min(self.features.len()) {
            let feature = self.features[j] as usize;
            for i in 0..ROWS {
                block[j][i] = x[i * n_inputs + feature];
            }
        }
    }

    /// Calls `visit` with the endings of the rows of the block, tree by tree. `subset_right`: whether a code goes
    /// right, by subset, column, code, and whether missing values go right.
    #[inline(always)]
    pub(super) fn visit(
        &self,
        block: &[[f64; ROWS]],
        subset_right: impl Fn(usize, u32, f64, bool) -> bool,
        mut visit: impl FnMut(usize, Ending),
    ) {
        let mut from = 0;
        for (tree, Tree { ends, first_leaf }) in self.trees.iter().enumerate() {
            let [left, right] = [ends[0] as usize, ends[1] as usize];
            let [subset_left, end] = [ends[2] as usize, ends[3] as usize];
            let mut sets = [u64::MAX; ROWS];
            for test in &self.tests[from..left] {
                let values = &block[test.feature as usize];
                keep_where(&mut sets, test.keep, values, |v| v > test.threshold);
            }
            for test in &self.tests[left..right] {
                let values = &block[test.feature as usize];
                // Not at most the threshold: above it, or NaN.
                keep_where(&mut sets, test.keep, values, |v| !(v <= test.threshold));
            }
            for (i, test) in self.tests[right..end].iter().enumerate() {
                let (feature, subset) = (self.features[test.feature as usize], test.threshold as usize);
                let missing_right = right + i >= subset_left;
                let values = &block[test.feature as usize];
                keep_where(&mut sets, test.keep, values, |v| subset_right(subset, feature, v, missing_right));
            }
            from = end;
            let first = *first_leaf as usize;
            if let Some(values) =
                self.values.get(first..).and_then(|values| values.first_chunk::<MAX_LEAVES>())
            {
                let mut found = [0.0; ROWS];
                for i in 0..ROWS {
                    found[i] = values[first_leaf_of(sets[i])];
                }
                visit(tree, Ending::Value(&found));
            } else if let Some(leaves) = self.leaves[first..].first_chunk::<MAX_LEAVES>() {
                let mut found = [0; ROWS];
                for i in 0..ROWS {
                    found[i] = leaves[first_leaf_of(sets[i])];
                }
                visit(tree, Ending::Row(&found));
            }
        }
    }
}

impl Group {
    /// Of trees whose tests begin at `from`.
    fn new(trees: &[Tree], tests: &[Test], mut from: usize, features: &[u32]) -> Self {
        let (mut numbers, mut out) = (Vec::new(), Self::default());
        for (place, tree) in trees.iter().enumerate() {
            for (kind, &end) in tree.ends.iter().enumerate() {
                let tree = place as u16 + if kind % 2 == 1 { MISSING_RIGHT } else { 0 };
                let tests = tests[from..end as usize].iter().map(|test| (*test, tree));
                if kind < 2 {
                    numbers.extend(tests)
                } else {
                    out.subsets.extend(tests)
                }
                from = end as usize;
            }
        }
        order::sort_by(&mut numbers, |(a, _), (b, _)| {
            a.feature.cmp(&b.feature).then(a.threshold.total_cmp(&b.threshold))
        });
        for (i, (test, _)) in numbers.iter().enumerate() {
            let feature = features[test.feature as usize];
            match out.columns.last_mut() {
                Some((last, end)) if *last == feature => *end = i as u32 + 1,
                _ => out.columns.push((feature, i as u32 + 1)),
            }
        }
        out.thresholds = numbers.iter().map(|(test, _)| test.threshold).collect();
        out.keep = numbers.iter().map(|(test, _)| test.keep).collect();
        out.trees = numbers.iter().map(|(_, tree)| *tree).collect();
        out
    }
}

/// The leaf that one row ends at.
pub(super) enum RowEnding {
    /// One number.
    Value(f64),
    /// A row of [`Parts::values`].
    Row(u32),
}

/// The leaves that the rows of a block end at.
pub(super) enum Ending<'a> {
    /// One number.
    Value(&'a [f64; ROWS]),
    /// A row of [`Parts::values`].
    Row(&'a [u32; ROWS]),
}

/// At least one leaf is left in a set.
#[inline(always)]
fn first_leaf_of(set: u64) -> usize {
    set.trailing_zeros() as usize % MAX_LEAVES
}

#[inline(always)]
fn keep_where(sets: &mut [u64; ROWS], keep: u64, values: &[f64; ROWS], fails: impl Fn(f64) -> bool) {
    for i in 0..ROWS {
        sets[i] &= if fails(values[i]) { keep } else { u64::MAX };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::predictor::tree_arrays::tests::random_parts;
    use crate::model::predictor::trees::Trees;
    use proptest::prelude::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    proptest! {
        #[test]
        fn rows_end_where_the_walk_ends(
            seed: u64,
            n_rows in 1..100_usize,
            n_trees in 1..300_usize,
            max_leaves in 1..=64_u64,
        ) {
            let mut random = Pcg64::seed_from_u64(seed);
            let parts = random_parts(&mut random, n_trees, max_leaves, true);
            prop_assert!(QuickScorer::new(&parts).is_some());
            let trees = Trees::new(parts);
            trees.validate().unwrap();
            let mut value = |n: u64| match random.next_u64() % (n + 2) {
                0 => f64::NAN,
                v => v as f64 - 2.0,
            };
            let x: Vec<f64> = (0..n_rows).flat_map(|_| [value(9), value(41), value(9)]).collect();
            let mut scores = vec![0.0; n_rows * 3];
            trees.scores_block(&x, &mut scores);
            for (x, scores) in x.chunks(3).zip(scores.chunks(3)) {
                let mut walked = [0.0; 3];
                trees.walk_into(x, &mut walked);
                prop_assert_eq!(scores, &walked[..]);
                let mut alone = [0.0; 3];
                trees.scores_into(x, &mut alone);
                prop_assert_eq!(&alone, &walked);
            }
        }
    }

    #[test]
    fn what_is_not_a_small_tree_is_left_to_the_walk() {
        let mut random = Pcg64::seed_from_u64(1);
        let fits = |feature: &[u32], left: &[u32], random: &mut Pcg64| {
            let n = feature.len();
            let parts = Parts {
                roots: vec![0],
                feature: feature.to_vec(),
                threshold: vec![0.0; n],
                left: left.to_vec(),
                flags: vec![0; n],
                subsets: Vec::new(),
                ..random_parts(random, 7, 1, true)
            };
            QuickScorer::new(&parts).is_some()
        };
        assert!(fits(&[0, LEAF, LEAF], &[1, 0, 0], &mut random));
        assert!(!fits(&[0, LEAF, LEAF], &[0, 0, 0], &mut random), "a cycle");
        assert!(!fits(&[0, LEAF, LEAF], &[2, 0, 0], &mut random), "a child past the end");
        assert!(!fits(&[0, LEAF, LEAF], &[1, 0, 50], &mut random), "no such row of values");
        assert!(!fits(&[0, LEAF, LEAF], &[1, 0], &mut random), "arrays of different lengths");
        assert!(!fits(&[7, LEAF, LEAF], &[1, 0, 0], &mut random), "no such column");
        assert!(!fits(&[0, 0, 0, LEAF, LEAF], &[1, 3, 3, 0, 0], &mut random), "two parents");
        assert!(!fits(&[0, LEAF, LEAF, LEAF, LEAF], &[1, 0, 0, 0, 0], &mut random), "no parent");
        // Every node has the two behind it as children: more leaves than a number can count.
        let feature: Vec<u32> = (0..126).map(|i| if i < 124 { 0 } else { LEAF }).collect();
        let left: Vec<u32> = (0..126).map(|i| if i < 124 { i + 1 } else { 0 }).collect();
        assert!(!fits(&feature, &left, &mut random), "shared children");
        // A chain of 65 leaves.
        let feature: Vec<u32> = (0..129).map(|i| if i % 2 == 0 && i < 128 { 0 } else { LEAF }).collect();
        let left: Vec<u32> = (0..129).map(|i| if i % 2 == 0 && i < 128 { i + 1 } else { 0 }).collect();
        assert!(!fits(&feature, &left, &mut random), "too many leaves");
        assert!(fits(&feature[2..], &[&left[..126], &[0]].concat(), &mut random), "just few enough");
    }
}
