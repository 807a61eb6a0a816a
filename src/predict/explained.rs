//! Explanations beside predictions: as JSON, and as numbers of added columns.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::answer::number;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::read::json::{ExplainOption, ReferenceOption, ScaleOption};
use crate::model::Model;
use crate::model::explain::{Against, Explainer, Explanation, Scale, Wish, reasons};
use crate::model::pipeline::{Pipeline, Predictions};
use crate::names::{did_you_mean, quote};

/// Reasons in words unless a number of contributions is asked for.
const REASONS: usize = 3;

/// Rows of a request that are explained exactly, and of one whose contributions are sampled.
const MAX_ROWS: usize = 10_000;
const MAX_SAMPLED_ROWS: usize = 100;

/// An explainer and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Explain {
    explainer: Arc<Explainer>,
    wish: Wish,
}

impl Explain {
    /// Explanations of a model as wished.
    ///
    /// # Errors
    /// A model that cannot be explained so, with the remedy.
    pub fn new(explainer: Arc<Explainer>, pipeline: &Pipeline, wish: Wish) -> Result<Self> {
        explainer.check(pipeline, wish)?;
        Ok(Self { explainer, wish })
    }

    /// As [`Explain::new`], with an explainer for this alone.
    ///
    /// # Errors
    /// As there.
    pub fn of_model(model: &Model, wish: Wish) -> Result<Self> {
        let explainer = Explainer::new(&model.pipeline, &model.reference);
        Self::new(Arc::new(explainer), &model.pipeline, wish)
    }

    /// Explains rows of codes that were predicted, on this thread.
    ///
    /// # Errors
    /// None that [`Explain::new`] has not found.
    pub(crate) fn rows(
        &self,
        pipeline: &Pipeline,
        codes: &Matrix,
        predictions: &Predictions,
    ) -> Result<Vec<Explanation>> {
        self.explainer.explain(pipeline, codes, &predictions.classes, self.wish)
    }

    /// Rows of a request that are explained at most: sampling takes up to thousands of predictions for each.
    pub(crate) fn max_rows(&self) -> usize {
        if self.explainer.samples() { MAX_SAMPLED_ROWS } else { MAX_ROWS }
    }

    /// The wish.
    pub(crate) fn wish(&self) -> Wish {
        self.wish
    }
}

/// The wish of a request's option.
///
/// # Errors
/// A label that the model does not have.
pub(crate) fn wish_of(option: &ExplainOption, schema: &Schema) -> Result<Wish> {
    let label = option.label.as_ref().map(|label| label_named(&label.0, schema)).transpose()?;
    Ok(Wish {
        top: option.top.map(|top| top as usize),
        label,
        scale: match option.scale {
            ScaleOption::Score => Scale::Score,
            ScaleOption::Probability => Scale::Prediction,
        },
        against: match option.reference {
            ReferenceOption::Path => Against::Path,
            ReferenceOption::Background => Against::Background,
        },
    })
}

/// The number of a label.
///
/// # Errors
/// A label that the model does not have.
pub(crate) fn label_named(label: &str, schema: &Schema) -> Result<usize> {
    let labels = &schema.target.labels;
    labels.iter().position(|other| other == label).with_context(|| {
        if labels.is_empty() {
            return "the model predicts a number and has no labels".to_string();
        }
        format!(
            "the model has no label {}{}",
            quote(label),
            did_you_mean(label, labels.iter().map(String::as_str))
        )
    })
}

/// The contributions that are named, largest first, and the sum of the others if there are any.
pub(crate) fn named(explanation: &Explanation, top: Option<usize>) -> (Vec<usize>, Option<f64>) {
    let mut largest = explanation.largest();
    let Some(top) = top.filter(|&top| top < largest.len()) else { return (largest, None) };
    let others = largest.split_off(top);
    (largest, Some(others.iter().map(|&feature| explanation.contributions[feature]).sum()))
}

/// Appends a member `explanation` to a JSON object that ends in `out`. `row` is the row of the codes.
pub(crate) fn append(
    schema: &Schema,
    codes: &Matrix,
    row: usize,
    explanation: &Explanation,
    top: Option<usize>,
    out: &mut Vec<u8>,
) {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut member = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    };
    let digits = |value: f64| {
        let mut out = Vec::new();
        number(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    };
    member(",\"explanation\":{", "");
    if let Some(label) = explanation.label {
        member("\"label\":", &schema.target.json_label(&schema.target.labels[label]).to_string());
        member(",", "");
    }
    member("\"base\":", &digits(explanation.base));
    member(",\"score\":", &digits(explanation.score));
    member(",\"scale\":", &quoted(explanation.scale));
    let (largest, others) = named(explanation, top);
    // All of them in the order of the schema, some of them by size.
    let shown = if top.is_none() { (0..schema.n_features()).collect() } else { largest };
    member(",\"contributions\":{", "");
    for (i, &feature) in shown.iter().enumerate() {
        member(if i > 0 { "," } else { "" }, &quoted(&schema.features[feature].name));
        member(":", &digits(explanation.contributions[feature]));
    }
    member("}", "");
    if let Some(others) = others {
        member(",\"others\":", &digits(others));
    }
    if let Some(error) = explanation.standard_error {
        member(",\"standard_error\":", &digits(error));
    }
    let values = schema.values_of(codes, row);
    let words = reasons(schema, &values, explanation, top.unwrap_or(REASONS));
    member(",\"reasons\":", &serde_json::Value::from(words).to_string());
    member("}", "");
}

/// The names of the columns that explanations add to a table.
pub(crate) fn columns(schema: &Schema) -> impl Iterator<Item = String> + '_ {
    let contributions = schema.features.iter().map(|feature| format!("contribution_{}", feature.name));
    std::iter::once("base".to_string()).chain(contributions)
}

/// The numbers of these columns.
pub(crate) fn numbers(explanation: &Explanation) -> impl Iterator<Item = f64> + '_ {
    std::iter::once(explanation.base).chain(explanation.contributions.iter().copied())
}
