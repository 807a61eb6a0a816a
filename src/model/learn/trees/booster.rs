//! The rounds of boosting: trees that grow one after another on the derivatives that those before them leave.
//!
//! [`super::boosting`] says by which rules, and how many rounds there are.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::best_split::{Care, Limits};
use super::bins::Bins;
use super::compact::Compact;
use super::criterion::Criterion;
use super::engine::Growth;
use super::fixed_point::{Scale, mass_bits, nearest_whole};
use super::grow::Grower;
use super::loss::Loss;
use super::moments::{Moments, Packed};
use super::newton::{MIN_SHARED_ROWS, State, Steps};
use super::tree::{Node, Tree};
use crate::model::learn::{Dataset, Labels};
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

/// `l2_regularization=auto`, in rows of weight 1; that of the candidates of `auto`.
const L2_ROWS: f64 = 3.0;

/// The rules that trees grow by; `None` is `auto`.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) learning_rate: f64,
    pub(crate) max_leaf_nodes: usize,
    pub(crate) max_depth: usize,
    pub(crate) min_samples_leaf: usize,
    pub(crate) l2_regularization: Option<f64>,
    pub(crate) max_delta_step: Option<f64>,
    pub(crate) cat_smooth: f64,
    pub(crate) cat_l2: Option<f64>,
    pub(crate) min_data_per_group: Option<usize>,
    pub(crate) subsample: f64,
    pub(crate) colsample: f64,
    pub(crate) max_features: f64,
}

impl Rules {
    fn steps(&self, loss: Loss, l2: f64) -> Steps {
        let bound = self.max_delta_step.unwrap_or(match loss {
            Loss::Logistic | Loss::Softmax { .. } => MAX_DELTA_STEP,
            _ => 0.0,
        });
        let max_delta = if bound > 0.0 { bound } else { f64::INFINITY };
        Steps { learning_rate: self.learning_rate, l2, max_delta }
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

    /// The penalty of a leaf, in second derivatives: those of counts and amounts have the unit of the target, and those
    /// of all the unit of the weights, which `auto` follows. `state`: before the first round, its derivatives taken.
    fn l2(&self, loss: Loss, data: &Dataset, rows: &[u32], state: &State) -> f64 {
        self.l2_regularization.unwrap_or_else(|| {
            let mean = |of: &dyn Fn(u32) -> f64| {
                rows.iter().map(|&row| of(row)).sum::<f64>() / rows.len().max(1) as f64
            };
            L2_ROWS
                * match loss {
                    Loss::Poisson | Loss::Tweedie { .. } => {
                        let derivatives = state.derivatives(0);
                        mean(&|row| derivatives(row)[1])
                    }
                    _ if data.weights.is_none() => 1.0,
                    _ => mean(&|row| data.weight(row as usize)),
                }
        })
    }
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

/// Trees that are boosted on some rows, and the loss of others.
pub(crate) struct Booster<'a> {
    rules: &'a Rules,
    data: &'a Dataset<'a>,
    bins: &'a Bins,
    loss: Loss,
    train: Vec<u32>,
    held_out: Vec<u32>,
    base: Vec<f64>,
    state: State<'a>,
    growth: Growth,
    /// The penalty of a leaf; known from the first round on.
    l2: Option<f64>,
    growers: Vec<GrowTree<'a>>,
    /// The largest sums of derivatives that a tree has room for.
    room: [f64; 2],
    unit_mass: bool,
    random: Pcg64,
}

impl<'a> Booster<'a> {
    /// No trees yet, to be grown on the rows `train`; `held_out` are predicted as well.
    pub(crate) fn new(
        rules: &'a Rules,
        data: &'a Dataset<'a>,
        bins: &'a Bins,
        loss: Loss,
        (train, held_out): (Vec<u32>, Vec<u32>),
    ) -> Self {
        let is_unit = matches!(loss, Loss::SquaredError | Loss::AbsoluteError | Loss::Quantile { .. });
        let unit_mass = is_unit && data.weights.is_none();
        let base = loss.base(data, &train);
        let state = State::new(data, loss, &base);
        let n_classes = if let Labels::Classes { n_classes, .. } = data.y { n_classes } else { 1 };
        let growth = rules.growth(bins, train.len(), n_classes);
        // The trees of a round do not depend on each other: as many grow at the same time as there are cores.
        let n_growers = loss.n_scores().min(rayon::current_num_threads().max(2));
        let (growers, room) = growers(n_growers, bins, growth, data.n_rows(), unit_mass);
        let random = generator(data.seed);
        let l2 = None;
        Self {
            rules,
            data,
            bins,
            loss,
            train,
            held_out,
            base,
            state,
            growth,
            l2,
            growers,
            room,
            unit_mass,
            random,
        }
    }

    /// The rows that are held out.
    pub(crate) fn held_out(&self) -> &[u32] {
        &self.held_out
    }

    /// Grows the trees of a round, one per score, and adds them to the predictions.
    pub(crate) fn round(&mut self) -> Vec<Step> {
        let sums = self.state.take_derivatives();
        let first = || self.rules.l2(self.loss, self.data, &self.train, &self.state);
        let l2 = *self.l2.get_or_insert_with(first);
        let steps = self.rules.steps(self.loss, l2);
        let samples: Vec<Sample> = sums
            .iter()
            .enumerate()
            .map(|(score, sums)| {
                let scale = Scale::new(*sums, self.room, self.data.n_rows(), self.unit_mass);
                self.draw_sample(score, scale, l2)
            })
            .collect();
        let mut grown = Vec::with_capacity(samples.len());
        let mut samples = samples.into_iter().peekable();
        let state = &self.state;
        while samples.peek().is_some() {
            let at_a_time: Vec<_> = self.growers.iter_mut().zip(samples.by_ref()).collect();
            grown.extend(parallel::map(at_a_time, &|(grow, sample): (&mut GrowTree, Sample)| {
                let (score, Scale { g, h }) = (sample.score, sample.scale);
                let tree = grow(state, sample);
                let values = state.leaf_values(&tree, score, steps);
                Step { tree, values, gain_unit: h / (g * g) }
            }));
        }
        for (score, Step { tree, values, .. }) in grown.iter_mut().enumerate() {
            self.state.add(tree, values, score, self.bins, (&self.train, &self.held_out));
            tree.rows = Vec::new();
        }
        grown
    }

    /// The mean loss of some rows, which are among those to grow on or held out.
    pub(crate) fn mean_loss(&self, rows: &[u32]) -> f64 {
        self.state.mean_loss(rows)
    }

    /// The model of these rounds.
    pub(crate) fn finish(self, rounds: &[Vec<Step>]) -> Predictor {
        let mut compact = Compact::new(self.data, self.bins, self.loss.link(), 1, self.base, 1.0);
        for Step { tree, values, gain_unit } in rounds.iter().flatten() {
            let mut values = values.iter();
            let mut fill = |_: &Node, out: &mut [f64]| {
                out.iter_mut().zip(&mut values).for_each(|(out, value)| *out = *value);
            };
            compact.push(tree, self.bins, &mut fill, *gain_unit);
        }
        Predictor::Trees(Box::new(compact.finish()))
    }

    fn draw_sample(&mut self, score: usize, scale: Scale, l2: f64) -> Sample {
        let rows = draw(&self.train, self.rules.subsample, &mut self.random);
        let mut columns = draw(&self.bins.usable, self.rules.colsample, &mut self.random);
        columns.sort_unstable();
        let limits = self.growth.limits;
        let limits = Limits {
            min_mass: (MIN_HESSIAN * scale.h).max(1.0),
            l2: l2 * scale.h,
            care: limits.care.map(|care| Care {
                smoothing: care.smoothing * scale.h,
                l2: care.l2 * scale.h,
                ..care
            }),
            ..limits
        };
        Sample { score, rows, columns, scale, limits, seed: self.random.next_u64() }
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
pub(crate) struct Step {
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
