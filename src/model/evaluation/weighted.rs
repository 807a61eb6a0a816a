//! The metrics of rows that count several times or not at all, as the replicates of a bootstrap ask for them: what does
//! not depend on the weights is computed once.

use crate::data::cells::target::Truth;
use crate::metrics::{self, ClassCounts, log_loss_of, poisson_deviance};
use crate::model::pipeline::Predictions;

use super::Metrics;
use super::ranking::Ranking;

/// Pairs of a row and a class up to which the areas below the ROC curves of many classes are computed per replicate.
const MAX_PAIRS: usize = 20_000;

/// Rows in falling order of a score, and where runs of equal scores end.
struct Order {
    rows: Vec<u32>,
    is_positive: Vec<bool>,
    ends_run: Vec<bool>,
}

impl Order {
    fn new(score: impl Fn(usize) -> f64, is_positive: impl Fn(usize) -> bool, n: usize) -> Option<Self> {
        if (0..n).any(|row| !score(row).is_finite()) {
            return None;
        }
        let mut rows: Vec<u32> = (0..n as u32).collect();
        rows.sort_by(|&a, &b| score(b as usize).total_cmp(&score(a as usize)));
        let of = |at: usize| score(rows[at] as usize);
        let ends_run = (0..n).map(|at| at + 1 == n || of(at + 1) != of(at)).collect();
        let is_positive = rows.iter().map(|&row| is_positive(row as usize)).collect();
        Some(Self { rows, is_positive, ends_run })
    }

    /// The areas below the ROC curve and below precision by recall.
    fn areas(&self, weights: &[u32]) -> [Option<f64>; 2] {
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        let (mut last_positives, mut last_negatives) = (0_u64, 0_u64);
        let (mut doubled, mut steps) = (0_u64, 0.0);
        for ((&row, &is_positive), &ends_run) in self.rows.iter().zip(&self.is_positive).zip(&self.ends_run) {
            let weight = u64::from(weights[row as usize]);
            let own = if is_positive { weight } else { 0 };
            positives += own;
            negatives += weight - own;
            if ends_run && positives + negatives > last_positives + last_negatives {
                doubled += (negatives - last_negatives) * (positives + last_positives);
                if positives > last_positives {
                    steps += (positives - last_positives) as f64 * positives as f64
                        / (positives + negatives) as f64;
                }
                (last_positives, last_negatives) = (positives, negatives);
            }
        }
        let both = positives > 0 && negatives > 0;
        let auc = both.then(|| doubled as f64 / 2.0 / (positives as f64 * negatives as f64));
        [auc, Some(if positives > 0 { steps / positives as f64 } else { 0.0 })]
    }
}

/// The areas below the ROC curves of more than two classes.
enum ManyAreas {
    /// Two classes, or an undefined mean.
    None,
    /// Per replicate.
    Orders(Vec<Order>),
}

/// What the metrics of some predictions need of each row.
pub(super) struct Weighted(Kind);

enum Kind {
    Classes {
        /// True and predicted class.
        pairs: Vec<(u32, u32)>,
        n_classes: usize,
        losses: Vec<f64>,
        /// Two classes only.
        two: Option<(Order, Vec<f64>)>,
        many: ManyAreas,
    },
    Values {
        errors: Vec<f64>,
        /// True values minus their mean.
        centred: Vec<f64>,
        relative: Vec<f64>,
        deviances: Vec<f64>,
        /// Rows in rising order of absolute error.
        order: Vec<u32>,
    },
}

impl Weighted {
    /// Of predictions, for rows of `truth`.
    pub(super) fn new(predictions: &Predictions, truth: &Truth, positive: usize) -> Self {
        let scores = &predictions.scores;
        Self(match truth {
            Truth::Classes { codes, labels } => {
                let (n, n_classes, n_scored) = (codes.len(), labels.len(), scores.n_cols());
                let is_of = |class: usize| move |row: usize| codes[row] as usize == class;
                let of_two = n_classes == 2 && n_scored == 2;
                let order = of_two.then(|| Order::new(|row| scores.row(row)[positive], is_of(positive), n));
                let squares = |row: usize| {
                    (scores.row(row)[positive] - f64::from(u8::from(is_of(positive)(row)))).powi(2)
                };
                let exact = !of_two && n_classes == n_scored && n * n_classes <= MAX_PAIRS;
                let orders = || -> Option<Vec<Order>> {
                    let order = |class| Order::new(|row| scores.row(row)[class], is_of(class), n);
                    (0..n_classes).map(order).collect()
                };
                Kind::Classes {
                    pairs: codes.iter().copied().zip(predictions.classes.iter().copied()).collect(),
                    n_classes,
                    losses: codes
                        .iter()
                        .zip(scores.rows())
                        .map(|(&code, row)| log_loss_of(code, row))
                        .collect(),
                    two: order.flatten().map(|order| (order, (0..n).map(squares).collect())),
                    many: exact.then(orders).flatten().map_or(ManyAreas::None, ManyAreas::Orders),
                }
            }
            Truth::Values(values) => {
                let predicted = scores.values();
                let pairs = || values.iter().zip(predicted);
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                let errors: Vec<f64> = pairs().map(|(t, p)| t - p).collect();
                let mut order: Vec<u32> = (0..errors.len() as u32).collect();
                order.sort_by(|&a, &b| errors[a as usize].abs().total_cmp(&errors[b as usize].abs()));
                Kind::Values {
                    centred: values.iter().map(|t| t - mean).collect(),
                    relative: pairs().map(|(t, p)| (t - p).abs() / t.abs()).collect(),
                    deviances: pairs().map(|(&t, &p)| poisson_deviance(t, p)).collect(),
                    errors,
                    order,
                }
            }
        })
    }

    /// The metrics in the order of [`Metrics::figures`]. A mean over the ROC curves of many rows and classes is left to
    /// [`one_vs_rest_variance`].
    pub(super) fn figures(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let n = weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        let mean = |values: &[f64]| {
            let sum: f64 =
                values.iter().zip(weights).map(|(v, &w)| if w > 0 { v * f64::from(w) } else { 0.0 }).sum();
            Some(sum / n).filter(|mean| mean.is_finite())
        };
        let metrics = match &self.0 {
            Kind::Classes { pairs, n_classes, losses, two, many } => {
                let mut counts = vec![ClassCounts::default(); *n_classes];
                for (&(truth, predicted), &weight) in pairs.iter().zip(weights) {
                    let weight = u64::from(weight);
                    counts[truth as usize].support += weight;
                    counts[predicted as usize].predicted += weight;
                    counts[truth as usize].hits += if truth == predicted { weight } else { 0 };
                }
                let areas = two.as_ref().map_or([None; 2], |(order, _)| order.areas(weights));
                let of_many = match many {
                    ManyAreas::None => None,
                    ManyAreas::Orders(orders) => {
                        let areas: Option<Vec<f64>> =
                            orders.iter().map(|order| order.areas(weights)[0]).collect();
                        areas.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64)
                    }
                };
                let mut found = metrics::of_counts(&counts);
                found.log_loss = mean(losses);
                found.roc_auc = areas[0].or(of_many);
                found.average_precision = areas[1];
                found.brier = two.as_ref().and_then(|(_, squares)| mean(squares));
                Metrics::Classification(found)
            }
            Kind::Values { errors, centred, relative, deviances, order } => {
                let (mut squares, mut absolute, mut sum, mut sum_squares) = (0.0, 0.0, 0.0, 0.0);
                for ((error, t), &weight) in errors.iter().zip(centred).zip(weights) {
                    let weight = f64::from(weight);
                    squares += weight * error * error;
                    absolute += weight * error.abs();
                    sum += weight * t;
                    sum_squares += weight * t * t;
                }
                let total = sum_squares - sum * sum / n;
                let finite = |value: f64| Some(value).filter(|value| value.is_finite());
                Metrics::Regression(metrics::Regression {
                    // Replicates of one row only have no spread.
                    r2: finite(1.0 - squares / total).filter(|_| total > 1e-12 * sum_squares),
                    rmse: finite((squares / n).sqrt()),
                    mae: finite(absolute / n),
                    median_ae: finite(median(errors, order, weights, n)),
                    mape: mean(relative),
                    poisson_deviance: mean(deviances),
                })
            }
        };
        metrics.figures().into_iter().map(|(_, value)| value).collect()
    }
}

/// The median absolute error of rows in rising order.
fn median(errors: &[f64], order: &[u32], weights: &[u32], n: f64) -> f64 {
    let n = n as u64;
    let (low, high) = (n.saturating_sub(1) / 2, n / 2);
    let (mut seen, mut lower) = (0_u64, None);
    for &row in order {
        seen += u64::from(weights[row as usize]);
        let error = errors[row as usize].abs();
        if lower.is_none() && seen > low {
            lower = Some(error);
        }
        if seen > high {
            return (lower.unwrap_or(error) + error) / 2.0;
        }
    }
    f64::NAN
}

/// The variance of the mean area below the one-vs-rest ROC curves under resampling within classes, by the placements of
/// rows among the others (DeLong, DeLong and Clarke-Pearson 1988); `None` if an area is undefined.
pub(super) fn one_vs_rest_variance(predictions: &Predictions, truth: &Truth) -> Option<f64> {
    let Truth::Classes { codes, labels } = truth else { return None };
    let scores = &predictions.scores;
    let n_classes = labels.len();
    if n_classes != scores.n_cols() {
        return None;
    }
    // What each row adds to the mean of the areas.
    let mut parts = vec![0.0; codes.len()];
    for class in 0..n_classes {
        let rows = || scores.rows().zip(codes).map(|(row, &code)| (row[class], code as usize == class));
        let ranking = Ranking::new(rows().collect()).filter(Ranking::has_both)?;
        let (n_positives, n_negatives) = (ranking.n_positives() as f64, ranking.n_negatives() as f64);
        for ((score, is_positive), part) in rows().zip(&mut parts) {
            let run = ranking.scores.partition_point(|other| *other > score);
            let before = |counts: &[u64]| run.checked_sub(1).map_or(0, |run| counts[run]) as f64;
            let (counts, n) = if is_positive {
                (&ranking.negatives, n_negatives)
            } else {
                (&ranking.positives, n_positives)
            };
            let halves = (before(counts) + counts[run] as f64) / 2.0;
            *part += if is_positive { (n - halves) / n / n_positives } else { halves / n / n_negatives };
        }
    }
    let (mut sums, mut counts) = (vec![0.0; n_classes], vec![0.0; n_classes]);
    for (&code, part) in codes.iter().zip(&parts) {
        sums[code as usize] += part;
        counts[code as usize] += 1.0;
    }
    let squares = codes.iter().zip(&parts).map(|(&code, part)| {
        let class = code as usize;
        (part - sums[class] / counts[class]).powi(2)
    });
    Some(squares.sum::<f64>() / (n_classes * n_classes) as f64)
}
