//! Linear models: least squares, logistic regression, lasso and elastic net, and their solvers.

pub(crate) mod coordinate_descent;
pub(crate) mod gram;
pub mod lasso;
pub(crate) mod lbfgs;
pub mod least_squares;
pub mod logistic;
pub(crate) mod logistic_loss;
pub(crate) mod proximal_newton;
pub(crate) mod sparse;

use crate::model::learn::hyperparameter::{Parameter, Range};

const FIT_INTERCEPT: Parameter = Parameter {
    name: "fit_intercept",
    default: "true",
    range: Range::Flag,
    effect: "whether the model has an intercept",
};
