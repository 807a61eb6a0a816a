//! What all connections share: the models and their prepared answers, the limits, the counters.
//!
//! A request takes one `Arc` of one [`Served`] and no lock, and is answered from that to its end. [`Served`] is
//! everything that belongs to one model: another is loaded and checked beside it, and then takes its place as a
//! whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use arc_swap::{ArcSwap, Guard};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::Limits;
use super::telemetry::{ModelCounts, Telemetry};
use crate::model::Model;
use crate::report::answer::AnswerWriter;
use crate::report::card;

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
}

impl Served {
    /// Prepares a model that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(name: &str, model: Model, counts: Arc<ModelCounts>) -> Result<Self> {
        let description = describe(&model).context("cannot describe the model as JSON")?.into();
        let answers = AnswerWriter::new(&model.pipeline.schema);
        Ok(Self { name: name.into(), model, answers, description, loaded: SystemTime::now(), counts })
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
pub struct Models(Vec<Arc<Served>>);

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
        Ok(Self(models))
    }

    /// The first model.
    pub fn default_model(&self) -> &Arc<Served> {
        &self.0[0]
    }

    /// The model called `name`; the first where no name is given.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<Served>> {
        match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|served| served.name == name),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.0.iter()
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
    /// What is counted.
    pub telemetry: Telemetry,
    /// What is allowed.
    pub limits: Limits,
}

impl State {
    /// A server's state for one model, called `model`, that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(model: Model, limits: Limits) -> Result<Self> {
        let served = Served::new("model", model, Arc::default())?;
        Ok(Self::with_models(Models::new(vec![Arc::new(served)])?, limits))
    }

    /// A server's state for several models.
    pub fn with_models(models: Models, limits: Limits) -> Self {
        Self {
            models: ArcSwap::from_pointee(models),
            draining: AtomicBool::new(false),
            telemetry: Telemetry::new(),
            limits,
        }
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

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// From now on `GET /readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
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
