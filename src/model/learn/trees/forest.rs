//! Decision trees, random forests, extremely randomised trees.
//!
//! smartcore's trees are not used: theirs (0.7) choose wrong splits where values tie, keep no class shares,
//! and take 3 to 10 times scikit-learn's time. These grow on the shared engine.
//!
//! Breiman et al. 1984, "Classification and regression trees"; Breiman 2001, "Random forests"; Geurts, Ernst
//! and Wehenkel 2006, "Extremely randomized trees". A leaf predicts the class shares, or the mean, of its
//! rows, and a forest the mean of its trees, as in scikit-learn.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::best_split::Limits;
use super::bins::Bins;
use super::compact::Compact;
use super::criterion::{ClassMasses, Classes, Criterion, Entropy, Moments, Packed, PackedClasses, Poisson};
use super::grow::{Grower, Growth, Tree, below};
use super::prune::prune;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Task;
use crate::data::prepare::recipe::Encoding;
use crate::data::split::folds::generator;
use crate::model::learn::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Settings, Watch};
use crate::model::predictor::{Link, Predictor};
use crate::usage::usage;

/// `none` or a whole number from 1.
const WHOLE_OR_NONE: Range = Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, u64::MAX)]);

/// Depth of the deepest leaf.
pub const MAX_DEPTH: Parameter = Parameter {
    name: "max_depth",
    default: "none",
    range: WHOLE_OR_NONE,
    effect: "depth of the deepest leaf",
};

const MIN_SAMPLES_SPLIT: Parameter = Parameter {
    name: "min_samples_split",
    default: "2",
    range: Range::Whole(2, u64::MAX),
    effect: "fewest rows of a node that is split",
};

const MIN_SAMPLES_LEAF: Parameter = Parameter {
    name: "min_samples_leaf",
    default: "1",
    range: Range::Whole(1, u64::MAX),
    effect: "fewest rows of a leaf",
};

const MAX_LEAF_NODES: Parameter = Parameter {
    name: "max_leaf_nodes",
    default: "none",
    range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(2, u64::MAX)]),
    effect: "most leaves of a tree; it then grows where it gains most",
};

const FEATURES: Range = Range::AnyOf(&[
    Range::Choice(&["auto", "sqrt", "log2", "none"]),
    Range::Whole(1, u64::MAX),
    Range::Above(0.0, 1.0),
]);

const MAX_FEATURES: Parameter = Parameter {
    name: "max_features",
    default: "auto",
    range: FEATURES,
    effect: "columns drawn for each split, as a number (1) or a share (1.0); auto is sqrt for classification \
             and all for regression",
};

const N_ESTIMATORS: Parameter = Parameter {
    name: "n_estimators",
    default: "100",
    range: Range::Whole(1, 100_000),
    effect: "number of trees",
};

const CRITERION: Parameter = Parameter {
    name: "criterion",
    default: "auto",
    range: Range::Choice(&["auto", "gini", "entropy", "log_loss", "squared_error", "poisson"]),
    effect: "what a split makes small; auto is gini for classification (or entropy, also named log_loss) and \
             squared_error for regression (or poisson, for counts)",
};

const MIN_IMPURITY_DECREASE: Parameter = Parameter {
    name: "min_impurity_decrease",
    default: "0.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "what a split takes off the impurity of the whole tree, at least",
};

const CCP_ALPHA: Parameter = Parameter {
    name: "ccp_alpha",
    default: "0.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "what a leaf costs in impurity; a grown tree is cut back where its leaves are not worth that",
};

const MAX_SAMPLES: Parameter = Parameter {
    name: "max_samples",
    default: "none",
    range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, u64::MAX), Range::Above(0.0, 1.0)]),
    effect: "rows drawn for each tree with bootstrap=true, as a number (100) or a share (0.5); none is as many \
             as there are",
};

const OOB_SCORE: Parameter = Parameter {
    name: "oob_score",
    default: "false",
    range: Range::Flag,
    effect: "whether to note how well each row is predicted by the trees that did not see it",
};

const fn bootstrap(default: &'static str) -> Parameter {
    Parameter {
        name: "bootstrap",
        default,
        range: Range::Flag,
        effect: "whether each tree sees rows drawn with replacement, or all",
    }
}

/// One tree.
pub static DECISION_TREE: Algorithm = Algorithm {
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
    smartcore: "None. Its trees (0.7) choose wrong splits if values tie, keep no class shares and take no \
           missing values.",
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
    ],
    learner: |settings| Box::new(Forest { n_estimators: 1, ..Forest::new(settings, false) }),
};

/// The mean of trees on bootstrap samples.
pub static RANDOM_FOREST: Algorithm = Algorithm {
    name: "random-forest",
    alias: Some("forest"),
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Raw,
    summary: "The mean of many deep trees, each on rows and columns drawn at random",
    idea: "The mean of many deep trees, each grown on rows drawn with replacement, and each split \
           chosen among columns drawn at random. Single trees overfit in different ways, and their mean \
           does not.",
    source: "Breiman 2001, \"Random forests\"",
    smartcore: "None. Its forests (0.7) have no probabilities and take 10 times as long as scikit-learn's on \
           80,000 rows.",
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
        MAX_SAMPLES,
        bootstrap("true"),
        OOB_SCORE,
    ],
    learner: |settings| Box::new(Forest::new(settings, false)),
};

/// The mean of trees with random cuts.
pub static EXTRA_TREES: Algorithm = Algorithm {
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
        MAX_SAMPLES,
        bootstrap("false"),
        OOB_SCORE,
    ],
    learner: |settings| Box::new(Forest::new(settings, true)),
};

/// How many columns a split looks at.
enum MaxFeatures {
    Auto,
    Sqrt,
    Log2,
    All,
    Count(usize),
    Share(f64),
}

impl MaxFeatures {
    fn of(settings: &Settings) -> Self {
        match (settings.word("max_features"), settings.optional_whole("max_features")) {
            ("auto", _) => Self::Auto,
            ("sqrt", _) => Self::Sqrt,
            ("log2", _) => Self::Log2,
            (_, Some(count)) => Self::Count(count),
            ("none", _) => Self::All,
            _ => Self::Share(settings.number("max_features")),
        }
    }

    fn count(&self, n_columns: usize, is_classification: bool) -> usize {
        let n = n_columns as f64;
        let count = match self {
            Self::Auto if is_classification => n.sqrt() as usize,
            Self::Auto | Self::All => n_columns,
            Self::Sqrt => n.sqrt() as usize,
            Self::Log2 => n.log2() as usize,
            Self::Count(count) => *count,
            Self::Share(share) => (share * n) as usize,
        };
        count.clamp(1, n_columns.max(1))
    }
}

/// Parameters of trees that are averaged; one tree is a forest of one.
struct Forest {
    n_estimators: usize,
    max_depth: usize,
    min_samples_split: usize,
    min_samples_leaf: usize,
    max_leaf_nodes: usize,
    max_features: MaxFeatures,
    criterion: String,
    min_impurity_decrease: f64,
    ccp_alpha: f64,
    random_cuts: bool,
    bootstrap: bool,
    max_samples: MaxSamples,
    oob_score: bool,
}

/// How many rows a tree draws.
enum MaxSamples {
    All,
    Count(usize),
    Share(f64),
}

/// A row is drawn this often at most, which leaves room in an item; more has a chance of 10⁻³³.
const MAX_DRAWS: u8 = 31;

/// The classes and rows to be learned, in whole numbers.
struct Target<'a> {
    data: &'a Dataset<'a>,
    /// Rows that count.
    rows: Vec<u32>,
    /// The class, or the value less the mean, and the mass of each of those rows when drawn once.
    items: Vec<[i32; 2]>,
    mass_bits: u32,
    /// Of values: what is taken off, and what a difference of 1 is then.
    mean: f64,
    scale: f64,
}

/// A grown tree, flat at once: a forest is often larger than its table.
struct Grown {
    flat: Compact,
    /// Kept if the out-of-bag score is wanted.
    out_of_bag: Option<OutOfBag>,
}

/// What says how a tree predicts the rows that it did not see.
struct OutOfBag {
    tree: Tree,
    /// Of its leaves.
    values: Vec<f64>,
    /// Whether each row was drawn.
    drawn: Vec<bool>,
}

/// No trees yet, on these columns.
fn no_trees(data: &Dataset, bins: &Bins, n_trees: usize) -> Compact {
    let (link, width) = match data.y {
        Labels::Classes { n_classes: ..3, .. } => (Link::Share, 1),
        Labels::Classes { n_classes, .. } => (Link::Identity, n_classes),
        Labels::Values(_) => (Link::Identity, 1),
    };
    Compact::new(data, bins, link, width, vec![0.0; width], n_trees as f64)
}

/// 2 to the largest whole power that is at most `value`.
pub fn power_of_two_below(value: f64) -> f64 {
    value.log2().floor().clamp(-1000.0, 1000.0).exp2()
}

/// Bits for the mass beside a count of up to `n_rows`.
pub fn mass_bits(n_rows: usize) -> u32 {
    n_rows.leading_zeros() - 2
}

impl<'a> Target<'a> {
    fn new(data: &'a Dataset) -> Self {
        let weight = |row: u32| data.weights.map_or(1.0, |weights| weights[row as usize]);
        let n_rows = data.n_rows() as u32;
        let rows: Vec<u32> = (0..n_rows).filter(|&row| weight(row) > 0.0).collect();
        let mass_bits = mass_bits(rows.len());
        let draws = f64::from(MAX_DRAWS);
        let mut mass_scale = 1.0;
        if data.weights.is_some() {
            let sum: f64 = rows.iter().map(|&row| weight(row)).sum();
            let largest = rows.iter().map(|&row| weight(row)).fold(0.0, f64::max);
            let room = (1_u64 << mass_bits) as f64 - rows.len() as f64 * draws;
            let of_sum = room / (sum * draws);
            mass_scale = power_of_two_below(of_sum.min(f64::from(i32::MAX) / (largest * draws)));
        }
        let mass = |row: u32| (weight(row) * mass_scale).round();
        let (mut mean, mut scale) = (0.0, 1.0);
        let items = match data.y {
            Labels::Classes { codes, .. } => {
                rows.iter().map(|&row| [codes[row as usize] as i32, mass(row) as i32]).collect()
            }
            Labels::Values(values) => {
                let sums = rows.iter().fold((0.0, 0.0), |sums, &row| {
                    (sums.0 + weight(row) * values[row as usize], sums.1 + weight(row))
                });
                mean = sums.0 / sums.1;
                let largest = rows.iter().map(|&row| (mass(row) * (values[row as usize] - mean)).abs());
                let largest = largest.fold(f64::MIN_POSITIVE, f64::max);
                scale = power_of_two_below(f64::from(i32::MAX) / (largest * draws));
                let item = |&row: &u32| {
                    let g = (mass(row) * (values[row as usize] - mean) * scale).round();
                    [g as i32, mass(row) as i32]
                };
                rows.iter().map(item).collect()
            }
        };
        Self { data, rows, items, mass_bits, mean, scale }
    }
}

/// What a tree averages: the value, or whether the row is of the second of two classes.
fn value(data: &Dataset, row: u32) -> f64 {
    match data.y {
        Labels::Values(values) => values[row as usize],
        Labels::Classes { codes, .. } => f64::from(codes[row as usize]),
    }
}

impl Forest {
    fn new(settings: &Settings, random_cuts: bool) -> Self {
        let whole = |name| settings.optional_whole(name).unwrap_or(usize::MAX);
        Self {
            n_estimators: settings.whole("n_estimators"),
            max_depth: whole("max_depth"),
            min_samples_split: settings.whole("min_samples_split"),
            min_samples_leaf: settings.whole("min_samples_leaf"),
            max_leaf_nodes: whole("max_leaf_nodes"),
            max_features: MaxFeatures::of(settings),
            criterion: settings.word("criterion").into(),
            min_impurity_decrease: settings.number("min_impurity_decrease"),
            ccp_alpha: settings.number("ccp_alpha"),
            random_cuts,
            bootstrap: settings.flag("bootstrap"),
            max_samples: match (settings.optional_whole("max_samples"), settings.number("max_samples")) {
                (Some(count), _) => MaxSamples::Count(count),
                (None, share) if share > 0.0 => MaxSamples::Share(share),
                _ => MaxSamples::All,
            },
            oob_score: settings.flag("oob_score"),
        }
    }

    /// `unit`: what a gain of 1 is in impurity times mass; `item`: what a row of a [`Target`] adds that is drawn
    /// so many times.
    fn grow_all<C: Criterion + Copy>(
        &self,
        target: &Target,
        bins: &Bins,
        (criterion, unit): (C, f64),
        item: impl Fn([i32; 2], u8) -> C::Item + Sync,
        watch: &dyn Watch,
    ) -> Vec<Grown> {
        let is_classification = matches!(target.data.y, Labels::Classes { .. });
        let limits = Limits {
            min_samples_leaf: self.min_samples_leaf.min(target.rows.len()) as i64,
            min_mass: 1.0,
            // A split that gains nothing by itself may lead to one that does, as in exclusive or.
            min_gain: -1.0,
            l2: 0.0,
            category_smoothing: 0.0,
        };
        let growth = Growth {
            max_depth: self.max_depth,
            max_leaf_nodes: self.max_leaf_nodes,
            min_samples_split: self.min_samples_split,
            max_features: self.max_features.count(bins.columns.len(), is_classification),
            random_cuts: self.random_cuts,
            parallel: self.n_estimators == 1,
            limits,
        };
        let done = AtomicU64::new(0);
        let grow = |index: usize| {
            // The first tree is always grown, so that an interrupted forest predicts.
            if index > 0 && watch.stopped() {
                return None;
            }
            let grower = Grower::new(bins, criterion, growth);
            let grown = self.grow_one(index, target, (grower, limits, unit), bins, &item);
            let n_done = done.fetch_add(1, Ordering::Relaxed) + 1;
            watch.progress(n_done, self.n_estimators as u64, format_args!("trees"));
            Some(grown)
        };
        let grown: Vec<Option<Grown>> = if self.n_estimators == 1 {
            vec![grow(0)]
        } else {
            (0..self.n_estimators).into_par_iter().map(grow).collect()
        };
        grown.into_iter().flatten().collect()
    }

    fn grow_one<C: Criterion>(
        &self,
        index: usize,
        target: &Target,
        (mut grower, limits, unit): (Grower<C>, Limits, f64),
        bins: &Bins,
        item: impl Fn([i32; 2], u8) -> C::Item,
    ) -> Grown {
        let n = target.rows.len();
        // Odd multiples keep the seeds of neighbouring trees and runs apart (Weyl sequence).
        let seed = target.data.seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut random = generator(seed);
        let mut draws = vec![1_u8; n];
        if self.bootstrap {
            draws.fill(0);
            let n_draws = match self.max_samples {
                MaxSamples::All => n,
                MaxSamples::Count(count) => count,
                MaxSamples::Share(share) => ((share * n as f64).round() as usize).max(1),
            };
            for _ in 0..n_draws {
                let draw = &mut draws[below(n, &mut random)];
                *draw = (*draw + 1).min(MAX_DRAWS);
            }
        }
        let drawn = || (0..n).filter(|&i| draws[i] > 0);
        let rows = drawn().map(|i| target.rows[i]).collect();
        grower.items().extend(drawn().map(|i| item(target.items[i], draws[i])));
        let mass: f64 = drawn().map(|i| f64::from(target.items[i][1]) * f64::from(draws[i])).sum();
        if self.min_impurity_decrease > 0.0 {
            // Not less than, but for rounding.
            let min_gain = self.min_impurity_decrease * mass / unit * (1.0 - 1e-9);
            grower.set_limits(Limits { min_gain, ..limits });
        }
        let mut tree = grower.grow(rows, &bins.usable, random.next_u64());
        if self.ccp_alpha > 0.0 {
            prune(&mut tree, self.ccp_alpha * mass / unit);
        }
        let mut draws_of_row = vec![0; bins.n_rows()];
        target.rows.iter().zip(&draws).for_each(|(&row, &draws)| draws_of_row[row as usize] = draws);
        let values = leaf_values(&tree, target.data, &draws_of_row);
        let gain: f64 = tree.nodes.iter().map(|node| node.gain.max(0.0)).sum();
        let mut flat = no_trees(target.data, bins, 1);
        flat.reserve(tree.nodes.len());
        flat.push(&tree, bins, &values, if gain > 0.0 { 1.0 / gain } else { 0.0 });
        let out_of_bag = (self.oob_score && self.bootstrap).then(|| {
            tree.rows = Vec::new();
            OutOfBag { tree, values, drawn: draws_of_row.iter().map(|&draws| draws > 0).collect() }
        });
        Grown { flat, out_of_bag }
    }

    /// The share of the second of two classes is a number that is 0 or 1.
    fn grow_two_classes(&self, target: &Target, bins: &Bins, watch: &dyn Watch) -> Vec<Grown> {
        let parts = |[class, mass]: [i32; 2], draws: u8| {
            let mass = i64::from(mass) * i64::from(draws);
            (i64::from(class) * mass, mass)
        };
        // Small whole numbers: exact either way.
        let packed = Packed::new(target.rows.len(), !self.bootstrap);
        if let (Some(packed), None) = (packed, target.data.weights) {
            let item = |item, draws| {
                let (g, mass) = parts(item, draws);
                packed.item(g, mass)
            };
            // The variance of a 0/1 variable is half the Gini impurity.
            return self.grow_all(target, bins, (packed, 2.0), item, watch);
        }
        let moments = Moments { mass_bits: target.mass_bits };
        let item = |item, draws| {
            let (g, mass) = parts(item, draws);
            // Classes are further apart than values that agree but for rounding.
            moments.item(4 * g, mass)
        };
        self.grow_all(target, bins, (moments, 2.0 / 16.0), item, watch)
    }

    fn grow_classes<const W: usize>(
        &self,
        n_classes: usize,
        target: &Target,
        bins: &Bins,
        watch: &dyn Watch,
    ) -> Vec<Grown> {
        if let (Some(packed), None) = (PackedClasses::new(target.rows.len(), n_classes), target.data.weights)
        {
            let item = |[class, mass]: [i32; 2], draws: u8| {
                packed.item(class as u32, i64::from(mass) * i64::from(draws))
            };
            return self.grow_on_classes(target, bins, packed, item, watch);
        }
        let classes = Classes::<W> { n_classes, mass_bits: target.mass_bits };
        let item = |[class, mass]: [i32; 2], draws: u8| [class, mass * i32::from(draws)];
        self.grow_on_classes(target, bins, classes, item, watch)
    }

    fn grow_on_classes<C: ClassMasses + Copy>(
        &self,
        target: &Target,
        bins: &Bins,
        criterion: C,
        item: impl Fn([i32; 2], u8) -> C::Item + Sync,
        watch: &dyn Watch,
    ) -> Vec<Grown> {
        if self.is_entropy() {
            self.grow_all(target, bins, (Entropy(criterion), 1.0), item, watch)
        } else {
            self.grow_all(target, bins, (criterion, 1.0), item, watch)
        }
    }

    fn grow_values(&self, target: &Target, bins: &Bins, watch: &dyn Watch) -> Vec<Grown> {
        let moments = Moments { mass_bits: target.mass_bits };
        let item = |[g, mass]: [i32; 2], draws: u8| {
            moments.item(i64::from(g) * i64::from(draws), i64::from(mass) * i64::from(draws))
        };
        if self.criterion == "poisson" {
            let poisson = Poisson { moments, mean: target.mean, unit: 1.0 / target.scale };
            return self.grow_all(target, bins, (poisson, 1.0), item, watch);
        }
        self.grow_all(target, bins, (moments, target.scale.powi(-2)), item, watch)
    }

    fn is_entropy(&self) -> bool {
        matches!(self.criterion.as_str(), "entropy" | "log_loss")
    }

    /// # Errors
    /// Settings that do not fit the data or each other.
    fn check(&self, data: &Dataset) -> Result<()> {
        let (n_rows, criterion) = (data.n_rows(), self.criterion.as_str());
        match data.y {
            Labels::Classes { .. } if matches!(criterion, "squared_error" | "poisson") => {
                return Err(usage(format!(
                    "--set criterion={criterion}: not for classification; it is gini, entropy or log_loss \
                     (default auto)"
                )));
            }
            Labels::Values(_) if criterion == "gini" || self.is_entropy() => {
                return Err(usage(format!(
                    "--set criterion={criterion}: not for regression; it is squared_error or poisson (default \
                     auto)"
                )));
            }
            Labels::Values(values) if criterion == "poisson" => ensure!(
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

    /// How well each row is predicted by the trees that did not see it.
    fn oob_note(&self, target: &Target, bins: &Bins, grown: &[Grown], width: usize) -> String {
        const BLOCK_ROWS: usize = 4096;
        let predict = |rows: &[u32]| {
            let mut sums = vec![0.0; rows.len() * width];
            let mut n_trees = vec![0_u32; rows.len()];
            for OutOfBag { tree, values, drawn } in grown.iter().filter_map(|grown| grown.out_of_bag.as_ref())
            {
                let leaf_rows = leaf_rows(tree);
                for (i, &row) in rows.iter().enumerate().filter(|(_, row)| !drawn[**row as usize]) {
                    let leaf = leaf_rows[tree.leaf_of(bins, row as usize)] as usize;
                    let sums = &mut sums[i * width..(i + 1) * width];
                    sums.iter_mut().zip(&values[leaf * width..]).for_each(|(sum, value)| *sum += value);
                    n_trees[i] += 1;
                }
            }
            let scored = (0..rows.len()).filter(|&i| n_trees[i] > 0);
            let scored = scored.map(|i| {
                let share = |sum: &f64| sum / f64::from(n_trees[i]);
                (rows[i], sums[i * width..(i + 1) * width].iter().map(share).collect())
            });
            scored.collect::<Vec<(u32, Vec<f64>)>>()
        };
        let predicted: Vec<Vec<_>> = target.rows.par_chunks(BLOCK_ROWS).map(predict).collect();
        let predicted: Vec<(u32, Vec<f64>)> = predicted.into_iter().flatten().collect();
        let weight = |row: u32| target.data.weights.map_or(1.0, |weights| weights[row as usize]);
        let weight_sum: f64 = predicted.iter().map(|(row, _)| weight(*row)).sum();
        let n = predicted.len();
        if n == 0 {
            return "every tree saw every row; there is no out-of-bag score".into();
        }
        match target.data.y {
            Labels::Classes { codes, .. } => {
                let is_right = |(row, scores): &&(u32, Vec<f64>)| {
                    let class = match scores[..] {
                        [share] => usize::from(share > 0.5),
                        _ => (0..width).fold(0, |best, k| if scores[k] > scores[best] { k } else { best }),
                    };
                    class == codes[*row as usize] as usize
                };
                let right: f64 = predicted.iter().filter(is_right).map(|(row, _)| weight(*row)).sum();
                format!("out-of-bag accuracy {:.4} ({n} rows)", right / weight_sum)
            }
            Labels::Values(values) => {
                let mean = predicted.iter().map(|(row, _)| weight(*row) * values[*row as usize]);
                let mean = mean.sum::<f64>() / weight_sum;
                let (mut residual, mut total) = (0.0, 0.0);
                for (row, scores) in &predicted {
                    let y = values[*row as usize];
                    residual += weight(*row) * (y - scores[0]).powi(2);
                    total += weight(*row) * (y - mean).powi(2);
                }
                format!("out-of-bag R² {:.4} ({n} rows)", 1.0 - residual / total.max(f64::MIN_POSITIVE))
            }
        }
    }
}

/// For each node that is a leaf, its row among the leaves.
fn leaf_rows(tree: &Tree) -> Vec<u32> {
    let mut next = 0;
    let row = |node: &super::grow::Node| {
        next += u32::from(node.left == 0);
        next.saturating_sub(1)
    };
    tree.nodes.iter().map(row).collect()
}

/// The class shares (of the second class, of two) or the mean of each leaf, in the order of the nodes.
fn leaf_values(tree: &Tree, data: &Dataset, draws: &[u8]) -> Vec<f64> {
    let mut out = Vec::new();
    for node in tree.nodes.iter().filter(|node| node.left == 0) {
        let rows = &tree.rows[node.begin as usize..node.end as usize];
        let weight = |row: u32| {
            let draws = f64::from(draws[row as usize]);
            data.weights.map_or(draws, |weights| draws * weights[row as usize])
        };
        let sum: f64 = rows.iter().map(|&row| weight(row)).sum();
        match data.y {
            Labels::Classes { codes, n_classes } if n_classes > 2 => {
                let first = out.len();
                out.resize(first + n_classes, 0.0);
                rows.iter().for_each(|&row| out[first + codes[row as usize] as usize] += weight(row));
                out[first..].iter_mut().for_each(|share| *share /= sum);
            }
            _ => out.push(rows.iter().map(|&row| weight(row) * value(data, row)).sum::<f64>() / sum),
        }
    }
    out
}

impl Learner for Forest {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit_bins(Bins::new(data), data, watch)
    }

    fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let bins = Bins::new(&Dataset { x: &x, ..*data });
        drop(x);
        self.fit_bins(bins, data, watch)
    }
}

impl Forest {
    /// Fits on columns of bytes; the rows of `data` are not looked at.
    fn fit_bins(&self, mut bins: Bins, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let is_classification = matches!(data.y, Labels::Classes { .. });
        self.check(data)?;
        let n_columns = bins.columns.len();
        let max_features = self.max_features.count(n_columns, is_classification);
        // Random cuts look at all columns of few rows at once, where they look at most of them.
        let grouped =
            if self.random_cuts { n_columns <= 2 * max_features } else { max_features == n_columns };
        if grouped {
            bins.group();
        }
        let target = Target::new(data);
        let n_classes = match data.y {
            Labels::Classes { n_classes, .. } => n_classes,
            Labels::Values(_) => 0,
        };
        let grown = match n_classes {
            0 => self.grow_values(&target, &bins, watch),
            1..3 if self.is_entropy() => self.grow_classes::<4>(n_classes, &target, &bins, watch),
            1..3 => self.grow_two_classes(&target, &bins, watch),
            3 => self.grow_classes::<4>(n_classes, &target, &bins, watch),
            4..8 => self.grow_classes::<8>(n_classes, &target, &bins, watch),
            8..16 => self.grow_classes::<16>(n_classes, &target, &bins, watch),
            16..64 => self.grow_classes::<64>(n_classes, &target, &bins, watch),
            64..256 => self.grow_classes::<256>(n_classes, &target, &bins, watch),
            _ => {
                ensure!(n_classes < 1024, "trees learn up to 1023 classes, and there are {n_classes}");
                self.grow_classes::<1024>(n_classes, &target, &bins, watch)
            }
        };
        let width = if n_classes > 2 { n_classes } else { 1 };
        let mut notes = Vec::new();
        if self.oob_score && self.bootstrap {
            notes.push(self.oob_note(&target, &bins, &grown, width));
        }
        let mut compact = no_trees(data, &bins, grown.len());
        compact.reserve(grown.iter().map(|grown| grown.flat.n_nodes()).sum());
        grown.into_iter().for_each(|grown| compact.append(grown.flat));
        Ok(Fit { predictor: Predictor::Trees(Box::new(compact.finish())), notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::Arrays;
    use proptest::prelude::*;
    use rand_pcg::rand_core::Rng;

    const GAP: f64 = f64::NAN;

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

    /// The squared error that the best split of all leaves, over all columns, thresholds and ways of gaps.
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

    proptest! {
        #[test]
        fn a_split_on_tied_values_is_the_best_of_all(
            cells in prop::collection::vec((0..5_i32, 0..3_i32, 0..4_i32), 2..40), min_leaf in 1..4_usize,
        ) {
            let mut x = Matrix::with_capacity(cells.len(), 2);
            for (a, b, _) in &cells {
                let value = |v: i32| if v == 0 { GAP } else { f64::from(v) };
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
        x.row_mut(9)[2] = GAP;
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
            let gaps = matrix(&[&[GAP, 1.0], &[GAP, 1.0], &[GAP, 1.0]]);
            let mean =
                fit(algorithm, &[("max_features", "none")], &Dataset::new(&gaps, Labels::Values(&[1.0; 3])));
            assert_eq!(scores(&mean.predictor, &gaps), [1.0; 3]);
            // A gap says something where the value does not.
            let half = matrix(&[&[GAP], &[GAP], &[2.0], &[2.0]]);
            let y = Labels::Classes { codes: &[0, 0, 1, 1], n_classes: 2 };
            let settings: &[(&str, &str)] =
                if algorithm.name == "decision-tree" { &[] } else { &[("bootstrap", "false")] };
            let split = fit(algorithm, settings, &Dataset::new(&half, y)).predictor;
            assert_eq!(scores(&split, &matrix(&[&[GAP], &[-9.0], &[9e9]])), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
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
            let unseen = scores(&stump, &matrix(&[&[-1.0, 0.0], &[GAP, 0.0], &[1e9, 0.0]]));
            assert!(unseen[0] == unseen[1] && unseen[1] == unseen[2]);
            fit(&EXTRA_TREES, &[("n_estimators", "2")], &data);
        }
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
