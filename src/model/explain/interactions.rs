//! Interactions of pairs of columns in trees: what a column contributes with another known, less what it contributes
//! without (Shapley interaction values: Fujimoto, Kojadinovic and Marichal 2006; Lundberg et al. 2018, section 4).
//!
//! A leaf of value v is worth v Π oⱼ Π zₖ to a set of known columns j and unknown ones k of its path, see [`super::trees`].
//! Of this, both halves of the interaction of the columns i and j are
//!
//! v (oᵢ − zᵢ) (oⱼ − zⱼ) ∫₀¹ Π over the other columns k of (zₖ (1 − t) + oₖ t) dt.
//!
//! Path-dependent, as the contributions are by default.

use super::quadrature::gauss_legendre;
use crate::model::predictor::tree_arrays::LEAF;
use crate::model::predictor::trees::Trees;

/// Points of quadrature at most; exact for paths of 128 different columns.
const MAX_POINTS: usize = 64;

/// A column of a path: whether the row takes all its turns, and the share of the training rows that did.
#[derive(Debug, Clone, Copy)]
struct Turn {
    input: u32,
    taken: bool,
    share: f64,
}

/// What a walk does next.
enum Step {
    /// Goes to a node by a turn of its parent.
    Enter(u32, Turn),
    /// Takes the last turn of a path back, or restores what stood at a place.
    Leave(Option<(usize, Turn)>),
}

/// Interactions of the inputs of trees, input by input.
pub(super) struct Interactions<'a> {
    trees: &'a Trees,
    /// The rows below each node.
    cover: &'a [f64],
    /// For each input its place among those of interest, else `u32::MAX`.
    places: &'a [u32],
    n_places: usize,
    /// Nodes and weights by the number of points.
    rules: Vec<(Vec<f64>, Vec<f64>)>,
}

impl<'a> Interactions<'a> {
    /// `places`: for each input its place among `n_places`, or `u32::MAX`; inputs of one place do not interact.
    pub(super) fn new(trees: &'a Trees, cover: &'a [f64], places: &'a [u32], n_places: usize) -> Self {
        Self { trees, cover, places, n_places, rules: (1..=MAX_POINTS).map(gauss_legendre).collect() }
    }

    /// The interactions of all pairs of places in a row, for the sum of scores times `weights`: `n_places × n_places`,
    /// both halves above the diagonal, the rest 0.
    pub(super) fn of_row(&self, x: &[f64], weights: &[f64]) -> Vec<f64> {
        let parts = self.trees.parts();
        let mut out = vec![0.0; self.n_places * self.n_places];
        let mut path: Vec<Turn> = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        for (tree, &root) in parts.roots.iter().enumerate() {
            self.open(root, x, &mut steps);
            while let Some(step) = steps.pop() {
                match step {
                    Step::Leave(None) => {
                        path.pop();
                    }
                    Step::Leave(Some((at, turn))) => path[at] = turn,
                    Step::Enter(node, turn) => {
                        match path.iter().position(|known| known.input == turn.input) {
                            Some(at) => {
                                let before = path[at];
                                path[at].taken &= turn.taken;
                                path[at].share *= turn.share;
                                steps.push(Step::Leave(Some((at, before))));
                            }
                            None => {
                                path.push(turn);
                                steps.push(Step::Leave(None));
                            }
                        }
                        if parts.feature[node as usize] == LEAF {
                            let row = parts.left[node as usize] as usize;
                            let values = &parts.values[row * parts.width..(row + 1) * parts.width];
                            let weights = match parts.width {
                                1 => &weights[tree % weights.len()..][..1],
                                _ => weights,
                            };
                            let value: f64 =
                                values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
                            self.leaf(&path, value / parts.divisor, &mut out);
                        } else {
                            self.open(node, x, &mut steps);
                        }
                    }
                }
            }
        }
        out
    }

    /// Puts the children of a node on the stack; none of a leaf.
    fn open(&self, node: u32, x: &[f64], steps: &mut Vec<Step>) {
        let parts = self.trees.parts();
        let input = parts.feature[node as usize];
        if input == LEAF {
            return;
        }
        let goes_right = self.trees.goes_right(node, x);
        for is_right in [true, false] {
            let child = parts.left[node as usize] + u32::from(is_right);
            let share = self.cover[child as usize] / self.cover[node as usize];
            steps.push(Step::Enter(child, Turn { input, taken: goes_right == is_right, share }));
        }
    }

    /// Adds the interactions of a leaf.
    fn leaf(&self, path: &[Turn], value: f64, out: &mut [f64]) {
        if path.len() < 2 || value == 0.0 {
            return;
        }
        let (nodes, weights) = &self.rules[(path.len() / 2).clamp(1, MAX_POINTS) - 1];
        let factor = |turn: &Turn, t: f64| turn.share * (1.0 - t) + if turn.taken { t } else { 0.0 };
        let products: Vec<f64> = nodes
            .iter()
            .zip(weights)
            .map(|(&t, weight)| weight * path.iter().map(|turn| factor(turn, t)).product::<f64>())
            .collect();
        let place = |turn: &Turn| self.places[turn.input as usize];
        let gain = |turn: &Turn| f64::from(u8::from(turn.taken)) - turn.share;
        for (i, one) in path.iter().enumerate().filter(|(_, turn)| place(turn) != u32::MAX) {
            for other in path[i + 1..].iter().filter(|turn| place(turn) != u32::MAX) {
                let (a, b) = (place(one).min(place(other)) as usize, place(one).max(place(other)) as usize);
                if a == b {
                    continue;
                }
                let points = nodes.iter().zip(&products);
                let integral: f64 =
                    points.map(|(&t, product)| product / (factor(one, t) * factor(other, t))).sum();
                out[a * self.n_places + b] += value * gain(one) * gain(other) * integral;
            }
        }
    }
}
