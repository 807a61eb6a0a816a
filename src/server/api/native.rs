//! The handlers of mlapi's own endpoints, without sockets: the bytes of a request body in, a response out.

use std::io::{Cursor, Read, Write};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;

use super::answering::{
    Answered, Form, SOURCE, content_type, malformed, predict_rows, respond, table_failure, threads_for,
};
use super::mlflow;
use super::openapi;
use super::v2;
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Schema, Warning};
use crate::data::read::blocks::{BLOCK_BYTES, Blocks, Cut, RecordLimits};
use crate::data::read::{csv, json, source};
use crate::model::Model;
use crate::model::pipeline::{Decision, Predictions};
use crate::predict;
use crate::predict::{Format, Keep, OnError, Options, Part, Summary};
use crate::server::api::exposition;
use crate::server::api::observation::Observation;
use crate::server::error::Failure;
use crate::server::guard::keys::Holder;
use crate::server::models::served::{Models, Served};
use crate::server::observe::feedback::Label;
use crate::server::observe::telemetry::Feedback;
use crate::server::observe::trace::RequestId;
use crate::server::reload;
use crate::server::request_body;
use crate::server::state::State;
use crate::server::wire::body::Response;

/// A request with a body to predict, and the part of its head that says how to read it.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// `POST /predict`.
    Predict(Form),
    /// `POST /invocations`.
    Score(Form),
    /// `POST /v2/models/NAME/infer`; the value of [`v2::HEADER_LENGTH`].
    Infer(Option<HeaderValue>),
}

/// Answers a request body in the protocol it was sent in.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub(crate) fn call(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    call: Call,
    body: Bytes,
) -> Result<Response, Failure> {
    let model = &served.model;
    let max_rows = max_rows(state, &model.pipeline.schema);
    let answered = match call {
        Call::Predict(form) => return predict(state, served, id, form, body),
        Call::Score(Form::Csv { header }) => {
            let mut table = Table::default();
            let response = mlflow::score_csv(model, header, body, max_rows, &mut |part| table.keep(part))?;
            table.show(Observation::new(state, served, id, Decision::MostProbable));
            return Ok(response);
        }
        Call::Score(_) => mlflow::score_json(model, &served.answers, &body, max_rows)?,
        Call::Infer(header_length) => {
            v2::infer(model, &served.name, header_length.as_ref(), &body, max_rows)?
        }
    };
    let Answered { response, codes, predictions, decision } = answered;
    Observation::new(state, served, id, decision).rows(&codes, &predictions);
    let warnings = model.pipeline.schema.warnings(&codes);
    warnings.for_each(|warning| served.counts.warnings(warning.kind, 1));
    Ok(response)
}

/// `POST /predict`.
///
/// # Errors
/// A body that cannot be read, has too many rows, or does not fit the model.
pub(crate) fn predict(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    form: Form,
    body: Bytes,
) -> Result<Response, Failure> {
    match form {
        Form::Json => predict_json(state, served, id, &body),
        Form::Csv { .. } | Form::Ndjson => predict_table(state, served, id, form, body),
    }
}

fn predict_json(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    body: &[u8],
) -> Result<Response, Failure> {
    let schema = &served.model.pipeline.schema;
    let max_rows = max_rows(state, schema);
    let request = json::read_request(body, schema, max_rows).map_err(|error| malformed(error, max_rows))?;
    if request.problems.total > 0 {
        return Err(Failure::DoesNotFit(request.problems));
    }
    let decision = Decision::with_threshold(request.threshold, schema)
        .map_err(|error| Failure::unfit("/threshold", error.to_string()))?;
    let predictions = predict_rows(&served.model, &request.codes, decision, body);
    let warnings: Vec<Warning> = schema.warnings(&request.codes).collect();
    Observation::new(state, served, id, decision).rows(&request.codes, &predictions);
    warnings.iter().for_each(|warning| served.counts.warnings(warning.kind, 1));
    Ok(respond("application/json", served.answers.answer(&predictions, request.many, &warnings)))
}

/// The row limit of a request body: a JSON row may be as short as `{}` whatever its width, so the limit on cells
/// counts too.
fn max_rows(state: &State, schema: &Schema) -> usize {
    state.limits.rows.min(state.limits.cells / schema.n_features().max(1)).max(1)
}

fn options(state: &State, form: Form, header: bool, bytes: usize) -> Options {
    Options {
        keep: Keep::All,
        format: if form == Form::Ndjson { Format::Ndjson } else { Format::LikeInput },
        decision: Decision::MostProbable,
        probabilities: false,
        lenient: false,
        on_error: OnError::Stop,
        header,
        max_rows: state.limits.rows,
        n_threads: threads_for(bytes),
    }
}

/// The parts of a table that is answered whole or not at all. They are kept until the end so that rows without an
/// answer are not counted.
#[derive(Default)]
struct Table(Vec<(Matrix, Predictions, Summary)>);

impl Table {
    fn keep(&mut self, part: Part) {
        self.0.push((part.codes.clone(), part.predictions.clone(), part.summary));
    }

    fn show(self, mut observation: Observation) {
        for (codes, predictions, summary) in self.0 {
            observation.part(&Part { n_rows: 0, codes: &codes, predictions: &predictions, summary });
        }
    }
}

/// Predicts a table that has arrived completely.
fn predict_table(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    form: Form,
    body: Bytes,
) -> Result<Response, Failure> {
    let options = options(state, form, has_header(served, form), body.len());
    let (mut out, mut table) = (Vec::with_capacity(body.len() * 2), Table::default());
    let (input, record) = (Box::new(Cursor::new(body)), RecordLimits::default());
    let watch = &mut |part: Part| table.keep(part);
    let done = write_table(&served.model, form, input, record, &options, &mut out, watch);
    done.map_err(|error| table_failure(error, &options))?;
    table.show(Observation::new(state, served, id, options.decision));
    Ok(respond(content_type(form), out))
}

fn has_header(served: &Served, form: Form) -> bool {
    match form {
        Form::Csv { header } => header.unwrap_or(served.model.pipeline.schema.header),
        _ => true,
    }
}

fn write_table(
    model: &Model,
    form: Form,
    input: Box<dyn Read + Send>,
    record: RecordLimits,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> anyhow::Result<Summary> {
    if form == Form::Ndjson {
        let blocks = Blocks::new(SOURCE, Vec::new(), input, Cut::Lines, BLOCK_BYTES, false).within(record);
        return predict::predict_ndjson(model, SOURCE, blocks, options, out, watch);
    }
    let reading = source::Options { header: options.header, record, ..source::Options::default() };
    let records = csv::Records::from_reader(input, SOURCE, &reading)?;
    predict::predict_csv(model, records, options, out, watch)
}

/// Predicts a table while it arrives: rows in, rows out, in memory for some blocks; a longer record counts as held.
/// Blocks.
///
/// # Errors
/// As [`predict`]. If rows were written before the failure, `out` ends after them.
pub(crate) fn predict_stream(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    form: Form,
    input: Box<dyn Read + Send>,
    mut out: impl Write,
) -> Result<(), Failure> {
    let options = options(state, form, has_header(served, form), usize::MAX);
    let options = Options { max_rows: usize::MAX, ..options };
    let mut observation = Observation::new(state, served, id, options.decision);
    let mut watch = |part: Part| observation.part(&part);
    let record = request_body::record_limits(&state.limits, &state.held);
    let done = write_table(&served.model, form, input, record, &options, &mut out, &mut watch);
    done.map(drop).map_err(|error| stream_failure(error, &options, state.limits.body_time))
}

/// As [`table_failure`], for a request body that is read while it arrives.
fn stream_failure(error: anyhow::Error, options: &Options, body_time: Duration) -> Failure {
    // The client sent too slowly or broke off; the reader of the rows has wrapped that error.
    let sending = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    match sending.map(std::io::Error::kind).next() {
        Some(std::io::ErrorKind::TimedOut) => Failure::SlowBody(body_time.as_secs_f64()),
        Some(std::io::ErrorKind::UnexpectedEof) => Failure::BrokenBody,
        Some(request_body::GIVES_WAY) => Failure::Overloaded,
        Some(request_body::NO_ROOM) => Failure::BodiesOverloaded,
        _ => table_failure(error, options),
    }
}

/// `GET /model`.
pub(crate) fn model(served: &Served) -> Response {
    respond("application/json", served.description.clone())
}

/// `GET /models`.
pub(crate) fn models(state: &State) -> Response {
    respond("application/json", state.models().list())
}

/// `GET /livez`: the process is up.
pub(crate) fn livez() -> Response {
    respond("text/plain; charset=utf-8", Bytes::from_static(b"ok\n"))
}

/// `GET /readyz`: a model is loaded and checked, and the server is not shutting down.
///
/// # Errors
/// The server is shutting down.
pub(crate) fn readyz(state: &State) -> Result<Response, Failure> {
    if state.is_draining() {
        return Err(Failure::Draining);
    }
    Ok(livez())
}

/// `GET /openapi.json`.
pub(crate) fn openapi(state: &State) -> Response {
    let (keys, rate) = (state.keys.are_required(), state.rate.is_some());
    let make = |models: &Models| openapi::document(models, keys, rate).to_string().into();
    respond("application/json", state.models().openapi(keys, make))
}

/// `GET /version`: plain text, as MLflow answers it.
pub(crate) fn version() -> Response {
    respond("text/plain; charset=utf-8", Bytes::from_static(env!("CARGO_PKG_VERSION").as_bytes()))
}

/// `GET /metrics`.
pub(crate) fn metrics(state: &State) -> Response {
    respond("text/plain; version=0.0.4; charset=utf-8", exposition::text(state))
}

/// `POST /feedback`: the true labels of an answer, by its request id, from the key that got the answer or an admin's.
///
/// # Errors
/// Not JSON, an unknown request id, or labels that do not fit.
pub(crate) fn feedback(state: &State, from: Option<&Holder>, body: &[u8]) -> Result<Response, Failure> {
    if !state.recent.is_on() {
        return Err(Failure::UnknownRequest("this server remembers no predictions; serve --feedback N does"));
    }
    let label: Label = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Failure::unfit("", error.to_string()),
        _ => Failure::NotJson(error.to_string()),
    })?;
    let labels = match (label.label, label.labels) {
        (Some(one), None) => vec![one],
        (None, Some(many)) => many,
        _ => return Err(Failure::unfit("", "send either \"label\" or \"labels\"".into())),
    };
    const FORGOTTEN: &str = "no answer with this id is remembered, or its labels have come already";
    let given = state.recent.take(&label.request_id, from).ok_or(Failure::UnknownRequest(FORGOTTEN))?;
    let served = state.find(Some(&given.model)).ok_or(Failure::NoSuchModel)?;
    match compare(&served, &given.predictions, &labels) {
        Ok(feedback) => {
            served.counts.feedback(feedback);
            let answer = serde_json::json!({ "rows": feedback.rows, "correct": feedback.correct });
            Ok(respond("application/json", answer.to_string()))
        }
        Err(failure) => {
            state.recent.put_back(given);
            Err(failure)
        }
    }
}

fn compare(served: &Served, predictions: &[f64], labels: &[serde_json::Value]) -> Result<Feedback, Failure> {
    if labels.len() != predictions.len() {
        let detail = format!("{} labels for {} predictions", labels.len(), predictions.len());
        return Err(Failure::unfit("/labels", detail));
    }
    let target = &served.model.pipeline.schema.target;
    let mut feedback = Feedback { rows: labels.len() as u64, ..Feedback::default() };
    for (i, (label, predicted)) in labels.iter().zip(predictions).enumerate() {
        let pointer = || if labels.len() == 1 { "/label".into() } else { format!("/labels/{i}") };
        match served.model.task() {
            Task::Regression => {
                let number =
                    label.as_f64().ok_or_else(|| Failure::unfit(&pointer(), "not a number".into()))?;
                feedback.absolute_error += (number - predicted).abs();
                feedback.correct += u64::from(number == *predicted);
            }
            Task::Classification => {
                // A label that the model does not know may be the truth; it counts as not predicted.
                let known = target.labels.get(*predicted as usize);
                let is_same =
                    |known: &String| *label == target.json_label(known) || label.as_str() == Some(known);
                if label.is_object() || label.is_array() || label.is_null() {
                    return Err(Failure::unfit(&pointer(), "a label is a string or a number".into()));
                }
                feedback.correct += u64::from(known.is_some_and(is_same));
            }
        }
    }
    Ok(feedback)
}

/// `POST /admin/reload`: loads the models and the keys again. Blocks.
///
/// # Errors
/// A model or the keys could not be loaded and stay as they were.
pub(crate) fn reload(state: &State) -> Result<Response, Failure> {
    let outcomes = reload::reload(state);
    let failures: Vec<(String, String)> = outcomes
        .iter()
        .filter_map(|o| {
            Some((o.model.as_ref().map_or(String::new(), |m| format!("/models/{m}")), o.failure.clone()?))
        })
        .collect();
    if !failures.is_empty() {
        return Err(Failure::NotReloaded(failures));
    }
    let models: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.model).collect();
    Ok(respond("application/json", serde_json::json!({ "reloaded": models }).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::limits::Limits;
    use crate::server::models::served::tests::{ROW, penguins};
    use crate::server::observe::feedback::Recent;
    use crate::server::state::Setup;

    fn state(limits: Limits) -> State {
        let setup = Setup::new(penguins(), limits).unwrap();
        State::new(Setup { recent: Recent::new(9), ..setup }).unwrap()
    }

    fn predicted(state: &State, body: String) -> Result<Response, Failure> {
        let id = RequestId { header: HeaderValue::from_static("r1"), key: 0 };
        predict(state, &state.find(None).unwrap(), Some(&id), Form::Json, body.into())
    }

    #[test]
    fn the_limit_on_cells_bounds_the_rows_of_a_wide_model() {
        let state = state(Limits { cells: 14, ..Limits::DEFAULT });
        assert!(predicted(&state, format!("{{\"data\":[{ROW},{ROW}]}}")).is_ok());
        let three = predicted(&state, format!("{{\"data\":[{ROW},{ROW},{ROW}]}}"));
        assert!(matches!(three, Err(Failure::TooManyRows(2))));
    }

    #[test]
    fn labels_are_compared_once_and_ones_that_do_not_fit_may_come_again() {
        let state = state(Limits::DEFAULT);
        predicted(&state, format!("{{\"data\":{ROW}}}")).unwrap();
        let told = |text: &str| feedback(&state, None, text.as_bytes());
        assert!(matches!(told(r#"{"request_id":"r1"}"#), Err(Failure::DoesNotFit(_))));
        assert!(matches!(told(r#"{"request_id":"r1","labels":["a","b"]}"#), Err(Failure::DoesNotFit(_))));
        assert!(matches!(told(r#"{"request_id":"r1","label":{}}"#), Err(Failure::DoesNotFit(_))));
        assert!(told(r#"{"request_id":"r1","label":"Emperor"}"#).is_ok());
        assert!(matches!(told(r#"{"request_id":"r1","label":"Gentoo"}"#), Err(Failure::UnknownRequest(_))));
        assert!(matches!(told("{"), Err(Failure::NotJson(_))));
    }

    #[test]
    fn a_server_that_shuts_down_is_alive_but_not_ready() {
        let state = state(Limits::DEFAULT);
        assert!(readyz(&state).is_ok());
        state.drain();
        assert!(matches!(readyz(&state), Err(Failure::Draining)));
    }
}
