//! How sure the metrics are: confidence intervals by the bootstrap, and closed forms where there are some.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::bootstrap::{Bootstrap, SEED, Told};
use super::weighted::{Weighted, fast_order, one_vs_rest_variance};
use super::{ClassRow, Metrics, select};
use crate::data::cells::target::Truth;
use crate::model::pipeline::Predictions;
use crate::model::statistics::{normal_below, normal_quantile, normal_share, quantile, t_beyond, wilson};

/// Nominal coverage of the intervals.
pub const LEVEL: f64 = 0.95;

/// Rows beyond which a sample of them is resampled.
pub const MAX_ROWS: usize = 100_000;

/// The confidence intervals of metrics, by their dotted names (`accuracy`, `f1.macro`, …).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intervals(pub Vec<(String, [f64; 2])>);

impl Intervals {
    /// The interval of a metric.
    pub fn of(&self, name: &str) -> Option<[f64; 2]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, interval)| *interval)
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, interval) in &self.0 {
            map.serialize_entry(name, interval)?;
        }
        map.end()
    }
}

/// The intervals of one class: Wilson's, of precision and recall.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassIntervals {
    /// The class.
    pub label: serde_json::Value,
    /// Of the precision; none if nothing is predicted as the class.
    pub precision: Option<[f64; 2]>,
    /// Of the recall; none if the class has no row.
    pub recall: Option<[f64; 2]>,
}

/// How the intervals were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Resampling {
    /// Bootstrap replicates.
    pub replicates: usize,
    /// Rows that were resampled; fewer than were evaluated if those are too many.
    pub rows: usize,
    /// Groups that were resampled whole, if rows were held out by group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
}

/// The percentile interval of the replicates of a figure; `None` if most of them are undefined.
pub(super) fn percentile(values: impl Iterator<Item = Option<f64>>, replicates: usize) -> Option<[f64; 2]> {
    at_shares(values, replicates, |_| [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
}

/// The replicates at two shares of them, sorted; `None` if most of them are undefined.
fn at_shares(
    values: impl Iterator<Item = Option<f64>>,
    replicates: usize,
    shares: impl Fn(&[f64]) -> [f64; 2],
) -> Option<[f64; 2]> {
    let mut defined: Vec<f64> = values.flatten().collect();
    if 2 * defined.len() < replicates {
        return None;
    }
    defined.sort_unstable_by(f64::total_cmp);
    Some(shares(&defined).map(|share| quantile(&defined, share)))
}

/// At which share of the replicates an interval ends, so that few rows do not make it too narrow.
///
/// - Expanded (Hesterberg 2015, "What teachers should know about the bootstrap", 5.2): a resampled mean of n rows spreads by
///   √((n − 1)/n) too little, and its quantiles are those of the normal distribution where Student's are right. Each
///   class that is resampled by itself takes one row away.
/// - Bias-corrected (Efron 1987, "Better bootstrap confidence intervals", BC): if more than half of the replicates lie on
///   one side of the figure, both ends move to the other.
struct Ends {
    /// Of the standard normal distribution: the upper end of the expanded interval.
    z: f64,
}

impl Ends {
    /// Of `n` rows, or groups, that are drawn in so many strata.
    fn new(n: usize, strata: usize) -> Self {
        let free = n.saturating_sub(strata).max(1) as f64;
        Self { z: (n as f64 / free).sqrt() * t_beyond(1.0 - LEVEL, free) }
    }

    /// The shares for a figure and its sorted replicates.
    fn shares(&self, value: f64, sorted: &[f64]) -> [f64; 2] {
        let n = sorted.len() as f64;
        let (below, not_above) =
            (sorted.partition_point(|other| *other < value), sorted.partition_point(|other| *other <= value));
        // All on one side say no more than that fewer than one of them is on the other.
        let side = ((below + not_above) as f64 / 2.0 / n).clamp(1.0 / n, 1.0 - 1.0 / n);
        let bias = normal_quantile(side);
        [-self.z, self.z].map(|z| normal_below(2.0 * bias + z))
    }
}

/// The intervals of the metrics of predictions. Figures that are undefined have none.
pub(super) fn intervals(
    predictions: &Predictions,
    truth: &Truth,
    positive: usize,
    groups: Option<&[u32]>,
    metrics: &Metrics,
    told: Told,
) -> (Intervals, Resampling) {
    intervals_of_part(predictions, truth, positive, groups, metrics, told, 1)
}

/// As [`intervals`], for one of `n_parts` parts of the rows, which together take about as long as all rows.
pub(super) fn intervals_of_part(
    predictions: &Predictions,
    truth: &Truth,
    positive: usize,
    groups: Option<&[u32]>,
    metrics: &Metrics,
    told: Told,
    n_parts: usize,
) -> (Intervals, Resampling) {
    let n_rows = truth.len();
    let rows = truth.sample(MAX_ROWS, SEED);
    let order = fast_order(&select(predictions, &rows), &truth.select(&rows), positive);
    let rows: Vec<usize> = order.into_iter().map(|at| rows[at as usize]).collect();
    let (predictions, truth) = (&select(predictions, &rows), &truth.select(&rows));
    let groups: Option<Vec<u32>> = groups.map(|groups| rows.iter().map(|&row| groups[row]).collect());
    let groups = groups.as_deref();
    let bootstrap = Bootstrap::new(truth, groups).shared_by(n_parts);
    let weighted = Weighted::new(predictions, truth, positive);
    let ends = Ends::new(bootstrap.n_groups().unwrap_or(truth.len()), bootstrap.n_strata());
    let replicates = bootstrap.map(told, &|weights, scratch| weighted.figures(weights, scratch));
    let mut found = Vec::new();
    for (i, (name, value)) in metrics.figures().into_iter().enumerate() {
        let Some(value) = value else { continue };
        // The mean recall of classes, weighted by their rows, is the share of all rows.
        let is_share_of_rows = name == "accuracy" || name == "recall.weighted" || name.ends_with(".micro");
        let interval = if is_share_of_rows && groups.is_none() {
            wilson((value * n_rows as f64).round(), n_rows as f64)
        } else {
            at_shares(replicates.iter().map(|figures| figures[i]), bootstrap.replicates, |sorted| {
                ends.shares(value, sorted)
            })
        };
        let interval = interval.or_else(|| {
            let variance =
                (name == "roc_auc" && groups.is_none()).then(|| one_vs_rest_variance(predictions, truth));
            Some(normal_share(value, variance??))
        });
        // Resampled rows may miss what all rows have; an interval without its figure would be no help to anybody.
        found.extend(interval.map(|[low, high]| (name.to_string(), [low.min(value), high.max(value)])));
    }
    let resampling =
        Resampling { replicates: bootstrap.replicates, rows: truth.len(), groups: bootstrap.n_groups() };
    (Intervals(found), resampling)
}

/// The intervals of classes; `counts`: the rows of each that are right, and those predicted as it.
pub(super) fn class_intervals(classes: &[ClassRow], predicted: &[u32]) -> Vec<ClassIntervals> {
    let mut n_predicted = vec![0.0; classes.len()];
    predicted.iter().for_each(|&class| n_predicted[class as usize] += 1.0);
    let intervals = |(row, n_predicted): (&ClassRow, f64)| {
        let hits = (row.metrics.recall * row.metrics.support as f64).round();
        ClassIntervals {
            label: row.label.clone(),
            precision: wilson(hits, n_predicted),
            recall: wilson(hits, row.metrics.support as f64),
        }
    };
    classes.iter().zip(n_predicted).map(intervals).collect()
}

#[cfg(test)]
mod tests {
    use super::super::weighted::Scratch;
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::random::{generator, unit_interval};

    /// A standard normal number (Box and Muller 1958).
    fn normal(random: &mut rand_pcg::Pcg64) -> f64 {
        let (u, v) = (1.0 - unit_interval(random), unit_interval(random));
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    fn classes(n: usize, random: &mut rand_pcg::Pcg64) -> (Predictions, Truth) {
        let codes: Vec<u32> = (0..n).map(|i| u32::from(5 * i >= 3 * n)).collect();
        let mut scores = Matrix::with_capacity(n, 2);
        for &code in &codes {
            let p = 1.0 / (1.0 + (0.5 - normal(random) - f64::from(code)).exp());
            scores.push_row(0.0).copy_from_slice(&[1.0 - p, p]);
        }
        let predicted = scores.rows().map(|row| u32::from(row[1] >= 0.5)).collect();
        let truth = Truth::Classes { codes, labels: vec!["a".into(), "b".into()] };
        (Predictions { scores, classes: predicted }, truth)
    }

    /// As [`classes`], with few different scores.
    fn ties(n: usize, random: &mut rand_pcg::Pcg64) -> (Predictions, Truth) {
        let (mut predictions, truth) = classes(n, random);
        let mut scores = Matrix::with_capacity(n, 2);
        for row in predictions.scores.rows() {
            let p = (row[1] * 8.0).round() / 8.0;
            scores.push_row(0.0).copy_from_slice(&[1.0 - p, p]);
        }
        predictions.scores = scores;
        (predictions, truth)
    }

    /// Three classes, of which the middle one is most often predicted.
    fn many(n: usize, random: &mut rand_pcg::Pcg64) -> (Predictions, Truth) {
        let codes: Vec<u32> = (0..n).map(|i| (i * 3 / n) as u32).collect();
        let mut scores = Matrix::with_capacity(n, 3);
        let mut predicted = Vec::new();
        for &code in &codes {
            let p = (0..3).map(|class| normal(random) + f64::from(u8::from(class == code)));
            let p: Vec<f64> = p.map(f64::exp).collect();
            let sum: f64 = p.iter().sum();
            predicted.push(if p[1] > 0.3 * sum { 1 } else { u32::from(p[2] > p[0]) * 2 });
            scores.push_row(0.0).iter_mut().zip(&p).for_each(|(score, p)| *score = p / sum);
        }
        let labels = ["a", "b", "c"].map(String::from).to_vec();
        (Predictions { scores, classes: predicted }, Truth::Classes { codes, labels })
    }

    fn values(n: usize, random: &mut rand_pcg::Pcg64) -> (Predictions, Truth) {
        let truth: Vec<f64> = (0..n).map(|_| 20.0 + 3.0 * normal(random)).collect();
        let mut scores = Matrix::with_capacity(n, 1);
        truth.iter().for_each(|value| {
            scores.push_row(value + normal(random));
        });
        (Predictions { scores, classes: Vec::new() }, Truth::Values(truth))
    }

    type Make = fn(usize, &mut rand_pcg::Pcg64) -> (Predictions, Truth);

    #[test]
    fn intervals_hold_the_true_value_as_often_as_they_say() {
        const DATA_SETS: usize = 200;
        let mut random = generator(5);
        for make in [classes as Make, values as Make] {
            // The true values, up to what many rows leave open.
            let (predictions, truth) = make(1_000_000, &mut random);
            let wanted = Metrics::new(&predictions, &truth, 1).figures();
            let mut held = vec![0; wanted.len()];
            for _ in 0..DATA_SETS {
                let (predictions, truth) = make(250, &mut random);
                let metrics = Metrics::new(&predictions, &truth, 1);
                let (found, _) = intervals(&predictions, &truth, 1, None, &metrics, &|_, _| {});
                for ((name, wanted), held) in wanted.iter().zip(&mut held) {
                    let inside = |[low, high]: [f64; 2]| wanted.is_some_and(|w| low <= w && w <= high);
                    *held += usize::from(found.of(name).is_some_and(inside));
                }
            }
            for ((name, wanted), held) in wanted.iter().zip(held) {
                let coverage = held as f64 / DATA_SETS as f64;
                // 0.95 ± three standard errors of 200 data sets.
                assert!(wanted.is_none() || (coverage - LEVEL).abs() <= 0.046, "{name}: {coverage}");
            }
        }
    }

    #[test]
    fn few_rows_have_wider_intervals_and_biased_replicates_move_them() {
        // scipy 1.17.1: sqrt(80 / 78) * t.ppf(0.975, 78), and norm.cdf of both ends.
        let ends = Ends::new(80, 2);
        assert!((ends.z - 2.016_209_200).abs() < 1e-6, "{}", ends.z);
        let sorted: Vec<f64> = (0..1000).map(f64::from).collect();
        let [low, high] = ends.shares(499.5, &sorted);
        assert!((low - 0.021_888).abs() < 1e-5 && (high - 0.978_112).abs() < 1e-5, "{low} {high}");
        // Most replicates lie below the figure, so it is likely too low.
        let [lower, upper] = ends.shares(600.0, &sorted);
        assert!(lower > low && upper > high, "{lower} {upper}");
        let many = Ends::new(1_000_000, 2);
        assert!((many.z - 1.959_967).abs() < 1e-5, "{}", many.z);
        // One row, or one of each class: all replicates that there are.
        assert!(Ends::new(1, 1).shares(0.0, &[0.0; 10]).iter().all(|share| (0.0..=1.0).contains(share)));
    }

    #[test]
    fn a_figure_of_weighted_rows_is_that_of_the_rows_written_out() {
        let mut random = generator(2);
        for (make, positive) in [
            (classes as Make, 1),
            (ties as Make, 1),
            (ties as Make, 0),
            (many as Make, 1),
            (values as Make, 1),
        ] {
            let (predictions, truth) = make(60, &mut random);
            let bootstrap = Bootstrap::new(&truth, None);
            let weighted = Weighted::new(&predictions, &truth, positive);
            let (mut weights, mut scratch) = (vec![0; 60], Scratch::default());
            for replicate in 0..20 {
                bootstrap.draw(replicate, &mut weights);
                let rows: Vec<usize> =
                    (0..60).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
                let wanted =
                    Metrics::new(&select(&predictions, &rows), &truth.select(&rows), positive).figures();
                let found = weighted.figures(&weights, &mut scratch);
                for (found, (name, wanted)) in found.into_iter().zip(wanted) {
                    let error = found.zip(wanted).map(|(found, wanted)| (found - wanted).abs());
                    assert!(error.is_none_or(|error| error < 1e-9), "{name}: {found:?} is not {wanted:?}");
                    assert_eq!(found.is_some(), wanted.is_some(), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_variance_of_a_mean_of_areas_is_that_of_its_replicates() {
        let mut random = generator(9);
        let n = 400;
        let codes: Vec<u32> = (0..n).map(|i| i * 4 / n).collect();
        let mut scores = Matrix::with_capacity(n as usize, 4);
        for &code in &codes {
            let row = scores.push_row(0.0);
            (0..4).for_each(|class| {
                row[class] = normal(&mut random) + f64::from(u8::from(class == code as usize))
            });
        }
        let predicted = codes.clone();
        let truth = Truth::Classes { codes, labels: (0..4).map(|label| label.to_string()).collect() };
        let predictions = Predictions { scores, classes: predicted };
        let bootstrap = Bootstrap::new(&truth, None);
        let weighted = Weighted::new(&predictions, &truth, 1);
        let at =
            Metrics::new(&predictions, &truth, 1).figures().iter().position(|(name, _)| *name == "roc_auc");
        let areas: Vec<f64> = bootstrap
            .map(&|_, _| {}, &|weights, scratch| weighted.figures(weights, scratch)[at.unwrap()].unwrap());
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        let variance = areas.iter().map(|area| (area - mean).powi(2)).sum::<f64>() / areas.len() as f64;
        let found = one_vs_rest_variance(&predictions, &truth).unwrap();
        assert!((found / variance - 1.0).abs() < 0.15, "{found} is not {variance}");
    }
}
