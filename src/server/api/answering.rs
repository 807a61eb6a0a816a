//! From a parsed request to a response: what the handlers of all protocols share.
//!
//! Rows and options come from [`super::native`], [`super::v2`] and [`super::mlflow`], which read the request body;
//! failures are described in [`super::error`].

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::error::Failure;
use crate::data::cells::matrix::Matrix;
use crate::data::read::json::{Malformed, Problems};
use crate::model::Model;
use crate::model::pipeline::{Decision, Predictions};
use crate::predict::{BadRows, Options, TooManyRows};
use crate::server::wire::body::Response;
use crate::server::work::LARGE_BODY_BYTES;

/// What messages call the body.
pub(crate) const SOURCE: &str = "the body";

/// No more problems of a table are listed; as many as of a JSON body.
const MAX_LISTED_PROBLEMS: usize = 100;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One of the JSON forms; whatever is not one of the others.
    Json,
    /// Delimited text; whether the first line names the columns, where the content type says so.
    Csv {
        /// The parameter `header` of RFC 4180.
        header: Option<bool>,
    },
    /// One JSON row a line.
    Ndjson,
}

impl Form {
    /// The form that a content type announces.
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

/// An answer and what it was made from, for those who count.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What the client gets.
    pub(crate) response: Response,
    /// `n_rows × n_features` codes.
    pub(crate) codes: Matrix,
    /// What was predicted of them.
    pub(crate) predictions: Predictions,
    /// How it was decided.
    pub(crate) decision: Decision,
}

/// An answer of 200.
pub(crate) fn respond(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a streamed answer is.
pub(crate) fn content_type(form: Form) -> &'static str {
    match form {
        Form::Json => "application/json",
        Form::Csv { .. } => "text/csv; charset=utf-8",
        Form::Ndjson => "application/x-ndjson",
    }
}

/// What JSON that holds no rows is refused for.
pub(crate) fn malformed(error: Malformed, max_rows: usize) -> Failure {
    match error {
        Malformed::NotJson(text) => Failure::NotJson(text),
        Malformed::TooManyRows => Failure::TooManyRows(max_rows),
    }
}

/// Predicts the rows of a body: those of a small one on this thread alone, which is then done sooner than others
/// could be woken, and waits for nobody else's rows.
pub(crate) fn predict_rows(model: &Model, codes: &Matrix, decision: Decision, body: &[u8]) -> Predictions {
    if body.len() <= LARGE_BODY_BYTES {
        model.pipeline.predict_serially(codes, decision)
    } else {
        model.pipeline.predict(codes, decision)
    }
}

/// Threads for a table of so many bytes.
pub(crate) fn threads_for(bytes: usize) -> usize {
    if bytes <= LARGE_BODY_BYTES { 1 } else { rayon::current_num_threads() }
}

/// What a table that was not predicted is refused for. The output is memory or the client's, so it is never the
/// server's disk that failed.
pub(crate) fn table_failure(error: anyhow::Error, options: &Options) -> Failure {
    if error.is::<TooManyRows>() {
        return Failure::TooManyRows(options.max_rows);
    }
    match error.downcast::<BadRows>() {
        Ok(bad) => {
            let total = bad.problems.len();
            let mut listed = bad.problems;
            listed.truncate(MAX_LISTED_PROBLEMS);
            Failure::DoesNotFit(Problems { listed, total })
        }
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
