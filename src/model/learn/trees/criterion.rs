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

/// The cells of a column, by bin. Of a thousand classes they are two megabytes, for which no stack has room: they are
/// a part of [`no_rows`], and never moved.
pub(crate) type Cells<C> = [<C as Criterion>::Cell; 256];

/// The cells of so many columns, without any row.
pub(crate) fn no_rows<C: Criterion>(n_columns: usize) -> Vec<C::Cell> {
    vec![C::Cell::ZERO; n_columns * 256]
}

/// How rows are summed up in cells, and how sums become gains.
pub(crate) trait Criterion: Send + Sync {
    /// The numbers that a row adds to a cell.
    type Item: Copy + Default + Send + Sync;

    /// The sum of some rows.
    type Cell: Cell;

    /// Whether boosting takes it, which alone bounds the values of nodes.
    const MAY_BE_BOUND: bool = false;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(g_left: f64, g: f64, h_left: f64, h: f64, l2: f64) -> f64 {
        let (numerator, denominator) = gain_of_sums(g_left, g, h_left, h, l2);
        assert!(denominator > 0.0);
        numerator / denominator
    }

    /// Sums of a left side and of all rows: g left, g, h left, h.
    const SUMS: [[f64; 4]; 5] = [
        [3.0, 4.0, 5.0, 9.0],
        [-2.5, 1.0, 0.5, 8.0],
        [0.0, 0.0, 1.0, 2.0],
        [7.0, -7.0, 3.0, 4.0],
        [6.0, 9.0, 4.0, 6.0],
    ];

    #[test]
    fn a_gain_is_the_same_whichever_side_is_left() {
        for [g_left, g, h_left, h] in SUMS {
            for l2 in [0.0, 0.5, 3.0] {
                let (one, other) = (gain(g_left, g, h_left, h, l2), gain(g - g_left, g, h - h_left, h, l2));
                assert!((one - other).abs() < 1e-12 * one.abs().max(1.0), "{g_left} {g} {l2}: {one} {other}");
            }
        }
    }

    #[test]
    fn a_gain_is_g_squared_over_h_of_the_sides_less_that_of_all() {
        let term = |g: f64, h: f64, l2: f64| g * g / (h + l2);
        for [g_left, g, h_left, h] in SUMS {
            for l2 in [0.0, 0.5, 3.0] {
                let wanted = term(g_left, h_left, l2) + term(g - g_left, h - h_left, l2) - term(g, h, l2);
                let found = gain(g_left, g, h_left, h, l2);
                assert!((found - wanted).abs() < 1e-12 * wanted.abs().max(1.0), "{found} {wanted}");
            }
        }
    }

    #[test]
    fn sides_of_the_same_mean_gain_nothing() {
        assert_eq!(gain(2.0, 6.0, 1.0, 3.0, 0.0), 0.0);
        assert_eq!(gain(-5.0, -10.0, 4.0, 8.0, 0.0), 0.0);
        assert!(gain(2.0, 6.0, 1.0, 3.0, 1.0) < 0.0, "a penalty counts each side");
    }

    #[test]
    fn the_gain_of_two_classes_is_half_the_gini_impurity_that_is_lost() {
        let gini = |first: f64, second: f64| {
            let n = first + second;
            1.0 - (first / n).powi(2) - (second / n).powi(2)
        };
        // Counts of known impurity: a pure side, an even one.
        assert_eq!((gini(4.0, 0.0), gini(3.0, 3.0)), (0.0, 0.5));
        for ([a, b], [c, d]) in [([4.0, 0.0], [0.0, 4.0]), ([3.0, 3.0], [5.0, 1.0]), ([1.0, 2.0], [2.0, 4.0])]
        {
            let all = (a + b + c + d) * gini(a + c, b + d);
            let lost = all - (a + b) * gini(a, b) - (c + d) * gini(c, d);
            let found = gain(b, b + d, a + b, a + b + c + d, 0.0);
            assert!((found - lost / 2.0).abs() < 1e-12, "{found} {lost}");
        }
    }

    #[test]
    fn splits_of_equal_gain_in_whole_numbers_are_equal_to_the_last_bit() {
        // Sides exchanged, and all numbers negated.
        let (numerator, denominator) = gain_of_sums(1e6 + 1.0, 3e6, 7.0, 19.0, 0.0);
        assert_eq!(gain_of_sums(3e6 - (1e6 + 1.0), 3e6, 12.0, 19.0, 0.0), (numerator, denominator));
        assert_eq!(gain_of_sums(-(1e6 + 1.0), -3e6, 7.0, 19.0, 0.0), (numerator, denominator));
    }

    #[test]
    fn cells_are_added_and_taken_away_exactly_in_any_order() {
        let cells = [[1, i64::MAX / 4], [5, -9], [-3, 2]];
        let sum = |order: [usize; 3]| order.iter().fold(<[i64; 2]>::ZERO, |sum, &i| sum.plus(&cells[i]));
        let parent = sum([0, 1, 2]);
        assert_eq!(parent, sum([2, 0, 1]));
        assert_eq!(
            parent.minus(&cells[1]),
            cells[0].plus(&cells[2]),
            "a histogram is its parent's less its sibling's"
        );
        assert_eq!((low(1), low(10), low(32)), (1, 1023, i64::from(u32::MAX)));
    }
}
