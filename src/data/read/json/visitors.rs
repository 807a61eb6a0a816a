//! The grammar of JSON rows, as visitors that hand each value to a [`Reader`] as soon as it is parsed.
//!
//! Written by hand: a derived form would build a tree of values first.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::explain_option;
use super::problems::Place;
use super::reader::{NOT_GIVEN, Reader, Shape, Staged};
use super::scalar::{Scalar, array_member};
use crate::data::cells::list;
use crate::data::cells::problems::MAX_LISTED_PROBLEMS;
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
    WhatIf,
}

const MEMBERS: [(&str, Member); 6] = [
    ("data", Member::Rows),
    ("features", Member::Rows),
    ("threshold", Member::Option(BodyOption::Threshold)),
    ("lenient", Member::Option(BodyOption::Lenient)),
    ("explain", Member::Option(BodyOption::Explain)),
    ("what_if", Member::Option(BodyOption::WhatIf)),
];

/// The whole body: rows under one of two keys, and options.
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
            self.scalar(Staged::whole(value.unsigned_abs(), value < 0))
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            self.scalar(Staged::whole(value, false))
        }
        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            let end = self.reader.keep_text(value);
            self.scalar(Staged::Text(end))
        }
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("JSON")
        }
    };
}
pub(super) use scalars;

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
        self.reader.serious.push(String::new(), format!("the body is an array without a name; {SEND}"));
        Ok(())
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
                    reader.serious.push_with(|| (format!("/{key}"), "the rows are given twice".into()));
                }
                Some(&(key, Member::Option(option))) => {
                    let wrong = match option {
                        BodyOption::Threshold => {
                            reader.threshold = map.next_value::<Scalar>()?.number();
                            let fits = reader.threshold.is_some_and(|t| (0.0..=1.0).contains(&t));
                            (!fits).then(|| "the threshold is a number from 0 to 1".to_string())
                        }
                        BodyOption::Lenient => {
                            let value = map.next_value::<Scalar>()?;
                            reader.lenient = value == Scalar::Boolean(true);
                            (!matches!(value, Scalar::Boolean(_))).then(|| "lenient is true or false".into())
                        }
                        BodyOption::Explain => {
                            // Errors of syntax are those of the whole body.
                            match explain_option::read(map.next_value::<&RawValue>()?) {
                                Ok(explain) => {
                                    reader.explain = explain;
                                    None
                                }
                                Err(detail) => Some(detail),
                            }
                        }
                        BodyOption::WhatIf => {
                            match explain_option::read_what_if(map.next_value::<&RawValue>()?) {
                                Ok(what_if) => {
                                    reader.what_if = what_if;
                                    None
                                }
                                Err(detail) => Some(detail),
                            }
                        }
                    };
                    if let Some(detail) = wrong {
                        reader.serious.push_with(|| (format!("/{key}"), detail));
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    reader.serious.push_with(|| {
                        let mut hint = did_you_mean(&key, MEMBERS.map(|(name, _)| name));
                        if hint.is_empty() {
                            hint = format!("; {SEND}");
                        }
                        (Place::TEXT.pointer(&key), format!("unknown option{hint}"))
                    });
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
            self.reader.serious.push_with(|| (self.place.pointer(""), detail.into()));
            self.reader.texts.clear();
        } else {
            self.reader.shape = Shape::One;
            self.reader.stage(staged);
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
            let staged = read_array(reader, seq)?;
            reader.stage(staged);
            return Ok(());
        }
        reader.shape = Shape::Many;
        while seq.next_element_seed(Value { reader: &mut *reader })?.is_some() {}
        reader.finish_positional(self.place)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.reader.shape == Shape::One {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.reader.stage(Staged::Nested);
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
    // Unknown names are a problem in a row without all features: one may be a misspelling.
    let mut extra = Vec::new();
    while let Some(name) = map.next_key::<Cow<str>>()? {
        let Some(feature) = reader.schema.feature_index(&name, expected) else {
            map.next_value::<IgnoredAny>()?;
            if reader.schema.is_unused(&name) {
                continue;
            }
            if reader.takes_extra {
                reader.n_extra += 1;
                if extra.len() < MAX_LISTED_PROBLEMS {
                    extra.push(name.into_owned());
                }
            } else {
                let (schema, n_before) = (reader.schema, reader.forgivable.total);
                reader.forgivable.push_with(|| (place.pointer(&name), schema.unknown_name(&name, n_before)));
            }
            continue;
        };
        expected = feature + 1;
        if reader.codes.row(row)[feature] != NOT_GIVEN {
            reader.serious.push_with(|| (place.pointer(&name), "the feature is given twice".into()));
        }
        map.next_value_seed(Value { reader: &mut *reader })?;
        if let Some(staged) = reader.unstage() {
            reader.code((row, feature), &staged, 0, || place.pointer(&name));
        }
        reader.texts.clear();
    }
    let schema = reader.schema;
    if !extra.is_empty() && reader.codes.row(row).contains(&NOT_GIVEN) {
        for name in extra {
            let n_before = reader.forgivable.total;
            reader.forgivable.push_with(|| (place.pointer(&name), schema.unknown_name(&name, n_before)));
        }
    }
    for (feature, code) in schema.features.iter().zip(reader.codes.row_mut(row)) {
        if *code == NOT_GIVEN {
            *code = f64::NAN;
            reader.forgivable.push_with(|| (place.pointer(&feature.name), "the feature is missing".into()));
        }
    }
    Ok(())
}

/// One value of a row, to be staged.
pub(super) struct Value<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Value<'_, '_> {
    fn scalar<E>(self, staged: Staged) -> Result<(), E> {
        self.reader.stage(staged);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();
    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let staged = read_array(self.reader, seq)?;
        self.scalar(staged)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.scalar(Staged::Nested)
    }
}

/// Reads an array that may be a list or a pair, to be staged.
pub(super) fn read_array<'de, A: SeqAccess<'de>>(
    reader: &mut Reader,
    mut seq: A,
) -> Result<Staged, A::Error> {
    if !reader.takes_arrays {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        return Ok(Staged::Nested);
    }
    let mut members = Some(Vec::new());
    while let Some(member) = seq.next_element::<Scalar>()? {
        members = members.zip(array_member(member)).map(|(mut members, member)| {
            members.push(member);
            members
        });
    }
    Ok(members.map_or(Staged::Nested, |members| Staged::Array(reader.keep_text(&list::array(members)))))
}

#[cfg(test)]
mod tests {
    use super::super::reader::tests::schema;
    use super::super::{Request, read_request};

    fn read(body: &str) -> Request {
        read_request(body.as_bytes(), &schema(), 10).unwrap()
    }

    /// The codes of the only row, `None` for a missing value, and the pointers of all problems.
    fn row(body: &str) -> (Vec<Option<f64>>, Vec<String>) {
        let request = read(body);
        assert_eq!(request.codes.n_rows(), 1, "{body}");
        let codes = request.codes.row(0).iter().map(|&code| Some(code).filter(|code| !code.is_nan()));
        (codes.collect(), request.problems.listed.into_iter().map(|problem| problem.pointer).collect())
    }

    #[test]
    fn null_is_a_missing_value_and_no_value_at_all_is_a_problem() {
        let given = row(r#"{"features":{"size":null,"color":"red","sold":null}}"#);
        assert_eq!(given, (vec![None, Some(1.0), None], vec![]));
        assert_eq!(row(r#"{"data":[null,"red",null]}"#), given);
        let (codes, problems) = row(r#"{"features":{"color":"red"}}"#);
        assert_eq!(codes, given.0);
        assert_eq!(problems, ["/features/size", "/features/sold"]);
    }

    #[test]
    fn a_value_of_another_type_is_a_problem_at_its_place_and_a_missing_value() {
        for (one, pointer) in [
            (r#"{"features":{"size":"big","color":"red","sold":true}}"#, "/features/size"),
            (r#"{"features":{"size":true,"color":"red","sold":true}}"#, "/features/size"),
            (r#"{"data":["big","red",true]}"#, "/data/0"),
            (r#"{"data":[["big","red",true]]}"#, "/data/0/0"),
            (r#"{"data":[{"sold":true,"color":"red","size":"big"}]}"#, "/data/0/size"),
        ] {
            assert_eq!(row(one), (vec![None, Some(1.0), Some(1.0)], vec![pointer.into()]), "{one}");
        }
        assert_eq!(row(r#"{"data":[1,"red",2]}"#).1, ["/data/2"], "a boolean is 0 or 1");
    }

    #[test]
    fn a_nested_value_is_skipped_as_a_whole_and_the_next_one_stands_in_its_own_place() {
        for (one, pointer) in [
            (r#"{"data":["2",{"a":["x",{"b":"y"}]},"true"]}"#, "/data/1"),
            (r#"{"data":["2",["x",[["y"]]],"true"]}"#, "/data/1"),
            (r#"{"data":[["2",{"a":["x",{"b":"y"}]},"true"]]}"#, "/data/0/1"),
            (r#"{"data":[["2",["x",[["y"]]],"true"]]}"#, "/data/0/1"),
            (r#"{"features":{"size":2,"color":{"size":9,"sold":false},"sold":true}}"#, "/features/color"),
            (r#"{"features":{"size":2,"color":["red"],"sold":true}}"#, "/features/color"),
            (r#"{"features":[{"size":2,"color":["red"],"sold":true}]}"#, "/features/0/color"),
        ] {
            assert_eq!(row(one), (vec![Some(2.0), None, Some(1.0)], vec![pointer.into()]), "{one}");
        }
    }

    #[test]
    fn an_unknown_name_is_a_problem_and_its_value_is_not_looked_into() {
        let (codes, problems) = row(
            r#"{"features":{"weight":{"size":9},"size":2,"color":"red","sold":true,"id":[{}],"price":{}}}"#,
        );
        assert_eq!(codes, [Some(2.0), Some(1.0), Some(1.0)]);
        assert_eq!(problems, ["/features/weight"], "a column that the model does not use is none");
    }

    #[test]
    fn a_name_given_twice_is_a_problem_that_lenient_does_not_forgive() {
        for first in ["1", "null", "\"big\"", "[]"] {
            let of = |lenient: bool| {
                read(&format!(
                    r#"{{"lenient":{lenient},"features":{{"size":{first},"color":"red","sold":true,"size":1}}}}"#
                ))
            };
            for request in [of(false), of(true)] {
                let twice = request.problems.listed.iter().filter(|problem| problem.detail.contains("twice"));
                assert!(twice.map(|problem| &*problem.pointer).eq(["/features/size"]), "{first}");
            }
            assert_eq!(of(true).problems.total, 1, "{first}");
        }
        for body in [
            r#"{"data":[1,"red",true],"data":[2,"red",true]}"#,
            r#"{"data":[1,"red",true],"features":{"size":[[]]}}"#,
        ] {
            let (codes, problems) = row(body);
            assert_eq!((codes[0], problems.len()), (Some(1.0), 1), "the first rows count: {body}");
        }
    }

    #[test]
    fn lenient_takes_unknown_missing_and_unfit_as_missing() {
        for body in [
            r#"{"lenient":LENIENT,"features":{"size":"big","weight":1,"sold":true}}"#,
            r#"{"lenient":LENIENT,"data":["big",{"color":"red"},true]}"#,
            r#"{"data":[["big",[],true]],"lenient":LENIENT}"#,
        ] {
            let found = row(&body.replace("LENIENT", "true"));
            assert_eq!(found, (vec![None, None, Some(1.0)], vec![]), "{body}");
            let (codes, problems) = row(&body.replace("LENIENT", "false"));
            assert_eq!(codes, found.0, "{body}");
            assert!(problems.len() >= 2, "{body}: {problems:?}");
        }
    }

    #[test]
    fn options_are_read_wherever_they_stand_and_say_what_they_take() {
        for body in [
            r#"{"threshold":0.3,"explain":false,"data":[1,"red",true]}"#,
            r#"{"data":[1,"red",true],"explain":false,"threshold":0.3}"#,
        ] {
            let request = read(body);
            assert_eq!((request.threshold, request.problems.total, request.many), (Some(0.3), 0, false));
        }
        for (option, pointer) in [
            (r#""threshold":1.1"#, "/threshold"),
            (r#""threshold":"0.5""#, "/threshold"),
            (r#""threshold":null"#, "/threshold"),
            (r#""lenient":1"#, "/lenient"),
            (r#""explain":1"#, "/explain"),
            (r#""a~b/c":{"data":[]}"#, "/a~0b~1c"),
        ] {
            assert_eq!(row(&format!(r#"{{{option},"data":[1,"red",true]}}"#)).1, [pointer]);
        }
    }

    #[test]
    fn rows_by_name_and_by_place_mix_but_a_value_is_no_row() {
        let request =
            read(r#"{"data":[[1,"red",true],{"sold":true,"size":1,"color":"red"},5,[1,"red",true]]}"#);
        assert!(request.many);
        assert_eq!(request.codes.n_rows(), 3);
        assert!(request.codes.rows().all(|row| row == [1.0, 1.0, 1.0]));
        assert_eq!(request.problems.listed[0].pointer, "/data/2");
        assert_eq!(request.problems.total, 1);
    }
}
