//! The flags of `predict`.

use clap::Args as ClapArgs;

use super::values::{parse_changes, parse_count, parse_on_error, parse_probability, parse_top};
use super::{
    DEFAULT_MODEL, Dialect, ExplainReference, ExplainScale, GLOBAL, InputFormat, ModelLimit, RowFormat, Top,
};
use crate::predict::OnError;

/// `mlapi predict`
#[derive(Debug, ClapArgs)]
pub struct Predict {
    /// One row: values in column order, NAME=VALUE pairs, or a JSON object
    #[arg(
        long,
        value_name = "ROW",
        required_unless_present = "input",
        conflicts_with = "input",
        allow_hyphen_values = true
    )]
    pub features: Option<String>,

    /// File of rows: CSV, TSV or NDJSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,

    /// Format of the rows; arrow: an Arrow IPC stream, in builds with the feature parquet
    #[arg(long, value_name = "FORMAT", default_value = "auto", conflicts_with = "features")]
    pub input_format: InputFormat,

    /// Where to write the predictions; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: String,

    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: String,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Input columns to repeat in the output: all, none, or names separated by commas
    #[arg(long, value_name = "COLS", default_value = "all", conflicts_with = "features")]
    pub keep: String,

    /// Predict the second of two classes if its probability is at least T
    #[arg(long, value_name = "T", value_parser = parse_probability)]
    pub threshold: Option<f64>,

    /// Add the probability of every class
    #[arg(long)]
    pub probabilities: bool,

    /// Add the contribution of each column to the score: all of them, or the N largest
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "all",
          value_parser = parse_top)]
    pub explain: Option<Top>,

    /// Explain the score of this label instead of the predicted one
    #[arg(long, value_name = "LABEL", requires = "explain")]
    pub explain_label: Option<String>,

    /// Scale of the contributions: score (log-odds or another sum of the model) or probability (or value)
    #[arg(long, value_name = "SCALE", default_value = "score", requires = "explain")]
    pub explain_scale: ExplainScale,

    /// Compare with the training rows of each tree node (path) or with the background rows of the model file
    #[arg(long, value_name = "REFERENCE", default_value = "path", requires = "explain")]
    pub explain_reference: ExplainReference,

    /// Order the rows by the probability of LABEL, or by the predicted value, highest first; may be left out with two classes
    #[arg(long, value_name = "LABEL", num_args = 0..=1, default_missing_value = "", conflicts_with = "features")]
    pub rank_by: Option<String>,

    /// Write only the N first rows of the ranking, which alone are kept in memory
    #[arg(long, value_name = "N", requires = "rank_by", value_parser = parse_count)]
    pub top: Option<usize>,

    /// Add the smallest changes of at most N columns that move the prediction to another class, or into --what-if-range
    #[arg(long, value_name = "N", value_parser = parse_changes)]
    pub what_if: Option<usize>,

    /// Move the prediction to this label
    #[arg(long, value_name = "LABEL", requires = "what_if")]
    pub what_if_label: Option<String>,

    /// Move the predicted number into this range; either end may be left out
    #[arg(long, value_name = "LO..HI", requires = "what_if", allow_hyphen_values = true)]
    pub what_if_range: Option<String>,

    /// Columns that may change: COL, COL=LO..HI, COL:+ (only rises) or COL:- (only falls), separated by commas; repeatable
    #[arg(long, value_name = "COLS", requires = "what_if")]
    pub mutable: Vec<String>,

    /// Treat missing columns and values of the wrong type as missing values; ignore unknown columns
    #[arg(long, conflicts_with = "strict")]
    pub lenient: bool,

    /// Refuse a file with columns that the model does not know, except those that --keep names
    #[arg(long, conflicts_with = "features")]
    pub strict: bool,

    /// For a row that does not fit: stop, skip it, or null: keep it without a prediction
    #[arg(long, value_name = "ACTION", default_value = "stop", value_parser = parse_on_error,
          conflicts_with = "features")]
    pub on_error: OnError,

    /// Dialect of the input.
    #[command(flatten)]
    pub dialect: Dialect,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: RowFormat,
}
