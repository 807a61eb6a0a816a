//! Codes become the numbers that a predictor sees, by a [`recipe`] that is fitted on the training rows.
//!
//! [`categories`] turns levels into slots and means of the target, `vocabulary` the terms of texts into slots. Imports
//! `cells` and `split` (folds of the target means).

pub mod categories;
pub mod recipe;
pub(crate) mod vocabulary;
