//! The gate of `eval --require`: a figure of an evaluation compared with a number.

use std::fmt;
use std::str::FromStr;

use super::evaluation::Evaluation;
use crate::error::usage;
use crate::names::did_you_mean;

/// A comparison of a figure with a number, such as `accuracy>=0.9`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The comparison as it was written.
    text: String,
    /// Dotted name of the figure.
    figure: String,
    comparison: Comparison,
    bound: f64,
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
        let mut signs = Comparison::SIGNS.into_iter();
        let found = signs.find_map(|(sign, comparison)| Some((comparison, text.split_once(sign)?)));
        let (comparison, (figure, bound)) =
            found.ok_or("a requirement is FIGURE>=NUMBER, or with >, <=, < or ==")?;
        let bound = bound.trim().parse().map_err(|_| format!("{:?} is not a number", bound.trim()))?;
        Ok(Self { text: text.into(), figure: figure.trim().into(), comparison, bound })
    }
}

impl Requirement {
    /// Checks that an evaluation of this kind has the figure.
    ///
    /// # Errors
    /// A usage error with the nearest name and all names.
    pub(crate) fn check_name(&self, evaluation: &Evaluation) -> anyhow::Result<()> {
        let figures = evaluation.metrics.figures();
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        if names.contains(&self.figure.as_str()) {
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

    /// Says how the evaluation misses the requirement, if it does. An undefined figure meets none.
    fn miss(&self, evaluation: &Evaluation) -> Option<String> {
        let figures = evaluation.metrics.figures();
        let value = figures.iter().find(|(name, _)| *name == self.figure).and_then(|(_, value)| *value);
        if value.is_some_and(|value| self.comparison.holds(value, self.bound)) {
            return None;
        }
        let value = value.map_or("undefined".to_string(), |value| value.to_string());
        Some(format!("{} is {value}, required is {}", self.figure, self.text))
    }
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

/// Checks an evaluation against all requirements.
///
/// # Errors
/// Every requirement that is not met.
pub(crate) fn check(requirements: &[Requirement], evaluation: &Evaluation) -> Result<(), NotMet> {
    let misses: Vec<String> = requirements.iter().filter_map(|r| r.miss(evaluation)).collect();
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
            assert_eq!(check(&[requirement], &evaluation()).is_ok(), met, "{text}");
        }
    }

    #[test]
    fn all_that_is_missed_is_listed_and_an_undefined_figure_misses() {
        let requirements = ["r2<1", "mae<1", "mae>1"].map(|text| text.parse().unwrap());
        let missed = check(&requirements, &evaluation()).unwrap_err();
        assert_eq!(missed.to_string(), "r2 is undefined, required is r2<1\nmae is 0.5, required is mae>1");
    }

    #[test]
    fn a_name_of_another_task_is_a_usage_error_with_the_nearest_one() {
        let named = |text: &str| text.parse::<Requirement>().unwrap().check_name(&evaluation());
        assert!(named("mae>1").is_ok());
        let error = named("rsme<1").unwrap_err();
        assert!(crate::Error::is_usage(&error));
        assert!(error.to_string().contains("did you mean \"rmse\"?"), "{error}");
        assert!(named("accuracy>0.9").is_err());
        assert!("accuracy".parse::<Requirement>().unwrap_err().contains("FIGURE>=NUMBER"));
        assert!("accuracy>high".parse::<Requirement>().unwrap_err().contains("\"high\" is not a number"));
    }
}
