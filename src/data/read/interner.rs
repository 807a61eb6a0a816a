//! Gives each distinct text of a column a number, in the order of their first rows.
//!
//! Where a text lies depends on a key that differs from process to process, so that nobody can choose texts that all
//! fall into one place. Numbers and order of the texts do not depend on it.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::data::cells::text::Texts;

/// Texts up to this length are distinguished by two words and the length; longer ones are compared byte by byte.
const SHORT: usize = 16;

/// A text's length, and two words that tell it from all others of that length if it is short. Those of a long one
/// are a hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Key {
    words: [u64; 2],
    len: u32,
}

/// Two random numbers, of which the second is odd.
type Seeds = [u64; 2];

/// The seeds of this process.
static SEEDS: LazyLock<Seeds> = LazyLock::new(|| {
    let random = RandomState::new();
    [random.hash_one(0), random.hash_one(1) | 1]
});

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Key {
    #[inline]
    fn of(text: &[u8], seeds: Seeds) -> Self {
        let n = text.len();
        let words = if n > SHORT {
            long(text, seeds)
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            [u64::from_le_bytes(*first), u64::from_le_bytes(*last)]
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            [u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last))]
        } else {
            let byte = |i: usize| u64::from(text.get(i).copied().unwrap_or(0));
            [byte(0) | byte(1) << 8 | byte(2) << 16, 0]
        };
        Self { words, len: n as u32 }
    }

    #[inline]
    fn hash(self, seeds: Seeds) -> usize {
        fold(self.words[0] ^ seeds[0], self.words[1].wrapping_add(u64::from(self.len)) ^ seeds[1]) as usize
    }
}

/// Eight bytes at a time, multiplied and folded.
fn long(text: &[u8], seeds: Seeds) -> [u64; 2] {
    let mut hashes = [seeds[0] ^ text.len() as u64, seeds[1]];
    let mut mix = |word: [u8; 8]| {
        hashes[0] = fold(hashes[0] ^ u64::from_le_bytes(word), seeds[1]);
        hashes[1] = hashes[1].rotate_left(23) ^ hashes[0];
    };
    let mut words = text.chunks_exact(8);
    (&mut words).for_each(|word| mix(word.try_into().unwrap_or_default()));
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(last);
    hashes
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: Key,
    /// 0 is free, else one more than the text's number.
    number: u32,
}

/// Distinct texts and their numbers.
#[derive(Debug)]
pub(super) struct Interner {
    seeds: Seeds,
    strings: Texts,
    /// Open addressing, a power of two.
    slots: Vec<Slot>,
}

impl Default for Interner {
    fn default() -> Self {
        Self::seeded(*SEEDS)
    }
}

impl Interner {
    fn seeded(seeds: Seeds) -> Self {
        Self { seeds, strings: Texts::default(), slots: Vec::new() }
    }

    /// The interner in which `texts`, all of them different, have their indices as numbers.
    pub(super) fn of(texts: &Texts) -> Self {
        let mut interner = Self::default();
        texts.iter().for_each(|text| {
            interner.code(text);
        });
        interner
    }

    /// Removes the texts and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.strings.clear();
        self.slots.fill(Slot::default());
    }

    /// The texts, in the order of their numbers.
    pub(super) fn strings(&self) -> &Texts {
        &self.strings
    }

    /// The texts, in the order of their numbers.
    pub(super) fn into_strings(self) -> Texts {
        self.strings
    }

    /// The number of `text`; a new one if it has none yet.
    pub(super) fn code(&mut self, text: &str) -> u32 {
        self.code_by(text.as_bytes(), || Some(text)).unwrap_or(0)
    }

    /// The number of `text`; `None` if it is not UTF-8.
    #[inline]
    pub(super) fn code_of_bytes(&mut self, text: &[u8]) -> Option<u32> {
        // A known text is UTF-8.
        self.code_by(text, || std::str::from_utf8(text).ok())
    }

    #[inline]
    fn code_by<'t>(&mut self, bytes: &[u8], text: impl FnOnce() -> Option<&'t str>) -> Option<u32> {
        if self.strings.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let key = Key::of(bytes, self.seeds);
        let mask = self.slots.len() - 1;
        let mut at = key.hash(self.seeds) & mask;
        loop {
            let slot = self.slots[at];
            if slot.number == 0 {
                self.strings.push(text()?);
                let number = self.strings.len() as u32;
                self.slots[at] = Slot { key, number };
                return Some(number - 1);
            }
            let code = slot.number - 1;
            if slot.key == key
                && (bytes.len() <= SHORT || self.strings.nth(code as usize).as_bytes() == bytes)
            {
                return Some(code);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let n = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); n]);
        for slot in old.into_iter().filter(|slot| slot.number != 0) {
            let mut at = slot.key.hash(self.seeds) & (n - 1);
            while self.slots[at].number != 0 {
                at = (at + 1) & (n - 1);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn equal_texts_have_one_number_and_others_have_others(
            texts in proptest::collection::vec("[ab\0]{0,20}|[a-zé]{0,3}", 0..300)
        ) {
            let mut interner = Interner::default();
            let mut known: HashMap<&str, u32> = HashMap::new();
            for text in &texts {
                let next = known.len() as u32;
                let wanted = *known.entry(text).or_insert(next);
                prop_assert_eq!(interner.code_of_bytes(text.as_bytes()), Some(wanted));
                prop_assert_eq!(interner.code(text), wanted);
                prop_assert_eq!(interner.strings().nth(wanted as usize), text.as_str());
            }
        }
    }

    /// Texts, short and long, that all fall into one of 2^10 places by seeds that are known.
    fn chosen() -> Vec<String> {
        let public = [0x9E37_79B9_7F4A_7C15, 0x9E37_79B9_7F4A_7C15];
        let place = |text: &str| {
            let key = Key::of(text.as_bytes(), public);
            // The second seed of a short text was the complement.
            let seeds = if text.len() > SHORT { public } else { [public[0], !public[1]] };
            key.hash(seeds) & 0x3FF
        };
        let texts = (0..).map(|i: u32| format!("{i:08}{}", ["suffix", "and a long suffix"][i as usize % 2]));
        texts.filter(|text| place(text) == 0).take(600).collect()
    }

    #[test]
    fn texts_that_were_chosen_for_one_place_are_spread_and_have_the_numbers_that_they_always_have() {
        let texts = chosen();
        let mut found = Vec::new();
        for seeds in [[3, 5], *SEEDS, [u64::MAX, 0x1234_5678_9abc_def1]] {
            let mut interner = Interner::seeded(seeds);
            let numbers: Vec<u32> = texts.iter().map(|text| interner.code(text)).collect();
            assert_eq!(numbers, (0..texts.len() as u32).collect::<Vec<_>>());
            found.push(interner.strings().iter().map(str::to_string).collect::<Vec<_>>());
            // The steps from the place of each text to its slot: 180,000 if all had one place.
            let n = interner.slots.len();
            let steps =
                |(at, slot): (usize, &Slot)| at.wrapping_sub(slot.key.hash(seeds) & (n - 1)) & (n - 1);
            let taken = interner.slots.iter().enumerate().filter(|(_, slot)| slot.number != 0);
            let steps: usize = taken.map(steps).sum();
            assert!(steps < 5000, "{steps}");
        }
        assert!(found.iter().all(|texts| *texts == found[0]));
    }

    #[test]
    fn what_is_not_utf8_has_no_number() {
        let mut interner = Interner::default();
        assert_eq!(interner.code_of_bytes(b"caf\xE9"), None);
        assert_eq!(interner.code_of_bytes(b"a long text that ends badly \xE9"), None);
        assert_eq!(interner.code("a"), 0, "nothing is kept of it");
    }
}
