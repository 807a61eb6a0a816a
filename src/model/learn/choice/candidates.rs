//! The algorithms that may be chosen: one that was named, or those that `auto` compares.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use anyhow::Result;

use crate::data::cells::cell::Task;
use crate::model::learn::algorithm::{Columns, Path, TargetScale};
use crate::model::learn::{ALGORITHMS, Algorithm, Spec, algorithm, usage};
use crate::model::target_transform::TargetShape;
use crate::names::did_you_mean;

/// An algorithm with settings that `auto` may compare, and the sizes of tables it is compared on.
pub(super) struct Candidate {
    name: &'static str,
    /// What tells it from the other candidates of the algorithm; empty for the only one.
    variant: &'static str,
    /// Its settings where they are not the defaults; `--set` overrides them.
    settings: &'static [(&'static str, &'static str)],
    /// Values of a hyperparameter of which the best in the folds is taken; the second of wide tables.
    path: Option<[&'static Path; 2]>,
    /// What is done to a numeric target.
    scale: TargetScale,
    /// The columns that it learns from.
    columns: Columns,
    /// The only task it is a candidate for.
    task: Option<Task>,
    /// Number of training rows.
    rows: RangeInclusive<usize>,
    /// Largest number of slots of a standardised row.
    max_slots: usize,
    /// Largest number of classes.
    max_classes: usize,
}

const ANY: RangeInclusive<usize> = 0..=usize::MAX;

/// Most classes that trees learn.
const TREE_CLASSES: usize = 1023;

/// Most classes of candidates that fit something for each class many times: a tree per round, a machine per pair, the
/// shares of a hundred trees' leaves.
const MANY_CLASSES: usize = 200;

/// A candidate with its defaults for any table.
const fn plain(name: &'static str) -> Candidate {
    let (settings, scale, max) = (&[], TargetScale::AsItIs, usize::MAX);
    Candidate {
        name,
        variant: "",
        settings,
        path: None,
        scale,
        columns: Columns::All,
        task: None,
        rows: ANY,
        max_slots: max,
        max_classes: max,
    }
}

/// The candidates of `auto`, simplest first: the simpler one is easier to read, stores less, and overfits less. The
/// linear models come before naive Bayes, which is as small but far too sure of itself (Niculescu-Mizil and Caruana
/// 2005, "Predicting good probabilities with supervised learning").
///
/// Not here: lasso and elastic net, whose default penalty depends on the unit of the target.
static CANDIDATES: [Candidate; 28] = [
    plain("linear-regression"),
    Candidate { path: Some([&RIDGE_PATH, &WIDE_RIDGE_PATH]), ..plain("ridge") },
    Candidate {
        variant: "log target",
        path: Some([&RIDGE_PATH, &WIDE_RIDGE_PATH]),
        scale: TargetScale::Log,
        task: Some(Task::Regression),
        max_slots: WIDE,
        ..plain("ridge")
    },
    Candidate { path: Some([&LOGISTIC_PATH, &WIDE_LOGISTIC_PATH]), ..plain("logistic-regression") },
    plain("naive-bayes"),
    Candidate { max_classes: TREE_CLASSES, ..plain("decision-tree") },
    // Distances say little in many columns, and every prediction looks at the training rows.
    Candidate {
        settings: &[("n_neighbors", "15"), ("weights", "distance")],
        rows: 0..=10_000,
        max_slots: 100,
        ..plain("knn")
    },
    Candidate {
        settings: FOREST_OF_CLASSES,
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Classification),
        max_classes: MANY_CLASSES,
        ..plain("random-forest")
    },
    Candidate {
        settings: &[("n_estimators", "300"), ("max_features", "0.333"), ("min_samples_leaf", "2")],
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Regression),
        ..plain("random-forest")
    },
    Candidate {
        settings: FOREST_OF_CLASSES,
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Classification),
        max_classes: MANY_CLASSES,
        ..plain("extra-trees")
    },
    Candidate {
        settings: &[("n_estimators", "300"), ("min_samples_leaf", "2")],
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Regression),
        ..plain("extra-trees")
    },
    // Its time grows with the square of the rows.
    Candidate {
        rows: 0..=5_000,
        task: Some(Task::Classification),
        max_classes: MANY_CLASSES,
        ..plain("svm")
    },
    // Its tube and penalty have the unit of the target.
    Candidate {
        rows: 0..=5_000,
        task: Some(Task::Regression),
        scale: TargetScale::Standardised,
        ..plain("svm")
    },
    // Seldom the best, but with errors of its own; of classes it is too sure of itself to be of use.
    Candidate {
        settings: SMALL_NETWORK,
        rows: 200..=10_000,
        max_slots: 300,
        task: Some(Task::Regression),
        ..plain("mlp")
    },
    Candidate { variant: "small trees", settings: SMALL_TREES, max_classes: MANY_CLASSES, ..BOOSTING },
    Candidate { variant: "medium trees", settings: MEDIUM_TREES, max_classes: MANY_CLASSES, ..BOOSTING },
    Candidate {
        variant: "large trees",
        settings: LARGE_TREES,
        rows: 2_000..=usize::MAX,
        max_classes: MANY_CLASSES,
        ..BOOSTING
    },
    Candidate {
        variant: "log target",
        settings: MEDIUM_TREES,
        scale: TargetScale::Log,
        task: Some(Task::Regression),
        ..BOOSTING
    },
    Candidate {
        variant: "power target",
        settings: MEDIUM_TREES,
        scale: TargetScale::YeoJohnson,
        task: Some(Task::Regression),
        ..BOOSTING
    },
    Candidate {
        variant: "rank target",
        settings: MEDIUM_TREES,
        scale: TargetScale::Rank,
        task: Some(Task::Regression),
        ..BOOSTING
    },
    Candidate {
        variant: "on top of ridge",
        settings: MEDIUM_TREES,
        scale: TargetScale::Residuals,
        task: Some(Task::Regression),
        ..BOOSTING
    },
    Candidate {
        variant: "log target",
        settings: &[("n_estimators", "300"), ("max_features", "0.333"), ("min_samples_leaf", "2")],
        path: Some([&LEAF_PATH; 2]),
        scale: TargetScale::Log,
        task: Some(Task::Regression),
        ..plain("random-forest")
    },
    Candidate { path: Some([&RIDGE_PATH; 2]), task: Some(Task::Regression), ..low_cardinality("ridge") },
    Candidate {
        variant: "log target, low-cardinality columns",
        path: Some([&RIDGE_PATH; 2]),
        scale: TargetScale::Log,
        task: Some(Task::Regression),
        ..low_cardinality("ridge")
    },
    Candidate {
        path: Some([&LOGISTIC_PATH; 2]),
        task: Some(Task::Classification),
        ..low_cardinality("logistic-regression")
    },
    Candidate {
        settings: &[("n_estimators", "300"), ("min_samples_leaf", "2")],
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Regression),
        ..low_cardinality("extra-trees")
    },
    Candidate {
        settings: FOREST_OF_CLASSES,
        path: Some([&LEAF_PATH; 2]),
        task: Some(Task::Classification),
        max_classes: MANY_CLASSES,
        ..low_cardinality("extra-trees")
    },
    Candidate { settings: MEDIUM_TREES, max_classes: MANY_CLASSES, ..low_cardinality(BOOSTING.name) },
];

/// A candidate for few rows, some of whose columns are names or texts.
const fn low_cardinality(name: &'static str) -> Candidate {
    let columns = Columns::LowCardinality;
    Candidate { variant: "low-cardinality columns", columns, rows: 0..=5_000, ..plain(name) }
}

/// From coefficients of almost nothing to almost free ones, in steps of about three: between two of them the loss hardly
/// changes.
pub(super) static RIDGE_PATH: Path =
    Path { parameter: "alpha", values: &[3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.1] };
static LOGISTIC_PATH: Path =
    Path { parameter: "C", values: &[0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 30.0, 200.0] };

/// Of wide tables each fit takes long, and hardly any penalty is never the best.
static WIDE_RIDGE_PATH: Path = Path { parameter: "alpha", values: &[3000.0, 300.0, 30.0, 3.0] };
static WIDE_LOGISTIC_PATH: Path = Path { parameter: "C", values: &[0.0003, 0.003, 0.03, 0.3, 1.0] };

/// Most rows for which the size of leaves is found; beyond, it matters little.
const MAX_LEAF_PATH_ROWS: usize = 3_000;

/// Slots of a standardised row from which a table is wide.
const WIDE: usize = 300;

/// A class that no leaf of any tree has seen gets a small probability, not 0.
const FOREST_OF_CLASSES: &[(&str, &str)] =
    &[("n_estimators", "300"), ("min_samples_leaf", "3"), ("prior_weight", "0.03")];

/// Rows of a leaf. Noise asks for larger ones, and probabilities of 0 are dear.
static LEAF_PATH: Path = Path { parameter: "min_samples_leaf", values: &[8.0, 3.0, 1.0] };

/// Small steps on few rows at a time, until held-out rows gain nothing more.
const SMALL_NETWORK: &[(&str, &str)] = &[
    ("hidden_layer_sizes", "64-64"),
    ("alpha", "0.01"),
    ("batch_size", "64"),
    ("early_stopping", "true"),
    ("n_iter_no_change", "15"),
];

const BOOSTING: Candidate = plain("gradient-boosting");

/// For tables of few rows or additive targets.
const SMALL_TREES: &[(&str, &str)] = &[
    ("learning_rate", "0.05"),
    ("max_leaf_nodes", "6"),
    ("min_samples_leaf", "5"),
    ("l2_regularization", "3"),
    ("colsample_bytree", "0.6"),
    ("subsample", "0.8"),
    ("early_stopping", "false"),
];

/// Better than the defaults of scikit-learn and LightGBM on most tables.
const MEDIUM_TREES: &[(&str, &str)] = &[
    ("learning_rate", "0.05"),
    ("max_leaf_nodes", "16"),
    ("min_samples_leaf", "10"),
    ("l2_regularization", "3"),
    ("colsample_bytree", "0.6"),
    ("subsample", "0.8"),
    ("early_stopping", "false"),
];

/// For tables of many rows.
const LARGE_TREES: &[(&str, &str)] = &[
    ("learning_rate", "0.05"),
    ("max_leaf_nodes", "48"),
    ("min_samples_leaf", "20"),
    ("l2_regularization", "5"),
    ("colsample_bytree", "0.6"),
    ("subsample", "0.8"),
    ("early_stopping", "false"),
];

/// An algorithm with settings that may be chosen.
#[derive(Clone)]
pub(crate) struct Contender {
    /// The algorithm and its settings.
    pub(super) spec: Spec,
    /// What tells it from others of the same algorithm.
    pub(super) variant: Cow<'static, str>,
    /// Whether the number of rounds is found in the folds, up to the one in the settings.
    pub(super) finds_rounds: bool,
    /// Values of a hyperparameter of which the best in the folds is taken.
    pub(super) path: Option<&'static Path>,
    /// The sizes of tables it is for; any if it was named.
    pub(super) candidate: Option<&'static Candidate>,
}

impl Contender {
    /// An algorithm that was named, with its settings.
    pub(super) fn given(spec: Spec) -> Self {
        Self { spec, variant: "".into(), finds_rounds: false, path: None, candidate: None }
    }

    /// This one with other settings, apart from what is found in the folds.
    pub(super) fn with_settings(&self, settings: &[(String, String)], variant: String) -> Self {
        let mut spec = self.spec.clone();
        for (key, text) in settings.iter().filter(|(key, _)| !self.finds_rounds || key != "n_estimators") {
            let parameter = spec.algorithm.parameters.iter().find(|parameter| parameter.name == key);
            if let Some(value) = parameter.and_then(|parameter| parameter.parse(text)) {
                spec = spec.with(key, value);
            }
        }
        let is_open = |path: &&Path| settings.iter().all(|(key, _)| key != path.parameter);
        Self { spec, variant: variant.into(), path: self.path.filter(is_open), ..self.clone() }
    }

    /// This one with a share of the most rounds, if their number is found in the folds and the table is one that may need
    /// few: large ones nearly always need most, and of small ones most are few.
    pub(super) fn with_share_of_rounds(&self, share: f64, n_rows: usize) -> Option<Self> {
        const MIDDLING: Range<usize> = 500..10_000;
        let most = self.spec.hyperparameters().get("n_estimators")?.as_u64()?;
        let spec = self.spec.with("n_estimators", (most as f64 * share).ceil() as u64);
        (self.finds_rounds && MIDDLING.contains(&n_rows)).then(|| Self { spec, ..self.clone() })
    }

    /// Whether its fits are quick beside those of forests and boosting, and so need not be spared.
    pub(super) fn is_quick(&self) -> bool {
        self.is_simple() || self.spec.algorithm.name == "knn"
    }

    /// What tells it from others of the same algorithm once the value of its path was `found`.
    pub(super) fn found_variant(&self, found: &Spec) -> String {
        let value = self.path.and_then(|path| found.settings.0.get(path.parameter)?.as_f64());
        let of_path = self.path.zip(value).map(|(path, value)| format!("{} {value}", path.parameter));
        let parts = (!self.variant.is_empty()).then(|| self.variant.to_string()).into_iter().chain(of_path);
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Whether a person can read the model: coefficients, shares of classes, or one tree.
    pub(super) fn is_simple(&self) -> bool {
        const SIMPLE: [&str; 5] =
            ["linear-regression", "ridge", "logistic-regression", "naive-bayes", "decision-tree"];
        SIMPLE.contains(&self.spec.algorithm.name)
    }
}

/// Most rounds of boosting whose number is found in the folds. Few rows need few, as each tree fits them closely;
/// beyond that the time counts, and a round of several classes has a tree for each.
fn most_rounds(n_rows: usize, n_classes: usize) -> u64 {
    let rounds = match n_rows {
        0..500 => 200,
        500..10_000 => 1000,
        _ => 500,
    };
    if n_classes > 2 { (rounds * 2 / n_classes as u64).max(rounds.min(300)) } else { rounds }
}

/// Whether it may be better to learn a target of this shape on another scale.
fn suits(scale: TargetScale, TargetShape { skewness, excess_kurtosis, has_negative }: TargetShape) -> bool {
    // The skewness of a normal distribution is 0, of an exponential one 2.
    const MIN_SKEWNESS: f64 = 0.7;
    // The excess kurtosis of a normal distribution is 0, of a logistic one 1.2, of a Laplace one 3.
    const MIN_KURTOSIS: f64 = 2.0;
    match scale {
        TargetScale::AsItIs | TargetScale::Standardised | TargetScale::Residuals => true,
        TargetScale::Log => !has_negative && skewness > MIN_SKEWNESS,
        // Where there is a logarithm, a power is hardly ever better.
        TargetScale::YeoJohnson => skewness.abs() > MIN_SKEWNESS && (has_negative || skewness < 0.0),
        TargetScale::Rank => skewness.abs() > MIN_SKEWNESS || excess_kurtosis > MIN_KURTOSIS,
    }
}

/// The algorithms that may be chosen: one that was named, or the candidates of `auto`, simplest first.
pub(crate) struct Contenders {
    specs: Vec<Contender>,
    /// Whether they are to be compared.
    pub(super) compared: bool,
    /// The reason for the choice if nothing is compared, for people.
    pub(super) reason: String,
}

impl Contenders {
    /// The algorithm of that name with these settings, or, for `auto`, every candidate for the task that takes
    /// all of the settings.
    ///
    /// # Errors
    /// A name, a key or a value that is not known.
    pub(crate) fn of(name: &str, task: Task, settings: &[(String, String)]) -> Result<Self> {
        if name != "auto" {
            let spec = Spec::new(algorithm(name)?, task, settings)?;
            let specs = vec![Contender::given(spec)];
            return Ok(Self { specs, compared: false, reason: "given".into() });
        }
        let known =
            CANDIDATES.iter().filter_map(|c| Some((c, ALGORITHMS.into_iter().find(|a| a.name == c.name)?)));
        let able: Vec<(&'static Candidate, &'static Algorithm)> = known
            .filter(|(c, a)| a.tasks.contains(&task) && c.task.is_none_or(|only| only == task))
            .collect();
        let takes = |a: &Algorithm, key: &str| a.parameters.iter().any(|p| p.name == key);
        for (key, _) in settings {
            if able.iter().any(|(_, a)| takes(a, key)) {
                continue;
            }
            let names = able.iter().flat_map(|(_, a)| a.parameters.iter().map(|p| p.name));
            let hint = did_you_mean(key, names);
            let mut algorithms: Vec<&Algorithm> = able.iter().map(|(_, a)| *a).collect();
            algorithms.dedup_by_key(|a| a.name);
            let lists = algorithms.iter().map(|a| {
                let names: Vec<&str> = a.parameters.iter().map(|p| p.name).collect();
                format!("{}: {}", a.name, names.join(", "))
            });
            return Err(usage(format!(
                "no candidate of auto has a hyperparameter {key:?}{hint}\nknown are:\n{}",
                lists.collect::<Vec<_>>().join("\n")
            )));
        }
        let takes_all = |a: &Algorithm| settings.iter().all(|(key, _)| takes(a, key));
        let mut specs: Vec<Contender> = Vec::new();
        for (candidate, algorithm) in able.into_iter().filter(|(_, a)| takes_all(a)) {
            let is_given = |name: &str| settings.iter().any(|(key, _)| key == name);
            // A preset names all settings.
            let own = candidate.settings.iter().filter(|_| !is_given("preset"));
            let own = own.map(|(key, value)| (key.to_string(), value.to_string()));
            let all: Vec<(String, String)> = own.chain(settings.iter().cloned()).collect();
            let spec = Spec::new(algorithm, task, &all)?;
            let spec = Spec { scale: candidate.scale, columns: candidate.columns, ..spec };
            let is_open = !["n_estimators", "early_stopping", "preset"].into_iter().any(is_given);
            let finds_rounds = algorithm.name == BOOSTING.name && is_open;
            // A sum of two models keeps no direction, and residuals have squared errors.
            if candidate.scale == TargetScale::Residuals && (is_given("monotonic") || is_given("loss")) {
                continue;
            }
            // What is set may leave no difference.
            if specs.iter().all(|known| known.spec != spec) {
                let path = candidate.path.map(|[path, _]| path).filter(|path| !is_given(path.parameter));
                let (variant, candidate) = (candidate.variant.into(), Some(candidate));
                specs.push(Contender { spec, variant, finds_rounds, path, candidate });
            }
        }
        if specs.is_empty() {
            let keys: Vec<&str> = settings.iter().map(|(key, _)| key.as_str()).collect();
            return Err(usage(format!(
                "no algorithm takes all of --set {}; --algorithm NAME says which one is meant",
                keys.join(", ")
            )));
        }
        Ok(Self { specs, compared: true, reason: String::new() })
    }

    /// The algorithms with their settings.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.specs.iter().map(|contender| &contender.spec)
    }

    /// The candidates for a table of this size, simplest first; the simplest of all if no candidate fits.
    /// `n_classes`: 0 for a regression; `shape`: of its target; `has_names`: whether the values of some columns hardly come
    /// again.
    pub(super) fn for_table(
        &self,
        n_rows: usize,
        n_slots: usize,
        n_classes: usize,
        shape: TargetShape,
        has_names: bool,
    ) -> Vec<Contender> {
        let fits = |contender: &&Contender| {
            if !suits(contender.spec.scale, shape) || contender.spec.columns != Columns::All && !has_names {
                return false;
            }
            contender.candidate.is_none_or(|c| {
                c.rows.contains(&n_rows) && n_slots <= c.max_slots && n_classes <= c.max_classes
            })
        };
        let mut specs: Vec<Contender> = self.specs.iter().filter(fits).cloned().collect();
        if specs.is_empty() {
            specs.extend(self.specs.first().cloned());
        }
        for contender in specs.iter_mut().filter(|contender| contender.path.is_some() && n_slots > WIDE) {
            contender.path = contender.candidate.and_then(|candidate| candidate.path).map(|[_, wide]| wide);
        }
        // Growing to the smallest leaves takes long where there are many rows.
        let is_forest =
            |c: &&mut Contender| ["random-forest", "extra-trees"].contains(&c.spec.algorithm.name);
        if n_rows > MAX_LEAF_PATH_ROWS {
            specs.iter_mut().filter(is_forest).for_each(|contender| contender.path = None);
        }
        for contender in specs.iter_mut().filter(|contender| contender.finds_rounds) {
            contender.spec = contender.spec.with("n_estimators", most_rounds(n_rows, n_classes));
        }
        specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::trees::classes::MAX_TREE_CLASSES;

    #[test]
    fn every_candidate_is_a_known_algorithm_and_told_from_the_others() {
        for candidate in &CANDIDATES {
            assert!(algorithm(candidate.name).is_ok(), "{}", candidate.name);
            let is_same = |c: &&Candidate| {
                let of_one_task = c.task.is_none() || candidate.task.is_none() || c.task == candidate.task;
                c.name == candidate.name && c.variant == candidate.variant && of_one_task
            };
            assert_eq!(CANDIDATES.iter().filter(is_same).count(), 1);
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
            found.map(|c| c.specs.iter().map(|s| s.spec.algorithm.name).collect::<Vec<_>>())
        };
        let found = names(&[("max_depth", "3")]).unwrap();
        assert!(found.contains(&"random-forest") && !found.contains(&"logistic-regression"), "{found:?}");
        let error = names(&[("max_dept", "3")]).unwrap_err().to_string();
        assert!(
            error.contains("did you mean \"max_depth\"?") && error.contains("random-forest: "),
            "{error}"
        );
        let error = names(&[("tol", "3"), ("bootstrap", "true")]).unwrap_err().to_string();
        assert!(error.contains("no algorithm takes all of --set tol, bootstrap"), "{error}");
    }

    #[test]
    fn what_is_set_overrides_the_settings_of_a_candidate_and_joins_those_it_makes_the_same() {
        let settings = [("alpha".to_string(), "7".to_string())];
        let found = Contenders::of("auto", Task::Regression, &settings).unwrap();
        let ridges: Vec<_> = found.specs.iter().filter(|c| c.spec.algorithm.name == "ridge").collect();
        assert_eq!(ridges.iter().filter(|ridge| ridge.variant.is_empty()).count(), 1);
        assert_eq!(ridges[0].spec.hyperparameters()["alpha"], 7.0);
        assert_eq!(ridges[0].path, None, "a penalty that is given is kept");
        let rounds = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let found = Contenders::of("auto", Task::Regression, &pairs).unwrap();
            found.specs.iter().filter(|c| c.finds_rounds).count()
        };
        assert!(rounds(&[]) > 1 && rounds(&[("learning_rate", "0.2")]) > 1);
        assert_eq!(rounds(&[("n_estimators", "50")]), 0, "a number that is given is kept");
        let preset = [("preset".to_string(), "scikit-learn".to_string())];
        let found = Contenders::of("auto", Task::Classification, &preset).unwrap();
        let of_all = found.specs.iter().filter(|c| c.spec.columns == Columns::All).count();
        assert_eq!(of_all, 1, "a preset leaves no difference between candidates");
        let boosted = found.specs[0].spec.hyperparameters();
        assert_eq!((&boosted["learning_rate"], &boosted["n_estimators"]), (&0.1.into(), &100.into()));
        assert!(!found.specs[0].finds_rounds);
    }

    #[test]
    fn a_large_or_wide_table_is_not_for_every_candidate_and_what_is_named_is_for_any() {
        let auto = Contenders::of("auto", Task::Classification, &[]).unwrap();
        let names = |n_rows, n_slots| -> Vec<&str> {
            auto.for_table(n_rows, n_slots, 3, TargetShape::default(), false)
                .iter()
                .map(|c| c.spec.algorithm.name)
                .collect()
        };
        let n_penalties = |n_slots| {
            let contenders = auto.for_table(1000, n_slots, 3, TargetShape::default(), false);
            contenders[0].path.map_or(0, |path| path.values.len())
        };
        assert!(n_penalties(WIDE) > n_penalties(WIDE + 1) && n_penalties(WIDE + 1) > 2);
        assert!(names(1000, 10).contains(&"knn") && !names(1000, 101).contains(&"knn"));
        assert!(!names(5001, 10).contains(&"svm") && names(499, 10).contains(&"gradient-boosting"));
        assert_eq!(names(1000, 10)[0], names(1_000_000, 1000)[0], "the simplest takes any table");
        let named = Contenders::of("knn", Task::Classification, &[]).unwrap();
        assert_eq!(named.for_table(1_000_000, 1000, 5000, TargetShape::default(), false).len(), 1);
        let of_classes = |n_classes| -> Vec<&str> {
            auto.for_table(1000, 10, n_classes, TargetShape::default(), false)
                .iter()
                .map(|c| c.spec.algorithm.name)
                .collect()
        };
        assert!(of_classes(200).contains(&"svm") && of_classes(200).contains(&"gradient-boosting"));
        let of_many = of_classes(201);
        assert!(!of_many.contains(&"svm") && !of_many.contains(&"gradient-boosting"), "{of_many:?}");
        assert_eq!(TREE_CLASSES, MAX_TREE_CLASSES);
        assert!(of_many.contains(&"decision-tree") && !of_many.contains(&"random-forest"));
        assert!(of_classes(1023).contains(&"decision-tree") && !of_classes(1024).contains(&"decision-tree"));
    }
}
