//! Metrics, logs, feedback and traces.

pub(crate) mod feedback;
pub mod log;
pub(crate) mod profile;
pub mod spool;
pub(crate) mod telemetry;
pub(crate) mod trace;
