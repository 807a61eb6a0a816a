//! What a report is about: one model, or predictions made elsewhere, on some rows.

use crate::data::cells::cell::Task;
use crate::model::evaluation::associations::Associations;
use crate::model::evaluation::detail::DetailedEvaluation;
use crate::model::{Card, Model};

/// The rows that the figures of a report are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Held out at training, and read again.
    HeldOut,
    /// Held out at training; the figures are those recorded then.
    Recorded,
    /// Those of a file.
    File(String),
}

impl Rows {
    /// As in "right on 93 % of …", without their number.
    pub(super) fn words(&self) -> String {
        match self {
            Self::HeldOut | Self::Recorded => "rows it has never seen".into(),
            Self::File(path) if path == "-" => "rows of standard input".into(),
            Self::File(path) => format!("rows of {path}"),
        }
    }
}

/// One model on some rows.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// Its name: of its file, or the one it is served by.
    pub(crate) name: String,
    pub(crate) rows: Rows,
    pub(crate) detailed: &'a DetailedEvaluation,
    /// With the card to show, which a server does not show as it is; none for predictions made elsewhere.
    pub(crate) model: Option<(&'a Model, &'a Card)>,
    /// Whether the report is served: then it shows no row of the training file.
    pub(crate) served: bool,
    /// Of the columns of these rows.
    pub(crate) associations: Option<&'a Associations>,
}

impl Subject<'_> {
    /// The label of the positive class, if there are two.
    pub(super) fn positive(&self) -> Option<String> {
        self.detailed.evaluation.positive.as_ref().map(super::label)
    }

    /// Whether classes are predicted.
    pub(super) fn has_classes(&self) -> bool {
        self.detailed.evaluation.task == Task::Classification
    }

    /// Rows of a class.
    pub(super) fn support(&self, label: &serde_json::Value) -> Option<u64> {
        let classes = self.detailed.evaluation.classes.as_ref()?;
        classes.iter().find(|class| class.label == *label).map(|class| class.metrics.support)
    }
}
