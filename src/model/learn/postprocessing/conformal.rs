//! Prediction intervals and sets by conformal prediction on rows that the fits had not seen (Vovk, Gammerman and Shafer
//! 2005; Lei et al. 2018; of classes by their least probability: Sadinle, Lei and Wasserman 2019).
//!
//! With one split it is split-conformal prediction, whose coverage holds for any distribution. With folds the residuals
//! are those of cross-validation around the fit on all rows, which is a little better than each of the folds' fits, so
//! the intervals are rather too wide (Barber et al. 2021, "Predictive inference with the jackknife+", section 2).

use anyhow::Result;

use crate::error::usage;
use crate::model::postprocessing::{Interval, PredictionSets};

/// The value that a new one, exchangeable with these, does not exceed with a probability of `level` at least.
///
/// # Errors
/// A usage error for a level that so few values cannot show.
fn quantile(mut values: Vec<f64>, level: f64, flag: &str) -> Result<f64> {
    let n = values.len();
    // The product may be a whole number but for its last bits.
    let rank = ((n + 1) as f64 * level * (1.0 - 1e-12)).ceil().max(1.0) as usize;
    if rank > n {
        let needed = (level / (1.0 - level) * (1.0 - 1e-12)).ceil();
        return Err(usage(format!(
            "{flag} {level} needs at least {needed} rows that can be predicted out of fold, and there are {n}; give a \
             lower level"
        )));
    }
    let (_, value, _) = values.select_nth_unstable_by(rank - 1, f64::total_cmp);
    Ok(*value)
}

/// The interval around predictions of rows of these true values.
///
/// # Errors
/// As [`quantile`].
pub(super) fn interval(level: f64, predicted: &[f64], truth: &[f64]) -> Result<Interval> {
    let residuals = predicted.iter().zip(truth).map(|(p, t)| (p - t).abs()).collect();
    Ok(Interval { level, half_width: quantile(residuals, level, "--interval")?, n_rows: truth.len() })
}

/// The sets for rows whose true classes got these probabilities.
///
/// # Errors
/// As [`quantile`].
pub(super) fn sets(level: f64, of_truth: &[f64]) -> Result<PredictionSets> {
    let negative = of_truth.iter().map(|p| -p).collect();
    Ok(PredictionSets { level, least: -quantile(negative, level, "--conformal")?, n_rows: of_truth.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, unit_interval};

    #[test]
    fn the_rank_is_that_of_n_plus_one_rows() {
        let values: Vec<f64> = (1..=99).map(f64::from).collect();
        assert_eq!(quantile(values.clone(), 0.9, "--interval").unwrap(), 90.0);
        assert_eq!(quantile(values, 0.905, "--interval").unwrap(), 91.0);
        let error = quantile(vec![1.0; 8], 0.9, "--interval").unwrap_err().to_string();
        assert!(error.contains("at least 9 rows") && error.contains("there are 8"), "{error}");
        assert_eq!(quantile(vec![1.0; 9], 0.9, "--interval").unwrap(), 1.0);
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        // 200 sets of 99 rows to calibrate and 100 to try, of a skewed distribution.
        let mut random = generator(7);
        for level in [0.9, 0.95] {
            let mut hits = 0;
            for _ in 0..200 {
                let mut draw =
                    |n| (0..n).map(|_| -(1.0 - unit_interval(&mut random)).ln()).collect::<Vec<f64>>();
                let (known, new) = (draw(99), draw(100));
                let found = interval(level, &vec![1.0; 99], &known).unwrap();
                let [low, high] = found.around(1.0);
                hits += new.iter().filter(|value| (low..=high).contains(*value)).count();
            }
            let share = hits as f64 / 20_000.0;
            // The shares of the 200 sets have a standard deviation of 0.03 and 0.022 each about their mean.
            assert!((share - level).abs() < 0.008, "{level}: {share}");
        }
    }

    #[test]
    fn sets_hold_the_classes_that_are_as_likely_as_most_true_ones() {
        let of_truth: Vec<f64> = (1..=99).map(|i| f64::from(i) / 100.0).collect();
        let found = sets(0.9, &of_truth).unwrap();
        assert_eq!(found.least, 0.1);
        let classes = |row: &[f64]| found.classes(row).collect::<Vec<_>>();
        assert_eq!(classes(&[0.1, 0.85, 0.05]), [0, 1]);
        assert_eq!(classes(&[0.05; 20]), [] as [usize; 0]);
    }
}
