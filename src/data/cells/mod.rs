//! The ground of data: cells, the types of columns, columns as they were read and typed, and the schema.
//!
//! Imports no other room. From the bottom: [`cell`] and the readers of single values (`number`, `boolean`, `date`,
//! `text`, `unit`, `amount`, `duration`), `notation`, [`raw_table`], `quantity`, [`table`], `feature`, [`target`], [`schema`]. [`matrix`] lies here too, because the
//! schema fills its rows, and [`problems`], because it finds them.

pub(crate) mod amount;
pub(crate) mod boolean;
pub mod cell;
pub(crate) mod date;
mod date_text;
mod date_words;
pub(crate) mod duration;
pub(crate) mod feature;
pub(crate) mod list;
pub mod matrix;
pub(crate) mod notation;
pub(crate) mod number;
pub(crate) mod pair;
pub mod problems;
pub(crate) mod quantity;
pub mod raw_table;
pub mod schema;
pub(crate) mod sparse;
pub mod table;
pub mod target;
pub(crate) mod text;
pub(crate) mod unit;
