//! What is done to a numeric target before a member of a pipeline learns it, and undone to what it predicts.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::predictor::exp;

/// A change of the target's scale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
    /// ln(y + shift). A mean of logarithms is that of a typical value, not of the mean, so predictions are multiplied by
    /// a factor (Duan 1983, "Smearing estimate").
    Log {
        /// Added before the logarithm.
        shift: f64,
        /// The factor.
        factor: f64,
    },
}

impl TargetTransform {
    /// The standardisation of values; none if they do not vary.
    pub(crate) fn standardised(values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|v| v / n).sum::<f64>();
        let scale = (values.iter().map(|v| (v - mean).powi(2) / n).sum::<f64>()).sqrt();
        if scale > 0.0 && scale.is_finite() { Self::Standardised { mean, scale } } else { Self::Identity }
    }

    /// The logarithm of values none of which is below 0, with 1 added if there are any below 1 and else nothing;
    /// `None` if there are values below 0.
    pub(crate) fn log(values: &[f64]) -> Option<Self> {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        (least >= 0.0).then_some(Self::Log { shift: if least < 1.0 { 1.0 } else { 0.0 }, factor: 1.0 })
    }

    /// Whether nothing is done.
    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    /// What is learned in place of a value.
    pub(crate) fn apply(self, value: f64) -> f64 {
        match self {
            Self::Identity => value,
            Self::Standardised { mean, scale } => (value - mean) / scale,
            Self::Log { shift, .. } => (value + shift).ln(),
        }
    }

    /// The value that was predicted.
    pub(crate) fn invert(self, predicted: f64) -> f64 {
        match self {
            Self::Identity => predicted,
            Self::Standardised { mean, scale } => predicted * scale + mean,
            Self::Log { shift, factor } => exp(predicted) * factor - shift,
        }
    }

    /// [`TargetTransform::invert`] in place.
    pub(crate) fn invert_all(self, predicted: &mut [f64]) {
        if self != Self::Identity {
            predicted.iter_mut().for_each(|value| *value = self.invert(*value));
        }
    }

    /// The same with the factor that makes the mean of the predicted values that of the true ones. `predicted`: by
    /// this transform.
    pub(crate) fn unbiased(self, predicted: &[f64], truth: &[f64]) -> Self {
        let Self::Log { shift, factor } = self else { return self };
        let of_predicted = predicted.iter().map(|value| (value + shift) / factor).sum::<f64>();
        let of_truth = truth.iter().map(|value| value + shift).sum::<f64>();
        let factor = of_truth / of_predicted;
        // Far from 1 it is the doing of a few values.
        let factor = if factor.is_finite() { factor.clamp(0.5, 2.0) } else { 1.0 };
        Self::Log { shift, factor }
    }

    /// # Errors
    /// Numbers that it cannot be undone with.
    pub(crate) fn validate(self) -> Result<()> {
        let is_sound = match self {
            Self::Identity => true,
            Self::Standardised { mean, scale } => mean.is_finite() && scale.is_finite() && scale > 0.0,
            Self::Log { shift, factor } => shift.is_finite() && factor.is_finite() && factor > 0.0,
        };
        ensure!(is_sound, "the transform of the target is not one: {self:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_a_target_is_undone_to_its_predictions() {
        let values = [0.0, 1.5, 20.0, 300.0];
        for transform in [
            TargetTransform::Identity,
            TargetTransform::standardised(&values),
            TargetTransform::log(&values).unwrap(),
        ] {
            transform.validate().unwrap();
            for value in values {
                let back = transform.invert(transform.apply(value));
                assert!((back - value).abs() < 1e-9, "{transform:?}: {value} {back}");
            }
        }
        assert_eq!(TargetTransform::log(&[-1.0, 2.0]), None);
        assert_eq!(TargetTransform::standardised(&[4.0, 4.0]), TargetTransform::Identity);
    }

    #[test]
    fn predicted_logarithms_are_raised_to_the_mean_of_the_truth() {
        let truth = [1.0, 10.0, 100.0];
        let transform = TargetTransform::log(&truth).unwrap();
        let typical = [20.0_f64.ln(); 3];
        let before = typical.map(|score| transform.invert(score));
        let transform = transform.unbiased(&before, &truth);
        let mean = typical.iter().map(|&score| transform.invert(score)).sum::<f64>() / 3.0;
        assert!((mean - truth.iter().sum::<f64>() / 3.0).abs() < 1e-9, "{transform:?} {mean}");
    }
}
