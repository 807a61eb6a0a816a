//! Large trees, walked over ranks: the thresholds of a column are numbered in order, and a row is compared by how many
//! of them its value is above.
//!
//! A node takes 8 bytes instead of 16, so that twice as many stay in cache; a walk through large trees waits for little
//! else. The ranks of a row cost one binary search a column, whatever the number of trees.

use super::tree_arrays::{LEAF, MISSING_LEFT, Parts};

/// Rows that walk through a tree together, or trees that a row walks through together: while one waits for memory,
/// another steps.
pub(super) const LANES: usize = 16;

/// Ranks that stay in the first-level cache while a tree passes by, which stays there too if it is no larger.
const BLOCK_BYTES: usize = 32 * 1024;

/// Blocks that pass by a larger tree together: it has to come from far away.
const LARGE_BLOCK: usize = 8;

/// Levels of a subtree that lie together.
const LEVELS: usize = 3;

/// Above all ranks of a column: a leaf, which nothing is above, and a missing value that goes right.
const TOP: u16 = u16::MAX;

/// Columns, each with a side for missing values, that a node can name.
const MAX_SLOTS: usize = 1 << 16;

/// A column and the side that its missing values go to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Slot {
    feature: u32,
    /// The rank of a missing value.
    missing: u16,
    /// Where the thresholds of the column begin and end.
    from: u32,
    to: u32,
}

/// A leaf leads to itself.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// A row goes right if its own is above it.
    rank: u16,
    slot: u16,
    left: u32,
}

/// Trees whose splits are all on numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RankedTrees {
    slots: Vec<Slot>,
    /// The distinct thresholds of each column, ascending.
    thresholds: Vec<f64>,
    /// First node of each tree.
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// The row of [`Parts::values`] of each node that is a leaf.
    endings: Vec<u32>,
    /// Rows of a block.
    n_rows: usize,
}

impl RankedTrees {
    /// `None` if a split is on a subset, or there are more columns, or thresholds of a column, than 16 bits can tell.
    pub(super) fn new(parts: &Parts) -> Option<Self> {
        let n_nodes = parts.feature.len();
        if [parts.threshold.len(), parts.left.len(), parts.flags.len()] != [n_nodes; 3]
            || parts.flags.iter().any(|&flags| flags > MISSING_LEFT)
        {
            return None;
        }
        let mut by_column: Vec<Vec<f64>> = vec![Vec::new(); parts.levels.len()];
        for (&feature, &threshold) in parts.feature.iter().zip(&parts.threshold).filter(|(f, _)| **f != LEAF)
        {
            by_column.get_mut(feature as usize)?.push(threshold);
        }
        let (mut thresholds, mut ends) = (Vec::new(), Vec::new());
        for column in &mut by_column {
            column.sort_unstable_by(f64::total_cmp);
            // As numbers: 0 and −0 are one.
            column.dedup();
            if column.len() >= usize::from(TOP) {
                return None;
            }
            thresholds.append(column);
            ends.push(thresholds.len() as u32);
        }
        let side = |i: usize| 2 * parts.feature[i] as usize + usize::from(parts.flags[i] == MISSING_LEFT);
        let mut places = vec![u32::MAX; 2 * ends.len()];
        (0..n_nodes).filter(|&i| parts.feature[i] != LEAF).for_each(|i| places[side(i)] = 0);
        let mut slots = Vec::new();
        for (side, place) in places.iter_mut().enumerate().filter(|(_, place)| **place == 0) {
            let (feature, missing) = (side / 2, if side % 2 == 1 { 0 } else { TOP });
            let from = if feature == 0 { 0 } else { ends[feature - 1] };
            *place = slots.len() as u32;
            slots.push(Slot { feature: feature as u32, missing, from, to: ends[feature] });
        }
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return None;
        }
        let (mut nodes, mut endings) = (Vec::with_capacity(n_nodes), Vec::with_capacity(n_nodes));
        let (order, at, roots) = order_of(parts)?;
        for i in order.into_iter().map(|i| i as usize) {
            endings.push(parts.left[i]);
            if parts.feature[i] == LEAF {
                nodes.push(Node { rank: TOP, slot: 0, left: nodes.len() as u32 });
                continue;
            }
            let place = places[side(i)];
            let Slot { from, to, .. } = slots[place as usize];
            let column = &thresholds[from as usize..to as usize];
            let rank = column.partition_point(|threshold| *threshold < parts.threshold[i]);
            let left = at[parts.left[i] as usize];
            nodes.push(Node { rank: rank as u16, slot: place as u16, left });
        }
        let tree_bytes = nodes.len() / roots.len().max(1) * size_of::<Node>();
        let budget = if tree_bytes > BLOCK_BYTES { LARGE_BLOCK * BLOCK_BYTES } else { BLOCK_BYTES };
        let n_rows = (budget / (slots.len() * size_of::<u16>()) / LANES * LANES).max(LANES);
        Some(Self { slots, thresholds, roots, nodes, endings, n_rows })
    }

    /// Whether a walk is worth the ranks of a row, which it is not through one tree of many columns: a step of it, which waits
    /// for memory, takes at least twice as long as one of a search.
    pub(super) fn pays(&self) -> bool {
        let n_trees = self.roots.len() as f64;
        let n_steps = n_trees * (self.nodes.len() as f64 / n_trees).log2();
        let compared = |slot: &Slot| f64::from(slot.to - slot.from + 1).log2();
        2.0 * n_steps > self.slots.iter().map(compared).sum::<f64>()
    }

    /// For each slot how many thresholds of its column the value of a row is above.
    #[inline(always)]
    fn ranks<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = u16> + 'a {
        // The two slots of a column are neighbours.
        let mut found = (u32::MAX, 0);
        self.slots.iter().map(move |slot| {
            let value = x[slot.feature as usize];
            if value.is_nan() {
                return slot.missing;
            }
            if slot.feature != found.0 {
                let column = &self.thresholds[slot.from as usize..slot.to as usize];
                found = (slot.feature, column.partition_point(|threshold| value > *threshold) as u16);
            }
            found.1
        })
    }

    /// The row of [`Parts::values`] of a leaf.
    #[inline(always)]
    fn ending(&self, leaf: u32) -> usize {
        self.endings[leaf as usize] as usize
    }

    /// Calls `visit` with the row of [`Parts::values`] that one row ends at, tree by tree.
    pub(super) fn visit_row(&self, x: &[f64], mut visit: impl FnMut(usize, usize)) {
        let ranks: Vec<u16> = self.ranks(x).collect();
        for (group, roots) in self.roots.chunks(LANES).enumerate() {
            let mut at = [roots[0]; LANES];
            at[..roots.len()].copy_from_slice(roots);
            let mut moved = 1;
            while moved != 0 {
                moved = 0;
                for at in &mut at {
                    let node = self.nodes[*at as usize];
                    let next = node.left + u32::from(ranks[usize::from(node.slot)] > node.rank);
                    moved |= next ^ *at;
                    *at = next;
                }
            }
            (0..roots.len()).for_each(|lane| visit(group * LANES + lane, self.ending(at[lane])));
        }
    }

    /// Calls `visit` with trees, rows, and the rows of [`Parts::values`] that they end at, of rows that fill the lanes; each
    /// row gets its trees in order.
    pub(super) fn visit(&self, x: &[f64], n_inputs: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let n_rows = self.n_rows.min(x.len() / n_inputs);
        let mut ranks = vec![[0; LANES]; n_rows / LANES * self.slots.len()];
        for (block, x) in x.chunks((n_rows * n_inputs).max(1)).enumerate() {
            let first = block * n_rows;
            let n_rows = x.len() / n_inputs;
            for (i, x) in x.chunks_exact(n_inputs).enumerate() {
                let ranks = &mut ranks[i / LANES * self.slots.len()..][..self.slots.len()];
                ranks.iter_mut().zip(self.ranks(x)).for_each(|(ranks, rank)| ranks[i % LANES] = rank);
            }
            for (tree, &root) in self.roots.iter().enumerate() {
                for (group, ranks) in ranks.chunks_exact(self.slots.len()).take(n_rows / LANES).enumerate() {
                    let mut at = [root; LANES];
                    let mut moved = 1;
                    while moved != 0 {
                        moved = 0;
                        for lane in 0..LANES {
                            let node = self.nodes[at[lane] as usize];
                            let rank = ranks[usize::from(node.slot)][lane];
                            let next = node.left + u32::from(rank > node.rank);
                            moved |= next ^ at[lane];
                            at[lane] = next;
                        }
                    }
                    for (lane, &leaf) in at.iter().enumerate() {
                        visit(tree, first + group * LANES + lane, self.ending(leaf));
                    }
                }
            }
        }
    }
}

/// The order in which nodes are stored, where each of [`Parts`] is in it, and where trees begin: [`LEVELS`] levels of a
/// subtree lie together, siblings side by side, so that a walk reads few cache lines (van Emde Boas's layout: Prokop 1999,
/// "Cache-oblivious algorithms"). `None` of nodes that are no trees.
fn order_of(parts: &Parts) -> Option<(Vec<u32>, Vec<u32>, Vec<u32>)> {
    let n_nodes = parts.feature.len();
    let (mut order, mut at) = (Vec::with_capacity(n_nodes), vec![u32::MAX; n_nodes]);
    let (mut roots, mut subtrees, mut level, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut place = |node: u32| {
        let at = at.get_mut(node as usize).filter(|at| **at == u32::MAX)?;
        *at = order.len() as u32;
        order.push(node);
        Some(*at)
    };
    for &root in &parts.roots {
        roots.push(place(root)?);
        subtrees.push(root);
        while let Some(top) = subtrees.pop() {
            level.push(top);
            for _ in 0..LEVELS {
                for node in level.drain(..).filter(|&node| parts.feature[node as usize] != LEAF) {
                    let left = parts.left[node as usize];
                    place(left)?;
                    place(left.checked_add(1)?)?;
                    below.extend([left, left + 1]);
                }
                std::mem::swap(&mut level, &mut below);
            }
            // The leftmost is the next.
            subtrees.extend(level.drain(..).rev().filter(|&node| parts.feature[node as usize] != LEAF));
        }
    }
    Some((order, at, roots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::predictor::tree_arrays::SUBSET;
    use crate::model::predictor::tree_arrays::tests::random_parts;
    use crate::model::predictor::trees::Trees;
    use proptest::prelude::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    proptest! {
        #[test]
        fn rows_end_where_the_walk_ends(seed: u64, n_rows in 1..2000_usize, n_trees in 1..20_usize, max_leaves in 1..=400_u64) {
            let mut random = Pcg64::seed_from_u64(seed);
            let mut parts = random_parts(&mut random, n_trees, max_leaves, false);
            for threshold in parts.threshold.iter_mut().filter(|threshold| **threshold == 0.0) {
                *threshold = if random.next_u64() % 2 == 0 { -0.0 } else { 0.0 };
            }
            let (roots, Some(ranked)) = (parts.roots.clone(), RankedTrees::new(&parts)) else {
                prop_assert!(parts.feature.iter().all(|&feature| feature == LEAF));
                return Ok(());
            };
            let trees = Trees::new(parts);
            trees.validate().unwrap();
            let n_rows = n_rows.next_multiple_of(LANES);
            let mut value = || match random.next_u64() % 12 {
                0 => f64::NAN,
                1 => -0.0,
                2 => f64::INFINITY,
                v => v as f64 - 3.0,
            };
            let x: Vec<f64> = (0..n_rows * 3).map(|_| value()).collect();
            let mut leaves = vec![Vec::new(); n_rows];
            ranked.visit(&x, 3, |tree, row, leaf| {
                assert_eq!(tree, leaves[row].len());
                leaves[row].push(leaf);
            });
            for (x, leaves) in x.chunks(3).zip(leaves) {
                let mut alone = Vec::new();
                ranked.visit_row(x, |tree, leaf| {
                    assert_eq!(tree, alone.len());
                    alone.push(leaf);
                });
                let ending = |&root: &u32| trees.parts().left[trees.walk(root, x) as usize] as usize;
                let walked: Vec<usize> = roots.iter().map(ending).collect();
                prop_assert_eq!(&alone, &walked);
                prop_assert_eq!(&leaves, &walked);
            }
            let scores = |n_rows: usize| {
                let mut scores = vec![0.0; n_rows * 3];
                trees.scores_block(&x[..n_rows * 3], &mut scores);
                scores
            };
            // Rows that do not fill the lanes, by the walk and by ranks.
            let n_rows = n_rows - 1;
            let walked: Vec<f64> = (0..n_rows).flat_map(|row| {
                let mut scores = [0.0; 3];
                trees.walk_into(&x[row * 3..(row + 1) * 3], &mut scores);
                scores
            }).collect();
            prop_assert_eq!(&scores(n_rows), &walked);
            trees.prepare();
            prop_assert_eq!(&scores(n_rows), &walked);
        }
    }

    #[test]
    fn what_has_no_ranks_is_left_to_the_walk() {
        let mut random = Pcg64::seed_from_u64(1);
        let made = |change: fn(&mut Parts)| {
            let mut parts = random_parts(&mut Pcg64::seed_from_u64(1), 7, 100, false);
            change(&mut parts);
            RankedTrees::new(&parts).is_some()
        };
        assert!(made(|_| {}));
        assert!(!made(|parts| parts.flags[0] |= SUBSET));
        assert!(!made(|parts| parts.levels.truncate(1)), "no such column");
        assert!(!made(|parts| parts.left.truncate(3)), "arrays of different lengths");
        assert!(!made(|parts| parts.feature.fill(LEAF)), "nothing is compared");
        assert!(RankedTrees::new(&random_parts(&mut random, 7, 100, true)).is_none());
        // More columns than a node can name: a chain of splits, each on another.
        let chain = |n: u32| {
            let parts = random_parts(&mut Pcg64::seed_from_u64(1), 7, 1, false);
            let feature: Vec<u32> = (0..n).flat_map(|column| [column, LEAF]).chain([LEAF]).collect();
            let n_nodes = feature.len();
            let left = (0..n_nodes as u32).map(|i| if i % 2 == 0 && i < 2 * n { i + 1 } else { 0 });
            RankedTrees::new(&Parts {
                roots: vec![0],
                feature,
                threshold: vec![1.0; n_nodes],
                left: left.collect(),
                flags: vec![0; n_nodes],
                levels: vec![0; n as usize],
                ..parts
            })
        };
        assert!(chain(MAX_SLOTS as u32).is_some_and(|ranked| !ranked.pays()), "one tree of many columns");
        assert!(RankedTrees::new(&random_parts(&mut random, 7, 100, false)).unwrap().pays());
        assert!(chain(MAX_SLOTS as u32 + 1).is_none());
    }
}
