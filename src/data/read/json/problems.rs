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

impl Problem {
    /// The place for people: the pointer without its first slash and its escapes; empty for the whole text.
    pub(crate) fn place(&self) -> String {
        self.pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~")
    }
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

    /// The problems of one row, each behind the name or number of its value, and how many are not listed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| match problem.place() {
            place if place.is_empty() => problem.detail.clone(),
            place => format!("{place}: {}", problem.detail),
        };
        let more = self.total - self.listed.len();
        self.listed.iter().map(line).chain((more > 0).then(|| format!("and {more} more"))).collect()
    }
}

/// A name as a part of a JSON pointer (RFC 6901, section 3).
pub(crate) fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
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
        let last = pointer_part(&last.to_string());
        if last.is_empty() { key + &row } else { format!("{key}{row}/{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_pointer() {
        for name in ["size", "a/b", "a~b", "~1", "~0/~", "/a"] {
            let pointer = Place { key: "", row: None }.pointer(name);
            assert_eq!(Problem { pointer, detail: String::new() }.place(), name);
        }
    }

    #[test]
    fn lines_name_the_value_and_count_what_is_not_listed() {
        let mut problems = Problems::default();
        problems.push(String::new(), "not a row".into());
        problems.push("/a~1b".into(), "\"x\" is not a number".into());
        assert_eq!(problems.lines(), ["not a row", "a/b: \"x\" is not a number"]);
        (0..MAX_LISTED_PROBLEMS).for_each(|i| problems.push(format!("/{i}"), "wrong".into()));
        let lines = problems.lines();
        assert_eq!(
            (lines.len(), lines[MAX_LISTED_PROBLEMS].as_str()),
            (MAX_LISTED_PROBLEMS + 1, "and 2 more")
        );
    }
}
