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
    /// The whole body; `None` once it is sent.
    Whole(Option<Bytes>),
    /// The pieces of a channel; an error cuts the response off.
    Stream {
        /// The source of the pieces.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// Dropped when the response ends, which it reports to the connection.
        _ends: StreamEnds,
    },
}

/// Reports to the connection, when it is dropped, that the response is complete.
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

/// A reader of the pieces of a request body. Blocks.
pub(crate) struct PieceReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl PieceReader {
    /// Reads the pieces of a channel.
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

/// The largest piece of a streamed response.
pub(crate) const MAX_PIECE_BYTES: usize = 64 * 1024;

/// A writer of the pieces of a response. Blocks.
pub(crate) struct PieceWriter(pub(crate) mpsc::Sender<io::Result<Bytes>>);

impl io::Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let bytes = &bytes[..bytes.len().min(MAX_PIECE_BYTES)];
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Body as _;
    use std::io::{Read, Write};

    #[test]
    fn a_whole_body_knows_its_length_and_an_empty_one_has_ended() {
        assert_eq!(Body::from("four").size_hint().exact(), Some(4));
        assert!(Body::from("").is_end_stream() && !Body::from("four").is_end_stream());
    }

    #[test]
    fn pieces_are_read_in_order_and_an_error_is_passed_on() {
        let (send, receive) = mpsc::channel(3);
        let mut writer = PieceWriter(send.clone());
        writer.write_all(b"one ").unwrap();
        writer.write_all(b"two").unwrap();
        send.blocking_send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        let mut text = String::new();
        let error = PieceReader::new(receive).read_to_string(&mut text).unwrap_err();
        assert_eq!((text.as_str(), error.kind()), ("one two", io::ErrorKind::TimedOut));
        assert!(writer.write_all(b"three").is_err(), "nobody reads any more");
    }
}
