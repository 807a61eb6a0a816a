//! The numbers of a recipe as the model file holds them, checked before a recipe is made of them.

use anyhow::{Result, ensure};

use super::dates::{DateParts, MAX_DATE_PAIRS};
use super::encoder::{Encoder, Step};
use super::{Encoding, MAX_LEVEL_SLOTS, Recipe, Scale};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date::{self, N_PARTS};
use crate::data::cells::feature::Feature;
use crate::data::cells::schema::Schema;
use crate::data::prepare::categories::TargetMeans;
use crate::data::prepare::vocabulary::{MAX_TERMS, Vocabulary};

/// The longest row that a recipe may make, sparse columns aside: 128 MiB.
const MAX_DENSE_SLOTS: usize = 1 << 24;

/// The numbers a recipe consists of, one entry per feature, for the model file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// The replacement of a missing number or boolean, 0 for a category. In models of other programs NaN, if a missing
    /// value, and for a category an unseen one too, makes a row one that cannot be scored.
    pub fill: Vec<f64>,
    /// The number that is subtracted from a number; 0 for others.
    pub mean: Vec<f64>,
    /// The number that it is then divided by; 1 for others.
    pub scale: Vec<f64>,
    /// Whether the feature has a slot that is 1 if the value is missing (1) or not (0).
    pub indicator: Vec<u8>,
    /// For each level of each category in turn, its slot within the feature; the last slot is for all others.
    pub level_slot: Vec<u32>,
    /// For each text or list in turn its known terms.
    pub vocabularies: Vec<Vocabulary>,
    /// Whether texts become ordinary slots.
    pub dense_texts: bool,
    /// For each pair of numbers in turn how these are standardised; empty if they are not.
    pub pairs: Vec<[Scale; 2]>,
    /// The parts of each date feature in turn.
    pub dates: Vec<DateParts>,
    /// The pairs of date features that give the days from the first to the second.
    pub date_pairs: Vec<[usize; 2]>,
    /// For each category of more than [`MAX_LEVEL_SLOTS`] levels in turn the mean of the target within each; empty
    /// if no category has any.
    pub target_means: Vec<TargetMeans>,
    /// Whether 0 is a missing value of the feature (1) or not (0), in models of other programs; empty if of none.
    pub zero_is_missing: Vec<u8>,
}

impl Recipe {
    /// The recipe of a model file.
    ///
    /// # Errors
    /// Parts that do not fit the schema, or numbers that are not finite.
    pub fn from_parts(schema: &Schema, encoding: Encoding, parts: &Parts) -> Result<Self> {
        let standardised = encoding == Encoding::Standardised;
        ensure!(
            parts.vocabularies.len() == schema.vocabularies().count(),
            "the recipe does not have one vocabulary per text"
        );
        for (Vocabulary { terms, idf }, feature) in parts.vocabularies.iter().zip(schema.vocabularies()) {
            let n_idf = if standardised { terms.len() } else { 0 };
            let is_weighted =
                idf.len() == n_idf || (idf.is_empty() && schema.features[feature].takes_arrays());
            ensure!(
                terms.len() <= MAX_TERMS && terms.is_sorted_by(|a, b| a < b) && is_weighted,
                "a vocabulary is not made of distinct terms in order with a weight each"
            );
            // Not above 1 + ln of more rows than there can be.
            ensure!(idf.iter().all(|v| (1.0..=64.0).contains(v)), "the weight of a term is out of range");
        }
        ensure!(
            parts.dates.len() == schema.dates().count(),
            "the recipe does not have the parts of every date"
        );
        for date in &parts.dates {
            ensure!(
                date.kept[N_PARTS - 1]
                    && date.mean.iter().chain(&date.scale).all(|v| v.is_finite())
                    && date.scale.iter().all(|&s| s > 0.0),
                "the recipe of a date has no slot, or holds numbers that are not finite"
            );
        }
        let is_date = |feature: &usize| schema.dates().any(|date| date == *feature);
        ensure!(
            parts.date_pairs.is_empty()
                || (!standardised
                    && parts.date_pairs.len() <= MAX_DATE_PAIRS
                    && parts.date_pairs.iter().all(|[a, b]| a != b && is_date(a) && is_date(b))),
            "the recipe takes days between columns that are no two dates"
        );
        let many = schema.features.iter().filter(|feature| feature.levels.len() > MAX_LEVEL_SLOTS);
        let sizes: Vec<usize> = many.map(|feature| feature.levels.len() + 1).collect();
        let fits = |(means, size): (&TargetMeans, &usize)| {
            means.n_outputs() > 0
                && size.checked_mul(means.n_outputs()) == Some(means.values().len())
                && means.values().iter().all(|v| v.is_finite())
        };
        ensure!(
            parts.target_means.is_empty()
                || (parts.target_means.len() == sizes.len()
                    && parts.target_means.iter().zip(&sizes).all(fits)),
            "the recipe does not have a finite mean of the target for every level"
        );
        // Only then can no level make a row longer than the numbers that the file holds for it.
        let n_classes = schema.target.labels.len();
        ensure!(
            parts.target_means.iter().all(|means| [1, n_classes].contains(&means.n_outputs())),
            "the recipe has means of another target"
        );
        let is_number =
            |(feature, &zero): (&Feature, &u8)| zero == 0 || feature.column_type == ColumnType::Number;
        ensure!(
            parts.zero_is_missing.is_empty()
                || (!standardised
                    && parts.zero_is_missing.len() == schema.n_features()
                    && schema.features.iter().zip(&parts.zero_is_missing).all(is_number)),
            "the recipe takes zeros for missing values in columns that are not numbers"
        );
        if standardised {
            Self::check_standardised(schema, parts)?;
        }
        let recipe = Self::assemble(schema, encoding, parts);
        ensure!(
            recipe.n_dense <= MAX_DENSE_SLOTS && u32::try_from(recipe.n_sparse).is_ok(),
            "the recipe makes rows of {} numbers and {} terms",
            recipe.n_dense,
            recipe.n_sparse
        );
        Ok(recipe)
    }

    /// Checks the numbers that only standardised rows need.
    fn check_standardised(schema: &Schema, parts: &Parts) -> Result<()> {
        let n = schema.n_features();
        let n_levels: usize = schema.features.iter().map(|f| f.levels.len()).sum();
        let lengths = [parts.fill.len(), parts.mean.len(), parts.scale.len(), parts.indicator.len()];
        ensure!(
            lengths == [n; 4] && parts.level_slot.len() == n_levels,
            "the recipe does not have one entry per feature"
        );
        ensure!(
            parts.pairs.len() == schema.pairs().count()
                && parts.pairs.iter().flatten().all(|of| {
                    [of.fill, of.mean, of.scale].iter().all(|v| v.is_finite()) && of.scale > 0.0
                }),
            "the recipe does not have finite scales for both numbers of every pair"
        );
        let mut numbers = parts.mean.iter().chain(&parts.scale);
        ensure!(
            numbers.all(|v| v.is_finite())
                && parts.fill.iter().all(|v| !v.is_infinite())
                && parts.scale.iter().all(|&s| s > 0.0),
            "the recipe holds numbers that are not finite or scales that are not positive"
        );
        ensure!(
            schema.dates().all(|feature| date::in_calendar(parts.fill[feature], parts.fill[feature])),
            "the recipe fills missing values with a number that is no date"
        );
        ensure!(
            parts.level_slot.iter().all(|&slot| slot as usize <= MAX_LEVEL_SLOTS),
            "the recipe names a slot that does not exist"
        );
        Ok(())
    }

    /// The numbers that make this recipe again together with its schema; empty if codes are passed on.
    pub fn parts(&self) -> Parts {
        let mut parts = Parts { date_pairs: self.date_pairs.clone(), ..Parts::default() };
        for encoder in &self.encoders {
            if let Step::Text { vocabulary, first_sparse } = &encoder.step {
                parts.vocabularies.push(vocabulary.clone());
                parts.dense_texts |= first_sparse.is_none();
            }
            if let Step::Pair { scales } = &encoder.step {
                parts.pairs.extend(scales);
            }
            if let Step::Date { parts: date, .. } = &encoder.step {
                parts.dates.push(date.clone());
            }
            parts.target_means.extend(encoder.target_means.iter().map(|(means, _)| means.clone()));
            if self.encoding == Encoding::Raw {
                continue;
            }
            let (fill, mean, scale) = match &encoder.step {
                Step::Number { fill, mean, scale } => (*fill, *mean, *scale),
                Step::Boolean { fill } => (*fill, 0.0, 1.0),
                Step::Date { fill, .. } => (fill.unwrap_or(0.0), 0.0, 1.0),
                Step::Code | Step::NonZero | Step::Text { .. } | Step::Pair { .. } => (0.0, 0.0, 1.0),
                Step::Category { slot_of_level, is_closed, .. } => {
                    parts.level_slot.extend(slot_of_level);
                    (if *is_closed { f64::NAN } else { 0.0 }, 0.0, 1.0)
                }
            };
            parts.fill.push(fill);
            parts.mean.push(mean);
            parts.scale.push(scale);
            parts.indicator.push(u8::from(encoder.indicator_slot.is_some()));
        }
        let is_non_zero = |encoder: &Encoder| encoder.step == Step::NonZero;
        if self.encoders.iter().any(is_non_zero) {
            parts.zero_is_missing =
                self.encoders.iter().map(|encoder| u8::from(is_non_zero(encoder))).collect();
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prepare::recipe::tests::fitted;

    #[test]
    fn means_of_the_target_that_do_not_fit_the_levels_are_refused() {
        let (mut schema, recipe) = fitted();
        schema.target.labels = ["a", "b", "c"].map(String::from).to_vec();
        let n = MAX_LEVEL_SLOTS + 1;
        schema.features[2].levels = (0..n).map(|i| format!("{i:04}")).collect();
        schema.features[2].counts = vec![1; n];
        let level_slot: Vec<u32> = (0..n as u32).collect();
        let means = |n_outputs, n| vec![TargetMeans::of_values(n_outputs, vec![0.5; n])];
        let recipe_of = |target_means| {
            let parts = Parts { level_slot: level_slot.clone(), target_means, ..recipe.parts() };
            Recipe::from_parts(&schema, Encoding::Standardised, &parts)
        };
        let good = recipe_of(means(3, (n + 1) * 3)).unwrap();
        assert!(good.has_target_means());
        assert_eq!(Recipe::from_parts(&schema, Encoding::Standardised, &good.parts()).unwrap(), good);
        for bad in [
            means(3, n * 3),
            means(2, (n + 1) * 2),
            means(0, 0),
            [means(1, n + 1), means(1, n + 1)].concat(),
            vec![TargetMeans::of_values(1, vec![f64::NAN; n + 1])],
        ] {
            assert!(recipe_of(bad).is_err());
        }
        assert!(!recipe_of(Vec::new()).unwrap().has_target_means(), "as older programs wrote it");
    }

    #[test]
    fn a_number_of_means_that_overflows_is_refused() {
        let (mut schema, recipe) = fitted();
        let n = MAX_LEVEL_SLOTS * 2 - 1;
        schema.features[2].levels = (0..n).map(|i| format!("{i:04}")).collect();
        schema.features[2].counts = vec![1; n];
        // 512 times as many are 0 in 64 bits.
        let target_means = vec![TargetMeans::of_values(1 << (usize::BITS - 9), Vec::new())];
        let level_slot = vec![0; n];
        let parts = Parts { level_slot, target_means, ..recipe.parts() };
        assert!(Recipe::from_parts(&schema, Encoding::Standardised, &parts).is_err());
    }

    #[test]
    fn parts_make_the_same_recipe_again_and_nonsense_is_refused() {
        let (schema, recipe) = fitted();
        let parts = recipe.parts();
        assert_eq!(Recipe::from_parts(&schema, Encoding::Standardised, &parts).unwrap(), recipe);
        let mut broken = parts.clone();
        broken.scale[0] = 0.0;
        assert!(Recipe::from_parts(&schema, Encoding::Standardised, &broken).is_err());
        let mut broken = parts.clone();
        broken.fill[0] = f64::INFINITY;
        assert!(Recipe::from_parts(&schema, Encoding::Standardised, &broken).is_err());
        let mut broken = parts;
        broken.level_slot.push(0);
        assert!(Recipe::from_parts(&schema, Encoding::Standardised, &broken).is_err());
    }
}
