//! Explanations beside those of LightGBM and shap, on their trees: `fixtures/explanations/make.py` wrote both.

use serde_json::Value;

use super::additive::AdditiveExplainer;
use super::interventional::add_interventional;
use super::trees::TreeExplainer;
use crate::data::cells::sparse::Sparse;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};
use crate::model::predictor::trees::Trees;
use crate::model::predictor::{Linear, Link, Predictor};

/// The contributions differ by no more than this.
const TOLERANCE: f64 = 1e-9;

/// Against background rows: shap keeps the weights of these in single precision.
const SINGLE: f64 = 1e-7;

fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/explanations/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// All numbers of nested arrays; `null` is a missing value.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// The trees of a fixture, the children of a node side by side.
fn trees(fixture: &Value) -> Trees {
    let levels: Vec<u32> = numbers(&fixture["levels"]).into_iter().map(|n| n as u32).collect();
    let n_scores = whole(&fixture["n_scores"]);
    let width = whole(&fixture["width"]);
    let mut parts = Parts {
        link: Link::Identity,
        roots: Vec::new(),
        feature: Vec::new(),
        threshold: Vec::new(),
        left: Vec::new(),
        flags: Vec::new(),
        subsets: Vec::new(),
        values: Vec::new(),
        width,
        groups: levels.iter().flat_map(|&n| (0..n).map(|level| level as u8)).collect(),
        importances: vec![0.0; levels.len()],
        levels,
        base: vec![0.0; n_scores],
        divisor: fixture["divisor"].as_f64().unwrap(),
        cover: Vec::new(),
    };
    for tree in fixture["trees"].as_array().unwrap() {
        let root = parts.feature.len();
        parts.roots.push(root as u32);
        // Nodes in the order of their places, of which children get two at a time.
        let mut nodes = vec![0];
        let mut at = 0;
        while at < nodes.len() {
            let node = &tree[nodes[at]];
            let (mut flags, mut threshold, mut left) = (0, 0.0, root + nodes.len());
            if let Some(value) = node.get("value") {
                left = parts.values.len() / width;
                parts.values.extend(numbers(value));
                parts.cover.push(node["cover"].as_f64().unwrap());
                parts.feature.push(LEAF);
            } else {
                nodes.extend([whole(&node["left"]), whole(&node["right"])]);
                parts.feature.push(whole(&node["feature"]) as u32);
                if node["missing_left"] == true {
                    flags |= MISSING_LEFT;
                }
                match node.get("levels") {
                    None => threshold = node["threshold"].as_f64().unwrap(),
                    Some(levels) => {
                        flags |= SUBSET;
                        let mut subset = [0_u32; SUBSET_WORDS];
                        for level in numbers(levels) {
                            subset[level as usize / 32] |= 1 << (level as usize % 32);
                        }
                        parts.subsets.extend(subset);
                    }
                }
            }
            parts.flags.push(flags);
            parts.threshold.push(threshold);
            parts.left.push(left as u32);
            at += 1;
        }
    }
    parts.validate().unwrap();
    Trees::new(parts)
}

#[track_caller]
fn within(tolerance: f64, found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < tolerance, "{found} {wanted}");
    }
}

#[track_caller]
fn near(found: &[f64], wanted: &[f64]) {
    within(TOLERANCE, found, wanted);
}

#[test]
fn contributions_are_those_of_lightgbm_and_shap() {
    for name in
        ["lightgbm-regression", "lightgbm-binary", "lightgbm-multiclass", "shap-forest", "shap-extra-trees"]
    {
        let fixture = fixture(name);
        let trees = trees(&fixture);
        let explainer = TreeExplainer::new(&trees).unwrap();
        let rows = numbers(&fixture["rows"]);
        let wanted = numbers(&fixture["contributions"]);
        let mut found = vec![0.0; wanted.len()];
        explainer.explain(&trees, &rows, &mut found);
        near(explainer.base(), &numbers(&fixture["base"]));
        near(&found, &wanted);
        let has_subsets = !trees.parts().subsets.is_empty();
        assert_eq!(has_subsets, name.starts_with("lightgbm"), "{name}");
    }
}

#[test]
fn contributions_against_background_rows_are_those_of_shap() {
    let fixture = fixture("shap-forest");
    let trees = trees(&fixture);
    let n_inputs = trees.n_inputs();
    let (rows, background) = (numbers(&fixture["rows"]), numbers(&fixture["background"]));
    let wanted = numbers(&fixture["interventional"]);
    let mut found = vec![0.0; wanted.len()];
    let share = n_inputs as f64 / background.len() as f64;
    for (row, out) in rows.chunks_exact(n_inputs).zip(found.chunks_exact_mut(n_inputs)) {
        for other in background.chunks_exact(n_inputs) {
            add_interventional(&trees, row, other, share, out);
        }
    }
    within(SINGLE, &found, &wanted);
}

#[test]
fn contributions_of_a_linear_model_are_those_of_shap() {
    let fixture = fixture("shap-linear");
    let [coefficients, intercepts, means, rows] =
        ["coefficients", "intercepts", "means", "rows"].map(|name| numbers(&fixture[name]));
    let linear = Linear::new(Link::Softmax, means.len(), coefficients, intercepts);
    let predictor = Predictor::Linear(linear);
    let explainer = AdditiveExplainer::new(&predictor, &means).unwrap();
    let n_rows = rows.len() / means.len();
    let found = explainer.explain(&predictor, &rows, &Sparse::default(), n_rows);
    near(&found.base, &numbers(&fixture["base"]));
    near(&found.contributions, &numbers(&fixture["contributions"]));
}
