//! The Newton steps of boosting: raw scores and derivatives of all rows, and the leaf values of a tree.

use super::bins::Bins;
use super::loss::{Loss, weighted_median, weighted_quantile};
use super::monotonic::Bounds;
use super::tree::{Node, Tree};
use crate::model::learn::{Dataset, Labels};
use crate::model::predictor::sigmoid;
use crate::parallel;

/// Rows that are worked on together; sums are made block by block in order.
const BLOCK_ROWS: usize = 4096;

/// Fewer rows are not worth a second thread.
pub(crate) const MIN_SHARED_ROWS: usize = 8 * BLOCK_ROWS;

/// How far the leaves of a tree go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    /// The share of a step that is taken.
    pub(crate) learning_rate: f64,
    /// Added to the second derivatives.
    pub(crate) l2: f64,
    /// The largest Newton step, before its share is taken.
    pub(crate) max_delta: f64,
}

/// The scores of the rounds so far.
pub(crate) struct State<'a> {
    data: &'a Dataset<'a>,
    loss: Loss,
    /// Raw scores, `n_rows × n_scores`.
    scores: Vec<f64>,
    /// First and second derivatives, `n_rows × n_scores`.
    derivatives: Vec<[f32; 2]>,
}

impl<'a> State<'a> {
    /// The same scores for all rows.
    pub(crate) fn new(data: &'a Dataset, loss: Loss, base: &[f64]) -> Self {
        let n = data.n_rows() * loss.n_scores();
        let scores = base.iter().copied().cycle().take(n).collect();
        Self { data, loss, scores, derivatives: vec![[0.0; 2]; n] }
    }

    /// First and second derivative of each row in one of its scores.
    #[inline]
    pub(crate) fn derivatives(&self, score: usize) -> impl Fn(u32) -> [f64; 2] + Sync {
        let (derivatives, n_scores) = (&self.derivatives[..], self.loss.n_scores());
        move |row| derivatives[row as usize * n_scores + score].map(f64::from)
    }

    /// Takes the derivatives at the scores; returns the sums of their absolute values for each score.
    pub(crate) fn take_derivatives(&mut self) -> Vec<[f64; 2]> {
        let n_scores = self.loss.n_scores();
        let mut derivatives = std::mem::take(&mut self.derivatives);
        let of_block = |(block, out): (usize, &mut [[f32; 2]])| {
            let mut sums = vec![[0.0; 2]; n_scores];
            if let (Loss::Logistic, Labels::Classes { codes, .. }, None) =
                (self.loss, self.data.y, self.data.weights)
            {
                let rows = block * BLOCK_ROWS..block * BLOCK_ROWS + out.len();
                logistic_derivatives(&codes[rows.clone()], &self.scores[rows], out, &mut sums[0]);
                return sums;
            }
            let mut scores = vec![0.0; n_scores];
            for (i, out) in out.chunks_exact_mut(n_scores).enumerate() {
                let row = block * BLOCK_ROWS + i;
                scores.copy_from_slice(&self.scores[row * n_scores..(row + 1) * n_scores]);
                self.loss.derivatives(self.data.y(row), self.data.weight(row), &mut scores, out);
                for (sums, out) in sums.iter_mut().zip(out) {
                    sums[0] += f64::from(out[0].abs());
                    sums[1] += f64::from(out[1]);
                }
            }
            sums
        };
        let n_shared = MIN_SHARED_ROWS / BLOCK_ROWS / n_scores.min(8);
        let shares = derivatives.chunks_mut(n_shared * BLOCK_ROWS * n_scores).enumerate().collect();
        let blocks = parallel::map(shares, &|(share, out): (usize, &mut [[f32; 2]])| {
            let blocks = out.chunks_mut(BLOCK_ROWS * n_scores).enumerate();
            blocks.map(|(i, out)| of_block((share * n_shared + i, out))).collect::<Vec<_>>()
        });
        let blocks: Vec<Vec<[f64; 2]>> = blocks.into_iter().flatten().collect();
        self.derivatives = derivatives;
        let sum = |score: usize, k: usize| blocks.iter().map(|sums| sums[score][k]).sum();
        (0..n_scores).map(|score| [sum(score, 0), sum(score, 1)]).collect()
    }

    /// The mean loss of some rows.
    pub(crate) fn mean_loss(&self, rows: &[u32]) -> f64 {
        let n_scores = self.loss.n_scores();
        let block = |rows: &[u32]| {
            let mut scores = vec![0.0; n_scores];
            let mut sums = (0.0, 0.0);
            for row in rows.iter().map(|&row| row as usize) {
                scores.copy_from_slice(&self.scores[row * n_scores..(row + 1) * n_scores]);
                sums.0 += self.data.weight(row) * self.loss.value(self.data.y(row), &mut scores);
                sums.1 += self.data.weight(row);
            }
            sums
        };
        let sums = parallel::map(rows.chunks(BLOCK_ROWS).collect(), &block);
        let sums = sums.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        sums.0 / sums.1
    }

    /// The value of each leaf, in the order of the nodes: a Newton step, or the median or a quantile for absolute
    /// errors.
    pub(crate) fn leaf_values(&self, tree: &Tree, score: usize, steps: Steps) -> Vec<f64> {
        let Steps { learning_rate, l2, max_delta } = steps;
        let n_scores = self.loss.n_scores();
        let bounded = tree.nodes.iter().enumerate().map(|(i, node)| (node, tree.bounds_of(i)));
        let leaves: Vec<(&Node, Bounds)> = bounded.filter(|(node, _)| node.left == 0).collect();
        let value = |(node, bounds): (&Node, Bounds)| {
            let rows = tree.rows_of(node);
            let residuals = || {
                let residual = |&row: &u32| {
                    let row = row as usize;
                    (self.data.y(row) - self.scores[row], self.data.weight(row))
                };
                rows.iter().map(residual).collect::<Vec<_>>()
            };
            match self.loss {
                Loss::AbsoluteError => return learning_rate * weighted_median(&mut residuals()),
                Loss::Quantile { alpha } => {
                    return learning_rate * weighted_quantile(&mut residuals(), alpha);
                }
                _ => {}
            }
            let (mut g, mut h) = (0.0, l2);
            for &row in rows {
                let [of_g, of_h] = self.derivatives[row as usize * n_scores + score];
                g += f64::from(of_g);
                h += f64::from(of_h);
            }
            let step = if h > 0.0 { -g / h } else { 0.0 };
            // A bound for all leaves keeps their order.
            learning_rate * bounds.clamp(step).clamp(-max_delta, max_delta)
        };
        if tree.rows.len() < MIN_SHARED_ROWS {
            return leaves.into_iter().map(value).collect();
        }
        parallel::map(leaves, &value)
    }

    /// Adds the values of the leaves of a tree that grew on some of the `train` rows to one of the scores of all
    /// rows.
    pub(crate) fn add(
        &mut self,
        tree: &Tree,
        values: &[f64],
        score: usize,
        bins: &Bins,
        (train, held_out): (&[u32], &[u32]),
    ) {
        let n_scores = self.loss.n_scores();
        let mut value_of_node = vec![0.0; tree.nodes.len()];
        let leaves = tree.nodes.iter().zip(&mut value_of_node).filter(|(node, _)| node.left == 0);
        for ((node, value_of_node), &value) in leaves.zip(values) {
            *value_of_node = value;
            for &row in tree.rows_of(node) {
                self.scores[row as usize * n_scores + score] += value;
            }
        }
        let mut walk = |row: u32| {
            let leaf = tree.leaf_of(bins, row as usize);
            self.scores[row as usize * n_scores + score] += value_of_node[leaf];
        };
        held_out.iter().for_each(|&row| walk(row));
        if tree.rows.len() < train.len() {
            let mut seen = vec![false; self.data.n_rows()];
            tree.rows.iter().for_each(|&row| seen[row as usize] = true);
            train.iter().filter(|&&row| !seen[row as usize]).for_each(|&row| walk(row));
        }
    }
}

/// As [`Loss::derivatives`] for rows that count the same, in a loop that is vectorised.
fn logistic_derivatives(codes: &[u32], scores: &[f64], out: &mut [[f32; 2]], sums: &mut [f64; 2]) {
    for ((&code, &score), out) in codes.iter().zip(scores).zip(&mut *out) {
        let p = sigmoid(score);
        *out = [(p - f64::from(code)) as f32, (p * (1.0 - p)) as f32];
    }
    for out in out {
        sums[0] += f64::from(out[0].abs());
        sums[1] += f64::from(out[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::trees::best_split::Best;

    /// Unbounded Newton steps.
    const WHOLE: Steps = Steps { learning_rate: 1.0, l2: 0.0, max_delta: f64::INFINITY };

    /// Rows 0 to 5 of one column, cut after the third.
    fn stump(data: &Dataset) -> (Bins, Tree) {
        let mut tree = Tree::leaf(6);
        tree.rows = (0..6).collect();
        tree.split(0, &Best { column: 0, cut: 2, ..Best::none(0.0) }, false, 3);
        (Bins::new(data), tree)
    }

    fn column() -> Matrix {
        let mut x = Matrix::zeros(8, 1);
        x.values_mut().iter_mut().zip(0..).for_each(|(value, i)| *value = f64::from(i));
        x
    }

    #[test]
    fn a_whole_step_on_squared_errors_ends_at_the_mean_of_each_leaf() {
        let (x, y) = (column(), [1.0, 2.0, 6.0, 10.0, 10.0, 13.0, 0.0, 0.0]);
        let weights = [1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let data = Dataset { weights: Some(&weights), ..Dataset::new(&x, Labels::Values(&y)) };
        let (bins, tree) = stump(&data);
        let mut state = State::new(&data, Loss::SquaredError, &[5.0]);
        let sums = state.take_derivatives();
        assert_eq!(sums, [[4.0 + 3.0 + 2.0 + 5.0 + 5.0 + 8.0 + 5.0 + 5.0, 9.0]]);
        let values = state.leaf_values(&tree, 0, WHOLE);
        assert_eq!(values, [3.75 - 5.0, 11.0 - 5.0]);
        let before = state.mean_loss(&[0, 1, 2, 3, 4, 5]);
        // Row 6 is held out, row 7 was not drawn.
        state.add(&tree, &values, 0, &bins, (&[0, 1, 2, 3, 4, 5, 7], &[6]));
        assert_eq!(state.scores, [3.75, 3.75, 3.75, 11.0, 11.0, 11.0, 11.0, 11.0]);
        assert!(state.mean_loss(&[0, 1, 2, 3, 4, 5]) < before);
        let small = state.leaf_values(&tree, 0, Steps { learning_rate: 0.1, l2: 1e9, ..WHOLE });
        assert!(small.iter().all(|value| value.abs() < 1e-6), "a large penalty makes small leaves");
        let bounded = state.leaf_values(&tree, 0, Steps { learning_rate: 0.5, max_delta: 2.0, ..WHOLE });
        assert!(bounded.iter().all(|value| value.abs() <= 1.0), "a bound holds before the learning rate");
    }

    #[test]
    fn absolute_errors_step_to_the_median() {
        let (x, y) = (column(), [1.0, 2.0, 60.0, 10.0, 10.0, 13.0, 0.0, 0.0]);
        let data = Dataset::new(&x, Labels::Values(&y));
        let (_, tree) = stump(&data);
        let mut state = State::new(&data, Loss::AbsoluteError, &[5.0]);
        state.take_derivatives();
        assert_eq!(state.leaf_values(&tree, 0, WHOLE), [-3.0, 5.0]);
    }

    #[test]
    fn the_loop_over_equal_weights_takes_the_derivatives_of_the_loss() {
        let (codes, scores) = ([0, 1, 1, 0], [-2.0, 0.3, -0.7, 4.0]);
        let (mut found, mut sums) = ([[0.0; 2]; 4], [0.0; 2]);
        logistic_derivatives(&codes, &scores, &mut found, &mut sums);
        for i in 0..4 {
            let mut expected = [[0.0; 2]];
            Loss::Logistic.derivatives(f64::from(codes[i]), 1.0, &mut [scores[i]], &mut expected);
            assert_eq!(found[i], expected[0]);
        }
        assert_eq!(sums[1], found.iter().map(|d| f64::from(d[1])).sum::<f64>());
    }
}
