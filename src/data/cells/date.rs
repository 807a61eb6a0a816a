//! Dates and date-times, as people and programs write them, to seconds since 1970 in UTC and back.
//!
//! | written | read as |
//! |---|---|
//! | `2024-03-05`, `2024/3/5`, `2024.03.05`, `2024年3月5日` | year, month, day |
//! | `05.03.2024`, `5.3.24` | day, month, year |
//! | `05/03/2024`, `05-03-2024` | day or month first, as the column says ([`Evidence`]) |
//! | `3/5/24`, `24-03-05` | day, month or year first, as the column says; a year of two digits is 1969 to 2068 |
//! | `5 Mar 2024`, `Mar 5, 2024`, `05-Mar-24`, `Tue, 5. März 2024` | a day with the name of its month in nine languages |
//! | `2024-03`, `03/2024`, `March 2024`, `2024-Q1`, `2024-W10` | the first day of that month, quarter or week |
//! | and then `T14:30`, ` 14:30:05.25`, ` 2:30 PM`, with `Z`, `+08:00` or `EST` | a time; in UTC if no zone is given |
//! | `20240305`, `45356`, `1709596800` | only if a column is declared a date ([`Unit`]) |
//!
//! The calendar is the Gregorian one, from year 1 to 9999, by the crate `jiff`. The texts are read in
//! [`super::date_text`]: `jiff` reads ISO 8601 and patterns that are known beforehand, not many notations whose order of
//! day and month the column decides.

use jiff::SignedDuration;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::date_text::{Day, EPOCH, ORDERS, Read, YEAR_10_000, read};
pub(crate) use super::date_text::{Order, in_calendar};

pub(crate) const SECONDS_A_DAY: f64 = 86_400.0;

/// The number of 1970-01-01 in Excel.
const EXCEL_EPOCH: f64 = 25_569.0;

/// 1900-01-01 to 9999-12-31 with a time, as Excel counts days.
const EXCEL_DAYS: std::ops::Range<f64> = 1.0..2_958_466.0;

/// A column seldom has days of more years than this with two digits, and days of a month are soon more.
const MANY_YEARS: u32 = 15;

/// What the numbers of a column of dates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// `20240305`, from the year 1000 on. A larger number is seconds since 1970.
    Digits,
    /// Days as Excel counts them, the fraction a time: 45356.5 is noon of 2024-03-05. They are those of its 1900 system,
    /// from 1 to 2958465; 60, the 29th of February that 1900 did not have, is the 1st of March.
    Excel,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970, from the number on that would be the year 10000 in seconds.
    Milliseconds,
}

impl Unit {
    /// What such numbers are called, with an example.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Digits => "days written YYYYMMDD: 20240305 is 2024-03-05",
            Self::Excel => "days as Excel counts them: 45356 is 2024-03-05",
            Self::Seconds => "seconds since 1970: 1709596800 is 2024-03-05",
            Self::Milliseconds => "milliseconds since 1970: 1709596800000 is 2024-03-05",
        }
    }

    /// Seconds since 1970; `None` if it is no such number.
    fn seconds(self, value: f64) -> Option<f64> {
        let seconds = match self {
            Self::Digits if value > 99_991_231.0 => value,
            Self::Digits => {
                if value.fract() != 0.0 || !(10_000_101.0..=99_991_231.0).contains(&value) {
                    return None;
                }
                let digits = value as u32;
                Read::day(digits / 10_000, digits / 100 % 100, digits % 100).seconds(Order::MonthFirst)?
            }
            Self::Excel => {
                if !EXCEL_DAYS.contains(&value) {
                    return None;
                }
                // It counts a 29th of February of 1900.
                let days = if value < 61.0 { value + 1.0 } else { value };
                // A minute is no binary fraction of a day; Excel keeps milliseconds.
                ((days - EXCEL_EPOCH) * SECONDS_A_DAY * 1e3).round() / 1e3
            }
            Self::Seconds => value,
            Self::Milliseconds if value < YEAR_10_000 => return None,
            Self::Milliseconds => value / 1e3,
        };
        in_calendar(seconds, seconds).then(|| (seconds * 1e6).round() / 1e6)
    }
}

/// How the dates of a column are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notation {
    /// The order of day, month and year if the text leaves it open. Absent if the training rows hold no such date: then
    /// only dates that can be read in one order alone are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether numbers are dates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbers: bool,
    /// What numbers are. Absent from older model files, in which each number is `YYYYMMDD` or else seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

/// The dates of a column, joined over its cells in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Cells that are dates.
    pub dates: usize,
    /// Dates whose year has two digits.
    pub short_years: usize,
    /// How many dates of an open order are days in each set of [`ORDERS`], a bit for each; not those that are one day in
    /// all of them.
    open: [usize; 8],
    /// The first and the last numbers, a bit for each, of dates that may begin or end with a year of two digits.
    ends: [u128; 2],
    /// Numbers, and how many of them each unit reads.
    numbers: usize,
    digits: usize,
    excel: usize,
    milliseconds: usize,
}

impl Evidence {
    /// Adds a text that occurs `n` times; returns whether it is a date.
    pub fn look(&mut self, text: &str, n: usize) -> bool {
        let Some(read) = read(text) else {
            return false;
        };
        if read.is_open() {
            let days = ORDERS.map(|order| read.seconds(order));
            let set = (0..3).filter(|&i| days[i].is_some()).map(|i| 1 << i).sum::<usize>();
            let mut present = days.iter().flatten();
            let Some(first) = present.next() else {
                return false;
            };
            // 05/05/2024 is the same day either way, and says nothing.
            if set.count_ones() == 1 || present.any(|other| other != first) {
                self.open[set] += n;
            }
            if let Day::Short { first, last, .. } = read.day {
                self.ends[0] |= 1 << first;
                self.ends[1] |= 1 << last;
            }
        } else if read.seconds(Order::MonthFirst).is_none() {
            return false;
        }
        self.dates += n;
        self.short_years += if read.has_short_year() { n } else { 0 };
        true
    }

    /// Adds a number that occurs `n` times, of a column that is declared a date.
    pub fn look_at_number(&mut self, value: f64, n: usize) {
        let count = |unit: Unit| if unit.seconds(value).is_some() { n } else { 0 };
        self.numbers += n;
        self.digits += if value <= 99_991_231.0 { count(Unit::Digits) } else { 0 };
        self.excel += count(Unit::Excel);
        self.milliseconds += count(Unit::Milliseconds);
    }

    /// What the numbers are: what more than half of them can be.
    pub fn unit(&self) -> Option<Unit> {
        let most = |n: usize| n * 2 > self.numbers;
        let fallback = (self.numbers > 0).then_some(Unit::Seconds);
        let units =
            [(self.digits, Unit::Digits), (self.excel, Unit::Excel), (self.milliseconds, Unit::Milliseconds)];
        units.into_iter().find(|(n, _)| most(*n)).map(|(_, unit)| unit).or(fallback)
    }

    /// How the dates of the column are written.
    pub fn notation(&self) -> Notation {
        Notation { order: self.order(), numbers: self.numbers > 0, unit: self.unit() }
    }

    /// The orders that read every date, a bit for each of [`ORDERS`].
    fn possible(&self) -> usize {
        let sets = (0..8).filter(|&set| self.open[set] > 0);
        sets.fold(0b111, |possible, set| possible & set)
    }

    /// Whether one order reads all dates.
    pub fn is_consistent(&self) -> bool {
        self.possible() > 0
    }

    /// Whether the first and the last numbers of dates with a year of two digits are many, as days are and years are not.
    fn many_ends(&self) -> [bool; 2] {
        self.ends.map(|ends| ends.count_ones() > MANY_YEARS)
    }

    /// The order that reads all dates, else the one that reads most. Of several the month is first, as in
    /// `pandas.to_datetime`; the year is if many different numbers stand last, as days do.
    pub fn order(&self) -> Option<Order> {
        if self.open.iter().all(|&n| n == 0) {
            return None;
        }
        let possible = self.possible();
        let year_first = self.many_ends() == [false, true];
        let reads =
            |i: usize| (0..8).filter(|set| set & (1 << i) != 0).map(|set| self.open[set]).sum::<usize>();
        let rank = |i: usize| {
            let place = match ORDERS[i] {
                Order::YearFirst if year_first => 3,
                Order::YearFirst => 0,
                Order::MonthFirst => 2,
                Order::DayFirst => 1,
            };
            (possible & (1 << i) != 0, reads(i), place)
        };
        (0..3).max_by_key(|&i| rank(i)).map(|i| ORDERS[i])
    }

    /// Whether the order is a guess.
    pub fn is_guess(&self) -> bool {
        let possible = self.possible();
        let settled = match self.many_ends() {
            [false, true] => possible & 0b100,
            [true, false] => possible & 0b011,
            _ => possible,
        };
        self.open.iter().any(|&n| n > 0) && settled.count_ones() > 1
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
                let days = ORDERS.map(|order| read.seconds(order));
                let mut days = days.into_iter().flatten();
                let first = days.next();
                if let Some(other) = days.find(|&other| Some(other) != first) {
                    let orders = match read.has_short_year() {
                        true => "the day, the month or the year first",
                        false => "the day or the month first",
                    };
                    return Err(format!("{text:?} can be read with {orders}; write it as {}", format(other)));
                }
                first
            }
        };
        return seconds.ok_or_else(|| not_a_date(text));
    }
    match text.parse::<f64>() {
        Ok(value) if notation.numbers && value.is_finite() => from_number(value, notation.unit),
        _ => Err(not_a_date(text)),
    }
}

/// The date of a number in a column that is declared a date; without a unit that of `YYYYMMDD`, else of seconds since 1970.
///
/// # Errors
/// A number that is no date in this unit.
pub(crate) fn from_number(value: f64, unit: Option<Unit>) -> Result<f64, String> {
    let Some(unit) = unit else {
        let seconds = Unit::Digits.seconds(value).or_else(|| Unit::Seconds.seconds(value));
        return seconds
            .ok_or_else(|| format!("{value} is not a date: neither YYYYMMDD nor seconds since 1970"));
    };
    unit.seconds(value).ok_or_else(|| {
        let meaning = unit.meaning();
        format!("{value} is not a date; the other numbers of the column are {meaning}")
    })
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

/// The day at `days` from 1970-01-01; the first or last of the calendar beyond it.
fn day_at(days: f64) -> Date {
    EPOCH.saturating_add(SignedDuration::from_hours(days as i64 * 24))
}

#[cfg(test)]
mod tests {
    use super::super::date_text::YEAR_1;
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
            "30/30/30",
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
        let with = |order| Notation { order, ..Notation::default() };
        assert_eq!(parse("05/03/2024", with(Some(Order::DayFirst))), Ok(1_709_596_800.0));
        assert_eq!(parse("03/05/2024", with(Some(Order::MonthFirst))), Ok(1_709_596_800.0));
        assert!(parse("25/03/2024", with(Some(Order::MonthFirst))).unwrap_err().contains("is not a date"));
        assert!(parse("05/03/2024", with(None)).unwrap_err().contains("write it as 2024-05-03"));
        assert!(parse("25/03/2024", with(None)).is_ok());
    }

    #[test]
    fn numbers_are_dates_only_where_that_is_said() {
        let numbers = |unit| Notation { numbers: true, unit, ..Notation::default() };
        assert_eq!(parse("20240305", numbers(Some(Unit::Digits))), Ok(1_709_596_800.0));
        assert_eq!(parse("1709596800", numbers(Some(Unit::Seconds))), Ok(1_709_596_800.0));
        // Those of older model files.
        assert_eq!(parse("20240305", numbers(None)), Ok(1_709_596_800.0));
        assert_eq!(parse("1709596800", numbers(None)), Ok(1_709_596_800.0));
        assert_eq!(from_number(20_241_305.0, None), Ok(20_241_305.0), "no 13th month: seconds");
        assert!(from_number(1_709_596_800_000.0, None).unwrap_err().contains("seconds since 1970"));
        let old: Notation = serde_json::from_str("{\"numbers\":true}").unwrap();
        assert_eq!(old, numbers(None));
    }

    #[test]
    fn a_number_of_excel_is_a_day_and_its_fraction_a_time() {
        // As Excel shows them in a cell of the format date.
        for (number, day) in [
            (1.0, "1900-01-01"),
            (59.0, "1900-02-28"),
            (60.0, "1900-03-01"),
            (61.0, "1900-03-01"),
            (25_569.0, "1970-01-01"),
            (45_356.0, "2024-03-05"),
            (45_356.604_166_666_7, "2024-03-05T14:30:00Z"),
            (2_958_465.0, "9999-12-31"),
        ] {
            assert_eq!(from_number(number, Some(Unit::Excel)).map(format), Ok(day.into()), "{number}");
        }
        for number in [0.0, 0.5, -1.0, 2_958_466.0, 20_240_305.0] {
            let error = from_number(number, Some(Unit::Excel)).unwrap_err();
            assert!(error.contains("not a date") && error.contains("Excel"), "{error}");
        }
    }

    #[test]
    fn what_numbers_are_is_what_most_of_a_column_can_be() {
        let unit = |numbers: &[f64]| {
            let mut evidence = Evidence::default();
            numbers.iter().for_each(|&number| evidence.look_at_number(number, 1));
            let mut backward = Evidence::default();
            numbers.iter().rev().for_each(|&number| backward.look_at_number(number, 1));
            assert_eq!(evidence, backward);
            evidence.unit()
        };
        assert_eq!(unit(&[]), None);
        assert_eq!(unit(&[45_356.0, 44_927.25, 0.0]), Some(Unit::Excel));
        assert_eq!(unit(&[20_240_305.0, 20_240_230.0, 20_231_231.0]), Some(Unit::Digits));
        assert_eq!(unit(&[1_709_596_800.0, -5.0, 0.0]), Some(Unit::Seconds));
        assert_eq!(unit(&[1_709_596_800_000.0, 1_609_459_200_000.0]), Some(Unit::Milliseconds));
        let error = from_number(20_240_230.0, Some(Unit::Digits)).unwrap_err();
        assert_eq!(
            error,
            "20240230 is not a date; the other numbers of the column are days written YYYYMMDD: 20240305 is \
             2024-03-05"
        );
    }

    #[test]
    fn the_place_of_a_year_of_two_digits_is_what_all_rows_say_together() {
        let evidence = |texts: &[String]| {
            let mut evidence = Evidence::default();
            texts.iter().for_each(|text| assert!(evidence.look(text, 1), "{text}"));
            evidence
        };
        let days = || (1..29).map(|day| (day, day % 12 + 1));
        let us: Vec<String> = days().map(|(day, month)| format!("{month}/{day:02}/24")).collect();
        let us = evidence(&us);
        assert_eq!((us.order(), us.is_guess(), us.short_years), (Some(Order::MonthFirst), false, 28));
        let uk: Vec<String> = days().map(|(day, month)| format!("{day:02}/{month:02}/24")).collect();
        let uk = evidence(&uk);
        assert_eq!((uk.order(), uk.is_guess()), (Some(Order::DayFirst), false));
        let iso: Vec<String> = days().map(|(day, month)| format!("24-{month:02}-{day:02}")).collect();
        let iso = evidence(&iso);
        assert_eq!((iso.order(), iso.is_guess()), (Some(Order::YearFirst), false));
        assert_eq!(parse("24-03-05", iso.notation()), Ok(1_709_596_800.0));
        // Years 2001 to 2012 on day 24, or the first of a month from 2001 on?
        let firsts: Vec<String> = (1..13).map(|month| format!("01/{month:02}/22")).collect();
        let firsts = evidence(&firsts);
        assert!(firsts.is_guess() && firsts.order() == Some(Order::MonthFirst));
        let certain = evidence(&["99-03-05".into(), "01-03-05".into()]);
        assert_eq!((certain.order(), certain.is_guess()), (Some(Order::YearFirst), false));
        assert!(!evidence(&["99-03-05".into(), "05-03-99".into()]).is_consistent());
        assert_eq!(
            parse("3/5/24", Notation { order: Some(Order::MonthFirst), ..Notation::default() }),
            Ok(1_709_596_800.0)
        );
        assert!(parse("25/03/24", Notation::default()).unwrap_err().contains("or the year first"));
        assert_eq!(parse("3/25/24", Notation::default()).map(format), Ok("2024-03-25".into()));
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
