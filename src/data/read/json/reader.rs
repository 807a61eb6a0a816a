//! The values of JSON rows on their way to codes: what one text has given so far, and what was wrong with it.

use std::fmt;

use serde::de::{DeserializeSeed, Error};

use super::Malformed;
use super::problems::{Place, Problems};
use crate::background::give_way_at;
use crate::data::cells::cell::Cell;
use crate::data::cells::matrix::Matrix;
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
    Boolean(bool),
    /// Where the text ends in `Reader::texts`; it starts where the one before it ends.
    Text(usize),
    /// An array or an object.
    Nested,
}

pub(super) struct Reader<'s> {
    pub(super) schema: &'s Schema,
    pub(super) max_rows: usize,
    pub(super) codes: Matrix,
    pub(super) shape: Shape,
    /// `data` or `features`, as sent.
    pub(super) key: &'static str,
    pub(super) staged: Vec<Staged>,
    pub(super) texts: String,
    /// The features that rows of this many values hold.
    pub(super) positions: (usize, Vec<Option<usize>>),
    /// Whether these were given by their names.
    pub(super) named: bool,
    pub(super) threshold: Option<f64>,
    pub(super) lenient: bool,
    /// What `lenient` does not forgive.
    pub(super) serious: Problems,
    pub(super) forgivable: Problems,
}

impl<'s> Reader<'s> {
    pub(super) fn new(schema: &'s Schema, max_rows: usize) -> Self {
        Self {
            schema,
            max_rows,
            codes: Matrix::with_capacity(1, schema.n_features()),
            shape: Shape::Unknown,
            key: "",
            staged: Vec::with_capacity(schema.n_features()),
            texts: String::new(),
            positions: (usize::MAX, Vec::new()),
            named: false,
            threshold: None,
            lenient: false,
            serious: Problems::default(),
            forgivable: Problems::default(),
        }
    }

    pub(super) fn parse<'r, 'de, S>(
        &'r mut self,
        text: &'de [u8],
        seed: impl FnOnce(&'r mut Self) -> S,
    ) -> Result<(), Malformed>
    where
        S: DeserializeSeed<'de>,
    {
        let mut json = serde_json::Deserializer::from_slice(text);
        match seed(self).deserialize(&mut json).and_then(|_| json.end()) {
            Ok(()) => Ok(()),
            Err(error) if error.to_string().starts_with(TOO_MANY_ROWS) => Err(Malformed::TooManyRows),
            Err(error) => Err(Malformed::NotJson(error.to_string())),
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

    /// Writes a staged value into the last row.
    #[inline]
    pub(super) fn code(
        &mut self,
        feature: usize,
        staged: &Staged,
        text_start: usize,
        place: Place,
        name: &dyn fmt::Display,
    ) {
        let cell = match *staged {
            Staged::Missing => Ok(Cell::Missing),
            Staged::Number(value) => Ok(Cell::Number(value)),
            Staged::Boolean(value) => Ok(Cell::Boolean(value)),
            Staged::Text(end) => Ok(self.schema.null_tokens.cell(&self.texts[text_start..end])),
            Staged::Nested => Err("an array or an object is not a value".to_string()),
        };
        let code = cell.and_then(|cell| self.schema.features[feature].code(cell, self.codes.texts_mut()));
        let row = self.codes.n_rows() - 1;
        self.codes.row_mut(row)[feature] = *code.as_ref().unwrap_or(&f64::NAN);
        if let Err(detail) = code {
            self.forgivable.push(place.pointer(name), detail);
        }
    }

    /// Ends a row without names.
    pub(super) fn finish_positional<E: Error>(&mut self, place: Place) -> Result<(), E> {
        self.push_row()?;
        let staged = std::mem::take(&mut self.staged);
        let in_order = !self.named && staged.len() == self.schema.n_features();
        if self.named && self.positions.0 != staged.len() {
            let detail = format!("{} values where there are {} columns", staged.len(), self.positions.0);
            self.serious.push(place.pointer(""), detail);
        } else if !in_order && self.positions.0 != staged.len() {
            match self.schema.positions(staged.len()) {
                Ok(positions) => self.positions = (staged.len(), positions),
                Err(detail) => {
                    self.serious.push(place.pointer(""), detail);
                    self.positions.0 = usize::MAX;
                }
            }
        }
        if in_order || self.positions.0 == staged.len() {
            let mut text_start = 0;
            for (i, value) in staged.iter().enumerate() {
                let feature = if in_order { Some(i) } else { self.positions.1[i] };
                if let Some(feature) = feature {
                    self.code(feature, value, text_start, place, &i);
                }
                if let Staged::Text(end) = value {
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
