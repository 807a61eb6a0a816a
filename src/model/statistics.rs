//! Distributions, their tails and quantiles, and intervals in closed form: each once, for evaluation, drift and learning.

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
pub(crate) fn normal_share(estimate: f64, variance: f64) -> [f64; 2] {
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

/// The quantile of the normal distribution (Wichura 1988, "Algorithm AS 241: the percentage points of the normal
/// distribution", PPND16: to 16 digits).
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    const A: [f64; 8] = [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ];
    const B: [f64; 8] = [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ];
    const C: [f64; 8] = [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ];
    const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ];
    const E: [f64; 8] = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    const F: [f64; 8] = [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ];
    let ratio = |above: &[f64; 8], below: &[f64; 8], r: f64| {
        let sum = |of: &[f64; 8]| of.iter().rev().fold(0.0, |sum, factor| sum * r + factor);
        sum(above) / sum(below)
    };
    let q = probability - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&A, &B, 0.180_625 - q * q);
    }
    let r = (-probability.min(1.0 - probability).ln()).sqrt();
    let size = if r <= 5.0 { ratio(&C, &D, r - 1.6) } else { ratio(&E, &F, r - 5.0) };
    size.copysign(q)
}

/// The logarithm of the gamma function above 0 (Lanczos 1964, g = 7, n = 9).
pub(crate) fn ln_gamma(x: f64) -> f64 {
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
pub(crate) fn two_sided_t(t: f64, degrees: f64) -> f64 {
    incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
}

/// What a number of Student's distribution is farther from 0 than with this chance: the inverse of [`two_sided_t`].
pub(crate) fn t_beyond(chance: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if two_sided_t(middle, degrees) > chance { low = middle } else { high = middle }
    }
    high
}

/// The chance that a standard normal number is below `z`.
pub(crate) fn normal_below(z: f64) -> f64 {
    erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

/// McNemar's test of `b` rows that one side alone gets right and `c` that the other does: exact (binomial) for fewer than
/// 25 of them, else with the continuity correction (Edwards 1948).
pub(crate) fn mcnemar(b: u64, c: u64) -> f64 {
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
    fn quantiles_of_student_and_shares_of_the_normal_law_are_those_of_scipy() {
        // scipy 1.17.1: t.ppf(0.975, degrees), norm.cdf(z).
        for (degrees, wanted) in [(1.0, 12.706_204_74), (5.0, 2.570_581_84), (79.0, 1.990_450_21)] {
            assert!(
                (t_beyond(0.05, degrees) - wanted).abs() < 1e-7,
                "{degrees}: {}",
                t_beyond(0.05, degrees)
            );
        }
        for (z, wanted) in [(-1.96, 0.024_997_9), (0.0, 0.5), (1.0, 0.841_344_75), (3.0, 0.998_650_1)] {
            assert!((normal_below(z) - wanted).abs() < 1e-7, "{z}: {}", normal_below(z));
        }
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

    /// scipy 1.17.1: `scipy.special.ndtri`.
    #[test]
    fn normal_quantiles_are_those_of_scipy() {
        for (probability, expected) in [
            (1e-300, -37.047_096_299_361_2),
            (1e-20, -9.262_340_089_798_409),
            (1e-9, -5.997_807_015_007_686_5),
            (0.01, -2.326_347_874_040_840_8),
            (0.2, -0.841_621_233_572_914_2),
            (0.5, 0.0),
            (0.97, 1.880_793_608_151_250_9),
        ] {
            let found = normal_quantile(probability);
            assert!((found - expected).abs() < 1e-14 * expected.abs().max(1.0), "{probability}: {found}");
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
