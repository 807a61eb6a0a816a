//! Distinct values of a column, counted without keeping them.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::data::cells::cell::Cell;
use crate::data::cells::number;

/// Distinct values are counted up to one more than this; beyond it their number says no more.
pub(crate) const MAX_COUNTED: usize = 10_000;

/// Counts distinct values by their hashes, up to one more than [`MAX_COUNTED`]; the table stays in the cache.
pub(super) struct Distinct {
    /// Hashes, 0 in free slots; a power of two, of which at most half are taken.
    slots: Vec<u64>,
    pub(super) n: usize,
    last: u64,
}

impl Distinct {
    /// For at most `n` values.
    pub(super) fn new(n: usize) -> Self {
        let size = (n.min(MAX_COUNTED) + 1) * 2;
        Self { slots: vec![0; size.next_power_of_two()], n: 0, last: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.n > MAX_COUNTED
    }

    pub(super) fn add(&mut self, value: u64) {
        // Odd, and so not 0; of two values one bit is lost, which none of numbers or hashes needs after mixing.
        let hash = (value ^ (value >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        if hash == self.last || self.is_full() {
            return;
        }
        self.last = hash;
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 32) as usize & mask;
        while self.slots[at] != 0 {
            if self.slots[at] == hash {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = hash;
        self.n += 1;
    }

    pub(super) fn add_number(&mut self, value: f64) {
        // -0 is 0.
        self.add((value + 0.0).to_bits());
    }

    pub(super) fn add_text(&mut self, text: &str) {
        if !self.is_full() {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            self.add(hasher.finish());
        }
    }
}

/// The numbers of a column as they are written.
pub(super) struct Written {
    pub(super) texts: Distinct,
    values: Distinct,
    /// Cells whose whole part was rounded.
    pub(super) n_rounded: usize,
    /// Whether all cells are whole numbers.
    whole: bool,
}

impl Written {
    pub(super) fn new(n: usize) -> Self {
        Self { texts: Distinct::new(n), values: Distinct::new(n), n_rounded: 0, whole: true }
    }

    /// Adds a cell that occurs `n` times.
    pub(super) fn look(&mut self, cell: Cell, mark: u8, n: usize) {
        let Cell::Text(text) = cell else { return };
        self.texts.add_text(text);
        self.whole &= text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
        if let Some(value) = number::parse(text, mark) {
            self.n_rounded += if number::is_rounded(text, value) { n } else { 0 };
            self.values.add_number(value);
        }
    }

    /// Whether these, of `n` cells, are codes: whole numbers of more digits than a number holds, some of which become the same or come
    /// again. Times in nanoseconds are all different, and their order is kept.
    pub(super) fn are_codes(&self, n: usize) -> bool {
        let distinct = self.texts.n;
        self.n_rounded > 0 && self.whole && (self.values.n < distinct || distinct * 10 < n * 9)
    }
}
