//! Fits and predicts in memory, for benches/learn.py, which says how it is measured:
//!
//! ```text
//! fit FOLDER ALGORITHM [KEY=VALUE]…
//! ```
//!
//! FOLDER holds `shape.json` (`rows`, `cols`, `test_rows`, `classes`, 0 for a regression) and little-endian
//! doubles: `x.f64` (rows × cols), `y.f64`, and `x_test.f64`. Writes `scores.f64` (test rows × classes, or
//! × 1) and prints the seconds and the peak memory as JSON.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use mlapi::data::cells::cell::{ColumnType, Task};
use mlapi::data::cells::matrix::Matrix;
use mlapi::data::cells::schema::Schema;
use mlapi::data::cells::table::{Column, Table};
use mlapi::data::cells::target::Target;
use mlapi::data::prepare::recipe::Recipe;
use mlapi::model::learn::{Dataset, Labels, Spec, Unwatched, algorithm};
use mlapi::model::pipeline::Pipeline;
use mlapi::model::predictor::{Array, Arrays, Predictor};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, settings @ ..] = &arguments[..] else {
        bail!("usage: fit FOLDER ALGORITHM [KEY=VALUE]…");
    };
    let folder = Path::new(folder);
    let shape: Value = serde_json::from_slice(&std::fs::read(folder.join("shape.json"))?)?;
    let size = |name: &str| shape[name].as_u64().map(|n| n as usize).context("shape.json");
    let (cols, n_classes) = (size("cols")?, size("classes")?);
    let x = matrix(&folder.join("x.f64"), size("rows")?, cols)?;
    let y = matrix(&folder.join("y.f64"), size("rows")?, 1)?;
    let codes: Vec<u32> = y.values().iter().map(|&y| y as u32).collect();
    let (task, labels) = match n_classes {
        0 => (Task::Regression, Labels::Values(y.values())),
        _ => (Task::Classification, Labels::Classes { codes: &codes, n_classes }),
    };
    let mut pairs = Vec::new();
    for setting in settings {
        let (key, value) = setting.split_once('=').context("a setting is KEY=VALUE")?;
        pairs.push((key.to_string(), value.to_string()));
    }
    let spec = Spec::new(algorithm(name)?, task, &pairs)?;
    let schema = schema(cols, task, n_classes);
    let memory_before = memory("VmRSS")?;

    let started = Instant::now();
    let recipe = Recipe::fit(&schema, spec.algorithm.encoding, &x);
    // Owned, as in `mlapi train`: a learner that reads it only once frees it.
    let prepared = match recipe.encode(&x) {
        Cow::Owned(prepared) => prepared,
        Cow::Borrowed(_) => x,
    };
    let recipe_seconds = started.elapsed().as_secs_f64();
    let fit = spec.fit_owned(
        prepared,
        &Dataset { seed: 1, ..Dataset::new(&Matrix::default(), labels) },
        &Unwatched,
    )?;
    let fit_seconds = started.elapsed().as_secs_f64();
    let peak = memory("VmHWM")?;

    let pipeline = Pipeline::single(schema, recipe, fit.predictor);
    let model_bytes = write_arrays(&pipeline, folder)?;
    let x_test = matrix(&folder.join("x_test.f64"), size("test_rows")?, cols)?;
    let started = Instant::now();
    let scores = pipeline.scores(&x_test);
    let predict_seconds = started.elapsed().as_secs_f64();
    let bytes: Vec<u8> = scores.values().iter().flat_map(|score| score.to_le_bytes()).collect();
    std::fs::write(folder.join("scores.f64"), bytes)?;
    let seconds = json!({
        "fit_seconds": fit_seconds, "learn_seconds": fit_seconds - recipe_seconds, "predict_seconds": predict_seconds,
        "kib_before": memory_before, "peak_kib": peak, "model_kib": model_bytes / 1024,
    });
    println!("{seconds}");
    Ok(())
}

/// The arrays of doubles of a support vector machine, each as `NAME.f64`; the bytes of all arrays of a model.
fn write_arrays(pipeline: &Pipeline, folder: &Path) -> Result<usize> {
    let mut arrays = Arrays::new();
    pipeline.members[0].predictor.write_arrays(&mut arrays);
    let n_bytes = arrays
        .values()
        .map(|array| match array {
            Array::F64(_, values) => 8 * values.len(),
            Array::U32(_, values) => 4 * values.len(),
            Array::U8(_, values) => values.len(),
        })
        .sum();
    if !matches!(pipeline.members[0].predictor, Predictor::SupportVectors(_)) {
        return Ok(n_bytes);
    }
    for (name, array) in arrays {
        if let Array::F64(_, values) = array {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(folder.join(format!("{name}.f64")), bytes)?;
        }
    }
    Ok(n_bytes)
}

/// Reads number by number: a copy of the file would be the peak of the memory.
fn matrix(path: &Path, rows: usize, cols: usize) -> Result<Matrix> {
    let mut file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
    let mut matrix = Matrix::zeros(rows, cols);
    let mut bytes = [0; 8];
    for value in matrix.values_mut() {
        file.read_exact(&mut bytes).with_context(|| path.display().to_string())?;
        *value = f64::from_le_bytes(bytes);
    }
    Ok(matrix)
}

/// A schema of number columns; nothing here uses its ranges.
fn schema(cols: usize, task: Task, n_classes: usize) -> Schema {
    let names: Vec<String> = (0..cols).map(|j| format!("x{j}")).collect();
    let columns = vec![Column::Number(vec![0.0]); cols];
    let table = Table { source: "memory".into(), names, columns, lines: vec![1].into() };
    let labels = (0..n_classes).map(|class| class.to_string()).collect();
    let target = Target { name: "y".into(), task, labels, numeric_labels: true, notation: None };
    let features: Vec<_> = (0..cols).map(|j| (j, ColumnType::Number)).collect();
    Schema::fit(&table, &features, target, Vec::new(), &[0])
}

/// A line of /proc/self/status, in KiB; 0 if there is no such file.
fn memory(name: &str) -> Result<u64> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return Ok(0);
    };
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no such line in /proc/self/status")?.parse()?)
}
