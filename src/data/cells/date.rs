//! Dates and date-times, as people and programs write them, to seconds since 1970 in UTC and back.
//!
//! | written | read as |
//! |---|---|
//! | `2024-03-05`, `2024/3/5`, `2024.03.05`, `2024年3月5日` | year, month, day |
//! | `05.03.2024` | day, month, year |
//! | `05/03/2024`, `05-03-2024` | day or month first, as the column says ([`Evidence`]) |
//! | and then `T14:30`, ` 14:30:05.25`, ` 2:30 PM`, with `Z` or `+08:00` | a time; in UTC if no zone is given |
//! | `20240305`, `1709596800` | only if a column is declared a date: a day, or seconds since 1970 |
//!
//! The calendar is the Gregorian one, from year 1 to 9999, by the crate `jiff`. The texts are read here: `jiff` reads
//! ISO 8601 and patterns that are known beforehand, not many notations whose order of day and month the column decides.

use jiff::SignedDuration;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

const SECONDS_A_DAY: f64 = 86_400.0;

/// 0001-01-01, in seconds since 1970.
const YEAR_1: f64 = -62_135_596_800.0;

/// 10000-01-01.
const YEAR_10_000: f64 = 253_402_300_800.0;

/// The order of day and month in `05/03/2024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The 5th of March.
    DayFirst,
    /// May 3rd.
    MonthFirst,
}

/// How the dates of a column are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notation {
    /// The order of day and month if the year comes last. Absent if the training rows hold no such date: then only
    /// dates that can be read in one order alone are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether numbers are dates: `YYYYMMDD`, or else seconds since 1970.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbers: bool,
}

/// A text that is a date, before the order is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Read {
    /// The year and two numbers whose order is that of [`Read::ordered`].
    year: i16,
    first: u32,
    second: u32,
    ordered: Ordered,
    /// Seconds after midnight in UTC; may be of another day.
    time: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ordered {
    MonthDay,
    DayMonth,
    Unknown,
}

/// The dates of a column, joined over its cells in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Cells that are dates.
    pub dates: usize,
    /// Dates whose day comes first for certain, such as `25/03/2024`.
    pub day_first: usize,
    /// Dates whose month comes first for certain.
    pub month_first: usize,
    /// Dates that are two different days in the two orders.
    pub ambiguous: usize,
}

impl Evidence {
    /// Adds a text that occurs `n` times; returns whether it is a date.
    pub fn look(&mut self, text: &str, n: usize) -> bool {
        let Some(read) = read(text) else {
            return false;
        };
        if read.ordered == Ordered::Unknown {
            match (read.seconds(Order::DayFirst), read.seconds(Order::MonthFirst)) {
                (None, None) => return false,
                (Some(_), None) => self.day_first += n,
                (None, Some(_)) => self.month_first += n,
                // 05/05/2024 is the same day either way.
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => self.ambiguous += n,
            }
        } else if read.seconds(Order::MonthFirst).is_none() {
            return false;
        }
        self.dates += n;
        true
    }

    /// Whether one order reads all dates.
    pub fn is_consistent(&self) -> bool {
        self.day_first == 0 || self.month_first == 0
    }

    /// The order of most dates that are certain; month first, as in `pandas.to_datetime`, if every date can be read in
    /// both orders.
    pub fn order(&self) -> Option<Order> {
        if self.day_first + self.month_first + self.ambiguous == 0 {
            None
        } else if self.day_first > self.month_first {
            Some(Order::DayFirst)
        } else {
            Some(Order::MonthFirst)
        }
    }

    /// Whether the order is a guess.
    pub fn is_guess(&self) -> bool {
        self.ambiguous > 0 && self.day_first + self.month_first == 0
    }
}

impl Read {
    fn seconds(self, order: Order) -> Option<f64> {
        let day_first = match self.ordered {
            Ordered::MonthDay => false,
            Ordered::DayMonth => true,
            Ordered::Unknown => order == Order::DayFirst,
        };
        let (month, day) = if day_first { (self.second, self.first) } else { (self.first, self.second) };
        let seconds = seconds_of_day(self.year, month, day)? + self.time;
        if !in_calendar(seconds, seconds) {
            return None;
        }
        // One microsecond is one number, whatever the zone it was written in.
        Some(if seconds.fract() == 0.0 { seconds } else { (seconds * 1e6).round() / 1e6 })
    }
}

/// Seconds since 1970 in UTC, to the microsecond, of a date as a column writes it.
///
/// # Errors
/// A text that is no date, or one that can be read in two orders; the message says how to write it.
pub(crate) fn parse(text: &str, notation: Notation) -> Result<f64, String> {
    let text = text.trim();
    if let Some(read) = read(text) {
        let seconds = match notation.order {
            Some(order) => read.seconds(order),
            None => {
                let (day_first, month_first) =
                    (read.seconds(Order::DayFirst), read.seconds(Order::MonthFirst));
                if day_first.is_some() && month_first.is_some() && day_first != month_first {
                    return Err(format!(
                        "{text:?} can be read with the day or the month first; write it as {}",
                        format(month_first.unwrap_or_default())
                    ));
                }
                day_first.or(month_first)
            }
        };
        return seconds.ok_or_else(|| not_a_date(text));
    }
    match text.parse::<f64>() {
        Ok(value) if notation.numbers && value.is_finite() => from_number(value),
        _ => Err(not_a_date(text)),
    }
}

/// The date of a number in a column that is declared a date: `YYYYMMDD` if that is a day of the year 1000 or later,
/// else seconds since 1970.
///
/// # Errors
/// A number outside of the years 1 to 9999.
pub(crate) fn from_number(value: f64) -> Result<f64, String> {
    if value.fract() == 0.0 && (10_000_101.0..=99_991_231.0).contains(&value) {
        let digits = value as i64;
        let (month, day) = ((digits / 100 % 100) as u32, (digits % 100) as u32);
        let read = Read {
            year: (digits / 10_000) as i16,
            first: month,
            second: day,
            ordered: Ordered::MonthDay,
            time: 0.0,
        };
        if let Some(seconds) = read.seconds(Order::MonthFirst) {
            return Ok(seconds);
        }
    }
    if in_calendar(value, value) {
        Ok((value * 1e6).round() / 1e6)
    } else {
        Err(format!("{value} is not a date: neither YYYYMMDD nor seconds since 1970"))
    }
}

/// Whether two times are of the years that can be written.
pub(crate) fn in_calendar(first: f64, last: f64) -> bool {
    [first, last].iter().all(|seconds| (YEAR_1..YEAR_10_000).contains(seconds))
}

/// The message for a cell that is no date.
pub(crate) fn not_a_date(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("{shown:?} is not a date, such as 2024-03-05 or 2024-03-05T14:30:00Z")
}

/// A date as ISO 8601 writes it, without a time if that is midnight; [`parse`] reads the same again.
pub(crate) fn format(seconds: f64) -> String {
    let days = (seconds / SECONDS_A_DAY).floor();
    let date = day_at(days).to_string();
    let micros = ((seconds - days * SECONDS_A_DAY) * 1e6).round() as u64;
    if micros == 0 {
        return date;
    }
    let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let time = format!("{date}T{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    if fraction == 0 { time + "Z" } else { format!("{time}.{fraction:06}Z") }
}

/// The parts of a date: year, month from 1, day from 1, weekday (Monday is 1, as in ISO 8601), hour in UTC, and days
/// since 1970 with the time as a fraction.
pub(crate) fn parts(seconds: f64) -> [f64; N_PARTS] {
    let elapsed = seconds / SECONDS_A_DAY;
    let days = elapsed.floor();
    let date = day_at(days);
    let hour = ((seconds - days * SECONDS_A_DAY) / 3600.0).floor();
    let weekday = date.weekday().to_monday_one_offset();
    [date.year().into(), date.month().into(), date.day().into(), weekday.into(), hour, elapsed]
}

/// How many numbers [`parts`] gives.
pub(crate) const N_PARTS: usize = 6;

/// Their names.
pub(crate) const PART_NAMES: [&str; N_PARTS] = ["year", "month", "day", "weekday", "hour", "elapsed days"];

/// The length of the cycle of each part; 0 if it has none.
pub(crate) const CYCLES: [f64; N_PARTS] = [0.0, 12.0, 0.0, 7.0, 24.0, 0.0];

/// 1970-01-01.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Seconds from 1970-01-01 to the start of a day; `None` if the calendar has no such day.
fn seconds_of_day(year: i16, month: u32, day: u32) -> Option<f64> {
    // The month is looked at first: an error of the library costs an allocation, and every other reading of
    // 25/03/2024 has a 25th month.
    let month = i8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
    let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    Some(date.duration_since(EPOCH).as_secs() as f64)
}

/// The day at `days` from 1970-01-01; the first or last of the calendar beyond it.
fn day_at(days: f64) -> Date {
    EPOCH.saturating_add(SignedDuration::from_hours(days as i64 * 24))
}

/// The rest of a text that is being read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// A number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let n = self.0.bytes().take(max).take_while(u8::is_ascii_digit).count();
        let more = self.0.as_bytes().get(n).is_some_and(u8::is_ascii_digit);
        if n < min || more {
            return None;
        }
        let (digits, rest) = self.0.split_at(n);
        self.0 = rest;
        digits.parse().ok()
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_any(&mut self, wanted: &[char]) -> Option<char> {
        wanted.iter().copied().find(|&c| self.take(c))
    }
}

fn read(text: &str) -> Option<Read> {
    // Most cells that are no dates end here. The shortest is 1/1/2024, the longest has nine digits of a second and a zone.
    if !text.as_bytes().first()?.is_ascii_digit() || !(8..=48).contains(&text.len()) {
        return None;
    }
    let mut rest = Rest(text);
    let year_first = text.bytes().take_while(u8::is_ascii_digit).count() == 4;
    let (year, first, second, ordered) = if year_first {
        let year = rest.digits(4, 4)?;
        let mark = rest.take_any(&['-', '/', '.', '年'])?;
        let month = rest.digits(1, 2)?;
        rest.take(if mark == '年' { '月' } else { mark }).then_some(())?;
        let day = rest.digits(1, 2)?;
        if mark == '年' {
            rest.take_any(&['日', '号'])?;
        }
        (year, month, day, Ordered::MonthDay)
    } else {
        let first = rest.digits(1, 2)?;
        let mark = rest.take_any(&['/', '.', '-'])?;
        let second = rest.digits(1, 2)?;
        rest.take(mark).then_some(())?;
        let year = rest.digits(4, 4)?;
        let ordered = if mark == '.' { Ordered::DayMonth } else { Ordered::Unknown };
        (year, first, second, ordered)
    };
    let time = if rest.0.is_empty() { 0.0 } else { read_time(&mut rest)? };
    Some(Read { year: i16::try_from(year).ok()?, first, second, ordered, time })
}

/// The time after a date, to the end of the text, in seconds of UTC.
fn read_time(rest: &mut Rest) -> Option<f64> {
    rest.take_any(&['T', 't', ' '])?;
    rest.0 = rest.0.trim_start();
    let mut hour = rest.digits(1, 2)?;
    rest.take(':').then_some(())?;
    let minute = rest.digits(2, 2)?;
    let mut second = 0;
    let mut micros = 0.0;
    if rest.take(':') {
        second = rest.digits(2, 2)?;
        if rest.take_any(&['.', ',']).is_some() {
            let n = rest.0.bytes().take_while(u8::is_ascii_digit).count();
            if n == 0 {
                return None;
            }
            let kept = rest.0[..n.min(6)].parse::<u32>().ok()?;
            micros = f64::from(kept) * 10_f64.powi(6 - n.min(6) as i32);
            rest.0 = &rest.0[n..];
        }
    }
    let end = rest.0.trim_start();
    let half = end.get(..2).filter(|half| half.eq_ignore_ascii_case("am") || half.eq_ignore_ascii_case("pm"));
    if let Some(half) = half {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half.eq_ignore_ascii_case("pm") { 12 } else { 0 };
        rest.0 = &end[2..];
    }
    // A leap second is the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    rest.0 = rest.0.trim_start();
    let zone = if rest.0.is_empty() || matches!(rest.0, "Z" | "z" | "UTC" | "GMT") {
        0.0
    } else {
        let sign = if rest.take_any(&['+']).is_some() {
            1.0
        } else {
            rest.take_any(&['-', '\u{2212}']).map(|_| -1.0)?
        };
        let (hours, minutes) = if rest.0.len() == 4 {
            let both = rest.digits(4, 4)?;
            (both / 100, both % 100)
        } else {
            let hours = rest.digits(2, 2)?;
            (hours, if rest.take(':') { rest.digits(2, 2)? } else { 0 })
        };
        if !rest.0.is_empty() || hours > 18 || minutes > 59 {
            return None;
        }
        sign * f64::from(hours * 3600 + minutes * 60)
    };
    Some(f64::from(hour * 3600 + minute * 60 + second) - zone + micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> f64 {
        parse(text, Notation::default()).unwrap_or(f64::NAN)
    }

    #[test]
    fn one_day_is_read_from_every_way_to_write_it() {
        // `date -u -d 2024-03-05 +%s`
        for text in
            ["2024-03-05", "2024/3/5", "2024.03.05", "05.03.2024", "2024年3月5日", "2024-03-05T00:00Z"]
        {
            assert_eq!(seconds(text), 1_709_596_800.0, "{text}");
        }
        let half_past = 1_709_596_800.0 + 14.5 * 3600.0;
        for text in [
            "2024-03-05T14:30:00",
            "2024-03-05 14:30",
            "2024-03-05T22:30:00+08:00",
            "2024-03-05T09:00:00-0530",
            "2024-03-05 2:30 PM",
            "05.03.2024 14:30:00 UTC",
            "2024年3月5日 14:30:00",
        ] {
            assert_eq!(seconds(text), half_past, "{text}");
        }
        assert_eq!(seconds("2024-03-05T14:30:00.250000999Z"), half_past + 0.25);
        assert_eq!(seconds("1969-12-31"), -86_400.0);
        assert_eq!(seconds("0001-01-01"), -62_135_596_800.0, "`date -u -d 0001-01-01 +%s`");
    }

    #[test]
    fn what_is_no_day_or_no_time_is_no_date() {
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-04-31",
            "2024-03-05T24:00",
            "2024-03-05T14:60",
            "2024-03",
            "2024-03-05 noon",
            "2024-03/05",
            "1.2.3",
            "1.5",
            "20240305",
            "1709596800",
            "0000-01-01",
            "12:30",
            "2024-03-05T14:30+99:00",
            "32/01/2024",
            "2024-03-05T13:00 PM",
            "5 March 2024",
            "",
        ] {
            assert!(seconds(text).is_nan(), "{text}");
        }
        assert_eq!(seconds("2000-02-29"), 951_782_400.0);
    }

    #[test]
    fn the_order_of_day_and_month_is_what_all_rows_say_together() {
        let evidence = |texts: &[&str]| {
            let mut evidence = Evidence::default();
            texts.iter().for_each(|text| assert!(evidence.look(text, 1), "{text}"));
            evidence
        };
        assert_eq!(evidence(&["05/03/2024", "25/03/2024"]).order(), Some(Order::DayFirst));
        assert_eq!(evidence(&["03/25/2024", "05/03/2024"]).order(), Some(Order::MonthFirst));
        assert!(!evidence(&["25/03/2024", "03/25/2024"]).is_consistent());
        let guess = evidence(&["05/03/2024", "04/04/2024"]);
        assert!(guess.is_guess() && guess.order() == Some(Order::MonthFirst));
        assert_eq!(evidence(&["2024-03-05", "05.03.2024"]).order(), None);
        let with = |order| Notation { order, numbers: false };
        assert_eq!(parse("05/03/2024", with(Some(Order::DayFirst))), Ok(1_709_596_800.0));
        assert_eq!(parse("03/05/2024", with(Some(Order::MonthFirst))), Ok(1_709_596_800.0));
        assert!(parse("25/03/2024", with(Some(Order::MonthFirst))).unwrap_err().contains("is not a date"));
        assert!(parse("05/03/2024", with(None)).unwrap_err().contains("write it as 2024-05-03"));
        assert!(parse("25/03/2024", with(None)).is_ok());
    }

    #[test]
    fn numbers_are_dates_only_where_that_is_said() {
        let numbers = Notation { order: None, numbers: true };
        assert_eq!(parse("20240305", numbers), Ok(1_709_596_800.0));
        assert_eq!(parse("1709596800", numbers), Ok(1_709_596_800.0));
        assert_eq!(from_number(20_241_305.0), Ok(20_241_305.0), "no 13th month: seconds");
        assert!(from_number(1_709_596_800_000.0).unwrap_err().contains("seconds since 1970"));
    }

    #[test]
    fn a_date_is_written_as_it_is_read_and_its_parts_are_those_of_the_calendar() {
        let mut midnight = YEAR_1;
        while midnight < YEAR_10_000 {
            assert_eq!(seconds(&format(midnight + 3661.5)), midnight + 3661.5);
            assert_eq!(seconds(&format(midnight)), midnight);
            midnight += 97.0 * SECONDS_A_DAY;
        }
        assert_eq!(format(YEAR_1), "0001-01-01");
        assert_eq!(format(YEAR_10_000 - 1.0), "9999-12-31T23:59:59Z");
        // A Tuesday.
        assert_eq!(parts(seconds("2024-03-05T14:30:00Z"))[..5], [2024.0, 3.0, 5.0, 2.0, 14.0]);
        assert_eq!(parts(seconds("1969-12-31T23:00:00Z"))[..5], [1969.0, 12.0, 31.0, 3.0, 23.0]);
        assert_eq!(parts(43_200.0)[5], 0.5);
    }
}
