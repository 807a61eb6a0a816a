//! `POST /rank`: candidates in a context, ordered by the probability of a label or by the predicted value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answering::{Answered, misread, predict_rows, respond};
use crate::background::give_way_at;
use crate::data::cells::cell::Tolerance;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::Problems;
use crate::data::cells::schema::Schema;
use crate::data::read::json::{self, Label};
use crate::model::Model;
use crate::model::pipeline::Decision;
use crate::predict::ranked::{Best, Placed, score_of};
use crate::server::error::Failure;

/// Bytes that are read in all, as the context is read again for each candidate.
const MAX_READ_BYTES: usize = 256 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    /// Features that all candidates share.
    #[serde(borrow, default)]
    context: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// The features of each, which go before those of the context.
    #[serde(borrow)]
    candidates: Vec<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    /// The label whose probability they are ordered by.
    #[serde(default)]
    by: Option<Label>,
    /// So many of the first.
    #[serde(default)]
    top: Option<usize>,
}

/// Answers a request.
///
/// # Errors
/// A body that cannot be read, has too many candidates, or does not fit the model.
pub(crate) fn rank(model: &Model, body: &[u8], max_rows: usize) -> Result<Answered, Failure> {
    const SEND: &str = "send {\"context\":{…},\"candidates\":[{…},…]}";
    let request: Request = serde_json::from_slice(body).map_err(|error| misread(&error, body, SEND))?;
    let schema = &model.pipeline.schema;
    let by = request.by.as_ref().map(|label| label.0.as_str());
    let score = score_of(model.labels(), &schema.target.name, by)
        .map_err(|error| Failure::unfit("/by", error.to_string()))?;
    let n_rows = request.candidates.len();
    let context: usize = request.context.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    if n_rows > max_rows || context.saturating_mul(n_rows) > MAX_READ_BYTES {
        return Err(Failure::TooManyRows(max_rows.min(MAX_READ_BYTES / context.max(1))));
    }
    if n_rows == 0 {
        return Err(Failure::unfit("/candidates", "there are no candidates".into()));
    }
    let codes = read(&request, schema)?;
    let decision = Decision::MostProbable;
    let predictions = predict_rows(model, &codes, decision, |row| format!("/candidates/{row}"))?;
    let mut best = Best::new(request.top.unwrap_or(n_rows));
    for (row, scores) in predictions.scores.rows().enumerate() {
        best.offer(scores[score], row, &mut || (Vec::new(), Vec::new()));
    }
    let placed = |row: Placed| serde_json::json!({ "index": row.index, "score": row.score });
    let ranking: Vec<serde_json::Value> = best.into_rows().into_iter().map(placed).collect();
    let response = respond("application/json", serde_json::json!({ "ranking": ranking }).to_string());
    Ok(Answered { response, codes, predictions, decision })
}

/// The codes of the candidates in their context.
fn read(request: &Request, schema: &Schema) -> Result<Matrix, Failure> {
    let mut codes = Matrix::with_capacity(request.candidates.len(), schema.n_features());
    let (mut problems, mut text) = (Problems::default(), String::new());
    for (row, candidate) in request.candidates.iter().enumerate() {
        give_way_at(row);
        text.clear();
        text.push('{');
        let shared = request.context.iter().filter(|(name, _)| !candidate.contains_key(*name));
        for (i, (name, value)) in shared.chain(candidate).enumerate() {
            text.push_str(if i > 0 { "," } else { "" });
            text.push_str(&serde_json::Value::from(&**name).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        match json::read_row(text.as_bytes(), schema, Tolerance::Strict, &mut codes) {
            Ok(found) => {
                let n_listed = found.listed.len();
                for problem in found.listed {
                    problems.push_with(|| (format!("/candidates/{row}{}", problem.pointer), problem.detail));
                }
                problems.total += found.total - n_listed;
            }
            Err(_) => return Err(Failure::unfit(&format!("/candidates/{row}"), "it is no row".into())),
        }
    }
    if problems.total > 0 { Err(Failure::DoesNotFit(problems)) } else { Ok(codes) }
}
