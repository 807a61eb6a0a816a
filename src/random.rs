//! The one random generator: everything that is drawn anywhere is drawn from here, by a seed.
//!
//! The generator is PCG64 (O'Neill 2014), named and portable, and the shuffle is written here, so that a seed
//! makes the same choices with every version of every library, on every machine.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// The generator of `seed`.
pub(crate) fn generator(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// A whole number below `n`, by a multiplication and a shift (Lemire 2019, "Fast random integer generation in an
/// interval", without the rejection: of 2^64 draws the bias is at most `n`).
pub(crate) fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// Puts `items` in random order: Fisher–Yates (Knuth, TAOCP vol. 2, 3.4.2, algorithm P).
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut Pcg64) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(i + 1, random));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_choices_on_every_machine() {
        // Written down once; a change here changes every model file.
        let mut items: Vec<u32> = (0..8).collect();
        shuffle(&mut items, &mut generator(7));
        assert_eq!(items, [2, 7, 3, 6, 4, 5, 1, 0]);
    }

    #[test]
    fn draws_stay_below_the_bound_and_reach_all_numbers() {
        let mut random = generator(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[below(5, &mut random)] = true;
        }
        assert_eq!((seen, below(1, &mut random)), ([true; 5], 0));
    }
}
