//! The counters of the server and its models; [`crate::server::api::exposition`] writes them as text.
//!
//! Atomics only: a request adds to a handful of numbers and never blocks. Not here: logs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::StatusCode;

use crate::data::cells::schema::WarningKind;
use crate::server::endpoints::{N_LABELS, Status};

/// The reason why a connection or request was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
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
    /// Above the rate limit.
    Rate,
    /// The operating system refused to accept a connection.
    Accept,
    /// An idle connection or stream was closed because another needed its slot.
    GivenUp,
    /// Too many connections of one address.
    Address,
    /// `Host` is not a name of the server.
    Host,
    /// A page of an origin that is not allowed.
    Origin,
}

impl Rejection {
    pub(crate) const NAMES: [&str; 12] = [
        "connections",
        "in_flight",
        "body_bytes",
        "rows",
        "body_time",
        "key",
        "rate",
        "accept",
        "given_up",
        "address",
        "host",
        "origin",
    ];
}

/// Upper bounds of request durations, in nanoseconds and as they are written: one row takes tens of microseconds,
/// and durations above ten seconds need not be distinguished.
pub(crate) const BUCKETS: [(u64, &str); 17] = [
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

pub(crate) const KINDS: [WarningKind; 3] =
    [WarningKind::MissingValue, WarningKind::UnseenCategory, WarningKind::OutOfRange];

/// The counters of one route.
#[derive(Debug, Default)]
pub(crate) struct PerRoute {
    pub(crate) statuses: [AtomicU64; Status::ALL.len()],
    /// One more than there are bounds: the last counts everything above.
    pub(crate) buckets: [AtomicU64; BUCKETS.len() + 1],
    pub(crate) nanoseconds: AtomicU64,
}

impl PerRoute {
    fn answered(&self, status: StatusCode, took: Duration) {
        if let Some(i) = Status::ALL.iter().position(|known| known.code() == status.as_u16()) {
            self.statuses[i].fetch_add(1, Relaxed);
        }
        let nanoseconds = took.as_nanos() as u64;
        let bucket = BUCKETS.iter().position(|(bound, _)| nanoseconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }
}

/// The counters of one model.
#[derive(Debug, Default)]
pub(crate) struct ModelCounts {
    pub(crate) routes: [PerRoute; N_LABELS],
    pub(crate) warnings: [AtomicU64; KINDS.len()],
    pub(crate) rows: AtomicU64,
    pub(crate) batches: [AtomicU64; BATCHES.len() + 1],
    pub(crate) reloads: [AtomicU64; 2],
    /// The reason why the last reload failed, if it did.
    pub(crate) reload_failure: Mutex<Option<String>>,
    pub(crate) feedback: Mutex<Feedback>,
    /// The counters of its shadow model.
    pub(crate) shadow: Arc<ShadowCounts>,
}

/// Sums that compare predictions with true labels that came later.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Feedback {
    /// Rows with a label.
    pub(crate) rows: u64,
    /// Rows that were predicted as the label says.
    pub(crate) correct: u64,
    /// Sum of the absolute errors of numbers.
    pub(crate) absolute_error: f64,
}

/// Upper bounds of the histogram of batch sizes.
pub(crate) const BATCHES: [usize; 6] = [1, 10, 100, 1000, 10_000, 100_000];

impl ModelCounts {
    /// Counts the predicted rows of a request.
    pub(crate) fn rows(&self, n: usize) {
        self.rows.fetch_add(n as u64, Relaxed);
        let bucket = BATCHES.iter().position(|bound| n <= *bound).unwrap_or(BATCHES.len());
        self.batches[bucket].fetch_add(1, Relaxed);
    }

    /// Counts a reload.
    pub(crate) fn reloaded(&self, ok: bool) {
        self.reloads[usize::from(!ok)].fetch_add(1, Relaxed);
    }

    /// Sets the reason why the last reload failed; `None` if it worked.
    pub(crate) fn set_reload_failure(&self, failure: Option<String>) {
        *self.reload_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Adds labels that came later.
    pub(crate) fn feedback(&self, more: Feedback) {
        let mut sum = self.feedback.lock().unwrap_or_else(PoisonError::into_inner);
        sum.rows += more.rows;
        sum.correct += more.correct;
        // Not beyond the largest number, so that the mean is one for good.
        sum.absolute_error = (sum.absolute_error + more.absolute_error).min(f64::MAX);
    }

    /// Counts warnings of one kind.
    pub(crate) fn warnings(&self, kind: WarningKind, n: usize) {
        if let Some(i) = KINDS.iter().position(|known| *known == kind) {
            self.warnings[i].fetch_add(n as u64, Relaxed);
        }
    }
}

/// The counters of the server.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) routes: [PerRoute; N_LABELS],
    pub(crate) rejected: [AtomicU64; Rejection::NAMES.len()],
    pub(crate) in_flight: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) started: SystemTime,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        Self {
            routes: Default::default(),
            rejected: Default::default(),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            started: SystemTime::now(),
        }
    }

    /// Counts a response, for a model if one answered; `label` is the slot of its route.
    pub(crate) fn answered(
        &self,
        of: Option<&ModelCounts>,
        label: usize,
        status: StatusCode,
        took: Duration,
    ) {
        of.map_or(&self.routes, |counts| &counts.routes)[label].answered(status, took);
    }

    /// Counts a rejection.
    pub(crate) fn rejected(&self, reason: Rejection) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
    }

    /// Takes one of `limit` permits for requests in flight; to be given back with [`Telemetry::leave`].
    pub(crate) fn enter(&self, limit: usize) -> bool {
        let entered = self.in_flight.fetch_add(1, Relaxed) < limit;
        if !entered {
            self.leave();
        }
        entered
    }

    /// Gives the permit of a request back.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Takes one of `limit` connection slots; to be given back with [`Telemetry::disconnect`].
    pub(crate) fn connect(&self, limit: usize) -> bool {
        let connected = self.connections.fetch_add(1, Relaxed) < limit;
        if !connected {
            self.disconnect();
        }
        connected
    }

    /// Gives a connection slot back.
    pub(crate) fn disconnect(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

/// The counters of a shadow model.
#[derive(Debug, Default)]
pub(crate) struct ShadowCounts {
    /// Rows that both predicted.
    pub(crate) rows: AtomicU64,
    /// Rows whose classes differ, or whose numbers differ by more than 1 %.
    pub(crate) disagreements: AtomicU64,
    /// Rows that were not compared because too many waited.
    pub(crate) dropped: AtomicU64,
    /// Bytes of the rows that wait.
    pub(crate) queued_bytes: AtomicUsize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_are_written_as_the_seconds_they_are() {
        assert!(BUCKETS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (nanoseconds, text) in BUCKETS {
            assert_eq!(text.parse::<f64>().unwrap(), nanoseconds as f64 / 1e9);
        }
    }
}
