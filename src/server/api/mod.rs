//! The HTTP interface: routes, dialects, and how a request becomes a response.

pub mod answering;
pub mod error;
pub mod mlflow;
pub mod openapi;
pub mod routes;
pub mod tensor;
pub mod v2;
