//! How an algorithm and its settings were chosen: scores of cross-validation, the leaderboard, the tuning. Part
//! of the card; [`super::learn`] makes it.
//!
//! The metric that decides is log loss for classes (balanced accuracy if the classes count the same) and RMSE for
//! numbers, unless `--metric` says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Mean and standard deviation over folds; `None` if the figure is undefined in a fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: Option<f64>,
    /// The population standard deviation, as `scores.std()` of numpy; `None` for one fold.
    pub std: Option<f64>,
}

impl Spread {
    /// The spread of the scores of all folds.
    pub fn of(scores: &[Option<f64>]) -> Self {
        let known: Option<Vec<f64>> = scores.iter().copied().collect();
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            return Self { mean: None, std: None };
        };
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n;
        let variance = known.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n;
        Self { mean: Some(mean), std: (known.len() > 1).then(|| variance.sqrt()) }
    }
}

/// The scores of fits on rows they had not seen, fold by fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// The name of the metric that decides.
    pub metric: String,
    /// Its value in each fold.
    pub scores: Vec<Option<f64>>,
    /// Its mean and standard deviation.
    #[serde(flatten)]
    pub spread: Spread,
    /// The standard error of the mean, from the rows of all folds; `None` if the mean is undefined.
    pub standard_error: Option<f64>,
    /// Rows that were cut into folds.
    pub n_rows: usize,
    /// The other figures by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Spread>,
}

/// One line of the leaderboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The algorithm.
    pub algorithm: String,
    /// What tells its settings from those of other lines of the algorithm; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Its share of the answer, if it was chosen with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// How well it did, unless it failed.
    #[serde(flatten)]
    pub scores: Option<CrossValidation>,
    /// The reason for having no scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Duration of its fits; not in the model file, which has the same bytes every time.
    #[serde(skip)]
    pub seconds: f64,
}

impl Standing {
    /// The reason of a candidate that was not compared to the end.
    pub(crate) const INTERRUPTED: &str = "interrupted";

    /// Whether it was not compared to the end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.error.as_deref() == Some(Self::INTERRUPTED)
    }
}

/// A round of successive halving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Trials that were compared.
    pub n_trials: usize,
    /// Rows they were compared on.
    pub n_rows: usize,
}

/// The result of the search for hyperparameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Rounds, the last one on all rows of the comparison.
    pub rounds: Vec<Round>,
    /// The trial that won; 0 is the defaults.
    pub trial: usize,
    /// How well the defaults did in the last round.
    pub before: CrossValidation,
    /// How well the winner did in the last round.
    pub after: CrossValidation,
    /// The settings that `--set` makes the winner again with, as `KEY=VALUE`.
    pub set: Vec<String>,
}

/// How the algorithm and its settings were chosen. Empty if both were given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// The candidates of `auto`, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaderboard: Vec<Standing>,
    /// How well the blend of the chosen candidates did, if there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blend: Option<CrossValidation>,
    /// The search for hyperparameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Cross-validation of the chosen algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cv: Option<CrossValidation>,
}

impl Selection {
    /// Whether nothing was compared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_numpys_and_undefined_where_a_fold_is() {
        let spread = Spread::of(&[Some(1.0), Some(2.0), Some(6.0)]);
        assert_eq!(spread, Spread { mean: Some(3.0), std: Some((14.0_f64 / 3.0).sqrt()) });
        assert_eq!(Spread::of(&[Some(1.0), None]), Spread { mean: None, std: None });
        assert_eq!(Spread::of(&[Some(0.5)]), Spread { mean: Some(0.5), std: None });
    }

    #[test]
    fn a_card_without_a_selection_reads_as_an_empty_one_and_others_come_back() {
        assert!(serde_json::from_str::<Selection>("{}").unwrap().is_empty());
        let scores = CrossValidation {
            metric: "r2".into(),
            scores: vec![Some(0.5)],
            spread: Spread::of(&[Some(0.5)]),
            standard_error: None,
            n_rows: 9,
            metrics: BTreeMap::new(),
        };
        let standing = |scores, error| Standing {
            algorithm: "ridge".into(),
            variant: String::new(),
            weight: None,
            chosen: true,
            scores,
            error,
            seconds: 0.0,
        };
        let selection = Selection {
            blend: None,
            leaderboard: vec![standing(Some(scores.clone()), None), standing(None, Some("why".into()))],
            tuning: None,
            cv: Some(scores),
        };
        let text = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection);
    }
}
