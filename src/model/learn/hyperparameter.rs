//! Hyperparameters: how each is declared, checked and read.
//!
//! A family declares its [`Parameter`]s; [`Spec`](super::Spec) parses what `--set` says by their [`Range`]s;
//! the family then reads the checked [`Settings`] once, into a struct of its own.

use std::fmt;

use serde_json::{Map, Value};

use super::dataset::Direction;

/// The setting that gives columns a direction.
pub(crate) const MONOTONIC: &str = "monotonic";

/// The values that a hyperparameter may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// A number above the first and not above the second.
    Above(f64, f64),
    /// A number not below the first and not above the second.
    From(f64, f64),
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Whole numbers from the first to the second, joined by `-`.
    Sizes(u64, u64),
    /// Names of columns, each followed by `:+` or `:-`, joined by commas.
    Directions,
    /// A value of any of these; the first that can read it does.
    AnyOf(&'static [Range]),
    /// The name of one of these, which sets the defaults of other hyperparameters.
    Presets(&'static [Preset]),
}

/// Defaults under one name, such as those of another library.
#[derive(Debug, PartialEq)]
pub struct Preset {
    /// Its name in `--set preset=NAME`.
    pub name: &'static str,
    /// Names of hyperparameters and their defaults, written as in `--set`; others keep their own.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Above(low, high) if high.is_infinite() => write!(f, "a number above {low}"),
            Self::Above(low, high) => write!(f, "a number above {low}, at most {high}"),
            Self::From(low, high) if high.is_infinite() => write!(f, "a number not below {low}"),
            Self::From(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Whole(low, u64::MAX) => write!(f, "a whole number not below {low}"),
            Self::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Sizes(low, high) => {
                write!(f, "whole numbers from {low} to {high}, such as 100 or 64-32")
            }
            Self::Flag => f.write_str("true or false"),
            Self::Directions => f.write_str("columns with + or -, such as size:+ or size:+,age:-"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::Presets(presets) => {
                let names: Vec<&str> = presets.iter().map(|preset| preset.name).collect();
                f.write_str(&names.join(" or "))
            }
            Self::AnyOf(ranges) => {
                for (i, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if i > 0 { ", or " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// A hyperparameter as it stands in `--set`, the card and the manual.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, scikit-learn's.
    pub name: &'static str,
    /// Its value if it is not set, written as in `--set`; scikit-learn's unless `effect` says otherwise.
    pub default: &'static str,
    /// Its permitted values.
    pub range: Range,
    /// Its effect, in a few words.
    pub effect: &'static str,
}

impl Parameter {
    pub(crate) fn parse(&self, text: &str) -> Option<Value> {
        self.range.parse(text)
    }

    /// Whether what is set several times adds up, instead of the last one counting.
    pub(crate) fn adds_up(&self) -> bool {
        match self.range {
            Range::Directions => true,
            Range::AnyOf(ranges) => ranges.contains(&Range::Directions),
            _ => false,
        }
    }

    /// The defaults that this value of it sets.
    pub(crate) fn defaults_of(&self, text: &str) -> &'static [(&'static str, &'static str)] {
        match self.range {
            Range::Presets(presets) => {
                presets.iter().find(|preset| preset.name == text).map_or(&[], |preset| preset.defaults)
            }
            _ => &[],
        }
    }
}

impl Range {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Range::Choice(words) => words.contains(&text).then(|| text.into()),
            Range::Presets(presets) => presets.iter().any(|preset| preset.name == text).then(|| text.into()),
            Range::AnyOf(ranges) => ranges.iter().find_map(|range| range.parse(text)),
            Range::Directions => directions(text).map(|_| text.into()),
            Range::Flag => text.parse::<bool>().ok().map(Value::from),
            Range::Whole(low, high) => {
                let value = text.parse::<u64>().ok()?;
                (low..=high).contains(&value).then(|| value.into())
            }
            Range::Sizes(low, high) => {
                let sizes = text.split('-').map(|size| Range::Whole(low, high).parse(size));
                sizes.collect::<Option<Vec<_>>>().map(Value::from)
            }
            Range::Above(low, high) => {
                let value = text.parse::<f64>().ok()?;
                (value > low && value <= high && value.is_finite()).then(|| value.into())
            }
            Range::From(low, high) => {
                let value = text.parse::<f64>().ok()?;
                (value >= low && value <= high && value.is_finite()).then(|| value.into())
            }
        }
    }
}

/// Columns with their directions. A name may hold any character: it ends at `:+` or `:-` before a comma or the end.
fn directions(text: &str) -> Option<Vec<(String, Direction)>> {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        let ends = rest.char_indices().filter_map(|(at, c)| {
            let direction = match rest[at..].get(..2)? {
                ":+" => Direction::Rising,
                ":-" => Direction::Falling,
                _ => return None,
            };
            let after = &rest[at + 2..];
            (c == ':' && (after.is_empty() || after.starts_with(','))).then_some((at, direction))
        });
        let (end, direction) = ends.into_iter().find(|&(at, _)| at > 0)?;
        found.push((rest[..end].to_string(), direction));
        match rest[end + 2..].strip_prefix(',') {
            Some(others) => rest = others,
            None => return Some(found),
        }
    }
}

/// An enum that a hyperparameter names by a word.
pub trait Word: Copy + 'static {
    /// The words, for [`Range::Choice`].
    const WORDS: &'static [&'static str];

    /// The value of each word, in the same order.
    const ALL: &'static [Self];
}

/// The hyperparameter `class_weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClassWeight {
    /// Each row counts by its own weight alone.
    None,
    /// Each row counts in inverse proportion to the weight of its class as well.
    Balanced,
}

impl Word for ClassWeight {
    const WORDS: &'static [&'static str] = &["none", "balanced"];
    const ALL: &'static [Self] = &[Self::None, Self::Balanced];
}

/// Checked hyperparameters by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings(pub(super) Map<String, Value>);

impl Settings {
    /// A number; 0 if there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// A whole number; 0 if there is none of that name.
    pub fn whole(&self, name: &str) -> usize {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(0) as usize
    }

    /// A whole number, or `None` if the setting is a word such as `none`.
    pub fn optional_whole(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(Value::as_u64).map(|value| value as usize)
    }

    /// Whole numbers; none if there is no list of that name.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        let sizes = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        sizes.filter_map(Value::as_u64).map(|size| size as usize).collect()
    }

    /// Columns with their directions; none if there is no such setting.
    pub fn directions(&self, name: &str) -> Vec<(String, Direction)> {
        directions(self.word(name)).unwrap_or_default()
    }

    /// A word; empty if the setting is a number.
    pub fn word(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// The value of a word; that of the first of its words if the setting is none of them.
    pub fn choice<T: Word>(&self, name: &str) -> T {
        let word = self.word(name);
        T::ALL[T::WORDS.iter().position(|known| *known == word).unwrap_or(0)]
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_its_ends_as_it_says() {
        let takes = |range: Range, text: &str| range.parse(text).is_some();
        let above = Range::Above(0.0, 1.0);
        assert_eq!(
            ["0", "1e-300", "1", "1.1", "NaN"].map(|t| takes(above, t)),
            [false, true, true, false, false]
        );
        let from = Range::From(0.0, f64::INFINITY);
        assert_eq!(["-0.1", "0", "1e300", "inf"].map(|t| takes(from, t)), [false, true, true, false]);
        let either = Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, 5)]);
        assert_eq!(
            ["none", "1", "5", "6", "1.0", ""].map(|t| takes(either, t)),
            [true, true, true, false, false, false]
        );
        assert_eq!(either.to_string(), "none, or a whole number from 1 to 5");
    }

    #[test]
    fn directions_name_columns_whatever_these_hold() {
        use Direction::{Falling, Rising};
        let read = |text: &str| {
            let found = directions(text)?.into_iter();
            Some(found.map(|(name, direction)| (name, direction == Rising)).collect::<Vec<_>>())
        };
        let named = |name: &str, direction| (name.to_string(), direction == Rising);
        assert_eq!(read("size:+"), Some(vec![named("size", Rising)]));
        assert_eq!(read("a:+,b:-"), Some(vec![named("a", Rising), named("b", Falling)]));
        assert_eq!(read("a:b, c:-"), Some(vec![named("a:b, c", Falling)]));
        assert_eq!(read("größe: €:+,x:+y:-"), Some(vec![named("größe: €", Rising), named("x:+y", Falling)]));
        for wrong in ["", "a", "a+", "a:", ":+", "a:+,", "a:+b", "a:1", "none"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn settings_are_read_as_what_they_are() {
        let mut values = Map::new();
        for (name, range, text) in [
            ("rate", Range::Above(0.0, 1.0), "0.5"),
            ("depth", Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, 9)]), "none"),
            ("sizes", Range::Sizes(1, 100), "64-32"),
            ("warm", Range::Flag, "true"),
            ("side", Range::Choice(&["left", "right"]), "right"),
        ] {
            values.insert(name.into(), range.parse(text).unwrap());
        }
        let settings = Settings(values);
        assert_eq!((settings.number("rate"), settings.flag("warm")), (0.5, true));
        assert_eq!((settings.optional_whole("depth"), settings.word("depth")), (None, "none"));
        assert_eq!(settings.sizes("sizes"), [64, 32]);
        #[derive(Debug, Clone, Copy, PartialEq)]
        struct Side(bool);
        impl Word for Side {
            const WORDS: &'static [&'static str] = &["left", "right"];
            const ALL: &'static [Self] = &[Side(false), Side(true)];
        }
        assert_eq!(settings.choice::<Side>("side"), Side(true));
    }
}
