//! Shapley values of any model, sampled: along a random order of the columns each one changes from its value in a
//! background row to its value in the row, and what the prediction changes by is its contribution (Štrumbelj and
//! Kononenko 2014, "Explaining prediction models and individual predictions with feature contributions"). Every background
//! row is used as often, along an order and its reverse (Mitchell et al. 2022, "Sampling permutations for Shapley value
//! estimation"), so the contributions add up exactly to the prediction less the mean prediction of the background.

use super::explanation::Explanation;
use crate::background::give_way;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::text::Texts;
use crate::model::pipeline::Member;
use crate::random::{generator, seed_of_child, shuffle};

/// Predictions that the explanation of a row takes at most, as far as ten background rows allow.
const BUDGET: usize = 20_000;
const FEWEST_BACKGROUND_ROWS: usize = 10;

/// The orders of columns are the same for every row.
const SEED: u64 = 0x5ba9;

/// Explains the predictions of a member for rows of codes.
pub(super) fn explain(
    member: &Member,
    (codes, texts_of_codes): (&[f64], &Texts),
    background: &Matrix,
    labels: &[Option<usize>],
    scale: &'static str,
) -> Vec<Explanation> {
    let n_features = background.n_cols();
    let n_used = (BUDGET / (2 * n_features.max(1))).max(FEWEST_BACKGROUND_ROWS).min(background.n_rows());
    let step = background.n_rows() as f64 / n_used as f64;
    let used: Vec<&[f64]> = (0..n_used).map(|i| background.row(((i as f64 + 0.5) * step) as usize)).collect();
    // One collection of texts for both kinds of rows.
    let mut texts = background.texts().clone();
    let n_before = texts.len() as f64;
    texts.append(texts_of_codes);
    let is_text = |code: f64| if code.is_nan() { code } else { code + n_before };
    let text_columns = text_columns(member, n_features);
    let orders: Vec<Vec<usize>> = (0..n_used)
        .map(|i| {
            let mut order: Vec<usize> = (0..n_features).collect();
            shuffle(&mut order, &mut generator(seed_of_child(SEED, i)));
            order
        })
        .collect();
    let explain_row = |(row, label): (&[f64], &Option<usize>)| {
        let mut row = row.to_vec();
        text_columns.iter().for_each(|&column| row[column] = is_text(row[column]));
        let class = label.unwrap_or(0);
        let mut sums = vec![[0.0; 2]; n_features];
        let (mut base, mut score) = (0.0, 0.0);
        for (other, order) in used.iter().zip(&orders) {
            give_way();
            let scores = scores_along(member, &row, other, order, class, &texts);
            let (forward, backward) = scores.split_at(n_features + 1);
            base += forward[0] / n_used as f64;
            score = forward[n_features];
            for (place, &feature) in order.iter().enumerate() {
                // The reverse order comes to this column when all later ones have changed.
                let back = n_features - 1 - place;
                let change =
                    0.5 * (forward[place + 1] - forward[place] + backward[back + 1] - backward[back]);
                sums[feature][0] += change;
                sums[feature][1] += change * change;
            }
        }
        let n = n_used as f64;
        let error = |[sum, squares]: &[f64; 2]| {
            let variance = (squares - sum * sum / n).max(0.0) / (n - 1.0).max(1.0);
            (variance / n).sqrt()
        };
        Explanation {
            label: *label,
            base,
            score,
            scale,
            contributions: sums.iter().map(|[sum, _]| sum / n).collect(),
            standard_error: Some(sums.iter().map(error).fold(0.0, f64::max)),
            terms: Vec::new(),
        }
    };
    codes.chunks_exact(n_features).zip(labels).map(explain_row).collect()
}

/// The features whose codes stand for texts.
fn text_columns(member: &Member, n_features: usize) -> Vec<usize> {
    (0..n_features).filter(|&feature| member.recipe.reads_text(feature)).collect()
}

/// The predictions on the way from a background row to the row, along an order and then along its reverse.
fn scores_along(
    member: &Member,
    row: &[f64],
    other: &[f64],
    order: &[usize],
    class: usize,
    texts: &Texts,
) -> Vec<f64> {
    let n_features = row.len();
    let mut codes = Matrix::with_capacity(2 * (n_features + 1), n_features);
    let mut now = other.to_vec();
    codes.push_row(0.0).copy_from_slice(&now);
    for &feature in order {
        now[feature] = row[feature];
        codes.push_row(0.0).copy_from_slice(&now);
    }
    now.copy_from_slice(other);
    codes.push_row(0.0).copy_from_slice(&now);
    for &feature in order.iter().rev() {
        now[feature] = row[feature];
        codes.push_row(0.0).copy_from_slice(&now);
    }
    let scores = member.predict(codes.values(), texts);
    scores.into_iter().skip(class).step_by(member.predictor.n_outputs()).collect()
}
