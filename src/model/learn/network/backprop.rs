//! The objective of a network and its gradient, by back-propagation in matrix products.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

use crate::model::learn::dataset::Dataset;
use crate::model::predictor::link::{Link, logistic_loss, sigmoid, softmax};
use crate::model::predictor::network::Activation;

/// Rows of a batch whose gradients are added up together. Blocks are added in order, so that the result does
/// not depend on how many threads share them.
const BLOCK_ROWS: usize = 100;

/// Multiplications of a batch below which threads would wait longer than they work.
pub(crate) const SHARED_WORK: usize = 200_000;

/// The target of each row.
pub(crate) enum Goal<'a> {
    /// Class indices; two classes if there is one score.
    Classes(&'a [u32]),
    /// Numbers.
    Values(Vec<f64>),
}

/// (Σ weight × loss + α |weights of the network|² / 2) / Σ weight over the rows of a batch. The loss is the
/// log loss, or half the squared error.
pub(crate) struct Objective<'a> {
    /// All rows and their weights; those of a batch are named by their indices.
    pub data: Dataset<'a>,
    /// The goal of each row; of a regression its standardised target.
    pub goal: Goal<'a>,
    /// The activation function of hidden units.
    pub activation: Activation,
    /// Inputs, units of each hidden layer, scores.
    pub sizes: &'a [usize],
    /// Number of weights and biases of such layers.
    pub n_parameters: usize,
}

/// The working memory of a block of rows, kept from batch to batch.
#[derive(Default)]
pub(crate) struct Block {
    /// Per layer, inputs first, `n_rows × units`.
    activations: Vec<Vec<f64>>,
    /// The deltas of one layer and of the layer before it.
    deltas: [Vec<f64>; 2],
    gradient: Vec<f64>,
    loss: f64,
}

impl Objective<'_> {
    /// Fills the block's activations; the last are the scores.
    fn forward(&self, parameters: &[f64], rows: &[usize], block: &mut Block) {
        let n_layers = self.sizes.len() - 1;
        block.activations.resize(n_layers + 1, Vec::new());
        block.activations[0].clear();
        rows.iter().for_each(|&row| block.activations[0].extend_from_slice(self.data.x.row(row)));
        let mut rest = parameters;
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let (weights, after) = rest.split_at(pair[0] * pair[1]);
            let (biases, after) = after.split_at(pair[1]);
            let (before, behind) = block.activations.split_at_mut(layer + 1);
            let out = &mut behind[0];
            out.clear();
            rows.iter().for_each(|_| out.extend_from_slice(biases));
            let shape = (rows.len(), pair[0], pair[1]);
            product((&before[layer], false), (weights, false), 1.0, out, shape);
            if layer + 1 < n_layers {
                self.activation.apply(out);
            }
            rest = after;
        }
    }

    /// Loss and gradient of a block, weighted sums; the penalty is not in them.
    fn add_up(&self, parameters: &[f64], rows: &[usize], block: &mut Block) {
        self.forward(parameters, rows, block);
        let n_layers = self.sizes.len() - 1;
        let n_scores = self.sizes[n_layers];
        let [delta, before] = &mut block.deltas;
        delta.clone_from(&block.activations[n_layers]);
        block.loss = 0.0;
        for (&row, delta) in rows.iter().zip(delta.chunks_exact_mut(n_scores)) {
            let weight = self.data.weight(row);
            block.loss += weight * self.residuals(row, delta);
            delta.iter_mut().for_each(|d| *d *= weight);
        }
        block.gradient.resize(self.n_parameters, 0.0);
        let mut end = self.n_parameters;
        for layer in (0..n_layers).rev() {
            let (n_in, n_out) = (self.sizes[layer], self.sizes[layer + 1]);
            let start = end - (n_in + 1) * n_out;
            let (by_weight, by_bias) = block.gradient[start..end].split_at_mut(n_in * n_out);
            let inputs = &block.activations[layer];
            product((inputs, true), (delta, false), 0.0, by_weight, (n_in, rows.len(), n_out));
            by_bias.fill(0.0);
            for delta in delta.chunks_exact(n_out) {
                by_bias.iter_mut().zip(delta).for_each(|(sum, d)| *sum += d);
            }
            if layer > 0 {
                let weights = &parameters[start..start + n_in * n_out];
                before.resize(rows.len() * n_in, 0.0);
                product((delta, false), (weights, true), 0.0, before, (rows.len(), n_out, n_in));
                self.activation.times_slope(inputs, before);
                std::mem::swap(delta, before);
            }
            end = start;
        }
    }

    /// The loss of a row; its scores become the loss's derivatives by them.
    fn residuals(&self, row: usize, scores: &mut [f64]) -> f64 {
        match &self.goal {
            Goal::Values(values) => {
                scores[0] -= values[row];
                scores[0] * scores[0] / 2.0
            }
            Goal::Classes(codes) if scores.len() == 1 => {
                let score = scores[0];
                scores[0] = sigmoid(score) - f64::from(codes[row]);
                logistic_loss(score, codes[row] == 1).0
            }
            Goal::Classes(codes) => {
                let class = codes[row] as usize;
                let score = scores[class];
                let loss = softmax(scores) - score;
                scores[class] -= 1.0;
                loss
            }
        }
    }

    /// The value at `parameters`, and its gradient.
    pub(crate) fn evaluate(
        &self,
        parameters: &[f64],
        rows: &[usize],
        alpha: f64,
        gradient: &mut [f64],
        blocks: &mut Vec<Block>,
    ) -> f64 {
        let n_blocks = rows.len().div_ceil(BLOCK_ROWS);
        if blocks.len() < n_blocks {
            blocks.resize_with(n_blocks, Block::default);
        }
        let blocks = &mut blocks[..n_blocks];
        let add_up = |(rows, block): (&[usize], &mut Block)| self.add_up(parameters, rows, block);
        if n_blocks > 1 && rows.len() * self.n_parameters >= SHARED_WORK {
            rows.par_chunks(BLOCK_ROWS).zip(blocks.par_iter_mut()).for_each(add_up);
        } else {
            rows.chunks(BLOCK_ROWS).zip(blocks.iter_mut()).for_each(add_up);
        }
        let total: f64 = rows.iter().map(|&row| self.data.weight(row)).sum();
        let mut loss = 0.0;
        gradient.fill(0.0);
        for block in blocks {
            loss += block.loss;
            gradient.iter_mut().zip(&block.gradient).for_each(|(g, b)| *g += b);
        }
        let mut start = 0;
        for pair in self.sizes.windows(2) {
            let weights = start..start + pair[0] * pair[1];
            for (g, w) in gradient[weights.clone()].iter_mut().zip(&parameters[weights]) {
                *g += alpha * w;
                loss += alpha * w * w / 2.0;
            }
            start += (pair[0] + 1) * pair[1];
        }
        gradient.iter_mut().for_each(|g| *g /= total);
        loss / total
    }

    /// The weighted accuracy, or R², on `rows`.
    pub(crate) fn score(&self, parameters: &[f64], link: Link, rows: &[usize]) -> f64 {
        let n_scores = self.sizes[self.sizes.len() - 1];
        let mut block = Block::default();
        let (mut total, mut sum, mut squares, mut errors) = (0.0, 0.0, 0.0, 0.0);
        for rows in rows.chunks(BLOCK_ROWS) {
            self.forward(parameters, rows, &mut block);
            let scores = block.activations[self.sizes.len() - 1].chunks_exact(n_scores);
            for (&row, scores) in rows.iter().zip(scores) {
                let weight = self.data.weight(row);
                total += weight;
                match &self.goal {
                    Goal::Classes(codes) => {
                        let class = match link {
                            Link::Sigmoid => usize::from(scores[0] > 0.0),
                            _ => (1..n_scores)
                                .fold(0, |best, i| if scores[i] > scores[best] { i } else { best }),
                        };
                        sum += weight * f64::from(u8::from(class == codes[row] as usize));
                    }
                    Goal::Values(values) => {
                        sum += weight * values[row];
                        squares += weight * values[row] * values[row];
                        errors += weight * (values[row] - scores[0]).powi(2);
                    }
                }
            }
        }
        match &self.goal {
            Goal::Classes(_) => sum / total,
            // The values are standardised, so that no digits are lost here. 0 for a constant.
            Goal::Values(_) => {
                let spread = squares - sum * sum / total;
                if spread > 0.0 { 1.0 - errors / spread } else { 0.0 }
            }
        }
    }
}

/// c = a b + beta c, of `m × k` and `k × n` matrices, row-major, or column-major if the flag is set.
fn product(
    (a, a_turned): (&[f64], bool),
    (b, b_turned): (&[f64], bool),
    beta: f64,
    c: &mut [f64],
    (m, k, n): (usize, usize, usize),
) {
    let view = |slice, rows, cols, turned| match turned {
        false => ArrayView2::from_shape((rows, cols), slice),
        true => ArrayView2::from_shape((cols, rows), slice).map(ArrayView2::reversed_axes),
    };
    let views = (view(a, m, k, a_turned), view(b, k, n, b_turned), ArrayViewMut2::from_shape((m, n), c));
    // The callers cut the slices to these shapes.
    if let (Ok(a), Ok(b), Ok(mut c)) = views {
        general_mat_mul(1.0, &a, &b, beta, &mut c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::dataset::Labels;
    use crate::model::learn::laws::noise;
    use crate::model::learn::network::mlp::start;
    use crate::model::predictor::network::{Network, n_parameters};
    use crate::random::generator;

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        // More than a block of rows.
        let x = noise(BLOCK_ROWS + 30, 3, 5);
        let rows: Vec<usize> = (0..x.n_rows()).collect();
        let weights: Vec<f64> = (0..x.n_rows()).map(|row| [1.0, 0.25, 3.0][row % 3]).collect();
        let codes: Vec<u32> = (0..x.n_rows()).map(|row| (row % 2) as u32).collect();
        let values: Vec<f64> = x.rows().map(|row| row[0] * row[1]).collect();
        for activation in Activation::ALL {
            for goal in [Goal::Classes(&codes), Goal::Classes(&codes), Goal::Values(values.clone())] {
                for n_scores in [1, 3] {
                    if n_scores == 3 && matches!(goal, Goal::Values(_)) {
                        continue;
                    }
                    let sizes = [3, 5, 4, n_scores];
                    let n_parameters = n_parameters(&sizes).unwrap();
                    let goal = match &goal {
                        Goal::Classes(codes) => Goal::Classes(codes),
                        Goal::Values(values) => Goal::Values(values.clone()),
                    };
                    let data =
                        Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&values)) };
                    let objective = Objective { data, goal, activation, sizes: &sizes, n_parameters };
                    let parameters = start(activation, &sizes, &mut generator(1));
                    let mut blocks = Vec::new();
                    let mut gradient = vec![f64::NAN; n_parameters];
                    let mut value = |parameters: &[f64], gradient: &mut [f64]| {
                        objective.evaluate(parameters, &rows, 0.7, gradient, &mut blocks)
                    };
                    value(&parameters, &mut gradient);
                    for i in 0..n_parameters {
                        let mut nudged = parameters.clone();
                        let mut unused = vec![0.0; n_parameters];
                        nudged[i] += 1e-6;
                        let above = value(&nudged, &mut unused);
                        nudged[i] -= 2e-6;
                        let slope = (above - value(&nudged, &mut unused)) / 2e-6;
                        assert!(
                            (slope - gradient[i]).abs() < 1e-7,
                            "{activation:?} {i}: {slope} {}",
                            gradient[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice_in_the_gradient() {
        let x = noise(4, 2, 5);
        let goal = || Goal::Classes(&[0, 1, 1, 0]);
        let sizes = [2, 3, 1];
        let n = n_parameters(&sizes).unwrap();
        let parameters = start(Activation::Tanh, &sizes, &mut generator(1));
        let of = |weights: Option<&[f64]>, rows: &[usize]| {
            let activation = Activation::Tanh;
            let data = Dataset { weights, ..Dataset::new(&x, Labels::Values(&[0.0; 4])) };
            let objective = Objective { data, goal: goal(), activation, sizes: &sizes, n_parameters: n };
            let mut gradient = vec![0.0; n];
            let loss = objective.evaluate(&parameters, rows, 0.3, &mut gradient, &mut Vec::new());
            gradient.push(loss);
            gradient
        };
        let weighted = of(Some(&[1.0, 2.0, 1.0, 1.0]), &[0, 1, 2, 3]);
        let repeated = of(None, &[0, 1, 1, 2, 3]);
        assert!(weighted.iter().zip(&repeated).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn what_predicts_computes_what_was_fitted() {
        let x = noise(40, 5, 5);
        let codes: Vec<u32> = (0..40).map(|row| row % 3).collect();
        for activation in Activation::ALL {
            let sizes = [5, 7, 6, 3];
            let n_parameters = n_parameters(&sizes).unwrap();
            let goal = Goal::Classes(&codes);
            let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 3 });
            let objective = Objective { data, goal, activation, sizes: &sizes, n_parameters };
            let parameters = start(activation, &sizes, &mut generator(2));
            let mut block = Block::default();
            let rows: Vec<usize> = (0..40).collect();
            objective.forward(&parameters, &rows, &mut block);
            block.activations[3].chunks_exact_mut(3).for_each(|scores| Link::Softmax.apply(scores));
            let net = Network::new(Link::Softmax, activation, sizes.to_vec(), parameters);
            let mut scores = vec![0.0; 40 * 3];
            net.scores_block(x.values(), &mut scores);
            for (own, trained) in scores.iter().zip(&block.activations[3]) {
                assert!((own - trained).abs() < 1e-14);
            }
        }
    }
}
