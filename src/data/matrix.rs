//! A dense row-major matrix of `f64`: rows of codes before the recipe, rows of numbers after it.

/// `n_rows × n_cols` numbers in one row-major buffer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    n_cols: usize,
    n_rows: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// An empty matrix of `n_cols` columns, with room for `n_rows` rows.
    pub fn with_capacity(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, n_rows: 0, values: Vec::with_capacity(n_rows * n_cols) }
    }

    /// `n_rows × n_cols` zeros.
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, n_rows, values: vec![0.0; n_rows * n_cols] }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All values, row by row, to write to.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Row `i`; panics when there is no such row.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.n_cols..(i + 1) * self.n_cols]
    }

    /// Row `i`, to write to; panics when there is no such row.
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.n_cols..(i + 1) * self.n_cols]
    }

    /// The rows, first to last.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        (0..self.n_rows).map(|i| self.row(i))
    }

    /// Appends a row of `value` and returns it to be written to.
    pub fn push_row(&mut self, value: f64) -> &mut [f64] {
        self.values.resize(self.values.len() + self.n_cols, value);
        self.n_rows += 1;
        self.row_mut(self.n_rows - 1)
    }

    /// Forgets all but the first `n_rows` rows.
    pub fn truncate(&mut self, n_rows: usize) {
        self.n_rows = self.n_rows.min(n_rows);
        self.values.truncate(self.n_rows * self.n_cols);
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.n_rows = 0;
    }
}
