//! The random draws of trees: rows, columns, cuts, and the seeds of nodes.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// The seed of the random choices of a child (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
/// number generators": the finalizer of SplitMix64).
#[inline]
pub(crate) fn seed_of_child(seed: u64, child: usize) -> u64 {
    let mut z = seed.wrapping_add((child as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A whole number below `n` (Lemire's multiply-shift).
#[inline]
pub(crate) fn below(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// A number from 0 to 1, 1 excluded.
#[inline]
pub(crate) fn unit_interval(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

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
