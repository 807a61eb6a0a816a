//! The cost of a line of the access log, compared with `tracing` writing the same fields.
//!
//! `cargo run --release --example log -- MODEL [BODY]`, on a machine that does nothing else; MODEL is a model file
//! and BODY a JSON body for it (a row of iris if it is absent). Printed are nanoseconds per line on the thread that
//! answers, and their share of a request: the same body answered by `POST /predict` in this process, without a socket
//! or HTTP around it, so that the share of a real request is smaller.
//!
//! Both queue their lines for a thread that writes them to /dev/null. A batch is no longer than either queue, and
//! is written before the next one is timed, so that no line is dropped.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use mlapi::model::file;
use mlapi::server::observe::log::{Access, Entry, Log};
use mlapi::server::observe::spool::Spool;
use mlapi::server::{Limits, Setup, State, predict};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

/// Lines that are timed together: half of what the queue of `mlapi serve` holds.
const LINES: u32 = 4096;

/// Timed batches of each writer; the median is printed.
const BATCHES: usize = 51;

const BODY: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("usage: log MODEL [BODY]")?;
    let body = arguments.next().unwrap_or_else(|| BODY.into());
    let state = State::new(Setup::new(file::load(&path)?, Limits::DEFAULT)?)?;
    let answer = predict(&state, body.as_bytes());
    ensure!(answer.starts_with(b"{\"prediction"), "{}", String::from_utf8_lossy(&answer));
    let request = median(|| {
        timed(|_| {
            black_box(predict(&state, black_box(body.as_bytes())));
        })
    });
    println!("{:<24}{request:>8.0} ns", "POST /predict");
    let line = |name: &str, nanoseconds: f64| {
        let share = 100.0 * nanoseconds / request;
        println!("{name:<24}{nanoseconds:>8.0} ns a line {share:>7.1} % of that request");
    };
    for (name, access) in [("mlapi, JSON", Access::Json), ("mlapi, text", Access::Text)] {
        let log = Log::new(access, Spool::to_file(Path::new("/dev/null"), u64::MAX, 1)?);
        let nanoseconds = median(|| {
            let took = timed(|i| log.answered(&entry(i)));
            log.finish();
            took
        });
        ensure!(log.dropped() == 0, "{} lines were dropped", log.dropped());
        line(name, nanoseconds);
    }
    let (writer, _guard) = to_nowhere()?;
    let json = tracing_subscriber::fmt().json().with_target(false).with_writer(writer).finish();
    line("tracing, JSON", tracing::subscriber::with_default(json, || median(traced)));
    let (writer, _guard) = to_nowhere()?;
    let text = tracing_subscriber::fmt().with_target(false).with_ansi(false).with_writer(writer).finish();
    line("tracing, text", tracing::subscriber::with_default(text, || median(traced)));
    Ok(())
}

fn to_nowhere() -> Result<(NonBlocking, WorkerGuard)> {
    let file = std::fs::OpenOptions::new().append(true).open("/dev/null")?;
    Ok(tracing_appender::non_blocking(file))
}

/// What the router says of a request.
fn entry(i: u32) -> Entry<'static> {
    Entry {
        method: "POST",
        path: "/predict",
        status: StatusCode::OK,
        took: Duration::from_nanos(u64::from(7000 + i)),
        request_id: "9f86d081884c7d65",
        traceparent: None,
        key: Some("shop"),
        client: Some([127, 0, 0, 1].into()),
        model: Some("model"),
    }
}

/// A batch with the fields of [`entry`], then time for it to be written.
fn traced() -> f64 {
    let took = timed(|i| {
        let Entry { method, path, status, took, request_id, traceparent, key, client, model } = entry(i);
        tracing::info!(
            method,
            path,
            status = status.as_u16(),
            milliseconds = took.as_secs_f64() * 1e3,
            request_id,
            traceparent,
            key,
            client = client.map(tracing::field::display),
            model,
        );
    });
    std::thread::sleep(Duration::from_millis(20));
    took
}

/// Nanoseconds for each of [`LINES`] calls.
fn timed(mut each: impl FnMut(u32)) -> f64 {
    let started = Instant::now();
    (0..LINES).for_each(&mut each);
    started.elapsed().as_nanos() as f64 / f64::from(LINES)
}

/// The median of [`BATCHES`] batches, after one that is not counted.
fn median(mut batch: impl FnMut() -> f64) -> f64 {
    batch();
    let mut batches: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}
