//! One feature of a fitted recipe: the slots that a code becomes.

use super::Encoding;
use super::dates::DateParts;
use crate::data::cells::pair;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::text::{Terms, Texts};
use crate::data::prepare::categories::TargetMeans;
use crate::data::prepare::vocabulary::Vocabulary;

/// Numbers up to this distance from 0 are 0 to LightGBM (`kZeroThreshold`, a constant of single precision).
const ZERO: f64 = 1e-35_f32 as f64;

/// The meaning of a slot within its feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The value itself.
    Value,
    /// Whether it is this level, an index into the levels of the feature.
    Level(usize),
    /// Whether it is a level without a slot of its own.
    OtherLevel,
    /// A part of a date, an index into `date::PART_NAMES`, or the sine or cosine of it.
    DatePart(usize),
    /// The days from the date of this feature to that of another.
    DaysTo(usize),
    /// The first or the second number of a pair.
    PairNumber(usize),
    /// The weight of a term of a text.
    Term,
    /// A mean of the target within the level.
    TargetMean,
    /// Whether the value is missing.
    Missing,
}

/// How one number of a pair is filled and standardised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The replacement of a missing value.
    pub fill: f64,
    /// The number that is subtracted.
    pub mean: f64,
    /// The number that it is then divided by.
    pub scale: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Number {
        fill: f64,
        mean: f64,
        scale: f64,
    },
    Boolean {
        fill: f64,
    },
    Category {
        slot_of_level: Vec<u32>,
        other: usize,
        /// Whether a missing or unseen level makes the row one that cannot be scored.
        is_closed: bool,
    },
    Code,
    /// The code, but missing if it is 0: a number that a model of LightGBM reads with `zero_as_missing`.
    NonZero,
    Date {
        fill: Option<f64>,
        parts: DateParts,
    },
    Text {
        vocabulary: Vocabulary,
        first_sparse: Option<u32>,
    },
    /// The scales of both numbers, if they are standardised.
    Pair {
        scales: Option<[Scale; 2]>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoder {
    pub(super) step: Step,
    pub(super) first_slot: usize,
    /// The target's means within the levels, and their first slot.
    pub(super) target_means: Option<(TargetMeans, usize)>,
    pub(super) indicator_slot: Option<usize>,
}

/// Memory for the encoding of texts; nothing is allocated if there are none.
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
            Step::NonZero => out[first] = if code.abs() <= ZERO { f64::NAN } else { code },
            Step::Number { fill, mean, scale } => {
                out[first] = (if missing { *fill } else { code } - mean) / scale;
            }
            Step::Boolean { fill } => out[first] = if missing { *fill } else { code },
            Step::Date { fill, parts } => {
                let code = if missing { fill.unwrap_or(code) } else { code };
                parts.encode(encoding, code, &mut out[first..first + parts.n_slots(encoding)]);
            }
            Step::Category { is_closed: false, .. } if missing => {}
            Step::Category { slot_of_level, other, is_closed } => {
                // UNSEEN is negative and lies past every level when cast.
                let slot = slot_of_level.get(code as i64 as usize).filter(|_| !missing);
                match slot {
                    None if *is_closed => out[first + other] = f64::NAN,
                    slot => out[first + slot.map_or(*other, |&slot| slot as usize)] = 1.0,
                }
            }
            Step::Pair { scales } => {
                let numbers = pair::numbers(texts.get(code));
                for (i, out) in out[first..first + 2].iter_mut().enumerate() {
                    let number = numbers.map(|numbers| numbers[i]);
                    *out = match scales {
                        Some(scales) => {
                            let Scale { fill, mean, scale } = scales[i];
                            (number.unwrap_or(fill) - mean) / scale
                        }
                        None => number.unwrap_or(f64::NAN),
                    };
                }
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
                if !vocabulary.idf.is_empty() {
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
            Step::Category { slot_of_level, other, .. } => {
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
            Step::Pair { .. } => dense.extend([0, 1].map(|number| (feature, Slot::PairNumber(number)))),
            Step::Text { vocabulary, first_sparse } => {
                let slots = if first_sparse.is_some() { sparse } else { &mut *dense };
                slots.extend(std::iter::repeat_n((feature, Slot::Term), vocabulary.len()));
            }
            Step::Code | Step::NonZero | Step::Number { .. } | Step::Boolean { .. } => {
                dense.push((feature, Slot::Value))
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::{ColumnType, MISSING_LEVEL, Task, UNSEEN};
    use crate::data::cells::matrix::Matrix;
    use crate::data::cells::schema::Schema;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::{Target, Truth};
    use crate::data::prepare::recipe::{Recipe, TextForm};

    /// More rows than a thread encodes at a time: number, boolean, category, date and text, each with missing
    /// values.
    fn mixed() -> (Schema, Matrix) {
        let n = 1100;
        let number = |row: usize, every: usize, value: f64| if row % every == 3 { f64::NAN } else { value };
        let mut texts = Texts::default();
        let said: Vec<f64> = (0..n)
            .map(|row| match row % 5 {
                0 => f64::NAN,
                i => texts.push(["", "red apple", "green apple apple", "", "pear"][i]),
            })
            .collect();
        let level = |row: usize| if row % 9 == 4 { MISSING_LEVEL } else { (row * 7 % 3) as u32 };
        let day = |row: usize| number(row, 6, (row * 40) as f64 * 86_400.0);
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "sold", "color", "day", "said"].map(String::from).to_vec(),
            columns: vec![
                Column::Number((0..n).map(|row| number(row, 7, (row * 37 % 101) as f64)).collect()),
                Column::Number((0..n).map(|row| number(row, 11, f64::from(row as u32 % 3 / 2))).collect()),
                Column::Category {
                    codes: (0..n).map(level).collect(),
                    levels: ["blue", "green", "red"].map(String::from).to_vec(),
                },
                Column::Number((0..n).map(day).collect()),
                Column::Text { codes: said, texts },
            ],
            lines: (0..n as u64).map(|row| row + 2).collect::<Vec<_>>().into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let types = [
            ColumnType::Number,
            ColumnType::Boolean,
            ColumnType::Category,
            ColumnType::Date,
            ColumnType::Text,
        ];
        let features: Vec<(usize, ColumnType)> = (0..).zip(types).collect();
        let rows: Vec<usize> = (0..n).collect();
        let schema = Schema::fit(&table, &features, target, vec![], &rows);
        let codes = schema.codes(&table, &rows).unwrap();
        (schema, codes)
    }

    fn same(a: &[f64], b: &[f64]) -> bool {
        a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
    }

    #[test]
    fn a_block_is_encoded_as_each_of_its_rows_alone() {
        let (schema, codes) = mixed();
        let truth = Truth::Values((0..codes.n_rows()).map(|row| (row % 5) as f64).collect());
        for encoding in [Encoding::Standardised, Encoding::Raw] {
            for form in [TextForm::Sparse, TextForm::Dense(&truth)] {
                let recipe = Recipe::fit_to(&schema, encoding, &codes, form, None).0;
                let n_dense = recipe.n_slots() - recipe.n_sparse();
                let whole = recipe.encode(&codes);
                let owned = recipe.encode_owned(codes.clone());
                assert!(same(owned.values(), whole.values()));
                let (mut buffer, mut of_block) = (Vec::new(), Vec::new());
                let (block, sparse) = recipe.encode_block(codes.values(), codes.texts(), &mut of_block);
                assert!(same(block, whole.values()));
                for (i, row) in codes.rows().enumerate() {
                    let (alone, sparse_alone) = recipe.encode_block(row, codes.texts(), &mut buffer);
                    assert_eq!(alone.len(), n_dense);
                    assert!(same(alone, whole.row(i)), "{encoding:?} row {i}");
                    if recipe.n_sparse() > 0 {
                        assert_eq!(sparse_alone.row(0), whole.sparse().row(i), "{encoding:?} row {i}");
                        assert_eq!(sparse.row(i), whole.sparse().row(i), "{encoding:?} row {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_slot_has_a_meaning_and_standardised_slots_are_finite_even_of_a_row_of_missing_values() {
        let (schema, codes) = mixed();
        let recipe = Recipe::fit(&schema, Encoding::Standardised, &codes);
        let slots = recipe.slots();
        assert_eq!(slots.len(), recipe.n_slots());
        let mut buffer = Vec::new();
        let row = [f64::NAN; 5];
        let (out, _) = recipe.encode_block(&row, codes.texts(), &mut buffer);
        for (value, (feature, slot)) in out.iter().zip(&slots) {
            assert!(value.is_finite());
            match slot {
                Slot::Missing => assert_eq!(*value, 1.0, "feature {feature}"),
                Slot::Level(_) | Slot::OtherLevel => assert_eq!(*value, 0.0, "no level at all"),
                _ => {}
            }
        }
        let marked: Vec<usize> =
            slots.iter().filter(|(_, slot)| *slot == Slot::Missing).map(|(feature, _)| *feature).collect();
        assert_eq!(marked, [0, 1, 2, 3, 4]);
    }

    fn encoder(step: Step, first_slot: usize) -> Encoder {
        Encoder { step, first_slot, target_means: None, indicator_slot: None }
    }

    fn encoded(encoder: &Encoder, code: f64) -> [f64; 5] {
        let mut out = [0.0; 5];
        encoder.encode(Encoding::Standardised, code, &Texts::default(), &mut out, &mut Scratch::default());
        out
    }

    #[test]
    fn a_feature_writes_its_own_slots_alone() {
        let number = encoder(Step::Number { fill: 7.0, mean: 1.0, scale: 2.0 }, 1);
        assert_eq!(encoded(&number, 5.0), [0.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(encoded(&number, f64::NAN), [0.0, 3.0, 0.0, 0.0, 0.0]);
        let marked = Encoder { indicator_slot: Some(3), ..number };
        assert_eq!(encoded(&marked, 5.0), [0.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(encoded(&marked, f64::NAN), [0.0, 3.0, 0.0, 1.0, 0.0]);
        let boolean = encoder(Step::Boolean { fill: 1.0 }, 4);
        assert_eq!([0.0, 1.0, f64::NAN].map(|code| encoded(&boolean, code)[4]), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_level_has_its_slot_and_rare_and_unseen_levels_share_the_last() {
        // The level 0 has the second slot, the level 1 none of its own, the level 2 the first.
        let category =
            encoder(Step::Category { slot_of_level: vec![1, 2, 0], other: 2, is_closed: false }, 1);
        for (code, slot) in [(0.0, 2), (1.0, 3), (2.0, 1), (3.0, 3), (UNSEEN, 3)] {
            let mut wanted = [0.0; 5];
            wanted[slot] = 1.0;
            assert_eq!(encoded(&category, code), wanted, "{code}");
        }
        assert_eq!(encoded(&category, f64::NAN), [0.0; 5]);
        let (mut dense, mut sparse) = (Vec::new(), Vec::new());
        category.describe(Encoding::Standardised, 6, &mut dense, &mut sparse);
        assert_eq!(dense, [(6, Slot::Level(2)), (6, Slot::Level(0)), (6, Slot::OtherLevel)]);
        assert!(sparse.is_empty());
    }

    #[test]
    fn what_is_not_filled_and_a_level_that_is_not_known_are_no_numbers() {
        let number = encoder(Step::Number { fill: f64::NAN, mean: 1.0, scale: 2.0 }, 1);
        assert_eq!(encoded(&number, 5.0), [0.0, 2.0, 0.0, 0.0, 0.0]);
        assert!(encoded(&number, f64::NAN)[1].is_nan());
        let category = encoder(Step::Category { slot_of_level: vec![1, 0], other: 2, is_closed: true }, 1);
        assert_eq!(encoded(&category, 0.0), [0.0, 0.0, 1.0, 0.0, 0.0]);
        for code in [f64::NAN, UNSEEN] {
            let out = encoded(&category, code);
            assert!(out[3].is_nan() && out[1..3] == [0.0, 0.0], "{code}");
        }
    }

    #[test]
    fn means_of_the_target_follow_the_level_and_those_of_all_rows_stand_for_what_is_unknown() {
        let means = TargetMeans::of_values(2, vec![1.0, 2.0, 3.0, 4.0, 9.0, 8.0]);
        let category = Encoder {
            target_means: Some((means, 2)),
            indicator_slot: Some(4),
            ..encoder(Step::Category { slot_of_level: vec![0, 0], other: 1, is_closed: false }, 0)
        };
        assert_eq!(encoded(&category, 1.0), [1.0, 0.0, 3.0, 4.0, 0.0]);
        assert_eq!(encoded(&category, UNSEEN), [0.0, 1.0, 9.0, 8.0, 0.0]);
        assert_eq!(encoded(&category, f64::NAN), [0.0, 0.0, 9.0, 8.0, 1.0]);
    }

    #[test]
    fn a_vector_keeps_its_direction_at_length_1_and_0_stays_0() {
        let mut values = [3.0, 0.0, -4.0];
        scale_to_length_1(&mut values);
        assert_eq!(values, [0.6, 0.0, -0.8]);
        let mut zero = [0.0; 2];
        scale_to_length_1(&mut zero);
        assert_eq!(zero, [0.0; 2]);
    }
}
