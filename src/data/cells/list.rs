//! Cells that are lists of names, such as `red|tall` or `['red', 'tall']`.
//!
//! A column of lists is a column of texts whose terms are the members, so that each member has a slot of its own and not
//! each combination. A list is kept among the texts of its rows with a control character before each member, by which
//! [`super::text::Terms`] knows it. Whether a column holds lists is [`infer`]red from its distinct cells.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::text::{MEMBER, Texts};
use crate::plain::plain;

/// How the lists of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// `["red","tall"]` as JSON, `['red', 'tall']` as Python, `{red,tall}` as PostgreSQL writes them.
    Brackets,
    /// `red|tall`.
    Bar,
    /// `red;tall`.
    Semicolon,
    /// `red, tall`.
    Comma,
}

const STYLES: [Style; 4] = [Style::Brackets, Style::Bar, Style::Semicolon, Style::Comma];

/// Distinct cells below which nothing is taken for lists.
const MIN_LISTS: usize = 8;

/// A member stands in as many different lists on average, or more.
const MIN_REPEATS: usize = 3;

/// Words of the members on average, or fewer; parts of sentences have more.
const MAX_WORDS: usize = 3;

impl Style {
    /// What divides the members.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Brackets => "in brackets",
            Self::Bar => "divided by |",
            Self::Semicolon => "divided by ;",
            Self::Comma => "divided by commas",
        }
    }

    fn mark(self) -> char {
        match self {
            Self::Brackets => '[',
            Self::Bar => '|',
            Self::Semicolon => ';',
            Self::Comma => ',',
        }
    }

    /// Whether a cell is certainly such a list, and not a single member.
    fn shows(self, text: &str) -> bool {
        match self {
            Self::Brackets => {
                is_array(text)
                    || (text.starts_with('[') && text.ends_with(']'))
                    || (text.starts_with('{') && text.ends_with('}'))
            }
            _ => text.contains(self.mark()),
        }
    }

    /// The members of a cell, each once, in order.
    fn members(self, text: &str) -> BTreeSet<String> {
        let members = if let Some(kept) = text.strip_prefix(MEMBER) {
            kept.split(MEMBER).skip(1).map(str::to_string).collect()
        } else if Self::Brackets.shows(text) {
            of_json(text).unwrap_or_else(|| of_brackets(&text[1..text.len() - 1]))
        } else if self == Self::Brackets {
            vec![text.to_string()]
        } else {
            text.split(self.mark()).map(str::to_string).collect()
        };
        let members = members.iter().map(|member| plain(member).replace(MEMBER, " "));
        members.filter(|member| !member.is_empty()).collect()
    }

    /// A list as it is kept.
    pub(crate) fn kept(self, text: &str) -> String {
        let members = self.members(text);
        let mut kept = format!("{MEMBER}{}", self.mark());
        members.iter().for_each(|member| kept.extend([MEMBER.to_string().as_str(), member]));
        kept
    }

    /// The style of the lists among kept texts; `None` if they are no lists.
    pub(crate) fn of(texts: &Texts) -> Option<Self> {
        let mark = texts.iter().find_map(|text| text.strip_prefix(MEMBER))?.chars().next()?;
        STYLES.into_iter().find(|style| style.mark() == mark)
    }
}

/// An array as the cell of a list or of a [pair](super::pair): kept with its members in order, so that nobody takes it
/// for a text that a file or a request may hold.
pub(crate) fn array(members: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut kept = format!("{MEMBER}{}", Style::Brackets.mark());
    for member in members {
        kept.push(MEMBER);
        kept.extend(member.as_ref().chars().map(|c| if c == MEMBER { ' ' } else { c }));
    }
    kept
}

/// Whether a cell is an [`array`].
pub(crate) fn is_array(cell: &str) -> bool {
    cell.starts_with(MEMBER)
}

/// What is wrong with an array in a column of another type.
pub(crate) const NO_VALUE: &str = "an array or an object is not a value";

/// A text as a row has it: a list as a JSON array, which is read in every style.
pub(crate) fn shown(text: &str) -> String {
    match text.strip_prefix(MEMBER) {
        Some(kept) => serde_json::Value::from_iter(kept.split(MEMBER).skip(1)).to_string(),
        None => text.into(),
    }
}

fn of_json(text: &str) -> Option<Vec<String>> {
    let values: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let member = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    values.into_iter().map(member).collect()
}

/// Members between commas, in quotes or not.
fn of_brackets(mut rest: &str) -> Vec<String> {
    let mut members = Vec::new();
    loop {
        rest = rest.trim_start();
        let quoted = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let inside = quoted.and_then(|mark| rest[1..].split_once(mark));
        // A quote that is never closed is a letter.
        let (member, after) = match inside {
            Some((member, after)) if after.trim_start().is_empty() || after.trim_start().starts_with(',') => {
                (member, after.split_once(',').map(|(_, after)| after))
            }
            _ => match rest.split_once(',') {
                Some((member, after)) => (member, Some(after)),
                None => (rest, None),
            },
        };
        members.push(member.to_string());
        let Some(after) = after else { return members };
        rest = after;
    }
}

/// How the distinct cells of a column are lists, and how many different members these have; `None` if they are not
/// clearly: most are several members, and the same members come again in other combinations.
pub(crate) fn infer(levels: &[String]) -> Option<(Style, usize)> {
    if levels.len() < MIN_LISTS {
        return None;
    }
    STYLES.into_iter().find_map(|style| {
        let n_shown = levels.iter().filter(|level| style.shows(level)).count();
        let enough = match style {
            Style::Brackets => n_shown == levels.len(),
            _ => n_shown * 2 >= levels.len(),
        };
        if !enough {
            return None;
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for level in levels {
            style.members(level).into_iter().for_each(|member| *counts.entry(member).or_default() += 1);
            // Sentences, or names of people: nearly every member is another.
            if counts.len() > levels.len() {
                return None;
            }
        }
        let n_words: usize = counts.keys().map(|member| member.split_whitespace().count()).sum();
        let are_names = n_words <= MAX_WORDS * counts.len()
            && counts.keys().any(|member| member.parse::<f64>().is_err() || style != Style::Comma);
        let n = counts.len();
        let repeated = counts.values().sum::<usize>() >= MIN_REPEATS * n && n * 2 <= levels.len();
        (are_names && repeated && n > 1).then_some((style, n))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(style: Style, text: &str) -> Vec<String> {
        style.members(text).into_iter().collect()
    }

    #[test]
    fn one_list_has_one_set_of_members_however_it_is_written() {
        for (style, text) in [
            (Style::Brackets, "['red', 'tall']"),
            (Style::Brackets, "[\"tall\",\"red\"]"),
            (Style::Brackets, "{tall,red}"),
            (Style::Brackets, "[red, tall, red]"),
            (Style::Bar, "red|tall"),
            (Style::Bar, " tall | red |"),
            (Style::Semicolon, "red; tall"),
            (Style::Comma, "red,tall"),
            (Style::Comma, "[\"red\", \"tall\"]"),
        ] {
            assert_eq!(members(style, text), ["red", "tall"], "{text}");
            // As it is kept, and as a row of the model shows it.
            let kept = style.kept(text);
            assert_eq!(members(style, &kept), ["red", "tall"], "{text}");
            assert_eq!(members(style, &shown(&kept)), ["red", "tall"], "{text}");
        }
        assert_eq!(members(Style::Brackets, "[\"a, b\", 'c, d']"), ["a, b", "c, d"]);
        assert_eq!(members(Style::Brackets, "[1, 2]"), ["1", "2"]);
        assert!(members(Style::Brackets, "[]").is_empty());
        assert_eq!(members(Style::Brackets, "red"), ["red"]);
        assert_eq!(shown("a text"), "a text");
    }

    fn texts(cells: impl IntoIterator<Item = String>) -> Vec<String> {
        cells.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn cells_are_lists_if_the_same_members_come_again_in_other_combinations() {
        const NAMES: [&str; 6] = ["red", "tall", "old", "big", "new", "odd"];
        let combinations = |join: &dyn Fn(Vec<&str>) -> String| {
            texts(
                (1..40_usize)
                    .map(|i| join((0..6).filter(|bit| i >> bit & 1 == 1).map(|bit| NAMES[bit]).collect())),
            )
        };
        assert_eq!(infer(&combinations(&|list| list.join("|"))), Some((Style::Bar, 6)));
        assert_eq!(infer(&combinations(&|list| list.join("; "))), Some((Style::Semicolon, 6)));
        assert_eq!(infer(&combinations(&|list| list.join(", "))), Some((Style::Comma, 6)));
        assert_eq!(infer(&combinations(&|list| format!("{list:?}"))), Some((Style::Brackets, 6)));
        assert_eq!(infer(&combinations(&|list| list.join(" "))), None, "words of a text");
    }

    #[test]
    fn sentences_places_and_pairs_of_names_are_no_lists() {
        for cells in [
            texts((0..50).map(|i| format!("City {i}, Country {}", i % 7))),
            texts((0..50).map(|i| format!("Name{i}, First{}", i * 7 % 50))),
            texts((0..50).map(|i| format!("Well, this is number {i}, and it was late, again"))),
            texts((0..50).map(|i| format!("48.{i},11.{i}"))),
            texts((0..6).map(|i| format!("a|b{i}"))),
            texts((0..50).map(|i| format!("item {i}"))),
        ] {
            assert_eq!(infer(&cells), None, "{cells:?}");
        }
    }
}
