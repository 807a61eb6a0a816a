//! Which rows are fitted and which are held out.

pub mod arrangement;
pub mod folds;
