//! The text of a LightGBM model: all models of trees.
//!
//! Trees of forests, whose leaves hold one number per class, become one tree per class; what the sum of trees is added to
//! goes into the leaves of the first ones, and the divisor into all. In LightGBM missing and unseen categories go right,
//! so the children of a split that sends them left change sides, and its set becomes the rest of the levels.
//! Source: LightGBM 4.7, `src/io/tree.cpp`, `src/boosting/gbdt_model_text.cpp`.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};

use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::data::prepare::recipe::{Encoding, Slot};
use crate::model::Model;
use crate::model::pipeline::Member;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};
use crate::model::predictor::{Link, Predictor};

/// Bits of `decision_type`: a category, default left, and what is missing in a column of numbers.
const CATEGORY: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const ZERO_IS_MISSING: u8 = 1 << 2;
const NAN_IS_MISSING: u8 = 2 << 2;

/// The text of a model.
pub(super) fn text(model: &Model, member: &Member) -> Result<String> {
    let Predictor::Trees(trees) = &member.predictor else {
        bail!(
            "LightGBM holds trees, and the model is {}; --algorithm gradient-boosting, random-forest, extra-trees and \
             decision-tree are trees",
            model.card.algorithm
        )
    };
    super::learned_as_is(member)?;
    let schema = &model.pipeline.schema;
    let slots = member.recipe.slots();
    let one_each = slots.iter().enumerate().all(|(i, slot)| *slot == (i, Slot::Value));
    if member.recipe.encoding() != Encoding::Raw || !one_each || slots.len() != schema.n_features() {
        let made = schema.features.iter().find(|feature| {
            matches!(feature.column_type, ColumnType::Date | ColumnType::Text)
                || feature.levels.len() > crate::data::prepare::recipe::MAX_LEVEL_SLOTS
        });
        bail!(
            "the trees read numbers made of the column {:?} (parts of dates, terms of texts or means within many levels), \
             which LightGBM does not make; train with --drop, or --type COL=category",
            made.map_or("", |feature| feature.name.as_str())
        );
    }
    let zeros = member.recipe.parts().zero_is_missing;
    Writer { parts: trees.parts(), features: &schema.features, zeros: &zeros }.text()
}

struct Writer<'a> {
    parts: &'a Parts,
    features: &'a [Feature],
    zeros: &'a [u8],
}

impl Writer<'_> {
    fn text(&self) -> Result<String> {
        let parts = self.parts;
        let n_scores = parts.base.len();
        let names: Vec<String> = self.features.iter().map(|feature| name(&feature.name)).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        ensure!(
            distinct.len() == names.len(),
            "two columns have one name once blanks in it are underscores, as LightGBM needs them"
        );
        let infos: Vec<String> = self.features.iter().map(info).collect();
        let objective = match parts.link {
            Link::Sigmoid => Some("binary sigmoid:1".to_string()),
            Link::Softmax => Some(format!("multiclass num_class:{n_scores}")),
            Link::Exponential => Some("poisson".to_string()),
            Link::Identity | Link::Share if n_scores == 1 => Some("regression".to_string()),
            // The probabilities of a forest are its scores.
            Link::Identity | Link::Share => None,
        };
        let trees = self.trees()?;
        let mut out = format!(
            "tree\nversion=v4\nnum_class={n_scores}\nnum_tree_per_iteration={n_scores}\nlabel_index=0\nmax_feature_idx={}\n",
            self.features.len() - 1
        );
        if let Some(objective) = objective {
            writeln!(out, "objective={objective}")?;
        }
        let sizes: Vec<String> = trees.iter().map(|tree| tree.len().to_string()).collect();
        write!(
            out,
            "feature_names={}\nfeature_infos={}\ntree_sizes={}\n\n",
            names.join(" "),
            infos.join(" "),
            sizes.join(" ")
        )?;
        trees.iter().for_each(|tree| out += tree);
        let categories: Vec<&Vec<String>> = self
            .features
            .iter()
            .filter(|feature| feature.column_type == ColumnType::Category)
            .map(|feature| &feature.levels)
            .collect();
        let indices: Vec<String> = (0..self.features.len())
            .filter(|&i| self.features[i].column_type == ColumnType::Category)
            .map(|i| i.to_string())
            .collect();
        write!(
            out,
            "end of trees\n\nfeature_importances:\n\nparameters:\n[categorical_feature: {}]\n\nend of parameters\n\n\
             pandas_categorical:{}\n",
            indices.join(","),
            if categories.is_empty() { "null".into() } else { serde_json::to_string(&categories)? }
        )?;
        Ok(out)
    }

    fn trees(&self) -> Result<Vec<String>> {
        let parts = self.parts;
        let n_scores = parts.base.len();
        let n_nodes = parts.feature.len();
        // The first word of the subset of each node that has one.
        let mut sets = vec![0; n_nodes];
        let mut n_sets = 0;
        for (node, flags) in parts.flags.iter().enumerate() {
            if parts.feature[node] != LEAF && flags & SUBSET != 0 {
                sets[node] = n_sets * SUBSET_WORDS;
                n_sets += 1;
            }
        }
        let mut texts = Vec::new();
        for (tree, &root) in parts.roots.iter().enumerate() {
            let root = root as usize;
            let end = parts.roots.get(tree + 1).map_or(n_nodes, |&end| end as usize);
            let scores = if parts.width == 1 { tree % n_scores..tree % n_scores + 1 } else { 0..n_scores };
            for score in scores {
                let number = texts.len();
                let base = if number < n_scores { parts.base[score] } else { 0.0 };
                let leaf = |row: usize| {
                    let column = if parts.width == 1 { 0 } else { score };
                    base + parts.values[row * parts.width + column] / parts.divisor
                };
                texts.push(self.tree(number, root..end, &sets, leaf)?);
            }
        }
        // LightGBM adds up whole rounds.
        while !texts.len().is_multiple_of(n_scores) {
            let base = if texts.len() < n_scores { parts.base[texts.len()] } else { 0.0 };
            texts.push(single_leaf(texts.len(), base)?);
        }
        Ok(texts)
    }

    fn tree(
        &self,
        number: usize,
        nodes: std::ops::Range<usize>,
        sets: &[usize],
        leaf_value: impl Fn(usize) -> f64,
    ) -> Result<String> {
        let parts = self.parts;
        if parts.feature[nodes.start] == LEAF {
            return single_leaf(number, leaf_value(parts.left[nodes.start] as usize));
        }
        // Inner nodes are counted from 0, leaves from −1 downwards.
        let (mut n_inner, mut n_leaves) = (0_i64, 0_i64);
        let mut numbers = vec![0_i64; nodes.len()];
        for node in nodes.clone() {
            let count = if parts.feature[node] == LEAF { &mut n_leaves } else { &mut n_inner };
            numbers[node - nodes.start] = if parts.feature[node] == LEAF { !*count } else { *count };
            *count += 1;
        }
        let mut lines = Lines::default();
        let mut n_words = 0;
        for node in nodes.clone() {
            let (feature, below) = (parts.feature[node], parts.left[node] as usize);
            if feature == LEAF {
                lines.leaf_value.push(number_text(leaf_value(below)));
                continue;
            }
            let missing_left = parts.flags[node] & MISSING_LEFT != 0;
            let child = |node: usize| numbers[node - nodes.start];
            let mut children = [child(below), child(below + 1)];
            let (threshold, decision);
            if parts.flags[node] & SUBSET != 0 {
                let words = self.levels(feature as usize, sets[node], missing_left);
                if missing_left {
                    children.reverse();
                }
                (threshold, decision) = (lines.n_sets.to_string(), CATEGORY);
                lines.n_sets += 1;
                n_words += words.len();
                lines.bounds.push(n_words.to_string());
                lines.words.extend(words.iter().map(u32::to_string));
            } else {
                let missing = if self.zeros.get(feature as usize) == Some(&1) {
                    ZERO_IS_MISSING
                } else {
                    NAN_IS_MISSING
                };
                threshold = number_text(parts.threshold[node]);
                decision = missing | if missing_left { DEFAULT_LEFT } else { 0 };
            }
            lines.feature.push(feature.to_string());
            lines.threshold.push(threshold);
            lines.decision.push(decision.to_string());
            lines.left.push(children[0].to_string());
            lines.right.push(children[1].to_string());
        }
        lines.text(number)
    }

    /// The bits of the levels that go left, or of those that go right if missing ones go left.
    fn levels(&self, feature: usize, set: usize, missing_left: bool) -> Vec<u32> {
        let parts = self.parts;
        let first: usize = parts.levels[..feature].iter().map(|&n| n as usize).sum();
        let n = parts.levels[feature] as usize;
        let mut words = vec![0_u32; n.div_ceil(32).max(1)];
        for (level, &group) in parts.groups[first..first + n].iter().enumerate() {
            let goes_left = parts.subsets[set + usize::from(group) / 32] >> (group % 32) & 1 == 1;
            if goes_left != missing_left {
                words[level / 32] |= 1 << (level % 32);
            }
        }
        words
    }
}

/// The lines of a tree.
#[derive(Default)]
struct Lines {
    feature: Vec<String>,
    threshold: Vec<String>,
    decision: Vec<String>,
    left: Vec<String>,
    right: Vec<String>,
    leaf_value: Vec<String>,
    n_sets: usize,
    bounds: Vec<String>,
    words: Vec<String>,
}

impl Lines {
    fn text(self, number: usize) -> Result<String> {
        let mut out =
            format!("Tree={number}\nnum_leaves={}\nnum_cat={}\n", self.leaf_value.len(), self.n_sets);
        let zeros = vec!["0"; self.feature.len()].join(" ");
        writeln!(out, "split_feature={}", self.feature.join(" "))?;
        writeln!(out, "split_gain={zeros}")?;
        writeln!(out, "threshold={}", self.threshold.join(" "))?;
        writeln!(out, "decision_type={}", self.decision.join(" "))?;
        writeln!(out, "left_child={}", self.left.join(" "))?;
        writeln!(out, "right_child={}", self.right.join(" "))?;
        writeln!(out, "leaf_value={}", self.leaf_value.join(" "))?;
        if self.n_sets > 0 {
            writeln!(out, "cat_boundaries=0 {}", self.bounds.join(" "))?;
            writeln!(out, "cat_threshold={}", self.words.join(" "))?;
        }
        out += "is_linear=0\nshrinkage=1\n\n\n";
        Ok(out)
    }
}

fn single_leaf(number: usize, value: f64) -> Result<String> {
    Lines { leaf_value: vec![number_text(value)], ..Lines::default() }.single(number)
}

impl Lines {
    fn single(self, number: usize) -> Result<String> {
        let value = self.leaf_value.join(" ");
        Ok(format!(
            "Tree={number}\nnum_leaves=1\nnum_cat=0\nleaf_value={value}\nis_linear=0\nshrinkage=1\n\n\n"
        ))
    }
}

/// A name without blanks, which separate names in the file.
fn name(text: &str) -> String {
    text.replace(char::is_whitespace, "_")
}

/// The description of a column: its range, or the codes of its levels.
fn info(feature: &Feature) -> String {
    if feature.column_type == ColumnType::Category {
        return match feature.levels.len() {
            0 => "none".into(),
            n => (0..n).map(|code| code.to_string()).collect::<Vec<_>>().join(":"),
        };
    }
    format!("[{}:{}]", number_text(feature.min), number_text(feature.max))
}

/// A number that is read back to the last bit.
fn number_text(value: f64) -> String {
    if value == 0.0 || (1e-5..1e17).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}
