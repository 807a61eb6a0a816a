//! Tables that stand in a text in another way than one record a line: below comments or titles, between drawn lines,
//! divided by runs of blanks, with blanks before quotes or backslashes within them. [`Layout`] says which, [`Relaid`]
//! gives the text as plain delimited text.
//!
//! A line that is no part of the table becomes an empty one, which readers skip, so every line keeps its number. Plain
//! tables do not come here. Found by [`super::sniff_layout`], used by [`super::csv`].

use std::io::{self, Read};

use memchr::memchr2;

use super::poured::{Fill, Poured};
use super::source::Options;

/// A line of an odd layout is held in memory as a whole, up to so many bytes.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

const BUFFER_BYTES: usize = 64 * 1024;

/// The byte between the fields of a table that was divided by blanks or by two characters, once it is plain.
pub(super) const FOR_BLANKS: u8 = b'\t';

/// What stands between the fields of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// One delimiter.
    #[default]
    Plain,
    /// Blanks and tabs, as many as there are.
    Blanks,
    /// Two of this byte, as `||`.
    Doubled(u8),
    /// Bars, with borders between some lines; `outer`: bars stand at both ends of a line as well.
    Drawn {
        /// Whether bars stand at both ends of a line.
        outer: bool,
    },
}

/// How a table stands in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Lines before the table.
    pub skip: u64,
    /// Further lines that are no part of it, in order.
    pub left_out: Vec<u64>,
    /// The byte that lines begin with which are no part of it.
    pub comment: Option<u8>,
    pub form: Form,
    /// Whether blanks stand between a delimiter and a quote.
    pub blanks_before_quotes: bool,
    /// Whether a backslash takes its meaning from a quote.
    pub backslashes: bool,
    /// The number of fields from which on empty ones are cut off; 0: none is.
    pub n_fields: usize,
    /// The byte between two fields; of no meaning unless the form is plain.
    pub delimiter: u8,
    pub quote: Option<u8>,
}

impl Layout {
    /// The layout that the user has described.
    pub(super) fn said(options: &Options) -> Self {
        let mut left_out = options.lines_left_out.clone();
        left_out.sort_unstable();
        Self {
            skip: options.lines_to_skip.unwrap_or(0),
            left_out,
            comment: options.comment,
            delimiter: options.delimiter.unwrap_or(b','),
            quote: options.quote.unwrap_or(Some(b'"')),
            ..Self::default()
        }
    }

    /// Whether the text is plain delimited text as it stands.
    pub(super) fn is_plain(&self) -> bool {
        self.skip == 0
            && self.left_out.is_empty()
            && self.comment.is_none()
            && self.form == Form::Plain
            && !self.blanks_before_quotes
            && !self.backslashes
            && self.n_fields == 0
    }

    /// The whole lines of `start` as plain text.
    pub(super) fn of_start(&self, start: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(start.len());
        Lines::new(self.clone()).take(start, false, &mut text);
        text
    }
}

/// The lines of a text that pass, and where they are.
struct Lines {
    layout: Layout,
    /// The number of the last line.
    number: u64,
    /// Whether a quote is open at the end of it.
    open: bool,
    /// The fields before it in its record.
    n_fields: usize,
    /// Whether it ends with `\r` alone.
    carriage: bool,
}

impl Lines {
    fn new(layout: Layout) -> Self {
        Self { layout, number: 0, open: false, n_fields: 1, carriage: false }
    }

    /// Makes the whole lines in `bytes` plain, or all of them at the end; the number of bytes that were taken.
    fn take(&mut self, bytes: &[u8], ended: bool, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        loop {
            let end = match memchr2(b'\n', b'\r', &bytes[at..]) {
                Some(n) => at + n,
                None if ended && at < bytes.len() => bytes.len(),
                None => return at,
            };
            let next = match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => end + 2,
                // The other half of a \r\n may be to come.
                (Some(b'\r'), None) if !ended => return at,
                (Some(_), _) => end + 1,
                (None, _) => end,
            };
            let before = out.len();
            self.line(&bytes[at..end], out);
            let line_end = &bytes[end..next];
            // Two line ends are not to become one.
            if out.len() == before && self.carriage && line_end == b"\n" {
                out.push(b' ');
            }
            self.carriage = line_end == b"\r";
            out.extend_from_slice(line_end);
            at = next;
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.number += 1;
        let layout = &self.layout;
        let is_left_out = self.number <= layout.skip || layout.left_out.binary_search(&self.number).is_ok();
        if is_left_out || !self.open && layout.comment.is_some() && line.first() == layout.comment.as_ref() {
            return;
        }
        match layout.form {
            Form::Plain => self.plain(line, out),
            Form::Blanks if !self.open && is_border(line, b"") => {}
            Form::Blanks => self.blanks(line, out),
            Form::Doubled(mark) => self.doubled(line, mark, out),
            Form::Drawn { .. } if is_border(line, b"+|") || is_count(line) => {}
            Form::Drawn { outer } => out.extend_from_slice(if outer { without_bars(line) } else { line }),
        }
    }

    fn plain(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Layout { delimiter, quote, blanks_before_quotes, backslashes, n_fields, .. } = self.layout;
        let start = out.len();
        let (mut at, mut begins) = (0, !self.open);
        if begins {
            self.n_fields = 1;
        }
        while let Some(&byte) = line.get(at) {
            let next = line.get(at + 1).copied();
            at += 1;
            if self.open {
                match (byte, next) {
                    (b'\\', Some(escaped)) if backslashes => {
                        at += 1;
                        match escaped {
                            escaped if Some(escaped) == quote => out.extend([escaped, escaped]),
                            b'\\' => out.push(b'\\'),
                            escaped => out.extend([b'\\', escaped]),
                        }
                        continue;
                    }
                    (byte, next) if Some(byte) == quote => {
                        if next == quote {
                            out.push(byte);
                            at += 1;
                        } else {
                            self.open = false;
                        }
                    }
                    _ => {}
                }
                out.push(byte);
                continue;
            }
            if std::mem::take(&mut begins) {
                let n_blanks = if blanks_before_quotes { n_blanks(&line[at - 1..], delimiter) } else { 0 };
                if quote.is_some() && line.get(at - 1 + n_blanks) == quote.as_ref() {
                    out.extend(quote);
                    at += n_blanks;
                    self.open = true;
                    continue;
                }
            }
            out.push(byte);
            if byte == delimiter {
                self.n_fields += 1;
                begins = true;
            }
        }
        while !self.open && n_fields > 0 && self.n_fields > n_fields {
            let end = out[start..].iter().rposition(|byte| *byte != b' ').map_or(start, |n| start + n + 1);
            if end == start || out[end - 1] != delimiter {
                break;
            }
            out.truncate(end - 1);
            self.n_fields -= 1;
        }
    }

    /// A line whose fields are divided by two of `mark`, with one tab between two fields.
    fn doubled(&mut self, line: &[u8], mark: u8, out: &mut Vec<u8>) {
        let quote = self.layout.quote;
        let (mut at, mut begins) = (0, !self.open);
        while let Some(&byte) = line.get(at) {
            let is_quote = Some(byte) == quote && (self.open || begins);
            if !self.open && line[at..].starts_with(&[mark, mark]) {
                out.push(FOR_BLANKS);
                (at, begins) = (at + 2, true);
                continue;
            }
            // A doubled quote within quotes closes and opens them.
            self.open ^= is_quote;
            begins = is_quote && !self.open;
            out.push(byte);
            at += 1;
        }
    }

    /// A line whose fields are divided by blanks, with one tab between two fields.
    fn blanks(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
        let quote = self.layout.quote;
        let start = out.len();
        let mut at = 0;
        loop {
            if !self.open {
                at += line[at..].iter().take_while(|byte| is_blank(**byte)).count();
                if at == line.len() {
                    return;
                }
                if out.len() > start {
                    out.push(FOR_BLANKS);
                }
                if quote.is_some() && line.get(at) == quote.as_ref() {
                    self.open = true;
                    out.extend(quote);
                    at += 1;
                }
            }
            while let Some(&byte) = line.get(at) {
                if !self.open && is_blank(byte) {
                    break;
                }
                if self.open && Some(byte) == quote {
                    if line.get(at + 1) == quote.as_ref() {
                        out.push(byte);
                        at += 1;
                    } else {
                        self.open = false;
                    }
                }
                out.push(byte);
                at += 1;
            }
            if at == line.len() {
                return;
            }
        }
    }
}

/// Blanks that a line begins with, none of which is the delimiter.
fn n_blanks(line: &[u8], delimiter: u8) -> usize {
    line.iter().take_while(|byte| matches!(**byte, b' ' | b'\t') && **byte != delimiter).count()
}

/// Whether a line is drawn, of dashes and the like, and has one of `crossings` unless there are none.
pub(super) fn is_border(line: &[u8], crossings: &[u8]) -> bool {
    line.windows(2).any(|pair| matches!(pair, b"--" | b"=="))
        && line.iter().all(|byte| b"-+|:= \t".contains(byte))
        && (crossings.is_empty() || line.iter().any(|byte| crossings.contains(byte)))
}

/// Whether a line tells how many rows there are, as database clients do: `(3 rows)`, `3 rows in set (0.01 sec)`.
pub(super) fn is_count(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    let text = text.trim();
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let Some((count, words)) = inner.unwrap_or(text).split_once(' ') else {
        return false;
    };
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |words: &str| words.chars().all(|c| c.is_alphabetic() || c == ' ');
    is_number && (inner.is_some() && plain(words) || words.starts_with("row") && words.contains(" in set"))
}

/// A line without its first and its last bar.
fn without_bars(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"|").unwrap_or(line);
    line.strip_suffix(b"|").unwrap_or(line)
}

/// Reads the text of a table in an odd layout as plain delimited text.
pub(super) struct Relaid<R> {
    inner: R,
    lines: Lines,
    /// Read and not yet taken.
    input: Vec<u8>,
    ended: bool,
    max_line_bytes: usize,
}

impl<R: Read> Relaid<R> {
    /// The text that begins with `start` and goes on with `rest`: its beginning, as far as its lines are whole, and the
    /// reader of the rest.
    pub(super) fn split(
        layout: Layout,
        start: &[u8],
        rest: R,
        max_line_bytes: usize,
    ) -> (Vec<u8>, Poured<Self>) {
        let mut lines = Lines::new(layout);
        let mut text = Vec::with_capacity(start.len());
        let taken = lines.take(start, false, &mut text);
        let rest = Self {
            inner: rest,
            lines,
            input: start[taken..].to_vec(),
            ended: false,
            max_line_bytes: max_line_bytes.min(MAX_LINE_BYTES),
        };
        (text, Poured::new(rest))
    }
}

impl<R: Read> Fill for Relaid<R> {
    fn fill(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while output.is_empty() && !self.ended {
            let before = self.input.len();
            if before > self.max_line_bytes {
                let most = self.max_line_bytes;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {} is longer than {most} bytes", self.lines.number + 1),
                ));
            }
            self.input.resize(before + BUFFER_BYTES, 0);
            let read = self.inner.read(&mut self.input[before..]);
            self.input.truncate(before + *read.as_ref().unwrap_or(&0));
            self.ended = read? == 0;
            let taken = self.lines.take(&self.input, self.ended, output);
            self.input.drain(..taken);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(form: Form) -> Layout {
        Layout { form, delimiter: b',', quote: Some(b'"'), ..Layout::default() }
    }

    fn relaid(layout: &Layout, text: &str, start: usize) -> String {
        let (start, rest) = text.as_bytes().split_at(start.min(text.len()));
        let (mut text, mut rest) = Relaid::split(layout.clone(), start, rest, 1 << 20);
        rest.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_layout_becomes_plain_text_of_as_many_lines() {
        let plain = layout(Form::Plain);
        let comment = Layout { comment: Some(b'#'), ..plain.clone() };
        let left_out = Layout { skip: 1, left_out: vec![3, 5], ..plain.clone() };
        let quotes = Layout { blanks_before_quotes: true, ..plain.clone() };
        let backslashes = Layout { backslashes: true, ..plain.clone() };
        let cut = Layout { n_fields: 2, ..plain.clone() };
        let bars = |outer| layout(Form::Drawn { outer });
        for (layout, text, wanted) in [
            (&comment, "#x\na,\"b\n#c\"\n# d\n1,2", "\na,\"b\n#c\"\n\n1,2"),
            (&left_out, "x\r\na\r\nu\r\n1\r\nTotal", "\r\na\r\n\r\n1\r\n"),
            (&quotes, "a, \"b, c\", d\n \"x\",  \"y\"\"\", z\n", "a,\"b, c\", d\n\"x\",\"y\"\"\", z\n"),
            (&quotes, "a,  b\n", "a,  b\n"),
            (&backslashes, "\"a\\\"b\",\\x,\"c\\\\\",\"\\d\"\n", "\"a\"\"b\",\\x,\"c\\\",\"\\d\"\n"),
            (&cut, "a,b,\n1,2,,\n3,,\n4,5,6\n7\n", "a,b\n1,2\n3,\n4,5,6\n7\n"),
            (&cut, "\"x\ny\",2, \n", "\"x\ny\",2\n"),
            (
                &layout(Form::Blanks),
                "  a  b\tc \n\n1 \"x y\"  z\n-- --- --\n",
                "a\tb\tc\n\n1\t\"x y\"\tz\n\n",
            ),
            (&bars(false), " a | b \n---+---\n 1 | \n(1 row)\n", " a | b \n\n 1 | \n\n"),
            (&bars(true), "| a | b |\n|:--|--:|\n| 1 |   |\n", " a | b \n\n 1 |   \n"),
            (&bars(true), "+--+\n| a |\n+--+\n1 row in set (0.00 sec)\n", "\n a \n\n\n"),
        ] {
            assert_eq!(relaid(layout, text, 0), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_has_no_end_is_refused() {
        let (_, mut rest) = Relaid::split(layout(Form::Blanks), b"", io::repeat(b'x'), 100_000);
        let error = rest.read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("line 1 is longer than 100000 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn the_text_is_the_same_wherever_it_is_cut_and_keeps_its_lines(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "a", "1", ",", ",", " ", "\t", "\"", "\"\"", "\\\"", "\n", "\n", "\r\n", "\r", "#", "|", "--+--",
                ]),
                0..40,
            ),
            start in 0_usize..60,
            which in 0..5,
        ) {
            let text = pieces.concat();
            let layout = match which {
                0 => Layout { comment: Some(b'#'), n_fields: 2, ..layout(Form::Plain) },
                1 => Layout { backslashes: true, blanks_before_quotes: true, ..layout(Form::Plain) },
                2 => Layout { skip: 1, left_out: vec![3], ..layout(Form::Blanks) },
                3 => layout(Form::Drawn { outer: true }),
                _ => layout(Form::Plain),
            };
            let whole = relaid(&layout, &text, 0);
            prop_assert_eq!(&relaid(&layout, &text, start), &whole);
            let n_lines = super::super::blocks::count_lines;
            prop_assert_eq!(n_lines(whole.as_bytes()), n_lines(text.as_bytes()));
            if which == 4 {
                prop_assert_eq!(whole, text, "plain text stays as it is");
            }
        }
    }
}
