//! The files of a table, which may be read more than once.

use std::cell::Cell;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::source::{Input, Options, open};

/// The source of a table's bytes, opened as often as they are needed. Standard input can be read only once and is kept
/// as it passes.
pub(super) struct Origin<'a> {
    pub(super) path: &'a str,
    kept: Arc<Mutex<Vec<u8>>>,
    /// Whether it was opened before.
    passed: Cell<bool>,
}

/// A reader that keeps a copy of the bytes that pass.
struct Keeping<R> {
    inner: R,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<R: Read> Read for Keeping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

/// Bytes that several readers share.
struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Origin<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        Self { path, kept: Arc::default(), passed: Cell::new(false) }
    }

    pub(super) fn open(&self, options: &Options) -> Result<Input> {
        let passed = self.passed.replace(true);
        let reader: Box<dyn Read + Send> = match (&options.text, self.path, passed) {
            (Some(text), ..) => Box::new(Cursor::new(Bytes(Arc::clone(text)))),
            (None, "-", false) => Box::new(Keeping { inner: open("-")?, kept: self.kept.clone() }),
            (None, "-", true) => {
                let bytes = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::new(Cursor::new(bytes))
            }
            (None, path, _) => open(path)?,
        };
        // The second time the digest says whether the bytes are still the same.
        let mut input = Input::new(reader, self.path, options, true, true)?;
        input.prompt = false;
        Ok(input)
    }
}
