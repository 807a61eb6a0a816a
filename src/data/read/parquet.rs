//! Parquet files as batches of rows, which [`super::arrow`] turns into text.
//!
//! Batch by batch of rows, so memory is bounded by the pages of a row group and not by the file. Behind the cargo
//! feature `parquet`; [`super::source::Input`] is the one caller.

use std::fs::File;

use anyhow::{Context, Result, anyhow, bail};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

use super::arrow::BatchText;
use crate::panics::caught;

/// Rows that become text together.
const BATCH_ROWS: usize = 1024;

/// Opens a file and looks at its schema.
///
/// # Errors
/// A damaged file; a column that is no column of single values, by name; a compression that is not known.
pub(super) fn open(path: &str) -> Result<BatchText> {
    // The crate (60.1) panics on some damaged files: its checks are not everywhere that its arithmetic is.
    caught(|| open_sound(path)).map_err(|panic| anyhow!("{panic}")).with_context(damaged(path))?
}

fn open_sound(path: &str) -> Result<BatchText> {
    let damaged = damaged(path);
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).with_context(&damaged)?;
    let schema = builder.schema().clone();
    for column in builder.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let codec = column.compression();
        if !matches!(
            codec,
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::GZIP(_)
        ) {
            bail!(
                "{path}, column {:?}: {codec} compression is not read; write the file with snappy, zstd or gzip",
                column.column_path().string()
            );
        }
    }
    let batches = builder.with_batch_size(BATCH_ROWS).build().with_context(&damaged)?;
    BatchText::new(&schema, Box::new(batches), path, "Parquet file")
}

fn damaged(path: &str) -> impl Fn() -> String + '_ {
    move || format!("{path} is not a readable Parquet file")
}
