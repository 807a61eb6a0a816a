//! The curves of a classification: ROC, precision-recall, calibration, histograms of scores, gain and lift.
//!
//! Two classes have one curve, that of the positive class; more have one per class against the rest, and averages.
//! Areas are those of all rows; the points are thinned to what a reader can see.

use serde::Serialize;

/// The most points of a curve.
pub const MAX_POINTS: usize = 1000;

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
