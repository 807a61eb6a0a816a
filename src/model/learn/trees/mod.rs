//! Trees: the engine that grows one on binned columns, and forests and boosting made of it.

pub(crate) mod best_split;
pub(crate) mod bins;
pub(crate) mod boosting;
pub(crate) mod compact;
pub(crate) mod criterion;
pub(crate) mod forest;
pub(crate) mod grow;
pub(crate) mod loss;
pub(crate) mod prune;
