//! The flags of `mlapi import` and `mlapi export`.

use clap::{Args as ClapArgs, ValueEnum};

use super::{DEFAULT_MODEL, Dialect, ModelLimit};
#[cfg(feature = "import")]
use crate::{export, import};

/// Format of the file, or of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// JSON or UBJSON of XGBoost.
    Xgboost,
    /// Text of LightGBM.
    Lightgbm,
    /// JSON of CatBoost.
    Catboost,
    /// ONNX.
    Onnx,
    /// A result for people.
    Text,
    /// A result of one JSON object.
    Json,
}

#[cfg(feature = "import")]
impl ImportFormat {
    /// The format of the file, if it is one.
    pub fn of_file(self) -> Option<import::Format> {
        match self {
            Self::Xgboost => Some(import::Format::Xgboost),
            Self::Lightgbm => Some(import::Format::Lightgbm),
            Self::Catboost => Some(import::Format::Catboost),
            Self::Onnx => Some(import::Format::Onnx),
            Self::Text | Self::Json => None,
        }
    }
}

/// `mlapi import`
#[derive(Debug, ClapArgs)]
pub struct Import {
    /// Model file of another program: JSON or UBJSON of XGBoost, text of LightGBM, JSON of CatBoost, ONNX
    #[arg(value_name = "FILE")]
    pub file: String,

    /// Format of FILE [default: found in it]; text or json: format of the result; repeatable
    #[arg(id = "format", long = "format", value_name = "FORMAT")]
    pub formats: Vec<ImportFormat>,

    /// Names of the columns in the order of training, separated by commas [default: those in FILE]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub features: Vec<String>,

    /// Names of the classes in the order of training, separated by commas [default: those in FILE, or 0,1,…]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub labels: Vec<String>,

    /// Name of the target [default: the last column of the sample]
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,

    /// Sample of rows as the model reads them: gives names, types, ranges and the rows that the model tests itself with
    #[arg(long, value_name = "SAMPLE")]
    pub data: Option<String>,

    /// Column of the sample with the trainer's predictions; the import fails if the model's own differ
    #[arg(long, value_name = "COL", requires = "data")]
    pub expect: Option<String>,

    /// Where to write the model
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub output: String,

    /// Dialect of the sample.
    #[command(flatten)]
    pub dialect: Dialect,
}

/// Form that a model is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// An ONNX file: all models but those of texts.
    Onnx,
    /// Text of LightGBM: all models of trees.
    Lightgbm,
    /// A query in standard SQL: linear models and small trees.
    Sql,
}

#[cfg(feature = "import")]
impl ExportForm {
    /// The form as the writer takes it.
    pub fn form(self, compatible: bool) -> export::Form {
        match self {
            Self::Onnx => export::Form::Onnx { compatible },
            Self::Lightgbm => export::Form::Lightgbm,
            Self::Sql => export::Form::Sql,
        }
    }
}

/// `mlapi bundle`
#[derive(Debug, ClapArgs)]
pub struct Bundle {
    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: String,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Where to write the executable; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: String,
}

/// `mlapi export`
#[derive(Debug, ClapArgs)]
pub struct Export {
    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: String,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Form to write
    #[arg(long, value_name = "FORM")]
    pub to: ExportForm,

    /// With --to onnx: single precision and ai.onnx.ml 3, for older runtimes
    #[arg(long)]
    pub compat: bool,

    /// Where to write it; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: String,
}
