//! Shapley values of trees against a row of the background: an unknown column has the value of that row (Lundberg et al.
//! 2020, "From local explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2,
//! algorithm 3). Of a background they are the mean over its rows.

use crate::model::predictor::tree_arrays::LEAF;
use crate::model::predictor::trees::Trees;

/// A node to visit, the number of features that were chosen above its parent, and what its parent chooses.
type Visit = (u32, usize, Option<(u32, u8)>);

/// Interventional values of one row of raw codes against one row of the background: adds `n_scores × n_inputs` numbers
/// times `share`.
pub(super) fn add_interventional(trees: &Trees, x: &[f64], background: &[f64], share: f64, out: &mut [f64]) {
    const FREE: u8 = 0;
    const OF_ROW: u8 = 1;
    const OF_BACKGROUND: u8 = 2;
    let parts = trees.parts();
    let (n_inputs, n_scores, width) = (trees.n_inputs(), trees.n_scores(), parts.width);
    let mut sides = vec![FREE; n_inputs];
    let mut chosen: Vec<(u32, u8)> = Vec::new();
    let mut stack: Vec<Visit> = Vec::new();
    for (index, &root) in parts.roots.iter().enumerate() {
        stack.push((root, 0, None));
        while let Some((node, n_chosen, choice)) = stack.pop() {
            for (feature, _) in chosen.drain(n_chosen..) {
                sides[feature as usize] = FREE;
            }
            if let Some((feature, side)) = choice {
                sides[feature as usize] = side;
                chosen.push((feature, side));
            }
            let (feature, left) = (parts.feature[node as usize], parts.left[node as usize]);
            if feature != LEAF {
                let [of_row, of_background] =
                    [x, background].map(|x| left + u32::from(trees.goes_right(node, x)));
                let next = match sides[feature as usize] {
                    OF_ROW => of_row,
                    OF_BACKGROUND => of_background,
                    _ if of_row == of_background => of_row,
                    _ => {
                        stack.push((of_background, chosen.len(), Some((feature, OF_BACKGROUND))));
                        stack.push((of_row, chosen.len(), Some((feature, OF_ROW))));
                        continue;
                    }
                };
                stack.push((next, chosen.len(), None));
                continue;
            }
            let n_of_row = chosen.iter().filter(|(_, side)| *side == OF_ROW).count();
            let n_of_background = chosen.len() - n_of_row;
            let scores = if width == 1 { index % n_scores..index % n_scores + 1 } else { 0..width };
            let values = &parts.values[left as usize * width..(left as usize + 1) * width];
            for &(feature, side) in &chosen {
                // ∫ tᵃ (1 − t)ᵇ dt over the columns but this one.
                let weight = match side {
                    OF_ROW => beta(n_of_row - 1, n_of_background),
                    _ => -beta(n_of_row, n_of_background - 1),
                };
                for (score, value) in scores.clone().zip(values) {
                    out[score * n_inputs + feature as usize] += share * weight * value / parts.divisor;
                }
            }
        }
        for (feature, _) in chosen.drain(..) {
            sides[feature as usize] = FREE;
        }
    }
}

/// a! b! / (a + b + 1)!
fn beta(a: usize, b: usize) -> f64 {
    // One by (a + b + 1) times a + b over the smaller of both.
    let (few, n) = (a.min(b), a + b);
    let mut value = 1.0 / (n + 1) as f64;
    for i in 1..=few {
        value *= i as f64 / (n - few + i) as f64;
    }
    value
}
