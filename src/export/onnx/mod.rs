//! An ONNX file: one input per column, the label and the probabilities of a row, or its value.
//!
//! Numbers are doubles and trees those of ai.onnx.ml 5, so that predictions are those of mlapi to the last digits; for older
//! runtimes there is single precision with the operators of ai.onnx.ml 3.

mod columns;
mod finish;
mod predictors;
mod proto;
mod trees;

use std::sync::Arc;

use anyhow::Result;

use columns::Columns;
use proto::{Dialect, Graph, Kind, Value};

use crate::data::prepare::recipe::{Encoding, Recipe};
use crate::model::Model;

/// Double precision; and the operators of ONNX 1.10, of 2021.
const DOUBLE: Dialect = Dialect { format: 10, operators: 18, ml: 5, real: Kind::Double };
const COMPATIBLE: Dialect = Dialect { format: 8, operators: 15, ml: 3, real: Kind::Float };

/// The file of a model.
///
/// # Errors
/// A column, form or step that ONNX does not say, by its name.
pub(super) fn file(model: &Model, compatible: bool) -> Result<Vec<u8>> {
    let (pipeline, dialect) = (&model.pipeline, if compatible { COMPATIBLE } else { DOUBLE });
    let schema = &pipeline.schema;
    let mut graph = Graph::new(dialect, schema.features.iter().map(|feature| feature.name.as_str()));
    let mut columns = Columns::add(schema, &mut graph)?;
    let mut encoded: Vec<(&Arc<Recipe>, Value)> = Vec::new();
    let mut sum: Option<Value> = None;
    for member in &pipeline.members {
        // Levels become what the trees of one member read.
        let is_shared = member.recipe.encoding() == Encoding::Standardised;
        let known = encoded.iter().find(|(recipe, _)| is_shared && Arc::ptr_eq(recipe, &member.recipe));
        let x = match known {
            Some((_, x)) => x.clone(),
            None => columns.encode(&mut graph, &member.recipe, &member.predictor)?,
        };
        encoded.push((&member.recipe, x.clone()));
        let predicted = predictors::predictions(&mut graph, &member.predictor, &x)?;
        let mut own = finish::inverted(&mut graph, &member.target, predicted);
        if pipeline.members.len() > 1 {
            let weight = graph.real(member.weight);
            own = graph.op("Mul", &[&own, &weight]);
        }
        sum = Some(match sum {
            Some(sum) => graph.op("Add", &[&sum, &own]),
            None => own,
        });
    }
    let mut scores = sum.unwrap_or_default();
    let names: Vec<&str> = schema.features.iter().map(|feature| feature.name.as_str()).collect();
    // Names are distinct: a column may have that of an output.
    let free = |name: &str| {
        let mut name = name.to_string();
        while names.contains(&name.as_str()) {
            name.push('_');
        }
        name
    };
    let n_classes = schema.target.labels.len();
    if n_classes == 0 {
        graph.output(&free("value"), &scores, dialect.real, Some(1));
    } else {
        if pipeline.members.len() > 1 {
            // A sum of rounded numbers.
            let one = graph.real(1.0);
            scores = graph.op("Min", &[&scores, &one]);
        }
        if let Some(calibration) = &pipeline.postprocessing.calibration {
            scores = finish::calibrated(&mut graph, &calibration.curves, n_classes, &scores);
        }
        let (label, kind) = finish::label(&mut graph, pipeline.decision(), &schema.target, &scores);
        graph.output(&free("label"), &label, kind, None);
        graph.output(&free("probabilities"), &scores, dialect.real, Some(n_classes));
    }
    let says = match n_classes {
        0 => format!("predicts the number {}", schema.target.name),
        _ => format!("predicts {}: {}", schema.target.name, schema.target.labels.join(", ")),
    };
    graph.finish(&model.card.algorithm.to_string(), &says)
}
