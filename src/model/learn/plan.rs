//! The plan of a training ([`Plan`]), and the choices that a plan leaves to the file: target, task, the parts of
//! columns.
//!
//! The command line makes a plan of its flags, users of the crate write one; [`super::train`] carries it out.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Watch;
use super::postprocessing::Wanted;
use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task};
use crate::data::cells::raw_table::RawTable;
use crate::data::judge::profile::Profile;
use crate::data::read::load::{Reading, read_tables_unless};
use crate::data::read::source;
use crate::data::split::arrangement::SplitBy;
use crate::data::training_set::Roles;
use crate::error::usage;
use crate::model::hold_out::{HoldOut, reading};
use crate::names::did_you_mean;
use crate::plain;

/// The settings of a training; [`Plan::new`] has the defaults of `mlapi train`.
///
/// ```
/// use mlapi::Plan;
///
/// let plan = Plan { algorithm: "tree".into(), seed: 7, ..Plan::new("fixtures/iris.csv") };
/// let model = plan.train()?;
/// assert_eq!(model.card.algorithm, "decision-tree");
/// # Ok::<(), mlapi::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    /// Paths of the training files, one or more of one header; `-` for standard input.
    pub data: Vec<String>,
    /// The notation of the files: delimiter, quote, encoding, header. Default: found in them.
    pub options: source::Options,
    /// The texts that mean a missing value.
    pub nulls: NullTokens,
    /// The target column. Default: the last one.
    pub target: Option<String>,
    /// The task. Default: inferred from the target.
    pub task: Option<Task>,
    /// Name or alias of the algorithm. Default: `auto`, which compares some and chooses.
    pub algorithm: String,
    /// Hyperparameters, by scikit-learn's names.
    pub settings: Vec<(String, String)>,
    /// The metric that `auto`, `cv` and `tune` choose by, by its name in an evaluation. Default: log loss for classes,
    /// the root of the mean squared error for numbers.
    pub metric: Option<String>,
    /// Whether `auto` may answer with a blend of several candidates. Default: true.
    pub ensemble: bool,
    /// Most time that the answer of what `auto` chooses to one row may take, estimated by the model's shape. Default: none for
    /// a single algorithm, 100 µs for a blend.
    pub max_latency: Option<Duration>,
    /// The time that `auto`, `cv` and `tune` may take; the best so far is kept. Default: until all is compared.
    pub search_time: Option<Duration>,
    /// Folds of cross-validation on the training rows, two or more. Default: no cross-validation.
    pub cv: Option<usize>,
    /// Trials of the search for hyperparameters. Default: no search.
    pub tune: Option<usize>,
    /// The origin of the rows to evaluate on. Default: a fifth of the rows.
    pub hold_out: HoldOut,
    /// Seed of all random choices. Default: 42.
    pub seed: u64,
    /// Columns to drop.
    pub drop: Vec<String>,
    /// Columns whose values a server of the model does not tell.
    pub private: Vec<String>,
    /// Types of columns that are given instead of inferred.
    pub types: Vec<(String, ColumnType)>,
    /// The column of row weights.
    pub weight: Option<String>,
    /// Whether all classes get equal weight.
    pub balance: bool,
    /// Whether the model is fitted again on all rows after the evaluation.
    pub refit: bool,
    /// Calibration, threshold, prediction intervals and sets. Default: a calibration where it helps.
    pub wanted: Wanted,
    /// The columns that may be used. Default: all that are not dropped.
    pub only: Option<Vec<String>>,
    /// Training rows that the model keeps for explanations to compare with, at most 100; `None`: 100 if it cannot be
    /// explained without, else none.
    pub background: Option<usize>,
}

impl Plan {
    /// The default share of the rows to evaluate on.
    pub(crate) const TEST_SIZE: f64 = 0.2;
    /// The default seed.
    pub(crate) const SEED: u64 = 42;

    /// The defaults of `mlapi train`, for a file; `-` for standard input.
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: vec![data.into()],
            options: source::Options::default(),
            nulls: NullTokens::default(),
            target: None,
            task: None,
            algorithm: "auto".into(),
            settings: Vec::new(),
            metric: None,
            ensemble: true,
            max_latency: None,
            search_time: None,
            cv: None,
            tune: None,
            hold_out: HoldOut::Share(Self::TEST_SIZE),
            seed: Self::SEED,
            drop: Vec::new(),
            private: Vec::new(),
            types: Vec::new(),
            weight: None,
            balance: false,
            background: None,
            refit: false,
            wanted: Wanted::default(),
            only: None,
        }
    }

    /// Reads the files. The notes of the table tell of doubts about the header.
    ///
    /// # Errors
    /// Files that cannot be read; [`Interrupted`](crate::error::Interrupted) if `watch` says so.
    pub(super) fn read(&self, watch: &dyn Watch) -> Result<RawTable> {
        let stopped = super::watched_reading(&self.data, watch);
        let mut raw = read_tables_unless(&stopped, &self.data, &self.options, &self.reading())?;
        if !raw.ndjson && !raw.no_header && raw.names.iter().all(|name| name.parse::<f64>().is_ok()) {
            raw.notes.push(format!(
                "the first line of {} holds only numbers and was taken for the header; if it is data, use --no-header",
                raw.source
            ));
        }
        Ok(raw)
    }

    /// The rules for the training files, as far as they are known before these are read.
    fn reading(&self) -> Reading {
        let texts = self.types.iter().filter(|(_, column_type)| *column_type != ColumnType::Number);
        let texts = texts.map(|(name, _)| name.as_str());
        // Labels are text, unless they turn out to be whole numbers.
        let labels = self.task == Some(Task::Classification);
        let target = self.target.as_deref().filter(|_| labels);
        let reading = reading(&self.nulls, texts, target, self.hold_out.split_by().as_ref());
        Reading { last_is_text: labels && self.target.is_none(), ..reading }
    }

    /// The part of each column, and the reason for the choice of the target.
    ///
    /// # Errors
    /// A usage error for the name of a column that is not there or cannot have its part; a table of one column.
    pub(super) fn roles(&self, raw: &RawTable) -> Result<(Roles, String)> {
        let (target, reason) = match &self.target {
            Some(name) => (column(raw, "--target", name)?, "given".to_string()),
            None => (self.last_column(raw), "the last column; --target COL chooses another".to_string()),
        };
        let is_target = |flag: &str, name: &str| usage(format!("{flag} {name:?}: that is the target"));
        ensure!(
            raw.names.len() > 1,
            "{} has one column, {:?}; a model needs a target and at least one other column (is the delimiter right? \
             --delimiter C)",
            raw.source,
            raw.names[0]
        );
        if self.drop.contains(&raw.names[target]) {
            return Err(is_target("--drop", &raw.names[target]));
        }
        let mut roles = Roles { target, ..Roles::default() };
        if let Some(by) = self.hold_out.split_by() {
            let is_group = matches!(by, SplitBy::Group(_));
            let flag = if is_group { "--group" } else { "--split-by" };
            let index = column(raw, flag, by.column())?;
            if index == target {
                return Err(is_target(flag, by.column()));
            }
            roles.group = is_group.then_some(index);
        }
        roles.weight = self.weight.as_ref().map(|name| column(raw, "--weight", name)).transpose()?;
        for (name, column_type) in &self.types {
            roles.types.insert(column(raw, "--type", name)?, *column_type);
        }
        for name in &self.private {
            if column(raw, "--private", name)? == target {
                return Err(is_target("--private", name));
            }
        }
        for (name, _) in self.nulls.exceptions() {
            column(raw, "--no-null", name)?;
        }
        roles.dropped = self.drop.iter().map(|name| column(raw, "--drop", name)).collect::<Result<_>>()?;
        if let Some(only) = &self.only {
            let is_known = |name: &String| only.iter().any(|known| plain::same(known, name));
            roles.dropped.extend((0..raw.names.len()).filter(|&index| !is_known(&raw.names[index])));
        }
        Ok((roles, reason))
    }

    /// The last column; one without a name and without values, as delimiters at the ends of lines make it, is none.
    fn last_column(&self, raw: &RawTable) -> usize {
        let is_column = |&index: &usize| {
            raw.no_header
                || raw.names[index] != format!("column_{}", index + 1)
                || raw.columns[index].cells(&self.nulls).any(|cell| cell != Cell::Missing)
        };
        (0..raw.names.len()).rev().find(is_column).unwrap_or(raw.names.len() - 1)
    }

    /// The task, and the reason for its choice.
    ///
    /// # Errors
    /// A target of numbers with a few cells that are none; one that nobody named, with classes of a row each.
    pub(super) fn choose_task(&self, raw: &RawTable, target: usize) -> Result<(Task, String)> {
        match self.task {
            Some(task) => Ok((task, "given".into())),
            None => infer_task(raw, target, self.target.is_some(), &self.nulls),
        }
    }
}

fn infer_task(raw: &RawTable, target: usize, is_named: bool, nulls: &NullTokens) -> Result<(Task, String)> {
    const MIN_ROWS: usize = 20;
    let profile = Profile::of(raw, target, nulls);
    if profile.is_mostly_numbers()
        && let Some((fault, text)) = profile.first_odd_cell(raw, "target column", &raw.names[target])
    {
        bail!("{fault}; correct it, name it as missing (--null {text:?}), or give the --task");
    }
    let (n_values, n_cells) = (profile.distinct, profile.present());
    if !is_named
        && profile.column_type() == ColumnType::Category
        && n_cells >= MIN_ROWS
        && n_values * 10 > n_cells * 9
    {
        bail!(
            "nearly every value of {:?}, the last column, is different ({n_values} in {n_cells} rows), so it is no class \
             to predict; --target COL names the column to predict (--task classification takes the last one all the \
             same)",
            raw.names[target]
        );
    }
    let (task, reason) = profile.task();
    if let (Task::Regression, Some(odd)) = (task, profile.odd.first()) {
        bail!(
            "{}, target column {:?}: {:?} ({} cells) is not a number, and the other cells are; correct it, name it as \
             missing (--null {:?}), or give the --task",
            odd.place,
            raw.names[target],
            odd.text,
            odd.n,
            odd.text
        );
    }
    let other = match task {
        Task::Classification => Task::Regression,
        Task::Regression => Task::Classification,
    };
    Ok((task, format!("{reason}; --task {} overrides", other.name())))
}

/// The index of a column that a flag names.
fn column(raw: &RawTable, flag: &str, name: &str) -> Result<usize> {
    raw.names.iter().position(|n| plain::same(n, name)).ok_or_else(|| {
        let hint = did_you_mean(name, raw.names.iter().map(String::as_str));
        let shown: Vec<&str> = raw.names.iter().take(20).map(String::as_str).collect();
        let more = if raw.names.len() > shown.len() { ", …" } else { "" };
        usage(format!(
            "{flag} {name:?}: {} has no such column{hint}\nits columns are: {}{more}",
            raw.source,
            shown.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::raw_table::RawColumn;

    fn raw() -> RawTable {
        let columns: [(&str, &[&str]); 4] = [
            ("size", &["1.5", "2", "3"]),
            ("color", &["red", "blue", "red"]),
            ("visits", &["1", "2", "3"]),
            ("price", &["10.5", "11", "many"]),
        ];
        RawTable {
            source: "t.csv".into(),
            names: columns.iter().map(|(name, _)| name.to_string()).collect(),
            columns: columns.iter().map(|(_, cells)| RawColumn::of_texts(cells.iter().copied())).collect(),
            lines: vec![2, 3, 4].into(),
            ..RawTable::default()
        }
    }

    #[test]
    fn every_column_that_is_named_gets_its_part() {
        let plan = Plan {
            target: Some("price".into()),
            weight: Some("visits".into()),
            hold_out: HoldOut::Groups(0.2, "color".into()),
            drop: vec!["size".into()],
            types: vec![("size".into(), ColumnType::Category), ("size".into(), ColumnType::Text)],
            ..Plan::new("t.csv")
        };
        let (roles, reason) = plan.roles(&raw()).unwrap();
        assert_eq!((roles.target, roles.weight, roles.group), (3, Some(2), Some(1)));
        assert_eq!(
            (roles.dropped, roles.types.get(&0)),
            (vec![0], Some(&ColumnType::Text)),
            "the last type counts"
        );
        assert_eq!(reason, "given");
        let (roles, reason) = Plan::new("t.csv").roles(&raw()).unwrap();
        assert_eq!((roles.target, roles.group), (3, None));
        assert!(reason.starts_with("the last column"), "{reason}");
    }

    #[test]
    fn a_column_that_is_not_there_or_is_the_target_is_a_usage_error_that_names_the_flag() {
        type Change = fn(&mut Plan);
        let changes: [(Change, &str); 9] = [
            (
                |plan| plan.target = Some("prize".into()),
                "--target \"prize\": t.csv has no such column; did you mean \"price\"?",
            ),
            (|plan| plan.weight = Some("x".into()), "--weight \"x\""),
            (|plan| plan.drop = vec!["x".into()], "--drop \"x\""),
            (
                |plan| plan.private = vec!["colr".into()],
                "--private \"colr\": t.csv has no such column; did you mean",
            ),
            (|plan| plan.private = vec!["price".into()], "--private \"price\": that is the target"),
            (|plan| plan.drop = vec!["price".into()], "--drop \"price\": that is the target"),
            (|plan| plan.types = vec![("x".into(), ColumnType::Text)], "--type \"x\""),
            (
                |plan| plan.hold_out = HoldOut::Groups(0.2, "price".into()),
                "--group \"price\": that is the target",
            ),
            (|plan| plan.hold_out = HoldOut::Latest(0.2, "x".into()), "--split-by \"x\""),
        ];
        for (change, words) in changes {
            let mut plan = Plan::new("t.csv");
            change(&mut plan);
            let error = plan.roles(&raw()).unwrap_err();
            assert!(crate::Error::is_usage(&error) && error.to_string().contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn a_given_task_is_taken_and_an_inferred_one_says_how_to_override_it() {
        let plan = Plan { task: Some(Task::Regression), ..Plan::new("t.csv") };
        assert_eq!(plan.choose_task(&raw(), 1).unwrap(), (Task::Regression, "given".into()));
        let (task, reason) = Plan::new("t.csv").choose_task(&raw(), 1).unwrap();
        assert_eq!(task, Task::Classification);
        assert!(reason.ends_with("; --task regression overrides"), "{reason}");
    }

    #[test]
    fn only_columns_whose_text_matters_are_read_as_text() {
        let plan = Plan {
            types: vec![("size".into(), ColumnType::Number), ("visits".into(), ColumnType::Date)],
            hold_out: HoldOut::Latest(0.2, "color".into()),
            ..Plan::new("t.csv")
        };
        let texts = |plan: &Plan| plan.reading().texts.into_iter().collect::<Vec<_>>();
        assert_eq!(texts(&plan), ["color", "visits"]);
        let plan = Plan { task: Some(Task::Classification), ..plan };
        assert!(plan.reading().last_is_text && texts(&plan) == ["color", "visits"]);
        let plan = Plan { target: Some("price".into()), ..plan };
        assert!(!plan.reading().last_is_text && texts(&plan) == ["color", "price", "visits"]);
    }
}
