//! How a table stands in a text, found in its beginning: comments and titles before the header, drawn lines, blanks
//! between fields or before quotes, backslashes before quotes, delimiters at the ends of lines.
//!
//! Called by [`super::csv`] for whatever the user has not said. A text whose records are all of one length as they stand
//! is taken as it stands, with few exceptions that are certain. Every finding has a note; a text that is odd in another
//! way is left to the error of its first odd record.

use std::borrow::Cow;
use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::blocks::Block;
use super::fields::{Dialect, Record};
use super::header;
use super::layout::{FOR_BLANKS, Form, Layout, is_border};
use super::sniff::{First, SOME_BYTES, commas_are_decimal, sniff, whole_records};
use super::source::Options;

/// Records that are looked at.
const SAMPLE_RECORDS: usize = 100;

/// Lines before a table that are looked for.
const MAX_TITLES: usize = 20;

/// What was found in the beginning of a text.
pub(super) struct Found {
    /// How the text is made plain.
    pub layout: Layout,
    /// How the plain text is written.
    pub dialect: Dialect,
    /// The byte between two fields as the user would name it.
    pub delimiter: u8,
    /// Remarks for the user.
    pub notes: Vec<String>,
}

/// A reading of the text that may be the right one.
struct Attempt {
    layout: Layout,
    dialect: Dialect,
    notes: Vec<String>,
    records: Vec<(Record, Vec<Vec<u8>>)>,
}

impl Attempt {
    /// Reads the text in a layout; the delimiter is found unless the options or the layout say it.
    fn new(start: &[u8], path: &str, options: &Options, layout: Layout) -> Self {
        let plain = if layout.is_plain() { None } else { Some(layout.of_start(start)) };
        let text = plain.as_deref().unwrap_or(start);
        let delimiter = match layout.form {
            Form::Blanks | Form::Doubled(_) => Some(FOR_BLANKS),
            Form::Drawn { .. } => Some(b'|'),
            Form::Plain => options.delimiter,
        };
        let quote = if layout.form == Form::Plain { options.quote } else { Some(layout.quote) };
        let options = Options { delimiter, quote, ..options.clone() };
        let (dialect, notes, block) = sniff(text, path, &options);
        let records = First::some(&block, dialect, SAMPLE_RECORDS, usize::MAX);
        let layout = match layout.form {
            Form::Plain => Layout { delimiter: dialect.delimiter, quote: dialect.quote, ..layout },
            _ => layout,
        };
        Self { layout, dialect, notes, records }
    }

    /// The plain text of the whole lines of `start`.
    fn text<'a>(&self, start: &'a [u8]) -> Cow<'a, [u8]> {
        if self.layout.is_plain() { start.into() } else { self.layout.of_start(start).into() }
    }

    fn n_fields(&self) -> usize {
        self.records.first().map_or(0, |(record, _)| record.n_fields)
    }

    /// Whether all records have as many fields, two at least.
    fn is_table(&self) -> bool {
        let n_fields = self.n_fields();
        n_fields > 1 && self.records.iter().all(|(record, _)| record.n_fields == n_fields && !record.open)
    }

    fn fields(&self) -> Vec<Vec<Vec<u8>>> {
        self.records.iter().map(|(_, fields)| fields.clone()).collect()
    }

    fn found(self, note: &str) -> Found {
        let mut notes = self.notes;
        if !note.is_empty() {
            notes.push(note.to_string());
        }
        let delimiter = match self.layout.form {
            Form::Blanks => b' ',
            Form::Doubled(mark) => mark,
            _ => self.dialect.delimiter,
        };
        Found { layout: self.layout, dialect: self.dialect, delimiter, notes }
    }
}

/// Refuses texts that are no tables, by their first words.
///
/// # Errors
/// A web page and the like.
pub(super) fn refuse_other_texts(start: &[u8], source: &str) -> Result<()> {
    let text = start.trim_ascii_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|s| s.eq_ignore_ascii_case(with.as_bytes()));
    let is_any = |with: &[&str]| with.iter().any(|with| begins(with));
    if is_any(&["<!doctype html", "<html", "<head", "<body"]) {
        bail!(
            "{source} is a web page (HTML), not a table; perhaps the address needs a login or leads to a page about the \
             file: download the file itself"
        );
    }
    if is_any(&["<?xml", "<!doctype"]) {
        bail!("{source} is XML, not a table; export it as CSV");
    }
    if is_any(&["%PDF-", "{\\rtf"]) {
        bail!("{source} is a document, not a table; export the table as CSV");
    }
    if is_any(&["┌", "╭", "╔", "shape: ("]) {
        bail!(
            "{source} is a table as it is shown on a screen, which may lack rows and digits; export it as CSV"
        );
    }
    Ok(())
}

/// The layout and the dialect of a text that begins with `start`.
pub(super) fn find(start: &[u8], path: &str, options: &Options) -> Found {
    let said = Layout::said(options);
    let mut options = options.clone();
    let mut notes = Vec::new();
    let mut layout = said.clone();
    // Whoever says how many lines to skip says so of all of them.
    let knows_start = options.lines_to_skip.is_some();
    if !knows_start {
        let n = leading_comments(start, path, &options, &layout);
        if n > 0 {
            layout.skip = n;
            notes.push(format!(
                "its first {} left out, as comments that begin with #; --lines-to-skip 0 reads all lines",
                lines_were(n)
            ));
        }
        if let Some((line, delimiter)) =
            separator_line(&layout.of_start(&start[..start.len().min(FEW_BYTES)]))
        {
            layout.skip = line;
            options.delimiter = options.delimiter.or(Some(delimiter));
            let shown =
                if delimiter == b'\t' { "tabs".into() } else { format!("{:?}", char::from(delimiter)) };
            notes.push(format!("its fields are divided by {shown}, as its line {line} says"));
        }
    }
    let mut found = drawn(start, path, &options, &layout, knows_start)
        .unwrap_or_else(|| delimited(start, path, &options, layout, knows_start));
    found.notes.splice(..0, notes);
    found
}

fn delimited(start: &[u8], path: &str, options: &Options, layout: Layout, knows_start: bool) -> Found {
    let with = |layout: Layout| Attempt::new(start, path, options, layout);
    let plain = with(layout.clone());
    if !knows_start && let Some(titled) = titled(start, path, options, &plain) {
        return titled;
    }
    if let Some(attempt) = quotes_behind_blanks(start, path, options, &plain) {
        return attempt.found("the blanks before its quotes were left out");
    }
    if let Some(found) = doubled(start, path, options, &plain) {
        return found;
    }
    if let Some(found) = blanks(start, path, options, &plain) {
        return found;
    }
    if plain.is_table() && !has_broken_quotes(start, &plain) {
        return plain.found("");
    }
    if memchr::memmem::find(start, b"\\\"").is_some() {
        let attempt = with(Layout { backslashes: true, quote: Some(b'"'), ..plain.layout.clone() });
        if attempt.is_table() && !has_broken_quotes(start, &attempt) {
            return attempt.found("a backslash before a quote was read as an escape");
        }
    }
    if let Some(n_fields) = cut_to(&plain).filter(|_| !plain.is_table()) {
        let attempt = with(Layout { n_fields, ..plain.layout.clone() });
        if attempt.is_table() {
            return attempt.found("the delimiters that its lines end with were left out");
        }
    }
    let mut plain = plain;
    if plain.n_fields() == 1 && plain.records.len() > 1 && has_wide_blanks(start) {
        plain.notes.push(
            "its lines were read as one column each, as they have none of , tab ; |; if blanks divide them, \
             --delimiter ' '; if columns begin at fixed places, export it as CSV"
                .into(),
        );
    }
    plain.found("")
}

fn lines_were(n: u64) -> String {
    if n == 1 { "line was".into() } else { format!("{n} lines were") }
}

/// The lines of a text, without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The number of lines up to the last comment before the table; 0 without one.
///
/// The last of them is the header if it has as many fields as the records below it and the first of these is a row.
fn leading_comments(start: &[u8], path: &str, options: &Options, layout: &Layout) -> u64 {
    let mut last = Vec::new();
    for (line, number) in lines(start).zip(1..) {
        match line.trim_ascii_start() {
            [] => {}
            _ if number <= layout.skip => {}
            [b'#', ..] => last.push(number),
            _ => break,
        }
    }
    let Some((&n, before)) = last.split_last() else {
        return 0;
    };
    let below = Attempt::new(start, path, options, Layout { skip: n, ..layout.clone() });
    let fields = below.fields();
    let Some((first, rows)) = fields.split_first() else {
        return 0;
    };
    if header::is_header(first, rows, below.dialect.decimal_mark) {
        return n;
    }
    let said = Options { delimiter: Some(below.dialect.delimiter), ..options.clone() };
    let with = Attempt::new(start, path, &said, Layout { skip: n - 1, ..layout.clone() });
    if with.n_fields() == below.n_fields() { before.last().copied().unwrap_or(0) } else { n }
}

/// The delimiter that a first line `sep=;` tells, as Excel writes it, and the number of the line.
fn separator_line(text: &[u8]) -> Option<(u64, u8)> {
    let (line, number) = lines(text).zip(1..).find(|(line, _)| !line.trim_ascii().is_empty())?;
    let line = line.strip_prefix(b"\"").map_or(line, |rest| rest.strip_suffix(b"\"").unwrap_or(rest));
    let (word, rest) = line.split_at_checked(4)?;
    match rest {
        // Excel repeats the delimiter up to the width of the table.
        [delimiter, more @ ..] if word.eq_ignore_ascii_case(b"sep=") => {
            let is_rest = more.iter().all(|byte| byte == delimiter || b",;\t".contains(byte));
            (is_rest && !delimiter.is_ascii_alphanumeric()).then_some((number, *delimiter))
        }
        _ => None,
    }
}

/// A table with drawn borders, as Markdown, psql and MySQL show it.
fn drawn(start: &[u8], path: &str, options: &Options, layout: &Layout, knows_start: bool) -> Option<Found> {
    if options.delimiter.is_some_and(|delimiter| delimiter != b'|') {
        return None;
    }
    let few: Vec<&[u8]> = lines(start).take(MAX_TITLES + 2).collect();
    let skipped = layout.skip as usize;
    let border = (skipped..few.len()).find(|&at| is_border(few[at], b"+|"))?;
    let has_bar = |at: Option<usize>| at.and_then(|at| few.get(at)).is_some_and(|line| line.contains(&b'|'));
    // The header stands above the first border, or between the first two.
    let above = border.checked_sub(1).filter(|&above| above >= skipped && has_bar(Some(above)));
    if !has_bar(Some(border + 1)) || above.is_none() && !is_border(few.get(border + 2)?, b"+|") {
        return None;
    }
    let first = above.unwrap_or(border);
    if knows_start && first > skipped {
        return None;
    }
    let outer = few[above.unwrap_or(border + 1)].trim_ascii().starts_with(b"|");
    let layout = Layout {
        skip: first as u64,
        form: Form::Drawn { outer },
        delimiter: b'|',
        quote: options.quote.unwrap_or(None),
        ..layout.clone()
    };
    let attempt = Attempt::new(start, path, options, layout);
    if attempt.n_fields() < 2 {
        return None;
    }
    let titles = match first - skipped {
        0 => String::new(),
        n => format!(" and {n} lines before it"),
    };
    let note = format!("it is a table drawn with bars and dashes; its borders{titles} were left out");
    Some(attempt.found(&note))
}

/// The beginning of a text that has the end of the header in it, more often than not.
const FEW_BYTES: usize = 4096;

/// A table whose fields are divided by two characters, `||` or `::`, in every line as often.
fn doubled(start: &[u8], path: &str, options: &Options, plain: &Attempt) -> Option<Found> {
    [b'|', b':'].into_iter().find_map(|mark| {
        let is_said = options.delimiter.is_some_and(|said| said != mark);
        let few = &start[..start.len().min(FEW_BYTES)];
        if is_said || memchr::memmem::find(few, &[mark, mark]).is_none() {
            return None;
        }
        // Names are not empty, so two marks in the header are no field between them.
        let header = plain.layout.of_start(start);
        let header = lines(&header).find(|line| !line.trim_ascii().is_empty())?;
        let parts: Vec<&[u8]> = header.split(|byte| *byte == mark).map(<[u8]>::trim_ascii).collect();
        let is_name = |(i, part): (usize, &&[u8])| part.is_empty() == (i % 2 == 1);
        let has_names = parts.len() > 1 && parts.len() % 2 == 1 && parts.iter().enumerate().all(is_name);
        if !has_names {
            return None;
        }
        let quote = options.quote.unwrap_or(Some(b'"'));
        let layout = Layout { form: Form::Doubled(mark), quote, ..plain.layout.clone() };
        let attempt = Attempt::new(start, path, options, layout);
        // A lone bar is a delimiter; a lone colon stands in times.
        let is_rest = |field: &Vec<u8>| mark == b'|' && field.contains(&mark);
        let has_rest = attempt.records.iter().any(|(_, fields)| fields.iter().any(is_rest));
        let is_certain = attempt.records.len() > 2 && attempt.is_table() && !has_rest;
        let [a, b] = [char::from(mark); 2];
        is_certain
            .then(|| attempt.found(&format!("its fields are divided by \"{a}{b}\"; --delimiter overrides")))
    })
}

/// A table whose fields are divided by blanks.
fn blanks(start: &[u8], path: &str, options: &Options, plain: &Attempt) -> Option<Found> {
    let said = options.delimiter == Some(b' ');
    let is_tab = plain.is_table() && plain.dialect.delimiter == b'\t';
    // The commas of numbers are no delimiters.
    let is_decimal = plain.dialect.delimiter == b',' && commas_are_decimal(start);
    if !said && (options.delimiter.is_some() || plain.n_fields() > 1 && !is_tab && !is_decimal) {
        return None;
    }
    let quote = options.quote.unwrap_or(Some(b'"'));
    let layout = Layout { form: Form::Blanks, quote, ..plain.layout.clone() };
    let attempt = Attempt::new(start, path, options, layout);
    if !attempt.is_table() || is_tab && attempt.n_fields() <= plain.n_fields() {
        return None;
    }
    let is_number = |field: &Vec<u8>| {
        let text = std::str::from_utf8(field).unwrap_or_default();
        text.parse::<f64>().is_ok() || text.replacen(',', ".", 1).parse::<f64>().is_ok()
    };
    let rows = attempt.records.get(1..).unwrap_or_default();
    let has_numbers =
        |column: usize| rows.iter().all(|(_, fields)| fields.get(column).is_some_and(is_number));
    let mut columns = 0..attempt.n_fields();
    let certain = rows.len() >= 2
        && match is_tab {
            true => has_wide_blanks(start) && columns.all(has_numbers),
            false if is_decimal && plain.n_fields() > 1 => columns.all(has_numbers),
            false => columns.any(has_numbers),
        };
    let note = if said { "" } else { "its fields are divided by blanks; --delimiter overrides" };
    (said || options.blanks_likely && plain.n_fields() < 2 || certain).then(|| attempt.found(note))
}

/// Whether lines begin with blanks or have two of them side by side, as columns that are lined up have.
fn has_wide_blanks(start: &[u8]) -> bool {
    let few = || lines(start).filter(|line| !line.trim_ascii().is_empty()).take(SAMPLE_RECORDS);
    let wide = |line: &&[u8]| line.starts_with(b" ") || memchr::memmem::find(line, b"  ").is_some();
    few().filter(wide).count() * 2 > few().count()
}

/// A table with titles before its header: lines with one field at most, above a line that is certainly a header.
fn titled(start: &[u8], path: &str, options: &Options, plain: &Attempt) -> Option<Found> {
    let n_written = |fields: &[Vec<u8>]| fields.iter().filter(|field| !field.trim_ascii().is_empty()).count();
    let first = plain.records.first().map_or(0, |(_, fields)| n_written(fields));
    let candidates: &[u8] = match options.delimiter {
        _ if first > 1 && plain.is_table() => &[],
        Some(_) => &[plain.dialect.delimiter],
        None => &[plain.dialect.delimiter, b',', b'\t', b';', b'|'],
    };
    let is_said = options.delimiter.is_some();
    for &delimiter in candidates {
        let options = Options { delimiter: Some(delimiter), ..options.clone() };
        let attempt = Attempt::new(start, path, &options, plain.layout.clone());
        let Some((last, _)) = attempt.records.last() else {
            continue;
        };
        let n_fields = last.n_fields;
        let is_title = |(record, fields): &&(Record, Vec<Vec<u8>>)| {
            // An index without a name stands before the name of the only other column.
            let is_padded = record.n_fields > 1;
            let begins = n_written(&fields[..1]) == n_written(fields);
            record.line == record.last_line
                && n_written(fields) <= 1
                && (!is_padded || begins && (3..=n_fields).contains(&record.n_fields))
        };
        let n_titles = attempt.records.iter().take_while(is_title).count();
        let fields: Vec<Vec<Vec<u8>>> = attempt.fields().split_off(n_titles);
        let Some((first, rows)) = fields.split_first() else {
            continue;
        };
        let is_alike = attempt.records[n_titles..].iter().all(|(record, _)| record.n_fields == n_fields);
        if n_titles == 0 || n_titles > MAX_TITLES || n_fields < 2 || !is_alike {
            continue;
        }
        if header::is_header(first, rows, attempt.dialect.decimal_mark) {
            let title = attempt.records[n_titles - 1].0.last_line;
            let layout = Layout { skip: title, ..plain.layout.clone() };
            let n = title - plain.layout.skip;
            let note = format!(
                "its first {} left out, as line {} names the columns; --lines-to-skip 0 reads all lines",
                lines_were(n),
                attempt.records[n_titles].0.line
            );
            let mut found = Attempt::new(start, path, &options, layout).found(&note);
            if !is_said && delimiter != b',' {
                let shown =
                    if delimiter == b'\t' { "tabs".into() } else { format!("{:?}", char::from(delimiter)) };
                found.notes.insert(0, format!("its fields are divided by {shown}; --delimiter overrides"));
            }
            return Some(found);
        }
    }
    None
}

/// A table whose quotes stand behind blanks.
fn quotes_behind_blanks(start: &[u8], path: &str, options: &Options, plain: &Attempt) -> Option<Attempt> {
    let quote = options.quote.unwrap_or(Some(b'"'))?;
    let candidates: &[u8] = match options.delimiter {
        Some(_) => &[plain.dialect.delimiter],
        None => b",;|\t",
    };
    let before = |at: usize| at.checked_sub(1).and_then(|at| start.get(at)).copied();
    // As much of the text as an attempt looks at.
    let some = &start[..start.len().min(SOME_BYTES)];
    let behind: BTreeSet<u8> = memchr::memmem::find_iter(some, &[b' ', quote]).filter_map(before).collect();
    for &delimiter in candidates.iter().filter(|delimiter| **delimiter != b' ' && behind.contains(delimiter))
    {
        let layout =
            Layout { blanks_before_quotes: true, delimiter, quote: Some(quote), ..plain.layout.clone() };
        let options = Options { delimiter: Some(delimiter), quote: Some(Some(quote)), ..options.clone() };
        let attempt = Attempt::new(start, path, &options, layout);
        let is_other = attempt.text(start) != plain.layout.of_start(start);
        if is_other && attempt.is_table() && !has_broken_quotes(start, &attempt) {
            return Some(attempt);
        }
    }
    None
}

/// Whether a quoted field goes on behind its closing quote, or is never closed.
fn has_broken_quotes(start: &[u8], attempt: &Attempt) -> bool {
    let Dialect { delimiter, quote: Some(quote), .. } = attempt.dialect else {
        return false;
    };
    let text = attempt.text(start);
    if memchr::memchr(quote, &text).is_none() {
        return false;
    }
    let Block { bytes, .. } = whole_records(&text, Some(quote));
    let ends_field = |byte: &u8| *byte == delimiter || matches!(byte, b'\n' | b'\r');
    let mut at = 0;
    while let Some(found) = memchr::memchr(quote, &bytes[at..]).map(|n| at + n) {
        at = found + 1;
        if found > 0 && !ends_field(&bytes[found - 1]) {
            continue;
        }
        let closing = loop {
            let Some(n) = memchr::memchr(quote, &bytes[at..]) else {
                return true;
            };
            at += n + 1;
            if bytes.get(at) != Some(&quote) {
                break at;
            }
            at += 1;
        };
        let rest = bytes[closing..].iter().find(|byte| !matches!(byte, b' '));
        if rest.is_some_and(|byte| !ends_field(byte)) {
            return true;
        }
    }
    false
}

/// The number of fields that are left if the delimiters at the ends of lines are cut off, where header and rows differ
/// in nothing else.
fn cut_to(plain: &Attempt) -> Option<usize> {
    let n_written = |fields: &[Vec<u8>]| {
        fields.iter().rposition(|field| !field.trim_ascii().is_empty()).map_or(0, |last| last + 1)
    };
    let ((first, names), rows) = plain.records.split_first()?;
    let n_names = n_written(names);
    let longest = rows.iter().map(|(_, fields)| n_written(fields)).max()?;
    let shortest = rows.iter().map(|(record, _)| record.n_fields).chain([first.n_fields]).min()?;
    (n_names > 1 && longest <= n_names && shortest >= n_names).then_some(n_names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        find(text.as_bytes(), "t.csv", &Options::default())
    }

    /// The fields of a text, read as it was found.
    fn read(text: &str, options: &Options) -> Vec<Vec<String>> {
        let found = find(text.as_bytes(), "t.csv", options);
        let plain = found.layout.of_start(text.as_bytes());
        let block = Block::new(plain, 1);
        let records = First::some(&block, found.dialect, usize::MAX, usize::MAX);
        let text = |field: &Vec<u8>| String::from_utf8(field.clone()).unwrap().trim().to_string();
        records.iter().map(|(_, fields)| fields.iter().map(text).collect()).collect()
    }

    const ROWS: [&str; 4] = ["4.5,1,oak", "3.5,2,elm", "2.5,2,oak", "1.5,1,elm"];

    fn table(head: &str, change: impl Fn(&str) -> String) -> String {
        let rows: String = ROWS.iter().map(|row| change(row) + "\n").collect();
        head.to_string() + &rows
    }

    fn wanted() -> Vec<Vec<String>> {
        let rows = ["size,n,kind"].into_iter().chain(ROWS);
        rows.map(|row| row.split(',').map(String::from).collect()).collect()
    }

    #[test]
    fn odd_layouts_are_read_as_the_table_they_hold_and_each_has_a_note() {
        let same = str::to_string;
        let bars = |row: &str| format!("| {} |", row.replace(',', " | "));
        let drawn = |row: &str| format!(" {} ", row.replace(',', " | "));
        for (text, words) in [
            (table("# by a logger, v2\n#\n\nsize,n,kind\n", same), "comments"),
            (table("# one, two, three\nsize,n,kind\n", same), "comments"),
            (table("sep=;\nsize;n;kind\n", |row| row.replace(',', ";")), "divided by"),
            (table("\"SEP=;\"\r\nsize;n;kind\n", |row| row.replace(',', ";")), "divided by"),
            (table("Trees in the park\n\nsize,n,kind\n", same), "names the columns"),
            (table("Trees in the park,,\n,,\nsize,n,kind\n", same), "names the columns"),
            (table("size,n,kind,,\n", |row| format!("{row},")), "end with"),
            (table("size,n,kind\n", |row| format!("{row},")), "end with"),
            (table("size||n||kind\n", |row| row.replace(',', "||")), "divided by"),
            (table("size::n::kind\n", |row| row.replace(',', "::")), "divided by"),
            (table("size n  kind\n", |row| format!("  {}", row.replace(',', "   "))), "blanks"),
            (table("size   n kind\n---- --- ----\n", |row| row.replace(',', "\t ")), "blanks"),
            (table("| size | n | kind |\n|---|:-:|--:|\n", bars), "drawn"),
            (table("# Trees\n\n| size | n | kind |\n|---|:-:|--:|\n", bars), "drawn"),
            (table(" size | n | kind \n----+---+-----\n", drawn) + "(4 rows)\n", "drawn"),
            (
                table("+--+--+\n| size | n | kind |\n+--+--+\n", bars) + "+--+--+\n4 rows in set (0.0 sec)\n",
                "drawn",
            ),
        ] {
            assert_eq!(read(&text, &Options::default()), wanted(), "{text}");
            let notes = found(&text).notes;
            assert!(notes.iter().any(|note| note.contains(words)), "{text}{notes:?}");
        }
    }

    #[test]
    fn two_characters_divide_fields_that_are_empty_quoted_or_have_one_of_them() {
        let fields = |text: &str| -> Vec<Vec<String>> { read(text, &Options::default()) };
        let rows = fields("a::b::c\n12:30::::x\n::\"p::q\"::\n14:15::y::z\n");
        assert_eq!(rows[1..], [["12:30", "", "x"], ["", "p::q", ""], ["14:15", "y", "z"]]);
        // Two bars around a field without a name, one bar in a field, and one delimiter.
        for text in ["a||c\n1|2|3\n4|5|6\n7|8|9\n", "a|b\n1|2\n3|4\n5|6\n"] {
            assert_eq!(found(text).delimiter, b'|', "{text}");
            assert!(found(text).notes.iter().all(|note| !note.contains("||")), "{text}");
        }
    }

    #[test]
    fn quotes_behind_blanks_and_backslashes_before_quotes_are_read() {
        let options = Options::default();
        let text = "n, note, kind\n1, \"tall, old\", \"oak\"\n2, \"new\", \"elm\"\n";
        assert_eq!(read(text, &options)[1], ["1", "tall, old", "oak"]);
        // Nothing in the quotes needs them.
        assert_eq!(read("n, kind\n1, \"oak\"\n2, \"elm\"\n", &options)[2], ["2", "elm"]);
        let text = "n,say,kind\n1,\"a \\\"b\\\", c\",x\n2,\"plain\",y\n";
        assert_eq!(read(text, &options)[1], ["1", "a \"b\", c", "x"]);
        let path = "n,path\n1,\"C:\\a\\\"\n2,\"C:\\b\\\"\n";
        assert_eq!(read(path, &options)[1], ["1", "C:\\a\\"], "a backslash before a closing quote is one");
        assert!(found("n,text\n1, 5\" wide\n2, 7\" tall\n").layout.is_plain(), "inches");
    }

    #[test]
    fn plain_tables_stay_as_they_are() {
        let same = str::to_string;
        for text in [
            table("size,n,kind\n", same),
            table("#size,n,kind\n", same),
            table("size,,\n", same),
            table(",n,kind\n", same),
            "text\nhello world\nshort one\nand another\n".into(),
            "full name\nJohn Smith\nMary Jones\nAnn Lee\n".into(),
            "name\tn\nJohn Smith\t1\nMary Jones\t2\n".into(),
            "a,b,c\n1,2,\n3,4,\n".into(),
            "a|b\n1|--\n2|--\n".into(),
            "kind\n1,oak\n2,elm\n3,oak\n4,elm\n".into(),
            "a,b\n\"x\",1\n\"y\nz\",2\n".into(),
            String::new(),
            "\n\n".into(),
            "#".into(),
            "# a\n# b\n".into(),
        ] {
            assert!(found(&text).layout.is_plain(), "{text:?} {:?}", found(&text).layout);
        }
    }

    #[test]
    fn what_is_said_is_done_and_no_more() {
        let text = "x\ny\nsize,n\nunits,\n% c\n1,2\n";
        let options = Options {
            lines_to_skip: Some(2),
            lines_left_out: vec![4],
            comment: Some(b'%'),
            ..Options::default()
        };
        assert_eq!(read(text, &options), [["size", "n"], ["1", "2"]]);
        let options = Options { lines_to_skip: Some(0), ..Options::default() };
        assert_eq!(read("# a\nb,c\n", &options)[0], ["# a"]);
        let blanks = Options { delimiter: Some(b' '), ..Options::default() };
        assert_eq!(read("a  b\n 1 2\n", &blanks), [["a", "b"], ["1", "2"]]);
        assert_eq!(read("a b c\n1  3\n", &blanks)[1], ["1", "", "3"], "single blanks, if these fit");
        let likely = Options { blanks_likely: true, ..Options::default() };
        assert_eq!(read("size  kind\n1 oak\n", &likely)[1], ["1", "oak"]);
        assert_eq!(read("size,kind of\n1,oak\n", &likely)[1], ["1", "oak"]);
    }

    #[test]
    fn other_texts_are_named() {
        for (text, words) in [
            ("\n<!DOCTYPE html>\n<html>", "web page (HTML)"),
            ("<HTML>", "web page"),
            ("<?xml version=\"1.0\"?>", "XML"),
            ("%PDF-1.4", "document"),
            ("┌───┐", "shown on a screen"),
        ] {
            let error = refuse_other_texts(text.as_bytes(), "t.csv").unwrap_err().to_string();
            assert!(error.starts_with("t.csv is ") && error.contains(words), "{error}");
        }
        assert!(refuse_other_texts(b"<5,a\n1,2\n", "t.csv").is_ok());
    }
}
