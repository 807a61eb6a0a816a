//! Splits of independent rows: seeded, with the shares of the classes kept.

use super::Split;
use crate::data::cells::target::Truth;
use crate::order;
use crate::random::{generator, shuffle};

impl Truth {
    /// The seeded hold-out of these rows, stratified if they are classes.
    pub fn hold_out(&self, test_size: f64, seed: u64) -> Split {
        let (classes, n_classes) = self.strata();
        hold_out_stratified(&classes, n_classes, test_size, seed)
    }

    /// The seeded folds of these rows, stratified if they are classes.
    pub fn folds(&self, k: usize, seed: u64) -> Vec<Split> {
        let (classes, n_classes) = self.strata();
        folds(&classes, n_classes, k, seed)
    }

    /// A seeded sample of about `n` of these rows in ascending order, stratified if they are classes; all of them
    /// if there are no more.
    pub fn sample(&self, n: usize, seed: u64) -> Vec<usize> {
        if n >= self.len() {
            return (0..self.len()).collect();
        }
        self.hold_out(n as f64 / self.len() as f64, seed).test
    }
}

/// Holds out `⌈test_size × n⌉` of `n_rows` rows, at least one and not all of them.
#[cfg(test)]
pub(crate) fn hold_out(n_rows: usize, test_size: f64, seed: u64) -> Split {
    hold_out_stratified(&vec![0; n_rows], 1, test_size, seed)
}

/// Holds out `⌈test_size × n⌉` rows so that the classes keep their shares: each class gives its share rounded
/// down, and the classes with the largest remainders one row more. No class gives all its rows.
///
/// `classes`: one class index below `n_classes` per row.
pub(crate) fn hold_out_stratified(classes: &[u32], n_classes: usize, test_size: f64, seed: u64) -> Split {
    let n = classes.len();
    let n_test = ((test_size * n as f64).ceil() as usize).clamp(1, n.saturating_sub(1).max(1));
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_classes];
    for (row, &class) in classes.iter().enumerate() {
        members[class as usize].push(row);
    }
    // Share of each class in exact arithmetic: n_test·n_c = quota·n + remainder.
    let mut quota: Vec<usize> = members.iter().map(|m| n_test * m.len() / n.max(1)).collect();
    let mut by_remainder: Vec<usize> = (0..n_classes).collect();
    order::sort_by_key(&mut by_remainder, |&c| (std::cmp::Reverse(n_test * members[c].len() % n.max(1)), c));
    let may_give = |quota: &[usize], c: usize| quota[c] + 1 < members[c].len();
    let mut missing = n_test - quota.iter().sum::<usize>();
    while missing > 0 {
        let before = missing;
        for &class in &by_remainder {
            if missing > 0 && may_give(&quota, class) {
                quota[class] += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break;
        }
    }
    let mut random = generator(seed);
    let mut held_out = vec![false; n];
    for (rows, quota) in members.iter_mut().zip(quota) {
        shuffle(rows, &mut random);
        rows.iter().take(quota).for_each(|&row| held_out[row] = true);
    }
    let (test, train) = (0..n).partition(|&row| held_out[row]);
    Split { train, test }
}

/// `k` splits such that each row is held out in one of them, the classes spread evenly: the shuffled rows of
/// one class after the other are dealt out in turn. Sizes differ by one row at most, those of a class as well.
/// A row that is the only one of its class is held out in none, so no class is ever absent from a fit.
///
/// `classes`: one class index below `n_classes` per row. A fold is empty if there are fewer rows than `k`.
pub(crate) fn folds(classes: &[u32], n_classes: usize, k: usize, seed: u64) -> Vec<Split> {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_classes];
    for (row, &class) in classes.iter().enumerate() {
        members[class as usize].push(row);
    }
    let mut random = generator(seed);
    let mut fold_of = vec![k; classes.len()];
    let mut next = 0;
    for rows in members.iter_mut().filter(|rows| rows.len() > 1 || n_classes == 1) {
        shuffle(rows, &mut random);
        for &row in rows.iter() {
            fold_of[row] = next % k;
            next += 1;
        }
    }
    let split = |fold| {
        let (test, train) = (0..classes.len()).partition(|&row| fold_of[row] == fold);
        Split { train, test }
    };
    (0..k).map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_holds_out_the_same_rows() {
        let split = hold_out(10, 0.3, 42);
        assert_eq!(split, hold_out(10, 0.3, 42));
        assert_eq!(split.test.len(), 3);
    }

    #[test]
    fn a_class_with_one_row_stays_in_training() {
        let split = hold_out_stratified(&[0, 0, 0, 0, 1], 2, 0.4, 1);
        assert!(split.train.contains(&4));
        assert_eq!(split.test.len(), 2);
    }

    #[test]
    fn folds_are_the_same_for_a_seed_and_the_only_row_of_a_class_is_never_held_out() {
        let classes = [0, 0, 0, 0, 1, 2, 2];
        let splits = folds(&classes, 3, 2, 5);
        assert_eq!(splits, folds(&classes, 3, 2, 5));
        assert!((6..16).any(|seed| splits != folds(&classes, 3, 2, seed)));
        assert!(splits.iter().all(|split| split.train.contains(&4)));
        assert!(splits.iter().all(|split| split.train.iter().any(|&row| classes[row] == 2)));
        assert_eq!(folds(&[0], 1, 1, 0)[0].test, [0], "numbers are no classes of one row");
    }

    proptest! {
        #[test]
        fn every_row_is_held_out_once_and_folds_have_equal_sizes(
            classes in prop::collection::vec(0_u32..4, 2..100), k in 2_usize..8, seed: u64,
        ) {
            let splits = folds(&classes, 4, k, seed);
            let count = |rows: &[usize], class| rows.iter().filter(|&&r| classes[r] == class).count();
            let mut held_out: Vec<usize> = splits.iter().flat_map(|split| split.test.clone()).collect();
            held_out.sort_unstable();
            let total = |class| classes.iter().filter(|&&c| c == class).count();
            let wanted: Vec<usize> = (0..classes.len()).filter(|&row| total(classes[row]) > 1).collect();
            prop_assert_eq!(held_out, wanted);
            let spread = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
            prop_assert!(spread(splits.iter().map(|split| split.test.len()).collect()) <= 1);
            for class in 0..4 {
                prop_assert!(spread(splits.iter().map(|split| count(&split.test, class)).collect()) <= 1);
                prop_assert!(splits.iter().all(|split| total(class) == 0 || count(&split.train, class) > 0));
                prop_assert!(splits.iter().all(|split| split.train.len() + split.test.len() == classes.len()));
            }
        }

        #[test]
        fn every_row_is_in_one_part_and_classes_keep_their_shares(
            classes in prop::collection::vec(0_u32..4, 2..200), size in 0.05..0.95, seed: u64,
        ) {
            let split = hold_out_stratified(&classes, 4, size, seed);
            let mut all = [split.train.clone(), split.test.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..classes.len()).collect::<Vec<_>>());
            prop_assert!(!split.train.is_empty());
            for class in 0..4 {
                let count = |rows: &[usize]| rows.iter().filter(|&&r| classes[r] == class).count();
                let (total, train) = (count(&[split.train.clone(), split.test.clone()].concat()), count(&split.train));
                prop_assert!(total == 0 || train > 0);
                let share = split.test.len() as f64 * total as f64 / classes.len() as f64;
                prop_assert!(count(&split.test) as f64 <= share + 4.0);
            }
        }
    }
}
