//! A queue of lines for a file or standard error, which never makes a request wait: a thread of its own writes
//! them, and lines beyond the queue are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The length of the queue.
const MAX_QUEUED_LINES: usize = 8192;

/// A longer line is dropped, so that the queue is bounded in bytes as well.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The pause after lines were written. Waking a thread that waits for a line takes the sender longer than making the
/// line; under load it is woken once a pause instead, and writes the lines of a pause together.
const PAUSE: Duration = Duration::from_millis(5);

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
    dropped: Arc<AtomicU64>,
}

impl Spool {
    /// Writes to standard error.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn to_stderr() -> Result<Self> {
        Self::start(Sink::Stderr(Vec::new()))
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
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let write = move || {
            while let Ok(first) = items.recv() {
                // Lines that came meanwhile are flushed together. A full disk or a closed pipe loses lines, not
                // requests.
                let mut finished = Vec::new();
                for item in std::iter::once(first).chain(items.try_iter().take(MAX_QUEUED_LINES)) {
                    match item {
                        Item::Line(line) => _ = lost.fetch_add(sink.write(&line), Relaxed),
                        Item::Finish(told) => finished.push(told),
                    }
                }
                lost.fetch_add(sink.flush(), Relaxed);
                if finished.is_empty() {
                    thread::sleep(PAUSE);
                }
            }
        };
        thread::Builder::new().name("spool".into()).spawn(write).context("cannot start a thread")?;
        Ok(Self { queue, dropped })
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
        let mut item = Item::Finish(tell);
        let end = Instant::now() + FINISH_TIME;
        // The queue may be full.
        while let Err(TrySendError::Full(again)) = self.queue.try_send(item) {
            if Instant::now() > end {
                return;
            }
            item = again;
            thread::sleep(Duration::from_millis(1));
        }
        // Nothing is sent: the other end is dropped when the lines are written.
        let _ = told.recv_timeout(end.saturating_duration_since(Instant::now()));
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

enum Sink {
    /// With the lines that are to be written.
    Stderr(Vec<u8>),
    File(Rotating),
}

/// No more is written to a pipe at once (POSIX: `PIPE_BUF`, 4096 on Linux), so that the lines of several processes do not
/// mix.
const PIPE_BYTES: usize = 4096;

impl Sink {
    /// Writes a line; returns the number of lines that were lost.
    fn write(&mut self, line: &[u8]) -> u64 {
        match self {
            Self::Stderr(lines) => {
                let lost = if lines.len() + line.len() > PIPE_BYTES { to_stderr(lines) } else { 0 };
                lines.extend_from_slice(line);
                lost
            }
            Self::File(file) => file.write(line),
        }
    }

    /// Writes what is buffered; returns the number of lines that were lost.
    fn flush(&mut self) -> u64 {
        match self {
            Self::Stderr(lines) => to_stderr(lines),
            Self::File(file) => file.flush(),
        }
    }
}

/// Writes lines to standard error and empties them; returns the number of lines that were lost.
fn to_stderr(lines: &mut Vec<u8>) -> u64 {
    let lost = match io::stderr().write_all(lines) {
        Ok(()) => 0,
        Err(_) => memchr::memchr_iter(b'\n', lines).count(),
    };
    lines.clear();
    lost as u64
}

/// Lines are written once they are so many bytes together.
const BUFFER_BYTES: usize = 64 * 1024;

struct Rotating {
    path: PathBuf,
    max_bytes: u64,
    keep: usize,
    file: File,
    /// Bytes in the file.
    bytes: u64,
    /// Lines that are to be written.
    buffer: Vec<u8>,
}

impl Rotating {
    fn open(path: &Path, max_bytes: u64, keep: usize) -> io::Result<Self> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.into(), max_bytes, keep, file, bytes, buffer: Vec::new() })
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn write(&mut self, line: &[u8]) -> u64 {
        let mut lost = 0;
        let size = self.bytes + self.buffer.len() as u64;
        if size > 0 && size + line.len() as u64 > self.max_bytes {
            lost += self.flush();
            if self.bytes > 0 && self.rotate().is_err() {
                return lost + 1;
            }
        }
        self.buffer.extend_from_slice(line);
        if self.buffer.len() >= BUFFER_BYTES {
            lost += self.flush();
        }
        lost
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let _ = std::fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        if self.keep > 0 {
            std::fs::rename(&self.path, self.numbered(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        let file = append_to(&self.path)?;
        // Whoever was allowed to read the file may read the next one.
        let _ = self.file.metadata().and_then(|old| file.set_permissions(old.permissions()));
        (self.file, self.bytes) = (file, 0);
        Ok(())
    }

    fn flush(&mut self) -> u64 {
        let (lines, mut written) = (std::mem::take(&mut self.buffer), 0);
        while written < lines.len() {
            match self.file.write(&lines[written..]) {
                Ok(n) if n > 0 => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let mut lost = 0;
        if written < lines.len() {
            let whole = memchr::memrchr(b'\n', &lines[..written]).map_or(0, |end| end + 1);
            // So that the next line does not follow half a line; a file that is none, such as a pipe, stays as it is.
            if written > whole && self.file.set_len(self.bytes + whole as u64).is_ok() {
                written = whole;
            }
            lost = memchr::memchr_iter(b'\n', &lines[whole..]).count() as u64;
        }
        self.bytes += written as u64;
        self.buffer = lines;
        self.buffer.clear();
        lost
    }
}

/// Opens a file that only its owner may read if it is a new one: its lines may hold features.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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
            assert_eq!(file.write(format!("line{i}\n").as_bytes()), 0);
        }
        assert_eq!(file.flush(), 0);
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
    #[cfg(target_os = "linux")]
    #[test]
    fn lines_that_a_full_disk_refuses_are_counted() {
        let spool = Spool::to_file(Path::new("/dev/full"), u64::MAX, 1).unwrap();
        (0..300).for_each(|i| spool.put(format!("{i}\n").into_bytes()));
        spool.finish();
        assert_eq!(spool.dropped(), 300);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_its_owners_alone_and_the_one_after_it_is_as_the_old_one() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let mut file = Rotating::open(&path, 10, 1).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        (0..4).for_each(|i| assert_eq!(file.write(format!("line{i}\n").as_bytes()), 0));
        assert_eq!((file.flush(), mode()), (0, 0o640));
    }
}
