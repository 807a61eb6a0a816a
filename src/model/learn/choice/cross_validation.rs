//! Cross-validation of one algorithm with its settings, on the training rows.
//!
//! Schema, recipe and learner are fitted anew in each fold, so the held-out rows stay unseen and nothing of a fold's
//! held-out part leaks into its fit. The amount of work follows from rows, columns and classes, never from the clock:
//! the same data, flags and seed choose the same model.

use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;

use super::candidates::Contender;
use super::fitter::{Fitted, Fitter};
use super::metric::{Metric, decided};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::data::judge::findings::list;
use crate::data::split::Split;
use crate::data::split::arrangement::Arrangement;
use crate::model::evaluation::Metrics;
use crate::model::learn::algorithm::Path;
use crate::model::learn::{Spec, Watch, usage};
use crate::model::pipeline::{Member, Pipeline};
use crate::model::predictor::trees::Trees;
use crate::model::predictor::{Footprint, Predictor};
use crate::model::selection::{CrossValidation, Spread};
use crate::model::target_transform::TargetTransform;
use crate::order;

/// Rows × numbers of a row × scores: up to this many, five folds, the field's usual number (Kohavi 1995, "A
/// study of cross-validation and bootstrap", finds five to ten best).
const FIVE_FOLD_CELLS: usize = 100_000;

/// Up to this many, three folds; beyond, one split, whose held-out part is large enough by then.
const THREE_FOLD_CELLS: usize = 1_000_000;

/// A single split is made in a sample of about this many. With it the whole of `auto` on 100,000 × 30 stays
/// below three times one fit of gradient boosting and one of a forest (benches/auto.py).
const SAMPLED_CELLS: usize = 2_000_000;

/// A sample has at least this many rows, however wide the table is.
const MIN_SAMPLED_ROWS: usize = 5_000;

/// The shares of the most rounds of boosting that are tried before all of them.
const SHARES_OF_ROUNDS: [f64; 2] = [0.15, 0.4];

/// The least loss is taken for one that more rounds do not lower if it is within this share of those that were tried.
const SURE_SHARE: f64 = 0.75;

/// The share of the rows that a single split holds out.
const SPLIT_SHARE: f64 = 0.2;

/// The watch of a single fit in a fold: it ends with the search, and does not show its progress.
struct WithoutProgress<'a>(&'a Search<'a>);

impl Watch for WithoutProgress<'_> {
    fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

/// The training rows, and how fits on them are compared.
pub(crate) struct Search<'a> {
    /// Fits on some of the rows.
    pub(crate) fitter: &'a Fitter<'a>,
    /// The training rows, as rows of the file.
    pub(crate) rows: &'a [usize],
    /// The target of each of them.
    pub(crate) truth: &'a Truth,
    /// The group or time of each of them.
    pub(crate) arrangement: &'a Arrangement,
    /// The metric that decides.
    pub(crate) metric: Metric,
    /// `--cv`: the number of folds; `None`: it follows from the size of the table.
    pub(crate) n_folds: Option<usize>,
    /// The seed of random choices.
    pub(crate) seed: u64,
    /// Whether candidates may be blended.
    pub(crate) ensemble: bool,
    /// Most nanoseconds that the answer to one row may take.
    pub(crate) max_nanoseconds: Option<f64>,
    /// The time at which the search ends with the best so far.
    pub(crate) deadline: Option<Instant>,
    /// Progress and interruption.
    pub(crate) watch: &'a dyn Watch,
}

impl Search<'_> {
    /// Whether the user or the deadline ends the search.
    pub(crate) fn stopped(&self) -> bool {
        self.watch.stopped() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The reason for which it ended, for people.
    pub(super) fn why_stopped(&self) -> &'static str {
        if self.watch.stopped() { "was interrupted" } else { "ended with the time of --minutes" }
    }

    /// The number of folds and of rows for a table of this size; one fold is a single split.
    fn size(&self) -> (usize, usize) {
        let n_rows = self.rows.len();
        if let Some(n_folds) = self.n_folds {
            return (n_folds, n_rows);
        }
        let n_scores = match self.truth {
            Truth::Classes { labels, .. } if labels.len() > 2 => labels.len(),
            _ => 1,
        };
        let row = (self.fitter.n_slots() * n_scores).max(1);
        let cells = n_rows * row;
        if cells <= FIVE_FOLD_CELLS {
            (5, n_rows)
        } else if cells <= THREE_FOLD_CELLS {
            (3, n_rows)
        } else {
            (1, n_rows.min((SAMPLED_CELLS / row).max(MIN_SAMPLED_ROWS)))
        }
    }

    /// The splits of a sample of the training rows, as indices among them; with `share` 1 of all the rows. Empty if
    /// groups or times leave no way to split them.
    ///
    /// # Errors
    /// More folds than rows that can be held out.
    pub(crate) fn splits(&self, share: f64) -> Result<Vec<Split>> {
        let (n_folds, n_rows) = self.size();
        let sample = self.truth.sample((n_rows as f64 * share) as usize, self.seed);
        let truth = self.truth.select(&sample);
        let arrangement = self.arrangement.select(&sample);
        let mut splits = match n_folds {
            1 => vec![arrangement.hold_out(&truth, SPLIT_SHARE, self.seed)],
            k => arrangement.folds(&truth, k, self.seed),
        };
        let n_classes = n_seen(&truth, &(0..truth.len()).collect::<Vec<_>>());
        let is_whole = |split: &Split| {
            !split.test.is_empty() && !split.train.is_empty() && n_seen(&truth, &split.train) == n_classes
        };
        // Without --cv the folds are not the user's, and those that can be fitted and scored are enough.
        let n = sample.len();
        if splits.iter().any(|split| !is_whole(split)) && self.n_folds.is_some() && share >= 1.0 {
            let what = match arrangement {
                Arrangement::Free => format!("{n} training rows"),
                Arrangement::Groups(_) => format!("{} groups of training rows", arrangement.n_units(n)),
                Arrangement::Times(_) => format!("training rows of {} times", arrangement.n_units(n)),
            };
            let why = match arrangement {
                Arrangement::Times(_) if n_classes > 1 => {
                    " that follow each other and leave every class in the past"
                }
                _ => "",
            };
            return Err(usage(format!(
                "--cv {n_folds}: the {what} cannot be cut into {n_folds} folds{why}; give fewer"
            )));
        }
        splits.retain(is_whole);
        let of_rows = |part: Vec<usize>| part.into_iter().map(|i| sample[i]).collect();
        Ok(splits.into_iter().map(|s| Split { train: of_rows(s.train), test: of_rows(s.test) }).collect())
    }

    /// A remark on classes that have fewer rows than there are folds.
    pub(super) fn rare_classes(&self, n_folds: usize) -> Option<String> {
        let Truth::Classes { codes, labels } = self.truth else {
            return None;
        };
        let mut counts = vec![0; labels.len()];
        codes.iter().for_each(|&code| counts[code as usize] += 1);
        let rare = labels.iter().zip(&counts).filter(|(_, n)| (1..n_folds).contains(*n));
        let rare: Vec<String> = rare.map(|(label, n)| format!("{label:?} ({n})")).collect();
        let shown = list(&rare)?;
        let are = if rare.len() == 1 { "class has" } else { "classes have" };
        Some(format!(
            "{} {are} fewer training rows than the {n_folds} folds of the comparison, so not every fold scores them: \
             {shown}; gather more such rows, or give fewer folds with --cv",
            rare.len()
        ))
    }

    /// Fits on one part of a split and scores the other.
    fn fold(&self, contender: &Contender, split: &Split) -> Result<Fold> {
        let rows_of = |part: &[usize]| -> Vec<usize> { part.iter().map(|&i| self.rows[i]).collect() };
        let truth = self.truth.select(&split.train);
        if let Some(path) = contender.path {
            return self.path_fold(contender, path, split).map(Fold::Path);
        }
        let watch = WithoutProgress(self);
        let fitted = self.fitter.fit(&contender.spec, &rows_of(&split.train), &truth, &watch)?;
        let codes = fitted.pipeline.schema.codes(&self.fitter.set.table, &rows_of(&split.test))?;
        if contender.finds_rounds {
            return self.staged(fitted.pipeline, &codes, split).map(Fold::Staged);
        }
        let footprint = self.footprint(&fitted.pipeline, split);
        Ok(Fold::Whole { scores: fitted.pipeline.scores(&codes), footprint })
    }

    /// What a fit on all rows would take, by one on the rows of a split: the parts of most models are in proportion to them.
    fn footprint(&self, pipeline: &Pipeline, split: &Split) -> Footprint {
        let growth = self.rows.len() as f64 / split.train.len().max(1) as f64;
        let of_members = pipeline.members.iter().map(|member| member.predictor.footprint());
        let add = |a: Footprint, b: Footprint| Footprint {
            nanoseconds: a.nanoseconds + b.nanoseconds,
            bytes: a.bytes + b.bytes,
        };
        of_members.fold(Footprint::default(), add).times(growth)
    }

    /// Fits a path on one part of a split: for each value the scores of the other, their mean loss, and what it takes.
    fn path_fold(
        &self,
        contender: &Contender,
        path: &Path,
        split: &Split,
    ) -> Result<Vec<(Matrix, f64, Footprint)>> {
        let rows_of = |part: &[usize]| -> Vec<usize> { part.iter().map(|&i| self.rows[i]).collect() };
        let (truth, wanted) = (self.truth.select(&split.train), self.truth.select(&split.test));
        let (spec, watch) = (&contender.spec, WithoutProgress(self));
        let fits = self.fitter.fit_path(spec, path, &rows_of(&split.train), &truth, &watch)?;
        let scored = fits.into_iter().map(|Fitted { pipeline, .. }| {
            let codes = pipeline.schema.codes(&self.fitter.set.table, &rows_of(&split.test))?;
            let scores = pipeline.scores(&codes);
            let losses = self.metric.losses(scores.values(), &wanted);
            let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
            Ok((scores, mean, self.footprint(&pipeline, split)))
        });
        scored.collect()
    }

    /// Fits in some splits, in parallel, and scores their held-out rows. `None` after an interruption: the scores would
    /// be those of fits that were cut short.
    ///
    /// # Errors
    /// The error of the first fold that cannot be fitted.
    pub(super) fn folds(&self, contender: &Contender, splits: &[Split]) -> Result<Option<Vec<Fold>>> {
        // Most tables need few of the rounds that some need, so few are tried first.
        for share in SHARES_OF_ROUNDS {
            let Some(fewer) = contender.with_share_of_rounds(share, self.rows.len()) else { break };
            let Some(folds) = self.in_splits(splits, &|split| self.fold(&fewer, split))? else {
                return Ok(None);
            };
            let losses: Vec<Vec<f64>> = folds.iter().map(Fold::losses).collect();
            let (best, n_rounds) = (least(&losses), losses.first().map_or(0, Vec::len));
            if (best + 1) as f64 <= n_rounds as f64 * SURE_SHARE {
                return Ok(Some(folds));
            }
        }
        self.folds_as_set(contender, splits)
    }

    /// As [`Search::folds`] with as many rounds as are set.
    ///
    /// # Errors
    /// As there.
    pub(super) fn folds_as_set(&self, contender: &Contender, splits: &[Split]) -> Result<Option<Vec<Fold>>> {
        self.in_splits(splits, &|split| self.fold(contender, split))
    }

    /// The predictions in some folds, and the settings with what was left open: the number of rounds of boosted trees, the
    /// value of a path. It is the one that is best on average.
    pub(super) fn finish(contender: &Contender, folds: &[Fold]) -> (Spec, OutOfFold) {
        let spec = &contender.spec;
        let losses: Vec<Vec<f64>> = folds.iter().map(Fold::losses).collect();
        let best = least(&losses);
        let scores = folds.par_iter().map(|fold| fold.scores_of(best)).collect();
        let spec = match (contender.path, contender.finds_rounds) {
            (Some(path), _) => spec.at(path, best),
            (None, true) => spec.with("n_estimators", best as u64 + 1),
            (None, false) => spec.clone(),
        };
        (spec, OutOfFold::new(scores))
    }

    /// What `fit` makes of each split, in parallel; `None` after an interruption.
    fn in_splits<T: Send>(
        &self,
        splits: &[Split],
        fit: &(dyn Fn(&Split) -> Result<T> + Sync),
    ) -> Result<Option<Vec<T>>> {
        if self.stopped() {
            return Ok(None);
        }
        ensure!(!splits.is_empty(), "the rows cannot be split into rows to fit and rows to score");
        let folds: Vec<Result<T>> = splits.par_iter().map(fit).collect();
        if self.stopped() {
            return Ok(None);
        }
        let name = |index| format!("fold {} of {}", index + 1, splits.len());
        let named = folds.into_iter().enumerate().map(|(index, fold)| fold.with_context(|| name(index)));
        named.collect::<Result<_>>().map(Some)
    }

    /// Boosted trees that were fitted on one part of a split, and the loss of the other after each round.
    fn staged(&self, mut pipeline: Pipeline, codes: &Matrix, split: &Split) -> Result<StagedFold> {
        let member = pipeline.members.pop().context("a fit has a member")?;
        let Predictor::Trees(trees) = member.predictor else { bail!("rounds are those of trees") };
        let x = member.recipe.encode(codes).into_owned();
        // The trees may stand on another model.
        let base = pipeline.members.pop().map(|below| {
            let weight = below.weight;
            let below = Pipeline { members: vec![Member { weight: 1.0, ..below }], ..pipeline };
            below.scores(codes).values().iter().map(|score| weight * score).collect()
        });
        let mut fold = StagedFold {
            per_round: trees.n_scores(),
            trees,
            target: member.target,
            weight: member.weight,
            base,
            x,
            losses: Vec::new(),
        };
        let truth = self.truth.select(&split.test);
        let mut losses = Vec::with_capacity(fold.trees.n_trees() / fold.per_round);
        fold.trees.staged(fold.x.values(), fold.per_round, &mut |_, scores| {
            let mut scores = scores.to_vec();
            fold.complete(&mut scores);
            let of_rows = self.metric.losses(&scores, &truth);
            losses.push(of_rows.iter().sum::<f64>() / of_rows.len().max(1) as f64);
        });
        fold.losses = losses;
        Ok(fold)
    }

    /// The figures of predictions of the held-out rows of all splits.
    pub(super) fn scored(&self, predicted: &OutOfFold, splits: &[Split]) -> CrossValidation {
        let truths: Vec<Truth> = splits.iter().map(|split| self.truth.select(&split.test)).collect();
        let task = self.fitter.set.target.task;
        let metrics = predicted.folds.iter().zip(&truths);
        let figures: Vec<Vec<(&str, Option<f64>)>> = metrics
            .map(|(scores, truth)| Metrics::new(&decided(scores.clone(), task), truth, 1).figures())
            .collect();
        let scores_of = |name: &str| -> Vec<Option<f64>> {
            let of_fold = figures.iter().map(|fold| fold.iter().find(|(figure, _)| *figure == name));
            of_fold.map(|found| found.and_then(|(_, value)| *value)).collect()
        };
        let scores = scores_of(self.metric.name());
        let names = figures.first().into_iter().flatten().map(|(name, _)| *name);
        let others = names.filter(|name| *name != self.metric.name());
        let spread = Spread::of(&scores);
        let (together, truth) = (decided(predicted.together(), task), self.held_out_truth(splits));
        let standard_error =
            || self.metric.standard_error(&together, &truth).filter(|error| error.is_finite());
        CrossValidation {
            metric: self.metric.name().into(),
            spread,
            standard_error: spread.mean.and_then(|_| standard_error()),
            n_rows: n_compared(splits),
            metrics: order::map(others.map(|name| (name.to_string(), Spread::of(&scores_of(name))))),
            scores,
        }
    }

    /// The target of the held-out rows of all splits, in the order of [`OutOfFold::together`].
    pub(super) fn held_out_truth(&self, splits: &[Split]) -> Truth {
        self.truth.select(&held_out(splits))
    }

    /// Scores one algorithm on all splits; `None` after an interruption.
    ///
    /// # Errors
    /// The error of the first fold that cannot be fitted.
    pub(super) fn cross_validate(&self, spec: &Spec, splits: &[Split]) -> Result<Option<Scored>> {
        let contender = Contender::given(spec.clone());
        let Some(folds) = self.folds(&contender, splits)? else { return Ok(None) };
        let predicted = Self::finish(&contender, &folds).1;
        Ok(Some(Scored { scores: self.scored(&predicted, splits), unseen: Unseen::new(&predicted, splits) }))
    }

    /// The predictions of the held-out rows of all splits by an algorithm; `None` after an interruption.
    ///
    /// # Errors
    /// As [`Search::cross_validate`].
    pub(crate) fn out_of_fold(&self, spec: &Spec, splits: &[Split]) -> Result<Option<Matrix>> {
        let contender = Contender::given(spec.clone());
        let folds = self.folds(&contender, splits)?;
        Ok(folds.map(|folds| Self::finish(&contender, &folds).1.together()))
    }
}

/// The index of the least sum over the folds.
fn least(losses: &[Vec<f64>]) -> usize {
    let n = losses.iter().map(Vec::len).min().unwrap_or(0);
    let sum = |index: usize| losses.iter().map(|of_fold| of_fold[index]).sum::<f64>();
    (0..n).min_by(|&a, &b| sum(a).total_cmp(&sum(b))).unwrap_or(0)
}

/// A fit on one part of a split, and what it says of the other.
pub(super) enum Fold {
    /// The scores of the held-out rows, and what the fit on all rows would take.
    Whole { scores: Matrix, footprint: Footprint },
    /// The same for each value of a path, and their mean loss.
    Path(Vec<(Matrix, f64, Footprint)>),
    /// Trees whose number is not chosen yet.
    Staged(StagedFold),
}

impl Fold {
    /// Rounds of trees whose number is not chosen yet.
    pub(super) fn n_rounds(&self) -> usize {
        match self {
            Self::Staged(fold) => fold.losses.len(),
            Self::Whole { .. } | Self::Path(_) => 0,
        }
    }

    /// The mean loss of each value of what is still open.
    fn losses(&self) -> Vec<f64> {
        match self {
            Self::Whole { .. } => Vec::new(),
            Self::Path(values) => values.iter().map(|(_, loss, _)| *loss).collect(),
            Self::Staged(fold) => fold.losses.clone(),
        }
    }

    /// The scores with one of these values.
    fn scores_of(&self, index: usize) -> (Matrix, Footprint) {
        match self {
            Self::Whole { scores, footprint } => (scores.clone(), *footprint),
            Self::Path(values) => (values[index].0.clone(), values[index].2),
            Self::Staged(fold) => fold.scores_of(index + 1),
        }
    }
}

/// Boosted trees that were fitted on one part of a split.
pub(super) struct StagedFold {
    trees: Box<Trees>,
    /// What is undone to their predictions.
    target: TargetTransform,
    /// Their part of the sum.
    weight: f64,
    /// What is added of the model that they stand on.
    base: Option<Vec<f64>>,
    /// The prepared rows of the other part.
    x: Matrix,
    /// Trees of a round.
    per_round: usize,
    /// Their mean loss after each round.
    losses: Vec<f64>,
}

impl StagedFold {
    /// Makes predictions of what the trees say of the held-out rows.
    fn complete(&self, scores: &mut [f64]) {
        self.target.invert_all(scores);
        if let Some(base) = &self.base {
            scores.iter_mut().zip(base).for_each(|(score, base)| *score = base + self.weight * *score);
        }
    }

    /// The scores of the held-out rows after a number of rounds, and what so many take.
    fn scores_of(&self, n_rounds: usize) -> (Matrix, Footprint) {
        let trees = self.trees.truncated(n_rounds * self.per_round);
        let mut scores = Matrix::zeros(self.x.n_rows(), trees.n_outputs());
        trees.scores_block(self.x.values(), scores.values_mut());
        self.complete(scores.values_mut());
        (scores, Predictor::Trees(Box::new(trees)).footprint())
    }
}

/// Predictions of the held-out rows of some splits by fits that had not seen them.
pub(super) struct OutOfFold {
    /// The scores of each split's held-out rows, in their order.
    pub(super) folds: Vec<Matrix>,
    /// What a fit on all rows would take.
    pub(super) footprint: Footprint,
}

impl OutOfFold {
    fn new(folds: Vec<(Matrix, Footprint)>) -> Self {
        let (folds, footprints): (Vec<Matrix>, Vec<Footprint>) = folds.into_iter().unzip();
        let largest = footprints.into_iter().max_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
        Self { folds, footprint: largest.unwrap_or_default() }
    }

    /// `scores` of all splits, shaped as `like`, split by split.
    pub(super) fn of(scores: Vec<f64>, like: &Matrix, splits: &[Split]) -> Self {
        let width = like.n_cols();
        let mut rest = scores.as_slice();
        let mut take = |split: &Split| {
            let (of_split, after) = rest.split_at(split.test.len() * width);
            rest = after;
            let mut fold = Matrix::zeros(split.test.len(), width);
            fold.values_mut().copy_from_slice(of_split);
            fold
        };
        Self { folds: splits.iter().map(&mut take).collect(), footprint: Footprint::default() }
    }

    /// The scores of all splits, one after the other.
    pub(super) fn together(&self) -> Matrix {
        let n_cols = self.folds.first().map_or(0, Matrix::n_cols);
        let mut all = Matrix::with_capacity(self.folds.iter().map(Matrix::n_rows).sum(), n_cols);
        for row in self.folds.iter().flat_map(Matrix::rows) {
            all.push_row(0.0).copy_from_slice(row);
        }
        all
    }
}

/// Predictions of training rows by fits that had not seen them.
pub(crate) struct Unseen {
    /// The scores of each row.
    pub(crate) scores: Matrix,
    /// The rows, as indices among the training rows.
    pub(crate) rows: Vec<usize>,
}

impl Unseen {
    pub(super) fn new(predicted: &OutOfFold, splits: &[Split]) -> Self {
        Self { scores: predicted.together(), rows: held_out(splits) }
    }

    /// Scores of 0 for the held-out rows of all splits, as many as `like` has.
    pub(crate) fn zeros(like: &Matrix, splits: &[Split]) -> Self {
        Self { scores: Matrix::zeros(like.n_rows(), like.n_cols()), rows: held_out(splits) }
    }
}

/// A cross-validation with its predictions.
pub(super) struct Scored {
    pub(super) scores: CrossValidation,
    pub(super) unseen: Unseen,
}

/// The held-out rows of all splits, one split after the other.
fn held_out(splits: &[Split]) -> Vec<usize> {
    splits.iter().flat_map(|split| split.test.iter().copied()).collect()
}

/// The number of rows that splits fit and score; of splits by time, the last has them all.
pub(super) fn n_compared(splits: &[Split]) -> usize {
    splits.iter().map(|split| split.train.len() + split.test.len()).max().unwrap_or(0)
}

/// The number of classes among some rows; 1 for numbers.
fn n_seen(truth: &Truth, rows: &[usize]) -> usize {
    let Truth::Classes { codes, labels } = truth else {
        return 1;
    };
    let mut seen = vec![false; labels.len()];
    rows.iter().for_each(|&row| seen[codes[row] as usize] = true);
    seen.into_iter().filter(|seen| *seen).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::choice::candidates::Contenders;
    use crate::model::learn::choice::tests::with_search;
    use crate::model::learn::{Unwatched, algorithm};

    #[test]
    fn the_work_follows_from_the_size_of_the_table() {
        // 15 slots a row: a number, 13 levels and the others.
        for (n, sizes) in [(100, (5, 100)), (10_000, (3, 10_000)), (70_000, (1, 70_000))] {
            assert_eq!(with_search(&Unwatched, n, None, |search| search.size()), sizes);
        }
        assert_eq!(with_search(&Unwatched, 200_000, None, |search| search.size()), (1, SAMPLED_CELLS / 15));
        assert_eq!(with_search(&Unwatched, 70_000, Some(7), |search| search.size()), (7, 70_000));
    }

    #[test]
    fn rows_that_cannot_be_split_are_an_error_only_of_folds_that_were_asked_for() {
        with_search(&Unwatched, 60, None, |search| {
            // Every row is the only one of its class.
            let labels = (0..60).map(|class| class.to_string()).collect();
            let truth = &Truth::Classes { codes: (0..60).collect(), labels };
            let none_asked = Search { truth, ..*search };
            assert!(none_asked.splits(1.0).unwrap().is_empty());
            let choice =
                none_asked.choose(&Contenders::of("auto", Task::Classification, &[]).unwrap(), None, &[]);
            assert!(choice.unwrap().reason.contains("60 rows cannot be split to compare others"));
            let error = Search { truth, n_folds: Some(3), ..*search }.splits(1.0).unwrap_err().to_string();
            assert!(error.starts_with("--cv 3: the 60 training rows cannot be cut into 3 folds"), "{error}");
        });
    }

    #[test]
    fn a_fold_learns_nothing_of_its_held_out_rows() {
        // A level that only held-out rows have is an unseen one to the fit.
        with_search(&Unwatched, 60, Some(3), |search| {
            let spec = Spec::new(algorithm("logreg").unwrap(), Task::Classification, &[]).unwrap();
            let split = &search.splits(1.0).unwrap()[0];
            let of_level =
                |part: &[usize]| part.iter().copied().filter(|i| i * 7 % 13 != 5).collect::<Vec<_>>();
            let rows = of_level(&split.train);
            let fitted = search.fitter.fit(&spec, &rows, &search.truth.select(&rows), &Unwatched).unwrap();
            assert!(!fitted.pipeline.schema.features[1].levels.contains(&"05".to_string()));
            assert_eq!(fitted.pipeline.schema.features[1].levels.len(), 12);
        });
    }

    #[test]
    fn all_candidates_get_the_same_folds_and_every_row_is_scored_once() {
        with_search(&Unwatched, 60, Some(4), |search| {
            let splits = search.splits(1.0).unwrap();
            let mut scored: Vec<usize> = splits.iter().flat_map(|split| split.test.iter().copied()).collect();
            scored.sort_unstable();
            assert_eq!(scored, (0..60).collect::<Vec<_>>());
            for (split, again) in splits.iter().zip(search.splits(1.0).unwrap()) {
                assert_eq!((&split.train, &split.test), (&again.train, &again.test));
                assert!(split.train.iter().all(|row| !split.test.contains(row)));
            }
        });
    }
}
