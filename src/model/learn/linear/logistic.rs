//! Logistic regression, binary and multinomial, with an L2, L1 or elastic-net penalty or none.
//!
//! smartcore's `LogisticRegression` (0.7) has no L1 penalty, no weights, and takes 22 times as long on
//! `digits` (benches/smartcore.rs). Smooth penalties are minimised by L-BFGS, preconditioned with the curvature at 0; penalties with
//! an L1 part by Newton steps on one class at a time, each found by coordinate descent (`proximal_newton`).

use anyhow::{Result, anyhow};

use super::FIT_INTERCEPT;
use super::gram::{SquareMatrix, SymmetricInverse};
use super::lbfgs::{Absolute, minimise};
use super::logistic_loss::LogisticLoss;
use super::proximal_newton;
use super::sparse::{Limits, SparseLoss};
use crate::data::cells::cell::Task;
use crate::data::prepare::recipe::Encoding;
use crate::error::Interrupted;
use crate::model::learn::dataset::{Dataset, Fit, Labels, balanced_weights};
use crate::model::learn::hyperparameter::{ClassWeight, Parameter, Range, Word};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::linear::Linear;
use crate::model::predictor::link::Link;

/// Columns up to which the curvature at 0 is factored; with more, its diagonal alone scales the steps.
const MAX_FACTORED: usize = 512;

/// Linear scores with a penalty.
pub static LOGISTIC_REGRESSION: Algorithm = Algorithm {
    name: "logistic-regression",
    alias: Some("logreg"),
    tasks: &[Task::Classification],
    encoding: Encoding::Standardised,
    summary: "Linear scores, made probabilities by the logistic function (two classes) or softmax",
    idea: "Each class has a score, an intercept plus a coefficient times each column; the logistic \
           function (two classes) or softmax (more) turns scores into probabilities. Coefficients \
           minimise the log loss plus a penalty on their size. Smooth penalties are minimised by L-BFGS \
           with a preconditioner, penalties on absolute values by Newton steps with coordinate descent, \
           which sets the coefficients of useless columns to exactly 0.",
    source: "Cox 1958, \"The regression analysis of binary sequences\"; Nocedal and Wright 2006, \
           \"Numerical optimization\", 7.4 (L-BFGS); Friedman, Hastie and Tibshirani 2010, \
           \"Regularization paths for generalized linear models via coordinate descent\"",
    smartcore: "The Cholesky and singular value decompositions of the preconditioner. Its estimator (0.7) \
           has no L1 penalty and no weights, and takes 22 times as long on digits; its L-BFGS has no \
           preconditioner.",
    parameters: &[
        Parameter {
            name: "penalty",
            default: "l2",
            range: Range::Choice(Penalty::WORDS),
            effect: "penalised size of the coefficients: squares, absolute values (which sets useless ones to \
                     0), or both",
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
            range: Range::Choice(ClassWeight::WORDS),
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
        let l1_share = match settings.choice("penalty") {
            Penalty::None => None,
            Penalty::L1 => Some(1.0),
            Penalty::L2 | Penalty::ElasticNet => Some(settings.number("l1_ratio")),
        };
        Box::new(LogisticRegression {
            c: settings.number("C"),
            l1_share,
            class_weight: settings.choice("class_weight"),
            fit_intercept: settings.flag("fit_intercept"),
            max_iter: settings.whole("max_iter"),
            tol: settings.number("tol"),
        })
    },
};

/// The word for a penalty.
#[derive(Clone, Copy)]
enum Penalty {
    L2,
    L1,
    ElasticNet,
    None,
}

impl Word for Penalty {
    const WORDS: &'static [&'static str] = &["l2", "l1", "elasticnet", "none"];
    const ALL: &'static [Self] = &[Self::L2, Self::L1, Self::ElasticNet, Self::None];
}

/// Parameters of logistic regression.
struct LogisticRegression {
    c: f64,
    /// Share of the L1 penalty; `None` for no penalty at all.
    l1_share: Option<f64>,
    class_weight: ClassWeight,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
}

/// The curvature of the mean loss at 0, which is the same for each score: ¼ or 1/K times the second moments
/// (Böhning 1992, "Multinomial logistic regression algorithm").
enum Moments {
    Full(SquareMatrix),
    Diagonal(Vec<f64>),
}

impl Moments {
    fn new(loss: &LogisticLoss) -> Self {
        let n_inputs = loss.data.x.n_cols();
        let share = if loss.n_scores == 1 { 0.25 } else { 1.0 / loss.n_scores as f64 };
        if n_inputs <= MAX_FACTORED {
            let mut curvature = loss.second_moments();
            curvature.values.iter_mut().for_each(|v| *v *= share);
            return Self::Full(curvature);
        }
        let mut diagonal = vec![0.0; n_inputs + 1];
        for (row, x) in loss.data.x.rows().enumerate() {
            let weight = share * loss.data.weight(row) / loss.weight_sum;
            diagonal.iter_mut().zip(x).for_each(|(sum, v)| *sum += weight * v * v);
        }
        diagonal[n_inputs] = share;
        Self::Diagonal(diagonal)
    }
}

/// The curvature of the objective at 0: that of the mean loss and the penalty's.
enum Curvature {
    Factored(SymmetricInverse),
    Diagonal(Vec<f64>),
}

impl Curvature {
    fn new(moments: &Moments, l2: f64) -> Result<Self> {
        match moments {
            Moments::Full(moments) => {
                let mut curvature = moments.clone();
                let size = curvature.size;
                let trace: f64 = (0..size).map(|j| curvature.row(j)[j]).sum();
                for j in 0..size {
                    let l2 = if j + 1 < size { l2 } else { 0.0 };
                    // Definite even if columns depend on each other and nothing else decides between them.
                    curvature.values[j * size + j] += l2 + 1e-6 * trace / size as f64;
                }
                Ok(Self::Factored(SymmetricInverse::new(curvature, 0.0)?))
            }
            Moments::Diagonal(moments) => {
                let mut diagonal = moments.clone();
                let n_inputs = diagonal.len() - 1;
                let mean = diagonal.iter().sum::<f64>() / diagonal.len() as f64;
                let l2 = |j: usize| if j < n_inputs { l2 } else { 0.0 };
                diagonal.iter_mut().enumerate().for_each(|(j, v)| *v += l2(j) + 1e-6 * mean);
                Ok(Self::Diagonal(diagonal))
            }
        }
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
        let fits = self.fit_path(&[self.c], data, watch)?;
        fits.into_iter().next().ok_or_else(|| Interrupted.into())
    }

    fn fit_path(&self, values: &[f64], data: &Dataset, watch: &dyn Watch) -> Result<Vec<Fit>> {
        let Labels::Classes { codes, n_classes } = data.y else {
            return Err(anyhow!("logistic regression predicts classes"));
        };
        let balanced = (self.class_weight == ClassWeight::Balanced)
            .then(|| balanced_weights(codes, n_classes, data.weights));
        let weighted = Dataset { weights: balanced.as_deref().or(data.weights), ..*data };
        let loss_at =
            |c: f64| LogisticLoss::new(weighted, (codes, n_classes), c, self.l1_share, self.fit_intercept);
        let Some(&first) = values.first() else { return Ok(Vec::new()) };
        let loss = loss_at(first);
        let (n_inputs, n_scores) = (data.x.n_cols(), loss.n_scores);
        let link = if n_scores == 1 { Link::Sigmoid } else { Link::Softmax };
        if data.x.sparse().n_cols() > 0 {
            let sparse = SparseLoss {
                n_scores,
                l1: loss.l1,
                fit_intercept: self.fit_intercept,
                curvature: if n_scores == 1 { 0.25 } else { 1.0 / n_scores as f64 },
                share: &|row| weighted.weight(row) / loss.weight_sum,
                differentiate: &|row, scores: &mut [f64]| loss.differentiate(row, scores),
            };
            let limits = Limits { tol: self.tol, max_steps: self.max_iter, name: "loss" };
            let l2: Vec<f64> = values.iter().map(|&c| loss_at(c).l2).collect();
            let found = sparse.minimise(data, link, &l2, &limits, watch);
            let fit = |(predictor, converged)| Fit { predictor, notes: self.notes(converged, watch) };
            return Ok(found.into_iter().map(fit).collect());
        }
        let moments = if loss.l1 > 0.0 { None } else { Some(Moments::new(&loss)) };
        let mut point = vec![0.0; n_scores * (n_inputs + 1)];
        let mut fits = Vec::with_capacity(values.len());
        for &c in values {
            if !fits.is_empty() && watch.stopped() {
                break;
            }
            let loss = loss_at(c);
            let (found, converged) = match &moments {
                Some(moments) => self.smooth(&loss, moments, point, watch)?,
                None => proximal_newton::minimise(&loss, self.tol, self.max_iter, watch),
            };
            let (coefficients, intercepts) = found.split_at(n_scores * n_inputs);
            let linear = Linear::new(link, n_inputs, coefficients.to_vec(), intercepts.to_vec());
            fits.push(Fit { predictor: Predictor::Linear(linear), notes: self.notes(converged, watch) });
            point = found;
        }
        Ok(fits)
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

    /// The minimum without an L1 part, searched from `start`.
    fn smooth(
        &self,
        loss: &LogisticLoss,
        moments: &Moments,
        start: Vec<f64>,
        watch: &dyn Watch,
    ) -> Result<(Vec<f64>, bool)> {
        let curvature = Curvature::new(moments, loss.l2)?;
        let mut visits = 0;
        let mut evaluate = |point: &[f64]| {
            if watch.stopped() {
                return None;
            }
            let found = loss.smooth(point);
            visits += 1;
            watch.progress(visits, self.max_iter as u64, format_args!("loss {:.6}", found.0));
            Some(found)
        };
        let divide = |v: &[f64]| curvature.divide(v, loss.n_scores);
        let found = minimise(start, Absolute::default(), &mut evaluate, &divide, self.tol, self.max_iter);
        Ok((found.point, found.converged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::Unwatched;
    use crate::model::learn::laws::{arrays, fit, noise, predictor, select};
    use crate::model::predictor::arrays::take_f64;

    /// Classes that the first columns almost decide.
    fn classes(x: &Matrix, n_classes: usize) -> Vec<u32> {
        let class = |row: &[f64]| match n_classes {
            2 => u32::from(row[0] + 0.3 * row[2] > 0.1),
            _ if row[0] > 0.3 => 2,
            _ => u32::from(row[1] > 0.2 * row[2]),
        };
        x.rows().map(class).collect()
    }

    /// All coefficients, then the intercepts.
    fn point(predictor: &Predictor) -> Vec<f64> {
        let mut arrays = arrays(predictor);
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
                let at = point(&predictor(&LOGISTIC_REGRESSION, settings, &data));
                let c = if settings.is_empty() { 1.0 } else { 0.1 };
                let share = [0.0, 1.0, 0.5][settings.len().saturating_sub(1)];
                let loss = LogisticLoss::new(data, (&codes, n_classes), c, Some(share), true);
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
                let c = if settings.is_empty() { 1.0 } else { 0.1 };
                let loss = LogisticLoss::new(data, (&codes, n_classes), c, Some(share), true);
                let objective = |at: &[f64]| loss.mean(at).0 + loss.penalty().value(&at[..6 * n_scores]);
                let found = objective(&point(&predictor(&LOGISTIC_REGRESSION, settings, &data)));
                let exact = [*settings, &[("tol", "1e-10"), ("max_iter", "100000")]].concat();
                let best = objective(&point(&predictor(&LOGISTIC_REGRESSION, &exact, &data)));
                assert!((found - best).abs() <= 1e-6 * best, "{settings:?}: {found} and {best}");
            }
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice() {
        let x = noise(40, 3, 1);
        let codes = classes(&x, 3);
        let weights: Vec<f64> = (0..40).map(|i| [2.0, 1.0, 1.0, 0.0][i % 4]).collect();
        let rows: Vec<usize> = (0..40).flat_map(|i| vec![i; weights[i] as usize]).collect();
        let repeated = select(&x, &rows);
        let repeated_codes: Vec<u32> = rows.iter().map(|&i| codes[i]).collect();
        for settings in [PENALTIES[0], PENALTIES[2], &[("class_weight", "balanced")]] {
            let y = Labels::Classes { codes: &codes, n_classes: 3 };
            let fit = |data: &Dataset| point(&predictor(&LOGISTIC_REGRESSION, settings, data));
            let weighted = fit(&Dataset { weights: Some(&weights), ..Dataset::new(&x, y) });
            let y = Labels::Classes { codes: &repeated_codes, n_classes: 3 };
            near(&weighted, &fit(&Dataset::new(&repeated, y)), 1e-4);
        }
    }

    #[test]
    fn a_constant_column_has_the_coefficient_0_even_among_more_columns_than_rows() {
        let mut x = noise(20, 60, 5);
        for i in 0..20 {
            let row = x.row_mut(i);
            (row[3], row[4]) = (0.0, row[5]);
        }
        for n_classes in [2, 3] {
            let codes = classes(&x, n_classes);
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes });
            for settings in &PENALTIES[..3] {
                let at = point(&predictor(&LOGISTIC_REGRESSION, settings, &data));
                assert!(at[3] == 0.0, "{settings:?}: {}", at[3]);
            }
            // Without a penalty these classes have no optimum, and the note says so or the gradient is tiny.
            let notes = fit(&LOGISTIC_REGRESSION, PENALTIES[3], &data).unwrap().notes;
            assert!(notes.is_empty() || notes[0].contains("did not converge"), "{notes:?}");
        }
    }

    #[test]
    fn a_path_is_its_fits_one_by_one() {
        // The last table has more columns than are factored.
        for (n_rows, n_cols, n_classes) in [(150, 4, 2), (150, 4, 3), (30, MAX_FACTORED + 3, 2)] {
            let x = noise(n_rows, n_cols, 4);
            let codes = classes(&x, n_classes);
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes });
            let values = [0.01, 0.3, 10.0];
            for penalty in ["l2", "l1"] {
                let l1_share = Some(if penalty == "l1" { 1.0 } else { 0.0 });
                let class_weight = ClassWeight::None;
                let (fit_intercept, max_iter, tol) = (true, 5000, 1e-8);
                let learner =
                    LogisticRegression { c: 1.0, l1_share, class_weight, fit_intercept, max_iter, tol };
                let path = learner.fit_path(&values, &data, &Unwatched).unwrap();
                assert_eq!(path.len(), 3);
                for (found, c) in path.iter().zip(["0.01", "0.3", "10"]) {
                    let settings = [("penalty", penalty), ("C", c), ("tol", "1e-8"), ("max_iter", "5000")];
                    let alone = predictor(&LOGISTIC_REGRESSION, &settings, &data);
                    near(&point(&found.predictor), &point(&alone), 1e-4);
                }
            }
        }
    }

    #[test]
    fn without_an_intercept_there_is_none() {
        let x = noise(100, 3, 2);
        let codes = classes(&x, 2);
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        for settings in [&[("fit_intercept", "false")][..], &[("fit_intercept", "false"), ("penalty", "l1")]]
        {
            let at = point(&predictor(&LOGISTIC_REGRESSION, settings, &data));
            assert!(at[3] == 0.0 && at[0] > 0.5, "{at:?}");
        }
    }
}
