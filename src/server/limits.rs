//! The limits of a server, each with its default: written once, for the command line and for the library.

use std::time::Duration;

/// Limits on connections, requests, memory and time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_address: usize,
    /// Predictions that are read or made at the same time.
    pub in_flight: usize,
    /// Bytes of one request body.
    pub body_bytes: usize,
    /// Bytes of one request head.
    pub header_bytes: usize,
    /// Total bytes held in memory: bodies, the rows read from them, and answers that clients have not taken.
    pub held_bytes: usize,
    /// Rows of a request that is read before it is answered.
    pub rows: usize,
    /// Rows times features of such a request, and rows times classes.
    pub cells: usize,
    /// Request bodies that are answered while they arrive.
    pub streams: usize,
    /// Threads for large requests; 0 for one per core.
    pub batch_threads: usize,
    /// Time for a whole head to arrive, and for a connection to be idle.
    pub header_time: Duration,
    /// Time for a whole body to arrive.
    pub body_time: Duration,
    /// Time for a write to make progress.
    pub write_stall: Duration,
    /// Time at shutdown for the requests under way to be answered.
    pub drain_time: Duration,
}

impl Limits {
    /// The defaults of `mlapi serve`.
    pub const DEFAULT: Self = Self {
        connections: 1024,
        connections_per_address: Self::per_address(1024),
        in_flight: 256,
        body_bytes: 32 * 1024 * 1024,
        header_bytes: 16 * 1024,
        held_bytes: 256 * 1024 * 1024,
        rows: 100_000,
        cells: 8_000_000,
        streams: 16,
        batch_threads: 0,
        header_time: Duration::from_secs(30),
        body_time: Duration::from_secs(30),
        write_stall: Duration::from_secs(30),
        drain_time: Duration::from_secs(10),
    };
}

impl Limits {
    /// The connections of one address if nothing is said: a quarter of all, so that no client takes all.
    pub(crate) const fn per_address(connections: usize) -> usize {
        if connections < 4 { 1 } else { connections / 4 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
