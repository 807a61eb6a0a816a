//! Text and attributes of HTML and SVG: nothing that comes from a file or a request becomes markup.

use std::fmt::{Display, Write};

use crate::printable::printable_line;

/// A text as the content of an element or the value of a quoted attribute. Characters that would change the order in
/// which others are shown are written as escapes.
pub(crate) fn escaped(text: &str) -> String {
    let text = printable_line(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A text of at most `n` characters: a longer one ends in an ellipsis.
pub(crate) fn shortened(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_string();
    }
    let mut short: String = text.chars().take(n.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Appends formatted markup. Whatever is not markup has to be [`escaped`] before.
pub(crate) fn push(out: &mut String, markup: impl Display) {
    // Writing to a String does not fail.
    let _ = write!(out, "{markup}");
}

/// Numbers the elements of a page that others refer to.
#[derive(Debug, Default)]
pub(crate) struct Ids(usize);

impl Ids {
    /// A number that no element has yet.
    pub(crate) fn next(&mut self) -> usize {
        self.0 += 1;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_markup_stay_text() {
        let name = "<script>alert('x')</script> & \"y\"";
        let shown = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;";
        assert_eq!(escaped(name), shown);
        assert_eq!(escaped("a\u{202e}b\nc"), "a\\u{202e}b\\nc");
        assert_eq!(escaped("größe"), "größe");
    }

    #[test]
    fn long_names_end_in_an_ellipsis_and_characters_stay_whole() {
        assert_eq!(
            (shortened("größer", 4), shortened("größe", 5)),
            ("grö…".to_string(), "größe".to_string())
        );
    }
}
