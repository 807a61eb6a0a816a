//! The threshold that is best on rows that the fits had not seen.

use crate::model::postprocessing::{Costs, Threshold};
use crate::order;

/// What a threshold is chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// The F1 score of the second class.
    F1,
    /// The mean of the recalls of both classes.
    BalancedAccuracy,
    /// Matthews' correlation coefficient.
    Mcc,
    /// The mean cost of a row; less is better.
    Cost(Costs),
}

/// Sums of weights by truth and prediction.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    true_positive: f64,
    false_positive: f64,
    true_negative: f64,
    false_negative: f64,
}

impl Measure {
    /// Its name, as `--optimize` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Mcc => "mcc",
            Self::Cost(_) => "cost",
        }
    }

    /// What a row costs; of measures that are no costs, none.
    pub fn costs(self) -> Option<Costs> {
        match self {
            Self::Cost(costs) => Some(costs),
            _ => None,
        }
    }

    /// The value; an undefined one is 0.
    fn value(self, counts: Counts) -> f64 {
        let Counts { true_positive: tp, false_positive: fp, true_negative: tn, false_negative: fn_ } = counts;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        match self {
            Self::F1 => share(2.0 * tp, 2.0 * tp + fp + fn_),
            Self::BalancedAccuracy => f64::midpoint(share(tp, tp + fn_), share(tn, tn + fp)),
            Self::Mcc => {
                let root = ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt();
                share(tp * tn - fp * fn_, root)
            }
            Self::Cost(Costs { false_positive, false_negative }) => {
                share(fp * false_positive + fn_ * false_negative, tp + fp + tn + fn_)
            }
        }
    }

    fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Cost(_) => a < b,
            _ => a > b,
        }
    }
}

/// The best threshold on the probability `p` of the second class. It lies halfway between two of these probabilities; of
/// equally good ones it is the nearest to one half.
pub(super) fn best(measure: Measure, p: &[f64], is_second: &[bool], weights: &[f64]) -> Threshold {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order::sort_by(&mut order, |&a, &b| p[b].total_cmp(&p[a]));
    let mut counts = Counts::default();
    for (is_second, weight) in is_second.iter().zip(weights) {
        *(if *is_second { &mut counts.false_negative } else { &mut counts.true_negative }) += weight;
    }
    // Nothing is of the second class unless its probability can be below the threshold.
    let top = order.first().map_or(0.0, |&row| p[row]);
    let mut found = (top < 1.0).then(|| (f64::midpoint(top, 1.0), measure.value(counts)));
    let mut value_at_half = measure.value(counts);
    let distance = |threshold: f64| (threshold - 0.5).abs();
    for (at, &row) in order.iter().enumerate() {
        let weight = weights[row];
        if is_second[row] {
            counts.true_positive += weight;
            counts.false_negative -= weight;
        } else {
            counts.false_positive += weight;
            counts.true_negative -= weight;
        }
        let below = order.get(at + 1).map_or(0.0, |&next| p[next]);
        if below == p[row] && at + 1 < order.len() {
            continue;
        }
        let value = measure.value(counts);
        if p[row] >= 0.5 {
            value_at_half = value;
        }
        let threshold = f64::midpoint(p[row], below);
        let is_better = found.is_none_or(|(best, of_best)| {
            measure.is_better(value, of_best) || (value == of_best && distance(threshold) < distance(best))
        });
        if is_better {
            found = Some((threshold, value));
        }
    }
    let (threshold, value) = found.unwrap_or((0.5, value_at_half));
    Threshold {
        threshold,
        by: measure.name().into(),
        costs: measure.costs(),
        value,
        value_at_half,
        n_rows: p.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The measure at a threshold, by counting.
    fn at(measure: Measure, threshold: f64, p: &[f64], is_second: &[bool]) -> f64 {
        let mut counts = Counts::default();
        for (p, is_second) in p.iter().zip(is_second) {
            let cell = match (is_second, *p >= threshold) {
                (true, true) => &mut counts.true_positive,
                (true, false) => &mut counts.false_negative,
                (false, true) => &mut counts.false_positive,
                (false, false) => &mut counts.true_negative,
            };
            *cell += 1.0;
        }
        measure.value(counts)
    }

    #[test]
    fn no_threshold_is_better() {
        let n = 300;
        let p: Vec<f64> = (0..n).map(|i| (i * 37 % 101) as f64 / 101.0).collect();
        let is_second: Vec<bool> = (0..n).map(|i| p[i] + ((i * 13 % 17) as f64 / 20.0) > 0.9).collect();
        let costs = Costs { false_positive: 1.0, false_negative: 5.0 };
        for measure in [Measure::F1, Measure::BalancedAccuracy, Measure::Mcc, Measure::Cost(costs)] {
            let found = best(measure, &p, &is_second, &vec![1.0; n]);
            let value = at(measure, found.threshold, &p, &is_second);
            assert!((value - found.value).abs() < 1e-12, "{measure:?}: {value} {found:?}");
            assert!((at(measure, 0.5, &p, &is_second) - found.value_at_half).abs() < 1e-12);
            for step in 0..=1000 {
                let other = at(measure, f64::from(step) / 1000.0, &p, &is_second);
                let is_equal = (other - found.value).abs() < 1e-12;
                assert!(is_equal || !measure.is_better(other, found.value), "{measure:?} at {step}");
            }
        }
        let free = Measure::Cost(Costs { false_positive: 0.0, false_negative: 1.0 });
        assert!(best(free, &p, &is_second, &vec![1.0; n]).value == 0.0);
        let all = best(Measure::F1, &[1.0, 1.0], &[true, true], &[1.0, 1.0]);
        assert_eq!((all.threshold, all.value), (0.5, 1.0));
    }
}
