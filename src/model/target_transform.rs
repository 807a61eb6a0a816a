//! What is done to a numeric target before a member of a pipeline learns it, and undone to what it predicts.
//!
//! The mean of what was transformed is that of a typical value, not the mean. So predictions of a curved transform are
//! multiplied by a factor, or, of targets with values below 0, moved by an offset, that give the training rows their
//! mean (the factor: Duan 1983, "Smearing estimate: a nonparametric retransformation method").

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::predictor::exp;
use super::statistics::normal_quantile;

/// A change of the target's scale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetTransform {
    /// None.
    #[default]
    Identity,
    /// Less its mean, divided by its standard deviation.
    Standardised {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        scale: f64,
    },
    /// ln(y + shift).
    Log {
        /// Added before the logarithm.
        shift: f64,
        /// The factor of predictions.
        factor: f64,
    },
    /// The power transform of values of any sign by Yeo and Johnson 2000, "A new family of power transformations to
    /// improve normality or symmetry", of y / unit, then standardised.
    YeoJohnson {
        /// The standard deviation of the target, so that the transform does not depend on its unit.
        unit: f64,
        /// The power: 1 leaves values as they are, less draws in those above 0, more those below.
        lambda: f64,
        /// The mean of the powers.
        mean: f64,
        /// Their standard deviation.
        scale: f64,
        /// The least and the greatest value of the training rows. Predictions stay between them, as a power far outside
        /// may be infinite.
        range: [f64; 2],
        /// Makes the mean right.
        bias: Bias,
    },
    /// The normal scores of ranks, between those of the quantiles interpolated.
    Rank {
        /// The quantiles and their scores.
        #[serde(skip)]
        knots: Knots,
        /// Makes the mean right.
        bias: Bias,
    },
}

/// What is done to predictions so that their mean is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bias {
    /// They are multiplied by it,
    pub factor: f64,
    /// then it is added.
    pub offset: f64,
}

impl Bias {
    const NONE: Self = Self { factor: 1.0, offset: 0.0 };

    fn apply(self, value: f64) -> f64 {
        value * self.factor + self.offset
    }
}

/// Values of the target in ascending order and the score of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Knots {
    /// The values.
    pub values: Vec<f64>,
    /// Their scores.
    pub scores: Vec<f64>,
}

/// Most quantiles of [`TargetTransform::Rank`], those of scikit-learn's `QuantileTransformer`.
const MAX_QUANTILES: usize = 1000;

/// The bias correction is far from none only by the doing of a few values, and then it is limited.
const MAX_FACTOR: f64 = 2.0;

impl TargetTransform {
    /// The standardisation of values; none if they do not vary.
    pub(crate) fn standardised(values: &[f64]) -> Self {
        let (mean, scale) = mean_and_scale(values);
        if scale > 0.0 && scale.is_finite() { Self::Standardised { mean, scale } } else { Self::Identity }
    }

    /// The logarithm of values none of which is below 0, with 1 added if there are any below 1 and else nothing;
    /// `None` if there are values below 0.
    pub(crate) fn log(values: &[f64]) -> Option<Self> {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        (least >= 0.0).then_some(Self::Log { shift: if least < 1.0 { 1.0 } else { 0.0 }, factor: 1.0 })
    }

    /// The power that makes values most like those of a normal distribution; none if they do not vary.
    pub(crate) fn yeo_johnson(values: &[f64]) -> Self {
        let unit = mean_and_scale(values).1;
        if !(unit > 0.0 && unit.is_finite()) {
            return Self::Identity;
        }
        let scaled: Vec<f64> = values.iter().map(|value| value / unit).collect();
        let lambda = best_power(&scaled);
        let powers: Vec<f64> = scaled.iter().map(|&value| power(value, lambda)).collect();
        let (mean, scale) = mean_and_scale(&powers);
        let range = ends(values);
        let found = Self::YeoJohnson { unit, lambda, mean, scale, range, bias: Bias::NONE };
        if found.validate().is_ok() { found } else { Self::Identity }
    }

    /// The normal scores of ranks; none if the values do not vary.
    pub(crate) fn rank(values: &[f64]) -> Self {
        let n = values.len();
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n_quantiles = n.min(MAX_QUANTILES);
        if n_quantiles < 2 {
            return Self::Identity;
        }
        let share = |k: usize| k as f64 / (n_quantiles - 1) as f64;
        // Between order statistics, as numpy's default.
        let quantile = |k: usize| {
            let at = share(k) * (n - 1) as f64;
            let below = (at as usize).min(n - 2);
            let (low, high) = (sorted[below], sorted[below + 1]);
            let between = low + (at - below as f64) * (high - low);
            between.clamp(low, high)
        };
        let mut knots = Knots::default();
        // Scores of the ends are infinite; half a row is beyond them.
        let margin = 0.5 / n as f64;
        let mut k = 0;
        while k < n_quantiles {
            let value = quantile(k);
            let first = k;
            while k < n_quantiles && quantile(k) <= value {
                k += 1;
            }
            // Equal values share the middle of their ranks.
            let middle = 0.5 * (share(first) + share(k - 1));
            knots.values.push(value);
            knots.scores.push(normal_quantile(middle.clamp(margin, 1.0 - margin)));
        }
        let found = Self::Rank { knots, bias: Bias::NONE };
        if found.validate().is_ok() { found } else { Self::Identity }
    }

    /// Whether nothing is done.
    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    /// What is learned in place of a value.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        match self {
            Self::Identity => value,
            Self::Standardised { mean, scale } => (value - mean) / scale,
            Self::Log { shift, .. } => (value + shift).ln(),
            Self::YeoJohnson { unit, lambda, mean, scale, .. } => {
                (power(value / unit, *lambda) - mean) / scale
            }
            Self::Rank { knots, .. } => interpolated(&knots.values, &knots.scores, value),
        }
    }

    /// The value that was predicted.
    pub(crate) fn invert(&self, predicted: f64) -> f64 {
        match self {
            Self::Identity => predicted,
            Self::Standardised { mean, scale } => predicted * scale + mean,
            Self::Log { shift, factor } => exp(predicted) * factor - shift,
            Self::YeoJohnson { unit, lambda, mean, scale, range: [low, high], bias } => {
                let value = unit * root(predicted * scale + mean, *lambda);
                // No number where no value has such a power.
                let value = if value.is_nan() && !predicted.is_nan() { *high } else { value };
                bias.apply(value.clamp(*low, *high))
            }
            Self::Rank { knots, bias } => bias.apply(interpolated(&knots.scores, &knots.values, predicted)),
        }
    }

    /// [`TargetTransform::invert`] in place.
    pub(crate) fn invert_all(&self, predicted: &mut [f64]) {
        if *self != Self::Identity {
            predicted.iter_mut().for_each(|value| *value = self.invert(*value));
        }
    }

    /// Whether the mean of what is predicted is not the mean of the truth before it is corrected.
    pub(crate) fn is_curved(&self) -> bool {
        !matches!(self, Self::Identity | Self::Standardised { .. })
    }

    /// The same with the correction that makes the mean of the predicted values that of the true ones. `predicted`: by
    /// this transform without one.
    pub(crate) fn unbiased(&self, predicted: &[f64], truth: &[f64]) -> Self {
        let sum = |values: &[f64], shift: f64| values.iter().map(|value| value + shift).sum::<f64>();
        let factor = |shift: f64| {
            let factor = sum(truth, shift) / sum(predicted, shift);
            if factor.is_finite() { factor.clamp(1.0 / MAX_FACTOR, MAX_FACTOR) } else { 1.0 }
        };
        let correction = || {
            if truth.iter().all(|value| *value >= 0.0) {
                return Bias { factor: factor(0.0), offset: 0.0 };
            }
            let offset = (sum(truth, 0.0) - sum(predicted, 0.0)) / truth.len().max(1) as f64;
            Bias { factor: 1.0, offset: if offset.is_finite() { offset } else { 0.0 } }
        };
        let mut same = self.clone();
        match &mut same {
            Self::Identity | Self::Standardised { .. } => {}
            Self::Log { shift, factor: of_log } => *of_log = factor(*shift),
            Self::YeoJohnson { bias, .. } | Self::Rank { bias, .. } => *bias = correction(),
        }
        same
    }

    /// # Errors
    /// Numbers that it cannot be undone with.
    pub(crate) fn validate(&self) -> Result<()> {
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        let is_right = |bias: &Bias| is_positive(bias.factor) && bias.offset.is_finite();
        let is_sound = match self {
            Self::Identity => true,
            Self::Standardised { mean, scale } => mean.is_finite() && is_positive(*scale),
            Self::Log { shift, factor } => shift.is_finite() && is_positive(*factor),
            Self::YeoJohnson { unit, lambda, mean, scale, range: [low, high], bias } => {
                is_positive(*unit)
                    && lambda.is_finite()
                    && mean.is_finite()
                    && is_positive(*scale)
                    && low.is_finite()
                    && high.is_finite()
                    && low <= high
                    && is_right(bias)
            }
            Self::Rank { knots: Knots { values, scores }, bias } => {
                let ascends = |of: &[f64]| {
                    of.iter().all(|value| value.is_finite()) && of.windows(2).all(|two| two[0] < two[1])
                };
                values.len() > 1
                    && values.len() == scores.len()
                    && ascends(values)
                    && ascends(scores)
                    && is_right(bias)
            }
        };
        ensure!(is_sound, "the transform of the target is not one that can be undone");
        Ok(())
    }
}

/// The shape of a target, by which transforms are worth a try.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TargetShape {
    /// 0 of a normal distribution, 2 of an exponential one, below 0 with a long tail below.
    pub(crate) skewness: f64,
    /// Fourth moment by the square of the second, less 3: 0 of a normal distribution, more with heavy tails.
    pub(crate) excess_kurtosis: f64,
    /// Whether there are values below 0.
    pub(crate) has_negative: bool,
}

impl TargetShape {
    /// The shape of these values.
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().map(|v| v / n).sum::<f64>();
        let moment = |power: i32| values.iter().map(|v| (v - mean).powi(power) / n).sum::<f64>();
        let variance = moment(2);
        Self {
            skewness: moment(3) / variance.powf(1.5),
            excess_kurtosis: moment(4) / (variance * variance) - 3.0,
            has_negative: values.iter().any(|value| *value < 0.0),
        }
    }
}

fn mean_and_scale(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| v / n).sum::<f64>();
    (mean, values.iter().map(|v| (v - mean).powi(2) / n).sum::<f64>().sqrt())
}

fn ends(values: &[f64]) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    [low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

/// The power transform of Yeo and Johnson.
fn power(value: f64, lambda: f64) -> f64 {
    // Of a value above 0; the other side is its mirror image with the power 2 − λ.
    let upper = |value: f64, lambda: f64| {
        let log = value.ln_1p();
        if lambda == 0.0 { log } else { (lambda * log).exp_m1() / lambda }
    };
    if value >= 0.0 { upper(value, lambda) } else { -upper(-value, 2.0 - lambda) }
}

/// The value of a [`power`]; no number if no value has it.
fn root(power: f64, lambda: f64) -> f64 {
    let upper = |power: f64, lambda: f64| {
        if lambda == 0.0 { power.exp_m1() } else { ((lambda * power).ln_1p() / lambda).exp_m1() }
    };
    if power >= 0.0 { upper(power, lambda) } else { -upper(-power, 2.0 - lambda) }
}

/// The derivative of a [`power`] by λ.
fn power_slope(value: f64, lambda: f64) -> f64 {
    let upper = |value: f64, lambda: f64| {
        let log = value.ln_1p();
        let s = lambda * log;
        // (s eˢ − eˢ + 1) / s²; its series where digits would cancel.
        let ratio = if s.abs() < 0.03 {
            let factors = [1.0 / 5760.0, 1.0 / 840.0, 1.0 / 144.0, 1.0 / 30.0, 0.125, 1.0 / 3.0, 0.5];
            factors.iter().fold(0.0, |sum, factor| sum * s + factor)
        } else {
            (s * s.exp() - s.exp_m1()) / (s * s)
        };
        log * log * ratio
    };
    if value >= 0.0 { upper(value, lambda) } else { upper(-value, 2.0 - lambda) }
}

/// Powers that are searched. Beyond them a handful of values decides.
const POWERS: [f64; 2] = [-8.0, 10.0];

/// The precision of a power.
const POWER_TOL: f64 = 1e-10;

/// The λ of the greatest likelihood, where the slope of its logarithm is 0; scipy's `yeojohnson_normmax` compares
/// likelihoods, which tells λ to half as many digits.
fn best_power(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let jacobian: f64 = values.iter().map(|value| value.abs().ln_1p().copysign(*value)).sum();
    let slope = |lambda: f64| {
        let powers: Vec<f64> = values.iter().map(|&value| power(value, lambda)).collect();
        let mean = mean_and_scale(&powers).0;
        let along =
            powers.iter().zip(values).map(|(power, &value)| (power - mean) * power_slope(value, lambda));
        let square: f64 = powers.iter().map(|power| (power - mean).powi(2)).sum();
        jacobian - n * along.sum::<f64>() / square
    };
    root_between(&slope, POWERS)
}

/// Where a function falls through 0, or the end that is nearest to it: halving, then the Illinois method (Dowell and
/// Jarratt 1971, "A modified regula falsi method for computing the root of an equation").
fn root_between(f: &dyn Fn(f64) -> f64, [mut low, mut high]: [f64; 2]) -> f64 {
    const HALVINGS: usize = 6;
    const MAX_STEPS: usize = 60;
    let (mut f_low, mut f_high) = (f(low), f(high));
    if f_low <= 0.0 {
        return low;
    }
    if f_high >= 0.0 {
        return high;
    }
    let mut last = high;
    let mut was_below = None;
    for step in 0..MAX_STEPS {
        let is_sure = step >= HALVINGS && f_low.is_finite() && f_high.is_finite();
        let share = if is_sure { f_low / (f_low - f_high) } else { 0.5 };
        let next = low + share * (high - low);
        let f_next = f(next);
        if f_next == 0.0 || (next - last).abs() < POWER_TOL {
            return next;
        }
        let is_below = f_next > 0.0;
        // An end that stays a second time weighs half, so that the other one moves.
        let weight = if is_sure && was_below == Some(is_below) { 0.5 } else { 1.0 };
        if is_below {
            (low, f_low, f_high) = (next, f_next, f_high * weight);
        } else {
            (high, f_high, f_low) = (next, f_next, f_low * weight);
        }
        (last, was_below) = (next, Some(is_below));
    }
    last
}

/// Of points in ascending order: what lies between them on straight lines; beyond them, the first and the last.
fn interpolated(from: &[f64], to: &[f64], at: f64) -> f64 {
    let above = from.partition_point(|known| *known <= at);
    let n = from.len();
    if at.is_nan() || n == 0 {
        return at;
    }
    if above == 0 || above == n {
        return to[if above == 0 { 0 } else { n - 1 }];
    }
    let share = (at - from[above - 1]) / (from[above] - from[above - 1]);
    to[above - 1] + share * (to[above] - to[above - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[f64]) -> Vec<TargetTransform> {
        let mut all = vec![
            TargetTransform::Identity,
            TargetTransform::standardised(values),
            TargetTransform::yeo_johnson(values),
            TargetTransform::rank(values),
        ];
        all.extend(TargetTransform::log(values));
        all
    }

    #[test]
    fn what_is_done_to_a_target_is_undone_to_its_predictions() {
        for values in [
            vec![0.0, 1.5, 20.0, 300.0],
            vec![-500.0, -3.0, -0.1, 0.0, 2.0, 2.0, 7.0],
            (0..3000).map(|i| ((i * 37 % 3001) as f64 / 300.0).exp() - 5.0).collect(),
        ] {
            for transform in all(&values) {
                transform.validate().unwrap();
                for value in &values {
                    let back = transform.invert(transform.apply(*value));
                    assert!(
                        (back - value).abs() < 1e-9 * value.abs().max(1.0),
                        "{transform:?}: {value} {back}"
                    );
                }
            }
        }
        assert_eq!(TargetTransform::log(&[-1.0, 2.0]), None);
        for constant in [TargetTransform::standardised, TargetTransform::yeo_johnson, TargetTransform::rank] {
            assert_eq!(constant(&[4.0, 4.0]), TargetTransform::Identity);
            assert_eq!(constant(&[4.0]), TargetTransform::Identity);
        }
    }

    #[test]
    fn what_lies_beyond_the_training_rows_is_not_predicted_by_powers_and_ranks() {
        let values: Vec<f64> = (1..200).map(|i| 1.0 / f64::from(i).powi(3)).collect();
        for transform in [TargetTransform::yeo_johnson(&values), TargetTransform::rank(&values)] {
            for extreme in [-1e300, -40.0, 40.0, 1e300] {
                let value = transform.invert(extreme);
                let end: f64 = if extreme > 0.0 { 1.0 } else { values[198] };
                assert!((value - end).abs() < 1e-9, "{transform:?}: {extreme} {value}");
            }
            assert!(transform.invert(f64::NAN).is_nan());
        }
    }

    #[test]
    fn predictions_are_corrected_to_the_mean_of_the_truth() {
        for truth in [vec![1.0, 10.0, 100.0], vec![-2.0, 0.5, 1.0, 30.0]] {
            for transform in all(&truth).into_iter().filter(TargetTransform::is_curved) {
                let scores: Vec<f64> =
                    truth.iter().map(|value| 0.9 * transform.apply(*value) + 0.05).collect();
                let before: Vec<f64> = scores.iter().map(|&score| transform.invert(score)).collect();
                let unbiased = transform.unbiased(&before, &truth);
                let n = truth.len() as f64;
                let mean = scores.iter().map(|&score| unbiased.invert(score)).sum::<f64>() / n;
                assert!((mean - truth.iter().sum::<f64>() / n).abs() < 1e-9, "{unbiased:?} {mean}");
            }
        }
    }

    #[test]
    fn the_shape_of_a_target_is_that_of_its_moments() {
        let shape = TargetShape::of(&[-1.0, 0.0, 0.0, 1.0, 10.0]);
        // scipy 1.17.1: stats.skew, stats.kurtosis.
        assert!((shape.skewness - 1.409_321_497_658_56).abs() < 1e-9, "{shape:?}");
        assert!((shape.excess_kurtosis - 0.130_577_037_477_69).abs() < 1e-9, "{shape:?}");
        assert!(shape.has_negative);
    }

    /// Values that a script makes as well: `u = numpy.arange(101) * 37 % 101`.
    fn reference(value: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..101).map(|i| value(f64::from(i * 37 % 101))).collect()
    }

    /// λ and standardised powers at rows 0, 1, 2 and 50. scipy 1.17.1: `x = y / y.std()`,
    /// `l = scipy.stats.yeojohnson(x)[1]`, polished as `brentq` of the five-point derivative of the log likelihood in
    /// `numpy.longdouble` (scipy's own λ is 3e-8 away), `t = scipy.stats.yeojohnson(x, l)`,
    /// `(t - t.mean()) / t.std()`.
    #[test]
    fn the_power_is_that_of_scipy() {
        let cases: [(Vec<f64>, f64, [f64; 4]); 4] = [
            (
                reference(|u| (u / 20.0).exp()),
                -1.447_102_476_653,
                [-1.243_293_937_254, -0.669_378_116_274, 0.888_885_552_108, -0.802_879_247_017],
            ),
            (
                reference(|u| (u / 25.0).exp() - 4.0),
                -0.831_185_295_262,
                [-1.382_584_503_619, -0.592_669_808_989, 0.865_799_793_566, -0.750_123_032_477],
            ),
            (
                reference(|u| 10.0 - (u / 40.0).exp()),
                1.817_398_640_068,
                [1.309_163_822_515, 0.613_850_995_042, -0.791_874_512_517, 0.743_251_643_812],
            ),
            (
                reference(|u| -(u / 30.0).exp() - 0.5),
                2.952_955_291_65,
                [1.456_907_395_614, 0.558_353_852_758, -0.854_967_960_31, 0.719_213_567_654],
            ),
        ];
        for (values, lambda, expected) in cases {
            let transform = TargetTransform::yeo_johnson(&values);
            let TargetTransform::YeoJohnson { lambda: found, .. } = transform else {
                panic!("{transform:?}")
            };
            assert!((found - lambda).abs() < 1e-8, "{found} {lambda}");
            for (row, expected) in [0, 1, 2, 50].into_iter().zip(expected) {
                let score = transform.apply(values[row]);
                assert!((score - expected).abs() < 1e-8, "{row}: {score} {expected}");
            }
        }
    }

    /// scikit-learn 1.9.1: `QuantileTransformer(n_quantiles=1000, output_distribution="normal")`, whose interpolation
    /// is between shares, not scores: the same at quantiles, and near between them. Its ends are at ±5.2.
    #[test]
    fn ranks_are_those_of_scikit_learn_but_for_the_ends() {
        let values = reference(|u| (u / 20.0).exp());
        let transform = TargetTransform::rank(&values);
        for (row, expected) in
            [(1, -0.331_853_346_436_816_63), (2, 0.643_345_405_392_917), (50, -0.467_698_799_114_508_23)]
        {
            assert!((transform.apply(values[row]) - expected).abs() < 1e-12, "{row}");
        }
        assert!((transform.apply(values[0]) - normal_quantile(0.5 / 101.0)).abs() < 1e-12);
        let values: Vec<f64> = (0..5000).map(|i| (f64::from(i * 37 % 4999) / 500.0).exp() - 50.0).collect();
        let transform = TargetTransform::rank(&values);
        for (row, expected) in [
            (7, -1.625_667_826_749_691_6),
            (100, 0.644_415_147_319_179),
            (1111, -0.761_281_328_669_019_7),
            (4321, 2.096_844_193_517_29),
        ] {
            let score = transform.apply(values[row]);
            assert!((score - expected).abs() < 1e-4, "{row}: {score} {expected}");
        }
    }

    #[test]
    fn equal_values_have_the_middle_of_their_ranks() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i).max(49.0)).collect();
        let transform = TargetTransform::rank(&values);
        assert!((transform.apply(49.0) - normal_quantile(0.25 * 98.0 / 99.0)).abs() < 0.02);
        assert_eq!(transform.invert(transform.apply(49.0)), 49.0);
        assert_eq!(transform.invert(-3.0), 49.0);
    }
}
