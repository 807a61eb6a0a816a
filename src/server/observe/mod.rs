//! Metrics, logs, feedback and traces.

pub(crate) mod exposition;
pub(crate) mod feedback;
pub(crate) mod journal;
pub mod log;
pub(crate) mod observation;
pub(crate) mod profile;
pub mod spool;
pub(crate) mod telemetry;
pub(crate) mod trace;
