//! Reads request bodies within the limits on size, time and memory; called by the router.
//!
//! Memory is counted where it is held, not where it is asked for: the count of a body goes where its bytes go, into the
//! queue of large requests too, and that of an answer is given back when the client has taken it.

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

/// The total bytes held in memory for requests: bodies, the rows that are read from them, and answers that their clients
/// have not taken yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<AtomicUsize>);

/// The bytes that are held for one request or answer, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Held,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn none(&self) -> Hold {
        Hold { held: self.clone(), bytes: 0 }
    }
}

impl Hold {
    /// Holds so many bytes, no more and no less, unless all together would exceed `limit`.
    ///
    /// # Errors
    /// They would.
    pub(crate) fn set(&mut self, bytes: usize, limit: usize) -> Result<(), Failure> {
        if bytes <= self.bytes {
            self.held.0.fetch_sub(self.bytes - bytes, Relaxed);
            self.bytes = bytes;
            return Ok(());
        }
        let more = bytes - self.bytes;
        self.bytes = bytes;
        if self.held.0.fetch_add(more, Relaxed) + more > limit {
            Err(Failure::BodiesOverloaded)
        } else {
            Ok(())
        }
    }

    /// Bytes that are held as long as they exist.
    pub(crate) fn around(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(HeldBytes { bytes, _hold: self })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.held.0.fetch_sub(self.bytes, Relaxed);
        }
    }
}

struct HeldBytes<T> {
    bytes: T,
    _hold: Hold,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for HeldBytes<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// A request or answer that takes up to this many bytes is not counted, so that requests for a few rows always get
/// through. The limit on connections bounds their total.
pub(crate) const ALWAYS_HELD_BYTES: usize = 16 * 1024;

/// Reads a request body within the limits on its size and time.
///
/// # Errors
/// The request body is too large, too slow or breaks off, or the memory for request bodies is full.
pub(crate) async fn body(
    mut body: Incoming,
    limits: &Limits,
    held: &Held,
    connection: &Shared,
    started: Instant,
) -> Result<Bytes, Failure> {
    let declared = body.size_hint();
    if declared.lower() > limits.body_bytes as u64 {
        return Err(Failure::BodyTooLarge(limits.body_bytes));
    }
    // A small request body mostly arrives with its head: then there is no wait and no copy.
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    let first = match first {
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Ready(Some(frame)) => frame.map_err(|_| Failure::BrokenBody)?.into_data().unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if declared.exact() == Some(first.len() as u64) {
        return Ok(first);
    }
    let mut hold = held.none();
    let most = declared.exact().map_or(limits.body_bytes, |exact| exact as usize);
    let mut whole = Vec::new();
    let mut next = Some(first);
    let deadline = started + limits.body_time;
    while let Some(piece) = next {
        if whole.len() + piece.len() > limits.body_bytes {
            return Err(Failure::BodyTooLarge(limits.body_bytes));
        }
        // Whatever length is declared, memory grows only with the bytes that have arrived (at most twice), and not beyond
        // that length.
        let length = whole.len() + piece.len();
        if length > whole.capacity() {
            let capacity = length.max(most.min(2 * whole.capacity()));
            if capacity > ALWAYS_HELD_BYTES {
                hold.set(capacity, limits.held_bytes)?;
            }
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&piece);
        connection.body_is_awaited(Instant::now());
        next = match timeout_at(deadline, body.frame()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => return Err(Failure::BrokenBody),
            Err(_) => return Err(Failure::SlowBody(limits.body_time.as_secs_f64())),
        };
        connection.body_has_come();
    }
    Ok(if hold.bytes > 0 { hold.around(whole) } else { whole.into() })
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
        one.set(60, 100).unwrap();
        let mut other = held.none();
        assert!(matches!(other.set(50, 100), Err(Failure::BodiesOverloaded)));
        drop(other);
        one.set(100, 100).unwrap();
        one.set(30, 100).unwrap();
        held.none().set(70, 100).unwrap();
        drop(one);
        held.none().set(100, 100).unwrap();
    }

    #[test]
    fn bytes_are_held_until_the_last_part_of_them_is_gone() {
        let held = Held::default();
        let mut hold = held.none();
        hold.set(4, 100).unwrap();
        let mut bytes = hold.around(b"four".to_vec());
        let part = bytes.split_off(2);
        drop(bytes);
        assert_eq!((&part[..], held.0.load(Relaxed)), (&b"ur"[..], 4));
        drop(part);
        assert_eq!(held.0.load(Relaxed), 0);
    }
}
