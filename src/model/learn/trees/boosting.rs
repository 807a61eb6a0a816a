//! Gradient boosting: each tree is a Newton step on the loss of the trees before it.
//!
//! Friedman 2001, "Greedy function approximation: a gradient boosting machine"; Chen and Guestrin 2016,
//! "XGBoost"; Ke et al. 2017, "LightGBM". Trees grow best-first on histograms. Hyperparameters are those of
//! scikit-learn's `HistGradientBoosting*`, and `subsample` of its older `GradientBoosting*`.
//!
//! Costs 16 bytes per row and score, and the growth of trees.

use anyhow::{Result, ensure};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::best_split::{Care, Limits};
use super::bins::Bins;
use super::compact::Compact;
use super::criterion::Criterion;
use super::engine::Growth;
use super::fixed_point::{Scale, mass_bits, nearest_whole};
use super::grow::Grower;
use super::hyperparameters::{BOOSTING, EarlyStopping, LossName, MONOTONIC, whole_or_unlimited};
use super::loss::Loss;
use super::moments::{Moments, Packed};
use super::newton::{MIN_SHARED_ROWS, State, Steps};
use super::tree::{Node, Tree};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::dataset::Direction;
use crate::model::learn::{Algorithm, Dataset, Fit, Labels, Learner, Settings, Watch, usage};
use crate::model::predictor::Predictor;
use crate::parallel;
use crate::random::{below, generator, unit_interval};

/// Least sum of second derivatives of a leaf; scikit-learn's and LightGBM's.
const MIN_HESSIAN: f64 = 1e-3;

/// `max_delta_step=auto` for classes. A leaf of one class whose probability was 1 in 5 goes as far; that of a class of 1
/// in 1000 would go 200 times as far.
const MAX_DELTA_STEP: f64 = 5.0;

/// A category of so few levels is split without care; LightGBM's `max_cat_to_onehot`.
const FEW_LEVELS: usize = 4;

/// Of a category of more levels most that go left; LightGBM's `max_cat_threshold`.
const MAX_LEFT_LEVELS: usize = 32;

/// From more rows than this `early_stopping=auto` holds rows out, as in scikit-learn.
const AUTO_STOPPING_ROWS: usize = 10_000;

/// The training loss that is shown is that of this many rows.
const SHOWN_ROWS: usize = 1000;

/// Boosted trees.
pub(crate) static GRADIENT_BOOSTING: Algorithm = Algorithm {
    name: "gradient-boosting",
    alias: Some("boost"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "Many small trees, each correcting those before it; often the most accurate on tables",
    idea: "Small trees are added one after the other, each fitted to the derivatives of the loss that \
           the trees before it leave. Columns are binned once, so that a split is found in a histogram. \
           With early stopping some rows are kept aside and decide how many trees there are.",
    source: "Friedman 2001, \"Greedy function approximation: a gradient boosting machine\"; Chen and \
           Guestrin 2016, \"XGBoost\"; Ke et al. 2017, \"LightGBM\"",
    smartcore: "None. Its boosting (0.7) is for regression only, without early stopping, and sorts each \
           column again at each node: 19 times as long on 8,000 rows.",
    parameters: &BOOSTING,
    learner: |settings| {
        Box::new(GradientBoosting {
            loss: settings.choice("loss"),
            quantile: settings.number("quantile"),
            tweedie_power: settings.number("tweedie_power"),
            learning_rate: settings.number("learning_rate"),
            n_estimators: settings.whole("n_estimators"),
            max_leaf_nodes: whole_or_unlimited(settings, "max_leaf_nodes"),
            max_depth: whole_or_unlimited(settings, "max_depth"),
            min_samples_leaf: settings.whole("min_samples_leaf"),
            l2_regularization: settings.number("l2_regularization"),
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
        })
    },
};

/// Parameters of boosting; `None` is `auto`.
struct GradientBoosting {
    loss: LossName,
    quantile: f64,
    tweedie_power: f64,
    learning_rate: f64,
    n_estimators: usize,
    max_leaf_nodes: usize,
    max_depth: usize,
    min_samples_leaf: usize,
    l2_regularization: f64,
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
    fn split_rows(&self, data: &Dataset) -> (Vec<u32>, Vec<u32>) {
        let counts = |row: &u32| data.weights.is_none_or(|weights| weights[*row as usize] > 0.0);
        let rows: Vec<u32> = (0..data.n_rows() as u32).filter(counts).collect();
        let stops = match self.early_stopping {
            EarlyStopping::Always => true,
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

    /// Some of `items` in their order.
    fn draw(items: &[u32], share: f64, random: &mut Pcg64) -> Vec<u32> {
        if share >= 1.0 || items.is_empty() {
            return items.to_vec();
        }
        let mut drawn: Vec<u32> = items.iter().copied().filter(|_| unit_interval(random) < share).collect();
        if drawn.is_empty() {
            drawn.push(items[below(items.len(), random)]);
        }
        drawn
    }

    /// Fits on columns of bytes; the rows of `data` are not read.
    fn fit_bins(&self, mut bins: Bins, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        bins.group();
        let loss = self.loss(data.y)?;
        if data.directions.iter().any(|direction| *direction != Direction::Free)
            && matches!(loss, Loss::AbsoluteError | Loss::Quantile { .. })
        {
            return Err(usage(format!(
                "--set {MONOTONIC}: loss={} sets the leaves to medians or quantiles, which keep to no bounds; use another \
                 loss",
                self.loss.word()
            )));
        }
        Ok(parallel::on_pool(|| self.boost(data, &bins, loss, watch)))
    }

    fn boost(&self, data: &Dataset, bins: &Bins, loss: Loss, watch: &dyn Watch) -> Fit {
        let (n_rows, n_scores) = (data.n_rows(), loss.n_scores());
        let is_unit = matches!(loss, Loss::SquaredError | Loss::AbsoluteError | Loss::Quantile { .. });
        let unit_mass = is_unit && data.weights.is_none();
        let (train, held_out) = self.split_rows(data);
        let base = loss.base(data, &train);
        let mut state = State::new(data, loss, &base);
        let shown: Vec<u32> = match held_out.is_empty() {
            true => train.iter().copied().step_by(train.len().div_ceil(SHOWN_ROWS)).collect(),
            false => Vec::new(),
        };
        let n_classes = if let Labels::Classes { n_classes, .. } = data.y { n_classes } else { 1 };
        let growth = self.growth(bins, train.len(), n_classes);
        let steps = self.steps(loss);
        // The trees of a round do not depend on each other: as many grow at the same time as there are cores.
        let n_growers = n_scores.min(rayon::current_num_threads().max(2));
        let (mut growers, room) = growers(n_growers, bins, growth, n_rows, unit_mass);
        let mut random = generator(data.seed);
        let mut rounds: Vec<Vec<Step>> = Vec::new();
        let (mut best_loss, mut best_round) = (f64::INFINITY, 0);
        for round in 0..self.n_estimators {
            // The first round is always finished, so that an interrupted model predicts.
            if round > 0 && watch.stopped() {
                break;
            }
            let sums = state.take_derivatives();
            let sample = |(score, sums): (usize, &[f64; 2])| {
                let scale = Scale::new(*sums, room, n_rows, unit_mass);
                self.draw_sample(score, &train, &bins.usable, scale, growth.limits, &mut random)
            };
            let samples: Vec<Sample> = sums.iter().enumerate().map(sample).collect();
            let mut grown = Vec::with_capacity(n_scores);
            let mut samples = samples.into_iter().peekable();
            while samples.peek().is_some() {
                let at_a_time: Vec<_> = growers.iter_mut().zip(samples.by_ref()).collect();
                grown.extend(parallel::map(at_a_time, &|(grow, sample): (&mut GrowTree, Sample)| {
                    let (score, Scale { g, h }) = (sample.score, sample.scale);
                    let tree = grow(&state, sample);
                    let values = state.leaf_values(&tree, score, steps);
                    Step { tree, values, gain_unit: h / (g * g) }
                }));
            }
            for (score, Step { tree, values, .. }) in grown.iter_mut().enumerate() {
                state.add(tree, values, score, bins, (&train, &held_out));
                tree.rows = Vec::new();
            }
            rounds.push(grown);
            let (done, total) = (round as u64 + 1, self.n_estimators as u64);
            if held_out.is_empty() {
                watch.progress(done, total, format_args!("loss {:.6}", state.mean_loss(&shown)));
                best_round = round;
                continue;
            }
            let held_out_loss = state.mean_loss(&held_out);
            watch.progress(done, total, format_args!("validation loss {held_out_loss:.6}"));
            if held_out_loss < best_loss - self.tol || round == 0 {
                (best_loss, best_round) = (held_out_loss, round);
            } else if round - best_round >= self.n_iter_no_change {
                break;
            }
        }
        let mut notes = Vec::new();
        if !held_out.is_empty() {
            notes.push(format!(
                "early stopping kept the first {} of {} rounds, where the loss of {} held-out rows was least \
                 ({best_loss:.6}); --set early_stopping=false fits on all rows",
                best_round + 1,
                rounds.len(),
                held_out.len()
            ));
        }
        let mut compact = Compact::new(data, bins, loss.link(), 1, base, 1.0);
        for Step { tree, values, gain_unit } in rounds[..=best_round].iter().flatten() {
            let mut values = values.iter();
            let mut fill = |_: &Node, out: &mut [f64]| {
                out.iter_mut().zip(&mut values).for_each(|(out, value)| *out = *value);
            };
            compact.push(tree, bins, &mut fill, *gain_unit);
        }
        Fit { predictor: Predictor::Trees(Box::new(compact.finish())), notes }
    }

    fn steps(&self, loss: Loss) -> Steps {
        let bound = self.max_delta_step.unwrap_or(match loss {
            Loss::Logistic | Loss::Softmax { .. } => MAX_DELTA_STEP,
            _ => 0.0,
        });
        Steps {
            learning_rate: self.learning_rate,
            l2: self.l2_regularization,
            max_delta: if bound > 0.0 { bound } else { f64::INFINITY },
        }
    }

    /// LightGBM's care with categories, as strict as there that a table is large, and less on small ones, which could
    /// not be split at all otherwise.
    fn care(&self, n_rows: usize, n_classes: usize) -> Care {
        let per_class = n_rows as f64 / n_classes.max(1) as f64;
        let of_rows = |per_row: f64, least: f64, most: f64| (per_class / per_row).clamp(least, most);
        let (min_group_rows, min_level_rows) = match self.min_data_per_group {
            Some(rows) => (rows as i64, self.cat_smooth),
            None => (of_rows(50.0, 10.0, 100.0) as i64, self.cat_smooth.min(of_rows(20.0, 3.0, 10.0))),
        };
        Care {
            few_levels: FEW_LEVELS,
            smoothing: self.cat_smooth,
            smooths_to_node: false,
            l2: self.cat_l2.unwrap_or(of_rows(100.0, 3.0, 10.0)),
            min_level_rows: (min_level_rows as i64).max(1),
            min_group_rows,
            max_left_levels: MAX_LEFT_LEVELS,
        }
    }

    /// `n_classes`: 1 for regression.
    fn growth(&self, bins: &Bins, n_rows: usize, n_classes: usize) -> Growth {
        let n_columns = self.colsample * bins.usable.len() as f64;
        let drawn = (self.max_features * n_columns).ceil() as usize;
        Growth {
            max_depth: self.max_depth,
            max_leaf_nodes: self.max_leaf_nodes,
            min_samples_split: 2,
            max_features: if self.max_features < 1.0 { drawn.max(1) } else { usize::MAX },
            random_cuts: false,
            parallel: true,
            limits: Limits {
                care: Some(self.care(n_rows, n_classes)),
                ..Limits::new(self.min_samples_leaf.min(n_rows) as i64, 0.0)
            },
        }
    }

    fn draw_sample(
        &self,
        score: usize,
        train: &[u32],
        usable: &[u32],
        scale: Scale,
        limits: Limits,
        random: &mut Pcg64,
    ) -> Sample {
        let rows = Self::draw(train, self.subsample, random);
        let mut columns = Self::draw(usable, self.colsample, random);
        columns.sort_unstable();
        let limits = Limits {
            min_mass: (MIN_HESSIAN * scale.h).max(1.0),
            l2: self.l2_regularization * scale.h,
            care: limits.care.map(|care| Care {
                smoothing: care.smoothing * scale.h,
                l2: care.l2 * scale.h,
                ..care
            }),
            ..limits
        };
        Sample { score, rows, columns, scale, limits, seed: random.next_u64() }
    }
}

/// The rows and columns that a tree grows on.
struct Sample {
    score: usize,
    rows: Vec<u32>,
    columns: Vec<u32>,
    scale: Scale,
    /// In the units of the scale.
    limits: Limits,
    seed: u64,
}

/// A tree of a round.
struct Step {
    tree: Tree,
    /// One per leaf, in the order of its nodes.
    values: Vec<f64>,
    /// The loss that a gain of 1 takes off.
    gain_unit: f64,
}

/// Grows one tree after another, however its sums are laid out.
type GrowTree<'a> = Box<dyn FnMut(&State, Sample) -> Tree + Send + 'a>;

/// `n` growers, and the largest sums of first and second derivatives that fit into their cells.
fn growers(
    n: usize,
    bins: &Bins,
    growth: Growth,
    n_rows: usize,
    unit_mass: bool,
) -> (Vec<GrowTree<'_>>, [f64; 2]) {
    if let Some(packed) = Packed::new(n_rows, unit_mass) {
        let grower = |_| grower(bins, growth, packed, move |g, h| packed.item(g, h));
        return ((0..n).map(grower).collect(), packed.room());
    }
    let moments = Moments { mass_bits: mass_bits(n_rows) };
    let room = [62, moments.mass_bits].map(|bits| (1_u64 << bits) as f64 - 1.0);
    let grower = |_| grower(bins, growth, moments, move |g, h| moments.item(g, h));
    ((0..n).map(grower).collect(), room)
}

/// `item`: the numbers that a row with these derivatives, as whole numbers, adds to a cell.
fn grower<'a, C: Criterion + 'a>(
    bins: &'a Bins,
    growth: Growth,
    criterion: C,
    item: impl Fn(i64, i64) -> C::Item + Send + Sync + 'a,
) -> GrowTree<'a> {
    let mut grower = Grower::new(bins, criterion, growth);
    Box::new(move |state, Sample { score, rows, columns, scale, limits, seed }| {
        grower.set_limits(limits);
        let derivatives = state.derivatives(score);
        let items = grower.items();
        items.resize(rows.len(), C::Item::default());
        let blocks = rows.chunks(MIN_SHARED_ROWS).zip(items.chunks_mut(MIN_SHARED_ROWS)).collect();
        parallel::map(blocks, &|(rows, items): (&[u32], &mut [C::Item])| {
            for (&row, out) in rows.iter().zip(items) {
                let [g, h] = derivatives(row);
                *out = item(nearest_whole(g * scale.g), nearest_whole(h * scale.h));
            }
        });
        let mut tree = grower.grow(rows, &columns, seed);
        tree.scale_bounds(scale.h / scale.g);
        tree
    })
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::trees::Trees;
    use crate::model::predictor::{Arrays, Link};
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

    fn fit(settings: &[(&str, &str)], data: &Dataset, watch: &dyn Watch) -> Fit {
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
        let (found, of_many_rows) = (log_loss(&[]), log_loss(&[("preset", "lightgbm")]));
        assert!(found < 0.05 && of_many_rows > 0.3, "{found} {of_many_rows}");
    }

    #[test]
    fn splits_that_draw_columns_use_those_they_would_not_choose() {
        let x = noise(400, 5, 8);
        let y: Vec<f64> = x.rows().map(|row| row[2]).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let of_best = |max_features: &str| {
            let settings = [("max_features".to_string(), max_features.to_string())];
            let spec = Spec::new(&GRADIENT_BOOSTING, Task::Regression, &settings).unwrap();
            spec.fit(&data, &Unwatched).unwrap().predictor.importances().unwrap()[2]
        };
        assert!(of_best("1.0") > 0.999);
        let drawn = of_best("0.2");
        assert!((0.5..0.99).contains(&drawn), "{drawn}");
    }
}
