//! The rows of a training file that have a target value, as typed columns: the table that splits, searches and fits
//! share.
//!
//! Made by [`crate::model::learn::train`] from a file that was read and the columns that flags name. Lies above the
//! rooms of `data`: it asks [`super::judge`] for the types and [`super::split`] for groups and times.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use rayon::prelude::*;

use super::cells::cell::{Cell, ColumnType, NullTokens, Task};
use super::cells::notation::Notation;
use super::cells::number::MAX_SUMMED;
use super::cells::quantity::is_no_value;
use super::cells::raw_table::{Lines, RawColumn, RawTable};
use super::cells::schema::Ignored;
use super::cells::table::{Column, Table};
use super::cells::target::{Target, Truth};
use super::cells::{list, pair};
use super::judge::profile::{Profile, is_text};
use super::judge::useless::{NUMBERS_THE_ROWS, useless};
use super::judge::{dates, duplicates, findings, null_words, readings, spelling};
use super::split::arrangement::{Arrangement, SplitBy};
use crate::order;

/// The columns of a file that have a part of their own, by index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    /// The column to predict.
    pub(crate) target: usize,
    /// The column of row weights.
    pub(crate) weight: Option<usize>,
    /// The column of groups; a feature only if its type is given.
    pub(crate) group: Option<usize>,
    /// Columns that are not used.
    pub(crate) dropped: Vec<usize>,
    /// Types that are given and not inferred.
    pub(crate) types: BTreeMap<usize, ColumnType>,
}

/// The rows of a training file that have a target value.
///
/// Rows are numbered from 0 among these alone; only [`rows`](Self::rows) knows of the rows of the file.
#[derive(Debug)]
pub(crate) struct TrainingSet {
    /// The typed columns; those that are no features are empty.
    pub(crate) table: Table,
    /// The columns that are features, with their types.
    pub(crate) features: Vec<(usize, ColumnType)>,
    /// The columns that are neither feature nor target, with the reason.
    pub(crate) ignored: Vec<Ignored>,
    /// The column to predict.
    pub(crate) target: Target,
    /// For each row its row in the file, ascending.
    pub(crate) rows: Vec<usize>,
    /// The target of each row.
    pub(crate) truth: Truth,
    /// The group or time of each row.
    pub(crate) arrangement: Arrangement,
    /// The weight of each row; 1 if absent.
    pub(crate) weights: Option<Vec<f64>>,
    /// The contents of every column of the file, rows without a target value included.
    pub(crate) profiles: Vec<Profile>,
    /// Remarks for the user.
    pub(crate) notes: Vec<String>,
}

impl TrainingSet {
    /// Types the columns of a file. The memory of columns of numbers is taken, not copied.
    ///
    /// # Errors
    /// A target that cannot be learned ([`Target::fit`], [`Target::read`]); a weight that is missing or negative; a
    /// column of `split_by` that cannot split ([`Arrangement::read`]); a column that is not of its type; no feature.
    pub(crate) fn new(
        raw: &mut RawTable,
        roles: &Roles,
        task: Task,
        split_by: Option<&SplitBy>,
        nulls: &NullTokens,
    ) -> Result<Self> {
        if raw.ndjson {
            refuse_arrays(raw, roles.target)?;
        }
        let target = Target::fit(raw, roles.target, task, nulls).map_err(|error| {
            let lost = Some(roles.target).filter(|_| task == Task::Classification);
            match lost.and_then(|index| null_words::lost_classes(raw, index, nulls)) {
                Some(words) => anyhow::anyhow!("{error}; {words}"),
                None => error,
            }
        })?;
        let (rows, truth) = target.read(raw, roles.target, nulls)?;
        check_size(raw, &target, &rows, &truth)?;
        let mut notes = Vec::new();
        let n_without_target = raw.n_rows() - rows.len();
        if n_without_target > 0 {
            notes.push(null_words::without_target(raw, &target, nulls, n_without_target, "left out"));
        }
        notes.extend(findings::lookalike_labels(raw, &target, &rows, &truth));
        let mut weights = roles.weight.map(|index| row_weights(raw, index, nulls)).transpose()?;
        let arrangement = Arrangement::read(split_by, raw, &rows, nulls)?;
        let mut typed = Typed::new(raw, roles, nulls)?;
        notes.append(&mut typed.notes);
        let n_rounded = typed.profiles[roles.target].n_rounded;
        if n_rounded > 0 && task == Task::Regression {
            notes.push(readings::rounded_target(&target.name, n_rounded));
        }
        if n_without_target > 0 {
            typed.table = select(typed.table, &rows);
            weights.iter_mut().for_each(|weights| keep(weights, &rows));
        }
        let Typed { table, features, ignored, profiles, .. } = typed;
        Ok(Self { table, features, ignored, target, rows, truth, arrangement, weights, profiles, notes })
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.rows.len()
    }
}

/// # Errors
/// A number to predict that no figure of a regression can be calculated of.
fn check_size(raw: &RawTable, target: &Target, rows: &[usize], truth: &Truth) -> Result<()> {
    let Truth::Values(values) = truth else {
        return Ok(());
    };
    if let [first, others @ ..] = values.as_slice()
        && !others.is_empty()
        && others.iter().all(|value| value == first)
    {
        bail!(
            "{}: every row of the target column {:?} is {first}; there is nothing to learn (--target COL names another)",
            raw.source,
            target.name
        );
    }
    let too_large = values.iter().zip(rows).find(|(value, _)| value.abs() > MAX_SUMMED);
    if let Some((value, &row)) = too_large {
        bail!(
            "{}, target column {:?}: {value:e} is too large to be squared and summed up, as the errors of a regression \
             are; if it means \"no value\", --null TOKEN with the text of the cell says so; else give the target in a \
             larger unit",
            raw.place(row),
            target.name
        );
    }
    Ok(())
}

/// The weights of all rows of the file.
pub(crate) fn row_weights(raw: &RawTable, index: usize, nulls: &NullTokens) -> Result<Vec<f64>> {
    let (Column::Number(weights) | Column::Written { values: weights, .. }) =
        Column::parse(raw, index, ColumnType::Number, nulls)?
    else {
        bail!("column {:?} holds no numbers", raw.names[index]);
    };
    let wrong = weights.iter().enumerate().find(|(_, weight)| !(0.0..=MAX_SUMMED).contains(*weight));
    if let Some((row, weight)) = wrong {
        let name = &raw.names[index];
        let (fault, most) = match weight {
            weight if weight.is_nan() => ("is missing".to_string(), String::new()),
            weight if *weight > MAX_SUMMED => (format!("is {weight:e}"), format!(", up to {MAX_SUMMED:e}")),
            weight => (format!("is {weight}"), String::new()),
        };
        bail!("{}, column {name:?}: the weight {fault}; weights are 0 or more{most}", raw.place(row));
    }
    Ok(weights)
}

/// The columns of a file, typed.
struct Typed {
    table: Table,
    features: Vec<(usize, ColumnType)>,
    ignored: Vec<Ignored>,
    profiles: Vec<Profile>,
    notes: Vec<String>,
}

impl Typed {
    fn new(raw: &mut RawTable, roles: &Roles, nulls: &NullTokens) -> Result<Self> {
        let n_columns = raw.names.len();
        let profiles: Vec<Profile> =
            (0..n_columns).into_par_iter().map(|index| Profile::of(raw, index, nulls)).collect();
        let empty = || Column::Number(Vec::new());
        let table = Table {
            source: raw.source.clone(),
            names: raw.names.clone(),
            columns: (0..n_columns).map(|_| empty()).collect(),
            lines: raw.lines.clone(),
        };
        let mut typed = Self { table, features: vec![], ignored: vec![], profiles, notes: vec![] };
        let mut row_numbers = Vec::new();
        for index in (0..n_columns).filter(|&index| index != roles.target) {
            let given = roles.types.get(&index).copied();
            if let Some(reason) = roles.reason_to_ignore(index) {
                typed.ignore(index, reason.into());
                continue;
            }
            let (column, column_type) = match typed.column(raw, index, given, nulls) {
                Ok(typed) => typed,
                Err(error) => return Err(typed.with_its_like(error, index, roles)),
            };
            match useless(&raw.names[index], &column) {
                Some(reason) if given.is_none() => {
                    if matches!(column, Column::Number(_)) && reason == NUMBERS_THE_ROWS {
                        row_numbers.push((index, column));
                    }
                    typed.ignore(index, reason);
                }
                _ => {
                    typed.table.columns[index] = column;
                    typed.features.push((index, column_type));
                }
            }
        }
        if typed.features.is_empty()
            && let Some((index, column)) = row_numbers.pop().filter(|_| row_numbers.is_empty())
        {
            typed.keep_row_numbers(index, column);
        }
        typed.check_features(roles.target)?;
        typed.drop_copies(roles);
        let Self { table, features, notes, profiles, .. } = &mut typed;
        notes.extend(readings::notes(&table.names, profiles, features));
        if !raw.decimal_comma {
            notes.extend(readings::doubtful_dots(table, profiles, features));
        }
        notes.extend(readings::unread(&table.names, profiles, roles.target));
        let of_names = features.iter().filter(|(_, column_type)| *column_type == ColumnType::Category);
        let target =
            Some(roles.target).filter(|&target| profiles[target].column_type() != ColumnType::Number);
        let of_names = of_names.map(|(index, _)| *index).chain(target);
        notes.extend(of_names.filter_map(|index| spelling::note(raw, index, nulls)));
        notes.extend(findings::too_large(raw, profiles, table, features));
        notes.extend(findings::mostly_missing(table, features));
        notes.extend(null_words::only_words(raw, features, nulls));
        notes.extend(findings::lookalike_levels(table, features));
        Ok(typed)
    }

    /// An error of a column that is nearly numbers, with the other columns that are, so that one run names them all.
    fn with_its_like(&self, error: anyhow::Error, index: usize, roles: &Roles) -> anyhow::Error {
        let is_like = |other: usize| {
            other != roles.target
                && roles.reason_to_ignore(other).is_none()
                && !roles.types.contains_key(&other)
                && self.profiles[other].is_mostly_numbers()
        };
        let names = &self.table.names;
        let others = (index + 1..names.len()).filter(|&other| is_like(index) && is_like(other));
        let others: Vec<String> = others
            .map(|other| match self.profiles[other].first_texts.first() {
                Some((_, text)) => format!("{:?} ({})", names[other], list::shown(text)),
                None => format!("{:?}", names[other]),
            })
            .collect();
        match findings::list(&others) {
            Some(shown) => anyhow!("{error:#}\nso are cells of {shown}"),
            None => error,
        }
    }

    /// Uses the only column that may be of use.
    fn keep_row_numbers(&mut self, index: usize, column: Column) {
        let name = self.table.names[index].clone();
        self.ignored.retain(|ignored| ignored.name != name);
        self.notes.push(format!(
            "column {name:?} numbers the rows and is used, as no other column is left; if it says nothing of new rows, the \
             model does not either"
        ));
        self.table.columns[index] = column;
        self.features.push((index, ColumnType::Number));
    }

    fn ignore(&mut self, index: usize, reason: String) {
        self.ignored.push(Ignored { name: self.table.names[index].clone(), reason });
    }

    /// Types one column, by its profile unless the type is given.
    fn column(
        &mut self,
        raw: &mut RawTable,
        index: usize,
        given: Option<ColumnType>,
        nulls: &NullTokens,
    ) -> Result<(Column, ColumnType)> {
        if raw.ndjson && (given.is_some() || !holds_several(raw, index, nulls)) {
            refuse_arrays(raw, index)?;
        }
        let profile = &self.profiles[index];
        if given.is_none() && profile.is_mostly_numbers() {
            // The parser's message lists the cells and the ways out; it takes numbers with a dot in any file.
            Column::parse(raw, index, ColumnType::Number, nulls)?;
            let name = &raw.names[index];
            if let Some((fault, text)) = profile.first_odd_cell(raw, "column", name) {
                bail!(
                    "{fault}; correct it, name it as missing (--null {text:?}), or read the column as text (--type \
                     \"{name}=category\")"
                );
            }
        }
        if given.is_none() && profile.is_mostly_dates() {
            Column::parse(raw, index, ColumnType::Date, nulls)?;
        }
        let mut column_type = given.unwrap_or_else(|| profile.column_type());
        let odd: Vec<String> = match column_type {
            // Who gives a type is told of every cell that may be a mistake.
            ColumnType::Number | ColumnType::Date => {
                let odd = profile.odd.iter().map(|odd| odd.text.clone());
                odd.filter(|text| given.is_none() || is_no_value(text)).collect()
            }
            _ => Vec::new(),
        };
        let mut column = Column::take(raw, index, column_type, nulls, &odd)?;
        if let Column::Written { notation: notation @ Notation::Number(_), .. } = &column
            && let Some(cell) = only_in_parentheses(&raw.columns[index], nulls)
        {
            let name = &raw.names[index];
            self.notes.push(format!(
                "every cell of {name:?} stands in parentheses and was read as a negative number: {cell} as {}; if a cell is \
                 two numbers, write them as two columns",
                notation.number(&cell).unwrap_or_default()
            ));
        }
        if given.is_none()
            && let Column::Category { codes, levels } = &column
        {
            let name = &raw.names[index];
            let pairs = pair::infer(levels);
            if let Some(pair::Found::All(style)) = pairs {
                self.notes.push(format!(
                    "every cell of {name:?} is two numbers, such as {:?}, and each has a column of its own; --type {:?} \
                     takes each cell as one value",
                    list::shown(&levels[0]),
                    format!("{name}=category")
                ));
                return Ok((column.into_pairs(style), ColumnType::Text));
            }
            let lists = list::infer(levels);
            if let (Some(pair::Found::Most(style, odd)), None) = (&pairs, lists) {
                let is_odd = |code: &u32| levels.get(*code as usize) == Some(odd);
                bail!(
                    "{}, column {name:?}: {:?} is not two numbers as the other cells are, such as {}; correct it, name it \
                     as missing (--null TOKEN), or take each cell as one value (--type \"{name}=category\")",
                    raw.place(codes.iter().position(is_odd).unwrap_or(0)),
                    list::shown(odd),
                    style.write([48.5, 11.5])
                );
            }
            if let (None, Some(pair)) = (lists, pair::doubtful(levels)) {
                self.notes.push(format!(
                    "every cell of {name:?} is two numbers, such as {pair:?}, which are not read as such; write them as \
                     two columns"
                ));
            }
            if let Some((style, n)) = lists {
                self.notes.push(format!(
                    "the cells of {name:?} are lists {} of {n} different members, and each member has a number of its \
                     own; --type {:?} takes each cell as one value",
                    style.meaning(),
                    format!("{name}=category")
                ));
                return Ok((column.into_lists(style), ColumnType::Text));
            }
        }
        if given.is_none() && is_text(&column) {
            column_type = ColumnType::Text;
            column = Column::parse(raw, index, column_type, nulls)?;
        }
        let name = &raw.names[index];
        if column_type == ColumnType::Date {
            self.notes.extend(dates::notes(name, &profile.dates, &column));
        }
        let padded = raw.padded.iter().find(|(padded, _)| padded == name);
        if let (ColumnType::Number, None, Some((_, cell))) = (column_type, given, padded) {
            let written = if cell.contains(['e', 'E']) { "powers of ten" } else { "leading zeros" };
            self.notes.push(format!(
                "whole numbers of {name:?} are written with {written}, such as {cell}, and were read as numbers; \
                 if they are codes, as postal codes are, --type {:?} takes them as written",
                format!("{name}=category")
            ));
        }
        Ok((column, column_type))
    }

    fn check_features(&self, target: usize) -> Result<()> {
        if !self.features.is_empty() {
            return Ok(());
        }
        let reasons = self.ignored.iter().map(|i| format!("{:?} ({})", i.name, i.reason));
        let hints = readings::unread(&self.table.names, &self.profiles, target);
        let hints: String = hints.iter().map(|hint| format!("\n{hint}")).collect();
        bail!(
            "{} has no feature column besides the target {:?}: {}; --type COL=category or --type COL=number keeps a \
             column that would be dropped{hints}",
            self.table.source,
            self.table.names[target],
            reasons.collect::<Vec<_>>().join(", ")
        )
    }

    /// Drops features with the same cells as a feature before them, unless their type is given.
    fn drop_copies(&mut self, roles: &Roles) {
        let types: BTreeMap<usize, ColumnType> = order::map(self.features.iter().copied());
        for (copy, first) in duplicates::duplicate_columns(&self.table, &self.features) {
            let Some(&column_type) = types.get(&copy).filter(|_| !roles.types.contains_key(&copy)) else {
                continue;
            };
            let (name, original) = (&self.table.names[copy], &self.table.names[first]);
            self.notes.push(findings::duplicate_column(name, original, column_type));
            let reason = format!("the same cells as {original:?}");
            self.ignore(copy, reason);
            self.table.columns[copy] = Column::Number(Vec::new());
        }
        self.features.retain(|(index, _)| !self.table.columns[*index].is_empty());
    }
}

/// The first cell of a column if all stand in parentheses and have a comma, as pairs of whole numbers may be written.
fn only_in_parentheses(column: &RawColumn, nulls: &NullTokens) -> Option<String> {
    let (mut first, mut all) = (None, true);
    column.each_distinct(nulls, |cell, _| match cell {
        Cell::Text(text) if text.starts_with('(') && text.contains(',') => {
            first.get_or_insert(text);
        }
        Cell::Missing => {}
        _ => all = false,
    });
    first.filter(|_| all).map(str::to_string)
}

/// Whether the cells of a column are lists or pairs.
fn holds_several(raw: &RawTable, index: usize, nulls: &NullTokens) -> bool {
    let column = Column::parse(raw, index, ColumnType::Category, nulls);
    column.is_ok_and(|column| match &column {
        Column::Category { levels, .. } => pair::infer(levels).is_some() || list::infer(levels).is_some(),
        _ => false,
    })
}

/// # Errors
/// An array among the cells of a column that holds neither lists nor pairs.
fn refuse_arrays(raw: &RawTable, index: usize) -> Result<()> {
    let array = |text: &str| list::is_array(text);
    let row = match &raw.columns[index] {
        RawColumn::Texts(texts) => texts.iter().position(array),
        RawColumn::Levels { codes, levels } => {
            let is_array: Vec<bool> = levels.iter().map(array).collect();
            codes.iter().position(|&code| is_array[code as usize])
        }
        RawColumn::Numbers { .. } => None,
    };
    match row {
        Some(row) => bail!(
            "{}, member {:?}: {}; arrays are read in a column of lists whose members come again and again, or of pairs of \
             numbers",
            raw.place(row),
            raw.names[index],
            list::NO_VALUE
        ),
        None => Ok(()),
    }
}

impl Roles {
    fn reason_to_ignore(&self, index: usize) -> Option<&'static str> {
        if self.weight == Some(index) {
            Some("row weights")
        } else if self.dropped.contains(&index) {
            Some("dropped")
        } else if self.group == Some(index) && !self.types.contains_key(&index) {
            Some("groups of the split")
        } else {
            None
        }
    }
}

/// The rows of a table that are in `rows`, which ascends. Levels and texts stay as they are.
fn select(mut table: Table, rows: &[usize]) -> Table {
    for column in table.columns.iter_mut().filter(|column| !column.is_empty()) {
        match column {
            Column::Number(values) | Column::Written { values, .. } => keep(values, rows),
            Column::Text { codes, .. } => keep(codes, rows),
            Column::Category { codes, .. } => keep(codes, rows),
        }
    }
    let mut lines = Lines::default();
    for &row in rows {
        let (line, file) = table.lines.get(row);
        lines.push(line, file as u32);
    }
    Table { lines, ..table }
}

/// Keeps the values of `rows`, which ascends, in place.
fn keep<T: Copy>(values: &mut Vec<T>, rows: &[usize]) {
    rows.iter().enumerate().for_each(|(i, &row)| values[i] = values[row]);
    values.truncate(rows.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(columns: &[(&str, &[&str])]) -> RawTable {
        RawTable {
            source: "t.csv".into(),
            names: columns.iter().map(|(name, _)| name.to_string()).collect(),
            columns: columns.iter().map(|(_, cells)| RawColumn::of_texts(cells.iter().copied())).collect(),
            lines: (2..2 + columns[0].1.len() as u64).collect::<Vec<_>>().into(),
            ..RawTable::default()
        }
    }

    fn set(raw: &mut RawTable, roles: &Roles, by: Option<&SplitBy>) -> Result<TrainingSet> {
        TrainingSet::new(raw, roles, Task::Classification, by, &NullTokens::default())
    }

    const TARGET: (&str, &[&str]) = ("y", &["a", "NA", "b", "a", "", "b"]);

    #[test]
    fn rows_without_a_target_are_in_no_part_of_the_set() {
        let mut raw = raw(&[
            ("x", &["0.5", "1", "2", "3.5", "4", "5"]),
            ("c", &["red", "blue", "red", "green", "blue", "green"]),
            ("w", &["1", "10", "2", "3", "10", "4"]),
            ("g", &["p", "q", "p", "r", "q", "r"]),
            TARGET,
        ]);
        let roles = Roles { target: 4, weight: Some(2), group: Some(3), ..Roles::default() };
        let set = set(&mut raw, &roles, Some(&SplitBy::Group("g".into()))).unwrap();
        assert_eq!((set.n_rows(), &set.rows[..]), (4, &[0, 2, 3, 5][..]));
        assert_eq!(set.table.columns[0], Column::Number(vec![0.5, 2.0, 3.5, 5.0]));
        let Column::Category { codes, levels } = &set.table.columns[1] else { panic!("not a category") };
        let levels: Vec<&str> = codes.iter().map(|&code| levels[code as usize].as_str()).collect();
        assert_eq!(levels, ["red", "red", "green", "green"]);
        assert_eq!(set.weights, Some(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(set.arrangement, Arrangement::Groups(vec![0, 0, 1, 1]));
        assert_eq!((set.truth.len(), set.table.n_rows()), (4, 4));
        let lines: Vec<u64> = (0..4).map(|row| set.table.lines.get(row).0).collect();
        assert_eq!(lines, [2, 4, 5, 7], "the lines of the file");
        assert!(set.notes[0].contains("2 rows without a target value"), "{:?}", set.notes);
    }

    #[test]
    fn a_column_with_a_part_of_its_own_is_no_feature_unless_its_type_is_given() {
        let cells: &[&str] = &["p", "q", "p", "r", "q", "r"];
        let numbers: &[&str] = &["0.5", "1", "2", "3.5", "4", "5"];
        let columns = [("x", numbers), ("g", cells), ("d", numbers), TARGET];
        let roles = Roles { target: 3, group: Some(1), dropped: vec![2], ..Roles::default() };
        let by = SplitBy::Group("g".into());
        let plain = set(&mut raw(&columns), &roles, Some(&by)).unwrap();
        assert_eq!(plain.features, [(0, ColumnType::Number)]);
        let ignored: Vec<_> = plain.ignored.iter().map(|i| (i.name.as_str(), i.reason.as_str())).collect();
        assert_eq!(ignored, [("g", "groups of the split"), ("d", "dropped")]);
        let given = Roles { types: BTreeMap::from([(1, ColumnType::Category)]), ..roles };
        let given = set(&mut raw(&columns), &given, Some(&by)).unwrap();
        assert_eq!(given.features, [(0, ColumnType::Number), (1, ColumnType::Category)]);
    }

    #[test]
    fn a_copy_of_a_column_is_dropped_unless_its_type_is_given() {
        let numbers: &[&str] = &["0.5", "1", "2", "3.5", "4", "5"];
        let columns = [("x", numbers), ("again", numbers), TARGET];
        let mut roles = Roles { target: 2, ..Roles::default() };
        let plain = set(&mut raw(&columns), &roles, None).unwrap();
        assert_eq!(plain.features, [(0, ColumnType::Number)]);
        assert_eq!(plain.ignored[0].reason, "the same cells as \"x\"");
        roles.types.insert(1, ColumnType::Number);
        assert_eq!(set(&mut raw(&columns), &roles, None).unwrap().features.len(), 2);
    }

    #[test]
    fn a_table_without_features_is_an_error_that_says_why_each_column_is_not_used() {
        let mut raw = raw(&[("x", &["1"; 6]), ("d", &["1", "2", "4", "3", "6", "5"]), TARGET]);
        let roles = Roles { target: 2, dropped: vec![1], ..Roles::default() };
        let message = set(&mut raw, &roles, None).unwrap_err().to_string();
        assert!(message.contains("no feature column") && message.contains("\"d\" (dropped)"), "{message}");
    }

    #[test]
    fn a_weight_that_is_missing_or_negative_is_an_error_with_its_line() {
        for (cells, words) in [
            (["1", "1", "-2", "1", "1", "1"], "line 4"),
            (["1", "1", "1", "", "1", "1"], "line 5"),
            (["1", "1", "1", "1", "1e200", "1"], "line 6"),
        ] {
            let mut raw = raw(&[("x", &["0.5", "1", "2", "3.5", "4", "5"]), ("w", &cells), TARGET]);
            let roles = Roles { target: 2, weight: Some(1), ..Roles::default() };
            let message = set(&mut raw, &roles, None).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("weights are 0 or more"), "{message}");
        }
    }
}
