//! The connections of the server: which are let in, which give way, and how each is served to its end.
//!
//! Called by [`super::serve`], which accepts them. A connection that is not let in is told so, and has a moment to
//! read that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet, unconstrained};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::api;
use super::endpoints::{OTHER_LABEL, Status};
use super::guard::addresses::{Addresses, Counted};
use super::guard::rate::Caller;
use super::observe::log::Entry;
use super::observe::telemetry::{Rejection, Telemetry};
use super::state::State;
use super::wire::body::Body;
use super::wire::refusal::{LEAST_REFUSAL_TIME, MAX_REFUSALS, NO_ROOM, OF_ONE_ADDRESS, REFUSAL_TIME, refuse};
use super::wire::socket::{Peer, Socket};
use super::wire::stream::{LEAST_WAIT, Shared, Stream};

/// The time for a connection that was accepted while the server drains to send its request: the client connected
/// before the listener was closed, and may just be sending.
const LATE_REQUEST_TIME: Duration = Duration::from_secs(1);

/// The connections of a server.
pub(super) struct Connections {
    state: Arc<State>,
    http: http1::Builder,
    drain: Arc<Notify>,
    tasks: JoinSet<()>,
    open: Open,
    addresses: Arc<Addresses>,
    refusals: Refusals,
}

impl Connections {
    /// None yet.
    pub(super) fn new(state: Arc<State>) -> Self {
        let mut http = http1::Builder::new();
        // The stream keeps the time limit of a head.
        http.header_read_timeout(None).max_header_size(state.limits.header_bytes);
        Self {
            state,
            http,
            drain: Arc::default(),
            tasks: JoinSet::new(),
            open: Open::default(),
            addresses: Arc::default(),
            refusals: Refusals::default(),
        }
    }

    /// Serves a connection that was accepted, or refuses it.
    pub(super) async fn take(&mut self, socket: Socket, peer: Peer) {
        while self.tasks.try_join_next().is_some() {}
        match self.admit(Caller::at(peer)) {
            Ok(counted) => {
                let shared = Arc::new(Shared::new(peer));
                let connection = Connection {
                    counted,
                    shared: Arc::clone(&shared),
                    http: self.http.clone(),
                    drain: Arc::clone(&self.drain),
                };
                self.open.add(shared, self.tasks.spawn(connection.serve(socket)));
            }
            Err(reason) => {
                self.state.telemetry.rejected(reason);
                let response = if reason == Rejection::Address { OF_ONE_ADDRESS } else { NO_ROOM };
                if reason == Rejection::Address && self.refusals.are_many() {
                    // Nobody waits for the sake of one client that opens thousands.
                    return;
                }
                self.refusals.make_room().await;
                let refusal = async {
                    timeout(REFUSAL_TIME, refuse(socket, response)).await.map(drop).unwrap_or_default()
                };
                self.refusals.add(self.tasks.spawn(refusal));
            }
        }
    }

    /// A slot for a connection of `caller`. If its address has as many as it may, or all slots are taken, another
    /// connection gives way to it; that ends at its next turn, but its slot is free already.
    fn admit(&mut self, caller: Caller) -> Result<Connected, Rejection> {
        let (telemetry, limits) = (&self.state.telemetry, self.state.limits);
        let mut limit = limits.connections;
        let of_address = match self.addresses.enter(caller, limits.connections_per_address) {
            Some(of_address) => of_address,
            None if self.open.close_longest_waiting(telemetry, Some(caller)) => {
                limit = usize::MAX;
                self.addresses.enter(caller, usize::MAX).ok_or(Rejection::Address)?
            }
            None => return Err(Rejection::Address),
        };
        let admitted = telemetry.connect(limit)
            || (self.open.close_longest_waiting(telemetry, None) && telemetry.connect(usize::MAX));
        let state = Arc::clone(&self.state);
        if admitted { Ok(Connected { state, _of_address: of_address }) } else { Err(Rejection::Connections) }
    }

    /// Closes connections so that the operating system has files again.
    pub(super) fn give_up_some(&mut self) {
        self.open.close_longest_waiting(&self.state.telemetry, None);
        self.refusals.give_up_all();
    }

    /// Completes when the requests under way are answered, at the latest after the drain time.
    pub(super) async fn drain(mut self) {
        self.drain.notify_waiters();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        // Unfinished requests are cut off: the tasks end with their set.
        let _ = timeout(self.state.limits.drain_time, drained).await;
    }
}

/// An accepted connection before it is served.
struct Connection {
    counted: Connected,
    shared: Arc<Shared>,
    http: http1::Builder,
    drain: Arc<Notify>,
}

impl Connection {
    /// Serves requests until the client disconnects, the connection is idle for too long, or the server drains.
    async fn serve(self, socket: Socket) {
        let Self { counted, shared, http, drain } = self;
        let state = Arc::clone(&counted.state);
        let limits = state.limits;
        let late = state.is_draining().then(|| Box::pin(sleep(LATE_REQUEST_TIME)));
        // An error here is the client's: it disconnected, sent no HTTP, or was too slow.
        let Ok(Ok(socket)) = timeout(limits.header_time, state.tls.accept(socket)).await else {
            return;
        };
        let stream = Stream::new(socket, Arc::clone(&shared), limits.header_time, limits.write_stall);
        let connection = Arc::clone(&shared);
        let service = service_fn(move |request| {
            api::router::answer(Arc::clone(&counted.state), Arc::clone(&connection), request)
        });
        let connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        if let Err(error) = until_drained(connection, &state, &drain, &shared, late).await {
            not_a_request(&state, &shared, &error);
        }
    }
}

/// Counts and logs a head that hyper answered itself, since it is not one of HTTP or too long.
fn not_a_request(state: &State, shared: &Shared, error: &hyper::Error) {
    if !error.is_parse() {
        return;
    }
    let status = if error.is_parse_too_large() { Status::HeadTooLarge } else { Status::BadRequest };
    let status = StatusCode::from_u16(status.code()).unwrap_or_default();
    state.telemetry.answered(None, OTHER_LABEL, status, Duration::ZERO);
    state.log.answered(&Entry {
        method: "-",
        path: "-",
        status,
        took: Duration::ZERO,
        request_id: "",
        traceparent: None,
        key: None,
        client: shared.peer,
        model: None,
    });
}

/// Serves a connection to its end, which is the end of the request under way once the server drains, and of the first
/// one if the connection is `late`. Draining is a flag that is checked whenever the connection is polled; `drain` only
/// wakes idle connections.
async fn until_drained<S: HttpService<Incoming, ResBody = Body, Error = Infallible>>(
    mut connection: Pin<&mut http1::Connection<TokioIo<Stream>, S>>,
    state: &State,
    drain: &Notify,
    shared: &Shared,
    mut late: Option<Pin<Box<tokio::time::Sleep>>>,
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
            // A request that has arrived is answered.
            let polled = connection.as_mut().poll(cx);
            let may_come = late.as_mut().is_some_and(|late| late.as_mut().poll(cx).is_pending());
            if polled.is_ready() || (may_come && shared.idle_since().is_some()) {
                return polled;
            }
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await
}

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

    /// Closes the connection, of `caller` if one is given, that has waited longest for a head; if there is none, the
    /// one that has waited longest for more of a request body or for the client to take a response; in both cases only
    /// after [`LEAST_WAIT`]. So a client that opens many connections and sends next to nothing locks nobody out.
    fn close_longest_waiting(&mut self, telemetry: &Telemetry, caller: Option<Caller>) -> bool {
        self.0.retain(|(_, connection)| !connection.is_finished());
        let now = Instant::now();
        let is_of = |shared: &Shared| caller.is_none_or(|caller| Caller::at(shared.peer) == caller);
        let candidates = self.0.iter().enumerate().filter(|(_, (shared, _))| is_of(shared));
        let waiting = candidates.filter_map(|(i, (shared, _))| Some((shared.waits()?, i)));
        let Some((_, longest)) = waiting.filter(|((_, since), _)| now - *since >= LEAST_WAIT).min() else {
            return false;
        };
        telemetry.rejected(Rejection::GivenUp);
        self.0.swap_remove(longest).1.abort();
        true
    }
}

/// An open connection, which is counted until it is dropped.
struct Connected {
    state: Arc<State>,
    _of_address: Counted,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.state.telemetry.disconnect();
    }
}

/// The connections that are being refused, with the times since when, oldest first.
#[derive(Default)]
struct Refusals(VecDeque<(Instant, AbortHandle)>);

impl Refusals {
    /// Waits until there is room for one more. If no client goes, the oldest is closed, but not before it had
    /// [`LEAST_REFUSAL_TIME`] to read its response: whoever is waiting in the meantime waits in the queue of the
    /// operating system.
    async fn make_room(&mut self) {
        while self.are_many()
            && let Some((since, oldest)) = self.0.front()
        {
            let time = *since + LEAST_REFUSAL_TIME;
            if time <= Instant::now() {
                oldest.abort();
                self.0.pop_front();
            } else {
                sleep_until(time).await;
            }
        }
    }

    fn are_many(&mut self) -> bool {
        self.0.retain(|(_, refusal)| !refusal.is_finished());
        self.0.len() >= MAX_REFUSALS
    }

    fn add(&mut self, refusal: AbortHandle) {
        self.0.push_back((Instant::now(), refusal));
    }

    fn give_up_all(&mut self) {
        self.0.drain(..).for_each(|(_, refusal)| refusal.abort());
    }
}
