//! The model over HTTP: accepts connections within limits, and shuts down in order.
//!
//! Folders: `api` holds the router and the handlers of the endpoints, `models` the models that are served, `guard`
//! keys and limits per client, `observe` metrics, logs and feedback, `wire` sockets and bodies.
//!
//! Files beside them serve more than one folder, or use the state that holds parts of all: `endpoints` is the table
//! of endpoints and statuses, `cost` what a row takes of a model, `error` the failures and their responses, `limits` the limits with their defaults,
//! `state` the data that connections share, `request_body` reads bodies within the limits, `reload` replaces models
//! and keys, `work` has the threads for large requests.
//!
//! Nothing in here knows of the command line or of learning. A fault of one connection ends that connection and no
//! other.

pub(crate) mod api;
pub(crate) mod cost;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod models;
pub mod observe;
pub(crate) mod reload;
pub(crate) mod request_body;
pub(crate) mod state;
pub(crate) mod wire;
pub(crate) mod work;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet, unconstrained};
use tokio::time::{Instant, sleep, timeout};

pub use api::page::help;
pub use limits::Limits;
use observe::telemetry::{Rejection, Telemetry};
pub use state::{Setup, State};
use wire::refusal::{MAX_REFUSALS, NO_ROOM, REFUSAL_TIME, refuse};
use wire::socket::Socket;
pub(crate) use wire::socket::{Listener, Tls};
use wire::stream::{Shared, Stream};

/// The shortest and longest pause after failed accepts in a row (no file descriptors, no memory).
const ACCEPT_BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Serves until `shutdown` completes; then answers 503 at `/readyz`, closes the listener, answers the requests
/// under way and returns, at the latest after the drain time.
///
/// # Errors
/// A limit is 0.
pub async fn run(
    listener: tokio::net::TcpListener,
    state: Arc<State>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    serve(listener.into(), Tls::default(), state, shutdown).await
}

/// As [`run`], on any listener, over TLS if `tls` is on.
///
/// # Errors
/// As [`run`].
pub(crate) async fn serve(
    listener: Listener,
    tls: Tls,
    state: Arc<State>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let limits = state.limits;
    let counts = [limits.connections, limits.in_flight, limits.body_bytes, limits.header_bytes, limits.rows];
    ensure!(counts.iter().all(|&limit| limit > 0), "a limit of 0 serves nothing; give 1 or more");
    let mut http = http1::Builder::new();
    // The stream keeps the time limit of a head.
    http.header_read_timeout(None).max_header_size(limits.header_bytes);
    let drain = Arc::new(Notify::new());
    let mut connections = JoinSet::new();
    let mut open = Open::default();
    let mut refusals = VecDeque::new();
    let mut shutdown = pin!(shutdown);
    let mut back_off = ACCEPT_BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(_) => {
                state.telemetry.rejected(Rejection::Accept);
                open.close_longest_waiting(&state.telemetry);
                refusals.drain(..).for_each(|refusal: AbortHandle| refusal.abort());
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(ACCEPT_BACK_OFF.1);
                continue;
            }
        };
        back_off = ACCEPT_BACK_OFF.0;
        let admitted = state.telemetry.connect(limits.connections)
            // The closed connection ends at its next turn, but its slot is free already.
            || (open.close_longest_waiting(&state.telemetry) && state.telemetry.connect(usize::MAX));
        if !admitted {
            state.telemetry.rejected(Rejection::Connections);
            if refusals.len() >= MAX_REFUSALS {
                refusals.pop_front().iter().for_each(AbortHandle::abort);
            }
            let refusal =
                async { timeout(REFUSAL_TIME, refuse(socket, NO_ROOM)).await.map(drop).unwrap_or_default() };
            refusals.push_back(connections.spawn(refusal));
            continue;
        }
        let shared = Arc::new(Shared::new(peer));
        let connection = Connection {
            counted: Connected(Arc::clone(&state)),
            shared: Arc::clone(&shared),
            tls: tls.clone(),
            http: http.clone(),
            drain: Arc::clone(&drain),
        };
        open.add(shared, connections.spawn(connection.serve(socket)));
    }
    state.drain();
    drop(listener);
    drain.notify_waiters();
    let drained = async { while connections.join_next().await.is_some() {} };
    // Unfinished requests are cut off: the tasks end with their set.
    let _ = timeout(limits.drain_time, drained).await;
    Ok(())
}

/// An accepted connection before it is served.
struct Connection {
    counted: Connected,
    shared: Arc<Shared>,
    tls: Tls,
    http: http1::Builder,
    drain: Arc<Notify>,
}

impl Connection {
    /// Serves requests until the client disconnects, the connection is idle for too long, or the server drains.
    async fn serve(self, socket: Socket) {
        let Self { counted, shared, tls, http, drain } = self;
        let state = Arc::clone(&counted.0);
        let limits = state.limits;
        // An error here is the client's: it disconnected, sent no HTTP, or was too slow.
        let Ok(Ok(socket)) = timeout(limits.header_time, tls.accept(socket)).await else {
            return;
        };
        let stream = Stream::new(socket, Arc::clone(&shared), limits.header_time, limits.write_stall);
        let service = service_fn(move |request| {
            api::router::answer(Arc::clone(&counted.0), Arc::clone(&shared), request)
        });
        let connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let _ = until_drained(connection, &state, &drain).await;
    }
}

/// Serves a connection to its end, which is the end of the request under way once the server drains. Draining is a
/// flag that is checked whenever the connection is polled; `drain` only wakes idle connections.
async fn until_drained<S: HttpService<Incoming, ResBody = wire::body::Body, Error = Infallible>>(
    mut connection: Pin<&mut http1::Connection<TokioIo<Stream>, S>>,
    state: &State,
    drain: &Notify,
) -> hyper::Result<()> {
    let mut drain = pin!(unconstrained(drain.notified()));
    let (mut waits, mut told) = (false, false);
    poll_fn(|cx| {
        // Once polled, it wakes this task: so it need not be polled again for every request.
        if !waits {
            waits = true;
            let _ = drain.as_mut().poll(cx);
        }
        if !told && state.is_draining() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// A connection that has been idle for less than this is not closed for another.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// The open connections, and some that have ended since.
#[derive(Default)]
struct Open(Vec<(Arc<Shared>, AbortHandle)>);

impl Open {
    fn add(&mut self, shared: Arc<Shared>, connection: AbortHandle) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|(_, connection)| !connection.is_finished());
        }
        self.0.push((shared, connection));
    }

    /// Closes the connection that has waited longest for a head; if there is none, the one that has waited longest
    /// for more of a request body or for the client to take a response; in both cases only after [`LEAST_WAIT`]. So
    /// a client that opens many connections and sends next to nothing locks nobody out.
    fn close_longest_waiting(&mut self, telemetry: &Telemetry) -> bool {
        self.0.retain(|(_, connection)| !connection.is_finished());
        let now = Instant::now();
        let waiting = self.0.iter().enumerate().filter_map(|(i, (shared, _))| Some((shared.waits()?, i)));
        let Some((_, longest)) = waiting.filter(|((_, since), _)| now - *since >= LEAST_WAIT).min() else {
            return false;
        };
        telemetry.rejected(Rejection::GivenUp);
        self.0.swap_remove(longest).1.abort();
        true
    }
}

/// An open connection, which is counted until it is dropped.
struct Connected(Arc<State>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.telemetry.disconnect();
    }
}

/// Whether an accept failed because of that one connection, not for lack of resources.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The response body of `POST /predict` for the first model and a JSON request body, without a connection around
/// it; benches/log.rs times it.
pub fn predict(state: &State, body: &[u8]) -> Bytes {
    let models = state.models();
    let form = api::answering::Form::Json;
    let body = Bytes::copy_from_slice(body);
    let answered = api::native::predict(state, models.default_model(), None, form, body);
    let response = answered.unwrap_or_else(|failure| failure.response());
    match response.into_body() {
        wire::body::Body::Whole(bytes) => bytes.unwrap_or_default(),
        wire::body::Body::Stream { .. } => Bytes::new(),
    }
}

/// The runtime to serve on: one thread for everything, or as many workers as `threads`; and as many again for
/// large requests, which compute rather than wait.
///
/// # Errors
/// The operating system has no threads or file descriptors left.
pub fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = if threads <= 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.max_blocking_threads(threads.max(1)).enable_all();
    builder.build().context("cannot start the server's threads")
}

/// Completes at SIGTERM or SIGINT (Ctrl-C). Signals are caught from this call on, not from the first await; a
/// second one ends the process at once with status 130. To be called on the runtime.
///
/// # Errors
/// The operating system does not let signals be caught.
#[cfg(unix)]
pub(crate) fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    const FAILED: &str = "cannot catch signals";
    let mut terminate = signal(SignalKind::terminate()).context(FAILED)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(FAILED)?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            std::process::exit(130);
        });
    })
}

/// Completes at Ctrl-C; a second one ends the process at once with status 130. To be called on the runtime.
///
/// # Errors
/// Never on this system.
#[cfg(not(unix))]
pub(crate) fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(130);
        });
    })
}
