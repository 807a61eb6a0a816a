//! Request bodies that were sent as something else than the JSON they are read as: the cause and the remedy, by their
//! first bytes. Looked for after the parser has failed, never before.

use crate::data::read::json::{is_utf16, without_mark};

/// Bytes of a body that are looked at.
const LOOKED_AT: usize = 4096;

/// The cause why a body is no JSON, if its first bytes tell.
pub(crate) fn of_body(body: &[u8]) -> Option<&'static str> {
    let body = without_mark(body);
    let start = body[..body.len().min(LOOKED_AT)].trim_ascii_start();
    if is_utf16(body) {
        return Some("the body is in UTF-16, and JSON is UTF-8; send it in UTF-8");
    }
    if start.starts_with(b"\x1f\x8b") || start.starts_with(b"\x28\xb5\x2f\xfd") {
        return Some("the body is compressed (gzip or zstd); send it uncompressed");
    }
    if start.starts_with(b"PK\x03\x04") {
        return Some(
            "the body is a zip archive or an Excel file; save the table as CSV and send it as text/csv",
        );
    }
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    if first.is_empty() {
        return None;
    }
    if first.starts_with('{') {
        let is_object = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
        let second = text.lines().nth(1).unwrap_or_default().trim_start();
        return (is_object(first) && second.starts_with('{')).then_some(
            "the body has more than one JSON value; rows of JSON, one a line, are sent with Content-Type: \
             application/x-ndjson",
        );
    }
    if first.starts_with("--") && text.contains("Content-Disposition: form-data") {
        return Some(
            "the body is a multipart form, as curl -F sends it; send the rows alone, as JSON or, with Content-Type: \
             text/csv, as CSV (curl --data-binary @FILE)",
        );
    }
    if first.starts_with(['[', '"', '<']) {
        return None;
    }
    let is_pair = |part: &str| part.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    if !first.contains([' ', ',', ';', '\t']) && first.split('&').all(is_pair) {
        return Some(
            "the body is a form (application/x-www-form-urlencoded), as curl -d NAME=VALUE and HTML forms send it; send \
             JSON: {\"features\":{\"NAME\":VALUE}}",
        );
    }
    let is_table = first.contains([',', ';', '\t', '|']) || text.lines().count() > 1;
    is_table.then_some(
        "the body looks like CSV, which is sent with Content-Type: text/csv; without it, JSON is read",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_something_else_than_json_is_called_what_it_is() {
        for (body, wanted) in [
            (&b"length,width\n5.1,1.2\n"[..], "text/csv"),
            (b"5.1;1,2\n", "text/csv"),
            (b"\xef\xbb\xbflength\twidth\n5.1\t1.2\n", "text/csv"),
            (b"length\n5.1\n", "text/csv"),
            (b"length=5.1&width=1.2", "a form"),
            (b"length=5.1", "a form"),
            (b"--x1\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\na,b\r\n--x1--", "multipart"),
            (b"\xff\xfe{\0\"\0", "UTF-16"),
            (b"\x1f\x8b\x08\0\0\0", "compressed"),
            (b"PK\x03\x04....", "Excel"),
            (b"{\"size\":1}\n{\"size\":2}\n", "x-ndjson"),
        ] {
            let found = of_body(body).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(body)));
            assert!(found.contains(wanted), "{:?}: {found}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_body_that_begins_as_json_is_left_to_the_parser() {
        for body in [
            "",
            "  ",
            "{",
            "{\"a\":1,}",
            "{\"a\":\n{\"b\":NaN}}",
            "[1,",
            "\"a,b",
            "nonsense",
            "<html>\n<a=b>",
        ] {
            assert_eq!(of_body(body.as_bytes()), None, "{body}");
        }
    }
}
