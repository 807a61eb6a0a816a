//! k nearest neighbours: the rows are the model.
//!
//! smartcore's are not used: its cover tree (0.7) overflows the stack on an infinite number and takes 59 times as
//! long to predict from 16,000 rows, its linear search 30 times (benches/smartcore.rs), and neither says which of
//! equally near rows it takes.
//!
//! Fix and Hodges 1951, "Discriminatory analysis"; weights by distance: Dudani 1976, "The distance-weighted
//! k-nearest-neighbor rule", as 1/distance like scikit-learn.

use anyhow::Result;

use crate::data::cells::cell::Task;
use crate::data::prepare::recipe::Encoding;
use crate::model::learn::dataset::{Dataset, Fit, Labels};
use crate::model::learn::hyperparameter::{Parameter, Range, Word};
use crate::model::learn::{Algorithm, Learner, Watch};
use crate::model::predictor::Predictor;
use crate::model::predictor::nearest::Metric;
use crate::model::predictor::neighbours::{Known, Neighbours, Parts, Search, Weighting};

/// Most columns with which a k-d tree is tried: with more, its boxes seldom rule out any row.
const MAX_TREE_COLUMNS: usize = 30;

/// Number of rows that a tree is tried on.
const TREE_SAMPLES: usize = 32;

/// Largest share of the rows that a tree may measure. Searching all rows costs a half to a third as much per
/// row for a block of queries, and as much for a single one.
const MAX_MEASURED: f64 = 0.25;

/// Voting, or averaging, of the nearest training rows.
pub(crate) static KNN: Algorithm = Algorithm {
    name: "knn",
    alias: None,
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "The nearest training rows vote, or their values are averaged; ties go to the earlier row",
    idea: "The training rows are the model: a row is predicted by the vote, or the mean, of the \
           training rows nearest to it. The search is exact, by a k-d tree if there are few columns and \
           by matrix products otherwise; of rows at equal distance the earlier is nearer.",
    source: "Fix and Hodges 1951, \"Discriminatory analysis\"; Dudani 1976, \"The distance-weighted \
           k-nearest-neighbor rule\"; Friedman, Bentley and Finkel 1977, \"An algorithm for finding \
           best matches in logarithmic expected time\"",
    smartcore: "None. Its cover tree (0.7) overflows the stack on an infinite number and takes 59 times as \
           long to predict.",
    parameters: &[
        Parameter {
            name: "n_neighbors",
            default: "5",
            range: Range::Whole(1, 1_000_000),
            effect: "number of neighbours",
        },
        Parameter {
            name: "weights",
            default: "uniform",
            range: Range::Choice(Weighting::WORDS),
            effect: "whether neighbours count the same, or by 1/distance",
        },
        Parameter {
            name: "metric",
            default: "minkowski",
            range: Range::Choice(MetricName::WORDS),
            effect: "distance between rows; minkowski is euclidean or manhattan, as p says",
        },
        Parameter {
            name: "p",
            default: "2",
            range: Range::Whole(1, 2),
            effect: "power of minkowski: 1 is manhattan, 2 is euclidean",
        },
        Parameter {
            name: "algorithm",
            default: "auto",
            range: Range::Choice(<Option<Search>>::WORDS),
            effect: "search for neighbours, with the same result: among all rows or by a tree; auto takes the tree \
                     if it spares most rows, as with few columns",
        },
    ],
    learner: |settings| {
        Box::new(KNearest {
            n_neighbors: settings.whole("n_neighbors"),
            weighting: settings.choice("weights"),
            metric: match settings.choice("metric") {
                MetricName::Minkowski if settings.whole("p") == 1 => Metric::Manhattan,
                MetricName::Minkowski | MetricName::Euclidean => Metric::Euclidean,
                MetricName::Manhattan => Metric::Manhattan,
            },
            search: settings.choice("algorithm"),
        })
    },
};

/// The word for a distance.
#[derive(Clone, Copy)]
enum MetricName {
    Minkowski,
    Euclidean,
    Manhattan,
}

impl Word for MetricName {
    const WORDS: &'static [&'static str] = &["minkowski", "euclidean", "manhattan"];
    const ALL: &'static [Self] = &[Self::Minkowski, Self::Euclidean, Self::Manhattan];
}

impl Word for Weighting {
    const WORDS: &'static [&'static str] = &["uniform", "distance"];
    const ALL: &'static [Self] = &[Self::Uniform, Self::Distance];
}

impl Word for Option<Search> {
    const WORDS: &'static [&'static str] = &["auto", "brute", "kd_tree"];
    const ALL: &'static [Self] = &[None, Some(Search::Brute), Some(Search::KdTree)];
}

/// Parameters of k nearest neighbours.
struct KNearest {
    n_neighbors: usize,
    weighting: Weighting,
    metric: Metric,
    /// `None` chooses what is quicker for these rows.
    search: Option<Search>,
}

impl Learner for KNearest {
    /// Like scikit-learn's, neighbours have no row weights: rows of weight 0 are dropped, and a note says
    /// that the others count the same.
    fn fit(&self, data: &Dataset, _: &dyn Watch) -> Result<Fit> {
        let mut notes = Vec::new();
        let rows = data.counted_rows();
        if rows.iter().any(|&row| data.weight(row) != data.weight(rows[0])) {
            notes.push(
                "knn takes no row weights: rows of weight 0 were left out, all others count the same".into(),
            );
        }
        if rows.len() < self.n_neighbors {
            notes.push(format!(
                "n_neighbors is {} and there are {} rows to learn from: all of them are asked",
                self.n_neighbors,
                rows.len()
            ));
        }
        let n_inputs = data.x.n_cols();
        let parts = Parts {
            n_inputs,
            x: rows.iter().flat_map(|&row| data.x.row(row)).copied().collect(),
            known: match data.y {
                Labels::Classes { codes, n_classes } => {
                    Known::Classes { codes: rows.iter().map(|&row| codes[row]).collect(), n_classes }
                }
                Labels::Values(values) => Known::Values(rows.iter().map(|&row| values[row]).collect()),
            },
            n_neighbors: self.n_neighbors.min(rows.len()),
            metric: self.metric,
            weighting: self.weighting,
            search: match self.search {
                Some(search) => search,
                None if n_inputs <= MAX_TREE_COLUMNS => Search::KdTree,
                None => Search::Brute,
            },
        };
        let mut neighbours = Neighbours::new(parts);
        if self.search.is_none() && neighbours.measured_share(TREE_SAMPLES) > MAX_MEASURED {
            neighbours = neighbours.without_tree();
        }
        Ok(Fit { predictor: Predictor::Neighbours(Box::new(neighbours)), notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::laws::{self, arrays, noise, scores, select};
    use crate::model::predictor::arrays::Array;

    fn fit(settings: &[(&str, &str)], data: &Dataset) -> Fit {
        laws::fit(&KNN, settings, data).unwrap()
    }

    #[test]
    fn a_row_of_no_weight_is_no_row_and_other_weights_are_said_to_be_ignored() {
        let x = noise(30, 2, 3);
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let without = select(&x, &(0..30).filter(|row| *row != 7).collect::<Vec<_>>());
        let values_without: Vec<f64> = values.iter().copied().filter(|v| *v != 7.0).collect();
        let plain = fit(&[], &Dataset::new(&without, Labels::Values(&values_without)));
        assert_eq!(plain.notes, Vec::<String>::new());
        for (weight, n_notes) in [(1.0, 0), (2.0, 1)] {
            let weights: Vec<f64> = (0..30)
                .map(|row| {
                    [1.0, weight, 0.0][match row {
                        7 => 2,
                        row => row % 2,
                    }]
                })
                .collect();
            let weighted = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&values)) };
            let weighted = fit(&[], &weighted);
            assert!(weighted.predictor == plain.predictor);
            assert_eq!(weighted.notes.len(), n_notes);
        }
    }

    #[test]
    fn more_neighbours_than_rows_are_all_rows_and_a_note() {
        let x = noise(3, 2, 3);
        let fit = fit(&[], &Dataset::new(&x, Labels::Values(&[1.0, 2.0, 6.0])));
        assert_eq!(scores(&fit.predictor, &x), [3.0; 3]);
        assert!(fit.notes[0].contains("n_neighbors is 5 and there are 3 rows"), "{:?}", fit.notes);
    }

    #[test]
    fn auto_takes_the_tree_where_it_helps() {
        let search = |x: &Matrix| {
            let values = vec![0.0; x.n_rows()];
            match &arrays(&fit(&[], &Dataset::new(x, Labels::Values(&values))).predictor)["neighbours.settings"]
            {
                Array::U32(_, settings) => settings[3],
                _ => panic!("settings are whole numbers"),
            }
        };
        assert_eq!(
            [search(&noise(4000, 3, 3)), search(&noise(4000, 20, 3)), search(&noise(10, 3, 3))],
            [1, 0, 0]
        );
    }

    #[test]
    fn the_power_of_minkowski_is_the_metric() {
        let x = noise(100, 3, 3);
        let codes: Vec<u32> = (0..100).map(|row| row % 2).collect();
        let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 2 });
        let of = |settings: &[(&str, &str)]| fit(settings, &data).predictor;
        assert!(of(&[("p", "1")]) == of(&[("metric", "manhattan")]));
        assert!(of(&[]) == of(&[("metric", "euclidean"), ("p", "1")]));
        assert!(of(&[]) != of(&[("p", "1")]));
    }
}
