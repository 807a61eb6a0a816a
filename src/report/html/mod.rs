//! The report of `mlapi eval --report` and `GET /report`: one file of HTML that explains one model or compares several.
//!
//! [`page`] is the document around the sections, each other file some of the sections. Nothing is computed here. The page
//! loads nothing and runs nothing, its size is bounded whatever the number of rows, and a table stands behind every chart.

mod card;
mod curves;
pub(crate) mod drift;
mod errors;
mod failures;
mod features;
mod figures;
pub(crate) mod page;
mod steps;
pub(crate) mod subject;
mod tree;
mod verdict;
mod why;

use self::page::Page;
use self::subject::Subject;
use super::markup::shortened;

/// A JSON label without its quotes.
fn label(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The labels of curves.
fn labels<'a>(values: impl Iterator<Item = Option<&'a serde_json::Value>>) -> Vec<String> {
    values.map(|value| value.map_or(String::new(), label)).collect()
}

/// The report of models. `same_rows`: whether all were evaluated on the same rows.
pub(crate) fn report(subjects: &[Subject], same_rows: bool) -> String {
    let mut page = Page::default();
    let title = match subjects {
        [only] => {
            let evaluation = &only.detailed.evaluation;
            format!("{}: {} predicting {}", only.name, evaluation.algorithm, evaluation.target)
        }
        _ => format!("{} models compared", subjects.len()),
    };
    if subjects.len() > 1 {
        page.part("Comparison");
        page.push(&figures::leaderboard(subjects, same_rows));
    }
    for subject in subjects {
        page.part(if subjects.len() > 1 { &subject.name } else { "Summary" });
        page.push(&verdict::verdict(subject));
        sections(subject, &mut page);
    }
    page.html(&shortened(&title, 120), "mlapi eval --format json")
}

fn sections(subject: &Subject, page: &mut Page) {
    page.section("Metrics", |_| figures::metrics(subject));
    page.section("Compared with another model", |_| figures::comparison(subject));
    page.section("Classes", |ids| figures::classes(subject, ids));
    page.section("ROC and precision-recall", |ids| curves::curves(subject, ids));
    page.section("Calibration and probabilities", |ids| curves::calibration(subject, ids));
    let covered = if subject.has_classes() { "Prediction sets" } else { "Prediction intervals" };
    page.section(covered, |ids| steps::coverage(subject, ids));
    page.section("Gain and lift", |ids| curves::gain(subject, ids));
    page.section("Thresholds", |ids| figures::thresholds(subject, ids));
    page.section("Errors", |ids| errors::errors(subject, ids));
    page.section("Learning curve", |ids| failures::learning_curve(subject, ids));
    page.section("Ranking", |_| failures::ranking(subject));
    page.section("Segments", |ids| failures::segments(subject, ids));
    page.section("Weakest segments", |_| failures::weak(subject));
    page.section("Worst rows", |_| failures::worst(subject));
    page.section("Important columns", |ids| features::importances(subject, ids));
    page.section("Why", |ids| why::why(subject, ids));
    page.section("Dependence on columns", |ids| features::dependence(subject, ids));
    page.section("Associations", |ids| features::associations(subject, ids));
    page.section("Decision tree", |ids| tree::tree(subject, ids));
    page.section("How it was chosen", |_| card::chosen(subject));
    page.section("Model card", |_| card::card(subject));
}
