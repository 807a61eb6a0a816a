//! Trees as flat arrays: their layout, their place in the model file, and the check that a walk stays in its tree.
//!
//! [`super::trees`] and [`super::quick_scorer`] make their packed forms of them; learning writes them.
//!
//! The arrays of the model file:
//!
//! | array | per | holds |
//! |---|---|---|
//! | `trees.roots` | tree | its first node; it ends where the next begins |
//! | `trees.feature` | node | the column it splits on; 2³² − 1 for a leaf |
//! | `trees.threshold` | node | the largest number that goes left; 0 for a leaf and a subset |
//! | `trees.left` | node | the left child, the right one is the next; for a leaf, its row of `trees.values` |
//! | `trees.flags` | node | 1: missing goes left; 2: splits on a subset |
//! | `trees.subsets` | node of flag 2, in turn | 256 bits, one per group of levels: set goes left |
//! | `trees.values` | row | the numbers that the leaves add: one, or one per score |
//! | `trees.levels` | column | its number of levels; 0 for a number |
//! | `trees.groups` | level of each column in turn | the group of the level |
//! | `trees.base` | score | the number that the sum of the trees is added to |
//! | `trees.divisor` | | the number that the sum is divided by first: that of the trees of a forest, or 1 |
//! | `trees.importances` | column | its share of the total gain of all splits |
//! | `trees.cover` | leaf, in turn | the rows that it grew on, or their weights; absent from older files |
//!
//! Leaves of one number belong to score t mod scores of tree t.

use anyhow::{Context, Result, bail, ensure};

use super::{Array, Arrays, Link, take_f64, take_u8, take_u32};

/// Marks a leaf in [`Parts::feature`].
pub(crate) const LEAF: u32 = u32::MAX;

/// A flag: a missing value goes left.
pub(crate) const MISSING_LEFT: u8 = 1;

/// A flag: the split is on a subset of levels.
pub(crate) const SUBSET: u8 = 2;

/// Words of a subset: 256 groups of levels.
pub(crate) const SUBSET_WORDS: usize = 8;

/// Name of the array of the rows of leaves.
const COVER: &str = "cover";

/// Columns of a model; the packed node keeps two bits for itself.
const MAX_INPUTS: usize = 1 << 30;

/// The arrays of the module's table, as they are written and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// How scores become predictions.
    pub link: Link,
    /// First node of each tree.
    pub roots: Vec<u32>,
    /// Column of each node, or [`LEAF`].
    pub feature: Vec<u32>,
    /// Largest number that goes left.
    pub threshold: Vec<f64>,
    /// Left child, or row of `values`.
    pub left: Vec<u32>,
    /// [`MISSING_LEFT`] and [`SUBSET`].
    pub flags: Vec<u8>,
    /// [`SUBSET_WORDS`] words per subset node.
    pub subsets: Vec<u32>,
    /// `n_values × width` numbers.
    pub values: Vec<f64>,
    /// Numbers per leaf.
    pub width: usize,
    /// Number of levels of each column.
    pub levels: Vec<u32>,
    /// Group of each level.
    pub groups: Vec<u8>,
    /// Start of each score.
    pub base: Vec<f64>,
    /// The sum of the trees is divided by this.
    pub divisor: f64,
    /// Share of the gain of each column.
    pub importances: Vec<f64>,
    /// The rows that each leaf grew on, or the sum of their weights, in the order of the nodes; empty if unknown. That of
    /// an inner node is the sum of those of its leaves.
    pub cover: Vec<f64>,
}

impl Parts {
    /// Checks shapes, numbers, and that every walk stays in its tree and ends.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        let (n_nodes, n_inputs, n_scores) = (self.feature.len(), self.levels.len(), self.base.len());
        ensure!(
            n_inputs > 0 && n_inputs < MAX_INPUTS && n_nodes < u32::MAX as usize,
            "the trees have {n_inputs} inputs and {n_nodes} nodes"
        );
        let lengths = [self.threshold.len(), self.left.len(), self.flags.len()];
        ensure!(lengths == [n_nodes; 3], "the arrays of the trees differ in length");
        ensure!(self.importances.len() == n_inputs, "the trees have no importance for every input");
        let fits = match self.link {
            Link::Identity => n_scores >= 1,
            Link::Softmax => n_scores >= 2,
            Link::Sigmoid | Link::Share | Link::Exponential => n_scores == 1,
        };
        ensure!(fits, "trees of kind {} have {n_scores} scores", self.form());
        ensure!(
            self.width == 1 || self.width == n_scores,
            "leaves of {} numbers do not fit {n_scores} scores",
            self.width
        );
        let numbers = self.values.iter().chain(&self.base).chain(&self.importances);
        ensure!(
            numbers.chain([&self.divisor]).all(|v| v.is_finite()) && self.divisor > 0.0,
            "a number of the trees is not finite"
        );
        let n_levels: usize = self.levels.iter().map(|&n| n as usize).sum();
        ensure!(self.groups.len() == n_levels, "the trees have no group for every level");
        ensure!(self.roots.first() == Some(&0), "the first tree does not begin at the first node");
        let n_values = self.values.len() / self.width;
        ensure!(self.values.len() == n_values * self.width, "a leaf has too few numbers");
        let (mut n_subsets, mut n_leaves) = (0, 0);
        for (tree, &root) in self.roots.iter().enumerate() {
            let end = self.roots.get(tree + 1).map_or(n_nodes, |&end| end as usize);
            ensure!((root as usize) < end && end <= n_nodes, "a tree has no nodes");
            for i in root as usize..end {
                let (feature, left, flags) = (self.feature[i], self.left[i] as usize, self.flags[i]);
                if feature == LEAF {
                    ensure!(left < n_values, "a leaf names a value that does not exist");
                    n_leaves += 1;
                    continue;
                }
                ensure!((feature as usize) < n_inputs, "a node splits on a column that does not exist");
                ensure!(left > i && left + 1 < end, "a node has children outside its tree");
                ensure!(flags <= MISSING_LEFT | SUBSET, "a node has unknown flags");
                ensure!(self.threshold[i].is_finite(), "a threshold is not a finite number");
                n_subsets += usize::from(flags & SUBSET != 0);
            }
        }
        ensure!(
            self.subsets.len() == n_subsets * SUBSET_WORDS,
            "the trees have no subset for every node that needs one"
        );
        ensure!(
            (self.cover.is_empty() || self.cover.len() == n_leaves)
                && self.cover.iter().all(|rows| rows.is_finite() && *rows > 0.0),
            "the trees have no number of rows for every leaf"
        );
        Ok(())
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        match self.link {
            Link::Identity => "trees",
            Link::Sigmoid => "trees-sigmoid",
            Link::Softmax => "trees-softmax",
            Link::Exponential => "trees-exponential",
            Link::Share => "trees-share",
        }
    }

    /// The link that a name of [`Parts::form`] stands for.
    pub fn link_of_form(form: &str) -> Option<Link> {
        Some(match form {
            "trees" => Link::Identity,
            "trees-sigmoid" => Link::Sigmoid,
            "trees-softmax" => Link::Softmax,
            "trees-exponential" => Link::Exponential,
            "trees-share" => Link::Share,
            _ => return None,
        })
    }

    /// Adds the arrays of the module's table.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        let mut add = |name: &str, array| arrays.insert(format!("trees.{name}"), array);
        let u32s = |values: &Vec<u32>| Array::U32(vec![values.len()], values.clone());
        let u8s = |values: &Vec<u8>| Array::U8(vec![values.len()], values.clone());
        let f64s = |values: &Vec<f64>| Array::F64(vec![values.len()], values.clone());
        add("roots", u32s(&self.roots));
        add("feature", u32s(&self.feature));
        add("threshold", f64s(&self.threshold));
        add("left", u32s(&self.left));
        add("flags", u8s(&self.flags));
        add("subsets", u32s(&self.subsets));
        let shape = vec![self.values.len() / self.width.max(1), self.width];
        add("values", Array::F64(shape, self.values.clone()));
        add("levels", u32s(&self.levels));
        add("groups", u8s(&self.groups));
        add("base", f64s(&self.base));
        add("divisor", Array::F64(vec![1], vec![self.divisor]));
        add("importances", f64s(&self.importances));
        if !self.cover.is_empty() {
            add(COVER, cover_array(&self.cover));
        }
    }

    /// Takes the arrays out of a model file; still to be validated.
    ///
    /// # Errors
    /// An array that is missing, of another kind or shape.
    pub fn read_arrays(link: Link, arrays: &mut Arrays) -> Result<Self> {
        let width = match arrays.get("trees.values") {
            Some(Array::F64(shape, _)) if shape.len() == 2 && shape[1] > 0 => shape[1],
            _ => bail!("the array \"trees.values\" is missing or has no two dimensions"),
        };
        let divisor = take_f64(arrays, "trees.divisor")?;
        Ok(Self {
            link,
            roots: take_u32(arrays, "trees.roots")?,
            feature: take_u32(arrays, "trees.feature")?,
            threshold: take_f64(arrays, "trees.threshold")?,
            left: take_u32(arrays, "trees.left")?,
            flags: take_u8(arrays, "trees.flags")?,
            subsets: take_u32(arrays, "trees.subsets")?,
            values: take_f64(arrays, "trees.values")?,
            width,
            levels: take_u32(arrays, "trees.levels")?,
            groups: take_u8(arrays, "trees.groups")?,
            base: take_f64(arrays, "trees.base")?,
            divisor: *divisor.first().context("the trees have no divisor")?,
            importances: take_f64(arrays, "trees.importances")?,
            cover: take_cover(arrays)?,
        })
    }
}

/// Rows are whole numbers of four bytes, weights are not.
fn cover_array(cover: &[f64]) -> Array {
    let shape = vec![cover.len()];
    if cover.iter().all(|&rows| rows.fract() == 0.0 && rows <= f64::from(u32::MAX)) {
        Array::U32(shape, cover.iter().map(|&rows| rows as u32).collect())
    } else {
        Array::F64(shape, cover.to_vec())
    }
}

fn take_cover(arrays: &mut Arrays) -> Result<Vec<f64>> {
    let name = format!("trees.{COVER}");
    let cover: Vec<f64> = match arrays.get(&name) {
        None => return Ok(Vec::new()),
        Some(Array::U32(..)) => take_u32(arrays, &name)?.into_iter().map(f64::from).collect(),
        Some(_) => take_f64(arrays, &name)?,
    };
    ensure!(!cover.is_empty(), "{name} is empty");
    Ok(cover)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::Rng;

    /// Trees of random shape that split numbers 0 and 2 and column 1, a category of 40 levels or a number, and give three
    /// scores.
    pub(in crate::model::predictor) fn random_parts(
        random: &mut Pcg64,
        n_trees: usize,
        max_leaves: u64,
        subsets: bool,
    ) -> Parts {
        let mut parts = Parts {
            link: Link::Softmax,
            roots: Vec::new(),
            feature: Vec::new(),
            threshold: Vec::new(),
            left: Vec::new(),
            flags: Vec::new(),
            subsets: Vec::new(),
            values: (0..50).map(f64::from).collect(),
            width: 1,
            levels: vec![0, if subsets { 40 } else { 0 }, 0],
            groups: (0..if subsets { 40 } else { 0 }).collect(),
            base: vec![0.0; 3],
            divisor: 1.0,
            importances: vec![0.0; 3],
            cover: Vec::new(),
        };
        for _ in 0..n_trees {
            let root = parts.feature.len();
            parts.roots.push(root as u32);
            let n_splits = random.next_u64() % max_leaves;
            let mut inner = vec![None];
            let mut leaves = vec![0];
            for _ in 0..n_splits {
                let leaf = leaves.swap_remove(random.next_u64() as usize % leaves.len());
                inner[leaf] = Some(inner.len());
                leaves.extend([inner.len(), inner.len() + 1]);
                inner.extend([None, None]);
            }
            for left in inner {
                let feature = (random.next_u64() % 3) as u32;
                let is_subset = subsets && left.is_some() && feature == 1;
                if is_subset {
                    parts.subsets.extend((0..SUBSET_WORDS).map(|_| random.next_u64() as u32));
                }
                parts.feature.push(if left.is_some() { feature } else { LEAF });
                let threshold = if left.is_some() && !is_subset { random.next_u64() % 9 } else { 0 };
                parts.threshold.push(threshold as f64);
                let row = random.next_u64() % 50;
                parts.left.push(left.map_or(row as u32, |left| (root + left) as u32));
                parts.flags.push((random.next_u64() % 2) as u8 + if is_subset { SUBSET } else { 0 });
            }
        }
        parts
    }

    #[test]
    fn the_name_of_every_form_is_that_of_its_link() {
        let parts = Parts {
            link: Link::Identity,
            roots: vec![0],
            feature: vec![LEAF],
            threshold: vec![0.0],
            left: vec![0],
            flags: vec![0],
            subsets: Vec::new(),
            values: vec![3.0],
            width: 1,
            levels: vec![0],
            groups: Vec::new(),
            base: vec![0.0],
            divisor: 1.0,
            importances: vec![0.0],
            cover: vec![7.0],
        };
        for link in [Link::Identity, Link::Sigmoid, Link::Softmax, Link::Exponential, Link::Share] {
            let n_scores = if link == Link::Softmax { 2 } else { 1 };
            let parts = Parts { link, base: vec![0.0; n_scores], ..parts.clone() };
            parts.validate().unwrap();
            let mut arrays = Arrays::new();
            parts.write_arrays(&mut arrays);
            let link = Parts::link_of_form(parts.form()).unwrap();
            assert_eq!(Parts::read_arrays(link, &mut arrays).unwrap(), parts);
        }
        assert_eq!(Parts::link_of_form("forest"), None);
    }
}
