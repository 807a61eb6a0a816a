//! The bins that new rows of a feature are counted in, with the training rows of each: those of the histograms and levels
//! of every model file. The server counts its window in them, `mlapi drift` a file.

use crate::data::cells::cell::{ColumnType, UNSEEN};
use crate::data::cells::feature::{Feature, Histogram};

/// Levels of a category with a bin of their own; the others share one.
const MAX_LEVEL_BINS: usize = 64;

/// The bins of a feature. Behind those of values comes, of a category, one for rare and unseen levels, then one for
/// missing values; without a histogram there is only the last. Two more cells count unseen levels and values out of
/// range, which lie in a bin as well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    column_type: ColumnType,
    min: f64,
    max: f64,
    /// The upper bounds of all bins of numbers but the last.
    edges: Vec<f64>,
    /// The training rows of each bin.
    pub(crate) trained: Vec<f64>,
}

impl Bins {
    /// The bins of a feature of a model.
    pub(crate) fn of(feature: &Feature) -> Self {
        let (mut edges, mut trained) = (Vec::new(), Vec::new());
        match (feature.column_type, &feature.histogram) {
            (ColumnType::Category, _) => {
                // In the order of the levels, so that a code is a bin; the levels beyond share the last.
                trained = feature.counts.iter().take(MAX_LEVEL_BINS).map(|&n| n as f64).collect();
                // Of a hostile model file they may be more than fit a whole number.
                trained.push(feature.counts.iter().skip(MAX_LEVEL_BINS).map(|&n| n as f64).sum());
            }
            (ColumnType::Number | ColumnType::Boolean, Some(histogram)) => {
                edges.clone_from(&histogram.edges);
                trained = histogram.counts.iter().map(|&n| n as f64).collect();
            }
            _ => {}
        }
        trained.push(feature.missing as f64);
        Self { column_type: feature.column_type, min: feature.min, max: feature.max, edges, trained }
    }

    /// The cells that rows are counted in: the bins, unseen levels, values out of range.
    pub(crate) fn n_cells(&self) -> usize {
        self.trained.len() + 2
    }

    /// The type of the feature.
    pub(crate) fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Whether the values have a distribution to compare with.
    pub(crate) fn has_values(&self) -> bool {
        self.trained.len() > 1
    }

    /// The bin of missing values.
    pub(crate) fn missing(&self) -> usize {
        self.trained.len() - 1
    }

    /// The cell of unseen levels.
    pub(crate) fn unseen(&self) -> usize {
        self.trained.len()
    }

    /// The cell of values out of range.
    pub(crate) fn out_of_range(&self) -> usize {
        self.trained.len() + 1
    }

    /// The bin of a code, if its value has one, and the cell of what is unusual about it.
    pub(crate) fn cells(&self, code: f64) -> [Option<usize>; 2] {
        let missing = self.missing();
        if code.is_nan() {
            return [Some(missing), None];
        }
        match self.column_type {
            ColumnType::Category if code == UNSEEN => [missing.checked_sub(1), Some(self.unseen())],
            ColumnType::Category => [missing.checked_sub(1).map(|last| (code as usize).min(last)), None],
            ColumnType::Text => [None, None],
            _ => {
                let is_outside = code < self.min || code > self.max;
                let bin = self.has_values().then(|| Histogram::bin(&self.edges, code));
                [bin, is_outside.then_some(self.out_of_range())]
            }
        }
    }
}

/// The share of an empty bin; 0 would make the index infinite.
const LEAST_SHARE: f64 = 1e-4;

/// The population stability index: Σ (new − trained) · ln(new / trained) over the shares of bins.
///
/// Source: N. Siddiqi, Credit Risk Scorecards (Wiley 2006), chapter 9.
pub(crate) fn psi(trained: &[f64], new: &[f64]) -> f64 {
    let totals: [f64; 2] = [trained, new].map(|counts| counts.iter().sum::<f64>().max(1.0));
    let term = |(trained, new): (&f64, &f64)| {
        let trained = (trained / totals[0]).max(LEAST_SHARE);
        let new = (new / totals[1]).max(LEAST_SHARE);
        (new - trained) * (new / trained).ln()
    };
    trained.iter().zip(new).map(term).sum()
}
