//! Models of XGBoost, from its JSON or UBJSON files.
//!
//! A number goes left if it is below the threshold in single precision, a category if it is *not* in the set of the node.
//! `base_score` is a string, of a list since XGBoost 3, and in the space of the predictions, not of the scores; the trees
//! of DART have weights beside them; `tree_info` says which class a tree is for.
//! Source: XGBoost 3.2, `doc/model.schema`, `src/tree/tree_model.cc`, `src/common/categorical.h`.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::forest::{Body, Classes, Foreign, ForeignColumn, Forest, Node, Split, Test, Tree};
use super::{float32, ubjson};
use crate::model::predictor::Link;

/// The objectives that are read, with their links.
const OBJECTIVES: [(&str, Meaning); 12] = [
    ("binary:logistic", Meaning::Two),
    ("multi:softprob", Meaning::Many),
    ("multi:softmax", Meaning::Many),
    ("reg:squarederror", Meaning::Number),
    ("reg:linear", Meaning::Number),
    ("reg:squaredlogerror", Meaning::Number),
    ("reg:pseudohubererror", Meaning::Number),
    ("reg:absoluteerror", Meaning::Number),
    ("reg:quantileerror", Meaning::Number),
    ("count:poisson", Meaning::Logarithm),
    ("reg:gamma", Meaning::Logarithm),
    ("reg:tweedie", Meaning::Logarithm),
];

/// Columns; a file that names none asks for many in a few bytes.
const MAX_COLUMNS: usize = 1 << 17;

/// The type of the children of a leaf, and of a category's node.
const NO_CHILD: i32 = -1;
const CATEGORY: u8 = 1;

#[derive(Clone, Copy)]
enum Meaning {
    Two,
    Many,
    Number,
    Logarithm,
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
    #[serde(default)]
    version: Vec<u32>,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: LearnerParam,
    objective: Objective,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    best_iteration: Option<Parameter>,
    #[serde(default)]
    scikit_learn: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct LearnerParam {
    base_score: Parameter,
    #[serde(default)]
    num_class: Option<Parameter>,
    num_feature: Parameter,
    #[serde(default)]
    num_target: Option<Parameter>,
}

#[derive(Deserialize)]
struct Booster {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    model: Option<Model>,
    /// Of DART.
    #[serde(default)]
    gbtree: Option<Inner>,
    #[serde(default)]
    weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
struct Inner {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    trees: Vec<RawTree>,
    #[serde(default)]
    tree_info: Vec<usize>,
    #[serde(default)]
    iteration_indptr: Vec<usize>,
    #[serde(default)]
    cats: Option<Categories>,
}

/// The categories of a data frame, since XGBoost 3.1.
#[derive(Default, Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    #[serde(default)]
    offsets: Vec<usize>,
    #[serde(default)]
    values: Vec<serde_json::Number>,
}

#[derive(Deserialize)]
struct RawTree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    #[serde(default)]
    loss_changes: Vec<f32>,
    #[serde(default)]
    sum_hessian: Vec<f32>,
    #[serde(default)]
    tree_param: TreeParam,
}

#[derive(Default, Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: Option<Parameter>,
}

/// A parameter, which XGBoost writes as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Parameter {
    Text(String),
    Number(serde_json::Number),
    Numbers(Vec<serde_json::Number>),
}

impl Parameter {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number.to_string().into(),
            Self::Numbers(numbers) => {
                numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into()
            }
        }
    }

    fn count(&self, name: &str) -> Result<usize> {
        let text = self.text();
        text.parse().ok().with_context(|| format!("its {name} is {text:?}"))
    }
}

/// 0 or 1, or a boolean in files before XGBoost 1.3.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFlag;
        impl Visitor<'_> for OfFlag {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("0 or 1")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
        }
        deserializer.deserialize_any(OfFlag)
    }
}

/// Reads a file of either form.
///
/// # Errors
/// A damaged file, or a model that mlapi cannot hold, named as XGBoost names it.
pub(super) fn read(bytes: &[u8]) -> Result<Foreign> {
    // Both forms begin with a brace; that of JSON is followed by a name in quotation marks.
    let is_json = bytes.iter().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(&b'"');
    let file: File = if is_json {
        serde_json::from_slice(bytes).context("it is not the JSON that XGBoost writes")?
    } else {
        ubjson::from_slice(bytes).context("it is not the UBJSON that XGBoost writes")?
    };
    convert(file)
}

fn convert(File { learner, version }: File) -> Result<Foreign> {
    let Learner {
        attributes,
        feature_names,
        feature_types,
        gradient_booster,
        learner_model_param,
        objective,
    } = learner;
    let meaning = OBJECTIVES.iter().find(|(name, _)| *name == objective.name).map(|(_, meaning)| *meaning);
    let Some(meaning) = meaning else {
        bail!(
            "the objective {:?} has no prediction that mlapi knows; it reads {}",
            objective.name,
            OBJECTIVES.map(|(name, _)| name).join(", ")
        )
    };
    let targets = learner_model_param.num_target.as_ref().map_or(Ok(1), |n| n.count("num_target"))?;
    ensure!(targets <= 1, "it predicts {targets} numbers at once (num_target); mlapi predicts one");
    let n_columns = learner_model_param.num_feature.count("num_feature")?;
    let n_classes = learner_model_param.num_class.as_ref().map_or(Ok(0), |n| n.count("num_class"))?;
    let n_scores = if matches!(meaning, Meaning::Many) { n_classes } else { 1 };
    ensure!((1..=crate::data::cells::target::MAX_CLASSES).contains(&n_scores), "it has {n_classes} classes");
    let Booster { name, model, gbtree, weight_drop } = gradient_booster;
    let model = match (name.as_deref(), model, gbtree) {
        (Some("gbtree") | None, Some(model), _) => model,
        (Some("dart"), _, Some(inner)) => inner.model,
        (name, ..) => {
            let name = name.unwrap_or("none");
            bail!("its booster is {name:?}; mlapi reads gbtree and dart")
        }
    };
    let Model { trees, tree_info, iteration_indptr, cats } = model;
    ensure!(
        tree_info.len() == trees.len(),
        "it has {} trees and {} classes of them",
        trees.len(),
        tree_info.len()
    );
    ensure!(
        weight_drop.is_empty() || weight_drop.len() == trees.len(),
        "it has {} trees and {} weights of them",
        trees.len(),
        weight_drop.len()
    );
    let mut notes = Vec::new();
    let n_trees = match &attributes.best_iteration {
        Some(best) => {
            let best = best.count("best_iteration")?;
            let kept = iteration_indptr.get(best + 1).copied().unwrap_or(trees.len()).min(trees.len());
            if kept == trees.len() {
                kept
            } else if attributes.scikit_learn.is_some() {
                notes.push(format!(
                    "early stopping chose {} of {} rounds, and as scikit-learn's wrapper does only those are used",
                    best + 1,
                    iteration_indptr.len().saturating_sub(1)
                ));
                kept
            } else {
                notes.push(format!(
                    "early stopping chose {} of {} rounds; as Booster.predict does all are used. Save booster[:{0}] to \
                     keep those alone",
                    best + 1,
                    iteration_indptr.len().saturating_sub(1)
                ));
                trees.len()
            }
        }
        None => trees.len(),
    };
    ensure!(n_columns <= MAX_COLUMNS, "it has {n_columns} columns; mlapi reads {MAX_COLUMNS}");
    let largest = largest_categories(&trees, n_columns);
    let columns = columns(n_columns, feature_names, &feature_types, cats.unwrap_or_default(), &largest)?;
    let mut forest = Forest {
        link: match meaning {
            Meaning::Two => Link::Sigmoid,
            Meaning::Many => Link::Softmax,
            Meaning::Number => Link::Identity,
            Meaning::Logarithm => Link::Exponential,
        },
        base: base_scores(&learner_model_param.base_score.text(), n_scores, meaning)?,
        divisor: 1.0,
        trees: Vec::with_capacity(n_trees),
    };
    for (i, (tree, score)) in trees.into_iter().zip(tree_info).take(n_trees).enumerate() {
        ensure!(score < n_scores, "tree {i} is for class {score} of {n_scores}");
        let weight = weight_drop.get(i).copied().unwrap_or(1.0);
        let covers = tree.sum_hessian.iter().map(|&sum| sum.into()).collect();
        let nodes = nodes(tree, weight, &columns).with_context(|| format!("tree {i} is damaged"))?;
        forest.trees.push(Tree { score, nodes, covers });
    }
    let classes = match meaning {
        Meaning::Two => Some(Classes { n: 2, labels: None }),
        Meaning::Many => Some(Classes { n: n_classes, labels: None }),
        Meaning::Number | Meaning::Logarithm => None,
    };
    let version = version.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    Ok(Foreign {
        producer: "XGBoost".into(),
        version: Some(version).filter(|version| !version.is_empty()),
        objective: objective.name,
        columns,
        classes,
        forest,
        body: Body::Forest,
        graph: None,
        single_precision: true,
        notes,
    })
}

/// The largest code of each column's categories in the trees, if it has any.
fn largest_categories(trees: &[RawTree], n_columns: usize) -> Vec<Option<u32>> {
    let mut largest = vec![None; n_columns];
    for tree in trees {
        let nodes = tree.categories_nodes.iter().zip(&tree.categories_segments).zip(&tree.categories_sizes);
        for ((&node, &start), &size) in nodes {
            let column = tree.split_indices.get(node).and_then(|&column| largest.get_mut(column));
            let codes = tree.categories.get(start..start.saturating_add(size)).unwrap_or_default();
            if let Some(column) = column {
                *column = codes.iter().copied().max().max(*column);
            }
        }
    }
    largest
}

fn columns(
    n: usize,
    names: Vec<String>,
    types: &[String],
    Categories { enc }: Categories,
    largest: &[Option<u32>],
) -> Result<Vec<ForeignColumn>> {
    /// Codes are levels by number if the file does not name them; of all columns together.
    const MAX_CODES: u64 = 1 << 20;
    let n_codes: u64 = largest.iter().flatten().map(|&largest| u64::from(largest) + 1).sum();
    ensure!(n_codes <= MAX_CODES, "its categories have {n_codes} codes; mlapi reads {MAX_CODES}");
    ensure!(names.is_empty() || names.len() == n, "it has {n} columns and {} names of them", names.len());
    ensure!(types.is_empty() || types.len() == n, "it has {n} columns and {} types of them", types.len());
    // The names that XGBoost makes up for an array.
    let made_up = names.iter().enumerate().all(|(i, name)| *name == format!("f{i}"));
    let mut names = names.into_iter().filter(|_| !made_up);
    let column = |(i, largest): (usize, &Option<u32>)| {
        let name = names.next();
        let encoded = enc.get(i).filter(|encoded| !encoded.values.is_empty());
        let is_category = largest.is_some() || types.get(i).is_some_and(|of_type| of_type == "c");
        let levels = match encoded {
            Some(encoded) if is_category => {
                Some(encoded.levels().with_context(|| format!("the categories of column {i}"))?)
            }
            None if is_category => {
                let n = largest.map_or(0, |largest| largest.saturating_add(1));
                Some((0..n).map(|code| code.to_string()).collect())
            }
            _ => None,
        };
        Ok(ForeignColumn { name, levels, ..ForeignColumn::default() })
    };
    largest.iter().enumerate().map(column).collect()
}

impl Encoded {
    /// The texts, which lie end to end with their bounds beside them, or the numbers.
    fn levels(&self) -> Result<Vec<String>> {
        if self.offsets.is_empty() {
            return Ok(self.values.iter().map(|number| level_of(number.as_f64(), number)).collect());
        }
        let byte = |number: &serde_json::Number| {
            let byte = number.as_i64().filter(|byte| (-128..256).contains(byte));
            byte.map(|byte| byte as u8).context("a byte is out of range")
        };
        let bytes: Vec<u8> = self.values.iter().map(byte).collect::<Result<_>>()?;
        let level = |bounds: &[usize]| {
            let level = bytes.get(bounds[0]..bounds[1]).context("a level is out of bounds")?;
            Ok(std::str::from_utf8(level).context("a level is not UTF-8")?.to_string())
        };
        self.offsets.windows(2).map(level).collect()
    }
}

/// A level that is a number, as a file of rows writes it.
fn level_of(value: Option<f64>, number: &serde_json::Number) -> String {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => (value as i64).to_string(),
        _ => number.to_string(),
    }
}

/// The start of each score. The file has it in the space of predictions.
fn base_scores(text: &str, n_scores: usize, meaning: Meaning) -> Result<Vec<f64>> {
    let wrong = || format!("its base_score is {text:?}");
    let numbers = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    let mut base: Vec<f64> = Vec::new();
    for number in numbers {
        let value: f32 = number.trim().parse().with_context(wrong)?;
        let score = match meaning {
            // In single precision, as XGBoost's `ProbToMargin`.
            Meaning::Two => {
                ensure!(value > 0.0 && value < 1.0, wrong());
                -(1.0 / value - 1.0).ln()
            }
            Meaning::Logarithm => value.ln(),
            Meaning::Many | Meaning::Number => value,
        };
        ensure!(score.is_finite(), wrong());
        base.push(score.into());
    }
    if base.len() == 1 {
        base.resize(n_scores, base[0]);
    }
    ensure!(base.len() == n_scores, "it has {n_scores} scores and {} starts of them", base.len());
    Ok(base)
}

fn nodes(tree: RawTree, weight: f32, columns: &[ForeignColumn]) -> Result<Vec<Node>> {
    let n = tree.left_children.len();
    let lengths = [
        tree.right_children.len(),
        tree.split_indices.len(),
        tree.split_conditions.len(),
        tree.default_left.len(),
    ];
    ensure!(lengths == [n; 4], "its arrays differ in length");
    ensure!(tree.split_type.is_empty() || tree.split_type.len() == n, "its arrays differ in length");
    let width =
        tree.tree_param.size_leaf_vector.as_ref().map_or(Ok(1), |size| size.count("size_leaf_vector"))?;
    ensure!(
        width <= 1,
        "its leaves are vectors (multi_strategy=\"multi_output_tree\"), which mlapi does not read"
    );
    let mut sets: Vec<&[u32]> = vec![&[]; n];
    let of_sets = tree.categories_nodes.iter().zip(&tree.categories_segments).zip(&tree.categories_sizes);
    for ((&node, &start), &size) in of_sets {
        let codes =
            tree.categories.get(start..start.saturating_add(size)).context("a set is out of bounds")?;
        *sets.get_mut(node).context("a set belongs to no node")? = codes;
    }
    let mut nodes = Vec::with_capacity(n);
    for (i, set) in sets.into_iter().enumerate() {
        if tree.left_children[i] == NO_CHILD {
            nodes.push(Node::Leaf(vec![f64::from(weight * tree.split_conditions[i])]));
            continue;
        }
        let child = |child: i32| usize::try_from(child).context("a child has a negative number");
        let column = tree.split_indices[i];
        let test = if tree.split_type.get(i) == Some(&CATEGORY) {
            let n_levels = columns.get(column).and_then(|column| column.levels.as_ref()).map_or(0, Vec::len);
            let mut right = vec![false; n_levels];
            set.iter().for_each(|&code| {
                if let Some(right) = right.get_mut(code as usize) {
                    *right = true;
                }
            });
            Test::Levels((0..n_levels as u32).filter(|&code| !right[code as usize]).collect())
        } else {
            ensure!(tree.split_conditions[i].is_finite(), "a threshold is not a finite number");
            Test::AtMost(float32::below(tree.split_conditions[i]))
        };
        nodes.push(Node::Split(Split {
            column,
            test,
            missing_left: tree.default_left[i].0,
            left: child(tree.left_children[i])?,
            right: child(tree.right_children[i])?,
            gain: tree.loss_changes.get(i).copied().map_or(0.0, f64::from),
        }));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_scores_are_read_in_all_their_spellings() {
        assert_eq!(base_scores("5E-1", 1, Meaning::Two).unwrap(), [0.0]);
        assert_eq!(base_scores("[5.0E-1]", 1, Meaning::Two).unwrap(), [0.0]);
        assert_eq!(base_scores("0.5", 3, Meaning::Many).unwrap(), [0.5; 3]);
        assert_eq!(base_scores("[1E0,-2E0]", 2, Meaning::Many).unwrap(), [1.0, -2.0]);
        assert_eq!(base_scores("1", 1, Meaning::Logarithm).unwrap(), [0.0]);
        for (text, meaning) in [
            ("0", Meaning::Two),
            ("-1", Meaning::Logarithm),
            ("x", Meaning::Number),
            ("[1,2]", Meaning::Number),
        ] {
            assert!(base_scores(text, 1, meaning).is_err(), "{text}");
        }
    }
}
