//! Ensembles of trees on columns of the table, as the trees of `forest`.
//!
//! A node compares what the graph has made of a column: rounded to single precision, filled, scaled. Its threshold is
//! moved to the last double that decides the same, so that every row takes the branches that it takes in the graph.

use std::sync::Arc;

use super::slots::{Slot, Step};
use crate::import::float32;
use crate::import::forest::{Forest, Node, Split, Test, Tree};
use crate::model::predictor::Link;
use crate::model::predictor::graph::ensemble::{Aggregate, Ensemble, Mode, Node as EnsembleNode};
use crate::model::predictor::graph::learned::Transform;

/// What an ensemble predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A number, of which a later step of the graph may make a prediction.
    Number(Link),
    /// So many classes.
    Classes(usize),
}

/// The forest that an ensemble is; `None` if it is none that the product's trees can be. `levels` are those of each
/// column, in order; `single`: the table's numbers are rounded to single precision first.
pub(super) fn forest(
    ensemble: &Ensemble,
    purpose: Purpose,
    slots: &[Slot],
    levels: &[Vec<Arc<str>>],
    single: bool,
) -> Option<Forest> {
    let n = ensemble.n_targets;
    let divisor = match ensemble.aggregate {
        Aggregate::Sum => 1.0,
        Aggregate::Average => ensemble.roots.len() as f64,
        Aggregate::Min | Aggregate::Max => return None,
    };
    let base_of = |target: usize| match ensemble.base.as_slice() {
        [] => 0.0,
        [only] if target == 0 || n == 1 => *only,
        [_] => 0.0,
        base => base[target],
    };
    let one_target = ensemble.is_of_one_target();
    // Which targets are scores, and where each begins.
    let (link, base, first_target) = match (purpose, ensemble.transform) {
        (Purpose::Number(link), Transform::None) if n == 1 => (link, vec![base_of(0)], 0),
        (Purpose::Number(Link::Identity), Transform::Logistic) if n == 1 => {
            (Link::Sigmoid, vec![base_of(0)], 0)
        }
        (Purpose::Number(Link::Softmax), Transform::None) if n > 1 => {
            (Link::Softmax, (0..n).map(base_of).collect(), 0)
        }
        (Purpose::Classes(2), transform) if one_target && n == 2 => {
            let target = ensemble.weights.first().map_or(0, |&(target, _)| target);
            let base = match (target, ensemble.base.as_slice()) {
                (_, []) => 0.0,
                (_, [only]) => *only,
                (_, base) => base[1],
            };
            match transform {
                Transform::Logistic => (Link::Sigmoid, vec![base], target),
                Transform::None if ensemble.is_positive() => (Link::Share, vec![base], target),
                _ => return None,
            }
        }
        // Each class has the score of the other with its sign turned.
        (Purpose::Classes(2), Transform::Logistic) if n == 2 && are_opposite(ensemble) => {
            (Link::Sigmoid, vec![base_of(1)], 1)
        }
        (Purpose::Classes(k), Transform::Softmax) if k == n => {
            (Link::Softmax, (0..n).map(base_of).collect(), 0)
        }
        (Purpose::Classes(k), Transform::None) if k == n && shares_add_up(ensemble, divisor) => {
            (Link::Identity, (0..n).map(base_of).collect(), 0)
        }
        _ => return None,
    };
    let n_scores = base.len();
    let mut trees = Vec::with_capacity(ensemble.roots.len());
    for &root in &ensemble.roots {
        trees.push(tree(ensemble, root, slots, levels, single, (n_scores, first_target))?);
    }
    if n_scores > 1 {
        // Trees of one score each, as many of every score; else leaves of all scores.
        let score = |tree: &Tree| {
            let mut found = None;
            for node in &tree.nodes {
                if let Node::Leaf(values) = node {
                    for (i, value) in values.iter().enumerate() {
                        if *value != 0.0 && *found.get_or_insert(i) != i {
                            return None;
                        }
                    }
                }
            }
            Some(found)
        };
        let scores: Option<Vec<Option<usize>>> = trees.iter().map(score).collect();
        let mut counts = vec![0; n_scores];
        if let Some(scores) = scores.filter(|scores| scores.iter().all(Option::is_some)) {
            scores.iter().flatten().for_each(|&score| counts[score] += 1);
            if counts.iter().all(|&count| count == counts[0]) {
                for (tree, score) in trees.iter_mut().zip(scores) {
                    tree.score = score.unwrap_or(0);
                    for node in &mut tree.nodes {
                        if let Node::Leaf(values) = node {
                            *values = vec![values[tree.score]];
                        }
                    }
                }
            }
        }
    }
    Some(Forest { link, base, divisor, trees })
}

/// Whether the leaves hold probabilities: what a row gets adds up to 1, whichever leaves it comes to.
fn shares_add_up(ensemble: &Ensemble, divisor: f64) -> bool {
    // The weights of a leaf lie side by side.
    let mut total: f64 = ensemble.base.iter().sum();
    for (i, &root) in ensemble.roots.iter().enumerate() {
        let end = ensemble.roots.get(i + 1).map_or(ensemble.nodes.len(), |&end| end as usize);
        let nodes = ensemble.nodes.get(root as usize..end).unwrap_or(&[]);
        let sum = |node: &EnsembleNode| -> f64 {
            ensemble.weights[node.yes as usize..node.no as usize].iter().map(|&(_, weight)| weight).sum()
        };
        let mut sums = nodes.iter().filter(|node| node.mode == Mode::Leaf).map(sum);
        let Some(first) = sums.next() else { return false };
        if sums.any(|sum| (sum - first).abs() > 1e-5) {
            return false;
        }
        total += first / divisor;
    }
    ensemble.is_positive() && (total - 1.0).abs() < 1e-3
}

/// Whether the weights of every leaf add up to 0.
fn are_opposite(ensemble: &Ensemble) -> bool {
    let leaves = ensemble.nodes.iter().filter(|node| node.mode == Mode::Leaf);
    let sum = |node: &EnsembleNode| -> f64 {
        ensemble.weights[node.yes as usize..node.no as usize].iter().map(|&(_, weight)| weight).sum()
    };
    leaves.map(sum).all(|sum| sum == 0.0) && ensemble.base.iter().sum::<f64>() == 0.0
}

fn tree(
    ensemble: &Ensemble,
    root: u32,
    slots: &[Slot],
    levels: &[Vec<Arc<str>>],
    single: bool,
    (n_scores, first_target): (usize, u32),
) -> Option<Tree> {
    let mut nodes: Vec<Node> = Vec::new();
    // Nodes of the file in the order of those that are made.
    let mut sources = vec![root];
    let mut next = 0;
    while let Some(&source) = sources.get(next) {
        next += 1;
        // More than there are: a circle, or a node with two parents.
        if sources.len() > ensemble.nodes.len() {
            return None;
        }
        let node = ensemble.nodes.get(source as usize)?;
        if node.mode == Mode::Leaf {
            let mut values = vec![0.0; n_scores];
            for &(target, weight) in &ensemble.weights[node.yes as usize..node.no as usize] {
                let place = target.checked_sub(first_target).and_then(|place| values.get_mut(place as usize));
                if let Some(value) = place {
                    *value += weight;
                }
            }
            nodes.push(Node::Leaf(values));
            continue;
        }
        let slot = slots.get(node.column as usize)?;
        let holds = |x: f64| match node.mode {
            Mode::AtMost => x <= node.value,
            Mode::Below => x < node.value,
            Mode::AtLeast => x >= node.value,
            _ => x > node.value,
        };
        // Trainers write an infinite threshold where missing values alone part ways.
        if matches!(node.mode, Mode::Equal | Mode::Unequal | Mode::Member)
            || !(node.value.is_finite() || node.value == f64::INFINITY)
        {
            return None;
        }
        let missing = |x: f64| holds(x) || (node.tracks && x.is_nan());
        let rising = matches!(node.mode, Mode::AtLeast | Mode::Above);
        let (column, test, missing_true, true_left) = match slot {
            Slot::Number(column, steps) => {
                let threshold = match (node.mode, steps.is_empty() && single) {
                    _ if node.value == f64::INFINITY => f64::MAX,
                    (Mode::AtMost, true) => float32::at_most(node.value as f32),
                    (Mode::Below, true) => float32::below(node.value as f32),
                    (Mode::AtLeast, true) => float32::below(node.value as f32),
                    (Mode::Above, true) => float32::at_most(node.value as f32),
                    _ if steps
                        .iter()
                        .any(|step| matches!(step, Step::Times(by) | Step::By(by) if *by <= 0.0)) =>
                    {
                        return None;
                    }
                    _ => last(|x| holds(Slot::value(steps, single, x)) != rising)?,
                };
                // Of single precision only if the file says so; else what is compared is the double itself.
                if steps.is_empty()
                    && single
                    && node.value.is_finite()
                    && f64::from(node.value as f32) != node.value
                {
                    return None;
                }
                (*column, Test::AtMost(threshold), missing(Slot::value(steps, single, f64::NAN)), !rising)
            }
            Slot::Level(column, level) => {
                let all = levels.get(*column)?;
                let at = all.binary_search(level).ok()? as u32;
                let (with, without) = (holds(1.0), holds(0.0));
                let chosen = match (with, without) {
                    (true, false) => vec![at],
                    (false, true) => (0..all.len() as u32).filter(|&other| other != at).collect(),
                    (true, true) => (0..all.len() as u32).collect(),
                    (false, false) => Vec::new(),
                };
                (*column, Test::Levels(chosen), without, true)
            }
            Slot::Text(_) => return None,
        };
        let (yes, no) = (sources.len(), sources.len() + 1);
        sources.extend([node.yes, node.no]);
        let (left, right) = if true_left { (yes, no) } else { (no, yes) };
        nodes.push(Node::Split(Split {
            column,
            test,
            missing_left: missing_true == true_left,
            left,
            right,
            gain: 0.0,
        }));
    }
    Some(Tree { score: 0, nodes, covers: Vec::new() })
}

/// The last double for which something holds that holds up to some number and not beyond; `None` if it holds for all or
/// for none.
fn last(holds: impl Fn(f64) -> bool) -> Option<f64> {
    // Doubles in order as whole numbers.
    let of = |i: i64| f64::from_bits(if i < 0 { (i ^ i64::MAX) as u64 } else { i as u64 });
    let at = |x: f64| {
        let bits = x.to_bits() as i64;
        if bits < 0 { bits ^ i64::MAX } else { bits }
    };
    let (mut low, mut high) = (i128::from(at(f64::MIN)), i128::from(at(f64::MAX)));
    if !holds(of(low as i64)) || holds(of(high as i64)) {
        return None;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if holds(of(middle as i64)) { low = middle } else { high = middle }
    }
    Some(of(low as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_scaled_column_decides_as_the_column_itself() {
        let steps = [Step::Add(f64::from(-0.3_f32)), Step::Times(f64::from(1.7_f32))];
        for threshold in [0.0_f32, 0.1, -2.5, 1e-6] {
            let holds = |x: f64| Slot::value(&steps, true, x) <= f64::from(threshold);
            let last = last(holds).unwrap();
            assert!(holds(last) && !holds(last.next_up()), "{threshold}");
        }
        assert_eq!(last(|x| x <= 0.0), Some(0.0));
        assert_eq!(last(|x| x < 0.0), Some(-0.0_f64.next_up()));
        assert_eq!(last(|_| true), None);
    }
}
