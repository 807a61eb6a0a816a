//! The sums of rows in the cells of a histogram, and the gain of a split, for every kind of target.
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
pub(crate) trait Cell: Copy + PartialEq + Send + Sync {
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
pub(crate) type Cells<C> = [<C as Criterion>::Cell; 256];

/// How rows are summed up in cells, and how sums become gains.
pub(crate) trait Criterion: Send + Sync {
    /// The numbers that a row adds to a cell.
    type Item: Copy + Default + Send + Sync;

    /// The sum of some rows.
    type Cell: Cell;

    /// Adds a row.
    fn add(&self, cell: &mut Self::Cell, item: Self::Item);

    /// As [`Criterion::add`] if `keep`, without a branch to mispredict.
    fn add_if(&self, keep: bool, cell: &mut Self::Cell, item: Self::Item);

    /// Number of rows of a cell.
    fn count(&self, cell: &Self::Cell) -> i64;

    /// The mass of its rows: the sum of their weights, or of second derivatives.
    fn mass(&self, cell: &Self::Cell) -> f64;

    /// The gain of splitting `left` (of mass `h_left`) off `total` (of mass `h`), as numerator and denominator.
    /// The denominator is not negative, and 0 only if a side has no mass; without `l2` the numerator is not negative
    /// either, and −∞ forbids the split.
    fn gain(&self, left: &Self::Cell, total: &Self::Cell, h_left: f64, h: f64, l2: f64) -> (f64, f64);

    /// The number that the levels of a category are sorted by.
    fn statistic(&self, cell: &Self::Cell, total: &Self::Cell, mass: f64) -> f64;

    /// Whether two rows have the same target, so that splitting them gains nothing.
    fn agree(&self, a: Self::Item, b: Self::Item) -> bool;
}

/// The gain of sums of one number per row, by the formula of the module.
#[inline(always)]
pub(crate) fn gain_of_sums(g_left: f64, g: f64, h_left: f64, h: f64, l2: f64) -> (f64, f64) {
    let (g_right, h_right) = (g - g_left, h - h_left);
    if l2 == 0.0 {
        // The difference of means keeps its digits if the sides are alike, and of small whole numbers is
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
pub(crate) fn low(bits: u32) -> i64 {
    (1 << bits) - 1
}
