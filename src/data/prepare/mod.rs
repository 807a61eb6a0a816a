//! Typed columns become numbers: the fitted recipe, encodings of categories and vocabularies of texts.

pub mod categories;
pub mod recipe;
pub mod vocabulary;
