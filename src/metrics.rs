//! Slices in, numbers out: how good predictions are. Imports nothing of this crate.
//!
//! Every figure is defined as scikit-learn defines it; where a figure is undefined there (NaN or an error)
//! it is `None` here, and undefined precision or recall counts 0 (`zero_division=0`).

use serde::{Deserialize, Serialize};

/// Probabilities are kept this far from 0 and 1 before their logarithm is taken, as
/// `sklearn.metrics.log_loss` does for doubles.
const LOG_LOSS_EPSILON: f64 = f64::EPSILON;

/// The three ways to average a figure over classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Mean over the classes that occur in truth or prediction.
    #[serde(rename = "macro")]
    pub macro_average: f64,
    /// From the pooled counts; for single-label predictions equal to the accuracy.
    pub micro: f64,
    /// Mean weighted by the number of true rows.
    pub weighted: f64,
}

/// Figures of one class against the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// True positives of all predicted as this class.
    pub precision: f64,
    /// True positives of all rows of this class.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Rows of this class.
    pub support: u64,
}

/// Figures of a classification. `None`: undefined for these rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Share of rows predicted right.
    pub accuracy: Option<f64>,
    /// Mean recall of the classes that occur.
    pub balanced_accuracy: Option<f64>,
    /// Averages of the classes' precision.
    pub precision: Averages,
    /// Averages of the classes' recall.
    pub recall: Averages,
    /// Averages of the classes' F1.
    pub f1: Averages,
    /// Mean negative logarithm of the true class's probability.
    pub log_loss: Option<f64>,
    /// Area under the ROC curve; for more than two classes one-vs-rest, macro average.
    pub roc_auc: Option<f64>,
    /// Area under the precision-recall steps; two classes only.
    pub average_precision: Option<f64>,
    /// Mean squared difference of the positive class's probability from the truth; two classes only.
    pub brier: Option<f64>,
    /// Matthews correlation coefficient.
    pub mcc: Option<f64>,
}

/// Figures of a regression. `None`: undefined for these rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// Coefficient of determination.
    pub r2: Option<f64>,
    /// Root of the mean squared error, in the target's unit.
    pub rmse: Option<f64>,
    /// Mean absolute error, in the target's unit.
    pub mae: Option<f64>,
    /// Median absolute error, in the target's unit.
    pub median_ae: Option<f64>,
    /// Mean absolute error as a share of the true value (1 is 100 %); `None` if a true value is 0.
    pub mape: Option<f64>,
    /// Mean deviance of a Poisson distribution; `None` if a true value is below 0 or a prediction is not above it. Not in
    /// JSON, as few targets are counts.
    #[serde(skip)]
    pub poisson_deviance: Option<f64>,
}

/// `counts[i][j]`: rows of class `i` predicted as class `j`; all `y` are below `n_classes`.
pub fn confusion_matrix(y_true: &[u32], y_pred: &[u32], n_classes: usize) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; n_classes]; n_classes];
    for (&truth, &predicted) in y_true.iter().zip(y_pred) {
        counts[truth as usize][predicted as usize] += 1;
    }
    counts
}

/// What the figures of classes ask of a confusion matrix: its diagonal, and the sums of its rows and columns. Unlike the
/// matrix they do not grow with the square of the classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Rows of the class that are predicted as it.
    pub hits: u64,
    /// Rows of the class.
    pub support: u64,
    /// Rows that are predicted as the class.
    pub predicted: u64,
}

/// The counts of every class; all `y` are below `n_classes`.
pub fn class_counts(y_true: &[u32], y_pred: &[u32], n_classes: usize) -> Vec<ClassCounts> {
    let mut counts = vec![ClassCounts::default(); n_classes];
    for (&truth, &predicted) in y_true.iter().zip(y_pred) {
        counts[truth as usize].support += 1;
        counts[predicted as usize].predicted += 1;
        counts[truth as usize].hits += u64::from(truth == predicted);
    }
    counts
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

/// Precision, recall, F1 and support of every class.
pub fn per_class(counts: &[ClassCounts]) -> Vec<ClassMetrics> {
    let class_metrics = |&ClassCounts { hits, support, predicted }: &ClassCounts| ClassMetrics {
        precision: ratio(hits, predicted),
        recall: ratio(hits, support),
        f1: ratio(2 * hits, predicted + support),
        support,
    };
    counts.iter().map(class_metrics).collect()
}

/// The class probabilities of rows.
#[derive(Debug, Clone, Copy)]
pub struct Probabilities<'a> {
    /// `n_rows × n_classes`, row-major; one row if all rows have the same.
    pub values: &'a [f64],
    /// Numbers of a row.
    pub n_classes: usize,
    /// Whether there is one row for all.
    pub same: bool,
}

impl<'a> Probabilities<'a> {
    /// Of each of `n` rows.
    fn rows(self, n: usize) -> impl Iterator<Item = &'a [f64]> {
        let step = if self.same { 0 } else { self.n_classes };
        (0..n).map(move |row| &self.values[row * step..][..self.n_classes])
    }
}

/// All figures of a classification.
///
/// `probabilities`: for `y_true` and `y_pred` below `n_classes`; `positive`: the class that the figures for two classes
/// ask about. `n_classes` may exceed the number of classes that have probabilities: rows of a class without one have
/// probability 0 of being right.
pub fn classification(
    y_true: &[u32],
    y_pred: &[u32],
    probabilities: Probabilities,
    n_classes: usize,
    positive: usize,
) -> Classification {
    let (n, n_scored) = (y_true.len(), probabilities.n_classes);
    let counts = class_counts(y_true, y_pred, n_classes);
    let two_classes = n_scored == 2 && n_classes == 2;
    let score = |class: usize| probabilities.rows(n).map(move |row| row[class]);
    let is = |class: usize| y_true.iter().map(move |&truth| truth as usize == class);
    let positive_scores: Vec<f64> = if two_classes { score(positive).collect() } else { Vec::new() };
    let truth: Vec<bool> = is(positive).collect();
    Classification {
        log_loss: log_loss(y_true, probabilities),
        roc_auc: if two_classes {
            roc_auc(&truth, &positive_scores)
        } else if n_classes > n_scored {
            None
        } else {
            one_vs_rest_auc(y_true, probabilities, &counts)
        },
        average_precision: two_classes.then(|| average_precision(&truth, &positive_scores)).flatten(),
        brier: (two_classes && n > 0)
            .then(|| {
                let errors = truth.iter().zip(&positive_scores);
                errors.map(|(&t, p)| (p - f64::from(u8::from(t))).powi(2)).sum::<f64>() / n as f64
            })
            .filter(|brier| brier.is_finite()),
        ..of_counts(&counts)
    }
}

/// The figures of a classification that its counts alone give; those that ask for probabilities are undefined.
pub fn of_counts(counts: &[ClassCounts]) -> Classification {
    let classes = per_class(counts);
    let hits = counts.iter().map(|class| class.hits).sum();
    let n: u64 = counts.iter().map(|class| class.support).sum();
    // The classes scikit-learn averages over when it is not given a list: those that occur.
    let occurs = |class: &ClassCounts| class.support > 0 || class.predicted > 0;
    let occurring: Vec<&ClassMetrics> = counts
        .iter()
        .zip(&classes)
        .filter(|(counts, _)| occurs(counts))
        .map(|(_, metrics)| metrics)
        .collect();
    let average = |figure: fn(&ClassMetrics) -> f64| Averages {
        macro_average: occurring.iter().map(|m| figure(m)).sum::<f64>() / occurring.len().max(1) as f64,
        micro: ratio(hits, n),
        weighted: occurring.iter().map(|m| figure(m) * m.support as f64).sum::<f64>() / n.max(1) as f64,
    };
    let with_rows: Vec<f64> = classes.iter().filter(|m| m.support > 0).map(|m| m.recall).collect();
    Classification {
        accuracy: (n > 0).then(|| ratio(hits, n)),
        balanced_accuracy: (n > 0).then(|| with_rows.iter().sum::<f64>() / with_rows.len() as f64),
        precision: average(|m| m.precision),
        recall: average(|m| m.recall),
        f1: average(|m| m.f1),
        log_loss: None,
        roc_auc: None,
        average_precision: None,
        brier: None,
        mcc: (n > 0).then(|| mcc(counts)),
    }
}

/// Rows whose class got a probability so small that the log loss takes a larger one in its place.
pub fn n_zero_probability(y_true: &[u32], probabilities: Probabilities) -> usize {
    let rows = y_true.iter().zip(probabilities.rows(y_true.len()));
    rows.filter(|(truth, row)| row.get(**truth as usize).is_none_or(|p| *p < LOG_LOSS_EPSILON)).count()
}

/// The log loss of a row of probabilities whose class is `truth`.
pub(crate) fn log_loss_of(truth: u32, row: &[f64]) -> f64 {
    let p = row.get(truth as usize).copied().unwrap_or(0.0);
    -p.clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON).ln()
}

fn log_loss(y_true: &[u32], probabilities: Probabilities) -> Option<f64> {
    if y_true.is_empty() {
        return None;
    }
    let losses =
        y_true.iter().zip(probabilities.rows(y_true.len())).map(|(&truth, row)| log_loss_of(truth, row));
    // Scores of numbers far outside of the training rows may be no numbers.
    Some(losses.sum::<f64>() / y_true.len() as f64).filter(|loss| loss.is_finite())
}

/// Rows in falling order of score, cut into runs of equal score: positives and negatives of each run.
fn runs_of_equal_score(truth: &[bool], scores: &[f64]) -> Vec<(u64, u64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut last = None;
    for row in order {
        if last != Some(scores[row]) {
            runs.push((0, 0));
            last = Some(scores[row]);
        }
        if let Some((positives, negatives)) = runs.last_mut() {
            *positives += u64::from(truth[row]);
            *negatives += u64::from(!truth[row]);
        }
    }
    runs
}

/// The chance that a positive row scores above a negative one, ties counting half (Hanley and McNeil 1982);
/// `None` without rows of both kinds.
pub fn roc_auc(truth: &[bool], scores: &[f64]) -> Option<f64> {
    roc_auc_of(&runs_of_equal_score(truth, scores))
}

/// As [`roc_auc`], of the positives and negatives of each score, highest first.
pub(crate) fn roc_auc_of(runs: &[(u64, u64)]) -> Option<f64> {
    let positives: u64 = runs.iter().map(|run| run.0).sum();
    let negatives: u64 = runs.iter().map(|run| run.1).sum();
    if positives == 0 || negatives == 0 {
        return None;
    }
    // Twice the number of won pairs, in whole numbers.
    let mut doubled_wins = 0_u128;
    let mut below = u128::from(negatives);
    for &(run_positives, run_negatives) in runs {
        below -= u128::from(run_negatives);
        doubled_wins += u128::from(run_positives) * (2 * below + u128::from(run_negatives));
    }
    Some(doubled_wins as f64 / 2.0 / (positives as f64 * negatives as f64))
}

/// The mean area of each class against all others; `None` if a class has no row, or all of them.
fn one_vs_rest_auc(y_true: &[u32], probabilities: Probabilities, counts: &[ClassCounts]) -> Option<f64> {
    let n = y_true.len() as u64;
    if counts.iter().any(|class| class.support == 0 || class.support == n) {
        return None;
    }
    let mut sum = 0.0;
    for class in 0..probabilities.n_classes {
        let scores = || probabilities.rows(y_true.len()).map(|row| row[class]);
        let of_class = || y_true.iter().map(|&truth| truth as usize == class);
        let mut own: Vec<f64> =
            scores().zip(of_class()).filter(|(_, is_own)| *is_own).map(|(score, _)| score).collect();
        own.sort_unstable_by(f64::total_cmp);
        sum += if own.iter().any(|score| score.is_nan()) || scores().any(f64::is_nan) {
            roc_auc(&of_class().collect::<Vec<_>>(), &scores().collect::<Vec<_>>())?
        } else {
            // Twice the number of won pairs, in whole numbers as in `roc_auc`: a class has few rows of many, so that
            // they alone are sorted.
            let others = scores().zip(of_class()).filter(|(_, is_own)| !*is_own);
            let doubled_wins: u128 = others
                .map(|(score, _)| {
                    let not_above = own.partition_point(|own| *own <= score);
                    let below = own.partition_point(|own| *own < score);
                    (2 * (own.len() - not_above) + (not_above - below)) as u128
                })
                .sum();
            let support = counts[class].support;
            doubled_wins as f64 / 2.0 / (support as f64 * (n - support) as f64)
        };
    }
    Some(sum / probabilities.n_classes as f64)
}

/// Σ (Rₙ − Rₙ₋₁) Pₙ over falling thresholds (`sklearn.metrics.average_precision_score`); 0 without positives.
fn average_precision(truth: &[bool], scores: &[f64]) -> Option<f64> {
    if truth.is_empty() {
        return None;
    }
    Some(average_precision_of(&runs_of_equal_score(truth, scores)))
}

/// As [`average_precision`], of the positives and negatives of each score, highest first.
pub(crate) fn average_precision_of(runs: &[(u64, u64)]) -> f64 {
    let all: u64 = runs.iter().map(|run| run.0).sum();
    let (mut hits, mut taken, mut area) = (0, 0, 0.0);
    for &(positives, negatives) in runs {
        hits += positives;
        taken += positives + negatives;
        area += positives as f64 * ratio(hits, taken);
    }
    if all == 0 { 0.0 } else { area / all as f64 }
}

/// Matthews correlation for any number of classes (Gorodkin 2004); 0 where a denominator vanishes.
fn mcc(counts: &[ClassCounts]) -> f64 {
    let sum = |of: &dyn Fn(&ClassCounts) -> (u64, u64)| -> i128 {
        counts.iter().map(of).map(|(a, b)| i128::from(a) * i128::from(b)).sum()
    };
    let (correct, n) = (sum(&|class| (class.hits, 1)), sum(&|class| (class.support, 1)));
    let covariance = correct * n - sum(&|class| (class.support, class.predicted));
    let spread_true = n * n - sum(&|class| (class.support, class.support));
    let spread_pred = n * n - sum(&|class| (class.predicted, class.predicted));
    if spread_true == 0 || spread_pred == 0 {
        return 0.0;
    }
    covariance as f64 / ((spread_true as f64).sqrt() * (spread_pred as f64).sqrt())
}

/// All figures of a regression; `y_true` and `y_pred` in the target's unit. A figure too large for a number is undefined.
pub fn regression(y_true: &[f64], y_pred: &[f64]) -> Regression {
    let n = y_true.len();
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        (n > 0).then(|| values.sum::<f64>() / n as f64).filter(|mean| mean.is_finite())
    };
    let pairs = || y_true.iter().zip(y_pred);
    let mut absolute: Vec<f64> = pairs().map(|(t, p)| (t - p).abs()).collect();
    let mean_absolute = mean(&mut absolute.iter().copied());
    absolute.sort_unstable_by(f64::total_cmp);
    Regression {
        r2: r2(y_true, y_pred),
        rmse: mean(&mut pairs().map(|(t, p)| (t - p) * (t - p))).map(f64::sqrt),
        mae: mean_absolute,
        median_ae: (n > 0)
            .then(|| (absolute[(n - 1) / 2] + absolute[n / 2]) / 2.0)
            .filter(|median| median.is_finite()),
        // scikit-learn divides by 2.2e-16 in place of 0, so that one such row makes a number of no meaning.
        mape: mean(&mut pairs().map(|(t, p)| (t - p).abs() / t.abs())),
        poisson_deviance: mean(&mut pairs().map(|(&t, &p)| poisson_deviance(t, p))),
    }
}

/// The deviance of a Poisson distribution of mean `predicted` at a count; no number where that has no such mean.
pub(crate) fn poisson_deviance(truth: f64, predicted: f64) -> f64 {
    if truth < 0.0 || predicted <= 0.0 {
        return f64::NAN;
    }
    let log = if truth > 0.0 { truth * (truth / predicted).ln() } else { 0.0 };
    2.0 * (log - truth + predicted)
}

/// 1 − residual / total sum of squares; of a constant truth 1 when every row is right, else 0; `None` for
/// fewer than two rows.
fn r2(y_true: &[f64], y_pred: &[f64]) -> Option<f64> {
    let n = y_true.len();
    if n < 2 {
        return None;
    }
    let residual: f64 = y_true.iter().zip(y_pred).map(|(t, p)| (t - p) * (t - p)).sum();
    // Asked of the values, not of the rounded sum of squares below.
    if y_true.iter().all(|&t| t == y_true[0]) {
        return Some(if residual == 0.0 { 1.0 } else { 0.0 });
    }
    let mean = y_true.iter().sum::<f64>() / n as f64;
    let total: f64 = y_true.iter().map(|t| (t - mean) * (t - mean)).sum();
    Some(1.0 - residual / total).filter(|r2| r2.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, generator, unit_interval};

    fn probabilities(values: &[f64], n_classes: usize) -> Probabilities<'_> {
        Probabilities { values, n_classes, same: false }
    }

    #[test]
    fn figures_of_many_classes_are_those_of_the_whole_matrix_and_of_each_class_alone() {
        let mut random = generator(4);
        for (n_classes, n) in [(3, 40), (12, 200), (30, 2000)] {
            let y_true: Vec<u32> = (0..n)
                .map(|i| if i < n_classes { i } else { below(n_classes, &mut random) } as u32)
                .collect();
            let y_pred: Vec<u32> = y_true
                .iter()
                .map(|&y| if below(3, &mut random) == 0 { below(n_classes, &mut random) as u32 } else { y })
                .collect();
            // Few different scores, so that many are equal.
            let values: Vec<f64> =
                (0..n * n_classes).map(|_| (unit_interval(&mut random) * 9.0).floor() / 9.0).collect();
            let matrix = confusion_matrix(&y_true, &y_pred, n_classes);
            for (class, counts) in class_counts(&y_true, &y_pred, n_classes).iter().enumerate() {
                assert_eq!(counts.hits, matrix[class][class]);
                assert_eq!(counts.support, matrix[class].iter().sum::<u64>());
                assert_eq!(counts.predicted, matrix.iter().map(|row| row[class]).sum::<u64>());
            }
            let alone = (0..n_classes).map(|class| {
                let truth: Vec<bool> = y_true.iter().map(|&y| y as usize == class).collect();
                let scores: Vec<f64> = values.chunks_exact(n_classes).map(|row| row[class]).collect();
                roc_auc(&truth, &scores).unwrap()
            });
            let mean = alone.sum::<f64>() / n_classes as f64;
            let found = classification(&y_true, &y_pred, probabilities(&values, n_classes), n_classes, 1);
            assert_eq!(found.roc_auc, Some(mean), "to the last bit");
            // One row for all says what it says as often as there are rows.
            let one = Probabilities { values: &values[..n_classes], n_classes, same: true };
            let repeated = values[..n_classes].repeat(n);
            let repeated =
                classification(&y_true, &y_pred, probabilities(&repeated, n_classes), n_classes, 1);
            assert_eq!(classification(&y_true, &y_pred, one, n_classes, 1), repeated);
        }
    }

    #[test]
    fn an_error_is_no_share_of_0() {
        assert_eq!(regression(&[0.0, 2.0], &[0.5, 2.0]).mape, None);
        assert_eq!(regression(&[0.0, 2.0], &[0.0, 2.0]).mape, None);
        assert_eq!(regression(&[1.0, 2.0], &[1.5, 2.0]).mape, Some(0.25));
    }

    #[test]
    fn a_deviance_is_scikit_learns_and_only_of_counts() {
        // mean_poisson_deviance of scikit-learn 1.9.1.
        let found = regression(&[0.0, 1.0, 4.0, 2.5], &[0.5, 1.5, 3.0, 2.5]).poisson_deviance.unwrap();
        assert!((found - 0.3726315908494794).abs() < 1e-12, "{found}");
        assert_eq!(regression(&[-1.0, 2.0], &[0.5, 2.0]).poisson_deviance, None);
        assert_eq!(regression(&[1.0, 2.0], &[0.0, 2.0]).poisson_deviance, None);
    }

    #[test]
    fn rows_of_a_class_of_no_probability_are_counted() {
        let values = [1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 1.0 - 1e-17, 1e-17];
        assert_eq!(
            n_zero_probability(&[1, 0, 1, 1, 0], probabilities(&[&values[..], &[1.0, 0.0]].concat(), 2)),
            2
        );
        // A class that the model does not know.
        assert_eq!(n_zero_probability(&[2], probabilities(&values[..2], 2)), 1);
    }

    #[test]
    fn figures_that_are_no_numbers_are_undefined() {
        let found = regression(&[1.0, 2.0], &[1e300, 2.0]);
        assert_eq!((found.r2, found.rmse), (None, None));
        assert!(found.mae.is_some());
        let found = regression(&[1.0, 2.0], &[f64::NAN, 2.0]);
        assert_eq!((found.rmse, found.mae, found.mape), (None, None, None));
    }

    #[test]
    fn ties_count_half_and_one_class_has_no_auc() {
        assert_eq!(roc_auc(&[true, false], &[0.5, 0.5]), Some(0.5));
        assert_eq!(roc_auc(&[true, false, false], &[0.9, 0.1, 0.9]), Some(0.75));
        assert_eq!(roc_auc(&[true, true], &[0.1, 0.2]), None);
    }

    #[test]
    fn no_rows_have_no_figures() {
        let none = classification(&[], &[], probabilities(&[], 2), 2, 1);
        assert_eq!((none.accuracy, none.log_loss, none.mcc), (None, None, None));
        assert_eq!(regression(&[], &[]).rmse, None);
    }

    #[test]
    fn a_class_the_model_does_not_know_counts_as_wrong() {
        let found = classification(&[0, 2], &[0, 1], probabilities(&[0.9, 0.1, 0.2, 0.8], 2), 3, 1);
        assert_eq!(found.accuracy, Some(0.5));
        assert!(found.log_loss.unwrap() > 10.0);
        assert_eq!(found.roc_auc, None);
    }
}
