//! Results for people and programs: text tables, the JSON of a model's card.
//!
//! Nothing is computed here and nothing is predicted; [`super::model`] and [`super::predict`] made the numbers.

pub(crate) mod card;
pub(crate) mod columns;
pub(crate) mod drift;
pub(crate) mod postprocessing;
pub(crate) mod prediction;
pub(crate) mod selection;
pub(crate) mod text;
pub(crate) mod training;
