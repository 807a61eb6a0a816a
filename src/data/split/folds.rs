//! The choice of held-out rows, folds and samples: seeded, by whole groups, or in order of time.
//!
//! The generator is PCG64 (O'Neill 2014), named and portable, and the shuffle is written here, so that a seed
//! chooses the same rows with every version of every library, on every machine.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Row indices in ascending order, every row in exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows to evaluate on.
    pub test: Vec<usize>,
}

/// The generator of `seed`.
pub fn generator(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// Fisher–Yates (Knuth, TAOCP vol. 2, 3.4.2, algorithm P), with Lemire's multiply-shift for the index.
pub fn shuffle<T>(items: &mut [T], random: &mut Pcg64) {
    for i in (1..items.len()).rev() {
        let j = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        items.swap(i, j as usize);
    }
}

/// Holds out `⌈test_size × n⌉` of `n_rows` rows, at least one and not all of them.
pub fn hold_out(n_rows: usize, test_size: f64, seed: u64) -> Split {
    hold_out_stratified(&vec![0; n_rows], 1, test_size, seed)
}

/// Holds out `⌈test_size × n⌉` rows so that the classes keep their shares: each class gives its share rounded
/// down, and the classes with the largest remainders one row more. No class gives all its rows.
///
/// `classes`: one class index below `n_classes` per row.
pub fn hold_out_stratified(classes: &[u32], n_classes: usize, test_size: f64, seed: u64) -> Split {
    let n = classes.len();
    let n_test = ((test_size * n as f64).ceil() as usize).clamp(1, n.saturating_sub(1).max(1));
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_classes];
    for (row, &class) in classes.iter().enumerate() {
        members[class as usize].push(row);
    }
    // Share of each class in exact arithmetic: n_test·n_c = quota·n + remainder.
    let mut quota: Vec<usize> = members.iter().map(|m| n_test * m.len() / n.max(1)).collect();
    let mut by_remainder: Vec<usize> = (0..n_classes).collect();
    by_remainder.sort_by_key(|&c| (std::cmp::Reverse(n_test * members[c].len() % n.max(1)), c));
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
/// `classes`: one class index below `n_classes` per row. A fold is empty where there are fewer rows than `k`.
pub fn folds(classes: &[u32], n_classes: usize, k: usize, seed: u64) -> Vec<Split> {
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
/// rows that are left of a class stays in training; the held-out part is empty where that is so of every group.
///
/// As scikit-learn's `GroupShuffleSplit`, but the share is one of rows, not of groups.
///
/// `groups`, `classes`: one index per row, those of classes below `n_classes`.
pub fn hold_out_groups(
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
/// with the fewest rows. A group goes to no fold where it would leave a class without a row to fit on; if there is
/// no other fold it is held out in none.
///
/// The order of scikit-learn's `GroupKFold`, and the aim of its `StratifiedGroupKFold`.
///
/// `groups`, `classes`: one index per row, those of classes below `n_classes`. A fold is empty where there are
/// fewer groups than `k`.
pub fn fold_groups(groups: &[u32], classes: &[u32], n_classes: usize, k: usize, seed: u64) -> Vec<Split> {
    let sizes = GroupSizes::of(groups, classes, n_classes);
    let size = |group: usize| sizes.groups[group].iter().map(|(_, n)| n).sum::<f64>();
    let mut order: Vec<usize> = (0..sizes.groups.len()).collect();
    shuffle(&mut order, &mut generator(seed));
    order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
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

/// Rows in order of time, and where a cut between them may be.
struct Timeline<'a> {
    times: &'a [u32],
    order: Vec<usize>,
}

impl<'a> Timeline<'a> {
    fn of(times: &'a [u32]) -> Self {
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&row| times[row]);
        Self { times, order }
    }

    /// The cut nearest before `at` that parts no two rows of one time; the first after it where that would leave
    /// nothing before the cut.
    fn cut(&self, at: usize) -> usize {
        let Some(&row) = self.order.get(at) else {
            return self.order.len();
        };
        let time = self.times[row];
        match self.order.partition_point(|&row| self.times[row] < time) {
            0 => self.order.partition_point(|&row| self.times[row] <= time),
            start => start,
        }
    }

    /// The rows from one cut to another, ascending.
    fn rows(&self, from: usize, to: usize) -> Vec<usize> {
        let mut rows = self.order[from..to.max(from)].to_vec();
        rows.sort_unstable();
        rows
    }
}

/// Holds out the latest `⌈test_size × n⌉` rows, and with them all rows of the time at which that part begins, unless
/// no row came before. Nothing is held out where all rows are of one time.
///
/// `times`: per row a number that grows with time.
pub fn hold_out_latest(times: &[u32], test_size: f64) -> Split {
    let (n, line) = (times.len(), Timeline::of(times));
    let n_test = ((test_size * n as f64).ceil() as usize).clamp(1, n.saturating_sub(1).max(1));
    let cut = line.cut(n.saturating_sub(n_test));
    Split { train: line.rows(0, cut), test: line.rows(cut, n) }
}

/// `k` splits by forward chaining: the rows in order of time make `k + 1` parts, the first of which takes what is
/// left over; part after part is held out, and all rows before it are fitted on. Rows of one time are in one part,
/// the later one. A part is empty where there are too few times.
///
/// As scikit-learn's `TimeSeriesSplit`, which knows no ties.
///
/// `times`: per row a number that grows with time.
pub fn forward_chain(times: &[u32], k: usize) -> Vec<Split> {
    let (n, line) = (times.len(), Timeline::of(times));
    let size = n / (k + 1);
    let cut = |fold: usize| if fold == k { n } else { line.cut(n - (k - fold) * size) };
    (0..k)
        .map(|fold| Split { train: line.rows(0, cut(fold)), test: line.rows(cut(fold), cut(fold + 1)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_gives_the_same_rows_on_every_machine() {
        // Written down once; a change here changes every model file.
        let split = hold_out(10, 0.3, 42);
        assert_eq!(split, hold_out(10, 0.3, 42));
        assert_eq!(split.test.len(), 3);
        let mut items: Vec<u32> = (0..8).collect();
        shuffle(&mut items, &mut generator(7));
        assert_eq!(items, SHUFFLED_WITH_SEED_7);
    }

    const SHUFFLED_WITH_SEED_7: [u32; 8] = [2, 7, 3, 6, 4, 5, 1, 0];

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

    #[test]
    fn the_latest_rows_are_held_out_and_those_of_one_time_stay_together() {
        let split = hold_out_latest(&[5, 1, 4, 2, 3], 0.4);
        assert_eq!((split.train, split.test), (vec![1, 3, 4], vec![0, 2]));
        let split = hold_out_latest(&[1, 2, 3, 3, 3, 3], 0.2);
        assert_eq!(split.test, [2, 3, 4, 5], "all rows of the time where the part begins");
        let split = hold_out_latest(&[1, 1, 1, 1, 2], 0.5);
        assert_eq!(split.test, [4], "something is left to fit on");
        assert!(hold_out_latest(&[7, 7, 7], 0.3).test.is_empty());
    }

    #[test]
    fn folds_in_time_are_those_of_scikit_learns_time_series_split() {
        // TimeSeriesSplit(n_splits=3).split(range(10)): test parts of 10 // 4 rows at the end.
        let splits = forward_chain(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3);
        let parts: Vec<(usize, Vec<usize>)> = splits.into_iter().map(|s| (s.train.len(), s.test)).collect();
        assert_eq!(parts, [(4, vec![4, 5]), (6, vec![6, 7]), (8, vec![8, 9])]);
    }

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

        #[test]
        fn every_fold_in_time_is_fitted_on_its_past_alone(
            times in prop::collection::vec(0_u32..20, 2..100), size in 0.05..0.95, k in 2_usize..6,
        ) {
            let mut splits = forward_chain(&times, k);
            splits.push(hold_out_latest(&times, size));
            for split in splits {
                let last = split.train.iter().map(|&row| times[row]).max();
                let first = split.test.iter().map(|&row| times[row]).min();
                prop_assert!(last.zip(first).is_none_or(|(last, first)| last < first));
                prop_assert!(split.train.is_sorted() && split.test.is_sorted());
            }
        }
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
