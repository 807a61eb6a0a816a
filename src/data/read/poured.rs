//! A reader of text that is made piece by piece from other text.

use std::io::{self, Read};

/// Makes the pieces.
pub(super) trait Fill {
    /// Appends the next piece to `output`, which is empty, and nothing at the end alone.
    ///
    /// # Errors
    /// Text that cannot be read, or be made into other text.
    fn fill(&mut self, output: &mut Vec<u8>) -> io::Result<()>;
}

/// Reads the pieces one after the other.
pub(crate) struct Poured<F> {
    source: F,
    output: Vec<u8>,
    given: usize,
}

impl<F> Poured<F> {
    pub(super) fn new(source: F) -> Self {
        Self { source, output: Vec::new(), given: 0 }
    }
}

impl<F: Fill> Read for Poured<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.given = 0;
            self.output.clear();
            self.source.fill(&mut self.output)?;
        }
        let n = buffer.len().min(self.output.len() - self.given);
        buffer[..n].copy_from_slice(&self.output[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}
