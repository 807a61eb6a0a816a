//! Which algorithm: cross-validation, the leaderboard of `auto`, and the choice.
//!
//! Everything here looks at the training rows only, and fits schema, recipe and learner anew in each fold, so
//! the held-out rows stay unseen and nothing of a fold's held-out part leaks into its fit. How much work is
//! done follows from rows, columns and classes, never from the clock: the same data, flags and seed choose the
//! same model.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;

use super::fitter::Fitter;
use crate::data::cells::schema::{Task, nearest};
use crate::data::cells::target::Truth;
use crate::data::judge::findings::list;
use crate::data::split::arrangement::Arrangement;
use crate::data::split::folds::Split;
use crate::model::evaluation::Metrics;
use crate::model::learn::{ALGORITHMS, Algorithm, Spec, Watch, algorithm, usage};
use crate::model::pipeline::{Decision, Predictions};
use crate::model::selection::{CrossValidation, Selection, Spread, Standing};

/// An algorithm that `auto` may compare, and the tables it is compared on.
struct Candidate {
    name: &'static str,
    /// Training rows.
    rows: RangeInclusive<usize>,
    /// Numbers of a standardised row at most.
    max_slots: usize,
}

const ANY: RangeInclusive<usize> = 0..=usize::MAX;

/// The candidates of `auto`, simplest first: what is easier to read, keeps less, and can follow less of the
/// noise. The linear models come before naive Bayes, which is as small but far too sure of itself
/// (Niculescu-Mizil and Caruana 2005, "Predicting good probabilities with supervised learning").
///
/// Names that are not in [`ALGORITHMS`] are passed over. Not here: lasso and elastic net, whose default
/// penalty depends on the unit of the target, and the multilayer perceptron, which takes longer than all
/// others together.
static CANDIDATES: [Candidate; 10] = [
    Candidate { name: "linear-regression", rows: ANY, max_slots: usize::MAX },
    Candidate { name: "ridge", rows: ANY, max_slots: usize::MAX },
    Candidate { name: "logistic-regression", rows: ANY, max_slots: usize::MAX },
    Candidate { name: "naive-bayes", rows: ANY, max_slots: usize::MAX },
    Candidate { name: "decision-tree", rows: ANY, max_slots: usize::MAX },
    // Distances say little in many columns, and every prediction looks at the training rows.
    Candidate { name: "knn", rows: 0..=10_000, max_slots: 100 },
    Candidate { name: "random-forest", rows: ANY, max_slots: usize::MAX },
    Candidate { name: "extra-trees", rows: ANY, max_slots: usize::MAX },
    // Its time grows with the square of the rows.
    Candidate { name: "svm", rows: 0..=5_000, max_slots: usize::MAX },
    // Leaves of 20 rows leave a small table few splits, and its time grows with the rounds all the same.
    Candidate { name: "gradient-boosting", rows: 500..=usize::MAX, max_slots: usize::MAX },
];

/// With fewer training rows candidates are not compared: folds of three rows tell nothing.
const MIN_COMPARED_ROWS: usize = 20;

/// Rows × numbers of a row × scores: up to this many, five folds, the field's usual number (Kohavi 1995, "A
/// study of cross-validation and bootstrap", finds five to ten best).
const FIVE_FOLD_CELLS: usize = 100_000;

/// Up to this many, three folds; beyond, one split, whose held-out part is large enough by then.
const THREE_FOLD_CELLS: usize = 1_000_000;

/// A single split is made in a sample of about this many. With it the whole of `auto` on 100,000 × 30 stays
/// below three times one fit of gradient boosting and one of a forest (benches/auto.py).
const SAMPLED_CELLS: usize = 2_000_000;

/// However wide a table is, a sample has this many rows if the table has.
const MIN_SAMPLED_ROWS: usize = 5_000;

/// The share of a single split that is held out.
const SPLIT_SHARE: f64 = 0.2;

/// What decides. More is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainFigure {
    /// Share of rows predicted right.
    Accuracy,
    /// Mean recall of the classes.
    BalancedAccuracy,
    /// Coefficient of determination.
    R2,
}

impl MainFigure {
    /// As scikit-learn's `score`; where the classes are to count the same, they do so here as well.
    pub fn of(task: Task, balance: bool) -> Self {
        match task {
            Task::Regression => Self::R2,
            Task::Classification if balance => Self::BalancedAccuracy,
            Task::Classification => Self::Accuracy,
        }
    }

    /// Its name among [`Metrics::figures`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::R2 => "r2",
        }
    }

    /// What one fold adds to the standard error: of classes, rows and hits of each class (of all rows together
    /// for the accuracy); of numbers, the variance of the mean squared error as a share of that of the truth.
    fn tally(self, predictions: &Predictions, truth: &Truth) -> Vec<[f64; 2]> {
        match truth {
            Truth::Classes { codes, labels } => {
                let n_groups = if self == Self::Accuracy { 1 } else { labels.len() };
                let mut counts = vec![[0.0; 2]; n_groups];
                for (&code, &predicted) in codes.iter().zip(&predictions.classes) {
                    let [rows, hits] = &mut counts[code as usize % n_groups];
                    *rows += 1.0;
                    *hits += f64::from(u8::from(code == predicted));
                }
                counts
            }
            Truth::Values(values) => {
                let n = values.len() as f64;
                let variance = |values: &[f64]| {
                    let mean = values.iter().sum::<f64>() / n;
                    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
                };
                let pairs = values.iter().zip(predictions.scores.values());
                let errors: Vec<f64> = pairs.map(|(t, p)| (t - p).powi(2)).collect();
                vec![[1.0, variance(&errors) / n / variance(values).powi(2)]]
            }
        }
    }

    /// The standard error of the mean over folds, from the rows of all of them as in Breiman et al. 1984, 3.4.3:
    /// that of a share, or of a mean of shares. Two hits and two misses are added (Agresti and Coull 1998,
    /// "Approximate is better than exact"): a perfect score on a few rows is not certain.
    fn standard_error(self, folds: &[Vec<[f64; 2]>]) -> f64 {
        let mut sums = vec![[0.0; 2]; folds.first().map_or(0, Vec::len)];
        for fold in folds {
            for (sum, group) in sums.iter_mut().zip(fold) {
                (sum[0], sum[1]) = (sum[0] + group[0], sum[1] + group[1]);
            }
        }
        if self == Self::R2 {
            return sums.iter().map(|[folds, variance]| variance.sqrt() / folds).sum();
        }
        sums.retain(|[rows, _]| *rows > 0.0);
        let variance = |&[rows, hits]: &[f64; 2]| {
            let share = (hits + 2.0) / (rows + 4.0);
            share * (1.0 - share) / (rows + 4.0)
        };
        sums.iter().map(variance).sum::<f64>().sqrt() / sums.len().max(1) as f64
    }
}

/// Keeps the progress of single fits from the display and the interruption with them.
struct Hushed<'a>(&'a dyn Watch);

impl Watch for Hushed<'_> {
    fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

/// The training rows, and how to compare what is fitted on them.
pub struct Search<'a> {
    /// Fits on some of the rows.
    pub fitter: &'a Fitter<'a>,
    /// The training rows, as rows of the file.
    pub rows: &'a [usize],
    /// What they hold.
    pub truth: &'a Truth,
    /// Which of them belong together.
    pub arrangement: &'a Arrangement,
    /// What decides.
    pub figure: MainFigure,
    /// `--cv`: folds to use whatever the size of the table.
    pub n_folds: Option<usize>,
    /// What random choices start from.
    pub seed: u64,
    /// Progress and interruption.
    pub watch: &'a dyn Watch,
}

/// What is to be fitted, and why.
pub struct Choice {
    /// The algorithm and its settings.
    pub spec: Spec,
    /// Why, for people.
    pub reason: String,
    /// The record for the card.
    pub selection: Selection,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Search<'_> {
    /// How many folds tables of this size are compared on, and how many rows: one fold is a single split.
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

    /// The splits of a sample of the training rows, as indices among them; all of the rows where `share` is 1. None
    /// where rows that belong together leave no way to split them.
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
        // Free rows are dealt out so that every fold can be fitted and scored, if there are enough of them.
        let (free, n) = (*self.arrangement == Arrangement::Free, sample.len());
        if splits.iter().any(|split| !is_whole(split)) && (free || self.n_folds.is_some() && share >= 1.0) {
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

    /// What to say of classes that have fewer rows than there are folds.
    fn rare_classes(&self, n_folds: usize) -> Option<String> {
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

    /// Fits on one part of a split and scores the other: the figures, and the tally for the standard error.
    fn fold(&self, spec: &Spec, split: &Split) -> Result<(Metrics, Vec<[f64; 2]>)> {
        let rows_of = |part: &[usize]| -> Vec<usize> { part.iter().map(|&i| self.rows[i]).collect() };
        let truth = self.truth.select(&split.train);
        let fitted = self.fitter.fit(spec, &rows_of(&split.train), &truth, &Hushed(self.watch))?;
        let codes = fitted.pipeline.schema.codes(self.fitter.table, &rows_of(&split.test))?;
        let predictions = fitted.pipeline.predict(&codes, Decision::MostProbable);
        let truth = self.truth.select(&split.test);
        Ok((Metrics::new(&predictions, &truth, 1), self.figure.tally(&predictions, &truth)))
    }

    /// Scores one algorithm on all splits, in parallel. `None`: it was interrupted, and the scores would be
    /// those of fits that were cut short.
    ///
    /// # Errors
    /// Of the first fold that cannot be fitted.
    pub(crate) fn cross_validate(&self, spec: &Spec, splits: &[Split]) -> Result<Option<CrossValidation>> {
        if self.watch.stopped() {
            return Ok(None);
        }
        ensure!(!splits.is_empty(), "the rows cannot be split into rows to fit and rows to score");
        let folds: Vec<Result<(Metrics, Vec<[f64; 2]>)>> =
            splits.par_iter().map(|split| self.fold(spec, split)).collect();
        if self.watch.stopped() {
            return Ok(None);
        }
        let (mut figures, mut tallies) = (Vec::with_capacity(folds.len()), Vec::with_capacity(folds.len()));
        for (index, fold) in folds.into_iter().enumerate() {
            let (metrics, tally) = fold.with_context(|| format!("fold {} of {}", index + 1, splits.len()))?;
            figures.push(metrics.figures());
            tallies.push(tally);
        }
        let scores_of = |name: &str| -> Vec<Option<f64>> {
            let of_fold = figures.iter().map(|fold| fold.iter().find(|(figure, _)| *figure == name));
            of_fold.map(|found| found.and_then(|(_, value)| *value)).collect()
        };
        let scores = scores_of(self.figure.name());
        let names = figures[0].iter().map(|(name, _)| *name);
        let others = names.filter(|name| *name != self.figure.name());
        let spread = Spread::of(&scores);
        Ok(Some(CrossValidation {
            metric: self.figure.name().into(),
            spread,
            standard_error: spread
                .mean
                .map(|_| self.figure.standard_error(&tallies))
                .filter(|error| error.is_finite()),
            n_rows: n_compared(splits),
            metrics: others.map(|name| (name.to_string(), Spread::of(&scores_of(name)))).collect(),
            scores,
        }))
    }

    /// Chooses among `contenders` (simplest first), tunes the choice with `n_trials` if given, and
    /// cross-validates it if `--cv` asks for it.
    ///
    /// # Errors
    /// No contender can be fitted; `--cv` asks for too many folds.
    pub fn choose(
        &self,
        contenders: &Contenders,
        n_trials: Option<usize>,
        fixed: &[(String, String)],
    ) -> Result<Choice> {
        let fits_table = |spec: &&Spec| {
            let candidate = CANDIDATES.iter().find(|c| c.name == spec.algorithm.name);
            let slots = self.fitter.n_slots();
            candidate.is_none_or(|c| c.rows.contains(&self.rows.len()) && slots <= c.max_slots)
        };
        let mut specs: Vec<&Spec> = contenders.specs.iter().filter(fits_table).collect();
        if specs.is_empty() {
            specs.extend(contenders.specs.first());
        }
        let Some(&first) = specs.first() else {
            bail!("there is no algorithm for this task");
        };
        let other = "--algorithm NAME chooses another";
        let n_rows = self.rows.len();
        let too_few = match self.arrangement {
            _ if n_rows < MIN_COMPARED_ROWS => format!("{n_rows} rows are too few to compare"),
            Arrangement::Groups(_) => "the groups are too few to compare".to_string(),
            _ => format!("{n_rows} rows cannot be split to compare"),
        };
        let mut choice = Choice {
            spec: first.clone(),
            reason: contenders.reason.clone(),
            selection: Selection::default(),
            notes: Vec::new(),
        };
        let splits = match contenders.compared || n_trials.is_some() || self.n_folds.is_some() {
            true if n_rows >= MIN_COMPARED_ROWS || self.n_folds.is_some() => self.splits(1.0)?,
            _ => Vec::new(),
        };
        choice.notes.extend(self.rare_classes(splits.len()));
        if contenders.compared && specs.len() == 1 {
            choice.reason = format!("the only candidate that takes these settings; {other}");
        } else if contenders.compared && splits.is_empty() {
            choice.reason = format!("the simplest candidate; {too_few} others; {other}");
        } else if contenders.compared {
            let (leaderboard, chosen) = self.leaderboard(&specs, &splits)?;
            choice.spec = specs[chosen].clone();
            choice.reason = format!("{}; {other}", reason(&leaderboard));
            if self.watch.stopped() {
                choice.notes.push("the comparison was interrupted; the best so far was taken".into());
            }
            choice.selection.leaderboard = leaderboard;
        }
        if let (Some(n_trials), false) = (n_trials, self.watch.stopped()) {
            if splits.is_empty() {
                choice.notes.push(format!("--tune was passed over: {too_few}"));
            } else {
                self.tune(&mut choice, n_trials, fixed)?;
            }
        }
        if self.n_folds.is_some() {
            let known = match &choice.selection.tuning {
                Some(tuning) => Some(tuning.after.clone()).filter(|_| !self.watch.stopped()),
                None => choice.selection.leaderboard.iter().find(|s| s.chosen).and_then(|s| s.scores.clone()),
            };
            choice.selection.cv = match known {
                Some(known) => Some(known),
                None => {
                    self.watch.progress(0, splits.len() as u64, format_args!("cross-validating"));
                    self.cross_validate(&choice.spec, &splits)?
                }
            };
            if choice.selection.cv.is_none() {
                choice.notes.push("the cross-validation was interrupted".into());
            }
        }
        for standing in &mut choice.selection.leaderboard {
            // The figures of the chosen one are under `cv`; those of the others only make the card large.
            standing.scores.iter_mut().for_each(|scores| scores.metrics.clear());
        }
        Ok(choice)
    }

    /// Scores the specs in their order and chooses: all standings, best first, and the index of the chosen
    /// spec.
    fn leaderboard(&self, specs: &[&Spec], splits: &[Split]) -> Result<(Vec<Standing>, usize)> {
        let mut standings: Vec<Standing> = Vec::with_capacity(specs.len());
        for (done, spec) in specs.iter().enumerate() {
            let best = best_of(&standings).map_or(String::new(), |(best, mean)| {
                format!(", best so far {} {mean:.4}", standings[best].algorithm)
            });
            let state = format_args!("comparing {}{best}", spec.algorithm.name);
            self.watch.progress(done as u64 + 1, specs.len() as u64, state);
            let started = Instant::now();
            let (scores, error) = match self.cross_validate(spec, splits) {
                Ok(Some(scores)) if scores.spread.mean.is_some() => (Some(scores), None),
                Ok(Some(_)) => (None, Some(format!("its {} is undefined", self.figure.name()))),
                Ok(None) => (None, Some("interrupted".to_string())),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            standings.push(Standing {
                algorithm: spec.algorithm.name.into(),
                chosen: false,
                scores,
                error,
                seconds: started.elapsed().as_secs_f64(),
            });
        }
        let chosen = match simplest_within_one_standard_error(&standings) {
            Some(chosen) => chosen,
            None if self.watch.stopped() => 0,
            None => {
                let reasons = standings
                    .iter()
                    .map(|s| format!("{}: {}", s.algorithm, s.error.as_deref().unwrap_or("no score")));
                bail!("no algorithm could be fitted\n{}", reasons.collect::<Vec<_>>().join("\n"));
            }
        };
        standings[chosen].chosen = true;
        let mean = |s: &Standing| s.scores.as_ref().and_then(|s| s.spread.mean).unwrap_or(f64::NEG_INFINITY);
        standings.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        Ok((standings, chosen))
    }
}

/// The rows that splits fit and score; in time the last split has them all.
pub(crate) fn n_compared(splits: &[Split]) -> usize {
    splits.iter().map(|split| split.train.len() + split.test.len()).max().unwrap_or(0)
}

/// How many classes some rows have; 1 where they have numbers.
fn n_seen(truth: &Truth, rows: &[usize]) -> usize {
    let Truth::Classes { codes, labels } = truth else {
        return 1;
    };
    let mut seen = vec![false; labels.len()];
    rows.iter().for_each(|&row| seen[codes[row] as usize] = true);
    seen.into_iter().filter(|seen| *seen).count()
}

/// The index and score of the best, the first of equals.
fn best_of(standings: &[Standing]) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (index, standing) in standings.iter().enumerate() {
        let mean = standing.scores.as_ref().and_then(|scores| scores.spread.mean);
        if let Some(mean) = mean.filter(|mean| best.is_none_or(|(_, best)| *mean > best)) {
            best = Some((index, mean));
        }
    }
    best
}

/// Breiman, Friedman, Olshen and Stone 1984, "Classification and regression trees", 3.4.3: the first, that is
/// the simplest, whose score is not more than one standard error of the best below the best.
fn simplest_within_one_standard_error(standings: &[Standing]) -> Option<usize> {
    let (best, mean) = best_of(standings)?;
    let error = standings[best].scores.as_ref().and_then(|scores| scores.standard_error).unwrap_or(0.0);
    standings.iter().position(|standing| {
        let scores = standing.scores.as_ref().and_then(|scores| scores.spread.mean);
        scores.is_some_and(|score| score >= mean - error)
    })
}

/// Why the chosen one was chosen, from a finished leaderboard.
fn reason(leaderboard: &[Standing]) -> String {
    match leaderboard.first() {
        Some(best) if best.scores.is_none() => "the simplest candidate".into(),
        Some(best) if best.chosen => format!("the best of {}", leaderboard.len()),
        Some(best) => {
            format!("the simplest of {} within one standard error of {}", leaderboard.len(), best.algorithm)
        }
        None => String::new(),
    }
}

/// What may be chosen: one algorithm that was named, or the candidates of `auto`, simplest first.
pub struct Contenders {
    specs: Vec<Spec>,
    /// Whether they are to be compared.
    compared: bool,
    reason: String,
}

impl Contenders {
    /// The algorithm of that name with these settings, or, for `auto`, every candidate for the task that takes
    /// all of the settings.
    ///
    /// # Errors
    /// A name, a key or a value that is not known.
    pub fn of(name: &str, task: Task, settings: &[(String, String)]) -> Result<Self> {
        if name != "auto" {
            let specs = vec![Spec::new(algorithm(name)?, task, settings)?];
            return Ok(Self { specs, compared: false, reason: "given".into() });
        }
        let known = CANDIDATES.iter().filter_map(|c| ALGORITHMS.into_iter().find(|a| a.name == c.name));
        let able: Vec<&'static Algorithm> = known.filter(|a| a.tasks.contains(&task)).collect();
        let takes = |a: &Algorithm, key: &str| a.parameters.iter().any(|p| p.name == key);
        for (key, _) in settings {
            if able.iter().any(|a| takes(a, key)) {
                continue;
            }
            let names = able.iter().flat_map(|a| a.parameters.iter().map(|p| p.name));
            let hint = nearest(key, names).map(|name| format!("; did you mean {name}?"));
            let lists = able.iter().map(|a| {
                let names: Vec<&str> = a.parameters.iter().map(|p| p.name).collect();
                format!("{}: {}", a.name, names.join(", "))
            });
            return Err(usage(format!(
                "no candidate of auto has a hyperparameter {key:?}{}\nknown are:\n{}",
                hint.unwrap_or_default(),
                lists.collect::<Vec<_>>().join("\n")
            )));
        }
        let takes_all = |a: &&Algorithm| settings.iter().all(|(key, _)| takes(a, key));
        let specs: Vec<Spec> = able
            .into_iter()
            .filter(takes_all)
            .map(|a| Spec::new(a, task, settings))
            .collect::<Result<_>>()?;
        if specs.is_empty() {
            let keys: Vec<&str> = settings.iter().map(|(key, _)| key.as_str()).collect();
            return Err(usage(format!(
                "no algorithm takes all of --set {}; --algorithm NAME says which one is meant",
                keys.join(", ")
            )));
        }
        Ok(Self { specs, compared: true, reason: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::data::cells::schema::{ColumnType, NullTokens, Target};
    use crate::data::cells::table::{Column, Table};
    use crate::model::learn::Unwatched;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn standings(scores: &[(f64, f64)]) -> Vec<Standing> {
        let standing = |&(mean, error): &(f64, f64)| Standing {
            algorithm: format!("{mean}"),
            chosen: false,
            scores: mean.is_finite().then(|| CrossValidation {
                metric: "accuracy".into(),
                scores: vec![Some(mean)],
                spread: Spread::of(&[Some(mean)]),
                standard_error: Some(error),
                n_rows: 9,
                metrics: Default::default(),
            }),
            error: None,
            seconds: 0.0,
        };
        scores.iter().map(standing).collect()
    }

    #[test]
    fn the_simplest_within_one_standard_error_of_the_best_is_chosen() {
        let chosen = |scores: &[(f64, f64)]| simplest_within_one_standard_error(&standings(scores));
        assert_eq!(chosen(&[(0.90, 0.5), (0.94, 0.5), (0.95, 0.02)]), Some(1));
        assert_eq!(chosen(&[(0.90, 0.5), (0.92, 0.5), (0.95, 0.02)]), Some(2));
        assert_eq!(chosen(&[(0.95, 0.0), (0.95, 0.0)]), Some(0), "the simpler of equals");
        assert_eq!(
            chosen(&[(f64::NAN, 0.0), (0.95, 0.01), (0.955, 0.01)]),
            Some(1),
            "failed ones are passed"
        );
        assert_eq!(chosen(&[(f64::NAN, 0.0)]), None);
    }

    #[test]
    fn the_standard_error_is_that_of_a_share_of_means_of_shares_and_of_squared_errors() {
        let truth = Truth::Classes { codes: vec![0, 0, 0, 1], labels: vec!["a".into(), "b".into()] };
        let predictions = Predictions { scores: Matrix::zeros(4, 2), classes: vec![0, 0, 1, 1] };
        let error = |figure: MainFigure| figure.standard_error(&[figure.tally(&predictions, &truth)]);
        let share = |hits: f64, rows: f64| {
            let p = (hits + 2.0) / (rows + 4.0);
            p * (1.0 - p) / (rows + 4.0)
        };
        assert_eq!(error(MainFigure::Accuracy), share(3.0, 4.0).sqrt());
        assert_eq!(error(MainFigure::BalancedAccuracy), (share(2.0, 3.0) + share(1.0, 1.0)).sqrt() / 2.0);
        let mut scores = Matrix::zeros(4, 1);
        scores.values_mut().copy_from_slice(&[1.0, 2.0, 2.0, 1.0]);
        let predictions = Predictions { scores, classes: vec![] };
        let tally = MainFigure::R2.tally(&predictions, &Truth::Values(vec![1.0, 2.0, 3.0, 4.0]));
        // Squared errors 0, 0, 1, 9 have the variance 14.25, the truth 1.25.
        assert!((tally[0][1] - 14.25 / 4.0 / 1.25 / 1.25).abs() < 1e-15, "{tally:?}");
        let folds = [tally.clone(), tally.clone(), tally.clone(), tally];
        let one = (14.25_f64 / 4.0).sqrt() / 1.25;
        assert!((MainFigure::R2.standard_error(&folds) - one / 2.0).abs() < 1e-15, "four folds halve it");
    }

    #[test]
    fn every_algorithm_has_one_place_in_the_order_of_simplicity_at_most() {
        for candidate in &CANDIDATES {
            assert_eq!(CANDIDATES.iter().filter(|c| c.name == candidate.name).count(), 1);
        }
        for task in [Task::Classification, Task::Regression] {
            assert!(Contenders::of("auto", task, &[]).unwrap().specs.len() >= 4);
        }
    }

    #[test]
    fn settings_leave_the_candidates_that_take_them() {
        let names = |settings: &[(&str, &str)]| {
            let pairs: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let found = Contenders::of("auto", Task::Classification, &pairs);
            found.map(|c| c.specs.iter().map(|s| s.algorithm.name).collect::<Vec<_>>())
        };
        let found = names(&[("max_depth", "3")]).unwrap();
        assert!(found.contains(&"random-forest") && !found.contains(&"logistic-regression"), "{found:?}");
        let error = names(&[("max_dept", "3")]).unwrap_err().to_string();
        assert!(error.contains("did you mean max_depth?") && error.contains("random-forest: "), "{error}");
        let error = names(&[("tol", "3"), ("bootstrap", "true")]).unwrap_err().to_string();
        assert!(error.contains("no algorithm takes all of --set tol, bootstrap"), "{error}");
    }

    /// Two classes in two columns, the second a category, with some noise.
    fn noisy(n: usize) -> (Table, Truth) {
        let x = |i: usize| (i * 37 % 101) as f64;
        let level = |i: usize| (i * 7 % 13) as u32;
        let columns = vec![
            Column::Number((0..n).map(x).collect()),
            Column::Category {
                codes: (0..n).map(level).collect(),
                levels: (0..13).map(|l| format!("{l:02}")).collect(),
            },
        ];
        let names = vec!["x".into(), "c".into()];
        let table = Table { source: "t.csv".into(), names, columns, lines: vec![2; n].into() };
        let code = |i: usize| u32::from(x(i) + f64::from(level(i)) * 5.0 > 80.0 || i.is_multiple_of(11));
        let labels = vec!["a".into(), "b".into()];
        (table, Truth::Classes { codes: (0..n).map(code).collect(), labels })
    }

    fn with_search<T>(watch: &dyn Watch, n: usize, n_folds: Option<usize>, act: impl Fn(&Search) -> T) -> T {
        let (table, truth) = noisy(n);
        let target = Target {
            name: "y".into(),
            task: Task::Classification,
            labels: vec!["a".into(), "b".into()],
            numeric_labels: false,
        };
        let fitter = Fitter {
            table: &table,
            features: &[(0, ColumnType::Number), (1, ColumnType::Category)],
            ignored: &[],
            target: &target,
            weights: None,
            groups: None,
            balance: false,
            seed: 3,
            header: true,
            decimal_comma: false,
            delimiter: b',',
            nulls: &NullTokens::default(),
        };
        let rows: Vec<usize> = (0..n).collect();
        let figure = MainFigure::Accuracy;
        let arrangement = &Arrangement::Free;
        act(&Search {
            fitter: &fitter,
            rows: &rows,
            truth: &truth,
            arrangement,
            figure,
            n_folds,
            seed: 3,
            watch,
        })
    }

    fn auto() -> Contenders {
        Contenders::of("auto", Task::Classification, &[]).unwrap()
    }

    #[test]
    fn the_choice_is_the_same_on_any_number_of_threads() {
        let choose = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                with_search(&Unwatched, 200, Some(4), |search| {
                    let choice = search.choose(&auto(), Some(6), &[]).unwrap();
                    serde_json::to_string(&choice.selection).unwrap() + &format!("{:?}", choice.spec.settings)
                })
            })
        };
        let one = choose(1);
        assert!(one == choose(2) && one == choose(8));
    }

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
    fn too_few_rows_are_not_compared_and_too_many_folds_are_wrong_usage() {
        let choice = with_search(&Unwatched, 19, None, |s| s.choose(&auto(), Some(3), &[]).unwrap());
        assert_eq!(choice.spec.algorithm.name, "logistic-regression");
        assert!(choice.selection.is_empty() && choice.reason.contains("too few to compare"));
        assert!(choice.notes[0].contains("--tune was passed over"), "{:?}", choice.notes);
        let choice = with_search(&Unwatched, 19, Some(20), |s| s.choose(&auto(), None, &[]).err().unwrap());
        assert!(choice.to_string().contains("cannot be cut into 20 folds"), "{choice}");
    }

    /// Asks to stop after some reports of progress.
    struct StopsAfter(AtomicU64);

    impl Watch for StopsAfter {
        fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }

        fn stopped(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
    }

    #[test]
    fn an_interrupted_comparison_takes_the_best_so_far() {
        for (n_steps, n_compared) in [(1, 0), (2, 1), (3, 2)] {
            let watch = StopsAfter(AtomicU64::new(n_steps));
            let choice = with_search(&watch, 200, None, |s| s.choose(&auto(), Some(5), &[]).unwrap());
            let board = &choice.selection.leaderboard;
            assert_eq!(board.iter().filter(|s| s.scores.is_some()).count(), n_compared);
            let chosen = board.iter().find(|s| s.chosen).unwrap();
            assert_eq!(chosen.algorithm, choice.spec.algorithm.name);
            assert!(n_compared == 0 || chosen.scores.is_some());
            assert!(choice.notes.iter().any(|note| note.contains("interrupted")), "{:?}", choice.notes);
            assert!(choice.selection.tuning.is_none());
        }
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
}
