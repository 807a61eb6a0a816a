//! From the bytes of a file to UTF-8: byte order marks, UTF-16, GB18030, Windows-1252 and whatever else the
//! WHATWG Encoding Standard names.
//!
//! The rule if no encoding is named: a byte order mark decides; text that is valid UTF-8 is UTF-8; zero at every other
//! byte is UTF-16. Other text is GB18030 if the bytes above 127 come in pairs that are
//! punctuation or first-level characters of GB 2312 (Chinese text has little else; in Western text they stand
//! alone, and small letters with accents are no first bytes of such pairs), else Windows-1252, the superset of
//! Latin-1 that Excel writes.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The encoding of that name: `utf-8`, `utf-16`, `gbk`, `gb18030`, `latin-1`, and those of the standard.
///
/// # Errors
/// Not a name of an encoding.
pub(crate) fn named(name: &str) -> Result<&'static Encoding, String> {
    // The standard has no hyphen there; Python and many people do.
    let label = name.to_lowercase().replace("latin-", "latin").replace('_', "-");
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        format!("{name:?} is not an encoding; try utf-8, utf-16, gb18030, big5, shift-jis, latin-1")
    })
}

/// The detected encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guess {
    /// Its encoding.
    pub encoding: &'static Encoding,
    /// Why, unless it is UTF-8.
    pub reason: &'static str,
}

/// The encoding of a text that begins with `start`.
pub(crate) fn detect(start: &[u8]) -> Guess {
    let guess = |encoding, reason| Guess { encoding, reason };
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return guess(encoding, "its byte order mark says so");
    }
    let zeros = |odd: usize| start.iter().skip(odd).step_by(2).filter(|&&b| b == 0).count();
    // In UTF-16, every ASCII character has a zero byte, and delimiters and digits are ASCII.
    let half = start.len() / 2;
    if half > 0 && (zeros(1) * 10 > half * 4) != (zeros(0) * 10 > half * 4) {
        let encoding = if zeros(1) > zeros(0) { UTF_16LE } else { UTF_16BE };
        return guess(encoding, "every other byte is zero");
    }
    match std::str::from_utf8(start) {
        Ok(_) => return guess(UTF_8, ""),
        // A character may be cut in two at the end of the sample.
        Err(error) if error.error_len().is_none() => return guess(UTF_8, ""),
        Err(_) => {}
    }
    let (mut pairs, mut others) = (0_usize, 0_usize);
    let mut bytes = start.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte < 0x80 {
            continue;
        }
        match bytes.peek() {
            Some(0xA1..=0xFE) => {
                bytes.next();
                // 0xB0 to 0xD7 are the frequent characters, 0xA1 to 0xA9 the punctuation.
                if (0xA1..=0xD7).contains(&byte) { pairs += 1 } else { others += 1 }
            }
            _ => others += 1,
        }
    }
    // GBK has rarer characters outside GB 2312; a text has few of them.
    let mut decoder = GB18030.new_decoder_without_bom_handling();
    let mut text = vec![0; decoder.max_utf8_buffer_length_without_replacement(start.len()).unwrap_or(0)];
    let (decoded, ..) = decoder.decode_to_utf8_without_replacement(start, &mut text, false);
    if pairs > 4 * others && decoded == DecoderResult::InputEmpty {
        guess(GB18030, "it is not UTF-8, and its bytes above 127 are pairs as in Chinese text")
    } else {
        guess(WINDOWS_1252, "it is not UTF-8, and its bytes above 127 are no pairs as in Chinese text")
    }
}

/// Reads text in another encoding as UTF-8.
pub(crate) struct Transcoder<R> {
    reader: R,
    decoder: Decoder,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    given: usize,
    ended: bool,
}

const BUFFER_BYTES: usize = 64 * 1024;

impl<R: Read> Transcoder<R> {
    /// Reads `reader`, which holds text in `encoding`; a byte order mark is taken off.
    pub(crate) fn new(reader: R, encoding: &'static Encoding) -> Self {
        Self {
            reader,
            decoder: encoding.new_decoder_with_bom_removal(),
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.given = 0;
        self.output.clear();
        while self.output.is_empty() && !(self.ended && self.at == self.input.len()) {
            if self.at == self.input.len() {
                self.input.resize(BUFFER_BYTES, 0);
                let n = self.reader.read(&mut self.input)?;
                self.input.truncate(n);
                self.at = 0;
                self.ended = n == 0;
            }
            self.output.resize(BUFFER_BYTES, 0);
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
                &self.input[self.at..],
                &mut self.output,
                self.ended,
            );
            self.at += read;
            self.output.truncate(written);
            if let DecoderResult::Malformed(..) = result {
                let name = self.decoder.encoding().name();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the text is not valid {name}; name its encoding (--encoding NAME)"),
                ));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.fill()?;
        }
        let n = buffer.len().min(self.output.len() - self.given);
        buffer[..n].copy_from_slice(&self.output[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, encoding: &'static Encoding) -> Vec<u8> {
        encoding.encode(text).0.into_owned()
    }

    #[test]
    fn an_encoding_is_found_by_its_bytes() {
        let chinese = "城市,人口\n北京,2189\n上海,2487\n";
        assert_eq!(detect(&written("größer,größer", WINDOWS_1252)).encoding, WINDOWS_1252);
        let western = "Stadt;Straße\nKöln;Große Bäckerstraße\nZürich;Café Müller\n";
        assert_eq!(detect(chinese.as_bytes()).encoding, UTF_8);
        assert_eq!(detect(&chinese.as_bytes()[..14]).encoding, UTF_8, "cut within a character");
        assert_eq!(detect(&written(chinese, GB18030)).encoding, GB18030);
        assert_eq!(detect(&written(western, WINDOWS_1252)).encoding, WINDOWS_1252);
        assert_eq!(detect(b"a,b\n1,2\n").encoding, UTF_8);
        let wide: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(detect(&wide).encoding, UTF_16LE);
        let wide: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(detect(&wide).encoding, UTF_16BE);
        assert_eq!(detect(&[&[0xFF, 0xFE][..], &[0x61, 0]].concat()).encoding, UTF_16LE);
    }

    #[test]
    fn names_are_those_of_the_standard_and_the_usual_others() {
        for (name, encoding) in [
            ("UTF-8", UTF_8),
            ("utf-16", UTF_16LE),
            ("gb18030", GB18030),
            ("latin-1", WINDOWS_1252),
            ("Latin1", WINDOWS_1252),
            ("iso-8859-1", WINDOWS_1252),
            ("cp1252", WINDOWS_1252),
        ] {
            assert_eq!(named(name), Ok(encoding), "{name}");
        }
        assert!(named("utf-7").is_err());
    }

    #[test]
    fn text_in_another_encoding_comes_out_as_utf8_and_what_is_not_valid_is_an_error() {
        let text = "é北京,".repeat(50_000);
        let bytes = written(&text, GB18030);
        let mut found = String::new();
        Transcoder::new(&bytes[..], GB18030).read_to_string(&mut found).unwrap();
        assert!(found == text);
        let error = Transcoder::new(&b"a\xFF"[..], GB18030).read_to_string(&mut found).unwrap_err();
        assert!(error.to_string().contains("not valid gb18030"));
    }
}
