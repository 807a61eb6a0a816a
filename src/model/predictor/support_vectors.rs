//! Support vectors as an inference form: classification and regression by kernels.
//!
//! A score is Σ coefficient · kernel(vector, row) + intercept. A regression has one. A classification has one
//! for each pair of classes, in the order (0, 1), (0, 2), … (1, 2), …; a positive score speaks for the second
//! of the pair. All pairs share the vectors, so that a kernel value is worked out once; a vector takes part
//! in the pairs of its own class only, one coefficient for each of the other classes in order. A linear
//! kernel needs no support vectors: there is one vector per score, its weights.
//!
//! The arrays of the model file:
//!
//! | array | shape | holds |
//! |---|---|---|
//! | `kernel.vectors` | vectors × inputs | the support vectors, class by class |
//! | `kernel.coefficients` | vectors × (classes − 1), or × 1 | their coefficients; none for a linear kernel |
//! | `kernel.counts` | classes, or 1 | how many vectors each class has; none for a linear kernel |
//! | `kernel.intercepts` | scores | what is added |
//! | `kernel.calibration` | scores × 2, or none | A and B of the probability 1 / (1 + exp(A score + B)) |
//! | `kernel.classes` | classes | the class of each place in a pair; none for a regression |
//! | `kernel.outputs` | 1 | numbers per row that come out; a class may be without vectors |
//! | `kernel.function` | 4 | 0 linear, 1 rbf, 2 poly; then gamma, coef0, degree |

use anyhow::{Context, Result, bail, ensure};

use super::arrays::{Array, Arrays, take_f64, take_u32};
use super::kernel::{Kernel, LANES, TOGETHER, Tiles, squared_norm};
use super::link::{sigmoid, softmax};
use super::pairwise::{count_votes, couple, pair};

/// Rows that share tiles of vectors while these are in the first-level cache.
const BLOCK_ROWS: usize = 64;

/// Scores of the rows that are scored together: a model of hundreds of classes has many thousands per row.
const BLOCK_SCORES: usize = 1 << 20;

/// Numbers of the tiles of a model: 2 GiB. A class of few vectors fills up a tile of its own.
const MAX_TILED: usize = 1 << 28;

/// The largest power of a polynomial kernel.
pub(crate) const MAX_DEGREE: u32 = 1000;

/// The meaning of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The score is the predicted value.
    Value,
    /// Calibrated probabilities of the pairs, coupled to those of the classes.
    Coupled,
    /// The votes of the pairs; not calibrated.
    Votes,
}

/// The arrays of the module's table, as they are written and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// The similarity of two rows.
    pub kernel: Kernel,
    /// The meaning of the scores.
    pub outcome: Outcome,
    /// Numbers per row that go in.
    pub n_inputs: usize,
    /// Numbers per row that come out.
    pub n_outputs: usize,
    /// `n_vectors × n_inputs`, row-major.
    pub vectors: Vec<f64>,
    /// `n_vectors × (n_classes − 1)`, row-major; empty for a linear kernel.
    pub coefficients: Vec<f64>,
    /// Vectors of each class; empty for a linear kernel.
    pub counts: Vec<u32>,
    /// One per score.
    pub intercepts: Vec<f64>,
    /// A and B per score; empty unless coupled.
    pub calibration: Vec<f64>,
    /// The class of each place in a pair, ascending; empty for a value.
    pub classes: Vec<u32>,
}

/// The vectors of one class, or all of a regression.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    tiles: Tiles,
    /// Tile, coefficient, lane; 0 behind the last vector.
    coefficients: Vec<[f64; LANES]>,
    /// The score that each coefficient of a vector belongs to.
    scores: Vec<usize>,
}

/// A fitted support vector machine.
#[derive(Debug, Clone, PartialEq)]
pub struct SupportVectors {
    /// Without `vectors` and `coefficients`.
    parts: Parts,
    groups: Vec<Group>,
}

impl SupportVectors {
    /// Puts the vectors in tiles; [`SupportVectors::validate`] says whether numbers are sound.
    ///
    /// # Errors
    /// Arrays whose shapes do not fit each other.
    pub fn new(mut parts: Parts) -> Result<Self> {
        let (d, k) = (parts.n_inputs, parts.classes.len());
        let n_vectors = parts.vectors.len().checked_div(d).unwrap_or(0);
        ensure!(d > 0 && parts.vectors.len() == n_vectors * d, "a support vector has too few numbers");
        let n_scores = match parts.outcome {
            Outcome::Value => {
                ensure!(k == 0 && parts.n_outputs == 1, "a regression has classes");
                1
            }
            _ => {
                let ascend = parts.classes.windows(2).all(|pair| pair[0] < pair[1]);
                let within = parts.classes.iter().all(|&class| (class as usize) < parts.n_outputs);
                ensure!(k >= 2 && ascend && within, "the classes of the support vectors are not in order");
                k.checked_mul(k - 1).context("too many classes")? / 2
            }
        };
        ensure!(n_vectors > 0 || k == 0, "a classifier has no support vectors");
        let n_calibrated = if parts.outcome == Outcome::Coupled { n_scores } else { 0 };
        ensure!(
            parts.intercepts.len() == n_scores && parts.calibration.len() == 2 * n_calibrated,
            "the support vectors do not have an intercept and a calibration for every score"
        );
        let all = [u32::try_from(n_vectors).context("too many support vectors")?];
        let sizes = if parts.counts.is_empty() { &all[..] } else { &parts.counts[..] };
        let n_tiled = sizes.iter().try_fold(0_usize, |sum, &n| {
            sum.checked_add((n as usize).checked_next_multiple_of(LANES)?.checked_mul(d.checked_add(k)?)?)
        });
        ensure!(n_tiled.is_some_and(|n| n <= MAX_TILED), "the support vectors are too many or too wide");
        let vectors = std::mem::take(&mut parts.vectors);
        let coefficients = std::mem::take(&mut parts.coefficients);
        let mut groups = Vec::new();
        if parts.kernel == Kernel::Linear {
            ensure!(
                n_vectors == n_scores && coefficients.is_empty() && parts.counts.is_empty(),
                "a linear kernel has one vector per score"
            );
            let tiles = Tiles::new(d, vectors.chunks_exact(d));
            groups.push(Group { tiles, coefficients: Vec::new(), scores: Vec::new() });
            return Ok(Self { parts, groups });
        }
        let width = k.max(2) - 1;
        let total = parts.counts.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n as usize));
        ensure!(
            parts.counts.len() == k.max(1)
                && total == Some(n_vectors)
                && n_vectors.checked_mul(width) == Some(coefficients.len()),
            "the support vectors do not have a coefficient for every pair of their class"
        );
        let (mut vectors, mut coefficients) = (&vectors[..], &coefficients[..]);
        for (place, &count) in parts.counts.iter().enumerate() {
            let count = count as usize;
            let (own, rest) = vectors.split_at(count * d);
            let (own_coefficients, rest_coefficients) = coefficients.split_at(count * width);
            (vectors, coefficients) = (rest, rest_coefficients);
            let tiles = Tiles::new(d, own.chunks_exact(d));
            let mut by_lane = vec![[0.0; LANES]; tiles.n_tiles() * width];
            for (i, row) in own_coefficients.chunks_exact(width).enumerate() {
                for (o, coefficient) in row.iter().enumerate() {
                    by_lane[i / LANES * width + o][i % LANES] = *coefficient;
                }
            }
            let others = (0..k).filter(|&other| other != place);
            let scores = match parts.outcome {
                Outcome::Value => vec![0],
                _ => others.map(|other| pair(place.min(other), place.max(other), k)).collect(),
            };
            groups.push(Group { tiles, coefficients: by_lane, scores });
        }
        Ok(Self { parts, groups })
    }

    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        self.parts.n_inputs
    }

    /// Numbers per row that come out.
    pub fn n_outputs(&self) -> usize {
        self.parts.n_outputs
    }

    /// Number of support vectors; of scores for a linear kernel.
    fn n_vectors(&self) -> usize {
        self.groups.iter().map(|group| group.tiles.n_rows()).sum()
    }

    /// Scores one prepared row.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        self.scores_block(x, out);
    }

    /// Scores prepared rows, some tiles of vectors with many rows at a time.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        let (d, n_scores) = (self.parts.n_inputs, self.parts.intercepts.len());
        let n_together = (BLOCK_SCORES / n_scores).clamp(1, BLOCK_ROWS);
        let n_rows = (x.len() / d).min(n_together);
        // The scores of a block, then what coupling needs.
        let n_classes = self.parts.classes.len();
        let mut buffer = vec![0.0; n_rows * n_scores + n_classes * (n_classes + 1)];
        let (scores, workspace) = buffer.split_at_mut(n_rows * n_scores);
        let n_outputs = self.parts.n_outputs;
        for (x, out) in x.chunks(n_together * d).zip(out.chunks_mut(n_together * n_outputs)) {
            self.decide(x, scores);
            for (scores, out) in scores.chunks_exact(n_scores).zip(out.chunks_exact_mut(n_outputs)) {
                self.finish(scores, out, workspace);
            }
        }
    }

    /// The scores of at most [`BLOCK_ROWS`] rows.
    fn decide(&self, x: &[f64], scores: &mut [f64]) {
        let (d, n_scores) = (self.parts.n_inputs, self.parts.intercepts.len());
        let mut norms = [0.0; BLOCK_ROWS];
        for (norm, x) in norms.iter_mut().zip(x.chunks_exact(d)) {
            *norm = squared_norm(x);
        }
        let rows = || x.chunks_exact(d).zip(&norms);
        scores.chunks_exact_mut(n_scores).for_each(|scores| scores.copy_from_slice(&self.parts.intercepts));
        let mut values = [[0.0; LANES]; TOGETHER];
        for group in &self.groups {
            let (width, n_tiles) = (group.scores.len(), group.tiles.n_tiles());
            let together = group.tiles.together();
            for first in (0..n_tiles).step_by(together) {
                let values = &mut values[..together.min(n_tiles - first)];
                for ((x, norm), scores) in rows().zip(scores.chunks_exact_mut(n_scores)) {
                    group.tiles.kernels(self.parts.kernel, x, *norm, first, values);
                    for (tile, values) in (first..).zip(&*values) {
                        if width == 0 {
                            let first = tile * LANES;
                            scores[first..].iter_mut().zip(values).for_each(|(score, value)| *score += value);
                        }
                        let coefficients = &group.coefficients[tile * width..(tile + 1) * width];
                        for (coefficients, &score) in coefficients.iter().zip(&group.scores) {
                            scores[score] += sum_of_products(coefficients, values);
                        }
                    }
                }
            }
        }
    }

    /// The scores of one row to what is predicted.
    fn finish(&self, scores: &[f64], out: &mut [f64], workspace: &mut [f64]) {
        let classes = &self.parts.classes;
        match self.parts.outcome {
            Outcome::Value => out[0] = scores[0],
            Outcome::Coupled if classes.len() == 2 => {
                out.fill(0.0);
                let score = self.calibrated(scores, 0);
                out[classes[0] as usize] = sigmoid(-score);
                out[classes[1] as usize] = sigmoid(score);
            }
            Outcome::Votes if classes.len() == 2 => {
                out.fill(0.0);
                out[classes[0] as usize] = sigmoid(-scores[0]);
                out[classes[1] as usize] = sigmoid(scores[0]);
            }
            Outcome::Coupled => {
                let (matrix, p) = workspace.split_at_mut(classes.len() * classes.len());
                couple(|pair| sigmoid(self.calibrated(scores, pair)), matrix, p);
                out.fill(0.0);
                classes.iter().zip(p).for_each(|(&class, p)| out[class as usize] = *p);
            }
            Outcome::Votes => {
                let votes = &mut workspace[..classes.len()];
                count_votes(scores, votes);
                softmax(votes);
                out.fill(0.0);
                classes.iter().zip(votes).for_each(|(&class, p)| out[class as usize] = *p);
            }
        }
    }

    /// The log-odds of the second of a pair.
    fn calibrated(&self, scores: &[f64], pair: usize) -> f64 {
        -(self.parts.calibration[2 * pair] * scores[pair] + self.parts.calibration[2 * pair + 1])
    }

    /// The mean size of an input's weights; only a linear kernel has any.
    pub fn importances(&self) -> Option<Vec<f64>> {
        if self.parts.kernel != Kernel::Linear {
            return None;
        }
        let mut importances = vec![0.0; self.parts.n_inputs];
        let mut row = vec![0.0; self.parts.n_inputs];
        let tiles = &self.groups.first()?.tiles;
        for i in 0..tiles.n_rows() {
            tiles.copy_row(i, &mut row);
            let share = 1.0 / tiles.n_rows() as f64;
            importances.iter_mut().zip(&row).for_each(|(importance, w)| *importance += share * w.abs());
        }
        Some(importances)
    }

    /// Checks the numbers; shapes were checked when the vectors were put in tiles.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        let parts = &self.parts;
        let sound = match parts.kernel {
            Kernel::Linear => true,
            Kernel::Rbf { gamma } => gamma.is_finite() && gamma >= 0.0,
            Kernel::Poly { gamma, coef0, degree } => {
                gamma.is_finite() && gamma >= 0.0 && coef0.is_finite() && degree <= MAX_DEGREE
            }
        };
        ensure!(sound, "the parameters of the kernel are out of range");
        let coefficients = self.groups.iter().flat_map(|group| group.coefficients.as_flattened());
        let mut numbers = coefficients.chain(&parts.intercepts).chain(&parts.calibration);
        ensure!(
            numbers.all(|v| v.is_finite()) && self.groups.iter().all(|group| group.tiles.is_finite()),
            "a number of the support vectors is not finite"
        );
        Ok(())
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        match self.parts.outcome {
            Outcome::Value => "kernel",
            Outcome::Coupled => "kernel-coupled",
            Outcome::Votes => "kernel-votes",
        }
    }

    /// The outcome that a name of [`SupportVectors::form`] stands for.
    pub fn outcome_of_form(form: &str) -> Option<Outcome> {
        Some(match form {
            "kernel" => Outcome::Value,
            "kernel-coupled" => Outcome::Coupled,
            "kernel-votes" => Outcome::Votes,
            _ => return None,
        })
    }

    /// Adds the arrays of the module's table.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        let parts = &self.parts;
        let (d, n_scores) = (parts.n_inputs, parts.intercepts.len());
        let mut vectors = Vec::new();
        let mut coefficients = Vec::new();
        for group in &self.groups {
            let width = group.scores.len();
            for i in 0..group.tiles.n_rows() {
                let first = vectors.len();
                vectors.resize(first + d, 0.0);
                group.tiles.copy_row(i, &mut vectors[first..]);
                let own = &group.coefficients[i / LANES * width..][..width];
                coefficients.extend(own.iter().map(|by_lane| by_lane[i % LANES]));
            }
        }
        let function = match parts.kernel {
            Kernel::Linear => [0.0; 4],
            Kernel::Rbf { gamma } => [1.0, gamma, 0.0, 0.0],
            Kernel::Poly { gamma, coef0, degree } => [2.0, gamma, coef0, f64::from(degree)],
        };
        let mut add = |name: &str, array| arrays.insert(format!("kernel.{name}"), array);
        let n_vectors = self.n_vectors();
        let width = coefficients.len().checked_div(n_vectors).unwrap_or(0);
        add("vectors", Array::F64(vec![n_vectors, d], vectors));
        add("coefficients", Array::F64(vec![n_vectors, width], coefficients));
        add("counts", Array::U32(vec![parts.counts.len()], parts.counts.clone()));
        add("intercepts", Array::F64(vec![n_scores], parts.intercepts.clone()));
        add("calibration", Array::F64(vec![parts.calibration.len() / 2, 2], parts.calibration.clone()));
        add("classes", Array::U32(vec![parts.classes.len()], parts.classes.clone()));
        add("outputs", Array::U32(vec![1], vec![parts.n_outputs as u32]));
        add("function", Array::F64(vec![4], function.to_vec()));
    }

    /// Takes the arrays out of a model file; still to be validated.
    ///
    /// # Errors
    /// An array that is missing, of another kind or shape.
    pub fn read_arrays(outcome: Outcome, arrays: &mut Arrays) -> Result<Self> {
        let n_inputs = match arrays.get("kernel.vectors") {
            Some(Array::F64(shape, _)) if shape.len() == 2 => shape[1],
            _ => bail!("the array \"kernel.vectors\" is missing or has no two dimensions"),
        };
        let kernel = match take_f64(arrays, "kernel.function")?[..] {
            [0.0, _, _, _] => Kernel::Linear,
            [1.0, gamma, _, _] => Kernel::Rbf { gamma },
            // A cast saturates, and the degree is validated.
            [2.0, gamma, coef0, degree] => Kernel::Poly { gamma, coef0, degree: degree as u32 },
            _ => bail!("the array \"kernel.function\" names no kernel"),
        };
        let outputs = take_u32(arrays, "kernel.outputs")?;
        Self::new(Parts {
            kernel,
            outcome,
            n_inputs,
            n_outputs: *outputs.first().context("the array \"kernel.outputs\" is empty")? as usize,
            vectors: take_f64(arrays, "kernel.vectors")?,
            coefficients: take_f64(arrays, "kernel.coefficients")?,
            counts: take_u32(arrays, "kernel.counts")?,
            intercepts: take_f64(arrays, "kernel.intercepts")?,
            calibration: take_f64(arrays, "kernel.calibration")?,
            classes: take_u32(arrays, "kernel.classes")?,
        })
    }
}

/// In a fixed order of four sums.
fn sum_of_products(a: &[f64; LANES], b: &[f64; LANES]) -> f64 {
    let mut sums = [0.0; 4];
    let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
    for (a, b) in a.iter().zip(b) {
        for l in 0..4 {
            sums[l] += a[l] * b[l];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes of five, the second and fourth without vectors, and an rbf kernel.
    fn parts(outcome: Outcome) -> Parts {
        Parts {
            kernel: Kernel::Rbf { gamma: 0.5 },
            outcome,
            n_inputs: 2,
            n_outputs: 5,
            vectors: vec![0.0, 0.0, 1.0, 0.0, 2.0, 2.0, -1.0, 1.0],
            coefficients: vec![-1.0, -0.5, -0.25, 0.0, 1.0, -0.75, 0.5, 0.75],
            counts: vec![2, 1, 1],
            intercepts: vec![0.1, 0.2, -0.3],
            calibration: if outcome == Outcome::Coupled {
                vec![-2.0, 0.1, -1.5, 0.0, -3.0, -0.2]
            } else {
                vec![]
            },
            classes: vec![0, 2, 4],
        }
    }

    #[test]
    fn scores_are_those_of_the_definition_for_a_row_and_for_a_block() {
        let machine = SupportVectors::new(parts(Outcome::Coupled)).unwrap();
        machine.validate().unwrap();
        let rows: Vec<[f64; 2]> =
            (0..150).map(|i| [f64::from(i % 13) / 4.0 - 1.0, f64::from(i % 7) / 3.0 - 1.0]).collect();
        let mut block = vec![0.0; rows.len() * 5];
        machine.scores_block(rows.as_flattened(), &mut block);
        for (x, in_block) in rows.iter().zip(block.chunks_exact(5)) {
            let mut out = [9.0; 5];
            machine.scores_into(x, &mut out);
            assert_eq!(out, in_block);
            let k = |a: f64, b: f64| (-0.5 * ((a - x[0]).powi(2) + (b - x[1]).powi(2))).exp();
            let values = [k(0.0, 0.0), k(1.0, 0.0), k(2.0, 2.0), k(-1.0, 1.0)];
            let scores = [
                -values[0] - 0.25 * values[1] + values[2] + 0.1,
                -0.5 * values[0] + 0.5 * values[3] + 0.2,
                -0.75 * values[2] + 0.75 * values[3] - 0.3,
            ];
            let mut found = [0.0; 3];
            machine.decide(x, &mut found);
            for (found, score) in found.iter().zip(scores) {
                assert!((found - score).abs() < 1e-14);
            }
            assert!((out.iter().sum::<f64>() - 1.0).abs() < 1e-14 && out[1] == 0.0 && out[3] == 0.0);
        }
    }

    #[test]
    fn arrays_make_the_same_vectors_again() {
        let linear = Parts {
            kernel: Kernel::Linear,
            vectors: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            coefficients: vec![],
            counts: vec![],
            ..parts(Outcome::Votes)
        };
        let value = Parts {
            kernel: Kernel::Poly { gamma: 0.25, coef0: -1.0, degree: 4 },
            n_outputs: 1,
            coefficients: vec![1.0, 2.0, 3.0, 4.0],
            counts: vec![4],
            intercepts: vec![7.0],
            classes: vec![],
            ..parts(Outcome::Value)
        };
        for parts in [parts(Outcome::Coupled), parts(Outcome::Votes), linear, value] {
            let machine = SupportVectors::new(parts).unwrap();
            machine.validate().unwrap();
            let mut arrays = Arrays::new();
            machine.write_arrays(&mut arrays);
            let outcome = SupportVectors::outcome_of_form(machine.form()).unwrap();
            assert_eq!(SupportVectors::read_arrays(outcome, &mut arrays).unwrap(), machine);
            assert!(arrays.is_empty());
        }
    }

    #[test]
    fn shapes_that_do_not_fit_and_numbers_that_are_not_finite_are_refused() {
        let broken = |change: fn(&mut Parts)| {
            let mut parts = parts(Outcome::Coupled);
            change(&mut parts);
            SupportVectors::new(parts).and_then(|machine| machine.validate()).is_err()
        };
        assert!(broken(|p| p.n_inputs = 0));
        assert!(broken(|p| p.n_inputs = 3));
        assert!(broken(|p| p.n_outputs = 4), "a class that does not exist");
        assert!(broken(|p| p.classes = vec![0, 2, 2]));
        assert!(broken(|p| p.classes = vec![0]));
        assert!(broken(|p| p.counts = vec![2, 1, 2]));
        assert!(broken(|p| p.counts = vec![2, 2]));
        assert!(broken(|p| p.coefficients.truncate(7)));
        assert!(broken(|p| p.intercepts.truncate(2)));
        assert!(broken(|p| p.calibration.clear()));
        assert!(broken(|p| p.kernel = Kernel::Linear));
        assert!(broken(|p| p.kernel = Kernel::Rbf { gamma: f64::NAN }));
        assert!(broken(|p| p.kernel = Kernel::Poly { gamma: 1.0, coef0: 0.0, degree: MAX_DEGREE + 1 }));
        assert!(broken(|p| p.vectors[3] = f64::INFINITY));
        assert!(broken(|p| p.vectors[3] = 1e200), "a norm that overflows");
        assert!(broken(|p| p.coefficients[3] = f64::NAN));
        assert!(broken(|p| p.outcome = Outcome::Value));
    }
}
