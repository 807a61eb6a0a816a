//! Predictions made elsewhere: a file with true values, predictions and probabilities in columns is evaluated as a
//! model's predictions are.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, bail, ensure};

use super::bootstrap::Told;
use super::detail::{DetailedEvaluation, Wishes, detailed};
use super::thresholds::CostMatrix;
use super::{Baseline, Context, Evaluation, Metrics, Scored};
use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::target::{Target, Truth};
use crate::data::judge::profile::Profile;
use crate::data::read::load::{Reading, read_tables};
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::hold_out::TestRows;
use crate::model::pipeline::{Decision, Predictions};
use crate::names::{did_you_mean, quote};
use crate::order;
use crate::plain::{plain, same};

/// How the algorithm of such predictions is called.
const ALGORITHM: &str = "predictions";

/// The columns of a file of predictions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    /// True values.
    pub(crate) target: String,
    /// Predicted labels or numbers; without it the most probable label is predicted.
    pub(crate) prediction: Option<String>,
    /// Probabilities: column and label. Of two labels one is enough.
    pub(crate) probabilities: Vec<(String, String)>,
    /// The positive one of two labels; the second one if absent.
    pub(crate) positive: Option<String>,
    /// A row is predicted positive from this probability; only without a column of predictions.
    pub(crate) threshold: Option<f64>,
}

/// The rows of a file with their predictions.
pub(crate) struct ScoredFile {
    pub(crate) rows: TestRows,
    target: Target,
    scored: Scored,
}

fn index(raw: &RawTable, name: &str) -> Result<usize> {
    raw.names.iter().position(|known| same(known, name)).with_context(|| {
        let hint = did_you_mean(name, raw.names.iter().map(String::as_str));
        format!("{} has no column {}{hint}", raw.source, quote(name))
    })
}

impl ScoredFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A column that is missing; a label, a number or a probability that is none.
    pub(crate) fn read(path: &str, options: &Options, columns: &Columns) -> Result<Self> {
        if columns.prediction.is_none() && columns.probabilities.is_empty() {
            return Err(usage("--predictions needs --prediction COL, --probability COL=LABEL, or both"));
        }
        let nulls = NullTokens::default();
        let texts: BTreeSet<String> =
            std::iter::once(&columns.target).chain(&columns.prediction).cloned().collect();
        let reading = Reading { nulls: nulls.clone(), texts, last_is_text: false };
        let raw = read_tables(&[path.to_string()], options, &reading)?;
        let at = index(&raw, &columns.target)?;
        let task = match columns.probabilities.as_slice() {
            [] => Profile::of(&raw, at, &nulls).task().0,
            _ => Task::Classification,
        };
        let mut target = Target::fit(&raw, at, task, &nulls)?;
        add_labels(&mut target, &raw, columns, &nulls)?;
        let (rows, truth) = target.read(&raw, at, &nulls)?;
        let mut used = vec![at];
        used.extend(columns.prediction.iter().map(|name| index(&raw, name)).collect::<Result<Vec<_>>>()?);
        used.extend(
            columns.probabilities.iter().map(|(name, _)| index(&raw, name)).collect::<Result<Vec<_>>>()?,
        );
        let others = (0..raw.names.len()).filter(|index| !used.contains(index)).collect();
        let n_without_target = raw.n_rows() - rows.len();
        let rows = TestRows { raw, rows, truth, groups: None, n_without_target, others };
        let positive = positive(&target, columns)?;
        let predictions = match task {
            Task::Regression => values(&rows, &target, columns, &nulls)?,
            Task::Classification => classes(&rows, &target, columns, positive, &nulls)?,
        };
        let baseline = Baseline::fit(&rows.truth);
        let context = Context {
            algorithm: ALGORITHM,
            target: &target,
            baseline: &baseline,
            positive,
            threshold: columns.threshold.filter(|_| columns.prediction.is_none()),
        };
        let mut evaluation = Evaluation::new(context, &predictions, &rows.truth);
        if columns.probabilities.is_empty()
            && let Metrics::Classification(metrics) = &mut evaluation.metrics
        {
            (metrics.log_loss, metrics.roc_auc, metrics.average_precision, metrics.brier) =
                (None, None, None, None);
        }
        let scored = Scored { codes: None, predictions, positive, evaluation };
        Ok(Self { rows, target, scored })
    }

    /// The labels of the file, and the place of the positive one; no labels if numbers are predicted.
    pub(crate) fn labels(&self) -> (&[String], usize) {
        (&self.target.labels, self.scored.positive)
    }

    /// The evaluation without further parts.
    pub(crate) fn evaluation(&self) -> &Evaluation {
        &self.scored.evaluation
    }

    /// The evaluation with the parts that are wished for and that need no model.
    ///
    /// # Errors
    /// A column to cut the rows by that the file does not have.
    pub(crate) fn detailed(self, wishes: &Wishes, told: Told) -> Result<(DetailedEvaluation, TestRows)> {
        let has_probabilities = self.scored.predictions.scores.values().iter().all(|score| score.is_finite());
        // Without probabilities, costs still are those of the predictions.
        let costs: Option<CostMatrix> = wishes.costs.clone();
        let wishes =
            Wishes { curves: wishes.curves && has_probabilities, weak: wishes.weak, costs, ..wishes.clone() };
        let found = detailed(self.scored, &self.rows, &self.target, None, &wishes, told)?;
        Ok((found, self.rows))
    }
}

/// The labels that are predicted, or that have probabilities, belong to the classes.
fn add_labels(target: &mut Target, raw: &RawTable, columns: &Columns, nulls: &NullTokens) -> Result<()> {
    if target.task == Task::Regression {
        return Ok(());
    }
    let mut added: BTreeSet<String> =
        columns.probabilities.iter().map(|(_, label)| plain(label).into_owned()).collect();
    if let Some(name) = &columns.prediction {
        let predicted = Target { name: name.clone(), ..target.clone() };
        if let (_, Truth::Classes { labels, .. }) = predicted.read(raw, index(raw, name)?, nulls)? {
            added.extend(labels);
        }
    }
    added.retain(|label| !target.labels.contains(label));
    if !added.is_empty() {
        target.numeric_labels &= added.iter().all(|label| label.parse::<i64>().is_ok());
        target.labels.extend(added);
        if target.numeric_labels {
            order::sort_by_key(&mut target.labels, |label| label.parse::<i64>().unwrap_or(0));
        } else {
            target.labels.sort_unstable();
        }
    }
    Ok(())
}

fn positive(target: &Target, columns: &Columns) -> Result<usize> {
    let labels = &target.labels;
    match &columns.positive {
        Some(_) if labels.len() != 2 => Err(usage("--positive needs predictions of two classes")),
        Some(label) => labels.iter().position(|known| same(known, label)).ok_or_else(|| {
            usage(format!("--positive {label:?}: the classes are {:?} and {:?}", labels[0], labels[1]))
        }),
        None if columns.threshold.is_some() && labels.len() != 2 => {
            Err(usage("--threshold needs predictions of two classes"))
        }
        None => Ok(1),
    }
}

/// The numbers of a column in the rows that are evaluated.
fn numbers(rows: &TestRows, name: &str, what: &str, nulls: &NullTokens) -> Result<Vec<f64>> {
    let column = index(&rows.raw, name)?;
    let cells = rows.rows.iter().map(|&row| {
        let cell = rows.raw.number_cell(rows.raw.columns[column].cell(row, nulls));
        let value = match cell {
            Cell::Missing => None,
            cell => ColumnType::Number.plain_code(cell, None).ok().filter(|value| value.is_finite()),
        };
        value.with_context(|| format!("{}, column {name:?}: the {what} is no number", rows.raw.place(row)))
    });
    cells.collect()
}

fn values(rows: &TestRows, target: &Target, columns: &Columns, nulls: &NullTokens) -> Result<Predictions> {
    let Some(name) = &columns.prediction else {
        return Err(usage(format!(
            "--predictions: {:?} is a number, so --prediction COL is needed",
            target.name
        )));
    };
    let mut scores = Matrix::with_capacity(rows.rows.len(), 1);
    for value in numbers(rows, name, "prediction", nulls)? {
        scores.push_row(value);
    }
    Ok(Predictions { scores, classes: Vec::new() })
}

fn classes(
    rows: &TestRows,
    target: &Target,
    columns: &Columns,
    positive: usize,
    nulls: &NullTokens,
) -> Result<Predictions> {
    let n_classes = target.labels.len();
    ensure!(
        n_classes > 1,
        "{}: {:?} has one class only, so there is nothing to tell apart",
        rows.raw.source,
        target.name
    );
    let mut scores = Matrix::with_capacity(rows.rows.len(), n_classes);
    rows.rows.iter().for_each(|_| {
        scores.push_row(f64::NAN);
    });
    let mut given = vec![false; n_classes];
    for (name, label) in &columns.probabilities {
        let Some(class) = target.labels.iter().position(|known| same(known, label)) else {
            bail!("--probability {name}={label}: no such label");
        };
        if std::mem::replace(&mut given[class], true) {
            return Err(usage(format!("--probability: the label {} is named twice", quote(label))));
        }
        for (row, value) in numbers(rows, name, "probability", nulls)?.into_iter().enumerate() {
            if !(0.0..=1.0).contains(&value) {
                bail!("{}, column {name:?}: {value} is not from 0 to 1", rows.raw.place(rows.rows[row]));
            }
            scores.row_mut(row)[class] = value;
        }
    }
    let n_given = given.iter().filter(|given| **given).count();
    if n_given > 0 && n_given < n_classes {
        let missing = given.iter().position(|given| !given).unwrap_or(0);
        if n_classes - n_given > 1 {
            return Err(usage(format!(
                "--probability is needed for each of {n_classes} labels but one; there is none for {}",
                quote(&target.labels[missing])
            )));
        }
        // What the others leave.
        for row in 0..scores.n_rows() {
            let sum: f64 = scores.row(row).iter().filter(|p| !p.is_nan()).sum();
            scores.row_mut(row)[missing] = (1.0 - sum).max(0.0);
        }
    }
    let classes = match &columns.prediction {
        Some(name) => predicted_labels(rows, target, name, nulls)?,
        None => {
            let decision = match columns.threshold {
                Some(threshold) => Decision::Threshold { threshold, positive },
                None => Decision::MostProbable,
            };
            scores.rows().map(|row| decision.class(row)).collect()
        }
    };
    Ok(Predictions { scores, classes })
}

fn predicted_labels(rows: &TestRows, target: &Target, name: &str, nulls: &NullTokens) -> Result<Vec<u32>> {
    let predicted = Target { name: name.into(), ..target.clone() };
    let (with_value, truth) = predicted.read(&rows.raw, index(&rows.raw, name)?, nulls)?;
    let Truth::Classes { codes, .. } = truth else { return Ok(Vec::new()) };
    let of_row: HashMap<usize, u32> = with_value.into_iter().zip(codes).collect();
    let classes = rows.rows.iter().map(|row| {
        let missing = || format!("{}, column {name:?}: the prediction is missing", rows.raw.place(*row));
        of_row.get(row).copied().with_context(missing)
    });
    classes.collect()
}
