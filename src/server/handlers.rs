//! Requests to answers, without sockets: the bytes of a body in, a response out.
//!
//! What may be asked where is in [`super::routes`], what a failure looks like in [`super::error`].

use std::io::Cursor;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::Response;
use super::error::Failure;
use super::state::{Served, State};
use crate::data::csv;
use crate::data::json::{self, Malformed, Problems};
use crate::data::schema::{Warning, WarningKind};
use crate::model::pipeline::Decision;
use crate::report::rows::{self, BadRows, Format, Keep, Options, Summary, TooManyRows};

/// What messages call the body.
const SOURCE: &str = "the body";

/// No more problems of a table are listed; as many as of a JSON body.
const MAX_LISTED_PROBLEMS: usize = 100;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
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
    pub fn of(content_type: Option<&HeaderValue>) -> Self {
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

fn respond(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `POST /predict`.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub fn predict(state: &State, served: &Served, form: Form, body: Bytes) -> Result<Response, Failure> {
    match form {
        Form::Json => predict_json(state, served, &body),
        Form::Csv { header } => predict_csv(state, served, header, body),
        Form::Ndjson => predict_ndjson(state, served, &body),
    }
}

fn predict_json(state: &State, served: &Served, body: &[u8]) -> Result<Response, Failure> {
    let (pipeline, schema) = (&served.model.pipeline, &served.model.pipeline.schema);
    let max_rows = state.limits.rows;
    let request = json::read_request(body, schema, max_rows).map_err(|malformed| match malformed {
        Malformed::NotJson(text) => Failure::NotJson(text),
        Malformed::TooManyRows => Failure::TooManyRows(max_rows),
    })?;
    if request.problems.total > 0 {
        return Err(Failure::DoesNotFit(request.problems));
    }
    let decision = Decision::with_threshold(request.threshold, schema)
        .map_err(|error| Failure::unfit("/threshold", error.to_string()))?;
    let predictions = pipeline.predict(&request.codes, decision);
    let warnings: Vec<Warning> = schema.warnings(&request.codes).collect();
    served.counts.rows(request.codes.n_rows());
    warnings.iter().for_each(|warning| served.counts.warnings(warning.kind, 1));
    Ok(respond("application/json", served.answers.answer(&predictions, request.many, &warnings)))
}

fn options(state: &State, format: Format, header: bool) -> Options {
    Options {
        keep: Keep::All,
        format,
        decision: Decision::MostProbable,
        probabilities: false,
        lenient: false,
        header,
        max_rows: state.limits.rows,
    }
}

fn predict_csv(
    state: &State,
    served: &Served,
    header: Option<bool>,
    body: Bytes,
) -> Result<Response, Failure> {
    let model = &served.model;
    let header = header.unwrap_or(model.pipeline.schema.header);
    let options = options(state, Format::LikeInput, header);
    let reading = csv::Options { delimiter: None, header };
    let mut out = Vec::with_capacity(body.len() * 2);
    let summary = csv::Records::from_reader(Box::new(Cursor::new(body)), SOURCE, &reading)
        .and_then(|records| rows::predict_csv(model, records, &options, &mut out, &|_| {}));
    count(served, summary.map_err(|error| failure(error, &options))?);
    Ok(respond("text/csv; charset=utf-8", out))
}

fn predict_ndjson(state: &State, served: &Served, body: &[u8]) -> Result<Response, Failure> {
    let options = options(state, Format::Ndjson, true);
    let mut out = Vec::with_capacity(body.len() * 2);
    let summary = rows::predict_ndjson(&served.model, SOURCE, body, &options, &mut out, &|_| {});
    count(served, summary.map_err(|error| failure(error, &options))?);
    Ok(respond("application/x-ndjson", out))
}

fn count(served: &Served, summary: Summary) {
    let telemetry = &served.counts;
    telemetry.rows(summary.n_rows);
    telemetry.warnings(WarningKind::MissingValue, summary.n_missing);
    telemetry.warnings(WarningKind::UnseenCategory, summary.n_unseen);
    telemetry.warnings(WarningKind::OutOfRange, summary.n_out_of_range);
}

/// What a table that was not predicted is refused for. The output is memory, so it is never the server's
/// disk or pipe that failed.
fn failure(error: anyhow::Error, options: &Options) -> Failure {
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

/// `GET /model`.
pub fn model(served: &Served) -> Response {
    respond("application/json", served.description.clone())
}

/// `GET /models`.
pub fn models(state: &State) -> Response {
    respond("application/json", state.models().list())
}

/// `GET /livez`: the process is up.
pub fn livez() -> Response {
    respond("text/plain; charset=utf-8", Bytes::from_static(b"ok\n"))
}

/// `GET /readyz`: a model is loaded and checked, and the server is not shutting down.
///
/// # Errors
/// The server is shutting down.
pub fn readyz(state: &State) -> Result<Response, Failure> {
    if state.is_draining() {
        return Err(Failure::Draining);
    }
    Ok(livez())
}

/// `GET /metrics`.
pub fn metrics(state: &State) -> Response {
    respond("text/plain; version=0.0.4; charset=utf-8", state.telemetry.text(&state.models()))
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
