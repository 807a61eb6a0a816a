//! Criteria of one number per row: the squared error, Newton steps, two classes, counts.
//!
//! Forests take [`Moments`], or [`Packed`] for two classes, or [`Poisson`]; boosting takes [`Packed`] as long as
//! its rows fit, else [`Moments`].

use super::criterion::{Criterion, gain_of_sums, low};

/// One number per row, exact to 31 bits: `[count and mass, g]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    /// Bits of the mass, below the count.
    pub(crate) mass_bits: u32,
}

impl Moments {
    /// The item of a row: its g and its mass.
    #[inline]
    pub(crate) fn item(self, g: i64, mass: i64) -> [i64; 2] {
        [(1 << self.mass_bits) + mass, g]
    }
}

impl Criterion for Moments {
    type Item = [i64; 2];
    type Cell = [i64; 2];
    const MAY_BE_BOUND: bool = true;

    #[inline(always)]
    fn add(&self, cell: &mut [i64; 2], item: [i64; 2]) {
        *cell = [cell[0] + item[0], cell[1] + item[1]];
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; 2], item: [i64; 2]) {
        let mask = -i64::from(keep);
        *cell = [cell[0] + (item[0] & mask), cell[1] + (item[1] & mask)];
    }

    #[inline(always)]
    fn count(&self, cell: &[i64; 2]) -> i64 {
        cell[0] >> self.mass_bits
    }

    #[inline(always)]
    fn mass(&self, cell: &[i64; 2]) -> f64 {
        (cell[0] & low(self.mass_bits)) as f64
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; 2], total: &[i64; 2], h_left: f64, h: f64, l2: f64) -> (f64, f64) {
        gain_of_sums(left[1] as f64, total[1] as f64, h_left, h, l2)
    }

    #[inline]
    fn statistic(&self, cell: &[i64; 2], _: &[i64; 2], mass: f64) -> f64 {
        cell[1] as f64 / mass
    }

    #[inline]
    fn agree(&self, a: [i64; 2], b: [i64; 2]) -> bool {
        // Equal values may differ by the rounding of their g.
        let [ha, hb] = [a, b].map(|item| i128::from(item[0] & low(self.mass_bits)));
        (i128::from(a[1]) * hb - i128::from(b[1]) * ha).abs() <= ha + hb
    }
}

/// One number per row, all in one: from the top g, mass, count. Half the memory of [`Moments`] and twice the
/// speed, at fewer bits (Shi et al. 2022, "Quantized training of gradient boosting decision trees").
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    count_bits: u32,
    /// 0 if the mass is the count.
    mass_bits: u32,
}

impl Packed {
    /// The layout for so many rows; `None` if too few bits would be left.
    pub(crate) fn new(n_rows: usize, mass_is_count: bool) -> Option<Self> {
        let count_bits = usize::BITS - n_rows.leading_zeros();
        let rest = 64 - count_bits;
        let mass_bits = if mass_is_count { 0 } else { rest / 2 - 1 };
        (rest >= 46 || (mass_is_count && rest >= 40)).then_some(Self { count_bits, mass_bits })
    }

    /// The largest sums of g and of masses that fit.
    pub(crate) fn room(self) -> [f64; 2] {
        let g_bits = 63 - self.count_bits - self.mass_bits;
        [g_bits, self.mass_bits].map(|bits| (1_u64 << bits) as f64 - 1.0)
    }

    /// The item of a row: its g and its mass.
    #[inline(always)]
    pub(crate) fn item(self, g: i64, mass: i64) -> i64 {
        let mass = if self.mass_bits == 0 { 0 } else { mass };
        (((g << self.mass_bits) + mass) << self.count_bits) + 1
    }
}

impl Criterion for Packed {
    type Item = i64;
    type Cell = [i64; 1];
    const MAY_BE_BOUND: bool = true;

    #[inline(always)]
    fn add(&self, cell: &mut [i64; 1], item: i64) {
        cell[0] += item;
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; 1], item: i64) {
        cell[0] += item & -i64::from(keep);
    }

    #[inline(always)]
    fn count(&self, cell: &[i64; 1]) -> i64 {
        cell[0] & low(self.count_bits)
    }

    #[inline(always)]
    fn mass(&self, cell: &[i64; 1]) -> f64 {
        if self.mass_bits == 0 {
            self.count(cell) as f64
        } else {
            (cell[0] >> self.count_bits & low(self.mass_bits)) as f64
        }
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; 1], total: &[i64; 1], h_left: f64, h: f64, l2: f64) -> (f64, f64) {
        let g = |cell: &[i64; 1]| (cell[0] >> (self.count_bits + self.mass_bits)) as f64;
        gain_of_sums(g(left), g(total), h_left, h, l2)
    }

    #[inline]
    fn statistic(&self, cell: &[i64; 1], _: &[i64; 1], mass: f64) -> f64 {
        (cell[0] >> (self.count_bits + self.mass_bits)) as f64 / mass
    }

    #[inline]
    fn agree(&self, a: i64, b: i64) -> bool {
        let parts = |item: i64| {
            let mass = if self.mass_bits == 0 { 1 } else { item >> self.count_bits & low(self.mass_bits) };
            [item >> (self.count_bits + self.mass_bits), mass].map(i128::from)
        };
        let ([ga, ha], [gb, hb]) = (parts(a), parts(b));
        ga * hb == gb * ha
    }
}

/// Values not below 0, by half the Poisson deviance from the mean of their side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poisson {
    /// How values less their mean are summed up.
    pub(crate) moments: Moments,
    /// The mean of the values.
    pub(crate) mean: f64,
    /// The value times mass that a unit of g is.
    pub(crate) unit: f64,
}

impl Poisson {
    /// The sum of the values; 0 if that is rounding alone.
    fn sum(&self, g: f64, h: f64, count: i64) -> f64 {
        let sum = g * self.unit + self.mean * h;
        if sum > self.unit * count as f64 { sum } else { 0.0 }
    }
}

impl Criterion for Poisson {
    type Item = [i64; 2];
    type Cell = [i64; 2];

    #[inline(always)]
    fn add(&self, cell: &mut [i64; 2], item: [i64; 2]) {
        self.moments.add(cell, item);
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; 2], item: [i64; 2]) {
        self.moments.add_if(keep, cell, item);
    }

    #[inline(always)]
    fn count(&self, cell: &[i64; 2]) -> i64 {
        self.moments.count(cell)
    }

    #[inline(always)]
    fn mass(&self, cell: &[i64; 2]) -> f64 {
        self.moments.mass(cell)
    }

    /// A side whose values are all 0 is forbidden, as in scikit-learn: its deviance has no bound.
    fn gain(&self, left: &[i64; 2], total: &[i64; 2], h_left: f64, h: f64, _: f64) -> (f64, f64) {
        let (n_left, n) = (self.count(left), self.count(total));
        let of_left = self.sum(left[1] as f64, h_left, n_left);
        let of_right = self.sum((total[1] - left[1]) as f64, h - h_left, n - n_left);
        if of_left == 0.0 || of_right == 0.0 {
            return (f64::NEG_INFINITY, 1.0);
        }
        let term = |sum: f64, mass: f64| sum * (sum / mass).ln();
        let gain = term(of_left, h_left) + term(of_right, h - h_left) - term(of_left + of_right, h);
        (gain.max(0.0), 1.0)
    }

    #[inline]
    fn statistic(&self, cell: &[i64; 2], total: &[i64; 2], mass: f64) -> f64 {
        self.moments.statistic(cell, total, mass)
    }

    #[inline]
    fn agree(&self, a: [i64; 2], b: [i64; 2]) -> bool {
        self.moments.agree(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_sums_come_apart_again() {
        for (n_rows, mass_is_count) in [(100_000, false), (3, false), (5_000_000, true)] {
            let packed = Packed::new(n_rows, mass_is_count).unwrap();
            let (mut left, mut total) = ([0], [0]);
            for (g, mass) in [(-7, 1), (2, 3), (-1, 1)] {
                packed.add(&mut total, packed.item(g, mass));
                packed.add_if(mass == 3, &mut left, packed.item(g, mass));
            }
            assert_eq!((packed.count(&left), packed.count(&total)), (1, 3));
            let masses = if mass_is_count { (1.0, 3.0) } else { (3.0, 5.0) };
            assert_eq!((packed.mass(&left), packed.mass(&total)), masses);
            let expected = gain_of_sums(2.0, -6.0, masses.0, masses.1, 0.5);
            assert_eq!(packed.gain(&left, &total, masses.0, masses.1, 0.5), expected);
        }
        assert!(Packed::new(1 << 20, false).is_none());
    }

    #[test]
    fn rows_of_a_large_table_agree_without_an_overflow() {
        let moments = Moments { mass_bits: 43 };
        let row = |g, mass| moments.item(g, mass);
        assert!(moments.agree(row(1 << 40, 1 << 41), row(1 << 40, 1 << 41)));
        assert!(!moments.agree(row(1 << 40, 1 << 41), row(-(1 << 40), 1 << 41)));
    }

    #[test]
    fn poisson_gains_half_the_deviance() {
        // Values 1, 3 | 8 of mean 4, in quarters.
        let poisson = Poisson { moments: Moments { mass_bits: 40 }, mean: 4.0, unit: 0.25 };
        let cell = |values: &[i64]| {
            let g = values.iter().map(|value| 4 * (value - 4)).sum();
            [((1 << 40) + 1) * values.len() as i64, g]
        };
        let (gain, _) = poisson.gain(&cell(&[1, 3]), &cell(&[1, 3, 8]), 2.0, 3.0, 0.0);
        let half_deviance = |values: &[f64]| -> f64 {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|y| y * (y / mean).ln() - y + mean).sum()
        };
        let expected = half_deviance(&[1.0, 3.0, 8.0]) - half_deviance(&[1.0, 3.0]) - half_deviance(&[8.0]);
        assert!((gain - expected).abs() < 1e-12);
        assert_eq!(poisson.gain(&cell(&[0]), &cell(&[0, 8]), 1.0, 2.0, 0.0).0, f64::NEG_INFINITY);
    }
}
