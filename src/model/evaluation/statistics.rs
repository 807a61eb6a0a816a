//! Distributions and intervals in closed form.

/// The 97.5 % quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share (Wilson 1927), `None` of no rows.
pub(crate) fn wilson(hits: f64, n: f64) -> Option<[f64; 2]> {
    if n <= 0.0 {
        return None;
    }
    let (p, z2) = (hits / n, Z_95 * Z_95);
    let center = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the formula is exact, its rounding is not.
    let low = if hits <= 0.0 { 0.0 } else { (center - half).max(0.0) };
    let high = if hits >= n { 1.0 } else { (center + half).min(1.0) };
    Some([low, high])
}

/// The interval of a normal estimate within 0 and 1.
pub(super) fn normal_share(estimate: f64, variance: f64) -> [f64; 2] {
    let half = Z_95 * variance.max(0.0).sqrt();
    [(estimate - half).max(0.0), (estimate + half).min(1.0)]
}

/// The quantile of a share of sorted values, linear between neighbours (type 7 of Hyndman and Fan 1996, as numpy's).
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (low, part) = ((at.floor() as usize).min(last), at.fract());
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * part
}

/// The complementary error function from 0 (W. J. Cody 1969 by way of a continued fraction and a series): relative error
/// below 1e-13.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.0 {
        // Maclaurin series of erf.
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while f64::abs(term) > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
            if n > 200.0 {
                break;
            }
        }
        return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    // The continued fraction, from its tail.
    let mut tail = x;
    for k in (1..=60).rev() {
        tail = x + f64::from(k) / 2.0 / tail;
    }
    (-x * x).exp() / tail / std::f64::consts::PI.sqrt()
}

/// The chance that a standard normal number is farther from 0 than `z`.
pub(crate) fn two_sided_normal(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The quantile of the standard normal distribution (Acklam 2003, refined by one step of Halley's method).
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| {
        let q = (-2.0 * q.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    let x = if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let (q, r) = (p - 0.5, (p - 0.5) * (p - 0.5));
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    };
    let error = 0.5 * erfc(-x / std::f64::consts::SQRT_2) - p;
    let u = error * (2.0 * std::f64::consts::PI).sqrt() * (x * x / 2.0).exp();
    x - u / (1.0 + x * u / 2.0)
}

/// The logarithm of the gamma function above 0 (Lanczos 1964, g = 7, n = 9).
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let base = x + 7.5;
    let series =
        COEFFICIENTS[1..].iter().zip(1..).fold(COEFFICIENTS[0], |sum, (c, i)| sum + c / (x + f64::from(i)));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + series.ln()
}

/// The regularised incomplete beta function (continued fraction by Lentz's method; Press et al. 2007, 6.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let tiny = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let mut c = 1.0;
    let mut d = 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..=300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / tiny(1.0 + even * d);
        c = tiny(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / tiny(1.0 + odd * d);
        c = tiny(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * h
}

/// The chance that a number of Student's distribution is farther from 0 than `t`.
pub(super) fn two_sided_t(t: f64, degrees: f64) -> f64 {
    incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
}

/// McNemar's test of `b` rows that one side alone gets right and `c` that the other does: exact (binomial) for fewer than
/// 25 of them, else with the continuity correction (Edwards 1948).
pub(super) fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    if n == 0 {
        return 1.0;
    }
    if n < 25 {
        let mut chance = 0.5_f64.powi(n as i32);
        let mut sum = 0.0;
        for k in 0..=b.min(c) {
            sum += chance;
            chance *= (n - k) as f64 / (k + 1) as f64;
        }
        return (2.0 * sum).min(1.0);
    }
    let difference = (b.abs_diff(c) as f64 - 1.0).max(0.0);
    two_sided_normal(difference / (n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= 1e-11 * wanted.abs().max(1e-3), "{found} is not {wanted}");
    }

    #[test]
    fn shares_have_the_intervals_of_scipy() {
        // scipy 1.17.1: binomtest(k, n).proportion_ci(method="wilson").
        for (hits, n, low, high) in [
            (28.0, 30.0, 0.786_765_416_373_830_8, 0.981_522_976_208_729_5),
            (0.0, 10.0, 0.0, 0.277_532_799_862_889_26),
            (10.0, 10.0, 0.722_467_200_137_110_9, 1.0),
            (1.0, 3.0, 0.061_491_944_720_396_26, 0.792_340_399_197_952_3),
            (95_000.0, 100_000.0, 0.948_631_817_489_653_4, 0.951_333_610_709_021_7),
        ] {
            let found = wilson(hits, n).unwrap();
            near(found[0], low);
            near(found[1], high);
        }
        assert_eq!(wilson(0.0, 0.0), None);
    }

    #[test]
    fn tails_are_those_of_scipy() {
        // scipy 1.17.1: 2 * norm.sf(z), norm.ppf(p), 2 * t.sf(|x|, d), 2 * binom.cdf(min(b, c), b + c, 0.5), and
        // chi2.sf((|b - c| - 1)² / (b + c), 1) from 25.
        for (z, wanted) in [
            (0.1, 0.920_344_325_445_942),
            (1.0, 0.317_310_507_862_914_15),
            (-1.96, 0.049_995_790_296_440_87),
            (2.5, 0.012_419_330_651_552_265),
            (3.5, 0.000_465_258_158_071_050_03),
            (8.0, 1.244_192_114_854_348e-15),
        ] {
            near(two_sided_normal(z), wanted);
        }
        for (p, wanted) in [
            (1e-6, -4.753_424_308_822_899),
            (0.01, -2.326_347_874_040_840_8),
            (0.025, -1.959_963_984_540_054_5),
            (0.3, -0.524_400_512_708_040_9),
            (0.5, 0.0),
            (0.9, 1.281_551_565_544_600_4),
            (0.999, 3.090_232_306_167_813),
        ] {
            near(normal_quantile(p), wanted);
        }
        for (t, degrees, wanted) in [
            (0.5, 1.0, 0.704_832_764_699_133_5),
            (2.0, 5.0, 0.101_939_478_829_858_35),
            (2.5, 29.0, 0.018_325_344_338_426_086),
            (-1.2, 1000.0, 0.230_423_552_324_467_12),
            (6.0, 12.0, 6.216_738_864_858_563e-5),
        ] {
            near(two_sided_t(t, degrees), wanted);
        }
        for (b, c, wanted) in [
            (3, 10, 0.092_285_156_25),
            (0, 5, 0.0625),
            (12, 12, 1.0),
            (0, 0, 1.0),
            (30, 10, 0.002_663_119_259_138_558),
            (20, 25, 0.550_984_987_585_093_5),
        ] {
            near(mcnemar(b, c), wanted);
            near(mcnemar(c, b), wanted);
        }
    }

    #[test]
    fn a_quantile_is_numpys() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.9, 1.0].map(|p| quantile(&values, p)),
            [1.0, 1.75, 3.0, 6.800000000000001, 8.0]
        );
        assert_eq!(quantile(&[3.0], 0.3), 3.0);
        assert!(quantile(&[], 0.3).is_nan());
    }
}
