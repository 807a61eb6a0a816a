//! Trees of short paths, by tables.
//!
//! What a leaf contributes depends on the row by one bit for each column of its path: whether the row takes all turns of
//! that column. Leaves that are near each other share most of their bits. So a tree is cut into parts whose leaves depend
//! on few bits together: those of the columns above the part, and one for each decision in it. A table has the sum of what
//! the leaves of a part contribute for each pattern of its bits, and a row looks it up. (Fast TreeSHAP v2 keeps such a
//! table for each leaf: Yang 2021, arXiv 2109.09847, section 4.) Leaves of long paths stay with [`super::paths`].

use super::super::quadrature::gauss_legendre;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, SUBSET};
use crate::model::predictor::trees::Trees;

/// Bits of a part at most, the first of them that keeps the tables of all trees within [`MAX_BYTES`].
const MOST_BITS: [u32; 4] = [8, 7, 6, 5];

/// Bytes of all tables.
const MAX_BYTES: usize = 12 << 20;

/// Nodes of a tree with tables: the paths of a larger one are too long for most of its leaves.
const MAX_NODES: usize = 511;

/// No node, no fact.
const NONE: u32 = u32::MAX;

/// The tables of one tree.
#[derive(Debug)]
pub(super) struct Tables {
    /// Of the inner nodes; the first facts about a row are what they decide.
    decisions: Vec<Decision>,
    /// The facts after them: two earlier ones hold.
    both: Vec<[Turn; 2]>,
    parts: Vec<Part>,
    /// The facts that are the bits of each part, the lowest first.
    bits: Vec<u32>,
    /// Where the values of a pattern belong: score times inputs plus input.
    slots: Vec<u32>,
    /// For each part and each pattern one number for each of its slots.
    values: Vec<f64>,
    /// By node from the root on: leaves that are in no part.
    left_over: Vec<bool>,
}

#[derive(Debug)]
struct Decision {
    node: u32,
    feature: u32,
    threshold: f64,
    missing_right: u32,
    is_subset: bool,
}

/// A fact, and the value of it that goes on along a path.
#[derive(Debug, Clone, Copy)]
struct Turn {
    fact: u32,
    value: u32,
}

#[derive(Debug)]
struct Part {
    n_bits: u32,
    n_slots: u32,
    first_slot: u32,
    first_value: u32,
}

/// The shape of a tree; nodes count from its root.
struct Shape<'a> {
    trees: &'a Trees,
    root: u32,
    /// Rows below each node.
    cover: &'a [f64],
    parent: Vec<u32>,
    /// The node that the last edge above on the same column leads to, of the edge that leads to each node.
    earlier: Vec<u32>,
    /// Different columns on the path to each node.
    n_columns: Vec<u32>,
}

/// A tree in parts.
struct Cut {
    /// The top node of each part and the bits of the part.
    tops: Vec<(u32, u32)>,
    /// Nodes that are in the part of their parent.
    joined: Vec<bool>,
    /// Leaves that are in no part.
    left_over: Vec<bool>,
}

/// The tables of each tree; `None` for trees that are better without. `covers`: rows below each node, of all trees.
pub(super) fn tables(trees: &Trees, covers: &[f64]) -> Vec<Option<Tables>> {
    let found = MOST_BITS.iter().find_map(|&bits| of_at_most(bits, trees, covers));
    found.unwrap_or_else(|| (0..trees.n_trees()).map(|_| None).collect())
}

/// As [`tables`], with parts of at most that many bits; `None` if they are too large.
pub(super) fn of_at_most(bits: u32, trees: &Trees, covers: &[f64]) -> Option<Vec<Option<Tables>>> {
    let (roots, width) = (&trees.parts().roots, trees.parts().width);
    let mut bytes = 0;
    let mut shapes = Vec::new();
    for (tree, &root) in roots.iter().enumerate() {
        let end = roots.get(tree + 1).map_or(covers.len(), |&end| end as usize);
        let cover = &covers[root as usize..end];
        let shape = (2..=MAX_NODES).contains(&cover.len()).then(|| Shape::new(trees, root, cover));
        let shape = shape.and_then(|shape| shape.cut(bits).map(|cut| (shape, cut)));
        let of_part = |(_, bits): &(u32, u32)| (*bits as usize * width * size_of::<f64>()) << bits;
        bytes += shape.iter().flat_map(|(_, cut)| cut.tops.iter().map(of_part)).sum::<usize>();
        if bytes > MAX_BYTES {
            return None;
        }
        shapes.push(shape);
    }
    Some(shapes.into_iter().map(|shape| shape.map(|(shape, cut)| Tables::new(&shape, cut))).collect())
}

impl<'a> Shape<'a> {
    fn new(trees: &'a Trees, root: u32, cover: &'a [f64]) -> Self {
        let n = cover.len();
        let mut shape =
            Self { trees, root, cover, parent: vec![NONE; n], earlier: vec![NONE; n], n_columns: vec![0; n] };
        for node in 0..n as u32 {
            let Some(kids) = shape.kids(node) else { continue };
            let mut above = node;
            while above != 0 && shape.feature_above(above) != shape.feature(node) {
                above = shape.parent[above as usize];
            }
            for kid in kids {
                shape.parent[kid as usize] = node;
                shape.earlier[kid as usize] = if above == 0 { NONE } else { above };
                shape.n_columns[kid as usize] = shape.n_columns[node as usize] + u32::from(above == 0);
            }
        }
        shape
    }

    fn feature(&self, node: u32) -> u32 {
        self.trees.parts().feature[(self.root + node) as usize]
    }

    /// The column that the edge to a node, which is not the root, asks for.
    fn feature_above(&self, node: u32) -> u32 {
        self.feature(self.parent[node as usize])
    }

    /// The children of a node, left and right.
    fn kids(&self, node: u32) -> Option<[u32; 2]> {
        let left = self.trees.parts().left[(self.root + node) as usize];
        (self.feature(node) != LEAF).then(|| [left - self.root, left + 1 - self.root])
    }

    /// 1 if a node, which is not the root, is the right child.
    fn side(&self, node: u32) -> u32 {
        node - self.kids(self.parent[node as usize]).map_or(node, |kids| kids[0])
    }

    /// The share of the rows of its parent that a node, which is not the root, has.
    fn share(&self, node: u32) -> f64 {
        self.cover[node as usize] / self.cover[self.parent[node as usize] as usize]
    }

    /// Cuts the tree into parts of at most `most_bits` bits, from the leaves up: a node joins the parts of its children, and
    /// where that has too many bits the larger of them is closed. `None` if most leaves have paths that are too long.
    fn cut(&self, most_bits: u32) -> Option<Cut> {
        let n = self.parent.len();
        // The decisions in the open part of which a node is the top.
        let mut open: Vec<Option<u32>> = vec![None; n];
        let mut cut = Cut { tops: Vec::new(), joined: vec![false; n], left_over: vec![false; n] };
        let (mut n_leaves, mut n_left_over) = (0, 0);
        for node in (0..n as u32).rev() {
            let Some(kids) = self.kids(node) else {
                open[node as usize] = Some(0);
                n_leaves += 1;
                continue;
            };
            let mut inside = kids.map(|kid| open[kid as usize]);
            while self.n_columns[node as usize] + 1 + inside.iter().flatten().sum::<u32>() > most_bits {
                // `None` is less than any number.
                let larger = usize::from(inside[1] > inside[0]);
                let Some(decisions) = inside[larger].take() else { break };
                let kid = kids[larger];
                let bits = self.n_columns[kid as usize] + decisions;
                if bits <= most_bits {
                    cut.tops.push((kid, bits));
                } else {
                    cut.left_over[kid as usize] = true;
                    n_left_over += 1;
                }
            }
            for (kid, inside) in kids.iter().zip(inside) {
                cut.joined[*kid as usize] = inside.is_some();
            }
            if inside.iter().any(Option::is_some) {
                open[node as usize] = Some(1 + inside.iter().flatten().sum::<u32>());
            }
        }
        cut.tops.extend(open[0].map(|decisions| (0, decisions)));
        (2 * n_left_over <= n_leaves).then_some(cut)
    }
}

impl Tables {
    fn new(shape: &Shape, cut: Cut) -> Self {
        let parts = shape.trees.parts();
        let mut fact_of_node = vec![NONE; shape.parent.len()];
        let mut decisions = Vec::new();
        for (node, fact) in fact_of_node.iter_mut().enumerate() {
            let at = shape.root as usize + node;
            if parts.feature[at] != LEAF {
                *fact = decisions.len() as u32;
                decisions.push(Decision {
                    node: at as u32,
                    feature: parts.feature[at],
                    threshold: parts.threshold[at],
                    missing_right: u32::from(parts.flags[at] & MISSING_LEFT == 0),
                    is_subset: parts.flags[at] & SUBSET != 0,
                });
            }
        }
        let mut tables = Self {
            decisions,
            both: Vec::new(),
            parts: Vec::new(),
            bits: Vec::new(),
            slots: Vec::new(),
            values: Vec::new(),
            left_over: Vec::new(),
        };
        let mut taken = vec![None; shape.parent.len()];
        let mut scratch = Scratch::default();
        for &(top, _) in &cut.tops {
            tables.add_part(shape, &cut, top, &fact_of_node, &mut taken, &mut scratch);
        }
        tables.left_over = cut.left_over;
        tables
    }

    #[cfg(test)]
    pub(super) fn leave_some(&self) -> bool {
        self.left_over.contains(&true)
    }

    /// Whether a leaf, counted from the root, is in no part.
    pub(super) fn leaves_over(&self, leaf: u32) -> bool {
        self.left_over[leaf as usize]
    }

    /// The fact that a row takes all turns of a column down to a node.
    fn taken(&mut self, shape: &Shape, node: u32, facts: &[u32], known: &mut [Option<Turn>]) -> Turn {
        if let Some(turn) = known[node as usize] {
            return turn;
        }
        let own = Turn { fact: facts[shape.parent[node as usize] as usize], value: shape.side(node) };
        let turn = match shape.earlier[node as usize] {
            NONE => own,
            earlier => {
                let before = self.taken(shape, earlier, facts, known);
                self.both.push([before, own]);
                Turn { fact: (self.decisions.len() + self.both.len() - 1) as u32, value: 1 }
            }
        };
        known[node as usize] = Some(turn);
        turn
    }

    /// Makes the table of the part below a node.
    fn add_part(
        &mut self,
        shape: &Shape,
        cut: &Cut,
        top: u32,
        facts: &[u32],
        known: &mut [Option<Turn>],
        scratch: &mut Scratch,
    ) {
        // The columns above, the nearest to the part first.
        let (mut columns, mut turns, mut shares) = (Vec::new(), Vec::new(), Vec::<f64>::new());
        let mut node = top;
        while node != 0 {
            let feature = shape.feature_above(node);
            match columns.iter().position(|known| *known == feature) {
                Some(at) => shares[at] *= shape.share(node),
                None => {
                    columns.push(feature);
                    turns.push(self.taken(shape, node, facts, known));
                    shares.push(shape.share(node));
                }
            }
            node = shape.parent[node as usize];
        }
        let n_above = columns.len();
        let (mut inside, mut leaves, mut stack) = (Vec::new(), Vec::new(), vec![top]);
        while let Some(node) = stack.pop() {
            let Some(kids) = shape.kids(node) else {
                leaves.push(node);
                continue;
            };
            inside.push(node);
            if !columns.contains(&shape.feature(node)) {
                columns.push(shape.feature(node));
            }
            stack.extend(kids.iter().rev().filter(|kid| cut.joined[**kid as usize]));
        }
        let parts = shape.trees.parts();
        let (width, n_bits) = (parts.width, n_above + inside.len());
        let n_slots = width * columns.len();
        let first_value = self.values.len();
        self.parts.push(Part {
            n_bits: n_bits as u32,
            n_slots: n_slots as u32,
            first_slot: self.slots.len() as u32,
            first_value: first_value as u32,
        });
        self.bits.extend(turns.iter().map(|turn| turn.fact));
        self.bits.extend(inside.iter().map(|node| facts[*node as usize]));
        let n_inputs = shape.trees.n_inputs() as u32;
        for score in 0..width as u32 {
            self.slots.extend(columns.iter().map(|column| score * n_inputs + column));
        }
        self.values.resize(first_value + (n_slots << n_bits), 0.0);
        let values = &mut self.values[first_value..];
        for &leaf in &leaves {
            // The leaf's own columns: those above, then those of its path in the part.
            scratch.shares.clear();
            scratch.shares.extend(&shares);
            let mut own: Vec<usize> = (0..n_above).collect();
            // By bit: the value that goes on to the leaf, and its column, of those that matter.
            let mut needed: Vec<Option<(u32, usize)>> =
                turns.iter().enumerate().map(|(at, turn)| Some((turn.value, at))).collect();
            needed.resize(n_bits, None);
            let mut node = leaf;
            while node != top {
                let above = shape.parent[node as usize];
                let feature = shape.feature(above);
                let column = columns.iter().position(|known| *known == feature).unwrap_or(0);
                let at = own.iter().position(|known| *known == column).unwrap_or(own.len());
                if at == own.len() {
                    own.push(column);
                    scratch.shares.push(1.0);
                }
                scratch.shares[at] *= shape.share(node);
                let bit = inside.iter().position(|known| *known == above).unwrap_or(0);
                needed[n_above + bit] = Some((shape.side(node), at));
                node = above;
            }
            scratch.fill_leaf();
            // The columns whose turns are all taken, for each pattern of bits.
            scratch.patterns.clear();
            scratch.patterns.push((1_usize << own.len()) - 1);
            for needed in needed {
                for at in 0..scratch.patterns.len() {
                    let pattern = scratch.patterns[at];
                    let (zero, one) = match needed {
                        None => (pattern, pattern),
                        Some((1, column)) => (pattern & !(1 << column), pattern),
                        Some((_, column)) => (pattern, pattern & !(1 << column)),
                    };
                    scratch.patterns[at] = zero;
                    scratch.patterns.push(one);
                }
            }
            let row = parts.left[(shape.root + leaf) as usize] as usize;
            let of_leaf = &parts.values[row * width..(row + 1) * width];
            let n_own = own.len();
            for (values, &pattern) in values.chunks_exact_mut(n_slots).zip(&scratch.patterns) {
                let shares = &scratch.values[pattern * n_own..(pattern + 1) * n_own];
                for (values, value) in values.chunks_exact_mut(columns.len()).zip(of_leaf) {
                    for (&column, share) in own.iter().zip(shares) {
                        values[column] += value / parts.divisor * share;
                    }
                }
            }
        }
    }

    /// Adds the values of the tree for up to `L` rows. `lanes`: each input of all rows; `facts` is memory that is used for
    /// tree after tree; `out`: those of all scores of each row, of which the tree's begin at `first_slot`.
    #[inline(always)]
    pub(super) fn add<const L: usize>(
        &self,
        trees: &Trees,
        (x, lanes): (&[f64], &[[f64; L]]),
        facts: &mut Vec<[u32; L]>,
        (out, stride, first_slot): (&mut [f64], usize, usize),
    ) {
        let n_inputs = trees.n_inputs();
        facts.clear();
        for decision in &self.decisions {
            let mut goes_right = [0; L];
            if decision.is_subset {
                for (goes_right, x) in goes_right.iter_mut().zip(x.chunks_exact(n_inputs)) {
                    *goes_right = u32::from(trees.goes_right(decision.node, x));
                }
            } else {
                let values = &lanes[decision.feature as usize];
                for l in 0..L {
                    goes_right[l] = u32::from(values[l] > decision.threshold)
                        | (u32::from(values[l].is_nan()) & decision.missing_right);
                }
            }
            facts.push(goes_right);
        }
        for [first, second] in &self.both {
            let (a, b) = (facts[first.fact as usize], facts[second.fact as usize]);
            facts.push(std::array::from_fn(|l| (a[l] ^ first.value ^ 1) & (b[l] ^ second.value ^ 1)));
        }
        let mut bits = &self.bits[..];
        for part in &self.parts {
            let (own, rest) = bits.split_at(part.n_bits as usize);
            bits = rest;
            let mut patterns = [0; L];
            for &fact in own.iter().rev() {
                let fact = &facts[fact as usize];
                for l in 0..L {
                    patterns[l] = 2 * patterns[l] + fact[l];
                }
            }
            let n = part.n_slots as usize;
            let slots = &self.slots[part.first_slot as usize..][..n];
            for (out, pattern) in out.chunks_exact_mut(stride).zip(patterns) {
                let out = &mut out[first_slot..];
                let values = &self.values[part.first_value as usize + pattern as usize * n..][..n];
                for (slot, value) in slots.iter().zip(values) {
                    out[*slot as usize] += value;
                }
            }
        }
    }
}

/// Memory that is used for leaf after leaf.
#[derive(Default)]
struct Scratch {
    /// Of a leaf: the share of the rows that took all turns of each of its columns.
    shares: Vec<f64>,
    products: Vec<f64>,
    by_hot: Vec<f64>,
    by_rest: Vec<f64>,
    /// For each pattern of columns whose turns are all taken, lowest bit first, the contribution of each column to a leaf
    /// of value 1.
    values: Vec<f64>,
    patterns: Vec<usize>,
    /// Nodes and weights, by their number.
    rules: Vec<(Vec<f64>, Vec<f64>)>,
}

impl Scratch {
    /// Fills the values of a leaf from its shares.
    fn fill_leaf(&mut self) {
        let m = self.shares.len();
        let n = m.div_ceil(2).max(1);
        while self.rules.len() <= n {
            self.rules.push(gauss_legendre(self.rules.len()));
        }
        let (nodes, weights) = &self.rules[n];
        // Products of the factors of all columns, for each pattern.
        self.products.clear();
        self.products.extend(weights);
        for share in &self.shares {
            for at in 0..self.products.len() {
                let (product, t) = (self.products[at], nodes[at % n]);
                let cold = share * (1.0 - t);
                self.products[at] = product * cold;
                self.products.push(product * (cold + t));
            }
        }
        // One by the factor of each column whose turns are all taken.
        self.by_hot.clear();
        for share in &self.shares {
            self.by_hot.extend(nodes.iter().map(|t| 1.0 / (share * (1.0 - t) + t)));
        }
        self.by_rest.clear();
        self.by_rest.extend(nodes.iter().map(|t| 1.0 / (1.0 - t)));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        self.values.clear();
        for (pattern, products) in self.products.chunks_exact(n).enumerate() {
            for (column, (share, by_hot)) in self.shares.iter().zip(self.by_hot.chunks_exact(n)).enumerate() {
                self.values.push(match pattern >> column & 1 {
                    1 => (1.0 - share) * dot(products, by_hot),
                    // −z by z (1 − t) is −1 by 1 − t.
                    _ => -dot(products, &self.by_rest),
                });
            }
        }
    }
}
