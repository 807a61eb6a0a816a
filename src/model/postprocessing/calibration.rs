//! Calibrated probabilities: a curve for each class, or a temperature for all.
//!
//! The curves are those of scikit-learn's `CalibratedClassifierCV`: of two classes one curve, of more one per class,
//! scaled to add up to 1. Unlike there, the input of a sigmoid is the log-odds of the probability, whatever the learner:
//! then a probability that needs no calibration can stay as it is.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::model::predictor::{Array, Arrays, link, take_f64, take_u32};

/// Names of the arrays in a model file.
const SIGMOIDS: &str = "calibration.sigmoids";
const POINTS: &str = "calibration.points";
const SIZES: &str = "calibration.sizes";
const TEMPERATURE: &str = "calibration.temperature";

/// A probability is taken to be no nearer to 0 and to 1, so that its log-odds are moderate: as near as the shares of a
/// table can be told from them.
pub(crate) const LEAST_PROBABILITY: f64 = 1e-6;

/// The kind of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A sigmoid of the log-odds of each class (Platt 1999).
    Sigmoid,
    /// A rising curve of each class (Zadrozny and Elkan 2002).
    Isotonic,
    /// One factor for all log-probabilities (Guo et al. 2017).
    Temperature,
}

impl Method {
    /// All kinds, those with the fewest numbers first.
    pub const ALL: [Self; 3] = [Self::Temperature, Self::Sigmoid, Self::Isotonic];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Isotonic => "isotonic",
            Self::Temperature => "temperature",
        }
    }
}

/// The numbers of a calibration.
#[derive(Debug, Clone, PartialEq)]
pub enum Curves {
    /// Slope and intercept on the log-odds: of the second of two classes, or of each class.
    Sigmoid(Vec<[f64; 2]>),
    /// Probabilities before and after, both rising, with straight lines between: of the second of two classes, or of each.
    Isotonic(Vec<Vec<[f64; 2]>>),
    /// The log-probabilities are divided by it.
    Temperature(f64),
}

impl Curves {
    /// The kind.
    pub fn method(&self) -> Method {
        match self {
            Self::Sigmoid(_) => Method::Sigmoid,
            Self::Isotonic(_) => Method::Isotonic,
            Self::Temperature(_) => Method::Temperature,
        }
    }

    /// Replaces the probabilities of the classes of one row.
    pub fn apply(&self, row: &mut [f64]) {
        if row.iter().any(|p| p.is_nan()) {
            // What is no probability stays visible.
            return;
        }
        match self {
            Self::Temperature(temperature) => {
                row.iter_mut().for_each(|p| *p = p.max(LEAST_PROBABILITY).ln() / temperature);
                link::softmax(row);
            }
            Self::Sigmoid(sigmoids) => {
                of_each_class(row, |class, p| {
                    let [slope, intercept] = sigmoids[class];
                    link::sigmoid(slope * log_odds(p) + intercept)
                });
            }
            Self::Isotonic(curves) => of_each_class(row, |class, p| interpolate(&curves[class], p)),
        }
    }
}

/// The log-odds of a probability.
pub(crate) fn log_odds(p: f64) -> f64 {
    let p = p.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
    (p / (1.0 - p)).ln()
}

/// The logarithm of a probability that is taken to be above 0.
pub(crate) fn log_probability(p: f64) -> f64 {
    p.max(LEAST_PROBABILITY).ln()
}

/// Applies a curve to the second of two classes, or the curves of all classes, whose results are scaled to add up to 1.
fn of_each_class(row: &mut [f64], curve: impl Fn(usize, f64) -> f64) {
    if let [first, second] = row {
        *second = curve(0, *second).clamp(0.0, 1.0);
        *first = 1.0 - *second;
        return;
    }
    row.iter_mut().enumerate().for_each(|(class, p)| *p = curve(class, *p));
    let sum: f64 = row.iter().sum();
    let equal = 1.0 / row.len() as f64;
    row.iter_mut().for_each(|p| *p = if sum > 0.0 { (*p / sum).min(1.0) } else { equal });
}

/// The value of a curve of straight lines at `x`, beyond its ends that of the end.
fn interpolate(points: &[[f64; 2]], x: f64) -> f64 {
    let above = points.partition_point(|[at, _]| *at <= x);
    match (above.checked_sub(1).and_then(|below| points.get(below)), points.get(above)) {
        (Some([x0, y0]), Some([x1, y1])) => y0 + (y1 - y0) * ((x - x0) / (x1 - x0)),
        (Some([_, y]), None) | (None, Some([_, y])) => *y,
        (None, None) => x,
    }
}

/// How the probabilities are calibrated, and what it gains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The kind.
    pub method: Method,
    /// The log loss of the rows it was fitted on as they were predicted.
    pub log_loss_before: f64,
    /// The log loss of the same rows, each calibrated by the others.
    pub log_loss_after: f64,
    /// Those rows.
    pub n_rows: usize,
    /// The numbers; in a model file they are arrays.
    #[serde(skip, default = "no_curves")]
    pub curves: Curves,
}

fn no_curves() -> Curves {
    Curves::Temperature(1.0)
}

impl Calibration {
    pub(super) fn apply(&self, row: &mut [f64]) {
        self.curves.apply(row);
    }

    pub(super) fn write_arrays(&self, arrays: &mut Arrays) {
        let mut insert = |name: &str, array| arrays.insert(name.into(), array);
        match &self.curves {
            Curves::Sigmoid(sigmoids) => {
                insert(SIGMOIDS, Array::F64(vec![sigmoids.len(), 2], sigmoids.concat()));
            }
            Curves::Isotonic(curves) => {
                let sizes: Vec<u32> = curves.iter().map(|points| points.len() as u32).collect();
                let points: Vec<f64> = curves.iter().flatten().flatten().copied().collect();
                insert(SIZES, Array::U32(vec![sizes.len()], sizes));
                insert(POINTS, Array::F64(vec![points.len() / 2, 2], points));
            }
            Curves::Temperature(temperature) => {
                insert(TEMPERATURE, Array::F64(vec![1], vec![*temperature]));
            }
        }
    }

    pub(super) fn read_arrays(&mut self, arrays: &mut Arrays) -> Result<()> {
        let pairs = |values: Vec<f64>| {
            let (pairs, rest) = values.as_chunks::<2>();
            ensure!(rest.is_empty(), "the calibration is not made of pairs");
            Ok(pairs.to_vec())
        };
        self.curves = match self.method {
            Method::Sigmoid => Curves::Sigmoid(pairs(take_f64(arrays, SIGMOIDS)?)?),
            Method::Temperature => {
                let values = take_f64(arrays, TEMPERATURE)?;
                Curves::Temperature(
                    values.first().copied().filter(|_| values.len() == 1).context("no temperature")?,
                )
            }
            Method::Isotonic => {
                let points = pairs(take_f64(arrays, POINTS)?)?;
                let mut rest = points.as_slice();
                let mut curves = Vec::new();
                for size in take_u32(arrays, SIZES)? {
                    let split = rest.split_at_checked(size as usize);
                    let (curve, behind) = split.context("a point of the calibration is missing")?;
                    curves.push(curve.to_vec());
                    rest = behind;
                }
                ensure!(rest.is_empty(), "a point of the calibration belongs to no class");
                Curves::Isotonic(curves)
            }
        };
        Ok(())
    }

    pub(super) fn validate(&self, n_classes: usize) -> Result<()> {
        let n_curves = if n_classes == 2 { 1 } else { n_classes };
        let fits = |n: usize| {
            ensure!(n == n_curves, "the calibration has {n} curves, and {n_curves} are needed");
            Ok(())
        };
        match &self.curves {
            Curves::Temperature(temperature) => {
                ensure!(*temperature > 0.0 && temperature.is_finite(), "the temperature is not above 0");
            }
            Curves::Sigmoid(sigmoids) => {
                fits(sigmoids.len())?;
                ensure!(sigmoids.as_flattened().iter().all(|v| v.is_finite()), "a sigmoid is not finite");
            }
            Curves::Isotonic(curves) => {
                fits(curves.len())?;
                let is_share = |p: &f64| (0.0..=1.0).contains(p);
                let rises = |pair: &[[f64; 2]]| pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1];
                let is_curve = |points: &Vec<[f64; 2]>| {
                    !points.is_empty()
                        && points.as_flattened().iter().all(is_share)
                        && points.windows(2).all(rises)
                };
                ensure!(curves.iter().all(is_curve), "a curve of the calibration does not rise from 0 to 1");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_that_are_straight_change_nothing() {
        for row in [vec![0.3, 0.7], vec![0.1, 0.2, 0.7]] {
            let n = if row.len() == 2 { 1 } else { row.len() };
            for curves in [
                Curves::Temperature(1.0),
                Curves::Sigmoid(vec![[1.0, 0.0]; n]),
                Curves::Isotonic(vec![vec![[0.0, 0.0], [1.0, 1.0]]; n]),
            ] {
                let mut found = row.clone();
                curves.apply(&mut found);
                assert!(found.iter().zip(&row).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
            }
        }
    }

    #[test]
    fn beyond_its_ends_a_curve_is_flat_and_probabilities_add_up_to_one() {
        let curve = vec![[0.2, 0.1], [0.6, 0.5], [0.8, 0.5]];
        for (p, wanted) in [(0.0, 0.1), (0.2, 0.1), (0.4, 0.3), (0.7, 0.5), (1.0, 0.5)] {
            assert!((interpolate(&curve, p) - wanted).abs() < 1e-12, "{p}");
        }
        let zero = vec![[0.0, 0.0], [1.0, 0.0]];
        let mut row = [0.2, 0.3, 0.5];
        Curves::Isotonic(vec![zero.clone(), zero.clone(), zero]).apply(&mut row);
        assert_eq!(row, [1.0 / 3.0; 3]);
        let mut row = [0.2, 0.3, 0.5];
        Curves::Sigmoid(vec![[2.0, 0.5], [1.0, 0.0], [0.5, -1.0]]).apply(&mut row);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let mut row = [f64::NAN, 0.3];
        Curves::Temperature(2.0).apply(&mut row);
        assert!(row[0].is_nan());
    }
}
