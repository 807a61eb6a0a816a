//! Decision trees, random forests, extremely randomised trees.
//!
//! smartcore's trees are not used: theirs (0.7) choose wrong splits if values tie, keep no class shares, panic on
//! missing values, and take 16 (a tree) and 37 times (a forest) as long as these on 16,000 rows of three classes,
//! both on one thread; for regression both take about as long (benches/smartcore.rs). These grow on the shared
//! engine.
//!
//! Breiman et al. 1984, "Classification and regression trees"; Breiman 2001, "Random forests"; Geurts, Ernst
//! and Wehenkel 2006, "Extremely randomized trees". A leaf predicts the class shares, or the mean, of its
//! rows, and a forest the mean of its trees, as in scikit-learn.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use rand_pcg::rand_core::Rng;

use super::best_split::{Care, Limits};
use super::bins::Bins;
use super::classes::{Classes, Impurity, MAX_TREE_CLASSES, PackedClasses};
use super::compact::Compact;
use super::criterion::Criterion;
use super::engine::Growth;
use super::fixed_point::{MAX_DRAWS, Target};
use super::grow::Grower;
use super::hyperparameters::{
    CCP_ALPHA, CRITERION, CriterionName, FEATURES, MAX_DEPTH, MAX_FEATURES, MAX_LEAF_NODES, MAX_SAMPLES,
    MIN_IMPURITY_DECREASE, MIN_LEVEL_ROWS, MIN_SAMPLES_LEAF, MIN_SAMPLES_SPLIT, MaxFeatures, MaxSamples,
    N_ESTIMATORS, OOB_SCORE, PRIOR_WEIGHT, bootstrap, whole_or_unlimited,
};
use super::moments::{Moments, Packed, Poisson};
use super::out_of_bag::{self, OutOfBag};
use super::prune::{cut, prune};
use super::tree::{Node, Tree};
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::error::usage;
use crate::model::learn::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Settings, Watch};
use crate::model::predictor::{Link, Predictor};
use crate::parallel;
use crate::random::{below, generator};

/// One tree.
pub(crate) static DECISION_TREE: Algorithm = Algorithm {
    name: "decision-tree",
    alias: Some("tree"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "One tree of questions; easy to read, seldom the most accurate",
    idea: "The rows are split in two by the question about one column that separates the target best, \
           and each part again, until a limit is reached. A leaf predicts the class shares, or the \
           mean, of its rows. A missing value takes the side that separated the training rows better; a \
           category is split into two sets of levels.",
    source: "Breiman, Friedman, Olshen and Stone 1984, \"Classification and regression trees\"",
    smartcore: "None. Its trees (0.7) choose wrong splits if values tie, keep no class shares, take no missing \
           values, and take 16 times as long for classes.",
    parameters: &[
        MAX_DEPTH,
        MIN_SAMPLES_SPLIT,
        MIN_SAMPLES_LEAF,
        Parameter {
            name: "max_features",
            default: "none",
            range: FEATURES,
            effect: "columns drawn for each split, as a number (1) or a share (1.0); none is all",
        },
        MAX_LEAF_NODES,
        CRITERION,
        MIN_IMPURITY_DECREASE,
        CCP_ALPHA,
        MIN_LEVEL_ROWS,
        PRIOR_WEIGHT,
    ],
    learner: |settings| Box::new(Forest { n_estimators: 1, ..Forest::new(settings, false) }),
};

/// The mean of trees on bootstrap samples.
pub(crate) static RANDOM_FOREST: Algorithm = Algorithm {
    name: "random-forest",
    alias: Some("forest"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "The mean of many deep trees, each on rows and columns drawn at random",
    idea: "The mean of many deep trees, each grown on rows drawn with replacement, and each split \
           chosen among columns drawn at random. Single trees overfit in different ways, and their mean \
           does not.",
    source: "Breiman 2001, \"Random forests\"",
    smartcore: "None. Its forests (0.7) have no probabilities, take no missing values, and take 37 times as \
           long for classes.",
    parameters: &[
        N_ESTIMATORS,
        MAX_DEPTH,
        MIN_SAMPLES_SPLIT,
        MIN_SAMPLES_LEAF,
        MAX_FEATURES,
        MAX_LEAF_NODES,
        CRITERION,
        MIN_IMPURITY_DECREASE,
        CCP_ALPHA,
        MIN_LEVEL_ROWS,
        PRIOR_WEIGHT,
        MAX_SAMPLES,
        bootstrap("true"),
        OOB_SCORE,
    ],
    learner: |settings| Box::new(Forest::new(settings, false)),
};

/// The mean of trees with random cuts.
pub(crate) static EXTRA_TREES: Algorithm = Algorithm {
    name: "extra-trees",
    alias: None,
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "The mean of many deep trees that cut at random places; smoother than a random forest",
    idea: "A forest whose trees draw their thresholds at random and keep the best of one per column. \
           They grow on all rows, fit less closely than a random forest's, and their mean is smoother.",
    source: "Geurts, Ernst and Wehenkel 2006, \"Extremely randomized trees\"",
    smartcore: "None. It has extra trees for regression only, without missing values.",
    parameters: &[
        N_ESTIMATORS,
        MAX_DEPTH,
        MIN_SAMPLES_SPLIT,
        MIN_SAMPLES_LEAF,
        MAX_FEATURES,
        MAX_LEAF_NODES,
        CRITERION,
        MIN_IMPURITY_DECREASE,
        CCP_ALPHA,
        MIN_LEVEL_ROWS,
        PRIOR_WEIGHT,
        MAX_SAMPLES,
        bootstrap("false"),
        OOB_SCORE,
    ],
    learner: |settings| Box::new(Forest::new(settings, true)),
};

/// A split that gains nothing by itself may lead to one that does, as in exclusive or.
const MIN_GAIN: f64 = -1.0;

/// A category of so few levels is split without care: the best of its subsets fits noise no better than the best cut of
/// a number.
const FEW_LEVELS: usize = 8;

/// Parameters of trees that are averaged; one tree is a forest of one.
struct Forest {
    n_estimators: usize,
    max_depth: usize,
    min_samples_split: usize,
    min_samples_leaf: usize,
    max_leaf_nodes: usize,
    max_features: MaxFeatures,
    criterion: CriterionName,
    min_impurity_decrease: f64,
    ccp_alpha: f64,
    /// `None` is `auto`.
    min_samples_level: Option<usize>,
    prior_weight: f64,
    random_cuts: bool,
    bootstrap: bool,
    max_samples: MaxSamples,
    oob_score: bool,
}

/// A grown tree, flat at once: a forest is often larger than its table.
struct Grown {
    /// Cut to each of the leaf sizes.
    flats: Vec<Compact>,
    /// Kept if the out-of-bag score is wanted.
    out_of_bag: Option<OutOfBag>,
}

/// The rows of one tree.
struct Sample {
    /// How often each row of the [`Target`] was drawn.
    draws: Vec<u8>,
    /// The gain that a split exceeds, in the units of the items.
    min_gain: f64,
    seed: u64,
}

/// Grows a tree, whatever its criterion.
type GrowTree<'a> = dyn Fn(&Sample) -> Tree + Sync + 'a;

impl Forest {
    fn new(settings: &Settings, random_cuts: bool) -> Self {
        Self {
            n_estimators: settings.whole("n_estimators"),
            max_depth: whole_or_unlimited(settings, "max_depth"),
            min_samples_split: settings.whole("min_samples_split"),
            min_samples_leaf: settings.whole("min_samples_leaf"),
            max_leaf_nodes: whole_or_unlimited(settings, "max_leaf_nodes"),
            max_features: MaxFeatures::of(settings),
            criterion: settings.choice("criterion"),
            min_impurity_decrease: settings.number("min_impurity_decrease"),
            ccp_alpha: settings.number("ccp_alpha"),
            min_samples_level: settings.optional_whole("min_samples_level"),
            prior_weight: settings.number("prior_weight"),
            random_cuts,
            bootstrap: settings.flag("bootstrap"),
            max_samples: MaxSamples::of(settings),
            oob_score: settings.flag("oob_score"),
        }
    }

    /// Fits on columns of bytes; the rows of `data` are not read.
    fn fit_bins(&self, bins: Bins, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let fits = self.fit_sizes(bins, &[self.min_samples_leaf], data, watch)?;
        fits.into_iter().next().context("a forest was grown")
    }

    /// As [`Forest::fit_bins`] for each of several fewest rows of a leaf. The trees grow to the smallest leaves, and are
    /// cut: a node of fewer rows predicts as its parent.
    fn fit_sizes(
        &self,
        mut bins: Bins,
        leaf_sizes: &[usize],
        data: &Dataset,
        watch: &dyn Watch,
    ) -> Result<Vec<Fit>> {
        let Some(&smallest) = leaf_sizes.iter().min() else { return Ok(Vec::new()) };
        let is_classification = matches!(data.y, Labels::Classes { .. });
        self.check(data)?;
        let n_columns = bins.columns.len();
        let max_features = self.max_features.count(n_columns, is_classification);
        // Random cuts read all columns of few rows at once, if they try most of them.
        let grouped =
            if self.random_cuts { n_columns <= 2 * max_features } else { max_features == n_columns };
        if grouped {
            bins.group();
        }
        let target = Target::new(data);
        let growth = Growth {
            max_depth: self.max_depth,
            max_leaf_nodes: self.max_leaf_nodes,
            min_samples_split: self.min_samples_split,
            max_features,
            random_cuts: self.random_cuts,
            parallel: self.n_estimators == 1,
            limits: Limits {
                care: self.care(&target),
                ..Limits::new(smallest.min(target.rows.len()) as i64, MIN_GAIN)
            },
        };
        let prior = self.prior(&target);
        let run = Run { forest: self, target, bins, growth, leaf_sizes, prior, watch };
        let grown = run.grow()?;
        let width = run.width();
        let mut notes = Vec::new();
        if self.oob_score && self.bootstrap {
            let trees: Vec<&OutOfBag> = grown.iter().filter_map(|grown| grown.out_of_bag.as_ref()).collect();
            notes.push(out_of_bag::note(&run.target, &run.bins, &trees, width));
        }
        let mut forests: Vec<Compact> = Vec::with_capacity(leaf_sizes.len());
        for size in 0..leaf_sizes.len() {
            let mut compact = run.no_trees(grown.len());
            compact.reserve(grown.iter().map(|grown| grown.flats[size].n_nodes()).sum());
            forests.push(compact);
        }
        for grown in grown {
            forests.iter_mut().zip(grown.flats).for_each(|(forest, flat)| forest.append(flat));
        }
        let fit = |forest: Compact| Fit {
            predictor: Predictor::Trees(Box::new(forest.finish())),
            notes: notes.clone(),
        };
        Ok(forests.into_iter().map(fit).collect())
    }

    /// The care with categories of many levels. Their penalty is the fewest rows of a level; a side has any number.
    fn care(&self, target: &Target) -> Option<Care> {
        let auto = if matches!(target.data.y, Labels::Values(_)) { 3 } else { 5 };
        let min_level_rows = self.min_samples_level.unwrap_or(auto).min(target.rows.len()) as i64;
        (min_level_rows > 1).then(|| Care {
            few_levels: FEW_LEVELS,
            smoothing: min_level_rows as f64 * target.mass() / target.rows.len() as f64,
            smooths_to_node: true,
            l2: 0.0,
            min_level_rows,
            min_group_rows: 1,
            max_left_levels: usize::MAX,
        })
    }

    /// What is added to each leaf, as [`fill_leaf`] writes it, and the weight of it; the weight is 0 by default.
    fn prior(&self, target: &Target) -> (Vec<f64>, f64) {
        let data = target.data;
        let width = match data.y {
            Labels::Classes { n_classes, .. } if n_classes > 2 => n_classes,
            _ => 1,
        };
        let mut prior = vec![0.0; width];
        if self.prior_weight == 0.0 || target.rows.is_empty() {
            return (prior, 0.0);
        }
        fill_leaf(&target.rows, data, &vec![1; data.n_rows()], &mut prior, (&vec![0.0; width], 0.0));
        let sum: f64 = target.rows.iter().map(|&row| data.weight(row as usize)).sum();
        (prior, self.prior_weight * sum / target.rows.len() as f64)
    }

    /// # Errors
    /// Settings that do not fit the data or each other.
    fn check(&self, data: &Dataset) -> Result<()> {
        let (n_rows, criterion) = (data.n_rows(), self.criterion);
        match data.y {
            Labels::Classes { .. }
                if matches!(criterion, CriterionName::SquaredError | CriterionName::Poisson) =>
            {
                return Err(usage(format!(
                    "--set criterion={}: not for classification; it is gini, entropy or log_loss \
                     (default auto)",
                    criterion.word()
                )));
            }
            Labels::Values(_) if criterion == CriterionName::Gini || criterion.is_entropy() => {
                return Err(usage(format!(
                    "--set criterion={}: not for regression; it is squared_error or poisson (default \
                     auto)",
                    criterion.word()
                )));
            }
            Labels::Values(values) if criterion == CriterionName::Poisson => ensure!(
                values.iter().all(|&y| y >= 0.0) && values.iter().any(|&y| y > 0.0),
                "criterion=poisson is for counts and rates; the target has values below 0, or only 0"
            ),
            _ => {}
        }
        match self.max_samples {
            MaxSamples::All => {}
            _ if !self.bootstrap => {
                return Err(usage("--set max_samples: only with --set bootstrap=true (default none)"));
            }
            MaxSamples::Count(count) if count > n_rows => {
                return Err(usage(format!(
                    "--set max_samples={count}: there are {n_rows} rows to learn from (default none)"
                )));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A forest that grows.
struct Run<'a> {
    forest: &'a Forest,
    target: Target<'a>,
    bins: Bins,
    growth: Growth,
    /// The fewest rows of a leaf, for each forest to make.
    leaf_sizes: &'a [usize],
    /// Added to each leaf, and its weight.
    prior: (Vec<f64>, f64),
    watch: &'a dyn Watch,
}

impl Run<'_> {
    fn n_classes(&self) -> usize {
        match self.target.data.y {
            Labels::Classes { n_classes, .. } => n_classes,
            Labels::Values(_) => 0,
        }
    }

    /// Numbers per leaf.
    fn width(&self) -> usize {
        if self.n_classes() > 2 { self.n_classes() } else { 1 }
    }

    /// No trees yet, of `n_trees`.
    fn no_trees(&self, n_trees: usize) -> Compact {
        let width = self.width();
        let link = if matches!(self.n_classes(), 1..3) { Link::Share } else { Link::Identity };
        Compact::new(self.target.data, &self.bins, link, width, vec![0.0; width], n_trees as f64)
    }

    /// Chooses how rows are summed up, and grows the trees.
    fn grow(&self) -> Result<Vec<Grown>> {
        let n_classes = self.n_classes();
        let is_entropy = self.forest.criterion.is_entropy();
        Ok(match n_classes {
            0 => self.grow_values(),
            1..3 if !is_entropy => self.grow_two_classes(),
            1..4 => self.grow_classes::<4>(),
            4..8 => self.grow_classes::<8>(),
            8..16 => self.grow_classes::<16>(),
            16..128 => self.grow_classes::<128>(),
            _ => {
                ensure!(
                    n_classes <= MAX_TREE_CLASSES,
                    "trees learn up to {MAX_TREE_CLASSES} classes, and there are {n_classes}"
                );
                self.grow_classes::<1024>()
            }
        })
    }

    /// The share of the second of two classes is a number that is 0 or 1.
    fn grow_two_classes(&self) -> Vec<Grown> {
        let parts = |[class, mass]: [i32; 2], draws: u8| {
            let mass = i64::from(mass) * i64::from(draws);
            (i64::from(class) * mass, mass)
        };
        // Small whole numbers: exact either way.
        let packed = Packed::new(self.target.rows.len(), !self.forest.bootstrap);
        if let (Some(packed), None) = (packed, self.target.data.weights) {
            let item = |item, draws| {
                let (g, mass) = parts(item, draws);
                packed.item(g, mass)
            };
            // The variance of a 0/1 variable is half the Gini impurity.
            return self.grow_with(packed, 2.0, item);
        }
        let moments = Moments { mass_bits: self.target.mass_bits };
        let item = |item, draws| {
            let (g, mass) = parts(item, draws);
            // Classes are further apart than values that agree but for rounding.
            moments.item(4 * g, mass)
        };
        self.grow_with(moments, 2.0 / 16.0, item)
    }

    fn grow_classes<const W: usize>(&self) -> Vec<Grown> {
        let (target, n_classes) = (&self.target, self.n_classes());
        let impurity = if self.forest.criterion.is_entropy() { Impurity::Entropy } else { Impurity::Gini };
        if let (Some(packed), None) =
            (PackedClasses::new(target.rows.len(), n_classes, impurity), target.data.weights)
        {
            return self.grow_packed_classes(packed);
        }
        let classes = Classes::<W> { n_classes, mass_bits: target.mass_bits, impurity };
        self.grow_with(classes, 1.0, |[class, mass], draws| [class, mass * i32::from(draws)])
    }

    fn grow_packed_classes(&self, packed: PackedClasses) -> Vec<Grown> {
        let item = |[class, mass]: [i32; 2], draws: u8| {
            packed.item(class as u32, i64::from(mass) * i64::from(draws))
        };
        self.grow_with(packed, 1.0, item)
    }

    fn grow_values(&self) -> Vec<Grown> {
        let Target { mass_bits, mean, scale, .. } = self.target;
        let moments = Moments { mass_bits };
        let item = |[g, mass]: [i32; 2], draws: u8| {
            moments.item(i64::from(g) * i64::from(draws), i64::from(mass) * i64::from(draws))
        };
        if self.forest.criterion == CriterionName::Poisson {
            return self.grow_with(Poisson { moments, mean, unit: 1.0 / scale }, 1.0, item);
        }
        self.grow_with(moments, scale.powi(-2), item)
    }

    /// `unit`: the impurity times mass that a gain of 1 is; `item`: what a row of the target adds that is drawn so
    /// many times.
    fn grow_with<C: Criterion + Copy>(
        &self,
        criterion: C,
        unit: f64,
        item: impl Fn([i32; 2], u8) -> C::Item + Sync,
    ) -> Vec<Grown> {
        self.grow_trees(unit, &|Sample { draws, min_gain, seed }| {
            let limits = Limits { min_gain: *min_gain, ..self.growth.limits };
            let growth = Growth { limits, ..self.growth };
            let mut grower = Grower::new(&self.bins, criterion, growth).interrupted_by(self.watch);
            let Target { rows, items, .. } = &self.target;
            let drawn = || draws.iter().enumerate().filter(|(_, draws)| **draws > 0);
            grower.items().extend(drawn().map(|(i, &draws)| item(items[i], draws)));
            grower.grow(drawn().map(|(i, _)| rows[i]).collect(), &self.bins.usable, *seed)
        })
    }

    fn grow_trees(&self, unit: f64, grow_tree: &GrowTree) -> Vec<Grown> {
        let n_trees = self.forest.n_estimators;
        let n_done = AtomicU64::new(0);
        let grown = parallel::map_indices(n_trees, &|index| {
            // The first tree is always grown, so that an interrupted forest predicts.
            if index > 0 && self.watch.stopped() {
                return None;
            }
            let grown = self.grow_one(index, unit, grow_tree);
            if self.watch.stopped() {
                // It may lack its deeper nodes: of a forest the others are better, a lone tree is better than none.
                return (index == 0).then_some((false, grown));
            }
            let n_done = n_done.fetch_add(1, Ordering::Relaxed) + 1;
            self.watch.progress(n_done, n_trees as u64, format_args!("trees"));
            Some((true, grown))
        });
        let mut grown: Vec<(bool, Grown)> = grown.into_iter().flatten().collect();
        if grown.iter().any(|(is_whole, _)| *is_whole) {
            grown.retain(|(is_whole, _)| *is_whole);
        }
        grown.into_iter().map(|(_, grown)| grown).collect()
    }

    fn grow_one(&self, index: usize, unit: f64, grow_tree: &GrowTree) -> Grown {
        let (forest, target) = (self.forest, &self.target);
        let n = target.rows.len();
        // Odd multiples keep the seeds of neighbouring trees and runs apart (Weyl sequence).
        let seed = target.data.seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut random = generator(seed);
        let mut draws = vec![1_u8; n];
        if forest.bootstrap {
            draws.fill(0);
            for _ in 0..forest.max_samples.count(n) {
                let draw = &mut draws[below(n, &mut random)];
                *draw = (*draw + 1).min(MAX_DRAWS);
            }
        }
        let drawn = target.items.iter().zip(&draws).filter(|(_, draws)| **draws > 0);
        let mass: f64 = drawn.map(|(item, &draws)| f64::from(item[1]) * f64::from(draws)).sum();
        let mut min_gain = MIN_GAIN;
        if forest.min_impurity_decrease > 0.0 {
            // Not less than, but for rounding.
            min_gain = forest.min_impurity_decrease * mass / unit * (1.0 - 1e-9);
        }
        let sample = Sample { draws, min_gain, seed: random.next_u64() };
        let mut tree = grow_tree(&sample);
        if forest.ccp_alpha > 0.0 {
            prune(&mut tree, forest.ccp_alpha * mass / unit);
        }
        let mut draws_of_row = vec![0; self.bins.n_rows()];
        target.rows.iter().zip(&sample.draws).for_each(|(&row, &draws)| draws_of_row[row as usize] = draws);
        tree.weigh(|row| f64::from(draws_of_row[row as usize]) * target.data.weight(row as usize));
        let fill = |tree: &Tree, node: &Node, out: &mut [f64]| {
            let (prior, weight) = &self.prior;
            fill_leaf(tree.rows_of(node), target.data, &draws_of_row, out, (prior, *weight));
        };
        let gain: f64 = tree.nodes.iter().map(|node| node.gain.max(0.0)).sum();
        let gain_unit = if gain > 0.0 { 1.0 / gain } else { 0.0 };
        let smallest = self.growth.limits.min_samples_leaf as usize;
        let flatten = |size: usize| {
            let mut flat = self.no_trees(1);
            if size <= smallest {
                flat.reserve(tree.nodes.len());
                flat.push(&tree, &self.bins, &mut |node, out| fill(&tree, node, out), gain_unit);
            } else {
                let cut = cut(&tree, size);
                flat.push(&cut, &self.bins, &mut |node, out| fill(&tree, node, out), gain_unit);
            }
            flat
        };
        let flats = self.leaf_sizes.iter().map(|&size| flatten(size)).collect();
        let out_of_bag = (forest.oob_score && forest.bootstrap).then(|| {
            let width = self.width();
            let mut values = vec![0.0; tree.leaves().count() * width];
            let leaves = tree.leaves().zip(values.chunks_exact_mut(width));
            leaves.for_each(|(node, out)| fill(&tree, node, out));
            tree.rows = Vec::new();
            OutOfBag { tree, values, drawn: draws_of_row.iter().map(|&draws| draws > 0).collect() }
        });
        Grown { flats, out_of_bag }
    }
}

/// Writes the class shares (of the second class, of two) or the mean of a leaf of these rows over zeros. The prior counts
/// as rows of so much weight.
fn fill_leaf(rows: &[u32], data: &Dataset, draws: &[u8], out: &mut [f64], (prior, of_prior): (&[f64], f64)) {
    let weight = |row: u32| f64::from(draws[row as usize]) * data.weight(row as usize);
    let sum: f64 = rows.iter().map(|&row| weight(row)).sum();
    match data.y {
        Labels::Classes { codes, n_classes } if n_classes > 2 => {
            rows.iter().for_each(|&row| out[codes[row as usize] as usize] += weight(row));
            out.iter_mut().for_each(|share| *share /= sum);
        }
        _ => out[0] = rows.iter().map(|&row| weight(row) * data.y(row as usize)).sum::<f64>() / sum,
    }
    if of_prior > 0.0 {
        let share = of_prior / (sum + of_prior);
        out.iter_mut().zip(prior).for_each(|(out, prior)| *out += share * (prior - *out));
    }
}

impl Learner for Forest {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit_bins(Bins::new(data), data, watch)
    }

    fn fit_path(&self, leaf_sizes: &[f64], data: &Dataset, watch: &dyn Watch) -> Result<Vec<Fit>> {
        let leaf_sizes: Vec<usize> = leaf_sizes.iter().map(|&size| size as usize).collect();
        self.fit_sizes(Bins::new(data), &leaf_sizes, data, watch)
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
    use crate::model::predictor::{Array, Arrays};
    use proptest::prelude::*;
    use rand_pcg::rand_core::Rng;

    const MISSING: f64 = f64::NAN;

    fn matrix(rows: &[&[f64]]) -> Matrix {
        let mut x = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| x.push_row(0.0).copy_from_slice(row));
        x
    }

    fn noise(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
        let mut random = generator(seed);
        let mut x = Matrix::zeros(n_rows, n_cols);
        x.values_mut().iter_mut().for_each(|v| *v = f64::from(random.next_u32()) / 2_f64.powi(32));
        x
    }

    fn fit(algorithm: &'static Algorithm, settings: &[(&str, &str)], data: &Dataset) -> Fit {
        let task = match data.y {
            Labels::Classes { .. } => Task::Classification,
            Labels::Values(_) => Task::Regression,
        };
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let fit = Spec::new(algorithm, task, &settings).unwrap().fit(data, &Unwatched).unwrap();
        fit.predictor.validate().unwrap();
        fit
    }

    fn scores(predictor: &Predictor, x: &Matrix) -> Vec<f64> {
        let n = predictor.n_outputs();
        let mut out = vec![0.0; x.n_rows() * n];
        predictor.scores_block(x.values(), &mut out);
        for (row, block) in x.rows().zip(out.chunks_exact(n)) {
            let mut single = vec![0.0; n];
            predictor.scores_into(row, &mut single);
            assert_eq!(single, block, "one row and a block agree");
        }
        out
    }

    fn bytes(predictor: &Predictor) -> Arrays {
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        arrays
    }

    /// The squared error that the best split of all leaves, over all columns, thresholds and sides of missing values.
    fn brute_force(x: &Matrix, y: &[f64], min_leaf: usize) -> f64 {
        let error = |rows: &[usize]| {
            let mean = rows.iter().map(|&i| y[i]).sum::<f64>() / rows.len().max(1) as f64;
            rows.iter().map(|&i| (y[i] - mean).powi(2)).sum::<f64>()
        };
        let all: Vec<usize> = (0..y.len()).collect();
        let mut least = error(&all);
        for j in 0..x.n_cols() {
            for threshold in x.rows().map(|row| row[j]).filter(|v| !v.is_nan()) {
                for missing_left in [false, true] {
                    let goes_left = |i: &usize| {
                        let value = x.row(*i)[j];
                        if value.is_nan() { missing_left } else { value <= threshold }
                    };
                    let (left, right): (Vec<usize>, Vec<usize>) = all.iter().partition(|i| goes_left(i));
                    if left.len() >= min_leaf && right.len() >= min_leaf {
                        least = least.min(error(&left) + error(&right));
                    }
                }
            }
        }
        least
    }

    #[test]
    fn a_path_of_leaf_sizes_ends_at_the_forest_with_the_smallest() {
        let x = noise(200, 4, 3);
        let y: Vec<f64> = x.rows().map(|row| row[0] + row[1] * row[2]).collect();
        let codes: Vec<u32> = x.rows().map(|row| (3.0 * row[0]) as u32).collect();
        let settings = Spec::new(&RANDOM_FOREST, Task::Regression, &[("n_estimators".into(), "5".into())]);
        let learner = (RANDOM_FOREST.learner)(&settings.unwrap().settings);
        for y in [Labels::Values(&y), Labels::Classes { codes: &codes, n_classes: 3 }] {
            let data = Dataset::new(&x, y);
            let path = learner.fit_path(&[200.0, 8.0, 1.0], &data, &Unwatched).unwrap();
            let alone = fit(&RANDOM_FOREST, &[("n_estimators", "5")], &data);
            assert_eq!(bytes(&path[2].predictor), bytes(&alone.predictor));
            let [fewest, fewer, all] = [0, 1, 2].map(|size| {
                let arrays = bytes(&path[size].predictor);
                let Some(Array::U32(_, columns)) = arrays.get("trees.feature") else { unreachable!() };
                columns.len()
            });
            // A split whose sides both predict as the root is left of each tree.
            assert!(fewest == 15 && fewest < fewer && fewer < all, "{fewest} {fewer} {all}");
        }
    }

    proptest! {
        #[test]
        fn a_split_on_tied_values_is_the_best_of_all(
            cells in prop::collection::vec((0..5_i32, 0..3_i32, 0..4_i32), 2..40), min_leaf in 1..4_usize,
        ) {
            let mut x = Matrix::with_capacity(cells.len(), 2);
            for (a, b, _) in &cells {
                let value = |v: i32| if v == 0 { MISSING } else { f64::from(v) };
                x.push_row(0.0).copy_from_slice(&[value(*a), value(*b)]);
            }
            let y: Vec<f64> = cells.iter().map(|(_, _, y)| f64::from(*y)).collect();
            let leaf = min_leaf.to_string();
            let settings = [("max_depth", "1"), ("min_samples_leaf", leaf.as_str())];
            let stump = fit(&DECISION_TREE, &settings, &Dataset::new(&x, Labels::Values(&y))).predictor;
            let error: f64 = scores(&stump, &x).iter().zip(&y).map(|(p, y)| (p - y).powi(2)).sum();
            prop_assert!((error - brute_force(&x, &y, min_leaf)).abs() < 1e-6);
            let codes: Vec<u32> = cells.iter().map(|(_, _, y)| u32::from(*y > 1)).collect();
            prop_assume!(codes.contains(&0) && codes.contains(&1));
            let y: Vec<f64> = codes.iter().map(|&code| f64::from(code)).collect();
            let labels = Labels::Classes { codes: &codes, n_classes: 2 };
            let stump = fit(&DECISION_TREE, &settings, &Dataset::new(&x, labels)).predictor;
            let shares = scores(&stump, &x);
            let error: f64 = shares.chunks(2).zip(&y).map(|(p, y)| (p[1] - y).powi(2)).sum();
            prop_assert!((error - brute_force(&x, &y, min_leaf)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_full_tree_remembers_rows_that_differ_even_exclusive_or() {
        let x = matrix(&[&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]]);
        let labels = Labels::Classes { codes: &[0, 1, 1, 0], n_classes: 2 };
        let tree = fit(&DECISION_TREE, &[], &Dataset::new(&x, labels)).predictor;
        assert_eq!(scores(&tree, &x), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
        let x = noise(3000, 4, 5);
        let y: Vec<f64> = x.rows().map(|row| (row[0] * 20.0).floor() + row[1]).collect();
        let tree = fit(&DECISION_TREE, &[], &Dataset::new(&x, Labels::Values(&y))).predictor;
        let error: f64 = scores(&tree, &x).iter().zip(&y).map(|(p, y)| (p - y).abs()).sum();
        assert!(error / 3000.0 < 0.01, "{error}");
    }

    #[test]
    fn the_same_bytes_come_from_any_number_of_threads() {
        let mut x = noise(20_000, 7, 3);
        x.row_mut(9)[2] = MISSING;
        let codes: Vec<u32> = x.rows().map(|row| ((row[0] + row[1] * row[4]) * 2.0) as u32 % 3).collect();
        let values: Vec<f64> = x.rows().map(|row| row[0] + row[5] * row[6]).collect();
        for algorithm in [&DECISION_TREE, &RANDOM_FOREST, &EXTRA_TREES] {
            for y in [Labels::Classes { codes: &codes, n_classes: 3 }, Labels::Values(&values)] {
                let data = Dataset { seed: 7, ..Dataset::new(&x, y) };
                let settings = match algorithm.name {
                    "decision-tree" => vec![],
                    _ => vec![("n_estimators", "6"), ("oob_score", "true")],
                };
                let of_threads = [1, 2, 8].map(|n| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
                    pool.install(|| fit(algorithm, &settings, &data))
                });
                let [a, b, c] = of_threads.map(|fit| (bytes(&fit.predictor), fit.notes));
                assert!(a == b && b == c, "{algorithm:?}");
            }
        }
    }

    #[test]
    fn a_row_of_no_weight_is_no_row_and_a_weight_of_two_is_a_row_twice() {
        let x = noise(60, 3, 1);
        let codes: Vec<u32> = x.rows().map(|row| (row[0] * 3.0) as u32).collect();
        let values: Vec<f64> = x.rows().map(|row| row[0] + row[1]).collect();
        let weights: Vec<f64> = (0..60).map(|i| f64::from(i % 3)).collect();
        let kept: Vec<usize> = (0..60).flat_map(|i| vec![i; i % 3]).collect();
        let mut repeated = Matrix::with_capacity(60, 3);
        kept.iter().for_each(|&i| repeated.push_row(0.0).copy_from_slice(x.row(i)));
        let codes_kept: Vec<u32> = kept.iter().map(|&i| codes[i]).collect();
        let values_kept: Vec<f64> = kept.iter().map(|&i| values[i]).collect();
        let classes = |codes| Labels::Classes { codes, n_classes: 3 };
        for (y, y_kept) in [
            (classes(&codes[..]), classes(&codes_kept[..])),
            (Labels::Values(&values), Labels::Values(&values_kept)),
        ] {
            let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, y) };
            let plain = Dataset::new(&repeated, y_kept);
            let [a, b] = [weighted, plain].map(|data| fit(&DECISION_TREE, &[], &data).predictor);
            let (a, b) = (scores(&a, &x), scores(&b, &x));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }

    #[test]
    fn the_smallest_and_emptiest_tables_are_learned() {
        let one = matrix(&[&[3.0]]);
        for algorithm in [&DECISION_TREE, &RANDOM_FOREST, &EXTRA_TREES] {
            let mean = fit(algorithm, &[], &Dataset::new(&one, Labels::Values(&[5.0]))).predictor;
            assert_eq!(scores(&mean, &one), [5.0]);
            let empty = matrix(&[&[MISSING, 1.0], &[MISSING, 1.0], &[MISSING, 1.0]]);
            let mean =
                fit(algorithm, &[("max_features", "none")], &Dataset::new(&empty, Labels::Values(&[1.0; 3])));
            assert_eq!(scores(&mean.predictor, &empty), [1.0; 3]);
            // A missing value says something, the value does not.
            let half = matrix(&[&[MISSING], &[MISSING], &[2.0], &[2.0]]);
            let y = Labels::Classes { codes: &[0, 0, 1, 1], n_classes: 2 };
            let settings: &[(&str, &str)] =
                if algorithm.name == "decision-tree" { &[] } else { &[("bootstrap", "false")] };
            let split = fit(algorithm, settings, &Dataset::new(&half, y)).predictor;
            assert_eq!(
                scores(&split, &matrix(&[&[MISSING], &[-9.0], &[9e9]])),
                [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]
            );
        }
    }

    #[test]
    fn categories_are_split_on_subsets_however_many() {
        for n_levels in [5, 300, 10_000] {
            let mut x = Matrix::zeros(4 * n_levels, 2);
            for i in 0..x.n_rows() {
                x.row_mut(i).copy_from_slice(&[(i % n_levels) as f64, i as f64]);
            }
            let y: Vec<f64> = x.rows().map(|row| f64::from(row[0] as u32 * 7 % 5 < 2)).collect();
            let data = Dataset { levels: &[n_levels, 0], ..Dataset::new(&x, Labels::Values(&y)) };
            let stump = fit(&DECISION_TREE, &[("max_depth", "1")], &data).predictor;
            let found = scores(&stump, &x);
            let right = found.iter().zip(&y).filter(|(p, y)| (*p - *y).abs() < 0.5).count();
            assert!(n_levels > 254 || right == y.len(), "one split tells the levels apart");
            let unseen = scores(&stump, &matrix(&[&[-1.0, 0.0], &[MISSING, 0.0], &[1e9, 0.0]]));
            assert!(unseen[0] == unseen[1] && unseen[1] == unseen[2]);
            fit(&EXTRA_TREES, &[("n_estimators", "2")], &data);
        }
    }

    #[test]
    fn levels_of_few_rows_are_not_learned_one_by_one() {
        // A name per row or two, and a number that decides.
        let n_rows = 400;
        let mut x = noise(n_rows, 2, 7);
        (0..n_rows).for_each(|i| x.row_mut(i)[0] = (i / 2) as f64);
        let noise: Vec<f64> = noise(n_rows, 1, 8).values().to_vec();
        let y: Vec<f64> = (0..n_rows).map(|i| x.row(i)[1] + noise[i]).collect();
        let data = Dataset { levels: &[200, 0], ..Dataset::new(&x, Labels::Values(&y)) };
        for algorithm in [&DECISION_TREE, &RANDOM_FOREST] {
            let of_names = |settings| fit(algorithm, settings, &data).predictor.importances().unwrap()[0];
            assert_eq!(of_names(&[]), 0.0);
            assert!(of_names(&[("min_samples_level", "1")]) > 0.5);
        }
    }

    #[test]
    fn leaves_are_smoothed_by_the_prior_as_the_m_estimate_says() {
        let x = matrix(&[&[1.0], &[1.0], &[2.0], &[2.0], &[2.0], &[2.0]]);
        let two = Labels::Classes { codes: &[0, 0, 1, 1, 1, 1], n_classes: 2 };
        let three = Labels::Classes { codes: &[0, 0, 1, 1, 1, 1], n_classes: 3 };
        let settings = [("prior_weight", "3")];
        let found = |y| scores(&fit(&DECISION_TREE, &settings, &Dataset::new(&x, y)).predictor, &x);
        // Two rows of class 0, and three of which a third is.
        let expected = [3.0 / 5.0, 2.0 / 5.0, 1.0 / 7.0, 6.0 / 7.0];
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&found(two)[2..6], &expected));
        let of_three = found(three);
        assert!(near(&of_three[3..6], &[expected[0], expected[1], 0.0]));
        let values = Labels::Values(&[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(near(&found(values)[1..3], &[expected[1], expected[3]]));
    }

    #[test]
    fn limits_are_kept_and_importances_add_up_to_one() {
        let x = noise(500, 3, 11);
        let y: Vec<f64> = x.rows().map(|row| row[1]).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let distinct = |settings: &[(&str, &str)]| {
            let fitted = fit(&DECISION_TREE, settings, &data).predictor;
            let importances = fitted.importances().unwrap();
            assert!((importances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(importances[1] > 0.9);
            let mut found = scores(&fitted, &x);
            found.sort_unstable_by(f64::total_cmp);
            found.dedup();
            found.len()
        };
        assert_eq!(distinct(&[("max_leaf_nodes", "10")]), 10);
        assert_eq!(distinct(&[("max_depth", "3")]), 8);
        assert!(distinct(&[("min_samples_leaf", "100")]) <= 5);
        let forest = fit(&RANDOM_FOREST, &[("oob_score", "true")], &data);
        assert!(forest.notes[0].starts_with("out-of-bag R² 0.9"), "{:?}", forest.notes);
    }

    #[test]
    fn trees_draw_as_many_rows_as_they_are_told_to() {
        let x = noise(200, 2, 3);
        let y: Vec<f64> = x.rows().map(|row| row[0]).collect();
        let data = Dataset::new(&x, Labels::Values(&y));
        let n_distinct = |samples: &str| {
            let settings = [("max_samples", samples), ("n_estimators", "1")];
            let mut found = scores(&fit(&RANDOM_FOREST, &settings, &data).predictor, &x);
            found.sort_unstable_by(f64::total_cmp);
            found.dedup();
            found.len()
        };
        assert_eq!(n_distinct("1"), 1);
        assert!((2..=20).contains(&n_distinct("0.1")));
        assert!(n_distinct("none") > 90);
    }

    #[test]
    fn settings_that_do_not_fit_say_what_does() {
        let x = noise(20, 2, 3);
        let y: Vec<f64> = x.rows().map(|row| row[0] - 0.5).collect();
        let codes: Vec<u32> = y.iter().map(|&y| u32::from(y > 0.0)).collect();
        let error = |algorithm, task, key: &str, value: &str, y| {
            let spec = Spec::new(algorithm, task, &[(key.to_string(), value.to_string())]).unwrap();
            spec.fit(&Dataset::new(&x, y), &Unwatched).unwrap_err().to_string()
        };
        let values = Labels::Values(&y);
        let classes = Labels::Classes { codes: &codes, n_classes: 2 };
        let of_values = |key, value| error(&RANDOM_FOREST, Task::Regression, key, value, values);
        assert!(of_values("criterion", "gini").contains("squared_error or poisson"));
        assert!(of_values("criterion", "poisson").contains("values below 0"));
        assert!(of_values("max_samples", "21").contains("there are 20 rows"));
        let poisson = error(&DECISION_TREE, Task::Classification, "criterion", "poisson", classes);
        assert!(poisson.contains("gini, entropy or log_loss"));
        let extra = error(&EXTRA_TREES, Task::Classification, "max_samples", "0.5", classes);
        assert!(extra.contains("bootstrap=true"), "{extra}");
    }
}
