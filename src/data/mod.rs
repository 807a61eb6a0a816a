//! A file or a request becomes typed columns, and those become the numbers that a predictor sees.
//!
//! Five rooms; each imports only rooms above it in this table:
//!
//! | room | task | imports |
//! |---|---|---|
//! | [`cells`] | the ground: cells, column types, columns as read and typed, the schema of a model | – |
//! | [`read`] | CSV, NDJSON, Parquet and the JSON of requests become raw columns or rows of codes | `cells` |
//! | `split` | held-out rows and folds: stratified, by group, in order of time | `cells` |
//! | [`judge`] | the type of each column and the task are guessed, mistakes in a table are found | `cells`, `split` |
//! | [`prepare`] | rows of codes become rows of numbers | `cells`, `split` |
//!
//! The path of one value, the same for training, evaluation, files and HTTP requests:
//!
//! ```text
//! text or JSON ─ NullTokens::cell ─▶ Cell ─ Feature::code ─▶ f64 code ─ Recipe::encode_block ─▶ slots
//! ```
//!
//! Whole training files take a shorter way to the same codes: [`read::load`] fills a [`RawTable`](cells::raw_table::RawTable)
//! on all cores, [`Column::parse`](cells::table::Column::parse) types it, [`Schema::codes`](cells::schema::Schema::codes)
//! gathers the rows.
//!
//! `training_set`, above the rooms, is the rows of a training file that have a target, as typed columns.
//!
//! Nothing in here knows of models, commands or HTTP.

pub mod cells;
pub mod judge;
pub mod prepare;
pub mod read;
pub(crate) mod split;
pub(crate) mod training_set;
