//! What all connections share: the model and its prepared answers, the limits, the counters.
//!
//! A request needs one clone of `Arc<State>` and takes no lock. [`Served`] is everything that belongs to one
//! model, behind one `Arc`: another model is loaded and checked beside it, and then takes its place as a whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Limits;
use super::telemetry::Telemetry;
use crate::data::schema::{ColumnType, Feature, Schema};
use crate::model::Model;
use crate::model::evaluation::Metrics;
use crate::report::answer::AnswerWriter;

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

#[derive(Serialize)]
struct Description<'a> {
    card: Value,
    schema: &'a Schema,
    metrics: &'a Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    importances: Option<Vec<Importance<'a>>>,
    example: Box<RawValue>,
}

/// How much one number of a prepared row moves the output.
#[derive(Serialize)]
struct Importance<'a> {
    feature: &'a str,
    /// The level of a category that the number stands for.
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    importance: f64,
}

fn describe(model: &Model) -> Result<Vec<u8>> {
    let schema = &model.pipeline.schema;
    let mut card = serde_json::to_value(&model.card)?;
    for source in ["data", "test"] {
        if let Some(Value::String(path)) = card.pointer_mut(&format!("/{source}/path")) {
            let name = Path::new(path.as_str()).file_name().map(|name| name.to_string_lossy().into_owned());
            *path = name.unwrap_or_default();
        }
    }
    let importances = model.pipeline.predictor.importances().map(|importances| {
        let slots = model.pipeline.recipe.slot_names(schema).into_iter().zip(importances);
        let named = slots.map(|((feature, value), importance)| Importance {
            feature: &schema.features[feature].name,
            value,
            importance,
        });
        named.collect()
    });
    let example = RawValue::from_string(example(schema))?;
    let metrics = &model.card.evaluation.metrics;
    Ok(serde_json::to_vec(&Description { card, schema, metrics, importances, example })?)
}

/// A body for `POST /predict` that the model accepts: its most usual values, by name, in column order.
pub fn example(schema: &Schema) -> String {
    let members = schema.features.iter().map(|feature| {
        let name = Value::from(feature.name.as_str());
        format!("{name}:{}", usual_value(feature))
    });
    format!("{{\"features\":{{{}}}}}", members.collect::<Vec<_>>().join(","))
}

/// The mean to three digits, or the most frequent level.
fn usual_value(feature: &Feature) -> Value {
    match feature.column_type {
        ColumnType::Boolean => (feature.mean >= 0.5).into(),
        ColumnType::Number => {
            let rounded = format!("{:.2e}", feature.mean).parse::<f64>().unwrap_or(feature.mean);
            let value = rounded.clamp(feature.min, feature.max);
            // 2^53: a double above it is not one whole number.
            if value.fract() == 0.0 && value.abs() < 9.0e15 { (value as i64).into() } else { value.into() }
        }
        ColumnType::Category => {
            let counted = feature.levels.iter().zip(&feature.counts);
            // The first of equals, so that every start shows the same.
            let most = counted.rev().max_by_key(|(_, count)| **count);
            most.map_or(Value::Null, |(level, _)| level.as_str().into())
        }
    }
}
