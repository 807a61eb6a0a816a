//! Notes on values of a category or target that are written in characters that look like others.

use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::raw_table::{RawColumn, RawTable};
use crate::plain::plain;

/// The note on a column of names; none if they are as they are compared.
pub(crate) fn note(raw: &RawTable, index: usize, nulls: &NullTokens) -> Option<String> {
    let (mut n_cells, mut example) = (0, None::<String>);
    match &raw.columns[index] {
        RawColumn::Numbers { .. } => return None,
        RawColumn::Levels { levels, .. } if levels.iter().all(str::is_ascii) => return None,
        _ => {}
    }
    raw.columns[index].each_distinct(nulls, |cell, n| {
        if let Cell::Text(text) = cell
            && !text.is_ascii()
            && plain(text) != text
        {
            n_cells += n;
            // The first in order, so that the order of the rows does not matter.
            if example.as_deref().is_none_or(|other| text < other) {
                example = Some(text.into());
            }
        }
    });
    let example = example?;
    let cells = if n_cells == 1 { "1 cell of".into() } else { format!("{n_cells} cells of") };
    Some(format!(
        "{cells} {:?} hold accents in two characters, odd blanks or invisible characters and were read without: \
         {example:?} as {:?}",
        raw.names[index],
        plain(&example)
    ))
}
