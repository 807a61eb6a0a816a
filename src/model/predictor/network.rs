//! A feed-forward network of dense layers as an inference form.
//!
//! The arrays of the model file:
//!
//! | array | holds |
//! |---|---|
//! | `net.sizes` | inputs, units of each hidden layer in turn, scores |
//! | `net.activation` | the activation of hidden units: 0 identity, 1 logistic, 2 tanh, 3 relu |
//! | `net.parameters` | of each layer in turn the weights, `inputs × units`, and the biases |

use anyhow::{Context, Result, ensure};

use super::arrays::{Array, Arrays, take_f64, take_u32};
use super::link::{Link, sigmoid};
use crate::simd::widest;

/// The function that a hidden unit applies to its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The score itself.
    Identity,
    /// 1 / (1 + e⁻ˢ).
    Logistic,
    /// The hyperbolic tangent.
    Tanh,
    /// The score, or 0 if it is negative.
    Relu,
}

impl Activation {
    /// All, in the order of their numbers in the model file.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Logistic, Self::Tanh, Self::Relu];

    /// Scores to activations in place.
    #[inline(always)]
    pub fn apply(self, scores: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Logistic => scores.iter_mut().for_each(|s| *s = sigmoid(*s)),
            Self::Tanh => scores.iter_mut().for_each(|s| *s = s.tanh()),
            // What is no number stays none.
            Self::Relu => scores.iter_mut().for_each(|s| *s = if *s <= 0.0 { 0.0 } else { *s }),
        }
    }

    /// Multiplies `by` with the slope at the scores that became these activations.
    pub fn times_slope(self, activations: &[f64], by: &mut [f64]) {
        let each = by.iter_mut().zip(activations);
        match self {
            Self::Identity => {}
            Self::Logistic => each.for_each(|(by, a)| *by *= a * (1.0 - a)),
            Self::Tanh => each.for_each(|(by, a)| *by *= 1.0 - a * a),
            Self::Relu => each.for_each(|(by, a)| *by = if *a > 0.0 { *by } else { 0.0 }),
        }
    }
}

/// Dense layers, each followed by the activation, the last by a [`Link`].
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    link: Link,
    activation: Activation,
    sizes: Vec<usize>,
    parameters: Vec<f64>,
}

/// Number of parameters of layers of these sizes; `None` if there are too many to count.
pub(crate) fn n_parameters(sizes: &[usize]) -> Option<usize> {
    sizes
        .windows(2)
        .try_fold(0_usize, |sum, pair| sum.checked_add(pair[0].checked_add(1)?.checked_mul(pair[1])?))
}

impl Network {
    /// `sizes` and `parameters` as in the module's table.
    pub fn new(link: Link, activation: Activation, sizes: Vec<usize>, parameters: Vec<f64>) -> Self {
        Self { link, activation, sizes, parameters }
    }

    /// Numbers per row that go in.
    pub fn n_inputs(&self) -> usize {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// Numbers per row that come out.
    pub fn n_outputs(&self) -> usize {
        match self.link {
            Link::Sigmoid => 2,
            _ => self.sizes.last().copied().unwrap_or(0),
        }
    }

    /// Scores one prepared row.
    pub fn scores_into(&self, x: &[f64], out: &mut [f64]) {
        self.scores_block(x, out);
    }

    /// Scores prepared rows, some together, layer by layer; the layers stay in cache.
    pub fn scores_block(&self, x: &[f64], out: &mut [f64]) {
        let widest_layer = self.sizes[1..self.sizes.len() - 1].iter().copied().max().unwrap_or(0);
        let rows = (x.len() / self.n_inputs()).min(BLOCK_ROWS);
        let mut hidden = vec![0.0; 2 * rows * widest_layer];
        let blocks = x.chunks(BLOCK_ROWS * self.n_inputs());
        for (x, out) in blocks.zip(out.chunks_mut(BLOCK_ROWS * self.n_outputs())) {
            widest!(self.block(x, &mut hidden, out));
            self.link.apply_block(out, self.n_outputs());
        }
    }

    /// The scores of up to [`BLOCK_ROWS`] rows, each at the start of its outputs.
    #[inline(always)]
    fn block(&self, x: &[f64], hidden: &mut [f64], out: &mut [f64]) {
        let (half, n_hidden, n_outputs) = (hidden.len() / 2, self.sizes.len() - 2, self.n_outputs());
        let n_rows = x.len() / self.n_inputs();
        let (mut from, mut to) = hidden.split_at_mut(half);
        let mut rest = &self.parameters[..];
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let (weights, after) = rest.split_at(pair[0] * pair[1]);
            let (biases, after) = after.split_at(pair[1]);
            let x = if layer == 0 { x } else { &from[..n_rows * pair[0]] };
            if layer == n_hidden {
                dense(weights, biases, x, n_outputs, out);
            } else {
                let to_now = &mut to[..n_rows * pair[1]];
                dense(weights, biases, x, pair[1], to_now);
                self.activation.apply(to_now);
                std::mem::swap(&mut from, &mut to);
            }
            rest = after;
        }
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        ensure!(
            self.sizes.len() >= 2 && !self.sizes.contains(&0),
            "a network has layers of {:?} units",
            self.sizes
        );
        ensure!(
            n_parameters(&self.sizes) == Some(self.parameters.len()),
            "a network of layers of {:?} units has {} parameters",
            self.sizes,
            self.parameters.len()
        );
        ensure!(self.parameters.iter().all(|v| v.is_finite()), "a parameter of the network is not finite");
        let n_scores = self.sizes[self.sizes.len() - 1];
        let fits = if self.link == Link::Softmax { n_scores >= 2 } else { n_scores == 1 };
        ensure!(fits, "a network of kind {} has {n_scores} scores", self.form());
        Ok(())
    }

    /// The name of the form in the model file.
    pub fn form(&self) -> &'static str {
        match self.link {
            Link::Sigmoid => "net-sigmoid",
            Link::Softmax => "net-softmax",
            _ => "net",
        }
    }

    /// The link that a name of [`Network::form`] stands for.
    pub fn link_of_form(form: &str) -> Option<Link> {
        Some(match form {
            "net" => Link::Identity,
            "net-sigmoid" => Link::Sigmoid,
            "net-softmax" => Link::Softmax,
            _ => return None,
        })
    }

    /// Adds the arrays of the module's table.
    pub fn write_arrays(&self, arrays: &mut Arrays) {
        let sizes: Vec<u32> = self.sizes.iter().map(|&size| size as u32).collect();
        arrays.insert("net.sizes".into(), Array::U32(vec![sizes.len()], sizes));
        arrays.insert("net.activation".into(), Array::U32(vec![1], vec![self.activation as u32]));
        let parameters = Array::F64(vec![self.parameters.len()], self.parameters.clone());
        arrays.insert("net.parameters".into(), parameters);
    }

    /// Takes the arrays of the module's table; still to be validated.
    ///
    /// # Errors
    /// An array that is missing, or an activation that is not known.
    pub fn read_arrays(link: Link, arrays: &mut Arrays) -> Result<Self> {
        let code = take_u32(arrays, "net.activation")?;
        let activation = code.first().and_then(|&code| Activation::ALL.get(code as usize)).copied();
        let activation = activation.context("the network has no known activation")?;
        let sizes = take_u32(arrays, "net.sizes")?.into_iter().map(|size| size as usize).collect();
        Ok(Self::new(link, activation, sizes, take_f64(arrays, "net.parameters")?))
    }
}

/// Rows whose layers are worked out together: enough that weights are used again, few enough that what they are
/// multiplied by stays in the nearest cache.
const BLOCK_ROWS: usize = 16;

/// biases + x · weights, in the order of the inputs, for rows of x. A row of `out` is `width` long and begins with its
/// units. Every sum is that of one row by itself, to the last bit.
#[inline(always)]
fn dense(weights: &[f64], biases: &[f64], x: &[f64], width: usize, out: &mut [f64]) {
    const ROWS: usize = 4;
    let inputs = weights.len() / biases.len();
    let mut rows = x.chunks_exact(ROWS * inputs);
    let mut outs = out.chunks_exact_mut(ROWS * width);
    for (x, out) in rows.by_ref().zip(outs.by_ref()) {
        let at = units::<ROWS, 8>(weights, biases, 0, x, width, out);
        units::<ROWS, 1>(weights, biases, at, x, width, out);
    }
    let alone = rows.remainder().chunks_exact(inputs);
    for (x, out) in alone.zip(outs.into_remainder().chunks_exact_mut(width)) {
        // More sums at once, as each waits for its last summand.
        let at = units::<1, 32>(weights, biases, 0, x, width, out);
        let at = units::<1, 8>(weights, biases, at, x, width, out);
        units::<1, 1>(weights, biases, at, x, width, out);
    }
}

/// As many units from the one at `first` on as make groups of `LANES`, for `ROWS` rows; returns the unit behind them.
#[inline(always)]
fn units<const ROWS: usize, const LANES: usize>(
    weights: &[f64],
    biases: &[f64],
    mut first: usize,
    x: &[f64],
    width: usize,
    out: &mut [f64],
) -> usize {
    let n = biases.len();
    let inputs = x.len() / ROWS;
    let x: [&[f64]; ROWS] = std::array::from_fn(|row| &x[row * inputs..][..inputs]);
    while let Some(biases) = biases.get(first..first + LANES) {
        let mut sums = [[0.0; LANES]; ROWS];
        sums.iter_mut().for_each(|sums| sums.copy_from_slice(biases));
        for (input, weights) in weights.chunks_exact(n).enumerate() {
            let weights = &weights[first..first + LANES];
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = x[input];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += x * weight);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            out[row * width + first..][..LANES].copy_from_slice(sums);
        }
        first += LANES;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_the_definition_says() {
        // Five inputs, so that the passes over several inputs have a rest; relu of 1 + 15 and of 1 - 15.
        let parameters = vec![
            1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, // weights of two units
            1.0, 1.0, // biases
            0.5, 7.0, // weights of the output
            0.25,
        ];
        let net = Network::new(Link::Identity, Activation::Relu, vec![5, 2, 1], parameters);
        net.validate().unwrap();
        let mut out = [0.0];
        net.scores_into(&[1.0, 2.0, 3.0, 4.0, 5.0], &mut out);
        assert_eq!(out, [8.25]);
    }

    #[test]
    fn rows_that_are_scored_together_are_scored_as_each_by_itself_and_as_one_sum_after_the_other() {
        // More units than go together, and some over; more rows than a block, and some over.
        let sizes = vec![5, 43, 9, 3];
        let number = |i: usize| ((i * 37 % 101) as f64 - 50.0) / 40.0;
        let parameters: Vec<f64> = (0..n_parameters(&sizes).unwrap()).map(number).collect();
        for activation in Activation::ALL {
            let net = Network::new(Link::Softmax, activation, sizes.clone(), parameters.clone());
            let x: Vec<f64> = (0..5 * (2 * BLOCK_ROWS + 7)).map(|i| number(i * 11 + 3)).collect();
            let mut together = vec![0.0; x.len() / 5 * 3];
            net.scores_block(&x, &mut together);
            for (x, together) in x.chunks_exact(5).zip(together.chunks_exact(3)) {
                let mut alone = [0.0; 3];
                net.scores_into(x, &mut alone);
                let mut layer = x.to_vec();
                let mut rest = parameters.as_slice();
                for (i, pair) in sizes.windows(2).enumerate() {
                    let (weights, biases) = rest.split_at(pair[0] * pair[1]);
                    let unit = |j: usize| {
                        let terms = layer.iter().zip(weights.iter().skip(j).step_by(pair[1]));
                        terms.fold(biases[j], |sum, (x, weight)| sum + x * weight)
                    };
                    let mut next: Vec<f64> = (0..pair[1]).map(unit).collect();
                    if i < 2 {
                        activation.apply(&mut next);
                    }
                    rest = &biases[pair[1]..];
                    layer = next;
                }
                Link::Softmax.apply(&mut layer);
                assert_eq!((together, layer.as_slice()), (&alone[..], &alone[..]), "{activation:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for activation in Activation::ALL {
            let net = Network::new(Link::Sigmoid, activation, vec![2, 3, 1], vec![0.5; 13]);
            let mut out = [0.0; 2];
            net.scores_into(&[1.0, f64::NAN], &mut out);
            assert!(out.iter().all(|p| p.is_nan()), "{activation:?}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_and_numbers_that_are_not_finite_are_refused() {
        let net =
            |link, sizes: &[usize], n| Network::new(link, Activation::Tanh, sizes.to_vec(), vec![0.5; n]);
        assert!(net(Link::Identity, &[2, 3, 1], 13).validate().is_ok());
        assert!(net(Link::Identity, &[2, 1], 3).validate().is_ok());
        for wrong in [
            net(Link::Identity, &[], 0),
            net(Link::Identity, &[2], 0),
            net(Link::Identity, &[2, 0, 1], 1),
            net(Link::Identity, &[2, 3, 1], 12),
            net(Link::Identity, &[2, usize::MAX, usize::MAX], 12),
            net(Link::Identity, &[2, 2], 6),
            net(Link::Sigmoid, &[2, 2], 6),
            net(Link::Softmax, &[2, 1], 3),
            Network::new(Link::Identity, Activation::Tanh, vec![1, 1], vec![f64::NAN, 1.0]),
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
        let mut arrays = Arrays::new();
        net(Link::Identity, &[2, 1], 3).write_arrays(&mut arrays);
        arrays.insert("net.activation".into(), Array::U32(vec![1], vec![4]));
        assert!(Network::read_arrays(Link::Identity, &mut arrays).is_err());
    }
}
