//! A shadow model scores the same rows as the model that answers, later and on a thread of its own; its answers are
//! never sent, disagreements are counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::data::cells::cell::{Cell, ColumnType, Task};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::text::Texts;
use crate::model::Model;
use crate::model::pipeline::{Decision, Predictions};
use crate::server::observe::telemetry::ShadowCounts;

/// Requests that may wait for the shadow model; more are not compared.
const MAX_QUEUED: usize = 256;

/// Bytes of the rows that may wait for the shadow model, their texts and predictions included.
const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;

/// A relative difference of up to this is not a disagreement of numbers.
const TOLERANCE: f64 = 0.01;

/// The queue of a shadow model.
#[derive(Debug)]
pub(crate) struct Shadow {
    queue: SyncSender<(Matrix, Predictions, Option<Decision>)>,
    /// Its counters.
    pub(crate) counts: Arc<ShadowCounts>,
}

/// For each feature of the shadow model: its position among the model's features, and the new code of each category
/// code.
struct Translation(Vec<(usize, Option<Vec<f64>>)>);

impl Translation {
    fn new(from: &Schema, to: &Schema) -> Result<Self> {
        let columns = to.features.iter().enumerate().map(|(i, feature)| {
            let at = from.feature_index(&feature.name, i);
            let at = at.with_context(|| format!("the model has no feature {:?}", feature.name))?;
            let source = &from.features[at];
            ensure!(
                source.column_type == feature.column_type,
                "feature {:?} is a {} to the model and a {} to the shadow",
                feature.name,
                source.column_type.name(),
                feature.column_type.name()
            );
            let is_category = feature.column_type == ColumnType::Category;
            // A category adds no text.
            let mut none = Texts::default();
            let code =
                |level: &String| feature.code(Cell::Text(level), &mut none).map_err(anyhow::Error::msg);
            let levels = is_category.then(|| source.levels.iter().map(code).collect::<Result<Vec<f64>>>());
            Ok((at, levels.transpose()?))
        });
        Ok(Self(columns.collect::<Result<_>>()?))
    }

    /// Translates rows of the model's codes into the shadow model's. A category that the model has not seen stays
    /// unseen: its text is gone.
    fn apply(&self, codes: &Matrix) -> Matrix {
        let mut out = Matrix::with_capacity(codes.n_rows(), self.0.len());
        out.texts_mut().clone_from(codes.texts());
        for row in codes.rows() {
            let translated = out.push_row(0.0);
            for ((at, levels), cell) in self.0.iter().zip(translated) {
                let code = row[*at];
                *cell = match levels {
                    Some(levels) if code >= 0.0 => levels.get(code as usize).copied().unwrap_or(code),
                    _ => code,
                };
            }
        }
        out
    }
}

/// The memory of rows and their predictions.
fn bytes_of(codes: &Matrix, predictions: &Predictions) -> usize {
    let numbers = codes.values().len() + predictions.scores.values().len() + predictions.classes.len();
    numbers * size_of::<f64>() + codes.texts().bytes()
}

impl Shadow {
    /// Starts a shadow model.
    ///
    /// # Errors
    /// The two models differ in task or columns, or no thread can be started.
    pub(crate) fn start(schema: &Schema, shadow: Model, counts: Arc<ShadowCounts>) -> Result<Self> {
        let target = &shadow.pipeline.schema.target;
        ensure!(target.task == schema.target.task, "model and shadow do not have the same task");
        let translation = Translation::new(schema, &shadow.pipeline.schema)?;
        // The model's class for each class of the shadow model; `None` for a label that the model does not have.
        let position = |label: &String| schema.target.labels.iter().position(|other| other == label);
        let classes: Vec<Option<usize>> = target.labels.iter().map(position).collect();
        let same_labels = target.labels == schema.target.labels;
        let (queue, batches) = sync_channel::<(Matrix, Predictions, Option<Decision>)>(MAX_QUEUED);
        let (counted, task) = (Arc::clone(&counts), target.task);
        let compare = move || {
            crate::server::work::step_back();
            for (codes, answered, decision) in batches {
                let decision = decision.filter(|_| same_labels).unwrap_or_else(|| shadow.pipeline.decision());
                let own = shadow.pipeline.predict(&translation.apply(&codes), decision);
                let differ = (0..codes.n_rows()).filter(|&row| match task {
                    Task::Classification => {
                        classes[own.classes[row] as usize] != Some(answered.classes[row] as usize)
                    }
                    Task::Regression => {
                        let (a, b) = (answered.scores.row(row)[0], own.scores.row(row)[0]);
                        (a - b).abs() > TOLERANCE * a.abs()
                    }
                });
                counted.disagreements.fetch_add(differ.count() as u64, Relaxed);
                counted.rows.fetch_add(codes.n_rows() as u64, Relaxed);
                counted.queued_bytes.fetch_sub(bytes_of(&codes, &answered), Relaxed);
            }
        };
        thread::Builder::new().name("shadow".into()).spawn(compare).context("cannot start a thread")?;
        Ok(Self { queue, counts })
    }

    /// Queues rows of codes that were answered with `predictions` for the shadow model, unless too many wait. Without a
    /// decision of the request the shadow model makes its own.
    pub(crate) fn compare(&self, codes: &Matrix, predictions: &Predictions, decision: Option<Decision>) {
        let bytes = bytes_of(codes, predictions);
        let fits = self.counts.queued_bytes.fetch_add(bytes, Relaxed) + bytes <= MAX_QUEUED_BYTES;
        if !fits || self.queue.try_send((codes.clone(), predictions.clone(), decision)).is_err() {
            self.counts.queued_bytes.fetch_sub(bytes, Relaxed);
            self.counts.dropped.fetch_add(codes.n_rows() as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::json;
    use crate::model::file;
    use crate::server::models::served::tests::{ROW, penguins};

    #[test]
    fn a_model_agrees_with_itself_on_every_row() {
        let model = penguins();
        let schema = &model.pipeline.schema;
        let counts = Arc::new(ShadowCounts::default());
        let shadow = Shadow::start(schema, penguins(), Arc::clone(&counts)).unwrap();
        let body = format!("{{\"data\":[{ROW},{ROW}]}}");
        let codes = json::read_request(body.as_bytes(), schema, 10).unwrap().codes;
        let decision = Decision::MostProbable;
        let mut predictions = model.pipeline.predict(&codes, decision);
        shadow.compare(&codes, &predictions, None);
        predictions.classes[1] ^= 1;
        shadow.compare(&codes, &predictions, None);
        while counts.rows.load(Relaxed) < 4 {
            thread::yield_now();
        }
        assert_eq!((counts.disagreements.load(Relaxed), counts.dropped.load(Relaxed)), (1, 0));
    }

    #[test]
    fn the_texts_of_rows_that_wait_count_and_rows_beyond_the_limit_are_dropped() {
        let model = penguins();
        let schema = &model.pipeline.schema;
        let body = format!("{{\"data\":[{ROW}]}}");
        let mut codes = json::read_request(body.as_bytes(), schema, 10).unwrap().codes;
        let predictions = model.pipeline.predict(&codes, Decision::MostProbable);
        let small = bytes_of(&codes, &predictions);
        codes.texts_mut().push(&"x".repeat(MAX_QUEUED_BYTES / 2));
        let bytes = bytes_of(&codes, &predictions);
        assert!(small < 500 && bytes > MAX_QUEUED_BYTES / 2, "{small} and {bytes}");
        // The receiving end stands still.
        let (queue, waiting) = sync_channel(MAX_QUEUED);
        let shadow = Shadow { queue, counts: Arc::default() };
        (0..9).for_each(|_| shadow.compare(&codes, &predictions, None));
        assert_eq!(waiting.try_iter().count(), 1);
        assert_eq!(
            (shadow.counts.dropped.load(Relaxed), shadow.counts.queued_bytes.load(Relaxed)),
            (8, bytes)
        );
    }

    #[test]
    fn models_of_different_tasks_are_not_compared() {
        let rentals = file::load("fixtures/models/format-3-dates.mlapi").unwrap();
        assert!(Shadow::start(&penguins().pipeline.schema, rentals, Arc::default()).is_err());
    }
}
