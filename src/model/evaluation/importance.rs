//! Permutation importance: how much worse the model is on held-out rows when the values of a column are shuffled among
//! them (Breiman 2001; Fisher, Rudin and Dominici 2019).

use serde::Serialize;

/// The importance of a column, in the metric of [`Importances`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The column.
    pub feature: String,
    /// Mean loss of the shuffles beyond that of the rows as they are.
    pub mean: f64,
    /// Its standard deviation over the shuffles.
    pub std: f64,
}

/// The importances of columns, largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Importances {
    /// What grows: `log_loss` or `rmse`.
    pub metric: &'static str,
    /// Shuffles of each column.
    pub repeats: usize,
    /// Rows that were shuffled; a sample if there are many.
    pub rows: usize,
    /// Columns that were not shuffled, as there are too many.
    pub n_left_out: usize,
    /// The columns.
    pub features: Vec<Importance>,
}
