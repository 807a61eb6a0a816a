//! A grown tree: its nodes, the rows of its leaves, and the leaf that a binned row falls into.

use super::best_split::Best;
use super::bin_set::{BinSet, holds};
use super::bins::{Bins, MISSING};
use super::monotonic::Bounds;

/// A node of a grown tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// The left child, the right one is the next; 0 for a leaf.
    pub(crate) left: u32,
    /// The column it splits on.
    pub(crate) column: u32,
    /// The last bin that goes left.
    pub(crate) cut: u8,
    /// Whether missing values go left.
    pub(crate) missing_left: bool,
    /// Index in [`Tree::subsets`], if it splits on a category.
    pub(crate) subset: Option<u32>,
    /// Its rows in [`Tree::rows`].
    pub(crate) begin: u32,
    /// The end of its rows.
    pub(crate) end: u32,
    /// The gain of its split, in the units of the items.
    pub(crate) gain: f64,
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
pub(crate) struct Tree {
    /// The root first, children after their parents.
    pub(crate) nodes: Vec<Node>,
    /// The bins that go left, for each node that splits on a category.
    pub(crate) subsets: Vec<BinSet>,
    /// The rows that it grew on, leaf by leaf.
    pub(crate) rows: Vec<u32>,
    /// The bounds of each node; empty if none has any.
    bounds: Vec<Bounds>,
    /// The weight of the rows that each node grew on; empty if that is their number.
    cover: Vec<f64>,
}

impl Tree {
    /// One leaf of `n_rows` rows, which are still to be put in [`Tree::rows`].
    pub(crate) fn leaf(n_rows: usize) -> Self {
        Self { nodes: vec![Node::leaf(0, n_rows)], ..Self::default() }
    }

    /// The leaves, in the order of the nodes.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.left == 0)
    }

    /// The rows that a node grew on.
    #[inline]
    pub(crate) fn rows_of(&self, node: &Node) -> &[u32] {
        &self.rows[node.begin as usize..node.end as usize]
    }

    /// The index of the leaf that a binned row falls into.
    pub(crate) fn leaf_of(&self, bins: &Bins, row: usize) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            if node.left == 0 {
                return at;
            }
            let bin = bins.bytes(node.column).of(row as u32);
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

    /// Splits a leaf: its rows before `middle` become its left child, the others its right one.
    pub(crate) fn split(&mut self, leaf: u32, best: &Best, missing_left: bool, middle: usize) {
        let left = self.nodes.len() as u32;
        let subset = best.subset.map(|mut subset| {
            // Levels without rows in the node go where missing values go.
            if missing_left {
                subset.iter_mut().zip(best.present).for_each(|(word, present)| *word |= !present);
            }
            self.subsets.push(subset);
            self.subsets.len() as u32 - 1
        });
        let node = &mut self.nodes[leaf as usize];
        let (begin, end) = (node.begin as usize, node.end as usize);
        (node.left, node.column, node.cut, node.gain) = (left, best.column, best.cut, best.gain);
        (node.missing_left, node.subset) = (missing_left, subset);
        self.nodes.extend([Node::leaf(begin, middle), Node::leaf(middle, end)]);
    }

    /// The same tree without the rows of its nodes.
    pub(crate) fn without_rows(&self) -> Self {
        let Self { nodes, subsets, bounds, cover, .. } = self;
        Self {
            nodes: nodes.clone(),
            subsets: subsets.clone(),
            rows: Vec::new(),
            bounds: bounds.clone(),
            cover: cover.clone(),
        }
    }

    /// Remembers the weight of the rows of each node, once it no longer grows: a node that is cut back later predicts as
    /// its parent, but keeps its own.
    pub(crate) fn weigh(&mut self, weight: impl Fn(u32) -> f64) {
        let mut cover = vec![0.0; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().rev() {
            // Children come after their parents.
            cover[i] = match node.left as usize {
                0 => self.rows_of(node).iter().map(|&row| weight(row)).sum(),
                left => cover[left] + cover[left + 1],
            };
        }
        self.cover = cover;
    }

    /// The number of the rows that a node grew on, by its index, or their weight.
    pub(crate) fn cover_of(&self, node: usize) -> f64 {
        let rows = || f64::from(self.nodes[node].end - self.nodes[node].begin);
        self.cover.get(node).copied().unwrap_or_else(rows)
    }

    /// Drops the nodes that are not to be kept.
    pub(crate) fn retain(&mut self, kept: &[bool]) {
        fn retain<T>(items: &mut Vec<T>, kept: &[bool]) {
            let mut kept = kept.iter();
            items.retain(|_| kept.next().copied().unwrap_or(false));
        }
        retain(&mut self.nodes, kept);
        retain(&mut self.cover, kept);
    }

    /// Sets the bounds of the children of a node.
    pub(crate) fn bound_children(&mut self, node: u32, bounds: [Bounds; 2]) {
        if self.bounds.is_empty() && bounds.iter().all(|bounds| bounds.is_free()) {
            return;
        }
        let left = self.nodes[node as usize].left as usize;
        self.bounds.resize(self.nodes.len(), Bounds::FREE);
        self.bounds[left..left + 2].copy_from_slice(&bounds);
    }

    /// The bounds of a node, by its index.
    pub(crate) fn bounds_of(&self, node: usize) -> Bounds {
        self.bounds.get(node).copied().unwrap_or(Bounds::FREE)
    }

    /// States all bounds in a unit of which there are so many in the one before.
    pub(crate) fn scale_bounds(&mut self, factor: f64) {
        self.bounds.iter_mut().for_each(|bounds| *bounds = bounds.times(factor));
    }

    /// Replaces a leaf by a subtree that grew on the rows from `begin` on.
    pub(crate) fn graft(&mut self, leaf: u32, begin: usize, subtree: &Self) {
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
        if !self.bounds.is_empty() || !subtree.bounds.is_empty() {
            // Those of the leaf stay.
            self.bounds.resize(n_nodes as usize, Bounds::FREE);
            self.bounds.extend((1..subtree.nodes.len()).map(|node| subtree.bounds_of(node)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grafted_subtree_is_as_one_that_grew_in_place() {
        let number = |column| Best { column, cut: 3, gain: 1.0, ..Best::none(0.0) };
        let category =
            |subset| Best { subset: Some([subset, 0, 0, 0]), present: [0b111, 0, 0, 0], ..number(7) };
        let shape = |tree: &Tree, root: usize| {
            // Column, rows and subset from the root on, left first.
            let (mut out, mut stack) = (Vec::new(), vec![root]);
            while let Some(i) = stack.pop() {
                let node = &tree.nodes[i];
                out.push((node.column, node.begin, node.end, node.subset.map(|s| tree.subsets[s as usize])));
                if node.left != 0 {
                    stack.extend([node.left as usize + 1, node.left as usize]);
                }
            }
            out
        };
        let mut whole = Tree::leaf(100);
        whole.split(0, &category(0b10), false, 40);
        let mut grafted = whole.clone();
        whole.split(2, &number(1), false, 60);
        whole.split(3, &category(0b01), true, 50);
        let mut subtree = Tree::leaf(60);
        subtree.split(0, &number(1), false, 20);
        subtree.split(1, &category(0b01), true, 10);
        grafted.graft(2, 40, &subtree);
        assert_eq!(shape(&whole, 0), shape(&grafted, 0));
        assert_eq!(whole.subsets[1][0], !0b110, "levels that the node has not seen go with missing values");
        assert_eq!(grafted.leaves().count(), 4);
    }
}
