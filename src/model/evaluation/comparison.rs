//! Two models on the same rows: the difference of each metric, how sure it is, and a verdict in words.

use anyhow::Result;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::bootstrap::{Bootstrap, SEED, Told};
use super::intervals::{MAX_ROWS, percentile};
use super::weighted::Weighted;
use super::{Metrics, Positive, score, select};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::error::usage;
use crate::model::Model;
use crate::model::hold_out::TestRows;
use crate::model::pipeline::Predictions;
use crate::model::statistics::{mcnemar, two_sided_t};

/// A model compared with another on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// File of the other model.
    pub other: String,
    /// Rows compared.
    pub rows: usize,
    /// The differences of the metrics, this model minus the other.
    #[serde(serialize_with = "as_map")]
    pub metrics: Vec<(String, Difference)>,
    /// A test of the predictions of each row.
    pub test: PairedTest,
    /// The outcome in one sentence.
    pub verdict: String,
    /// What was decided by it, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

fn as_map<S: Serializer>(metrics: &[(String, Difference)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(metrics.len()))?;
    for (name, difference) in metrics {
        map.serialize_entry(name, difference)?;
    }
    map.end()
}

/// The difference of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The metric of this model.
    pub value: f64,
    /// The metric of the other.
    pub other: f64,
    /// The first minus the second.
    pub difference: f64,
    /// Its 95 % interval: paired bootstrap of the rows.
    pub interval: [f64; 2],
    /// Two-sided, by the same replicates.
    pub p_value: f64,
    /// What that says.
    pub verdict: Verdict,
}

/// Whether a difference is more than chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The interval lies on the better side of 0.
    #[serde(rename = "better")]
    Better,
    /// The interval lies on the worse side of 0.
    #[serde(rename = "worse")]
    Worse,
    /// The interval contains 0.
    #[serde(rename = "no difference shown")]
    NoDifferenceShown,
}

/// A test of paired predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum PairedTest {
    /// Of the rows that one model alone gets right (McNemar 1947; exact binomial below 25 such rows, else with Edwards'
    /// continuity correction).
    Mcnemar {
        /// Rows that this model alone gets right.
        only_this: u64,
        /// Rows that the other alone gets right.
        only_other: u64,
        /// Two-sided.
        p_value: f64,
    },
    /// Of the absolute errors of each row.
    PairedT {
        /// Mean difference of the absolute errors, this model minus the other.
        difference: f64,
        /// Its t statistic.
        t: f64,
        /// Two-sided.
        p_value: f64,
    },
}

/// The metrics of which less is better.
const LESS_IS_BETTER: [&str; 7] =
    ["log_loss", "brier", "rmse", "mae", "median_ae", "mape", "poisson_deviance"];

/// Compares two models on the same rows. `name`: how the other is called.
///
/// # Errors
/// Models of different targets or classes; rows that do not fit one of them.
pub(crate) fn compare(
    model: &Model,
    positive: Positive,
    name: &str,
    other: &Model,
    rows: &TestRows,
    told: Told,
) -> Result<Comparison> {
    let (target, of_other) = (&model.pipeline.schema.target, &other.pipeline.schema.target);
    let mut places = Vec::new();
    for label in &target.labels {
        places.extend(of_other.labels.iter().position(|known| known == label));
    }
    let same_classes = places.len() == target.labels.len() && of_other.labels.len() == target.labels.len();
    if target.task != of_other.task || target.name != of_other.name || !same_classes {
        return Err(usage(format!(
            "--compare {name}: the models do not predict the same: {} {:?} with {} classes, and {} {:?} with {}",
            target.task.name(),
            target.name,
            target.labels.len(),
            of_other.task.name(),
            of_other.name,
            of_other.labels.len()
        )));
    }
    let own = score(model, rows, positive)?.predictions;
    let mut theirs = score(other, rows, positive.moved(&places))?.predictions;
    if places.iter().enumerate().any(|(at, &place)| at != place) {
        // The classes of the other model in the order of this one.
        let mut scores = Matrix::with_capacity(rows.truth.len(), places.len());
        for row in theirs.scores.rows() {
            places.iter().zip(scores.push_row(0.0)).for_each(|(&place, score)| *score = row[place]);
        }
        let mut back = vec![0; places.len()];
        places.iter().zip(0_u32..).for_each(|(&place, at)| back[place] = at);
        theirs = Predictions {
            scores,
            classes: theirs.classes.iter().map(|&class| back[class as usize]).collect(),
        };
    }
    Ok(of_predictions(name, [&own, &theirs], &rows.truth, positive.class, rows.groups.as_deref(), told))
}

fn of_predictions(
    name: &str,
    both: [&Predictions; 2],
    truth: &Truth,
    positive: usize,
    groups: Option<&[u32]>,
    told: Told,
) -> Comparison {
    let metrics = both.map(|predictions| Metrics::new(predictions, truth, positive));
    let mut kept = truth.sample(MAX_ROWS, SEED);
    let (codes, _) = truth.strata();
    // As the bootstrap asks.
    kept.sort_by_key(|&row| codes[row]);
    let sampled_truth = truth.select(&kept);
    let groups: Option<Vec<u32>> = groups.map(|groups| kept.iter().map(|&row| groups[row]).collect());
    let bootstrap = Bootstrap::new(&sampled_truth, groups.as_deref());
    let weighted =
        both.map(|predictions| Weighted::new(&select(predictions, &kept), &sampled_truth, positive));
    let replicates = bootstrap.map(told, &|weights, scratch| {
        let [own, theirs] = [0, 1].map(|side: usize| weighted[side].figures(weights, scratch));
        own.into_iter().zip(theirs).map(|(a, b)| Some(a? - b?)).collect::<Vec<Option<f64>>>()
    });
    let mut differences = Vec::new();
    let figures = metrics[0].figures().into_iter().zip(metrics[1].figures());
    for (i, ((figure, value), (_, other))) in figures.enumerate() {
        let (Some(value), Some(other)) = (value, other) else { continue };
        let of_figure = || replicates.iter().map(|differences| differences[i]);
        let Some(interval) = percentile(of_figure(), bootstrap.replicates) else { continue };
        let difference = value - other;
        let n = of_figure().flatten().count() as f64;
        let side = |is_on: fn(f64) -> bool| of_figure().flatten().filter(|&d| is_on(d)).count() as f64;
        let p_value = (2.0 * (side(|d| d <= 0.0).min(side(|d| d >= 0.0)) + 1.0) / (n + 1.0)).min(1.0);
        let less_is_better = LESS_IS_BETTER.contains(&figure);
        let verdict = match interval {
            [low, _] if low > 0.0 => {
                if less_is_better {
                    Verdict::Worse
                } else {
                    Verdict::Better
                }
            }
            [_, high] if high < 0.0 => {
                if less_is_better {
                    Verdict::Better
                } else {
                    Verdict::Worse
                }
            }
            _ => Verdict::NoDifferenceShown,
        };
        differences
            .push((figure.to_string(), Difference { value, other, difference, interval, p_value, verdict }));
    }
    let test = test(both, truth);
    let verdict = in_words(name, &differences, truth.len());
    Comparison { other: name.into(), rows: truth.len(), metrics: differences, test, verdict, decision: None }
}

fn test(both: [&Predictions; 2], truth: &Truth) -> PairedTest {
    match truth {
        Truth::Classes { codes, .. } => {
            let (mut only_this, mut only_other) = (0, 0);
            for (row, &code) in codes.iter().enumerate() {
                match both.map(|predictions| predictions.classes[row] == code) {
                    [true, false] => only_this += 1,
                    [false, true] => only_other += 1,
                    _ => {}
                }
            }
            PairedTest::Mcnemar { only_this, only_other, p_value: mcnemar(only_this, only_other) }
        }
        Truth::Values(values) => {
            let error = |side: usize, row: usize| (values[row] - both[side].scores.values()[row]).abs();
            let n = values.len() as f64;
            let differences: Vec<f64> = (0..values.len()).map(|row| error(0, row) - error(1, row)).collect();
            let difference = differences.iter().sum::<f64>() / n;
            let squares: f64 = differences.iter().map(|d| (d - difference) * (d - difference)).sum();
            let standard_error = (squares / (n - 1.0) / n).sqrt();
            // The same predictions, or one row.
            if standard_error == 0.0 || !standard_error.is_finite() {
                return PairedTest::PairedT { difference, t: 0.0, p_value: 1.0 };
            }
            let t = difference / standard_error;
            PairedTest::PairedT { difference, t, p_value: two_sided_t(t, n - 1.0) }
        }
    }
}

fn in_words(other: &str, metrics: &[(String, Difference)], n_rows: usize) -> String {
    let named = |verdict: Verdict| -> Vec<&str> {
        let of_verdict = metrics.iter().filter(|(_, difference)| difference.verdict == verdict);
        of_verdict.map(|(name, _)| name.as_str()).collect()
    };
    let (better, worse) = (named(Verdict::Better), named(Verdict::Worse));
    match (better.as_slice(), worse.as_slice()) {
        ([], []) => format!("no difference from {other} is shown on {n_rows} rows"),
        (better, []) => format!("better than {other} by {}; worse by nothing shown", better.join(", ")),
        ([], worse) => format!("worse than {other} by {}; better by nothing shown", worse.join(", ")),
        (better, worse) => {
            format!("better than {other} by {}; worse by {}", better.join(", "), worse.join(", "))
        }
    }
}
