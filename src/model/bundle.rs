//! A bundle: one executable that is program and model. `mlapi bundle` writes it, [`super::file`] reads the model out of
//! it as out of a model file, and the command line looks whether the running program is one.
//!
//! Layout: the program as it was, [`START`], the bytes of the model file, their number (u64, little-endian), the SHA-256
//! of all that stands before it, [`END`]. Executable formats allow bytes after their own end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

const START: &[u8; 16] = b"\nmlapi model  1\n";
const END: &[u8; 16] = b"\nmlapi bundle 1\n";
/// Number of bytes, digest and [`END`].
const TRAILER: u64 = 8 + 32 + 16;

const DAMAGED: &str =
    "it is a bundle that was truncated or altered after it was made; make it again (mlapi bundle)";

/// The parts of a bundle, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bundle {
    program: u64,
    /// Of the model file within it.
    pub(crate) model: u64,
}

impl Bundle {
    /// The parts of a file of `length` bytes; `None` if it is no bundle. The digest is not looked at.
    ///
    /// # Errors
    /// An executable that was a bundle, or is cut short.
    pub(crate) fn of(file: &mut (impl Read + Seek), length: u64) -> Result<Option<Self>> {
        let Some(start_of_trailer) = length.checked_sub(TRAILER) else { return Ok(None) };
        let trailer: [u8; TRAILER as usize] = bytes_at(file, start_of_trailer)?;
        if trailer.ends_with(END) {
            let [a, b, c, d, e, f, g, h, ..] = trailer;
            let model = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let program = start_of_trailer.checked_sub(model).and_then(|n| n.checked_sub(START.len() as u64));
            if let Some(program) = program
                && bytes_at(file, program)? == *START
            {
                return Ok(Some(Self { program, model }));
            }
            bail!(DAMAGED);
        }
        // No executable is shorter than its header.
        match if length < 64 { None } else { end_of_elf(&bytes_at(file, 0)?) } {
            Some(end) if end > length => bail!("it is an executable that was truncated; copy it again"),
            Some(end) if length - end >= START.len() as u64 && bytes_at(file, end)? == *START => {
                bail!(DAMAGED)
            }
            _ => Ok(None),
        }
    }

    /// The model file within `file`, after a look at the digest of the whole.
    ///
    /// # Errors
    /// The file has been altered.
    pub(crate) fn model_in(self, file: &mut File) -> Result<Take<&mut File>> {
        let start = self.program + START.len() as u64;
        file.rewind()?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; 1 << 18];
        let mut left = start + self.model + 8;
        while left > 0 {
            let n = file.read(&mut piece[..left.min(1 << 18) as usize])?;
            ensure!(n > 0, DAMAGED);
            hash.update(&piece[..n]);
            left -= n as u64;
        }
        let mut digest = [0; 32];
        file.read_exact(&mut digest)?;
        ensure!(hash.finalize().as_slice() == digest, DAMAGED);
        file.seek(SeekFrom::Start(start))?;
        Ok(file.take(self.model))
    }
}

fn bytes_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Where an ELF file of 64 bits, least significant byte first, ends by its header: after the table of its sections.
/// `None` of any other file, or without that table.
fn end_of_elf(header: &[u8; 64]) -> Option<u64> {
    const OF_64_BITS: &[u8] = b"\x7FELF\x02\x01";
    let start = u64::from_le_bytes(*header[0x28..].first_chunk()?);
    let [entry, n] = [0x3A, 0x3C].map(|at| u64::from(u16::from_le_bytes([header[at], header[at + 1]])));
    (header.starts_with(OF_64_BITS) && start > 0).then(|| start.saturating_add(entry * n))
}

/// The running program: its path, if it is a bundle.
///
/// # Errors
/// It was one, and is damaged.
pub(crate) fn running() -> Result<Option<PathBuf>> {
    let Some((path, mut file)) = open_running() else { return Ok(None) };
    let length = file.metadata()?.len();
    let bundle =
        Bundle::of(&mut file, length).with_context(|| format!("{} cannot be run", path.display()))?;
    Ok(bundle.map(|_| path))
}

fn open_running() -> Option<(PathBuf, File)> {
    let path = std::env::current_exe().ok()?;
    let file = File::open(&path).ok()?;
    Some((path, file))
}

/// Writes the running program, without the model that it may hold, with the bytes of a model file.
///
/// # Errors
/// The program cannot be read, `out` not written.
pub(crate) fn write(model: &[u8], out: &mut dyn Write) -> Result<()> {
    let (_, mut program) = open_running().context("the running program cannot be read")?;
    let length = program.metadata()?.len();
    let mut left = Bundle::of(&mut program, length)?.map_or(length, |bundle| bundle.program);
    program.rewind()?;
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes)
    };
    let mut piece = vec![0; 1 << 18];
    while left > 0 {
        let n = program.read(&mut piece[..left.min(1 << 18) as usize])?;
        ensure!(n > 0, "the running program changed while it was read");
        put(&piece[..n])?;
        left -= n as u64;
    }
    put(START)?;
    put(model)?;
    put(&(model.len() as u64).to_le_bytes())?;
    out.write_all(hash.finalize().as_slice())?;
    out.write_all(END)?;
    Ok(())
}
