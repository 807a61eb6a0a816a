//! The explanations of a model, member by member.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use super::additive::{Additive, AdditiveExplainer};
use super::explanation::{Against, Explanation, Scale, Wish};
use super::interactions::Interactions;
use super::interventional::add_interventional;
use super::sampled;
use super::scale::Margins;
use super::trees::TreeExplainer;
use crate::background::give_way;
use crate::data::cells::cell::Task;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::text::{Texts, named_terms};
use crate::data::prepare::recipe::{Recipe, Slot};
use crate::model::pipeline::{Member, Pipeline};
use crate::model::predictor::{Link, Predictor};
use crate::model::reference::Reference;
use crate::order;
use crate::parallel;

/// Rows that are explained together, so that memory stays small.
const BLOCK_ROWS: usize = 64;

/// Numbers that the contributions of a block have at most, for models of many classes and columns.
const BLOCK_NUMBERS: usize = 1 << 20;

/// How one member is explained.
#[derive(Debug)]
enum Kind {
    /// `None` if the trees do not know the rows of their leaves.
    Trees(Option<TreeExplainer>),
    Additive(AdditiveExplainer),
    /// Why not.
    Unknown(&'static str),
    Sampled,
}

/// Explains the predictions of one model; made once.
#[derive(Debug)]
pub struct Explainer {
    kinds: Vec<Kind>,
    /// For each member, the features of each slot: those of a distance between two dates share it.
    slots: Vec<Arc<[[u32; 2]]>>,
    reference: Reference,
}

const NO_BACKGROUND: &str = "the model file holds no background rows; train it again with --background 100";
const NO_MEANS: &str = "the model file holds no means that contributions are measured from, as older versions wrote them; train it again, or import it again with --data SAMPLE.csv";
const NO_COVER: &str = "the model file holds neither the rows of the leaves of its trees nor background rows; train it again, or import it again with --data SAMPLE.csv";

impl Explainer {
    /// Prepares what does not depend on the row.
    pub fn new(pipeline: &Pipeline, reference: &Reference) -> Self {
        let kind = |(i, member): (usize, &Member)| match &member.predictor {
            Predictor::Trees(trees) => Kind::Trees(TreeExplainer::new(trees)),
            Predictor::Linear(_) | Predictor::NaiveBayes(_) => {
                let means = reference.means(i);
                match AdditiveExplainer::new(&member.predictor, means) {
                    Some(explainer) => Kind::Additive(explainer),
                    None => Kind::Unknown(NO_MEANS),
                }
            }
            _ => Kind::Sampled,
        };
        Self {
            kinds: pipeline.members.iter().enumerate().map(kind).collect(),
            slots: pipeline.members.iter().map(|member| features_of(&member.recipe)).collect(),
            reference: reference.clone(),
        }
    }

    /// Whether contributions are sampled.
    pub fn samples(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::Sampled))
    }

    /// Checks that the model can be explained as wished.
    ///
    /// # Errors
    /// The reason why not, and the remedy.
    pub fn check(&self, pipeline: &Pipeline, wish: Wish) -> Result<()> {
        let has_background = self.reference.background().n_rows() > 0;
        for kind in &self.kinds {
            match kind {
                Kind::Trees(None) if !has_background => bail!(NO_COVER),
                Kind::Trees(_) if wish.against == Against::Background => {
                    ensure!(has_background, NO_BACKGROUND);
                }
                Kind::Sampled => ensure!(has_background, NO_BACKGROUND),
                Kind::Unknown(why) => bail!(*why),
                Kind::Trees(_) | Kind::Additive(_) => {}
            }
        }
        if let Some(label) = wish.label {
            ensure!(label < pipeline.labels().len(), "the model has no class of number {label}");
        }
        Ok(())
    }

    /// Explains the scores of rows of codes (`n_rows × n_features`) on this thread. `classes`: the predicted class of each
    /// row; empty for regression.
    ///
    /// # Errors
    /// As [`Explainer::check`].
    pub fn explain(
        &self,
        pipeline: &Pipeline,
        codes: &Matrix,
        classes: &[u32],
        wish: Wish,
    ) -> Result<Vec<Explanation>> {
        self.check(pipeline, wish)?;
        let n_features = pipeline.schema.n_features();
        let of_members = pipeline.members.iter();
        let widest = of_members.map(|member| member.predictor.n_inputs() * pipeline.n_outputs()).max();
        let block_rows = (BLOCK_NUMBERS / widest.unwrap_or(1).max(1)).clamp(1, BLOCK_ROWS);
        let mut out = Vec::with_capacity(codes.n_rows());
        for first in (0..codes.n_rows()).step_by(block_rows) {
            give_way();
            let rows = first..(first + block_rows).min(codes.n_rows());
            let labels: Vec<Option<usize>> = rows
                .clone()
                .map(|row| {
                    let predicted = classes.get(row).map(|&class| class as usize);
                    predicted.map(|predicted| wish.label.unwrap_or(predicted))
                })
                .collect();
            let block = &codes.values()[rows.start * n_features..rows.end * n_features];
            out.extend(self.explain_block(pipeline, (block, codes.texts()), &labels, wish));
        }
        Ok(out)
    }

    fn explain_block(
        &self,
        pipeline: &Pipeline,
        codes: (&[f64], &Texts),
        labels: &[Option<usize>],
        wish: Wish,
    ) -> Vec<Explanation> {
        let mut sum: Vec<Explanation> = Vec::new();
        for (i, member) in pipeline.members.iter().enumerate() {
            let scale = if pipeline.members.len() > 1 { Scale::Prediction } else { wish.scale };
            let explained = self.explain_member(i, member, pipeline, codes, labels, Wish { scale, ..wish });
            if pipeline.members.len() == 1 {
                return explained;
            }
            if sum.is_empty() {
                sum.extend(labels.iter().zip(&explained).map(|(label, like)| Explanation {
                    label: *label,
                    base: 0.0,
                    score: 0.0,
                    scale: like.scale,
                    contributions: vec![0.0; pipeline.schema.n_features()],
                    standard_error: None,
                    terms: Vec::new(),
                }));
            }
            for (sum, part) in sum.iter_mut().zip(explained) {
                sum.base += member.weight * part.base;
                sum.score += member.weight * part.score;
                let values = sum.contributions.iter_mut().zip(&part.contributions);
                values.for_each(|(sum, value)| *sum += member.weight * value);
                for (feature, term, value) in part.terms {
                    let is_it = |known: &&mut (usize, String, f64)| known.0 == feature && known.1 == term;
                    match sum.terms.iter_mut().find(is_it) {
                        Some(known) => known.2 += member.weight * value,
                        None => sum.terms.push((feature, term, member.weight * value)),
                    }
                }
                if let Some(error) = part.standard_error {
                    let before = sum.standard_error.unwrap_or(0.0);
                    sum.standard_error = Some(before.hypot(member.weight * error));
                }
            }
        }
        // What a sampled member makes of a text has no terms.
        if self.samples() {
            sum.iter_mut().for_each(|explanation| explanation.terms.clear());
        }
        sum
    }

    fn explain_member(
        &self,
        i: usize,
        member: &Member,
        pipeline: &Pipeline,
        codes: (&[f64], &Texts),
        labels: &[Option<usize>],
        wish: Wish,
    ) -> Vec<Explanation> {
        let is_classification = pipeline.task() == Task::Classification;
        if matches!(self.kinds[i], Kind::Sampled) {
            let background = self.reference.background();
            let name = if is_classification { "probability" } else { "value" };
            return sampled::explain(member, codes, background, labels, name);
        }
        let mut buffer = Vec::new();
        let (x, sparse) = member.recipe.encode_block(codes.0, codes.1, &mut buffer);
        let n_features = pipeline.schema.n_features();
        let (base, margins, of_slots) = self.margins(i, member, x, &sparse, labels.len(), wish.against);
        let n_scores = base.len();
        let n_slots = member.recipe.n_slots();
        let link = match &member.predictor {
            Predictor::Trees(trees) => trees.parts().link,
            Predictor::Linear(linear) => linear.link(),
            _ => Link::Softmax,
        };
        let texts: Vec<usize> = pipeline.schema.vocabularies().collect();
        let explain_row = |(row, label): (usize, &Option<usize>)| {
            let terms =
                terms_of(&member.recipe, &texts, &codes.0[row * n_features..(row + 1) * n_features], codes.1);
            // Terms are columns of their own until their scale is that of the answer.
            let n_columns = n_features + terms.len();
            let mut contributions = vec![0.0; n_scores * n_columns];
            let of_row = &of_slots[row * n_scores * n_slots..(row + 1) * n_scores * n_slots];
            for (values, of_score) in
                contributions.chunks_exact_mut(n_columns).zip(of_row.chunks_exact(n_slots))
            {
                for (value, [a, b]) in of_score.iter().zip(&*self.slots[i]) {
                    values[*a as usize] += value / 2.0;
                    values[*b as usize] += value / 2.0;
                }
                for (at, (feature, slot, _)) in terms.iter().enumerate() {
                    values[*feature] -= of_score[*slot];
                    values[n_features + at] = of_score[*slot];
                }
            }
            let score = margins[row * n_scores..(row + 1) * n_scores].to_vec();
            let margins = Margins { link, base: base.clone(), score, contributions };
            let mut explanation = margins.explanation(*label, &member.target, wish.scale);
            let of_terms = explanation.contributions.split_off(n_features);
            explanation.terms = terms
                .into_iter()
                .zip(of_terms)
                .map(|((feature, _, term), value)| {
                    explanation.contributions[feature] += value;
                    (feature, term, value)
                })
                .collect();
            explanation
        };
        labels.iter().enumerate().map(explain_row).collect()
    }

    /// The base of each score, the scores of each row, and the contributions of each row's slots to each of them.
    fn margins(
        &self,
        i: usize,
        member: &Member,
        x: &[f64],
        sparse: &Sparse,
        n_rows: usize,
        against: Against,
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let background = self.reference.background();
        match (&self.kinds[i], &member.predictor) {
            (Kind::Trees(explainer), Predictor::Trees(trees)) => {
                let (n_inputs, n_scores) = (trees.n_inputs(), trees.n_scores());
                let mut margins = vec![0.0; n_rows * n_scores];
                for (x, out) in x.chunks_exact(n_inputs).zip(margins.chunks_exact_mut(n_scores)) {
                    trees.margins_into(x, out);
                }
                let mut values = vec![0.0; n_rows * n_scores * n_inputs];
                let explainer = explainer.as_ref().filter(|_| against == Against::Path);
                if let Some(explainer) = explainer {
                    explainer.explain(trees, x, &mut values);
                    return (explainer.base().to_vec(), margins, values);
                }
                let mut buffer = Vec::new();
                let (encoded, _) =
                    member.recipe.encode_block(background.values(), background.texts(), &mut buffer);
                let share = 1.0 / background.n_rows() as f64;
                let mut base = vec![0.0; n_scores];
                let mut of_row = vec![0.0; n_scores];
                for other in encoded.chunks_exact(n_inputs) {
                    trees.margins_into(other, &mut of_row);
                    base.iter_mut().zip(&of_row).for_each(|(base, score)| *base += share * score);
                    for (x, out) in x.chunks_exact(n_inputs).zip(values.chunks_exact_mut(n_scores * n_inputs))
                    {
                        add_interventional(trees, x, other, share, out);
                    }
                }
                (base, margins, values)
            }
            (Kind::Additive(explainer), predictor) => {
                let Additive { base, margins, contributions } =
                    explainer.explain(predictor, x, sparse, n_rows);
                (base, margins, contributions)
            }
            // Others are sampled, or were refused.
            _ => Default::default(),
        }
    }
}

/// The known terms of a row's texts: feature, slot and name of each.
fn terms_of(recipe: &Recipe, features: &[usize], row: &[f64], texts: &Texts) -> Vec<(usize, usize, String)> {
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    for &feature in features {
        let Some((vocabulary, first)) = recipe.vocabulary(feature) else { continue };
        let known = found.len();
        for (term, name) in named_terms(texts.get(row[feature])) {
            if let Ok(index) = vocabulary.terms.binary_search(&term) {
                found.push((feature, first + index, name));
            }
        }
        // A term that occurs again is one slot all the same.
        order::sort_by_key(&mut found[known..], |term| term.1);
        found.dedup_by_key(|term| (term.0, term.1));
    }
    found
}

/// Numbers of leaves times rows whose interactions are computed.
const MAX_LEAVES: usize = 2_000_000;
/// Rows of interactions at least, and at most.
const INTERACTION_ROWS: [usize; 2] = [10, 200];

/// Interactions of pairs of columns over some rows.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// Mean |interaction| of pairs, largest first.
    pub(crate) means: Vec<([usize; 2], f64)>,
    /// Rows that these are the mean over; 0 if no member of the model is one of trees that know the rows of their leaves.
    pub(crate) n_rows: usize,
    /// The weight of these members in the model, all members having 1.
    pub(crate) weight: f64,
}

impl Explainer {
    /// The interactions of some features: those of the members that are trees, by their weights, on the scale of the
    /// contributions. Linear members and naive Bayes have none before their link, and those of sampled members are not known.
    /// `labels`: the class of each row that is explained; none for a number.
    pub(crate) fn interactions(
        &self,
        pipeline: &Pipeline,
        codes: &Matrix,
        labels: &[Option<usize>],
        features: &[usize],
    ) -> Pairs {
        let n = features.len();
        let place = |feature: &u32| {
            let place = features.iter().position(|known| *known == *feature as usize);
            place.map_or(u32::MAX, |place| place as u32)
        };
        let mut members = Vec::new();
        for ((kind, member), slots) in self.kinds.iter().zip(&pipeline.members).zip(&self.slots) {
            if let (Kind::Trees(Some(explainer)), Predictor::Trees(trees)) = (kind, &member.predictor) {
                // Of a distance between two dates the first one.
                let places: Vec<u32> = slots.iter().map(|[feature, _]| place(feature)).collect();
                members.push((member, trees, explainer, places));
            }
        }
        if members.is_empty() {
            return Pairs::default();
        }
        let scale = if pipeline.members.len() > 1 { Scale::Prediction } else { Scale::Score };
        let n_leaves: usize = members.iter().map(|(_, trees, ..)| trees.parts().feature.len() / 2 + 1).sum();
        let [least, most] = INTERACTION_ROWS;
        let n_rows = (MAX_LEAVES / n_leaves).clamp(least, most).min(codes.n_rows());
        let n_features = codes.n_cols();
        let walkers: Vec<Interactions> = members
            .iter()
            .map(|(_, trees, explainer, places)| Interactions::new(trees, explainer.cover(), places, n))
            .collect();
        let of_rows = parallel::map_indices(n_rows, &|i| {
            give_way();
            let row = i * codes.n_rows() / n_rows;
            let codes_of_row = &codes.values()[row * n_features..(row + 1) * n_features];
            let mut sum = vec![0.0; n * n];
            for ((member, trees, explainer, _), walker) in members.iter().zip(&walkers) {
                let mut buffer = Vec::new();
                let (x, _) = member.recipe.encode_block(codes_of_row, codes.texts(), &mut buffer);
                let mut score = vec![0.0; trees.n_scores()];
                trees.margins_into(x, &mut score);
                let (link, base) = (trees.parts().link, explainer.base().to_vec());
                let margins = Margins { link, base, score, contributions: Vec::new() };
                let factors = margins.factors(labels[row], &member.target, scale);
                let of_member = walker.of_row(x, &factors);
                sum.iter_mut().zip(of_member).for_each(|(sum, value)| *sum += member.weight * value);
            }
            sum
        });
        let mut means: Vec<([usize; 2], f64)> = Vec::new();
        for a in 0..n {
            for b in a + 1..n {
                let sum: f64 = of_rows.iter().map(|of_row| of_row[a * n + b].abs()).sum();
                means.push(([features[a], features[b]], sum / n_rows.max(1) as f64));
            }
        }
        means.retain(|(_, mean)| *mean > 0.0);
        order::sort_by(&mut means, |a, b| b.1.total_cmp(&a.1));
        Pairs { means, n_rows, weight: members.iter().map(|(member, ..)| member.weight).sum() }
    }
}

/// The features of each slot of a recipe.
fn features_of(recipe: &Recipe) -> Arc<[[u32; 2]]> {
    let features = |(feature, slot): (usize, Slot)| match slot {
        Slot::DaysTo(other) => [feature as u32, other as u32],
        _ => [feature as u32; 2],
    };
    recipe.slots().into_iter().map(features).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::predictor::{sigmoid, softmax};
    use crate::model::target_transform::TargetTransform;
    use crate::{Model, Plan};

    fn model(algorithm: &str) -> Model {
        let path = format!("{}/fixtures/visits.csv", env!("CARGO_MANIFEST_DIR"));
        Plan { algorithm: algorithm.into(), ..Plan::new(path) }.train().unwrap()
    }

    #[test]
    fn an_ensemble_has_the_interactions_of_its_trees_on_the_scale_of_the_probability() {
        let (boosted, linear) = (model("boost"), model("logreg"));
        let of = |members: &[(&Model, f64)]| {
            let mut pipeline = Pipeline {
                schema: boosted.pipeline.schema.clone(),
                members: Vec::new(),
                postprocessing: Default::default(),
            };
            for (model, weight) in members {
                pipeline.members.push(Member { weight: *weight, ..model.pipeline.members[0].clone() });
            }
            let explainer = Explainer::new(&pipeline, &boosted.reference);
            let codes = &boosted.golden;
            explainer.interactions(&pipeline, codes, &vec![Some(1); codes.n_rows()], &[0, 1, 2, 3, 4])
        };
        let twice = of(&[(&boosted, 0.3), (&boosted, 0.7)]);
        let mixed = of(&[(&linear, 0.4), (&boosted, 0.6)]);
        assert!(!twice.means.is_empty() && (twice.weight - 1.0).abs() < 1e-12 && mixed.weight == 0.6);
        for ((pair, mean), (other, part)) in twice.means.iter().zip(&mixed.means) {
            assert!(pair == other && (mean * 0.6 - part).abs() < 1e-12, "{pair:?} {mean} {part}");
        }

        // By hand: the mean slope of the sigmoid between base and score times the interactions in log-odds.
        let member = &boosted.pipeline.members[0];
        let Predictor::Trees(trees) = &member.predictor else { panic!("trees") };
        let explainer = TreeExplainer::new(trees).unwrap();
        let slots = features_of(&member.recipe);
        let places: Vec<u32> = slots.iter().map(|[feature, _]| *feature).collect();
        let walker = Interactions::new(trees, explainer.cover(), &places, 5);
        let (codes, mut sums) = (&boosted.golden, [0.0; 25]);
        for row in codes.rows() {
            let mut buffer = Vec::new();
            let (x, _) = member.recipe.encode_block(row, codes.texts(), &mut buffer);
            let (mut score, base) = ([0.0], explainer.base()[0]);
            trees.margins_into(x, &mut score);
            let slope = (sigmoid(score[0]) - sigmoid(base)) / (score[0] - base);
            let of_row = walker.of_row(x, &[1.0]);
            sums.iter_mut().zip(of_row).for_each(|(sum, value)| *sum += (slope * value).abs());
        }
        for ([a, b], mean) in twice.means {
            let wanted = sums[a.min(b) * 5 + a.max(b)] / codes.n_rows() as f64;
            assert!((mean - wanted).abs() < 1e-9 * wanted, "{a} {b}: {mean} {wanted}");
        }
    }

    #[test]
    fn factors_carry_the_scores_of_many_classes_to_a_probability() {
        let (base, score) = (vec![0.5, -1.0, 0.2], vec![2.0, 0.5, -0.7]);
        let margins =
            Margins { link: Link::Softmax, base: base.clone(), score: score.clone(), contributions: vec![] };
        let factors = margins.factors(Some(2), &TargetTransform::Identity, Scale::Prediction);
        let moved: f64 = (0..3).map(|i| factors[i] * (score[i] - base[i])).sum();
        let [from, to] = [base, score].map(|mut scores| {
            softmax(&mut scores);
            scores[2]
        });
        assert!((moved - (to - from)).abs() < 1e-9, "{moved} is not {}", to - from);
    }
}
