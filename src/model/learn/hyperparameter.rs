//! Hyperparameters: how each is declared, checked and read.
//!
//! A family declares its [`Parameter`]s; [`Spec`](super::Spec) parses what `--set` says by their [`Range`]s; the family then
//! reads the checked [`Settings`] once, into a struct of its own.

use std::fmt;

use serde_json::{Map, Value};

/// What a hyperparameter may be.
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
    /// What the first of these that can read it makes of it.
    AnyOf(&'static [Range]),
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
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::AnyOf(ranges) => {
                for (i, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if i > 0 { ", or " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// A hyperparameter as `--set`, the card and the manual know it.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, scikit-learn's.
    pub name: &'static str,
    /// What it is when not set, written as in `--set`; scikit-learn's unless `effect` says otherwise.
    pub default: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it does.
    pub effect: &'static str,
}

impl Parameter {
    pub(crate) fn parse(&self, text: &str) -> Option<Value> {
        self.range.parse(text)
    }
}

impl Range {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Range::Choice(words) => words.contains(&text).then(|| text.into()),
            Range::AnyOf(ranges) => ranges.iter().find_map(|range| range.parse(text)),
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

    /// A whole number, or `None` where the setting is a word such as `none`.
    pub fn optional_whole(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(Value::as_u64).map(|value| value as usize)
    }

    /// Whole numbers; none if there is no list of that name.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        let sizes = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        sizes.filter_map(Value::as_u64).map(|size| size as usize).collect()
    }

    /// A word; empty where the setting is a number.
    pub fn word(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}
