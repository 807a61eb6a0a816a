//! The algorithms that may be chosen: one that was named, or those that `auto` compares.

use std::ops::RangeInclusive;

use anyhow::Result;

use crate::data::cells::cell::Task;
use crate::model::learn::{ALGORITHMS, Algorithm, Spec, algorithm, usage};
use crate::names::did_you_mean;

/// An algorithm that `auto` may compare, and the sizes of tables it is compared on.
struct Candidate {
    name: &'static str,
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

/// The candidates of `auto`, simplest first: the simpler one is easier to read, stores less, and overfits less. The
/// linear models come before naive Bayes, which is as small but far too sure of itself (Niculescu-Mizil and Caruana
/// 2005, "Predicting good probabilities with supervised learning").
///
/// Not here: lasso and elastic net, whose default penalty depends on the unit of the target, and the multilayer
/// perceptron, which takes longer than all others together.
static CANDIDATES: [Candidate; 10] = [
    Candidate { name: "linear-regression", rows: ANY, max_slots: usize::MAX, max_classes: usize::MAX },
    Candidate { name: "ridge", rows: ANY, max_slots: usize::MAX, max_classes: usize::MAX },
    Candidate { name: "logistic-regression", rows: ANY, max_slots: usize::MAX, max_classes: usize::MAX },
    Candidate { name: "naive-bayes", rows: ANY, max_slots: usize::MAX, max_classes: usize::MAX },
    Candidate { name: "decision-tree", rows: ANY, max_slots: usize::MAX, max_classes: TREE_CLASSES },
    // Distances say little in many columns, and every prediction looks at the training rows.
    Candidate { name: "knn", rows: 0..=10_000, max_slots: 100, max_classes: usize::MAX },
    Candidate { name: "random-forest", rows: ANY, max_slots: usize::MAX, max_classes: MANY_CLASSES },
    Candidate { name: "extra-trees", rows: ANY, max_slots: usize::MAX, max_classes: MANY_CLASSES },
    // Its time grows with the square of the rows.
    Candidate { name: "svm", rows: 0..=5_000, max_slots: usize::MAX, max_classes: MANY_CLASSES },
    // Leaves of 20 rows leave a small table few splits, and its time grows with the rounds all the same.
    Candidate {
        name: "gradient-boosting",
        rows: 500..=usize::MAX,
        max_slots: usize::MAX,
        max_classes: MANY_CLASSES,
    },
];

/// The algorithms that may be chosen: one that was named, or the candidates of `auto`, simplest first.
pub(crate) struct Contenders {
    specs: Vec<Spec>,
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
            let hint = did_you_mean(key, names);
            let lists = able.iter().map(|a| {
                let names: Vec<&str> = a.parameters.iter().map(|p| p.name).collect();
                format!("{}: {}", a.name, names.join(", "))
            });
            return Err(usage(format!(
                "no candidate of auto has a hyperparameter {key:?}{hint}\nknown are:\n{}",
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

    /// The candidates for a table of this size, simplest first; the simplest of all if no candidate fits.
    /// `n_classes`: 0 for a regression.
    pub(super) fn for_table(&self, n_rows: usize, n_slots: usize, n_classes: usize) -> Vec<&Spec> {
        let fits = |spec: &&Spec| {
            let candidate = CANDIDATES.iter().find(|c| c.name == spec.algorithm.name);
            candidate.is_none_or(|c| {
                c.rows.contains(&n_rows) && n_slots <= c.max_slots && n_classes <= c.max_classes
            })
        };
        let mut specs: Vec<&Spec> = self.specs.iter().filter(fits).collect();
        if specs.is_empty() {
            specs.extend(self.specs.first());
        }
        specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::trees::classes::MAX_TREE_CLASSES;

    #[test]
    fn every_algorithm_has_one_place_in_the_order_of_simplicity_at_most() {
        for candidate in &CANDIDATES {
            assert!(algorithm(candidate.name).is_ok(), "{}", candidate.name);
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
        assert!(
            error.contains("did you mean \"max_depth\"?") && error.contains("random-forest: "),
            "{error}"
        );
        let error = names(&[("tol", "3"), ("bootstrap", "true")]).unwrap_err().to_string();
        assert!(error.contains("no algorithm takes all of --set tol, bootstrap"), "{error}");
    }

    #[test]
    fn a_large_or_wide_table_is_not_for_every_candidate_and_what_is_named_is_for_any() {
        let auto = Contenders::of("auto", Task::Classification, &[]).unwrap();
        let names = |n_rows, n_slots| -> Vec<&str> {
            auto.for_table(n_rows, n_slots, 3).iter().map(|spec| spec.algorithm.name).collect()
        };
        assert!(names(1000, 10).contains(&"knn") && !names(1000, 101).contains(&"knn"));
        assert!(!names(5001, 10).contains(&"svm") && !names(499, 10).contains(&"gradient-boosting"));
        assert_eq!(names(1000, 10)[0], names(1_000_000, 1000)[0], "the simplest takes any table");
        let named = Contenders::of("knn", Task::Classification, &[]).unwrap();
        assert_eq!(named.for_table(1_000_000, 1000, 5000).len(), 1);
        let of_classes = |n_classes| -> Vec<&str> {
            auto.for_table(1000, 10, n_classes).iter().map(|spec| spec.algorithm.name).collect()
        };
        assert!(of_classes(200).contains(&"svm") && of_classes(200).contains(&"gradient-boosting"));
        let of_many = of_classes(201);
        assert!(!of_many.contains(&"svm") && !of_many.contains(&"gradient-boosting"), "{of_many:?}");
        assert_eq!(TREE_CLASSES, MAX_TREE_CLASSES);
        assert!(of_many.contains(&"decision-tree") && !of_many.contains(&"random-forest"));
        assert!(of_classes(1023).contains(&"decision-tree") && !of_classes(1024).contains(&"decision-tree"));
    }
}
