//! Fits a recipe on the training rows.

use rayon::prelude::*;

use super::dates::{DateParts, date_pairs};
use super::scaling::{mean_and_scale, median};
use super::{Encoding, Parts, Recipe, Scale};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::pair;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::Truth;
use crate::data::prepare::categories::{Known, MAX_LEVEL_SLOTS, TargetMeans, level_slots};
use crate::data::prepare::vocabulary::Vocabulary;

/// Columns that a thread gathers together: those of a cache line.
const GATHERED_COLUMNS: usize = 8;

/// The form of texts.
#[derive(Debug, Clone, Copy)]
pub enum TextForm<'a> {
    /// Sparse columns, one per known term.
    Sparse,
    /// Ordinary slots, one for each of the terms that tell most about this, which the training rows hold.
    Dense(&'a Truth),
}

/// Replacements for some slots of the training rows: means of the target that exclude the row's own target.
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

    /// As [`Recipe::fit`], with texts in `form` and, if the target is `known`, means of the target for categories of many
    /// levels and, if codes are passed on, days between dates; and the replacements of those means in the training rows.
    pub fn fit_to(
        schema: &Schema,
        encoding: Encoding,
        codes: &Matrix,
        form: TextForm,
        known: Option<&Known>,
    ) -> (Self, OutOfFold) {
        let mut recipe = Self::fit_texts(schema, encoding, codes, form);
        if let (Some(_), Encoding::Raw) = (known, encoding) {
            let date_pairs = date_pairs(schema, codes);
            if !date_pairs.is_empty() {
                recipe = Self::assemble(schema, encoding, &Parts { date_pairs, ..recipe.parts() });
            }
        }
        let Some(known) = known.filter(|known| known.has_means()) else {
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

    /// As [`Recipe::fit`], with texts in `form`.
    fn fit_texts(schema: &Schema, encoding: Encoding, codes: &Matrix, form: TextForm) -> Self {
        let telling = match form {
            TextForm::Sparse => None,
            TextForm::Dense(truth) => Some(truth),
        };
        let weighted = encoding == Encoding::Standardised;
        // A list has a member or not, however many lists have it.
        let is_list = |feature: usize| schema.features[feature].takes_arrays();
        let vocabulary = |feature| Vocabulary::fit(codes, feature, weighted && !is_list(feature), telling);
        let vocabularies: Vec<Vocabulary> = schema.vocabularies().map(vocabulary).collect();
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
        parts.pairs = schema.pairs().map(|feature| scales(codes, feature)).collect();
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

/// How both numbers of the pairs of a feature are filled and standardised.
fn scales(codes: &Matrix, feature: usize) -> [Scale; 2] {
    let pairs: Vec<Option<[f64; 2]>> =
        codes.rows().map(|row| pair::numbers(codes.texts().get(row[feature]))).collect();
    [0, 1].map(|i| {
        let fill = median(pairs.iter().flatten().map(|numbers| numbers[i]).collect());
        let filled = || pairs.iter().map(|numbers| numbers.map_or(fill, |numbers| numbers[i]));
        let (mean, scale) = mean_and_scale(pairs.len(), filled);
        Scale { fill, mean, scale }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;
    use crate::data::prepare::recipe::Slot;

    const MISSING: f64 = f64::NAN;

    fn schema_and_codes(columns: Vec<(ColumnType, Column)>, n_rows: usize) -> (Schema, Matrix) {
        let features: Vec<(usize, ColumnType)> = columns.iter().map(|column| column.0).enumerate().collect();
        let table = Table {
            source: "t.csv".into(),
            names: (0..columns.len()).map(|column| format!("c{column}")).collect(),
            columns: columns.into_iter().map(|(_, column)| column).collect(),
            lines: vec![2; n_rows].into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let rows: Vec<usize> = (0..n_rows).collect();
        let schema = Schema::fit(&table, &features, target, vec![], &rows);
        let codes = schema.codes(&table, &rows).unwrap();
        (schema, codes)
    }

    #[test]
    fn a_column_has_mean_0_and_deviation_1_with_missing_values_filled_by_the_median() {
        // More columns than a thread gathers together, so that none is taken for another.
        let n_columns = 2 * GATHERED_COLUMNS + 3;
        let value =
            |row: usize, column: usize| (row * row * (column + 1) % 23) as f64 + 100.0 * column as f64;
        let column = |column: usize| {
            let values = (0..41).map(|row| if row % 10 == column % 7 { MISSING } else { value(row, column) });
            (ColumnType::Number, Column::Number(values.collect()))
        };
        let (schema, codes) = schema_and_codes((0..n_columns).map(column).collect(), 41);
        let parts = Recipe::fit(&schema, Encoding::Standardised, &codes).parts();
        for column in 0..n_columns {
            let mut present: Vec<f64> = codes.rows().map(|row| row[column]).filter(|v| !v.is_nan()).collect();
            present.sort_by(f64::total_cmp);
            let n = present.len();
            let median = (present[(n - 1) / 2] + present[n / 2]) / 2.0;
            assert_eq!(parts.fill[column], median);
            let filled = || codes.rows().map(|row| if row[column].is_nan() { median } else { row[column] });
            let mean = filled().sum::<f64>() / 41.0;
            let variance = filled().map(|v| (v - mean).powi(2)).sum::<f64>() / 41.0;
            assert!((parts.mean[column] - mean).abs() < 1e-10, "{column}");
            assert!((parts.scale[column] - variance.sqrt()).abs() < 1e-10, "{column}");
            assert_eq!(parts.indicator[column], 1);
        }
    }

    #[test]
    fn a_missing_value_becomes_the_median_and_its_mark_only_if_a_training_row_misses_one() {
        let number = |values: &[f64]| (ColumnType::Number, Column::Number(values.to_vec()));
        let columns = vec![number(&[1.0, MISSING, 2.0, 9.0]), number(&[4.0, 4.0, 4.0, 8.0])];
        let (schema, codes) = schema_and_codes(columns, 4);
        let recipe = Recipe::fit(&schema, Encoding::Standardised, &codes);
        // The first column, its mark, the second column.
        assert_eq!(recipe.n_slots(), 3);
        let (mut buffer, mut other) = (Vec::new(), Vec::new());
        let texts = Default::default();
        let (missing, _) = recipe.encode_block(&[MISSING, MISSING], &texts, &mut buffer);
        let (median, _) = recipe.encode_block(&[2.0, 4.0], &texts, &mut other);
        assert_eq!((missing[0], missing[2]), (median[0], median[2]));
        assert_eq!((missing[1], median[1]), (1.0, 0.0));
    }

    #[test]
    fn a_boolean_is_filled_with_the_more_frequent_value_and_not_scaled() {
        for (values, fill) in [
            ([1.0, 1.0, 0.0, MISSING], 1.0),
            ([0.0, 1.0, 0.0, MISSING], 0.0),
            ([0.0, 1.0, MISSING, MISSING], 0.0),
        ] {
            let column = (ColumnType::Boolean, Column::Number(values.to_vec()));
            let (schema, codes) = schema_and_codes(vec![column], 4);
            let parts = Recipe::fit(&schema, Encoding::Standardised, &codes).parts();
            assert_eq!((parts.fill[0], parts.mean[0], parts.scale[0]), (fill, 0.0, 1.0), "{values:?}");
        }
    }

    /// A category of more levels than have slots, four rows of each, and a value per row.
    fn many_levels() -> (Schema, Matrix, Vec<f64>) {
        let n_levels = MAX_LEVEL_SLOTS + 44;
        let n_rows = 4 * n_levels;
        let level = |row: usize| (row % n_levels) as u32;
        let column = Column::Category {
            codes: (0..n_rows).map(level).collect(),
            levels: (0..n_levels).map(|level| format!("{level:04}")).collect(),
        };
        let values = (0..n_rows).map(|row| f64::from(level(row) % 17) + (row % 3) as f64).collect();
        let (schema, codes) = schema_and_codes(vec![(ColumnType::Category, column)], n_rows);
        (schema, codes, values)
    }

    fn out_of_fold(schema: &Schema, encoding: Encoding, codes: &Matrix, values: &[f64]) -> (Matrix, Recipe) {
        let truth = Truth::Values(values.to_vec());
        let known = Known { truth: &truth, weights: None, groups: None, seed: 3 };
        let (recipe, out_of_fold) =
            Recipe::fit_to(schema, encoding, codes, TextForm::Dense(&truth), Some(&known));
        let mut x = recipe.encode(codes).into_owned();
        let before = x.clone();
        out_of_fold.write_into(&mut x);
        let means: Vec<bool> = recipe.slots().iter().map(|(_, slot)| *slot == Slot::TargetMean).collect();
        assert_eq!(means.iter().filter(|is_mean| **is_mean).count(), 1);
        for (after, before) in x.rows().zip(before.rows()) {
            let others = after.iter().zip(before).zip(&means).filter(|(_, is_mean)| !**is_mean);
            assert!(others.into_iter().all(|((a, b), _)| a == b), "no other slot is replaced");
        }
        let slot = means.iter().position(|is_mean| *is_mean).unwrap();
        let mut column = Matrix::zeros(x.n_rows(), 1);
        for row in 0..x.n_rows() {
            column.row_mut(row)[0] = x.row(row)[slot];
        }
        (column, recipe)
    }

    #[test]
    fn a_training_row_is_not_told_by_its_own_target() {
        let (schema, codes, mut values) = many_levels();
        let (before, _) = out_of_fold(&schema, Encoding::Raw, &codes, &values);
        values[5] += 1e6;
        let (after, _) = out_of_fold(&schema, Encoding::Raw, &codes, &values);
        assert_eq!(before.row(5), after.row(5));
        let n_levels = schema.features[0].levels.len();
        assert!(
            [1, 2, 3].iter().any(|i| before.row(5 + i * n_levels) != after.row(5 + i * n_levels)),
            "but its level is"
        );
    }

    #[test]
    fn standardised_means_of_the_target_have_mean_0_and_deviation_1_in_the_training_rows() {
        let (schema, codes, values) = many_levels();
        let (column, recipe) = out_of_fold(&schema, Encoding::Standardised, &codes, &values);
        assert!(recipe.has_target_means());
        let n = column.n_rows() as f64;
        let mean = column.values().iter().sum::<f64>() / n;
        let variance = column.values().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-10 && (variance - 1.0).abs() < 1e-10, "{mean} {variance}");
    }

    #[test]
    fn without_a_known_target_or_many_levels_or_with_many_classes_there_are_no_means() {
        let (schema, codes, values) = many_levels();
        let truth = Truth::Values(values);
        let form = TextForm::Dense(&truth);
        assert!(!Recipe::fit_to(&schema, Encoding::Raw, &codes, form, None).0.has_target_means());
        let labels = (0..201).map(|class| class.to_string()).collect();
        let many =
            Truth::Classes { codes: (0..codes.n_rows() as u32).map(|row| row % 201).collect(), labels };
        let known = Known { truth: &many, weights: None, groups: None, seed: 3 };
        let form = TextForm::Dense(&many);
        assert!(!Recipe::fit_to(&schema, Encoding::Raw, &codes, form, Some(&known)).0.has_target_means());
        let few = Column::Category { codes: vec![0, 1, 1], levels: vec!["a".into(), "b".into()] };
        let (schema, codes) = schema_and_codes(vec![(ColumnType::Category, few)], 3);
        let truth = Truth::Values(vec![1.0, 2.0, 3.0]);
        let known = Known { truth: &truth, weights: None, groups: None, seed: 3 };
        let form = TextForm::Dense(&truth);
        assert!(!Recipe::fit_to(&schema, Encoding::Raw, &codes, form, Some(&known)).0.has_target_means());
    }

    /// Four dates and a number: a journey begins 1 to 5 days after it is booked and takes 2, the trip back is long after,
    /// and the last date is always a week after the first.
    fn journeys() -> (Schema, Matrix) {
        let days = |of: &dyn Fn(i32) -> f64| {
            (ColumnType::Date, Column::Number((0..20).map(|row| of(row) * 86_400.0).collect()))
        };
        let booked = |row: i32| f64::from(row * 37 % 101);
        let begins = |row: i32| booked(row) + 1.0 + f64::from(row % 5);
        let columns = vec![
            days(&booked),
            (ColumnType::Number, Column::Number((0..20).map(f64::from).collect())),
            days(&|row| if row == 3 { MISSING } else { begins(row) }),
            days(&|row| f64::from(row * row)),
            days(&|row| booked(row) + 7.0),
        ];
        schema_and_codes(columns, 20)
    }

    #[test]
    fn trees_see_the_days_between_the_dates_whose_difference_varies_least() {
        let (schema, codes) = journeys();
        let truth = Truth::Values(vec![0.0; 20]);
        let known = Known { truth: &truth, weights: None, groups: None, seed: 3 };
        let fit = |encoding, known| Recipe::fit_to(&schema, encoding, &codes, TextForm::Sparse, known).0;
        let recipe = fit(Encoding::Raw, Some(&known));
        // Always a week says nothing; both differences from the third date vary as much as each other.
        let mut nearest = recipe.date_pairs()[..2].to_vec();
        nearest.sort_unstable();
        assert_eq!((recipe.date_pairs().len(), nearest), (3, vec![[0, 2], [2, 4]]));
        let slots = recipe.slots();
        let slot = |from, to| slots.iter().position(|slot| *slot == (from, Slot::DaysTo(to))).unwrap();
        let x = recipe.encode(&codes);
        assert_eq!((x.row(7)[slot(0, 2)], x.row(7)[slot(2, 4)]), (3.0, 4.0));
        assert!(x.row(3)[slot(0, 2)].is_nan(), "one of them is missing");
        assert!(fit(Encoding::Raw, None).date_pairs().is_empty());
        assert!(fit(Encoding::Standardised, Some(&known)).date_pairs().is_empty());
    }

    #[test]
    fn days_between_anything_but_two_dates_are_refused() {
        let (schema, codes) = journeys();
        let parts = |encoding| Recipe::fit(&schema, encoding, &codes).parts();
        let of = |encoding, date_pairs: &[[usize; 2]]| {
            let parts = Parts { date_pairs: date_pairs.to_vec(), ..parts(encoding) };
            let recipe = Recipe::from_parts(&schema, encoding, &parts)?;
            assert_eq!(recipe.parts(), parts);
            anyhow::Ok(())
        };
        assert!(of(Encoding::Raw, &[[0, 2], [4, 0]]).is_ok());
        for bad in [vec![[0, 1]], vec![[2, 2]], vec![[0, 9]], vec![[0, 2]; 4]] {
            assert!(of(Encoding::Raw, &bad).is_err(), "{bad:?}");
        }
        assert!(of(Encoding::Standardised, &[]).is_ok());
        assert!(of(Encoding::Standardised, &[[0, 2]]).is_err());
    }
}
