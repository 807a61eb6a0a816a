//! One feature of a fitted recipe: the slots that a code becomes.

use super::Encoding;
use super::dates::DateParts;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::text::{Terms, Texts};
use crate::data::prepare::categories::TargetMeans;
use crate::data::prepare::vocabulary::Vocabulary;

/// The meaning of a slot within its feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The value itself.
    Value,
    /// Whether it is this level, an index into the levels of the feature.
    Level(usize),
    /// Whether it is a level without a slot of its own.
    OtherLevel,
    /// A part of a date, an index into [`PART_NAMES`](crate::data::cells::date::PART_NAMES), or the sine or cosine of it.
    DatePart(usize),
    /// The weight of a term of a text.
    Term,
    /// A mean of the target within the level.
    TargetMean,
    /// Whether the value is missing.
    Missing,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Number { fill: f64, mean: f64, scale: f64 },
    Boolean { fill: f64 },
    Category { slot_of_level: Vec<u32>, other: usize },
    Code,
    Date { fill: Option<f64>, parts: DateParts },
    Text { vocabulary: Vocabulary, first_sparse: Option<u32> },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoder {
    pub(super) step: Step,
    pub(super) first_slot: usize,
    /// The target's means within the levels, and their first slot.
    pub(super) target_means: Option<(TargetMeans, usize)>,
    pub(super) indicator_slot: Option<usize>,
}

/// What the encoding of texts needs on the way; nothing is allocated where there are none.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) terms: Terms,
    pub(super) sparse: Sparse,
}

impl Encoder {
    /// Encodes one code into the slots of this feature in `out`, which hold 0; sparse columns are added to those of
    /// the scratch.
    #[inline]
    pub(super) fn encode(
        &self,
        encoding: Encoding,
        code: f64,
        texts: &Texts,
        out: &mut [f64],
        scratch: &mut Scratch,
    ) {
        let first = self.first_slot;
        let missing = code.is_nan();
        match &self.step {
            Step::Code => out[first] = code,
            Step::Number { fill, mean, scale } => {
                out[first] = (if missing { *fill } else { code } - mean) / scale;
            }
            Step::Boolean { fill } => out[first] = if missing { *fill } else { code },
            Step::Date { fill, parts } => {
                let code = if missing { fill.unwrap_or(code) } else { code };
                parts.encode(encoding, code, &mut out[first..first + parts.n_slots(encoding)]);
            }
            Step::Category { .. } if missing => {}
            Step::Category { slot_of_level, other } => {
                // UNSEEN is negative and lies past every level when cast.
                let slot = slot_of_level.get(code as i64 as usize).map_or(*other, |&s| s as usize);
                out[first + slot] = 1.0;
            }
            Step::Text { vocabulary, first_sparse } => {
                let Scratch { terms, sparse } = scratch;
                let known = vocabulary.of(texts.get(code), terms);
                let values = if let Some(first) = first_sparse {
                    let before = sparse.open_values_mut().len();
                    known.for_each(|(index, value)| sparse.push(first + index as u32, value));
                    &mut sparse.open_values_mut()[before..]
                } else {
                    let values = &mut out[first..first + vocabulary.len()];
                    known.for_each(|(index, value)| values[index] = value);
                    values
                };
                if encoding == Encoding::Standardised {
                    scale_to_length_1(values);
                }
            }
        }
        if let Some((means, first)) = &self.target_means {
            out[*first..first + means.n_outputs()].copy_from_slice(means.of(code));
        }
        if let (true, Some(slot)) = (missing, self.indicator_slot) {
            out[slot] = 1.0;
        }
    }

    /// Adds the meaning of each slot of this feature, `feature`, to those of a row, ordinary or sparse.
    pub(super) fn describe(
        &self,
        encoding: Encoding,
        feature: usize,
        dense: &mut Vec<(usize, Slot)>,
        sparse: &mut Vec<(usize, Slot)>,
    ) {
        match &self.step {
            Step::Category { slot_of_level, other } => {
                let first = dense.len();
                dense.resize(first + other + 1, (feature, Slot::OtherLevel));
                for (level, &slot) in slot_of_level.iter().enumerate() {
                    if (slot as usize) < *other {
                        dense[first + slot as usize].1 = Slot::Level(level);
                    }
                }
            }
            Step::Date { parts, .. } => {
                for (part, cyclic) in parts.kept(encoding) {
                    let n = if cyclic { 3 } else { 1 };
                    dense.extend(std::iter::repeat_n((feature, Slot::DatePart(part)), n));
                }
            }
            Step::Text { vocabulary, first_sparse } => {
                let slots = if first_sparse.is_some() { sparse } else { &mut *dense };
                slots.extend(std::iter::repeat_n((feature, Slot::Term), vocabulary.len()));
            }
            Step::Code | Step::Number { .. } | Step::Boolean { .. } => dense.push((feature, Slot::Value)),
        }
        if let Some((means, _)) = &self.target_means {
            dense.extend(std::iter::repeat_n((feature, Slot::TargetMean), means.n_outputs()));
        }
        if self.indicator_slot.is_some() {
            dense.push((feature, Slot::Missing));
        }
    }
}

/// Divides by the root of the sum of squares, unless that is 0.
fn scale_to_length_1(values: &mut [f64]) {
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|v| *v /= length);
    }
}
