//! What a model is, as one JSON value: for `mlapi inspect --format json` and `GET /model`.

use serde_json::{Value, json};

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
    for ((feature, _), importance) in model.pipeline.recipe.slot_names(schema).iter().zip(of_slots) {
        importances[*feature].1 += importance;
    }
    importances.sort_by(|a, b| b.1.total_cmp(&a.1));
    importances
}

/// A row in column order that this model predicts without a warning, from what the columns hold: the mean of
/// a number, the most frequent level of a category.
pub fn example(model: &Model) -> Vec<Value> {
    use crate::data::schema::ColumnType;
    let value = |feature: &crate::data::schema::Feature| match feature.column_type {
        ColumnType::Number => {
            // As few digits as stay within the range.
            let rounded = [1.0, 10.0, 100.0].map(|unit| (feature.mean * unit).round() / unit);
            let fits = |v: &f64| (feature.min..=feature.max).contains(v);
            let precise = feature.min.fract() != 0.0 || feature.max.fract() != 0.0;
            let found = rounded.into_iter().skip(usize::from(precise)).find(fits).unwrap_or(feature.mean);
            match found.fract() == 0.0 && found.abs() < 9e15 {
                true => (found as i64).into(),
                false => found.into(),
            }
        }
        ColumnType::Boolean => (feature.mean >= 0.5).into(),
        ColumnType::Category => {
            let most = (0..feature.levels.len()).max_by_key(|&i| (feature.counts[i], std::cmp::Reverse(i)));
            most.map(|i| feature.levels[i].clone()).into()
        }
    };
    model.pipeline.schema.features.iter().map(value).collect()
}
