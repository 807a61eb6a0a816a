//! Naive Bayes: each column has a distribution in each class that fits its type, independent of the other
//! columns.
//!
//! A number is normal within each class (scikit-learn's `GaussianNB`), a category or boolean has smoothed
//! frequencies (`CategoricalNB`), the words of texts have a smoothed multinomial distribution of their counts
//! (`MultinomialNB`), as have numbers with `numbers=counts`. A missing value is skipped, in training and in
//! prediction.
//!
//! smartcore's `GaussianNB` (0.7) has no variance smoothing, no weights and no probabilities.

use anyhow::{Result, anyhow, ensure};
use rayon::prelude::*;

use crate::data::cells::cell::{ColumnType, Task};
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::dataset::{Dataset, Fit, Labels, Unusable, sum_by_blocks};
use crate::model::learn::hyperparameter::{Parameter, Range, Word};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::naive_bayes::{self as inference, Parts};

/// Naive Bayes of numbers and categories.
pub(crate) static NAIVE_BAYES: Algorithm = Algorithm {
    name: "naive-bayes",
    alias: Some("bayes"),
    tasks: &[Task::Classification],
    encoding: Encoding::Raw,
    summary: "Each column by its distribution in each class: normal for numbers, frequencies for categories and words",
    idea: "Each column has a distribution in each class: normal for numbers, smoothed frequencies for \
           categories, booleans and words. The columns are taken to be independent within a class, so \
           that their probabilities are multiplied. A missing value is skipped, in training and in \
           prediction.",
    source: "Maron 1961, \"Automatic indexing\"; Chan, Golub and LeVeque 1983, \"Algorithms for computing \
           the sample variance\"",
    smartcore: "None. Its `GaussianNB` (0.7) has no variance smoothing, weights or probabilities, and its \
           time grows with the square of the rows.",
    parameters: &[
        Parameter {
            name: "var_smoothing",
            default: "1e-9",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "share of the largest variance of a number that is added to all variances (with row weights \
                     their weighted variance; scikit-learn: without)",
        },
        Parameter {
            name: "alpha",
            default: "1.0",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "added to the count of each level of a category and of each word of a text",
        },
        Parameter {
            name: "numbers",
            default: "normal",
            range: Range::Choice(Numbers::WORDS),
            effect: "normal: each number is normal within a class (GaussianNB); counts: all of them together are \
                     multinomial (MultinomialNB), for counts of words or events",
        },
    ],
    learner: |settings| {
        Box::new(NaiveBayes {
            var_smoothing: settings.number("var_smoothing"),
            alpha: settings.number("alpha"),
            numbers: settings.choice("numbers"),
        })
    },
};

/// The distribution of numbers within a class.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Each of its own, normal.
    Normal,
    /// All of them together multinomial.
    Counts,
}

impl Word for Numbers {
    const WORDS: &'static [&'static str] = &["normal", "counts"];
    const ALL: &'static [Self] = &[Self::Normal, Self::Counts];
}

/// Parameters of naive Bayes.
struct NaiveBayes {
    var_smoothing: f64,
    alpha: f64,
    numbers: Numbers,
}

/// Fewest rows that are summed up together.
const BLOCK_ROWS: usize = 2048;

impl Learner for NaiveBayes {
    fn fit(&self, data: &Dataset, _: &dyn Watch) -> Result<Fit> {
        let Labels::Classes { codes, n_classes } = data.y else {
            return Err(anyhow!("naive Bayes predicts classes"));
        };
        let rows = Rows { data, codes, n_classes, has_missing: data.x.values().iter().any(|v| v.is_nan()) };
        let levels: Vec<u32> = (0..data.x.n_cols()).map(|column| n_levels(data, column)).collect();
        let class_weights = rows.class_weights();
        let total: f64 = class_weights.iter().sum();
        let (means, variances) = self.numbers(&rows, &class_weights, &levels)?;
        let rates = if self.numbers == Numbers::Counts { self.rates(&rows, &levels)? } else { Vec::new() };
        let parts = Parts {
            priors: class_weights.iter().map(|weight| weight / total).collect(),
            means,
            variances,
            frequencies: self.frequencies(&rows, &levels),
            rates,
            terms: self.terms(&rows),
            levels,
        };
        Ok(Fit {
            predictor: Predictor::NaiveBayes(Box::new(inference::NaiveBayes::new(parts)?)),
            notes: Vec::new(),
        })
    }

    fn reads_sparse(&self) -> bool {
        true
    }

    /// Naive Bayes counts the classes within each level itself; a mean of the target would count them twice.
    fn reads_target_means(&self) -> bool {
        false
    }
}

/// Levels of a category or boolean; 0 for a number.
fn n_levels(data: &Dataset, column: usize) -> u32 {
    match data.types.get(column) {
        Some(ColumnType::Boolean) => 2,
        _ => data.levels.get(column).map_or(0, |&levels| levels as u32),
    }
}

impl NaiveBayes {
    /// Means and smoothed variances, `n_numbers × n_classes` each. A number that has no value in a class
    /// takes its mean and variance over all classes.
    fn numbers(&self, rows: &Rows, class_weights: &[f64], levels: &[u32]) -> Result<(Vec<f64>, Vec<f64>)> {
        let (n_cols, n_classes) = (levels.len(), rows.n_classes);
        let counts = rows.counts(class_weights);
        let mut mean = rows.sums(&vec![0.0; n_classes * n_cols], |away| away);
        mean.iter_mut().zip(&counts).for_each(|(mean, &n)| *mean = if n > 0.0 { *mean / n } else { 0.0 });
        // The second pass corrects the rounding of the mean (Chan, Golub and LeVeque 1983, "Algorithms for
        // computing the sample variance", eq. 1.7).
        let squares = rows.sums(&mean, |away| away * away);
        let rest = rows.sums(&mean, |away| away);
        let variance = |at: usize| {
            let (n, rest) = (counts[at], rest[at]);
            if n > 0.0 { ((squares[at] - rest * rest / n) / n).max(0.0) } else { 0.0 }
        };
        let (mut means, mut variances, mut largest) = (Vec::new(), Vec::new(), 0.0_f64);
        for column in (0..n_cols).filter(|&column| levels[column] == 0) {
            let cells = || (0..n_classes).map(|class| class * n_cols + column);
            let n: f64 = cells().map(|at| counts[at]).sum();
            let (mut pooled_mean, mut pooled_variance) = (0.0, 0.0);
            if n > 0.0 {
                pooled_mean = cells().map(|at| counts[at] / n * mean[at]).sum();
                let spread = |at: usize| variance(at) + (mean[at] - pooled_mean) * (mean[at] - pooled_mean);
                pooled_variance = cells().map(|at| counts[at] / n * spread(at)).sum();
            }
            if !(pooled_mean.is_finite() && pooled_variance.is_finite()) {
                return Err(Unusable::largest(rows.data.x, column).into());
            }
            largest = largest.max(pooled_variance);
            for at in cells() {
                let is_seen = counts[at] > 0.0;
                means.push(if is_seen { mean[at] } else { pooled_mean });
                variances.push(if is_seen { variance(at) } else { pooled_variance });
            }
        }
        let smoothing = self.var_smoothing * largest;
        ensure!(smoothing.is_finite(), "var_smoothing times the largest variance {largest:e} overflows");
        variances.iter_mut().for_each(|variance| *variance += smoothing);
        Ok((means, variances))
    }

    /// Smoothed shares of numbers that are counts, `n_numbers × n_classes`.
    fn rates(&self, rows: &Rows, levels: &[u32]) -> Result<Vec<f64>> {
        let (n_cols, n_classes) = (levels.len(), rows.n_classes);
        let numbers: Vec<usize> = (0..n_cols).filter(|&column| levels[column] == 0).collect();
        let negative = |&&column: &&usize| rows.data.x.rows().any(|row| row[column] < 0.0);
        if let Some(column) = numbers.iter().find(negative) {
            return Err(anyhow!(
                "numbers=counts: feature {} has negative values, and a count has none; --drop the column, give it as \
                 --type COL=category, or use numbers=normal",
                column + 1
            ));
        }
        let zero = vec![0.0; n_classes * n_cols];
        let sums = rows.sums(&zero, |count| if count.is_nan() { 0.0 } else { count });
        let total = |class: usize| {
            let counts: f64 = numbers.iter().map(|&column| sums[class * n_cols + column]).sum();
            counts + self.alpha * numbers.len() as f64
        };
        let totals: Vec<f64> = (0..n_classes).map(total).collect();
        ensure!(totals.iter().all(|total| total.is_finite()), "the counts are too large to be added up");
        let rate = |column: usize, class: usize| (sums[class * n_cols + column] + self.alpha) / totals[class];
        let rates = numbers.iter().flat_map(|&column| (0..n_classes).map(move |class| (column, class)));
        Ok(rates.map(|(column, class)| rate(column, class).clamp(f64::MIN_POSITIVE, 1.0)).collect())
    }

    /// Smoothed frequencies of the terms of texts, `n_terms × n_classes`.
    fn terms(&self, rows: &Rows) -> Vec<f64> {
        let (sparse, n_classes) = (rows.data.x.sparse(), rows.n_classes);
        let mut counts = vec![0.0; sparse.n_cols() * n_classes];
        let mut totals = vec![self.alpha * sparse.n_cols() as f64; n_classes];
        for i in 0..sparse.n_rows() {
            let (class, weight) = (rows.codes[i] as usize, rows.data.weight(i));
            let (terms, values) = sparse.row(i);
            for (&term, value) in terms.iter().zip(values) {
                counts[term as usize * n_classes + class] += weight * value;
                totals[class] += weight * value;
            }
        }
        for counts in counts.chunks_exact_mut(n_classes) {
            for (count, total) in counts.iter_mut().zip(&totals) {
                *count = ((*count + self.alpha) / total).clamp(f64::MIN_POSITIVE, 1.0);
            }
        }
        counts
    }

    /// Smoothed frequencies, `n_levels × n_classes`, the levels of each category in turn.
    fn frequencies(&self, rows: &Rows, levels: &[u32]) -> Vec<f64> {
        let n_classes = rows.n_classes;
        let categories: Vec<usize> = (0..levels.len()).filter(|&column| levels[column] > 0).collect();
        let of_category = |&column: &usize| {
            let n_levels = levels[column] as usize;
            let mut counts = vec![0.0; n_levels * n_classes];
            for (row, &class) in rows.codes.iter().enumerate() {
                let code = rows.data.x.row(row)[column];
                if code >= 0.0 && code < n_levels as f64 {
                    counts[code as usize * n_classes + class as usize] += rows.data.weight(row);
                }
            }
            let mut totals = vec![self.alpha * n_levels as f64; n_classes];
            for counts in counts.chunks_exact(n_classes) {
                totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
            }
            for counts in counts.chunks_exact_mut(n_classes) {
                for (count, total) in counts.iter_mut().zip(&totals) {
                    // Not 0 if alpha is a tiny share of many rows.
                    *count = ((*count + self.alpha) / total).clamp(f64::MIN_POSITIVE, 1.0);
                }
            }
            counts
        };
        let of_categories: Vec<Vec<f64>> = categories.par_iter().map(of_category).collect();
        of_categories.concat()
    }
}

/// The rows of a dataset by class.
struct Rows<'a> {
    data: &'a Dataset<'a>,
    codes: &'a [u32],
    n_classes: usize,
    has_missing: bool,
}

impl Rows<'_> {
    fn class_weights(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.n_classes];
        for (row, &class) in self.codes.iter().enumerate() {
            sums[class as usize] += self.data.weight(row);
        }
        sums
    }

    /// The weight of the values that are not missing, `n_classes × n_cols`.
    fn counts(&self, class_weights: &[f64]) -> Vec<f64> {
        let n_cols = self.data.x.n_cols();
        if self.has_missing {
            let zero = vec![0.0; self.n_classes * n_cols];
            return self.sums(&zero, |away| if away.is_nan() { 0.0 } else { 1.0 });
        }
        class_weights.iter().flat_map(|&weight| std::iter::repeat_n(weight, n_cols)).collect()
    }

    /// Σ weight · f(x − centre) over the values that are not missing, `n_classes × n_cols` as `centre`.
    fn sums(&self, centre: &[f64], f: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
        sum_by_blocks(self.data.x.n_rows(), BLOCK_ROWS, centre.len(), &|rows, sums| {
            rows.for_each(|row| self.add_row(row, centre, &f, sums));
        })
    }

    #[inline(always)]
    fn add_row(&self, row: usize, centre: &[f64], f: &impl Fn(f64) -> f64, sums: &mut [f64]) {
        let (x, weight) = (self.data.x.row(row), self.data.weight(row));
        let first = self.codes[row] as usize * x.len();
        let cells = sums[first..first + x.len()].iter_mut().zip(&centre[first..first + x.len()]).zip(x);
        if self.has_missing {
            cells.for_each(|((sum, centre), x)| {
                let part = weight * f(x - centre);
                *sum += if x.is_nan() { 0.0 } else { part };
            });
        } else {
            cells.for_each(|((sum, centre), x)| *sum += weight * f(x - centre));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::Arrays;

    const MISSING: f64 = f64::NAN;

    fn matrix(rows: &[&[f64]]) -> Matrix {
        let mut x = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| x.push_row(0.0).copy_from_slice(row));
        x
    }

    fn fit(data: &Dataset) -> Predictor {
        let spec = Spec::new(&NAIVE_BAYES, Task::Classification, &[]).unwrap();
        let predictor = spec.fit(data, &Unwatched).unwrap().predictor;
        predictor.validate().unwrap();
        predictor
    }

    fn predict(predictor: &Predictor, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; predictor.n_outputs()];
        predictor.scores_into(x, &mut out);
        assert!((out.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{out:?}");
        out
    }

    fn near(a: &[f64], b: &[f64], tolerance: f64) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} and {b:?}");
    }

    /// A number and a category of three levels, each with a missing value.
    fn mixed() -> (Matrix, Vec<u32>) {
        let x = matrix(&[
            &[1.0, 0.0],
            &[1.5, 0.0],
            &[MISSING, 1.0],
            &[3.0, 1.0],
            &[4.0, MISSING],
            &[3.5, 1.0],
            &[3.2, 2.0],
        ]);
        (x, vec![0, 0, 0, 1, 1, 1, 1])
    }

    fn mixed_data<'a>(x: &'a Matrix, codes: &'a [u32]) -> Dataset<'a> {
        let y = Labels::Classes { codes, n_classes: 2 };
        Dataset { levels: &[0, 3], types: &[ColumnType::Number, ColumnType::Category], ..Dataset::new(x, y) }
    }

    #[test]
    fn numbers_and_categories_speak_and_gaps_are_silent() {
        let (x, codes) = mixed();
        let bayes = fit(&mixed_data(&x, &codes));
        // By hand: level 1 has 1 of 3 rows in the one class and 2 of 3 in the other.
        let (first, second) = (3.0 / 7.0 * 2.0 / 6.0, 4.0 / 7.0 * 3.0 / 6.0);
        near(
            &predict(&bayes, &[MISSING, 1.0]),
            &[first / (first + second), second / (first + second)],
            1e-15,
        );
        near(&predict(&bayes, &[MISSING, -1.0]), &[3.0 / 7.0, 4.0 / 7.0], 1e-15);
        // The number alone: means 1.25 and 3.425, variances over the values that are there.
        let density = |x: f64, mean: f64, variance: f64| {
            (-(x - mean) * (x - mean) / (2.0 * variance)).exp() / variance.sqrt()
        };
        let smoothing = 1e-9 * 1.222222222222222;
        let first = 3.0 / 7.0 * density(2.0, 1.25, 0.0625 + smoothing);
        let second = 4.0 / 7.0 * density(2.0, 3.425, 0.141875 + smoothing);
        near(&predict(&bayes, &[2.0, MISSING]), &[first / (first + second), second / (first + second)], 1e-8);
    }

    #[test]
    fn a_boolean_is_a_category_of_two_levels() {
        let x = matrix(&[&[0.0], &[0.0], &[1.0], &[1.0], &[1.0]]);
        let y = Labels::Classes { codes: &[0, 0, 0, 1, 1], n_classes: 2 };
        let bayes = fit(&Dataset { types: &[ColumnType::Boolean], ..Dataset::new(&x, y) });
        let (first, second) = (3.0 / 5.0 * 2.0 / 5.0, 2.0 / 5.0 * 3.0 / 4.0);
        near(&predict(&bayes, &[1.0]), &[first / (first + second), second / (first + second)], 1e-15);
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice_and_a_weight_of_zero_is_no_row() {
        let (x, codes) = mixed();
        let weights = [2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 2.0];
        let rows = [0, 0, 1, 2, 3, 5, 6, 6];
        let mut repeated = Matrix::with_capacity(rows.len(), 2);
        rows.iter().for_each(|&row| repeated.push_row(0.0).copy_from_slice(x.row(row)));
        let repeated_codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
        let weighted = fit(&Dataset { weights: Some(&weights), ..mixed_data(&x, &codes) });
        let plain = fit(&mixed_data(&repeated, &repeated_codes));
        for at in [[2.0, 1.0], [1.4, MISSING], [MISSING, 2.0]] {
            near(&predict(&weighted, &at), &predict(&plain, &at), 1e-12);
        }
    }

    #[test]
    fn a_class_without_rows_is_never_predicted_and_a_number_it_never_shows_has_the_common_spread() {
        let x = matrix(&[&[1.0, MISSING], &[2.0, MISSING], &[5.0, 1.0], &[7.0, 3.0]]);
        let y = Labels::Classes { codes: &[0, 0, 2, 2], n_classes: 3 };
        let bayes = fit(&Dataset::new(&x, y));
        let out = predict(&bayes, &[1.5, 2.0]);
        assert!(out[1] == 0.0 && out[0] > out[2], "{out:?}");
        // The second number has one distribution for both classes, so it changes nothing.
        near(&predict(&bayes, &[1.5, 2.0]), &predict(&bayes, &[1.5, MISSING]), 1e-12);
    }

    #[test]
    fn constant_columns_empty_columns_and_more_columns_than_rows_are_data() {
        let x = matrix(&[&[1.0, 5.0, MISSING, 0.1], &[2.0, 5.0, MISSING, 0.1]]);
        let y = Labels::Classes { codes: &[0, 1], n_classes: 2 };
        let bayes = fit(&Dataset::new(&x, y));
        near(&predict(&bayes, &[1.0, 5.0, MISSING, 0.1]), &[1.0, 0.0], 1e-12);
        near(&predict(&bayes, &[MISSING, 5.0, 3.0, 0.1]), &[0.5, 0.5], 1e-12);
        let constant = matrix(&[&[5.0], &[5.0], &[5.0]]);
        let y = Labels::Classes { codes: &[0, 1, 1], n_classes: 2 };
        near(&predict(&fit(&Dataset::new(&constant, y)), &[7.0]), &[1.0 / 3.0, 2.0 / 3.0], 1e-15);
        let huge = matrix(&[&[1e300], &[-1e300]]);
        let y = Labels::Classes { codes: &[0, 1], n_classes: 2 };
        let spec = Spec::new(&NAIVE_BAYES, Task::Classification, &[]).unwrap();
        let error = spec.fit(&Dataset::new(&huge, y), &Unwatched).unwrap_err().to_string();
        assert!(error.contains("squares of it are not finite: ") && error.contains("column 0"), "{error}");
    }

    #[test]
    fn counts_are_multinomial_gaps_are_no_counts_and_what_is_negative_is_refused() {
        let settings = [("numbers".to_string(), "counts".to_string())];
        let spec = Spec::new(&NAIVE_BAYES, Task::Classification, &settings).unwrap();
        let codes = [0, 0, 1];
        let y = Labels::Classes { codes: &codes, n_classes: 2 };
        let x = matrix(&[&[2.0, 1.0, 0.0], &[1.0, MISSING, 0.0], &[0.0, 3.0, 4.0]]);
        let predictor = spec.fit(&Dataset::new(&x, y), &Unwatched).unwrap().predictor;
        // Class 0 has 4 counts in all and class 1 has 7, and each number one more of alpha.
        let (first, second) =
            (2.0 / 3.0 * (4.0 / 7.0_f64).powi(2) * (1.0 / 7.0), 1.0 / 3.0 * 0.1_f64.powi(2) * 0.5);
        near(
            &predict(&predictor, &[2.0, MISSING, 1.0]),
            &[first / (first + second), second / (first + second)],
            1e-12,
        );
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        assert_eq!(Predictor::read_arrays(predictor.form(), &mut arrays).unwrap(), predictor);
        let x = matrix(&[&[2.0], &[-1.0], &[0.0]]);
        let error = spec.fit(&Dataset::new(&x, y), &Unwatched).unwrap_err().to_string();
        assert!(error.contains("negative"), "{error}");
    }
}
