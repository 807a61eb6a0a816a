//! Cells that are two numbers, such as a place by its latitude and longitude: `48.1,11.6`.
//!
//! A pair is kept among the texts of its rows, as a [list](super::list) is, and becomes two numbers in the recipe.
//! Whether a column holds pairs is [`infer`]red from its distinct cells: `48,1` and `1,250` alone are one number each.

use serde::{Deserialize, Serialize};

use super::number::{self, MAX_SUMMED};
use super::text::{MEMBER, Texts};
use crate::plain::plain;

/// How the pairs of a column are written, in brackets or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// `POINT(11.6 48.1)`, as geographic databases write it.
    Point,
    /// `48.1,11.6`.
    Comma,
    /// `48.1;11.6`.
    Semicolon,
    /// `48.1 11.6`.
    Blank,
    /// `48,1;11,6`.
    DecimalSemicolon,
    /// `48,1 11,6`.
    DecimalBlank,
}

const STYLES: [Style; 6] = [
    Style::Point,
    Style::Comma,
    Style::Semicolon,
    Style::Blank,
    Style::DecimalSemicolon,
    Style::DecimalBlank,
];

/// Distinct cells from which a few that are no pairs are more likely errors.
const MIN_PAIRS: usize = 10;

impl Style {
    fn decimal_mark(self) -> char {
        if matches!(self, Self::DecimalSemicolon | Self::DecimalBlank) { ',' } else { '.' }
    }

    /// The character that a kept pair has for its style.
    fn mark(self) -> char {
        match self {
            Self::Point => 'P',
            Self::Comma => 'C',
            Self::Semicolon => 'S',
            Self::Blank => 'B',
            Self::DecimalSemicolon => 's',
            Self::DecimalBlank => 'b',
        }
    }

    /// Two numbers as this style writes them.
    pub(crate) fn write(self, [a, b]: [f64; 2]) -> String {
        let text = match self {
            Self::Point => return format!("POINT({a} {b})"),
            Self::Comma => return format!("{a},{b}"),
            Self::Semicolon | Self::DecimalSemicolon => format!("{a};{b}"),
            Self::Blank | Self::DecimalBlank => format!("{a} {b}"),
        };
        if self.decimal_mark() == ',' { text.replace('.', ",") } else { text }
    }

    /// The texts of both numbers of a cell.
    fn split(self, text: &str) -> Option<(&str, &str)> {
        let text = text.trim();
        let (a, b) = match self {
            Self::Point => {
                let (word, rest) = text.split_at_checked(5)?;
                let rest = Some(rest).filter(|_| word.eq_ignore_ascii_case("point"))?;
                inside(rest.trim_start(), '(', ')')?.trim().split_once(char::is_whitespace)?
            }
            _ => {
                let text = inside(text, '(', ')').or_else(|| inside(text, '[', ']')).unwrap_or(text).trim();
                match self {
                    Self::Comma => text.split_once(',')?,
                    Self::Semicolon | Self::DecimalSemicolon => text.split_once(';')?,
                    _ => text.split_once(char::is_whitespace)?,
                }
            }
        };
        Some((a.trim(), b.trim()))
    }

    /// The numbers of a cell that is written in this style, and whether nothing but a pair is written so.
    fn parse(self, text: &str) -> Option<([f64; 2], bool)> {
        let (a, b) = self.split(text)?;
        let mark = self.decimal_mark();
        let number = |text: &str| number::parse(text, mark as u8).filter(|value| value.abs() <= MAX_SUMMED);
        let numbers = [number(a)?, number(b)?];
        // Thousands have no decimals before their separator. A pair of whole numbers in square brackets may be a list.
        let in_parentheses = text.trim_start().starts_with('(');
        let is_clear = self == Self::Point || in_parentheses || [a, b].iter().all(|part| part.contains(mark));
        Some((numbers, is_clear))
    }

    /// The numbers of a cell of a column of this style. An array of two numbers is a pair in any style.
    pub(crate) fn read(self, text: &str) -> Option<[f64; 2]> {
        if text.starts_with(MEMBER) {
            return numbers(text).filter(can_be_summed);
        }
        let text = plain(text);
        let of_style = self.parse(&text).map(|(numbers, _)| numbers);
        let array = || serde_json::from_str::<[f64; 2]>(&text).ok().filter(can_be_summed);
        of_style.or_else(array)
    }

    /// A pair as it is kept.
    pub(crate) fn kept(self, [a, b]: [f64; 2]) -> String {
        format!("{MEMBER}{}{MEMBER}{a}{MEMBER}{b}", self.mark())
    }

    /// The style of the pairs among kept texts; `None` if they are no pairs.
    pub(crate) fn of(texts: &Texts) -> Option<Self> {
        let mark = texts.iter().find_map(|text| text.strip_prefix(MEMBER))?.chars().next()?;
        STYLES.into_iter().find(|style| style.mark() == mark)
    }
}

fn can_be_summed(numbers: &[f64; 2]) -> bool {
    numbers.iter().all(|number| number.abs() <= MAX_SUMMED)
}

fn inside(text: &str, opening: char, closing: char) -> Option<&str> {
    text.strip_prefix(opening)?.strip_suffix(closing)
}

/// The numbers of a kept pair, or of a kept array of two numbers.
pub(crate) fn numbers(kept: &str) -> Option<[f64; 2]> {
    let mut parts = kept.strip_prefix(MEMBER)?.split(MEMBER).skip(1);
    let numbers = [parts.next()?.parse().ok()?, parts.next()?.parse().ok()?];
    parts.next().is_none().then_some(numbers)
}

/// What the distinct cells of a column say of pairs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// All are pairs.
    All(Style),
    /// All but a few are; one of these.
    Most(Style, String),
}

/// How the distinct cells of a column are pairs; `None` if they are not clearly: half of them can be nothing else.
pub(crate) fn infer(levels: &[String]) -> Option<Found> {
    if levels.len() < 2 {
        return None;
    }
    STYLES.into_iter().find_map(|style| {
        let (mut n_clear, mut n_odd, mut odd) = (0, 0, None);
        for level in levels {
            // An array has no style; those of a column without any text are as JSON writes them.
            let is_clear = match level.starts_with(MEMBER) {
                true => numbers(level).map(|_| style == Style::Comma && level.contains('.')),
                false => style.parse(level).map(|(_, is_clear)| is_clear),
            };
            match is_clear {
                Some(is_clear) => n_clear += usize::from(is_clear),
                None => {
                    n_odd += 1;
                    odd = odd.or(Some(level));
                }
            }
            if n_odd * 10 > levels.len() {
                return None;
            }
        }
        match odd {
            _ if n_clear * 2 < levels.len() => None,
            None => Some(Found::All(style)),
            Some(odd) => (levels.len() >= MIN_PAIRS).then(|| Found::Most(style, odd.clone())),
        }
    })
}

/// A cell of a column in which every cell is two numbers that may be something else: two whole numbers.
pub(crate) fn doubtful(levels: &[String]) -> Option<&str> {
    let is_pair = |style: &Style| levels.iter().all(|level| style.parse(level).is_some());
    levels.first().filter(|_| STYLES.iter().any(is_pair)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn levels(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| cell.to_string()).collect()
    }

    #[test]
    fn the_cells_of_a_column_say_how_its_pairs_are_written() {
        for (cells, style) in [
            (&["48.1,11.6", "47,12.25", "-48.0, 7.5"][..], Style::Comma),
            (&["(48.1, 11.6)", "(47.2, 12.25)"], Style::Comma),
            (&["[48.1, 11.6]", "[47.2, 12.25]"], Style::Comma),
            (&["(3, 4)", "(5, 6)"], Style::Comma),
            (&["48.1;11.6", "47.5; 12.5"], Style::Semicolon),
            (&["48.1 11.6", "47.2  12.5"], Style::Blank),
            (&["48,1;11,6", "47,2; 12,25"], Style::DecimalSemicolon),
            (&["48,1 11,6", "47,2 12,25"], Style::DecimalBlank),
            (&["POINT(11.6 48.1)", "Point (12 47)"], Style::Point),
        ] {
            assert_eq!(infer(&levels(cells)), Some(Found::All(style)), "{cells:?}");
        }
    }

    #[test]
    fn one_number_in_any_notation_is_no_pair() {
        for cells in [
            &["48,1", "47,25"][..],
            &["1,250", "2,375"],
            &["1,234.5", "2,345.75"],
            &["1 234.5", "2 345.75"],
            &["1 234,5", "2 345,75"],
            &["3;4", "5;6"],
            &["[3, 4]", "[5, 6]"],
            &["48.1,11.6,3.2", "47.1,12.6,3.3"],
            &["48.1,north", "47.1,south"],
            &["inf,1.5", "1.5,inf"],
        ] {
            assert_eq!(infer(&levels(cells)), None, "{cells:?}");
        }
        assert_eq!(doubtful(&levels(&["3;4", "5;6"])), Some("3;4"));
        assert_eq!(doubtful(&levels(&["48.1,north", "47.1,south"])), None);
    }

    #[test]
    fn a_few_other_cells_are_named_and_many_say_that_the_column_holds_no_pairs() {
        let cells = |n_odd: usize| -> Vec<String> {
            (0..20).map(|i| if i < n_odd { format!("place {i}") } else { format!("48.{i},11.{i}") }).collect()
        };
        assert_eq!(infer(&cells(1)), Some(Found::Most(Style::Comma, "place 0".into())));
        assert_eq!(infer(&cells(3)), None);
    }

    #[test]
    fn a_cell_that_is_no_pair_of_its_column_is_none() {
        for (style, text, wanted) in [
            (Style::Comma, "(48.1, 11.6)", Some([48.1, 11.6])),
            (Style::Comma, "48,11", Some([48.0, 11.0])),
            (Style::Comma, "48.1", None),
            (Style::Comma, "48.1;11.6", None),
            (Style::Comma, "48.1,11.6,1", None),
            (Style::Comma, "POINT(11.6 48.1)", None),
            (Style::DecimalSemicolon, "48,1;11,6", Some([48.1, 11.6])),
            (Style::DecimalSemicolon, "48.1;11.6", None),
            (Style::DecimalSemicolon, "[48.1, 11.6]", Some([48.1, 11.6])),
            (Style::Point, "point (11.6 48.1)", Some([11.6, 48.1])),
            (Style::Blank, "48.1\u{a0}11.6", Some([48.1, 11.6])),
        ] {
            assert_eq!(style.read(text), wanted, "{style:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_pair_that_is_written_is_read_back(a in -1e9..1e9_f64, b in -1e9..1e9_f64) {
            for style in STYLES {
                prop_assert_eq!(style.read(&style.write([a, b])), Some([a, b]));
                let kept = style.kept([a, b]);
                prop_assert_eq!(style.read(&kept), Some([a, b]));
                let mut texts = Texts::default();
                texts.push(&kept);
                prop_assert_eq!(Style::of(&texts), Some(style));
            }
        }
    }
}
