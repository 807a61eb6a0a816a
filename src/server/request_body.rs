//! Reads request bodies within the limits on size, time and memory; called by the router.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::data::read::blocks::{MAX_RECORD_BYTES, RecordLimits, Room};
use crate::server::error::Failure;
use crate::server::limits::Limits;
use crate::server::wire::stream::Shared;
use crate::server::wire::streams::End;

/// The total bytes of request bodies held in memory, so that many that never end take a bounded amount.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<AtomicUsize>);

/// The bytes of one request body, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    held: &'a Held,
    bytes: usize,
}

impl Held {
    fn none(&self) -> Hold<'_> {
        Hold { held: self, bytes: 0 }
    }
}

impl Hold<'_> {
    fn add(&mut self, bytes: usize, limit: usize) -> Result<(), Failure> {
        self.bytes += bytes;
        if self.held.0.fetch_add(bytes, Relaxed) + bytes > limit {
            Err(Failure::BodiesOverloaded)
        } else {
            Ok(())
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.held.0.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// A request body that nobody wants is read if it has arrived, and no longer than this.
const UNWANTED_BYTES: usize = 64 * 1024;

/// The body of a request until a handler takes it.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    is_streamed: bool,
}

impl Upload {
    /// The body of a request that has just begun.
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body: Some(body), is_streamed: false }
    }

    /// The length, if it is declared.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.as_ref().and_then(|body| body.size_hint().exact())
    }

    /// The body, to be read with [`body`].
    ///
    /// # Errors
    /// It was taken already.
    pub(crate) fn take(&mut self) -> Result<Incoming, Failure> {
        self.body.take().ok_or(Failure::BrokenBody)
    }

    /// The body, to be passed on with [`pump`].
    ///
    /// # Errors
    /// It was taken already.
    pub(crate) fn take_as_stream(&mut self) -> Result<Incoming, Failure> {
        self.is_streamed = true;
        self.take()
    }

    /// Ends the request with this `head` once it is answered. Whether the next one can follow: its body was read, or nobody
    /// wanted it and it has arrived whole. Waits for nothing; a client that waits for a go-ahead gets none.
    pub(crate) async fn finish(self, head: &Parts, connection: &Shared) -> bool {
        let Some(mut body) = self.body else {
            // Whoever could not read a body to its end has failed, and said that the connection closes.
            return !(self.is_streamed && connection.is_unread());
        };
        let mut bytes = 0;
        while !body.is_end_stream() {
            if bytes > UNWANTED_BYTES || head.headers.contains_key(EXPECT) {
                return false;
            }
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
                Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(None) => break,
                _ => return false,
            }
        }
        connection.request_is_read();
        true
    }
}

/// A request body of up to this many bytes is read even if others fill the memory for bodies, so that requests for
/// a few rows always get through. The limit on connections bounds their total.
const ALWAYS_HELD_BYTES: usize = 16 * 1024;

/// Reads a request body within the limits on its size and time.
///
/// # Errors
/// The request body is too large, too slow or breaks off, or the memory for request bodies is full.
pub(crate) async fn body<'a>(
    mut body: Incoming,
    limits: &Limits,
    held: &'a Held,
    connection: &Shared,
    started: Instant,
) -> Result<(Bytes, Hold<'a>), Failure> {
    let mut hold = held.none();
    let declared = body.size_hint();
    if declared.lower() > limits.body_bytes as u64 {
        return Err(Failure::BodyTooLarge(limits.body_bytes));
    }
    // A small request body mostly arrives with its head: then there is no wait and no copy.
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    let first = match first {
        Poll::Ready(None) => return Ok((Bytes::new(), hold)),
        Poll::Ready(Some(frame)) => frame.map_err(|_| Failure::BrokenBody)?.into_data().unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if declared.exact() == Some(first.len() as u64) {
        return Ok((first, hold));
    }
    let mut whole = Vec::new();
    let mut next = Some(first);
    let deadline = started + limits.body_time;
    while let Some(piece) = next {
        if whole.len() + piece.len() > limits.body_bytes {
            return Err(Failure::BodyTooLarge(limits.body_bytes));
        }
        // Whatever length is declared, memory grows only with the bytes that have arrived (at most twice).
        whole.extend_from_slice(&piece);
        if whole.len() > ALWAYS_HELD_BYTES {
            hold.add(whole.len() - hold.bytes, limits.held_bytes)?;
        }
        connection.body_is_awaited(Instant::now());
        next = match timeout_at(deadline, body.frame()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => return Err(Failure::BrokenBody),
            Err(_) => return Err(Failure::SlowBody(limits.body_time.as_secs_f64())),
        };
        connection.body_has_come();
    }
    Ok((whole.into(), hold))
}

/// The kind of error by which a stream learns that the memory for request bodies is full.
pub(crate) const NO_ROOM: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// The memory for the long records of streams, which is that for request bodies.
#[derive(Debug)]
struct StreamRoom {
    held: Held,
    limit: usize,
}

/// A record is held twice: as it came, and as it is answered with its predictions.
const COPIES: usize = 2;

impl Room for StreamRoom {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes.saturating_mul(COPIES);
        if self.held.0.fetch_add(bytes, Relaxed).saturating_add(bytes) > self.limit {
            self.held.0.fetch_sub(bytes, Relaxed);
            return Err(io::Error::new(NO_ROOM, Failure::BodiesOverloaded));
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.held.0.fetch_sub(bytes.saturating_mul(COPIES), Relaxed);
    }
}

/// The limits of one record of a stream: it is no longer than a request body may be, and held as one.
pub(crate) fn record_limits(limits: &Limits, held: &Held) -> RecordLimits {
    let room = StreamRoom { held: held.clone(), limit: limits.held_bytes };
    RecordLimits { bytes: limits.body_bytes.min(MAX_RECORD_BYTES), room: Some(Arc::new(room)) }
}

/// A streamed request body has the body time limit for each piece of this size.
const STREAM_PIECE_BYTES: usize = 64 * 1024;

/// The kind of error by which a stream learns that it gives way to another.
pub(crate) const GIVES_WAY: io::ErrorKind = io::ErrorKind::ResourceBusy;

/// Passes a request body on as it arrives, until the stream has to `end`.
pub(crate) async fn pump(
    mut body: Incoming,
    limits: Limits,
    shared: Arc<Shared>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    mut end: End,
) {
    let mut deadline = Instant::now() + limits.body_time;
    let mut bytes = 0;
    // For this piece of the body: a byte now and then does not make a client that is slow a fast one.
    let mut waited = Duration::ZERO;
    loop {
        let since = Instant::now();
        shared.body_is_awaited(since.checked_sub(waited).unwrap_or(since));
        let piece = tokio::select! {
            biased;
            () = end.comes() => {
                let _ = pieces.send(Err(io::Error::new(GIVES_WAY, Failure::Overloaded))).await;
                return;
            }
            piece = timeout_at(deadline, body.frame()) => piece,
        };
        shared.body_has_come();
        waited += since.elapsed();
        let piece = match piece {
            Ok(None) => {
                shared.request_is_read();
                return;
            }
            Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, Failure::BrokenBody)),
            Err(_) => {
                let failure = Failure::SlowBody(limits.body_time.as_secs_f64());
                Err(io::Error::new(io::ErrorKind::TimedOut, failure))
            }
        };
        bytes += piece.as_ref().map_or(0, Bytes::len);
        let failed = piece.is_err();
        // The client's time does not run while the model is busy.
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
        if bytes >= STREAM_PIECE_BYTES {
            (bytes, waited) = (0, Duration::ZERO);
            deadline = Instant::now() + limits.body_time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_up_to_a_limit_and_given_back() {
        let held = Held::default();
        let mut one = held.none();
        one.add(60, 100).unwrap();
        let mut other = held.none();
        assert!(matches!(other.add(50, 100), Err(Failure::BodiesOverloaded)));
        drop(other);
        one.add(40, 100).unwrap();
        drop(one);
        held.none().add(100, 100).unwrap();
    }
}
