//! The scoring protocol of MLflow, for its clients and SageMaker's: four JSON forms and CSV in,
//! `{"predictions":[…]}` out.
//!
//! Bytes in, a response out, for one model. The same readers as for `POST /predict` read the rows; this file
//! unwraps them. Source: "MLflow Models", section "Deploy MLflow models" (mlflow.org).

use std::fmt;
use std::io::Cursor;

use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answering::{
    Answered, NO_INTERVAL, NO_SETS, SOURCE, explanations, malformed, misread, predict_rows, respond,
    table_failure, threads_for_table,
};
use crate::data::cells::cell::{Cell, ColumnType, UNSEEN};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::number::parse as parse_number;
use crate::data::cells::schema::Schema;
use crate::data::cells::text::Texts;
use crate::data::read::blocks::Block;
use crate::data::read::fields::{self, Record, Walk, Want};
use crate::data::read::json::{Request, Scalar};
use crate::data::read::{csv, json, source};
use crate::model::Model;
use crate::model::pipeline::Predictions;
use crate::predict;
use crate::predict::answer::number;
use crate::predict::explained;
use crate::predict::{Format, Keep, OnError, Options, Part};
use crate::server::error::Failure;
use crate::server::models::served::Served;
use crate::server::wire::body::Response;

const EXACTLY_ONE: &str =
    "send exactly one of \"dataframe_split\", \"dataframe_records\", \"instances\" and \"inputs\"";

/// A request body. Other members, such as `signature_name`, are ignored, as in MLflow.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    dataframe_split: Option<&'a RawValue>,
    #[serde(borrow)]
    dataframe_records: Option<&'a RawValue>,
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// What is answered beside the predictions; other members are ignored.
#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    explain: Option<&'a RawValue>,
    #[serde(default)]
    interval: bool,
    #[serde(default)]
    set: bool,
}

/// A table as pandas writes it with `orient="split"`.
#[derive(Deserialize)]
struct Split<'a> {
    #[serde(borrow)]
    columns: Option<&'a RawValue>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `POST /invocations` with a JSON body.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub(crate) fn score_json(served: &Served, body: &[u8], max_rows: usize) -> Result<Answered, Failure> {
    let (model, answers) = (&served.model, &served.answers);
    let (request, params) = read(body, &model.pipeline.schema, max_rows)?;
    if request.problems.total > 0 {
        return Err(Failure::DoesNotFit(request.problems));
    }
    let (codes, key) = (request.codes, request.key);
    let decision = model.pipeline.decision();
    let predictions = predict_rows(model, &codes, decision, |_| format!("/{key}"))?;
    let mut answer = answers.values(&predictions);
    answer.pop();
    add_params(&params, served, &codes, &predictions, &mut answer)?;
    answer.push(b'}');
    let response = respond("application/json", answer);
    Ok(Answered { response, codes, predictions, decision })
}

/// Appends what `params` asks for to the object of an answer, each a list with an element for each row.
fn add_params(
    params: &Params,
    served: &Served,
    codes: &Matrix,
    predictions: &Predictions,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let pipeline = &served.model.pipeline;
    let steps = &pipeline.postprocessing;
    let n_rows = codes.n_rows();
    if params.interval {
        let interval = steps.interval.as_ref();
        let interval = interval.ok_or_else(|| Failure::unfit("/params/interval", NO_INTERVAL.into()))?;
        out.extend_from_slice(b",\"intervals\":");
        list(n_rows, out, |row, out| {
            let ends = interval.around(predictions.scores.row(row)[0]);
            list(2, out, |end, out| number(ends[end], out));
        });
    }
    if params.set {
        if steps.prediction_sets.is_none() {
            return Err(Failure::unfit("/params/set", NO_SETS.into()));
        }
        out.extend_from_slice(b",\"prediction_sets\":");
        list(n_rows, out, |row, out| served.answers.set(predictions, row, out));
    }
    let option = params.explain.map(json::read_explain).transpose();
    let option = option.map_err(|detail| Failure::unfit("/params/explain", detail))?.flatten();
    if let Some(option) = option {
        let (explained, top) = explanations(served, &option, codes, predictions)?;
        out.extend_from_slice(b",\"explanations\":");
        list(n_rows, out, |row, out| {
            explained::write(&pipeline.schema, codes, row, &explained[row], top, out);
        });
    }
    Ok(())
}

/// Appends a JSON array of so many elements.
fn list(n: usize, out: &mut Vec<u8>, element: impl Fn(usize, &mut Vec<u8>)) {
    out.push(b'[');
    for i in 0..n {
        if i > 0 {
            out.push(b',');
        }
        element(i, out);
    }
    out.push(b']');
}

/// `POST /invocations` with a CSV body; `header` is what its content type says. `watch` sees the predicted rows.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub(crate) fn score_csv(
    model: &Model,
    header: Option<bool>,
    body: Bytes,
    max_rows: usize,
    watch: &mut dyn FnMut(Part),
) -> Result<Response, Failure> {
    let schema = &model.pipeline.schema;
    let header = header.unwrap_or_else(|| schema.header && !begins_with_a_row(&body, schema));
    let options = Options {
        keep: Keep::None,
        format: Format::Values,
        decision: model.pipeline.decision(),
        probabilities: false,
        lenient: false,
        strict: false,
        header,
        max_rows,
        on_error: OnError::Stop,
        n_threads: threads_for_table(),
        explain: None,
        what_if: None,
        rank: None,
    };
    let (max_columns, block_bytes) = (predict::max_columns(model), predict::table_block_bytes(model));
    let reading = source::Options { header, max_columns, block_bytes, ..source::Options::default() };
    let mut out = Vec::new();
    csv::Records::from_reader(Box::new(Cursor::new(body)), SOURCE, &reading)
        .and_then(|records| predict::predict_csv(model, records, &options, &mut out, watch))
        .map_err(|error| table_failure(error, &options))?;
    Ok(respond("application/json", out))
}

/// Whether a table without a word on its header begins with a row, as SageMaker sends tables: no field of its first line is
/// the name of a column, there are as many as a row may have, each fits its column, and one at least says so: it is a number,
/// boolean or date, or a category that training saw.
fn begins_with_a_row(body: &Bytes, schema: &Schema) -> bool {
    let reading =
        source::Options { header: false, max_columns: schema.max_columns(), ..source::Options::default() };
    let Ok(records) = csv::Records::from_reader(Box::new(Cursor::new(body.clone())), SOURCE, &reading) else {
        return false;
    };
    let Ok(features) = schema.positions(records.names().len()) else { return false };
    let dialect = records.dialect();
    let mut first = FirstRecord::default();
    let walk = Walk { dialect, wants: vec![Want::Text; features.len()], places: false, remarks: None };
    walk.through(&Block::new(records.sample().to_vec(), 1), &mut first);
    let (fields, mut texts, mut evidence) = (first.fields, Texts::default(), false);
    if fields.len() != features.len() || fields.iter().any(|field| !schema.is_unknown(field)) {
        return false;
    }
    let mark = if schema.decimal_comma && dialect.delimiter != b',' { b',' } else { dialect.decimal_mark };
    for (field, feature) in fields.iter().zip(features) {
        let Some(feature) = feature.map(|feature| &schema.features[feature]) else { continue };
        let mut cell = schema.null_tokens.of(&feature.name).cell(field);
        if let (Cell::Text(text), ColumnType::Number) = (cell, feature.column_type)
            // As the rows themselves are read.
            && feature.notation.is_none()
            && let Some(value) = parse_number(text, mark)
        {
            cell = Cell::Number(value);
        }
        let Ok(code) = feature.code(cell, &mut texts) else { return false };
        evidence |= !code.is_nan()
            && match feature.column_type {
                ColumnType::Number | ColumnType::Boolean | ColumnType::Date => true,
                ColumnType::Category => code != UNSEEN,
                ColumnType::Text => false,
            };
    }
    evidence
}

/// The fields of the first record.
#[derive(Default)]
struct FirstRecord {
    fields: Vec<String>,
}

impl fields::Visitor for FirstRecord {
    fn number(&mut self, _: usize, value: f64) {
        self.fields.push(value.to_string());
    }

    fn text(&mut self, _: usize, text: &[u8], _: u64) {
        self.fields.push(String::from_utf8_lossy(text).trim().to_string());
    }

    fn end(&mut self, _: Record) -> bool {
        false
    }
}

/// A part of the request body that is known to be JSON. A wrong member is reported at `key`.
fn part<'a, T: Deserialize<'a>>(key: &str, raw: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| match misread(&error, &[], "") {
        Failure::DoesNotFit(problems) => {
            let reasons = problems.listed.into_iter().map(|problem| problem.detail);
            Failure::unfit(key, reasons.collect())
        }
        failure => failure,
    })
}

/// The names of columns: the first, and how many there are. Further ones are skipped in place.
struct Names {
    first: Vec<String>,
    n_names: usize,
    /// Whether they are numbers, as those of a table without column names are.
    are_numbers: bool,
}

impl Names {
    /// # Errors
    /// Not an array, or more columns than can be those of the model.
    fn read(columns: &RawValue, schema: &Schema) -> Result<Self, Failure> {
        const POINTER: &str = "/dataframe_split/columns";
        let visitor = NamesVisitor { most: schema.max_columns() };
        let read = serde_json::Deserializer::from_str(columns.get()).deserialize_seq(visitor);
        let names = read.map_err(|_| Failure::unfit(POINTER, "columns is an array of names".into()))?;
        if names.n_names > names.first.len() {
            let (given, n_columns) = (names.n_names, schema.columns.len());
            let detail = format!("{given} columns where the training file had {n_columns}");
            return Err(Failure::unfit(POINTER, detail));
        }
        Ok(names)
    }
}

struct NamesVisitor {
    most: usize,
}

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
        let mut names = Names { first: Vec::new(), n_names: 0, are_numbers: true };
        while names.first.len() < self.most {
            let Some(name) = seq.next_element::<Scalar>()? else {
                return Ok(names);
            };
            names.are_numbers &= matches!(name, Scalar::Number(_));
            // An array or object names no column.
            names.first.push(name.into_text().unwrap_or_default());
            names.n_names += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            names.n_names += 1;
        }
        Ok(names)
    }
}

fn read<'a>(body: &'a [u8], schema: &Schema, max_rows: usize) -> Result<(Request, Params<'a>), Failure> {
    const PARAMS: &str = "params is an object; this model takes explain, interval and set";
    let bytes = json::without_mark(body);
    let body: Body = serde_json::from_slice(bytes).map_err(|error| misread(&error, bytes, EXACTLY_ONE))?;
    let params = match body.params.map(RawValue::get) {
        None | Some("null") => Params::default(),
        // An array would be read by the places of its elements.
        Some(text) if !text.starts_with('{') => return Err(Failure::unfit("/params", PARAMS.into())),
        Some(text) => serde_json::from_str(text).map_err(|_| Failure::unfit("/params", PARAMS.into()))?,
    };
    let request = read_body(&body, schema, max_rows)?;
    Ok((request, params))
}

fn read_body(body: &Body, schema: &Schema, max_rows: usize) -> Result<Request, Failure> {
    let rows = |key, raw: &RawValue| {
        json::read_rows(raw.get().as_bytes(), schema, key, None, max_rows)
            .map_err(|e| malformed(e, &[], max_rows))
    };
    match (body.dataframe_split, body.dataframe_records, body.instances, body.inputs) {
        (Some(split), None, None, None) => {
            let Split { columns, data } = part("/dataframe_split", split)?;
            let names = columns.map(|columns| Names::read(columns, schema)).transpose()?;
            let names = names.filter(|names| !names.are_numbers).map(|names| names.first);
            json::read_rows(data.get().as_bytes(), schema, "dataframe_split/data", names.as_deref(), max_rows)
                .map_err(|error| malformed(error, &[], max_rows))
        }
        (None, Some(records), None, None) => rows("dataframe_records", records),
        (None, None, Some(instances), None) => rows("instances", instances),
        (None, None, None, Some(inputs)) if inputs.get().starts_with('{') => {
            json::read_columns(inputs.get().as_bytes(), schema, "inputs", max_rows)
                .map_err(|error| malformed(error, &[], max_rows))
        }
        (None, None, None, Some(inputs)) => rows("inputs", inputs),
        _ => Err(Failure::unfit("", EXACTLY_ONE.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::{ColumnType, Task};
    use crate::data::cells::schema::Ignored;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    /// Features `size` (1 to 5) and `color` (blue, red); `id` is ignored, `price` is the target.
    fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "color", "id", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0]),
                Column::Category { codes: vec![0, 1], levels: vec!["blue".into(), "red".into()] },
                Column::Number(vec![7.0, 8.0]),
                Column::Number(vec![10.0, 20.0]),
            ],
            lines: vec![2, 3].into(),
        };
        let target = Target {
            name: "price".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        Schema::fit(&table, &[(0, ColumnType::Number), (1, ColumnType::Category)], target, ignored, &[0, 1])
    }

    fn codes(body: &str) -> Vec<f64> {
        let (request, _) = read(body.as_bytes(), &schema(), 10).unwrap();
        assert_eq!(request.problems.total, 0, "{body}: {:?}", request.problems);
        request.codes.values().to_vec()
    }

    fn problems(body: &str) -> Vec<String> {
        let listed = match read(body.as_bytes(), &schema(), 10) {
            Ok((request, _)) => request.problems.listed,
            Err(Failure::DoesNotFit(problems)) => problems.listed,
            Err(other) => panic!("{body}: {other:?}"),
        };
        listed.into_iter().map(|problem| format!("{} {}", problem.pointer, problem.detail)).collect()
    }

    #[test]
    fn every_form_holds_the_same_rows() {
        for body in [
            r#"{"dataframe_split":{"columns":["size","color"],"data":[[2,"red"],[3,"blue"]]}}"#,
            r#"{"dataframe_split":{"index":[0,1],"columns":["color","price","size"],"data":[["red",0,2],["blue",0,3]]}}"#,
            r#"{"dataframe_split":{"columns":[0,1],"data":[[2,"red"],[3,"blue"]]}}"#,
            r#"{"dataframe_split":{"data":[[2,"red"],[3,"blue"]]}}"#,
            r#"{"dataframe_records":[{"size":2,"color":"red"},{"color":"blue","size":3}],"params":{}}"#,
            r#"{"instances":[{"size":2,"color":"red"},{"color":"blue","size":3}],"signature_name":"x"}"#,
            r#"{"instances":[[2,"red"],[3,"blue"]]}"#,
            r#"{"inputs":[[2,"red"],[3,"blue"]]}"#,
            r#"{"inputs":{"size":[2,3],"color":["red","blue"]}}"#,
            r#"{"inputs":{"size":[[2],[3]],"color":[["red"],["blue"]]}, "params":null}"#,
        ] {
            assert_eq!(codes(body), [2.0, 1.0, 3.0, 0.0], "{body}");
        }
        assert_eq!(codes(r#"{"inputs":{"size":2,"color":"red"}}"#), [2.0, 1.0]);
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place() {
        for body in ["{}", r#"{"inputs":[],"instances":[]}"#, r#"{"data":[1]}"#] {
            assert_eq!(problems(body), [format!(" {EXACTLY_ONE}")]);
        }
        assert_eq!(
            problems(r#"{"inputs":{"size":[2,"big"],"color":["red","blue"]}}"#),
            [r#"/inputs/size/1 "big" is not a number"#]
        );
        assert_eq!(
            problems(r#"{"dataframe_split":{"columns":["size","color"],"data":[["big","red"],[1]]}}"#),
            [
                "/dataframe_split/data/1 1 values where there are 2 columns",
                r#"/dataframe_split/data/0/0 "big" is not a number"#
            ]
        );
        let twice = problems(r#"{"dataframe_split":{"columns":["size","size"],"data":[[1,2]]}}"#);
        assert!(twice[0].contains("\"color\" is missing") && twice[1].contains("given twice"), "{twice:?}");
        for body in [
            r#"{"inputs":{"size":[1],"color":[]}}"#,
            r#"{"inputs":{}}"#,
            r#"{"inputs":3}"#,
            r#"{"inputs":[]}"#,
            r#"{"dataframe_split":[]}"#,
            r#"{"dataframe_records":{"a":1}}"#,
            r#"{"instances":[[1]],"params":1}"#,
        ] {
            assert!(!problems(body).is_empty(), "{body}");
        }
        let eleven = format!(r#"{{"inputs":{{"size":[{0}1],"color":[{0}1]}}}}"#, "1,".repeat(10));
        assert!(matches!(read(eleven.as_bytes(), &schema(), 10), Err(Failure::TooManyRows(10))));
        assert!(matches!(read(b"[1", &schema(), 10), Err(Failure::NotJson(_))));
    }

    #[test]
    fn parameters_and_names_of_columns_are_not_kept_as_values() {
        let nested = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
        assert_eq!(codes(&format!(r#"{{"params":{{"a":{nested}}},"inputs":[[2,"red"]]}}"#)), [2.0, 1.0]);
        let found = problems(&format!(r#"{{"params":{nested},"inputs":[[2,"red"]]}}"#));
        assert_eq!(found, ["/params params is an object; this model takes explain, interval and set"]);
        let found = problems(&format!(r#"{{"dataframe_split":{{"columns":{nested},"data":[[1]]}}}}"#));
        assert_eq!(found, ["/dataframe_split/columns 100001 columns where the training file had 4"]);
        let body = r#"{"dataframe_split":{"columns":["size",{},"color"],"data":[[1,2,"red"]]}}"#;
        assert_eq!(codes(body), [1.0, 1.0], "a column without a name is one that the model does not know");
        let text = format!(r#"{{"inputs":"{}"}}"#, "a".repeat(100_000));
        assert!(problems(&text)[0].len() < 300);
        let text = format!(r#"{{"dataframe_split":"{}"}}"#, "a".repeat(100_000));
        assert!(problems(&text)[0].len() < 300);
    }
}
