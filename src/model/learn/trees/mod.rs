//! Trees: one tree, forests, gradient boosting. [`forest`] and [`boosting`] are the doors of the family.
//!
//! ```text
//! bins ─▶ fixed_point / newton ─▶ grow ─▶ prune ─▶ compact ─▶ predictor::trees
//!                                  │
//!                                  ├ engine    settings; questions about a node
//!                                  ├ partition the rows of a node
//!                                  ├ histogram all columns at once
//!                                  └ search    one column at a time; random_cuts
//! ```
//!
//! The search for a split ([`best_split`]) reads sums of rows ([`criterion`]: [`moments`], [`classes`]), and keeps to bounds ([`monotonic`]).

pub(crate) mod best_split;
pub(crate) mod bin_set;
pub(crate) mod bins;
pub(crate) mod booster;
pub(crate) mod boosting;
pub(crate) mod classes;
pub(crate) mod compact;
pub(crate) mod criterion;
pub(crate) mod engine;
pub(crate) mod fixed_point;
pub(crate) mod forest;
pub(crate) mod grow;
pub(crate) mod histogram;
pub(crate) mod hyperparameters;
pub(crate) mod loss;
pub(crate) mod moments;
pub(crate) mod monotonic;
pub(crate) mod newton;
pub(crate) mod out_of_bag;
pub(crate) mod partition;
pub(crate) mod prune;
pub(crate) mod random_cuts;
pub(crate) mod rounds;
pub(crate) mod search;
pub(crate) mod tree;
