//! The path of a request through the server: head, key, body, permit, handler, count. Called for each request of
//! a connection; the endpoints themselves are in [`crate::server::endpoints`].

use std::convert::Infallible;
use std::io::BufWriter;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Request, Version};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answering::{self, Form};
use super::feedback;
use super::native::{self, Call};
use super::v2;
use crate::server::endpoints::{Endpoint, Operation, Route, Tag};
use crate::server::error::Failure;
use crate::server::guard::cors::Cors;
use crate::server::guard::keys::Holder;
use crate::server::guard::rate::Caller;
use crate::server::limits::Limits;
use crate::server::models::served::Served;
use crate::server::observe::log::Entry;
use crate::server::observe::telemetry::Rejection;
use crate::server::observe::trace::{REQUEST_ID, RequestId, TRACEPARENT, traceparent};
use crate::server::page;
use crate::server::request_body::{self, ALWAYS_HELD_BYTES, Upload};
use crate::server::state::State;
use crate::server::wire::body::{Body, MAX_PIECE_BYTES, PieceReader, PieceWriter, Response, StreamEnds};
use crate::server::wire::stream::Shared;
use crate::server::wire::streams::Entered;
use crate::server::work::{self, LARGE_BODY_BYTES};

/// Answers a request and counts it.
///
/// # Errors
/// Never; failures are responses.
pub(crate) async fn answer(
    state: Arc<State>,
    connection: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    connection.request_begins();
    let Route { endpoint, model, dialect, label } = Route::of(request.uri().path());
    let model = state.find(model.as_deref());
    // Without keys, an endpoint that needs them answers as any unknown path does; and so do pages for clients of the API.
    let exists = |endpoint: &&Endpoint| match endpoint.tag {
        Tag::Page => state.page && page::is_for(endpoint.operation, request.headers()),
        _ => !endpoint.only_with_keys || state.keys.are_required(),
    };
    let endpoint = endpoint.filter(exists);
    if request.body().is_end_stream() {
        connection.request_is_read();
    } else {
        connection.request_is_unread();
    }
    let mut id = state.request_id(request.headers()).map(|header| RequestId { header, key: 0 });
    let trace = traceparent(request.headers()).cloned();
    let origin = state.cors.is_on().then(|| state.cors.allowed(request.headers()).cloned()).flatten();
    let logged = state.log.is_on().then(|| (request.method().clone(), request.uri().path().to_string()));
    let mut key = None;
    let (head, body) = request.into_parts();
    let mut body = Upload::new(body);
    let found = match admit(&state, &connection, endpoint, &head, &mut key) {
        Err(failure) => Err(failure),
        Ok(Some(response)) => Ok(response),
        Ok(None) => {
            if let (Some(id), Some(key)) = (&mut id, &key) {
                id.key = key.number;
            }
            let asked = Asked { id: id.as_ref(), key: key.as_ref(), head: &head, started };
            dispatch(&state, endpoint, model.as_ref(), &connection, asked, &mut body).await
        }
    };
    let mut response = found.unwrap_or_else(|failure| {
        let reason = rejection(&failure);
        reason.into_iter().for_each(|reason| state.telemetry.rejected(reason));
        failure.response_in(dialect)
    });
    debug_assert!(
        endpoint.is_none_or(|endpoint| endpoint.may_answer(response.status().as_u16())),
        "the table of endpoints does not list {} for {endpoint:?}",
        response.status()
    );
    let ended = Instant::now();
    let of_model = model.filter(|_| endpoint.is_some_and(|endpoint| endpoint.of_a_model));
    if let Some((method, path)) = logged {
        state.log.answered(&Entry {
            method: method.as_str(),
            path: &path,
            status: response.status(),
            took: ended - started,
            request_id: id.as_ref().map_or("", RequestId::text),
            traceparent: trace.as_ref().and_then(|trace| trace.to_str().ok()),
            key: key.as_ref().map(|key| key.name.as_str()),
            client: connection.peer,
            model: of_model.as_ref().map(|served| served.name.as_str()),
        });
    }
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id.header);
    }
    if let Some(trace) = trace {
        headers.insert(TRACEPARENT, trace);
    }
    if let Some(origin) = origin {
        Cors::mark(origin, headers);
    }
    let mut closes = state.is_draining();
    let counts = of_model.as_ref().map(|served| &*served.counts);
    state.telemetry.answered(counts, label, response.status(), ended - started);
    if !matches!(response.body(), Body::Stream { .. }) {
        // hyper closes a connection whose request is not read to its end, and says nothing.
        closes |= !body.finish(&head, &connection).await;
        connection.request_ends(ended);
    }
    if closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The limit that a failure is counted under, if it is one.
fn rejection(failure: &Failure) -> Option<Rejection> {
    match failure {
        Failure::Overloaded => Some(Rejection::InFlight),
        Failure::BodyTooLarge(_) | Failure::BodiesOverloaded => Some(Rejection::BodyBytes),
        Failure::TooManyRows(_) => Some(Rejection::Rows),
        Failure::SlowBody(_) => Some(Rejection::BodyTime),
        Failure::NoKey => Some(Rejection::Key),
        Failure::RateLimited(_) => Some(Rejection::Rate),
        Failure::WrongHost => Some(Rejection::Host),
        Failure::ForeignOrigin => Some(Rejection::Origin),
        _ => None,
    }
}

/// A request without its body.
#[derive(Clone, Copy)]
struct Asked<'a> {
    id: Option<&'a RequestId>,
    key: Option<&'a Holder>,
    head: &'a Parts,
    started: Instant,
}

/// Hands a request to the handler of its endpoint, which takes the body if it reads it.
async fn dispatch(
    state: &Arc<State>,
    endpoint: Option<&'static Endpoint>,
    model: Option<&Arc<Served>>,
    connection: &Arc<Shared>,
    asked: Asked<'_>,
    body: &mut Upload,
) -> Result<Response, Failure> {
    let model = model.ok_or(Failure::NoSuchModel)?;
    let endpoint = endpoint.ok_or(Failure::NotFound)?;
    if !endpoint.method.accepts(asked.head.method.as_str()) {
        return Err(Failure::MethodNotAllowed(endpoint.method.allow()));
    }
    let headers = &asked.head.headers;
    let form = || Form::of(headers.get(CONTENT_TYPE));
    let call = match endpoint.operation {
        Operation::Predict => Call::Predict(form(), asks_for_explanations(asked.head.uri.query())),
        Operation::Rank => Call::Rank,
        Operation::Invocations => Call::Score(form()),
        Operation::Infer => Call::Infer(headers.get(v2::HEADER_LENGTH).cloned()),
        Operation::Model => return Ok(native::model(model)),
        Operation::Drift => return Ok(native::drift(model, headers.get(ACCEPT))),
        Operation::Models => return Ok(native::models(state)),
        Operation::Report => return Box::pin(report(model)).await,
        Operation::Livez => return Ok(native::livez()),
        Operation::Readyz => return native::readyz(state),
        Operation::Metrics => return Ok(native::metrics(state)),
        Operation::Version => return Ok(native::version()),
        Operation::Openapi => return Ok(native::openapi(state)),
        Operation::V2Server => return Ok(v2::server()),
        Operation::V2Live => return Ok(v2::live()),
        Operation::V2Ready => return native::readyz(state).map(|_| v2::ready()),
        Operation::V2Model => return Ok(v2::model(&model.model, &model.name)),
        Operation::V2ModelReady => return native::readyz(state).map(|_| v2::model_ready(&model.name)),
        Operation::Page | Operation::Docs => {
            return Ok(page::page(endpoint.operation, asked.head));
        }
        Operation::Asset => return page::asset(asked.head),
        Operation::Feedback => return Box::pin(take_feedback(state, connection, asked, body)).await,
        Operation::Reload => return Box::pin(reload(state)).await,
    };
    predict(state, model, connection, asked, body, call).await
}

/// Admits a request or not: the rules of HTTP, host and origin, CORS preflight, API key, rate limit. A preflight is
/// answered here.
fn admit(
    state: &State,
    connection: &Shared,
    endpoint: Option<&Endpoint>,
    head: &Parts,
    key: &mut Option<Holder>,
) -> Result<Option<Response>, Failure> {
    check_head(connection, head)?;
    if !state.hosts.allow(head.headers.get(HOST)) {
        return Err(Failure::WrongHost);
    }
    if !state.cors.admits(&head.method, &head.headers) {
        return Err(Failure::ForeignOrigin);
    }
    if state.cors.is_on()
        && let Some(response) = state.cors.preflight(&head.method, &head.headers)
    {
        return Ok(Some(response));
    }
    if endpoint.is_some_and(|endpoint| endpoint.open) {
        return Ok(None);
    }
    let required = state.keys.are_required();
    let holder = required.then(|| state.keys.holder(head.headers.get(AUTHORIZATION))).flatten();
    if let Some(rate) = &state.rate {
        let caller =
            holder.as_ref().map_or_else(|| Caller::at(connection.peer), |holder| Caller::Key(holder.number));
        let wait = rate.take(caller, std::time::Instant::now());
        wait.map_err(|wait: Duration| Failure::RateLimited(wait.as_secs_f64().ceil().max(1.0) as u64))?;
    }
    match holder {
        Some(holder) => {
            let may = holder.is_admin || endpoint.is_none_or(|endpoint| !endpoint.only_with_keys);
            *key = Some(holder);
            if !may {
                return Err(Failure::NotAdmin);
            }
        }
        None if required => return Err(Failure::NoKey),
        None => {}
    }
    Ok(None)
}

/// Checks the rules of RFC 9112 (sections 3.2 and 6.1) that hyper does not.
fn check_head(connection: &Shared, head: &Parts) -> Result<(), Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    if head.version == Version::HTTP_11 && (hosts.next().is_none() || hosts.next().is_some()) {
        return Err(Failure::NotHttp("an HTTP/1.1 request has exactly one Host header"));
    }
    if head.headers.contains_key(TRANSFER_ENCODING) && connection.is_ambiguous() {
        return Err(Failure::NotHttp("a request has either Content-Length or Transfer-Encoding, not both"));
    }
    Ok(())
}

/// A permit for one request in flight, given back when it is dropped.
struct Permit<S: Deref<Target = State>>(S);

impl<S: Deref<Target = State>> Permit<S> {
    fn take(state: S) -> Result<Self, Failure> {
        if state.telemetry.enter(state.limits.in_flight) { Ok(Self(state)) } else { Err(Failure::Overloaded) }
    }
}

impl<S: Deref<Target = State>> Drop for Permit<S> {
    fn drop(&mut self) {
        self.0.telemetry.leave();
    }
}

async fn predict(
    state: &Arc<State>,
    model: &Arc<Served>,
    connection: &Arc<Shared>,
    asked: Asked<'_>,
    body: &mut Upload,
    call: Call,
) -> Result<Response, Failure> {
    let Asked { id, head, started, .. } = asked;
    if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Failure::ContentEncoding);
    }
    let length = body.length();
    if let Call::Predict(form @ (Form::Csv { .. } | Form::Ndjson), explain) = call
        && length.is_none_or(|length| length > state.limits.body_bytes as u64)
    {
        // Rare cases are boxed: otherwise their large futures would be moved for every small request too.
        return Box::pin(stream(state, Arc::clone(model), id.cloned(), connection, (form, explain), body))
            .await;
    }
    let body = request_body::body(body.take()?, &state.limits, &state.held, connection, started).await?;
    connection.request_is_read();
    // The permit is taken only now, so that a request body that never ends cannot hold one.
    if is_small(&call, &body, model) {
        let _permit = Permit::take(&**state)?;
        // A handler only reads the state and adds to counters, so a panic leaves nothing half done.
        let handler = AssertUnwindSafe(|| call_within_memory(state, model, id, call, body));
        return catch_unwind(handler).unwrap_or(Err(Failure::Panicked));
    }
    let permit = Permit::take(Arc::clone(state))?;
    let (model, id, n_bytes) = (Arc::clone(model), id.cloned(), body.len());
    let job = move || call_within_memory(&permit.0, &model, id.as_ref(), call, body);
    Box::pin(state.work.run(n_bytes, job)).await?
}

/// Whether a request is answered on the thread of its connection: by the work of its rows, not by its length.
fn is_small(call: &Call, body: &[u8], model: &Served) -> bool {
    let cost = &model.cost;
    body.len() <= LARGE_BODY_BYTES
        && (cost.is_small(bound_of_rows(body)) || cost.is_small(call.most_rows(body, cost.n_features())))
        && explained_rows(call, body, model).is_none_or(|n_rows| cost.is_small(n_rows))
}

/// Whether the query of a request says `explain`: with any value but 0 and false.
fn asks_for_explanations(query: Option<&str>) -> bool {
    let mut parts = query.into_iter().flat_map(|query| query.split('&'));
    parts.any(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        name == "explain" && !["0", "false"].contains(&value)
    })
}

/// Rows that take as long as a body whose rows are to be explained; `None` if it does not say so.
fn explained_rows(call: &Call, body: &[u8], model: &Served) -> Option<usize> {
    /// Predictions that an exact explanation takes as long as, about.
    const PREDICTIONS: usize = 20;
    let says = |member: &[u8]| memchr::memmem::find(body, member).is_some();
    if says(b"\"what_if\"") {
        return Some(usize::MAX);
    }
    let is_asked = matches!(call, Call::Predict(_, true));
    if !is_asked && !says(b"\"explain\"") && !says(b"\"contributions\"") {
        return None;
    }
    let n_rows = call.most_rows(body, model.cost.n_features());
    Some(if model.is_sampled() { usize::MAX } else { PREDICTIONS.saturating_mul(n_rows) })
}

/// Rows that no body of this length exceeds: a row is a byte and a comma or a line end.
fn bound_of_rows(body: &[u8]) -> usize {
    body.len() / 2 + 1
}

/// Answers a request body; the memory for its rows and its answer is counted before it is taken, and that of the answer
/// until the client has it.
fn call_within_memory(
    state: &State,
    model: &Served,
    id: Option<&RequestId>,
    call: Call,
    body: Bytes,
) -> Result<Response, Failure> {
    let (cost, limit) = (&model.cost, state.limits.held_bytes);
    if cost.bytes(bound_of_rows(&body)) <= ALWAYS_HELD_BYTES {
        return native::call(state, model, id, call, body);
    }
    let n_rows = call.most_rows(&body, cost.n_features()).min(call.max_rows(cost, &state.limits));
    // A request that is alone gets through, whatever its length.
    let room = limit.saturating_sub(body.len());
    let bytes = cost.bytes(n_rows).saturating_add(call.copies() * body.len()).min(room);
    let mut hold = state.held.none();
    if bytes > ALWAYS_HELD_BYTES {
        hold.set(bytes, limit)?;
    }
    let response = native::call(state, model, id, call, body)?;
    Ok(response.map(|body| match body {
        Body::Whole(Some(answer)) if answer.len() > ALWAYS_HELD_BYTES => {
            // Never more than is held already, but for rows that are wider than most.
            let _ = hold.set(answer.len(), limit);
            Body::Whole(Some(hold.around(answer)))
        }
        body => body,
    }))
}

/// Predicts a table while it arrives: a request body without a length, or one that is too long to be held in
/// memory.
async fn stream(
    state: &Arc<State>,
    model: Arc<Served>,
    id: Option<RequestId>,
    connection: &Arc<Shared>,
    (form, explain): (Form, bool),
    body: &mut Upload,
) -> Result<Response, Failure> {
    let in_flight = Permit::take(Arc::clone(state))?;
    let entered = state.streams.enter(connection, Instant::now());
    let Entered { slot, mut end, displaces } = entered.ok_or(Failure::Overloaded)?;
    if displaces {
        state.telemetry.rejected(Rejection::GivenUp);
    }
    // Two pieces each way: one is processed while another is transferred.
    let (send_in, receive_in) = mpsc::channel(2);
    let (send_out, mut receive_out) = mpsc::channel(2);
    let body = body.take_as_stream()?;
    tokio::spawn(request_body::pump(body, state.limits, Arc::clone(connection), send_in, end.clone()));
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let work = move || {
        let _permits = (&in_flight, &slot);
        work::step_back();
        let input = Box::new(PieceReader::new(receive_in));
        let out = BufWriter::with_capacity(MAX_PIECE_BYTES, PieceWriter(send_out.clone()));
        let predict = AssertUnwindSafe(|| {
            native::predict_stream(&in_flight.0, &model, id.as_ref(), (form, explain), input, out)
        });
        let result = catch_unwind(predict).unwrap_or(Err(Failure::Panicked));
        if let Err(failure) = &result {
            // A response that has begun can only be cut off now.
            let broken = std::io::Error::other(failure.to_string());
            let _ = send_out.blocking_send(Err(broken));
        }
        let _ = done.send(result);
    };
    let started = std::thread::Builder::new().name("stream".into()).spawn(work);
    started.map_err(|_| Failure::Overloaded)?;
    let first = receive_out.recv().await;
    let first = match first {
        Some(Ok(first)) => first,
        // Nothing was written: the whole response is the failure, or empty.
        _ => match (&mut ended).await {
            Ok(Err(failure)) => return Err(failure),
            _ => return Ok(answering::respond(answering::content_type(form), "")),
        },
    };
    let (send, pieces) = mpsc::channel(2);
    tokio::spawn(async move {
        let mut next = Some(Ok(first));
        while let Some(piece) = next {
            let failed = piece.is_err();
            let sent = tokio::select! {
                biased;
                sent = send.send(piece) => sent.is_ok(),
                () = end.comes() => {
                    // The thread may wait for this client to take its response: it ends when nobody listens to it.
                    drop(receive_out);
                    let _ = send.send(Err(request_body::GIVES_WAY.into())).await;
                    return;
                }
            };
            if !sent || failed {
                return;
            }
            next = receive_out.recv().await;
        }
    });
    let mut response = answering::respond(answering::content_type(form), "");
    *response.body_mut() = Body::Stream { pieces, _ends: StreamEnds(Arc::clone(connection)) };
    Ok(response)
}

async fn take_feedback(
    state: &Arc<State>,
    connection: &Arc<Shared>,
    asked: Asked<'_>,
    body: &mut Upload,
) -> Result<Response, Failure> {
    let limits = Limits { body_bytes: state.limits.body_bytes.min(feedback::MAX_BYTES), ..state.limits };
    let body = request_body::body(body.take()?, &limits, &state.held, connection, asked.started).await?;
    connection.request_is_read();
    let _permit = Permit::take(&**state)?;
    feedback::feedback(state, asked.key, &body)
}

async fn report(model: &Arc<Served>) -> Result<Response, Failure> {
    if model.has_report() {
        return Ok(native::report(model));
    }
    let model = Arc::clone(model);
    // The first one is drawn; later ones are a copy.
    tokio::task::spawn_blocking(move || native::report(&model)).await.map_err(|_| Failure::Panicked)
}

async fn reload(state: &Arc<State>) -> Result<Response, Failure> {
    let state = Arc::clone(state);
    // Reading files and predicting golden rows would block the connections of this thread.
    tokio::task::spawn_blocking(move || native::reload(&state)).await.unwrap_or(Err(Failure::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::guard::keys::Keys;
    use crate::server::guard::rate::{Rate, RateLimit};
    use crate::server::limits::Limits;
    use crate::server::models::served::tests::penguins;
    use crate::server::state::Setup;

    fn request(headers: &[(&str, &str)]) -> Parts {
        let with = |builder: hyper::http::request::Builder, (name, value): &(&str, &str)| {
            builder.header(*name, *value)
        };
        headers.iter().fold(Request::post("/predict"), with).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let connection = Shared::new(None);
        assert!(check_head(&connection, &request(&[("host", "a")])).is_ok());
        for bad in [&[][..], &[("host", "a"), ("host", "b")]] {
            assert!(matches!(check_head(&connection, &request(bad)), Err(Failure::NotHttp(_))));
        }
        let mut old = request(&[]);
        old.version = Version::HTTP_10;
        assert!(check_head(&connection, &old).is_ok());
    }

    #[test]
    fn an_open_endpoint_minds_neither_keys_nor_rates_and_others_mind_both() {
        let setup = Setup::new(penguins(), Limits::DEFAULT).unwrap();
        let rate = Some(RateLimit::new(Rate { per_second: 0.001, burst: 2.0 }));
        let keys = Keys::load(None, Some("shop:0123456789abcdef")).unwrap();
        let state = State::new(Setup { keys, rate, ..setup }).unwrap();
        let connection = Shared::new(None);
        let admitted = |open: bool, headers: &[(&str, &str)]| {
            let mut key = None;
            let endpoint = Route::of(if open { "/livez" } else { "/model" }).endpoint;
            admit(&state, &connection, endpoint, &request(headers), &mut key).map(|_| key)
        };
        let (plain, with_key) =
            ([("host", "a")], [("host", "a"), ("authorization", "Bearer 0123456789abcdef")]);
        (0..9).for_each(|_| assert!(admitted(true, &plain).is_ok()));
        assert!(matches!(admitted(false, &plain), Err(Failure::NoKey)));
        assert_eq!(admitted(false, &with_key).unwrap().map(|key| key.name).as_deref(), Some("shop"));
        admitted(false, &with_key).unwrap();
        assert!(matches!(admitted(false, &with_key), Err(Failure::RateLimited(_))));
    }

    #[test]
    fn a_permit_is_given_back_when_it_is_dropped() {
        let setup = Setup::new(penguins(), Limits { in_flight: 1, ..Limits::DEFAULT }).unwrap();
        let state = State::new(setup).unwrap();
        let permit = Permit::take(&state).unwrap();
        assert!(matches!(Permit::take(&state), Err(Failure::Overloaded)));
        drop(permit);
        assert!(Permit::take(&state).is_ok());
    }
}
