//! Standard input of a client that asks for row after row: polled for a moment before the process sleeps, because waking up
//! takes longer than predicting a row.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long to poll before sleeping, if the last question was there in this time.
const POLL_TIME: Duration = Duration::from_micros(500);

/// The most bytes of a question that is polled for: those of a table of few rows.
const FEW_BYTES: usize = 8 * 1024;

pub(super) struct Awake {
    input: File,
    /// Whether the last bytes were few, and came soon.
    is_asked: bool,
}

impl Awake {
    /// # Errors
    /// Too many open files.
    pub(super) fn standard_input() -> io::Result<Self> {
        Ok(Self { input: io::stdin().as_fd().try_clone_to_owned()?.into(), is_asked: false })
    }
}

impl Read for Awake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        if self.is_asked {
            let mut input = [PollFd::new(&self.input, PollFlags::IN)];
            // An error is left to the read that follows.
            while matches!(poll(&mut input, Some(&Timespec::default())), Ok(0)) && start.elapsed() < POLL_TIME
            {
                thread::yield_now();
            }
        }
        let n_bytes = self.input.read(buffer)?;
        self.is_asked = n_bytes <= FEW_BYTES && start.elapsed() < POLL_TIME;
        Ok(n_bytes)
    }
}
