//! Tests of whether two samples come from one distribution: Kolmogorov-Smirnov, Pearson's chi-square, and Holm's
//! correction of many of them.

use crate::model::statistics::ln_gamma;
use crate::order;

/// The largest difference between two distributions in the same bins, in order.
pub(super) fn ks_statistic(a: &[f64], b: &[f64]) -> f64 {
    let (n, m): (f64, f64) = (a.iter().sum(), b.iter().sum());
    let (mut below_a, mut below_b, mut largest) = (0.0, 0.0, 0.0_f64);
    for (a, b) in a.iter().zip(b) {
        below_a += a / n;
        below_b += b / m;
        largest = largest.max((below_a - below_b).abs());
    }
    largest
}

/// The probability of a difference as large between samples of `n` and `m` rows of one distribution.
///
/// Kolmogorov's limiting distribution with the correction for few rows by Stephens 1970, "Use of the Kolmogorov-Smirnov,
/// Cramér-von Mises and related statistics without extensive tables".
pub(super) fn ks_p_value(statistic: f64, n: f64, m: f64) -> f64 {
    let root = (n * m / (n + m)).sqrt();
    kolmogorov((root + 0.12 + 0.11 / root) * statistic)
}

/// The probability that Kolmogorov's distribution exceeds `x`.
fn kolmogorov(x: f64) -> f64 {
    if x < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * x * x).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// Pearson's chi-square of two rows of counts, and its p-value; `None` if fewer than two columns have a count.
pub(super) fn chi_square(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let (n, m): (f64, f64) = (a.iter().sum(), b.iter().sum());
    let columns: Vec<(f64, f64)> =
        a.iter().zip(b).map(|(a, b)| (*a, *b)).filter(|(a, b)| a + b > 0.0).collect();
    if columns.len() < 2 || n <= 0.0 || m <= 0.0 {
        return None;
    }
    let of_column = |(a, b): &(f64, f64)| {
        let expected = [(a + b) * n / (n + m), (a + b) * m / (n + m)];
        (a - expected[0]).powi(2) / expected[0] + (b - expected[1]).powi(2) / expected[1]
    };
    let statistic: f64 = columns.iter().map(of_column).sum();
    Some((statistic, chi_square_above(statistic, columns.len() as f64 - 1.0)))
}

/// The probability that a chi-square variable of so many degrees of freedom exceeds `x`: the upper regularised incomplete
/// gamma function, by its series or its continued fraction (Press et al. 2007, section 6.2).
fn chi_square_above(x: f64, degrees: f64) -> f64 {
    const STEPS: usize = 10_000;
    let (a, x) = (degrees / 2.0, x / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut at) = (1.0 / a, 1.0 / a, a);
        for _ in 0..STEPS {
            at += 1.0;
            term *= x / at;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut fraction = d;
    for i in 1..STEPS {
        let i = i as f64;
        let an = -i * (i - a);
        b += 2.0;
        d = an * d + b;
        d = if d.abs() < 1e-300 { 1e300 } else { 1.0 / d };
        c = b + an / c;
        if c.abs() < 1e-300 {
            c = 1e-300;
        }
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

/// The p-values of several tests, corrected so that the chance of any false alarm is that of one (Holm 1979, "A simple
/// sequentially rejective multiple test procedure"); in the order given.
pub(super) fn holm(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order::sort_by(&mut order, |&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut adjusted, mut least) = (vec![0.0; n], 0.0_f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(((n - rank) as f64 * p_values[index]).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_those_of_scipy() {
        // scipy 1.17.1: chi2_contingency([[30, 14, 34, 45, 57], [20, 22, 10, 40, 8]], correction=False),
        // chi2.sf and kstwobign.sf.
        let (statistic, p) =
            chi_square(&[30.0, 14.0, 34.0, 45.0, 57.0], &[20.0, 22.0, 10.0, 40.0, 8.0]).unwrap();
        assert!((statistic - CHI).abs() < 1e-9 && (p / CHI_P - 1.0).abs() < 1e-9, "{statistic} {p}");
        for (x, degrees, wanted) in CHI_SF {
            let found = chi_square_above(x, degrees);
            assert!((found / wanted - 1.0).abs() < 1e-9, "{x} {degrees}: {found}");
        }
        for (x, wanted) in KOLMOGOROV {
            assert!((kolmogorov(x) / wanted - 1.0).abs() < 1e-9, "{x}: {}", kolmogorov(x));
        }
        // ks_2samp(method="asymp") has the exact distribution of one sample of n m / (n + m) rows.
        for (d, n, m, wanted) in KS {
            let found = ks_p_value(d, n, m);
            // The approximation is meant for small p-values.
            let tolerance = if wanted < 0.1 { 0.004 } else { 0.02 };
            assert!((found - wanted).abs() < tolerance, "{d} {n} {m}: {found}");
        }
        assert!(chi_square(&[4.0, 0.0], &[5.0, 0.0]).is_none());
        assert_eq!(ks_statistic(&[1.0, 1.0, 2.0], &[0.0, 0.0, 3.0]), 0.5);
    }

    const CHI: f64 = 34.021378592358985;
    const CHI_P: f64 = 7.377034925025345e-07;
    const CHI_SF: [(f64, f64, f64); 6] = [
        (0.1, 1.0, 0.7518296340458492),
        (3.84, 1.0, 0.05004352124870519),
        (50.0, 4.0, 3.610865404890647e-10),
        (12.0, 30.0, 0.9985996461666381),
        (300.0, 200.0, 5.924540335483916e-06),
        (700.0, 3.0, 2.0991308534204487e-151),
    ];
    const KOLMOGOROV: [(f64, f64); 6] = [
        (0.3, 0.9999906941986655),
        (0.5, 0.9639452436648751),
        (1.0, 0.26999967167735456),
        (1.36, 0.049485876755377876),
        (2.0, 0.0006709252557796953),
        (3.0, 3.045995948942526e-08),
    ];
    const KS: [(f64, f64, f64, f64); 5] = [
        (0.1, 100.0, 100.0, 0.6623112704658186),
        (0.2, 50.0, 80.0, 0.14572783969903014),
        (0.05, 1000.0, 5000.0, 0.030004290103354925),
        (0.3, 20.0, 30.0, 0.18735709092941788),
        (0.12, 150.0, 400.0, 0.0796544219113587),
    ];

    #[test]
    fn corrected_p_values_are_holms_and_keep_their_order() {
        // statsmodels 0.14: multipletests([0.01, 0.04, 0.03, 0.005], method="holm")[1].
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        let wanted = [0.03, 0.06, 0.06, 0.02];
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }
}
