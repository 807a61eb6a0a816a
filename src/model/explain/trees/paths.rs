//! Shapley values of trees by quadrature along their paths.
//!
//! Products go down the tree, sums come up; a column that occurs again divides out its earlier factor. The cost is the
//! number of edges times the points, eight rows side by side; a row by itself has the points side by side instead.

use super::super::quadrature::gauss_legendre;
use crate::model::predictor::tree_arrays::LEAF;
use crate::model::predictor::trees::Trees;

/// Points of quadrature at most: exact for paths of 128 different columns, and to the last digits for longer ones.
const MAX_POINTS: usize = 64;

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
    /// It is the first of the edges from its parent.
    is_first: bool,
    /// The share of the rows that took all turns of this feature down to here.
    share: f64,
    /// The last edge above on the same feature.
    earlier: u32,
}

/// What does not depend on the row, of the paths to some leaves of a tree.
#[derive(Debug, Clone)]
pub(super) struct Paths {
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

impl Paths {
    /// `cover`: of the nodes of the tree, whose root is node `root` of all. `needs`: whether a leaf, counted from the root,
    /// is one of those to explain.
    pub(super) fn new(trees: &Trees, root: u32, cover: &[f64], needs: &dyn Fn(u32) -> bool) -> Self {
        let mut edges: Vec<Edge> = Vec::new();
        let (mut path, mut depth, mut most) = (Vec::<u32>::new(), 0, 0);
        let parts = trees.parts();
        let is_leaf = |node: u32| parts.feature[node as usize] == LEAF;
        // Children come after their parents.
        let mut leads = vec![false; cover.len()];
        for node in (0..cover.len() as u32).rev() {
            leads[node as usize] = if is_leaf(root + node) {
                needs(node)
            } else {
                let left = (parts.left[(root + node) as usize] - root) as usize;
                leads[left] || leads[left + 1]
            };
        }
        let cover = |node: u32| cover[(node - root) as usize];
        // The right child below the left one.
        let mut stack: Vec<(u32, u32, bool)> = Vec::new();
        let open = |node: u32, depth: u32, stack: &mut Vec<(u32, u32, bool)>| {
            if !is_leaf(node) {
                let left = parts.left[node as usize];
                let leads = |is_right: &bool| leads[(left + u32::from(*is_right) - root) as usize];
                stack.extend([true, false].into_iter().filter(leads).map(|is_right| (node, depth, is_right)));
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
                is_first: !is_right || !leads[(child - 1 - root) as usize],
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

    /// Whether there is no leaf to explain.
    pub(super) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
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
pub(super) struct Buffers<const L: usize> {
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
/// Adds the values of one tree for up to `L` rows.
#[inline(always)]
pub(super) fn add<const L: usize>(
    trees: &Trees,
    index: usize,
    tree: &Paths,
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
        if edge.is_first {
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
pub(super) struct Single {
    turns: Vec<bool>,
    taken: Vec<bool>,
    products: Vec<Eight>,
    sums: Vec<Eight>,
    values: Vec<f64>,
    path: Vec<u32>,
}

/// Adds the values of one tree for one row: as [`add`], with the points side by side, which are added up.
#[inline(always)]
pub(super) fn add_single(
    trees: &Trees,
    index: usize,
    tree: &Paths,
    buffers: &mut Single,
    x: &[f64],
    out: &mut [f64],
) {
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
            if edge.is_first {
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
    tree: &Paths,
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
