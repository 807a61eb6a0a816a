//! A stream of bytes cut into blocks of whole records, and the work on them shared out over threads with the
//! results in order.
//!
//! [`Blocks`] reads; [`in_order`] lets each thread take the next block, work on it, and hands the results to
//! one consumer as if a single thread had done it all. Nothing here knows the meaning of a record.

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context, Result, bail};
use memchr::{memchr, memchr_iter, memrchr, memrchr2};

use crate::background;

/// Bytes of a block, give or take a record: the text and its columns stay in a core's cache.
pub const BLOCK_BYTES: usize = 512 * 1024;

/// A longer record is not a record but an unclosed quote (or an attack), and is refused before memory is
/// spent on it.
pub const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Memory that several inputs share.
pub trait Room: std::fmt::Debug + Send + Sync {
    /// Takes so many bytes.
    ///
    /// # Errors
    /// There is not so much room.
    fn take(&self, bytes: usize) -> io::Result<()>;

    /// Gives bytes back that were taken.
    fn give_back(&self, bytes: usize);
}

/// The limits of one record.
#[derive(Debug, Clone)]
pub struct RecordLimits {
    /// Its bytes.
    pub bytes: usize,
    /// The memory that the bytes of a record longer than a block are taken from; `None`: not limited.
    pub room: Option<Arc<dyn Room>>,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { bytes: MAX_RECORD_BYTES, room: None }
    }
}

/// Bytes of a long record, given back when it is dropped.
#[derive(Debug, Default)]
struct Taken {
    room: Option<Arc<dyn Room>>,
    bytes: usize,
}

impl Taken {
    fn grow(&mut self, limits: &RecordLimits, bytes: usize) -> io::Result<()> {
        if let Some(room) = &limits.room
            && bytes > self.bytes
        {
            room.take(bytes - self.bytes)?;
            self.room = Some(Arc::clone(room));
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.give_back(self.bytes);
        }
    }
}

/// The capacity of a pipe; one read of an input that may come slowly asks for as much.
const PIPE_BYTES: usize = 64 * 1024;

/// The ends of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// At every line end.
    Lines,
    /// At every line end (`\n`, `\r\n` or `\r`) outside quotes. A quote opens at the start of a field only.
    Records {
        /// The byte between two fields.
        delimiter: u8,
        /// The byte around a field.
        quote: Option<u8>,
    },
}

/// Some whole records.
#[derive(Debug, Default)]
pub struct Block {
    /// Their text.
    pub bytes: Vec<u8>,
    /// The line of the input that they start on; the first is 1.
    pub line: u64,
    /// The memory of a record that is longer than a block.
    taken: Taken,
}

impl Block {
    /// Records that start on line `line`.
    pub fn new(bytes: Vec<u8>, line: u64) -> Self {
        Self { bytes, line, taken: Taken::default() }
    }

    /// Whether a record in it is longer than a block: its memory is not to be kept for other blocks.
    fn is_long(&self) -> bool {
        self.taken.bytes > 0
    }
}

/// Line ends in `bytes`: `\n`, `\r\n`, and `\r` alone.
pub fn count_lines(bytes: &[u8]) -> u64 {
    let feeds = memchr_iter(b'\n', bytes).count();
    let lone = memchr_iter(b'\r', bytes).filter(|&at| bytes.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone) as u64
}

/// The progress of the search for record ends in a block.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    quoted: bool,
    /// The end of the last record that is known to be whole.
    cut: usize,
    /// Stretches outside quotes that are still to be searched for it.
    unquoted: Vec<Range<usize>>,
}

impl Scan {
    fn advance(&mut self, bytes: &[u8], cut: Cut, ended: bool) {
        let Cut::Records { delimiter, quote } = cut else {
            if let Some(last) = memrchr(b'\n', &bytes[self.at..]) {
                self.cut = self.at + last + 1;
            }
            self.at = bytes.len();
            return;
        };
        let Some(quote) = quote else {
            self.unquoted.push(self.at..bytes.len());
            self.cut_last(bytes, ended);
            self.at = bytes.len();
            return;
        };
        while let Some(found) = memchr(quote, &bytes[self.at..]) {
            let found = self.at + found;
            if self.quoted {
                match bytes.get(found + 1) {
                    // Whether the quote is closed or doubled is to be seen.
                    None if !ended => {
                        self.at = found;
                        return self.cut_last(bytes, ended);
                    }
                    Some(&next) if next == quote => self.at = found + 2,
                    _ => (self.quoted, self.at) = (false, found + 1),
                }
            } else {
                self.unquoted.push(self.at..found);
                let before = found.checked_sub(1).map(|before| bytes[before]);
                self.quoted = before.is_none_or(|b| b == delimiter || b == b'\n' || b == b'\r');
                self.at = found + 1;
            }
        }
        if !self.quoted {
            self.unquoted.push(self.at..bytes.len());
        }
        self.at = bytes.len();
        self.cut_last(bytes, ended);
    }

    /// Finds the last line end outside quotes.
    fn cut_last(&mut self, bytes: &[u8], ended: bool) {
        while let Some(Range { start, mut end }) = self.unquoted.pop() {
            while let Some(last) = memrchr2(b'\n', b'\r', &bytes[start..end]) {
                let last = start + last;
                // The other half of a \r\n may be to come.
                if bytes[last] == b'\r' && last + 1 == bytes.len() && !ended {
                    end = last;
                    continue;
                }
                self.cut = last + 1;
                return self.unquoted.clear();
            }
        }
    }
}

/// A reader of blocks.
#[derive(Debug)]
pub struct Blocks<R> {
    source: String,
    reader: R,
    cut: Cut,
    size: usize,
    prompt: bool,
    /// Bytes that have been read and not handed out.
    rest: Vec<u8>,
    line: u64,
    ended: bool,
    slow: bool,
    limits: RecordLimits,
}

impl<R: Read> Blocks<R> {
    /// Reads from `reader`, after the bytes `start`. `source` is its name in messages. A `prompt` reader does
    /// not wait for a whole block if records have arrived.
    pub fn new(source: &str, start: Vec<u8>, reader: R, cut: Cut, size: usize, prompt: bool) -> Self {
        let source = source.to_string();
        Self {
            source,
            reader,
            cut,
            size: size.max(1),
            prompt,
            rest: start,
            line: 1,
            ended: false,
            slow: false,
            limits: RecordLimits::default(),
        }
    }

    /// Changes the limits of a record.
    #[must_use]
    pub fn within(self, limits: RecordLimits) -> Self {
        Self { limits, ..self }
    }

    /// Whether the reader is known to wait for its input.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// The next records, in the memory of `bytes`; `None` at the end.
    ///
    /// # Errors
    /// An input that cannot be read; a record that is longer than its limit, or that there is no room for.
    pub fn next(&mut self, mut bytes: Vec<u8>) -> Result<Option<Block>> {
        bytes.clear();
        self.take_rest(&mut bytes);
        let mut scan = Scan::default();
        let mut taken = Taken::default();
        let mut look_first = !bytes.is_empty() && (self.prompt || !self.rest.is_empty());
        while scan.cut == 0 && !self.is_done() {
            if !std::mem::take(&mut look_first) && !self.take_rest(&mut bytes) {
                self.read(&mut bytes, &mut taken)?;
            }
            scan.advance(&bytes, self.cut, self.is_done());
            if scan.cut == 0 && bytes.len() > self.limits.bytes {
                const MEGABYTE: usize = 1024 * 1024;
                let limit = match self.limits.bytes {
                    bytes if bytes % MEGABYTE == 0 => format!("{} MB", bytes / MEGABYTE),
                    bytes => format!("{bytes} bytes"),
                };
                let line = self.line;
                bail!(
                    "{} line {line}: the record is longer than {limit}; is a quote not closed (--quote none)?",
                    self.source
                );
            }
        }
        if self.is_done() {
            // The rest is the last record, whole or not.
            scan.cut = bytes.len();
        }
        self.rest.splice(..0, bytes[scan.cut..].iter().copied());
        bytes.truncate(scan.cut);
        if bytes.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        self.line += count_lines(&bytes);
        Ok(Some(Block { bytes, line, taken }))
    }

    /// Moves what was read before into a block, and no more than a block holds: the start of an input may be longer.
    /// Whether there was anything.
    fn take_rest(&mut self, bytes: &mut Vec<u8>) -> bool {
        let n = self.rest.len().min(self.size);
        bytes.extend(self.rest.drain(..n));
        n > 0
    }

    /// Whether nothing follows what was handed out or is in a block.
    fn is_done(&self) -> bool {
        self.ended && self.rest.is_empty()
    }

    /// Hands the rest of a block back, to be the start of the next one.
    pub fn put_back(&mut self, block: Block) {
        self.line = block.line;
        let mut bytes = block.bytes;
        bytes.append(&mut self.rest);
        self.rest = bytes;
    }

    fn read(&mut self, bytes: &mut Vec<u8>, taken: &mut Taken) -> Result<()> {
        let before = bytes.len();
        let failed = || format!("cannot read {}", self.source);
        if self.prompt {
            bytes.resize(before + PIPE_BYTES, 0);
            let n = loop {
                match self.reader.read(&mut bytes[before..]) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.with_context(failed)?,
                }
            };
            bytes.truncate(before + n);
            self.slow = n < PIPE_BYTES;
            self.ended = n == 0;
            return Ok(());
        }
        // As few and as large reads as there can be; but no more than a block at a time of a record that is longer,
        // so that memory follows the bytes that have arrived.
        let wanted = if before < self.size { self.size - before } else { self.size };
        if before >= self.size {
            taken.grow(&self.limits, before + wanted).with_context(failed)?;
        }
        bytes.resize(before + wanted, 0);
        let mut end = before;
        while end < bytes.len() && !self.ended {
            match self.reader.read(&mut bytes[end..]) {
                Ok(n) => (self.ended, end) = (n == 0, end + n),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(failed),
            }
        }
        bytes.truncate(end);
        Ok(())
    }

    /// Reads the rest and drops it, so that a digest of the bytes has seen all of them.
    ///
    /// # Errors
    /// An input that cannot be read.
    pub fn drain(&mut self) -> Result<()> {
        std::io::copy(&mut self.reader, &mut std::io::sink())
            .with_context(|| format!("cannot read {}", self.source))?;
        Ok(())
    }
}

/// The state that the threads share: the reader, and the results that can be filled again.
struct Desk<'b, R, O> {
    blocks: &'b mut Blocks<R>,
    idle: mpsc::Receiver<(Vec<u8>, O)>,
    at_hand: Vec<(Vec<u8>, O)>,
    n_results: usize,
    next: usize,
    ended: bool,
}

impl<R: Read, O> Desk<'_, R, O> {
    /// The next block with its number and something to put the result in; `None` when there is no more to do.
    fn take(&mut self) -> Option<(usize, Result<Block>, O)> {
        if self.ended {
            return None;
        }
        // While a slow input makes us wait, no answer and no error may be pending.
        let wanted = if self.blocks.is_slow() { self.n_results } else { 1 };
        while self.at_hand.len() < wanted {
            self.at_hand.push(self.idle.recv().ok()?);
        }
        let (bytes, result) = self.at_hand.pop()?;
        let block = self.blocks.next(bytes);
        self.ended = !matches!(block, Ok(Some(_)));
        let number = self.next;
        self.next += 1;
        Some((number, block.transpose()?, result))
    }
}

/// The memory of a block and its result, to be used again; that of a long record is given back.
fn used<O: Default>(block: Block, result: O) -> (Vec<u8>, O) {
    if block.is_long() { Default::default() } else { (block.bytes, result) }
}

/// Lets `n_threads` threads `work` on the blocks, each filling a result that may have been used before, and
/// gives the results to `consume` in the order of the blocks, on the calling thread. At most `2 * n_threads + 2`
/// blocks are in memory at a time.
///
/// # Errors
/// The first error in the order of the blocks: of reading, or of `consume`.
pub fn in_order<R: Read + Send, O: Default + Send>(
    blocks: &mut Blocks<R>,
    n_threads: usize,
    work: impl Fn(&Block, &mut O) + Sync,
    mut consume: impl FnMut(&mut O) -> Result<()>,
) -> Result<()> {
    // One block, as of a request, is not worth a thread.
    let mut result = O::default();
    let mut bytes = Vec::new();
    let mut n_before = 0;
    while n_threads == 1 || n_before < 1 {
        let Some(block) = blocks.next(bytes)? else {
            return Ok(());
        };
        work(&block, &mut result);
        consume(&mut result)?;
        (bytes, result) = used(block, result);
        n_before += 1;
    }
    let n_results = 2 * n_threads + 2;
    let (idle, waiting) = mpsc::channel();
    let (done, finished) = mpsc::channel();
    let _ = idle.send((bytes, result));
    for _ in 1..n_results {
        // Both ends are here.
        let _ = idle.send((Vec::new(), O::default()));
    }
    let desk =
        Mutex::new(Desk { blocks, idle: waiting, at_hand: Vec::new(), n_results, next: 0, ended: false });
    let in_background = background::is_entered();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            let (desk, work, done) = (&desk, &work, done.clone());
            scope.spawn(move || {
                if in_background {
                    background::enter();
                }
                loop {
                    // A thread that panicked takes the others along when the scope ends.
                    let taken = desk.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let Some((number, block, mut result)) = taken else {
                        return;
                    };
                    let worked = block.map(|block| {
                        work(&block, &mut result);
                        (block, result)
                    });
                    if done.send((number, worked)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        // Dropped on the way out, so that the threads end.
        let idle = idle;
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (number, worked) in finished {
            early.insert(number, worked);
            while let Some(worked) = early.remove(&next) {
                let (block, mut result) = worked?;
                consume(&mut result)?;
                let _ = idle.send(used(block, result));
                next += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Cut = Cut::Records { delimiter: b',', quote: Some(b'"') };

    fn pieces(text: &[u8], size: usize) -> Vec<(u64, String)> {
        let mut blocks = Blocks::new("t.csv", Vec::new(), text, CSV, size, false);
        let mut found = Vec::new();
        while let Some(block) = blocks.next(Vec::new()).unwrap() {
            found.push((block.line, String::from_utf8(block.bytes).unwrap()));
        }
        found
    }

    #[test]
    fn a_start_that_is_longer_than_a_block_makes_several() {
        let text = "a,b\n\"x\ny\",2\n".repeat(20);
        for (size, start) in [(1, 0), (1, 230), (7, 100), (30, 230), (300, 230)] {
            let cut = Cut::Records { delimiter: b',', quote: Some(b'"') };
            let (start, rest) = text.split_at(start);
            let mut blocks = Blocks::new("t", start.into(), rest.as_bytes(), cut, size, false);
            let (mut whole, mut n_blocks) = (Vec::new(), 0);
            while let Some(block) = blocks.next(Vec::new()).unwrap() {
                assert!(block.bytes.len() <= 2 * size + 12, "{} of {size}", block.bytes.len());
                assert_eq!(block.line, 1 + count_lines(&whole));
                whole.extend(block.bytes);
                n_blocks += 1;
                if n_blocks == 2 {
                    let again = blocks.next(Vec::new()).unwrap();
                    again.into_iter().for_each(|block| blocks.put_back(block));
                }
            }
            assert_eq!(whole, text.as_bytes(), "{size}");
        }
    }

    #[test]
    fn blocks_end_at_line_ends_outside_quotes_and_know_their_lines() {
        let text = b"a,b\r\n1,\"x\ny \"\"z\"\"\n\"\r\n2,5\"\n3,4\r5,6";
        let starts = [(0, 1), (5, 2), (21, 5), (26, 6), (30, 7)];
        assert_eq!(pieces(text, 4).len(), 4, "small blocks are small");
        for size in 1..40 {
            let mut at = 0;
            for (line, piece) in pieces(text, size) {
                assert!(starts.contains(&(at, line)), "{size}: a block at {at} on line {line}");
                at += piece.len();
            }
            assert_eq!(at, text.len());
        }
    }

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        let text: String = (0..1000).map(|i| format!("{i}\n")).collect();
        for n_threads in [1, 2, 5] {
            let mut blocks = Blocks::new("t", Vec::new(), text.as_bytes(), Cut::Lines, 50, false);
            let mut whole = Vec::new();
            let work = |block: &Block, out: &mut Vec<u8>| out.clone_from(&block.bytes);
            in_order(&mut blocks, n_threads, work, |out| {
                whole.extend_from_slice(out);
                Ok(())
            })
            .unwrap();
            assert_eq!(whole, text.as_bytes(), "{n_threads}");
        }
    }

    #[test]
    fn an_error_ends_the_work_after_what_stands_before_it() {
        let text = "x\n".repeat(10_000);
        let mut blocks = Blocks::new("t", Vec::new(), text.as_bytes(), Cut::Lines, 10, false);
        let mut n = 0;
        let work = |_: &Block, _: &mut ()| {};
        let result = in_order(&mut blocks, 3, work, |()| {
            n += 1;
            if n == 7 { bail!("enough") } else { Ok(()) }
        });
        assert_eq!((result.unwrap_err().to_string().as_str(), n), ("enough", 7));
    }

    #[test]
    fn a_record_without_end_is_refused_with_its_line() {
        let endless = b"a,b\n\"".chain(std::io::repeat(b'x'));
        let mut blocks = Blocks::new("t.csv", Vec::new(), endless, CSV, 1000, false);
        blocks.next(Vec::new()).unwrap();
        let message = blocks.next(Vec::new()).unwrap_err().to_string();
        assert!(message.contains("t.csv line 2: the record is longer than 64 MB"), "{message}");
    }

    #[derive(Debug, Default)]
    struct Counted {
        limit: usize,
        taken: Mutex<(usize, usize)>,
    }

    impl Room for Counted {
        fn take(&self, bytes: usize) -> io::Result<()> {
            let mut taken = self.taken.lock().unwrap();
            if taken.0 + bytes > self.limit {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            taken.0 += bytes;
            taken.1 = taken.1.max(taken.0);
            Ok(())
        }

        fn give_back(&self, bytes: usize) {
            self.taken.lock().unwrap().0 -= bytes;
        }
    }

    /// Reads `text` in blocks of 100 bytes within a room; the error, the most bytes that were taken, and those that
    /// are still.
    fn within(text: &str, bytes: usize, limit: usize, n_threads: usize) -> (Result<()>, usize, usize) {
        let room = Arc::new(Counted { limit, ..Counted::default() });
        let limits = RecordLimits { bytes, room: Some(room.clone()) };
        let mut blocks = Blocks::new("t", Vec::new(), text.as_bytes(), Cut::Lines, 100, false).within(limits);
        let mut read = Vec::new();
        let work = |block: &Block, out: &mut Vec<u8>| out.clone_from(&block.bytes);
        let result = in_order(&mut blocks, n_threads, work, |out| {
            read.extend_from_slice(out);
            Ok(())
        });
        assert!(result.is_err() || read == text.as_bytes());
        let (now, most) = *room.taken.lock().unwrap();
        (result, most, now)
    }

    #[test]
    fn a_record_that_is_longer_than_a_block_takes_room_and_gives_it_back() {
        let long = format!(
            "{}
",
            "x".repeat(5000)
        );
        let text = format!(
            "1
2
{long}{}{long}",
            "3
"
            .repeat(200)
        );
        for n_threads in [1, 3] {
            let short = "1
"
            .repeat(1000);
            assert!(
                matches!(within(&short, 6000, 0, n_threads), (Ok(()), 0, 0)),
                "ordinary records take none"
            );
            let (read, most, left) = within(&text, 6000, 20_000, n_threads);
            read.unwrap();
            assert!((5000..=10_400).contains(&most) && left == 0, "{most} bytes, {left} at the end");
            let (read, most, left) = within(&text, 6000, 4000, n_threads);
            let error = read.unwrap_err();
            let kind = error.downcast_ref::<io::Error>().unwrap().kind();
            assert_eq!((kind, left), (io::ErrorKind::QuotaExceeded, 0));
            assert!(most <= 4000);
            let (read, most, left) = within(&text, 3000, 20_000, n_threads);
            let message = read.unwrap_err().to_string();
            assert!(message.contains("t line 3: the record is longer than 3000 bytes"), "{message}");
            assert!(most <= 3200 && left == 0, "{most}");
        }
    }
}
