//! The texts of dates: one cell to a day and a time, before the order of day, month and year is known.
//!
//! Called by [`super::date`], which joins the cells of a column and says what is read. The calendar is that of the crate
//! `jiff`; the texts are read here, because the whole column decides the order of day and month.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use serde::{Deserialize, Serialize};

use super::date_words::{meaning, zone_by_name};

/// 1970-01-01.
pub(super) const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// 0001-01-01, in seconds since 1970.
pub(super) const YEAR_1: f64 = -62_135_596_800.0;

/// 10000-01-01.
pub(super) const YEAR_10_000: f64 = 253_402_300_800.0;

/// A year of two digits is 1969 to 2068, as `%y` of POSIX `strptime` reads it.
const FIRST_YEAR_OF_TWO_DIGITS: u32 = 69;

/// The years of a month without a day, such as `2024-03`: other pairs of numbers are rather codes.
const YEARS_OF_MONTHS: std::ops::Range<u32> = 1900..2100;

/// The order of the numbers in `05/03/2024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "the names are those of the model file")]
pub enum Order {
    /// The 5th of March.
    DayFirst,
    /// May 3rd.
    MonthFirst,
    /// `24/03/05` is the 5th of March 2024; only where the year has two digits.
    YearFirst,
}

/// Every order.
pub(super) const ORDERS: [Order; 3] = [Order::DayFirst, Order::MonthFirst, Order::YearFirst];

/// A text that is a date, before the order is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Read {
    /// Year, month and day, or the numbers that are so in one of the orders.
    pub(super) day: Day,
    /// Seconds after midnight in UTC; may be of another day.
    pub(super) time: f64,
}

/// Three numbers of a date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Day {
    /// In a known order.
    Known { year: u32, month: u32, day: u32, short_year: bool },
    /// Two numbers and the year.
    YearLast { first: u32, second: u32, year: u32 },
    /// Three numbers of at most two digits, the last of two; the first may be a year if it has two.
    Short { first: u32, second: u32, last: u32, may_begin_with_year: bool },
}

fn known(year: u32, month: u32, day: u32) -> Day {
    Day::Known { year, month, day, short_year: false }
}

/// The year that two digits stand for.
fn year_of_two_digits(year: u32) -> u32 {
    if year < FIRST_YEAR_OF_TWO_DIGITS { 2000 + year } else { 1900 + year }
}

impl Read {
    /// A day of a known order, at midnight.
    pub(super) fn day(year: u32, month: u32, day: u32) -> Self {
        Self { day: known(year, month, day), time: 0.0 }
    }

    /// Whether its year is written with two digits.
    pub(super) fn has_short_year(self) -> bool {
        matches!(self.day, Day::Known { short_year: true, .. } | Day::Short { .. })
    }

    /// Whether the column has to say in which order it is written.
    pub(super) fn is_open(self) -> bool {
        !matches!(self.day, Day::Known { .. })
    }

    /// Seconds since 1970, if there is such a day in this order.
    pub(super) fn seconds(self, order: Order) -> Option<f64> {
        let (year, month, day) = match (self.day, order) {
            (Day::Known { year, month, day, .. }, _) => (year, month, day),
            (Day::YearLast { .. }, Order::YearFirst) => return None,
            (Day::YearLast { first, second, year }, Order::DayFirst) => (year, second, first),
            (Day::YearLast { first, second, year }, Order::MonthFirst) => (year, first, second),
            (Day::Short { may_begin_with_year: false, .. }, Order::YearFirst) => return None,
            (Day::Short { first, second, last, .. }, Order::YearFirst) => {
                (year_of_two_digits(first), second, last)
            }
            (Day::Short { first, second, last, .. }, Order::DayFirst) => {
                (year_of_two_digits(last), second, first)
            }
            (Day::Short { first, second, last, .. }, Order::MonthFirst) => {
                (year_of_two_digits(last), first, second)
            }
        };
        let seconds = seconds_of_day(year, month, day)? + self.time;
        if !in_calendar(seconds, seconds) {
            return None;
        }
        // One microsecond is one number, whatever the zone it was written in.
        Some(if seconds.fract() == 0.0 { seconds } else { (seconds * 1e6).round() / 1e6 })
    }
}

/// Whether two times are of the years that can be written.
pub(crate) fn in_calendar(first: f64, last: f64) -> bool {
    [first, last].iter().all(|seconds| (YEAR_1..YEAR_10_000).contains(seconds))
}

/// Seconds from 1970-01-01 to the start of a day; `None` if the calendar has no such day.
fn seconds_of_day(year: u32, month: u32, day: u32) -> Option<f64> {
    // The month is looked at first: an error of the library costs an allocation, and every other reading of
    // 25/03/2024 has a 25th month.
    let month = i8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
    let date = Date::new(i16::try_from(year).ok()?, month, i8::try_from(day).ok()?).ok()?;
    Some(date.duration_since(EPOCH).as_secs() as f64)
}

/// The rest of a text that is being read.
#[derive(Clone, Copy)]
struct Rest<'a> {
    text: &'a str,
    /// A time that stood before the year.
    time: Option<f64>,
}

/// A text as a date.
pub(super) fn read(text: &str) -> Option<Read> {
    // Most cells that are no dates end here. The shortest is 3/5/24; a name of a month needs a number beside it.
    let first = *text.as_bytes().first()?;
    if !(6..=64).contains(&text.len()) {
        return None;
    }
    let starts_with_digit = first.is_ascii_digit();
    if !starts_with_digit {
        let may_begin = first.is_ascii_alphabetic() || first >= 0x80 || first == b'[';
        if !may_begin || !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    // The brackets of a web log, of which a blank within them may have cut off the second.
    let text = text.strip_prefix('[').map_or(text, |inner| inner.strip_suffix(']').unwrap_or(inner));
    let mut rest = Rest { text, time: None };
    let day = match rest.text.bytes().take_while(u8::is_ascii_digit).count() {
        0 => rest.named_month().or_else(|| rest.period()),
        4 => rest.year_first().or_else(|| rest.period()).or_else(|| rest.named_month()),
        1 | 2 => rest.year_last().or_else(|| rest.named_month()),
        8 => rest.compact(),
        _ => None,
    }?;
    let time = match rest.time {
        Some(time) if rest.text.is_empty() => time,
        Some(_) => return None,
        None if rest.text.is_empty() => 0.0,
        None => rest.time()?,
    };
    Some(Read { day, time })
}

impl<'a> Rest<'a> {
    /// Tries a way to read a part; if it fails, nothing is taken.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = *self;
        let found = read(self);
        if found.is_none() {
            *self = before;
        }
        found
    }

    /// A number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let n = self.text.bytes().take(max).take_while(u8::is_ascii_digit).count();
        let more = self.text.as_bytes().get(n).is_some_and(u8::is_ascii_digit);
        if n < min || more { None } else { self.exactly(n) }
    }

    /// A number of `n` digits, whatever follows.
    fn exactly(&mut self, n: usize) -> Option<u32> {
        let (digits, rest) = self.text.split_at_checked(n)?;
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        self.text = rest;
        Some(number)
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.text.strip_prefix(wanted);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn take_any(&mut self, wanted: &[char]) -> Option<char> {
        wanted.iter().copied().find(|&c| self.take(c))
    }

    /// `2024-03-05`, `2024年3月5日`, and a month: `2024-03`, `2024/3`, `2024年3月`.
    fn year_first(&mut self) -> Option<Day> {
        self.attempt(|rest| {
            let year = rest.digits(4, 4)?;
            let mark = rest.take_any(&['-', '/', '.', '年'])?;
            let month = rest.digits(1, 2)?;
            let closed = rest.take(if mark == '年' { '月' } else { mark });
            // 2024.03 is a number.
            if rest.text.is_empty() && (closed == (mark == '年')) && mark != '.' {
                return YEARS_OF_MONTHS.contains(&year).then_some(known(year, month, 1));
            }
            closed.then_some(())?;
            let day = rest.digits(1, 2)?;
            if mark == '年' {
                rest.take_any(&['日', '号'])?;
            }
            Some(known(year, month, day))
        })
    }

    /// `05.03.2024`, `3/5/24`, and a month: `03/2024`.
    fn year_last(&mut self) -> Option<Day> {
        self.attempt(|rest| {
            let before = rest.text.len();
            let first = rest.digits(1, 2)?;
            let may_begin_with_year = before - rest.text.len() == 2;
            let mark = rest.take_any(&['/', '.', '-'])?;
            let month =
                rest.attempt(|rest| rest.digits(4, 4).filter(|_| rest.text.is_empty() && mark != '.'));
            if let Some(year) = month {
                return YEARS_OF_MONTHS.contains(&year).then_some(known(year, first, 1));
            }
            let second = rest.digits(1, 2)?;
            rest.take(mark).then_some(())?;
            let year = rest.attempt(|rest| rest.digits(4, 4));
            Some(match (year, mark) {
                (Some(year), '.') => known(year, second, first),
                (Some(year), _) => Day::YearLast { first, second, year },
                (None, '.') => {
                    let year = year_of_two_digits(rest.digits(2, 2)?);
                    Day::Known { year, month: second, day: first, short_year: true }
                }
                (None, _) => Day::Short { first, second, last: rest.digits(2, 2)?, may_begin_with_year },
            })
        })
    }

    /// `20240305T143000`; without a time it is a number.
    fn compact(&mut self) -> Option<Day> {
        self.attempt(|rest| {
            let day = known(rest.exactly(4)?, rest.exactly(2)?, rest.exactly(2)?);
            let mut time = Rest { text: rest.text.strip_prefix('T')?, time: None };
            let n = time.text.bytes().take_while(u8::is_ascii_digit).count();
            // Else as after any other day.
            if n == 4 || n == 6 {
                let (hour, minute) = (time.exactly(2)?, time.exactly(2)?);
                let second = if n == 6 { Some(time.exactly(2)?) } else { None };
                (rest.time, rest.text) = (Some(time.end_of_clock(hour, minute, second)?), "");
            }
            Some(day)
        })
    }

    /// `5 Mar 2024`, `05-Mar-24`, `5. März 2024`, `5 de marzo de 2024`, `Mar 5, 2024`, `March 2024`, `2024-Mar-05`, with a
    /// weekday before them, and `Tue Mar  5 14:30:00 2024`.
    fn named_month(&mut self) -> Option<Day> {
        self.attempt(|rest| {
            if !meaning(rest.word()).is_weekday {
                return None;
            }
            // As in `terça-feira`.
            rest.text = rest.text.strip_prefix("-feira").unwrap_or(rest.text);
            rest.gap();
            rest.day_with_named_month()
        })
        .or_else(|| self.attempt(Self::day_with_named_month))
    }

    fn day_with_named_month(&mut self) -> Option<Day> {
        if let Some(year) = self.attempt(|rest| rest.digits(4, 4)) {
            self.gap();
            let month = self.month()?;
            self.gap();
            return Some(known(year, month, self.digits(1, 2)?));
        }
        let before = self.attempt(Self::day_of_month);
        self.gap();
        let month = self.month()?;
        self.gap();
        let day = before.or_else(|| self.attempt(Self::day_of_month));
        self.gap();
        // As `ctime` writes it, and `date` with a zone.
        let clock = self.text.split(' ').next().filter(|clock| clock.contains(':'));
        if let (None, Some(clock)) = (before, clock) {
            let mut time = Rest { text: clock, time: None }.clock()?;
            let mut after = Rest { text: self.text[clock.len()..].trim_start(), time: None };
            if let Some(hours) = after.attempt(|rest| zone_by_name(rest.word())) {
                time -= hours * 3600.0;
                after.text = after.text.trim_start();
            }
            (self.time, self.text) = (Some(time), after.text);
        }
        if let Some(year) = self.attempt(|rest| rest.digits(4, 4)) {
            return Some(known(year, month, day.unwrap_or(1)));
        }
        // `Mar-24` is a day or a year.
        let year = year_of_two_digits(self.digits(2, 2)?);
        Some(Day::Known { year, month, day: day?, short_year: true })
    }

    fn month(&mut self) -> Option<u32> {
        Some(meaning(self.word()).month).filter(|&month| month > 0)
    }

    /// The day of a month, with what English and French put behind it.
    fn day_of_month(&mut self) -> Option<u32> {
        let day = self.digits(1, 2)?;
        self.attempt(|rest| matches!(rest.word(), "st" | "nd" | "rd" | "th" | "er").then_some(()));
        Some(day)
    }

    /// A week or quarter, as its first day: `2024-W10`, `2024-W10-2`, `2024Q1`, `Q1 2024`.
    fn period(&mut self) -> Option<Day> {
        self.attempt(|rest| {
            let quarter = |quarter: u32| (1..=4).contains(&quarter).then(|| quarter * 3 - 2);
            if rest.take_any(&['Q', 'q']).is_some() {
                let month = quarter(rest.digits(1, 1)?)?;
                rest.take_any(&[' ', '-', '/']);
                return Some(known(rest.digits(4, 4)?, month, 1));
            }
            let year = rest.exactly(4)?;
            let mark = rest.take_any(&[' ', '-']);
            if rest.take_any(&['Q', 'q']).is_some() {
                return Some(known(year, quarter(rest.digits(1, 1)?)?, 1));
            }
            rest.take('W').then_some(())?;
            let week = rest.digits(2, 2)?;
            let day = if mark == Some('-') && rest.take('-') { rest.digits(1, 1)? } else { 1 };
            let weekday = Weekday::from_monday_one_offset(i8::try_from(day).ok()?).ok()?;
            let (year, week) = (i16::try_from(year).ok()?, i8::try_from(week).ok()?);
            let date = ISOWeekDate::new(year, week, weekday).ok()?.date();
            let [month, day] = [date.month(), date.day()].map(|n| u32::from(n.unsigned_abs()));
            Some(known(u32::try_from(date.year()).ok()?, month, day))
        })
    }

    /// The letters that come next.
    fn word(&mut self) -> &'a str {
        let end = self.text.find(|c: char| !c.is_alphabetic()).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        word
    }

    /// What stands between day, month and year.
    fn gap(&mut self) {
        self.text = self.text.trim_start_matches([' ', '-', '/', '.', ',', '\u{a0}']);
        if let Some(rest) = self.text.strip_prefix("de ") {
            self.text = rest;
        }
    }

    /// The time after a date, to the end of the text, in seconds of UTC.
    fn time(&mut self) -> Option<f64> {
        self.take_any(&['T', 't', ' ', ':', ','])?;
        self.text = self.text.trim_start();
        self.clock()
    }

    /// A time, to the end of the text, in seconds of UTC.
    fn clock(&mut self) -> Option<f64> {
        let hour = self.digits(1, 2)?;
        self.take(':').then_some(())?;
        let minute = self.digits(2, 2)?;
        let second = if self.take(':') { Some(self.digits(2, 2)?) } else { None };
        self.end_of_clock(hour, minute, second)
    }

    /// Fraction, half of the day and zone of a time.
    fn end_of_clock(&mut self, mut hour: u32, minute: u32, second: Option<u32>) -> Option<f64> {
        let mut micros = 0.0;
        if second.is_some() && self.take_any(&['.', ',']).is_some() {
            let n = self.text.bytes().take_while(u8::is_ascii_digit).count();
            if n == 0 {
                return None;
            }
            let kept = self.text[..n.min(6)].parse::<u32>().ok()?;
            micros = f64::from(kept) * 10_f64.powi(6 - n.min(6) as i32);
            self.text = &self.text[n..];
        }
        self.text = self.text.trim_start();
        if let Some(is_afternoon) = self.attempt(Self::half_of_day) {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if is_afternoon { 12 } else { 0 };
        }
        let second = second.unwrap_or(0);
        // A leap second is the first of the next minute.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        self.text = self.text.trim_start();
        // RFC 9557 writes the name of the zone behind the offset that it has then.
        if let Some(end) = self.text.find('[').filter(|&end| end > 0 && self.text.ends_with(']')) {
            self.text = &self.text[..end];
        }
        Some(f64::from(hour * 3600 + minute * 60 + second) - self.zone()? + micros / 1e6)
    }

    /// `PM`, `p.m.`.
    fn half_of_day(&mut self) -> Option<bool> {
        let letter = self.text.chars().next()?.to_ascii_lowercase();
        matches!(letter, 'a' | 'p').then_some(())?;
        self.text = &self.text[1..];
        let dotted = self.take('.');
        self.take_any(&['m', 'M'])?;
        if dotted {
            self.take('.');
        }
        Some(letter == 'p')
    }

    /// An offset from UTC in seconds, to the end of the text; 0 if there is none.
    fn zone(&mut self) -> Option<f64> {
        if self.text.is_empty() || self.text == "z" {
            return Some(0.0);
        }
        if let Some(hours) = zone_by_name(self.text) {
            return Some(hours * 3600.0);
        }
        let sign = match self.take_any(&['+', '-', '\u{2212}'])? {
            '+' => 1.0,
            _ => -1.0,
        };
        let (hours, minutes) = if self.text.len() == 4 {
            (self.exactly(2)?, self.exactly(2)?)
        } else {
            let hours = self.digits(2, 2)?;
            (hours, if self.take(':') { self.digits(2, 2)? } else { 0 })
        };
        if !self.text.is_empty() || hours > 18 || minutes > 59 {
            return None;
        }
        Some(sign * f64::from(hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970 of a text that has one reading.
    fn seconds(text: &str) -> Option<f64> {
        let read = read(text)?;
        assert!(!read.is_open(), "{text}");
        read.seconds(Order::MonthFirst)
    }

    // `date -u -d 2024-03-05 +%s`
    const DAY: f64 = 1_709_596_800.0;

    #[test]
    fn a_day_is_read_with_the_name_of_its_month_in_many_languages() {
        for text in [
            "5 Mar 2024",
            "05-Mar-24",
            "5. März 2024",
            "5 de marzo de 2024",
            "5 de março de 2024",
            "5 mars 2024",
            "5 maart 2024",
            "5 marzo 2024",
            "5 marca 2024",
            "5 марта 2024",
            "Mar 5, 2024",
            "march 5th 2024",
            "MAR. 5, 2024",
            "Tue, 5 Mar 2024",
            "Tuesday, March 5, 2024",
            "Tue Mar 5 2024",
            "Dienstag, 5. März 2024",
            "mardi 5 mars 2024",
            "mar. 5 mars 2024",
            "terça-feira, 5 de março de 2024",
            "вторник, 5 марта 2024",
            "2024-Mar-05",
            "5/Mar/2024",
            "5MAR2024",
            "05.03.24",
            "2024-W10-2",
            "Tue, 05 Mar 2024 00:00:00 GMT",
        ] {
            assert_eq!(seconds(text), Some(DAY), "{text}");
        }
        for (text, day) in [
            ("March 2024", "2024-03-01"),
            ("2024-03", "2024-03-01"),
            ("03/2024", "2024-03-01"),
            ("2024年3月", "2024-03-01"),
            ("2024-W01", "2024-01-01"),
            ("2021-W01", "2021-01-04"),
            ("2024Q2", "2024-04-01"),
            ("2024-Q2", "2024-04-01"),
            ("Q2 2024", "2024-04-01"),
            ("q2-2024", "2024-04-01"),
            ("5 Mar 69", "1969-03-05"),
            ("5 Mar 68", "2068-03-05"),
        ] {
            assert_eq!(seconds(text), seconds(day), "{text}");
            assert!(seconds(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_time_is_read_with_its_half_of_the_day_and_its_zone() {
        let half_past = Some(DAY + 14.5 * 3600.0);
        for text in [
            "Mar 5, 2024 2:30 PM",
            "Mar 5, 2024, 2:30 p.m.",
            "2024-03-05 2:30PM",
            "Tue Mar  5 14:30:00 2024",
            "Tue Mar  5 14:30:00 UTC 2024",
            "Tue Mar  5 09:30:00 EST 2024",
            "05/Mar/2024:14:30:00 +0000",
            "[05/Mar/2024:14:30:00 +0000]",
            "[05/Mar/2024:14:30:00",
            "5 Mar 2024 15:30 +01:00",
            "Tue, 05 Mar 2024 09:30:00 EST",
            "2024-03-05 15:30 CET",
            "2024-03-05T15:30:00+01:00[Europe/Berlin]",
            "20240305T143000Z",
            "20240305T1430",
            "20240305T14:30:00",
        ] {
            assert_eq!(seconds(text), half_past, "{text}");
        }
        assert_eq!(seconds("2024-03-05T14:30:00.250000999Z"), half_past.map(|second| second + 0.25));
    }

    #[test]
    fn words_and_numbers_that_name_no_day_are_no_dates() {
        for text in [
            "March",
            "May 5",
            "Mar-24",
            "5 Smarch 2024",
            "Paris, 5 Mar 2024",
            "version 5 2024",
            "Mar 32, 2024",
            "Mar 5 2024 noon",
            "march 2024 april",
            "2024-W54",
            "2024-W10-8",
            "Q5 2024",
            "2024Q0",
            "12Q1",
            "4711-01",
            "2024-13",
            "2024.03",
            "13/2024",
            "20240305",
            "20240305T25",
            "2024-03-05T14:30.5",
            "2024-03-05 14:30 XYZ",
            "1.2.24.5",
            "3/5/2",
            "[2024]",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
