//! The comparison of several candidates, and the choice among them: a blend where it gains more than chance, else the
//! best, or a simpler one that is as good.

use std::time::Instant;

use anyhow::{Result, bail};

use super::candidates::Contender;
use super::cross_validation::{Fold, OutOfFold, Search, Unseen};
use super::ensemble::{Part, blend};
use super::metric::standard_error;
use super::tune::{drawn, spaces};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::data::split::Split;
use crate::model::learn::Spec;
use crate::model::predictor::Footprint;
use crate::model::selection::{CrossValidation, Standing};
use crate::order;

/// Most scores of held-out rows that are kept to compare candidates row for row and to blend them: a quarter of a
/// gigabyte. Beyond, with thousands of classes, the best candidate is taken.
const MAX_KEPT: usize = 1 << 25;

/// Of fewer rows a fold says little, and all folds take no time.
const MIN_HALVED_ROWS: usize = 1000;

/// So many candidates at least are compared in all folds.
const MIN_FINISHED: usize = 6;

/// A candidate that needs time is given up after the first of several folds if its loss there is behind the best one's by
/// more than this many standard errors of the difference, row for row, and a blend has no use for it either.
const HOPELESS: f64 = 3.0;

/// Most settings that are tried beyond the candidates before a deadline.
const MAX_TRIALS: usize = 100;

/// The weight at which a candidate has to help the best one, to be of use for a blend.
const HELPFUL_WEIGHT: f64 = 0.15;

/// A candidate that was scored in all folds.
struct Compared {
    /// Its place among the contenders.
    index: usize,
    /// Its settings, with the rounds or the value of a path that were found.
    spec: Spec,
    /// The predictions of the rows of all folds; empty if they are too many.
    scores: Matrix,
    /// What it takes.
    footprint: Footprint,
    /// The metric, more being better.
    utility: f64,
}

/// A candidate that was scored in the first fold.
struct Begun {
    folds: Vec<Fold>,
    /// The loss of each row.
    losses: Vec<f64>,
    scores: Matrix,
    seconds: f64,
}

/// The outcome of a comparison.
pub(super) struct Leaderboard {
    /// All candidates, best first.
    pub(super) standings: Vec<Standing>,
    /// The chosen candidates with their settings and their weights, which add up to 1; one or, of a blend, more.
    pub(super) members: Vec<(Spec, f64)>,
    /// How well the blend did in the folds, if one was chosen.
    pub(super) blend: Option<CrossValidation>,
    /// The predictions of the held-out rows by the choice, if they were kept.
    pub(super) unseen: Option<Unseen>,
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
        let mut standings: Vec<Standing> = contenders.iter().map(standing).collect();
        let mut begun: Vec<Option<Begun>> = contenders.iter().map(|_| None).collect();
        let is_worth_it = self.rows.len() >= MIN_HALVED_ROWS && contenders.len() > MIN_FINISHED;
        if splits.len() > 2 && keeps_scores && is_worth_it {
            begun = self.begin(contenders, splits, &mut standings)?;
        }
        // What was begun before an interruption can be compared by the first fold.
        let splits = if self.stopped() && begun.iter().any(Option::is_some) { &splits[..1] } else { splits };
        let mut board = Board { search: self, splits, keeps_scores, standings, compared: Vec::new() };
        for (index, begun) in begun.into_iter().enumerate() {
            if board.standings[index].error.is_none() {
                board.compare(index, contenders, begun);
            }
        }
        let contenders = &self.try_more(contenders, &mut board);
        let Board { mut standings, mut compared, .. } = board;
        if let Some(limit) = self.max_nanoseconds {
            let too_slow = |candidate: &&Compared| candidate.footprint.nanoseconds > limit;
            for candidate in compared.iter().filter(too_slow) {
                standings[candidate.index].error = Some("slower than --max-latency".into());
            }
            compared.retain(|candidate| !too_slow(&candidate));
        }
        let Some(best) = best_of(&compared) else {
            if self.stopped() {
                standings[0].chosen = true;
                let members = vec![(contenders[0].spec.clone(), 1.0)];
                return Ok(Leaderboard { standings, members, blend: None, unseen: None });
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
        let unseen = keeps_scores.then(|| {
            let mut unseen = Unseen::zeros(&compared[best].scores, splits);
            for &(member, weight) in &members {
                let parts = unseen.scores.values_mut().iter_mut().zip(compared[member].scores.values());
                parts.for_each(|(sum, score)| *sum += weight * score);
            }
            unseen
        });
        let members =
            members.iter().map(|&(member, weight)| (compared[member].spec.clone(), weight)).collect();
        // Those of one fold come behind those of all.
        let rank = |s: &Standing| {
            let scores = s.scores.as_ref();
            let mean = scores.and_then(|s| s.spread.mean);
            let utility = mean.map_or(f64::NEG_INFINITY, |mean| self.metric.utility(mean));
            (scores.map_or(0, |scores| scores.scores.len()), utility)
        };
        order::sort_by(&mut standings, |a, b| {
            let (a, b) = (rank(a), rank(b));
            b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        Ok(Leaderboard { standings, members, blend: blended, unseen })
    }

    /// With a deadline, compares more settings of the two best algorithms until it has come; all contenders.
    fn try_more(&self, contenders: &[Contender], board: &mut Board) -> Vec<Contender> {
        let mut contenders = contenders.to_vec();
        let mut order: Vec<&Compared> = board.compared.iter().collect();
        order::sort_by(&mut order, |a, b| b.utility.total_cmp(&a.utility));
        let mut bases: Vec<Contender> = Vec::new();
        for compared in order {
            let base = &contenders[compared.index];
            let is_new = bases.iter().all(|known| known.spec.algorithm != base.spec.algorithm);
            if is_new && !base.is_simple() && spaces(base.spec.algorithm).next().is_some() {
                bases.push(base.clone());
            }
        }
        bases.truncate(2);
        let n_given = contenders.len();
        while self.deadline.is_some() && !self.stopped() && !bases.is_empty() && board.keeps_scores {
            let trial = contenders.len() - n_given;
            if trial == MAX_TRIALS {
                break;
            }
            let base = &bases[trial % bases.len()];
            let settings = drawn(base.spec.algorithm, trial / bases.len() + 1, self.seed);
            let contender = base.with_settings(&settings, format!("trial {}", trial + 1));
            board.standings.push(standing(&contender));
            contenders.push(contender);
            board.compare(contenders.len() - 1, &contenders, None);
            if board.standings.pop_if(|standing| standing.is_interrupted()).is_some() {
                contenders.pop();
            }
        }
        contenders
    }

    /// Scores the contenders in the first split and says in the standings which are given up: successive halving
    /// (Jamieson and Talwalkar 2016) with folds as the resource.
    fn begin(
        &self,
        contenders: &[Contender],
        splits: &[Split],
        standings: &mut [Standing],
    ) -> Result<Vec<Option<Begun>>> {
        let first = &splits[..1];
        let truth = self.held_out_truth(first);
        let mut begun: Vec<Option<Begun>> = Vec::with_capacity(contenders.len());
        for (index, contender) in contenders.iter().enumerate() {
            let state = format_args!("{} in the first fold", contender.spec.algorithm.name);
            self.watch.progress(index as u64 + 1, contenders.len() as u64, state);
            let started = Instant::now();
            begun.push(match self.folds(contender, first) {
                Ok(Some(folds)) => {
                    let scores = Self::finish(contender, &folds).1.together();
                    let losses = self.metric.losses(scores.values(), &truth);
                    Some(Begun { folds, losses, scores, seconds: started.elapsed().as_secs_f64() })
                }
                Ok(None) => None,
                Err(error) => {
                    standings[index].error = Some(format!("{error:#}"));
                    None
                }
            });
        }
        if self.stopped() {
            return Ok(begun);
        }
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        let mut order: Vec<usize> = (0..begun.len()).filter(|&index| begun[index].is_some()).collect();
        let loss = |index: usize| begun[index].as_ref().map_or(f64::INFINITY, |begun| mean(&begun.losses));
        order::sort_by(&mut order, |&a, &b| loss(a).total_cmp(&loss(b)));
        let Some(best) = order.first().and_then(|&index| begun[index].as_ref()) else { return Ok(begun) };
        let is_hopeless = |candidate: &Begun| {
            let gaps: Vec<f64> = candidate.losses.iter().zip(&best.losses).map(|(a, b)| a - b).collect();
            let blended: Vec<f64> = (candidate.scores.values().iter().zip(best.scores.values()))
                .map(|(own, best)| HELPFUL_WEIGHT * own + (1.0 - HELPFUL_WEIGHT) * best)
                .collect();
            mean(&gaps) > HOPELESS * standard_error(&gaps)
                && mean(&self.metric.losses(&blended, &truth)) > mean(&best.losses)
        };
        let given_up: Vec<usize> = (order.iter().copied().skip(MIN_FINISHED))
            .filter(|&index| !contenders[index].is_quick())
            .filter(|&index| begun[index].as_ref().is_some_and(is_hopeless))
            .collect();
        for index in given_up {
            let Some(candidate) = begun[index].take() else { continue };
            let predicted = Self::finish(&contenders[index], &candidate.folds).1;
            let standing = &mut standings[index];
            standing.scores = Some(self.scored(&predicted, first));
            standing.seconds = candidate.seconds;
            standing.error = Some("given up after the first fold".into());
            self.watch.compared(standing);
        }
        Ok(begun)
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
            let parts: Vec<Part> =
                compared.iter().map(|c| Part { scores: c.scores.values(), footprint: c.footprint }).collect();
            if let Some(found) = blend(self.metric, &parts, best, &truth, self.max_nanoseconds) {
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
}

/// Candidates that were compared on the same splits.
struct Board<'a> {
    search: &'a Search<'a>,
    splits: &'a [Split],
    /// Whether predictions are kept to blend them.
    keeps_scores: bool,
    /// A line for each contender.
    standings: Vec<Standing>,
    compared: Vec<Compared>,
}

impl Board<'_> {
    /// Scores a contender in all splits, but for those in which it was `begun`.
    fn compare(&mut self, index: usize, contenders: &[Contender], begun: Option<Begun>) {
        let (search, contender) = (self.search, &contenders[index]);
        let best = best_of(&self.compared).map_or(String::new(), |best| {
            let value = search.metric.utility(self.compared[best].utility);
            format!(", best so far {} {value:.4}", self.standings[self.compared[best].index].algorithm)
        });
        let state = format_args!("{}{best}", contender.spec.algorithm.name);
        search.watch.progress(index as u64 + 1, contenders.len() as u64, state);
        let started = Instant::now();
        let seconds = begun.as_ref().map_or(0.0, |begun| begun.seconds);
        let mut folds = begun.map(|begun| begun.folds).unwrap_or_default();
        let n_begun = folds.len();
        let mut extend = || -> Result<Option<()>> {
            if n_begun == self.splits.len() {
                return Ok(Some(()));
            }
            let Some(rest) = search.folds(contender, &self.splits[n_begun..])? else { return Ok(None) };
            folds.extend(rest);
            // All folds have a say in all rounds.
            let n_rounds = |folds: &[Fold]| folds.iter().map(Fold::n_rounds).max().unwrap_or(0);
            let (first, rest) = folds.split_at(n_begun);
            let most = n_rounds(first).max(n_rounds(rest));
            if n_rounds(first) < most || rest.iter().any(|fold| fold.n_rounds() < most) {
                let same =
                    Contender { spec: contender.spec.with("n_estimators", most as u64), ..contender.clone() };
                let Some(all) = search.folds_as_set(&same, self.splits)? else { return Ok(None) };
                folds = all;
            }
            Ok(Some(()))
        };
        let found = extend();
        let standing = &mut self.standings[index];
        match found {
            Ok(Some(())) => {
                let (spec, predicted) = Search::finish(contender, &folds);
                standing.variant = contender.found_variant(&spec);
                let scores = search.scored(&predicted, self.splits);
                if let Some(mean) = scores.spread.mean {
                    let utility = search.metric.utility(mean);
                    let footprint = predicted.footprint;
                    let kept = if self.keeps_scores { predicted.together() } else { Matrix::default() };
                    self.compared.push(Compared { index, spec, scores: kept, footprint, utility });
                    standing.scores = Some(scores);
                } else {
                    standing.error = Some(format!("its {} is undefined", search.metric.name()));
                }
            }
            Ok(None) => standing.error = Some(Standing::INTERRUPTED.into()),
            Err(error) => standing.error = Some(format!("{error:#}")),
        }
        standing.seconds = seconds + started.elapsed().as_secs_f64();
        search.watch.compared(standing);
    }
}

/// The line of a contender before it is scored.
fn standing(contender: &Contender) -> Standing {
    Standing {
        algorithm: contender.spec.algorithm.name.into(),
        variant: contender.variant.to_string(),
        weight: None,
        chosen: false,
        scores: None,
        error: None,
        seconds: 0.0,
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
            let contenders = auto.for_table(200, 15, 2, TargetShape::default(), false);
            let contender = contenders.iter().find(|contender| contender.path.is_some()).unwrap();
            let path = contender.path.unwrap();
            let folds = search.folds(contender, &splits).unwrap().unwrap();
            let (spec, found) = Search::finish(contender, &folds);
            let value = spec.hyperparameters()[path.parameter].as_f64().unwrap();
            let loss = |predicted: &OutOfFold| -> f64 {
                let of_fold = |(scores, split): (&Matrix, &Split)| {
                    let losses = search.metric.losses(scores.values(), &search.truth.select(&split.test));
                    losses.iter().sum::<f64>() / losses.len() as f64
                };
                predicted.folds.iter().zip(&splits).map(of_fold).sum()
            };
            for index in 0..path.values.len() {
                let alone = Contender::given(contender.spec.at(path, index));
                let folds = search.folds(&alone, &splits).unwrap().unwrap();
                let alone = Search::finish(&alone, &folds).1;
                assert!(loss(&alone) >= loss(&found) - 1e-4, "{} instead of {value}", path.values[index]);
            }
        });
    }

    #[test]
    fn an_algorithm_that_stands_twice_scores_the_same_and_the_first_is_chosen() {
        with_search(&Unwatched, 60, Some(3), |search| {
            let trees = Contenders::of("decision-tree", Task::Classification, &[]).unwrap();
            let tree = trees.for_table(60, 2, 2, TargetShape::default(), false);
            let found =
                search.leaderboard(&[tree.clone(), tree].concat(), &search.splits(1.0).unwrap()).unwrap();
            let board = &found.standings;
            assert_eq!(board[0].scores, board[1].scores);
            assert_eq!((found.members.len(), board[0].chosen, board[1].chosen), (1, true, false));
            assert_eq!(reason(board), "the best of 2");
        });
    }
}
