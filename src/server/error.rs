//! The failures of requests, and the only place where a failure gets a status code.
//!
//! A failure is answered in the error format of its endpoint, mlapi's own as a problem document (RFC 9457). It says
//! what is wrong and what to send instead; never a backtrace, a path or a value that the client did not send.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;

use crate::data::cells::problems::Problems;
use crate::server::endpoints::{Dialect, Status};
use crate::server::wire::body::Response;

/// Seconds that a client should wait if the server is at a limit.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The reason why a request fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request breaks a rule of HTTP; the text says which.
    NotHttp(&'static str),
    /// The request body is not JSON; the text says where.
    NotJson(String),
    /// The request body is not a table; the text says where.
    NotTable(String),
    /// The connection broke off, or a chunk has no valid length.
    BrokenBody,
    /// No endpoint has this path.
    NotFound,
    /// No model has this name.
    NoSuchModel,
    /// The path takes other methods, which are given.
    MethodNotAllowed(&'static str),
    /// The request body did not arrive within this limit, in seconds.
    SlowBody(f64),
    /// The request body has more bytes than this limit.
    BodyTooLarge(usize),
    /// The request body has more rows than this limit.
    TooManyRows(usize),
    /// The request body is compressed.
    ContentEncoding,
    /// The rows or options do not fit the model.
    DoesNotFit(Problems),
    /// The request has no API key, or an unknown one.
    NoKey,
    /// The key may not do this; only one that is marked as an admin's may.
    NotAdmin,
    /// `Host` names no host that the server answers to.
    WrongHost,
    /// A page of an origin that is not allowed sent the request.
    ForeignOrigin,
    /// The key or address is above the rate limit; the number of seconds to wait.
    RateLimited(u64),
    /// Some models could not be reloaded: the place and the reason of each.
    NotReloaded(Vec<(String, String)>),
    /// The request id of a feedback is unknown; the text says why.
    UnknownRequest(&'static str),
    /// The server is at its limit of requests in flight.
    Overloaded,
    /// The server is at its limit of memory for request bodies.
    BodiesOverloaded,
    /// The server is shutting down.
    Draining,
    /// The handler panicked.
    Panicked,
}

/// A problem document.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    pointer: &'a str,
    detail: &'a str,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.title(), self.detail())
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// One value or option in the request body that does not fit.
    pub(crate) fn unfit(pointer: &str, detail: String) -> Self {
        Self::DoesNotFit(Problems::one(pointer.into(), detail))
    }

    /// The status; [`Status`] lists all of them with their meanings.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::NotHttp(_) | Self::NotJson(_) | Self::NotTable(_) | Self::BrokenBody => Status::BadRequest,
            Self::NotFound | Self::NoSuchModel | Self::UnknownRequest(_) => Status::NotFound,
            Self::MethodNotAllowed(_) => Status::MethodNotAllowed,
            Self::SlowBody(_) => Status::Timeout,
            Self::BodyTooLarge(_) | Self::TooManyRows(_) => Status::TooLarge,
            Self::ContentEncoding => Status::UnsupportedMedia,
            Self::DoesNotFit(_) => Status::Unprocessable,
            Self::Panicked => Status::Internal,
            Self::NoKey => Status::Unauthorized,
            Self::NotAdmin | Self::WrongHost | Self::ForeignOrigin => Status::Forbidden,
            Self::RateLimited(_) => Status::TooManyRequests,
            Self::NotReloaded(_) => Status::Conflict,
            Self::Overloaded | Self::BodiesOverloaded | Self::Draining => Status::Unavailable,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::NotHttp(_) => "Bad request",
            Self::NotJson(_) => "The body is not JSON",
            Self::NotTable(_) => "The body is not a readable table",
            Self::BrokenBody => "The body broke off",
            Self::NotFound => "Not found",
            Self::NoSuchModel => "No such model",
            Self::MethodNotAllowed(_) => "Method not allowed",
            Self::SlowBody(_) => "The body did not arrive in time",
            Self::BodyTooLarge(_) => "The body is too large",
            Self::TooManyRows(_) => "Too many rows",
            Self::ContentEncoding => "Unsupported content encoding",
            Self::DoesNotFit(_) => "The request does not fit the model",
            Self::NoKey => "A key is needed",
            Self::NotAdmin => "An admin's key is needed",
            Self::WrongHost => "Unknown host",
            Self::ForeignOrigin => "Origin not allowed",
            Self::RateLimited(_) => "Too many requests",
            Self::NotReloaded(_) => "Not everything was reloaded",
            Self::UnknownRequest(_) => "Unknown request id",
            Self::Overloaded | Self::BodiesOverloaded => "Too many requests at once",
            Self::Draining => "The server is shutting down",
            Self::Panicked => "Internal server error",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotHttp(text) => (*text).into(),
            Self::NotJson(text) | Self::NotTable(text) => text.clone(),
            Self::BrokenBody => "the connection or a chunk of the body ended early; send it again".into(),
            Self::NotFound => "POST /predict predicts; GET /model describes the model".into(),
            Self::NoSuchModel => "no model has this name; GET /models lists those that are served".into(),
            Self::MethodNotAllowed(methods) => format!("this path takes {methods}"),
            Self::SlowBody(seconds) => format!("the whole body has to arrive within {seconds} seconds"),
            Self::BodyTooLarge(limit) => {
                format!("at most {limit} bytes are taken; send fewer rows at a time")
            }
            Self::TooManyRows(limit) => format!("at most {limit} rows are taken; send fewer at a time"),
            Self::ContentEncoding => "send the body uncompressed, without Content-Encoding".into(),
            Self::DoesNotFit(problems) => {
                let more = problems.total - problems.listed.len();
                let things = if problems.total == 1 { "thing does" } else { "things do" };
                let more =
                    if more > 0 { format!("; the first are listed, and {more} more") } else { String::new() };
                format!("{} {things} not fit{more}; GET /model shows what the model takes", problems.total)
            }
            Self::NoKey => "send Authorization: Bearer KEY with a key of this server".into(),
            Self::NotAdmin => {
                "this key may not do this; a line `NAME:KEY admin` of the keys marks one that may".into()
            }
            Self::WrongHost => {
                "this server answers to localhost and to addresses; serve --allowed-host HOST adds a name"
                    .into()
            }
            Self::ForeignOrigin => {
                "pages of this origin may not send requests; serve --cors-origin ORIGIN allows them".into()
            }
            Self::RateLimited(seconds) => format!("wait {seconds} s, and send fewer requests"),
            Self::NotReloaded(_) => "what could not be loaded stays as it was".into(),
            Self::UnknownRequest(text) => (*text).into(),
            Self::Overloaded | Self::BodiesOverloaded => {
                "as many requests as allowed are being answered; try again shortly".into()
            }
            Self::Draining => "try another instance, or again shortly".into(),
            Self::Panicked => String::new(),
        }
    }

    /// The headers that go with the status.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let text = HeaderValue::from_static;
        let retry_after = |seconds: u64| (RETRY_AFTER, HeaderValue::from(seconds));
        let close = || (CONNECTION, text("close"));
        match self {
            Self::NoKey => vec![(WWW_AUTHENTICATE, text("Bearer"))],
            Self::MethodNotAllowed(methods) => vec![(ALLOW, text(methods))],
            Self::ContentEncoding => vec![(ACCEPT_ENCODING, text("identity"))],
            Self::RateLimited(seconds) => vec![retry_after(*seconds)],
            Self::Overloaded | Self::Draining => vec![retry_after(RETRY_AFTER_SECONDS)],
            // The rest of these requests is not read, so no request can follow on the connection.
            Self::BodiesOverloaded => vec![retry_after(RETRY_AFTER_SECONDS), close()],
            Self::NotHttp(_) | Self::BodyTooLarge(_) | Self::SlowBody(_) | Self::BrokenBody => vec![close()],
            _ => Vec::new(),
        }
    }

    /// The response in one of the error formats.
    pub(crate) fn response_in(&self, dialect: Dialect) -> Response {
        let mut response = self.response();
        if dialect == Dialect::Problem {
            return response;
        }
        // These protocols answer 400 for anything that is wrong with a request.
        if self.status() == Status::Unprocessable {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        let body = match dialect {
            Dialect::V2 => serde_json::json!({ "error": self.text() }),
            _ => serde_json::json!({ "error_code": self.code(), "message": self.text() }),
        };
        *response.body_mut() = Bytes::from(body.to_string()).into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Title, detail and all problems in one text.
    fn text(&self) -> String {
        let mut text = self.title().to_string();
        let detail = self.detail();
        if !detail.is_empty() {
            text += &format!(": {detail}");
        }
        if let Self::DoesNotFit(problems) = self {
            for problem in &problems.listed {
                let at = if problem.pointer.is_empty() { "" } else { ": " };
                text += &format!("\n{}{at}{}", problem.pointer, problem.detail);
            }
        }
        text
    }

    /// The code that MLflow has for the status (its `databricks.proto`).
    fn code(&self) -> &'static str {
        match self.status() {
            Status::Unauthorized => "UNAUTHENTICATED",
            Status::Forbidden => "PERMISSION_DENIED",
            Status::NotFound => "RESOURCE_DOES_NOT_EXIST",
            Status::TooManyRequests => "REQUEST_LIMIT_EXCEEDED",
            Status::Unavailable => "TEMPORARILY_UNAVAILABLE",
            Status::Internal => "INTERNAL_ERROR",
            _ => "BAD_REQUEST",
        }
    }

    /// The response as a problem document.
    pub(crate) fn response(&self) -> Response {
        let errors = match self {
            Self::DoesNotFit(problems) => problems.listed.as_slice(),
            _ => &[],
        };
        let not_reloaded: &[(String, String)] = match self {
            Self::NotReloaded(failures) => failures,
            _ => &[],
        };
        let of_models = not_reloaded.iter().map(|(pointer, detail)| Entry { pointer, detail });
        let document = Document {
            r#type: "about:blank",
            title: self.title(),
            status: self.status().code(),
            detail: &self.detail(),
            errors: errors
                .iter()
                .map(|p| Entry { pointer: &p.pointer, detail: &p.detail })
                .chain(of_models)
                .collect(),
        };
        // Strings and a number always serialize.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(body.into());
        // Every code of the table is a valid status.
        *response.status_mut() = StatusCode::from_u16(self.status().code()).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn body(failure: &Failure) -> serde_json::Value {
        let response = failure.response();
        let body = response.into_body();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_problem_document_has_the_members_of_rfc_9457_and_all_problems() {
        let mut problems = Problems::default();
        (0..103).for_each(|i| problems.push(format!("/data/{i}"), "is wrong".into()));
        let document = body(&Failure::DoesNotFit(problems));
        assert_eq!(
            (document["type"].as_str(), document["status"].as_u64()),
            (Some("about:blank"), Some(422))
        );
        assert!(document["title"].is_string());
        assert!(
            document["detail"]
                .as_str()
                .unwrap()
                .contains("103 things do not fit; the first are listed, and 3 more")
        );
        assert_eq!(document["errors"][99]["pointer"], "/data/99");
        assert_eq!(document["errors"][0]["detail"], "is wrong");
    }

    #[test]
    fn a_panic_is_answered_without_detail() {
        let document = body(&Failure::Panicked);
        assert_eq!(
            document,
            serde_json::json!({"type":"about:blank","title":"Internal server error","status":500})
        );
    }
}
