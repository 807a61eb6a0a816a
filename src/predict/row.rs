//! The row of `predict --features`: values in column order, `NAME=VALUE` pairs, or JSON.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::answer::AnswerWriter;
use super::explained::{self, Explain};
use super::what_if::{self, WhatIf};
use crate::data::cells::cell::Tolerance;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::Problems;
use crate::data::cells::schema::{Schema, Warning};
use crate::data::read::json::{self, Malformed};
use crate::model::Model;
use crate::model::explain::Explanation;
use crate::model::explain::counterfactual::Counterfactual;
use crate::model::pipeline::{Decision, NOT_FINITE, Pipeline, Predictions};
use crate::names::cut;

/// One row and its prediction.
pub(crate) struct PredictedRow {
    /// `1 × n_features` codes.
    pub(crate) codes: Matrix,
    /// The prediction.
    pub(crate) predictions: Predictions,
    /// Its missing, unseen and out-of-range values.
    pub(crate) warnings: Vec<Warning>,
    /// Why, if that was asked for.
    pub(crate) explanation: Option<Explanation>,
    /// What would change it, if that was asked for.
    pub(crate) what_if: Option<Vec<Counterfactual>>,
}

impl PredictedRow {
    /// The answer of the HTTP API to this row.
    /// `top`: how many contributions are named.
    pub(crate) fn json(&self, pipeline: &Pipeline, top: Option<usize>) -> Vec<u8> {
        let warnings = (self.warnings.as_slice(), self.warnings.len());
        AnswerWriter::new(pipeline).answer_with(&self.predictions, false, warnings, |row, out| {
            if let Some(explanation) = &self.explanation {
                explained::append(&pipeline.schema, &self.codes, row, explanation, top, out);
            }
            if let Some(found) = &self.what_if {
                what_if::append(&pipeline.schema, found, out);
            }
        })
    }
}

/// Predicts a row as typed: `5.1,3.5`, `a=5.1,b=3.5` or JSON. `lenient`: a missing or unknown name and a cell that
/// does not fit are missing values.
///
/// # Errors
/// A text that is not one row, or a row that does not fit the model, with all its problems.
pub(crate) fn predict_row(
    model: &Model,
    text: &str,
    lenient: bool,
    decision: Decision,
    (explain, what_if): (Option<&Explain>, Option<&WhatIf>),
) -> Result<PredictedRow> {
    let schema = &model.pipeline.schema;
    let mut codes = Matrix::with_capacity(1, schema.n_features());
    // A shell that puts a file here puts its byte order mark here, too.
    let text = text.trim_start_matches('\u{feff}');
    let problems = read(text, schema, lenient, &mut codes)?;
    if !problems.is_empty() {
        let helps =
            !lenient && read(text, schema, true, &mut codes).is_ok_and(|problems| problems.is_empty());
        let hint = if helps { "\n--lenient takes what does not fit as missing" } else { "" };
        bail!("--features does not fit the model:\n  {}{hint}", problems.join("\n  "));
    }
    let predictions = model.pipeline.predict(&codes, decision);
    if predictions.first_not_finite().is_some() {
        bail!("--features: {NOT_FINITE}");
    }
    let warnings = schema.warnings(&codes).collect();
    let explained = explain.map(|explain| explain.rows(&model.pipeline, &codes, &predictions)).transpose()?;
    let explanation = explained.and_then(|rows| rows.into_iter().next());
    let what_if = what_if.map(|what_if| what_if.of_row(&model.pipeline, &codes, 0));
    Ok(PredictedRow { codes, predictions, warnings, explanation, what_if })
}

/// Appends the codes of a row; its problems.
fn read(text: &str, schema: &Schema, lenient: bool, codes: &mut Matrix) -> Result<Vec<String>> {
    if text.trim_start().starts_with(['{', '[']) {
        read_json(text, schema, lenient, codes)
    } else {
        read_cells(text, schema, lenient, codes)
    }
}

fn tolerance(lenient: bool) -> Tolerance {
    if lenient { Tolerance::Lenient } else { Tolerance::Strict }
}

/// Appends the codes of a JSON row; its problems.
fn read_json(text: &str, schema: &Schema, lenient: bool, codes: &mut Matrix) -> Result<Vec<String>> {
    match json::read_row(text.as_bytes(), schema, tolerance(lenient), codes) {
        Ok(found) => Ok(found.lines()),
        Err(Malformed::NotJson(detail)) => bail!("--features is not JSON: {detail}"),
        Err(Malformed::TooManyRows) => bail!("--features takes one row"),
    }
}

/// Appends the codes of a CSV record of values or of pairs; its problems.
fn read_cells(text: &str, schema: &Schema, lenient: bool, codes: &mut Matrix) -> Result<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut record = ::csv::StringRecord::new();
    let found = reader.read_record(&mut record).context("--features cannot be read as a CSV row")?;
    if !found || reader.read_record(&mut ::csv::StringRecord::new()).is_ok_and(|more| more) {
        bail!("--features takes one row: values in column order, NAME=VALUE pairs, or a JSON object");
    }
    let mut problems = Vec::new();
    let pairs: Option<Vec<(&str, &str)>> = record.iter().map(|field| field.split_once('=')).collect();
    let (map, values): (Vec<Option<usize>>, Vec<&str>) = match pairs {
        Some(pairs) => {
            let names: Vec<String> = pairs.iter().map(|(name, _)| name.trim().to_string()).collect();
            problems.extend(
                schema.map_columns(&names, tolerance(lenient)).err().iter().flat_map(Problems::lines),
            );
            let mut seen = BTreeSet::new();
            for name in names.iter().filter(|name| !seen.insert(*name)) {
                problems.push(format!("{}: the feature is given twice", cut(name)));
            }
            // The values behind the names that are right are checked all the same.
            let map = schema.map_columns(&names, Tolerance::Lenient).unwrap_or_default();
            (map, pairs.into_iter().map(|(_, value)| value).collect())
        }
        None => {
            let map = schema.positions(record.len()).map_err(|problem| problems.push(problem));
            (map.unwrap_or_default(), record.iter().collect())
        }
    };
    codes.push_row(f64::NAN);
    for (feature, cell) in map.into_iter().zip(values).filter_map(|(feature, cell)| Some((feature?, cell))) {
        let known = &schema.features[feature];
        match known.code(schema.null_tokens.of(&known.name).cell(cell), codes.texts_mut()) {
            Ok(code) => codes.row_mut(0)[feature] = code,
            Err(_) if lenient => {}
            Err(detail) => problems.push(format!("{}: {detail}", known.name)),
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::ColumnType;
    use crate::data::cells::cell::Task;
    use crate::data::cells::schema::Ignored;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    /// Features `size` and `color` (blue, red); `id` is ignored, `price` is the target.
    fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "color", "id", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0]),
                Column::Category { codes: vec![0, 1], levels: vec!["blue".into(), "red".into()] },
                Column::Number(vec![7.0, 8.0]),
                Column::Number(vec![10.0, 20.0]),
            ],
            lines: vec![2, 3].into(),
        };
        let target = Target {
            name: "price".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        Schema::fit(&table, &[(0, ColumnType::Number), (1, ColumnType::Category)], target, ignored, &[0, 1])
    }

    fn cells(text: &str, lenient: bool) -> (Vec<f64>, Vec<String>) {
        let schema = schema();
        let mut codes = Matrix::with_capacity(1, schema.n_features());
        let problems = read_cells(text, &schema, lenient, &mut codes).unwrap();
        (codes.values().to_vec(), problems)
    }

    #[test]
    fn values_and_pairs_are_the_same_row() {
        for text in [
            "2,red",
            " 2 ,red",
            "2,red,7,10",
            "size=2,color=red",
            "color=red, size=2",
            "price=1,size=2,color=red",
        ] {
            assert_eq!(cells(text, false), (vec![2.0, 1.0], vec![]), "{text}");
        }
    }

    #[test]
    fn a_value_with_an_equals_sign_is_a_value_unless_all_are_pairs() {
        let (_, problems) = cells("2,color=red", false);
        assert_eq!(problems, Vec::<String>::new(), "an unseen level");
    }

    #[test]
    fn all_problems_are_found_at_once_and_a_lenient_reader_has_none_but_doubles() {
        let (_, problems) = cells("size=big,colour=red", false);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("\"big\" is not a number")), "{problems:?}");
        let (codes, problems) = cells("size=big,colour=red", true);
        assert!(problems.is_empty() && codes.iter().all(|code| code.is_nan()), "{codes:?} {problems:?}");
        let (_, problems) = cells("size=1,size=2,color=red", true);
        assert_eq!(problems, ["size: the feature is given twice"]);
    }

    #[test]
    fn a_json_row_names_its_features_as_they_are_and_counts_what_it_does_not_list() {
        let (schema, mut codes) = (schema(), Matrix::with_capacity(1, 2));
        let mut row: serde_json::Map<_, _> = (0..120).map(|i| (format!("a/{i}"), 1.into())).collect();
        row.insert("size".into(), 1.into());
        row.insert("color".into(), "red".into());
        let text = serde_json::Value::from(row).to_string();
        let problems = read_json(&text, &schema, false, &mut codes).unwrap();
        assert!(problems[0].contains("\"a/0\""), "{}", problems[0]);
        assert_eq!((problems.len(), problems[100].as_str()), (101, "and 20 more"));
        let problems = read_json(r#"{"a/b":1}"#, &schema, false, &mut codes).unwrap();
        assert!(problems.iter().all(|problem| !problem.contains("~1")), "{problems:?}");
    }

    #[test]
    fn two_rows_and_no_row_are_refused() {
        let (schema, mut codes) = (schema(), Matrix::with_capacity(1, 2));
        for text in ["", "1,red\n2,red"] {
            let error = read_cells(text, &schema, false, &mut codes).unwrap_err().to_string();
            assert!(error.contains("takes one row"), "{text}: {error}");
        }
    }
}
