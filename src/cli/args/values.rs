//! Parsers of single flag values; each error says how the value is written.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::data::cells::cell::ColumnType;
use crate::data::read::source::Options;
use crate::model::postprocessing::Costs;
use crate::predict::OnError;
use crate::predict::what_if::MAX_CHANGES;

/// The quote character of a file; `None`: no character is special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote(pub Option<u8>);

/// The encoding of a text; `None`: detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(pub Option<&'static encoding_rs::Encoding>);

/// How many contributions are named; `None`: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top(pub Option<usize>);

pub(super) fn parse_top(text: &str) -> Result<Top, String> {
    match text {
        "all" => Ok(Top(None)),
        _ => text
            .parse()
            .map(|n| Top(Some(n)))
            .map_err(|_| "it is a number of contributions, as --explain=5".into()),
    }
}

/// The rates that can be meant, in requests per second.
const RATES: RangeInclusive<f64> = 0.1 / 3600.0..=1e6;

/// Requests a second of `100/s`, `600/m` or `100`.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let (count, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.split('/').next().unwrap_or(text), 1.0),
        Some((count, "m")) => (count, 60.0),
        Some((count, "h")) => (count, 3600.0),
        Some(_) => (text, 1.0),
    };
    let rate = count.parse::<f64>().ok().map(|n| n / seconds).filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| "write it as 100/s, 600/m or 1000/h; at least 0.1/h and at most 1000000/s".into())
}

/// A number above 0 and up to 1.
pub(super) fn parse_sample(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a share is above 0 and at most 1".into())
}

pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.trim().into(), value.trim().into()))
}

pub(super) fn parse_type(text: &str) -> Result<(String, ColumnType), String> {
    // The last "=": a column's name may hold one.
    let (column, name) = text.rsplit_once('=').ok_or("a type is COL=TYPE")?;
    let types =
        [ColumnType::Number, ColumnType::Boolean, ColumnType::Category, ColumnType::Text, ColumnType::Date];
    let found = types.into_iter().find(|t| t.name() == name);
    let column_type =
        found.ok_or(format!("{name:?} is not a type; types are number, boolean, category, text, date"))?;
    Ok((column.into(), column_type))
}

pub(super) fn parse_decimal(text: &str) -> Result<u8, String> {
    match text {
        "." => Ok(b'.'),
        "," => Ok(b','),
        _ => Err("a decimal mark is . or ,".into()),
    }
}

pub(super) fn parse_thousands(text: &str) -> Result<char, String> {
    match text.chars().collect::<Vec<_>>()[..] {
        [c] if ",.'_ \u{2019}\u{a0}\u{202f}\u{2009}".contains(c) => Ok(c),
        _ => Err("between thousands is , . ' _ or a blank".into()),
    }
}

pub(super) fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("a delimiter is one ASCII character, or \\t for a tab".into()),
        },
    }
}

pub(super) fn parse_comment(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_punctuation() => Ok(*byte),
        _ => Err("comments begin with one ASCII character that is no letter and no digit, such as #".into()),
    }
}

pub(super) fn parse_on_error(text: &str) -> Result<OnError, String> {
    match text {
        "stop" => Ok(OnError::Stop),
        "skip" => Ok(OnError::Skip),
        "null" => Ok(OnError::Null),
        _ => Err("it is stop, skip or null".into()),
    }
}

pub(super) fn parse_quote(text: &str) -> Result<Quote, String> {
    match text.as_bytes() {
        b"none" => Ok(Quote(None)),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Quote(Some(*byte))),
        _ => Err("a quote is one ASCII character, or none".into()),
    }
}

pub(super) fn parse_encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "auto" => Ok(Encoding(None)),
        name => Options::encoding_named(name).map(|encoding| Encoding(Some(encoding))),
    }
}

pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("the share is a number above 0 and below 1".into()),
    }
}

/// A share of the rows between 0 and 1.
pub(super) fn parse_level(text: &str) -> Result<f64, String> {
    parse_share(text).map_err(|_| "the share is a number above 0 and below 1, such as 0.9".into())
}

/// The costs of both errors, each 1 unless it is given: `fp=1,fn=5`.
pub(super) fn parse_costs(text: &str) -> Result<Costs, String> {
    let hint = || "costs are numbers from 0, not both 0, written as fp=1,fn=5".to_string();
    let mut costs = Costs { false_positive: 1.0, false_negative: 1.0 };
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(hint)?;
        let value: f64 = value.trim().parse().map_err(|_| hint())?;
        match name.trim() {
            _ if !(value >= 0.0 && value.is_finite()) => return Err(hint()),
            "fp" => costs.false_positive = value,
            "fn" => costs.false_negative = value,
            _ => return Err(hint()),
        }
    }
    if costs.false_positive + costs.false_negative > 0.0 { Ok(costs) } else { Err(hint()) }
}

/// A time above 0 with its unit: `50us`, `2ms`, `1s`.
pub(super) fn parse_latency(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?.trim_end().parse::<f64>().ok()?;
        Some(number * seconds)
    });
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| "write a time with its unit, such as 50us or 2ms".into())
}

/// Minutes above 0 and below a year.
pub(super) fn parse_minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| *minutes > 0.0 && *minutes < 525_600.0);
    minutes
        .map(|minutes| Duration::from_secs_f64(minutes * 60.0))
        .ok_or_else(|| "give minutes as a number above 0, such as 5 or 0.5".into())
}

pub(super) fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a probability is a number from 0 to 1".into()),
    }
}

fn parse_whole(text: &str, low: usize, high: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("it is a whole number from {low} to {high}")),
    }
}

pub(super) fn parse_threads(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 1024)
}

pub(super) fn parse_folds(text: &str) -> Result<usize, String> {
    parse_whole(text, 2, 1000)
}

pub(super) fn parse_trials(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 100_000)
}

/// The columns that `--what-if` changes at most.
pub(super) fn parse_changes(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, MAX_CHANGES)
}

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 1 << 40)
}

pub(super) fn parse_header_bytes(text: &str) -> Result<usize, String> {
    // hyper's smallest buffer is 8 KiB.
    parse_whole(text, 8192, 1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each text is read as, and the texts that are refused with a hint that holds `hint`.
    fn check<T: PartialEq + std::fmt::Debug>(
        parse: impl Fn(&str) -> Result<T, String>,
        accepted: &[(&str, T)],
        refused: &[&str],
        hint: &str,
    ) {
        for (text, value) in accepted {
            assert_eq!(parse(text).as_ref(), Ok(value), "{text:?}");
        }
        for text in refused {
            let error = parse(text).expect_err(text);
            assert!(error.contains(hint), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_rate_is_per_second_whatever_its_unit() {
        let accepted = [
            ("100", 100.0),
            ("100/s", 100.0),
            ("600/m", 10.0),
            ("7200/h", 2.0),
            ("0.5/s", 0.5),
            ("3/m", 0.05),
        ];
        let refused = [
            "",
            "0",
            "1e-20/s",
            "0.05/h",
            "1000001/s",
            "-1/s",
            "inf",
            "nan",
            "1/d",
            "/s",
            "1/s/s",
            "1 / s",
            "x/m",
        ];
        check(parse_rate, &accepted, &refused, "100/s, 600/m or 1000/h");
    }

    #[test]
    fn shares_and_probabilities_keep_to_their_bounds() {
        let outside = ["-0.1", "1.1", "nan", "inf", "half", "50%", ""];
        let with = |more: &[&'static str]| [&outside[..], more].concat();
        let hint = "above 0 and at most 1";
        check(parse_sample, &[("1", 1.0), ("0.25", 0.25), ("1e-3", 1e-3)], &with(&["0"]), hint);
        let hint = "above 0 and below 1";
        check(parse_share, &[("0.25", 0.25), ("0.999", 0.999)], &with(&["0", "1"]), hint);
        check(parse_probability, &[("0", 0.0), ("1", 1.0), ("0.5", 0.5)], &outside, "from 0 to 1");
    }

    #[test]
    fn costs_are_given_by_name() {
        let costs = |false_positive, false_negative| Costs { false_positive, false_negative };
        let accepted = [
            ("fp=1,fn=5", costs(1.0, 5.0)),
            ("fn=0.5", costs(1.0, 0.5)),
            (" fp = 0 , fn=2", costs(0.0, 2.0)),
        ];
        check(parse_costs, &accepted, &["", "5", "fp=-1", "tp=1", "fp=0,fn=0", "fn=inf"], "fp=1,fn=5");
    }

    #[test]
    fn a_setting_ends_its_key_at_the_first_equals_sign_and_a_column_its_name_at_the_last() {
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        let accepted = [("C=1", pair("C", "1")), (" C = a=b ", pair("C", "a=b")), ("C=", pair("C", ""))];
        check(parse_pair, &accepted, &["C", ""], "KEY=VALUE");
        let typed = |column: &str, column_type| (column.to_string(), column_type);
        let accepted = [
            ("a=number", typed("a", ColumnType::Number)),
            ("a=boolean", typed("a", ColumnType::Boolean)),
            ("a=category", typed("a", ColumnType::Category)),
            ("a b=text", typed("a b", ColumnType::Text)),
            ("x=y=date", typed("x=y", ColumnType::Date)),
        ];
        check(parse_type, &accepted, &["number"], "COL=TYPE");
        check(parse_type, &[], &["a=", "a=Number", "a=int"], "number, boolean, category, text, date");
        assert!(parse_type("a=int").unwrap_err().contains("\"int\""));
    }

    #[test]
    fn a_delimiter_and_a_quote_are_one_ascii_character_or_have_a_name() {
        let accepted = [(",", b','), (";", b';'), (" ", b' '), ("\\t", b'\t'), ("tab", b'\t'), ("\t", b'\t')];
        check(parse_delimiter, &accepted, &["", ",,", "\"", "\n", "\r", "§", "\\n"], "\\t for a tab");
        let accepted = [("'", Quote(Some(b'\''))), ("\"", Quote(Some(b'"'))), ("none", Quote(None))];
        check(parse_quote, &accepted, &["", "''", "\n", "\r", "«", "None"], "or none");
    }

    #[test]
    fn words_are_read_and_others_are_answered_with_all_words() {
        let accepted = [("stop", OnError::Stop), ("skip", OnError::Skip), ("null", OnError::Null)];
        check(parse_on_error, &accepted, &["", "Stop", "ignore"], "stop, skip or null");
        let named = |encoding| Encoding(Some(encoding));
        let accepted = [
            ("auto", Encoding(None)),
            ("utf-8", named(encoding_rs::UTF_8)),
            ("Latin-1", named(encoding_rs::WINDOWS_1252)),
            ("shift_jis", named(encoding_rs::SHIFT_JIS)),
        ];
        check(parse_encoding, &accepted, &["", "utf-9"], "is not an encoding");
    }

    #[test]
    fn whole_numbers_name_their_bounds_and_take_both() {
        type Parser = fn(&str) -> Result<usize, String>;
        let parsers: [(Parser, usize, usize); 5] = [
            (parse_threads, 1, 1024),
            (parse_folds, 2, 1000),
            (parse_trials, 1, 100_000),
            (parse_count, 1, 1 << 40),
            (parse_header_bytes, 8192, 1 << 30),
        ];
        for (parse, low, high) in parsers {
            let (below, above) = ((low - 1).to_string(), (high + 1).to_string());
            let refused =
                [below.as_str(), above.as_str(), "", "-1", "2.0", "1e3", "all", "99999999999999999999"];
            let accepted = [(&*low.to_string(), low), (&*high.to_string(), high)];
            check(parse, &accepted, &refused, &format!("a whole number from {low} to {high}"));
        }
    }
}
