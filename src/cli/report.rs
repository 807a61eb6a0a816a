//! `--report` of `mlapi eval` and `mlapi train`: what a report asks for beyond what is printed, and the file it is written to.

use std::path::Path;

use anyhow::{Context, Result};

use super::args::{Eval, Train};
use super::term::Term;
use crate::error::usage;
use crate::model::evaluation::Positive;
use crate::model::evaluation::associations::Associations;
use crate::model::evaluation::comparison::{Comparison, compare};
use crate::model::evaluation::detail::{DetailedEvaluation, Wishes, evaluate_in_detail};
use crate::model::hold_out::TestRows;
use crate::model::{Model, file};
use crate::report::html;
use crate::report::html::subject::{Rows, Subject};

/// A model that was evaluated, or predictions made elsewhere.
pub(super) struct Evaluated {
    /// The file of the model, or of the predictions.
    pub(super) name: String,
    /// None for predictions made elsewhere.
    pub(super) model: Option<Model>,
    pub(super) detailed: DetailedEvaluation,
    pub(super) rows: Rows,
    /// Only for a report.
    pub(super) associations: Option<Associations>,
}

impl Evaluated {
    fn subject(&self) -> Subject<'_> {
        Subject {
            name: self.name.clone(),
            rows: self.rows.clone(),
            detailed: &self.detailed,
            model: self.model.as_ref().map(|model| (model, &model.card)),
            served: false,
            associations: self.associations.as_ref(),
        }
    }

    /// Whether two models were evaluated on the same rows.
    fn shares_rows_with(&self, other: &Self) -> bool {
        let same_target = self.detailed.evaluation.target == other.detailed.evaluation.target;
        let held_out_alike = || match (&self.model, &other.model) {
            (Some(own), Some(other)) => own.holds_out_as(other),
            _ => false,
        };
        same_target && (matches!(self.rows, Rows::File(_)) || held_out_alike())
    }
}

impl Eval {
    /// What a report needs, which is everything, beside what is printed.
    pub(super) fn with_report(&self, printed: &Wishes) -> Wishes {
        match self.detail.report {
            Some(_) => Wishes {
                by: printed.by.clone(),
                costs: printed.costs.clone(),
                ranking: printed.ranking.clone(),
                ..Wishes::all()
            },
            None => printed.clone(),
        }
    }

    /// Checks that several models have a report to be compared in.
    ///
    /// # Errors
    /// A usage error if there is none.
    pub(super) fn check_models(&self) -> Result<()> {
        if self.model.len() > 1 && self.detail.report.is_none() {
            return Err(usage("several --model are compared in a report: add --report FILE.html"));
        }
        Ok(())
    }

    /// Writes the report, if there is to be one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write_report(&self, all: &[Evaluated], term: &Term) -> Result<()> {
        let Some(path) = &self.detail.report else { return Ok(()) };
        let subjects: Vec<Subject> = all.iter().map(Evaluated::subject).collect();
        write(path, &subjects, all.iter().all(|one| one.shares_rows_with(&all[0])), term)
    }
}

/// Writes the report of models.
fn write(path: &str, subjects: &[Subject], same_rows: bool, term: &Term) -> Result<()> {
    let page = html::report(subjects, same_rows);
    file::write_atomically(Path::new(path), page.as_bytes()).context("--report")?;
    term.note(format!("the report is in {path}"));
    Ok(())
}

/// The model that a new one is to replace, and what was decided.
pub(super) struct Before {
    pub(super) model: Model,
    pub(super) decision: String,
}

/// Writes the report of a model that was just trained, on the rows that it held out, if there is to be one.
///
/// # Errors
/// Training files that cannot be read again, a file that cannot be written.
pub(super) fn of_training(args: &Train, model: &Model, before: Option<Before>, term: &Term) -> Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let (here, options) = (Path::new(""), args.dialect.options());
    let progress = term.progress("evaluating for the report");
    let told = progress.replicates();
    let (detailed, rows, associations) = if model.card.refit {
        // It has seen the rows that it held out before.
        (model.card.evaluation.clone().into(), Rows::Recorded, None)
    } else {
        let rows = TestRows::replay(model, here, &options).context("--report")?;
        let positive = Positive::default();
        let mut detailed = evaluate_in_detail(model, &rows, positive, &Wishes::all(), &told)?;
        let of_training = TestRows::replay_training(model, here, &options).and_then(|rows| {
            let wishes = Wishes { curves: true, ..Wishes::default() };
            evaluate_in_detail(model, &rows, positive, &wishes, &told)
        });
        detailed.training = of_training.ok().map(Box::new);
        if let Some(Before { model: old, decision }) = before {
            let name = format!("the old {}", args.output);
            // Models of other classes have no metrics to compare; what was decided stands nevertheless.
            let found = compare(model, positive, &name, &old, &rows, &told).ok();
            detailed.comparison = found.map(|found| Comparison { decision: Some(decision), ..found });
        }
        (detailed, Rows::HeldOut, Some(Associations::of_rows(model, &rows)?))
    };
    progress.finish();
    let subject = Subject {
        name: args.output.clone(),
        rows,
        detailed: &detailed,
        model: Some((model, &model.card)),
        served: false,
        associations: associations.as_ref(),
    };
    write(path, &[subject], true, term)
}

/// The parts of an evaluation that are printed, without those that only the report asked for.
pub(super) fn printed(detailed: &DetailedEvaluation, wishes: &Wishes, args: &Eval) -> DetailedEvaluation {
    let mut shown = detailed.clone();
    if args.detail.report.is_none() {
        return shown;
    }
    if !wishes.intervals {
        (shown.intervals, shown.class_intervals, shown.resampling) = (None, None, None);
    }
    if !wishes.curves {
        (shown.curves, shown.top_k, shown.residuals) = (None, None, None);
        (shown.thresholds, shown.best_threshold) = (None, None);
        (shown.before_calibration, shown.coverage_detail) = (None, None);
    }
    shown.weak_segments = shown.weak_segments.filter(|_| wishes.weak);
    shown.importances = shown.importances.filter(|_| wishes.importances);
    shown.dependence = shown.dependence.filter(|_| wishes.dependence);
    shown.worst = shown.worst.filter(|_| wishes.worst);
    shown.explanation = shown.explanation.filter(|_| wishes.explain);
    shown.training = shown.training.filter(|_| args.detail.detail && args.data.is_none());
    shown
}
