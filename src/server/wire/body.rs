//! Response bodies: whole, or streamed in pieces; and the pieces of streamed bodies as readers and writers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::stream::Shared;

/// A response of the server.
pub(crate) type Response = hyper::Response<Body>;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it; nothing once it is sent.
    Whole(Option<Bytes>),
    /// What comes out of a channel; an error breaks the answer off.
    Stream {
        /// Where the pieces come from.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// Dropped, and so told, when the response ends.
        _ends: StreamEnds,
    },
}

/// Says that the answer to a request is made, when it is dropped.
#[derive(Debug)]
pub(crate) struct StreamEnds(pub(crate) Arc<Shared>);

impl Drop for StreamEnds {
    fn drop(&mut self) {
        self.0.request_ends(Instant::now());
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream { pieces, .. } => pieces.poll_recv(cx).map(|piece| Some(piece?.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

/// The pieces of a body as something to read from, on a thread that may wait.
pub(crate) struct PieceReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl PieceReader {
    /// Reads what comes out of a channel.
    pub(crate) fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl io::Read for PieceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let n = out.len().min(self.current.len());
        out[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

/// The pieces of an answer, on a thread that may wait.
pub(crate) struct PieceWriter(pub(crate) mpsc::Sender<io::Result<Bytes>>);

impl io::Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
