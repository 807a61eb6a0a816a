//! The slots of a date: the parts of it that vary, and for learners of one scale the cycles as angles; and the days
//! between two dates.
//!
//! How long something took, or how early it was booked, is a sum to a linear model and many cuts of both dates to a tree.
//! So trees see the difference as well: on 10,000 bookings of taxis with three dates it takes the log loss of boosting
//! from 0.1755 to 0.1716 (mean of three seeds).

use super::Encoding;
use super::scaling::mean_and_scale;
use crate::data::cells::date::{self, CYCLES, N_PARTS};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::order;

/// Most pairs of dates whose difference has a slot.
pub(super) const MAX_DATE_PAIRS: usize = 3;

/// Most dates of which pairs are looked at, the first ones.
const MAX_PAIRED_DATES: usize = 16;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// The days from one date to another; NaN if either is missing.
pub(super) fn days_between(from: f64, to: f64) -> f64 {
    (to - from) / SECONDS_PER_DAY
}

/// The pairs of dates, each in the order of the columns, whose difference varies least but does vary: dates of the same
/// event. What varies as the dates themselves do says no more than they say.
pub(super) fn date_pairs(schema: &Schema, codes: &Matrix) -> Vec<[usize; 2]> {
    let dates: Vec<usize> = schema.dates().take(MAX_PAIRED_DATES).collect();
    let pairs =
        dates.iter().enumerate().flat_map(|(i, &from)| dates[i + 1..].iter().map(move |&to| [from, to]));
    let spread = |[from, to]: [usize; 2]| {
        let days = || codes.rows().map(|row| days_between(row[from], row[to])).filter(|days| !days.is_nan());
        let (_, scale) = mean_and_scale(days().count(), days);
        let first = days().next();
        let varies = days().any(|days| Some(days) != first);
        varies.then_some((scale, [from, to]))
    };
    let mut varying: Vec<(f64, [usize; 2])> = pairs.filter_map(spread).collect();
    order::sort_by(&mut varying, |a, b| a.0.total_cmp(&b.0));
    varying.into_iter().map(|(_, pair)| pair).take(MAX_DATE_PAIRS).collect()
}

/// The slots of a date, one entry per part in the order of `date::PART_NAMES`.
#[derive(Debug, Clone, PartialEq)]
pub struct DateParts {
    /// Whether the part has a slot.
    pub kept: [bool; N_PARTS],
    /// The number that is subtracted from it; 0 if codes are passed on.
    pub mean: [f64; N_PARTS],
    /// The number that it is then divided by; 1 if codes are passed on.
    pub scale: [f64; N_PARTS],
}

impl DateParts {
    /// Keeps the parts that vary, and always the days since 1970. `column`: codes, some of them missing.
    pub(crate) fn fit(column: &[f64], fill: f64, standardised: bool) -> Self {
        let mut parts = Self { kept: [false; N_PARTS], mean: [0.0; N_PARTS], scale: [1.0; N_PARTS] };
        let mut values = column.iter().filter(|code| !code.is_nan()).map(|&code| date::parts(code));
        if let Some(first) = values.next() {
            for value in values {
                for (part, kept) in parts.kept.iter_mut().enumerate() {
                    *kept |= value[part] != first[part];
                }
            }
        }
        parts.kept[N_PARTS - 1] = true;
        if standardised {
            let filled: Vec<[f64; N_PARTS]> =
                column.iter().map(|&code| date::parts(if code.is_nan() { fill } else { code })).collect();
            for part in 0..N_PARTS {
                (parts.mean[part], parts.scale[part]) =
                    mean_and_scale(filled.len(), || filled.iter().map(|values| values[part]));
            }
        }
        parts
    }

    /// The kept parts, and whether each is cyclic.
    pub(crate) fn kept(&self, encoding: Encoding) -> impl Iterator<Item = (usize, bool)> + '_ {
        let cyclic = move |part: usize| encoding == Encoding::Standardised && CYCLES[part] > 0.0;
        (0..N_PARTS).filter(|&part| self.kept[part]).map(move |part| (part, cyclic(part)))
    }

    pub(crate) fn n_slots(&self, encoding: Encoding) -> usize {
        self.kept(encoding).map(|(_, cyclic)| if cyclic { 3 } else { 1 }).sum()
    }

    pub(crate) fn encode(&self, encoding: Encoding, code: f64, out: &mut [f64]) {
        let values = if code.is_nan() { [f64::NAN; N_PARTS] } else { date::parts(code) };
        let mut slot = 0;
        for (part, cyclic) in self.kept(encoding) {
            out[slot] = (values[part] - self.mean[part]) / self.scale[part];
            slot += 1;
            if cyclic {
                let (sin, cos) = (std::f64::consts::TAU * values[part] / CYCLES[part]).sin_cos();
                out[slot..slot + 2].copy_from_slice(&[sin, cos]);
                slot += 2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::date::{Notation, PART_NAMES, parse};

    fn code(text: &str) -> f64 {
        parse(text, Notation::default()).unwrap()
    }

    fn codes(texts: &[&str]) -> Vec<f64> {
        texts.iter().map(|text| if text.is_empty() { f64::NAN } else { code(text) }).collect()
    }

    fn kept(texts: &[&str]) -> Vec<&'static str> {
        let parts = DateParts::fit(&codes(texts), 0.0, false);
        parts.kept(Encoding::Raw).map(|(part, _)| PART_NAMES[part]).collect()
    }

    fn encoded(parts: &DateParts, encoding: Encoding, code: f64) -> Vec<f64> {
        let mut out = vec![f64::INFINITY; parts.n_slots(encoding)];
        parts.encode(encoding, code, &mut out);
        assert!(!out.contains(&f64::INFINITY), "every slot is written");
        out
    }

    #[test]
    fn parts_that_vary_are_kept_and_the_days_always() {
        assert_eq!(kept(&[]), ["elapsed days"]);
        assert_eq!(kept(&["2024-03-05", "", "2024-03-05"]), ["elapsed days"]);
        // A week later: only the day of the month is another.
        assert_eq!(kept(&["2024-03-05", "2024-03-12"]), ["day", "elapsed days"]);
        assert_eq!(kept(&["2024-03-05T10:00", "", "2024-03-05T11:00"]), ["hour", "elapsed days"]);
        assert_eq!(kept(&["2024-03-05", "2025-04-06"]), ["year", "month", "day", "weekday", "elapsed days"]);
    }

    #[test]
    fn raw_parts_are_numbers_of_the_calendar_and_those_of_a_missing_date_are_missing() {
        let parts = DateParts::fit(&codes(&["1970-01-03T05:00", "1971-02-04T06:00"]), 0.0, false);
        // A Saturday, the sixth day of a week.
        assert_eq!(
            encoded(&parts, Encoding::Raw, code("1970-01-03T12:00")),
            [1970.0, 1.0, 3.0, 6.0, 12.0, 2.5]
        );
        assert!(encoded(&parts, Encoding::Raw, f64::NAN).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn standardised_parts_have_mean_0_and_deviation_1_with_missing_dates_filled() {
        let column = codes(&["2024-03-05T10:00", "2023-12-31T23:00", "", "2020-02-29", "1999-07-01T05:00"]);
        let fill = code("2021-01-01");
        let parts = DateParts::fit(&column, fill, true);
        let filled = column.iter().map(|&code| if code.is_nan() { fill } else { code });
        let rows: Vec<Vec<f64>> = filled.map(|code| encoded(&parts, Encoding::Standardised, code)).collect();
        let mut slot = 0;
        for (part, cyclic) in parts.kept(Encoding::Standardised) {
            let mean = rows.iter().map(|row| row[slot]).sum::<f64>() / 5.0;
            let variance = rows.iter().map(|row| (row[slot] - mean).powi(2)).sum::<f64>() / 5.0;
            assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12, "{}", PART_NAMES[part]);
            slot += if cyclic { 3 } else { 1 };
        }
        // Six parts, of three of them a sine and a cosine.
        assert_eq!((slot, parts.n_slots(Encoding::Raw)), (12, 6));
    }

    #[test]
    fn the_ends_of_a_cycle_are_neighbours() {
        let parts = DateParts::fit(&codes(&["2024-01-05", "2024-12-05"]), 0.0, true);
        let month = |text: &str| {
            let at = parts.kept(Encoding::Standardised).take_while(|(part, _)| PART_NAMES[*part] != "month");
            let slot: usize = at.map(|(_, cyclic)| if cyclic { 3 } else { 1 }).sum();
            let row = encoded(&parts, Encoding::Standardised, code(text));
            assert!((row[slot + 1].powi(2) + row[slot + 2].powi(2) - 1.0).abs() < 1e-12);
            [row[slot + 1], row[slot + 2]]
        };
        let distance = |a: &str, b: &str| {
            let (a, b) = (month(a), month(b));
            (a[0] - b[0]).hypot(a[1] - b[1])
        };
        let step = distance("2024-03-01", "2024-04-01");
        assert!((distance("2023-12-31", "2024-01-01") - step).abs() < 1e-12);
        assert!(
            (distance("2024-01-01", "2024-07-01") - 2.0).abs() < 1e-12,
            "half a year is as far as it gets"
        );
    }
}
