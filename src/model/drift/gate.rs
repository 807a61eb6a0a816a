//! The gate of `drift --require`: figures of drift compared with numbers.

use std::str::FromStr;

use super::{Drift, Verdict};
use crate::error::{Unmet, usage};
use crate::names::did_you_mean;
use crate::printable::figure_that_misses;

/// The figures that may be compared.
const FIGURES: [&str; 6] = ["psi", "missing", "unseen", "drifted", "predictions.psi", "domain_auc"];

/// The signs; one comes before those that it begins with.
const SIGNS: [&str; 5] = ["<=", ">=", "==", "<", ">"];

/// A comparison such as `psi<0.2`, `psi[age]<0.1` or `drifted<=0`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    text: String,
    figure: String,
    feature: Option<String>,
    sign: &'static str,
    bound: f64,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The last sign, as a name of a feature may hold one.
        let signs = SIGNS.iter().filter_map(|sign| Some((text.rfind(sign)?, *sign)));
        // Of those that end at one place, the longest.
        let found = signs.max_by_key(|(at, sign)| (at + sign.len(), sign.len()));
        let (at, sign) = found.ok_or("a requirement is FIGURE<NUMBER, or with <=, >=, > or ==")?;
        let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
        let bound = right.parse().map_err(|_| format!("{right:?} is not a number"))?;
        let (figure, feature) = match left.split_once('[') {
            Some((figure, rest)) => {
                let feature = rest.strip_suffix(']').ok_or("a feature stands in brackets: psi[age]<0.2")?;
                (figure, Some(feature.to_string()))
            }
            None => (left, None),
        };
        Ok(Self { text: text.into(), figure: figure.into(), feature, sign, bound })
    }
}

impl Requirement {
    /// Checks that there is such a figure, and such a feature.
    ///
    /// # Errors
    /// A usage error with the nearest name and all names.
    pub(crate) fn check_name(&self, features: &[&str]) -> anyhow::Result<()> {
        let of_feature = ["psi", "missing", "unseen"].contains(&self.figure.as_str());
        if !FIGURES.contains(&self.figure.as_str()) || (self.feature.is_some() && !of_feature) {
            let hint = did_you_mean(&self.figure, FIGURES.iter().copied());
            return Err(usage(format!(
                "--require {}: {:?} is not a figure of drift{hint}\nknown are: {}; of one feature psi[NAME], \
                 missing[NAME] and unseen[NAME]",
                self.text,
                self.figure,
                FIGURES.join(", ")
            )));
        }
        match &self.feature {
            Some(name) if !features.contains(&name.as_str()) => {
                let hint = did_you_mean(name, features.iter().copied());
                Err(usage(format!("--require {}: {name:?} is not a feature of the model{hint}", self.text)))
            }
            _ => Ok(()),
        }
    }

    /// The figure; of several features the largest. An undefined one meets no requirement.
    fn value(&self, drift: &Drift) -> Option<f64> {
        let features = drift.features.iter();
        let named = features.filter(|f| self.feature.as_ref().is_none_or(|name| *name == f.feature));
        let largest = |values: &mut dyn Iterator<Item = Option<f64>>| values.flatten().reduce(f64::max);
        match self.figure.as_str() {
            "psi" => largest(&mut named.map(|f| f.psi)),
            "missing" => largest(&mut named.map(|f| f.missing.new)),
            "unseen" => largest(&mut named.map(|f| Some(f.unseen))),
            "drifted" => {
                drift.verdict?;
                Some(named.filter(|f| f.verdict == Some(Verdict::Drifted)).count() as f64)
            }
            "predictions.psi" => drift.predictions.psi,
            _ => drift.domain_auc,
        }
    }

    /// Says how the rows miss the requirement, if they do.
    fn miss(&self, drift: &Drift) -> Option<String> {
        let value = self.value(drift);
        let holds = |value: f64| match self.sign {
            "<=" => value <= self.bound,
            ">=" => value >= self.bound,
            "==" => value == self.bound,
            "<" => value < self.bound,
            _ => value > self.bound,
        };
        if value.is_some_and(holds) {
            return None;
        }
        let shown = figure_that_misses(value, holds);
        let of = self.feature.as_ref().map(|name| format!("[{name}]")).unwrap_or_default();
        Some(format!("{}{of} is {shown}, required is {}", self.figure, self.text))
    }
}

/// Checks drift against all requirements.
///
/// # Errors
/// Those that are not met.
pub(crate) fn check(requirements: &[Requirement], drift: &Drift) -> Result<(), Unmet> {
    let misses: Vec<String> = requirements.iter().filter_map(|requirement| requirement.miss(drift)).collect();
    if misses.is_empty() { Ok(()) } else { Err(Unmet(misses.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_names_a_figure_and_maybe_a_feature() {
        let parse = |text: &str| text.parse::<Requirement>();
        let found = parse("psi[a<b]<=0.2").unwrap();
        assert_eq!((found.figure.as_str(), found.feature.as_deref(), found.sign), ("psi", Some("a<b"), "<="));
        assert_eq!(parse("domain_auc < 0.7").unwrap().bound, 0.7);
        assert!(parse("psi").is_err() && parse("psi<x").is_err() && parse("psi[a<1").is_err());
        found.check_name(&["a<b"]).unwrap();
        let error = found.check_name(&["a<c"]).unwrap_err().to_string();
        assert!(error.contains("is not a feature"), "{error}");
        let error = parse("pse<1").unwrap().check_name(&[]).unwrap_err().to_string();
        assert!(error.contains("psi"), "{error}");
        assert!(parse("drifted[a]<1").unwrap().check_name(&["a"]).is_err());
    }
}
