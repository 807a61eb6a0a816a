//! The flags of `mlapi serve`. Each is also read from the environment; the limits have the server's own defaults.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args as ClapArgs, ValueEnum, value_parser};

use super::values::{parse_count, parse_header_bytes, parse_rate, parse_sample};
use super::{DEFAULT_HOST, DEFAULT_MODEL, DEFAULT_PORT, ModelLimit};
use crate::server::Limits;

/// `mlapi serve`
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// Port to listen on; 0 takes a free port and prints it
    #[arg(short, long, value_name = "PORT", default_value_t = DEFAULT_PORT, env = "MLAPI_PORT")]
    pub port: u16,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_HOST, env = "MLAPI_HOST")]
    pub host: String,

    /// Model file, optionally with a name, or a folder of model files; repeatable, the first is the default
    #[arg(
        short,
        long,
        value_name = "[NAME=]FILE",
        default_value = DEFAULT_MODEL,
        value_delimiter = ',',
        env = "MLAPI_MODEL"
    )]
    pub model: Vec<String>,

    /// Limit of the model files.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Shadow model: scores the same rows as NAME (default: the first model), its answers are never sent,
    /// disagreements are counted
    #[arg(long, value_name = "[NAME=]FILE", value_delimiter = ',', env = "MLAPI_SHADOW")]
    pub shadow: Vec<String>,

    /// Reload models and keys when their files change; SECONDS is the polling interval (2 without a value)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          env = "MLAPI_WATCH", value_parser = value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,

    /// Listen on a Unix socket at PATH instead of an address
    #[arg(long, value_name = "PATH", env = "MLAPI_UNIX")]
    pub unix: Option<PathBuf>,

    /// Certificate chain (PEM) for HTTPS; needs a build with the feature tls
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "MLAPI_TLS_CERT")]
    pub tls_cert: Option<String>,

    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "MLAPI_TLS_KEY")]
    pub tls_key: Option<String>,

    /// File of API keys, one per line; requests then need `Authorization: Bearer KEY`
    #[arg(long, value_name = "FILE", env = "MLAPI_API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// Average request rate allowed per API key, or per address without a key, e.g. 100/s or 600/m; excess requests
    /// get 429
    #[arg(long, value_name = "N/s", env = "MLAPI_RATE_LIMIT", value_parser = parse_rate)]
    pub rate_limit: Option<f64>,

    /// Requests that --rate-limit allows at once [default: one second's worth, at least 1]
    #[arg(long, value_name = "N", requires = "rate_limit", env = "MLAPI_RATE_BURST",
          value_parser = parse_count)]
    pub rate_burst: Option<usize>,

    /// Answer requests for HOST; repeatable. Other domain names get 403, also by default on loopback without API keys
    #[arg(long, value_name = "HOST", value_delimiter = ',', env = "MLAPI_ALLOWED_HOST")]
    pub allowed_host: Vec<String>,

    /// Allow cross-origin requests from ORIGIN; repeatable. Pages of other origins get 403
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', env = "MLAPI_CORS_ORIGIN")]
    pub cors_origin: Vec<String>,

    /// Answer neither the page to try the models (GET /) nor the API document as a page (GET /docs)
    #[arg(long, env = "MLAPI_NO_PAGE", value_parser = FalseyValueParser::new())]
    pub no_page: bool,

    /// Log every response to standard error, never with values of features
    #[arg(long, value_name = "FORM", value_enum, default_value_t = AccessLog::Off, env = "MLAPI_ACCESS_LOG")]
    pub access_log: AccessLog,

    /// Append rows and their predictions to FILE as NDJSON, at most 100 rows per request
    #[arg(long, value_name = "FILE", env = "MLAPI_LOG_PREDICTIONS")]
    pub log_predictions: Option<PathBuf>,

    /// Share of requests that --log-predictions logs
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, env = "MLAPI_LOG_SAMPLE",
          value_parser = parse_sample)]
    pub log_sample: f64,

    /// Size at which the prediction log is rotated: FILE becomes FILE.1, up to FILE.5
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024, env = "MLAPI_LOG_BYTES",
          value_parser = parse_count)]
    pub log_bytes: usize,

    /// Number of recent requests whose predictions POST /feedback can compare with true labels
    #[arg(long, value_name = "N", default_value_t = 0, env = "MLAPI_FEEDBACK")]
    pub feedback: usize,

    /// Open connections; above it the server answers 503
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.connections,
          env = "MLAPI_MAX_CONNECTIONS",
          value_parser = parse_count)]
    pub max_connections: usize,

    /// Open connections of one address; above it the server answers 503 [default: a quarter of --max-connections]
    #[arg(long, value_name = "N", env = "MLAPI_MAX_CONNECTIONS_PER_ADDRESS", value_parser = parse_count)]
    pub max_connections_per_address: Option<usize>,

    /// Predictions in progress; above it the server answers 503
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.in_flight, env = "MLAPI_MAX_IN_FLIGHT",
          value_parser = parse_count)]
    pub max_in_flight: usize,

    /// Bytes of a request body; above it the server streams CSV and NDJSON and answers 413 to others
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.body_bytes,
          env = "MLAPI_MAX_BODY_BYTES",
          value_parser = parse_count)]
    pub max_body_bytes: usize,

    /// Total bytes held in memory for bodies, their rows, and answers not yet taken; above it the server answers 503
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.held_bytes,
          env = "MLAPI_MAX_HELD_BYTES",
          value_parser = parse_count)]
    pub max_held_bytes: usize,

    /// Bytes of the request headers; above it the server answers 431
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.header_bytes,
          env = "MLAPI_MAX_HEADER_BYTES",
          value_parser = parse_header_bytes)]
    pub max_header_bytes: usize,

    /// Rows of a request that is not streamed; above it the server answers 413
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.rows, env = "MLAPI_MAX_ROWS",
          value_parser = parse_count)]
    pub max_rows: usize,

    /// Rows times features of a JSON request, and rows times classes; above it the server answers 413
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.cells, env = "MLAPI_MAX_CELLS",
          value_parser = parse_count)]
    pub max_cells: usize,

    /// CSV and NDJSON bodies streamed at the same time; above it the server answers 503
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.streams, env = "MLAPI_MAX_STREAMS",
          value_parser = parse_count)]
    pub max_streams: usize,

    /// Time limit for the request headers, and for an idle connection
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::DEFAULT.header_time.as_secs(),
          env = "MLAPI_HEADER_SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub header_seconds: u64,

    /// Time limit for a request body, or for each 64 KiB of a streamed one; then the server answers 408
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::DEFAULT.body_time.as_secs(),
          env = "MLAPI_BODY_SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub body_seconds: u64,

    /// Time limit for a client that reads nothing of its response; then the server closes the connection
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::DEFAULT.write_stall.as_secs(),
          env = "MLAPI_WRITE_SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub write_seconds: u64,

    /// Time limit for requests in progress to finish after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::DEFAULT.drain_time.as_secs(),
          env = "MLAPI_DRAIN_SECONDS", value_parser = value_parser!(u64).range(0..=86_400))]
    pub drain_seconds: u64,
}

/// Form of the access log of `serve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// One JSON object per line.
    Json,
    /// One line of text.
    Text,
    /// No access log.
    Off,
}
