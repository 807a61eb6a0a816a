//! How training used each column of its file: one row of a table for people, one object for programs.

use std::collections::HashMap;

use serde::Serialize;

use super::text;
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date;
use crate::data::cells::notation::Notation;
use crate::data::cells::schema::Schema;
use crate::data::judge::distinct::MAX_COUNTED;
use crate::data::judge::profile::Profile;
use crate::data::prepare::recipe::{Encoding, MAX_LEVEL_SLOTS, Slot};
use crate::model::pipeline::{Member, Pipeline};
use crate::model::predictor::Predictor;

/// How training used one column.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ColumnNote {
    /// Its name.
    pub(crate) name: String,
    /// Its type, `target`, or `-` if it is not used.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Rows without a value.
    pub(crate) missing: usize,
    /// Distinct values; absent if there are more than are counted.
    pub(crate) distinct: Option<usize>,
    /// The form in which the learner sees it; of an ensemble each form in which a member sees it, in their order.
    pub(crate) becomes: String,
    /// The reason for this type, or for not using it.
    pub(crate) why: String,
    /// Whether its numbers may be names.
    #[serde(skip)]
    may_be_codes: bool,
}

/// How training used each column, in the order of the file. `given`: the types that were not inferred.
pub(crate) fn describe(
    pipeline: &Pipeline,
    profiles: &[Profile],
    given: &[(String, ColumnType)],
) -> Vec<ColumnNote> {
    let schema = &pipeline.schema;
    let ignored: HashMap<&str, &str> =
        schema.ignored.iter().map(|ignored| (ignored.name.as_str(), ignored.reason.as_str())).collect();
    let seen_by: Vec<(&Member, Vec<Vec<Slot>>)> = pipeline
        .members
        .iter()
        .map(|member| {
            let mut parts_of = vec![Vec::new(); schema.n_features()];
            member.recipe.slots().into_iter().for_each(|(feature, part)| parts_of[feature].push(part));
            (member, parts_of)
        })
        .collect();
    let describe = |(name, profile): (&String, &Profile)| {
        let ignored = ignored.get(name.as_str());
        let index = schema.feature_index(name, usize::MAX);
        let is_given = given.iter().any(|(given, _)| given == name);
        let (kind, becomes, why) = match (ignored, index) {
            _ if *name == schema.target.name => ("target", String::new(), String::new()),
            (Some(ignored), _) => ("-", "not used".into(), ignored.to_string()),
            (None, None) => ("-", String::new(), String::new()),
            (None, Some(index)) => {
                let feature = &schema.features[index];
                let column_type = feature.column_type;
                let why = match feature.notation {
                    _ if is_given => "--type".into(),
                    Some(Notation::List(style)) => format!("lists {}", style.meaning()),
                    Some(Notation::Pair(_)) => "pairs of numbers".into(),
                    _ => profile.reason(column_type),
                };
                let has_missing = profile.missing > 0;
                let mut forms: Vec<String> = Vec::new();
                for (member, parts_of) in &seen_by {
                    let form = becomes(member, &parts_of[index], schema, index, has_missing);
                    if !forms.contains(&form) {
                        forms.push(form);
                    }
                }
                (column_type.name(), forms.join("; "), why)
            }
        };
        let may_be_codes = kind == ColumnType::Number.name() && !is_given && profile.may_be_codes();
        // As names, 1E10 and 10E9 are two.
        let as_text = [ColumnType::Category.name(), ColumnType::Text.name()].contains(&kind);
        let distinct = if as_text { profile.distinct_texts } else { profile.distinct };
        let distinct = (distinct <= MAX_COUNTED).then_some(distinct);
        ColumnNote {
            name: name.clone(),
            kind,
            missing: profile.missing,
            distinct,
            becomes,
            why,
            may_be_codes,
        }
    };
    schema.columns.iter().zip(profiles).map(describe).collect()
}

/// `parts`: the meaning of each slot of the feature `index`.
fn becomes(member: &Member, parts: &[Slot], schema: &Schema, index: usize, has_missing: bool) -> String {
    let feature = &schema.features[index];
    let raw = member.recipe.encoding() == Encoding::Raw;
    let parts = || parts.iter().copied();
    let (of_missing, of_levels) = match member.predictor {
        Predictor::NaiveBayes(_) => ("missing skipped", "frequencies"),
        _ => ("missing kept", "sets of levels"),
    };
    let what = match feature.column_type {
        ColumnType::Number if raw => "as it is".to_string(),
        ColumnType::Number => "standardised".to_string(),
        ColumnType::Boolean => "0 or 1".to_string(),
        ColumnType::Date => {
            let name = |part| match part {
                Slot::DatePart(part) => date::PART_NAMES.get(part).copied(),
                _ => None,
            };
            let mut named: Vec<&str> = parts().filter_map(name).collect();
            named.dedup();
            let named = match named.as_slice() {
                [first, .., last] if named.len() > 3 => format!("{} parts, {first} to {last}", named.len()),
                few => few.join(", "),
            };
            let others = parts().filter_map(|part| match part {
                Slot::DaysTo(other) => schema.features.get(other).map(|other| other.name.as_str()),
                _ => None,
            });
            match others.collect::<Vec<_>>().as_slice() {
                [] => named,
                others => format!("{named}, days to {}", others.join(", ")),
            }
        }
        ColumnType::Category => {
            let (many, has_means) =
                (feature.levels.len() > MAX_LEVEL_SLOTS, parts().any(|part| part == Slot::TargetMean));
            let levels = match (raw, many) {
                (true, _) => of_levels.to_string(),
                (false, true) => format!("one-hot of {MAX_LEVEL_SLOTS}"),
                (false, false) => "one-hot".to_string(),
            };
            if has_means { levels + ", target means" } else { levels }
        }
        ColumnType::Text if feature.is_pair() && raw => "two numbers".to_string(),
        ColumnType::Text if feature.is_pair() => "two numbers, standardised".to_string(),
        ColumnType::Text if feature.takes_arrays() => {
            format!("0 or 1 for {} members", parts().filter(|part| *part == Slot::Term).count())
        }
        ColumnType::Text => {
            let n = parts().filter(|part| *part == Slot::Term).count();
            match (raw, member.recipe.has_sparse_texts()) {
                (false, true) => format!("TF-IDF of {n} terms"),
                (false, false) => format!("TF-IDF of {n} chosen terms"),
                (true, true) => format!("counts of {n} terms"),
                (true, false) => format!("counts of {n} chosen terms"),
            }
        }
    };
    match feature.column_type {
        _ if !has_missing => what,
        _ if raw => format!("{what}, {of_missing}"),
        _ if feature.is_pair() => format!("{what}, missing filled"),
        ColumnType::Category | ColumnType::Text => format!("{what}, missing marked"),
        _ => format!("{what}, missing filled"),
    }
}

/// The table, each row indented; columns beyond `max` are counted.
pub(crate) fn table(columns: &[ColumnNote], n_rows: usize, max: usize) -> String {
    let percent = |n: usize| match n as f64 * 100.0 / n_rows.max(1) as f64 {
        0.0 => "0%".to_string(),
        // Never 0% with missing values, never 100% with values.
        share if share < 0.1 => "<0.1%".to_string(),
        share if share < 10.0 => format!("{share:.1}%"),
        share if share > 99.0 && n < n_rows => ">99%".to_string(),
        share => format!("{share:.0}%"),
    };
    let mut rows =
        vec![["column", "type", "missing", "distinct", "becomes", "why"].map(String::from).to_vec()];
    for column in columns.iter().take(max) {
        rows.push(vec![
            column.name.clone(),
            column.kind.into(),
            // Figures stand to the right, below their heads.
            format!("{:>7}", percent(column.missing)),
            format!("{:>8}", column.distinct.map_or(format!(">{MAX_COUNTED}"), |n| n.to_string())),
            column.becomes.clone(),
            column.why.clone(),
        ]);
    }
    let mut lines = text::table(&rows, 2, false);
    if columns.len() > max {
        lines += &format!("  … and {} more (mlapi inspect lists them)\n", columns.len() - max);
    }
    let codes: Vec<String> = columns.iter().filter(|c| c.may_be_codes).map(|c| c.name.clone()).collect();
    let (names, flag, of) = match codes.as_slice() {
        [] => return lines,
        [only] => (only.clone(), only.as_str(), "them"),
        [_, _] | [_, _, _] => (codes.join(", "), "COL", "a column"),
        _ => (format!("{} columns", codes.len()), "COL", "one"),
    };
    lines
        + &format!(
            "  {names}: few whole numbers, taken as amounts; --type {flag}=category takes {of} as names\n"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::data::cells::cell::NullTokens;
    use crate::data::read::load::read_table;
    use crate::data::read::source::Options;

    fn note(name: &str, missing: usize, distinct: Option<usize>, may_be_codes: bool) -> ColumnNote {
        let (becomes, why) = ("standardised".to_string(), "numbers".to_string());
        ColumnNote { name: name.into(), kind: "number", missing, distinct, becomes, why, may_be_codes }
    }

    #[test]
    fn a_column_of_an_ensemble_has_each_form_in_which_a_member_sees_it_once() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/penguins.csv");
        let pipeline = |algorithm: &str| {
            Plan { algorithm: algorithm.into(), ..Plan::new(path) }.train().unwrap().pipeline
        };
        let pipelines = ["logreg", "tree", "svm", "forest"].map(pipeline);
        let blend = Pipeline::blend(pipelines.into(), &[1.0; 4]).unwrap();
        let raw = read_table(path, &Options::default()).unwrap();
        let nulls = NullTokens::default();
        let profiles: Vec<Profile> = (0..raw.names.len()).map(|i| Profile::of(&raw, i, &nulls)).collect();
        let notes = describe(&blend, &profiles, &[]);
        let becomes = |name: &str| notes.iter().find(|note| note.name == name).unwrap().becomes.clone();
        assert_eq!(becomes("body_mass_g"), "standardised, missing filled; as it is, missing kept");
        assert_eq!(becomes("island"), "one-hot; sets of levels");
    }

    #[test]
    fn shares_are_never_rounded_to_none_or_all_and_codes_are_named_with_the_flag() {
        let columns =
            [note("a", 1, Some(3), true), note("b", 9_999, None, false), note("c", 0, Some(2), false)];
        let lines: Vec<String> = table(&columns, 10_000, 2).lines().map(String::from).collect();
        assert_eq!(lines[1], "  a       number    <0.1%         3  standardised  numbers");
        assert_eq!(lines[2], "  b       number     >99%    >10000  standardised  numbers");
        assert_eq!(lines[3], "  … and 1 more (mlapi inspect lists them)");
        let hint = "  a: few whole numbers, taken as amounts; --type a=category takes them as names";
        assert_eq!(lines[4..], [hint]);
    }
}
