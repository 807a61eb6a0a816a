//! A sample of the records of a file that is too large to be read whole, and the records that are not in it.
//!
//! Each record has a number by chance, a hash of the seed and its line. Those of the smallest numbers are the sample, in
//! each stratum as many as its share of the records: what a reservoir holds (Vitter 1985), found so (bottom-k sampling,
//! Cohen and Kaplan 2007) by any number of threads, and found again in a second pass by one bound for each stratum.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use encoding_rs::UTF_8;

use super::blocks::{Block, in_order};
use super::csv::Records;
use super::fields::{Dialect, Record, Visitor, Walk, Want};
use super::ndjson::is_ndjson;
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
    /// The sample as text, in the order of the file, with its header.
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
    header: Vec<u8>,
}

/// For each stratum the largest number that is in the sample.
struct Bounds {
    of: BTreeMap<u64, u64>,
    target: Option<usize>,
    seed: u64,
}

struct Kept {
    number: u64,
    line: u64,
    stratum: u64,
    bytes: Box<[u8]>,
}

/// The records of a block: place, line, stratum.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    records: Vec<(Record, u64)>,
    failure: Option<anyhow::Error>,
}

/// Opens a file whose records can be sampled.
fn records(path: &str, options: &Options) -> Result<Records> {
    let mut input = Input::new(open(path)?, path, options, true, true)?;
    input.prompt = false;
    ensure!(
        !is_ndjson(path, &input.start),
        "{}: --sample reads delimited text, Parquet and workbooks, not NDJSON",
        input.source
    );
    Records::new(input, options)
}

struct Look<'a> {
    out: &'a mut Found,
    stratum: u64,
}

impl Visitor for Look<'_> {
    fn number(&mut self, _: usize, _: f64) {}

    fn text(&mut self, _: usize, text: &[u8], _: u64) {
        // FNV-1a (Fowler, Noll and Vo 1991).
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        self.stratum = text.trim_ascii().iter().fold(NO_VALUE, step);
    }

    fn end(&mut self, record: Record) -> bool {
        self.out.records.push((record, std::mem::replace(&mut self.stratum, NO_VALUE)));
        true
    }
}

/// Walks through the records of a block.
fn look(block: &Block, records: &Frame, out: &mut Found) {
    out.records.clear();
    out.bytes.clear();
    out.bytes.extend_from_slice(&block.bytes);
    records.walk.through_few(block, &mut Look { out: &mut *out, stratum: NO_VALUE });
    let wrong = |(record, _): &&(Record, u64)| record.open || record.n_fields != records.n_columns;
    out.failure = out.records.iter().find(wrong).map(|(record, _)| {
        anyhow!(ragged(&records.source, record, records.n_columns, &block.bytes, records.walk.dialect))
    });
}

/// What all blocks of a file share.
struct Frame {
    source: String,
    n_columns: usize,
    walk: Walk,
}

impl Frame {
    fn of(records: &Records, target: Option<usize>) -> Self {
        let n_columns = records.names().len();
        let want = |column| if Some(column) == target { Want::Text } else { Want::Nothing };
        let wants = (0..n_columns).map(want).collect();
        let remarks = Some(records.remarks());
        let walk = Walk { dialect: records.dialect(), wants, places: false, remarks };
        Self { source: records.source().into(), n_columns, walk }
    }
}

impl Reservoir {
    /// Samples the records of the file at `path` (`-`: standard input), read once. `target`: the column whose values are
    /// strata, the last one by default.
    ///
    /// # Errors
    /// Those of [`Records::open`]; NDJSON; a record with another number of fields; no records.
    pub(crate) fn sample(
        path: &str,
        options: &Options,
        target: Option<&str>,
        size: Size,
        seed: u64,
    ) -> Result<Self> {
        let mut records = records(path, options)?;
        let target = match target {
            Some(name) => records.names().iter().position(|other| other == name),
            None => records.names().len().checked_sub(1),
        };
        let frame = Frame::of(&records, target);
        let header =
            if records.has_header() { header(records.names(), records.dialect()) } else { Vec::new() };
        let options = Options {
            delimiter: Some(records.dialect().delimiter),
            quote: Some(records.dialect().quote),
            header: records.has_header(),
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
        let n_threads = rayon::current_num_threads();
        let consume = |found: &mut Found| {
            found.failure.take().map_or(Ok(()), Err)?;
            for (record, stratum) in &found.records {
                pass.offer(seed_of_child(seed, record.line as usize), record, *stratum, &found.bytes);
            }
            Ok(())
        };
        in_order(&mut records.blocks, n_threads, |block, found| look(block, &frame, found), consume)?;
        ensure!(pass.n > 0, "{} has a header and no rows; there is nothing to read", frame.source);
        let digest = records.passing_digest().context("the digest was asked for")?;
        let (n_records, n_strata) = (pass.n, pass.strata.len());
        let (mut kept, of) = pass.choose();
        kept.sort_unstable_by_key(|kept| kept.line);
        let mut text = header.clone();
        for record in &kept {
            text.extend_from_slice(&record.bytes);
            text.push(b'\n');
        }
        Ok(Self {
            text: Arc::new(text),
            options,
            n_records,
            n_sampled: kept.len(),
            n_strata,
            sha256: digest.hex(),
            bounds: Bounds { of, target, seed },
            header,
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
        let mut records = records(path, options)?;
        let frame = Frame::of(&records, self.bounds.target);
        let changed = || anyhow!("{} has changed since it was sampled; train again", frame.source);
        let work = |block: &Block, out: &mut (Found, O, usize)| {
            look(block, &frame, &mut out.0);
            let is_rest = |(record, stratum): &&(Record, u64)| {
                let number = seed_of_child(self.bounds.seed, record.line as usize);
                !self.bounds.hold(number, *stratum)
                    && share.contains(&unit_interval_of(seed_of_child(number, 0)))
            };
            out.2 = out.0.records.len();
            let rest = out.0.records.iter().filter(is_rest);
            let rest: Vec<&[u8]> = rest.map(|(record, _)| &block.bytes[record.place.clone()]).collect();
            work(&rest, &mut out.1);
        };
        let mut n_records = 0;
        let consume = |(_, out, n): &mut (Found, O, usize)| {
            n_records += *n;
            consume(out)
        };
        in_order(&mut records.blocks, rayon::current_num_threads(), work, consume)?;
        let digest = records.passing_digest().context("the digest was asked for")?;
        ensure!(n_records == self.n_records && digest.hex() == self.sha256, changed());
        Ok(())
    }

    /// Records as a text of their own, to be read with [`Reservoir::options`].
    pub(crate) fn text_of(&self, records: &[&[u8]]) -> Arc<Vec<u8>> {
        let mut text = self.header.clone();
        for record in records {
            text.extend_from_slice(record);
            text.push(b'\n');
        }
        Arc::new(text)
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
