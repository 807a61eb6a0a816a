//! The columns of a training file as they were read, not yet typed, with the line each row came from.
//!
//! Only training and evaluation hold a whole file (made by [`crate::data::read::load`]); prediction streams (see
//! [`crate::data::read::csv::Records`]).

use std::collections::BTreeSet;

use super::cell::{Cell, NullTokens};
use super::number;
use super::text::Texts;

/// The cells of one column as they were read.
#[derive(Debug, Clone)]
pub enum RawColumn {
    /// Each cell's text.
    Texts(Texts),
    /// The distinct texts, and for each cell which it is.
    Levels {
        /// One index into `levels` per row.
        codes: Vec<u32>,
        /// In the order of their first rows.
        levels: Texts,
    },
    /// Numbers; their text is not kept.
    Numbers {
        /// One per row; NaN if the cell was missing.
        values: Vec<f64>,
        /// Row and text of cells that are no finite numbers, such as `inf`: the first few.
        infinite: Vec<(usize, String)>,
    },
}

impl Default for RawColumn {
    fn default() -> Self {
        Self::Texts(Texts::default())
    }
}

impl RawColumn {
    /// A column of these texts.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut strings = Texts::default();
        texts.into_iter().for_each(|text| {
            strings.push(text);
        });
        Self::Texts(strings)
    }

    /// The cells, first to last; a number whose text was not kept is [`Cell::Number`].
    pub fn cells<'a>(&'a self, nulls: &'a NullTokens) -> Box<dyn Iterator<Item = Cell<'a>> + 'a> {
        match self {
            Self::Texts(texts) => Box::new(texts.iter().map(|text| nulls.cell(text))),
            Self::Levels { codes, levels } => {
                let cells: Vec<Cell> = levels.iter().map(|text| nulls.cell(text)).collect();
                Box::new(codes.iter().map(move |&code| cells[code as usize]))
            }
            Self::Numbers { values, .. } => Box::new(values.iter().map(|&value| match value {
                value if value.is_nan() => Cell::Missing,
                value => Cell::Number(value),
            })),
        }
    }

    /// Calls `look` with every cell, or, if the distinct texts are known, once with each of them and the number of
    /// rows that hold it.
    pub fn each_distinct<'a>(&'a self, nulls: &'a NullTokens, mut look: impl FnMut(Cell<'a>, usize)) {
        if let Self::Levels { codes, levels } = self {
            let mut counts = vec![0; levels.len()];
            codes.iter().for_each(|&code| counts[code as usize] += 1);
            levels.iter().zip(counts).for_each(|(text, n)| look(nulls.cell(text), n));
        } else {
            self.cells(nulls).for_each(|cell| look(cell, 1));
        }
    }

    /// The cell of one row; panics when there is no such row.
    pub fn cell<'a>(&'a self, row: usize, nulls: &NullTokens) -> Cell<'a> {
        match self {
            Self::Texts(texts) => nulls.cell(texts.nth(row)),
            Self::Levels { codes, levels } => nulls.cell(levels.nth(codes[row] as usize)),
            Self::Numbers { values, .. } if values[row].is_nan() => Cell::Missing,
            Self::Numbers { values, .. } => Cell::Number(values[row]),
        }
    }
}

/// The line on which each row starts. Rows that follow each other line by line cost nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    /// First row, its line, and the file it is in, for each run of rows that are on consecutive lines.
    runs: Vec<(usize, u64, u32)>,
    len: usize,
}

impl Lines {
    /// Appends the line of the next row, in the file of that number.
    pub fn push(&mut self, line: u64, file: u32) {
        let follows = self
            .runs
            .last()
            .is_some_and(|&(row, first, of_file)| of_file == file && first + (self.len - row) as u64 == line);
        if !follows {
            self.runs.push((self.len, line, file));
        }
        self.len += 1;
    }

    /// Appends the lines of other rows.
    pub fn append(&mut self, other: &Self) {
        for (i, &(row, line, file)) in other.runs.iter().enumerate() {
            let end = other.runs.get(i + 1).map_or(other.len, |next| next.0);
            self.push(line, file);
            self.len += end - row - 1;
        }
    }

    /// Says that all rows are in the file of that number.
    pub fn set_file(&mut self, file: u32) {
        self.runs.iter_mut().for_each(|run| run.2 = file);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The line of row `i`, and the number of its file.
    pub fn get(&self, i: usize) -> (u64, usize) {
        let run = self.runs.partition_point(|&(row, ..)| row <= i).saturating_sub(1);
        self.runs.get(run).map_or((0, 0), |&(row, line, file)| (line + (i - row) as u64, file as usize))
    }
}

impl From<Vec<u64>> for Lines {
    fn from(lines: Vec<u64>) -> Self {
        let mut found = Self::default();
        lines.into_iter().for_each(|line| found.push(line, 0));
        found
    }
}

/// The name of an input in messages: its path, or `standard input` for `-`.
pub fn source_name(path: &str) -> String {
    if path == "-" { "standard input".into() } else { path.into() }
}

/// A file that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadFile {
    /// Its path as it was given.
    pub path: String,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

/// A file, or several of one header, as columns that are read and not yet typed.
#[derive(Debug, Clone, Default)]
pub struct RawTable {
    /// Its name in messages.
    pub source: String,
    /// The files, in the order of their rows.
    pub files: Vec<ReadFile>,
    /// The byte between two fields.
    pub delimiter: u8,
    /// Whether numbers have a decimal comma.
    pub decimal_comma: bool,
    /// Whether the user said so, or that they have none.
    pub decimal_given: bool,
    /// Whether it is one JSON object a line.
    pub ndjson: bool,
    /// Whether the files have no header.
    pub no_header: bool,
    /// Columns of whole numbers that are written with leading zeros, and one such cell of each.
    pub padded: Vec<(String, String)>,
    /// The words, other than none, that were read as missing values in columns of numbers.
    pub null_words: BTreeSet<String>,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One column per name.
    pub columns: Vec<RawColumn>,
    /// The line on which each row starts; the first line of a file is 1.
    pub lines: Lines,
    /// Observations about the files that the user should know.
    pub notes: Vec<String>,
}

impl RawTable {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lines.len()
    }

    /// The byte before the decimals of a number.
    pub fn decimal_mark(&self) -> u8 {
        if self.decimal_comma { b',' } else { b'.' }
    }

    /// The cell; a number if it is one that is written with this table's decimal comma.
    pub fn number_cell<'a>(&self, cell: Cell<'a>) -> Cell<'a> {
        match cell {
            Cell::Text(text) if self.decimal_comma => number::parse(text, b',').map_or(cell, Cell::Number),
            _ => cell,
        }
    }

    /// File and line of a row, for messages.
    pub fn place(&self, row: usize) -> String {
        place(self.lines.get(row), &self.files, &self.source)
    }
}

/// File and line of a row, for messages; `source` is the name of a table whose files have no names.
pub(crate) fn place((line, file): (u64, usize), files: &[ReadFile], source: &str) -> String {
    let path = files.get(file).map(|file| source_name(&file.path));
    format!("{} line {line}", path.unwrap_or_else(|| source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_as_runs() {
        let mut lines = Lines::from(vec![2, 3, 5, 6]);
        assert_eq!((lines.runs.len(), lines.len()), (2, 4));
        lines.append(&Lines::from(vec![7, 8, 20]));
        assert_eq!((0..7).map(|i| lines.get(i).0).collect::<Vec<_>>(), [2, 3, 5, 6, 7, 8, 20]);
        assert_eq!(lines.runs.len(), 3);
        lines.push(2, 1);
        assert_eq!(lines.get(7), (2, 1));
    }

    #[test]
    fn a_row_is_named_by_its_file_and_line_and_standard_input_by_its_name() {
        let file = |path: &str| ReadFile { path: path.into(), sha256: String::new() };
        let mut raw = RawTable { files: vec![file("a.csv"), file("-")], ..RawTable::default() };
        raw.lines.push(2, 0);
        raw.lines.push(2, 1);
        assert_eq!([raw.place(0), raw.place(1)], ["a.csv line 2", "standard input line 2"]);
    }

    #[test]
    fn every_form_of_a_column_holds_the_same_cells_and_counts_them() {
        let nulls = NullTokens::default();
        let texts = RawColumn::of_texts(["b", "NA", "b"]);
        let mut strings = Texts::default();
        ["b", "NA"].iter().for_each(|text| {
            strings.push(text);
        });
        let levels = RawColumn::Levels { codes: vec![0, 1, 0], levels: strings };
        for column in [&texts, &levels] {
            let cells: Vec<Cell> = column.cells(&nulls).collect();
            assert_eq!(cells, [Cell::Text("b"), Cell::Missing, Cell::Text("b")]);
            assert_eq!([0, 1, 2].map(|row| column.cell(row, &nulls)), cells[..]);
            let (mut missing, mut present) = (0, 0);
            column.each_distinct(
                &nulls,
                |cell, n| {
                    if cell == Cell::Missing { missing += n } else { present += n }
                },
            );
            assert_eq!((missing, present), (1, 2));
        }
        let numbers = RawColumn::Numbers { values: vec![1.5, f64::NAN], infinite: Vec::new() };
        assert_eq!([0, 1].map(|row| numbers.cell(row, &nulls)), [Cell::Number(1.5), Cell::Missing]);
    }
}
