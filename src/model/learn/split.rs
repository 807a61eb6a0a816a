//! The search for the best split of a node: what is summed up per bin, what a split gains, which cut, which
//! subset of levels and which way for missing values gain most.
//!
//! Sums are whole numbers in fixed point. They are exact whatever the order, so that a histogram is its
//! parent's less its sibling's to the last bit, and threads cannot change a tree.
//!
//! One formula serves all trees: with g and h summed per side, G²/H gains what squared error loses, for
//! regression (h the weight, g weight × value), for two classes (g the weight of the second class: the Gini
//! impurity is twice the variance of a 0/1 variable), for Newton steps (Chen and Guestrin 2016, "XGBoost",
//! eq. 7), and summed over classes for many (Breiman et al. 1984, 4.3). It is compared as a fraction, which
//! saves nearly all divisions.

use super::bins::{Kind, MISSING};

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

/// A set of bins.
pub type BinSet = [u64; 4];

/// Levels whose statistic rests on fewer rows than this count as noise in small sums; LightGBM's `cat_smooth`
/// and `cat_l2`, used where leaves are added up.
pub const CATEGORY_SMOOTHING: f64 = 10.0;

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
    /// Neither is negative, and the denominator is 0 only where a side has no mass.
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
    fn of_class(self, cell: i64, class: u32) -> f64 {
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
        (0..self.n_classes).map(|class| self.of_class(cell[0], class)).sum()
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; 1], total: &[i64; 1], h_left: f64, h: f64, _: f64) -> (f64, f64) {
        let difference = |class| {
            let (g_left, g) = (self.of_class(left[0], class), self.of_class(total[0], class));
            g_left * h - g * h_left
        };
        let squares: f64 = (0..self.n_classes).map(|class| difference(class).powi(2)).sum();
        (squares, h_left * (h - h_left) * h)
    }

    fn statistic(&self, cell: &[i64; 1], total: &[i64; 1], mass: f64) -> f64 {
        let most = (0..self.n_classes).fold(0, |most, class| {
            if self.of_class(total[0], class) > self.of_class(total[0], most) { class } else { most }
        });
        self.of_class(cell[0], most) / mass
    }

    fn agree(&self, a: i64, b: i64) -> bool {
        // Only the field of its class is not empty.
        (a >> self.bits).ilog2() / self.bits == (b >> self.bits).ilog2() / self.bits
    }
}

/// What a split must keep to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fewest rows of a side.
    pub min_samples_leaf: i64,
    /// Least mass of a side.
    pub min_mass: f64,
    /// A split gains more than this.
    pub min_gain: f64,
    /// Added to the mass of each side.
    pub l2: f64,
    /// Added to the mass of a level for its statistic, and to `l2` for subsets.
    pub category_smoothing: f64,
}

/// The best split found so far.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    /// What it gains.
    pub gain: f64,
    /// The column.
    pub column: u32,
    /// The last bin that goes left, of a number.
    pub cut: u8,
    /// The bins that go left, of a category.
    pub subset: Option<BinSet>,
    /// The bins that have rows in the node, of a category.
    pub present: BinSet,
    /// The way of missing values; `None` where the node has none.
    pub missing_left: Option<bool>,
}

impl Best {
    /// No split yet.
    pub fn none(min_gain: f64) -> Self {
        Self { gain: min_gain, column: u32::MAX, cut: 0, subset: None, present: [0; 4], missing_left: None }
    }

    /// Whether there is a split.
    pub fn found(&self) -> bool {
        self.column != u32::MAX
    }
}

/// The first `n_bins` bins.
pub fn first_bins(n_bins: usize) -> BinSet {
    std::array::from_fn(|word| match n_bins.saturating_sub(64 * word) {
        0 => 0,
        n if n >= 64 => u64::MAX,
        n => (1 << n) - 1,
    })
}

/// The bins of a set, in order.
#[inline(always)]
pub fn bins_of(set: BinSet) -> impl Iterator<Item = u8> + Clone {
    set.into_iter().zip(0_u8..).flat_map(|(mut word, i)| {
        std::iter::from_fn(move || {
            let bit = word.trailing_zeros();
            (word != 0).then(|| {
                word &= word - 1;
                64 * i + bit as u8
            })
        })
    })
}

/// Whether a set holds a bin.
#[inline(always)]
pub fn holds(set: &BinSet, bin: u8) -> bool {
    set[usize::from(bin / 64)] >> (bin % 64) & 1 == 1
}

/// Adds a bin to a set.
#[inline(always)]
pub fn insert(set: &mut BinSet, bin: u8) {
    set[usize::from(bin / 64)] |= 1 << (bin % 64);
}

/// Scans the cells of a column (those of `bins`, missing ones aside) and keeps the split that gains most.
#[inline]
pub fn scan<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    column: (u32, &Kind),
    cells: &Cells<C>,
    bins: BinSet,
    total: &C::Cell,
    best: &mut Best,
) {
    match column.1 {
        Kind::Number { thresholds } => {
            let mut local = Best::none(best.gain);
            let n_bins = thresholds.len() as u8 + 1;
            if bins == first_bins(usize::from(n_bins)) {
                scan_in_order(criterion, limits, limits.l2, cells, 0..n_bins, total, &mut local);
            } else {
                scan_in_order(criterion, limits, limits.l2, cells, bins_of(bins), total, &mut local);
            }
            if local.gain > best.gain {
                let next = bins_of(bins)
                    .find(|&bin| bin > local.cut && criterion.count(&cells[usize::from(bin)]) != 0);
                // Without a next bin the split parts values from gaps.
                local.cut =
                    next.map_or(thresholds.len() as u8, |next| central_cut(thresholds, local.cut, next));
                *best = Best { column: column.0, ..local };
            }
        }
        Kind::Category { .. } => {
            let mut sorted = [(0.0, 0); 256];
            let (mut n, mut present) = (0, [0; 4]);
            for bin in bins_of(bins) {
                let cell = &cells[usize::from(bin)];
                if criterion.count(cell) != 0 {
                    let mass = criterion.mass(cell) + limits.category_smoothing;
                    sorted[n] = (criterion.statistic(cell, total, mass), bin);
                    n += 1;
                    insert(&mut present, bin);
                }
            }
            let sorted = &mut sorted[..n];
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut local = Best::none(best.gain);
            let order = sorted.iter().map(|&(_, bin)| bin);
            let l2 = limits.l2 + limits.category_smoothing;
            scan_in_order(criterion, limits, l2, cells, order, total, &mut local);
            if local.gain > best.gain {
                let mut subset = [0; 4];
                for &(_, bin) in sorted.iter() {
                    insert(&mut subset, bin);
                    if bin == local.cut {
                        break;
                    }
                }
                *best = Best { column: column.0, subset: Some(subset), present, ..local };
            }
        }
    }
}

/// Of the cuts that part the rows alike, the one nearest to half-way between the two bins: what lies between
/// goes to the nearer side.
fn central_cut(thresholds: &[f64], cut: u8, next: u8) -> u8 {
    let candidates = &thresholds[usize::from(cut)..usize::from(next).min(thresholds.len())];
    let (Some(first), Some(last)) = (candidates.first(), candidates.last()) else {
        return cut;
    };
    let middle = first / 2.0 + last / 2.0;
    let above = candidates.partition_point(|&threshold| threshold < middle);
    let nearest = match above {
        0 => 0,
        _ if above < candidates.len() && candidates[above] - middle < middle - candidates[above - 1] => above,
        _ => above - 1,
    };
    cut + nearest as u8
}

/// Scans once where no value is missing, else once for each way of those.
#[inline(always)]
fn scan_in_order<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    l2: f64,
    cells: &Cells<C>,
    order: impl Iterator<Item = u8> + Clone,
    total: &C::Cell,
    best: &mut Best,
) {
    let missing = &cells[usize::from(MISSING)];
    let ways = [(None, C::Cell::ZERO), (Some(false), C::Cell::ZERO), (Some(true), *missing)];
    let ways = if *missing == C::Cell::ZERO { &ways[..1] } else { &ways[1..] };
    let (n, h) = (criterion.count(total), criterion.mass(total));
    for (missing_left, start) in ways {
        // Without a value of its own the left side is no side.
        let min_left = limits.min_samples_leaf.max(criterion.count(start) + 1);
        let mut left = *start;
        let mut order = order.clone();
        // The left side only gets larger: once it is large enough it stays so.
        let first = order.find(|&bin| {
            left = left.plus(&cells[usize::from(bin)]);
            criterion.count(&left) >= min_left && criterion.mass(&left) >= limits.min_mass
        });
        let Some(mut bin) = first else {
            continue;
        };
        loop {
            let (n_left, h_left) = (criterion.count(&left), criterion.mass(&left));
            // And the right side smaller.
            if n - n_left < limits.min_samples_leaf || h - h_left < limits.min_mass {
                break;
            }
            let (numerator, denominator) = criterion.gain(&left, total, h_left, h, l2);
            if numerator > best.gain * denominator {
                let gain = numerator / denominator;
                if gain > best.gain {
                    *best = Best { gain, cut: bin, missing_left: *missing_left, ..*best };
                }
            }
            let Some(next) = order.next() else {
                break;
            };
            bin = next;
            left = left.plus(&cells[usize::from(bin)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_bins_hold_what_was_put_in() {
        assert_eq!(bins_of(first_bins(70)).collect::<Vec<_>>(), (0..70).collect::<Vec<u8>>());
        assert_eq!(bins_of(first_bins(256)).count(), 256);
        let mut set = [0; 4];
        insert(&mut set, 200);
        assert!(holds(&set, 200) && !holds(&set, 199));
        assert_eq!(bins_of(set).collect::<Vec<_>>(), [200]);
    }

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
    fn a_cut_lies_half_way_between_the_bins_it_parts() {
        let thresholds = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(central_cut(&thresholds, 0, 3), 1);
        assert_eq!(central_cut(&thresholds, 0, 4), 2, "5.5 lies nearest to 3");
        assert_eq!(central_cut(&thresholds, 2, 3), 2);
    }
}
