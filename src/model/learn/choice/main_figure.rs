//! The figure that decides between fits, and its standard error.

use crate::data::cells::cell::Task;

use crate::data::cells::target::Truth;
use crate::model::pipeline::Predictions;

/// The figure that decides. More is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MainFigure {
    /// Share of rows predicted right.
    Accuracy,
    /// Mean recall of the classes.
    BalancedAccuracy,
    /// Coefficient of determination.
    R2,
}

impl MainFigure {
    /// The figure of scikit-learn's `score`; with `balance` the classes count the same here as well.
    pub(crate) fn of(task: Task, balance: bool) -> Self {
        match task {
            Task::Regression => Self::R2,
            Task::Classification if balance => Self::BalancedAccuracy,
            Task::Classification => Self::Accuracy,
        }
    }

    /// Its name among [`crate::model::evaluation::Metrics::figures`].
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::R2 => "r2",
        }
    }

    /// One fold's part of the standard error. For classes, the rows and the hits of each class (for the accuracy, of
    /// all rows together); for numbers, 1 and the variance of the mean squared error, divided by the squared variance
    /// of the truth.
    pub(super) fn tally(self, predictions: &Predictions, truth: &Truth) -> Vec<[f64; 2]> {
        match truth {
            Truth::Classes { codes, labels } => {
                let n_groups = if self == Self::Accuracy { 1 } else { labels.len() };
                let mut counts = vec![[0.0; 2]; n_groups];
                for (&code, &predicted) in codes.iter().zip(&predictions.classes) {
                    let [rows, hits] = &mut counts[code as usize % n_groups];
                    *rows += 1.0;
                    *hits += f64::from(u8::from(code == predicted));
                }
                counts
            }
            Truth::Values(values) => {
                let n = values.len() as f64;
                let variance = |values: &[f64]| {
                    let mean = values.iter().sum::<f64>() / n;
                    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
                };
                let pairs = values.iter().zip(predictions.scores.values());
                let errors: Vec<f64> = pairs.map(|(t, p)| (t - p).powi(2)).collect();
                vec![[1.0, variance(&errors) / n / variance(values).powi(2)]]
            }
        }
    }

    /// The standard error of the mean over folds, from the rows of all of them as in Breiman et al. 1984, 3.4.3:
    /// that of a share, or of a mean of shares. Two hits and two misses are added (Agresti and Coull 1998,
    /// "Approximate is better than exact"): a perfect score on a few rows is not certain.
    pub(super) fn standard_error(self, folds: &[Vec<[f64; 2]>]) -> f64 {
        let mut sums = vec![[0.0; 2]; folds.first().map_or(0, Vec::len)];
        for fold in folds {
            for (sum, group) in sums.iter_mut().zip(fold) {
                (sum[0], sum[1]) = (sum[0] + group[0], sum[1] + group[1]);
            }
        }
        if self == Self::R2 {
            return sums.iter().map(|[folds, variance]| variance.sqrt() / folds).sum();
        }
        sums.retain(|[rows, _]| *rows > 0.0);
        let variance = |&[rows, hits]: &[f64; 2]| {
            let share = (hits + 2.0) / (rows + 4.0);
            share * (1.0 - share) / (rows + 4.0)
        };
        sums.iter().map(variance).sum::<f64>().sqrt() / sums.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;

    #[test]
    fn the_standard_error_is_that_of_a_share_of_means_of_shares_and_of_squared_errors() {
        let truth = Truth::Classes { codes: vec![0, 0, 0, 1], labels: vec!["a".into(), "b".into()] };
        let predictions = Predictions { scores: Matrix::zeros(4, 2), classes: vec![0, 0, 1, 1] };
        let error = |figure: MainFigure| figure.standard_error(&[figure.tally(&predictions, &truth)]);
        let share = |hits: f64, rows: f64| {
            let p = (hits + 2.0) / (rows + 4.0);
            p * (1.0 - p) / (rows + 4.0)
        };
        assert_eq!(error(MainFigure::Accuracy), share(3.0, 4.0).sqrt());
        assert_eq!(error(MainFigure::BalancedAccuracy), (share(2.0, 3.0) + share(1.0, 1.0)).sqrt() / 2.0);
        let mut scores = Matrix::zeros(4, 1);
        scores.values_mut().copy_from_slice(&[1.0, 2.0, 2.0, 1.0]);
        let predictions = Predictions { scores, classes: vec![] };
        let tally = MainFigure::R2.tally(&predictions, &Truth::Values(vec![1.0, 2.0, 3.0, 4.0]));
        // Squared errors 0, 0, 1, 9 have the variance 14.25, the truth 1.25.
        assert!((tally[0][1] - 14.25 / 4.0 / 1.25 / 1.25).abs() < 1e-15, "{tally:?}");
        let folds = [tally.clone(), tally.clone(), tally.clone(), tally];
        let one = (14.25_f64 / 4.0).sqrt() / 1.25;
        assert!((MainFigure::R2.standard_error(&folds) - one / 2.0).abs() < 1e-15, "four folds halve it");
    }

    #[test]
    fn a_perfect_score_on_few_rows_is_less_certain_than_on_many() {
        let error = |n: f64| MainFigure::Accuracy.standard_error(&[vec![[n, n]]]);
        assert!(error(10.0) > error(100.0) && error(100.0) > 0.0);
    }

    #[test]
    fn a_class_without_rows_does_not_count() {
        let balanced = |counts: &[[f64; 2]]| MainFigure::BalancedAccuracy.standard_error(&[counts.to_vec()]);
        assert_eq!(balanced(&[[5.0, 4.0], [0.0, 0.0], [7.0, 7.0]]), balanced(&[[5.0, 4.0], [7.0, 7.0]]));
    }
}
