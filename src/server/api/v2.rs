//! The Open Inference Protocol (V2) over REST, for clients of KServe, Triton and MLServer: metadata, and inference
//! from tensors in JSON or in the binary extension.
//!
//! Bytes in, a response out, for one model. A tensor is one column (`[n]` or `[n,1]`, named like the column), or a
//! single one of `[n,k]` holds the columns in order. Not here: the elements of tensors (see [`super::tensor`]).

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answering::{Answered, explanations, misread, predict_rows, respond};
use super::tensor;
use super::tensor::Datatype;
pub(crate) use super::v2_outputs::HEADER_LENGTH;
use super::v2_outputs::{
    BASE, CONTRIBUTIONS, Found, INTERVAL, PREDICT, PREDICT_PROBA, PREDICTION_SET, Predicted, VERSION, answer,
};
use crate::data::cells::cell::{Cell, ColumnType};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::Problems;
use crate::data::cells::schema::Schema;
use crate::data::read::json::{First, read_explain, without_mark};
use crate::model::Model;
use crate::model::pipeline::Pipeline;
use crate::names::{did_you_mean, is_worth_seeking};
use crate::server::error::Failure;
use crate::server::models::served::Served;
use crate::server::wire::body::Response;

/// `GET /v2`.
pub(crate) fn server() -> Response {
    let metadata = json!({
        "name": "mlapi", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"],
    });
    respond("application/json", metadata.to_string())
}

/// `GET /v2/health/live`.
pub(crate) fn live() -> Response {
    respond("application/json", Bytes::from_static(b"{\"live\":true}"))
}

/// `GET /v2/health/ready` of a server that is ready.
pub(crate) fn ready() -> Response {
    respond("application/json", Bytes::from_static(b"{\"ready\":true}"))
}

/// `GET /v2/models/NAME/ready` of a server that is ready.
pub(crate) fn model_ready(name: &str) -> Response {
    respond("application/json", json!({ "name": name, "ready": true }).to_string())
}

/// The data type that holds every value of a column.
pub(crate) fn datatype(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Number => "FP64",
        ColumnType::Boolean => "BOOL",
        _ => "BYTES",
    }
}

/// `GET /v2/models/NAME`: the tensors that the model takes and gives. Any other data type that holds the same
/// values is accepted as well.
pub(crate) fn model(model: &Model, name: &str) -> Response {
    let (schema, steps) = (&model.pipeline.schema, &model.pipeline.postprocessing);
    let inputs = schema.features.iter().map(
        |feature| json!({ "name": feature.name, "datatype": datatype(feature.column_type), "shape": [-1] }),
    );
    let target = &schema.target;
    let datatype = Predicted::datatype(schema);
    let mut outputs = vec![json!({ "name": PREDICT, "datatype": datatype, "shape": [-1] })];
    if !target.labels.is_empty() {
        let labels: Vec<Value> = target.labels.iter().map(|label| target.json_label(label)).collect();
        let n_labels = labels.len();
        outputs.push(json!({
            "name": PREDICT_PROBA, "datatype": "FP64", "shape": [-1, n_labels], "parameters": { "labels": labels },
        }));
        if steps.prediction_sets.is_some() {
            outputs.push(json!({
                "name": PREDICTION_SET, "datatype": "BOOL", "shape": [-1, n_labels], "parameters": { "labels": labels },
            }));
        }
    }
    if steps.interval.is_some() {
        outputs.push(json!({ "name": INTERVAL, "datatype": "FP64", "shape": [-1, 2] }));
    }
    let metadata = json!({
        "name": name, "versions": [VERSION], "platform": "mlapi",
        "inputs": inputs.collect::<Vec<_>>(), "outputs": outputs,
    });
    respond("application/json", metadata.to_string())
}

/// Tensors and outputs that are read; a request with more is refused, whatever the model.
const MAX_INPUTS: usize = 100_000;
const MAX_OUTPUTS: usize = 10;

/// Bytes of a request's id, which stands in the answer.
const MAX_ID_BYTES: usize = 1000;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<RequestParameters<'a>>,
    #[serde(borrow)]
    inputs: First<Input<'a>, MAX_INPUTS>,
    #[serde(borrow)]
    outputs: Option<First<Output<'a>, MAX_OUTPUTS>>,
}

#[derive(Default, Deserialize)]
struct RequestParameters<'a> {
    binary_data_output: Option<bool>,
    threshold: Option<f64>,
    #[serde(borrow)]
    explain: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    /// No tensor has more than two dimensions.
    shape: First<usize, 3>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    parameters: Option<InputParameters>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Input<'_> {
    /// The bytes of its data, if it follows the JSON.
    fn size(&self) -> Option<usize> {
        self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size)
    }
}

#[derive(Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    parameters: Option<OutputParameters>,
}

#[derive(Default, Deserialize)]
struct OutputParameters {
    binary_data: Option<bool>,
}

/// `POST /v2/models/NAME/infer`. `header_length` is the value of [`HEADER_LENGTH`], if the request has it.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub(crate) fn infer(
    served: &Served,
    header_length: Option<&HeaderValue>,
    body: &[u8],
    max_rows: usize,
) -> Result<Answered, Failure> {
    let model = &served.model;
    let schema = &model.pipeline.schema;
    let (head, binary) = match header_length {
        None => (body, &[][..]),
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
            let parts = length.and_then(|length| body.split_at_checked(length));
            parts
                .ok_or(Failure::NotHttp("Inference-Header-Content-Length is not a length within the body"))?
        }
    };
    let head = without_mark(head);
    let request: Request = serde_json::from_slice(head).map_err(|error| {
        misread(&error, head, "send {\"inputs\":[{\"name\":…,\"shape\":…,\"datatype\":…,\"data\":…}]}")
    })?;
    if request.id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
        return Err(Failure::unfit("/id", format!("the id has more than {MAX_ID_BYTES} bytes")));
    }
    let option = request.parameters.as_ref().and_then(|parameters| parameters.explain);
    let option = option.map(read_explain).transpose();
    let option = option.map_err(|detail| Failure::unfit("/parameters/explain", detail))?.flatten();
    let outputs = requested(&request, option.is_some(), &model.pipeline)?;
    let threshold = request.parameters.as_ref().and_then(|parameters| parameters.threshold);
    if threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
        return Err(Failure::unfit("/parameters/threshold", "the threshold is a number from 0 to 1".into()));
    }
    let decision = (model.pipeline.decision_at(threshold))
        .map_err(|error| Failure::unfit("/parameters/threshold", error.to_string()))?;
    let codes = read(&request.inputs, binary, schema, max_rows)?;
    let predictions = predict_rows(model, &codes, decision, |_| "/inputs".into())?;
    let is_explained = outputs.iter().any(|(output, _)| [CONTRIBUTIONS, BASE].contains(output));
    let explained = match is_explained {
        true => explanations(served, &option.unwrap_or_default(), &codes, &predictions)?.0,
        false => Vec::new(),
    };
    let found = Found { pipeline: &model.pipeline, predictions: &predictions, explained: &explained };
    let response = answer(&served.name, request.id.as_deref(), &outputs, &found);
    Ok(Answered { response, codes, predictions, decision })
}

/// The requested outputs, each with whether it is sent as bytes.
fn requested(
    request: &Request,
    explain: bool,
    pipeline: &Pipeline,
) -> Result<Vec<(&'static str, bool)>, Failure> {
    let steps = &pipeline.postprocessing;
    let all = [
        (PREDICT, true, true),
        (PREDICT_PROBA, !pipeline.labels().is_empty(), true),
        (INTERVAL, steps.interval.is_some(), false),
        (PREDICTION_SET, steps.prediction_sets.is_some(), false),
        (CONTRIBUTIONS, true, explain),
        (BASE, true, explain),
    ];
    let names = |unasked: bool| -> Vec<&'static str> {
        let those = all.iter().filter(|(_, there_is, is_default)| *there_is && (*is_default || !unasked));
        those.map(|(name, ..)| *name).collect()
    };
    let there_are = names(false);
    let binary =
        request.parameters.as_ref().and_then(|parameters| parameters.binary_data_output).unwrap_or(false);
    let Some(outputs) = request.outputs.as_ref().filter(|outputs| outputs.total > 0) else {
        return Ok(names(true).into_iter().map(|name| (name, binary)).collect());
    };
    let mut problems = Problems::default();
    let mut found = Vec::with_capacity(there_are.len());
    if outputs.total > MAX_OUTPUTS {
        let detail = format!("{} outputs, and the model has {}", outputs.total, there_are.len());
        return Err(Failure::unfit("/outputs", detail));
    }
    for (i, output) in outputs.elements.iter().enumerate() {
        match there_are.iter().find(|name| **name == output.name) {
            Some(name) if found.iter().any(|(known, _)| known == name) => {
                problems.push(format!("/outputs/{i}/name"), "the output is asked for twice".into());
            }
            Some(name) => {
                let own = output.parameters.as_ref().and_then(|parameters| parameters.binary_data);
                found.push((*name, own.unwrap_or(binary)));
            }
            None => {
                let detail =
                    format!("no output of this model has this name; it has {}", there_are.join(", "));
                problems.push(format!("/outputs/{i}/name"), detail);
            }
        }
    }
    if problems.total > 0 { Err(Failure::DoesNotFit(problems)) } else { Ok(found) }
}

/// The layout of an input, known before its elements are read: the feature of each column, `None` for an ignored
/// one.
struct Layout {
    datatype: Datatype,
    columns: Vec<Option<usize>>,
}

/// The codes of the rows in the tensors. All shapes are checked, and that there can be as much data, before any element
/// is read or memory is taken.
fn read(
    inputs: &First<Input, MAX_INPUTS>,
    binary: &[u8],
    schema: &Schema,
    max_rows: usize,
) -> Result<Matrix, Failure> {
    if inputs.total > schema.max_columns().min(MAX_INPUTS) {
        let detail =
            format!("{} tensors where the training file had {} columns", inputs.total, schema.columns.len());
        return Err(Failure::unfit("/inputs", detail));
    }
    let inputs = &inputs.elements;
    let mut problems = Problems::default();
    let n_rows = inputs.first().and_then(|input| input.shape.elements.first()).copied().unwrap_or(0);
    if inputs.is_empty() {
        problems
            .push("/inputs".into(), "there are no tensors; send one for each column, or one of [n,k]".into());
    } else if n_rows == 0 {
        problems.push("/inputs/0/shape".into(), "there are no rows".into());
    } else if n_rows > max_rows {
        return Err(Failure::TooManyRows(max_rows));
    }
    let mut given = vec![false; schema.n_features()];
    let mut layouts = Vec::with_capacity(inputs.len().min(schema.columns.len()));
    for (i, input) in inputs.iter().enumerate() {
        match lay_out(input, inputs.len() == 1, n_rows, schema, problems.total) {
            Ok(layout) => {
                for feature in layout.columns.iter().flatten() {
                    if std::mem::replace(&mut given[*feature], true) {
                        let detail = || "the feature is given twice".into();
                        problems.push_with(|| (format!("/inputs/{i}/name"), detail()));
                    }
                }
                if let Err(detail) = can_be_filled(input, n_rows, &layout) {
                    problems.push_with(|| (format!("/inputs/{i}/data"), detail));
                }
                layouts.push(layout);
            }
            Err((place, detail)) => problems.push_with(|| (format!("/inputs/{i}/{place}"), detail)),
        }
    }
    if problems.total == 0 {
        for (feature, _) in schema.features.iter().zip(given).filter(|(_, given)| !given) {
            let detail = || format!("the feature {:?} is missing", feature.name);
            problems.push_with(|| ("/inputs".into(), detail()));
        }
    }
    if problems.total > 0 {
        return Err(Failure::DoesNotFit(problems));
    }
    let mut codes = Matrix::with_capacity(n_rows, schema.n_features());
    (0..n_rows).for_each(|_| {
        codes.push_row(f64::NAN);
    });
    let mut rest = binary;
    for (i, (input, Layout { datatype, columns })) in inputs.iter().zip(layouts).enumerate() {
        let mut bad = Problems::default();
        let mut sink = |element: usize, cell: Result<Cell, String>| {
            let (row, column) = (element / columns.len(), element % columns.len());
            let Some(feature) = columns[column] else { return };
            let known = &schema.features[feature];
            let cell = cell.map(|cell| match cell {
                Cell::Text(text) => schema.null_tokens.of(&known.name).cell(text),
                other => other,
            });
            match cell.and_then(|cell| known.code(cell, codes.texts_mut())) {
                Ok(code) => codes.row_mut(row)[feature] = code,
                Err(detail) => bad.push_with(|| (format!("/inputs/{i}/data/{element}"), detail)),
            }
        };
        let read = match (input.data, input.size()) {
            (Some(data), None) => tensor::read_json(data.get(), &input.shape.elements, datatype, &mut sink),
            (None, Some(size)) => match rest.split_at_checked(size) {
                Some((bytes, after)) => {
                    rest = after;
                    tensor::read_bytes(bytes, n_rows * columns.len(), datatype, &mut sink)
                }
                None => {
                    Err(format!("binary_data_size is {size}, and {} bytes are left of the body", rest.len()))
                }
            },
            // Refused by `can_be_filled`.
            (Some(_), Some(_)) | (None, None) => Err(String::new()),
        };
        if let Err(detail) = read {
            bad.push(format!("/inputs/{i}/data"), detail);
        }
        problems.extend(bad);
    }
    if !rest.is_empty() {
        problems.push("/inputs".into(), format!("{} bytes follow those of the tensors", rest.len()));
    }
    if problems.total > 0 { Err(Failure::DoesNotFit(problems)) } else { Ok(codes) }
}

/// Whether the data of a tensor may have as many elements as its shape says, by its length alone.
fn can_be_filled(input: &Input, n_rows: usize, layout: &Layout) -> Result<(), String> {
    let n = n_rows.saturating_mul(layout.columns.len());
    match (input.data, input.size()) {
        (Some(data), None) => {
            // An element more has a comma more; those within texts only make room.
            let most = memchr::memchr_iter(b',', data.get().as_bytes()).count() + 1;
            if n > most { Err(format!("at most {most} elements where the shape has {n}")) } else { Ok(()) }
        }
        (None, Some(size)) if n > size / layout.datatype.least_bytes() => {
            let (name, least) = (layout.datatype.name(), layout.datatype.least_bytes());
            Err(format!("{size} bytes where {n} elements of {name} take {least} each"))
        }
        (None, Some(_)) => Ok(()),
        (Some(_), Some(_)) => Err("there is data both in JSON and as bytes".into()),
        (None, None) => Err("there is no data, neither in JSON nor with a binary_data_size".into()),
    }
}

/// The features that a tensor holds; or the member that is wrong, with the reason. `n_before` problems were found before.
fn lay_out(
    input: &Input,
    only: bool,
    n_rows: usize,
    schema: &Schema,
    n_before: usize,
) -> Result<Layout, (&'static str, String)> {
    let Some(datatype) = Datatype::named(&input.datatype) else {
        let known: Vec<&str> = Datatype::names().collect();
        return Err(("datatype", format!("not a data type; there are {}", known.join(", "))));
    };
    let (rows, width) = match input.shape.elements[..] {
        [rows] => (rows, 1),
        [rows, width] => (rows, width),
        _ => return Err(("shape", "a column has the shape [n] or [n,1], a table [n,k]".into())),
    };
    if rows != n_rows {
        return Err(("shape", format!("{rows} rows where the first tensor has {n_rows}")));
    }
    let feature = schema.feature_index(&input.name, 0).filter(|_| width == 1);
    let columns = if feature.is_some() {
        vec![feature]
    } else if only && input.shape.total == 2 {
        // A wrong width is rejected before it takes memory.
        schema.positions(width).map_err(|detail| ("shape", detail))?
    } else if width == 1 && schema.is_unused(&input.name) {
        vec![None]
    } else if width == 1 {
        let names = schema.features.iter().map(|feature| feature.name.as_str());
        let hint = match is_worth_seeking(n_before, schema.n_features()) {
            true => did_you_mean(&input.name, names),
            false => String::new(),
        };
        return Err(("name", format!("no feature has this name{hint}")));
    } else {
        return Err(("shape", format!("{width} columns in one of several tensors; send each column as one")));
    };
    Ok(Layout { datatype, columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::models::served::tests::penguins;

    fn inputs(text: &str) -> First<Input<'_>, MAX_INPUTS> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_shape_without_as_much_data_takes_no_memory() {
        let model = penguins();
        let problems = |text: &str| match read(&inputs(text), &[0; 64], &model.pipeline.schema, usize::MAX) {
            Err(Failure::DoesNotFit(problems)) => problems.lines(),
            other => panic!("{other:?}"),
        };
        let table = |shape: &str, datatype: &str, data: &str| {
            problems(&format!(r#"[{{"name":"x","shape":{shape},"datatype":"{datatype}"{data}}}]"#))
        };
        // So many rows would be an abort or a crash.
        let huge = "[1000000000000,7]";
        for (shape, datatype, data, words) in [
            (huge, "FP64", "", "there is no data"),
            (huge, "FP64", r#","data":[]"#, "at most 1 elements where the shape has 7000000000000"),
            (huge, "FP64", r#","data":[1,2,[3]]"#, "elements where the shape has"),
            (huge, "FP64", r#","parameters":{"binary_data_size":64}"#, "take"),
            (huge, "BYTES", r#","parameters":{"binary_data_size":64}"#, "take"),
            ("[2,7]", "BYTES", r#","parameters":{"binary_data_size":55}"#, "take"),
            (
                "[2,7]",
                "BYTES",
                r#","data":[1],"parameters":{"binary_data_size":64}"#,
                "both in JSON and as bytes",
            ),
            ("[9223372036854775807,7]", "FP64", r#","data":[1]"#, "elements where the shape has"),
            ("[1,1,1,1,1]", "FP64", r#","data":[1]"#, "a column has the shape [n]"),
        ] {
            let found = table(shape, datatype, data);
            assert!(found.len() == 1 && found[0].contains(words), "{shape} {datatype} {data}: {found:?}");
        }
        let many =
            format!("[{}]", vec![r#"{"name":"x","shape":[1],"datatype":"FP64","data":[1]}"#; 2000].join(","));
        assert_eq!(problems(&many), ["inputs: 2000 tensors where the training file had 8 columns"]);
    }

    #[test]
    fn an_id_or_a_list_of_outputs_that_is_out_of_proportion_is_refused() {
        let model = penguins();
        let served = Served::new("m", model, std::sync::Arc::default()).unwrap();
        let infer = |text: &str| infer(&served, None, text.as_bytes(), 10);
        let id = format!(r#"{{"id":"{}","inputs":[]}}"#, "a".repeat(2000));
        let outputs =
            format!(r#"{{"inputs":[],"outputs":[{}{{"name":"x"}}]}}"#, r#"{"name":"x"},"#.repeat(1000));
        for (text, pointer) in [(&id, "/id"), (&outputs, "/outputs")] {
            match infer(text) {
                Err(Failure::DoesNotFit(problems)) => assert_eq!(problems.listed[0].pointer, pointer),
                other => panic!("{other:?}"),
            }
        }
        let long = format!(r#"{{"inputs":"{}"}}"#, "a".repeat(100_000));
        assert!(infer(&long).unwrap_err().to_string().len() < 500);
    }

    #[test]
    fn columns_in_any_order_hold_the_same_rows_as_bytes_and_as_json() {
        let model = penguins();
        let schema = &model.pipeline.schema;
        let text = r#"[
            {"name":"year","shape":[2],"datatype":"INT32","data":[2007,2008]},
            {"name":"sex","shape":[2,1],"datatype":"BYTES","data":[["male"],["female"]]},
            {"name":"body_mass_g","shape":[2],"datatype":"FP32","data":[4200,null]},
            {"name":"flipper_length_mm","shape":[2],"datatype":"FP64","DATA":[201,195.5]},
            {"name":"bill_depth_mm","shape":[2],"datatype":"FP64","data":[17.25,18.5]},
            {"name":"bill_length_mm","shape":[2],"datatype":"FP64","data":[43.5,50]},
            {"name":"island","shape":[2],"datatype":"BYTES","data":["Biscoe","Dream"]}
        ]"#;
        let json = text.replace("DATA", "data");
        let binary = text.replace(r#""DATA":[201,195.5]"#, r#""parameters":{"binary_data_size":16}"#);
        let bytes = [201.0_f64.to_le_bytes(), 195.5_f64.to_le_bytes()].concat();
        let from_json = read(&inputs(&json), &[], schema, 2).unwrap();
        let from_bytes = read(&inputs(&binary), &bytes, schema, 2).unwrap();
        assert_eq!(from_json.row(0), [0.0, 43.5, 17.25, 201.0, 4200.0, 1.0, 2007.0]);
        assert!(from_json.row(1)[4].is_nan());
        assert_eq!(format!("{from_json:?}"), format!("{from_bytes:?}"));
        assert!(read(&inputs(&binary), &bytes[1..], schema, 2).is_err());
        assert!(read(&inputs(&json), &bytes, schema, 2).is_err(), "bytes of no tensor");
        assert!(matches!(read(&inputs(&json), &[], schema, 1), Err(Failure::TooManyRows(1))));
    }

    #[test]
    fn an_output_is_asked_for_once_and_by_a_name_that_exists() {
        let model = penguins();
        let requested = |text: &str| {
            let request: Request = serde_json::from_str(text).unwrap();
            requested(&request, false, &model.pipeline)
        };
        assert_eq!(requested(r#"{"inputs":[]}"#).unwrap(), [(PREDICT, false), (PREDICT_PROBA, false)]);
        let binary =
            r#"{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[{"name":"predict"}]}"#;
        assert_eq!(requested(binary).unwrap(), [(PREDICT, true)]);
        let bad = r#"{"inputs":[],"outputs":[{"name":"predict"},{"name":"predict"},{"name":"label"}]}"#;
        assert!(matches!(requested(bad), Err(Failure::DoesNotFit(problems)) if problems.total == 2));
    }
}
