//! Linear scores as an inference form, and the dot product they are made of.
//!
//! The arrays of the model file:
//!
//! | array | shape | holds |
//! |---|---|---|
//! | `linear.coefficients` | scores × inputs | the coefficients of each score |
//! | `linear.intercepts` | scores | what is added to each score |

use anyhow::{Context, Result, ensure};

use super::arrays::{Array, Arrays, take_f64};
use super::link::Link;
use crate::simd::widest;

/// Intercept + coefficients · x, then a [`Link`].
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub(super) link: Link,
    pub(super) n_inputs: usize,
    /// One row of `n_inputs` per score.
    coefficients: Vec<f64>,
    /// One per score.
    intercepts: Vec<f64>,
}

impl Linear {
    /// `coefficients`: `n_scores × n_inputs`, row-major; `intercepts`: `n_scores`.
    pub fn new(link: Link, n_inputs: usize, coefficients: Vec<f64>, intercepts: Vec<f64>) -> Self {
        Self { link, n_inputs, coefficients, intercepts }
    }

    #[cfg(feature = "import")]
    /// The coefficients, one row of inputs per score, and the intercepts.
    pub(crate) fn coefficients(&self) -> (&[f64], &[f64]) {
        (&self.coefficients, &self.intercepts)
    }

    /// The function that turns scores into predictions.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// The coefficients of each score, `n_scores × n_inputs`, and the intercepts.
    pub(crate) fn scores(&self) -> impl ExactSizeIterator<Item = (&[f64], f64)> {
        self.coefficients.chunks_exact(self.n_inputs).zip(self.intercepts.iter().copied())
    }

    pub(super) fn n_outputs(&self) -> usize {
        match self.link {
            Link::Sigmoid | Link::Share => 2,
            _ => self.intercepts.len(),
        }
    }

    pub(super) fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        let rows = self.coefficients.chunks_exact(self.n_inputs);
        for ((row, intercept), out) in rows.zip(&self.intercepts).zip(out.iter_mut()) {
            *out = intercept + dot(row, x);
        }
        self.link.apply(out);
    }

    /// Scores prepared rows.
    pub(super) fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        let n_outputs = self.n_outputs();
        widest!(self.sums(x, out, n_outputs));
        self.link.apply_block(out, n_outputs);
    }

    #[inline(always)]
    fn sums(&self, x: &[f64], out: &mut [f64], n_outputs: usize) {
        for (x, out) in x.chunks_exact(self.n_inputs).zip(out.chunks_exact_mut(n_outputs)) {
            let rows = self.coefficients.chunks_exact(self.n_inputs);
            for ((row, intercept), out) in rows.zip(&self.intercepts).zip(out) {
                *out = intercept + dot(row, x);
            }
        }
    }

    pub(super) fn sparse_scores_into(&self, x: &[f64], (columns, values): (&[u32], &[f64]), out: &mut [f64]) {
        let rows = self.coefficients.chunks_exact(self.n_inputs);
        for ((row, intercept), out) in rows.zip(&self.intercepts).zip(out.iter_mut()) {
            let (dense, sparse) = row.split_at(x.len());
            let terms = columns.iter().zip(values).map(|(&column, value)| sparse[column as usize] * value);
            *out = intercept + dot(dense, x) + terms.sum::<f64>();
        }
        self.link.apply(out);
    }

    pub(super) fn validate(&self) -> Result<()> {
        let n_scores = self.intercepts.len();
        ensure!(
            self.n_inputs > 0 && n_scores > 0 && self.coefficients.len() == n_scores * self.n_inputs,
            "the linear predictor has no coefficient for every input"
        );
        ensure!(
            self.coefficients.iter().chain(&self.intercepts).all(|v| v.is_finite()),
            "a coefficient is not a finite number"
        );
        let fits = match self.link {
            Link::Softmax => n_scores >= 2,
            _ => n_scores == 1,
        };
        ensure!(fits, "a predictor of kind {} has {n_scores} scores", self.link.form());
        Ok(())
    }

    /// The mean size of an input's coefficients.
    pub(super) fn importances(&self) -> Vec<f64> {
        let n_scores = self.intercepts.len() as f64;
        let mut importances = vec![0.0; self.n_inputs];
        for row in self.coefficients.chunks_exact(self.n_inputs) {
            for (importance, coefficient) in importances.iter_mut().zip(row) {
                *importance += coefficient.abs() / n_scores;
            }
        }
        importances
    }

    pub(super) fn write_arrays(&self, arrays: &mut Arrays) {
        let n_scores = self.intercepts.len();
        let coefficients = Array::F64(vec![n_scores, self.n_inputs], self.coefficients.clone());
        arrays.insert("linear.coefficients".into(), coefficients);
        arrays.insert("linear.intercepts".into(), Array::F64(vec![n_scores], self.intercepts.clone()));
    }

    pub(super) fn read_arrays(link: Link, arrays: &mut Arrays) -> Result<Self> {
        let coefficients = take_f64(arrays, "linear.coefficients")?;
        let intercepts = take_f64(arrays, "linear.intercepts")?;
        let n_inputs = coefficients.len().checked_div(intercepts.len());
        let n_inputs = n_inputs.context("the linear predictor has no intercept")?;
        Ok(Self { link, n_inputs, coefficients, intercepts })
    }
}

/// The dot product in a fixed order of four sums, so that it can use vector registers and is the same
/// everywhere.
#[inline]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a_blocks, b_blocks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = a_blocks.remainder().iter().zip(b_blocks.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_make_the_same_predictor_again() {
        let linear = Linear::new(Link::Softmax, 2, vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.25]);
        let mut arrays = Arrays::new();
        linear.write_arrays(&mut arrays);
        let again = Linear::read_arrays(Link::Softmax, &mut arrays).unwrap();
        assert_eq!(again, linear);
        assert!(arrays.is_empty() && again.validate().is_ok());
    }

    #[test]
    fn shapes_that_do_not_fit_and_numbers_that_are_not_finite_are_refused() {
        for linear in [
            Linear::new(Link::Softmax, 1, vec![1.0], vec![0.0]),
            Linear::new(Link::Identity, 2, vec![1.0], vec![0.0]),
            Linear::new(Link::Identity, 0, vec![], vec![0.0]),
            Linear::new(Link::Sigmoid, 1, vec![1.0, 1.0], vec![0.0, 0.0]),
            Linear::new(Link::Identity, 1, vec![f64::NAN], vec![0.0]),
        ] {
            assert!(linear.validate().is_err(), "{linear:?}");
        }
    }

    #[test]
    fn rows_together_are_scored_as_each_alone() {
        let number = |i: usize| (i * 37 % 101) as f64 / 40.0 - 1.2;
        let linear = Linear::new(Link::Softmax, 7, (0..21).map(number).collect(), vec![0.5, 0.25, 0.0]);
        let x: Vec<f64> = (0..7 * 9).map(|i| number(i * 11 + 3)).collect();
        let mut together = vec![0.0; 27];
        linear.scores_block(&x, &mut together);
        for (x, together) in x.chunks_exact(7).zip(together.chunks_exact(3)) {
            let mut alone = [0.0; 3];
            linear.scores_into(x, &mut alone);
            assert_eq!(together, alone);
        }
    }

    #[test]
    fn sparse_inputs_score_as_the_same_ordinary_ones() {
        let linear = Linear::new(Link::Identity, 5, vec![1.0, 2.0, 3.0, 4.0, 5.0], vec![0.5]);
        let (mut dense, mut sparse) = ([0.0], [0.0]);
        linear.scores_into(&[1.0, -1.0, 0.0, 2.0, 0.0], &mut dense);
        linear.sparse_scores_into(&[1.0, -1.0], (&[1], &[2.0]), &mut sparse);
        assert_eq!(dense, sparse);
    }
}
