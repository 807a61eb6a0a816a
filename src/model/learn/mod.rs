//! Numbers in, fitted predictors out. The only place that names smartcore's solvers.
//!
//! A family of learners is one file or folder here: a plain parameter struct per algorithm that implements
//! [`Learner`], and an [`Algorithm`] entry that names its hyperparameters. [`Spec`] is a chosen algorithm with checked hyperparameters, [`plan`] and [`train`] lead from files to a model; [`choice`] chooses the algorithm and its settings.

pub mod choice;
mod held_out;
pub mod linear;
pub mod naive_bayes;
pub mod neighbours;
pub mod network;
pub mod plan;
pub mod svm;
pub mod train;
pub mod trees;

use std::fmt;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::predictor::Predictor;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{ColumnType, Task, nearest};
use crate::data::prepare::recipe::Encoding;
use crate::data::split::folds::{Split, hold_out_groups, hold_out_stratified};
use crate::usage::usage;

/// Progress goes out and an interruption comes in.
pub trait Watch: Sync {
    /// `done` steps of at most `total`; `state` is a short text such as the loss.
    fn progress(&self, done: u64, total: u64, state: fmt::Arguments);

    /// Whether to stop with the best so far.
    fn stopped(&self) -> bool;
}

/// Shows nothing and never stops.
pub struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

    fn stopped(&self) -> bool {
        false
    }
}

/// Values that a thread checks at a time.
const CHECKED_VALUES: usize = 1 << 14;

/// What is to be learned, row by row.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// Class indices.
    Classes {
        /// One per row, below `n_classes`.
        codes: &'a [u32],
        /// Number of classes.
        n_classes: usize,
    },
    /// Numbers.
    Values(&'a [f64]),
}

/// Prepared rows and what is to be learned from them.
#[derive(Debug, Clone, Copy)]
pub struct Dataset<'a> {
    /// `n_rows × n_slots` numbers, finite where they are standardised; NaN is a missing value where they are
    /// raw.
    pub x: &'a Matrix,
    /// For each column that holds level indices, the number of levels, and 0 for others; empty where no
    /// column does.
    pub levels: &'a [usize],
    /// The type of each column where they hold codes as they are; empty where all are numbers.
    pub types: &'a [ColumnType],
    /// One label per row.
    pub y: Labels<'a>,
    /// How much each row counts, 1 where absent; finite, not negative, not all 0.
    pub weights: Option<&'a [f64]>,
    /// The group of each row; those of one stay on one side of every split within a fit. Absent: each is its own.
    pub groups: Option<&'a [u32]>,
    /// What random choices start from.
    pub seed: u64,
}

impl<'a> Dataset<'a> {
    /// Rows of numbers that count the same, and seed 0.
    pub fn new(x: &'a Matrix, y: Labels<'a>) -> Self {
        Self { x, levels: &[], types: &[], y, weights: None, groups: None, seed: 0 }
    }

    /// Number of rows, as there are labels.
    pub fn n_rows(&self) -> usize {
        match self.y {
            Labels::Classes { codes, .. } => codes.len(),
            Labels::Values(values) => values.len(),
        }
    }

    /// Parts `rows` in those to fit on and those to stop by, about `share` of them: classes keep their shares, groups
    /// stay whole. The second part is empty where no group can be spared.
    fn hold_out(&self, rows: &[usize], share: f64, seed: u64) -> Split {
        let (classes, n_classes) = match self.y {
            Labels::Classes { codes, n_classes } => (rows.iter().map(|&row| codes[row]).collect(), n_classes),
            Labels::Values(_) => (vec![0; rows.len()], 1),
        };
        let split = match self.groups {
            Some(groups) => {
                let groups: Vec<u32> = rows.iter().map(|&row| groups[row]).collect();
                hold_out_groups(&groups, &classes, n_classes, share, seed)
            }
            None => hold_out_stratified(&classes, n_classes, share, seed),
        };
        let rows_of = |part: Vec<usize>| part.into_iter().map(|i| rows[i]).collect();
        Split { train: rows_of(split.train), test: rows_of(split.test) }
    }

    fn check(&self, encoding: Encoding) -> Result<()> {
        let (n_rows, n_labels) = (self.x.n_rows(), self.n_rows());
        ensure!(n_rows > 0 && n_labels == n_rows, "{n_rows} rows and {n_labels} labels to learn from");
        let is_sound = |v: &f64| v.is_finite() || (encoding == Encoding::Raw && v.is_nan());
        let all_sound = self.x.values().par_chunks(CHECKED_VALUES).all(|values| values.iter().all(is_sound));
        ensure!(all_sound, "a prepared value is not finite");
        let sparse = self.x.sparse();
        ensure!(
            sparse.n_cols() == 0 || sparse.n_rows() == n_rows,
            "{n_rows} rows and {} sparse ones",
            sparse.n_rows()
        );
        ensure!(sparse.values().iter().all(|v| v.is_finite()), "a prepared value is not finite");
        if let Some(weights) = self.weights {
            ensure!(weights.len() == n_rows, "{n_rows} rows and {} weights", weights.len());
            ensure!(
                weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0),
                "row weights are finite, not negative, and not all 0"
            );
        }
        match self.y {
            Labels::Values(values) => {
                ensure!(values.iter().all(|v| v.is_finite()), "a target value is not finite");
            }
            Labels::Classes { codes, n_classes } => {
                let mut seen = vec![false; n_classes];
                for (row, &code) in codes.iter().enumerate() {
                    let counts = self.weights.is_none_or(|weights| weights[row] > 0.0);
                    seen[code as usize] |= counts;
                }
                let n_seen = seen.iter().filter(|&&seen| seen).count();
                ensure!(n_seen >= 2, "the training rows hold {n_seen} class; a classifier needs two");
            }
        }
        Ok(())
    }
}

/// A fitted predictor and what happened on the way.
#[derive(Debug)]
pub struct Fit {
    /// What predicts.
    pub predictor: Predictor,
    /// What the user should know, such as a solver that did not converge.
    pub notes: Vec<String>,
}

/// A set of hyperparameters that can be fitted.
pub trait Learner: Send + Sync {
    /// Fits a checked dataset.
    ///
    /// # Errors
    /// The data do not determine a model.
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit>;

    /// Whether it reads sparse columns; else texts become a few ordinary ones.
    fn reads_sparse(&self) -> bool {
        false
    }

    /// Whether categories of many levels become means of the target as well.
    fn reads_target_means(&self) -> bool {
        true
    }

    /// As [`Learner::fit`] on rows that nobody needs afterwards, which a learner that reads them once frees before
    /// it goes on; those of `data` are not looked at.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit(&Dataset { x: &x, ..*data }, watch)
    }
}

/// What a hyperparameter may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// A number above the first and not above the second.
    Above(f64, f64),
    /// A number not below the first and not above the second.
    From(f64, f64),
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Whole numbers from the first to the second, joined by `-`.
    Sizes(u64, u64),
    /// What the first of these that can read it makes of it.
    AnyOf(&'static [Range]),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Above(low, high) if high.is_infinite() => write!(f, "a number above {low}"),
            Self::Above(low, high) => write!(f, "a number above {low}, at most {high}"),
            Self::From(low, high) if high.is_infinite() => write!(f, "a number not below {low}"),
            Self::From(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Whole(low, u64::MAX) => write!(f, "a whole number not below {low}"),
            Self::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Sizes(low, high) => {
                write!(f, "whole numbers from {low} to {high}, such as 100 or 64-32")
            }
            Self::Flag => f.write_str("true or false"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::AnyOf(ranges) => {
                for (i, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if i > 0 { ", or " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// A hyperparameter as `--set`, the card and the manual know it.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, scikit-learn's.
    pub name: &'static str,
    /// What it is when not set, written as in `--set`; scikit-learn's unless `effect` says otherwise.
    pub default: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it does.
    pub effect: &'static str,
}

impl Parameter {
    fn parse(&self, text: &str) -> Option<Value> {
        self.range.parse(text)
    }
}

impl Range {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Range::Choice(words) => words.contains(&text).then(|| text.into()),
            Range::AnyOf(ranges) => ranges.iter().find_map(|range| range.parse(text)),
            Range::Flag => text.parse::<bool>().ok().map(Value::from),
            Range::Whole(low, high) => {
                let value = text.parse::<u64>().ok()?;
                (low..=high).contains(&value).then(|| value.into())
            }
            Range::Sizes(low, high) => {
                let sizes = text.split('-').map(|size| Range::Whole(low, high).parse(size));
                sizes.collect::<Option<Vec<_>>>().map(Value::from)
            }
            Range::Above(low, high) => {
                let value = text.parse::<f64>().ok()?;
                (value > low && value <= high && value.is_finite()).then(|| value.into())
            }
            Range::From(low, high) => {
                let value = text.parse::<f64>().ok()?;
                (value >= low && value <= high && value.is_finite()).then(|| value.into())
            }
        }
    }
}

/// Checked hyperparameters by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// A number; 0 if there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// A whole number; 0 if there is none of that name.
    pub fn whole(&self, name: &str) -> usize {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(0) as usize
    }

    /// A whole number, or `None` where the setting is a word such as `none`.
    pub fn optional_whole(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(Value::as_u64).map(|value| value as usize)
    }

    /// Whole numbers; none if there is no list of that name.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        let sizes = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        sizes.filter_map(Value::as_u64).map(|size| size as usize).collect()
    }

    /// A word; empty where the setting is a number.
    pub fn word(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// An entry of the table of algorithms.
pub struct Algorithm {
    /// Its name on the command line and in the card.
    pub name: &'static str,
    /// A shorter name.
    pub alias: Option<&'static str>,
    /// What it can predict.
    pub tasks: &'static [Task],
    /// One sentence for the manual.
    pub summary: &'static str,
    /// What it sees of the columns.
    pub encoding: Encoding,
    /// Its hyperparameters.
    pub parameters: &'static [Parameter],
    /// Makes the parameter struct of checked settings.
    pub learner: fn(&Settings) -> Box<dyn Learner>,
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every algorithm, in the order of the manual.
pub static ALGORITHMS: [&Algorithm; 13] = [
    &linear::logistic::LOGISTIC_REGRESSION,
    &linear::least_squares::LINEAR_REGRESSION,
    &linear::least_squares::RIDGE,
    &linear::lasso::LASSO,
    &linear::lasso::ELASTIC_NET,
    &trees::forest::DECISION_TREE,
    &trees::forest::RANDOM_FOREST,
    &trees::forest::EXTRA_TREES,
    &trees::boosting::GRADIENT_BOOSTING,
    &naive_bayes::NAIVE_BAYES,
    &neighbours::KNN,
    &network::mlp::MLP,
    &svm::SVM,
];

/// The algorithm of that name or alias.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn algorithm(name: &str) -> Result<&'static Algorithm> {
    let found = ALGORITHMS.iter().find(|a| a.name == name || a.alias == Some(name));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = ALGORITHMS.iter().map(|a| a.name).collect();
        let hint = nearest(name, names.iter().copied()).map(|n| format!("; did you mean {n}?"));
        usage(format!(
            "there is no algorithm {name:?}{}\nknown are: auto, {}",
            hint.unwrap_or_default(),
            names.join(", ")
        ))
    })
}

/// A chosen algorithm with checked hyperparameters: what is fitted, and what the card records.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// All its hyperparameters.
    pub settings: Settings,
}

impl Spec {
    /// Checks `settings` (pairs as given with `--set`) and adds the defaults.
    ///
    /// # Errors
    /// An algorithm that cannot do the task, an unknown key, a value out of range.
    pub fn new(algorithm: &'static Algorithm, task: Task, settings: &[(String, String)]) -> Result<Self> {
        if !algorithm.tasks.contains(&task) {
            let able = ALGORITHMS.iter().filter(|a| a.tasks.contains(&task)).map(|a| a.name);
            return Err(usage(format!(
                "{} cannot do {}; --algorithm is one of: {}",
                algorithm.name,
                task.name(),
                able.collect::<Vec<_>>().join(", ")
            )));
        }
        let mut values = Map::new();
        for parameter in algorithm.parameters {
            let default = parameter.parse(parameter.default).unwrap_or(Value::Null);
            values.insert(parameter.name.into(), default);
        }
        for (key, text) in settings {
            let Some(parameter) = algorithm.parameters.iter().find(|p| p.name == key) else {
                let names: Vec<&str> = algorithm.parameters.iter().map(|p| p.name).collect();
                let hint = nearest(key, names.iter().copied());
                let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                return Err(usage(format!(
                    "{} has no hyperparameter {key:?}{hint}\nknown are: {}",
                    algorithm.name,
                    names.join(", ")
                )));
            };
            let value = parameter.parse(text).ok_or_else(|| {
                usage(format!(
                    "--set {key}={text}: {key} is {} (default {})",
                    parameter.range, parameter.default
                ))
            })?;
            values.insert(key.clone(), value);
        }
        Ok(Self { algorithm, settings: Settings(values) })
    }

    /// The hyperparameters for the card.
    pub fn hyperparameters(&self) -> &Map<String, Value> {
        &self.settings.0
    }

    /// Whether texts may be sparse columns; else they are a few ordinary ones.
    pub fn reads_sparse(&self) -> bool {
        (self.algorithm.learner)(&self.settings).reads_sparse()
    }

    /// Whether categories of many levels become means of the target as well.
    pub fn reads_target_means(&self) -> bool {
        (self.algorithm.learner)(&self.settings).reads_target_means()
    }

    /// Checks the data and fits.
    ///
    /// # Errors
    /// Data that cannot be learned from.
    pub fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        data.check(self.algorithm.encoding)?;
        let learner = (self.algorithm.learner)(&self.settings);
        // On a thread of the pool from the start: work that is shared out from outside waits to be picked up.
        rayon::scope(|_| learner.fit(data, watch))
    }

    /// As [`Spec::fit`] on rows that nobody needs afterwards; those of `data` are not looked at.
    ///
    /// # Errors
    /// As [`Spec::fit`].
    pub fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        Dataset { x: &x, ..*data }.check(self.algorithm.encoding)?;
        let learner = (self.algorithm.learner)(&self.settings);
        rayon::scope(|_| learner.fit_owned(x, data, watch))
    }
}

/// Row weights times Σ weights / (classes × Σ weights of the class), so that every class that occurs counts the
/// same: scikit-learn's `class_weight="balanced"` (1.9).
fn balanced_weights(codes: &[u32], n_classes: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut sums = vec![0.0; n_classes];
    codes.iter().enumerate().for_each(|(row, &code)| sums[code as usize] += weight(row));
    let present = sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
    let total: f64 = sums.iter().sum();
    let balanced = |(row, &code): (usize, &u32)| match weight(row) {
        0.0 => 0.0,
        weight => weight * total / (present * sums[code as usize]),
    };
    codes.iter().enumerate().map(balanced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_give_every_class_the_same_sum() {
        let weights = balanced_weights(&[0, 0, 0, 1], 2, None);
        assert_eq!(weights, [4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 2.0]);
        let weights = balanced_weights(&[0, 0, 0, 1], 2, Some(&[0.0, 1.0, 1.0, 0.5]));
        assert_eq!(weights, [0.0, 0.625, 0.625, 1.25]);
    }

    #[test]
    fn a_split_within_a_fit_parts_no_group_and_without_groups_is_as_it_ever_was() {
        let (x, codes): (_, Vec<u32>) = (Matrix::default(), (0..90).map(|i| i % 2).collect());
        let groups: Vec<u32> = (0..90).map(|i| i * 7 % 30).collect();
        let rows: Vec<usize> = (0..90).filter(|row| row % 10 != 3).collect();
        for y in [Labels::Classes { codes: &codes, n_classes: 2 }, Labels::Values(&[0.0; 90])] {
            let free = Dataset::new(&x, y);
            let split = Dataset { groups: Some(&groups), ..free }.hold_out(&rows, 0.2, 3);
            assert!((12..=22).contains(&split.test.len()), "{split:?}");
            let is_held_out = |row: &usize| split.test.iter().any(|other| groups[*other] == groups[*row]);
            assert!(!split.train.iter().any(is_held_out));
            let mut all = [split.train, split.test].concat();
            all.sort_unstable();
            assert_eq!(all, rows);
            let of_class = |class| rows.iter().filter(|&&row| codes[row] == class).count();
            assert_eq!((of_class(0), of_class(1)), (45, 36));
            let free = free.hold_out(&rows, 0.2, 3);
            let wanted = match y {
                Labels::Classes { .. } => {
                    let codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
                    hold_out_stratified(&codes, 2, 0.2, 3)
                }
                Labels::Values(_) => crate::data::split::folds::hold_out(rows.len(), 0.2, 3),
            };
            assert_eq!(free.test, wanted.test.into_iter().map(|i| rows[i]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_default_lies_in_its_range_and_names_are_distinct() {
        let mut names = Vec::new();
        for algorithm in ALGORITHMS {
            names.push(algorithm.name);
            names.extend(algorithm.alias);
            for parameter in algorithm.parameters {
                assert!(
                    parameter.parse(parameter.default).is_some(),
                    "{} {}",
                    algorithm.name,
                    parameter.name
                );
            }
        }
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }

    #[test]
    fn unknown_names_and_values_out_of_range_say_what_is_known() {
        let spec = |key: &str, value: &str| {
            let settings = [(key.to_string(), value.to_string())];
            let spec = Spec::new(&linear::logistic::LOGISTIC_REGRESSION, Task::Classification, &settings);
            spec.map(|s| s.settings.number("C")).map_err(|e| e.to_string())
        };
        assert_eq!(spec("C", "0.5"), Ok(0.5));
        assert!(spec("c", "1").unwrap_err().contains("did you mean C?"));
        assert_eq!(spec("C", "-1").unwrap_err(), "--set C=-1: C is a number above 0 (default 1.0)");
        assert!(spec("max_iter", "many").unwrap_err().contains("a whole number not below 1"));
        assert!(algorithm("logistic").unwrap_err().to_string().contains("logistic-regression"));
        assert!(Spec::new(&linear::least_squares::RIDGE, Task::Classification, &[]).is_err());
    }
}
