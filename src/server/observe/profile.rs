//! Counters of a model's inputs and outputs: predictions of each class, unusual values of each feature, and the
//! drift of each feature from the training rows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::background::{ROWS_AT_A_TIME, give_way};
use crate::data::cells::cell::{ColumnType, UNSEEN};
use crate::data::cells::feature::{Feature, Histogram};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::model::pipeline::Predictions;

/// The bins of one feature with their counts.
#[derive(Debug)]
struct Column {
    name: String,
    column_type: ColumnType,
    min: f64,
    max: f64,
    /// The upper bounds of all bins of numbers but the last; empty if the model file has no histogram.
    edges: Vec<f64>,
    /// The share of the training rows in each bin; the last is for missing values, the one before it of a
    /// category for unseen levels.
    expected: Vec<f64>,
    seen: Vec<AtomicU64>,
    missing: AtomicU64,
    unseen: AtomicU64,
    out_of_range: AtomicU64,
}

/// Counts of one model's features and classes.
#[derive(Debug)]
pub(crate) struct Profile {
    columns: Vec<Column>,
    labels: Vec<String>,
    classes: Vec<AtomicU64>,
}

/// The unusual values of one feature, and its drift.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureCounts<'a> {
    /// The feature's name.
    pub(crate) name: &'a str,
    /// `missing_value`, `unseen_category`, `out_of_range`, as warnings call them.
    pub(crate) counts: [(&'static str, u64); 3],
    /// The population stability index; `None` if the model file has no distribution to compare with, or too few
    /// rows have come.
    pub(crate) psi: Option<f64>,
}

/// With fewer rows the index of ten bins is noise.
const MIN_ROWS_FOR_PSI: u64 = 100;

/// The share of an empty bin; 0 would make the index infinite.
const LEAST_SHARE: f64 = 1e-4;

/// Levels of a category with a bin of their own; the others share one.
const MAX_LEVEL_BINS: usize = 64;

impl Profile {
    /// Nothing counted yet.
    pub(crate) fn new(schema: &Schema) -> Self {
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let labels = schema.target.labels.clone();
        Self {
            columns: schema.features.iter().map(|feature| Column::new(feature, zeros)).collect(),
            classes: zeros(labels.len()),
            labels,
        }
    }

    /// Whether both count the same features, bins and classes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same = |(a, b): (&Column, &Column)| {
            (&a.name, a.column_type, &a.edges, &a.expected, a.min, a.max)
                == (&b.name, b.column_type, &b.edges, &b.expected, b.min, b.max)
        };
        self.labels == other.labels
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
    }

    /// Counts rows of codes (`n_rows × n_features`) and their predictions.
    pub(crate) fn observe(&self, codes: &Matrix, predictions: &Predictions) {
        for start in (0..codes.n_rows()).step_by(ROWS_AT_A_TIME) {
            let end = codes.n_rows().min(start + ROWS_AT_A_TIME);
            for (j, column) in self.columns.iter().enumerate() {
                (start..end).for_each(|row| column.add(codes.row(row)[j]));
            }
            give_way();
        }
        for &class in &predictions.classes {
            if let Some(count) = self.classes.get(class as usize) {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// The predictions of each class so far.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.labels.iter().map(String::as_str).zip(self.classes.iter().map(|count| count.load(Relaxed)))
    }

    /// The counts of each feature so far.
    pub(crate) fn features(&self) -> impl Iterator<Item = FeatureCounts<'_>> {
        self.columns.iter().map(|column| FeatureCounts {
            name: &column.name,
            counts: [
                ("missing_value", column.missing.load(Relaxed)),
                ("unseen_category", column.unseen.load(Relaxed)),
                ("out_of_range", column.out_of_range.load(Relaxed)),
            ],
            psi: column.psi(),
        })
    }
}

impl Column {
    fn new(feature: &Feature, zeros: impl Fn(usize) -> Vec<AtomicU64>) -> Self {
        let mut edges = Vec::new();
        let mut counts: Vec<f64> = Vec::new();
        match feature.column_type {
            ColumnType::Category => {
                // In the order of the levels, so that a code is a bin; the levels beyond share the last.
                counts = feature.counts.iter().take(MAX_LEVEL_BINS).map(|&n| n as f64).collect();
                // Of a hostile model file they may be more than fit a whole number.
                counts.push(feature.counts.iter().skip(MAX_LEVEL_BINS).map(|&n| n as f64).sum());
            }
            _ => {
                if let Some(histogram) = &feature.histogram {
                    edges.clone_from(&histogram.edges);
                    counts = histogram.counts.iter().map(|&n| n as f64).collect();
                }
            }
        }
        if !counts.is_empty() {
            counts.push(feature.missing as f64);
        }
        let total: f64 = counts.iter().sum();
        let expected: Vec<f64> = counts.iter().map(|n| n / total.max(1.0)).collect();
        let seen = zeros(expected.len());
        Self {
            name: feature.name.clone(),
            column_type: feature.column_type,
            min: feature.min,
            max: feature.max,
            edges,
            expected,
            seen,
            missing: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            out_of_range: AtomicU64::new(0),
        }
    }

    fn add(&self, code: f64) {
        let n_bins = self.seen.len();
        let bin = if code.is_nan() {
            self.missing.fetch_add(1, Relaxed);
            n_bins.wrapping_sub(1)
        } else if self.column_type == ColumnType::Category {
            if code == UNSEEN {
                self.unseen.fetch_add(1, Relaxed);
                n_bins.wrapping_sub(2)
            } else {
                (code as usize).min(n_bins.wrapping_sub(2))
            }
        } else {
            if code < self.min || code > self.max {
                self.out_of_range.fetch_add(1, Relaxed);
            }
            Histogram::bin(&self.edges, code)
        };
        if let Some(count) = self.seen.get(bin) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Σ (seen − expected) · ln(seen / expected) over the bins.
    ///
    /// Source: N. Siddiqi, Credit Risk Scorecards (Wiley 2006), chapter 9: below 0.1 no change that matters,
    /// 0.1 to 0.25 a slight one, above 0.25 the population has shifted.
    fn psi(&self) -> Option<f64> {
        let seen: Vec<u64> = self.seen.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = seen.iter().sum();
        if total < MIN_ROWS_FOR_PSI {
            return None;
        }
        let term = |(&n, &expected): (&u64, &f64)| {
            let share = (n as f64 / total as f64).max(LEAST_SHARE);
            let expected = expected.max(LEAST_SHARE);
            (share - expected) * (share / expected).ln()
        };
        Some(seen.iter().zip(&self.expected).map(term).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::table;
    use crate::data::cells::table::Table;
    use crate::data::cells::target::Target;

    fn profile() -> Profile {
        let table = Table {
            source: "t.csv".into(),
            names: vec!["x".into(), "c".into(), "y".into()],
            columns: vec![
                table::Column::Number((0..1000).map(f64::from).collect()),
                table::Column::Category {
                    codes: (0..1000).map(|i| i % 2).collect(),
                    levels: vec!["a".into(), "b".into()],
                },
                table::Column::Number(vec![0.0; 1000]),
            ],
            lines: (2..1002).collect::<Vec<u64>>().into(),
        };
        let labels = vec!["no".to_string(), "yes".into()];
        let target = Target {
            name: "y".into(),
            task: Task::Classification,
            labels,
            numeric_labels: false,
            notation: None,
        };
        let types = [(0, ColumnType::Number), (1, ColumnType::Category)];
        let rows: Vec<usize> = (0..1000).collect();
        Profile::new(&Schema::fit(&table, &types, target, vec![], &rows))
    }

    fn observe(profile: &Profile, rows: impl Iterator<Item = [f64; 2]>) {
        let mut codes = Matrix::with_capacity(1, 2);
        rows.for_each(|row| codes.push_row(0.0).copy_from_slice(&row));
        let classes = vec![1; codes.n_rows()];
        profile.observe(&codes, &Predictions { scores: Matrix::zeros(codes.n_rows(), 2), classes });
    }

    #[test]
    fn rows_like_those_of_training_have_not_drifted_and_shifted_ones_have() {
        let same = profile();
        observe(&same, (0..1000).map(|i| [f64::from(i), f64::from(i % 2)]));
        assert!(same.features().all(|f| f.psi.unwrap() < 1e-6), "{:?}", same.features().collect::<Vec<_>>());
        assert_eq!(same.classes().collect::<Vec<_>>(), [("no", 0), ("yes", 1000)]);
        let shifted = profile();
        observe(&shifted, (0..1000).map(|i| [f64::from(i / 2), 0.0]));
        // Twice the share in five bins of ten, and none in the others:
        // 5 (0.2 − 0.1) ln 2 + 5 (0.0001 − 0.1) ln 0.001.
        let expected = 0.5 * 2_f64.ln() + 5.0 * (0.0001 - 0.1) * 0.001_f64.ln();
        let psi: Vec<f64> = shifted.features().map(|f| f.psi.unwrap()).collect();
        assert!((psi[0] - expected).abs() < 0.05, "{} is not {expected}", psi[0]);
        assert!(psi[1] > 0.25);
    }

    #[test]
    fn unusual_values_are_counted_for_their_feature_and_few_rows_say_nothing() {
        let profile = profile();
        observe(&profile, [[f64::NAN, UNSEEN], [5000.0, f64::NAN], [1.0, 1.0]].into_iter());
        let found: Vec<_> = profile.features().collect();
        assert_eq!(found[0].counts.map(|c| c.1), [1, 0, 1]);
        assert_eq!(found[1].counts.map(|c| c.1), [1, 1, 0]);
        assert!(found.iter().all(|f| f.psi.is_none()));
    }
}
