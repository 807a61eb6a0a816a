//! JSON rows, one a line: an object or an array into codes, and its members repeated with the prediction among them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::Result;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::number;
use super::batch::{Batch, Row};
use super::output::{self, Job, Output};
use super::{Keep, OnError, Options, Part, Summary};
use crate::data::cells::problems::Problems;
use crate::data::read::blocks::{Block, Blocks};
use crate::data::read::json::{self, Malformed};
use crate::data::read::ndjson::lines;
use crate::model::Model;

/// Predicts every line of JSON rows and writes the result to `out`; an output like the input repeats the kept
/// members of an object, or the array under `input`. Blank lines are skipped. `watch` gets each block once it is
/// written.
///
/// # Errors
/// As [`super::predict_csv`]; a line that is not JSON counts as a row that does not fit.
pub fn predict_ndjson(
    model: &Model,
    source: &str,
    blocks: Blocks<Box<dyn Read + Send>>,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    predict_lines(model, source, blocks, &[], options, out, watch)
}

/// As [`predict_ndjson`]; `first` are the names of the first row's members.
///
/// # Errors
/// As there.
pub(super) fn predict_lines(
    model: &Model,
    source: &str,
    mut blocks: Blocks<Box<dyn Read + Send>>,
    first: &[String],
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let job = Job::new(&model.pipeline, options, source, &kept_names(model, options, first));
    Output::new(&job, out, watch).write(&mut blocks, &|block, batch| predict(&job, block, batch))
}

/// The names of the members of the first line, if it is an object.
pub(super) fn first_names(start: &[u8]) -> Vec<String> {
    let line = start.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    let members = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(json::without_mark(line));
    members.map(|members| members.into_keys().collect()).unwrap_or_default()
}

/// The names that members of the output may have, as far as the model and the `first` line tell.
pub(super) fn kept_names(model: &Model, options: &Options, first: &[String]) -> Vec<String> {
    match &options.keep {
        // Rows without names are repeated under another one.
        Keep::All if first.is_empty() => Vec::new(),
        Keep::All => model.pipeline.schema.columns.iter().chain(first).cloned().collect(),
        Keep::None => Vec::new(),
        Keep::Columns(wanted) => wanted.clone(),
    }
}

fn predict(job: &Job, block: &Block, batch: &mut Batch) {
    batch.start(job.pipeline.schema.n_features());
    let lines: Vec<(u64, &[u8])> = lines(block).collect();
    for (i, (number, line)) in lines.iter().enumerate() {
        let fits = read_line(job, *number, line, batch);
        batch.admit(i..i, fits, job.options.on_error);
    }
    let line = |row: &Row| lines[row.place.start].0;
    job.answer(batch, line, |batch, row, out| {
        write_line(job, lines[batch.rows[row].place.start].1, batch, row, out)
    });
}

/// Reads one line as the last row of the codes; whether it fits.
fn read_line(job: &Job, number: u64, line: &[u8], batch: &mut Batch) -> bool {
    let n_rows = batch.codes.n_rows();
    let schema = &job.pipeline.schema;
    let stops = job.options.on_error == OnError::Stop;
    let room = if stops { batch.problems.room() } else { 0 };
    let tolerance = job.options.tolerance();
    let problems = match json::read_row_listing(line, schema, tolerance, room, &mut batch.codes) {
        Ok((problems, n_extra)) => {
            batch.summary.n_extra += n_extra;
            problems
        }
        Err(malformed) => {
            let detail = match malformed {
                Malformed::NotJson(detail) => format!("not JSON: {detail}"),
                Malformed::TooManyRows => "too many rows".into(),
            };
            Problems::one(String::new(), detail)
        }
    };
    let fits = problems.total == 0;
    let problems = match fits {
        false if is_list_of_rows(line) => {
            Problems::one(String::new(), "the line is a list of rows; write one row a line".into())
        }
        _ => problems,
    };
    if !fits {
        batch.codes.truncate(n_rows);
    }
    if stops {
        let n_listed = problems.listed.len();
        for problem in problems.listed {
            let place = problem.place();
            let place = if place.is_empty() { place } else { format!(", {place:?}") };
            let message = format!("{} line {number}{place}: {}", job.source, problem.detail);
            batch.add_problem(|| (problem.pointer, problem.detail, message));
        }
        batch.problems.count(problems.total - n_listed);
    }
    fits
}

/// Whether a line is an array whose first value is an array or an object.
fn is_list_of_rows(line: &[u8]) -> bool {
    let inside = json::without_mark(line).trim_ascii_start().strip_prefix(b"[");
    inside.is_some_and(|inside| matches!(inside.trim_ascii_start().first(), Some(b'[' | b'{')))
}

/// Writes the kept members of one line's object, then the prediction, as one object.
fn write_line(job: &Job, line: &[u8], batch: &Batch, index: usize, out: &mut Vec<u8>) {
    let mut line_out = Object { out, is_empty: true };
    let clashes = keep_members(&job.options.keep, &job.added, line, &mut line_out);
    let apart: Vec<String>;
    let mut added = &job.added;
    if clashes {
        // A later line has members that the first one does not have.
        let names = first_names(line);
        apart = output::added(job.pipeline, job.options, &names).into_iter().map(|(_, name)| name).collect();
        added = &apart;
    }
    let Some(row) = batch.rows[index].prediction else {
        added.iter().for_each(|name| line_out.member(name, |out| out.extend_from_slice(b"null")));
        return line_out.end();
    };
    let predictions = &batch.predictions;
    line_out.member(&added[0], |out| job.answers.value(predictions, row, out));
    for (name, score) in added[1..].iter().zip(job.added_numbers(predictions, row)) {
        line_out.member(name, |out| number(score, out));
    }
    let explained: Vec<f64> = job.explained_numbers(batch, row).collect();
    let (added, of_explanation) = added.split_at(added.len() - explained.len());
    if let (true, Some(name)) = (job.pipeline.postprocessing.prediction_sets.is_some(), added.last()) {
        line_out.member(name, |out| job.answers.set(predictions, row, out));
    }
    for (name, value) in of_explanation.iter().zip(explained) {
        line_out.member(name, |out| number(value, out));
    }
    line_out.end();
}

/// Repeats the kept members of a row, as they stand. Whether one has a name of `added`.
fn keep_members(keep: &Keep, added: &[String], line: &[u8], object: &mut Object) -> bool {
    let text = std::str::from_utf8(json::without_mark(line)).unwrap_or_default().trim();
    let before = (object.out.len(), object.is_empty);
    let mut json = serde_json::Deserializer::from_str(text);
    let mut clashes = false;
    let repeat = Repeat { keep, added, clashes: &mut clashes, object: &mut *object };
    let repeated = json.deserialize_map(repeat).and_then(|()| json.end());
    if repeated.is_err() {
        object.out.truncate(before.0);
        object.is_empty = before.1;
        if *keep == Keep::All && serde_json::from_str::<IgnoredAny>(text).is_ok() {
            object.raw("input", text);
        }
    }
    clashes
}

/// Writes the kept members of an object as they are met: a line may have millions.
struct Repeat<'k, 'o, 'a> {
    keep: &'k Keep,
    added: &'k [String],
    clashes: &'o mut bool,
    object: &'o mut Object<'a>,
}

impl<'de> Visitor<'de> for Repeat<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { keep, added, clashes, object } = self;
        let mut found: BTreeMap<&str, &RawValue> = BTreeMap::new();
        while let Some(name) = map.next_key::<Cow<str>>()? {
            let value: &RawValue = map.next_value()?;
            match keep {
                Keep::All => {
                    *clashes |= added.iter().any(|added| *added == name);
                    object.raw(&name, value.get());
                }
                Keep::None => {}
                Keep::Columns(wanted) => {
                    if let Some(wanted) = wanted.iter().find(|wanted| **wanted == name) {
                        found.insert(wanted, value);
                    }
                }
            }
        }
        if let Keep::Columns(wanted) = keep {
            for name in wanted {
                object.raw(name, found.get(name.as_str()).map_or("null", |value| value.get()));
            }
        }
        Ok(())
    }
}

/// A JSON object that is being written on a line of its own.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn member(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(if std::mem::take(&mut self.is_empty) { b'{' } else { b',' });
        self.out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        self.out.push(b':');
        value(self.out);
    }

    /// A member whose value is JSON text.
    fn raw(&mut self, name: &str, value: &str) {
        self.member(name, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// Ends an object that has a member.
    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keep: &str, line: &str) -> String {
        let mut out = Vec::new();
        let mut object = Object { out: &mut out, is_empty: true };
        let clashes = keep_members(&Keep::from(keep), &["prediction".into()], line.as_bytes(), &mut object);
        assert_eq!(clashes, keep == "all" && line.contains("prediction"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_repeated_as_they_stand() {
        let line = r#" {"a" : 1.50, "b":[1, 2],"a\u0062":"\u00e9", "a":null} "#;
        let all = "{\"a\":1.50,\"b\":[1, 2],\"ab\":\"\\u00e9\",\"a\":null";
        assert_eq!(kept("all", line), all, "digits, escapes and order are those of the input");
        assert_eq!(kept("none", line), "");
        assert_eq!(kept("b,c", line), r#"{"b":[1, 2],"c":null"#, "a member that is not there is null");
        assert_eq!(kept("all", r#"{"prediction":1}"#), r#"{"prediction":1"#);
    }

    #[test]
    fn a_row_without_names_stands_under_input_and_what_is_no_json_nowhere() {
        assert_eq!(kept("all", "[1, 2]"), r#"{"input":[1, 2]"#);
        assert_eq!(kept("a", "[1, 2]"), "");
        assert_eq!(kept("all", "[1, 2"), "");
        assert_eq!(kept("all", r#"{"a":1,"b""#), "", "nor its beginning");
    }
}
