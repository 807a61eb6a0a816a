//! Words such as NA and None that were read as missing values where they may be values: a country, a diagnosis. Training
//! says so of a feature and a target, evaluation of a target.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::cells::cell::{Cell, ColumnType, NullTokens, may_be_value};
use crate::data::cells::raw_table::{RawColumn, RawTable};
use crate::data::cells::target::Target;

/// A note names this many columns; the others are counted.
const MAX_LISTED: usize = 5;

/// The words of a column that mean "no value", and their rows; the empty cell is among them.
fn missing_words<'a>(raw: &'a RawTable, index: usize, nulls: &NullTokens) -> BTreeMap<&'a str, usize> {
    let nulls = nulls.of(&raw.names[index]);
    let mut found = BTreeMap::new();
    let mut add = |text: &'a str, n: usize| {
        if n > 0 && nulls.cell(text) == Cell::Missing {
            *found.entry(text.trim()).or_insert(0) += n;
        }
    };
    match &raw.columns[index] {
        RawColumn::Texts(texts) => texts.iter().for_each(|text| add(text, 1)),
        // Most columns have no such level, and their cells need no counting.
        RawColumn::Levels { levels, .. } if levels.iter().all(|text| nulls.cell(text) != Cell::Missing) => {}
        RawColumn::Levels { codes, levels } => {
            let mut counts = vec![0; levels.len()];
            codes.iter().for_each(|&code| counts[code as usize] += 1);
            levels.iter().zip(counts).for_each(|(text, n)| add(text, n));
        }
        // The text of numbers is not kept, and among them a word is no value.
        RawColumn::Numbers { .. } => {}
    }
    found
}

fn rows(n: usize) -> String {
    format!("{n} {}", if n == 1 { "row" } else { "rows" })
}

/// The words in a target that were read as missing values and may be classes, with the flag that keeps them.
pub(crate) fn lost_classes(raw: &RawTable, index: usize, nulls: &NullTokens) -> Option<String> {
    let mut words = missing_words(raw, index, nulls);
    words.retain(|word, _| may_be_value(word));
    let name = &raw.names[index];
    let named: Vec<String> = words.iter().map(|(word, &n)| format!("{word:?} in {}", rows(n))).collect();
    let flags: Vec<String> =
        words.keys().map(|word| format!("--no-null {:?}", format!("{name}={word}"))).collect();
    (!words.is_empty()).then(|| {
        format!(
            "{} was read as a missing value; if it is a class, train with {}",
            named.join(" and "),
            flags.join(" ")
        )
    })
}

/// What became of the `n` rows without a target value (`"left out"`), and the words in them that may be classes.
pub(crate) fn without_target(
    raw: &RawTable,
    target: &Target,
    nulls: &NullTokens,
    n: usize,
    what: &str,
) -> String {
    let were = if n == 1 { "was" } else { "were" };
    let text = format!("{} without a target value {were} {what}", rows(n));
    let is_text = !target.labels.is_empty() && !target.numeric_labels;
    let index = raw.names.iter().position(|name| *name == target.name).filter(|_| is_text);
    match index.and_then(|index| lost_classes(raw, index, nulls)) {
        Some(words) => format!("{text}: {words}"),
        None => text,
    }
}

/// The notes on features of text whose missing values are all written with one word that may be a value. A word that is
/// missing in a column of numbers or dates, too, means that there.
pub(crate) fn only_words(
    raw: &RawTable,
    features: &[(usize, ColumnType)],
    nulls: &NullTokens,
) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    let mut elsewhere: BTreeSet<&str> = raw.null_words.iter().map(String::as_str).collect();
    let is_text = |column_type| matches!(column_type, ColumnType::Category | ColumnType::Text);
    for &(index, _) in features.iter().filter(|(_, column_type)| !is_text(*column_type)) {
        elsewhere.extend(missing_words(raw, index, nulls).into_keys());
    }
    for &(index, _) in features.iter().filter(|(_, column_type)| is_text(*column_type)) {
        let words = missing_words(raw, index, nulls);
        if let (1, Some((word, &n))) = (words.len(), words.iter().next())
            && may_be_value(word)
            && !elsewhere.contains(word)
        {
            found.entry(word).or_default().push((&raw.names[index], n));
        }
    }
    let say = |(word, columns): (&str, Vec<(&str, usize)>)| {
        let listed = columns.iter().take(MAX_LISTED);
        let mut named: Vec<String> = listed.map(|(name, n)| format!("{name:?} ({})", rows(*n))).collect();
        if columns.len() > MAX_LISTED {
            named.push(format!("{} more columns", columns.len() - MAX_LISTED));
        }
        format!(
            "{word:?} was read as a missing value, the only one, in {}; where it is a value, --no-null {:?} keeps it",
            named.join(", "),
            format!("{}={word}", columns[0].0)
        )
    };
    found.into_iter().map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;

    fn raw(columns: &[(&str, &[&str])]) -> RawTable {
        RawTable {
            source: "t.csv".into(),
            names: columns.iter().map(|(name, _)| name.to_string()).collect(),
            columns: columns.iter().map(|(_, cells)| RawColumn::of_texts(cells.iter().copied())).collect(),
            ..RawTable::default()
        }
    }

    #[test]
    fn a_word_that_alone_means_missing_in_columns_of_text_is_noted_once_with_its_rows() {
        let raw = raw(&[
            ("country", &["NA", "ZA", " NA ", "BW"]),
            ("gaps", &["NA", "x", "", "y"]),
            ("blank", &["", "x", "y", "z"]),
            ("excel", &["#N/A", "x", "y", "z"]),
            ("code", &["NA", "a", "b", "c"]),
            ("kept", &["NA", "a", "b", "c"]),
        ]);
        let mut nulls = NullTokens::default();
        nulls.keep(Some("kept"), "NA").unwrap();
        let features: Vec<_> = (0..6).map(|index| (index, ColumnType::Category)).collect();
        let notes = only_words(&raw, &features, &nulls);
        assert_eq!(
            notes,
            [
                "\"NA\" was read as a missing value, the only one, in \"country\" (2 rows), \"code\" (1 row); where it \
              is a value, --no-null \"country=NA\" keeps it"
            ]
        );
        assert!(only_words(&raw, &[(0, ColumnType::Number)], &nulls).is_empty(), "a number that is missing");
        let with_number = [(0, ColumnType::Category), (4, ColumnType::Number)];
        assert!(only_words(&raw, &with_number, &nulls).is_empty(), "the word means missing in this table");
        let numbers = RawTable { null_words: ["NA".to_string()].into(), ..raw };
        assert!(only_words(&numbers, &features, &nulls).is_empty());
    }

    #[test]
    fn a_target_names_the_words_that_its_rows_were_left_out_for() {
        let raw = raw(&[("y", &["None", "", "a", "b", "None"])]);
        let labels = vec!["a".to_string(), "b".to_string()];
        let mut target = Target {
            name: "y".into(),
            task: Task::Classification,
            labels,
            numeric_labels: false,
            notation: None,
        };
        let said = |target: &Target| without_target(&raw, target, &NullTokens::default(), 3, "left out");
        let text = said(&target);
        assert!(
            text.starts_with("3 rows without a target value were left out: \"None\" in 2 rows"),
            "{text}"
        );
        assert!(text.contains("a class") && text.contains("--no-null \"y=None\""), "{text}");
        target.numeric_labels = true;
        assert_eq!(said(&target), "3 rows without a target value were left out");
    }
}
