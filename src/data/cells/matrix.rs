//! A dense row-major matrix of `f64`: rows of codes before the recipe, rows of numbers after it. With it the texts that
//! codes stand for, and further columns that are mostly 0.

use super::sparse::Sparse;
use super::text::Texts;

/// `n_rows × n_cols` numbers in one row-major buffer. Without text columns it holds nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    n_cols: usize,
    n_rows: usize,
    values: Vec<f64>,
    texts: Texts,
    sparse: Sparse,
}

impl Matrix {
    /// An empty matrix of `n_cols` columns, with room for `n_rows` rows.
    pub fn with_capacity(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, values: Vec::with_capacity(n_rows * n_cols), ..Self::default() }
    }

    /// `n_rows × n_cols` zeros.
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, n_rows, values: vec![0.0; n_rows * n_cols], ..Self::default() }
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

    /// Removes all but the first `n_rows` rows.
    pub fn truncate(&mut self, n_rows: usize) {
        self.n_rows = self.n_rows.min(n_rows);
        self.values.truncate(self.n_rows * self.n_cols);
    }

    /// Removes the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.texts.clear();
        self.n_rows = 0;
    }

    /// The texts that codes of text columns stand for.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The texts, to add to.
    pub fn texts_mut(&mut self) -> &mut Texts {
        &mut self.texts
    }

    /// Further columns, of as many rows; empty if there is no column of that kind.
    pub fn sparse(&self) -> &Sparse {
        &self.sparse
    }

    /// Adds columns that are mostly 0.
    pub fn set_sparse(&mut self, sparse: Sparse) {
        self.sparse = sparse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_appended_cut_off_and_removed_and_never_run_into_each_other() {
        let mut matrix = Matrix::with_capacity(2, 2);
        matrix.push_row(0.0).copy_from_slice(&[1.0, 2.0]);
        matrix.push_row(f64::NAN)[0] = 3.0;
        matrix.row_mut(0)[1] = 5.0;
        assert_eq!((matrix.row(0), matrix.row(1)[0], matrix.n_rows()), (&[1.0, 5.0][..], 3.0, 2));
        assert!(matrix.row(1)[1].is_nan(), "a new row holds the value it was made of");
        matrix.truncate(7);
        assert_eq!(matrix.rows().len(), 2);
        matrix.truncate(1);
        assert_eq!(matrix.values(), [1.0, 5.0]);
        matrix.texts_mut().push("a");
        matrix.clear();
        assert_eq!((matrix.n_rows(), matrix.values().len(), matrix.texts().len()), (0, 0, 0));
    }

    #[test]
    fn a_matrix_without_columns_has_rows_all_the_same() {
        let mut matrix = Matrix::zeros(3, 0);
        matrix.push_row(0.0);
        assert_eq!(matrix.rows().map(<[f64]>::len).collect::<Vec<_>>(), [0; 4]);
    }
}
