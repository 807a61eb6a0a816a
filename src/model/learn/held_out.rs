//! The rows that a model is evaluated on: a share of the training file, or another file.

use anyhow::{Context as _, Result, bail, ensure};

use super::train::{Plan, reading};
use crate::data::cells::schema::{Cell, Target};
use crate::data::cells::table::RawTable;
use crate::data::cells::target::Truth;
use crate::data::read::csv;
use crate::data::read::load::read_tables;
use crate::data::split::arrangement::{Arrangement, SplitBy};
use crate::model::DataSource;

/// Where the rows to evaluate on come from.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldOut {
    /// A share of the rows, above 0 and below 1.
    Share(f64),
    /// A share of the rows, by groups or by time.
    ShareBy(f64, SplitBy),
    /// Another file.
    File(String),
}

impl HoldOut {
    /// The share of the rows.
    pub fn share(&self) -> Option<f64> {
        match self {
            Self::Share(share) | Self::ShareBy(share, _) => Some(*share),
            Self::File(_) => None,
        }
    }

    /// The column that the split goes by.
    pub fn split_by(&self) -> Option<&SplitBy> {
        match self {
            Self::ShareBy(_, by) => Some(by),
            Self::Share(_) | Self::File(_) => None,
        }
    }
}

/// The rows to fit and to evaluate on, counted among those with a target.
pub(crate) struct HeldOut {
    pub train: Vec<usize>,
    pub test: Vec<usize>,
    pub file: Option<TestFile>,
    /// How they were chosen, for people.
    pub reason: String,
}

/// The rows of another file that have a target.
pub(crate) struct TestFile {
    pub source: DataSource,
    pub raw: RawTable,
    pub rows: Vec<usize>,
    pub truth: Truth,
}

/// The rows of the training file that have a target, and what is to be respected when they are split.
pub(crate) struct Known<'a> {
    pub raw: &'a RawTable,
    pub target: &'a Target,
    pub rows: &'a [usize],
    pub truth: &'a Truth,
    pub arrangement: &'a Arrangement,
}

impl HeldOut {
    /// Chooses the rows of the training file, or reads the other; `texts`: columns that are no numbers.
    pub fn read(plan: &Plan, known: &Known, texts: &[String]) -> Result<Self> {
        match (&plan.hold_out, plan.hold_out.share()) {
            (HoldOut::File(path), _) => Self::of_file(plan, known, texts, path),
            (_, share) => Self::of_share(plan, known, share.unwrap_or_default()),
        }
    }

    fn of_share(plan: &Plan, known: &Known, share: f64) -> Result<Self> {
        let (truth, n) = (known.truth, known.truth.len());
        ensure!(
            n >= 2,
            "{n} row has a target value; two or more are needed, one to learn from and one to evaluate on"
        );
        let split = known.arrangement.hold_out(truth, share, plan.seed);
        let source = csv::source_name(&plan.data[0]);
        let by = plan.hold_out.split_by();
        if split.test.is_empty() {
            match by {
                None => bail!(
                    "{source}: no row can be held out to evaluate on, because each class has one row only; give more \
                     rows, or others to evaluate on (--test FILE)"
                ),
                Some(by) => bail!(
                    "{source}: no group of {:?} can be held out to evaluate on, because each has all rows of a class; \
                     give more groups, or rows to evaluate on (--test FILE)",
                    by.column()
                ),
            }
        }
        let stratified = !known.target.labels.is_empty();
        let reason = match by {
            None if stratified => format!("seed {}, stratified", plan.seed),
            None => format!("seed {}", plan.seed),
            Some(SplitBy::Group(name)) => {
                let n_groups = known.arrangement.select(&split.test).n_units(split.test.len());
                let n_all = known.arrangement.n_units(n);
                let how = if stratified { ", stratified as far as whole groups allow" } else { "" };
                format!("{n_groups} of {n_all} groups by {name}, seed {}{how}", plan.seed)
            }
            Some(SplitBy::Time(name)) => {
                format!("the latest by {name}{}", first_time(known, &split.test, name, plan))
            }
        };
        if let (Some(by), Truth::Classes { codes, labels }) = (by, truth) {
            let mut seen = vec![false; labels.len()];
            split.train.iter().for_each(|&row| seen[codes[row] as usize] = true);
            if let Some(unseen) = seen.iter().position(|seen| !seen) {
                bail!(
                    "{source}: all rows of class {:?} are among the {} latest by {:?}, which are held out, so it \
                     cannot be learned; hold out fewer (--test-size), or leave these rows out",
                    labels[unseen],
                    split.test.len(),
                    by.column()
                );
            }
        }
        Ok(Self { train: split.train, test: split.test, file: None, reason })
    }

    fn of_file(plan: &Plan, known: &Known, texts: &[String], path: &String) -> Result<Self> {
        let target = known.target;
        let mut reading = reading(plan);
        reading.texts.extend(texts.iter().cloned());
        let (header, header_in_doubt) = (!known.raw.no_header, false);
        let options = csv::Options { header, header_in_doubt, ..plan.options.clone() };
        let raw = read_tables(std::slice::from_ref(path), &options, &reading)?;
        let Some(index) = raw.names.iter().position(|name| *name == target.name) else {
            bail!("{} has no target column {:?}", raw.source, target.name);
        };
        let (rows, truth) = target.read(&raw, index, &plan.nulls)?;
        ensure!(!rows.is_empty(), "{}: no row has a target value", raw.source);
        let source = raw.files.first().map(DataSource::of).context("no file was read")?;
        let file = TestFile { source, raw, rows, truth };
        let train = (0..known.truth.len()).collect();
        Ok(Self { train, test: Vec::new(), file: Some(file), reason: String::new() })
    }
}

/// The earliest time of the held-out rows, as it is written.
fn first_time(known: &Known, test: &[usize], name: &str, plan: &Plan) -> String {
    let Arrangement::Times(times) = known.arrangement else {
        return String::new();
    };
    let first = test.iter().min_by_key(|&&row| times[row]);
    let index = known.raw.names.iter().position(|known| known == name);
    match first.zip(index).map(|(&row, index)| known.raw.columns[index].cell(known.rows[row], &plan.nulls)) {
        Some(Cell::Text(text)) => format!(", from {text} on"),
        _ => String::new(),
    }
}
