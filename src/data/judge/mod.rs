//! Judgements about a training table: the type of each column, the task, and mistakes that ruin models.
//!
//! [`profile`] joins the cells of a column; `useless` says which are of no use; `findings` collects notes for the user,
//! with `duplicates`, `leakage` and `readings`.
//! Imports `cells` and `split` (a sample of rows).

pub(crate) mod distinct;
pub(crate) mod duplicates;
pub(crate) mod findings;
pub(crate) mod leakage;
pub mod profile;
pub(crate) mod readings;
pub(crate) mod useless;
