//! Monotonic constraints: bounds on the values of a node that are passed down the tree.
//!
//! A split on a constrained column puts the middle of its children's values between all leaves of the one side and all
//! leaves of the other; a split on any other column hands its bounds to both. It is the method "basic" of LightGBM, and
//! that of XGBoost and of scikit-learn's `HistGradientBoosting*`.
//!
//! Values are those of Newton steps, −G / (H + l2), in the units of the items.

use super::criterion::{Cell, Criterion};
use crate::model::learn::dataset::Direction;

/// A split gains more than this share of the terms that its gain is the difference of: less is rounding.
const MIN_RELATIVE_GAIN: f64 = 1e-12;

/// The least and the largest value of the leaves below a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// The least one.
    pub(crate) low: f64,
    /// The largest one.
    pub(crate) high: f64,
}

impl Bounds {
    /// Any value.
    pub(crate) const FREE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// Whether any value is within.
    pub(crate) fn is_free(self) -> bool {
        self == Self::FREE
    }

    /// The nearest value within.
    pub(crate) fn clamp(self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// The same in a unit of which there are so many in the one before.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor }
    }

    /// The bounds of the children of a node, whose values are these, of a split on a column of this direction.
    pub(crate) fn of_children(self, direction: Direction, [left, right]: [f64; 2]) -> [Self; 2] {
        let middle = left / 2.0 + right / 2.0;
        let (below, above) = (Self { high: middle, ..self }, Self { low: middle, ..self });
        match direction {
            Direction::Free => [self; 2],
            Direction::Rising => [below, above],
            Direction::Falling => [above, below],
        }
    }
}

/// The rows of a node that is searched, and the values it may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<'a, T> {
    /// Their sum.
    pub(crate) total: &'a T,
    /// The values.
    pub(crate) bounds: Bounds,
}

impl<'a, T: Cell> Whole<'a, T> {
    /// Rows whose value may be any.
    pub(crate) fn free(total: &'a T) -> Self {
        Self { total, bounds: Bounds::FREE }
    }

    /// The value of some of the rows, within the bounds, and what it takes off the loss: twice that of the node with
    /// value 0, less that with this value.
    fn term(&self, criterion: &impl Criterion<Cell = T>, cell: &T, mass: f64, l2: f64) -> (f64, f64) {
        let wanted = -criterion.statistic(cell, self.total, mass + l2);
        let value = self.bounds.clamp(wanted);
        (value, (mass + l2) * value * (2.0 * wanted - value))
    }

    /// The value of some of the rows, within the bounds.
    pub(crate) fn value(&self, criterion: &impl Criterion<Cell = T>, cell: &T, l2: f64) -> f64 {
        self.term(criterion, cell, criterion.mass(cell), l2).0
    }

    /// As [`Criterion::gain`] with values within the bounds and in the `direction` of the column that is split on. The
    /// denominator is 1.
    pub(crate) fn gain(
        &self,
        criterion: &impl Criterion<Cell = T>,
        direction: Direction,
        left: &T,
        h_left: f64,
        h: f64,
        l2: f64,
    ) -> (f64, f64) {
        let right = self.total.minus(left);
        let (left_value, of_left) = self.term(criterion, left, h_left, l2);
        let (right_value, of_right) = self.term(criterion, &right, h - h_left, l2);
        let keeps_to_it = match direction {
            Direction::Free => true,
            Direction::Rising => left_value <= right_value,
            Direction::Falling => left_value >= right_value,
        };
        let gain = of_left + of_right - self.term(criterion, self.total, h, l2).1;
        let is_gain = keeps_to_it && gain > MIN_RELATIVE_GAIN * (of_left.abs() + of_right.abs());
        (if is_gain { gain } else { f64::NEG_INFINITY }, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::trees::moments::Moments;

    const CRITERION: Moments = Moments { mass_bits: 40 };

    /// The sum of so many rows with these derivatives.
    fn rows(n: i64, g: i64, h: i64) -> [i64; 2] {
        let [a, b] = CRITERION.item(g, h);
        [n * a, n * b]
    }

    #[test]
    fn without_bounds_a_gain_is_that_of_the_criterion() {
        for (left, right) in [((3, -7, 2), (5, 4, 1)), ((1, 9, 1), (8, -1, 3))] {
            let left = rows(left.0, left.1, left.2);
            let total = left.plus(&rows(right.0, right.1, right.2));
            let (h_left, h) = (CRITERION.mass(&left), CRITERION.mass(&total));
            for l2 in [0.0, 2.5] {
                let (numerator, denominator) = CRITERION.gain(&left, &total, h_left, h, l2);
                let wanted = numerator / denominator;
                let free = Whole::free(&total);
                let found = free.gain(&CRITERION, Direction::Free, &left, h_left, h, l2);
                assert!((found.0 / found.1 - wanted).abs() < 1e-9 * wanted.abs(), "{found:?} {wanted}");
            }
        }
    }

    #[test]
    fn a_split_against_the_direction_or_that_the_bounds_make_useless_is_none() {
        // The value of the left side is −2, that of the right one 3.
        let left = rows(4, 2, 1);
        let total = left.plus(&rows(4, -3, 1));
        let gain = |bounds, direction| {
            let whole = Whole { total: &total, bounds };
            whole.gain(&CRITERION, direction, &left, 4.0, 8.0, 0.0).0
        };
        let free = gain(Bounds::FREE, Direction::Free);
        assert_eq!((free, gain(Bounds::FREE, Direction::Rising)), (50.0, 50.0));
        assert_eq!(gain(Bounds::FREE, Direction::Falling), f64::NEG_INFINITY);
        // Of at most 1: 4 · 2² + 4 · 1 · (2 · 3 − 1) − 2.
        assert_eq!(gain(Bounds { high: 1.0, ..Bounds::FREE }, Direction::Free), 16.0 + 20.0 - 2.0);
        let narrow = Bounds { low: 5.0, high: 6.0 };
        assert_eq!(gain(narrow, Direction::Rising), f64::NEG_INFINITY, "both sides have the same value");
    }

    #[test]
    fn children_keep_to_their_side_of_the_middle() {
        let bounds = Bounds { low: -4.0, high: 9.0 };
        let children = |direction| bounds.of_children(direction, [1.0, 4.0]).map(|b| (b.low, b.high));
        assert_eq!(children(Direction::Free), [(-4.0, 9.0); 2]);
        assert_eq!(children(Direction::Rising), [(-4.0, 2.5), (2.5, 9.0)]);
        assert_eq!(children(Direction::Falling), [(2.5, 9.0), (-4.0, 2.5)]);
        assert_eq!([-5.0, 0.5, 10.0].map(|value| bounds.clamp(value)), [-4.0, 0.5, 9.0]);
        assert!(Bounds::FREE.times(0.25).is_free());
    }
}
