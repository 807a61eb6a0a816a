//! The one random generator: everything that is drawn anywhere is drawn from here, by a seed.
//!
//! The generator is PCG64 (O'Neill 2014), named and portable, and the shuffle is written here, so that a seed
//! makes the same choices with every version of every library, on every machine.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// The generator of `seed`.
pub fn generator(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// A whole number below `n`, by a multiplication and a shift (Lemire 2019, "Fast random integer generation in an
/// interval", without the rejection: of 2^64 draws the bias is at most `n`).
pub fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// A number from 0 to 1, 1 excluded.
pub fn unit_interval(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Puts `items` in random order: Fisher–Yates (Knuth, TAOCP vol. 2, 3.4.2, algorithm P).
pub fn shuffle<T>(items: &mut [T], random: &mut Pcg64) {
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
    fn draws_stay_within_their_ranges_and_reach_all_of_them() {
        let mut random = generator(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[below(5, &mut random)] = true;
            assert!((0.0..1.0).contains(&unit_interval(&mut random)));
        }
        assert_eq!((seen, below(1, &mut random)), ([true; 5], 0));
    }
}
