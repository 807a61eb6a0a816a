//! Calibration, threshold, prediction intervals and prediction sets: fitted on out-of-fold predictions of the training
//! rows, those of the comparison where there was one.
//!
//! Probabilities that the threshold and the sets are chosen by are calibrated by curves of other rows, so a curve that
//! follows its own rows too closely misleads neither.

mod conformal;
mod curves;
mod threshold;

use anyhow::{Context as _, Result};

use super::balanced_weights;
use super::choice::Choice;
use super::choice::cross_validation::{Search, Unseen};
use super::choice::metric::standard_error;
use crate::data::cells::cell::Task;
use crate::data::cells::target::{Target, Truth};
use crate::data::split::Split;
use crate::data::split::arrangement::Arrangement;
use crate::error::usage;
use crate::model::postprocessing::Postprocessing;
use crate::model::postprocessing::calibration::{Calibration, Curves, Method, log_probability};
use curves::Rows;
pub use threshold::Measure;

/// Folds of the out-of-fold predictions, each of which is calibrated by the others.
const N_FOLDS: usize = 5;

/// Isotonic curves of fewer rows follow them too closely; `auto` does not try them.
const MIN_ISOTONIC_ROWS: usize = 1000;

/// Most probabilities that curves are fitted to; of more an even sample is taken.
const MAX_FITTED: usize = 2_000_000;

/// Which calibration is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Calibrate {
    /// As `Auto`, where out-of-fold predictions are there anyway and a proper score decides.
    #[default]
    Unasked,
    /// The kind with the least log loss, if it gains more than a standard error.
    Auto,
    /// This kind.
    As(Method),
    /// None.
    Never,
}

impl Calibrate {
    /// Its name on the command line; none if nobody asked.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Unasked => None,
            Self::Auto => Some("auto"),
            Self::As(method) => Some(method.name()),
            Self::Never => Some("none"),
        }
    }

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let methods = Method::ALL.map(Self::As);
        [Self::Auto, Self::Never].into_iter().chain(methods).find(|known| known.name() == Some(name))
    }
}

/// What is wanted after the predictors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wanted {
    /// The calibration of probabilities.
    pub calibrate: Calibrate,
    /// What the threshold is chosen by.
    pub optimize: Option<Measure>,
    /// The level of prediction intervals.
    pub interval: Option<f64>,
    /// The level of prediction sets.
    pub conformal: Option<f64>,
}

impl Wanted {
    /// Checks the wishes before the work.
    ///
    /// # Errors
    /// A usage error for one that does not fit the target.
    pub(crate) fn check(&self, target: &Target) -> Result<()> {
        let calibrates = matches!(self.calibrate, Calibrate::Auto | Calibrate::As(_));
        let of_classes = [
            ("--calibrate", calibrates),
            ("--optimize", self.optimize.is_some()),
            ("--conformal", self.conformal.is_some()),
        ];
        let asked = of_classes.iter().find(|(_, asked)| *asked).map(|(flag, _)| flag);
        match (target.task, asked) {
            (Task::Regression, Some(flag)) => Err(usage(format!(
                "{flag} needs classes, and this is a regression; --interval is for numbers"
            ))),
            (Task::Classification, _) if self.interval.is_some() => Err(usage(
                "--interval needs numbers, and this is a classification; --conformal is for classes",
            )),
            _ if self.optimize.is_some() && target.labels.len() != 2 => {
                let n = target.labels.len();
                Err(usage(format!("--optimize needs two classes, and column {:?} has {n}", target.name)))
            }
            _ => Ok(()),
        }
    }

    /// Whether out-of-fold predictions have to be made if there are none.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.calibrate, Calibrate::Auto | Calibrate::As(_))
            || self.optimize.is_some()
            || self.interval.is_some()
            || self.conformal.is_some()
    }

    /// Whether a calibration may be taken that nobody asked for.
    fn may_calibrate(&self, search: &Search, choice: &Choice) -> bool {
        self.calibrate == Calibrate::Unasked
            && matches!(search.truth, Truth::Classes { .. })
            && ["log_loss", "brier"].contains(&search.metric.name())
            && !choice.selection.is_empty()
    }

    /// Fits what is wanted for the choice.
    ///
    /// # Errors
    /// A usage error for rows that cannot be predicted out of fold, or are too few for a level.
    pub(crate) fn fit(&self, search: &Search, choice: &mut Choice) -> Result<Postprocessing> {
        if !self.is_asked() && !self.may_calibrate(search, choice) {
            return Ok(Postprocessing::default());
        }
        // Its time is the fit's, and it takes a part of that of the comparison.
        let search = &Search { deadline: None, ..*search };
        let unseen = match choice.unseen.take() {
            Some(unseen) => unseen,
            // Predictions of thousands of classes are not kept, and nobody asked to make them again.
            None if !self.is_asked() && choice.selection.tuning.is_none() => {
                return Ok(Postprocessing::default());
            }
            None if search.stopped() => return self.without(choice),
            None => match search.predict_unseen(&choice.members)? {
                Some(unseen) => unseen,
                None => return self.without(choice),
            },
        };
        self.fit_to(&OutOfFold::of(search, unseen))
    }

    /// Fits what is wanted to predictions of rows that were not fitted.
    ///
    /// # Errors
    /// A usage error for rows that are too few for a level.
    pub(super) fn fit_to(&self, rows: &OutOfFold) -> Result<Postprocessing> {
        let mut found = Postprocessing::default();
        match &rows.truth {
            Truth::Values(values) => {
                let predicted = rows.scores.as_slice();
                found.interval =
                    self.interval.map(|level| conformal::interval(level, predicted, values)).transpose()?;
            }
            Truth::Classes { codes, labels } => {
                let n_classes = labels.len();
                let (calibration, scores) = rows.calibrated(self.calibrate, codes, n_classes);
                found.calibration = calibration;
                if let Some(measure) = self.optimize {
                    let p: Vec<f64> = scores.chunks_exact(n_classes).map(|row| row[1]).collect();
                    let is_second: Vec<bool> = codes.iter().map(|&code| code == 1).collect();
                    found.threshold = Some(threshold::best(measure, &p, &is_second, &rows.weights));
                }
                if let Some(level) = self.conformal {
                    let of_truth = scores.chunks_exact(n_classes).zip(codes);
                    let of_truth: Vec<f64> = of_truth.map(|(row, &code)| row[code as usize]).collect();
                    found.prediction_sets = Some(conformal::sets(level, &of_truth)?);
                }
            }
        }
        Ok(found)
    }

    /// Nothing, because the user asked to stop.
    #[expect(clippy::unnecessary_wraps, reason = "an outcome of `fit`")]
    fn without(&self, choice: &mut Choice) -> Result<Postprocessing> {
        if self.is_asked() {
            let what = "calibration, threshold, intervals and sets were skipped: training was interrupted";
            choice.notes.push(what.into());
        }
        Ok(Postprocessing::default())
    }
}

/// Rows of a weight above 0 with predictions of fits that they were not part of.
pub(super) struct OutOfFold {
    scores: Vec<f64>,
    truth: Truth,
    weights: Vec<f64>,
    folds: Vec<Split>,
}

/// What is known of rows beside their predictions.
pub(super) struct Predicted<'a> {
    pub(super) truth: &'a Truth,
    /// 1 if absent.
    pub(super) weights: Option<&'a [f64]>,
    /// Whether every class counts the same.
    pub(super) balance: bool,
}

impl OutOfFold {
    fn of(search: &Search, unseen: Unseen) -> Self {
        let of_set = search.fitter.set.weights.as_ref();
        let weights = of_set.map(|weights| search.rows.iter().map(|&row| weights[row]).collect::<Vec<_>>());
        let rows =
            Predicted { truth: search.truth, weights: weights.as_deref(), balance: search.fitter.balance };
        Self::new(&unseen, &rows, search.arrangement, search.seed)
    }

    /// `unseen`: the predictions of some of the rows.
    pub(super) fn new(unseen: &Unseen, rows: &Predicted, arrangement: &Arrangement, seed: u64) -> Self {
        let width = unseen.scores.n_cols();
        let weight = |row: usize| rows.weights.map_or(1.0, |weights| weights[row]);
        let of_weight: Vec<usize> =
            (0..unseen.rows.len()).filter(|&i| weight(unseen.rows[i]) > 0.0).collect();
        let step = (of_weight.len() * width).div_ceil(MAX_FITTED).max(1);
        let kept: Vec<usize> = of_weight.into_iter().step_by(step).collect();
        let of_kept: Vec<usize> = kept.iter().map(|&i| unseen.rows[i]).collect();
        let truth = rows.truth.select(&of_kept);
        let mut weights: Vec<f64> = of_kept.iter().map(|&row| weight(row)).collect();
        if let (true, Truth::Classes { codes, labels }) = (rows.balance, &truth) {
            weights = balanced_weights(codes, labels.len(), Some(&weights));
        }
        let folds = arrangement.select(&of_kept).folds(&truth, N_FOLDS, seed);
        let folds =
            folds.into_iter().filter(|fold| !fold.train.is_empty() && !fold.test.is_empty()).collect();
        Self {
            scores: kept.iter().flat_map(|&i| unseen.scores.row(i)).copied().collect(),
            truth,
            weights,
            folds,
        }
    }

    /// The calibration, and the probabilities of the rows, calibrated by the other folds.
    fn calibrated(
        &self,
        wanted: Calibrate,
        codes: &[u32],
        n_classes: usize,
    ) -> (Option<Calibration>, Vec<f64>) {
        let all = Rows { scores: &self.scores, codes, weights: &self.weights, n_classes };
        // The loss of each row that a fold holds out.
        let tried: Vec<usize> = self.folds.iter().flat_map(|fold| fold.test.iter().copied()).collect();
        let losses = |scores: &[f64]| -> Vec<f64> {
            let loss = |&row: &usize| {
                -self.weights[row] * log_probability(scores[row * n_classes + codes[row] as usize])
            };
            tried.iter().map(loss).collect()
        };
        let weight: f64 = tried.iter().map(|&row| self.weights[row]).sum();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / weight.max(f64::MIN_POSITIVE);
        let before = losses(&self.scores);
        let calibrated = |method: Method| {
            let scores = self.by_other_folds(method, all);
            let after = losses(&scores);
            let gains: Vec<f64> = before.iter().zip(&after).map(|(before, after)| before - after).collect();
            let calibration = || Calibration {
                method,
                log_loss_before: mean(&before),
                log_loss_after: mean(&after),
                n_rows: codes.len(),
                curves: curves::fit(method, all),
            };
            let gain = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
            (gain, standard_error(&gains), calibration(), scores)
        };
        match wanted {
            Calibrate::Never => (None, self.scores.clone()),
            Calibrate::As(method) => {
                let (.., calibration, scores) = calibrated(method);
                (Some(calibration), scores)
            }
            Calibrate::Unasked | Calibrate::Auto => {
                let is_enough =
                    |method: &Method| *method != Method::Isotonic || codes.len() >= MIN_ISOTONIC_ROWS;
                let tried = Method::ALL.into_iter().filter(is_enough).map(calibrated);
                let sure = tried.filter(|(gain, error, ..)| gain > error);
                // The first of equals.
                let best = sure.reduce(|best, next| if next.0 > best.0 { next } else { best });
                best.map_or_else(|| (None, self.scores.clone()), |(.., found, scores)| (Some(found), scores))
            }
        }
    }

    /// The probabilities of each fold's rows by curves of the others; of rows of no fold by those of all.
    fn by_other_folds(&self, method: Method, all: Rows) -> Vec<f64> {
        let width = all.n_classes;
        let mut scores = self.scores.clone();
        let mut is_tried = vec![false; all.codes.len()];
        let mut apply = |curves: &Curves, rows: &[usize]| {
            rows.iter().for_each(|&row| curves.apply(&mut scores[row * width..(row + 1) * width]));
        };
        for fold in &self.folds {
            let of = |rows: &[usize]| {
                let scores: Vec<f64> = (rows.iter())
                    .flat_map(|&row| &all.scores[row * width..(row + 1) * width])
                    .copied()
                    .collect();
                let codes: Vec<u32> = rows.iter().map(|&row| all.codes[row]).collect();
                let weights: Vec<f64> = rows.iter().map(|&row| all.weights[row]).collect();
                (scores, codes, weights)
            };
            let (scores, codes, weights) = of(&fold.train);
            let others = Rows { scores: &scores, codes: &codes, weights: &weights, n_classes: width };
            apply(&curves::fit(method, others), &fold.test);
            fold.test.iter().for_each(|&row| is_tried[row] = true);
        }
        let rest: Vec<usize> = (0..is_tried.len()).filter(|&row| !is_tried[row]).collect();
        if !rest.is_empty() {
            apply(&curves::fit(method, all), &rest);
        }
        scores
    }
}

impl Search<'_> {
    /// Out-of-fold predictions by some algorithms with their weights; `None` after an interruption.
    ///
    /// # Errors
    /// Rows that cannot be split; the error of a fold that cannot be fitted.
    fn predict_unseen(&self, members: &[(super::Spec, f64)]) -> Result<Option<Unseen>> {
        let splits = self.splits(1.0)?;
        if splits.is_empty() {
            return Err(usage(
                "--calibrate, --optimize, --interval and --conformal need out-of-fold predictions, and the training rows \
                 cannot be split into folds",
            ));
        }
        self.watch.progress(0, splits.len() as u64, format_args!("predicting out of fold"));
        let mut blended: Option<Unseen> = None;
        for (spec, weight) in members {
            let Some(scores) = self.out_of_fold(spec, &splits)? else { return Ok(None) };
            let sum = blended.get_or_insert_with(|| Unseen::zeros(&scores, &splits));
            let parts = sum.scores.values_mut().iter_mut().zip(scores.values());
            parts.for_each(|(sum, score)| *sum += weight * score);
        }
        blended.context("a choice has a member").map(Some)
    }
}
