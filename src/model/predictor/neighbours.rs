//! The k nearest training rows as an inference form: they vote, or their values are averaged.
//!
//! Neighbours are exact and do not depend on the search: they are the rows of least distance in doubles, and
//! among equally distant rows the first. Two searches:
//!
//! - A [`KdTree`], for few columns.
//! - All rows: see [`nearest`](super::nearest).
//!
//! The arrays of the model file:
//!
//! | array | holds |
//! |---|---|
//! | `neighbours.x` | the training rows, `n_rows × n_inputs` |
//! | `neighbours.codes` | the class of each row, for classification |
//! | `neighbours.values` | the value of each row, for regression |
//! | `neighbours.settings` | k; 0 Euclidean, 1 Manhattan; 0 all neighbours count the same, 1 by 1/distance; 0 all rows are searched, 1 a k-d tree; number of classes, or 0 |

use anyhow::{Context, Result, bail, ensure};

use super::arrays::{Array, Arrays, take_f64, take_u32};
use super::kd_tree::KdTree;
use super::nearest::{Metric, Nearest, PANEL_ROWS, Products, TILE_QUERIES, push_panel, scan_panel};

/// Neighbours that are collected at the same time, for all rows that are searched for together.
const MAX_NEAREST: usize = 1 << 20;

/// The weights of the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// All the same.
    Uniform,
    /// By 1/distance; if some are at distance 0, only those count, all the same.
    Distance,
}

/// The search for neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Among all rows.
    Brute,
    /// By a k-d tree.
    KdTree,
}

/// The labels of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Class indices.
    Classes {
        /// One per row, below `n_classes`.
        codes: Vec<u32>,
        /// Number of classes.
        n_classes: usize,
    },
    /// Values.
    Values(Vec<f64>),
}

impl Known {
    fn len(&self) -> usize {
        match self {
            Self::Classes { codes, .. } => codes.len(),
            Self::Values(values) => values.len(),
        }
    }
}

/// The contents of the form, as they are written and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Numbers per row.
    pub n_inputs: usize,
    /// The training rows, `n_rows × n_inputs`.
    pub x: Vec<f64>,
    /// Their labels.
    pub known: Known,
    /// Number of neighbours, k.
    pub n_neighbors: usize,
    /// The distance.
    pub metric: Metric,
    /// The weights of the neighbours.
    pub weighting: Weighting,
    /// The search for neighbours.
    pub search: Search,
}

/// The rows, arranged for searching.
#[derive(Debug, Clone)]
enum Index {
    Tree(KdTree),
    /// Panels of rows in their order.
    Panels(Vec<f64>),
    Products(Products),
}

/// The k nearest training rows.
#[derive(Debug, Clone)]
pub struct Neighbours {
    parts: Parts,
    index: Index,
}

impl PartialEq for Neighbours {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Neighbours {
    /// Arranges the rows for searching, unless [`Neighbours::validate`] would refuse them.
    pub fn new(parts: Parts) -> Self {
        let index = match (check(&parts).is_ok(), parts.search, parts.metric) {
            (false, ..) => Index::Panels(Vec::new()),
            (true, Search::KdTree, _) => Index::Tree(KdTree::new(&parts.x, parts.n_inputs, parts.metric)),
            (true, Search::Brute, Metric::Euclidean) => {
                Index::Products(Products::new(&parts.x, parts.n_inputs))
            }
            (true, Search::Brute, Metric::Manhattan) => {
                let mut panels = Vec::with_capacity(parts.x.len());
                for block in parts.x.chunks(PANEL_ROWS * parts.n_inputs) {
                    push_panel(&mut panels, block.chunks_exact(parts.n_inputs), parts.n_inputs);
                }
                Index::Panels(panels)
            }
        };
        Self { parts, index }
    }

    /// The share of the rows that a search has to measure, as `n_samples` of the rows themselves tell.
    pub fn measured_share(&self, n_samples: usize) -> f64 {
        let Index::Tree(tree) = &self.index else {
            return 1.0;
        };
        let n_rows = self.parts.known.len();
        let n_samples = n_samples.min(n_rows);
        let mut n_measured = 0;
        for sample in 0..n_samples {
            let first = sample * n_rows / n_samples * self.parts.n_inputs;
            let row = &self.parts.x[first..first + self.parts.n_inputs];
            n_measured += tree.search(row, &mut Nearest::new(self.parts.n_neighbors));
        }
        n_measured as f64 / (n_samples * n_rows) as f64
    }

    /// Searches all rows from now on, with the same results.
    pub fn without_tree(self) -> Self {
        Self::new(Parts { search: Search::Brute, ..self.parts })
    }

    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        self.parts.n_inputs
    }

    /// Numbers per row that come out.
    pub fn n_outputs(&self) -> usize {
        match self.parts.known {
            Known::Classes { n_classes, .. } => n_classes,
            Known::Values(_) => 1,
        }
    }

    /// Scores one prepared row.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        self.scores_block(x, out);
    }

    /// Scores prepared rows.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        let (n_inputs, n_outputs) = (self.n_inputs(), self.n_outputs());
        let k = self.parts.n_neighbors;
        if let Index::Products(products) = &self.index {
            let n_together = (MAX_NEAREST / k).clamp(1, TILE_QUERIES);
            let mut nearest = vec![Nearest::new(k); n_together.min(x.len() / n_inputs)];
            let tiles = x.chunks(n_together * n_inputs).zip(out.chunks_mut(n_together * n_outputs));
            for (x, out) in tiles {
                products.search(&self.parts.x, x, &mut nearest);
                for (nearest, out) in nearest.iter_mut().zip(out.chunks_exact_mut(n_outputs)) {
                    nearest.drain(|found| self.count(found, out));
                }
            }
            return;
        }
        let mut nearest = Nearest::new(k);
        for (x, out) in x.chunks_exact(n_inputs).zip(out.chunks_exact_mut(n_outputs)) {
            match &self.index {
                Index::Tree(tree) => {
                    tree.search(x, &mut nearest);
                }
                Index::Panels(panels) => {
                    for (i, panel) in panels.chunks(PANEL_ROWS * n_inputs).enumerate() {
                        let name = |row| (i * PANEL_ROWS + row) as u32;
                        let n_rows = panel.len() / n_inputs;
                        scan_panel(self.parts.metric, panel, n_rows, x, &mut nearest, name);
                    }
                }
                Index::Products(_) => {}
            }
            nearest.drain(|found| self.count(found, out));
        }
    }

    /// The shares of the classes among the neighbours, or the mean of their values, as scikit-learn's
    /// `predict_proba` and `predict` give them.
    fn count(&self, found: &[(u64, u32)], out: &mut [f64]) {
        let weight = |sum: u64| 1.0 / self.parts.metric.distance(f64::from_bits(sum));
        // Where one is infinite, the row itself is among the neighbours. All are 0 only beyond the range of
        // doubles; then no neighbour is nearer than another.
        let heaviest = found.first().map_or(0.0, |&(sum, _)| weight(sum));
        let weight = |sum: u64| match self.parts.weighting {
            Weighting::Distance if heaviest.is_infinite() => f64::from(u8::from(weight(sum).is_infinite())),
            Weighting::Distance if heaviest > 0.0 => weight(sum),
            _ => 1.0,
        };
        out.fill(0.0);
        let mut total = 0.0;
        match &self.parts.known {
            Known::Classes { codes, .. } => {
                found.iter().for_each(|&(sum, row)| out[codes[row as usize] as usize] += weight(sum));
                total += out.iter().sum::<f64>();
            }
            Known::Values(values) => {
                for &(sum, row) in found {
                    out[0] += weight(sum) * values[row as usize];
                    total += weight(sum);
                }
            }
        }
        if total > 0.0 {
            out.iter_mut().for_each(|out| *out /= total);
        }
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        check(&self.parts)
    }

    /// The name of the form in the model file.
    pub const FORM: &'static str = "neighbours";

    /// Adds the arrays of the module's table.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        let parts = &self.parts;
        let n_rows = parts.known.len();
        let mut add = |name: &str, array| arrays.insert(format!("neighbours.{name}"), array);
        add("x", Array::F64(vec![n_rows, parts.n_inputs], parts.x.clone()));
        let n_classes = match &parts.known {
            Known::Classes { codes, n_classes } => {
                add("codes", Array::U32(vec![n_rows], codes.clone()));
                *n_classes
            }
            Known::Values(values) => {
                add("values", Array::F64(vec![n_rows], values.clone()));
                0
            }
        };
        let settings = vec![
            parts.n_neighbors as u32,
            u32::from(parts.metric == Metric::Manhattan),
            u32::from(parts.weighting == Weighting::Distance),
            u32::from(parts.search == Search::KdTree),
            n_classes as u32,
        ];
        add("settings", Array::U32(vec![settings.len()], settings));
    }

    /// Takes the arrays of the module's table; still to be validated.
    ///
    /// # Errors
    /// An array that is missing, or settings that are not known.
    pub fn read_arrays(arrays: &mut Arrays) -> Result<Self> {
        let settings = take_u32(arrays, "neighbours.settings")?;
        let [n_neighbors, metric, weighting, search, n_classes] = settings[..] else {
            bail!("the neighbours have {} settings instead of 5", settings.len());
        };
        let known = match n_classes {
            0 => Known::Values(take_f64(arrays, "neighbours.values")?),
            n => Known::Classes { codes: take_u32(arrays, "neighbours.codes")?, n_classes: n as usize },
        };
        let x = take_f64(arrays, "neighbours.x")?;
        let unknown = || format!("the neighbours have settings {settings:?}, which mean nothing");
        let pick = |value: u32| (value < 2).then_some(value == 1).with_context(unknown);
        Ok(Self::new(Parts {
            n_inputs: x.len().checked_div(known.len()).context("the neighbours have no rows")?,
            x,
            known,
            n_neighbors: n_neighbors as usize,
            metric: if pick(metric)? { Metric::Manhattan } else { Metric::Euclidean },
            weighting: if pick(weighting)? { Weighting::Distance } else { Weighting::Uniform },
            search: if pick(search)? { Search::KdTree } else { Search::Brute },
        }))
    }
}

fn check(parts: &Parts) -> Result<()> {
    let n_rows = parts.known.len();
    ensure!(
        parts.n_inputs > 0 && n_rows > 0 && n_rows < u32::MAX as usize,
        "there are {n_rows} neighbours of {} numbers",
        parts.n_inputs
    );
    ensure!(
        n_rows.checked_mul(parts.n_inputs) == Some(parts.x.len()),
        "the neighbours do not all have {} numbers",
        parts.n_inputs
    );
    ensure!(
        (1..=n_rows).contains(&parts.n_neighbors),
        "{} of {n_rows} neighbours are asked",
        parts.n_neighbors
    );
    ensure!(parts.x.iter().all(|v| v.is_finite()), "a number of the neighbours is not finite");
    match &parts.known {
        Known::Classes { codes, n_classes } => ensure!(
            *n_classes > 1 && codes.iter().all(|&code| (code as usize) < *n_classes),
            "a neighbour has a class that does not exist"
        ),
        Known::Values(values) => {
            ensure!(values.iter().all(|v| v.is_finite()), "a value of the neighbours is not finite");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(x: &[f64], n_inputs: usize, n_neighbors: usize) -> Parts {
        let n_rows = x.len() / n_inputs;
        Parts {
            n_inputs,
            x: x.to_vec(),
            known: Known::Values((0..n_rows).map(|row| row as f64).collect()),
            n_neighbors,
            metric: Metric::Euclidean,
            weighting: Weighting::Uniform,
            search: Search::Brute,
        }
    }

    /// The rows of least distance, by sorting all of them.
    fn sorted(x: &[f64], query: &[f64], metric: Metric, k: usize) -> Vec<u32> {
        let mut all: Vec<(f64, u32)> = Vec::new();
        for (row, v) in x.chunks_exact(query.len()).enumerate() {
            all.push((metric.sum(query, v), row as u32));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.iter().take(k).map(|(_, row)| *row).collect()
    }

    /// The rows that `count` is given for some queries, by each search.
    fn found(x: &[f64], queries: &[f64], n_inputs: usize, metric: Metric, k: usize) -> [Vec<Vec<u32>>; 3] {
        let rows = |nearest: &mut Nearest| {
            let mut rows = Vec::new();
            nearest.drain(|found| rows.extend(found.iter().map(|&(_, row)| row)));
            rows
        };
        let tree = KdTree::new(x, n_inputs, metric);
        let by_tree = queries.chunks_exact(n_inputs).map(|query| {
            let mut nearest = Nearest::new(k);
            tree.search(query, &mut nearest);
            rows(&mut nearest)
        });
        let by_sorting = queries.chunks_exact(n_inputs).map(|query| sorted(x, query, metric, k));
        let mut nearest = vec![Nearest::new(k); queries.len() / n_inputs];
        if metric == Metric::Euclidean {
            Products::new(x, n_inputs).search(x, queries, &mut nearest);
        } else {
            let brute = Neighbours::new(Parts { metric, ..parts(x, n_inputs, k) });
            let Index::Panels(panels) = &brute.index else { panic!("Manhattan searches panels") };
            for (query, nearest) in queries.chunks_exact(n_inputs).zip(&mut nearest) {
                for (i, panel) in panels.chunks(PANEL_ROWS * n_inputs).enumerate() {
                    let name = |row| (i * PANEL_ROWS + row) as u32;
                    scan_panel(metric, panel, panel.len() / n_inputs, query, nearest, name);
                }
            }
        }
        [by_sorting.collect(), by_tree.collect(), nearest.iter_mut().map(rows).collect()]
    }

    /// Numbers with many ties, with none, of very different sizes, and beyond single precision.
    fn numbers(kind: u8, n: usize) -> impl Strategy<Value = Vec<f64>> {
        let one = match kind {
            0 => (0_i32..4).prop_map(f64::from).boxed(),
            1 => (-1.0..1.0).boxed(),
            2 => (-1.0..1.0_f64).prop_map(|v| v.powi(9) * 1e6).boxed(),
            3 => (0_i32..50).prop_map(|v| 1e6 + f64::from(v) * 1e-3).boxed(),
            4 => (-1.0..1.0).prop_map(|v| v * 1e-25).boxed(),
            _ => (-1.0..1.0_f64).prop_map(|v| if v > 0.9 { v * 1e200 } else { v }).boxed(),
        };
        prop::collection::vec(one, n)
    }

    proptest! {
        #[test]
        fn every_way_of_searching_finds_the_same_rows(
            (x, queries, n_inputs, k) in (0_u8..6, 1_usize..6, 1_usize..300, 1_usize..12).prop_flat_map(
                |(kind, n_inputs, n_rows, k)| {
                    let x = numbers(kind, n_rows * n_inputs);
                    (x, numbers(kind, 5 * n_inputs), Just(n_inputs), Just(k.min(n_rows)))
                }
            ),
            manhattan: bool,
        ) {
            let metric = if manhattan { Metric::Manhattan } else { Metric::Euclidean };
            let [sorted, by_tree, by_brute] = found(&x, &queries, n_inputs, metric, k);
            prop_assert_eq!(&sorted, &by_tree);
            prop_assert_eq!(&sorted, &by_brute);
            // A training row is its own neighbour.
            let [sorted, by_tree, by_brute] = found(&x, &x[..n_inputs], n_inputs, metric, k);
            prop_assert!(sorted == by_tree && sorted == by_brute && sorted[0][0] == 0);
        }
    }

    #[test]
    fn tiles_and_panels_that_are_not_full_are_searched_whole() {
        // The nearest row of each query is at every place in turn.
        for n_rows in [1, 31, 32, 33, 511, 512, 513, 1100] {
            let x: Vec<f64> = (0..n_rows).map(|row| row as f64).collect();
            for metric in [Metric::Euclidean, Metric::Manhattan] {
                let [sorted, by_tree, by_brute] = found(&x, &x, 1, metric, 1);
                assert!(sorted == by_tree && sorted == by_brute);
            }
        }
    }

    #[test]
    fn neighbours_count_as_those_of_scikit_learn() {
        // At 0, 0, 1 and 4 from the query.
        let x = [1.0, 1.0, 2.0, 5.0];
        let scores = |weighting, known, query: f64| {
            let neighbours = Neighbours::new(Parts { weighting, known, ..parts(&x, 1, 3) });
            neighbours.validate().unwrap();
            let mut out = vec![f64::NAN; neighbours.n_outputs()];
            neighbours.scores_into(&[query], &mut out);
            out
        };
        let classes = || Known::Classes { codes: vec![0, 1, 2, 0], n_classes: 4 };
        let values = || Known::Values(vec![1.0, 2.0, 6.0, 9.0]);
        assert_eq!(scores(Weighting::Uniform, classes(), 1.0), [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]);
        assert_eq!(scores(Weighting::Distance, classes(), 1.0), [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(scores(Weighting::Distance, classes(), 0.0), [0.4, 0.4, 0.2, 0.0]);
        assert_eq!(scores(Weighting::Uniform, values(), 1.0), [3.0]);
        assert_eq!(scores(Weighting::Distance, values(), 1.0), [1.5]);
        assert_eq!(scores(Weighting::Distance, values(), 0.0), [(1.0 + 2.0 + 3.0) / 2.5]);
        // Out of reach all are equally far, and the first are taken.
        assert_eq!(scores(Weighting::Distance, values(), 1e300), [3.0]);
    }

    #[test]
    fn blocks_give_the_same_scores_as_single_rows() {
        let x: Vec<f64> = (0..900).map(|i| f64::from(i * 7919 % 1009) / 1009.0).collect();
        for metric in [Metric::Euclidean, Metric::Manhattan] {
            for search in [Search::Brute, Search::KdTree] {
                let weighting = Weighting::Distance;
                let neighbours = Neighbours::new(Parts { metric, search, weighting, ..parts(&x, 3, 7) });
                let queries: Vec<f64> = (0..300).map(|i| f64::from(i * 104_729 % 997) / 997.0).collect();
                let mut block = vec![0.0; 100];
                neighbours.scores_block(&queries, &mut block);
                for (query, score) in queries.chunks_exact(3).zip(&block) {
                    let mut out = [0.0];
                    neighbours.scores_into(query, &mut out);
                    assert_eq!(out[0].to_bits(), score.to_bits());
                }
            }
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let good = || parts(&[1.0, 2.0, 3.0, 4.0], 2, 1);
        assert!(Neighbours::new(good()).validate().is_ok());
        let classes = |codes, n_classes| Known::Classes { codes, n_classes };
        for wrong in [
            Parts { n_inputs: 0, ..good() },
            Parts { n_inputs: 3, ..good() },
            Parts { x: vec![1.0, 2.0, 3.0], ..good() },
            Parts { x: vec![], known: Known::Values(vec![]), ..good() },
            Parts { x: vec![1.0, f64::NAN, 3.0, 4.0], ..good() },
            Parts { known: Known::Values(vec![1.0, f64::INFINITY]), ..good() },
            Parts { known: classes(vec![0, 2], 2), ..good() },
            Parts { known: classes(vec![0, 0], 1), ..good() },
            Parts { n_neighbors: 0, ..good() },
            Parts { n_neighbors: 3, search: Search::KdTree, ..good() },
        ] {
            assert!(Neighbours::new(wrong.clone()).validate().is_err(), "{wrong:?}");
        }
        for settings in [vec![1, 0, 0, 0], vec![1, 2, 0, 0, 0], vec![1, 0, 0, 9, 0], vec![1, 0, 0, 0, 2]] {
            let mut arrays = Arrays::new();
            Neighbours::new(good()).write_arrays(&mut arrays);
            arrays.insert("neighbours.settings".into(), Array::U32(vec![settings.len()], settings));
            assert!(Neighbours::read_arrays(&mut arrays).is_err());
        }
    }
}
