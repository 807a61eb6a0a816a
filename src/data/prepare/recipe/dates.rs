//! The slots of a date: the parts of it that vary, and for learners of one scale the cycles as angles.

use super::Encoding;
use super::scaling::mean_and_scale;
use crate::data::cells::date::{self, CYCLES, N_PARTS};

/// The slots of a date, one entry per part in the order of `date::PART_NAMES`.
#[derive(Debug, Clone, PartialEq)]
pub struct DateParts {
    /// Whether the part has a slot.
    pub kept: [bool; N_PARTS],
    /// The number that is subtracted from it; 0 if codes are passed on.
    pub mean: [f64; N_PARTS],
    /// The number that it is then divided by; 1 if codes are passed on.
    pub scale: [f64; N_PARTS],
}

impl DateParts {
    /// Keeps the parts that vary, and always the days since 1970. `column`: codes, some of them missing.
    pub(crate) fn fit(column: &[f64], fill: f64, standardised: bool) -> Self {
        let mut parts = Self { kept: [false; N_PARTS], mean: [0.0; N_PARTS], scale: [1.0; N_PARTS] };
        let mut values = column.iter().filter(|code| !code.is_nan()).map(|&code| date::parts(code));
        if let Some(first) = values.next() {
            for value in values {
                for (part, kept) in parts.kept.iter_mut().enumerate() {
                    *kept |= value[part] != first[part];
                }
            }
        }
        parts.kept[N_PARTS - 1] = true;
        if standardised {
            let filled: Vec<[f64; N_PARTS]> =
                column.iter().map(|&code| date::parts(if code.is_nan() { fill } else { code })).collect();
            for part in 0..N_PARTS {
                (parts.mean[part], parts.scale[part]) =
                    mean_and_scale(filled.len(), || filled.iter().map(|values| values[part]));
            }
        }
        parts
    }

    /// The kept parts, and whether each is cyclic.
    pub(crate) fn kept(&self, encoding: Encoding) -> impl Iterator<Item = (usize, bool)> + '_ {
        let cyclic = move |part: usize| encoding == Encoding::Standardised && CYCLES[part] > 0.0;
        (0..N_PARTS).filter(|&part| self.kept[part]).map(move |part| (part, cyclic(part)))
    }

    pub(crate) fn n_slots(&self, encoding: Encoding) -> usize {
        self.kept(encoding).map(|(_, cyclic)| if cyclic { 3 } else { 1 }).sum()
    }

    pub(crate) fn encode(&self, encoding: Encoding, code: f64, out: &mut [f64]) {
        let values = if code.is_nan() { [f64::NAN; N_PARTS] } else { date::parts(code) };
        let mut slot = 0;
        for (part, cyclic) in self.kept(encoding) {
            out[slot] = (values[part] - self.mean[part]) / self.scale[part];
            slot += 1;
            if cyclic {
                let (sin, cos) = (std::f64::consts::TAU * values[part] / CYCLES[part]).sin_cos();
                out[slot..slot + 2].copy_from_slice(&[sin, cos]);
                slot += 2;
            }
        }
    }
}
