//! Text for a terminal or a log: characters that would steer a terminal instead of being shown are written as escapes.
//!
//! Names of columns, labels and paths come from files and requests, which may be anybody's. Output for programs (CSV,
//! JSON) stays as it is.

use std::borrow::Cow;

/// Whether a character steers a terminal or the order in which others are shown. Line ends and tabs do so as they should.
fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // The marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (property Bidi_Control), and
        // two more line ends.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Also U+0080 to U+009F, among which are short forms of ESC [ and others.
        c => c.is_control(),
    }
}

/// Whether a text is printable ASCII, as most are. Without a branch per byte, so that it is vectorised.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..0x7f).contains(&byte))
}

/// The text with such characters as `\u{1b}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// The same for a text that is to stay on its line.
pub(crate) fn printable_line(text: &str) -> Cow<'_, str> {
    match printable(text) {
        shown if shown.contains('\n') => Cow::Owned(shown.replace('\n', "\\n")),
        shown => shown,
    }
}

/// A line of JSON with such characters as JSON escapes them, of which it asks so for the first 32 only. They stand in
/// strings, since nothing else holds them.
pub(crate) fn printable_json(line: String) -> String {
    if is_plain(&line) || !line.contains(steers) {
        return line;
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        // All of them have four digits at most.
        if steers(c) { shown.push_str(&format!("\\u{:04x}", u32::from(c))) } else { shown.push(c) }
    }
    shown
}

/// A number with four significant decimals, or more digits if it is large.
pub(crate) fn figure(value: Option<f64>) -> String {
    match value {
        None => "undefined".into(),
        Some(v) if v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e9) => format!("{v:.3e}"),
        Some(v) if v.abs() >= 1000.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.4}"),
    }
}

/// A value that is not what `holds` wants, as [`figure`] shows it; with all its digits if four would look as if it were.
pub(crate) fn figure_that_misses(value: Option<f64>, holds: impl Fn(f64) -> bool) -> String {
    let text = figure(value);
    match text.parse() {
        Ok(rounded) if holds(rounded) => value.map_or(text, |value| value.to_string()),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_everything_else_is_not() {
        let plain = "größe, цена,\t価格 – שלום, a\u{200d}b\n";
        assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
        for (text, shown) in [
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\u{9b}2Jb", "a\\u{9b}2Jb"),
            ("\u{7}\u{8}\r\u{7f}", "\\u{7}\\u{8}\\u{d}\\u{7f}"),
            ("abc\u{202e}fdp", "abc\\u{202e}fdp"),
            ("\u{2066}\u{2069}\u{200f}", "\\u{2066}\\u{2069}\\u{200f}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!((printable("a\nb"), printable_line("a\nb\u{1b}")), ("a\nb".into(), "a\\nb\\u{1b}".into()));
    }
}
