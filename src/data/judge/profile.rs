//! The profile of a column of a training file, and what follows from it: its type, whether it is useful, and the task
//! that it makes as a target.
//!
//! Types form a lattice: nothing < number, boolean, date < category < text. A column is the join of its cells, so the
//! order of the rows does not matter.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task};
use crate::data::cells::number::is_whole;
use crate::data::cells::raw_table::{RawColumn, RawTable};
use crate::data::cells::table::Column;
use crate::data::cells::text::count_words;
use crate::data::cells::{boolean, date, number};
use crate::plain::plain;

/// A whole-number target with at most this many distinct values is taken as class labels: ratings, digits
/// and counts of a few fall below it, quantities above.
const MAX_WHOLE_NUMBER_CLASSES: usize = 20;

/// Distinct values are counted up to one more than this; beyond it their number says no more.
pub const MAX_COUNTED: usize = 10_000;

/// Below this many rows, all values being different is no evidence for an id.
const MIN_ROWS_FOR_ID: usize = 20;

/// The join of all cells of a column.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Cells without a value.
    pub missing: usize,
    /// Cells that are numbers.
    pub numbers: usize,
    /// Cells that are neither missing nor numbers.
    pub texts: usize,
    /// Texts that are words such as yes and no.
    pub booleans: boolean::Evidence,
    /// Texts that are dates.
    pub dates: date::Evidence,
    /// Whether all numbers are whole.
    pub whole: bool,
    /// The smallest number; infinite if there is none.
    pub min: f64,
    /// The largest number; minus infinity if there is none.
    pub max: f64,
    /// Distinct numbers; counted up to one more than [`MAX_COUNTED`].
    pub distinct_numbers: usize,
    /// Distinct values of any kind; counted up to one more than [`MAX_COUNTED`].
    pub distinct: usize,
    /// File and line, and text, of the first few cells that are not numbers.
    pub first_texts: Vec<(String, String)>,
}

/// Counts distinct values by their hashes, up to one more than [`MAX_COUNTED`]; the table stays in the cache.
struct Distinct {
    /// Hashes, 0 in free slots; a power of two, of which at most half are taken.
    slots: Vec<u64>,
    n: usize,
    last: u64,
}

impl Distinct {
    /// For at most `n` values.
    fn new(n: usize) -> Self {
        let size = (n.min(MAX_COUNTED) + 1) * 2;
        Self { slots: vec![0; size.next_power_of_two()], n: 0, last: 0 }
    }

    fn is_full(&self) -> bool {
        self.n > MAX_COUNTED
    }

    fn add(&mut self, value: u64) {
        // Odd, and so not 0; of two values one bit is lost, which none of numbers or hashes needs after mixing.
        let hash = (value ^ (value >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        if hash == self.last || self.is_full() {
            return;
        }
        self.last = hash;
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 32) as usize & mask;
        while self.slots[at] != 0 {
            if self.slots[at] == hash {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = hash;
        self.n += 1;
    }

    fn add_number(&mut self, value: f64) {
        // -0 is 0.
        self.add((value + 0.0).to_bits());
    }

    fn add_text(&mut self, text: &str) {
        if !self.is_full() {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            self.add(hasher.finish());
        }
    }
}

impl Profile {
    /// Joins every cell of column `index`.
    pub fn of(raw: &RawTable, index: usize, nulls: &NullTokens) -> Self {
        let mut profile = Self { whole: true, min: f64::INFINITY, max: f64::NEG_INFINITY, ..Self::default() };
        let n_values = match &raw.columns[index] {
            RawColumn::Levels { levels, .. } => levels.len(),
            _ => raw.n_rows(),
        };
        let mut numbers = Distinct::new(n_values);
        let mark = raw.decimal_mark();
        match &raw.columns[index] {
            RawColumn::Numbers { values, .. } => {
                (profile.missing, profile.min, profile.max) = missing_and_range(values);
                profile.numbers = values.len() - profile.missing;
                let present = || values.iter().copied().filter(|value| !value.is_nan());
                profile.whole = present().all(is_whole);
                for value in present() {
                    numbers.add_number(value);
                    if numbers.is_full() {
                        break;
                    }
                }
                profile.distinct = numbers.n;
            }
            column => {
                let mut texts = Distinct::new(n_values);
                column.each_distinct(nulls, |cell, n| profile.look(cell, mark, n, &mut numbers, &mut texts));
                profile.distinct = (numbers.n + texts.n).min(MAX_COUNTED + 1);
                profile.list_texts(raw, index, nulls);
            }
        }
        profile.distinct_numbers = numbers.n;
        profile
    }

    /// Joins a cell that occurs `n` times.
    fn look(&mut self, cell: Cell, mark: u8, n: usize, numbers: &mut Distinct, texts: &mut Distinct) {
        let Cell::Text(text) = cell else {
            self.missing += n;
            return;
        };
        match number::parse(text, mark) {
            Some(value) if value.is_nan() => self.missing += n,
            Some(value) => {
                self.numbers += n;
                self.whole &= is_whole(value);
                self.min = self.min.min(value);
                self.max = self.max.max(value);
                numbers.add_number(value);
            }
            None => {
                self.texts += n;
                if !self.booleans.look(text, n) {
                    self.dates.look(text, n);
                }
                texts.add_text(&plain(text));
            }
        }
    }

    /// Finds the first few cells that are not numbers.
    fn list_texts(&mut self, raw: &RawTable, index: usize, nulls: &NullTokens) {
        if self.texts == 0 {
            return;
        }
        let mark = raw.decimal_mark();
        for (row, cell) in raw.columns[index].cells(nulls).enumerate() {
            if let Cell::Text(text) = cell
                && number::parse(text, mark).is_none()
            {
                self.first_texts.push((raw.place(row), text.into()));
                if self.first_texts.len() == 5 {
                    return;
                }
            }
        }
    }

    /// Cells with a value.
    pub fn present(&self) -> usize {
        self.numbers + self.texts
    }

    /// The type that holds every cell.
    pub fn column_type(&self) -> ColumnType {
        match (self.numbers, self.texts) {
            (_, 0) => ColumnType::Number,
            (0, texts) if self.booleans.pair(texts).is_some() => ColumnType::Boolean,
            (0, texts) if self.dates.dates == texts && self.dates.is_consistent() => ColumnType::Date,
            _ => ColumnType::Category,
        }
    }

    /// Whether its numbers may be names: three or more whole numbers, as few as the classes of a target, that repeat.
    /// Two names and two amounts are the same to every learner.
    pub fn may_be_codes(&self) -> bool {
        let n = self.distinct_numbers;
        self.texts == 0
            && self.whole
            && (3..=MAX_WHOLE_NUMBER_CLASSES).contains(&n)
            && n * 2 <= self.present()
    }

    /// The reason why such a column is taken for this type.
    pub fn reason(&self, column_type: ColumnType) -> String {
        let n = self.distinct;
        match column_type {
            ColumnType::Number if self.present() == 0 => "no values".into(),
            ColumnType::Number if self.whole && n == 2 && self.min == 0.0 && self.max == 1.0 => {
                "0 or 1".into()
            }
            ColumnType::Number if self.whole && n <= MAX_WHOLE_NUMBER_CLASSES => format!("{n} whole numbers"),
            ColumnType::Number if self.whole => "whole numbers".into(),
            ColumnType::Number => "numbers".into(),
            ColumnType::Boolean => {
                let words = self.booleans.most();
                format!("{} or {}", words.text(true), words.text(false))
            }
            ColumnType::Date => match self.dates.order() {
                None => "dates".into(),
                Some(date::Order::DayFirst) => "dates, the day first".into(),
                Some(date::Order::MonthFirst) => "dates, the month first".into(),
                Some(date::Order::YearFirst) => "dates, the year first".into(),
            },
            ColumnType::Text => "sentences".into(),
            ColumnType::Category if self.numbers > 0 => "numbers and texts".into(),
            ColumnType::Category if n == 1 => "one text and missing values".into(),
            ColumnType::Category if n > MAX_COUNTED => "texts".into(),
            ColumnType::Category => format!("{n} distinct texts"),
        }
    }

    /// Whether this is a column of numbers with a few other cells. Those are more likely mistakes than categories, so
    /// training asks instead of guessing.
    pub fn is_mostly_numbers(&self) -> bool {
        self.column_type() == ColumnType::Category
            && self.distinct_numbers > MAX_WHOLE_NUMBER_CLASSES
            && self.numbers * 10 >= self.present() * 9
    }

    /// The first of those other cells, its place, and what is wrong with it; `kind` says which column it is of.
    pub(crate) fn first_odd_cell(&self, raw: &RawTable, kind: &str, name: &str) -> Option<(String, &str)> {
        let (place, text) = self.first_texts.first()?;
        // Either decimal mark may be the mistake, or the dot stands between thousands.
        let is_other = raw.decimal_comma && text.parse::<f64>().is_ok();
        let with = if is_other { " with a decimal comma" } else { "" };
        let fault = format!(
            "{place}, {kind} {name:?}: {text:?} is not a number{with}, and nearly all other cells are"
        );
        Some((fault, text))
    }

    /// Whether this is a column of dates with a few cells that are not, such as days and months in two orders.
    pub fn is_mostly_dates(&self) -> bool {
        self.column_type() == ColumnType::Category
            && self.dates.dates > MAX_WHOLE_NUMBER_CLASSES
            && self.dates.dates * 10 >= self.present() * 9
    }

    /// The task this column makes as a target, and why.
    pub fn task(&self) -> (Task, String) {
        let distinct = self.distinct_numbers;
        match self.column_type() {
            ColumnType::Category | ColumnType::Text => (Task::Classification, "its values are text".into()),
            ColumnType::Date => (Task::Classification, "its values are dates, taken as labels".into()),
            // As labels, Yes and yes are two.
            ColumnType::Boolean if self.distinct > 2 => (Task::Classification, "its values are text".into()),
            ColumnType::Boolean => {
                let words = self.booleans.most();
                let (one, zero) = (words.text(true), words.text(false));
                (Task::Classification, format!("its values are {one} and {zero}"))
            }
            ColumnType::Number if !self.whole => {
                (Task::Regression, "its values are numbers with decimals".into())
            }
            ColumnType::Number if distinct > MAX_WHOLE_NUMBER_CLASSES => (
                Task::Regression,
                format!("it has more than {MAX_WHOLE_NUMBER_CLASSES} distinct whole numbers"),
            ),
            // As many values as rows are measurements, however few the rows.
            ColumnType::Number if distinct > 2 && distinct * 2 > self.present() => {
                (Task::Regression, format!("it has {distinct} distinct numbers in {} rows", self.present()))
            }
            ColumnType::Number => (Task::Classification, format!("it has {distinct} distinct whole numbers")),
        }
    }
}

/// Mean number of words from which distinct values are texts; names and ids have one or two.
const MIN_WORDS: f64 = 3.0;

/// Whether the values of a category are words and sentences: of three words and more on average, and more than
/// half of them different.
pub fn is_text(column: &Column) -> bool {
    let Column::Category { codes, levels } = column else {
        return false;
    };
    let mut counts = vec![0_u32; levels.len()];
    for &code in codes {
        if let Some(count) = counts.get_mut(code as usize) {
            *count += 1;
        }
    }
    let present: u32 = counts.iter().sum();
    if levels.len() * 2 <= present as usize {
        return false;
    }
    let words: f64 = levels.iter().zip(&counts).map(|(text, &n)| count_words(text) * f64::from(n)).sum();
    words >= MIN_WORDS * f64::from(present)
}

/// The number of NaN values, and the smallest and largest of the others; infinite if there is none.
fn missing_and_range(values: &[f64]) -> (usize, f64, f64) {
    const LANES: usize = 8;
    let (mut missing, mut min, mut max) = ([0; LANES], [f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let mut look = |lane: usize, value: f64| {
        missing[lane] += usize::from(value.is_nan());
        // Nothing is below or above a NaN.
        min[lane] = if value < min[lane] { value } else { min[lane] };
        max[lane] = if value > max[lane] { value } else { max[lane] };
    };
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        group.iter().enumerate().for_each(|(lane, &value)| look(lane, value));
    }
    rest.iter().for_each(|&value| look(0, value));
    (
        missing.iter().sum(),
        min.into_iter().fold(f64::INFINITY, f64::min),
        max.into_iter().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Why a typed column is of no use as a feature, if it is not.
pub fn useless(name: &str, column: &Column) -> Option<String> {
    match column {
        Column::Number(values) | Column::Written { values, .. } => {
            let mut present = values.iter().copied().filter(|v| !v.is_nan());
            let first = present.next();
            let any_missing = values.iter().any(|v| v.is_nan());
            match first {
                None => Some("every cell is missing".into()),
                Some(first) if !any_missing && present.all(|v| v == first) => {
                    Some("every value is the same".into())
                }
                _ if matches!(column, Column::Written { .. }) => None,
                _ if is_row_number(name, values) => Some("it numbers the rows".into()),
                _ => is_id_number(name, values).then(|| "every value is different, as in an id".into()),
            }
        }
        Column::Text { codes, texts } => {
            let mut present = codes.iter().filter(|code| !code.is_nan()).map(|&code| texts.get(code));
            let first = present.next();
            match first {
                None => Some("every cell is missing".into()),
                Some(first) if present.all(|text| text == first) => Some("every value is the same".into()),
                Some(_) => None,
            }
        }
        Column::Category { codes, levels } => {
            let present = codes.iter().filter(|&&c| (c as usize) < levels.len()).count();
            if levels.is_empty() {
                Some("every cell is missing".into())
            } else if levels.len() == 1 && present == codes.len() {
                Some("every value is the same".into())
            } else if present >= MIN_ROWS_FOR_ID && levels.len() * 10 > present * 9 {
                Some("nearly every value is different, as in an id".into())
            } else {
                None
            }
        }
    }
}

/// Distinct, consecutive whole numbers that start at 0 or 1, or whose name says that they are an id.
fn is_row_number(name: &str, values: &[f64]) -> bool {
    if values.len() < MIN_ROWS_FOR_ID || values.iter().any(|v| v.is_nan() || v.fract() != 0.0) {
        return false;
    }
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let name = name.to_lowercase();
    let named = ["id", "index", "row", "no", "nr", "number", "key"]
        .iter()
        .any(|word| name.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word));
    if !(named || min == 0.0 || min == 1.0) {
        return false;
    }
    let mut seen = vec![false; values.len()];
    values.iter().all(|&value| {
        let offset = (value - min) as usize;
        offset < seen.len() && !std::mem::replace(&mut seen[offset], true)
    })
}

/// Whole numbers that are all different, in a column whose name has the word id or key: `customer_id`, `orderId`.
fn is_id_number(name: &str, values: &[f64]) -> bool {
    let mut spaced = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() || !c.is_alphanumeric() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        before = c;
    }
    let named = spaced.split(' ').any(|word| ["id", "uuid", "guid", "key"].contains(&word));
    if !named || values.len() < MIN_ROWS_FOR_ID || values.iter().any(|v| !is_whole(*v)) {
        return false;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.windows(2).all(|pair| pair[0] != pair[1])
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

    fn profile(cells: &[&str]) -> Profile {
        Profile::of(&raw(cells), 0, &NullTokens::default())
    }

    #[test]
    fn a_column_is_the_join_of_its_cells_in_any_order() {
        for (cells, expected) in [
            (vec!["1", "2.5", "NA"], ColumnType::Number),
            (vec!["true", "FALSE", ""], ColumnType::Boolean),
            (vec!["yes", "NO", "Yes"], ColumnType::Boolean),
            (vec!["yes", "NA"], ColumnType::Category),
            (vec!["yes", "n"], ColumnType::Category),
            (vec!["true", "1"], ColumnType::Category),
            (vec!["1", "a"], ColumnType::Category),
            (vec!["2024-03-05", "05.03.2024 10:00", "NA"], ColumnType::Date),
            (vec!["5/3/2024", "25/3/2024"], ColumnType::Date),
            (vec!["3/25/2024", "25/3/2024"], ColumnType::Category),
            (vec!["2024-03-05", "soon"], ColumnType::Category),
            (vec!["2024-03-05", "2024"], ColumnType::Category),
            (vec!["NA", ""], ColumnType::Number),
        ] {
            let mut backward = cells.clone();
            backward.reverse();
            assert_eq!(profile(&cells).column_type(), expected, "{cells:?}");
            assert_eq!(profile(&backward).column_type(), expected, "{backward:?}");
        }
    }

    #[test]
    fn a_typing_mistake_among_numbers_is_not_taken_for_categories() {
        let numbers: Vec<String> = (0..50).map(|i| (f64::from(i) * 1.5).to_string()).collect();
        let mut cells: Vec<&str> = numbers.iter().map(String::as_str).collect();
        cells.push("many");
        let profile = profile(&cells);
        assert!(profile.is_mostly_numbers());
        assert_eq!(profile.first_texts, [("t.csv line 52".to_string(), "many".to_string())]);
    }

    #[test]
    fn a_dot_among_decimal_commas_is_named_and_not_a_number() {
        let numbers: Vec<String> = (0..50).map(|i| format!("{i},5")).collect();
        let mut cells: Vec<&str> = numbers.iter().map(String::as_str).collect();
        cells.extend(["nan", "2.5"]);
        let raw = RawTable { decimal_comma: true, ..raw(&cells) };
        let profile = Profile::of(&raw, 0, &NullTokens::default());
        assert!(profile.is_mostly_numbers());
        let (fault, text) = profile.first_odd_cell(&raw, "column", "x").unwrap();
        assert_eq!(text, "2.5");
        assert!(
            fault.contains("line 53, column \"x\": \"2.5\" is not a number with a decimal comma"),
            "{fault}"
        );
    }

    #[test]
    fn few_whole_numbers_are_classes_and_many_or_fractions_are_quantities() {
        assert_eq!(profile(&["0", "1", "1", "0"]).task().0, Task::Classification);
        assert_eq!(profile(&["0.5", "1", "1", "0"]).task().0, Task::Regression);
        assert_eq!(profile(&["3", "1", "7", "9"]).task().0, Task::Regression);
        assert_eq!(profile(&["a", "b"]).task().0, Task::Classification);
        let many: Vec<String> = (0..100).map(|i| (i % 25).to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(profile(&many).task().0, Task::Regression);
    }

    #[test]
    fn constants_row_numbers_and_ids_are_useless() {
        let numbers = |f: fn(usize) -> f64| Column::Number((0..30).map(f).collect());
        assert!(useless("x", &numbers(|_| 3.0)).is_some());
        assert!(useless("x", &numbers(|_| f64::NAN)).is_some());
        assert!(useless("x", &numbers(|i| (29 - i) as f64)).is_some());
        assert!(useless("year", &numbers(|i| (1990 + i) as f64)).is_none());
        assert!(useless("order_id", &numbers(|i| (1990 + i) as f64)).is_some());
        for (name, left_out) in
            [("order_id", true), ("customerId", true), ("ID", true), ("paid", false), ("width", false)]
        {
            assert_eq!(useless(name, &numbers(|i| (i * i) as f64)).is_some(), left_out, "{name}");
        }
        assert!(
            useless("order_id", &numbers(|i| (i / 2 * 7) as f64)).is_none(),
            "an id that comes again is a group"
        );
        let ids = Column::Category {
            codes: (0..30).collect(),
            levels: (0..30).map(|i| format!("u{i:02}")).collect(),
        };
        assert!(useless("user", &ids).is_some());
    }
}
