//! Bytes become raw columns: CSV, NDJSON, Parquet, and the JSON rows of requests.

pub mod blocks;
pub mod chunk;
pub mod compression;
pub mod csv;
pub mod digest;
pub mod encoding;
pub mod field_ends;
pub mod fields;
pub mod header;
pub mod interner;
pub mod json;
pub mod load;
pub mod ndjson;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod sniff;
pub mod source;
