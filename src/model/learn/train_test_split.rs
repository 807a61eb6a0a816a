//! The rows to fit and the rows to evaluate on, chosen for a training.
//!
//! The choice itself is [`HoldOut::split`], which `eval` makes again; here are the checks and the words for people.

use anyhow::{Context as _, Result, bail, ensure};

use super::Watch;
use super::plan::Plan;
use crate::data::cells::cell::{Cell, ColumnType};
use crate::data::cells::raw_table::RawTable;
use crate::data::cells::raw_table::source_name;
use crate::data::cells::table::Column;
use crate::data::cells::target::Truth;
use crate::data::split::Split;
use crate::data::split::arrangement::Arrangement;
use crate::data::training_set::TrainingSet;
use crate::model::DataSource;
use crate::model::hold_out::{HoldOut, TestRows, companion_options, reading};
use crate::plain;

/// The rows of a training set to fit and to evaluate on.
pub(super) struct TrainTestSplit {
    pub(super) train: Vec<usize>,
    /// Empty if the rows to evaluate on are those of another file.
    pub(super) test: Vec<usize>,
    pub(super) file: Option<TestFile>,
    /// The manner of the choice, for people; empty for another file.
    pub(super) reason: String,
}

/// Another file to evaluate on.
pub(super) struct TestFile {
    pub(super) source: DataSource,
    pub(super) rows: TestRows,
}

impl TrainTestSplit {
    /// Chooses rows of the training set, or reads the other file.
    ///
    /// # Errors
    /// Too few rows, groups or classes to hold any out; a class of which all rows are held out; those of
    /// [`TestRows::read`].
    pub(super) fn choose(plan: &Plan, raw: &RawTable, set: &TrainingSet, watch: &dyn Watch) -> Result<Self> {
        let file = match &plan.hold_out {
            HoldOut::File(path) => Some(read_file(plan, raw, set, path, watch)?),
            _ => {
                let n = set.n_rows();
                ensure!(
                    n >= 2,
                    "{n} row has a target value; two or more are needed, one to learn from and one to evaluate on"
                );
                None
            }
        };
        let split = plan.hold_out.split(&set.arrangement, &set.truth, plan.seed);
        if file.is_none() {
            check(plan, set, &split)?;
        }
        let reason = reason(plan, raw, set, &split.test);
        Ok(Self { train: split.train, test: split.test, file, reason })
    }
}

fn read_file(
    plan: &Plan,
    raw: &RawTable,
    set: &TrainingSet,
    path: &str,
    watch: &dyn Watch,
) -> Result<TestFile> {
    // Plain numbers alone have no text that matters.
    let texts = set.features.iter().filter(|(index, column_type)| {
        *column_type != ColumnType::Number || !matches!(set.table.columns[*index], Column::Number(_))
    });
    let texts = texts.map(|(index, _)| raw.names[*index].as_str());
    let target = &set.target;
    let text_target = Some(target.name.as_str()).filter(|_| target.needs_text());
    let reading = reading(&plan.nulls, texts, text_target, None);
    let options = companion_options(&plan.options, !raw.no_header);
    let paths = [path.to_string()];
    let rows = TestRows::read(&super::watched_reading(&paths, watch), &paths, &options, &reading, target)?;
    let source = rows.raw.files.first().map(DataSource::of).context("no file was read")?;
    Ok(TestFile { source, rows })
}

fn check(plan: &Plan, set: &TrainingSet, split: &Split) -> Result<()> {
    let source = source_name(&plan.data[0]);
    let by = plan.hold_out.split_by();
    if split.test.is_empty() {
        match by {
            None => bail!(
                "{source}: no row can be held out to evaluate on, because each class has one row only; give more \
                 rows, or others to evaluate on (--test FILE)"
            ),
            Some(by) => bail!(
                "{source}: no group of {:?} can be held out to evaluate on, because each has all rows of a class; \
                 give more groups, or rows to evaluate on (--test FILE)",
                by.column()
            ),
        }
    }
    let (Some(by), Truth::Classes { codes, labels }) = (by, &set.truth) else {
        return Ok(());
    };
    let mut seen = vec![false; labels.len()];
    split.train.iter().for_each(|&row| seen[codes[row] as usize] = true);
    if let Some(unseen) = seen.iter().position(|seen| !seen) {
        bail!(
            "{source}: all rows of class {:?} are among the {} latest by {:?}, which are held out, so it \
             cannot be learned; hold out fewer (--test-size), or leave these rows out",
            labels[unseen],
            split.test.len(),
            by.column()
        );
    }
    Ok(())
}

fn reason(plan: &Plan, raw: &RawTable, set: &TrainingSet, test: &[usize]) -> String {
    let stratified = !set.target.labels.is_empty();
    match &plan.hold_out {
        HoldOut::File(_) => String::new(),
        HoldOut::Share(_) if stratified => format!("seed {}, stratified", plan.seed),
        HoldOut::Share(_) => format!("seed {}", plan.seed),
        HoldOut::Groups(_, name) => {
            let n_groups = set.arrangement.select(test).n_units(test.len());
            let n_all = set.arrangement.n_units(set.n_rows());
            let how = if stratified { ", stratified as far as whole groups allow" } else { "" };
            format!("{n_groups} of {n_all} groups by {name}, seed {}{how}", plan.seed)
        }
        HoldOut::Latest(_, name) => {
            let first = first_time(plan, raw, set, name, test);
            format!("the latest by {name}{}", first.map_or(String::new(), |text| format!(", from {text} on")))
        }
    }
}

/// The earliest time of the held-out rows, as it is written.
fn first_time(plan: &Plan, raw: &RawTable, set: &TrainingSet, name: &str, test: &[usize]) -> Option<String> {
    let Arrangement::Times(times) = &set.arrangement else {
        return None;
    };
    let first = test.iter().min_by_key(|&&row| times[row])?;
    let index = raw.names.iter().position(|known| plain::same(known, name))?;
    match raw.columns[index].cell(set.rows[*first], plan.nulls.of(name)) {
        Cell::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::cells::cell::{NullTokens, Task};
    use crate::data::read::source::Options;
    use crate::model::evaluation::{Positive, evaluate};
    use crate::model::learn::Unwatched;

    const NAMES: [&str; 8] = ["code", "color", "note", "size", "ok", "stamp", "g", "y"];

    /// Padded numbers, labels with every special character, texts, decimals, words for a boolean, a date in digits, a
    /// group, and two classes; some cells are missing, in the target as well.
    fn cells(i: usize) -> [String; 8] {
        let color = ["red", "blue; dark", "it's \"green\", пять", ""][i % 4];
        let size = if i.is_multiple_of(9) { String::new() } else { format!("{}.{}", i * 37 % 101, i % 10) };
        let class = match i % 7 {
            3 => "NA",
            _ if (i * 37 % 101 > 50) != i.is_multiple_of(11) => "1",
            _ => "0",
        };
        [
            format!("{:03}", i * 3 % 5 + 1),
            color.into(),
            format!("{} words of row {i}", ["some", "many", "few"][i * 5 % 3]),
            size,
            ["yes", "no"][i / 2 % 2].into(),
            format!("2024{:02}{:02}", i % 12 + 1, i * 5 % 28 + 1),
            (i % 10).to_string(),
            class.into(),
        ]
    }

    fn delimited(
        rows: std::ops::Range<usize>,
        delimiter: char,
        quote: char,
        mark: char,
        header: bool,
    ) -> String {
        let line = |cells: [String; 8]| {
            let quoted = cells.iter().map(|cell| {
                let doubled = cell.replace(quote, &format!("{quote}{quote}"));
                let plain = !cell.contains([delimiter, quote, '"', '\'']);
                if plain { cell.clone() } else { format!("{quote}{doubled}{quote}") }
            });
            quoted.collect::<Vec<_>>().join(&delimiter.to_string()) + "\n"
        };
        let decimal = |mut cells: [String; 8]| {
            cells[3] = cells[3].replace('.', &mark.to_string());
            cells
        };
        let head = if header { line(NAMES.map(String::from)) } else { String::new() };
        head + &rows.map(|i| line(decimal(cells(i)))).collect::<String>()
    }

    fn csv_text() -> String {
        delimited(0..140, ',', '"', '.', true)
    }

    fn ndjson() -> String {
        let line = |i| {
            let pairs = NAMES.into_iter().zip(cells(i)).filter(|(_, cell)| !cell.is_empty());
            let value = |name, cell: String| match (name, cell.parse::<f64>()) {
                ("size", Ok(number)) => number.into(),
                _ => serde_json::Value::from(cell),
            };
            let object: serde_json::Map<_, _> =
                pairs.map(|(name, cell)| (name.to_string(), value(name, cell))).collect();
            serde_json::Value::from(object).to_string() + "\n"
        };
        (0..140).map(line).collect()
    }

    /// Trains by a plan for files with these bytes, `t0`, `t1`, …, and checks that a replay finds the same rows.
    fn holds(case: &str, files: &[&[u8]], change: impl Fn(&mut Plan, &Path)) {
        let folder = tempfile::tempdir().unwrap();
        let path = |i: usize| folder.path().join(format!("t{i}")).to_str().unwrap().to_string();
        files.iter().enumerate().for_each(|(i, bytes)| std::fs::write(path(i), bytes).unwrap());
        let mut plan = Plan { algorithm: "tree".into(), target: Some("y".into()), ..Plan::new(path(0)) };
        change(&mut plan, folder.path());
        let mut raw = plan.read(&Unwatched).unwrap();
        let (roles, _) = plan.roles(&raw).unwrap();
        let (task, _) = plan.choose_task(&raw, roles.target).unwrap();
        let split_by = plan.hold_out.split_by();
        let set = TrainingSet::new(&mut raw, &roles, task, split_by.as_ref(), &plan.nulls).unwrap();
        let split = TrainTestSplit::choose(&plan, &raw, &set, &Unwatched).unwrap();

        let model = plan.train().unwrap();
        let again = TestRows::replay(&model, Path::new(""), &Options::default()).expect(case);
        let schema = &model.pipeline.schema;
        let (rows, truth, codes) = match &split.file {
            Some(TestFile { rows, .. }) => {
                (rows.rows.clone(), rows.truth.clone(), rows.codes(schema).unwrap())
            }
            None => {
                let rows: Vec<usize> = split.test.iter().map(|&row| set.rows[row]).collect();
                let codes = schema.codes(&set.table, &split.test).unwrap();
                (rows, set.truth.select(&split.test), codes)
            }
        };
        assert!(rows.len() > 10 && rows == again.rows, "{case}: {rows:?} and {:?}", again.rows);
        assert_eq!(truth, again.truth, "{case}");
        let codes_again = again.codes(schema).unwrap();
        for i in 0..rows.len() {
            assert_eq!(schema.values_of(&codes, i), schema.values_of(&codes_again, i), "{case}, row {i}");
        }
        let evaluation = evaluate(&model, &again, Positive::default()).unwrap();
        assert_eq!(evaluation, model.card.evaluation, "{case}");
    }

    #[test]
    fn training_and_replay_find_the_same_rows_in_every_dialect() {
        let same = |_: &mut Plan, _: &Path| {};
        holds("CSV", &[csv_text().as_bytes()], same);
        holds("tabs", &[delimited(0..140, '\t', '"', '.', true).as_bytes()], same);
        holds("single quotes", &[delimited(0..140, '|', '\'', '.', true).as_bytes()], same);
        holds("decimal comma", &[delimited(0..140, ';', '"', ',', true).as_bytes()], same);
        holds("a given delimiter", &[delimited(0..140, ':', '"', '.', true).as_bytes()], |plan, _| {
            plan.options.delimiter = Some(b':');
        });
        holds("no header", &[delimited(0..140, ',', '"', '.', false).as_bytes()], |plan, _| {
            plan.options.header = false;
            plan.target = None;
        });
        holds("doubts of the header", &[delimited(0..140, ',', '"', '.', false).as_bytes()], |plan, _| {
            plan.options.header_in_doubt = true;
            plan.target = None;
        });
        let koi8 = encoding_rs::KOI8_R.encode(&csv_text()).0.into_owned();
        holds("a given encoding", &[&koi8], |plan, _| plan.options.encoding = Some(encoding_rs::KOI8_R));
        let utf16: Vec<u8> =
            format!("\u{feff}{}", csv_text()).encode_utf16().flat_map(u16::to_le_bytes).collect();
        holds("UTF-16", &[&utf16], same);
        holds("NDJSON", &[ndjson().as_bytes()], same);
        let second = delimited(90..140, ',', '"', '.', true);
        holds(
            "several files",
            &[delimited(0..90, ',', '"', '.', true).as_bytes(), second.as_bytes()],
            |plan, at| {
                plan.data.push(at.join("t1").to_str().unwrap().into());
            },
        );
    }

    #[test]
    fn training_and_replay_find_the_same_rows_whatever_the_flags() {
        let text = csv_text();
        let check = |case: &str, change: &dyn Fn(&mut Plan)| {
            holds(case, &[text.as_bytes()], |plan, _| change(plan));
        };
        check("groups", &|plan| plan.hold_out = HoldOut::Groups(0.2, "g".into()));
        check("groups that are a feature", &|plan| {
            plan.hold_out = HoldOut::Groups(0.2, "g".into());
            plan.types = vec![("g".into(), ColumnType::Category)];
        });
        check("time", &|plan| plan.hold_out = HoldOut::Latest(0.2, "stamp".into()));
        check("dropped columns", &|plan| plan.drop = vec!["color".into(), "size".into()]);
        check("types", &|plan| {
            plan.types = vec![
                ("code".into(), ColumnType::Text),
                ("g".into(), ColumnType::Category),
                ("stamp".into(), ColumnType::Date),
            ];
        });
        check("padded categories", &|plan| plan.types = vec![("code".into(), ColumnType::Category)]);
        check("a given task", &|plan| plan.task = Some(Task::Classification));
        check("regression", &|plan| (plan.target, plan.task) = (Some("size".into()), Some(Task::Regression)));
        check("missing values", &|plan| plan.nulls = NullTokens::with(vec!["red".into(), "3".into()]));
        check("another seed and share", &|plan| (plan.hold_out, plan.seed) = (HoldOut::Share(0.4), 7));
    }

    #[test]
    fn another_file_is_read_again_as_it_was_read_at_training() {
        let file = |plan: &mut Plan, at: &Path| {
            plan.hold_out = HoldOut::File(at.join("t1").to_str().unwrap().into());
        };
        let train = delimited(0..90, ';', '"', ',', true);
        let points = delimited(90..140, ',', '"', '.', true);
        holds("with decimal points", &[train.as_bytes(), points.as_bytes()], file);
        let [train, test] = [0..90, 90..140].map(|rows| delimited(rows, ':', '"', '.', true));
        holds("with a given delimiter", &[train.as_bytes(), test.as_bytes()], |plan, at| {
            file(plan, at);
            plan.options.delimiter = Some(b':');
        });
    }

    #[test]
    fn whole_numbers_with_a_decimal_comma_are_labels_by_value() {
        let text = (0..60).fold("x;z;y\n".to_string(), |text, i| {
            text + &format!("{},5;{},25;{},0\n", i * 7 % 60, i * 11 % 60, u8::from(i * 7 % 60 > 30))
        });
        holds("decimal labels", &[text.as_bytes()], |_, _| {});
        holds("a given task", &[text.as_bytes()], |plan, _| plan.task = Some(Task::Classification));
    }
}
