//! Decompression of gzip and zstd, which are known by their first bytes.
//!
//! A small file can unpack to any size. Its readers bound the memory: prediction streams, and a record
//! has a longest length (see [`super::blocks::MAX_RECORD_BYTES`]); zstd windows are bounded by ruzstd at
//! 100 MB.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const BUFFER_BYTES: usize = 128 * 1024;

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// RFC 1952; several members one after the other are one file.
    Gzip,
    /// RFC 8878; several frames one after the other are one file.
    Zstd,
}

impl Compression {
    /// The compression of a file that begins with `start`.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Reads the decompressed bytes of `reader`.
    pub(super) fn expand(self, reader: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Self::Zstd => Box::new(Zstd { decoder: FrameDecoder::new(), within_frame: false, reader }),
        }
    }
}

/// The frames of a zstd file.
struct Zstd {
    decoder: FrameDecoder,
    within_frame: bool,
    reader: BufReader<Box<dyn Read + Send>>,
}

impl Zstd {
    /// Begins the next frame; `false` at the end of the file.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.reader.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.reader) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.reader).take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            }
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within_frame && !self.begin_frame()? {
                return Ok(0);
            }
            self.within_frame = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let some = BlockDecodingStrategy::UptoBytes(BUFFER_BYTES);
                self.decoder
                    .decode_blocks(&mut self.reader, some)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            }
            let n = self.decoder.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            self.within_frame = !self.decoder.is_finished();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn expanded(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let compression = Compression::of(&bytes).unwrap();
        let mut text = Vec::new();
        compression.expand(Box::new(io::Cursor::new(bytes))).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn several_members_or_frames_are_one_file() {
        let text = b"a,b\n1,2\n".repeat(100_000);
        let zstd = |text: &[u8]| compress_to_vec(text, CompressionLevel::Fastest);
        for compress in [&gzip as &dyn Fn(&[u8]) -> Vec<u8>, &zstd] {
            let two = [compress(&text), compress(b"3,4\n")].concat();
            assert!(expanded(two).unwrap() == [&text[..], b"3,4\n"].concat());
        }
        assert_eq!(Compression::of(b"a,b\n"), None);
    }

    #[test]
    fn a_file_that_is_cut_off_or_damaged_is_an_error() {
        let whole = gzip(&b"1,2\n".repeat(1000));
        assert!(expanded(whole[..whole.len() / 2].to_vec()).is_err());
        assert!(expanded(b"\x28\xB5\x2F\xFD\xFF\xFF\xFF".to_vec()).is_err());
    }
}
