//! Splits in order of time: fitted on earlier rows, evaluated on later ones.

use super::Split;
use crate::order;

/// Rows in order of time, and the cuts between them that separate no two rows of one time.
struct Timeline<'a> {
    times: &'a [u32],
    order: Vec<usize>,
}

impl<'a> Timeline<'a> {
    fn of(times: &'a [u32]) -> Self {
        let mut order: Vec<usize> = (0..times.len()).collect();
        order::sort_by_key(&mut order, |&row| times[row]);
        Self { times, order }
    }

    /// The last cut at or before `at`; the first after it if no row would come before that.
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
/// no row came before. Nothing is held out if all rows are of one time.
///
/// `times`: per row a number that grows with time.
pub(crate) fn hold_out_latest(times: &[u32], test_size: f64) -> Split {
    let (n, line) = (times.len(), Timeline::of(times));
    let n_test = ((test_size * n as f64).ceil() as usize).clamp(1, n.saturating_sub(1).max(1));
    let cut = line.cut(n.saturating_sub(n_test));
    Split { train: line.rows(0, cut), test: line.rows(cut, n) }
}

/// `k` splits by forward chaining: the rows in order of time make `k + 1` parts, the first of which takes the
/// remainder; part after part is held out, and all rows before it are fitted on. Rows of one time are in one part,
/// the later one. A part is empty if there are too few times.
///
/// As scikit-learn's `TimeSeriesSplit`, which knows no ties.
///
/// `times`: per row a number that grows with time.
pub(crate) fn forward_chain(times: &[u32], k: usize) -> Vec<Split> {
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

    proptest! {
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
}
