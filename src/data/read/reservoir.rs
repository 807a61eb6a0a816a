//! A sample of the records of a file that is too large to be read whole, and the records that are not in it.
//!
//! Each record has a number by chance, a hash of the seed and its line. Those of the smallest numbers are the sample, in
//! each stratum as many as its share of the records: what a reservoir holds (Vitter 1985), found so (bottom-k sampling,
//! Cohen and Kaplan 2007) by any number of threads, and found again in a second pass by one bound for each stratum.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use encoding_rs::UTF_8;
use serde_json::value::RawValue;

use super::blocks::{Block, Blocks, Cut, in_order};
use super::csv::Records;
use super::digest::PassingDigest;
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::load::member_names;
use super::ndjson::{MAX_LATE, Members, cell_text, is_ndjson, lines, too_many_late};
use super::ragged::ragged;
use super::source::{Input, Options, open};
use crate::random::{seed_of_child, unit_interval_of};

/// The size of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// So many records.
    Rows(usize),
    /// A share of the records, above 0 and below 1.
    Share(f64),
}

/// Distinct values of the target up to which each is a stratum; a column of more is of numbers.
const MAX_STRATA: usize = 200;
/// Records of a stratum of which at least as many are kept as there are, so that its share of a sample is exact.
const KEPT_OF_STRATUM: f64 = 1200.0;
/// How many more records are kept than the sample needs: the strata have their shares by chance until the end.
const SLACK: f64 = 1.2;

/// The stratum of records without a target value: the hash of no text.
const NO_VALUE: u64 = 0xCBF2_9CE4_8422_2325;

/// A sample.
pub(crate) struct Reservoir {
    /// The sample as text, in the order of the file, with all columns of the file.
    pub(crate) text: Arc<Vec<u8>>,
    /// How the text is to be read.
    pub(crate) options: Options,
    /// Records of the file.
    pub(crate) n_records: usize,
    /// Records of the sample.
    pub(crate) n_sampled: usize,
    /// Strata; 1 without.
    pub(crate) n_strata: usize,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
    bounds: Bounds,
    top: Top,
}

/// What a text of some records begins with, so that it has all columns of the file.
enum Top {
    /// A header line, or nothing.
    Header(Vec<u8>),
    /// The members of all records of NDJSON: the first record has each of them, null if need be.
    Members(Vec<String>),
}

/// For each stratum the largest number that is in the sample.
struct Bounds {
    of: BTreeMap<u64, u64>,
    target: Option<String>,
    seed: u64,
}

struct Kept {
    number: u64,
    line: u64,
    stratum: u64,
    bytes: Box<[u8]>,
}

/// The records of a block: place in `bytes`, line, stratum.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    records: Vec<(Record, u64)>,
    /// Members of NDJSON that the file does not begin with.
    late: Vec<String>,
    failure: Option<anyhow::Error>,
}

/// A file whose records can be sampled.
struct Opened {
    frame: Frame,
    has_header: bool,
    blocks: Blocks<Box<dyn Read + Send>>,
    digest: Option<PassingDigest>,
}

/// What all blocks of a file share.
struct Frame {
    source: String,
    names: Vec<String>,
    form: Form,
}

/// How the records of a file are written.
enum Form {
    /// Delimited text, of which the target is wanted.
    Delimited(Walk),
    /// NDJSON, and the names that its first records have.
    Lines { target: Option<String>, known: HashSet<String> },
}

impl Opened {
    /// Opens a file. `target`: the column whose values are strata, the last one by default.
    fn new(path: &str, options: &Options, target: Option<&str>) -> Result<Self> {
        let mut input = Input::new(open(path)?, path, options, true, true)?;
        input.prompt = false;
        let source = input.source.clone();
        if is_ndjson(path, &input.start) {
            let names = member_names(&input.start, &source)?;
            let target = target.map(str::to_string).or_else(|| names.last().cloned());
            let form = Form::Lines { target, known: names.iter().cloned().collect() };
            let digest = input.digest.clone();
            let blocks = input.blocks(Cut::Lines, options.block_bytes);
            return Ok(Self { frame: Frame { source, names, form }, has_header: false, blocks, digest });
        }
        let records = Records::new(input, options)?;
        let names = records.names().to_vec();
        let place = match target {
            Some(target) => names.iter().position(|name| name == target),
            None => names.len().checked_sub(1),
        };
        let want = |column| if Some(column) == place { Want::Text } else { Want::Nothing };
        let wants = (0..names.len()).map(want).collect();
        let walk =
            Walk { dialect: records.dialect(), wants, places: false, remarks: Some(records.remarks()) };
        let (has_header, digest) = (records.has_header(), records.passing_digest());
        let frame = Frame { source, names, form: Form::Delimited(walk) };
        Ok(Self { frame, has_header, blocks: records.blocks, digest })
    }
}

/// The stratum of a value of the target: FNV-1a (Fowler, Noll and Vo 1991).
fn stratum_of(text: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    text.trim_ascii().iter().fold(NO_VALUE, step)
}

struct Look<'a> {
    out: &'a mut Found,
    stratum: u64,
}

impl Visitor for Look<'_> {
    fn number(&mut self, _: usize, _: f64) {}

    fn text(&mut self, _: usize, text: &[u8], _: u64) {
        self.stratum = stratum_of(text);
    }

    fn end(&mut self, record: Record) -> bool {
        self.out.records.push((record, std::mem::replace(&mut self.stratum, NO_VALUE)));
        true
    }
}

impl Frame {
    /// Looks at the records of a block.
    fn look(&self, block: &Block, out: &mut Found) {
        out.records.clear();
        out.bytes.clear();
        match &self.form {
            Form::Delimited(walk) => self.look_at_fields(block, walk, out),
            Form::Lines { target, known } => {
                out.failure = self.look_at_lines(block, target.as_deref(), known, out).err();
            }
        }
    }

    fn look_at_fields(&self, block: &Block, walk: &Walk, out: &mut Found) {
        out.bytes.extend_from_slice(&block.bytes);
        walk.through_few(block, &mut Look { out: &mut *out, stratum: NO_VALUE });
        let n_columns = self.names.len();
        let wrong = |(record, _): &&(Record, u64)| record.open || record.n_fields != n_columns;
        out.failure =
            out.records.iter().find(wrong).map(|(record, _)| {
                anyhow!(ragged(&self.source, record, n_columns, &block.bytes, walk.dialect))
            });
    }

    fn look_at_lines(
        &self,
        block: &Block,
        target: Option<&str>,
        known: &HashSet<String>,
        out: &mut Found,
    ) -> Result<()> {
        out.late.clear();
        for (line, bytes) in lines(block) {
            let Members(members) = serde_json::from_slice(bytes)
                .map_err(|error| anyhow!("{} line {line}: not a JSON object: {error}", self.source))?;
            let mut stratum = NO_VALUE;
            for (place, (name, value)) in members.iter().enumerate() {
                if target == Some(name) {
                    // A value that is none fails when it is read.
                    stratum = cell_text(value).map_or(NO_VALUE, |text| stratum_of(text.as_bytes()));
                }
                let is_known = self.names.get(place).is_some_and(|at| at == name) || known.contains(&**name);
                if !is_known && out.late.len() <= MAX_LATE && !out.late.iter().any(|late| late == name) {
                    out.late.push(name.to_string());
                }
            }
            let start = out.bytes.len();
            out.bytes.extend_from_slice(bytes);
            let place = start..out.bytes.len();
            out.records.push((Record { place, line, last_line: line, n_fields: 0, open: false }, stratum));
        }
        Ok(())
    }

    fn dialect(&self) -> Dialect {
        match &self.form {
            Form::Delimited(walk) => walk.dialect,
            Form::Lines { .. } => Dialect::default(),
        }
    }

    /// What texts of records begin with; `late`: members of NDJSON that the file does not begin with.
    fn top(self, has_header: bool, late: Vec<String>) -> Top {
        match self.form {
            Form::Delimited(walk) if has_header => Top::Header(header(&self.names, walk.dialect)),
            Form::Delimited(_) => Top::Header(Vec::new()),
            Form::Lines { .. } => {
                let mut names = self.names;
                // As in a table that is read whole, the last column stays the last.
                let last = names.len().saturating_sub(1);
                names.splice(last..last, late);
                Top::Members(names)
            }
        }
    }
}

impl Top {
    /// Records as a text of their own.
    fn text_of<'a>(&self, records: impl Iterator<Item = &'a [u8]>) -> Arc<Vec<u8>> {
        let mut text = Vec::new();
        if let Self::Header(header) = self {
            text.extend_from_slice(header);
        }
        for (n, record) in records.enumerate() {
            match self {
                Self::Members(names) if n == 0 => write_whole(record, names, &mut text),
                _ => text.extend_from_slice(record),
            }
            text.push(b'\n');
        }
        Arc::new(text)
    }
}

/// Writes a JSON object with all of these members in their order; null are those that it has not.
fn write_whole(record: &[u8], names: &[String], text: &mut Vec<u8>) {
    let Ok(Members(members)) = serde_json::from_slice(record) else {
        return text.extend_from_slice(record);
    };
    let by_name: HashMap<&str, &RawValue> =
        members.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
    if by_name.len() < members.len() {
        // One is given twice, which is an error when it is read.
        return text.extend_from_slice(record);
    }
    for (place, name) in names.iter().enumerate() {
        text.push(if place == 0 { b'{' } else { b',' });
        text.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(by_name.get(name.as_str()).map_or("null", |value| value.get()).as_bytes());
    }
    text.push(b'}');
}

impl Reservoir {
    /// Samples the records of the file at `path` (`-`: standard input), read once. `target`: the column whose values are
    /// strata, the last one by default.
    ///
    /// # Errors
    /// Those of [`Records::open`]; a record with another number of fields, or a line that is no JSON object; no records.
    pub(crate) fn sample(
        path: &str,
        options: &Options,
        target: Option<&str>,
        size: Size,
        seed: u64,
    ) -> Result<Self> {
        let Opened { frame, has_header, mut blocks, digest } = Opened::new(path, options, target)?;
        let options = Options {
            delimiter: Some(frame.dialect().delimiter),
            quote: Some(frame.dialect().quote),
            header: has_header,
            header_in_doubt: false,
            encoding: Some(UTF_8),
            lines_to_skip: Some(0),
            lines_left_out: Vec::new(),
            comment: None,
            sheet: None,
            arrow: false,
            ..options.clone()
        };
        let mut pass = Pass { size, ..Pass::default() };
        let mut late: Vec<String> = Vec::new();
        let n_threads = rayon::current_num_threads();
        let consume = |found: &mut Found| {
            found.failure.take().map_or(Ok(()), Err)?;
            for name in found.late.drain(..) {
                if !late.contains(&name) {
                    ensure!(late.len() < MAX_LATE, "{} {}", frame.source, too_many_late(&name));
                    late.push(name);
                }
            }
            for (record, stratum) in &found.records {
                pass.offer(seed_of_child(seed, record.line as usize), record, *stratum, &found.bytes);
            }
            Ok(())
        };
        in_order(&mut blocks, n_threads, |block, found| frame.look(block, found), consume)?;
        ensure!(pass.n > 0, "{} has a header and no rows; there is nothing to read", frame.source);
        let digest = digest.context("the digest was asked for")?;
        let (n_records, n_strata) = (pass.n, pass.strata.len());
        let (mut kept, of) = pass.choose();
        kept.sort_unstable_by_key(|kept| kept.line);
        let top = frame.top(has_header, late);
        let text = top.text_of(kept.iter().map(|kept| &*kept.bytes));
        Ok(Self {
            text,
            options,
            n_records,
            n_sampled: kept.len(),
            n_strata,
            sha256: digest.hex(),
            bounds: Bounds { of, target: target.map(str::to_string), seed },
            top,
        })
    }

    /// Reads the file again and gives `work` the records of each block that are not in the sample, each with its line end;
    /// `consume` gets the results in the order of the file. `share`: those that a second number by chance, from 0 to 1, falls
    /// into, so that two shares that do not overlap have no record in common.
    ///
    /// # Errors
    /// A file that has changed; those of `consume`.
    pub(crate) fn rest<O: Default + Send>(
        &self,
        path: &str,
        options: &Options,
        share: Range<f64>,
        work: impl Fn(&[&[u8]], &mut O) + Sync,
        mut consume: impl FnMut(&mut O) -> Result<()>,
    ) -> Result<()> {
        let Opened { frame, mut blocks, digest, .. } =
            Opened::new(path, options, self.bounds.target.as_deref())?;
        let changed = || anyhow!("{} has changed since it was sampled; train again", frame.source);
        let work = |block: &Block, out: &mut (Found, O, usize)| {
            frame.look(block, &mut out.0);
            let is_rest = |(record, stratum): &&(Record, u64)| {
                let number = seed_of_child(self.bounds.seed, record.line as usize);
                !self.bounds.hold(number, *stratum)
                    && share.contains(&unit_interval_of(seed_of_child(number, 0)))
            };
            out.2 = out.0.records.len();
            let rest = out.0.records.iter().filter(is_rest);
            let rest: Vec<&[u8]> = rest.map(|(record, _)| &out.0.bytes[record.place.clone()]).collect();
            work(&rest, &mut out.1);
        };
        let mut n_records = 0;
        let consume = |(_, out, n): &mut (Found, O, usize)| {
            n_records += *n;
            consume(out)
        };
        in_order(&mut blocks, rayon::current_num_threads(), work, consume)?;
        let digest = digest.context("the digest was asked for")?;
        ensure!(n_records == self.n_records && digest.hex() == self.sha256, changed());
        Ok(())
    }

    /// Records as a text of their own, to be read with [`Reservoir::options`].
    pub(crate) fn text_of(&self, records: &[&[u8]]) -> Arc<Vec<u8>> {
        self.top.text_of(records.iter().copied())
    }
}

impl Bounds {
    /// Whether a record is in the sample.
    fn hold(&self, number: u64, stratum: u64) -> bool {
        let stratum =
            if self.of.len() == 1 { self.of.keys().next().copied().unwrap_or(stratum) } else { stratum };
        self.of.get(&stratum).is_some_and(|bound| number <= *bound)
    }
}

/// The first pass.
#[derive(Default)]
struct Pass {
    size: Size,
    /// Records so far, and those of each stratum; one stratum if there would be too many.
    n: usize,
    strata: BTreeMap<u64, usize>,
    is_one: bool,
    kept: Vec<Kept>,
    /// Records that are kept before the next look at what may go.
    limit: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self::Rows(0)
    }
}

impl Pass {
    fn offer(&mut self, number: u64, record: &Record, stratum: u64, bytes: &[u8]) {
        self.n += 1;
        let stratum = if self.is_one { 0 } else { stratum };
        let of_stratum = self.strata.entry(stratum).or_default();
        *of_stratum += 1;
        if number > most(self.size, self.n, *of_stratum) {
            return;
        }
        self.kept.push(Kept {
            number,
            line: record.line,
            stratum,
            bytes: bytes[record.place.clone()].into(),
        });
        if self.strata.len() > MAX_STRATA {
            self.is_one = true;
            self.strata = BTreeMap::from([(0, self.n)]);
            self.kept.iter_mut().for_each(|kept| kept.stratum = 0);
        }
        if self.kept.len() > self.limit.max(4096) {
            let Self { size, n, strata, kept, .. } = self;
            kept.retain(|kept| kept.number <= most(*size, *n, strata[&kept.stratum]));
            self.limit = 2 * self.kept.len();
        }
    }

    /// The sample, and the largest number of each stratum in it.
    fn choose(mut self) -> (Vec<Kept>, BTreeMap<u64, u64>) {
        let size = match self.size {
            Size::Rows(size) => size.min(self.n),
            Size::Share(share) => (share * self.n as f64).round() as usize,
        };
        self.kept.sort_unstable_by_key(|kept| (kept.stratum, kept.number, kept.line));
        // The largest remainders get what is left after rounding down; each stratum has a record at least.
        let exact = |n: usize| n as u128 * size as u128;
        let mut quotas: Vec<(u64, usize, u128)> = self
            .strata
            .iter()
            .map(|(&s, &n)| (s, (exact(n) / self.n as u128) as usize, exact(n) % self.n as u128))
            .collect();
        let left = size - quotas.iter().map(|quota| quota.1).sum::<usize>();
        quotas.sort_by_key(|&(stratum, _, remainder)| (std::cmp::Reverse(remainder), stratum));
        quotas.iter_mut().take(left).for_each(|quota| quota.1 += 1);
        let quotas: BTreeMap<u64, usize> =
            quotas.into_iter().map(|(s, quota, _)| (s, quota.max(usize::from(s != NO_VALUE)))).collect();
        let mut taken = BTreeMap::new();
        let mut bounds = BTreeMap::new();
        self.kept.retain(|kept| {
            let n = taken.entry(kept.stratum).or_insert(0);
            *n += 1;
            let is_in = *n <= quotas[&kept.stratum];
            if is_in {
                bounds.insert(kept.stratum, kept.number);
            }
            is_in
        });
        (self.kept, bounds)
    }
}

/// The largest number that may yet be in the sample, after `n` records, of them `of_stratum` in its stratum. It only falls.
fn most(size: Size, n: usize, of_stratum: usize) -> u64 {
    let share = match size {
        Size::Rows(size) => size as f64 / n as f64,
        Size::Share(share) => share,
    };
    let rate = (SLACK * share).max(KEPT_OF_STRATUM / of_stratum as f64);
    // Saturates.
    (rate * 2_f64.powi(64)) as u64
}

/// The line that names the columns.
fn header(names: &[String], dialect: Dialect) -> Vec<u8> {
    let mut line = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            line.push(dialect.delimiter);
        }
        match dialect.quote {
            Some(quote) => {
                line.push(quote);
                for &byte in name.as_bytes() {
                    line.extend(std::iter::repeat_n(byte, if byte == quote { 2 } else { 1 }));
                }
                line.push(quote);
            }
            None => line.extend_from_slice(name.as_bytes()),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn table(n: usize, label: impl Fn(usize) -> &'static str) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        writeln!(file, "\"a, \"\"b\"\"\",y").unwrap();
        for i in 0..n {
            if i % 1000 == 7 {
                writeln!(file, "\"{i}\nmore\",{}", label(i)).unwrap();
            } else {
                writeln!(file, "{i},{}", label(i)).unwrap();
            }
        }
        file
    }

    fn rows(text: &[u8]) -> Vec<(String, String)> {
        let mut reader = csv::Reader::from_reader(text);
        assert_eq!(reader.headers().unwrap(), vec!["a, \"b\"", "y"]);
        reader.records().map(Result::unwrap).map(|r| (r[0].to_string(), r[1].to_string())).collect()
    }

    #[test]
    fn a_sample_has_the_shares_of_the_classes_and_the_rest_is_all_that_it_has_not() {
        // Sorted by class, so that shares are not known before the end; the rarest class has 20 rows.
        let label = |i| {
            if i < 30_000 {
                "common"
            } else if i < 49_980 {
                "other"
            } else {
                "rare"
            }
        };
        let file = table(50_000, label);
        let path = file.path().to_str().unwrap();
        for (size, expected) in [(Size::Rows(5000), [3000, 1998, 2]), (Size::Share(0.02), [600, 400, 1])] {
            let found = Reservoir::sample(path, &Options::default(), None, size, 42).unwrap();
            let sampled = rows(&found.text);
            let of = |label: &str| sampled.iter().filter(|row| row.1 == label).count();
            assert_eq!(["common", "other", "rare"].map(of), expected, "{size:?}");
            assert_eq!((found.n_records, found.n_strata), (50_000, 3));
            let mut all: Vec<String> = sampled.into_iter().map(|row| row.0).collect();
            assert_eq!(all.len(), found.n_sampled);
            let work = |records: &[&[u8]], out: &mut Vec<String>| {
                *out = rows(&found.text_of(records)).into_iter().map(|row| row.0).collect();
            };
            found
                .rest(path, &Options::default(), 0.0..1.0, work, |out| {
                    all.append(out);
                    Ok(())
                })
                .unwrap();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 50_000, "each record once");
            let mut shares = [0.0..0.2, 0.2..1.0].map(|share| {
                let mut of_share = Vec::new();
                let consume = |out: &mut Vec<String>| {
                    of_share.append(out);
                    Ok(())
                };
                found.rest(path, &Options::default(), share, work, consume).unwrap();
                of_share
            });
            let n = 50_000 - found.n_sampled;
            assert!(shares[0].len().abs_diff(n / 5) < 400, "{}", shares[0].len());
            let mut rest = shares[0].clone();
            rest.append(&mut shares[1]);
            rest.sort();
            rest.dedup();
            assert_eq!(rest.len(), n, "no record in both shares");
        }
    }

    #[test]
    fn the_seed_says_which_rows_and_a_small_file_is_taken_whole() {
        let file = table(3000, |i| if i % 2 == 0 { "a" } else { "b" });
        let path = file.path().to_str().unwrap();
        let sample =
            |size, seed| Reservoir::sample(path, &Options::default(), Some("y"), size, seed).unwrap();
        let texts = [1, 1, 2].map(|seed| sample(Size::Rows(100), seed).text);
        assert!(texts[0] == texts[1] && texts[0] != texts[2]);
        let first_half = rows(&texts[0]).iter().filter(|row| row.0.len() < 4).count();
        assert!((20..50).contains(&first_half), "{first_half} of 100 among the first third");
        assert_eq!(sample(Size::Rows(5000), 1).n_sampled, 3000);
    }

    #[test]
    fn texts_of_ndjson_have_all_members_of_the_file_and_the_target_is_the_last_that_it_begins_with() {
        let mut file = tempfile::Builder::new().suffix(".ndjson").tempfile().unwrap();
        let mut wanted = Vec::new();
        for i in 0..60_000 {
            let label = if i % 3 == 0 { "\"a\"" } else { "null" };
            let late = if i > 50_000 { ",\"late \\\"one\\\"\":[1]" } else { "" };
            let end = if i % 2 == 0 { "\r\n\n" } else { "\n" };
            write!(file, "{{\"y\":{label},\"x\":{i}{late}}}{end}").unwrap();
            wanted.push((i, i % 3 == 0, i > 50_000));
        }
        let path = file.path().to_str().unwrap();
        let options = Options { block_bytes: 100_000, ..Options::default() };
        let rows = |text: &[u8]| -> Vec<(u64, bool, bool)> {
            let text = std::str::from_utf8(text).unwrap();
            let first = text.lines().next().unwrap();
            assert!(first.starts_with("{\"y\":") && first.contains("\"late \\\"one\\\"\":"), "{first}");
            let row = |line: &str| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                let late = object.get("late \"one\"").is_some_and(|value| !value.is_null());
                (object["x"].as_u64().unwrap(), object["y"] == "a", late)
            };
            text.lines().map(row).collect()
        };
        let found = Reservoir::sample(path, &options, Some("y"), Size::Share(0.05), 9).unwrap();
        assert_eq!((found.n_records, found.n_sampled, found.n_strata), (60_000, 3000, 2));
        assert!(std::str::from_utf8(&found.text).unwrap().lines().next().unwrap().contains("\"x\":"));
        let mut all = rows(&found.text);
        assert_eq!(all.iter().filter(|row| row.1).count(), 1000, "a third, as in the file");
        let work = |records: &[&[u8]], out: &mut Vec<_>| *out = rows(&found.text_of(records));
        found
            .rest(path, &options, 0.0..1.0, work, |out| {
                all.append(out);
                Ok(())
            })
            .unwrap();
        all.sort_unstable();
        assert!(all == wanted, "each record once");
        let by_x = Reservoir::sample(path, &options, None, Size::Rows(100), 9).unwrap();
        assert_eq!(by_x.n_strata, 1, "x is the last member, and has too many values");
        let first = by_x.text.split(|&byte| byte == b'\n').next().unwrap();
        let place = |name: &str| memchr::memmem::find(first, name.as_bytes()).unwrap();
        assert!(place("late") < place("\"x\":"), "and stays the last");
    }

    #[test]
    fn ndjson_that_is_none_is_refused_by_its_line_and_too_many_late_members_by_name() {
        let sample = |text: &str| {
            let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            Reservoir::sample(path, &Options::default(), None, Size::Rows(2), 1).err().unwrap().to_string()
        };
        let good = "{\"x\":1,\"y\":2}\n".repeat(30_000);
        assert!(sample(&format!("{good}\n[1]\n")).contains("line 30002: not a JSON object"));
        let values: String = (0..1001).map(|i| format!("{{\"{i}\":1}}\n")).collect();
        let refused = sample(&(good + &values));
        assert!(refused.contains("more than 1000 members") && refused.contains("\"1000\""), "{refused}");
    }

    #[test]
    fn numbers_are_no_strata() {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        writeln!(file, "y,x").unwrap();
        (0..20_000).for_each(|i| writeln!(file, "{i}.5,1").unwrap());
        let path = file.path().to_str().unwrap();
        let found = Reservoir::sample(path, &Options::default(), Some("y"), Size::Rows(500), 3).unwrap();
        assert_eq!((found.n_strata, found.n_sampled), (1, 500));
        let mut n_rest = 0;
        let work = |records: &[&[u8]], n: &mut usize| *n = records.len();
        let count = |n: &mut usize| {
            n_rest += *n;
            Ok(())
        };
        found.rest(path, &Options::default(), 0.0..1.0, work, count).unwrap();
        assert_eq!(n_rest, 19_500);
    }
}
