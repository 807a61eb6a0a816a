//! The document as a whole: each endpoint of the table with every response it gives. Called for
//! `GET /openapi.json`.

use serde_json::{Map, Value, json};

use super::model::{ModelPart, body};
use super::schemas::{answer, common_schemas, object, reference};
use crate::server::endpoints::{Dialect, ENDPOINTS, Endpoint, NAME, Operation, Status, Tag, escape};
use crate::server::models::served::Models;

/// The document of a server with these models; `keys` and `rate` say whether it asks for keys and limits rates.
pub(crate) fn document(models: &Models, keys: bool, rate: bool) -> Value {
    let parts: Vec<ModelPart> =
        models.iter().enumerate().map(|(i, served)| ModelPart::new(served, i)).collect();
    let mut schemas = common_schemas();
    // All models of a server read the same words as missing as its first one does.
    if let Some(first) = parts.first() {
        let texts: Vec<&str> = first.schema.null_tokens.texts().collect();
        let missing = json!([{ "type": "null" }, { "type": "string", "enum": texts }]);
        let but = first.schema.null_tokens.exceptions();
        let but: Vec<String> = but.map(|(name, values)| format!("{name}: {}", values.join(", "))).collect();
        let but =
            if but.is_empty() { String::new() } else { format!(" Values all the same: {}.", but.join("; ")) };
        schemas
            .insert("Missing".into(), json!({ "description": format!("No value.{but}"), "anyOf": missing }));
    }
    parts.iter().for_each(|part| part.schemas(&mut schemas));
    let mut paths = Map::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| is_documented(endpoint, keys)) {
        let method = endpoint.method.name().to_lowercase();
        for path in endpoint.documented_paths() {
            // The first model answers at the paths that name none.
            let asked = if path.contains(NAME) { &parts[..] } else { &parts[..parts.len().min(1)] };
            for part in asked {
                let operation = operation(endpoint, path, part, keys, rate);
                paths.insert(path.replace(NAME, &escape(&part.served.name)), json!({ &method: operation }));
            }
        }
    }
    let names: Vec<&str> = models.iter().map(|served| served.name.as_str()).collect();
    let tags: Vec<Value> = Tag::ALL
        .iter()
        .filter(|tag| **tag != Tag::Page)
        .map(|tag| json!({ "name": tag.name(), "description": tag.description() }))
        .collect();
    let schemes = if keys { json!({ "key": { "type": "http", "scheme": "bearer" } }) } else { json!({}) };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("mlapi: {}", names.join(", ")),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Predictions of trained models over HTTP: JSON, CSV and NDJSON, the Open Inference Protocol (V2) and MLflow's scoring protocol.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        // Relative to this document, so that it holds behind a proxy that serves it under a path.
        "servers": [{ "url": "." }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas, "responses": failures(), "securitySchemes": schemes },
    })
}

/// Whether an endpoint is part of the document: pages for people are not, nor is what needs keys on a server without.
fn is_documented(endpoint: &Endpoint, keys: bool) -> bool {
    endpoint.tag != Tag::Page && (keys || !endpoint.only_with_keys)
}

/// The operation of an endpoint at one of its paths, answered by one model.
fn operation(endpoint: &Endpoint, path: &str, part: &ModelPart, keys: bool, rate: bool) -> Value {
    let (name, target) = (&part.served.name, &part.schema.target.name);
    let is_named = path.contains(NAME);
    let id = if is_named { format!("{}_of_{name}", endpoint.id) } else { endpoint.id.to_string() };
    let model = if is_named || endpoint.of_a_model { name } else { "A model" };
    let (dialect, _) = error_format(endpoint.dialect);
    let mut responses = Map::new();
    for status in endpoint.failures_at(path, keys, rate) {
        let code = status.code();
        let response = json!({ "$ref": format!("#/components/responses/{dialect}{code}") });
        responses.insert(code.to_string(), response);
    }
    responses.insert("200".into(), success(endpoint.operation, name));
    let mut operation = json!({
        "operationId": id,
        "tags": [endpoint.tag.name()],
        "summary": endpoint.summary_of(model, target),
        "responses": responses,
    });
    if keys && !endpoint.open {
        operation["security"] = json!([{ "key": [] }]);
    }
    if endpoint.operation == Operation::Feedback {
        complete_feedback(&mut operation);
    }
    part.complete(endpoint, &mut operation);
    operation
}

/// The response that is not a failure. Those with predictions are written by [`ModelPart::complete`].
fn success(operation: Operation, name: &str) -> Value {
    let text = || json!({ "type": "string" });
    let key = match operation {
        Operation::Predict | Operation::Invocations | Operation::Infer => return Value::Null,
        Operation::Page | Operation::Docs | Operation::Asset => return Value::Null,
        Operation::Livez | Operation::Readyz | Operation::Metrics | Operation::Version => {
            return content("text/plain", text());
        }
        Operation::Report => return content("text/html", text()),
        Operation::Rank => "rank",
        Operation::Openapi => "openapi",
        Operation::Model => "model",
        Operation::Drift => "drift",
        Operation::Models => "models",
        Operation::V2Server => "v2_server",
        Operation::V2Live => "v2_live",
        Operation::V2Ready => "v2_ready",
        Operation::V2Model => "v2_model",
        Operation::V2ModelReady => "v2_model_ready",
        Operation::Feedback => "feedback",
        Operation::Reload => "reload",
    };
    let mut response = content("application/json", answer(key, name));
    if operation == Operation::Drift {
        response["content"]["text/html"] = json!({ "schema": text() });
    }
    response
}

fn complete_feedback(operation: &mut Value) {
    operation["description"] =
        "404 if nothing is remembered of the request: `serve --feedback N` remembers the last N.".into();
    let label = json!({ "type": ["string", "number", "boolean"] });
    let with = |key: &str, labels: Value| {
        let id = json!({ "type": "string", "description": "The X-Request-Id of the answer." });
        object(&["request_id", key], json!({ "request_id": id, key: labels }))
    };
    let one = with("label", label.clone());
    let many =
        with("labels", json!({ "type": "array", "items": label, "description": "Of each row in order." }));
    operation["requestBody"] = body(json!({ "application/json": { "schema": { "anyOf": [one, many] } } }));
}

/// The schema of an error format and its content type.
fn error_format(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Problem => ("Problem", "application/problem+json"),
        Dialect::V2 => ("V2Error", "application/json"),
        Dialect::Mlflow => ("MlflowError", "application/json"),
    }
}

/// The failures of all error formats.
fn failures() -> Value {
    let mut responses = Map::new();
    for (schema, media_type) in [Dialect::Problem, Dialect::V2, Dialect::Mlflow].map(error_format) {
        for status in Status::ALL.iter().filter(|status| status.code() >= 400) {
            let mut response = json!({ "description": status.meaning() });
            // A head that is too long is rejected before its path is read, without a body.
            if *status != Status::HeadTooLarge {
                response["content"] = json!({ media_type: { "schema": reference(schema) } });
            }
            if [Status::Unavailable, Status::TooManyRequests].contains(status) {
                response["headers"] =
                    json!({ "Retry-After": { "schema": { "type": "string" }, "description": "Seconds." } });
            }
            responses.insert(format!("{schema}{}", status.code()), response);
        }
    }
    responses.into()
}

fn content(media_type: &str, schema: Value) -> Value {
    json!({ "description": "OK", "content": { media_type: { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file;
    use crate::server::models::served::Served;
    use crate::server::models::served::tests::penguins;
    use std::sync::Arc;

    #[test]
    fn every_endpoint_is_an_operation_of_each_model_and_every_reference_leads_somewhere() {
        let rentals = file::load("fixtures/models/format-3-dates.mlapi").unwrap();
        let served = |name: &str, model| Arc::new(Served::new(name, model, Arc::default()).unwrap());
        let models = Models::new(vec![served("birds", penguins()), served("bikes", rentals)]).unwrap();
        for (keys, rate) in [(false, false), (true, true)] {
            let document = document(&models, keys, rate);
            let text = document.to_string();
            for reference in text.split("\"$ref\":\"#").skip(1) {
                let pointer = reference.split('"').next().unwrap();
                assert!(document.pointer(pointer).is_some(), "nothing at {pointer}");
            }
            let mut ids = std::collections::BTreeSet::new();
            for endpoint in &ENDPOINTS {
                for path in endpoint.documented_paths() {
                    for name in ["birds", "bikes"] {
                        let operation = &document["paths"][path.replace(NAME, name)]
                            [endpoint.method.name().to_lowercase()];
                        let exists = is_documented(endpoint, keys);
                        assert_eq!(operation.is_object(), exists, "{path}");
                        assert_eq!(operation["responses"]["200"].is_object(), exists, "{path}");
                        assert_eq!(
                            operation["responses"]["429"].is_object(),
                            exists && rate && !endpoint.open,
                            "{path}"
                        );
                        ids.insert(operation["operationId"].to_string());
                    }
                }
            }
            // Each model has its own below its name, and the first those of the paths without one.
            let count = |path: &str| if path.contains(NAME) { 2 } else { 1 };
            let known = ENDPOINTS.iter().filter(|endpoint| is_documented(endpoint, keys));
            let expected: usize = known.flat_map(Endpoint::documented_paths).map(count).sum();
            // The id of what is not documented is null.
            assert_eq!(ids.iter().filter(|id| *id != "null").count(), expected);
        }
    }
}
