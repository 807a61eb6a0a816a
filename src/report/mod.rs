//! Results for people and programs: text tables, charts, the HTML report, the JSON of a model's card.
//!
//! Nothing is computed here and nothing is predicted; [`super::model`] and [`super::predict`] made the numbers.

pub(crate) mod card;
pub(crate) mod charts;
pub(crate) mod columns;
pub(crate) mod detail;
pub(crate) mod difference;
pub(crate) mod drift;
pub(crate) mod html;
pub(crate) mod junit;
pub(crate) mod markup;
pub(crate) mod plots;
pub(crate) mod postprocessing;
pub(crate) mod prediction;
pub(crate) mod selection;
pub(crate) mod text;
pub(crate) mod training;
