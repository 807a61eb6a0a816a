//! Blends of the candidates' predictions: weights found greedily on rows that no candidate had seen.
//!
//! Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble selection from libraries of models": beginning with the
//! best, the candidate whose addition lowers the loss of the mean most is added, again and again, and may be added
//! more than once; its share of all additions is its weight.

use rayon::prelude::*;

use super::metric::{Metric, standard_error};
use crate::data::cells::target::Truth;
use crate::model::predictor::Footprint;
use crate::order;

/// Additions: a weight is a multiple of a fortieth.
const MAX_ADDITIONS: usize = 40;

/// Most members, so that a prediction stays quick.
const MAX_MEMBERS: usize = 5;

/// A smaller weight changes less than it costs.
const MIN_WEIGHT: f64 = 0.05;

/// The least weight of a member of more than [`HEAVY`] bytes, which make a file slow to move and to load.
const MIN_HEAVY_WEIGHT: f64 = 0.1;

/// Bytes: about a forest of 300 trees on four thousand rows.
const HEAVY: f64 = 8e6;

/// Most nanoseconds that the answer of a blend to one row takes, unless the user has another limit.
const MAX_NANOSECONDS: f64 = 100_000.0;

/// A blend is taken if its mean loss is below that of the best single candidate by more than this share of the
/// standard error of the difference on the same rows: less is as likely to be an accident of these rows. A mean of squares
/// is decided by its largest, so that of numbers the absolute errors may show what the squares leave open.
const MIN_GAIN: f64 = 0.5;

/// A candidate that may be blended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Its predictions.
    pub(super) scores: &'a [f64],
    /// What it takes.
    pub(super) footprint: Footprint,
}

/// Weights of candidates, and the predictions they blend to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blend {
    /// Index and weight of each member, the heaviest first; the weights add up to 1.
    pub(super) members: Vec<(usize, f64)>,
    /// The blended scores.
    pub(super) scores: Vec<f64>,
}

/// The mean of losses.
fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

/// The blend with the least loss that the greedy search finds, within a limit on its time; none if it is no better than
/// the `best` candidate alone by more than chance.
pub(super) fn blend(
    metric: Metric,
    parts: &[Part],
    best: usize,
    truth: &Truth,
    max_nanoseconds: Option<f64>,
) -> Option<Blend> {
    let limit = max_nanoseconds.unwrap_or(MAX_NANOSECONDS);
    let mut is_barred: Vec<bool> = parts.iter().map(|part| part.footprint.nanoseconds > limit).collect();
    let members = loop {
        let members = greedy(metric, parts, &is_barred, truth, limit)?;
        // Others do the work of those that would cost more than they give.
        let is_too_light = |&&(index, weight): &&(usize, f64)| {
            weight < if parts[index].footprint.bytes > HEAVY { MIN_HEAVY_WEIGHT } else { MIN_WEIGHT }
        };
        match members.iter().filter(is_too_light).min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some(&(lightest, _)) if members.len() > 1 => is_barred[lightest] = true,
            _ => break members,
        }
    };
    let mut blended = vec![0.0; parts[best].scores.len()];
    for &(index, weight) in &members {
        blended.iter_mut().zip(parts[index].scores).for_each(|(out, score)| *out += weight * score);
    }
    // In units of the standard error.
    let gain = |metric: Metric| {
        let (alone, together) = (metric.losses(parts[best].scores, truth), metric.losses(&blended, truth));
        let gains: Vec<f64> = alone.iter().zip(&together).map(|(a, b)| a - b).collect();
        mean(&gains) / standard_error(&gains).max(f64::MIN_POSITIVE)
    };
    let is_sure = gain(metric) > MIN_GAIN || (gain(metric) > 0.0 && gain(metric.robust()) > MIN_GAIN);
    (members.len() > 1 && is_sure).then_some(Blend { members, scores: blended })
}

/// Indices and weights of the members that are not barred, the heaviest first; none if all are.
fn greedy(
    metric: Metric,
    parts: &[Part],
    is_barred: &[bool],
    truth: &Truth,
    limit: f64,
) -> Option<Vec<(usize, f64)>> {
    let mut counts = vec![0_usize; parts.len()];
    let mut sum: Vec<f64> = vec![0.0; parts.first()?.scores.len()];
    let mut least = (f64::INFINITY, counts.clone());
    for n in 0..MAX_ADDITIONS {
        let members = || (0..parts.len()).filter(|&index| counts[index] > 0);
        let is_full = members().count() >= MAX_MEMBERS;
        let taken: f64 = members().map(|index| parts[index].footprint.nanoseconds).sum();
        let losses: Vec<f64> = (0..parts.len())
            .into_par_iter()
            .map(|index| {
                let part = &parts[index];
                let is_new = counts[index] == 0;
                if is_barred[index] || (is_new && (is_full || taken + part.footprint.nanoseconds > limit)) {
                    return f64::INFINITY;
                }
                let share = 1.0 / (n + 1) as f64;
                let with = sum.iter().zip(part.scores).map(|(a, b)| (a + b) * share);
                mean(&metric.losses(&with.collect::<Vec<f64>>(), truth))
            })
            .collect();
        let next = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]))?;
        if is_barred[next] {
            return None;
        }
        counts[next] += 1;
        sum.iter_mut().zip(parts[next].scores).for_each(|(sum, score)| *sum += score);
        if losses[next] < least.0 {
            least = (losses[next], counts.clone());
        }
    }
    let total: usize = least.1.iter().sum();
    let of_member = |(index, &count): (usize, &usize)| (index, count as f64 / total as f64);
    let mut members: Vec<(usize, f64)> =
        least.1.iter().enumerate().filter(|(_, count)| **count > 0).map(of_member).collect();
    order::sort_by(&mut members, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Some(members).filter(|members| !members.is_empty())
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

    /// Candidates that take nothing.
    fn parts(views: &[Vec<f64>]) -> Vec<Part<'_>> {
        views.iter().map(|scores| Part { scores, footprint: Footprint::default() }).collect()
    }

    #[test]
    fn opposite_errors_cancel_and_a_useless_candidate_has_no_part() {
        let (truth, views) = views(300);
        let metric = Metric::of(None, Task::Regression, false).unwrap();
        let found = blend(metric, &parts(&views), 0, &truth, None).unwrap();
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
        let (same, useless) = ([views[0].clone(), views[0].clone()], [views[0].clone(), views[2].clone()]);
        assert_eq!(blend(metric, &parts(&same), 0, &truth, None), None);
        assert_eq!(blend(metric, &parts(&useless), 0, &truth, None), None);
    }

    #[test]
    fn a_blend_keeps_to_its_time_and_a_heavy_member_has_to_give_much() {
        let (truth, views) = views(300);
        let metric = Metric::of(None, Task::Regression, false).unwrap();
        let mut parts = parts(&views);
        parts.iter_mut().for_each(|part| part.footprint.nanoseconds = 600.0);
        assert!(blend(metric, &parts, 0, &truth, Some(1200.0)).is_some());
        assert_eq!(blend(metric, &parts, 0, &truth, Some(1199.0)), None);
        parts[1].footprint.nanoseconds = 1300.0;
        assert_eq!(blend(metric, &parts, 0, &truth, Some(1200.0)), None, "none that is slower by itself");
        // With errors ten times as large, the second gives a tenth as much.
        let light: Vec<f64> = match &truth {
            Truth::Values(truth) => truth.iter().zip(&views[1]).map(|(t, v)| t + 10.0 * (v - t)).collect(),
            Truth::Classes { .. } => panic!("numbers"),
        };
        let with_light = [views[0].clone(), light];
        let mut parts = super::tests::parts(&with_light);
        let found = blend(metric, &parts, 0, &truth, None).unwrap();
        assert!((0.05..0.1).contains(&found.members[1].1), "{:?}", found.members);
        parts[1].footprint.bytes = 2.0 * HEAVY;
        assert_eq!(blend(metric, &parts, 0, &truth, None), None);
    }
}
