//! The evaluation of rows that come in parts, in constant memory: the figures of [`Evaluation`], part after part.
//!
//! Counts, sums and means are those of all rows, but for the rounding of their sums. What asks for the order of the scores
//! (`roc_auc`, `average_precision`, `median_ae`) is exact up to 262,144 distinct scores; beyond that, scores are cut to
//! fewer digits until at most as many are left, and those that are equal then count as ties.

use std::collections::BTreeMap;

use super::{Baseline, Context, Evaluation, Metrics};
use crate::data::cells::target::Truth;
use crate::metrics::{self, ClassCounts, Regression};
use crate::model::pipeline::Predictions;
use crate::model::postprocessing::coverage::Coverage;

/// Distinct scores that are kept, of all classes together.
const MAX_SCORES: usize = 1 << 18;

/// Classes of more than two for which scores are kept to be ordered.
const MAX_ORDERED_CLASSES: usize = 20;

/// The rows so far.
pub(crate) struct Tally {
    /// The labels: those of the model, then others that were met.
    labels: Vec<String>,
    n_known: usize,
    positive: usize,
    model: Sums,
    baseline: Sums,
    n_rows: usize,
    values: Moments,
    coverage: Option<Coverage>,
}

/// The sums of one of the two.
struct Sums {
    /// Rows by true and predicted class.
    counts: BTreeMap<(u32, u32), u64>,
    log_loss: f64,
    brier: f64,
    n_zero_probability: usize,
    squared: f64,
    absolute: f64,
    relative: f64,
    poisson: f64,
    /// For each class that is ordered, the positives and negatives of each score; of numbers the rows of each error.
    orders: Vec<Order>,
}

/// Number, mean and sum of squares around it of the true values (Welford 1962).
#[derive(Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let before = value - self.mean;
        self.mean += before / self.n;
        self.squares += before * (value - self.mean);
    }
}

/// Counts by score, a number from 0.
struct Order {
    /// Digits of the score, in bits, that are cut off.
    cut: u32,
    most: usize,
    counts: BTreeMap<u64, (u64, u64)>,
}

impl Order {
    fn new(most: usize) -> Self {
        Self { cut: 0, most, counts: BTreeMap::new() }
    }

    fn add(&mut self, score: f64, is_positive: bool) {
        // The bits of numbers from 0 are in their order; -0 is 0, and NaN above all.
        let count = self.counts.entry((score + 0.0).abs().to_bits() >> self.cut).or_default();
        count.0 += u64::from(is_positive);
        count.1 += u64::from(!is_positive);
        while self.counts.len() > self.most {
            self.cut += 1;
            let mut fewer: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            for (key, (a, b)) in std::mem::take(&mut self.counts) {
                let count = fewer.entry(key >> 1).or_default();
                *count = (count.0 + a, count.1 + b);
            }
            self.counts = fewer;
        }
    }

    /// Positives and negatives of each score, falling.
    fn runs(&self) -> Vec<(u64, u64)> {
        self.counts.values().rev().copied().collect()
    }

    /// The middle one of all scores, the mean of two if their number is even.
    fn median(&self) -> Option<f64> {
        let n: u64 = self.counts.values().map(|count| count.0).sum();
        let at = |rank: u64| {
            let mut left = rank;
            let found = self.counts.iter().find(|(_, count)| {
                let is_here = left < count.0;
                left = left.saturating_sub(count.0);
                is_here
            });
            found.map(|(key, _)| f64::from_bits(key << self.cut))
        };
        let middle = (at(n.checked_sub(1)? / 2)? + at(n / 2)?) / 2.0;
        Some(middle).filter(|median| median.is_finite())
    }
}

impl Sums {
    fn new(n_labels: usize) -> Self {
        let n_orders = match n_labels {
            0 | 2 => 1,
            1 => 0,
            n if n <= MAX_ORDERED_CLASSES => n,
            _ => 0,
        };
        let orders = (0..n_orders).map(|_| Order::new(MAX_SCORES / n_orders)).collect();
        Self {
            counts: BTreeMap::new(),
            log_loss: 0.0,
            brier: 0.0,
            n_zero_probability: 0,
            squared: 0.0,
            absolute: 0.0,
            relative: 0.0,
            poisson: 0.0,
            orders,
        }
    }

    fn class(&mut self, truth: u32, predicted: u32, row: &[f64], positive: usize) {
        *self.counts.entry((truth, predicted)).or_default() += 1;
        self.log_loss += metrics::log_loss_of(truth, row);
        let of_rows = metrics::Probabilities { values: row, n_classes: row.len(), same: false };
        self.n_zero_probability += metrics::n_zero_probability(&[truth], of_rows);
        if row.len() == 2 {
            let is_positive = truth as usize == positive;
            self.brier += (row[positive] - f64::from(u8::from(is_positive))).powi(2);
            self.orders[0].add(row[positive], is_positive);
        } else {
            for (class, order) in self.orders.iter_mut().enumerate() {
                order.add(row[class], truth as usize == class);
            }
        }
    }

    fn number(&mut self, truth: f64, predicted: f64) {
        let error = (truth - predicted).abs();
        self.squared += error * error;
        self.absolute += error;
        self.relative += error / truth.abs();
        self.poisson += metrics::poisson_deviance(truth, predicted);
        self.orders[0].add(error, true);
    }

    fn class_counts(&self, n_classes: usize) -> Vec<ClassCounts> {
        let mut counts = vec![ClassCounts::default(); n_classes];
        for (&(truth, predicted), &n) in &self.counts {
            counts[truth as usize].support += n;
            counts[predicted as usize].predicted += n;
            if truth == predicted {
                counts[truth as usize].hits += n;
            }
        }
        counts
    }

    fn metrics(&self, tally: &Tally) -> Metrics {
        let n = tally.n_rows as f64;
        let mean = |sum: f64| Some(sum / n).filter(|mean| mean.is_finite());
        let n_labels = tally.labels.len();
        if n_labels == 0 {
            return Metrics::Regression(Regression {
                r2: (tally.n_rows > 1 && tally.values.squares > 0.0)
                    .then(|| 1.0 - self.squared / tally.values.squares)
                    .filter(|r2| r2.is_finite()),
                rmse: mean(self.squared).map(f64::sqrt),
                mae: mean(self.absolute),
                median_ae: self.orders[0].median(),
                mape: mean(self.relative),
                poisson_deviance: mean(self.poisson),
            });
        }
        let two_classes = n_labels == 2 && tally.n_known == 2;
        let is_ordered = n_labels == tally.n_known && !self.orders.is_empty();
        let roc_auc = is_ordered.then(|| {
            let of_each: Option<Vec<f64>> =
                self.orders.iter().map(|order| metrics::roc_auc_of(&order.runs())).collect();
            of_each.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64)
        });
        Metrics::Classification(metrics::Classification {
            log_loss: mean(self.log_loss),
            roc_auc: roc_auc.flatten(),
            average_precision: (two_classes && n > 0.0)
                .then(|| metrics::average_precision_of(&self.orders[0].runs())),
            brier: if two_classes { mean(self.brier) } else { None },
            ..metrics::of_counts(&self.class_counts(n_labels))
        })
    }
}

impl Tally {
    /// No rows. `labels`: those of the model; none if it predicts numbers.
    pub(crate) fn new(labels: &[String], positive: usize) -> Self {
        let sums = || Sums::new(labels.len());
        Self {
            labels: labels.to_vec(),
            n_known: labels.len(),
            positive,
            model: sums(),
            baseline: sums(),
            n_rows: 0,
            values: Moments::default(),
            coverage: None,
        }
    }

    /// Adds rows; `baseline` is the prediction for each of them that takes no notice of the features, with its class.
    pub(crate) fn add(&mut self, predictions: &Predictions, truth: &Truth, baseline: &Baseline, class: u32) {
        self.n_rows += truth.len();
        let rows = predictions.scores.rows();
        match (truth, baseline) {
            (Truth::Classes { codes, labels }, Baseline::ClassShares(shares)) => {
                // Labels that the model does not know are numbered as they are met in the part.
                let places: Vec<u32> = labels.iter().map(|label| self.place(label)).collect();
                for ((&code, &predicted), row) in codes.iter().zip(&predictions.classes).zip(rows) {
                    let truth = places[code as usize];
                    self.model.class(truth, predicted, row, self.positive);
                    self.baseline.class(truth, class, shares, self.positive);
                }
            }
            (Truth::Values(values), Baseline::Mean(mean)) => {
                for (&value, row) in values.iter().zip(rows) {
                    self.values.add(value);
                    self.model.number(value, row[0]);
                    self.baseline.number(value, *mean);
                }
            }
            // A model and its baseline are of one task.
            _ => {}
        }
    }

    /// Notes how often intervals or sets hold the truth of `n_rows` that are to be added.
    pub(crate) fn cover(&mut self, coverage: Option<Coverage>, n_rows: usize) {
        let n = self.n_rows;
        self.coverage = match (self.coverage.take(), coverage) {
            (Some(before), Some(more)) => Some(before.with(n, &more, n_rows)),
            (before, more) => before.or(more),
        };
    }

    fn place(&mut self, label: &String) -> u32 {
        let found = self.labels.iter().position(|other| other == label);
        found.unwrap_or_else(|| {
            self.labels.push(label.clone());
            self.labels.len() - 1
        }) as u32
    }

    /// Rows so far.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Rows of labels that the model does not know, which count as wrong.
    pub(crate) fn n_unknown(&self) -> u64 {
        let counts = self.model.counts.iter();
        counts.filter(|((truth, _), _)| *truth as usize >= self.n_known).map(|(_, n)| n).sum()
    }

    /// The evaluation of all rows.
    pub(crate) fn evaluation(&self, context: Context) -> Evaluation {
        let target = context.target;
        let n = self.labels.len();
        let mut evaluation = Evaluation {
            task: target.task,
            algorithm: context.algorithm.into(),
            target: target.name.clone(),
            n_rows: self.n_rows,
            positive: (self.n_known == 2).then(|| target.json_label(&self.labels[self.positive])),
            threshold: context.threshold,
            unknown_labels: None,
            n_zero_probability: self.model.n_zero_probability,
            coverage: self.coverage.clone(),
            metrics: self.model.metrics(self),
            baseline: self.baseline.metrics(self),
            classes: None,
            confusion_matrix: None,
        };
        if n > 0 {
            let matrix = || {
                let mut counts = vec![vec![0; n]; n];
                for (&(truth, predicted), &n) in &self.model.counts {
                    counts[truth as usize][predicted as usize] = n;
                }
                counts
            };
            evaluation.set_classes(target, &self.labels, &self.model.class_counts(n), &matrix);
        }
        evaluation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::data::cells::target::Target;
    use crate::model::pipeline::Decision;
    use crate::random::{below, generator, unit_interval};

    fn target(labels: &[&str]) -> Target {
        let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
        let task = if labels.is_empty() { Task::Regression } else { Task::Classification };
        Target { name: "y".into(), task, numeric_labels: false, notation: None, labels }
    }

    /// Rows, in parts and all at once.
    fn compared(labels: &[&str], n: usize, digits: f64) -> [Evaluation; 2] {
        let target = target(labels);
        let mut random = generator(5);
        let mut draw = || (unit_interval(&mut random) * digits).round() / digits;
        let k = labels.len().max(1);
        let mut scores = Matrix::with_capacity(n, k);
        for _ in 0..n {
            let row: Vec<f64> = (0..k).map(|_| draw() + 0.01).collect();
            let sum: f64 = if k > 1 { row.iter().sum() } else { 1.0 };
            row.iter().zip(scores.push_row(0.0)).for_each(|(value, slot)| *slot = value / sum);
        }
        let mut random = generator(6);
        let all = target.labels.clone();
        let truth = if labels.is_empty() {
            Truth::Values((0..n).map(|_| unit_interval(&mut random) + 1.0).collect())
        } else {
            Truth::Classes {
                codes: (0..n).map(|_| below(k, &mut random) as u32).collect(),
                labels: all.clone(),
            }
        };
        let class = |row: &[f64]| Decision::MostProbable.class(row);
        let classes = |scores: &Matrix| if k > 1 { scores.rows().map(class).collect() } else { Vec::new() };
        let baseline = Baseline::fit(&truth);
        let context =
            Context { algorithm: "tree", target: &target, baseline: &baseline, positive: 1, threshold: None };
        let mut tally = Tally::new(&all, 1);
        let rows: Vec<usize> = (0..n).collect();
        for part in rows.chunks(97) {
            let mut of_part = Matrix::with_capacity(part.len(), k);
            part.iter().for_each(|&row| of_part.push_row(0.0).copy_from_slice(scores.row(row)));
            let predictions = Predictions { classes: classes(&of_part), scores: of_part };
            let of_baseline = match &baseline {
                Baseline::ClassShares(shares) => class(shares),
                Baseline::Mean(_) => 0,
            };
            tally.add(&predictions, &truth.select(part), &baseline, of_baseline);
        }
        let predictions = Predictions { classes: classes(&scores), scores };
        [tally.evaluation(context), Evaluation::new(context, &predictions, &truth)]
    }

    #[test]
    fn an_evaluation_in_parts_is_that_of_all_rows() {
        for (labels, digits) in
            [(&["a", "b"][..], 1e9), (&["a", "b"], 10.0), (&["a", "b", "c", "d"], 1e3), (&[], 1e9)]
        {
            let [parts, whole] = compared(labels, 1500, digits);
            for (parts, whole) in [(&parts.metrics, &whole.metrics), (&parts.baseline, &whole.baseline)] {
                for ((name, ours), (_, theirs)) in parts.figures().into_iter().zip(whole.figures()) {
                    let near = match (ours, theirs) {
                        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                        (a, b) => a == b,
                    };
                    assert!(near, "{labels:?} {name}: {ours:?} and {theirs:?}");
                }
            }
            assert_eq!(parts.classes, whole.classes);
            assert_eq!(parts.confusion_matrix, whole.confusion_matrix);
            assert_eq!((parts.n_rows, parts.positive), (whole.n_rows, whole.positive));
        }
    }

    #[test]
    fn scores_beyond_a_number_of_distinct_ones_are_cut_and_hardly_change_the_order() {
        let mut random = generator(9);
        let (mut exact, mut cut) = (Order::new(usize::MAX), Order::new(1000));
        for _ in 0..20_000 {
            let score = unit_interval(&mut random);
            let is_positive = unit_interval(&mut random) < score;
            exact.add(score, is_positive);
            cut.add(score, is_positive);
        }
        assert!(cut.counts.len() <= 1000 && exact.counts.len() > 19_000);
        let [a, b] = [&exact, &cut].map(|order| metrics::roc_auc_of(&order.runs()).unwrap());
        assert!((a - b).abs() < 1e-4 && a != b, "{a} and {b}");
    }
}
