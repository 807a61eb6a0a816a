//! Mistakes in a training table that ruin models, named before anything is fitted: the fact, its place, the remedy.
//!
//! Each check takes time in proportion to the cells of the table, on all cores. Copies and leaks are found by
//! [`super::duplicates`] and [`super::leakage`].

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::duplicates::{Copies, repeated, row_hashes, seen};
use super::leakage::{Leak, leaks};
use super::profile::Profile;
use crate::data::cells::cell::{ColumnType, NullTokens, Task};
use crate::data::cells::number::MAX_SUMMED;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::table::{Column, Table};
use crate::data::cells::target::{Target, Truth};
use crate::order;

/// A note lists this many items; the others are counted.
const MAX_LISTED: usize = 5;

/// A class with less than this part of an equal share of the rows is rare: below 5 % of two classes.
const RARE: f64 = 0.1;

/// From this share of the rows on copies are noted; fewer are counted only.
const NOTED_COPIES: f64 = 0.01;

/// If the columns could make fewer different rows than this times the rows of the table, copies are to be expected.
const POSSIBLE_ROWS: f64 = 100.0;

/// Rows in which the values of a column are counted for that.
const COUNTED_ROWS: usize = 1000;

/// Joins the first few items; none of none.
pub(crate) fn list(items: &[String]) -> Option<String> {
    let more = items.len().saturating_sub(MAX_LISTED);
    let mut text = items.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    (!items.is_empty()).then_some(text)
}

/// A share as a percentage, with a decimal if it is small.
fn percent(n: usize, of: usize) -> String {
    let percent = n as f64 * 100.0 / of.max(1) as f64;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// The note on a column that was dropped because it is a copy of another.
pub(crate) fn duplicate_column(name: &str, original: &str, column_type: ColumnType) -> String {
    let type_name = column_type.name();
    format!(
        "column {name:?} has the same cells as {original:?} and was dropped; --type \"{name}={type_name}\" keeps it"
    )
}

/// The note on columns with more missing values than others.
pub(crate) fn mostly_missing(table: &Table, columns: &[(usize, ColumnType)]) -> Option<String> {
    let n = table.n_rows();
    let missing = |&(index, _): &(usize, ColumnType)| {
        let column = &table.columns[index];
        let n_missing = (0..n).filter(|&row| column.is_missing(row)).count();
        (n_missing * 2 > n).then(|| format!("{:?} ({})", table.names[index], percent(n_missing, n)))
    };
    let found: Vec<String> = columns.par_iter().filter_map(missing).collect();
    let names = list(&found)?;
    Some(format!(
        "more than half of the cells are missing in {names}; if a missing value there says nothing, --drop COL drops a column"
    ))
}

/// The notes on columns of numbers that are too large for sums of squares; one of databases' "no value" is DBL_MAX.
pub(crate) fn too_large(
    raw: &RawTable,
    profiles: &[Profile],
    table: &Table,
    columns: &[(usize, ColumnType)],
) -> Vec<String> {
    let look = |&(index, column_type): &(usize, ColumnType)| {
        let (profile, name) = (&profiles[index], &table.names[index]);
        let (Column::Number(values), ColumnType::Number) = (&table.columns[index], column_type) else {
            return None;
        };
        if profile.max <= MAX_SUMMED && profile.min >= -MAX_SUMMED {
            return None;
        }
        let row = values.iter().position(|value| value.abs() > MAX_SUMMED)?;
        Some(format!(
            "{}, column {name:?}: {:e} is too large for most algorithms; if it means \"no value\", --null TOKEN with the \
             text of the cell says so",
            raw.place(row),
            values[row]
        ))
    };
    columns.iter().filter_map(look).collect()
}

/// The indices of texts that differ only by case or spaces, those of each text together.
fn alike(texts: &[String]) -> Vec<Vec<usize>> {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, text) in texts.iter().enumerate() {
        let plain = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase);
        alike.entry(plain.collect()).or_default().push(i);
    }
    alike.into_values().filter(|places| places.len() > 1).collect()
}

/// The notes on levels of a category that differ perhaps by mistake, one per column.
pub(crate) fn lookalike_levels(table: &Table, columns: &[(usize, ColumnType)]) -> Vec<String> {
    let look = |&(index, _): &(usize, ColumnType)| {
        let Column::Category { levels, .. } = &table.columns[index] else {
            return None;
        };
        let spellings = |places: Vec<usize>| {
            let texts: Vec<String> = places.iter().map(|&i| format!("{:?}", levels[i])).collect();
            texts.join(" and ")
        };
        let names = list(&alike(levels).into_iter().map(spellings).collect::<Vec<_>>())?;
        Some(format!(
            "values of {:?} differ only by case or spaces and are learned as different ones: {names}; if they mean the \
             same, write them alike",
            table.names[index]
        ))
    };
    let mut notes: Vec<String> = columns.par_iter().filter_map(look).collect();
    let more = notes.len().saturating_sub(MAX_LISTED);
    notes.truncate(MAX_LISTED);
    if more > 0 {
        notes.push(format!("{more} more columns have values that are written in more than one way"));
    }
    notes
}

/// The notes on labels that are different classes, perhaps by mistake. `rows`: those with a target;
/// `truth`: of them.
pub(crate) fn lookalike_labels(
    raw: &RawTable,
    target: &Target,
    rows: &[usize],
    truth: &Truth,
) -> Vec<String> {
    let Truth::Classes { codes, labels } = truth else {
        return Vec::new();
    };
    let alike = alike(labels);
    if alike.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); labels.len()];
    for (&code, &row) in codes.iter().zip(rows) {
        let (n, first) = &mut found[code as usize];
        *n += 1;
        if first.len() < MAX_LISTED {
            first.push(row);
        }
    }
    let say = |mut classes: Vec<usize>| {
        order::sort_by_key(&mut classes, |&class| std::cmp::Reverse(found[class].0));
        let spelling = |&class: &usize| {
            let (n, first) = &found[class];
            let rows = if *n == 1 { "row" } else { "rows" };
            format!("{:?} ({n} {rows}: {})", labels[class], places(raw, first, *n))
        };
        let spellings: Vec<String> = classes.iter().map(spelling).collect();
        format!(
            "labels of {:?} differ only by case or spaces and are learned as different classes: {}; if they mean the \
             same, write them alike",
            target.name,
            list(&spellings).unwrap_or_default()
        )
    };
    let more = alike.len().saturating_sub(MAX_LISTED);
    let mut notes: Vec<String> = alike.into_iter().take(MAX_LISTED).map(say).collect();
    if more > 0 {
        notes.push(format!("{more} more labels of {:?} are written in more than one way", target.name));
    }
    notes
}

/// Files and lines of the first of `n` rows, each file once.
fn places(raw: &RawTable, rows: &[usize], n: usize) -> String {
    let mut text = String::new();
    let mut last = None;
    for &row in rows {
        let (line, file) = raw.lines.get(row);
        text += &match last {
            Some(last) if last == file => format!(", {line}"),
            Some(_) => format!("; {}", raw.place(row)),
            None => raw.place(row),
        };
        last = Some(file);
    }
    if n > rows.len() { text + ", …" } else { text }
}

/// A training table, typed, and how it is split.
pub(crate) struct Rows<'a> {
    /// As it was read, for lines.
    pub raw: &'a RawTable,
    /// Its typed columns.
    pub table: &'a Table,
    /// The columns that are features.
    pub features: &'a [(usize, ColumnType)],
    /// The column to predict.
    pub target: &'a Target,
    /// For each row of the table its row in the file.
    pub with_target: &'a [usize],
    /// The target of each row.
    pub truth: &'a Truth,
    /// The rows to fit.
    pub train: &'a [usize],
    /// The rows held out.
    pub test: &'a [usize],
}

/// The held-out rows if they are another file.
pub(crate) struct OtherFile<'a> {
    /// As it was read.
    pub raw: &'a RawTable,
    /// The rows that have a target.
    pub rows: &'a [usize],
    /// The target of those.
    pub truth: &'a Truth,
}

/// The findings.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Rows that are copies of a row before them.
    pub n_repeated: usize,
    /// Held-out rows that are copies of one that is fitted.
    pub n_held_out_seen: usize,
}

impl Rows<'_> {
    /// Looks for copies among the rows and between those fitted and those held out, for columns that predict the
    /// target alone, and, unless the classes count the same, for rare classes.
    pub(crate) fn look(
        &self,
        other: Option<&OtherFile>,
        balance: bool,
        nulls: &NullTokens,
        seed: u64,
    ) -> Findings {
        let mut findings = Findings::default();
        self.copies(other, nulls, &mut findings);
        let truth = self.truth.select(self.train);
        let columns: Vec<&Column> =
            self.features.iter().map(|(index, _)| &self.table.columns[*index]).collect();
        let found = leaks(&columns, self.train, &truth, seed);
        let n_more = found.len().saturating_sub(MAX_LISTED);
        findings.notes.extend(found.iter().take(MAX_LISTED).map(|leak| self.leak(leak)));
        if n_more > 0 {
            findings.notes.push(format!("{n_more} more columns predict {:?} alone", self.target.name));
        }
        findings.notes.extend(rare_classes(&truth).filter(|_| !balance));
        findings
    }

    fn copies(&self, other: Option<&OtherFile>, nulls: &NullTokens, findings: &mut Findings) {
        let columns: Vec<&Column> =
            self.features.iter().map(|(index, _)| &self.table.columns[*index]).collect();
        let rows: Vec<usize> = (0..self.with_target.len()).collect();
        let hashes = row_hashes(&columns, &rows, self.truth);
        let copies = repeated(&hashes);
        let of = |rows: &[usize]| -> Vec<u64> { rows.iter().map(|&row| hashes[row]).collect() };
        let (held_out_seen, n_held_out) = match other {
            Some(file) => {
                let typed = self.columns_of(file.raw, nulls);
                let typed: Vec<&Column> = typed.iter().collect();
                // A file with other columns or cells is refused when it is evaluated on.
                let complete = typed.len() == columns.len();
                let others = if complete { row_hashes(&typed, file.rows, file.truth) } else { Vec::new() };
                (seen(&hashes, &others), file.rows.len())
            }
            None => (seen(&of(self.train), &of(self.test)), self.test.len()),
        };
        findings.n_repeated = copies.n;
        findings.n_held_out_seen = held_out_seen.n;
        if !self.copies_are_odd(&columns) {
            return;
        }
        let is_noted =
            |copies: &Copies, of: usize| copies.n > 1 && copies.n as f64 >= NOTED_COPIES * of as f64;
        let place = |i: usize| self.raw.place(self.with_target[i]);
        let n = self.with_target.len();
        if let Some((row, first)) = copies.first.filter(|_| is_noted(&copies, n)) {
            findings.notes.push(format!(
                "{} of {n} rows ({}) have the same cells as a row before them, the first {} as {}; if they came into \
                 the file by mistake, remove them, for they count more than once",
                copies.n,
                percent(copies.n, n),
                place(row),
                place(first)
            ));
        }
        if let Some((row, first)) = held_out_seen.first.filter(|_| is_noted(&held_out_seen, n_held_out)) {
            let (row, first) = match other {
                Some(file) => (file.raw.place(file.rows[row]), place(first)),
                None => (place(self.test[row]), place(self.train[first])),
            };
            findings.notes.push(format!(
                "{} of {n_held_out} held-out rows ({}) have the same cells as a row that is fitted, the first {row} as \
                 {first}; on them the figures show what the model remembers and not what it can tell, so they are \
                 better than on new rows; remove the copies, or keep rows together with --group COL",
                held_out_seen.n,
                percent(held_out_seen.n, n_held_out)
            ));
        }
    }

    /// The features in another file, as far as it has them.
    fn columns_of(&self, raw: &RawTable, nulls: &NullTokens) -> Vec<Column> {
        let column = |&(index, column_type): &(usize, ColumnType)| {
            let position = raw.names.iter().position(|name| *name == self.table.names[index])?;
            Column::parse(raw, position, column_type, nulls).ok()
        };
        self.features.par_iter().filter_map(column).collect()
    }

    /// Whether there are so many possible rows that copies do not come about by chance.
    fn copies_are_odd(&self, columns: &[&Column]) -> bool {
        let n = self.with_target.len();
        let step = n.div_ceil(COUNTED_ROWS).max(1);
        let rows: Vec<usize> = (0..n).step_by(step).collect();
        let none = Truth::Values(vec![0.0; rows.len()]);
        let n_distinct = |column: &&Column| {
            let mut hashes = row_hashes(&[column], &rows, &none);
            hashes.sort_unstable();
            hashes.dedup();
            hashes.len() as f64
        };
        let possible: Vec<f64> = columns.par_iter().map(n_distinct).collect();
        possible.iter().map(|n| n.ln()).sum::<f64>() > (POSSIBLE_ROWS * n as f64).ln()
    }

    fn leak(&self, leak: &Leak) -> String {
        let name = &self.table.names[self.features[leak.column].0];
        let target = &self.target.name;
        let how_well = match self.target.task {
            Task::Classification => format!(
                "{:.1} % of rows right, the most frequent class makes {:.1} %",
                leak.accuracy * 100.0,
                leak.guess * 100.0
            ),
            Task::Regression => format!("R² of the ranks {:.3}", leak.share),
        };
        format!(
            "column {name:?} predicts {target:?} alone ({how_well}, on rows it was not fitted to); if it is written \
             after {target:?} or from it, the model is of no use for new rows: --drop {name:?}"
        )
    }
}

/// The note on classes with few of the training rows.
fn rare_classes(truth: &Truth) -> Option<String> {
    let Truth::Classes { codes, labels } = truth else {
        return None;
    };
    let mut counts = vec![0; labels.len()];
    codes.iter().for_each(|&code| counts[code as usize] += 1);
    let n = codes.len();
    let mut rare: Vec<usize> = (0..labels.len())
        .filter(|&class| (counts[class] * labels.len()) as f64 <= RARE * n as f64 && counts[class] > 0)
        .collect();
    order::sort_by_key(&mut rare, |&class| counts[class]);
    let n_rare: usize = rare.iter().map(|&class| counts[class]).sum();
    let named: Vec<String> =
        rare.iter().map(|&class| format!("{:?} ({})", labels[class], counts[class])).collect();
    let (names, right) = (list(&named)?, percent(n - n_rare, n));
    let classes = if rare.len() == 1 { "class" } else { "classes" };
    Some(format!(
        "{} of {n} training rows ({}) are of the {classes} {names}: without them a model is still right in {right} of \
         rows, so look at balanced_accuracy and f1.macro rather than accuracy; --balance lets every class count the same",
        n_rare,
        percent(n_rare, n)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::raw_table::RawColumn;

    #[test]
    fn lists_name_a_few_and_count_the_others() {
        let items: Vec<String> = (1..=7).map(|i| i.to_string()).collect();
        assert_eq!(list(&items).unwrap(), "1, 2, 3, 4, 5 and 2 more");
        assert_eq!(list(&[]), None);
    }

    #[test]
    fn labels_that_differ_by_case_or_spaces_are_named_with_rows_and_lines() {
        let cells = ["New York", "new york", "New York", "newyork", "Boston"];
        let raw = RawTable {
            source: "t.csv".into(),
            names: vec!["y".into()],
            columns: vec![RawColumn::of_texts(cells)],
            lines: (2..7).collect::<Vec<_>>().into(),
            ..RawTable::default()
        };
        let nulls = NullTokens::default();
        let target = Target::fit(&raw, 0, Task::Classification, &nulls).unwrap();
        let (rows, truth) = target.read(&raw, 0, &nulls).unwrap();
        let notes = lookalike_labels(&raw, &target, &rows, &truth);
        assert_eq!(notes.len(), 1);
        let spellings = "\"New York\" (2 rows: t.csv line 2, 4), \"new york\" (1 row: t.csv line 3), \
                         \"newyork\" (1 row: t.csv line 5)";
        assert!(notes[0].contains(spellings), "{notes:?}");
    }

    #[test]
    fn levels_that_differ_by_case_or_spaces_are_named_once_per_column() {
        let levels = ["NY", "new york", "New York", "ny", "x"].map(String::from).to_vec();
        let table = Table {
            source: "t.csv".into(),
            names: vec!["city".into(), "size".into()],
            columns: vec![Column::Category { codes: vec![0; 5], levels }, Column::Number(vec![1.0; 5])],
            lines: (2..7).collect::<Vec<_>>().into(),
        };
        let notes = lookalike_levels(&table, &[(0, ColumnType::Category), (1, ColumnType::Number)]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains(r#"of "city" differ"#), "{notes:?}");
        assert!(notes[0].contains(r#""new york" and "New York", "NY" and "ny";"#), "{notes:?}");
    }

    #[test]
    fn a_class_is_rare_below_a_tenth_of_an_equal_share() {
        let truth = |rare: usize| {
            let codes = (0..1000).map(|i| u32::from(i < rare)).collect();
            Truth::Classes { codes, labels: vec!["no".into(), "yes".into()] }
        };
        assert!(rare_classes(&truth(50)).unwrap().contains("\"yes\" (50)"));
        assert_eq!(rare_classes(&truth(51)), None);
        let even =
            Truth::Classes { codes: (0..100).collect(), labels: (0..100).map(|i| i.to_string()).collect() };
        assert_eq!(rare_classes(&even), None);
    }
}
