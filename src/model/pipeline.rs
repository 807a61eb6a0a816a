//! Schema + recipe + predictor: the steps from codes to scores to decisions.
//!
//! The same code scores a fold of cross-validation, the held-out rows, a file, and a request. Not here: cells become
//! codes in [`crate::data`], scores become figures in [`super::evaluation`].

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

use super::predictor::Predictor;
use crate::background::give_way;
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::text::Texts;
use crate::data::prepare::recipe::Recipe;

/// The fitted steps from a row of codes to its scores.
#[derive(Debug)]
pub struct Pipeline {
    /// The columns.
    pub schema: Schema,
    /// The preparation of a row.
    pub recipe: Recipe,
    /// The inference form that turns prepared rows into scores.
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

/// The message for a row whose prediction is not a number.
pub(crate) const NOT_FINITE: &str =
    "the prediction is not a finite number: values of the row are too far from those of training";

impl Predictions {
    /// Whether the scores of a row are numbers; those of values that are far out may overflow.
    pub(crate) fn is_finite(&self, row: usize) -> bool {
        self.scores.row(row).iter().all(|score| score.is_finite())
    }

    /// The first row whose scores are not all numbers.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        let at = self.scores.values().iter().position(|score| !score.is_finite())?;
        Some(at / self.scores.n_cols().max(1))
    }

    /// Removes all but the first `n_rows` rows.
    pub(crate) fn truncate(&mut self, n_rows: usize) {
        self.scores.truncate(n_rows);
        self.classes.truncate(n_rows);
    }
}

/// Rows that are encoded and scored together: enough for one task of a thread, few enough to stay in cache.
const BLOCK_ROWS: usize = 512;

/// Numbers of the encoded rows of a block, so that wide rows do not take memory by the hundred.
const BLOCK_NUMBERS: usize = 1 << 20;

impl Pipeline {
    /// The task: classes or a number.
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
        let (n_dense, n_sparse) = (self.recipe.n_dense(), self.recipe.n_sparse());
        ensure!(
            self.predictor.reads(n_dense, n_sparse),
            "the predictor does not read rows of {n_dense} numbers and {n_sparse} terms, which the recipe makes"
        );
        Ok(())
    }

    /// The rows of a block.
    fn block_rows(&self) -> usize {
        (BLOCK_NUMBERS / self.recipe.n_buffered().max(1)).clamp(1, BLOCK_ROWS)
    }

    /// Scores rows of codes (`n_rows × n_features`): for each row the probability of every class, or the predicted
    /// value (`n_rows × width`). A missing value is encoded as the recipe was fitted to. More than a block of rows is
    /// scored on all cores, with the same result.
    pub fn scores(&self, codes: &Matrix) -> Matrix {
        let (width, n_features) = (self.predictor.n_outputs(), self.schema.n_features());
        let block_rows = self.block_rows();
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let score_block = |(block, out): (&[f64], &mut [f64])| {
            self.score_block(block, codes.texts(), &mut Vec::new(), out);
            give_way();
        };
        if codes.n_rows() <= block_rows {
            score_block((codes.values(), scores.values_mut()));
        } else {
            codes
                .values()
                .par_chunks(block_rows * n_features)
                .zip(scores.values_mut().par_chunks_mut(block_rows * width))
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

    /// Does as [`Pipeline::predict`] on this thread alone, for callers that use all cores themselves.
    pub fn predict_serially(&self, codes: &Matrix, decision: Decision) -> Predictions {
        let width = self.predictor.n_outputs();
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let mut buffer = Vec::new();
        let block_rows = self.block_rows();
        let blocks = codes.values().chunks(block_rows * self.schema.n_features());
        for (block, out) in blocks.zip(scores.values_mut().chunks_mut(block_rows * width)) {
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

/// The rule by which probabilities become a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// The most probable class, the first of equals.
    MostProbable,
    /// The class `positive` of two if its probability is at least `threshold`, else the other.
    Threshold {
        /// From 0 to 1.
        threshold: f64,
        /// Index of the class that the threshold is for.
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

    /// The class that the probabilities of one row lead to.
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

    fn pipeline(file: &str) -> Pipeline {
        let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        crate::Plan { algorithm: "tree".into(), ..crate::Plan::new(path) }.train().unwrap().pipeline
    }

    #[test]
    fn scores_do_not_depend_on_the_rows_beside_and_on_who_shares_out_the_work() {
        let pipeline = pipeline("penguins.csv");
        let n_rows = 2 * BLOCK_ROWS + 1;
        let mut codes = Matrix::with_capacity(n_rows, pipeline.schema.n_features());
        for i in 0..n_rows {
            let row = codes.push_row(f64::NAN);
            // Categories have two levels or more; some values are missing.
            row.iter_mut()
                .enumerate()
                .filter(|(j, _)| (i + j) % 5 > 0)
                .for_each(|(j, code)| *code = ((i + j) % 2) as f64);
        }
        let all = pipeline.predict(&codes, Decision::MostProbable);
        assert_eq!(all, pipeline.predict_serially(&codes, Decision::MostProbable));
        for i in [0, BLOCK_ROWS - 1, BLOCK_ROWS, n_rows - 1] {
            let mut one = Matrix::with_capacity(1, codes.n_cols());
            one.push_row(0.0).copy_from_slice(codes.row(i));
            assert_eq!(pipeline.scores(&one).row(0), all.scores.row(i), "row {i}");
        }
    }

    #[test]
    fn a_score_that_is_no_number_is_found_by_its_row() {
        let mut scores = Matrix::with_capacity(3, 2);
        [[0.5, 0.5], [1.0, f64::NAN], [f64::INFINITY, 0.0]]
            .iter()
            .for_each(|row| scores.push_row(0.0).copy_from_slice(row));
        let mut predictions = Predictions { scores, classes: vec![0, 0, 0] };
        assert_eq!(predictions.first_not_finite(), Some(1));
        assert_eq!([0, 1, 2].map(|row| predictions.is_finite(row)), [true, false, false]);
        predictions.truncate(1);
        assert_eq!((predictions.first_not_finite(), predictions.classes.len()), (None, 1));
    }

    #[test]
    fn a_predictor_of_another_shape_is_refused() {
        let (three, number) = (pipeline("penguins.csv"), pipeline("diabetes.csv"));
        three.validate().unwrap();
        let mixed = Pipeline { predictor: number.predictor, ..three };
        assert!(mixed.validate().unwrap_err().to_string().contains("the predictor maps"));
    }

    #[test]
    fn a_threshold_needs_two_classes() {
        for (file, words) in [("penguins.csv", "has 3 classes"), ("diabetes.csv", "predicts a number")] {
            let schema = pipeline(file).schema;
            assert_eq!(Decision::with_threshold(None, &schema).unwrap(), Decision::MostProbable);
            let error = Decision::with_threshold(Some(0.5), &schema).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
