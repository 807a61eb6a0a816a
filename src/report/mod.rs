//! Results for people and programs: text tables, the JSON of a model's card.
//!
//! Nothing is computed here and nothing is predicted; [`super::model`] and [`super::predict`] made the numbers.

pub mod card;
pub mod columns;
pub mod prediction;
pub mod selection;
pub mod text;
