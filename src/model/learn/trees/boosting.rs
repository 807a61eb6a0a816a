//! Gradient boosting: each tree is a Newton step on the loss of the trees before it.
//!
//! Friedman 2001, "Greedy function approximation: a gradient boosting machine"; Chen and Guestrin 2016,
//! "XGBoost"; Ke et al. 2017, "LightGBM". Trees grow best-first on histograms. Hyperparameters are those of
//! scikit-learn's `HistGradientBoosting*`, and `subsample` of its older `GradientBoosting*`.
//!
//! Costs beside the engine 16 bytes per row and score.

use anyhow::{Result, ensure};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::best_split::{CATEGORY_SMOOTHING, Limits};
use super::bins::Bins;
use super::compact::Compact;
use super::criterion::{Criterion, Moments, Packed};
use super::forest::{MAX_DEPTH, mass_bits};
use super::grow::{Grower, Growth, Tree, below, unit_interval};
use super::loss::{Loss, weighted_median};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Task;
use crate::data::prepare::recipe::Encoding;
use crate::data::split::folds::generator;
use crate::model::learn::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Watch, usage};
use crate::model::predictor::{Predictor, sigmoid};

/// Rows that are worked on together; sums are made block by block in order.
const BLOCK_ROWS: usize = 4096;

/// Fewer rows are not worth a second thread.
const MIN_SHARED_ROWS: usize = 8 * BLOCK_ROWS;

/// Least sum of second derivatives of a leaf; scikit-learn's and LightGBM's.
const MIN_HESSIAN: f64 = 1e-3;

/// From more rows than this `early_stopping=auto` holds rows out, as in scikit-learn.
const AUTO_STOPPING_ROWS: usize = 10_000;

/// The training loss that is shown is that of this many rows.
const SHOWN_ROWS: usize = 1000;

const SHARE: Range = Range::Above(0.0, 1.0);

/// Boosted trees.
pub static GRADIENT_BOOSTING: Algorithm = Algorithm {
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
           column again at each node: 14 times as long as scikit-learn's on 16,000 rows.",
    parameters: &[
        Parameter {
            name: "loss",
            default: "auto",
            range: Range::Choice(&["auto", "log_loss", "squared_error", "absolute_error", "poisson"]),
            effect: "what is made small; auto is log_loss for classification and squared_error for regression",
        },
        Parameter {
            name: "learning_rate",
            default: "0.1",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "how far each tree goes; smaller needs more rounds and is often better",
        },
        Parameter {
            name: "n_estimators",
            default: "100",
            range: Range::Whole(1, 100_000),
            effect: "most rounds; a round is one tree, or one per class for three classes and more",
        },
        Parameter {
            name: "max_leaf_nodes",
            default: "31",
            range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(2, u64::MAX)]),
            effect: "most leaves of a tree",
        },
        MAX_DEPTH,
        Parameter {
            name: "min_samples_leaf",
            default: "20",
            range: Range::Whole(1, u64::MAX),
            effect: "fewest rows of a leaf",
        },
        Parameter {
            name: "l2_regularization",
            default: "0.0",
            range: Range::From(0.0, f64::INFINITY),
            effect: "penalty on large leaf values",
        },
        Parameter {
            name: "subsample",
            default: "1.0",
            range: SHARE,
            effect: "share of the rows that each tree sees",
        },
        Parameter {
            name: "colsample_bytree",
            default: "1.0",
            range: SHARE,
            effect: "share of the columns that each tree sees (the name in XGBoost and LightGBM)",
        },
        Parameter {
            name: "max_features",
            default: "1.0",
            range: SHARE,
            effect: "share of the columns drawn for each split",
        },
        Parameter {
            name: "early_stopping",
            default: "auto",
            range: Range::Choice(&["auto", "true", "false"]),
            effect: "whether to hold rows out and stop when their loss no longer falls; auto does from 10,000 \
                     rows",
        },
        Parameter {
            name: "validation_fraction",
            default: "0.1",
            range: Range::Above(0.0, 0.9),
            effect: "share of the rows that is held out for early_stopping",
        },
        Parameter {
            name: "n_iter_no_change",
            default: "10",
            range: Range::Whole(1, u64::MAX),
            effect: "rounds without a better held-out loss after which early_stopping stops",
        },
        Parameter {
            name: "tol",
            default: "1e-7",
            range: Range::From(0.0, f64::INFINITY),
            effect: "a held-out loss is better if it is smaller by more than this",
        },
    ],
    learner: |settings| {
        let whole = |name| settings.optional_whole(name).unwrap_or(usize::MAX);
        Box::new(GradientBoosting {
            loss: settings.word("loss").to_string(),
            learning_rate: settings.number("learning_rate"),
            n_estimators: settings.whole("n_estimators"),
            max_leaf_nodes: whole("max_leaf_nodes"),
            max_depth: whole("max_depth"),
            min_samples_leaf: settings.whole("min_samples_leaf"),
            l2_regularization: settings.number("l2_regularization"),
            subsample: settings.number("subsample"),
            colsample: settings.number("colsample_bytree"),
            max_features: settings.number("max_features"),
            early_stopping: settings.word("early_stopping").to_string(),
            validation_fraction: settings.number("validation_fraction"),
            n_iter_no_change: settings.whole("n_iter_no_change"),
            tol: settings.number("tol"),
        })
    },
};

/// Parameters of boosting.
struct GradientBoosting {
    loss: String,
    learning_rate: f64,
    n_estimators: usize,
    max_leaf_nodes: usize,
    max_depth: usize,
    min_samples_leaf: usize,
    l2_regularization: f64,
    subsample: f64,
    colsample: f64,
    max_features: f64,
    early_stopping: String,
    validation_fraction: f64,
    n_iter_no_change: usize,
    tol: f64,
}

/// Where boosting stands.
struct State<'a> {
    data: &'a Dataset<'a>,
    loss: Loss,
    /// Raw scores, `n_rows × n_scores`.
    scores: Vec<f64>,
    /// First and second derivatives, `n_rows × n_scores`.
    derivatives: Vec<[f32; 2]>,
}

impl State<'_> {
    fn y(&self, row: usize) -> f64 {
        match self.data.y {
            Labels::Values(values) => values[row],
            Labels::Classes { codes, .. } => f64::from(codes[row]),
        }
    }

    fn weight(&self, row: usize) -> f64 {
        self.data.weights.map_or(1.0, |weights| weights[row])
    }

    /// Derivatives at the scores; for each score the sums of their absolute values.
    fn take_derivatives(&mut self) -> Vec<[f64; 2]> {
        let n_scores = self.loss.n_scores();
        let mut derivatives = std::mem::take(&mut self.derivatives);
        let of_block = |(block, out): (usize, &mut [[f32; 2]])| {
            let mut sums = vec![[0.0; 2]; n_scores];
            if let (Loss::Logistic, Labels::Classes { codes, .. }, None) =
                (self.loss, self.data.y, self.data.weights)
            {
                let rows = block * BLOCK_ROWS..block * BLOCK_ROWS + out.len();
                logistic_derivatives(&codes[rows.clone()], &self.scores[rows], out, &mut sums[0]);
                return sums;
            }
            let mut scores = vec![0.0; n_scores];
            for (i, out) in out.chunks_exact_mut(n_scores).enumerate() {
                let row = block * BLOCK_ROWS + i;
                scores.copy_from_slice(&self.scores[row * n_scores..(row + 1) * n_scores]);
                self.loss.derivatives(self.y(row), self.weight(row), &mut scores, out);
                for (sums, out) in sums.iter_mut().zip(out) {
                    sums[0] += f64::from(out[0].abs());
                    sums[1] += f64::from(out[1]);
                }
            }
            sums
        };
        let blocks = derivatives.par_chunks_mut(BLOCK_ROWS * n_scores).enumerate();
        let blocks = blocks.with_min_len(MIN_SHARED_ROWS / BLOCK_ROWS / n_scores.min(8)).map(of_block);
        let blocks: Vec<Vec<[f64; 2]>> = blocks.collect();
        self.derivatives = derivatives;
        let sum = |score: usize, k: usize| blocks.iter().map(|sums| sums[score][k]).sum();
        (0..n_scores).map(|score| [sum(score, 0), sum(score, 1)]).collect()
    }

    /// The mean loss of some rows.
    fn mean_loss(&self, rows: &[u32]) -> f64 {
        let n_scores = self.loss.n_scores();
        let block = |rows: &[u32]| {
            let mut scores = vec![0.0; n_scores];
            let mut sums = (0.0, 0.0);
            for row in rows.iter().map(|&row| row as usize) {
                scores.copy_from_slice(&self.scores[row * n_scores..(row + 1) * n_scores]);
                sums.0 += self.weight(row) * self.loss.value(self.y(row), &mut scores);
                sums.1 += self.weight(row);
            }
            sums
        };
        let sums: Vec<(f64, f64)> = rows.par_chunks(BLOCK_ROWS).map(block).collect();
        let sums = sums.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        sums.0 / sums.1
    }

    /// The value of each leaf, in the order of the nodes.
    fn leaf_values(&self, tree: &Tree, score: usize, learning_rate: f64, l2: f64) -> Vec<f64> {
        let n_scores = self.loss.n_scores();
        let leaves: Vec<_> = tree.nodes.iter().filter(|node| node.left == 0).collect();
        let value = |node: &&super::grow::Node| {
            let rows = &tree.rows[node.begin as usize..node.end as usize];
            if self.loss == Loss::AbsoluteError {
                let residual = |&row: &u32| {
                    let row = row as usize;
                    (self.y(row) - self.scores[row], self.weight(row))
                };
                return learning_rate * weighted_median(&mut rows.iter().map(residual).collect::<Vec<_>>());
            }
            let (mut g, mut h) = (0.0, l2);
            for &row in rows {
                let [of_g, of_h] = self.derivatives[row as usize * n_scores + score];
                g += f64::from(of_g);
                h += f64::from(of_h);
            }
            if h > 0.0 { -learning_rate * g / h } else { 0.0 }
        };
        let min_len = if tree.rows.len() < MIN_SHARED_ROWS { leaves.len() } else { 1 };
        leaves.par_iter().with_min_len(min_len).map(value).collect()
    }
}

impl GradientBoosting {
    fn loss(&self, y: Labels) -> Result<Loss> {
        let wrong = |task| Err(usage(format!("--set loss={}: not a loss for {task}", self.loss)));
        match y {
            Labels::Classes { n_classes, .. } => match self.loss.as_str() {
                "auto" | "log_loss" if n_classes == 2 => Ok(Loss::Logistic),
                "auto" | "log_loss" => Ok(Loss::Softmax { n_classes }),
                _ => wrong("classification; it is log_loss"),
            },
            Labels::Values(values) => match self.loss.as_str() {
                "auto" | "squared_error" => Ok(Loss::SquaredError),
                "absolute_error" => Ok(Loss::AbsoluteError),
                "poisson" => {
                    ensure!(
                        values.iter().all(|&y| y >= 0.0) && values.iter().any(|&y| y > 0.0),
                        "loss=poisson is for counts and rates; the target has values below 0, or only 0"
                    );
                    Ok(Loss::Poisson)
                }
                _ => wrong("regression; it is squared_error, absolute_error or poisson"),
            },
        }
    }

    /// Rows to fit on and rows to stop by, those without weight left out.
    fn split_rows(&self, data: &Dataset) -> (Vec<u32>, Vec<u32>) {
        let counts = |row: &u32| data.weights.is_none_or(|weights| weights[*row as usize] > 0.0);
        let rows: Vec<u32> = (0..data.n_rows() as u32).filter(counts).collect();
        let stops = match self.early_stopping.as_str() {
            "true" => true,
            "auto" => rows.len() > AUTO_STOPPING_ROWS,
            _ => false,
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
}

/// What a tree grows on.
struct Sample {
    score: usize,
    rows: Vec<u32>,
    columns: Vec<u32>,
    scale: Scale,
    seed: u64,
}

/// How derivatives become whole numbers: their sums, times a scale, fit into cells.
#[derive(Clone, Copy)]
struct Scale {
    g: f64,
    h: f64,
}

impl Scale {
    /// `sums`: of the absolute derivatives of `n_rows` rows; `room`: what the sums in cells may be.
    fn new(sums: [f64; 2], room: [f64; 2], n_rows: usize, unit_mass: bool) -> Self {
        let scale = |k: usize| {
            // Rounding adds half a unit per row at most.
            let room = room[k] - n_rows as f64;
            if sums[k] > 0.0 { room / sums[k] } else { 1.0 }
        };
        Self { g: scale(0), h: if unit_mass { 1.0 } else { scale(1) } }
    }
}

/// As [`Loss::derivatives`] for rows that count the same, in a loop that is vectorised.
fn logistic_derivatives(codes: &[u32], scores: &[f64], out: &mut [[f32; 2]], sums: &mut [f64; 2]) {
    for ((&code, &score), out) in codes.iter().zip(scores).zip(&mut *out) {
        let p = sigmoid(score);
        *out = [(p - f64::from(code)) as f32, (p * (1.0 - p)) as f32];
    }
    for out in out {
        sums[0] += f64::from(out[0].abs());
        sums[1] += f64::from(out[1]);
    }
}

/// The nearest whole number, without a call of the C library.
#[inline(always)]
fn nearest_whole(value: f64) -> i64 {
    (value + 0.5_f64.copysign(value)) as i64
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

impl GradientBoosting {
    /// Fits on columns of bytes; the rows of `data` are not looked at.
    fn fit_bins(&self, mut bins: Bins, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        bins.group();
        let loss = self.loss(data.y)?;
        let unit_mass = matches!(loss, Loss::SquaredError | Loss::AbsoluteError) && data.weights.is_none();
        let n_rows = data.n_rows();
        if let Some(packed) = Packed::new(n_rows, unit_mass) {
            return Ok(self.boost(
                (data, &bins),
                loss,
                packed,
                |g, h| packed.item(g, h),
                packed.room(),
                watch,
            ));
        }
        let moments = Moments { mass_bits: mass_bits(n_rows) };
        let room = [62, moments.mass_bits].map(|bits| (1_u64 << bits) as f64 - 1.0);
        Ok(self.boost((data, &bins), loss, moments, |g, h| moments.item(g, h), room, watch))
    }

    /// `item`: what derivatives in whole numbers add to a cell; `room`: what their sums in a cell may be.
    fn boost<C: Criterion + Copy>(
        &self,
        (data, bins): (&Dataset, &Bins),
        loss: Loss,
        criterion: C,
        item: impl Fn(i64, i64) -> C::Item + Sync,
        room: [f64; 2],
        watch: &dyn Watch,
    ) -> Fit {
        let n_scores = loss.n_scores();
        let unit_mass = matches!(loss, Loss::SquaredError | Loss::AbsoluteError) && data.weights.is_none();
        let (train, held_out) = self.split_rows(data);
        let base = loss.base(data, &train);
        let n_rows = data.n_rows();
        let mut state = State {
            data,
            loss,
            scores: base.iter().copied().cycle().take(n_rows * n_scores).collect(),
            derivatives: vec![[0.0; 2]; n_rows * n_scores],
        };
        let shown: Vec<u32> = match held_out.is_empty() {
            true => train.iter().copied().step_by(train.len().div_ceil(SHOWN_ROWS)).collect(),
            false => Vec::new(),
        };
        let limits = Limits {
            min_samples_leaf: self.min_samples_leaf.min(train.len()) as i64,
            min_mass: 1.0,
            min_gain: 0.0,
            l2: 0.0,
            category_smoothing: 0.0,
        };
        let n_columns = self.colsample * bins.usable.len() as f64;
        let drawn = (self.max_features * n_columns).ceil() as usize;
        let growth = Growth {
            max_depth: self.max_depth,
            max_leaf_nodes: self.max_leaf_nodes,
            min_samples_split: 2,
            max_features: if self.max_features < 1.0 { drawn.max(1) } else { usize::MAX },
            random_cuts: false,
            parallel: true,
            limits,
        };
        // The trees of a round do not depend on each other: as many grow beside each other as there are cores.
        let n_growers = n_scores.min(rayon::current_num_threads().max(2));
        let mut growers: Vec<_> = (0..n_growers).map(|_| Grower::new(bins, criterion, growth)).collect();
        let mut random = generator(data.seed);
        let mut compact = Compact::new(data, bins, loss.link(), 1, base, 1.0);
        let mut rounds: Vec<Vec<(Tree, Vec<f64>, f64)>> = Vec::new();
        let (mut best_loss, mut best_round) = (f64::INFINITY, 0);
        let mut notes = Vec::new();
        for round in 0..self.n_estimators {
            // The first round is always finished, so that an interrupted model predicts.
            if round > 0 && watch.stopped() {
                break;
            }
            let sums = state.take_derivatives();
            let samples: Vec<Sample> = (0..n_scores)
                .map(|score| {
                    let rows = Self::draw(&train, self.subsample, &mut random);
                    let mut columns = Self::draw(&bins.usable, self.colsample, &mut random);
                    columns.sort_unstable();
                    let scale = Scale::new(sums[score], room, n_rows, unit_mass);
                    Sample { score, rows, columns, scale, seed: random.next_u64() }
                })
                .collect();
            let grow = |grower: &mut Grower<C>, sample: Sample| {
                let Sample { score, rows, columns, scale, seed } = sample;
                grower.set_limits(Limits {
                    min_mass: (MIN_HESSIAN * scale.h).max(1.0),
                    l2: self.l2_regularization * scale.h,
                    category_smoothing: CATEGORY_SMOOTHING * scale.h,
                    ..limits
                });
                let item = |&row: &u32| {
                    let [g, h] = state.derivatives[row as usize * n_scores + score].map(f64::from);
                    item(nearest_whole(g * scale.g), nearest_whole(h * scale.h))
                };
                rows.par_iter().with_min_len(MIN_SHARED_ROWS).map(item).collect_into_vec(grower.items());
                let tree = grower.grow(rows, &columns, seed);
                let values = state.leaf_values(&tree, score, self.learning_rate, self.l2_regularization);
                (tree, values, scale.h / (scale.g * scale.g))
            };
            let mut trees = Vec::with_capacity(n_scores);
            let mut samples = samples.into_iter().peekable();
            while samples.peek().is_some() {
                let beside: Vec<_> = growers.iter_mut().zip(samples.by_ref()).collect();
                trees.par_extend(beside.into_par_iter().map(|(grower, sample)| grow(grower, sample)));
            }
            for (score, (tree, values, _)) in trees.iter_mut().enumerate() {
                let mut leaf_values = values.iter();
                let mut value_of_node = vec![0.0; tree.nodes.len()];
                for (node, value_of_node) in tree.nodes.iter().zip(&mut value_of_node) {
                    if node.left == 0 {
                        *value_of_node = leaf_values.next().copied().unwrap_or(0.0);
                        for &row in &tree.rows[node.begin as usize..node.end as usize] {
                            state.scores[row as usize * n_scores + score] += *value_of_node;
                        }
                    }
                }
                let mut walk = |row: u32| {
                    let leaf = tree.leaf_of(bins, row as usize);
                    state.scores[row as usize * n_scores + score] += value_of_node[leaf];
                };
                held_out.iter().for_each(|&row| walk(row));
                if tree.rows.len() < train.len() {
                    let mut seen = vec![false; n_rows];
                    tree.rows.iter().for_each(|&row| seen[row as usize] = true);
                    train.iter().filter(|&&row| !seen[row as usize]).for_each(|&row| walk(row));
                }
                tree.rows = Vec::new();
            }
            rounds.push(trees);
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
        if !held_out.is_empty() {
            notes.push(format!(
                "early stopping kept the first {} of {} rounds, where the loss of {} held-out rows was least \
                 ({best_loss:.6}); --set early_stopping=false fits on all rows",
                best_round + 1,
                rounds.len(),
                held_out.len()
            ));
        }
        for (tree, values, gain_unit) in rounds[..=best_round].iter().flatten() {
            compact.push(tree, bins, values, *gain_unit);
        }
        Fit { predictor: Predictor::Trees(Box::new(compact.finish())), notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::Arrays;
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
        let values = Labels::Values(&values);
        let classes = |codes, n_classes| Labels::Classes { codes, n_classes };
        for (loss, y) in [
            ("squared_error", values),
            ("absolute_error", values),
            ("poisson", values),
            ("log_loss", classes(&two, 2)),
            ("log_loss", classes(&codes, 3)),
        ] {
            let recorder = Recorder::new(usize::MAX);
            fit(&[("loss", loss), ("n_estimators", "40")], &Dataset::new(&x, y), &recorder);
            let losses = recorder.losses();
            assert_eq!(losses.len(), 40);
            assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{loss}: {losses:?}");
            let is_poisson = loss == "poisson";
            assert!(is_poisson || losses[39] < losses[0] / 2.0, "{loss}: {losses:?}");
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
    fn gaps_categories_and_the_smallest_tables_are_learned() {
        let gap = f64::NAN;
        let mut x = Matrix::zeros(300, 3);
        for i in 0..300 {
            let size = if i % 3 == 0 { gap } else { i as f64 };
            x.row_mut(i).copy_from_slice(&[(i % 30) as f64, size, gap]);
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
        one.row_mut(0)[0] = gap;
        for loss in ["squared_error", "absolute_error", "poisson"] {
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
        assert!(message("log_loss").contains("not a loss for regression"));
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
