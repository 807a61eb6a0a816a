//! Grown trees to the flat arrays of the inference form.

use std::collections::HashMap;

use super::Dataset;
use super::bins::{Bins, Kind};
use super::grow::Tree;
use super::split::BinSet;
use crate::model::predictor::Link;
use crate::model::trees::{LEAF, MISSING_LEFT, Parts, SUBSET, Trees};

/// Collects trees.
pub struct Compact {
    parts: Parts,
    /// Where leaves of these values are: most leaves of a deep tree are pure and share theirs.
    rows: HashMap<Vec<u64>, u32>,
}

impl Compact {
    /// Trees on these columns, whose leaves hold `width` numbers each.
    pub fn new(data: &Dataset, bins: &Bins, link: Link, width: usize, base: Vec<f64>, divisor: f64) -> Self {
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
        };
        Self { parts, rows: HashMap::new() }
    }

    /// Adds a tree. `values`: one row per leaf, in the order of its nodes; its gains count `gain_unit` times.
    pub fn push(&mut self, tree: &Tree, bins: &Bins, values: &[f64], gain_unit: f64) {
        let parts = &mut self.parts;
        let root = parts.feature.len() as u32;
        parts.roots.push(root);
        let mut values = values.chunks_exact(parts.width);
        for node in &tree.nodes {
            if node.left == 0 {
                let values = values.next().unwrap_or_default();
                let row =
                    *self.rows.entry(values.iter().map(|v| v.to_bits()).collect()).or_insert_with(|| {
                        parts.values.extend(values);
                        (parts.values.len() / parts.width) as u32 - 1
                    });
                parts.feature.push(LEAF);
                parts.threshold.push(0.0);
                parts.left.push(row);
                parts.flags.push(0);
                continue;
            }
            parts.importances[node.column as usize] += gain_unit * node.gain.max(0.0);
            let mut flags = if node.missing_left { MISSING_LEFT } else { 0 };
            let mut threshold = 0.0;
            match (&bins.columns[node.column as usize].kind, node.subset) {
                (Kind::Number { thresholds }, _) => {
                    // Past the last threshold only gaps go right.
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
    }

    /// The trees, importances as shares of their sum.
    pub fn finish(mut self) -> Trees {
        let sum: f64 = self.parts.importances.iter().sum();
        if sum > 0.0 {
            self.parts.importances.iter_mut().for_each(|importance| *importance /= sum);
        }
        Trees::new(self.parts)
    }
}
