//! Kernel functions of many rows at once, for training and prediction alike.
//!
//! Rows are kept in [`Tiles`] of [`LANES`] rows, column by column, so that one pass over the columns of a row
//! gives its products with all rows of a tile in vector registers. Every lane does the same operations in the
//! same order, without fused ones: the value of a pair of rows does not depend on where they lie, on which of
//! the two is in the tile, on threads or on the machine.

use std::f64::consts::LOG2_E;

use crate::simd::widest;

/// Rows of a tile: eight registers of two doubles hide the latency of an addition.
pub(crate) const LANES: usize = 16;

/// Most tiles whose kernels are worked out together.
pub(crate) const TOGETHER: usize = 8;

/// Tiles that stay in the first-level cache while rows pass by.
const TOGETHER_BYTES: usize = 16 * 1024;

/// Powers are cut off here, so that a far-out row has a score that is a number; training refuses such rows.
pub(crate) const MAX_VALUE: f64 = 1e30;

/// The similarity of two rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// x·y
    Linear,
    /// exp(−gamma |x − y|²)
    Rbf {
        /// Not negative.
        gamma: f64,
    },
    /// (gamma x·y + coef0)^degree
    Poly {
        /// Not negative.
        gamma: f64,
        /// Added before the power is taken.
        coef0: f64,
        /// The power.
        degree: u32,
    },
}

impl Kernel {
    /// The kernel of a row with itself, given its squared norm.
    pub fn diagonal(self, norm: f64) -> f64 {
        match self {
            Self::Linear => norm,
            Self::Rbf { .. } => 1.0,
            Self::Poly { gamma, coef0, degree } => {
                let mut base = [gamma * norm + coef0; LANES];
                power(&mut base, degree);
                base[0]
            }
        }
    }

    /// Dot products to kernel values.
    #[inline(always)]
    fn apply(self, norm: f64, norms: &[f64; LANES], dots: &mut [f64; LANES]) {
        match self {
            Self::Linear => {}
            Self::Rbf { gamma } => {
                for l in 0..LANES {
                    let square = (norm + norms[l]) - 2.0 * dots[l];
                    dots[l] = -gamma * if square > 0.0 { square } else { 0.0 };
                }
                exp(dots);
            }
            Self::Poly { gamma, coef0, degree } => {
                dots.iter_mut().for_each(|dot| *dot = gamma * *dot + coef0);
                power(dots, degree);
            }
        }
    }
}

/// Rows in tiles, and their squared norms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tiles {
    n_rows: usize,
    n_cols: usize,
    /// Tile, column, lane; the lanes behind the last row hold 0.
    values: Vec<f64>,
    norms: Vec<[f64; LANES]>,
}

impl Tiles {
    /// Rows of `n_cols` numbers each.
    pub(crate) fn new<'a>(n_cols: usize, rows: impl ExactSizeIterator<Item = &'a [f64]>) -> Self {
        let n_rows = rows.len();
        let n_tiles = n_rows.div_ceil(LANES);
        let mut values = vec![0.0; n_tiles * n_cols * LANES];
        let mut norms = vec![[0.0; LANES]; n_tiles];
        for (i, row) in rows.enumerate() {
            let (tile, lane) = (i / LANES, i % LANES);
            for (c, v) in row.iter().enumerate() {
                values[(tile * n_cols + c) * LANES + lane] = *v;
            }
            norms[tile][lane] = squared_norm(row);
        }
        Self { n_rows, n_cols, values, norms }
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of tiles.
    pub(crate) fn n_tiles(&self) -> usize {
        self.norms.len()
    }

    /// How many tiles rows should pass by together, at most [`TOGETHER`].
    pub(crate) fn together(&self) -> usize {
        (TOGETHER_BYTES / (self.n_cols * LANES * size_of::<f64>()).max(1)).clamp(1, TOGETHER)
    }

    /// The squared norm of row `i`.
    pub(crate) fn norm(&self, i: usize) -> f64 {
        self.norms[i / LANES][i % LANES]
    }

    /// Copies row `i` into `out` of `n_cols` numbers.
    pub(crate) fn copy_row(&self, i: usize, out: &mut [f64]) {
        let first = i / LANES * self.n_cols * LANES + i % LANES;
        out.iter_mut().enumerate().for_each(|(c, out)| *out = self.values[first + c * LANES]);
    }

    /// Whether all numbers are finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.values.iter().chain(self.norms.as_flattened()).all(|v| v.is_finite())
    }

    /// The kernel of `x`, whose [`squared_norm`] is `norm`, with each row of the tiles from `first` on, as many as `out` has.
    pub(crate) fn kernels(
        &self,
        kernel: Kernel,
        x: &[f64],
        norm: f64,
        first: usize,
        out: &mut [[f64; LANES]],
    ) {
        widest!(self.of_tiles(kernel, x, norm, first, out));
    }

    #[inline(always)]
    fn of_tiles(&self, kernel: Kernel, x: &[f64], norm: f64, first: usize, out: &mut [[f64; LANES]]) {
        for (tile, out) in out.iter_mut().enumerate() {
            *out = self.of_tile(kernel, x, norm, first + tile);
        }
    }

    #[inline(always)]
    fn of_tile(&self, kernel: Kernel, x: &[f64], norm: f64, tile: usize) -> [f64; LANES] {
        let size = self.n_cols * LANES;
        let (columns, _) = self.values[tile * size..(tile + 1) * size].as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (v, column) in x.iter().zip(columns) {
            for l in 0..LANES {
                sums[l] += v * column[l];
            }
        }
        kernel.apply(norm, &self.norms[tile], &mut sums);
        sums
    }
}

/// |x|², added up in the order of the tiles, so that the distance of a row to itself is 0.
pub(crate) fn squared_norm(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum, v| sum + v * v)
}

/// Repeated squaring, then the bound of [`MAX_VALUE`]; the same for every lane.
#[inline(always)]
fn power(base: &mut [f64; LANES], mut degree: u32) {
    let mut square = *base;
    *base = [1.0; LANES];
    while degree > 0 {
        if degree & 1 == 1 {
            base.iter_mut().zip(&square).for_each(|(product, square)| *product *= square);
        }
        degree >>= 1;
        if degree > 0 {
            square.iter_mut().for_each(|square| *square *= *square);
        }
    }
    for value in base {
        // Also what is not a number.
        *value = if value.abs() < MAX_VALUE { *value } else { MAX_VALUE.copysign(*value) };
    }
}

/// 1.5 · 2⁵²: adding it leaves a whole number in the low bits of a double.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts, the first with 32 significant bits (fdlibm, e_exp.c).
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// 1/13!, 1/12!, … 1/0!. On |r| ≤ ln 2 / 2 the rest of the series is below 4e-18.
const SERIES: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// eˣ of numbers that are not positive, within 4e-16 of itself; below −708, where a double loses digits, that
/// of −708. Without a branch or a call, so that it is done in vector registers; the C library's is neither
/// that nor the same everywhere.
#[inline(always)]
fn exp(x: &mut [f64; LANES]) {
    let (mut r, mut power, mut sum) = ([0.0; LANES], [0.0; LANES], [SERIES[0]; LANES]);
    for l in 0..LANES {
        let v = if x[l] > -708.0 { x[l] } else { -708.0 };
        let shifted = v * LOG2_E + SHIFT;
        let k = shifted - SHIFT;
        r[l] = (v - k * LN2_HIGH) - k * LN2_LOW;
        // 2ᵏ by its exponent bits.
        power[l] = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    }
    for c in &SERIES[1..] {
        for l in 0..LANES {
            sum[l] = sum[l] * r[l] + c;
        }
    }
    for l in 0..LANES {
        x[l] = sum[l] * power[l];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_digits() {
        for block in 0..5000 {
            let given: [f64; LANES] =
                std::array::from_fn(|lane| -f64::from(block * 16 + lane as u32) * 708.0 / 80_000.0);
            let mut found = given;
            exp(&mut found);
            for (x, found) in given.iter().zip(found) {
                assert!((found - x.exp()).abs() <= 4e-16 * x.exp(), "exp({x}) is not {found:e}");
            }
        }
        let mut far = [-1e300; LANES];
        exp(&mut far);
        assert!(far[0] > 0.0 && far[0] < 1e-300);
        let mut zero = [-0.0; LANES];
        exp(&mut zero);
        assert_eq!(zero, [1.0; LANES]);
    }

    #[test]
    fn kernels_are_symmetric_to_the_bit_wherever_the_rows_lie() {
        let rows: Vec<Vec<f64>> =
            (0..37).map(|i| (0..5).map(|c| f64::from((i * 7 + c * 13) % 23) / 7.0 - 1.5).collect()).collect();
        let tiles = Tiles::new(5, rows.iter().map(Vec::as_slice));
        assert_eq!((tiles.n_rows(), tiles.n_tiles()), (37, 3));
        let kernels = [
            Kernel::Linear,
            Kernel::Rbf { gamma: 0.3 },
            Kernel::Poly { gamma: 0.3, coef0: 1.0, degree: 3 },
            Kernel::Poly { gamma: 0.3, coef0: 1.0, degree: 0 },
        ];
        for kernel in kernels {
            let value = |i: usize, j: usize| {
                let mut tile = [[0.0; LANES]];
                tiles.kernels(kernel, &rows[i], squared_norm(&rows[i]), j / LANES, &mut tile);
                tile[0][j % LANES]
            };
            for i in 0..37 {
                assert_eq!(value(i, i), kernel.diagonal(tiles.norm(i)));
                for j in 0..37 {
                    assert_eq!(value(i, j), value(j, i));
                    let pairs = || rows[i].iter().zip(&rows[j]);
                    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
                    let square: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
                    let expected = match kernel {
                        Kernel::Linear => dot,
                        Kernel::Rbf { gamma } => (-gamma * square).exp(),
                        Kernel::Poly { gamma, coef0, degree } => (gamma * dot + coef0).powi(degree as i32),
                    };
                    assert!((value(i, j) - expected).abs() < 1e-12 * expected.abs().max(1.0));
                }
            }
        }
        let mut row = [0.0; 5];
        tiles.copy_row(20, &mut row);
        assert_eq!(row[..], rows[20]);
    }
}
