//! Platt scaling: the probability 1 / (1 + exp(A score + B)) that fits scores and signs best.
//!
//! Newton's method with backtracking by Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs for
//! support vector machines", algorithm 1, with row weights. Callers are the support vector machine, whose scores
//! are no probabilities, and the calibration of any classifier.

/// A and B without calibration: the score is the log-odds.
pub(crate) const UNCALIBRATED: [f64; 2] = [-1.0, 0.0];

/// The gradient, per unit of weight, at which A and B are found.
const TOLERANCE: f64 = 1e-8;

/// Keeps the Hessian positive definite.
const RIDGE: f64 = 1e-12;

/// Steps of Newton's method; a handful are usual.
const MAX_STEPS: usize = 100;

/// A step this small gains nothing.
const MIN_STEP: f64 = 1e-10;

/// A and B for scores of rows that belong to the class (`positive`) or not.
///
/// Targets are not 1 and 0, but (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which keeps A finite if the scores
/// separate the classes; N is the sum of weights.
pub(crate) fn calibrate(scores: &[f64], positive: &[bool], weights: &[f64]) -> [f64; 2] {
    let rows = || scores.iter().zip(positive).zip(weights);
    let sum_of = |class| rows().filter(|((_, p), _)| **p == class).map(|(_, w)| w).sum::<f64>();
    let (n_positive, n_negative) = (sum_of(true), sum_of(false));
    let target =
        |positive| if positive { (n_positive + 1.0) / (n_positive + 2.0) } else { 1.0 / (n_negative + 2.0) };
    let loss = |[a, b]: [f64; 2]| -> f64 {
        let of_row = |((score, positive), weight): ((&f64, &bool), &f64)| {
            let z = a * score + b;
            let log = (-z.abs()).exp().ln_1p();
            weight * (log + if z >= 0.0 { target(*positive) * z } else { (target(*positive) - 1.0) * z })
        };
        rows().map(of_row).sum()
    };
    let scale = n_positive + n_negative;
    let mut at = [0.0, ((n_negative + 1.0) / (n_positive + 1.0)).ln()];
    let mut value = loss(at);
    for _ in 0..MAX_STEPS {
        let (mut h_aa, mut h_bb, mut h_ab, mut g_a, mut g_b) = (RIDGE, RIDGE, 0.0, 0.0, 0.0);
        for ((score, positive), weight) in rows() {
            let z = at[0] * score + at[1];
            let e = (-z.abs()).exp();
            // Of the class, and of the other.
            let (p, q) =
                if z >= 0.0 { (e / (1.0 + e), 1.0 / (1.0 + e)) } else { (1.0 / (1.0 + e), e / (1.0 + e)) };
            let curvature = weight * p * q;
            h_aa += score * score * curvature;
            h_bb += curvature;
            h_ab += score * curvature;
            let slope = weight * (target(*positive) - p);
            g_a += score * slope;
            g_b += slope;
        }
        if g_a.abs() < TOLERANCE * scale && g_b.abs() < TOLERANCE * scale {
            break;
        }
        let determinant = h_aa * h_bb - h_ab * h_ab;
        let step = [-(h_bb * g_a - h_ab * g_b) / determinant, -(h_aa * g_b - h_ab * g_a) / determinant];
        let descent = g_a * step[0] + g_b * step[1];
        let mut length = 1.0;
        let found = loop {
            let next = [at[0] + length * step[0], at[1] + length * step[1]];
            let next_value = loss(next);
            if next_value < value + 1e-4 * length * descent {
                break Some((next, next_value));
            }
            length /= 2.0;
            if length < MIN_STEP {
                break None;
            }
        };
        let Some(next) = found else {
            break;
        };
        (at, value) = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_that_were_drawn_from_are_found_again() {
        // The share of positives at each score is 1 / (1 + exp(−2 score + 0.5)), as weights.
        let (mut scores, mut positive, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..41 {
            let score = f64::from(i) / 10.0 - 2.0;
            let p = 1.0 / (1.0 + (-2.0 * score + 0.5).exp());
            for (class, share) in [(true, p), (false, 1.0 - p)] {
                scores.push(score);
                positive.push(class);
                weights.push(1e6 * share);
            }
        }
        let [a, b] = calibrate(&scores, &positive, &weights);
        assert!((a + 2.0).abs() < 1e-4 && (b - 0.5).abs() < 1e-4, "{a} {b}");
    }

    #[test]
    fn separated_classes_have_finite_log_odds() {
        let [a, b] = calibrate(&[-2.0, -1.0, 1.0, 2.0], &[false, false, true, true], &[1.0; 4]);
        assert!(a < 0.0 && a.is_finite() && b.abs() < 1e-6);
    }
}
