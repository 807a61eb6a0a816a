//! Shapley values of trees, exactly.
//!
//! **Path-dependent** (Lundberg, Erion and Lee 2018, "Consistent individualized feature attribution for tree
//! ensembles", arXiv 1802.03888): a column that is not known goes both ways, in proportion to the rows that training
//! sent there. A leaf of value v is then worth v Π oⱼ Π zₖ to a set of known columns j and unknown ones k of its path: o
//! is 1 if the row takes all turns of that column and else 0, z the product of the shares of rows that did. The Shapley
//! value of column j is
//!
//! v (oⱼ − zⱼ) ∫₀¹ Π over the other columns k of (zₖ (1 − t) + oₖ t) dt,
//!
//! a polynomial of degree m − 1 for m columns on the path, for which ⌈m / 2⌉ points of Gauss and Legendre are exact
//! (arXiv 2605.04497). [`paths`] computes it; [`tables`] looks up the sums of it for the leaves of short paths.
//! [`super::interventional`] compares with rows of a background.

mod paths;
mod tables;

use self::paths::{Buffers, Paths, Single, add, add_single};
use self::tables::{Tables, tables};
use crate::model::predictor::tree_arrays::LEAF;
use crate::model::predictor::trees::Trees;
use crate::simd::widest;

/// Rows that go through a tree together.
const LANES: usize = 8;

/// Fewer rows than this go one by one.
const MIN_TOGETHER: usize = 3;

/// Bytes of prepared constants that are kept; those of larger forests are made tree by tree for each block of rows.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Explains trees.
#[derive(Debug)]
pub(super) struct TreeExplainer {
    /// For each tree; `None` for one whose paths are too long.
    tables: Vec<Option<Tables>>,
    /// The paths of the other leaves of each tree; empty if they are too large to keep.
    paths: Vec<Paths>,
    /// Per node: the rows below it.
    cover: Vec<f64>,
    /// Per score: the mean over the rows that the trees grew on.
    base: Vec<f64>,
}

impl TreeExplainer {
    /// Prepares what does not depend on the row; `None` if the trees do not know the rows of their leaves.
    pub(super) fn new(trees: &Trees) -> Option<Self> {
        let parts = trees.parts();
        let cover = node_covers(trees)?;
        let (n_scores, width) = (parts.base.len(), parts.width);
        let mut sums = vec![0.0; n_scores];
        let mut tree = 0;
        for (node, (&feature, &row)) in parts.feature.iter().zip(&parts.left).enumerate() {
            tree += usize::from(parts.roots.get(tree + 1) == Some(&(node as u32)));
            if feature == LEAF {
                let share = cover[node] / cover[parts.roots[tree] as usize];
                let values = &parts.values[row as usize * width..(row as usize + 1) * width];
                let sums = if width == 1 { &mut sums[tree % n_scores..][..1] } else { &mut sums[..] };
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
            }
        }
        let base = sums.iter().zip(&parts.base).map(|(sum, base)| base + sum / parts.divisor).collect();
        let mut explainer = Self { tables: tables(trees, &cover), paths: Vec::new(), cover, base };
        let mut bytes = 0;
        for tree in 0..trees.n_trees() {
            explainer.paths.push(explainer.paths_of(trees, tree));
            bytes += explainer.paths[tree].bytes();
            if bytes > MAX_KEPT_BYTES {
                explainer.paths = Vec::new();
                break;
            }
        }
        Some(explainer)
    }

    fn paths_of(&self, trees: &Trees, tree: usize) -> Paths {
        let roots = &trees.parts().roots;
        let root = roots[tree];
        let end = roots.get(tree + 1).copied().unwrap_or(self.cover.len() as u32);
        let needs = |leaf| self.tables[tree].as_ref().is_none_or(|tables| tables.leaves_over(leaf));
        Paths::new(trees, root, &self.cover[root as usize..end as usize], &needs)
    }

    /// The mean of each score over the rows that the trees grew on.
    pub(super) fn base(&self) -> &[f64] {
        &self.base
    }

    /// The rows below each node.
    pub(super) fn cover(&self) -> &[f64] {
        &self.cover
    }

    /// Path-dependent values of rows of raw codes: for each row `n_scores × n_inputs` numbers, added to `out`.
    pub(super) fn explain(&self, trees: &Trees, x: &[f64], out: &mut [f64]) {
        widest!(self.explain_with(trees, x, out));
    }

    #[inline(always)]
    fn explain_with(&self, trees: &Trees, x: &[f64], out: &mut [f64]) {
        let n_inputs = trees.n_inputs();
        let stride = trees.n_scores() * n_inputs;
        let n_together = x.len() / n_inputs / LANES * LANES;
        let n_together =
            if x.len() / n_inputs - n_together < MIN_TOGETHER { n_together } else { x.len() / n_inputs };
        // Each input of rows that go together, side by side.
        let mut lanes = vec![[0.0; LANES]; n_together.div_ceil(LANES) * n_inputs];
        for (row, x) in x.chunks_exact(n_inputs).take(n_together).enumerate() {
            for (lanes, value) in lanes[row / LANES * n_inputs..].iter_mut().zip(x) {
                lanes[row % LANES] = *value;
            }
        }
        let (together, single) = x.split_at(n_together * n_inputs);
        let (out, of_single) = out.split_at_mut(n_together * stride);
        let (mut buffers, mut facts) = (Buffers::<LANES>::default(), Vec::new());
        let (mut single_buffers, mut single_facts) = (Single::default(), Vec::new());
        let mut made;
        for index in 0..trees.n_trees() {
            let tables = self.tables[index].as_ref();
            let paths = match self.paths.get(index) {
                Some(paths) => paths,
                None => {
                    made = self.paths_of(trees, index);
                    &made
                }
            };
            let first_slot = if trees.parts().width == 1 { index % trees.n_scores() * n_inputs } else { 0 };
            let blocks = together.chunks(LANES * n_inputs).zip(lanes.chunks_exact(n_inputs));
            for ((x, lanes), out) in blocks.zip(out.chunks_mut(LANES * stride)) {
                if let Some(tables) = tables {
                    tables.add(trees, (x, lanes), &mut facts, (&mut *out, stride, first_slot));
                }
                if !paths.is_empty() {
                    add(trees, index, paths, &mut buffers, x, out);
                }
            }
            for (x, out) in single.chunks_exact(n_inputs).zip(of_single.chunks_exact_mut(stride)) {
                if let Some(tables) = tables {
                    let lanes = x.as_chunks().0;
                    tables.add::<1>(trees, (x, lanes), &mut single_facts, (&mut *out, stride, first_slot));
                }
                if !paths.is_empty() {
                    add_single(trees, index, paths, &mut single_buffers, x, out);
                }
            }
        }
    }
}

/// The rows below each node; `None` if the trees do not know those of their leaves.
fn node_covers(trees: &Trees) -> Option<Vec<f64>> {
    let parts = trees.parts();
    if parts.cover.is_empty() {
        return None;
    }
    let mut cover = vec![0.0; parts.feature.len()];
    let mut leaves = parts.cover.iter().rev();
    for node in (0..cover.len()).rev() {
        // Children come after their parents.
        cover[node] = match parts.feature[node] {
            LEAF => *leaves.next()?,
            _ => cover[parts.left[node] as usize] + cover[parts.left[node] as usize + 1],
        };
    }
    Some(cover)
}
#[cfg(test)]
mod tests {
    use super::super::interactions::Interactions;
    use super::super::interventional::add_interventional;
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::{Dataset, Labels, Spec, Unwatched, algorithm};
    use crate::model::predictor::Predictor;
    use crate::random::{below, generator, unit_interval};

    /// Two numbers and two categories, each with missing values.
    fn table(n: usize, n_columns: usize) -> Matrix {
        let mut random = generator(5);
        let mut x = Matrix::with_capacity(n, n_columns);
        for _ in 0..n {
            for (j, value) in x.push_row(0.0).iter_mut().enumerate() {
                let drawn = unit_interval(&mut random);
                *value = match j % 4 {
                    _ if below(9, &mut random) == 0 => f64::NAN,
                    3 => (drawn * 30.0).floor(),
                    _ => (drawn * 50.0).round() / 50.0,
                };
            }
        }
        x
    }

    fn fitted(name: &str, x: &Matrix, task: Task, n_classes: usize, settings: &[(&str, &str)]) -> Trees {
        let algorithm = algorithm(name).unwrap();
        let sum = |row: &[f64]| {
            let of = |value: f64| if value.is_nan() { 0.7 } else { value };
            let levels = if of(row[3]) as usize * 7 % 5 < 2 { 1.0 } else { 0.0 };
            of(row[0]) * of(row[1]) + levels + 0.3 * of(row[2])
        };
        let values: Vec<f64> = x.rows().map(sum).collect();
        let codes: Vec<u32> =
            values.iter().map(|value| ((value * 1.3) as u32).min(n_classes.max(1) as u32 - 1)).collect();
        let weights: Vec<f64> = (0..x.n_rows()).map(|i| 0.5 + (i % 4) as f64).collect();
        let levels: Vec<usize> = (0..x.n_cols()).map(|j| if j % 4 == 3 { 30 } else { 0 }).collect();
        let y = match task {
            Task::Regression => Labels::Values(&values),
            Task::Classification => Labels::Classes { codes: &codes, n_classes },
        };
        let settings: Vec<(String, String)> =
            settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let spec = Spec::new(algorithm, task, &settings).unwrap();
        let data = Dataset { levels: &levels, weights: Some(&weights), ..Dataset::new(x, y) };
        match spec.fit(&data, &Unwatched).unwrap().predictor {
            Predictor::Trees(trees) => *trees,
            _ => unreachable!(),
        }
    }

    /// Every learner, with few trees.
    fn learners(x: &Matrix) -> Vec<Trees> {
        let mut all = Vec::new();
        for (task, n_classes) in [(Task::Regression, 0), (Task::Classification, 2), (Task::Classification, 3)]
        {
            for (name, settings) in [
                ("tree", &[("min_samples_leaf", "3")][..]),
                ("forest", &[("n_estimators", "5"), ("min_samples_level", "1")]),
                ("extra-trees", &[("n_estimators", "5"), ("ccp_alpha", "0.001")]),
                ("boost", &[("n_estimators", "7"), ("max_leaf_nodes", "9"), ("subsample", "0.7")]),
            ] {
                all.push(fitted(name, x, task, n_classes, settings));
            }
        }
        all
    }

    /// The sum of the trees for a row of which `known` columns count: the others go both ways.
    fn expected(trees: &Trees, cover: &[f64], x: &[f64], known: u32, score: usize) -> f64 {
        fn walk(trees: &Trees, cover: &[f64], x: &[f64], known: u32, node: u32, score: usize) -> f64 {
            let parts = trees.parts();
            let (feature, left) = (parts.feature[node as usize], parts.left[node as usize]);
            if feature == LEAF {
                return parts.values[left as usize * parts.width + score];
            }
            if known >> feature & 1 == 1 {
                return walk(trees, cover, x, known, left + u32::from(trees.goes_right(node, x)), score);
            }
            let share = |child: u32| cover[child as usize] / cover[node as usize];
            [left, left + 1]
                .map(|child| share(child) * walk(trees, cover, x, known, child, score))
                .iter()
                .sum()
        }
        let parts = trees.parts();
        let n_scores = parts.base.len();
        let of_tree = |(index, &root): (usize, &u32)| match parts.width {
            1 if index % n_scores != score => 0.0,
            1 => walk(trees, cover, x, known, root, 0),
            _ => walk(trees, cover, x, known, root, score),
        };
        parts.base[score] + parts.roots.iter().enumerate().map(of_tree).sum::<f64>() / parts.divisor
    }

    /// Shapley values by their definition, over all sets of columns.
    fn brute_force(n_columns: usize, worth: impl Fn(u32) -> f64) -> Vec<f64> {
        let worths: Vec<f64> = (0..1_u32 << n_columns).map(worth).collect();
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let n = n_columns as u32;
        (0..n_columns)
            .map(|column| {
                let without = (0..1_u32 << n_columns).filter(|set| set >> column & 1 == 0);
                let part = |set: u32| {
                    let size = set.count_ones();
                    let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                    weight * (worths[(set | 1 << column) as usize] - worths[set as usize])
                };
                without.map(part).sum()
            })
            .collect()
    }

    #[test]
    fn values_are_those_of_the_definition_and_add_up() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let explainer = TreeExplainer::new(&trees).unwrap();
            let (n_inputs, n_scores) = (trees.n_inputs(), trees.n_scores());
            let n_rows = 21;
            let mut out = vec![0.0; n_rows * n_scores * n_inputs];
            explainer.explain(&trees, &x.values()[..n_rows * n_inputs], &mut out);
            let mut margins = vec![0.0; n_scores];
            for (row, out) in out.chunks_exact(n_scores * n_inputs).enumerate() {
                trees.margins_into(x.row(row), &mut margins);
                for (score, values) in out.chunks_exact(n_inputs).enumerate() {
                    let sum = explainer.base()[score] + values.iter().sum::<f64>();
                    assert!((sum - margins[score]).abs() < 1e-9, "{sum} {}", margins[score]);
                    let worth = |known| expected(&trees, &explainer.cover, x.row(row), known, score);
                    for (value, wanted) in values.iter().zip(brute_force(n_inputs, worth)) {
                        assert!((value - wanted).abs() < 1e-9, "{row}: {value} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_together_and_alone_and_trees_that_are_not_kept_have_the_same_values() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let mut explainer = TreeExplainer::new(&trees).unwrap();
            let size = trees.n_scores() * trees.n_inputs();
            let mut together = vec![0.0; 300 * size];
            explainer.explain(&trees, x.values(), &mut together);
            explainer.paths.clear();
            let mut alone = vec![0.0; 300 * size];
            for (x, out) in x.rows().zip(alone.chunks_exact_mut(size)) {
                explainer.explain(&trees, x, out);
            }
            let most = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(most < 1e-12, "{most}");
        }
    }

    #[test]
    fn tables_have_the_values_of_the_paths() {
        let x = table(600, 14);
        let y: Vec<f64> =
            x.rows().map(|row| row.iter().filter(|v| !v.is_nan()).map(|v| v.sin()).sum()).collect();
        let codes: Vec<u32> = y.iter().map(|y| ((y + 1.0).max(0.0) as u32).min(2)).collect();
        let settings = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let values = Dataset::new(&x, Labels::Values(&y));
        let classes = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        let mut n_left_over = 0;
        for (name, task, data, settings) in [
            (
                "boost",
                Task::Regression,
                &values,
                settings(&[("n_estimators", "6"), ("max_leaf_nodes", "31")]),
            ),
            ("boost", Task::Classification, &classes, settings(&[("n_estimators", "4")])),
            (
                "forest",
                Task::Classification,
                &classes,
                settings(&[("n_estimators", "3"), ("max_depth", "6")]),
            ),
        ] {
            let levels = [0; 14];
            let data = Dataset { levels: &levels, ..*data };
            let spec = Spec::new(algorithm(name).unwrap(), task, &settings).unwrap();
            let Predictor::Trees(trees) = spec.fit(&data, &Unwatched).unwrap().predictor else {
                unreachable!()
            };
            let mut explainer = TreeExplainer::new(&trees).unwrap();
            let size = trees.n_scores() * trees.n_inputs();
            let mut explain = |tables: Vec<Option<Tables>>| {
                explainer.tables = tables;
                explainer.paths = (0..trees.n_trees()).map(|tree| explainer.paths_of(&trees, tree)).collect();
                let mut out = vec![0.0; 21 * size];
                explainer.explain(&trees, &x.values()[..21 * trees.n_inputs()], &mut out);
                out
            };
            let without = explain((0..trees.n_trees()).map(|_| None).collect());
            let cover = node_covers(&trees).unwrap();
            for bits in [4, 5, 7, 9, 11] {
                let tables = tables::of_at_most(bits, &trees, &cover).unwrap();
                n_left_over += tables.iter().flatten().filter(|tables| tables.leave_some()).count();
                assert!(bits < 7 || tables.iter().any(Option::is_some), "{name} {bits}");
                let with = explain(tables);
                let most = with.iter().zip(&without).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(most < 1e-12, "{name} {bits}: {most}");
            }
        }
        assert!(n_left_over > 5, "some trees have leaves in no table: {n_left_over}");
    }

    #[test]
    fn interventional_values_are_those_of_the_definition() {
        let x = table(300, 6);
        for trees in learners(&x) {
            let (n_inputs, n_scores) = (trees.n_inputs(), trees.n_scores());
            for (row, other) in [(0, 7), (1, 40), (2, 41), (3, 42), (5, 5)] {
                let (row, other) = (x.row(row), x.row(other));
                let mut out = vec![0.0; n_scores * n_inputs];
                add_interventional(&trees, row, other, 1.0, &mut out);
                for (score, values) in out.chunks_exact(n_inputs).enumerate() {
                    let worth = |known: u32| {
                        let mixed: Vec<f64> = (0..n_inputs)
                            .map(|j| if known >> j & 1 == 1 { row[j] } else { other[j] })
                            .collect();
                        let mut margins = vec![0.0; n_scores];
                        trees.margins_into(&mixed, &mut margins);
                        margins[score]
                    };
                    for (value, wanted) in values.iter().zip(brute_force(n_inputs, worth)) {
                        assert!((value - wanted).abs() < 1e-9, "{value} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn wide_paths_are_exact_as_well() {
        // A tree of a hundred columns, each of them on the longest path.
        let n = 100;
        let mut x = Matrix::with_capacity(2 * n, n);
        for i in 0..2 * n {
            x.push_row(0.0)[i % n] = 1.0;
        }
        let y: Vec<f64> = (0..2 * n).map(|i| ((i % n) as f64).sqrt()).collect();
        let spec = Spec::new(algorithm("tree").unwrap(), Task::Regression, &[]).unwrap();
        let Predictor::Trees(trees) =
            spec.fit(&Dataset::new(&x, Labels::Values(&y)), &Unwatched).unwrap().predictor
        else {
            unreachable!()
        };
        let explainer = TreeExplainer::new(&trees).unwrap();
        let mut out = vec![0.0; 2 * n * n];
        explainer.explain(&trees, x.values(), &mut out);
        for (values, y) in out.chunks_exact(n).zip(&y) {
            let sum = explainer.base()[0] + values.iter().sum::<f64>();
            assert!((sum - y).abs() < 1e-9, "{sum} {y}");
        }
    }

    /// Interactions by their definition, over all sets of the other columns.
    fn pair_by_brute_force(n: usize, pair: [usize; 2], worth: &dyn Fn(u32) -> f64) -> f64 {
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let [i, j] = pair.map(|column| 1_u32 << column);
        let others = (0..1_u32 << n).filter(|set| set & (i | j) == 0);
        let of_set = |set: u32| {
            let size = set.count_ones();
            let weight = factorial(size) * factorial(n as u32 - size - 2) / factorial(n as u32 - 1);
            weight * (worth(set | i | j) - worth(set | i) - worth(set | j) + worth(set))
        };
        others.map(of_set).sum()
    }

    #[test]
    fn interactions_are_those_of_the_definition() {
        let x = table(300, 5);
        let mut largest = 0.0_f64;
        for trees in learners(&x) {
            let explainer = TreeExplainer::new(&trees).unwrap();
            let places: Vec<u32> = (0..5).collect();
            let interactions = Interactions::new(&trees, explainer.cover(), &places, 5);
            let n_scores = trees.n_scores();
            for row in 0..6 {
                for score in 0..n_scores {
                    let weights: Vec<f64> =
                        (0..n_scores).map(|i| if i == score { 1.0 } else { 0.0 }).collect();
                    let found = interactions.of_row(x.row(row), &weights);
                    let worth = |known| expected(&trees, explainer.cover(), x.row(row), known, score);
                    for a in 0..5 {
                        for b in 0..5 {
                            let wanted = if a < b { pair_by_brute_force(5, [a, b], &worth) } else { 0.0 };
                            assert!((found[a * 5 + b] - wanted).abs() < 1e-9, "{a} {b}: {wanted}");
                            largest = largest.max(wanted.abs());
                        }
                    }
                }
            }
        }
        assert!(largest > 0.1, "there is something to compare");
    }

    #[test]
    fn inputs_of_one_place_are_added_up() {
        let x = table(300, 5);
        let trees = &learners(&x)[3];
        let explainer = TreeExplainer::new(trees).unwrap();
        let alone = Interactions::new(trees, explainer.cover(), &[0, 1, 2, 3, 4], 5).of_row(x.row(1), &[1.0]);
        let places = [0, 1, u32::MAX, 1, 0];
        let together = Interactions::new(trees, explainer.cover(), &places, 2).of_row(x.row(1), &[1.0]);
        let sum = alone[1] + alone[3] + alone[9] + alone[19];
        assert!((together[1] - sum).abs() < 1e-12 && together[0] == 0.0 && together[2] == 0.0);
    }
}
