//! The interface as an OpenAPI 3.1 document, made from the table of endpoints and the schemas of the models.

mod document;
mod model;
mod schemas;

pub(crate) use document::document;
