//! Durations and times of day as people and programs write them, in seconds: `01:30:00`, `1:05`, `-0:30`, `26:10:00`,
//! `2h 15m`, `1 d 2 h`, `PT1H30M`.
//!
//! `1:05` is an hour and five minutes, unless other cells of the column have three parts: then it is a minute and five
//! seconds. A column has one reading, found by joining its cells in any order ([`Evidence`]) and kept with its type
//! ([`Notation`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the durations of a column are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notation {
    /// Whether two parts are minutes and seconds: `1:05`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub minutes_first: bool,
}

/// What the cells of a column say about its notation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Cells that are durations.
    pub(crate) durations: usize,
    /// Those of two parts, `1:05`.
    pub(crate) of_two: usize,
    /// Those of three parts, `1:05:00`.
    pub(crate) of_three: usize,
}

/// A duration as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Read {
    /// Two parts whose meaning the column decides.
    Two(f64, f64),
    Three(f64),
    /// With letters.
    Units(f64),
}

/// Longer cells are no durations.
const MAX_BYTES: usize = 32;

impl Evidence {
    /// Adds a text that occurs `n` times; returns whether it is a duration.
    pub(crate) fn look(&mut self, text: &str, n: usize) -> bool {
        match read(text) {
            None => return false,
            Some((_, Read::Two(..))) => self.of_two += n,
            Some((_, Read::Three(_))) => self.of_three += n,
            Some((_, Read::Units(_))) => {}
        }
        self.durations += n;
        true
    }

    /// The notation, whatever the cells.
    pub(crate) fn notation(&self) -> Notation {
        // Programs drop the hours of short durations, not the seconds of some.
        Notation { minutes_first: self.of_two > 0 && self.of_three > 0 }
    }
}

impl Notation {
    /// The seconds of a cell; `None` if it is no duration.
    pub fn parse(&self, text: &str) -> Option<f64> {
        let (negative, read) = read(text)?;
        let seconds = match read {
            Read::Two(minutes, seconds) if self.minutes_first => minutes * 60.0 + seconds,
            Read::Two(hours, minutes) => hours * 3600.0 + minutes * 60.0,
            Read::Three(seconds) | Read::Units(seconds) => seconds,
        };
        Some(if negative { -seconds } else { seconds })
    }
}

/// A duration as `1:05:00` or `1:05:00.25`; [`Notation::parse`] reads the same again.
pub(crate) fn write(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let micros = (seconds.abs() * 1e6).round();
    let whole = (micros / 1e6).floor();
    let fraction = (micros - whole * 1e6) as u64;
    let (hours, minutes, seconds) = ((whole / 3600.0).floor(), (whole / 60.0).floor() % 60.0, whole % 60.0);
    let text = format!("{sign}{hours}:{minutes:02}:{seconds:02}");
    if fraction == 0 { text } else { format!("{text}.{fraction:06}") }
}

impl fmt::Display for Notation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.minutes_first {
            "durations in seconds, 1:05 is a minute"
        } else {
            "durations in seconds"
        })
    }
}

/// Whether it is negative, and the duration.
fn read(text: &str) -> Option<(bool, Read)> {
    let text = text.trim();
    if text.len() > MAX_BYTES || !text.is_ascii() && !text.starts_with('\u{2212}') {
        return None;
    }
    let rest = text.strip_prefix(['-', '\u{2212}']);
    let (negative, rest) = (rest.is_some(), rest.unwrap_or(text));
    let read = if rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(':') {
        with_colons(rest)
    } else {
        with_units(rest)
    };
    Some((negative, read?))
}

/// `H:MM`, `H:MM:SS`, `H:MM:SS.25`, `D:HH:MM:SS` and `D.HH:MM:SS`.
fn with_colons(text: &str) -> Option<Read> {
    let (text, fraction) = match text.rsplit_once(['.', ',']) {
        Some((whole, digits)) if whole.matches(':').count() >= 2 && is_digits(digits, 1, 9) => {
            (whole, format!("0.{digits}").parse().ok()?)
        }
        _ => (text, 0.0),
    };
    let (days, text) = match text.split_once(['.', ' ']) {
        Some((days, rest)) if is_digits(days, 1, 5) => (days.parse::<f64>().ok()?, rest.trim_start()),
        _ => (0.0, text),
    };
    let mut parts = text.split(':');
    let (first, second) = (parts.next()?, parts.next()?);
    let below_60 =
        |text: &str| (is_digits(text, 2, 2) && text < "60").then(|| text.parse::<f64>().ok()).flatten();
    let first = is_digits(first, 1, 5).then(|| first.parse::<f64>().ok()).flatten()?;
    match (parts.next(), parts.next()) {
        (None, _) if days == 0.0 => Some(Read::Two(first, below_60(second)?)),
        (Some(third), None) => {
            let seconds = first * 3600.0 + below_60(second)? * 60.0 + below_60(third)?;
            Some(Read::Three(days * 86_400.0 + seconds + fraction))
        }
        _ => None,
    }
}

fn is_digits(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2h 15m`, `1 d 2 h`, `90 min 5 s`, and ISO 8601: `P1DT2H`, `PT1H30M`.
fn with_units(text: &str) -> Option<Read> {
    const UNITS: [(&str, f64); 17] = [
        ("weeks", 604_800.0),
        ("week", 604_800.0),
        ("w", 604_800.0),
        ("days", 86_400.0),
        ("day", 86_400.0),
        ("d", 86_400.0),
        ("hours", 3600.0),
        ("hour", 3600.0),
        ("hrs", 3600.0),
        ("hr", 3600.0),
        ("h", 3600.0),
        ("minutes", 60.0),
        ("mins", 60.0),
        ("min", 60.0),
        ("m", 60.0),
        ("sec", 1.0),
        ("s", 1.0),
    ];
    let lower = text.to_ascii_lowercase();
    let (mut rest, is_iso) = match lower.strip_prefix('p') {
        Some(rest) => (rest, true),
        None => (lower.as_str(), false),
    };
    let (mut seconds, mut last) = (0.0, f64::INFINITY);
    // After the T of ISO 8601 an M is a minute, before it a month, of which nobody knows the length.
    let mut in_time = !is_iso;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('t').filter(|_| !in_time) {
            (rest, in_time) = (time, true);
        }
        let n = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, after) = rest.split_at(n);
        let number: f64 = number.parse().ok().filter(|_| number.ends_with(|c: char| c.is_ascii_digit()))?;
        let after = after.trim_start();
        let n = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(if is_iso { n.min(1) } else { n });
        let (name, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        if factor >= last || name == "m" && !in_time {
            return None;
        }
        (seconds, last) = (seconds + number * factor, factor);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    (last < f64::INFINITY).then_some(Read::Units(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_seconds_however_they_are_written() {
        let notation = Notation::default();
        for (text, seconds) in [
            ("01:30:00", 5400.0),
            ("1:05", 3900.0),
            ("26:10:00", 94_200.0),
            ("-0:30", -1800.0),
            ("\u{2212}00:00:01", -1.0),
            ("0:00:01.25", 1.25),
            ("1.02:00:00", 93_600.0),
            ("2h 15m", 8100.0),
            ("2h15min", 8100.0),
            ("1 day, 2 hours", 93_600.0),
            ("PT1H30M", 5400.0),
            ("P1DT2H", 93_600.0),
            ("1.5h", 5400.0),
        ] {
            assert_eq!(notation.parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "1:5",
            "1:60",
            "12",
            "1:05:7",
            "a:05",
            "1:05:00:00",
            "P1M",
            "15m 2h",
            "2x",
            "h",
            "16:9",
            "1:05 PM",
        ] {
            assert_eq!(notation.parse(text), None, "{text}");
        }
    }

    #[test]
    fn two_parts_are_minutes_and_seconds_beside_three() {
        let mut evidence = Evidence::default();
        assert!(evidence.look("59:30", 3) && !evidence.notation().minutes_first);
        assert!(evidence.look("1:02:10", 1) && evidence.notation().minutes_first);
        assert_eq!(evidence.notation().parse("59:30"), Some(3570.0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -300_000_000_000_000_i64..300_000_000_000_000) {
            let seconds = micros as f64 / 1e6;
            let read = Notation::default().parse(&write(seconds)).unwrap();
            prop_assert!((read - seconds).abs() < 1e-6);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,20}") {
            Notation::default().parse(&text);
        }
    }
}
