//! The choice of held-out rows, folds and samples.
//!
//! [`arrangement`] reads from a column of the table whether rows belong together or come before others, and chooses
//! among the three kinds of splits: [`stratified`] by chance, [`groups`], [`timeline`]. Called by training and by the
//! evaluation, which has to find the same rows again.

pub(crate) mod arrangement;
pub(crate) mod groups;
pub(crate) mod stratified;
pub(crate) mod timeline;

/// Row indices in ascending order, every row in exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows to evaluate on.
    pub test: Vec<usize>,
}
