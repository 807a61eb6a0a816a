//! The search for the best split of a node: what is summed up per bin, what a split gains, which cut, which
//! subset of levels and which way for missing values gain most.
//!
//! Sums are whole numbers in fixed point. They are exact whatever the order, so that a histogram is its
//! parent's less its sibling's to the last bit, and threads cannot change a tree.
//!
//! One formula serves all trees: with g and h summed per side, G²/H gains what squared error loses, for
//! regression (h the weight, g weight × value), for two classes (g the weight of the second class: the Gini
//! impurity is twice the variance of a 0/1 variable), for Newton steps (Chen and Guestrin 2016, "XGBoost",
//! eq. 7), and summed over classes for many (Breiman et al. 1984, 4.3).

use super::bins::{Kind, MISSING};

/// What a row adds to a cell: g and h, or the class and the weight.
pub type Item = [i32; 2];

/// The cells of a column, by bin.
pub type Cells<const W: usize> = [[i64; W]; 256];

/// A set of bins.
pub type BinSet = [u64; 4];

/// Levels whose statistic rests on fewer rows than this count as noise in small sums; LightGBM's `cat_smooth`
/// and `cat_l2`, used where leaves are added up.
pub const CATEGORY_SMOOTHING: f64 = 10.0;

/// What cells hold beside the count and the mass of their rows, and what a split gains.
///
/// `cell[0]` is the mass with the number of rows above [`Limits::shift`] bits, the rest is the criterion's.
pub trait Criterion<const W: usize>: Sync {
    /// Adds a row; `unit` is one row of `cell[0]`.
    fn add(&self, cell: &mut [i64; W], item: Item, unit: i64);

    /// As [`Criterion::add`] if `keep`, without a branch to mispredict.
    fn add_if(&self, keep: bool, cell: &mut [i64; W], item: Item, unit: i64);

    /// What parting `left` (of mass `h_left`) from `total` (of mass `h`) gains; NaN if a side has no mass.
    fn gain(&self, left: &[i64; W], total: &[i64; W], h_left: f64, h: f64, l2: f64) -> f64;

    /// What levels are sorted by.
    fn statistic(&self, cell: &[i64; W], total: &[i64; W], mass: f64) -> f64;

    /// Whether two rows say the same, so that nothing is gained by parting them.
    fn agree(&self, a: Item, b: Item) -> bool;
}

/// One number per row.
#[derive(Debug, Clone, Copy)]
pub struct Moments;

impl Criterion<2> for Moments {
    #[inline(always)]
    fn add(&self, cell: &mut [i64; 2], item: Item, unit: i64) {
        cell[0] += unit + i64::from(item[1]);
        cell[1] += i64::from(item[0]);
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; 2], item: Item, unit: i64) {
        let mask = -i64::from(keep);
        cell[0] += (unit + i64::from(item[1])) & mask;
        cell[1] += i64::from(item[0]) & mask;
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; 2], total: &[i64; 2], h_left: f64, h: f64, l2: f64) -> f64 {
        let (g_left, g) = (left[1] as f64, total[1] as f64);
        if l2 == 0.0 {
            // The difference of means keeps its digits where the sides are alike.
            let d = g_left * h - g * h_left;
            d * d / (h_left * (h - h_left) * h)
        } else {
            let g_right = g - g_left;
            g_left * g_left / (h_left + l2) + g_right * g_right / (h - h_left + l2) - g * g / (h + l2)
        }
    }

    fn statistic(&self, cell: &[i64; 2], _: &[i64; 2], mass: f64) -> f64 {
        cell[1] as f64 / mass
    }

    fn agree(&self, a: Item, b: Item) -> bool {
        // Equal values may differ by the rounding of their g.
        let [[ga, ha], [gb, hb]] = [a, b].map(|item| item.map(i64::from));
        (ga * hb - gb * ha).abs() <= ha + hb
    }
}

/// One class per row.
#[derive(Debug, Clone, Copy)]
pub struct Classes {
    /// Number of classes, below the width of a cell.
    pub n_classes: usize,
}

impl<const W: usize> Criterion<W> for Classes {
    #[inline(always)]
    fn add(&self, cell: &mut [i64; W], item: Item, unit: i64) {
        cell[0] += unit + i64::from(item[1]);
        cell[1 + item[0] as usize] += i64::from(item[1]);
    }

    #[inline(always)]
    fn add_if(&self, keep: bool, cell: &mut [i64; W], item: Item, unit: i64) {
        let mask = -i64::from(keep);
        cell[0] += (unit + i64::from(item[1])) & mask;
        cell[1 + item[0] as usize] += i64::from(item[1]) & mask;
    }

    #[inline(always)]
    fn gain(&self, left: &[i64; W], total: &[i64; W], h_left: f64, h: f64, _: f64) -> f64 {
        let classes = left.iter().zip(total).skip(1).take(self.n_classes);
        let squares: f64 = classes.map(|(&g_left, &g)| (g_left as f64 * h - g as f64 * h_left).powi(2)).sum();
        squares / (h_left * (h - h_left) * h)
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

    fn agree(&self, a: Item, b: Item) -> bool {
        a[0] == b[0]
    }
}

/// What a split must keep to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bits of the mass in the first number of a cell.
    pub shift: u32,
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

impl Limits {
    /// Number of rows of a cell.
    #[inline(always)]
    pub fn count<const W: usize>(&self, cell: &[i64; W]) -> i64 {
        cell[0] >> self.shift
    }

    /// Mass of a cell.
    #[inline(always)]
    pub fn mass<const W: usize>(&self, cell: &[i64; W]) -> f64 {
        (cell[0] & ((1 << self.shift) - 1)) as f64
    }
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
pub fn bins_of(set: BinSet) -> impl Iterator<Item = u8> {
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

#[inline(always)]
fn plus<const W: usize>(a: &[i64; W], b: &[i64; W]) -> [i64; W] {
    std::array::from_fn(|i| a[i] + b[i])
}

/// Scans the cells of a column (those of `bins`, missing ones aside) and keeps the split that gains most.
#[inline]
pub fn scan<const W: usize, C: Criterion<W>>(
    criterion: &C,
    limits: &Limits,
    column: (u32, &Kind),
    cells: &Cells<W>,
    bins: BinSet,
    total: &[i64; W],
    best: &mut Best,
) {
    match column.1 {
        Kind::Number { thresholds } => {
            let mut local = Best::none(best.gain);
            let order = bins_of(bins);
            scan_in_order(criterion, limits, limits.l2, cells, order, total, &mut local);
            if local.gain > best.gain {
                let next = bins_of(bins).find(|&bin| bin > local.cut && cells[usize::from(bin)][0] != 0);
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
                if cell[0] != 0 {
                    let mass = limits.mass(cell) + limits.category_smoothing;
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

#[inline(always)]
fn scan_in_order<const W: usize, C: Criterion<W>>(
    criterion: &C,
    limits: &Limits,
    l2: f64,
    cells: &Cells<W>,
    order: impl Iterator<Item = u8>,
    total: &[i64; W],
    best: &mut Best,
) {
    let missing = &cells[usize::from(MISSING)];
    let has_missing = missing[0] != 0;
    let (n, h) = (limits.count(total), limits.mass(total));
    let mut left = [0; W];
    let consider = |left: &[i64; W], bin: u8, missing_left: Option<bool>, best: &mut Best| {
        let (n_left, h_left) = (limits.count(left), limits.mass(left));
        if n_left < limits.min_samples_leaf
            || n - n_left < limits.min_samples_leaf
            || h_left < limits.min_mass
            || h - h_left < limits.min_mass
        {
            return;
        }
        let gain = criterion.gain(left, total, h_left, h, l2);
        if gain > best.gain {
            *best = Best { gain, cut: bin, missing_left, ..*best };
        }
    };
    for bin in order {
        let cell = &cells[usize::from(bin)];
        if cell[0] == 0 {
            continue;
        }
        left = plus(&left, cell);
        if has_missing {
            consider(&left, bin, Some(false), best);
            consider(&plus(&left, missing), bin, Some(true), best);
        } else {
            consider(&left, bin, None, best);
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
        let moments = Moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 0.0);
        let classes = Classes { n_classes: 2 };
        let both: f64 = classes.gain(&[10, 7, 3], &[30, 9, 21], 10.0, 30.0, 0.0);
        assert!((both - 2.0 * moments).abs() < 1e-12);
        let l2 = Moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 1e-12);
        assert!((l2 - moments).abs() < 1e-9);
    }

    #[test]
    fn a_cut_lies_half_way_between_the_bins_it_parts() {
        let thresholds = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(central_cut(&thresholds, 0, 3), 1);
        assert_eq!(central_cut(&thresholds, 0, 4), 2, "5.5 lies nearest to 3");
        assert_eq!(central_cut(&thresholds, 2, 3), 2);
    }
}
