//! What a model is, as one JSON value: for `mlapi inspect --format json` and `GET /model`.

use serde_json::{Value, json};

use crate::data::cells::date;
use crate::data::cells::schema::{ColumnType, Feature};
use crate::model::Model;

/// Card, schema, metrics, importances, and a row that works as a request.
pub fn describe(model: &Model) -> Value {
    let schema = &model.pipeline.schema;
    let importances: serde_json::Map<String, Value> =
        importances(model).into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    json!({
        "mlapi_version": env!("CARGO_PKG_VERSION"),
        "algorithm": model.card.algorithm,
        "task": schema.target.task,
        "target": schema.target.name,
        "labels": schema.target.labels.iter().map(|l| schema.target.json_label(l)).collect::<Vec<_>>(),
        "metrics": model.card.evaluation.metrics,
        "baseline": model.card.evaluation.baseline,
        "importances": importances,
        "example": { "data": example(model) },
        "card": model.card,
        "schema": schema,
    })
}

/// How much each feature moves the prediction, largest first: the sum over its slots of the mean size of
/// their coefficients, for numbers that are standardised per standard deviation.
pub fn importances(model: &Model) -> Vec<(&str, f64)> {
    let schema = &model.pipeline.schema;
    let mut importances: Vec<(&str, f64)> = schema.features.iter().map(|f| (f.name.as_str(), 0.0)).collect();
    let Some(of_slots) = model.pipeline.predictor.importances() else {
        return Vec::new();
    };
    for ((feature, _), importance) in model.pipeline.recipe.slots().iter().zip(of_slots) {
        importances[*feature].1 += importance;
    }
    importances.sort_by(|a, b| b.1.total_cmp(&a.1));
    importances
}

/// A row in column order that this model predicts without a warning, from what the columns hold: the mean of
/// a number to three digits, the most frequent level of a category.
pub fn example(model: &Model) -> Vec<Value> {
    let value = |feature: &Feature| match feature.column_type {
        ColumnType::Number => {
            let rounded = format!("{:.2e}", feature.mean).parse::<f64>().unwrap_or(feature.mean);
            let value = rounded.clamp(feature.min, feature.max);
            // 2^53: a double above it is not one whole number.
            if value.fract() == 0.0 && value.abs() < 9.0e15 { (value as i64).into() } else { value.into() }
        }
        ColumnType::Boolean => feature.boolean(feature.mean >= 0.5),
        ColumnType::Date => {
            let midnight = (feature.mean / 86_400.0).floor() * 86_400.0;
            date::format(midnight.clamp(feature.min, feature.max)).into()
        }
        ColumnType::Text => "a few words of text".into(),
        ColumnType::Category => {
            let most = (0..feature.levels.len()).max_by_key(|&i| (feature.counts[i], std::cmp::Reverse(i)));
            most.map(|i| feature.levels[i].clone()).into()
        }
    };
    model.pipeline.schema.features.iter().map(value).collect()
}
