//! smartcore's estimators next to the learners that mlapi has instead, for benches/smartcore.sh:
//!
//! ```text
//! smartcore [--quick] [--only TEXT] [--turns N] [--threads N]
//! ```
//!
//! First table: the median seconds of fitting and predicting, and the score on rows held out (accuracy, or R²), of
//! both sides on the same prepared numbers with the same hyperparameters. The sides take turns, each turn is a
//! process of its own that makes its data from a fixed seed, and the time covers fitting and predicting alone. Both
//! run on one thread, as smartcore does, unless `--threads` gives mlapi more. A turn longer than a minute (ten
//! seconds with `--quick`) is killed and said to be.
//!
//! Second table: small inputs on which smartcore answers wrongly, refuses, panics or aborts, with the right answer
//! (numbers are those of scikit-learn 1.9) and mlapi's. A case that smartcore has mended says so: then the reason given at the head of a learner
//! no longer holds.
//!
//! The exit status is 0 if everything could be measured, whatever the figures.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use mlapi::data::cells::cell::Task;
use mlapi::data::cells::matrix::Matrix;
use mlapi::model::learn::{Dataset, Labels, Spec, Unwatched, algorithm};
use mlapi::model::predictor::Predictor;
use serde_json::{Value, json};
use smartcore::algorithm::neighbour::KNNAlgorithmName;
use smartcore::ensemble::extra_trees_regressor::{ExtraTreesRegressor, ExtraTreesRegressorParameters};
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::error::Failed;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::elastic_net::{ElasticNet, ElasticNetParameters};
use smartcore::linear::lasso::{Lasso, LassoParameters};
use smartcore::linear::linear_regression::{LinearRegression, LinearRegressionParameters};
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::linear::ridge_regression::{RidgeRegression, RidgeRegressionParameters};
use smartcore::naive_bayes::gaussian::{GaussianNB, GaussianNBParameters};
use smartcore::naive_bayes::multinomial::{MultinomialNB, MultinomialNBParameters};
use smartcore::neighbors::knn_classifier::{KNNClassifier, KNNClassifierParameters};
use smartcore::neighbors::knn_regressor::{KNNRegressor, KNNRegressorParameters};
use smartcore::svm::Kernels;
use smartcore::svm::svc::{MultiClassSVC, SVC, SVCParameters};
use smartcore::svm::svr::{SVR, SVRParameters};
use smartcore::tree::decision_tree_classifier::{DecisionTreeClassifier, DecisionTreeClassifierParameters};
use smartcore::tree::decision_tree_regressor::{DecisionTreeRegressor, DecisionTreeRegressorParameters};
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

/// Rows to fit on and rows to score, as prepared numbers; one label per row, a class index or a value.
struct Data {
    x: Matrix,
    y: Vec<f64>,
    x_test: Matrix,
    y_test: Vec<f64>,
    /// 0 for a regression.
    n_classes: usize,
}

/// One fit and one prediction.
struct Turn {
    fit: f64,
    predict: f64,
    predictions: Vec<f64>,
}

/// What the rows of a comparison are.
#[derive(Clone, Copy)]
enum Rows {
    /// 20 columns, this many classes.
    Classes(usize),
    /// 20 columns, a number that depends on them in curves and steps.
    Values,
    /// 20 columns, a number that depends on 5 of them linearly.
    Linear,
    /// 20 columns of counts, 3 classes.
    Counts,
    /// The table of fixtures/accuracy, 1,437 × 64, 10 classes.
    Digits,
}

/// A learner of mlapi, the estimator of smartcore it stands for, and the rows they share.
struct Pair {
    algorithm: &'static str,
    settings: &'static [(&'static str, &'static str)],
    estimator: &'static str,
    smartcore: fn(&Data) -> Result<Turn>,
    rows: Rows,
    /// Rows to fit on. Fewer where smartcore takes longest.
    n_rows: usize,
    /// With `--quick`.
    n_quick: usize,
}

const PAIRS: [Pair; 19] = [
    Pair {
        algorithm: "logistic-regression",
        settings: &[],
        estimator: "LogisticRegression",
        smartcore: logistic_regression,
        rows: Rows::Digits,
        n_rows: 1437,
        n_quick: 300,
    },
    Pair {
        algorithm: "logistic-regression",
        settings: &[],
        estimator: "LogisticRegression",
        smartcore: logistic_regression,
        rows: Rows::Classes(3),
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "linear-regression",
        settings: &[],
        estimator: "LinearRegression",
        smartcore: linear_regression,
        rows: Rows::Linear,
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "ridge",
        settings: &[],
        estimator: "RidgeRegression",
        smartcore: ridge,
        rows: Rows::Linear,
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "lasso",
        settings: &[("alpha", "0.1")],
        estimator: "Lasso",
        smartcore: lasso,
        rows: Rows::Linear,
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        // smartcore's penalty of 0.2 and share of 0.5: its part of absolute values counts half.
        algorithm: "elastic-net",
        settings: &[("alpha", "0.15"), ("l1_ratio", "0.3333333333333333")],
        estimator: "ElasticNet",
        smartcore: elastic_net,
        rows: Rows::Linear,
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "decision-tree",
        settings: &[],
        estimator: "DecisionTreeClassifier",
        smartcore: tree_classifier,
        rows: Rows::Classes(3),
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "decision-tree",
        settings: &[],
        estimator: "DecisionTreeRegressor",
        smartcore: tree_regressor,
        rows: Rows::Values,
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "random-forest",
        settings: &[("n_estimators", "10")],
        estimator: "RandomForestClassifier",
        smartcore: forest_classifier,
        rows: Rows::Classes(3),
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "random-forest",
        settings: &[("n_estimators", "10"), ("max_features", "sqrt")],
        estimator: "RandomForestRegressor",
        smartcore: forest_regressor,
        rows: Rows::Values,
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "extra-trees",
        settings: &[("n_estimators", "10"), ("max_features", "sqrt")],
        estimator: "ExtraTreesRegressor",
        smartcore: extra_trees_regressor,
        rows: Rows::Values,
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "gradient-boosting",
        settings: &[
            ("preset", "scikit-learn"),
            ("n_estimators", "20"),
            ("learning_rate", "0.3"),
            ("max_leaf_nodes", "64"),
            ("l2_regularization", "1"),
            ("min_samples_leaf", "1"),
            ("early_stopping", "false"),
        ],
        estimator: "XGRegressor",
        smartcore: boosting_regressor,
        rows: Rows::Values,
        n_rows: 8000,
        n_quick: 500,
    },
    Pair {
        algorithm: "naive-bayes",
        settings: &[],
        estimator: "GaussianNB",
        smartcore: gaussian_bayes,
        rows: Rows::Classes(3),
        n_rows: 8000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "naive-bayes",
        settings: &[("numbers", "counts")],
        estimator: "MultinomialNB",
        smartcore: multinomial_bayes,
        rows: Rows::Counts,
        n_rows: 16_000,
        n_quick: 1000,
    },
    Pair {
        algorithm: "knn",
        settings: &[],
        estimator: "KNNClassifier, cover tree",
        smartcore: |data| neighbours_classifier(data, KNNAlgorithmName::CoverTree),
        rows: Rows::Classes(3),
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "knn",
        settings: &[],
        estimator: "KNNRegressor, linear search",
        smartcore: neighbours_regressor,
        rows: Rows::Values,
        n_rows: 16_000,
        n_quick: 500,
    },
    Pair {
        algorithm: "svm",
        settings: &[("probability", "false"), ("gamma", "0.05")],
        estimator: "SVC",
        smartcore: svc,
        rows: Rows::Classes(2),
        n_rows: 2000,
        n_quick: 200,
    },
    Pair {
        algorithm: "svm",
        settings: &[("probability", "false"), ("gamma", "0.05")],
        estimator: "MultiClassSVC",
        smartcore: multi_class_svc,
        rows: Rows::Classes(3),
        n_rows: 2000,
        n_quick: 200,
    },
    Pair {
        algorithm: "svm",
        settings: &[("gamma", "0.05")],
        estimator: "SVR",
        smartcore: svr,
        rows: Rows::Values,
        n_rows: 2000,
        n_quick: 200,
    },
];

/// An input that shows why an estimator of smartcore is not used. The two sides answer the same question in words.
struct Case {
    /// The learner whose module doc gives the reason.
    learner: &'static str,
    estimator: &'static str,
    question: &'static str,
    /// The answer of scikit-learn 1.9, if it is a number.
    right: &'static str,
    smartcore: fn() -> Result<String>,
    mlapi: fn() -> Result<String>,
}

const CASES: [Case; 14] = [
    Case {
        learner: "trees/forest.rs",
        estimator: "DecisionTreeClassifier",
        question: "ten columns of 0 and 1, y = both of two of them, 5 % noise: held-out accuracy, depth 2, 20 tables",
        right: "0.95",
        smartcore: || ties(tied_classifier),
        mlapi: || ties(|data| ours("decision-tree", &[("max_depth", "2")], data)),
    },
    Case {
        learner: "trees/forest.rs",
        estimator: "DecisionTreeClassifier",
        question: "a leaf of three rows of one class and one of the other: its probability",
        right: "0.75",
        smartcore: hard_probability,
        mlapi: || Ok(format!("{:.2}", class_probability(&mixed_leaf(), &[("max_depth", "1")])?)),
    },
    Case {
        learner: "trees/forest.rs",
        estimator: "RandomForestClassifier",
        question: "200 rows, 2 % of the numbers missing: accuracy on the same rows",
        right: "near 1",
        smartcore: || {
            Ok(format!("{:.2}", score(&with_missing(2), &forest_classifier(&with_missing(2))?.predictions)))
        },
        mlapi: || our_score("random-forest", &[], &with_missing(2)),
    },
    Case {
        learner: "trees/boosting.rs",
        estimator: "XGRegressor",
        question: "200 rows, 2 % of the numbers missing: R² on the same rows",
        right: "near 1",
        smartcore: || {
            Ok(format!("{:.2}", score(&with_missing(0), &boosting_regressor(&with_missing(0))?.predictions)))
        },
        mlapi: || {
            our_score(
                "gradient-boosting",
                &[("preset", "scikit-learn"), ("min_samples_leaf", "1")],
                &with_missing(0),
            )
        },
    },
    Case {
        learner: "neighbours.rs",
        estimator: "KNNClassifier, cover tree",
        question: "one infinite number among 2,000 rows",
        right: "an error",
        smartcore: || {
            neighbours_classifier(&with_infinity(), KNNAlgorithmName::CoverTree).map(|_| "fitted".into())
        },
        mlapi: || our_score("knn", &[], &with_infinity()),
    },
    Case {
        learner: "naive_bayes.rs",
        estimator: "GaussianNB",
        question: "a column that is constant in one of two equally frequent classes: accuracy",
        right: "1.00",
        smartcore: || {
            Ok(format!(
                "{:.2}",
                score(&constant_in_a_class(), &gaussian_bayes(&constant_in_a_class())?.predictions)
            ))
        },
        mlapi: || our_score("naive-bayes", &[], &constant_in_a_class()),
    },
    Case {
        learner: "naive_bayes.rs",
        estimator: "GaussianNB",
        question: "two classes 4 deviations apart, around 1,000,000,000: accuracy",
        right: "0.97",
        smartcore: || {
            Ok(format!("{:.2}", score(&far_from_zero(), &gaussian_bayes(&far_from_zero())?.predictions)))
        },
        mlapi: || our_score("naive-bayes", &[], &far_from_zero()),
    },
    Case {
        learner: "linear/least_squares.rs",
        estimator: "LinearRegression",
        question: "fewer rows (10) than columns (20): R² on the same rows",
        right: "1.00",
        smartcore: || Ok(format!("{:.2}", score(&wide(), &linear_regression(&wide())?.predictions))),
        mlapi: || our_score("linear-regression", &[], &wide()),
    },
    Case {
        learner: "linear/least_squares.rs",
        estimator: "RidgeRegression",
        question: "a constant column among three: R²",
        right: "1.00",
        smartcore: || {
            Ok(format!("{:.2}", score(&constant_column(), &ridge(&constant_column())?.predictions)))
        },
        mlapi: || our_score("ridge", &[], &constant_column()),
    },
    Case {
        learner: "linear/lasso.rs",
        estimator: "Lasso",
        question: "15 of 20 columns are noise: coefficients that are exactly 0",
        right: "15",
        smartcore: || Ok(exact_zeros(&lasso(&unit_rows())?)),
        mlapi: || Ok(exact_zeros(&ours("lasso", &[("alpha", "0.1")], &unit_rows())?)),
    },
    Case {
        learner: "linear/lasso.rs",
        estimator: "ElasticNet",
        question: "a target around 100: R² on held-out rows",
        right: "0.97",
        smartcore: || Ok(format!("{:.2}", score(&shifted(), &elastic_net(&shifted())?.predictions))),
        mlapi: || {
            our_score("elastic-net", &[("alpha", "0.15"), ("l1_ratio", "0.3333333333333333")], &shifted())
        },
    },
    Case {
        learner: "svm/mod.rs",
        estimator: "SVC",
        question: "fewer rows (10) than columns (20): accuracy on the same rows",
        right: "0.90",
        smartcore: || Ok(format!("{:.2}", score(&wide_classes(), &svc(&wide_classes())?.predictions))),
        mlapi: || our_score("svm", &[("probability", "false"), ("gamma", "0.05")], &wide_classes()),
    },
    Case {
        learner: "svm/mod.rs",
        estimator: "SVR",
        question: "a kernel of third degree: R² on held-out rows",
        right: "0.94",
        smartcore: || Ok(format!("{:.2}", score(&cubic(), &cubic_svr(&cubic())?))),
        mlapi: || our_score("svm", &CUBIC, &cubic()),
    },
    Case {
        learner: "svm/mod.rs",
        estimator: "MultiClassSVC",
        question: "four classes of noise: predictions of 300 that differ between two calls of one model",
        right: "0",
        smartcore: unsteady_votes,
        mlapi: our_votes,
    },
];

/// Numbers from a fixed seed (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    /// From 0, below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal, by Box and Muller's formula.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.share()).ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}

const COLS: usize = 20;

/// Rows to score, whatever the rows to fit on.
const TEST_ROWS: usize = 2000;

/// `n_rows` rows of `cells` numbers each, with the label that `label` makes of them.
fn table(
    n_rows: usize,
    n_cols: usize,
    random: &mut Random,
    mut cell: impl FnMut(&mut Random) -> f64,
    mut label: impl FnMut(&[f64], &mut Random) -> f64,
) -> (Matrix, Vec<f64>) {
    let mut x = Matrix::zeros(n_rows, n_cols);
    let mut y = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        x.row_mut(row).iter_mut().for_each(|value| *value = cell(random));
        y.push(label(x.row(row), random));
    }
    (x, y)
}

/// The same kind of rows to fit on and to score.
fn both(
    n_rows: usize,
    n_test: usize,
    n_cols: usize,
    n_classes: usize,
    seed: u64,
    cell: impl Fn(&mut Random) -> f64 + Copy,
    label: impl Fn(&[f64], &mut Random) -> f64 + Copy,
) -> Data {
    let random = &mut Random(seed);
    let (x, y) = table(n_rows, n_cols, random, cell, label);
    let (x_test, y_test) = table(n_test, n_cols, random, cell, label);
    Data { x, y, x_test, y_test, n_classes }
}

impl Rows {
    fn name(self) -> String {
        match self {
            Self::Classes(n) => format!("{n} classes"),
            Self::Values | Self::Linear => "numbers".into(),
            Self::Counts => "counts, 3 classes".into(),
            Self::Digits => "digits".into(),
        }
    }

    fn make(self, n_rows: usize) -> Result<Data> {
        let numbers = |label: fn(&[f64], &mut Random) -> f64| {
            both(n_rows, TEST_ROWS, COLS, 0, 1, Random::normal, label)
        };
        Ok(match self {
            Self::Values => numbers(curved),
            Self::Linear => numbers(linear),
            Self::Digits => digits(n_rows)?,
            Self::Counts => {
                let count = |random: &mut Random| (6.0 * random.share()).floor();
                both(n_rows, TEST_ROWS, COLS, 3, 1, count, |x, random| {
                    let sums = [0, 1, 2].map(|class| x[class] + x[class + 3] + 2.0 * random.share());
                    largest(&sums) as f64
                })
            }
            Self::Classes(n) => both(n_rows, TEST_ROWS, COLS, n, 1, Random::normal, |x, random| {
                let share = 1.0 / (1.0 + (2.0 - curved(x, random)).exp());
                (share * n as f64).floor().min(n as f64 - 1.0)
            }),
        })
    }
}

/// The index of the largest number, the first of equals.
fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn curved(x: &[f64], random: &mut Random) -> f64 {
    let steps = if x[3] > 0.0 { 2.0 } else { 0.0 };
    3.0 * x[0] + x[1] * x[2] + steps + (2.0 * x[4]).sin() + 0.5 * random.normal()
}

fn linear(x: &[f64], random: &mut Random) -> f64 {
    3.0 * x[0] - 2.0 * x[1] + x[2] + 0.5 * x[3] - 0.5 * x[4] + 0.5 * random.normal()
}

/// The first `n_rows` training rows of the fixture, and all its test rows, standardised by the former.
fn digits(n_rows: usize) -> Result<Data> {
    let read = |part: &str| -> Result<(Matrix, Vec<f64>)> {
        let path = format!("{}/../fixtures/accuracy/digits.{part}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).context(path)?;
        let rows: Vec<&str> = text.lines().skip(1).take(n_rows).collect();
        let mut x = Matrix::zeros(rows.len(), 64);
        let mut y = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let cells = row.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
            x.row_mut(i).copy_from_slice(&cells[..64]);
            y.push(cells[64]);
        }
        Ok((x, y))
    };
    let ((mut x, y), (mut x_test, y_test)) = (read("train")?, read("test")?);
    for column in 0..64 {
        let n = x.n_rows() as f64;
        let mean = x.rows().map(|row| row[column]).sum::<f64>() / n;
        let variance = x.rows().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / n;
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        for matrix in [&mut x, &mut x_test] {
            (0..matrix.n_rows())
                .for_each(|row| matrix.row_mut(row)[column] = (matrix.row(row)[column] - mean) / scale);
        }
    }
    Ok(Data { x, y, x_test, y_test, n_classes: 10 })
}

/// Accuracy or R² of predictions for the test rows.
fn score(data: &Data, predictions: &[f64]) -> f64 {
    let pairs = || data.y_test.iter().zip(predictions);
    let n = data.y_test.len() as f64;
    if data.n_classes > 0 {
        return pairs().filter(|(y, predicted)| y == predicted).count() as f64 / n;
    }
    let mean = data.y_test.iter().sum::<f64>() / n;
    let total: f64 = data.y_test.iter().map(|y| (y - mean).powi(2)).sum();
    1.0 - pairs().map(|(y, predicted)| (y - predicted).powi(2)).sum::<f64>() / total
}

fn fit_ours(name: &str, settings: &[(&str, &str)], data: &Data) -> Result<Predictor> {
    let pairs: Vec<_> = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let codes: Vec<u32> = data.y.iter().map(|&y| y as u32).collect();
    let (task, labels) = match data.n_classes {
        0 => (Task::Regression, Labels::Values(&data.y)),
        n_classes => (Task::Classification, Labels::Classes { codes: &codes, n_classes }),
    };
    let spec = Spec::new(algorithm(name)?, task, &pairs)?;
    Ok(spec.fit(&Dataset { seed: 1, ..Dataset::new(&data.x, labels) }, &Unwatched)?.predictor)
}

fn scores(predictor: &Predictor, x: &Matrix) -> Vec<f64> {
    let mut scores = vec![0.0; x.n_rows() * predictor.n_outputs()];
    predictor.scores_block(x.values(), &mut scores);
    scores
}

fn ours(name: &str, settings: &[(&str, &str)], data: &Data) -> Result<Turn> {
    let started = Instant::now();
    let predictor = fit_ours(name, settings, data)?;
    let fit = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let scores = scores(&predictor, &data.x_test);
    let predictions = match data.n_classes {
        0 => scores,
        n_classes => scores.chunks_exact(n_classes).map(|row| largest(row) as f64).collect(),
    };
    Ok(Turn { fit, predict: started.elapsed().as_secs_f64(), predictions })
}

fn our_score(name: &str, settings: &[(&str, &str)], data: &Data) -> Result<String> {
    Ok(format!("{:.2}", score(data, &ours(name, settings, data)?.predictions)))
}

fn dense(x: &Matrix) -> Result<DenseMatrix<f64>> {
    DenseMatrix::new(x.n_rows(), x.n_cols(), x.values().to_vec(), false).map_err(failed)
}

fn codes(data: &Data) -> Vec<u32> {
    data.y.iter().map(|&y| y as u32).collect()
}

fn failed(failed: Failed) -> anyhow::Error {
    anyhow!("{failed}")
}

/// Times a fit and a prediction of smartcore.
macro_rules! turn {
    ($fit:expr, |$model:ident| $predict:expr) => {{
        let started = Instant::now();
        let $model = $fit.map_err(failed)?;
        let fit = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let predictions = $predict.map_err(failed)?;
        let predict = started.elapsed().as_secs_f64();
        Ok(Turn { fit, predict, predictions: predictions.into_iter().map(f64::from).collect() })
    }};
}

fn logistic_regression(data: &Data) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = LogisticRegressionParameters::default().with_alpha(1.0);
    turn!(LogisticRegression::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn linear_regression(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = LinearRegressionParameters::default();
    turn!(LinearRegression::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn ridge(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = RidgeRegressionParameters::default();
    turn!(RidgeRegression::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

/// Its penalty is twice scikit-learn's.
fn lasso(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = LassoParameters::default().with_alpha(0.2);
    turn!(Lasso::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn elastic_net(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = ElasticNetParameters::default().with_alpha(0.2).with_l1_ratio(0.5);
    turn!(ElasticNet::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn tree_classifier(data: &Data) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = DecisionTreeClassifierParameters::default();
    turn!(DecisionTreeClassifier::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn tree_regressor(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = DecisionTreeRegressorParameters::default();
    turn!(DecisionTreeRegressor::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn forest_classifier(data: &Data) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = RandomForestClassifierParameters::default().with_n_trees(10).with_seed(1);
    turn!(RandomForestClassifier::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn forest_regressor(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = RandomForestRegressorParameters::default().with_n_trees(10).with_seed(1);
    turn!(RandomForestRegressor::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn extra_trees_regressor(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = ExtraTreesRegressorParameters::default().with_n_trees(10).with_seed(1);
    turn!(ExtraTreesRegressor::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn boosting_regressor(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = XGRegressorParameters::default().with_n_estimators(20);
    turn!(XGRegressor::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn gaussian_bayes(data: &Data) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = GaussianNBParameters::default();
    turn!(GaussianNB::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn multinomial_bayes(data: &Data) -> Result<Turn> {
    let whole = |x: &Matrix| {
        let counts = x.values().iter().map(|&count| count as u32).collect();
        DenseMatrix::new(x.n_rows(), x.n_cols(), counts, false).map_err(failed)
    };
    let (x, x_test, y) = (whole(&data.x)?, whole(&data.x_test)?, codes(data));
    let parameters = MultinomialNBParameters::default();
    turn!(MultinomialNB::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn neighbours_classifier(data: &Data, search: KNNAlgorithmName) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = KNNClassifierParameters::default().with_k(5).with_algorithm(search);
    turn!(KNNClassifier::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

fn neighbours_regressor(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters =
        KNNRegressorParameters::default().with_k(5).with_algorithm(KNNAlgorithmName::LinearSearch);
    turn!(KNNRegressor::fit(&x, &data.y, parameters), |model| model.predict(&x_test))
}

fn svc(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let y: Vec<i32> = data.y.iter().map(|&y| y as i32).collect();
    let parameters = SVCParameters::default().with_kernel(Kernels::rbf().with_gamma(0.05));
    turn!(SVC::fit(&x, &y, &parameters), |model| model.predict(&x_test))
}

fn multi_class_svc(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let y: Vec<i32> = data.y.iter().map(|&y| y as i32).collect();
    let parameters = SVCParameters::default().with_kernel(Kernels::rbf().with_gamma(0.05));
    turn!(MultiClassSVC::fit(&x, &y, &parameters), |model| model.predict(&x_test))
}

fn svr(data: &Data) -> Result<Turn> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let parameters = SVRParameters::default().with_kernel(Kernels::rbf().with_gamma(0.05));
    turn!(SVR::fit(&x, &data.y, &parameters), |model| model.predict(&x_test))
}

/// The mean accuracy of a tree on tables of 0 and 1.
fn ties(fit: impl Fn(&Data) -> Result<Turn>) -> Result<String> {
    let tables = (0..20).map(|seed| {
        let bit = |random: &mut Random| f64::from(random.share() < 0.5);
        both(500, 500, 10, 2, seed, bit, |x, random| {
            let label = x[0] * x[1];
            if random.share() < 0.05 { 1.0 - label } else { label }
        })
    });
    let scores = tables.map(|data| Ok(score(&data, &fit(&data)?.predictions)));
    let scores = scores.collect::<Result<Vec<f64>>>()?;
    Ok(format!("{:.2}", scores.iter().sum::<f64>() / scores.len() as f64))
}

/// Its root is level 1.
fn tied_classifier(data: &Data) -> Result<Turn> {
    let (x, x_test, y) = (dense(&data.x)?, dense(&data.x_test)?, codes(data));
    let parameters = DecisionTreeClassifierParameters::default().with_max_depth(3);
    turn!(DecisionTreeClassifier::fit(&x, &y, parameters), |model| model.predict(&x_test))
}

/// Four rows of 0 with one of class 1 among them, four of 1 with one of class 0.
fn mixed_leaf() -> Data {
    let mut x = Matrix::zeros(8, 1);
    (4..8).for_each(|row| x.row_mut(row)[0] = 1.0);
    let mut x_test = Matrix::zeros(1, 1);
    x_test.row_mut(0)[0] = 1.0;
    Data { x, y: vec![0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0], x_test, y_test: vec![1.0], n_classes: 2 }
}

fn hard_probability() -> Result<String> {
    let data = mixed_leaf();
    let parameters = DecisionTreeClassifierParameters::default().with_max_depth(2);
    let model = DecisionTreeClassifier::fit(&dense(&data.x)?, &codes(&data), parameters).map_err(failed)?;
    let probabilities = model.predict_proba(&dense(&data.x_test)?).map_err(failed)?;
    Ok(format!("{:.2}", probabilities.get((0, 1))))
}

fn class_probability(data: &Data, settings: &[(&str, &str)]) -> Result<f64> {
    Ok(scores(&fit_ours("decision-tree", settings, data)?, &data.x_test)[1])
}

/// Rows of the first of four columns, 2 % of whose numbers are missing, scored as they were fitted.
fn with_missing(n_classes: usize) -> Data {
    let random = &mut Random(1);
    let (mut x, y) = table(200, 4, random, Random::normal, |x, _| match n_classes {
        0 => x[0],
        _ => f64::from(x[0] > 0.0),
    });
    x.values_mut().iter_mut().filter(|_| random.share() < 0.02).for_each(|value| *value = f64::NAN);
    Data { x: x.clone(), y: y.clone(), x_test: x, y_test: y, n_classes }
}

fn with_infinity() -> Data {
    let mut data = both(2000, 100, 4, 2, 1, Random::normal, |x, _| f64::from(x[0] > 0.0));
    data.x.row_mut(1000)[2] = f64::INFINITY;
    data
}

/// The first column is 1 in all rows of class 0 and normal in the others; the second distinguishes the classes.
fn constant_in_a_class() -> Data {
    let mut data = both(500, 500, 2, 2, 1, Random::normal, |x, _| f64::from(x[1] > 0.0));
    for (x, y) in [(&mut data.x, &data.y), (&mut data.x_test, &data.y_test)] {
        (0..y.len()).filter(|&row| y[row] == 0.0).for_each(|row| x.row_mut(row)[0] = 1.0);
    }
    data
}

fn far_from_zero() -> Data {
    let mut data = both(500, 500, 1, 2, 1, |random| f64::from(random.share() < 0.5), |x, _| x[0]);
    let random = &mut Random(2);
    for x in [&mut data.x, &mut data.x_test] {
        x.values_mut().iter_mut().for_each(|value| *value = 1e9 + 4.0 * *value + random.normal());
    }
    data
}

fn scored_as_fitted(
    n_rows: usize,
    n_cols: usize,
    n_classes: usize,
    label: fn(&[f64], &mut Random) -> f64,
) -> Data {
    let (x, y) = table(n_rows, n_cols, &mut Random(1), Random::normal, label);
    Data { x: x.clone(), y: y.clone(), x_test: x, y_test: y, n_classes }
}

fn wide() -> Data {
    scored_as_fitted(10, 20, 0, linear)
}

fn wide_classes() -> Data {
    scored_as_fitted(10, 20, 2, |x, _| f64::from(x[0] > 0.0))
}

fn constant_column() -> Data {
    let mut data = scored_as_fitted(100, 3, 0, |x, random| x[0] + x[1] + 0.01 * random.normal());
    for x in [&mut data.x, &mut data.x_test] {
        (0..100).for_each(|row| x.row_mut(row)[2] = 2.0);
    }
    data
}

/// Scores the origin and the unit vectors, which tells the coefficients whatever form the model has.
fn unit_rows() -> Data {
    let mut data = both(500, COLS + 1, COLS, 0, 1, Random::normal, linear);
    data.x_test.values_mut().fill(0.0);
    (0..COLS).for_each(|column| data.x_test.row_mut(column + 1)[column] = 1.0);
    data
}

fn exact_zeros(turn: &Turn) -> String {
    let at_zero = turn.predictions[0];
    turn.predictions[1..].iter().filter(|&&value| value == at_zero).count().to_string()
}

fn shifted() -> Data {
    both(500, 500, COLS, 0, 1, Random::normal, |x, random| 100.0 + linear(x, random))
}

const CUBIC: [(&str, &str); 4] = [("kernel", "poly"), ("degree", "3"), ("gamma", "0.1"), ("coef0", "1")];

fn cubic() -> Data {
    both(300, 300, 5, 0, 1, Random::normal, |x, random| {
        0.3 * (x[0] + x[1] * x[2] + x[3] * x[3] * x[3]) + 0.2 * random.normal()
    })
}

fn cubic_svr(data: &Data) -> Result<Vec<f64>> {
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let kernel = Kernels::polynomial().with_degree(3.0).with_gamma(0.1).with_coef0(1.0);
    let parameters = SVRParameters::default().with_kernel(kernel);
    let model = SVR::fit(&x, &data.y, &parameters).map_err(failed)?;
    model.predict(&x_test).map_err(failed)
}

/// Four classes that the numbers say nothing of, so that votes are often equal.
fn noise() -> Data {
    both(200, 300, 5, 4, 1, Random::normal, |_, random| (4.0 * random.share()).floor())
}

fn differences(first: &[f64], second: &[f64]) -> String {
    first.iter().zip(second).filter(|(a, b)| a != b).count().to_string()
}

fn unsteady_votes() -> Result<String> {
    let data = noise();
    let (x, x_test) = (dense(&data.x)?, dense(&data.x_test)?);
    let y: Vec<i32> = data.y.iter().map(|&y| y as i32).collect();
    let parameters = SVCParameters::default().with_kernel(Kernels::rbf().with_gamma(0.05));
    let model = MultiClassSVC::fit(&x, &y, &parameters).map_err(failed)?;
    let call = || model.predict(&x_test).map_err(failed);
    Ok(differences(&call()?, &call()?))
}

fn our_votes() -> Result<String> {
    let data = noise();
    let predictor = fit_ours("svm", &[("probability", "false"), ("gamma", "0.05")], &data)?;
    Ok(differences(&scores(&predictor, &data.x_test), &scores(&predictor, &data.x_test)))
}

/// What came of a child process that ran one turn or one case.
enum Outcome {
    Answer(String),
    /// The first line of what it wrote to standard error, or how it ended.
    Broke(String),
    TooLong,
}

/// Runs this program with `arguments` for at most `limit`.
fn child(arguments: &[&str], threads: &str, limit: Duration) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).env("RAYON_NUM_THREADS", threads).env("RUST_BACKTRACE", "0");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let started = Instant::now();
    // It writes a line or two: no pipe fills up.
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TooLong);
        }
        sleep(Duration::from_millis(2));
    };
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().context("piped")?.read_to_string(&mut out)?;
    child.stderr.take().context("piped")?.read_to_string(&mut err)?;
    if status.success() {
        return Ok(Outcome::Answer(out.trim().into()));
    }
    // A panic says where in its first line and why in the next.
    let mut lines = err.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_string();
    Ok(Outcome::Broke(match (first.contains("panicked at"), first.contains("overflowed its stack")) {
        (true, _) => format!("panics: {}", lines.next().unwrap_or_default()),
        (_, true) => "the process aborts: its stack overflows".into(),
        _ => first.trim_start_matches("Error: ").to_string(),
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.2} ms", 1e3 * seconds) } else { format!("{seconds:.2} s") }
}

/// The medians of the turns of one side: fit, predict, score; or why there are none.
type Side = Result<[f64; 3], String>;

struct Options {
    quick: bool,
    only: String,
    turns: usize,
    threads: String,
}

impl Options {
    fn limit(&self) -> Duration {
        Duration::from_secs(if self.quick { 10 } else { 60 })
    }

    fn has(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| text.to_lowercase().contains(&self.only.to_lowercase()))
    }
}

/// The sides of a pair, measured in turns.
fn measure(pair: usize, n_rows: usize, options: &Options) -> Result<[Side; 2]> {
    let mut figures: [Vec<[f64; 3]>; 2] = Default::default();
    let mut broke: [Option<String>; 2] = Default::default();
    for _ in 0..options.turns {
        for (side, name) in ["smartcore", "mlapi"].into_iter().enumerate() {
            if broke[side].is_some() {
                continue;
            }
            let arguments = ["--turn", &pair.to_string(), name, &n_rows.to_string()];
            let answer = match child(&arguments, &options.threads, options.limit())? {
                Outcome::Answer(answer) => answer,
                Outcome::Broke(how) => {
                    broke[side] = Some(how);
                    continue;
                }
                Outcome::TooLong => {
                    broke[side] = Some(format!("over {} s", options.limit().as_secs()));
                    continue;
                }
            };
            let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
            figures[side]
                .push(["fit", "predict", "score"].map(|key| answer[key].as_f64().unwrap_or(f64::NAN)));
        }
    }
    let of_side = |side: usize| match &broke[side] {
        Some(how) => Err(how.clone()),
        None => Ok([0, 1, 2].map(|i| median(figures[side].iter().map(|figure| figure[i]).collect()))),
    };
    Ok([of_side(0), of_side(1)])
}

fn compare(options: &Options) -> Result<()> {
    println!(
        "{} threads for mlapi, medians of {} turns; times are smartcore's, mlapi's, and their ratio\n",
        options.threads, options.turns
    );
    println!("| estimator | learner | rows | fit | predict | accuracy or R² |\n|---|---|---|--:|--:|--:|");
    for (i, pair) in PAIRS.iter().enumerate() {
        if !options.has(&[pair.algorithm, pair.estimator]) {
            continue;
        }
        let n_rows = if options.quick { pair.n_quick } else { pair.n_rows };
        let start = format!("| {} | {} | {} × {n_rows}", pair.estimator, pair.algorithm, pair.rows.name());
        match measure(i, n_rows, options)? {
            [Ok(theirs), Ok(ours)] => {
                let times =
                    |i: usize| format!("{}, {}, {:.1}×", time(theirs[i]), time(ours[i]), theirs[i] / ours[i]);
                println!("{start} | {} | {} | {:.3}, {:.3} |", times(0), times(1), theirs[2], ours[2]);
            }
            [Err(how), Ok(ours)] => {
                println!("{start} | {how}; {} | {} | {:.3} |", time(ours[0]), time(ours[1]), ours[2]);
            }
            [_, Err(how)] => bail!("{}: mlapi: {how}", pair.algorithm),
        }
    }
    println!(
        "\nsmartcore has no network, no boosting of classes, and no extremely randomised trees for classes.\n"
    );
    Ok(())
}

fn show_cases(options: &Options) -> Result<()> {
    println!("| reason given in | estimator | case | right | smartcore | mlapi |\n|---|---|---|---|---|---|");
    for (i, case) in CASES.iter().enumerate() {
        if !options.has(&[case.learner, case.estimator]) {
            continue;
        }
        let answer = |side| {
            Ok::<_, anyhow::Error>(
                match child(&["--case", &i.to_string(), side], &options.threads, options.limit())? {
                    Outcome::Answer(answer) => answer,
                    Outcome::Broke(how) => how,
                    Outcome::TooLong => format!("over {} s", options.limit().as_secs()),
                },
            )
        };
        let (theirs, ours) = (answer("smartcore")?, answer("mlapi")?);
        let mended = if theirs == ours { " (mended: the reason no longer holds)" } else { "" };
        println!(
            "| {} | {} | {} | {} | {theirs}{mended} | {ours} |",
            case.learner, case.estimator, case.question, case.right
        );
    }
    Ok(())
}

fn run(arguments: &[&str]) -> Result<()> {
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("{text:?} is no whole number"));
    match arguments {
        // What the processes that this one starts are to do.
        ["--turn", pair, side, n_rows] => {
            let pair = PAIRS.get(number(pair)?).context("no such pair")?;
            let data = pair.rows.make(number(n_rows)?)?;
            // Starts the threads, whose start is no part of a fit.
            rayon::join(|| (), || ());
            let turn = match *side {
                "smartcore" => (pair.smartcore)(&data)?,
                _ => ours(pair.algorithm, pair.settings, &data)?,
            };
            let score = score(&data, &turn.predictions);
            println!("{}", json!({ "fit": turn.fit, "predict": turn.predict, "score": score }));
            return Ok(());
        }
        ["--case", case, side] => {
            let case = CASES.get(number(case)?).context("no such case")?;
            println!("{}", if *side == "smartcore" { (case.smartcore)()? } else { (case.mlapi)()? });
            return Ok(());
        }
        _ => {}
    }
    let mut options = Options { quick: false, only: String::new(), turns: 5, threads: "1".into() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} takes a value"));
        match *argument {
            "--quick" => (options.quick, options.turns) = (true, 1),
            "--only" => options.only = value()?.to_string(),
            "--turns" => options.turns = number(value()?)?,
            "--threads" => options.threads = value()?.to_string(),
            _ => bail!("usage: smartcore [--quick] [--only TEXT] [--turns N] [--threads N]"),
        }
    }
    ensure!(options.turns > 0, "--turns is at least 1");
    compare(&options)?;
    show_cases(&options)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
