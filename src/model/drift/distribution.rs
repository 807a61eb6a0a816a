//! The distributions behind the figures of drift, in training and now, for pictures of them.

use super::bins::Bins;
use super::{Counts, Expected};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::model::Model;
use crate::order;

/// Levels and classes with a bin of their own; the others share one.
const MAX_NAMED: usize = 12;

/// The meaning of the bins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Names {
    /// The upper bounds of all bins but that of larger values; behind it may come one of missing values.
    Edges(Vec<f64>),
    /// A name for each bin.
    Levels(Vec<String>),
}

/// The shares of the rows in each bin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) names: Names,
    pub(crate) trained: Vec<f64>,
    pub(crate) new: Vec<f64>,
}

impl Distribution {
    fn new(names: Names, trained: &[f64], new: &[f64]) -> Self {
        let shares = |counts: &[f64]| -> Vec<f64> {
            let total = counts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            counts.iter().map(|count| count / total).collect()
        };
        Self { names, trained: shares(trained), new: shares(new) }
    }

    /// Of named counts the most frequent, in training or now, and the sum of the others as `rest`; those of `last` stay at
    /// the end if any row has them.
    fn of_names(
        named: impl Iterator<Item = (String, f64, f64)>,
        rest: (&str, f64, f64),
        last: [(&str, f64, f64); 2],
    ) -> Self {
        let mut named: Vec<(String, f64, f64)> = named.collect();
        let total = |of: fn(&(String, f64, f64)) -> f64| named.iter().map(of).sum::<f64>().max(1.0);
        let (trained, new) = (total(|name| name.1), total(|name| name.2));
        let largest = |name: &(String, f64, f64)| (name.1 / trained).max(name.2 / new);
        // A stable sort: of equals the first.
        order::sort_by(&mut named, |a, b| largest(b).total_cmp(&largest(a)));
        let others = named.split_off(named.len().min(MAX_NAMED));
        let others = others.iter().fold(rest, |sum, name| (sum.0, sum.1 + name.1, sum.2 + name.2));
        let behind = std::iter::once(others).chain(last).filter(|(_, trained, new)| trained + new > 0.0);
        named.extend(behind.map(|(name, trained, new)| (name.to_string(), trained, new)));
        let of = |side: fn(&(String, f64, f64)) -> f64| named.iter().map(side).collect::<Vec<f64>>();
        let (trained, new) = (of(|name| name.1), of(|name| name.2));
        Self::new(Names::Levels(named.into_iter().map(|name| name.0).collect()), &trained, &new)
    }

    /// Of a feature; `None` if its model has none to compare with, or if its values are private.
    fn of_feature(feature: &Feature, bins: &Bins, cells: &[u64]) -> Option<Self> {
        if feature.private || !bins.has_values() {
            return None;
        }
        let (trained, new) = (&bins.trained, bins.rows_of_bins(cells));
        let missing = trained.len() - 1;
        let of_missing = ("(missing)", trained[missing], new[missing]);
        let none = ("", 0.0, 0.0);
        Some(match (feature.column_type, &feature.histogram) {
            (ColumnType::Category, _) => {
                let n = missing - 1;
                let named = feature.levels.iter().zip(trained).zip(&new).take(n);
                let named = named.map(|((name, trained), new)| (name.clone(), *trained, *new));
                // Unseen levels are counted in the bin of rare ones as well.
                let unseen = cells[bins.unseen()] as f64;
                let rare = ("(other levels)", trained[n], (new[n] - unseen).max(0.0));
                Self::of_names(named, rare, [("(unseen levels)", 0.0, unseen), of_missing])
            }
            (ColumnType::Boolean, _) => {
                let named = (0..missing).map(|i| {
                    let name = if i == 0 { "false" } else { "true" };
                    (name.to_string(), trained[i], new[i])
                });
                Self::of_names(named, none, [none, of_missing])
            }
            (_, histogram) => {
                let edges = histogram.as_ref().map_or(Vec::new(), |histogram| histogram.edges.clone());
                let n = trained.len() - usize::from(of_missing.1 + of_missing.2 == 0.0);
                Self::new(Names::Edges(edges), &trained[..n], &new[..n])
            }
        })
    }
}

impl Counts {
    /// The distribution of each feature.
    pub(crate) fn distributions(&self, model: &Model, bins: &[Bins]) -> Vec<Option<Distribution>> {
        let features = model.pipeline.schema.features.iter().zip(bins).zip(&self.features);
        features.map(|((feature, bins), cells)| Distribution::of_feature(feature, bins, cells)).collect()
    }

    /// The distribution of the predictions, if those of training are known.
    pub(crate) fn of_predictions(&self, model: &Model, expected: &Expected) -> Option<Distribution> {
        let new = self.predictions.iter().map(|&n| n as f64);
        match expected {
            Expected::Classes(counts) => {
                let named = model.labels().iter().zip(counts).zip(new);
                let named = named.map(|((label, trained), new)| (label.clone(), *trained, new));
                let none = ("", 0.0, 0.0);
                Some(Distribution::of_names(named, ("(other classes)", 0.0, 0.0), [none, none]))
            }
            Expected::Values { edges, counts } => {
                Some(Distribution::new(Names::Edges(edges.clone()), counts, &new.collect::<Vec<f64>>()))
            }
            Expected::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_names_are_put_together_and_shares_add_up_to_one() {
        let named = (0..20).map(|i| (format!("level {i}"), f64::from(i), if i == 0 { 50.0 } else { 1.0 }));
        let none = ("", 0.0, 0.0);
        let found = Distribution::of_names(named, ("(other)", 3.0, 0.0), [("(unseen)", 0.0, 7.0), none]);
        let Names::Levels(names) = &found.names else { panic!("{found:?}") };
        assert_eq!((names.len(), &*names[0], &*names[1]), (MAX_NAMED + 2, "level 0", "level 19"));
        assert_eq!(names[MAX_NAMED..], ["(other)", "(unseen)"]);
        for shares in [&found.trained, &found.new] {
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        }
        let empty = Distribution::of_names(std::iter::empty(), none, [none, none]);
        assert!(empty.trained.is_empty());
    }
}
