//! From scores to predictions: the links, and the exponential, logistic and softmax functions they are made
//! of.
//!
//! Learners use the same functions, so that a fit and its predictions agree to the last digit.

use crate::simd::widest;

/// The function that turns linear scores into predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Itself, the predicted value.
    Identity,
    /// The probability of the second of two classes: 1 / (1 + e⁻ˢ).
    Sigmoid,
    /// With the scores of the other classes, probabilities: eˢ / Σ eˢ.
    Softmax,
    /// The predicted value eˢ.
    Exponential,
    /// Itself, the probability of the second of two classes.
    Share,
}

impl Link {
    pub(super) fn form(self) -> &'static str {
        match self {
            Self::Identity => "linear",
            Self::Sigmoid => "linear-sigmoid",
            Self::Softmax => "linear-softmax",
            Self::Exponential => "linear-exponential",
            Self::Share => "linear-share",
        }
    }

    /// Turns the scores of one row into the prediction. `out` holds one score, of which a sigmoid makes
    /// two probabilities, as of a share, or one per class.
    pub fn apply(self, out: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => {
                let p = sigmoid(out[0]);
                // Not 1 − p, which would round a tiny probability to 0.
                out[0] = sigmoid(-out[0]);
                out[1] = p;
            }
            Self::Softmax => {
                softmax(out);
            }
            Self::Exponential => out[0] = exp(out[0]),
            Self::Share => {
                let p = out[0];
                out[0] = 1.0 - p;
                out[1] = p;
            }
        }
    }
}

impl Link {
    /// As [`Link::apply`], of rows of `width` outputs; the same numbers, faster.
    pub(super) fn apply_block(self, out: &mut [f64], width: usize) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => widest!(sigmoids(out)),
            Self::Softmax => widest!(softmaxes(out, width)),
            Self::Exponential => widest!(out.iter_mut().for_each(|score| *score = exp(*score))),
            Self::Share => out.chunks_exact_mut(width).for_each(|out| self.apply(out)),
        }
    }
}

/// The two probabilities of each score.
#[inline(always)]
fn sigmoids(out: &mut [f64]) {
    out.as_chunks_mut().0.iter_mut().for_each(|pair| *pair = [-pair[0], pair[0]].map(sigmoid));
}

/// Rows of scores to probabilities: the exponentials of all rows in one loop.
#[inline(always)]
fn softmaxes(out: &mut [f64], width: usize) {
    for row in out.chunks_exact_mut(width) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|score| *score -= max);
    }
    out.iter_mut().for_each(|score| *score = exp(*score));
    for row in out.chunks_exact_mut(width) {
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|score| *score /= sum);
    }
}

/// eˣ to the last digit but one, from products and sums alone: the same on every machine, unlike the C
/// library's, and a loop of it is vectorised. Below −708 it is 0, above 709 ∞.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    // Adding it rounds to a whole number, which is then found in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts: the first has zeros at its end, so that its product with a whole number is exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // The Taylor series: |r| ≤ ln 2 / 2, and the first omitted term is below 2⁻⁵⁷.
    let mut sum = 1.0 / 6_227_020_800.0;
    for term in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        sum = sum * r + 1.0 / term;
    }
    let power = sum * f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52));
    if x < -708.0 {
        0.0
    } else if x > 709.0 {
        f64::INFINITY
    } else {
        power
    }
}

/// 1 / (1 + e⁻ˢ) without overflow.
#[inline(always)]
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + exp(-score))
}

/// Scores to probabilities in place, without overflow; returns ln Σ eˢ.
pub(crate) fn softmax(scores: &mut [f64]) -> f64 {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - max);
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
    max + sum.ln()
}

/// The log loss of a score for one of two classes, ln(1 + e⁻ˢ) for the second and ln(1 + eˢ) for the first,
/// without overflow; and the probability of the second, for learners that need it too, from the same
/// exponential (the C library's).
#[inline]
pub(crate) fn logistic_loss(score: f64, is_second: bool) -> (f64, f64) {
    let small = (-score.abs()).exp();
    let (larger, smaller) = (1.0 / (1.0 + small), small / (1.0 + small));
    let margin = if is_second { score } else { -score };
    (small.ln_1p() + (-margin).max(0.0), if score >= 0.0 { larger } else { smaller })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_c_library_but_for_the_last_digit() {
        for i in -70_000..70_001 {
            let x = f64::from(i) * 0.010_1;
            assert!((exp(x) / x.exp() - 1.0).abs() < 5e-16, "{x}");
        }
        assert_eq!((exp(0.0), exp(-800.0), exp(800.0)), (1.0, 0.0, f64::INFINITY));
        assert_eq!((exp(f64::INFINITY), exp(f64::NEG_INFINITY)), (f64::INFINITY, 0.0));
    }

    #[test]
    fn rows_together_get_the_bits_of_each_alone() {
        let scores: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61) - 30.0 + 0.1).collect();
        for (link, width) in [
            (Link::Identity, 1),
            (Link::Exponential, 1),
            (Link::Sigmoid, 2),
            (Link::Share, 2),
            (Link::Softmax, 2),
            (Link::Softmax, 5),
        ] {
            let mut together = scores.clone();
            link.apply_block(&mut together, width);
            let mut alone = scores.clone();
            alone.chunks_exact_mut(width).for_each(|out| link.apply(out));
            assert_eq!(together, alone, "{link:?}, {width}");
        }
    }

    #[test]
    fn links_do_not_overflow_and_keep_small_probabilities() {
        let mut out = [700.0, 0.0];
        Link::Sigmoid.apply(&mut out);
        assert!(out[0] > 0.0 && out[0] < 1e-300 && out[1] == 1.0);
        let mut out = [1000.0, 999.0, -1000.0];
        softmax(&mut out);
        assert!((out[0] + out[1] - 1.0).abs() < 1e-15 && out[2] == 0.0);
    }

    #[test]
    fn the_logistic_loss_is_that_of_the_definition_and_does_not_overflow() {
        for score in [-30.0, -1.5, 0.0, 0.25, 30.0_f64] {
            for (is_second, margin) in [(true, score), (false, -score)] {
                let (loss, p) = logistic_loss(score, is_second);
                assert!((loss - (-margin).exp().ln_1p()).abs() < 1e-14 * loss.max(1.0), "{score}");
                assert!((p - sigmoid(score)).abs() < 1e-15, "{score}");
            }
        }
        assert_eq!(logistic_loss(1e300, false), (1e300, 1.0));
        assert_eq!(logistic_loss(1e300, true), (0.0, 1.0));
    }
}
