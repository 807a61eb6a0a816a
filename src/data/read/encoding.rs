//! From the bytes of a file to UTF-8: byte order marks, UTF-16, and whatever else the WHATWG Encoding Standard names.
//!
//! The rule if no encoding is named: a byte order mark decides; text that is valid UTF-8 is UTF-8, and so is text of
//! which little is not, so that the reader names that line; zero at every other byte is UTF-16. The encoding of other
//! text is a guess of the crate `chardetng`, from the distinct cells that are not ASCII, because tables repeat
//! themselves. Words of a Latin alphabet are mostly ASCII, and one is enough to take its text for Windows-1252. Words of
//! other scripts are not, and [`detect`] asks unless a few of them are there.

use std::collections::BTreeSet;
use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use super::poured::{Fill, Poured};
use encoding_rs::{
    BIG5, Decoder, DecoderResult, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
    WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1257,
};

/// Names of Python and of Windows that the standard does not have.
const OTHER_NAMES: [(&str, &Encoding); 9] = [
    ("ansi", WINDOWS_1252),
    ("cp932", SHIFT_JIS),
    ("cp936", GBK),
    ("cp949", EUC_KR),
    ("cp950", BIG5),
    ("mac-roman", encoding_rs::MACINTOSH),
    ("utf-8-sig", UTF_8),
    ("utf-16-le", UTF_16LE),
    ("utf-16-be", UTF_16BE),
];

/// The encoding of that name: `utf-8`, `utf-16`, `gbk`, `gb18030`, `latin-1`, and those of the standard.
///
/// # Errors
/// Not a name of an encoding.
pub(crate) fn named(name: &str) -> Result<&'static Encoding, String> {
    // The standard has no hyphen there; Python and many people do.
    let label = name.to_lowercase().replace("latin-", "latin");
    let dashed = label.replace('_', "-");
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == dashed).map(|(_, encoding)| *encoding);
    let of_standard = |label: &str| Encoding::for_label_no_replacement(label.as_bytes());
    other.or_else(|| of_standard(&label)).or_else(|| of_standard(&dashed)).ok_or_else(|| {
        format!(
            "{name:?} is not an encoding; try utf-8, utf-16, latin-1, windows-1251, gb18030, big5, shift-jis, euc-kr"
        )
    })
}

/// The detected encoding of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guess {
    /// Its encoding.
    pub encoding: &'static Encoding,
    /// Why, unless it is UTF-8.
    pub reason: String,
}

/// Different words of a script other than Latin that are enough to know their encoding.
const ENOUGH_WORDS: usize = 3;

/// Distinct cells that are looked at.
const MAX_CELLS: usize = 2000;

/// Encodings of words that are mostly ASCII.
const LATIN: [&Encoding; 4] = [WINDOWS_1252, WINDOWS_1250, WINDOWS_1254, WINDOWS_1257];

/// Encodings that are shown if it is not clear which one a text has.
const SHOWN: [&Encoding; 8] =
    [WINDOWS_1252, WINDOWS_1251, WINDOWS_1250, WINDOWS_1253, GB18030, BIG5, SHIFT_JIS, EUC_KR];

/// The encoding of a text that begins with `start`.
///
/// # Errors
/// The bytes say too little: the first cell that is not ASCII, as it reads in several encodings.
pub(crate) fn detect(start: &[u8]) -> Result<Guess, String> {
    if let Some(guess) = detect_unicode(start) {
        return Ok(guess);
    }
    let cells = Cells::of(start);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    for cell in &cells.distinct {
        detector.feed(cell, false);
        detector.feed(b"\n", false);
    }
    let guessed = match detector.guess(None, Utf8Detection::Deny) {
        encoding if encoding == GBK => GB18030,
        encoding => encoding,
    };
    // Names such as Łódź are mostly letters with accents, but not all words of a text are.
    let is_latin = match is_latin_alphabet(guessed) {
        true => cells.latin * 3 >= cells.other,
        false => cells.latin >= cells.other,
    };
    let encoding = match (is_latin, is_latin_alphabet(guessed)) {
        (true, true) if cells.n_words >= ENOUGH_WORDS => guessed,
        // What Excel writes.
        (true, _) => WINDOWS_1252,
        (false, true) if is_pairs(start) => GB18030,
        (false, true) => return Err(cells.question(guessed)),
        (false, false) => guessed,
    };
    if !is_latin && cells.n_words < ENOUGH_WORDS {
        return Err(cells.question(encoding));
    }
    let words = if cells.n_words == 1 { "1 word" } else { &format!("{} different words", cells.n_words) };
    let example = decoded(encoding, cells.first_word()).unwrap_or_default();
    let reason = format!("it is not UTF-8, and this is a guess from {words}, such as {example:?}");
    Ok(Guess { encoding, reason })
}

/// The encoding of a body of a request, which is not asked about: GB18030 if the bytes above 127 come in pairs as in
/// Chinese text, else Windows-1252.
pub(crate) fn detect_or_western(start: &[u8]) -> Guess {
    detect_unicode(start).unwrap_or_else(|| {
        let (encoding, pairs) = if is_pairs(start) { (GB18030, "pairs") } else { (WINDOWS_1252, "no pairs") };
        let reason = format!("it is not UTF-8, and its bytes above 127 are {pairs} as in Chinese text");
        Guess { encoding, reason }
    })
}

fn detect_unicode(start: &[u8]) -> Option<Guess> {
    let guess = |encoding, reason: &str| Some(Guess { encoding, reason: reason.into() });
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
    let (mut valid, mut invalid) = (0, 0);
    for chunk in start.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        invalid += usize::from(!chunk.invalid().is_empty());
    }
    // By chance, no text of another encoding is UTF-8 for so long; the reader names the line of the fault.
    if valid >= MANY_CHARACTERS * invalid { guess(UTF_8, "") } else { None }
}

/// UTF-8 for each fault that text of another encoding does not have.
const MANY_CHARACTERS: usize = 10;

fn is_latin_alphabet(encoding: &'static Encoding) -> bool {
    // Those of the standard for Latin alphabets; `ISO-8859-8-I` and the others are Hebrew, Arabic, Greek, Cyrillic.
    let name = encoding.name();
    LATIN.contains(&encoding)
        || [
            "ISO-8859-2",
            "ISO-8859-3",
            "ISO-8859-4",
            "ISO-8859-10",
            "ISO-8859-13",
            "ISO-8859-14",
            "ISO-8859-15",
        ]
        .contains(&name)
        || ["ISO-8859-16", "windows-1258", "macintosh"].contains(&name)
}

/// Whether the bytes above 127 come in pairs that are punctuation or first-level characters of GB 2312. Chinese text has
/// little else; in Western text they stand alone, and small letters with accents are no first bytes of such pairs.
fn is_pairs(start: &[u8]) -> bool {
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
    pairs > 4 * others && decoded(GB18030, start).is_some()
}

/// A text in an encoding, if it is valid in it and has no control characters; the end may be cut off.
fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = vec![0; decoder.max_utf8_buffer_length_without_replacement(bytes.len())?];
    let (result, _, n) = decoder.decode_to_utf8_without_replacement(bytes, &mut text, false);
    text.truncate(n);
    let text = String::from_utf8(text).ok().filter(|_| result == DecoderResult::InputEmpty)?;
    let is_odd = |c: char| matches!(u32::from(c), 0x80..=0x9F | 0xE000..=0xF8FF);
    (!text.contains(is_odd)).then_some(text)
}

/// The cells of a text that are not ASCII, each once, and their words.
struct Cells<'a> {
    distinct: BTreeSet<&'a [u8]>,
    /// The first of them, and its line.
    first: Option<(u64, &'a [u8])>,
    /// Different words that are not ASCII.
    n_words: usize,
    /// Those of them that are more than half ASCII, and the others; single letters and signs are neither.
    latin: usize,
    other: usize,
}

impl<'a> Cells<'a> {
    fn of(start: &'a [u8]) -> Self {
        let mut found = Self { distinct: BTreeSet::new(), first: None, n_words: 0, latin: 0, other: 0 };
        let mut words = BTreeSet::new();
        // None of these is the second byte of a character in any encoding of East Asia.
        let is_end = |byte: &u8| matches!(byte, b',' | b';' | b'\t' | b'\n' | b'\r' | b'"');
        for (line, record) in (1..).zip(start.split(|&byte| byte == b'\n')) {
            for cell in record.split(is_end).filter(|cell| !cell.is_ascii()) {
                found.first.get_or_insert((line, cell));
                if found.distinct.insert(cell) {
                    let in_word = |byte: &u8| byte.is_ascii_alphabetic() || *byte >= 0x80;
                    words.extend(cell.split(|byte| !in_word(byte)).filter(|word| !word.is_ascii()));
                }
            }
            if found.distinct.len() >= MAX_CELLS {
                break;
            }
        }
        for word in words.iter().filter(|word| word.len() > 1) {
            let n = word.iter().filter(|&&byte| byte >= 0x80).count();
            let is_latin = n == 1 || n * 2 < word.len();
            *(if is_latin { &mut found.latin } else { &mut found.other }) += 1;
        }
        found.n_words = words.len();
        found
    }

    fn first_word(&self) -> &'a [u8] {
        let cell = self.first.map_or(&b""[..], |(_, cell)| cell).trim_ascii();
        &cell[..cell.len().min(40)]
    }

    /// The question which encoding a text has. `guess`: the likeliest.
    fn question(&self, guess: &'static Encoding) -> String {
        let mut shown: Vec<(String, &str)> = Vec::new();
        for encoding in [guess].into_iter().chain(SHOWN) {
            if let Some(text) = decoded(encoding, self.first_word())
                && !shown.iter().any(|(other, _)| *other == text)
                && shown.len() < 5
            {
                shown.push((text, encoding.name()));
            }
        }
        let shown: Vec<String> = shown.iter().map(|(text, name)| format!("{text:?} in {name}")).collect();
        let line = self.first.map_or(1, |(line, _)| line);
        format!(
            "is not UTF-8, and too little of it shows which encoding it has; line {line} reads {}; name the right one, \
             such as --encoding {}",
            shown.join(", "),
            guess.name().to_lowercase()
        )
    }
}

/// Reads text in another encoding as UTF-8.
pub(crate) struct Transcoder<R> {
    reader: R,
    decoder: Decoder,
    input: Vec<u8>,
    at: usize,
    ended: bool,
}

const BUFFER_BYTES: usize = 64 * 1024;

impl<R: Read> Transcoder<R> {
    /// Reads `reader`, which holds text in `encoding`; a byte order mark is taken off.
    pub(crate) fn of(reader: R, encoding: &'static Encoding) -> Poured<Self> {
        Poured::new(Self {
            reader,
            decoder: encoding.new_decoder_with_bom_removal(),
            input: Vec::new(),
            at: 0,
            ended: false,
        })
    }
}

impl<R: Read> Fill for Transcoder<R> {
    fn fill(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while output.is_empty() && !(self.ended && self.at == self.input.len()) {
            if self.at == self.input.len() {
                self.input.resize(BUFFER_BYTES, 0);
                let n = self.reader.read(&mut self.input)?;
                self.input.truncate(n);
                self.at = 0;
                self.ended = n == 0;
            }
            output.resize(BUFFER_BYTES, 0);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(&self.input[self.at..], output, self.ended);
            self.at += read;
            output.truncate(written);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, encoding: &'static Encoding) -> Vec<u8> {
        encoding.encode(text).0.into_owned()
    }

    fn found(bytes: &[u8]) -> &'static Encoding {
        detect(bytes).unwrap().encoding
    }

    #[test]
    fn an_encoding_is_found_by_its_bytes() {
        let chinese = "城市,人口\n北京,2189\n上海,2487\n";
        assert_eq!(found(&written("größer,größer", WINDOWS_1252)), WINDOWS_1252);
        assert_eq!(found(chinese.as_bytes()), UTF_8);
        assert_eq!(found(&chinese.as_bytes()[..14]), UTF_8, "cut within a character");
        assert_eq!(found(b"a,b\n1,2\n"), UTF_8);
        let wide: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&wide), UTF_16LE);
        let wide: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(found(&wide), UTF_16BE);
        assert_eq!(found(&[&[0xFF, 0xFE][..], &[0x61, 0]].concat()), UTF_16LE);
        for (text, encoding) in [
            (chinese, GB18030),
            ("Stadt;Straße\nKöln;Große Bäckerstraße\nZürich;Café Müller\n", WINDOWS_1252),
            ("город,улица,кот\nМосква,Арбат,да\nКазань,Баумана,нет\n", WINDOWS_1251),
            ("都市,区分,人口\n東京,大きい,1400\n大阪,小さい,880\nテスト,あり,3\n", SHIFT_JIS),
            ("城市,標籤,人口\n臺北,好的,260\n高雄,壞的,277\n臺南,這是,188\n", BIG5),
            ("도시,이름,인구\n서울,좋은,970\n부산,나쁜,340\n대구,하는,240\n", EUC_KR),
            (
                "miasto,ulica\nŁódź,Piotrkowska\nKraków,Święty Krzyż\nGdańsk,Żółta\nPoznań,Ślężna\n",
                WINDOWS_1250,
            ),
            ("πόλη,όνομα,ναι\nΑθήνα,καλό,1\nΠάτρα,κακό,2\n", WINDOWS_1253),
        ] {
            // However often its rows come again.
            let again = text.to_string() + &text.repeat(50);
            for text in [text, &again] {
                assert_eq!(found(&written(text, encoding)), encoding, "{text}");
            }
        }
    }

    #[test]
    fn one_word_is_no_evidence_of_a_script_and_is_asked_about() {
        let latin = "size,état\n1,CRÉÉE\n2,OUVERT\n3,CRÉÉE\n";
        assert_eq!(found(&written(latin, WINDOWS_1252)), WINDOWS_1252);
        assert_eq!(found(&written("t,°C\n5,20 °C\n", WINDOWS_1252)), WINDOWS_1252, "a sign is no word");
        for (text, encoding, shown) in [
            ("size,kind\n1,да\n2,no\n", WINDOWS_1251, "\"да\" in windows-1251"),
            ("size,kind\n1,台灣\n2,no\n", BIG5, "\"台灣\" in Big5"),
        ] {
            let question = detect(&written(text, encoding)).unwrap_err();
            assert!(question.contains(shown) && question.contains("line 2 reads"), "{question}");
            assert!(question.contains("--encoding "), "{question}");
        }
    }

    #[test]
    fn a_fault_in_text_that_is_utf8_otherwise_is_left_to_the_reader() {
        let text = "Köln,Zürich,Düsseldorf,Łódź,Gdańsk\n".repeat(4);
        assert_eq!(found(&[text.as_bytes(), b"K\xF6ln\n"].concat()), UTF_8);
    }

    #[test]
    fn a_body_is_not_asked_about() {
        assert_eq!(detect_or_western(&written("1,да\n", WINDOWS_1251)).encoding, WINDOWS_1252);
        assert_eq!(detect_or_western(&written("城市,人口\n", GB18030)).encoding, GB18030);
        assert_eq!(detect_or_western("город\n".as_bytes()).encoding, UTF_8);
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
            ("shift_jis", SHIFT_JIS),
            ("cp932", SHIFT_JIS),
            ("windows-1251", WINDOWS_1251),
            ("utf_8_sig", UTF_8),
            ("ks_c_5601-1987", EUC_KR),
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
        Transcoder::of(&bytes[..], GB18030).read_to_string(&mut found).unwrap();
        assert!(found == text);
        let error = Transcoder::of(&b"a\xFF"[..], GB18030).read_to_string(&mut found).unwrap_err();
        assert!(error.to_string().contains("not valid gb18030"));
    }
}
