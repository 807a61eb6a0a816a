//! Gauss–Legendre quadrature on [0, 1].

/// Nodes and weights of the rule of `n` points: exact for polynomials up to degree 2n − 1. The nodes are the roots of
/// the Legendre polynomial, by Newton's method from Tricomi's approximation (Press et al. 2007, "Numerical recipes",
/// section 4.6).
pub(super) fn gauss_legendre(n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut nodes, mut weights) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n.div_ceil(2) {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut p, mut before) = (1.0, 0.0);
            for k in 0..n {
                let k = k as f64;
                (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
            }
            slope = n as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() <= f64::EPSILON {
                break;
            }
        }
        // From [−1, 1] to [0, 1].
        let weight = 1.0 / ((1.0 - x * x) * slope * slope);
        (nodes[i], nodes[n - 1 - i]) = (0.5 * (1.0 - x), 0.5 * (1.0 + x));
        (weights[i], weights[n - 1 - i]) = (weight, weight);
    }
    (nodes, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_up_to_twice_the_points_are_integrated_exactly() {
        for n in 1..=64 {
            let (nodes, weights) = gauss_legendre(n);
            assert!(nodes.is_sorted() && nodes[0] > 0.0 && nodes[n - 1] < 1.0);
            for power in 0..2 * n as i32 {
                let sum: f64 = nodes.iter().zip(&weights).map(|(x, w)| w * x.powi(power)).sum();
                let exact = 1.0 / f64::from(power + 1);
                assert!((sum - exact).abs() < 1e-13, "{n} points, power {power}: {sum} {exact}");
            }
        }
    }
}
