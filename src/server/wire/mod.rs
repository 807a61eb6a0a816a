//! Bytes on connections: sockets, request and response bodies, streams.

pub mod body;
pub mod files;
pub mod socket;
pub mod stream;
