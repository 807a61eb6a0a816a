//! What differs between two models: target, columns, categories, ranges, settings and metrics.
//!
//! Called by `mlapi diff`. Knows the cards and schemas alone; nothing is predicted.

use serde::Serialize;
use serde_json::Value;

use super::{Card, Model};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;

/// Levels of a category that are listed.
const MAX_LEVELS: usize = 10;

/// A difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Where: `target`, `columns`, `settings`, `hyperparameters`, `data` or `metrics`.
    pub part: &'static str,
    /// What: the name of a column, a setting or a metric.
    pub name: String,
    /// What about it, such as its type; absent if all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aspect: Option<&'static str>,
    /// In the first model; null if it is not there.
    pub a: Value,
    /// In the second one.
    pub b: Value,
}

/// The differences of two models.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Differences(pub Vec<Change>);

impl Differences {
    /// Between model `a` and model `b`.
    pub fn between(a: &Model, b: &Model) -> Self {
        let mut found = Self::default();
        found.target(a, b);
        found.columns(a, b);
        found.settings(&a.card, &b.card);
        found.metrics(&a.card, &b.card);
        found
    }

    fn add(&mut self, part: &'static str, name: &str, aspect: Option<&'static str>, a: Value, b: Value) {
        if a != b {
            self.0.push(Change { part, name: name.into(), aspect, a, b });
        }
    }

    fn target(&mut self, a: &Model, b: &Model) {
        let (own, other) = (&a.pipeline.schema.target, &b.pipeline.schema.target);
        self.add("target", "name", None, own.name.clone().into(), other.name.clone().into());
        self.add("target", "task", None, own.task.name().into(), other.task.name().into());
        let missing = |from: &[String], other: &[String]| -> Vec<String> {
            from.iter().filter(|label| !other.contains(label)).take(MAX_LEVELS).cloned().collect()
        };
        let (gone, new) = (missing(&own.labels, &other.labels), missing(&other.labels, &own.labels));
        if !(gone.is_empty() && new.is_empty()) {
            self.add("target", "labels of one only", None, gone.into(), new.into());
        }
    }

    fn columns(&mut self, a: &Model, b: &Model) {
        let (own, others) = (&a.pipeline.schema.features, &b.pipeline.schema.features);
        for feature in own {
            match others.iter().find(|other| other.name == feature.name) {
                Some(other) => self.column(feature, other),
                None => {
                    self.add("columns", &feature.name, None, feature.column_type.name().into(), Value::Null)
                }
            }
        }
        for feature in others.iter().filter(|feature| !own.iter().any(|known| known.name == feature.name)) {
            self.add("columns", &feature.name, None, Value::Null, feature.column_type.name().into());
        }
    }

    fn column(&mut self, a: &Feature, b: &Feature) {
        let name = &a.name;
        self.add("columns", name, Some("type"), a.column_type.name().into(), b.column_type.name().into());
        if a.column_type != b.column_type {
            return;
        }
        self.add("columns", name, Some("missing values"), a.missing.into(), b.missing.into());
        if a.private || b.private {
            return self.add("columns", name, Some("private"), a.private.into(), b.private.into());
        }
        match a.column_type {
            ColumnType::Number => {
                let range = |feature: &Feature| Value::from(vec![feature.min, feature.max]);
                self.add("columns", name, Some("range"), range(a), range(b));
                self.add("columns", name, Some("mean"), a.mean.into(), b.mean.into());
            }
            ColumnType::Date => {
                let date = crate::data::cells::date::format;
                let range = |feature: &Feature| Value::from(vec![date(feature.min), date(feature.max)]);
                self.add("columns", name, Some("range"), range(a), range(b));
            }
            ColumnType::Category => {
                let missing = |from: &Feature, other: &Feature| -> Vec<String> {
                    from.levels
                        .iter()
                        .filter(|level| !other.levels.contains(level))
                        .take(MAX_LEVELS)
                        .cloned()
                        .collect()
                };
                self.add(
                    "columns",
                    name,
                    Some("categories of one only"),
                    missing(a, b).into(),
                    missing(b, a).into(),
                );
            }
            ColumnType::Boolean | ColumnType::Text => {}
        }
    }

    fn settings(&mut self, a: &Card, b: &Card) {
        let sources = |card: &Card| {
            let all = std::iter::once(&card.data).chain(&card.more_data);
            Value::from(all.map(|source| source.sha256.clone()).collect::<Vec<String>>())
        };
        self.add("data", "sha256", None, sources(a), sources(b));
        self.add("data", "training rows", None, a.n_train.into(), b.n_train.into());
        self.add("data", "held-out rows", None, a.evaluation.n_rows.into(), b.evaluation.n_rows.into());
        self.add("settings", "algorithm", None, a.algorithm.clone().into(), b.algorithm.clone().into());
        let split = |card: &Card| card.split_by.as_ref().map(|by| by.column().to_string());
        self.add("settings", "test size", None, a.test_size.into(), b.test_size.into());
        self.add("settings", "split by", None, split(a).into(), split(b).into());
        self.add("settings", "seed", None, a.seed.into(), b.seed.into());
        self.add("settings", "refit", None, a.refit.into(), b.refit.into());
        self.add("settings", "weight", None, a.weight.clone().into(), b.weight.clone().into());
        self.add("settings", "balance", None, a.balance.into(), b.balance.into());
        let members =
            |card: &Card| -> Vec<String> { card.members.iter().map(|m| m.algorithm.clone()).collect() };
        self.add("settings", "members", None, members(a).into(), members(b).into());
        if a.algorithm == b.algorithm {
            let names: std::collections::BTreeSet<&String> =
                a.hyperparameters.keys().chain(b.hyperparameters.keys()).collect();
            for name in names {
                let of = |card: &Card| card.hyperparameters.get(name).cloned().unwrap_or(Value::Null);
                self.add("hyperparameters", name, None, of(a), of(b));
            }
        }
    }

    fn metrics(&mut self, a: &Card, b: &Card) {
        let others = b.evaluation.metrics.figures();
        for (name, value) in a.evaluation.metrics.figures() {
            if let Some((_, other)) = others.iter().find(|(known, _)| *known == name) {
                self.add("metrics", name, None, value.into(), (*other).into());
            }
        }
    }
}
