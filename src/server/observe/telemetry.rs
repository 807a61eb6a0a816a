//! What the server counts, and its text for Prometheus (exposition format 0.0.4).
//!
//! Atomics only: a request adds to a handful of numbers and waits for nobody. Not here: logs.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;

use crate::data::cells::schema::{Task, WarningKind};
use crate::server::api::v2;
use crate::server::models::shadow::ShadowCounts;
use crate::server::state::{Served, State};

/// The routes that are told apart; a path that is no route is [`Route::Other`], so that clients cannot make
/// up label values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /predict`.
    Predict,
    /// `GET /model`.
    Model,
    /// `GET /models`.
    Models,
    /// `GET /livez`.
    Livez,
    /// `GET /readyz`.
    Readyz,
    /// `GET /metrics`.
    Metrics,
    /// `POST /invocations`.
    Invocations,
    /// `GET /ping`, `/health` and `/version`.
    MlflowHealth,
    /// `POST /v2/models/NAME/infer`.
    Infer,
    /// `GET /v2/models/NAME` and whether it is ready.
    V2Model,
    /// `GET /v2` and its health.
    V2,
    /// `GET /openapi.json`.
    Openapi,
    /// `POST /feedback`.
    Feedback,
    /// `POST /admin/reload`.
    Reload,
    /// Everything else.
    Other,
}

impl Route {
    const NAMES: [&str; 15] = [
        "/predict",
        "/model",
        "/models",
        "/livez",
        "/readyz",
        "/metrics",
        "/invocations",
        "/ping",
        v2::INFER,
        v2::MODEL,
        "/v2",
        "/openapi.json",
        "/feedback",
        "/admin/reload",
        "other",
    ];

    /// Whether a model answers it, the default or the one that its path names.
    pub fn is_of_a_model(self) -> bool {
        matches!(self, Self::Predict | Self::Model | Self::Invocations | Self::Infer | Self::V2Model)
    }

    /// Whether it is asked with a body.
    pub fn takes_a_body(self) -> bool {
        matches!(self, Self::Predict | Self::Invocations | Self::Infer | Self::Feedback | Self::Reload)
    }

    /// Whether everybody may ask, keys or not: a probe has none.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::MlflowHealth | Self::V2)
    }

    /// The route of a path; paths of a named model are those of the default.
    pub fn of(path: &str) -> Self {
        match path {
            "/predict" => Self::Predict,
            "/model" => Self::Model,
            "/models" => Self::Models,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/invocations" => Self::Invocations,
            "/ping" | "/health" | "/version" => Self::MlflowHealth,
            v2::INFER => Self::Infer,
            v2::MODEL | v2::MODEL_READY => Self::V2Model,
            "/v2" | "/v2/health/live" | "/v2/health/ready" => Self::V2,
            "/openapi.json" => Self::Openapi,
            "/feedback" => Self::Feedback,
            "/admin/reload" => Self::Reload,
            _ => Self::Other,
        }
    }
}

/// Why a connection or request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Too many connections.
    Connections,
    /// Too many requests at once.
    InFlight,
    /// A body with too many bytes.
    BodyBytes,
    /// A body with too many rows.
    Rows,
    /// A body that did not arrive in time.
    BodyTime,
    /// No key, or none that is known.
    Key,
    /// Asked too often.
    Rate,
    /// The operating system would not hand over a connection.
    Accept,
    /// The client kept a connection waiting that another needed.
    GivenUp,
}

impl Rejection {
    const NAMES: [&str; 9] =
        ["connections", "in_flight", "body_bytes", "rows", "body_time", "key", "rate", "accept", "given_up"];
}

/// The statuses that [`crate::server::api::error`] and the handlers give.
const STATUSES: [u16; 14] = [200, 204, 400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503];

/// Upper bounds in nanoseconds and as they are written: one row takes tens of microseconds, and nothing
/// that is longer than ten seconds needs to be told apart.
const BUCKETS: [(u64, &str); 17] = [
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

const KINDS: [WarningKind; 3] =
    [WarningKind::MissingValue, WarningKind::UnseenCategory, WarningKind::OutOfRange];

/// The numbers of one route.
#[derive(Debug, Default)]
struct PerRoute {
    statuses: [AtomicU64; STATUSES.len()],
    /// One more than there are bounds: the last is for everything above.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl PerRoute {
    fn answered(&self, status: StatusCode, took: Duration) {
        if let Some(i) = STATUSES.iter().position(|known| *known == status.as_u16()) {
            self.statuses[i].fetch_add(1, Relaxed);
        }
        let nanoseconds = took.as_nanos() as u64;
        let bucket = BUCKETS.iter().position(|(bound, _)| nanoseconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }
}

/// What is counted of one model.
#[derive(Debug, Default)]
pub struct ModelCounts {
    routes: [PerRoute; Route::NAMES.len()],
    warnings: [AtomicU64; KINDS.len()],
    rows: AtomicU64,
    batches: [AtomicU64; BATCHES.len() + 1],
    reloads: [AtomicU64; 2],
    /// Why the last reload failed, if it did.
    reload_failure: Mutex<Option<String>>,
    feedback: Mutex<Feedback>,
    /// What is counted of the model beside it.
    pub shadow: Arc<ShadowCounts>,
}

/// How predictions compare with the labels that came later.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Feedback {
    /// Rows with a label.
    pub rows: u64,
    /// Those that were predicted as the label says; of classes.
    pub correct: u64,
    /// Sum of the sizes of the errors; of numbers.
    pub absolute_error: f64,
}

/// Upper bounds of the batch sizes that are told apart.
const BATCHES: [usize; 6] = [1, 10, 100, 1000, 10_000, 100_000];

impl ModelCounts {
    /// Counts the predicted rows of a request.
    pub fn rows(&self, n: usize) {
        self.rows.fetch_add(n as u64, Relaxed);
        let bucket = BATCHES.iter().position(|bound| n <= *bound).unwrap_or(BATCHES.len());
        self.batches[bucket].fetch_add(1, Relaxed);
    }

    /// Counts a reload.
    pub fn reloaded(&self, ok: bool) {
        self.reloads[usize::from(!ok)].fetch_add(1, Relaxed);
    }

    /// Keeps why the last reload failed; `None` where it worked.
    pub fn set_reload_failure(&self, failure: Option<String>) {
        *self.reload_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Adds labels that came later.
    pub fn feedback(&self, more: Feedback) {
        let mut sum = self.feedback.lock().unwrap_or_else(PoisonError::into_inner);
        sum.rows += more.rows;
        sum.correct += more.correct;
        sum.absolute_error += more.absolute_error;
    }

    /// Counts warnings of one kind.
    pub fn warnings(&self, kind: WarningKind, n: usize) {
        if let Some(i) = KINDS.iter().position(|known| *known == kind) {
            self.warnings[i].fetch_add(n as u64, Relaxed);
        }
    }
}

/// Everything that is counted of the server.
#[derive(Debug)]
pub struct Telemetry {
    routes: [PerRoute; Route::NAMES.len()],
    rejected: [AtomicU64; Rejection::NAMES.len()],
    in_flight: AtomicUsize,
    connections: AtomicUsize,
    started: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self {
            routes: Default::default(),
            rejected: Default::default(),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            started: seconds_since_epoch(SystemTime::now()),
        }
    }

    /// Counts an answer, of a model where it is one's.
    pub fn answered(&self, of: Option<&ModelCounts>, route: Route, status: StatusCode, took: Duration) {
        of.map_or(&self.routes, |counts| &counts.routes)[route as usize].answered(status, took);
    }

    /// Counts something that was turned away.
    pub fn rejected(&self, reason: Rejection) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
    }

    /// Takes one of `limit` places for requests; to be given back with [`Telemetry::leave`].
    pub fn enter(&self, limit: usize) -> bool {
        let entered = self.in_flight.fetch_add(1, Relaxed) < limit;
        if !entered {
            self.leave();
        }
        entered
    }

    /// Gives a place for a request back.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Takes one of `limit` places for connections; to be given back with [`Telemetry::disconnect`].
    pub fn connect(&self, limit: usize) -> bool {
        let connected = self.connections.fetch_add(1, Relaxed) < limit;
        if !connected {
            self.disconnect();
        }
        connected
    }

    /// Gives a place for a connection back.
    pub fn disconnect(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// The text of `GET /metrics`.
    pub fn text(&self, state: &State) -> String {
        let models = state.models();
        let mut out = Exposition(String::with_capacity(16 * 1024));
        let named: Vec<(String, &Served)> =
            models.iter().map(|served| (format!("model=\"{}\"", escape(&served.name)), &**served)).collect();
        // Every route that was asked for, of the server and of its models, with the labels that say whose it is.
        let mut routes: Vec<(String, &PerRoute)> = Vec::new();
        for (i, name) in Route::NAMES.iter().enumerate() {
            let of_models = named
                .iter()
                .map(|(model, served)| (format!("{model},route=\"{name}\""), &served.counts.routes[i]));
            routes.extend(of_models);
            routes.push((format!("route=\"{name}\""), &self.routes[i]));
        }
        routes.retain(|(_, route)| route.buckets.iter().any(|count| count.load(Relaxed) > 0));
        out.family("mlapi_requests_total", "counter", "Requests answered.");
        for (labels, route) in &routes {
            for (count, status) in route.statuses.iter().zip(STATUSES) {
                let count = count.load(Relaxed);
                if count > 0 {
                    out.sample("mlapi_requests_total", &format!("{labels},status=\"{status}\""), count);
                }
            }
        }
        const DURATION: &str = "mlapi_request_duration_seconds";
        out.family(DURATION, "histogram", "Time from the head of a request to its answer.");
        for (labels, route) in &routes {
            let mut total = 0;
            for (count, (_, bound)) in route.buckets.iter().zip(BUCKETS.iter().chain([&(0, "+Inf")])) {
                total += count.load(Relaxed);
                out.sample(
                    "mlapi_request_duration_seconds_bucket",
                    &format!("{labels},le=\"{bound}\""),
                    total,
                );
            }
            let seconds = route.nanoseconds.load(Relaxed) as f64 / 1e9;
            out.sample("mlapi_request_duration_seconds_sum", labels, seconds);
            out.sample("mlapi_request_duration_seconds_count", labels, total);
        }
        let in_flight = self.in_flight.load(Relaxed);
        out.single("mlapi_requests_in_flight", "gauge", "Predictions being read or made.", in_flight);
        let connections = self.connections.load(Relaxed);
        out.single("mlapi_connections", "gauge", "Open connections.", connections);
        out.family("mlapi_rejected_total", "counter", "Connections and requests over a limit.");
        for (count, reason) in self.rejected.iter().zip(Rejection::NAMES) {
            out.sample("mlapi_rejected_total", &format!("reason=\"{reason}\""), count.load(Relaxed));
        }
        out.family("mlapi_rows_predicted_total", "counter", "Rows predicted.");
        for (model, served) in &named {
            out.sample("mlapi_rows_predicted_total", model, served.counts.rows.load(Relaxed));
        }
        out.family("mlapi_warnings_total", "counter", "Unusual values in predicted rows.");
        for (model, served) in &named {
            for (count, kind) in served.counts.warnings.iter().zip(KINDS) {
                let labels = format!("{model},kind=\"{}\"", kind.name());
                out.sample("mlapi_warnings_total", &labels, count.load(Relaxed));
            }
        }
        out.family("mlapi_model_info", "gauge", "The models that are served.");
        for (model, served) in &named {
            let (algorithm, task) = (escape(&served.model.card.algorithm), served.model.task().name());
            let version = env!("CARGO_PKG_VERSION");
            let labels = format!("{model},algorithm=\"{algorithm}\",task=\"{task}\",version=\"{version}\"");
            out.sample("mlapi_model_info", &labels, 1);
        }
        out.family("mlapi_model_loaded_timestamp_seconds", "gauge", "When the model was loaded.");
        for (model, served) in &named {
            out.sample("mlapi_model_loaded_timestamp_seconds", model, seconds_since_epoch(served.loaded));
        }
        let dropped = [
            ("log", Some(state.log.dropped())),
            ("predictions", state.journal.as_ref().map(super::journal::Journal::dropped)),
        ];
        out.family("mlapi_log_dropped_total", "counter", "Log lines dropped because nobody took them.");
        for (log, count) in dropped {
            if let Some(count) = count {
                out.sample("mlapi_log_dropped_total", &format!("log=\"{log}\""), count);
            }
        }
        of_models(&mut out, &named);
        if let Some(bytes) = resident_bytes() {
            out.single("process_resident_memory_bytes", "gauge", "Resident memory size.", bytes);
        }
        let started = self.started;
        out.single("process_start_time_seconds", "gauge", "Start time since the Unix epoch.", started);
        out.0
    }
}

/// What is said of each model beyond its requests.
fn of_models(out: &mut Exposition, named: &[(String, &Served)]) {
    out.family("mlapi_batch_rows", "histogram", "Predicted rows of a request.");
    for (model, served) in named {
        let mut total = 0;
        let bounds = BATCHES.iter().map(usize::to_string).chain(["+Inf".to_string()]);
        for (count, bound) in served.counts.batches.iter().zip(bounds) {
            total += count.load(Relaxed);
            out.sample("mlapi_batch_rows_bucket", &format!("{model},le=\"{bound}\""), total);
        }
        out.sample("mlapi_batch_rows_sum", model, served.counts.rows.load(Relaxed));
        out.sample("mlapi_batch_rows_count", model, total);
    }
    out.family("mlapi_reloads_total", "counter", "Reloads of the model.");
    for (model, served) in named {
        for (count, result) in served.counts.reloads.iter().zip(["ok", "failed"]) {
            out.sample("mlapi_reloads_total", &format!("{model},result=\"{result}\""), count.load(Relaxed));
        }
    }
    out.family("mlapi_reload_failure_info", "gauge", "Why the last reload failed; absent where it worked.");
    for (model, served) in named {
        let failure = served.counts.reload_failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = failure.as_deref() {
            let labels = format!("{model},reason=\"{}\"", escape(reason));
            out.sample("mlapi_reload_failure_info", &labels, 1);
        }
    }
    out.family("mlapi_predictions_total", "counter", "Predictions of each class.");
    for (model, served) in named {
        for (label, count) in served.profile.classes() {
            let labels = format!("{model},class=\"{}\"", escape(label));
            out.sample("mlapi_predictions_total", &labels, count);
        }
    }
    let features: Vec<_> = named
        .iter()
        .flat_map(|(model, served)| {
            served
                .profile
                .features()
                .map(move |counts| (format!("{model},feature=\"{}\"", escape(counts.name)), counts))
        })
        .collect();
    out.family("mlapi_feature_warnings_total", "counter", "Unusual values of each feature.");
    for (labels, feature) in &features {
        for (kind, count) in feature.counts {
            // A feature without unusual values is not worth three lines.
            if count > 0 {
                out.sample("mlapi_feature_warnings_total", &format!("{labels},kind=\"{kind}\""), count);
            }
        }
    }
    let help = "Population stability index against the training rows; above 0.25 they have shifted.";
    out.family("mlapi_feature_psi", "gauge", help);
    for (labels, feature) in &features {
        if let Some(psi) = feature.psi {
            out.sample("mlapi_feature_psi", labels, psi);
        }
    }
    let shadowed: Vec<_> = named.iter().filter_map(|(m, s)| Some((m, &s.shadow.as_ref()?.counts))).collect();
    if !shadowed.is_empty() {
        type Count = fn(&ShadowCounts) -> &AtomicU64;
        let families = [
            ("mlapi_shadow_rows_total", "Rows that the shadow predicted as well.", (|c| &c.rows) as Count),
            ("mlapi_shadow_disagreements_total", "Rows it predicted otherwise.", |c| &c.disagreements),
            ("mlapi_shadow_dropped_rows_total", "Rows there was no time for.", |c| &c.dropped),
        ];
        for (name, help, count) in families {
            out.family(name, "counter", help);
            for (model, counts) in &shadowed {
                out.sample(name, model, count(counts).load(Relaxed));
            }
        }
    }
    let labelled = named.iter().map(|(model, served)| {
        let sum = *served.counts.feedback.lock().unwrap_or_else(PoisonError::into_inner);
        (model, served.model.task(), sum)
    });
    let labelled: Vec<_> = labelled.filter(|(_, _, sum)| sum.rows > 0).collect();
    out.family("mlapi_feedback_rows_total", "counter", "Predicted rows whose true label came later.");
    for (model, _, sum) in &labelled {
        out.sample("mlapi_feedback_rows_total", model, sum.rows);
    }
    out.family("mlapi_live_accuracy", "gauge", "Share of them that were predicted right.");
    for (model, _, sum) in labelled.iter().filter(|(_, task, _)| *task == Task::Classification) {
        out.sample("mlapi_live_accuracy", model, sum.correct as f64 / sum.rows as f64);
    }
    out.family("mlapi_live_mean_absolute_error", "gauge", "Their mean error; of numbers.");
    for (model, _, sum) in labelled.iter().filter(|(_, task, _)| *task == Task::Regression) {
        out.sample("mlapi_live_mean_absolute_error", model, sum.absolute_error / sum.rows as f64);
    }
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The text while it is written.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    fn line(&mut self, name_and_labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name_and_labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, value);
    }
}

/// A label value as the format wants it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Resident memory, where the operating system says so (`VmRSS` needs no page size, `statm` would).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn bounds_rise_and_are_written_as_the_seconds_they_are() {
        assert!(BUCKETS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (nanoseconds, text) in BUCKETS {
            assert_eq!(text.parse::<f64>().unwrap(), nanoseconds as f64 / 1e9);
        }
    }
}
