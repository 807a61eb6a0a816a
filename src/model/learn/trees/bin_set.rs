//! Sets of the bins of a column: the levels that go left at a split, the bins that the rows of a node touch.

/// A set of bins: bit b of the 256 says whether it holds bin b.
pub(crate) type BinSet = [u64; 4];

/// The first `n_bins` bins.
#[inline]
pub(crate) fn first_bins(n_bins: usize) -> BinSet {
    std::array::from_fn(|word| match n_bins.saturating_sub(64 * word) {
        0 => 0,
        n if n >= 64 => u64::MAX,
        n => (1 << n) - 1,
    })
}

/// The bins of a set, in order.
#[inline(always)]
pub(crate) fn bins_of(set: BinSet) -> impl Iterator<Item = u8> + Clone {
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
pub(crate) fn holds(set: &BinSet, bin: u8) -> bool {
    set[usize::from(bin / 64)] >> (bin % 64) & 1 == 1
}

/// Adds a bin to a set.
#[inline(always)]
pub(crate) fn insert(set: &mut BinSet, bin: u8) {
    set[usize::from(bin / 64)] |= 1 << (bin % 64);
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
}
