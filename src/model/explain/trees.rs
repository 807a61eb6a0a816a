//! Shapley values of trees, exactly.
//!
//! **Path-dependent** (Lundberg, Erion and Lee 2018, "Consistent individualized feature attribution for tree
//! ensembles", arXiv 1802.03888): a column that is not known goes both ways, in proportion to the rows that training
//! sent there. A leaf of value v is then worth v Π oⱼ Π zₖ to a set of known columns j and unknown ones k of its path: o
//! is 1 if the row takes all turns of that column and else 0, z the product of the shares of rows that did. The Shapley
//! value of column j is
//!
//! v (oⱼ − zⱼ) ∫₀¹ Π over the other columns k of (zₖ (1 − t) + oₖ t) dt,
//!
//! a polynomial of degree m − 1 for m columns on the path, for which ⌈m / 2⌉ points of Gauss and Legendre are exact
//! (arXiv 2605.04497). Products go down the tree, sums come up; a column that occurs again divides out its earlier factor.
//! The cost is the number of nodes times the points, eight rows side by side.
//!
//! A row by itself has the points side by side instead. [`super::interventional`] compares with rows of a background.

use fearless_simd::{Level, dispatch};

use super::quadrature::gauss_legendre;
use crate::model::predictor::tree_arrays::LEAF;
use crate::model::predictor::trees::Trees;

/// Rows that go through a tree together.
const LANES: usize = 8;

/// Fewer rows than this go one by one.
const MIN_TOGETHER: usize = 3;

/// Points of quadrature at most: exact for paths of 128 different columns, and to the last digits for longer ones.
const MAX_POINTS: usize = 64;

/// Bytes of prepared constants that are kept; those of larger forests are made tree by tree for each block of rows.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Points of one row side by side.
type Eight = [f64; 8];

/// No edge.
const NONE: u32 = u32::MAX;

/// From a node to one of its children.
#[derive(Debug, Clone)]
struct Edge {
    parent: u32,
    child: u32,
    /// Of the child; that of the root is 0.
    depth: u32,
    feature: u32,
    is_right: bool,
    is_leaf: bool,
    /// The share of the rows that took all turns of this feature down to here.
    share: f64,
    /// The last edge above on the same feature.
    earlier: u32,
}

/// What does not depend on the row.
#[derive(Debug, Clone)]
struct Tree {
    /// Parents before their children, left before right.
    edges: Vec<Edge>,
    depth: usize,
    nodes: Vec<f64>,
    weights: Vec<f64>,
    /// For each edge z (1 − t) of every point t, then one by these, then one by these plus t.
    constants: Vec<f64>,
    /// The features that it splits on, ascending.
    features: Vec<u32>,
    /// What single rows need.
    single: Points,
}

/// The points for a row by itself: eight side by side, filled up with points of weight 0. Constants that a product makes
/// are not stored: a row reads all of them once, from a slow cache.
#[derive(Debug, Clone)]
struct Points {
    /// For each eight: t, then 1 − t, then one by that, then the weights.
    of_tree: Vec<[Eight; 4]>,
    /// For each edge and each eight one by z (1 − t) + t of every point.
    by_hot: Vec<Eight>,
}

impl Points {
    fn new(edges: &[Edge], nodes: &[f64], weights: &[f64]) -> Self {
        let eight = |block: usize, value: &dyn Fn(f64, f64) -> f64| -> Eight {
            std::array::from_fn(|l| {
                let at = 8 * block + l;
                value(nodes.get(at).copied().unwrap_or(0.0), weights.get(at).copied().unwrap_or(0.0))
            })
        };
        let blocks = 0..nodes.len().div_ceil(8);
        let of_tree = |block: usize| {
            [
                eight(block, &|t, _| t),
                eight(block, &|t, _| 1.0 - t),
                eight(block, &|t, _| 1.0 / (1.0 - t)),
                eight(block, &|_, weight| weight),
            ]
        };
        let of_edge = |edge: &Edge, block: usize| eight(block, &|t, _| 1.0 / (edge.share * (1.0 - t) + t));
        let mut by_hot = Vec::with_capacity(edges.len() * blocks.len());
        edges.iter().for_each(|edge| by_hot.extend(blocks.clone().map(|block| of_edge(edge, block))));
        Self { of_tree: blocks.map(of_tree).collect(), by_hot }
    }
}

impl Tree {
    /// `cover`: of the nodes of the tree, whose root is node `root` of all.
    fn new(trees: &Trees, root: u32, cover: &[f64]) -> Self {
        let mut edges: Vec<Edge> = Vec::new();
        let (mut path, mut depth, mut most) = (Vec::<u32>::new(), 0, 0);
        let parts = trees.parts();
        let is_leaf = |node: u32| parts.feature[node as usize] == LEAF;
        let cover = |node: u32| cover[(node - root) as usize];
        // The right child below the left one.
        let mut stack: Vec<(u32, u32, bool)> = Vec::new();
        let open = |node: u32, depth: u32, stack: &mut Vec<(u32, u32, bool)>| {
            if !is_leaf(node) {
                stack.extend([(node, depth, true), (node, depth, false)]);
            }
        };
        open(root, 1, &mut stack);
        while let Some((parent, at_depth, is_right)) = stack.pop() {
            let child = parts.left[parent as usize] + u32::from(is_right);
            let feature = parts.feature[parent as usize];
            path.truncate(at_depth as usize - 1);
            let earlier = path.iter().rev().copied().find(|&edge| edges[edge as usize].feature == feature);
            let share = cover(child) / cover(parent);
            let before = earlier.map_or(1.0, |edge| edges[edge as usize].share);
            path.push(edges.len() as u32);
            edges.push(Edge {
                parent,
                child,
                depth: at_depth,
                feature,
                is_right,
                is_leaf: is_leaf(child),
                share: before * share,
                earlier: earlier.unwrap_or(NONE),
            });
            if is_leaf(child) {
                let is_first = |edge: &&u32| edges[**edge as usize].earlier == NONE;
                most = most.max(path.iter().filter(is_first).count());
                depth = depth.max(path.len());
            }
            open(child, at_depth + 1, &mut stack);
        }
        let (nodes, weights) = gauss_legendre(most.div_ceil(2).clamp(1, MAX_POINTS));
        let mut constants = Vec::with_capacity(3 * edges.len() * nodes.len());
        for edge in &edges {
            let cold = |t: &f64| edge.share * (1.0 - t);
            constants.extend(nodes.iter().map(cold));
            constants.extend(nodes.iter().map(|t| 1.0 / cold(t)));
            constants.extend(nodes.iter().map(|t| 1.0 / (cold(t) + t)));
        }
        let mut features: Vec<u32> = edges.iter().map(|edge| edge.feature).collect();
        features.sort_unstable();
        features.dedup();
        let single = Points::new(&edges, &nodes, &weights);
        Self { edges, depth, nodes, weights, constants, features, single }
    }

    fn bytes(&self) -> usize {
        self.edges.len() * size_of::<Edge>()
            + self.constants.len() * size_of::<f64>()
            + self.single.by_hot.len() * size_of::<Eight>()
    }

    /// The constants of an edge: z (1 − t), one by it, and one by it plus t.
    #[inline(always)]
    fn of(&self, edge: u32) -> [&[f64]; 3] {
        let n = self.nodes.len();
        let of_edge = &self.constants[edge as usize * 3 * n..(edge as usize + 1) * 3 * n];
        [&of_edge[..n], &of_edge[n..2 * n], &of_edge[2 * n..]]
    }
}

/// Memory that is used for tree after tree; index by depth, then by score, then by point.
#[derive(Default)]
struct Buffers<const L: usize> {
    /// Which way the rows turn at each depth, 1 for right.
    turns: Vec<[f64; L]>,
    /// Whether they have taken all turns of the feature.
    taken: Vec<[f64; L]>,
    products: Vec<[f64; L]>,
    sums: Vec<[f64; L]>,
    /// The contributions, by score and feature; 0 between trees.
    values: Vec<[f64; L]>,
    path: Vec<u32>,
}

/// Explains trees.
#[derive(Debug)]
pub(super) struct TreeExplainer {
    /// Empty if they are too large to keep.
    trees: Vec<Tree>,
    /// Per node: the rows below it.
    cover: Vec<f64>,
    /// Per score: the mean over the rows that the trees grew on.
    base: Vec<f64>,
}

impl TreeExplainer {
    /// Prepares what does not depend on the row; `None` if the trees do not know the rows of their leaves.
    pub(super) fn new(trees: &Trees) -> Option<Self> {
        let parts = trees.parts();
        let cover = node_covers(trees)?;
        let (n_scores, width) = (parts.base.len(), parts.width);
        let mut sums = vec![0.0; n_scores];
        let mut tree = 0;
        for (node, (&feature, &row)) in parts.feature.iter().zip(&parts.left).enumerate() {
            tree += usize::from(parts.roots.get(tree + 1) == Some(&(node as u32)));
            if feature == LEAF {
                let share = cover[node] / cover[parts.roots[tree] as usize];
                let values = &parts.values[row as usize * width..(row as usize + 1) * width];
                let sums = if width == 1 { &mut sums[tree % n_scores..][..1] } else { &mut sums[..] };
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
            }
        }
        let base = sums.iter().zip(&parts.base).map(|(sum, base)| base + sum / parts.divisor).collect();
        let mut explainer = Self { trees: Vec::new(), cover, base };
        let mut bytes = 0;
        for tree in 0..trees.n_trees() {
            explainer.trees.push(explainer.tree(trees, tree));
            bytes += explainer.trees[tree].bytes();
            if bytes > MAX_KEPT_BYTES {
                explainer.trees = Vec::new();
                break;
            }
        }
        Some(explainer)
    }

    fn tree(&self, trees: &Trees, tree: usize) -> Tree {
        let roots = &trees.parts().roots;
        let root = roots[tree];
        let end = roots.get(tree + 1).copied().unwrap_or(self.cover.len() as u32);
        Tree::new(trees, root, &self.cover[root as usize..end as usize])
    }

    /// The mean of each score over the rows that the trees grew on.
    pub(super) fn base(&self) -> &[f64] {
        &self.base
    }

    /// The rows below each node.
    pub(super) fn cover(&self) -> &[f64] {
        &self.cover
    }

    /// Path-dependent values of rows of raw codes: for each row `n_scores × n_inputs` numbers, added to `out`.
    pub(super) fn explain(&self, trees: &Trees, x: &[f64], out: &mut [f64]) {
        let n_inputs = trees.n_inputs();
        let n_rows = x.len() / n_inputs;
        let (mut together, mut single) = (Buffers::<LANES>::default(), Single::default());
        let mut made;
        for index in 0..trees.n_trees() {
            let tree = match self.trees.get(index) {
                Some(tree) => tree,
                None => {
                    made = self.tree(trees, index);
                    &made
                }
            };
            let stride = trees.n_scores() * n_inputs;
            let mut row = 0;
            while row < n_rows {
                let n = (n_rows - row).min(LANES);
                let n = if n < MIN_TOGETHER { 1 } else { n };
                let (x, out) =
                    (&x[row * n_inputs..(row + n) * n_inputs], &mut out[row * stride..(row + n) * stride]);
                // With the widest instructions that the processor has.
                if n == 1 {
                    dispatch!(Level::new(), _simd => add_single(trees, index, tree, &mut single, x, out));
                } else {
                    dispatch!(Level::new(), _simd => add(trees, index, tree, &mut together, x, out));
                }
                row += n;
            }
        }
    }
}

/// The rows below each node; `None` if the trees do not know those of their leaves.
fn node_covers(trees: &Trees) -> Option<Vec<f64>> {
    let parts = trees.parts();
    if parts.cover.is_empty() {
        return None;
    }
    let mut cover = vec![0.0; parts.feature.len()];
    let mut leaves = parts.cover.iter().rev();
    for node in (0..cover.len()).rev() {
        // Children come after their parents.
        cover[node] = match parts.feature[node] {
            LEAF => *leaves.next()?,
            _ => cover[parts.left[node] as usize] + cover[parts.left[node] as usize + 1],
        };
    }
    Some(cover)
}

/// Adds the values of one tree for up to `L` rows.
#[inline(always)]
fn add<const L: usize>(
    trees: &Trees,
    index: usize,
    tree: &Tree,
    buffers: &mut Buffers<L>,
    x: &[f64],
    out: &mut [f64],
) {
    let parts = trees.parts();
    let (n_inputs, n_scores, width) = (trees.n_inputs(), trees.n_scores(), parts.width);
    let (n_rows, n_points) = (x.len() / n_inputs, tree.nodes.len());
    let first_score = if width == 1 { index % n_scores } else { 0 };
    let Buffers { turns, taken, products, sums, values, path } = buffers;
    let n_levels = tree.depth + 1;
    let grow = |items: &mut Vec<[f64; L]>, n: usize| items.resize(items.len().max(n), [0.0; L]);
    grow(turns, n_levels);
    grow(taken, n_levels);
    grow(products, n_levels * n_points);
    grow(sums, n_levels * width * n_points);
    grow(values, width * n_inputs);
    products.iter_mut().zip(&tree.weights).for_each(|(product, &weight)| *product = [weight; L]);
    for at in 0..=tree.edges.len() {
        let edge = tree.edges.get(at);
        // Leaves the nodes that are not above the next one: their sums are complete.
        while path.len() >= edge.map_or(1, |edge| edge.depth as usize)
            && let Some(left) = path.pop()
        {
            let edge = &tree.edges[left as usize];
            let (depth, earlier) = (edge.depth as usize, edge.earlier);
            for score in 0..width {
                let (above, own) = sums[(depth - 1) * width * n_points..].split_at_mut(width * n_points);
                let own = &own[score * n_points..(score + 1) * n_points];
                let above = &mut above[score * n_points..(score + 1) * n_points];
                let now = &taken[depth];
                let mut value = without(own, tree.of(left), now);
                for l in 0..L {
                    value[l] *= now[l] - edge.share;
                }
                if earlier != NONE {
                    // Leaves below here have the later factor of the feature, not the earlier one.
                    let before = &tree.edges[earlier as usize];
                    let then = &taken[before.depth as usize];
                    let other = without(own, tree.of(earlier), then);
                    for l in 0..L {
                        value[l] -= other[l] * (then[l] - before.share);
                    }
                }
                for (above, own) in above.iter_mut().zip(own) {
                    for l in 0..L {
                        above[l] += own[l];
                    }
                }
                let sum = &mut values[score * n_inputs + edge.feature as usize];
                for l in 0..L {
                    sum[l] += value[l];
                }
            }
        }
        let Some(edge) = edge else { break };
        let depth = edge.depth as usize;
        if !edge.is_right {
            for (row, turn) in turns[depth].iter_mut().enumerate().take(n_rows) {
                let goes_right = trees.goes_right(edge.parent, &x[row * n_inputs..(row + 1) * n_inputs]);
                *turn = f64::from(u8::from(goes_right));
            }
        }
        let mut now = turns[depth];
        if !edge.is_right {
            now.iter_mut().for_each(|turn| *turn = 1.0 - *turn);
        }
        let (above, own) = products[(depth - 1) * n_points..].split_at_mut(n_points);
        let own = &mut own[..n_points];
        let [cold, ..] = tree.of(at as u32);
        if edge.earlier == NONE {
            for (((own, above), cold), t) in own.iter_mut().zip(above).zip(cold).zip(&tree.nodes) {
                for l in 0..L {
                    own[l] = above[l] * (cold + now[l] * t);
                }
            }
        } else {
            let then = taken[tree.edges[edge.earlier as usize].depth as usize];
            for l in 0..L {
                now[l] *= then[l];
            }
            let [_, by_cold, by_hot] = tree.of(edge.earlier);
            let factors = cold.iter().zip(&tree.nodes).zip(by_cold.iter().zip(by_hot));
            for ((own, above), ((cold, t), (by_cold, by_hot))) in own.iter_mut().zip(above).zip(factors) {
                let by = chosen(&then, *by_hot, *by_cold);
                for l in 0..L {
                    own[l] = above[l] * by[l] * (cold + now[l] * t);
                }
            }
        }
        taken[depth] = now;
        let below = &mut sums[depth * width * n_points..(depth + 1) * width * n_points];
        if edge.is_leaf {
            let row = parts.left[edge.child as usize] as usize;
            let of_leaf = &parts.values[row * width..(row + 1) * width];
            for (below, &value) in below.chunks_exact_mut(n_points).zip(of_leaf) {
                for (below, own) in below.iter_mut().zip(&*own) {
                    for l in 0..L {
                        below[l] = value * own[l];
                    }
                }
            }
        } else {
            below.fill([0.0; L]);
        }
        path.push(at as u32);
    }
    let unit = 1.0 / parts.divisor;
    for score in 0..width {
        for &feature in &tree.features {
            let value = std::mem::replace(&mut values[score * n_inputs + feature as usize], [0.0; L]);
            let slot = (first_score + score) * n_inputs + feature as usize;
            for (row, value) in value.iter().enumerate().take(n_rows) {
                out[row * n_scores * n_inputs + slot] += value * unit;
            }
        }
    }
}

/// Memory for one row that is used for tree after tree, as [`Buffers`].
#[derive(Default)]
struct Single {
    turns: Vec<bool>,
    taken: Vec<bool>,
    products: Vec<Eight>,
    sums: Vec<Eight>,
    values: Vec<f64>,
    path: Vec<u32>,
}

/// Adds the values of one tree for one row: as [`add`], with the points side by side, which are added up.
#[inline(always)]
fn add_single(trees: &Trees, index: usize, tree: &Tree, buffers: &mut Single, x: &[f64], out: &mut [f64]) {
    let parts = trees.parts();
    let (n_inputs, n_scores, width) = (trees.n_inputs(), trees.n_scores(), parts.width);
    let Single { turns, taken, products, sums, values, path } = buffers;
    let n_levels = tree.depth + 1;
    turns.resize(turns.len().max(n_levels), false);
    taken.resize(taken.len().max(n_levels), false);
    products.resize(products.len().max(n_levels), [0.0; 8]);
    sums.resize(sums.len().max(n_levels * width), [0.0; 8]);
    values.resize(values.len().max(width * n_inputs), 0.0);
    let n_blocks = tree.single.of_tree.len();
    for (block, [points, rests, by_rests, weights]) in tree.single.of_tree.iter().enumerate() {
        let by_hot = |edge: u32| &tree.single.by_hot[edge as usize * n_blocks + block];
        // What a sum of leaves contributes by an edge: without the factor of the edge, times what the row's turns differ from
        // the share by.
        let part = |sum: &Eight, edge: u32, is_taken: bool| match is_taken {
            true => dot(sum, by_hot(edge)) * (1.0 - tree.edges[edge as usize].share),
            // −z by z (1 − t) is −1 by 1 − t.
            false => -dot(sum, by_rests),
        };
        products[0] = *weights;
        for (at, edge) in tree.edges.iter().enumerate() {
            let depth = edge.depth as usize;
            while path.len() >= depth
                && let Some(left) = path.pop()
            {
                leave(tree, left, (width, n_inputs), (sums, values), taken, &part);
            }
            if !edge.is_right {
                turns[depth] = trees.goes_right(edge.parent, x);
            }
            let mut now = turns[depth] == edge.is_right;
            let mut own = products[depth - 1];
            if edge.earlier != NONE {
                let before = &tree.edges[edge.earlier as usize];
                let is_taken = taken[before.depth as usize];
                now &= is_taken;
                let (by, unit) = match is_taken {
                    true => (by_hot(edge.earlier), 1.0),
                    false => (by_rests, 1.0 / before.share),
                };
                for l in 0..8 {
                    own[l] *= by[l] * unit;
                }
            }
            let hot = if now { 1.0 } else { 0.0 };
            for l in 0..8 {
                own[l] *= edge.share * rests[l] + hot * points[l];
            }
            if !edge.is_leaf {
                (taken[depth], products[depth]) = (now, own);
                sums[depth * width..(depth + 1) * width].fill([0.0; 8]);
                path.push(at as u32);
                continue;
            }
            let row = parts.left[edge.child as usize] as usize;
            let of_leaf = &parts.values[row * width..(row + 1) * width];
            let above = &mut sums[(depth - 1) * width..depth * width];
            for (score, (above, &value)) in above.iter_mut().zip(of_leaf).enumerate() {
                let mut sum = own;
                for l in 0..8 {
                    sum[l] *= value;
                    above[l] += sum[l];
                }
                let mut contribution = part(&sum, at as u32, now);
                if edge.earlier != NONE {
                    let then = taken[tree.edges[edge.earlier as usize].depth as usize];
                    contribution -= part(&sum, edge.earlier, then);
                }
                values[score * n_inputs + edge.feature as usize] += contribution;
            }
        }
        while let Some(left) = path.pop() {
            leave(tree, left, (width, n_inputs), (sums, values), taken, &part);
        }
    }
    let (unit, first_score) = (1.0 / parts.divisor, if width == 1 { index % n_scores } else { 0 });
    for score in 0..width {
        for &feature in &tree.features {
            let value = std::mem::take(&mut values[score * n_inputs + feature as usize]);
            out[(first_score + score) * n_inputs + feature as usize] += value * unit;
        }
    }
}

/// Leaves the node below an edge, whose sums are complete.
#[inline(always)]
fn leave(
    tree: &Tree,
    left: u32,
    (width, n_inputs): (usize, usize),
    (sums, values): (&mut [Eight], &mut [f64]),
    taken: &[bool],
    part: &impl Fn(&Eight, u32, bool) -> f64,
) {
    let edge = &tree.edges[left as usize];
    let depth = edge.depth as usize;
    let (above, own) = sums.split_at_mut(depth * width);
    let above = &mut above[(depth - 1) * width..];
    for (score, (above, sum)) in above.iter_mut().zip(own).enumerate() {
        let mut contribution = part(sum, left, taken[depth]);
        if edge.earlier != NONE {
            // Leaves below here have the later factor of the feature, not the earlier one.
            let then = taken[tree.edges[edge.earlier as usize].depth as usize];
            contribution -= part(sum, edge.earlier, then);
        }
        for l in 0..8 {
            above[l] += sum[l];
        }
        values[score * n_inputs + edge.feature as usize] += contribution;
    }
}

/// The sum of the products, in the order of a tree.
#[inline(always)]
fn dot(a: &Eight, b: &Eight) -> f64 {
    let mut products = [0.0; 8];
    for l in 0..8 {
        products[l] = a[l] * b[l];
    }
    let four: [f64; 4] = std::array::from_fn(|l| products[l] + products[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The integral without the factor of an edge, whose turns the rows have taken or not.
#[inline(always)]
fn without<const L: usize>(
    sums: &[[f64; L]],
    [_, by_cold, by_hot]: [&[f64]; 3],
    taken: &[f64; L],
) -> [f64; L] {
    let mut value = [0.0; L];
    for ((sum, by_cold), by_hot) in sums.iter().zip(by_cold).zip(by_hot) {
        let by = chosen(taken, *by_hot, *by_cold);
        for l in 0..L {
            value[l] += sum[l] * by[l];
        }
    }
    value
}

/// One of two numbers for each row. By masks: as a branch it is not vectorised.
#[inline(always)]
fn chosen<const L: usize>(taken: &[f64; L], hot: f64, cold: f64) -> [f64; L] {
    let (hot, cold) = (hot.to_bits(), cold.to_bits());
    std::array::from_fn(|l| {
        let mask = 0_u64.wrapping_sub(u64::from(taken[l] > 0.5));
        f64::from_bits((hot & mask) | (cold & !mask))
    })
}

#[cfg(test)]
mod tests {
    use super::super::interactions::Interactions;
    use super::super::interventional::add_interventional;
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::{Dataset, Labels, Spec, Unwatched, algorithm};
    use crate::model::predictor::Predictor;
    use crate::random::{below, generator, unit_interval};

    /// Two numbers and two categories, each with missing values.
    fn table(n: usize, n_columns: usize) -> Matrix {
        let mut random = generator(5);
        let mut x = Matrix::with_capacity(n, n_columns);
        for _ in 0..n {
            for (j, value) in x.push_row(0.0).iter_mut().enumerate() {
                let drawn = unit_interval(&mut random);
                *value = match j % 4 {
                    _ if below(9, &mut random) == 0 => f64::NAN,
                    3 => (drawn * 30.0).floor(),
                    _ => (drawn * 50.0).round() / 50.0,
                };
            }
        }
        x
    }

    fn fitted(name: &str, x: &Matrix, task: Task, n_classes: usize, settings: &[(&str, &str)]) -> Trees {
        let algorithm = algorithm(name).unwrap();
        let sum = |row: &[f64]| {
            let of = |value: f64| if value.is_nan() { 0.7 } else { value };
            let levels = if of(row[3]) as usize * 7 % 5 < 2 { 1.0 } else { 0.0 };
            of(row[0]) * of(row[1]) + levels + 0.3 * of(row[2])
        };
        let values: Vec<f64> = x.rows().map(sum).collect();
        let codes: Vec<u32> =
            values.iter().map(|value| ((value * 1.3) as u32).min(n_classes.max(1) as u32 - 1)).collect();
        let weights: Vec<f64> = (0..x.n_rows()).map(|i| 0.5 + (i % 4) as f64).collect();
        let levels: Vec<usize> = (0..x.n_cols()).map(|j| if j % 4 == 3 { 30 } else { 0 }).collect();
        let y = match task {
            Task::Regression => Labels::Values(&values),
            Task::Classification => Labels::Classes { codes: &codes, n_classes },
        };
        let settings: Vec<(String, String)> =
            settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let spec = Spec::new(algorithm, task, &settings).unwrap();
        let data = Dataset { levels: &levels, weights: Some(&weights), ..Dataset::new(x, y) };
        match spec.fit(&data, &Unwatched).unwrap().predictor {
            Predictor::Trees(trees) => *trees,
            _ => unreachable!(),
        }
    }

    /// Every learner, with few trees.
    fn learners(x: &Matrix) -> Vec<Trees> {
        let mut all = Vec::new();
        for (task, n_classes) in [(Task::Regression, 0), (Task::Classification, 2), (Task::Classification, 3)]
        {
            for (name, settings) in [
                ("tree", &[("min_samples_leaf", "3")][..]),
                ("forest", &[("n_estimators", "5"), ("min_samples_level", "1")]),
                ("extra-trees", &[("n_estimators", "5"), ("ccp_alpha", "0.001")]),
                ("boost", &[("n_estimators", "7"), ("max_leaf_nodes", "9"), ("subsample", "0.7")]),
            ] {
                all.push(fitted(name, x, task, n_classes, settings));
            }
        }
        all
    }

    /// The sum of the trees for a row of which `known` columns count: the others go both ways.
    fn expected(trees: &Trees, cover: &[f64], x: &[f64], known: u32, score: usize) -> f64 {
        fn walk(trees: &Trees, cover: &[f64], x: &[f64], known: u32, node: u32, score: usize) -> f64 {
            let parts = trees.parts();
            let (feature, left) = (parts.feature[node as usize], parts.left[node as usize]);
            if feature == LEAF {
                return parts.values[left as usize * parts.width + score];
            }
            if known >> feature & 1 == 1 {
                return walk(trees, cover, x, known, left + u32::from(trees.goes_right(node, x)), score);
            }
            let share = |child: u32| cover[child as usize] / cover[node as usize];
            [left, left + 1]
                .map(|child| share(child) * walk(trees, cover, x, known, child, score))
                .iter()
                .sum()
        }
        let parts = trees.parts();
        let n_scores = parts.base.len();
        let of_tree = |(index, &root): (usize, &u32)| match parts.width {
            1 if index % n_scores != score => 0.0,
            1 => walk(trees, cover, x, known, root, 0),
            _ => walk(trees, cover, x, known, root, score),
        };
        parts.base[score] + parts.roots.iter().enumerate().map(of_tree).sum::<f64>() / parts.divisor
    }

    /// Shapley values by their definition, over all sets of columns.
    fn brute_force(n_columns: usize, worth: impl Fn(u32) -> f64) -> Vec<f64> {
        let worths: Vec<f64> = (0..1_u32 << n_columns).map(worth).collect();
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let n = n_columns as u32;
        (0..n_columns)
            .map(|column| {
                let without = (0..1_u32 << n_columns).filter(|set| set >> column & 1 == 0);
                let part = |set: u32| {
                    let size = set.count_ones();
                    let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                    weight * (worths[(set | 1 << column) as usize] - worths[set as usize])
                };
                without.map(part).sum()
            })
            .collect()
    }

    #[test]
    fn values_are_those_of_the_definition_and_add_up() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let explainer = TreeExplainer::new(&trees).unwrap();
            let (n_inputs, n_scores) = (trees.n_inputs(), trees.n_scores());
            let n_rows = 21;
            let mut out = vec![0.0; n_rows * n_scores * n_inputs];
            explainer.explain(&trees, &x.values()[..n_rows * n_inputs], &mut out);
            let mut margins = vec![0.0; n_scores];
            for (row, out) in out.chunks_exact(n_scores * n_inputs).enumerate() {
                trees.margins_into(x.row(row), &mut margins);
                for (score, values) in out.chunks_exact(n_inputs).enumerate() {
                    let sum = explainer.base()[score] + values.iter().sum::<f64>();
                    assert!((sum - margins[score]).abs() < 1e-9, "{sum} {}", margins[score]);
                    let worth = |known| expected(&trees, &explainer.cover, x.row(row), known, score);
                    for (value, wanted) in values.iter().zip(brute_force(n_inputs, worth)) {
                        assert!((value - wanted).abs() < 1e-9, "{row}: {value} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_together_and_alone_and_trees_that_are_not_kept_have_the_same_values() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let mut explainer = TreeExplainer::new(&trees).unwrap();
            let size = trees.n_scores() * trees.n_inputs();
            let mut together = vec![0.0; 300 * size];
            explainer.explain(&trees, x.values(), &mut together);
            explainer.trees.clear();
            let mut alone = vec![0.0; 300 * size];
            for (x, out) in x.rows().zip(alone.chunks_exact_mut(size)) {
                explainer.explain(&trees, x, out);
            }
            let most = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(most < 1e-12, "{most}");
        }
    }

    #[test]
    fn interventional_values_are_those_of_the_definition() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let (n_inputs, n_scores) = (trees.n_inputs(), trees.n_scores());
            for (row, other) in [(0, 7), (1, 40), (2, 41), (3, 42), (5, 5)] {
                let (row, other) = (x.row(row), x.row(other));
                let mut out = vec![0.0; n_scores * n_inputs];
                add_interventional(&trees, row, other, 1.0, &mut out);
                for (score, values) in out.chunks_exact(n_inputs).enumerate() {
                    let worth = |known: u32| {
                        let mixed: Vec<f64> = (0..n_inputs)
                            .map(|j| if known >> j & 1 == 1 { row[j] } else { other[j] })
                            .collect();
                        let mut margins = vec![0.0; n_scores];
                        trees.margins_into(&mixed, &mut margins);
                        margins[score]
                    };
                    for (value, wanted) in values.iter().zip(brute_force(n_inputs, worth)) {
                        assert!((value - wanted).abs() < 1e-9, "{value} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn wide_paths_are_exact_as_well() {
        // A tree of a hundred columns, each of them on the longest path.
        let n = 100;
        let mut x = Matrix::with_capacity(2 * n, n);
        for i in 0..2 * n {
            x.push_row(0.0)[i % n] = 1.0;
        }
        let y: Vec<f64> = (0..2 * n).map(|i| ((i % n) as f64).sqrt()).collect();
        let spec = Spec::new(algorithm("tree").unwrap(), Task::Regression, &[]).unwrap();
        let Predictor::Trees(trees) =
            spec.fit(&Dataset::new(&x, Labels::Values(&y)), &Unwatched).unwrap().predictor
        else {
            unreachable!()
        };
        let explainer = TreeExplainer::new(&trees).unwrap();
        let mut out = vec![0.0; 2 * n * n];
        explainer.explain(&trees, x.values(), &mut out);
        for (values, y) in out.chunks_exact(n).zip(&y) {
            let sum = explainer.base()[0] + values.iter().sum::<f64>();
            assert!((sum - y).abs() < 1e-9, "{sum} {y}");
        }
    }

    /// Interactions by their definition, over all sets of the other columns.
    fn pair_by_brute_force(n: usize, pair: [usize; 2], worth: &dyn Fn(u32) -> f64) -> f64 {
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let [i, j] = pair.map(|column| 1_u32 << column);
        let others = (0..1_u32 << n).filter(|set| set & (i | j) == 0);
        let of_set = |set: u32| {
            let size = set.count_ones();
            let weight = factorial(size) * factorial(n as u32 - size - 2) / factorial(n as u32 - 1);
            weight * (worth(set | i | j) - worth(set | i) - worth(set | j) + worth(set))
        };
        others.map(of_set).sum()
    }

    #[test]
    fn interactions_are_those_of_the_definition() {
        let x = table(300, 5);
        let mut largest = 0.0_f64;
        for trees in learners(&x) {
            let explainer = TreeExplainer::new(&trees).unwrap();
            let places: Vec<u32> = (0..5).collect();
            let interactions = Interactions::new(&trees, explainer.cover(), &places, 5);
            let n_scores = trees.n_scores();
            for row in 0..6 {
                for score in 0..n_scores {
                    let weights: Vec<f64> =
                        (0..n_scores).map(|i| if i == score { 1.0 } else { 0.0 }).collect();
                    let found = interactions.of_row(x.row(row), &weights);
                    let worth = |known| expected(&trees, explainer.cover(), x.row(row), known, score);
                    for a in 0..5 {
                        for b in 0..5 {
                            let wanted = if a < b { pair_by_brute_force(5, [a, b], &worth) } else { 0.0 };
                            assert!((found[a * 5 + b] - wanted).abs() < 1e-9, "{a} {b}: {wanted}");
                            largest = largest.max(wanted.abs());
                        }
                    }
                }
            }
        }
        assert!(largest > 0.1, "there is something to compare");
    }

    #[test]
    fn inputs_of_one_place_are_added_up() {
        let x = table(300, 5);
        let trees = &learners(&x)[3];
        let explainer = TreeExplainer::new(trees).unwrap();
        let alone = Interactions::new(trees, explainer.cover(), &[0, 1, 2, 3, 4], 5).of_row(x.row(1), &[1.0]);
        let places = [0, 1, u32::MAX, 1, 0];
        let together = Interactions::new(trees, explainer.cover(), &places, 2).of_row(x.row(1), &[1.0]);
        let sum = alone[1] + alone[3] + alone[9] + alone[19];
        assert!((together[1] - sum).abs() < 1e-12 && together[0] == 0.0 && together[2] == 0.0);
    }
}
