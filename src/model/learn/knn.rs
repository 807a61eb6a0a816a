//! k nearest neighbours: the rows are the model.
//!
//! smartcore's are not used: its cover tree (0.7) overflows the stack on an infinite number and takes 30
//! times scikit-learn's time, and neither of its searches says which of equally near rows it takes.
//!
//! Fix and Hodges 1951, "Discriminatory analysis"; weights by distance: Dudani 1976, "The distance-weighted
//! k-nearest-neighbor rule", as 1/distance like scikit-learn.

use anyhow::Result;

use super::{Algorithm, Dataset, Fit, Labels, Learner, Parameter, Range, Watch};
use crate::data::recipe::Encoding;
use crate::data::schema::Task;
use crate::model::kd_tree::Metric;
use crate::model::neighbours::{Known, Neighbours, Parts, Search, Weighting};
use crate::model::predictor::Predictor;

/// Columns up to which boxes of a k-d tree rule out enough rows to be worth visiting.
const MAX_TREE_COLUMNS: usize = 8;

/// Voting, or averaging, of the nearest training rows.
pub static KNN: Algorithm = Algorithm {
    name: "knn",
    alias: None,
    tasks: &[Task::Classification, Task::Regression],
    encoding: Encoding::Standardised,
    summary: "The nearest training rows vote, or their values are averaged; ties go to the earlier row",
    parameters: &[
        Parameter {
            name: "n_neighbors",
            default: "5",
            range: Range::Whole(1, 1_000_000),
            effect: "how many neighbours are asked",
        },
        Parameter {
            name: "weights",
            default: "uniform",
            range: Range::Choice(&["uniform", "distance"]),
            effect: "whether neighbours count the same, or by 1/distance",
        },
        Parameter {
            name: "metric",
            default: "minkowski",
            range: Range::Choice(&["minkowski", "euclidean", "manhattan"]),
            effect: "what the distance is; minkowski is euclidean or manhattan, as p says",
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
            range: Range::Choice(&["auto", "brute", "kd_tree"]),
            effect: "how neighbours are searched, with the same result: among all rows or by a tree; auto \
                     takes the tree for few columns",
        },
    ],
    learner: |settings| {
        let manhattan = match settings.word("metric") {
            "minkowski" => settings.whole("p") == 1,
            metric => metric == "manhattan",
        };
        Box::new(KNearest {
            n_neighbors: settings.whole("n_neighbors"),
            weighting: match settings.word("weights") {
                "distance" => Weighting::Distance,
                _ => Weighting::Uniform,
            },
            metric: if manhattan { Metric::Manhattan } else { Metric::Euclidean },
            search: match settings.word("algorithm") {
                "brute" => Some(Search::Brute),
                "kd_tree" => Some(Search::KdTree),
                _ => None,
            },
        })
    },
};

/// Parameters of k nearest neighbours.
struct KNearest {
    n_neighbors: usize,
    weighting: Weighting,
    metric: Metric,
    /// `None` chooses by the columns.
    search: Option<Search>,
}

impl Learner for KNearest {
    /// Like scikit-learn's, neighbours know no row weights: rows of weight 0 are left out, and a note says
    /// that the others count the same.
    fn fit(&self, data: &Dataset, _: &dyn Watch) -> Result<Fit> {
        let mut notes = Vec::new();
        let weight = |row: usize| data.weights.map_or(1.0, |weights| weights[row]);
        let rows: Vec<usize> = (0..data.x.n_rows()).filter(|&row| weight(row) > 0.0).collect();
        if rows.iter().any(|&row| weight(row) != weight(rows[0])) {
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
        let by_columns = if n_inputs <= MAX_TREE_COLUMNS { Search::KdTree } else { Search::Brute };
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
            search: self.search.unwrap_or(by_columns),
        };
        Ok(Fit { predictor: Predictor::Neighbours(Box::new(Neighbours::new(parts))), notes })
    }
}
