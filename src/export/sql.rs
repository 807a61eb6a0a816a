//! A query in standard SQL: linear models, and trees of up to [`MAX_NODES`] nodes.
//!
//! The query reads a table called `rows` that has the columns of the model, and adds the prediction and the probabilities
//! to it. Numbers are written with an exponent, so that no database takes them for decimals; what is added up is added up
//! in pairs, as databases limit how deep an expression may be. Each step has a WITH, without which PostgreSQL puts a score
//! in the place of its name wherever that is used: of boosted trees and three classes 344 rows then take a minute instead
//! of 0.7 s.

use anyhow::{Result, bail, ensure};

use crate::data::cells::cell::ColumnType;
use crate::data::cells::feature::Feature;
use crate::data::prepare::recipe::{Encoding, Parts as RecipeParts, Recipe, Slot};
use crate::model::Model;
use crate::model::pipeline::Member;
use crate::model::predictor::tree_arrays::{LEAF, MISSING_LEFT, Parts, SUBSET, SUBSET_WORDS};
use crate::model::predictor::{Link, Predictor};
use crate::names::quote;

/// The most nodes that are written: about 5 MB of text, which DuckDB plans in seconds.
const MAX_NODES: usize = 50_000;

/// The deepest tree: the parser of SQLite holds 100 symbols, and each level of a tree takes up to six.
const MAX_DEPTH: usize = 12;

/// e to a power beyond this is out of range in PostgreSQL, or 0.
const MAX_POWER: &str = "7e2";

/// The query of a model.
pub(super) fn query(model: &Model, member: &Member) -> Result<String> {
    super::learned_as_is(member)?;
    let schema = &model.pipeline.schema;
    for feature in &schema.features {
        let is_plain = feature.notation.is_none() || feature.column_type == ColumnType::Boolean;
        ensure!(
            is_plain && !matches!(feature.column_type, ColumnType::Text | ColumnType::Date),
            "the column {} is a {} that standard SQL cannot read as mlapi does; train with --drop {0}",
            quote(&feature.name),
            feature.notation.map_or(feature.column_type.name().to_string(), |notation| notation.to_string())
        );
    }
    let (scores, link) = match &member.predictor {
        Predictor::Linear(linear) => {
            let (coefficients, intercepts) = linear.coefficients();
            let slots = member.recipe.slots();
            let parts = member.recipe.parts();
            let of_score = |(row, intercept): (&[f64], &f64)| {
                linear_score(&schema.features, &slots, &parts, row, *intercept)
            };
            let rows = coefficients.chunks_exact(slots.len().max(1)).zip(intercepts);
            (rows.map(of_score).collect::<Result<Vec<_>>>()?, linear.link())
        }
        Predictor::Trees(trees) => {
            ensure!(
                member.recipe.encoding() == Encoding::Raw && member.recipe.n_slots() == schema.n_features(),
                "the trees read means of the target within the levels of a column, which the query does not make; train \
                 with --drop"
            );
            let zeros = member.recipe.parts().zero_is_missing;
            let parts = trees.parts();
            (Query { parts, features: &schema.features, zeros: &zeros }.scores()?, parts.link)
        }
        _ => bail!("the query says linear models and trees, and the model is {}", model.card.algorithm),
    };
    let labels = &schema.target.labels;
    let names: Vec<String> = (0..scores.len()).map(|i| identifier(&format!("score_{i}"))).collect();
    let listed = scores.iter().zip(&names).map(|(score, name)| format!("{score} AS {name}"));
    let inner = format!(
        "WITH given AS (SELECT * FROM \"rows\")\nSELECT *,\n  {}\nFROM given",
        listed.collect::<Vec<_>>().join(",\n  ")
    );
    let head = format!(
        "-- {} of mlapi: predicts {} for every row of the table \"rows\".\n",
        model.card.algorithm,
        schema.target.name.replace(char::is_control, " ")
    );
    if labels.is_empty() {
        let value = match link {
            Link::Exponential => power(&names[0]),
            _ => names[0].clone(),
        };
        return Ok(format!("{head}SELECT *, {value} AS \"prediction\"\nFROM (\n{inner}\n) AS scored;\n"));
    }
    let probabilities: Vec<String> = match (link, names.as_slice()) {
        (Link::Sigmoid, [score]) => [format!("({score})"), format!("(-{score})")]
            .map(|score| format!("1e0 / (1e0 + {})", power(&score)))
            .to_vec(),
        (Link::Share, [share]) => vec![format!("1e0 - {share}"), share.clone()],
        (Link::Softmax, all) => {
            let of = |own: &String| {
                let sum = all.iter().map(|other| power(&format!("({other} - {own})")));
                format!("1e0 / ({})", sum.collect::<Vec<_>>().join(" + "))
            };
            all.iter().map(of).collect()
        }
        (_, all) => all.to_vec(),
    };
    let columns: Vec<String> =
        labels.iter().map(|label| identifier(&format!("probability_{label}"))).collect();
    let listed = probabilities.iter().zip(&columns).map(|(value, name)| format!("{value} AS {name}"));
    let middle = format!(
        "WITH scored AS (\n{inner}\n)\nSELECT *,\n  {}\nFROM scored",
        listed.collect::<Vec<_>>().join(",\n  ")
    );
    let value = |label: &String| if schema.target.numeric_labels { label.clone() } else { literal(label) };
    let mut most = String::from("CASE");
    // A row that mlapi refuses has no score, and so no prediction.
    if matches!(member.predictor, Predictor::Linear(_)) && refuses_missing(&member.recipe) {
        most += &format!(" WHEN {} IS NULL THEN NULL", columns[0]);
    }
    for (i, (column, label)) in columns.iter().zip(labels).enumerate() {
        let beats = columns[i + 1..].iter().map(|other| format!("{column} >= {other}"));
        let beats: Vec<String> = beats.collect();
        most += &match beats.is_empty() {
            true => format!(" ELSE {} END", value(label)),
            false => format!(" WHEN {} THEN {}", beats.join(" AND "), value(label)),
        };
    }
    Ok(format!("{head}SELECT *, {most} AS \"prediction\"\nFROM (\n{middle}\n) AS predicted;\n"))
}

/// Whether what is missing stays missing.
fn refuses_missing(recipe: &Recipe) -> bool {
    recipe.encoding() == Encoding::Raw || recipe.keeps_missing()
}

fn linear_score(
    features: &[Feature],
    slots: &[(usize, Slot)],
    parts: &RecipeParts,
    coefficients: &[f64],
    intercept: f64,
) -> Result<String> {
    let mut terms = vec![number(intercept)];
    for (i, feature) in features.iter().enumerate() {
        let cell = identifier(&feature.name);
        let fill = parts.fill.get(i).copied().unwrap_or(f64::NAN);
        let filled = |value: String| match fill.is_nan() {
            true => value,
            false => format!("COALESCE({value}, {})", number(fill)),
        };
        let own = || slots.iter().zip(coefficients).filter(move |((of, _), _)| *of == i);
        let mut levels = Vec::new();
        let mut other = 0.0;
        for ((_, slot), &coefficient) in own() {
            match slot {
                Slot::Value if feature.column_type == ColumnType::Boolean => {
                    terms.push(format!("{} * {}", number(coefficient), filled(boolean(feature))));
                }
                // Of a model that was imported: a number as it is.
                Slot::Value if parts.scale.is_empty() => {
                    terms.push(format!("{} * {cell}", number(coefficient)));
                }
                Slot::Value => terms.push(format!(
                    "{} * (({} - {}) / {})",
                    number(coefficient),
                    filled(cell.clone()),
                    number(parts.mean[i]),
                    number(parts.scale[i])
                )),
                Slot::Missing => {
                    terms.push(format!("CASE WHEN {cell} IS NULL THEN {} ELSE 0e0 END", number(coefficient)));
                }
                Slot::Level(level) => levels.push((&feature.levels[*level], coefficient)),
                Slot::OtherLevel => other = coefficient,
                Slot::TargetMean | Slot::DatePart(_) | Slot::DaysTo(_) | Slot::PairNumber(_) | Slot::Term => {
                    bail!(
                        "the model reads numbers made of the column {} that the query does not make; train with --drop {0}",
                        quote(&feature.name)
                    )
                }
            }
        }
        if feature.column_type == ColumnType::Category {
            let [missing, other] = match fill.is_nan() {
                true => ["NULL".to_string(), "NULL".to_string()],
                false => [number(0.0), number(other)],
            };
            let mut case = format!("CASE WHEN {cell} IS NULL THEN {missing}");
            for (level, coefficient) in levels {
                case += &format!(" WHEN {} = {} THEN {}", text(feature), literal(level), number(coefficient));
            }
            terms.push(format!("{case} ELSE {other} END"));
        }
    }
    Ok(sum(&terms))
}

struct Query<'a> {
    parts: &'a Parts,
    features: &'a [Feature],
    zeros: &'a [u8],
}

impl Query<'_> {
    fn scores(&self) -> Result<Vec<String>> {
        let parts = self.parts;
        let (n_scores, n_nodes) = (parts.base.len(), parts.feature.len());
        let n_written = if parts.width == 1 { n_nodes } else { n_nodes * n_scores };
        ensure!(
            n_written <= MAX_NODES,
            "the trees have {n_written} nodes and a query holds {MAX_NODES}; train with --set max_depth=… or fewer trees, or \
             export --to lightgbm"
        );
        let mut terms: Vec<Vec<String>> = vec![Vec::new(); n_scores];
        let mut sets = vec![0; n_nodes];
        let mut n_sets = 0;
        for (node, set) in sets.iter_mut().enumerate() {
            if parts.feature[node] != LEAF && parts.flags[node] & SUBSET != 0 {
                *set = n_sets * SUBSET_WORDS;
                n_sets += 1;
            }
        }
        for (tree, &root) in parts.roots.iter().enumerate() {
            if parts.width == 1 {
                terms[tree % n_scores].push(self.node(root as usize, 0, &sets, 0)?);
            } else {
                for (score, terms) in terms.iter_mut().enumerate() {
                    terms.push(self.node(root as usize, score, &sets, 0)?);
                }
            }
        }
        let of_score = |(base, terms): (&f64, &Vec<String>)| match parts.divisor {
            1.0 => format!("{} + ({})", number(*base), sum(terms)),
            divisor => format!("{} + ({}) / {}", number(*base), sum(terms), number(divisor)),
        };
        Ok(parts.base.iter().zip(&terms).map(of_score).collect())
    }

    /// The value of a node, and of all below it.
    fn node(&self, node: usize, score: usize, sets: &[usize], depth: usize) -> Result<String> {
        let parts = self.parts;
        ensure!(
            depth <= MAX_DEPTH,
            "a tree is deeper than the {MAX_DEPTH} levels that a query holds; train with --set max_depth={MAX_DEPTH} or less"
        );
        let below = parts.left[node] as usize;
        if parts.feature[node] == LEAF {
            return Ok(number(parts.values[below * parts.width + score]));
        }
        let test = self.test(node, sets[node]);
        let [left, right] = [below, below + 1].map(|child| self.node(child, score, sets, depth + 1));
        Ok(format!("CASE WHEN {test} THEN {} ELSE {} END", left?, right?))
    }

    /// The condition under which a row goes left; one that is neither true nor false goes right.
    fn test(&self, node: usize, set: usize) -> String {
        let parts = self.parts;
        let index = parts.feature[node] as usize;
        let feature = &self.features[index];
        let missing_left = parts.flags[node] & MISSING_LEFT != 0;
        let cell = identifier(&feature.name);
        let or_missing = |test: String| if missing_left { format!("{cell} IS NULL OR {test}") } else { test };
        if parts.flags[node] & SUBSET == 0 {
            let threshold = number(parts.threshold[node]);
            if feature.column_type == ColumnType::Boolean {
                return or_missing(format!("{} <= {threshold}", boolean(feature)));
            }
            if self.zeros.get(index) == Some(&1) {
                let zero = number(f64::from(1e-35_f32));
                let value = format!("CASE WHEN ABS({cell}) <= {zero} THEN NULL ELSE {cell} END");
                let or_zero = if missing_left { format!("ABS({cell}) <= {zero} OR ") } else { String::new() };
                return or_missing(format!("{or_zero}{value} <= {threshold}"));
            }
            return or_missing(format!("{cell} <= {threshold}"));
        }
        let first: usize = parts.levels[..index].iter().map(|&n| n as usize).sum();
        let groups = &parts.groups[first..first + feature.levels.len()];
        let goes_left = |group: u8| parts.subsets[set + usize::from(group) / 32] >> (group % 32) & 1 == 1;
        // Unseen levels go where missing values go.
        let listed =
            feature.levels.iter().zip(groups).filter(|(_, group)| goes_left(**group) != missing_left);
        let listed: Vec<String> = listed.map(|(level, _)| literal(level)).collect();
        match (listed.is_empty(), missing_left) {
            (true, true) => "1 = 1".into(),
            (true, false) => "1 = 0".into(),
            (false, true) => or_missing(format!("{} NOT IN ({})", text(feature), listed.join(", "))),
            (false, false) => format!("{} IN ({})", text(feature), listed.join(", ")),
        }
    }
}

/// Terms added up in pairs.
fn sum(terms: &[String]) -> String {
    match terms {
        [] => "0e0".into(),
        [term] => term.clone(),
        _ => {
            let (left, right) = terms.split_at(terms.len() / 2);
            format!("({}\n   + {})", sum(left), sum(right))
        }
    }
}

/// e to a power, within the range of every database.
fn power(exponent: &str) -> String {
    format!(
        "CASE WHEN {exponent} > {MAX_POWER} THEN 1e304 WHEN {exponent} < -{MAX_POWER} THEN 0e0 ELSE EXP({exponent}) END"
    )
}

/// 1 or 0 for the words of a boolean, whatever type the column has.
fn boolean(feature: &Feature) -> String {
    let of = |value: bool| {
        let mut words = vec![feature.words().text(value), if value { "true" } else { "false" }];
        words.push(if value { "1" } else { "0" });
        words.dedup();
        words.into_iter().map(literal).collect::<Vec<_>>().join(", ")
    };
    let cell = format!("LOWER(CAST({} AS VARCHAR(20)))", identifier(&feature.name));
    format!("CASE WHEN {cell} IN ({}) THEN 1e0 WHEN {cell} IN ({}) THEN 0e0 END", of(true), of(false))
}

/// The cell of a category as text; levels that are numbers may be those of a column of numbers.
fn text(feature: &Feature) -> String {
    let cell = identifier(&feature.name);
    let is_number = feature.levels.iter().any(|level| level.parse::<f64>().is_ok());
    if is_number { format!("CAST({cell} AS VARCHAR(200))") } else { cell }
}

/// A number that no database takes for a decimal or a whole number.
fn number(value: f64) -> String {
    format!("{value:e}")
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
