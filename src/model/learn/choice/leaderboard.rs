//! The comparison of several candidates, and the choice among them: a blend where it gains more than chance, else the
//! best, or a simpler one that is as good.

use std::time::Instant;

use anyhow::{Result, bail};

use super::candidates::Contender;
use super::cross_validation::{OutOfFold, Search};
use super::ensemble::blend;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::data::split::Split;
use crate::model::learn::Spec;
use crate::model::selection::{CrossValidation, Standing};

/// Most scores of held-out rows that are kept to compare candidates row for row and to blend them: a quarter of a
/// gigabyte. Beyond, with thousands of classes, the best candidate is taken.
const MAX_KEPT: usize = 1 << 25;

/// A candidate that was scored.
struct Compared {
    /// Its place among the contenders.
    index: usize,
    /// Its settings, with the rounds or the value of a path that were found.
    spec: Spec,
    /// The predictions of the rows of all folds; empty if they are too many.
    scores: Matrix,
    /// The metric, more being better.
    utility: f64,
}

/// The outcome of a comparison.
pub(super) struct Leaderboard {
    /// All candidates, best first.
    pub(super) standings: Vec<Standing>,
    /// The chosen candidates with their settings and their weights, which add up to 1; one or, of a blend, more.
    pub(super) members: Vec<(Spec, f64)>,
    /// How well the blend did in the folds, if one was chosen.
    pub(super) blend: Option<CrossValidation>,
}

impl Search<'_> {
    /// Scores the contenders (simplest first) on the same splits and chooses.
    ///
    /// # Errors
    /// No contender can be fitted.
    pub(super) fn leaderboard(&self, contenders: &[Contender], splits: &[Split]) -> Result<Leaderboard> {
        let n_held_out: usize = splits.iter().map(|split| split.test.len()).sum();
        let width = match self.truth {
            Truth::Classes { labels, .. } => labels.len(),
            Truth::Values(_) => 1,
        };
        let keeps_scores = n_held_out * width * contenders.len() <= MAX_KEPT;
        let mut standings: Vec<Standing> = Vec::with_capacity(contenders.len());
        let mut compared: Vec<Compared> = Vec::new();
        for (index, contender) in contenders.iter().enumerate() {
            let best = best_of(&compared).map_or(String::new(), |best| {
                let value = self.metric.utility(compared[best].utility);
                format!(", best so far {} {value:.4}", standings[compared[best].index].algorithm)
            });
            let state = format_args!("comparing {}{best}", contender.spec.algorithm.name);
            self.watch.progress(index as u64 + 1, contenders.len() as u64, state);
            let started = Instant::now();
            let found = self.predict_held_out(contender, splits);
            let mut variant = contender.variant.to_string();
            let (scores, error) = match found {
                Ok(Some((spec, predicted))) => {
                    variant = contender.found_variant(&spec);
                    let scores = self.scored(&predicted, splits);
                    match scores.spread.mean {
                        Some(mean) => {
                            let utility = self.metric.utility(mean);
                            let together =
                                if keeps_scores { predicted.together() } else { Matrix::default() };
                            compared.push(Compared { index, spec, scores: together, utility });
                            (Some(scores), None)
                        }
                        None => (None, Some(format!("its {} is undefined", self.metric.name()))),
                    }
                }
                Ok(None) => (None, Some("interrupted".to_string())),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            standings.push(Standing {
                algorithm: contender.spec.algorithm.name.into(),
                variant,
                weight: None,
                chosen: false,
                scores,
                error,
                seconds: started.elapsed().as_secs_f64(),
            });
        }
        let Some(best) = best_of(&compared) else {
            if self.watch.stopped() {
                standings[0].chosen = true;
                let members = vec![(contenders[0].spec.clone(), 1.0)];
                return Ok(Leaderboard { standings, members, blend: None });
            }
            let reasons = standings
                .iter()
                .map(|s| format!("{}: {}", s.algorithm, s.error.as_deref().unwrap_or("no score")));
            bail!("no algorithm could be fitted\n{}", reasons.collect::<Vec<_>>().join("\n"));
        };
        let (members, blended) = match keeps_scores {
            true => self.choose_among(&compared, best, contenders, splits),
            false => (vec![(best, 1.0)], None),
        };
        for &(member, weight) in &members {
            let standing = &mut standings[compared[member].index];
            standing.chosen = true;
            standing.weight = blended.as_ref().map(|_| weight);
        }
        let members =
            members.iter().map(|&(member, weight)| (compared[member].spec.clone(), weight)).collect();
        let utility = |s: &Standing| {
            let mean = s.scores.as_ref().and_then(|s| s.spread.mean);
            mean.map_or(f64::NEG_INFINITY, |mean| self.metric.utility(mean))
        };
        standings.sort_by(|a, b| utility(b).total_cmp(&utility(a)));
        Ok(Leaderboard { standings, members, blend: blended })
    }

    /// The members of the answer with their weights, and how well their blend did if there are several: a blend where
    /// it gains more than chance, else a simple candidate that is as good as the best, else the best.
    fn choose_among(
        &self,
        compared: &[Compared],
        best: usize,
        contenders: &[Contender],
        splits: &[Split],
    ) -> (Vec<(usize, f64)>, Option<CrossValidation>) {
        let truth = self.held_out_truth(splits);
        if self.ensemble {
            let scores: Vec<&[f64]> = compared.iter().map(|c| c.scores.values()).collect();
            if let Some(found) = blend(self.metric, &scores, best, &truth) {
                let folds = OutOfFold::of(found.scores, &compared[best].scores, splits);
                return (found.members, Some(self.scored(&folds, splits)));
            }
        }
        let of_best = &compared[best];
        let is_simple = |candidate: &Compared| contenders[candidate.index].is_simple();
        let is_as_good = |candidate: &Compared| {
            self.metric.is_as_good(candidate.scores.values(), of_best.scores.values(), &truth)
        };
        let simplest = match is_simple(of_best) {
            true => None,
            false => compared.iter().position(|candidate| is_simple(candidate) && is_as_good(candidate)),
        };
        (vec![(simplest.unwrap_or(best), 1.0)], None)
    }

    /// The predictions of a contender for the held-out rows, and its settings with the rounds or the value of a path that were found.
    fn predict_held_out(&self, contender: &Contender, splits: &[Split]) -> Result<Option<(Spec, OutOfFold)>> {
        if let Some(path) = contender.path {
            return self.with_best_of_path(&contender.spec, path, splits);
        }
        if contender.finds_rounds {
            return self.with_best_rounds(&contender.spec, splits);
        }
        Ok(self.out_of_fold(&contender.spec, splits)?.map(|found| (contender.spec.clone(), found)))
    }
}

/// The index of the best, the first of equals.
fn best_of(compared: &[Compared]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, candidate) in compared.iter().enumerate() {
        if best.is_none_or(|best| candidate.utility > compared[best].utility) {
            best = Some(index);
        }
    }
    best
}

/// The reason for the choice, from a finished leaderboard.
pub(super) fn reason(leaderboard: &[Standing]) -> String {
    let n_members = leaderboard.iter().filter(|standing| standing.weight.is_some()).count();
    match leaderboard.first() {
        Some(best) if best.scores.is_none() => "the simplest candidate".into(),
        Some(_) if n_members > 1 => format!("a blend of {n_members} of {}", leaderboard.len()),
        Some(best) if best.chosen => format!("the best of {}", leaderboard.len()),
        Some(best) => format!("the simplest of {} that is as good as {}", leaderboard.len(), best.algorithm),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::Unwatched;
    use crate::model::learn::choice::candidates::Contenders;
    use crate::model::learn::choice::tests::with_search;
    use crate::model::target_transform::TargetShape;

    #[test]
    fn a_path_ends_at_the_value_that_does_best_in_the_folds() {
        with_search(&Unwatched, 200, Some(3), |search| {
            let splits = search.splits(1.0).unwrap();
            let auto = Contenders::of("auto", Task::Classification, &[]).unwrap();
            let contenders = auto.for_table(200, 15, 2, TargetShape::default());
            let contender = contenders.iter().find(|contender| contender.path.is_some()).unwrap();
            let path = contender.path.unwrap();
            let (spec, found) = search.predict_held_out(contender, &splits).unwrap().unwrap();
            let value = spec.hyperparameters()[path.parameter].as_f64().unwrap();
            let loss = |predicted: &OutOfFold| -> f64 {
                let of_fold = |(scores, split): (&Matrix, &Split)| {
                    let losses = search.metric.losses(scores.values(), &search.truth.select(&split.test));
                    losses.iter().sum::<f64>() / losses.len() as f64
                };
                predicted.folds.iter().zip(&splits).map(of_fold).sum()
            };
            for index in 0..path.values.len() {
                let alone = contender.spec.at(path, index);
                let alone = search.out_of_fold(&alone, &splits).unwrap().unwrap();
                assert!(loss(&alone) >= loss(&found) - 1e-4, "{} instead of {value}", path.values[index]);
            }
        });
    }

    #[test]
    fn an_algorithm_that_stands_twice_scores_the_same_and_the_first_is_chosen() {
        with_search(&Unwatched, 60, Some(3), |search| {
            let trees = Contenders::of("decision-tree", Task::Classification, &[]).unwrap();
            let tree = trees.for_table(60, 2, 2, TargetShape::default());
            let found =
                search.leaderboard(&[tree.clone(), tree].concat(), &search.splits(1.0).unwrap()).unwrap();
            let board = &found.standings;
            assert_eq!(board[0].scores, board[1].scores);
            assert_eq!((found.members.len(), board[0].chosen, board[1].chosen), (1, true, false));
            assert_eq!(reason(board), "the best of 2");
        });
    }
}
