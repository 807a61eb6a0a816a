//! Predictors that add up a term per input: the Shapley value of an input is its term less the mean of the term
//! (Lundberg and Lee 2017, corollary 1).

use crate::data::cells::sparse::Sparse;
use crate::model::predictor::Predictor;

/// Explains a linear model or naive Bayes.
#[derive(Debug)]
pub(super) struct AdditiveExplainer {
    /// The mean of each term over the training rows, `n_scores × n_inputs`.
    means: Vec<f64>,
    base: Vec<f64>,
}

/// The scores of rows in parts.
pub(super) struct Additive {
    /// Of each score.
    pub(super) base: Vec<f64>,
    /// `n_rows × n_scores`.
    pub(super) margins: Vec<f64>,
    /// `n_rows × n_scores × n_inputs`.
    pub(super) contributions: Vec<f64>,
}

impl AdditiveExplainer {
    /// `means`: of each input of a linear model, or of each term of naive Bayes (`n_inputs × n_classes`); `None` if there
    /// are none.
    pub(super) fn new(predictor: &Predictor, means: &[f64]) -> Option<Self> {
        let n_inputs = predictor.n_inputs();
        match predictor {
            Predictor::Linear(linear) if means.len() == n_inputs => {
                let mut of_terms = Vec::with_capacity(linear.scores().len() * n_inputs);
                for (coefficients, _) in linear.scores() {
                    of_terms.extend(coefficients.iter().zip(means).map(|(slope, mean)| slope * mean));
                }
                let base = linear.scores().zip(of_terms.chunks_exact(n_inputs));
                let base =
                    base.map(|((_, intercept), terms)| intercept + terms.iter().sum::<f64>()).collect();
                Some(Self { means: of_terms, base })
            }
            Predictor::NaiveBayes(bayes) if means.len() == n_inputs * bayes.n_outputs() => {
                let n_classes = bayes.n_outputs();
                let mut of_terms = vec![0.0; means.len()];
                let mut base = bayes.log_priors().to_vec();
                for (input, values) in means.chunks_exact(n_classes).enumerate() {
                    for (class, value) in values.iter().enumerate() {
                        of_terms[class * n_inputs + input] = *value;
                        base[class] += value;
                    }
                }
                Some(Self { means: of_terms, base })
            }
            _ => None,
        }
    }

    /// Explains rows as they go into the predictor.
    pub(super) fn explain(
        &self,
        predictor: &Predictor,
        x: &[f64],
        sparse: &Sparse,
        n_rows: usize,
    ) -> Additive {
        let (n_inputs, n_scores) = (predictor.n_inputs(), self.base.len());
        let n_dense = x.len() / n_rows.max(1);
        let mut margins = Vec::with_capacity(n_rows * n_scores);
        let mut contributions = Vec::with_capacity(n_rows * n_scores * n_inputs);
        let mut terms = vec![0.0; n_scores * n_inputs];
        for row in 0..n_rows {
            let x = &x[row * n_dense..(row + 1) * n_dense];
            let sparse = if sparse.n_rows() > 0 { sparse.row(row) } else { (&[][..], &[][..]) };
            match predictor {
                Predictor::Linear(linear) => {
                    for ((slopes, intercept), terms) in linear.scores().zip(terms.chunks_exact_mut(n_inputs))
                    {
                        terms.fill(0.0);
                        let dense = terms.iter_mut().zip(slopes).zip(x);
                        dense.for_each(|((term, slope), x)| *term = slope * x);
                        for (&column, value) in sparse.0.iter().zip(sparse.1) {
                            terms[n_dense + column as usize] = slopes[n_dense + column as usize] * value;
                        }
                        margins.push(intercept + terms.iter().sum::<f64>());
                    }
                }
                Predictor::NaiveBayes(bayes) => {
                    let mut of_inputs = vec![0.0; n_inputs * n_scores];
                    bayes.contributions(x, sparse, &mut of_inputs);
                    for (class, prior) in bayes.log_priors().iter().enumerate() {
                        let terms = &mut terms[class * n_inputs..(class + 1) * n_inputs];
                        let values = of_inputs.iter().skip(class).step_by(n_scores);
                        terms.iter_mut().zip(values).for_each(|(term, value)| *term = *value);
                        margins.push(prior + terms.iter().sum::<f64>());
                    }
                }
                _ => {}
            }
            contributions.extend(terms.iter().zip(&self.means).map(|(term, mean)| term - mean));
        }
        Additive { base: self.base.clone(), margins, contributions }
    }
}
