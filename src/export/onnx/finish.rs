//! What happens to the predictions of the members: the target's transform undone, calibration, and the label.

use super::proto::{Attribute, Graph, Kind, Value};
use crate::data::cells::target::Target;
use crate::model::pipeline::Decision;
use crate::model::postprocessing::calibration::{Curves, LEAST_PROBABILITY};
use crate::model::target_transform::{Bias, TargetTransform};

/// `value operator number`.
fn with(graph: &mut Graph, operator: &str, value: &str, number: f64) -> Value {
    let number = graph.real(number);
    graph.op(operator, &[value, &number])
}

/// The number that a member predicts, on the scale of the target.
pub(super) fn inverted(graph: &mut Graph, transform: &TargetTransform, predicted: Value) -> Value {
    match transform {
        TargetTransform::Identity => predicted,
        TargetTransform::Standardised { mean, scale } => {
            let scaled = with(graph, "Mul", &predicted, *scale);
            with(graph, "Add", &scaled, *mean)
        }
        TargetTransform::Log { shift, factor } => {
            let power = graph.op("Exp", &[&predicted]);
            let scaled = with(graph, "Mul", &power, *factor);
            with(graph, "Sub", &scaled, *shift)
        }
        TargetTransform::YeoJohnson { unit, lambda, mean, scale, range: [low, high], bias } => {
            let scaled = with(graph, "Mul", &predicted, *scale);
            let power = with(graph, "Add", &scaled, *mean);
            let root = root(graph, &power, *lambda);
            let value = with(graph, "Mul", &root, *unit);
            // No number where no value has such a power.
            let none = graph.op("IsNaN", &[&value]);
            let (low, high) = (graph.real(*low), graph.real(*high));
            let value = graph.op("Where", &[&none, &high, &value]);
            let value = graph.op("Clip", &[&value, &low, &high]);
            unbiased(graph, *bias, value)
        }
        TargetTransform::Rank { knots, bias } => {
            let value = interpolated(graph, &knots.scores, &knots.values, &predicted);
            unbiased(graph, *bias, value)
        }
    }
}

fn unbiased(graph: &mut Graph, bias: Bias, value: Value) -> Value {
    let scaled = with(graph, "Mul", &value, bias.factor);
    with(graph, "Add", &scaled, bias.offset)
}

/// The value of a power of Yeo and Johnson. Of each side the size is undone; the one below 0 with the power 2 − λ.
fn root(graph: &mut Graph, power: &str, lambda: f64) -> Value {
    let zero = graph.real(0.0);
    let upper = |graph: &mut Graph, size: &str, lambda: f64| {
        // (1 + λ y)^(1/λ) − 1
        let value = if lambda == 0.0 {
            graph.op("Exp", &[size])
        } else {
            let base = with(graph, "Mul", size, lambda);
            let base = with(graph, "Add", &base, 1.0);
            with(graph, "Pow", &base, 1.0 / lambda)
        };
        with(graph, "Sub", &value, 1.0)
    };
    let above = graph.op("Max", &[power, &zero]);
    let above = upper(graph, &above, lambda);
    let against = graph.op("Neg", &[power]);
    let below = graph.op("Max", &[&against, &zero]);
    let below = upper(graph, &below, 2.0 - lambda);
    let below = graph.op("Neg", &[&below]);
    let is_above = graph.op("GreaterOrEqual", &[power, &zero]);
    graph.op("Where", &[&is_above, &above, &below])
}

/// What lies between points on straight lines; beyond them, the first and the last.
fn interpolated(graph: &mut Graph, from: &[f64], to: &[f64], at: &str) -> Value {
    let n = from.len();
    let (low, high) = (graph.real(from[0]), graph.real(from[n - 1]));
    let at = graph.op("Clip", &[at, &low, &high]);
    if n == 1 {
        let nothing = with(graph, "Mul", &at, 0.0);
        return with(graph, "Add", &nothing, to[0]);
    }
    // The number of inner points that are not above it is the place of the line.
    let inner = graph.reals(&[1, n - 2], &from[1..n - 1]);
    let passed = graph.op("LessOrEqual", &[&inner, &at]);
    let passed = graph.cast(&passed, Kind::Int64);
    let place = graph.sum(&passed, 1, true);
    let mut of = |values: Vec<f64>| {
        let table = graph.reals(&[n - 1], &values);
        graph.op("Gather", &[&table, &place])
    };
    let [x, y] = [from, to].map(|values| of(values[..n - 1].to_vec()));
    let [dx, dy] = [from, to].map(|values| of(values.windows(2).map(|two| two[1] - two[0]).collect()));
    let along = graph.op("Sub", &[&at, &x]);
    let share = graph.op("Div", &[&along, &dx]);
    let rise = graph.op("Mul", &[&share, &dy]);
    graph.op("Add", &[&y, &rise])
}

/// Calibrated probabilities.
pub(super) fn calibrated(graph: &mut Graph, curves: &Curves, n_classes: usize, probabilities: &str) -> Value {
    if let Curves::Temperature(temperature) = curves {
        let p = with(graph, "Max", probabilities, LEAST_PROBABILITY);
        let log = graph.op("Log", &[&p]);
        let scaled = with(graph, "Div", &log, *temperature);
        return graph.op_with("Softmax", &[&scaled], vec![("axis", Attribute::Int(1))]);
    }
    // Of two classes the second.
    let p = if n_classes == 2 { graph.columns(probabilities, &[1]) } else { probabilities.to_string() };
    let curved = match curves {
        Curves::Isotonic(curves) => {
            let of_class = |(class, points): (usize, &Vec<[f64; 2]>)| {
                let own = graph.columns(&p, &[class as i64]);
                let [from, to] = [0, 1].map(|i| points.iter().map(|point| point[i]).collect::<Vec<_>>());
                interpolated(graph, &from, &to, &own)
            };
            let values: Vec<Value> = curves.iter().enumerate().map(of_class).collect();
            graph.side_by_side(&values)
        }
        Curves::Sigmoid(sigmoids) => {
            let (low, high) = (graph.real(LEAST_PROBABILITY), graph.real(1.0 - LEAST_PROBABILITY));
            let p = graph.op("Clip", &[&p, &low, &high]);
            let one = graph.real(1.0);
            let rest = graph.op("Sub", &[&one, &p]);
            let odds = graph.op("Div", &[&p, &rest]);
            let odds = graph.op("Log", &[&odds]);
            let [slopes, intercepts] = [0, 1].map(|i| {
                let values: Vec<f64> = sigmoids.iter().map(|sigmoid| sigmoid[i]).collect();
                graph.reals(&[values.len()], &values)
            });
            let score = graph.op("Mul", &[&odds, &slopes]);
            let score = graph.op("Add", &[&score, &intercepts]);
            graph.op("Sigmoid", &[&score])
        }
        Curves::Temperature(_) => p,
    };
    let (zero, one) = (graph.real(0.0), graph.real(1.0));
    if n_classes == 2 {
        let second = graph.op("Clip", &[&curved, &zero, &one]);
        let first = graph.op("Sub", &[&one, &second]);
        return graph.side_by_side(&[first, second]);
    }
    let sum = graph.sum(&curved, 1, true);
    let has_sum = graph.op("Greater", &[&sum, &zero]);
    let share = graph.op("Div", &[&curved, &sum]);
    let share = graph.op("Min", &[&share, &one]);
    let equal = graph.real(1.0 / n_classes as f64);
    graph.op("Where", &[&has_sum, &share, &equal])
}

/// The label of each row, and its type.
pub(super) fn label(
    graph: &mut Graph,
    decision: Decision,
    target: &Target,
    probabilities: &str,
) -> (Value, Kind) {
    let class = match decision {
        Decision::MostProbable => graph.op_with(
            "ArgMax",
            &[probabilities],
            vec![("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))],
        ),
        Decision::Threshold { threshold, positive } => {
            let class = graph.int(positive as i64);
            let p = graph.op_with("Gather", &[probabilities, &class], vec![("axis", Attribute::Int(1))]);
            let is_positive = with(graph, "GreaterOrEqual", &p, threshold);
            let other = graph.int(1 - positive as i64);
            graph.op("Where", &[&is_positive, &class, &other])
        }
    };
    let numbers: Option<Vec<i64>> = target.labels.iter().map(|label| label.parse().ok()).collect();
    match numbers.filter(|_| target.numeric_labels) {
        Some(numbers) => {
            let table = graph.ints(&[numbers.len()], &numbers);
            (graph.op("Gather", &[&table, &class]), Kind::Int64)
        }
        None => {
            let table = graph.texts(&target.labels);
            (graph.op("Gather", &[&table, &class]), Kind::String)
        }
    }
}
