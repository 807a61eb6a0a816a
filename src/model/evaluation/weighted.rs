//! The metrics of rows that count several times or not at all, as the replicates of a bootstrap ask for them: what does
//! not depend on the weights is computed once, and a replicate is a few passes over memory in its order.

use std::ops::Range;

use super::ranking::Ranking;
use super::{Metrics, select};
use crate::data::cells::target::Truth;
use crate::metrics::{self, ClassCounts, log_loss_of, poisson_deviance};
use crate::model::pipeline::Predictions;

/// Pairs of a row and a class up to which the areas below the ROC curves of many classes are computed per replicate.
const MAX_PAIRS: usize = 20_000;

/// Memory that one replicate leaves to the next.
#[derive(Default)]
pub(super) struct Scratch {
    weights: Vec<u16>,
    own: Vec<u32>,
    others: Vec<u32>,
}

/// The rows in the order in which their metrics are computed fastest: of two classes by class and falling score, of more by
/// class and predicted class, of numbers by rising absolute error.
pub(super) fn fast_order(predictions: &Predictions, truth: &Truth, positive: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..truth.len() as u32).collect();
    let scores = &predictions.scores;
    match truth {
        Truth::Classes { codes, .. } if scores.n_cols() == 2 => {
            let score = |row: u32| scores.row(row as usize)[positive];
            order.sort_by(|&a, &b| {
                codes[a as usize].cmp(&codes[b as usize]).then_with(|| score(b).total_cmp(&score(a)))
            });
        }
        Truth::Classes { codes, .. } => {
            order.sort_by_key(|&row| (codes[row as usize], predictions.classes[row as usize]));
        }
        Truth::Values(values) => {
            let error = |row: u32| (values[row as usize] - scores.values()[row as usize]).abs();
            order.sort_by(|&a, &b| error(a).total_cmp(&error(b)));
        }
    }
    order
}

/// How a positive row ranks among those of its class and the others, each in falling order of score.
struct Place {
    /// Positive rows of no smaller score.
    own_not_below: u32,
    /// Other rows of a greater score.
    others_above: u32,
    /// Other rows of no smaller score.
    others_not_below: u32,
}

/// The rows of two classes, each in falling order of score.
struct Ranks {
    positives: Range<usize>,
    others: Range<usize>,
    /// Of each positive row.
    places: Vec<Place>,
}

impl Ranks {
    /// Of rows in the order of [`fast_order`]; `None` if a score is no number.
    fn new(scores: &[f64], codes: &[u32], positive: usize) -> Option<Self> {
        if scores.iter().any(|score| !score.is_finite()) {
            return None;
        }
        let first = codes.partition_point(|&code| code == 0);
        let (positives, others) =
            if positive == 0 { (0..first, first..codes.len()) } else { (first..codes.len(), 0..first) };
        let (own, of_others) = (&scores[positives.clone()], &scores[others.clone()]);
        let mut place = Place { own_not_below: 0, others_above: 0, others_not_below: 0 };
        let mut places = Vec::with_capacity(own.len());
        let advance = |among: &[f64], at: &mut u32, is_passed: &dyn Fn(f64) -> bool| {
            while among.get(*at as usize).is_some_and(|&score| is_passed(score)) {
                *at += 1;
            }
        };
        for &score in own {
            advance(own, &mut place.own_not_below, &|other| other >= score);
            advance(of_others, &mut place.others_above, &|other| other > score);
            advance(of_others, &mut place.others_not_below, &|other| other >= score);
            places.push(Place { ..place });
        }
        Some(Self { positives, others, places })
    }

    /// The areas below the ROC curve and below precision by recall.
    fn areas(&self, weights: &[u16], scratch: &mut Scratch) -> [Option<f64>; 2] {
        let own = &weights[self.positives.clone()];
        let n_positives = running_sums(own, &mut scratch.own);
        let n_others = running_sums(&weights[self.others.clone()], &mut scratch.others);
        let (mut doubled_losses, mut steps) = (0_u64, 0.0);
        for (place, &weight) in self.places.iter().zip(own) {
            let hits = scratch.own[place.own_not_below as usize];
            let above = scratch.others[place.others_above as usize];
            let not_below = scratch.others[place.others_not_below as usize];
            doubled_losses += u64::from(weight) * (u64::from(above) + u64::from(not_below));
            // Where none is taken yet the weight is 0.
            let taken = (u64::from(hits) + u64::from(not_below)).max(1);
            steps += f64::from(weight) * f64::from(hits) / taken as f64;
        }
        let pairs = n_positives * n_others;
        let auc = (pairs > 0.0).then(|| 1.0 - doubled_losses as f64 / 2.0 / pairs);
        [auc, Some(if n_positives > 0.0 { steps / n_positives } else { 0.0 })]
    }
}

/// Fills `sums` with the sums of the first 0, 1, … weights, and returns that of all.
fn running_sums(weights: &[u16], sums: &mut Vec<u32>) -> f64 {
    sums.clear();
    let mut sum = 0;
    sums.push(sum);
    sums.extend(weights.iter().map(|&weight| {
        sum += u32::from(weight);
        sum
    }));
    f64::from(sum)
}

fn sum(weights: &[u16]) -> u32 {
    weights.iter().map(|&weight| u32::from(weight)).sum()
}

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

    /// The area below the ROC curve.
    fn area(&self, weights: &[u16]) -> Option<f64> {
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        let (mut last_positives, mut last_negatives) = (0_u64, 0_u64);
        let mut doubled = 0_u64;
        for ((&row, &is_positive), &ends_run) in self.rows.iter().zip(&self.is_positive).zip(&self.ends_run) {
            let weight = u64::from(weights[row as usize]);
            let own = if is_positive { weight } else { 0 };
            positives += own;
            negatives += weight - own;
            if ends_run {
                doubled += (negatives - last_negatives) * (positives + last_positives);
                (last_positives, last_negatives) = (positives, negatives);
            }
        }
        let both = positives > 0 && negatives > 0;
        both.then(|| doubled as f64 / 2.0 / (positives as f64 * negatives as f64))
    }
}

/// A number of each row, with zeros up to a whole number of blocks; empty if one of them is no number.
struct Column(Vec<f64>);

/// Rows whose weights are converted at once.
const BLOCK: usize = 64;

impl Column {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Self(Vec::new());
        }
        values.resize(values.len().next_multiple_of(BLOCK), 0.0);
        Self(values)
    }
}

/// The weighted sums of each column and of its squares; no numbers of an empty one.
fn moments<const N: usize>(columns: [&Column; N], weights: &[u16]) -> [[f64; 2]; N] {
    const LANES: usize = 4;
    let mut sums = [[[0.0; LANES]; 2]; N];
    for (block, weights) in weights.chunks(BLOCK).enumerate() {
        let mut factors = [0.0; BLOCK];
        factors.iter_mut().zip(weights).for_each(|(factor, &weight)| *factor = f64::from(weight));
        for ([sums, squares], column) in sums.iter_mut().zip(&columns) {
            let Some(values) = column.0.get(block * BLOCK..(block + 1) * BLOCK) else { continue };
            for (values, factors) in values.chunks_exact(LANES).zip(factors.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    let product = values[lane] * factors[lane];
                    sums[lane] += product;
                    squares[lane] += product * values[lane];
                }
            }
        }
    }
    let mut at = 0;
    sums.map(|of_column| {
        let is_known = !columns[at].0.is_empty();
        at += 1;
        of_column.map(|lanes| if is_known { lanes.iter().sum() } else { f64::NAN })
    })
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// What the metrics of some predictions need of each row.
pub(super) struct Weighted {
    /// The rows in the order of [`fast_order`], if they were given in another one.
    order: Option<Vec<u32>>,
    kind: Kind,
}

enum Kind {
    Classes {
        /// Runs of rows of one true and one predicted class: the two, and the end of the run.
        runs: Vec<(u32, u32, usize)>,
        n_classes: usize,
        losses: Column,
        /// Two classes only: squared differences of the probability from the truth.
        squares: Column,
        /// Two classes only.
        ranks: Option<Ranks>,
        /// Of each of more classes, if there are few rows.
        orders: Option<Vec<Order>>,
    },
    Values {
        /// In rising order.
        absolute: Column,
        /// True values minus their mean.
        centred: Column,
        relative: Column,
        deviances: Column,
    },
}

impl Weighted {
    /// Of predictions, for rows of `truth`. Fastest for rows in the order of [`fast_order`].
    pub(super) fn new(predictions: &Predictions, truth: &Truth, positive: usize) -> Self {
        let order = fast_order(predictions, truth, positive);
        if order.is_sorted() {
            return Self { order: None, kind: Kind::new(predictions, truth, positive) };
        }
        let rows: Vec<usize> = order.iter().map(|&row| row as usize).collect();
        let kind = Kind::new(&select(predictions, &rows), &truth.select(&rows), positive);
        Self { order: Some(order), kind }
    }

    /// The metrics in the order of [`Metrics::figures`]; `weights` are those of the rows in the order that they were given in.
    /// A mean over the ROC curves of many rows and classes is left to [`one_vs_rest_variance`].
    pub(super) fn figures(&self, weights: &[u16], scratch: &mut Scratch) -> Vec<Option<f64>> {
        let Some(order) = &self.order else { return self.kind.figures(weights, scratch) };
        let mut own = std::mem::take(&mut scratch.weights);
        own.clear();
        own.extend(order.iter().map(|&row| weights[row as usize]));
        let figures = self.kind.figures(&own, scratch);
        scratch.weights = own;
        figures
    }
}

impl Kind {
    /// Of rows in the order of [`fast_order`].
    fn new(predictions: &Predictions, truth: &Truth, positive: usize) -> Self {
        let scores = &predictions.scores;
        match truth {
            Truth::Classes { codes, labels } => {
                let (n, n_classes, n_scored) = (codes.len(), labels.len(), scores.n_cols());
                let is_of = |class: usize| move |row: usize| codes[row] as usize == class;
                let is_two = n_classes == 2 && n_scored == 2;
                let of_positive: Vec<f64> =
                    if is_two { scores.rows().map(|row| row[positive]).collect() } else { Vec::new() };
                let ranks = is_two.then(|| Ranks::new(&of_positive, codes, positive)).flatten();
                let squares = of_positive
                    .iter()
                    .zip(codes)
                    .map(|(score, &code)| (score - f64::from(u8::from(code as usize == positive))).powi(2));
                let with_orders = !is_two && n_classes == n_scored && n * n_classes <= MAX_PAIRS;
                let orders = || -> Option<Vec<Order>> {
                    let order = |class| Order::new(|row| scores.row(row)[class], is_of(class), n);
                    (0..n_classes).map(order).collect()
                };
                let mut runs: Vec<(u32, u32, usize)> = Vec::new();
                for ((&code, &predicted), end) in codes.iter().zip(&predictions.classes).zip(1..) {
                    match runs.last_mut() {
                        Some((truth, class, last)) if (*truth, *class) == (code, predicted) => *last = end,
                        _ => runs.push((code, predicted, end)),
                    }
                }
                Self::Classes {
                    runs,
                    n_classes,
                    losses: Column::new(
                        codes.iter().zip(scores.rows()).map(|(&code, row)| log_loss_of(code, row)),
                    ),
                    squares: Column::new(squares),
                    ranks,
                    orders: with_orders.then(orders).flatten(),
                }
            }
            Truth::Values(values) => {
                let pairs = || values.iter().zip(scores.values());
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                Self::Values {
                    absolute: Column::new(pairs().map(|(t, p)| (t - p).abs())),
                    centred: Column::new(values.iter().map(|t| t - mean)),
                    relative: Column::new(pairs().map(|(t, p)| (t - p).abs() / t.abs())),
                    deviances: Column::new(pairs().map(|(&t, &p)| poisson_deviance(t, p))),
                }
            }
        }
    }

    /// As [`Weighted::figures`], with the weights in the order of the rows here.
    fn figures(&self, weights: &[u16], scratch: &mut Scratch) -> Vec<Option<f64>> {
        let metrics = match self {
            Self::Classes { runs, n_classes, losses, squares, ranks, orders } => {
                let mut counts = vec![ClassCounts::default(); *n_classes];
                let (mut start, mut n) = (0, 0.0);
                for &(truth, predicted, end) in runs {
                    let rows = u64::from(sum(&weights[start..end]));
                    start = end;
                    n += rows as f64;
                    counts[truth as usize].support += rows;
                    counts[predicted as usize].predicted += rows;
                    counts[truth as usize].hits += if truth == predicted { rows } else { 0 };
                }
                let [[loss, _], [squares, _]] = moments([losses, squares], weights);
                let areas = ranks.as_ref().map_or([None; 2], |ranks| ranks.areas(weights, scratch));
                let of_many = orders.as_ref().and_then(|orders| {
                    let areas: Option<Vec<f64>> = orders.iter().map(|order| order.area(weights)).collect();
                    areas.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64)
                });
                let mut found = metrics::of_counts(&counts);
                found.log_loss = finite(loss / n);
                found.roc_auc = areas[0].or(of_many);
                found.average_precision = areas[1];
                found.brier = ranks.as_ref().and_then(|_| finite(squares / n));
                Metrics::Classification(found)
            }
            Self::Values { absolute, centred, relative, deviances } => {
                let n = f64::from(sum(weights));
                let [of_errors, [sum, sum_squares], [relative, _], [deviance, _]] =
                    moments([absolute, centred, relative, deviances], weights);
                let total = sum_squares - sum * sum / n;
                Metrics::Regression(metrics::Regression {
                    // Replicates of one row only have no spread.
                    r2: finite(1.0 - of_errors[1] / total).filter(|_| total > 1e-12 * sum_squares),
                    rmse: finite((of_errors[1] / n).sqrt()),
                    mae: finite(of_errors[0] / n),
                    median_ae: finite(median(&absolute.0, weights, n)),
                    mape: finite(relative / n),
                    poisson_deviance: finite(deviance / n),
                })
            }
        };
        metrics.figures().into_iter().map(|(_, value)| value).collect()
    }
}

/// The median of values in rising order.
fn median(values: &[f64], weights: &[u16], n: f64) -> f64 {
    let n = n as u64;
    // The value of the draw with so many before it.
    let value_at = |rank: u64| {
        let (mut before, mut at) = (0, 0);
        for weights in weights.chunks(BLOCK) {
            let rows = u64::from(sum(weights));
            if before + rows > rank {
                break;
            }
            before += rows;
            at += weights.len();
        }
        let within = weights[at..].iter().position(|&weight| {
            before += u64::from(weight);
            before > rank
        });
        within.and_then(|within| values.get(at + within)).copied().unwrap_or(f64::NAN)
    };
    (value_at(n.saturating_sub(1) / 2) + value_at(n / 2)) / 2.0
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
