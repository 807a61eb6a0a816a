//! Values of flags that are one of a few words.

use clap::ValueEnum;

use crate::data::cells::cell::Task;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Format of the result of `train`, `eval` and `inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object.
    Json,
}

/// Format of the result of `predict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Text for one row; for a file, the format of the input.
    Text,
    /// One JSON object, the response of the HTTP API.
    Json,
    /// One JSON object per row and line.
    Ndjson,
}

/// Task to train for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// Inferred from the values of the target.
    Auto,
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
}

impl TaskChoice {
    /// The task, unless it is to be inferred.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Auto => None,
            Self::Classification => Some(Task::Classification),
            Self::Regression => Some(Task::Regression),
        }
    }
}
