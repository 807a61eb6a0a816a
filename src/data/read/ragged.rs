//! The message for a record with a wrong number of fields: what the line is, as far as its text tells, and the flag that
//! helps.
//!
//! Called by the readers of training files and of rows to predict.

use super::fields::{Dialect, Record};
use super::layout::{is_border, is_count};

/// A table begins by this line, whatever stands above it.
const MAX_TITLES: u64 = 30;

/// The message for a record that is not of `n_columns` fields, or whose quote is never closed; `bytes` are those of its
/// block.
pub fn ragged(source: &str, record: &Record, n_columns: usize, bytes: &[u8], dialect: Dialect) -> String {
    let Record { line, n_fields, open, .. } = record;
    if *open {
        return format!("{source} line {line}: {}", never_closed());
    }
    let text = bytes.get(record.place.clone()).unwrap_or_default();
    let remedy = remedy(record, n_columns, text, dialect);
    let fields = if *n_fields == 1 { "field" } else { "fields" };
    format!("{source} line {line}: {n_fields} {fields} where the first line has {n_columns}; {remedy}")
}

/// What is wrong with a quote that has no end.
pub(super) fn never_closed() -> &'static str {
    "a quote is opened in this record and never closed; if quotes are ordinary characters there, --quote none"
}

fn remedy(record: &Record, n_columns: usize, text: &[u8], dialect: Dialect) -> String {
    let Record { line, last_line, n_fields, .. } = *record;
    let leave_out = format!("--skip-line {line} leaves it out");
    let trimmed = text.trim_ascii_start();
    match trimmed {
        [mark @ (b'#' | b'%'), ..] | [mark @ b'/', b'/', ..] if n_columns > 1 => {
            let mark = char::from(*mark);
            return format!(
                "if it is a comment, --comment '{mark}' leaves out all lines that begin with {mark}"
            );
        }
        [b'<', ..] if trimmed.ends_with(b">") => {
            return "it looks like HTML; is the file a table, and complete?".into();
        }
        _ if is_border(trimmed, b"") => return format!("it is a line drawn below a header; {leave_out}"),
        _ if is_count(trimmed) => return format!("it tells the number of rows; {leave_out}"),
        _ => {}
    }
    if last_line > line {
        return format!(
            "a quote opened on it is closed on line {last_line}; if quotes are ordinary characters there, --quote none"
        );
    }
    if n_columns == 1 {
        return format!(
            "if the lines before it are titles, --lines-to-skip {} begins below them; else --delimiter C names what \
             divides the fields",
            line - 1
        );
    }
    if n_fields == 1 {
        return format!("if it is a title or a footer, {leave_out}");
    }
    let fields = || text.split(|byte| *byte == dialect.delimiter).map(<[u8]>::trim_ascii);
    if n_fields < n_columns {
        return "values are missing, or a line end stands within a field without quotes".into();
    }
    if fields().skip(n_columns).all(<[u8]>::is_empty) {
        return "nothing stands behind its last delimiters; remove them".into();
    }
    let is_number = |field: &[u8]| field.iter().all(|byte| byte.is_ascii_digit() || b"+-.".contains(byte));
    if fields().all(is_number) {
        let comma = match dialect.delimiter {
            b',' => ", or is a comma between digits a decimal comma",
            _ => "",
        };
        return format!("does the header lack names{comma}?");
    }
    let quotes = "a field that contains the delimiter needs quotes";
    if line <= MAX_TITLES && n_fields > n_columns + 1 {
        return format!(
            "if the lines before it are titles, --lines-to-skip {} begins below them; else {quotes}",
            line - 1
        );
    }
    quotes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, n_columns: usize) -> String {
        let n_fields = text.split(',').count();
        let record = Record { place: 0..text.len(), line: 7, last_line: 7, n_fields, open: false };
        ragged("t.csv", &record, n_columns, text.as_bytes(), Dialect::default())
    }

    #[test]
    fn the_message_says_what_the_line_is_and_names_quotes_only_if_they_can_be_the_reason() {
        for (text, n_columns, words) in [
            (
                "# by a logger",
                3,
                "t.csv line 7: 1 field where the first line has 3; if it is a comment, --comment '#'",
            ),
            ("%,x", 3, "--comment '%'"),
            ("// x", 3, "--comment '/'"),
            ("</body>", 3, "HTML"),
            ("---+---", 3, "drawn below a header; --skip-line 7"),
            ("(40 rows)", 3, "number of rows; --skip-line 7"),
            ("End of report", 3, "a title or a footer, --skip-line 7"),
            ("1,2,3", 1, "titles, --lines-to-skip 6"),
            ("1,2", 3, "values are missing"),
            ("1,x,y,,", 3, "nothing stands behind"),
            ("1,5,2,5", 2, "decimal comma"),
            ("Sample,RT,Area,Result", 2, "if the lines before it are titles, --lines-to-skip 6"),
            ("1,tall, old,oak", 3, "a field that contains the delimiter needs quotes"),
        ] {
            let message = message(text, n_columns);
            assert!(message.contains(words), "{text}: {message}");
            assert_eq!(
                message.contains("quotes"),
                ["quotes", "missing", "lines before it"].iter().any(|word| words.contains(word)),
                "{message}"
            );
        }
        let record = Record { place: 0..3, line: 7, last_line: 9, n_fields: 4, open: false };
        let message = |record| ragged("t.csv", &record, 3, b"a,b", Dialect::default());
        assert!(message(record.clone()).contains("closed on line 9; if quotes are"));
        assert!(message(Record { open: true, ..record }).contains("never closed; if quotes are"));
    }
}
