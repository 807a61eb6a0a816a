//! JSON rows become rows of codes, straight from the bytes: no tree of values in between.
//!
//! One row is an array in column order or an object by name; a request body wraps one or many rows under
//! `data` or `features`, with options beside them. Used by the server, by NDJSON input and by
//! `predict --features '{…}'`.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

use crate::background::give_way_at;
use crate::data::cells::cell::Cell;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::names::nearest;

/// More problems than this are counted, not listed.
const MAX_LISTED_PROBLEMS: usize = 100;

/// A place in a body and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place.
    pub pointer: String,
    /// The fact and, where there is one, the remedy.
    pub detail: String,
}

/// Problems in the order they were found; the first 100 are listed, all are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub listed: Vec<Problem>,
    /// How many there are.
    pub total: usize,
}

impl Problems {
    /// Counts a problem, and lists it where it is one of the first.
    pub fn push(&mut self, pointer: String, detail: String) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED_PROBLEMS {
            self.listed.push(Problem { pointer, detail });
        }
    }

    /// Adds those of `others` behind these.
    pub fn extend(&mut self, others: Self) {
        self.total += others.total;
        self.listed.extend(others.listed);
        self.listed.truncate(MAX_LISTED_PROBLEMS);
    }
}

/// A body that could be read; usable only when there are no `problems`.
#[derive(Debug)]
pub struct Request {
    /// `n_rows × n_features` codes.
    pub codes: Matrix,
    /// Whether the answer is a list.
    pub many: bool,
    /// The option `threshold`.
    pub threshold: Option<f64>,
    /// What does not fit the schema.
    pub problems: Problems,
}

/// Why a body could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON; the text says where.
    NotJson(String),
    /// More rows than allowed.
    TooManyRows,
}

/// Reads a request body.
///
/// # Errors
/// A body that is not JSON, or one with more than `max_rows` rows.
pub fn read_request(body: &[u8], schema: &Schema, max_rows: usize) -> Result<Request, Malformed> {
    let mut reader = Reader::new(schema, max_rows);
    reader.parse(body, |reader| Body { reader })?;
    if reader.key.is_empty() && reader.serious.total == 0 {
        reader.serious.push(String::new(), SEND.into());
    } else if reader.codes.n_rows() == 0 && reader.serious.total == 0 {
        reader.serious.push(format!("/{}", reader.key), "there are no rows".into());
    }
    let (many, threshold) = (reader.shape == Shape::Many, reader.threshold);
    let (codes, problems) = reader.finish();
    Ok(Request { codes, many, threshold, problems })
}

/// Reads one row, an array or an object, and appends its codes to `codes`; a cell with a problem becomes a
/// missing value. With `lenient`, missing and unknown names and cells of another type are no problems.
///
/// # Errors
/// A text that is not JSON.
pub fn read_row(
    text: &[u8],
    schema: &Schema,
    lenient: bool,
    codes: &mut Matrix,
) -> Result<Problems, Malformed> {
    let mut reader = Reader::new(schema, usize::MAX);
    reader.shape = Shape::Many;
    reader.lenient = lenient;
    reader.parse(text, |reader| Row { reader, place: Place { key: "", row: None } })?;
    let (row, problems) = reader.finish();
    codes.push_row(f64::NAN);
    if row.n_rows() > 0 {
        let last = codes.n_rows() - 1;
        codes.row_mut(last).copy_from_slice(row.row(0));
        for feature in schema.texts() {
            let code = row.row(0)[feature];
            if !code.is_nan() {
                codes.row_mut(last)[feature] = codes.texts_mut().push(row.texts().get(code));
            }
        }
    }
    Ok(problems)
}

/// Reads rows that stand at `key` of a body in another form than [`read_request`]'s: an array of rows, or one
/// row. With `columns`, rows without names hold these.
///
/// # Errors
/// A text that is not JSON, or one with more than `max_rows` rows.
pub fn read_rows(
    text: &[u8],
    schema: &Schema,
    key: &'static str,
    columns: Option<&[String]>,
    max_rows: usize,
) -> Result<Request, Malformed> {
    let mut reader = Reader::new(schema, max_rows);
    reader.key = key;
    if let Some(names) = columns {
        match schema.map_columns(names, false) {
            Ok(map) => reader.positions = (names.len(), map),
            Err(problems) => {
                problems.into_iter().for_each(|detail| reader.serious.push(format!("/{key}"), detail));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for name in names.iter().filter(|name| !seen.insert(*name)) {
            reader.serious.push(format!("/{key}"), format!("the column {name:?} is given twice"));
        }
        reader.named = true;
    }
    if reader.serious.total == 0 {
        reader.parse(text, |reader| Rows { reader })?;
        if reader.codes.n_rows() == 0 && reader.serious.total == 0 {
            reader.serious.push(format!("/{key}"), "there are no rows".into());
        }
    }
    let many = reader.shape == Shape::Many;
    let (codes, problems) = reader.finish();
    Ok(Request { codes, many, threshold: None, problems })
}

const SEND: &str = "send {\"data\":[…]} with values in column order or {\"features\":{…}} by name";
const TOO_MANY_ROWS: &str = "too many rows";
const OPTIONS: [&str; 5] = ["data", "features", "threshold", "lenient", "explain"];

/// Not a code: marks the features of a row that have not been given yet.
const NOT_GIVEN: f64 = f64::INFINITY;

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Unknown,
    One,
    Many,
}

/// Where a row stands in the text.
#[derive(Clone, Copy)]
struct Place {
    key: &'static str,
    row: Option<usize>,
}

impl Place {
    fn pointer(self, last: impl fmt::Display) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("/{}", self.key) };
        let row = self.row.map_or(String::new(), |row| format!("/{row}"));
        let last = last.to_string().replace('~', "~0").replace('/', "~1");
        if last.is_empty() { key + &row } else { format!("{key}{row}/{last}") }
    }
}

/// A value of a row without names, kept until the number of values says which columns they are.
enum Staged {
    Missing,
    Number(f64),
    Boolean(bool),
    /// Where the text ends in `Reader::texts`; it starts where the one before it ends.
    Text(usize),
    /// An array or an object.
    Nested,
}

struct Reader<'s> {
    schema: &'s Schema,
    max_rows: usize,
    codes: Matrix,
    shape: Shape,
    /// `data` or `features`, as sent.
    key: &'static str,
    staged: Vec<Staged>,
    texts: String,
    /// The features that rows of this many values hold.
    positions: (usize, Vec<Option<usize>>),
    /// Whether these were given by their names.
    named: bool,
    threshold: Option<f64>,
    lenient: bool,
    /// What `lenient` does not forgive.
    serious: Problems,
    forgivable: Problems,
}

impl<'s> Reader<'s> {
    fn new(schema: &'s Schema, max_rows: usize) -> Self {
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

    fn parse<'r, 'de, S>(
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

    fn finish(self) -> (Matrix, Problems) {
        let mut problems = self.serious;
        if !self.lenient {
            problems.extend(self.forgivable);
        }
        (self.codes, problems)
    }

    fn push_row<E: Error>(&mut self) -> Result<(), E> {
        if self.codes.n_rows() == self.max_rows {
            return Err(E::custom(TOO_MANY_ROWS));
        }
        give_way_at(self.codes.n_rows());
        self.codes.push_row(NOT_GIVEN);
        Ok(())
    }

    /// Writes a staged value into the last row.
    fn code(
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
    fn finish_positional<E: Error>(&mut self, place: Place) -> Result<(), E> {
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

/// The whole body: rows under one of two keys, options beside them.
struct Body<'r, 's> {
    reader: &'r mut Reader<'s>,
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
        while let Some(key) = map.next_key::<std::borrow::Cow<str>>()? {
            match OPTIONS.iter().find(|option| **option == key) {
                Some(&key @ ("data" | "features")) if reader.key.is_empty() => {
                    reader.key = key;
                    map.next_value_seed(Rows { reader })?;
                }
                Some(&key @ ("data" | "features")) => {
                    map.next_value::<IgnoredAny>()?;
                    reader.serious.push(format!("/{key}"), "the rows are given twice".into());
                }
                Some(&key) => {
                    let value = map.next_value::<serde_json::Value>()?;
                    let wrong = match key {
                        "threshold" => {
                            reader.threshold = value.as_f64();
                            let fits = reader.threshold.is_some_and(|t| (0.0..=1.0).contains(&t));
                            (!fits).then_some("the threshold is a number from 0 to 1")
                        }
                        "lenient" => {
                            reader.lenient = value == true;
                            (!value.is_boolean()).then_some("lenient is true or false")
                        }
                        _ => (value != false).then_some("this version does not explain predictions"),
                    };
                    if let Some(detail) = wrong {
                        reader.serious.push(format!("/{key}"), detail.into());
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    let detail = match nearest(&key, OPTIONS.into_iter()) {
                        Some(option) => format!("unknown option; did you mean {option:?}?"),
                        None => format!("unknown option; {SEND}"),
                    };
                    reader.serious.push(Place { key: "", row: None }.pointer(&key), detail);
                }
            }
        }
        Ok(())
    }
}

/// What stands under `data` or `features`: one row, or an array of rows.
struct Rows<'r, 's> {
    reader: &'r mut Reader<'s>,
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
struct Row<'r, 's> {
    reader: &'r mut Reader<'s>,
    place: Place,
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
    while let Some(name) = map.next_key::<std::borrow::Cow<str>>()? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::{ColumnType, Task, UNSEEN};
    use crate::data::cells::schema::Ignored;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    /// Features `size` (1 to 5) and `color` (blue, red); `id` is ignored, `price` is the target.
    fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "id", "color", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0]),
                Column::Number(vec![7.0, 8.0]),
                Column::Category { codes: vec![0, 1], levels: vec!["blue".into(), "red".into()] },
                Column::Number(vec![10.0, 20.0]),
            ],
            lines: vec![2, 3].into(),
        };
        let target =
            Target { name: "price".into(), task: Task::Regression, labels: vec![], numeric_labels: false };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        let features = [(0, ColumnType::Number), (2, ColumnType::Category)];
        Schema::fit(&table, &features, target, ignored, &[0, 1])
    }

    fn read(body: &str) -> Request {
        read_request(body.as_bytes(), &schema(), 10).unwrap()
    }

    fn problems(body: &str) -> Vec<(String, String)> {
        let listed = read(body).problems.listed;
        listed.into_iter().map(|p| (p.pointer, p.detail)).collect()
    }

    #[test]
    fn every_form_of_the_contract_gives_the_same_codes() {
        for one in [
            r#"{"data":[2.5,"red"]}"#,
            r#"{"data":["2.5","red"]}"#,
            r#"{"data":[2.5,7,"red"]}"#,
            r#"{"features":{"color":"red","size":2.5}}"#,
            r#"{"features":{"size":2.5,"color":"red","price":3,"id":1}}"#,
            r#"{"features":[2.5,"red"]}"#,
            r#" {"lenient":false,"threshold":0.5,"data":{"size":2.5,"color":"re\u0064"}} "#,
        ] {
            let request = read(one);
            assert_eq!(request.problems.listed, [], "{one}");
            assert_eq!((request.codes.values(), request.many), (&[2.5, 1.0][..], false), "{one}");
        }
        for many in [
            r#"{"data":[[2.5,"red"],[1,null]]}"#,
            r#"{"features":[{"color":"red","size":2.5},{"size":1,"color":""}]}"#,
        ] {
            let request = read(many);
            assert!(request.many && request.problems.total == 0, "{many}");
            assert_eq!(request.codes.row(0), [2.5, 1.0]);
            assert!(request.codes.row(1)[1].is_nan());
        }
        assert_eq!(read(r#"{"data":[1,"green"]}"#).codes.values()[1], UNSEEN);
    }

    #[test]
    fn all_problems_come_at_once_with_pointers() {
        let found = problems(r#"{"data":[["x",true],[1],{"siez":1},3]}"#);
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/data/1", "/data/3", "/data/0/0", "/data/2/siez", "/data/2/size", "/data/2/color"]
        );
        assert!(found[0].1.contains("1 values where the model has 2 features (size,color)"));
        assert!(found[3].1.contains("did you mean \"size\"?"));
        let found = problems(r#"{"features":{"size":[1],"color":{},"a/b":1,"size":2}}"#);
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/features/size", "/features/size", "/features/color", "/features/a~1b"]);
    }

    #[test]
    fn bodies_of_another_shape_say_what_to_send() {
        for body in ["3", "[]", "null", "\"x\"", "{}", "[[1]]", r#"{"data":3}"#, r#"{"data":[]}"#] {
            assert_eq!(read(body).problems.total, 1, "{body}");
        }
        assert!(problems(r#"{"daat":[1,"red"]}"#)[0].1.contains("did you mean \"data\"?"));
        assert_eq!(problems(r#"{"data":[1,"red"],"features":{}}"#)[0].0, "/features");
        assert_eq!(problems(r#"{"data":[1,"red"],"threshold":2}"#)[0].0, "/threshold");
    }

    #[test]
    fn lenient_takes_what_does_not_fit_as_missing_wherever_the_option_stands() {
        for body in [
            r#"{"lenient":true,"features":{"size":"x","weight":1}}"#,
            r#"{"features":{"size":"x","weight":1},"lenient":true}"#,
        ] {
            let request = read(body);
            assert_eq!(request.problems.total, 0);
            assert!(request.codes.values().iter().all(|code| code.is_nan()));
        }
        assert_eq!(read(r#"{"lenient":true,"data":[1]}"#).problems.total, 1, "which column is 1?");
    }

    #[test]
    fn what_is_not_json_is_refused_and_so_are_too_many_rows() {
        let refused = |body: &str| read_request(body.as_bytes(), &schema(), 2).expect_err(body);
        for body in ["", "{", "{\"data\":[1,]}", "{\"data\":[1,\"red\"]} x", "{\"data\":[1e999,1]}"] {
            assert!(matches!(refused(body), Malformed::NotJson(_)), "{body}");
        }
        let deep = format!("{{\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).problems.total > 0, "and the stack is not used up");
        let three = r#"{"data":[[1,"red"],[1,"red"],[1,"red"]]}"#;
        assert_eq!(refused(three), Malformed::TooManyRows);
    }

    #[test]
    fn a_single_row_is_an_array_or_an_object() {
        let schema = schema();
        let mut codes = Matrix::with_capacity(4, 2);
        let mut row = |text: &str, lenient| read_row(text.as_bytes(), &schema, lenient, &mut codes);
        assert_eq!(row(r#"{"size":2,"color":"blue"}"#, false).unwrap().total, 0);
        assert_eq!(row(r#"[3,"red"]"#, false).unwrap().total, 0);
        assert_eq!(row(r#"{"size":"x"}"#, false).unwrap().listed[0].pointer, "/size");
        assert_eq!(row(r#"{"size":"x"}"#, true).unwrap().total, 0);
        assert_eq!(row("5", true).unwrap().total, 1);
        assert_eq!(codes.n_rows(), 5);
        assert_eq!(codes.values()[..4], [2.0, 0.0, 3.0, 1.0]);
    }
}
