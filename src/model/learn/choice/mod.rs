//! Which learner with which settings: [`leaderboard`] compares [`candidates`] by [`cross_validation`], the
//! [`metric`] decides, [`ensemble`] blends, [`tune`] searches the settings, and [`fitter`] makes every fit.
//!
//! Everything here looks at the training rows only.

pub(crate) mod candidates;
pub(crate) mod cross_validation;
pub(crate) mod ensemble;
pub(crate) mod fitter;
pub(crate) mod leaderboard;
pub(crate) mod metric;
pub(crate) mod tune;

use anyhow::{Result, bail};

use super::Spec;
use crate::data::cells::target::Truth;
use crate::data::split::arrangement::Arrangement;
use crate::model::selection::{Selection, Standing};
use crate::model::target_transform::TargetShape;
use candidates::Contenders;
use cross_validation::{Scored, Search, Unseen};
use leaderboard::{Leaderboard, reason};

/// With fewer training rows candidates are not compared: folds of three rows are no evidence.
const MIN_COMPARED_ROWS: usize = 20;

/// The metrics that the leaderboard shows beside the one that decides.
const SHOWN: [&str; 2] = ["accuracy", "r2"];

/// One algorithm with its settings, or several that are blended, and the reason.
pub(crate) struct Choice {
    /// The algorithms with their settings and their weights, which add up to 1: one, or those of a blend.
    pub(crate) members: Vec<(Spec, f64)>,
    /// The reason, for people.
    pub(crate) reason: String,
    /// The record for the card.
    pub(crate) selection: Selection,
    /// What it predicts of training rows that its fits had not seen, if that is known from the comparison.
    pub(crate) unseen: Option<Unseen>,
    /// Remarks for the user.
    pub(crate) notes: Vec<String>,
}

impl Search<'_> {
    /// Chooses among `contenders` (simplest first), tunes the choice with `n_trials` if given, and
    /// cross-validates it if `--cv` asks for it.
    ///
    /// # Errors
    /// No contender can be fitted; `--cv` asks for too many folds.
    pub(crate) fn choose(
        &self,
        contenders: &Contenders,
        n_trials: Option<usize>,
        fixed: &[(String, String)],
    ) -> Result<Choice> {
        let n_classes = match self.truth {
            Truth::Classes { labels, .. } => labels.len(),
            Truth::Values(_) => 0,
        };
        let shape = match self.truth {
            Truth::Values(values) => TargetShape::of(values),
            Truth::Classes { .. } => TargetShape::default(),
        };
        let (n_rows, has_names) = (self.rows.len(), self.fitter.has_high_cardinality(self.rows.len()));
        let specs = contenders.for_table(n_rows, self.fitter.n_slots(), n_classes, shape, has_names);
        let Some(first) = specs.first() else {
            bail!("there is no algorithm for this task");
        };
        let other = "--algorithm NAME chooses another";
        let too_few = match self.arrangement {
            _ if n_rows < MIN_COMPARED_ROWS => format!("{n_rows} rows are too few to compare"),
            Arrangement::Groups(_) => "the groups are too few to compare".to_string(),
            _ => format!("{n_rows} rows cannot be split to compare"),
        };
        let mut choice = Choice {
            members: vec![(first.spec.clone(), 1.0)],
            reason: contenders.reason.clone(),
            selection: Selection::default(),
            unseen: None,
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
            let Leaderboard { standings, members, blend, unseen } = self.leaderboard(&specs, &splits)?;
            choice.members = members;
            choice.unseen = unseen;
            choice.reason = format!("{}; {other}", reason(&standings));
            if standings.iter().any(Standing::is_interrupted) {
                choice
                    .notes
                    .push(format!("the comparison {}; the best so far was taken", self.why_stopped()));
            }
            choice.selection.leaderboard = standings;
            choice.selection.blend = blend;
        }
        if let (Some(n_trials), false) = (n_trials, self.stopped()) {
            if splits.is_empty() {
                choice.notes.push(format!("--tune was skipped: {too_few}"));
            } else {
                self.watch.stage("tuning");
                let tuned = self.tune(choice.members[0].0.algorithm, n_trials, fixed)?;
                choice.notes.extend(tuned.note);
                if let Some((spec, tuning)) = tuned.best {
                    choice.members = vec![(spec, 1.0)];
                    choice.unseen = None;
                    choice.selection.tuning = Some(tuning);
                }
            }
        }
        if self.n_folds.is_some() {
            let known = match (&choice.selection.tuning, &choice.selection.blend) {
                (Some(tuning), _) => Some(tuning.after.clone()).filter(|_| !self.stopped()),
                (None, Some(blend)) => Some(blend.clone()),
                (None, None) => {
                    choice.selection.leaderboard.iter().find(|s| s.chosen).and_then(|s| s.scores.clone())
                }
            };
            choice.selection.cv = match known {
                Some(known) => Some(known),
                None => {
                    self.watch.stage("cross-validating");
                    let scored = self.cross_validate(&choice.members[0].0, &splits)?;
                    scored.map(|Scored { scores, unseen }| {
                        choice.unseen = Some(unseen);
                        scores
                    })
                }
            };
            if choice.selection.cv.is_none() {
                choice.notes.push("the cross-validation was interrupted".into());
            }
        }
        // One more figure is shown beside the metric that decides; those of the chosen one are under `cv`, those of the
        // others only make the card large.
        let others = choice.selection.leaderboard.iter_mut().filter_map(|standing| standing.scores.as_mut());
        for scores in others.chain(&mut choice.selection.blend) {
            scores.metrics.retain(|name, _| SHOWN.contains(&name.as_str()));
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::fitter::Fitter;
    use super::metric::Metric;
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::cell::{ColumnType, NullTokens};
    use crate::data::cells::raw_table::RawTable;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;
    use crate::data::training_set::TrainingSet;
    use crate::model::learn::{Unwatched, Watch};

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

    /// A number `x` and a category `c` with two classes, as a training set.
    pub(super) fn training_set(table: Table, truth: Truth) -> TrainingSet {
        let Truth::Classes { labels, .. } = &truth else { panic!("classes") };
        let (task, name) = (Task::Classification, "y".into());
        let target = Target { name, task, labels: labels.clone(), numeric_labels: false, notation: None };
        TrainingSet {
            features: vec![(0, ColumnType::Number), (1, ColumnType::Category)],
            rows: (0..truth.len()).collect(),
            table,
            ignored: Vec::new(),
            target,
            truth,
            arrangement: Arrangement::Free,
            weights: None,
            profiles: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A search on `n` rows of [`noisy`].
    pub(super) fn with_search<T>(
        watch: &dyn Watch,
        n: usize,
        n_folds: Option<usize>,
        act: impl Fn(&Search) -> T,
    ) -> T {
        let (table, truth) = noisy(n);
        let set = training_set(table, truth.clone());
        let fitter = Fitter {
            set: &set,
            raw: &RawTable::default(),
            nulls: &NullTokens::default(),
            private: &[],
            balance: false,
            seed: 3,
        };
        let rows: Vec<usize> = (0..n).collect();
        let metric = Metric::of(Some("accuracy"), Task::Classification, false).unwrap();
        let arrangement = &Arrangement::Free;
        act(&Search {
            fitter: &fitter,
            rows: &rows,
            truth: &truth,
            arrangement,
            metric,
            ensemble: true,
            max_nanoseconds: None,
            deadline: None,
            n_folds,
            seed: 3,
            watch,
        })
    }

    /// Asks to stop after some reports of progress.
    pub(super) struct StopsAfter(pub(super) AtomicU64);

    impl Watch for StopsAfter {
        fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }

        fn stopped(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
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
                    serde_json::to_string(&choice.selection).unwrap() + &format!("{:?}", choice.members)
                })
            })
        };
        let one = choose(1);
        assert!(one == choose(2) && one == choose(8));
    }

    #[test]
    fn too_few_rows_are_not_compared_and_too_many_folds_are_wrong_usage() {
        let choice = with_search(&Unwatched, 19, None, |s| s.choose(&auto(), Some(3), &[]).unwrap());
        assert_eq!(choice.members[0].0.algorithm.name, "logistic-regression");
        assert!(choice.selection.is_empty() && choice.reason.contains("too few to compare"));
        assert!(choice.notes[0].contains("--tune was skipped"), "{:?}", choice.notes);
        let choice = with_search(&Unwatched, 19, Some(20), |s| s.choose(&auto(), None, &[]).err().unwrap());
        assert!(choice.to_string().contains("cannot be cut into 20 folds"), "{choice}");
    }

    #[test]
    fn an_interrupted_comparison_takes_the_best_so_far() {
        for (n_steps, n_compared) in [(1, 0), (2, 1), (3, 2)] {
            let watch = StopsAfter(AtomicU64::new(n_steps));
            let choice = with_search(&watch, 200, None, |s| s.choose(&auto(), Some(5), &[]).unwrap());
            let board = &choice.selection.leaderboard;
            assert_eq!(board.iter().filter(|s| s.scores.is_some()).count(), n_compared);
            let chosen: Vec<_> = board.iter().filter(|s| s.chosen).collect();
            assert_eq!(chosen.len(), choice.members.len());
            assert!(choice.members.iter().all(|m| chosen.iter().any(|s| s.algorithm == m.0.algorithm.name)));
            assert!(n_compared == 0 || chosen.iter().all(|s| s.scores.is_some()));
            assert!(choice.notes.iter().any(|note| note.contains("interrupted")), "{:?}", choice.notes);
            assert!(choice.selection.tuning.is_none());
        }
    }
}
