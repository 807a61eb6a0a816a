//! The positions of delimiters and line ends in a block, at which fields may end. They are found 64 bytes at a time ahead
//! of the walk through the fields, so that the search for an end does not depend on the bytes before it (Langdale and
//! Lemire 2019, "Parsing gigabytes of JSON per second", section 3.1).

use fearless_simd::{Level, Simd, SimdBase, SimdMask, dispatch, u8x64};
use memchr::memchr2;

/// Bytes that are compared together.
const GROUP: usize = 64;

/// Bytes that are searched ahead of the walk.
const WINDOW: usize = 32 * GROUP;

/// Positions that are written whatever the number of those found.
const UNCOUNTED: usize = 8;

/// The positions at which fields may end, in order, within quotes too.
pub(super) struct Ends<'b> {
    bytes: &'b [u8],
    delimiter: u8,
    /// The positions in a window, counted from the start of the block.
    places: Box<[u32; WINDOW + GROUP]>,
    n_places: usize,
    next: usize,
    level: Level,
    /// The end of the window.
    seen: usize,
}

impl<'b> Ends<'b> {
    /// Looks for `delimiter`, `\n` and `\r`.
    pub(super) fn new(bytes: &'b [u8], delimiter: u8) -> Self {
        let places = Box::new([0; WINDOW + GROUP]);
        Self { bytes, delimiter, places, n_places: 0, next: 0, level: Level::new(), seen: 0 }
    }

    /// The first position from `at` on, or the end of the block; continues from there. `at` is after all positions
    /// given before.
    #[inline(always)]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let place = self.peek(at);
        self.next += 1;
        place
    }

    /// The same, but does not continue from there.
    #[inline(always)]
    pub(super) fn peek(&mut self, at: usize) -> usize {
        loop {
            if self.next >= self.n_places {
                if self.seen == self.bytes.len() {
                    return self.seen;
                }
                self.look_ahead(at);
                continue;
            }
            let place = self.places[self.next] as usize;
            if place >= at {
                return place;
            }
            self.next += 1;
        }
    }

    /// Goes over the positions before `at`; whether a line ends between them.
    #[inline(always)]
    pub(super) fn skip_lines(&mut self, at: usize) -> bool {
        let mut has_line_end = false;
        while let Some(place) = self.places[..self.n_places].get(self.next) {
            let place = *place as usize;
            if place >= at {
                return has_line_end;
            }
            has_line_end |= self.bytes[place] != self.delimiter;
            self.next += 1;
        }
        // What lies beyond the window is not looked at again.
        has_line_end || at > self.seen && memchr2(b'\n', b'\r', &self.bytes[self.seen..at]).is_some()
    }

    #[inline(never)]
    fn look_ahead(&mut self, at: usize) {
        // With the widest instructions that the processor has.
        dispatch!(self.level, simd => self.look_ahead_with(simd, at));
    }

    #[inline(always)]
    fn look_ahead_with<S: Simd>(&mut self, simd: S, at: usize) {
        let bytes = self.bytes;
        let start = self.seen.max(at.min(bytes.len()));
        let window = &bytes[start..bytes.len().min(start + WINDOW)];
        let wanted = [self.delimiter, b'\n', b'\r'];
        // No closures: they would not be compiled for the processor.
        let delimiter = u8x64::splat(simd, wanted[0]);
        let feed = u8x64::splat(simd, wanted[1]);
        let carriage = u8x64::splat(simd, wanted[2]);
        let mut n = 0;
        let mut base = start as u32;
        let (groups, rest) = window.as_chunks::<GROUP>();
        for group in groups {
            let group = u8x64::from_slice(simd, group);
            let found = group.simd_eq(delimiter) | group.simd_eq(feed) | group.simd_eq(carriage);
            let mut mask = found.to_bitmask();
            let count = mask.count_ones() as usize;
            let places = &mut self.places[n..n + GROUP];
            for place in &mut places[..UNCOUNTED] {
                *place = base + mask.trailing_zeros();
                mask &= mask.wrapping_sub(1);
            }
            if count > UNCOUNTED {
                for place in &mut places[UNCOUNTED..count] {
                    *place = base + mask.trailing_zeros();
                    mask &= mask.wrapping_sub(1);
                }
            }
            n += count;
            base += GROUP as u32;
        }
        for (place, byte) in (base..).zip(rest) {
            self.places[n] = place;
            n += usize::from(wanted.contains(byte));
        }
        (self.n_places, self.next, self.seen) = (n, 0, start + window.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_end_is_the_one_that_a_search_finds(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab,,;\n\r\"".to_vec()), 0..5000),
            steps in proptest::collection::vec(1_usize..200, 1..50),
        ) {
            let mut ends = Ends::new(&bytes, b',');
            let mut at = 0;
            for step in steps.iter().cycle() {
                let wanted = bytes[at..].iter().position(|b| b",\n\r".contains(b)).map_or(bytes.len(), |n| at + n);
                prop_assert_eq!(ends.next(at), wanted);
                at = wanted + if step % 3 == 0 { *step } else { 1 };
                if at > bytes.len() {
                    break;
                }
            }
        }
    }
}
