//! The command line: every verb, flag and default, with its one-line help. No logic beyond the parsing of single
//! values. Longer help is prose in `help/`.

mod choices;
mod detail;
mod help;
mod import;
mod predict;
mod serve;
mod values;

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as ClapArgs, FromArgMatches, Parser, Subcommand, ValueEnum, value_parser};

use crate::data::cells::cell::ColumnType;
use crate::model::drift::gate;
use crate::model::file;
use crate::model::learn::choice::metric::Metric;
use crate::model::learn::plan::Plan;
use crate::model::learn::sampled::Sample;
use crate::model::postprocessing::Costs;
use crate::model::requirement::Requirement;

pub use choices::{
    CalibrateChoice, Color, ExplainReference, ExplainScale, Format, InputFormat, OptimizeChoice, RowFormat,
    TaskChoice,
};
pub use detail::{Detail, Diff};
pub use help::command;
pub use import::{Bundle, Export, ExportForm, Import, ImportFormat};
pub use predict::Predict;
pub use serve::{AccessLog, Serve};
pub use values::{Encoding, Quote, Top};
use values::{
    parse_comment, parse_costs, parse_decimal, parse_delimiter, parse_encoding, parse_folds, parse_latency,
    parse_level, parse_minutes, parse_pair, parse_probability, parse_quote, parse_share, parse_thousands,
    parse_threads, parse_trials, parse_type,
};

/// The model file of every verb unless one is given.
pub(super) const DEFAULT_MODEL: &str = "model.mlapi";
/// The port of the server unless one is given.
pub(super) const DEFAULT_PORT: u16 = 8080;
/// The address of the server unless one is given: this machine only.
const DEFAULT_HOST: &str = "127.0.0.1";

/// Turns a CSV file into a prediction API.
#[derive(Debug, Parser)]
#[command(
    name = "mlapi",
    version,
    max_term_width = 100,
    about = "Turns a CSV file into a prediction API",
    long_about = "Turns a CSV file into a prediction API: train a model, evaluate it, predict from the shell, \
                  serve it over HTTP. The four verbs share one model file, by default model.mlapi in the \
                  current folder."
)]
pub struct Args {
    /// Flags of every verb.
    #[command(flatten)]
    pub common: Common,

    /// Format of the result: text or json; for predict also ndjson and arrow
    #[arg(long, value_name = "FORMAT", help_heading = GLOBAL)]
    format: Option<String>,

    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

const GLOBAL: &str = "Global options";

impl Args {
    /// Parses a command line, the name of the program first. `bundled`: the model file of every verb that names none,
    /// instead of `model.mlapi`.
    ///
    /// # Errors
    /// A usage error, or the help that was asked for.
    pub fn parse_line(
        line: impl IntoIterator<Item = OsString>,
        bundled: Option<&'static str>,
    ) -> Result<Self, clap::Error> {
        let mut command = command();
        if let Some(model) = bundled {
            let with_default =
                |arg: Arg| if arg.get_id() == "model" { arg.default_value(model) } else { arg };
            command = command.mut_subcommands(|verb| verb.mut_args(with_default));
        }
        let mut found = command.try_get_matches_from_mut(line)?;
        let is_named_by_verb = found.subcommand().is_some_and(|(_, verb)| names_format(verb));
        let mut args = Self::from_arg_matches_mut(&mut found)?;
        if let Some(format) = args.format.take().filter(|_| !is_named_by_verb) {
            let refused = |problem| command.error(ErrorKind::InvalidValue, problem);
            args.verb.set_format(&format).map_err(refused)?;
        }
        Ok(args)
    }
}

fn names_format(verb: &ArgMatches) -> bool {
    let knows = verb.try_contains_id("format").unwrap_or(false);
    knows && verb.value_source("format") == Some(ValueSource::CommandLine)
}

impl Verb {
    /// `--format` before the verb means the same as after it.
    fn set_format(&mut self, text: &str) -> Result<(), String> {
        fn read<F: ValueEnum>(text: &str, format: &mut F) -> Result<(), String> {
            *format = F::from_str(text, false).map_err(|_| {
                let all = F::value_variants().iter().filter_map(ValueEnum::to_possible_value);
                let names: Vec<String> = all.map(|value| value.get_name().to_string()).collect();
                format!("--format {text}: the formats of this verb are {}", names.join(", "))
            })?;
            Ok(())
        }
        match self {
            Self::Train(train) => read(text, &mut train.format),
            Self::Eval(eval) => read(text, &mut eval.format),
            Self::Drift(drift) => read(text, &mut drift.format),
            Self::Diff(diff) => read(text, &mut diff.format),
            Self::Inspect(inspect) => read(text, &mut inspect.format),
            Self::Import(import) => {
                let mut format = ImportFormat::Text;
                read(text, &mut format)?;
                import.formats.push(format);
                Ok(())
            }
            Self::Predict(predict) => read(text, &mut predict.format),
            Self::Serve(_)
            | Self::Export(_)
            | Self::Bundle(_)
            | Self::Healthcheck(_)
            | Self::Completions { .. } => {
                Err("--format is for verbs with a result: train, eval, predict, drift, inspect and diff"
                    .into())
            }
        }
    }
}

/// Flags of every verb.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = GLOBAL)]
pub struct Common {
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print more details
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// When to use colour; NO_COLOR is respected
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,

    /// Maximum number of threads [default: all cores]
    #[arg(long, value_name = "N", env = "MLAPI_THREADS", global = true, value_parser = parse_threads)]
    pub threads: Option<usize>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train a model on a table and evaluate it on held-out rows
    Train(Box<Train>),
    /// Evaluate a model on the rows held out at training, or on another file
    Eval(Box<Eval>),
    /// Predict one row or a file of rows
    Predict(Box<Predict>),
    /// Serve predictions over HTTP
    Serve(Box<Serve>),
    /// Compare new rows with those of training: drift of each feature and of the predictions
    Drift(Drift),
    /// Make a model of one that XGBoost, LightGBM or CatBoost trained
    Import(Box<Import>),
    /// Write a model in a form that other programs run: ONNX, LightGBM text, SQL
    Export(Export),
    /// Make one executable of this program and a model
    Bundle(Bundle),
    /// Show the contents of a model file: card, schema, importances
    Inspect(Inspect),
    /// Show what differs between two model files: columns, categories, ranges, settings, metrics
    Diff(Diff),
    /// Check that a server is ready
    Healthcheck(Healthcheck),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `mlapi train`
#[derive(Debug, ClapArgs)]
pub struct Train {
    /// Training data: CSV, TSV or NDJSON, also gzip or zstd; several files with the same header are one table; - for
    /// standard input
    #[arg(value_name = "DATA", required = true)]
    pub data: Vec<String>,

    /// Train with the settings that the card of another model records; flags beside it win
    #[arg(long, value_name = "MODEL")]
    pub like: Option<String>,

    /// Write the model only if it is not worse, on its held-out rows, than the one in the output file; else exit status 3
    #[arg(long)]
    pub replace_if_better: bool,

    /// Also write a report of the new model on its held-out rows as one HTML file; with --replace-if-better it is compared
    /// with the old one there
    #[arg(long, value_name = "FILE")]
    pub report: Option<String>,

    /// Column to predict [default: the last column]
    #[arg(long, value_name = "COL")]
    pub target: Option<String>,

    /// Whether to predict classes or numbers
    #[arg(long, value_name = "TASK", default_value = "auto")]
    pub task: TaskChoice,

    /// Learning algorithm; auto compares candidates by cross-validation on the training rows
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub algorithm: String,

    /// Set a hyperparameter of the algorithm, by scikit-learn's name; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub settings: Vec<(String, String)>,

    /// Algorithm, settings and seed of one trial as JSON, {"algorithm":"boost","set":{"max_depth":3}}; flags beside it win
    #[arg(long, value_name = "FILE")]
    pub trial_file: Option<String>,

    /// Metric that auto, --cv and --tune choose by [default: log_loss for classes, rmse for numbers]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Metric::names()))]
    pub metric: Option<String>,

    /// Let auto choose one algorithm instead of a blend of several
    #[arg(long)]
    pub no_ensemble: bool,

    /// Let auto choose what answers a row in this time, such as 50us or 2ms, estimated by the model's shape
    /// [default: 100us for a blend]
    #[arg(long, value_name = "TIME", value_parser = parse_latency)]
    pub max_latency: Option<Duration>,

    /// End auto, --cv and --tune after M minutes and keep the best so far; fractions are allowed
    #[arg(long, value_name = "M", value_parser = parse_minutes)]
    pub minutes: Option<Duration>,

    /// Cross-validate on the training rows with K folds
    #[arg(long, value_name = "K", value_parser = parse_folds)]
    pub cv: Option<usize>,

    /// Search hyperparameters with N trials; those given with --set stay fixed
    #[arg(long, value_name = "N", value_parser = parse_trials)]
    pub tune: Option<usize>,

    /// Train on a sample of so many rows, or of this share of them, and evaluate on all others in a second pass
    #[arg(long, value_name = "N|SHARE", conflicts_with_all = ["group", "split_by", "refit"])]
    pub sample: Option<Sample>,

    /// Fit gradient-boosting on the rows outside the sample, one byte per value; the sample says what the columns are
    #[arg(long, requires = "sample", conflicts_with = "test")]
    pub all_rows: bool,

    /// Share of the rows held out for the evaluation
    #[arg(long, value_name = "SHARE", default_value_t = Plan::TEST_SIZE, value_parser = parse_share)]
    pub test_size: f64,

    /// Evaluate on this file instead, and train on all rows of DATA
    #[arg(long, value_name = "FILE", conflicts_with = "test_size")]
    pub test: Option<String>,

    /// Keep rows with the same value of COL on one side of every split; COL is not a feature
    #[arg(long, value_name = "COL", conflicts_with = "test")]
    pub group: Option<String>,

    /// Hold out the latest rows by a column of numbers or dates; each fold is scored on later rows than it was fitted on
    #[arg(long, value_name = "COL", conflicts_with_all = ["test", "group"])]
    pub split_by: Option<String>,

    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = Plan::SEED)]
    pub seed: u64,

    /// Where to write the model; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub output: String,

    /// Drop a column; repeatable
    #[arg(long, value_name = "COL")]
    pub drop: Vec<String>,

    /// Let no server tell the values of a column, in GET /model or the API document; repeatable
    #[arg(long, value_name = "COL")]
    pub private: Vec<String>,

    /// Set the type of a column: number, boolean, category, text or date; repeatable [default: inferred]
    #[arg(long = "type", value_name = "COL=TYPE", value_parser = parse_type)]
    pub types: Vec<(String, ColumnType)>,

    /// Column of sample weights
    #[arg(long, value_name = "COL")]
    pub weight: Option<String>,

    /// Give every class the same total weight, as class_weight=balanced does
    #[arg(long)]
    pub balance: bool,

    /// Training rows kept in the model file to explain predictions against [default: 100 for svm, knn and mlp, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=100))]
    pub background: Option<u8>,

    /// After the evaluation, fit again on all rows, the held-out ones included
    #[arg(long, conflicts_with = "test")]
    pub refit: bool,

    /// Calibrate the probabilities on out-of-fold predictions [default: auto, if algorithms are compared anyway]
    #[arg(long, value_name = "METHOD")]
    pub calibrate: Option<CalibrateChoice>,

    /// Choose the threshold of two classes on out-of-fold predictions; the model keeps it
    #[arg(long, value_name = "METRIC")]
    pub optimize: Option<OptimizeChoice>,

    /// Cost of a row of the first class predicted as the second (fp) and of the reverse (fn), for --optimize cost
    #[arg(long, value_name = "fp=1,fn=5", value_parser = parse_costs)]
    pub cost: Option<Costs>,

    /// Give each predicted number an interval that holds this share of the true values, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = parse_level)]
    pub interval: Option<f64>,

    /// Give each row a set of classes that holds the true one in this share of the rows, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = parse_level)]
    pub conformal: Option<f64>,

    /// Dialect of DATA.
    #[command(flatten)]
    pub dialect: Dialect,

    /// Read TOKEN as a missing value, in addition to NA, NaN, null, ? and the like; repeatable
    #[arg(long, value_name = "TOKEN")]
    pub null: Vec<String>,

    /// Read TOKEN, such as NA or None, as a value, in every column or in COL; repeatable
    #[arg(long, value_name = "[COL=]TOKEN")]
    pub no_null: Vec<String>,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: Format,
}

/// Dialect of delimited text.
#[derive(Debug, ClapArgs)]
pub struct Dialect {
    /// Field delimiter; \t for a tab, a blank for any number of them [default: detected in the first lines]
    #[arg(long, value_name = "C", value_parser = parse_delimiter)]
    pub delimiter: Option<u8>,

    /// Quote character, or none [default: detected in the first lines]
    #[arg(long, value_name = "C", value_parser = parse_quote)]
    pub quote: Option<Quote>,

    /// Decimal mark: . or , [default: the one that fits the numbers]
    #[arg(long, value_name = "C", value_parser = parse_decimal)]
    pub decimal: Option<u8>,

    /// What stands between thousands: , . ' _ or a blank; of , and . the other one is the decimal mark [default: the one
    /// that fits the numbers]
    #[arg(long, value_name = "C", value_parser = parse_thousands)]
    pub thousands: Option<char>,

    /// Text encoding: utf-8, utf-16, latin-1, windows-1251, gb18030, shift-jis, … [default: detected in
    /// the first bytes]
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    pub encoding: Option<Encoding>,

    /// Sheet of a workbook, by its name or number [default: the first that has cells]
    #[arg(long, value_name = "NAME|NUMBER")]
    pub sheet: Option<String>,

    /// Skip the first N lines [default: comments that begin with #, and titles above a header]
    #[arg(long, value_name = "N")]
    pub lines_to_skip: Option<u64>,

    /// Leave out line N, such as a line of units or of totals; repeatable
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub skip_line: Vec<u64>,

    /// Leave out lines that begin with C
    #[arg(long, value_name = "C", value_parser = parse_comment)]
    pub comment: Option<u8>,

    /// The first line names the columns [default, unless train finds that it fits the columns below it]
    #[arg(long, overrides_with = "no_header")]
    pub header: bool,

    /// The first line is a row; columns are named column_1, column_2, …
    #[arg(long, overrides_with = "header")]
    pub no_header: bool,
}

/// Limit of the model file.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct ModelLimit {
    /// Bytes of a model file; a larger one is refused
    #[arg(long, value_name = "BYTES", default_value_t = file::MAX_BYTES, env = "MLAPI_MAX_MODEL_BYTES",
          value_parser = value_parser!(u64).range(1..))]
    pub max_model_bytes: u64,
}

/// `mlapi eval`
#[derive(Debug, ClapArgs)]
pub struct Eval {
    /// Table with the columns of the training file [default: the rows held out at training]
    #[arg(value_name = "DATA")]
    pub data: Option<String>,

    /// Model file; repeatable with --report, which then compares them
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: Vec<String>,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Predict the positive class if its probability is at least T (two classes only)
    #[arg(long, value_name = "T", value_parser = parse_probability)]
    pub threshold: Option<f64>,

    /// Positive class of threshold, ROC AUC, average precision and Brier score [default: the second]
    #[arg(long, value_name = "LABEL")]
    pub positive: Option<String>,

    /// Requirements; exit status 3 unless all hold.
    #[arg(
        long,
        value_name = "EXPR",
        help = "Exit with status 3 unless this holds: 'accuracy>=0.9', 'lower(recall[yes])>0.8', 'mae not worse'; repeatable"
    )]
    pub require: Vec<Requirement>,

    /// What is shown beyond the metrics.
    #[command(flatten)]
    pub detail: Detail,

    /// Dialect of DATA.
    #[command(flatten)]
    pub dialect: Dialect,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: Format,
}

/// `mlapi drift`
#[derive(Debug, ClapArgs)]
pub struct Drift {
    /// Table with the feature columns of the training file; - for standard input
    #[arg(value_name = "NEW")]
    pub data: String,

    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: String,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Requirements; exit status 3 unless all hold.
    #[arg(
        long,
        value_name = "EXPR",
        help = "Exit with status 3 unless this holds: 'psi<0.2', 'psi[age]<0.1', 'domain_auc<0.7', 'drifted<=0'; repeatable"
    )]
    pub require: Vec<gate::Requirement>,

    /// Also write a report: one file of HTML that shows how the rows have changed
    #[arg(long, value_name = "FILE")]
    pub report: Option<String>,

    /// Dialect of NEW.
    #[command(flatten)]
    pub dialect: Dialect,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: Format,
}

/// `mlapi inspect`
#[derive(Debug, ClapArgs)]
pub struct Inspect {
    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    pub model: String,

    /// Limit of the model file.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: Format,
}

/// `mlapi healthcheck`
#[derive(Debug, ClapArgs)]
pub struct Healthcheck {
    /// URL to request [default: /readyz at --host and --port]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Port of the server
    #[arg(short, long, value_name = "PORT", default_value_t = DEFAULT_PORT, env = "MLAPI_PORT")]
    pub port: u16,

    /// Address of the server
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_HOST, env = "MLAPI_HOST")]
    pub host: String,

    /// Time limit for the response
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::parse_line(["mlapi"].iter().chain(words).map(OsString::from), None)
    }

    #[test]
    fn a_format_before_the_verb_is_that_of_the_verb_unless_the_verb_names_one() {
        let format = |words: &[&str]| match parse(words).unwrap().verb {
            Verb::Predict(predict) => predict.format,
            other => panic!("{other:?}"),
        };
        let predict = ["predict", "--features", "1"];
        assert_eq!(format(&predict), RowFormat::Text);
        assert_eq!(format(&[&["--format", "ndjson"], &predict[..]].concat()), RowFormat::Ndjson);
        assert_eq!(format(&[&predict[..], &["--format", "json"]].concat()), RowFormat::Json);
        let both = [&["--format", "json"], &predict[..], &["--format", "text"]].concat();
        assert_eq!(format(&both), RowFormat::Text);
    }

    #[test]
    fn a_format_that_a_verb_does_not_have_is_a_usage_error_on_either_side_of_it() {
        for words in [
            &["eval", "--format", "ndjson"][..],
            &["--format", "ndjson", "inspect"],
            &["--format", "json", "serve"],
            &["serve", "--format", "json"],
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
