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
    let datatypes = Value::from_iter(Datatype::names()).to_string();
    let text = include_str!("schemas.json").replace("\"DATATYPES\"", &datatypes);
    serde_json::from_str(&text).unwrap_or_default()
}

/// The schema of an answer that is the same for all models but for their names.
pub(super) fn answer(operation: &str, name: &str) -> Value {
    let answers: Map<String, Value> = serde_json::from_str(include_str!("answers.json")).unwrap_or_default();
    let mut answer = answers.get(operation).cloned().unwrap_or_default();
    if let Some(constant) = answer.pointer_mut("/properties/name/const") {
        *constant = name.into();
    }
    answer
}
