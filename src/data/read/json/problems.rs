//! Values of a JSON text that do not fit the schema, each with a pointer to its place.

use std::fmt;

/// More problems than this are counted, not listed.
pub(crate) const MAX_LISTED_PROBLEMS: usize = 100;

/// A value that does not fit, and its place in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place.
    pub pointer: String,
    /// The fact and, if there is one, the remedy.
    pub detail: String,
}

/// Problems in the order they were found; the first 100 are listed, all are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub listed: Vec<Problem>,
    /// How many there are.
    pub total: usize,
}

impl Problems {
    /// Counts a problem, and lists it if it is one of the first.
    pub fn push(&mut self, pointer: String, detail: String) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED_PROBLEMS {
            self.listed.push(Problem { pointer, detail });
        }
    }

    /// Appends those of `others`.
    pub fn extend(&mut self, others: Self) {
        self.total += others.total;
        self.listed.extend(others.listed);
        self.listed.truncate(MAX_LISTED_PROBLEMS);
    }
}

/// The place of a row in the text.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) key: &'static str,
    pub(super) row: Option<usize>,
}

impl Place {
    pub(super) fn pointer(self, last: impl fmt::Display) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("/{}", self.key) };
        let row = self.row.map_or(String::new(), |row| format!("/{row}"));
        let last = last.to_string().replace('~', "~0").replace('/', "~1");
        if last.is_empty() { key + &row } else { format!("{key}{row}/{last}") }
    }
}
