//! JSON rows, one a line: an object or an array into codes, and its members repeated with the prediction among them.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::Result;
use serde_json::value::RawValue;

use super::answer::number;
use super::batch::Batch;
use super::output::{Job, Output};
use super::{Keep, OnError, Options, Part, Summary};
use crate::data::read::blocks::{BLOCK_BYTES, Block, Blocks, Cut};
use crate::data::read::json::{self, Malformed, Problem};
use crate::data::read::ndjson::{Members, lines};
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
    input: Box<dyn Read + Send>,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let blocks = Blocks::new(source, Vec::new(), input, Cut::Lines, BLOCK_BYTES, false);
    predict_blocks(model, source, blocks, options, out, watch)
}

/// As [`predict_ndjson`], from an input that is cut into blocks.
///
/// # Errors
/// As there.
pub(super) fn predict_blocks(
    model: &Model,
    source: &str,
    mut blocks: Blocks<Box<dyn Read + Send>>,
    options: &Options,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Part),
) -> Result<Summary> {
    let job = Job::new(&model.pipeline, options, source);
    Output::new(&job, out, watch).write(&mut blocks, &|block, batch| predict(&job, block, batch))
}

fn predict(job: &Job, block: &Block, batch: &mut Batch) {
    batch.start(job.pipeline.schema.n_features());
    let lines: Vec<(u64, &[u8])> = lines(block).collect();
    for (i, (number, line)) in lines.iter().enumerate() {
        let fits = read_line(job, *number, line, batch);
        batch.admit(i..i, fits, job.options.on_error);
    }
    job.answer(batch, |batch, row, out| {
        write_line(job, lines[batch.rows[row].place.start].1, batch, row, out)
    });
}

/// Reads one line as the last row of the codes; whether it fits.
fn read_line(job: &Job, number: u64, line: &[u8], batch: &mut Batch) -> bool {
    let n_rows = batch.codes.n_rows();
    let schema = &job.pipeline.schema;
    let problems = match json::read_row(line, schema, job.options.lenient, &mut batch.codes) {
        Ok(problems) => problems.listed,
        Err(malformed) => {
            let detail = match malformed {
                Malformed::NotJson(detail) => format!("not JSON: {detail}"),
                Malformed::TooManyRows => "too many rows".into(),
            };
            vec![Problem { pointer: String::new(), detail }]
        }
    };
    let fits = problems.is_empty();
    if !fits {
        batch.codes.truncate(n_rows);
    }
    if job.options.on_error == OnError::Stop {
        for problem in problems {
            let place = problem.place();
            let place = if place.is_empty() { place } else { format!(", {place:?}") };
            let message = format!("{} line {number}{place}: {}", job.source, problem.detail);
            batch.add_problem(problem.pointer, problem.detail, message);
        }
    }
    fits
}

/// Writes the kept members of one line's object, then the prediction, as one object.
fn write_line(job: &Job, line: &[u8], batch: &Batch, index: usize, out: &mut Vec<u8>) {
    let mut line_out = Object { out, is_empty: true };
    keep_members(&job.options.keep, line, &mut line_out);
    let Some(row) = batch.rows[index].prediction else {
        job.added.iter().for_each(|name| line_out.member(name, |out| out.extend_from_slice(b"null")));
        return line_out.end();
    };
    let predictions = &batch.predictions;
    line_out.member(&job.added[0], |out| job.answers.value(predictions, row, out));
    for (name, score) in job.added[1..].iter().zip(job.added_numbers(predictions, row)) {
        line_out.member(name, |out| number(score, out));
    }
    line_out.end();
}

/// Repeats the kept members of a row, as they stand.
fn keep_members(keep: &Keep, line: &[u8], object: &mut Object) {
    let text = std::str::from_utf8(line).unwrap_or_default().trim();
    let Ok(Members(members)) = serde_json::from_str(text) else {
        if *keep == Keep::All && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            object.raw("input", text);
        }
        return;
    };
    match keep {
        Keep::All => members.iter().for_each(|(name, value)| object.raw(name, value.get())),
        Keep::None => {}
        Keep::Columns(wanted) => {
            let members: BTreeMap<&str, &RawValue> =
                members.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
            for name in wanted {
                object.raw(name, members.get(name.as_str()).map_or("null", |value| value.get()));
            }
        }
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
        keep_members(&Keep::from(keep), line.as_bytes(), &mut Object { out: &mut out, is_empty: true });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_repeated_as_they_stand() {
        let line = r#" {"a" : 1.50, "b":[1, 2],"a\u0062":"\u00e9", "a":null} "#;
        let all = "{\"a\":1.50,\"b\":[1, 2],\"ab\":\"\\u00e9\",\"a\":null";
        assert_eq!(kept("all", line), all, "digits, escapes and order are those of the input");
        assert_eq!(kept("none", line), "");
        assert_eq!(kept("b,c", line), r#"{"b":[1, 2],"c":null"#, "a member that is not there is null");
    }

    #[test]
    fn a_row_without_names_stands_under_input_and_what_is_no_json_nowhere() {
        assert_eq!(kept("all", "[1, 2]"), r#"{"input":[1, 2]"#);
        assert_eq!(kept("a", "[1, 2]"), "");
        assert_eq!(kept("all", "[1, 2"), "");
    }
}
