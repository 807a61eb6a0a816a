//! Blends of the candidates' predictions: weights found greedily on rows that no candidate had seen.
//!
//! Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble selection from libraries of models": beginning with the
//! best, the candidate whose addition lowers the loss of the mean most is added, again and again, and may be added
//! more than once; its share of all additions is its weight.

use rayon::prelude::*;

use super::metric::{Metric, standard_error};
use crate::data::cells::target::Truth;

/// Additions: a weight is a multiple of a fortieth.
const MAX_ADDITIONS: usize = 40;

/// Most members, so that a prediction stays quick.
const MAX_MEMBERS: usize = 5;

/// A smaller weight changes less than it costs.
const MIN_WEIGHT: f64 = 0.05;

/// A blend is taken if its mean loss is below that of the best single candidate by more than this share of the
/// standard error of the difference on the same rows: less is as likely to be an accident of these rows. A mean of squares
/// is decided by its largest, so that of numbers the absolute errors may show what the squares leave open.
const MIN_GAIN: f64 = 0.5;

/// Weights of candidates, and the predictions they blend to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blend {
    /// Index and weight of each member, the heaviest first; the weights add up to 1.
    pub(super) members: Vec<(usize, f64)>,
    /// The blended scores.
    pub(super) scores: Vec<f64>,
}

/// The blend of candidates' `scores` with the least loss that the greedy search finds; none if it is no better than
/// the `best` candidate alone by more than chance.
pub(super) fn blend(metric: Metric, scores: &[&[f64]], best: usize, truth: &Truth) -> Option<Blend> {
    let mean_loss = |scores: &[f64]| {
        let losses = metric.losses(scores, truth);
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    };
    let mut counts = vec![0_usize; scores.len()];
    counts[best] = 1;
    let mut sum = scores[best].to_vec();
    let mut least = (mean_loss(&sum), counts.clone());
    for n in 1..MAX_ADDITIONS {
        let is_full = counts.iter().filter(|&&count| count > 0).count() >= MAX_MEMBERS;
        let losses: Vec<f64> = (0..scores.len())
            .into_par_iter()
            .map(|candidate| {
                if is_full && counts[candidate] == 0 {
                    return f64::INFINITY;
                }
                let share = 1.0 / (n + 1) as f64;
                let with = sum.iter().zip(scores[candidate]).map(|(a, b)| (a + b) * share);
                mean_loss(&with.collect::<Vec<f64>>())
            })
            .collect();
        let next = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]))?;
        counts[next] += 1;
        sum.iter_mut().zip(scores[next]).for_each(|(sum, score)| *sum += score);
        if losses[next] < least.0 {
            least = (losses[next], counts.clone());
        }
    }
    let total: usize = least.1.iter().sum();
    let is_kept = |count: usize| count as f64 >= MIN_WEIGHT * total as f64;
    let kept: usize = least.1.iter().filter(|&&count| is_kept(count)).sum();
    let of_kept = least.1.iter().enumerate().filter(|(_, count)| is_kept(**count));
    let mut members: Vec<(usize, f64)> =
        of_kept.map(|(index, &count)| (index, count as f64 / kept as f64)).collect();
    members.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut blended = vec![0.0; sum.len()];
    for &(index, weight) in &members {
        blended.iter_mut().zip(scores[index]).for_each(|(out, score)| *out += weight * score);
    }
    // In units of the standard error.
    let gain = |metric: Metric| {
        let (alone, together) = (metric.losses(scores[best], truth), metric.losses(&blended, truth));
        let gains: Vec<f64> = alone.iter().zip(&together).map(|(a, b)| a - b).collect();
        let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
        mean / standard_error(&gains).max(f64::MIN_POSITIVE)
    };
    let is_sure = gain(metric) > MIN_GAIN || (gain(metric) > 0.0 && gain(metric.robust()) > MIN_GAIN);
    (members.len() > 1 && is_sure).then_some(Blend { members, scores: blended })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;

    /// Three noisy views of a target, the first two with errors that are each other's opposite.
    fn views(n: usize) -> (Truth, Vec<Vec<f64>>) {
        let truth: Vec<f64> = (0..n).map(|i| (i * 37 % 101) as f64).collect();
        let noise = |i: usize| (i * 53 % 17) as f64 - 8.0;
        let view = |factor: f64, extra: f64| -> Vec<f64> {
            truth.iter().enumerate().map(|(i, t)| t + factor * noise(i) + extra * (i % 3) as f64).collect()
        };
        let views = vec![view(1.0, 0.5), view(-1.0, 0.5), view(2.0, 9.0)];
        (Truth::Values(truth), views)
    }

    #[test]
    fn opposite_errors_cancel_and_a_useless_candidate_has_no_part() {
        let (truth, views) = views(300);
        let scores: Vec<&[f64]> = views.iter().map(Vec::as_slice).collect();
        let metric = Metric::of(None, Task::Regression, false).unwrap();
        let found = blend(metric, &scores, 0, &truth).unwrap();
        assert_eq!(found.members.len(), 2, "{:?}", found.members);
        assert!(found.members.iter().all(|(index, weight)| *index < 2 && (weight - 0.5).abs() < 0.1));
        let by_hand: Vec<f64> = (0..300)
            .map(|i| found.members.iter().map(|&(index, weight)| weight * views[index][i]).sum())
            .collect();
        assert_eq!(found.scores, by_hand);
    }

    #[test]
    fn candidates_that_say_the_same_are_not_blended() {
        let (truth, views) = views(300);
        let metric = Metric::of(None, Task::Regression, false).unwrap();
        assert_eq!(blend(metric, &[&views[0], &views[0]], 0, &truth), None);
        assert_eq!(blend(metric, &[&views[0], &views[2]], 0, &truth), None);
    }
}
