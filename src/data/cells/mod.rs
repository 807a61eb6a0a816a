//! What a cell is, and what a column is: numbers, booleans, dates, categories and texts, and the schema that names them.

pub mod boolean;
pub mod cell;
pub mod date;
pub mod feature;
pub mod matrix;
pub mod notation;
pub mod number;
pub mod raw_table;
pub mod schema;
pub mod sparse;
pub mod table;
pub mod target;
pub mod text;
