//! The best split of a node on one column: the cut, or the subset of levels, and the side of missing values that
//! gain most.

use super::bin_set::{BinSet, bins_of, first_bins, insert};
use super::bins::{Column, Kind, MISSING};
use super::criterion::{Cell, Cells, Criterion};
use super::monotonic::Whole;
use crate::model::learn::dataset::Direction;

/// Care with categories of many levels, whose best subset would separate the training rows by chance. A level of too
/// few rows stays on the right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Care {
    /// A category of so few levels needs none.
    pub(crate) few_levels: usize,
    /// Mass that is added to that of a level for its statistic.
    pub(crate) smoothing: f64,
    /// Whether that mass has the statistic of the node, or 0 as in LightGBM.
    pub(crate) smooths_to_node: bool,
    /// Added to the penalty of each side.
    pub(crate) l2: f64,
    /// Fewest rows of a level that goes left.
    pub(crate) min_level_rows: i64,
    /// Rows between two cuts that are tried, and fewest rows of a side.
    pub(crate) min_group_rows: i64,
    /// Most levels that go left.
    pub(crate) max_left_levels: usize,
}

/// The limits of a split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Fewest rows of a side.
    pub(crate) min_samples_leaf: i64,
    /// Least mass of a side.
    pub(crate) min_mass: f64,
    /// A split gains more than this.
    pub(crate) min_gain: f64,
    /// Added to the mass of each side.
    pub(crate) l2: f64,
    /// The care that categories are split with, if any.
    pub(crate) care: Option<Care>,
}

impl Limits {
    /// Only these limits; unit mass, no penalties.
    pub(crate) const fn new(min_samples_leaf: i64, min_gain: f64) -> Self {
        Self { min_samples_leaf, min_mass: 1.0, min_gain, l2: 0.0, care: None }
    }
}

/// The best split found so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    /// Its gain.
    pub(crate) gain: f64,
    /// The column.
    pub(crate) column: u32,
    /// The last bin that goes left, of a number.
    pub(crate) cut: u8,
    /// The bins that go left, of a category.
    pub(crate) subset: Option<BinSet>,
    /// The bins that have rows in the node, of a category.
    pub(crate) present: BinSet,
    /// Whether missing values go left; `None` if the node has none.
    pub(crate) missing_left: Option<bool>,
}

impl Best {
    /// No split yet.
    #[inline]
    pub(crate) fn none(min_gain: f64) -> Self {
        Self { gain: min_gain, column: u32::MAX, cut: 0, subset: None, present: [0; 4], missing_left: None }
    }

    /// Whether there is a split.
    #[inline]
    pub(crate) fn found(&self) -> bool {
        self.column != u32::MAX
    }
}

/// Scans the cells of a column (those of `bins`, missing ones aside) and keeps the split that gains most.
#[inline]
pub(crate) fn scan<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    column: (u32, &Column),
    cells: &Cells<C>,
    bins: BinSet,
    whole: Whole<C::Cell>,
    best: &mut Best,
) {
    let kind = (column.0, &column.1.kind);
    if !C::MAY_BE_BOUND || column.1.direction == Direction::Free && whole.bounds.is_free() {
        let gain = |left: &C::Cell, h_left, h, l2| criterion.gain(left, whole.total, h_left, h, l2);
        scan_by(criterion, limits, kind, cells, bins, (whole.total, &gain), best);
    } else {
        let direction = column.1.direction;
        let gain = |left: &C::Cell, h_left, h, l2| whole.gain(criterion, direction, left, h_left, h, l2);
        scan_by(criterion, limits, kind, cells, bins, (whole.total, &gain), best);
    }
}

#[inline(always)]
fn scan_by<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    column: (u32, &Kind),
    cells: &Cells<C>,
    bins: BinSet,
    (total, gain): (&C::Cell, &impl Fn(&C::Cell, f64, f64, f64) -> (f64, f64)),
    best: &mut Best,
) {
    let by = (total, gain);
    match column.1 {
        Kind::Number { thresholds } => {
            let mut local = Best::none(best.gain);
            let n_bins = thresholds.len() as u8 + 1;
            if bins == first_bins(usize::from(n_bins)) {
                scan_in_order(criterion, limits, (limits.l2, 1), cells, 0..n_bins, by, &mut local);
            } else {
                scan_in_order(criterion, limits, (limits.l2, 1), cells, bins_of(bins), by, &mut local);
            }
            if local.gain > best.gain {
                let next = bins_of(bins)
                    .find(|&bin| bin > local.cut && criterion.count(&cells[usize::from(bin)]) != 0);
                // Without a next bin the split separates values from missing ones.
                local.cut =
                    next.map_or(thresholds.len() as u8, |next| central_cut(thresholds, local.cut, next));
                *best = Best { column: column.0, ..local };
            }
        }
        Kind::Category { groups } => {
            let care = limits.care.filter(|care| groups.len() > care.few_levels);
            let (smoothing, min_rows) = care.map_or((0.0, 1), |care| (care.smoothing, care.min_level_rows));
            let of_node = match care {
                Some(Care { smooths_to_node: true, smoothing, .. }) => {
                    smoothing * criterion.statistic(total, total, criterion.mass(total))
                }
                _ => 0.0,
            };
            let mut sorted = [(0.0, 0); 256];
            let (mut n, mut present) = (0, [0; 4]);
            for bin in bins_of(bins) {
                let cell = &cells[usize::from(bin)];
                let n_rows = criterion.count(cell);
                if n_rows != 0 {
                    insert(&mut present, bin);
                }
                if n_rows >= min_rows {
                    let mass = criterion.mass(cell) + smoothing;
                    sorted[n] = (criterion.statistic(cell, total, mass) + of_node / mass, bin);
                    n += 1;
                }
            }
            let sorted = &mut sorted[..n];
            sort_levels(sorted);
            let l2 = limits.l2 + care.map_or(0.0, |care| care.l2);
            let scan_from = |order: &mut dyn Iterator<Item = u8>, step, best: &mut Best| {
                let mut levels = [0; 256];
                let mut n = 0;
                for (level, bin) in levels.iter_mut().zip(order) {
                    *level = bin;
                    n += 1;
                }
                let mut local = Best::none(best.gain);
                let order = levels[..n].iter().copied();
                scan_in_order(criterion, limits, (l2, step), cells, order.clone(), by, &mut local);
                if local.gain > best.gain {
                    let mut subset = [0; 4];
                    for bin in order {
                        insert(&mut subset, bin);
                        if bin == local.cut {
                            break;
                        }
                    }
                    *best = Best { column: column.0, subset: Some(subset), present, ..local };
                }
            };
            let mut order = sorted.iter().map(|&(_, bin)| bin);
            if let Some(Care { max_left_levels, min_group_rows, .. }) = care {
                let most = max_left_levels.min(n.div_ceil(2));
                scan_from(&mut order.clone().take(most), min_group_rows, best);
                scan_from(&mut order.rev().take(most), min_group_rows, best);
            } else {
                scan_from(&mut order, 1, best);
            }
        }
    }
}

/// Sorts levels by their statistic, then by their bin. Not generic, so that sorting is compiled once.
fn sort_levels(levels: &mut [(f64, u8)]) {
    levels.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}

/// The cut nearest to half-way between the two bins, of those that split the rows alike: new values in between go to
/// the nearer side.
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

/// Scans once if no value is missing, else once for each side of the missing ones. Cuts are tried `step` rows after
/// each other.
#[inline(always)]
fn scan_in_order<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    (l2, step): (f64, i64),
    cells: &Cells<C>,
    order: impl Iterator<Item = u8> + Clone,
    (total, gain): (&C::Cell, &impl Fn(&C::Cell, f64, f64, f64) -> (f64, f64)),
    best: &mut Best,
) {
    let missing = &cells[usize::from(MISSING)];
    let sides = [(None, C::Cell::ZERO), (Some(false), C::Cell::ZERO), (Some(true), *missing)];
    let sides = if *missing == C::Cell::ZERO { &sides[..1] } else { &sides[1..] };
    let (n, h) = (criterion.count(total), criterion.mass(total));
    for (missing_left, start) in sides {
        // Without a value of its own the left side is no side.
        let min_left = limits.min_samples_leaf.max(criterion.count(start) + step);
        let min_right = limits.min_samples_leaf.max(step);
        let mut looked_at = 0;
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
            if n - n_left < min_right || h - h_left < limits.min_mass {
                break;
            }
            let (numerator, denominator) = gain(&left, h_left, h, l2);
            let is_due = step == 1 || n_left - looked_at >= step;
            if is_due {
                looked_at = n_left;
            }
            if is_due && numerator > best.gain * denominator {
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
    use crate::model::learn::trees::classes::{Impurity, PackedClasses};
    use crate::model::learn::trees::moments::Moments;
    use proptest::prelude::*;

    const CRITERION: Moments = Moments { mass_bits: 40 };

    fn limits(min_samples_leaf: i64, l2: f64) -> Limits {
        Limits { l2, ..Limits::new(min_samples_leaf, -1.0) }
    }

    /// The most that any split of these rows (of a bin and an item each) gains: on every set of bins that
    /// `sides` holds, and missing values on either side.
    fn brute_force<C: Criterion>(
        criterion: &C,
        rows: &[(u8, C::Item)],
        sides: impl Iterator<Item = BinSet>,
        limits: &Limits,
    ) -> Option<f64> {
        let mut most: Option<f64> = None;
        for set in sides {
            for missing_left in [false, true] {
                let (mut left, mut total) = (C::Cell::ZERO, C::Cell::ZERO);
                let mut n_values = [0; 2];
                for &(bin, item) in rows {
                    let is_left = if bin == MISSING { missing_left } else { set[0] >> bin & 1 == 1 };
                    criterion.add_if(is_left, &mut left, item);
                    criterion.add(&mut total, item);
                    n_values[usize::from(is_left)] += i64::from(bin != MISSING || !missing_left);
                }
                let (n, n_left) = (criterion.count(&total), criterion.count(&left));
                // Without a value of its own the left side is no side.
                if n_values[1] == 0 || n_left.min(n - n_left) < limits.min_samples_leaf.max(1) {
                    continue;
                }
                let (h_left, h) = (criterion.mass(&left), criterion.mass(&total));
                let (numerator, denominator) = criterion.gain(&left, &total, h_left, h, limits.l2);
                most = Some(most.unwrap_or(f64::MIN).max(numerator / denominator));
            }
        }
        most
    }

    fn best<C: Criterion>(criterion: &C, kind: &Kind, rows: &[(u8, C::Item)], limits: &Limits) -> Best {
        let (mut cells, mut total) = ([C::Cell::ZERO; 256], C::Cell::ZERO);
        for &(bin, item) in rows {
            criterion.add(&mut cells[usize::from(bin)], item);
            criterion.add(&mut total, item);
        }
        let mut best = Best::none(limits.min_gain);
        let gain = |left: &C::Cell, h_left, h, l2| criterion.gain(left, &total, h_left, h, l2);
        scan_by(criterion, limits, (7, kind), &cells, first_bins(8), (&total, &gain), &mut best);
        best
    }

    fn gains_agree(found: &Best, expected: Option<f64>) -> bool {
        let expected = expected.unwrap_or(-1.0).max(-1.0);
        found.found() == (expected > -1.0) && (found.gain - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    proptest! {
        #[test]
        fn the_best_split_of_a_small_column_is_that_of_brute_force(
            rows in prop::collection::vec(
                (prop_oneof![4 => 0..8_u8, 1 => Just(MISSING)], 0..20_i64, 1..4_i64), 2..30,
            ),
            min_samples_leaf in 1..4_i64, l2 in prop_oneof![Just(0.0), 0.1..9.0_f64],
        ) {
            let limits = limits(min_samples_leaf, l2);
            let rows: Vec<(u8, [i64; 2])> =
                rows.iter().map(|&(bin, y, mass)| (bin, CRITERION.item(y * mass, mass))).collect();
            let number = Kind::Number { thresholds: (0..7).map(f64::from).collect() };
            let cuts = (0..8).map(|cut| first_bins(cut + 1));
            let expected = brute_force(&CRITERION, &rows, cuts, &limits);
            let found = best(&CRITERION, &number, &rows, &limits);
            prop_assert!(gains_agree(&found, expected), "number: {:?} {:?}", found, expected);
            prop_assert!(!found.found() || found.missing_left.is_some() == rows.iter().any(|r| r.0 == MISSING));
        }

        #[test]
        fn the_best_subset_of_levels_is_that_of_all_subsets(
            rows in prop::collection::vec((0..8_u8, 0..20_i64, 1..4_i64), 2..30),
        ) {
            // Sorted by mean (or share) the best subset is one of the first levels (Fisher 1958; Breiman et al.
            // 1984, 4.2.2): here as long as no side has to have more rows than one, and none is missing.
            let limits = limits(1, 0.0);
            let category = Kind::Category { groups: (0..8).collect() };
            let subsets = || (1..255_u64).map(|subset| [subset, 0, 0, 0]);
            let of_values: Vec<(u8, [i64; 2])> =
                rows.iter().map(|&(bin, y, mass)| (bin, CRITERION.item(y * mass, mass))).collect();
            let expected = brute_force(&CRITERION, &of_values, subsets(), &limits);
            let found = best(&CRITERION, &category, &of_values, &limits);
            prop_assert!(gains_agree(&found, expected), "values: {:?} {:?}", found, expected);
            for impurity in [Impurity::Gini, Impurity::Entropy] {
                let classes = PackedClasses::new(30, 2, impurity).unwrap();
                let of_classes: Vec<(u8, i64)> =
                    rows.iter().map(|&(bin, y, _)| (bin, classes.item(u32::from(y > 9), 1))).collect();
                let expected = brute_force(&classes, &of_classes, subsets(), &limits);
                let found = best(&classes, &category, &of_classes, &limits);
                prop_assert!(gains_agree(&found, expected), "{:?}: {:?} {:?}", impurity, found, expected);
            }
        }
    }

    #[test]
    fn a_cut_lies_half_way_between_the_bins_it_parts() {
        let thresholds = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(central_cut(&thresholds, 0, 3), 1);
        assert_eq!(central_cut(&thresholds, 0, 4), 2, "5.5 lies nearest to 3");
        assert_eq!(central_cut(&thresholds, 2, 3), 2);
    }
}
