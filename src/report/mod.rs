//! One result, many faces: the JSON answer, rows of a file with their predictions, text tables.
//!
//! Nothing is computed here; [`super::model`] made the numbers.

pub mod card;
pub mod columns;
pub mod selection;
pub mod text;
