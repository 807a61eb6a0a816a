//! The choice of held-out rows, folds and samples.
//!
//! [`arrangement`] reads from a column of the table whether rows belong together or come before others, and chooses
//! among the three kinds of splits: [`stratified`] by chance, [`groups`], [`timeline`]. Called by training and by the
//! evaluation, which has to find the same rows again.

pub mod arrangement;
pub mod groups;
pub mod stratified;
pub mod timeline;

/// The choice of rows under its old path.
pub mod folds {
    pub use super::Split;
    pub use super::groups::{fold_groups, hold_out_groups};
    pub use super::stratified::{hold_out, hold_out_stratified};
    pub use crate::random::{generator, shuffle};
}

/// Row indices in ascending order, every row in exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows to evaluate on.
    pub test: Vec<usize>,
}
