//! The options `explain` of a request body: true, false, or an object with the details; and `what_if`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of the option that are read.
const MAX_BYTES: usize = 4096;

/// What a request wants explained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainOption {
    /// So many of the largest contributions.
    #[serde(default)]
    pub top: Option<u32>,
    /// The label whose score is explained, as the model's labels are written.
    #[serde(default)]
    pub label: Option<Label>,
    /// The scale of the contributions.
    #[serde(default)]
    pub scale: ScaleOption,
    /// What columns are compared with.
    #[serde(default)]
    pub reference: ReferenceOption,
}

/// A label as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(pub String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(json)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            other => Ok(Self(other.to_string())),
        }
    }
}

/// The member `scale`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleOption {
    /// That of the model's own sum.
    #[default]
    Score,
    /// That of the prediction.
    Probability,
}

/// The member `reference`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceOption {
    /// The training rows that a tree sent each way.
    #[default]
    Path,
    /// Background rows.
    Background,
}

/// Reads the value of the option; `None` is false.
///
/// # Errors
/// What it can be.
pub(crate) fn read(value: &RawValue) -> Result<Option<ExplainOption>, String> {
    const WRONG: &str = "explain is true, false, or an object of top, label, scale (score or probability) and \
                         reference (path or background)";
    match value.get() {
        "false" => Ok(None),
        "true" => Ok(Some(ExplainOption::default())),
        text if text.len() > MAX_BYTES || !text.starts_with('{') => Err(WRONG.into()),
        text => serde_json::from_str(text).map(Some).map_err(|_| WRONG.into()),
    }
}

/// Reads the value of the option `what_if`, whose meaning depends on the model; `None` is false.
///
/// # Errors
/// One that is too long.
pub(super) fn read_what_if(value: &RawValue) -> Result<Option<serde_json::Value>, String> {
    match value.get() {
        "false" => Ok(None),
        text if text.len() > MAX_BYTES => Err(format!("what_if is longer than {MAX_BYTES} bytes")),
        text => serde_json::from_str(text).map(Some).map_err(|_| "what_if is not JSON".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<ExplainOption>, String> {
        read(&RawValue::from_string(text.into()).unwrap())
    }

    #[test]
    fn the_option_is_a_truth_value_or_an_object_of_known_members() {
        assert_eq!((of("false"), of("true")), (Ok(None), Ok(Some(ExplainOption::default()))));
        let all = of(r#"{"top":5,"label":3,"scale":"probability","reference":"background"}"#);
        let wanted = ExplainOption {
            top: Some(5),
            label: Some(Label("3".into())),
            scale: ScaleOption::Probability,
            reference: ReferenceOption::Background,
        };
        assert_eq!(all, Ok(Some(wanted)));
        for wrong in ["3", "null", "[]", r#"{"tops":1}"#, r#"{"top":-1}"#, r#"{"scale":"logit"}"#] {
            assert!(of(wrong).unwrap_err().starts_with("explain is true"), "{wrong}");
        }
    }
}
