//! From a parsed request to a response: the part that the handlers of all protocols share.
//!
//! Rows and options come from [`super::native`], [`super::v2`] and [`super::mlflow`], which read the request body;
//! failures are described in [`crate::server::error`].

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::cause;
use crate::background;
use crate::data::cells::matrix::Matrix;
use crate::data::read::csv::TooManyColumns;
use crate::data::read::json::{ExplainOption, Malformed, explain};
use crate::model::Model;
use crate::model::explain::Explanation;
use crate::model::pipeline::{Decision, NOT_FINITE, Predictions};
use crate::predict::{BadRows, Options, TooManyRows};
use crate::server::error::Failure;
use crate::server::models::served::Served;
use crate::server::wire::body::Response;

/// Why there is no interval, and no set.
pub(super) const NO_INTERVAL: &str = "the model gives no intervals; train it with --interval";
pub(super) const NO_SETS: &str = "the model gives no prediction sets; train it with --conformal";

/// The name of the request body in messages.
pub(crate) const SOURCE: &str = "the body";

/// The format of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON: any content type that is not one of the others.
    Json,
    /// Delimited text, and whether its first line names the columns, if the content type says so.
    Csv {
        /// The parameter `header` of RFC 4180.
        header: Option<bool>,
    },
    /// One JSON row per line.
    Ndjson,
}

impl Form {
    /// The format that a content type announces.
    pub(crate) fn of(content_type: Option<&HeaderValue>) -> Self {
        let Some(Ok(text)) = content_type.map(HeaderValue::to_str) else {
            return Self::Json;
        };
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        if media_type.eq_ignore_ascii_case("application/x-ndjson") {
            Self::Ndjson
        } else if media_type.eq_ignore_ascii_case("text/csv") {
            let is = |part: &str, value: &str| part.eq_ignore_ascii_case(value);
            let header = parts.find_map(|part| match part {
                _ if is(part, "header=present") => Some(true),
                _ if is(part, "header=absent") => Some(false),
                _ => None,
            });
            Self::Csv { header }
        } else {
            Self::Json
        }
    }
}

/// A response with the rows and predictions it was made from, for the counters and logs.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The response to the client.
    pub(crate) response: Response,
    /// `n_rows × n_features` codes.
    pub(crate) codes: Matrix,
    /// The predictions, one per row.
    pub(crate) predictions: Predictions,
    /// The decision rule of these predictions.
    pub(crate) decision: Decision,
}

/// A response with status 200.
pub(crate) fn respond(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The content type of a response with predictions.
pub(crate) fn content_type(form: Form) -> &'static str {
    match form {
        Form::Json => "application/json",
        Form::Csv { .. } => "text/csv; charset=utf-8",
        Form::Ndjson => "application/x-ndjson",
    }
}

/// The failure for JSON that holds no rows.
pub(crate) fn malformed(error: Malformed, body: &[u8], max_rows: usize) -> Failure {
    match error {
        Malformed::NotJson(text) => Failure::NotJson(cause::of_body(body).map_or(text, str::to_string)),
        Malformed::TooManyRows => Failure::TooManyRows(max_rows),
    }
}

/// The failure for JSON of another structure than the protocol has, or for no JSON; the reason without a long value of the
/// request. `send`: what to send instead of an array.
pub(crate) fn misread(error: &serde_json::Error, body: &[u8], send: &str) -> Failure {
    const SHOWN: usize = 200;
    if error.is_data() && body.trim_ascii_start().starts_with(b"[") {
        return Failure::unfit("", format!("the body is an array without a name; {send}"));
    }
    let mut reason = match cause::of_body(body) {
        Some(cause) if !error.is_data() => return Failure::NotJson(cause.into()),
        _ => explain(body, error),
    };
    if let Some((end, _)) = reason.char_indices().nth(SHOWN) {
        reason.truncate(end);
        reason += &format!("… at line {} column {}", error.line(), error.column());
    }
    match error.classify() {
        serde_json::error::Category::Data => Failure::unfit("", reason),
        _ => Failure::NotJson(reason),
    }
}

/// Predicts the rows of a request body: a small one on the thread of its connection alone, which takes less time than
/// waking others and never waits for another request's rows. `pointer` is the place of a row.
///
/// # Errors
/// A prediction that is not a number.
pub(crate) fn predict_rows(
    model: &Model,
    codes: &Matrix,
    decision: Decision,
    pointer: impl Fn(usize) -> String,
) -> Result<Predictions, Failure> {
    let predictions = if background::is_entered() {
        model.pipeline.predict(codes, decision)
    } else {
        model.pipeline.predict_serially(codes, decision)
    };
    match predictions.first_not_finite() {
        None => Ok(predictions),
        Some(row) => Err(Failure::unfit(&pointer(row), format!("row {row}: {NOT_FINITE}"))),
    }
}

/// The explanations of the rows of a request, and how many contributions are named.
///
/// # Errors
/// What the model does not have, and more rows than are explained.
pub(super) fn explanations(
    served: &Served,
    option: &ExplainOption,
    codes: &Matrix,
    predictions: &Predictions,
) -> Result<(Vec<Explanation>, Option<usize>), Failure> {
    let unfit = |error: anyhow::Error| Failure::unfit("/explain", error.to_string());
    let explain = served.explain(option).map_err(unfit)?;
    let n_most = explain.max_rows();
    if codes.n_rows() > n_most {
        return Err(Failure::TooManyRows(n_most));
    }
    let explained = explain.rows(&served.model.pipeline, codes, predictions).map_err(unfit)?;
    Ok((explained, explain.wish().top))
}

/// The number of threads for a table: all, unless this is the thread of a connection.
pub(crate) fn threads_for_table() -> usize {
    if background::is_entered() { rayon::current_num_threads() } else { 1 }
}

/// The failure for a table that was not predicted. The output is memory or the client's connection, so it is never
/// the server's disk that failed.
pub(crate) fn table_failure(error: anyhow::Error, options: &Options) -> Failure {
    if error.is::<TooManyRows>() {
        return Failure::TooManyRows(options.max_rows);
    }
    if let Some(columns) = error.downcast_ref::<TooManyColumns>() {
        return Failure::unfit("", columns.to_string());
    }
    match error.downcast::<BadRows>() {
        Ok(bad) => Failure::DoesNotFit(bad.problems),
        Err(error) => Failure::NotTable(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_content_types_are_not_read_as_json() {
        let of = |text: &'static str| Form::of(Some(&HeaderValue::from_static(text)));
        assert_eq!(Form::of(None), Form::Json);
        assert_eq!(of("application/x-www-form-urlencoded"), Form::Json);
        assert_eq!(of("text/plain"), Form::Json);
        assert_eq!(of("TEXT/CSV; charset=utf-8"), Form::Csv { header: None });
        assert_eq!(of("text/csv; charset=utf-8; Header=absent"), Form::Csv { header: Some(false) });
        assert_eq!(of("application/x-ndjson"), Form::Ndjson);
    }
}
