//! The state of reading one JSON text: the codes of its rows so far, and the problems.

use serde::de::{DeserializeSeed, Error};

use super::Malformed;
use super::cause::{explain, without_mark};
use super::explain_option::ExplainOption;
use super::problems::Place;
use crate::background::give_way_at;
use crate::data::cells::cell::{Cell, ColumnType};
use crate::data::cells::feature::Feature;
use crate::data::cells::list;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::number::MAX_EXACT;
use crate::data::cells::problems::{MAX_LISTED_PROBLEMS, Problems};
use crate::data::cells::schema::Schema;

const TOO_MANY_ROWS: &str = "too many rows";

/// Not a code: marks the features of a row that have not been given yet.
pub(super) const NOT_GIVEN: f64 = f64::INFINITY;

/// Whether a text holds one row or a list of rows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Unknown,
    One,
    Many,
}

/// A value of a row without names, kept until the number of values says which columns they are.
pub(super) enum Staged {
    Missing,
    Number(f64),
    /// A whole number that a double may not hold.
    Large {
        magnitude: u64,
        negative: bool,
    },
    Boolean(bool),
    /// The end of the text in `Reader::texts`; it starts at the end of the one before it.
    Text(usize),
    /// An array as [`list::array`] keeps it; the end of that in `Reader::texts`.
    Array(usize),
    /// Any other array, or an object.
    Nested,
}

impl Staged {
    /// A whole number.
    #[inline]
    pub(super) fn whole(magnitude: u64, negative: bool) -> Self {
        match magnitude {
            MAX_EXACT.. => Self::Large { magnitude, negative },
            _ if negative => Self::Number(-(magnitude as f64)),
            _ => Self::Number(magnitude as f64),
        }
    }
}

/// The codes, options and problems of one text.
pub(super) struct Reader<'s> {
    pub(super) schema: &'s Schema,
    pub(super) max_rows: usize,
    pub(super) codes: Matrix,
    pub(super) shape: Shape,
    /// `data` or `features`, as sent.
    pub(super) key: &'static str,
    /// The values of the row without names that is being read; those beyond `max_values` are only counted.
    pub(super) staged: Vec<Staged>,
    pub(super) texts: String,
    /// Whether the values of any feature may be arrays.
    pub(super) takes_arrays: bool,
    /// How many values that row has so far.
    n_values: usize,
    /// The values of the longest row that can fit.
    max_values: usize,
    /// The features that rows of this many values hold.
    pub(super) positions: (usize, Vec<Option<usize>>),
    /// Whether these were given by their names.
    pub(super) named: bool,
    pub(super) threshold: Option<f64>,
    pub(super) explain: Option<ExplainOption>,
    pub(super) what_if: Option<serde_json::Value>,
    pub(super) lenient: bool,
    /// Whether names that the model does not know are passed over in a row that has all features.
    pub(super) takes_extra: bool,
    /// How many were.
    pub(super) n_extra: usize,
    /// Problems that `lenient` does not forgive.
    pub(super) serious: Problems,
    pub(super) forgivable: Problems,
}

impl<'s> Reader<'s> {
    pub(super) fn new(schema: &'s Schema, max_rows: usize) -> Self {
        Self::listing(schema, max_rows, MAX_LISTED_PROBLEMS)
    }

    /// A reader that lists so many problems and counts further ones.
    pub(super) fn listing(schema: &'s Schema, max_rows: usize, n_listed: usize) -> Self {
        Self {
            schema,
            max_rows,
            codes: Matrix::with_capacity(1, schema.n_features()),
            shape: Shape::Unknown,
            key: "",
            staged: Vec::with_capacity(schema.n_features()),
            texts: String::new(),
            takes_arrays: schema.features.iter().any(Feature::takes_arrays),
            n_values: 0,
            max_values: schema.n_features().max(schema.columns.len()),
            positions: (usize::MAX, Vec::new()),
            named: false,
            threshold: None,
            explain: None,
            what_if: None,
            lenient: false,
            takes_extra: false,
            n_extra: 0,
            serious: Problems::with_room(n_listed),
            forgivable: Problems::with_room(n_listed),
        }
    }

    /// Rows without names hold these columns from now on.
    pub(super) fn set_positions(&mut self, columns: Vec<Option<usize>>) {
        self.max_values = columns.len();
        self.positions = (columns.len(), columns);
        self.named = true;
    }

    pub(super) fn parse<'r, 'de, S>(
        &'r mut self,
        text: &'de [u8],
        seed: impl FnOnce(&'r mut Self) -> S,
    ) -> Result<(), Malformed>
    where
        S: DeserializeSeed<'de>,
    {
        let text = without_mark(text);
        let mut json = serde_json::Deserializer::from_slice(text);
        match seed(self).deserialize(&mut json).and_then(|_| json.end()) {
            Ok(()) => Ok(()),
            Err(error) if error.to_string().starts_with(TOO_MANY_ROWS) => Err(Malformed::TooManyRows),
            Err(error) => Err(Malformed::NotJson(explain(text, &error))),
        }
    }

    pub(super) fn finish(self) -> (Matrix, Problems) {
        let mut problems = self.serious;
        if !self.lenient {
            problems.extend(self.forgivable);
        }
        (self.codes, problems)
    }

    pub(super) fn push_row<E: Error>(&mut self) -> Result<(), E> {
        if self.codes.n_rows() == self.max_rows {
            return Err(E::custom(TOO_MANY_ROWS));
        }
        give_way_at(self.codes.n_rows());
        self.codes.push_row(NOT_GIVEN);
        Ok(())
    }

    /// Keeps the text of the value that is staged next; the end of all texts.
    #[inline]
    pub(super) fn keep_text(&mut self, text: &str) -> usize {
        if self.n_values < self.max_values {
            self.texts.push_str(text);
        }
        self.texts.len()
    }

    /// Takes the next value of a row without names, or the only value of a name.
    #[inline]
    pub(super) fn stage(&mut self, staged: Staged) {
        if self.n_values < self.max_values {
            self.staged.push(staged);
        }
        self.n_values += 1;
    }

    /// Gives the value of a name back, if it was staged; its text is the only one.
    #[inline]
    pub(super) fn unstage(&mut self) -> Option<Staged> {
        self.n_values = 0;
        self.staged.pop()
    }

    /// Writes a staged value into a row.
    #[inline]
    pub(super) fn code(
        &mut self,
        (row, feature): (usize, usize),
        staged: &Staged,
        text_start: usize,
        pointer: impl FnOnce() -> String,
    ) {
        let known = &self.schema.features[feature];
        let digits;
        let cell = match *staged {
            Staged::Missing => Ok(Cell::Missing),
            Staged::Large { magnitude, negative } => {
                let sign = if negative { "-" } else { "" };
                Ok(match known.column_type {
                    ColumnType::Category | ColumnType::Text => {
                        digits = format!("{sign}{magnitude}");
                        Cell::Text(&digits)
                    }
                    _ if negative => Cell::Number(-(magnitude as f64)),
                    _ => Cell::Number(magnitude as f64),
                })
            }
            Staged::Number(value) => Ok(Cell::Number(value)),
            Staged::Boolean(value) => Ok(Cell::Boolean(value)),
            Staged::Text(end) => {
                Ok(self.schema.null_tokens.of(&known.name).cell(&self.texts[text_start..end]))
            }
            Staged::Array(end) if known.takes_arrays() => Ok(Cell::Text(&self.texts[text_start..end])),
            Staged::Array(_) | Staged::Nested => Err(list::NO_VALUE.to_string()),
        };
        let code = cell.and_then(|cell| known.code(cell, self.codes.texts_mut()));
        self.codes.row_mut(row)[feature] = *code.as_ref().unwrap_or(&f64::NAN);
        if let Err(detail) = code {
            self.forgivable.push_with(|| (pointer(), detail));
        }
    }

    /// Ends a row without names.
    pub(super) fn finish_positional<E: Error>(&mut self, place: Place) -> Result<(), E> {
        self.push_row()?;
        let staged = std::mem::take(&mut self.staged);
        let n_values = std::mem::take(&mut self.n_values);
        let in_order = !self.named && n_values == self.schema.n_features();
        if self.named && self.positions.0 != n_values {
            let n_columns = self.positions.0;
            let detail = || format!("{n_values} values where there are {n_columns} columns");
            self.serious.push_with(|| (place.pointer(""), detail()));
        } else if !in_order && self.positions.0 != n_values {
            if !self.schema.takes(n_values) {
                let schema = self.schema;
                self.serious.push_with(|| (place.pointer(""), schema.wrong_number(n_values)));
            } else if let Ok(positions) = self.schema.positions(n_values) {
                self.positions = (n_values, positions);
            }
        }
        if in_order || self.positions.0 == n_values {
            let (row, mut text_start) = (self.codes.n_rows() - 1, 0);
            for (i, value) in staged.iter().enumerate() {
                let feature = if in_order { Some(i) } else { self.positions.1[i] };
                if let Some(feature) = feature {
                    self.code((row, feature), value, text_start, || place.pointer(i));
                }
                if let Staged::Text(end) | Staged::Array(end) = value {
                    text_start = *end;
                }
            }
        }
        self.staged = staged;
        self.staged.clear();
        self.texts.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::schema::Ignored;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    /// Features `size` (a number), `color` (blue, red) and `sold` (a boolean); `id` is ignored, `price` is the
    /// target; in the file: size, id, color, sold, price.
    pub(crate) fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "id", "color", "sold", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0]),
                Column::Number(vec![7.0, 8.0]),
                Column::Category { codes: vec![0, 1], levels: vec!["blue".into(), "red".into()] },
                Column::Number(vec![0.0, 1.0]),
                Column::Number(vec![10.0, 20.0]),
            ],
            lines: vec![2, 3].into(),
        };
        let target = Target {
            name: "price".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        let features = [(0, ColumnType::Number), (2, ColumnType::Category), (3, ColumnType::Boolean)];
        Schema::fit(&table, &features, target, ignored, &[0, 1])
    }

    const PLACE: Place = Place { key: "data", row: Some(4) };

    fn stage(reader: &mut Reader, texts: &[&str]) {
        for text in texts {
            let end = reader.keep_text(text);
            reader.stage(Staged::Text(end));
        }
    }

    type Json = serde_json::Error;

    #[test]
    fn the_number_of_values_says_which_columns_they_are_row_by_row() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 10);
        for row in [
            &["2.5", "red", "true"][..],
            &["2.5", "7", "red", "true"],
            &["2.5", "7", "red", "true", "9"],
            &["2.5", "red", "true"],
        ] {
            stage(&mut reader, row);
            reader.finish_positional::<Json>(PLACE).unwrap();
        }
        let (codes, problems) = reader.finish();
        assert_eq!(problems, Problems::default());
        assert_eq!(codes.n_rows(), 4);
        assert!(codes.rows().all(|row| row == [2.5, 1.0, 1.0]), "{:?}", codes.values());
    }

    #[test]
    fn rows_of_given_names_take_these_columns_and_no_other_number_of_values() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 10);
        // Three values as the model has features, but in another order.
        reader.set_positions(vec![Some(2), None, Some(0)]);
        stage(&mut reader, &["true", "anything", "4"]);
        reader.finish_positional::<Json>(PLACE).unwrap();
        let row = reader.codes.row(0);
        assert_eq!((row[0], row[2]), (4.0, 1.0));
        stage(&mut reader, &["1", "2", "3", "4"]);
        reader.finish_positional::<Json>(PLACE).unwrap();
        let problems = reader.finish().1;
        assert_eq!(problems.listed[0].pointer, "/data/4");
        assert_eq!(problems.listed[0].detail, "4 values where there are 3 columns");
    }

    #[test]
    fn a_value_that_does_not_fit_is_missing_and_named_by_its_place() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 10);
        reader.push_row::<Json>().unwrap();
        for (staged, wanted) in [
            (Staged::Number(2.0), Some(2.0)),
            (Staged::Missing, None),
            (Staged::Boolean(true), None),
            (Staged::Nested, None),
        ] {
            reader.code((0, 0), &staged, 0, || PLACE.pointer("a/b"));
            let code = reader.codes.row(0)[0];
            assert_eq!(Some(code).filter(|code| !code.is_nan()), wanted);
        }
        let problems = reader.finish().1;
        assert_eq!(problems.total, 2, "a boolean and an array; no value at all is none");
        assert!(problems.listed.iter().all(|problem| problem.pointer == "/data/4/a~1b"));
    }

    #[test]
    fn lenient_forgives_what_is_forgivable_and_no_serious_problem() {
        let schema = schema();
        for (lenient, details) in [(false, &["serious", "forgivable"][..]), (true, &["serious"])] {
            let mut reader = Reader::new(&schema, 10);
            reader.lenient = lenient;
            reader.forgivable.push("/b".into(), "forgivable".into());
            reader.serious.push("/a".into(), "serious".into());
            let problems = reader.finish().1;
            assert_eq!(problems.total, details.len());
            assert!(problems.listed.iter().map(|problem| &problem.detail).eq(details));
        }
    }

    #[test]
    fn a_mark_before_json_is_skipped() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 10);
        let seed = |_: &mut Reader| std::marker::PhantomData::<serde_json::Value>;
        reader.parse(b"\xef\xbb\xbf[1]", seed).unwrap();
        assert!(reader.parse(b"\xef\xbb[1]", seed).is_err());
    }

    #[test]
    fn values_beyond_those_of_the_longest_row_that_fits_are_only_counted() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 10);
        stage(&mut reader, &["x"; 1000]);
        assert_eq!((reader.staged.len(), reader.texts.len()), (5, 5));
        reader.finish_positional::<Json>(PLACE).unwrap();
        stage(&mut reader, &["2.5", "red", "true"]);
        reader.finish_positional::<Json>(PLACE).unwrap();
        assert_eq!(reader.codes.row(1), [2.5, 1.0, 1.0], "and the next row is read as any other");
        let problems = reader.finish().1;
        assert!(problems.listed[0].detail.contains("1000 values where the model has 3 features"));
        assert_eq!(problems.total, 1);
    }

    #[test]
    fn one_row_more_than_allowed_is_an_error() {
        let schema = schema();
        let mut reader = Reader::new(&schema, 2);
        assert!(reader.push_row::<Json>().is_ok() && reader.push_row::<Json>().is_ok());
        assert!(reader.push_row::<Json>().unwrap_err().to_string().starts_with(TOO_MANY_ROWS));
        assert_eq!(reader.codes.n_rows(), 2);
    }
}
