//! The container of a model file: a safetensors header with one metadata entry, the arrays behind it, and a checksum
//! of both. [`super::file`] knows what the entry and the arrays mean.
//!
//! An array is read from the file straight into the numbers that it holds, and the checksum is made of these: a model
//! is in memory once while it is loaded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use safetensors::View;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::predictor::{Array, Arrays};

/// The remedy for a file whose contents are not those that were written.
pub(super) const DAMAGED: &str = "it is damaged; restore it from a copy or train it again";

/// The one metadata entry.
const ENTRY: &str = "mlapi";

/// The array that holds the checksum: SHA-256 of the entry and of the names, kinds, shapes and bytes of all others.
const CHECKSUM: &str = "checksum";

/// Limit of the header, which holds the card and the level names of categories; it is safetensors' own.
pub(crate) const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Limit of the number of arrays: more than those of an ensemble of the largest forms.
const MAX_ARRAYS: usize = 1024;

/// Bytes that are read or hashed at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A file whose header was read.
pub(super) struct Container<R> {
    file: R,
    length: u64,
    header_end: u64,
    metadata: Metadata,
}

impl<R: Read> Container<R> {
    /// Reads the header of a file of `length` bytes.
    pub(super) fn open(mut file: R, length: u64) -> Result<Self> {
        ensure!(length >= 8, "it is too short; {DAMAGED}");
        let mut header_length = [0; 8];
        file.read_exact(&mut header_length)?;
        let header_length = u64::from_le_bytes(header_length);
        ensure!(
            header_length <= MAX_HEADER_BYTES && header_length <= length - 8,
            "its first bytes are not those of a model file; {DAMAGED}"
        );
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header)?;
        let metadata: Metadata = serde_json::from_slice(&header).context(DAMAGED)?;
        Ok(Self { file, length, header_end: 8 + header_length, metadata })
    }

    /// The metadata entry.
    pub(super) fn entry(&self) -> Result<&str> {
        let entry = self.metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        entry.map(String::as_str).context(DAMAGED)
    }

    /// Reads the arrays and compares the checksum; to be called once.
    pub(super) fn arrays(&mut self) -> Result<Arrays> {
        let n_bytes = self.metadata.data_len() as u64;
        ensure!(
            n_bytes == self.length - self.header_end,
            "it has {} bytes and should have {}; {DAMAGED}",
            self.length,
            self.header_end.saturating_add(n_bytes)
        );
        let names = self.metadata.offset_keys();
        ensure!(names.len() <= MAX_ARRAYS, "it holds {} arrays; {DAMAGED}", names.len());
        let mut arrays = Arrays::new();
        for name in names {
            let info = self.metadata.info(&name).context(DAMAGED)?;
            let array = Array::read(&mut self.file, info).context(DAMAGED)?;
            arrays.insert(name, array);
        }
        let found = arrays.remove(CHECKSUM);
        let expected = checksum(self.entry()?, &arrays);
        ensure!(found == Some(expected), "its checksum does not match its contents; {DAMAGED}");
        Ok(arrays)
    }
}

/// The bytes of a file of this entry and these arrays.
///
/// # Errors
/// Never for arrays as long as their shapes say.
pub(super) fn to_bytes(entry: String, mut arrays: Arrays) -> Result<Vec<u8>> {
    arrays.insert(CHECKSUM.into(), checksum(&entry, &arrays));
    Ok(safetensors::serialize(&arrays, Some(HashMap::from([(ENTRY.to_string(), entry)])))?)
}

fn checksum(entry: &str, arrays: &Arrays) -> Array {
    let mut sha = Sha256::new();
    let part = |sha: &mut Sha256, bytes: &[u8]| {
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    };
    part(&mut sha, entry.as_bytes());
    for (name, array) in arrays {
        part(&mut sha, name.as_bytes());
        part(&mut sha, format!("{:?} {:?}", array.kind(), array.shape()).as_bytes());
        sha.update((array.n_bytes() as u64).to_le_bytes());
        array.for_each_piece(|bytes| sha.update(bytes));
    }
    let digest = sha.finalize().to_vec();
    Array::U8(vec![digest.len()], digest)
}

impl Array {
    fn kind(&self) -> Dtype {
        match self {
            Self::F64(..) => Dtype::F64,
            Self::U32(..) => Dtype::U32,
            Self::U8(..) => Dtype::U8,
        }
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::F64(shape, _) | Self::U32(shape, _) | Self::U8(shape, _) => shape,
        }
    }

    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::F64(_, values) => size_of_val(values.as_slice()),
            Self::U32(_, values) => size_of_val(values.as_slice()),
            Self::U8(_, values) => values.len(),
        }
    }

    /// Calls `see` with the bytes in order, some at a time.
    fn for_each_piece(&self, see: impl FnMut(&[u8])) {
        match self {
            Self::F64(_, values) => pieces(values, f64::to_le_bytes, see),
            Self::U32(_, values) => pieces(values, u32::to_le_bytes, see),
            Self::U8(_, values) => values.chunks(PIECE_BYTES).for_each(see),
        }
    }

    /// Reads the array that comes next in a file. Its length was compared with that of the file.
    fn read(file: &mut impl Read, info: &TensorInfo) -> Result<Self> {
        let shape = info.shape.clone();
        let n_bytes = info.data_offsets.1 - info.data_offsets.0;
        Ok(match info.dtype {
            Dtype::F64 => Self::F64(shape, read_numbers(file, n_bytes, f64::from_le_bytes)?),
            Dtype::U32 => Self::U32(shape, read_numbers(file, n_bytes, u32::from_le_bytes)?),
            Dtype::U8 => Self::U8(shape, read_numbers(file, n_bytes, u8::from_le_bytes)?),
            other => bail!("an array is of kind {other:?}, which is not used in model files"),
        })
    }
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        self.kind()
    }

    fn shape(&self) -> &[usize] {
        Array::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.n_bytes());
        self.for_each_piece(|piece| bytes.extend_from_slice(piece));
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.n_bytes()
    }
}

fn pieces<const SIZE: usize, T: Copy>(
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; SIZE],
    mut see: impl FnMut(&[u8]),
) {
    let mut buffer: Vec<[u8; SIZE]> = Vec::new();
    for piece in values.chunks(PIECE_BYTES / SIZE) {
        buffer.clear();
        buffer.extend(piece.iter().map(|value| to_bytes(*value)));
        see(buffer.as_flattened());
    }
}

fn read_numbers<const SIZE: usize, T>(
    file: &mut impl Read,
    n_bytes: usize,
    of_bytes: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(n_bytes / SIZE);
    let mut buffer = vec![[0; SIZE]; PIECE_BYTES.min(n_bytes) / SIZE];
    let mut left = n_bytes / SIZE;
    while left > 0 {
        let n = left.min(buffer.len());
        file.read_exact(buffer[..n].as_flattened_mut())?;
        numbers.extend(buffer[..n].iter().map(|bytes| of_bytes(*bytes)));
        left -= n;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Arrays {
        let numbers: Vec<f64> = (0..PIECE_BYTES / 8 + 3).map(|i| i as f64 * 0.1).collect();
        Arrays::from([
            ("b".into(), Array::F64(vec![numbers.len(), 1], numbers)),
            ("c".into(), Array::U32(vec![2], vec![7, u32::MAX])),
            ("a".into(), Array::U8(vec![0], Vec::new())),
        ])
    }

    #[test]
    fn arrays_of_every_kind_and_of_several_pieces_are_read_as_they_were_written() {
        let bytes = to_bytes("{}".into(), arrays()).unwrap();
        let mut container = Container::open(&bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(container.arrays().unwrap(), arrays());
        assert_eq!(container.entry().unwrap(), "{}");
        let longer = bytes.len() as u64 + 1;
        assert!(Container::open(&bytes[..], longer).unwrap().arrays().is_err());
    }

    #[test]
    fn arrays_without_end_are_refused() {
        let many = (0..MAX_ARRAYS).map(|i| (i.to_string(), Array::U8(vec![0], Vec::new())));
        let bytes = to_bytes("{}".into(), many.collect()).unwrap();
        let error = Container::open(&bytes[..], bytes.len() as u64).unwrap().arrays().unwrap_err();
        assert!(error.to_string().contains("1025 arrays"), "{error}");
    }
}
