//! A client's socket as hyper sees it, with what hyper leaves to the socket.
//!
//! - A write that makes no progress for too long fails: a client that never reads cannot hold a connection.
//! - A connection whose head does not arrive in time, or that is idle for as long, is closed. hyper can do this as
//!   well, but makes and drops a timer for every request; here a connection has one, which is only checked when
//!   it fires.
//! - A close with unread bytes would make the kernel reset the connection and destroy the response (RFC 9112,
//!   section 9.6); so bytes that still arrive are read and dropped for a moment first.
//! - A head with both Content-Length and Transfer-Encoding is reported, also behind other requests in one piece. hyper
//!   drops the former before a handler sees it, and section 6.1 of the same RFC allows a server to reject the request.
//!
//! A timer exists only while something is pending.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::socket::Socket;

/// The time that a closing connection waits for the client to stop sending.
const LINGER: Duration = Duration::from_secs(1);

/// A response of up to this many bytes, head and body, is copied together: the copy costs less than `writev` with
/// two pieces costs more than `send` with one.
const JOINED_BYTES: usize = 1024;

/// A longer response is written in pieces: the kernel copies a write while nothing else runs on that core. The
/// response to a thousand rows is shorter.
const LONG_BYTES: usize = 256 * 1024;

/// The bytes of such a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces in a row before the other connections of this thread get their turn.
const PIECES_AT_A_TURN: u32 = 2;

/// A client that has kept the server waiting for less than this gives way to no other.
pub(crate) const LEAST_WAIT: Duration = Duration::from_secs(1);

/// The part of a request or response that a client keeps the connection waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WaitsFor {
    /// A request, or the rest of its head.
    Head,
    /// The client to send more of a body, or to take more of an answer.
    Progress,
}

/// State that the socket and its requests share. Both live in one task; atomics because the task may move between
/// threads.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The client's address; `None` on a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    connected: Instant,
    /// Nanoseconds from `connected` to the end of the last response; [`Shared::BUSY`] while one is made.
    idle_since: AtomicU64,
    /// The same for the wait for more of a request body, and for the client to take more of a response.
    body_since: AtomicU64,
    write_since: AtomicU64,
    /// Bytes have arrived that belong to no request that was read to its end.
    unread: AtomicBool,
    /// A head among those that arrived last has Content-Length and Transfer-Encoding.
    ambiguous: AtomicBool,
}

impl Shared {
    const BUSY: u64 = u64::MAX;

    /// A new connection from `peer`.
    pub(crate) fn new(peer: Option<IpAddr>) -> Self {
        Self {
            peer,
            connected: Instant::now(),
            idle_since: AtomicU64::new(0),
            body_since: AtomicU64::new(Self::BUSY),
            write_since: AtomicU64::new(Self::BUSY),
            unread: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
        }
    }

    /// To be called when a head has arrived.
    pub(crate) fn request_begins(&self) {
        self.idle_since.store(Self::BUSY, Relaxed);
        self.body_since.store(Self::BUSY, Relaxed);
    }

    /// To be called when the response to a request is complete.
    pub(crate) fn request_ends(&self, now: Instant) {
        self.idle_since.store(self.nanoseconds(now), Relaxed);
    }

    /// The start of the wait for the next head; `None` while a request is answered.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.instant(&self.idle_since)
    }

    /// To be called when the wait for more of a request body begins.
    pub(crate) fn body_is_awaited(&self, now: Instant) {
        self.body_since.store(self.nanoseconds(now), Relaxed);
    }

    /// To be called when more of a request body has arrived.
    pub(crate) fn body_has_come(&self) {
        self.body_since.store(Self::BUSY, Relaxed);
    }

    /// The part that the client keeps the connection waiting for, and since when; `None` while it is the server's
    /// turn.
    pub(crate) fn waits(&self) -> Option<(WaitsFor, Instant)> {
        let progress = || self.instant(&self.body_since).or_else(|| self.instant(&self.write_since));
        let head = self.idle_since().filter(|_| self.write_since.load(Relaxed) == Self::BUSY);
        let head = head.map(|since| (WaitsFor::Head, since));
        head.or_else(|| progress().map(|since| (WaitsFor::Progress, since)))
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.connected).as_nanos() as u64
    }

    fn instant(&self, since: &AtomicU64) -> Option<Instant> {
        let since = since.load(Relaxed);
        (since != Self::BUSY).then(|| self.connected + Duration::from_nanos(since))
    }

    /// To be called when the body of a request has been read to its end.
    pub(crate) fn request_is_read(&self) {
        self.unread.store(false, Relaxed);
    }

    /// To be called when a head has arrived whose body is still to be read.
    pub(crate) fn request_is_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Whether bytes have arrived that belong to no request that was read to its end.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Whether a head that arrived lately gives the length of its body twice: that of the current request, if it has
    /// Transfer-Encoding, or of one close to it.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Relaxed)
    }
}

/// Watches the header lines of heads as they arrive, and passes over bodies of known length between them.
#[derive(Debug, Default)]
struct HeadWatch {
    /// The start of a line whose end has not arrived; long enough for a name and a length.
    line: Vec<u8>,
    started: bool,
    content_length: Option<u64>,
    transfer_encoding: bool,
    /// Bytes of a body that are still to come before the next head.
    skip: u64,
    /// A body of chunks follows, whose end is not looked for beyond the bytes that came with its head.
    chunks: bool,
    /// A head had both headers.
    ambiguous: bool,
}

impl HeadWatch {
    const LONGEST_LINE: usize = "transfer-encoding:".len() + 32;

    /// To be called before the first bytes of a request: what was found in those before it is forgotten, but not a
    /// head of which a part came with them.
    fn forget(&mut self) {
        if std::mem::take(&mut self.chunks) {
            // What was looked at last were chunks.
            *self = Self::default();
        }
        (self.skip, self.ambiguous) = (0, false);
    }

    fn look(&mut self, mut bytes: &[u8]) {
        if self.chunks {
            return;
        }
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let end = memchr::memchr(b'\n', bytes);
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            bytes = &bytes[(piece.len() + 1).min(bytes.len())..];
            if end.is_some() && self.line.is_empty() {
                self.look_at_line(piece);
                continue;
            }
            let room = Self::LONGEST_LINE - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                self.look_at_line(&line);
            }
        }
    }

    fn look_at_line(&mut self, line: &[u8]) {
        match line.first() {
            None | Some(b'\r') if self.started => self.head_ends(),
            Some(b'c' | b'C') if is_named(line, b"content-length:") => {
                let value = std::str::from_utf8(&line["content-length:".len()..]).unwrap_or_default();
                self.content_length = Some(value.trim().parse().unwrap_or_default());
            }
            Some(b't' | b'T') => self.transfer_encoding |= is_named(line, b"transfer-encoding:"),
            _ => {}
        }
        self.started |= !matches!(line, b"" | b"\r");
    }

    fn head_ends(&mut self) {
        let length = self.content_length.take();
        let chunks = std::mem::take(&mut self.transfer_encoding);
        self.ambiguous |= chunks && length.is_some();
        self.chunks |= chunks;
        self.skip = if chunks { 0 } else { length.unwrap_or(0) };
        self.started = false;
    }
}

/// Whether a line begins with `name`, ignoring case. Some bytes that a name cannot have are confused with others;
/// hyper rejects such a head.
fn is_named<const N: usize>(line: &[u8], name: &[u8; N]) -> bool {
    line.first_chunk::<N>().is_some_and(|start| start.map(|byte| byte | 0x20) == *name)
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    shared: Arc<Shared>,
    head: HeadWatch,
    head_limit: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    stall_limit: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
    /// Pieces of a long response that were written in this turn.
    pieces: u32,
}

impl Stream {
    /// Wraps a socket; a head has to arrive within `head_limit`, and a write may not be pending longer than
    /// `stall_limit`.
    pub(crate) fn new(
        socket: Socket,
        shared: Arc<Shared>,
        head_limit: Duration,
        stall_limit: Duration,
    ) -> Self {
        let head = HeadWatch::default();
        Self {
            socket,
            shared,
            head,
            head_limit,
            idle: None,
            stall_limit,
            stall: None,
            linger: None,
            pieces: 0,
        }
    }

    /// Waits for more of a head, within its limit.
    fn idle(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        let Some(since) = self.shared.idle_since() else {
            return Poll::Pending;
        };
        let deadline = since + self.head_limit;
        // Once polled, the timer wakes the task of this connection, and no other task polls it: so it need not be
        // polled again for every request.
        if self.idle.as_ref().is_some_and(|idle| !idle.is_elapsed()) {
            return Poll::Pending;
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // Outside of the task's budget, or the timer might not be registered.
        while Pin::new(&mut unconstrained(idle.as_mut())).poll(cx).is_ready() {
            // The timer was set for a head that has arrived since.
            if idle.deadline() < deadline {
                idle.as_mut().reset(deadline);
            } else {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")));
            }
        }
        Poll::Pending
    }

    /// Writes a piece of a long response, or yields to other connections first.
    fn write_a_piece(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.pieces == PIECES_AT_A_TURN {
            self.pieces = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.pieces = if result.is_ready() { self.pieces + 1 } else { 0 };
        self.watched(cx, result)
    }

    /// Passes the result of a write on, or fails it if it has been pending for too long.
    fn watched<T>(&mut self, cx: &mut Context, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.stall.take().is_some() {
                self.shared.write_since.store(Shared::BUSY, Relaxed);
            }
            return result;
        }
        let (limit, shared) = (self.stall_limit, &self.shared);
        let stall = self.stall.get_or_insert_with(|| {
            shared.write_since.store(shared.nanoseconds(Instant::now()), Relaxed);
            Box::pin(sleep(limit))
        });
        match stall.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if result.is_pending() {
            return self.idle(cx);
        }
        let arrived = &buffer.filled()[before..];
        if !arrived.is_empty() {
            let this = &mut *self;
            if !this.shared.unread.load(Relaxed) {
                this.shared.unread.store(true, Relaxed);
                this.head.forget();
                this.shared.ambiguous.store(false, Relaxed);
            }
            this.head.look(arrived);
            if this.head.ambiguous {
                this.shared.ambiguous.store(true, Relaxed);
            }
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.len() > LONG_BYTES {
            return self.write_a_piece(cx, &bytes[..PIECE_BYTES]);
        }
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watched(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        pieces: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        let mut joined = [0; JOINED_BYTES];
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let result = if length <= JOINED_BYTES {
            let mut rest = joined.as_mut_slice();
            for piece in pieces {
                let (head, tail) = rest.split_at_mut(piece.len());
                head.copy_from_slice(piece);
                rest = tail;
            }
            Pin::new(&mut self.socket).poll_write(cx, &joined[..length])
        } else if length > LONG_BYTES {
            let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            return self.write_a_piece(cx, &first[..first.len().min(PIECE_BYTES)]);
        } else {
            Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
        };
        self.watched(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            std::task::ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            if !this.shared.unread.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(pieces: &[&[u8]]) -> bool {
        let mut head = HeadWatch::default();
        pieces.iter().for_each(|piece| head.look(piece));
        head.ambiguous
    }

    #[test]
    fn two_lengths_are_noticed_in_the_head_and_only_there() {
        let both = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nX: y\r\ntransfer-ENCODING: chunked\r\n\r\n";
        assert!(ambiguous(&[both]));
        for at in 1..both.len() {
            assert!(ambiguous(&[&both[..at], &both[at..]]), "in two pieces at {at}");
        }
        let one = b"\r\nPOST / HTTP/1.1\r\nContent-Length: 30\r\nX-Transfer-Encoding: x\r\n\r\nTransfer-Encoding: x\r\n";
        assert!(!ambiguous(&[one]));
    }

    #[test]
    fn two_lengths_are_noticed_behind_other_requests_but_not_in_their_bodies() {
        let both = &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"[..];
        let get = &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..];
        let body = &b"a: 1\r\n\r\ntransfer-encoding: x\r\ncontent-length: 1\r\n\r\n"[..];
        let post =
            [b"POST / HTTP/1.1\r\ncontent-length:", body.len().to_string().as_bytes(), b"\r\n\r\n", body]
                .concat();
        assert!(!ambiguous(&[get, &post, get]));
        assert!(ambiguous(&[&[get, both].concat()]) && ambiguous(&[&[&post, both].concat()]));
        for at in 1..post.len() {
            assert!(ambiguous(&[&post[..at], &[&post[at..], both].concat()]), "at {at}");
        }
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(!ambiguous(&[chunked, body]), "the chunks that come later are no heads");
        let mut watch = HeadWatch::default();
        watch.look(&[get, &both[..30]].concat());
        watch.forget();
        watch.look(&both[30..]);
        assert!(watch.ambiguous, "a head that came in part with the request before it");
        watch.forget();
        watch.look(get);
        assert!(!watch.ambiguous, "the next request");
    }

    async fn pair(head_limit: Duration, stall_limit: Duration) -> (Stream, tokio::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let shared = Arc::new(Shared::new(None));
        (Stream::new(Socket::Tcp(accepted.unwrap().0), shared, head_limit, stall_limit), client.unwrap())
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_client_that_sends_no_head_or_takes_no_response_is_cut_off() {
        let (mut stream, _client) = pair(SHORT, LONG).await;
        let silent = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 8]).await;
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut stream, _client) = pair(LONG, SHORT).await;
        let deaf = tokio::io::AsyncWriteExt::write_all(&mut stream, &vec![0; 64 << 20]).await;
        assert_eq!(deaf.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_long_response_arrives_whole_though_it_is_written_in_pieces() {
        let (mut stream, mut client) = pair(LONG, LONG).await;
        let sent: Vec<u8> = (0..4 * LONG_BYTES).map(|i| i as u8).collect();
        let expected = sent.clone();
        let write = async move {
            tokio::io::AsyncWriteExt::write_all(&mut stream, &sent).await.unwrap();
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        };
        let mut arrived = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut arrived);
        tokio::join!(write, read).1.unwrap();
        assert!(arrived == expected);
    }

    #[test]
    fn a_connection_waits_for_its_client_only_outside_of_the_servers_turn() {
        let shared = Shared::new(None);
        let now = Instant::now();
        assert!(matches!(shared.waits(), Some((WaitsFor::Head, _))), "a new connection");
        shared.request_begins();
        assert_eq!(shared.waits(), None);
        shared.body_is_awaited(now);
        assert!(matches!(shared.waits(), Some((WaitsFor::Progress, _))));
        shared.body_has_come();
        assert_eq!(shared.waits(), None);
        shared.request_ends(now);
        assert!(matches!(shared.waits(), Some((WaitsFor::Head, _))));
    }
}
