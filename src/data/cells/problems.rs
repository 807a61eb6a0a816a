//! Names and values that do not fit a schema, each with a pointer to its place: the first are listed, all are counted.
//!
//! Filled by the readers of rows. A client may send millions of wrong values, so the text of a problem is made only if it
//! is listed.

/// More problems than this are counted, not listed.
pub(crate) const MAX_LISTED_PROBLEMS: usize = 100;

/// A value that does not fit, and its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place; empty for the whole text.
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

/// Problems in the order they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub listed: Vec<Problem>,
    /// How many there are.
    pub total: usize,
    /// How many may be listed.
    room: usize,
}

impl Default for Problems {
    /// None so far, of which the first 100 will be listed.
    fn default() -> Self {
        Self::with_room(MAX_LISTED_PROBLEMS)
    }
}

impl Problems {
    /// None so far, of which the first `room` will be listed.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { listed: Vec::new(), total: 0, room }
    }

    /// One problem.
    pub(crate) fn one(pointer: String, detail: String) -> Self {
        let mut problems = Self::default();
        problems.push(pointer, detail);
        problems
    }

    /// Counts a problem, and lists it if it is one of the first.
    pub fn push(&mut self, pointer: String, detail: String) {
        self.push_with(|| (pointer, detail));
    }

    /// As [`Problems::push`]; pointer and detail are made only if they are listed.
    pub(crate) fn push_with(&mut self, problem: impl FnOnce() -> (String, String)) {
        self.total += 1;
        if self.room() > 0 {
            let (pointer, detail) = problem();
            self.listed.push(Problem { pointer, detail });
        }
    }

    /// How many more may be listed.
    pub(crate) fn room(&self) -> usize {
        self.room - self.listed.len()
    }

    /// Appends those of `others`.
    pub fn extend(&mut self, others: Self) {
        self.total += others.total;
        self.listed.extend(others.listed);
        self.listed.truncate(self.room);
    }

    /// Each problem behind the name or number of its value, and how many are not listed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| match problem.place() {
            place if place.is_empty() => problem.detail.clone(),
            place => format!("{place}: {}", problem.detail),
        };
        let more = self.total - self.listed.len();
        self.listed.iter().map(line).chain((more > 0).then(|| format!("and {more} more"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_text_of_a_problem_that_is_not_listed_is_not_made() {
        let mut problems = Problems::with_room(2);
        let mut n_made = 0;
        for i in 0..5 {
            problems.push_with(|| {
                n_made += 1;
                (format!("/{i}"), "wrong".into())
            });
        }
        assert_eq!((problems.total, problems.listed.len(), n_made), (5, 2, 2));
        problems.extend(Problems::one("/x".into(), "wrong".into()));
        assert_eq!((problems.total, problems.listed.len(), problems.room()), (6, 2, 0));
    }
}
