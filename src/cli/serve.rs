//! `mlapi serve`: loads the models, listens, prints the address, answers until a signal ends it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::allocator;
use super::args::{AccessLog, Common, Serve};
use super::term::Term;
use crate::error::usage;
use crate::server;
use crate::server::guard::cors::Cors;
use crate::server::guard::hosts::Hosts;
use crate::server::guard::keys::Keys;
use crate::server::guard::rate::{Rate, RateLimit};
use crate::server::models::journal::Journal;
use crate::server::models::served::Models;
use crate::server::models::sources::Sources;
use crate::server::observe::feedback::Recent;
use crate::server::observe::log::{Access, Log};
use crate::server::observe::spool::Spool;
use crate::server::reload::Seen;
use crate::server::{Limits, Listener, Setup, State, Tls};

/// The environment variable that holds keys, so that no file is needed.
const KEYS_VARIABLE: &str = "MLAPI_API_KEYS";

/// Rotated prediction logs that are kept.
const KEPT_LOGS: usize = 5;

/// Runs the verb until SIGTERM or SIGINT.
pub(super) fn run(args: &Serve, common: &Common, term: &Term) -> Result<()> {
    allocator::give_memory_back();
    let threads = match common.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let sources = Sources::parse(&args.model).map_err(|error| usage(error.to_string()))?;
    let sources = sources.with_shadows(&args.shadow).with_max_bytes(args.limit.max_model_bytes);
    // Before they are loaded: a file that is replaced meanwhile has changed.
    let certificate = args.tls_cert.iter().chain(&args.tls_key).map(PathBuf::from);
    let seen = Seen::now(&sources, args.api_keys_file.iter().cloned().chain(certificate));
    let (models, misnamed) = sources.load()?;
    misnamed.iter().for_each(|error| term.warn(format_args!("not served: {error:#}")));
    let example = serde_json::json!({ "data": models.default_model().model.example() }).to_string();
    let mut limits = limits(args, threads);
    limits.connections = server::wire::files::make_room(args.max_connections);
    if limits.connections < args.max_connections {
        term.warn(format_args!(
            "the limit of open files allows {} connections, not {}; ulimit -n raises it",
            limits.connections, args.max_connections
        ));
    }
    limits.connections_per_address = per_address(args, limits.connections);
    let state = Arc::new(State::new(setup(args, sources, models, limits)?)?);
    let bound = bind(args)?;
    server::runtime(threads)?.block_on(async {
        let (listener, address) = bound.listen()?;
        // Before the address is printed, so that a stop right after it is orderly.
        let shutdown = server::shutdown_signal()?;
        let watch = args.watch.map(Duration::from_secs);
        tokio::spawn(server::reload::keep_current(Arc::clone(&state), watch, seen)?);
        announce(args, address, state.tls.is_on(), state.keys.are_required(), &example, term)?;
        server::serve(listener, Arc::clone(&state), shutdown).await
    })?;
    state.log.finish();
    state.journal.iter().for_each(Journal::finish);
    Ok(())
}

/// The settings that the flags ask for.
fn setup(args: &Serve, sources: Sources, models: Models, limits: Limits) -> Result<Setup> {
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
    // A page can only send requests as a program of this machine can if no key is needed.
    let is_local = args.unix.is_none() && !keys.are_required() && is_loopback(&args.host);
    Ok(Setup {
        sources,
        keys,
        rate,
        hosts: Hosts::new(&args.allowed_host, is_local).map_err(usage)?,
        tls: tls(args)?,
        cors: Cors::new(&args.cors_origin).map_err(usage)?,
        log: Log::new(access, Spool::to_stderr()?),
        journal,
        recent: Recent::new(args.feedback),
        page: !args.no_page,
        ..Setup::with_models(models, limits)
    })
}

/// Whether only programs of this machine reach a server that listens on this address.
fn is_loopback(host: &str) -> bool {
    (host, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
}

/// Prints the address on standard output, and a `curl` line that works.
fn announce(
    args: &Serve,
    address: Option<SocketAddr>,
    has_tls: bool,
    has_keys: bool,
    example: &str,
    term: &Term,
) -> Result<()> {
    let scheme = if has_tls { "https" } else { "http" };
    let body = example.replace('\'', "'\\''");
    let key = if has_keys { "-H \"Authorization: Bearer $KEY\" " } else { "" };
    let mut out = std::io::stdout().lock();
    match (&args.unix, address) {
        (Some(path), _) => {
            let path = path.display();
            writeln!(out, "mlapi is listening on {path}")?;
            out.flush()?;
            term.line(format_args!(
                "try: curl {key}--unix-socket {path} -d '{body}' http://localhost/predict"
            ));
        }
        (None, Some(address)) => {
            writeln!(out, "mlapi is listening on {scheme}://{address}")?;
            out.flush()?;
            if !address.ip().is_loopback() && !has_keys {
                term.warn(format_args!(
                    "{} can be reached from other machines, and no API key is required; --api-keys-file FILE requires one",
                    address.ip()
                ));
            }
            term.line(format_args!("try: curl {key}-d '{body}' {scheme}://{address}/predict"));
            if !args.no_page {
                term.line(format_args!("or in a browser: {scheme}://{address}/"));
            }
        }
        (None, None) => {}
    }
    Ok(())
}

fn per_address(args: &Serve, connections: usize) -> usize {
    args.max_connections_per_address.unwrap_or_else(|| Limits::per_address(connections))
}

fn limits(args: &Serve, threads: usize) -> Limits {
    Limits {
        connections: args.max_connections,
        connections_per_address: per_address(args, args.max_connections),
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

/// A listening socket, before there is a runtime.
enum Bound {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path) -> Result<Bound> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    // The socket of a server that was killed is replaced; one that answers, or a file, is not.
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
    fn listen(self) -> Result<(Listener, Option<SocketAddr>)> {
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
