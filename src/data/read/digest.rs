//! SHA-256 of files, taken while their bytes pass; for large files on a thread of its own.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Bytes after which a thread is worth its start.
const THREAD_FROM: usize = 1024 * 1024;

/// Pieces that may wait for the thread.
const WAITING: usize = 8;

enum Hasher {
    Here { hash: Sha256, passed: usize },
    Beside { pieces: SyncSender<Vec<u8>>, emptied: Receiver<Vec<u8>>, thread: JoinHandle<Sha256> },
}

impl Default for Hasher {
    fn default() -> Self {
        Self::Here { hash: Sha256::new(), passed: 0 }
    }
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here { hash, passed } if *passed < THREAD_FROM => {
                *passed += bytes.len();
                hash.update(bytes);
            }
            Self::Here { hash, .. } => {
                *self = Self::beside(hash.clone());
                self.update(bytes);
            }
            Self::Beside { pieces, emptied, .. } => {
                let mut piece = emptied.try_recv().unwrap_or_default();
                piece.clear();
                piece.extend_from_slice(bytes);
                // The thread receives for as long as the sender lives.
                let _ = pieces.send(piece);
            }
        }
    }

    fn beside(mut hash: Sha256) -> Self {
        let (pieces, received) = sync_channel::<Vec<u8>>(WAITING);
        let (back, emptied) = sync_channel(WAITING + 2);
        let thread = std::thread::spawn(move || {
            for piece in received {
                hash.update(&piece);
                let _ = back.try_send(piece);
            }
            hash
        });
        Self::Beside { pieces, emptied, thread }
    }

    fn finish(self) -> Sha256 {
        match self {
            Self::Here { hash, .. } => hash,
            Self::Beside { pieces, thread, .. } => {
                drop(pieces);
                // It does nothing that panics.
                thread.join().unwrap_or_default()
            }
        }
    }
}

/// A digest that is taken while bytes pass, and their number.
#[derive(Clone, Default)]
pub struct PassingDigest {
    hasher: Arc<Mutex<Hasher>>,
    passed: Arc<AtomicU64>,
}

impl PassingDigest {
    /// The bytes that have passed so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// SHA-256 of the bytes that have passed, in hexadecimal.
    pub fn hex(&self) -> String {
        let mut hasher = self.hasher.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = std::mem::take(&mut *hasher).finish();
        *hasher = Hasher::Here { hash: hash.clone(), passed: 0 };
        hex(hash.finalize().as_slice())
    }
}

/// A reader whose bytes are taken into a digest.
pub(crate) struct Digesting<R> {
    inner: R,
    digest: PassingDigest,
}

impl<R> Digesting<R> {
    /// Adds the bytes read from `inner` to `digest`.
    pub(crate) fn new(inner: R, digest: PassingDigest) -> Self {
        Self { inner, digest }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.digest.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..n]);
        self.digest.passed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 of bytes in hexadecimal.
#[cfg(feature = "import")]
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// SHA-256 of a file in hexadecimal, as `sha256sum` prints it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn file_digest(path: &str) -> Result<String> {
    let failed = || format!("cannot read {path}");
    let mut file = File::open(path).with_context(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).with_context(failed)? {
            0 => return Ok(hex(hash.finalize().as_slice())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_same_whether_taken_here_or_beside() {
        let bytes: Vec<u8> = (0..3_500_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for size in [1000, 300_000, 4_000_000] {
            let digest = PassingDigest::default();
            let mut reader = Digesting::new(&bytes[..], digest.clone());
            let mut buffer = vec![0; size];
            while reader.read(&mut buffer).unwrap() > 0 {}
            let wanted = hex(Sha256::digest(&bytes).as_slice());
            assert_eq!(digest.hex(), wanted, "{size}");
            assert_eq!(digest.hex(), wanted, "asked again");
        }
    }
}
