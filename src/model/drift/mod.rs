//! Drift: whether new rows, and their predictions, still look like those of training.
//!
//! The distributions of the training rows are those that every model file has: percentiles of numbers (deciles in older
//! files), counts of levels, and the classes predicted for the held-out rows. `mlapi drift` counts the rows of a file in them, a server those of its
//! window; [`Counts::drift`] judges both.

pub(crate) mod bins;
pub(crate) mod distribution;
pub mod gate;
mod statistics;

use std::collections::HashSet;

use serde::Serialize;

use super::Model;
use super::pipeline::Predictions;
use crate::data::cells::cell::{ColumnType, Task};
use crate::data::cells::feature::Histogram;
use crate::data::cells::matrix::Matrix;
use bins::{Bins, psi};

/// With fewer rows the index of ten bins is noise.
pub(crate) const MIN_ROWS: u64 = 100;

/// An index above this, if it is no accident, is drift that should be watched.
const DRIFTING: f64 = 0.1;

/// An index above this, if it is no accident, means that the rows have shifted.
const DRIFTED: f64 = 0.25;

/// The corrected p-value below which a difference is no accident.
const ALPHA: f64 = 0.05;

/// The thresholds of the verdicts.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Thresholds {
    drifting_psi: f64,
    drifted_psi: f64,
    p_adjusted: f64,
    min_rows: u64,
}

/// How much a distribution has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A small index, or one that may be an accident.
    Stable,
    /// An index above 0.1 that is no accident.
    Drifting,
    /// An index above 0.25 that is no accident.
    Drifted,
}

impl Verdict {
    fn of(psi: f64, p_adjusted: f64) -> Self {
        match psi {
            _ if p_adjusted >= ALPHA => Self::Stable,
            psi if psi > DRIFTED => Self::Drifted,
            psi if psi > DRIFTING => Self::Drifting,
            _ => Self::Stable,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Drifting => "drifting",
            Self::Drifted => "drifted",
        }
    }
}

/// A share in the training rows and in the new ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shares {
    /// Of the training rows.
    pub train: Option<f64>,
    /// Of the new rows.
    pub new: Option<f64>,
}

/// The drift of one feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// Its name.
    pub feature: String,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The population stability index; `None` of fewer than 100 rows, and if the model file has no distribution.
    pub psi: Option<f64>,
    /// The test of the values: `ks` at percentiles of the training rows, or `chi-square` of the levels.
    pub test: Option<&'static str>,
    /// Its statistic.
    pub statistic: Option<f64>,
    /// `lower` if the statistic is a lower bound, as that of `ks` at the deciles of an older model file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic_bound: Option<&'static str>,
    /// Its p-value; that of `ks` is an upper bound.
    pub p_value: Option<f64>,
    /// The least p-value of values and missing values, corrected for all tests by Holm.
    pub p_adjusted: Option<f64>,
    /// Missing values.
    pub missing: Shares,
    /// The share of the new rows with a level that training did not see.
    pub unseen: f64,
    /// The share of the new rows with a number below or above those of training.
    pub out_of_range: f64,
    /// The verdict; `None` without an index.
    pub verdict: Option<Verdict>,
}

/// The drift of the predictions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PredictionDrift {
    /// The index of the predicted classes, or of the deciles of the predicted numbers.
    pub psi: Option<f64>,
    /// The test: `chi-square` of the classes or `ks` of the numbers.
    pub test: Option<&'static str>,
    /// Its statistic.
    pub statistic: Option<f64>,
    /// `lower` if the statistic is a lower bound, as that of `ks` at deciles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic_bound: Option<&'static str>,
    /// Its p-value.
    pub p_value: Option<f64>,
    /// The verdict; `None` without an index.
    pub verdict: Option<Verdict>,
}

/// How well a classifier tells new rows from training rows by one feature more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Telling {
    /// The feature.
    pub feature: String,
    /// Its share of the classifier's importances.
    pub share: f64,
}

/// New rows with the values of rows of the training file in all columns, texts aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KnownRows {
    /// Of rows that were held out.
    pub held_out: usize,
    /// Of rows that the model was fitted on; `None` if they are not in the file of the held-out ones.
    pub training: Option<usize>,
}

impl KnownRows {
    /// Counts the new rows that are among held-out rows, and among those of training.
    pub(crate) fn count(model: &Model, held_out: &Matrix, training: Option<&Matrix>, new: &Matrix) -> Self {
        let features = &model.pipeline.schema.features;
        // The code of a text is its place, which differs from file to file.
        let key = |row: &[f64]| -> Vec<u64> {
            let bits = features.iter().zip(row).map(|(feature, code)| match feature.column_type {
                _ if code.is_nan() => u64::MAX,
                ColumnType::Text => 0,
                // 0 and -0 are one value.
                _ => (code + 0.0).to_bits(),
            });
            bits.collect()
        };
        let among = |known: &Matrix| {
            let known: HashSet<Vec<u64>> = known.rows().map(key).collect();
            new.rows().filter(|row| known.contains(&key(row))).count()
        };
        Self { held_out: among(held_out), training: training.map(among) }
    }

    /// A remark, if they are more than some that chance makes alike.
    pub(crate) fn remark(&self, n_rows: usize) -> Option<String> {
        let training = self.training.unwrap_or(0);
        if (self.held_out + training) * 20 <= n_rows {
            return None;
        }
        Some(format!(
            "of the {n_rows} new rows {training} have the values of a row that the model was trained on, and {} those of a \
             row that was held out; if they are the same rows, they show no drift{}",
            self.held_out,
            if self.held_out > 0 { ", and the domain classifier's AUC is too low" } else { "" }
        ))
    }
}

/// The drift of some rows.
#[derive(Debug, Clone, Serialize)]
pub struct Drift {
    /// The new rows.
    pub n_rows: u64,
    /// All features in the order of the model.
    pub features: Vec<FeatureDrift>,
    /// The predictions.
    pub predictions: PredictionDrift,
    /// The cross-validated ROC AUC of a classifier that tells new rows from held-out ones: 0.5 if they are alike.
    pub domain_auc: Option<f64>,
    /// The features that it tells them by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain_features: Vec<Telling>,
    /// New rows that the model knows, as far as its training file can be read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_rows: Option<KnownRows>,
    /// The worst verdict.
    pub verdict: Option<Verdict>,
    /// The thresholds of the verdicts.
    pub thresholds: Thresholds,
    /// Remarks: figures that are missing, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The predictions that new ones are compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    /// Held-out rows of each predicted class.
    Classes(Vec<f64>),
    /// Held-out rows between the deciles of the predicted numbers.
    Values { edges: Vec<f64>, counts: Vec<f64> },
    /// None are known.
    Unknown,
}

impl Expected {
    /// The classes that the evaluation at training predicted, which its card holds; numbers are not in it.
    pub(crate) fn of_card(model: &Model) -> Self {
        match &model.card.evaluation.confusion_matrix {
            Some(matrix) => {
                let n_classes = model.labels().len();
                let of_class =
                    |class| matrix.counts.iter().filter_map(|row| row.get(class)).map(|&n| n as f64).sum();
                Self::Classes((0..n_classes).map(of_class).collect())
            }
            None => Self::Unknown,
        }
    }

    /// Predicted numbers of held-out rows.
    pub(crate) fn of_values(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return Self::Unknown };
        let mut edges: Vec<f64> = (1..10).map(|decile| sorted[last * decile / 10]).collect();
        edges.dedup();
        let mut counts = vec![0.0; edges.len() + 1];
        values.iter().for_each(|value| counts[Histogram::bin(&edges, *value)] += 1.0);
        Self::Values { edges, counts }
    }

    /// The bins that predictions are counted in.
    pub(crate) fn n_bins(&self) -> usize {
        match self {
            Self::Classes(counts) | Self::Values { counts, .. } => counts.len(),
            Self::Unknown => 0,
        }
    }

    /// The bin of each prediction.
    pub(crate) fn bins<'a>(&'a self, predictions: &'a Predictions) -> impl Iterator<Item = usize> + 'a {
        (0..predictions.scores.n_rows()).filter_map(move |row| match self {
            Self::Classes(_) => predictions.classes.get(row).map(|&class| class as usize),
            Self::Values { edges, .. } => Some(Histogram::bin(edges, predictions.scores.row(row)[0])),
            Self::Unknown => None,
        })
    }
}

/// Counts of new rows.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// For each feature the rows of each cell of its bins.
    pub(crate) features: Vec<Vec<u64>>,
    /// The rows of each bin of predictions.
    pub(crate) predictions: Vec<u64>,
    pub(crate) n_rows: u64,
}

impl Counts {
    /// Counts rows of codes and their predictions.
    pub(crate) fn of(bins: &[Bins], expected: &Expected, codes: &Matrix, predictions: &Predictions) -> Self {
        let mut counts = Self {
            features: bins.iter().map(|bins| vec![0; bins.n_cells()]).collect(),
            predictions: vec![0; expected.n_bins()],
            n_rows: codes.n_rows() as u64,
        };
        for row in codes.rows() {
            for ((bins, cells), code) in bins.iter().zip(&mut counts.features).zip(row) {
                bins.cells(*code).into_iter().flatten().for_each(|cell| cells[cell] += 1);
            }
        }
        expected.bins(predictions).for_each(|bin| counts.predictions[bin] += 1);
        counts
    }

    /// Judges the counts.
    pub(crate) fn drift(&self, model: &Model, bins: &[Bins], expected: &Expected) -> Drift {
        let schema = &model.pipeline.schema;
        let is_enough = self.n_rows >= MIN_ROWS;
        let share = |n: u64| if self.n_rows > 0 { n as f64 / self.n_rows as f64 } else { 0.0 };
        let measured: Vec<Measured> = bins
            .iter()
            .zip(&self.features)
            .map(|(bins, cells)| Measured::of(bins, cells, self.n_rows))
            .collect();
        let p_values: Vec<f64> = measured.iter().flat_map(|m| m.p_values).flatten().collect();
        let mut adjusted = statistics::holm(&p_values).into_iter();
        let features = schema.features.iter().zip(bins).zip(&self.features).zip(measured).map(
            |(((feature, bins), cells), measured)| {
                let own = measured.p_values.iter().flatten().filter_map(|_| adjusted.next());
                let p_adjusted = own.reduce(f64::min);
                let index = measured.psi.filter(|_| is_enough);
                let trained: f64 = bins.trained.iter().sum();
                let n_train = if bins.has_values() { trained } else { model.card.n_train as f64 };
                FeatureDrift {
                    feature: feature.name.clone(),
                    column_type: feature.column_type,
                    psi: index,
                    test: measured.test,
                    statistic: measured.statistic,
                    statistic_bound: bound(measured.test).filter(|_| !bins.is_fine()),
                    p_value: measured.p_values[0],
                    p_adjusted,
                    missing: Shares {
                        train: (n_train > 0.0).then(|| bins.trained_missing() / n_train),
                        new: (self.n_rows > 0).then(|| share(cells[bins.missing()])),
                    },
                    unseen: share(cells[bins.unseen()]),
                    out_of_range: share(cells[bins.out_of_range()]),
                    verdict: index.map(|index| Verdict::of(index, p_adjusted.unwrap_or(1.0))),
                }
            },
        );
        let features: Vec<FeatureDrift> = features.collect();
        let predictions = self.prediction_drift(expected, is_enough);
        let mut notes = Vec::new();
        if !is_enough {
            notes.push(format!(
                "{} rows are too few for a stability index, which needs {MIN_ROWS}",
                self.n_rows
            ));
        }
        if matches!(expected, Expected::Unknown) {
            notes.push(match schema.target.task {
                Task::Classification => "the model file does not hold the classes predicted for its held-out rows".into(),
                Task::Regression => {
                    "the model file does not hold the predictions of its held-out rows, so new ones are not compared".into()
                }
            });
        }
        let verdicts = features.iter().filter_map(|feature| feature.verdict).chain(predictions.verdict);
        Drift {
            n_rows: self.n_rows,
            verdict: verdicts.max(),
            features,
            predictions,
            domain_auc: None,
            domain_features: Vec::new(),
            known_rows: None,
            thresholds: Thresholds {
                drifting_psi: DRIFTING,
                drifted_psi: DRIFTED,
                p_adjusted: ALPHA,
                min_rows: MIN_ROWS,
            },
            notes,
        }
    }

    fn prediction_drift(&self, expected: &Expected, is_enough: bool) -> PredictionDrift {
        let new: Vec<f64> = self.predictions.iter().map(|&n| n as f64).collect();
        let n_new: f64 = new.iter().sum();
        let (test, trained, found) = match expected {
            Expected::Unknown => return PredictionDrift::default(),
            _ if n_new == 0.0 => return PredictionDrift::default(),
            Expected::Classes(counts) => ("chi-square", counts, statistics::chi_square(counts, &new)),
            Expected::Values { counts, .. } => ("ks", counts, ks(counts, &new, [counts.iter().sum(), n_new])),
        };
        let index = is_enough.then(|| psi(trained, &new));
        PredictionDrift {
            psi: index,
            test: Some(test),
            statistic: found.map(|(statistic, _)| statistic),
            statistic_bound: bound(Some(test)),
            p_value: found.map(|(_, p_value)| p_value),
            verdict: index.map(|index| Verdict::of(index, found.map_or(1.0, |(_, p)| p))),
        }
    }
}

/// Whether the statistic of a test is a bound.
fn bound(test: Option<&str>) -> Option<&'static str> {
    (test == Some("ks")).then_some("lower")
}

/// The figures of one feature.
struct Measured {
    psi: Option<f64>,
    test: Option<&'static str>,
    statistic: Option<f64>,
    /// Of the values, and of missing values.
    p_values: [Option<f64>; 2],
}

impl Measured {
    fn of(bins: &Bins, cells: &[u64], n_rows: u64) -> Self {
        let new = bins.rows_of_bins(cells);
        let none = Self { psi: None, test: None, statistic: None, p_values: [None, None] };
        if n_rows == 0 || !bins.has_values() {
            return none;
        }
        let index = Some(psi(&bins.trained, &new));
        if bins.column_type() == ColumnType::Category {
            let found = statistics::chi_square(&bins.trained, &new);
            return Self {
                psi: index,
                test: Some("chi-square"),
                statistic: found.map(|(statistic, _)| statistic),
                p_values: [found.map(|(_, p)| p), None],
            };
        }
        let last = new.len() - 1;
        let split = |counts: &[f64]| [counts[last], counts[..last].iter().sum()];
        let (trained, of_new) = (split(&bins.trained), split(&new));
        let of_missing = statistics::chi_square(&trained, &of_new);
        let values: Vec<f64> = cells[..bins.missing()].iter().map(|&n| n as f64).collect();
        let found = ks(&bins.values, &values, [trained[1], of_new[1]]);
        Self {
            psi: index,
            test: Some("ks"),
            statistic: found.map(|(statistic, _)| statistic),
            p_values: [found.map(|(_, p)| p), of_missing.map(|(_, p)| p)],
        }
    }
}

/// The Kolmogorov-Smirnov test of counts in the same bins, of so many training rows and new ones. Between the edges of the
/// bins the distributions are not known, so the statistic is a lower bound and the p-value an upper one: by as much as a
/// bin has of the training rows.
fn ks(trained: &[f64], new: &[f64], [n, m]: [f64; 2]) -> Option<(f64, f64)> {
    (n > 0.0 && m > 0.0).then(|| {
        let statistic = statistics::ks_statistic(trained, new);
        (statistic, statistics::ks_p_value(statistic, n, m))
    })
}

/// The bins of all features of a model.
pub(crate) fn bins_of(model: &Model) -> Vec<Bins> {
    model.pipeline.schema.features.iter().map(Bins::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn model(file: &str) -> Model {
        let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        Plan { algorithm: "tree".into(), ..Plan::new(path) }.train().unwrap()
    }

    /// Rows of codes of a model: of each feature those at random places between its deciles, `shift` bins on.
    fn rows(model: &Model, n: usize, change: impl Fn(usize, usize, f64) -> f64) -> Matrix {
        let features = &model.pipeline.schema.features;
        let mut codes = Matrix::with_capacity(n, features.len());
        for i in 0..n {
            let row = codes.push_row(0.0);
            for (j, feature) in features.iter().enumerate() {
                let code = match feature.column_type {
                    ColumnType::Category => {
                        let total: u64 = feature.counts.iter().sum();
                        let mut at = (i as u64 * total / n as u64) as i64;
                        feature
                            .counts
                            .iter()
                            .position(|&n| {
                                at -= n as i64;
                                at < 0
                            })
                            .unwrap_or(0) as f64
                    }
                    _ => {
                        let histogram = feature.histogram.as_ref().unwrap();
                        let total: u64 = histogram.counts.iter().sum();
                        let mut at = (i as u64 * total / n as u64) as i64;
                        let bin = histogram
                            .counts
                            .iter()
                            .position(|&n| {
                                at -= n as i64;
                                at < 0
                            })
                            .unwrap_or(0);
                        histogram.edges.get(bin).copied().unwrap_or(feature.max)
                    }
                };
                row[j] = change(i, j, code);
            }
        }
        codes
    }

    fn drift(model: &Model, codes: &Matrix) -> Drift {
        let (bins, expected) = (bins_of(model), Expected::of_card(model));
        let predictions = model.pipeline.predict(codes, model.pipeline.decision());
        Counts::of(&bins, &expected, codes, &predictions).drift(model, &bins, &expected)
    }

    #[test]
    fn rows_like_those_of_training_are_stable_and_what_has_shifted_is_named() {
        let model = model("penguins.csv");
        let same = drift(&model, &rows(&model, 400, |_, _, code| code));
        assert!(same.features.iter().all(|feature| feature.verdict == Some(Verdict::Stable)), "{same:?}");
        let names: Vec<&str> = model.pipeline.schema.features.iter().map(|f| f.name.as_str()).collect();
        let at = |name: &str| names.iter().position(|known| *known == name).unwrap();
        let (shifted, gone, level) = (at("body_mass_g"), at("flipper_length_mm"), at("island"));
        let codes = rows(&model, 400, |i, j, code| match j {
            _ if j == shifted => code + 800.0,
            _ if j == gone && i % 2 == 0 => f64::NAN,
            _ if j == level && i % 3 == 0 => crate::data::cells::cell::UNSEEN,
            _ => code,
        });
        let found = drift(&model, &codes);
        for j in [shifted, gone, level] {
            let feature = &found.features[j];
            assert_eq!(feature.verdict, Some(Verdict::Drifted), "{feature:?}");
            assert!(feature.p_adjusted.unwrap() < 1e-6);
        }
        for name in ["bill_depth_mm", "year"] {
            assert_eq!(found.features[at(name)].verdict, Some(Verdict::Stable), "{name}");
        }
        assert!((found.features[level].unseen - 134.0 / 400.0).abs() < 1e-12);
        assert_eq!(found.features[gone].missing.new, Some(0.5));
        assert_eq!(found.verdict, Some(Verdict::Drifted));
    }

    #[test]
    fn few_rows_have_no_index_and_numbers_no_known_predictions() {
        let model = model("diabetes.csv");
        let found = drift(&model, &rows(&model, 99, |_, _, code| code));
        assert!(found.features.iter().all(|f| f.psi.is_none() && f.verdict.is_none()));
        assert_eq!((found.predictions.psi, found.notes.len()), (None, 2));
        let expected = Expected::of_values(&(0..100).map(f64::from).collect::<Vec<_>>());
        assert_eq!(expected.n_bins(), 10);
    }
}
