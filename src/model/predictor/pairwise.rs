//! From pairs of classes to classes: votes, and the coupling of probabilities.
//!
//! A classifier of k classes that compares them two by two has a score for each of its k (k − 1) / 2 pairs, in the order
//! (0, 1), (0, 2), … (1, 2), …; a positive score speaks for the second of the pair. Called by `support_vectors`.

/// A pair's probability is at least this when pairs are coupled, as in libsvm.
const MIN_PAIR_PROBABILITY: f64 = 1e-7;

/// The score of the pair of places `a` and `b`, `a < b`, among `k` classes.
#[inline]
pub(super) fn pair(a: usize, b: usize, k: usize) -> usize {
    a * (2 * k - a - 1) / 2 + (b - a - 1)
}

/// For each class the pairs it wins, and less than half a vote for by how much it wins or loses them:
/// scikit-learn's `decision_function_shape="ovr"` (`_ovr_decision_function`). A score of 0 is a vote for the
/// first of the pair.
pub(super) fn count_votes(scores: &[f64], votes: &mut [f64]) {
    let k = votes.len();
    for place in 0..k {
        let (mut won, mut confidence) = (0.0, 0.0);
        for other in (0..k).filter(|&other| other != place) {
            let score = scores[pair(place.min(other), place.max(other), k)];
            let wins = if place > other { score > 0.0 } else { score <= 0.0 };
            won += f64::from(u8::from(wins));
            confidence += if place > other { score } else { -score };
        }
        votes[place] = won + confidence / (3.0 * (confidence.abs() + 1.0));
    }
}

/// The probabilities of the classes that fit those of the pairs best (Wu, Lin and Weng 2004, "Probability
/// estimates for multi-class classification by pairwise coupling", second method): the p of sum 1 that minimises
/// Σᵢ Σⱼ (rⱼᵢ pᵢ − rᵢⱼ pⱼ)² with rᵢⱼ the probability of i among i and j, solved directly: with Q its matrix,
/// (Q + eeᵀ) p ∝ e.
///
/// `probability`: of the second of a pair. `matrix`: k × k numbers to work in.
pub(super) fn couple(probability: impl Fn(usize) -> f64, matrix: &mut [f64], p: &mut [f64]) {
    let k = p.len();
    matrix.fill(1.0);
    for a in 0..k {
        for b in a + 1..k {
            let of_b = probability(pair(a, b, k)).clamp(MIN_PAIR_PROBABILITY, 1.0 - MIN_PAIR_PROBABILITY);
            let of_a = 1.0 - of_b;
            matrix[a * k + a] += of_b * of_b;
            matrix[b * k + b] += of_a * of_a;
            matrix[b * k + a] -= of_a * of_b;
        }
    }
    // Cholesky in the lower triangle, then forward and backward substitution.
    for j in 0..k {
        for i in j..k {
            let sum: f64 = (0..j).map(|c| matrix[i * k + c] * matrix[j * k + c]).sum();
            let rest = matrix[i * k + j] - sum;
            matrix[i * k + j] = if i == j { rest.max(f64::EPSILON).sqrt() } else { rest / matrix[j * k + j] };
        }
    }
    for i in 0..k {
        let sum: f64 = (0..i).map(|c| matrix[i * k + c] * p[c]).sum();
        p[i] = (1.0 - sum) / matrix[i * k + i];
    }
    for i in (0..k).rev() {
        let sum: f64 = (i + 1..k).map(|r| matrix[r * k + i] * p[r]).sum();
        p[i] = (p[i] - sum) / matrix[i * k + i];
    }
    // Rounding may leave a probability just below 0.
    p.iter_mut().for_each(|p| *p = p.max(0.0));
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coupled_probabilities_minimise_their_distance_from_the_pairs() {
        // Pairs that agree: the probabilities they were made of come back.
        let truth = [0.6, 0.3, 0.09, 0.01];
        let k = truth.len();
        let mut pairs = [0.0; 6];
        for a in 0..k {
            (a + 1..k).for_each(|b| pairs[pair(a, b, k)] = truth[b] / (truth[a] + truth[b]));
        }
        let (mut matrix, mut p) = ([0.0; 16], [0.0; 4]);
        couple(|pair| pairs[pair], &mut matrix, &mut p);
        for (p, truth) in p.iter().zip(truth) {
            assert!((p - truth).abs() < 1e-12);
        }
        // Pairs that do not: no other distribution nearby is better.
        let pairs = [0.9, 0.2, 0.7, 0.4, 0.999_999, 0.5];
        couple(|pair| pairs[pair], &mut matrix, &mut p);
        let distance = |p: &[f64]| {
            let mut sum = 0.0;
            for a in 0..k {
                for b in a + 1..k {
                    let of_b = pairs[pair(a, b, k)];
                    sum += (of_b * p[a] - (1.0 - of_b) * p[b]).powi(2);
                }
            }
            sum
        };
        for a in 0..k {
            for b in (0..k).filter(|&b| b != a) {
                let mut other = p;
                other[a] += 1e-4;
                other[b] -= 1e-4;
                assert!(distance(&other) > distance(&p));
            }
        }
        // Separable pairs keep small probabilities and nothing that is not one.
        let sure = 1.0 - MIN_PAIR_PROBABILITY;
        couple(|pair| if pair < 3 { MIN_PAIR_PROBABILITY } else { sure }, &mut matrix, &mut p);
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)) && p[0] > 0.999_99);
    }

    #[test]
    fn the_class_that_wins_most_pairs_has_most_votes_and_confidence_decides_between_equals() {
        let mut votes = [0.0; 3];
        count_votes(&[1.0, 1.0, -0.5], &mut votes);
        assert!(votes[1] > votes[2] && votes[2] > votes[0]);
        // 1 beats 0, 2 beats 1, 0 beats 2.
        count_votes(&[1.0, -0.1, 3.0], &mut votes);
        assert!(votes[2] > votes[0] && votes[0] > votes[1]);
        count_votes(&[0.0; 3], &mut votes);
        assert_eq!(votes, [2.0, 1.0, 0.0]);
    }
}
