//! Why a model predicts as it does: contributions of the columns over evaluated rows, interactions of pairs of columns, and
//! the worst rows explained (Lundberg et al. 2020, "From local explanations to global understanding").

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use super::importance::select_codes;
use super::residuals::sample;
use super::worst::by_loss;
use crate::background::give_way;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::model::Model;
use crate::model::explain::{Explainer, Explanation, Wish, reasons};
use crate::model::hold_out::TestRows;
use crate::model::pipeline::Predictions;
use crate::order;
use crate::parallel;

/// Rows that are explained.
const MAX_ROWS: usize = 250;
/// Rows that a thread explains together.
const BLOCK_ROWS: usize = 32;
/// Predictions that sampled contributions may take, and rows of these at least.
const MAX_SAMPLED: usize = 40_000;
const MIN_SAMPLED_ROWS: usize = 8;
/// Columns whose single rows are kept.
const MAX_POINTED: usize = 10;
/// Columns whose pairs are looked at, and pairs that are listed.
const MAX_PAIRED: usize = 10;
const MAX_PAIRS: usize = 10;
/// Worst rows that are explained, and reasons of each.
const MAX_WORST: usize = 10;
const MAX_REASONS: usize = 4;

/// The contributions of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The column.
    pub feature: String,
    /// Its type.
    pub column_type: ColumnType,
    /// The mean of their sizes.
    pub mean: f64,
    /// The value of the column in each row and its contribution; only of the most important columns that are neither
    /// private nor text.
    pub points: Vec<(Value, f64)>,
    /// The values as numbers, dates in seconds since 1970; NaN is a missing one. Empty for levels.
    pub numbers: Vec<f64>,
}

/// A row that the model gets wrong, with the reasons for its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstReason {
    /// Where it stands: file and line.
    pub place: String,
    /// The predicted label or value.
    pub predicted: Value,
    /// The largest contributions in words.
    pub reasons: Vec<String>,
}

/// Contributions over rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// The label whose score is explained; none for numbers, and where it is the predicted one of each row.
    pub label: Option<Value>,
    /// The scale of the contributions.
    pub scale: &'static str,
    /// Rows that were explained.
    pub n_rows: usize,
    /// Of the least certain contribution, if they were sampled.
    pub standard_error: Option<f64>,
    /// All columns, the most important first.
    pub effects: Vec<Effect>,
    /// Pairs of columns that act together, the strongest first: mean |interaction|. Trees only, also those of an ensemble.
    pub interactions: Vec<([String; 2], f64)>,
    /// The weight of the members of an ensemble that are trees; 1 for trees alone.
    pub interaction_weight: f64,
    /// Rows that these are the mean over.
    pub n_interaction_rows: usize,
    /// The worst rows.
    pub worst: Vec<WorstReason>,
}

/// Weights of members add up to 1, up to rounding.
const ALL: f64 = 1.0 - 1e-9;

impl Why {
    /// Whose interactions these are, if they are not those of the whole model.
    pub(crate) fn interactions_of(&self) -> Option<String> {
        (self.n_interaction_rows > 0 && self.interaction_weight < ALL).then(|| {
            format!(
                "Those of the ensemble's trees, which have {:.0} % of the weight; its other members add terms of single columns, \
                 or their interactions are not known.",
                100.0 * self.interaction_weight
            )
        })
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let effect = |effect: &Effect| {
            let mut one = json!({ "feature": effect.feature, "mean_absolute": effect.mean });
            if !effect.points.is_empty() {
                one["points"] = json!(effect.points);
            }
            one
        };
        let pair =
            |(features, mean): &([String; 2], f64)| json!({ "features": features, "mean_absolute": mean });
        let worst = |row: &WorstReason| json!({ "place": row.place, "predicted": row.predicted, "reasons": row.reasons });
        let mut all = json!({
            "scale": self.scale,
            "rows": self.n_rows,
            "contributions": self.effects.iter().map(effect).collect::<Vec<Value>>(),
            "worst": self.worst.iter().map(worst).collect::<Vec<Value>>(),
        });
        if let Some(label) = &self.label {
            all["label"] = label.clone();
        }
        if let Some(error) = self.standard_error {
            all["standard_error"] = error.into();
        }
        if self.n_interaction_rows > 0 {
            all["interactions"] = self.interactions.iter().map(pair).collect();
            all["interaction_rows"] = self.n_interaction_rows.into();
            if self.interaction_weight < ALL {
                all["interaction_weight"] = self.interaction_weight.into();
            }
        }
        all.serialize(serializer)
    }
}

/// Explains a sample of the rows, and the worst of them; `None` if the model cannot be explained.
pub(super) fn why(
    model: &Model,
    codes: &Matrix,
    rows: &TestRows,
    predictions: &Predictions,
    positive: usize,
) -> Option<Why> {
    let pipeline = &model.pipeline;
    let schema = &pipeline.schema;
    let target = &schema.target;
    let explainer = Explainer::new(pipeline, &model.reference);
    // Of two classes one says all; of more each row is explained for its own.
    let wish = Wish { label: (target.labels.len() == 2).then_some(positive), ..Wish::default() };
    explainer.check(pipeline, wish).ok()?;
    let n_features = schema.n_features();
    let affordable = match explainer.samples() {
        true => (MAX_SAMPLED / (200 * (n_features + 1))).clamp(MIN_SAMPLED_ROWS, MAX_ROWS),
        false => MAX_ROWS,
    };
    let explain = |chosen: &[usize], wish: Wish| -> Option<Vec<Explanation>> {
        // Sampled contributions of one row take long.
        let blocks = chosen.chunks(if explainer.samples() { 1 } else { BLOCK_ROWS }).collect();
        let explained = parallel::map(blocks, &|block: &[usize]| {
            give_way();
            let own = select_codes(codes, block);
            let classes: Vec<u32> =
                block.iter().filter_map(|&row| predictions.classes.get(row).copied()).collect();
            explainer.explain(pipeline, &own, &classes, wish).ok()
        });
        Some(explained.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let chosen = sample(codes.n_rows(), affordable);
    let explained = explain(&chosen, wish)?;
    let first = explained.first()?;
    let mut means = vec![0.0; n_features];
    for explanation in &explained {
        let values = means.iter_mut().zip(&explanation.contributions);
        values.for_each(|(mean, value)| *mean += value.abs() / explained.len() as f64);
    }
    let mut order: Vec<usize> = (0..n_features).collect();
    order::sort_by(&mut order, |&a, &b| means[b].total_cmp(&means[a]));
    let own = select_codes(codes, &chosen);
    let values: Vec<Vec<Value>> = (0..own.n_rows()).map(|row| schema.values_of(&own, row)).collect();
    let effect = |(place, &feature): (usize, &usize)| {
        let known = &schema.features[feature];
        let is_shown = place < MAX_POINTED && !known.private && known.column_type != ColumnType::Text;
        let is_number = matches!(known.column_type, ColumnType::Number | ColumnType::Date);
        let rows = if is_shown { 0..explained.len() } else { 0..0 };
        Effect {
            feature: known.name.clone(),
            column_type: known.column_type,
            mean: means[feature],
            points: rows
                .clone()
                .map(|row| (values[row][feature].clone(), explained[row].contributions[feature]))
                .collect(),
            numbers: rows.filter(|_| is_number).map(|row| own.row(row)[feature]).collect(),
        }
    };
    let labels: Vec<Option<usize>> = explained.iter().map(|explanation| explanation.label).collect();
    let paired: Vec<usize> = order.iter().copied().take(MAX_PAIRED).collect();
    let pairs = explainer.interactions(pipeline, &own, &labels, &paired);
    let name = |feature: usize| schema.features[feature].name.clone();
    let worst: Vec<usize> =
        by_loss(predictions, &rows.truth).into_iter().take(MAX_WORST.min(affordable)).collect();
    let of_worst = explain(&worst, Wish { label: None, ..wish })?;
    Some(Why {
        label: wish.label.map(|label| target.json_label(&target.labels[label])),
        scale: first.scale,
        n_rows: explained.len(),
        standard_error: explained.iter().filter_map(|one| one.standard_error).reduce(f64::max),
        effects: order.iter().enumerate().map(effect).collect(),
        interactions: pairs
            .means
            .into_iter()
            .take(MAX_PAIRS)
            .map(|(pair, mean)| (pair.map(name), mean))
            .collect(),
        interaction_weight: pairs.weight,
        n_interaction_rows: pairs.n_rows,
        worst: worst
            .iter()
            .zip(of_worst)
            .map(|(&row, explanation)| WorstReason {
                place: rows.raw.place(rows.rows[row]),
                predicted: match predictions.classes.get(row) {
                    Some(&class) => target.json_label(&target.labels[class as usize]),
                    None => predictions.scores.row(row)[0].into(),
                },
                reasons: told(schema, &schema.values_of(codes, row), explanation),
            })
            .collect(),
    })
}

/// The reasons of a row, those of private columns left out.
fn told(schema: &Schema, values: &[Value], mut explanation: Explanation) -> Vec<String> {
    for (contribution, feature) in explanation.contributions.iter_mut().zip(&schema.features) {
        if feature.private {
            *contribution = 0.0;
        }
    }
    reasons(schema, values, &explanation, MAX_REASONS)
}
