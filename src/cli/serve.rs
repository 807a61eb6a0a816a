//! `mlapi serve`: load the models, listen, say where, answer until told to stop.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::args::{AccessLog, Common, Serve};
use super::term::Term;
use crate::report::card;
use crate::server;
use crate::server::guard::cors::Cors;
use crate::server::guard::keys::Keys;
use crate::server::guard::rate::{Rate, RateLimit};
use crate::server::models::sources::Sources;
use crate::server::observe::feedback::Recent;
use crate::server::observe::journal::Journal;
use crate::server::observe::log::{Access, Log};
use crate::server::observe::spool::Spool;
use crate::server::{Limits, Listener, Setup, State, Tls};
use crate::usage::usage;

/// Keys in the environment itself, so that no file is needed.
const KEYS_VARIABLE: &str = "MLAPI_API_KEYS";

/// Earlier files of predictions that are kept.
const KEPT_LOGS: usize = 5;

/// Runs the verb until SIGTERM or SIGINT.
pub fn run(args: &Serve, common: &Common, term: &Term) -> Result<()> {
    let threads = match common.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let sources = Sources::parse(&args.model).map_err(|error| usage(error.to_string()))?;
    let sources = sources.with_shadows(&args.shadow);
    let models = sources.load()?;
    let example = serde_json::json!({ "data": card::example(&models.default_model().model) }).to_string();
    let mut limits = limits(args, threads);
    limits.connections = server::wire::files::make_room(args.max_connections);
    if limits.connections < args.max_connections {
        term.warn(format_args!(
            "the limit of open files has room for {} connections, not {}; ulimit -n raises it",
            limits.connections, args.max_connections
        ));
    }
    let keys = std::env::var(KEYS_VARIABLE).ok();
    let keys = match (&args.api_keys_file, &keys) {
        (None, None) => Keys::default(),
        (file, keys) => Keys::load(file.as_deref(), keys.as_deref())?,
    };
    let rate = args.rate_limit.map(|per_second| {
        let burst = args.rate_burst.map_or(per_second.ceil(), |n| n as f64).max(1.0);
        RateLimit::new(Rate { per_second, burst })
    });
    let access = match args.access_log {
        AccessLog::Json => Access::Json,
        AccessLog::Text => Access::Text,
        AccessLog::Off => Access::Off,
    };
    let journal = match &args.log_predictions {
        None => None,
        Some(path) => {
            let spool = Spool::to_file(path, args.log_bytes as u64, KEPT_LOGS)?;
            Some(Journal::new(spool, args.log_sample))
        }
    };
    let state = State::new(Setup {
        sources,
        keys,
        rate,
        cors: Cors::new(&args.cors_origin).map_err(usage)?,
        log: Log::new(access, Spool::to_stderr()?),
        journal,
        recent: Recent::new(args.feedback),
        ..Setup::with_models(models, limits)
    })?;
    let has_keys = state.keys.are_required();
    let tls = tls(args)?;
    let state = Arc::new(state);
    let bound = bind(args)?;
    server::runtime(threads)?.block_on(async {
        let (listener, address) = bound.listen()?;
        // Before anyone is told the address, so that a stop right after it is orderly.
        let shutdown = server::shutdown_signal()?;
        tokio::spawn(server::models::reload::keep_current(Arc::clone(&state), args.watch.map(Duration::from_secs))?);
        let scheme = if tls.is_on() { "https" } else { "http" };
        let mut out = std::io::stdout().lock();
        let quoted = example.replace('\'', "'\\''");
        let key = if has_keys { "-H \"Authorization: Bearer $KEY\" " } else { "" };
        match (&args.unix, address) {
            (Some(path), _) => {
                writeln!(out, "mlapi is listening on {}", path.display())?;
                out.flush()?;
                let path = path.display();
                term.line(format_args!("try: curl {key}--unix-socket {path} -d '{quoted}' http://localhost/predict"));
            }
            (None, Some(address)) => {
                writeln!(out, "mlapi is listening on {scheme}://{address}")?;
                out.flush()?;
                if !address.ip().is_loopback() && !has_keys {
                    term.warn(format_args!(
                        "{} can be reached from other machines, and no key is needed; --api-keys-file FILE asks \
                         for one",
                        address.ip()
                    ));
                }
                term.line(format_args!("try: curl {key}-d '{quoted}' {scheme}://{address}/predict"));
            }
            (None, None) => {}
        }
        drop(out);
        server::serve(listener, tls, Arc::clone(&state), shutdown).await
    })?;
    state.log.finish();
    state.journal.iter().for_each(Journal::finish);
    Ok(())
}

fn limits(args: &Serve, threads: usize) -> Limits {
    Limits {
        connections: args.max_connections,
        in_flight: args.max_in_flight,
        body_bytes: args.max_body_bytes,
        held_bytes: args.max_held_bytes,
        header_bytes: args.max_header_bytes,
        rows: args.max_rows,
        cells: args.max_cells,
        streams: args.max_streams,
        batch_threads: threads,
        header_time: Duration::from_secs(args.header_seconds),
        body_time: Duration::from_secs(args.body_seconds),
        write_stall: Duration::from_secs(args.write_seconds),
        drain_time: Duration::from_secs(args.drain_seconds),
    }
}

#[cfg(feature = "tls")]
fn tls(args: &Serve) -> Result<Tls> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(_), Some(_)) if args.unix.is_some() => {
            Err(usage("--tls-cert is for an address, not for --unix"))
        }
        (Some(certificates), Some(key)) => Tls::from_files(certificates, key),
        _ => Ok(Tls::default()),
    }
}

#[cfg(not(feature = "tls"))]
fn tls(args: &Serve) -> Result<Tls> {
    match args.tls_cert {
        None => Ok(Tls::default()),
        Some(_) => Err(usage(
            "this mlapi was built without TLS; cargo install mlapi --features tls builds one with it",
        )),
    }
}

/// A socket that listens, before there is a runtime.
enum Bound {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path) -> Result<Bound> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    // What a server that was killed left behind is taken over; a socket that answers, or a file, is not.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path).with_context(|| format!("cannot remove the old {}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen on {}; --unix chooses another path", path.display()))?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener))
}

fn bind(args: &Serve) -> Result<Bound> {
    #[cfg(unix)]
    if let Some(path) = &args.unix {
        return bind_unix(path);
    }
    #[cfg(not(unix))]
    if args.unix.is_some() {
        return Err(usage("this system has no Unix sockets"));
    }
    let listener = TcpListener::bind((args.host.as_str(), args.port)).with_context(|| {
        format!("cannot listen on {}:{}; --port and --host choose another address", args.host, args.port)
    })?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Tcp(listener))
}

impl Bound {
    /// To be called on the runtime.
    fn listen(self) -> Result<(Listener, Option<std::net::SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                Ok((tokio::net::TcpListener::from_std(listener)?.into(), Some(address)))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok((tokio::net::UnixListener::from_std(listener)?.into(), None)),
        }
    }
}
