//! Logistic regression, binary and multinomial, with an L2, L1 or elastic-net penalty or none.
//!
//! smartcore's `LogisticRegression` (0.7) has no L1 penalty, no weights, and takes 60 times as long on
//! `digits`. Smooth penalties are minimised by L-BFGS, preconditioned with the curvature at 0; penalties with
//! an L1 part by Newton steps on one class at a time, each found by coordinate descent (`proximal`).

use anyhow::{Result, anyhow};
use rayon::prelude::*;

use super::coordinate_descent::Penalty;
use super::gram::{SymmetricInverse, products};
use super::lbfgs::{Absolute, minimise};
use super::least_squares::FIT_INTERCEPT;
use super::proximal_newton;
use super::sparse::{Limits, SparseLoss};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Task;
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::{
    Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Watch, balanced_weights,
};
use crate::model::predictor::{Linear, Link, Predictor, dot, softmax};

/// Fewest rows that are summed up together, and most such blocks. Sums are made block by block and added in
/// order, so the result does not depend on how many threads share the blocks.
const BLOCK_ROWS: usize = 256;
const MAX_BLOCKS: usize = 64;

/// Columns up to which the curvature at 0 is factored; with more, its diagonal alone scales the steps.
const MAX_FACTORED: usize = 512;

/// Linear scores with a penalty.
pub static LOGISTIC_REGRESSION: Algorithm = Algorithm {
    name: "logistic-regression",
    alias: Some("logreg"),
    tasks: &[Task::Classification],
    encoding: Encoding::Standardised,
    summary: "Linear scores, made probabilities by the logistic function (two classes) or softmax",
    parameters: &[
        Parameter {
            name: "penalty",
            default: "l2",
            range: Range::Choice(&["l2", "l1", "elasticnet", "none"]),
            effect: "what keeps coefficients small: squares, absolute values (which sets useless ones to 0), both",
        },
        Parameter {
            name: "C",
            default: "1.0",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "inverse strength of the penalty; smaller is simpler",
        },
        Parameter {
            name: "l1_ratio",
            default: "0.0",
            range: Range::From(0.0, 1.0),
            effect: "share of the L1 penalty in penalty=elasticnet or l2, which above 0 are the same",
        },
        Parameter {
            name: "class_weight",
            default: "none",
            range: Range::Choice(&["none", "balanced"]),
            effect: "balanced: rows count in inverse proportion to the weight of their class",
        },
        FIT_INTERCEPT,
        Parameter {
            name: "max_iter",
            default: "1000",
            range: Range::Whole(1, u64::MAX),
            effect: "most iterations of the solver (scikit-learn: 100)",
        },
        Parameter {
            name: "tol",
            default: "1e-6",
            range: Range::Above(0.0, f64::INFINITY),
            effect: "largest component of the mean loss's gradient at which the solver stops \
                     (scikit-learn: 1e-4, which can leave probabilities wrong by 0.03)",
        },
    ],
    learner: |settings| {
        let l1_share = match settings.word("penalty") {
            "none" => None,
            "l1" => Some(1.0),
            _ => Some(settings.number("l1_ratio")),
        };
        Box::new(LogisticRegression {
            c: settings.number("C"),
            l1_share,
            balanced: settings.word("class_weight") == "balanced",
            fit_intercept: settings.flag("fit_intercept"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
        })
    },
};

/// Parameters of logistic regression.
struct LogisticRegression {
    c: f64,
    /// Share of the L1 penalty; `None` for no penalty at all.
    l1_share: Option<f64>,
    balanced: bool,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
}

/// Mean weighted log loss + penalty: scikit-learn's objective divided by C Σ weights.
///
/// A point is all coefficients (`n_scores × n_inputs`), then the intercepts.
pub(crate) struct LogisticLoss<'a> {
    pub x: &'a Matrix,
    pub codes: &'a [u32],
    pub weights: Option<&'a [f64]>,
    pub weight_sum: f64,
    /// 1 for two classes.
    pub n_scores: usize,
    pub l1: f64,
    pub l2: f64,
    pub fit_intercept: bool,
}

impl LogisticLoss<'_> {
    /// The weight of a row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Replaces the scores of a row by the derivatives of its loss, and returns that; both not weighted.
    pub fn differentiate(&self, row: usize, scores: &mut [f64]) -> f64 {
        let class = self.codes[row] as usize;
        if self.n_scores > 1 {
            let true_score = scores[class];
            let loss = softmax(scores) - true_score;
            scores[class] -= 1.0;
            return loss;
        }
        let score = scores[0];
        // ln(1 + e^-m) for the margin m, without overflow.
        let margin = if class == 1 { score } else { -score };
        let small = (-score.abs()).exp();
        let (larger, smaller) = (1.0 / (1.0 + small), small / (1.0 + small));
        scores[0] = if score >= 0.0 { larger } else { smaller } - class as f64;
        small.ln_1p() + (-margin).max(0.0)
    }

    /// Adds the loss of some rows; `gradient` has the layout of `point`.
    fn add_rows(&self, point: &[f64], rows: std::ops::Range<usize>, gradient: &mut [f64]) -> f64 {
        let n_inputs = self.x.n_cols();
        let (coefficients, intercepts) = point.split_at(self.n_scores * n_inputs);
        let (by_coefficient, by_intercept) = gradient.split_at_mut(self.n_scores * n_inputs);
        let mut scores = vec![0.0; self.n_scores];
        let mut loss = 0.0;
        for row in rows {
            let x = self.x.row(row);
            let weight = self.weight(row);
            for (k, score) in scores.iter_mut().enumerate() {
                *score = dot(&coefficients[k * n_inputs..(k + 1) * n_inputs], x) + intercepts[k];
            }
            loss += weight * self.differentiate(row, &mut scores);
            for (k, residual) in scores.iter().enumerate() {
                let pull = weight * residual;
                by_intercept[k] += pull;
                for (g, v) in by_coefficient[k * n_inputs..(k + 1) * n_inputs].iter_mut().zip(x) {
                    *g += pull * v;
                }
            }
        }
        loss
    }

    /// The mean loss, and its gradient by coefficients and intercepts; no penalty yet.
    pub fn mean(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let n_rows = self.x.n_rows();
        let block_rows = BLOCK_ROWS.max(n_rows.div_ceil(MAX_BLOCKS));
        let block_sum = |block: usize| {
            let mut gradient = vec![0.0; point.len()];
            let rows = block * block_rows..((block + 1) * block_rows).min(n_rows);
            (self.add_rows(point, rows, &mut gradient), gradient)
        };
        let sums: Vec<(f64, Vec<f64>)> =
            (0..n_rows.div_ceil(block_rows)).into_par_iter().map(block_sum).collect();
        let (mut loss, mut gradient) = (0.0, vec![0.0; point.len()]);
        for (block_loss, block_gradient) in sums {
            loss += block_loss;
            gradient.iter_mut().zip(block_gradient).for_each(|(g, b)| *g += b);
        }
        gradient.iter_mut().for_each(|g| *g /= self.weight_sum);
        if !self.fit_intercept {
            gradient[self.n_coefficients()..].fill(0.0);
        }
        (loss / self.weight_sum, gradient)
    }

    /// Number of coefficients of all scores.
    pub fn n_coefficients(&self) -> usize {
        self.n_scores * self.x.n_cols()
    }

    /// What falls on the coefficients of all scores.
    pub fn penalty(&self) -> Penalty {
        Penalty { l1: self.l1, l2: self.l2, n_penalised: self.n_coefficients() }
    }

    /// The objective without its L1 part, and its gradient.
    fn smooth(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = self.mean(point);
        let coefficients = &point[..self.n_coefficients()];
        gradient.iter_mut().zip(coefficients).for_each(|(g, w)| *g += self.l2 * w);
        loss += self.l2 / 2.0 * dot(coefficients, coefficients);
        (loss, gradient)
    }

    /// Σ weight · z zᵀ / Σ weights of the rows z with a 1 behind for the intercept.
    fn second_moments(&self) -> super::gram::SquareMatrix {
        let n_inputs = self.x.n_cols();
        let mut moments = products(self.x.n_rows(), n_inputs + 1, |row, out| {
            let root = (self.weight(row) / self.weight_sum).sqrt();
            out.iter_mut().zip(self.x.row(row)).for_each(|(out, v)| *out = root * v);
            out[n_inputs] = if self.fit_intercept { root } else { 0.0 };
        });
        if !self.fit_intercept {
            moments.values[n_inputs * (n_inputs + 2)] = 1.0;
        }
        moments
    }
}

/// The curvature of the objective at 0, which is the same for each score: ¼ or 1/K times the second moments
/// (Böhning 1992, "Multinomial logistic regression algorithm"), and the penalty's.
enum Curvature {
    Factored(SymmetricInverse),
    Diagonal(Vec<f64>),
}

impl Curvature {
    fn new(loss: &LogisticLoss) -> Result<Self> {
        let n_inputs = loss.x.n_cols();
        let share = if loss.n_scores == 1 { 0.25 } else { 1.0 / loss.n_scores as f64 };
        let l2 = |j: usize| if j < n_inputs { loss.l2 } else { 0.0 };
        if n_inputs <= MAX_FACTORED {
            let mut curvature = loss.second_moments();
            let size = curvature.size;
            curvature.values.iter_mut().for_each(|v| *v *= share);
            let trace: f64 = (0..size).map(|j| curvature.row(j)[j]).sum();
            for j in 0..size {
                // Definite also where columns depend on each other and nothing else decides between them.
                curvature.values[j * size + j] += l2(j) + 1e-6 * trace / size as f64;
            }
            return Ok(Self::Factored(SymmetricInverse::new(curvature, 0.0)?));
        }
        let mut diagonal = vec![0.0; n_inputs + 1];
        for (row, x) in loss.x.rows().enumerate() {
            let weight = share * loss.weight(row) / loss.weight_sum;
            diagonal.iter_mut().zip(x).for_each(|(sum, v)| *sum += weight * v * v);
        }
        diagonal[n_inputs] = share;
        let mean = diagonal.iter().sum::<f64>() / diagonal.len() as f64;
        diagonal.iter_mut().enumerate().for_each(|(j, v)| *v += l2(j) + 1e-6 * mean);
        Ok(Self::Diagonal(diagonal))
    }

    /// The inverse times `v`, which has the layout of a point.
    fn divide(&self, v: &[f64], n_scores: usize) -> Vec<f64> {
        let n_inputs = v.len() / n_scores - 1;
        let mut out = vec![0.0; v.len()];
        let mut of_score = vec![0.0; n_inputs + 1];
        for k in 0..n_scores {
            let (coefficients, intercept) = (k * n_inputs..(k + 1) * n_inputs, n_scores * n_inputs + k);
            of_score[..n_inputs].copy_from_slice(&v[coefficients.clone()]);
            of_score[n_inputs] = v[intercept];
            let divided = match self {
                Self::Factored(inverse) => inverse.apply(&of_score),
                Self::Diagonal(diagonal) => of_score.iter().zip(diagonal).map(|(v, d)| v / d).collect(),
            };
            out[coefficients].copy_from_slice(&divided[..n_inputs]);
            out[intercept] = divided[n_inputs];
        }
        out
    }
}

impl Learner for LogisticRegression {
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        let Labels::Classes { codes, n_classes } = data.y else {
            return Err(anyhow!("logistic regression predicts classes"));
        };
        let balanced = self.balanced.then(|| balanced_weights(codes, n_classes, data.weights));
        let weights = balanced.as_deref().or(data.weights);
        let n_inputs = data.x.n_cols();
        let n_scores = if n_classes == 2 { 1 } else { n_classes };
        let weight_sum = weights.map_or(data.x.n_rows() as f64, |w| w.iter().sum());
        let strength = 1.0 / (self.c * weight_sum);
        let (l1, l2) = self.l1_share.map_or((0.0, 0.0), |share| (share * strength, (1.0 - share) * strength));
        let fit_intercept = self.fit_intercept;
        let loss = LogisticLoss { x: data.x, codes, weights, weight_sum, n_scores, l1, l2, fit_intercept };
        let link = if n_scores == 1 { Link::Sigmoid } else { Link::Softmax };
        if data.x.sparse().n_cols() > 0 {
            let sparse = SparseLoss {
                n_scores,
                l1,
                l2,
                fit_intercept,
                curvature: if n_scores == 1 { 0.25 } else { 1.0 / n_scores as f64 },
                share: &|row| loss.weight(row) / weight_sum,
                differentiate: |row, scores: &mut [f64]| loss.differentiate(row, scores),
            };
            let limits = Limits { tol: self.tol, max_steps: self.max_iter, name: "loss" };
            let (predictor, converged) = sparse.minimise(data, link, &limits, watch);
            return Ok(Fit { predictor, notes: self.notes(converged, watch) });
        }
        let (mut coefficients, converged) = if l1 > 0.0 {
            proximal_newton::minimise(&loss, self.tol, self.max_iter, watch)
        } else {
            self.smooth(&loss, watch)?
        };
        let notes = self.notes(converged, watch);
        let intercepts = coefficients.split_off(n_scores * n_inputs);
        let linear = Linear::new(link, n_inputs, coefficients, intercepts);
        Ok(Fit { predictor: Predictor::Linear(linear), notes })
    }

    fn reads_sparse(&self) -> bool {
        true
    }
}

impl LogisticRegression {
    fn notes(&self, converged: bool, watch: &dyn Watch) -> Vec<String> {
        if converged || watch.stopped() {
            return Vec::new();
        }
        vec![format!(
            "logistic-regression did not converge in {} iterations; --set max_iter=… or a larger tol",
            self.max_iter
        )]
    }

    fn smooth(&self, loss: &LogisticLoss, watch: &dyn Watch) -> Result<(Vec<f64>, bool)> {
        let curvature = Curvature::new(loss)?;
        let mut visits = 0;
        let evaluate = |point: &[f64]| {
            if watch.stopped() {
                return None;
            }
            let found = loss.smooth(point);
            visits += 1;
            watch.progress(visits, self.max_iter as u64, format_args!("loss {:.6}", found.0));
            Some(found)
        };
        let start = vec![0.0; loss.n_scores * (loss.x.n_cols() + 1)];
        let divide = |v: &[f64]| curvature.divide(v, loss.n_scores);
        let found = minimise(start, Absolute::default(), evaluate, divide, self.tol, self.max_iter);
        Ok((found.point, found.converged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::{Spec, Unwatched};
    use crate::model::predictor::{Arrays, take_f64};

    /// Pseudo-random numbers between -1 and 1.
    fn noise(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
        let mut state = seed;
        let mut x = Matrix::zeros(n_rows, n_cols);
        for v in x.values_mut() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *v = (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        }
        x
    }

    /// Classes that the first columns almost decide.
    fn classes(x: &Matrix, n_classes: usize) -> Vec<u32> {
        let class = |row: &[f64]| match n_classes {
            2 => u32::from(row[0] + 0.3 * row[2] > 0.1),
            _ if row[0] > 0.3 => 2,
            _ => u32::from(row[1] > 0.2 * row[2]),
        };
        x.rows().map(class).collect()
    }

    fn fit_notes(settings: &[(&str, &str)], data: &Dataset) -> (Predictor, Vec<String>) {
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let spec = Spec::new(&LOGISTIC_REGRESSION, Task::Classification, &settings).unwrap();
        let fit = spec.fit(data, &Unwatched).unwrap();
        fit.predictor.validate().unwrap();
        (fit.predictor, fit.notes)
    }

    fn fit(settings: &[(&str, &str)], data: &Dataset) -> Predictor {
        let (predictor, notes) = fit_notes(settings, data);
        assert_eq!(notes, Vec::<String>::new());
        predictor
    }

    /// All coefficients, then the intercepts.
    fn point(predictor: &Predictor) -> Vec<f64> {
        let mut arrays = Arrays::new();
        predictor.write_arrays(&mut arrays);
        ["linear.coefficients", "linear.intercepts"]
            .iter()
            .flat_map(|name| take_f64(&mut arrays, name).unwrap())
            .collect()
    }

    fn near(a: &[f64], b: &[f64], tolerance: f64) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} and {b:?}");
    }

    const PENALTIES: [&[(&str, &str)]; 4] = [
        &[],
        &[("penalty", "l1"), ("C", "0.1")],
        &[("penalty", "elasticnet"), ("l1_ratio", "0.5"), ("C", "0.1")],
        &[("penalty", "none"), ("max_iter", "20")],
    ];

    #[test]
    fn at_the_solution_no_coefficient_can_be_improved() {
        let x = noise(300, 5, 7);
        for n_classes in [2, 3] {
            let codes = classes(&x, n_classes);
            for settings in &PENALTIES[..3] {
                let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes });
                let at = point(&fit(settings, &data));
                let strength = if settings.is_empty() { 1.0 } else { 10.0 } / 300.0;
                let share = [0.0, 1.0, 0.5][settings.len().saturating_sub(1)];
                let loss = LogisticLoss {
                    x: &x,
                    codes: &codes,
                    weights: None,
                    weight_sum: 300.0,
                    n_scores: if n_classes == 2 { 1 } else { 3 },
                    l1: share * strength,
                    l2: (1.0 - share) * strength,
                    fit_intercept: true,
                };
                let (_, gradient) = loss.mean(&at);
                for (j, (w, g)) in at.iter().zip(&gradient).enumerate() {
                    assert!(loss.penalty().violation(j, *w, *g) <= 1.001e-6, "{settings:?} {j}: {w} {g}");
                }
                let n_zeros = at.iter().filter(|w| **w == 0.0).count();
                assert_eq!(n_zeros > 0, share > 0.0, "{settings:?}: {at:?}");
                // And the gradient is that of the loss.
                let mut nudged = at.clone();
                nudged[2] += 1e-3;
                let (higher, slope) = loss.smooth(&nudged);
                nudged[2] += 1e-6;
                assert!(((loss.smooth(&nudged).0 - higher) / 1e-6 - slope[2]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_objective_is_within_a_millionth_of_its_optimum() {
        for n_classes in [2, 3] {
            let x = noise(500, 6, 11);
            let codes = classes(&x, n_classes);
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes });
            let n_scores = if n_classes == 2 { 1 } else { 3 };
            for (settings, share) in PENALTIES[..3].iter().zip([0.0, 1.0, 0.5]) {
                let strength = if settings.is_empty() { 1.0 } else { 10.0 } / 500.0;
                let (l1, l2) = (share * strength, (1.0 - share) * strength);
                let loss = LogisticLoss {
                    x: &x,
                    codes: &codes,
                    weights: None,
                    weight_sum: 500.0,
                    n_scores,
                    l1,
                    l2,
                    fit_intercept: true,
                };
                let objective = |at: &[f64]| loss.mean(at).0 + loss.penalty().value(&at[..6 * n_scores]);
                let found = objective(&point(&fit(settings, &data)));
                let exact = [*settings, &[("tol", "1e-10"), ("max_iter", "100000")]].concat();
                let best = objective(&point(&fit(&exact, &data)));
                assert!((found - best).abs() <= 1e-6 * best, "{settings:?}: {found} and {best}");
            }
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice_and_a_weight_of_zero_is_no_row() {
        let x = noise(40, 3, 1);
        let codes = classes(&x, 3);
        let weights: Vec<f64> = (0..40).map(|i| [2.0, 1.0, 1.0, 0.0][i % 4]).collect();
        let rows: Vec<usize> = (0..40).flat_map(|i| vec![i; weights[i] as usize]).collect();
        let mut repeated = Matrix::with_capacity(rows.len(), 3);
        rows.iter().for_each(|&i| repeated.push_row(0.0).copy_from_slice(x.row(i)));
        let repeated_codes: Vec<u32> = rows.iter().map(|&i| codes[i]).collect();
        for settings in [PENALTIES[0], PENALTIES[2], &[("class_weight", "balanced")]] {
            let y = Labels::Classes { codes: &codes, n_classes: 3 };
            let weighted = fit(settings, &Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
            let y = Labels::Classes { codes: &repeated_codes, n_classes: 3 };
            near(&point(&weighted), &point(&fit(settings, &Dataset::new(&repeated, y))), 1e-4);
        }
    }

    #[test]
    fn constant_and_repeated_columns_and_more_columns_than_rows_are_data() {
        let mut x = noise(20, 60, 5);
        for i in 0..20 {
            let row = x.row_mut(i);
            (row[3], row[4]) = (0.0, row[5]);
        }
        for n_classes in [2, 3] {
            let codes = classes(&x, n_classes);
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes });
            for settings in &PENALTIES[..3] {
                let at = point(&fit(settings, &data));
                assert!(at[3] == 0.0, "{settings:?}: {}", at[3]);
            }
            // Without a penalty these classes have no optimum, and the note says so or the gradient is tiny.
            let (_, notes) = fit_notes(PENALTIES[3], &data);
            assert!(notes.is_empty() || notes[0].contains("did not converge"), "{notes:?}");
        }
        let one = noise(1, 3, 5);
        let data = Dataset::new(&one, Labels::Classes { codes: &[0], n_classes: 2 });
        let spec = Spec::new(&LOGISTIC_REGRESSION, Task::Classification, &[]).unwrap();
        assert!(spec.fit(&data, &Unwatched).unwrap_err().to_string().contains("1 class"));
    }

    #[test]
    fn balanced_classes_weigh_the_same_and_without_an_intercept_there_is_none() {
        assert_eq!(balanced_weights(&[0, 0, 0, 1], 2, None), [4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 2.0]);
        let weights = balanced_weights(&[0, 0, 2, 2], 3, Some(&[0.0, 1.0, 2.0, 1.0]));
        assert_eq!(weights, [0.0, 2.0, 4.0 / 3.0, 2.0 / 3.0]);
        let x = noise(100, 3, 2);
        let codes = classes(&x, 2);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        for settings in [&[("fit_intercept", "false")][..], &[("fit_intercept", "false"), ("penalty", "l1")]]
        {
            let at = point(&fit(settings, &data));
            assert!(at[3] == 0.0 && at[0] > 0.5, "{at:?}");
        }
    }

    #[test]
    fn the_same_bytes_on_any_number_of_threads_and_after_saving() {
        let x = noise(3000, 4, 3);
        let codes = classes(&x, 3);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
        for settings in &PENALTIES[..3] {
            let fits = [1, 2, 8].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| fit(settings, &data))
            });
            assert!(fits[0] == fits[1] && fits[0] == fits[2]);
            let mut arrays = Arrays::new();
            fits[0].write_arrays(&mut arrays);
            assert_eq!(Predictor::read_arrays(fits[0].form(), &mut arrays).unwrap(), fits[0]);
        }
    }
}
