//! The whole API on one screen, and the road of a request: head, place, body, handler, count.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Version};
use tokio::time::{Instant, timeout_at};

use super::Response;
use super::error::{Dialect, Failure};
use super::handlers::{self, Call, Form};
use super::state::{Served, State};
use super::stream::Shared;
use super::telemetry::{Rejection, Route};
use super::v2;

/// A larger body is predicted off the threads that drive connections: from here on it takes longer than the
/// hand-over, and would keep others waiting.
const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Answers a request and counts it.
///
/// # Errors
/// Never; failures are answers.
pub async fn answer(
    state: Arc<State>,
    connection: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    connection.request_begins();
    let address = Address::of(request.uri().path());
    let (dialect, route_name) = (Dialect::of(request.uri().path()), Route::of(address.path));
    if request.body().is_end_stream() {
        connection.request_is_read();
    }
    let model = state.find(address.model.as_deref());
    let counts = model.as_ref().filter(|_| route_name.is_of_a_model()).map(|m| Arc::clone(&m.counts));
    let found = route(&state, model, &connection, request, started).await;
    let response = found.unwrap_or_else(|failure| {
        let reason = match failure {
            Failure::Overloaded => Some(Rejection::InFlight),
            Failure::BodyTooLarge(_) => Some(Rejection::BodyBytes),
            Failure::TooManyRows(_) => Some(Rejection::Rows),
            Failure::SlowBody(_) => Some(Rejection::BodyTime),
            _ => None,
        };
        reason.into_iter().for_each(|reason| state.telemetry.rejected(reason));
        failure.response_in(dialect)
    });
    let ended = Instant::now();
    state.telemetry.answered(counts.as_deref(), route_name, response.status(), ended - started);
    connection.request_ends(ended);
    Ok(response)
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address<'a> {
    /// The model that is named; none for the default.
    model: Option<Cow<'a, str>>,
    /// The path as it is for the default model, or with `NAME` for the name.
    path: &'a str,
}

impl<'a> Address<'a> {
    /// `/models/NAME` asks for the model, `/models/NAME/predict` for its predictions; all else is as it is.
    fn of(path: &'a str) -> Self {
        let (rest, is_v2) = match (path.strip_prefix("/models/"), path.strip_prefix("/v2/models/")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Self { model: None, path },
        };
        let (name, action) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = match action {
            _ if is_v2 => v2::canonical(action),
            "" => "/model",
            "/predict" | "/invocations" | "/readyz" => action,
            _ => "",
        };
        Self { model: Some(unescape(name)), path }
    }
}

/// A part of a path without its percent signs (RFC 3986, section 2.1); as it is where they are wrong.
fn unescape(part: &str) -> Cow<'_, str> {
    let decoded = || {
        let mut bytes = Vec::with_capacity(part.len());
        let mut rest = part.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let (digits, after) = rest.split_at_checked(2)?;
            let hex = |digit: u8| char::from(digit).to_digit(16);
            bytes.push((hex(digits[0])? * 16 + hex(digits[1])?) as u8);
            rest = after;
        }
        String::from_utf8(bytes).ok()
    };
    if part.contains('%') { decoded().map_or(part.into(), Cow::from) } else { part.into() }
}

async fn route(
    state: &Arc<State>,
    model: Option<Arc<Served>>,
    connection: &Shared,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Response, Failure> {
    check_head(connection, &request)?;
    let model = model.ok_or(Failure::NoSuchModel)?;
    match (request.method(), Address::of(request.uri().path()).path) {
        (&Method::POST, path @ ("/predict" | "/invocations" | v2::INFER)) => {
            let headers = request.headers();
            let form = || Form::of(headers.get(CONTENT_TYPE));
            let call = match path {
                "/predict" => Call::Predict(form()),
                "/invocations" => Call::Score(form()),
                _ => Call::Infer(headers.get(v2::HEADER_LENGTH).cloned()),
            };
            predict(state, model, connection, request, call, started).await
        }
        (&Method::GET | &Method::HEAD, "/model") => Ok(handlers::model(&model)),
        (&Method::GET | &Method::HEAD, "/models") => Ok(handlers::models(state)),
        (&Method::GET | &Method::HEAD, "/livez") => Ok(handlers::livez()),
        (&Method::GET | &Method::HEAD, "/readyz") => handlers::readyz(state),
        (&Method::GET | &Method::HEAD, "/metrics") => Ok(handlers::metrics(state)),
        (&Method::GET | &Method::HEAD, "/openapi.json") => Ok(handlers::openapi(state)),
        (&Method::GET | &Method::HEAD, "/ping" | "/health") => handlers::readyz(state),
        (&Method::GET | &Method::HEAD, "/version") => Ok(handlers::version()),
        (&Method::GET | &Method::HEAD, "/v2") => Ok(handlers::v2_server()),
        (&Method::GET | &Method::HEAD, "/v2/health/live") => Ok(handlers::v2_live()),
        (&Method::GET | &Method::HEAD, "/v2/health/ready") => handlers::v2_ready(state, None),
        (&Method::GET | &Method::HEAD, v2::MODEL) => Ok(handlers::v2_model(&model)),
        (&Method::GET | &Method::HEAD, v2::MODEL_READY) => handlers::v2_ready(state, Some(&model)),
        (_, path) => Err(match Route::of(path) {
            Route::Other => Failure::NotFound,
            route if route.takes_a_body() => Failure::MethodNotAllowed("POST"),
            _ => Failure::MethodNotAllowed("GET, HEAD"),
        }),
    }
}

/// What hyper lets pass and RFC 9112 (sections 3.2 and 6.1) does not.
fn check_head(connection: &Shared, request: &Request<Incoming>) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    if request.version() == Version::HTTP_11 && (hosts.next().is_none() || hosts.next().is_some()) {
        return Err(Failure::NotHttp("an HTTP/1.1 request has exactly one Host header"));
    }
    if connection.take_ambiguous() {
        return Err(Failure::NotHttp("a request has either Content-Length or Transfer-Encoding, not both"));
    }
    Ok(())
}

/// One of the places for requests; given back when it is dropped, wherever that is.
struct Place(Arc<State>);

impl Place {
    fn take(state: &Arc<State>) -> Result<Self, Failure> {
        if state.telemetry.enter(state.limits.in_flight) {
            Ok(Self(Arc::clone(state)))
        } else {
            Err(Failure::Overloaded)
        }
    }
}

impl Deref for Place {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.telemetry.leave();
    }
}

async fn predict(
    state: &Arc<State>,
    model: Arc<Served>,
    connection: &Shared,
    request: Request<Incoming>,
    call: Call,
    started: Instant,
) -> Result<Response, Failure> {
    let place = Place::take(state)?;
    let headers = request.headers();
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Failure::ContentEncoding);
    }
    let body = read(request.into_body(), state, started).await?;
    connection.request_is_read();
    // A handler leaves nothing half done behind: it reads the state and adds to counters.
    let handle = move |body: Bytes| {
        let handler = AssertUnwindSafe(|| handlers::call(&place, &model, call, body));
        catch_unwind(handler).unwrap_or(Err(Failure::Panicked))
    };
    if body.len() <= LARGE_BODY_BYTES {
        return handle(body);
    }
    tokio::task::spawn_blocking(move || handle(body)).await.unwrap_or(Err(Failure::Panicked))
}

/// Reads a body within the limits on its size and time.
async fn read(mut body: Incoming, state: &State, started: Instant) -> Result<Bytes, Failure> {
    let limits = &state.limits;
    let declared = body.size_hint();
    if declared.lower() > limits.body_bytes as u64 {
        return Err(Failure::BodyTooLarge(limits.body_bytes));
    }
    // A small body mostly arrives with its head: then nothing is waited for, and its bytes are used where they are.
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    let first = match first {
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Ready(Some(frame)) => frame.map_err(|_| Failure::BrokenBody)?.into_data().unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if declared.exact() == Some(first.len() as u64) {
        return Ok(first);
    }
    if first.len() > limits.body_bytes {
        return Err(Failure::BodyTooLarge(limits.body_bytes));
    }
    let rest = Limited::new(body, limits.body_bytes - first.len()).collect();
    let rest = match timeout_at(started + limits.body_time, rest).await {
        Ok(Ok(rest)) => rest.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Failure::BodyTooLarge(limits.body_bytes));
        }
        Ok(Err(_)) => return Err(Failure::BrokenBody),
        Err(_) => return Err(Failure::SlowBody(limits.body_time.as_secs_f64())),
    };
    if rest.is_empty() {
        return Ok(first);
    }
    // Declared or not, never more memory than has arrived.
    let mut whole = Vec::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.into())
}
