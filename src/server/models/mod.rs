//! The models that are served: sources, reload, shadow models.

pub mod reload;
pub mod shadow;
pub mod sources;
