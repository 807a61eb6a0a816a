//! Multi-layer perceptrons: dense layers, fitted by Adam on shuffled mini-batches.
//!
//! smartcore has none. Objective, initialisation, batches and stopping rules are scikit-learn's
//! (`MLPClassifier`, `MLPRegressor` with `solver="adam"`), but for one: the target of a regression is
//! standardised, and the last layer scaled back, because Adam's steps have a size of their own and would
//! never reach a target of some hundred thousands.
//!
//! Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors"; Glorot and
//! Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 4.2.1;
//! Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.

use anyhow::{Context, Result, ensure};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Watch};
use crate::data::matrix::Matrix;
use crate::data::recipe::Encoding;
use crate::data::schema::Task;
use crate::data::split::{Split, generator, hold_out, hold_out_stratified, shuffle};
use crate::model::net::{Activation, Net, n_parameters};
use crate::model::predictor::{Link, Predictor, sigmoid, softmax};

/// Rows of a batch whose gradients are added up together. Blocks are added in order, so that the result does
/// not depend on how many threads share them.
const BLOCK_ROWS: usize = 100;

/// Multiplications of a batch below which threads would wait for each other longer than they work.
const SHARED_WORK: usize = 200_000;

/// Networks of dense layers.
pub static MLP: Algorithm = Algorithm {
    name: "mlp",
    alias: Some("nn"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "A neural network of dense layers, fitted by Adam on mini-batches",
    parameters: &[
        Parameter {
            name: "hidden_layer_sizes",
            default: "100",
            range: Range::Sizes(1, 10_000),
            effect: "units of each hidden layer",
        },
        Parameter {
            name: "activation",
            default: "relu",
            range: Range::Choice(&["identity", "logistic", "tanh", "relu"]),
            effect: "what hidden units do with their score",
        },
        Parameter {
            name: "alpha",
            default: "0.0001",
            range: Range::From(0.0, f64::INFINITY),
            effect: "strength of the L2 penalty on weights",
        },
        Parameter {
            name: "batch_size",
            default: "auto",
            range: Range::AnyOf(&[Range::Choice(&["auto"]), Range::Whole(1, u64::MAX)]),
            effect: "rows per step; auto is 200, or all where there are fewer",
        },
        Parameter {
            name: "learning_rate_init",
            default: "0.001",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "size of a step",
        },
        Parameter {
            name: "max_iter",
            default: "200",
            range: Range::Whole(1, u64::MAX),
            effect: "most passes over the rows",
        },
        Parameter {
            name: "tol",
            default: "1e-4",
            range: Range::From(0.0, f64::INFINITY),
            effect: "least gain of the loss, or of the validation score, that counts as one",
        },
        Parameter {
            name: "n_iter_no_change",
            default: "10",
            range: Range::Whole(1, u64::MAX),
            effect: "passes in a row without gain after which fitting stops",
        },
        Parameter {
            name: "early_stopping",
            default: "false",
            range: Range::Flag,
            effect: "whether some rows are kept aside and the best weights on them are taken",
        },
        Parameter {
            name: "validation_fraction",
            default: "0.1",
            range: Range::Above(0.0, 0.9),
            effect: "share of the rows that are kept aside",
        },
        Parameter {
            name: "beta_1",
            default: "0.9",
            range: Range::From(0.0, MAX_DECAY),
            effect: "how slowly Adam forgets gradients",
        },
        Parameter {
            name: "beta_2",
            default: "0.999",
            range: Range::From(0.0, MAX_DECAY),
            effect: "how slowly Adam forgets squared gradients",
        },
        Parameter {
            name: "epsilon",
            default: "1e-8",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "what keeps Adam from dividing by 0",
        },
    ],
    learner: |settings| {
        Box::new(Mlp {
            hidden_layer_sizes: settings.sizes("hidden_layer_sizes"),
            activation: match settings.word("activation") {
                "identity" => Activation::Identity,
                "logistic" => Activation::Logistic,
                "tanh" => Activation::Tanh,
                _ => Activation::Relu,
            },
            alpha: settings.number("alpha"),
            batch_size: settings.optional_whole("batch_size"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
            n_iter_no_change: settings.whole("n_iter_no_change"),
            validation_fraction: settings
                .flag("early_stopping")
                .then(|| settings.number("validation_fraction")),
            adam: Adam {
                learning_rate_init: settings.number("learning_rate_init"),
                beta_1: settings.number("beta_1"),
                beta_2: settings.number("beta_2"),
                epsilon: settings.number("epsilon"),
            },
        })
    },
};

/// At 1 nothing would ever be forgotten, nor begun.
const MAX_DECAY: f64 = 0.999_999;

/// Parameters of a multi-layer perceptron.
struct Mlp {
    hidden_layer_sizes: Vec<usize>,
    activation: Activation,
    alpha: f64,
    /// `None` chooses by the rows.
    batch_size: Option<usize>,
    max_iter: usize,
    tol: f64,
    n_iter_no_change: usize,
    /// `None` stops by the training loss.
    validation_fraction: Option<f64>,
    adam: Adam,
}

impl Learner for Mlp {
    /// A row of weight 0 is no row. An interruption keeps the weights of the moment, or with
    /// `early_stopping` the best so far.
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let weight = |row: usize| data.weights.map_or(1.0, |weights| weights[row]);
        let rows: Vec<usize> = (0..data.x.n_rows()).filter(|&row| weight(row) > 0.0).collect();
        let mut random = generator(data.seed);
        let split = match self.validation_fraction {
            Some(share) => kept_aside(data.y, &rows, share, random.next_u64())?,
            None => Split { train: rows, test: Vec::new() },
        };
        let (goal, link, n_scores, scaling) = match data.y {
            Labels::Classes { codes, n_classes: 2 } => (Goal::Classes(codes), Link::Sigmoid, 1, (0.0, 1.0)),
            Labels::Classes { codes, n_classes } => {
                (Goal::Classes(codes), Link::Softmax, n_classes, (0.0, 1.0))
            }
            Labels::Values(values) => {
                let (mean, scale) = mean_and_scale(values, &split.train, weight);
                let standardised = values.iter().map(|v| (v - mean) / scale).collect();
                (Goal::Values(standardised), Link::Identity, 1, (mean, scale))
            }
        };
        let sizes = [&[data.x.n_cols()], &self.hidden_layer_sizes[..], &[n_scores]].concat();
        let objective = Objective {
            x: data.x,
            goal,
            weights: data.weights,
            activation: self.activation,
            sizes: &sizes,
            n_parameters: n_parameters(&sizes).context("the network is too large")?,
        };
        let (mut parameters, notes) = self.minimise(&objective, link, split, &mut random, watch)?;
        // What predicts the standardised target predicts the target with its last layer scaled.
        let n_last = (sizes[sizes.len() - 2] + 1) * n_scores;
        let first = parameters.len() - n_last;
        parameters[first..].iter_mut().for_each(|p| *p *= scaling.1);
        parameters[first + n_last - n_scores..].iter_mut().for_each(|bias| *bias += scaling.0);
        ensure!(parameters.iter().all(|p| p.is_finite()), "{DIVERGED}");
        let net = Net::new(link, self.activation, sizes, parameters);
        Ok(Fit { predictor: Predictor::Net(Box::new(net)), notes })
    }
}

const DIVERGED: &str =
    "the weights of the network grew beyond all numbers; a smaller --set learning_rate_init=… keeps them";

/// The rows to fit on and those to stop by; classes keep their shares.
fn kept_aside(y: Labels, rows: &[usize], share: f64, seed: u64) -> Result<Split> {
    let split = match y {
        Labels::Classes { codes, n_classes } => {
            let codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
            hold_out_stratified(&codes, n_classes, share, seed)
        }
        Labels::Values(_) => hold_out(rows.len(), share, seed),
    };
    ensure!(
        split.test.len() >= 2 && !split.train.is_empty(),
        "{} rows are too few to keep some aside for early_stopping; --set early_stopping=false, or a larger \
         validation_fraction",
        rows.len()
    );
    let rows_of = |part: Vec<usize>| part.into_iter().map(|i| rows[i]).collect();
    Ok(Split { train: rows_of(split.train), test: rows_of(split.test) })
}

/// Weighted mean and standard deviation; 1 for the latter where all values are the same.
fn mean_and_scale(values: &[f64], rows: &[usize], weight: impl Fn(usize) -> f64) -> (f64, f64) {
    let total: f64 = rows.iter().map(|&row| weight(row)).sum();
    let mean = rows.iter().map(|&row| weight(row) / total * values[row]).sum::<f64>();
    let variance = rows.iter().map(|&row| weight(row) / total * (values[row] - mean).powi(2)).sum::<f64>();
    // Rounding leaves a constant a spread of about 1e-16 of itself.
    let scale = variance.sqrt();
    (mean, if scale.is_finite() && scale > 1e-12 * mean.abs() { scale } else { 1.0 })
}

impl Mlp {
    fn minimise(
        &self,
        objective: &Objective,
        link: Link,
        split: Split,
        random: &mut Pcg64,
        watch: &dyn Watch,
    ) -> Result<(Vec<f64>, Vec<String>)> {
        let mut parameters = self.start(objective.sizes, random);
        let mut rows = split.train;
        let batch_size = self.batch_size.unwrap_or(200).min(rows.len());
        let mut state = AdamState::new(parameters.len());
        let mut gradient = vec![0.0; parameters.len()];
        let mut blocks = Vec::new();
        let (mut best, mut n_without_gain) = (f64::INFINITY, 0);
        let mut best_parameters = Vec::new();
        let n_rows = rows.len() as f64;
        'passes: for pass in 1..=self.max_iter {
            shuffle(&mut rows, random);
            let mut loss = 0.0;
            for batch in rows.chunks(batch_size) {
                if watch.stopped() {
                    break 'passes;
                }
                let batch_loss =
                    objective.evaluate(&parameters, batch, self.alpha, &mut gradient, &mut blocks);
                loss += batch_loss * batch.len() as f64 / n_rows;
                state.step(&self.adam, &mut parameters, &gradient);
            }
            ensure!(loss.is_finite(), "{DIVERGED}");
            // What should fall: the loss, or the validation score with its sign changed.
            let value = if split.test.is_empty() {
                watch.progress(pass as u64, self.max_iter as u64, format_args!("loss {loss:.6}"));
                loss
            } else {
                let score = objective.score(&parameters, link, &split.test);
                let state = format_args!("loss {loss:.6}, validation score {score:.4}");
                watch.progress(pass as u64, self.max_iter as u64, state);
                if -score < best || best_parameters.is_empty() {
                    best_parameters.clone_from(&parameters);
                }
                -score
            };
            n_without_gain = if value > best - self.tol { n_without_gain + 1 } else { 0 };
            best = best.min(value);
            if n_without_gain > self.n_iter_no_change {
                break;
            }
            if pass == self.max_iter {
                let note = format!(
                    "mlp did not settle in {pass} passes over the rows; --set max_iter=… or a larger tol"
                );
                return Ok((either(best_parameters, parameters), vec![note]));
            }
        }
        Ok((either(best_parameters, parameters), Vec::new()))
    }

    /// Glorot and Bengio's "normalized initialization", biases included, with scikit-learn's smaller factor
    /// for logistic units.
    fn start(&self, sizes: &[usize], random: &mut Pcg64) -> Vec<f64> {
        let factor = if self.activation == Activation::Logistic { 2.0 } else { 6.0 };
        let mut parameters = Vec::new();
        for pair in sizes.windows(2) {
            let bound = (factor / (pair[0] + pair[1]) as f64).sqrt();
            parameters.extend((0..(pair[0] + 1) * pair[1]).map(|_| {
                let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                bound * (2.0 * unit - 1.0)
            }));
        }
        parameters
    }
}

/// The best parameters where some were remembered, else the last.
fn either(best: Vec<f64>, last: Vec<f64>) -> Vec<f64> {
    if best.is_empty() { last } else { best }
}

/// What the network should say.
enum Goal<'a> {
    Classes(&'a [u32]),
    /// Standardised.
    Values(Vec<f64>),
}

/// (Σ weight × loss + α |weights of the network|² / 2) / Σ weight over the rows of a batch. The loss is the
/// log loss, or half the squared error.
struct Objective<'a> {
    x: &'a Matrix,
    goal: Goal<'a>,
    weights: Option<&'a [f64]>,
    activation: Activation,
    sizes: &'a [usize],
    n_parameters: usize,
}

/// What a block of rows needs, kept from batch to batch.
#[derive(Default)]
struct Block {
    /// Per layer, inputs first, `n_rows × units`.
    activations: Vec<Vec<f64>>,
    /// Of one layer and of the one before it.
    deltas: [Vec<f64>; 2],
    gradient: Vec<f64>,
    loss: f64,
}

impl Objective<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Fills the block's activations; the last are the scores.
    fn forward(&self, parameters: &[f64], rows: &[usize], block: &mut Block) {
        let n_layers = self.sizes.len() - 1;
        block.activations.resize(n_layers + 1, Vec::new());
        block.activations[0].clear();
        rows.iter().for_each(|&row| block.activations[0].extend_from_slice(self.x.row(row)));
        let mut rest = parameters;
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let (weights, after) = rest.split_at(pair[0] * pair[1]);
            let (biases, after) = after.split_at(pair[1]);
            let (before, behind) = block.activations.split_at_mut(layer + 1);
            let out = &mut behind[0];
            out.clear();
            rows.iter().for_each(|_| out.extend_from_slice(biases));
            let shape = (rows.len(), pair[0], pair[1]);
            product((&before[layer], false), (weights, false), 1.0, out, shape);
            if layer + 1 < n_layers {
                self.activation.apply(out);
            }
            rest = after;
        }
    }

    /// Loss and gradient of a block, weighted sums; the penalty is not in them.
    fn add_up(&self, parameters: &[f64], rows: &[usize], block: &mut Block) {
        self.forward(parameters, rows, block);
        let n_layers = self.sizes.len() - 1;
        let n_scores = self.sizes[n_layers];
        let [delta, before] = &mut block.deltas;
        delta.clone_from(&block.activations[n_layers]);
        block.loss = 0.0;
        for (&row, delta) in rows.iter().zip(delta.chunks_exact_mut(n_scores)) {
            let weight = self.weight(row);
            block.loss += weight * self.residuals(row, delta);
            delta.iter_mut().for_each(|d| *d *= weight);
        }
        block.gradient.resize(self.n_parameters, 0.0);
        let mut end = self.n_parameters;
        for layer in (0..n_layers).rev() {
            let (n_in, n_out) = (self.sizes[layer], self.sizes[layer + 1]);
            let start = end - (n_in + 1) * n_out;
            let (by_weight, by_bias) = block.gradient[start..end].split_at_mut(n_in * n_out);
            let inputs = &block.activations[layer];
            product((inputs, true), (delta, false), 0.0, by_weight, (n_in, rows.len(), n_out));
            by_bias.fill(0.0);
            for delta in delta.chunks_exact(n_out) {
                by_bias.iter_mut().zip(delta).for_each(|(sum, d)| *sum += d);
            }
            if layer > 0 {
                let weights = &parameters[start..start + n_in * n_out];
                before.resize(rows.len() * n_in, 0.0);
                product((delta, false), (weights, true), 0.0, before, (rows.len(), n_out, n_in));
                self.activation.times_slope(inputs, before);
                std::mem::swap(delta, before);
            }
            end = start;
        }
    }

    /// The loss of a row; its scores become the loss's derivatives by them.
    fn residuals(&self, row: usize, scores: &mut [f64]) -> f64 {
        match &self.goal {
            Goal::Values(values) => {
                scores[0] -= values[row];
                scores[0] * scores[0] / 2.0
            }
            Goal::Classes(codes) if scores.len() == 1 => {
                let score = scores[0];
                // ln(1 + e^-m) for the margin m, without overflow.
                let margin = if codes[row] == 1 { score } else { -score };
                scores[0] = sigmoid(score) - f64::from(codes[row]);
                (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
            }
            Goal::Classes(codes) => {
                let class = codes[row] as usize;
                let score = scores[class];
                let loss = softmax(scores) - score;
                scores[class] -= 1.0;
                loss
            }
        }
    }

    /// The value at `parameters`, and its gradient.
    fn evaluate(
        &self,
        parameters: &[f64],
        rows: &[usize],
        alpha: f64,
        gradient: &mut [f64],
        blocks: &mut Vec<Block>,
    ) -> f64 {
        let n_blocks = rows.len().div_ceil(BLOCK_ROWS);
        if blocks.len() < n_blocks {
            blocks.resize_with(n_blocks, Block::default);
        }
        let blocks = &mut blocks[..n_blocks];
        let add_up = |(rows, block): (&[usize], &mut Block)| self.add_up(parameters, rows, block);
        if n_blocks > 1 && rows.len() * self.n_parameters >= SHARED_WORK {
            rows.par_chunks(BLOCK_ROWS).zip(blocks.par_iter_mut()).for_each(add_up);
        } else {
            rows.chunks(BLOCK_ROWS).zip(blocks.iter_mut()).for_each(add_up);
        }
        let total: f64 = rows.iter().map(|&row| self.weight(row)).sum();
        let mut loss = 0.0;
        gradient.fill(0.0);
        for block in blocks {
            loss += block.loss;
            gradient.iter_mut().zip(&block.gradient).for_each(|(g, b)| *g += b);
        }
        let mut start = 0;
        for pair in self.sizes.windows(2) {
            let weights = start..start + pair[0] * pair[1];
            for (g, w) in gradient[weights.clone()].iter_mut().zip(&parameters[weights]) {
                *g += alpha * w;
                loss += alpha * w * w / 2.0;
            }
            start += (pair[0] + 1) * pair[1];
        }
        gradient.iter_mut().for_each(|g| *g /= total);
        loss / total
    }

    /// The weighted accuracy, or R², on `rows`.
    fn score(&self, parameters: &[f64], link: Link, rows: &[usize]) -> f64 {
        let n_scores = self.sizes[self.sizes.len() - 1];
        let mut block = Block::default();
        let (mut total, mut sum, mut squares, mut errors) = (0.0, 0.0, 0.0, 0.0);
        for rows in rows.chunks(BLOCK_ROWS) {
            self.forward(parameters, rows, &mut block);
            let scores = block.activations[self.sizes.len() - 1].chunks_exact(n_scores);
            for (&row, scores) in rows.iter().zip(scores) {
                let weight = self.weight(row);
                total += weight;
                match &self.goal {
                    Goal::Classes(codes) => {
                        let class = match link {
                            Link::Sigmoid => usize::from(scores[0] > 0.0),
                            _ => (1..n_scores)
                                .fold(0, |best, i| if scores[i] > scores[best] { i } else { best }),
                        };
                        sum += weight * f64::from(u8::from(class == codes[row] as usize));
                    }
                    Goal::Values(values) => {
                        sum += weight * values[row];
                        squares += weight * values[row] * values[row];
                        errors += weight * (values[row] - scores[0]).powi(2);
                    }
                }
            }
        }
        match &self.goal {
            Goal::Classes(_) => sum / total,
            // The values are standardised, so that no digits are lost here. 0 for a constant.
            Goal::Values(_) => {
                let spread = squares - sum * sum / total;
                if spread > 0.0 { 1.0 - errors / spread } else { 0.0 }
            }
        }
    }
}

/// c = a b + beta c, of `m × k` and `k × n` matrices, row-major, or column-major where the flag is set.
fn product(
    (a, a_turned): (&[f64], bool),
    (b, b_turned): (&[f64], bool),
    beta: f64,
    c: &mut [f64],
    (m, k, n): (usize, usize, usize),
) {
    let view = |slice, rows, cols, turned| match turned {
        false => ArrayView2::from_shape((rows, cols), slice),
        true => ArrayView2::from_shape((cols, rows), slice).map(ArrayView2::reversed_axes),
    };
    let views = (view(a, m, k, a_turned), view(b, k, n, b_turned), ArrayViewMut2::from_shape((m, n), c));
    // The callers cut the slices to these shapes.
    if let (Ok(a), Ok(b), Ok(mut c)) = views {
        general_mat_mul(1.0, &a, &b, beta, &mut c);
    }
}

/// Parameters of Adam.
struct Adam {
    learning_rate_init: f64,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

/// Decaying means of gradients and of their squares.
struct AdamState {
    n_steps: i32,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl AdamState {
    fn new(n: usize) -> Self {
        Self { n_steps: 0, means: vec![0.0; n], squares: vec![0.0; n] }
    }

    fn step(&mut self, adam: &Adam, parameters: &mut [f64], gradient: &[f64]) {
        // Beyond, the correction of the start is 1 to the last bit.
        self.n_steps = self.n_steps.saturating_add(1);
        let Adam { learning_rate_init, beta_1, beta_2, epsilon } = *adam;
        let rate =
            learning_rate_init * (1.0 - beta_2.powi(self.n_steps)).sqrt() / (1.0 - beta_1.powi(self.n_steps));
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for ((p, g), (mean, square)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *mean = beta_1 * *mean + (1.0 - beta_1) * g;
            *square = beta_2 * *square + (1.0 - beta_2) * g * g;
            *p -= rate * *mean / (square.sqrt() + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::Arrays;

    const ACTIVATIONS: [&str; 4] = ["identity", "logistic", "tanh", "relu"];

    fn noise(n_rows: usize, n_cols: usize) -> Matrix {
        let mut random = generator(5);
        let mut x = Matrix::zeros(n_rows, n_cols);
        x.values_mut()
            .iter_mut()
            .for_each(|v| *v = (random.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0);
        x
    }

    fn try_fit(settings: &[(&str, &str)], data: &Dataset) -> Result<Fit> {
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let task = match data.y {
            Labels::Classes { .. } => Task::Classification,
            Labels::Values(_) => Task::Regression,
        };
        Spec::new(&MLP, task, &settings)?.fit(data, &Unwatched)
    }

    fn fit(settings: &[(&str, &str)], data: &Dataset) -> Predictor {
        let predictor = try_fit(settings, data).unwrap().predictor;
        predictor.validate().unwrap();
        predictor
    }

    fn scores(predictor: &Predictor, x: &Matrix) -> Vec<f64> {
        let mut out = vec![0.0; x.n_rows() * predictor.n_outputs()];
        predictor.scores_block(x.values(), &mut out);
        out
    }

    fn arrays(predictor: &Predictor) -> Arrays {
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        arrays
    }

    /// Half of the classes are 1, by a rule that no line can follow.
    fn exclusive_or(x: &Matrix) -> Vec<u32> {
        x.rows().map(|row| u32::from((row[0] > 0.0) != (row[1] > 0.0))).collect()
    }

    fn mlp(activation: Activation) -> Mlp {
        Mlp {
            hidden_layer_sizes: vec![],
            activation,
            alpha: 0.0,
            batch_size: None,
            max_iter: 1,
            tol: 0.0,
            n_iter_no_change: 1,
            validation_fraction: None,
            adam: Adam { learning_rate_init: 0.1, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 },
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        // More than a block of rows.
        let x = noise(BLOCK_ROWS + 30, 3);
        let rows: Vec<usize> = (0..x.n_rows()).collect();
        let weights: Vec<f64> = (0..x.n_rows()).map(|row| [1.0, 0.25, 3.0][row % 3]).collect();
        let codes: Vec<u32> = (0..x.n_rows()).map(|row| (row % 2) as u32).collect();
        let values: Vec<f64> = x.rows().map(|row| row[0] * row[1]).collect();
        for activation in Activation::ALL {
            for goal in [Goal::Classes(&codes), Goal::Classes(&codes), Goal::Values(values.clone())] {
                for n_scores in [1, 3] {
                    if n_scores == 3 && matches!(goal, Goal::Values(_)) {
                        continue;
                    }
                    let sizes = [3, 5, 4, n_scores];
                    let n_parameters = n_parameters(&sizes).unwrap();
                    let goal = match &goal {
                        Goal::Classes(codes) => Goal::Classes(codes),
                        Goal::Values(values) => Goal::Values(values.clone()),
                    };
                    let weights = Some(&weights[..]);
                    let objective =
                        Objective { x: &x, goal, weights, activation, sizes: &sizes, n_parameters };
                    let parameters = mlp(activation).start(&sizes, &mut generator(1));
                    let mut blocks = Vec::new();
                    let mut gradient = vec![f64::NAN; n_parameters];
                    let mut value = |parameters: &[f64], gradient: &mut [f64]| {
                        objective.evaluate(parameters, &rows, 0.7, gradient, &mut blocks)
                    };
                    value(&parameters, &mut gradient);
                    for i in 0..n_parameters {
                        let mut nudged = parameters.clone();
                        let mut unused = vec![0.0; n_parameters];
                        nudged[i] += 1e-6;
                        let above = value(&nudged, &mut unused);
                        nudged[i] -= 2e-6;
                        let slope = (above - value(&nudged, &mut unused)) / 2e-6;
                        assert!(
                            (slope - gradient[i]).abs() < 1e-7,
                            "{activation:?} {i}: {slope} {}",
                            gradient[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice_in_the_gradient() {
        let x = noise(4, 2);
        let goal = || Goal::Classes(&[0, 1, 1, 0]);
        let sizes = [2, 3, 1];
        let n = n_parameters(&sizes).unwrap();
        let parameters = mlp(Activation::Tanh).start(&sizes, &mut generator(1));
        let of = |weights: Option<&[f64]>, rows: &[usize]| {
            let activation = Activation::Tanh;
            let objective =
                Objective { x: &x, goal: goal(), weights, activation, sizes: &sizes, n_parameters: n };
            let mut gradient = vec![0.0; n];
            let loss = objective.evaluate(&parameters, rows, 0.3, &mut gradient, &mut Vec::new());
            gradient.push(loss);
            gradient
        };
        let weighted = of(Some(&[1.0, 2.0, 1.0, 1.0]), &[0, 1, 2, 3]);
        let repeated = of(None, &[0, 1, 1, 2, 3]);
        assert!(weighted.iter().zip(&repeated).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn what_predicts_computes_what_was_fitted() {
        let x = noise(40, 5);
        let codes: Vec<u32> = (0..40).map(|row| row % 3).collect();
        for activation in Activation::ALL {
            let sizes = [5, 7, 6, 3];
            let n_parameters = n_parameters(&sizes).unwrap();
            let goal = Goal::Classes(&codes);
            let objective = Objective { x: &x, goal, weights: None, activation, sizes: &sizes, n_parameters };
            let parameters = mlp(activation).start(&sizes, &mut generator(2));
            let mut block = Block::default();
            let rows: Vec<usize> = (0..40).collect();
            objective.forward(&parameters, &rows, &mut block);
            block.activations[3].chunks_exact_mut(3).for_each(|scores| Link::Softmax.apply(scores));
            let net =
                Predictor::Net(Box::new(Net::new(Link::Softmax, activation, sizes.to_vec(), parameters)));
            for (own, trained) in scores(&net, &x).iter().zip(&block.activations[3]) {
                assert!((own - trained).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn networks_learn_what_no_line_can() {
        let x = noise(400, 2);
        let codes = exclusive_or(&x);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        for activation in ["tanh", "relu"] {
            let settings =
                [("activation", activation), ("hidden_layer_sizes", "16-8"), ("learning_rate_init", "0.01")];
            let scores = scores(&fit(&settings, &data), &x);
            let right =
                scores.chunks_exact(2).zip(&codes).filter(|(p, code)| u32::from(p[1] > p[0]) == **code);
            assert!(right.count() > 380, "{activation}");
        }
    }

    #[test]
    fn a_target_of_any_size_is_learned() {
        let x = noise(300, 2);
        for (scale, shift) in [(1.0, 0.0), (1e6, 1e7), (1e-6, 0.0)] {
            let values: Vec<f64> = x.rows().map(|row| shift + scale * (row[0] - row[1] * row[1])).collect();
            let found = scores(
                &fit(&[("learning_rate_init", "0.01")], &Dataset::new(&x, Labels::Values(&values))),
                &x,
            );
            let error =
                found.iter().zip(&values).map(|(f, v)| ((f - v) / scale).powi(2)).sum::<f64>() / 300.0;
            assert!(error < 0.01, "{scale} {error}");
        }
        let constant = fit(&[], &Dataset::new(&x, Labels::Values(&[0.1; 300])));
        assert!(scores(&constant, &x).iter().all(|v| (v - 0.1).abs() < 0.2));
    }

    #[test]
    fn save_and_load_give_the_same_scores_with_every_activation_link_and_shape() {
        // Many rows, one row of many columns, more columns than rows, constant columns.
        for x in [noise(250, 4), noise(1, 9), noise(5, 30), Matrix::zeros(9, 2)] {
            let values: Vec<f64> = (0..x.n_rows()).map(|row| row as f64).collect();
            let codes: Vec<u32> = (0..x.n_rows()).map(|row| (row % 3) as u32).collect();
            let two: Vec<u32> = codes.iter().map(|code| code % 2).collect();
            let classes = Labels::Classes { codes: &codes, n_classes: 3 };
            for y in [Labels::Values(&values), classes, Labels::Classes { codes: &two, n_classes: 2 }] {
                if x.n_rows() == 1 && matches!(y, Labels::Classes { .. }) {
                    continue;
                }
                for activation in ACTIVATIONS {
                    let settings =
                        [("activation", activation), ("max_iter", "3"), ("hidden_layer_sizes", "6-5")];
                    let fitted = fit(&settings, &Dataset::new(&x, y));
                    let mut written = arrays(&fitted);
                    let read = Predictor::read_arrays(fitted.form(), &mut written).unwrap();
                    assert!(written.is_empty() && read == fitted);
                    let block = scores(&fitted, &x);
                    assert!(block.iter().all(|v| v.is_finite()) && scores(&read, &x) == block);
                    for (row, of_block) in x.rows().zip(block.chunks_exact(fitted.n_outputs())) {
                        let mut out = vec![f64::NAN; fitted.n_outputs()];
                        fitted.scores_into(row, &mut out);
                        assert_eq!(out, of_block);
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_bytes_come_from_any_number_of_threads_and_others_from_another_seed() {
        let x = noise(900, 8);
        let codes = exclusive_or(&x);
        let data = Dataset { seed: 7, ..Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 }) };
        let settings = [("max_iter", "4"), ("batch_size", "450"), ("early_stopping", "true")];
        let of_threads = [1, 2, 8].map(|n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| fit(&settings, &data))
        });
        assert!(405 * n_parameters(&[8, 100, 1]).unwrap() > SHARED_WORK);
        assert!(of_threads[0] == of_threads[1] && of_threads[1] == of_threads[2]);
        assert!(of_threads[0] != fit(&settings, &Dataset { seed: 8, ..data }));
    }

    #[test]
    fn a_row_of_no_weight_is_no_row() {
        let x = noise(60, 2);
        let codes = exclusive_or(&x);
        let mut weights = vec![1.0; 60];
        weights[7] = 0.0;
        let kept: Vec<usize> = (0..60).filter(|row| *row != 7).collect();
        let mut without = Matrix::with_capacity(59, 2);
        kept.iter().for_each(|&row| without.push_row(0.0).copy_from_slice(x.row(row)));
        let codes_without: Vec<u32> = kept.iter().map(|&row| codes[row]).collect();
        for settings in [&[("max_iter", "3")][..], &[("max_iter", "3"), ("early_stopping", "true")]] {
            let y = Labels::Classes { codes: &codes, n_classes: 2 };
            let weighted = fit(settings, &Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
            let y = Labels::Classes { codes: &codes_without, n_classes: 2 };
            assert!(weighted == fit(settings, &Dataset::new(&without, y)));
        }
        // And weights move the fit: where one class counts a hundred times, it wins everywhere.
        let heavy: Vec<f64> = codes.iter().map(|&code| if code == 1 { 100.0 } else { 1.0 }).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 2 };
        let predictor = fit(&[("max_iter", "60")], &Dataset { weights: Some(&heavy), ..Dataset::new(&x, y) });
        assert!(scores(&predictor, &x).chunks_exact(2).all(|p| p[1] > 0.5));
    }

    struct StopsAfter(std::sync::atomic::AtomicU64);

    impl Watch for StopsAfter {
        fn progress(&self, _: u64, _: u64, state: std::fmt::Arguments) {
            assert!(state.to_string().starts_with("loss "));
            self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }

        fn stopped(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Relaxed) == 0
        }
    }

    #[test]
    fn an_interruption_keeps_what_was_learned() {
        let x = noise(60, 2);
        let codes = exclusive_or(&x);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let spec = Spec::new(&MLP, Task::Classification, &[]).unwrap();
        let stopped = spec.fit(&data, &StopsAfter(5.into())).unwrap();
        assert!(stopped.notes.is_empty() && stopped.predictor == fit(&[("max_iter", "5")], &data));
    }

    #[test]
    fn early_stopping_keeps_the_best_weights_on_the_rows_kept_aside() {
        let x = noise(200, 2);
        // Nothing to learn, and a network large enough to learn it by heart: the score falls soon.
        let values: Vec<f64> = noise(200, 3).rows().map(|row| row[2]).collect();
        let data = Dataset::new(&x, Labels::Values(&values));
        let settings =
            |max_iter| [("early_stopping", "true"), ("learning_rate_init", "0.02"), ("max_iter", max_iter)];
        let early = try_fit(&settings("200"), &data).unwrap();
        assert!(early.notes.is_empty());
        let again = ["1", "2", "3", "4", "5", "8", "12", "20", "30", "50"];
        assert!(again.iter().any(|n| fit(&settings(n), &data) == early.predictor));
        let few = noise(1, 2);
        let error = try_fit(&settings("5"), &Dataset::new(&few, Labels::Values(&[1.0]))).unwrap_err();
        assert!(error.to_string().contains("early_stopping=false"), "{error}");
    }

    #[test]
    fn a_fit_that_does_not_settle_says_so_and_one_that_diverges_is_an_error() {
        let x = noise(50, 2);
        let values: Vec<f64> = x.rows().map(|row| row[0]).collect();
        let data = Dataset::new(&x, Labels::Values(&values));
        let note = &try_fit(&[("max_iter", "2")], &data).unwrap().notes[0];
        assert!(note.contains("max_iter=") && note.contains("2 passes"), "{note}");
        let error = try_fit(&[("learning_rate_init", "1e200")], &data).unwrap_err().to_string();
        assert!(error.contains("learning_rate_init"), "{error}");
    }

    #[test]
    fn hidden_layers_are_written_as_numbers_joined_by_dashes() {
        let of = |text: &str| {
            let settings = [("hidden_layer_sizes".to_string(), text.to_string())];
            Spec::new(&MLP, Task::Regression, &settings).map(|spec| spec.settings.sizes("hidden_layer_sizes"))
        };
        assert_eq!(of("64-32").unwrap(), [64, 32]);
        assert_eq!(of("7").unwrap(), [7]);
        for wrong in ["", "0", "64-", "64--2", "a", "99999"] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(
                error.contains("whole numbers from 1 to 10000, such as 100 or 64-32 (default 100)"),
                "{error}"
            );
        }
    }
}
