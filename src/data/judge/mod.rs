//! Judgements about a training table: the type of each column, the task, and mistakes that ruin models.
//!
//! [`profile`] joins the cells of a column; `findings` collects notes for the user, with `duplicates` and `leakage`, and
//! `dates` and `spelling` say how they were read.
//! Imports `cells` and `split` (a sample of rows).

pub(crate) mod dates;
pub(crate) mod duplicates;
pub(crate) mod findings;
pub(crate) mod leakage;
pub mod profile;
pub(crate) mod spelling;
