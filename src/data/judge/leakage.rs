//! Columns that predict the target alone. Most often they were recorded after the target, or are the target in other
//! words, and are not known when a prediction is made.
//!
//! The score of a column is cross-fitted on a sample of the training rows: half of them predict the others by the
//! rows with the nearest value of the column, then the other way round. Of classes it is the share of the errors
//! of a guess at the most frequent class that the column removes (Goodman and Kruskal 1954, "Measures of
//! association for cross classifications", their lambda); of numbers it is R² of their ranks, the same share of
//! the squared error, which a copy in another unit or scale reaches as well.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::data::cells::table::Column;
use crate::data::cells::target::Truth;
use crate::random::{generator, shuffle};

/// A column with at least this share is named. The best of the petal columns of iris reaches 0.94, and of breast cancer
/// the best column 0.8.
const MIN_SHARE: f64 = 0.98;

/// Rows of the sample at most.
const MAX_ROWS: usize = 10_000;

/// With fewer rows a share means nothing.
const MIN_ROWS: usize = 50;

/// With fewer errors of a guess there is nothing to remove.
const MIN_ERRORS: f64 = 5.0;

/// How well one column predicts the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Leak {
    /// Which of the columns.
    pub column: usize,
    /// The share of the error of a guess that it removes.
    pub share: f64,
    /// The share of rows whose class the column predicts right; 0 for numbers.
    pub accuracy: f64,
    /// The share of rows of the most frequent class; 0 for numbers.
    pub guess: f64,
}

/// The columns that predict the target alone, in their order. `rows`: the training rows; `truth`: of those.
pub(crate) fn leaks(columns: &[&Column], rows: &[usize], truth: &Truth, seed: u64) -> Vec<Leak> {
    let mut sample = truth.sample(MAX_ROWS, seed);
    if sample.len() < MIN_ROWS {
        return Vec::new();
    }
    shuffle(&mut sample, &mut generator(seed));
    let answers = Answers::of(&truth.select(&sample));
    let rows: Vec<usize> = sample.iter().map(|&i| rows[i]).collect();
    let leak = |(index, column): (usize, &&Column)| {
        let leak = answers.score(column, &rows)?;
        (leak.share >= MIN_SHARE).then_some(Leak { column: index, ..leak })
    };
    columns.par_iter().enumerate().filter_map(leak).collect()
}

/// The target of the sample.
enum Answers {
    Classes { codes: Vec<u32>, n_classes: usize, most: u32, guess: f64 },
    Ranks { ranks: Vec<f64>, mean: f64, squares: f64 },
}

impl Answers {
    fn of(truth: &Truth) -> Self {
        match truth {
            Truth::Classes { codes, labels } => {
                let mut counts = vec![0_usize; labels.len()];
                codes.iter().for_each(|&code| counts[code as usize] += 1);
                let most = (0..counts.len()).max_by_key(|&class| (counts[class], std::cmp::Reverse(class)));
                let most = most.unwrap_or(0);
                let guess = counts[most] as f64 / codes.len() as f64;
                Self::Classes { codes: codes.clone(), n_classes: labels.len(), most: most as u32, guess }
            }
            Truth::Values(values) => {
                let ranks = mid_ranks(values);
                let mean = (values.len() as f64 - 1.0) / 2.0;
                let squares = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
                Self::Ranks { ranks, mean, squares }
            }
        }
    }

    /// The prediction of a group of rows: the most frequent class or the mean rank.
    fn of_rows(&self, rows: impl Iterator<Item = usize>, counts: &mut [u32]) -> Option<f64> {
        match self {
            Self::Classes { codes, .. } => {
                let mut best: Option<(u32, u32)> = None;
                let rows: Vec<usize> = rows.collect();
                for &row in &rows {
                    let code = codes[row];
                    counts[code as usize] += 1;
                    let n = counts[code as usize];
                    if best.is_none_or(|(most, of)| n > most || n == most && code < of) {
                        best = Some((n, code));
                    }
                }
                rows.iter().for_each(|&row| counts[codes[row] as usize] = 0);
                best.map(|(_, code)| f64::from(code))
            }
            Self::Ranks { ranks, .. } => {
                let (mut sum, mut n) = (0.0, 0.0);
                rows.for_each(|row| (sum, n) = (sum + ranks[row], n + 1.0));
                (n > 0.0).then(|| sum / n)
            }
        }
    }

    /// The score of a column; `rows`: those of the sample, in random order. None if there is nothing to gain.
    fn score(&self, column: &Column, rows: &[usize]) -> Option<Leak> {
        let (keys, ordered) = keys(column, rows);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by(|&a, &b| keys[a].total_cmp(&keys[b]).then(a.cmp(&b)));
        let n_classes = if let Self::Classes { n_classes, .. } = self { *n_classes } else { 0 };
        let mut counts = vec![0; n_classes];
        let is_same = |a: &usize, b: &usize| keys[*a] == keys[*b] || keys[*a].is_nan() && keys[*b].is_nan();
        let runs: Vec<&[usize]> = order.chunk_by(is_same).collect();
        let mut error = 0.0;
        for side in 0..2 {
            let answers: Vec<Option<f64>> = runs
                .iter()
                .map(|run| self.of_rows(run.iter().copied().filter(|row| row % 2 == side), &mut counts))
                .collect();
            let near = nearest(&runs, &answers, &keys, ordered);
            for (run, answer) in runs.iter().zip(near) {
                for &row in run.iter().filter(|row| **row % 2 != side) {
                    error += match self {
                        Self::Classes { codes, most, .. } => {
                            let predicted = answer.unwrap_or(f64::from(*most));
                            f64::from(u8::from(predicted != f64::from(codes[row])))
                        }
                        Self::Ranks { ranks, mean, .. } => (answer.unwrap_or(*mean) - ranks[row]).powi(2),
                    };
                }
            }
        }
        let n = rows.len() as f64;
        let (guessed, accuracy, guess) = match self {
            Self::Classes { guess, .. } => ((1.0 - guess) * n, 1.0 - error / n, *guess),
            Self::Ranks { squares, .. } => (*squares, 0.0, 0.0),
        };
        (guessed >= MIN_ERRORS).then(|| Leak { column: 0, share: 1.0 - error / guessed, accuracy, guess })
    }
}

/// The prediction for each run: its own answer, else that of the nearest run that has one, if the keys are ordered.
fn nearest(runs: &[&[usize]], answers: &[Option<f64>], keys: &[f64], ordered: bool) -> Vec<Option<f64>> {
    let mut near = answers.to_vec();
    if !ordered {
        return near;
    }
    let key = |run: usize| keys[runs[run][0]];
    // Runs of missing values are last, and near to none.
    let n = runs.iter().position(|run| keys[run[0]].is_nan()).unwrap_or(runs.len());
    let mut before = vec![None; n];
    let mut last = None;
    for run in 0..n {
        if answers[run].is_some() {
            last = Some(run);
        }
        before[run] = last;
    }
    let mut after = None;
    for run in (0..n).rev() {
        if answers[run].is_some() {
            after = Some(run);
            continue;
        }
        let chosen = match (before[run], after) {
            (Some(b), Some(a)) if key(run) - key(b) <= key(a) - key(run) => Some(b),
            (Some(b), None) => Some(b),
            (_, after) => after,
        };
        near[run] = chosen.and_then(|run| answers[run]);
    }
    near
}

/// A number for each row, equal for equal cells, and whether the order of the numbers means anything.
fn keys(column: &Column, rows: &[usize]) -> (Vec<f64>, bool) {
    match column {
        Column::Number(values) | Column::Written { values, .. } => {
            // One NaN and one zero, whatever their signs.
            let key = |&row: &usize| if values[row].is_nan() { f64::NAN } else { values[row] + 0.0 };
            (rows.iter().map(key).collect(), true)
        }
        Column::Category { codes, .. } => (rows.iter().map(|&row| f64::from(codes[row])).collect(), false),
        Column::Text { codes, texts } => {
            let mut known: HashMap<&str, usize> = HashMap::new();
            let mut key = |row: usize| {
                let next = known.len();
                *known.entry(texts.get(codes[row])).or_insert(next) as f64
            };
            (rows.iter().map(|&row| key(row)).collect(), false)
        }
    }
}

/// The ranks of numbers from 0, equal ones with the mean of theirs.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&row| ranks[row] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::{ColumnType, NullTokens, Task};
    use crate::data::cells::target::Target;
    use crate::data::read::load::read_table;
    use crate::data::read::source::Options;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut values: Vec<usize> = (0..n).collect();
        shuffle(&mut values, &mut generator(seed));
        values.into_iter().map(|value| value as f64 / n as f64).collect()
    }

    fn of(columns: &[Column], truth: &Truth) -> Vec<usize> {
        let rows: Vec<usize> = (0..truth.len()).collect();
        let columns: Vec<&Column> = columns.iter().collect();
        leaks(&columns, &rows, truth, 42).into_iter().map(|leak| leak.column).collect()
    }

    fn classes(codes: impl Iterator<Item = u32>) -> Truth {
        Truth::Classes { codes: codes.collect(), labels: vec!["no".into(), "yes".into()] }
    }

    #[test]
    fn a_column_that_is_the_target_in_other_words_is_found() {
        let (x, other) = (noise(400, 1), noise(400, 2));
        let truth = classes(x.iter().map(|&x| u32::from(x > 0.3)));
        let word = Column::Category {
            codes: x.iter().map(|&x| u32::from(x <= 0.3)).collect(),
            levels: vec!["paid".into(), "open".into()],
        };
        let columns = [Column::Number(other), word, Column::Number(x.clone())];
        assert_eq!(of(&columns, &truth), [1, 2]);
        // Given only if the answer is yes: a missing value says as much.
        let date = x.iter().map(|&x| if x > 0.3 { x } else { f64::NAN }).collect();
        assert_eq!(of(&[Column::Number(date)], &truth), [0]);
    }

    #[test]
    fn a_copy_in_another_unit_or_scale_is_found() {
        let y: Vec<f64> = noise(500, 3).into_iter().map(|x| (8.0 * x).exp()).collect();
        let noisy = y.iter().zip(noise(500, 4)).map(|(y, e)| y.ln() + e).collect();
        let columns = [
            Column::Number(y.iter().map(|y| y * 100.0).collect()),
            Column::Number(y.iter().map(|y| y.ln()).collect()),
            Column::Number(noisy),
        ];
        assert_eq!(of(&columns, &Truth::Values(y)), [0, 1]);
    }

    #[test]
    fn few_rows_and_few_errors_prove_nothing() {
        let copy = |n: usize, rare: usize| {
            let y: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i < rare))).collect();
            of(&[Column::Number(y.clone())], &classes(y.iter().map(|&y| y as u32)))
        };
        assert!(copy(40, 20).is_empty());
        assert!(copy(400, 4).is_empty());
        assert_eq!(copy(400, 40), [0]);
    }

    #[test]
    fn good_columns_of_real_tables_are_no_leak() {
        for (name, task) in [
            ("iris", Task::Classification),
            ("breast_cancer", Task::Classification),
            ("wine", Task::Classification),
            ("digits", Task::Classification),
            ("diabetes", Task::Regression),
        ] {
            let path = format!("{}/fixtures/{name}.csv", env!("CARGO_MANIFEST_DIR"));
            let raw = read_table(&path, &Options::default()).unwrap();
            let (nulls, last) = (NullTokens::default(), raw.names.len() - 1);
            let target = Target::fit(&raw, last, task, &nulls).unwrap();
            let (rows, truth) = target.read(&raw, last, &nulls).unwrap();
            let columns: Vec<Column> = (0..last)
                .map(|index| Column::parse(&raw, index, ColumnType::Number, &nulls).unwrap())
                .collect();
            let columns: Vec<&Column> = columns.iter().collect();
            for seed in 0..20 {
                assert_eq!(leaks(&columns, &rows, &truth, seed), [], "{name}");
            }
        }
    }
}
