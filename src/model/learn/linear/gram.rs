//! Sums of products of columns, and the linear systems they make.
//!
//! smartcore's Cholesky and singular value decompositions solve. The products are ndarray's, because
//! smartcore's matrix product (0.7) reads element by element: its ridge takes 24 times as long on 16,000 rows
//! (benches/smartcore.rs).

use anyhow::{Result, anyhow, ensure};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::cholesky::CholeskyDecomposable;
use smartcore::linalg::traits::svd::SVDDecomposable;

use crate::model::learn::Watch;
use crate::model::predictor::linear::dot;
use crate::panics::caught;

/// Pivots of the Cholesky factor below this share of their column mean that columns depend on each other,
/// and the singular values decide instead.
const MIN_PIVOT_SHARE: f64 = 1e-8;

/// Directions whose singular value is below this share of the largest count as dependent, as in
/// scikit-learn 1.9 (`LinearRegression(tol=1e-6)`).
const RANK_TOLERANCE: f64 = 1e-6;

/// Fewest rows of a part that is summed up on its own, and most such parts; fewer of wide rows, because each
/// part has its own sums. Parts are added in order, so the result does not depend on how many threads share
/// them.
const PART_ROWS: usize = 2048;
const MAX_PARTS: usize = 32;
const MAX_PARTS_WIDE: usize = 4;
const WIDE: usize = 512;

/// Rows that are multiplied at a time; enough that adding their products up costs little.
const STRIP_ROWS: usize = 512;

/// Columns of a block; of two blocks only one order is multiplied, for the other is its mirror image.
const BLOCK_COLUMNS: usize = 64;

/// ZᵀZ of `n_rows × n_cols` numbers, of which `fill` writes one row. Of no use if `watch` interrupts it.
pub(crate) fn products(
    n_rows: usize,
    n_cols: usize,
    fill: &(dyn Fn(usize, &mut [f64]) + Sync),
    watch: &dyn Watch,
) -> SquareMatrix {
    let max_parts = if n_cols > WIDE { MAX_PARTS_WIDE } else { MAX_PARTS };
    let part_rows = PART_ROWS.max(n_rows.div_ceil(max_parts));
    let part_products = |part: usize| {
        let mut sums = Array2::zeros((n_cols, n_cols));
        let mut strip = Array2::zeros((STRIP_ROWS, n_cols));
        let last = ((part + 1) * part_rows).min(n_rows);
        for first in (part * part_rows..last).step_by(STRIP_ROWS) {
            if watch.stopped() {
                break;
            }
            let n = STRIP_ROWS.min(last - first);
            let rows = strip.as_slice_mut().into_iter().flat_map(|values| values.chunks_exact_mut(n_cols));
            rows.take(n).enumerate().for_each(|(i, row)| fill(first + i, row));
            let strip = strip.slice_axis(Axis(0), (..n).into());
            for a in (0..n_cols).step_by(BLOCK_COLUMNS) {
                let block = a..n_cols.min(a + BLOCK_COLUMNS);
                let left = strip.slice_axis(Axis(1), block.clone().into());
                let right = strip.slice_axis(Axis(1), (a..).into());
                let mut products = sums.slice_axis_mut(Axis(0), block.into());
                let mut products = products.slice_axis_mut(Axis(1), (a..).into());
                general_mat_mul(1.0, &left.t(), &right, 1.0, &mut products);
            }
        }
        sums
    };
    let parts: Vec<_> = (0..n_rows.div_ceil(part_rows)).into_par_iter().map(part_products).collect();
    let mut sums = Array2::<f64>::zeros((n_cols, n_cols));
    parts.iter().for_each(|part| sums += part);
    let mut values = sums.into_raw_vec_and_offset().0;
    for i in 0..n_cols {
        for j in 0..i {
            values[i * n_cols + j] = values[j * n_cols + i];
        }
    }
    SquareMatrix { size: n_cols, values }
}

/// A square matrix, row by row.
#[derive(Clone, Default)]
pub(crate) struct SquareMatrix {
    /// Rows and columns.
    pub size: usize,
    /// All values.
    pub values: Vec<f64>,
}

impl SquareMatrix {
    /// Row `i`; panics when there is no such row.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.size..(i + 1) * self.size]
    }

    /// Keeps the first `size` rows and columns.
    pub(crate) fn shrink(&mut self, size: usize) {
        for i in 1..size {
            self.values.copy_within(i * self.size..i * self.size + size, i * size);
        }
        self.values.truncate(size * size);
        self.size = size;
    }

    fn dense(&self) -> Result<DenseMatrix<f64>> {
        DenseMatrix::new(self.size, self.size, self.values.clone(), false)
            .map_err(|e| anyhow!("the linear system cannot be set up: {e}"))
    }
}

/// (K + αI)⁻¹ of a symmetric positive semidefinite K, or its pseudo-inverse if that is singular.
pub(crate) enum SymmetricInverse {
    /// K + αI itself, to be factored by Cholesky.
    Definite(Factor),
    /// Orthonormal directions (columns of `v`, row-major) and the inverse of K + αI along each.
    Directions { v: Vec<f64>, inverse: Vec<f64> },
}

/// The lower triangle of a Cholesky factor, row-major.
pub(crate) struct Factor {
    size: usize,
    l: Vec<f64>,
}

impl SymmetricInverse {
    /// Factors K + αI.
    ///
    /// # Errors
    /// The singular values cannot be found.
    pub(crate) fn new(mut k: SquareMatrix, alpha: f64) -> Result<Self> {
        let n = k.size;
        ensure!(
            k.values.iter().all(|v| v.is_finite()),
            "the products of its columns are too large for numbers; smaller units help"
        );
        let largest = (0..n).map(|i| k.values[i * n + i]).fold(0.0, f64::max);
        if largest == 0.0 && alpha == 0.0 {
            return Ok(Self::Directions { v: vec![0.0; n * n], inverse: vec![0.0; n] });
        }
        let plain = k.values.clone();
        for i in 0..n {
            k.values[i * n + i] += alpha;
        }
        if let Ok(cholesky) = k.dense()?.cholesky() {
            let l = cholesky.L();
            let l: Vec<f64> = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|at| *l.get(at)).collect();
            let independent = (0..n).all(|i| {
                let pivot = l[i * n + i];
                pivot * pivot > MIN_PIVOT_SHARE * k.values[i * n + i]
            });
            if independent && l.iter().all(|v| v.is_finite()) {
                return Ok(Self::Definite(Factor { size: n, l }));
            }
        }
        // smartcore's (0.7) panics if it does not converge, as on the smallest numbers there are.
        let plain = SquareMatrix { size: n, values: plain }.dense()?;
        let svd = caught(|| plain.svd())
            .and_then(|svd| svd.map_err(|e| e.to_string()))
            .map_err(|e| anyhow!("the columns cannot be separated: {e}"))?;
        ensure!(
            svd.s.iter().all(|s| s.is_finite()),
            "the columns cannot be separated: their products are too small or too large for numbers"
        );
        let largest = svd.s.iter().copied().fold(0.0, f64::max);
        let inverse = svd.s.iter().map(|&s| {
            let kept = s > RANK_TOLERANCE * RANK_TOLERANCE * largest;
            if kept || alpha > 0.0 { 1.0 / (s + alpha) } else { 0.0 }
        });
        let inverse = inverse.collect();
        let at = |i, j| *svd.V.get((i, j));
        let v = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect();
        Ok(Self::Directions { v, inverse })
    }

    /// (K + αI)⁻¹ b.
    pub(crate) fn apply(&self, b: &[f64]) -> Vec<f64> {
        match self {
            Self::Definite(factor) => factor.solve(b),
            Self::Directions { v, inverse } => {
                let n = inverse.len();
                let mut along = vec![0.0; n];
                for (row, b) in v.chunks_exact(n).zip(b) {
                    along.iter_mut().zip(row).for_each(|(along, v)| *along += v * b);
                }
                along.iter_mut().zip(inverse).for_each(|(along, inverse)| *along *= inverse);
                v.chunks_exact(n).map(|row| dot(row, &along)).collect()
            }
        }
    }
}

impl Factor {
    /// Forward, then backward substitution.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let n = self.size;
        let mut z = b.to_vec();
        for i in 0..n {
            let row = &self.l[i * n..i * n + i];
            z[i] = (z[i] - dot(row, &z[..i])) / self.l[i * n + i];
        }
        for i in (0..n).rev() {
            z[i] /= self.l[i * n + i];
            let (above, rest) = z.split_at_mut(i);
            let row = &self.l[i * n..i * n + i];
            above.iter_mut().zip(row).for_each(|(above, l)| *above -= l * rest[0]);
        }
        z
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::Unwatched;

    #[test]
    fn products_are_those_of_the_definition_for_any_number_of_columns_rows_and_threads() {
        for (n_rows, n_cols) in [(1, 1), (3, 5), (300, 4), (5000, 6), (2049, 9), (700, 130)] {
            let value = |row: usize, column: usize| ((row * 7 + column * 13) % 19) as f64 - 9.0;
            let fill = |row: usize, out: &mut [f64]| {
                out.iter_mut().enumerate().for_each(|(column, out)| *out = value(row, column));
            };
            let found = [1, 2, 8].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| products(n_rows, n_cols, &fill, &Unwatched))
            });
            for i in 0..n_cols {
                for j in 0..n_cols {
                    // Whole numbers: exact.
                    let sum: f64 = (0..n_rows).map(|row| value(row, i) * value(row, j)).sum();
                    assert_eq!(found[0].row(i)[j], sum, "{n_rows} × {n_cols}: {i}, {j}");
                }
            }
            assert!(found.iter().all(|other| other.values == found[0].values));
        }
    }

    #[test]
    fn the_inverse_undoes_the_matrix_and_of_a_singular_one_the_solution_is_that_of_least_norm() {
        let regular = || SquareMatrix { size: 2, values: vec![4.0, 1.0, 1.0, 3.0] };
        for alpha in [0.0, 2.0] {
            let x = SymmetricInverse::new(regular(), alpha).unwrap().apply(&[1.0, 2.0]);
            let back = [(4.0 + alpha) * x[0] + x[1], x[0] + (3.0 + alpha) * x[1]];
            assert!((back[0] - 1.0).abs() < 1e-14 && (back[1] - 2.0).abs() < 1e-14, "{back:?}");
        }
        let singular = || SquareMatrix { size: 2, values: vec![1.0, 1.0, 1.0, 1.0] };
        let x = SymmetricInverse::new(singular(), 0.0).unwrap().apply(&[3.0, 3.0]);
        assert!(x.iter().all(|x| (x - 1.5).abs() < 1e-12), "{x:?}");
        // A penalty makes it regular: (K + αI) x = b.
        let x = SymmetricInverse::new(singular(), 1.0).unwrap().apply(&[3.0, 0.0]);
        assert!((x[0] - 2.0).abs() < 1e-12 && (x[1] + 1.0).abs() < 1e-12, "{x:?}");
        let zero = SquareMatrix { size: 2, values: vec![0.0; 4] };
        assert_eq!(SymmetricInverse::new(zero, 0.0).unwrap().apply(&[1.0, 1.0]), [0.0, 0.0]);
    }

    #[test]
    fn a_matrix_that_is_cut_keeps_its_first_rows_and_columns() {
        let mut square = SquareMatrix { size: 3, values: (0..9).map(f64::from).collect() };
        square.shrink(2);
        assert_eq!((square.row(0), square.row(1)), (&[0.0, 1.0][..], &[3.0, 4.0][..]));
    }
}
