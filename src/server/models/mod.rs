//! The models that are served: files, prepared models, reloads, shadow models.

pub(crate) mod journal;
pub(crate) mod served;
pub(crate) mod shadow;
pub(crate) mod sources;
