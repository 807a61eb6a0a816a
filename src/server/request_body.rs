//! Reads request bodies within the limits on size, time and memory; called by the router.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::server::error::Failure;
use crate::server::limits::Limits;
use crate::server::wire::stream::Shared;

/// The total bytes of request bodies held in memory, so that many that never end take a bounded amount.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicUsize);

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

/// A streamed request body has the body time limit for each piece of this size.
const STREAM_PIECE_BYTES: usize = 64 * 1024;

/// Passes a request body on as it arrives.
pub(crate) async fn pump(
    mut body: Incoming,
    limits: Limits,
    shared: Arc<Shared>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut deadline = Instant::now() + limits.body_time;
    let mut bytes = 0;
    loop {
        shared.body_is_awaited(Instant::now());
        let piece = timeout_at(deadline, body.frame()).await;
        shared.body_has_come();
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
            bytes = 0;
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
