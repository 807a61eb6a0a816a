//! The losses that boosting minimises, of raw scores, with their first and second derivatives.
//!
//! Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", 10.6 and 10.10.

use crate::model::learn::{Dataset, Labels};
use crate::model::predictor::{Link, exp, sigmoid, softmax};

/// A loss of the raw scores of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loss {
    /// (y − s)² / 2.
    SquaredError,
    /// |y − s|; leaves are then set to medians.
    AbsoluteError,
    /// α (y − s) above the score and (1 − α)(s − y) below it; leaves are then set to α-quantiles.
    Quantile {
        /// The share of the rows that lie below.
        alpha: f64,
    },
    /// eˢ − y s, the Poisson deviance up to a constant; y is a count or a rate.
    Poisson,
    /// s + y e⁻ˢ, half the gamma deviance up to a constant; y is above 0.
    Gamma,
    /// −y e^((1 − ρ) s) / (1 − ρ) + e^((2 − ρ) s) / (2 − ρ), half the Tweedie deviance up to a constant; y is not
    /// below 0.
    Tweedie {
        /// ρ, between 1 (Poisson) and 2 (gamma): the variance is a multiple of this power of the mean.
        power: f64,
    },
    /// ln(1 + e⁻ˢ) for the second of two classes, ln(1 + eˢ) for the first.
    Logistic,
    /// ln Σ eˢ − s of the true class.
    Softmax {
        /// One score each.
        n_classes: usize,
        /// The diagonal of the second derivatives counts so many times.
        factor: f64,
    },
}

/// The least base probability: that of a class that the rows to fit on do not hold.
const MIN_SHARE: f64 = 1e-10;

impl Loss {
    /// Scores per row.
    pub(crate) fn n_scores(self) -> usize {
        match self {
            Self::Softmax { n_classes, .. } => n_classes,
            _ => 1,
        }
    }

    /// How scores become predictions.
    pub(crate) fn link(self) -> Link {
        match self {
            Self::SquaredError | Self::AbsoluteError | Self::Quantile { .. } => Link::Identity,
            Self::Poisson | Self::Gamma | Self::Tweedie { .. } => Link::Exponential,
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
            (Self::Quantile { alpha }, Labels::Values(y)) => {
                let pairs = rows.iter().map(|&row| (y[row as usize], weight(row)));
                vec![weighted_quantile(&mut pairs.collect::<Vec<_>>(), alpha)]
            }
            (Self::Poisson | Self::Gamma | Self::Tweedie { .. }, Labels::Values(y)) => {
                vec![mean(&|row| y[row as usize]).max(f64::MIN_POSITIVE).ln()]
            }
            (_, Labels::Values(y)) => vec![mean(&|row| y[row as usize])],
            (Self::Softmax { n_classes, .. }, Labels::Classes { codes, .. }) => {
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
            Self::Quantile { alpha } => {
                let above = y - score;
                (alpha * above).max((alpha - 1.0) * above)
            }
            Self::Poisson => exp(score) - y * score,
            Self::Gamma => score + y * exp(-score),
            Self::Tweedie { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                exp(high * score) / high - y * exp(low * score) / low
            }
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
    /// For many classes the diagonal of the second derivatives times a factor: 1 in scikit-learn, k / (k − 1) in
    /// LightGBM, 2 in XGBoost. A larger one makes smaller steps.
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
            Self::Quantile { alpha } => set(if score > y { 1.0 - alpha } else { -alpha }, 1.0),
            Self::Poisson => {
                let mean = exp(score);
                set(mean - y, mean);
            }
            Self::Gamma => {
                let ratio = y * exp(-score);
                set(1.0 - ratio, ratio);
            }
            Self::Tweedie { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                let (of_y, of_mean) = (y * exp(low * score), exp(high * score));
                set(of_mean - of_y, high * of_mean - low * of_y);
            }
            Self::Logistic => {
                let p = sigmoid(score);
                set(p - y, p * (1.0 - p));
            }
            Self::Softmax { factor, .. } => {
                softmax(scores);
                for (class, (p, out)) in scores.iter().zip(out).enumerate() {
                    let g = p - f64::from(u8::from(class == y as usize));
                    *out = [(weight * g) as f32, (factor * weight * p * (1.0 - p)) as f32];
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

/// A quantile of values with weights: between the two that enclose it, as NumPy's and scikit-learn's of values that
/// count the same. Weights count in proportion to their mean.
pub(crate) fn weighted_quantile(pairs: &mut Vec<(f64, f64)>, alpha: f64) -> f64 {
    pairs.retain(|(_, weight)| *weight > 0.0);
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mean = pairs.iter().map(|(_, weight)| weight).sum::<f64>() / pairs.len() as f64;
    let position = alpha * (pairs.len() as f64 - 1.0);
    // Position p holds the first value whose weights so far, in means, are above the whole part of p.
    let (whole, part) = (position.floor(), position.fract());
    let mut below = 0.0;
    let mut lower = None;
    for (value, weight) in pairs.iter() {
        below += weight / mean;
        // Sums of equal weights are whole numbers but for rounding.
        if lower.is_none() && below > whole + 1e-9 {
            lower = Some(*value);
        }
        if let Some(lower) = lower
            && below > whole + 1.0 + 1e-9
        {
            return lower + part * (value - lower);
        }
    }
    lower.or(pairs.last().map(|(value, _)| *value)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_loss() {
        let softmax = Loss::Softmax { n_classes: 3, factor: 1.0 };
        for (loss, y) in [
            (Loss::SquaredError, 2.5),
            (Loss::AbsoluteError, 2.5),
            (Loss::Quantile { alpha: 0.9 }, 2.5),
            (Loss::Quantile { alpha: 0.9 }, -2.5),
            (Loss::Poisson, 2.0),
            (Loss::Gamma, 2.0),
            (Loss::Tweedie { power: 1.3 }, 2.0),
            (Loss::Tweedie { power: 1.9 }, 0.0),
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
                let is_bent = !matches!(loss, Loss::AbsoluteError | Loss::Quantile { .. });
                assert!(!is_bent || (f64::from(out[k][1]) - bend).abs() < 1e-4, "{loss:?}");
            }
        }
    }

    #[test]
    fn the_factor_of_softmax_counts_on_second_derivatives_alone() {
        let [plain, scaled] = [1.0, 1.5].map(|factor| {
            let mut out = [[0.0; 2]; 3];
            let loss = Loss::Softmax { n_classes: 3, factor };
            loss.derivatives(2.0, 1.0, &mut [0.3, -0.2, 0.9], &mut out);
            out
        });
        for (plain, scaled) in plain.iter().zip(&scaled) {
            assert!(plain[0] == scaled[0] && (1.5 * plain[1] - scaled[1]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_quantile_is_that_of_numpy_and_heeds_weights() {
        let of = |weights: [f64; 4], alpha| {
            let values = [3.0, 1.0, 10.0, 2.0];
            weighted_quantile(&mut values.into_iter().zip(weights).collect(), alpha)
        };
        // numpy.quantile([3, 1, 10, 2], [0, 0.25, 0.5, 0.9, 1])
        for (alpha, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.9, 7.9), (1.0, 10.0)] {
            assert!((of([1.0; 4], alpha) - expected).abs() < 1e-12, "{alpha}");
            assert!((of([0.3; 4], alpha) - expected).abs() < 1e-12, "{alpha}: weights that are equal");
        }
        assert_eq!(of([1.0, 1.0, 0.0, 1.0], 0.5), 2.0, "a row of no weight is no row");
        assert_eq!(of([9.0, 0.1, 0.1, 0.1], 0.5), 3.0);
    }

    #[test]
    fn a_median_heeds_weights() {
        assert_eq!(weighted_median(&mut [(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), 2.0);
        assert_eq!(weighted_median(&mut [(3.0, 1.0), (1.0, 1.0)]), 2.0);
        assert_eq!(weighted_median(&mut [(3.0, 5.0), (1.0, 1.0), (2.0, 1.0)]), 3.0);
    }
}
