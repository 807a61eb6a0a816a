//! Models of LightGBM, from its text files.
//!
//! A number goes left if it is at most the threshold, in double precision; a category if it is in the bit set of the node,
//! else right, as are missing and unseen ones. Bits 2 and 3 of `decision_type` say what is missing: nothing (then NaN
//! counts as 0), zeros, or NaN. Leaves are counted by negative numbers.
//! Source: LightGBM 4.7, `src/io/tree.cpp`, `include/LightGBM/tree.h`, `src/boosting/gbdt_model_text.cpp`.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use super::forest::{Body, Classes, Foreign, ForeignColumn, Forest, Node, Split, Test, Tree};
use crate::data::cells::target::MAX_CLASSES;
use crate::model::predictor::Link;

/// Bits of `decision_type`.
const CATEGORY: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Numbers up to this distance from 0 are 0 (`kZeroThreshold`, a constant of single precision).
const ZERO: f64 = 1e-35_f32 as f64;

/// What is missing in a column of numbers.
const ZERO_IS_MISSING: u8 = 1;
const NAN_IS_MISSING: u8 = 2;

/// Columns and leaves of a model; a line that asks for more is damaged.
const MAX_COLUMNS: usize = 1 << 24;

/// Codes of categories of all columns together, each of which becomes a level.
const MAX_CODES: usize = 1 << 20;

/// Objectives whose prediction is their score.
const NUMBERS: [&str; 7] =
    ["regression", "regression_l1", "huber", "fair", "quantile", "mape", "regression_l2"];
/// Objectives whose score is the logarithm of their prediction.
const LOGARITHMS: [&str; 3] = ["poisson", "gamma", "tweedie"];

/// The lines `key=value` of one part of the file.
struct Lines<'a>(HashMap<&'a str, &'a str>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.trim_end().split_once('=')).collect())
    }

    fn get(&self, key: &str) -> Result<&'a str> {
        self.0.get(key).copied().with_context(|| format!("the line {key}= is missing"))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.get(key)?;
        text.trim().parse().ok().with_context(|| format!("{key}={text} is no number"))
    }

    /// The numbers of a line; `n` of them.
    fn numbers<T: FromStr>(&self, key: &str, n: usize) -> Result<Vec<T>> {
        let mut numbers = Vec::new();
        for text in self.get(key)?.split_ascii_whitespace() {
            numbers.push(
                text.parse().ok().with_context(|| format!("{key}= has {text:?}, which is no such number"))?,
            );
        }
        ensure!(numbers.len() == n, "{key}= has {} numbers where {n} belong", numbers.len());
        Ok(numbers)
    }
}

/// Reads a text file.
///
/// # Errors
/// A damaged file, or a model that mlapi cannot hold, named as LightGBM names it.
pub(super) fn read(bytes: &[u8]) -> Result<Foreign> {
    let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
    let (head, rest) = text.split_once("\nTree=").unwrap_or((text, ""));
    let (trees, tail) =
        rest.split_once("\nend of trees").context("the line \"end of trees\" is missing: it is cut off")?;
    // Two words without "=" among the lines of the head.
    let averages = head.lines().any(|line| line.trim() == "average_output");
    let head = Lines::of(head);
    let n_columns: usize = head.number::<usize>("max_feature_idx")?.saturating_add(1);
    ensure!(n_columns <= MAX_COLUMNS, "it has {n_columns} columns");
    let n_scores: usize = head.number("num_tree_per_iteration")?;
    ensure!((1..=MAX_CLASSES).contains(&n_scores), "it has {n_scores} trees per iteration");
    let objective = head
        .get("objective")
        .context("it was trained with an objective of the user's own, whose prediction mlapi cannot know")?;
    let (link, scale) = meaning(objective, n_scores)?;
    let names: Vec<&str> = head.get("feature_names")?.split(' ').collect();
    let infos: Vec<&str> = head.get("feature_infos")?.split(' ').collect();
    ensure!(
        names.len() == n_columns && infos.len() == n_columns,
        "it has {n_columns} columns, {} names and {} descriptions of them",
        names.len(),
        infos.len()
    );
    let mut columns = columns(&names, &infos, tail)?;
    let mut forest = Forest { link, base: vec![0.0; n_scores], divisor: 1.0, trees: Vec::new() };
    let mut missing = vec![None; n_columns];
    for (i, text) in trees.split("\nTree=").filter(|text| !text.trim().is_empty()).enumerate() {
        let lines = Lines::of(text);
        let nodes = nodes(&lines, &mut columns, &mut missing, scale)
            .with_context(|| format!("tree {i} cannot be read"))?;
        forest.trees.push(Tree { score: i % n_scores, covers: covers(&lines, nodes.len()), nodes });
    }
    let n_trees = forest.trees.len();
    ensure!(n_trees.is_multiple_of(n_scores), "it has {n_trees} trees, {n_scores} in each iteration");
    if averages {
        forest.divisor = (n_trees / n_scores).max(1) as f64;
    }
    for (column, missing) in columns.iter_mut().zip(missing) {
        column.zero_is_missing = missing == Some(ZERO_IS_MISSING);
    }
    let classes = match link {
        Link::Sigmoid => Some(Classes { n: 2, labels: None }),
        Link::Softmax => Some(Classes { n: n_scores, labels: None }),
        _ => None,
    };
    Ok(Foreign {
        producer: "LightGBM".into(),
        version: head.get("version").ok().map(|version| format!("text format {version}")),
        objective: objective.into(),
        columns,
        classes,
        forest,
        body: Body::Forest,
        graph: None,
        single_precision: false,
        notes: Vec::new(),
    })
}

/// The link of an objective, and what its scores are multiplied with.
fn meaning(objective: &str, n_scores: usize) -> Result<(Link, f64)> {
    let mut words = objective.split(' ');
    let name = words.next().unwrap_or_default();
    let parameter = |name: &str| words.clone().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    let takes_root = words.clone().any(|word| word == "sqrt");
    let found = match name {
        "binary" => {
            let sigmoid = parameter("sigmoid").unwrap_or("1");
            let scale = sigmoid.parse().ok().filter(|scale: &f64| scale.is_finite() && *scale > 0.0);
            (Link::Sigmoid, scale.with_context(|| format!("its sigmoid is {sigmoid:?}"))?)
        }
        "multiclass" => (Link::Softmax, 1.0),
        _ if takes_root => {
            bail!("it was trained on the square root of the target (reg_sqrt), which mlapi cannot undo")
        }
        _ if NUMBERS.contains(&name) => (Link::Identity, 1.0),
        _ if LOGARITHMS.contains(&name) => (Link::Exponential, 1.0),
        _ => bail!(
            "the objective {name:?} has no prediction that mlapi knows; it reads binary, multiclass, {}, {}",
            NUMBERS.join(", "),
            LOGARITHMS.join(", ")
        ),
    };
    ensure!(
        (n_scores > 1) == (found.0 == Link::Softmax),
        "the objective {name} has {n_scores} trees per iteration"
    );
    Ok(found)
}

/// The columns, with the levels of those that a data frame had as categories.
fn columns(names: &[&str], infos: &[&str], tail: &str) -> Result<Vec<ForeignColumn>> {
    // The names that LightGBM makes up for an array.
    let made_up = names.iter().enumerate().all(|(i, name)| *name == format!("Column_{i}"));
    let mut columns: Vec<ForeignColumn> = Vec::with_capacity(names.len());
    let mut n_codes = 0_usize;
    for (name, info) in names.iter().zip(infos) {
        let mut column =
            ForeignColumn { name: (!made_up).then(|| (*name).to_string()), ..ForeignColumn::default() };
        if let Some((min, max)) = info.strip_prefix('[').and_then(|i| i.strip_suffix(']')?.split_once(':')) {
            let range = min.parse().ok().zip(max.parse().ok());
            column.range =
                range.filter(|(min, max): &(f64, f64)| min.is_finite() && max.is_finite() && min <= max);
        } else if *info != "none" {
            let codes = info.split(':').map(str::parse::<i64>);
            let codes: Vec<i64> =
                codes.collect::<Result<_, _>>().with_context(|| format!("a column is {info:?}"))?;
            let n = codes.iter().max().map_or(0, |&max| max.max(-1) + 1) as usize;
            n_codes += n;
            ensure!(n_codes <= MAX_CODES, "its categories have {n_codes} codes; mlapi reads {MAX_CODES}");
            column.levels = Some((0..n).map(|code| code.to_string()).collect());
        }
        columns.push(column);
    }
    let listed = tail.lines().find_map(|line| line.strip_prefix("[categorical_feature: ")?.strip_suffix(']'));
    for index in listed.unwrap_or_default().split(',').filter_map(|index| index.trim().parse::<usize>().ok())
    {
        // A category that no split can use is described as "none".
        if let Some(column) = columns.get_mut(index).filter(|column| column.range.is_none()) {
            column.levels.get_or_insert_default();
        }
    }
    let frame = tail.lines().find_map(|line| line.strip_prefix("pandas_categorical:"));
    let frame: Option<Vec<Vec<serde_json::Value>>> = match frame {
        Some(text) => serde_json::from_str(text).context("its line pandas_categorical cannot be read")?,
        None => None,
    };
    if let Some(frame) = frame.filter(|frame| !frame.is_empty()) {
        let categories: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].levels.is_some()).collect();
        ensure!(
            categories.len() == frame.len(),
            "its data frame had {} columns of categories and the model {}, so their levels cannot be told",
            frame.len(),
            categories.len()
        );
        for (index, levels) in categories.into_iter().zip(frame) {
            columns[index].levels = Some(levels.iter().map(level).collect());
        }
    }
    Ok(columns)
}

/// A level of a data frame's category as a file of rows writes it.
fn level(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(value) => if *value { "true" } else { "false" }.into(),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => (value as i64).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn nodes(
    lines: &Lines,
    columns: &mut [ForeignColumn],
    missing: &mut [Option<u8>],
    scale: f64,
) -> Result<Vec<Node>> {
    let n_leaves: usize = lines.number("num_leaves")?;
    ensure!((1..1 << 28).contains(&n_leaves), "it has {n_leaves} leaves");
    ensure!(
        lines.get("is_linear").is_ok_and(|text| text == "0") || lines.get("is_linear").is_err(),
        "its leaves are linear models (linear_tree), which mlapi does not read"
    );
    let leaves: Vec<f64> = lines.numbers("leaf_value", n_leaves)?;
    let leaves = leaves.into_iter().map(|value| Node::Leaf(vec![value * scale]));
    let n = n_leaves - 1;
    if n == 0 {
        return Ok(leaves.collect());
    }
    let features: Vec<usize> = lines.numbers("split_feature", n)?;
    let thresholds: Vec<f64> = lines.numbers("threshold", n)?;
    let decisions: Vec<u8> = lines.numbers("decision_type", n)?;
    let left: Vec<i64> = lines.numbers("left_child", n)?;
    let right: Vec<i64> = lines.numbers("right_child", n)?;
    let gains: Vec<f64> = lines.numbers("split_gain", n).unwrap_or_else(|_| vec![0.0; n]);
    let n_sets: usize = lines.number("num_cat").unwrap_or(0);
    let (bounds, words): (Vec<usize>, Vec<u32>) = if n_sets > 0 {
        let bounds: Vec<usize> = lines.numbers("cat_boundaries", n_sets.saturating_add(1))?;
        let n_words = bounds.last().copied().unwrap_or(0);
        (bounds, lines.numbers("cat_threshold", n_words)?)
    } else {
        (Vec::new(), Vec::new())
    };
    let child = |at: i64| usize::try_from(if at < 0 { n as i64 + !at } else { at }).unwrap_or(usize::MAX);
    let mut nodes = Vec::with_capacity(n + n_leaves);
    for i in 0..n {
        let column = features[i];
        let known = columns.get_mut(column).with_context(|| format!("a split names column {column}"))?;
        let (test, missing_left) = if decisions[i] & CATEGORY != 0 {
            let set = thresholds[i] as usize;
            let bits = bounds.get(set).zip(bounds.get(set + 1)).and_then(|(&from, &to)| words.get(from..to));
            let codes = codes(bits.context("a set of categories is not there")?);
            let levels = known.levels.get_or_insert_default();
            // Codes that the description does not name; nothing else tells of them.
            let n_codes = codes.last().map_or(0, |&code| code as usize + 1);
            ensure!(n_codes <= MAX_CODES, "a category has the code {}", n_codes - 1);
            for code in levels.len()..n_codes {
                levels.push(code.to_string());
            }
            (Test::Levels(codes), false)
        } else {
            // Infinity sends every number to the left.
            let threshold = thresholds[i].clamp(f64::MIN, f64::MAX);
            ensure!(threshold.is_finite(), "a threshold is not a finite number");
            let of_missing = (decisions[i] >> 2) & 3;
            let known = missing[column].get_or_insert(of_missing);
            ensure!(
                (*known == ZERO_IS_MISSING) == (of_missing == ZERO_IS_MISSING),
                "zeros of column {column} are missing in some splits alone"
            );
            let default_left = decisions[i] & DEFAULT_LEFT != 0;
            let missing_left = match of_missing {
                ZERO_IS_MISSING | NAN_IS_MISSING => default_left,
                // NaN counts as 0.
                _ => threshold >= 0.0,
            };
            (Test::AtMost(snapped(threshold)), missing_left)
        };
        let (left, right) = (child(left[i]), child(right[i]));
        nodes.push(Node::Split(Split { column, test, missing_left, left, right, gain: gains[i] }));
    }
    nodes.extend(leaves);
    Ok(nodes)
}

/// The threshold that decides for a number as `threshold` does once numbers up to [`ZERO`] from 0 are taken for 0, which
/// LightGBM does to every row before a tree sees it (`RowPairFunctionFromDenseMatric` of `src/c_api.cpp`).
fn snapped(threshold: f64) -> f64 {
    if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else if (0.0..ZERO).contains(&threshold) {
        ZERO
    } else {
        threshold
    }
}

/// The rows of each leaf, behind the inner nodes; none in the files of some writers.
fn covers(lines: &Lines, n_nodes: usize) -> Vec<f64> {
    let n_leaves = n_nodes.div_ceil(2);
    let counts = lines.numbers("leaf_count", n_leaves).unwrap_or_default();
    if counts.is_empty() { counts } else { [vec![0.0; n_nodes - n_leaves], counts].concat() }
}

/// The numbers of the bits that are set.
fn codes(words: &[u32]) -> Vec<u32> {
    let bits = words
        .iter()
        .enumerate()
        .flat_map(|(i, word)| (0..32).map(move |bit| (i as u32 * 32 + bit, word >> bit & 1)));
    bits.filter(|(_, bit)| *bit == 1).map(|(code, _)| code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_have_their_links_and_unknown_ones_are_named() {
        assert_eq!(meaning("binary sigmoid:2.5", 1).unwrap(), (Link::Sigmoid, 2.5));
        assert_eq!(meaning("multiclass num_class:3", 3).unwrap(), (Link::Softmax, 1.0));
        assert_eq!(meaning("tweedie tweedie_variance_power:1.5", 1).unwrap(), (Link::Exponential, 1.0));
        for objective in
            ["lambdarank", "regression sqrt", "multiclassova num_class:3 sigmoid:1", "cross_entropy"]
        {
            assert!(meaning(objective, 1).is_err(), "{objective}");
        }
        let message = meaning("lambdarank", 1).unwrap_err().to_string();
        assert!(message.contains("lambdarank") && message.contains("multiclass"), "{message}");
    }

    #[test]
    fn numbers_close_to_zero_go_where_zero_goes() {
        for threshold in [-ZERO, -1e-36, -0.0, 0.0, 1e-36, ZERO, 1.0, (-ZERO).next_down()] {
            for x in [-ZERO, ZERO, 1e-36, -1e-36, 0.0, ZERO.next_up(), (-ZERO).next_down(), 1.0] {
                let seen = if x.abs() > ZERO { x } else { 0.0 };
                assert_eq!(x <= snapped(threshold), seen <= threshold, "{x:e} and {threshold:e}");
            }
        }
    }

    #[test]
    fn bits_are_the_codes_of_categories() {
        assert_eq!(codes(&[0b101, 1]), [0, 2, 32]);
    }
}
