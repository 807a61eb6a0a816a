//! The outputs of the Open Inference Protocol: from predictions to tensors in JSON or as bytes.

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use crate::data::cells::schema::Schema;
use crate::model::explain::Explanation;
use crate::model::pipeline::{Pipeline, Predictions};
use crate::predict::answer::{list_of, number};
use crate::server::wire::body::Response;

/// The number of bytes of a body that are JSON; tensors follow.
pub(crate) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The version that clients see; model files have none.
pub(super) const VERSION: &str = "1";

/// The outputs of a model.
pub(super) const PREDICT: &str = "predict";
pub(super) const PREDICT_PROBA: &str = "predict_proba";
/// Those that are given if they are asked for: by their name, the contributions also by the parameter `explain`.
pub(super) const INTERVAL: &str = "interval";
pub(super) const PREDICTION_SET: &str = "prediction_set";
pub(super) const CONTRIBUTIONS: &str = "contributions";
pub(super) const BASE: &str = "base";

/// What outputs are made from.
pub(super) struct Found<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) predictions: &'a Predictions,
    /// One for each row if contributions are asked for.
    pub(super) explained: &'a [Explanation],
}

/// The elements of an output.
pub(super) enum Predicted<'a> {
    Numbers(Cow<'a, [f64]>),
    Whole(Vec<i64>),
    Booleans(Vec<bool>),
    Texts(Vec<&'a str>),
}

impl<'a> Predicted<'a> {
    /// The labels as whole numbers, if all of them are.
    fn whole_labels(schema: &Schema) -> Option<Vec<i64>> {
        let target = &schema.target;
        let numeric = target.numeric_labels && !target.labels.is_empty();
        numeric.then(|| target.labels.iter().map(|label| label.parse().ok()).collect())?
    }

    pub(super) fn datatype(schema: &Schema) -> &'static str {
        match Self::whole_labels(schema) {
            _ if schema.target.labels.is_empty() => "FP64",
            Some(_) => "INT64",
            None => "BYTES",
        }
    }

    /// The elements, and how many a row has if it may have several.
    fn of(output: &str, found: &Found<'a>) -> (Self, Option<usize>) {
        let Found { pipeline, predictions, explained } = *found;
        let schema = &pipeline.schema;
        let steps = &pipeline.postprocessing;
        let rows = predictions.scores.rows();
        let values = predictions.scores.values().iter();
        match (output, &steps.interval, &steps.prediction_sets) {
            (PREDICT_PROBA, ..) => {
                (Self::Numbers(predictions.scores.values().into()), Some(schema.target.labels.len()))
            }
            (INTERVAL, Some(interval), _) => {
                let ends: Vec<f64> = values.flat_map(|value| interval.around(*value)).collect();
                (Self::Numbers(ends.into()), Some(2))
            }
            (PREDICTION_SET, _, Some(sets)) => {
                let mut members = vec![false; predictions.scores.values().len()];
                for (row, of_row) in rows.zip(members.chunks_exact_mut(schema.target.labels.len())) {
                    sets.classes(row).for_each(|class| of_row[class] = true);
                }
                (Self::Booleans(members), Some(schema.target.labels.len()))
            }
            (CONTRIBUTIONS, ..) => {
                let all: Vec<f64> =
                    explained.iter().flat_map(|one| one.contributions.iter().copied()).collect();
                (Self::Numbers(all.into()), Some(schema.n_features()))
            }
            (BASE, ..) => {
                let all: Vec<f64> = explained.iter().map(|one| one.base).collect();
                (Self::Numbers(all.into()), None)
            }
            _ => (Self::answers(schema, predictions), None),
        }
    }

    fn answers(schema: &'a Schema, predictions: &'a Predictions) -> Self {
        let labels = &schema.target.labels;
        if labels.is_empty() {
            return Self::Numbers(predictions.scores.values().into());
        }
        let classes = predictions.classes.iter().map(|&class| class as usize);
        match Self::whole_labels(schema) {
            Some(whole) => Self::Whole(classes.map(|class| whole[class]).collect()),
            None => Self::Texts(classes.map(|class| labels[class].as_str()).collect()),
        }
    }

    fn name_of_datatype(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "FP64",
            Self::Whole(_) => "INT64",
            Self::Booleans(_) => "BOOL",
            Self::Texts(_) => "BYTES",
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Numbers(values) => list_of(values.iter(), out, |value, out| number(*value, out)),
            Self::Whole(values) => list_of(values, out, |value, out| out.extend(value.to_string().bytes())),
            Self::Booleans(values) => {
                list_of(values, out, |value, out| out.extend(value.to_string().bytes()))
            }
            Self::Texts(texts) => list_of(texts, out, |text, out| out.extend(quoted(text).bytes())),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Numbers(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Whole(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Booleans(values) => values.iter().map(|value| u8::from(*value)).collect(),
            Self::Texts(texts) => {
                let with_length =
                    |text: &&str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
                texts.iter().flat_map(with_length).collect()
            }
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The response with these outputs, each with whether it is sent as bytes.
pub(super) fn answer(
    name: &str,
    id: Option<&str>,
    outputs: &[(&'static str, bool)],
    found: &Found,
) -> Response {
    let mut head = format!("{{\"model_name\":{},\"model_version\":\"{VERSION}\"", quoted(name)).into_bytes();
    if let Some(id) = id {
        head.extend(format!(",\"id\":{}", quoted(id)).bytes());
    }
    head.extend(b",\"outputs\":[");
    let mut tail = Vec::new();
    let n_rows = found.predictions.scores.n_rows();
    for (i, &(output, binary)) in outputs.iter().enumerate() {
        let (predicted, width) = Predicted::of(output, found);
        let comma = if i > 0 { "," } else { "" };
        let width = width.map_or(String::new(), |width| format!(",{width}"));
        let datatype = predicted.name_of_datatype();
        head.extend(
            format!(
                "{comma}{{\"name\":\"{output}\",\"datatype\":\"{datatype}\",\"shape\":[{n_rows}{width}],"
            )
            .bytes(),
        );
        if binary {
            let bytes = predicted.to_bytes();
            head.extend(format!("\"parameters\":{{\"binary_data_size\":{}}}}}", bytes.len()).bytes());
            tail.extend(bytes);
        } else {
            head.extend(b"\"data\":");
            predicted.write_json(&mut head);
            head.push(b'}');
        }
    }
    head.extend(b"]}");
    let length = head.len();
    head.append(&mut tail);
    let mut response = Response::new(Bytes::from(head).into());
    let headers = response.headers_mut();
    if outputs.iter().any(|(_, binary)| *binary) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(HEADER_LENGTH, HeaderValue::from(length));
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
