//! Splits by whole groups: rows of one customer, patient or machine are never on both sides.

use super::Split;
use crate::order;
use crate::random::{generator, shuffle};

/// Groups, the rows of each in every class it has, and the rows of every class.
struct GroupSizes {
    /// Class and rows, for each group.
    groups: Vec<Vec<(usize, f64)>>,
    /// Rows of each class.
    totals: Vec<f64>,
}

impl GroupSizes {
    fn of(groups: &[u32], classes: &[u32], n_classes: usize) -> Self {
        let n_groups = groups.iter().max().map_or(0, |&last| last as usize + 1);
        let mut sizes = Self { groups: vec![Vec::new(); n_groups], totals: vec![0.0; n_classes] };
        let mut pairs: Vec<(u32, u32)> = groups.iter().copied().zip(classes.iter().copied()).collect();
        pairs.sort_unstable();
        for equal in pairs.chunk_by(|a, b| a == b) {
            let ((group, class), n) = (equal[0], equal.len() as f64);
            sizes.groups[group as usize].push((class as usize, n));
            sizes.totals[class as usize] += n;
        }
        sizes
    }

    /// Whether every class keeps a row elsewhere when `group` is added to a part that has these rows.
    fn leaves_every_class(&self, group: usize, part: &[f64]) -> bool {
        self.groups[group].iter().all(|&(class, n)| part[class] + n < self.totals[class])
    }
}

/// Holds out whole groups, about `test_size` of the rows of each class: in shuffled order, a group is taken if that
/// brings the held-out rows nearer to the share of every class (sum over classes of squared distances, each
/// divided by the rows of the class). If none does, the group that takes them the least away. A group with all the
/// remaining rows of a class stays in training; the held-out part is empty if that is true of every group.
///
/// As scikit-learn's `GroupShuffleSplit`, but the share is one of rows, not of groups.
///
/// `groups`, `classes`: one index per row, those of classes below `n_classes`.
pub(crate) fn hold_out_groups(
    groups: &[u32],
    classes: &[u32],
    n_classes: usize,
    test_size: f64,
    seed: u64,
) -> Split {
    let sizes = GroupSizes::of(groups, classes, n_classes);
    let mut order: Vec<usize> = (0..sizes.groups.len()).collect();
    shuffle(&mut order, &mut generator(seed));
    let mut held = vec![0.0; n_classes];
    let mut chosen = vec![false; order.len()];
    let mut least: Option<(f64, usize)> = None;
    for &group in &order {
        if sizes.groups[group].is_empty() || !sizes.leaves_every_class(group, &held) {
            continue;
        }
        let change = |&(class, n): &(usize, f64)| {
            let missing = test_size * sizes.totals[class] - held[class];
            ((missing - n).powi(2) - missing.powi(2)) / sizes.totals[class]
        };
        let change: f64 = sizes.groups[group].iter().map(change).sum();
        if change < 0.0 {
            chosen[group] = true;
            sizes.groups[group].iter().for_each(|&(class, n)| held[class] += n);
        } else if least.is_none_or(|(least, _)| change < least) {
            least = Some((change, group));
        }
    }
    if let (false, Some((_, group))) = (chosen.contains(&true), least) {
        chosen[group] = true;
    }
    let (test, train) = (0..groups.len()).partition(|&row| chosen[groups[row] as usize]);
    Split { train, test }
}

/// `k` splits such that each group is held out as a whole in one of them: the groups, shuffled and then the
/// largest first, go each to the fold that has the smallest shares of its classes so far, among equal ones to that
/// with the fewest rows. A group goes to no fold in which it would leave a class without a row to fit on; if there is
/// no other fold it is held out in none.
///
/// The order of scikit-learn's `GroupKFold`, and the aim of its `StratifiedGroupKFold`.
///
/// `groups`, `classes`: one index per row, those of classes below `n_classes`. A fold is empty if there are
/// fewer groups than `k`.
pub(crate) fn fold_groups(
    groups: &[u32],
    classes: &[u32],
    n_classes: usize,
    k: usize,
    seed: u64,
) -> Vec<Split> {
    let sizes = GroupSizes::of(groups, classes, n_classes);
    let size = |group: usize| sizes.groups[group].iter().map(|(_, n)| n).sum::<f64>();
    let mut order: Vec<usize> = (0..sizes.groups.len()).collect();
    shuffle(&mut order, &mut generator(seed));
    order::sort_by(&mut order, |&a, &b| size(b).total_cmp(&size(a)));
    let mut parts = vec![vec![0.0; n_classes]; k];
    let mut n_rows = vec![0.0_f64; k];
    let mut fold_of = vec![k; order.len()];
    for group in order {
        let crowd = |part: &[f64]| {
            let share = |&(class, n): &(usize, f64)| n * part[class] / sizes.totals[class].powi(2);
            sizes.groups[group].iter().map(share).sum::<f64>()
        };
        let open = (0..k).filter(|&fold| sizes.leaves_every_class(group, &parts[fold]));
        let best = open.min_by(|&a, &b| {
            crowd(&parts[a]).total_cmp(&crowd(&parts[b])).then(n_rows[a].total_cmp(&n_rows[b]))
        });
        if let Some(fold) = best {
            fold_of[group] = fold;
            sizes.groups[group].iter().for_each(|&(class, n)| parts[fold][class] += n);
            n_rows[fold] += size(group);
        }
    }
    let split = |fold| {
        let (test, train) = (0..groups.len()).partition(|&row| fold_of[groups[row] as usize] == fold);
        Split { train, test }
    };
    (0..k).map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_of_one_class_each_are_dealt_out_evenly() {
        let groups: Vec<u32> = (0..60).map(|row| row / 5).collect();
        let classes: Vec<u32> = groups.iter().map(|group| group % 2).collect();
        for split in fold_groups(&groups, &classes, 2, 3, 9) {
            let ones = split.test.iter().filter(|&&row| classes[row] == 1).count();
            assert_eq!((split.test.len(), ones), (20, 10));
        }
        let split = hold_out_groups(&groups, &classes, 2, 1.0 / 3.0, 9);
        let ones = split.test.iter().filter(|&&row| classes[row] == 1).count();
        assert_eq!((split.test.len(), ones), (20, 10));
    }

    #[test]
    fn a_group_that_alone_has_a_class_is_never_held_out() {
        let (groups, classes) = ([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 2, 2]);
        assert!(!hold_out_groups(&groups, &classes, 3, 0.3, 1).test.contains(&4));
        assert!(fold_groups(&groups, &classes, 3, 2, 1).iter().all(|split| split.train.contains(&4)));
        assert!(hold_out_groups(&[0, 0, 1], &[0, 0, 1], 2, 0.5, 1).test.is_empty(), "each group is a class");
    }

    fn groups_of(rows: &[usize], groups: &[u32]) -> std::collections::BTreeSet<u32> {
        rows.iter().map(|&row| groups[row]).collect()
    }

    proptest! {
        #[test]
        fn no_group_is_on_both_sides_and_no_class_is_without_a_row_to_fit_on(
            rows in prop::collection::vec((0_u32..12, 0_u32..3), 2..150), size in 0.05..0.95, k in 2_usize..6, seed: u64,
        ) {
            let (groups, classes): (Vec<u32>, Vec<u32>) = rows.into_iter().unzip();
            let mut splits = fold_groups(&groups, &classes, 3, k, seed);
            let mut held_out: Vec<usize> = splits.iter().flat_map(|split| split.test.clone()).collect();
            held_out.sort_unstable();
            prop_assert!(held_out.windows(2).all(|pair| pair[0] < pair[1]), "once at most");
            splits.push(hold_out_groups(&groups, &classes, 3, size, seed));
            for split in splits {
                prop_assert_eq!(split.train.len() + split.test.len(), groups.len());
                prop_assert!(groups_of(&split.train, &groups).is_disjoint(&groups_of(&split.test, &groups)));
                for class in classes.iter() {
                    prop_assert!(split.train.iter().any(|&row| classes[row] == *class));
                }
            }
        }
    }
}
