//! A model as all readers of this room give it: named columns, trees, and how their sum becomes a prediction; and the
//! arrays of the product's own trees made of it.
//!
//! Readers check what is particular to their format. Here it is checked that the nodes of a tree are a tree.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use crate::data::prepare::recipe::{Encoding, Parts as RecipeParts};
use crate::model::predictor::graph::Graph;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};
use crate::model::predictor::{Link, Predictor};

/// Groups of levels that a split of a column can distinguish.
const MAX_GROUPS: usize = 32 * SUBSET_WORDS;

/// Nodes of all trees together, so that their numbers fit.
const MAX_NODES: usize = 1 << 28;

/// What a model of another program says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Foreign {
    /// The program that trained it, as people write it.
    pub(super) producer: String,
    /// The version of the program or, if the file has none, of its format.
    pub(super) version: Option<String>,
    /// Its objective, in the producer's word.
    pub(super) objective: String,
    /// The columns it reads, in order.
    pub(super) columns: Vec<ForeignColumn>,
    /// The classes it distinguishes, in the order of its outputs; none if it predicts a number.
    pub(super) classes: Option<Classes>,
    /// The trees; none in models of other forms.
    pub(super) forest: Forest,
    /// The form that it is read as.
    pub(super) body: Body,
    /// The graph, and the recipe that it reads rows by, if the file is one of ONNX.
    pub(super) graph: Option<(Graph, (Encoding, RecipeParts))>,
    /// Whether the producer adds up in single precision.
    pub(super) single_precision: bool,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

/// The form that a model is read as.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// The trees of the forest.
    Forest,
    /// Another form, and the recipe of its rows.
    Form(Box<Predictor>, Encoding, Box<RecipeParts>),
    /// The graph itself.
    Graph,
}

/// The classes of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Classes {
    /// How many.
    pub(super) n: usize,
    /// Their labels, if the file has them.
    pub(super) labels: Option<Vec<String>>,
}

/// A column that a model reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ForeignColumn {
    /// Its name, unless the trainer made one up.
    pub(super) name: Option<String>,
    /// The levels of a category by their codes; none of a number.
    pub(super) levels: Option<Vec<String>>,
    /// Smallest and largest value in training, if the file tells.
    pub(super) range: Option<(f64, f64)>,
    /// Whether 0 is a missing value.
    pub(super) zero_is_missing: bool,
    /// Whether it is a text.
    pub(super) is_text: bool,
}

/// Trees, and how they become a prediction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    /// From scores to predictions.
    pub(super) link: Link,
    /// What the trees of each score are added to.
    pub(super) base: Vec<f64>,
    /// The sum of the trees is divided by this.
    pub(super) divisor: f64,
    /// The trees, in the order in which they are added up.
    pub(super) trees: Vec<Tree>,
}

/// One tree; its root is the first node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tree {
    /// The score that leaves of one number add to.
    pub(super) score: usize,
    /// The nodes.
    pub(super) nodes: Vec<Node>,
    /// Rows of training that ended at each node, if it is a leaf, or the sum of their Hessians; empty if the file does
    /// not tell.
    pub(super) covers: Vec<f64>,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// An end, with the numbers that it adds: one, or one per score.
    Leaf(Vec<f64>),
    /// A split.
    Split(Split),
}

/// What sends a row to the left, and where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    pub(super) column: usize,
    pub(super) test: Test,
    /// Whether a missing value, or an unseen category, goes left.
    pub(super) missing_left: bool,
    pub(super) left: usize,
    pub(super) right: usize,
    /// What the split gained in training; 0 if the file does not tell.
    pub(super) gain: f64,
}

/// The condition of a split.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// Numbers up to this one go left.
    AtMost(f64),
    /// These codes of a category go left, in rising order.
    Levels(Vec<u32>),
}

/// Where the codes of a category went: the level of each code among the levels of the schema, which are sorted.
pub(super) type Order = Vec<u32>;

impl Foreign {
    /// The arrays of the trees. `orders` has for each column the place of every code's level among the sorted levels of
    /// the schema, empty for a number.
    pub(super) fn parts(&self, orders: &[Order]) -> Result<Parts> {
        let n_scores = self.forest.base.len();
        let groups = self.groups()?;
        let mut parts = Parts {
            link: self.forest.link,
            roots: Vec::new(),
            feature: Vec::new(),
            threshold: Vec::new(),
            left: Vec::new(),
            flags: Vec::new(),
            subsets: Vec::new(),
            values: Vec::new(),
            width: 1,
            levels: orders.iter().map(|order| order.len() as u32).collect(),
            groups: Vec::new(),
            base: self.forest.base.clone(),
            divisor: self.forest.divisor,
            importances: vec![0.0; self.columns.len()],
            cover: Vec::new(),
        };
        for (order, groups) in orders.iter().zip(&groups) {
            let mut of_levels = vec![0; order.len()];
            for (&level, &group) in order.iter().zip(groups) {
                of_levels[level as usize] = group;
            }
            parts.groups.extend(of_levels);
        }
        // Rows of each leaf, in turn.
        let mut covers: Vec<f64> = Vec::new();
        let leaf_width = |node: &Node| match node {
            Node::Leaf(values) => values.len(),
            Node::Split(_) => 1,
        };
        let widths = self.forest.trees.iter().flat_map(|tree| &tree.nodes).map(leaf_width);
        parts.width = widths.max().unwrap_or(1);
        ensure!(
            parts.width == 1 || parts.width == n_scores,
            "its leaves have {} numbers for {n_scores} scores",
            parts.width
        );
        for (i, tree) in self.forest.in_turn(parts.width)?.into_iter().enumerate() {
            add_tree(&mut parts, &mut covers, tree, &groups)
                .with_context(|| format!("tree {i} is damaged"))?;
        }
        if parts.roots.is_empty() {
            add_tree(&mut parts, &mut covers, &Tree::of_nothing(), &groups)?;
        }
        ensure!(
            covers.iter().all(|rows| rows.is_finite() && *rows >= 0.0),
            "a leaf has a number of rows that is none"
        );
        // A leaf without rows would leave its side of a split no share.
        let is_whole = covers.len() * parts.width == parts.values.len();
        if is_whole && covers.iter().all(|rows| *rows > 0.0) {
            parts.cover = covers;
        }
        let sum: f64 = parts.importances.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            parts.importances.iter_mut().for_each(|importance| *importance /= sum);
        } else {
            parts.importances.fill(0.0);
        }
        parts.validate()?;
        Ok(parts)
    }

    /// For each column the group of each code: codes that every split treats alike share one.
    fn groups(&self) -> Result<Vec<Vec<u8>>> {
        let mut groups = Vec::with_capacity(self.columns.len());
        let mut splits: Vec<Vec<&[u32]>> = vec![Vec::new(); self.columns.len()];
        for node in self.forest.trees.iter().flat_map(|tree| &tree.nodes) {
            if let Node::Split(Split { column, test: Test::Levels(levels), .. }) = node {
                let of_column = splits.get_mut(*column);
                of_column.map(|splits| splits.push(levels)).ok_or_else(|| no_column(*column))?;
            }
        }
        for (column, splits) in self.columns.iter().zip(splits) {
            let n_levels = column.levels.as_ref().map_or(0, Vec::len);
            if n_levels <= MAX_GROUPS {
                groups.push((0..n_levels).map(|code| code as u8).collect());
                continue;
            }
            // The splits are taken one after the other; each divides the groups that it cuts through.
            let mut of_codes = vec![0_usize; n_levels];
            for levels in splits {
                let mut numbers: HashMap<(usize, bool), usize> = HashMap::new();
                for (code, group) in of_codes.iter_mut().enumerate() {
                    let n = numbers.len();
                    let goes_left = levels.binary_search(&(code as u32)).is_ok();
                    *group = *numbers.entry((*group, goes_left)).or_insert(n);
                }
                if numbers.len() > MAX_GROUPS {
                    bail!(
                        "its trees distinguish more than {MAX_GROUPS} groups among the {n_levels} levels of the \
                         category {}; mlapi's trees hold {MAX_GROUPS}. Train with fewer levels, or encode them as numbers",
                        column.name.as_deref().unwrap_or("without a name")
                    );
                }
            }
            groups.push(of_codes.into_iter().map(|group| group as u8).collect());
        }
        Ok(groups)
    }
}

fn no_column(column: usize) -> anyhow::Error {
    anyhow::anyhow!("a split names column {column}, which the model does not have")
}

impl Forest {
    /// The trees so that tree t belongs to score t mod scores, as the arrays have it; the order within a score is kept.
    fn in_turn(&self, width: usize) -> Result<Vec<&Tree>> {
        let n_scores = self.base.len();
        if n_scores == 1 || width > 1 {
            return Ok(self.trees.iter().collect());
        }
        let mut of_score: Vec<Vec<&Tree>> = vec![Vec::new(); n_scores];
        self.trees.iter().for_each(|tree| of_score[tree.score.min(n_scores - 1)].push(tree));
        let n_rounds = of_score[0].len();
        ensure!(
            of_score.iter().all(|of| of.len() == n_rounds),
            "its classes have different numbers of trees"
        );
        Ok((0..n_rounds).flat_map(|round| of_score.iter().map(move |of| of[round])).collect())
    }
}

impl Tree {
    fn of_nothing() -> Self {
        Self { nodes: vec![Node::Leaf(vec![0.0])], ..Self::default() }
    }
}

/// Adds a tree, node by node from its root; the two children of a node lie side by side.
fn add_tree(parts: &mut Parts, covers: &mut Vec<f64>, tree: &Tree, groups: &[Vec<u8>]) -> Result<()> {
    let root = parts.feature.len();
    ensure!(root + tree.nodes.len() < MAX_NODES, "the model has more than {MAX_NODES} nodes");
    parts.roots.push(root as u32);
    // The node of the file that each node of the arrays is made of.
    let mut sources = vec![0_usize];
    let mut seen = vec![false; tree.nodes.len()];
    let mut next = 0;
    while let Some(&source) = sources.get(next) {
        next += 1;
        let node = tree.nodes.get(source);
        let node =
            node.ok_or_else(|| anyhow::anyhow!("a node leads to node {source}, which it does not have"))?;
        ensure!(!std::mem::replace(&mut seen[source], true), "two nodes lead to node {source}");
        match node {
            Node::Leaf(values) => {
                ensure!(values.len() <= parts.width && !values.is_empty(), "a leaf has no number");
                parts.feature.push(LEAF);
                parts.threshold.push(0.0);
                parts.left.push((parts.values.len() / parts.width) as u32);
                parts.flags.push(0);
                covers.extend(tree.covers.get(source));
                parts.values.extend(values);
                parts.values.extend(std::iter::repeat_n(0.0, parts.width - values.len()));
            }
            Node::Split(split) => {
                let groups = groups.get(split.column).ok_or_else(|| no_column(split.column))?;
                let mut flags = if split.missing_left { MISSING_LEFT } else { 0 };
                let threshold = match &split.test {
                    Test::AtMost(threshold) => {
                        ensure!(
                            groups.is_empty(),
                            "a split compares the category in column {} with a number",
                            split.column
                        );
                        *threshold
                    }
                    Test::Levels(levels) => {
                        ensure!(
                            !groups.is_empty(),
                            "a split looks for levels of column {}, which is a number",
                            split.column
                        );
                        flags |= SUBSET;
                        let mut words = [0_u32; SUBSET_WORDS];
                        for &level in levels {
                            // A code that no level has: nothing can have it.
                            let Some(&group) = groups.get(level as usize) else { continue };
                            words[usize::from(group) / 32] |= 1 << (group % 32);
                        }
                        parts.subsets.extend(words);
                        0.0
                    }
                };
                parts.importances[split.column] += split.gain.max(0.0);
                parts.feature.push(split.column as u32);
                parts.threshold.push(threshold);
                parts.left.push((root + sources.len()) as u32);
                parts.flags.push(flags);
                sources.extend([split.left, split.right]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(column: usize, test: Test, left: usize, right: usize) -> Node {
        Node::Split(Split { column, test, missing_left: true, left, right, gain: 1.0 })
    }

    fn foreign(levels: usize, trees: Vec<Tree>) -> Foreign {
        let names = (0..levels).map(|level| format!("{level:04}")).collect();
        Foreign {
            producer: "a test".into(),
            version: None,
            objective: "none".into(),
            columns: vec![
                ForeignColumn { name: Some("x".into()), ..ForeignColumn::default() },
                ForeignColumn { name: Some("k".into()), levels: Some(names), ..ForeignColumn::default() },
            ],
            classes: None,
            forest: Forest { link: Link::Identity, base: vec![0.0], divisor: 1.0, trees },
            body: Body::Forest,
            graph: None,
            single_precision: false,
            notes: Vec::new(),
        }
    }

    fn parts(nodes: Vec<Node>) -> Result<Parts> {
        foreign(2, vec![Tree { nodes, ..Tree::default() }]).parts(&[vec![], vec![0, 1]])
    }

    #[test]
    fn nodes_that_are_no_tree_are_refused() {
        let leaf = || Node::Leaf(vec![1.0]);
        let at = || Test::AtMost(0.5);
        assert!(parts(vec![split(0, at(), 1, 2), leaf(), leaf()]).is_ok());
        assert!(parts(vec![split(0, at(), 1, 1), leaf()]).is_err(), "a child twice");
        assert!(parts(vec![split(0, at(), 0, 1), leaf()]).is_err(), "a cycle");
        assert!(parts(vec![split(0, at(), 1, 9), leaf()]).is_err(), "a child that is not there");
        assert!(parts(vec![split(7, at(), 1, 2), leaf(), leaf()]).is_err(), "no such column");
        assert!(parts(vec![split(1, at(), 1, 2), leaf(), leaf()]).is_err(), "a category is no number");
        assert!(parts(vec![split(0, Test::Levels(vec![0]), 1, 2), leaf(), leaf()]).is_err());
        assert!(parts(vec![Node::Leaf(vec![f64::NAN])]).is_err());
        assert!(parts(vec![]).is_err());
    }

    #[test]
    fn levels_that_no_split_distinguishes_share_a_group_and_too_many_groups_are_refused_by_name() {
        let orders = [vec![], (0..1000).collect::<Vec<u32>>()];
        let stump = |levels: Vec<u32>| Tree {
            nodes: vec![split(1, Test::Levels(levels), 1, 2), Node::Leaf(vec![1.0]), Node::Leaf(vec![2.0])],
            ..Tree::default()
        };
        let few = foreign(1000, vec![stump((0..500).collect()), stump((250..750).collect())]);
        let parts = few.parts(&orders).unwrap();
        let distinct: std::collections::BTreeSet<u8> = parts.groups.iter().copied().collect();
        assert_eq!(distinct.len(), 4);
        let many = foreign(1000, (0..300).map(|level| stump(vec![level])).collect());
        let message = format!("{:#}", many.parts(&orders).unwrap_err());
        assert!(message.contains("1000 levels of the category k"), "{message}");
    }
}
