//! The rows that a model is evaluated on, and how they are found again: at training, by `eval`, by the library.
//!
//! Training and replay read files by the same rules (`reading`, `companion_options`) and split them by the same step
//! (`HoldOut::split`), so both find the same rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::unknown_labels::UnknownLabels;
use super::{Card, DataSource, Model};
use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task, UNSEEN};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::Target;
use crate::data::cells::target::Truth;
use crate::data::cells::text::Texts;
use crate::data::judge::{null_words, rows};
use crate::data::read::load::{Passed, Reading, read_tables_unless};
use crate::data::read::{digest, source};
use crate::data::split::Split;
use crate::data::split::arrangement::{Arrangement, SplitBy};
use crate::plain;

/// The origin of the rows to evaluate on.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldOut {
    /// A share of the rows, above 0 and below 1, by chance; classes keep their shares.
    Share(f64),
    /// A share of the rows; those with the same value of a column stay together.
    Groups(f64, String),
    /// A share of the rows: the latest by a column of numbers or dates.
    Latest(f64, String),
    /// Another file.
    File(String),
}

impl HoldOut {
    /// The one that a card records; none if it records none.
    pub(crate) fn of(card: &Card) -> Option<Self> {
        match (&card.test, card.test_size, &card.split_by) {
            (Some(source), ..) => Some(Self::File(source.path.clone())),
            (None, Some(share), Some(SplitBy::Group(name))) => Some(Self::Groups(share, name.clone())),
            (None, Some(share), Some(SplitBy::Time(name))) => Some(Self::Latest(share, name.clone())),
            (None, Some(share), None) => Some(Self::Share(share)),
            (None, None, _) => None,
        }
    }

    /// The share of the rows.
    pub(crate) fn share(&self) -> Option<f64> {
        match self {
            Self::Share(share) | Self::Groups(share, _) | Self::Latest(share, _) => Some(*share),
            Self::File(_) => None,
        }
    }

    /// The column that the split goes by.
    pub(crate) fn split_by(&self) -> Option<SplitBy> {
        match self {
            Self::Groups(_, name) => Some(SplitBy::Group(name.clone())),
            Self::Latest(_, name) => Some(SplitBy::Time(name.clone())),
            Self::Share(_) | Self::File(_) => None,
        }
    }

    /// Splits rows with a target value. All rows of the training file are fitted if another file is held out; no row
    /// is held out if that is not possible.
    pub(crate) fn split(&self, arrangement: &Arrangement, truth: &Truth, seed: u64) -> Split {
        match self.share() {
            Some(share) => arrangement.hold_out(truth, share, seed),
            None => Split { train: (0..truth.len()).collect(), test: Vec::new() },
        }
    }
}

/// The rules for the cells of a file: columns whose text matters, such as `007` of a category, are read as text.
/// `texts`: those columns; `target`: the target, if it is known to be one of them.
pub(crate) fn reading<'a>(
    nulls: &NullTokens,
    texts: impl Iterator<Item = &'a str>,
    target: Option<&'a str>,
    split_by: Option<&'a SplitBy>,
) -> Reading {
    // Groups and times are distinguished by their text.
    let texts: BTreeSet<String> =
        texts.chain(target).chain(split_by.map(SplitBy::column)).map(str::to_string).collect();
    Reading { nulls: nulls.clone(), texts, last_is_text: false }
}

/// The rules for a file that accompanies the training file: the options `said`, and a header if `header`.
pub(crate) fn companion_options(said: &source::Options, header: bool) -> source::Options {
    // A sample of the training file is in UTF-8, whatever the file is.
    let encoding = said.encoding.filter(|_| said.text.is_none());
    source::Options { header, header_in_doubt: false, encoding, text: None, ..said.clone() }
}

/// A side of the split of the training file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Training,
    HeldOut,
}

/// Rows to evaluate on: those of a file that have a target value.
#[derive(Debug)]
pub(crate) struct TestRows {
    /// The file.
    pub(crate) raw: RawTable,
    /// The rows of the file.
    pub(crate) rows: Vec<usize>,
    /// The target of each row.
    pub(crate) truth: Truth,
    /// The group of each row, if the model's rows were held out by group and these have its column.
    pub(crate) groups: Option<Vec<u32>>,
    /// Rows of the file without a target value.
    pub(crate) n_without_target: usize,
    /// The columns of a file of predictions that are neither these nor the target; else empty.
    pub(crate) others: Vec<usize>,
}

impl TestRows {
    /// Reads all rows of files, with the columns of a model, unless it is `stopped`.
    ///
    /// # Errors
    /// Those of [`read_tables_unless`]; no target column; no row with a target value, or with a known label.
    pub(crate) fn read(
        stopped: &dyn Fn(Passed) -> bool,
        paths: &[String],
        options: &source::Options,
        reading: &Reading,
        target: &Target,
    ) -> Result<Self> {
        let raw = read_tables_unless(stopped, paths, options, reading)?;
        let index = raw.names.iter().position(|name| plain::same(name, &target.name)).with_context(|| {
            format!("{} has no target column {:?} to compare with", raw.source, target.name)
        })?;
        let (rows, truth) = target.read(&raw, index, &reading.nulls)?;
        if rows.is_empty() {
            let lost = null_words::lost_classes(&raw, index, &reading.nulls);
            let lost = lost.filter(|_| target.task == Task::Classification);
            bail!(
                "{}: no row has a target value{}",
                raw.source,
                lost.map_or(String::new(), |words| format!("; {words}"))
            );
        }
        if let Some(unknown) = UnknownLabels::of(&truth, target)
            && unknown.n_rows == rows.len()
        {
            bail!(
                "{}: the model knows none of the labels in the target column {:?}, so nothing can be compared: {}",
                raw.source,
                target.name,
                unknown.listed()
            );
        }
        let n_without_target = raw.n_rows() - rows.len();
        Ok(Self { raw, rows, truth, groups: None, n_without_target, others: Vec::new() })
    }

    /// Reads all rows of a file that is named for an evaluation; `-` for standard input.
    ///
    /// # Errors
    /// Those of [`read_tables_unless`]; no target column; no row with a target value.
    pub(crate) fn of_file(model: &Model, path: &str, options: &source::Options) -> Result<Self> {
        let schema = &model.pipeline.schema;
        let mut found = Self::read(&|_| false, &[path.to_string()], options, &known(model), &schema.target)?;
        if let Some(by @ SplitBy::Group(_)) = &model.card.split_by {
            // A file without groups, or with one only, has rows like any others.
            let arrangement = Arrangement::read(Some(by), &found.raw, &found.rows, &schema.null_tokens);
            found.groups = arrangement.ok().and_then(|found| found.groups().map(<[u32]>::to_vec));
        }
        // Rows without a target value are left out, as those below a table mostly are.
        if found.n_without_target == 0 {
            rows::check(&found.raw, |index| found.may_be_odd(schema, index), &schema.null_tokens)?;
        }
        Ok(found)
    }

    /// Whether the last row has something in this column that training rows have not.
    fn may_be_odd(&self, schema: &Schema, index: usize) -> bool {
        let name = &self.raw.names[index];
        let Some(feature) = schema.feature_index(name, index) else {
            return false;
        };
        let feature = &schema.features[feature];
        let last = self.raw.columns[index].cell(self.raw.n_rows() - 1, schema.null_tokens.of(&feature.name));
        match (feature.column_type, last) {
            (ColumnType::Text, _) => false,
            (ColumnType::Category, Cell::Text(_)) => feature.code(last, &mut Texts::default()) == Ok(UNSEEN),
            _ => true,
        }
    }

    /// Reads the rows again that training held out. Files are looked for at their paths from here, at their paths from
    /// `folder`, which is that of the model, and in `folder`. `said` completes what the card says of the files.
    ///
    /// # Errors
    /// Files that are not there any more, that have changed since, or that were standard input.
    pub(crate) fn replay(model: &Model, folder: &Path, said: &source::Options) -> Result<Self> {
        Self::replay_side(model, folder, said, Side::HeldOut)
    }

    /// Reads the rows again that the model was fitted on before its evaluation, as [`TestRows::replay`] does.
    ///
    /// # Errors
    /// Those of [`TestRows::replay`].
    pub(crate) fn replay_training(model: &Model, folder: &Path, said: &source::Options) -> Result<Self> {
        Self::replay_side(model, folder, said, Side::Training)
    }

    /// The codes of the rows that training held out, and of those that it fitted if they are in the same file, which is
    /// read once; else as [`TestRows::replay`].
    ///
    /// # Errors
    /// Those of [`TestRows::replay`] and [`TestRows::codes`].
    pub(crate) fn replay_codes(
        model: &Model,
        folder: &Path,
        said: &source::Options,
    ) -> Result<(Matrix, Option<Matrix>)> {
        let schema = &model.pipeline.schema;
        let (all, split) = Self::replay_file(model, folder, said, Side::HeldOut)?;
        let Some(split) = split else { return Ok((all.codes(schema)?, None)) };
        let of = |side: &[usize]| -> Result<Matrix> {
            let rows: Vec<usize> = side.iter().map(|&row| all.rows[row]).collect();
            schema.read(&all.raw, &rows)
        };
        Ok((of(&split.test)?, Some(of(&split.train)?)))
    }

    fn replay_side(model: &Model, folder: &Path, said: &source::Options, side: Side) -> Result<Self> {
        let (all, split) = Self::replay_file(model, folder, said, side)?;
        Ok(match split {
            Some(split) => all.select(if side == Side::Training { &split.train } else { &split.test }),
            None => all,
        })
    }

    /// The rows of the file that has those of a side, and how it was split if it has both.
    fn replay_file(
        model: &Model,
        folder: &Path,
        said: &source::Options,
        side: Side,
    ) -> Result<(Self, Option<Split>)> {
        let (card, schema) = (&model.card, &model.pipeline.schema);
        if let Some(origin) = &card.origin {
            bail!("the model was imported from {origin}, so no rows were held out; mlapi eval DATA");
        }
        if let Some(sample) = &card.sample {
            bail!(
                "the model was trained by a sample of {} of {} rows; the figures of its training are of the others \
                 (mlapi inspect), mlapi eval DATA gives those of another file",
                sample.n_sampled,
                sample.n_rows
            );
        }
        let mut options = companion_options(said, schema.header);
        let sources: Vec<&DataSource> = match (&card.test, side) {
            (Some(test), Side::HeldOut) => vec![test],
            _ => {
                options.delimiter = Some(schema.delimiter);
                options.decimal_comma = schema.decimal_comma.then_some(true);
                std::iter::once(&card.data).chain(&card.more_data).collect()
            }
        };
        card.written.complete(&mut options);
        if sources.iter().any(|source| source.path == "-") {
            bail!("the model was trained from standard input, which cannot be read again; mlapi eval DATA");
        }
        let path = |source: &&DataSource| Ok(source.find(folder)?.to_string_lossy().into_owned());
        let paths = sources.iter().map(path).collect::<Result<Vec<String>>>()?;
        let mut all = Self::read(&|_| false, &paths, &options, &known(model), &schema.target)?;
        // Training may have found the mark that it is given now; it orders rows by numbers as they were read then.
        all.raw.decimal_given = said.decimal_comma.or(card.written.decimal_comma).is_some();
        for (file, source) in all.raw.files.iter().zip(&sources) {
            ensure!(file.sha256 == source.sha256, "{} has changed while it was read; try again", file.path);
        }
        let Some(hold_out) = HoldOut::of(card).filter(|hold_out| hold_out.share().is_some()) else {
            return Ok((all, None));
        };
        let by = hold_out.split_by();
        let arrangement = Arrangement::read(by.as_ref(), &all.raw, &all.rows, &schema.null_tokens)?;
        all.groups = arrangement.groups().map(<[u32]>::to_vec);
        let split = hold_out.split(&arrangement, &all.truth, card.seed);
        Ok((all, Some(split)))
    }

    /// What became of the rows without a target value, if there are any.
    pub(crate) fn without_target(&self, model: &Model) -> Option<String> {
        let schema = &model.pipeline.schema;
        let say =
            |n| null_words::without_target(&self.raw, &schema.target, &schema.null_tokens, n, "skipped");
        Some(self.n_without_target).filter(|n| *n > 0).map(say)
    }

    /// The note on columns of the file that the model does not know.
    pub(crate) fn passed_over(&self, model: &Model) -> Option<String> {
        let schema = &model.pipeline.schema;
        schema.passed_over(&self.raw.source, &self.raw.names, |_| false).filter(|_| schema.header)
    }

    /// The same rows with the target as another model knows it.
    ///
    /// # Errors
    /// No such column, or a cell that is none of its values.
    pub(crate) fn for_target(&self, target: &Target, nulls: &NullTokens) -> Result<Self> {
        let raw = &self.raw;
        let index = raw.names.iter().position(|name| plain::same(name, &target.name));
        let index =
            index.with_context(|| format!("{} has no target column {:?}", raw.source, target.name))?;
        let (all, truth) = target.read(raw, index, nulls)?;
        let wanted: BTreeSet<usize> = self.rows.iter().copied().collect();
        let kept: Vec<usize> = (0..all.len()).filter(|&i| wanted.contains(&all[i])).collect();
        ensure!(
            kept.len() == self.rows.len(),
            "the two models do not take the same cells for missing targets"
        );
        let rows = self.rows.clone();
        Ok(Self {
            raw: raw.clone(),
            rows,
            truth: truth.select(&kept),
            groups: self.groups.clone(),
            n_without_target: self.n_without_target,
            others: self.others.clone(),
        })
    }

    fn select(self, rows: &[usize]) -> Self {
        let truth = self.truth.select(rows);
        let groups = self.groups.map(|groups| rows.iter().map(|&row| groups[row]).collect());
        Self { rows: rows.iter().map(|&row| self.rows[row]).collect(), truth, groups, ..self }
    }

    /// The codes of the rows: `n_rows × n_features`.
    ///
    /// # Errors
    /// Those of [`Schema::read`]: columns and cells that do not fit.
    pub(crate) fn codes(&self, schema: &Schema) -> Result<Matrix> {
        schema.read(&self.raw, &self.rows).map_err(|error| {
            let row = rows::check(&self.raw, |_| true, &schema.null_tokens);
            row.err().unwrap_or(error)
        })
    }
}

/// The codes of the features of all rows of a file, which may have a target or not.
///
/// # Errors
/// A file that cannot be read, columns and cells that do not fit.
pub(crate) fn read_features(model: &Model, path: &str, options: &source::Options) -> Result<Matrix> {
    let raw = read_tables_unless(&|_| false, &[path.to_string()], options, &known(model))?;
    let rows: Vec<usize> = (0..raw.n_rows()).collect();
    model.pipeline.schema.read(&raw, &rows)
}

/// The rules for files with the columns of a model.
pub(crate) fn known(model: &Model) -> Reading {
    let schema = &model.pipeline.schema;
    let texts = schema.features.iter().filter(|feature| feature.needs_text());
    let texts = texts.map(|feature| feature.name.as_str());
    let target = Some(schema.target.name.as_str()).filter(|_| schema.target.needs_text());
    reading(&schema.null_tokens, texts, target, model.card.split_by.as_ref())
}

impl DataSource {
    /// Finds the file by its digest: at its path from here, at its path from `folder`, or in `folder`.
    pub(crate) fn find(&self, folder: &Path) -> Result<PathBuf> {
        let path = Path::new(&self.path);
        let inside = path.file_name().map(|name| folder.join(name));
        let candidates = [Some(path.to_path_buf()), Some(folder.join(path)), inside];
        let mut found = candidates.into_iter().flatten().filter(|path| path.is_file()).peekable();
        if found.peek().is_none() {
            bail!("{} is no longer where it was; mlapi eval DATA names another file", self.path);
        }
        for path in found {
            if digest::file_digest(&path.to_string_lossy())? == self.sha256 {
                return Ok(path);
            }
        }
        bail!("{} has changed since training, so its held-out rows are not known; mlapi eval DATA", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn model(hold_out: HoldOut) -> Model {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/iris.csv");
        Plan { algorithm: "tree".into(), hold_out, ..Plan::new(path) }.train().unwrap()
    }

    #[test]
    fn a_card_records_how_rows_were_held_out() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/iris.csv");
        for hold_out in [
            HoldOut::Share(0.25),
            HoldOut::Groups(0.3, "petal_width".into()),
            HoldOut::Latest(0.2, "sepal_width".into()),
            HoldOut::File(path.into()),
        ] {
            assert_eq!(HoldOut::of(&model(hold_out.clone()).card), Some(hold_out));
        }
    }

    #[test]
    fn a_file_is_found_by_its_digest_here_below_the_folder_of_the_model_or_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("data")).unwrap();
        std::fs::write(at("data/t.csv"), "right").unwrap();
        let sha256 = digest::file_digest(at("data/t.csv").to_str().unwrap()).unwrap();
        let source = DataSource { path: "data/t.csv".into(), sha256 };
        assert_eq!(source.find(folder.path()).unwrap(), at("data/t.csv"));
        std::fs::rename(at("data/t.csv"), at("t.csv")).unwrap();
        assert_eq!(source.find(folder.path()).unwrap(), at("t.csv"));
        std::fs::write(at("data/t.csv"), "another").unwrap();
        assert_eq!(
            source.find(folder.path()).unwrap(),
            at("t.csv"),
            "of two files the one that has not changed"
        );
        std::fs::write(at("t.csv"), "another").unwrap();
        assert!(source.find(folder.path()).unwrap_err().to_string().contains("has changed since training"));
        std::fs::remove_file(at("t.csv")).unwrap();
        std::fs::remove_file(at("data/t.csv")).unwrap();
        assert!(source.find(folder.path()).unwrap_err().to_string().contains("no longer where it was"));
    }

    #[test]
    fn another_file_holds_out_no_row_of_the_training_file() {
        let truth = Truth::Values(vec![1.0, 2.0, 3.0]);
        let split = HoldOut::File("t.csv".into()).split(&Arrangement::Free, &truth, 1);
        assert_eq!((split.train, split.test), (vec![0, 1, 2], vec![]));
    }
}
