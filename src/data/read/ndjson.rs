//! NDJSON, one JSON object a line, as members whose values stay as they were written.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::interner::Interner;
use super::json::{Scalar, array_member};
use crate::data::cells::list;
use crate::data::cells::raw_table::RawColumn;
use crate::names::quote;

/// The members of an object in their order, values as they were written.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Visitor)
    }
}

/// The cell that a JSON value is, as text: a number and a boolean as they are written, a string without its
/// quotes, nothing for `null`, an array as [`list::array`] keeps it.
///
/// # Errors
/// An object, or an array of more than single values.
pub(crate) fn cell_text(value: &RawValue) -> Result<Cow<'_, str>, String> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(|e| e.to_string()),
        Some(b'[') => {
            let members: Vec<Scalar> = serde_json::from_str(raw).map_err(|e| e.to_string())?;
            let members: Option<Vec<String>> = members.into_iter().map(array_member).collect();
            members.map(|members| list::array(members).into()).ok_or_else(|| list::NO_VALUE.into())
        }
        Some(b'{') => Err(list::NO_VALUE.into()),
        Some(b'n') => Ok("".into()),
        _ => Ok(raw.into()),
    }
}

/// The cells of members that no object at the beginning of a table has: row and text.
#[derive(Debug, Default)]
pub(crate) struct LateMembers {
    by_member: Vec<(String, Vec<(usize, String)>)>,
    places: HashMap<String, usize>,
}

/// What is wrong with a late member.
#[derive(Debug, PartialEq)]
pub(crate) enum LateFault {
    /// The row has one of that name already.
    Twice,
    /// There are too many names.
    TooMany,
}

impl LateMembers {
    /// Adds a cell.
    ///
    /// # Errors
    /// The row has one of that name already; more names than become columns.
    pub(crate) fn push(&mut self, name: &str, row: usize, text: &str) -> Result<(), LateFault> {
        let place = match self.places.get(name) {
            Some(&place) => place,
            None if self.by_member.len() == MAX_LATE => return Err(LateFault::TooMany),
            None => {
                self.places.insert(name.into(), self.by_member.len());
                self.by_member.push((name.into(), Vec::new()));
                self.by_member.len() - 1
            }
        };
        let cells = &mut self.by_member[place].1;
        if cells.last().is_some_and(|(last, _)| *last == row) {
            return Err(LateFault::Twice);
        }
        cells.push((row, text.trim().into()));
        Ok(())
    }

    /// Removes all of them.
    pub(crate) fn clear(&mut self) {
        self.by_member.clear();
        self.places.clear();
    }
}

/// The rest of the message about too many late members, of which `name` is one.
pub(crate) fn too_many_late(name: &str) -> String {
    format!(
        "has more than {MAX_LATE} members that none of its first lines has, such as {}; is a value written where its \
         name should be?",
        quote(name)
    )
}

/// The columns that late members make, in the order of their first rows; rows without one have no value.
#[derive(Debug, Default)]
pub(crate) struct LateColumns {
    names: Vec<String>,
    columns: Vec<(Vec<u32>, Interner)>,
    by_name: HashMap<String, usize>,
}

/// More names than this are not columns: values are written as names.
pub(super) const MAX_LATE: usize = 1000;

impl LateColumns {
    /// Takes the members of the rows that follow `before`.
    ///
    /// # Errors
    /// More than a thousand names.
    pub(crate) fn take(&mut self, late: &mut LateMembers, before: usize) -> Result<(), String> {
        late.places.clear();
        for (name, cells) in late.by_member.drain(..) {
            let index = *self.by_name.entry(name).or_insert_with_key(|name| {
                let mut levels = Interner::default();
                levels.code("");
                self.names.push(name.clone());
                self.columns.push((Vec::new(), levels));
                self.names.len() - 1
            });
            if index >= MAX_LATE {
                return Err(too_many_late(&self.names[index]));
            }
            let (codes, levels) = &mut self.columns[index];
            for (row, text) in cells {
                // The first level is that of no value.
                codes.resize(before + row, 0);
                codes.push(levels.code(&text));
            }
        }
        Ok(())
    }

    /// Names and columns of `n_rows`.
    pub(crate) fn finish(self, n_rows: usize) -> impl Iterator<Item = (String, RawColumn)> {
        self.names.into_iter().zip(self.columns).map(move |(name, (mut codes, levels))| {
            codes.resize(n_rows, 0);
            (name, RawColumn::Levels { codes, levels: levels.into_strings() })
        })
    }
}

/// Whether a file is NDJSON: by its name, or because its first line is a JSON object (`{`) or an array.
pub(crate) fn is_ndjson(path: &str, start: &[u8]) -> bool {
    let name = path.strip_suffix(".gz").or(path.strip_suffix(".zst")).unwrap_or(path);
    let first_line = start.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    [".ndjson", ".jsonl", ".json"].iter().any(|end| name.ends_with(end))
        || first_line.starts_with(b"{")
        || serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(first_line).is_ok()
}

/// The lines of a block with their numbers, blank ones skipped.
pub(crate) fn lines(block: &super::blocks::Block) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = block.bytes.split(|&byte| byte == b'\n');
    lines.zip(block.line..).map(|(line, n)| (n, line)).filter(|(_, line)| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::blocks::Block;
    use super::*;
    use crate::data::cells::cell::{Cell, NullTokens};

    #[test]
    fn values_become_the_text_of_a_cell_and_what_holds_several_is_refused() {
        let text = |json: &str| {
            let value: Box<RawValue> = serde_json::from_str(json).unwrap();
            cell_text(&value).map(Cow::into_owned)
        };
        for (json, expected) in
            [("1.50", "1.50"), ("1e3", "1e3"), ("true", "true"), ("null", ""), (r#""a\u0062\"""#, "ab\"")]
        {
            assert_eq!(text(json), Ok(expected.into()), "{json}");
        }
        assert_eq!(text(r#"["x", 1.50, null]"#), Ok(list::array(["x", "1.5", ""])));
        assert!(text("[[1]]").is_err() && text("{}").is_err());
    }

    #[test]
    fn a_file_is_ndjson_by_its_name_or_by_its_first_line() {
        for (path, start, expected) in [
            ("a.csv", "x,y\n1,2\n", false),
            ("a.csv", "{\"x\":1}\n", true),
            ("-", " [1,2]\n", true),
            ("-", "[a],b\n", false),
            ("a.ndjson", "x\n", true),
            ("a.jsonl.gz", "", true),
        ] {
            assert_eq!(is_ndjson(path, start.as_bytes()), expected, "{path} {start}");
        }
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        let block = Block::new(b"{}\n\n \r\n{}".to_vec(), 5);
        assert_eq!(lines(&block).map(|(line, _)| line).collect::<Vec<_>>(), [5, 8]);
    }

    #[test]
    fn late_members_make_columns_that_are_missing_in_all_other_rows() {
        let mut columns = LateColumns::default();
        let mut late = LateMembers::default();
        late.push("b", 1, " x ").unwrap();
        assert_eq!(late.push("b", 1, "y"), Err(LateFault::Twice));
        late.clear();
        late.push("b", 1, " x ").unwrap();
        columns.take(&mut late, 2).unwrap();
        late.push("a", 0, "1").unwrap();
        late.push("b", 0, "x").unwrap();
        columns.take(&mut late, 4).unwrap();
        let nulls = NullTokens::default();
        let found: Vec<(String, RawColumn)> = columns.finish(6).collect();
        let missing = |n| vec![Cell::Missing; n];
        assert_eq!((&*found[0].0, &*found[1].0), ("b", "a"), "in the order of their first rows");
        let x = Cell::Text("x");
        let wanted = [missing(3), vec![x, x], missing(1)].concat();
        assert_eq!(found[0].1.cells(&nulls).collect::<Vec<_>>(), wanted);
        assert_eq!(found[1].1.cells(&nulls).nth(4), Some(Cell::Text("1")));
    }

    #[test]
    fn more_than_a_thousand_late_names_are_an_error_in_one_block_and_in_several() {
        let mut late = LateMembers::default();
        for i in 0..MAX_LATE {
            late.push(&i.to_string(), i % 3, "1").unwrap();
        }
        assert_eq!(late.push("one more", 4, "1"), Err(LateFault::TooMany), "the block holds no more");
        late.push("7", 4, "1").unwrap();
        let mut columns = LateColumns::default();
        columns.take(&mut late, 0).unwrap();
        late.push("one more", 0, "1").unwrap();
        let message = columns.take(&mut late, 5).unwrap_err();
        assert!(message.contains("more than 1000 members") && message.contains("\"one more\""), "{message}");
        let message = too_many_late(&"n".repeat(100_000));
        assert!(message.len() < 300 && message.contains("n\"…"), "{message}");
    }
}
