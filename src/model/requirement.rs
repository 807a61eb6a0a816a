//! The gate of `eval --require`: a figure of an evaluation compared with a number, or with another model.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::evaluation::comparison::Verdict;
use super::evaluation::detail::DetailedEvaluation;
use super::evaluation::rank_groups::figure_at;
use super::evaluation::{ClassRow, Evaluation};
use crate::error::usage;
use crate::names::did_you_mean;
use crate::plain;
use crate::printable::{figure, figure_that_misses};

/// The metrics that classes have of their own.
const OF_CLASSES: [&str; 3] = ["precision", "recall", "f1"];

/// A requirement, such as `accuracy>=0.9`, `lower(recall[malignant])>0.8`, `mae[island=Biscoe]<300` or
/// `accuracy not worse`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// As it was written.
    text: String,
    /// Dotted name of the figure.
    figure: String,
    /// The end of its interval, in place of itself.
    end: Option<End>,
    /// A class (`LABEL`) or a segment (`COL=VALUE`), in place of all rows.
    part: Option<String>,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Lower,
    Upper,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    Bound(Comparison, f64),
    /// Than another model.
    NotWorse,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    AtLeast,
    AtMost,
    Equal,
    Above,
    Below,
}

impl Comparison {
    /// Each with its sign; a sign comes before those that it begins with.
    const SIGNS: [(&str, Self); 5] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("==", Self::Equal),
        (">", Self::Above),
        ("<", Self::Below),
    ];

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtLeast => value >= bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
            Self::Above => value > bound,
            Self::Below => value < bound,
        }
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (subject, test) = match text.trim().strip_suffix("not worse") {
            Some(figure) => (figure, Test::NotWorse),
            None => {
                // Labels and values may have signs in them.
                let (before, after) = text.split_at(text.rfind([']', ')']).map_or(0, |at| at + 1));
                let mut signs = Comparison::SIGNS.into_iter();
                let found = signs.find_map(|(sign, comparison)| Some((comparison, after.split_once(sign)?)));
                let (comparison, (rest, bound)) = found.ok_or(
                    "a requirement is FIGURE>=NUMBER, or with >, <=, < or ==, or \"FIGURE not worse\"",
                )?;
                let bound =
                    bound.trim().parse().map_err(|_| format!("{:?} is not a number", bound.trim()))?;
                (&text[..before.len() + rest.len()], Test::Bound(comparison, bound))
            }
        };
        let subject = subject.trim();
        let within =
            |name: &str| subject.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')');
        let (end, subject) = match (within("lower"), within("upper")) {
            (Some(inner), _) => (Some(End::Lower), inner.trim()),
            (_, Some(inner)) => (Some(End::Upper), inner.trim()),
            _ => (None, subject),
        };
        let part = subject.strip_suffix(']').and_then(|subject| subject.split_once('['));
        if test == Test::NotWorse && (end.is_some() || part.is_some()) {
            return Err("\"not worse\" is about a figure of all rows, such as \"accuracy not worse\"".into());
        }
        Ok(Self {
            text: text.into(),
            figure: part.map_or(subject, |(figure, _)| figure).trim().into(),
            end,
            part: part.map(|(_, part)| part.trim().into()),
            test,
        })
    }
}

/// What became of a requirement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The requirement as it was written.
    pub require: String,
    /// Whether it is met.
    pub met: bool,
    /// The figure; none if it is undefined.
    pub value: Option<f64>,
    /// What is required and found, unless it is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miss: Option<String>,
}

impl Requirement {
    /// Checks that an evaluation of this kind has the figure.
    ///
    /// # Errors
    /// A usage error with the nearest name and all names.
    pub(crate) fn check_name(&self, evaluation: &Evaluation) -> anyhow::Result<()> {
        if self.ranks_at().is_some() {
            return match (&self.part, self.test) {
                (Some(_), _) => Err(usage(format!(
                    "--require {}: {} is a figure of all groups and has no parts",
                    self.text, self.figure
                ))),
                (_, Test::NotWorse) => {
                    Err(usage(format!("--require {}: --compare has no figures of rankings", self.text)))
                }
                _ => Ok(()),
            };
        }
        let figures = evaluation.metrics.figures();
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        let is_of_class = self.class(evaluation).is_some();
        if let Some(part) = &self.part
            && !is_of_class
            && !part.contains('=')
        {
            let labels: Vec<String> = evaluation.classes.iter().flatten().map(label).collect();
            let hint = did_you_mean(part, labels.iter().map(String::as_str));
            let what = if OF_CLASSES.contains(&self.figure.as_str()) {
                format!("{part:?} is not a class of the model{hint}")
            } else {
                format!(
                    "classes have {} of their own, segments (COL=VALUE) have all figures",
                    OF_CLASSES.join(", ")
                )
            };
            return Err(usage(format!("--require {}: {what}", self.text)));
        }
        if is_of_class && self.end.is_some() && self.figure == "f1" {
            return Err(usage(format!("--require {}: the f1 of a class has no interval", self.text)));
        }
        if is_of_class || names.contains(&self.figure.as_str()) {
            return Ok(());
        }
        let hint = did_you_mean(&self.figure, names.iter().copied());
        Err(usage(format!(
            "--require {}: {:?} is not a figure of this evaluation{hint}\nknown are: {}",
            self.text,
            self.figure,
            names.join(", ")
        )))
    }

    /// The class that it is about, by its place.
    fn class(&self, evaluation: &Evaluation) -> Option<usize> {
        let part = self.part.as_ref().filter(|_| OF_CLASSES.contains(&self.figure.as_str()))?;
        evaluation.classes.as_ref()?.iter().position(|class| plain::same(&label(class), part))
    }

    /// The column of the segment that it is about.
    pub(crate) fn segment_column(&self, evaluation: &Evaluation) -> Option<&str> {
        let part = self.part.as_ref().filter(|_| self.class(evaluation).is_none())?;
        Some(part.split_once('=')?.0.trim())
    }

    /// Whether it is about the interval of a figure.
    pub(crate) fn needs_intervals(&self) -> bool {
        self.end.is_some()
    }

    /// The length k of the figure of rankings that it is about, if it is about one; `mrr` has none.
    pub(crate) fn ranks_at(&self) -> Option<Option<usize>> {
        figure_at(&self.figure)
    }

    /// Whether it is about another model.
    pub(crate) fn needs_comparison(&self) -> bool {
        self.test == Test::NotWorse
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The figure, or the end of its interval.
    fn value(&self, found: &DetailedEvaluation) -> Option<f64> {
        let evaluation = &found.evaluation;
        let end = |interval: [f64; 2], end| if end == End::Lower { interval[0] } else { interval[1] };
        if self.ranks_at().is_some() {
            let (value, interval) = found.ranking.as_ref()?.of(&self.figure)?;
            return self.end.map_or(value, |which| interval.map(|interval| end(interval, which)));
        }
        if let Some(class) = self.class(evaluation) {
            let metrics = evaluation.classes.as_ref()?[class].metrics;
            return match (self.end, self.figure.as_str()) {
                (None, "precision") => Some(metrics.precision),
                (None, "recall") => Some(metrics.recall),
                (None, _) => Some(metrics.f1),
                (Some(which), figure) => {
                    let intervals = &found.class_intervals.as_ref()?[class];
                    let interval = if figure == "precision" { intervals.precision } else { intervals.recall };
                    interval.map(|interval| end(interval, which))
                }
            };
        }
        let (metrics, intervals) = match self.part.as_ref().map(|part| part.split_once('=')) {
            None => (&evaluation.metrics, found.intervals.as_ref()),
            Some(named) => {
                let (column, value) = named?;
                let is_it = |segment: &&super::evaluation::segments::Segment| {
                    plain::same(&segment.column, column.trim()) && plain::same(&segment.value, value)
                };
                let segment = found.segments.as_ref()?.iter().find(is_it)?;
                (&segment.metrics, segment.intervals.as_ref())
            }
        };
        match self.end {
            Some(which) => intervals?.of(&self.figure).map(|interval| end(interval, which)),
            None => {
                metrics.figures().iter().find(|(name, _)| *name == self.figure).and_then(|(_, value)| *value)
            }
        }
    }

    /// Compares the evaluation with the requirement. An undefined figure meets none.
    pub(crate) fn outcome(&self, found: &DetailedEvaluation) -> Outcome {
        let value = self.value(found);
        let miss = match self.test {
            Test::Bound(comparison, bound) if value.is_some_and(|value| comparison.holds(value, bound)) => {
                None
            }
            Test::Bound(comparison, bound) => {
                let shown = figure_that_misses(value, |value| comparison.holds(value, bound));
                let of_figure = match (self.end, &self.part) {
                    (None, None) => self.figure.clone(),
                    _ => self.subject(),
                };
                let known =
                    self.known_segments(found).map_or(String::new(), |known| format!(" (segments: {known})"));
                Some(format!("{of_figure} is {shown}{known}, required is {}", self.text))
            }
            Test::NotWorse => {
                let comparison = found.comparison.as_ref();
                let difference = comparison
                    .and_then(|all| all.metrics.iter().find(|(name, _)| *name == self.figure))
                    .map(|(_, difference)| difference);
                match difference {
                    None => Some(format!(
                        "the difference in {} is undefined, required is {}",
                        self.figure, self.text
                    )),
                    Some(difference) if difference.verdict != Verdict::Worse => None,
                    Some(difference) => Some(format!(
                        "{} is {}, of the other model it is {}, required is {}",
                        self.figure,
                        figure(Some(difference.value)),
                        figure(Some(difference.other)),
                        self.text
                    )),
                }
            }
        };
        Outcome { require: self.text.clone(), met: miss.is_none(), value, miss }
    }

    /// The segments of its column, if it names none of them.
    fn known_segments(&self, found: &DetailedEvaluation) -> Option<String> {
        let (column, value) = self.part.as_ref()?.split_once('=')?;
        let of_column: Vec<&str> = found
            .segments
            .iter()
            .flatten()
            .filter(|segment| plain::same(&segment.column, column.trim()))
            .map(|segment| segment.value.as_str())
            .collect();
        let is_known = of_column.iter().any(|known| plain::same(known, value));
        (!of_column.is_empty() && !is_known).then(|| of_column.join(", "))
    }

    /// The figure, the end of its interval and the part as they are written.
    fn subject(&self) -> String {
        let part = self.part.as_ref().map_or(String::new(), |part| format!("[{part}]"));
        match self.end {
            None => format!("{}{part}", self.figure),
            Some(End::Lower) => format!("lower({}{part})", self.figure),
            Some(End::Upper) => format!("upper({}{part})", self.figure),
        }
    }
}

/// The label of a class as text.
fn label(class: &ClassRow) -> String {
    class.label.as_str().map_or_else(|| class.label.to_string(), str::to_string)
}

/// Some requirements are not met; the text has a line for each. The command line ends with exit status 3.
#[derive(Debug)]
pub(crate) struct NotMet(String);

impl fmt::Display for NotMet {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotMet {}

/// Checks the outcomes of all requirements.
///
/// # Errors
/// Every requirement that is not met.
pub(crate) fn check(outcomes: &[Outcome]) -> Result<(), NotMet> {
    let misses: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.miss.as_deref()).collect();
    if misses.is_empty() { Ok(()) } else { Err(NotMet(misses.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::metrics::regression;
    use crate::model::evaluation::Metrics;

    /// One row, so `r2` is undefined; `mae` is 0.5.
    fn evaluation() -> Evaluation {
        let metrics = Metrics::Regression(regression(&[1.0], &[1.5]));
        Evaluation {
            n_zero_probability: 0,
            task: Task::Regression,
            algorithm: "ridge".into(),
            target: "y".into(),
            n_rows: 1,
            positive: None,
            threshold: None,
            coverage: None,
            unknown_labels: None,
            baseline: metrics.clone(),
            metrics,
            classes: None,
            confusion_matrix: None,
        }
    }

    #[test]
    fn every_comparison_holds_on_its_side_of_the_bound_alone() {
        for (text, met) in [
            ("mae>=0.5", true),
            ("mae>0.5", false),
            ("mae<=0.5", true),
            ("mae<0.5", false),
            ("mae==0.5", true),
            (" mae < 0.51 ", true),
            ("mae>=nan", false),
        ] {
            let requirement: Requirement = text.parse().unwrap();
            assert_eq!(requirement.outcome(&evaluation().into()).met, met, "{text}");
        }
    }

    #[test]
    fn all_that_is_missed_is_listed_and_an_undefined_figure_misses() {
        let requirements = ["r2<1", "mae<1", "mae>1"].map(|text| text.parse::<Requirement>().unwrap());
        let missed = check(&requirements.map(|one| one.outcome(&evaluation().into()))).unwrap_err();
        assert_eq!(missed.to_string(), "r2 is undefined, required is r2<1\nmae is 0.5000, required is mae>1");
    }

    #[test]
    fn a_name_of_another_task_is_a_usage_error_with_the_nearest_one() {
        let named = |text: &str| text.parse::<Requirement>().unwrap().check_name(&evaluation());
        assert!(named("mae>1").is_ok());
        let error = named("rsme<1").unwrap_err();
        assert!(crate::Error::is_usage(&error));
        assert!(error.to_string().contains("did you mean \"rmse\"?"), "{error}");
        assert!(named("accuracy>0.9").is_err());
        assert!(named("lower(mae[island=Biscoe])>1").is_ok());
        assert!(named("recall[yes]>1").unwrap_err().to_string().contains("\"yes\" is not a class"));
        assert!(named("mae[yes]>1").unwrap_err().to_string().contains("segments (COL=VALUE)"));
        assert!("accuracy".parse::<Requirement>().unwrap_err().contains("FIGURE>=NUMBER"));
        assert!("accuracy>high".parse::<Requirement>().unwrap_err().contains("\"high\" is not a number"));
    }

    #[test]
    fn ends_of_intervals_classes_and_segments_are_read_with_signs_in_their_names() {
        let read = |text: &str| text.parse::<Requirement>().unwrap();
        let lower = read(" lower( recall[<=50K] ) >= 0.9");
        assert_eq!(
            (lower.figure.as_str(), lower.part.as_deref(), lower.end),
            ("recall", Some("<=50K"), Some(End::Lower))
        );
        assert_eq!(lower.test, Test::Bound(Comparison::AtLeast, 0.9));
        assert_eq!(lower.subject(), "lower(recall[<=50K])");
        let segment = read("mae[age=> 30]<2");
        assert_eq!(
            (segment.part.as_deref(), segment.test),
            (Some("age=> 30"), Test::Bound(Comparison::Below, 2.0))
        );
        let not_worse = read("f1.macro not worse");
        assert_eq!((not_worse.figure.as_str(), not_worse.test), ("f1.macro", Test::NotWorse));
        assert!("recall[a] not worse".parse::<Requirement>().is_err());
    }
}
