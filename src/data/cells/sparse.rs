//! Rows of numbers that are mostly 0: the columns that are not, and their values.

/// Rows in compressed form: of each row the columns that are not 0, ascending, and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sparse {
    n_cols: usize,
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Sparse {
    /// No rows, of `n_cols` columns.
    pub fn new(n_cols: usize) -> Self {
        Self { n_cols, ..Self::default() }
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.ends.len()
    }

    /// The values that are not 0, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Row `i`: its columns and their values; panics when there is no such row.
    pub fn row(&self, i: usize) -> (&[u32], &[f64]) {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        let range = start..self.ends[i];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Adds a value to the row that [`Sparse::end_row`] will end; its columns come in ascending order.
    pub fn push(&mut self, column: u32, value: f64) {
        self.columns.push(column);
        self.values.push(value);
    }

    /// The values pushed since the last row ended.
    pub fn open_values_mut(&mut self) -> &mut [f64] {
        let start = self.ends.last().copied().unwrap_or(0);
        &mut self.values[start..]
    }

    /// Ends a row.
    pub fn end_row(&mut self) {
        self.ends.push(self.columns.len());
    }

    /// Appends the rows of another one of as many columns.
    pub fn append(&mut self, other: &Self) {
        let start = self.columns.len();
        self.ends.extend(other.ends.iter().map(|end| end + start));
        self.columns.extend_from_slice(&other.columns);
        self.values.extend_from_slice(&other.values);
    }

    /// The same numbers with rows and columns exchanged; the rows of each column ascend.
    pub fn transposed(&self) -> Self {
        let mut ends = vec![0; self.n_cols + 1];
        self.columns.iter().for_each(|&column| ends[column as usize + 1] += 1);
        for column in 0..self.n_cols {
            ends[column + 1] += ends[column];
        }
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.values.len()];
        for row in 0..self.n_rows() {
            let (of_row, row_values) = self.row(row);
            for (&column, &value) in of_row.iter().zip(row_values) {
                let at = &mut ends[column as usize];
                (columns[*at], values[*at]) = (row as u32, value);
                *at += 1;
            }
        }
        // Each entry has moved to the end of its column.
        ends.truncate(self.n_cols);
        Self { n_cols: self.n_rows(), ends, columns, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_matrix_holds_the_same_numbers_and_twice_transposed_is_itself() {
        let mut rows = Sparse::new(3);
        rows.push(0, 1.0);
        rows.push(2, 2.0);
        rows.end_row();
        rows.end_row();
        rows.push(2, 3.0);
        rows.end_row();
        let columns = rows.transposed();
        assert_eq!((columns.n_rows(), columns.n_cols()), (3, 3));
        assert_eq!(columns.row(0), (&[0][..], &[1.0][..]));
        assert_eq!(columns.row(1), (&[][..], &[][..]));
        assert_eq!(columns.row(2), (&[0, 2][..], &[2.0, 3.0][..]));
        assert_eq!(columns.transposed(), rows);
        let mut twice = rows.clone();
        twice.append(&rows);
        assert_eq!((twice.n_rows(), twice.row(3)), (6, rows.row(0)));
    }
}
