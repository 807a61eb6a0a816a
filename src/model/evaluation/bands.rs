//! How sure the points of a curve are: the share on the vertical axis with its Wilson interval at each threshold.

use super::curves::{PrecisionRecallCurve, RocCurve};
use crate::model::statistics::wilson;

/// `(false positive rate, low, high)` of the true positive rate, of a class with so many rows.
pub(crate) fn roc(curve: &RocCurve, positives: u64) -> Vec<(f64, f64, f64)> {
    let n = positives as f64;
    let points = curve.fpr.iter().zip(&curve.tpr);
    points.filter_map(|(&x, &y)| wilson(y * n, n).map(|[low, high]| (x, low, high))).collect()
}

/// `(recall, low, high)` of the precision, of a class with so many rows.
pub(crate) fn precision_recall(curve: &PrecisionRecallCurve, positives: u64) -> Vec<(f64, f64, f64)> {
    let points = curve.recall.iter().zip(&curve.precision);
    let sure = points.filter_map(|(&recall, &precision)| {
        let found = recall * positives as f64;
        let predicted = if precision > 0.0 { found / precision } else { 0.0 };
        wilson(found, predicted).map(|[low, high]| (recall, low, high))
    });
    sure.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_wide_where_few_rows_are_predicted() {
        let curve = PrecisionRecallCurve {
            label: None,
            precision: vec![1.0, 1.0, 0.5],
            recall: vec![0.0, 0.1, 1.0],
            thresholds: vec![],
            average_precision: None,
        };
        let band = precision_recall(&curve, 100);
        assert_eq!(band.len(), 2, "no row is predicted at recall 0");
        // Wilson's intervals of 10 of 10 and 100 of 200 (statsmodels 0.14, proportion_confint).
        let expected = [(0.1, 0.722_467, 1.0), (1.0, 0.431_360, 0.568_640)];
        for (found, expected) in band.iter().zip(expected) {
            assert!((found.1 - expected.1).abs() < 1e-5 && (found.2 - expected.2).abs() < 1e-5, "{found:?}");
        }
        let roc = roc(
            &RocCurve {
                label: None,
                fpr: vec![0.0, 1.0],
                tpr: vec![0.5, 1.0],
                thresholds: vec![],
                auc: None,
                ks: None,
            },
            200,
        );
        assert!((roc[0].1 - 0.431_360).abs() < 1e-5, "{roc:?}");
    }
}
