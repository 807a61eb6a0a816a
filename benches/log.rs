//! The cost of a line of the access log, compared with `tracing` writing the same fields.
//!
//! `cargo run --release -p mlapi-benches --bin log -- MODEL [BODY]`, on a machine that does nothing else; MODEL is a model file
//! and BODY a JSON body for it (a row of iris if it is absent). Printed are nanoseconds per line on the thread that
//! answers, and their share of a request: the same body answered by `POST /predict` in this process, without a socket
//! or HTTP around it, so that the share of a real request is smaller. Lines come one right after the other (*in a row*),
//! and one each 20 µs (*spread*), as from a server that answers 50,000 requests a second: then a thread that waits for
//! the next line has to be woken for it, which takes the thread that answers longer than the line.
//!
//! A figure is the median of batches; that of a batch is the mean of its calls without the slowest hundredth, among which
//! are those that another process interrupted.
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
const BATCHES: usize = 21;

/// From one line to the next, if they are spread.
const APART: Duration = Duration::from_micros(20);

const BODY: &str = r#"{"data":[5.1,3.5,1.4,0.2]}"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("usage: log MODEL [BODY]")?;
    let body = arguments.next().unwrap_or_else(|| BODY.into());
    let state = State::new(Setup::new(file::load(&path)?, Limits::DEFAULT)?)?;
    let answer = predict(&state, body.as_bytes());
    ensure!(answer.starts_with(b"{\"prediction"), "{}", String::from_utf8_lossy(&answer));
    let request = median(|| {
        timed(Duration::ZERO, |_| {
            black_box(predict(&state, black_box(body.as_bytes())));
        })
    });
    println!("{:<24}{request:>8.0} ns", "POST /predict");
    println!(
        "{:<24}{:>11}{:>19}{:>11}{:>19}",
        "", "in a row", "of that request", "spread", "of that request"
    );
    let line = |name: &str, batch: &mut dyn FnMut(Duration) -> f64| {
        print!("{name:<24}");
        for apart in [Duration::ZERO, APART] {
            let nanoseconds = median(|| batch(apart));
            print!("{nanoseconds:>8.0} ns{:>17.1} %", 100.0 * nanoseconds / request);
        }
        println!();
    };
    for (name, access) in [("mlapi, JSON", Access::Json), ("mlapi, text", Access::Text)] {
        let log = Log::new(access, Spool::to_file(Path::new("/dev/null"), u64::MAX, 1)?);
        line(name, &mut |apart| {
            let took = timed(apart, |i| log.answered(&entry(i)));
            log.finish();
            took
        });
        ensure!(log.dropped() == 0, "{} lines were dropped", log.dropped());
    }
    let (writer, _guard) = to_nowhere()?;
    let json = tracing_subscriber::fmt().json().with_target(false).with_writer(writer).finish();
    tracing::subscriber::with_default(json, || line("tracing, JSON", &mut traced));
    let (writer, _guard) = to_nowhere()?;
    let text = tracing_subscriber::fmt().with_target(false).with_ansi(false).with_writer(writer).finish();
    tracing::subscriber::with_default(text, || line("tracing, text", &mut traced));
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
fn traced(apart: Duration) -> f64 {
    let took = timed(apart, |i| {
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

/// Nanoseconds for a call: the mean of [`LINES`] calls without the slowest hundredth.
fn timed(apart: Duration, mut each: impl FnMut(u32)) -> f64 {
    let mut took: Vec<f64> = (0..LINES)
        .map(|i| {
            let started = Instant::now();
            each(i);
            let took = started.elapsed().as_nanos() as f64;
            while started.elapsed() < apart {
                std::hint::spin_loop();
            }
            took
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took.truncate(took.len() - took.len() / 100);
    took.iter().sum::<f64>() / took.len() as f64
}

/// The median of [`BATCHES`] batches, after one that is not counted.
fn median(mut batch: impl FnMut() -> f64) -> f64 {
    batch();
    let mut batches: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}
