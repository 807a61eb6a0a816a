//! What a walk through records meets that a user should know of: rows that repeat the header, and quoted fields that
//! take lines which look like records.
//!
//! Filled by [`super::fields`] on all threads, so it keeps counts and the first place alone, whose order does not matter.

use std::sync::{Mutex, PoisonError};

use memchr::{memchr_iter, memchr2};

use crate::names::quote;

/// Delimiters that a field has to hold in the right places before it is taken for records, if the delimiter is a comma,
/// which sentences have as well.
const MIN_COMMAS: usize = 4;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How often something was met, and the first line.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    n: usize,
    first: Option<u64>,
}

impl Tally {
    /// Whether this is the first place so far.
    fn add(&mut self, line: u64) -> bool {
        self.n += 1;
        let is_first = self.first.is_none_or(|first| line < first);
        if is_first {
            self.first = Some(line);
        }
        is_first
    }
}

#[derive(Debug, Clone, Default)]
struct Met {
    headers: Tally,
    swallowed: Tally,
    totals: Tally,
    /// The lines in the first of the fields, and in all of them.
    n_lines: (u64, u64),
    /// The label of the first total.
    total: String,
}

/// What was met in one file.
#[derive(Debug, Default)]
pub struct Remarks {
    /// The header as it is written, without blanks around it, if rows that repeat it are left out.
    header: Option<Vec<u8>>,
    met: Mutex<Met>,
}

impl Remarks {
    /// Nothing so far; records that are `header` are left out.
    pub(super) fn new(header: Option<&[u8]>) -> Self {
        let header = header.map(|header| header.trim_ascii()).filter(|header| !header.is_empty());
        Self { header: header.map(<[u8]>::to_vec), ..Self::default() }
    }

    /// The same with nothing met so far.
    pub(super) fn again(&self) -> Self {
        Self { header: self.header.clone(), ..Self::default() }
    }

    /// The first byte of the header, if rows that repeat it are left out.
    pub(super) fn first_of_header(&self) -> Option<u8> {
        self.header.as_ref().map(|header| header[0])
    }

    /// The length without its line end of a record at the beginning of `rest` that is the header again.
    pub(super) fn repeated_header(&self, rest: &[u8]) -> Option<usize> {
        let header = self.header.as_ref()?;
        // Files that were written one after the other keep their byte order marks.
        let record = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest).trim_ascii_start();
        let behind = record.strip_prefix(&header[..])?;
        let end = memchr2(b'\n', b'\r', behind).unwrap_or(behind.len());
        behind[..end].trim_ascii().is_empty().then(|| rest.len() - behind.len() + end)
    }

    fn change(&self, change: impl FnOnce(&mut Met)) {
        change(&mut self.met.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A record on this line is the header and was left out.
    pub(super) fn repeats_header(&self, line: u64) {
        self.change(|met| {
            met.headers.add(line);
        });
    }

    /// A row on this line has a label as of a total, `text`, that no training row has.
    pub(crate) fn may_be_total(&self, text: &str, line: u64) {
        self.change(|met| {
            if met.totals.add(line) {
                met.total = quote(text);
            }
        });
    }

    /// A quoted field that goes on over several lines, its number in a record of `n_fields`, and the line of its quote.
    pub(super) fn many_lines(
        &self,
        field: &[u8],
        (index, n_fields): (usize, usize),
        delimiter: u8,
        line: u64,
    ) {
        let mut n_lines = held_records(field, index, n_fields, delimiter);
        // Text behind the closing quote: it opens a field of another record.
        if n_lines == 0 && field.trim_ascii_end().last() != field.first() {
            n_lines = memchr_iter(b'\n', field).count() as u64;
        }
        if n_lines > 0 {
            self.change(|met| {
                if met.swallowed.add(line) {
                    met.n_lines.0 = n_lines;
                }
                met.n_lines.1 += n_lines;
            });
        }
    }

    /// For people.
    pub(crate) fn notes(&self, source: &str) -> Vec<String> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut notes = Vec::new();
        if let Some(line) = met.headers.first {
            let more = match met.headers.n - 1 {
                0 => String::new(),
                n => format!(", and so do {n} more"),
            };
            notes.push(format!("{source} line {line} repeats the header{more}; left out"));
        }
        if let Some(line) = met.swallowed.first {
            let more = match met.swallowed.n - 1 {
                0 => String::new(),
                n => format!("; {n} more such fields, {} lines in all", met.n_lines.1),
            };
            notes.push(format!(
                "{source} line {line}: a quote is opened and closed {} lines further on, and the lines between look like \
                 records{more}; if quotes are ordinary characters there, --quote none",
                met.n_lines.0
            ));
        }
        if let Some(line) = met.totals.first {
            notes.push(format!(
                "{source} line {line}: {} is no value of the training rows, and the line looks like a total; it was \
                 predicted as a row, and --skip-line {line} leaves it out",
                met.total
            ));
        }
        notes
    }
}

/// The number of line ends in a quoted field if its lines look like records; else 0.
///
/// In a record that lost its end to a quote, the first line holds the delimiters behind the field, each further line
/// those of a whole record, the last those before the field.
fn held_records(field: &[u8], index: usize, n_fields: usize, delimiter: u8) -> u64 {
    let n_delimiters = |line: &[u8]| memchr_iter(delimiter, line).count();
    let lines: Vec<&[u8]> = field.split(|byte| *byte == b'\n').collect();
    let [first, inner @ .., last] = &lines[..] else {
        return 0;
    };
    let of_record = n_fields.saturating_sub(1);
    if of_record == 0 || index > of_record {
        return 0;
    }
    let n_alike = inner.iter().filter(|line| n_delimiters(line) == of_record).count();
    let ends_fit = n_delimiters(first) == of_record - index && n_delimiters(last) == index;
    let looks_so = match inner.is_empty() {
        true => ends_fit,
        false => n_alike * 10 >= inner.len() * 9,
    };
    let n_seen = n_alike * of_record + if ends_fit { of_record } else { 0 };
    let wanted = if delimiter == b',' { MIN_COMMAS } else { 1 };
    if looks_so && n_seen >= wanted { lines.len() as u64 - 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_the_delimiters_of_a_record_are_records_and_others_are_text() {
        for (field, index, n_fields, delimiter, wanted) in [
            ("\"win\nham\tcall me\"", 1, 2, b'\t', 1),
            ("\"win\nham\tcall\nspam\tfree\nham\tx\"", 1, 2, b'\t', 3),
            ("\"dear sir\nbest wishes\nyours\"", 1, 2, b'\t', 0),
            ("\"dear sir,\nthanks, bye\"", 1, 2, b',', 0),
            ("\"a,1,2\n3,b,4,5\n6,c,7,8\n9\"", 1, 4, b',', 3),
            ("\"12 Elm Street\nTown, County\"", 2, 3, b',', 0),
            ("\"x\ny\"", 0, 1, b',', 0),
        ] {
            assert_eq!(held_records(field.as_bytes(), index, n_fields, delimiter), wanted, "{field:?}");
        }
    }

    #[test]
    fn a_quote_that_closes_in_the_midst_of_another_record_took_the_lines_between() {
        for (field, wanted) in [("\"x,yes\ny,\"41", true), ("\"x\ny\" ", false)] {
            let remarks = Remarks::default();
            remarks.many_lines(field.as_bytes(), (0, 3), b',', 5);
            assert_eq!(
                remarks.notes("t.csv").iter().any(|note| note.contains("line 5")),
                wanted,
                "{field:?}"
            );
        }
    }

    #[test]
    fn a_header_is_found_again_as_a_record_of_its_own() {
        let remarks = Remarks::new(Some(b"a,b\r"));
        for (rest, wanted) in [
            ("a,b\n1,2\n", Some(3)),
            ("a,b", Some(3)),
            ("\u{feff}a,b \r\n", Some(7)),
            (" a,b\n", Some(4)),
            ("a,b,c\na,b\n", None),
            ("1,2\na,b\n", None),
            ("", None),
        ] {
            assert_eq!(remarks.repeated_header(rest.as_bytes()), wanted, "{rest:?}");
        }
        for none in [Remarks::default(), Remarks::new(Some(b" "))] {
            assert_eq!(none.repeated_header(b"a,b\n"), None);
            assert_eq!(none.repeated_header(b" \n"), None);
        }
    }

    #[test]
    fn the_first_place_is_told_whatever_the_order() {
        let told = |lines: &[u64]| {
            let remarks = Remarks::new(Some(b"a,b"));
            lines.iter().for_each(|line| remarks.repeats_header(*line));
            lines.iter().for_each(|&line| {
                let field = "\"x\nh\ty".to_string() + &"\nh\tz".repeat(line as usize);
                remarks.many_lines(field.as_bytes(), (1, 2), b'\t', line);
            });
            remarks.notes("t.csv")
        };
        assert!(told(&[]).is_empty());
        assert_eq!(told(&[9, 3, 5]), told(&[5, 9, 3]));
        let notes = told(&[9, 3]);
        assert_eq!(notes[0], "t.csv line 3 repeats the header, and so do 1 more; left out");
        assert!(notes[1].starts_with("t.csv line 3: a quote is opened and closed 4 lines further on"));
        assert!(
            notes[1].contains("1 more such fields, 14 lines in all") && notes[1].contains("--quote none")
        );
    }
}
