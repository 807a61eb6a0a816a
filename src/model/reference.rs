//! What explanations measure a row from: the means of the training rows, and some of these rows.
//!
//! Fitted at the end of a training, kept in the model file, read by [`super::explain`]. Predictions do not use it.

use anyhow::{Result, ensure};

use super::pipeline::{Member, Pipeline};
use super::predictor::{Array, Arrays, Predictor, take_f64};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::table::Table;
use crate::parallel;

/// The most background rows that a model file holds; shap's limit.
pub const MAX_BACKGROUND_ROWS: usize = 100;

/// Name of the array of the means of a member.
const MEANS: &str = "explain.means";

/// Rows that a thread sums up at a time.
const SUMMED_ROWS: usize = 4096;

/// The codes of some rows.
type CodesOf<'a> = &'a (dyn Fn(&[usize]) -> Result<Matrix> + Sync);

/// Means of the training rows, and background rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reference {
    /// For each member: the mean of each input of a linear model, or of what each input adds to the log probability of
    /// each class in naive Bayes; empty for others, and if they are unknown.
    means: Vec<Vec<f64>>,
    /// Codes of some training rows.
    background: Matrix,
}

impl Reference {
    /// Takes the means over rows of a table, and `n_background` of the rows, evenly spaced; `None` is
    /// [`MAX_BACKGROUND_ROWS`] if a member cannot be explained without, else none.
    ///
    /// # Errors
    /// Rows that do not fit the schema.
    pub(crate) fn fit(
        pipeline: &Pipeline,
        table: &Table,
        rows: &[usize],
        n_background: Option<usize>,
    ) -> Result<Self> {
        Self::of_rows(pipeline, &|rows| pipeline.schema.codes(table, rows), rows, n_background)
    }

    /// As [`Reference::fit`], of rows whose codes a function gives.
    ///
    /// # Errors
    /// Those of the function.
    pub(crate) fn of_rows(
        pipeline: &Pipeline,
        codes_of: CodesOf,
        rows: &[usize],
        n_background: Option<usize>,
    ) -> Result<Self> {
        let auto = || match pipeline.members.iter().any(Member::needs_background) {
            true => MAX_BACKGROUND_ROWS,
            false => 0,
        };
        let n = n_background.unwrap_or_else(auto).min(rows.len());
        let spaced: Vec<usize> = (0..n).map(|i| rows[i * rows.len() / n]).collect();
        let background = codes_of(&spaced)?;
        let means = pipeline.members.iter().map(|member| means(member, codes_of, rows));
        Ok(Self { means: means.collect::<Result<_>>()?, background })
    }

    /// Parts that were read from a file.
    pub(crate) fn from_parts(means: Vec<Vec<f64>>, background: Matrix) -> Self {
        Self { means, background }
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.background.n_rows() == 0 && self.means.iter().all(Vec::is_empty)
    }

    /// The means of a member; empty if there are none.
    pub(crate) fn means(&self, member: usize) -> &[f64] {
        self.means.get(member).map_or(&[], Vec::as_slice)
    }

    /// The background rows.
    pub(crate) fn background(&self) -> &Matrix {
        &self.background
    }

    /// Adds the array of a member.
    pub(crate) fn write_arrays(&self, member: usize, arrays: &mut Arrays) {
        let means = self.means(member);
        if !means.is_empty() {
            arrays.insert(MEANS.into(), Array::F64(vec![means.len()], means.to_vec()));
        }
    }

    /// Takes the means of a member out of its arrays; none if they are not there.
    ///
    /// # Errors
    /// An array of another kind or length, or of numbers that are not finite.
    pub(crate) fn take_means(predictor: &Predictor, arrays: &mut Arrays) -> Result<Vec<f64>> {
        if !arrays.contains_key(MEANS) {
            return Ok(Vec::new());
        }
        let means = take_f64(arrays, MEANS)?;
        ensure!(
            n_means(predictor) == Some(means.len()) && means.iter().all(|mean| mean.is_finite()),
            "the means of the training rows do not fit the predictor"
        );
        Ok(means)
    }
}

/// How many means a predictor is explained by; `None` if by none.
fn n_means(predictor: &Predictor) -> Option<usize> {
    match predictor {
        Predictor::Linear(_) => Some(predictor.n_inputs()),
        Predictor::NaiveBayes(_) => Some(predictor.n_inputs() * predictor.n_outputs()),
        _ => None,
    }
}

fn means(member: &Member, codes_of: CodesOf, rows: &[usize]) -> Result<Vec<f64>> {
    let Some(n_means) = n_means(&member.predictor) else { return Ok(Vec::new()) };
    let blocks: Vec<&[usize]> = rows.chunks(SUMMED_ROWS).collect();
    let sums = parallel::map(blocks, &|rows: &[usize]| -> Result<Vec<f64>> {
        let codes = codes_of(rows)?;
        let mut buffer = Vec::new();
        let (x, sparse) = member.recipe.encode_block(codes.values(), codes.texts(), &mut buffer);
        let n_dense = member.recipe.n_dense();
        let (mut sums, mut of_row) = (vec![0.0; n_means], Vec::new());
        for row in 0..rows.len() {
            let x = &x[row * n_dense..(row + 1) * n_dense];
            let terms = if sparse.n_rows() > 0 { sparse.row(row) } else { (&[][..], &[][..]) };
            if let Predictor::NaiveBayes(bayes) = &member.predictor {
                of_row.resize(n_means, 0.0);
                bayes.contributions(x, terms, &mut of_row);
                sums.iter_mut().zip(&of_row).for_each(|(sum, value)| *sum += value);
                continue;
            }
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            terms.0.iter().zip(terms.1).for_each(|(&term, value)| sums[n_dense + term as usize] += value);
        }
        Ok(sums)
    });
    let mut means = vec![0.0; n_means];
    for sums in sums {
        means.iter_mut().zip(sums?).for_each(|(mean, sum)| *mean += sum);
    }
    means.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
    // Unbounded evidence, such as a level that a class never has, has no mean.
    let is_bounded = means.iter().all(|mean| mean.is_finite());
    Ok(if is_bounded { means } else { Vec::new() })
}
