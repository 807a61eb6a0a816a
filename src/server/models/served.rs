//! A model with its prepared answers, and the set of models that are served.
//!
//! A request takes one `Arc` of one [`Served`] and no lock, and is answered from that to its end. [`Served`] is
//! everything that belongs to one model: a new one is loaded and checked while the old one answers, and then
//! replaces it as a whole.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::shadow::Shadow;
use crate::model::Model;
use crate::predict::answer::AnswerWriter;
use crate::report::card;
use crate::server::observe::profile::Profile;
use crate::server::observe::telemetry::ModelCounts;

/// A model and what is made of it once, so that requests need not.
#[derive(Debug)]
pub(crate) struct Served {
    /// What it is called in paths and metrics.
    pub(crate) name: String,
    /// What predicts.
    pub(crate) model: Model,
    /// Writes its answers.
    pub(crate) answers: AnswerWriter,
    /// The body of `GET /model`.
    pub(crate) description: Bytes,
    /// When it was loaded.
    pub(crate) loaded: SystemTime,
    /// What is counted of it; outlives a reload.
    pub(crate) counts: Arc<ModelCounts>,
    /// What is counted of its columns and classes; outlives a reload where these are the same.
    pub(crate) profile: Arc<Profile>,
    /// The model beside it, if there is one.
    pub(crate) shadow: Option<Shadow>,
}

impl Served {
    /// Prepares a model that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub(crate) fn new(name: &str, model: Model, counts: Arc<ModelCounts>) -> Result<Self> {
        let description = describe(&model).context("cannot describe the model as JSON")?.into();
        let answers = AnswerWriter::new(&model.pipeline.schema);
        let profile = Arc::new(Profile::new(&model.pipeline.schema));
        let (name, loaded) = (name.into(), SystemTime::now());
        Ok(Self { name, model, answers, description, loaded, counts, profile, shadow: None })
    }

    /// This model in the place of `old`: what was counted of the old one's columns and classes is kept where
    /// these are the same.
    pub(crate) fn after(mut self, old: Option<&Arc<Self>>) -> Self {
        if let Some(old) = old
            && self.profile.is_like(&old.profile)
        {
            self.profile = Arc::clone(&old.profile);
        }
        self
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
pub(crate) struct Models {
    served: Vec<Arc<Served>>,
    /// The body of `GET /openapi.json`, made when it is first asked for: without keys, and with.
    openapi: [OnceLock<Bytes>; 2],
}

impl Models {
    /// A set of models.
    ///
    /// # Errors
    /// None at all, or two of one name.
    pub(crate) fn new(models: Vec<Arc<Served>>) -> Result<Self> {
        ensure!(!models.is_empty(), "there is no model to serve");
        for (i, served) in models.iter().enumerate() {
            if models[..i].iter().any(|other| other.name == served.name) {
                bail!("two models are called {:?}; --model NAME=FILE gives another name", served.name);
            }
        }
        Ok(Self { served: models, openapi: Default::default() })
    }

    /// The first model.
    pub(crate) fn default_model(&self) -> &Arc<Served> {
        &self.served[0]
    }

    /// The model called `name`; the first where no name is given.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<&Arc<Served>> {
        match name {
            None => self.served.first(),
            Some(name) => self.served.iter().find(|served| served.name == name),
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.served.iter()
    }

    /// The body of `GET /openapi.json`, which `make` makes once: it is a millisecond's work, that of a hundred
    /// predictions.
    pub(crate) fn openapi(&self, keys_are_required: bool, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.openapi[usize::from(keys_are_required)].get_or_init(|| make(self)).clone()
    }

    /// The body of `GET /models`.
    pub(crate) fn list(&self) -> Vec<u8> {
        let models: Vec<Value> = self.iter().map(|served| served.summary()).collect();
        json!({ "default": self.default_model().name, "models": models }).to_string().into_bytes()
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
