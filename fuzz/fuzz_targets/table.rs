//! Arbitrary bytes as a table to learn from, and then as rows to predict: an error with words, or a model that reads the
//! same values in the same bytes.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mlapi::data::read::csv::Records;
use mlapi::predict::{Options, Part, predict_csv};
use mlapi::{ColumnType, FileOptions, HoldOut, Plan};

static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("mlapi-fuzz-table-{}.csv", std::process::id())));

fuzz_target!(|bytes: &[u8]| one(bytes));

fn one(bytes: &[u8]) {
    if fs::write(&*PATH, bytes).is_err() {
        return;
    }
    let Some(path) = PATH.to_str() else { return };
    let plan = Plan {
        algorithm: "decision-tree".into(),
        // All rows are training rows, so that the schema's figures are those of the whole file.
        hold_out: HoldOut::File(path.into()),
        ..Plan::new(path)
    };
    let model = match plan.train() {
        Ok(model) => model,
        Err(error) => return assert!(!error.to_string().trim().is_empty()),
    };
    // Lines of JSON go another way.
    if bytes.trim_ascii_start().starts_with(b"{") {
        return;
    }
    let schema = &model.pipeline.schema;
    let options = Options { header: schema.header, ..Options::default() };
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); schema.features.len()];
    let mut watch = |part: Part| {
        for row in part.codes.rows() {
            for ((min, max), code) in ranges.iter_mut().zip(row).filter(|(_, code)| !code.is_nan()) {
                (*min, *max) = (min.min(*code), max.max(*code));
            }
        }
    };
    let reading = FileOptions { header: schema.header, ..FileOptions::default() };
    let done = Records::open(path, &reading)
        .and_then(|records| predict_csv(&model, records, &options, &mut Vec::new(), &mut watch));
    // A model may have no finite answer for the values.
    if done.is_err() || model.card.n_without_target > 0 {
        return;
    }
    for (feature, (min, max)) in schema.features.iter().zip(ranges) {
        if [ColumnType::Number, ColumnType::Date, ColumnType::Boolean].contains(&feature.column_type) && min <= max {
            assert_eq!((feature.min, feature.max), (min, max), "{}", feature.name);
        }
    }
}
