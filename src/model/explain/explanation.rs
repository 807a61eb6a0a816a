//! What is asked of an explanation, and what it says.

use crate::order;

/// The scale on which contributions add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// That of the predictor's own sum, such as log-odds; of an ensemble that of the prediction.
    #[default]
    Score,
    /// That of the prediction: the probability of a class, or the value.
    Prediction,
}

/// What a column that is not known is replaced by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Against {
    /// In trees the shares of the training rows that went each way, else the mean of training.
    #[default]
    Path,
    /// The values of background rows, which the model file holds.
    Background,
}

/// What is to be explained, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// So many of the largest contributions are named, the others summed up; all if absent.
    pub top: Option<usize>,
    /// The class whose score is explained; that of the prediction if absent.
    pub label: Option<usize>,
    /// The scale of the contributions.
    pub scale: Scale,
    /// What columns are compared with.
    pub against: Against,
}

/// Contributions that add up: `base + Σ contributions = score`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The class whose score this is; none for regression.
    pub label: Option<usize>,
    /// The mean score.
    pub base: f64,
    /// The score of the row.
    pub score: f64,
    /// The name of the scale of all these numbers.
    pub scale: &'static str,
    /// One per feature, in the order of the schema.
    pub contributions: Vec<f64>,
    /// The standard error of the least certain contribution, if they were sampled.
    pub standard_error: Option<f64>,
    /// The feature, the term and its part of the contribution of each known term of a text.
    pub terms: Vec<(usize, String, f64)>,
}

impl Explanation {
    /// The features by the size of their contributions, largest first, equal ones in their order; those that contribute
    /// nothing are left out.
    pub fn largest(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.contributions.len()).filter(|&feature| self.contributions[feature] != 0.0).collect();
        order::sort_by(&mut order, |&a, &b| {
            self.contributions[b].abs().total_cmp(&self.contributions[a].abs())
        });
        order
    }
}
