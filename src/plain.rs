//! Texts that look alike as one text: names, levels and labels are compared as they are written here.
//!
//! `é` is one character or two, a no-break blank looks like any blank, and some characters cannot be seen at all. Whoever
//! compares a text that people wrote with one that other people or programs wrote asks here. A text of ASCII costs one
//! look at its bytes.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Characters that are not seen and mean nothing: soft hyphen, zero-width space, marks of direction, word joiner, byte
/// order mark. Zero-width joiners are not among them: they change letters.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Blanks that look like a space.
fn is_odd_blank(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}')
}

/// A text without blanks and invisible characters at its ends.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    let text = text.trim();
    let is_ascii = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii);
    if is_ascii(text.as_bytes().first()) && is_ascii(text.as_bytes().last()) {
        return text;
    }
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// A text as it is compared: trimmed, composed (Unicode NFC), with plain spaces and without invisible characters.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.trim().into();
    }
    let text = trim(text);
    if text.contains(|c| is_invisible(c) || is_odd_blank(c)) {
        let visible = text.chars().filter(|&c| !is_invisible(c));
        return visible.map(|c| if is_odd_blank(c) { ' ' } else { c }).nfc().collect::<String>().into();
    }
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.into(),
        _ => text.nfc().collect::<String>().into(),
    }
}

/// Whether two texts are one.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a == b || (!(a.is_ascii() && b.is_ascii()) && plain(a) == plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_look_alike_are_one() {
        for (text, wanted) in [
            ("red", "red"),
            (" red ", "red"),
            ("cafe\u{301}", "café"),
            ("café", "café"),
            ("\u{a0}red\u{202f}", "red"),
            ("\u{feff}red\u{200b}", "red"),
            ("\u{200b}\u{a0}\u{200b}", ""),
            ("New\u{a0}York", "New York"),
            ("Zu\u{ad}rich\u{200e}", "Zurich"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
            assert_eq!(plain(text), wanted, "{text:?}");
            assert!(same(text, wanted) || text.trim() != text, "{text:?}");
        }
        assert!(same("cafe\u{301}", "café") && !same("cafe", "café") && !same("red", "Red"));
        assert_eq!(trim("\u{feff}12\u{200b}"), "12");
    }

    proptest! {
        #[test]
        fn a_plain_text_stays_as_it_is(text in "\\PC{0,12}") {
            let once = plain(&text).into_owned();
            prop_assert_eq!(plain(&once), once.as_str());
        }
    }
}
