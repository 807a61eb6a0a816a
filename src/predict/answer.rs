//! Predictions as the JSON of the public contract, for HTTP and for `predict --format json|ndjson`. The label of a
//! row is written as JSON here and nowhere else.
//!
//! The answer is written byte by byte into one buffer; labels and names are quoted once, when the model is
//! loaded.

use crate::background::give_way_at;
use crate::data::cells::schema::{Schema, Warning};
use crate::model::pipeline::{Pipeline, Predictions};
use crate::model::postprocessing::{Interval, Postprocessing, PredictionSets};

/// An answer lists at most this many warnings and counts the rest, so that it stays of the size of the rows.
pub(crate) const MAX_LISTED_WARNINGS: usize = 1000;

/// The beginning of an answer to many rows.
pub(super) const DOCUMENT_START: &[u8] = b"{\"predictions\":[";

/// Writes the answers of one model.
#[derive(Debug)]
pub(crate) struct AnswerWriter {
    /// Each label as a JSON value.
    values: Vec<String>,
    /// Each label as a JSON string.
    keys: Vec<String>,
    /// Each feature's name as a JSON string.
    features: Vec<String>,
    interval: Option<Interval>,
    sets: Option<PredictionSets>,
    /// About the length of one row's prediction.
    element_bytes: usize,
}

impl AnswerWriter {
    /// Quotes the labels and names of a model.
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        let Postprocessing { interval, prediction_sets, .. } = pipeline.postprocessing;
        Self { interval, sets: prediction_sets, ..Self::of(&pipeline.schema) }
    }

    /// Of a model without intervals and sets.
    fn of(schema: &Schema) -> Self {
        let target = &schema.target;
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let keys: Vec<String> = target.labels.iter().map(|label| quoted(label)).collect();
        // 26 bytes: the longest double, a colon and a comma.
        let element_bytes = 96 + 2 * 26 + keys.iter().map(|key| key.len() + 26).sum::<usize>();
        Self {
            values: target.labels.iter().map(|label| target.json_label(label).to_string()).collect(),
            keys,
            element_bytes,
            features: schema.features.iter().map(|feature| quoted(&feature.name)).collect(),
            interval: None,
            sets: None,
        }
    }

    /// The memory of an answer to many rows, per row.
    pub(crate) fn bytes_per_row(&self) -> usize {
        self.element_bytes
    }

    /// The whole answer to a request: one object, or a list under `predictions` if `many`. There are `n_warnings`, of
    /// which the first are given.
    pub(crate) fn answer(
        &self,
        predictions: &Predictions,
        many: bool,
        warnings: &[Warning],
        n_warnings: usize,
    ) -> Vec<u8> {
        self.answer_with(predictions, many, (warnings, n_warnings), |_, _| {})
    }

    /// As [`AnswerWriter::answer`]; `append` adds members to the object of a row, which ends in the buffer without its
    /// bracket.
    pub(crate) fn answer_with(
        &self,
        predictions: &Predictions,
        many: bool,
        (warnings, n_warnings): (&[Warning], usize),
        append: impl Fn(usize, &mut Vec<u8>),
    ) -> Vec<u8> {
        let element = |row: usize, out: &mut Vec<u8>| {
            self.element(predictions, row, out);
            out.pop();
            append(row, out);
        };
        let n_rows = predictions.scores.n_rows();
        let mut out = Vec::with_capacity(64 + n_rows * self.element_bytes);
        if many {
            list(n_rows, &mut out, |row, out| {
                element(row, out);
                out.push(b'}');
            });
        } else {
            element(0, &mut out);
        }
        self.warnings(warnings, n_warnings, &mut out);
        out.push(b'}');
        out
    }

    /// The predicted labels or numbers alone: `{"predictions":[…]}`, the answer of the MLflow protocol.
    pub(crate) fn values(&self, predictions: &Predictions) -> Vec<u8> {
        let mut out = Vec::new();
        list(predictions.scores.n_rows(), &mut out, |row, out| self.value(predictions, row, out));
        out.push(b'}');
        out
    }

    /// The predicted label or number of one row alone, as JSON.
    pub(crate) fn value(&self, predictions: &Predictions, row: usize, out: &mut Vec<u8>) {
        match predictions.classes.get(row) {
            Some(&class) => out.extend_from_slice(self.values[class as usize].as_bytes()),
            None => number(predictions.scores.row(row)[0], out),
        }
    }

    /// One row's prediction as a JSON object.
    pub(crate) fn element(&self, predictions: &Predictions, row: usize, out: &mut Vec<u8>) {
        let scores = predictions.scores.row(row);
        out.extend_from_slice(b"{\"prediction\":");
        let Some(&class) = predictions.classes.get(row) else {
            number(scores[0], out);
            if let Some(interval) = &self.interval {
                out.extend_from_slice(b",\"interval\":");
                list_of(interval.around(scores[0]), out, number);
            }
            out.push(b'}');
            return;
        };
        let class = class as usize;
        out.extend_from_slice(self.values[class].as_bytes());
        out.extend_from_slice(b",\"probability\":");
        number(scores[class], out);
        out.extend_from_slice(b",\"probabilities\":{");
        for (i, (key, score)) in self.keys.iter().zip(scores).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            number(*score, out);
        }
        out.push(b'}');
        if self.sets.is_some() {
            out.extend_from_slice(b",\"prediction_set\":");
            self.set(predictions, row, out);
        }
        out.push(b'}');
    }

    /// The labels of a row's prediction set as a JSON array; `null` if the model gives none.
    pub(crate) fn set(&self, predictions: &Predictions, row: usize, out: &mut Vec<u8>) {
        match &self.sets {
            Some(sets) => list_of(sets.classes(predictions.scores.row(row)), out, |class, out| {
                out.extend_from_slice(self.values[class].as_bytes());
            }),
            None => out.extend_from_slice(b"null"),
        }
    }

    /// `,"warnings":[…]` if there are any; `total` may exceed the number of those listed.
    pub(crate) fn warnings(&self, warnings: &[Warning], total: usize, out: &mut Vec<u8>) {
        if total == 0 {
            return;
        }
        out.extend_from_slice(b",\"warnings\":[");
        for (i, warning) in warnings.iter().take(MAX_LISTED_WARNINGS).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let (row, feature, kind) = (warning.row, &self.features[warning.feature], warning.kind.name());
            out.extend_from_slice(
                format!("{comma}{{\"row\":{row},\"feature\":{feature},\"kind\":\"{kind}\"}}").as_bytes(),
            );
        }
        out.push(b']');
        if total > MAX_LISTED_WARNINGS {
            let omitted = total - MAX_LISTED_WARNINGS;
            out.extend_from_slice(format!(",\"warnings_omitted\":{omitted}").as_bytes());
        }
    }
}

/// Writes a JSON array, each item by `write`.
pub(crate) fn list_of<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Writes the beginning of an answer and its rows, each by `write`.
fn list(n_rows: usize, out: &mut Vec<u8>, write: impl Fn(usize, &mut Vec<u8>)) {
    out.extend_from_slice(DOCUMENT_START);
    for row in 0..n_rows {
        if row > 0 {
            out.push(b',');
        }
        give_way_at(row);
        write(row, out);
    }
    out.push(b']');
}

/// A number in the shortest form that reads back as the same double; `null` if it is not finite.
pub(crate) fn number(value: f64, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail, and a number is always JSON.
    let _ = serde_json::to_writer(out, &value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::ColumnType;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::data::cells::schema::WarningKind;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    fn schema(labels: &[&str], numeric_labels: bool) -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: vec!["a \"b\"".into(), "y".into()],
            columns: vec![Column::Number(vec![1.0]), Column::Number(vec![1.0])],
            lines: vec![2].into(),
        };
        let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
        let task = if labels.is_empty() { Task::Regression } else { Task::Classification };
        let target = Target { name: "y".into(), task, labels, numeric_labels, notation: None };
        Schema::fit(&table, &[(0, ColumnType::Number)], target, vec![], &[0])
    }

    fn predictions(rows: &[&[f64]], classes: &[u32]) -> Predictions {
        let mut scores = Matrix::with_capacity(rows.len(), rows[0].len());
        rows.iter().for_each(|row| scores.push_row(0.0).copy_from_slice(row));
        Predictions { scores, classes: classes.to_vec() }
    }

    fn text(schema: &Schema, predictions: &Predictions, many: bool, warnings: &[Warning]) -> String {
        let answer = AnswerWriter::of(schema).answer(predictions, many, warnings, warnings.len());
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn answers_are_those_of_the_contract() {
        let classes = predictions(&[&[0.25, 0.75]], &[1]);
        assert_eq!(
            text(&schema(&["no", "y\"es"], false), &classes, false, &[]),
            r#"{"prediction":"y\"es","probability":0.75,"probabilities":{"no":0.25,"y\"es":0.75}}"#
        );
        assert_eq!(
            text(&schema(&["3", "12"], true), &classes, true, &[]),
            r#"{"predictions":[{"prediction":12,"probability":0.75,"probabilities":{"3":0.25,"12":0.75}}]}"#
        );
        let warning = Warning { row: 1, feature: 0, kind: WarningKind::OutOfRange };
        assert_eq!(
            text(&schema(&[], false), &predictions(&[&[24.3], &[0.1]], &[]), true, &[warning]),
            r#"{"predictions":[{"prediction":24.3},{"prediction":0.1}],"warnings":[{"row":1,"feature":"a \"b\"","kind":"out_of_range"}]}"#
        );
        let one = text(&schema(&[], false), &predictions(&[&[24.3]], &[]), false, &[warning; 1001]);
        assert!(one.ends_with(r#""kind":"out_of_range"}],"warnings_omitted":1}"#));
    }

    #[test]
    fn a_label_is_the_same_json_in_every_answer() {
        let predictions = predictions(&[&[0.25, 0.75], &[0.5, 0.5]], &[1, 0]);
        for (labels, numeric, values) in
            [(["3", "12"], true, "[12,3]"), (["3", "x\"y"], false, r#"["x\"y","3"]"#)]
        {
            let writer = AnswerWriter::of(&schema(&labels, numeric));
            assert_eq!(writer.values(&predictions), format!("{{\"predictions\":{values}}}").into_bytes());
            let answer: serde_json::Value =
                serde_json::from_slice(&writer.answer(&predictions, true, &[], 0)).unwrap();
            let alone: serde_json::Value = serde_json::from_slice(&writer.values(&predictions)).unwrap();
            for row in 0..2 {
                assert_eq!(answer["predictions"][row]["prediction"], alone["predictions"][row]);
            }
        }
    }

    #[test]
    fn a_number_is_written_so_that_it_reads_back_and_never_as_what_json_lacks() {
        let written = |value: f64| {
            let mut out = Vec::new();
            number(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        for value in [0.1, -0.0, 1e300, f64::MIN_POSITIVE, 1.0 / 3.0] {
            assert_eq!(written(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
        assert_eq!([f64::NAN, f64::INFINITY].map(written), ["null", "null"]);
    }
}
