//! Gradient boosting: each tree is a Newton step on the loss of the trees before it.
//!
//! Friedman 2001, "Greedy function approximation: a gradient boosting machine"; Chen and Guestrin 2016,
//! "XGBoost"; Ke et al. 2017, "LightGBM". Trees grow best-first on histograms. Hyperparameters are those of
//! scikit-learn's `HistGradientBoosting*`, and `subsample` of its older `GradientBoosting*`. [`booster`](super::booster)
//! grows the trees, [`rounds`](super::rounds) finds out how many there should be.
//!
//! Costs 16 bytes per row and score, times the folds while rounds are looked for, and the growth of trees.

use anyhow::{Result, ensure};

use super::bins::Bins;
use super::booster::{Booster, Rules};
use super::hyperparameters::{BOOSTING, EarlyStopping, LossName, whole_or_unlimited};
use super::loss::Loss;
use super::rounds::{self, MAX_FOLD_ROWS, MOST_ROUNDS};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::dataset::Direction;
use crate::model::learn::hyperparameter::MONOTONIC;
use crate::model::learn::{Algorithm, Blocks, Dataset, Fit, Groups, Labels, Learner, Settings, Watch, usage};
use crate::parallel;

/// From more rows than this `early_stopping=auto` holds rows out, as in scikit-learn.
const AUTO_STOPPING_ROWS: usize = 10_000;

/// The training loss that is shown is that of this many rows.
const SHOWN_ROWS: usize = 1000;

/// Most rounds from so many rows on, where their number is to be found: with a held-out part they take twice the time of
/// the defaults of scikit-learn at most.
const LARGE_ROUNDS: usize = 250;

/// The step of each tree with few rows, and with many or with several trees a round, where rounds cost time.
const SMALL_RATE: f64 = 0.05;
const LARGE_RATE: f64 = 0.1;

/// Boosted trees.
pub(crate) static GRADIENT_BOOSTING: Algorithm = Algorithm {
    name: "gradient-boosting",
    alias: Some("boost"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "Many small trees, each correcting those before it; often the most accurate on tables",
    idea: "Small trees are added one after the other, each fitted to the derivatives of the loss that \
           the trees before it leave. Columns are binned once, so that a split is found in a histogram. Up to \
           10,000 rows there are as many trees as predict the rows of the folds of a cross-validation best; beyond, \
           some rows are kept aside and decide.\n\n\
           The defaults are its own: each tree sees a part of the rows and columns, leaves are penalised, few rows \
           get small trees, and the number of rounds is found. On most tables that predicts better than the \
           defaults of other libraries, which `--set preset=scikit-learn` and `--set preset=lightgbm` give. \
           `--set monotonic=COL:+` keeps predictions from falling along a column by bounds that are passed down the \
           tree, as LightGBM's method `basic` does.",
    source: "Friedman 2001, \"Greedy function approximation: a gradient boosting machine\"; Chen and \
           Guestrin 2016, \"XGBoost\"; Ke et al. 2017, \"LightGBM\"",
    smartcore: "None. Its boosting (0.7) is for regression only, without early stopping, and sorts each \
           column again at each node: 19 times as long on 8,000 rows.",
    parameters: &BOOSTING,
    learner: |settings| Box::new(GradientBoosting::of(settings)),
};

/// Parameters of boosting; `None` is `auto`.
struct GradientBoosting {
    loss: LossName,
    quantile: f64,
    tweedie_power: f64,
    learning_rate: Option<f64>,
    n_estimators: Option<usize>,
    max_leaf_nodes: Option<usize>,
    max_depth: usize,
    min_samples_leaf: Option<usize>,
    l2_regularization: Option<f64>,
    max_delta_step: Option<f64>,
    softmax_factor: Option<f64>,
    cat_smooth: f64,
    cat_l2: Option<f64>,
    min_data_per_group: Option<usize>,
    subsample: f64,
    colsample: f64,
    max_features: f64,
    early_stopping: EarlyStopping,
    validation_fraction: f64,
    n_iter_no_change: usize,
    tol: f64,
}

/// A number, or `None` for `auto`.
fn number_unless_auto(settings: &Settings, name: &str) -> Option<f64> {
    (settings.word(name) != "auto").then(|| settings.number(name))
}

impl GradientBoosting {
    fn of(settings: &Settings) -> Self {
        Self {
            loss: settings.choice("loss"),
            quantile: settings.number("quantile"),
            tweedie_power: settings.number("tweedie_power"),
            learning_rate: number_unless_auto(settings, "learning_rate"),
            n_estimators: settings.optional_whole("n_estimators"),
            max_leaf_nodes: (settings.word("max_leaf_nodes") != "auto")
                .then(|| whole_or_unlimited(settings, "max_leaf_nodes")),
            max_depth: whole_or_unlimited(settings, "max_depth"),
            min_samples_leaf: settings.optional_whole("min_samples_leaf"),
            l2_regularization: number_unless_auto(settings, "l2_regularization"),
            max_delta_step: number_unless_auto(settings, "max_delta_step"),
            softmax_factor: number_unless_auto(settings, "softmax_factor"),
            cat_smooth: settings.number("cat_smooth"),
            cat_l2: number_unless_auto(settings, "cat_l2"),
            min_data_per_group: settings.optional_whole("min_data_per_group"),
            subsample: settings.number("subsample"),
            colsample: settings.number("colsample_bytree"),
            max_features: settings.number("max_features"),
            early_stopping: settings.choice("early_stopping"),
            validation_fraction: settings.number("validation_fraction"),
            n_iter_no_change: settings.whole("n_iter_no_change"),
            tol: settings.number("tol"),
        }
    }

    fn loss(&self, y: Labels) -> Result<Loss> {
        let wrong = |task| Err(usage(format!("--set loss={}: not a loss for {task}", self.loss.word())));
        match y {
            Labels::Classes { n_classes, .. } => match self.loss {
                LossName::Auto | LossName::LogLoss if n_classes == 2 => Ok(Loss::Logistic),
                LossName::Auto | LossName::LogLoss => {
                    let k = n_classes.max(2) as f64;
                    Ok(Loss::Softmax { n_classes, factor: self.softmax_factor.unwrap_or(k / (k - 1.0)) })
                }
                _ => wrong("classification; it is log_loss"),
            },
            Labels::Values(values) => match self.loss {
                LossName::Auto | LossName::SquaredError => Ok(Loss::SquaredError),
                LossName::AbsoluteError => Ok(Loss::AbsoluteError),
                LossName::Quantile => Ok(Loss::Quantile { alpha: self.quantile }),
                LossName::Poisson | LossName::Tweedie => {
                    ensure!(
                        values.iter().all(|&y| y >= 0.0) && values.iter().any(|&y| y > 0.0),
                        "loss={} is for counts, rates and amounts; the target has values below 0, or only 0",
                        self.loss.word()
                    );
                    let power = self.tweedie_power;
                    Ok(if self.loss == LossName::Poisson { Loss::Poisson } else { Loss::Tweedie { power } })
                }
                LossName::Gamma => {
                    ensure!(
                        values.iter().all(|&y| y > 0.0),
                        "loss=gamma is for amounts above 0; the target has others (loss=tweedie takes 0)"
                    );
                    Ok(Loss::Gamma)
                }
                LossName::LogLoss => wrong(
                    "regression; it is squared_error, absolute_error, quantile, poisson, gamma or tweedie",
                ),
            },
        }
    }

    /// Rows to fit on and rows to stop by, of those whose weight is not 0.
    fn split_rows(&self, data: &Dataset, finds_rounds: bool) -> (Vec<u32>, Vec<u32>) {
        let counts = |row: &u32| data.weights.is_none_or(|weights| weights[*row as usize] > 0.0);
        let rows: Vec<u32> = (0..data.n_rows() as u32).filter(counts).collect();
        let stops = match self.early_stopping {
            EarlyStopping::Always => true,
            EarlyStopping::Auto if finds_rounds => false,
            EarlyStopping::Auto => rows.len() > AUTO_STOPPING_ROWS,
            EarlyStopping::Never => false,
        };
        if !stops || rows.len() < 2 {
            return (rows, Vec::new());
        }
        let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
        let split = data.hold_out(&rows, self.validation_fraction, data.seed);
        let of = |part: Vec<usize>| part.into_iter().map(|row| row as u32).collect();
        (of(split.train), of(split.test))
    }

    /// Whether nothing says how many rounds there are.
    fn finds_rounds(&self) -> bool {
        self.n_estimators.is_none() && matches!(self.early_stopping, EarlyStopping::Auto)
    }

    /// The rules for so many rows. The values of `auto` are those of the candidates of `--algorithm auto`: small trees
    /// for few rows, and small steps where the rounds that they need cost little.
    fn rules(&self, n_rows: usize, n_scores: usize) -> Rules {
        let (leaves, leaf_rows) = match n_rows {
            0..500 => (6, 5),
            500..=MAX_FOLD_ROWS => (16, 10),
            _ => (31, 20),
        };
        let is_small = n_rows <= MAX_FOLD_ROWS && n_scores <= 2;
        Rules {
            learning_rate: self.learning_rate.unwrap_or(if is_small { SMALL_RATE } else { LARGE_RATE }),
            max_leaf_nodes: self.max_leaf_nodes.unwrap_or(leaves),
            max_depth: self.max_depth,
            min_samples_leaf: self.min_samples_leaf.unwrap_or(leaf_rows),
            l2_regularization: self.l2_regularization,
            max_delta_step: self.max_delta_step,
            cat_smooth: self.cat_smooth,
            cat_l2: self.cat_l2,
            min_data_per_group: self.min_data_per_group,
            subsample: self.subsample,
            colsample: self.colsample,
            max_features: self.max_features,
        }
    }

    /// Fits on columns of bytes; the rows of `data` are not read.
    fn fit_bins(&self, mut bins: Bins, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        bins.group();
        let loss = self.loss(data.y)?;
        let is_bound = data.directions.iter().any(|direction| *direction != Direction::Free);
        if is_bound && matches!(loss, Loss::AbsoluteError | Loss::Quantile { .. }) {
            return Err(usage(format!(
                "--set {MONOTONIC}: loss={} sets the leaves to medians or quantiles, which keep to no bounds; use another \
                 loss",
                self.loss.word()
            )));
        }
        let mut fit = parallel::on_pool(|| self.boost(data, &bins, loss, watch));
        if is_bound && matches!(loss, Loss::Softmax { .. }) {
            fit.notes.push(format!(
                "{MONOTONIC} holds for the score of each class; its probability is its share of all scores and may fall \
                 where the others rise more"
            ));
        }
        Ok(fit)
    }

    fn boost(&self, data: &Dataset, bins: &Bins, loss: Loss, watch: &dyn Watch) -> Fit {
        let n_rows = (0..data.n_rows()).filter(|&row| data.weight(row) > 0.0).count();
        let rules = self.rules(n_rows, loss.n_scores());
        let by_folds = self.finds_rounds() && n_rows <= MAX_FOLD_ROWS;
        let found = if by_folds { rounds::by_folds(&rules, data, bins, loss, watch) } else { None };
        let most = match (self.n_estimators, found) {
            (Some(n_estimators), _) => n_estimators,
            (_, Some(n_rounds)) => n_rounds,
            _ if matches!(self.early_stopping, EarlyStopping::Never) || by_folds => {
                (10.0 / rules.learning_rate.max(0.01)).ceil() as usize
            }
            _ if n_rows <= MAX_FOLD_ROWS => MOST_ROUNDS,
            _ => LARGE_ROUNDS,
        };
        let (train, held_out) = self.split_rows(data, by_folds);
        let shown: Vec<u32> = match held_out.is_empty() {
            true => train.iter().copied().step_by(train.len().div_ceil(SHOWN_ROWS)).collect(),
            false => Vec::new(),
        };
        // An interruption ends the search for the number of rounds, and not the fit that it was for.
        let is_stopped = || watch.stopped() && found.is_none();
        let mut booster = Booster::new(&rules, data, bins, loss, (train, held_out));
        let mut rounds = Vec::new();
        let (mut best_loss, mut best_round) = (f64::INFINITY, 0);
        for round in 0..most {
            // The first round is always finished, so that an interrupted model predicts.
            if round > 0 && is_stopped() {
                break;
            }
            rounds.push(booster.round());
            let (done, total) = (round as u64 + 1, most as u64);
            if booster.held_out().is_empty() {
                watch.progress(done, total, format_args!("loss {:.6}", booster.mean_loss(&shown)));
                best_round = round;
                continue;
            }
            let held_out_loss = booster.mean_loss(booster.held_out());
            watch.progress(done, total, format_args!("validation loss {held_out_loss:.6}"));
            if held_out_loss < best_loss - self.tol || round == 0 {
                (best_loss, best_round) = (held_out_loss, round);
            } else if round - best_round >= self.n_iter_no_change {
                break;
            }
        }
        let mut notes = Vec::new();
        if !booster.held_out().is_empty() {
            notes.push(format!(
                "early stopping kept the first {} of {} rounds, where the loss of {} held-out rows was least \
                 ({best_loss:.6}); --set early_stopping=false fits on all rows",
                best_round + 1,
                rounds.len(),
                booster.held_out().len()
            ));
        }
        Fit { predictor: booster.finish(&rounds[..=best_round]), notes }
    }
}

impl Learner for GradientBoosting {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit_bins(Bins::new(data), data, watch)
    }

    fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let bins = Bins::new(&Dataset { x: &x, ..*data });
        drop(x);
        self.fit_bins(bins, data, watch)
    }

    fn takes_blocks(&self) -> bool {
        true
    }

    fn blocks(&self, sample: &Dataset) -> Option<Box<dyn Blocks + '_>> {
        Some(Box::new(BinnedBlocks { learner: self, bins: Bins::new(sample) }))
    }
}

/// Rows that are binned as they come.
struct BinnedBlocks<'a> {
    learner: &'a GradientBoosting,
    bins: Bins,
}

impl Blocks for BinnedBlocks<'_> {
    fn bytes_of(&self, x: &Matrix) -> Groups {
        self.bins.bytes_of(x)
    }

    fn fit(self: Box<Self>, rows: Groups, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.learner.fit_bins(self.bins.with_rows(rows), data, watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::trees::Trees;
    use crate::model::predictor::{Arrays, Link, Predictor};
    use crate::random::generator;
    use rand_pcg::rand_core::Rng;
    use std::fmt;
    use std::sync::Mutex;

    fn noise(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
        let mut random = generator(seed);
        let mut x = Matrix::zeros(n_rows, n_cols);
        x.values_mut().iter_mut().for_each(|v| *v = f64::from(random.next_u32()) / 2_f64.powi(32));
        x
    }

    /// Remembers what is shown, and stops after some rounds.
    struct Recorder {
        states: Mutex<Vec<String>>,
        stop_after: usize,
    }

    impl Recorder {
        fn new(stop_after: usize) -> Self {
            Self { states: Mutex::default(), stop_after }
        }

        fn losses(&self) -> Vec<f64> {
            let states = self.states.lock().unwrap();
            states.iter().map(|state| state.rsplit(' ').next().unwrap().parse().unwrap()).collect()
        }
    }

    impl Watch for Recorder {
        fn progress(&self, _: u64, _: u64, state: fmt::Arguments) {
            self.states.lock().unwrap().push(state.to_string());
        }

        fn stopped(&self) -> bool {
            self.states.lock().unwrap().len() >= self.stop_after
        }
    }

    /// Whole tables, a hundred rounds and no penalty: what is set in most tests is told from that.
    const PLAIN: [(&str, &str); 7] = [
        ("learning_rate", "0.1"),
        ("n_estimators", "100"),
        ("max_leaf_nodes", "31"),
        ("min_samples_leaf", "20"),
        ("l2_regularization", "0"),
        ("subsample", "1"),
        ("colsample_bytree", "1"),
    ];

    fn fit(settings: &[(&str, &str)], data: &Dataset, watch: &dyn Watch) -> Fit {
        fit_as_set(&[&PLAIN, settings].concat(), data, watch)
    }

    fn fit_as_set(settings: &[(&str, &str)], data: &Dataset, watch: &dyn Watch) -> Fit {
        let task = match data.y {
            Labels::Classes { .. } => Task::Classification,
            Labels::Values(_) => Task::Regression,
        };
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let fit = Spec::new(&GRADIENT_BOOSTING, task, &settings).unwrap().fit(data, watch).unwrap();
        fit.predictor.validate().unwrap();
        fit
    }

    fn scores(predictor: &Predictor, x: &Matrix) -> Vec<f64> {
        let mut out = vec![0.0; x.n_rows() * predictor.n_outputs()];
        predictor.scores_block(x.values(), &mut out);
        out
    }

    fn bytes(predictor: &Predictor) -> Arrays {
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        arrays
    }

    #[test]
    fn the_training_loss_falls_round_by_round_whatever_the_loss() {
        let x = noise(400, 4, 1);
        let values: Vec<f64> = x.rows().map(|row| (row[0] * 5.0).floor() + 3.0 * row[1] * row[2]).collect();
        let codes: Vec<u32> = x.rows().map(|row| (row[0] + row[1] + 0.3 * row[3]) as u32).collect();
        let two: Vec<u32> = codes.iter().map(|&code| code.min(1)).collect();
        let positive: Vec<f64> = values.iter().map(|value| value + 1.0).collect();
        let (values, positive) = (Labels::Values(&values), Labels::Values(&positive));
        let classes = |codes, n_classes| Labels::Classes { codes, n_classes };
        for (loss, y) in [
            ("squared_error", values),
            ("absolute_error", values),
            ("quantile", values),
            ("poisson", values),
            ("gamma", positive),
            ("tweedie", values),
            ("log_loss", classes(&two, 2)),
            ("log_loss", classes(&codes, 3)),
        ] {
            let recorder = Recorder::new(usize::MAX);
            fit(&[("loss", loss), ("n_estimators", "40")], &Dataset::new(&x, y), &recorder);
            let losses = recorder.losses();
            assert_eq!(losses.len(), 40);
            assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{loss}: {losses:?}");
            let has_other_minimum = ["poisson", "gamma", "tweedie"].contains(&loss);
            assert!(has_other_minimum || losses[39] < losses[0] / 2.0, "{loss}: {losses:?}");
        }
    }

    #[test]
    fn the_same_bytes_come_from_any_number_of_threads() {
        let mut x = noise(16_000, 9, 3);
        x.row_mut(9)[2] = f64::NAN;
        let codes: Vec<u32> = x.rows().map(|row| ((row[0] + row[1] * row[4]) * 2.0) as u32 % 3).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 3 };
        let data = Dataset { seed: 7, ..Dataset::new(&x, y) };
        let settings = [
            ("n_estimators", "5"),
            ("subsample", "0.8"),
            ("colsample_bytree", "0.6"),
            ("early_stopping", "true"),
        ];
        let of_threads = [1, 2, 8].map(|n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            let fit = pool.install(|| fit(&settings, &data, &Unwatched));
            (bytes(&fit.predictor), fit.notes)
        });
        let [a, b, c] = of_threads;
        assert!(a == b && b == c);
    }

    #[test]
    fn early_stopping_keeps_the_best_round_and_an_interruption_the_rounds_so_far() {
        let x = noise(500, 5, 2);
        // Nothing to be learned: the held-out loss soon rises.
        let codes: Vec<u32> = noise(500, 1, 9).rows().map(|row| u32::from(row[0] > 0.5)).collect();
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let recorder = Recorder::new(usize::MAX);
        let fitted = fit(&[("early_stopping", "true"), ("n_estimators", "200")], &data, &recorder);
        let losses = recorder.losses();
        assert!(losses.len() < 200);
        let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
        let Predictor::Trees(trees) = &fitted.predictor else { unreachable!() };
        assert_eq!(trees.n_trees(), best + 1);
        assert!(fitted.notes[0].contains(&format!("the first {} of {}", best + 1, losses.len())));
        let stopped = fit(&[], &data, &Recorder::new(3)).predictor;
        let Predictor::Trees(stopped) = &stopped else { unreachable!() };
        assert_eq!(stopped.n_trees(), 3);
    }

    #[test]
    fn a_row_of_no_weight_is_no_row() {
        let x = noise(200, 3, 1);
        let y: Vec<f64> = x.rows().map(|row| row[0] + row[1]).collect();
        let weights: Vec<f64> = (0..200).map(|i| f64::from(i % 4 != 0)).collect();
        let mut kept = Matrix::with_capacity(150, 3);
        let mut y_kept = Vec::new();
        for i in (0..200).filter(|i| i % 4 != 0) {
            kept.push_row(0.0).copy_from_slice(x.row(i));
            y_kept.push(y[i]);
        }
        let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&y)) };
        let plain = Dataset::new(&kept, Labels::Values(&y_kept));
        let [a, b] =
            [weighted, plain].map(|data| fit(&[("n_estimators", "20")], &data, &Unwatched).predictor);
        assert!(scores(&a, &x).iter().zip(scores(&b, &x)).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn missing_values_categories_and_the_smallest_tables_are_learned() {
        let missing = f64::NAN;
        let mut x = Matrix::zeros(300, 3);
        for i in 0..300 {
            let size = if i % 3 == 0 { missing } else { i as f64 };
            x.row_mut(i).copy_from_slice(&[(i % 30) as f64, size, missing]);
        }
        let y: Vec<f64> = x
            .rows()
            .map(|row| f64::from(row[0] as u32 * 7 % 5) + f64::from(u8::from(row[1].is_nan())))
            .collect();
        let data = Dataset { levels: &[30, 0, 0], ..Dataset::new(&x, Labels::Values(&y)) };
        let settings = [("n_estimators", "300"), ("min_samples_leaf", "5")];
        let fitted = fit(&settings, &data, &Unwatched).predictor;
        assert!(scores(&fitted, &x).iter().zip(&y).all(|(p, y)| (p - y).abs() < 0.2));
        let mut one = Matrix::zeros(1, 1);
        one.row_mut(0)[0] = missing;
        for loss in ["squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"] {
            let data = Dataset::new(&one, Labels::Values(&[4.0]));
            let fitted = fit(&[("loss", loss), ("early_stopping", "true")], &data, &Unwatched).predictor;
            assert!((scores(&fitted, &one)[0] - 4.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_loss_that_does_not_fit_the_target_is_refused() {
        let x = noise(10, 1, 1);
        let y: Vec<f64> = (0..10).map(|i| f64::from(i) - 5.0).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let message = |loss: &str| {
            let settings = [("loss".to_string(), loss.to_string())];
            let spec = Spec::new(&GRADIENT_BOOSTING, Task::Regression, &settings).unwrap();
            spec.fit(&data, &Unwatched).unwrap_err().to_string()
        };
        assert!(message("poisson").contains("below 0"));
        assert!(message("tweedie").contains("loss=tweedie is for"));
        assert!(message("gamma").contains("above 0"));
        assert!(message("log_loss").contains("not a loss for regression"));
    }

    #[test]
    fn predictions_keep_to_the_directions_of_columns_wherever_the_others_are() {
        use Direction::{Falling, Free, Rising};
        let n_rows = 3000;
        // Numbers with gaps, and a category; the targets rise and fall along both constrained columns, with noise.
        let mut x = noise(n_rows, 4, 11);
        (0..n_rows).for_each(|i| x.row_mut(i)[3] = (i % 12) as f64);
        (0..n_rows).step_by(7).for_each(|i| x.row_mut(i)[0] = f64::NAN);
        let wave = |row: &[f64]| {
            let a = if row[0].is_nan() { 0.9 } else { row[0] };
            (9.0 * a).sin() + a + (7.0 * row[1]).cos() - row[1]
                + 2.0 * row[2] * a
                + f64::from(row[3] as u32 % 5)
        };
        let random = noise(n_rows, 1, 12);
        let values: Vec<f64> = (0..n_rows).map(|i| 6.0 + wave(x.row(i)) + 2.0 * random.row(i)[0]).collect();
        let codes: Vec<u32> = values.iter().map(|value| u32::from(*value > 9.0)).collect();
        let three: Vec<u32> = values.iter().map(|value| (*value / 4.0) as u32 % 3).collect();
        let classes = |codes, n_classes| Labels::Classes { codes, n_classes };
        let cases: [(&[(&str, &str)], Labels); 7] = [
            (&[], Labels::Values(&values)),
            // Large subtrees grow apart and are joined.
            (
                &[("max_leaf_nodes", "none"), ("min_samples_leaf", "1"), ("l2_regularization", "2")],
                Labels::Values(&values),
            ),
            (
                &[("subsample", "0.6"), ("colsample_bytree", "0.6"), ("max_features", "0.6")],
                Labels::Values(&values),
            ),
            (&[("loss", "gamma")], Labels::Values(&values)),
            (&[("loss", "poisson"), ("max_delta_step", "0.1")], Labels::Values(&values)),
            (&[], classes(&codes, 2)),
            (&[], classes(&three, 3)),
        ];
        let (levels, directions) = ([0, 0, 0, 12], [Rising, Falling, Free, Free]);
        for (settings, y) in cases {
            let settings = [&[("n_estimators", "30"), ("early_stopping", "false")], settings].concat();
            let data = Dataset { levels: &levels, ..Dataset::new(&x, y) };
            let free = fit(&settings, &data, &Unwatched).predictor;
            let bounded = fit(&settings, &Dataset { directions: &directions, ..data }, &Unwatched).predictor;
            // The raw scores, which are defined for each class by itself.
            let breaks = |predictor: &Predictor| {
                let trees = Trees::read_arrays(Link::Identity, &mut bytes(predictor)).unwrap();
                let mut n_breaks = 0;
                for (row, (column, sign)) in
                    (0..n_rows).step_by(97).zip([(0, 1.0), (1, -1.0)].into_iter().cycle())
                {
                    let mut grid = Matrix::zeros(101, 4);
                    for i in 0..101 {
                        grid.row_mut(i).copy_from_slice(x.row(row));
                        grid.row_mut(i)[column] = i as f64 / 100.0;
                    }
                    let mut found = vec![0.0; 101 * trees.n_outputs()];
                    trees.scores_block(grid.values(), &mut found);
                    let pairs = found.iter().zip(&found[trees.n_outputs()..]);
                    n_breaks += pairs.filter(|(before, after)| sign * (*after - *before) < 0.0).count();
                }
                n_breaks
            };
            assert!(breaks(&free) > 50, "{settings:?}: nothing was to be kept from");
            assert_eq!(breaks(&bounded), 0, "{settings:?}");
        }
    }

    #[test]
    fn rounds_are_as_many_as_rows_that_were_not_seen_are_predicted_best_by() {
        let n_trees = |fit: &Fit| match &fit.predictor {
            Predictor::Trees(trees) => trees.n_trees(),
            _ => unreachable!(),
        };
        let x = noise(600, 4, 21);
        let random = noise(600, 1, 22);
        let values = |share: f64| -> Vec<f64> {
            (0..600).map(|i| x.row(i)[0] * 3.0 * (1.0 - share) + random.row(i)[0] * share).collect()
        };
        let (clear, noisy) = (values(0.02), values(0.97));
        let of = |y: &[f64], settings: &[(&str, &str)]| {
            fit_as_set(settings, &Dataset::new(&x, Labels::Values(y)), &Unwatched)
        };
        let (of_clear, of_noisy) = (of(&clear, &[]), of(&noisy, &[]));
        assert!(n_trees(&of_clear) > 60 && n_trees(&of_noisy) < 40);
        // The number that was found makes the same model.
        let found = n_trees(&of_clear).to_string();
        let again = of(&clear, &[("n_estimators", &found)]);
        assert!(bytes(&again.predictor) == bytes(&of_clear.predictor));
        assert_eq!(n_trees(&of(&noisy, &[("preset", "scikit-learn")])), 100);
        assert_eq!(n_trees(&of(&noisy, &[("early_stopping", "false")])), 200);
        assert_eq!(n_trees(&of(&noisy, &[("early_stopping", "false"), ("learning_rate", "0.2")])), 50);
        assert_eq!(n_trees(&of(&noisy, &[("n_estimators", "7")])), 7);
        // An interruption ends the search for the number, and the fit has what was found by then.
        let data = Dataset::new(&x, Labels::Values(&clear));
        assert_eq!(n_trees(&fit_as_set(&[], &data, &Recorder::new(9))), 9);
        // The unit of the weights does not count.
        let weights = [0.01; 600];
        let weighted = fit_as_set(&[], &Dataset { weights: Some(&weights), ..data }, &Unwatched);
        let pairs = scores(&weighted.predictor, &x).into_iter().zip(scores(&of_clear.predictor, &x));
        let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far < 0.3, "{far}");
    }

    #[test]
    fn many_rows_are_stopped_by_some_of_them_and_few_are_too_few_to_split() {
        let x = noise(10_500, 2, 5);
        let codes: Vec<u32> = (0..10_500).map(|i| u32::from(i % 3 == 0)).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 2 };
        let fitted = fit_as_set(&[], &Dataset::new(&x, y), &Unwatched);
        assert!(fitted.notes[0].contains("early stopping kept") && fitted.notes.len() == 1);
        let x = noise(12, 2, 5);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes[..12], n_classes: 2 });
        assert!(fit_as_set(&[], &data, &Unwatched).notes.is_empty());
    }

    #[test]
    fn a_class_of_few_rows_keeps_its_probabilities_from_0_and_1() {
        let x = noise(3000, 4, 6);
        let codes: Vec<u32> = (0..3000).map(|i| if i % 500 == 0 { 2 } else { i % 2 }).collect();
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        let largest = |bound: &str| {
            let settings = [("max_delta_step", bound), ("n_estimators", "30"), ("min_samples_leaf", "1")];
            let found = scores(&fit(&settings, &data, &Unwatched).predictor, &x);
            found.iter().map(|p| p.ln().abs()).fold(0.0, f64::max)
        };
        let (bounded, unbounded) = (largest("auto"), largest("0"));
        assert!(bounded < 12.0 && unbounded > 20.0, "{bounded} {unbounded}");
    }

    #[test]
    fn a_class_of_nine_rows_does_not_spoil_the_others_by_default() {
        // Seven overlapping classes, the last one of nine rows; the other half is to be predicted.
        let (n_rows, n_columns) = (4000, 8);
        let (centers, mut random) = (noise(7, n_columns, 31), generator(32));
        let code = |i: usize| match i % 1000 {
            0..400 => 0,
            400..700 => 1,
            700..850 => 2,
            850..940 => 3,
            940..985 => 4,
            _ if i % 2000 >= 1991 => 6,
            _ => 5,
        };
        let table = |random: &mut rand_pcg::Pcg64| {
            let (mut x, mut codes) = (Matrix::zeros(n_rows / 2, n_columns), Vec::new());
            for i in 0..n_rows / 2 {
                let class = code(i);
                for (value, center) in x.row_mut(i).iter_mut().zip(centers.row(class)) {
                    let normal = (0..4).map(|_| crate::random::unit_interval(random)).sum::<f64>() - 2.0;
                    *value = 1.3 * center + normal;
                }
                let is_wrong = class < 6 && crate::random::unit_interval(random) < 0.1;
                codes.push(if is_wrong { (class as u32 + 1) % 6 } else { class as u32 });
            }
            (x, codes)
        };
        let ((x, codes), (others, truth)) = (table(&mut random), table(&mut random));
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 7 });
        let log_loss = |settings: &[(&str, &str)]| {
            let found = scores(&fit_as_set(settings, &data, &Unwatched).predictor, &others);
            let of = |(i, &code): (usize, &u32)| -found[7 * i + code as usize].max(1e-15).ln();
            truth.iter().enumerate().map(of).sum::<f64>() / truth.len() as f64
        };
        let (own, of_scikit_learn) = (log_loss(&[]), log_loss(&[("preset", "scikit-learn")]));
        assert!(own < 0.8 * of_scikit_learn, "{own} {of_scikit_learn}");
    }

    #[test]
    fn a_small_table_is_split_on_the_levels_that_decide() {
        // Two sides of 100 rows are more than there are.
        let n_rows = 180;
        let mut x = noise(n_rows, 3, 5);
        (0..n_rows).for_each(|i| x.row_mut(i)[0] = (i % 12) as f64);
        let codes: Vec<u32> =
            (0..n_rows as u32).map(|i| u32::from([1, 4, 5, 9].contains(&(i % 12)))).collect();
        let data = Dataset {
            levels: &[12, 0, 0],
            ..Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 })
        };
        // The numbers of other rows, so that what was learned of them by chance does harm.
        let mut others = noise(n_rows, 3, 9);
        (0..n_rows).for_each(|i| others.row_mut(i)[0] = (i % 12) as f64);
        let log_loss = |settings: &[(&str, &str)]| {
            let found = scores(&fit(settings, &data, &Unwatched).predictor, &others);
            let of = |(i, &code): (usize, &u32)| -found[2 * i + code as usize].ln();
            codes.iter().enumerate().map(of).sum::<f64>() / n_rows as f64
        };
        let (found, of_many_rows) =
            (log_loss(&[]), log_loss(&[("cat_l2", "10"), ("min_data_per_group", "100")]));
        assert!(found < 0.05 && of_many_rows > 0.3, "{found} {of_many_rows}");
    }

    #[test]
    fn rows_that_come_in_blocks_make_the_trees_of_the_table() {
        let x = noise(12_000, 6, 4);
        let codes: Vec<u32> =
            x.rows().map(|row| u32::from(row[1] + row[4] * row[5] > 0.8) + u32::from(row[3] > 0.9)).collect();
        let no_rows = Matrix::default();
        let y = Labels::Classes { codes: &codes, n_classes: 3 };
        let settings = [("n_estimators".to_string(), "12".to_string())];
        let spec = Spec::new(&GRADIENT_BOOSTING, Task::Classification, &settings).unwrap();
        let learner = GradientBoosting::of(&spec.settings);
        let (data, rowless) = (Dataset::new(&x, y), Dataset::new(&no_rows, y));
        let blocks = learner.blocks(&data).unwrap();
        let mut kept = vec![Vec::new(); 2];
        for rows in x.values().chunks(6 * 5000) {
            let mut block = Matrix::zeros(rows.len() / 6, 6);
            block.values_mut().copy_from_slice(rows);
            kept.iter_mut().zip(blocks.bytes_of(&block)).for_each(|(kept, rows)| kept.extend(rows));
        }
        let found = blocks.fit(kept, &rowless, &Unwatched).unwrap();
        assert!(found.predictor == learner.fit(&data, &Unwatched).unwrap().predictor);
    }

    #[test]
    fn splits_that_draw_columns_use_those_they_would_not_choose() {
        let x = noise(400, 5, 8);
        let y: Vec<f64> = x.rows().map(|row| row[2]).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let of_best = |max_features: &str| {
            fit(&[("max_features", max_features)], &data, &Unwatched).predictor.importances().unwrap()[2]
        };
        assert!(of_best("1.0") > 0.999);
        let drawn = of_best("0.2");
        assert!((0.5..0.99).contains(&drawn), "{drawn}");
    }
}
