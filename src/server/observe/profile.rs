//! Counters of a model's inputs and outputs: predictions of each class, unusual values of each feature, and the
//! drift of features and predictions in a window of the latest rows. What drift is, [`crate::model::drift`] says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::background::{ROWS_AT_A_TIME, give_way};
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::model::Model;
use crate::model::drift::bins::{Bins, psi};
use crate::model::drift::{Counts, Drift, Expected, MIN_ROWS};
use crate::model::pipeline::Predictions;
use crate::report::html;

/// Rows after which the older half of the window is forgotten: drift is judged by the last 10,000 to 20,000 rows.
const HALF_WINDOW: u64 = 10_000;

/// One feature: its bins, and what is counted since the start.
#[derive(Debug)]
struct Column {
    name: String,
    bins: Bins,
    missing: AtomicU64,
    unseen: AtomicU64,
    out_of_range: AtomicU64,
}

/// The counts of a half of the window.
#[derive(Debug)]
struct Half {
    /// The rows of each cell of the bins of each feature.
    features: Vec<Vec<AtomicU64>>,
    predictions: Vec<AtomicU64>,
    n_rows: AtomicU64,
}

/// Counts of one model's features and classes.
#[derive(Debug)]
pub(crate) struct Profile {
    columns: Vec<Column>,
    labels: Vec<String>,
    classes: Vec<AtomicU64>,
    expected: Expected,
    /// The half that rows are counted in, and the one before it.
    window: [Half; 2],
    current: AtomicUsize,
    /// Held by the thread that clears a half.
    turning: Mutex<()>,
}

/// The unusual values of one feature, and its drift.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureCounts<'a> {
    /// The feature's name.
    pub(crate) name: &'a str,
    /// `missing_value`, `unseen_category`, `out_of_range`, as warnings call them.
    pub(crate) counts: [(&'static str, u64); 3],
    /// The population stability index of the window; `None` if the model file has no distribution to compare with, or
    /// too few rows have come.
    pub(crate) psi: Option<f64>,
}

fn zeros(n: usize) -> Vec<AtomicU64> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

impl Half {
    fn new(columns: &[Column], n_predictions: usize) -> Self {
        Self {
            features: columns.iter().map(|column| zeros(column.bins.n_cells())).collect(),
            predictions: zeros(n_predictions),
            n_rows: AtomicU64::new(0),
        }
    }

    fn clear(&self) {
        self.features.iter().flatten().chain(&self.predictions).for_each(|count| count.store(0, Relaxed));
        self.n_rows.store(0, Relaxed);
    }
}

impl Profile {
    /// Nothing counted yet.
    pub(crate) fn new(model: &Model) -> Self {
        let schema = &model.pipeline.schema;
        let labels = schema.target.labels.clone();
        let columns: Vec<Column> = schema.features.iter().map(Column::new).collect();
        let expected = Expected::of_card(model);
        let half = || Half::new(&columns, expected.n_bins());
        Self {
            window: [half(), half()],
            classes: zeros(labels.len()),
            labels,
            columns,
            expected,
            current: AtomicUsize::new(0),
            turning: Mutex::new(()),
        }
    }

    /// Whether both count the same features, bins and classes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same = |(a, b): (&Column, &Column)| (&a.name, &a.bins) == (&b.name, &b.bins);
        self.labels == other.labels
            && self.expected == other.expected
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
    }

    /// Counts rows of codes (`n_rows × n_features`) and their predictions.
    pub(crate) fn observe(&self, codes: &Matrix, predictions: &Predictions) {
        let half = self.half();
        for start in (0..codes.n_rows()).step_by(ROWS_AT_A_TIME) {
            let end = codes.n_rows().min(start + ROWS_AT_A_TIME);
            for (j, column) in self.columns.iter().enumerate() {
                (start..end).for_each(|row| column.add(codes.row(row)[j], &half.features[j]));
            }
            give_way();
        }
        for &class in &predictions.classes {
            if let Some(count) = self.classes.get(class as usize) {
                count.fetch_add(1, Relaxed);
            }
        }
        for bin in self.expected.bins(predictions) {
            if let Some(count) = half.predictions.get(bin) {
                count.fetch_add(1, Relaxed);
            }
        }
        half.n_rows.fetch_add(codes.n_rows() as u64, Relaxed);
    }

    /// The half to count in; a full one becomes the one before it. Rows that other threads count meanwhile may fall into
    /// either.
    fn half(&self) -> &Half {
        let current = self.current.load(Relaxed) % 2;
        if self.window[current].n_rows.load(Relaxed) >= HALF_WINDOW
            && let Ok(_turning) = self.turning.try_lock()
            && self.current.load(Relaxed) % 2 == current
        {
            self.window[1 - current].clear();
            self.current.store(1 - current, Relaxed);
        }
        &self.window[self.current.load(Relaxed) % 2]
    }

    /// The predictions of each class so far.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.labels.iter().map(String::as_str).zip(self.classes.iter().map(|count| count.load(Relaxed)))
    }

    /// The counts of each feature so far.
    pub(crate) fn features(&self) -> impl Iterator<Item = FeatureCounts<'_>> {
        let counts = self.window();
        let is_enough = counts.n_rows >= MIN_ROWS;
        self.columns.iter().zip(counts.features).map(move |(column, cells)| FeatureCounts {
            name: &column.name,
            counts: [
                ("missing_value", column.missing.load(Relaxed)),
                ("unseen_category", column.unseen.load(Relaxed)),
                ("out_of_range", column.out_of_range.load(Relaxed)),
            ],
            psi: (is_enough && column.bins.has_values())
                .then(|| psi(&column.bins.trained, &column.bins.rows_of_bins(&cells))),
        })
    }

    /// The counts of the window.
    fn window(&self) -> Counts {
        let [a, b] = &self.window;
        let sums = |a: &[AtomicU64], b: &[AtomicU64]| -> Vec<u64> {
            a.iter().zip(b).map(|(a, b)| a.load(Relaxed) + b.load(Relaxed)).collect()
        };
        Counts {
            features: a.features.iter().zip(&b.features).map(|(a, b)| sums(a, b)).collect(),
            predictions: sums(&a.predictions, &b.predictions),
            n_rows: a.n_rows.load(Relaxed) + b.n_rows.load(Relaxed),
        }
    }

    /// The drift of the window; `model` is the one that is counted for.
    pub(crate) fn drift(&self, model: &Model) -> Drift {
        self.window().drift(model, &self.bins(), &self.expected)
    }

    /// The same as a page, with the distributions of the window.
    pub(crate) fn drift_page(&self, name: &str, model: &Model) -> String {
        let (bins, counts) = (self.bins(), self.window());
        html::drift::page(&html::drift::Compared {
            model: name,
            rows: "the latest rows",
            drift: &counts.drift(model, &bins, &self.expected),
            features: &counts.distributions(model, &bins),
            predictions: counts.of_predictions(model, &self.expected).as_ref(),
            json: "GET /drift",
        })
    }

    fn bins(&self) -> Vec<Bins> {
        self.columns.iter().map(|column| column.bins.clone()).collect()
    }
}

impl Column {
    fn new(feature: &Feature) -> Self {
        Self {
            name: feature.name.clone(),
            bins: Bins::of(feature),
            missing: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            out_of_range: AtomicU64::new(0),
        }
    }

    fn add(&self, code: f64, cells: &[AtomicU64]) {
        for cell in self.bins.cells(code).into_iter().flatten() {
            if let Some(count) = cells.get(cell) {
                count.fetch_add(1, Relaxed);
            }
            let since_start = match cell {
                cell if cell == self.bins.missing() => &self.missing,
                cell if cell == self.bins.unseen() => &self.unseen,
                cell if cell == self.bins.out_of_range() => &self.out_of_range,
                _ => continue,
            };
            since_start.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::data::cells::cell::UNSEEN;

    /// A model of a number from 0 to 999, a category with two levels, and classes that the category tells.
    fn model() -> Model {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let rows = (0..1000).map(|i| {
            let even = i % 2 == 0;
            format!("{i}.5,{},{}\n", if even { "a" } else { "b" }, if even { "no" } else { "yes" })
        });
        std::fs::write(&path, format!("x,c,y\n{}", rows.collect::<String>())).unwrap();
        let data = path.to_string_lossy().to_string();
        Plan { algorithm: "tree".into(), ..Plan::new(data) }.train().unwrap()
    }

    fn profile() -> Profile {
        Profile::new(&model())
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
        assert!(same.features().all(|f| f.psi.unwrap() < 0.01), "{:?}", same.features().collect::<Vec<_>>());
        assert_eq!(same.classes().collect::<Vec<_>>(), [("no", 0), ("yes", 1000)]);
        let shifted = profile();
        observe(&shifted, (0..1000).map(|i| [f64::from(i / 2), 0.0]));
        // Twice the share in five bins of ten, and none in the others:
        // 5 (0.2 − 0.1) ln 2 + 5 (0.0001 − 0.1) ln 0.001.
        let expected = 0.5 * 2_f64.ln() + 5.0 * (0.0001 - 0.1) * 0.001_f64.ln();
        let psi: Vec<f64> = shifted.features().map(|f| f.psi.unwrap()).collect();
        assert!((psi[0] - expected).abs() < 0.8, "{} is not {expected}", psi[0]);
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

    #[test]
    fn a_window_forgets_the_rows_before_it_and_judges_the_latest() {
        let model = model();
        let profile = Profile::new(&model);
        let rows = |level: f64| (0..1000).map(move |i| [f64::from(i), level]);
        (0..20).for_each(|_| observe(&profile, rows(0.0)));
        let drift = profile.drift(&model);
        assert_eq!(drift.n_rows, 2 * HALF_WINDOW);
        assert!(drift.features[1].psi.unwrap() > 0.25);
        assert!(drift.predictions.psi.unwrap() > 0.25);
        let even = |_| observe(&profile, (0..1000).map(|i| [f64::from(i), f64::from(i % 2)]));
        (0..20).for_each(even);
        let drift = profile.drift(&model);
        assert!(drift.n_rows <= 2 * HALF_WINDOW);
        assert!(drift.features[1].psi.unwrap() < 0.01, "{drift:?}");
    }
}
