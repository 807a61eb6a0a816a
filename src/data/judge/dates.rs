//! Notes on how the dates of a column were read, if that is not the only way.

use crate::data::cells::date::{Evidence, Order};
use crate::data::cells::notation::Notation;
use crate::data::cells::table::Column;

/// The notes on a column of dates. `evidence`: its texts, as they were joined.
pub(crate) fn notes(name: &str, evidence: &Evidence, column: &Column) -> Vec<String> {
    let mut notes = Vec::new();
    if evidence.is_guess() {
        let (possible, taken, example) = match (evidence.short_years > 0, evidence.order()) {
            (false, _) => ("the day or the month", "month", "12/31/2024"),
            (true, Some(Order::YearFirst)) => ("the day, the month or the year", "year", "24/12/31"),
            (true, Some(Order::DayFirst)) => ("the day or the year", "day", "31/12/24"),
            (true, _) => ("the day, the month or the year", "month", "12/31/24"),
        };
        notes.push(format!(
            "the dates of {name:?} can all be read with {possible} first; the {taken} was taken to be first, as in \
             {example}; write them as 2024-12-31 if it is not"
        ));
    }
    if evidence.short_years > 0 {
        notes.push(format!(
            "the years of {name:?} have two digits and were read as 1969 to 2068; write them with four if there are \
             others"
        ));
    }
    if let Column::Written { notation: Notation::Date(notation), .. } = column
        && let Some(unit) = notation.unit
    {
        notes.push(format!("the numbers of {name:?} were read as {}", unit.meaning()));
    }
    notes
}
