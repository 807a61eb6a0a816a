//! What would have to be different, beside predictions: the wish as it is written, and the answer as JSON.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::explained::label_named;
use crate::data::cells::cell::{Cell, ColumnType};
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::text::Texts;
use crate::model::Model;
use crate::model::explain::counterfactual::{Counterfactual, Goal, Mutable, Search};
use crate::model::pipeline::{Decision, Pipeline};
use crate::names::{did_you_mean, quote};
use crate::order;

/// Columns that change at most.
pub(crate) const MAX_CHANGES: usize = 8;

/// Rows of a request that are answered: each takes up to some ten thousand predictions.
pub(crate) const MAX_ROWS: usize = 100;

/// What is asked for, as it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct WhatIfWish {
    /// So many columns change at most.
    pub(crate) most: usize,
    /// The class that is wanted; any other one if absent.
    pub(crate) label: Option<String>,
    /// The numbers that are wanted: `LO..HI`, `LO..` or `..HI`.
    pub(crate) range: Option<String>,
    /// The columns that may change, as `COL`, `COL=LO..HI`, `COL:+` or `COL:-`; all if there are none.
    pub(crate) mutable: Vec<String>,
    /// Whether the values of private columns may be told.
    pub(crate) tells_private: bool,
}

/// The search for the smallest changes of rows.
#[derive(Debug, Clone)]
pub struct WhatIf {
    search: Arc<Search>,
    decision: Decision,
}

impl WhatIf {
    /// Prepares the search.
    ///
    /// # Errors
    /// A label, a column or a range that the model does not have.
    pub(crate) fn new(model: &Model, wish: &WhatIfWish, decision: Decision) -> Result<Self> {
        let pipeline = &model.pipeline;
        let schema = &pipeline.schema;
        ensure!(
            (1..=MAX_CHANGES).contains(&wish.most),
            "the number of columns that change is from 1 to {MAX_CHANGES}"
        );
        let goal = match (&wish.label, &wish.range) {
            (Some(label), _) => Goal::Class(label_named(label, model.labels())? as u32),
            (None, Some(_)) if !model.labels().is_empty() => bail!("a range is for a model of numbers"),
            (None, Some(range)) => {
                let [low, high] = range_of(range, &|text| text.parse().ok())?;
                Goal::Within(low, high)
            }
            (None, None) if model.labels().is_empty() => {
                bail!("the model predicts a number: say from where to where it is to move")
            }
            (None, None) => Goal::Other,
        };
        let is_told = |feature: &Feature| wish.tells_private || !feature.private;
        let mut mutable = Vec::new();
        for text in wish.mutable.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let found = mutable_of(text, schema)?;
            let feature = &schema.features[found.feature];
            ensure!(is_told(feature), "the values of the column {} are private", quote(&feature.name));
            ensure!(
                feature.column_type != ColumnType::Text,
                "the column {} is text, of which no other values are known",
                quote(&feature.name)
            );
            mutable.push(found);
        }
        if mutable.is_empty() {
            let free =
                |(feature, _)| Mutable { feature, range: [f64::NEG_INFINITY, f64::INFINITY], direction: 0 };
            mutable.extend(schema.features.iter().enumerate().filter(|(_, of)| is_told(of)).map(free));
        }
        let search = Search::new(pipeline, &model.reference, goal, wish.most, mutable);
        Ok(Self { search: Arc::new(search), decision })
    }

    /// The wish of a request: a number of columns, or an object of `most`, `label`, `range` and `mutable`.
    ///
    /// # Errors
    /// Another value, or what the model does not have.
    pub(crate) fn of_option(model: &Model, option: &Value, decision: Decision) -> Result<Self> {
        const WRONG: &str = "what_if is a number of columns, or an object of most, label, range ([low, high]) and \
                             mutable (a list of columns)";
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let mut wish = WhatIfWish { most: 1, ..WhatIfWish::default() };
        let count = |value: &Value| value.as_u64().map(|n| n as usize).context(WRONG);
        match option {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("most", value) => wish.most = count(value)?,
                        ("label", value) => wish.label = Some(text(value)),
                        ("range", Value::Array(ends)) if ends.len() == 2 => {
                            let ends =
                                ends.iter().map(|end| if end.is_null() { String::new() } else { text(end) });
                            wish.range = Some(ends.collect::<Vec<String>>().join(".."));
                        }
                        ("mutable", Value::Array(columns)) => {
                            wish.mutable = columns.iter().map(text).collect()
                        }
                        _ => bail!(WRONG),
                    }
                }
            }
            value => wish.most = count(value)?,
        }
        Self::new(model, &wish, decision)
    }

    /// The smallest changes of a row of codes, the best first.
    pub(crate) fn of_row(&self, pipeline: &Pipeline, codes: &Matrix, row: usize) -> Vec<Counterfactual> {
        self.search.of_row(pipeline, self.decision, codes, row)
    }
}

/// The columns that a flag names: separated by commas, but for a name that has one.
pub(crate) fn columns_of(text: &str, schema: &Schema) -> Vec<String> {
    let is_known = |name: &str| schema.features.iter().any(|feature| feature.name == name);
    if is_known(text) { vec![text.into()] } else { text.split(',').map(str::to_string).collect() }
}

/// A column that may change, as `COL`, `COL=LO..HI`, `COL:+` or `COL:-`.
fn mutable_of(text: &str, schema: &Schema) -> Result<Mutable> {
    let find = |name: &str| schema.features.iter().position(|feature| feature.name == name);
    let free = [f64::NEG_INFINITY, f64::INFINITY];
    if let Some(feature) = find(text) {
        return Ok(Mutable { feature, range: free, direction: 0 });
    }
    for (sign, direction) in [(":+", 1), (":-", -1)] {
        if let Some(feature) = text.strip_suffix(sign).and_then(find) {
            let is_ordered = matches!(
                schema.features[feature].column_type,
                ColumnType::Number | ColumnType::Date | ColumnType::Boolean
            );
            ensure!(is_ordered, "{text}: a category neither rises nor falls");
            return Ok(Mutable { feature, range: free, direction });
        }
    }
    if let Some((name, range)) = text.rsplit_once('=')
        && let Some(feature) = find(name)
    {
        let known = &schema.features[feature];
        ensure!(
            matches!(known.column_type, ColumnType::Number | ColumnType::Date),
            "{text}: only a number or a date has a range"
        );
        let end = |text: &str| known.code(Cell::Text(text), &mut Texts::default()).ok();
        let plain = |text: &str| match known.column_type {
            ColumnType::Number => text.parse().ok().or_else(|| end(text)),
            _ => end(text),
        };
        return Ok(Mutable { feature, range: range_of(range, &plain)?, direction: 0 });
    }
    let name = text.trim_end_matches([':', '+', '-']);
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    let hint = did_you_mean(name, schema.features.iter().map(|feature| feature.name.as_str()));
    bail!("the model has no column {}{hint}; write COL, COL=LO..HI, COL:+ or COL:-", quote(name))
}

/// `LO..HI`, of which either may be left out.
fn range_of(text: &str, read: &dyn Fn(&str) -> Option<f64>) -> Result<[f64; 2]> {
    let wrong = || format!("{}: a range is LO..HI, LO.. or ..HI", quote(text));
    let (low, high) = text.split_once("..").with_context(wrong)?;
    let end = |text: &str, open: f64| match text.trim() {
        "" => Some(open),
        text => read(text).filter(|value| value.is_finite()),
    };
    let low = end(low, f64::NEG_INFINITY).with_context(wrong)?;
    let high = end(high, f64::INFINITY).with_context(wrong)?;
    ensure!(low <= high, "{}: the range ends before it begins", quote(text));
    Ok([low, high])
}

/// The changed values of a counterfactual, in the order of the schema.
pub(crate) fn changes(schema: &Schema, found: &Counterfactual) -> Vec<(String, Value)> {
    let mut codes = Matrix::with_capacity(1, schema.n_features());
    codes.push_row(0.0).copy_from_slice(&found.codes);
    let mut values = schema.values_of(&codes, 0);
    let change = |&feature: &usize| (schema.features[feature].name.clone(), values[feature].take());
    found.changed.iter().map(change).collect()
}

/// Appends a member `what_if` to a JSON object that ends in `out`.
pub(crate) fn append(schema: &Schema, all: &[Counterfactual], out: &mut Vec<u8>) {
    let one = |found: &Counterfactual| {
        let changes = Value::Object(order::map::<Map<String, Value>, _>(changes(schema, found)));
        match found.class {
            Some(class) => json!({
                "changes": changes,
                "prediction": schema.target.json_label(&schema.target.labels[class as usize]),
                "probability": found.score,
                "distance": found.distance,
            }),
            None => json!({ "changes": changes, "prediction": found.score, "distance": found.distance }),
        }
    };
    let all: Vec<Value> = all.iter().map(one).collect();
    out.extend_from_slice(b",\"what_if\":");
    out.extend_from_slice(Value::from(all).to_string().as_bytes());
}
