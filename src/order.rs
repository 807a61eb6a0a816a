//! Sorting few things: the sort itself is compiled once, not for every type and every comparison.
//!
//! A stable sort is some kilobytes of code each time it is compiled. Whoever sorts what one screen or one table of columns
//! holds sorts here; sorting rows within a loop calls the slice's own methods.

use std::cmp::Ordering;

/// Sorts as [`slice::sort_by`] does.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    sort_indices(&mut order, &|a, b| compare(&items[a], &items[b]));
    for at in 0..order.len() {
        // Where the item that belongs here was moved to by the swaps before.
        let mut from = order[at];
        while from < at {
            from = order[from];
        }
        items.swap(at, from);
    }
}

/// Sorts as [`slice::sort_by_key`] does.
pub(crate) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Collects few items into a map. `collect` sorts them first.
pub(crate) fn map<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut map = C::default();
    items.into_iter().for_each(|item| map.extend(std::iter::once(item)));
    map
}

#[inline(never)]
fn sort_indices(order: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    order.sort_by(|&a, &b| compare(a, b));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_standard_library(
            items in proptest::collection::vec((0_u8..8, any::<u16>()), 0..50),
        ) {
            let (mut found, mut wanted) = (items.clone(), items);
            let falling = |a: &(u8, u16), b: &(u8, u16)| b.0.cmp(&a.0);
            sort_by(&mut found, falling);
            wanted.sort_by(falling);
            prop_assert_eq!(&found, &wanted);
            sort_by_key(&mut found, |item| item.1);
            wanted.sort_by_key(|item| item.1);
            prop_assert_eq!(found, wanted);
        }
    }
}
