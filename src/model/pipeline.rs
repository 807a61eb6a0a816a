//! What predicts: schema + recipe + predictor, from codes to scores to decisions.
//!
//! The same code scores a fold of cross-validation, the held-out rows, a file, and a request.

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

use super::predictor::Predictor;
use crate::background::give_way;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Schema, Task};
use crate::data::cells::text::Texts;
use crate::data::prepare::recipe::Recipe;

/// What columns are, how a row is prepared, and what turns it into scores.
#[derive(Debug)]
pub struct Pipeline {
    /// What the columns are.
    pub schema: Schema,
    /// How a row is prepared.
    pub recipe: Recipe,
    /// What turns prepared rows into scores.
    pub predictor: Predictor,
}

/// The predictions for a batch of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// `n_rows × width`: the probability of each class, or one value.
    pub scores: Matrix,
    /// The predicted class of each row; empty for regression.
    pub classes: Vec<u32>,
}

/// Rows that are encoded and scored together: large enough to share out, small enough to stay in cache.
const BLOCK_ROWS: usize = 512;

impl Pipeline {
    /// What is predicted.
    pub fn task(&self) -> Task {
        self.schema.target.task
    }

    /// The class labels; empty for regression.
    pub fn labels(&self) -> &[String] {
        &self.schema.target.labels
    }

    /// Checks that the parts fit each other; for pipelines that were read from a file.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn validate(&self) -> Result<()> {
        self.schema.validate()?;
        self.predictor.validate()?;
        let (inputs, outputs) = (self.predictor.n_inputs(), self.predictor.n_outputs());
        let wanted = match self.task() {
            Task::Classification => self.labels().len(),
            Task::Regression => 1,
        };
        ensure!(
            inputs == self.recipe.n_slots() && outputs == wanted,
            "the predictor maps {inputs} numbers to {outputs}, the schema {} to {wanted}",
            self.recipe.n_slots()
        );
        let reads_sparse = matches!(self.predictor, Predictor::Linear(_) | Predictor::NaiveBayes(_));
        ensure!(
            reads_sparse || !self.recipe.has_sparse_texts(),
            "the predictor cannot read the sparse columns that the recipe makes"
        );
        Ok(())
    }

    /// Scores rows of codes (`n_rows × n_features`): for each row the probability of every class, or the
    /// predicted value. More than a block of rows is shared out over all cores; the result is the same.
    pub fn scores(&self, codes: &Matrix) -> Matrix {
        let (width, n_features) = (self.predictor.n_outputs(), self.schema.n_features());
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let score_block = |(block, out): (&[f64], &mut [f64])| {
            self.score_block(block, codes.texts(), &mut Vec::new(), out);
            give_way();
        };
        if codes.n_rows() <= BLOCK_ROWS {
            score_block((codes.values(), scores.values_mut()));
        } else {
            codes
                .values()
                .par_chunks(BLOCK_ROWS * n_features)
                .zip(scores.values_mut().par_chunks_mut(BLOCK_ROWS * width))
                .for_each(score_block);
        }
        scores
    }

    fn score_block(&self, codes: &[f64], texts: &Texts, buffer: &mut Vec<f64>, out: &mut [f64]) {
        let (x, sparse) = self.recipe.encode_block(codes, texts, buffer);
        if sparse.n_rows() == 0 {
            return self.predictor.scores_block(x, out);
        }
        let n_dense = x.len() / sparse.n_rows();
        for (i, out) in out.chunks_exact_mut(self.predictor.n_outputs()).enumerate() {
            self.predictor.sparse_scores_into(&x[i * n_dense..(i + 1) * n_dense], sparse.row(i), out);
        }
    }

    /// Predicts rows of codes (`n_rows × n_features`).
    pub fn predict(&self, codes: &Matrix, decision: Decision) -> Predictions {
        self.decide(self.scores(codes), decision)
    }

    /// As [`Pipeline::predict`], on this thread alone; for callers that share the work out themselves.
    pub fn predict_serially(&self, codes: &Matrix, decision: Decision) -> Predictions {
        let width = self.predictor.n_outputs();
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let mut buffer = Vec::new();
        let blocks = codes.values().chunks(BLOCK_ROWS * self.schema.n_features());
        for (block, out) in blocks.zip(scores.values_mut().chunks_mut(BLOCK_ROWS * width)) {
            give_way();
            self.score_block(block, codes.texts(), &mut buffer, out);
        }
        self.decide(scores, decision)
    }

    fn decide(&self, scores: Matrix, decision: Decision) -> Predictions {
        let classes = match self.task() {
            Task::Regression => Vec::new(),
            Task::Classification => scores.rows().map(|row| decision.class(row)).collect(),
        };
        Predictions { scores, classes }
    }
}

/// How probabilities become a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// The most probable class, the first of equals.
    MostProbable,
    /// The class `positive` of two where its probability is at least `threshold`, else the other.
    Threshold {
        /// From 0 to 1.
        threshold: f64,
        /// Index of the class the threshold is for.
        positive: usize,
    },
}

impl Decision {
    /// The decision for a threshold on the second of two classes, or for none.
    ///
    /// # Errors
    /// A threshold for a model that does not choose between two classes.
    pub fn with_threshold(threshold: Option<f64>, schema: &Schema) -> Result<Self> {
        let Some(threshold) = threshold else {
            return Ok(Self::MostProbable);
        };
        let n_classes = schema.target.labels.len();
        if n_classes != 2 {
            let what = match schema.target.task {
                Task::Regression => "predicts a number".to_string(),
                Task::Classification => format!("has {n_classes} classes"),
            };
            bail!("a threshold needs a model with two classes; this one {what}");
        }
        Ok(Self::Threshold { threshold, positive: 1 })
    }

    /// The class that these probabilities of one row decide for.
    pub fn class(self, probabilities: &[f64]) -> u32 {
        match self {
            Self::MostProbable => {
                let mut best = 0;
                for (class, p) in probabilities.iter().enumerate() {
                    if *p > probabilities[best] {
                        best = class;
                    }
                }
                best as u32
            }
            Self::Threshold { threshold, positive } => {
                let is_positive = probabilities[positive] >= threshold;
                (if is_positive { positive } else { 1 - positive }) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equally_probable_classes_is_predicted_and_a_threshold_is_inclusive() {
        assert_eq!(Decision::MostProbable.class(&[0.4, 0.4, 0.2]), 0);
        let decision = |threshold, positive| Decision::Threshold { threshold, positive };
        assert_eq!(decision(0.3, 1).class(&[0.7, 0.3]), 1);
        assert_eq!(decision(0.31, 1).class(&[0.7, 0.3]), 0);
        assert_eq!(decision(0.8, 0).class(&[0.7, 0.3]), 1);
    }
}
