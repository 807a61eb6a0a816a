//! The formats of models that can be imported, how a file shows which one it has, and what is said of the others.

use anyhow::{Result, bail};

use super::forest::Foreign;
use super::schema::Said;
use super::{catboost, lightgbm, onnx, xgboost};
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
    /// A graph of ONNX.
    Onnx,
}

/// Bytes at the beginning in which a format shows itself; XGBoost and CatBoost sort their members by name.
const BEGINNING: usize = 4096;

/// What is done with models in forms that run code when they are read.
const CONVERT: &str = "a pickle runs code when it is opened, so mlapi never opens one. In Python, save the model in the \
     trainer's own format:\n  \
     XGBoost:   model.save_model(\"model.json\")\n  \
     LightGBM:  model.booster_.save_model(\"model.txt\")\n  \
     CatBoost:  model.save_model(\"model.json\", format=\"json\")\n  \
     scikit-learn: open(\"model.onnx\", \"wb\").write(skl2onnx.to_onnx(model, X[:1]).SerializeToString())";

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Xgboost, Self::Lightgbm, Self::Catboost, Self::Onnx];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost",
            Self::Lightgbm => "lightgbm",
            Self::Catboost => "catboost",
            Self::Onnx => "onnx",
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
        // The version of the intermediate representation comes first in ONNX files, and is below 128.
        if ends(&[".onnx"]) || matches!(bytes, [8, 3..=127, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..]) {
            return Ok(Self::Onnx);
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
            "it is no model file that mlapi knows: JSON or UBJSON of XGBoost, text of LightGBM, JSON of CatBoost, ONNX; \
             --format says which it is"
        )
    }

    pub(super) fn read(self, bytes: &[u8], said: &Said) -> Result<Foreign> {
        match self {
            Self::Xgboost => xgboost::read(bytes),
            Self::Lightgbm => lightgbm::read(bytes),
            Self::Catboost => catboost::read(bytes),
            Self::Onnx => onnx::read(bytes, said),
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
        assert_eq!(of("a", b"\x08\x08\x12\x07skl2onnx"), Ok(Format::Onnx));
        assert_eq!(of("a.onnx", b""), Ok(Format::Onnx));
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
