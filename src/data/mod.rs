//! A file or a request becomes typed columns, and typed columns become numbers.
//!
//! [`csv`] opens a file ([`compression`], [`encoding`]) and reads its [`header`], [`blocks`] cuts the rest at ends of
//! records and shares the work out, [`fields`] walks through records from one of their [`ends`] to the next,
//! `parquet` files become such text, [`number`] reads numbers, [`date`] dates, [`boolean`] words such as yes and no, [`ndjson`] lines of JSON, [`load`] a
//! whole table; [`interner`] numbers distinct texts, [`digest`] takes a file's SHA-256. [`table`] holds the typed
//! columns of a training file, [`schema`] with its [`feature`]s says what each column is and turns every cell of
//! every later row into one `f64` code, [`json`] does the same for JSON, [`text`] finds the terms of a text,
//! [`recipe`] turns a row of codes into the numbers a predictor sees, [`categories`] of many levels into means of the
//! target. [`target`] is the column to predict, [`profile`] guesses types, [`split`] chooses the held-out rows, by
//! [`arrangement`] where rows belong together. [`findings`] names mistakes: [`duplicates`], [`leakage`] and smaller
//! ones. `training_set` is the rows of a training file that have a target, as typed columns.
//! Nothing in here knows of models, commands or HTTP.

pub mod cells;
pub mod judge;
pub mod prepare;
pub mod read;
pub mod split;
pub(crate) mod training_set;
