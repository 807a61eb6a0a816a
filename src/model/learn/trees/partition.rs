//! The rows of a node, partitioned in place: those that go left first, both sides in their order.

use super::best_split::Best;
use super::bin_set::{holds, insert};
use super::bins::{Bytes, MISSING};

/// The rows of a node with their items, and room to partition them.
pub(crate) struct Span<'a, I> {
    /// Indices into the table.
    pub(crate) rows: &'a mut [u32],
    /// One per row.
    pub(crate) items: &'a mut [I],
    /// As long as `rows`; overwritten.
    pub(crate) spare_rows: &'a mut [u32],
    /// As long as `items`; overwritten.
    pub(crate) spare_items: &'a mut [I],
}

impl<'a, I: Copy> Span<'a, I> {
    /// The rows before `middle`, and those from it on.
    pub(crate) fn split_at(self, middle: usize) -> (Self, Self) {
        let (rows, rows_right) = self.rows.split_at_mut(middle);
        let (items, items_right) = self.items.split_at_mut(middle);
        let (spare_rows, spare_rows_right) = self.spare_rows.split_at_mut(middle);
        let (spare_items, spare_items_right) = self.spare_items.split_at_mut(middle);
        let right = Span {
            rows: rows_right,
            items: items_right,
            spare_rows: spare_rows_right,
            spare_items: spare_items_right,
        };
        (Span { rows, items, spare_rows, spare_items }, right)
    }

    /// The rows from `begin` to `end`.
    pub(crate) fn part(&mut self, begin: usize, end: usize) -> Span<'_, I> {
        Span {
            rows: &mut self.rows[begin..end],
            items: &mut self.items[begin..end],
            spare_rows: &mut self.spare_rows[begin..end],
            spare_items: &mut self.spare_items[begin..end],
        }
    }

    /// The parts from `begin` to `end` each; these rise and do not overlap.
    pub(crate) fn parts(&mut self, ranges: impl Iterator<Item = (usize, usize)>) -> Vec<Span<'_, I>> {
        let n_rows = self.rows.len();
        let (mut rest, mut rest_begin) = (self.part(0, n_rows), 0);
        let mut parts = Vec::new();
        for (begin, end) in ranges {
            let (_, tail) = rest.split_at(begin - rest_begin);
            let (part, tail) = tail.split_at(end - begin);
            (rest, rest_begin) = (tail, end);
            parts.push(part);
        }
        parts
    }

    /// Puts the rows that a split sends left first, both sides in their order; returns how many those are.
    /// `bytes`: the bins of the column that it splits on.
    pub(crate) fn partition(&mut self, bytes: Bytes, best: &Best) -> usize {
        let missing_left = best.missing_left == Some(true);
        match best.subset {
            None => self.partition_by(bytes, |byte| {
                (byte <= best.cut) & (byte != MISSING) | (byte == MISSING) & missing_left
            }),
            Some(mut subset) => {
                if missing_left {
                    insert(&mut subset, MISSING);
                }
                self.partition_by(bytes, |byte| holds(&subset, byte))
            }
        }
    }

    #[inline(always)]
    fn partition_by(&mut self, bytes: Bytes, goes_left: impl Fn(u8) -> bool) -> usize {
        match bytes.contiguous() {
            Some(bytes) => self.partition_rows(|row| goes_left(bytes[row as usize])),
            None => self.partition_rows(|row| goes_left(bytes.of(row))),
        }
    }

    #[inline(always)]
    fn partition_rows(&mut self, goes_left: impl Fn(u32) -> bool) -> usize {
        let n = self.rows.len();
        let (rows, items) = (&mut self.rows[..n], &mut self.items[..n]);
        let (spare_rows, spare_items) = (&mut self.spare_rows[..n], &mut self.spare_items[..n]);
        let (mut n_left, mut n_right) = (0, 0);
        for i in 0..n {
            let (row, item) = (rows[i], items[i]);
            let left = usize::from(goes_left(row));
            // Written to both, kept by one: no branch to mispredict.
            rows[n_left] = row;
            items[n_left] = item;
            spare_rows[n_right] = row;
            spare_items[n_right] = item;
            n_left += left;
            n_right += 1 - left;
        }
        rows[n_left..].copy_from_slice(&spare_rows[..n_right]);
        items[n_left..].copy_from_slice(&spare_items[..n_right]);
        n_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_and_items_are_permuted_together_and_keep_their_order_on_both_sides(
            bytes in prop::collection::vec(prop_oneof![0..6_u8, Just(MISSING)], 1..200),
            cut in 0..6_u8, missing_left: Option<bool>, subset: Option<u64>,
        ) {
            let subset = subset.map(|word| [word, 0, 0, 0]);
            let best = Best { cut, missing_left, subset, ..Best::none(0.0) };
            let goes_left = |row: u32| match (bytes[row as usize], subset) {
                (MISSING, _) => missing_left == Some(true),
                (byte, Some(subset)) => subset[0] >> byte & 1 == 1,
                (byte, None) => byte <= cut,
            };
            // Every other row, from the last on.
            let before: Vec<u32> = (0..bytes.len() as u32).rev().step_by(2).collect();
            let (mut rows, mut spare_rows) = (before.clone(), vec![0; before.len()]);
            let mut items: Vec<i64> = rows.iter().map(|&row| i64::from(row) * 10).collect();
            let mut spare_items = vec![0; rows.len()];
            let mut span = Span {
                rows: &mut rows,
                items: &mut items,
                spare_rows: &mut spare_rows,
                spare_items: &mut spare_items,
            };
            let n_left = span.partition(bytes.as_slice().into(), &best);
            let (left, right): (Vec<u32>, Vec<u32>) = before.iter().partition(|&&row| goes_left(row));
            prop_assert_eq!(n_left, left.len());
            prop_assert_eq!(&rows, &[left, right].concat());
            prop_assert!(rows.iter().zip(&items).all(|(&row, &item)| item == i64::from(row) * 10));
        }
    }

    #[test]
    fn parts_are_those_asked_for() {
        let (mut rows, mut items) = ([0, 1, 2, 3, 4, 5], [0_i64; 6]);
        let (mut spare_rows, mut spare_items) = ([0; 6], [0_i64; 6]);
        let mut span = Span {
            rows: &mut rows,
            items: &mut items,
            spare_rows: &mut spare_rows,
            spare_items: &mut spare_items,
        };
        let parts = span.parts([(0, 2), (3, 3), (4, 6)].into_iter());
        let rows: Vec<&[u32]> = parts.iter().map(|part| &*part.rows).collect();
        assert_eq!(rows, [&[0, 1][..], &[], &[4, 5]]);
    }
}
