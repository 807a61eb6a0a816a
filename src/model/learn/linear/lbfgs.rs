//! L-BFGS with a preconditioner (Nocedal and Wright 2006, "Numerical optimization", algorithms 7.4 and 7.5).
//!
//! smartcore's `LBFGS` (0.7) asks for the value and the gradient apart, 2 to 3 times per step (0.94 s on
//! digits, 22 times as long: benches/smartcore.rs), and starts from a multiple of the identity. The fixed part
//! of the curvature, known before the first step, saves most of the steps if columns depend on each other.
//!
//! With a penalty on absolute values it is OWL-QN (Andrew and Gao 2007, "Scalable training of L1-regularized
//! log-linear models"): a step keeps the signs of its start, so that the penalty is linear on the
//! way and coefficients end at 0 exactly.

use std::collections::VecDeque;

use crate::model::predictor::linear::dot;

/// Steps that are remembered.
const MEMORY: usize = 10;

/// The share of the descent that the slope promises which a step must reach (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// Halvings of a step before the search has come as far as doubles go.
const MAX_HALVINGS: usize = 40;

/// The value of a function at a point, and its gradient.
pub(crate) type Visit = (f64, Vec<f64>);

/// The end of a search.
pub(crate) struct Minimum {
    /// The point.
    pub point: Vec<f64>,
    /// Whether the largest slope is at most `tol`.
    pub converged: bool,
}

/// A penalty on the absolute values of the first coordinates.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Absolute {
    /// Its strength.
    pub l1: f64,
    /// Number of penalised coordinates.
    pub n_penalised: usize,
}

impl Absolute {
    fn value(&self, point: &[f64]) -> f64 {
        self.l1 * point[..self.n_penalised].iter().map(|x| x.abs()).sum::<f64>()
    }

    /// The derivatives along which the penalised function falls fastest, each the one nearest to 0.
    fn slopes(&self, point: &[f64], gradient: &[f64]) -> Vec<f64> {
        let mut slopes = gradient.to_vec();
        for (slope, x) in slopes.iter_mut().zip(&point[..self.n_penalised]) {
            *slope = if *x == 0.0 {
                (slope.abs() - self.l1).max(0.0).copysign(*slope)
            } else {
                *slope + self.l1.copysign(*x)
            };
        }
        slopes
    }

    /// Keeps those parts of a direction that descend on their own.
    fn align(&self, direction: &mut [f64], slopes: &[f64]) {
        for (d, slope) in direction[..self.n_penalised].iter_mut().zip(slopes) {
            *d = if *d * slope < 0.0 { *d } else { 0.0 };
        }
    }

    /// Takes coordinates to 0 that a step from `point` would take past it.
    fn stay(&self, next: &mut [f64], point: &[f64], slopes: &[f64]) {
        for ((x, before), slope) in next[..self.n_penalised].iter_mut().zip(point).zip(slopes) {
            let side = if *before == 0.0 { -slope } else { *before };
            *x = if *x * side > 0.0 { *x } else { 0.0 };
        }
    }
}

/// Minimises a smooth convex function plus `absolute` from `start`.
///
/// `evaluate` gives value and gradient, or `None` to stop at the current point; `precondition` multiplies by
/// an approximate inverse of the second derivative; a step is an evaluation of a point that is accepted.
pub(crate) fn minimise(
    start: Vec<f64>,
    absolute: Absolute,
    evaluate: &mut dyn FnMut(&[f64]) -> Option<Visit>,
    precondition: &dyn Fn(&[f64]) -> Vec<f64>,
    tol: f64,
    max_steps: usize,
) -> Minimum {
    let mut point = start;
    let Some((mut value, mut gradient)) = evaluate(&point) else {
        return Minimum { point, converged: false };
    };
    value += absolute.value(&point);
    let mut slopes = absolute.slopes(&point, &gradient);
    let is_flat = |slopes: &[f64]| slopes.iter().all(|slope| slope.abs() <= tol);
    let mut past: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..max_steps {
        if is_flat(&slopes) {
            break;
        }
        let mut direction = descent(&slopes, &past, precondition);
        absolute.align(&mut direction, &slopes);
        let mut slope = dot(&direction, &slopes);
        if slope >= 0.0 || !slope.is_finite() {
            past.clear();
            direction = slopes.iter().map(|slope| -slope).collect();
            slope = dot(&direction, &slopes);
        }
        let mut length = 1.0;
        let mut accepted = None;
        for _ in 0..MAX_HALVINGS {
            let mut next: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            absolute.stay(&mut next, &point, &slopes);
            let Some((next_value, next_gradient)) = evaluate(&next) else {
                return Minimum { point, converged: false };
            };
            let next_value = next_value + absolute.value(&next);
            let next_slopes = absolute.slopes(&next, &next_gradient);
            // Near the minimum values differ by their rounding only, and the gradient decides.
            let rounding = 4.0 * f64::EPSILON * value.abs();
            let promised = if absolute.n_penalised == 0 {
                length * slope
            } else {
                next.iter().zip(&point).zip(&slopes).map(|((a, b), slope)| (a - b) * slope).sum()
            };
            let falls = next_value <= value + SUFFICIENT * promised;
            let is_level = next_value <= value + rounding && dot(&next_slopes, &direction) <= -0.9 * slope;
            if falls || is_level {
                accepted = Some((next, next_value, next_gradient, next_slopes));
                break;
            }
            // The minimum of the parabola through what is known, kept from the ends.
            let curve = next_value - value - length * slope;
            let lowest = -slope * length * length / (2.0 * curve);
            length = if lowest.is_finite() { lowest.clamp(0.1 * length, 0.5 * length) } else { 0.1 * length };
        }
        let Some((next, next_value, next_gradient, next_slopes)) = accepted else {
            if past.is_empty() {
                break;
            }
            past.clear();
            continue;
        };
        let step: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > f64::EPSILON * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if past.len() == MEMORY {
                past.pop_front();
            }
            past.push_back(Pair { step, change, curvature });
        }
        (point, value, gradient, slopes) = (next, next_value, next_gradient, next_slopes);
    }
    let converged = is_flat(&slopes);
    Minimum { point, converged }
}

/// A step, the change of the gradient along it, and their product.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// The two-loop recursion.
fn descent(gradient: &[f64], past: &VecDeque<Pair>, precondition: &dyn Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let add = |out: &mut [f64], factor: f64, v: &[f64]| {
        out.iter_mut().zip(v).for_each(|(out, v)| *out += factor * v);
    };
    let mut rest = gradient.to_vec();
    let mut factors = Vec::with_capacity(past.len());
    for pair in past.iter().rev() {
        let factor = dot(&pair.step, &rest) / pair.curvature;
        add(&mut rest, -factor, &pair.change);
        factors.push(factor);
    }
    let mut direction = precondition(&rest);
    if let Some(last) = past.back() {
        let scale = last.curvature / dot(&last.change, &precondition(&last.change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, factor) in past.iter().zip(factors.iter().rev()) {
        let correction = factor - dot(&pair.change, &direction) / pair.curvature;
        add(&mut direction, correction, &pair.step);
    }
    direction.iter_mut().for_each(|d| *d = -*d);
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Σ cosh(aᵢ xᵢ − bᵢ), of the most different scales.
    fn valley(point: &[f64]) -> Option<(f64, Vec<f64>)> {
        let terms = || point.iter().zip([(1.0, 0.5), (30.0, -2.0), (0.2, 1.0)]);
        let value = terms().map(|(x, (a, b))| (a * x - b).cosh()).sum();
        Some((value, terms().map(|(x, (a, b))| a * (a * x - b).sinh()).collect()))
    }

    #[test]
    fn the_minimum_is_found_with_and_without_a_preconditioner() {
        let scaled = |v: &[f64]| vec![v[0], v[1] / 900.0, v[2] / 0.04];
        for found in [
            minimise(vec![0.0; 3], Absolute::default(), &mut valley, &<[f64]>::to_vec, 1e-7, 200),
            minimise(vec![0.0; 3], Absolute::default(), &mut valley, &scaled, 1e-7, 200),
        ] {
            assert!(found.converged);
            for (x, expected) in found.point.iter().zip([0.5, -1.0 / 15.0, 5.0]) {
                assert!((x - expected).abs() < 1e-6, "{:?}", found.point);
            }
        }
    }

    #[test]
    fn a_penalty_on_absolute_values_leaves_exact_zeros_and_nothing_to_gain() {
        let scaled = |v: &[f64]| vec![v[0], v[1] / 900.0, v[2] / 0.04];
        let absolute = Absolute { l1: 0.6, n_penalised: 3 };
        let found = minimise(vec![1.0, 1.0, -1.0], absolute, &mut valley, &scaled, 1e-9, 200);
        assert!(found.converged);
        // sinh(0.5) < 0.6; the others lie where a·sinh(b − a·x) is 0.6.
        let expected = [0.0, (-2.0 + (0.6_f64 / 30.0).asinh()) / 30.0, 0.0];
        assert!(found.point[0] == 0.0 && found.point[2] == 0.0, "{:?}", found.point);
        assert!((found.point[1] - expected[1]).abs() < 1e-9, "{:?}", found.point);
        let spared = Absolute { n_penalised: 2, ..absolute };
        let found = minimise(vec![0.0; 3], spared, &mut valley, &scaled, 1e-9, 200);
        assert!(found.converged && (found.point[2] - 5.0).abs() < 1e-6, "{:?}", found.point);
    }

    #[test]
    fn a_search_that_is_stopped_or_out_of_steps_says_so_and_keeps_where_it_stands() {
        let mut left = 3;
        let found = minimise(
            vec![3.0; 3],
            Absolute::default(),
            &mut |point| {
                left -= 1;
                if left > 0 { valley(point) } else { None }
            },
            &<[f64]>::to_vec,
            1e-9,
            200,
        );
        assert!(!found.converged && found.point.iter().all(|x| x.is_finite()));
        assert!(
            !minimise(vec![3.0; 3], Absolute::default(), &mut valley, &<[f64]>::to_vec, 1e-9, 1).converged
        );
    }
}
