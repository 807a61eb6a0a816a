//! Reads request bodies within the limits on size, time and memory; called by the router.
//!
//! Memory is counted where it is held, not where it is asked for: the count of a body goes where its bytes go, into the
//! queue of large requests too, and that of an answer is given back when the client has taken it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::data::read::blocks::{MAX_RECORD_BYTES, RecordLimits, Room};
use crate::server::error::Failure;
use crate::server::limits::Limits;
use crate::server::wire::stream::{LEAST_WAIT, Shared};
use crate::server::wire::streams::End;

/// The total bytes held in memory for requests: bodies, the rows that are read from them, and answers that their clients
/// have not taken yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Total>);

#[derive(Debug, Default)]
struct Total {
    bytes: AtomicUsize,
    /// The bodies that are arriving and are counted.
    arriving: Mutex<Vec<Arriving>>,
}

/// A body that is arriving.
#[derive(Debug)]
struct Arriving {
    connection: Arc<Shared>,
    /// The bytes that are held for it.
    bytes: usize,
    /// Tells it to give way.
    end: Arc<Notify>,
    /// Whether it was told: its bytes will be free at its next turn.
    is_told: bool,
}

/// The entry of a body that is arriving, which ends when this is dropped.
#[derive(Debug)]
struct Entry {
    held: Held,
    end: Arc<Notify>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.held.arriving().retain(|body| !Arc::ptr_eq(&body.end, &self.end));
    }
}

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

    fn arriving(&self) -> MutexGuard<'_, Vec<Arriving>> {
        self.0.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a body arrives on `connection`, for which so many `bytes` are held by now.
    fn arrives(&self, connection: &Arc<Shared>, bytes: usize, entry: &mut Option<Entry>) {
        let mut arriving = self.arriving();
        match entry {
            Some(entry) => {
                let known = arriving.iter_mut().find(|body| Arc::ptr_eq(&body.end, &entry.end));
                known.into_iter().for_each(|body| body.bytes = bytes);
            }
            None => {
                let end = Arc::<Notify>::default();
                let connection = Arc::clone(connection);
                arriving.push(Arriving { connection, bytes, end: Arc::clone(&end), is_told: false });
                *entry = Some(Entry { held: self.clone(), end });
            }
        }
    }

    /// Whether what is held is within `limit` once bodies have given way whose clients have kept the server waiting for
    /// [`LEAST_WAIT`], those that have longest first. They end at their next turn.
    fn make_room(&self, limit: usize, now: Instant) -> bool {
        let mut arriving = self.arriving();
        let leaving: usize = arriving.iter().filter(|body| body.is_told).map(|body| body.bytes).sum();
        let total = self.0.bytes.load(Relaxed).saturating_sub(leaving);
        let mut waiting: Vec<(Instant, usize)> = arriving
            .iter()
            .enumerate()
            .filter(|(_, body)| !body.is_told)
            .filter_map(|(i, body)| Some((body.connection.waits()?.1, i)))
            .filter(|(since, _)| now.duration_since(*since) >= LEAST_WAIT)
            .collect();
        waiting.sort_unstable();
        let mut excess = total.saturating_sub(limit);
        let mut told = Vec::new();
        for (_, i) in waiting {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(arriving[i].bytes);
            told.push(i);
        }
        if excess > 0 {
            return false;
        }
        for i in told {
            arriving[i].is_told = true;
            arriving[i].end.notify_one();
        }
        true
    }
}

impl Hold {
    /// Holds so many bytes, no more and no less, unless all together would exceed `limit` and no slow body gives way.
    ///
    /// # Errors
    /// They would, and none does.
    pub(crate) fn set(&mut self, bytes: usize, limit: usize) -> Result<(), Failure> {
        if bytes <= self.bytes {
            self.held.0.bytes.fetch_sub(self.bytes - bytes, Relaxed);
            self.bytes = bytes;
            return Ok(());
        }
        let more = bytes - self.bytes;
        self.bytes = bytes;
        if self.held.0.bytes.fetch_add(more, Relaxed) + more > limit
            && !self.held.make_room(limit, Instant::now())
        {
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
            self.held.0.bytes.fetch_sub(self.bytes, Relaxed);
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
    connection: &Arc<Shared>,
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
    // Boxed: a small body that has arrived needs none of this, and its future stays small.
    let most = declared.exact().map_or(limits.body_bytes, |exact| exact as usize);
    Box::pin(collect(first, body, most, limits, held, connection, started)).await
}

/// Reads a body of which `first` has arrived, piece by piece. If the memory for request bodies is needed, the one gives
/// way whose client has kept the server waiting longest.
async fn collect(
    first: Bytes,
    mut body: Incoming,
    most: usize,
    limits: &Limits,
    held: &Held,
    connection: &Arc<Shared>,
    started: Instant,
) -> Result<Bytes, Failure> {
    let (mut hold, mut entry) = (held.none(), None);
    let mut whole = Vec::new();
    let mut next = Some(first);
    let deadline = started + limits.body_time;
    // As for a stream: for this piece of the body, so that a byte now and then does not make a slow client a fast one.
    let (mut waited, mut arrived) = (Duration::ZERO, 0);
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
                held.arrives(connection, capacity, &mut entry);
            }
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&piece);
        arrived += piece.len();
        if arrived >= STREAM_PIECE_BYTES {
            (waited, arrived) = (Duration::ZERO, 0);
        }
        let since = Instant::now();
        connection.body_is_awaited(since.checked_sub(waited).unwrap_or(since));
        let gives_way = async {
            match &entry {
                Some(entry) => entry.end.notified().await,
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            () = gives_way => return Err(Failure::BodiesOverloaded),
            frame = timeout_at(deadline, body.frame()) => frame,
        };
        waited += since.elapsed();
        next = match frame {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => return Err(Failure::BrokenBody),
            Err(_) => return Err(Failure::SlowBody(limits.body_time.as_secs_f64())),
        };
        connection.body_has_come();
    }
    Ok(if hold.bytes > 0 { hold.around(whole) } else { whole.into() })
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
        if self.held.0.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes) > self.limit
            && !self.held.make_room(self.limit, Instant::now())
        {
            self.held.0.bytes.fetch_sub(bytes, Relaxed);
            return Err(io::Error::new(NO_ROOM, Failure::BodiesOverloaded));
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.held.0.bytes.fetch_sub(bytes.saturating_mul(COPIES), Relaxed);
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
        assert_eq!((&part[..], held.0.bytes.load(Relaxed)), (&b"ur"[..], 4));
        drop(part);
        assert_eq!(held.0.bytes.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn the_body_whose_client_is_awaited_longest_gives_way_if_that_is_enough() {
        let (held, now) = (Held::default(), Instant::now());
        let arriving = |waits_since: Option<Duration>| {
            let connection = Arc::new(Shared::new(None));
            connection.request_begins();
            waits_since.into_iter().for_each(|since| connection.body_is_awaited(now + since));
            let (mut hold, mut entry) = (held.none(), None);
            hold.set(30, 100).unwrap();
            held.arrives(&connection, 30, &mut entry);
            (hold, entry.unwrap())
        };
        let busy = arriving(None);
        let second = arriving(Some(Duration::from_secs(2)));
        let first = arriving(Some(Duration::from_secs(1)));
        let (mut more, mut again) = (held.none(), held.none());
        more.bytes = 40;
        held.0.bytes.fetch_add(40, Relaxed);
        let is_told = |entry: &Entry| {
            held.arriving().iter().any(|body| Arc::ptr_eq(&body.end, &entry.end) && body.is_told)
        };
        assert!(!held.make_room(100, now + Duration::from_millis(1900)), "it has just begun to wait");
        assert!(held.make_room(100, now + Duration::from_secs(9)));
        first.1.end.notified().await;
        assert!(is_told(&first.1) && !is_told(&second.1) && !is_told(&busy.1));
        assert!(
            held.make_room(100, now + Duration::from_secs(9)),
            "one that has been told is as good as gone"
        );
        assert!(!is_told(&second.1));
        again.bytes = 70;
        held.0.bytes.fetch_add(70, Relaxed);
        assert!(!held.make_room(100, now + Duration::from_secs(9)), "the other one would not be enough");
        assert!(!is_told(&second.1), "and is left alone");
        drop((first, again));
        assert_eq!((held.arriving().len(), held.0.bytes.load(Relaxed)), (2, 100));
    }
}
