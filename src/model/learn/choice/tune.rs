//! The search for hyperparameters (`--tune`): random search, then successive halving, over the spaces listed here.
//!
//! Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"; Jamieson and Talwalkar 2016,
//! "Non-stochastic best arm identification and hyperparameter optimization": all trials are compared on few
//! rows, the best third of them on three times as many, and so on, the last ones on all rows. Trial 0 is the
//! defaults and is in every round, so by the score that was compared the result is not worse than they are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::cross_validation::{Search, n_compared};
use crate::data::split::Split;
use crate::model::learn::{Algorithm, Spec};
use crate::model::selection::{CrossValidation, Round, Tuning};
use crate::order;
use crate::random::{generator, unit_interval};

/// The distribution that values of a hyperparameter are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Draw {
    /// A number whose logarithm is uniform.
    Log(f64, f64),
    /// A number.
    Uniform(f64, f64),
    /// A whole number whose logarithm is uniform.
    LogWhole(u64, u64),
    /// One of these texts, as in `--set`.
    Choice(&'static [&'static str]),
}

impl std::fmt::Display for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Log(low, high) => write!(f, "{low:?} to {high:?}, log-uniform"),
            Self::Uniform(low, high) => write!(f, "{low:?} to {high:?}"),
            Self::LogWhole(low, high) => write!(f, "{low} to {high}, log-uniform"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
        }
    }
}

/// A hyperparameter that `--tune` searches.
pub(crate) struct Space {
    /// The algorithm.
    pub(crate) algorithm: &'static str,
    /// The hyperparameter.
    pub(crate) parameter: &'static str,
    /// The distribution of its values.
    pub(crate) draw: Draw,
}

const fn space(algorithm: &'static str, parameter: &'static str, draw: Draw) -> Space {
    Space { algorithm, parameter, draw }
}

/// All spaces.
static SPACES: [Space; 32] = [
    space("logistic-regression", "C", Draw::Log(1e-4, 1e4)),
    space("ridge", "alpha", Draw::Log(1e-4, 1e4)),
    space("lasso", "alpha", Draw::Log(1e-4, 1e2)),
    space("elastic-net", "alpha", Draw::Log(1e-4, 1e2)),
    space("elastic-net", "l1_ratio", Draw::Uniform(0.05, 1.0)),
    space("naive-bayes", "var_smoothing", Draw::Log(1e-12, 0.1)),
    space("naive-bayes", "alpha", Draw::Log(1e-3, 10.0)),
    space("knn", "n_neighbors", Draw::LogWhole(1, 100)),
    space("knn", "weights", Draw::Choice(&["uniform", "distance"])),
    space("svm", "C", Draw::Log(1e-2, 1e3)),
    space("svm", "gamma", Draw::Log(1e-4, 1.0)),
    space("mlp", "alpha", Draw::Log(1e-6, 1.0)),
    space("mlp", "learning_rate_init", Draw::Log(1e-4, 1e-1)),
    space("decision-tree", "max_depth", Draw::LogWhole(2, 32)),
    space("decision-tree", "min_samples_leaf", Draw::LogWhole(1, 100)),
    space("random-forest", "max_features", Draw::Uniform(0.1, 1.0)),
    space("random-forest", "max_depth", Draw::Choice(&["none", "4", "8", "16"])),
    space("random-forest", "min_samples_leaf", Draw::LogWhole(1, 20)),
    space("random-forest", "bootstrap", Draw::Choice(&["true", "false"])),
    space("random-forest", "n_estimators", Draw::Choice(&["100", "200"])),
    space("extra-trees", "max_features", Draw::Uniform(0.1, 1.0)),
    space("extra-trees", "max_depth", Draw::Choice(&["none", "4", "8", "16"])),
    space("extra-trees", "min_samples_leaf", Draw::LogWhole(1, 20)),
    space("extra-trees", "bootstrap", Draw::Choice(&["true", "false"])),
    space("extra-trees", "n_estimators", Draw::Choice(&["100", "200"])),
    space("gradient-boosting", "learning_rate", Draw::Log(0.02, 0.5)),
    space("gradient-boosting", "n_estimators", Draw::LogWhole(50, 400)),
    space("gradient-boosting", "max_leaf_nodes", Draw::LogWhole(4, 128)),
    space("gradient-boosting", "min_samples_leaf", Draw::LogWhole(2, 100)),
    space("gradient-boosting", "l2_regularization", Draw::Log(1e-3, 10.0)),
    space("gradient-boosting", "subsample", Draw::Uniform(0.5, 1.0)),
    space("gradient-boosting", "colsample_bytree", Draw::Uniform(0.3, 1.0)),
];

/// The spaces of an algorithm.
pub(crate) fn spaces(algorithm: &Algorithm) -> impl Iterator<Item = &'static Space> {
    let has = |name: &str| algorithm.parameters.iter().any(|parameter| parameter.name == name);
    SPACES.iter().filter(move |space| space.algorithm == algorithm.name && has(space.parameter))
}

/// One trial in this many goes into the next round, which has this many times the rows: scikit-learn's factor.
const FACTOR: usize = 3;

/// No round has fewer rows: on fewer the order of the trials says little about their order on all.
const MIN_ROUND_ROWS: usize = 500;

/// Trials are drawn from another sequence than splits.
const TRIAL_SEED: u64 = 0x7475_6e65;

impl Draw {
    /// A value as in `--set`: what is printed makes the same model again. Numbers have three digits.
    fn value(self, random: &mut Pcg64) -> String {
        let u = unit_interval(random);
        let between = |low: f64, high: f64| low + u * (high - low);
        let log = |low: f64, high: f64| between(low.ln(), high.ln()).exp();
        let short = |value: f64, low: f64, high: f64| {
            let rounded = format!("{value:.2e}").parse().unwrap_or(value);
            format!("{:?}", f64::clamp(rounded, low, high))
        };
        match self {
            Self::Log(low, high) => short(log(low, high), low, high),
            Self::Uniform(low, high) => short(between(low, high), low, high),
            // A half on both sides, so that the ends are as likely as what lies between.
            Self::LogWhole(low, high) => {
                let value = log(low as f64 - 0.5, high as f64 + 0.5).round() as u64;
                value.clamp(low, high).to_string()
            }
            Self::Choice(words) => words[(u * words.len() as f64) as usize % words.len()].to_string(),
        }
    }
}

/// The settings of the trials: `fixed` alone, then with values drawn for all that is searched and not fixed.
fn draw_trials(
    algorithm: &Algorithm,
    n_trials: usize,
    fixed: &[(String, String)],
    seed: u64,
) -> Vec<Vec<(String, String)>> {
    let is_fixed = |space: &&Space| fixed.iter().any(|(key, _)| key == space.parameter);
    let searched: Vec<&Space> = spaces(algorithm).filter(|space| !is_fixed(space)).collect();
    let mut random = generator(seed ^ TRIAL_SEED);
    let mut trials = vec![fixed.to_vec()];
    while trials.len() < n_trials.max(1) && !searched.is_empty() {
        let drawn = searched.iter().map(|s| (s.parameter.to_string(), s.draw.value(&mut random)));
        trials.push(fixed.iter().cloned().chain(drawn).collect());
    }
    trials
}

/// The settings of trial `n`, which is not 0.
pub(super) fn drawn(algorithm: &Algorithm, n: usize, seed: u64) -> Vec<(String, String)> {
    draw_trials(algorithm, n + 1, &[], seed).pop().unwrap_or_default()
}

/// The scores of one trial.
#[derive(Clone)]
struct Scored {
    /// Its index; 0 is the defaults.
    trial: usize,
    scores: CrossValidation,
    utility: Option<f64>,
}

impl Scored {
    /// The metric that decides, more being better; worse than any if it is undefined.
    fn mean(&self) -> f64 {
        self.utility.unwrap_or(f64::NEG_INFINITY)
    }

    /// The log loss of probabilities, which decides between trials that the metric cannot distinguish; for numbers the
    /// metric itself.
    fn loss(&self) -> f64 {
        match self.scores.metrics.get("log_loss") {
            Some(log_loss) => log_loss.mean.unwrap_or(f64::INFINITY),
            None => -self.mean(),
        }
    }
}

/// The winner among the trials of a round. An accuracy does not distinguish trials within one standard error of the
/// best, and a few more rows may be bought with useless probabilities; so among those, and not below the
/// defaults, the log loss decides. The first of equals: the defaults if nothing is better.
fn winner(round: &[Scored]) -> Option<&Scored> {
    let best = round.iter().reduce(|a, b| if b.mean() > a.mean() { b } else { a })?;
    let bound = best.mean() - best.scores.standard_error.unwrap_or(0.0);
    let defaults = round.iter().find(|scored| scored.trial == 0);
    let bound = defaults.map_or(bound, |defaults| bound.max(defaults.mean()));
    let able = round.iter().filter(|scored| scored.mean() >= bound);
    able.reduce(|a, b| if b.loss() < a.loss() { b } else { a })
}

/// The trials that go into the next round, ascending: the best third, and the defaults.
fn survivors(round: &[Scored]) -> Vec<usize> {
    let mut ranked: Vec<&Scored> = round.iter().collect();
    order::sort_by(&mut ranked, |a, b| b.mean().total_cmp(&a.mean()).then(a.loss().total_cmp(&b.loss())));
    let mut alive: Vec<usize> =
        ranked.iter().take(round.len().div_ceil(FACTOR)).map(|scored| scored.trial).collect();
    if !alive.contains(&0) {
        alive.push(0);
    }
    alive.sort_unstable();
    alive
}

/// How often the trials are thinned out before the last round: no more often than they can be, and no round is too
/// small.
fn n_halvings(n_trials: usize, n_rows: usize) -> u32 {
    let has_round = |k: u32| FACTOR.pow(k) <= n_trials && n_rows / FACTOR.pow(k) >= MIN_ROUND_ROWS;
    (1..).take_while(|&k| has_round(k)).last().unwrap_or(0)
}

/// The outcome of a search for settings.
pub(super) struct Tuned {
    /// The best settings and how they were found; `None` if nothing was compared.
    pub(crate) best: Option<(Spec, Tuning)>,
    /// A remark for the user.
    pub(crate) note: Option<String>,
}

impl Search<'_> {
    /// Searches the settings of an algorithm in `n_trials`; the first has the `fixed` settings and else the defaults.
    ///
    /// # Errors
    /// Not even the first trial can be fitted.
    pub(super) fn tune(
        &self,
        algorithm: &'static Algorithm,
        n_trials: usize,
        fixed: &[(String, String)],
    ) -> Result<Tuned> {
        let settings = draw_trials(algorithm, n_trials, fixed, self.seed);
        if settings.len() < 2 {
            let why = match spaces(algorithm).next() {
                Some(_) if n_trials > 1 => "every setting that it searches is given",
                Some(_) => "one trial is the defaults",
                None => "there is nothing to search",
            };
            let note = Some(format!("--tune changed nothing: {} – {why}", algorithm.name));
            return Ok(Tuned { best: None, note });
        }
        let task = self.fitter.set.target.task;
        let specs: Vec<Spec> =
            settings.iter().map(|pairs| Spec::new(algorithm, task, pairs)).collect::<Result<_>>()?;
        let (last, rounds) = self.halve(&specs)?;
        let interrupted = || format!("the tuning {}; the best so far was taken", self.why_stopped());
        let note = self.stopped().then(interrupted);
        let Some(Scored { trial, scores: after, .. }) = winner(&last).cloned() else {
            return Ok(Tuned { best: None, note });
        };
        if after.spread.mean.is_none() {
            bail!("--tune: the {} of every trial is undefined; there are too few rows", after.metric);
        }
        let before = last.into_iter().find(|scored| scored.trial == 0);
        let tuning = Tuning {
            rounds,
            trial,
            before: before.map_or_else(|| after.clone(), |defaults| defaults.scores),
            after,
            set: settings[trial].iter().map(|(key, value)| format!("{key}={value}")).collect(),
        };
        Ok(Tuned { best: Some((specs[trial].clone(), tuning)), note })
    }

    /// Successive halving: the last round in which any trial was finished, and the sizes of all rounds.
    fn halve(&self, specs: &[Spec]) -> Result<(Vec<Scored>, Vec<Round>)> {
        let n_rows = n_compared(&self.splits(1.0)?);
        let mut alive: Vec<usize> = (0..specs.len()).collect();
        let (mut last, mut rounds) = (Vec::new(), Vec::new());
        for halving in (0..=n_halvings(specs.len(), n_rows)).rev() {
            let splits = self.splits(1.0 / FACTOR.pow(halving) as f64)?;
            if splits.is_empty() {
                // A small sample may have no way to keep together what belongs together.
                continue;
            }
            let round = self.round(specs, &alive, &splits)?;
            if round.is_empty() {
                break;
            }
            rounds.push(Round { n_trials: round.len(), n_rows: n_compared(&splits) });
            alive = survivors(&round);
            last = round;
            if self.stopped() {
                break;
            }
        }
        Ok((last, rounds))
    }

    /// Scores trials in parallel: those that can be fitted and were not interrupted, in their order.
    fn round(&self, specs: &[Spec], trials: &[usize], splits: &[Split]) -> Result<Vec<Scored>> {
        let (done, n_rows) = (AtomicU64::new(0), n_compared(splits));
        let best = Mutex::new((f64::NEG_INFINITY, 0));
        let score = |&trial: &usize| -> Result<Option<Scored>> {
            let found = self.cross_validate(&specs[trial], splits)?.map(|found| found.scores);
            let mean = found.as_ref().and_then(|scores| scores.spread.mean);
            let utility = mean.map(|mean| self.metric.utility(mean));
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let (Some(utility), Ok(mut best)) = (utility, best.lock()) {
                if utility > best.0 {
                    *best = (utility, trial);
                }
                // The sign turns back as it was turned.
                let (best, trial) = (self.metric.utility(best.0), best.1);
                let name = specs[0].algorithm.name;
                let state = format_args!("{name} on {n_rows} rows, best so far {best:.4} (trial {trial})");
                self.watch.progress(count, trials.len() as u64, state);
            }
            Ok(found.map(|scores| Scored { trial, scores, utility }))
        };
        let results: Vec<Result<Option<Scored>>> = trials.par_iter().map(score).collect();
        let mut finished = Vec::new();
        for (result, &trial) in results.into_iter().zip(trials) {
            match result {
                Ok(found) => finished.extend(found),
                // If some settings cannot be fitted, others may be better; the defaults have to work.
                Err(error) if trial == 0 => return Err(error),
                Err(_) => {}
            }
        }
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::choice::tests::{StopsAfter, with_search};
    use crate::model::learn::{ALGORITHMS, Unwatched, Watch, algorithm};
    use crate::model::selection::Spread;

    #[test]
    fn every_value_of_every_space_is_one_its_parameter_takes() {
        let mut random = generator(1);
        for algorithm in ALGORITHMS {
            for space in spaces(algorithm) {
                for _ in 0..200 {
                    let pair = (space.parameter.to_string(), space.draw.value(&mut random));
                    let spec = Spec::new(algorithm, algorithm.tasks[0], std::slice::from_ref(&pair));
                    assert!(spec.is_ok(), "{} {pair:?}", algorithm.name);
                }
            }
        }
    }

    #[test]
    fn every_space_is_of_a_parameter_that_exists() {
        for space in &SPACES {
            let algorithm = algorithm(space.algorithm).unwrap();
            let known = algorithm.parameters.iter().any(|parameter| parameter.name == space.parameter);
            assert!(known, "{} {}", space.algorithm, space.parameter);
        }
    }

    #[test]
    fn draws_reach_their_ends_and_stay_between_them() {
        let mut random = generator(2);
        let mut drawn = |draw: Draw| -> Vec<f64> {
            (0..2000).map(|_| draw.value(&mut random).parse().unwrap()).collect()
        };
        let whole = drawn(Draw::LogWhole(1, 5));
        assert!((1..=5).all(|value| whole.contains(&f64::from(value))) && whole.iter().all(|&v| v <= 5.0));
        let log = drawn(Draw::Log(1e-3, 1e3));
        let below = log.iter().filter(|&&v| v < 1.0).count();
        assert!(log.iter().all(|v| (1e-3..=1e3).contains(v)) && (900..1100).contains(&below), "{below}");
        // A share of 1 must not become a count of 1.
        assert_eq!(Draw::Uniform(1.0, 1.0).value(&mut generator(0)), "1.0");
    }

    #[test]
    fn the_log_loss_decides_among_trials_that_the_accuracy_cannot_tell_apart() {
        let scores = |accuracy: f64, log_loss: f64| CrossValidation {
            metric: "accuracy".into(),
            scores: vec![Some(accuracy)],
            spread: Spread::of(&[Some(accuracy)]),
            standard_error: Some(0.01),
            n_rows: 100,
            metrics: [("log_loss".to_string(), Spread::of(&[Some(log_loss)]))].into(),
        };
        let round = |trials: &[(f64, f64)]| -> Vec<Scored> {
            let scored = trials.iter().map(|&(accuracy, log_loss)| scores(accuracy, log_loss));
            scored
                .enumerate()
                .map(|(trial, scores)| Scored { trial, utility: scores.spread.mean, scores })
                .collect()
        };
        let winner = |trials: &[(f64, f64)]| super::winner(&round(trials)).map(|scored| scored.trial);
        assert_eq!(winner(&[(0.95, 0.1), (0.955, 1.2), (0.952, 0.09), (0.949, 0.01)]), Some(2));
        assert_eq!(winner(&[(0.95, 0.1), (0.955, 1.2)]), Some(0), "the defaults");
        assert_eq!(winner(&[(0.95, 0.1), (0.97, 1.2), (0.8, 0.0)]), Some(1), "a clear difference counts");
        assert_eq!(winner(&[(0.95, 0.1), (0.95, 0.1)]), Some(0), "the first of equals");
        let survivors = |trials: &[(f64, f64)]| super::survivors(&round(trials));
        let six = [(0.7, 0.1), (0.9, 0.3), (0.8, 0.1), (0.9, 0.2), (0.9, 0.4), (0.6, 0.1)];
        assert_eq!(survivors(&six), [0, 1, 3], "the log loss decides between equals, and the defaults stay");
        assert_eq!(survivors(&six[..1]), [0]);
    }

    #[test]
    fn trials_start_with_the_defaults_keep_what_is_fixed_and_follow_from_the_seed() {
        let forest = algorithm("random-forest").unwrap();
        let fixed = [("max_depth".to_string(), "3".to_string())];
        let trials = draw_trials(forest, 5, &fixed, 42);
        assert_eq!(trials[0], fixed);
        assert!(trials.iter().all(|t| t.iter().filter(|(key, _)| key == "max_depth").count() == 1));
        assert!(trials[1..].iter().all(|t| t.len() == 5 && t[0] == fixed[0]));
        assert_eq!(trials, draw_trials(forest, 5, &fixed, 42));
        assert_eq!(trials[..3], draw_trials(forest, 3, &fixed, 42), "more trials are the same and more");
        assert_ne!(trials, draw_trials(forest, 5, &fixed, 43));
        assert_eq!(draw_trials(algorithm("linear-regression").unwrap(), 5, &[], 1).len(), 1);
    }

    #[test]
    fn rounds_are_neither_too_small_nor_for_too_few_trials() {
        assert_eq!(n_halvings(2, 1_000_000), 0, "two trials cannot be thinned out");
        assert_eq!([3, 8, 9, 27].map(|n_trials| n_halvings(n_trials, 1_000_000)), [1, 1, 2, 3]);
        assert_eq!([1499, 1500, 4500].map(|n_rows| n_halvings(100, n_rows)), [0, 1, 2]);
    }

    #[test]
    fn an_interrupted_search_keeps_the_best_trial_so_far() {
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let tune = |watch: &dyn Watch| {
            one_thread.install(|| {
                let tree = algorithm("decision-tree").unwrap();
                with_search(watch, 200, Some(3), |search| search.tune(tree, 6, &[]).unwrap())
            })
        };
        let tuned = tune(&StopsAfter(AtomicU64::new(3)));
        assert!(tuned.note.unwrap().contains("interrupted"));
        // The third trial reports when it is done, and the others see the interruption.
        let (_, tuning) = tuned.best.unwrap();
        assert_eq!(tuning.rounds.iter().map(|round| round.n_trials).collect::<Vec<_>>(), [3]);
        let whole = tune(&Unwatched);
        assert!(whole.note.is_none() && tuning.trial < 3);
        let (_, whole) = whole.best.unwrap();
        assert_eq!((whole.rounds[0].n_trials, &whole.before), (6, &tuning.before));
    }
}
