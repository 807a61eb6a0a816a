//! Fits a recipe on the training rows.

use rayon::prelude::*;

use super::dates::DateParts;
use super::scaling::{mean_and_scale, median};
use super::{Encoding, Parts, Recipe};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::Truth;
use crate::data::prepare::categories::{Known, MAX_LEVEL_SLOTS, TargetMeans, level_slots};
use crate::data::prepare::vocabulary::Vocabulary;

/// Columns that a thread looks at together: those of a cache line.
const GATHERED_COLUMNS: usize = 8;

/// What texts become.
#[derive(Debug, Clone, Copy)]
pub enum TextForm<'a> {
    /// Sparse columns, one per known term.
    Sparse,
    /// Ordinary slots, one for each of the terms that tell most about this, which the training rows hold.
    Dense(&'a Truth),
}

/// What takes the place of some slots of the training rows: means of the target that no row's own target went into.
#[derive(Debug, Default)]
pub struct OutOfFold {
    /// The first slot, how many there are, and `n_rows` times as many numbers.
    blocks: Vec<(usize, usize, Vec<f64>)>,
}

impl OutOfFold {
    /// Writes the slots of the encoded training rows.
    pub fn write_into(&self, x: &mut Matrix) {
        for (first, n, values) in &self.blocks {
            for (i, values) in values.chunks_exact(*n).enumerate() {
                x.row_mut(i)[*first..first + n].copy_from_slice(values);
            }
        }
    }
}

impl Recipe {
    /// Fits on the training rows, with texts as sparse columns.
    ///
    /// `codes`: `n_rows × n_features` as [`Schema::codes`] makes them.
    pub fn fit(schema: &Schema, encoding: Encoding, codes: &Matrix) -> Self {
        Self::fit_texts(schema, encoding, codes, TextForm::Sparse)
    }

    /// As [`Recipe::fit`], with texts as `form` says and, if `known` has what the rows are to be told by, means of the
    /// target for categories of many levels; and what takes the place of these in the training rows.
    pub fn fit_to(
        schema: &Schema,
        encoding: Encoding,
        codes: &Matrix,
        form: TextForm,
        known: Option<&Known>,
    ) -> (Self, OutOfFold) {
        let recipe = Self::fit_texts(schema, encoding, codes, form);
        let Some(known) = known else {
            return (recipe, OutOfFold::default());
        };
        let many = |feature: &Feature| feature.levels.len() > MAX_LEVEL_SLOTS;
        let features: Vec<usize> = (0..schema.n_features()).filter(|&j| many(&schema.features[j])).collect();
        if features.is_empty() {
            return (recipe, OutOfFold::default());
        }
        let fit = |&feature: &usize| {
            let column: Vec<f64> = codes.rows().map(|row| row[feature]).collect();
            let n_levels = schema.features[feature].levels.len();
            let mut means = TargetMeans::fit(&column, n_levels, known);
            let mut of_rows = TargetMeans::cross_fit(&column, n_levels, known);
            let n = means.n_outputs();
            for output in (0..n).filter(|_| encoding == Encoding::Standardised) {
                let values = || of_rows.iter().copied().skip(output).step_by(n);
                let (mean, scale) = mean_and_scale(column.len(), values);
                means.map(output, |value| (value - mean) / scale);
                let of_output = of_rows.iter_mut().skip(output).step_by(n);
                of_output.for_each(|value| *value = (*value - mean) / scale);
            }
            (means, of_rows)
        };
        let (target_means, of_rows): (Vec<TargetMeans>, Vec<Vec<f64>>) = features.par_iter().map(fit).unzip();
        let recipe = Self::assemble(schema, encoding, &Parts { target_means, ..recipe.parts() });
        let encoded = recipe.encoders.iter().filter_map(|encoder| encoder.target_means.as_ref());
        let blocks = encoded.zip(of_rows).map(|((means, first), values)| (*first, means.n_outputs(), values));
        let blocks = blocks.collect();
        (recipe, OutOfFold { blocks })
    }

    /// As [`Recipe::fit`], with texts as `form` says.
    fn fit_texts(schema: &Schema, encoding: Encoding, codes: &Matrix, form: TextForm) -> Self {
        let telling = match form {
            TextForm::Sparse => None,
            TextForm::Dense(truth) => Some(truth),
        };
        let weighted = encoding == Encoding::Standardised;
        let vocabulary = |feature| Vocabulary::fit(codes, feature, weighted, telling);
        let vocabularies: Vec<Vocabulary> = schema.texts().map(vocabulary).collect();
        let dense_texts = telling.is_some() && !vocabularies.is_empty();
        let column = |feature: usize| -> Vec<f64> { codes.rows().map(|row| row[feature]).collect() };
        if encoding == Encoding::Raw {
            let dates = schema.dates().map(|feature| DateParts::fit(&column(feature), 0.0, false)).collect();
            let parts = Parts { vocabularies, dense_texts, dates, ..Parts::default() };
            return Self::assemble(schema, encoding, &parts);
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
            ColumnType::Date => (median(column.iter().copied().filter(|v| !v.is_nan()).collect()), 0.0, 1.0),
            ColumnType::Category | ColumnType::Text => (0.0, 0.0, 1.0),
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
        let mut parts = Parts { vocabularies, dense_texts, ..Parts::default() };
        for feature in schema.dates() {
            parts.dates.push(DateParts::fit(&column(feature), fitted[feature].0, true));
        }
        for (feature, (fill, mean, scale)) in schema.features.iter().zip(fitted) {
            if feature.column_type == ColumnType::Category {
                parts.level_slot.extend(level_slots(feature));
            }
            parts.fill.push(fill);
            parts.mean.push(mean);
            parts.scale.push(scale);
            parts.indicator.push(u8::from(feature.missing > 0));
        }
        Self::assemble(schema, encoding, &parts)
    }
}
