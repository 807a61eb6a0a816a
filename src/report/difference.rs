//! The differences of two models as text.

use serde_json::Value;

use super::text::{figure, table};
use crate::model::difference::{Change, Differences};

/// Characters of a value in a cell.
const MAX_SHOWN: usize = 40;

/// A table for each part in which the models differ.
pub(crate) fn text(a: &str, b: &str, found: &Differences) -> String {
    if found.0.is_empty() {
        return format!("{a} and {b}: no difference in columns, settings or metrics\n");
    }
    let mut out = format!("{a} compared with {b}\n");
    for part in found.0.chunk_by(|x, y| x.part == y.part) {
        let mut rows = vec![vec![part[0].part.to_string(), a.into(), b.into()]];
        rows.extend(part.iter().map(|change| {
            let aspect = change.aspect.map(|aspect| format!(", {aspect}")).unwrap_or_default();
            vec![format!("{}{aspect}", change.name), shown(change, &change.a), shown(change, &change.b)]
        }));
        out += "\n";
        out += &table(&rows, 2, false);
    }
    out
}

fn shown(change: &Change, value: &Value) -> String {
    let text = match value {
        Value::Null if change.part == "metrics" => "undefined".into(),
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if change.part == "metrics" || change.aspect == Some("mean") => {
            figure(number.as_f64())
        }
        Value::Array(values) if change.part == "data" => {
            // Enough of a digest to see that it is another one.
            let short = |value: &Value| value.as_str().map(|text| text.chars().take(12).collect::<String>());
            values.iter().filter_map(short).collect::<Vec<String>>().join(", ")
        }
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => {
            let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
            values.iter().map(one).collect::<Vec<String>>().join(if change.aspect == Some("range") {
                " to "
            } else {
                ", "
            })
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
