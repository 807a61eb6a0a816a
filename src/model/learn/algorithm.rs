//! The table of all algorithms, and a chosen one with its hyperparameters.
//!
//! The only file that names every family. `--algorithm`, `auto`, the card, the manual and the laws that every
//! learner is tested by go through [`ALGORITHMS`]: an algorithm that is added there is everywhere.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};
use serde_json::{Map, Value};

use super::dataset::{Dataset, Fit};
use super::hyperparameter::Settings;
use super::{Algorithm, Watch, linear, naive_bayes, neighbours, network, svm, trees};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::error::usage;
use crate::names::did_you_mean;
use crate::panics;

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
/// The name is unknown; the message lists the known names.
pub fn algorithm(name: &str) -> Result<&'static Algorithm> {
    let found = ALGORITHMS.iter().find(|a| a.name == name || a.alias == Some(name));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = ALGORITHMS.iter().map(|a| a.name).collect();
        let aliases = ALGORITHMS.iter().filter_map(|a| a.alias);
        let hint = did_you_mean(name, names.iter().copied().chain(aliases).chain(["auto"]));
        usage(format!("there is no algorithm {name:?}{hint}\nknown are: auto, {}", names.join(", ")))
    })
}

/// A chosen algorithm with checked hyperparameters, as it is fitted and recorded in the card.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// All its hyperparameters.
    pub settings: Settings,
    /// What is done to a numeric target before it learns.
    pub(crate) scale: TargetScale,
    /// The columns that it learns from.
    pub(crate) columns: Columns,
}

/// Values of the hyperparameter that sets how closely an algorithm fits, from loose to close.
#[derive(Debug, PartialEq)]
pub(crate) struct Path {
    /// The hyperparameter.
    pub(crate) parameter: &'static str,
    /// Its values.
    pub(crate) values: &'static [f64],
}

/// The columns that an algorithm learns from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Columns {
    /// All features.
    #[default]
    All,
    /// Those whose values come again: neither texts nor categories of few rows a level, such as names, which a model of few
    /// rows learns by heart.
    LowCardinality,
}

impl Columns {
    /// Their name for people, unless they are all.
    pub(crate) fn name(self) -> Option<&'static str> {
        (self == Self::LowCardinality).then_some("low cardinality")
    }
}

/// What is done to a numeric target before an algorithm learns it, and undone to its predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TargetScale {
    /// Nothing.
    #[default]
    AsItIs,
    /// It gets mean 0 and standard deviation 1: for learners whose settings have its unit.
    Standardised,
    /// The logarithm is learned: for targets whose errors grow with their values.
    Log,
    /// A power that makes it most like a normal distribution: for targets with a long tail on either side.
    YeoJohnson,
    /// The normal score of its rank: for targets with tails of any kind.
    Rank,
    /// What a ridge regression leaves over is learned, and the two are added: for targets that are nearly linear, also
    /// beyond the training rows.
    Residuals,
}

impl TargetScale {
    /// Its name for people, if it is any.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::AsItIs => None,
            Self::Standardised => Some("standardised"),
            Self::Log => Some("log"),
            Self::YeoJohnson => Some("yeo-johnson"),
            Self::Rank => Some("rank"),
            Self::Residuals => Some("residuals of ridge"),
        }
    }
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
        // A preset sets defaults, wherever it stands among the settings.
        for parameter in algorithm.parameters {
            let texts = settings.iter().filter(|(key, _)| key == parameter.name).map(|(_, text)| text);
            for &(name, default) in texts.flat_map(|text| parameter.defaults_of(text)) {
                let preset = algorithm.parameters.iter().find(|parameter| parameter.name == name);
                values.insert(name.into(), preset.and_then(|p| p.parse(default)).unwrap_or(Value::Null));
            }
        }
        for (key, text) in settings {
            let Some(parameter) = algorithm.parameters.iter().find(|p| p.name == key) else {
                let names: Vec<&str> = algorithm.parameters.iter().map(|p| p.name).collect();
                let hint = did_you_mean(key, names.iter().copied());
                return Err(usage(format!(
                    "{} has no hyperparameter {key:?}{hint}\nknown are: {}",
                    algorithm.name,
                    names.join(", ")
                )));
            };
            let mut text = text.clone();
            if parameter.adds_up() {
                let same = settings.iter().filter(|(other, text)| other == key && text != parameter.default);
                let all = same.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(",");
                text = if all.is_empty() { text } else { all };
            }
            let value = parameter.parse(&text).ok_or_else(|| {
                usage(format!(
                    "--set {key}={text}: {key} is {} (default {})",
                    parameter.range, parameter.default
                ))
            })?;
            values.insert(key.clone(), value);
        }
        Ok(Self { algorithm, settings: Settings(values), scale: TargetScale::AsItIs, columns: Columns::All })
    }

    /// The same with another number as one of the settings.
    pub(crate) fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut spec = self.clone();
        spec.settings.0.insert(name.into(), value.into());
        spec
    }

    /// The same with one of the values of a path.
    pub(crate) fn at(&self, path: &Path, index: usize) -> Self {
        let value = path.values[index];
        let parameter = self.algorithm.parameters.iter().find(|p| p.name == path.parameter);
        // Whole where the hyperparameter is.
        let parsed = parameter.and_then(|parameter| parameter.parse(&value.to_string()));
        self.with(path.parameter, parsed.unwrap_or_else(|| value.into()))
    }

    /// The hyperparameters for the card.
    pub fn hyperparameters(&self) -> &Map<String, Value> {
        &self.settings.0
    }

    /// Whether texts become sparse columns; otherwise they become a few ordinary columns.
    pub fn reads_sparse(&self) -> bool {
        (self.algorithm.learner)(&self.settings).reads_sparse()
    }

    /// Whether high-cardinality categories also become means of the target.
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
        guarded(|| learner.fit(data, watch))
    }

    /// As [`Spec::fit`] with each of the values of a path.
    ///
    /// # Errors
    /// As [`Spec::fit`].
    pub(crate) fn fit_path(&self, path: &Path, data: &Dataset, watch: &dyn Watch) -> Result<Vec<Fit>> {
        data.check(self.algorithm.encoding)?;
        let learner = (self.algorithm.learner)(&self.settings);
        guarded(|| learner.fit_path(path.values, data, watch))
    }

    /// As [`Spec::fit`] on rows that are not needed afterwards; the rows of `data` are ignored.
    ///
    /// # Errors
    /// As [`Spec::fit`].
    pub fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        Dataset { x: &x, ..*data }.check(self.algorithm.encoding)?;
        let learner = (self.algorithm.learner)(&self.settings);
        guarded(|| learner.fit_owned(x, data, watch))
    }
}

/// Runs a fit on a thread of the pool from the start: work that is handed in from outside waits until a thread picks it
/// up. A panic ends this fit alone, so that `auto` goes on with other candidates; its message is printed, for a report.
fn guarded<T: Send>(fit: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| rayon::scope(|_| fit()))).unwrap_or_else(|panic| {
        let message = panics::message(&*panic);
        Err(anyhow!("it failed on these rows ({message}), which is a mistake of mlapi; please report it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Labels, Learner, Parameter, Range, Unwatched};

    #[test]
    fn a_panic_of_a_learner_is_an_error_of_its_fit_on_any_thread() {
        struct Panics;
        impl Learner for Panics {
            fn fit(&self, _: &Dataset, _: &dyn Watch) -> Result<Fit> {
                crate::parallel::for_each_index(9, &|i| assert!(i < 5, "row {i}"));
                unreachable!()
            }
        }
        let x = Matrix::zeros(2, 1);
        let data = Dataset::new(&x, Labels::Values(&[1.0, 2.0]));
        let message = guarded(|| Panics.fit(&data, &Unwatched)).unwrap_err().to_string();
        assert!(message.contains("(row ") && message.contains("please report it"), "{message}");
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
        for parameter in ALGORITHMS.iter().flat_map(|algorithm| algorithm.parameters) {
            let Range::Presets(presets) = parameter.range else { continue };
            for preset in presets {
                let known = preset.defaults.iter().all(|(name, default)| {
                    let of_name = |p: &&Parameter| p.name == *name && p.parse(default).is_some();
                    ALGORITHMS.iter().flat_map(|algorithm| algorithm.parameters).any(|p| of_name(&p))
                });
                assert!(known, "{}", preset.name);
            }
        }
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }

    #[test]
    fn a_preset_sets_the_defaults_and_settings_beside_it_override_them() {
        let spec = |settings: &[(&str, &str)]| {
            let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Spec::new(&trees::boosting::GRADIENT_BOOSTING, Task::Classification, &settings)
        };
        let set = |settings: &[(&str, &str)]| {
            let settings = spec(settings).unwrap().settings;
            (settings.word("softmax_factor").to_string(), settings.number("softmax_factor"))
        };
        assert_eq!(set(&[]), ("auto".into(), 0.0));
        assert_eq!(set(&[("preset", "scikit-learn")]), (String::new(), 1.0));
        assert_eq!(set(&[("softmax_factor", "2"), ("preset", "scikit-learn")]), (String::new(), 2.0));
        let message = spec(&[("preset", "sklearn")]).unwrap_err().to_string();
        assert!(message.contains("preset is mlapi or scikit-learn or lightgbm"), "{message}");
    }

    #[test]
    fn unknown_names_and_values_out_of_range_say_what_is_known() {
        let spec = |key: &str, value: &str| {
            let settings = [(key.to_string(), value.to_string())];
            let spec = Spec::new(&linear::logistic::LOGISTIC_REGRESSION, Task::Classification, &settings);
            spec.map(|s| s.settings.number("C")).map_err(|e| e.to_string())
        };
        assert_eq!(spec("C", "0.5"), Ok(0.5));
        assert!(spec("c", "1").unwrap_err().contains("did you mean \"C\"?"));
        assert_eq!(spec("C", "-1").unwrap_err(), "--set C=-1: C is a number above 0 (default 1.0)");
        assert!(spec("max_iter", "many").unwrap_err().contains("a whole number not below 1"));
        assert!(algorithm("logistic").unwrap_err().to_string().contains("logistic-regression"));
        assert!(Spec::new(&linear::least_squares::RIDGE, Task::Classification, &[]).is_err());
    }
}
