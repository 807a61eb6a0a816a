//! The request bodies that are predicted while they arrive: so many at a time, and the one whose client has kept the
//! server waiting longest gives way to a new one. Called by the router.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::stream::{LEAST_WAIT, Shared};

/// The streams of a server.
#[derive(Debug)]
pub(crate) struct Streams {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    streams: Vec<Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    connection: Arc<Shared>,
    end: watch::Sender<bool>,
}

/// The slot of one stream, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    streams: Arc<Streams>,
    number: u64,
}

/// A stream that was let in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) slot: Slot,
    /// Tells the stream to end, because it has to give way.
    pub(crate) end: End,
    /// Whether another stream gave way to this one.
    pub(crate) displaces: bool,
}

/// The receiving end of the order to give way.
#[derive(Debug, Clone)]
pub(crate) struct End(watch::Receiver<bool>);

impl End {
    /// Completes when the stream has to give way.
    pub(crate) async fn comes(&mut self) {
        if self.0.wait_for(|end| *end).await.is_err() {
            // The slot was given back: nobody will ask any more.
            std::future::pending().await
        }
    }
}

impl Streams {
    /// Up to `limit` streams at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Takes a slot for a stream on `connection`; `None` if all are taken and no client of one has kept the server
    /// waiting for [`LEAST_WAIT`]. A stream that gives way ends at its next turn, but its slot is free at once.
    pub(crate) fn enter(self: &Arc<Self>, connection: &Arc<Shared>, now: Instant) -> Option<Entered> {
        let mut open = self.open();
        let displaces = open.streams.len() >= self.limit;
        if displaces {
            let waiting = open.streams.iter().enumerate();
            let waiting = waiting.filter_map(|(i, entry)| Some((entry.connection.waits()?.1, i)));
            let (_, longest) = waiting.filter(|(since, _)| now.duration_since(*since) >= LEAST_WAIT).min()?;
            let _ = open.streams.swap_remove(longest).end.send(true);
        }
        let (end, told) = watch::channel(false);
        let number = open.next;
        open.next += 1;
        open.streams.push(Entry { number, connection: Arc::clone(connection), end });
        Some(Entered { slot: Slot { streams: Arc::clone(self), number }, end: End(told), displaces })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.streams.open().streams.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn connection(waits_since: Option<Instant>) -> Arc<Shared> {
        let connection = Arc::new(Shared::new(None));
        connection.request_begins();
        waits_since.into_iter().for_each(|since| connection.body_is_awaited(since));
        connection
    }

    #[tokio::test]
    async fn the_stream_whose_client_is_awaited_longest_gives_way_and_a_busy_one_does_not() {
        let streams = Arc::new(Streams::new(3));
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let mut busy = streams.enter(&connection(None), now).unwrap();
        let mut first = streams.enter(&connection(Some(now + Duration::from_secs(2))), now).unwrap();
        let mut second = streams.enter(&connection(Some(now + Duration::from_secs(5))), now).unwrap();
        assert!(!second.displaces);
        assert!(streams.enter(&connection(None), now + Duration::from_millis(2900)).is_none());
        let third = streams.enter(&connection(None), later).unwrap();
        assert!(third.displaces);
        first.end.comes().await;
        let fourth = streams.enter(&connection(None), later).unwrap();
        second.end.comes().await;
        assert!(streams.enter(&connection(None), later).is_none(), "the others are at work");
        drop((first, second));
        assert!(streams.enter(&connection(None), later).is_none(), "their slots are taken already");
        drop((third, fourth));
        let fifth = streams.enter(&connection(None), later).unwrap();
        assert!(!fifth.displaces);
        let told = tokio::time::timeout(Duration::from_millis(1), busy.end.comes()).await;
        assert!(told.is_err(), "nobody told the busy one");
    }
}
