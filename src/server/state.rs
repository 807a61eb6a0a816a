//! What all connections share: the models and their prepared answers, the limits, the counters.
//!
//! A request takes one `Arc` of one [`Served`] and no lock, and is answered from that to its end. [`Served`] is
//! everything that belongs to one model: another is loaded and checked beside it, and then takes its place as a
//! whole.

use std::path::Path;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use arc_swap::{ArcSwap, Guard};
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::Limits;
use super::work::Work;
use crate::model::Model;
use crate::predict::answer::AnswerWriter;
use crate::report::card;
use crate::server::guard::cors::Cors;
use crate::server::guard::keys::Keys;
use crate::server::guard::rate::RateLimit;
use crate::server::models::shadow::Shadow;
use crate::server::models::sources::Sources;
use crate::server::observe::feedback::Recent;
use crate::server::observe::journal::Journal;
use crate::server::observe::log::Log;
use crate::server::observe::profile::Profile;
use crate::server::observe::telemetry::{ModelCounts, Telemetry};
use crate::server::observe::trace;
use crate::server::observe::trace::Ids;
use crate::server::wire::body::Held;

/// A model and what is made of it once, so that requests need not.
#[derive(Debug)]
pub struct Served {
    /// What it is called in paths and metrics.
    pub name: String,
    /// What predicts.
    pub model: Model,
    /// Writes its answers.
    pub answers: AnswerWriter,
    /// The body of `GET /model`.
    pub description: Bytes,
    /// When it was loaded.
    pub loaded: SystemTime,
    /// What is counted of it; outlives a reload.
    pub counts: Arc<ModelCounts>,
    /// What is counted of its columns and classes; outlives a reload where these are the same.
    pub profile: Arc<Profile>,
    /// The model beside it, if there is one.
    pub shadow: Option<Shadow>,
}

impl Served {
    /// Prepares a model that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(name: &str, model: Model, counts: Arc<ModelCounts>) -> Result<Self> {
        let description = describe(&model).context("cannot describe the model as JSON")?.into();
        let answers = AnswerWriter::new(&model.pipeline.schema);
        let profile = Arc::new(Profile::new(&model.pipeline.schema));
        let (name, loaded) = (name.into(), SystemTime::now());
        Ok(Self { name, model, answers, description, loaded, counts, profile, shadow: None })
    }

    /// What `GET /models` says of it.
    fn summary(&self) -> Value {
        let (card, target) = (&self.model.card, &self.model.pipeline.schema.target);
        json!({
            "name": self.name,
            "task": target.task,
            "algorithm": card.algorithm,
            "target": target.name,
            "n_features": self.model.pipeline.schema.n_features(),
            "n_train": card.n_train,
            "metrics": card.evaluation.metrics,
        })
    }
}

/// The models of a server, in the order they were given; the first is the default.
#[derive(Debug)]
pub struct Models {
    served: Vec<Arc<Served>>,
    /// The body of `GET /openapi.json`, made when it is first asked for: without keys, and with.
    openapi: [OnceLock<Bytes>; 2],
}

impl Models {
    /// A set of models.
    ///
    /// # Errors
    /// None at all, or two of one name.
    pub fn new(models: Vec<Arc<Served>>) -> Result<Self> {
        ensure!(!models.is_empty(), "there is no model to serve");
        for (i, served) in models.iter().enumerate() {
            if models[..i].iter().any(|other| other.name == served.name) {
                bail!("two models are called {:?}; --model NAME=FILE gives another name", served.name);
            }
        }
        Ok(Self { served: models, openapi: Default::default() })
    }

    /// The first model.
    pub fn default_model(&self) -> &Arc<Served> {
        &self.served[0]
    }

    /// The model called `name`; the first where no name is given.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<Served>> {
        match name {
            None => self.served.first(),
            Some(name) => self.served.iter().find(|served| served.name == name),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.served.iter()
    }

    /// The body of `GET /openapi.json`, which `make` makes once: it is a millisecond's work, that of a hundred
    /// predictions.
    pub fn openapi(&self, keys_are_required: bool, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.openapi[usize::from(keys_are_required)].get_or_init(|| make(self)).clone()
    }

    /// The body of `GET /models`.
    pub fn list(&self) -> Vec<u8> {
        let models: Vec<Value> = self.iter().map(|served| served.summary()).collect();
        json!({ "default": self.default_model().name, "models": models }).to_string().into_bytes()
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct State {
    models: ArcSwap<Models>,
    draining: AtomicBool,
    reloading: Mutex<()>,
    /// What is counted.
    pub telemetry: Telemetry,
    /// What is allowed.
    pub limits: Limits,
    /// Where large requests are computed.
    pub work: Work,
    /// What unanswered requests take.
    pub held: Held,
    /// Where the models come from; nowhere if they cannot be loaded again.
    pub sources: Sources,
    /// Who may ask.
    pub keys: Keys,
    /// How often; `None` for as often as they like.
    pub rate: Option<RateLimit>,
    /// Which web pages may ask.
    pub cors: Cors,
    /// What it says while it runs.
    pub log: Log,
    /// Makes request ids.
    pub ids: Ids,
    /// Where predictions are written down, if they are.
    pub journal: Option<Journal>,
    /// The predictions that can still be compared with the truth.
    pub recent: Recent,
}

impl State {
    /// A server's state for one model, called `model`, that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(model: Model, limits: Limits) -> Result<Self> {
        let served = Served::new("model", model, Arc::default())?;
        Self::with_models(Models::new(vec![Arc::new(served)])?, limits)
    }

    /// A server's state for several models, and nothing else that is optional.
    ///
    /// # Errors
    /// The threads for large requests cannot be started.
    pub fn with_models(models: Models, limits: Limits) -> Result<Self> {
        Ok(Self {
            models: ArcSwap::from_pointee(models),
            draining: AtomicBool::new(false),
            reloading: Mutex::default(),
            telemetry: Telemetry::new(),
            work: Work::new(limits.batch_threads, limits.streams)?,
            limits,
            held: Held::default(),
            sources: Sources::default(),
            keys: Keys::default(),
            rate: None,
            cors: Cors::default(),
            log: Log::default(),
            ids: Ids::default(),
            journal: None,
            recent: Recent::new(0),
        })
    }

    /// Lets one reload go on at a time.
    pub fn reloading(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The models as they are now; not to be held while waiting for anything.
    pub fn models(&self) -> Guard<Arc<Models>> {
        self.models.load()
    }

    /// The current model of that name; the first where no name is given.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<Served>> {
        self.models.load().find(name).cloned()
    }

    /// From now on requests are answered from these models; those under way go on with what they have.
    pub fn replace(&self, models: Models) {
        self.models.store(Arc::new(models));
    }

    /// The id of a request: the one it brought, or a new one where something is kept under it.
    pub fn request_id(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let is_kept = self.log.is_on() || self.journal.is_some() || self.recent.is_on();
        trace::request_id(headers).cloned().or_else(|| is_kept.then(|| self.ids.make()))
    }

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Acquire)
    }

    /// From now on `GET /readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Release);
    }
}

/// The body of `GET /model`: as `mlapi inspect` shows it, but of paths only the last part.
fn describe(model: &Model) -> Result<Vec<u8>> {
    let mut description = card::describe(model);
    for source in ["data", "test"] {
        if let Some(Value::String(path)) = description.pointer_mut(&format!("/card/{source}/path")) {
            let name = Path::new(path.as_str()).file_name().map(|name| name.to_string_lossy().into_owned());
            *path = name.unwrap_or_default();
        }
    }
    Ok(serde_json::to_vec(&description)?)
}
