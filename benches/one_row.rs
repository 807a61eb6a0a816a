//! The time that a model takes to score one row by itself, in process:
//!
//! ```text
//! one_row MODEL TABLE.csv
//! ```
//!
//! Scores rows of the table in turn, one call for each, so that no row finds the caches as the same row left them. Prints
//! nanoseconds a row, the median of nine runs over all rows, the estimate that `train --max-latency` goes by, and
//! nanoseconds a row of all rows in one call, on one thread, the best of nine.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, bail};
use mlapi::Model;
use mlapi::data::cells::matrix::Matrix;
use mlapi::data::read::load::read_table;
use mlapi::data::read::source::Options;
use mlapi::model::pipeline::Decision;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, table] = &arguments[..] else { bail!("usage: one_row MODEL TABLE.csv") };
    let model = Model::open(model)?;
    let raw = read_table(table, &Options::default())?;
    let rows: Vec<usize> = (0..raw.n_rows()).collect();
    let codes = model.pipeline.schema.read(&raw, &rows)?;
    let singles: Vec<Matrix> = codes.rows().map(one).collect();
    let mut runs: Vec<f64> = (0..9)
        .map(|_| {
            let started = Instant::now();
            for row in &singles {
                black_box(model.pipeline.predict_serially(row, Decision::MostProbable));
            }
            started.elapsed().as_nanos() as f64 / singles.len() as f64
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    let estimate: f64 = model.pipeline.members.iter().map(|m| m.predictor.footprint().nanoseconds).sum();
    let together = (0..9).map(|_| {
        let started = Instant::now();
        black_box(model.pipeline.predict_serially(&codes, Decision::MostProbable));
        started.elapsed().as_nanos() as f64 / singles.len() as f64
    });
    let together = together.fold(f64::INFINITY, f64::min);
    let median = runs[runs.len() / 2];
    println!("measured {median:.0} ns a row, estimated {estimate:.0}, together {together:.0}");
    Ok(())
}

fn one(row: &[f64]) -> Matrix {
    let mut matrix = Matrix::with_capacity(1, row.len());
    matrix.push_row(0.0).copy_from_slice(row);
    matrix
}
