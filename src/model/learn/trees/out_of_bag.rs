//! The out-of-bag score: how well each row is predicted by the trees that did not see it (Breiman 1996, "Out-of-bag
//! estimation").

use super::bins::Bins;
use super::fixed_point::Target;
use super::tree::{Node, Tree};
use crate::model::learn::Labels;
use crate::parallel;

/// Rows that are predicted together.
const BLOCK_ROWS: usize = 4096;

/// A tree that predicts the rows that it did not see.
pub(crate) struct OutOfBag {
    /// Its rows are not needed.
    pub(crate) tree: Tree,
    /// `n_leaves × width`: a row per leaf, in the order of its nodes.
    pub(crate) values: Vec<f64>,
    /// Whether each row of the table was drawn.
    pub(crate) drawn: Vec<bool>,
}

/// For each node that is a leaf, its index among the leaves.
fn leaf_rows(tree: &Tree) -> Vec<u32> {
    let mut next = 0;
    let row = |node: &Node| {
        next += u32::from(node.left == 0);
        next.saturating_sub(1)
    };
    tree.nodes.iter().map(row).collect()
}

/// Each row that some tree did not see, with the mean of its leaves in those trees.
fn predict(target: &Target, bins: &Bins, trees: &[&OutOfBag], width: usize) -> Vec<(u32, Vec<f64>)> {
    let blocks: Vec<&[u32]> = target.rows.chunks(BLOCK_ROWS).collect();
    let predicted = parallel::map(blocks, &|rows: &[u32]| {
        let mut sums = vec![0.0; rows.len() * width];
        let mut n_trees = vec![0_u32; rows.len()];
        for OutOfBag { tree, values, drawn } in trees {
            let leaf_rows = leaf_rows(tree);
            for (i, &row) in rows.iter().enumerate().filter(|(_, row)| !drawn[**row as usize]) {
                let leaf = leaf_rows[tree.leaf_of(bins, row as usize)] as usize;
                let sums = &mut sums[i * width..(i + 1) * width];
                sums.iter_mut().zip(&values[leaf * width..]).for_each(|(sum, value)| *sum += value);
                n_trees[i] += 1;
            }
        }
        let scored = (0..rows.len()).filter(|&i| n_trees[i] > 0);
        let scored = scored.map(|i| {
            let share = |sum: &f64| sum / f64::from(n_trees[i]);
            (rows[i], sums[i * width..(i + 1) * width].iter().map(share).collect())
        });
        scored.collect::<Vec<(u32, Vec<f64>)>>()
    });
    predicted.into_iter().flatten().collect()
}

/// The note on the accuracy, or R², of the rows that some tree did not see. `width`: numbers per leaf.
pub(crate) fn note(target: &Target, bins: &Bins, trees: &[&OutOfBag], width: usize) -> String {
    let predicted = predict(target, bins, trees, width);
    let weight = |row: u32| target.data.weight(row as usize);
    let weight_sum: f64 = predicted.iter().map(|(row, _)| weight(*row)).sum();
    let n = predicted.len();
    if n == 0 {
        return "every tree saw every row; there is no out-of-bag score".into();
    }
    match target.data.y {
        Labels::Classes { codes, .. } => {
            let is_right = |(row, scores): &&(u32, Vec<f64>)| {
                let class = match scores[..] {
                    [share] => usize::from(share > 0.5),
                    _ => (0..width).fold(0, |best, k| if scores[k] > scores[best] { k } else { best }),
                };
                class == codes[*row as usize] as usize
            };
            let right: f64 = predicted.iter().filter(is_right).map(|(row, _)| weight(*row)).sum();
            format!("out-of-bag accuracy {:.4} ({n} rows)", right / weight_sum)
        }
        Labels::Values(values) => {
            let mean = predicted.iter().map(|(row, _)| weight(*row) * values[*row as usize]);
            let mean = mean.sum::<f64>() / weight_sum;
            let (mut residual, mut total) = (0.0, 0.0);
            for (row, scores) in &predicted {
                let y = values[*row as usize];
                residual += weight(*row) * (y - scores[0]).powi(2);
                total += weight(*row) * (y - mean).powi(2);
            }
            format!("out-of-bag R² {:.4} ({n} rows)", 1.0 - residual / total.max(f64::MIN_POSITIVE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::matrix::Matrix;
    use crate::model::learn::Dataset;
    use crate::model::learn::trees::best_split::Best;

    #[test]
    fn rows_never_vote_for_a_tree_that_drew_them() {
        // The first tree, which drew rows 0 and 2, tells 1 and 2 apart; the second, which drew 0 and 1, says 7.
        let mut x = Matrix::zeros(4, 1);
        x.values_mut().copy_from_slice(&[1.0, 1.0, 2.0, 2.0]);
        let y = [0.0, 1.0, 2.0, 4.0];
        let data = Dataset::new(&x, Labels::Values(&y));
        let (bins, target) = (Bins::new(&data), Target::new(&data));
        let mut tree = Tree::leaf(2);
        tree.split(0, &Best { column: 0, ..Best::none(0.0) }, false, 1);
        let drawn = |rows: [usize; 2]| (0..4).map(|row| rows.contains(&row)).collect();
        let trees = [
            OutOfBag { tree, values: vec![10.0, 20.0], drawn: drawn([0, 2]) },
            OutOfBag { tree: Tree::leaf(2), values: vec![7.0], drawn: drawn([0, 1]) },
        ];
        let found = predict(&target, &bins, &[&trees[0], &trees[1]], 1);
        assert_eq!(found, [(1, vec![10.0]), (2, vec![7.0]), (3, vec![13.5])]);
        assert!(note(&target, &bins, &[&trees[0], &trees[1]], 1).ends_with("(3 rows)"));
        let all = OutOfBag { tree: Tree::leaf(4), values: vec![7.0], drawn: vec![true; 4] };
        assert!(note(&target, &bins, &[&all], 1).contains("there is no out-of-bag score"));
    }
}
