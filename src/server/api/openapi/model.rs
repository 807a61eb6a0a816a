//! The part of one model in the OpenAPI document: the schemas of its rows and answers, with examples that it
//! accepts.
//!
//! Labels are an `enum`, because a model predicts nothing else; categories are examples, because a category that
//! training did not see is data. An example is a row that the model was given and the answer that it gave.

use serde_json::{Map, Value, json};

use super::schemas::{object, reference};
use crate::data::cells::cell::{ColumnType, Tolerance};
use crate::data::cells::date::{self, Order};
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::notation::Notation;
use crate::data::cells::schema::{Schema, Warning};
use crate::data::read::json as rows;
use crate::model::postprocessing::Postprocessing;
use crate::order;
use crate::predict::what_if::MAX_CHANGES;
use crate::server::api::v2;
use crate::server::endpoints::{Endpoint, Operation};
use crate::server::models::served::Served;

/// Levels of a category that are shown as examples.
const MAX_EXAMPLES: usize = 5;

/// The pattern of a number in a string.
const NUMBER_TEXT: &str = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$";

/// One model with the example that the document shows.
pub(super) struct ModelPart<'a> {
    pub(super) served: &'a Served,
    pub(super) schema: &'a Schema,
    steps: &'a Postprocessing,
    /// The prefix of its schema names; empty for the first model.
    prefix: String,
    /// A row in column order that the model predicts.
    row: Vec<Value>,
    /// The answer to that row.
    answer: Value,
    /// The predicted label or number alone.
    prediction: Value,
}

impl<'a> ModelPart<'a> {
    pub(super) fn new(served: &'a Served, index: usize) -> Self {
        let schema = &served.model.pipeline.schema;
        let row = served.model.example();
        let mut codes = Matrix::with_capacity(1, schema.n_features());
        let text = serde_json::to_vec(&row).unwrap_or_default();
        // A row that cannot be read is a row of missing values, which are predicted as well.
        let _ = rows::read_row(&text, schema, Tolerance::Lenient, &mut codes);
        let predictions = served.model.pipeline.predict(&codes, served.model.pipeline.decision());
        let warnings: Vec<Warning> = schema.warnings(&codes).collect();
        let answer = served.answers.answer(&predictions, false, &warnings, warnings.len());
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        // Component names take few characters (OpenAPI 3.1, section 4.8.7); the index keeps them apart.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name: String = served.name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        let prefix = if index == 0 { String::new() } else { format!("{name}.{index}.") };
        let steps = &served.model.pipeline.postprocessing;
        Self { served, schema, steps, prefix, row, prediction: answer["prediction"].clone(), answer }
    }

    fn name(&self, schema: &str) -> String {
        format!("{}{schema}", self.prefix)
    }

    fn reference(&self, schema: &str) -> Value {
        reference(&self.name(schema))
    }

    /// The example row by name.
    fn named_row(&self) -> Value {
        let features = self.schema.features.iter().map(|feature| feature.name.clone());
        Value::Object(order::map(features.zip(self.row.iter().cloned())))
    }

    pub(super) fn schemas(&self, schemas: &mut Map<String, Value>) {
        let features = &self.schema.features;
        let mut properties: Map<String, Value> =
            order::map(features.iter().map(|feature| (feature.name.clone(), self.value(feature))));
        let required: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
        // A row may hold columns of the training file that the model ignores.
        for name in self.schema.columns.iter().filter(|name| self.schema.is_unused(name)) {
            properties.entry(name.clone()).or_insert(json!({ "description": "Ignored." }));
        }
        let mut named = object(&required, properties.into());
        named["examples"] = json!([self.named_row()]);
        schemas.insert(self.name("Row"), self.positional_row());
        schemas.insert(self.name("NamedRow"), named);
        schemas.insert(self.name("Request"), self.request());
        let (prediction, one) = self.prediction();
        schemas.insert(self.name("Prediction"), one);
        let warnings = json!({ "type": "array", "items": reference("Warning") });
        let omitted = json!({ "type": "integer", "minimum": 1, "description": "How many are not listed." });
        let many = object(
            &["predictions"],
            json!({
                "predictions": { "type": "array", "items": self.reference("Prediction") },
                "warnings": warnings, "warnings_omitted": omitted,
            }),
        );
        schemas.insert(self.name("Predictions"), many);
        let mut alone = schemas[&self.name("Prediction")].clone();
        alone["properties"]["warnings"] = warnings;
        alone["properties"]["warnings_omitted"] = omitted;
        schemas.insert(self.name("Answer"), alone);
        let scored = object(
            &["predictions"],
            json!({
                "predictions": { "type": "array", "items": prediction },
                "explanations": { "type": "array", "items": self.explanation() },
                "intervals": { "type": "array", "items": { "type": "array" } },
                "prediction_sets": { "type": "array", "items": { "type": "array" } },
            }),
        );
        schemas.insert(self.name("Scores"), scored);
        schemas.insert(self.name("Invocation"), self.invocation());
    }

    /// A row in column order: of the features, or of all columns of the training file with or without the target.
    fn positional_row(&self) -> Value {
        let schema = self.schema;
        let mut lengths =
            vec![schema.n_features(), schema.columns.len().saturating_sub(1), schema.columns.len()];
        lengths.dedup();
        let rows = lengths.iter().filter_map(|&n| {
            let value = |feature: Option<usize>| match feature {
                Some(feature) => self.value(&schema.features[feature]),
                None => json!({ "description": "Ignored." }),
            };
            let values: Vec<Value> = schema.positions(n).ok()?.into_iter().map(value).collect();
            Some(json!({
                "type": "array", "prefixItems": values, "items": false, "minItems": n, "maxItems": n,
            }))
        });
        json!({
            "description": "Values in column order.", "anyOf": rows.collect::<Vec<_>>(), "examples": [self.row],
        })
    }

    /// The schema of a feature's values.
    fn value(&self, feature: &Feature) -> Value {
        let missing = reference("Missing");
        let mut schema = match feature.column_type {
            ColumnType::Number => {
                let mut text = json!({ "type": "string", "pattern": NUMBER_TEXT });
                if let Some(notation) = feature.notation {
                    text = json!({ "type": "string", "description": format!("As in the training rows: {notation}.") });
                }
                let mut kinds = vec![json!({ "type": "number" })];
                if feature.is_0_or_1() {
                    kinds.push(json!({ "type": "boolean" }));
                }
                kinds.extend([text, missing]);
                json!({ "anyOf": kinds })
            }
            ColumnType::Boolean => {
                let mut texts = vec!["true", "false", "0", "1"];
                texts.extend([true, false].map(|value| feature.words().text(value)));
                texts.sort_unstable();
                texts.dedup();
                json!({ "anyOf": [{ "type": "boolean" }, { "enum": [0, 1] }, { "type": "string", "enum": texts }, missing] })
            }
            ColumnType::Date if matches!(feature.notation, Some(Notation::Date(date)) if !date.numbers) => {
                json!({ "type": ["string", "null"] })
            }
            ColumnType::Date => json!({ "type": ["string", "number", "null"] }),
            ColumnType::Text if feature.is_pair() => {
                let array =
                    json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 });
                json!({ "anyOf": [array, { "type": "string" }, missing] })
            }
            ColumnType::Text if feature.takes_arrays() => {
                let member = json!({ "type": ["string", "number", "boolean", "null"] });
                json!({ "anyOf": [{ "type": "array", "items": member }, { "type": ["string", "number", "boolean"] }, missing] })
            }
            _ => json!({ "type": ["string", "number", "boolean", "null"] }),
        };
        match feature.column_type {
            _ if feature.private => {
                let what = match feature.column_type {
                    ColumnType::Number => "A number",
                    ColumnType::Boolean => "A boolean",
                    ColumnType::Date => "A date or date-time as ISO 8601 writes it",
                    ColumnType::Category => "A category",
                    ColumnType::Text if feature.is_pair() => "Two numbers",
                    ColumnType::Text if feature.takes_arrays() => "A list",
                    ColumnType::Text => "A text",
                };
                schema["description"] = format!("{what}; its values in training are private.").into();
            }
            ColumnType::Number => {
                let written = |notation: Notation| {
                    let example = notation.write(feature.mean.clamp(feature.min, feature.max).round());
                    format!(" A string is read as {notation}, such as {}.", example.unwrap_or_default())
                };
                let written = feature.notation.map(written).unwrap_or_default();
                let (min, max) = (feature.min, feature.max);
                let range = match (min, max) {
                    // The range of an imported model's column may be unknown.
                    (f64::MIN, f64::MAX) => String::new(),
                    (min, max) => format!(", in training from {min} to {max}"),
                };
                schema["description"] = format!("A number{range}.{written}").into();
                let example = self.schema.features.iter().position(|other| other.name == feature.name);
                schema["examples"] = json!(example.map(|i| &self.row[i]).into_iter().collect::<Vec<_>>());
            }
            ColumnType::Boolean => {
                schema["examples"] = json!([feature.boolean(true), feature.boolean(false)]);
            }
            ColumnType::Date => {
                let order = match feature.notation {
                    Some(Notation::Date(date::Notation { order: Some(Order::DayFirst), .. })) => {
                        ", or as in training with the day first: 31/12/2024"
                    }
                    Some(Notation::Date(date::Notation { order: Some(Order::MonthFirst), .. })) => {
                        ", or as in training with the month first: 12/31/2024"
                    }
                    Some(Notation::Date(date::Notation { order: Some(Order::YearFirst), .. })) => {
                        ", or as in training with the year first: 24-12-31"
                    }
                    _ => "",
                };
                schema["description"] = format!(
                    "A date or date-time as ISO 8601 writes it{order}; UTC if it has no zone. In training \
                     from {} to {}.",
                    date::format(feature.min),
                    date::format(feature.max)
                )
                .into();
                schema["examples"] = json!([date::format(feature.min), date::format(feature.max)]);
            }
            ColumnType::Text => match feature.notation {
                Some(Notation::Pair(style)) => {
                    let range = |[min, max]: &[f64; 2]| format!("from {min} to {max}");
                    let ranges: Vec<String> = feature.ranges.iter().map(range).collect();
                    let written = style.write([48.5, 11.5]);
                    schema["description"] = format!(
                        "Two numbers, in training {}: an array, or a string as in training, such as {written}.",
                        ranges.join(" and ")
                    )
                    .into();
                    schema["examples"] = json!([feature.typical()]);
                }
                Some(Notation::List(style)) => {
                    schema["description"] = format!(
                        "A list: an array of its members, or a string of them in brackets or, as in training, {}.",
                        style.meaning()
                    )
                    .into();
                }
                _ => {}
            },
            _ if !feature.levels.is_empty() => {
                let mut most: Vec<usize> = (0..feature.levels.len()).collect();
                order::sort_by_key(&mut most, |&i| std::cmp::Reverse(feature.counts.get(i)));
                let examples: Vec<&String> =
                    most.iter().take(MAX_EXAMPLES).map(|&i| &feature.levels[i]).collect();
                schema["description"] = format!(
                    "A category, in training one of {}; any other is predicted, with a warning.",
                    feature.levels.len()
                )
                .into();
                schema["examples"] = json!(examples);
            }
            _ => {}
        }
        schema
    }

    /// The body of `/predict`.
    fn request(&self) -> Value {
        let rows = |key: &str, row: Value| {
            let mut properties = json!({
                key: { "anyOf": [row, { "type": "array", "minItems": 1, "items": row }] },
                "lenient": { "type": "boolean", "default": false, "description": "Treat values that do not fit as missing." },
                "explain": {
                    "description": "Add to each prediction the contributions of the features to its score.",
                    "default": false,
                    "anyOf": [{ "type": "boolean" }, {
                        "type": "object", "additionalProperties": false,
                        "properties": {
                            "top": { "type": "integer", "minimum": 0, "description": "Name so many of the largest contributions." },
                            "label": { "description": "The label whose score is explained; default: the predicted one." },
                            "scale": { "enum": ["score", "probability"], "default": "score" },
                            "reference": { "enum": ["path", "background"], "default": "path" },
                        },
                    }],
                },
                "what_if": {
                    "description": "Add to each prediction the smallest changes of so many features that move it.",
                    "anyOf": [{ "type": "integer", "minimum": 1, "maximum": MAX_CHANGES }, {
                        "type": "object", "additionalProperties": false,
                        "properties": {
                            "most": { "type": "integer", "minimum": 1, "maximum": MAX_CHANGES, "default": 1 },
                            "label": { "description": "The label to move to; default: any other." },
                            "range": {
                                "type": "array", "items": { "type": ["number", "null"] }, "minItems": 2, "maxItems": 2,
                                "description": "The numbers to move between.",
                            },
                            "mutable": {
                                "type": "array", "items": { "type": "string" },
                                "description": "Features that may change: NAME, NAME=LO..HI, NAME:+ or NAME:-.",
                            },
                        },
                    }],
                },
            });
            if self.schema.target.labels.len() == 2 {
                properties["threshold"] = json!({
                    "type": "number", "minimum": 0, "maximum": 1,
                    "description": "Predict the second class if its probability is at least this.",
                });
                if let Some(found) = &self.steps.threshold {
                    properties["threshold"]["default"] = found.threshold.into();
                }
            }
            object(&[key], properties)
        };
        json!({
            "anyOf": [rows("data", self.reference("Row")), rows("features", self.reference("NamedRow"))],
            "examples": [{ "data": self.row }, { "features": self.named_row() }],
        })
    }

    /// What `explain` adds to a prediction.
    fn explanation(&self) -> Value {
        // Sums of values near the end of the range of doubles may leave it.
        let number = |text: &str| json!({ "type": ["number", "null"], "description": text });
        json!({
            "type": "object", "required": ["base", "score", "scale", "contributions", "reasons"],
            "description": "If asked for by explain: base + the sum of contributions and others = score. A number is null if it is too large for a double.",
            "properties": {
                "label": { "description": "The label whose score this is." },
                "base": number("The mean score."), "score": number("The score of the row."),
                "scale": { "type": "string", "description": "The scale of these numbers, such as log-odds." },
                "contributions": { "type": "object", "additionalProperties": { "type": ["number", "null"] } },
                "terms": { "type": "object", "description": "Of a text column: the parts of its contribution that are due to single terms." },
                "others": number("The sum of the contributions that are not named."),
                "standard_error": number("Of the least certain contribution, if they were sampled."),
                "reasons": { "type": "array", "items": { "type": "string" } },
            },
        })
    }

    /// The schemas of a label or number, and of one row's prediction.
    fn prediction(&self) -> (Value, Value) {
        let target = &self.schema.target;
        if target.labels.is_empty() {
            let description = format!("The predicted {}; null if it is too large for a double.", target.name);
            let number = json!({ "type": ["number", "null"], "description": description });
            let what_if = what_if(json!({ "prediction": number }));
            let mut one = object(
                &["prediction"],
                json!({ "prediction": number, "explanation": self.explanation(), "what_if": what_if }),
            );
            if let Some(interval) = &self.steps.interval {
                let description =
                    format!("Holds the true value of {} % of the rows.", 100.0 * interval.level);
                let end = json!({ "type": ["number", "null"] });
                one["properties"]["interval"] = json!({
                    "type": "array", "items": end, "minItems": 2, "maxItems": 2, "description": description,
                });
                one["required"] = json!(["prediction", "interval"]);
            }
            return (number, one);
        }
        let labels: Vec<Value> = target.labels.iter().map(|label| target.json_label(label)).collect();
        let label = json!({ "enum": labels, "description": format!("The predicted {}.", target.name) });
        let probability = json!({ "type": "number", "minimum": 0, "maximum": 1 });
        let of_labels: Map<String, Value> =
            order::map(target.labels.iter().map(|label| (label.clone(), probability.clone())));
        let names: Vec<&str> = target.labels.iter().map(String::as_str).collect();
        let mut one = object(
            &["prediction", "probability", "probabilities"],
            json!({
                "prediction": label, "probability": probability,
                "probabilities": object(&names, of_labels.into()),
                "explanation": self.explanation(),
                "what_if": what_if(json!({ "prediction": label, "probability": probability })),
            }),
        );
        if let Some(sets) = &self.steps.prediction_sets {
            let description = format!("Holds the true label of {} % of the rows.", 100.0 * sets.level);
            one["properties"]["prediction_set"] = json!({
                "type": "array", "items": { "enum": labels }, "description": description,
            });
            one["required"] = json!(["prediction", "probability", "probabilities", "prediction_set"]);
        }
        (label, one)
    }

    /// The body of `/invocations`.
    fn invocation(&self) -> Value {
        let (row, named) = (self.reference("Row"), self.reference("NamedRow"));
        let list = |row: &Value| json!({ "type": "array", "minItems": 1, "items": row });
        let names: Vec<&str> = self.schema.features.iter().map(|feature| feature.name.as_str()).collect();
        let split = json!({
            "type": "object", "required": ["data"],
            "properties": {
                "columns": { "const": names, "description": "The columns of the rows, in any order." },
                "index": { "type": "array" }, "data": list(&row),
            },
        });
        let columns: Map<String, Value> =
            order::map(names.iter().zip(&self.row).map(|(name, value)| (name.to_string(), json!([value]))));
        let params = json!({
            "type": ["object", "null"],
            "properties": {
                "explain": { "type": ["boolean", "object"], "description": "Add explanations; as the option of /predict." },
                "interval": { "type": "boolean", "description": "Add intervals." },
                "set": { "type": "boolean", "description": "Add prediction_sets." },
            },
        });
        let of = |key: &str, schema: Value| json!({ "type": "object", "required": [key], "properties": { key: schema, "params": params } });
        let either = json!({ "anyOf": [list(&row), list(&named)] });
        let by_column = json!({ "type": "object", "description": "An array of values for each column." });
        json!({
            "anyOf": [
                of("dataframe_split", split), of("dataframe_records", list(&named)), of("instances", either.clone()),
                of("inputs", json!({ "anyOf": [either, by_column] })),
            ],
            "examples": [
                { "dataframe_split": { "columns": names, "data": [self.row] } },
                { "dataframe_records": [self.named_row()] },
                { "instances": [self.row] },
                { "inputs": columns },
            ],
        })
    }

    /// A header line and the example row.
    fn csv(&self) -> String {
        let quote = |text: &str| match text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_string(),
        };
        let cell = |value: &Value| match value {
            Value::String(text) => quote(text),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let names: Vec<String> = self.schema.features.iter().map(|feature| quote(&feature.name)).collect();
        let cells: Vec<String> = self.row.iter().map(cell).collect();
        format!("{}\n{}\n", names.join(","), cells.join(","))
    }

    /// Completes the operation of an endpoint that predicts: request body, response and examples of this model.
    pub(super) fn complete(&self, endpoint: &Endpoint, operation: &mut Value) {
        match endpoint.operation {
            Operation::Predict => self.complete_predict(operation),
            Operation::Rank => self.complete_rank(operation),
            Operation::Invocations => self.complete_invocations(operation),
            Operation::Infer => self.complete_infer(operation),
            _ => {}
        }
    }

    fn complete_predict(&self, operation: &mut Value) {
        let text = json!({ "type": "string" });
        operation["responses"]["200"] = json!({
            "description": "The prediction, or one for each row.",
            "content": {
                "application/json": {
                    "schema": { "anyOf": [self.reference("Answer"), self.reference("Predictions")] },
                    "examples": {
                        "one row": { "value": self.answer },
                        "many rows": { "value": { "predictions": [self.answer] } },
                    },
                },
                "text/csv": { "schema": text }, "application/x-ndjson": { "schema": text },
            },
        });
        operation["requestBody"] = body(json!({
            "application/json": {
                "schema": self.reference("Request"),
                "examples": {
                    "in column order": { "value": { "data": self.row } },
                    "by name": { "value": { "features": self.named_row() } },
                    "many rows": { "value": { "data": [self.row, self.row] } },
                },
            },
            "text/csv": { "schema": text, "example": self.csv() },
        }));
        operation["parameters"] = json!([{
            "name": "explain", "in": "query", "required": false, "schema": { "type": "boolean", "default": false },
            "description": "Explain each prediction: for CSV the columns base and contribution_NAME.",
        }]);
        operation["description"] =
            "A body with the content type application/x-ndjson has one row a line, and so has its answer."
                .into();
    }

    fn complete_rank(&self, operation: &mut Value) {
        let features = json!({ "type": "object" });
        let request = object(
            &["candidates"],
            json!({
                "context": { "type": "object", "description": "Features that all candidates share." },
                "candidates": { "type": "array", "minItems": 1, "items": features },
                "by": { "description": "The label whose probability they are ordered by; default: the second of two." },
                "top": { "type": "integer", "minimum": 0, "description": "So many of the first." },
            }),
        );
        let target = &self.schema.target;
        let mut example = json!({ "candidates": [self.named_row()] });
        if let Some(label) = target.labels.last() {
            example["by"] = target.json_label(label);
        }
        operation["requestBody"] =
            body(json!({ "application/json": { "schema": request, "example": example } }));
    }

    fn complete_invocations(&self, operation: &mut Value) {
        operation["responses"]["200"] = json!({
            "description": "The labels or numbers.",
            "content": { "application/json": {
                "schema": self.reference("Scores"), "example": { "predictions": [self.prediction] },
            } },
        });
        operation["requestBody"] = body(json!({
            "application/json": { "schema": self.reference("Invocation") },
            "text/csv": { "schema": { "type": "string" }, "example": self.csv() },
        }));
    }

    fn complete_infer(&self, operation: &mut Value) {
        operation["responses"]["200"] = json!({
            "description": "The requested outputs; predict and predict_proba if none are requested.",
            "headers": { "Inference-Header-Content-Length": {
                "description": "Number of JSON bytes of the response, if tensors follow.",
                "schema": { "type": "integer" },
            } },
            "content": {
                "application/json": { "schema": reference("V2Response") },
                "application/octet-stream": {},
            },
        });
        operation["parameters"] = json!([{
            "name": "Inference-Header-Content-Length", "in": "header", "required": false,
            "description": "Number of JSON bytes of the request body, if tensors follow.",
            "schema": { "type": "integer", "minimum": 0 },
        }]);
        let columns = self.schema.features.iter().zip(&self.row);
        let inputs: Vec<Value> = columns
            .map(|(feature, value)| {
                let datatype = v2::datatype(feature.column_type);
                json!({ "name": feature.name, "shape": [1], "datatype": datatype, "data": [value] })
            })
            .collect();
        operation["requestBody"] = body(json!({
            "application/json": { "schema": reference("V2Request"), "example": { "id": "1", "inputs": inputs } },
        }));
    }
}

/// A request body of these content types.
pub(super) fn body(content: Value) -> Value {
    json!({ "required": true, "content": content })
}
/// What `what_if` adds to a prediction; `then`: the prediction after the changes.
fn what_if(mut then: Value) -> Value {
    then["changes"] =
        json!({ "type": "object", "description": "The changed features with their new values." });
    then["distance"] = json!({
        "type": ["number", "null"],
        "description": "The sum of the changes, each by the range of the training rows; 1 for another category.",
    });
    json!({
        "type": "array", "items": { "type": "object", "properties": then },
        "description": "If asked for by what_if: the smallest changes that move the prediction, the smallest first.",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::file;

    /// Acts on the part of a model of each kind: two labels or more, numbers, dates.
    fn each(act: impl Fn(&ModelPart)) {
        for name in ["format-1-linear", "format-3-dates"] {
            let model = file::load(format!("fixtures/models/{name}.mlapi")).unwrap();
            let served = Served::new("a b", model, Arc::default()).unwrap();
            act(&ModelPart::new(&served, 0));
        }
    }

    #[test]
    fn the_examples_of_a_request_are_rows_that_the_model_reads() {
        each(|part| {
            let examples = part.request()["examples"].clone();
            for example in examples.as_array().unwrap() {
                let body = serde_json::to_vec(example).unwrap();
                let request = rows::read_request(&body, part.schema, 1).unwrap();
                assert_eq!(request.problems.total, 0, "{example}: {:?}", request.problems);
                assert_eq!(request.codes.n_rows(), 1);
            }
            assert_eq!(examples.as_array().unwrap().len(), 2, "in column order and by name");
        });
    }

    #[test]
    fn rows_in_column_order_have_a_form_for_every_length_that_is_read() {
        each(|part| {
            let row = part.positional_row();
            let forms = row["anyOf"].as_array().unwrap();
            for n in 0..part.schema.columns.len() + 2 {
                let form = forms.iter().find(|form| form["minItems"] == n);
                assert_eq!(form.is_some(), part.schema.positions(n).is_ok(), "{n} values");
                let Some(form) = form else { continue };
                assert_eq!(form["prefixItems"].as_array().unwrap().len(), n);
                assert_eq!(form["maxItems"], n);
            }
        });
    }

    #[test]
    fn a_threshold_is_offered_to_models_of_two_classes_alone_and_every_label_is_listed() {
        each(|part| {
            let labels = &part.schema.target.labels;
            let request = part.request();
            let has_threshold = request["anyOf"][0]["properties"]["threshold"].is_object();
            assert_eq!(has_threshold, labels.len() == 2);
            let (label, _) = part.prediction();
            assert_eq!(label["enum"].as_array().map_or(0, Vec::len), labels.len());
            assert_eq!(part.prediction.is_number(), labels.is_empty());
            if !labels.is_empty() {
                assert!(label["enum"].as_array().unwrap().contains(&part.prediction));
            }
        });
    }

    #[test]
    fn the_csv_example_has_a_cell_per_feature_under_its_name() {
        each(|part| {
            let text = part.csv();
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let names: Vec<&str> = part.schema.features.iter().map(|feature| feature.name.as_str()).collect();
            assert!(reader.headers().unwrap().iter().eq(names.iter().copied()));
            let records: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
            assert_eq!(records.len(), 1);
            for (cell, value) in records[0].iter().zip(&part.row) {
                let text = value.as_str().map_or_else(|| value.to_string(), String::from);
                assert!(cell == text || value.is_null() && cell.is_empty(), "{cell} {value}");
            }
        });
    }

    #[test]
    fn schemas_of_the_first_model_have_plain_names_and_those_of_others_say_whose_they_are() {
        let model = file::load("fixtures/models/format-1-linear.mlapi").unwrap();
        let served = Served::new("a b", model, Arc::default()).unwrap();
        let names = |index| {
            let mut schemas = Map::new();
            ModelPart::new(&served, index).schemas(&mut schemas);
            schemas.keys().cloned().collect::<Vec<String>>()
        };
        let (first, third) = (names(0), names(2));
        assert!(first.iter().any(|name| name == "NamedRow"));
        assert!(
            third
                .iter()
                .all(|name| name.strip_prefix("a_b.2.").is_some_and(|rest| first.iter().any(|f| f == rest)))
        );
        assert_eq!(first.len(), third.len());
    }

    #[test]
    fn the_answer_that_is_shown_is_the_answer_to_the_row_that_is_shown() {
        each(|part| {
            let mut codes = Matrix::with_capacity(1, part.schema.n_features());
            let row = serde_json::to_vec(&part.row).unwrap();
            rows::read_row(&row, part.schema, Tolerance::Strict, &mut codes).unwrap();
            let scores = part.served.model.pipeline.scores(&codes);
            let best = scores.values().iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shown = if part.schema.target.labels.is_empty() { "prediction" } else { "probability" };
            let shown = part.answer[shown].as_f64().unwrap();
            assert!((shown - best).abs() <= 1e-12 * best.abs(), "{shown} {best}");
            assert!(part.answer.get("warnings").is_none(), "an ordinary row: {}", part.answer);
        });
    }

    #[test]
    fn a_private_column_shows_what_it_holds_and_no_value() {
        each(|part| {
            for feature in &part.schema.features {
                let open = part.value(feature);
                assert!(open.get("examples").is_some(), "{}: {open}", feature.name);
                let mut private = feature.clone();
                private.private = true;
                let private = part.value(&private);
                assert!(private.get("examples").is_none(), "{}: {private}", feature.name);
                let text = private["description"].as_str().unwrap();
                assert!(text.ends_with("; its values in training are private."), "{text}");
                assert!(!text.replace("ISO 8601", "").contains(|c: char| c.is_ascii_digit()), "{text}");
            }
        });
    }

    #[test]
    fn a_name_with_commas_quotes_and_line_ends_stays_one_column_of_the_csv_example() {
        let name = "is, \"the\"\nland";
        let mut model = file::load("fixtures/models/format-1-linear.mlapi").unwrap();
        model.pipeline.schema.features[0].name = name.into();
        let served = Served::new("a", model, Arc::default()).unwrap();
        let text = ModelPart::new(&served, 0).csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(&reader.headers().unwrap()[0], name);
        assert_eq!(reader.records().count(), 1);
    }
}
