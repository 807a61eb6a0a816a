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
#[inline]
pub(crate) fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// A number from 0 to 1, 1 excluded: the upper 53 bits of a draw, as many as the fraction of a double holds.
#[inline]
pub(crate) fn unit_interval(random: &mut Pcg64) -> f64 {
    unit_interval_of(random.next_u64())
}

/// A draw as a number from 0 to 1, 1 excluded.
#[inline]
pub(crate) fn unit_interval_of(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// The seed of the random choices of a child (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators": the finalizer of SplitMix64).
#[inline]
pub(crate) fn seed_of_child(seed: u64, child: usize) -> u64 {
    let mut z = seed.wrapping_add((child as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
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

    #[test]
    fn draws_are_in_their_range_and_even() {
        let mut random = generator(1);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[below(7, &mut random)] += 1);
        assert!(counts.iter().all(|n| (9_500..10_500).contains(n)), "{counts:?}");
        let shares: Vec<f64> = (0..10_000).map(|_| unit_interval(&mut random)).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert!((shares.iter().sum::<f64>() / 10_000.0 - 0.5).abs() < 0.02);
    }

    #[test]
    fn nodes_of_a_tree_have_seeds_of_their_own() {
        let mut seeds = vec![42];
        for i in 0..1000 {
            seeds.extend([0, 1].map(|child| seed_of_child(seeds[i], child)));
        }
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 2001);
    }
}
