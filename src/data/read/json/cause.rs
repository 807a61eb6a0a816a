//! The cause of what is no JSON, where it can be told: values that Python, JavaScript and C write, and other encodings.
//! Looked for after the parser has failed, never before.

/// A byte order mark of UTF-8, which some programs write before JSON.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// A text without the byte order mark of UTF-8.
#[inline]
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF8_MARK).unwrap_or(text)
}

/// Whether a text is in UTF-16: it has the byte order mark, or every other of its first bytes is zero, as in Latin letters.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, b, c, d, ..] => (*a == 0 && *c == 0) != (*b == 0 && *d == 0),
        _ => false,
    }
}

/// The parser's message on a text that is no JSON, or the cause if it can be told.
pub(crate) fn explain(text: &[u8], error: &serde_json::Error) -> String {
    if is_utf16(text) {
        return "the text is in UTF-16, and JSON is UTF-8; send it in UTF-8".into();
    }
    let place = format!("at line {} column {}", error.line(), error.column());
    match at(text, error.line(), error.column()).filter(|_| error.is_syntax()) {
        Some((word, remedy)) => format!("{word} is not JSON; {remedy} ({place})"),
        None => error.to_string(),
    }
}

/// The word at a place, counted from 1, and what to send for it, if it is one that other languages write.
fn at(text: &[u8], line: usize, column: usize) -> Option<(String, &'static str)> {
    let line = text.split(|&byte| byte == b'\n').nth(line.checked_sub(1)?)?;
    // The parser stops behind the first byte that cannot be.
    let stop = column.checked_sub(1).filter(|&stop| stop < line.len())?;
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-' | b'_' | b'\'');
    let start = line[..stop].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let end = line[stop..].iter().position(|byte| !is_part(byte)).map_or(line.len(), |after| stop + after);
    let is_escaped = start > 0 && line[start - 1] == b'\\';
    let word = std::str::from_utf8(line.get(start..end)?).ok().filter(|_| !is_escaped)?;
    if word.starts_with('\'') {
        return Some(("'".to_string(), "strings and names have double quotes"));
    }
    let remedy = match word.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "nan" | "none" | "undefined" | "na" => "send null for a missing value",
        "infinity" | "inf" => "send a finite number, or null for a missing value",
        "null" if word != "null" => "send null for a missing value",
        "true" | "false" if word.starts_with(['T', 'F']) => "send true or false in small letters",
        _ => return None,
    };
    Some((word.to_string(), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &[u8]) -> String {
        explain(text, &serde_json::from_slice::<serde_json::Value>(text).unwrap_err())
    }

    #[test]
    fn a_word_of_another_language_is_named_with_its_remedy_and_its_place() {
        for (text, word, remedy) in [
            (r#"{"data":[5.1,NaN,1]}"#, "NaN is not JSON", "send null"),
            (r#"{"data":[nan]}"#, "nan is not JSON", "send null"),
            (r#"[-NaN]"#, "-NaN is not JSON", "send null"),
            (r#"{"a":Infinity}"#, "Infinity is not JSON", "a finite number"),
            (r#"{"a":-Infinity}"#, "-Infinity is not JSON", "a finite number"),
            ("{\"a\":1,\n\"b\": -inf}", "-inf is not JSON", "(at line 2 column"),
            (r#"{"a":None}"#, "None is not JSON", "send null"),
            (r#"{"a":NULL}"#, "NULL is not JSON", "send null"),
            (r#"{"a":undefined}"#, "undefined is not JSON", "send null"),
            (r#"{"a":True}"#, "True is not JSON", "small letters"),
            (r#"{'a':1}"#, "' is not JSON", "double quotes"),
            (r#"{"a":'x'}"#, "' is not JSON", "double quotes"),
        ] {
            let found = explained(text.as_bytes());
            assert!(found.starts_with(word) && found.contains(remedy), "{text}: {found}");
        }
    }

    #[test]
    fn what_has_no_known_cause_keeps_the_words_of_the_parser() {
        for text in [
            "{",
            "[1,]",
            "[nope]",
            "",
            "[1 2]",
            "[\"NaN\" 1]",
            "[1]x",
            "{\"a\":nul}",
            "[\"NaN\"",
            "[\"NaN\"x]",
            "[\"\\NaN\"]",
            "[\"it\\'s\"]",
        ] {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            assert_eq!(explain(text.as_bytes(), &error), error.to_string(), "{text}");
        }
    }

    #[test]
    fn utf16_is_known_with_and_without_its_mark() {
        let utf16 = |mark: &[u8], big: bool, text: &str| -> Vec<u8> {
            let units = text
                .encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
            mark.iter().copied().chain(units).collect()
        };
        for (mark, big) in [(&[0xff, 0xfe][..], false), (&[0xfe, 0xff], true), (&[], false), (&[], true)] {
            let found = explained(&utf16(mark, big, "{\"data\":[1]}"));
            assert!(found.contains("UTF-16"), "{mark:?}: {found}");
        }
        assert!(!is_utf16(b"{\"a\":1}") && !is_utf16(b"[1]") && !is_utf16(b"\0\0\0\0"));
        assert_eq!(without_mark(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(without_mark(b"{}"), b"{}");
    }
}
