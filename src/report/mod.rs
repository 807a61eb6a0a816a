//! One result, many faces: the JSON answer, rows of a file with their predictions, text tables.
//!
//! Nothing is computed here; [`crate::model`] made the numbers.

pub mod answer;
pub mod card;
pub mod columns;
pub mod rows;
pub mod selection;
pub mod text;
