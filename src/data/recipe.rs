//! The fitted preparation of features: one row of codes becomes the numbers a predictor sees.
//!
//! | column | becomes |
//! |---|---|
//! | number | gaps filled with the median, then standardised (mean 0, standard deviation 1) |
//! | boolean | 0 or 1, gaps filled with the more frequent value |
//! | category | one slot per level, and one for all others: rare and unseen ones |
//! | any, where the training rows had gaps | and a slot that is 1 where the value was missing |
//!
//! That is [`Encoding::Standardised`]. Trees choose their own thresholds, subsets and ways for gaps, and see
//! [`Encoding::Raw`]: one slot per feature that holds the code itself.
//!
//! Everything is fitted on the training rows only. [`Recipe::encode_into`] is the only road from codes to
//! numbers, for training, evaluation and every kind of prediction alike.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::matrix::Matrix;
use super::schema::{ColumnType, Feature, Schema};

/// A category gets slots of its own for at most this many levels, the most frequent ones; a dense row
/// should not grow with the number of customers.
pub const MAX_LEVEL_SLOTS: usize = 256;

/// Columns that a thread looks at together: those of a cache line.
const GATHERED_COLUMNS: usize = 8;

/// Rows that a thread encodes at a time.
const ENCODED_ROWS: usize = 512;

/// What a row of codes becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Numbers of one scale without gaps, for learners that add them up or measure distances.
    #[default]
    Standardised,
    /// The codes as they are: numbers, 0 or 1, level indices, -1 for an unseen level, NaN for a missing value.
    Raw,
}

/// The numbers a recipe consists of, one entry per feature, for the model file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// What a missing number or boolean is replaced by; 0 for a category.
    pub fill: Vec<f64>,
    /// What is subtracted from a number; 0 for others.
    pub mean: Vec<f64>,
    /// What a number is then divided by; 1 for others.
    pub scale: Vec<f64>,
    /// Whether the feature has a slot that is 1 where the value was missing (1) or not (0).
    pub indicator: Vec<u8>,
    /// For each level of each category in turn, its slot within the feature; the last slot is for all others.
    pub level_slot: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Number { fill: f64, mean: f64, scale: f64 },
    Boolean { fill: f64 },
    Category { slot_of_level: Vec<u32>, other: usize },
}

#[derive(Debug, Clone, PartialEq)]
struct Encoder {
    step: Step,
    first_slot: usize,
    indicator_slot: Option<usize>,
}

/// A fitted recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Empty where codes are passed on as they are.
    encoders: Vec<Encoder>,
    n_slots: usize,
}

impl Recipe {
    /// The recipe that passes codes on as they are.
    pub fn raw(schema: &Schema) -> Self {
        Self { encoders: Vec::new(), n_slots: schema.n_features() }
    }

    /// Fits on the training rows.
    ///
    /// `codes`: `n_rows × n_features` as [`Schema::codes`] makes them.
    pub fn fit(schema: &Schema, encoding: Encoding, codes: &Matrix) -> Self {
        if encoding == Encoding::Raw {
            return Self::raw(schema);
        }
        let fit_one = |feature: &Feature, column: &[f64]| match feature.column_type {
            ColumnType::Number => {
                let fill = median(column.iter().copied().filter(|v| !v.is_nan()).collect());
                let (mean, scale) = mean_and_scale(column.len(), || {
                    column.iter().map(|&v| if v.is_nan() { fill } else { v })
                });
                (fill, mean, scale)
            }
            ColumnType::Boolean => {
                let ones = column.iter().filter(|&&v| v == 1.0).count();
                let zeros = column.iter().filter(|&&v| v == 0.0).count();
                (f64::from(u8::from(ones > zeros)), 0.0, 1.0)
            }
            ColumnType::Category => (0.0, 0.0, 1.0),
        };
        let fit_group = |(group, features): (usize, &[Feature])| -> Vec<(f64, f64, f64)> {
            let mut columns = vec![vec![0.0; codes.n_rows()]; features.len()];
            for (i, row) in codes.rows().enumerate() {
                let cells = &row[group * GATHERED_COLUMNS..];
                columns.iter_mut().zip(cells).for_each(|(column, v)| column[i] = *v);
            }
            features.iter().zip(&columns).map(|(feature, column)| fit_one(feature, column)).collect()
        };
        let groups = schema.features.par_chunks(GATHERED_COLUMNS).enumerate();
        let fitted = groups.map(fit_group).collect::<Vec<_>>().concat();
        let mut parts = Parts::default();
        for (feature, (fill, mean, scale)) in schema.features.iter().zip(fitted) {
            if feature.column_type == ColumnType::Category {
                parts.level_slot.extend(level_slots(feature));
            }
            parts.fill.push(fill);
            parts.mean.push(mean);
            parts.scale.push(scale);
            parts.indicator.push(u8::from(feature.missing > 0));
        }
        Self::assemble(schema, &parts)
    }

    /// What a row becomes.
    pub fn encoding(&self) -> Encoding {
        if self.encoders.is_empty() { Encoding::Raw } else { Encoding::Standardised }
    }

    /// The standardising recipe of a model file.
    ///
    /// # Errors
    /// Parts that do not fit the schema, or numbers that are not finite.
    pub fn from_parts(schema: &Schema, parts: &Parts) -> Result<Self> {
        let n = schema.n_features();
        let n_levels: usize = schema.features.iter().map(|f| f.levels.len()).sum();
        let lengths = [parts.fill.len(), parts.mean.len(), parts.scale.len(), parts.indicator.len()];
        ensure!(
            lengths == [n; 4] && parts.level_slot.len() == n_levels,
            "the recipe does not have one entry per feature"
        );
        let numbers = parts.fill.iter().chain(&parts.mean).chain(&parts.scale);
        ensure!(
            numbers.clone().all(|v| v.is_finite()) && parts.scale.iter().all(|&s| s > 0.0),
            "the recipe holds numbers that are not finite or scales that are not positive"
        );
        ensure!(
            parts.level_slot.iter().all(|&slot| slot as usize <= MAX_LEVEL_SLOTS),
            "the recipe names a slot that does not exist"
        );
        Ok(Self::assemble(schema, parts))
    }

    fn assemble(schema: &Schema, parts: &Parts) -> Self {
        let mut level_slot = parts.level_slot.iter().copied();
        let mut n_slots = 0;
        let mut encoders = Vec::with_capacity(schema.n_features());
        for (j, feature) in schema.features.iter().enumerate() {
            let first_slot = n_slots;
            let step = match feature.column_type {
                ColumnType::Number => {
                    n_slots += 1;
                    Step::Number { fill: parts.fill[j], mean: parts.mean[j], scale: parts.scale[j] }
                }
                ColumnType::Boolean => {
                    n_slots += 1;
                    Step::Boolean { fill: parts.fill[j] }
                }
                ColumnType::Category => {
                    let other = feature.levels.len().min(MAX_LEVEL_SLOTS);
                    n_slots += other + 1;
                    let slots = level_slot.by_ref().take(feature.levels.len());
                    let slot_of_level = slots.map(|slot| slot.min(other as u32)).collect();
                    Step::Category { slot_of_level, other }
                }
            };
            let indicator_slot = (parts.indicator[j] != 0).then_some(n_slots);
            n_slots += usize::from(indicator_slot.is_some());
            encoders.push(Encoder { step, first_slot, indicator_slot });
        }
        Self { encoders, n_slots }
    }

    /// The numbers that make this recipe again together with its schema; none where codes are passed on.
    pub fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for encoder in &self.encoders {
            let (fill, mean, scale) = match &encoder.step {
                Step::Number { fill, mean, scale } => (*fill, *mean, *scale),
                Step::Boolean { fill } => (*fill, 0.0, 1.0),
                Step::Category { slot_of_level, .. } => {
                    parts.level_slot.extend(slot_of_level);
                    (0.0, 0.0, 1.0)
                }
            };
            parts.fill.push(fill);
            parts.mean.push(mean);
            parts.scale.push(scale);
            parts.indicator.push(u8::from(encoder.indicator_slot.is_some()));
        }
        parts
    }

    /// How many numbers a row becomes.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// For each slot, the feature it belongs to and what it stands for: `""` for the value itself, a level,
    /// `"(other)"` or `"(missing)"`.
    pub fn slot_names<'a>(&self, schema: &'a Schema) -> Vec<(usize, &'a str)> {
        if self.encoding() == Encoding::Raw {
            return (0..self.n_slots).map(|j| (j, "")).collect();
        }
        let mut names = Vec::with_capacity(self.n_slots);
        for (j, encoder) in self.encoders.iter().enumerate() {
            if let Step::Category { slot_of_level, other } = &encoder.step {
                let first = names.len();
                names.resize(first + other + 1, (j, "(other)"));
                for (level, &slot) in schema.features[j].levels.iter().zip(slot_of_level) {
                    if (slot as usize) < *other {
                        names[first + slot as usize] = (j, level.as_str());
                    }
                }
            } else {
                names.push((j, ""));
            }
            if encoder.indicator_slot.is_some() {
                names.push((j, "(missing)"));
            }
        }
        names
    }

    /// Encodes one row of `n_features` codes into `out` of [`Recipe::n_slots`] numbers, all finite unless
    /// codes are passed on.
    pub fn encode_into(&self, row: &[f64], out: &mut [f64]) {
        if self.encoders.is_empty() {
            out.copy_from_slice(row);
            return;
        }
        out.fill(0.0);
        for (encoder, &code) in self.encoders.iter().zip(row) {
            let first = encoder.first_slot;
            let missing = code.is_nan();
            match &encoder.step {
                Step::Number { fill, mean, scale } => {
                    out[first] = (if missing { *fill } else { code } - mean) / scale;
                }
                Step::Boolean { fill } => out[first] = if missing { *fill } else { code },
                Step::Category { .. } if missing => {}
                Step::Category { slot_of_level, other } => {
                    // UNSEEN is negative and lies past every level when cast.
                    let slot = slot_of_level.get(code as i64 as usize).map_or(*other, |&s| s as usize);
                    out[first + slot] = 1.0;
                }
            }
            if let (true, Some(slot)) = (missing, encoder.indicator_slot) {
                out[slot] = 1.0;
            }
        }
    }

    /// Encodes a block of rows: `n_rows × n_features` codes to `n_rows × n_slots` numbers in `buffer`, or the
    /// codes themselves where they are passed on.
    pub fn encode_block<'a>(&self, codes: &'a [f64], buffer: &'a mut Vec<f64>) -> &'a [f64] {
        if self.encoders.is_empty() {
            return codes;
        }
        let n_features = self.encoders.len();
        buffer.resize(codes.len() / n_features * self.n_slots, 0.0);
        let rows = codes.chunks_exact(n_features).zip(buffer.chunks_exact_mut(self.n_slots));
        rows.for_each(|(row, out)| self.encode_into(row, out));
        buffer
    }

    /// Encodes many rows: `n_rows × n_features` codes to `n_rows × n_slots` numbers; not copied where they
    /// are passed on.
    pub fn encode<'a>(&self, codes: &'a Matrix) -> Cow<'a, Matrix> {
        if self.encoding() == Encoding::Raw {
            return Cow::Borrowed(codes);
        }
        let mut out = Matrix::zeros(codes.n_rows(), self.n_slots);
        let blocks = codes.values().par_chunks(ENCODED_ROWS * codes.n_cols().max(1));
        blocks.zip(out.values_mut().par_chunks_mut(ENCODED_ROWS * self.n_slots.max(1))).for_each(
            |(block, out)| {
                let rows = block.chunks_exact(codes.n_cols()).zip(out.chunks_exact_mut(self.n_slots));
                rows.for_each(|(row, out)| self.encode_into(row, out));
            },
        );
        Cow::Owned(out)
    }

    /// As [`Recipe::encode`], in the memory of the codes where a row stays as long as it is.
    pub fn encode_owned(&self, mut codes: Matrix) -> Matrix {
        if self.encoding() == Encoding::Raw {
            return codes;
        }
        if self.n_slots != codes.n_cols() {
            return self.encode(&codes).into_owned();
        }
        let width = self.n_slots.max(1);
        codes.values_mut().par_chunks_mut(ENCODED_ROWS * width).for_each(|block| {
            let mut row = vec![0.0; width];
            for out in block.chunks_exact_mut(width) {
                row.copy_from_slice(out);
                self.encode_into(&row, out);
            }
        });
        codes
    }
}

/// The slot of each level: its rank by frequency (ties by name) among the first [`MAX_LEVEL_SLOTS`], kept in
/// the order of the names; the slot behind the last for the rest.
fn level_slots(feature: &Feature) -> Vec<u32> {
    let n = feature.levels.len();
    let mut by_count: Vec<usize> = (0..n).collect();
    by_count.sort_by_key(|&i| (std::cmp::Reverse(feature.counts[i]), i));
    let mut kept = vec![false; n];
    by_count.iter().take(MAX_LEVEL_SLOTS).for_each(|&i| kept[i] = true);
    let mut next = 0..;
    kept.iter()
        .map(|&kept| if kept { next.next().unwrap_or(0) } else { n.min(MAX_LEVEL_SLOTS) as u32 })
        .collect()
}

/// The median; the mean of the two middle values of an even number; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    // Halved first: the sum of two large values may overflow.
    lower / 2.0 + upper / 2.0
}

/// Mean and population standard deviation in two passes with the rounding of the mean corrected (Chan,
/// Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 1.7). The scale of a column
/// that is constant up to rounding is 1, by scikit-learn's bound (`_is_constant_feature`).
fn mean_and_scale<I: Iterator<Item = f64>>(n_rows: usize, column: impl Fn() -> I) -> (f64, f64) {
    let n = n_rows.max(1) as f64;
    let mean = column().map(|v| v / n).sum::<f64>();
    let (mut squares, mut rest) = (0.0, 0.0);
    for value in column() {
        squares += (value - mean) * (value - mean);
        rest += value - mean;
    }
    let variance = ((squares - rest * rest / n) / n).max(0.0);
    let bound = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
    let scale = variance.sqrt();
    if variance <= bound || !scale.is_finite() { (mean, 1.0) } else { (mean, scale) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::{Target, Task, UNSEEN};
    use crate::data::table::{Column, MISSING_LEVEL, Table};

    const GAP: f64 = f64::NAN;

    fn fitted() -> (Schema, Recipe) {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "sold", "color"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 3.0, GAP, 8.0]),
                Column::Number(vec![1.0, 1.0, 0.0, GAP]),
                Column::Category {
                    codes: vec![0, 1, 1, MISSING_LEVEL],
                    levels: vec!["blue".into(), "red".into()],
                },
            ],
            lines: vec![2, 3, 4, 5].into(),
        };
        let target =
            Target { name: "y".into(), task: Task::Regression, labels: vec![], numeric_labels: false };
        let features = [(0, ColumnType::Number), (1, ColumnType::Boolean), (2, ColumnType::Category)];
        let rows = [0, 1, 2, 3];
        let schema = Schema::fit(&table, &features, target, vec![], &rows);
        let recipe = Recipe::fit(&schema, Encoding::default(), &schema.codes(&table, &rows).unwrap());
        (schema, recipe)
    }

    #[test]
    fn gaps_are_filled_and_marked_and_categories_get_slots() {
        let (schema, recipe) = fitted();
        let mut out = vec![9.0; recipe.n_slots()];
        // size and its gap, sold and its gap, blue, red, others, color's gap.
        assert_eq!(recipe.n_slots(), 8);
        recipe.encode_into(&[3.0, 0.0, 1.0], &mut out);
        assert_eq!(out[1..], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let standardised_median = out[0];
        recipe.encode_into(&[GAP, GAP, GAP], &mut out);
        assert_eq!(out, [standardised_median, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        recipe.encode_into(&[3.0, 0.0, UNSEEN], &mut out);
        assert_eq!(out[4..], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(recipe.slot_names(&schema)[5..7], [(2, "red"), (2, "(other)")]);
    }

    #[test]
    fn raw_codes_are_passed_on_as_they_are() {
        let (schema, _) = fitted();
        let recipe = Recipe::fit(&schema, Encoding::Raw, &Matrix::zeros(4, 3));
        assert_eq!((recipe.encoding(), recipe.n_slots()), (Encoding::Raw, 3));
        let mut out = [9.0; 3];
        recipe.encode_into(&[3.5, GAP, UNSEEN], &mut out);
        assert!(out[0] == 3.5 && out[1].is_nan() && out[2] == UNSEEN);
        assert_eq!(recipe.slot_names(&schema), [(0, ""), (1, ""), (2, "")]);
    }

    #[test]
    fn parts_make_the_same_recipe_again_and_nonsense_is_refused() {
        let (schema, recipe) = fitted();
        let parts = recipe.parts();
        assert_eq!(Recipe::from_parts(&schema, &parts).unwrap(), recipe);
        let mut broken = parts.clone();
        broken.scale[0] = 0.0;
        assert!(Recipe::from_parts(&schema, &broken).is_err());
        let mut broken = parts.clone();
        broken.fill[0] = f64::INFINITY;
        assert!(Recipe::from_parts(&schema, &broken).is_err());
        let mut broken = parts;
        broken.level_slot.push(0);
        assert!(Recipe::from_parts(&schema, &broken).is_err());
    }

    #[test]
    fn the_variance_of_large_numbers_is_not_lost() {
        let column = || [1e9 - 0.5, 1e9 + 0.5].into_iter();
        assert_eq!(mean_and_scale(2, column), (1e9, 0.5));
        let (mean, scale) = mean_and_scale(100, || std::iter::repeat_n(0.1, 100));
        assert_eq!(scale, 1.0, "a constant column is not blown up by rounding");
        assert!((mean - 0.1).abs() < 1e-15);
    }

    #[test]
    fn only_the_most_frequent_levels_get_slots_of_their_own() {
        let n = MAX_LEVEL_SLOTS + 3;
        let mut feature = fitted().0.features[2].clone();
        feature.levels = (0..n).map(|i| format!("{i:04}")).collect();
        feature.counts = vec![2; n];
        feature.counts[1] = 1;
        let slots = level_slots(&feature);
        assert_eq!(slots[0], 0);
        assert_eq!(slots[1] as usize, MAX_LEVEL_SLOTS, "a rare level shares the last slot");
        assert_eq!(slots[2], 1);
        assert_eq!(slots[n - 1] as usize, MAX_LEVEL_SLOTS);
    }
}
