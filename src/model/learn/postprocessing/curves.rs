//! The fit of the curves of a calibration to predictions of rows that the fits had not seen.

use crate::model::learn::platt;
use crate::model::postprocessing::calibration::{Curves, Method, log_odds, log_probability};
use crate::order;

/// Rows with their probabilities, classes and weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// `n_rows × n_classes`.
    pub(super) scores: &'a [f64],
    /// The class of each row.
    pub(super) codes: &'a [u32],
    /// The weight of each row, above 0.
    pub(super) weights: &'a [f64],
    pub(super) n_classes: usize,
}

impl Rows<'_> {
    /// The classes that have a curve: the second of two, or all.
    fn curved(&self) -> std::ops::Range<usize> {
        if self.n_classes == 2 { 1..2 } else { 0..self.n_classes }
    }

    /// The probability of a class in each row, and whether the row is of the class.
    fn of_class(&self, class: usize) -> (Vec<f64>, Vec<bool>) {
        let probabilities = self.scores.chunks_exact(self.n_classes).map(|row| row[class]).collect();
        (probabilities, self.codes.iter().map(|&code| code as usize == class).collect())
    }
}

/// Fits the curves of a kind.
pub(super) fn fit(method: Method, rows: Rows) -> Curves {
    match method {
        Method::Temperature => Curves::Temperature(temperature(rows)),
        Method::Sigmoid => {
            let sigmoid = |class| {
                let (probabilities, is_class) = rows.of_class(class);
                let scores: Vec<f64> = probabilities.into_iter().map(log_odds).collect();
                platt::calibrate(&scores, &is_class, rows.weights).map(|number| -number)
            };
            Curves::Sigmoid(rows.curved().map(sigmoid).collect())
        }
        Method::Isotonic => {
            let curve = |class| {
                let (probabilities, is_class) = rows.of_class(class);
                isotonic(&probabilities, &is_class, rows.weights)
            };
            Curves::Isotonic(rows.curved().map(curve).collect())
        }
    }
}

/// The rising curve with the least squared error, by merging neighbours that fall (the pool-adjacent-violators
/// algorithm; Barlow et al. 1972). Of the points on a level only the ends are kept.
fn isotonic(x: &[f64], is_class: &[bool], weights: &[f64]) -> Vec<[f64; 2]> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order::sort_by(&mut order, |&a, &b| x[a].total_cmp(&x[b]).then(a.cmp(&b)));
    // First and last x, sum of weights, weight of the class.
    let mut blocks: Vec<[f64; 4]> = Vec::new();
    let mean = |[_, _, weight, of_class]: [f64; 4]| of_class / weight;
    let mut pool = |mut next: [f64; 4]| {
        while let Some(&last) = blocks.last() {
            if mean(last) < mean(next) {
                break;
            }
            blocks.pop();
            next = [last[0], next[1], last[2] + next[2], last[3] + next[3]];
        }
        blocks.push(next);
    };
    let mut tied: Option<[f64; 4]> = None;
    for row in order {
        let (x, weight) = (x[row], weights[row]);
        let of_class = if is_class[row] { weight } else { 0.0 };
        match &mut tied {
            Some([_, last, sum, sum_of_class]) if *last == x => {
                *sum += weight;
                *sum_of_class += of_class;
            }
            _ => {
                if let Some(whole) = tied.replace([x, x, weight, of_class]) {
                    pool(whole);
                }
            }
        }
    }
    tied.into_iter().for_each(pool);
    let points = blocks.into_iter().flat_map(|block| {
        let y = mean(block).clamp(0.0, 1.0);
        let ends = [[block[0], y], [block[1], y]];
        ends.into_iter().take(if block[0] < block[1] { 2 } else { 1 }).collect::<Vec<_>>()
    });
    points.collect()
}

/// The smallest and the largest inverse temperature.
const INVERSE: [f64; 2] = [1e-3, 1e3];

/// Steps of the search; each halves the interval, or is one of Newton's.
const MAX_STEPS: usize = 100;

/// The temperature with the least log loss, which is convex in its inverse: Newton's method within an interval that holds
/// the root of the slope.
fn temperature(rows: Rows) -> f64 {
    let logs: Vec<f64> = rows.scores.iter().map(|&p| log_probability(p)).collect();
    // Slope and curvature of the loss at an inverse temperature.
    let at = |inverse: f64| {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for ((logs, &code), weight) in logs.chunks_exact(rows.n_classes).zip(rows.codes).zip(rows.weights) {
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
            for log in logs {
                let share = ((log - top) * inverse).exp();
                sum += share;
                first += share * log;
                second += share * log * log;
            }
            let mean = first / sum;
            slope += weight * (mean - logs[code as usize]);
            curvature += weight * (second / sum - mean * mean).max(0.0);
        }
        (slope, curvature)
    };
    let [mut low, mut high] = INVERSE;
    if at(high).0 <= 0.0 {
        return 1.0 / high;
    }
    if at(low).0 >= 0.0 {
        return 1.0 / low;
    }
    let mut inverse = 1.0;
    for _ in 0..MAX_STEPS {
        let (slope, curvature) = at(inverse);
        if slope < 0.0 {
            low = inverse;
        } else {
            high = inverse;
        }
        let newton = inverse - slope / curvature;
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        let is_found = (next - inverse).abs() <= 1e-12 * inverse;
        inverse = next;
        if is_found {
            break;
        }
    }
    1.0 / inverse
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::conformal;
    use super::*;

    /// What scikit-learn and MAPIE say; fixtures/calibration.py makes it.
    fn reference() -> Value {
        serde_json::from_str(include_str!("../../../../fixtures/calibration.json")).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    fn codes(value: &Value) -> Vec<u32> {
        numbers(value).into_iter().map(|code| code as u32).collect()
    }

    #[test]
    fn calibrated_probabilities_are_those_of_scikit_learn() {
        for (number, case) in reference()["cases"].as_array().unwrap().iter().enumerate() {
            let n_classes = case["n_classes"].as_u64().unwrap() as usize;
            let (scores, codes, weights) =
                (numbers(&case["p"]), codes(&case["y"]), numbers(&case["weights"]));
            let rows = Rows { scores: &scores, codes: &codes, weights: &weights, n_classes };
            // scikit-learn stops its searches earlier.
            for (method, tolerance) in
                [(Method::Isotonic, 1e-9), (Method::Temperature, 1e-6), (Method::Sigmoid, 2e-4)]
            {
                let curves = fit(method, rows);
                let mut found = numbers(&case["new"]);
                found.chunks_exact_mut(n_classes).for_each(|row| curves.apply(row));
                for (found, wanted) in found.iter().zip(numbers(&case[method.name()])) {
                    assert!(
                        (found - wanted).abs() < tolerance,
                        "case {number}, {}: {found} {wanted}",
                        method.name()
                    );
                }
            }
        }
    }

    #[test]
    fn intervals_and_sets_are_those_of_mapie() {
        let reference = &reference()["conformal"];
        let (y, p) = (numbers(&reference["y"]), numbers(&reference["p"]));
        let of_truth: Vec<f64> = p
            .chunks_exact(3)
            .zip(codes(&reference["classes"]))
            .map(|(row, class)| row[class as usize])
            .collect();
        for level in ["0.5", "0.9", "0.95"] {
            let share: f64 = level.parse().unwrap();
            let found = conformal::interval(share, &vec![0.0; y.len()], &y).unwrap().half_width;
            assert_eq!(found, reference["half_width"][level].as_f64().unwrap());
            let sets = conformal::sets(share, &of_truth).unwrap();
            let held = |row: &[f64]| {
                let mut held = [0; 3];
                sets.classes(row).for_each(|class| held[class] = 1);
                held
            };
            let found: Vec<u32> = p.chunks_exact(3).flat_map(held).collect();
            assert_eq!(found, codes(&reference["sets"][level]), "{level}");
        }
    }
}
