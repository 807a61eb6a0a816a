//! The time that explanations take, in process and on one thread:
//!
//! ```text
//! explain MODEL TABLE.csv
//! ```
//!
//! Prints a JSON object of microseconds a row, the median of five runs over all rows of the table: `predict` scores them,
//! `explain` explains them in blocks, `explain_one` one by one; and `largest`, by which base and contributions miss the
//! score at most.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, bail};
use mlapi::Model;
use mlapi::data::cells::matrix::Matrix;
use mlapi::data::read::load::read_table;
use mlapi::data::read::source::Options;
use mlapi::model::explain::{Explainer, Explanation, Wish};
use mlapi::model::pipeline::Decision;

/// Rows that are also explained one by one.
const SINGLE_ROWS: usize = 1000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, table] = &arguments[..] else { bail!("usage: explain MODEL TABLE.csv") };
    let Model { pipeline, reference, .. } = Model::open(model)?;
    let raw = read_table(table, &Options::default())?;
    let rows: Vec<usize> = (0..raw.n_rows()).collect();
    let codes = pipeline.schema.read(&raw, &rows)?;
    let explainer = Explainer::new(&pipeline, &reference);
    let predictions = pipeline.predict_serially(&codes, Decision::MostProbable);
    let explain = |codes: &Matrix, classes: &[u32]| -> Result<Vec<Explanation>> {
        explainer.explain(&pipeline, codes, classes, Wish::default())
    };
    let miss = |explanation: &Explanation| {
        let sum: f64 = explanation.contributions.iter().sum();
        (explanation.base + sum - explanation.score).abs()
    };
    let largest = explain(&codes, &predictions.classes)?.iter().map(miss).fold(0.0, f64::max);
    let predict = median(codes.n_rows(), || {
        black_box(pipeline.predict_serially(&codes, Decision::MostProbable));
        Ok(())
    })?;
    let together = median(codes.n_rows(), || {
        black_box(explain(&codes, &predictions.classes)?);
        Ok(())
    })?;
    let singles: Vec<(Matrix, &[u32])> = (codes.rows().take(SINGLE_ROWS).enumerate())
        .map(|(i, row)| (one(row), predictions.classes.get(i..=i).unwrap_or_default()))
        .collect();
    let alone = median(singles.len(), || {
        for (row, classes) in &singles {
            black_box(explain(row, classes)?);
        }
        Ok(())
    })?;
    println!(
        "{}",
        serde_json::json!({
            "predict": predict, "explain": together, "explain_one": alone, "largest": largest,
        })
    );
    Ok(())
}

/// Microseconds a row, the median of five runs.
fn median(n_rows: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut runs = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        run()?;
        runs.push(started.elapsed().as_secs_f64() * 1e6 / n_rows as f64);
    }
    runs.sort_by(f64::total_cmp);
    Ok(runs[2])
}

fn one(row: &[f64]) -> Matrix {
    let mut matrix = Matrix::with_capacity(1, row.len());
    matrix.push_row(0.0).copy_from_slice(row);
    matrix
}
