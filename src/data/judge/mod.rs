//! Judgements about a training table: the type of each column, the task, and mistakes that ruin models.
//!
//! [`profile`] joins the cells of a column; `useless` says which are of no use; `findings` collects notes for the user,
//! with `duplicates` and `leakage`; `dates`, `null_words`, `readings` and `spelling` say how cells were read, `rows` finds
//! lines that are no rows.
//! Imports `cells` and `split` (a sample of rows).

pub(crate) mod dates;
pub(crate) mod distinct;
pub(crate) mod duplicates;
pub(crate) mod findings;
pub(crate) mod leakage;
pub(crate) mod null_words;
pub mod profile;
pub(crate) mod readings;
pub(crate) mod rows;
pub(crate) mod spelling;
pub(crate) mod useless;
