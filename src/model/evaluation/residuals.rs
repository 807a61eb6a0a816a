//! The errors of a regression: predicted by true values, residuals by predictions, quantiles, and a normal QQ plot.
//!
//! A residual is the true value minus the predicted one. Everything is bounded, whatever the number of rows.

use serde::Serialize;

use crate::model::statistics::{normal_quantile, quantile};
use crate::order;
use crate::random::{below, generator};

/// The most rows that are listed one by one.
pub const MAX_POINTS: usize = 1000;

/// The errors of a regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Residuals {
    /// Rows one by one: all, or a sample of [`MAX_POINTS`].
    pub points: Vec<ResidualPoint>,
    /// Whether `points` are a sample.
    pub is_sample: bool,
    /// Rows by true and predicted value; only if `points` are a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<DensityGrid>,
    /// Quantiles of the residuals.
    pub quantiles: Vec<ErrorQuantile>,
    /// Rows by residual, in bins of equal width.
    pub histogram: ResidualHistogram,
    /// Residuals in tenths of the rows by predicted value.
    pub by_prediction: Vec<ResidualBin>,
    /// Standard normal quantiles and the residuals at them.
    pub qq: Vec<QqPoint>,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidualPoint {
    /// The true value.
    pub truth: f64,
    /// The predicted value.
    pub predicted: f64,
}

/// Rows in cells of equal width.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DensityGrid {
    /// Bounds of the cells by true value, one more than rows of `counts`.
    pub truth_edges: Vec<f64>,
    /// Bounds of the cells by predicted value.
    pub predicted_edges: Vec<f64>,
    /// Rows of each cell: `counts[truth][predicted]`.
    pub counts: Vec<Vec<u64>>,
}

/// A quantile of the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ErrorQuantile {
    /// Share of the rows with at most this residual.
    pub share: f64,
    /// The residual.
    pub residual: f64,
    /// The same quantile of the absolute residuals.
    pub absolute: f64,
}

/// Rows by residual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResidualHistogram {
    /// Bounds of the bins, one more than `rows`.
    pub edges: Vec<f64>,
    /// Rows of each bin.
    pub rows: Vec<u64>,
}

/// The residuals of rows with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidualBin {
    /// Mean predicted value.
    pub predicted: f64,
    /// Mean true value.
    pub truth: f64,
    /// Mean residual.
    pub mean: f64,
    /// Quartiles of the residuals.
    pub quartiles: [f64; 3],
    /// Its rows.
    pub rows: u64,
}

/// A point of a normal QQ plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QqPoint {
    /// Quantile of the standard normal distribution.
    pub normal: f64,
    /// Residual of the same rank, in standard deviations from the mean.
    pub residual: f64,
}

/// Shares of the rows that quantiles are given for.
const SHARES: [f64; 11] = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

/// Cells of the grid along each axis.
const GRID: usize = 40;

/// Bins of the histogram.
const HISTOGRAM_BINS: usize = 30;

/// Groups of rows by predicted value.
const PREDICTION_BINS: usize = 10;

/// Points of the QQ plot.
const QQ_POINTS: usize = 200;

/// Seed of the sample of points.
const SEED: u64 = 1;

/// Equal steps from the smallest to the largest value, and the step of a value.
fn edges(values: &[f64], n: usize) -> (Vec<f64>, impl Fn(f64) -> usize) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / n as f64;
    let edges = (0..=n).map(|i| if i == n { high } else { low + width * i as f64 }).collect();
    let bin = move |value: f64| if width > 0.0 { (((value - low) / width) as usize).min(n - 1) } else { 0 };
    (edges, bin)
}

/// The errors of rows; `None` without rows, or if a value is not finite.
pub(super) fn residuals(truth: &[f64], predicted: &[f64]) -> Option<Residuals> {
    let n = truth.len();
    if n == 0 || truth.iter().chain(predicted).any(|value| !value.is_finite()) {
        return None;
    }
    let errors: Vec<f64> = truth.iter().zip(predicted).map(|(t, p)| t - p).collect();
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    };
    let (ranked, absolute) = (sorted(&errors), sorted(&errors.iter().map(|e| e.abs()).collect::<Vec<_>>()));
    let quantiles = SHARES.map(|share| ErrorQuantile {
        share,
        residual: quantile(&ranked, share),
        absolute: quantile(&absolute, share),
    });
    let point = |row: usize| ResidualPoint { truth: truth[row], predicted: predicted[row] };
    let is_sample = n > MAX_POINTS;
    let grid = is_sample.then(|| {
        let ((truth_edges, truth_bin), (predicted_edges, predicted_bin)) =
            (edges(truth, GRID), edges(predicted, GRID));
        let mut counts = vec![vec![0; GRID]; GRID];
        truth.iter().zip(predicted).for_each(|(&t, &p)| counts[truth_bin(t)][predicted_bin(p)] += 1);
        DensityGrid { truth_edges, predicted_edges, counts }
    });
    let (bounds, bin) = edges(&errors, HISTOGRAM_BINS);
    let mut rows = vec![0; HISTOGRAM_BINS];
    errors.iter().for_each(|&error| rows[bin(error)] += 1);
    Some(Residuals {
        points: sample(n, MAX_POINTS).into_iter().map(point).collect(),
        is_sample,
        grid,
        quantiles: quantiles.to_vec(),
        histogram: ResidualHistogram { edges: bounds, rows },
        by_prediction: by_prediction(truth, predicted, &errors),
        qq: qq(&ranked),
    })
}

/// All rows, or some by chance, in their order (Knuth, TAOCP vol. 2, 3.4.2, algorithm S).
pub(super) fn sample(n: usize, size: usize) -> Vec<usize> {
    if n <= size {
        return (0..n).collect();
    }
    let mut random = generator(SEED);
    let mut kept = Vec::with_capacity(size);
    for row in 0..n {
        if below(n - row, &mut random) < size - kept.len() {
            kept.push(row);
        }
    }
    kept
}

fn by_prediction(truth: &[f64], predicted: &[f64], errors: &[f64]) -> Vec<ResidualBin> {
    let n = truth.len();
    let mut order: Vec<usize> = (0..n).collect();
    order::sort_by(&mut order, |&a, &b| predicted[a].total_cmp(&predicted[b]));
    let n_bins = PREDICTION_BINS.min(n);
    let bins = (0..n_bins).map(|bin| {
        let rows = &order[bin * n / n_bins..(bin + 1) * n / n_bins];
        let mean = |values: &[f64]| rows.iter().map(|&row| values[row]).sum::<f64>() / rows.len() as f64;
        let mut own: Vec<f64> = rows.iter().map(|&row| errors[row]).collect();
        own.sort_unstable_by(f64::total_cmp);
        ResidualBin {
            predicted: mean(predicted),
            truth: mean(truth),
            mean: mean(errors),
            quartiles: [0.25, 0.5, 0.75].map(|share| quantile(&own, share)),
            rows: rows.len() as u64,
        }
    });
    bins.collect()
}

/// Empty if all residuals are the same.
fn qq(ranked: &[f64]) -> Vec<QqPoint> {
    let n = ranked.len();
    let mean = ranked.iter().sum::<f64>() / n as f64;
    let deviation = (ranked.iter().map(|e| (e - mean) * (e - mean)).sum::<f64>() / n as f64).sqrt();
    if deviation == 0.0 {
        return Vec::new();
    }
    let n_points = n.min(QQ_POINTS);
    let point = |i: usize| {
        // The ends are kept: they are what such a plot is looked at for.
        let rank = if n_points == 1 { 0 } else { i * (n - 1) / (n_points - 1) };
        QqPoint {
            normal: normal_quantile((rank as f64 + 0.5) / n as f64),
            residual: (ranked[rank] - mean) / deviation,
        }
    };
    (0..n_points).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_are_bounded_and_every_row_is_counted() {
        for n in [1, 2, 30, 1001, 5000] {
            let truth: Vec<f64> = (0..n).map(|i| f64::from(i % 97)).collect();
            let predicted: Vec<f64> =
                truth.iter().zip(0..).map(|(t, i)| t + f64::from(i % 7) - 3.0).collect();
            let found = residuals(&truth, &predicted).unwrap();
            assert_eq!(found.points.len(), (n as usize).min(MAX_POINTS));
            assert_eq!(found.is_sample, found.grid.is_some());
            let n = n as u64;
            assert_eq!(found.histogram.rows.iter().sum::<u64>(), n);
            assert_eq!(found.by_prediction.iter().map(|bin| bin.rows).sum::<u64>(), n);
            assert!(found.grid.is_none_or(|grid| grid.counts.iter().flatten().sum::<u64>() == n));
            assert!(found.qq.windows(2).all(|pair| pair[0].normal < pair[1].normal));
        }
        let perfect = residuals(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!((perfect.qq, perfect.quantiles[5].absolute), (Vec::new(), 0.0));
        assert_eq!(residuals(&[], &[]), None);
        assert_eq!(residuals(&[1.0], &[f64::NAN]), None);
    }
}
