//! Rows in falling order of the score of one class, counted up: what curves and thresholds are read from.

/// The counts of the rows from the highest score down, after each run of equal scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ranking {
    /// The score of each run, falling.
    pub(super) scores: Vec<f64>,
    /// Positives with this score or a higher one.
    pub(super) positives: Vec<u64>,
    /// Negatives with this score or a higher one.
    pub(super) negatives: Vec<u64>,
}

impl Ranking {
    /// Of pairs of a score and whether the row is positive; `None` if a score is no number.
    pub(super) fn new(mut rows: Vec<(f64, bool)>) -> Option<Self> {
        if rows.iter().any(|(score, _)| !score.is_finite()) {
            return None;
        }
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut found = Self::default();
        let (mut positives, mut negatives) = (0, 0);
        for (i, &(score, is_positive)) in rows.iter().enumerate() {
            positives += u64::from(is_positive);
            negatives += u64::from(!is_positive);
            if rows.get(i + 1).is_none_or(|next| next.0 != score) {
                found.scores.push(score);
                found.positives.push(positives);
                found.negatives.push(negatives);
            }
        }
        Some(found)
    }

    /// Number of runs.
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn n_positives(&self) -> u64 {
        self.positives.last().copied().unwrap_or(0)
    }

    pub(super) fn n_negatives(&self) -> u64 {
        self.negatives.last().copied().unwrap_or(0)
    }

    /// Whether there are rows of both kinds.
    pub(super) fn has_both(&self) -> bool {
        self.n_positives() > 0 && self.n_negatives() > 0
    }

    /// The area below the ROC curve.
    pub(super) fn roc_auc(&self) -> Option<f64> {
        if !self.has_both() {
            return None;
        }
        // Twice the area in whole numbers.
        let (mut area, mut last) = (0_u128, (0, 0));
        for (&positives, &negatives) in self.positives.iter().zip(&self.negatives) {
            area += u128::from(negatives - last.1) * u128::from(positives + last.0);
            last = (positives, negatives);
        }
        Some(area as f64 / 2.0 / (self.n_positives() as f64 * self.n_negatives() as f64))
    }

    /// The area below the steps of precision by recall.
    pub(super) fn average_precision(&self) -> Option<f64> {
        let all = Some(self.n_positives()).filter(|n| *n > 0)?;
        let (mut area, mut last) = (0.0, 0);
        for (&positives, &negatives) in self.positives.iter().zip(&self.negatives) {
            area += (positives - last) as f64 * (positives as f64 / (positives + negatives) as f64);
            last = positives;
        }
        Some(area / all as f64)
    }
}

/// The indices of points of a curve that are kept: all, or at most `max` of them. First and last point are among them,
/// and of each stretch the point that is farthest from the line between its ends, so that corners stay.
pub(super) fn thinned(x: &[f64], y: &[f64], max: usize) -> Vec<usize> {
    let n = x.len();
    let corners: Vec<usize> = (0..n)
        .filter(|&i| {
            // Points on the straight line between their neighbours add nothing.
            let between = i > 0 && i + 1 < n;
            !between || (x[i] - x[i - 1]) * (y[i + 1] - y[i]) != (y[i] - y[i - 1]) * (x[i + 1] - x[i])
        })
        .collect();
    if corners.len() <= max || max < 4 {
        return corners;
    }
    // A stretch is as long along the curve and along its axis, each counting half.
    let mut along = Vec::with_capacity(corners.len());
    let (mut arc, mut axis, mut last) = (0.0, 0.0, corners[0]);
    for &i in &corners {
        arc += (x[i] - x[last]).abs() + (y[i] - y[last]).abs();
        axis += (x[i] - x[last]).abs();
        along.push((arc, axis));
        last = i;
    }
    let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
    let n_stretches = (max - 2) / 2;
    let stretch = |at: usize| {
        let progress = (share(along[at].0, arc) + share(along[at].1, axis)) / 2.0;
        ((progress * n_stretches as f64) as usize).min(n_stretches - 1)
    };
    let mut kept = Vec::with_capacity(max);
    let mut start = 0;
    while start < corners.len() {
        let mut end = start;
        while end + 1 < corners.len() && stretch(end + 1) == stretch(start) {
            end += 1;
        }
        let (first, last) = (corners[start], corners[end]);
        kept.push(first);
        let distance = |i: usize| {
            ((x[last] - x[first]) * (y[i] - y[first]) - (y[last] - y[first]) * (x[i] - x[first])).abs()
        };
        let inner = corners.get(start + 1..end).unwrap_or_default();
        kept.extend(inner.iter().copied().max_by(|&a, &b| distance(a).total_cmp(&distance(b))));
        start = end + 1;
    }
    if kept.last() != corners.last() {
        kept.extend(corners.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::roc_auc;
    use crate::random::{below, generator};

    #[test]
    fn areas_are_those_of_the_metrics() {
        let mut random = generator(3);
        for n_scores in [2, 7, 1000] {
            let rows: Vec<(f64, bool)> =
                (0..300).map(|_| (below(n_scores, &mut random) as f64, below(3, &mut random) == 0)).collect();
            let (scores, truth): (Vec<f64>, Vec<bool>) = rows.iter().copied().unzip();
            assert_eq!(Ranking::new(rows).unwrap().roc_auc(), roc_auc(&truth, &scores));
        }
        assert_eq!(Ranking::new(vec![(0.5, true)]).unwrap().roc_auc(), None);
        assert_eq!(Ranking::new(vec![(0.5, false)]).unwrap().average_precision(), None);
        assert_eq!(Ranking::new(vec![(f64::NAN, false)]), None);
        let same = Ranking::new(vec![(0.5, true), (0.5, false)]).unwrap();
        assert_eq!((same.len(), same.roc_auc(), same.average_precision()), (1, Some(0.5), Some(0.5)));
    }

    #[test]
    fn thinning_keeps_ends_and_corners() {
        let straight: Vec<f64> = (0..5000).map(f64::from).collect();
        assert_eq!(thinned(&straight, &straight, 100), [0, 4999]);
        // A noisy rise with one sharp corner.
        let x: Vec<f64> = (0..5000).map(|i| f64::from(i) / 5000.0).collect();
        let y: Vec<f64> = (0..5000)
            .map(|i| if i < 1234 { f64::from(i % 2) * 1e-4 } else { 1.0 + f64::from(i % 2) * 1e-4 })
            .collect();
        let kept = thinned(&x, &y, 100);
        assert!(kept.len() <= 100, "{}", kept.len());
        assert_eq!((kept[0], *kept.last().unwrap()), (0, 4999));
        assert!(kept.contains(&1233) || kept.contains(&1234), "{kept:?}");
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        for n in 0..4 {
            assert_eq!(thinned(&x[..n], &y[..n], 100).len(), n);
        }
    }
}
