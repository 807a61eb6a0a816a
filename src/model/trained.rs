//! What a training came to: learn makes it, the command line saves its model and report shows the rest.

use super::Model;
use crate::data::judge::profile::Profile;

/// A trained model and what is to be said about it.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// The contents of each column of the file.
    pub profiles: Vec<Profile>,
    /// The name of the training files in messages.
    pub source: String,
    /// Rows of the training files.
    pub n_rows: usize,
    /// The reason for the target.
    pub target_reason: String,
    /// The reason for the task.
    pub task_reason: String,
    /// The manner in which the held-out rows were chosen; empty if they are another file.
    pub split_reason: String,
    /// The reason for the algorithm.
    pub algorithm_reason: String,
    /// Time spent fitting recipe and predictor.
    pub fit_seconds: f64,
}
