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
use crate::order;

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
    let label =
        option.label.as_ref().map(|label| label_named(&label.0, &schema.target.labels)).transpose()?;
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
pub(crate) fn label_named(label: &str, labels: &[String]) -> Result<usize> {
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

/// The terms of texts that are named: those of the largest parts of the contributions, largest first.
pub(crate) fn terms_shown(explanation: &Explanation, top: Option<usize>) -> Vec<(usize, &str, f64)> {
    const TERMS: usize = 10;
    let mut terms: Vec<(usize, &str, f64)> =
        explanation.terms.iter().map(|(feature, term, value)| (*feature, term.as_str(), *value)).collect();
    terms.retain(|(_, _, value)| *value != 0.0);
    order::sort_by(&mut terms, |a, b| b.2.abs().total_cmp(&a.2.abs()));
    terms.truncate(top.unwrap_or(TERMS));
    terms
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
    out.extend_from_slice(b",\"explanation\":");
    write(schema, codes, row, explanation, top, out);
}

/// Appends an explanation as a JSON object.
pub(crate) fn write(
    schema: &Schema,
    codes: &Matrix,
    row: usize,
    explanation: &Explanation,
    top: Option<usize>,
    out: &mut Vec<u8>,
) {
    /// Appends text, then a value as JSON; this fails for neither.
    fn text(before: &str, value: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(before.as_bytes());
        let _ = serde_json::to_writer(out, value);
    }
    fn digits(before: &str, value: f64, out: &mut Vec<u8>) {
        out.extend_from_slice(before.as_bytes());
        number(value, out);
    }
    fn json(before: &str, value: serde_json::Value, out: &mut Vec<u8>) {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(value.to_string().as_bytes());
    }
    out.push(b'{');
    if let Some(label) = explanation.label {
        json("\"label\":", schema.target.json_label(&schema.target.labels[label]), out);
        out.push(b',');
    }
    digits("\"base\":", explanation.base, out);
    digits(",\"score\":", explanation.score, out);
    text(",\"scale\":", explanation.scale, out);
    let (largest, others) = named(explanation, top);
    // All of them in the order of the schema, some of them by size.
    let shown = if top.is_none() { (0..schema.n_features()).collect() } else { largest };
    out.extend_from_slice(b",\"contributions\":{");
    for (i, &feature) in shown.iter().enumerate() {
        text(if i > 0 { "," } else { "" }, &schema.features[feature].name, out);
        digits(":", explanation.contributions[feature], out);
    }
    out.push(b'}');
    if let Some(others) = others {
        digits(",\"others\":", others, out);
    }
    let terms = terms_shown(explanation, top);
    if !terms.is_empty() {
        let mut of_features = serde_json::Map::new();
        for (feature, term, value) in terms {
            let of_feature =
                of_features.entry(&schema.features[feature].name).or_insert_with(|| serde_json::json!({}));
            of_feature[term] = value.into();
        }
        json(",\"terms\":", of_features.into(), out);
    }
    if let Some(error) = explanation.standard_error {
        digits(",\"standard_error\":", error, out);
    }
    let values = schema.values_of(codes, row);
    let words = reasons(schema, &values, explanation, top.unwrap_or(REASONS));
    json(",\"reasons\":", words.into(), out);
    out.push(b'}');
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
