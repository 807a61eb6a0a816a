//! A model that is one small decision tree, as it can be drawn: questions, answers, and the path of a row.

use super::Model;
use super::predictor::Predictor;
use super::predictor::trees::{Question, Trees};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date;
use crate::data::cells::feature::Feature;
use crate::data::cells::text::Texts;
use crate::data::prepare::recipe::Slot;

/// Questions below one another that are drawn; what is below is counted.
const MAX_DEPTH: usize = 4;
/// Levels that a question lists.
const MAX_LEVELS: usize = 3;

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Rows of which `question` holds go left, those without a value where `missing_left` says.
    Split { question: String, column: String, children: [usize; 2], missing_left: bool },
    /// The probability of each class, or one value.
    Leaf { scores: Vec<f64> },
    /// Questions that are too deep to be drawn, and the leaves below.
    Cut { n_leaves: usize },
}

/// A decision tree with its root first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecisionTree {
    pub(crate) nodes: Vec<Node>,
    /// All leaves, drawn or not.
    pub(crate) n_leaves: usize,
    /// The nodes that a row passes, the root first, each with the row's answer; the row is a training row.
    pub(crate) path: Vec<(usize, String)>,
}

impl DecisionTree {
    /// The tree of a model; none for other models, and none that would tell values of private columns.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        let member = model.pipeline.only_member()?;
        let Predictor::Trees(trees) = &member.predictor else { return None };
        if trees.n_trees() != 1 || trees.n_scores() > 1 && member.predictor.n_outputs() != trees.n_scores() {
            return None;
        }
        let features = &model.pipeline.schema.features;
        let slots = member.recipe.slots();
        let mut tree = Self { nodes: Vec::new(), n_leaves: 0, path: Vec::new() };
        let ask = Asking { trees, features, slots: &slots };
        let mut buffer = Vec::new();
        let no_texts = Texts::default();
        let golden = model.golden.rows().next().filter(|_| model.golden.texts() == &no_texts);
        let row =
            golden.map(|codes| (member.recipe.encode_block(codes, &no_texts, &mut buffer).0.to_vec(), codes));
        tree.add(&ask, 0, 0, row.as_ref().map(|(x, codes)| (x.as_slice(), *codes)))?;
        for node in &mut tree.nodes {
            if let Node::Leaf { scores } = node {
                member.target.invert_all(scores);
            }
        }
        Some(tree)
    }

    /// Adds the node at a place of the arrays and what is below, and returns its own place; none if it asks for a private
    /// column.
    fn add(&mut self, ask: &Asking, at: u32, depth: usize, row: Option<(&[f64], &[f64])>) -> Option<usize> {
        let own = self.nodes.len();
        let Some(split) = ask.trees.question(at) else {
            self.n_leaves += 1;
            self.nodes.push(Node::Leaf { scores: ask.trees.leaf_scores(at) });
            if row.is_some() {
                self.path.push((own, String::new()));
            }
            return Some(own);
        };
        let (feature, slot) = ask.slots.get(split.column as usize)?;
        let feature = &ask.features[*feature];
        if feature.private {
            return None;
        }
        if depth == MAX_DEPTH {
            let n_leaves = ask.trees.n_leaves_below(at);
            self.n_leaves += n_leaves;
            self.nodes.push(Node::Cut { n_leaves });
            if row.is_some() {
                self.path.push((own, String::new()));
            }
            return Some(own);
        }
        self.nodes.push(Node::Cut { n_leaves: 0 });
        let goes_left = row.map(|(x, codes)| {
            let answer =
                answer(feature, *slot, x[split.column as usize], codes[ask.slots[split.column as usize].0]);
            self.path.push((own, answer));
            ask.trees.goes_left(at, x[split.column as usize])
        });
        let left = self.add(ask, split.left, depth + 1, row.filter(|_| goes_left == Some(true)))?;
        let right = self.add(ask, split.left + 1, depth + 1, row.filter(|_| goes_left == Some(false)))?;
        self.nodes[own] = Node::Split {
            question: ask.question(at, feature, *slot, &split),
            column: feature.name.clone(),
            children: [left, right],
            missing_left: split.missing_left,
        };
        Some(own)
    }
}

struct Asking<'a> {
    trees: &'a Trees,
    features: &'a [Feature],
    slots: &'a [(usize, Slot)],
}

impl Asking<'_> {
    /// The condition under which a row goes left, after the name of the column.
    fn question(&self, at: u32, feature: &Feature, slot: Slot, split: &Question) -> String {
        let Some(threshold) = split.threshold else {
            let levels = feature.levels.iter().enumerate();
            let left =
                levels.filter(|(i, _)| self.trees.goes_left(at, *i as f64)).map(|(_, level)| level.as_str());
            let left: Vec<&str> = left.collect();
            let more = match left.len() {
                n if n > MAX_LEVELS => format!(" and {} more", n - MAX_LEVELS),
                _ => String::new(),
            };
            return format!("in {}{more}", left[..left.len().min(MAX_LEVELS)].join(", "));
        };
        match (feature.column_type, slot) {
            (ColumnType::Boolean, Slot::Value) => format!("is {}", feature.words().text(false)),
            (_, Slot::DatePart(part)) => format!("({}) ≤ {}", date::PART_NAMES[part], rounded(threshold)),
            (_, Slot::DaysTo(other)) => {
                format!("days to {} ≤ {}", self.features[other].name, rounded(threshold))
            }
            (_, Slot::Term) => format!("(a term) ≤ {}", rounded(threshold)),
            (_, Slot::TargetMean) => format!("(mean of the target) ≤ {}", rounded(threshold)),
            (_, Slot::PairNumber(i)) => format!("(number {}) ≤ {}", i + 1, rounded(threshold)),
            (_, Slot::Missing) => "has a value".into(),
            (_, Slot::Level(level)) => {
                format!("is not {}", feature.levels.get(level).map_or("", String::as_str))
            }
            (_, Slot::Value | Slot::OtherLevel) => format!("≤ {}", rounded(threshold)),
        }
    }
}

/// The value of a row that a question is about.
fn answer(feature: &Feature, slot: Slot, x: f64, code: f64) -> String {
    if code.is_nan() {
        return "missing".into();
    }
    match (feature.column_type, slot) {
        (ColumnType::Category, _) => {
            let level = if code >= 0.0 { feature.levels.get(code as usize) } else { None };
            level.map_or("an unseen level".into(), Clone::clone)
        }
        (ColumnType::Boolean, _) => feature.words().text(code != 0.0).to_string(),
        (_, Slot::Value) => rounded(code),
        _ => rounded(x),
    }
}

/// Six significant digits, which distinguish the numbers of nearly all columns.
fn rounded(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (5.0 - value.abs().log10().floor()).clamp(0.0, 12.0) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}
