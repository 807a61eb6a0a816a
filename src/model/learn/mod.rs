//! Fitting: prepared rows in, a fitted predictor out.
//!
//! A file or folder per family: [`linear`], [`trees`], [`naive_bayes`], [`neighbours`], [`network`] and [`svm`]. A family
//! declares an [`Algorithm`] (name, hyperparameters, description) and implements [`Learner`] for a struct of its settings. It
//! knows the rows it is given ([`dataset`]) and how hyperparameters are declared ([`hyperparameter`]), and no other family.
//! [`algorithm`] lists all of them; a [`Spec`] is one of them with checked settings, which [`choice`]
//! chooses and [`train`] fits as a [`plan`] says. Nothing outside of this folder names smartcore.

pub mod algorithm;
pub mod choice;
pub mod dataset;
mod held_out;
pub mod hyperparameter;
#[cfg(test)]
mod laws;
pub mod linear;
pub mod naive_bayes;
pub mod neighbours;
pub mod network;
pub mod plan;
pub mod svm;
pub mod train;
pub mod trees;

use std::fmt;

use anyhow::Result;

pub use algorithm::{ALGORITHMS, Spec, algorithm};
pub(crate) use dataset::balanced_weights;
pub use dataset::{Dataset, Fit, Labels};
pub use hyperparameter::{Parameter, Range, Settings};

use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Task;
use crate::data::prepare::recipe::Encoding;
use crate::usage::usage;

/// An entry of the table of algorithms.
pub struct Algorithm {
    /// Its name on the command line and in the card.
    pub name: &'static str,
    /// A shorter name.
    pub alias: Option<&'static str>,
    /// What it can predict.
    pub tasks: &'static [Task],
    /// One sentence for the manual.
    pub summary: &'static str,
    /// What it sees of the columns.
    pub encoding: Encoding,
    /// Its hyperparameters.
    pub parameters: &'static [Parameter],
    /// Makes the parameter struct of checked settings.
    pub learner: fn(&Settings) -> Box<dyn Learner>,
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A set of hyperparameters that can be fitted.
pub trait Learner: Send + Sync {
    /// Fits a checked dataset.
    ///
    /// # Errors
    /// The data do not determine a model.
    fn fit(&self, data: &Dataset, watch: &dyn Watch) -> Result<Fit>;

    /// Whether it reads sparse columns; else texts become a few ordinary ones.
    fn reads_sparse(&self) -> bool {
        false
    }

    /// Whether categories of many levels become means of the target as well.
    fn reads_target_means(&self) -> bool {
        true
    }

    /// As [`Learner::fit`] on rows that nobody needs afterwards, which a learner that reads them once frees before
    /// it goes on; those of `data` are not looked at.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit(&Dataset { x: &x, ..*data }, watch)
    }
}

/// Progress goes out and an interruption comes in.
pub trait Watch: Sync {
    /// `done` steps of at most `total`; `state` is a short text such as the loss.
    fn progress(&self, done: u64, total: u64, state: fmt::Arguments);

    /// Whether to stop with the best so far.
    fn stopped(&self) -> bool;
}

/// Shows nothing and never stops.
pub struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

    fn stopped(&self) -> bool {
        false
    }
}
