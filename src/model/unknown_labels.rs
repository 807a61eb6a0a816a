//! Labels of an evaluation that its model does not know: a spelling of another file, or a class that training did not
//! see. Their rows count as wrong, as scikit-learn's `accuracy_score` counts them, and are named.

use serde::{Deserialize, Serialize};

use super::scalar;
use crate::data::cells::target::{Target, Truth};
use crate::names::{is_worth_seeking, nearest, quote};
use crate::order;

/// Labels that are listed, those of most rows first; the others are counted.
const MAX_LISTED: usize = 20;

/// Labels that a message for people names.
const MAX_NAMED: usize = 5;

/// A label that the model does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnknownLabel {
    /// The label, with the type it has in JSON.
    #[serde(deserialize_with = "scalar::one")]
    pub label: serde_json::Value,
    /// Its rows.
    pub n_rows: usize,
    /// The label of the model that is nearest to it, if one is near.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalar::some")]
    pub nearest: Option<serde_json::Value>,
}

/// What became of the rows of these labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountedAs {
    /// Every prediction for them is wrong; in the log loss, their label has the probability 0.
    Wrong,
}

/// The labels of an evaluation that the model does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnknownLabels {
    /// Rows with such a label.
    pub n_rows: usize,
    /// How they are counted in the metrics.
    pub counted_as: CountedAs,
    /// Number of these labels.
    pub n_labels: usize,
    /// The labels, those of most rows first.
    pub labels: Vec<UnknownLabel>,
}

impl UnknownLabels {
    /// Those of `truth`, whose first labels are the target's; `None` if the model knows all.
    pub(crate) fn of(truth: &Truth, target: &Target) -> Option<Self> {
        let Truth::Classes { codes, labels } = truth else { return None };
        let known = &target.labels;
        let mut counts = vec![0; labels.len().saturating_sub(known.len())];
        let unknown = |code: &u32| (*code as usize).checked_sub(known.len());
        codes.iter().filter_map(unknown).for_each(|at| counts[at] += 1);
        let mut found: Vec<(usize, &String)> =
            counts.into_iter().zip(&labels[known.len()..]).filter(|(n, _)| *n > 0).collect();
        order::sort_by(&mut found, |a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let listed = found.iter().take(MAX_LISTED).enumerate().map(|(i, &(n_rows, label))| {
            let near =
                is_worth_seeking(i, known.len()).then(|| nearest(label, known.iter().map(String::as_str)));
            UnknownLabel {
                label: target.json_label(label),
                n_rows,
                nearest: near.flatten().map(|near| target.json_label(near)),
            }
        });
        (!found.is_empty()).then(|| Self {
            n_rows: found.iter().map(|(n, _)| n).sum(),
            counted_as: CountedAs::Wrong,
            n_labels: found.len(),
            labels: listed.collect(),
        })
    }

    /// The labels for people: each with its rows and the nearest known one.
    pub(crate) fn listed(&self) -> String {
        let name = |unknown: &UnknownLabel| {
            let shown = |value: &serde_json::Value| match value.as_str() {
                Some(text) => quote(text),
                None => value.to_string(),
            };
            let rows = if unknown.n_rows == 1 { "row" } else { "rows" };
            let hint = unknown.nearest.as_ref().map(|near| format!("; did you mean {}?", shown(near)));
            format!("{} ({} {rows}{})", shown(&unknown.label), unknown.n_rows, hint.unwrap_or_default())
        };
        let mut names: Vec<String> = self.labels.iter().take(MAX_NAMED).map(name).collect();
        if self.n_labels > names.len() {
            names.push(format!("{} more", self.n_labels - names.len()));
        }
        names.join(", ")
    }

    /// The remark on an evaluation of `n_rows` rows.
    pub(crate) fn remark(&self, n_rows: usize) -> String {
        format!(
            "{} of {n_rows} rows evaluated have a label that the model does not know; they count as wrong: {}",
            self.n_rows,
            self.listed()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;

    fn strings(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| label.to_string()).collect()
    }

    fn target(labels: &[&str], numeric_labels: bool) -> Target {
        Target {
            name: "y".into(),
            task: Task::Classification,
            labels: strings(labels),
            numeric_labels,
            notation: None,
        }
    }

    #[test]
    fn labels_are_listed_by_their_rows_with_the_nearest_known_one() {
        let truth = Truth::Classes {
            codes: vec![0, 2, 3, 3, 1, 4],
            labels: strings(&["<=50K", ">50K", "?x", ">50K.", "<=50K."]),
        };
        let found = UnknownLabels::of(&truth, &target(&["<=50K", ">50K"], false)).unwrap();
        assert_eq!((found.n_rows, found.n_labels), (4, 3));
        assert_eq!(
            found.listed(),
            "\">50K.\" (2 rows; did you mean \">50K\"?), \"<=50K.\" (1 row; did you mean \"<=50K\"?), \"?x\" (1 row)"
        );
        let json = serde_json::to_string(&found).unwrap();
        assert!(json.contains("\"counted_as\":\"wrong\""), "{json}");
        assert_eq!(serde_json::from_str::<UnknownLabels>(&json).unwrap(), found);
    }

    #[test]
    fn labels_that_are_known_or_have_no_row_are_not_unknown() {
        let truth = Truth::Classes { codes: vec![0, 1], labels: strings(&["0", "1", "7"]) };
        assert_eq!(UnknownLabels::of(&truth, &target(&["0", "1"], true)), None);
        assert_eq!(UnknownLabels::of(&Truth::Values(vec![1.0]), &target(&["0", "1"], true)), None);
    }

    #[test]
    fn of_many_labels_the_first_are_named_and_the_others_counted() {
        let labels: Vec<String> = (0..30).map(|label| label.to_string()).collect();
        let truth = Truth::Classes { codes: (2..30).collect(), labels };
        let found = UnknownLabels::of(&truth, &target(&["0", "1"], true)).unwrap();
        assert_eq!((found.labels.len(), found.n_labels, found.labels[0].label.clone()), (20, 28, 10.into()));
        assert!(found.remark(28).ends_with(", 23 more"), "{}", found.remark(28));
    }
}
