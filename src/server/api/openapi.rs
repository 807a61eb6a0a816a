//! The whole API as an OpenAPI 3.1 document, made from the schemas of the models that are served.
//!
//! Every route stands here with what it takes and every answer it gives. Labels are an `enum`, because a model
//! predicts nothing else; categories are examples, because a category that training did not see is data. An
//! example is a row that the model was asked and the answer it gave. Not here: what the routes do.

use serde_json::{Map, Value, json};

use super::tensor::Datatype;
use super::{routes, v2};
use crate::data::cells::date;
use crate::data::cells::date::Order;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{ColumnType, Feature, Notation, Schema, Warning};
use crate::data::read::json as rows;
use crate::model::pipeline::Decision;
use crate::report::card;
use crate::server::state::{Models, Served, State};

/// No more levels of a category are shown as examples.
const MAX_EXAMPLES: usize = 5;

/// A text that a number may be written as.
const NUMBER_TEXT: &str = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$";

/// The document of a server: of its models, and of what it asks of clients, keys or none.
pub fn document(state: &State, models: &Models, keys: bool) -> Value {
    let mut paths = Map::new();
    let mut schemas = common_schemas();
    server_paths(&mut paths);
    paths.insert("/feedback".into(), json!({ "post": feedback() }));
    let default = models.default_model();
    for (i, served) in models.iter().enumerate() {
        let part = Part::new(served, i);
        if i == 0 {
            let texts: Vec<&str> = part.schema.null_tokens.texts().collect();
            let missing = json!([{ "type": "null" }, { "type": "string", "enum": texts }]);
            schemas.insert("Missing".into(), json!({ "description": "No value.", "anyOf": missing }));
        }
        part.schemas(&mut schemas);
        if served.name == default.name {
            part.paths("", &mut paths);
        }
        part.paths(&format!("/models/{}", escape(&served.name)), &mut paths);
        part.v2_paths(&mut paths);
    }
    if keys {
        paths.insert("/admin/reload".into(), json!({ "post": reload() }));
    }
    let schemes = guard(&mut paths, keys, state.rate.is_some());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("mlapi: {}", models.iter().map(|served| served.name.as_str()).collect::<Vec<_>>().join(", ")),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Predictions of trained models over HTTP: JSON, CSV and NDJSON, the Open Inference Protocol (V2) and MLflow's scoring protocol.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "predict", "description": "Rows in, predictions out." },
            { "name": "describe", "description": "What is served." },
            { "name": "operate", "description": "Health, metrics and administration." },
            { "name": "v2", "description": "The Open Inference Protocol, for clients of KServe, Triton and MLServer." },
            { "name": "mlflow", "description": "MLflow's scoring protocol, for its clients and SageMaker's." },
        ],
        "paths": paths,
        "components": { "schemas": schemas, "responses": failures(), "securitySchemes": schemes },
    })
}

/// Adds what asking without a key or too often is answered with, where the server minds, to all that is not
/// open; the ways to show a key.
fn guard(paths: &mut Map<String, Value>, keys: bool, rate: bool) -> Value {
    let statuses = [(keys, 401), (rate, 429)];
    for (path, operations) in paths.iter_mut() {
        if routes::route_of(path).is_open() {
            continue;
        }
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if keys {
                operation["security"] = json!([{ "key": [] }]);
            }
            // Beside one that every operation has, in the same dialect.
            let known = operation["responses"]["400"]["$ref"].as_str().unwrap_or_default().to_string();
            for (_, status) in statuses.iter().filter(|(minds, _)| *minds) {
                let reference = known.replace("400", &status.to_string());
                operation["responses"][status.to_string()] = json!({ "$ref": reference });
            }
        }
    }
    if keys { json!({ "key": { "type": "http", "scheme": "bearer" } }) } else { json!({}) }
}

/// `POST /feedback`.
fn feedback() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let counted = object(&["rows", "correct"], json!({ "rows": count, "correct": count }));
    let answer = content("application/json", counted);
    let statuses = [404, 408, 413, 422, 503];
    let mut feedback =
        operation("feedback", "operate", "True labels of an answer", answer, "Problem", &statuses);
    feedback["description"] =
        "404 where nothing is remembered of the request: `serve --feedback N` remembers the last N.".into();
    let label = json!({ "type": ["string", "number", "boolean"] });
    let with = |key: &str, labels: Value| {
        let id = json!({ "type": "string", "description": "The X-Request-Id of the answer." });
        object(&["request_id", key], json!({ "request_id": id, key: labels }))
    };
    let one = with("label", label.clone());
    let many =
        with("labels", json!({ "type": "array", "items": label, "description": "Of each row in order." }));
    feedback["requestBody"] =
        Part::body(json!({ "application/json": { "schema": { "anyOf": [one, many] } } }));
    feedback
}

/// `POST /admin/reload`.
fn reload() -> Value {
    let names = json!({ "type": "array", "items": { "type": "string" } });
    let answer = content("application/json", object(&["reloaded"], json!({ "reloaded": names })));
    operation("reload", "operate", "Load the models and the keys again", answer, "Problem", &[409])
}

/// A name as a part of a path (RFC 3986, section 2.3).
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// The statuses of failures, whoever tells them, and why.
const FAILURES: [(u16, &str); 13] = [
    (400, "The request is not HTTP, or its body cannot be read."),
    (401, "A key is needed."),
    (404, "There is no such model, or nothing is known of the request."),
    (405, "The path has other methods; Allow says which."),
    (408, "The body did not arrive in time."),
    (409, "Not everything could be loaded; what could not stays as it was."),
    (413, "More bytes or rows than are taken."),
    (415, "The body is compressed."),
    (422, "The body does not fit the model; every problem is listed with its place."),
    (429, "Too many requests of this client; Retry-After says when to try again."),
    (431, "More bytes of headers than are taken."),
    (500, "A defect of the server."),
    (503, "Too many requests at once, or the server is shutting down; Retry-After says when to try again."),
];

/// The name that the answers of each protocol have among the components.
const DIALECTS: [(&str, &str); 3] = [
    ("Problem", "application/problem+json"),
    ("V2Error", "application/json"),
    ("MlflowError", "application/json"),
];

fn failures() -> Value {
    let mut responses = Map::new();
    for (schema, media_type) in DIALECTS {
        for (status, description) in FAILURES {
            let mut response = json!({ "description": description });
            // Too long a head is refused before anybody looks at what it asks for.
            if status != 431 {
                response["content"] = json!({ media_type: { "schema": reference(schema) } });
            }
            if status == 503 || status == 429 {
                response["headers"] =
                    json!({ "Retry-After": { "schema": { "type": "string" }, "description": "Seconds." } });
            }
            responses.insert(format!("{schema}{status}"), response);
        }
    }
    responses.into()
}

/// An operation: what it answers, and with which failures.
fn operation(id: &str, tag: &str, summary: &str, answer: Value, dialect: &str, statuses: &[u16]) -> Value {
    let mut responses = Map::from_iter([("200".to_string(), answer)]);
    for status in [400, 405, 431, 500].iter().chain(statuses) {
        responses.insert(
            status.to_string(),
            json!({ "$ref": format!("#/components/responses/{dialect}{status}") }),
        );
    }
    json!({ "operationId": id, "tags": [tag], "summary": summary, "responses": responses })
}

fn content(media_type: &str, schema: Value) -> Value {
    json!({ "description": "OK", "content": { media_type: { "schema": schema } } })
}

fn text() -> Value {
    content("text/plain", json!({ "type": "string" }))
}

/// What does not depend on a model.
fn server_paths(paths: &mut Map<String, Value>) {
    let mut get = |path: &str, operation: Value| paths.insert(path.into(), json!({ "get": operation }));
    let of = |id, summary, answer, statuses| operation(id, "operate", summary, answer, "Problem", statuses);
    get("/livez", of("livez", "The process is up", text(), &[]));
    get("/readyz", of("readyz", "A model is loaded and the server is not shutting down", text(), &[503]));
    get("/metrics", of("metrics", "Counters and histograms for Prometheus", text(), &[]));
    for (path, summary) in [("/ping", "As /readyz, for SageMaker"), ("/health", "As /readyz, for MLflow")] {
        let health = operation(&path[1..], "mlflow", summary, text(), "Problem", &[503]);
        get(path, health);
    }
    get("/version", operation("version", "mlflow", "The version of mlapi", text(), "Problem", &[]));
    let any_object = || json!({ "type": "object" });
    let describe = |id, summary, schema| {
        operation(id, "describe", summary, content("application/json", schema), "Problem", &[])
    };
    get("/openapi.json", describe("openapi", "This document", any_object()));
    let models = object(
        &["default", "models"],
        json!({
            "default": { "type": "string" },
            "models": { "type": "array", "items": { "type": "object", "required": ["name"] } },
        }),
    );
    get("/models", describe("models", "The models that are served", models));
    let v2 = |id, summary, schema, statuses| {
        operation(id, "v2", summary, content("application/json", schema), "V2Error", statuses)
    };
    let text = json!({ "type": "string" });
    let server = object(
        &["name", "version", "extensions"],
        json!({ "name": text, "version": text, "extensions": { "type": "array", "items": text } }),
    );
    get("/v2", v2("v2_server", "The server's name, version and extensions", server, &[]));
    let flag = |name: &str| object(&[name], json!({ name: { "type": "boolean" } }));
    get("/v2/health/live", v2("v2_live", "The process is up", flag("live"), &[]));
    let ready = "A model is loaded and the server is not shutting down";
    get("/v2/health/ready", v2("v2_ready", ready, flag("ready"), &[503]));
}

/// The schemas that all models share.
fn common_schemas() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let datatype = json!({ "type": "string", "enum": Datatype::names().collect::<Vec<_>>() });
    let shape = json!({
        "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 1, "maxItems": 2,
        "description": "[n] or [n,1] for a column, [n,k] for a table.",
    });
    let schemas = json!({
        "Problem": {
            "type": "object", "required": ["type", "title", "status"],
            "description": "A problem document (RFC 9457).",
            "properties": {
                "type": text(), "title": text(), "status": { "type": "integer" }, "detail": text(),
                "errors": { "type": "array", "items": object(&["pointer", "detail"], json!({
                    "pointer": { "type": "string", "description": "JSON pointer to the place." }, "detail": text(),
                })) },
            },
        },
        "V2Error": object(&["error"], json!({ "error": text() })),
        "MlflowError": object(&["error_code", "message"], json!({ "error_code": text(), "message": text() })),
        "Warning": object(&["row", "feature", "kind"], json!({
            "row": { "type": "integer", "minimum": 0 }, "feature": text(),
            "kind": { "type": "string", "enum": ["missing_value", "unseen_category", "out_of_range"] },
        })),
        "V2Request": {
            "type": "object", "required": ["inputs"],
            "properties": {
                "id": text(),
                "parameters": { "type": "object", "properties": {
                    "binary_data_output": { "type": "boolean" },
                    "threshold": { "type": "number", "minimum": 0, "maximum": 1, "description": "Of the second of two classes." },
                } },
                "inputs": { "type": "array", "minItems": 1, "items": {
                    "type": "object", "required": ["name", "shape", "datatype"],
                    "properties": {
                        "name": text(), "shape": shape, "datatype": datatype,
                        "parameters": { "type": "object", "properties": { "binary_data_size": { "type": "integer", "minimum": 0 } } },
                        "data": { "type": "array", "description": "The elements, flat or nested as the shape says." },
                    },
                } },
                "outputs": { "type": "array", "items": {
                    "type": "object", "required": ["name"],
                    "properties": {
                        "name": { "type": "string", "enum": ["predict", "predict_proba"] },
                        "parameters": { "type": "object", "properties": { "binary_data": { "type": "boolean" } } },
                    },
                } },
            },
        },
        "V2Response": {
            "type": "object", "required": ["model_name", "model_version", "outputs"],
            "properties": {
                "model_name": text(), "model_version": text(), "id": text(),
                "outputs": { "type": "array", "items": {
                    "type": "object", "required": ["name", "shape", "datatype"],
                    "properties": {
                        "name": text(), "shape": { "type": "array", "items": { "type": "integer" } }, "datatype": datatype,
                        "data": { "type": "array" },
                        "parameters": { "type": "object", "properties": { "binary_data_size": { "type": "integer" } } },
                    },
                } },
            },
        },
        "V2Model": {
            "type": "object", "required": ["name", "platform", "inputs", "outputs"],
            "properties": {
                "name": text(), "platform": text(), "versions": { "type": "array", "items": text() },
                "inputs": { "type": "array", "items": reference("V2Tensor") },
                "outputs": { "type": "array", "items": reference("V2Tensor") },
            },
        },
        "V2Tensor": {
            "type": "object", "required": ["name", "datatype", "shape"],
            "properties": { "name": text(), "datatype": datatype, "shape": { "type": "array", "items": { "type": "integer" } } },
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// What one model adds.
struct Part<'a> {
    served: &'a Served,
    schema: &'a Schema,
    /// Stands before the names of its schemas and operations.
    prefix: String,
    /// A row in column order that the model predicts.
    row: Vec<Value>,
    /// What it predicts of it.
    answer: Value,
    /// The label or number alone.
    prediction: Value,
}

impl<'a> Part<'a> {
    fn new(served: &'a Served, index: usize) -> Self {
        let schema = &served.model.pipeline.schema;
        let row = card::example(&served.model);
        let mut codes = Matrix::with_capacity(1, schema.n_features());
        let text = serde_json::to_vec(&row).unwrap_or_default();
        // A row that cannot be read is a row of missing values, which are predicted as well.
        let _ = rows::read_row(&text, schema, true, &mut codes);
        let predictions = served.model.pipeline.predict(&codes, Decision::MostProbable);
        let warnings: Vec<Warning> = schema.warnings(&codes).collect();
        let answer = served.answers.answer(&predictions, false, &warnings);
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        // Component names take few characters (OpenAPI 3.1, section 4.8.7); the index keeps them apart.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name: String = served.name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        let prefix = if index == 0 { String::new() } else { format!("{name}.{index}.") };
        Self { served, schema, prefix, row, prediction: answer["prediction"].clone(), answer }
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
        Value::Object(features.zip(self.row.iter().cloned()).collect())
    }

    fn schemas(&self, schemas: &mut Map<String, Value>) {
        let features = &self.schema.features;
        let mut properties: Map<String, Value> =
            features.iter().map(|feature| (feature.name.clone(), self.value(feature))).collect();
        let required: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
        // Columns of the training file that the model does not look at may stay in a row.
        for name in self.schema.columns.iter().filter(|name| self.schema.is_unused(name)) {
            properties.entry(name.clone()).or_insert(json!({ "description": "Not looked at." }));
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
        let scored =
            object(&["predictions"], json!({ "predictions": { "type": "array", "items": prediction } }));
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
                None => json!({ "description": "Not looked at." }),
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

    /// What a row holds for a feature.
    fn value(&self, feature: &Feature) -> Value {
        let missing = reference("Missing");
        let mut schema = match feature.column_type {
            ColumnType::Number => {
                let text = json!({ "type": "string", "pattern": NUMBER_TEXT });
                json!({ "anyOf": [{ "type": "number" }, text, missing] })
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
            _ => json!({ "type": ["string", "number", "boolean", "null"] }),
        };
        match feature.column_type {
            ColumnType::Number => {
                schema["description"] =
                    format!("A number, in training from {} to {}.", feature.min, feature.max).into();
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
                    _ => "",
                };
                schema["description"] = format!(
                    "A date or date-time as ISO 8601 writes it{order}; UTC where it has no zone. In training \
                     from {} to {}.",
                    date::format(feature.min),
                    date::format(feature.max)
                )
                .into();
                schema["examples"] = json!([date::format(feature.min), date::format(feature.max)]);
            }
            _ if !feature.levels.is_empty() => {
                let mut most: Vec<usize> = (0..feature.levels.len()).collect();
                most.sort_by_key(|&i| std::cmp::Reverse(feature.counts.get(i)));
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
                "lenient": { "type": "boolean", "default": false, "description": "Take what does not fit as missing." },
                "explain": { "const": false },
            });
            if self.schema.target.labels.len() == 2 {
                properties["threshold"] = json!({
                    "type": "number", "minimum": 0, "maximum": 1,
                    "description": "Predict the second class where its probability is at least this.",
                });
            }
            object(&[key], properties)
        };
        json!({
            "anyOf": [rows("data", self.reference("Row")), rows("features", self.reference("NamedRow"))],
            "examples": [{ "data": self.row }, { "features": self.named_row() }],
        })
    }

    /// The label or number, and what `/predict` says of one row.
    fn prediction(&self) -> (Value, Value) {
        let target = &self.schema.target;
        if target.labels.is_empty() {
            let description =
                format!("The predicted {}; null where it is too large for a double.", target.name);
            let number = json!({ "type": ["number", "null"], "description": description });
            return (number.clone(), object(&["prediction"], json!({ "prediction": number })));
        }
        let labels: Vec<Value> = target.labels.iter().map(|label| target.json_label(label)).collect();
        let label = json!({ "enum": labels, "description": format!("The predicted {}.", target.name) });
        let probability = json!({ "type": "number", "minimum": 0, "maximum": 1 });
        let of_labels: Map<String, Value> =
            target.labels.iter().map(|label| (label.clone(), probability.clone())).collect();
        let names: Vec<&str> = target.labels.iter().map(String::as_str).collect();
        let one = object(
            &["prediction", "probability", "probabilities"],
            json!({
                "prediction": label, "probability": probability,
                "probabilities": object(&names, of_labels.into()),
            }),
        );
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
            names.iter().zip(&self.row).map(|(name, value)| (name.to_string(), json!([value]))).collect();
        let of = |key: &str, schema: Value| {
            json!({
                "type": "object", "required": [key],
                "properties": { key: schema, "params": { "type": ["object", "null"], "description": "Not looked at." } },
            })
        };
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

    fn body(content: Value) -> Value {
        json!({ "required": true, "content": content })
    }

    fn id(&self, name: &str, base: &str) -> String {
        if base.is_empty() { name.to_string() } else { format!("{}_of_{}", name, self.served.name) }
    }

    /// The routes below `base`, which is empty for the default model.
    fn paths(&self, base: &str, paths: &mut Map<String, Value>) {
        let name = &self.served.name;
        let named: &[u16] = if base.is_empty() { &[] } else { &[404] };
        let statuses = |own: &[u16]| [own, named].concat();
        let target = &self.schema.target.name;
        let text = json!({ "type": "string" });
        let answer = json!({
            "description": "The prediction; of each row, where there are many.",
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
        let mut predict = operation(
            &self.id("predict", base),
            "predict",
            &format!("Predict {target} with {name}"),
            answer,
            "Problem",
            &statuses(&[408, 413, 415, 422, 503]),
        );
        predict["requestBody"] = Self::body(json!({
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
        predict["description"] =
            "A body with the content type application/x-ndjson has one row a line, and so has its answer."
                .into();
        paths.insert(format!("{base}/predict"), json!({ "post": predict }));
        let mut score = operation(
            &self.id("invocations", base),
            "mlflow",
            &format!("Predict {target} with {name}, as MLflow does"),
            json!({ "description": "The labels or numbers.", "content": { "application/json": {
                "schema": self.reference("Scores"), "example": { "predictions": [self.prediction] },
            } } }),
            "MlflowError",
            &statuses(&[408, 413, 415, 503]),
        );
        score["requestBody"] = Self::body(json!({
            "application/json": { "schema": self.reference("Invocation") },
            "text/csv": { "schema": text, "example": self.csv() },
        }));
        paths.insert(format!("{base}/invocations"), json!({ "post": score }));
        let model = json!({
            "type": "object",
            "required": ["algorithm", "task", "target", "metrics", "baseline", "importances", "example", "card", "schema"],
        });
        let model = operation(
            &self.id("model", base),
            "describe",
            &format!("Card, schema, metrics and importances of {name}"),
            content("application/json", model),
            "Problem",
            named,
        );
        let path = if base.is_empty() { "/model".into() } else { base.to_string() };
        paths.insert(path, json!({ "get": model }));
        if !base.is_empty() {
            let ready = operation(
                &self.id("readyz", base),
                "operate",
                &format!("{name} is loaded and the server is not shutting down"),
                self::text(),
                "Problem",
                &[404, 503],
            );
            paths.insert(format!("{base}/readyz"), json!({ "get": ready }));
        }
    }

    fn v2_paths(&self, paths: &mut Map<String, Value>) {
        let name = &self.served.name;
        let path = |route: &str| route.replace("NAME", &escape(name));
        let of = |id: &str, summary: String, schema| {
            operation(
                &self.id(id, name),
                "v2",
                &summary,
                content("application/json", schema),
                "V2Error",
                &[404, 503],
            )
        };
        let model = of("v2_model", format!("The tensors that {name} takes and gives"), reference("V2Model"));
        paths.insert(path(v2::MODEL), json!({ "get": model }));
        let ready =
            object(&["name", "ready"], json!({ "name": { "const": name }, "ready": { "type": "boolean" } }));
        let ready =
            of("v2_model_ready", format!("{name} is loaded and the server is not shutting down"), ready);
        paths.insert(path(v2::MODEL_READY), json!({ "get": ready }));
        let headers = json!({ "Inference-Header-Content-Length": {
            "description": "How many bytes of the answer are JSON, where tensors follow.", "schema": { "type": "integer" },
        } });
        let answer = json!({
            "description": "The outputs that were asked for; all where none were.",
            "headers": headers,
            "content": {
                "application/json": { "schema": reference("V2Response") },
                "application/octet-stream": {},
            },
        });
        let summary = format!("Predict {} with {name} from tensors", self.schema.target.name);
        let mut infer = operation(
            &self.id("v2_infer", name),
            "v2",
            &summary,
            answer,
            "V2Error",
            &[404, 408, 413, 415, 503],
        );
        infer["parameters"] = json!([{
            "name": "Inference-Header-Content-Length", "in": "header", "required": false,
            "description": "How many bytes of the body are JSON, where tensors follow.",
            "schema": { "type": "integer", "minimum": 0 },
        }]);
        let inputs: Vec<Value> = self
            .schema
            .features
            .iter()
            .zip(&self.row)
            .map(|(feature, value)| {
                let datatype = v2::datatype(feature.column_type);
                json!({ "name": feature.name, "shape": [1], "datatype": datatype, "data": [value] })
            })
            .collect();
        infer["requestBody"] = Self::body(json!({
            "application/json": { "schema": reference("V2Request"), "example": { "id": "1", "inputs": inputs } },
        }));
        paths.insert(path(v2::INFER), json!({ "post": infer }));
    }
}
