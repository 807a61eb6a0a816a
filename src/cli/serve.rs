//! `mlapi serve`: load the model, listen, say where, answer until told to stop.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::args::{Common, Format, Serve};
use super::term::Term;
use crate::report::card;
use crate::server::{self, Limits, Sources, State};
use crate::usage::usage;

/// Runs the verb until SIGTERM or SIGINT.
pub fn run(args: &Serve, common: &Common, term: &Term) -> Result<()> {
    if common.format != Format::Text {
        return Err(usage("--format is for results; serve writes none"));
    }
    let sources = Sources::parse(&args.model).map_err(|error| usage(error.to_string()))?;
    let models = sources.load()?;
    let example = serde_json::json!({ "data": card::example(&models.default_model().model) }).to_string();
    let limits = Limits {
        connections: args.max_connections,
        in_flight: args.max_in_flight,
        body_bytes: args.max_body_bytes,
        header_bytes: args.max_header_bytes,
        rows: args.max_rows,
        header_time: Duration::from_secs(args.header_seconds),
        body_time: Duration::from_secs(args.body_seconds),
        write_stall: Duration::from_secs(args.write_seconds),
        drain_time: Duration::from_secs(args.drain_seconds),
    };
    let state = Arc::new(State::with_models(models, limits));
    let listener = TcpListener::bind((args.host.as_str(), args.port)).with_context(|| {
        format!("cannot listen on {}:{}; --port and --host choose another address", args.host, args.port)
    })?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let threads = match common.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    server::runtime(threads)?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        // Before anyone is told the address, so that a stop right after it is orderly.
        let shutdown = server::shutdown_signal()?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "mlapi is listening on http://{address}")?;
        out.flush()?;
        drop(out);
        if !address.ip().is_loopback() {
            term.warn(format_args!(
                "{} can be reached from other machines, and there are no keys",
                address.ip()
            ));
        }
        let quoted = example.replace('\'', "'\\''");
        term.line(format_args!("try: curl -d '{quoted}' http://{address}/predict"));
        server::run(listener, state, shutdown).await
    })
}
