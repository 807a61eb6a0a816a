//! Targets and derivatives as whole numbers, scaled so that all sums of a tree fit into the cells of a histogram.
//!
//! Forests scale once per target ([`Target`]), boosting once per tree ([`Scale`]).

use crate::model::learn::{Dataset, Labels};

/// A row is drawn this often at most, which leaves room in an item; more has a chance of 10⁻³³.
pub(crate) const MAX_DRAWS: u8 = 31;

/// The classes or values to be learned, in whole numbers.
pub(crate) struct Target<'a> {
    /// Its labels and weights.
    pub(crate) data: &'a Dataset<'a>,
    /// Rows whose weight is not 0.
    pub(crate) rows: Vec<u32>,
    /// The class, or the value less the mean, and the mass of each of those rows when drawn once.
    pub(crate) items: Vec<[i32; 2]>,
    /// Bits of the mass in a cell.
    pub(crate) mass_bits: u32,
    /// The mean of the values; 0 for classes.
    pub(crate) mean: f64,
    /// The whole number that a difference of 1 from the mean becomes, for a mass of 1.
    pub(crate) scale: f64,
}

/// The largest power of two that is at most `value`.
fn power_of_two_below(value: f64) -> f64 {
    value.log2().floor().clamp(-1000.0, 1000.0).exp2()
}

/// Bits for the mass below a count of up to `n_rows`.
pub(crate) fn mass_bits(n_rows: usize) -> u32 {
    n_rows.leading_zeros() - 2
}

impl<'a> Target<'a> {
    /// The classes or values of the rows that count.
    pub(crate) fn new(data: &'a Dataset) -> Self {
        let weight = |row: u32| data.weight(row as usize);
        let n_rows = data.n_rows() as u32;
        let rows: Vec<u32> = (0..n_rows).filter(|&row| weight(row) > 0.0).collect();
        let mass_bits = mass_bits(rows.len());
        let draws = f64::from(MAX_DRAWS);
        let mut mass_scale = 1.0;
        if data.weights.is_some() {
            let sum: f64 = rows.iter().map(|&row| weight(row)).sum();
            let largest = rows.iter().map(|&row| weight(row)).fold(0.0, f64::max);
            let room = (1_u64 << mass_bits) as f64 - rows.len() as f64 * draws;
            let of_sum = room / (sum * draws);
            mass_scale = power_of_two_below(of_sum.min(f64::from(i32::MAX) / (largest * draws)));
        }
        let mass = |row: u32| (weight(row) * mass_scale).round();
        let (mut mean, mut scale) = (0.0, 1.0);
        let items = match data.y {
            Labels::Classes { codes, .. } => {
                rows.iter().map(|&row| [codes[row as usize] as i32, mass(row) as i32]).collect()
            }
            Labels::Values(values) => {
                let sums = rows.iter().fold((0.0, 0.0), |sums, &row| {
                    (sums.0 + weight(row) * values[row as usize], sums.1 + weight(row))
                });
                mean = sums.0 / sums.1;
                let largest = rows.iter().map(|&row| (mass(row) * (values[row as usize] - mean)).abs());
                let largest = largest.fold(f64::MIN_POSITIVE, f64::max);
                scale = power_of_two_below(f64::from(i32::MAX) / (largest * draws));
                let item = |&row: &u32| {
                    let g = (mass(row) * (values[row as usize] - mean) * scale).round();
                    [g as i32, mass(row) as i32]
                };
                rows.iter().map(item).collect()
            }
        };
        Self { data, rows, items, mass_bits, mean, scale }
    }

    /// The mass of all rows, each drawn once.
    pub(crate) fn mass(&self) -> f64 {
        self.items.iter().map(|item| f64::from(item[1])).sum()
    }
}

/// How derivatives become whole numbers: their sums, times a scale, fit into cells.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// The scale of first derivatives.
    pub(crate) g: f64,
    /// The scale of second derivatives.
    pub(crate) h: f64,
}

impl Scale {
    /// `sums`: the sums of the absolute derivatives of `n_rows` rows; `room`: the largest sums that fit into a cell;
    /// `unit_mass`: every second derivative is 1.
    pub(crate) fn new(sums: [f64; 2], room: [f64; 2], n_rows: usize, unit_mass: bool) -> Self {
        let scale = |k: usize| {
            // Rounding adds half a unit per row at most.
            let room = room[k] - n_rows as f64;
            if sums[k] > 0.0 { room / sums[k] } else { 1.0 }
        };
        Self { g: scale(0), h: if unit_mass { 1.0 } else { scale(1) } }
    }
}

/// The nearest whole number, without a call of the C library.
#[inline(always)]
pub(crate) fn nearest_whole(value: f64) -> i64 {
    (value + 0.5_f64.copysign(value)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::trees::criterion::Criterion;
    use crate::model::learn::trees::moments::{Moments, Packed};
    use crate::random::{generator, shuffle};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_order_of_rows_and_fit_however_often_rows_are_drawn(
            pairs in prop::collection::vec((-1e9..1e9_f64, 0.0..50.0_f64), 1..300), seed: u64,
        ) {
            let (values, mut weights): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            weights[0] += 1.0;
            let x = Matrix::zeros(values.len(), 1);
            let data = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&values)) };
            let target = Target::new(&data);
            let moments = Moments { mass_bits: target.mass_bits };
            let sum = |items: &[[i32; 2]], draws: i64| {
                let mut cell = [0; 2];
                let item = |[g, mass]: [i32; 2]| moments.item(i64::from(g) * draws, i64::from(mass) * draws);
                items.iter().for_each(|&parts| moments.add(&mut cell, item(parts)));
                cell
            };
            let in_order = sum(&target.items, 1);
            let mut shuffled = target.items.clone();
            shuffle(&mut shuffled, &mut generator(seed));
            prop_assert_eq!(sum(&shuffled, 1), in_order);
            let most = sum(&target.items, i64::from(MAX_DRAWS));
            prop_assert_eq!(moments.count(&most), target.rows.len() as i64);
            prop_assert_eq!(moments.mass(&most), moments.mass(&in_order) * f64::from(MAX_DRAWS));
            for (&row, &[g, mass]) in target.rows.iter().zip(&target.items) {
                let difference = values[row as usize] - target.mean;
                let found = f64::from(g) / target.scale;
                let error = 0.5 / target.scale * (1.0 + 1e-9);
                prop_assert!((found - f64::from(mass) * difference).abs() <= error);
            }
        }

        #[test]
        fn sums_of_derivatives_fit_into_packed_cells(
            derivatives in prop::collection::vec((-1e3..1e3_f64, 1e-6..1e3_f64), 1..300),
        ) {
            let packed = Packed::new(derivatives.len(), false).unwrap();
            let sums = derivatives.iter().fold([0.0; 2], |[g, h], d| [g + d.0.abs(), h + d.1]);
            let scale = Scale::new(sums, packed.room(), derivatives.len(), false);
            let mut cell = [0];
            let mut expected = 0;
            for (g, h) in &derivatives {
                let mass = nearest_whole(h * scale.h);
                expected += mass;
                packed.add(&mut cell, packed.item(nearest_whole(g * scale.g), mass));
            }
            prop_assert_eq!(packed.count(&cell), derivatives.len() as i64);
            prop_assert_eq!(packed.mass(&cell), expected as f64);
        }
    }

    #[test]
    fn whole_numbers_are_the_nearest() {
        assert_eq!([-1.6, -1.4, -0.2, 0.0, 0.6, 2.4].map(nearest_whole), [-2, -1, 0, 0, 1, 2]);
        assert_eq!([1.0, 1.5, 0.3, 8.0].map(power_of_two_below), [1.0, 1.0, 0.25, 8.0]);
    }
}
