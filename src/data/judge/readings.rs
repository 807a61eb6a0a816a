//! Notes on the way cells were read where another way was possible: what was taken, the place, the flag that says
//! otherwise.

use std::collections::BTreeMap;

use super::findings::list;
use super::profile::{Odd, Profile};
use crate::data::cells::amount::Mark;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::notation::Notation;
use crate::data::cells::quantity::is_quantity;
use crate::data::cells::table::{Column, Table};

/// The notes on columns that are used, by name; `features`: their indices and types.
pub(crate) fn notes(names: &[String], profiles: &[Profile], features: &[(usize, ColumnType)]) -> Vec<String> {
    let columns = || features.iter().map(|&(index, kind)| (names[index].as_str(), &profiles[index], kind));
    let typed = |wanted: ColumnType| columns().filter(move |(_, _, kind)| *kind == wanted);
    let mut notes = odd_cells(columns());
    let guesses: Vec<String> = typed(ColumnType::Number)
        .filter_map(|(name, profile, _)| {
            let (text, taken, other, mark) = profile.quantities.guess()?;
            Some(format!("{text:?} of {name:?} is {taken}, and {other} with --decimal {mark}"))
        })
        .collect();
    if let Some(guesses) = list(&guesses) {
        notes.push(format!(
            "numbers can be read with a comma or a dot before the decimals, and were read as most such files have them: \
             {guesses}"
        ));
    }
    let bounds: Vec<String> = typed(ColumnType::Number)
        .filter(
            |(_, profile, _)| matches!(profile.notation, Some(Notation::Number(notation)) if notation.bounds),
        )
        .map(|(name, profile, _)| format!("{name:?} ({} cells)", profile.quantities.n_bounds()))
        .collect();
    if let Some(bounds) = list(&bounds) {
        notes.push(format!(
            "bounds such as <1 or 100+ were read as the number that they name, in {bounds}; --type COL=category takes a \
             column as written"
        ));
    }
    let rounded: Vec<(usize, &str)> = typed(ColumnType::Number)
        .filter(|(_, profile, _)| profile.n_rounded > 0)
        .map(|(name, profile, _)| (profile.n_rounded, name))
        .collect();
    notes.extend(rounded_note(&rounded));
    let durations: Vec<String> = typed(ColumnType::Number)
        .filter_map(|(name, profile, _)| {
            let taken =
                if profile.quantities.minutes_first()? { "minutes and seconds" } else { "hours and minutes" };
            Some(format!("{name:?} ({taken})"))
        })
        .collect();
    if let Some(durations) = list(&durations) {
        notes.push(format!(
            "1:05 can be hours and minutes or minutes and seconds; as was taken: {durations}; write 1:05:00 or 0:01:05 if \
             it is the other"
        ));
    }
    notes
}

/// The same on a target.
pub(crate) fn rounded_target(name: &str, n: usize) -> String {
    format!(
        "{n} values of the target {name:?} are above 9007199254740992 (2^53), have more digits than numbers hold, and were \
         rounded to 16 digits; --task classification takes labels as written, and --target COL names another column"
    )
}

/// The note on columns of numbers with more digits than numbers hold: how many cells, and the name.
pub(crate) fn rounded_note(columns: &[(usize, &str)]) -> Option<String> {
    let shown =
        |(n, name): &(usize, &str)| format!("{name:?} ({n} {})", if *n == 1 { "cell" } else { "cells" });
    let shown = list(&columns.iter().map(shown).collect::<Vec<_>>())?;
    let name = if let [(_, name)] = columns { *name } else { "COL" };
    Some(format!(
        "numbers above 9007199254740992 (2^53) have more digits than numbers hold and were rounded to 16 digits, in \
         {shown}; --type {:?} takes ids as written, --drop leaves them out",
        format!("{name}=category")
    ))
}

/// The note on columns whose dots may stand between thousands, because another column has decimal commas. Their text was
/// not kept, as nothing in the beginning of the file spoke for that.
pub(crate) fn doubtful_dots(
    table: &Table,
    profiles: &[Profile],
    features: &[(usize, ColumnType)],
) -> Option<String> {
    let has_commas = |profile: &Profile| match profile.notation {
        Some(Notation::Number(notation)) => notation.decimal == Mark::Comma,
        _ => false,
    };
    let (_, other) = features
        .iter()
        .map(|(index, _)| (&profiles[*index], &table.names[*index]))
        .find(|(p, _)| has_commas(p))?;
    // The text of numbers is not kept: most have a third decimal, and none a fourth.
    let may_be_thousands = |values: &[f64]| {
        let has = |value: f64, decimals: f64| (value * decimals).round() / decimals == value;
        let (mut n, mut n_of_three) = (0, 0);
        for &value in values.iter().filter(|value| value.fract() != 0.0 && !value.is_nan()) {
            if !(1.0..1000.0).contains(&value.abs()) || !has(value, 1e3) {
                return false;
            }
            n += 1;
            n_of_three += usize::from(!has(value, 1e2));
        }
        n_of_three * 2 > n
    };
    let columns = features.iter().filter_map(|(index, _)| match &table.columns[*index] {
        Column::Number(values) if may_be_thousands(values) => Some(format!("{:?}", table.names[*index])),
        _ => None,
    });
    let columns = list(&columns.collect::<Vec<_>>())?;
    Some(format!(
        "numbers with three digits behind a dot were read as decimals, in {columns}, though {other:?} has a decimal comma; \
         --decimal , reads them as thousands"
    ))
}

/// Few numbers and words are grades or sizes.
const MAX_FEW_NUMBERS: usize = 20;

/// The notes on columns that hold numbers which are not read as numbers.
pub(crate) fn unread(names: &[String], profiles: &[Profile], target: usize) -> Vec<String> {
    let columns = || {
        let columns = names.iter().zip(profiles).enumerate().filter(move |(index, _)| *index != target);
        columns.map(|(_, column)| column).filter(|(_, profile)| profile.column_type() == ColumnType::Category)
    };
    let mut notes = Vec::new();
    let mixed = columns().filter(|(_, profile)| profile.quantities.are_mixed(profile.present()));
    let mixed =
        mixed.filter_map(|(name, profile)| Some(format!("{name:?} ({})", profile.first_texts.first()?.1)));
    if let Some(mixed) = list(&mixed.collect::<Vec<_>>()) {
        notes.push(format!(
            "numbers of one column are written in several ways or units and were not read as numbers, in {mixed}; write \
             them alike"
        ));
    }
    let half = columns().filter(|(_, profile)| {
        let n = profile.n_quantities();
        profile.distinct > MAX_FEW_NUMBERS && n < profile.present() && n * 3 >= profile.present()
    });
    let half = half.filter(|(_, profile)| {
        !profile.quantities.are_mixed(profile.present()) && !profile.are_postal_codes()
    });
    let half = half.filter_map(|(name, profile)| {
        let (_, text) = profile.first_texts.iter().find(|(_, text)| !is_quantity(text))?;
        // Lists may have one member.
        (!text.contains(['|', ';'])).then(|| format!("{name:?} ({text:?})"))
    });
    if let Some(half) = list(&half.collect::<Vec<_>>()) {
        notes.push(format!(
            "a third of the cells or more are numbers, but others are not, so they were taken as names, in {half}; write them \
             alike, or --null TOKEN"
        ));
    }
    let unread = columns().filter_map(|(name, profile)| {
        let (example, n) = profile.unread.as_ref()?;
        (n * 2 > profile.present()).then(|| format!("{name:?} ({example})"))
    });
    if let Some(unread) = list(&unread.collect::<Vec<_>>()) {
        notes.push(format!(
            "cells look like numbers with _ or in hexadecimal and were not read as numbers, in {unread}; write them in \
             plain decimal digits if they are"
        ));
    }
    let rounded = columns().filter(|(_, profile)| profile.rounded).map(|(name, _)| format!("{name:?}"));
    if let Some(rounded) = list(&rounded.collect::<Vec<_>>()) {
        notes.push(format!(
            "whole numbers of more than 15 digits, which numbers do not hold exactly, were taken as written, in {rounded}; \
             --type COL=number rounds them"
        ));
    }
    notes
}

/// The notes on texts that were read as "no value", one per text.
fn odd_cells<'a>(columns: impl Iterator<Item = (&'a str, &'a Profile, ColumnType)>) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<(&str, &Odd, ColumnType)>> = BTreeMap::new();
    for (name, profile, kind) in columns {
        if matches!(kind, ColumnType::Number | ColumnType::Date) {
            for odd in &profile.odd {
                found.entry(odd.text.as_str()).or_default().push((name, odd, kind));
            }
        }
    }
    let note = |(text, columns): (&str, Vec<(&str, &Odd, ColumnType)>)| {
        let places: Vec<String> = columns
            .iter()
            .map(|(name, odd, _)| {
                let cells = if odd.n == 1 { "cell" } else { "cells" };
                format!("{name:?} ({} {cells}, the first in {})", odd.n, odd.place)
            })
            .collect();
        let (name, _, kind) = columns.first()?;
        let (column, kind) =
            if columns.len() == 1 { (*name, kind.name()) } else { ("COL", ColumnType::Number.name()) };
        Some(format!(
            "{text:?} is not a {kind} and was read as missing, in new rows too, in {}; --null {text:?} says that it is \
             missing everywhere, --type {:?} takes a column as written",
            list(&places)?,
            format!("{column}=category")
        ))
    };
    found.into_iter().filter_map(note).collect()
}
