//! mlapi
pub mod data;
pub mod metrics;
pub mod model;
pub mod report;
pub mod server;
