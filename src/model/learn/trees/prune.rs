//! Minimal cost-complexity pruning of grown trees (Breiman et al. 1984, "Classification and regression trees",
//! chapter 3): of all trees that this one can be cut back to, the smallest with the least impurity plus α per leaf.

use super::tree::{Node, Tree};

/// Cuts a tree back; `alpha` in the units of its gains.
pub(crate) fn prune(tree: &mut Tree, alpha: f64) {
    // Gain and leaves of each subtree: from the last node on, children come before their parents.
    let mut worth = vec![(0.0, 1_usize); tree.nodes.len()];
    for i in (0..tree.nodes.len()).rev() {
        let node = &tree.nodes[i];
        if node.left == 0 {
            continue;
        }
        let [left, right] = [worth[node.left as usize], worth[node.left as usize + 1]];
        let (gain, n_leaves) = (node.gain + left.0 + right.0, left.1 + right.1);
        if gain <= alpha * (n_leaves - 1) as f64 {
            tree.nodes[i] = Node { left: 0, subset: None, gain: 0.0, ..*node };
        } else {
            worth[i] = (gain, n_leaves);
        }
    }
    drop_unreached(tree);
}

/// The tree whose nodes of fewer rows than `min_rows` are leaves with the rows of their parents. It costs far less than one
/// that grows with such leaves, and is about as good, which shows how large leaves should be. The rows stay with `tree`.
pub(crate) fn cut(tree: &Tree, min_rows: usize) -> Tree {
    let mut cut = tree.without_rows();
    for i in 0..cut.nodes.len() {
        let Node { left, begin, end, .. } = cut.nodes[i];
        if left == 0 {
            continue;
        }
        for child in &mut cut.nodes[left as usize..left as usize + 2] {
            if ((child.end - child.begin) as usize) < min_rows {
                *child = Node { left: 0, subset: None, gain: 0.0, begin, end, ..*child };
            }
        }
    }
    drop_unreached(&mut cut);
    cut
}

/// Drops nodes that are no longer reached. The others stay in their order, so that the two children of a node stay
/// neighbours.
fn drop_unreached(tree: &mut Tree) {
    let mut kept = vec![false; tree.nodes.len()];
    kept[0] = true;
    for i in 0..tree.nodes.len() {
        let left = tree.nodes[i].left as usize;
        if kept[i] && left != 0 {
            (kept[left], kept[left + 1]) = (true, true);
        }
    }
    let mut n_before = Vec::with_capacity(kept.len());
    let mut n_kept = 0;
    for &kept in &kept {
        n_before.push(n_kept);
        n_kept += u32::from(kept);
    }
    tree.retain(&kept);
    for node in tree.nodes.iter_mut().filter(|node| node.left != 0) {
        node.left = n_before[node.left as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::trees::best_split::Best;
    use crate::random::{below, generator, unit_interval};

    /// A random tree of 40 leaves, of 1000 rows.
    fn tree() -> Tree {
        let mut random = generator(4);
        let mut tree = Tree::leaf(1000);
        while tree.leaves().count() < 40 {
            let leaf = below(tree.nodes.len(), &mut random);
            let Node { left, begin, end, .. } = tree.nodes[leaf];
            if left == 0 && end - begin > 1 {
                let middle = begin as usize + 1 + below((end - begin) as usize - 1, &mut random);
                let column = tree.nodes.len() as u32;
                let best = Best { column, gain: unit_interval(&mut random), ..Best::none(0.0) };
                tree.split(leaf as u32, &best, false, middle);
            }
        }
        tree
    }

    /// The rows of the leaves from the left to the right, after a check of all links.
    fn leaves(tree: &Tree) -> Vec<(u32, u32)> {
        let (mut out, mut stack, mut n_reached) = (Vec::new(), vec![0], 0);
        while let Some(i) = stack.pop() {
            let node = &tree.nodes[i];
            n_reached += 1;
            if node.left == 0 {
                out.push((node.begin, node.end));
            } else {
                let left = node.left as usize;
                let [a, b] = [&tree.nodes[left], &tree.nodes[left + 1]];
                assert!(left > i && (a.begin, a.end, b.end) == (node.begin, b.begin, node.end));
                stack.extend([left + 1, left]);
            }
        }
        assert_eq!(n_reached, tree.nodes.len());
        out
    }

    #[test]
    fn a_larger_alpha_leaves_a_subtree_of_that_of_a_smaller_one() {
        let whole = tree();
        let mut last = leaves(&whole);
        for step in 0..=100 {
            let mut pruned = whole.clone();
            prune(&mut pruned, 0.01 * f64::from(step));
            let found = leaves(&pruned);
            // Every leaf is one or more of those before.
            let bounds = |leaves: &[(u32, u32)]| leaves.iter().map(|leaf| leaf.1).collect::<Vec<_>>();
            assert!(bounds(&found).iter().all(|bound| bounds(&last).contains(bound)), "{step}");
            assert_eq!(found.last().unwrap().1, 1000);
            last = found;
        }
        assert_eq!(last.len(), 1, "no split gains more than 1");
        let mut same = whole.clone();
        prune(&mut same, 0.0);
        assert_eq!(leaves(&same), leaves(&whole));
    }

    #[test]
    fn a_node_of_few_rows_predicts_as_its_parent() {
        let whole = tree();
        for min_rows in [1, 5, 40, 300, 1001] {
            let cut = cut(&whole, min_rows);
            assert!(cut.leaves().all(|leaf| (leaf.end - leaf.begin) as usize >= min_rows.min(1000)));
            assert_eq!(cut.leaves().count() == 40, min_rows == 1, "{min_rows}");
            // Every leaf is a node of the whole tree.
            let rows = |node: &Node| (node.begin, node.end);
            let known: Vec<_> = whole.nodes.iter().map(rows).collect();
            assert!(cut.leaves().all(|leaf| known.contains(&rows(leaf))));
        }
    }

    #[test]
    fn a_split_stays_for_the_gain_of_the_splits_below_it() {
        let split = |gain| Best { column: 0, gain, ..Best::none(-1.0) };
        let mut tree = Tree::leaf(3);
        tree.split(0, &split(0.0), false, 1);
        tree.split(2, &split(1.0), false, 2);
        let mut kept = tree.clone();
        prune(&mut kept, 0.49);
        assert_eq!(leaves(&kept).len(), 3);
        prune(&mut tree, 0.5);
        assert_eq!(leaves(&tree).len(), 1, "1 for two leaves more is not more than 0.5 each");
    }
}
