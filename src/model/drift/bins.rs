//! The bins that new rows of a feature are counted in, with the training rows of each: those of the histograms and levels
//! of every model file. The server counts its window in them, `mlapi drift` a file.

use crate::data::cells::cell::{ColumnType, UNSEEN};
use crate::data::cells::feature::{Feature, Histogram};

/// Levels of a category with a bin of their own; the others share one.
const MAX_LEVEL_BINS: usize = 64;

/// The bins of a feature. Behind those of values comes, of a category, one for rare and unseen levels, then one for
/// missing values; without a histogram there is only the last. Rows are counted in cells: those of the values, which are
/// finer than the bins if the model file has percentiles, then one of missing values, of unseen levels and of values out
/// of range; the last two lie in another cell as well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    column_type: ColumnType,
    min: f64,
    max: f64,
    /// The upper bounds of all cells of numbers but the last.
    edges: Vec<f64>,
    /// The training rows of each cell of values; of many rows those of a part.
    pub(crate) values: Vec<f64>,
    /// The bin that each cell of values lies in.
    bin_of: Vec<usize>,
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
        let (mut values, mut bin_of) = (trained.clone(), (0..trained.len()).collect());
        if let (ColumnType::Number, Some(fine)) = (feature.column_type, &feature.percentiles)
            && !trained.is_empty()
        {
            values = fine.counts.iter().map(|&n| n as f64).collect();
            let upper = fine.edges.iter().copied().chain([f64::INFINITY]);
            bin_of = upper.map(|upper| Histogram::bin(&edges, upper)).collect();
            edges.clone_from(&fine.edges);
        }
        trained.push(feature.missing as f64);
        let Feature { column_type, min, max, .. } = *feature;
        Self { column_type, min, max, edges, values, bin_of, trained }
    }

    /// The cells that rows are counted in.
    pub(crate) fn n_cells(&self) -> usize {
        self.values.len() + 3
    }

    /// The rows of each bin, from those of each cell.
    pub(crate) fn rows_of_bins(&self, cells: &[u64]) -> Vec<f64> {
        let mut rows = vec![0.0; self.trained.len()];
        self.bin_of.iter().zip(cells).for_each(|(&bin, &n)| rows[bin] += n as f64);
        rows[self.trained.len() - 1] = cells[self.missing()] as f64;
        rows
    }

    /// Whether numbers are counted in cells finer than the bins.
    pub(crate) fn is_fine(&self) -> bool {
        self.values.len() + 1 > self.trained.len()
    }

    /// The training rows without a value.
    pub(crate) fn trained_missing(&self) -> f64 {
        self.trained.last().copied().unwrap_or(0.0)
    }

    /// The type of the feature.
    pub(crate) fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Whether the values have a distribution to compare with.
    pub(crate) fn has_values(&self) -> bool {
        self.trained.len() > 1
    }

    /// The cell of missing values.
    pub(crate) fn missing(&self) -> usize {
        self.values.len()
    }

    /// The cell of unseen levels.
    pub(crate) fn unseen(&self) -> usize {
        self.values.len() + 1
    }

    /// The cell of values out of range.
    pub(crate) fn out_of_range(&self) -> usize {
        self.values.len() + 2
    }

    /// The cell of a code, if its value has one, and the cell of what is unusual about it.
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
                let cell = self.has_values().then(|| Histogram::bin(&self.edges, code));
                [cell, is_outside.then_some(self.out_of_range())]
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
