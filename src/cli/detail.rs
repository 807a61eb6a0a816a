//! The flags of `eval` beyond the metrics, as the library takes them.

use std::path::Path;

use anyhow::{Context, Result};

use super::args::{Eval, Format};
use super::term::Term;
use crate::error::usage;
use crate::model::evaluation::Positive;
use crate::model::evaluation::bootstrap::Told;
use crate::model::evaluation::comparison::{Comparison, compare};
use crate::model::evaluation::detail::{DetailedEvaluation, Wishes, evaluate_in_detail};
use crate::model::evaluation::elsewhere::{Columns, ScoredFile};
use crate::model::evaluation::learning_curve::LearningPoint;
use crate::model::evaluation::rank_groups::RankWish;
use crate::model::evaluation::thresholds::CostMatrix;
use crate::model::hold_out::TestRows;
use crate::model::learn::Watch;
use crate::model::learn::learning_curve::learning_curve;
use crate::model::requirement::Outcome;
use crate::model::{Model, file};
use crate::predict::ranked::score_of;
use crate::report::junit;

impl Eval {
    /// Checks what is asked for before any work.
    ///
    /// # Errors
    /// A usage error for a requirement that cannot be checked.
    pub(super) fn check_wishes(&self) -> Result<()> {
        if self.detail.compare.is_none()
            && let Some(requirement) = self.require.iter().find(|requirement| requirement.needs_comparison())
        {
            return Err(usage(format!("--require '{}' needs --compare OTHER.mlapi", requirement.text())));
        }
        if self.detail.rank_group.is_none()
            && let Some(requirement) =
                self.require.iter().find(|requirement| requirement.ranks_at().is_some())
        {
            return Err(usage(format!("--require '{}' needs --rank-group COL", requirement.text())));
        }
        Ok(())
    }

    /// The predictions made elsewhere, and the file they are in.
    ///
    /// # Errors
    /// A usage error for flags that are missing; a file that does not have what they name.
    pub(super) fn scored_file<'a>(&'a self, file: Option<&'a str>) -> Result<(&'a str, ScoredFile)> {
        let path = match (file, self.data.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(usage("--predictions FILE and DATA name two files; one is enough"));
            }
            (None, None) => return Err(usage("--predictions needs a file: mlapi eval FILE --predictions")),
            (Some(path), None) | (None, Some(path)) => path,
        };
        let Some(target) = self.detail.target.clone() else {
            return Err(usage("--predictions needs --target COL, the column of true values"));
        };
        let columns = Columns {
            target,
            prediction: self.detail.prediction.clone(),
            probabilities: self.detail.probability.clone(),
            positive: self.positive.clone(),
            threshold: self.threshold,
        };
        Ok((path, ScoredFile::read(path, &self.dialect.options(), &columns)?))
    }

    /// What is asked for of a model with these labels.
    ///
    /// # Errors
    /// CostMatrix that do not fit the labels.
    pub(super) fn wishes(
        &self,
        labels: &[String],
        positive: usize,
        recorded: Option<&crate::model::evaluation::Evaluation>,
        target: &str,
    ) -> Result<Wishes> {
        let detail = &self.detail;
        let costs = match (detail.cost, &detail.costs) {
            (Some(_), _) if labels.len() != 2 => {
                return Err(usage("--cost needs two classes; --costs FILE.csv takes any number"));
            }
            (Some(cost), _) => {
                Some(CostMatrix::of_mistakes(cost.false_positive, cost.false_negative, positive))
            }
            (None, Some(_)) if labels.is_empty() => return Err(usage("--costs needs a model of classes")),
            (None, Some(path)) => Some(CostMatrix::read(path, labels).context("--costs")?),
            (None, None) => None,
        };
        let mut by = detail.by.clone();
        let asked_for = recorded.into_iter().flat_map(|recorded| {
            self.require.iter().filter_map(|requirement| requirement.segment_column(recorded))
        });
        for column in asked_for {
            if !by.iter().any(|known| known == column) {
                by.push(column.into());
            }
        }
        let needs_intervals = self.require.iter().any(|requirement| requirement.needs_intervals());
        Ok(Wishes {
            intervals: detail.has_intervals() || needs_intervals,
            curves: self.format == Format::Json || detail.detail || detail.plot || costs.is_some(),
            by,
            weak: detail.weak,
            importances: detail.detail,
            dependence: detail.detail,
            worst: detail.detail,
            costs,
            ranking: self.ranking(labels, positive, target)?,
            explain: detail.explain,
        })
    }

    /// How rows are ordered within groups, if that is asked for.
    ///
    /// # Errors
    /// A usage error for a label that the model does not have.
    fn ranking(&self, labels: &[String], positive: usize, target: &str) -> Result<Option<RankWish>> {
        const AT: [usize; 2] = [5, 10];
        let Some(group) = self.detail.rank_group.clone() else { return Ok(None) };
        let score = match &self.detail.rank_by {
            None if labels.len() == 2 => positive,
            by => {
                let score = score_of(labels, target, by.as_deref());
                score.map_err(|error| usage(format!("--rank-by: {error}")))?
            }
        };
        let mut at: Vec<usize> = self.detail.rank_at.clone();
        if at.is_empty() {
            at.extend(AT);
        }
        at.extend(self.require.iter().filter_map(|requirement| requirement.ranks_at()?));
        at.sort_unstable();
        at.dedup();
        Ok(Some(RankWish { group, score, at }))
    }

    /// The training rows in the same way, if details are asked for and the rows can be read again.
    pub(super) fn training(
        &self,
        model: &Model,
        folder: &Path,
        positive: Positive,
        told: Told,
    ) -> Option<Box<DetailedEvaluation>> {
        if self.detail.report.is_none() && (!self.detail.detail || self.data.is_some()) {
            return None;
        }
        let rows = TestRows::replay_training(model, folder, &self.dialect.options()).ok()?;
        // A report shows no intervals of them, and they take as long as those of the held-out rows.
        let intervals = self.detail.report.is_none() && self.detail.has_intervals();
        let wishes = Wishes { intervals, curves: true, by: self.detail.by.clone(), ..Wishes::default() };
        evaluate_in_detail(model, &rows, positive, &wishes, told).ok().map(Box::new)
    }

    /// The learning curve, if it is asked for.
    ///
    /// # Errors
    /// Training files that cannot be read again.
    pub(super) fn learning_curve(
        &self,
        model: &Model,
        folder: &Path,
        watch: &dyn Watch,
    ) -> Result<Option<Vec<LearningPoint>>> {
        if !self.detail.learning_curve {
            return Ok(None);
        }
        let points = learning_curve(model, folder, &self.dialect.options(), watch);
        points.map(Some).context("--learning-curve")
    }

    /// The comparison that is asked for.
    ///
    /// # Errors
    /// Another model that cannot be read, or that predicts something else.
    pub(super) fn comparison(
        &self,
        model: &Model,
        positive: Positive,
        rows: &TestRows,
        term: &Term,
    ) -> Result<Option<Comparison>> {
        let Some(path) = &self.detail.compare else { return Ok(None) };
        let other = Model::open_within(path, self.limit.max_model_bytes)?;
        if self.data.is_none() && !model.holds_out_as(&other) {
            term.warn(format!(
                "{path} held out other rows at training, so it may have learned from those that both are compared on; \
                 a file that neither has seen compares them fairly: mlapi eval DATA --compare {path}"
            ));
        }
        let progress = term.progress("comparing the models, by bootstrap");
        let found = compare(model, positive, path, &other, rows, &progress.replicates());
        progress.finish();
        found.map(Some)
    }

    /// Checks all requirements.
    pub(super) fn outcomes(&self, found: &DetailedEvaluation) -> Vec<Outcome> {
        self.require.iter().map(|requirement| requirement.outcome(found)).collect()
    }

    /// Writes the outcomes for a CI system, if that is asked for.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write_junit(&self, name: &str, outcomes: &[Outcome]) -> Result<()> {
        let Some(path) = &self.detail.junit else { return Ok(()) };
        let text = junit::document(&format!("mlapi eval {name}"), outcomes);
        file::write_atomically(Path::new(path), text.as_bytes()).context("--junit")
    }
}
