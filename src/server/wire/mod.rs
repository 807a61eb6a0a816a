//! Bytes on connections: sockets, request and response bodies, streams.

pub(crate) mod body;
pub(crate) mod files;
pub(crate) mod refusal;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod streams;
