//! Names in messages: how they are quoted, and the known name that the user of a misspelt one most likely meant.
//!
//! Called wherever a name or a value stands in a message, and wherever an unknown name is an error. Knows nothing of what
//! the names stand for. Names come from clients, so the work and the length of a message are bounded here.

use std::borrow::Cow;

/// Characters of a name or a value in a message; the rest is cut off.
const MAX_SHOWN: usize = 60;

/// Characters of a name that is compared with known ones: nobody misspells a longer one by a letter or two.
const MAX_SOUGHT: usize = 64;

/// Known names that one text of unknown ones is compared with: some milliseconds of work.
const MAX_COMPARISONS: usize = 1000;

/// A value of a row in words: whole numbers without decimals, long texts cut.
pub(crate) fn value(value: &serde_json::Value) -> Cow<'_, str> {
    match (value, value.as_f64()) {
        (serde_json::Value::Null, _) => "missing or unseen".into(),
        (serde_json::Value::String(text), _) => cut(text),
        (_, Some(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
            (number as i64).to_string().into()
        }
        (other, _) => other.to_string().into(),
    }
}

/// A name as it may stand in a message: its first characters if it is long.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// A name or value in a message: in quotes, escaped, and not longer than a line.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Whether it is worth the work to find what the user meant by an unknown name, after `n_before` others that were
/// compared with as many candidates each.
pub(crate) fn is_worth_seeking(n_before: usize, n_candidates: usize) -> bool {
    n_before == 0 || (n_before + 1).saturating_mul(n_candidates) <= MAX_COMPARISONS
}

/// The candidate that `name` is most likely a misspelling of, letter case aside; `None` if none is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.chars().nth(MAX_SOUGHT).is_some() {
        return None;
    }
    // Below 0.6 the suggestions are noise (normalised Damerau–Levenshtein similarity, 1 is equal).
    let folded = name.to_lowercase();
    let (length, letters) = (folded.chars().count(), letters(&folded));
    let near = candidates.into_iter().filter_map(|candidate| {
        let other =
            if candidate.chars().nth(MAX_SOUGHT).is_some() { return None } else { candidate.to_lowercase() };
        // Every character too many and every letter that only one of the two has is an edit.
        let other_length = other.chars().count();
        let (others, longest) = (self::letters(&other), length.max(other_length));
        let edits = [
            length.abs_diff(other_length),
            (letters & !others).count_ones() as usize,
            (others & !letters).count_ones() as usize,
        ];
        (edits.into_iter().all(|least| 5 * least <= 2 * longest)).then_some((candidate, other))
    });
    let scored = near
        .take(MAX_COMPARISONS)
        .map(|(candidate, other)| (candidate, strsim::normalized_damerau_levenshtein(&folded, &other)));
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best.1 >= 0.6).then_some(best.0)
}

/// The characters of a text as a set; some stand for one another.
fn letters(text: &str) -> u64 {
    text.chars().fold(0, |set, character| set | 1 << (u32::from(character) % 64))
}

/// The end of a message about an unknown name: `; did you mean "X"?`, or nothing if no candidate is near.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |known| format!("; did you mean {known:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn values_are_written_as_people_write_them() {
        let long = "a".repeat(MAX_SHOWN + 1);
        for (given, shown) in [
            (serde_json::json!(196.0), "196"),
            (serde_json::json!(-0.5), "-0.5"),
            (serde_json::json!(1e300), "1e+300"),
            (serde_json::json!("Dream"), "Dream"),
            (serde_json::json!(true), "true"),
            (serde_json::Value::Null, "missing or unseen"),
            (serde_json::json!(long), &format!("{}…", &long[1..])),
        ] {
            assert_eq!(value(&given), shown);
        }
    }

    #[test]
    fn a_slip_of_the_fingers_finds_the_name_and_anything_else_finds_none() {
        let names = ["size", "color", "C"];
        assert_eq!(nearest("siez", names), Some("size"), "two letters exchanged");
        assert_eq!(nearest("Colour", names), Some("color"), "a letter more, another case");
        assert_eq!(nearest("c", names), Some("C"));
        assert_eq!(nearest("weight", names), None);
        assert_eq!(nearest("size", []), None);
        assert_eq!(did_you_mean("siez", names), "; did you mean \"size\"?");
        assert_eq!(did_you_mean("weight", names), "");
    }

    #[test]
    fn what_is_passed_over_without_a_comparison_would_not_have_been_near() {
        let names = [
            "a",
            "ab",
            "abc",
            "cab",
            "sepal_length",
            "sepal_width",
            "Größe",
            "größe_m",
            "x1",
            "x2",
            "aab",
            "",
        ];
        for name in names {
            for other in names {
                let near =
                    strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase())
                        >= 0.6;
                assert_eq!(nearest(name, [other]).is_some(), near, "{name:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_long_name_is_compared_with_none_and_a_short_one_with_so_many() {
        let asked = Cell::new(0);
        let candidates = || {
            std::iter::repeat_with(|| {
                asked.set(asked.get() + 1);
                "size"
            })
        };
        assert_eq!(nearest(&"s".repeat(MAX_SOUGHT + 1), candidates()), None);
        assert_eq!(asked.take(), 0);
        assert_eq!(nearest("siez", candidates()), Some("size"));
        assert_eq!(asked.take(), MAX_COMPARISONS);
        assert!(is_worth_seeking(0, usize::MAX) && is_worth_seeking(9, 100));
        assert!(!is_worth_seeking(1, usize::MAX) && !is_worth_seeking(10, 100));
    }

    #[test]
    fn a_text_in_a_message_is_one_line_of_at_most_60_characters() {
        assert_eq!(quote("a\"b\nc"), r#""a\"b\nc""#);
        let exact = "é".repeat(60);
        assert_eq!((quote(&exact), cut(&exact)), (format!("\"{exact}\""), exact.as_str().into()));
        let long = format!("{exact}x");
        assert_eq!((quote(&long), cut(&long)), (format!("\"{exact}\"…"), format!("{exact}…").into()));
    }
}
