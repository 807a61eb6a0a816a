//! Whether the first record of a file names its columns or is a row like those below it.
//!
//! It is a row if one of its values has the type of the column below it and nothing in it looks like a name. Called by
//! [`super::sniff`] if the user has not said; a line that could be both is a header.

use std::collections::BTreeSet;

use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::date::Evidence;
use crate::data::cells::number;

/// Records below which types say too little.
const MIN_ROWS: usize = 3;

/// A column of text repeats itself if each of its values occurs at least as often as this on average.
const REPEATED: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// The first cell is of the type of those below it.
    Row,
    /// The first cell is one of a few texts that repeat themselves below it.
    Level,
    /// The first cell is of another type, or a text among others that repeat themselves.
    Header,
    /// Either is possible.
    Open,
}

/// Whether `first` is a row of the records `below`, all of as many fields.
pub(super) fn is_row(first: &[Vec<u8>], below: &[Vec<Vec<u8>>], decimal_mark: u8) -> bool {
    let verdicts = verdicts(first, below, decimal_mark);
    // In a table of texts, every value of a row stands in its column again and again.
    let has_levels = verdicts.len() > 1 && verdicts.iter().all(|verdict| *verdict == Verdict::Level);
    (verdicts.contains(&Verdict::Row) || has_levels)
        && !verdicts.contains(&Verdict::Header)
        && (counts_up(first).is_none() || below.iter().any(|record| counts_up(record) == counts_up(first)))
}

/// Whether `first` can only be the header of the records `below`: some of its cells are no values of their columns, and
/// none is of the type of its column.
pub(super) fn is_header(first: &[Vec<u8>], below: &[Vec<Vec<u8>>], decimal_mark: u8) -> bool {
    let verdicts = verdicts(first, below, decimal_mark);
    verdicts.contains(&Verdict::Header) && !verdicts.contains(&Verdict::Row)
}

/// One for each cell of `first`; none if too little is known.
fn verdicts(first: &[Vec<u8>], below: &[Vec<Vec<u8>>], decimal_mark: u8) -> Vec<Verdict> {
    if below.len() < MIN_ROWS || below.iter().any(|record| record.len() != first.len()) {
        return Vec::new();
    }
    let column = |i: usize| below.iter().map(move |record| &record[i][..]);
    (0..first.len()).map(|i| verdict(&first[i], column(i), decimal_mark)).collect()
}

fn verdict<'a>(first: &[u8], below: impl Iterator<Item = &'a [u8]>, decimal_mark: u8) -> Verdict {
    let nulls = NullTokens::default();
    let text = |cell: &'a [u8]| std::str::from_utf8(cell).map_or(Cell::Missing, |text| nulls.cell(text));
    let cells: Vec<&str> = below
        .filter_map(|cell| match text(cell) {
            Cell::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    let Some(first) = std::str::from_utf8(first).ok().map(str::trim) else {
        return Verdict::Open;
    };
    let is_number = |text: &str| number::parse(text, decimal_mark).is_some();
    let is_date = |text: &str| Evidence::default().look(text, 1);
    let types: [&dyn Fn(&str) -> bool; 2] = [&is_number, &is_date];
    for fits in types {
        if !cells.is_empty() && cells.iter().all(|cell| fits(cell)) {
            return match nulls.cell(first) {
                Cell::Text(first) if fits(first) => Verdict::Row,
                // The header of an index without a name, or a missing value.
                _ if first.is_empty() => Verdict::Open,
                Cell::Missing => Verdict::Row,
                _ => Verdict::Header,
            };
        }
    }
    let distinct: BTreeSet<&str> = cells.iter().copied().collect();
    let repeats = cells.len() >= REPEATED * distinct.len();
    match repeats && !first.is_empty() {
        true if !distinct.contains(first) => Verdict::Header,
        true if cells.iter().filter(|cell| **cell == first).count() > 1 => Verdict::Level,
        _ => Verdict::Open,
    }
}

/// The number of whole numbers in a record, if there are two or more and they go up by one, as numbered columns and
/// years do.
fn counts_up(record: &[Vec<u8>]) -> Option<usize> {
    let whole = |cell: &Vec<u8>| std::str::from_utf8(cell).ok()?.trim().parse::<i64>().ok();
    let numbers: Vec<i64> = record.iter().filter_map(whole).collect();
    let up = numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    (numbers.len() > 1 && up).then_some(numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[&str]) -> Vec<Vec<Vec<u8>>> {
        let fields = |line: &&str| line.split(',').map(|field| field.as_bytes().to_vec()).collect();
        lines.iter().map(fields).collect()
    }

    fn is_data(first: &str, below: &[&str]) -> bool {
        is_row(&records(&[first])[0], &records(below), b'.')
    }

    #[test]
    fn a_first_line_that_fits_the_columns_below_it_is_a_row() {
        let iris = ["4.9,3.0,setosa", "4.7,3.2,setosa", "4.6,3.1,setosa", "5.0,3.6,setosa", "5.4,3.9,setosa"];
        assert!(is_data("5.1,3.5,setosa", &iris));
        assert!(is_data("NA,3.5,setosa", &iris), "a missing value is data as well");
        assert!(is_data("2024-03-01,a", &["2024-03-02,b", "2024-03-03,c", "2024-03-04,d"]));
        assert!(is_data("1,2,3", &["2,3,4", "5,1,1", "9,9,9"]), "rows below count up as well");
        assert!(is_data("7,x", &["1,y", "3,z", "5,w"]), "a column of free text says nothing");
    }

    #[test]
    fn a_first_line_with_a_name_over_numbers_is_a_header() {
        let rows = ["4.9,3.0,setosa", "4.7,3.2,setosa", "4.6,3.1,setosa"];
        assert!(!is_data("length,width,species", &rows));
        assert!(!is_data("5.1,width,setosa", &rows), "one name is enough");
        assert!(!is_data("day,n", &["2024-03-02,1", "2024-03-03,2", "2024-03-04,3"]));
        assert!(!is_data("March,May", &["4,1.5", "6,2.5", "3,3.5"]), "a month is a name");
        assert!(
            !is_data("March 2024,Q2 2024", &["4,1.5", "6,2.5", "3,3.5"]),
            "a date over numbers is a name"
        );
        assert!(!is_data("May,n", &["5 May 2024,1", "6 May 2024,2", "7 May 2024,3"]));
    }

    #[test]
    fn what_only_a_header_explains_makes_a_header() {
        let rows = ["4.9,a", "4.7,b", "4.6,a", "5.1,b", "2,a", "3,b", "5,a", "6,b", "6,a", "7,b"];
        assert!(!is_data("5.1,kind", &rows), "a value that the column does not have");
        assert!(is_data("5.1,b", &rows));
        let years = ["Spain,1.5,2.5,3.5", "France,2,3,4.5", "Italy,7,8,9.5"];
        assert!(!is_data("country,2019,2020,2021", &years), "years");
        assert!(!is_data("0,1,2", &["7,1,2", "5,5,5", "9,3,1"]), "numbered columns");
        assert!(!is_data(",a,b", &["0,1,2", "1,5,5", "2,3,1"]), "an index without a name");
    }

    #[test]
    fn a_first_line_of_texts_that_stand_below_it_again_and_again_is_a_row() {
        let rows = ["high,big", "low,big", "low,small", "high,small"].repeat(5);
        assert!(is_data("low,big", &rows));
        assert!(!is_data("low,size", &rows), "a value that the column does not have");
        assert!(!is_data("low", &["low", "high"].repeat(10)), "one column says too little");
        assert!(!is_data("low,big", &rows[..8]), "too few rows");
        let once = ["low,big", "high,small", "high,small", "high,small"];
        assert!(!is_data("low,big", &once));
        let header = |first: &str, below: &[&str]| is_header(&records(&[first])[0], &records(below), b'.');
        assert!(header("n,kind", &["1,a", "2,b", "3,c"]) && !header("x,kind", &["p,a", "q,b", "r,c"]));
    }

    #[test]
    fn a_first_line_that_could_be_both_is_a_header() {
        assert!(!is_data("red,small", &["green,small", "red,large", "blue,small"]), "text alone");
        assert!(!is_data("1,2.5", &["3,4"]), "one row");
        assert!(!is_data("", &[]));
    }
}
