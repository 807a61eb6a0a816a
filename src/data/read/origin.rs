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

impl<'a> Origin<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        Self { path, kept: Arc::default(), passed: Cell::new(false) }
    }

    pub(super) fn open(&self, options: &Options) -> Result<Input> {
        let reader: Box<dyn Read + Send> = match (self.path, self.passed.replace(true)) {
            ("-", false) => Box::new(Keeping { inner: open("-")?, kept: self.kept.clone() }),
            ("-", true) => {
                let bytes = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::new(Cursor::new(bytes))
            }
            (path, _) => open(path)?,
        };
        // The second time the digest says whether the bytes are still the same.
        let mut input = Input::new(reader, self.path, options, true, true)?;
        input.prompt = false;
        Ok(input)
    }
}
