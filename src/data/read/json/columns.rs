//! Rows of a request that come column by column: `{"NAME":[…],…}`, each column as long as the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::problems::{Place, pointer_part};
use super::reader::{Reader, Staged};
use super::visitors::{Value, read_array, scalars};
use super::{Malformed, Request};
use crate::data::cells::problems::MAX_LISTED_PROBLEMS;
use crate::data::cells::schema::Schema;

/// Reads named columns at `key` of a body, each an array of values or of arrays of one value, or a single value.
///
/// # Errors
/// A text that is not JSON, or one with more than `max_rows` rows.
pub(crate) fn read_columns(
    text: &[u8],
    schema: &Schema,
    key: &'static str,
    max_rows: usize,
) -> Result<Request, Malformed> {
    let mut reader = Reader::new(schema, max_rows);
    reader.key = key;
    reader.takes_extra = true;
    // Two bytes are the least that a value takes. A first column that is longer than all can be is counted, and the
    // memory for its rows is not taken.
    let fillable = text.len() / (2 * schema.n_features().max(1)) + 1;
    reader.parse(text, |reader| Columns { reader, fillable })?;
    if reader.codes.n_rows() == 0 && reader.serious.total == 0 && reader.forgivable.total == 0 {
        reader.serious.push(format!("/{key}"), "there are no rows".into());
    }
    let (codes, problems) = reader.finish();
    Ok(Request { codes, many: true, key, threshold: None, explain: None, what_if: None, problems })
}

struct Columns<'r, 's> {
    reader: &'r mut Reader<'s>,
    /// The rows that the text can hold.
    fillable: usize,
}

impl<'de> DeserializeSeed<'de> for Columns<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("columns by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reader, fillable } = self;
        let (schema, key) = (reader.schema, reader.key);
        let place = Place { key, row: None };
        let mut given = vec![false; schema.n_features()];
        let mut n_rows = None;
        let mut expected = 0;
        // A problem if a feature is missing: one may be its misspelling.
        let mut extra = Vec::new();
        while let Some(name) = map.next_key::<Cow<str>>()? {
            let Some(feature) = schema.feature_index(&name, expected) else {
                map.next_value::<IgnoredAny>()?;
                if !schema.is_unused(&name) && extra.len() < MAX_LISTED_PROBLEMS {
                    extra.push(name.into_owned());
                }
                continue;
            };
            expected = feature + 1;
            if std::mem::replace(&mut given[feature], true) {
                map.next_value::<IgnoredAny>()?;
                reader.serious.push_with(|| (place.pointer(&name), "the feature is given twice".into()));
                continue;
            }
            let first = n_rows.is_none();
            let column = Column { reader: &mut *reader, feature, first, fillable };
            let n_values = map.next_value_seed(column)?;
            let wanted = *n_rows.get_or_insert(n_values);
            if n_values != wanted {
                let detail = || format!("{n_values} values where the first column has {wanted}");
                reader.serious.push_with(|| (place.pointer(&name), detail()));
            } else if first && n_values > fillable {
                let detail = || format!("{n_values} values are more than the other columns can have");
                reader.serious.push_with(|| (place.pointer(&name), detail()));
            }
        }
        for name in extra.iter().filter(|_| given.contains(&false)) {
            let n_before = reader.forgivable.total;
            reader.forgivable.push_with(|| (place.pointer(name), schema.unknown_name(name, n_before)));
        }
        for (feature, _) in schema.features.iter().zip(&given).filter(|(_, given)| !**given) {
            reader.forgivable.push_with(|| (place.pointer(&feature.name), "the feature is missing".into()));
        }
        Ok(())
    }
}

/// The values of one feature; how many there are.
struct Column<'r, 's> {
    reader: &'r mut Reader<'s>,
    feature: usize,
    /// Whether it is the first column, which makes the rows.
    first: bool,
    fillable: usize,
}

impl<'de> DeserializeSeed<'de> for Column<'_, '_> {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_any(self)
    }
}

impl Column<'_, '_> {
    /// Takes the value that was staged for row `row`.
    fn put<E: Error>(&mut self, row: usize, listed: bool) -> Result<(), E> {
        let (reader, feature) = (&mut *self.reader, self.feature);
        if self.first && row < self.fillable {
            reader.push_row()?;
        }
        if let (Some(staged), true) = (reader.unstage(), row < reader.codes.n_rows()) {
            let (key, schema) = (reader.key, reader.schema);
            let name = || pointer_part(&schema.features[feature].name);
            let pointer =
                || if listed { format!("/{key}/{}/{row}", name()) } else { format!("/{key}/{}", name()) };
            reader.code((row, feature), &staged, 0, pointer);
        }
        reader.texts.clear();
        Ok(())
    }

    fn scalar<E: Error>(mut self, staged: Staged) -> Result<usize, E> {
        self.reader.stage(staged);
        self.put(0, false)?;
        Ok(1)
    }
}

impl<'de> Visitor<'de> for Column<'_, '_> {
    type Value = usize;

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<usize, A::Error> {
        let mut n_values = 0;
        while seq.next_element_seed(Element { reader: &mut *self.reader, feature: self.feature })?.is_some() {
            self.put(n_values, true)?;
            n_values += 1;
        }
        Ok(n_values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }
}

/// A value of a column, or an array of one value, to be staged.
struct Element<'r, 's> {
    reader: &'r mut Reader<'s>,
    feature: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { reader, feature } = self;
        if reader.schema.features[feature].takes_arrays() {
            let staged = read_array(reader, seq)?;
            reader.stage(staged);
            return Ok(());
        }
        let found = seq.next_element_seed(Value { reader: &mut *reader })?.is_some();
        let is_one = found && seq.next_element::<IgnoredAny>()?.is_none();
        if !is_one {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            reader.unstage();
            reader.stage(Staged::Nested);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }
}

impl Element<'_, '_> {
    fn scalar<E>(self, staged: Staged) -> Result<(), E> {
        self.reader.stage(staged);
        Ok(())
    }
}
