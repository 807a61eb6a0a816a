//! One JSON object a line, as members that stand as they were written.

use std::borrow::Cow;

use serde_json::value::RawValue;

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
