//! Coordinate descent on penalised quadratics: one coefficient at a time, exact zeros.
//!
//! Friedman, Hastie and Tibshirani (2010), "Regularization paths for generalized linear models via coordinate
//! descent": soft thresholding (section 2), products of columns instead of residuals if there are many rows
//! (2.2), passes over the coefficients that are not 0 between passes over all (2.6). Called by `lasso` and by
//! logistic regression with an L1 penalty.

use crate::model::predictor::linear::dot;

use super::gram::SquareMatrix;

/// Columns up to which their products are worth making; with more, a pass over all products takes as long as
/// one over the rows, and the products themselves take the most time.
const MAX_PRODUCT_COLUMNS: usize = 512;

/// Passes over the coefficients that are not 0 between two over all.
const MAX_ACTIVE_PASSES: usize = 100;

/// The share of the last pass's largest pull at which passes over the coefficients that are not 0 end.
const ACTIVE_SHARE: f64 = 0.1;

/// Whether products of columns serve better than the columns themselves.
pub(crate) fn prefers_products(n_rows: usize, n_cols: usize) -> bool {
    n_cols <= MAX_PRODUCT_COLUMNS && n_cols <= n_rows
}

/// A convex quadratic of the coefficients, ½ wᵀH w + linear terms, at a current point.
pub(crate) trait Quadratic {
    /// The diagonal of H, one per coefficient.
    fn curvature(&self, j: usize) -> f64;

    /// The derivative by coefficient `j` at the current point.
    fn slope(&self, j: usize) -> f64;

    /// Adds `delta` to coefficient `j`.
    fn step(&mut self, j: usize, delta: f64);
}

/// A quadratic by its H: a step costs as much as there are columns.
pub(crate) struct ByProducts {
    products: SquareMatrix,
    slopes: Vec<f64>,
}

impl ByProducts {
    /// `slopes` are the derivatives at the current point.
    pub(crate) fn new(products: SquareMatrix, slopes: Vec<f64>) -> Self {
        Self { products, slopes }
    }
}

impl Quadratic for ByProducts {
    fn curvature(&self, j: usize) -> f64 {
        self.products.row(j)[j]
    }

    fn slope(&self, j: usize) -> f64 {
        self.slopes[j]
    }

    fn step(&mut self, j: usize, delta: f64) {
        let row = self.products.row(j);
        self.slopes.iter_mut().zip(row).for_each(|(slope, product)| *slope += delta * product);
    }
}

/// A quadratic by the columns of X, with H = Xᵀ diag(weights) X: a step costs as much as there are rows.
pub(crate) struct ByColumns<'a> {
    /// Column by column.
    columns: &'a [f64],
    /// One per row; all 1 if absent.
    weights: Option<&'a [f64]>,
    /// The slopes at the first point.
    slopes: Vec<f64>,
    curvatures: Vec<f64>,
    /// Weights · X · (current point − first point).
    pull: Vec<f64>,
}

impl<'a> ByColumns<'a> {
    /// `slopes` are the derivatives at the current point.
    pub(crate) fn new(
        columns: &'a [f64],
        n_rows: usize,
        weights: Option<&'a [f64]>,
        slopes: Vec<f64>,
    ) -> Self {
        let square = |column: &[f64]| match weights {
            None => dot(column, column),
            Some(weights) => column.iter().zip(weights).map(|(v, weight)| weight * v * v).sum(),
        };
        let curvatures = columns.chunks_exact(n_rows).map(square).collect();
        Self { columns, weights, slopes, curvatures, pull: vec![0.0; n_rows] }
    }

    fn column(&self, j: usize) -> &'a [f64] {
        let n_rows = self.pull.len();
        &self.columns[j * n_rows..(j + 1) * n_rows]
    }
}

impl Quadratic for ByColumns<'_> {
    fn curvature(&self, j: usize) -> f64 {
        self.curvatures[j]
    }

    fn slope(&self, j: usize) -> f64 {
        self.slopes[j] + dot(self.column(j), &self.pull)
    }

    fn step(&mut self, j: usize, delta: f64) {
        let column = self.column(j);
        match self.weights {
            None => self.pull.iter_mut().zip(column).for_each(|(pull, v)| *pull += delta * v),
            Some(weights) => {
                let cells = self.pull.iter_mut().zip(column).zip(weights);
                cells.for_each(|((pull, v), weight)| *pull += delta * weight * v);
            }
        }
    }
}

/// l1 |w|₁ + ½ l2 |w|² of the first `n_penalised` coefficients; the others are free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Penalty {
    /// Strength of the absolute values.
    pub l1: f64,
    /// Strength of the squares.
    pub l2: f64,
    /// Number of penalised coefficients.
    pub n_penalised: usize,
}

impl Penalty {
    fn of(&self, j: usize) -> (f64, f64) {
        if j < self.n_penalised { (self.l1, self.l2) } else { (0.0, 0.0) }
    }

    /// Its value.
    pub(crate) fn value(&self, w: &[f64]) -> f64 {
        let penalised = &w[..self.n_penalised];
        let sizes: f64 = penalised.iter().map(|w| w.abs()).sum();
        self.l1 * sizes + 0.5 * self.l2 * dot(penalised, penalised)
    }

    /// The distance of the objective from a minimum along coefficient `j`: its derivative nearest to 0.
    ///
    /// `slope` is that of the objective without the penalty.
    pub(crate) fn violation(&self, j: usize, w: f64, slope: f64) -> f64 {
        let (l1, l2) = self.of(j);
        let slope = slope + l2 * w;
        if w == 0.0 { (slope.abs() - l1).max(0.0) } else { (slope + l1.copysign(w)).abs() }
    }

    /// Moves coefficient `j` to its minimum and returns how hard it was pulled there.
    fn minimise(&self, quadratic: &mut impl Quadratic, w: &mut [f64], j: usize) -> f64 {
        let (l1, l2) = self.of(j);
        let curvature = quadratic.curvature(j);
        if curvature <= 0.0 {
            return 0.0;
        }
        let toward = curvature * w[j] - quadratic.slope(j);
        let value = (toward.abs() - l1).max(0.0).copysign(toward) / (curvature + l2);
        // Not -0.
        let value = if value == 0.0 { 0.0 } else { value };
        let delta = value - w[j];
        if delta == 0.0 {
            return 0.0;
        }
        w[j] = value;
        quadratic.step(j, delta);
        delta.abs() * (curvature + l2)
    }
}

/// Passes over all of `w`, then over those that are not 0 until they hardly move; returns the largest pull of
/// the pass over all, and the number of passes, at most `max_passes`.
pub(crate) fn descend(
    quadratic: &mut impl Quadratic,
    penalty: &Penalty,
    w: &mut [f64],
    max_passes: usize,
) -> (f64, usize) {
    let mut largest = 0.0_f64;
    for j in 0..w.len() {
        largest = largest.max(penalty.minimise(quadratic, w, j));
    }
    let active: Vec<usize> = (0..w.len()).filter(|&j| w[j] != 0.0).collect();
    let mut passes = 1;
    while passes < max_passes.min(MAX_ACTIVE_PASSES) {
        let mut moved = 0.0_f64;
        for &j in &active {
            moved = moved.max(penalty.minimise(quadratic, w, j));
        }
        passes += 1;
        if moved <= ACTIVE_SHARE * largest {
            break;
        }
    }
    (largest, passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::Unwatched;
    use crate::model::learn::linear::gram::products;

    /// 5 rows of 3 columns, row by row, and the slopes at 0.
    const X: [[f64; 3]; 5] =
        [[1.0, 0.5, -1.0], [0.0, 2.0, 1.0], [-1.0, 1.0, 0.0], [2.0, -1.0, 1.0], [0.5, 0.0, -2.0]];
    const SLOPES: [f64; 3] = [-3.0, 1.0, 0.2];

    #[test]
    fn products_and_columns_lead_to_the_same_minimum_and_free_coefficients_stay_free() {
        let weights = [1.0, 2.0, 0.5, 1.0, 3.0];
        let penalty = Penalty { l1: 0.5, l2: 0.1, n_penalised: 2 };
        let columns: Vec<f64> = (0..3).flat_map(|j| X.iter().map(move |row| row[j])).collect();
        let mut by_columns = ByColumns::new(&columns, 5, Some(&weights), SLOPES.to_vec());
        let fill = |row: usize, out: &mut [f64]| {
            out.iter_mut().zip(X[row]).for_each(|(out, v)| *out = weights[row].sqrt() * v);
        };
        let h = products(5, 3, &fill, &Unwatched);
        let mut by_products = ByProducts::new(h, SLOPES.to_vec());
        let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
        for _ in 0..50 {
            descend(&mut by_columns, &penalty, &mut a, 100);
            descend(&mut by_products, &penalty, &mut b, 100);
        }
        for j in 0..3 {
            assert!((a[j] - b[j]).abs() < 1e-12, "{a:?} and {b:?}");
            assert!(penalty.violation(j, a[j], by_columns.slope(j)) < 1e-12);
        }
        assert!(by_columns.slope(2).abs() < 1e-12);
        let strong = Penalty { l1: 1e3, ..penalty };
        descend(&mut by_columns, &strong, &mut a, 100);
        assert!(a[0] == 0.0 && a[0].is_sign_positive() && a[1] == 0.0 && a[2] != 0.0, "{a:?}");
    }
}
