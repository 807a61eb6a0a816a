//! A file or a request becomes typed columns, and typed columns become numbers.
//!
//! [`csv`] reads records, [`table`] holds the typed columns of a training file, [`schema`] says what each
//! column is and turns every cell of every later row into one `f64` code, [`json`] does the same for JSON,
//! [`text`] finds the terms of a text, [`recipe`] turns a row of codes into the numbers a predictor sees. [`target`]
//! is the column to predict, [`profile`] guesses types, [`split`] chooses the held-out rows.
//! Nothing in here knows of models, commands or HTTP.

pub mod csv;
pub mod json;
pub mod matrix;
pub mod profile;
pub mod recipe;
pub mod schema;
pub mod sparse;
pub mod split;
pub mod table;
pub mod target;
pub mod text;
pub mod vocabulary;
