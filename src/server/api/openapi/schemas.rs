//! The schemas of the OpenAPI document that all models share, and functions to write schemas with.

use serde_json::{Map, Value, json};

use crate::server::api::tensor::Datatype;

/// A reference to a schema among the components.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with these properties and no others.
pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// The schemas that all models share.
pub(super) fn common_schemas() -> Map<String, Value> {
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
                    "explain": { "type": ["boolean", "object"], "description": "Add the outputs contributions and base; as the option of /predict." },
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
                        "name": { "type": "string", "enum": ["predict", "predict_proba", "interval", "prediction_set", "contributions", "base"] },
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
