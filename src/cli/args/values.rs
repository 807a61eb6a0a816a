//! Parsers of single flag values; each error says how the value is written.

use crate::data::cells::cell::ColumnType;
use crate::data::read::source::Options;
use crate::predict::OnError;

/// The quote character of a file; `None`: no character is special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote(pub Option<u8>);

/// The encoding of a text; `None`: detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(pub Option<&'static encoding_rs::Encoding>);

/// Requests a second of `100/s`, `600/m` or `100`.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let (count, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.split('/').next().unwrap_or(text), 1.0),
        Some((count, "m")) => (count, 60.0),
        Some((count, "h")) => (count, 3600.0),
        Some(_) => (text, 1.0),
    };
    let rate = count.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    rate.map(|n| n / seconds).ok_or_else(|| "write it as 100/s, 600/m or 1000/h".into())
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

pub(super) fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("a delimiter is one ASCII character, or \\t for a tab".into()),
        },
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

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 1 << 40)
}

pub(super) fn parse_header_bytes(text: &str) -> Result<usize, String> {
    // hyper's smallest buffer is 8 KiB.
    parse_whole(text, 8192, 1 << 30)
}
