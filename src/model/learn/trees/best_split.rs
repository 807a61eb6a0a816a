//! The search for the best split of a node: which cut, which subset of levels and which way for missing values
//! gain most.

use super::bins::{Kind, MISSING};
use super::criterion::{Cell, Cells, Criterion};

/// A set of bins.
pub type BinSet = [u64; 4];

/// Wariness of levels where leaves are added up: what LightGBM's `cat_smooth` and `cat_l2`, `min_data_per_group`
/// and `max_cat_threshold` are. A level of fewer rows than the first stays on the right.
pub const CATEGORY_SMOOTHING: f64 = 10.0;
const MIN_LEVEL_ROWS: i64 = CATEGORY_SMOOTHING as i64;
const MIN_GROUP_ROWS: i64 = 100;
const MAX_LEFT_LEVELS: usize = 32;

/// A category of so few levels needs none of that; LightGBM's `max_cat_to_onehot`.
const FEW_LEVELS: usize = 4;

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
    /// Added to the mass of a level for its statistic, and to `l2` for subsets, unless there are few levels.
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
                scan_in_order(criterion, limits, (limits.l2, 1), cells, 0..n_bins, total, &mut local);
            } else {
                scan_in_order(criterion, limits, (limits.l2, 1), cells, bins_of(bins), total, &mut local);
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
        Kind::Category { groups } => {
            let is_wary = limits.category_smoothing > 0.0 && groups.len() > FEW_LEVELS;
            let (smoothing, min_rows) =
                if is_wary { (limits.category_smoothing, MIN_LEVEL_ROWS) } else { (0.0, 1) };
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
                    sorted[n] = (criterion.statistic(cell, total, mass), bin);
                    n += 1;
                }
            }
            let sorted = &mut sorted[..n];
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let l2 = limits.l2 + smoothing;
            let scan_from = |order: &mut dyn Iterator<Item = u8>, step, best: &mut Best| {
                let mut levels = [0; 256];
                let mut n = 0;
                for (level, bin) in levels.iter_mut().zip(order) {
                    *level = bin;
                    n += 1;
                }
                let mut local = Best::none(best.gain);
                let order = levels[..n].iter().copied();
                scan_in_order(criterion, limits, (l2, step), cells, order.clone(), total, &mut local);
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
            if is_wary {
                let most = MAX_LEFT_LEVELS.min(n.div_ceil(2));
                scan_from(&mut order.clone().take(most), MIN_GROUP_ROWS, best);
                scan_from(&mut order.rev().take(most), MIN_GROUP_ROWS, best);
            } else {
                scan_from(&mut order, 1, best);
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

/// Scans once where no value is missing, else once for each way of those. A cut is looked at `step` rows after
/// the last.
#[inline(always)]
fn scan_in_order<C: Criterion>(
    criterion: &C,
    limits: &Limits,
    (l2, step): (f64, i64),
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
            let (numerator, denominator) = criterion.gain(&left, total, h_left, h, l2);
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
    fn a_cut_lies_half_way_between_the_bins_it_parts() {
        let thresholds = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(central_cut(&thresholds, 0, 3), 1);
        assert_eq!(central_cut(&thresholds, 0, 4), 2, "5.5 lies nearest to 3");
        assert_eq!(central_cut(&thresholds, 2, 3), 2);
    }
}
