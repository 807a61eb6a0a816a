//! The curves of a classification: ROC, precision-recall, calibration, histograms of scores, gain and lift.
//!
//! Two classes have one curve, that of the positive class; more have one per class against the rest, and averages.
//! Areas are those of all rows; the points are thinned to what a reader can see.

use rayon::prelude::*;
use serde::Serialize;

use super::ranking::{Ranking, thinned};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Target;
use crate::model::statistics::{quantile, wilson};
use crate::order;
use crate::parallel;

/// The most points of a curve.
pub const MAX_POINTS: usize = 1000;

/// The most points of the curves of all classes, and the fewest of one.
const MAX_POINTS_OF_ALL: usize = 5_000;
const MIN_POINTS: usize = 100;

/// The most classes with curves of their own, the most frequent first.
pub const MAX_CLASSES: usize = 100;

/// The most pairs of a row and a class that the micro averages are made of.
const MAX_PAIRS: usize = 20_000_000;

/// Bins of calibration curves.
const CALIBRATION_BINS: usize = 10;

/// Bins of score histograms.
const SCORE_BINS: usize = 20;

/// Points of a mean over classes, from 0 to 1.
const MACRO_POINTS: usize = 201;

/// All curves of a classification.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Curves {
    /// True positive rate by false positive rate.
    pub roc: Vec<RocCurve>,
    /// Of more than two classes: over all pairs of a row and a class (micro), and the mean over classes (macro).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_averages: Option<Averaged<RocCurve>>,
    /// Precision by recall.
    pub precision_recall: Vec<PrecisionRecallCurve>,
    /// Of more than two classes, as for the ROC curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision_recall_averages: Option<Averaged<PrecisionRecallCurve>>,
    /// Observed share by predicted probability.
    pub calibration: Vec<CalibrationCurve>,
    /// Rows by predicted probability, those of the class and all others.
    pub scores: Vec<ScoreHistogram>,
    /// Positives found among the rows of the highest scores.
    pub gain: Vec<GainCurve>,
    /// Classes without curves of their own, as there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub n_classes_left_out: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A curve for all classes at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Averaged<C> {
    /// Each pair of a row and a class counts as one row.
    pub micro: C,
    /// The mean over classes.
    #[serde(rename = "macro")]
    pub macro_average: C,
}

/// A receiver operating characteristic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RocCurve {
    /// The class; none for an average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<serde_json::Value>,
    /// False positive rates, rising from 0 to 1.
    pub fpr: Vec<f64>,
    /// True positive rates.
    pub tpr: Vec<f64>,
    /// A row is predicted as the class from this probability; infinite at the first point, which is null in JSON. Empty
    /// for a macro average.
    pub thresholds: Vec<f64>,
    /// The area below; undefined without rows of both kinds.
    pub auc: Option<f64>,
    /// The largest difference of the two rates (Kolmogorov-Smirnov statistic of the scores of both kinds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ks: Option<KolmogorovSmirnov>,
}

/// The largest difference between the distributions of the scores of positives and negatives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KolmogorovSmirnov {
    /// The difference, from 0 to 1.
    pub statistic: f64,
    /// The probability at which it is reached.
    pub threshold: f64,
}

/// Precision by recall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrecisionRecallCurve {
    /// The class; none for an average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<serde_json::Value>,
    /// Precisions; the first point is that of the highest threshold, preceded by precision 1 at recall 0.
    pub precision: Vec<f64>,
    /// Recalls, rising from 0.
    pub recall: Vec<f64>,
    /// As for the ROC curve.
    pub thresholds: Vec<f64>,
    /// The area below its steps; undefined without positives.
    pub average_precision: Option<f64>,
}

/// Observed share by predicted probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationCurve {
    /// The class.
    pub label: serde_json::Value,
    /// Bins of equal width, as `sklearn.calibration.calibration_curve` makes them.
    #[serde(flatten)]
    pub equal_width: CalibrationBins,
    /// Bins of about equally many rows.
    pub equal_mass: CalibrationBins,
}

impl CalibrationCurve {
    fn of(label: serde_json::Value, ranking: &Ranking) -> Self {
        Self { label, equal_width: equal_width(ranking), equal_mass: equal_mass(ranking) }
    }
}

/// Bins of predicted probability; those without rows are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CalibrationBins {
    /// Mean probability of each bin.
    pub predicted: Vec<f64>,
    /// Share of its rows that are of the class.
    pub observed: Vec<f64>,
    /// The 95 % Wilson interval of that share.
    pub observed_interval: Vec<[f64; 2]>,
    /// Its rows.
    pub rows: Vec<u64>,
    /// Expected calibration error: the mean difference of the two, weighted by rows (Naeini, Cooper and Hauskrecht 2015).
    pub ece: Option<f64>,
}

/// Rows by predicted probability of a class, in bins of equal width from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreHistogram {
    /// The class.
    pub label: serde_json::Value,
    /// Rows of the class.
    pub positives: Vec<u64>,
    /// All other rows.
    pub negatives: Vec<u64>,
}

/// Gain and lift of a class: what the rows of the highest scores hold of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GainCurve {
    /// The class.
    pub label: serde_json::Value,
    /// Share of all rows, rising from 0 to 1.
    pub share: Vec<f64>,
    /// Share of the rows of the class that are among them.
    pub gain: Vec<f64>,
    /// Gain by share: how many times more of the class than among as many rows at random.
    pub lift: Vec<f64>,
}

/// Share of rows whose class is among the `k` most probable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TopK {
    /// Classes that count as found.
    pub k: usize,
    /// The share.
    pub accuracy: f64,
}

/// The curves of one class against the rest.
struct OneClass {
    roc: RocCurve,
    precision_recall: PrecisionRecallCurve,
    calibration: CalibrationCurve,
    scores: ScoreHistogram,
    gain: GainCurve,
    /// Rates and precisions at the points of a mean over classes.
    at_macro_points: Option<[Vec<f64>; 2]>,
}

/// The curves of rows with these probabilities and classes. Of two classes they are about the class `positive`. A class is
/// left out if one of its probabilities is no number.
pub(super) fn curves(target: &Target, positive: usize, scores: &Matrix, codes: &[u32]) -> Curves {
    let n_classes = scores.n_cols();
    let classes: Vec<usize> = if n_classes == 2 { vec![positive] } else { most_frequent(codes, n_classes) };
    let max_points = (MAX_POINTS_OF_ALL / classes.len().max(1)).clamp(MIN_POINTS, MAX_POINTS);
    let found = parallel::map_indices(classes.len(), &|i| {
        let class = classes[i];
        let rows = scores.rows().zip(codes).map(|(row, &code)| (row[class], code as usize == class));
        one_class(target.json_label(&target.labels[class]), rows.collect(), max_points)
    });
    let mut curves = Curves {
        n_classes_left_out: if n_classes == 2 { 0 } else { n_classes - classes.len() },
        ..Curves::default()
    };
    let mut at_macro_points = Vec::new();
    for class in found.into_iter().flatten() {
        curves.roc.push(class.roc);
        curves.precision_recall.push(class.precision_recall);
        curves.calibration.push(class.calibration);
        curves.scores.push(class.scores);
        curves.gain.push(class.gain);
        at_macro_points.extend(class.at_macro_points);
    }
    if n_classes > 2 && scores.values().len() <= MAX_PAIRS {
        add_averages(&mut curves, &at_macro_points, scores, codes);
    }
    curves
}

/// The calibration curves alone, of the classes that have curves.
pub(super) fn calibration_curves(
    target: &Target,
    positive: usize,
    scores: &Matrix,
    codes: &[u32],
) -> Vec<CalibrationCurve> {
    let n_classes = scores.n_cols();
    let classes: Vec<usize> = if n_classes == 2 { vec![positive] } else { most_frequent(codes, n_classes) };
    let of_class = |class: usize| {
        let rows = scores.rows().zip(codes).map(|(row, &code)| (row[class], code as usize == class));
        let ranking = Ranking::new(rows.collect())?;
        Some(CalibrationCurve::of(target.json_label(&target.labels[class]), &ranking))
    };
    classes.into_iter().filter_map(of_class).collect()
}

/// The classes that have curves, in their order.
fn most_frequent(codes: &[u32], n_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; n_classes];
    for &code in codes.iter().filter(|code| (**code as usize) < n_classes) {
        counts[code as usize] += 1_u64;
    }
    let mut classes: Vec<usize> = (0..n_classes).collect();
    order::sort_by(&mut classes, |&a, &b| counts[b].cmp(&counts[a]).then(a.cmp(&b)));
    classes.truncate(MAX_CLASSES);
    classes.sort_unstable();
    classes
}

fn one_class(label: serde_json::Value, rows: Vec<(f64, bool)>, max_points: usize) -> Option<OneClass> {
    let scores = histogram(&label, &rows);
    let ranking = Ranking::new(rows)?;
    let calibration = CalibrationCurve::of(label.clone(), &ranking);
    Some(OneClass {
        roc: roc(Some(label.clone()), &ranking, max_points),
        precision_recall: precision_recall(Some(label.clone()), &ranking, max_points),
        calibration,
        scores,
        gain: gain(label, &ranking, max_points),
        at_macro_points: ranking.has_both().then(|| at_macro_points(&ranking)),
    })
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn picked(values: &[f64], kept: &[usize]) -> Vec<f64> {
    kept.iter().map(|&i| values[i]).collect()
}

/// A number before those of the runs.
fn after(first: f64, runs: impl Iterator<Item = f64>) -> Vec<f64> {
    std::iter::once(first).chain(runs).collect()
}

fn roc(label: Option<serde_json::Value>, ranking: &Ranking, max_points: usize) -> RocCurve {
    let (n_positives, n_negatives) = (ranking.n_positives(), ranking.n_negatives());
    let fpr = after(0.0, ranking.negatives.iter().map(|&n| share(n, n_negatives)));
    let tpr = after(0.0, ranking.positives.iter().map(|&n| share(n, n_positives)));
    let thresholds = after(f64::INFINITY, ranking.scores.iter().copied());
    let largest =
        (1..fpr.len()).max_by(|&a, &b| (tpr[a] - fpr[a]).total_cmp(&(tpr[b] - fpr[b])).then(b.cmp(&a)));
    let ks = largest
        .filter(|_| ranking.has_both())
        .map(|at| KolmogorovSmirnov { statistic: (tpr[at] - fpr[at]).max(0.0), threshold: thresholds[at] });
    let kept = thinned(&fpr, &tpr, max_points);
    RocCurve {
        label,
        fpr: picked(&fpr, &kept),
        tpr: picked(&tpr, &kept),
        thresholds: picked(&thresholds, &kept),
        auc: ranking.roc_auc(),
        ks,
    }
}

fn precision_recall(
    label: Option<serde_json::Value>,
    ranking: &Ranking,
    max_points: usize,
) -> PrecisionRecallCurve {
    let runs = || ranking.positives.iter().zip(&ranking.negatives);
    let precision = after(1.0, runs().map(|(&hits, &others)| share(hits, hits + others)));
    let recall = after(0.0, ranking.positives.iter().map(|&n| share(n, ranking.n_positives())));
    let thresholds = after(f64::INFINITY, ranking.scores.iter().copied());
    let kept = thinned(&recall, &precision, max_points);
    PrecisionRecallCurve {
        label,
        precision: picked(&precision, &kept),
        recall: picked(&recall, &kept),
        thresholds: picked(&thresholds, &kept),
        average_precision: ranking.average_precision(),
    }
}

fn gain(label: serde_json::Value, ranking: &Ranking, max_points: usize) -> GainCurve {
    let n = ranking.n_positives() + ranking.n_negatives();
    let runs = || ranking.positives.iter().zip(&ranking.negatives);
    let of_rows = after(0.0, runs().map(|(&a, &b)| share(a + b, n)));
    let of_class = after(0.0, ranking.positives.iter().map(|&hits| share(hits, ranking.n_positives())));
    let kept = thinned(&of_rows, &of_class, max_points);
    let (share, gain) = (picked(&of_rows, &kept), picked(&of_class, &kept));
    // Among no rows there is no more than among any: the lift starts as it goes on.
    let mut lift: Vec<f64> = share.iter().zip(&gain).map(|(&share, &gain)| gain / share).collect();
    if let [first, second, ..] = lift.as_mut_slice() {
        *first = *second;
    }
    GainCurve { label, share, gain, lift }
}

fn histogram(label: &serde_json::Value, rows: &[(f64, bool)]) -> ScoreHistogram {
    let mut found = ScoreHistogram {
        label: label.clone(),
        positives: vec![0; SCORE_BINS],
        negatives: vec![0; SCORE_BINS],
    };
    for (score, is_positive) in rows {
        let bin = ((score * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
        if *is_positive { found.positives[bin] += 1 } else { found.negatives[bin] += 1 }
    }
    found
}

/// Positives, negatives and the sum of scores of each bin.
fn bins(ranking: &Ranking, inner_edges: &[f64]) -> CalibrationBins {
    let mut sums = vec![(0_u64, 0_u64, 0.0); inner_edges.len() + 1];
    let (mut positives, mut negatives) = (0, 0);
    for (i, &score) in ranking.scores.iter().enumerate() {
        // As `numpy.searchsorted` on the left: a score at an edge is in the bin below.
        let bin = &mut sums[inner_edges.partition_point(|edge| *edge < score)];
        let (own, others) = (ranking.positives[i] - positives, ranking.negatives[i] - negatives);
        (positives, negatives) = (ranking.positives[i], ranking.negatives[i]);
        *bin = (bin.0 + own, bin.1 + others, bin.2 + score * (own + others) as f64);
    }
    let mut found = CalibrationBins::default();
    let mut error = 0.0;
    for (own, others, sum) in sums.into_iter().filter(|bin| bin.0 + bin.1 > 0) {
        let n = own + others;
        let (predicted, observed) = (sum / n as f64, share(own, n));
        error += n as f64 * (predicted - observed).abs();
        found.predicted.push(predicted);
        found.observed.push(observed);
        found.observed_interval.extend(wilson(own as f64, n as f64));
        found.rows.push(n);
    }
    let n = positives + negatives;
    found.ece = (n > 0).then(|| error / n as f64);
    found
}

fn equal_width(ranking: &Ranking) -> CalibrationBins {
    let width = 1.0 / CALIBRATION_BINS as f64;
    let edges: Vec<f64> = (1..CALIBRATION_BINS).map(|i| i as f64 * width).collect();
    bins(ranking, &edges)
}

fn equal_mass(ranking: &Ranking) -> CalibrationBins {
    let mut sorted = Vec::new();
    let mut before = 0;
    for (i, &score) in ranking.scores.iter().enumerate() {
        let n = ranking.positives[i] + ranking.negatives[i];
        sorted.extend(std::iter::repeat_n(score, (n - before) as usize));
        before = n;
    }
    sorted.reverse();
    let edges: Vec<f64> =
        (1..CALIBRATION_BINS).map(|i| quantile(&sorted, i as f64 / CALIBRATION_BINS as f64)).collect();
    bins(ranking, &edges)
}

/// The true positive rate at each false positive rate of the mean, and the precision at each recall.
fn at_macro_points(ranking: &Ranking) -> [Vec<f64>; 2] {
    let (n_positives, n_negatives) = (ranking.n_positives(), ranking.n_negatives());
    let at = |i: usize| (share(ranking.negatives[i], n_negatives), share(ranking.positives[i], n_positives));
    let (mut rates, mut precisions) = (Vec::new(), Vec::new());
    let (mut run, mut run_of_recall) = (0, 0);
    for point in 0..MACRO_POINTS {
        let x = point as f64 / (MACRO_POINTS - 1) as f64;
        while run < ranking.len() && at(run).0 <= x {
            run += 1;
        }
        // Linear between the last point at or before this rate and the next one.
        let before = run.checked_sub(1).map_or((0.0, 0.0), at);
        let rate = if run == ranking.len() {
            1.0
        } else {
            let next = at(run);
            before.1 + (next.1 - before.1) * (x - before.0) / (next.0 - before.0)
        };
        rates.push(rate);
        // The step that the average precision counts: that of the first threshold with this recall.
        while run_of_recall + 1 < ranking.len() && at(run_of_recall).1 < x {
            run_of_recall += 1;
        }
        let hits = ranking.positives[run_of_recall];
        precisions.push(share(hits, hits + ranking.negatives[run_of_recall]));
    }
    [rates, precisions]
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

fn add_averages(curves: &mut Curves, at_macro_points: &[[Vec<f64>; 2]], scores: &Matrix, codes: &[u32]) {
    let mut pairs: Vec<(f64, bool)> = scores
        .rows()
        .zip(codes)
        .flat_map(|(row, &code)| row.iter().enumerate().map(move |(class, &p)| (p, class == code as usize)))
        .collect();
    pairs.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let Some(ranking) = Ranking::new(pairs).filter(Ranking::has_both) else { return };
    let points: Vec<f64> = (0..MACRO_POINTS).map(|i| i as f64 / (MACRO_POINTS - 1) as f64).collect();
    let means = |which: usize| -> Vec<f64> {
        (0..MACRO_POINTS)
            .map(|i| mean(at_macro_points.iter().map(|class| class[which][i])).unwrap_or(f64::NAN))
            .collect()
    };
    let (mut fpr, mut tpr) = (points.clone(), means(0));
    // Below all of its points the mean starts at the corner.
    fpr.insert(0, 0.0);
    tpr.insert(0, 0.0);
    curves.roc_averages = Some(Averaged {
        micro: roc(None, &ranking, MAX_POINTS),
        macro_average: RocCurve {
            label: None,
            fpr,
            tpr,
            thresholds: Vec::new(),
            auc: mean(curves.roc.iter().filter_map(|curve| curve.auc)),
            ks: None,
        },
    });
    curves.precision_recall_averages = Some(Averaged {
        micro: precision_recall(None, &ranking, MAX_POINTS),
        macro_average: PrecisionRecallCurve {
            label: None,
            precision: means(1),
            recall: points,
            thresholds: Vec::new(),
            average_precision: mean(
                curves.precision_recall.iter().filter_map(|curve| curve.average_precision),
            ),
        },
    });
}

/// Classes up to which the most probable one is enough to look at.
const FEW_CLASSES: usize = 5;

/// The share of rows whose class is among the most probable, for some numbers of these; `None` for few classes. Of equal
/// probabilities the later class counts as the more probable one, as in `sklearn.metrics.top_k_accuracy_score`.
pub(super) fn top_k(scores: &Matrix, codes: &[u32]) -> Option<Vec<TopK>> {
    let n_classes = scores.n_cols();
    if n_classes <= FEW_CLASSES || codes.is_empty() {
        return None;
    }
    let above = |row: &[f64], class: usize| -> Option<usize> {
        let own = *row.get(class)?;
        Some(row.iter().enumerate().filter(|&(other, &p)| p > own || (p == own && other > class)).count())
    };
    let ranks: Vec<Option<usize>> =
        scores.rows().zip(codes).map(|(row, &code)| above(row, code as usize)).collect();
    let share_of = |k: usize| ranks.iter().filter(|rank| rank.is_some_and(|rank| rank < k)).count() as f64;
    let sizes = [1, 2, 3, 5, 10].into_iter().filter(|&k| k < n_classes);
    Some(sizes.map(|k| TopK { k, accuracy: share_of(k) / codes.len() as f64 }).collect())
}
