//! The formats of models that can be imported, how a file shows which one it has, and what is said of the others.

use anyhow::{Result, bail};

use super::forest::Foreign;
use super::{catboost, lightgbm, xgboost};
use crate::error::usage;

/// A format of model files of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON or UBJSON of XGBoost.
    Xgboost,
    /// Text of LightGBM.
    Lightgbm,
    /// JSON of CatBoost.
    Catboost,
}

/// Bytes at the beginning in which a format shows itself; XGBoost and CatBoost sort their members by name.
const BEGINNING: usize = 4096;

/// What is done with models in forms that run code when they are read.
const CONVERT: &str = "a pickle runs code when it is opened, so mlapi never opens one. In Python, save the model in the \
     trainer's own format:\n  \
     XGBoost:   model.save_model(\"model.json\")\n  \
     LightGBM:  model.booster_.save_model(\"model.txt\")\n  \
     CatBoost:  model.save_model(\"model.json\", format=\"json\")";

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Xgboost, Self::Lightgbm, Self::Catboost];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost",
            Self::Lightgbm => "lightgbm",
            Self::Catboost => "catboost",
        }
    }

    /// The format that the bytes of a file show.
    ///
    /// # Errors
    /// None of those that are known, with what can be done.
    pub(super) fn of(path: &str, bytes: &[u8]) -> Result<Self> {
        let path = path.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
        // A pickle of protocol 2 and later begins with its protocol; a zip or compressed stream of joblib is told by name.
        let is_pickle = matches!(bytes, [0x80, 2..=5, ..]);
        if is_pickle || ends(&[".pkl", ".pickle", ".joblib", ".sav"]) {
            return Err(usage(CONVERT));
        }
        let beginning = &bytes[..bytes.len().min(BEGINNING)];
        let holds = |text: &str| beginning.windows(text.len()).any(|window| window == text.as_bytes());
        if beginning.starts_with(b"tree\n") || beginning.starts_with(b"tree\r\n") {
            return Ok(Self::Lightgbm);
        }
        if beginning.trim_ascii_start().starts_with(b"{") {
            if holds("features_info") || holds("oblivious_trees") || holds("model_info") {
                return Ok(Self::Catboost);
            }
            if holds("learner") {
                return Ok(Self::Xgboost);
            }
        }
        if ends(&[".onnx"]) {
            return Err(usage(
                "ONNX files are not read. Models of XGBoost, LightGBM and CatBoost are imported from the files that their \
                 own save_model writes",
            ));
        }
        if ends(&[".cbm"]) {
            return Err(usage(
                "the binary form of CatBoost is not read; save the model with model.save_model(\"model.json\", \
                 format=\"json\")",
            ));
        }
        if ends(&[".bin", ".model", ".deprecated"])
            || beginning.starts_with(b"binf")
            || beginning.starts_with(b"bs64")
        {
            return Err(usage(
                "the old binary form of XGBoost is not read; open the model in Python and save it with \
                 model.save_model(\"model.json\")",
            ));
        }
        bail!(
            "it is no model file that mlapi knows: JSON or UBJSON of XGBoost, text of LightGBM, JSON of CatBoost; --format \
             says which it is"
        )
    }

    pub(super) fn read(self, bytes: &[u8]) -> Result<Foreign> {
        match self {
            Self::Xgboost => xgboost::read(bytes),
            Self::Lightgbm => lightgbm::read(bytes),
            Self::Catboost => catboost::read(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_shows_its_format_by_its_content() {
        let of = |path: &str, bytes: &[u8]| Format::of(path, bytes).map_err(|error| error.to_string());
        assert_eq!(of("a", b"tree\nversion=v4\n"), Ok(Format::Lightgbm));
        assert_eq!(of("a", b"{\"learner\":{}}"), Ok(Format::Xgboost));
        assert_eq!(of("a", b"{L\0\0\0\0\0\0\0\x07learner{"), Ok(Format::Xgboost));
        assert_eq!(of("a", b"{\n\"features_info\":{}}"), Ok(Format::Catboost));
        assert!(of("a", b"{}").unwrap_err().contains("--format"));
    }

    #[test]
    fn a_pickle_is_never_opened_and_the_message_shows_the_line_that_converts() {
        for (path, bytes) in [("m.pkl", &b"{}"[..]), ("m.joblib", b"x"), ("m", b"\x80\x04\x95")] {
            let message = Format::of(path, bytes).unwrap_err().to_string();
            assert!(
                message.contains("save_model(\"model.json\")") && message.contains("never opens"),
                "{message}"
            );
        }
    }
}
