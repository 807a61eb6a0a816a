//! Multi-layer perceptrons: dense layers, fitted by Adam on shuffled mini-batches.
//!
//! smartcore has none. The gradient is in `backprop`. Objective, initialisation, batches and stopping rules
//! are scikit-learn's (`MLPClassifier`, `MLPRegressor` with `solver="adam"`), but for one: the target of a
//! regression is standardised, and the last layer scaled back, because Adam's steps have a size of their own
//! and would never reach a target of some hundred thousands.
//!
//! Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors"; Glorot and
//! Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 4.2.1;
//! Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.

use anyhow::{Context, Result, ensure};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::backprop::{Goal, Objective};
use crate::data::cells::cell::Task;
use crate::data::prepare::recipe::Encoding;
use crate::data::split::Split;
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::learn::hyperparameter::{Parameter, Range, Word};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::link::Link;
use crate::model::predictor::network::{Activation, Network, n_parameters};
use crate::random::{generator, shuffle, unit_interval};

/// Networks of dense layers.
pub(crate) static MLP: Algorithm = Algorithm {
    name: "mlp",
    alias: Some("nn"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "A neural network of dense layers, fitted by Adam on mini-batches",
    idea: "Layers of units, each of which applies an activation to a weighted sum of the units before \
           it; the last layer gives scores. The weights follow the gradient of the loss by Adam, on \
           mini-batches of shuffled rows.",
    source: "Rumelhart, Hinton and Williams 1986, \"Learning representations by back-propagating \
           errors\"; Glorot and Bengio 2010, \"Understanding the difficulty of training deep \
           feedforward neural networks\"; Kingma and Ba 2015, \"Adam: a method for stochastic \
           optimization\"",
    smartcore: "None. It has no networks.",
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
            range: Range::Choice(Activation::WORDS),
            effect: "activation of the hidden units",
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
            effect: "rows per step; auto is 200, or all rows if there are fewer",
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
            effect: "keeps Adam from dividing by 0",
        },
    ],
    learner: |settings| {
        Box::new(Mlp {
            hidden_layer_sizes: settings.sizes("hidden_layer_sizes"),
            activation: settings.choice("activation"),
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

impl Word for Activation {
    const WORDS: &'static [&'static str] = &["identity", "logistic", "tanh", "relu"];
    const ALL: &'static [Self] = &Self::ALL;
}

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
        let rows = data.counted_rows();
        let mut random = generator(data.seed);
        let split = match self.validation_fraction {
            Some(share) => kept_aside(data, &rows, share, random.next_u64())?,
            None => Split { train: rows, test: Vec::new() },
        };
        let (goal, link, n_scores, scaling) = match data.y {
            Labels::Classes { codes, n_classes: 2 } => (Goal::Classes(codes), Link::Sigmoid, 1, (0.0, 1.0)),
            Labels::Classes { codes, n_classes } => {
                (Goal::Classes(codes), Link::Softmax, n_classes, (0.0, 1.0))
            }
            Labels::Values(values) => {
                let (mean, scale) = mean_and_scale(data, &split.train);
                let standardised = values.iter().map(|v| (v - mean) / scale).collect();
                (Goal::Values(standardised), Link::Identity, 1, (mean, scale))
            }
        };
        let sizes = [&[data.x.n_cols()], &self.hidden_layer_sizes[..], &[n_scores]].concat();
        let objective = Objective {
            data: *data,
            goal,
            activation: self.activation,
            sizes: &sizes,
            n_parameters: n_parameters(&sizes).context("the network is too large")?,
        };
        let (mut parameters, notes) = self.minimise(&objective, link, split, &mut random, watch)?;
        // A network of the standardised target becomes one of the target when its last layer is scaled.
        let n_last = (sizes[sizes.len() - 2] + 1) * n_scores;
        let first = parameters.len() - n_last;
        parameters[first..].iter_mut().for_each(|p| *p *= scaling.1);
        parameters[first + n_last - n_scores..].iter_mut().for_each(|bias| *bias += scaling.0);
        ensure!(parameters.iter().all(|p| p.is_finite()), "{DIVERGED}");
        let net = Network::new(link, self.activation, sizes, parameters);
        Ok(Fit { predictor: Predictor::Network(Box::new(net)), notes })
    }
}

const DIVERGED: &str =
    "the weights of the network grew beyond all numbers; a smaller --set learning_rate_init=… keeps them";

/// The rows to fit on and those to stop by.
fn kept_aside(data: &Dataset, rows: &[usize], share: f64, seed: u64) -> Result<Split> {
    let split = data.hold_out(rows, share, seed);
    let wholes = if data.groups.is_some() { ", whole groups that is," } else { "" };
    ensure!(
        split.test.len() >= 2 && !split.train.is_empty(),
        "{} rows are too few to keep some aside{wholes} for early_stopping; --set early_stopping=false, or a larger \
         validation_fraction",
        rows.len()
    );
    Ok(split)
}

/// Weighted mean and standard deviation of the target; 1 for the latter if all values are the same.
fn mean_and_scale(data: &Dataset, rows: &[usize]) -> (f64, f64) {
    let total: f64 = rows.iter().map(|&row| data.weight(row)).sum();
    let share = |row: usize| data.weight(row) / total;
    let mean = rows.iter().map(|&row| share(row) * data.y(row)).sum::<f64>();
    let variance = rows.iter().map(|&row| share(row) * (data.y(row) - mean).powi(2)).sum::<f64>();
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
        let mut parameters = start(self.activation, objective.sizes, random);
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
            // The value that should fall: the loss, or the validation score with its sign changed.
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
            // Held-out rows have chosen among the passes there were.
            if pass == self.max_iter && split.test.is_empty() {
                let note = format!(
                    "mlp did not settle in {pass} passes over the rows; --set max_iter=… or a larger tol"
                );
                return Ok((either(best_parameters, parameters), vec![note]));
            }
        }
        Ok((either(best_parameters, parameters), Vec::new()))
    }
}

/// Glorot and Bengio's "normalized initialization", biases included, with scikit-learn's smaller factor for
/// logistic units.
pub(crate) fn start(activation: Activation, sizes: &[usize], random: &mut Pcg64) -> Vec<f64> {
    let factor = if activation == Activation::Logistic { 2.0 } else { 6.0 };
    let mut parameters = Vec::new();
    for pair in sizes.windows(2) {
        let bound = (factor / (pair[0] + pair[1]) as f64).sqrt();
        let n_parameters = (pair[0] + 1) * pair[1];
        parameters.extend((0..n_parameters).map(|_| bound * (2.0 * unit_interval(random) - 1.0)));
    }
    parameters
}

/// The best parameters if any were remembered, else the last.
fn either(best: Vec<f64>, last: Vec<f64>) -> Vec<f64> {
    if best.is_empty() { last } else { best }
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
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::laws::{self, noise, scores, select};
    use crate::model::learn::network::backprop::SHARED_WORK;
    use crate::model::learn::{Spec, Unwatched};

    fn try_fit(settings: &[(&str, &str)], data: &Dataset) -> Result<Fit> {
        laws::fit(&MLP, settings, data)
    }

    fn fit(settings: &[(&str, &str)], data: &Dataset) -> Predictor {
        try_fit(settings, data).unwrap().predictor
    }

    /// Half of the classes are 1, by a rule that no line can follow.
    fn exclusive_or(x: &Matrix) -> Vec<u32> {
        x.rows().map(|row| u32::from((row[0] > 0.0) != (row[1] > 0.0))).collect()
    }

    #[test]
    fn networks_learn_what_no_line_can() {
        let x = noise(400, 2, 5);
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
        let x = noise(300, 2, 5);
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
    fn the_same_bytes_come_from_any_number_of_threads_and_others_from_another_seed() {
        let x = noise(900, 8, 5);
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
        let x = noise(60, 2, 5);
        let codes = exclusive_or(&x);
        let mut weights = vec![1.0; 60];
        weights[7] = 0.0;
        let kept: Vec<usize> = (0..60).filter(|row| *row != 7).collect();
        let without = select(&x, &kept);
        let codes_without: Vec<u32> = kept.iter().map(|&row| codes[row]).collect();
        for settings in [&[("max_iter", "3")][..], &[("max_iter", "3"), ("early_stopping", "true")]] {
            let y = Labels::Classes { codes: &codes, n_classes: 2 };
            let weighted = fit(settings, &Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
            let y = Labels::Classes { codes: &codes_without, n_classes: 2 };
            assert!(weighted == fit(settings, &Dataset::new(&without, y)));
        }
        // And weights move the fit: if one class counts a hundred times, it wins everywhere.
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
        let x = noise(60, 2, 5);
        let codes = exclusive_or(&x);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let spec = Spec::new(&MLP, Task::Classification, &[]).unwrap();
        let stopped = spec.fit(&data, &StopsAfter(5.into())).unwrap();
        assert!(stopped.notes.is_empty() && stopped.predictor == fit(&[("max_iter", "5")], &data));
    }

    /// Remembers the validation score of each pass.
    #[derive(Default)]
    struct Scores(std::sync::Mutex<Vec<f64>>);

    impl Watch for Scores {
        fn progress(&self, _: u64, _: u64, state: std::fmt::Arguments) {
            let state = state.to_string();
            let score = state.rsplit("validation score ").next().unwrap().parse().unwrap();
            self.0.lock().unwrap().push(score);
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    #[test]
    fn early_stopping_keeps_the_best_weights_on_the_rows_kept_aside() {
        let x = noise(200, 2, 5);
        // Little to learn, and steps large enough to overfit the rest.
        let values: Vec<f64> =
            noise(200, 3, 5).rows().zip(x.rows()).map(|(r, x)| r[2] + 0.5 * x[0]).collect();
        let data = Dataset::new(&x, Labels::Values(&values));
        let spec = |max_iter: usize| {
            let settings = [
                ("early_stopping", "true"),
                ("learning_rate_init", "0.02"),
                ("max_iter", &max_iter.to_string()),
            ];
            let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Spec::new(&MLP, Task::Regression, &settings).unwrap()
        };
        let watch = Scores::default();
        let early = spec(200).fit(&data, &watch).unwrap();
        let scores = watch.0.into_inner().unwrap();
        let best = (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        assert!(early.notes.is_empty() && best > 1 && scores.len() > best + 10, "{scores:?}");
        let after = |n_passes| spec(n_passes).fit(&data, &Unwatched).unwrap().predictor;
        assert!(after(best + 1) == early.predictor && after(best) != early.predictor);
        let few = noise(1, 2, 5);
        let error = spec(5).fit(&Dataset::new(&few, Labels::Values(&[1.0])), &Unwatched).unwrap_err();
        assert!(error.to_string().contains("early_stopping=false"), "{error}");
    }

    #[test]
    fn a_fit_that_does_not_settle_says_so_and_one_that_diverges_is_an_error() {
        let x = noise(50, 2, 5);
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
