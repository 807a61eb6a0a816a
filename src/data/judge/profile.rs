//! The profile of a column of a training file, and what follows from it: its type, whether it is useful, and the task
//! that it makes as a target.
//!
//! Types form a lattice: nothing < number, boolean, date < category < text. A column is the join of its cells, so the
//! order of the rows does not matter.

use super::distinct::{Distinct, MAX_COUNTED, Written};
use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task};
use crate::data::cells::notation::Notation;
use crate::data::cells::number::{MAX_EXACT, is_whole};
use crate::data::cells::quantity::{Few, Quantities, is_no_value, is_quantity};
use crate::data::cells::raw_table::{RawColumn, RawTable};
use crate::data::cells::table::Column;
use crate::data::cells::text::count_words;
use crate::data::cells::{boolean, date, number};
use crate::plain::plain;

/// A whole-number target with at most this many distinct values is taken as class labels: ratings, digits
/// and counts of a few fall below it, quantities above.
const MAX_WHOLE_NUMBER_CLASSES: usize = 20;

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
    /// How the numbers are written, unless they are plain.
    pub(crate) notation: Option<Notation>,
    /// What the cells say about that.
    pub(crate) quantities: Quantities,
    /// Texts that mean "no value" in this column; such cells count as missing.
    pub(crate) odd: Vec<Odd>,
    /// The texts that are no numbers, and those that are no dates, as long as they are few.
    no_numbers: Few,
    no_dates: Few,
    /// Distinct texts, numbers among them; as [`Profile::distinct`] if the text of numbers is not kept.
    pub(crate) distinct_texts: usize,
    /// Whether its whole numbers are kept as they are written, because numbers do not hold them.
    pub(crate) rounded: bool,
    /// Numbers of more digits than a number holds, if they are read as numbers.
    pub(crate) n_rounded: usize,
    /// A text that other programs read as a number, such as `0x1f` or `1_000`, and how many there are.
    pub(crate) unread: Option<(String, usize)>,
    /// Texts that are amounts or durations, before the notation is known.
    quantity_like: usize,
    /// Texts that are codes with an appendix, such as the postal code `98117-2811`.
    appended: usize,
}

/// A text that means "no value" in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd {
    /// The text.
    pub(crate) text: String,
    /// How many cells hold it.
    pub(crate) n: usize,
    /// File and line of the first.
    pub(crate) place: String,
}

impl Profile {
    /// Of no cell.
    fn unseen() -> Self {
        Self { whole: true, min: f64::INFINITY, max: f64::NEG_INFINITY, ..Self::default() }
    }

    /// Joins every cell of column `index`.
    pub fn of(raw: &RawTable, index: usize, nulls: &NullTokens) -> Self {
        let nulls = nulls.of(&raw.names[index]);
        let mut profile = Self::unseen();
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
                if profile.numbers > 0 && profile.texts == 0 && raw.decimal_comma && !raw.decimal_given {
                    profile.quantities = Quantities::of(raw, index, nulls);
                }
                // A few amounts among many texts are none of a column of numbers.
                if profile.quantity_like > 0
                    && (profile.quantity_like + profile.numbers) * 2 >= profile.present()
                {
                    let quantities = Quantities::of(raw, index, nulls);
                    let notation = quantities.notation();
                    if notation.is_some() {
                        profile = Self::unseen();
                        (numbers, texts) = (Distinct::new(n_values), Distinct::new(n_values));
                        profile.notation = notation;
                        column.each_distinct(nulls, |cell, n| {
                            profile.look(cell, mark, n, &mut numbers, &mut texts);
                        });
                    }
                    // Among few numbers, 5+ is the last of them, not 5; and few with a word may be names.
                    let is_doubtful = matches!(notation, Some(Notation::Number(notation))
                        if notation.bounds || notation.has_free_unit());
                    if is_doubtful && numbers.n <= MAX_WHOLE_NUMBER_CLASSES {
                        profile = Self::unseen();
                        (numbers, texts) = (Distinct::new(n_values), Distinct::new(n_values));
                        column.each_distinct(nulls, |cell, n| {
                            profile.look(cell, mark, n, &mut numbers, &mut texts);
                        });
                    } else {
                        profile.quantities = quantities;
                    }
                }
                profile.distinct_numbers = numbers.n;
                profile.distinct = (numbers.n + texts.n).min(MAX_COUNTED + 1);
                let mut written = Written::new(n_values);
                if profile.numbers > 0 {
                    column.each_distinct(nulls, |cell, n| written.look(cell, mark, n));
                }
                profile.distinct_texts = written.texts.n;
                profile.n_rounded = if profile.notation.is_none() { written.n_rounded } else { 0 };
                if profile.notation.is_none() && written.are_codes(profile.present()) {
                    profile.rounded = true;
                    profile.texts = std::mem::take(&mut profile.numbers);
                    profile.distinct = written.texts.n;
                    profile.distinct_numbers = 0;
                    return profile;
                }
                profile.find_odd();
                profile.list_texts(raw, index, nulls);
            }
        }
        profile.distinct_numbers = numbers.n;
        profile.distinct_texts = profile.distinct_texts.max(profile.distinct);
        profile
    }

    /// Joins a cell that occurs `n` times.
    fn look(&mut self, cell: Cell, mark: u8, n: usize, numbers: &mut Distinct, texts: &mut Distinct) {
        let Cell::Text(text) = cell else {
            self.missing += n;
            return;
        };
        match self.number(text, mark) {
            Some(value) if value.is_nan() => self.missing += n,
            Some(value) => {
                self.numbers += n;
                self.no_dates.add(text, n);
                self.whole &= is_whole(value);
                self.min = self.min.min(value);
                self.max = self.max.max(value);
                numbers.add_number(value);
            }
            None => {
                self.texts += n;
                self.no_numbers.add(text, n);
                if self.booleans.look(text, n) || !self.dates.look(text, n) {
                    self.no_dates.add(text, n);
                    self.quantity_like += if is_quantity(text) { n } else { 0 };
                    self.appended += if has_appendix(text) { n } else { 0 };
                    self.count_unread(text, n);
                }
                texts.add_text(&plain(text));
            }
        }
    }

    /// Counts a text that other programs read as a number; the first by its bytes is the example.
    fn count_unread(&mut self, text: &str, n: usize) {
        let hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).is_some_and(hex);
        let parted = text.contains('_')
            && text.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if is_hex || parted {
            let (example, counted) = self.unread.get_or_insert_with(|| (text.to_string(), 0));
            *counted += n;
            if text < example.as_str() {
                *example = text.to_string();
            }
        }
    }

    /// The number that a text is in this column.
    fn number(&self, text: &str, mark: u8) -> Option<f64> {
        match self.notation {
            None => number::parse(text, mark),
            Some(notation) => {
                notation.number(text).or_else(|| text.parse().ok().filter(|value: &f64| value.is_nan()))
            }
        }
    }

    /// Decides which texts mean "no value": the few that are no numbers in a column of numbers, or no dates in one of
    /// dates. They are known words for that, or come again and again among many different numbers.
    fn find_odd(&mut self) {
        let of_dates = self.dates.dates > 0 && self.dates.dates * 2 >= self.present();
        let (few, n, many) = match of_dates {
            true => (&self.no_dates, self.dates.dates, self.dates.dates > MAX_WHOLE_NUMBER_CLASSES),
            false => (&self.no_numbers, self.numbers, self.distinct_numbers > MAX_WHOLE_NUMBER_CLASSES),
        };
        if n == 0 || self.texts == 0 || !of_dates && self.distinct_numbers < 2 || !self.dates.is_consistent()
        {
            return;
        }
        let Some(few) = few.texts() else { return };
        // Of any other word nothing is known; one with a digit is more likely a mistake.
        let are_quantities = of_dates || self.are_measured() || few.len() == 1;
        let may_be_unknown = many && n * 2 >= self.present() && are_quantities;
        let is_odd = |(text, count): &(String, usize)| {
            is_no_value(text) || may_be_unknown && *count > 1 && !text.contains(|c: char| c.is_ascii_digit())
        };
        if few.is_empty() || !few.iter().all(is_odd) {
            return;
        }
        self.odd =
            few.iter().map(|(text, n)| Odd { text: text.clone(), n: *n, place: String::new() }).collect();
        let n_odd: usize = self.odd.iter().map(|odd| odd.n).sum();
        self.missing += n_odd;
        self.distinct -= self.odd.len().min(self.distinct);
        if of_dates {
            (self.texts, self.numbers, self.distinct_numbers) = (self.dates.dates, 0, 0);
            self.booleans = boolean::Evidence::default();
        } else {
            self.texts = 0;
        }
    }

    /// Finds the first few cells that are not numbers, and the first that mean "no value".
    fn list_texts(&mut self, raw: &RawTable, index: usize, nulls: &NullTokens) {
        if self.texts == 0 && self.odd.is_empty() {
            return;
        }
        let mark = raw.decimal_mark();
        for (row, cell) in raw.columns[index].cells(nulls).enumerate() {
            let Cell::Text(text) = cell else { continue };
            if let Some(odd) = self.odd.iter_mut().find(|odd| odd.text == text) {
                if odd.place.is_empty() {
                    odd.place = raw.place(row);
                }
            } else if self.first_texts.len() < 5 && self.number(text, mark).is_none() {
                self.first_texts.push((raw.place(row), text.into()));
            }
            let listed = self.first_texts.len() == 5 || self.texts == 0;
            if listed && self.odd.iter().all(|odd| !odd.place.is_empty()) {
                return;
            }
        }
    }

    /// Cells that are numbers, however they are written.
    pub(crate) fn n_quantities(&self) -> usize {
        self.numbers + self.quantity_like
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

    /// Whether its numbers are quantities for certain, not codes.
    fn are_measured(&self) -> bool {
        const MAX_CODES: usize = 100;
        !self.whole || self.distinct_numbers > MAX_CODES
    }

    /// Whether all that is no number is a whole number like the others with an appendix: they are postal codes or the like.
    pub(crate) fn are_postal_codes(&self) -> bool {
        self.appended > 0 && self.appended == self.texts && self.whole && self.min >= 0.0 && self.max < 1e5
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
            ColumnType::Number if self.notation.is_some() => {
                self.notation.map_or(String::new(), |notation| notation.to_string())
            }
            ColumnType::Number if self.whole && n == 2 && self.min == 0.0 && self.max == 1.0 => {
                "0 or 1".into()
            }
            ColumnType::Number if self.whole && n <= MAX_WHOLE_NUMBER_CLASSES => format!("{n} whole numbers"),
            // Perhaps an id whose name does not say so.
            ColumnType::Number if self.whole && n >= 20 && n == self.present() => {
                "whole numbers, all different".into()
            }
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
            ColumnType::Category if self.rounded => "whole numbers of too many digits, as written".into(),
            ColumnType::Category if self.are_postal_codes() => "postal codes".into(),
            ColumnType::Category if self.numbers > 0 => "numbers and texts".into(),
            ColumnType::Category if n == 1 => "one text and missing values".into(),
            ColumnType::Category if n > MAX_COUNTED => "texts".into(),
            ColumnType::Category => format!("{n} distinct texts"),
        }
    }

    /// Whether this is a column of numbers with a few other cells, or cells of few kinds. Those are more likely mistakes
    /// than categories, so training asks instead of guessing.
    pub fn is_mostly_numbers(&self) -> bool {
        let (n, few) = (self.numbers, self.no_numbers.texts().is_some());
        self.column_type() == ColumnType::Category
            && !self.are_postal_codes()
            && self.distinct_numbers > MAX_WHOLE_NUMBER_CLASSES
            && (n * 10 >= self.present() * 9 || few && self.are_measured() && n * 2 >= self.present())
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
            && (self.dates.dates * 10 >= self.present() * 9
                || self.no_dates.texts().is_some() && self.dates.dates * 2 >= self.present())
    }

    /// The task this column makes as a target, and why.
    pub fn task(&self) -> (Task, String) {
        let distinct = self.distinct_numbers;
        match self.column_type() {
            ColumnType::Category if self.rounded => {
                (Task::Classification, "its whole numbers have too many digits for numbers".into())
            }
            ColumnType::Category | ColumnType::Text => (Task::Classification, "its values are text".into()),
            // A word such as none is a label among few others.
            ColumnType::Number if !self.odd.is_empty() && distinct <= MAX_WHOLE_NUMBER_CLASSES => {
                (Task::Classification, "its values are numbers and text".into())
            }
            ColumnType::Date => (Task::Classification, "its values are dates, taken as labels".into()),
            // As labels, Yes and yes are two.
            ColumnType::Boolean if self.distinct > 2 => (Task::Classification, "its values are text".into()),
            ColumnType::Boolean => {
                let words = self.booleans.most();
                let (one, zero) = (words.text(true), words.text(false));
                (Task::Classification, format!("its values are {one} and {zero}"))
            }
            ColumnType::Number if !self.whole && self.min.abs().max(self.max.abs()) > MAX_EXACT as f64 => {
                (Task::Regression, "its values are large numbers".into())
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

/// Whether a text is five digits, a hyphen and four more, as postal codes of the United States (ZIP+4) are. A range has
/// ends of one length.
fn has_appendix(text: &str) -> bool {
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(code, appendix)| digits(code, 5) && digits(appendix, 4))
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
}
