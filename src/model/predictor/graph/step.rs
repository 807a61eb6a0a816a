//! What the operators know of a run: their inputs, what is left of its work, and the versions of operators.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::tensor::{Tensor, Value};

/// Elements and products that a run may work out for each row: a graph within a graph is run as often as its input is long.
const WORK: u64 = 1 << 28;

/// What is left of the work that a run may do.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    /// For a run of so many rows.
    pub(crate) fn of_rows(n: usize) -> Self {
        Self(Cell::new(WORK.saturating_mul(1 + n as u64)))
    }

    /// Takes from the budget.
    ///
    /// # Errors
    /// More than is left.
    pub(crate) fn spend(&self, work: usize) -> Result<()> {
        match self.0.get().checked_sub(work as u64) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => bail!("the graph takes too much work"),
        }
    }
}

/// The inputs of a step; those that are left out are `None`.
pub(crate) struct Inputs<'a> {
    pub(crate) values: &'a [Option<&'a Value>],
    pub(crate) budget: &'a Budget,
}

impl<'a> Inputs<'a> {
    /// An input that has to be there.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn get(&self, i: usize) -> Result<&'a Value> {
        self.optional(i).with_context(|| format!("input {i} is missing"))
    }

    /// An input that may be left out.
    pub(crate) fn optional(&self, i: usize) -> Option<&'a Value> {
        self.values.get(i).copied().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// What a step does.
pub(crate) type Run = Box<dyn Fn(&Inputs) -> Result<Vec<Value>> + Send + Sync>;

/// One value as the only output.
pub(crate) fn one(tensor: Tensor) -> Result<Vec<Value>> {
    Ok(vec![Arc::new(tensor)])
}

/// What a graph within a graph needs of that around it.
#[derive(Default)]
pub(crate) struct Outer<'a> {
    pub(crate) opsets: Option<&'a BTreeMap<String, i64>>,
    /// Whether names that are not its own are those of a graph around it.
    pub(crate) is_inner: bool,
}

impl Outer<'_> {
    /// The version of a set of operators.
    pub(crate) fn version(&self, domain: &str) -> i64 {
        self.opsets.and_then(|opsets| opsets.get(domain)).copied().unwrap_or(1)
    }
}
