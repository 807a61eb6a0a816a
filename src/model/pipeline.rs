//! Schema + members (recipe + predictor each): the steps from codes to scores to decisions.
//!
//! Most pipelines have one member. The scores of several, an ensemble, are the weighted mean of those of its members.
//!
//! The same code scores a fold of cross-validation, the held-out rows, a file, and a request. Not here: cells become
//! codes in [`crate::data`], scores become figures in [`super::evaluation`].

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

use super::postprocessing::Postprocessing;
use super::predictor::Predictor;
use super::target_transform::TargetTransform;
use crate::background::give_way;
use crate::data::cells::cell::Task;
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::text::Texts;
use crate::data::prepare::recipe::{Recipe, Slot};

/// The fitted steps from a row of codes to its scores.
#[derive(Debug)]
pub struct Pipeline {
    /// The columns.
    pub schema: Schema,
    /// What turns rows into scores: one member of weight 1, or those of an ensemble.
    pub members: Vec<Member>,
    /// What happens to the scores then.
    pub postprocessing: Postprocessing,
}

/// One of the fitted models of a [`Pipeline`].
#[derive(Debug, Clone)]
pub struct Member {
    /// Its part in the scores: above 0; those of all members add up to 1.
    pub weight: f64,
    /// The preparation of a row. Members that share one, not an equal one, prepare rows together.
    pub recipe: Arc<Recipe>,
    /// The inference form that turns prepared rows into scores.
    pub predictor: Predictor,
    /// What is undone to a number that it predicts.
    pub target: TargetTransform,
}

impl Member {
    /// Checks that the parts fit each other and a target of `n_outputs` scores.
    fn validate(&self, n_outputs: usize) -> Result<()> {
        let Self { recipe, predictor, target, .. } = self;
        predictor.validate()?;
        target.validate()?;
        let (inputs, outputs) = (predictor.n_inputs(), predictor.n_outputs());
        ensure!(
            inputs == recipe.n_slots() && outputs == n_outputs,
            "the predictor maps {inputs} numbers to {outputs}, the schema {} to {n_outputs}",
            recipe.n_slots()
        );
        let reads_sparse = matches!(predictor, Predictor::Linear(_) | Predictor::NaiveBayes(_));
        ensure!(
            reads_sparse || !recipe.has_sparse_texts(),
            "the predictor cannot read the sparse columns that the recipe makes"
        );
        let (n_dense, n_sparse) = (recipe.n_dense(), recipe.n_sparse());
        ensure!(
            predictor.reads(n_dense, n_sparse),
            "the predictor does not read rows of {n_dense} numbers and {n_sparse} terms, which the recipe makes"
        );
        Ok(())
    }

    /// Scores rows of codes by a graph, which prepares them itself; whether the predictor is one.
    #[cfg(feature = "import")]
    fn is_scored_by_graph(&self, codes: &[f64], texts: &Texts, out: &mut [f64]) -> bool {
        let Predictor::Graph(graph) = &self.predictor else { return false };
        graph.scores_block(codes, texts, out);
        self.target.invert_all(out);
        true
    }

    /// Scores prepared rows.
    fn scores(&self, x: &[f64], sparse: &Sparse, out: &mut [f64]) {
        if sparse.n_rows() == 0 {
            self.predictor.scores_block(x, out);
        } else {
            let n_dense = x.len() / sparse.n_rows();
            for (i, out) in out.chunks_exact_mut(self.predictor.n_outputs()).enumerate() {
                self.predictor.sparse_scores_into(&x[i * n_dense..(i + 1) * n_dense], sparse.row(i), out);
            }
        }
        self.target.invert_all(out);
    }

    /// Whether its predictions can be explained by sampling alone.
    pub(crate) fn is_sampled(&self) -> bool {
        !matches!(self.predictor, Predictor::Trees(_) | Predictor::Linear(_) | Predictor::NaiveBayes(_))
    }

    /// Whether its predictions can be explained beside other rows alone: also those of trees that do not know the rows of
    /// their leaves.
    pub(crate) fn needs_background(&self) -> bool {
        matches!(&self.predictor, Predictor::Trees(trees) if trees.parts().cover.is_empty())
            || self.is_sampled()
    }

    /// The scores of rows of codes, `n_rows × n_outputs`.
    pub(crate) fn predict(&self, codes: &[f64], texts: &Texts) -> Vec<f64> {
        #[cfg(feature = "import")]
        if let Predictor::Graph(_) = &self.predictor {
            let n_rows = codes.len() / self.recipe.n_features().max(1);
            let mut out = vec![0.0; n_rows * self.predictor.n_outputs()];
            self.is_scored_by_graph(codes, texts, &mut out);
            return out;
        }
        let mut rows = Vec::new();
        let (x, sparse) = self.recipe.encode_block(codes, texts, &mut rows);
        let n_rows =
            if sparse.n_rows() > 0 { sparse.n_rows() } else { x.len() / self.recipe.n_dense().max(1) };
        let mut out = vec![0.0; n_rows * self.predictor.n_outputs()];
        self.scores(x, &sparse, &mut out);
        out
    }

    /// The importance of each feature, in the order of the schema, if its predictor has any.
    pub(crate) fn importances(&self, n_features: usize) -> Option<Vec<f64>> {
        let of_slots = self.predictor.importances()?;
        let mut importances = vec![0.0; n_features];
        for ((feature, slot), importance) in self.recipe.slots().iter().zip(of_slots) {
            match slot {
                // Made of two columns.
                Slot::DaysTo(other) => {
                    importances[*feature] += importance / 2.0;
                    importances[*other] += importance / 2.0;
                }
                _ => importances[*feature] += importance,
            }
        }
        Some(importances)
    }
}

/// The predictions for a batch of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// `n_rows × width`: the probability of each class, or one value.
    pub scores: Matrix,
    /// The predicted class of each row; empty for regression.
    pub classes: Vec<u32>,
}

/// The message for a row whose prediction is not a number.
pub(crate) const NOT_FINITE: &str = "the prediction is not a finite number: a value that the model needs is missing or unseen, or values of the row are too \
     far from those of training";

impl Predictions {
    /// Whether the scores of a row are numbers; those of values that are far out may overflow.
    pub(crate) fn is_finite(&self, row: usize) -> bool {
        self.scores.row(row).iter().all(|score| score.is_finite())
    }

    /// The first row whose scores are not all numbers.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        let at = self.scores.values().iter().position(|score| !score.is_finite())?;
        Some(at / self.scores.n_cols().max(1))
    }

    /// Removes all but the first `n_rows` rows.
    pub(crate) fn truncate(&mut self, n_rows: usize) {
        self.scores.truncate(n_rows);
        self.classes.truncate(n_rows);
    }
}

/// Rows that are encoded and scored together: enough for one task of a thread, few enough to stay in cache.
const BLOCK_ROWS: usize = 512;

/// Numbers of the encoded rows of a block, so that wide rows do not take memory by the hundred.
const BLOCK_NUMBERS: usize = 1 << 20;

/// The most members of a pipeline.
pub const MAX_MEMBERS: usize = 32;

/// The weights of members add up to 1 within this.
const WEIGHT_TOLERANCE: f64 = 1e-9;

/// Memory that is used for block after block.
#[derive(Default)]
struct Buffers {
    /// Prepared rows.
    rows: Vec<f64>,
    /// The scores of one of several members.
    scores: Vec<f64>,
}

impl Pipeline {
    /// The pipeline of one model.
    pub fn single(schema: Schema, recipe: Recipe, predictor: Predictor) -> Self {
        Self {
            schema,
            members: vec![Member {
                weight: 1.0,
                recipe: Arc::new(recipe),
                predictor,
                target: TargetTransform::Identity,
            }],
            postprocessing: Postprocessing::default(),
        }
    }

    /// The ensemble of the members of several pipelines: its scores are the mean of theirs, weighted by `weights`, which
    /// are scaled to add up to 1. Pipelines of weight 0 are left out. The schema is that of the first one.
    ///
    /// # Errors
    /// Pipelines that read rows in different ways or predict different targets; weights that are negative, not finite,
    /// or all 0; no pipeline, or more than [`MAX_MEMBERS`] members.
    pub fn blend(pipelines: Vec<Self>, weights: &[f64]) -> Result<Self> {
        ensure!(pipelines.len() == weights.len(), "an ensemble needs one weight per model");
        let sum: f64 = weights.iter().sum();
        ensure!(
            weights.iter().all(|&weight| weight >= 0.0) && sum.is_finite() && sum > 0.0,
            "the weights of an ensemble are numbers from 0, not all of them 0"
        );
        let mut schema: Option<Schema> = None;
        let mut members: Vec<Member> = Vec::new();
        for (pipeline, weight) in pipelines.into_iter().zip(weights) {
            if let Some(first) = &schema {
                ensure!(
                    reads_alike(first, &pipeline.schema),
                    "the models of an ensemble read different columns or predict different targets"
                );
            }
            schema.get_or_insert(pipeline.schema);
            for mut member in pipeline.members {
                member.weight *= weight / sum;
                if member.weight > 0.0 {
                    if let Some(same) = members.iter().find(|other| other.recipe == member.recipe) {
                        member.recipe = Arc::clone(&same.recipe);
                    }
                    members.push(member);
                }
            }
        }
        if let [only] = members.as_mut_slice() {
            only.weight = 1.0;
        }
        let Some(schema) = schema else { bail!("an ensemble needs a model") };
        let blend = Self { schema, members, postprocessing: Postprocessing::default() };
        blend.validate()?;
        Ok(blend)
    }

    /// Scores per row: one per class, or one value.
    pub fn n_outputs(&self) -> usize {
        self.members.first().map_or(0, |member| member.predictor.n_outputs())
    }

    /// The member, unless there are several.
    pub(crate) fn only_member(&self) -> Option<&Member> {
        match self.members.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The place of the first member that has the recipe of member `i`.
    pub(crate) fn first_with_recipe_of(&self, i: usize) -> usize {
        let recipe = &self.members[i].recipe;
        self.members[..i].iter().position(|other| Arc::ptr_eq(&other.recipe, recipe)).unwrap_or(i)
    }

    /// The importance of each feature in the order of the schema; of several members the weighted mean over those that
    /// have any, each scaled to add up to 1.
    pub(crate) fn importances(&self) -> Option<Vec<f64>> {
        let n_features = self.schema.n_features();
        if let Some(only) = self.only_member() {
            return only.importances(n_features);
        }
        let mut mean = vec![0.0; n_features];
        let mut sum_of_weights = 0.0;
        for member in &self.members {
            let Some(importances) = member.importances(n_features) else { continue };
            let sum: f64 = importances.iter().sum();
            sum_of_weights += member.weight;
            if sum > 0.0 {
                let parts = mean.iter_mut().zip(importances);
                parts.for_each(|(mean, importance)| *mean += member.weight * (importance / sum));
            }
        }
        mean.iter_mut().for_each(|importance| *importance /= sum_of_weights);
        (sum_of_weights > 0.0).then_some(mean)
    }

    /// The task: classes or a number.
    pub fn task(&self) -> Task {
        self.schema.target.task
    }

    /// The class labels; empty for regression.
    pub fn labels(&self) -> &[String] {
        &self.schema.target.labels
    }

    /// Checks that the parts fit each other; for pipelines that were read from a file.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn validate(&self) -> Result<()> {
        self.schema.validate()?;
        let n = self.members.len();
        ensure!((1..=MAX_MEMBERS).contains(&n), "it has {n} members, not from 1 to {MAX_MEMBERS}");
        let weights = || self.members.iter().map(|member| member.weight);
        let sum: f64 = weights().sum();
        ensure!(
            weights().all(|weight| weight > 0.0) && (sum - 1.0).abs() <= WEIGHT_TOLERANCE,
            "the weights of its members are not numbers above 0 that add up to 1"
        );
        let n_outputs = match self.task() {
            Task::Classification => self.labels().len(),
            Task::Regression => 1,
        };
        let of_numbers = |member: &Member| member.target != TargetTransform::Identity;
        ensure!(
            self.task() == Task::Regression || !self.members.iter().any(of_numbers),
            "classes have no scale to undo"
        );
        self.postprocessing.validate(self.task(), n_outputs)?;
        self.members.iter().try_for_each(|member| member.validate(n_outputs))
    }

    /// The rows of a block.
    fn block_rows(&self) -> usize {
        let widest = self.members.iter().map(|member| member.recipe.n_buffered()).max();
        (BLOCK_NUMBERS / widest.unwrap_or(0).max(1)).clamp(1, BLOCK_ROWS)
    }

    /// Scores rows of codes (`n_rows × n_features`): for each row the probability of every class, or the predicted
    /// value (`n_rows × width`). A missing value is encoded as the recipe was fitted to. More than a block of rows is
    /// scored on all cores, with the same result.
    pub fn scores(&self, codes: &Matrix) -> Matrix {
        self.scores_after(&self.postprocessing, codes)
    }

    /// Predicts rows of codes as [`Pipeline::predict`], but as if nothing had been calibrated.
    pub(crate) fn predict_uncalibrated(&self, codes: &Matrix) -> Predictions {
        self.decide(self.scores_after(&Postprocessing::default(), codes), Decision::MostProbable)
    }

    fn scores_after(&self, steps: &Postprocessing, codes: &Matrix) -> Matrix {
        let (width, n_features) = (self.n_outputs(), self.schema.n_features());
        let block_rows = self.block_rows();
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let score_block = |(block, out): (&[f64], &mut [f64])| {
            self.predict_block(block, codes.texts(), &mut Buffers::default(), out);
            steps.apply(out, width);
            give_way();
        };
        if codes.n_rows() <= block_rows {
            score_block((codes.values(), scores.values_mut()));
        } else {
            codes
                .values()
                .par_chunks(block_rows * n_features)
                .zip(scores.values_mut().par_chunks_mut(block_rows * width))
                .for_each(score_block);
        }
        scores
    }

    /// Scores rows as the predictors do.
    fn predict_block(&self, codes: &[f64], texts: &Texts, buffers: &mut Buffers, out: &mut [f64]) {
        let Buffers { rows, scores } = buffers;
        if let [only] = self.members.as_slice() {
            #[cfg(feature = "import")]
            if only.is_scored_by_graph(codes, texts, out) {
                return;
            }
            let (x, sparse) = only.recipe.encode_block(codes, texts, rows);
            return only.scores(x, &sparse, out);
        }
        out.fill(0.0);
        scores.resize(out.len(), 0.0);
        for (first, Member { recipe, .. }) in self.members.iter().enumerate() {
            if self.first_with_recipe_of(first) < first {
                continue;
            }
            let (x, sparse) = recipe.encode_block(codes, texts, rows);
            for member in self.members[first..].iter().filter(|member| Arc::ptr_eq(&member.recipe, recipe)) {
                member.scores(x, &sparse, scores);
                out.iter_mut().zip(&*scores).for_each(|(sum, score)| *sum += member.weight * score);
            }
        }
        if self.task() == Task::Classification {
            // A sum of rounded numbers; what is no probability at all stays visible.
            out.iter_mut().filter(|p| **p > 1.0 && **p < 1.0 + 1e-6).for_each(|p| *p = 1.0);
        }
    }

    /// The decision unless a request gives another threshold: the most probable class, or the threshold that training
    /// chose.
    pub fn decision(&self) -> Decision {
        match &self.postprocessing.threshold {
            Some(found) => Decision::Threshold { threshold: found.threshold, positive: 1 },
            None => Decision::MostProbable,
        }
    }

    /// The decision for a threshold on the second of two classes; without one [`Pipeline::decision`].
    ///
    /// # Errors
    /// A threshold for a model that does not choose between two classes.
    pub fn decision_at(&self, threshold: Option<f64>) -> Result<Decision> {
        threshold.map_or_else(
            || Ok(self.decision()),
            |threshold| Decision::with_threshold(threshold, &self.schema),
        )
    }

    /// Predicts rows of codes (`n_rows × n_features`).
    pub fn predict(&self, codes: &Matrix, decision: Decision) -> Predictions {
        self.decide(self.scores(codes), decision)
    }

    /// Does as [`Pipeline::predict`] on this thread alone, for callers that use all cores themselves.
    pub fn predict_serially(&self, codes: &Matrix, decision: Decision) -> Predictions {
        let width = self.n_outputs();
        let mut scores = Matrix::zeros(codes.n_rows(), width);
        let mut buffers = Buffers::default();
        let block_rows = self.block_rows();
        let blocks = codes.values().chunks(block_rows * self.schema.n_features());
        for (block, out) in blocks.zip(scores.values_mut().chunks_mut(block_rows * width)) {
            give_way();
            self.predict_block(block, codes.texts(), &mut buffers, out);
            self.postprocessing.apply(out, width);
        }
        self.decide(scores, decision)
    }

    fn decide(&self, scores: Matrix, decision: Decision) -> Predictions {
        let classes = match self.task() {
            Task::Regression => Vec::new(),
            Task::Classification => scores.rows().map(|row| decision.class(row)).collect(),
        };
        Predictions { scores, classes }
    }
}

/// Whether rows of both schemas become the same codes, and scores mean the same.
fn reads_alike(a: &Schema, b: &Schema) -> bool {
    let same = |(a, b): (&Feature, &Feature)| {
        (&a.name, a.column_type, &a.notation, &a.nulls, &a.levels)
            == (&b.name, b.column_type, &b.notation, &b.nulls, &b.levels)
    };
    a.target == b.target
        && a.null_tokens == b.null_tokens
        && a.decimal_comma == b.decimal_comma
        && a.n_features() == b.n_features()
        && a.features.iter().zip(&b.features).all(same)
}

/// The rule by which probabilities become a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// The most probable class, the first of equals.
    MostProbable,
    /// The class `positive` of two if its probability is at least `threshold`, else the other.
    Threshold {
        /// From 0 to 1.
        threshold: f64,
        /// Index of the class that the threshold is for.
        positive: usize,
    },
}

impl Decision {
    /// The decision for a threshold on the second of two classes.
    ///
    /// # Errors
    /// A threshold for a model that does not choose between two classes.
    pub fn with_threshold(threshold: f64, schema: &Schema) -> Result<Self> {
        let n_classes = schema.target.labels.len();
        if n_classes != 2 {
            let what = match schema.target.task {
                Task::Regression => "predicts a number".to_string(),
                Task::Classification => format!("has {n_classes} classes"),
            };
            bail!("a threshold needs a model with two classes; this one {what}");
        }
        Ok(Self::Threshold { threshold, positive: 1 })
    }

    /// The class that the probabilities of one row lead to.
    pub fn class(self, probabilities: &[f64]) -> u32 {
        match self {
            Self::MostProbable => {
                let mut best = 0;
                for (class, p) in probabilities.iter().enumerate() {
                    if *p > probabilities[best] {
                        best = class;
                    }
                }
                best as u32
            }
            Self::Threshold { threshold, positive } => {
                let is_positive = probabilities[positive] >= threshold;
                (if is_positive { positive } else { 1 - positive }) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equally_probable_classes_is_predicted_and_a_threshold_is_inclusive() {
        assert_eq!(Decision::MostProbable.class(&[0.4, 0.4, 0.2]), 0);
        let decision = |threshold, positive| Decision::Threshold { threshold, positive };
        assert_eq!(decision(0.3, 1).class(&[0.7, 0.3]), 1);
        assert_eq!(decision(0.31, 1).class(&[0.7, 0.3]), 0);
        assert_eq!(decision(0.8, 0).class(&[0.7, 0.3]), 1);
    }

    fn model(file: &str, algorithm: &str) -> crate::Model {
        let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        crate::Plan { algorithm: algorithm.into(), ..crate::Plan::new(path) }.train().unwrap()
    }

    fn pipeline(file: &str) -> Pipeline {
        model(file, "tree").pipeline
    }

    #[test]
    fn an_ensemble_gives_the_weighted_mean_of_its_members_to_the_last_bit() {
        for (file, linear, n_outputs) in [
            ("penguins.csv", "logreg", 3),
            ("visits.csv", "logreg", 2),
            ("rentals.csv", "ridge", 1),
            // The linear model reads sparse terms, the forest dense ones.
            ("intents.csv", "logreg", 8),
        ] {
            let (a, b) = (model(file, linear), model(file, "forest"));
            let of_members = [&a, &b].map(|model| model.pipeline.scores(&a.golden));
            let golden = a.golden;
            // 1 and 3 are a quarter and three quarters.
            let blend = Pipeline::blend(vec![a.pipeline, b.pipeline], &[1.0, 3.0]).unwrap();
            let scores = blend.scores(&golden);
            assert_eq!(
                (blend.n_outputs() == n_outputs, blend.members[1].weight),
                (n_outputs < 8, 0.75),
                "{file}"
            );
            let pairs = of_members[0].values().iter().zip(of_members[1].values());
            let by_hand: Vec<f64> = pairs.map(|(a, b)| 0.25 * a + 0.75 * b).collect();
            assert!(scores.values().len() >= 5 * blend.n_outputs());
            for (found, wanted) in scores.values().iter().zip(by_hand) {
                let is_rounded = *found == 1.0 && (wanted - 1.0).abs() < 1e-12;
                assert!(found.to_bits() == wanted.to_bits() || is_rounded, "{file}: {found} and {wanted}");
            }
        }
    }

    #[test]
    fn an_ensemble_of_one_is_that_one_and_members_of_equal_recipes_share_it() {
        let [ridge, lasso, forest, boost] =
            ["ridge", "lasso", "forest", "boost"].map(|name| model("rentals.csv", name));
        let (golden, scores) = (ridge.golden, ridge.pipeline.scores(&lasso.golden));
        let parts = [ridge.pipeline, lasso.pipeline, forest.pipeline, boost.pipeline];
        let weights = [0.3, 0.1, 0.4, 0.2];
        let alone = Pipeline::blend(vec![clone(&parts[0]), clone(&parts[1])], &[0.1, 0.0]).unwrap();
        assert_eq!((alone.members.len(), alone.members[0].weight), (1, 1.0));
        assert_eq!(alone.scores(&golden), scores);
        let blend = Pipeline::blend(parts.iter().map(clone).collect(), &weights).unwrap();
        assert_eq!([0, 1, 2, 3].map(|i| blend.first_with_recipe_of(i)), [0, 0, 2, 2]);
        // The order of a sum moves its last bit.
        let in_turn = |row: usize, out: f64| {
            let of = |(part, weight): (&Pipeline, &f64)| weight * part.scores(&golden).row(row)[0];
            let by_hand: f64 = parts.iter().zip(&weights).map(of).sum();
            assert!((by_hand - out).abs() <= 1e-12 * out.abs(), "{by_hand} {out}");
        };
        blend.scores(&golden).values().iter().enumerate().for_each(|(row, out)| in_turn(row, *out));
        let nested = Pipeline::blend(vec![blend, clone(&parts[0])], &[0.5, 0.5]).unwrap();
        let weights: Vec<f64> = nested.members.iter().map(|member| member.weight).collect();
        assert_eq!(weights, [0.15, 0.05, 0.2, 0.1, 0.5]);
    }

    fn clone(pipeline: &Pipeline) -> Pipeline {
        let Pipeline { schema, members, postprocessing } = pipeline;
        Pipeline { schema: schema.clone(), members: members.clone(), postprocessing: postprocessing.clone() }
    }

    #[test]
    fn models_that_read_other_columns_and_weights_that_are_none_make_no_ensemble() {
        let three = pipeline("penguins.csv");
        let blend = |other: Pipeline, weights: &[f64]| {
            format!("{:#}", Pipeline::blend(vec![clone(&three), other], weights).unwrap_err())
        };
        assert!(blend(pipeline("iris.csv"), &[0.5, 0.5]).contains("read different columns"));
        let mut renamed = clone(&three);
        renamed.schema.features[0].levels.swap(0, 1);
        assert!(blend(renamed, &[0.5, 0.5]).contains("read different columns"));
        for weights in [[0.0, 0.0], [-1.0, 2.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
            assert!(blend(clone(&three), &weights).contains("numbers from 0"), "{weights:?}");
        }
        assert!(blend(clone(&three), &[1.0]).contains("one weight per model"));
        assert!(Pipeline::blend(vec![], &[]).is_err());
        let many: Vec<Pipeline> = (0..=MAX_MEMBERS).map(|_| clone(&three)).collect();
        let error = Pipeline::blend(many, &[1.0; MAX_MEMBERS + 1]).unwrap_err();
        assert!(error.to_string().contains("33 members"), "{error}");
    }

    #[test]
    fn importances_of_an_ensemble_are_shares_of_the_members_that_have_any() {
        let [tree, ridge, knn] = ["tree", "ridge", "knn"].map(|name| model("rentals.csv", name).pipeline);
        let shares = |pipeline: &Pipeline| {
            let all = pipeline.importances().unwrap();
            let sum: f64 = all.iter().sum();
            all.into_iter().map(|importance| importance / sum).collect::<Vec<f64>>()
        };
        let (of_tree, of_ridge) = (shares(&tree), shares(&ridge));
        let neighbours = clone(&knn);
        let blend = Pipeline::blend(vec![tree, ridge, knn], &[0.25, 0.25, 0.5]).unwrap();
        for ((found, a), b) in blend.importances().unwrap().iter().zip(of_tree).zip(of_ridge) {
            assert!((found - f64::midpoint(a, b)).abs() < 1e-12, "{found} of {a} and {b}");
        }
        let none = Pipeline::blend(vec![clone(&neighbours), neighbours], &[0.5, 0.5]).unwrap();
        assert!(none.importances().is_none());
    }

    #[test]
    fn scores_do_not_depend_on_the_rows_beside_and_on_who_shares_out_the_work() {
        check_blocks(&pipeline("penguins.csv"));
        let members = ["tree", "logreg", "bayes", "forest"].map(|name| model("penguins.csv", name).pipeline);
        check_blocks(&Pipeline::blend(members.into(), &[0.1, 0.2, 0.3, 0.4]).unwrap());
    }

    fn check_blocks(pipeline: &Pipeline) {
        let n_rows = 2 * BLOCK_ROWS + 1;
        let mut codes = Matrix::with_capacity(n_rows, pipeline.schema.n_features());
        for i in 0..n_rows {
            let row = codes.push_row(f64::NAN);
            // Categories have two levels or more; some values are missing.
            row.iter_mut()
                .enumerate()
                .filter(|(j, _)| (i + j) % 5 > 0)
                .for_each(|(j, code)| *code = ((i + j) % 2) as f64);
        }
        let all = pipeline.predict(&codes, Decision::MostProbable);
        assert_eq!(all, pipeline.predict_serially(&codes, Decision::MostProbable));
        for i in [0, BLOCK_ROWS - 1, BLOCK_ROWS, n_rows - 1] {
            let mut one = Matrix::with_capacity(1, codes.n_cols());
            one.push_row(0.0).copy_from_slice(codes.row(i));
            assert_eq!(pipeline.scores(&one).row(0), all.scores.row(i), "row {i}");
        }
    }

    #[test]
    fn a_score_that_is_no_number_is_found_by_its_row() {
        let mut scores = Matrix::with_capacity(3, 2);
        [[0.5, 0.5], [1.0, f64::NAN], [f64::INFINITY, 0.0]]
            .iter()
            .for_each(|row| scores.push_row(0.0).copy_from_slice(row));
        let mut predictions = Predictions { scores, classes: vec![0, 0, 0] };
        assert_eq!(predictions.first_not_finite(), Some(1));
        assert_eq!([0, 1, 2].map(|row| predictions.is_finite(row)), [true, false, false]);
        predictions.truncate(1);
        assert_eq!((predictions.first_not_finite(), predictions.classes.len()), (None, 1));
    }

    #[test]
    fn a_predictor_of_another_shape_is_refused() {
        let (mut mixed, mut number) = (pipeline("penguins.csv"), pipeline("diabetes.csv"));
        mixed.validate().unwrap();
        mixed.members[0].predictor = number.members.remove(0).predictor;
        assert!(mixed.validate().unwrap_err().to_string().contains("the predictor maps"));
    }

    #[test]
    fn a_threshold_needs_two_classes() {
        for (file, words) in [("penguins.csv", "has 3 classes"), ("diabetes.csv", "predicts a number")] {
            let schema = pipeline(file).schema;
            let error = Decision::with_threshold(0.5, &schema).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
