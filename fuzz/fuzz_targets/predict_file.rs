//! Arbitrary bytes as a file of rows, CSV or NDJSON, with any options of `predict`: an error, or output that can be
//! read again; the same with one thread and with two.
//!
//! The first two bytes of an input choose the form and the options; the rest is the file.

#![no_main]

mod support;

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mlapi::data::read::blocks::{BLOCK_BYTES, Blocks, Cut};
use mlapi::data::read::csv::Records;
use mlapi::model::pipeline::Decision;
use mlapi::predict::{Format, Keep, OnError, Options, predict_csv, predict_ndjson};
use mlapi::{FileOptions, Model};
use serde::de::IgnoredAny;
use support::{MANY, trained};

static MODELS: LazyLock<[Model; 2]> =
    LazyLock::new(|| [trained("logreg", true, MANY), trained("ridge", false, MANY)]);

fuzz_target!(
    // Not counted as the time of an input.
    init: LazyLock::force(&MODELS),
    |input: &[u8]| one(input)
);

fn one(input: &[u8]) {
    let [one, two, file @ ..] = input else {
        return;
    };
    let model = &MODELS[usize::from(one & 1)];
    let is_csv = one >> 1 & 1 == 0;
    let format = [Format::LikeInput, Format::Json, Format::Ndjson, Format::Values][usize::from(one >> 2 & 3)];
    let threshold = Decision::Threshold { threshold: 0.3, positive: 1 };
    let options = Options {
        keep: match one >> 4 & 3 {
            0 | 1 => Keep::All,
            2 => Keep::None,
            _ => Keep::from("spend,said"),
        },
        format,
        decision: if one >> 6 & 1 == 1 && one & 1 == 0 { threshold } else { Decision::MostProbable },
        probabilities: one >> 7 == 1 && one & 1 == 0,
        explain: None,
        what_if: None,
        rank: None,
        lenient: two & 1 == 1,
        strict: two >> 5 & 1 == 1,
        on_error: [OnError::Stop, OnError::Skip, OnError::Null, OnError::Stop][usize::from(two >> 1 & 3)],
        header: two >> 3 & 1 == 0,
        max_rows: if two >> 4 & 1 == 1 { 3 } else { usize::MAX },
        n_threads: 1,
    };
    // Small blocks, so that records lie across them.
    let block_bytes = if two >> 7 == 1 { 64 } else { BLOCK_BYTES };
    let reading = FileOptions {
        header: options.header,
        block_bytes,
        delimiter: [None, None, Some(b';'), Some(b'\t')][usize::from(two >> 5 & 3)],
        ..FileOptions::default()
    };
    let run = |n_threads: usize| {
        let options = Options { n_threads, ..options.clone() };
        let input: Box<dyn Read + Send> = Box::new(Cursor::new(file.to_vec()));
        let (mut out, mut n_rows) = (Vec::new(), 0);
        let watch = &mut |part: mlapi::predict::Part| n_rows += part.codes.n_rows();
        let done = if is_csv {
            Records::from_reader(input, "input", &reading)
                .and_then(|records| predict_csv(model, records, &options, &mut out, watch))
        } else {
            let blocks = Blocks::new("input", Vec::new(), input, Cut::Lines, block_bytes, false);
            predict_ndjson(model, "input", blocks, &options, &mut out, watch)
        };
        (done.map_err(|error| format!("{error:#}")), out, n_rows)
    };
    let (done, out, n_rows) = run(1);
    if let Ok(summary) = &done {
        assert!(summary.n_rows >= n_rows);
        let is_json = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
        let is_ndjson = format == Format::Ndjson || (format == Format::LikeInput && !is_csv);
        if is_ndjson {
            assert!(out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(is_json));
        } else if format != Format::LikeInput {
            assert!(is_json(&out));
        }
    }
    assert_eq!(run(2), (done, out, n_rows));
}
