//! Places in a JSON text, as the pointers of [`Problems`](crate::data::cells::problems::Problems).

use std::borrow::Cow;
use std::fmt;

use crate::names::cut;

/// A name as a part of a JSON pointer (RFC 6901, section 3); the beginning of a long one.
pub(crate) fn pointer_part(name: &str) -> String {
    cut(name).replace('~', "~0").replace('/', "~1")
}

/// The place of a row in the text.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) key: &'static str,
    pub(super) row: Option<usize>,
}

impl Place {
    /// The whole text.
    pub(super) const TEXT: Self = Self { key: "", row: None };

    pub(super) fn pointer(self, last: impl fmt::Display) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("/{}", self.key) };
        let row = self.row.map_or(Cow::Borrowed(""), |row| format!("/{row}").into());
        let last = pointer_part(&last.to_string());
        if last.is_empty() { key + &row } else { format!("{key}{row}/{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::problems::Problem;

    #[test]
    fn a_name_comes_back_from_its_pointer() {
        for name in ["size", "a/b", "a~b", "~1", "~0/~", "/a"] {
            let pointer = Place::TEXT.pointer(name);
            assert_eq!(Problem { pointer, detail: String::new() }.place(), name);
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let pointer = Place { key: "data", row: Some(3) }.pointer("a".repeat(1 << 20));
        assert_eq!(pointer, format!("/data/3/{}…", "a".repeat(60)));
    }
}
