//! Misspelt names of columns, options and hyperparameters: the known name that the user most likely meant.
//!
//! Called wherever an unknown name is an error. Knows nothing of what the names stand for.

/// The candidate that `name` is most likely a misspelling of, letter case aside; `None` if none is near.
fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Below 0.6 the suggestions are noise (normalised Damerau–Levenshtein similarity, 1 is equal).
    let folded = name.to_lowercase();
    let scored = candidates.into_iter().map(|candidate| {
        let score = strsim::normalized_damerau_levenshtein(&folded, &candidate.to_lowercase());
        (candidate, score)
    });
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best.1 >= 0.6).then_some(best.0)
}

/// The end of a message about an unknown name: `; did you mean "X"?`, or nothing if no candidate is near.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |known| format!("; did you mean {known:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
