//! Columns that are of no use as features: constant ones, row numbers, ids.

use crate::data::cells::notation::Notation;
use crate::data::cells::number::is_whole;
use crate::data::cells::table::Column;

/// Below this many rows, all values being different is no evidence for an id.
const MIN_ROWS_FOR_ID: usize = 20;

/// The reason for which a column of row numbers is not used.
pub(crate) const NUMBERS_THE_ROWS: &str = "it numbers the rows";

/// Why a typed column is of no use as a feature, if it is not.
pub(crate) fn useless(name: &str, column: &Column) -> Option<String> {
    match column {
        Column::Number(values) | Column::Written { values, .. } => {
            let mut present = values.iter().copied().filter(|v| !v.is_nan());
            let first = present.next();
            let any_missing = values.iter().any(|v| v.is_nan());
            match first {
                None => Some("every cell is missing".into()),
                Some(first) if !any_missing && present.all(|v| v == first) => {
                    Some("every value is the same".into())
                }
                _ if matches!(
                    column,
                    Column::Written {
                        notation: Notation::Date(_) | Notation::Boolean(_) | Notation::Duration(_),
                        ..
                    }
                ) =>
                {
                    None
                }
                _ if is_row_number(name, values) => Some(NUMBERS_THE_ROWS.into()),
                _ => is_id_number(name, values).then(|| "every value is different, as in an id".into()),
            }
        }
        Column::Text { codes, texts } => {
            let mut present = codes.iter().filter(|code| !code.is_nan()).map(|&code| texts.get(code));
            let first = present.next();
            match first {
                None => Some("every cell is missing".into()),
                Some(first) if present.all(|text| text == first) => Some("every value is the same".into()),
                Some(_) => None,
            }
        }
        Column::Category { codes, levels } => {
            let present = codes.iter().filter(|&&c| (c as usize) < levels.len()).count();
            if levels.is_empty() {
                Some("every cell is missing".into())
            } else if levels.len() == 1 && present == codes.len() {
                Some("every value is the same".into())
            } else if present >= MIN_ROWS_FOR_ID && levels.len() * 10 > present * 9 {
                Some("nearly every value is different, as in an id".into())
            } else {
                None
            }
        }
    }
}

/// Distinct, consecutive whole numbers that start at 0 or 1, or whose name says that they are an id.
fn is_row_number(name: &str, values: &[f64]) -> bool {
    if values.len() < MIN_ROWS_FOR_ID || values.iter().any(|v| v.is_nan() || v.fract() != 0.0) {
        return false;
    }
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let name = name.to_lowercase();
    let named = ["id", "index", "row", "no", "nr", "number", "key"]
        .iter()
        .any(|word| name.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word));
    if !(named || min == 0.0 || min == 1.0) {
        return false;
    }
    let mut seen = vec![false; values.len()];
    values.iter().all(|&value| {
        let offset = (value - min) as usize;
        offset < seen.len() && !std::mem::replace(&mut seen[offset], true)
    })
}

/// Whole numbers that are all different, in a column whose name has the word id or key: `customer_id`, `orderId`.
fn is_id_number(name: &str, values: &[f64]) -> bool {
    let mut spaced = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() || !c.is_alphanumeric() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        before = c;
    }
    let named = spaced.split(' ').any(|word| ["id", "uuid", "guid", "key"].contains(&word));
    if !named || values.len() < MIN_ROWS_FOR_ID || values.iter().any(|v| !is_whole(*v)) {
        return false;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_row_numbers_and_ids_are_useless() {
        let numbers = |f: fn(usize) -> f64| Column::Number((0..30).map(f).collect());
        assert!(useless("x", &numbers(|_| 3.0)).is_some());
        assert!(useless("x", &numbers(|_| f64::NAN)).is_some());
        assert!(useless("x", &numbers(|i| (29 - i) as f64)).is_some());
        assert!(useless("year", &numbers(|i| (1990 + i) as f64)).is_none());
        assert!(useless("order_id", &numbers(|i| (1990 + i) as f64)).is_some());
        for (name, left_out) in
            [("order_id", true), ("customerId", true), ("ID", true), ("paid", false), ("width", false)]
        {
            assert_eq!(useless(name, &numbers(|i| (i * i) as f64)).is_some(), left_out, "{name}");
        }
        assert!(
            useless("order_id", &numbers(|i| (i / 2 * 7) as f64)).is_none(),
            "an id that comes again is a group"
        );
        let ids = Column::Category {
            codes: (0..30).collect(),
            levels: (0..30).map(|i| format!("u{i:02}")).collect(),
        };
        assert!(useless("user", &ids).is_some());
    }
}
