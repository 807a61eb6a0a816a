//! The losses that boosting minimises, of raw scores, with their first and second derivatives.
//!
//! Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", 10.6 and 10.10.

use crate::model::learn::{Dataset, Labels};
use crate::model::predictor::{Link, exp, sigmoid, softmax};

/// A loss of the raw scores of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// (y − s)² / 2.
    SquaredError,
    /// |y − s|; leaves are then set to medians.
    AbsoluteError,
    /// eˢ − y s, the Poisson deviance up to a constant; y is a count or a rate.
    Poisson,
    /// ln(1 + e⁻ˢ) for the second of two classes, ln(1 + eˢ) for the first.
    Logistic,
    /// ln Σ eˢ − s of the true class.
    Softmax {
        /// One score each.
        n_classes: usize,
    },
}

/// The least base probability: that of a class that the rows to fit on do not hold.
const MIN_SHARE: f64 = 1e-10;

impl Loss {
    /// Scores per row.
    pub(crate) fn n_scores(self) -> usize {
        match self {
            Self::Softmax { n_classes } => n_classes,
            _ => 1,
        }
    }

    /// How scores become predictions.
    pub(crate) fn link(self) -> Link {
        match self {
            Self::SquaredError | Self::AbsoluteError => Link::Identity,
            Self::Poisson => Link::Exponential,
            Self::Logistic => Link::Sigmoid,
            Self::Softmax { .. } => Link::Softmax,
        }
    }

    /// The constant scores that minimise the loss of `rows`.
    pub(crate) fn base(self, data: &Dataset, rows: &[u32]) -> Vec<f64> {
        let weight = |row: u32| data.weight(row as usize);
        let sum: f64 = rows.iter().map(|&row| weight(row)).sum();
        let mean = |value: &dyn Fn(u32) -> f64| {
            rows.iter().map(|&row| weight(row) * value(row)).sum::<f64>() / sum.max(f64::MIN_POSITIVE)
        };
        match (self, data.y) {
            (Self::AbsoluteError, Labels::Values(y)) => {
                let mut pairs: Vec<(f64, f64)> =
                    rows.iter().map(|&row| (y[row as usize], weight(row))).collect();
                vec![weighted_median(&mut pairs)]
            }
            (Self::Poisson, Labels::Values(y)) => {
                vec![mean(&|row| y[row as usize]).max(f64::MIN_POSITIVE).ln()]
            }
            (_, Labels::Values(y)) => vec![mean(&|row| y[row as usize])],
            (Self::Softmax { n_classes }, Labels::Classes { codes, .. }) => {
                let share = |class| mean(&|row| f64::from(u8::from(codes[row as usize] as usize == class)));
                (0..n_classes).map(|class| share(class).max(MIN_SHARE).ln()).collect()
            }
            (_, Labels::Classes { codes, .. }) => {
                let share = mean(&|row| f64::from(codes[row as usize])).clamp(MIN_SHARE, 1.0 - MIN_SHARE);
                vec![(share / (1.0 - share)).ln()]
            }
        }
    }

    /// The loss of a row. `y`: the value or the class; `scores` is used up.
    pub(crate) fn value(self, y: f64, scores: &mut [f64]) -> f64 {
        let score = scores[0];
        match self {
            Self::SquaredError => (y - score).powi(2) / 2.0,
            Self::AbsoluteError => (y - score).abs(),
            Self::Poisson => exp(score) - y * score,
            Self::Logistic => {
                let margin = if y == 1.0 { score } else { -score };
                (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
            }
            Self::Softmax { .. } => {
                let true_score = scores[y as usize];
                softmax(scores) - true_score
            }
        }
    }

    /// Weight times derivative and second derivative for each score of a row, in `out`; `scores` is used up.
    /// For many classes the diagonal of the second derivatives, as in scikit-learn; LightGBM's is larger by
    /// k / (k − 1), XGBoost's by 2, which makes smaller steps.
    #[inline(always)]
    pub(crate) fn derivatives(self, y: f64, weight: f64, scores: &mut [f64], out: &mut [[f32; 2]]) {
        let score = scores[0];
        let mut set = |g: f64, h: f64| out[0] = [(weight * g) as f32, (weight * h) as f32];
        match self {
            Self::SquaredError => set(score - y, 1.0),
            Self::AbsoluteError => set(
                if score > y {
                    1.0
                } else if score < y {
                    -1.0
                } else {
                    0.0
                },
                1.0,
            ),
            Self::Poisson => {
                let mean = exp(score);
                set(mean - y, mean);
            }
            Self::Logistic => {
                let p = sigmoid(score);
                set(p - y, p * (1.0 - p));
            }
            Self::Softmax { .. } => {
                softmax(scores);
                for (class, (p, out)) in scores.iter().zip(out).enumerate() {
                    let g = p - f64::from(u8::from(class == y as usize));
                    *out = [(weight * g) as f32, (weight * p * (1.0 - p)) as f32];
                }
            }
        }
    }
}

/// The median of values with weights; the mean of the two middle ones if they split the weight evenly.
pub(crate) fn weighted_median(pairs: &mut [(f64, f64)]) -> f64 {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let half = pairs.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (i, (value, weight)) in pairs.iter().enumerate() {
        below += weight;
        if below > half {
            return *value;
        }
        if below == half {
            return pairs.get(i + 1).map_or(*value, |next| value / 2.0 + next.0 / 2.0);
        }
    }
    pairs.last().map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_loss() {
        let softmax = Loss::Softmax { n_classes: 3 };
        for (loss, y) in [
            (Loss::SquaredError, 2.5),
            (Loss::AbsoluteError, 2.5),
            (Loss::Poisson, 2.0),
            (Loss::Logistic, 0.0),
            (Loss::Logistic, 1.0),
            (softmax, 2.0),
        ] {
            let at = &[0.3, -0.2, 0.9][..loss.n_scores()];
            let mut out = vec![[0.0; 2]; at.len()];
            loss.derivatives(y, 1.0, &mut at.to_vec(), &mut out);
            for k in 0..at.len() {
                let moved = |by: f64| {
                    let mut at = at.to_vec();
                    at[k] += by;
                    loss.value(y, &mut at)
                };
                let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                assert!((f64::from(out[k][0]) - slope).abs() < 1e-5, "{loss:?}");
                let bend = (moved(1e-4) - 2.0 * moved(0.0) + moved(-1e-4)) / 1e-8;
                let is_bent = loss != Loss::AbsoluteError;
                assert!(!is_bent || (f64::from(out[k][1]) - bend).abs() < 1e-4, "{loss:?}");
            }
        }
    }

    #[test]
    fn a_median_heeds_weights() {
        assert_eq!(weighted_median(&mut [(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), 2.0);
        assert_eq!(weighted_median(&mut [(3.0, 1.0), (1.0, 1.0)]), 2.0);
        assert_eq!(weighted_median(&mut [(3.0, 5.0), (1.0, 1.0), (2.0, 1.0)]), 3.0);
    }
}
