//! Rows ordered by the probability of a label, or by the predicted value: the order of `POST /rank` and of
//! `predict --rank-by`.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use anyhow::{Result, bail};

use super::explained::label_named;
use crate::data::cells::schema::Warning;

/// What rows are ordered by, and how many of the first are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// The score: of a class its probability, else the value.
    pub score: usize,
    /// The number of rows kept.
    pub top: usize,
}

/// The score that rows are ordered by: the value, or the probability of a label; of two that of the second unless another
/// is named. The name of the target is no label and names none.
///
/// # Errors
/// A label that the model does not have; none where there are three or more.
pub(crate) fn score_of(labels: &[String], target: &str, by: Option<&str>) -> Result<usize> {
    let is_target = |name: &&str| *name == target && !labels.iter().any(|label| label == name);
    match (by.filter(|name| !is_target(name)), labels.len()) {
        (Some(label), 1..) => label_named(label, labels),
        (None, 3..) => bail!("name the label whose probability candidates are ordered by"),
        (_, n_labels) => Ok(n_labels.saturating_sub(1)),
    }
}

/// A row with its place in the order.
#[derive(Debug)]
pub(crate) struct Placed {
    /// What it is ordered by.
    pub(crate) score: f64,
    /// Its number in the input, from 0.
    pub(crate) index: usize,
    /// Its text, where the row is written.
    pub(crate) text: Vec<u8>,
    /// The warnings about it.
    pub(crate) warnings: Vec<Warning>,
}

impl Ord for Placed {
    /// Higher scores first, equal ones by their place in the input.
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Placed {}

/// The first rows of those seen so far, in memory for as many.
#[derive(Debug)]
pub(crate) struct Best {
    most: usize,
    /// The last of them on top.
    kept: BinaryHeap<Placed>,
}

impl Best {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: BinaryHeap::new() }
    }

    /// Takes a row if it is among the first; `text` is made only then.
    pub(crate) fn offer(
        &mut self,
        score: f64,
        index: usize,
        text: &mut dyn FnMut() -> (Vec<u8>, Vec<Warning>),
    ) {
        let mut row = Placed { score, index, text: Vec::new(), warnings: Vec::new() };
        if self.kept.len() >= self.most {
            if self.kept.peek().is_none_or(|last| row >= *last) {
                return;
            }
            self.kept.pop();
        }
        (row.text, row.warnings) = text();
        self.kept.push(row);
    }

    /// The rows in their order.
    pub(crate) fn into_rows(self) -> Vec<Placed> {
        self.kept.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_are_those_of_a_whole_sort_and_equal_scores_stay_in_order() {
        let scores = [0.5, 0.9, 0.5, -1.0, 0.9, f64::MIN, 0.5, 2.0];
        let mut whole: Vec<usize> = (0..scores.len()).collect();
        whole.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        assert_eq!(whole, [7, 1, 4, 0, 2, 6, 3, 5]);
        for most in [0, 1, 2, 3, 4, 7, 8, usize::MAX] {
            let mut best = Best::new(most);
            let mut n_made = 0;
            for (index, &score) in scores.iter().enumerate() {
                best.offer(score, index, &mut || {
                    n_made += 1;
                    (vec![index as u8], Vec::new())
                });
            }
            let found: Vec<usize> = best.into_rows().iter().map(|row| row.text[0] as usize).collect();
            assert_eq!(found, whole[..most.min(whole.len())]);
            assert!(n_made <= scores.len() && (most > 0 || n_made == 0));
        }
    }
}
