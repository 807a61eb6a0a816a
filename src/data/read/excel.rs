//! Workbooks of Excel (`.xlsx`) and OpenDocument (`.ods`) as the text of one sheet, so that types, missing values and
//! predictions are decided as for CSV.
//!
//! Numbers, dates and booleans are written as the file types them, errors such as `#N/A` are no values. Line `n` of the
//! text is row `n` of the sheet: rows above the header and empty ones are blank lines. Behind the cargo feature `excel`;
//! [`super::source::Input`] is the one caller.

use std::io::Cursor;

use anyhow::{Result, anyhow, ensure};
use calamine::{
    Data, Dimensions, ExcelDateTime, Ods, OdsError, Range, Reader, SheetType, SheetVisible, Xlsx, XlsxError,
};

use super::made::write_field;
use crate::names::{did_you_mean, quote};
use crate::panics::caught;

/// The first bytes of an `.ods` file: a zip whose first member, uncompressed, says what it is.
const ODS: &[u8] = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet";

/// Bytes of a zip member's header before its name.
const ZIP_HEADER: usize = 30;

/// A sheet as text, and what the user should know of it.
pub(super) struct SheetText {
    pub(super) text: Vec<u8>,
    pub(super) notes: Vec<String>,
}

/// The text of a sheet: of the name or number `wanted`, else of the first that can be seen and has cells.
///
/// # Errors
/// A damaged or encrypted workbook; no such sheet; a sheet without cells.
pub(super) fn read(bytes: Vec<u8>, source: &str, wanted: Option<&str>) -> Result<SheetText> {
    // Damaged files should not make the crate (0.38) panic; that they do not is not known.
    caught(|| read_sound(bytes, source, wanted)).unwrap_or_else(|panic| Err(unreadable(source, &panic)))
}

fn unreadable(source: &str, why: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!(
        "{source} is a zip or Excel file that cannot be read as a workbook ({why}); save the sheet as .xlsx, .ods or \
         CSV, or unpack it if it is a zip file"
    )
}

fn read_sound(bytes: Vec<u8>, source: &str, wanted: Option<&str>) -> Result<SheetText> {
    let is_ods = bytes.get(ZIP_HEADER..).is_some_and(|rest| rest.starts_with(ODS));
    if is_ods {
        let mut book: Ods<_> = Ods::new(Cursor::new(bytes)).map_err(|error| match error {
            OdsError::Password => locked(source),
            error => unreadable(source, &error),
        })?;
        return sheet_text(&mut book, source, wanted, |_, _| Vec::new());
    }
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| match error {
        XlsxError::Password => locked(source),
        error => unreadable(source, &error),
    })?;
    sheet_text(&mut book, source, wanted, |book, sheet| {
        book.merge_cells_by_sheet_name(sheet).unwrap_or_default()
    })
}

/// The message for a workbook that is encrypted; those of Excel are no zip files then.
fn locked(source: &str) -> anyhow::Error {
    anyhow!("{source} is a workbook with a password; save a copy without it, or the sheet as CSV")
}

fn sheet_text<R: Reader<Cursor<Vec<u8>>>>(
    book: &mut R,
    source: &str,
    wanted: Option<&str>,
    merged: impl Fn(&mut R, &str) -> Vec<Dimensions>,
) -> Result<SheetText>
where
    R::Error: std::fmt::Display,
{
    let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let sheets: Vec<(String, bool)> =
        sheets.map(|sheet| (sheet.name.clone(), sheet.visible == SheetVisible::Visible)).collect();
    let names: Vec<&str> = sheets.iter().map(|(name, _)| name.as_str()).collect();
    let mut range = |name: &str| book.worksheet_range(name).map_err(|error| unreadable(source, &error));
    let mut notes = Vec::new();
    let (name, range) = match wanted {
        Some(wanted) => {
            let name = named(wanted, &names).ok_or_else(|| {
                let hint = did_you_mean(wanted, names.iter().copied());
                anyhow!(
                    "--sheet {wanted:?}: {source} has no such sheet{hint}; its sheets are {}",
                    list(&names)
                )
            })?;
            (name, range(name)?)
        }
        None => {
            let mut found = None;
            for (name, _) in sheets.iter().filter(|(_, visible)| *visible) {
                let cells = range(name)?;
                if !cells.is_empty() {
                    found = Some((name.as_str(), cells));
                    break;
                }
            }
            let (name, cells) =
                found.ok_or_else(|| anyhow!("{source} has no sheet with cells that can be seen"))?;
            if names.len() > 1 {
                notes.push(format!(
                    "{source}: the sheet {name:?} was read; it has {} ({}), and --sheet reads another",
                    names.len(),
                    list(&names)
                ));
            }
            (name, cells)
        }
    };
    ensure!(!range.is_empty(), "{source}: the sheet {name:?} is empty; it needs a header and rows");
    let mut sheet = Sheet::of(&range);
    let regions = merged(book, name);
    let n_filled = sheet.fill(&regions);
    if n_filled > 0 {
        notes.push(format!(
            "{source}: {n_filled} empty cells of sheet {name:?} belong to merged cells and have the value of these"
        ));
    }
    notes.extend(sheet.note_above(source));
    Ok(SheetText { text: sheet.text(), notes })
}

/// The sheet of that name, else of that number from 1.
fn named<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let by_name = names.iter().find(|name| crate::plain::same(name, wanted));
    let by_number = || names.get(wanted.parse::<usize>().ok()?.checked_sub(1)?);
    by_name.or_else(by_number).copied()
}

fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|name| quote(name)).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The cells of a sheet as texts.
struct Sheet {
    /// Empty rows above the first that has a cell.
    n_before: usize,
    /// Columns left of the first that has a cell.
    n_left: usize,
    rows: Vec<Vec<String>>,
    /// The row that names the columns.
    header: usize,
}

impl Sheet {
    fn of(range: &Range<Data>) -> Self {
        let (n_before, n_left) = range.start().unwrap_or_default();
        let rows: Vec<Vec<String>> = range.rows().map(|row| row.iter().map(text_of).collect()).collect();
        let filled = |row: &Vec<String>| row.iter().filter(|cell| !cell.trim().is_empty()).count();
        let most = rows.iter().map(filled).max().unwrap_or(0);
        // A title and a date of print have fewer cells than the table below them.
        let header = rows.iter().position(|row| filled(row) * 2 >= most).unwrap_or(0);
        Self { n_before: n_before as usize, n_left: n_left as usize, rows, header }
    }

    /// Gives the cells of merged regions below the header the value of the first; the number of those that had none.
    fn fill(&mut self, regions: &[Dimensions]) -> usize {
        let mut n = 0;
        for region in regions {
            let row = |at: u32| (at as usize).checked_sub(self.n_before);
            let column = |at: u32| (at as usize).checked_sub(self.n_left);
            let [Some(top), Some(bottom)] = [row(region.start.0), row(region.end.0)] else { continue };
            let [Some(left), Some(right)] = [column(region.start.1), column(region.end.1)] else { continue };
            let Some(value) = self.rows.get(top).and_then(|row| row.get(left)).cloned() else { continue };
            if top <= self.header || value.trim().is_empty() {
                continue;
            }
            for cells in self.rows.iter_mut().take(bottom + 1).skip(top) {
                for cell in cells.iter_mut().take(right + 1).skip(left).filter(|cell| cell.is_empty()) {
                    cell.clone_from(&value);
                    n += 1;
                }
            }
        }
        n
    }

    /// The note on rows above the header.
    fn note_above(&self, source: &str) -> Option<String> {
        let cells = || self.rows[..self.header].iter().flatten().filter(|cell| !cell.trim().is_empty());
        let first = cells().next()?;
        Some(format!(
            "{source}: row {} is taken for the names of the columns, and {} above it with {} is not read",
            self.n_before + self.header + 1,
            if cells().count() == 1 {
                "the cell".to_string()
            } else {
                format!("the {} cells", cells().count())
            },
            quote(first)
        ))
    }

    fn text(&self) -> Vec<u8> {
        // A column without a name and values is none.
        let width = self.rows.first().map_or(0, Vec::len);
        let below = || self.rows[self.header..].iter();
        let used: Vec<usize> =
            (0..width).filter(|&column| below().any(|row| !row[column].trim().is_empty())).collect();
        let mut out = vec![b'\n'; self.n_before + self.header];
        for row in below() {
            if row.iter().all(|cell| cell.trim().is_empty()) {
                out.push(b'\n');
                continue;
            }
            for (i, &column) in used.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_field(row[column].as_bytes(), &mut out);
            }
            out.push(b'\n');
        }
        out
    }
}

/// A cell as a CSV file has it.
fn text_of(cell: &Data) -> String {
    match cell {
        Data::Empty | Data::Error(_) => String::new(),
        Data::Int(value) => value.to_string(),
        Data::Float(value) => number(*value),
        // So that lines are rows.
        Data::String(text) => text.replace("\r\n", " ").replace(['\r', '\n'], " "),
        Data::Bool(value) => value.to_string(),
        Data::DateTime(moment) => moment_of(moment),
        Data::DateTimeIso(text) => text.clone(),
        Data::DurationIso(text) => clock_of_iso(text).unwrap_or_else(|| text.clone()),
    }
}

/// The shortest text that reads as the same number.
fn number(value: f64) -> String {
    // 2^53: above it a double is not one whole number.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        (value as i64).to_string()
    } else {
        format!("{value:?}")
    }
}

fn moment_of(moment: &ExcelDateTime) -> String {
    let days = moment.as_f64();
    if moment.is_duration() || (0.0..1.0).contains(&days) {
        return clock(days * 86_400.0);
    }
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (hour, minute, second, milli) {
        (0, 0, 0, 0) => date,
        (hour, minute, second, 0) => format!("{date}T{hour:02}:{minute:02}:{second:02}"),
        (hour, minute, second, milli) => format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}"),
    }
}

/// A time of day or a span of time.
fn clock(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs().round() as u64;
    format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `PT14H30M00S`.
fn clock_of_iso(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("PT")?;
    let mut seconds = 0.0;
    for (unit, factor) in [('H', 3600.0), ('M', 60.0), ('S', 1.0)] {
        if let Some((value, after)) = rest.split_once(unit) {
            seconds += value.parse::<f64>().ok()? * factor;
            rest = after;
        }
    }
    rest.is_empty().then(|| clock(seconds))
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    fn range(rows: &[&[&str]], start: (u32, u32)) -> Range<Data> {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0) as u32;
        let mut range = Range::new(start, (start.0 + rows.len() as u32 - 1, start.1 + width - 1));
        for (i, row) in rows.iter().enumerate() {
            for (j, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                let cell = cell.parse().map_or_else(|_| Data::String(cell.to_string()), Data::Float);
                range.set_value((start.0 + i as u32, start.1 + j as u32), cell);
            }
        }
        range
    }

    fn text(sheet: &Sheet) -> String {
        String::from_utf8(sheet.text()).unwrap()
    }

    #[test]
    fn the_line_of_a_row_is_its_number_in_the_sheet() {
        let cells = range(
            &[
                &["Sales of 2024"],
                &[],
                &["size", "kind,of", "", "ok"],
                &["1.5", "a\nb", "", ""],
                &[],
                &["2", "c"],
            ],
            (1, 3),
        );
        let sheet = Sheet::of(&cells);
        assert_eq!(text(&sheet), "\n\n\nsize,\"kind,of\",ok\n1.5,a b,\n\n2,c,\n");
        let note = sheet.note_above("t.xlsx").unwrap();
        assert!(
            note.contains("row 4") && note.contains("the cell above it with \"Sales of 2024\""),
            "{note}"
        );
        assert_eq!(Sheet::of(&range(&[&["a"], &["1"]], (0, 0))).note_above("t.xlsx"), None);
    }

    #[test]
    fn merged_cells_below_the_header_have_one_value() {
        let cells = range(&[&["region", "n"], &["north", "1"], &["", "2"], &["south", "3"]], (0, 0));
        let mut sheet = Sheet::of(&cells);
        let region = |start, end| Dimensions { start, end };
        assert_eq!(sheet.fill(&[region((0, 0), (0, 1)), region((1, 0), (2, 0)), region((9, 9), (9, 12))]), 1);
        assert_eq!(text(&sheet), "region,n\nnorth,1\nnorth,2\nsouth,3\n");
    }

    #[test]
    fn cells_are_written_as_the_file_types_them() {
        let moment =
            |value, is_1904| Data::DateTime(ExcelDateTime::new(value, ExcelDateTimeType::DateTime, is_1904));
        let span = Data::DateTime(ExcelDateTime::new(1.5, ExcelDateTimeType::TimeDelta, false));
        for (cell, wanted) in [
            (Data::Float(3.0), "3"),
            (Data::Float(0.1), "0.1"),
            (Data::Float(1e300), "1e300"),
            (Data::Int(-7), "-7"),
            (Data::Bool(true), "true"),
            (Data::Error(calamine::CellErrorType::NA), ""),
            (Data::String("00420".into()), "00420"),
            (moment(45_356.0, false), "2024-03-05"),
            (moment(45_356.604_166_666_664, false), "2024-03-05T14:30:00"),
            (moment(43_894.0, true), "2024-03-05"),
            (moment(0.25, false), "06:00:00"),
            (span, "36:00:00"),
            (Data::DurationIso("PT14H30M00S".into()), "14:30:00"),
            (Data::DateTimeIso("2024-03-05".into()), "2024-03-05"),
        ] {
            assert_eq!(text_of(&cell), wanted, "{cell:?}");
        }
    }

    #[test]
    fn a_sheet_is_known_by_its_name_or_its_number() {
        let names = ["Data", "2", "Notes"];
        assert_eq!(named("Data", &names), Some("Data"));
        assert_eq!(named("2", &names), Some("2"), "a name comes first");
        assert_eq!(named("3", &names), Some("Notes"));
        assert_eq!(named("4", &names), None);
        assert_eq!(named("0", &names), None);
    }

    #[test]
    fn a_zip_that_is_no_workbook_and_a_damaged_one_are_refused() {
        let error = read(b"PK\x03\x04rest".to_vec(), "t.xlsx", None).err().unwrap().to_string();
        assert!(error.contains("a zip or Excel file that cannot be read as a workbook"), "{error}");
    }
}
