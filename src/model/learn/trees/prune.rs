//! Grown trees cut back where their leaves are not worth it.
//!
//! Minimal cost-complexity pruning (Breiman et al. 1984, "Classification and regression trees", chapter 3): of
//! all trees that come of cutting this one back, the smallest of those with the least impurity plus α per leaf.

use super::grow::{Node, Tree};

/// Cuts a tree back; `alpha` in the units of its gains.
pub fn prune(tree: &mut Tree, alpha: f64) {
    // From the last node on, children come before their parents: what the subtree of each gains, its leaves.
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
    // Those that are still reached, in their order; the two children of a node stay side by side.
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
    let mut kept = kept.into_iter();
    tree.nodes.retain(|_| kept.next().unwrap_or(false));
    for node in tree.nodes.iter_mut().filter(|node| node.left != 0) {
        node.left = n_before[node.left as usize];
    }
}
