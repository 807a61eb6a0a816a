//! The weakest segments: parts of the rows in which the loss is largest, found by a shallow tree on the loss.

use serde::Serialize;

use super::Metrics;
use super::columns::{ValueColumn, Values};
use super::residuals::sample;
use super::select;
use super::worst::losses;
use crate::data::cells::target::Truth;
use crate::model::pipeline::Predictions;
use crate::order;

/// A part of the rows in which the model is weak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeakSegment {
    /// What the rows have in common, such as `age <= 30` or `island in Biscoe, Dream`; all hold.
    pub conditions: Vec<String>,
    /// Its rows.
    pub rows: usize,
    /// Mean loss of its rows (log loss, or squared error).
    pub loss: f64,
    /// Mean loss of all other rows.
    pub loss_of_others: f64,
    /// The metrics of its rows.
    pub metrics: Metrics,
}

/// Levels of the tree.
const DEPTH: usize = 3;

/// Rows of a leaf: at least these, and at least this share of all.
const MIN_ROWS: usize = 20;
const MIN_SHARE: f64 = 0.02;

/// Rows that the tree is grown on.
const MAX_ROWS: usize = 20_000;

/// Bounds at which numbers are split, and levels that are told apart, the most frequent.
const BOUNDS: usize = 16;
const MAX_LEVELS: usize = 30;

/// Segments that are shown.
const MAX_SEGMENTS: usize = 5;

/// A segment is weak if its mean loss is above that of the others by this many standard errors, or by more if many splits
/// were to choose from.
const STANDARD_ERRORS: f64 = 3.0;

/// A column cut into bins; the last one is that of missing values.
struct Binned<'a> {
    column: &'a ValueColumn,
    bins: Vec<u8>,
    n_bins: usize,
    /// Upper bounds of all bins of numbers but the last; empty for levels.
    bounds: Vec<f64>,
    /// Names of the bins of levels.
    names: Vec<String>,
}

impl<'a> Binned<'a> {
    fn new(column: &'a ValueColumn, rows: &[usize]) -> Self {
        match &column.values {
            Values::Numbers { values, .. } => {
                let own: Vec<f64> = rows.iter().map(|&row| values[row]).collect();
                let bounds = ValueColumn::bounds(&own, BOUNDS);
                let missing = bounds.len() + 1;
                let bin = |value: &f64| match value {
                    value if value.is_nan() => missing as u8,
                    value => bounds.partition_point(|bound| bound < value) as u8,
                };
                let bins = own.iter().map(bin).collect();
                Self { column, bins, n_bins: missing + 1, bounds, names: Vec::new() }
            }
            Values::Levels { codes, names } => {
                let mut counts: Vec<(usize, usize)> = (0..names.len()).map(|level| (0, level)).collect();
                rows.iter().for_each(|&row| counts[codes[row] as usize].0 += 1);
                order::sort_by(&mut counts, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
                counts.retain(|(n, _)| *n > 0);
                counts.truncate(MAX_LEVELS);
                let mut bin_of = vec![counts.len() as u8; names.len()];
                counts.iter().enumerate().for_each(|(bin, (_, level))| bin_of[*level] = bin as u8);
                let mut shown: Vec<String> = counts.iter().map(|(_, level)| names[*level].clone()).collect();
                shown.push(super::columns::OTHER.into());
                let bins = rows.iter().map(|&row| bin_of[codes[row] as usize]).collect();
                Self { column, bins, n_bins: shown.len(), bounds: Vec::new(), names: shown }
            }
        }
    }

    /// What the bins of one side of a split have in common.
    fn condition(&self, is_left: bool, left: &[bool]) -> String {
        let name = &self.column.name;
        match &self.column.values {
            Values::Numbers { is_date, .. } => {
                let missing = self.n_bins - 1;
                let last = left[..missing].iter().rposition(|&left| left);
                let or_missing = if left[missing] == is_left && self.bins.contains(&(missing as u8)) {
                    " or missing"
                } else {
                    ""
                };
                match last.and_then(|at| self.bounds.get(at)) {
                    // Missing values against all others.
                    None => {
                        format!("{name} is {}missing", if left[missing] == is_left { "" } else { "not " })
                    }
                    Some(&bound) => {
                        let sign = if is_left { "<=" } else { ">" };
                        format!("{name} {sign} {}{or_missing}", ValueColumn::shown(bound, *is_date))
                    }
                }
            }
            Values::Levels { .. } => {
                let own: Vec<&str> = (0..self.n_bins)
                    .filter(|&bin| left[bin] == is_left && self.bins.contains(&(bin as u8)))
                    .map(|bin| self.names[bin].as_str())
                    .collect();
                match own.as_slice() {
                    [only] => format!("{name} is {only}"),
                    few if few.len() <= 4 => format!("{name} is {}", few.join(" or ")),
                    many => {
                        let others: Vec<&str> = (0..self.n_bins)
                            .filter(|&bin| left[bin] != is_left && self.bins.contains(&(bin as u8)))
                            .map(|bin| self.names[bin].as_str())
                            .collect();
                        if others.len() <= 4 {
                            format!("{name} is not {}", others.join(" or "))
                        } else {
                            format!("{name} is {} or {} others", many[..3].join(" or "), many.len() - 3)
                        }
                    }
                }
            }
        }
    }

    /// The best split of rows: what it explains of the squares, and which bins go left.
    fn best_split(&self, rows: &[u32], losses: &[f64], min_rows: usize) -> Option<(f64, Vec<bool>)> {
        let mut bins = vec![(0.0, 0_usize); self.n_bins];
        for &row in rows {
            let bin = &mut bins[self.bins[row as usize] as usize];
            *bin = (bin.0 + losses[row as usize], bin.1 + 1);
        }
        let mut order: Vec<usize> = (0..self.n_bins).collect();
        if self.bounds.is_empty() {
            // Of one target, levels in the order of their means have the best split among their prefixes (Fisher 1958).
            let mean = |bin: usize| {
                if bins[bin].1 > 0 { bins[bin].0 / bins[bin].1 as f64 } else { f64::NEG_INFINITY }
            };
            order::sort_by(&mut order, |&a, &b| mean(a).total_cmp(&mean(b)));
        }
        let (sum, n) = bins.iter().fold((0.0, 0), |all, bin| (all.0 + bin.0, all.1 + bin.1));
        let mut left = (0.0, 0);
        let mut best: Option<(f64, usize)> = None;
        for (at, &bin) in order[..self.n_bins - 1].iter().enumerate() {
            left = (left.0 + bins[bin].0, left.1 + bins[bin].1);
            let right = (sum - left.0, n - left.1);
            if left.1 < min_rows || right.1 < min_rows {
                continue;
            }
            let square = |side: (f64, usize)| side.0 * side.0 / side.1 as f64;
            let gain = square(left) + square(right) - square((sum, n));
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, at));
            }
        }
        let (gain, at) = best.filter(|(gain, _)| *gain > 0.0)?;
        let mut is_left = vec![false; self.n_bins];
        order[..=at].iter().for_each(|&bin| is_left[bin] = true);
        Some((gain, is_left))
    }
}

/// A part of the rows and the way to it: column, side and condition of each split.
struct Leaf {
    rows: Vec<u32>,
    path: Vec<(usize, bool, String)>,
}

/// The weakest segments of rows, weakest first. They are found on the very rows that they are measured on, so that their
/// loss is somewhat overstated.
pub(super) fn weak_segments(
    columns: &[ValueColumn],
    predictions: &Predictions,
    truth: &Truth,
    positive: usize,
) -> Vec<WeakSegment> {
    let rows = sample(truth.len(), MAX_ROWS);
    let of_all = losses(predictions, truth);
    let of_values = matches!(truth, Truth::Values(_));
    let losses: Vec<f64> =
        rows.iter().map(|&row| if of_values { of_all[row].powi(2) } else { of_all[row] }).collect();
    let n = rows.len();
    if losses.iter().any(|loss| !loss.is_finite()) {
        return Vec::new();
    }
    let min_rows = MIN_ROWS.max((n as f64 * MIN_SHARE) as usize);
    let binned: Vec<Binned> = columns.iter().map(|column| Binned::new(column, &rows)).collect();
    let mut leaves = vec![Leaf { rows: (0..n as u32).collect(), path: Vec::new() }];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for leaf in leaves {
            let splits = crate::parallel::map_indices(binned.len(), &|i| {
                binned[i].best_split(&leaf.rows, &losses, min_rows)
            });
            let mut best: Option<(usize, f64, Vec<bool>)> = None;
            for (i, split) in splits.into_iter().enumerate() {
                if let Some((gain, left)) = split
                    && best.as_ref().is_none_or(|best| gain > best.1)
                {
                    best = Some((i, gain, left));
                }
            }
            let Some((column, _, left)) = best else {
                next.push(leaf);
                continue;
            };
            let goes_left = |row: &u32| left[binned[column].bins[*row as usize] as usize];
            for is_left in [true, false] {
                let own = leaf.rows.iter().copied().filter(|row| goes_left(row) == is_left).collect();
                let mut path = leaf.path.clone();
                // A narrower bound on the same side says it all.
                path.retain(|step| binned[column].bounds.is_empty() || (step.0, step.1) != (column, is_left));
                path.push((column, is_left, binned[column].condition(is_left, &left)));
                next.push(Leaf { rows: own, path });
            }
        }
        leaves = next;
    }
    // About the largest of as many normal numbers: the best of many splits of chance looks that good.
    let n_splits: usize = binned.iter().map(|column| column.n_bins - 1).sum();
    let threshold = STANDARD_ERRORS.max((2.0 * (n_splits.max(1) as f64).ln()).sqrt());
    let sum: f64 = losses.iter().sum();
    let mut found: Vec<WeakSegment> = leaves
        .into_iter()
        .filter_map(|leaf| {
            let n_own = leaf.rows.len() as f64;
            let n_others = n as f64 - n_own;
            let own: f64 = leaf.rows.iter().map(|&row| losses[row as usize]).sum();
            let (mean, others) = (own / n_own, (sum - own) / n_others);
            let squares: f64 = leaf.rows.iter().map(|&row| (losses[row as usize] - mean).powi(2)).sum();
            let standard_error = (squares / n_own / (n_own - 1.0)).sqrt();
            if n_others < 1.0 || leaf.path.is_empty() || mean - others <= threshold * standard_error {
                return None;
            }
            let own: Vec<usize> = leaf.rows.iter().map(|&row| rows[row as usize]).collect();
            Some(WeakSegment {
                conditions: leaf.path.into_iter().map(|step| step.2).collect(),
                rows: own.len(),
                loss: mean,
                loss_of_others: others,
                metrics: Metrics::new(&select(predictions, &own), &truth.select(&own), positive),
            })
        })
        .collect();
    order::sort_by(&mut found, |a, b| b.loss.total_cmp(&a.loss));
    found.truncate(MAX_SEGMENTS);
    found
}
