//! A queue of lines for a file or standard error, which never makes a request wait: a thread of its own writes
//! them, and lines beyond the queue are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The length of the queue.
const MAX_QUEUED_LINES: usize = 8192;

/// A longer line is dropped, so that the queue is bounded in bytes as well.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The time for queued lines to be written when the server stops.
const FINISH_TIME: Duration = Duration::from_secs(2);

/// An item of the queue.
enum Item {
    Line(Vec<u8>),
    /// Dropped when everything before it is written.
    Finish(SyncSender<()>),
}

/// The sending end of the queue.
#[derive(Debug)]
pub struct Spool {
    queue: SyncSender<Item>,
    dropped: AtomicU64,
}

impl Spool {
    /// Writes to standard error.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn to_stderr() -> Result<Self> {
        Self::start(Sink::Stderr)
    }

    /// Appends to a file. Before it grows beyond `max_bytes` it is renamed to `FILE.1`, and `FILE.1` to `FILE.2`,
    /// up to `keep` of them; older ones are deleted.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn to_file(path: &Path, max_bytes: u64, keep: usize) -> Result<Self> {
        let file = Rotating::open(path, max_bytes, keep)
            .with_context(|| format!("cannot write to {}", path.display()))?;
        Self::start(Sink::File(file))
    }

    fn start(mut sink: Sink) -> Result<Self> {
        let (queue, items): (_, Receiver<Item>) = sync_channel(MAX_QUEUED_LINES);
        let write = move || {
            while let Ok(first) = items.recv() {
                // Lines that came meanwhile are flushed together. A full disk or a closed pipe loses lines, not
                // requests.
                for item in std::iter::once(first).chain(items.try_iter().take(MAX_QUEUED_LINES)) {
                    let _ = match item {
                        Item::Line(line) => sink.write(&line),
                        Item::Finish(told) => sink.flush().map(|()| drop(told)),
                    };
                }
                let _ = sink.flush();
            }
        };
        thread::Builder::new().name("spool".into()).spawn(write).context("cannot start a thread")?;
        Ok(Self { queue, dropped: AtomicU64::new(0) })
    }

    /// Queues a line, which ends in `\n`, or drops and counts it.
    pub fn put(&self, line: Vec<u8>) {
        if line.len() > MAX_LINE_BYTES || self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until the lines queued before are written, for two seconds at most.
    pub fn finish(&self) {
        let (tell, told) = sync_channel(0);
        if self.queue.try_send(Item::Finish(tell)).is_ok() {
            // Nothing is sent: the other end is dropped when the lines are written.
            let _ = told.recv_timeout(FINISH_TIME);
        }
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

enum Sink {
    Stderr,
    File(Rotating),
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().write_all(line),
            Self::File(file) => file.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stderr => Ok(()),
            Self::File(file) => file.out.flush(),
        }
    }
}

struct Rotating {
    path: PathBuf,
    max_bytes: u64,
    keep: usize,
    out: io::BufWriter<File>,
    bytes: u64,
}

impl Rotating {
    fn open(path: &Path, max_bytes: u64, keep: usize) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.into(), max_bytes, keep, out: io::BufWriter::new(file), bytes })
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.out.flush()?;
            for number in (1..self.keep).rev() {
                let _ = std::fs::rename(self.numbered(number), self.numbered(number + 1));
            }
            if self.keep > 0 {
                std::fs::rename(&self.path, self.numbered(1))?;
            } else {
                std::fs::remove_file(&self.path)?;
            }
            *self = Self::open(&self.path, self.max_bytes, self.keep)?;
        }
        self.bytes += line.len() as u64;
        self.out.write_all(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_is_set_aside_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = Rotating::open(&path, 10, 2).unwrap();
        for i in 0..8 {
            file.write(format!("line{i}\n").as_bytes()).unwrap();
        }
        file.out.flush().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert_eq!(
            [read("log"), read("log.1"), read("log.2"), read("log.3")],
            ["line7\n", "line6\n", "line5\n", ""]
        );
    }

    #[test]
    fn what_is_put_arrives_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let spool = Spool::to_file(&path, 1 << 20, 1).unwrap();
        (0..100).for_each(|i| spool.put(format!("{i}\n").into_bytes()));
        let expected: String = (0..100).map(|i| format!("{i}\n")).collect();
        spool.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        spool.put(vec![b'x'; MAX_LINE_BYTES + 1]);
        assert_eq!(spool.dropped(), 1);
    }
}
