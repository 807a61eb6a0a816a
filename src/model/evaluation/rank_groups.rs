//! How well rows are ordered within groups, such as the offers that one visitor was shown: `ndcg@k`, `map@k`, `mrr`.
//!
//! Each group is ordered by the score, highest first. A row of a class counts as relevant if it has the label that rows
//! are ordered by, with a gain of 1; for numbers the gain is the true value, and rows above 0 are relevant. Means are over
//! the groups with a relevant row, as in TREC; in the others no order is better than another.
//!
//! | figure | of one group |
//! |---|---|
//! | `ndcg@k` | Σ gain / log₂(1 + rank) over the first k rows, divided by that of the best order; rows of equal scores share the mean of their gains (Järvelin and Kekäläinen 2002; McSherry and Najork 2008; as `ndcg_score` of scikit-learn) |
//! | `map@k` | average precision: the mean, over the min(k, relevant rows) first places, of the share of relevant rows up to each relevant row among the first k |
//! | `mrr` | one by the rank of the first relevant row |
//!
//! For the latter two, rows of equal scores keep the order of the input.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::data::cells::cell::Cell;
use crate::data::cells::schema::Schema;
use crate::data::cells::target::{Target, Truth};
use crate::error::usage;
use crate::model::hold_out::TestRows;
use crate::model::pipeline::Predictions;
use crate::model::statistics::normal_quantile;
use crate::names::{did_you_mean, quote};
use crate::order;
use crate::plain;

/// What a ranking is evaluated by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankWish {
    /// The column whose values are the groups.
    pub group: String,
    /// The score that rows are ordered by: of a class its probability, else the value.
    pub score: usize,
    /// The lengths k, ascending.
    pub at: Vec<usize>,
}

/// How well rows are ordered within groups.
#[derive(Debug, Clone, PartialEq)]
pub struct RankQuality {
    /// The column whose values are the groups.
    pub group: String,
    /// The label that rows are ordered by; none for numbers.
    pub by: Option<serde_json::Value>,
    /// Groups with a relevant row.
    pub n_groups: usize,
    /// Groups without one, which are left out.
    pub n_without_relevant: usize,
    /// Rows without a group, which are left out.
    pub n_without_group: usize,
    /// The mean of each figure over the groups, and its 95 % interval; none without groups.
    pub figures: Vec<(String, Option<f64>, Option<[f64; 2]>)>,
}

impl RankQuality {
    /// A figure and its interval, by its name.
    pub(crate) fn of(&self, name: &str) -> Option<(Option<f64>, Option<[f64; 2]>)> {
        self.figures.iter().find(|(known, ..)| known == name).map(|(_, value, interval)| (*value, *interval))
    }
}

impl Serialize for RankQuality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("group", &self.group)?;
        if let Some(by) = &self.by {
            map.serialize_entry("by", by)?;
        }
        map.serialize_entry("groups", &self.n_groups)?;
        map.serialize_entry("groups_without_relevant", &self.n_without_relevant)?;
        map.serialize_entry("rows_without_group", &self.n_without_group)?;
        for (name, value, _) in &self.figures {
            map.serialize_entry(name, value)?;
        }
        let intervals =
            self.figures.iter().filter_map(|(name, _, interval)| Some((name.as_str(), (*interval)?)));
        let intervals: std::collections::BTreeMap<&str, [f64; 2]> = order::map(intervals);
        map.serialize_entry("intervals", &intervals)?;
        map.end()
    }
}

/// The length k of the name of a figure of rankings; `None` inside for `mrr`, and without for another name.
pub(crate) fn figure_at(name: &str) -> Option<Option<usize>> {
    let at = |prefix: &str| name.strip_prefix(prefix)?.parse().ok().filter(|k: &usize| *k > 0);
    if name == "mrr" { Some(None) } else { at("ndcg@").or_else(|| at("map@")).map(Some) }
}

/// Evaluates the order of rows within groups.
///
/// # Errors
/// A column that the rows do not have; scores that are not known; negative true values, which are no gains.
pub(super) fn rank_quality(
    wish: &RankWish,
    rows: &TestRows,
    target: &Target,
    schema: Option<&Schema>,
    predictions: &Predictions,
) -> Result<RankQuality> {
    let gains: Vec<f64> = match &rows.truth {
        Truth::Classes { codes, .. } => {
            codes.iter().map(|&code| f64::from(u8::from(code as usize == wish.score))).collect()
        }
        Truth::Values(values) => values.clone(),
    };
    if gains.iter().any(|gain| *gain < 0.0) {
        return Err(usage(format!(
            "--rank-group: a gain is at least 0, and {} has negative values",
            quote(&target.name)
        )));
    }
    let scores = predictions.scores.rows().map(|row| row.get(wish.score).copied().unwrap_or(f64::NAN));
    let scores: Vec<f64> = scores.collect();
    ensure!(
        scores.iter().all(|score| score.is_finite()),
        "--rank-group needs the probability of the label that rows are ordered by"
    );
    let (groups, n_without_group) = groups(&wish.group, rows, schema)?;
    let n_all = groups.len();
    let mut of_groups: Vec<Vec<f64>> = Vec::new();
    for group in groups {
        let rows: Vec<(f64, f64)> = group.into_iter().map(|row| (scores[row], gains[row])).collect();
        of_groups.extend(figures_of(rows, &wish.at));
    }
    let names = wish.at.iter().map(|k| format!("ndcg@{k}")).chain(wish.at.iter().map(|k| format!("map@{k}")));
    let names = names.chain(["mrr".to_string()]);
    let figures = names.enumerate().map(|(i, name)| {
        let (mean, interval) = mean_of(&mut of_groups.iter().map(|values| values[i]));
        (name, mean, interval)
    });
    Ok(RankQuality {
        group: wish.group.clone(),
        by: target.labels.get(wish.score).map(|label| target.json_label(label)),
        n_groups: of_groups.len(),
        n_without_relevant: n_all - of_groups.len(),
        n_without_group,
        figures: figures.collect(),
    })
}

/// The mean of values from 0 to 1, and its 95 % interval by the normal distribution.
fn mean_of(values: &mut dyn Iterator<Item = f64>) -> (Option<f64>, Option<[f64; 2]>) {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    // Welford 1962.
    for value in values {
        n += 1.0;
        let before = value - mean;
        mean += before / n;
        squares += before * (value - mean);
    }
    let half = normal_quantile(0.975) * (squares / (n - 1.0) / n).sqrt();
    let interval = (n > 1.0).then(|| [(mean - half).max(0.0), (mean + half).min(1.0)]);
    ((n > 0.0).then_some(mean), interval)
}

/// The rows of each group, in the order of their first rows, and how many rows have no group.
fn groups(name: &str, rows: &TestRows, schema: Option<&Schema>) -> Result<(Vec<Vec<usize>>, usize)> {
    let names = &rows.raw.names;
    let Some(index) = names.iter().position(|known| plain::same(known, name)) else {
        let hint = did_you_mean(name, names.iter().map(String::as_str));
        bail!("--rank-group: {} has no column {}{hint}", rows.raw.source, quote(name))
    };
    let plain_nulls = Default::default();
    let nulls = schema.map_or(&plain_nulls, |schema| &schema.null_tokens).of(&names[index]);
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut groups, mut n_without): (Vec<Vec<usize>>, usize) = (Vec::new(), 0);
    for (at, &row) in rows.rows.iter().enumerate() {
        let text = match rows.raw.number_cell(rows.raw.columns[index].cell(row, nulls)) {
            Cell::Missing => {
                n_without += 1;
                continue;
            }
            Cell::Number(value) => value.to_string(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Text(text) => plain::plain(text).into_owned(),
        };
        let group = *known.entry(text).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(at);
    }
    Ok((groups, n_without))
}

/// The figures of one group of pairs of score and gain: nDCG at each k, average precision at each k, reciprocal rank;
/// `None` if no row is relevant.
fn figures_of(mut rows: Vec<(f64, f64)>, at: &[usize]) -> Option<Vec<f64>> {
    let n_relevant = rows.iter().filter(|(_, gain)| *gain > 0.0).count();
    if n_relevant == 0 {
        return None;
    }
    // Stable, so equal scores keep their order.
    order::sort_by(&mut rows, |a, b| b.0.total_cmp(&a.0));
    let mut best = rows.clone();
    order::sort_by(&mut best, |a, b| b.1.total_cmp(&a.1));
    best.iter_mut().for_each(|row| row.0 = row.1);
    let mut found: Vec<f64> = at.iter().map(|&k| gain_of(&rows, k) / gain_of(&best, k)).collect();
    for &k in at {
        let (mut hits, mut sum) = (0.0, 0.0);
        for (i, _) in rows.iter().take(k).enumerate().filter(|(_, (_, gain))| *gain > 0.0) {
            hits += 1.0;
            sum += hits / (i + 1) as f64;
        }
        found.push(sum / n_relevant.min(k) as f64);
    }
    let first = rows.iter().position(|(_, gain)| *gain > 0.0)?;
    found.push(1.0 / (first + 1) as f64);
    Some(found)
}

/// The discounted gain of the first k of ordered rows; those of equal scores share the mean of their gains.
fn gain_of(rows: &[(f64, f64)], k: usize) -> f64 {
    let (mut sum, mut rank) = (0.0, 0);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let mean = equal.iter().map(|(_, gain)| gain).sum::<f64>() / equal.len() as f64;
        let discounts = (rank..(rank + equal.len()).min(k)).map(|rank| 1.0 / (rank as f64 + 2.0).log2());
        sum += mean * discounts.sum::<f64>();
        rank += equal.len();
        if rank >= k {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_rankings_is_known_by_its_name() {
        assert_eq!(figure_at("ndcg@10"), Some(Some(10)));
        assert_eq!(figure_at("map@1"), Some(Some(1)));
        assert_eq!(figure_at("mrr"), Some(None));
        for name in ["ndcg", "ndcg@", "ndcg@0", "map@x", "mrr@5", "accuracy"] {
            assert_eq!(figure_at(name), None, "{name}");
        }
    }

    #[test]
    fn figures_equal_scikit_learn_and_the_stated_definitions() {
        let reference = include_str!("../../../fixtures/ranking.json");
        let reference: serde_json::Value = serde_json::from_str(reference).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let at: Vec<usize> = numbers(&reference["at"]).into_iter().map(|k| k as usize).collect();
        let groups = reference["groups"].as_array().unwrap();
        assert!(groups.len() >= 50);
        for group in groups {
            let rows = numbers(&group["scores"]).into_iter().zip(numbers(&group["gains"])).collect();
            let wanted = [&group["ndcg"], &group["ap"]].into_iter().flat_map(numbers);
            let wanted: Vec<f64> = wanted.chain(group["rr"].as_f64()).collect();
            let found = figures_of(rows, &at).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{found} {wanted} {group}");
            }
        }
    }

    #[test]
    fn the_mean_has_an_interval_from_two_groups_on() {
        assert_eq!(mean_of(&mut std::iter::empty()), (None, None));
        assert_eq!(mean_of(&mut [0.5].into_iter()), (Some(0.5), None));
        let (mean, interval) = mean_of(&mut [0.2, 0.4, 0.6, 0.8].into_iter());
        let [low, high] = interval.unwrap();
        assert!((mean.unwrap() - 0.5).abs() < 1e-15);
        // 1.959964 × 0.2581989 / 2
        assert!((high - low - 2.0 * 0.253_030_3).abs() < 1e-6, "{low} {high}");
        assert_eq!(figures_of(vec![(1.0, 0.0), (2.0, 0.0)], &[5]), None, "no order is better than another");
    }
}
