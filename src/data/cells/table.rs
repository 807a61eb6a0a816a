//! The columns of a training file: first as they were read ([`RawTable`]), then typed ([`Table`]), with the
//! line each row came from.
//!
//! Only training and evaluation hold a whole file (see [`crate::data::read::load`]); prediction streams (see
//! [`crate::data::read::csv::Records`]).

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::schema::{Cell, ColumnType, Notation, NullTokens};
use super::text::Texts;
use super::{boolean, date, number};

/// The cells of one column as they were read.
#[derive(Debug, Clone)]
pub enum RawColumn {
    /// Each cell's text.
    Texts(Texts),
    /// The distinct texts, and for each cell which it is.
    Levels {
        /// One index into `levels` per row.
        codes: Vec<u32>,
        /// In the order in which they were first met.
        levels: Texts,
    },
    /// Numbers; their text is not kept.
    Numbers {
        /// One per row; NaN where the cell was missing.
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
    /// What messages call it.
    pub source: String,
    /// The files, in the order of their rows.
    pub files: Vec<ReadFile>,
    /// The byte between two fields.
    pub delimiter: u8,
    /// Whether numbers have a decimal comma.
    pub decimal_comma: bool,
    /// Whether it is one JSON object a line.
    pub ndjson: bool,
    /// Whether the names do not stand in the files.
    pub no_header: bool,
    /// Columns of whole numbers that are written with leading zeros, and one such cell of each.
    pub padded: Vec<(String, String)>,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One column per name.
    pub columns: Vec<RawColumn>,
    /// The line on which each row starts; the first line of a file is 1.
    pub lines: Lines,
    /// What was found in the files and the user should know.
    pub notes: Vec<String>,
}

impl RawTable {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lines.len()
    }

    /// The cell, a number where it is one that is written with this table's decimal comma.
    pub fn number_cell<'a>(&self, cell: Cell<'a>) -> Cell<'a> {
        match cell {
            Cell::Text(text) if self.decimal_comma => number::parse(text, b',').map_or(cell, Cell::Number),
            _ => cell,
        }
    }

    /// File and line of a row, for messages.
    pub fn place(&self, row: usize) -> String {
        let (line, file) = self.lines.get(row);
        let path = self.files.get(file).map(|file| crate::data::read::csv::source_name(&file.path));
        format!("{} line {line}", path.unwrap_or_else(|| self.source.clone()))
    }
}

/// The code of a missing category.
pub const MISSING_LEVEL: u32 = u32::MAX;

/// A typed column, one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Finite numbers; NaN where the cell was missing. Booleans that are written `true` and `false` are 0 and 1.
    Number(Vec<f64>),
    /// Numbers that are written in another way: dates as seconds since 1970, other words for booleans as 0 and 1.
    Written {
        /// One per row; NaN where the cell was missing.
        values: Vec<f64>,
        /// How they are written.
        notation: Notation,
    },
    /// Indices into `levels`, which are sorted by their bytes; [`MISSING_LEVEL`] where the cell was missing.
    Category {
        /// One index per row.
        codes: Vec<u32>,
        /// Every distinct value of the column.
        levels: Vec<String>,
    },
    /// Words and sentences.
    Text {
        /// For each row the code of its text; NaN where the cell was missing.
        codes: Vec<f64>,
        /// The texts.
        texts: Texts,
    },
}

impl Column {
    /// Types the cells of column `index` of `raw`.
    ///
    /// # Errors
    /// A cell that is not of `column_type`; up to five are listed with file, line and column.
    pub fn parse(raw: &RawTable, index: usize, column_type: ColumnType, nulls: &NullTokens) -> Result<Self> {
        let column = &raw.columns[index];
        match column_type {
            ColumnType::Category => return Ok(Self::categories(column, nulls)),
            ColumnType::Text => return Ok(Self::texts(column, nulls)),
            ColumnType::Number | ColumnType::Boolean | ColumnType::Date => {}
        }
        let is_date = column_type == ColumnType::Date;
        let notation = match column_type {
            ColumnType::Date => Some(date_notation(column, nulls)),
            ColumnType::Boolean => boolean_notation(column, nulls),
            _ => None,
        };
        // A date is no number, whatever the decimal mark.
        let cell_of = |cell| if is_date { cell } else { raw.number_cell(cell) };
        let mut problems = Vec::new();
        let mut add = |row: usize, detail: String| {
            problems.push(format!("{}, column \"{}\": {detail}", raw.place(row), raw.names[index]));
        };
        let values = match column {
            RawColumn::Numbers { values, infinite } if column_type == ColumnType::Number => {
                for (row, text) in infinite {
                    add(*row, format!("{text:?} is not a finite number"));
                }
                values.clone()
            }
            RawColumn::Levels { codes, levels } => {
                let code = |text| column_type.plain_code(cell_of(nulls.cell(text)), notation);
                let of_level: Vec<Result<f64, String>> = levels.iter().map(code).collect();
                let value = |(row, &code): (usize, &u32)| match &of_level[code as usize] {
                    Ok(value) => *value,
                    Err(detail) => {
                        add(row, detail.clone());
                        f64::NAN
                    }
                };
                codes.iter().enumerate().map(value).collect()
            }
            _ => {
                let value = |(row, cell)| match column_type.plain_code(cell_of(cell), notation) {
                    Ok(value) => value,
                    Err(detail) => {
                        add(row, detail);
                        f64::NAN
                    }
                };
                column.cells(nulls).enumerate().map(value).collect()
            }
        };
        if problems.is_empty() {
            return Ok(match notation {
                Some(notation) => Self::Written { values, notation },
                None => Self::Number(values),
            });
        }
        let more = problems.len().saturating_sub(5);
        problems.truncate(5);
        if more > 0 {
            problems.push(format!("and {more} more cells of that column"));
        }
        bail!(
            "{}\ncorrect the cells, name them as missing (--null TOKEN), or read the column as text \
             (--type \"{}=category\")",
            problems.join("\n"),
            raw.names[index]
        )
    }

    fn texts(column: &RawColumn, nulls: &NullTokens) -> Self {
        let mut texts = Texts::default();
        let code = |cell| match cell {
            Cell::Text(text) => texts.push(text),
            // As it would be written; a column that is to hold texts is read as text.
            Cell::Number(value) => texts.push(&value.to_string()),
            Cell::Missing | Cell::Boolean(_) => f64::NAN,
        };
        let codes = column.cells(nulls).map(code).collect();
        Self::Text { codes, texts }
    }

    /// As [`Column::parse`], but takes the memory of a column of numbers instead of copying it.
    ///
    /// # Errors
    /// As there.
    pub fn take(
        raw: &mut RawTable,
        index: usize,
        column_type: ColumnType,
        nulls: &NullTokens,
    ) -> Result<Self> {
        match &mut raw.columns[index] {
            RawColumn::Numbers { values, infinite }
                if column_type == ColumnType::Number && infinite.is_empty() =>
            {
                Ok(Self::Number(std::mem::take(values)))
            }
            _ => Self::parse(raw, index, column_type, nulls),
        }
    }

    fn categories(column: &RawColumn, nulls: &NullTokens) -> Self {
        let mut written = Vec::new();
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let mut found: Vec<&str> = Vec::new();
        let mut codes: Vec<u32> = match column {
            RawColumn::Levels { codes, levels } => {
                let of_level: Vec<u32> =
                    levels.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect();
                codes.iter().map(|&code| of_level[code as usize]).collect()
            }
            RawColumn::Texts(texts) => {
                texts.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect()
            }
            RawColumn::Numbers { values, .. } => {
                // As they would be written; a column that is to hold categories is read as text.
                written.extend(values.iter().map(|v| if v.is_nan() { String::new() } else { v.to_string() }));
                written.iter().map(|text| level(nulls.cell(text), &mut seen, &mut found)).collect()
            }
        };
        let mut order: Vec<u32> = (0..found.len() as u32).collect();
        order.sort_unstable_by_key(|&code| found[code as usize]);
        let mut rank = vec![0; found.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        for code in codes.iter_mut().filter(|code| **code != MISSING_LEVEL) {
            *code = rank[*code as usize];
        }
        let levels = order.iter().map(|&code| found[code as usize].to_string());
        Self::Category { codes, levels: levels.collect() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) | Self::Written { values, .. } => values.len(),
            Self::Category { codes, .. } => codes.len(),
            Self::Text { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `i` has no value.
    pub fn is_missing(&self, i: usize) -> bool {
        match self {
            Self::Number(values) | Self::Written { values, .. } => values[i].is_nan(),
            Self::Category { codes, .. } => codes[i] == MISSING_LEVEL,
            Self::Text { codes, .. } => codes[i].is_nan(),
        }
    }
}

/// Looks at every cell of a column, with how many there are of it where they are counted.
pub fn look_at_cells<'a>(
    column: &'a RawColumn,
    nulls: &'a NullTokens,
    mut look: impl FnMut(Cell<'a>, usize),
) {
    match column {
        RawColumn::Levels { codes, levels } => {
            let mut counts = vec![0; levels.len()];
            codes.iter().for_each(|&code| counts[code as usize] += 1);
            levels.iter().zip(counts).for_each(|(text, n)| look(nulls.cell(text), n));
        }
        column => column.cells(nulls).for_each(|cell| look(cell, 1)),
    }
}

/// How the dates of a column are written, whatever else it holds.
fn date_notation(column: &RawColumn, nulls: &NullTokens) -> Notation {
    let mut evidence = date::Evidence::default();
    let mut numbers = false;
    look_at_cells(column, nulls, |cell, n| match cell {
        Cell::Text(text) => numbers |= !evidence.look(text, n) && text.parse::<f64>().is_ok(),
        Cell::Number(_) => numbers = true,
        Cell::Missing | Cell::Boolean(_) => {}
    });
    Notation::Date(date::Notation { order: evidence.order(), numbers })
}

/// The words that the booleans of a column are written in, whatever else it holds; none where they are `true` and
/// `false`.
fn boolean_notation(column: &RawColumn, nulls: &NullTokens) -> Option<Notation> {
    let mut evidence = boolean::Evidence::default();
    look_at_cells(column, nulls, |cell, n| {
        if let Cell::Text(text) = cell {
            evidence.look(text, n);
        }
    });
    let words = evidence.most();
    (words != boolean::Words::TrueFalse).then_some(Notation::Boolean(words))
}

/// The code of a level, which is a new one if it was not met before.
fn level<'a>(cell: Cell<'a>, seen: &mut HashMap<&'a str, u32>, found: &mut Vec<&'a str>) -> u32 {
    let Cell::Text(text) = cell else {
        return MISSING_LEVEL;
    };
    *seen.entry(text).or_insert_with(|| {
        found.push(text);
        found.len() as u32 - 1
    })
}

/// A file as typed columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// What messages call the file.
    pub source: String,
    /// Names, in file order.
    pub names: Vec<String>,
    /// One typed column per name.
    pub columns: Vec<Column>,
    /// The line on which each row starts.
    pub lines: Lines,
}

impl Table {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cells: &[&str]) -> RawTable {
        RawTable {
            source: "t.csv".into(),
            names: vec!["x".into()],
            columns: vec![RawColumn::of_texts(cells.iter().copied())],
            lines: (2..2 + cells.len() as u64).collect::<Vec<_>>().into(),
            ..RawTable::default()
        }
    }

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
    fn categories_are_sorted_whatever_the_order_of_the_rows() {
        let nulls = NullTokens::default();
        let forward = Column::parse(&raw(&["b", " a ", "NA", "b"]), 0, ColumnType::Category, &nulls);
        let Column::Category { codes, levels } = forward.unwrap() else { panic!("not a category") };
        assert_eq!(levels, ["a", "b"]);
        assert_eq!(codes, [1, 0, MISSING_LEVEL, 1]);
    }

    #[test]
    fn cells_that_are_not_numbers_are_listed_with_line_and_column() {
        let parsed =
            Column::parse(&raw(&["1", "many", "2", "inf"]), 0, ColumnType::Number, &NullTokens::default());
        let message = parsed.unwrap_err().to_string();
        assert!(message.contains("t.csv line 3, column \"x\": \"many\" is not a number"));
        assert!(message.contains("t.csv line 5, column \"x\": \"inf\" is not a finite number"));
        assert!(message.contains("--type"));
    }
}
