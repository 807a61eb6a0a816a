//! The state that all connections share: models, limits, guards, counters, logs.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use arc_swap::{ArcSwap, Guard};
use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::limits::Limits;
use super::work::Work;
use crate::model::Model;
use crate::server::guard::cors::Cors;
use crate::server::guard::hosts::Hosts;
use crate::server::guard::keys::Keys;
use crate::server::guard::rate::RateLimit;
use crate::server::models::journal::Journal;
use crate::server::models::served::{Models, Served};
use crate::server::models::sources::Sources;
use crate::server::observe::feedback::Recent;
use crate::server::observe::log::Log;
use crate::server::observe::telemetry::Telemetry;
use crate::server::observe::trace::{self, Ids};
use crate::server::request_body::Held;
use crate::server::wire::socket::Tls;
use crate::server::wire::streams::Streams;

/// The settings of a server: everything that is decided before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The models, loaded and checked.
    pub(crate) models: Models,
    pub(crate) limits: Limits,
    /// The files of the models; none if they cannot be loaded again.
    pub(crate) sources: Sources,
    /// The keys that requests need; none if no key is needed.
    pub(crate) keys: Keys,
    /// The request rate per key or address; `None` for no limit.
    pub(crate) rate: Option<RateLimit>,
    /// The hosts that requests may name.
    pub(crate) hosts: Hosts,
    /// The origins of pages that may send requests, and read responses.
    pub(crate) cors: Cors,
    pub(crate) tls: Tls,
    pub(crate) log: Log,
    /// The prediction log.
    pub(crate) journal: Option<Journal>,
    /// The predictions that are remembered for feedback.
    pub(crate) recent: Recent,
    /// Whether the pages for people are answered.
    pub(crate) page: bool,
}

impl Setup {
    /// One model, called `model`, that was loaded and checked; nothing optional is on.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(model: Model, limits: Limits) -> Result<Self> {
        let served = Served::new("model", model, Arc::default())?;
        Ok(Self::with_models(Models::new(vec![Arc::new(served)])?, limits))
    }

    /// Remembers the predictions of the last `n` requests for `POST /feedback`.
    pub fn remembering(self, n: usize) -> Self {
        Self { recent: Recent::new(n), ..self }
    }

    /// Without the pages for people.
    pub fn without_page(self) -> Self {
        Self { page: false, ..self }
    }

    /// Several models; nothing optional is on.
    pub(crate) fn with_models(models: Models, limits: Limits) -> Self {
        Self {
            models,
            limits,
            sources: Sources::default(),
            keys: Keys::default(),
            rate: None,
            hosts: Hosts::default(),
            cors: Cors::default(),
            tls: Tls::default(),
            log: Log::default(),
            journal: None,
            recent: Recent::new(0),
            page: true,
        }
    }
}

/// The state that all connections share.
#[derive(Debug)]
pub struct State {
    models: ArcSwap<Models>,
    draining: AtomicBool,
    reloading: Mutex<()>,
    pub(crate) telemetry: Telemetry,
    pub(crate) limits: Limits,
    /// The threads for large requests.
    pub(crate) work: Work,
    /// The request bodies that are predicted while they arrive; each has a thread.
    pub(crate) streams: Arc<Streams>,
    /// The memory that unanswered request bodies take.
    pub(crate) held: Held,
    pub(crate) sources: Sources,
    pub(crate) keys: Keys,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) hosts: Hosts,
    pub(crate) cors: Cors,
    pub(crate) tls: Tls,
    pub(crate) log: Log,
    /// Makes request ids.
    pub(crate) ids: Ids,
    pub(crate) journal: Option<Journal>,
    pub(crate) recent: Recent,
    /// Whether the pages for people are answered.
    pub(crate) page: bool,
}

impl State {
    /// The state of a server with these settings.
    ///
    /// # Errors
    /// The threads for large requests cannot be started.
    pub fn new(setup: Setup) -> Result<Self> {
        let Setup { models, limits, sources, keys, rate, hosts, cors, tls, log, journal, recent, page } =
            setup;
        Ok(Self {
            models: ArcSwap::from_pointee(models),
            draining: AtomicBool::new(false),
            reloading: Mutex::default(),
            telemetry: Telemetry::new(),
            limits,
            work: Work::new(limits.batch_threads)?,
            streams: Arc::new(Streams::new(limits.streams)),
            held: Held::default(),
            sources,
            keys,
            rate,
            hosts,
            cors,
            tls,
            log,
            ids: Ids::default(),
            journal,
            recent,
            page,
        })
    }

    /// Lets one reload go on at a time.
    pub(crate) fn reloading(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current models; not to be held while waiting for anything.
    pub(crate) fn models(&self) -> Guard<Arc<Models>> {
        self.models.load()
    }

    /// The current model of that name; the first if no name is given.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<Arc<Served>> {
        self.models.load().find(name).cloned()
    }

    /// Answers new requests from these models; those under way go on with the ones they have.
    pub(crate) fn replace(&self, models: Models) {
        self.models.store(Arc::new(models));
    }

    /// The id of a request: the one it brought, or a new one if a log or feedback will refer to it.
    pub(crate) fn request_id(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let is_kept = self.log.is_on() || self.journal.is_some() || self.recent.is_on();
        trace::request_id(headers).cloned().or_else(|| is_kept.then(|| self.ids.make()))
    }

    /// Whether the server is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Acquire)
    }

    /// Begins the shutdown: `GET /readyz` answers 503 from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::models::served::tests::penguins;
    use crate::server::observe::trace::REQUEST_ID;

    #[test]
    fn a_request_gets_an_id_only_if_something_will_refer_to_it() {
        let setup = || Setup::new(penguins(), Limits::DEFAULT).unwrap();
        let (plain, own) =
            (HeaderMap::new(), HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("r1"))]));
        let state = State::new(setup()).unwrap();
        assert_eq!(
            (state.request_id(&plain), state.request_id(&own).unwrap()),
            (None, "r1".parse().unwrap())
        );
        let state = State::new(Setup { recent: Recent::new(1), ..setup() }).unwrap();
        assert!(state.request_id(&plain).is_some());
        assert_eq!(state.request_id(&own).unwrap(), "r1");
    }
}
