//! The outcome of `mlapi train`, for people.

use super::{columns, postprocessing, selection, text};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::model::Model;
use crate::model::trained::Trained;

/// Columns beyond this many are counted, not listed.
const MAX_LISTED_COLUMNS: usize = 24;

/// The file, its columns, the choices of the training, and the figures on the held-out rows. `given`: the types that
/// were not inferred.
pub(crate) fn summary(trained: &Trained, given: &[(String, ColumnType)]) -> String {
    let (card, schema) = (&trained.model.card, &trained.model.pipeline.schema);
    let Trained { source, n_rows, .. } = trained;
    let mut lines = format!("{source}: {n_rows} rows, {} columns\n", schema.columns.len());
    lines += &columns::table(
        &columns::describe(&trained.model.pipeline, &trained.profiles, given),
        trained.n_rows,
        MAX_LISTED_COLUMNS,
    );
    let classes = match schema.target.labels.len() {
        0 => String::new(),
        n => format!(", {n} classes"),
    };
    let split = match &card.test {
        Some(file) => format!("{} rows to fit, {} in {}", card.n_train, card.evaluation.n_rows, file.path),
        None => {
            let fitted = match &card.sample {
                Some(_) => card.n_train,
                None => trained.n_rows - card.n_without_target - card.evaluation.n_rows,
            };
            let refit = if card.refit { "; after the evaluation fitted again on all rows" } else { "" };
            format!(
                "{fitted} rows to fit, {} held out ({}){refit}",
                card.evaluation.n_rows, trained.split_reason
            )
        }
    };
    let facts = [
        ("target", format!("{} ({})", schema.target.name, trained.target_reason)),
        ("task", format!("{}{classes} ({})", schema.target.task.name(), trained.task_reason)),
        ("split", split),
        ("algorithm", format!("{} ({})", card.algorithm, trained.algorithm_reason)),
        ("fitted in", duration(trained.fit_seconds)),
    ];
    let steps = postprocessing::facts(&trained.model.pipeline.postprocessing);
    let mut rows: Vec<Vec<String>> =
        facts.into_iter().chain(steps).map(|(name, value)| vec![name.to_string(), value]).collect();
    if let Some(flags) = selection::set_flags(&card.algorithm, &card.selection) {
        rows.insert(4, vec!["tuned to".into(), flags]);
    }
    lines += &text::table(&rows, 0, false);
    lines += &selection::selection(&card.selection, true);
    lines += &format!("\nOn {}:\n", text::count(card.evaluation.n_rows, "held-out row", "held-out rows"));
    lines += &text::metrics(&card.evaluation, true);
    lines += &format!("  {}\n", text::baseline_words(&card.evaluation));
    lines
}

/// Seconds, or milliseconds below one second.
fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// A training row as a value for `--features`.
pub(crate) fn example_row(model: &Model) -> String {
    let values = model.pipeline.schema.values_of(&model.golden, 0);
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    let features = &model.pipeline.schema.features;
    // As text it has to be written as in the training rows.
    let written = |(value, feature): (&serde_json::Value, &Feature)| feature.notation?.write(value.as_f64()?);
    let cells = values.iter().zip(features).map(|pair| match pair.0 {
        _ if written(pair).is_some() => written(pair).unwrap_or_default(),
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string().trim_end_matches(".0").to_string(),
    });
    let written = writer.write_record(cells).ok().and_then(|()| writer.into_inner().ok());
    let row = String::from_utf8(written.unwrap_or_default()).unwrap_or_default();
    let row = row.trim_end();
    let plain = |c: char| c.is_ascii_alphanumeric() || ",.-_+".contains(c);
    if row.chars().all(plain) { row.into() } else { format!("'{}'", row.replace('\'', "'\\''")) }
}
