//! A domain classifier: boosted trees that tell new rows from held-out rows of training. If they cannot, the rows are
//! alike in all their features together, not only in each alone (Lopez-Paz and Oquab 2017, "Revisiting classifier
//! two-sample tests"). The caller is `mlapi drift`.

use anyhow::{Context as _, Result};

use super::{Dataset, Labels, Spec, Unwatched, algorithm};
use crate::data::cells::cell::{ColumnType, Task};
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::Truth;
use crate::metrics::roc_auc;
use crate::model::drift::Telling;
use crate::model::predictor::Predictor;
use crate::order;

/// Rows of each side that are used; of more an even sample.
const MAX_ROWS: usize = 2000;

/// With fewer rows on a side the classifier shows nothing.
const MIN_ROWS: usize = 20;

const N_FOLDS: usize = 5;

/// Features that are named at most, and the least share of the importances of one.
const MAX_NAMED: usize = 5;
const MIN_SHARE: f64 = 0.05;

/// Up to this area the classifier tells nothing, and its features are those of chance.
const MIN_AREA: f64 = 0.6;

/// Small trees, few of them: enough for any shift that matters.
const SETTINGS: [(&str, &str); 4] =
    [("n_estimators", "50"), ("max_leaf_nodes", "8"), ("min_samples_leaf", "10"), ("learning_rate", "0.1")];

/// The cross-validated ROC AUC, and the features that give the rows away; `None` if rows are too few.
///
/// # Errors
/// Rows that cannot be learned from.
pub(crate) fn tell(
    schema: &Schema,
    known: &Matrix,
    new: &Matrix,
    seed: u64,
) -> Result<Option<(f64, Vec<Telling>)>> {
    if known.n_rows().min(new.n_rows()) < MIN_ROWS {
        return Ok(None);
    }
    let mut x = Matrix::with_capacity(2 * MAX_ROWS, schema.n_features());
    let mut codes: Vec<u32> = Vec::new();
    for (code, rows) in [(0, known), (1, new)] {
        let step = rows.n_rows().div_ceil(MAX_ROWS).max(1);
        for row in rows.rows().step_by(step) {
            x.push_row(0.0).copy_from_slice(row);
            codes.push(code);
        }
    }
    let is_text: Vec<bool> = schema.features.iter().map(|f| f.column_type == ColumnType::Text).collect();
    for i in 0..x.n_rows() {
        // Of texts the code is a place; whether there is one remains.
        let texts =
            x.row_mut(i).iter_mut().zip(&is_text).filter(|(value, is_text)| **is_text && !value.is_nan());
        texts.for_each(|(value, _)| *value = 0.0);
    }
    let settings = SETTINGS.map(|(name, value)| (name.to_string(), value.to_string()));
    let spec = Spec::new(algorithm("gradient-boosting")?, Task::Classification, &settings)?;
    let fit = |rows: &[usize]| -> Result<Predictor> {
        let mut part = Matrix::with_capacity(rows.len(), x.n_cols());
        rows.iter().for_each(|&row| part.push_row(0.0).copy_from_slice(x.row(row)));
        let codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
        let y = Labels::Classes { codes: &codes, n_classes: 2 };
        let fit = spec.fit(&Dataset { seed, ..Dataset::new(&part, y) }, &Unwatched)?;
        Ok(fit.predictor)
    };
    let truth = Truth::Classes { codes: codes.clone(), labels: vec!["known".into(), "new".into()] };
    let mut areas = Vec::with_capacity(N_FOLDS);
    for fold in truth.folds(N_FOLDS, seed) {
        let predictor = fit(&fold.train).context("the domain classifier cannot be fitted")?;
        let mut scores = vec![0.0; 2];
        let score = |row: &usize| {
            predictor.scores_block(x.row(*row), &mut scores);
            scores[1]
        };
        let of_rows: Vec<f64> = fold.test.iter().map(score).collect();
        let is_new: Vec<bool> = fold.test.iter().map(|&row| codes[row] == 1).collect();
        areas.extend(roc_auc(&is_new, &of_rows));
    }
    if areas.is_empty() {
        return Ok(None);
    }
    let all: Vec<usize> = (0..x.n_rows()).collect();
    let importances = fit(&all)?.importances().unwrap_or_default();
    let sum: f64 = importances.iter().sum();
    let of_feature = |(feature, importance): (&Feature, &f64)| Telling {
        feature: feature.name.clone(),
        share: importance / sum.max(f64::MIN_POSITIVE),
    };
    let mut telling: Vec<Telling> = schema.features.iter().zip(&importances).map(of_feature).collect();
    order::sort_by(&mut telling, |a, b| b.share.total_cmp(&a.share));
    telling.truncate(MAX_NAMED);
    let area = areas.iter().sum::<f64>() / areas.len() as f64;
    telling.retain(|found| found.share >= MIN_SHARE && area > MIN_AREA);
    Ok(Some((area, telling)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::random::{generator, unit_interval};

    #[test]
    fn rows_that_are_alike_are_not_told_apart_and_a_new_correlation_is() {
        let path = format!("{}/fixtures/iris.csv", env!("CARGO_MANIFEST_DIR"));
        let model = Plan { algorithm: "bayes".into(), ..Plan::new(path) }.train().unwrap();
        let schema = &model.pipeline.schema;
        let mut random = generator(5);
        // Each feature alone is spread the same in both.
        let mut rows = |n: usize, together: bool| {
            let mut rows = Matrix::with_capacity(n, 4);
            for _ in 0..n {
                let row = rows.push_row(0.0);
                row.iter_mut().for_each(|value| *value = unit_interval(&mut random));
                if together {
                    row[2] = row[1];
                }
            }
            rows
        };
        let (known, same, other) = (rows(400, false), rows(400, false), rows(400, true));
        let (auc, _) = tell(schema, &known, &same, 1).unwrap().unwrap();
        assert!((auc - 0.5).abs() < 0.06, "{auc}");
        let (auc, telling) = tell(schema, &known, &other, 1).unwrap().unwrap();
        assert!(auc > 0.8, "{auc}");
        let mut names: Vec<&str> = telling.iter().take(2).map(|found| found.feature.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, [&*schema.features[2].name, &*schema.features[1].name]);
        assert!(tell(schema, &known, &rows(5, false), 1).unwrap().is_none());
    }
}
