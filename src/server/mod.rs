//! The model over HTTP: accepts connections within limits, and shuts down in order.
//!
//! Folders: `api` holds the router and the handlers of the endpoints, `models` the models that are served, `guard`
//! keys and limits per client, `observe` metrics, logs and feedback, `page` the pages for people, `wire` sockets and
//! bodies.
//!
//! Files beside them serve more than one folder, or use the state that holds parts of all: `connections` lets
//! connections in and serves them, `cost` what a row takes of a model, `endpoints` is the table of endpoints and
//! statuses, `error` the failures and their responses, `limits` the limits with their defaults, `state` the data that
//! connections share, `request_body` reads bodies within the limits, `reload` replaces models and keys, `work` has the
//! threads for large requests.
//!
//! Nothing in here knows of the command line or of learning. A fault of one connection ends that connection and no
//! other.

pub(crate) mod api;
mod connections;
pub(crate) mod cost;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod models;
pub mod observe;
pub(crate) mod page;
pub(crate) mod reload;
pub(crate) mod request_body;
pub(crate) mod state;
pub(crate) mod wire;
pub(crate) mod work;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::body::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

pub use api::page::help;
use connections::Connections;
pub use limits::Limits;
use observe::telemetry::Rejection;
pub use state::{Setup, State};
pub(crate) use wire::socket::{Listener, Tls};

/// The shortest and longest pause after failed accepts in a row (no file descriptors, no memory).
const ACCEPT_BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Serves until `shutdown` completes; then answers 503 at `/readyz`, closes the listener, answers the requests
/// under way, those of connections that wait to be accepted included, and returns, at the latest after the drain time.
///
/// # Errors
/// A limit is 0.
pub async fn run(
    listener: tokio::net::TcpListener,
    state: Arc<State>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    serve(listener.into(), state, shutdown).await
}

/// As [`run`], on any listener.
///
/// # Errors
/// As [`run`].
pub(crate) async fn serve(
    listener: Listener,
    state: Arc<State>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let limits = state.limits;
    let counts = [
        limits.connections,
        limits.connections_per_address,
        limits.in_flight,
        limits.body_bytes,
        limits.header_bytes,
        limits.rows,
    ];
    ensure!(counts.iter().all(|&limit| limit > 0), "a limit of 0 serves nothing; give 1 or more");
    let mut connections = Connections::new(Arc::clone(&state));
    let mut shutdown = pin!(shutdown);
    let mut back_off = ACCEPT_BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                back_off = ACCEPT_BACK_OFF.0;
                connections.take(socket, peer).await;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => {
                state.telemetry.rejected(Rejection::Accept);
                connections.give_up_some();
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(ACCEPT_BACK_OFF.1);
            }
        }
    }
    state.drain();
    for (socket, peer) in listener.close() {
        connections.take(socket, peer).await;
    }
    connections.drain().await;
    Ok(())
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
    let answered = api::native::predict(state, models.default_model(), None, (form, false), body);
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
