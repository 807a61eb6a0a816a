//! Rows of Rust values, predicted: the door of the library for single rows.
//!
//! A row is read as a JSON request is: serde writes it, [`json`] reads it into codes, the pipeline predicts. So a
//! struct, a map, an HTTP body and a line of NDJSON with the same values have the same prediction.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Model;
use super::pipeline::{NOT_FINITE, Pipeline, Predictions};
use crate::data::cells::cell::Tolerance;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::{Warning, WarningKind};
use crate::data::read::json::{self, Malformed};

/// The prediction for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The labels of a classification, each with its probability; empty for regression.
    probabilities: Vec<(String, f64)>,
    /// Index of the predicted class.
    class: usize,
    value: Option<f64>,
    interval: Option<[f64; 2]>,
    /// Indices of the classes of the prediction set.
    set: Option<Vec<usize>>,
    warnings: Vec<(String, WarningKind)>,
}

impl Prediction {
    /// The predicted label; none for regression.
    pub fn label(&self) -> Option<&str> {
        self.probabilities.get(self.class).map(|(label, _)| label.as_str())
    }

    /// The probability of the predicted label; none for regression.
    pub fn probability(&self) -> Option<f64> {
        self.probabilities.get(self.class).map(|(_, probability)| *probability)
    }

    /// Every label with its probability, in the order of [`Model::labels`]; empty for regression.
    pub fn probabilities(&self) -> &[(String, f64)] {
        &self.probabilities
    }

    /// The predicted number; none for classification.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// The interval around the predicted number, if the model was trained with one.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.interval
    }

    /// The labels of the prediction set, if the model was trained with sets.
    pub fn prediction_set(&self) -> Option<Vec<&str>> {
        let label = |&class: &usize| Some(self.probabilities.get(class)?.0.as_str());
        self.set.as_ref().map(|set| set.iter().filter_map(label).collect())
    }

    /// The features with a missing value, an unseen category, or a number outside the range of the training rows.
    pub fn warnings(&self) -> &[(String, WarningKind)] {
        &self.warnings
    }

    fn new(pipeline: &Pipeline, predictions: &Predictions, row: usize) -> Self {
        let (labels, scores) = (pipeline.labels(), predictions.scores.row(row));
        let steps = &pipeline.postprocessing;
        Self {
            probabilities: labels.iter().cloned().zip(scores.iter().copied()).collect(),
            class: predictions.classes.get(row).map_or(0, |&class| class as usize),
            value: scores.first().copied().filter(|_| labels.is_empty()),
            interval: steps.interval.map(|interval| interval.around(scores[0])),
            set: steps.prediction_sets.map(|sets| sets.classes(scores).collect()),
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for Prediction {
    /// The label or the number.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.label(), self.value) {
            (Some(label), _) => f.write_str(label),
            (None, Some(value)) => value.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// Predicts rows; `name` is how messages call the row of that number.
///
/// # Errors
/// A row that cannot be written as JSON, or does not fit the model.
pub(super) fn predict<R: Serialize>(
    model: &Model,
    rows: impl IntoIterator<Item = R>,
    name: impl Fn(usize) -> String,
) -> Result<Vec<Prediction>> {
    let schema = &model.pipeline.schema;
    let mut codes = Matrix::with_capacity(1, schema.n_features());
    for (number, row) in rows.into_iter().enumerate() {
        let text = serde_json::to_vec(&row).with_context(|| {
            format!("{} cannot be written as JSON, which rows are read from", name(number))
        })?;
        let problems = match json::read_row(&text, schema, Tolerance::Strict, &mut codes) {
            Ok(problems) => problems,
            Err(Malformed::NotJson(detail)) => bail!("{} is not a row: {detail}", name(number)),
            Err(Malformed::TooManyRows) => bail!("{} is more than one row", name(number)),
        };
        if problems.total > 0 {
            bail!("{} does not fit the model:\n  {}", name(number), problems.lines().join("\n  "));
        }
    }
    let predictions = model.pipeline.predict(&codes, model.pipeline.decision());
    if let Some(row) = predictions.first_not_finite() {
        bail!("{} does not fit the model: {NOT_FINITE}", name(row));
    }
    let new = |row| Prediction::new(&model.pipeline, &predictions, row);
    let mut predicted: Vec<Prediction> = (0..codes.n_rows()).map(new).collect();
    for Warning { row, feature, kind } in schema.warnings(&codes) {
        predicted[row].warnings.push((schema.features[feature].name.clone(), kind));
    }
    Ok(predicted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{Error, Plan};

    fn model(file: &str, algorithm: &str) -> Model {
        let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        Plan { algorithm: algorithm.into(), ..Plan::new(path) }.train().unwrap()
    }

    #[test]
    fn a_row_has_one_prediction_however_it_is_given() {
        #[derive(Serialize)]
        struct Flower {
            petal_width: f32,
            sepal_length: f64,
            sepal_width: &'static str,
            petal_length: Option<f64>,
        }
        let model = model("iris.csv", "logreg");
        let tuple = model.predict((5.1, 3.5, 1.4, 0.2)).unwrap();
        assert_eq!(tuple.label(), Some("setosa"));
        let sum: f64 = tuple.probabilities().iter().map(|(_, probability)| probability).sum();
        assert!((sum - 1.0).abs() < 1e-12 && tuple.probability() > Some(0.9) && tuple.value().is_none());
        let flower =
            Flower { sepal_length: 5.1, sepal_width: "3.5", petal_length: Some(1.4), petal_width: 0.2 };
        assert_eq!(model.predict(&flower).unwrap(), tuple);
        assert_eq!(model.predict(["5.1", "3.5", " 1.4", "0.2"]).unwrap(), tuple);
        let names = ["sepal_length", "sepal_width", "petal_length", "petal_width"];
        let map: BTreeMap<_, _> = names.into_iter().zip([5.1, 3.5, 1.4, 0.2]).collect();
        assert_eq!(model.predict(&map).unwrap(), tuple);
        let json =
            json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": "1.4", "petal_width": 0.2});
        assert_eq!(model.predict_rows([&json, &json]).unwrap(), [tuple.clone(), tuple]);
    }

    #[test]
    fn what_is_unusual_is_predicted_with_a_warning() {
        let model = model("penguins.csv", "tree");
        let features = &model.pipeline.schema.features;
        let mut row: BTreeMap<String, serde_json::Value> =
            features.iter().map(|feature| (feature.name.clone(), serde_json::Value::Null)).collect();
        row.insert("bill_length_mm".into(), 1e6.into());
        row.insert("island".into(), "Atlantis".into());
        let prediction = model.predict(&row).unwrap();
        let kind = |name: &str| {
            let found = prediction.warnings().iter().find(|(feature, _)| feature == name);
            found.map(|(_, kind)| *kind)
        };
        assert_eq!(kind("bill_length_mm"), Some(WarningKind::OutOfRange));
        assert_eq!(kind("island"), Some(WarningKind::UnseenCategory));
        assert_eq!(kind("bill_depth_mm"), Some(WarningKind::MissingValue));
        assert_eq!(prediction.warnings().len(), row.len());
        row.insert("bill_depth_mm".into(), f64::NAN.into());
        assert_eq!(model.predict(&row).unwrap(), prediction, "NaN is a missing value");
    }

    #[test]
    fn a_number_is_predicted_as_a_value() {
        let model = model("diabetes.csv", "ridge");
        let row: Vec<f64> = model.golden.row(0).to_vec();
        let far: Vec<f64> = (0..row.len()).map(|i| if i % 2 == 0 { -1e308 } else { 1e308 }).collect();
        let message = model.predict_rows([&row, &far]).unwrap_err().to_string();
        assert!(
            message.starts_with("row 1 does not fit the model: the prediction is not a finite"),
            "{message}"
        );
        let prediction = model.predict(&row).unwrap();
        assert_eq!(prediction.value(), Some(model.pipeline.scores(&model.golden).row(0)[0]));
        assert_eq!((prediction.label(), prediction.probability()), (None, None));
        assert_eq!(prediction.to_string(), prediction.value().unwrap().to_string());
    }

    #[test]
    fn a_row_that_does_not_fit_is_an_error_with_every_problem() {
        let model = model("iris.csv", "naive-bayes");
        let refused = |row: serde_json::Value| match model.predict(&row) {
            Err(error @ Error::Input(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        let message = refused(json!({"sepal_lenght": 5.1, "sepal_width": "wide", "petal_length": 1.4}));
        for words in [
            "the row does not fit the model",
            "\"sepal_lenght\" is not a feature of this model; did you mean \"sepal_length\"?",
            "sepal_width: \"wide\" is not a number",
            "petal_width",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(refused(json!([1, 2])).contains("2 values where the model has 4 features"));
        assert!(refused(json!(5.1)).contains("a row is an array of values or an object by name"));
        let rows = [json!([1, 2, 3, 4]), json!([1, 2, true, 4])];
        let message = model.predict_rows(&rows).unwrap_err().to_string();
        assert!(
            message.starts_with("row 1 does not fit the model") && message.contains("true is not a number")
        );
    }
}
