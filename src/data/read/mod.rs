//! Bytes become raw columns of a table, or rows of codes for JSON. Imports `cells` alone.
//!
//! [`source`] opens a file (`compression`, `encoding`, `digest`), [`csv`] finds its dialect and header (`sniff`, `header`)
//! and makes odd layouts plain (`sniff_layout`, `layout`), [`blocks`] cuts the rest at ends of records and shares the
//! work among threads, [`fields`] walks through the records from one field end to the next (`field_ends`). `ndjson` reads
//! lines of JSON, `parquet`, `arrow` and `excel` turn such files into text (`made`).
//! [`load`] makes a whole table of all this (`origin`, `sample`, `decimal_mark`), block by block (`chunk`, `interner`). [`json`] reads the rows of a request
//! or of a line straight into codes.

#[cfg(feature = "parquet")]
pub(crate) mod arrow;
pub mod blocks;
mod chunk;
mod compression;
pub mod csv;
mod decimal_mark;
pub(crate) mod digest;
pub(crate) mod encoding;
#[cfg(feature = "excel")]
mod excel;
mod field_ends;
pub mod fields;
mod header;
mod interner;
pub mod json;
mod layout;
pub mod load;
#[cfg(any(feature = "excel", feature = "parquet"))]
mod made;
pub(crate) mod ndjson;
mod origin;
#[cfg(feature = "parquet")]
mod parquet;
mod poured;
mod ragged;
pub mod remarks;
pub(crate) mod reservoir;
mod sample;
mod sniff;
mod sniff_layout;
pub mod source;
