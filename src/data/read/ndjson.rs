//! One JSON object a line, as members that stand as they were written.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::interner::Interner;
use crate::data::cells::raw_table::RawColumn;

/// The members of an object in their order, values as they were written.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

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
/// quotes, nothing for `null`.
///
/// # Errors
/// An array or an object.
pub fn cell_text(value: &RawValue) -> Result<Cow<'_, str>, String> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(|e| e.to_string()),
        Some(b'{' | b'[') => Err("an array or an object is not a value".into()),
        Some(b'n') => Ok("".into()),
        _ => Ok(raw.into()),
    }
}

/// Members that no object has at the beginning of a table have their cells listed: row and text.
#[derive(Debug, Default)]
pub struct LateMembers(Vec<(String, Vec<(usize, String)>)>);

impl LateMembers {
    /// Adds a cell; `false` where the row has one of that name.
    pub fn push(&mut self, name: &str, row: usize, text: &str) -> bool {
        let place = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.into(), Vec::new()));
            self.0.len() - 1
        });
        let cells = &mut self.0[place].1;
        let is_new = cells.last().is_none_or(|(last, _)| *last != row);
        cells.push((row, text.trim().into()));
        is_new
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The columns that late members make, in the order in which they are met; rows without one have no value.
#[derive(Debug, Default)]
pub struct LateColumns {
    names: Vec<String>,
    columns: Vec<(Vec<u32>, Interner)>,
    by_name: HashMap<String, usize>,
}

/// More of them are not columns: a name is written where a value should be.
const MAX_LATE: usize = 1000;

impl LateColumns {
    /// Takes the members of the rows that follow `before`.
    ///
    /// # Errors
    /// More than a thousand names.
    pub fn take(&mut self, late: &mut LateMembers, before: usize) -> Result<(), String> {
        for (name, cells) in late.0.drain(..) {
            let index = *self.by_name.entry(name).or_insert_with_key(|name| {
                let mut levels = Interner::default();
                levels.code("");
                self.names.push(name.clone());
                self.columns.push((Vec::new(), levels));
                self.names.len() - 1
            });
            if index >= MAX_LATE {
                return Err(format!(
                    "has more than {MAX_LATE} members that none of its first lines has, such as {:?}; is a value \
                     written where its name should be?",
                    self.names[index]
                ));
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
    pub fn finish(self, n_rows: usize) -> impl Iterator<Item = (String, RawColumn)> {
        self.names.into_iter().zip(self.columns).map(move |(name, (mut codes, levels))| {
            codes.resize(n_rows, 0);
            (name, RawColumn::Levels { codes, levels: levels.into_strings() })
        })
    }
}

/// Whether a file is NDJSON: by its name, or because its first line is a JSON object (`{`) or an array.
pub fn is_ndjson(path: &str, start: &[u8]) -> bool {
    let name = path.strip_suffix(".gz").or(path.strip_suffix(".zst")).unwrap_or(path);
    let first_line = start.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    [".ndjson", ".jsonl", ".json"].iter().any(|end| name.ends_with(end))
        || first_line.starts_with(b"{")
        || serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(first_line).is_ok()
}

/// The lines of a block with their numbers, blank ones left out.
pub fn lines(block: &super::blocks::Block) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = block.bytes.split(|&byte| byte == b'\n');
    lines.zip(block.line..).map(|(line, n)| (n, line)).filter(|(_, line)| !line.trim_ascii().is_empty())
}
