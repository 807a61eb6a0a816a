//! The columns of an imported model: their names, types and ranges, from the model file, the flags, and a sample of rows.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::forest::{Foreign, ForeignColumn, Node, Order, Split, Test};
use crate::data::cells::boolean::{Evidence, Words};
use crate::data::cells::cell::{Cell, ColumnType, NullTokens, Task, UNSEEN};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::schema::{Ignored, Schema};
use crate::data::cells::table::{Column, Table};
use crate::data::cells::target::{Target, Truth};
use crate::data::cells::text::Texts;
use crate::data::read::load::{Reading, read_tables};
use crate::data::read::source::Options;
use crate::error::usage;
use crate::names::{did_you_mean, quote};

/// The name of a target that nothing names.
const NAMELESS_TARGET: &str = "target";

/// Rows that are made up if there is no sample.
const MADE_UP_ROWS: usize = 4;

/// Columns that are made odd, so that wide models are not scored by the thousand rows.
const ODD_COLUMNS: usize = 64;

/// Numbers of columns without thresholds in them.
const MADE_UP_NUMBERS: [f64; MADE_UP_ROWS] = [0.0, 1.0, -1.0, 0.5];

/// What the user says of the columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Said<'a> {
    pub(super) features: &'a [String],
    pub(super) labels: &'a [String],
    pub(super) target: Option<&'a str>,
    pub(super) expect: Option<&'a str>,
}

/// The names of the columns, and where the sample has them.
pub(super) struct Names {
    /// Of the features.
    pub(super) features: Vec<String>,
    /// Of the target.
    pub(super) target: String,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

impl Names {
    /// Finds the names: those that the user gives, else those of the model file, else those of the sample.
    ///
    /// # Errors
    /// A number of names that is not that of the columns; columns of the model that the sample lacks.
    pub(super) fn find(foreign: &Foreign, said: &Said, header: Option<&[String]>) -> Result<Self> {
        let n = foreign.columns.len();
        let mut notes = Vec::new();
        let named: Option<Vec<&str>> = foreign.columns.iter().map(|column| column.name.as_deref()).collect();
        let others = |target: Option<&str>| -> Vec<String> {
            let used = |name: &&String| said.expect != Some(name.as_str()) && target != Some(name.as_str());
            header.unwrap_or_default().iter().filter(used).cloned().collect()
        };
        let features = match (said.features, named, header) {
            (given @ [_, ..], ..) => {
                ensure!(
                    given.len() == n,
                    usage(format!("--features has {} names and the model reads {n} columns", given.len()))
                );
                given.to_vec()
            }
            ([], Some(names), Some(header)) => {
                // LightGBM puts _ in place of blanks.
                let same = |name: &str, column: &str| {
                    name == column || name == column.replace(char::is_whitespace, "_")
                };
                let find = |name: &str| header.iter().find(|column| same(name, column));
                let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
                if let Some(first) = missing.first() {
                    let hint = did_you_mean(first, header.iter().map(String::as_str));
                    bail!(
                        "the model reads {} columns that the sample does not have: {}{hint}; --features A,B,… names all of \
                         its columns in order",
                        missing.len(),
                        missing.iter().take(5).map(|name| quote(name)).collect::<Vec<_>>().join(", ")
                    );
                }
                names.iter().filter_map(|name| find(name).cloned()).collect()
            }
            ([], Some(names), None) => names.into_iter().map(str::to_string).collect(),
            ([], None, Some(header)) => {
                let mut candidates = others(said.target);
                if said.target.is_none() && candidates.len() == n + 1 {
                    candidates.pop();
                }
                ensure!(
                    candidates.len() == n,
                    usage(format!(
                        "the model reads {n} columns and does not name them; the sample has {} ({}). Give their names in \
                         the order of training with --features A,B,…",
                        header.len(),
                        header.iter().take(8).cloned().collect::<Vec<_>>().join(",")
                    ))
                );
                notes.push(format!(
                    "the model does not name its columns; they are taken to be those of the sample, in its order: {}",
                    candidates.iter().take(8).cloned().collect::<Vec<_>>().join(",")
                        + if n > 8 { ",…" } else { "" }
                ));
                candidates
            }
            ([], None, None) => {
                notes.push(
                    "the model does not name its columns, so they are called column_1, column_2, …; --features A,B,… or \
                     --data SAMPLE.csv names them"
                        .into(),
                );
                (1..=n).map(|i| format!("column_{i}")).collect()
            }
        };
        let mut distinct = BTreeSet::new();
        if let Some(twice) = features.iter().find(|name| !distinct.insert(name.as_str())) {
            bail!(
                "two columns of the model are called {}; --features A,B,… gives each its own name",
                quote(twice)
            );
        }
        // As training does: the last column is the target, unless the model reads it.
        let last = others(None).pop().filter(|last| !features.contains(last));
        let target = match (said.target, last) {
            (Some(target), _) => target.to_string(),
            (None, Some(last)) => last,
            (None, None) => NAMELESS_TARGET.into(),
        };
        ensure!(
            !features.contains(&target),
            usage(format!("--target {target}: the model reads this column; the target is another one"))
        );
        Ok(Self { features, target, notes })
    }
}

/// Rows that go with a model.
pub(super) struct Sample {
    pub(super) raw: RawTable,
    pub(super) nulls: NullTokens,
}

impl Sample {
    /// Reads the header and, by `texts_of`, the columns whose cells are needed as text; then the rows.
    ///
    /// # Errors
    /// Those of [`read_tables`], and of `texts_of`.
    pub(super) fn read<T>(
        path: &str,
        options: &Options,
        names_of: impl FnOnce(&[String]) -> Result<(T, BTreeSet<String>)>,
    ) -> Result<(Self, T)> {
        let nulls = NullTokens::default();
        let read = |texts| {
            let reading = Reading { nulls: nulls.clone(), texts, last_is_text: false };
            read_tables(&[path.to_string()], options, &reading)
        };
        let raw = read(BTreeSet::new())?;
        let (names, texts) = names_of(&raw.names)?;
        let raw = if texts.is_empty() { raw } else { read(texts)? };
        Ok((Self { raw, nulls }, names))
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.raw.names.iter().position(|column| column == name)
    }

    /// The words of a column of booleans.
    fn words(&self, index: usize) -> Option<Words> {
        let (mut evidence, mut n, mut only_words) = (Evidence::default(), 0, true);
        self.raw.columns[index].each_distinct(
            self.nulls.of(&self.raw.names[index]),
            |cell, times| match cell {
                Cell::Missing => {}
                Cell::Text(text) => {
                    n += times;
                    only_words &= evidence.look(text, times);
                }
                Cell::Number(_) | Cell::Boolean(_) => only_words = false,
            },
        );
        evidence.pair(n).filter(|_| only_words)
    }
}

/// The rows that have a target value, and the values.
pub(super) type Known = (Vec<usize>, Truth);

/// The target and its values in the sample.
pub(super) fn target(
    foreign: &Foreign,
    said: &Said,
    name: &str,
    sample: Option<&Sample>,
    notes: &mut Vec<String>,
) -> Result<(Target, Option<Known>)> {
    let task = if foreign.classes.is_some() { Task::Classification } else { Task::Regression };
    let mut target =
        Target { name: name.into(), task, labels: Vec::new(), numeric_labels: false, notation: None };
    let index = sample.and_then(|sample| sample.column(name));
    let found = sample.zip(index).map(|(Sample { raw, nulls }, index)| Target::fit(raw, index, task, nulls));
    if let Some(classes) = &foreign.classes {
        let n = classes.n;
        let numbers: Vec<String> = (0..n).map(|i| i.to_string()).collect();
        let of_sample = found.and_then(Result::ok).map(|target| target.labels);
        target.labels = match (said.labels, &classes.labels, of_sample) {
            (given @ [_, ..], ..) => {
                ensure!(
                    given.len() == n,
                    usage(format!("--labels has {} labels and the model {n} classes", given.len()))
                );
                given.to_vec()
            }
            ([], Some(labels), _) => labels.clone(),
            ([], None, Some(labels)) if labels.len() == n && labels != numbers => {
                notes.push(format!(
                    "the model does not name its classes; they are taken to be those of the sample, in order: {}",
                    labels.join(",")
                ));
                labels
            }
            ([], None, Some(labels)) if labels.iter().any(|label| !numbers.contains(label)) => {
                return Err(usage(format!(
                    "the model has {n} classes without names and the column {} of the sample {}: {}; --labels A,B,… \
                     names the classes in the order of training",
                    quote(name),
                    labels.len(),
                    labels.iter().take(8).cloned().collect::<Vec<_>>().join(",")
                )));
            }
            _ => numbers,
        };
        target.numeric_labels =
            target.labels.iter().all(|label| label.parse::<i64>().is_ok_and(|n| n.to_string() == *label));
    } else {
        ensure!(said.labels.is_empty(), usage("--labels: the model predicts a number"));
        if let Some(found) = found {
            target = found?;
        }
    }
    target.validate()?;
    let truth = match sample.zip(index) {
        Some((Sample { raw, nulls }, index)) => Some(target.read(raw, index, nulls)?),
        None => None,
    };
    Ok((target, truth))
}

/// The names of the columns whose cells are needed as text.
pub(super) fn texts(foreign: &Foreign, names: &Names, said: &Said) -> BTreeSet<String> {
    let of_categories = names
        .features
        .iter()
        .zip(&foreign.columns)
        .filter(|(_, column)| column.levels.is_some() || column.is_text);
    let mut texts: BTreeSet<String> = of_categories.map(|(name, _)| name.clone()).collect();
    if foreign.classes.is_some() {
        texts.insert(names.target.clone());
        texts.extend(said.expect.map(str::to_string));
    }
    texts
}

/// The schema, and for each column where its codes are among the sorted levels.
pub(super) fn schema(
    foreign: &Foreign,
    names: &Names,
    target: Target,
    sample: Option<&Sample>,
) -> Result<(Schema, Vec<Order>)> {
    let mut table = Table {
        source: String::new(),
        names: Vec::new(),
        columns: Vec::new(),
        lines: sample.map(|sample| sample.raw.lines.clone()).unwrap_or_default(),
    };
    let mut types = Vec::new();
    let mut levels = Vec::new();
    let mut orders = Vec::new();
    for (name, column) in names.features.iter().zip(&foreign.columns) {
        let index = match sample {
            Some(sample) => {
                let index = sample.column(name);
                Some((
                    sample,
                    index.ok_or_else(|| anyhow::anyhow!("the sample has no column {}", quote(name)))?,
                ))
            }
            None => None,
        };
        let words = index.and_then(|(sample, index)| sample.words(index));
        let column_type = match (&column.levels, words) {
            _ if column.is_text => ColumnType::Text,
            (Some(_), _) => ColumnType::Category,
            (None, Some(_)) => ColumnType::Boolean,
            (None, None) => ColumnType::Number,
        };
        types.push((table.names.len(), column_type));
        table.names.push(name.clone());
        table.columns.push(match index {
            Some((Sample { raw, nulls }, index)) => Column::parse(raw, index, column_type, nulls)?,
            None if column_type == ColumnType::Category => {
                Column::Category { codes: Vec::new(), levels: Vec::new() }
            }
            None if column_type == ColumnType::Text => {
                Column::Text { codes: Vec::new(), texts: Texts::default() }
            }
            None => Column::Number(Vec::new()),
        });
        let (sorted, order) = sorted(name, column.levels.as_deref().unwrap_or_default())?;
        levels.push(sorted);
        orders.push(order);
    }
    let n_rows = sample.map_or(0, |sample| sample.raw.n_rows());
    let rows: Vec<usize> = (0..n_rows).collect();
    let mut schema = Schema::fit(&table, &types, target, Vec::new(), &rows);
    schema.columns = names.features.iter().cloned().chain([names.target.clone()]).collect();
    if let Some(Sample { raw, .. }) = sample {
        schema.columns.clone_from(&raw.names);
        if !raw.names.contains(&names.target) {
            schema.columns.push(names.target.clone());
        }
        (schema.header, schema.delimiter, schema.decimal_comma) =
            (!raw.no_header, raw.delimiter, raw.decimal_comma);
        let is_used = |name: &String| names.features.contains(name) || *name == names.target;
        let ignored = raw.names.iter().filter(|name| !is_used(name));
        schema.ignored = ignored
            .map(|name| Ignored { name: name.clone(), reason: "the imported model does not read it".into() })
            .collect();
    }
    let thresholds = thresholds(foreign);
    for (i, levels) in levels.into_iter().enumerate() {
        let feature = &mut schema.features[i];
        if feature.column_type == ColumnType::Category {
            // The levels of the sample that the model knows keep their counts.
            let count =
                |level: &String| feature.levels.binary_search(level).map_or(0, |at| feature.counts[at]);
            feature.counts = levels.iter().map(count).collect();
            feature.levels = levels;
            continue;
        }
        if matches!(feature.column_type, ColumnType::Boolean | ColumnType::Text) {
            continue;
        }
        let range = foreign.columns[i].range;
        match range {
            Some((min, max)) if n_rows > 0 => {
                (feature.min, feature.max) = (feature.min.min(min), feature.max.max(max));
            }
            Some((min, max)) => (feature.min, feature.max) = (min, max),
            None if n_rows == 0 => (feature.min, feature.max) = (f64::MIN, f64::MAX),
            None => {}
        }
        if n_rows == 0 {
            let middle = range.map_or(0.0, |(min, max)| min / 2.0 + max / 2.0);
            let typical = thresholds[i].get(thresholds[i].len() / 2).copied().unwrap_or(middle);
            feature.mean = typical.clamp(feature.min, feature.max);
        }
    }
    let schema = schema.indexed();
    schema.validate()?;
    Ok((schema, orders))
}

/// The levels in the order of their bytes, and the place of each code's level there.
fn sorted(name: &str, levels: &[String]) -> Result<(Vec<String>, Order)> {
    let mut sorted = levels.to_vec();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("two levels of the column {} are written {:?}", quote(name), twice[0]);
    }
    let place = |level: &String| sorted.binary_search(level).unwrap_or(0) as u32;
    let order = levels.iter().map(place).collect();
    Ok((sorted, order))
}

/// The thresholds of each column, sorted.
fn thresholds(foreign: &Foreign) -> Vec<Vec<f64>> {
    let mut thresholds = vec![Vec::new(); foreign.columns.len()];
    for node in foreign.forest.trees.iter().flat_map(|tree| &tree.nodes) {
        if let Node::Split(Split { column, test: Test::AtMost(threshold), .. }) = node
            && let Some(of_column) = thresholds.get_mut(*column)
        {
            of_column.push(*threshold);
        }
    }
    thresholds.iter_mut().for_each(|of_column| of_column.sort_unstable_by(f64::total_cmp));
    thresholds
}

/// Rows between the thresholds of a model, and one without values, so that a model file without a sample tests itself.
pub(super) fn made_up_rows(foreign: &Foreign) -> Matrix {
    let mut rows = Matrix::zeros(MADE_UP_ROWS + 1, foreign.columns.len());
    let thresholds = thresholds(foreign);
    for row in 0..MADE_UP_ROWS {
        let columns = foreign.columns.iter().zip(&thresholds).zip(rows.row_mut(row)).enumerate();
        for (i, ((ForeignColumn { levels, is_text, .. }, thresholds), code)) in columns {
            // Not the same share in every column, which would walk along the edge of every tree.
            let share = (row + i) % MADE_UP_ROWS;
            *code = match levels {
                Some(levels) if levels.is_empty() => UNSEEN,
                Some(levels) => (levels.len() * share / MADE_UP_ROWS) as f64,
                None if *is_text => f64::NAN,
                None => thresholds
                    .get(thresholds.len() * share / MADE_UP_ROWS)
                    .copied()
                    .unwrap_or(MADE_UP_NUMBERS[share]),
            };
        }
    }
    rows.row_mut(MADE_UP_ROWS).fill(f64::NAN);
    rows
}

/// The first of the made-up rows with each of the first columns missing, and each category unseen, in turn: rows that a
/// model may refuse.
pub(super) fn odd_rows(foreign: &Foreign, made_up: &Matrix) -> Matrix {
    let columns = foreign.columns.iter().enumerate().filter(|(_, column)| !column.is_text).take(ODD_COLUMNS);
    let odd: Vec<(usize, f64)> = columns
        .flat_map(|(i, column)| {
            let unseen = column.levels.is_some().then_some((i, UNSEEN));
            [(i, f64::NAN)].into_iter().chain(unseen)
        })
        .collect();
    let mut rows = Matrix::zeros(odd.len(), foreign.columns.len());
    for (row, (column, code)) in odd.into_iter().enumerate() {
        rows.row_mut(row).copy_from_slice(made_up.row(0));
        rows.row_mut(row)[column] = code;
    }
    rows
}

/// The codes of the rows of a sample.
pub(super) fn codes(schema: &Schema, sample: &Sample) -> Result<Matrix> {
    let rows: Vec<usize> = (0..sample.raw.n_rows()).collect();
    schema.read(&sample.raw, &rows)
}

/// Whether nothing in a row is unseen.
pub(super) fn is_known(row: &[f64]) -> bool {
    !row.contains(&UNSEEN)
}

/// Some rows of a matrix.
pub(super) fn select(codes: &Matrix, rows: &[usize]) -> Matrix {
    let mut selected = Matrix::zeros(rows.len(), codes.n_cols());
    for (i, &row) in rows.iter().enumerate() {
        selected.row_mut(i).copy_from_slice(codes.row(row));
    }
    *selected.texts_mut() = codes.texts().clone();
    selected
}
