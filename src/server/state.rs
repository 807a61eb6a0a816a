//! What all connections share: the model and its prepared answers, the limits, the counters.
//!
//! A request needs one clone of `Arc<State>` and takes no lock. [`Served`] is everything that belongs to one
//! model, behind one `Arc`: another model is loaded and checked beside it, and then takes its place as a whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result};
use hyper::body::Bytes;
use serde_json::Value;

use super::Limits;
use super::telemetry::Telemetry;
use crate::model::Model;
use crate::report::answer::AnswerWriter;
use crate::report::card;

/// A model and what is made of it once, so that requests need not.
#[derive(Debug)]
pub struct Served {
    /// What predicts.
    pub model: Model,
    /// Writes its answers.
    pub answers: AnswerWriter,
    /// The body of `GET /model`.
    pub description: Bytes,
}

/// What all connections share.
#[derive(Debug)]
pub struct State {
    served: Arc<Served>,
    draining: AtomicBool,
    /// What is counted.
    pub telemetry: Telemetry,
    /// What is allowed.
    pub limits: Limits,
}

impl State {
    /// A server's state for a model that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub fn new(model: Model, limits: Limits) -> Result<Self> {
        let telemetry = Telemetry::new(&model);
        let description = describe(&model).context("cannot describe the model as JSON")?.into();
        let answers = AnswerWriter::new(&model.pipeline.schema);
        let served = Arc::new(Served { model, answers, description });
        Ok(Self { served, draining: AtomicBool::new(false), telemetry, limits })
    }

    /// The current model.
    pub fn served(&self) -> &Served {
        &self.served
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
