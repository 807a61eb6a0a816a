//! Everything that can be typed, with its help text. No logic beyond the parsing of single values.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum, value_parser};

use crate::data::cells::schema::{ColumnType, Task};
use crate::data::read::encoding::named;
use crate::model::learn::ALGORITHMS;
use crate::model::learn::choice::tune::spaces;
use crate::model::requirement::Requirement;
use crate::predict::OnError;

/// Turns a CSV file into a prediction API.
#[derive(Debug, Parser)]
#[command(
    name = "mlapi",
    version,
    max_term_width = 100,
    about = "Turns a CSV file into a prediction API",
    long_about = "Turns a CSV file into a prediction API: train a model, evaluate it, ask it from the shell, \
                  serve it over HTTP. The four verbs share one model file, model.mlapi in the current folder \
                  unless named otherwise.",
    after_long_help = "\
Session:
  mlapi train iris.csv
  mlapi eval
  mlapi predict --features 5.1,3.5,1.4,0.2
  mlapi serve --port 8080

Exit status: 0 done, 1 the work failed, 2 wrong usage, 3 a requirement of eval was not met."
)]
pub struct Args {
    /// Flags of every verb.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The whole command line, with the algorithms and their hyperparameters in the help of `train`.
pub fn command() -> clap::Command {
    let mut notes = format!(
        "{TRAIN_NOTES}\n\nAlgorithms (--algorithm) and hyperparameters (--set), with their defaults:\n"
    );
    for algorithm in ALGORITHMS {
        let alias = algorithm.alias.map(|alias| format!(" ({alias})")).unwrap_or_default();
        let tasks: Vec<&str> = algorithm.tasks.iter().map(|task| task.name()).collect();
        notes +=
            &format!("\n  {}{alias}, {}\n    {}\n", algorithm.name, tasks.join(" and "), algorithm.summary);
        for parameter in algorithm.parameters {
            let (name, default) = (parameter.name, parameter.default);
            let searched = spaces(algorithm).find(|space| space.parameter == name);
            let searched = searched.map(|s| format!("; --tune: {}", s.draw)).unwrap_or_default();
            notes += &format!("    {name}={default}: {}; {}{searched}\n", parameter.effect, parameter.range);
        }
    }
    notes += TRAIN_EXAMPLES;
    Args::command().mut_subcommand("train", |train| train.after_long_help(notes))
}

/// Flags of every verb.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Say nothing but results and errors
    #[arg(short, long, global = true, help_heading = "Global options", conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,

    /// Use colour [NO_COLOR is respected]
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = "Global options")]
    pub color: Color,

    /// How results are written
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "Global options"
    )]
    pub format: Format,

    /// Threads to use at most [default: all cores]
    #[arg(long, value_name = "N", env = "MLAPI_THREADS", hide_env_values = true, global = true, help_heading = "Global options",
          value_parser = parse_threads)]
    pub threads: Option<usize>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// One JSON object a line (predict only).
    Ndjson,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train a model on a table and evaluate it on rows it has not seen
    Train(Box<Train>),
    /// Evaluate a model on the held-out rows of its training, or on another file
    Eval(Eval),
    /// Predict one row or a file of rows
    Predict(Predict),
    /// Answer predictions over HTTP
    Serve(Box<Serve>),
    /// Show what a model file holds: card, schema, importances
    Inspect(Inspect),
    /// Ask a server whether it is ready
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
    /// Table to learn from: CSV, TSV, other delimited text or NDJSON, also as gzip or zstd; several files of one
    /// header are one table; - for standard input
    #[arg(value_name = "DATA", required = true)]
    pub data: Vec<String>,

    /// Column to predict [default: the last one]
    #[arg(long, value_name = "COL")]
    pub target: Option<String>,

    /// What to predict: labels or numbers
    #[arg(long, value_name = "TASK", default_value = "auto")]
    pub task: TaskChoice,

    /// What learns; auto compares candidates by cross-validation on the rows it may learn from
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub algorithm: String,

    /// Set a hyperparameter of the algorithm, by scikit-learn's name
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub settings: Vec<(String, String)>,

    /// Score the choice by K-fold cross-validation on the rows it may learn from
    #[arg(long, value_name = "K", value_parser = parse_folds)]
    pub cv: Option<usize>,

    /// Search for better hyperparameters with N trials; those given with --set stay as they are
    #[arg(long, value_name = "N", value_parser = parse_trials)]
    pub tune: Option<usize>,

    /// Share of the rows that is held out for the evaluation
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = parse_share)]
    pub test_size: f64,

    /// Evaluate on this file instead, and learn from all rows of DATA
    #[arg(long, value_name = "FILE", conflicts_with = "test_size")]
    pub test: Option<String>,

    /// Keep rows with the same value of this column on one side of every split; it is no feature
    #[arg(long, value_name = "COL", conflicts_with = "test")]
    pub group: Option<String>,

    /// Hold out the latest rows by this column of numbers or dates, and compare on what follows the rows fitted
    #[arg(long, value_name = "COL", conflicts_with_all = ["test", "group"])]
    pub split_by: Option<String>,

    /// What random choices start from
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,

    /// Where to write the model; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "model.mlapi")]
    pub output: String,

    /// Leave a column out
    #[arg(long, value_name = "COL")]
    pub drop: Vec<String>,

    /// Say what a column is instead of having it inferred: number, boolean, category, text or date
    #[arg(long = "type", value_name = "COL=TYPE", value_parser = parse_type)]
    pub types: Vec<(String, ColumnType)>,

    /// Column that says how much each row counts
    #[arg(long, value_name = "COL")]
    pub weight: Option<String>,

    /// Let every class count the same, however few its rows
    #[arg(long)]
    pub balance: bool,

    /// After the evaluation, learn again from all rows, the held-out ones included
    #[arg(long, conflicts_with = "test")]
    pub refit: bool,

    /// How DATA is written
    #[command(flatten)]
    pub dialect: Dialect,

    /// Another text that means "no value" (the usual ones, such as NA, NaN, null and ?, are known)
    #[arg(long, value_name = "TOKEN")]
    pub null: Vec<String>,
}

const TRAIN_NOTES: &str = "\
Target and task: without --target the last column is predicted. Text, true/false, and at most 20 distinct \
whole numbers (each on average in two rows or more) are classes; other numbers are a regression.

Columns: a column is a number if every cell with a value is one, a boolean if every one is true or false, \
a date if every one is a date (2024-03-05, 2024-03-05T14:30:00Z, 05.03.2024, 2024年3月5日; of 05/03/2024 all rows \
together say whether the day or the month is first, and if they do not it is the month, with a note), a text if its values have three words or more on average (two characters count as a word in Chinese, Japanese and \
Korean) and more than half of them differ, else a category. Columns that are constant, number the rows, or differ in nearly every row are left out with a \
note; --type uses them all the same. Missing numbers are filled with the median and marked, numbers are \
standardised, categories become one column per level (the 256 most frequent ones) and one for all others. \
A date becomes year, month, day, weekday and hour (UTC), as far as they vary, and days since 1970; where numbers \
are standardised, month, weekday and hour also as sine and cosine. YYYYMMDD and seconds since 1970 are dates \
with --type COL=date. \
A text becomes one column per known word and pair of words, of characters in Chinese, Japanese and Korean (the \
65,536 most frequent ones): TF-IDF as in scikit-learn for logistic, linear and ridge regression, counts for naive Bayes; other \
algorithms see the 256 that tell most about the target. All of that is learned from the training rows alone and kept in the model file.

Choice: auto fits a few candidates on parts of the training rows, scores them on the others (accuracy, or \
balanced_accuracy with --balance; r2 for numbers), and takes the simplest one within one standard error of the \
best. Small tables are compared by five folds, larger ones by three, large ones by one split of a sample; \
--cv K makes it K folds of all training rows. With --set only candidates that have these hyperparameters \
are compared. --tune N draws N settings (the first are the defaults) from the ranges below and compares them \
in rounds, the best third of each on three times the rows. The rows held out for the evaluation are never \
looked at.

Splits: without a flag rows are held out by chance, classes in proportion. Where rows belong together (the visits \
of a patient, the frames of a film), --group COL keeps each group on one side, in the held-out rows and in every \
fold; shares of rows and classes are met as nearly as whole groups allow, and --type COL=category makes COL a \
feature all the same. Where the future is to be predicted, --split-by COL holds out the latest rows and fits every \
fold on its past alone; rows of one time stay on one side. COL has numbers or dates such as 2024-03-01 or \
2024-03-01T12:30:00Z. A row without a value there is an error.

Mistakes that are looked for, each with a note: columns and rows that are copies of others, held-out rows that \
were fitted as well, a column that predicts the target alone, columns with more than half of their cells missing, \
classes of few rows, labels that differ by case or spaces only.

The same data, flags and seed give the same bytes, whatever the number of threads. Ctrl-C keeps the best so far.";

const TRAIN_EXAMPLES: &str = "
Examples:
  mlapi train houses.csv --target price --drop id
  mlapi train churn.csv --algorithm logreg --set C=0.1 --balance
  mlapi train houses.csv --algorithm boost --tune 30 --cv 5
  mlapi train visits.csv --group patient
  mlapi train sales.csv --split-by date --test-size 0.1
  mlapi train train.csv --test test.csv --format json";

/// What is around a field; `None`: no character is special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote(pub Option<u8>);

/// The encoding of a text; `None`: to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(pub Option<&'static encoding_rs::Encoding>);

/// How delimited text is written.
#[derive(Debug, ClapArgs)]
pub struct Dialect {
    /// Character between two fields; \t for a tab [default: found in the first line]
    #[arg(long, value_name = "C", value_parser = parse_delimiter)]
    pub delimiter: Option<u8>,

    /// Character around a field; none for none [default: found in the first lines]
    #[arg(long, value_name = "C", value_parser = parse_quote)]
    pub quote: Option<Quote>,

    /// Encoding of the text: utf-8, utf-16, gb18030, latin-1, … [default: found in the first bytes]
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    pub encoding: Option<Encoding>,

    /// The first line names the columns (the default, unless train finds that it fits the columns below it)
    #[arg(long, overrides_with = "no_header")]
    pub header: bool,

    /// The first line is a row; columns are called column_1, column_2, …
    #[arg(long, overrides_with = "header")]
    pub no_header: bool,
}

/// `mlapi eval`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EVAL_NOTES)]
pub struct Eval {
    /// Table with the same columns as the training file [default: the held-out rows of the training]
    #[arg(value_name = "DATA")]
    pub data: Option<String>,

    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = "model.mlapi")]
    pub model: String,

    /// Predict the positive class where its probability is at least this (two classes only)
    #[arg(long, value_name = "T", value_parser = parse_probability)]
    pub threshold: Option<f64>,

    /// The class that threshold, ROC AUC, average precision and Brier score are about [default: the second]
    #[arg(long, value_name = "LABEL")]
    pub positive: Option<String>,

    /// End with status 3 unless this holds, as in 'accuracy>=0.9' or 'f1.macro > 0.8'
    #[arg(long, value_name = "EXPR")]
    pub require: Vec<Requirement>,

    /// How DATA is written
    #[command(flatten)]
    pub dialect: Dialect,
}

const EVAL_NOTES: &str = "\
Without DATA, the rows that training held out are read again from the file they came from; if that file has \
moved or changed, the figures recorded at training are shown and the exit status is 1.

Figures: accuracy, balanced_accuracy, precision, recall and f1 (each .macro, .micro, .weighted), log_loss, \
roc_auc, average_precision, brier, mcc; for numbers r2, rmse, mae, median_ae, mape. Each equals scikit-learn's \
for the same predictions and stands beside that of a model that ignores the features. --require compares \
with >=, >, <=, < or ==; a figure that is undefined does not meet any requirement.

Examples:
  mlapi eval
  mlapi eval new.csv --require 'accuracy>=0.95' --require 'log_loss<0.2'
  mlapi eval --threshold 0.3 --positive churned";

/// `mlapi predict`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = PREDICT_NOTES)]
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

    /// A file of rows: CSV, TSV or NDJSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,

    /// Where to write the predictions [default: standard output]
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: String,

    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = "model.mlapi")]
    pub model: String,

    /// Columns of the input to repeat in the output: all, none, or names with commas between
    #[arg(long, value_name = "COLS", default_value = "all", conflicts_with = "features")]
    pub keep: String,

    /// Predict the second of two classes where its probability is at least this
    #[arg(long, value_name = "T", value_parser = parse_probability)]
    pub threshold: Option<f64>,

    /// Add the probability of every class
    #[arg(long)]
    pub probabilities: bool,

    /// Take missing and unknown columns and values of the wrong type as missing values
    #[arg(long)]
    pub lenient: bool,

    /// What to do with a row that does not fit: end there, leave it out, or keep it without a prediction
    #[arg(long, value_name = "WHAT", default_value = "stop", value_parser = parse_on_error, conflicts_with = "features")]
    pub on_error: OnError,

    /// How the input is written
    #[command(flatten)]
    pub dialect: Dialect,
}

const PREDICT_NOTES: &str = "\
A file is read, predicted and written block by block in constant memory, in its order. Its columns are \
matched by name (by position where it has no header); the target may be there or not. The output has the \
form of the input with the columns prediction, probability and, with --probabilities, one per class. With \
--format json it is the answer of the HTTP API, with --format ndjson one element of that answer a line.

A category that training did not see and a missing value are predicted and counted in a warning. A missing \
or unknown column and a value of the wrong type are errors, all listed, unless --lenient.

Examples:
  mlapi predict --features 5.1,3.5,1.4,0.2
  mlapi predict --features 'sepal_length=5.1,sepal_width=3.5,petal_length=1.4,petal_width=0.2'
  mlapi predict --features '{\"sepal_length\":5.1,\"sepal_width\":3.5,\"petal_length\":1.4,\"petal_width\":0.2}'
  mlapi predict --input new.csv --output predicted.csv --keep id
  cat rows.ndjson | mlapi predict --input - --format ndjson";

/// `mlapi serve`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = SERVE_NOTES)]
pub struct Serve {
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(
        short,
        long,
        value_name = "PORT",
        default_value_t = 8080,
        env = "MLAPI_PORT",
        hide_env_values = true
    )]
    pub port: u16,

    /// Address to listen on
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        env = "MLAPI_HOST",
        hide_env_values = true
    )]
    pub host: String,

    /// Model file, with a name before it if you like, or a folder of model files; repeatable, the first is
    /// the default. In the environment separated by commas
    #[arg(
        short,
        long,
        value_name = "[NAME=]FILE",
        default_value = "model.mlapi",
        value_delimiter = ',',
        env = "MLAPI_MODEL",
        hide_env_values = true
    )]
    pub model: Vec<String>,

    /// A model beside another: it answers nothing, but what it would have answered otherwise is counted;
    /// without a name beside the first
    #[arg(
        long,
        value_name = "[NAME=]FILE",
        value_delimiter = ',',
        env = "MLAPI_SHADOW",
        hide_env_values = true
    )]
    pub shadow: Vec<String>,

    /// Load models and keys again when their files have changed; looks every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          env = "MLAPI_WATCH", hide_env_values = true, value_parser = value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,

    /// Listen on a Unix socket at this path instead of an address
    #[arg(long, value_name = "PATH", env = "MLAPI_UNIX", hide_env_values = true)]
    pub unix: Option<PathBuf>,

    /// Certificate chain (PEM) to speak HTTPS with; needs a build with the feature `tls`
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "MLAPI_TLS_CERT", hide_env_values = true)]
    pub tls_cert: Option<String>,

    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "MLAPI_TLS_KEY", hide_env_values = true)]
    pub tls_key: Option<String>,

    /// File of keys, one a line, KEY or NAME:KEY; requests then need `Authorization: Bearer KEY`. MLAPI_API_KEYS
    /// holds keys as well, separated by commas
    #[arg(long, value_name = "FILE", env = "MLAPI_API_KEYS_FILE", hide_env_values = true)]
    pub api_keys_file: Option<PathBuf>,

    /// Requests of one key, or of one address without a key, in the long run: 100/s or 600/m; more get 429
    #[arg(long, value_name = "N/s", env = "MLAPI_RATE_LIMIT", hide_env_values = true, value_parser = parse_rate)]
    pub rate_limit: Option<f64>,

    /// Requests at once within --rate-limit [default: those of a second, at least 1]
    #[arg(long, value_name = "N", requires = "rate_limit", env = "MLAPI_RATE_BURST",
          hide_env_values = true, value_parser = parse_count)]
    pub rate_burst: Option<usize>,

    /// Web pages of this origin (scheme and host, or * for any) may ask; repeatable
    #[arg(
        long,
        value_name = "ORIGIN",
        value_delimiter = ',',
        env = "MLAPI_CORS_ORIGIN",
        hide_env_values = true
    )]
    pub cors_origin: Vec<String>,

    /// Log answers to standard error; never with the values of features
    #[arg(long, value_name = "FORM", value_enum, default_value_t = AccessLog::Off, env = "MLAPI_ACCESS_LOG",
          hide_env_values = true)]
    pub access_log: AccessLog,

    /// Write rows and their predictions to this file as NDJSON, a hundred rows of a request at most
    #[arg(long, value_name = "FILE", env = "MLAPI_LOG_PREDICTIONS", hide_env_values = true)]
    pub log_predictions: Option<PathBuf>,

    /// The share of requests that --log-predictions writes down
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, env = "MLAPI_LOG_SAMPLE",
          hide_env_values = true, value_parser = parse_sample)]
    pub log_sample: f64,

    /// Bytes of that file; then it becomes FILE.1, up to FILE.5
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024, env = "MLAPI_LOG_BYTES",
          hide_env_values = true, value_parser = parse_count)]
    pub log_bytes: usize,

    /// Remember the predictions of so many requests, for POST /feedback to compare with the truth
    #[arg(long, value_name = "N", default_value_t = 0, env = "MLAPI_FEEDBACK", hide_env_values = true)]
    pub feedback: usize,

    /// Connections at a time; more are answered 503
    #[arg(long, value_name = "N", default_value_t = 1024, env = "MLAPI_MAX_CONNECTIONS",
          hide_env_values = true, value_parser = parse_count)]
    pub max_connections: usize,

    /// Requests being answered at a time; more are answered 503
    #[arg(long, value_name = "N", default_value_t = 256, env = "MLAPI_MAX_IN_FLIGHT",
          hide_env_values = true, value_parser = parse_count)]
    pub max_in_flight: usize,

    /// Bytes of a request's body; more are answered 413, or streamed where it is CSV or NDJSON
    #[arg(long, value_name = "BYTES", default_value_t = 32 * 1024 * 1024, env = "MLAPI_MAX_BODY_BYTES",
          hide_env_values = true, value_parser = parse_count)]
    pub max_body_bytes: usize,

    /// Bytes of the bodies that wait for their ends or their turns; more are answered 503
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024, env = "MLAPI_MAX_HELD_BYTES",
          hide_env_values = true, value_parser = parse_count)]
    pub max_held_bytes: usize,

    /// Bytes of a request's headers; more are answered 431
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024, env = "MLAPI_MAX_HEADER_BYTES",
          hide_env_values = true, value_parser = parse_header_bytes)]
    pub max_header_bytes: usize,

    /// Rows of a request that is not streamed; more are answered 413
    #[arg(long, value_name = "N", default_value_t = 100_000, env = "MLAPI_MAX_ROWS",
          hide_env_values = true, value_parser = parse_count)]
    pub max_rows: usize,

    /// Rows times features of a JSON request; more are answered 413
    #[arg(long, value_name = "N", default_value_t = 8_000_000, env = "MLAPI_MAX_CELLS",
          hide_env_values = true, value_parser = parse_count)]
    pub max_cells: usize,

    /// CSV and NDJSON bodies answered while they arrive, at a time; more are answered 503
    #[arg(long, value_name = "N", default_value_t = 16, env = "MLAPI_MAX_STREAMS",
          hide_env_values = true, value_parser = parse_count)]
    pub max_streams: usize,

    /// Seconds for a request's headers to arrive, and for an idle connection to stay open
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "MLAPI_HEADER_SECONDS",
          hide_env_values = true, value_parser = value_parser!(u64).range(1..=86_400))]
    pub header_seconds: u64,

    /// Seconds for a request's body to arrive, of a stream for each 64 KiB; then the answer is 408
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "MLAPI_BODY_SECONDS",
          hide_env_values = true, value_parser = value_parser!(u64).range(1..=86_400))]
    pub body_seconds: u64,

    /// Seconds that a client may take none of its answer before it is cut off
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "MLAPI_WRITE_SECONDS",
          hide_env_values = true, value_parser = value_parser!(u64).range(1..=86_400))]
    pub write_seconds: u64,

    /// Seconds for admitted requests to finish after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value_t = 10, env = "MLAPI_DRAIN_SECONDS",
          hide_env_values = true, value_parser = value_parser!(u64).range(0..=86_400))]
    pub drain_seconds: u64,
}

const SERVE_NOTES: &str = "\
  POST /predict         {\"data\":[5.1,3.5,1.4,0.2]} in column order, {\"features\":{…}} by name; an array of rows
                        under either; CSV and NDJSON with their content types
  GET /models           the models that are served; /models/NAME, /models/NAME/predict, /models/NAME/readyz
  GET /model            card, schema, metrics, importances
  GET /livez, /readyz   process up; model loaded and not draining
  GET /metrics          Prometheus text
  POST /invocations     MLflow's scoring protocol; GET /ping, /health, /version
  POST /v2/models/NAME/infer
                        the Open Inference Protocol (V2); GET /v2, /v2/health/live, /v2/health/ready,
                        /v2/models/NAME, /v2/models/NAME/ready
  GET /openapi.json     all of this as OpenAPI 3.1, with the models' columns and examples
  POST /feedback        {\"request_id\":\"…\",\"label\":…}: what an answer should have been
  POST /admin/reload    loads models and keys again, as SIGHUP does; only where keys are needed

With keys every path needs one, /metrics included, but those that say whether the server is up: /livez, /readyz,
/ping, /health, /version, /v2, /v2/health/live, /v2/health/ready.

Options beside the data: threshold, lenient. Errors are application/problem+json. Every flag also reads
MLAPI_<FLAG>; the flag wins. SIGTERM and SIGINT let admitted requests finish.

Example:
  mlapi serve --port 8080 &
  curl -d '{\"data\":[5.1,3.5,1.4,0.2]}' http://127.0.0.1:8080/predict";

/// How `serve` logs answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
    /// Not at all.
    Off,
}

/// Requests a second of `100/s`, `600/m` or `100`.
fn parse_rate(text: &str) -> Result<f64, String> {
    let (count, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.split('/').next().unwrap_or(text), 1.0),
        Some((count, "m")) => (count, 60.0),
        Some((count, "h")) => (count, 3600.0),
        Some(_) => (text, 1.0),
    };
    let rate = count.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    rate.map(|n| n / seconds).ok_or_else(|| "write it as 100/s, 600/m or 1000/h".into())
}

/// A number above 0 and up to 1.
fn parse_sample(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a share is above 0 and at most 1".into())
}

/// `mlapi inspect`
#[derive(Debug, ClapArgs)]
pub struct Inspect {
    /// Model file
    #[arg(short, long, value_name = "FILE", default_value = "model.mlapi")]
    pub model: String,
}

/// `mlapi healthcheck`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = HEALTHCHECK_NOTES)]
pub struct Healthcheck {
    /// What to ask [default: /readyz of --host and --port]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Port that the server listens on
    #[arg(
        short,
        long,
        value_name = "PORT",
        default_value_t = 8080,
        env = "MLAPI_PORT",
        hide_env_values = true
    )]
    pub port: u16,

    /// Address that the server listens on
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        env = "MLAPI_HOST",
        hide_env_values = true
    )]
    pub host: String,

    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

const HEALTHCHECK_NOTES: &str = "\
Exit status: 0 where the answer is 2xx, 1 where it is another or there is none. Port and address are read from the \
environment as serve reads them, so that a container asks its own server.

Example:
  mlapi healthcheck --port 8080";

/// What to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// As the target's values suggest.
    Auto,
    /// Labels.
    Classification,
    /// Numbers.
    Regression,
}

impl TaskChoice {
    /// The task, unless it is to be inferred.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Auto => None,
            Self::Classification => Some(Task::Classification),
            Self::Regression => Some(Task::Regression),
        }
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.trim().into(), value.trim().into()))
}

fn parse_type(text: &str) -> Result<(String, ColumnType), String> {
    // The last "=": a column's name may hold one.
    let (column, name) = text.rsplit_once('=').ok_or("a type is COL=TYPE")?;
    let types =
        [ColumnType::Number, ColumnType::Boolean, ColumnType::Category, ColumnType::Text, ColumnType::Date];
    let found = types.into_iter().find(|t| t.name() == name);
    let column_type =
        found.ok_or(format!("{name:?} is not a type; types are number, boolean, category, text, date"))?;
    Ok((column.into(), column_type))
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("a delimiter is one ASCII character, or \\t for a tab".into()),
        },
    }
}

fn parse_on_error(text: &str) -> Result<OnError, String> {
    match text {
        "stop" => Ok(OnError::Stop),
        "skip" => Ok(OnError::Skip),
        "null" => Ok(OnError::Null),
        _ => Err("it is stop, skip or null".into()),
    }
}

fn parse_quote(text: &str) -> Result<Quote, String> {
    match text.as_bytes() {
        b"none" => Ok(Quote(None)),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Quote(Some(*byte))),
        _ => Err("a quote is one ASCII character, or none".into()),
    }
}

fn parse_encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "auto" => Ok(Encoding(None)),
        name => named(name).map(|encoding| Encoding(Some(encoding))),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("the share is a number above 0 and below 1".into()),
    }
}

fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a probability is a number from 0 to 1".into()),
    }
}

fn parse_whole(text: &str, low: usize, high: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("it is a whole number from {low} to {high}")),
    }
}

fn parse_threads(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 1024)
}

fn parse_folds(text: &str) -> Result<usize, String> {
    parse_whole(text, 2, 1000)
}

fn parse_trials(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 100_000)
}

fn parse_count(text: &str) -> Result<usize, String> {
    parse_whole(text, 1, 1 << 40)
}

fn parse_header_bytes(text: &str) -> Result<usize, String> {
    // hyper's smallest buffer is 8 KiB.
    parse_whole(text, 8192, 1 << 30)
}
