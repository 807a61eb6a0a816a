//! The grammar of JSON rows, as visitors that hand each value to a [`Reader`] as soon as it is parsed.
//!
//! Written by hand: a derived form would build a tree of values first.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::problems::Place;
use super::reader::{NOT_GIVEN, Reader, Shape, Staged};
use crate::names::did_you_mean;

/// The remedy for a body that holds no rows.
pub(super) const SEND: &str = "send {\"data\":[…]} with values in column order or {\"features\":{…}} by name";

/// A member of a request body.
#[derive(Clone, Copy)]
enum Member {
    /// The rows.
    Rows,
    Option(BodyOption),
}

/// A member that changes how the rows are read or answered.
#[derive(Clone, Copy)]
enum BodyOption {
    Threshold,
    Lenient,
    Explain,
}

const MEMBERS: [(&str, Member); 5] = [
    ("data", Member::Rows),
    ("features", Member::Rows),
    ("threshold", Member::Option(BodyOption::Threshold)),
    ("lenient", Member::Option(BodyOption::Lenient)),
    ("explain", Member::Option(BodyOption::Explain)),
];

/// The whole body: rows under one of two keys, options beside them.
pub(super) struct Body<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Visitor methods for the scalar kinds of JSON, all through `self.scalar(Staged)`.
macro_rules! scalars {
    () => {
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            self.scalar(Staged::Missing)
        }
        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            self.scalar(Staged::Boolean(value))
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            self.scalar(Staged::Number(value))
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
            self.scalar(Staged::Number(value as f64))
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            self.scalar(Staged::Number(value as f64))
        }
        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            self.reader.texts.push_str(value);
            let end = self.reader.texts.len();
            self.scalar(Staged::Text(end))
        }
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("JSON")
        }
    };
}

impl Body<'_, '_> {
    fn scalar<E>(self, _: Staged) -> Result<(), E> {
        self.reader.serious.push(String::new(), SEND.into());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        while let Some(key) = map.next_key::<Cow<str>>()? {
            match MEMBERS.iter().find(|(name, _)| *name == key) {
                Some(&(key, Member::Rows)) if reader.key.is_empty() => {
                    reader.key = key;
                    map.next_value_seed(Rows { reader })?;
                }
                Some(&(key, Member::Rows)) => {
                    map.next_value::<IgnoredAny>()?;
                    reader.serious.push(format!("/{key}"), "the rows are given twice".into());
                }
                Some(&(key, Member::Option(option))) => {
                    let value = map.next_value::<serde_json::Value>()?;
                    let wrong = match option {
                        BodyOption::Threshold => {
                            reader.threshold = value.as_f64();
                            let fits = reader.threshold.is_some_and(|t| (0.0..=1.0).contains(&t));
                            (!fits).then_some("the threshold is a number from 0 to 1")
                        }
                        BodyOption::Lenient => {
                            reader.lenient = value == true;
                            (!value.is_boolean()).then_some("lenient is true or false")
                        }
                        BodyOption::Explain => {
                            (value != false).then_some("this version does not explain predictions")
                        }
                    };
                    if let Some(detail) = wrong {
                        reader.serious.push(format!("/{key}"), detail.into());
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    let mut hint = did_you_mean(&key, MEMBERS.map(|(name, _)| name));
                    if hint.is_empty() {
                        hint = format!("; {SEND}");
                    }
                    let place = Place { key: "", row: None };
                    reader.serious.push(place.pointer(&key), format!("unknown option{hint}"));
                }
            }
        }
        Ok(())
    }
}

/// The value of `data` or `features`: one row, or an array of rows.
pub(super) struct Rows<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Rows<'_, '_> {
    fn scalar<E>(self, _: Staged) -> Result<(), E> {
        let pointer = format!("/{}", self.reader.key);
        self.reader.serious.push(pointer, SEND.into());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let key = reader.key;
        for index in 0.. {
            let place = Place { key, row: Some(index) };
            if seq.next_element_seed(Row { reader: &mut *reader, place })?.is_none() {
                break;
            }
        }
        if reader.shape == Shape::One {
            reader.finish_positional(Place { key, row: None })?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let place = Place { key: self.reader.key, row: None };
        self.reader.shape = Shape::One;
        read_named(self.reader, place, map)
    }
}

/// An element of the array of rows: a row, or a value of the only row.
pub(super) struct Row<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
    pub(super) place: Place,
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Row<'_, '_> {
    fn scalar<E>(self, staged: Staged) -> Result<(), E> {
        if self.reader.shape == Shape::Many {
            let detail = "a row is an array of values or an object by name";
            self.reader.serious.push(self.place.pointer(""), detail.into());
        } else {
            self.reader.shape = Shape::One;
            self.reader.staged.push(staged);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.reader;
        if reader.shape == Shape::One {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            reader.staged.push(Staged::Nested);
            return Ok(());
        }
        reader.shape = Shape::Many;
        while seq.next_element_seed(Value { reader: &mut *reader })?.is_some() {}
        reader.finish_positional(self.place)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.reader.shape == Shape::One {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.reader.staged.push(Staged::Nested);
            return Ok(());
        }
        self.reader.shape = Shape::Many;
        read_named(self.reader, self.place, map)
    }
}

fn read_named<'de, A: MapAccess<'de>>(reader: &mut Reader, place: Place, mut map: A) -> Result<(), A::Error> {
    reader.push_row()?;
    let row = reader.codes.n_rows() - 1;
    let mut expected = 0;
    while let Some(name) = map.next_key::<Cow<str>>()? {
        let Some(feature) = reader.schema.feature_index(&name, expected) else {
            map.next_value::<IgnoredAny>()?;
            if !reader.schema.is_unused(&name) {
                reader.forgivable.push(place.pointer(&name), reader.schema.unknown_name(&name));
            }
            continue;
        };
        expected = feature + 1;
        if reader.codes.row(row)[feature] != NOT_GIVEN {
            reader.serious.push(place.pointer(&name), "the feature is given twice".into());
        }
        map.next_value_seed(Value { reader: &mut *reader })?;
        if let Some(staged) = reader.staged.pop() {
            reader.code(feature, &staged, 0, place, &name);
        }
        reader.texts.clear();
    }
    let schema = reader.schema;
    for (feature, code) in schema.features.iter().zip(reader.codes.row_mut(row)) {
        if *code == NOT_GIVEN {
            *code = f64::NAN;
            reader.forgivable.push(place.pointer(&feature.name), "the feature is missing".into());
        }
    }
    Ok(())
}

/// One value of a row.
struct Value<'r, 's> {
    reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Value<'_, '_> {
    fn scalar<E>(self, staged: Staged) -> Result<(), E> {
        self.reader.staged.push(staged);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }
}
