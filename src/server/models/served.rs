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
use crate::data::read::json::ExplainOption;
use crate::model::explain::Explainer;
use crate::model::{Card, Model};
use crate::order;
use crate::predict::Explain;
use crate::predict::answer::AnswerWriter;
use crate::predict::explained::wish_of;
use crate::report::html::subject::{Rows, Subject};
use crate::report::{card, html};
use crate::server::cost::Cost;
use crate::server::observe::profile::Profile;
use crate::server::observe::telemetry::ModelCounts;

/// A model with everything that is prepared once instead of for every request.
#[derive(Debug)]
pub(crate) struct Served {
    /// The model's name in paths and metrics.
    pub(crate) name: String,
    /// The model.
    pub(crate) model: Model,
    /// The writer of its predictions.
    pub(crate) answers: AnswerWriter,
    /// The work and memory that a row takes.
    pub(crate) cost: Cost,
    /// The body of `GET /model`.
    pub(crate) description: Bytes,
    /// The body of `GET /report`, made at the first request.
    report: OnceLock<Bytes>,
    /// The time it was loaded.
    pub(crate) loaded: SystemTime,
    /// Its counters, which outlive a reload.
    pub(crate) counts: Arc<ModelCounts>,
    /// The counters of its features and classes, which outlive a reload if these stay the same.
    pub(crate) profile: Arc<Profile>,
    /// Its shadow model, if there is one.
    pub(crate) shadow: Option<Shadow>,
    /// Explains its predictions; made when that is first asked for.
    explainer: OnceLock<Arc<Explainer>>,
}

impl Served {
    /// Prepares a model that was loaded and checked.
    ///
    /// # Errors
    /// The card cannot be written as JSON.
    pub(crate) fn new(name: &str, model: Model, counts: Arc<ModelCounts>) -> Result<Self> {
        let description = describe(&model).context("cannot describe the model as JSON")?.into();
        model.pipeline.members.iter().for_each(|member| member.predictor.prepare());
        let answers = AnswerWriter::new(&model.pipeline);
        let cost = Cost::of(&model, &answers);
        let profile = Arc::new(Profile::new(&model));
        let (name, loaded, report) = (name.into(), SystemTime::now(), OnceLock::new());
        Ok(Self {
            name,
            model,
            answers,
            cost,
            description,
            report,
            loaded,
            counts,
            profile,
            shadow: None,
            explainer: OnceLock::new(),
        })
    }

    /// Whether explanations are sampled, which takes thousands of predictions.
    pub(crate) fn is_sampled(&self) -> bool {
        self.model.pipeline.members.iter().any(|member| member.is_sampled())
    }

    /// Explanations as a request wants them.
    ///
    /// # Errors
    /// A label that the model does not have, or a model that cannot be explained so.
    pub(crate) fn explain(&self, option: &ExplainOption) -> Result<Explain> {
        let Model { pipeline, reference, .. } = &self.model;
        let wish = wish_of(option, &pipeline.schema)?;
        let explainer = self.explainer.get_or_init(|| Arc::new(Explainer::new(pipeline, reference)));
        Explain::new(Arc::clone(explainer), pipeline, wish)
    }

    /// This model as the successor of `old`: the counters of features and classes are kept if these are the same.
    pub(crate) fn after(mut self, old: Option<&Arc<Self>>) -> Self {
        if let Some(old) = old
            && self.profile.is_like(&old.profile)
        {
            self.profile = Arc::clone(&old.profile);
        }
        self
    }

    /// Whether the body of `GET /report` is there.
    pub(crate) fn has_report(&self) -> bool {
        self.report.get().is_some()
    }

    /// The body of `GET /report`: what the card records, and what the model itself tells. The training file is not read.
    pub(crate) fn report(&self) -> Bytes {
        let make = || {
            let (card, detailed) = (shown_card(&self.model), self.model.card.evaluation.clone().into());
            let subject = Subject {
                name: self.name.clone(),
                rows: Rows::Recorded,
                detailed: &detailed,
                model: Some((&self.model, &card)),
                served: true,
                associations: None,
            };
            html::report(&[subject], true).into()
        };
        self.report.get_or_init(make).clone()
    }

    /// The entry of `GET /models`.
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
    /// The body of `GET /openapi.json`, made at the first request: without keys, and with.
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

    /// The model called `name`; the first if no name is given.
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

    /// The body of `GET /openapi.json`, which `make` makes once: that takes a millisecond, as a hundred predictions
    /// do.
    pub(crate) fn openapi(&self, keys_are_required: bool, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.openapi[usize::from(keys_are_required)].get_or_init(|| make(self)).clone()
    }

    /// The body of `GET /models`.
    pub(crate) fn list(&self) -> Vec<u8> {
        let models: Vec<Value> = self.iter().map(|served| served.summary()).collect();
        json!({ "default": self.default_model().name, "models": models }).to_string().into_bytes()
    }
}

/// The members of a feature's description that tell values.
const VALUES: [&str; 7] = ["levels", "counts", "min", "max", "mean", "ranges", "histogram"];

/// The card with file names in place of paths, and without notes on private columns.
fn shown_card(model: &Model) -> Card {
    let mut shown = model.card.clone();
    let mut names = Vec::new();
    for source in std::iter::once(&mut shown.data).chain(&mut shown.more_data).chain(&mut shown.test) {
        let name = Path::new(&source.path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        names.push((std::mem::replace(&mut source.path, name.clone()), name));
    }
    names.retain(|(path, name)| path != name);
    // A path may be a part of a longer one.
    order::sort_by_key(&mut names, |(path, _)| std::cmp::Reverse(path.len()));
    for note in &mut shown.notes {
        for (path, name) in &names {
            *note = note.replace(path, name);
        }
    }
    let private: Vec<String> = model
        .pipeline
        .schema
        .features
        .iter()
        .filter(|feature| feature.private)
        .map(|feature| format!("{:?}", feature.name))
        .collect();
    // A note on a column may quote its cells.
    shown.notes.retain(|note| !private.iter().any(|name| note.contains(name)));
    shown
}

/// The body of `GET /model`: as `mlapi inspect` shows it, but with file names in place of paths, and without the values of
/// private columns.
fn describe(model: &Model) -> Result<Vec<u8>> {
    let mut description = card::describe(model);
    description["card"] = serde_json::to_value(shown_card(model))?;
    for feature in description["schema"]["features"].as_array_mut().into_iter().flatten() {
        if let (true, Some(members)) = (feature["private"] == true, feature.as_object_mut()) {
            members.retain(|member, _| !VALUES.contains(&member.as_str()));
        }
    }
    Ok(serde_json::to_vec(&description)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{DataSource, file};

    /// Three species of penguins from `island`, four measurements, `sex` and `year`.
    pub(crate) fn penguins() -> Model {
        file::load("fixtures/models/format-1-linear.mlapi").unwrap()
    }

    /// A row of [`penguins`] as JSON, in column order.
    pub(crate) const ROW: &str = r#"["Biscoe",43.9,17.2,201,4200,"male",2009]"#;

    fn served(name: &str, model: Model) -> Arc<Served> {
        Arc::new(Served::new(name, model, Arc::default()).unwrap())
    }

    #[test]
    fn models_have_different_names_and_the_first_is_the_default() {
        assert!(Models::new(vec![]).is_err());
        let twice = Models::new(vec![served("a", penguins()), served("a", penguins())]);
        assert!(twice.unwrap_err().to_string().contains("two models are called \"a\""));
        let models = Models::new(vec![served("a", penguins()), served("b", penguins())]).unwrap();
        assert_eq!(models.find(None).unwrap().name, "a");
        assert_eq!(models.find(Some("b")).unwrap().name, "b");
        assert!(models.find(Some("c")).is_none());
        let list: Value = serde_json::from_slice(&models.list()).unwrap();
        assert_eq!((&list["default"], &list["models"][1]["name"]), (&json!("a"), &json!("b")));
    }

    #[test]
    fn the_description_names_no_folder() {
        let mut model = penguins();
        let source = |path: &str| DataSource { path: path.into(), sha256: String::new() };
        let card = &mut model.card;
        card.data = source("/home/ann/secret/penguins.csv");
        // The first path is a part of this one.
        card.more_data = vec![source("secret/of/home/ann/secret/penguins.csv.gz")];
        card.test = Some(source("secret/test.csv"));
        card.notes =
            ["/home/ann/secret/penguins.csv", "secret/of/home/ann/secret/penguins.csv.gz", "secret/test.csv"]
                .map(|path| format!("the first line of {path} holds only numbers"))
                .into();
        let served = served("a", model);
        let text = std::str::from_utf8(&served.description).unwrap();
        assert!(!text.contains("secret"), "{text}");
        for name in ["penguins.csv", "penguins.csv.gz", "test.csv"] {
            assert!(text.contains(&format!("\"path\":\"{name}\"")), "{text}");
            assert!(text.contains(&format!("\"the first line of {name} holds only numbers\"")), "{text}");
        }
    }

    #[test]
    fn the_description_of_a_private_column_tells_no_value_of_it() {
        let mut model = penguins();
        let text_of = |model: Model| String::from_utf8(served("a", model).description.to_vec()).unwrap();
        model.card.notes = vec!["\"island\" has \"Biscoe\"".into(), "\"sex\" has two levels".into()];
        assert!(text_of(penguins()).contains("Biscoe"));
        for feature in &mut model.pipeline.schema.features {
            feature.private = ["island", "bill_length_mm"].contains(&feature.name.as_str());
        }
        let text = text_of(model);
        for level in ["Biscoe", "Dream", "Torgersen"] {
            assert!(!text.contains(level), "{text}");
        }
        let description: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(description["card"]["notes"], json!(["\"sex\" has two levels"]));
        let feature = |i: usize| &description["schema"]["features"][i];
        assert_eq!(
            feature(1),
            &json!({
                "name": "bill_length_mm", "type": "number", "private": true, "missing": feature(1)["missing"],
            })
        );
        assert!(feature(2)["max"].is_number() && feature(2)["private"].is_null());
        let example = &description["example"]["data"];
        assert!(example[0].is_null() && example[1].is_null() && example[2].is_number());
    }

    #[test]
    fn counters_outlive_a_reload_unless_the_features_change() {
        let old = served("a", penguins());
        let same = Served::new("a", penguins(), Arc::default()).unwrap().after(Some(&old));
        assert!(Arc::ptr_eq(&same.profile, &old.profile));
        let mut other = penguins();
        other.pipeline.schema.features[1].max += 1.0;
        let other = Served::new("a", other, Arc::default()).unwrap().after(Some(&old));
        assert!(!Arc::ptr_eq(&other.profile, &old.profile));
    }
}
