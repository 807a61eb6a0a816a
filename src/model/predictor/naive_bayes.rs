//! Naive Bayes as an inference form: the log probabilities of the columns are added up.
//!
//! log P(class) + Σ log p(xⱼ | class), made probabilities by softmax. A number has a normal distribution in
//! each class, a category the frequencies of its levels, the words of texts a multinomial distribution. A
//! missing value, an unseen level and an unknown word are skipped. Numbers that are counts have one
//! multinomial distribution instead.
//!
//! The arrays of the model file:
//!
//! | array | shape | holds |
//! |---|---|---|
//! | `bayes.priors` | classes | the share of each class |
//! | `bayes.levels` | columns | the number of levels of a category or boolean; 0 for a number |
//! | `bayes.means` | numbers × classes | the mean of each number in each class |
//! | `bayes.variances` | numbers × classes | its variance; 0 in every class for a number that is skipped |
//! | `bayes.frequencies` | levels × classes | how frequent each level is, the levels of each category in turn |
//! | `bayes.rates` | numbers × classes | the share of each number in the sum of all; absent if they are no counts |
//! | `bayes.terms` | terms × classes | how frequent each term of a text is; absent if there are no texts |

use std::f64::consts::PI;

use anyhow::{Result, ensure};

use super::arrays::{Array, Arrays, take_f64, take_u32};
use super::link::softmax;

/// The most that a number counts against a class, so that sums stay finite.
const MOST_AGAINST: f64 = 1e290;

/// The arrays of the module's table.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Share of each class; 0 for one that never occurs.
    pub priors: Vec<f64>,
    /// Number of levels of each column; 0 for a number.
    pub levels: Vec<u32>,
    /// Means, `n_numbers × n_classes`.
    pub means: Vec<f64>,
    /// Variances, `n_numbers × n_classes`.
    pub variances: Vec<f64>,
    /// Frequencies, `n_levels × n_classes`.
    pub frequencies: Vec<f64>,
    /// Frequencies of numbers that are counts, `n_numbers × n_classes`; empty if they are normal.
    pub rates: Vec<f64>,
    /// Frequencies of the terms of texts, `n_terms × n_classes`.
    pub terms: Vec<f64>,
}

/// The log probabilities of each column's values, ready to be added up.
#[derive(Debug, Clone)]
pub struct NaiveBayes {
    parts: Parts,
    log_priors: Vec<f64>,
    /// `n_classes × n_inputs` each: a number x adds `offset − (root · (x − mean))²`; all 0 for a category.
    mean: Vec<f64>,
    root: Vec<f64>,
    offset: Vec<f64>,
    /// `n_classes × n_inputs`: a count x adds `slope · x`; empty if numbers are normal.
    slope: Vec<f64>,
    /// Each category: its column, its number of levels, and the index of its first level.
    categories: Vec<(usize, f64, usize)>,
    log_frequencies: Vec<f64>,
    log_terms: Vec<f64>,
}

impl PartialEq for NaiveBayes {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl NaiveBayes {
    /// The name of the form in the model file.
    pub const FORM: &'static str = "bayes";

    /// Takes the logarithms.
    ///
    /// # Errors
    /// Parts that do not fit each other, or numbers that are out of their range.
    pub fn new(parts: Parts) -> Result<Self> {
        check(&parts)?;
        let (n_inputs, n_classes) = (parts.levels.len(), parts.priors.len());
        let mut categories = Vec::new();
        let (mut n_levels, mut n_numbers) = (0, 0);
        let mut dense = vec![vec![0.0; n_classes * n_inputs]; 3];
        let mut slope = if parts.rates.is_empty() { Vec::new() } else { vec![0.0; n_classes * n_inputs] };
        for (column, &levels) in parts.levels.iter().enumerate() {
            if levels > 0 {
                categories.push((column, f64::from(levels), n_levels));
                n_levels += levels as usize;
                continue;
            }
            for class in 0..n_classes {
                let at = n_numbers * n_classes + class;
                let (variance, slot) = (parts.variances[at], class * n_inputs + column);
                if let (Some(slope), Some(rate)) = (slope.get_mut(slot), parts.rates.get(at)) {
                    *slope = rate.ln();
                    continue;
                }
                if variance > 0.0 {
                    dense[0][slot] = parts.means[at];
                    dense[1][slot] = (0.5 / variance).min(f64::MAX).sqrt();
                    dense[2][slot] = -0.5 * (2.0 * PI).ln() - 0.5 * variance.ln();
                }
            }
            n_numbers += 1;
        }
        let log = |values: &[f64]| values.iter().map(|value| value.ln()).collect();
        let (log_priors, log_frequencies) = (log(&parts.priors), log(&parts.frequencies));
        let log_terms = log(&parts.terms);
        let [mean, root, offset] = [0, 1, 2].map(|i| std::mem::take(&mut dense[i]));
        Ok(Self { parts, log_priors, mean, root, offset, slope, categories, log_frequencies, log_terms })
    }

    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        self.n_columns() + self.n_terms()
    }

    /// How many of them are numbers and categories.
    pub(super) fn n_columns(&self) -> usize {
        self.parts.levels.len()
    }

    /// How many of them are terms of texts.
    pub(super) fn n_terms(&self) -> usize {
        self.parts.terms.len() / self.parts.priors.len()
    }

    /// Numbers per row that come out.
    pub fn n_outputs(&self) -> usize {
        self.parts.priors.len()
    }

    /// The probability of each class for one row of raw codes.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        self.add_up(x, out);
        softmax(out);
    }

    /// As [`NaiveBayes::scores_into`] of a row with counts of terms.
    pub fn sparse_scores_into(&self, x: &[f64], (terms, counts): (&[u32], &[f64]), out: &mut [f64]) {
        self.add_up(x, out);
        for (&term, count) in terms.iter().zip(counts) {
            let at = term as usize * out.len();
            let said = &self.log_terms[at..at + out.len()];
            out.iter_mut().zip(said).for_each(|(out, said)| *out += count * said);
        }
        softmax(out);
    }

    /// The log of the share of each class.
    pub(crate) fn log_priors(&self) -> &[f64] {
        &self.log_priors
    }

    /// What each input of a row, dense ones first, adds to the log probability of each class: `n_inputs × n_classes`
    /// numbers.
    pub(crate) fn contributions(&self, x: &[f64], (terms, counts): (&[u32], &[f64]), out: &mut [f64]) {
        out.fill(0.0);
        let (n_inputs, n_classes) = (self.n_columns(), self.log_priors.len());
        for (class, at) in (0..n_classes).flat_map(|class| (0..n_inputs).map(move |j| (class, j))) {
            let slot = class * n_inputs + at;
            out[at * n_classes + class] = if self.slope.is_empty() {
                let one = |values: &[f64]| [values[slot]];
                log_density(&x[at..at + 1], &one(&self.mean), &one(&self.root), &one(&self.offset))
            } else {
                log_multinomial(&x[at..at + 1], &self.slope[slot..slot + 1])
            };
        }
        for &(column, n_levels, first) in &self.categories {
            let (code, out) = (x[column], &mut out[column * n_classes..(column + 1) * n_classes]);
            out.fill(0.0);
            if code >= 0.0 && code < n_levels {
                let at = (first + code as usize) * n_classes;
                out.copy_from_slice(&self.log_frequencies[at..at + n_classes]);
            }
        }
        for (&term, count) in terms.iter().zip(counts) {
            let (at, said) = (n_inputs + term as usize, term as usize * n_classes);
            let said = &self.log_terms[said..said + n_classes];
            let out = &mut out[at * n_classes..(at + 1) * n_classes];
            out.iter_mut().zip(said).for_each(|(out, said)| *out = count * said);
        }
    }

    fn add_up(&self, x: &[f64], out: &mut [f64]) {
        let n_inputs = self.parts.levels.len();
        for (class, (out, log_prior)) in out.iter_mut().zip(&self.log_priors).enumerate() {
            let of_class = class * n_inputs..(class + 1) * n_inputs;
            let [mean, root, offset] = [&self.mean, &self.root, &self.offset].map(|v| &v[of_class.clone()]);
            *out = log_prior
                + match self.slope.get(of_class) {
                    Some(slope) if !slope.is_empty() => log_multinomial(x, slope),
                    _ => log_density(x, mean, root, offset),
                };
        }
        let n_classes = out.len();
        for &(column, n_levels, first) in &self.categories {
            let code = x[column];
            // NaN and the negative code of an unseen level are neither.
            if code >= 0.0 && code < n_levels {
                let at = (first + code as usize) * n_classes;
                let said = &self.log_frequencies[at..at + n_classes];
                out.iter_mut().zip(said).for_each(|(out, said)| *out += said);
            }
        }
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        check(&self.parts)
    }

    /// Adds the arrays of the module's table.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        let parts = &self.parts;
        let n_classes = parts.priors.len();
        let mut put = |name: &str, values: &[f64]| {
            let shape = match name {
                "priors" => vec![n_classes],
                _ => vec![values.len() / n_classes, n_classes],
            };
            arrays.insert(format!("bayes.{name}"), Array::F64(shape, values.to_vec()));
        };
        put("priors", &parts.priors);
        put("means", &parts.means);
        put("variances", &parts.variances);
        put("frequencies", &parts.frequencies);
        if !parts.rates.is_empty() {
            put("rates", &parts.rates);
        }
        if !parts.terms.is_empty() {
            put("terms", &parts.terms);
        }
        let levels = Array::U32(vec![parts.levels.len()], parts.levels.clone());
        arrays.insert("bayes.levels".into(), levels);
    }

    /// Takes the arrays of the module's table.
    ///
    /// # Errors
    /// One is missing, or they do not fit each other.
    pub fn read_arrays(arrays: &mut Arrays) -> Result<Self> {
        let mut take = |name: &str| take_f64(arrays, &format!("bayes.{name}"));
        let (priors, means) = (take("priors")?, take("means")?);
        let (variances, frequencies) = (take("variances")?, take("frequencies")?);
        let mut take_some = |name: &str| match arrays.contains_key(name) {
            true => take_f64(arrays, name),
            false => Ok(Vec::new()),
        };
        let (rates, terms) = (take_some("bayes.rates")?, take_some("bayes.terms")?);
        let levels = take_u32(arrays, "bayes.levels")?;
        Self::new(Parts { priors, levels, means, variances, frequencies, rates, terms })
    }
}

/// The sum over the counts of a row; a missing one is none, and a level of a category, whose slope is 0, as
/// well.
fn log_multinomial(x: &[f64], slope: &[f64]) -> f64 {
    x.iter().zip(slope).map(|(x, slope)| if x.is_nan() { 0.0 } else { slope * x }).sum()
}

/// The sum over the numbers of a row, in four sums of a fixed order, so that it can use vector registers.
fn log_density(x: &[f64], mean: &[f64], root: &[f64], offset: &[f64]) -> f64 {
    let term = |x: f64, mean: f64, root: f64, offset: f64| {
        let away = root * (x - mean);
        let said = offset - (away * away).min(MOST_AGAINST);
        if x.is_nan() { 0.0 } else { said }
    };
    let (x, x_rest) = x.as_chunks::<4>();
    let (mean, mean_rest) = mean.as_chunks::<4>();
    let (root, root_rest) = root.as_chunks::<4>();
    let (offset, offset_rest) = offset.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (((x, mean), root), offset) in x.iter().zip(mean).zip(root).zip(offset) {
        for i in 0..4 {
            sums[i] += term(x[i], mean[i], root[i], offset[i]);
        }
    }
    let rest = x_rest.iter().zip(mean_rest).zip(root_rest).zip(offset_rest);
    let rest: f64 = rest.map(|(((x, mean), root), offset)| term(*x, *mean, *root, *offset)).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

fn check(parts: &Parts) -> Result<()> {
    let (n_inputs, n_classes) = (parts.levels.len() + parts.terms.len(), parts.priors.len());
    ensure!(n_inputs > 0 && n_classes >= 2, "naive Bayes has {n_inputs} inputs and {n_classes} classes");
    let n_numbers = parts.levels.iter().filter(|&&levels| levels == 0).count();
    let n_levels: u128 = parts.levels.iter().map(|&levels| u128::from(levels)).sum();
    let of = |rows: u128, values: &[f64]| values.len() as u128 == rows * n_classes as u128;
    ensure!(
        of(n_numbers as u128, &parts.means) && of(n_numbers as u128, &parts.variances),
        "naive Bayes has no mean and variance for every number and class"
    );
    ensure!(of(n_levels, &parts.frequencies), "naive Bayes has no frequency for every level and class");
    let is_share = |value: &f64| (0.0..=1.0).contains(value);
    ensure!(
        parts.priors.iter().all(is_share) && parts.priors.iter().any(|&prior| prior > 0.0),
        "the share of a class is not from 0 to 1"
    );
    ensure!(
        parts
            .frequencies
            .iter()
            .chain(&parts.terms)
            .chain(&parts.rates)
            .all(|value| is_share(value) && *value > 0.0),
        "the frequency of a level or term is not above 0 and at most 1"
    );
    ensure!(
        parts.rates.is_empty() || of(n_numbers as u128, &parts.rates),
        "naive Bayes has no share for every count and class"
    );
    ensure!(parts.terms.len().is_multiple_of(n_classes), "a term has no frequency for every class");
    ensure!(parts.means.iter().all(|mean| mean.is_finite()), "a mean is not a finite number");
    for variances in parts.variances.chunks_exact(n_classes) {
        let all_positive = variances.iter().all(|&v| v.is_finite() && v > 0.0);
        ensure!(
            all_positive || variances.iter().all(|&v| v == 0.0),
            "a variance is not a positive finite number"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two numbers around a category of two levels; two classes.
    fn parts() -> Parts {
        Parts {
            priors: vec![0.25, 0.75],
            levels: vec![0, 2, 0],
            means: vec![0.0, 2.0, 1.0, 1.0],
            variances: vec![1.0, 4.0, 0.0, 0.0],
            frequencies: vec![0.9, 0.5, 0.1, 0.5],
            rates: Vec::new(),
            terms: Vec::new(),
        }
    }

    fn probabilities(bayes: &NaiveBayes, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; bayes.n_outputs()];
        bayes.scores_into(x, &mut out);
        out
    }

    #[test]
    fn probabilities_follow_from_densities_and_frequencies() {
        let bayes = NaiveBayes::new(parts()).unwrap();
        let density = |x: f64, mean: f64, variance: f64| {
            (-(x - mean) * (x - mean) / (2.0 * variance)).exp() / (2.0 * PI * variance).sqrt()
        };
        let first = 0.25 * density(0.5, 0.0, 1.0) * 0.9;
        let second = 0.75 * density(0.5, 2.0, 4.0) * 0.5;
        let found = probabilities(&bayes, &[0.5, 0.0, 1e9]);
        assert!((found[0] - first / (first + second)).abs() < 1e-15);
        assert!((found[1] - second / (first + second)).abs() < 1e-15);
    }

    #[test]
    fn missing_values_and_unseen_levels_say_nothing() {
        let bayes = NaiveBayes::new(parts()).unwrap();
        for category in [f64::NAN, -1.0, 2.0] {
            let found = probabilities(&bayes, &[f64::NAN, category, f64::NAN]);
            assert!((found[0] - 0.25).abs() < 1e-15 && (found[1] - 0.75).abs() < 1e-15);
        }
    }

    #[test]
    fn the_farthest_numbers_still_give_probabilities() {
        let bayes = NaiveBayes::new(parts()).unwrap();
        for x in [f64::MAX, f64::MIN, 1e200, f64::MIN_POSITIVE] {
            let found = probabilities(&bayes, &[x, 0.0, x]);
            assert!((found[0] + found[1] - 1.0).abs() < 1e-12, "{x}: {found:?}");
        }
    }

    #[test]
    fn arrays_make_the_same_predictor_again() {
        let bayes = NaiveBayes::new(parts()).unwrap();
        let mut arrays = Arrays::new();
        bayes.write_arrays(&mut arrays);
        let again = NaiveBayes::read_arrays(&mut arrays).unwrap();
        assert!(arrays.is_empty() && again.validate().is_ok());
        let x = [0.5, 1.0, 3.0];
        assert_eq!(probabilities(&again, &x), probabilities(&bayes, &x));
        assert_eq!(again, bayes);
    }

    #[test]
    fn shapes_that_do_not_fit_and_numbers_out_of_range_are_refused() {
        let broken: [fn(&mut Parts); 9] = [
            |parts| parts.levels.clear(),
            |parts| parts.levels[1] = u32::MAX,
            |parts| parts.priors = vec![1.0],
            |parts| parts.priors = vec![0.0, 0.0],
            |parts| parts.priors[0] = f64::NAN,
            |parts| parts.variances[0] = 0.0,
            |parts| parts.variances[1] = f64::INFINITY,
            |parts| parts.frequencies[2] = 0.0,
            |parts| parts.means[0] = f64::NAN,
        ];
        for (i, damage) in broken.iter().enumerate() {
            let mut parts = parts();
            damage(&mut parts);
            assert!(NaiveBayes::new(parts).is_err(), "{i}");
        }
    }
}
