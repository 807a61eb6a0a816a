//! What the server tells about itself: metrics, logs, feedback, traces.

pub mod feedback;
pub mod journal;
pub mod log;
pub mod observation;
pub mod profile;
pub mod spool;
pub mod telemetry;
pub mod trace;
