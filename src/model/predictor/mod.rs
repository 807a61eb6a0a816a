//! The inference forms: flat arrays, checked once at load, then without allocation and unable to fail.
//!
//! An inference form knows nothing of how it was fitted. A new one is a variant of [`Predictor`], a file in
//! this folder, and a line in each `match` below.

pub(crate) mod arrays;
#[cfg(feature = "import")]
pub(crate) mod graph;
mod kd_tree;
pub(crate) mod kernel;
pub(crate) mod linear;
pub(crate) mod link;
pub(crate) mod naive_bayes;
pub(crate) mod nearest;
pub(crate) mod neighbours;
pub(crate) mod network;
mod pairwise;
mod quick_scorer;
mod ranked_trees;
pub(crate) mod support_vectors;
pub(crate) mod tree_arrays;
pub(crate) mod trees;

use anyhow::{Result, bail};

#[cfg(feature = "import")]
use crate::data::cells::text::Texts;

pub use arrays::{Array, Arrays};
pub(crate) use arrays::{take_f64, take_u8, take_u32};
#[cfg(feature = "import")]
pub use graph::Graph;
pub use linear::Linear;
pub use link::Link;
pub(crate) use link::{exp, sigmoid, softmax};
use naive_bayes::NaiveBayes;
use neighbours::Neighbours;
use network::Network;
use support_vectors::SupportVectors;
use trees::Trees;

/// What a predictor takes, about.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Footprint {
    /// Nanoseconds of a row that is scored by itself, on a processor of these years.
    pub nanoseconds: f64,
    /// Bytes in a model file.
    pub bytes: f64,
}

impl Footprint {
    /// That of the same predictor fitted on so many times the rows, whose parts are in proportion to the rows.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { nanoseconds: self.nanoseconds * factor, bytes: self.bytes * factor }
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
    NaiveBayes(Box<NaiveBayes>),
    /// The nearest training rows.
    Neighbours(Box<Neighbours>),
    /// Dense layers.
    Network(Box<Network>),
    /// A support vector machine.
    SupportVectors(Box<SupportVectors>),
    /// A graph of ONNX operators.
    #[cfg(feature = "import")]
    Graph(Box<Graph>),
}

impl Predictor {
    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.n_inputs,
            Self::Trees(trees) => trees.n_inputs(),
            Self::NaiveBayes(bayes) => bayes.n_inputs(),
            Self::Neighbours(neighbours) => neighbours.n_inputs(),
            Self::Network(net) => net.n_inputs(),
            Self::SupportVectors(machine) => machine.n_inputs(),
            #[cfg(feature = "import")]
            Self::Graph(graph) => graph.n_inputs(),
        }
    }

    /// Whether rows of `n_dense` numbers and, behind them, `n_sparse` sparse columns are what goes in.
    pub(crate) fn reads(&self, n_dense: usize, n_sparse: usize) -> bool {
        match self {
            Self::Linear(linear) => n_dense.checked_add(n_sparse) == Some(linear.n_inputs),
            Self::NaiveBayes(bayes) => (bayes.n_columns(), bayes.n_terms()) == (n_dense, n_sparse),
            _ => n_sparse == 0 && n_dense == self.n_inputs(),
        }
    }

    /// Numbers per row that come out: one per class, or one value.
    pub fn n_outputs(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.n_outputs(),
            Self::Trees(trees) => trees.n_outputs(),
            Self::NaiveBayes(bayes) => bayes.n_outputs(),
            Self::Neighbours(neighbours) => neighbours.n_outputs(),
            Self::Network(net) => net.n_outputs(),
            Self::SupportVectors(machine) => machine.n_outputs(),
            #[cfg(feature = "import")]
            Self::Graph(graph) => graph.n_outputs(),
        }
    }

    /// Builds what many rows are scored faster with now, instead of after many rows.
    pub(crate) fn prepare(&self) {
        if let Self::Trees(trees) = self {
            trees.prepare();
        }
    }

    /// Scores one prepared row of [`Predictor::n_inputs`] numbers into `out` of
    /// [`Predictor::n_outputs`]: the probability of each class, or the predicted value.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        match self {
            Self::Linear(linear) => linear.scores_into(x, out),
            Self::Trees(trees) => trees.scores_into(x, out),
            Self::NaiveBayes(bayes) => bayes.scores_into(x, out),
            Self::Neighbours(neighbours) => neighbours.scores_into(x, out),
            Self::Network(net) => net.scores_into(x, out),
            Self::SupportVectors(machine) => machine.scores_into(x, out),
            #[cfg(feature = "import")]
            Self::Graph(graph) => graph.scores_block(x, &Texts::default(), out),
        }
    }

    /// As [`Predictor::scores_into`] of a row whose last inputs are sparse: the columns that are not 0,
    /// counted behind those of `x`, and their values. Only linear predictors and naive Bayes have such
    /// inputs.
    pub fn sparse_scores_into(&self, x: &[f64], sparse: (&[u32], &[f64]), out: &mut [f64]) {
        match self {
            Self::Linear(linear) => linear.sparse_scores_into(x, sparse, out),
            Self::NaiveBayes(bayes) => bayes.sparse_scores_into(x, sparse, out),
            Self::Trees(_) | Self::Neighbours(_) | Self::Network(_) | Self::SupportVectors(_) => {
                self.scores_into(x, out)
            }
            #[cfg(feature = "import")]
            Self::Graph(_) => self.scores_into(x, out),
        }
    }

    /// Scores prepared rows, `x` and `out` row by row; the same numbers as one row at a time, faster.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        match self {
            Self::Trees(trees) => trees.scores_block(x, out),
            Self::Neighbours(neighbours) => neighbours.scores_block(x, out),
            Self::Network(net) => net.scores_block(x, out),
            Self::SupportVectors(machine) => machine.scores_block(x, out),
            #[cfg(feature = "import")]
            Self::Graph(graph) => graph.scores_block(x, &Texts::default(), out),
            Self::Linear(linear) => linear.scores_block(x, out),
            Self::NaiveBayes(bayes) => {
                let rows = x.chunks_exact(bayes.n_inputs());
                for (x, out) in rows.zip(out.chunks_exact_mut(bayes.n_outputs())) {
                    bayes.scores_into(x, out);
                }
            }
        }
    }

    /// What it takes, by its shape alone: the same on every machine. Nanoseconds are those that `cargo run --release -p
    /// mlapi-benches --bin one_row` measures, to a factor of two.
    pub fn footprint(&self) -> Footprint {
        let mut arrays = Arrays::new();
        self.write_arrays(&mut arrays);
        let bytes = arrays.values().map(|array| array.n_bytes() as f64).sum();
        let numbers = bytes / 8.0;
        let nanoseconds = match self {
            Self::Trees(trees) => trees.nanoseconds(),
            Self::Linear(_) | Self::Network(_) | Self::NaiveBayes(_) => 0.5 * numbers,
            Self::SupportVectors(_) => 0.4 * numbers,
            Self::Neighbours(_) => 0.2 * numbers,
            #[cfg(feature = "import")]
            Self::Graph(_) => 0.5 * numbers,
        };
        Footprint { nanoseconds: nanoseconds + 100.0, bytes }
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Linear(linear) => linear.validate(),
            Self::Trees(trees) => trees.validate(),
            Self::NaiveBayes(bayes) => bayes.validate(),
            Self::Neighbours(neighbours) => neighbours.validate(),
            Self::Network(net) => net.validate(),
            Self::SupportVectors(machine) => machine.validate(),
            // Checked when it was made.
            #[cfg(feature = "import")]
            Self::Graph(_) => Ok(()),
        }
    }

    /// The importance of each input, if the form has any: one number per input.
    pub fn importances(&self) -> Option<Vec<f64>> {
        match self {
            Self::Linear(linear) => Some(linear.importances()),
            Self::Trees(trees) => Some(trees.importances().to_vec()),
            Self::NaiveBayes(_) => None,
            Self::Neighbours(_) | Self::Network(_) => None,
            Self::SupportVectors(machine) => machine.importances(),
            #[cfg(feature = "import")]
            Self::Graph(_) => None,
        }
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Linear(linear) => linear.link.form(),
            Self::Trees(trees) => trees.form(),
            Self::NaiveBayes(_) => NaiveBayes::FORM,
            Self::Neighbours(_) => Neighbours::FORM,
            Self::Network(net) => net.form(),
            Self::SupportVectors(machine) => machine.form(),
            #[cfg(feature = "import")]
            Self::Graph(_) => Graph::FORM,
        }
    }

    /// Adds the arrays of this predictor.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        match self {
            Self::Linear(linear) => linear.write_arrays(arrays),
            Self::Trees(trees) => trees.write_arrays(arrays),
            Self::NaiveBayes(bayes) => bayes.write_arrays(arrays),
            Self::Neighbours(neighbours) => neighbours.write_arrays(arrays),
            Self::Network(net) => net.write_arrays(arrays),
            Self::SupportVectors(machine) => machine.write_arrays(arrays),
            #[cfg(feature = "import")]
            Self::Graph(graph) => graph.write_arrays(arrays),
        }
    }

    /// Takes a predictor of `form` out of the arrays of a model file; still to be validated.
    ///
    /// # Errors
    /// An unknown form, or an array that is missing.
    pub fn read_arrays(form: &str, arrays: &mut Arrays) -> Result<Self> {
        let links = [Link::Identity, Link::Sigmoid, Link::Softmax, Link::Exponential];
        if let Some(link) = links.into_iter().find(|link| link.form() == form) {
            return Linear::read_arrays(link, arrays).map(Self::Linear);
        }
        if let Some(link) = Trees::link_of_form(form) {
            return Trees::read_arrays(link, arrays).map(|trees| Self::Trees(Box::new(trees)));
        }
        if form == NaiveBayes::FORM {
            return NaiveBayes::read_arrays(arrays).map(|bayes| Self::NaiveBayes(Box::new(bayes)));
        }
        if form == Neighbours::FORM {
            return Neighbours::read_arrays(arrays).map(|neighbours| Self::Neighbours(Box::new(neighbours)));
        }
        if let Some(link) = Network::link_of_form(form) {
            return Network::read_arrays(link, arrays).map(|net| Self::Network(Box::new(net)));
        }
        if let Some(outcome) = SupportVectors::outcome_of_form(form) {
            let machine = SupportVectors::read_arrays(outcome, arrays)?;
            return Ok(Self::SupportVectors(Box::new(machine)));
        }
        #[cfg(feature = "import")]
        if form == Graph::FORM {
            return Graph::read_arrays(arrays).map(|graph| Self::Graph(Box::new(graph)));
        }
        #[cfg(not(feature = "import"))]
        if form == "onnx" {
            bail!("it holds a graph of ONNX, which builds with --features import run and this one does not");
        }
        bail!("unknown kind of predictor {form:?}")
    }
}
