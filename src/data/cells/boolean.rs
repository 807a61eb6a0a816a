//! Booleans as people write them: a pair of words, such as `yes` and `no`, in any letter case.
//!
//! The pair of a column is found by joining its cells in any order ([`Evidence`]) and kept with its type, so that a later
//! row is read as the training rows were.

use serde::{Deserialize, Serialize};

/// A pair of words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Words {
    /// `true` and `false`.
    #[default]
    TrueFalse,
    /// `yes` and `no`.
    YesNo,
    /// `y` and `n`.
    YN,
    /// `t` and `f`.
    TF,
    /// `on` and `off`.
    OnOff,
}

/// Every pair with its two words, that of 1 first.
const PAIRS: [(Words, [&str; 2]); 5] = [
    (Words::TrueFalse, ["true", "false"]),
    (Words::YesNo, ["yes", "no"]),
    (Words::YN, ["y", "n"]),
    (Words::TF, ["t", "f"]),
    (Words::OnOff, ["on", "off"]),
];

/// The length of the longest word.
const MAX_BYTES: usize = 5;

impl Words {
    fn texts(self) -> [&'static str; 2] {
        PAIRS.iter().find(|(words, _)| *words == self).map_or(["true", "false"], |(_, texts)| *texts)
    }

    /// The word for 1 or for 0.
    pub fn text(self, value: bool) -> &'static str {
        self.texts()[usize::from(!value)]
    }

    /// 1 or 0 for one of the pair in any letter case; `true`, `false`, `1` and `0` are taken whatever the pair.
    pub fn parse(self, text: &str) -> Option<f64> {
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        if is(self.text(true)) || is("true") || text == "1" {
            Some(1.0)
        } else if is(self.text(false)) || is("false") || text == "0" {
            Some(0.0)
        } else {
            None
        }
    }
}

/// The words of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How many cells are the word for 1 and that for 0 of each pair.
    counts: [[usize; 2]; PAIRS.len()],
}

impl Evidence {
    /// Adds a text that occurs `n` times; returns whether it is one of the words.
    pub fn look(&mut self, text: &str, n: usize) -> bool {
        if text.len() > MAX_BYTES {
            return false;
        }
        for (counts, (_, words)) in self.counts.iter_mut().zip(PAIRS) {
            if let Some(word) = words.iter().position(|word| text.eq_ignore_ascii_case(word)) {
                counts[word] += n;
                return true;
            }
        }
        false
    }

    /// The pair that all `n` cells are written in, if both words occur. One word and missing values are no pair, since
    /// its opposite is not known; only `true` and `false` can mean nothing else.
    pub fn pair(&self, n: usize) -> Option<Words> {
        let pairs = PAIRS.iter().zip(&self.counts);
        pairs.map(|((words, _), [ones, zeros])| (*words, *ones, *zeros)).find_map(|(words, ones, zeros)| {
            let both = (ones > 0 && zeros > 0) || words == Words::TrueFalse;
            (n > 0 && ones + zeros == n && both).then_some(words)
        })
    }

    /// The pair that most of the words are of, the first of equals.
    pub fn most(&self) -> Words {
        let totals =
            PAIRS.iter().zip(&self.counts).map(|((words, _), counts)| (counts[0] + counts[1], *words));
        let best = totals.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(Words::TrueFalse, |(_, words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(texts: &[&str]) -> Option<Words> {
        let mut evidence = Evidence::default();
        texts.iter().for_each(|text| {
            evidence.look(text, 1);
        });
        evidence.pair(texts.len())
    }

    #[test]
    fn both_words_of_one_pair_in_any_letter_case_are_a_boolean() {
        for (texts, expected) in [
            (["yes", "NO"], Some(Words::YesNo)),
            (["Y", "n"], Some(Words::YN)),
            (["F", "t"], Some(Words::TF)),
            (["On", "off"], Some(Words::OnOff)),
            (["TRUE", "False"], Some(Words::TrueFalse)),
            (["true", "true"], Some(Words::TrueFalse)),
        ] {
            assert_eq!(pair(&texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn words_of_two_pairs_one_word_alone_and_other_words_are_not() {
        for texts in [["yes", "n"], ["yes", "yes"], ["true", "no"], ["y", "maybe"], ["on", "in"]] {
            assert_eq!(pair(&texts), None, "{texts:?}");
        }
    }

    #[test]
    fn a_pair_reads_its_own_words_and_what_json_writes_and_no_other_words() {
        for (text, expected) in [
            ("YES", Some(1.0)),
            ("no", Some(0.0)),
            ("true", Some(1.0)),
            ("0", Some(0.0)),
            ("y", None),
            ("on", None),
        ] {
            assert_eq!(Words::YesNo.parse(text), expected, "{text}");
        }
        assert_eq!(Words::TrueFalse.parse("yes"), None);
        for (words, _) in PAIRS {
            assert_eq!([true, false].map(|value| words.parse(words.text(value))), [Some(1.0), Some(0.0)]);
        }
    }
}
