//! JSON values of the card that are scalars: labels and hyperparameters.
//!
//! Read as any JSON they would take a hundred times the size of a file that nests them, so nothing else is read.

use crate::order;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A null, boolean, number or string.
struct Scalar(Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalars { nested: false }).map(Self)
    }
}

/// A scalar, or a list of them.
struct Setting(Value);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalars { nested: true }).map(Self)
    }
}

struct Scalars {
    nested: bool,
}

impl<'de> Visitor<'de> for Scalars {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(if self.nested { "a scalar or a list of scalars" } else { "a scalar" })
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        if !self.nested {
            return Err(A::Error::custom("a list where a scalar belongs"));
        }
        let mut list = Vec::new();
        while let Some(Scalar(value)) = values.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }
}

/// One scalar.
pub(super) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Scalar::deserialize(deserializer).map(|scalar| scalar.0)
}

/// One scalar, if there is one.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Scalar>::deserialize(deserializer)?.map(|scalar| scalar.0))
}

/// A list of scalars.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Ok(Vec::<Scalar>::deserialize(deserializer)?.into_iter().map(|scalar| scalar.0).collect())
}

/// Settings by name, each a scalar or a list of scalars.
pub(super) fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let settings = std::collections::BTreeMap::<String, Setting>::deserialize(deserializer)?;
    Ok(order::map(settings.into_iter().map(|(name, setting)| (name, setting.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written_and_nothing_deeper() {
        let read = |text| settings(&mut serde_json::Deserializer::from_str(text));
        let text = r#"{"alpha":1.0,"layers":[10,20],"loss":"log","n":-3,"on":true,"seed":null}"#;
        assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        for nested in [r#"{"a":{}}"#, r#"{"a":[[]]}"#, r#"{"a":[{"":0}]}"#, "[]"] {
            assert!(read(nested).is_err(), "{nested}");
        }
        assert!(list(&mut serde_json::Deserializer::from_str("[1,[]]")).is_err());
    }
}
