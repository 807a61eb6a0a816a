//! Grown trees become the flat arrays of the inference form.

use std::collections::HashMap;
use std::sync::Arc;

use super::bin_set::BinSet;
use super::bins::{Bins, Kind};
use super::tree::{Node, Tree};
use crate::model::learn::Dataset;
use crate::model::predictor::Link;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET};
use crate::model::predictor::trees::Trees;
use crate::order;

/// Collects trees.
pub(crate) struct Compact {
    parts: Parts,
    rows: Rows,
    /// The columns of the splits of each tree and what those gain.
    gains: Vec<Vec<(u32, f64)>>,
}

/// The numbers of a leaf that are not 0: index and bits. Of a thousand classes most leaves know a few.
type Entries = Arc<[(u32, u64)]>;

/// The row of each set of leaf values: most leaves of a deep tree are pure and share theirs.
#[derive(Default)]
struct Rows {
    /// Those of one number, which `parts.values` holds.
    single: HashMap<u64, u32>,
    /// Those of several numbers, and all of them in order; `parts.values` gets them in the end.
    several: HashMap<Entries, u32>,
    list: Vec<Entries>,
}

impl Rows {
    /// The row of `parts.values` that holds these, a new one if none does.
    fn row(&mut self, parts: &mut Parts, values: &[f64]) -> u32 {
        if let &[value] = values {
            return *self.single.entry(value.to_bits()).or_insert_with(|| {
                parts.values.push(value);
                parts.values.len() as u32 - 1
            });
        }
        let bits = (0..).zip(values.iter().map(|v| v.to_bits()));
        self.row_of(bits.filter(|(_, bits)| *bits != 0).collect())
    }

    fn row_of(&mut self, entries: Entries) -> u32 {
        *self.several.entry(entries).or_insert_with_key(|entries| {
            self.list.push(Arc::clone(entries));
            self.list.len() as u32 - 1
        })
    }
}

impl Compact {
    /// Trees on these columns, whose leaves hold `width` numbers each.
    pub(crate) fn new(
        data: &Dataset,
        bins: &Bins,
        link: Link,
        width: usize,
        base: Vec<f64>,
        divisor: f64,
    ) -> Self {
        let n_columns = bins.columns.len();
        let mut groups = Vec::new();
        for column in &bins.columns {
            if let Kind::Category { groups: of_column } = &column.kind {
                groups.extend(of_column);
            }
        }
        let levels = (0..n_columns).map(|j| data.levels.get(j).map_or(0, |&n| n as u32)).collect();
        let parts = Parts {
            link,
            roots: Vec::new(),
            feature: Vec::new(),
            threshold: Vec::new(),
            left: Vec::new(),
            flags: Vec::new(),
            subsets: Vec::new(),
            values: Vec::new(),
            width,
            levels,
            groups,
            base,
            divisor,
            importances: vec![0.0; n_columns],
            cover: Vec::new(),
        };
        Self { parts, rows: Rows::default(), gains: Vec::new() }
    }

    /// Number of nodes.
    pub(crate) fn n_nodes(&self) -> usize {
        self.parts.feature.len()
    }

    /// Makes room for so many nodes in all.
    pub(crate) fn reserve(&mut self, n_nodes: usize) {
        self.parts.feature.reserve_exact(n_nodes);
        self.parts.threshold.reserve_exact(n_nodes);
        self.parts.left.reserve_exact(n_nodes);
        self.parts.flags.reserve_exact(n_nodes);
    }

    /// Adds the trees of another collection on the same columns.
    pub(crate) fn append(&mut self, other: Self) {
        let (parts, Self { parts: other, rows, gains }) = (&mut self.parts, other);
        let first = parts.feature.len() as u32;
        let rows: Vec<u32> = match parts.width {
            1 => other.values.iter().map(|&value| self.rows.row(parts, &[value])).collect(),
            _ => rows.list.into_iter().map(|entries| self.rows.row_of(entries)).collect(),
        };
        parts.roots.extend(other.roots.iter().map(|root| first + root));
        let child = |(&feature, &left): (&u32, &u32)| {
            if feature == LEAF { rows[left as usize] } else { first + left }
        };
        parts.left.extend(other.feature.iter().zip(&other.left).map(child));
        parts.feature.extend(other.feature);
        parts.threshold.extend(other.threshold);
        parts.flags.extend(other.flags);
        parts.subsets.extend(other.subsets);
        parts.cover.extend(other.cover);
        parts.importances.iter_mut().zip(other.importances).for_each(|(sum, gain)| *sum += gain);
        self.gains.extend(gains);
    }

    /// Adds a tree. `fill`: writes the numbers of a leaf over zeros, leaf after leaf; its gains count `gain_unit` times.
    pub(crate) fn push(
        &mut self,
        tree: &Tree,
        bins: &Bins,
        fill: &mut dyn FnMut(&Node, &mut [f64]),
        gain_unit: f64,
    ) {
        let parts = &mut self.parts;
        let root = parts.feature.len() as u32;
        parts.roots.push(root);
        let mut values = vec![0.0; parts.width];
        let mut gains: Vec<(u32, f64)> = Vec::new();
        for (i, node) in tree.nodes.iter().enumerate() {
            if node.left == 0 {
                parts.cover.push(tree.cover_of(i));
                values.fill(0.0);
                fill(node, &mut values);
                let row = self.rows.row(parts, &values);
                parts.feature.push(LEAF);
                parts.threshold.push(0.0);
                parts.left.push(row);
                parts.flags.push(0);
                continue;
            }
            let gain = gain_unit * node.gain.max(0.0);
            parts.importances[node.column as usize] += gain;
            gains.push((node.column, gain));
            let mut flags = if node.missing_left { MISSING_LEFT } else { 0 };
            let mut threshold = 0.0;
            match (&bins.columns[node.column as usize].kind, node.subset) {
                (Kind::Number { thresholds }, _) => {
                    // Past the last threshold only missing values go right.
                    threshold = thresholds.get(usize::from(node.cut)).copied().unwrap_or(f64::MAX);
                }
                (Kind::Category { .. }, subset) => {
                    flags |= SUBSET;
                    let bits: BinSet = subset.map_or([0; 4], |subset| tree.subsets[subset as usize]);
                    parts.subsets.extend(bits.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]));
                }
            }
            parts.feature.push(node.column);
            parts.threshold.push(threshold);
            parts.left.push(root + node.left);
            parts.flags.push(flags);
        }
        order::sort_by_key(&mut gains, |&(column, _)| column);
        gains.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        gains.shrink_to_fit();
        self.gains.push(gains);
    }

    /// The trees, importances as shares of their sum.
    pub(crate) fn finish(mut self) -> Trees {
        let width = self.parts.width;
        self.parts.values.resize(self.parts.values.len().max(self.rows.list.len() * width), 0.0);
        for (values, entries) in self.parts.values.chunks_exact_mut(width).zip(&self.rows.list) {
            entries.iter().for_each(|&(i, bits)| values[i as usize] = f64::from_bits(bits));
        }
        let sum: f64 = self.parts.importances.iter().sum();
        if sum > 0.0 {
            self.parts.importances.iter_mut().for_each(|importance| *importance /= sum);
        }
        Trees::new(self.parts).with_gains(self.gains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::trees::best_split::Limits;
    use crate::model::learn::trees::engine::Growth;
    use crate::model::learn::trees::grow::Grower;
    use crate::model::learn::trees::moments::Moments;
    use crate::model::learn::{Labels, Spec, Unwatched, algorithm};
    use crate::model::predictor::{Arrays, Predictor};
    use crate::random::{generator, unit_interval};

    /// A number, a category of so many levels with unseen ones, a number that is mostly missing.
    fn table(n_levels: usize) -> (Matrix, Vec<f64>) {
        let mut random = generator(n_levels as u64);
        let n_rows = 3000;
        let (mut x, mut y) = (Matrix::zeros(n_rows, 3), Vec::new());
        for i in 0..n_rows {
            let level = (unit_interval(&mut random) * (n_levels as f64 + 1.0)).floor() - 1.0;
            let number = unit_interval(&mut random);
            let sparse = if i % 4 == 0 { number * 3.0 } else { f64::NAN };
            x.row_mut(i).copy_from_slice(&[if i % 7 == 0 { f64::NAN } else { number }, level, sparse]);
            y.push((number * 4.0).floor() + f64::from(u8::from(level as i64 % 3 == 1)));
        }
        (x, y)
    }

    #[test]
    fn rows_end_in_the_leaf_of_the_trainer_whatever_is_missing_and_however_many_levels() {
        for n_levels in [3, 300, 10_000] {
            let (x, y) = table(n_levels);
            let data = Dataset { levels: &[0, n_levels, 0], ..Dataset::new(&x, Labels::Values(&y)) };
            let mut bins = Bins::new(&data);
            bins.group();
            let limits = Limits::new(2, -1.0);
            for (random_cuts, max_leaf_nodes) in [(false, usize::MAX), (false, 40), (true, usize::MAX)] {
                let growth = Growth {
                    max_depth: 20,
                    max_leaf_nodes,
                    min_samples_split: 2,
                    max_features: 3,
                    random_cuts,
                    parallel: true,
                    limits,
                };
                let criterion = Moments { mass_bits: 40 };
                let mut grower = Grower::new(&bins, criterion, growth);
                grower.items().extend(y.iter().map(|y| criterion.item((y * 1000.0) as i64, 1)));
                let tree = grower.grow((0..3000).collect(), &bins.usable, 1);
                let leaves = tree.nodes.iter().filter(|node| node.left == 0).count();
                assert!(leaves > 20);
                // Each leaf says where it stands.
                let at: Vec<f64> = (0..tree.nodes.len()).map(|i| i as f64).collect();
                let values: Vec<f64> =
                    at.iter().zip(&tree.nodes).filter(|(_, node)| node.left == 0).map(|(i, _)| *i).collect();
                let mut compact = Compact::new(&data, &bins, Link::Identity, 1, vec![0.0], 1.0);
                let mut values = values.into_iter();
                compact.push(&tree, &bins, &mut |_, out| out[0] = values.next().unwrap(), 1.0);
                let trees = compact.finish();
                trees.validate().unwrap();
                let mut out = vec![0.0; 3000];
                trees.scores_block(x.values(), &mut out);
                for (row, &leaf) in out.iter().enumerate() {
                    assert_eq!(leaf as usize, tree.leaf_of(&bins, row), "row {row} of {n_levels} levels");
                }
            }
        }
    }

    #[test]
    fn arrays_and_stages_of_every_family_and_task_give_identical_scores() {
        for n_levels in [300, 10_000] {
            let (x, y) = table(n_levels);
            let three: Vec<u32> = y.iter().map(|&y| (y as u32).min(2)).collect();
            let two: Vec<u32> = y.iter().map(|&y| u32::from(y > 1.0)).collect();
            let classes = |codes, n_classes| Labels::Classes { codes, n_classes };
            for name in ["decision-tree", "random-forest", "extra-trees", "gradient-boosting"] {
                for labels in [classes(&two, 2), classes(&three, 3), Labels::Values(&y)] {
                    let task = if matches!(labels, Labels::Values(_)) {
                        Task::Regression
                    } else {
                        Task::Classification
                    };
                    let few = [("n_estimators".to_string(), "5".to_string())];
                    let settings = if name == "decision-tree" { &[][..] } else { &few[..] };
                    let data = Dataset { levels: &[0, n_levels, 0], ..Dataset::new(&x, labels) };
                    let spec = Spec::new(algorithm(name).unwrap(), task, settings).unwrap();
                    let fitted = spec.fit(&data, &Unwatched).unwrap().predictor;
                    fitted.validate().unwrap();
                    let mut arrays = Arrays::new();
                    fitted.write_arrays(&mut arrays);
                    let read = Predictor::read_arrays(fitted.form(), &mut arrays).unwrap();
                    let scores = |predictor: &Predictor| {
                        let mut out = vec![0.0; x.n_rows() * predictor.n_outputs()];
                        predictor.scores_block(x.values(), &mut out);
                        out
                    };
                    let found = scores(&fitted);
                    assert_eq!(found, scores(&read), "{name}");
                    let Predictor::Trees(trees) = &fitted else { unreachable!() };
                    let mut n_stages = 0;
                    trees.staged(x.values(), 1, &mut |n_trees, staged| {
                        n_stages += 1;
                        let first = trees.truncated(n_trees);
                        first.validate().unwrap();
                        assert!((first.importances().iter().sum::<f64>() - 1.0).abs() < 1e-12);
                        let first = scores(&Predictor::Trees(Box::new(first)));
                        assert!(first.iter().zip(staged).all(|(a, b)| a == b || (a - b).abs() < 1e-13));
                    });
                    assert_eq!(n_stages, trees.n_trees());
                    if let Labels::Values(y) = labels {
                        let error = |p: &dyn Fn(usize) -> f64| {
                            (0..y.len()).map(|i| (y[i] - p(i)).powi(2)).sum::<f64>()
                        };
                        let mean = y.iter().sum::<f64>() / y.len() as f64;
                        assert!(error(&|i| found[i]) < 0.8 * error(&|_| mean), "{name} learned");
                    }
                }
            }
        }
    }
}
