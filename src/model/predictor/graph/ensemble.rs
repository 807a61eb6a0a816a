//! Ensembles of trees: the operators of versions 1 and 3 of `ai.onnx.ml`, and that of version 5.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::learned::{Transform, classes, labelled, second_of_two};
use super::proto::NodeDef;
use super::step::{Inputs, Outer, Run, one};
use super::tensor::{Data, Tensor, n_elements};

/// How a node compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    Member,
    Leaf,
}

/// A node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) mode: Mode,
    /// Whether a missing value counts as true.
    pub(crate) tracks: bool,
    pub(crate) column: u32,
    /// What is compared with; of a member the number of its set.
    pub(crate) value: f64,
    /// Where to go if it is true; of a leaf the first of its weights.
    pub(crate) yes: u32,
    /// Where to go if not; of a leaf the end of its weights.
    pub(crate) no: u32,
}

/// What becomes of the weights of several trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Trees.
#[derive(Debug)]
pub(crate) struct Ensemble {
    pub(crate) roots: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
    /// Target and weight.
    pub(crate) weights: Vec<(u32, f64)>,
    pub(crate) sets: Vec<Vec<f64>>,
    pub(crate) n_targets: usize,
    pub(crate) base: Vec<f64>,
    pub(crate) aggregate: Aggregate,
    pub(crate) transform: Transform,
    pub(crate) n_columns: usize,
}

/// Targets of a model.
const MAX_TARGETS: usize = 1 << 16;

fn place(at: i64, n: usize) -> Result<u32> {
    let at =
        usize::try_from(at).ok().filter(|&at| at < n).context("a node leads to one that is not there")?;
    Ok(u32::try_from(at)?)
}

impl Ensemble {
    /// Reads the attributes of a classifier or regressor of versions 1 and 3; `of` is `class` or `target`.
    pub(crate) fn of(node: &NodeDef, of: &str, n_targets: usize) -> Result<Self> {
        let ints = |name: &str| node.ints(name);
        let (trees, ids) = (ints("nodes_treeids"), ints("nodes_nodeids"));
        let (columns, yes, no) =
            (ints("nodes_featureids"), ints("nodes_truenodeids"), ints("nodes_falsenodeids"));
        let (modes, values) = (node.texts("nodes_modes"), node.numbers("nodes_values")?);
        let tracks = ints("nodes_missing_value_tracks_true");
        let n = trees.len();
        ensure!(
            n > 0
                && n < u32::MAX as usize
                && [ids.len(), columns.len(), yes.len(), no.len(), modes.len(), values.len()] == [n; 6]
                && (tracks.is_empty() || tracks.len() == n),
            "the lists of its nodes differ in length"
        );
        // Ids count up within a tree as a rule; else they are looked for.
        let mut starts: HashMap<i64, usize> = HashMap::new();
        let mut roots = Vec::new();
        for (i, tree) in trees.iter().enumerate() {
            starts.entry(*tree).or_insert_with(|| {
                roots.push(i as u32);
                i
            });
        }
        let mut sorted: Vec<u32> = Vec::new();
        let mut find = |tree: i64, id: i64| -> Result<usize> {
            let start = starts.get(&tree).copied().context("a leaf belongs to a tree that is not there")?;
            let near = usize::try_from(id).ok().and_then(|id| start.checked_add(id)).filter(|&at| at < n);
            if let Some(at) = near
                && (trees[at], ids[at]) == (tree, id)
            {
                return Ok(at);
            }
            if sorted.is_empty() {
                sorted = (0..n as u32).collect();
                sorted.sort_by_key(|&at| (trees[at as usize], ids[at as usize]));
            }
            let found =
                sorted.binary_search_by_key(&(tree, id), |&at| (trees[at as usize], ids[at as usize]));
            match found {
                Ok(at) => Ok(sorted[at] as usize),
                Err(_) => bail!("tree {tree} has no node {id}"),
            }
        };
        let mut nodes = Vec::with_capacity(n);
        let mut n_columns = 0;
        for i in 0..n {
            let mode = match &*modes[i] {
                "LEAF" => Mode::Leaf,
                "BRANCH_LEQ" => Mode::AtMost,
                "BRANCH_LT" => Mode::Below,
                "BRANCH_GTE" => Mode::AtLeast,
                "BRANCH_GT" => Mode::Above,
                "BRANCH_EQ" => Mode::Equal,
                "BRANCH_NEQ" => Mode::Unequal,
                other => bail!("a node compares by {other:?}"),
            };
            let tracks = tracks.get(i).is_some_and(|&x| x != 0);
            let mut made = Node { mode, tracks, column: 0, value: values[i], yes: 0, no: 0 };
            if mode != Mode::Leaf {
                made.column = u32::try_from(columns[i])
                    .ok()
                    .filter(|&c| c < 1 << 29)
                    .context("a node reads no column")?;
                n_columns = n_columns.max(made.column as usize + 1);
                made.yes = find(trees[i], yes[i])? as u32;
                made.no = find(trees[i], no[i])? as u32;
            }
            nodes.push(made);
        }
        let name = |what: &str| format!("{of}_{what}");
        let (of_trees, of_nodes, targets) =
            (ints(&name("treeids")), ints(&name("nodeids")), ints(&name("ids")));
        let weights = node.numbers(&name("weights"))?;
        ensure!(
            [of_trees.len(), of_nodes.len(), targets.len()] == [weights.len(); 3],
            "the lists of its leaves differ in length"
        );
        let mut of_leaves = Vec::with_capacity(weights.len());
        for (((tree, id), target), weight) in of_trees.iter().zip(of_nodes).zip(targets).zip(weights) {
            let target =
                usize::try_from(*target).ok().filter(|&t| t < n_targets).context("a leaf has no target")?;
            of_leaves.push((find(*tree, *id)?, target as u32, weight));
        }
        of_leaves.sort_by_key(|&(at, ..)| at);
        let mut weights = Vec::with_capacity(of_leaves.len());
        for chunk in of_leaves.chunk_by(|a, b| a.0 == b.0) {
            let leaf = &mut nodes[chunk[0].0];
            ensure!(leaf.mode == Mode::Leaf, "a node has weights and is no leaf");
            leaf.yes = weights.len() as u32;
            weights.extend(chunk.iter().map(|&(_, target, weight)| (target, weight)));
            leaf.no = weights.len() as u32;
        }
        let aggregate = match node.text("aggregate_function", "SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => bail!("aggregate_function {other:?} is not known"),
        };
        let ensemble = Self {
            roots,
            nodes,
            weights,
            sets: Vec::new(),
            n_targets,
            base: node.numbers("base_values")?,
            aggregate,
            transform: Transform::of(node.text("post_transform", "NONE"))?,
            n_columns,
        };
        ensemble.check()
    }

    /// Reads the attributes of the operator of version 5.
    pub(crate) fn of_version_5(node: &NodeDef) -> Result<Self> {
        let ints = |name: &str| node.ints(name);
        let (columns, yes, no) =
            (ints("nodes_featureids"), ints("nodes_truenodeids"), ints("nodes_falsenodeids"));
        let (yes_leaf, no_leaf) = (ints("nodes_trueleafs"), ints("nodes_falseleafs"));
        let tracks = ints("nodes_missing_value_tracks_true");
        let splits = node.tensor("nodes_splits").context("it has no nodes_splits")?.to_f64()?;
        let modes = node.tensor("nodes_modes").context("it has no nodes_modes")?;
        let modes = modes.ints()?;
        let (targets, weights) = (
            ints("leaf_targetids"),
            node.tensor("leaf_weights").context("it has no leaf_weights")?.to_f64()?,
        );
        let n = columns.len();
        let lengths = [yes.len(), no.len(), yes_leaf.len(), no_leaf.len(), splits.len(), modes.len()];
        ensure!(
            lengths == [n; 6]
                && (tracks.is_empty() || tracks.len() == n)
                && n + weights.len() < u32::MAX as usize,
            "the lists of its nodes differ in length"
        );
        ensure!(targets.len() == weights.len(), "the lists of its leaves differ in length");
        let n_targets = usize::try_from(node.int("n_targets", 1)).context("it has no targets")?;
        let mut members = match node.tensor("membership_values") {
            Some(values) => values.to_f64()?,
            None => Vec::new(),
        }
        .into_iter();
        let mut nodes = Vec::with_capacity(n + weights.len());
        let (mut sets, mut n_columns) = (Vec::new(), 0);
        for i in 0..n {
            let mode = match modes[i] {
                0 => Mode::AtMost,
                1 => Mode::Below,
                2 => Mode::AtLeast,
                3 => Mode::Above,
                4 => Mode::Equal,
                5 => Mode::Unequal,
                6 => Mode::Member,
                other => bail!("a node compares by {other}"),
            };
            let mut value = splits[i];
            if mode == Mode::Member {
                value = sets.len() as f64;
                sets.push(members.by_ref().take_while(|member| !member.is_nan()).collect());
            }
            let child = |at: i64, is_leaf: i64| match is_leaf {
                0 => place(at, n),
                _ => Ok(n as u32 + place(at, weights.len())?),
            };
            let column =
                u32::try_from(columns[i]).ok().filter(|&c| c < 1 << 29).context("a node reads no column")?;
            n_columns = n_columns.max(column as usize + 1);
            nodes.push(Node {
                mode,
                tracks: tracks.get(i).is_some_and(|&x| x != 0),
                column,
                value,
                yes: child(yes[i], yes_leaf[i])?,
                no: child(no[i], no_leaf[i])?,
            });
        }
        let leaf = |i: usize| {
            let i = i as u32;
            Node { mode: Mode::Leaf, tracks: false, column: 0, value: 0.0, yes: i, no: i + 1 }
        };
        nodes.extend((0..weights.len()).map(leaf));
        let of_leaf = |(&target, weight): (&i64, f64)| {
            let target =
                usize::try_from(target).ok().filter(|&t| t < n_targets).context("a leaf has no target")?;
            Ok((target as u32, weight))
        };
        let ensemble = Self {
            roots: ints("tree_roots").iter().map(|&root| place(root, n)).collect::<Result<_>>()?,
            nodes,
            weights: targets.iter().zip(weights).map(of_leaf).collect::<Result<_>>()?,
            sets,
            n_targets,
            base: Vec::new(),
            aggregate: match node.int("aggregate_function", 1) {
                0 => Aggregate::Average,
                1 => Aggregate::Sum,
                2 => Aggregate::Min,
                3 => Aggregate::Max,
                other => bail!("aggregate_function {other} is not known"),
            },
            transform: match node.int("post_transform", 0) {
                0 => Transform::None,
                1 => Transform::Softmax,
                2 => Transform::Logistic,
                3 => Transform::SoftmaxZero,
                other => bail!("post_transform {other} is not known"),
            },
            n_columns,
        };
        ensemble.check()
    }

    fn check(self) -> Result<Self> {
        ensure!(
            (1..=MAX_TARGETS).contains(&self.n_targets) && !self.roots.is_empty(),
            "it has {} targets and {} trees",
            self.n_targets,
            self.roots.len()
        );
        ensure!(
            self.base.is_empty() || self.base.len() == 1 || self.base.len() == self.n_targets,
            "it has {} base_values for {} targets",
            self.base.len(),
            self.n_targets
        );
        Ok(self)
    }

    /// Whether every leaf adds to one and the same target: then two classes have one score, that of the second.
    pub(crate) fn is_of_one_target(&self) -> bool {
        self.weights.windows(2).all(|pair| pair[0].0 == pair[1].0)
    }

    /// What two classes of one score come to, if nothing is done to it: itself a probability if no weight is negative.
    pub(crate) fn is_positive(&self) -> bool {
        self.weights.iter().all(|&(_, weight)| weight >= 0.0)
    }

    /// Adds up the trees for a row.
    fn add(&self, row: &[f64], out: &mut [f64], seen: &mut [bool]) -> Result<()> {
        out.fill(0.0);
        seen.fill(false);
        for &root in &self.roots {
            let mut at = root;
            // A walk that is longer than there are nodes goes in circles.
            let mut left = self.nodes.len();
            let leaf = loop {
                let node = &self.nodes[at as usize];
                if node.mode == Mode::Leaf {
                    break node;
                }
                let (x, value) = (row[node.column as usize], node.value);
                let is_true = match node.mode {
                    Mode::AtMost => x <= value,
                    Mode::Below => x < value,
                    Mode::AtLeast => x >= value,
                    Mode::Above => x > value,
                    Mode::Equal => x == value,
                    Mode::Unequal => x != value,
                    Mode::Member => self.sets[value as usize].contains(&x),
                    Mode::Leaf => false,
                } || (node.tracks && x.is_nan());
                at = if is_true { node.yes } else { node.no };
                left = left.checked_sub(1).context("a tree goes in circles")?;
            };
            for &(target, weight) in &self.weights[leaf.yes as usize..leaf.no as usize] {
                let (out, seen) = (&mut out[target as usize], &mut seen[target as usize]);
                *out = match self.aggregate {
                    Aggregate::Min if *seen => out.min(weight),
                    Aggregate::Max if *seen => out.max(weight),
                    Aggregate::Min | Aggregate::Max => weight,
                    Aggregate::Sum | Aggregate::Average => *out + weight,
                };
                *seen = true;
            }
        }
        if self.aggregate == Aggregate::Average {
            let n = self.roots.len() as f64;
            out.iter_mut().for_each(|out| *out /= n);
        }
        Ok(())
    }

    /// The sums of all rows, `rows × targets`.
    fn sums(&self, inputs: &Inputs) -> Result<(usize, Vec<f64>)> {
        let x = inputs.get(0)?;
        let (rows, columns) = x.matrix();
        ensure!(columns >= self.n_columns, "it reads {} columns and is given {columns}", self.n_columns);
        let n = n_elements(&[rows, self.n_targets])?;
        inputs.budget.spend(rows.saturating_mul(self.roots.len()))?;
        let values = x.to_f64()?;
        let (mut sums, mut seen) = (vec![0.0; n], vec![false; self.n_targets]);
        for (row, out) in
            values.chunks_exact(columns.max(1)).zip(sums.chunks_exact_mut(self.n_targets.max(1)))
        {
            self.add(row, out, &mut seen)?;
            for (i, out) in out.iter_mut().enumerate() {
                *out += match self.base.as_slice() {
                    [] => 0.0,
                    [only] if i == 0 || self.n_targets == 1 => *only,
                    [_] => 0.0,
                    base => base[i],
                };
            }
        }
        Ok((rows, sums))
    }
}

pub(super) fn classifier(node: &NodeDef, _: &Outer) -> Result<Run> {
    let classes = classes(node)?;
    let k = classes.len();
    let ensemble = Ensemble::of(node, "class", k)?;
    let one_score = k == 2 && ensemble.is_of_one_target();
    Ok(Box::new(move |inputs| {
        let (rows, mut scores) = ensemble.sums(inputs)?;
        if one_score {
            let target = ensemble.weights.first().map_or(0, |&(target, _)| target as usize);
            // A base value of the other target belongs to the score as well, if it is the only one.
            let single = |sums: &[f64]| match (target, ensemble.base.as_slice()) {
                (1, [only]) => sums[1] + only,
                (0, [_, second]) => sums[0] - ensemble.base[0] + second,
                (target, _) => sums[target],
            };
            let of_second: Vec<f64> = scores.chunks_exact(2).map(single).collect();
            scores = match ensemble.transform {
                Transform::None if ensemble.is_positive() => {
                    of_second.into_iter().flat_map(|p| [1.0 - p, p]).collect()
                }
                transform => second_of_two(of_second, transform),
            };
        } else {
            scores.chunks_exact_mut(k).for_each(|scores| ensemble.transform.apply(scores));
        }
        labelled(&classes, rows, &scores)
    }))
}

pub(super) fn regressor(node: &NodeDef, _: &Outer) -> Result<Run> {
    let is_new = node.op == "TreeEnsemble";
    let ensemble = if is_new {
        Ensemble::of_version_5(node)?
    } else {
        let n = usize::try_from(node.int("n_targets", 1)).context("it has no targets")?;
        Ensemble::of(node, "target", n)?
    };
    Ok(Box::new(move |inputs| {
        let (rows, mut sums) = ensemble.sums(inputs)?;
        let n = ensemble.n_targets;
        sums.chunks_exact_mut(n).for_each(|sums| ensemble.transform.apply(sums));
        let x = inputs.get(0)?;
        one(match &x.data {
            Data::F64(_) if is_new => Tensor::float_like(x, &[rows, n], sums),
            _ => Tensor::f32(&[rows, n], sums.into_iter().map(|sum| sum as f32).collect()),
        })
    }))
}
