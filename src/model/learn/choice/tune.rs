//! Which settings: random search, then successive halving, over the spaces written down here.
//!
//! Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"; Jamieson and Talwalkar 2016,
//! "Non-stochastic best arm identification and hyperparameter optimization": all trials are compared on few
//! rows, the best third of them on three times as many, and so on, the last ones on all rows. Trial 0 is the
//! defaults and is in every round, so by the score that was compared the result is not worse than they are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::leaderboard::{Choice, Search, n_compared};
use crate::data::cells::schema::Task;
use crate::data::split::folds::generator;
use crate::model::learn::{Algorithm, Spec};
use crate::model::selection::{CrossValidation, Round, Tuning};

/// Where values of a hyperparameter are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draw {
    /// A number whose logarithm is uniform.
    Log(f64, f64),
    /// A number.
    Uniform(f64, f64),
    /// A whole number whose logarithm is uniform.
    LogWhole(u64, u64),
    /// One of these, as in `--set`.
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
pub struct Space {
    /// The algorithm.
    pub algorithm: &'static str,
    /// The hyperparameter.
    pub parameter: &'static str,
    /// Where its values are drawn from.
    pub draw: Draw,
}

const fn space(algorithm: &'static str, parameter: &'static str, draw: Draw) -> Space {
    Space { algorithm, parameter, draw }
}

/// All spaces. Names that are not in [`crate::model::learn::ALGORITHMS`] are passed over.
pub static SPACES: [Space; 32] = [
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

/// What is searched of an algorithm.
pub fn spaces(algorithm: &Algorithm) -> impl Iterator<Item = &'static Space> {
    let has = |name: &str| algorithm.parameters.iter().any(|parameter| parameter.name == name);
    SPACES.iter().filter(move |space| space.algorithm == algorithm.name && has(space.parameter))
}

/// One trial in this many goes into the next round, which has this many times the rows: scikit-learn's factor.
const FACTOR: usize = 3;

/// No round has fewer rows: on fewer the order of the trials says little about their order on all.
const MIN_ROUND_ROWS: usize = 500;

/// Trials are drawn from another sequence than splits.
const TRIAL_SEED: u64 = 0x7475_6e65;

/// Uniform in [0, 1).
fn unit(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

impl Draw {
    /// A value as in `--set`: what is printed makes the same model again. Numbers have three digits.
    fn value(self, random: &mut Pcg64) -> String {
        let u = unit(random);
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

fn mean(scores: &CrossValidation) -> f64 {
    scores.spread.mean.unwrap_or(f64::NEG_INFINITY)
}

/// What decides where the main figure does not: the log loss of probabilities; of numbers the same figure.
fn loss(scores: &CrossValidation) -> f64 {
    match scores.metrics.get("log_loss") {
        Some(log_loss) => log_loss.mean.unwrap_or(f64::INFINITY),
        None => -mean(scores),
    }
}

/// Which of the trials of a round wins. An accuracy cannot tell trials within one standard error of the best
/// apart, and a few rows more may be bought with useless probabilities; so among those, and not below the
/// defaults, the log loss decides. The first of equals: the defaults where nothing is better.
fn winner(scores: &[(usize, CrossValidation)]) -> Option<usize> {
    let best =
        scores.iter().map(|(_, scores)| scores).reduce(|a, b| if mean(b) > mean(a) { b } else { a })?;
    let defaults = scores.iter().find(|(trial, _)| *trial == 0);
    let bound = mean(best) - best.standard_error.unwrap_or(0.0);
    let bound = defaults.map_or(bound, |(_, defaults)| bound.max(mean(defaults)));
    let able = (0..scores.len()).filter(|&i| mean(&scores[i].1) >= bound);
    able.reduce(|a, b| if loss(&scores[b].1) < loss(&scores[a].1) { b } else { a })
}

impl Search<'_> {
    /// Replaces the settings of the choice with the best of `n_trials`, the first of which are those it has.
    ///
    /// # Errors
    /// Not even the first trial can be fitted.
    pub(crate) fn tune(
        &self,
        choice: &mut Choice,
        n_trials: usize,
        fixed: &[(String, String)],
    ) -> Result<()> {
        let algorithm = choice.spec.algorithm;
        let task = match self.truth {
            crate::data::cells::target::Truth::Classes { .. } => Task::Classification,
            crate::data::cells::target::Truth::Values(_) => Task::Regression,
        };
        let settings = draw_trials(algorithm, n_trials, fixed, self.seed);
        if settings.len() < 2 {
            let why = match spaces(algorithm).next() {
                Some(_) if n_trials > 1 => "every setting that it searches is given",
                Some(_) => "one trial is the defaults",
                None => "there is nothing to search",
            };
            choice.notes.push(format!("--tune changed nothing: {} – {why}", algorithm.name));
            return Ok(());
        }
        let specs: Vec<Spec> =
            settings.iter().map(|pairs| Spec::new(algorithm, task, pairs)).collect::<Result<_>>()?;
        let n_rows = n_compared(&self.splits(1.0)?);
        let mut n_halvings = 0;
        while FACTOR.pow(n_halvings + 1) <= specs.len()
            && n_rows / FACTOR.pow(n_halvings + 1) >= MIN_ROUND_ROWS
        {
            n_halvings += 1;
        }
        let mut alive: Vec<usize> = (0..specs.len()).collect();
        let mut rounds = Vec::new();
        // The scores of the last round in which any trial was finished, in the order of the trials.
        let mut scores: Vec<(usize, CrossValidation)> = Vec::new();
        for halving in (0..=n_halvings).rev() {
            let splits = self.splits(1.0 / FACTOR.pow(halving) as f64)?;
            if splits.is_empty() {
                // A small sample may have no way to keep together what belongs together.
                continue;
            }
            let n_rows = n_compared(&splits);
            let done = AtomicU64::new(0);
            let best: Mutex<Option<(f64, usize)>> = Mutex::new(None);
            let score = |&trial: &usize| -> Result<Option<(usize, CrossValidation)>> {
                let found = self.cross_validate(&specs[trial], &splits)?;
                let mean = found.as_ref().and_then(|scores| scores.spread.mean);
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if let (Some(mean), Ok(mut best)) = (mean, best.lock()) {
                    if best.is_none_or(|(best, _)| mean > best) {
                        *best = Some((mean, trial));
                    }
                    let (best, trial) = best.unwrap_or((mean, trial));
                    let state = format_args!(
                        "tuning {} on {n_rows} rows, best so far {best:.4} (trial {trial})",
                        algorithm.name
                    );
                    self.watch.progress(count, alive.len() as u64, state);
                }
                Ok(found.map(|scores| (trial, scores)))
            };
            let results: Vec<Result<Option<(usize, CrossValidation)>>> =
                alive.par_iter().map(score).collect();
            let mut finished = Vec::new();
            for (result, &trial) in results.into_iter().zip(&alive) {
                match result {
                    Ok(found) => finished.extend(found),
                    // Of settings that cannot be fitted others may be better; the defaults have to work.
                    Err(error) if trial == 0 => return Err(error),
                    Err(_) => {}
                }
            }
            if finished.is_empty() {
                break;
            }
            rounds.push(Round { n_trials: finished.len(), n_rows });
            let mut ranked: Vec<usize> = (0..finished.len()).collect();
            ranked.sort_by(|&a, &b| {
                let (a, b) = (&finished[a].1, &finished[b].1);
                mean(b).total_cmp(&mean(a)).then(loss(a).total_cmp(&loss(b)))
            });
            let n_kept = finished.len().div_ceil(FACTOR);
            alive = ranked.iter().take(n_kept).map(|&i| finished[i].0).collect();
            if !alive.contains(&0) {
                alive.push(0);
            }
            alive.sort_unstable();
            scores = finished;
            if self.watch.stopped() {
                break;
            }
        }
        if self.watch.stopped() {
            choice.notes.push("the tuning was interrupted; the best so far was taken".into());
        }
        let Some((trial, after)) = winner(&scores).map(|i| scores[i].clone()) else {
            return Ok(());
        };
        if after.spread.mean.is_none() {
            bail!("--tune: the {} of every trial is undefined; there are too few rows", after.metric);
        }
        let before = scores.iter().find(|(trial, _)| *trial == 0);
        choice.spec = specs[trial].clone();
        choice.selection.tuning = Some(Tuning {
            rounds,
            trial,
            before: before.map_or_else(|| after.clone(), |(_, before)| before.clone()),
            after,
            set: settings[trial].iter().map(|(key, value)| format!("{key}={value}")).collect(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{ALGORITHMS, algorithm};
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
        let winner = |trials: &[(f64, f64)]| {
            let scored = trials.iter().map(|&(accuracy, log_loss)| scores(accuracy, log_loss));
            crate::model::learn::choice::tune::winner(&scored.enumerate().collect::<Vec<_>>())
        };
        assert_eq!(winner(&[(0.95, 0.1), (0.955, 1.2), (0.952, 0.09), (0.949, 0.01)]), Some(2));
        assert_eq!(winner(&[(0.95, 0.1), (0.955, 1.2)]), Some(0), "the defaults");
        assert_eq!(winner(&[(0.95, 0.1), (0.97, 1.2), (0.8, 0.0)]), Some(1), "a clear difference counts");
        assert_eq!(winner(&[(0.95, 0.1), (0.95, 0.1)]), Some(0), "the first of equals");
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
}
