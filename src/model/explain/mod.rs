//! Why a model answers so: contributions of the columns that add up, from a base value, to the score of a row.
//!
//! | file | explains | how |
//! |---|---|---|
//! | [`trees`], [`interventional`] | trees, forests, boosted trees | exactly: path-dependent, or against background rows |
//! | [`additive`] | linear models, naive Bayes | exactly: each term less its mean over the training rows |
//! | [`sampled`] | support vector machines, neighbours, networks | permutations against background rows, with a standard error |
//!
//! [`interactions`] are those of pairs of columns in trees, and [`counterfactual`] says what would have to be different for another answer.
//!
//! The values of a predictor's inputs are Shapley values (Shapley 1953; Lundberg and Lee 2017, "A unified approach to
//! interpreting model predictions"). They are additive, so those of a column's slots (levels, parts of a date, terms of a
//! text, the mark of a missing value) are summed up to the column. [`scale`] carries them from the scale that a predictor
//! learned on to that of the prediction, which is also where the members of an ensemble meet; [`reasons`] says the
//! largest in words.

mod additive;
#[cfg(test)]
mod against_shap;
pub(crate) mod counterfactual;
mod explainer;
mod explanation;
mod interactions;
mod interventional;
mod quadrature;
mod reasons;
mod sampled;
mod scale;
mod trees;

pub use explainer::Explainer;
pub use explanation::{Against, Explanation, Scale, Wish};
pub use reasons::reasons;
