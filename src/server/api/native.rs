//! The handlers of mlapi's own endpoints, without sockets: the bytes of a request body in, a response out.

use std::io::{Cursor, Read, Write};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, VARY};

use super::answering::{
    Answered, Form, SOURCE, content_type, explanations, malformed, predict_rows, respond, table_failure,
    threads_for_table,
};
use super::mlflow;
use super::openapi;
use super::rank;
use super::v2;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Schema, Warning};
use crate::data::read::blocks::{Blocks, Cut, RecordLimits};
use crate::data::read::json::ExplainOption;
use crate::data::read::{csv, json, source};
use crate::model::Model;
use crate::model::pipeline::Predictions;
use crate::predict;
use crate::predict::answer::MAX_LISTED_WARNINGS;
use crate::predict::explained;
use crate::predict::what_if::{self, WhatIf};
use crate::predict::{Explain, Format, Keep, OnError, Options, Part, Summary};
use crate::report::html::page;
use crate::server::api::exposition;
use crate::server::api::observation::Observation;
use crate::server::cost::Cost;
use crate::server::error::Failure;
use crate::server::limits::Limits;
use crate::server::models::served::{Models, Served};
use crate::server::observe::telemetry::KINDS;
use crate::server::observe::trace::RequestId;
use crate::server::reload;
use crate::server::request_body;
use crate::server::state::State;
use crate::server::wire::body::Response;

/// A request with a body to predict, and the part of its head that says how to read it.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// `POST /predict`, and whether its query asks for explanations.
    Predict(Form, bool),
    /// `POST /rank`.
    Rank,
    /// `POST /invocations`.
    Score(Form),
    /// `POST /v2/models/NAME/infer`; the value of [`v2::HEADER_LENGTH`].
    Infer(Option<HeaderValue>),
}

impl Call {
    /// Rows that a request body holds at most, by its brackets, commas and lines alone; it may hold none.
    pub(crate) fn most_rows(&self, body: &[u8], n_features: usize) -> usize {
        let count = |byte: u8| memchr::memchr_iter(byte, body).count();
        // Each row of its own has a bracket, and so has the body.
        let bracketed = || (count(b'[') + count(b'{')).saturating_sub(1);
        // Columns have a comma less than they have values, and as many values as there are rows.
        let by_columns = || count(b',') / n_features.max(1) + 1;
        let rows = match self {
            Self::Predict(Form::Json, _) | Self::Rank => bracketed(),
            Self::Score(Form::Json | Form::Ndjson) => bracketed().max(by_columns()),
            Self::Infer(None) => by_columns(),
            // An element has a byte.
            Self::Infer(Some(_)) => body.len() / n_features.max(1),
            Self::Predict(..) | Self::Score(_) => count(b'\n') + count(b'\r') + 1,
        };
        rows.max(1)
    }

    /// The row limit of a model for this request.
    pub(crate) fn max_rows(&self, cost: &Cost, limits: &Limits) -> usize {
        match self {
            Self::Predict(Form::Csv { .. } | Form::Ndjson, _) => cost.max_table_rows(limits),
            Self::Predict(..) | Self::Rank | Self::Score(_) | Self::Infer(_) => cost.max_rows(limits),
        }
    }

    /// The copies of the body that are made at most: a value as long as the body is copied once, and a table is cut into
    /// blocks and repeated in the answer.
    pub(crate) fn copies(&self) -> usize {
        match self {
            Self::Predict(Form::Csv { .. } | Form::Ndjson, _) | Self::Score(Form::Csv { .. }) => 2,
            Self::Predict(..) | Self::Rank | Self::Score(_) | Self::Infer(_) => 1,
        }
    }
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
    let max_rows = call.max_rows(&served.cost, &state.limits);
    let answered = match call {
        Call::Predict(form, explain) => return predict(state, served, id, (form, explain), body),
        Call::Rank => rank::rank(model, &body, max_rows)?,
        Call::Score(Form::Csv { header }) => {
            let mut table = Table::default();
            let response = mlflow::score_csv(model, header, body, max_rows, &mut |part| table.keep(part))?;
            table.show(Observation::new(state, served, id, model.pipeline.decision()));
            return Ok(response);
        }
        Call::Score(_) => mlflow::score_json(served, &body, max_rows)?,
        Call::Infer(header_length) => v2::infer(served, header_length.as_ref(), &body, max_rows)?,
    };
    let Answered { response, codes, predictions, decision } = answered;
    Observation::new(state, served, id, decision).rows(&codes, &predictions);
    Unusual::of(&model.pipeline.schema, &codes).count(served);
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
    (form, explain): (Form, bool),
    body: Bytes,
) -> Result<Response, Failure> {
    match form {
        Form::Json => predict_json(state, served, id, &body, explain),
        Form::Csv { .. } | Form::Ndjson => predict_table(state, served, id, (form, explain), body),
    }
}

fn predict_json(
    state: &State,
    served: &Served,
    id: Option<&RequestId>,
    body: &[u8],
    explain: bool,
) -> Result<Response, Failure> {
    let schema = &served.model.pipeline.schema;
    let max_rows = served.cost.max_rows(&state.limits);
    let request =
        json::read_request(body, schema, max_rows).map_err(|error| malformed(error, body, max_rows))?;
    if request.problems.total > 0 {
        return Err(Failure::DoesNotFit(request.problems));
    }
    let decision = (served.model.pipeline.decision_at(request.threshold))
        .map_err(|error| Failure::unfit("/threshold", error.to_string()))?;
    let pointer = |row| match request.many {
        true => format!("/{}/{row}", request.key),
        false => format!("/{}", request.key),
    };
    let predictions = predict_rows(&served.model, &request.codes, decision, pointer)?;
    let unusual = Unusual::of(schema, &request.codes);
    Observation::new(state, served, id, decision).rows(&request.codes, &predictions);
    unusual.count(served);
    let Unusual { listed, counts } = unusual;
    let n_warnings = counts.iter().sum();
    let option = request.explain.or_else(|| explain.then(ExplainOption::default));
    if option.is_none() && request.what_if.is_none() {
        let answer = served.answers.answer(&predictions, request.many, &listed, n_warnings);
        return Ok(respond("application/json", answer));
    }
    let explained = match &option {
        Some(option) => Some(explanations(served, option, &request.codes, &predictions)?),
        None => None,
    };
    let what_if = request.what_if.as_ref().map(|option| WhatIf::of_option(&served.model, option, decision));
    let what_if = what_if.transpose().map_err(|error| Failure::unfit("/what_if", error.to_string()))?;
    if what_if.is_some() && request.codes.n_rows() > what_if::MAX_ROWS {
        return Err(Failure::TooManyRows(what_if::MAX_ROWS));
    }
    let append = |row: usize, out: &mut Vec<u8>| {
        if let Some((explained, top)) = &explained {
            explained::append(schema, &request.codes, row, &explained[row], *top, out);
        }
        if let Some(what_if) = &what_if {
            let found = what_if.of_row(&served.model.pipeline, &request.codes, row);
            what_if::append(schema, &found, out);
        }
    };
    let answer = served.answers.answer_with(&predictions, request.many, (&listed, n_warnings), append);
    Ok(respond("application/json", answer))
}

/// The unusual values of a request: the first, which the answer lists, and how many there are of each kind.
struct Unusual {
    listed: Vec<Warning>,
    /// In the order of [`KINDS`].
    counts: [usize; KINDS.len()],
}

impl Unusual {
    fn of(schema: &Schema, codes: &Matrix) -> Self {
        let mut unusual = Self { listed: Vec::new(), counts: [0; KINDS.len()] };
        for warning in schema.warnings(codes) {
            unusual.counts[warning.kind as usize] += 1;
            if unusual.listed.len() < MAX_LISTED_WARNINGS {
                unusual.listed.push(warning);
            }
        }
        unusual
    }

    fn count(&self, served: &Served) {
        let kinds = KINDS.iter().zip(self.counts).filter(|(_, n)| *n > 0);
        kinds.for_each(|(kind, n)| served.counts.warnings(*kind, n));
    }
}

/// # Errors
/// A model that cannot be explained, if its predictions are to be.
fn options(state: &State, served: &Served, (form, explain): (Form, bool)) -> Result<Options, Failure> {
    let explain = explain.then(|| served.explain(&ExplainOption::default())).transpose();
    Ok(Options {
        keep: Keep::All,
        format: if form == Form::Ndjson { Format::Ndjson } else { Format::LikeInput },
        decision: served.model.pipeline.decision(),
        probabilities: false,
        lenient: false,
        // A JSON row with an unknown name is refused, as one of a JSON request is.
        strict: form == Form::Ndjson,
        on_error: OnError::Stop,
        header: has_header(served, form),
        max_rows: served.cost.max_table_rows(&state.limits),
        n_threads: threads_for_table(),
        explain: explain.map_err(|error| Failure::unfit("", error.to_string()))?,
        what_if: None,
        rank: None,
    })
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
    (form, explain): (Form, bool),
    body: Bytes,
) -> Result<Response, Failure> {
    let mut options = options(state, served, (form, explain))?;
    if let Some(explain) = &options.explain {
        options.max_rows = options.max_rows.min(explain.max_rows());
    }
    let (mut out, mut table) = (Vec::with_capacity(body.len() + body.len() / 4), Table::default());
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
        let size = predict::json_block_bytes(model);
        let blocks = Blocks::new(SOURCE, Vec::new(), input, Cut::Lines, size, false).within(record);
        return predict::predict_ndjson(model, SOURCE, blocks, options, out, watch);
    }
    let (max_columns, block_bytes) = (predict::max_columns(model), predict::table_block_bytes(model));
    let reading = source::Options {
        header: options.header,
        record,
        max_columns,
        block_bytes,
        ..source::Options::default()
    };
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
    (form, explain): (Form, bool),
    input: Box<dyn Read + Send>,
    mut out: impl Write,
) -> Result<(), Failure> {
    let options = options(state, served, (form, explain))?;
    // Sampled contributions take too long for a table of any length.
    let most = options.explain.as_ref().filter(|_| served.is_sampled()).map(Explain::max_rows);
    let options = Options { max_rows: most.unwrap_or(usize::MAX), ..options };
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

/// `GET /report`. Blocks for the milliseconds that the first one takes.
pub(crate) fn report(served: &Served) -> Response {
    html(served.report())
}

/// A page with its content security policy.
fn html(body: impl Into<Bytes>) -> Response {
    let mut response = respond("text/html; charset=utf-8", body);
    if let Ok(policy) = HeaderValue::try_from(page::policy()) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// `GET /drift`: the latest 10,000 to 20,000 rows compared with those of training; a page for a browser, else JSON.
pub(crate) fn drift(served: &Served, accept: Option<&HeaderValue>) -> Response {
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if accept.to_ascii_lowercase().contains("text/html") {
        html(served.profile.drift_page(&served.name, &served.model))
    } else {
        let drift = served.profile.drift(&served.model);
        respond("application/json", serde_json::to_vec(&drift).unwrap_or_default())
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
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
    use crate::server::models::served::tests::{ROW, penguins};
    use crate::server::observe::feedback::Recent;
    use crate::server::state::Setup;

    fn state(limits: Limits) -> State {
        let setup = Setup::new(penguins(), limits).unwrap();
        State::new(Setup { recent: Recent::new(9), ..setup }).unwrap()
    }

    fn predicted(state: &State, body: String) -> Result<Response, Failure> {
        let id = RequestId { header: HeaderValue::from_static("r1"), key: 0 };
        predict(state, &state.find(None).unwrap(), Some(&id), (Form::Json, false), body.into())
    }

    #[test]
    fn the_limit_on_cells_bounds_the_rows_of_a_wide_model() {
        let state = state(Limits { cells: 14, ..Limits::DEFAULT });
        assert!(predicted(&state, format!("{{\"data\":[{ROW},{ROW}]}}")).is_ok());
        let three = predicted(&state, format!("{{\"data\":[{ROW},{ROW},{ROW}]}}"));
        assert!(matches!(three, Err(Failure::TooManyRows(2))));
    }

    #[test]
    fn no_body_holds_more_rows_than_its_brackets_commas_and_lines_say() {
        let (json, csv) = (Form::Json, Form::Csv { header: None });
        for (call, body, n_rows) in [
            (Call::Predict(json, false), r#"{"data":[1,2]}"#, 1),
            (Call::Predict(json, false), r#"{"features":{"a":1,"b":2}}"#, 1),
            (Call::Predict(json, false), r#"{"lenient":true,"data":[{},{},{}]}"#, 3),
            (Call::Predict(json, false), r#"{"data":[[1,2],[1,2]]}"#, 2),
            (Call::Score(json), r#"{"inputs":{"a":[1,2,3],"b":[1,2,3]}}"#, 3),
            (Call::Score(Form::Ndjson), r#"{"inputs":[[1,2],[1,2]]}"#, 2),
            (Call::Score(json), r#"{"dataframe_split":{"data":[[1,2],[1,2]]}}"#, 2),
            (Call::Infer(None), r#"{"inputs":[{"name":"a","shape":[2,2],"data":[1,2,3,4]}]}"#, 2),
            (Call::Infer(Some(HeaderValue::from_static("9"))), "{\"in\":[]}\0\u{1}\0\u{1}", 2),
            (Call::Predict(csv, false), "a,b\n1,2\n3,4", 2),
            (Call::Score(csv), "a,b\r1,2\r3,4\r", 2),
            (Call::Predict(Form::Ndjson, false), "{}\n{}\n", 2),
            (Call::Predict(json, false), "", 1),
        ] {
            let most = call.most_rows(body.as_bytes(), 2);
            assert!((n_rows..=3 * n_rows + 3).contains(&most), "{call:?} {body}: {most}");
        }
    }

    #[test]
    fn rows_without_values_are_answered_in_a_bounded_list_of_warnings() {
        let state = state(Limits::DEFAULT);
        let body = format!("{{\"lenient\":true,\"data\":[{}{{}}]}}", "{},".repeat(999));
        let response = predicted(&state, body).unwrap();
        let length = hyper::body::Body::size_hint(response.body()).exact().unwrap();
        assert!(length < 300_000, "{length}");
        let served = state.find(None).unwrap();
        let missing = served.counts.warnings[0].load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(missing, 7000, "and all of them are counted");
    }

    #[test]
    fn a_server_that_shuts_down_is_alive_but_not_ready() {
        let state = state(Limits::DEFAULT);
        assert!(readyz(&state).is_ok());
        state.drain();
        assert!(matches!(readyz(&state), Err(Failure::Draining)));
    }
}
