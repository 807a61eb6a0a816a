//! Text cells and the terms in them.
//!
//! A text is normalised (Unicode NFKC, lower case) and cut by script, so that mixed text works: letters and digits
//! between anything else are a word, and words give uni- and bigrams; runs of Chinese, Japanese and Korean
//! characters, which are written without spaces between words, give character uni- and bigrams, with the ends of
//! the run as characters. A term is known by its hash of 32 bits: two terms of a vocabulary of 65,536 share one
//! by a chance of 1 in 65,536 each.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// The control character that a list among texts begins with, followed by the mark of its notation, and that stands
/// before each of its members.
pub(super) const MEMBER: char = '\u{1f}';

/// Texts in one string, one after the other, and the end of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Appends a text and returns its code, the number of texts before it.
    pub fn push(&mut self, text: &str) -> f64 {
        self.text.push_str(text);
        self.ends.push(self.text.len());
        (self.ends.len() - 1) as f64
    }

    /// The text of a code; empty if there is none, as for a missing value.
    pub fn get(&self, code: f64) -> &str {
        // NaN is none, and -1, which becomes 0 when cast, does not occur.
        if code.is_nan() {
            return "";
        }
        let index = code as usize;
        if index < self.len() { self.nth(index) } else { "" }
    }

    /// Text `i`; panics when there is no such text.
    pub fn nth(&self, i: usize) -> &str {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[i]]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// First to last.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.nth(i))
    }

    /// Appends those of another list.
    pub fn append(&mut self, other: &Self) {
        let before = self.text.len();
        self.text.push_str(&other.text);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// Removes all texts and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// Whether a character belongs to a script that is written without spaces between words, or is a Korean one: CJK
/// ideographs and their extensions, kana, Hangul, bopomofo (Unicode 17, Blocks.txt).
fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x3100..=0x318F | 0x31A0..=0x31BF
        | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA960..=0xA97F | 0xAC00..=0xD7FF
        | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// About how many words a text has: runs between spaces that hold a letter, and one for every two characters of a
/// script without spaces.
pub(crate) fn count_words(text: &str) -> f64 {
    let word = |part: &str| {
        let cjk = part.chars().filter(|&c| is_cjk(c)).count();
        let spaced = part.chars().any(|c| c.is_alphabetic() && !is_cjk(c));
        cjk as f64 / 2.0 + f64::from(u8::from(spaced))
    };
    text.split_whitespace().map(word).sum()
}

/// 64-bit FNV-1a (Fowler, Noll and Vo; RFC 9923), character by character.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const WORD: Self = Self(0xcbf2_9ce4_8422_2325);
    const PAIR: Self = Self(0x9ae1_6a3b_2f90_404f);

    fn with(self, value: u64) -> Self {
        Self((self.0 ^ value).wrapping_mul(0x0100_0000_01b3))
    }

    /// The term that a member of a list is, whatever its words.
    fn member(member: &str) -> u32 {
        member.chars().fold(Self::WORD, |hash, c| hash.with(u64::from(u32::from(c)))).term()
    }

    /// The hash mixed down to 32 bits (the finaliser of MurmurHash3, Appleby 2011).
    fn term(self) -> u32 {
        let mut h = self.0;
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (h >> 32) as u32
    }
}

/// The run that the character before belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Between,
    Word,
    Cjk(char),
}

/// The edge of a run of characters.
const EDGE: u64 = 0;

/// The characters of a text that are a term.
enum Place {
    /// From the first to before the second.
    Within(usize, usize),
    /// This one as the first of its run.
    First(usize),
    /// This one as the last of its run.
    Last(usize),
}

/// The terms of a text with their characters, in the order of the text; `^` stands for the beginning of a run of characters
/// without spaces, `$` for its end.
pub(crate) fn named_terms(text: &str) -> Vec<(u32, String)> {
    if let Some(list) = text.strip_prefix(MEMBER) {
        return list.split(MEMBER).skip(1).map(|member| (Hash::member(member), member.into())).collect();
    }
    let characters: Vec<char> = text.nfkc().flat_map(char::to_lowercase).collect();
    let (mut terms, mut names) = (Terms::default(), Vec::new());
    terms.read(characters.iter().copied(), &mut |place| {
        names.push(match place {
            Place::Within(start, end) => characters[start..end].iter().collect::<String>(),
            Place::First(i) => format!("^{}", characters[i]),
            Place::Last(i) => format!("{}$", characters[i]),
        });
    });
    terms.found.into_iter().zip(names).collect()
}

/// Finds the terms of texts, one text after the other.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    found: Vec<u32>,
}

impl Terms {
    /// The terms of `text` and how often each occurs, ascending by hash.
    pub fn of(&mut self, text: &str) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.found.clear();
        if let Some(list) = text.strip_prefix(MEMBER) {
            self.found.extend(list.split(MEMBER).skip(1).map(Hash::member));
        } else if text.is_ascii() {
            self.read(text.chars().map(|c| c.to_ascii_lowercase()), &mut |_| {});
        } else if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
            self.read(text.chars().flat_map(char::to_lowercase), &mut |_| {});
        } else {
            self.read(text.nfkc().flat_map(char::to_lowercase), &mut |_| {});
        }
        self.found.sort_unstable();
        self.found.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as f64))
    }

    /// Finds the terms of characters; `see` gets the place of each.
    fn read(&mut self, characters: impl Iterator<Item = char>, see: &mut impl FnMut(Place)) {
        let mut run = Run::Between;
        // Where the word, and the one before it, begin.
        let (mut start, mut last_start) = (0, 0);
        let mut word = Hash::WORD;
        let mut last_word: Option<Hash> = None;
        // A space at the end, which ends the last run.
        for (i, c) in characters.chain(std::iter::once(' ')).enumerate() {
            let next = match c {
                _ if is_cjk(c) => Run::Cjk(c),
                _ if c.is_alphanumeric() => Run::Word,
                // Marks belong to the letter before them, as vowels do in Devanagari.
                _ if run == Run::Word && unicode_normalization::char::is_combining_mark(c) => Run::Word,
                _ => Run::Between,
            };
            if run == Run::Word && next != Run::Word {
                self.found.push(word.term());
                see(Place::Within(start, i));
                if let Some(last) = last_word {
                    self.found.push(Hash::PAIR.with(last.0).with(word.0).term());
                    see(Place::Within(last_start, i));
                }
                (last_word, last_start) = (Some(word), start);
                word = Hash::WORD;
            }
            if let Run::Cjk(before) = run {
                let second = if let Run::Cjk(c) = next { u64::from(u32::from(c)) } else { EDGE };
                self.pair(u64::from(u32::from(before)), second);
                see(if second == EDGE { Place::Last(i - 1) } else { Place::Within(i - 1, i + 1) });
            }
            match next {
                Run::Word => {
                    start = if run == Run::Word { start } else { i };
                    word = word.with(u64::from(u32::from(c)));
                }
                Run::Cjk(c) => {
                    self.found.push(Hash::WORD.with(u64::from(u32::from(c))).term());
                    see(Place::Within(i, i + 1));
                    if !matches!(run, Run::Cjk(_)) {
                        self.pair(EDGE, u64::from(u32::from(c)));
                        see(Place::First(i));
                    }
                    last_word = None;
                }
                Run::Between => {}
            }
            run = next;
        }
    }

    fn pair(&mut self, first: u64, second: u64) {
        self.found.push(Hash::PAIR.with(first).with(second).term());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<(u32, f64)> {
        Terms::default().of(text).collect()
    }

    #[test]
    fn words_give_uni_and_bigrams_whatever_stands_between_them() {
        assert_eq!(terms("where is it").len(), 5);
        assert_eq!(terms("Where, is IT?!"), terms("where is it"));
        assert_ne!(terms("is it where"), terms("where is it"), "bigrams keep the order");
        let repeated = terms("no no");
        assert_eq!(repeated.iter().map(|(_, count)| *count).sum::<f64>(), 3.0);
        assert!(repeated.iter().any(|(_, count)| *count == 2.0));
    }

    #[test]
    fn characters_of_scripts_without_spaces_give_uni_and_bigrams_with_the_ends_of_the_run() {
        // 退 款 and ^退 退款 款$.
        assert_eq!(terms("退款").len(), 5);
        assert_eq!(terms("환불").len(), 5);
        let mixed = terms("我的iPhone坏了");
        let phone = terms("iphone")[0].0;
        assert!(mixed.iter().any(|(term, _)| *term == phone), "a word among characters is a word");
    }

    #[test]
    fn terms_have_names_that_are_found_in_the_text() {
        for text in ["Where, is IT?!", "我的iPhone坏了", "no no", "환불 ｉＰｈｏｎｅ", "cafe\u{301} ok", ""]
        {
            let mut named: Vec<u32> = named_terms(text).into_iter().map(|(term, _)| term).collect();
            named.sort_unstable();
            let counted = terms(text).into_iter().flat_map(|(term, n)| std::iter::repeat_n(term, n as usize));
            assert_eq!(named, counted.collect::<Vec<u32>>(), "{text}");
        }
        let names = |text| named_terms(text).into_iter().map(|(_, name)| name).collect::<Vec<String>>();
        assert_eq!(names("Where is"), ["where", "is", "where is"]);
        assert_eq!(names("退款"), ["退", "^退", "退款", "款", "款$"]);
        let of = |text: &str, name: &str| named_terms(text).into_iter().find(|(_, known)| known == name);
        assert_eq!(of("a refund", "refund"), of("REFUND now", "refund"));
    }

    #[test]
    fn texts_that_look_the_same_are_the_same() {
        assert_eq!(terms("ｉＰｈｏｎｅ １５"), terms("iphone 15"), "full width");
        assert_eq!(terms("cafe\u{301}"), terms("CAFÉ"), "composed and decomposed");
        assert_eq!(terms("  "), []);
        assert_eq!(terms("🎉 !?"), []);
    }

    #[test]
    fn words_are_counted_in_any_script_and_codes_lead_back_to_texts() {
        assert_eq!(count_words("where is my order 12345?"), 4.0);
        assert_eq!(count_words("我的订单在哪里"), 3.5);
        assert_eq!(count_words("2024-03-05 10:00:00"), 0.0);
        let mut texts = Texts::default();
        let codes = ["a", "", "bc"].map(|text| texts.push(text));
        assert_eq!(codes.map(|code| texts.get(code)), ["a", "", "bc"]);
        assert_eq!((texts.get(f64::NAN), texts.get(9.0)), ("", ""));
    }
}
