//! From the scale that a predictor learned on to that of the prediction.
//!
//! A contribution to a score becomes one to a function of it by the mean slope of the function along the straight line
//! from the base to the score: the value of Aumann and Shapley (1974), for one score the rescale rule of Shrikumar,
//! Greenside and Kundaje (2017, DeepLIFT; Chen, Lundberg and Lee 2022, "Explaining a series of models by propagating
//! Shapley values"). So contributions go on adding up.

use super::explanation::{Explanation, Scale};
use super::quadrature::gauss_legendre;
use crate::model::predictor::{Link, sigmoid, softmax};
use crate::model::target_transform::TargetTransform;

/// Points on the line from the base to the scores of several classes.
const LINE_POINTS: usize = 32;

/// The scores of a row before the link, in parts.
pub(super) struct Margins {
    pub(super) link: Link,
    /// One per score.
    pub(super) base: Vec<f64>,
    /// One per score.
    pub(super) score: Vec<f64>,
    /// `n_scores × n_features`.
    pub(super) contributions: Vec<f64>,
}

impl Margins {
    /// The explanation of the score of a label, or of the value.
    pub(super) fn explanation(
        mut self,
        label: Option<usize>,
        target: &TargetTransform,
        scale: Scale,
    ) -> Explanation {
        let n_scores = self.score.len();
        let n_features = self.contributions.len() / n_scores.max(1);
        let Some(class) = label else {
            let link = self.link;
            let is_affine =
                matches!(target, TargetTransform::Identity | TargetTransform::Standardised { .. });
            let name = match (link, target) {
                (Link::Exponential, _) => "log",
                (_, TargetTransform::Log { .. }) => "log",
                (_, TargetTransform::YeoJohnson { .. }) => "yeo-johnson",
                (_, TargetTransform::Rank { .. }) => "rank",
                _ => "value",
            };
            if scale == Scale::Score && (name == "log" || !is_affine) {
                return self.taken(0, None, name);
            }
            let to_value = |score: f64| {
                let mut out = [score];
                link.apply(&mut out);
                target.invert(out[0])
            };
            return self.along(&to_value, None, "value");
        };
        let is_first = class == 0 && n_scores == 1;
        match (self.link, n_scores) {
            (Link::Sigmoid, _) => {
                if is_first {
                    self.negate();
                }
                if scale == Scale::Score {
                    return self.taken(0, label, "log-odds");
                }
                self.along(&sigmoid, label, "probability")
            }
            (Link::Softmax, 2) => {
                // Of two classes the difference is the log-odds.
                let other = 1 - class;
                let difference = |values: &[f64]| vec![values[class] - values[other]];
                let (base, score) = (difference(&self.base), difference(&self.score));
                let (own, others) = (class * n_features, other * n_features);
                let contributions = (0..n_features)
                    .map(|feature| self.contributions[own + feature] - self.contributions[others + feature])
                    .collect();
                let of_two = Self { link: Link::Sigmoid, base, score, contributions };
                if scale == Scale::Score {
                    return of_two.taken(0, label, "log-odds");
                }
                of_two.along(&sigmoid, label, "probability")
            }
            (Link::Softmax, _) if scale == Scale::Score => self.taken(class, label, "margin"),
            (Link::Softmax, _) => self.softmax(class, label),
            // Probabilities already.
            _ => {
                if is_first {
                    self.negate();
                    self.base[0] += 1.0;
                    self.score[0] += 1.0;
                }
                self.taken(class.min(n_scores - 1), label, "probability")
            }
        }
    }

    fn negate(&mut self) {
        let all = self.base.iter_mut().chain(&mut self.score).chain(&mut self.contributions);
        all.for_each(|value| *value = -*value);
    }

    /// The explanation of one of the scores as it is.
    fn taken(self, score: usize, label: Option<usize>, scale: &'static str) -> Explanation {
        let n_features = self.contributions.len() / self.score.len().max(1);
        let mut contributions = self.contributions;
        contributions.truncate((score + 1) * n_features);
        contributions.drain(..score * n_features);
        let (base, score) = (self.base[score], self.score[score]);
        Explanation { label, base, score, scale, contributions, standard_error: None, terms: Vec::new() }
    }

    /// The explanation of a function of the only score.
    fn along(self, function: &dyn Fn(f64) -> f64, label: Option<usize>, scale: &'static str) -> Explanation {
        let mut explanation = self.taken(0, label, scale);
        let Explanation { base, score, contributions, .. } = &mut explanation;
        let (from, to) = (function(*base), function(*score));
        let way = *score - *base;
        let slope = if way.abs() > 1e-9 * base.abs().max(1.0) {
            (to - from) / way
        } else {
            let step = 1e-6 * base.abs().max(1.0);
            (function(*base + step) - function(*base - step)) / (2.0 * step)
        };
        contributions.iter_mut().for_each(|value| *value *= slope);
        (*base, *score) = (from, to);
        explanation
    }

    /// By what the contributions to each score are multiplied for those of the explanation, which are their sum.
    pub(super) fn factors(
        mut self,
        label: Option<usize>,
        target: &TargetTransform,
        scale: Scale,
    ) -> Vec<f64> {
        let n_scores = self.score.len();
        match (label, self.link, scale) {
            (Some(class), Link::Softmax, Scale::Prediction) if n_scores > 2 => self.slopes(class),
            _ => {
                // What is left of a contribution of 1 to one of the scores.
                self.contributions = (0..n_scores * n_scores)
                    .map(|at| if at % (n_scores + 1) == 0 { 1.0 } else { 0.0 })
                    .collect();
                self.explanation(label, target, scale).contributions
            }
        }
    }

    /// The probabilities of the classes a part of the way from the base to the scores.
    fn probabilities_at(&self, part: f64) -> Vec<f64> {
        let line = self.base.iter().zip(&self.score);
        let mut p: Vec<f64> = line.map(|(base, score)| base + part * (score - base)).collect();
        softmax(&mut p);
        p
    }

    /// The mean slopes of the probability of a class by the scores, on the way from the base to the scores.
    fn slopes(&self, class: usize) -> Vec<f64> {
        let mut slopes = vec![0.0; self.score.len()];
        let (points, weights) = gauss_legendre(LINE_POINTS);
        for (t, weight) in points.into_iter().zip(weights) {
            let p = self.probabilities_at(t);
            for (other, slope) in slopes.iter_mut().enumerate() {
                let own = if other == class { 1.0 } else { 0.0 };
                *slope += weight * p[class] * (own - p[other]);
            }
        }
        slopes
    }

    /// The explanation of the probability of one of several classes.
    fn softmax(self, class: usize, label: Option<usize>) -> Explanation {
        let n_features = self.contributions.len() / self.score.len();
        let slopes = self.slopes(class);
        let at = |part: f64| self.probabilities_at(part);
        let mut contributions = vec![0.0; n_features];
        for (of_score, slope) in self.contributions.chunks_exact(n_features).zip(slopes) {
            contributions.iter_mut().zip(of_score).for_each(|(sum, value)| *sum += slope * value);
        }
        let (base, score) = (at(0.0)[class], at(1.0)[class]);
        // What the points leave over where a probability turns steeply.
        let rest = score - base - contributions.iter().sum::<f64>();
        let size: f64 = contributions.iter().map(|value| value.abs()).sum();
        if size > 0.0 {
            contributions.iter_mut().for_each(|value| *value += rest * value.abs() / size);
        }
        Explanation {
            label,
            base,
            score,
            scale: "probability",
            contributions,
            standard_error: None,
            terms: Vec::new(),
        }
    }
}
