//! Fitting: prepared rows in, a fitted predictor out.
//!
//! A file or folder per family: [`linear`], [`trees`], [`naive_bayes`], [`neighbours`], [`network`] and
//! [`svm`]. A family declares an [`Algorithm`] (name, hyperparameters, description) and implements
//! [`Learner`] for a struct of its settings. It knows the rows it is given ([`dataset`]) and how
//! hyperparameters are declared ([`hyperparameter`]), and no other family. [`algorithm`](mod@algorithm) lists all of them; a
//! [`Spec`] is one of them with checked settings, which [`plan`] and [`train`] fit on a file and [`choice`] chooses.
//! Nothing outside of this folder names smartcore.

pub mod algorithm;
pub mod choice;
pub mod dataset;
pub(crate) mod domain;
pub mod hyperparameter;
#[cfg(test)]
mod laws;
pub(crate) mod learning_curve;
pub(crate) mod like;
pub mod linear;
pub mod manual;
pub(crate) mod naive_bayes;
pub(crate) mod neighbours;
pub(crate) mod network;
pub mod plan;
pub(crate) mod platt;
pub mod postprocessing;
pub mod sampled;
mod sampled_file;
mod streamed;
pub(crate) mod svm;
pub mod train;
mod train_test_split;
pub mod trees;

use std::fmt;

use anyhow::{Result, bail};
use serde_json::Map;

pub use algorithm::{ALGORITHMS, Spec, algorithm};
pub(crate) use dataset::balanced_weights;
pub use dataset::{Dataset, Fit, Groups, Labels};
pub use hyperparameter::{Parameter, Range, Settings};

use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::data::read::load::Passed;
use crate::error::usage;
use crate::model::selection::Standing;

/// An entry of the table of algorithms.
pub struct Algorithm {
    /// Its name on the command line and in the card.
    pub name: &'static str,
    /// A shorter name.
    pub alias: Option<&'static str>,
    /// The tasks it can be fitted for.
    pub tasks: &'static [Task],
    /// One sentence for the manual.
    pub summary: &'static str,
    /// Its idea in a few sentences, for the manual; Markdown.
    pub idea: &'static str,
    /// The works that describe it: authors, year and title.
    pub source: &'static str,
    /// The part of it that is smartcore's, and why not more.
    pub smartcore: &'static str,
    /// The form in which it reads the columns.
    pub encoding: Encoding,
    /// Its hyperparameters.
    pub parameters: &'static [Parameter],
    /// Makes the parameter struct of checked settings.
    pub learner: fn(&Settings) -> Box<dyn Learner>,
}

impl Algorithm {
    /// Whether it can be fitted on rows that come in blocks.
    pub(crate) fn takes_blocks(&self) -> bool {
        (self.learner)(&Settings(Map::new())).takes_blocks()
    }
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

    /// Whether it reads sparse columns; otherwise texts become a few ordinary columns.
    fn reads_sparse(&self) -> bool {
        false
    }

    /// Whether it sees what else columns become: high-cardinality categories means of the target, two dates the days
    /// between them. Not if it takes columns for independent of each other.
    fn reads_target_means(&self) -> bool {
        true
    }

    /// As [`Learner::fit`] for each of these values of the hyperparameter that sets how closely it fits (the strength of a
    /// penalty, the rows of a leaf), from loose to close: work that all of them need is done once. Fewer fits if `watch`
    /// stops it.
    ///
    /// # Errors
    /// As [`Learner::fit`]; the learner has no such hyperparameter.
    fn fit_path(&self, _values: &[f64], _data: &Dataset, _watch: &dyn Watch) -> Result<Vec<Fit>> {
        bail!("it has no path")
    }

    /// As [`Learner::fit`] on rows that are not needed afterwards: a learner that reads them once frees them
    /// before it needs memory of its own. The rows of `data` are ignored.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    fn fit_owned(&self, x: Matrix, data: &Dataset, watch: &dyn Watch) -> Result<Fit> {
        self.fit(&Dataset { x: &x, ..*data }, watch)
    }

    /// Whether it can be fitted on rows that come in blocks.
    fn takes_blocks(&self) -> bool {
        false
    }

    /// A fit of rows that come in blocks, for a table that is larger than memory; `sample`: some of its rows, which say what
    /// its columns are like. `None` if the learner needs all rows as they are.
    fn blocks(&self, _sample: &Dataset) -> Option<Box<dyn Blocks + '_>> {
        None
    }
}

/// The fit of rows of which the learner keeps a byte of each value.
pub trait Blocks: Send + Sync {
    /// What is kept of prepared rows.
    fn bytes_of(&self, x: &Matrix) -> Groups;

    /// Fits what was kept of all rows; `data` has their labels and weights, and no rows.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    fn fit(self: Box<Self>, rows: Groups, data: &Dataset, watch: &dyn Watch) -> Result<Fit>;
}

/// Receives the progress of a fit and can interrupt it.
pub trait Watch: Sync {
    /// The next stage of the work begins, such as `reading` or `comparing`; progress is that of the stage.
    fn stage(&self, _name: &str) {}

    /// So many bytes of the files and so many rows are read; `total` is 0 if the size of the files is not known.
    fn read(&self, _bytes: u64, _total: u64, _rows: usize) {}

    /// `done` steps of at most `total`; `state` is a short text such as the loss.
    fn progress(&self, done: u64, total: u64, state: fmt::Arguments);

    /// A line of the leaderboard of `auto` is known.
    fn compared(&self, _: &Standing) {}

    /// Whether to stop with the best model so far.
    fn stopped(&self) -> bool;
}

/// Tells the watch how far the reading of files is, and the reader whether to stop.
fn watched_reading<'a>(paths: &[String], watch: &'a dyn Watch) -> impl Fn(Passed) -> bool + use<'a> {
    watch.stage("reading");
    let size = |path: &String| std::fs::metadata(path).map(|file| file.len()).ok();
    // Pipes have no size.
    let sizes: Vec<u64> = paths.iter().map_while(size).collect();
    let total = if sizes.len() == paths.len() { sizes.iter().sum() } else { 0 };
    move |passed| {
        let before: u64 = sizes.iter().take(passed.file).sum();
        watch.read(before + passed.bytes, total, passed.rows);
        watch.stopped()
    }
}

/// Shows no progress and never stops a fit.
pub struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

    fn stopped(&self) -> bool {
        false
    }
}
