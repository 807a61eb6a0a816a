//! Criteria of one class per row: the Gini impurity and Shannon's entropy.
//!
//! Forests take [`PackedClasses`] as long as rows and classes fit, else [`Classes`].

use super::criterion::{Criterion, low};

/// How mixed the classes of a node are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impurity {
    /// The Gini impurity (Breiman et al. 1984, 4.3).
    Gini,
    /// Shannon's entropy in bits (Quinlan 1986, "Induction of decision trees").
    Entropy,
}

/// The gain in entropy; `masses`: those of each class, on the left and in all.
#[inline(never)]
fn entropy_gain(masses: impl Iterator<Item = (f64, f64)>, h_left: f64, h: f64) -> (f64, f64) {
    let of_class = |(left, all): (f64, f64)| {
        information(left, h_left) + information(all - left, h - h_left) - information(all, h)
    };
    (masses.map(of_class).sum::<f64>().max(0.0), 1.0)
}

/// x log₂ (x / of), 0 if x is 0.
fn information(x: f64, of: f64) -> f64 {
    if x > 0.0 { x * (x / of).log2() } else { 0.0 }
}

/// Most classes that a cell has room for.
pub(crate) const MAX_TREE_CLASSES: usize = 1023;

/// One class per row: `[count and mass, mass of each class…]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Classes<const W: usize> {
    /// Number of classes, below the width `W` of a cell.
    pub(crate) n_classes: usize,
    /// Bits of the mass, below the count.
    pub(crate) mass_bits: u32,
    /// The impurity that splits minimise.
    pub(crate) impurity: Impurity,
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
        if self.impurity == Impurity::Entropy {
            return entropy_gain(classes.map(|(&g_left, &g)| (g_left as f64, g as f64)), h_left, h);
        }
        let squares: f64 = classes.map(|(&g_left, &g)| (g_left as f64 * h - g as f64 * h_left).powi(2)).sum();
        (squares, h_left * (h - h_left) * h)
    }

    /// The share of the class that is most frequent in the node.
    #[inline]
    fn statistic(&self, cell: &[i64; W], total: &[i64; W], mass: f64) -> f64 {
        let mut most = 1;
        for class in 1..=self.n_classes {
            if total[class] > total[most] {
                most = class;
            }
        }
        cell[most] as f64 / mass
    }

    #[inline]
    fn agree(&self, a: [i32; 2], b: [i32; 2]) -> bool {
        a[0] == b[0]
    }
}

/// One class per row of a small table without weights: from the lowest bits the count, then the times each
/// class was drawn, all in one number, so that a row is added without a look at its class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedClasses {
    n_classes: u32,
    bits: u32,
    impurity: Impurity,
}

impl PackedClasses {
    /// The layout for so many rows and classes; `None` if they do not fit.
    pub(crate) fn new(n_rows: usize, n_classes: usize, impurity: Impurity) -> Option<Self> {
        let bits = usize::BITS - n_rows.leading_zeros();
        let n_classes = u32::try_from(n_classes).ok()?;
        let all = n_classes.checked_add(1)?.checked_mul(bits)?;
        (all < 64).then_some(Self { n_classes, bits, impurity })
    }

    /// The item of a row of a class that was drawn so many times.
    pub(crate) fn item(self, class: u32, draws: i64) -> i64 {
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
        let masses = |class| (self.field(left[0], class), self.field(total[0], class));
        if self.impurity == Impurity::Entropy {
            return entropy_gain((0..self.n_classes).map(masses), h_left, h);
        }
        let difference = |class| {
            let (g_left, g) = masses(class);
            g_left * h - g * h_left
        };
        let squares: f64 = (0..self.n_classes).map(|class| difference(class).powi(2)).sum();
        (squares, h_left * (h - h_left) * h)
    }

    #[inline]
    fn statistic(&self, cell: &[i64; 1], total: &[i64; 1], mass: f64) -> f64 {
        let most = (0..self.n_classes).fold(0, |most, class| {
            if self.field(total[0], class) > self.field(total[0], most) { class } else { most }
        });
        self.field(cell[0], most) / mass
    }

    #[inline]
    fn agree(&self, a: i64, b: i64) -> bool {
        // Only the field of its class is not empty.
        (a >> self.bits).ilog2() / self.bits == (b >> self.bits).ilog2() / self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::trees::moments::Moments;

    fn classes(n_classes: usize, impurity: Impurity) -> Classes<4> {
        Classes { n_classes, mass_bits: 40, impurity }
    }

    #[test]
    fn the_gain_of_two_classes_is_that_of_many() {
        let ratio = |(numerator, denominator): (f64, f64)| numerator / denominator;
        let of_moments = Moments { mass_bits: 40 };
        let moments = ratio(of_moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 0.0));
        let both = classes(2, Impurity::Gini).gain(&[10, 7, 3, 0], &[30, 9, 21, 0], 10.0, 30.0, 0.0);
        let both = ratio(both);
        assert!((both - 2.0 * moments).abs() < 1e-12);
        let packed = PackedClasses::new(30, 2, Impurity::Gini).unwrap();
        let sum = |counts: [i64; 2]| [packed.item(0, counts[0]) + packed.item(1, counts[1]) - 1];
        let of_packed = ratio(packed.gain(&sum([7, 3]), &sum([9, 21]), 10.0, 30.0, 0.0));
        assert_eq!((of_packed, packed.mass(&sum([7, 3]))), (both, 10.0));
        let same = [packed.item(1, 1), packed.item(1, 5)];
        assert!(packed.agree(same[0], same[1]) && !packed.agree(packed.item(0, 31), same[0]));
        assert!(PackedClasses::new(100_000, 3, Impurity::Gini).is_none());
        let l2 = ratio(of_moments.gain(&[10, 3], &[30, 21], 10.0, 30.0, 1e-12));
        assert!((l2 - moments).abs() < 1e-9);
    }

    #[test]
    fn entropy_gains_as_its_definition_says() {
        let entropy = |masses: [f64; 3]| -> f64 {
            let h: f64 = masses.iter().sum();
            masses.iter().filter(|&&m| m > 0.0).map(|m| -m / h * (m / h).log2()).sum()
        };
        let (left, total) = ([10, 7, 3, 0], [30, 9, 11, 10]);
        let (gain, one) = classes(3, Impurity::Entropy).gain(&left, &total, 10.0, 30.0, 0.0);
        let sides = 10.0 * entropy([7.0, 3.0, 0.0]) + 20.0 * entropy([2.0, 8.0, 10.0]);
        assert!((gain / one - (30.0 * entropy([9.0, 11.0, 10.0]) - sides)).abs() < 1e-12);
        let packed = PackedClasses::new(30, 3, Impurity::Entropy).unwrap();
        let sum = |counts: [i64; 3]| [(0..3).map(|c| packed.item(c, counts[c as usize])).sum::<i64>() - 2];
        assert_eq!(packed.gain(&sum([7, 3, 0]), &sum([9, 11, 10]), 10.0, 30.0, 0.0), (gain, one));
    }
}
