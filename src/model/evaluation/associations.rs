//! How strongly columns go together, two at a time and the target among them, on some rows.
//!
//! Two numbers: Spearman's rank correlation (1904), −1 to 1. Two categories: Cramér's V (1946), 0 to 1. A number and a
//! category: the correlation ratio η (Pearson 1905) of the number's ranks, 0 to 1. Rows in which one of the two is missing
//! do not count.

use anyhow::Result;
use rayon::prelude::*;

use crate::data::cells::cell::ColumnType;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::Truth;
use crate::model::Model;
use crate::model::hold_out::TestRows;

/// Columns that are compared at most, the target aside.
const MAX_COLUMNS: usize = 60;
/// Rows that are compared at most: evenly spaced ones of more.
const MAX_ROWS: usize = 10_000;

/// The associations of each pair of columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Associations {
    /// The target first, then features in the order of the schema.
    pub(crate) columns: Vec<String>,
    /// `n_columns × n_columns`, symmetric; NaN if undefined, as that of a constant.
    pub(crate) values: Vec<Vec<f64>>,
    /// Rows that were compared.
    pub(crate) rows: usize,
    /// Features that were not compared, as they are texts or too many.
    pub(crate) n_left_out: usize,
}

/// A column of numbers, or of indices of levels; NaN where it is missing.
struct Column {
    values: Vec<f64>,
    /// The ranks of numbers.
    ranks: Vec<f64>,
    is_category: bool,
    has_missing: bool,
}

impl Column {
    fn new(values: Vec<f64>, is_category: bool) -> Self {
        let has_missing = values.iter().any(|value| value.is_nan());
        let ranks = if is_category { Vec::new() } else { ranks(&values) };
        Self { values, ranks, is_category, has_missing }
    }
}

impl Associations {
    /// The associations of the columns of a model on rows of files.
    ///
    /// # Errors
    /// Columns and cells that do not fit the model.
    pub(crate) fn of_rows(model: &Model, rows: &TestRows) -> Result<Self> {
        let schema = &model.pipeline.schema;
        Ok(Self::of(schema, &rows.codes(schema)?, &rows.truth))
    }

    /// The associations of rows, given as codes (`n_rows × n_features`) and the target of each.
    pub(crate) fn of(schema: &Schema, codes: &Matrix, truth: &Truth) -> Self {
        let step = codes.n_rows().div_ceil(MAX_ROWS).max(1);
        let rows: Vec<usize> = (0..codes.n_rows()).step_by(step).collect();
        let target = match truth {
            Truth::Classes { codes, .. } => {
                Column::new(rows.iter().map(|&row| f64::from(codes[row])).collect(), true)
            }
            Truth::Values(values) => Column::new(rows.iter().map(|&row| values[row]).collect(), false),
        };
        let mut columns = vec![target];
        let mut names = vec![schema.target.name.clone()];
        for (j, feature) in schema.features.iter().enumerate() {
            if feature.column_type == ColumnType::Text || names.len() > MAX_COLUMNS {
                continue;
            }
            let is_category = matches!(feature.column_type, ColumnType::Category | ColumnType::Boolean);
            // A level that training did not see is not known to be the same as another one.
            let known = |value: f64| if is_category && value < 0.0 { f64::NAN } else { value };
            columns
                .push(Column::new(rows.iter().map(|&row| known(codes.row(row)[j])).collect(), is_category));
            names.push(feature.name.clone());
        }
        let n = columns.len();
        let half: Vec<Vec<f64>> = (0..n)
            .into_par_iter()
            .map(|i| (0..i).map(|j| association(&columns[i], &columns[j])).collect())
            .collect();
        let value = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => half[i][j],
            std::cmp::Ordering::Less => half[j][i],
        };
        Self {
            columns: names,
            values: (0..n).map(|i| (0..n).map(|j| value(i, j)).collect()).collect(),
            rows: rows.len(),
            n_left_out: schema.features.len() + 1 - n,
        }
    }
}

/// The association of two columns on the rows in which neither is missing.
fn association(a: &Column, b: &Column) -> f64 {
    match (a.is_category, b.is_category) {
        (true, true) => cramers_v(&a.values, &b.values),
        (true, false) => correlation_ratio(&a.values, b),
        (false, true) => correlation_ratio(&b.values, a),
        (false, false) if !a.has_missing && !b.has_missing => correlation(&a.ranks, &b.ranks),
        (false, false) => {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for (&a, &b) in a.values.iter().zip(&b.values).filter(|(a, b)| !a.is_nan() && !b.is_nan()) {
                x.push(a);
                y.push(b);
            }
            correlation(&ranks(&x), &ranks(&y))
        }
    }
}

/// The mid-ranks of values; NaN stays NaN.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&i| !values[i].is_nan()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut first = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (run.len() as f64 - 1.0) / 2.0;
        run.iter().for_each(|&i| ranks[i] = rank);
        first += run.len();
    }
    ranks
}

/// Pearson's correlation.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
    }
    if xx > 0.0 && yy > 0.0 { (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0) } else { f64::NAN }
}

/// Square root of the share of the variance of the ranks that lies between the categories.
fn correlation_ratio(categories: &[f64], number: &Column) -> f64 {
    let again;
    let values: Vec<f64> =
        number.values.iter().zip(categories).map(|(&v, c)| if c.is_nan() { f64::NAN } else { v }).collect();
    let ranks = if values.iter().zip(&number.values).all(|(a, b)| a.is_nan() == b.is_nan()) {
        &number.ranks
    } else {
        again = ranks(&values);
        &again
    };
    let n_levels = categories.iter().fold(0.0, |a: f64, b| a.max(*b)) as usize + 1;
    let mut groups = vec![(0.0, 0.0); n_levels];
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (&level, &rank) in
        categories.iter().zip(ranks).filter(|(level, rank)| !level.is_nan() && !rank.is_nan())
    {
        let group = &mut groups[level as usize];
        *group = (group.0 + 1.0, group.1 + rank);
        (n, sum, squares) = (n + 1.0, sum + rank, squares + rank * rank);
    }
    let total = squares - sum * sum / n;
    let between: f64 = groups.iter().filter(|group| group.0 > 0.0).map(|(n, sum)| sum * sum / n).sum::<f64>()
        - sum * sum / n;
    if total > 1e-9 { (between / total).clamp(0.0, 1.0).sqrt() } else { f64::NAN }
}

/// Cramér's V of two columns of levels.
fn cramers_v(x: &[f64], y: &[f64]) -> f64 {
    let n_levels = |values: &[f64]| values.iter().fold(0.0, |a: f64, b| a.max(*b)) as usize + 1;
    let width = n_levels(y);
    let mut pairs: Vec<usize> = x
        .iter()
        .zip(y)
        .filter(|(x, y)| !x.is_nan() && !y.is_nan())
        .map(|(&x, &y)| x as usize * width + y as usize)
        .collect();
    pairs.sort_unstable();
    let (mut rows, mut columns) = (vec![0.0; n_levels(x)], vec![0.0; width]);
    for pair in &pairs {
        rows[pair / width] += 1.0;
        columns[pair % width] += 1.0;
    }
    // χ² = n (Σ observed² / (row × column) − 1), in which pairs that do not occur count nothing.
    let sum: f64 = pairs
        .chunk_by(|a, b| a == b)
        .map(|run| (run.len() as f64).powi(2) / (rows[run[0] / width] * columns[run[0] % width]))
        .sum();
    let used = |counts: &[f64]| counts.iter().filter(|n| **n > 0.0).count();
    let least = used(&rows).min(used(&columns));
    if least < 2 { f64::NAN } else { ((sum - 1.0).max(0.0) / (least as f64 - 1.0)).sqrt().min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    fn near(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12 || found.is_nan() && expected.is_nan(),
            "{found} {expected}"
        );
    }

    #[test]
    fn associations_are_those_of_scipy() {
        // scipy 1.17.1: stats.spearmanr(a, b), with nan_policy="omit" for the second;
        // stats.contingency.association(crosstab, method="cramer"); sqrt(between / total) of stats.rankdata by hand.
        let a = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let b = [2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0];
        let with_gap = [2.0, 7.0, NAN, 8.0, 2.0, 8.0, 1.0, 8.0];
        let number = |values: &[f64]| Column::new(values.to_vec(), false);
        let category = |values: &[f64]| Column::new(values.to_vec(), true);
        near(association(&number(&a), &number(&b)), 0.198_853_681_209_924_67);
        near(association(&number(&a), &number(&with_gap)), 0.245_457_846_416_042_35);
        let (x, y) = ([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        near(association(&category(&x), &category(&y)), 0.537_483_849_886_57);
        near(association(&category(&x), &number(&b)), 0.237_957_835_811_161_42);
        near(association(&number(&b), &category(&x)), 0.237_957_835_811_161_42);
    }

    #[test]
    fn a_constant_goes_together_with_nothing() {
        let constant = Column::new(vec![2.0; 4], false);
        let number = Column::new(vec![1.0, 2.0, 3.0, 4.0], false);
        let category = Column::new(vec![0.0, 1.0, 0.0, 1.0], true);
        let of_one = Column::new(vec![0.0; 4], true);
        let missing = Column::new(vec![NAN; 4], false);
        for (a, b) in [
            (&constant, &number),
            (&constant, &category),
            (&category, &of_one),
            (&missing, &number),
            (&missing, &category),
        ] {
            near(association(a, b), NAN);
        }
        near(association(&category, &category), 1.0);
    }
}
