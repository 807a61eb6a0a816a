//! A small decision tree, drawn, and the path of a training row through it.

use super::super::charts::matrix::percent;
use super::super::charts::plot::{short, units};
use super::super::markup::{Ids, escaped, push, shortened};
use super::subject::Subject;
use crate::model::decision_tree::{DecisionTree, Node};

const WIDTH: f64 = 128.0;
const HEIGHT: f64 = 46.0;
const GAP: f64 = 14.0;
const LEVEL: f64 = 92.0;
/// Characters of a line in a node.
const LINE: usize = 20;

/// The tree of a model that is one; nothing for others.
pub(super) fn tree(subject: &Subject, ids: &mut Ids) -> String {
    let Some((model, _)) = subject.model else { return String::new() };
    let Some(mut tree) = DecisionTree::of(model).filter(|tree| tree.nodes.len() > 1) else {
        return String::new();
    };
    if subject.served {
        tree.path.clear();
    }
    let labels = model.labels();
    let id = ids.next();
    let mut places = vec![(0.0, 0); tree.nodes.len()];
    let mut n_columns = 0;
    place(&tree, 0, 0, &mut n_columns, &mut places);
    let depth = places.iter().map(|place| place.1).max().unwrap_or(0);
    let width = n_columns as f64 * (WIDTH + GAP) + GAP;
    let height = depth as f64 * LEVEL + HEIGHT + 2.0 * GAP;
    let title = "The decision tree";
    let drawn = tree.nodes.iter().filter(|node| matches!(node, Node::Leaf { .. })).count();
    let description = if drawn < tree.n_leaves {
        format!("The first questions of a tree with {} leaves.", tree.n_leaves)
    } else {
        format!("All of its {} leaves.", tree.n_leaves)
    };
    let way = match tree.path.len() {
        0 => "",
        _ => " The thick line is the path of the training row that is listed below.",
    };
    let mut out = format!(
        "<figure class=\"wide\"><figcaption><h4>{title}</h4><p>{description} Rows for which the condition holds go left.{way}\
         </p></figcaption><div class=\"scroll\" role=\"group\" tabindex=\"0\" \
         aria-label=\"{title}\"><svg class=\"tree\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" \
         aria-labelledby=\"t{id}\" aria-describedby=\"d{id}\"><title id=\"t{id}\">{title}</title><desc id=\"d{id}\">{description}{way}\
         </desc>",
        units(width),
        units(height)
    );
    let on_path = |node: usize| tree.path.iter().any(|step| step.0 == node);
    let center = |node: usize| {
        let (column, level): (f64, usize) = places[node];
        (GAP + (column + 0.5) * (WIDTH + GAP) - GAP / 2.0, GAP + level as f64 * LEVEL)
    };
    for (i, node) in tree.nodes.iter().enumerate() {
        let Node::Split { children, .. } = node else { continue };
        let (x, y) = center(i);
        for (child, word) in children.iter().zip(["yes", "no"]) {
            let (to_x, to_y) = center(*child);
            let class = if on_path(i) && on_path(*child) { " class=\"way\"" } else { "" };
            let (middle, bottom) = ((x + to_x) / 2.0, y + HEIGHT);
            push(
                &mut out,
                format_args!(
                    "<path{class} d=\"M{} {}L{} {}\"/><text class=\"tick\" text-anchor=\"{}\" x=\"{}\" y=\"{}\">{word}</text>",
                    units(x),
                    units(bottom),
                    units(to_x),
                    units(to_y),
                    if word == "yes" { "end" } else { "start" },
                    units(middle + if word == "yes" { -5.0 } else { 5.0 }),
                    units((bottom + to_y) / 2.0)
                ),
            );
        }
    }
    for (i, node) in tree.nodes.iter().enumerate() {
        let (x, y) = center(i);
        let (class, lines, title) = match node {
            Node::Split { question, column, missing_left, .. } => {
                let missing = if *missing_left { "yes" } else { "no" };
                (
                    "node",
                    [column.clone(), question.clone()],
                    format!("{column} {question}; a missing value: {missing}"),
                )
            }
            Node::Leaf { scores } => {
                let lines = prediction(scores, labels);
                ("node leaf", lines.clone(), all_scores(scores, labels))
            }
            Node::Cut { n_leaves } => {
                ("node leaf", ["…".to_string(), format!("{n_leaves} leaves")], String::new())
            }
        };
        let way = if on_path(i) { " way" } else { "" };
        push(
            &mut out,
            format_args!(
                "<g><title>{0}</title><rect class=\"{class}{way}\" x=\"{1}\" y=\"{2}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
                 rx=\"{3}\"/><text text-anchor=\"middle\" x=\"{8}\" y=\"{4}\">{5}</text><text text-anchor=\"middle\" \
                 x=\"{8}\" y=\"{6}\">{7}</text></g>",
                escaped(&title),
                units(x - WIDTH / 2.0),
                units(y),
                if class == "node" { "3" } else { "16" },
                units(y + 19.0),
                escaped(&shortened(&lines[0], LINE)),
                units(y + 35.0),
                escaped(&shortened(&lines[1], LINE)),
                units(x),
            ),
        );
    }
    out += "</svg></div>";
    out += &path(&tree, labels);
    out + "</figure>\n"
}

/// Gives each node below `at` a place, leaves side by side; returns the column of the node.
fn place(
    tree: &DecisionTree,
    at: usize,
    level: usize,
    n_columns: &mut usize,
    places: &mut [(f64, usize)],
) -> f64 {
    let column = match &tree.nodes[at] {
        Node::Split { children: [left, right], .. } => {
            let left = place(tree, *left, level + 1, n_columns, places);
            let right = place(tree, *right, level + 1, n_columns, places);
            (left + right) / 2.0
        }
        Node::Leaf { .. } | Node::Cut { .. } => {
            *n_columns += 1;
            *n_columns as f64 - 1.0
        }
    };
    places[at] = (column, level);
    column
}

/// What a leaf predicts, in two lines.
fn prediction(scores: &[f64], labels: &[String]) -> [String; 2] {
    if labels.is_empty() {
        return [short(scores.first().copied().unwrap_or(f64::NAN)), String::new()];
    }
    let most = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
    [labels[most].clone(), percent(scores[most])]
}

fn all_scores(scores: &[f64], labels: &[String]) -> String {
    let all = labels.iter().zip(scores).filter(|(_, score)| **score > 0.0).take(20);
    let all: Vec<String> = all.map(|(label, score)| format!("{label}: {}", percent(*score))).collect();
    if all.is_empty() { prediction(scores, labels)[0].clone() } else { all.join(", ") }
}

/// The path of a row as a list.
fn path(tree: &DecisionTree, labels: &[String]) -> String {
    if tree.path.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h4>The path of a training row</h4><ol>");
    for step in tree.path.windows(2) {
        let (at, answer) = &step[0];
        if let Node::Split { question, column, children, .. } = &tree.nodes[*at] {
            let word = if step[1].0 == children[0] { "yes" } else { "no" };
            push(
                &mut out,
                format_args!(
                    "<li>{} {}? It is {}: {word}.</li>",
                    escaped(column),
                    escaped(question),
                    escaped(&shortened(answer, 60))
                ),
            );
        }
    }
    if let Some((Node::Leaf { scores }, _)) = tree.path.last().map(|(at, answer)| (&tree.nodes[*at], answer))
    {
        let [what, sure] = prediction(scores, labels);
        let sure = if sure.is_empty() { String::new() } else { format!(" ({sure})") };
        push(&mut out, format_args!("<li>Predicted: <strong>{}</strong>{sure}.</li>", escaped(&what)));
    }
    out + "</ol>"
}
