//! The comparison of several algorithms, and the choice among them: the simplest within one standard error of the best.

use std::time::Instant;

use anyhow::{Result, bail};

use super::cross_validation::Search;
use crate::data::split::Split;
use crate::model::learn::Spec;
use crate::model::selection::Standing;

impl Search<'_> {
    /// Scores the specs (simplest first) on the same splits and chooses: all standings, best first, and the index of
    /// the chosen spec.
    ///
    /// # Errors
    /// No spec can be fitted.
    pub(super) fn leaderboard(&self, specs: &[&Spec], splits: &[Split]) -> Result<(Vec<Standing>, usize)> {
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

/// The reason for the choice, from a finished leaderboard.
pub(super) fn reason(leaderboard: &[Standing]) -> String {
    match leaderboard.first() {
        Some(best) if best.scores.is_none() => "the simplest candidate".into(),
        Some(best) if best.chosen => format!("the best of {}", leaderboard.len()),
        Some(best) => {
            format!("the simplest of {} within one standard error of {}", leaderboard.len(), best.algorithm)
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::choice::tests::with_search;
    use crate::model::learn::{Unwatched, algorithm};
    use crate::model::selection::{CrossValidation, Spread};

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
    fn an_algorithm_that_stands_twice_scores_the_same_and_the_first_is_chosen() {
        with_search(&Unwatched, 60, Some(3), |search| {
            let spec = |name| Spec::new(algorithm(name).unwrap(), Task::Classification, &[]).unwrap();
            let (tree, again) = (spec("decision-tree"), spec("decision-tree"));
            let (board, chosen) = search.leaderboard(&[&tree, &again], &search.splits(1.0).unwrap()).unwrap();
            assert_eq!(board[0].scores, board[1].scores);
            assert_eq!((chosen, board[0].chosen, board[1].chosen), (0, true, false));
            assert_eq!(reason(&board), "the best of 2");
        });
    }
}
