//! The text of `GET /metrics` for Prometheus (exposition format 0.0.4): the counters of [`crate::server::observe::telemetry`] and
//! [`crate::server::observe::profile`]. Not here: counting.

use std::fmt::{Display, Write};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::data::cells::cell::Task;
use crate::server::endpoints::{Status, labels};
use crate::server::models::journal::Journal;
use crate::server::models::served::Served;
use crate::server::observe::telemetry::{BATCHES, BUCKETS, KINDS, PerRoute, Rejection, ShadowCounts};
use crate::server::state::State;

/// The text of `GET /metrics`.
pub(crate) fn text(state: &State) -> String {
    let (telemetry, models) = (&state.telemetry, state.models());
    let mut out = Exposition(String::with_capacity(16 * 1024));
    let named: Vec<(String, &Served)> =
        models.iter().map(|served| (format!("model=\"{}\"", escape(&served.name)), &**served)).collect();
    // Every route with requests, of the server and of its models, with its labels.
    let mut routes: Vec<(String, &PerRoute)> = Vec::new();
    for (i, name) in labels() {
        let of_models = named
            .iter()
            .map(|(model, served)| (format!("{model},route=\"{name}\""), &served.counts.routes[i]));
        routes.extend(of_models);
        routes.push((format!("route=\"{name}\""), &telemetry.routes[i]));
    }
    routes.retain(|(_, route)| route.buckets.iter().any(|count| count.load(Relaxed) > 0));
    out.family("mlapi_requests_total", "counter", "Requests answered.");
    for (labels, route) in &routes {
        for (count, status) in route.statuses.iter().zip(Status::ALL) {
            let count = count.load(Relaxed);
            if count > 0 {
                out.sample("mlapi_requests_total", &format!("{labels},status=\"{}\"", status.code()), count);
            }
        }
    }
    const DURATION: &str = "mlapi_request_duration_seconds";
    out.family(DURATION, "histogram", "Time from the head of a request to its answer.");
    for (labels, route) in &routes {
        let mut total = 0;
        for (count, (_, bound)) in route.buckets.iter().zip(BUCKETS.iter().chain([&(0, "+Inf")])) {
            total += count.load(Relaxed);
            out.sample("mlapi_request_duration_seconds_bucket", &format!("{labels},le=\"{bound}\""), total);
        }
        let seconds = route.nanoseconds.load(Relaxed) as f64 / 1e9;
        out.sample("mlapi_request_duration_seconds_sum", labels, seconds);
        out.sample("mlapi_request_duration_seconds_count", labels, total);
    }
    let in_flight = telemetry.in_flight.load(Relaxed);
    out.single("mlapi_requests_in_flight", "gauge", "Predictions being read or made.", in_flight);
    let connections = telemetry.connections.load(Relaxed);
    out.single("mlapi_connections", "gauge", "Open connections.", connections);
    out.family("mlapi_rejected_total", "counter", "Connections and requests over a limit.");
    for (count, reason) in telemetry.rejected.iter().zip(Rejection::NAMES) {
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
    let dropped =
        [("log", Some(state.log.dropped())), ("predictions", state.journal.as_ref().map(Journal::dropped))];
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
    let started = seconds_since_epoch(telemetry.started);
    out.single("process_start_time_seconds", "gauge", "Start time since the Unix epoch.", started);
    out.0
}

/// The metrics of each model beyond its requests.
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
    out.family("mlapi_reload_failure_info", "gauge", "Why the last reload failed; absent if it worked.");
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
            // A feature without unusual values would be three lines of zeros.
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
    out.family(
        "mlapi_feature_drift",
        "gauge",
        "Verdict of the latest rows: 0 stable, 1 drifting, 2 drifted.",
    );
    let drifts: Vec<_> = named.iter().map(|(model, s)| (model, s.profile.drift(&s.model))).collect();
    for (model, drift) in &drifts {
        for feature in &drift.features {
            if let Some(verdict) = feature.verdict {
                let labels = format!("{model},feature=\"{}\"", escape(&feature.feature));
                out.sample("mlapi_feature_drift", &labels, verdict as u64);
            }
        }
    }
    let help = "Population stability index of the predicted classes against those of the held-out rows.";
    out.family("mlapi_prediction_psi", "gauge", help);
    for (model, drift) in &drifts {
        if let Some(psi) = drift.predictions.psi {
            out.sample("mlapi_prediction_psi", model, psi);
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

/// A label value, escaped as the format requires.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Resident memory, if the operating system reports it (`VmRSS` needs no page size, `statm` would).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn every_sample_belongs_to_a_family_that_was_declared_before_it() {
        use crate::server::limits::Limits;
        use crate::server::models::served::tests::penguins;
        use crate::server::state::Setup;
        let state = State::new(Setup::new(penguins(), Limits::DEFAULT).unwrap()).unwrap();
        let model = state.find(None).unwrap();
        state.telemetry.answered(Some(&model.counts), 0, hyper::StatusCode::OK, std::time::Duration::ZERO);
        let slot = labels().find(|(_, label)| *label == "/livez").unwrap().0;
        state.telemetry.answered(None, slot, hyper::StatusCode::OK, std::time::Duration::ZERO);
        let text = text(&state);
        assert!(text.contains("mlapi_requests_total{model=\"model\",route=\"/predict\",status=\"200\"} 1\n"));
        assert!(text.contains("mlapi_requests_total{route=\"/livez\",status=\"200\"} 1\n"));
        let mut families = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(family.split(' ').next().unwrap()), "{family} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let known = families.contains(name) || base.is_some_and(|base| families.contains(base));
                assert!(known, "{line}");
            }
        }
    }
}
