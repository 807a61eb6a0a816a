//! The fitted preparation of features: one row of codes becomes the numbers a predictor sees.
//!
//! | column | becomes |
//! |---|---|
//! | number | missing values filled with the median, then standardised (mean 0, standard deviation 1) |
//! | boolean | 0 or 1, missing values filled with the more frequent value |
//! | category | one slot per level (the 256 most frequent), and one for all others |
//! | category of more than 256 levels | that, and the mean of the target within each level, standardised ([`TargetMeans`](super::categories::TargetMeans)) |
//! | date | year, month, day, weekday, hour, those that vary, and days since 1970, standardised; month, weekday and hour also as sine and cosine |
//! | text | a slot per known term: its count times its inverse document frequency, scaled to length 1 |
//! | list | a slot per known member: 1 if the list has it; in older model files weighted as a text |
//! | pair of numbers | both numbers, as other numbers are |
//! | any, if a training row has no value | and a slot that is 1 if the value is missing |
//!
//! That is [`Encoding::Standardised`]. Trees choose their own thresholds, subsets and default directions, and see
//! [`Encoding::Raw`]: one slot per feature that holds the code itself, for a date the parts as numbers and for a few
//! pairs of dates the days between them, for a text the counts of its terms, and for a category of more than 256 levels also the mean of the target.
//!
//! The slots of texts come after all others as sparse columns, or, for learners of dense rows, are a few ordinary
//! slots: those of the terms that say most about the target.
//!
//! Everything is fitted on the training rows only. [`Recipe::encode_block`] is the only path from codes to
//! numbers, for training, evaluation and every kind of prediction alike; only the means of the target differ in
//! the training rows ([`OutOfFold`]).

mod dates;
mod encoder;
mod fit;
mod parts;
mod scaling;

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::dates::DateParts;
use self::dates::days_between;
use self::encoder::{Encoder, Scratch, Step};
pub use self::encoder::{Scale, Slot};
pub use self::fit::{OutOfFold, TextForm};
pub use self::parts::Parts;
pub use super::categories::MAX_LEVEL_SLOTS;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::Schema;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::text::Texts;
use crate::data::prepare::vocabulary::Vocabulary;

/// Rows that a thread encodes at a time.
const ENCODED_ROWS: usize = 512;

/// The form of an encoded row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Numbers of one scale without missing values, for learners that add them up or measure distances.
    #[default]
    Standardised,
    /// The codes as they are: numbers, 0 or 1, level indices, -1 for an unseen level, NaN for a missing value.
    Raw,
}

/// A fitted recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    encoding: Encoding,
    /// Empty if codes are passed on as they are.
    encoders: Vec<Encoder>,
    /// The dates whose distance in days has a slot; these are the last of the dense ones.
    date_pairs: Vec<[usize; 2]>,
    n_dense: usize,
    n_sparse: usize,
}

impl Recipe {
    /// The recipe that passes codes on as they are.
    pub fn raw(schema: &Schema) -> Self {
        let n_dense = schema.n_features();
        Self { encoding: Encoding::Raw, encoders: Vec::new(), date_pairs: Vec::new(), n_dense, n_sparse: 0 }
    }

    /// The form of an encoded row.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn assemble(schema: &Schema, encoding: Encoding, parts: &Parts) -> Self {
        let raw = encoding == Encoding::Raw;
        let is_passed_on = raw
            && parts.vocabularies.is_empty()
            && parts.dates.is_empty()
            && parts.target_means.is_empty()
            && !parts.zero_is_missing.contains(&1)
            && schema.pairs().next().is_none();
        if is_passed_on {
            return Self::raw(schema);
        }
        let mut vocabularies = parts.vocabularies.iter();
        let mut pairs = parts.pairs.iter();
        let mut dates = parts.dates.iter();
        let mut target_means = parts.target_means.iter();
        let mut n_sparse = 0;
        let mut level_slot = parts.level_slot.iter().copied();
        let mut n_slots = 0;
        let mut encoders = Vec::with_capacity(schema.n_features());
        for (j, feature) in schema.features.iter().enumerate() {
            let first_slot = n_slots;
            let step = match feature.column_type {
                ColumnType::Text if feature.is_pair() => {
                    n_slots += 2;
                    Step::Pair { scales: pairs.next().copied() }
                }
                ColumnType::Text => {
                    let vocabulary = vocabularies.next().cloned().unwrap_or_default();
                    let first_sparse = (!parts.dense_texts).then_some(n_sparse as u32);
                    let n = if parts.dense_texts { &mut n_slots } else { &mut n_sparse };
                    *n += vocabulary.len();
                    Step::Text { vocabulary, first_sparse }
                }
                ColumnType::Date => match dates.next() {
                    Some(parts_of) => {
                        n_slots += parts_of.n_slots(encoding);
                        // If codes are passed on, so are missing values.
                        let fill = (!raw).then(|| parts.fill[j]);
                        Step::Date { fill, parts: parts_of.clone() }
                    }
                    // Does not occur: there is one for every date.
                    None => Step::Code,
                },
                _ if raw => {
                    n_slots += 1;
                    if parts.zero_is_missing.get(j) == Some(&1) { Step::NonZero } else { Step::Code }
                }
                ColumnType::Number => {
                    n_slots += 1;
                    Step::Number { fill: parts.fill[j], mean: parts.mean[j], scale: parts.scale[j] }
                }
                ColumnType::Boolean => {
                    n_slots += 1;
                    Step::Boolean { fill: parts.fill[j] }
                }
                ColumnType::Category => {
                    let other = feature.levels.len().min(MAX_LEVEL_SLOTS);
                    n_slots += other + 1;
                    let slots = level_slot.by_ref().take(feature.levels.len());
                    let slot_of_level = slots.map(|slot| slot.min(other as u32)).collect();
                    Step::Category { slot_of_level, other, is_closed: parts.fill[j].is_nan() }
                }
            };
            let has_means = feature.levels.len() > MAX_LEVEL_SLOTS;
            let means = has_means.then(|| target_means.next()).flatten();
            let means = means.map(|means| (means.clone(), n_slots));
            n_slots += means.as_ref().map_or(0, |(means, _)| means.n_outputs());
            let indicator_slot = (!raw && parts.indicator[j] != 0).then_some(n_slots);
            n_slots += usize::from(indicator_slot.is_some());
            encoders.push(Encoder { step, first_slot, target_means: means, indicator_slot });
        }
        let date_pairs = parts.date_pairs.clone();
        Self { encoding, encoders, n_dense: n_slots + date_pairs.len(), date_pairs, n_sparse }
    }

    /// The dates whose distance in days has a slot.
    pub fn date_pairs(&self) -> &[[usize; 2]] {
        &self.date_pairs
    }

    /// Whether zeros of a column are missing values.
    pub(crate) fn takes_zeros_for_missing(&self) -> bool {
        self.encoders.iter().any(|encoder| encoder.step == Step::NonZero)
    }

    /// Whether a missing value may stay one, or an unseen level become one: what is made of it then is no number.
    pub(crate) fn keeps_missing(&self) -> bool {
        let keeps = |encoder: &Encoder| match &encoder.step {
            Step::Number { fill, .. } | Step::Boolean { fill } => fill.is_nan(),
            Step::Category { is_closed, .. } => *is_closed,
            _ => false,
        };
        self.encoders.iter().any(keeps)
    }

    /// Whether some levels become means of the target.
    pub fn has_target_means(&self) -> bool {
        self.encoders.iter().any(|encoder| encoder.target_means.is_some())
    }

    /// How many numbers a row becomes.
    pub fn n_slots(&self) -> usize {
        self.n_dense + self.n_sparse
    }

    /// How many of those, the first ones, are dense.
    pub(crate) fn n_dense(&self) -> usize {
        self.n_dense
    }

    /// How many of those, the last ones, are sparse columns.
    pub fn n_sparse(&self) -> usize {
        self.n_sparse
    }

    /// How many codes a row has.
    #[cfg(feature = "import")]
    pub(crate) fn n_features(&self) -> usize {
        if self.encoders.is_empty() { self.n_dense } else { self.encoders.len() }
    }

    /// How many numbers a row takes in the memory that it is encoded in: none if its codes are passed on.
    pub(crate) fn n_buffered(&self) -> usize {
        if self.encoders.is_empty() { 0 } else { self.n_dense }
    }

    /// Whether a text becomes sparse columns, even if no term of it is known.
    pub fn has_sparse_texts(&self) -> bool {
        self.encoders.iter().any(|encoder| matches!(encoder.step, Step::Text { first_sparse: Some(_), .. }))
    }

    /// Whether the codes of a feature stand for texts.
    pub(crate) fn reads_text(&self, feature: usize) -> bool {
        let step = self.encoders.get(feature).map(|encoder| &encoder.step);
        matches!(step, Some(Step::Text { .. } | Step::Pair { .. }))
    }

    /// The vocabulary of a text feature, and the slot of its first term.
    pub(crate) fn vocabulary(&self, feature: usize) -> Option<(&Vocabulary, usize)> {
        let encoder = self.encoders.get(feature)?;
        let Step::Text { vocabulary, first_sparse } = &encoder.step else { return None };
        let first = first_sparse.map_or(encoder.first_slot, |first| self.n_dense + first as usize);
        Some((vocabulary, first))
    }

    /// The feature that each slot belongs to, and the meaning of the slot; sparse columns come last.
    pub fn slots(&self) -> Vec<(usize, Slot)> {
        if self.encoders.is_empty() {
            return (0..self.n_dense).map(|feature| (feature, Slot::Value)).collect();
        }
        let (mut slots, mut sparse) = (Vec::with_capacity(self.n_slots()), Vec::new());
        for (feature, encoder) in self.encoders.iter().enumerate() {
            encoder.describe(self.encoding, feature, &mut slots, &mut sparse);
        }
        slots.extend(self.date_pairs.iter().map(|&[from, to]| (from, Slot::DaysTo(to))));
        slots.extend(sparse);
        slots
    }

    /// Encodes one row of `n_features` codes into `out`, all finite unless codes are passed on or missing values are
    /// kept; sparse columns are added to those of the scratch.
    fn encode_row(&self, row: &[f64], texts: &Texts, out: &mut [f64], scratch: &mut Scratch) {
        out.fill(0.0);
        for (encoder, &code) in self.encoders.iter().zip(row) {
            encoder.encode(self.encoding, code, texts, out, scratch);
        }
        let first = self.n_dense - self.date_pairs.len();
        for (out, &[from, to]) in out[first..].iter_mut().zip(&self.date_pairs) {
            *out = days_between(row[from], row[to]);
        }
    }

    /// Encodes a block of rows: `n_rows × n_features` codes, the texts they stand for, to the ordinary slots of
    /// each row in `buffer`, or the codes themselves if they are passed on, and the sparse columns.
    pub fn encode_block<'a>(
        &self,
        codes: &'a [f64],
        texts: &Texts,
        buffer: &'a mut Vec<f64>,
    ) -> (&'a [f64], Sparse) {
        if self.encoders.is_empty() {
            return (codes, Sparse::default());
        }
        let n_features = self.encoders.len();
        buffer.resize(codes.len() / n_features * self.n_dense, 0.0);
        let sparse = self.encode_rows(codes, texts, buffer);
        (buffer, sparse)
    }

    fn encode_rows(&self, codes: &[f64], texts: &Texts, out: &mut [f64]) -> Sparse {
        let mut scratch = Scratch { sparse: Sparse::new(self.n_sparse), ..Scratch::default() };
        let has_sparse = self.has_sparse_texts();
        for (i, row) in codes.chunks_exact(self.encoders.len()).enumerate() {
            let slots = &mut out[i * self.n_dense..(i + 1) * self.n_dense];
            self.encode_row(row, texts, slots, &mut scratch);
            if has_sparse {
                scratch.sparse.end_row();
            }
        }
        scratch.sparse
    }

    /// Encodes many rows: `n_rows × n_features` codes to `n_rows × n_slots` numbers, some of them sparse; not
    /// copied if they are passed on.
    pub fn encode<'a>(&self, codes: &'a Matrix) -> Cow<'a, Matrix> {
        if self.encoders.is_empty() {
            return Cow::Borrowed(codes);
        }
        let mut out = Matrix::zeros(codes.n_rows(), self.n_dense);
        let blocks = codes.values().par_chunks(ENCODED_ROWS * codes.n_cols().max(1));
        let encode = |(block, out): (&[f64], &mut [f64])| self.encode_rows(block, codes.texts(), out);
        let parts: Vec<Sparse> = if self.n_dense == 0 {
            blocks.map(|block| encode((block, &mut []))).collect()
        } else {
            blocks.zip(out.values_mut().par_chunks_mut(ENCODED_ROWS * self.n_dense)).map(encode).collect()
        };
        if self.has_sparse_texts() {
            let mut sparse = Sparse::new(self.n_sparse);
            parts.iter().for_each(|part| sparse.append(part));
            out.set_sparse(sparse);
        }
        Cow::Owned(out)
    }

    /// As [`Recipe::encode`], in the memory of the codes if the length of a row stays the same.
    pub fn encode_owned(&self, mut codes: Matrix) -> Matrix {
        if self.encoders.is_empty() {
            return codes;
        }
        let has_texts =
            self.encoders.iter().any(|encoder| matches!(encoder.step, Step::Text { .. } | Step::Pair { .. }));
        if has_texts || self.n_dense != codes.n_cols() {
            return self.encode(&codes).into_owned();
        }
        let (width, no_texts) = (self.n_dense.max(1), Texts::default());
        codes.values_mut().par_chunks_mut(ENCODED_ROWS * width).for_each(|block| {
            let (mut row, mut scratch) = (vec![0.0; width], Scratch::default());
            for out in block.chunks_exact_mut(width) {
                row.copy_from_slice(out);
                self.encode_row(&row, &no_texts, out, &mut scratch);
            }
        });
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::MISSING_LEVEL;
    use crate::data::cells::cell::{Task, UNSEEN};
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;
    use crate::data::cells::target::Truth;

    const MISSING: f64 = f64::NAN;

    pub(crate) fn fitted() -> (Schema, Recipe) {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "sold", "color"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 3.0, MISSING, 8.0]),
                Column::Number(vec![1.0, 1.0, 0.0, MISSING]),
                Column::Category {
                    codes: vec![0, 1, 1, MISSING_LEVEL],
                    levels: vec!["blue".into(), "red".into()],
                },
            ],
            lines: vec![2, 3, 4, 5].into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let features = [(0, ColumnType::Number), (1, ColumnType::Boolean), (2, ColumnType::Category)];
        let rows = [0, 1, 2, 3];
        let schema = Schema::fit(&table, &features, target, vec![], &rows);
        let recipe = Recipe::fit(&schema, Encoding::default(), &schema.codes(&table, &rows).unwrap());
        (schema, recipe)
    }

    fn encode(recipe: &Recipe, row: &[f64], out: &mut [f64]) {
        let mut buffer = Vec::new();
        out.copy_from_slice(recipe.encode_block(row, &Texts::default(), &mut buffer).0);
    }

    #[test]
    fn missing_values_are_filled_and_marked_and_categories_get_slots() {
        let (_, recipe) = fitted();
        let mut out = vec![9.0; recipe.n_slots()];
        // size and whether it is missing, sold likewise, blue, red, others, whether color is missing.
        assert_eq!(recipe.n_slots(), 8);
        encode(&recipe, &[3.0, 0.0, 1.0], &mut out);
        assert_eq!(out[1..], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let standardised_median = out[0];
        encode(&recipe, &[MISSING, MISSING, MISSING], &mut out);
        assert_eq!(out, [standardised_median, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        encode(&recipe, &[3.0, 0.0, UNSEEN], &mut out);
        assert_eq!(out[4..], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(recipe.slots()[5..7], [(2, Slot::Level(1)), (2, Slot::OtherLevel)]);
    }

    #[test]
    fn raw_codes_are_passed_on_as_they_are() {
        let (schema, _) = fitted();
        let recipe = Recipe::fit(&schema, Encoding::Raw, &Matrix::zeros(4, 3));
        assert_eq!((recipe.encoding(), recipe.n_slots()), (Encoding::Raw, 3));
        let mut out = [9.0; 3];
        encode(&recipe, &[3.5, MISSING, UNSEEN], &mut out);
        assert!(out[0] == 3.5 && out[1].is_nan() && out[2] == UNSEEN);
        assert_eq!(recipe.slots(), [0, 1, 2].map(|feature| (feature, Slot::Value)));
    }

    #[test]
    fn words_are_scaled_to_length_1_after_all_other_slots_or_become_a_few_of_them() {
        let table = Table {
            source: "t.csv".into(),
            names: ["said", "size"].map(String::from).to_vec(),
            columns: vec![
                {
                    let mut texts = Texts::default();
                    let codes = vec![texts.push("red apple"), texts.push("green"), MISSING];
                    Column::Text { codes, texts }
                },
                Column::Number(vec![1.0, 2.0, 3.0]),
            ],
            lines: vec![2, 3, 4].into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let features = [(0, ColumnType::Text), (1, ColumnType::Number)];
        let schema = Schema::fit(&table, &features, target, vec![], &[0, 1, 2]);
        let codes = schema.codes(&table, &[0, 1, 2]).unwrap();
        let recipe = Recipe::fit(&schema, Encoding::Standardised, &codes);
        // Whether the text is missing and the size; red, apple, red apple, green.
        assert_eq!((recipe.n_slots(), recipe.n_sparse()), (6, 4));
        let x = recipe.encode(&codes);
        assert_eq!((x.row(0)[0], x.row(2)[0], x.n_cols()), (0.0, 1.0, 2));
        let lengths = [0, 1, 2].map(|i| x.sparse().row(i).1.iter().map(|v| v * v).sum::<f64>());
        assert!((lengths[0] - 1.0).abs() < 1e-15 && lengths[1..] == [1.0, 0.0], "{lengths:?}");
        let raw = Recipe::fit(&schema, Encoding::Raw, &codes);
        let counts = raw.encode(&codes);
        assert_eq!((counts.row(1), counts.sparse().row(1).1), (&[2.0][..], &[1.0][..]));

        let truth = Truth::Values(vec![1.0, 2.0, 3.0]);
        let dense = Recipe::fit_to(&schema, Encoding::Raw, &codes, TextForm::Dense(&truth), None).0;
        assert_eq!((dense.n_slots(), dense.n_sparse()), (5, 0));
        assert_eq!(dense.encode(&codes).row(0).iter().sum::<f64>(), 4.0, "three terms and the size");
        for (recipe, encoding) in
            [(&recipe, Encoding::Standardised), (&raw, Encoding::Raw), (&dense, Encoding::Raw)]
        {
            let parts = recipe.parts();
            assert_eq!(Recipe::from_parts(&schema, encoding, &parts).unwrap(), *recipe);
            let mut broken = parts.clone();
            broken.vocabularies[0].terms.reverse();
            assert!(Recipe::from_parts(&schema, encoding, &broken).is_err());
            let mut broken = parts;
            broken.vocabularies.clear();
            assert!(Recipe::from_parts(&schema, encoding, &broken).is_err());
        }
        let mut broken = recipe.parts();
        broken.vocabularies[0].idf[0] = f64::INFINITY;
        assert!(Recipe::from_parts(&schema, Encoding::Standardised, &broken).is_err());
    }
}
