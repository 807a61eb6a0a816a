//! The inference forms: flat arrays, checked once at load, then without allocation and unable to fail.
//!
//! An inference form knows nothing of how it was fitted. A new one is a variant of [`Predictor`], a file
//! beside this one, and a line in each `match` below.

pub mod kd_tree;
pub mod kernel;
pub mod naive_bayes;
pub mod nearest;
pub mod neighbours;
pub mod network;
mod quick_scorer;
pub mod support_vectors;
pub mod tree_arrays;
pub mod trees;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use naive_bayes::Bayes;
use neighbours::Neighbours;
use network::Net;
use support_vectors::SupportVectors;
use trees::Trees;

/// A named array of the model file.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Doubles and their shape.
    F64(Vec<usize>, Vec<f64>),
    /// Whole numbers and their shape.
    U32(Vec<usize>, Vec<u32>),
    /// Bytes and their shape.
    U8(Vec<usize>, Vec<u8>),
}

/// The arrays of a model file by name; sorted, so that a file is always written in the same order.
pub type Arrays = BTreeMap<String, Array>;

/// Removes an array of doubles.
///
/// # Errors
/// There is none of that name and kind.
pub fn take_f64(arrays: &mut Arrays, name: &str) -> Result<Vec<f64>> {
    match arrays.remove(name) {
        Some(Array::F64(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

/// Removes an array of whole numbers.
///
/// # Errors
/// There is none of that name and kind.
pub fn take_u32(arrays: &mut Arrays, name: &str) -> Result<Vec<u32>> {
    match arrays.remove(name) {
        Some(Array::U32(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

/// Removes an array of bytes.
///
/// # Errors
/// There is none of that name and kind.
pub fn take_u8(arrays: &mut Arrays, name: &str) -> Result<Vec<u8>> {
    match arrays.remove(name) {
        Some(Array::U8(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

/// A fitted predictor.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictor {
    /// Linear and logistic models.
    Linear(Linear),
    /// A decision tree, a forest, boosted trees.
    Trees(Box<Trees>),
    /// Naive Bayes.
    Bayes(Box<Bayes>),
    /// The nearest training rows.
    Neighbours(Box<Neighbours>),
    /// Dense layers.
    Net(Box<Net>),
    /// A support vector machine.
    Kernel(Box<SupportVectors>),
}

impl Predictor {
    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.n_inputs,
            Self::Trees(trees) => trees.n_inputs(),
            Self::Bayes(bayes) => bayes.n_inputs(),
            Self::Neighbours(neighbours) => neighbours.n_inputs(),
            Self::Net(net) => net.n_inputs(),
            Self::Kernel(machine) => machine.n_inputs(),
        }
    }

    /// Numbers per row that come out: one per class, or one value.
    pub fn n_outputs(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.n_outputs(),
            Self::Trees(trees) => trees.n_outputs(),
            Self::Bayes(bayes) => bayes.n_outputs(),
            Self::Neighbours(neighbours) => neighbours.n_outputs(),
            Self::Net(net) => net.n_outputs(),
            Self::Kernel(machine) => machine.n_outputs(),
        }
    }

    /// Scores one prepared row of [`Predictor::n_inputs`] numbers into `out` of
    /// [`Predictor::n_outputs`]: the probability of each class, or the predicted value.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        match self {
            Self::Linear(linear) => linear.scores_into(x, out),
            Self::Trees(trees) => trees.scores_into(x, out),
            Self::Bayes(bayes) => bayes.scores_into(x, out),
            Self::Neighbours(neighbours) => neighbours.scores_into(x, out),
            Self::Net(net) => net.scores_into(x, out),
            Self::Kernel(machine) => machine.scores_into(x, out),
        }
    }

    /// As [`Predictor::scores_into`] of a row whose last inputs are sparse: the columns that are not 0, counted
    /// behind those of `x`, and their values. Only linear predictors and naive Bayes have such inputs.
    pub fn sparse_scores_into(&self, x: &[f64], sparse: (&[u32], &[f64]), out: &mut [f64]) {
        match self {
            Self::Linear(linear) => linear.sparse_scores_into(x, sparse, out),
            Self::Bayes(bayes) => bayes.sparse_scores_into(x, sparse, out),
            Self::Trees(_) | Self::Neighbours(_) | Self::Net(_) | Self::Kernel(_) => self.scores_into(x, out),
        }
    }

    /// Scores prepared rows, `x` and `out` row by row; the same numbers as one row at a time, sooner.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        match self {
            Self::Trees(trees) => trees.scores_block(x, out),
            Self::Neighbours(neighbours) => neighbours.scores_block(x, out),
            Self::Net(net) => net.scores_block(x, out),
            Self::Kernel(machine) => machine.scores_block(x, out),
            Self::Linear(linear) => {
                let rows = x.chunks_exact(linear.n_inputs);
                for (x, out) in rows.zip(out.chunks_exact_mut(linear.n_outputs())) {
                    linear.scores_into(x, out);
                }
            }
            Self::Bayes(bayes) => {
                let rows = x.chunks_exact(bayes.n_inputs());
                for (x, out) in rows.zip(out.chunks_exact_mut(bayes.n_outputs())) {
                    bayes.scores_into(x, out);
                }
            }
        }
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Linear(linear) => linear.validate(),
            Self::Trees(trees) => trees.validate(),
            Self::Bayes(bayes) => bayes.validate(),
            Self::Neighbours(neighbours) => neighbours.validate(),
            Self::Net(net) => net.validate(),
            Self::Kernel(machine) => machine.validate(),
        }
    }

    /// How much each input moves the output, where the form says so: one number per input.
    pub fn importances(&self) -> Option<Vec<f64>> {
        match self {
            Self::Linear(linear) => Some(linear.importances()),
            Self::Trees(trees) => Some(trees.importances().to_vec()),
            Self::Bayes(_) => None,
            Self::Neighbours(_) | Self::Net(_) => None,
            Self::Kernel(machine) => machine.importances(),
        }
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Linear(linear) => linear.link.form(),
            Self::Trees(trees) => trees.form(),
            Self::Bayes(_) => "bayes",
            Self::Neighbours(_) => Neighbours::FORM,
            Self::Net(net) => net.form(),
            Self::Kernel(machine) => machine.form(),
        }
    }

    /// Adds the arrays of this predictor.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        match self {
            Self::Linear(linear) => linear.write_arrays(arrays),
            Self::Trees(trees) => trees.write_arrays(arrays),
            Self::Bayes(bayes) => bayes.write_arrays(arrays),
            Self::Neighbours(neighbours) => neighbours.write_arrays(arrays),
            Self::Net(net) => net.write_arrays(arrays),
            Self::Kernel(machine) => machine.write_arrays(arrays),
        }
    }

    /// Takes a predictor of `form` out of the arrays of a model file; still to be validated.
    ///
    /// # Errors
    /// An unknown form, or an array that is missing.
    pub fn read_arrays(form: &str, arrays: &mut Arrays) -> Result<Self> {
        let links = [Link::Identity, Link::Sigmoid, Link::Softmax];
        if let Some(link) = links.into_iter().find(|link| link.form() == form) {
            return Linear::read_arrays(link, arrays).map(Self::Linear);
        }
        if let Some(link) = Trees::link_of_form(form) {
            return Trees::read_arrays(link, arrays).map(|trees| Self::Trees(Box::new(trees)));
        }
        if form == "bayes" {
            return Bayes::read_arrays(arrays).map(|bayes| Self::Bayes(Box::new(bayes)));
        }
        if form == Neighbours::FORM {
            return Neighbours::read_arrays(arrays).map(|neighbours| Self::Neighbours(Box::new(neighbours)));
        }
        if let Some(link) = Net::link_of_form(form) {
            return Net::read_arrays(link, arrays).map(|net| Self::Net(Box::new(net)));
        }
        if let Some(outcome) = SupportVectors::outcome_of_form(form) {
            let machine = SupportVectors::read_arrays(outcome, arrays)?;
            return Ok(Self::Kernel(Box::new(machine)));
        }
        bail!("unknown kind of predictor {form:?}")
    }
}

/// What a linear score becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Itself, the predicted value.
    Identity,
    /// The probability of the second of two classes: 1 / (1 + e⁻ˢ).
    Sigmoid,
    /// With the scores of the other classes, probabilities: eˢ / Σ eˢ.
    Softmax,
    /// The predicted value eˢ.
    Exponential,
    /// Itself, the probability of the second of two classes.
    Share,
}

impl Link {
    fn form(self) -> &'static str {
        match self {
            Self::Identity => "linear",
            Self::Sigmoid => "linear-sigmoid",
            Self::Softmax => "linear-softmax",
            Self::Exponential => "linear-exponential",
            Self::Share => "linear-share",
        }
    }

    /// Turns the scores of one row into what is predicted. `out` holds one score, of which a sigmoid makes
    /// two probabilities, as of a share, or one per class.
    pub fn apply(self, out: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => {
                let p = sigmoid(out[0]);
                // Not 1 − p where that would round a tiny probability to 0.
                out[0] = sigmoid(-out[0]);
                out[1] = p;
            }
            Self::Softmax => {
                softmax(out);
            }
            Self::Exponential => out[0] = exp(out[0]),
            Self::Share => {
                let p = out[0];
                out[0] = 1.0 - p;
                out[1] = p;
            }
        }
    }
}

/// eˣ to the last digit but one, from products and sums alone: the same on every machine, unlike the C
/// library's, and a loop of it is vectorised. Below −708 it is 0, above 709 ∞.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    // Adding it rounds to a whole number, which is then found in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts: the first has zeros at its end, so that its product with a whole number is exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // The Taylor series: |r| ≤ ln 2 / 2, and the first term left out is below 2⁻⁵⁷.
    let mut sum = 1.0 / 6_227_020_800.0;
    for term in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        sum = sum * r + 1.0 / term;
    }
    let power = sum * f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52));
    if x < -708.0 {
        0.0
    } else if x > 709.0 {
        f64::INFINITY
    } else {
        power
    }
}

/// 1 / (1 + e⁻ˢ) without overflow.
#[inline(always)]
pub fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + exp(-score))
}

/// Scores to probabilities in place, without overflow; returns ln Σ eˢ.
pub fn softmax(scores: &mut [f64]) -> f64 {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - max);
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
    max + sum.ln()
}

/// Intercept + coefficients · x, then a [`Link`].
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    link: Link,
    n_inputs: usize,
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

    fn n_outputs(&self) -> usize {
        match self.link {
            Link::Sigmoid | Link::Share => 2,
            _ => self.intercepts.len(),
        }
    }

    fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        let rows = self.coefficients.chunks_exact(self.n_inputs);
        for ((row, intercept), out) in rows.zip(&self.intercepts).zip(out.iter_mut()) {
            *out = intercept + dot(row, x);
        }
        self.link.apply(out);
    }

    fn sparse_scores_into(&self, x: &[f64], (columns, values): (&[u32], &[f64]), out: &mut [f64]) {
        let rows = self.coefficients.chunks_exact(self.n_inputs);
        for ((row, intercept), out) in rows.zip(&self.intercepts).zip(out.iter_mut()) {
            let (dense, sparse) = row.split_at(x.len());
            let terms = columns.iter().zip(values).map(|(&column, value)| sparse[column as usize] * value);
            *out = intercept + dot(dense, x) + terms.sum::<f64>();
        }
        self.link.apply(out);
    }

    fn validate(&self) -> Result<()> {
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
    fn importances(&self) -> Vec<f64> {
        let n_scores = self.intercepts.len() as f64;
        let mut importances = vec![0.0; self.n_inputs];
        for row in self.coefficients.chunks_exact(self.n_inputs) {
            for (importance, coefficient) in importances.iter_mut().zip(row) {
                *importance += coefficient.abs() / n_scores;
            }
        }
        importances
    }

    fn write_arrays(&self, arrays: &mut Arrays) {
        let n_scores = self.intercepts.len();
        let coefficients = Array::F64(vec![n_scores, self.n_inputs], self.coefficients.clone());
        arrays.insert("linear.coefficients".into(), coefficients);
        arrays.insert("linear.intercepts".into(), Array::F64(vec![n_scores], self.intercepts.clone()));
    }

    fn read_arrays(link: Link, arrays: &mut Arrays) -> Result<Self> {
        let coefficients = take_f64(arrays, "linear.coefficients")?;
        let intercepts = take_f64(arrays, "linear.intercepts")?;
        let n_inputs = coefficients.len().checked_div(intercepts.len());
        let n_inputs = n_inputs.context("the linear predictor has no intercept")?;
        Ok(Self { link, n_inputs, coefficients, intercepts })
    }
}

/// The dot product in a fixed order of four sums, so that it can use vector registers and is the same
/// everywhere.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
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
    fn the_exponential_is_that_of_the_c_library_but_for_the_last_digit() {
        for i in -70_000..70_001 {
            let x = f64::from(i) * 0.010_1;
            assert!((exp(x) / x.exp() - 1.0).abs() < 5e-16, "{x}");
        }
        assert_eq!((exp(0.0), exp(-800.0), exp(800.0)), (1.0, 0.0, f64::INFINITY));
        assert_eq!((exp(f64::INFINITY), exp(f64::NEG_INFINITY)), (f64::INFINITY, 0.0));
    }

    #[test]
    fn links_do_not_overflow_and_keep_small_probabilities() {
        let mut out = [700.0, 0.0];
        Link::Sigmoid.apply(&mut out);
        assert!(out[0] > 0.0 && out[0] < 1e-300 && out[1] == 1.0);
        let mut out = [1000.0, 999.0, -1000.0];
        softmax(&mut out);
        assert!((out[0] + out[1] - 1.0).abs() < 1e-15 && out[2] == 0.0);
    }

    #[test]
    fn arrays_make_the_same_predictor_again() {
        let linear = Linear::new(Link::Softmax, 2, vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.25]);
        let predictor = Predictor::Linear(linear);
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        let again = Predictor::read_arrays(predictor.form(), &mut arrays).unwrap();
        assert_eq!(again, predictor);
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
}
