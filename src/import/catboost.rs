//! Models of CatBoost without categories, from its JSON files.
//!
//! A number is compared with a border in single precision. An oblivious tree asks the same question on a whole level;
//! the answers are the bits of the number of its leaf, the first one the lowest. Trees of other growing policies are
//! nested objects.
//! Source: CatBoost 1.2.10, `catboost/libs/model/model_export/json_model_helpers.cpp`.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::float32;
use super::forest::{Body, Classes, Foreign, ForeignColumn, Forest, Node, Split, Test, Tree};
use crate::model::predictor::Link;

/// Levels of a tree; CatBoost itself grows 16.
const MAX_DEPTH: usize = 20;

/// Losses whose prediction is their score.
const NUMBERS: [&str; 11] = [
    "RMSE",
    "MAE",
    "Quantile",
    "MAPE",
    "Huber",
    "Expectile",
    "LogLinQuantile",
    "Lq",
    "LogCosh",
    "NumErrors",
    "SMAPE",
];
/// Losses whose score is the logarithm of their prediction.
const LOGARITHMS: [&str; 2] = ["Poisson", "Tweedie"];

#[derive(Deserialize)]
struct File {
    features_info: FeaturesInfo,
    model_info: ModelInfo,
    #[serde(default)]
    oblivious_trees: Vec<Oblivious>,
    #[serde(default)]
    trees: Vec<Nested>,
    scale_and_bias: (f64, Bias),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bias {
    One(f64),
    Many(Vec<f64>),
}

#[derive(Deserialize)]
struct FeaturesInfo {
    #[serde(default)]
    float_features: Vec<FloatFeature>,
    #[serde(default)]
    categorical_features: Vec<NamedFeature>,
    #[serde(default)]
    text_features: Vec<NamedFeature>,
    #[serde(default)]
    embedding_features: Vec<NamedFeature>,
}

#[derive(Deserialize)]
struct NamedFeature {
    #[serde(default)]
    feature_id: String,
}

#[derive(Deserialize)]
struct FloatFeature {
    #[serde(default)]
    feature_id: String,
    feature_index: usize,
    flat_feature_index: usize,
    #[serde(default)]
    nan_value_treatment: String,
}

#[derive(Deserialize)]
struct ModelInfo {
    #[serde(default)]
    catboost_version_info: String,
    #[serde(default)]
    class_params: Option<ClassParams>,
    #[serde(default)]
    params: Value,
}

#[derive(Deserialize)]
struct ClassParams {
    #[serde(default)]
    class_names: Vec<Value>,
}

#[derive(Deserialize)]
struct Oblivious {
    leaf_values: Vec<f64>,
    #[serde(default)]
    leaf_weights: Vec<f64>,
    #[serde(default)]
    splits: Option<Vec<Question>>,
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    border: f64,
    #[serde(default)]
    float_feature_index: usize,
    split_type: String,
}

#[derive(Deserialize)]
struct Nested {
    #[serde(default)]
    split: Option<Question>,
    #[serde(default)]
    left: Option<Box<Nested>>,
    #[serde(default)]
    right: Option<Box<Nested>>,
    #[serde(default)]
    value: Option<Bias>,
    #[serde(default)]
    weight: Option<f64>,
}

/// What the trees need to know of their model.
struct Frame {
    /// For each of CatBoost's numbers its column, and whether a missing value is above all others.
    columns: Vec<Option<(usize, bool)>>,
    n_scores: usize,
    scale: f64,
}

/// Reads a JSON file.
///
/// # Errors
/// A damaged file, or a model that mlapi cannot hold, named as CatBoost names it.
pub(super) fn read(bytes: &[u8]) -> Result<Foreign> {
    let file: File = serde_json::from_slice(bytes).context("it is not the JSON that CatBoost writes")?;
    let info = &file.features_info;
    for (kind, features) in [
        ("categorical", &info.categorical_features),
        ("text", &info.text_features),
        ("embedding", &info.embedding_features),
    ] {
        if let Some(first) = features.first() {
            bail!(
                "it has {} {kind} features (the first is {:?}), which CatBoost turns into statistics of its training rows \
                 that only CatBoost can compute. Train on numbers alone, or on one-hot columns",
                features.len(),
                first.feature_id
            );
        }
    }
    let loss =
        file.model_info.params.pointer("/loss_function/type").and_then(Value::as_str).unwrap_or_default();
    let bias = file.scale_and_bias.1.numbers();
    let link = match loss {
        "Logloss" | "CrossEntropy" => Link::Sigmoid,
        "MultiClass" => Link::Softmax,
        _ if NUMBERS.contains(&loss) => Link::Identity,
        _ if LOGARITHMS.contains(&loss) => Link::Exponential,
        _ => bail!(
            "the loss {loss:?} has no prediction that mlapi knows; it reads Logloss, CrossEntropy, MultiClass, {}, {}",
            NUMBERS.join(", "),
            LOGARITHMS.join(", ")
        ),
    };
    let labels = file.model_info.class_params.as_ref().map(|params| {
        let label = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        params.class_names.iter().map(label).collect::<Vec<_>>()
    });
    let labels = labels.filter(|labels| !labels.is_empty());
    let n_classes = match link {
        Link::Sigmoid => 2,
        Link::Softmax => {
            let widths = file.oblivious_trees.first().map(Oblivious::width);
            let n = labels.as_ref().map_or(widths.unwrap_or(bias.len()), Vec::len);
            ensure!((2..=crate::data::cells::target::MAX_CLASSES).contains(&n), "it has {n} classes");
            n
        }
        _ => 0,
    };
    ensure!(
        n_classes == 0 || labels.as_ref().is_none_or(|labels| labels.len() == n_classes),
        "it names {} classes and has {n_classes}",
        labels.as_ref().map_or(0, Vec::len)
    );
    let n_scores = if link == Link::Softmax { n_classes } else { 1 };
    let base = if bias.len() == 1 { vec![bias[0]; n_scores] } else { bias };
    ensure!(base.len() == n_scores, "it has {n_scores} scores and {} starts of them", base.len());
    let (columns, of_columns) = columns(&info.float_features)?;
    let frame = Frame { columns: of_columns, n_scores, scale: file.scale_and_bias.0 };
    ensure!(frame.scale.is_finite(), "its scale is {}", frame.scale);
    let mut trees = Vec::with_capacity(file.oblivious_trees.len() + file.trees.len());
    for (i, tree) in file.oblivious_trees.iter().enumerate() {
        trees.push(frame.oblivious(tree).with_context(|| format!("tree {i} cannot be read"))?);
    }
    for (i, tree) in file.trees.iter().enumerate() {
        trees.push(frame.nested(tree).with_context(|| format!("tree {i} cannot be read"))?);
    }
    let mut lines = file.model_info.catboost_version_info.lines();
    let version = lines.find_map(|line| line.trim().strip_prefix("Branch: tags/v"));
    Ok(Foreign {
        producer: "CatBoost".into(),
        version: version.map(str::to_string),
        objective: loss.into(),
        columns,
        classes: (n_classes > 0).then_some(Classes { n: n_classes, labels }),
        forest: Forest { link, base, divisor: 1.0, trees },
        body: Body::Forest,
        graph: None,
        single_precision: false,
        notes: Vec::new(),
    })
}

impl Bias {
    fn numbers(&self) -> Vec<f64> {
        match self {
            Self::One(number) => vec![*number],
            Self::Many(numbers) => numbers.clone(),
        }
    }
}

impl Oblivious {
    /// Numbers per leaf.
    fn width(&self) -> usize {
        let depth = self.splits.as_ref().map_or(0, Vec::len).min(MAX_DEPTH);
        self.leaf_values.len() >> depth
    }
}

/// The columns in the order of the training table, and for each of CatBoost's numbers where it is.
#[expect(clippy::type_complexity, reason = "a pair that is taken apart where it is made")]
fn columns(features: &[FloatFeature]) -> Result<(Vec<ForeignColumn>, Vec<Option<(usize, bool)>>)> {
    ensure!(!features.is_empty(), "it has no features");
    let mut in_order: Vec<&FloatFeature> = features.iter().collect();
    in_order.sort_by_key(|feature| feature.flat_feature_index);
    let made_up =
        in_order.iter().all(|f| f.feature_id.is_empty() || f.feature_id == f.flat_feature_index.to_string());
    let mut of_columns = vec![None; features.len()];
    let mut columns = Vec::with_capacity(features.len());
    for (i, feature) in in_order.into_iter().enumerate() {
        let is_above = match feature.nan_value_treatment.as_str() {
            "AsTrue" => true,
            "AsFalse" | "AsIs" | "" => false,
            other => bail!("missing values of {:?} are treated {other:?}", feature.feature_id),
        };
        let place =
            of_columns.get_mut(feature.feature_index).context("its features are not numbered from 0")?;
        *place = Some((i, is_above));
        let name = (!made_up).then(|| feature.feature_id.clone());
        columns.push(ForeignColumn { name, ..ForeignColumn::default() });
    }
    Ok((columns, of_columns))
}

impl Frame {
    fn split(&self, question: &Question, left: usize, right: usize) -> Result<Node> {
        ensure!(
            question.split_type == "FloatFeature",
            "a split is of the type {:?}; mlapi reads FloatFeature",
            question.split_type
        );
        let place = self.columns.get(question.float_feature_index).copied().flatten();
        let (column, missing_is_above) = place.context("a split names a feature that is not there")?;
        let border = question.border as f32;
        ensure!(border.is_finite(), "a border is not a finite number");
        let test = Test::AtMost(float32::at_most(border));
        Ok(Node::Split(Split { column, test, missing_left: !missing_is_above, left, right, gain: 0.0 }))
    }

    fn leaf(&self, values: &[f64]) -> Node {
        Node::Leaf(values.iter().map(|value| value * self.scale).collect())
    }

    /// The question of the last bit is asked first, so that the leaves come in the order of their numbers.
    fn oblivious(&self, tree: &Oblivious) -> Result<Tree> {
        let questions = tree.splits.as_deref().unwrap_or_default();
        ensure!(questions.len() <= MAX_DEPTH, "it has {} levels", questions.len());
        let n_leaves = 1_usize << questions.len();
        ensure!(
            tree.leaf_values.len() == n_leaves * self.n_scores,
            "it has {} numbers for {n_leaves} leaves of {}",
            tree.leaf_values.len(),
            self.n_scores
        );
        let mut nodes = Vec::with_capacity(2 * n_leaves);
        for (level, question) in questions.iter().rev().enumerate() {
            for _ in 0..1_usize << level {
                // As in a heap: the children of node i are 2i + 1 and 2i + 2.
                let at = nodes.len();
                nodes.push(self.split(question, 2 * at + 1, 2 * at + 2)?);
            }
        }
        nodes.extend(tree.leaf_values.chunks_exact(self.n_scores).map(|values| self.leaf(values)));
        let covers = match tree.leaf_weights.len() == n_leaves {
            true => [&vec![0.0; n_leaves - 1], tree.leaf_weights.as_slice()].concat(),
            false => Vec::new(),
        };
        Ok(Tree { score: 0, nodes, covers })
    }

    fn nested(&self, tree: &Nested) -> Result<Tree> {
        let (mut nodes, mut covers): (Vec<Node>, Vec<f64>) = Default::default();
        // What is left, and the number of its node, which its parent has named already.
        let mut left = std::collections::VecDeque::from([tree]);
        let mut n = 1;
        while let Some(tree) = left.pop_front() {
            match (&tree.split, &tree.left, &tree.right, &tree.value) {
                (Some(question), Some(below), Some(above), _) => {
                    nodes.push(self.split(question, n, n + 1)?);
                    covers.push(0.0);
                    left.extend([&**below, &**above]);
                    n += 2;
                }
                (None, _, _, Some(value)) => {
                    let values = value.numbers();
                    ensure!(values.len() == self.n_scores, "a leaf has {} numbers", values.len());
                    nodes.push(self.leaf(&values));
                    covers.extend(tree.weight);
                }
                _ => bail!("a node is neither a split nor a leaf"),
            }
        }
        let covers = if covers.len() == nodes.len() { covers } else { Vec::new() };
        Ok(Tree { score: 0, nodes, covers })
    }
}
