//! Trees as `TreeEnsemble` (ai.onnx.ml 5), or as `TreeEnsembleRegressor` (ai.onnx.ml 3) for older runtimes.
//!
//! Levels come in as the number of their group, from 2, and 1 for a missing or unseen level, so that every set of levels
//! is a set of numbers above 0: onnxruntime tests such sets with one look at a word of bits.

use anyhow::{Result, ensure};

use super::proto::{Attribute, Graph, Kind, Value, tensor};
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};

/// Comparisons, as `nodes_modes` numbers them.
const AT_MOST: u8 = 0;
const MEMBER: u8 = 6;

/// The number of a missing or unseen level, and of a number that no level has.
pub(super) const NO_LEVEL: f32 = 1.0;
const NEVER: f64 = 0.0;

/// The number of a group of levels.
pub(super) fn group_number(group: u8) -> f32 {
    f32::from(group) + 2.0
}

/// What a node asks of a row, and where the row goes.
struct Split {
    feature: i64,
    test: Test,
    missing_true: bool,
    /// The nodes of rows that pass and of the others.
    to: [usize; 2],
}

enum Test {
    AtMost(f64),
    In(Vec<f64>),
}

/// The splits of trees.
struct Reader<'a> {
    parts: &'a Parts,
    /// The first word of the subset of each node that has one.
    sets: Vec<usize>,
    /// Where the groups of each column begin.
    first_group: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(parts: &'a Parts) -> Result<Self> {
        let mut sets = vec![0; parts.feature.len()];
        let mut n_sets = 0;
        for (node, set) in sets.iter_mut().enumerate() {
            let feature = parts.feature[node];
            let is_set = parts.flags[node] & SUBSET != 0;
            if feature == LEAF {
                continue;
            }
            ensure!(
                is_set || parts.levels[feature as usize] == 0,
                "a tree compares levels as numbers, which the form does not say"
            );
            if is_set {
                *set = n_sets * SUBSET_WORDS;
                n_sets += 1;
            }
        }
        let mut first_group = Vec::with_capacity(parts.levels.len());
        let mut n_groups = 0;
        for &levels in &parts.levels {
            first_group.push(n_groups);
            n_groups += levels as usize;
        }
        Ok(Self { parts, sets, first_group })
    }

    /// The split of a node that is no leaf.
    fn split(&self, node: usize) -> Split {
        let parts = self.parts;
        let (feature, left) = (parts.feature[node] as usize, parts.left[node] as usize);
        let missing_left = parts.flags[node] & MISSING_LEFT != 0;
        let to = [left, left + 1];
        if parts.flags[node] & SUBSET == 0 {
            let test = Test::AtMost(parts.threshold[node]);
            return Split { feature: feature as i64, test, missing_true: missing_left, to };
        }
        let first = self.first_group[feature];
        let groups = &parts.groups[first..first + parts.levels[feature] as usize];
        let n_groups = groups.iter().max().map_or(0, |&most| usize::from(most) + 1);
        let goes_left = |group: usize| parts.subsets[self.sets[node] + group / 32] >> (group % 32) & 1 == 1;
        let all = || {
            let of_group = |group: usize| (f64::from(group_number(group as u8)), goes_left(group));
            std::iter::once((f64::from(NO_LEVEL), missing_left)).chain((0..n_groups).map(of_group))
        };
        // The smaller side is listed.
        let n_left = all().filter(|(_, left)| *left).count();
        let listed = 2 * n_left <= n_groups + 1;
        let mut numbers: Vec<f64> =
            all().filter(|(_, left)| *left == listed).map(|(number, _)| number).collect();
        if numbers.is_empty() {
            numbers.push(NEVER);
        }
        let to = if listed { to } else { [to[1], to[0]] };
        Split { feature: feature as i64, test: Test::In(numbers), missing_true: false, to }
    }

    fn is_leaf(&self, node: usize) -> bool {
        self.parts.feature[node] == LEAF
    }

    /// The nodes of a tree.
    fn nodes(&self, tree: usize) -> std::ops::Range<usize> {
        let end = self.parts.roots.get(tree + 1).map_or(self.parts.feature.len(), |&end| end as usize);
        self.parts.roots[tree] as usize..end
    }

    /// What a leaf adds to a score.
    fn leaf(&self, node: usize, score: usize) -> f64 {
        let parts = self.parts;
        let column = if parts.width == 1 { 0 } else { score };
        parts.values[parts.left[node] as usize * parts.width + column]
    }

    /// The scores that a tree adds to.
    fn scores(&self, tree: usize) -> std::ops::Range<usize> {
        let n_scores = self.parts.base.len();
        if self.parts.width == 1 { tree % n_scores..tree % n_scores + 1 } else { 0..n_scores }
    }
}

/// The scores of rows.
pub(super) fn scores(graph: &mut Graph, parts: &Parts, x: &str) -> Result<Value> {
    let reader = Reader::new(parts)?;
    let sums = match graph.dialect.real {
        Kind::Float => regressor(graph, &reader, x),
        _ => ensemble(graph, &reader, x),
    };
    let mean = if parts.divisor == 1.0 {
        sums
    } else {
        let divisor = graph.real(parts.divisor);
        graph.op("Div", &[&sums, &divisor])
    };
    if parts.base.iter().all(|&base| base == 0.0) {
        return Ok(mean);
    }
    let base = graph.reals(&[parts.base.len()], &parts.base);
    Ok(graph.op("Add", &[&base, &mean]))
}

/// One tree per score, as a leaf adds to one.
fn ensemble(graph: &mut Graph, reader: &Reader, x: &str) -> Value {
    let parts = reader.parts;
    let (mut features, mut modes, mut splits, mut missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut members, mut roots) = (Vec::new(), Vec::new());
    let (mut to, mut to_leaf) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let (mut targets, mut weights) = (Vec::new(), Vec::new());
    for tree in 0..parts.roots.len() {
        let nodes = reader.nodes(tree);
        for score in reader.scores(tree) {
            roots.push(modes.len() as i64);
            // The place of each node among inner nodes or leaves.
            let (mut n_inner, mut n_leaves) = (modes.len(), weights.len());
            let places: Vec<usize> = nodes
                .clone()
                .map(|node| {
                    let count = if reader.is_leaf(node) { &mut n_leaves } else { &mut n_inner };
                    *count += 1;
                    *count - 1
                })
                .collect();
            for node in nodes.clone() {
                if reader.is_leaf(node) {
                    targets.push(score as i64);
                    weights.push(reader.leaf(node, score));
                    // A tree is at least one split: of a lone leaf both sides lead there.
                    if nodes.len() == 1 {
                        features.push(0);
                        modes.push(AT_MOST);
                        splits.push(0.0);
                        missing.push(0);
                        for side in 0..2 {
                            to[side].push(places[0] as i64);
                            to_leaf[side].push(1);
                        }
                    }
                    continue;
                }
                let split = reader.split(node);
                features.push(split.feature);
                missing.push(i64::from(split.missing_true));
                let (mode, threshold) = match split.test {
                    Test::AtMost(threshold) => (AT_MOST, threshold),
                    Test::In(numbers) => {
                        members.extend(numbers);
                        members.push(f64::NAN);
                        (MEMBER, 0.0)
                    }
                };
                modes.push(mode);
                splits.push(threshold);
                for (side, child) in split.to.into_iter().enumerate() {
                    to[side].push(places[child - nodes.start] as i64);
                    to_leaf[side].push(i64::from(reader.is_leaf(child)));
                }
            }
        }
    }
    let real = |values: &[f64]| Attribute::Tensor(graph.real_tensor(&[values.len()], values));
    let [to_true, to_false] = to;
    let [true_leaf, false_leaf] = to_leaf;
    let mut attributes = vec![
        ("n_targets", Attribute::Int(parts.base.len() as i64)),
        ("aggregate_function", Attribute::Int(1)),
        ("post_transform", Attribute::Int(0)),
        ("tree_roots", Attribute::Ints(roots)),
        ("nodes_featureids", Attribute::Ints(features)),
        ("nodes_modes", Attribute::Tensor(tensor(Kind::Uint8, &[modes.len()], &modes))),
        ("nodes_splits", real(&splits)),
        ("nodes_missing_value_tracks_true", Attribute::Ints(missing)),
        ("nodes_truenodeids", Attribute::Ints(to_true)),
        ("nodes_falsenodeids", Attribute::Ints(to_false)),
        ("nodes_trueleafs", Attribute::Ints(true_leaf)),
        ("nodes_falseleafs", Attribute::Ints(false_leaf)),
        ("leaf_targetids", Attribute::Ints(targets)),
        ("leaf_weights", real(&weights)),
    ];
    if !members.is_empty() {
        attributes.push(("membership_values", real(&members)));
    }
    graph.ml("TreeEnsemble", &[x], attributes)
}

/// Sets of levels become one comparison after the other.
fn regressor(graph: &mut Graph, reader: &Reader, x: &str) -> Value {
    let parts = reader.parts;
    let (mut trees, mut ids, mut features, mut modes, mut values) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut to, mut missing) = ([Vec::new(), Vec::new()], Vec::new());
    let (mut target_trees, mut target_nodes, mut targets, mut weights) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for tree in 0..parts.roots.len() {
        let nodes = reader.nodes(tree);
        let mut n_ids = nodes.len() as i64;
        let id = |node: usize| (node - nodes.start) as i64;
        let mut add = |own: i64, feature, mode, value: f32, missing_true, [yes, no]: [i64; 2]| {
            trees.push(tree as i64);
            ids.push(own);
            features.push(feature);
            modes.push(mode);
            values.push(value);
            missing.push(i64::from(missing_true));
            to[0].push(yes);
            to[1].push(no);
        };
        for node in nodes.clone() {
            if reader.is_leaf(node) {
                add(id(node), 0, "LEAF", 0.0, false, [0, 0]);
                for score in reader.scores(tree) {
                    target_trees.push(tree as i64);
                    target_nodes.push(id(node));
                    targets.push(score as i64);
                    weights.push(reader.leaf(node, score) as f32);
                }
                continue;
            }
            let split = reader.split(node);
            let [yes, no] = split.to.map(id);
            match split.test {
                Test::AtMost(threshold) => {
                    add(
                        id(node),
                        split.feature,
                        "BRANCH_LEQ",
                        below(threshold),
                        split.missing_true,
                        [yes, no],
                    );
                }
                Test::In(numbers) => {
                    let mut own = id(node);
                    for (i, number) in numbers.iter().enumerate() {
                        let is_last = i + 1 == numbers.len();
                        let next = if is_last { no } else { n_ids };
                        add(own, split.feature, "BRANCH_EQ", *number as f32, false, [yes, next]);
                        own = next;
                        n_ids += i64::from(!is_last);
                    }
                }
            }
        }
    }
    let [to_true, to_false] = to;
    graph.ml(
        "TreeEnsembleRegressor",
        &[x],
        vec![
            ("n_targets", Attribute::Int(parts.base.len() as i64)),
            ("aggregate_function", Attribute::Text("SUM")),
            ("post_transform", Attribute::Text("NONE")),
            ("nodes_treeids", Attribute::Ints(trees)),
            ("nodes_nodeids", Attribute::Ints(ids)),
            ("nodes_featureids", Attribute::Ints(features)),
            ("nodes_modes", Attribute::Texts(modes)),
            ("nodes_values", Attribute::Floats(values)),
            ("nodes_missing_value_tracks_true", Attribute::Ints(missing)),
            ("nodes_truenodeids", Attribute::Ints(to_true)),
            ("nodes_falsenodeids", Attribute::Ints(to_false)),
            ("target_treeids", Attribute::Ints(target_trees)),
            ("target_nodeids", Attribute::Ints(target_nodes)),
            ("target_ids", Attribute::Ints(targets)),
            ("target_weights", Attribute::Floats(weights)),
        ],
    )
}

/// The greatest number of single precision that is not above a threshold: the same numbers of single precision pass.
fn below(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) > threshold { near.next_down() } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_of_single_precision_pass_a_rounded_threshold() {
        for threshold in [0.1, -0.1, 0.5, 1e-50, -1e-50, 16_777_217.0, 3.3, 1e300, -1e300] {
            let near = threshold as f32;
            for value in [near.next_down(), near, near.next_up(), 0.0] {
                assert_eq!(value <= below(threshold), f64::from(value) <= threshold, "{value} {threshold}");
            }
        }
    }
}
