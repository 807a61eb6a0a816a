//! What each threshold on the probability of the positive class means, what mistakes cost, and which threshold is best.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::ranking::Ranking;
use crate::data::cells::cell::{Cell, NullTokens};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::data::read::load::{Reading, read_tables};
use crate::data::read::source::Options;
use crate::names::{did_you_mean, quote};
use crate::plain;

/// The counts and metrics of one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// A row is predicted positive from this probability.
    pub threshold: f64,
    /// Positives predicted as such.
    pub true_positives: u64,
    /// Negatives predicted positive.
    pub false_positives: u64,
    /// Positives predicted negative.
    pub false_negatives: u64,
    /// Negatives predicted as such.
    pub true_negatives: u64,
    /// Share of the predicted positives that are positive.
    pub precision: f64,
    /// Share of the positives that are predicted.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Share of the negatives that are predicted negative.
    pub specificity: f64,
    /// Mean cost of a row, if costs are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// The table of thresholds as a model's card keeps it: for each of the evenly spaced thresholds from 0 to 1, how many rows
/// of the positive class, and how many others, have at least this probability of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdCounts {
    /// Rows of the positive class.
    pub positives: u64,
    /// Rows of the other.
    pub negatives: u64,
    /// Positives predicted as such, for each threshold.
    pub true_positives: Vec<u64>,
    /// Negatives predicted positive, for each threshold.
    pub false_positives: Vec<u64>,
}

impl ThresholdCounts {
    /// Counts the rows of an evaluation; `None` unless there are two classes and their probabilities are known.
    pub fn of(scores: &Matrix, truth: &Truth, positive: usize) -> Option<Self> {
        let Truth::Classes { codes, .. } = truth else { return None };
        if scores.n_cols() != 2 {
            return None;
        }
        let rows = scores.rows().zip(codes).map(|(row, &code)| (row[positive], code as usize == positive));
        let (table, _) = thresholds(rows.collect(), None)?;
        let first = table.first()?;
        Some(Self {
            positives: first.true_positives + first.false_negatives,
            negatives: first.false_positives + first.true_negatives,
            true_positives: table.iter().map(|row| row.true_positives).collect(),
            false_positives: table.iter().map(|row| row.false_positives).collect(),
        })
    }
}

/// The best of all thresholds, those between the rows of the table included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestThreshold {
    /// What it is best by.
    pub by: Objective,
    /// Its counts and metrics.
    #[serde(flatten)]
    pub row: ThresholdRow,
}

/// What a threshold is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The largest F1.
    F1,
    /// The smallest cost.
    Cost,
}

/// What the predictions cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostSummary {
    /// Cost of all rows.
    pub total: f64,
    /// Mean cost of a row.
    pub mean: f64,
    /// Mean cost of a row if each were predicted as the class of the smallest expected cost.
    pub mean_least_expected: f64,
    /// Mean cost of a row if all were predicted as the one class for which it is smallest.
    pub mean_constant: f64,
}

/// The rows of the table: a threshold at every hundredth.
const STEPS: usize = 100;

/// What each pair of a true and a predicted class costs; 0 is nothing, below 0 is a gain.
#[derive(Debug, Clone, PartialEq)]
pub struct CostMatrix {
    n_classes: usize,
    /// `n_classes × n_classes`, true classes are rows.
    values: Vec<f64>,
}

impl CostMatrix {
    /// Of two classes: what a false positive and a false negative cost.
    pub fn of_mistakes(false_positive: f64, false_negative: f64, positive: usize) -> Self {
        let mut values = vec![0.0; 4];
        values[(1 - positive) * 2 + positive] = false_positive;
        values[positive * 2 + 1 - positive] = false_negative;
        Self { n_classes: 2, values }
    }

    /// Of the rows of a table: a header of predicted labels, and per row a true label and its costs. The labels may be in
    /// any order; all of the model's are there.
    ///
    /// # Errors
    /// A label that is missing, unknown or there twice; a cell that is not a finite number.
    pub fn of_table(header: &[String], rows: &[Vec<String>], labels: &[String]) -> Result<Self> {
        let n_classes = labels.len();
        let place = |text: &str| -> Result<usize> {
            let found = labels.iter().position(|label| plain::same(label, text));
            found.ok_or_else(|| {
                let hint = did_you_mean(text, labels.iter().map(String::as_str));
                anyhow::anyhow!("{} is not a class of the model{hint}", quote(text))
            })
        };
        let columns = header.iter().skip(1).map(|text| place(text)).collect::<Result<Vec<usize>>>()?;
        let mut values = vec![f64::NAN; n_classes * n_classes];
        for row in rows {
            let Some((label, cells)) = row.split_first() else { continue };
            let truth = place(label)?;
            ensure!(
                cells.len() == columns.len(),
                "the row of {} has {} costs, not {}",
                quote(label),
                cells.len(),
                columns.len()
            );
            for (&predicted, cell) in columns.iter().zip(cells) {
                let cost = cell.trim().parse().ok().filter(|cost: &f64| cost.is_finite());
                let Some(cost) = cost else {
                    bail!(
                        "the cost of {} predicted as {} is {}, not a number",
                        quote(label),
                        quote(&labels[predicted]),
                        quote(cell)
                    );
                };
                let value = &mut values[truth * n_classes + predicted];
                ensure!(
                    value.is_nan(),
                    "there are two costs of {} predicted as {}",
                    quote(label),
                    quote(&labels[predicted])
                );
                *value = cost;
            }
        }
        if let Some(at) = values.iter().position(|value| value.is_nan()) {
            bail!(
                "no cost of {} predicted as {}",
                quote(&labels[at / n_classes]),
                quote(&labels[at % n_classes])
            );
        }
        Ok(Self { n_classes, values })
    }

    /// Of a file such as [`CostMatrix::of_table`] takes.
    ///
    /// # Errors
    /// A file that cannot be read; those of [`CostMatrix::of_table`].
    pub(crate) fn read(path: &str, labels: &[String]) -> Result<Self> {
        let nulls = NullTokens::default();
        let reading = Reading { nulls: nulls.clone(), texts: BTreeSet::new(), last_is_text: false };
        let raw =
            read_tables(&[path.to_string()], &Options { header: true, ..Options::default() }, &reading)?;
        let cell = |row: usize, column: usize| match raw.columns[column].cell(row, &nulls) {
            Cell::Missing => String::new(),
            Cell::Number(value) => value.to_string(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Text(text) => text.to_string(),
        };
        let rows: Vec<Vec<String>> = (0..raw.n_rows())
            .map(|row| (0..raw.names.len()).map(|column| cell(row, column)).collect())
            .collect();
        Self::of_table(&raw.names, &rows, labels).with_context(|| path.to_string())
    }

    fn of(&self, truth: usize, predicted: usize) -> f64 {
        self.values[truth * self.n_classes + predicted]
    }

    /// What predictions cost; rows of labels that the model does not know are left out.
    pub(super) fn summary(&self, scores: &Matrix, predicted: &[u32], codes: &[u32]) -> CostSummary {
        let n_classes = self.n_classes;
        let (mut total, mut least, mut n) = (0.0, 0.0, 0_u64);
        let mut constant = vec![0.0; n_classes];
        for ((row, &predicted), &code) in scores.rows().zip(predicted).zip(codes) {
            let code = code as usize;
            if code >= n_classes {
                continue;
            }
            n += 1;
            total += self.of(code, predicted as usize);
            let expected = |class: usize| -> f64 {
                (0..n_classes).map(|truth| row[truth] * self.of(truth, class)).sum()
            };
            // The first of equals.
            let best = (0..n_classes).map(expected).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            least += best.map_or(0.0, |(class, _)| self.of(code, class));
            constant.iter_mut().enumerate().for_each(|(class, sum)| *sum += self.of(code, class));
        }
        let mean = |sum: f64| sum / n.max(1) as f64;
        CostSummary {
            total,
            mean: mean(total),
            mean_least_expected: mean(least),
            mean_constant: mean(constant.into_iter().min_by(f64::total_cmp).unwrap_or(0.0)),
        }
    }
}

/// The counts at a threshold of which `positives` and `negatives` reach it.
fn row(
    threshold: f64,
    true_positives: u64,
    false_positives: u64,
    ranking: &Ranking,
    costs: Option<(&CostMatrix, usize)>,
) -> ThresholdRow {
    let ratio = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let (n_positives, n_negatives) = (ranking.n_positives(), ranking.n_negatives());
    let (false_negatives, true_negatives) = (n_positives - true_positives, n_negatives - false_positives);
    let predicted = true_positives + false_positives;
    let cost = costs.map(|(costs, positive)| {
        let negative = 1 - positive;
        let sum = true_positives as f64 * costs.of(positive, positive)
            + false_positives as f64 * costs.of(negative, positive)
            + false_negatives as f64 * costs.of(positive, negative)
            + true_negatives as f64 * costs.of(negative, negative);
        sum / (n_positives + n_negatives).max(1) as f64
    });
    ThresholdRow {
        threshold,
        true_positives,
        false_positives,
        false_negatives,
        true_negatives,
        precision: ratio(true_positives, predicted),
        recall: ratio(true_positives, n_positives),
        f1: ratio(2 * true_positives, predicted + n_positives),
        specificity: ratio(true_negatives, n_negatives),
        cost,
    }
}

/// The table of thresholds and the best one of all; of equals the one nearest to one half. `rows`: the probability of the
/// positive class, and whether the row is of it. `None` if a probability is no number, or without rows.
pub(super) fn thresholds(
    rows: Vec<(f64, bool)>,
    costs: Option<(&CostMatrix, usize)>,
) -> Option<(Vec<ThresholdRow>, BestThreshold)> {
    let ranking = Ranking::new(rows).filter(|ranking| ranking.len() > 0)?;
    let reached =
        |run: Option<usize>| run.map_or((0, 0), |run| (ranking.positives[run], ranking.negatives[run]));
    let table = (0..=STEPS).map(|step| {
        let threshold = step as f64 / STEPS as f64;
        let n_runs = ranking.scores.partition_point(|score| *score >= threshold);
        let (positives, negatives) = reached(n_runs.checked_sub(1));
        row(threshold, positives, negatives, &ranking, costs)
    });
    let by = if costs.is_some() { Objective::Cost } else { Objective::F1 };
    let badness = |row: &ThresholdRow| match by {
        Objective::Cost => row.cost.unwrap_or(f64::INFINITY),
        Objective::F1 => -row.f1,
    };
    // No row at all is positive above 1.
    let none = (ranking.scores[0] < 1.0).then(|| row(1.0, 0, 0, &ranking, costs));
    let of_runs = (0..ranking.len()).map(|run| {
        let (positives, negatives) = reached(Some(run));
        // Halfway to the next score: new rows seldom have the very same one.
        let next = ranking.scores.get(run + 1).copied().unwrap_or(0.0);
        let halfway = (ranking.scores[run] + next) / 2.0;
        let threshold = if halfway > next { halfway } else { ranking.scores[run] };
        row(threshold.min(ranking.scores[run]), positives, negatives, &ranking, costs)
    });
    let best = none.into_iter().chain(of_runs).min_by(|a, b| {
        let from_half = |row: &ThresholdRow| (row.threshold - 0.5).abs();
        badness(a).total_cmp(&badness(b)).then(from_half(a).total_cmp(&from_half(b)))
    })?;
    Some((table.collect(), BestThreshold { by, row: best }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_card_are_those_of_comparing_each_row_with_each_threshold() {
        let probabilities = [0.0, 0.1, 0.1, 0.35, 0.5, 0.5, 0.62, 0.995, 1.0];
        let codes = vec![0, 0, 1, 0, 1, 0, 1, 1, 1];
        let mut scores = Matrix::with_capacity(9, 2);
        probabilities.iter().for_each(|p| scores.push_row(0.0).copy_from_slice(&[1.0 - p, *p]));
        let truth = Truth::Classes { codes: codes.clone(), labels: vec!["no".into(), "yes".into()] };
        let counts = ThresholdCounts::of(&scores, &truth, 1).unwrap();
        assert_eq!((counts.positives, counts.negatives), (5, 4));
        for step in 0..=STEPS {
            let reach = |class| {
                let rows = probabilities.iter().zip(&codes);
                rows.filter(|(p, code)| **p >= step as f64 / 100.0 && **code == class).count() as u64
            };
            assert_eq!(
                (counts.true_positives[step], counts.false_positives[step]),
                (reach(1), reach(0)),
                "{step}"
            );
        }
        assert!(ThresholdCounts::of(&scores, &Truth::Values(vec![0.0; 9]), 1).is_none());
    }
}
