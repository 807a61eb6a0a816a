//! A JSON value that is wanted for itself alone, such as an option or a label.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A JSON value. Arrays and objects are skipped in place, so a value takes no more memory than its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl Scalar<'_> {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The text of a string, a number, a boolean or `null`.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::Number(number) => Some(number.to_string()),
            Self::Boolean(value) => Some(value.to_string()),
            Self::Null => Some("null".into()),
            Self::Array | Self::Object => None,
        }
    }
}

/// A member of an array as text; none for `null`, which is no member.
pub(crate) fn array_member(member: Scalar) -> Option<String> {
    match member {
        Scalar::Null => Some(String::new()),
        member => member.into_text(),
    }
}

impl PartialEq<Value> for Scalar<'_> {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Boolean(value), Value::Bool(other)) => value == other,
            (Self::Number(number), Value::Number(other)) => number == other,
            (Self::Text(text), Value::String(other)) => text == other,
            _ => false,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Boolean(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Scalar::Null, Scalar::Number))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(value.to_string().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

/// The first elements of an array, at most `N`, and how many it has; further ones are skipped in place.
#[derive(Debug)]
pub(crate) struct First<T, const N: usize> {
    pub(crate) elements: Vec<T>,
    pub(crate) total: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for First<T, N> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(FirstVisitor(std::marker::PhantomData))
    }
}

struct FirstVisitor<T, const N: usize>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for FirstVisitor<T, N> {
    type Value = First<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut first = First { elements: Vec::new(), total: 0 };
        while first.elements.len() < N {
            let Some(element) = seq.next_element()? else {
                return Ok(first);
            };
            first.elements.push(element);
            first.total += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            first.total += 1;
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_what_it_is_and_a_nested_one_is_skipped() {
        let read = |text| serde_json::from_str::<Scalar>(text).unwrap();
        assert_eq!(read("1.5").number(), Some(1.5));
        assert_eq!(read("-3").into_text().as_deref(), Some("-3"));
        assert_eq!(read("\"a\\nb\""), Scalar::Text("a\nb".into()));
        assert_eq!([read("true"), read("null")], [Scalar::Boolean(true), Scalar::Null]);
        assert_eq!([read("[1,[2]]"), read("{\"a\":{}}")], [Scalar::Array, Scalar::Object]);
        for text in ["1", "1.0", "\"1\"", "false", "null"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(read(text) == value && read("[]") != value, "{text}");
        }
    }

    #[test]
    fn the_first_elements_are_kept_and_all_are_counted() {
        let first: First<usize, 2> = serde_json::from_str("[4,5,6,{}]").unwrap();
        assert_eq!((first.elements, first.total), (vec![4, 5], 4));
        assert!(serde_json::from_str::<First<usize, 2>>("[4,{}]").is_err());
        assert_eq!(serde_json::from_str::<First<usize, 2>>("[4]").unwrap().total, 1);
    }
}
