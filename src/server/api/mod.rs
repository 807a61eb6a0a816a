//! The HTTP interface: the table of endpoints, the path of a request, and the protocols.

pub(crate) mod answering;
mod cause;
pub(crate) mod exposition;
pub(crate) mod feedback;
pub(crate) mod mlflow;
pub(crate) mod native;
pub(crate) mod observation;
pub(crate) mod openapi;
pub(crate) mod page;
mod rank;
pub(crate) mod router;
pub(crate) mod tensor;
pub(crate) mod v2;
mod v2_outputs;
