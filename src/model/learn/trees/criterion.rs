//! What rows add to the cells of a histogram, and what a split gains.
//!
//! Sums are whole numbers in fixed point. They are exact whatever the order, so that a histogram is its
//! parent's less its sibling's to the last bit, and threads cannot change a tree.
//!
//! One formula serves all trees: with g and h summed per side, G²/H gains what squared error loses, for
//! regression (h the weight, g weight × value), for two classes (g the weight of the second class: the Gini
//! impurity is twice the variance of a 0/1 variable), for Newton steps (Chen and Guestrin 2016, "XGBoost",
//! eq. 7), and summed over classes for many (Breiman et al. 1984, 4.3). It is compared as a fraction, which
//! saves nearly all divisions.

/// Whole numbers that are summed up over rows.
pub trait Cell: Copy + PartialEq + Send + Sync {
    /// No rows.
    const ZERO: Self;

    /// The rows of both.
    fn plus(&self, other: &Self) -> Self;

    /// Without the rows of `other`.
    fn minus(&self, other: &Self) -> Self;
}

impl<const W: usize> Cell for [i64; W] {
    const ZERO: Self = [0; W];

    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }

    #[inline(always)]
    fn minus(&self, other: &Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }
}

/// The cells of a column, by bin.
pub type Cells<C> = [<C as Criterion>::Cell; 256];
/// What rows add to cells, and what a split gains.
pub trait Criterion: Send + Sync {
    /// What a row adds to a cell.
    type Item: Copy + Default + Send + Sync;

    /// The sum of some rows.
    type Cell: Cell;

    /// Adds a row.
    fn add(&self, cell: &mut Self::Cell, item: Self::Item);

    /// As [`Criterion::add`] if `keep`, without a branch to mispredict.
    fn add_if(&self, keep: bool, cell: &mut Self::Cell, item: Self::Item);

    /// Number of rows of a cell.
    fn count(&self, cell: &Self::Cell) -> i64;

    /// What its rows count together: the sum of weights, or of second derivatives.
    fn mass(&self, cell: &Self::Cell) -> f64;

    /// Numerator and denominator of what parting `left` (of mass `h_left`) from `total` (of mass `h`) gains.
    /// Neither is negative, and the denominator is 0 only where a side has no mass; a numerator of −∞ forbids.
    fn gain(&self, left: &Self::Cell, total: &Self::Cell, h_left: f64, h: f64, l2: f64) -> (f64, f64);

    /// What levels are sorted by.
    fn statistic(&self, cell: &Self::Cell, total: &Self::Cell, mass: f64) -> f64;

    /// Whether two rows say the same, so that nothing is gained by parting them.
    fn agree(&self, a: Self::Item, b: Self::Item) -> bool;
}

/// The gain of sums of one number per row, by the formula of the module.
#[inline(always)]
fn gain_of_sums(g_left: f64, g: f64, h_left: f64, h: f64, l2: f64) -> (f64, f64) {
    let (g_right, h_right) = (g - g_left, h - h_left);
    if l2 == 0.0 {
        // The difference of means keeps its digits where the sides are alike, and of small whole numbers is
        // exact, so that equal splits gain the same.
        let d = g_left * h - g * h_left;
        (d * d, h_left * h_right * h)
    } else {
        let (a, b, c) = (h_left + l2, h_right + l2, h + l2);
        let sides = g_left * g_left * b + g_right * g_right * a;
        (sides * c - g * g * a * b, a * b * c)
    }
}

/// The mask of the lowest bits.
#[inline(always)]
fn low(bits: u32) -> i64 {
    (1 << bits) - 1
}

/// One number per row, exact to 31 bits: `[count and mass, g]`.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// Bits of the mass, below the count.
    pub mass_bits: u32,
}

impl Moments {
    /// What a row adds: its g and its mass.
    pub fn item(self, g: i64, mass: i64) -> [i64; 2] {
        [(1 << self.mass_bits) + mass, g]
    }
}

impl Criterion for Moments {
    type Item = [i64; 2];
    type Cell = [i64; 2];

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

    fn statistic(&self, cell: &[i64; 2], _: &[i64; 2], mass: f64) -> f64 {
        cell[1] as f64 / mass
    }

    fn agree(&self, a: [i64; 2], b: [i64; 2]) -> bool {
        // Equal values may differ by the rounding of their g.
        let [ha, hb] = [a, b].map(|item| item[0] & low(self.mass_bits));
        (a[1] * hb - b[1] * ha).abs() <= ha + hb
    }
}

/// One number per row, all in one: from the top g, mass, count. Half the memory of [`Moments`] and twice the
/// speed, at fewer bits (Shi et al. 2022, "Quantized training of gradient boosting decision trees").
#[derive(Debug, Clone, Copy)]
pub struct Packed {
    count_bits: u32,
    /// 0 where the mass is the count.
    mass_bits: u32,
}

impl Packed {
    /// The layout for so many rows; `None` if too few bits would be left.
    pub fn new(n_rows: usize, mass_is_count: bool) -> Option<Self> {
        let count_bits = usize::BITS - n_rows.leading_zeros();
        let rest = 64 - count_bits;
        let mass_bits = if mass_is_count { 0 } else { rest / 2 - 1 };
        (rest >= 46 || (mass_is_count && rest >= 40)).then_some(Self { count_bits, mass_bits })
    }

    /// The sums of all g, and of all masses, that fit.
    pub fn room(self) -> [f64; 2] {
        let g_bits = 63 - self.count_bits - self.mass_bits;
        [g_bits, self.mass_bits].map(|bits| (1_u64 << bits) as f64 - 1.0)
    }

    /// What a row adds: its g and its mass.
    #[inline(always)]
    pub fn item(self, g: i64, mass: i64) -> i64 {
        let mass = if self.mass_bits == 0 { 0 } else { mass };
        (((g << self.mass_bits) + mass) << self.count_bits) + 1
    }
}

impl Criterion for Packed {
    type Item = i64;
    type Cell = [i64; 1];

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

    fn statistic(&self, cell: &[i64; 1], _: &[i64; 1], mass: f64) -> f64 {
        (cell[0] >> (self.count_bits + self.mass_bits)) as f64 / mass
    }

    fn agree(&self, a: i64, b: i64) -> bool {
        let parts = |item: i64| {
            let mass = if self.mass_bits == 0 { 1 } else { item >> self.count_bits & low(self.mass_bits) };
            [item >> (self.count_bits + self.mass_bits), mass].map(i128::from)
        };
        let ([ga, ha], [gb, hb]) = (parts(a), parts(b));
        ga * hb == gb * ha
    }
}

/// One class per row.
#[derive(Debug, Clone, Copy)]
pub struct Classes<const W: usize> {
    /// Number of classes, below the width `W` of a cell.
    pub n_classes: usize,
    /// Bits of the mass, below the count.
    pub mass_bits: u32,
}

impl<const W: usize> Criterion for Classes<W> {
    /// The class and the weight.
    type Item = [i32; 2];
    type Cell = [i64; W];

    #[inline(always)]
    fn add(&self, cell: &mut [i64; W], item: [i32; 2]) {
        cell[0] += (1 << self.mass_bits) + i64::from(item[1]);
        cell[1 + item[0] as usize] += i64::from(item[1]);
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; W], item: [i32; 2]) {
        let mask = -i64::from(keep);
        cell[0] += ((1 << self.mass_bits) + i64::from(item[1])) & mask;
        cell[1 + item[0] as usize] += i64::from(item[1]) & mask;
    }

    #[inline(always)]
    fn count(&self, cell: &[i64; W]) -> i64 {
        cell[0] >> self.mass_bits
    }

    #[inline(always)]
    fn mass(&self, cell: &[i64; W]) -> f64 {
        (cell[0] & low(self.mass_bits)) as f64
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; W], total: &[i64; W], h_left: f64, h: f64, _: f64) -> (f64, f64) {
        let classes = left.iter().zip(total).skip(1).take(self.n_classes);
        let squares: f64 = classes.map(|(&g_left, &g)| (g_left as f64 * h - g as f64 * h_left).powi(2)).sum();
        (squares, h_left * (h - h_left) * h)
    }

    /// The share of the class that is most frequent in the node.
    fn statistic(&self, cell: &[i64; W], total: &[i64; W], mass: f64) -> f64 {
        let mut most = 1;
        for class in 1..=self.n_classes {
            if total[class] > total[most] {
                most = class;
            }
        }
        cell[most] as f64 / mass
    }

    fn agree(&self, a: [i32; 2], b: [i32; 2]) -> bool {
        a[0] == b[0]
    }
}

/// One class per row of a small table without weights: from the lowest bits the count, then the times each
/// class was drawn, all in one number, so that a row is added without a look at its class.
#[derive(Debug, Clone, Copy)]
pub struct PackedClasses {
    n_classes: u32,
    bits: u32,
}

impl PackedClasses {
    /// The layout for so many rows and classes; `None` if they do not fit.
    pub fn new(n_rows: usize, n_classes: usize) -> Option<Self> {
        let bits = usize::BITS - n_rows.leading_zeros();
        let n_classes = u32::try_from(n_classes).ok()?;
        let all = n_classes.checked_add(1)?.checked_mul(bits)?;
        (all < 64).then_some(Self { n_classes, bits })
    }

    /// What a row of a class adds that was drawn so many times.
    pub fn item(self, class: u32, draws: i64) -> i64 {
        (draws << (self.bits * (class + 1))) + 1
    }

    #[inline(always)]
    fn field(self, cell: i64, class: u32) -> f64 {
        (cell >> (self.bits * (class + 1)) & low(self.bits)) as f64
    }
}

impl Criterion for PackedClasses {
    type Item = i64;
    type Cell = [i64; 1];

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
        cell[0] & low(self.bits)
    }

    #[inline(always)]
    fn mass(&self, cell: &[i64; 1]) -> f64 {
        (0..self.n_classes).map(|class| self.field(cell[0], class)).sum()
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; 1], total: &[i64; 1], h_left: f64, h: f64, _: f64) -> (f64, f64) {
        let difference = |class| {
            let (g_left, g) = (self.field(left[0], class), self.field(total[0], class));
            g_left * h - g * h_left
        };
        let squares: f64 = (0..self.n_classes).map(|class| difference(class).powi(2)).sum();
        (squares, h_left * (h - h_left) * h)
    }

    fn statistic(&self, cell: &[i64; 1], total: &[i64; 1], mass: f64) -> f64 {
        let most = (0..self.n_classes).fold(0, |most, class| {
            if self.field(total[0], class) > self.field(total[0], most) { class } else { most }
        });
        self.field(cell[0], most) / mass
    }

    fn agree(&self, a: i64, b: i64) -> bool {
        // Only the field of its class is not empty.
        (a >> self.bits).ilog2() / self.bits == (b >> self.bits).ilog2() / self.bits
    }
}

/// Shares of classes.
pub trait ClassMasses: Criterion {
    /// Number of classes.
    fn n_classes(&self) -> usize;

    /// The mass of the rows of a class.
    fn of_class(&self, cell: &Self::Cell, class: usize) -> f64;
}

impl<const W: usize> ClassMasses for Classes<W> {
    fn n_classes(&self) -> usize {
        self.n_classes
    }

    #[inline(always)]
    fn of_class(&self, cell: &[i64; W], class: usize) -> f64 {
        cell[1 + class] as f64
    }
}

impl ClassMasses for PackedClasses {
    fn n_classes(&self) -> usize {
        self.n_classes as usize
    }

    #[inline(always)]
    fn of_class(&self, cell: &[i64; 1], class: usize) -> f64 {
        self.field(cell[0], class as u32)
    }
}

/// x log₂ (x / of), 0 where x is 0.
#[inline(always)]
fn information(x: f64, of: f64) -> f64 {
    if x > 0.0 { x * (x / of).log2() } else { 0.0 }
}

/// Classes by Shannon's entropy in bits (Quinlan 1986, "Induction of decision trees") instead of the Gini impurity.
#[derive(Debug, Clone, Copy)]
pub struct Entropy<C>(pub C);

impl<C: ClassMasses> Criterion for Entropy<C> {
    type Item = C::Item;
    type Cell = C::Cell;

    #[inline(always)]
    fn add(&self, cell: &mut C::Cell, item: C::Item) {
        self.0.add(cell, item);
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut C::Cell, item: C::Item) {
        self.0.add_if(keep, cell, item);
    }

    #[inline(always)]
    fn count(&self, cell: &C::Cell) -> i64 {
        self.0.count(cell)
    }

    #[inline(always)]
    fn mass(&self, cell: &C::Cell) -> f64 {
        self.0.mass(cell)
    }

    fn gain(&self, left: &C::Cell, total: &C::Cell, h_left: f64, h: f64, _: f64) -> (f64, f64) {
        let of_class = |class| {
            let (n_left, n) = (self.0.of_class(left, class), self.0.of_class(total, class));
            information(n_left, h_left) + information(n - n_left, h - h_left) - information(n, h)
        };
        ((0..self.0.n_classes()).map(of_class).sum::<f64>().max(0.0), 1.0)
    }

    fn statistic(&self, cell: &C::Cell, total: &C::Cell, mass: f64) -> f64 {
        self.0.statistic(cell, total, mass)
    }

    fn agree(&self, a: C::Item, b: C::Item) -> bool {
        self.0.agree(a, b)
    }
}

/// Values not below 0 by half their Poisson deviance from the mean of their side, instead of the squared error.
#[derive(Debug, Clone, Copy)]
pub struct Poisson {
    /// The sums, of values less their mean.
    pub moments: Moments,
    /// That mean.
    pub mean: f64,
    /// What a unit of g is of a value times a unit of mass.
    pub unit: f64,
}

impl Poisson {
    /// The sum of the values; 0 where it is rounding alone.
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

    /// A side where all values are 0 is forbidden, as in scikit-learn: its deviance has no bound.
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

    fn statistic(&self, cell: &[i64; 2], total: &[i64; 2], mass: f64) -> f64 {
        self.moments.statistic(cell, total, mass)
    }

    fn agree(&self, a: [i64; 2], b: [i64; 2]) -> bool {
        self.moments.agree(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_of_two_classes_is_that_of_many() {
        let ratio = |(numerator, denominator): (f64, f64)| numerator / denominator;
        let of_moments = Moments { mass_bits: 40 };
        let moments = ratio(of_moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 0.0));
        let classes = Classes::<3> { n_classes: 2, mass_bits: 40 };
        let both = ratio(classes.gain(&[10, 7, 3], &[30, 9, 21], 10.0, 30.0, 0.0));
        assert!((both - 2.0 * moments).abs() < 1e-12);
        let packed = PackedClasses::new(30, 2).unwrap();
        let sum = |counts: [i64; 2]| [packed.item(0, counts[0]) + packed.item(1, counts[1]) - 1];
        let of_packed = ratio(packed.gain(&sum([7, 3]), &sum([9, 21]), 10.0, 30.0, 0.0));
        assert_eq!((of_packed, packed.mass(&sum([7, 3]))), (both, 10.0));
        assert!(
            packed.agree(packed.item(1, 1), packed.item(1, 5))
                && !packed.agree(packed.item(0, 31), packed.item(1, 1))
        );
        assert!(PackedClasses::new(100_000, 3).is_none());
        let l2 = ratio(of_moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 1e-12));
        assert!((l2 - moments).abs() < 1e-9);
    }

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
    fn entropy_and_poisson_gain_what_their_definitions_say() {
        let classes = Classes::<4> { n_classes: 3, mass_bits: 40 };
        let entropy = |masses: [f64; 3]| -> f64 {
            let h: f64 = masses.iter().sum();
            masses.iter().filter(|&&m| m > 0.0).map(|m| -m / h * (m / h).log2()).sum()
        };
        let (gain, one) = Entropy(classes).gain(&[10, 7, 3, 0], &[30, 9, 11, 10], 10.0, 30.0, 0.0);
        let sides = 10.0 * entropy([7.0, 3.0, 0.0]) + 20.0 * entropy([2.0, 8.0, 10.0]);
        assert!((gain / one - (30.0 * entropy([9.0, 11.0, 10.0]) - sides)).abs() < 1e-12);
        let packed = PackedClasses::new(30, 3).unwrap();
        let sum = |counts: [i64; 3]| [(0..3).map(|c| packed.item(c, counts[c as usize])).sum::<i64>() - 2];
        assert_eq!(Entropy(packed).gain(&sum([7, 3, 0]), &sum([9, 11, 10]), 10.0, 30.0, 0.0), (gain, one));

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
