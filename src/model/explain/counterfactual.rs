//! What would have to be different: the smallest changes of a row that move its prediction (Wachter, Mittelstadt and
//! Russell 2017, "Counterfactual explanations without opening the black box").
//!
//! Columns take values of the training rows, as far as the model file holds them: levels, deciles, ends of ranges and the
//! background rows. Fewer changed columns come first; among as many, the smaller distance: the sum of |change| / (max −
//! min) of numbers and dates, and 1 for another level. All combinations are tried while there are few, else the most
//! promising ones (a beam search). What is found is then drawn back towards the row as far as the prediction allows, so
//! that a number is one that just suffices. Several answers differ in their columns (Mothilal, Sharma and Tan 2020,
//! DiCE). Each has been predicted.

use std::collections::BTreeMap;

use crate::background::give_way;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::model::pipeline::{Decision, Pipeline, Predictions};
use crate::model::reference::Reference;
use crate::order;

/// Combinations of as many columns that are all tried.
const MAX_TRIED: usize = 20_000;
/// Rows that are predicted together.
const BLOCK_ROWS: usize = 1024;
/// Values of a number, and levels of a category, that are tried.
const MAX_VALUES: usize = 24;
const MAX_LEVELS: usize = 50;
/// Sets of changes, and columns, that a search goes on with where there are too many combinations.
const BEAM: usize = 32;
const BEAM_COLUMNS: usize = 40;
/// Sets of columns whose values are drawn back towards the row.
const MAX_REFINED: usize = 12;
/// Answers.
const MAX_FOUND: usize = 3;
/// Halvings of the way from a value that does not suffice to one that does.
const HALVINGS: usize = 30;

/// The prediction that is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Any class but the predicted one.
    Other,
    /// This class.
    Class(u32),
    /// A number from the first to the second.
    Within(f64, f64),
}

/// A column that may change, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mutable {
    /// The feature.
    pub(crate) feature: usize,
    /// The values that it may take; of a category all.
    pub(crate) range: [f64; 2],
    /// 1 if it may only rise, −1 if it may only fall, else 0.
    pub(crate) direction: i8,
}

/// The search for counterfactuals of a model; made once.
#[derive(Debug)]
pub(crate) struct Search {
    most: usize,
    goal: Goal,
    columns: Vec<Column>,
}

/// A column that may change.
#[derive(Debug)]
struct Column {
    mutable: Mutable,
    /// The values that are tried.
    values: Vec<f64>,
    /// The range of the training rows, which distances are measured by; none for levels.
    width: Option<f64>,
    /// Values are multiples of this; 0 if they are not.
    unit: f64,
}

/// A row with changes that has the wanted prediction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counterfactual {
    /// The features that are changed, ascending.
    pub(crate) changed: Vec<usize>,
    /// The whole row.
    pub(crate) codes: Vec<f64>,
    /// Sum of the scaled changes.
    pub(crate) distance: f64,
    /// Its class; none for a number.
    pub(crate) class: Option<u32>,
    /// The probability of the class, or the number.
    pub(crate) score: f64,
}

/// The columns that are changed, by their place in the search and ascending, with their values.
type Changes = Vec<(usize, f64)>;

impl Search {
    /// Prepares what does not depend on the row. At most `most` columns change.
    pub(crate) fn new(
        pipeline: &Pipeline,
        reference: &Reference,
        goal: Goal,
        most: usize,
        mutable: Vec<Mutable>,
    ) -> Self {
        let column = |mutable: Mutable| {
            let feature = &pipeline.schema.features[mutable.feature];
            let background: Vec<f64> =
                reference.background().rows().map(|row| row[mutable.feature]).collect();
            Column::new(feature, mutable, &background)
        };
        let mut columns: Vec<Column> = mutable.into_iter().map(column).collect();
        columns.retain(|column| !column.values.is_empty());
        order::sort_by_key(&mut columns, |column| column.mutable.feature);
        columns.dedup_by_key(|column| column.mutable.feature);
        Self { most: most.min(columns.len()), goal, columns }
    }

    /// The counterfactuals of row `i`, the smallest first; none if the row has the wanted prediction already, or no change
    /// was found.
    pub(crate) fn of_row(
        &self,
        pipeline: &Pipeline,
        decision: Decision,
        codes: &Matrix,
        i: usize,
    ) -> Vec<Counterfactual> {
        let trial = Trial::new(self, pipeline, decision, codes, i);
        if trial.has_goal() {
            return Vec::new();
        }
        let steps: Vec<Vec<f64>> =
            self.columns.iter().map(|column| column.steps(trial.now(column))).collect();
        for size in 1..=self.most {
            let found = match combinations(&steps, size) <= MAX_TRIED {
                true => trial.all(&steps, size),
                false => trial.beam(&steps, size),
            };
            if !found.is_empty() {
                return trial.smallest(found);
            }
        }
        Vec::new()
    }
}

/// Combinations of changes of so many columns; a large number if there are too many to count.
fn combinations(steps: &[Vec<f64>], size: usize) -> usize {
    // The elementary symmetric polynomials of the numbers of values.
    let mut counts = vec![0_usize; size + 1];
    counts[0] = 1;
    for values in steps {
        for n in (1..=size).rev() {
            counts[n] = counts[n].saturating_add(counts[n - 1].saturating_mul(values.len()));
        }
    }
    counts[size]
}

impl Column {
    fn new(feature: &Feature, mutable: Mutable, background: &[f64]) -> Self {
        let Feature { min, max, .. } = *feature;
        let [low, high] = mutable.range;
        let is_level = matches!(feature.column_type, ColumnType::Category | ColumnType::Boolean);
        let mut values: Vec<f64> = match feature.column_type {
            ColumnType::Text => Vec::new(),
            ColumnType::Boolean => vec![0.0, 1.0],
            ColumnType::Category => {
                let mut levels: Vec<usize> = (0..feature.levels.len()).collect();
                let count = |level: &usize| feature.counts.get(*level).copied().unwrap_or(0);
                order::sort_by(&mut levels, |a, b| count(b).cmp(&count(a)).then(a.cmp(b)));
                levels.into_iter().take(MAX_LEVELS).map(|level| level as f64).collect()
            }
            ColumnType::Number => {
                let edges = feature.histogram.iter().flat_map(|histogram| histogram.edges.iter().copied());
                edges.chain([min, max]).collect()
            }
            ColumnType::Date => (0..=10).map(|tenth| min + (max - min) * f64::from(tenth) / 10.0).collect(),
        };
        let day = 86_400.0;
        let is_of =
            |unit: f64| values.iter().chain(background).all(|value| value.is_nan() || value % unit == 0.0);
        let unit = match feature.column_type {
            ColumnType::Number if is_of(1.0) => 1.0,
            ColumnType::Date if min % day == 0.0 && max % day == 0.0 => day,
            ColumnType::Date => 1.0,
            _ => 0.0,
        };
        if !is_level {
            values.extend(background.iter().copied().filter(|value| value.is_finite()));
            // The ends of a range that is given are values as well, as far as the training rows reach.
            values
                .extend([low.max(min), high.min(max)].into_iter().filter(|_| low.max(min) <= high.min(max)));
            if unit > 0.0 {
                values.iter_mut().for_each(|value| *value = (*value / unit).round() * unit);
            }
            values.retain(|value| (low..=high).contains(value) && (min..=max).contains(value));
            values.sort_unstable_by(f64::total_cmp);
            values.dedup();
            if values.len() > MAX_VALUES {
                let last = values.len() - 1;
                values = (0..MAX_VALUES).map(|at| values[at * last / (MAX_VALUES - 1)]).collect();
            }
        }
        Self { mutable, values, width: (!is_level).then_some(max - min), unit }
    }

    /// The values that a row with the value `now` may take.
    fn steps(&self, now: f64) -> Vec<f64> {
        let may = |value: &f64| match self.mutable.direction {
            // A missing value neither rises nor falls.
            direction if direction != 0 => (value - now) * f64::from(direction) > 0.0,
            _ => *value != now,
        };
        self.values.iter().copied().filter(may).collect()
    }

    /// The distance of two values; to and from a missing value that of other levels.
    fn distance(&self, from: f64, to: f64) -> f64 {
        match self.width {
            Some(width) if width > 0.0 && !from.is_nan() => (to - from).abs() / width,
            _ => 1.0,
        }
    }
}

/// The changes of one row on trial.
struct Trial<'a> {
    search: &'a Search,
    pipeline: &'a Pipeline,
    decision: Decision,
    /// The row, and its texts.
    row: Matrix,
    predictions: Predictions,
}

impl<'a> Trial<'a> {
    fn new(search: &'a Search, pipeline: &'a Pipeline, decision: Decision, codes: &Matrix, i: usize) -> Self {
        let mut row = Matrix::with_capacity(1, codes.n_cols());
        row.push_row(0.0).copy_from_slice(codes.row(i));
        for feature in pipeline.schema.texts() {
            let code = codes.row(i)[feature];
            if !code.is_nan() {
                row.row_mut(0)[feature] = row.texts_mut().push(codes.texts().get(code));
            }
        }
        let predictions = pipeline.predict_serially(&row, decision);
        Self { search, pipeline, decision, row, predictions }
    }

    /// The value of a column of the row.
    fn now(&self, column: &Column) -> f64 {
        self.row.row(0)[column.mutable.feature]
    }

    fn distance(&self, changes: &[(usize, f64)]) -> f64 {
        let of = |&(at, value): &(usize, f64)| {
            let column = &self.search.columns[at];
            column.distance(self.now(column), value)
        };
        changes.iter().map(of).sum()
    }

    /// Whether the row has the wanted prediction as it is.
    fn has_goal(&self) -> bool {
        self.search.goal != Goal::Other && self.meets(&self.predictions, 0)
    }

    /// Whether a row has the wanted prediction.
    fn meets(&self, predictions: &Predictions, row: usize) -> bool {
        let class = predictions.classes.get(row);
        predictions.is_finite(row)
            && match self.search.goal {
                Goal::Other => class != self.predictions.classes.first(),
                Goal::Class(wanted) => class == Some(&wanted),
                Goal::Within(low, high) => (low..=high).contains(&predictions.scores.row(row)[0]),
            }
    }

    /// How near a row is to the wanted prediction; more is nearer.
    fn nearness(&self, predictions: &Predictions, row: usize) -> f64 {
        let scores = predictions.scores.row(row);
        let near = match (self.search.goal, self.predictions.classes.first()) {
            (Goal::Class(wanted), _) => scores[wanted as usize],
            (Goal::Within(low, high), _) => -(low - scores[0]).max(scores[0] - high),
            (Goal::Other, now) => -scores[now.map_or(0, |&now| now as usize)],
        };
        if near.is_finite() { near } else { f64::MIN }
    }

    /// Predicts changes in blocks; `see` gets each with the predictions of its block and its row among them.
    fn predict(
        &self,
        all: &mut dyn Iterator<Item = Changes>,
        see: &mut dyn FnMut(Changes, &Predictions, usize),
    ) {
        let mut rows = self.row.clone();
        loop {
            give_way();
            let block: Vec<Changes> = (&mut *all).take(BLOCK_ROWS).collect();
            if block.is_empty() {
                return;
            }
            rows.truncate(0);
            for changes in &block {
                let row = rows.push_row(0.0);
                row.copy_from_slice(self.row.row(0));
                changes.iter().for_each(|&(at, value)| row[self.search.columns[at].mutable.feature] = value);
            }
            let predictions = self.pipeline.predict_serially(&rows, self.decision);
            block.into_iter().enumerate().for_each(|(i, changes)| see(changes, &predictions, i));
        }
    }

    /// Of each set of columns the smallest change that suffices, among all changes of so many columns.
    fn all(&self, steps: &[Vec<f64>], size: usize) -> BTreeMap<Vec<usize>, Changes> {
        let mut found = BTreeMap::new();
        let mut sets = vec![Vec::new()];
        for _ in 0..size {
            let longer = |set: Vec<usize>| {
                let next = set.last().map_or(0, |last| last + 1);
                let last = steps.len();
                (next..last).filter(|&at| !steps[at].is_empty()).map(move |at| [&set[..], &[at]].concat())
            };
            sets = sets.into_iter().flat_map(longer).collect::<Vec<_>>();
        }
        let mut all = sets.iter().flat_map(|set| {
            let n: usize = set.iter().map(|&at| steps[at].len()).product();
            (0..n).map(move |mut i| {
                let value = |&at: &usize| {
                    let value = steps[at][i % steps[at].len()];
                    i /= steps[at].len();
                    (at, value)
                };
                set.iter().map(value).collect()
            })
        });
        self.predict(&mut all, &mut |changes, predictions, row| {
            if self.meets(predictions, row) {
                self.keep(changes, &mut found);
            }
        });
        found
    }

    /// The same among the changes of the columns and values that are the most promising.
    fn beam(&self, steps: &[Vec<f64>], size: usize) -> BTreeMap<Vec<usize>, Changes> {
        let mut found = BTreeMap::new();
        let mut columns: Vec<usize> = (0..steps.len()).collect();
        let mut beam: Vec<Changes> = vec![Vec::new()];
        for n in 1..=size {
            let mut next: BTreeMap<Vec<(usize, u64)>, (f64, Changes)> = BTreeMap::new();
            let mut best = vec![f64::MIN; steps.len()];
            let mut all = beam.iter().flat_map(|before| {
                let free = columns.iter().filter(|at| before.iter().all(|(other, _)| other != *at));
                free.flat_map(move |&at| {
                    steps[at].iter().map(move |&value| {
                        let mut changes = before.clone();
                        changes.push((at, value));
                        order::sort_by_key(&mut changes, |change| change.0);
                        changes
                    })
                })
            });
            self.predict(&mut all, &mut |changes, predictions, row| {
                if n == size && self.meets(predictions, row) {
                    return self.keep(changes, &mut found);
                }
                let near = self.nearness(predictions, row);
                changes.iter().for_each(|&(at, _)| best[at] = best[at].max(near));
                let key = changes.iter().map(|&(at, value)| (at, value.to_bits())).collect();
                next.insert(key, (near, changes));
            });
            if n == 1 {
                order::sort_by(&mut columns, |&a, &b| best[b].total_cmp(&best[a]));
                columns.truncate(BEAM_COLUMNS);
                columns.sort_unstable();
            }
            let mut ordered: Vec<(f64, Changes)> = next.into_values().collect();
            order::sort_by(&mut ordered, |a, b| {
                b.0.total_cmp(&a.0).then(self.distance(&a.1).total_cmp(&self.distance(&b.1)))
            });
            beam = ordered.into_iter().take(BEAM).map(|(_, changes)| changes).collect();
        }
        found
    }

    /// Keeps changes if they are the smallest of their columns so far.
    fn keep(&self, changes: Changes, found: &mut BTreeMap<Vec<usize>, Changes>) {
        let set: Vec<usize> = changes.iter().map(|change| change.0).collect();
        match found.get_mut(&set) {
            Some(known) if self.distance(known) <= self.distance(&changes) => {}
            Some(known) => *known = changes,
            None => {
                found.insert(set, changes);
            }
        }
    }

    /// The smallest of the changes, drawn back towards the row.
    fn smallest(&self, found: BTreeMap<Vec<usize>, Changes>) -> Vec<Counterfactual> {
        let by_distance = |all: &mut Vec<Changes>| {
            order::sort_by(all, |a, b| self.distance(a).total_cmp(&self.distance(b)));
        };
        let mut all: Vec<Changes> = found.into_values().collect();
        by_distance(&mut all);
        all.truncate(MAX_REFINED);
        all.iter_mut().for_each(|changes| self.draw_back(changes));
        by_distance(&mut all);
        all.truncate(MAX_FOUND);
        all.into_iter().map(|changes| self.counterfactual(&changes)).collect()
    }

    fn counterfactual(&self, changes: &[(usize, f64)]) -> Counterfactual {
        let mut row = self.row.clone();
        let changed: Vec<usize> =
            changes.iter().map(|&(at, _)| self.search.columns[at].mutable.feature).collect();
        changed.iter().zip(changes).for_each(|(&feature, change)| row.row_mut(0)[feature] = change.1);
        let predictions = self.pipeline.predict_serially(&row, self.decision);
        let class = predictions.classes.first().copied();
        Counterfactual {
            changed,
            codes: row.row(0).to_vec(),
            distance: self.distance(changes),
            class,
            score: predictions.scores.row(0)[class.map_or(0, |class| class as usize)],
        }
    }

    /// Whether changes suffice.
    fn suffices(&self, changes: &[(usize, f64)]) -> bool {
        let mut is_met = false;
        self.predict(&mut std::iter::once(changes.to_vec()), &mut |_, predictions, row| {
            is_met = self.meets(predictions, row);
        });
        is_met
    }

    /// Moves the numbers of changes towards those of the row, the farthest first, as far as the changes go on sufficing.
    fn draw_back(&self, changes: &mut Changes) {
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order::sort_by(&mut order, |&a, &b| {
            self.distance(&changes[b..=b]).total_cmp(&self.distance(&changes[a..=a]))
        });
        for i in order {
            let (at, farthest) = changes[i];
            let column = &self.search.columns[at];
            let now = self.now(column);
            if column.width.is_none() || now.is_nan() {
                continue;
            }
            let suffices = |value: f64| {
                let mut tried = changes.clone();
                tried[i].1 = value;
                (column.mutable.range[0]..=column.mutable.range[1]).contains(&value) && self.suffices(&tried)
            };
            let (mut near, mut far) = (now, farthest);
            for _ in 0..HALVINGS {
                let mut middle = near + (far - near) / 2.0;
                if column.unit > 0.0 {
                    middle = (middle / column.unit).round() * column.unit;
                }
                if middle == near || middle == far {
                    break;
                }
                if suffices(middle) { far = middle } else { near = middle }
            }
            let value = if column.unit > 0.0 { far } else { short(now, far, farthest, &suffices) };
            changes[i].1 = value;
        }
    }
}

/// The value of the fewest digits from `value` away from `now`, at most a twentieth of the way farther and not beyond
/// `farthest`, that suffices; else `value`.
fn short(now: f64, value: f64, farthest: f64, suffices: &dyn Fn(f64) -> bool) -> f64 {
    let rises = value > now;
    let largest = value.abs().max((value - now).abs()).log10().floor();
    for decimals in (0..16).map(|digits| digits - largest as i32) {
        let unit = 10_f64.powi(-decimals);
        let steps = if rises { (value / unit).ceil() } else { (value / unit).floor() };
        // Of the text, as the product may be off by its last digit.
        let text = format!("{:.*}", decimals.max(0) as usize, steps * unit);
        let rounded = text.parse().unwrap_or(value);
        let is_near = (rounded - value).abs() <= (value - now).abs() / 20.0;
        let is_within =
            if rises { (value..=farthest).contains(&rounded) } else { (farthest..=value).contains(&rounded) };
        if is_near && is_within && suffices(rounded) {
            return rounded;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_counted_without_making_them() {
        let steps = [vec![0.0; 2], vec![0.0; 3], vec![], vec![0.0; 5]];
        assert_eq!([1, 2, 3, 4].map(|size| combinations(&steps, size)), [10, 6 + 10 + 15, 30, 0]);
        assert_eq!(combinations(&vec![vec![0.0; 1000]; 1000], 12), usize::MAX);
    }

    #[test]
    fn a_number_that_suffices_is_written_with_few_digits() {
        let from = |least: f64| move |value: f64| value >= least;
        assert_eq!(short(52_000.0, 60_812.34, 70_000.0, &from(60_812.34)), 61_000.0);
        assert_eq!(short(0.1, 0.312_345, 1.0, &from(0.312_345)), 0.32);
        assert_eq!(short(5.0, 1.987, 0.0, &|value| value <= 1.987), 1.9);
        // Three digits would be beyond the farthest value.
        assert_eq!(short(52_000.0, 60_812.5, 60_850.0, &from(60_812.5)), 60_820.0);
        assert_eq!(short(0.0, 0.3, 0.3, &from(0.3)), 0.3);
    }
}
