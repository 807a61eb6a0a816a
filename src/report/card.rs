//! A model's card, schema and importances: as JSON for `mlapi inspect --format json` and `GET /model`, as text for
//! `mlapi inspect`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{postprocessing, selection, text};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date;
use crate::data::cells::feature::Feature;
use crate::model::{Card, CardMember, DataSource, Model};
use crate::order;

/// Levels of a category that are listed.
const MAX_LISTED_LEVELS: usize = 5;

/// Card, schema, metrics, importances, and a row that works as a request.
pub(crate) fn describe(model: &Model) -> Value {
    let schema = &model.pipeline.schema;
    let importances: serde_json::Map<String, Value> =
        order::map(model.importances().into_iter().map(|(name, value)| (name.to_string(), value.into())));
    let mut description = json!({
        "mlapi_version": env!("CARGO_PKG_VERSION"),
        "algorithm": model.card.algorithm,
        "task": schema.target.task,
        "target": schema.target.name,
        "labels": schema.target.labels.iter().map(|l| schema.target.json_label(l)).collect::<Vec<_>>(),
        "metrics": model.card.evaluation.metrics,
        "baseline": model.card.evaluation.baseline,
        "importances": importances,
        "example": { "data": model.example() },
        "card": model.card,
        "schema": schema,
    });
    for feature in description["schema"]["features"].as_array_mut().into_iter().flatten() {
        // Hundreds of numbers that only drift needs.
        feature.as_object_mut().and_then(|feature| feature.remove("percentiles"));
    }
    if !model.card.members.is_empty() {
        description["members"] = json!(model.card.members);
    }
    if !model.pipeline.postprocessing.is_empty() {
        description["postprocessing"] = json!(model.pipeline.postprocessing);
    }
    description
}

/// The whole model for people: facts, features, selection, and the evaluation at training.
pub(crate) fn text(model: &Model) -> String {
    let rows: Vec<Vec<String>> =
        facts(model, &model.card).into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    let mut out = text::table(&rows, 2, false);
    out += &format!("\n{}", features(model));
    for ignored in &model.pipeline.schema.ignored {
        out += &format!("  {} is not used: {}\n", ignored.name, ignored.reason);
    }
    let (selected, evaluation) = (&model.card.selection, &model.card.evaluation);
    let rows = match &model.card.origin {
        Some(_) => text::count(evaluation.n_rows, "row of the sample", "rows of the sample"),
        None => text::count(evaluation.n_rows, "held-out row", "held-out rows"),
    };
    out += &selection::selection(selected, false);
    if model.card.origin.is_some() {
        return match evaluation.n_rows {
            0 => out,
            _ => out + &format!("\nOn {rows}, recorded at import:\n{}", text::metrics(evaluation, false)),
        };
    }
    out + &format!("\nOn {rows}, recorded at training:\n{}", text::metrics(evaluation, false))
}

/// The target, the algorithm and its settings, and the files.
pub(crate) fn facts(model: &Model, card: &Card) -> Vec<(&'static str, String)> {
    let target = &model.pipeline.schema.target;
    let sources: Vec<&DataSource> = std::iter::once(&card.data).chain(&card.more_data).collect();
    let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut facts = vec![("target", format!("{}, {}", target.name, target.task.name()))];
    if !target.labels.is_empty() {
        facts.push(("classes", target.labels.join(", ")));
    }
    facts.push(("algorithm", card.algorithm.clone()));
    if card.members.is_empty() || !card.hyperparameters.is_empty() {
        facts.push(("settings", settings(&card.hyperparameters)));
    }
    for CardMember { algorithm, weight, target, columns, hyperparameters } in &card.members {
        let of_target = target.as_ref().map_or(String::new(), |scale| format!(", target {scale}"));
        let of_columns = columns.as_ref().map_or(String::new(), |columns| format!(", columns of {columns}"));
        let line = format!("{weight:.3} {algorithm}{of_target}{of_columns}: {}", settings(hyperparameters));
        facts.push(("member", line.trim_end_matches(": ").into()));
    }
    match &card.origin {
        Some(origin) => {
            facts.push(("imported from", origin.to_string()));
            facts.push(("sha256", origin.sha256.clone()));
        }
        None => {
            facts.push(("trained on", format!("{}, {} rows", paths.join(", "), card.n_train)));
            facts.extend(sources.iter().map(|source| ("sha256", source.sha256.clone())));
            facts.push(("seed", card.seed.to_string()));
        }
    }
    facts.extend(postprocessing::facts(&model.pipeline.postprocessing));
    if let Some(sample) = &card.sample {
        let fitted = sample.n_fitted.map_or(String::new(), |n| format!("; {n} others were fitted"));
        facts.push(("sample", format!("{} of {} rows{fitted}", sample.n_sampled, sample.n_rows)));
    }
    if let Some(test) = &card.test {
        facts.push(("tested on", format!("{}, {} rows", test.path, card.evaluation.n_rows)));
    }
    if card.refit {
        facts.push(("fitted again", "on all rows after the evaluation".into()));
    }
    facts
}

/// Settings as they are given to `--set`.
fn settings(hyperparameters: &serde_json::Map<String, Value>) -> String {
    let settings: Vec<String> = hyperparameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    settings.join(" ")
}

/// A table of the features: type, importance, missing values, and the values of the training rows.
fn features(model: &Model) -> String {
    let importances: HashMap<&str, f64> = model.importances().into_iter().collect();
    let mut rows = vec![["feature", "type", "importance", "missing", "values"].map(String::from).to_vec()];
    for feature in &model.pipeline.schema.features {
        let importance = importances.get(feature.name.as_str());
        rows.push(vec![
            feature.name.clone(),
            feature.column_type.name().into(),
            importance.map_or(String::new(), |value| text::figure(Some(*value))),
            feature.missing.to_string(),
            values(feature),
        ]);
    }
    text::table(&rows, 2, false)
}

/// The values of a feature in the training rows.
pub(crate) fn values(feature: &Feature) -> String {
    match feature.column_type {
        ColumnType::Number => {
            let range = match (feature.min, feature.max) {
                (f64::MIN, f64::MAX) => "numbers".into(),
                (min, max) => format!("{min} to {max}"),
            };
            feature.notation.map_or(range.clone(), |notation| format!("{range}, {notation}"))
        }
        ColumnType::Boolean => format!("{}, {}", feature.words().text(false), feature.words().text(true)),
        ColumnType::Text if feature.is_pair() => {
            let range = |[min, max]: &[f64; 2]| format!("{min} to {max}");
            feature.ranges.iter().map(range).collect::<Vec<_>>().join(", ")
        }
        ColumnType::Text if feature.takes_arrays() => "lists".into(),
        ColumnType::Text => "texts".into(),
        ColumnType::Date => format!("{} to {}", date::format(feature.min), date::format(feature.max)),
        ColumnType::Category => {
            let n = feature.levels.len();
            let shown = &feature.levels[..n.min(MAX_LISTED_LEVELS)];
            let more = if n > MAX_LISTED_LEVELS { ", …" } else { "" };
            format!("{n} levels: {}{more}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::data::cells::schema::Schema;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    fn feature(column: Column, column_type: ColumnType, n_rows: usize) -> Feature {
        let table = Table {
            source: "t.csv".into(),
            names: vec!["x".into()],
            columns: vec![column],
            lines: (2..n_rows as u64 + 2).collect::<Vec<_>>().into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let rows: Vec<usize> = (0..n_rows).collect();
        Schema::fit(&table, &[(0, column_type)], target, vec![], &rows).features.remove(0)
    }

    #[test]
    fn only_the_first_levels_are_listed() {
        let levels: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec();
        let column = Column::Category { codes: vec![0, 2, 1, 2, 3, 1, 4, 5], levels };
        assert_eq!(values(&feature(column, ColumnType::Category, 8)), "6 levels: a, b, c, d, e, …");
    }
}
